//! Rewriting of programs for sockets, with every jump still where it went.
//!
//! It knows instructions and what the kernel's machine lacks (loops, stripped
//! tags in `len`); it does not know expressions.
//! - Input and output pass `verify`; the order of instructions stays.
//! - An instruction is replaced by a block that is entered at its first and
//!   left behind its last instruction, so no jump can land inside of it.
//!
//! Sources: Linux `net/core/filter.c` (bpf_check_classic refuses jumps back,
//! SKF_AD_VLAN_TAG_PRESENT), `include/uapi/linux/filter.h`.

use super::machine::{code, is_conditional, jump_target};
use super::{Instruction, SOCKET_MAX};

/// SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT: 1 where the kernel keeps a stripped tag.
pub(super) const VLAN_TAG_PRESENT: u32 = 0xffff_f000 + 48;

/// How many extension headers a `protochain` follows in the kernel. RFC 8200
/// section 4.1 knows seven kinds, each at most once or twice.
pub(super) const CHAIN_MAX: usize = 16;

/// An instruction without jump offsets.
pub(super) const fn plain(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

/// Puts blocks in the place of instructions (None keeps one). Jumps are laid
/// anew, those that became too long for their 8 bits by way of two long ones.
pub(super) fn expand(
    program: &[Instruction],
    replace: impl Fn(&Instruction) -> Option<Vec<Instruction>>,
) -> Vec<Instruction> {
    let blocks: Vec<Option<Vec<Instruction>>> = program.iter().map(replace).collect();
    if blocks.iter().all(Option::is_none) {
        return program.to_vec();
    }
    let mut long = vec![false; program.len()];
    let mut starts = lay(&blocks, &long);
    // Each round makes at least one jump long, so it ends.
    while lengthen(program, &blocks, &starts, &mut long) {
        starts = lay(&blocks, &long);
    }
    let start = |index: usize| starts.get(index).copied().unwrap_or(0);
    let mut out = Vec::with_capacity(start(program.len()));
    for (at, (instruction, block)) in program.iter().zip(blocks).enumerate() {
        if let Some(block) = block {
            out.extend(block);
        } else if let Some((yes, no)) = targets(at, instruction) {
            let here = out.len() + 1;
            if long.get(at) == Some(&true) {
                out.push(Instruction { jt: 0, jf: 1, ..*instruction });
                out.push(plain(code::JA, offset(here + 1, start(yes))));
                out.push(plain(code::JA, offset(here + 2, start(no))));
            } else {
                let short = |to| u8::try_from(offset(here, start(to))).unwrap_or(u8::MAX);
                out.push(Instruction { jt: short(yes), jf: short(no), ..*instruction });
            }
        } else if instruction.code == code::JA {
            let target = jump_target(at, instruction.k, program.len()).unwrap_or(0);
            out.push(plain(code::JA, offset(out.len() + 1, start(target))));
        } else {
            out.push(*instruction);
        }
    }
    out
}

/// Where each old instruction begins in the new program, and the new length last.
fn lay(blocks: &[Option<Vec<Instruction>>], long: &[bool]) -> Vec<usize> {
    let sizes = blocks.iter().zip(long).map(|(block, &long)| match block {
        Some(block) => block.len(),
        None if long => 3,
        None => 1,
    });
    let mut end = 0;
    let mut starts = vec![0];
    for size in sizes {
        end += size;
        starts.push(end);
    }
    starts
}

/// Marks the conditional jumps that have become too long; whether there were any.
fn lengthen(
    program: &[Instruction],
    blocks: &[Option<Vec<Instruction>>],
    starts: &[usize],
    long: &mut [bool],
) -> bool {
    let mut found = false;
    for (at, (instruction, block)) in program.iter().zip(blocks).enumerate() {
        let Some((yes, no)) = targets(at, instruction).filter(|_| block.is_none()) else { continue };
        let (Some(here), Some(far)) = (starts.get(at), starts.get(yes.max(no))) else { continue };
        if let Some(long) = long.get_mut(at).filter(|long| !**long && far - here > 256) {
            *long = true;
            found = true;
        }
    }
    found
}

/// The two targets of a conditional jump at `at`.
fn targets(at: usize, instruction: &Instruction) -> Option<(usize, usize)> {
    let to = |offset: u8| at + 1 + usize::from(offset);
    is_conditional(instruction).then(|| (to(instruction.jt), to(instruction.jf)))
}

/// Jump offset from the instruction behind the jump to the target; two's
/// complement where it goes back.
fn offset(next: usize, target: usize) -> u32 {
    // Programs have at most PROGRAM_MAX instructions, many times less than i32 holds.
    let [next, target] = [next, target].map(|at| u32::try_from(at).unwrap_or(u32::MAX));
    target.wrapping_sub(next)
}

/// `len` of a ring is 4 bytes short where the kernel has stripped a tag: adds
/// them, so that `len`, `less` and `greater` mean what they mean on the wire
/// and in a file. (libpcap emits `ld #len` only, never `ldx #len`.)
pub(super) fn count_stripped_tag(program: &[Instruction]) -> Vec<Instruction> {
    expand(program, |i| {
        (i.code == code::LD_LEN).then(|| {
            vec![
                plain(code::LD_B_ABS, VLAN_TAG_PRESENT),
                Instruction { code: code::JEQ_K, jt: 2, jf: 0, k: 1 },
                plain(code::LD_LEN, 0),
                plain(code::JA, 2),
                plain(code::LD_LEN, 0),
                plain(code::ADD_K, 4),
            ]
        })
    })
}

/// Makes every acceptance return `snaplen`. A return of A becomes a choice.
pub(super) fn accept_with(program: &[Instruction], snaplen: u32) -> Vec<Instruction> {
    let mut program = expand(program, |i| {
        (i.code == code::RET_A).then(|| {
            vec![
                Instruction { code: code::JEQ_K, jt: 0, jf: 1, k: 0 },
                plain(code::RET_K, 0),
                plain(code::RET_K, 1),
            ]
        })
    });
    for i in program.iter_mut().filter(|i| i.code == code::RET_K && i.k > 0) {
        i.k = snaplen;
    }
    program
}

/// Whether the program jumps back (libpcap's `protochain`).
pub(super) fn has_loops(program: &[Instruction]) -> bool {
    program.iter().any(|i| i.code == code::JA && i.k.cast_signed() < 0)
}

/// A program without jumps back that does the same for up to [`CHAIN_MAX`]
/// rounds, and refuses the frame after them: copies in a row, in which a jump
/// back leads to the same place of the next copy. None where not even four
/// copies fit into a socket.
pub(super) fn unroll(program: &[Instruction]) -> Option<Vec<Instruction>> {
    let len = program.len();
    let copies = (SOCKET_MAX / len.max(1)).min(CHAIN_MAX);
    if copies < 4 {
        return None;
    }
    let forward = u32::try_from(len).ok()?;
    let mut out = Vec::with_capacity(len * copies);
    for copy in 1..=copies {
        out.extend(program.iter().map(|i| match i.code {
            code::JA if i.k.cast_signed() >= 0 => *i,
            code::JA if copy < copies => plain(code::JA, i.k.wrapping_add(forward)),
            code::JA => plain(code::RET_K, 0),
            _ => *i,
        }));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::machine::code::*;
    use super::super::{Program, run};
    use super::*;

    fn run_on(program: Vec<Instruction>, data: &[u8], len: u32) -> u32 {
        run(&Program::new(program).expect("rewriting keeps a program sound"), data, len)
    }

    /// Ever longer chains of "is byte i above k? then skip some": all targets count.
    fn ladder() -> impl Strategy<Value = Vec<Instruction>> {
        let step = (0u32..8, any::<u8>(), any::<u8>(), any::<u8>(), any::<bool>());
        prop::collection::vec(step, 1..300).prop_map(|steps| {
            let len = 1 + steps.len() * 4;
            let mut program = vec![plain(LD_IMM, 1)];
            for (byte, k, jt, jf, ja) in steps {
                let room = u8::try_from((len - program.len() - 4).min(255)).unwrap();
                program.push(if byte == 7 { plain(LD_LEN, 0) } else { plain(LD_B_ABS, byte) });
                program.push(Instruction { code: JGT_K, jt: jt.min(room), jf: jf.min(room), k: k.into() });
                program.push(plain(ADD_K, u32::from(k)));
                program.push(plain(JA, if ja { u32::from(jf.min(room)) } else { 0 }));
            }
            program.push(plain(RET_A, 0));
            program
        })
    }

    proptest! {
        /// Blocks of any length in the place of some instructions, which do the
        /// same as these: the verdict stays, though jumps grow beyond 8 bits.
        #[test]
        fn jumps_lead_where_they_led(
            program in ladder(),
            data in prop::array::uniform8(any::<u8>()),
            padding in 1usize..60,
        ) {
            let before = run_on(program.clone(), &data, 100);
            let longer = expand(&program, |i| (i.code == ADD_K || i.code == LD_LEN).then(|| {
                let mut block = vec![plain(OR_K, 0); padding];
                block.push(*i);
                block
            }));
            prop_assert_eq!(run_on(longer, &data, 100), before);
            let accepting = accept_with(&program, 77);
            prop_assert_eq!(run_on(accepting, &data, 100), if before > 0 { 77 } else { 0 });
        }
    }

    #[test]
    fn a_chain_is_followed_so_far_and_refused_beyond() {
        // X += 8 until byte X is 1.
        let seek = vec![
            plain(LD_B_IND, 0),
            Instruction { code: JEQ_K, jt: 4, jf: 0, k: 1 },
            plain(TXA, 0),
            plain(ADD_K, 8),
            plain(TAX, 0),
            plain(JA, (-6i32).cast_unsigned()),
            plain(RET_K, 9),
        ];
        let flat = unroll(&seek).expect("short enough");
        assert!(has_loops(&seek) && !has_loops(&flat));
        for rounds in 0..CHAIN_MAX + 4 {
            let mut data = [0u8; 8 * (CHAIN_MAX + 4)];
            data[rounds * 8] = 1;
            assert_eq!(run_on(seek.clone(), &data, 0), 9);
            assert_eq!(run_on(flat.clone(), &data, 0), if rounds < CHAIN_MAX { 9 } else { 0 }, "{rounds}");
        }
        assert_eq!(unroll(&vec![plain(RET_K, 0); SOCKET_MAX / 4 + 1]), None);
    }
}
