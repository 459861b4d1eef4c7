//! Our BPF machine against the kernel's: random programs on random datagrams.
//! A UNIX datagram socket takes a filter from anyone, so this needs no privileges.

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

use fullcount::capture::filter::{Instruction, Program, code::*, compose, run};
use proptest::prelude::*;

fn plain(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

/// What the kernel keeps of a datagram: its verdict, or the datagram's length
/// where that is less.
fn kernel(program: &Program, data: &[u8]) -> u32 {
    let (sender, receiver) = UnixDatagram::pair().unwrap();
    receiver.set_nonblocking(true).unwrap();
    let instructions = program.instructions();
    let attached = libc::sock_fprog {
        len: instructions.len().try_into().unwrap(),
        filter: instructions.as_ptr().cast_mut().cast(),
    };
    // SAFETY: an open socket, and a pointer to and the size of a sock_fprog that
    // outlives the call, as do the instructions it points to, laid out as sock_filter.
    let status = unsafe {
        libc::setsockopt(
            receiver.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const attached).cast(),
            size_of::<libc::sock_fprog>() as u32,
        )
    };
    assert_eq!(status, 0, "{}: {instructions:?}", std::io::Error::last_os_error());
    sender.send(data).unwrap();
    let mut buffer = [0; 4096];
    match receiver.recv(&mut buffer) {
        Ok(length) => length as u32,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => panic!("{error}"),
    }
}

/// A few instructions that are jumped to at their first only. X stays below 64
/// (and below 32 for shifts): above, kernel and libpcap differ, on purpose.
fn group() -> impl Strategy<Value = Vec<Instruction>> {
    let k = prop_oneof![0u32..40, any::<u32>(), Just(u32::MAX), Just(1)];
    let one = |codes: &'static [u16], k: BoxedStrategy<u32>| {
        (prop::sample::select(codes), k).prop_map(|(code, k)| vec![plain(code, k)])
    };
    let arithmetic =
        [ADD_K, SUB_K, MUL_K, AND_K, OR_K, XOR_K, ADD_X, SUB_X, MUL_X, DIV_X, MOD_X, AND_X, OR_X, XOR_X, NEG];
    prop_oneof![
        3 => one(&[LD_W_ABS, LD_H_ABS, LD_B_ABS, LD_W_IND, LD_H_IND, LD_B_IND, LDX_MSH], (0u32..70).boxed()),
        1 => one(&[LD_LEN, LDX_LEN, TXA], Just(0).boxed()),
        1 => one(&[LD_IMM], k.clone().boxed()),
        1 => one(&[LDX_IMM], (0u32..64).boxed()),
        1 => one(&[DIV_K, MOD_K], (1u32..1000).boxed()),
        1 => one(&[LSH_K, RSH_K], (0u32..32).boxed()),
        3 => (prop::sample::select(arithmetic.to_vec()), k.clone()).prop_map(|(code, k)| vec![plain(code, k)]),
        1 => (prop::sample::select(vec![LSH_X, RSH_X]), 0u32..32)
            .prop_map(|(code, x)| vec![plain(LDX_IMM, x), plain(code, 0)]),
        1 => Just(vec![plain(AND_K, 63), plain(TAX, 0)]),
        // Even cells hold A, odd ones X, so that X stays small.
        1 => (0u32..8, any::<bool>(), any::<bool>()).prop_map(|(cell, x, store)| {
            let code = match (x, store) {
                (true, true) => STX,
                (true, false) => LDX_MEM,
                (false, true) => ST,
                (false, false) => LD_MEM,
            };
            vec![plain(code, cell * 2 + u32::from(x))]
        }),
        1 => prop_oneof![k.clone().prop_map(|k| vec![plain(RET_K, k)]), Just(vec![plain(RET_A, 0)])],
    ]
}

/// A jump behind each group: its code, operand, and two distances in groups.
type Jump = (Option<u16>, u32, usize, usize);

fn jump() -> impl Strategy<Value = Jump> {
    let codes = vec![JEQ_K, JGT_K, JGE_K, JSET_K, JEQ_X, JGT_X, JGE_X, JSET_X, JA];
    let k = prop_oneof![0u32..70, any::<u32>()];
    (prop::option::of(prop::sample::select(codes)), k, 0usize..4, 0usize..4)
}

/// All cells set first (the kernel refuses loads from cells not yet stored),
/// then groups and jumps, then a return of A.
fn build(groups: &[(Vec<Instruction>, Jump)]) -> Program {
    let mut starts = vec![17];
    for (group, (code, ..)) in groups {
        starts.push(starts.last().unwrap() + group.len() + usize::from(code.is_some()));
    }
    let mut program = vec![plain(LD_IMM, 7)];
    program.extend((0..16).map(|cell| plain(ST, cell)));
    for (index, (group, (code, k, yes, no))) in groups.iter().enumerate() {
        program.extend(group);
        let offset = |distance: usize| {
            let target = starts[(index + 1 + distance).min(groups.len())];
            target - starts[index + 1]
        };
        match code {
            Some(JA) => program.push(plain(JA, offset(*yes) as u32)),
            Some(code) => {
                program.push(Instruction {
                    code: *code,
                    jt: offset(*yes) as u8,
                    jf: offset(*no) as u8,
                    k: *k,
                });
            }
            None => {}
        }
    }
    program.push(plain(RET_A, 0));
    Program::new(program).expect("a sound program")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn verdicts_are_the_kernels(
        groups in prop::collection::vec((group(), jump()), 1..40),
        data in prop::collection::vec(any::<u8>(), 1..100),
        snaplen in 1u32..120,
    ) {
        let program = build(&groups);
        let len = data.len() as u32;
        let ours = run(&program, &data, len);
        prop_assert_eq!(kernel(&program, &data), ours.min(len));
        // Composed for a socket: the same frames, cut to the snaplen.
        let composed = compose(Some(&program), snaplen);
        prop_assert_eq!(kernel(&composed, &data), if ours > 0 { snaplen.min(len) } else { 0 });
    }
}
