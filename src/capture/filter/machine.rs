//! The classic BPF machine: checks programs, and runs them on frames of files.
//!
//! It knows instructions and bytes; it does not know where a program comes
//! from nor what its verdict is for.
//! - [`verify`] runs once a program; [`run`] trusts nothing all the same: what
//!   verify should have refused is a refusal of the frame, never a panic.
//! - Every program ends. Jumps go forward, except libpcap's loop for
//!   `protochain`, whose way back is counted ([`LOOPS_MAX`]).
//! - As libpcap's machine, and unlike the kernel's, it knows no ancillary data:
//!   loads from SKF_AD_OFF on lie outside the frame and refuse it.
//!
//! Sources: libpcap `bpf_filter.c` (verdicts), Linux `net/core/filter.c`
//! (bpf_check_classic), `include/uapi/linux/bpf_common.h` (codes).

use std::fmt;

use super::{Instruction, Program};

/// Most instructions of a program: what the jump offsets of a filter with some
/// thousand hosts need, and an end for what a broken library may hand over.
/// (A socket takes fewer: [`super::SOCKET_MAX`].)
pub const PROGRAM_MAX: usize = 65_536;

/// Words of scratch memory (BPF_MEMWORDS).
pub const MEMORY_WORDS: usize = 16;

/// How often one frame may take a jump back: an extension header has at least
/// 8 bytes, so that a datagram of 64 KiB holds no more of them.
const LOOPS_MAX: u32 = 8_192;

/// Instruction codes, as their classes, sizes, modes and sources add up.
#[allow(missing_docs)] // the names are those of bpf_common.h, written together
pub mod code {
    pub const LD_W_ABS: u16 = 0x20;
    pub const LD_H_ABS: u16 = 0x28;
    pub const LD_B_ABS: u16 = 0x30;
    pub const LD_W_IND: u16 = 0x40;
    pub const LD_H_IND: u16 = 0x48;
    pub const LD_B_IND: u16 = 0x50;
    pub const LD_LEN: u16 = 0x80;
    pub const LD_IMM: u16 = 0x00;
    pub const LD_MEM: u16 = 0x60;
    pub const LDX_IMM: u16 = 0x01;
    pub const LDX_MEM: u16 = 0x61;
    pub const LDX_LEN: u16 = 0x81;
    pub const LDX_MSH: u16 = 0xb1;
    pub const ST: u16 = 0x02;
    pub const STX: u16 = 0x03;
    pub const ADD_K: u16 = 0x04;
    pub const ADD_X: u16 = 0x0c;
    pub const SUB_K: u16 = 0x14;
    pub const SUB_X: u16 = 0x1c;
    pub const MUL_K: u16 = 0x24;
    pub const MUL_X: u16 = 0x2c;
    pub const DIV_K: u16 = 0x34;
    pub const DIV_X: u16 = 0x3c;
    pub const OR_K: u16 = 0x44;
    pub const OR_X: u16 = 0x4c;
    pub const AND_K: u16 = 0x54;
    pub const AND_X: u16 = 0x5c;
    pub const LSH_K: u16 = 0x64;
    pub const LSH_X: u16 = 0x6c;
    pub const RSH_K: u16 = 0x74;
    pub const RSH_X: u16 = 0x7c;
    pub const NEG: u16 = 0x84;
    pub const MOD_K: u16 = 0x94;
    pub const MOD_X: u16 = 0x9c;
    pub const XOR_K: u16 = 0xa4;
    pub const XOR_X: u16 = 0xac;
    pub const JA: u16 = 0x05;
    pub const JEQ_K: u16 = 0x15;
    pub const JEQ_X: u16 = 0x1d;
    pub const JGT_K: u16 = 0x25;
    pub const JGT_X: u16 = 0x2d;
    pub const JGE_K: u16 = 0x35;
    pub const JGE_X: u16 = 0x3d;
    pub const JSET_K: u16 = 0x45;
    pub const JSET_X: u16 = 0x4d;
    pub const RET_K: u16 = 0x06;
    pub const RET_A: u16 = 0x16;
    pub const TAX: u16 = 0x07;
    pub const TXA: u16 = 0x87;
}
use code::*;

/// Why a program must not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// No instruction, or more than [`PROGRAM_MAX`].
    Length(usize),
    /// An instruction that is none, at this index.
    Code(usize),
    /// A scratch memory cell that does not exist, at this index.
    Memory(usize),
    /// Division by a constant 0 or shift by a constant above 31, at this index.
    Operand(usize),
    /// A jump out of the program, at this index.
    Jump(usize),
    /// The last instruction neither returns nor jumps.
    End,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifyError::Length(n) => write!(f, "{n} instructions, where 1 to {PROGRAM_MAX} are possible"),
            VerifyError::Code(at) => write!(f, "instruction {at} has an unknown code"),
            VerifyError::Memory(at) => write!(f, "instruction {at} uses a memory cell that does not exist"),
            VerifyError::Operand(at) => {
                write!(f, "instruction {at} divides by 0 or shifts by more than 31 bits")
            }
            VerifyError::Jump(at) => write!(f, "instruction {at} jumps out of the program"),
            VerifyError::End => f.write_str("the last instruction does not return"),
        }
    }
}

/// Whether `instruction` is one of the conditional jumps.
pub(super) fn is_conditional(instruction: &Instruction) -> bool {
    let code = instruction.code;
    matches!(code, JEQ_K | JEQ_X | JGT_K | JGT_X | JGE_K | JGE_X | JSET_K | JSET_X)
}

/// Where an unconditional jump at `at` leads; None outside of 0..`len`.
/// The offset is signed: libpcap's loops for `protochain` go back.
pub(super) fn jump_target(at: usize, k: u32, len: usize) -> Option<usize> {
    let next = isize::try_from(at).ok()?.checked_add(1)?;
    let target = next.checked_add(isize::try_from(k.cast_signed()).ok()?)?;
    usize::try_from(target).ok().filter(|&target| target < len)
}

/// Checks what [`run`] and the kernel lean on: codes, memory cells, constant
/// operands, jumps, and a return at the end.
///
/// # Errors
/// The first instruction that is wrong, and how.
pub fn verify(instructions: &[Instruction]) -> Result<(), VerifyError> {
    let len = instructions.len();
    if len == 0 || len > PROGRAM_MAX {
        return Err(VerifyError::Length(len));
    }
    for (at, i) in instructions.iter().enumerate() {
        match i.code {
            LD_W_ABS | LD_H_ABS | LD_B_ABS | LD_W_IND | LD_H_IND | LD_B_IND | LD_LEN | LD_IMM => {}
            LDX_IMM | LDX_LEN | LDX_MSH | TAX | TXA | NEG | RET_K | RET_A => {}
            ADD_K | ADD_X | SUB_K | SUB_X | MUL_K | MUL_X | OR_K | OR_X | AND_K | AND_X => {}
            XOR_K | XOR_X | DIV_X | MOD_X | LSH_X | RSH_X => {}
            LD_MEM | LDX_MEM | ST | STX if (i.k as usize) < MEMORY_WORDS => {}
            LD_MEM | LDX_MEM | ST | STX => return Err(VerifyError::Memory(at)),
            DIV_K | MOD_K if i.k != 0 => {}
            LSH_K | RSH_K if i.k < 32 => {}
            DIV_K | MOD_K | LSH_K | RSH_K => return Err(VerifyError::Operand(at)),
            JA if jump_target(at, i.k, len).is_some() => {}
            JA => return Err(VerifyError::Jump(at)),
            _ if is_conditional(i) => {
                if at + 1 + usize::from(i.jt.max(i.jf)) >= len {
                    return Err(VerifyError::Jump(at));
                }
            }
            _ => return Err(VerifyError::Code(at)),
        }
    }
    match instructions.last().map(|i| i.code) {
        Some(RET_K | RET_A | JA) => Ok(()),
        _ => Err(VerifyError::End),
    }
}

#[inline(always)]
fn word(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}

#[inline(always)]
fn half(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes).into())
}

#[inline(always)]
fn byte(data: &[u8], at: usize) -> Option<u32> {
    data.get(at).map(|&byte| byte.into())
}

/// Sum of an offset and X without the wrap at 32 bits: libpcap refuses a frame
/// where the sum passes the end of the frame, so that it must not come round.
#[inline(always)]
fn indirect(x: u32, k: u32) -> usize {
    (x as usize).saturating_add(k as usize)
}

/// Runs a program on what was captured of a frame (`data`) whose length was
/// `len`. 0 refuses the frame; else the bytes that the program would keep.
/// A load outside of `data` and a division by 0 refuse it.
#[inline]
pub fn run(program: &Program, data: &[u8], len: u32) -> u32 {
    execute(program.instructions(), data, len).unwrap_or(0)
}

fn execute(instructions: &[Instruction], data: &[u8], len: u32) -> Option<u32> {
    let (mut a, mut x, mut memory) = (0u32, 0u32, [0u32; MEMORY_WORDS]);
    let (mut next, mut loops) = (0usize, 0u32);
    loop {
        let i = instructions.get(next)?;
        let k = i.k;
        next += 1;
        match i.code {
            JEQ_K => next += taken(i, a == k),
            JEQ_X => next += taken(i, a == x),
            JGT_K => next += taken(i, a > k),
            JGT_X => next += taken(i, a > x),
            JGE_K => next += taken(i, a >= k),
            JGE_X => next += taken(i, a >= x),
            JSET_K => next += taken(i, a & k != 0),
            JSET_X => next += taken(i, a & x != 0),
            RET_K => return Some(k),
            RET_A => return Some(a),
            LD_W_ABS => a = word(data, k as usize)?,
            LD_H_ABS => a = half(data, k as usize)?,
            LD_B_ABS => a = byte(data, k as usize)?,
            LD_W_IND => a = word(data, indirect(x, k))?,
            LD_H_IND => a = half(data, indirect(x, k))?,
            LD_B_IND => a = byte(data, indirect(x, k))?,
            LDX_MSH => x = (byte(data, k as usize)? & 0xf) << 2,
            LD_LEN => a = len,
            LDX_LEN => x = len,
            LD_IMM => a = k,
            LDX_IMM => x = k,
            LD_MEM => a = *memory.get(k as usize)?,
            LDX_MEM => x = *memory.get(k as usize)?,
            ST => *memory.get_mut(k as usize)? = a,
            STX => *memory.get_mut(k as usize)? = x,
            TAX => x = a,
            TXA => a = x,
            JA => {
                // Back only in `protochain`, and only so often.
                loops += u32::from(k.cast_signed() < 0);
                if loops > LOOPS_MAX {
                    return None;
                }
                next = jump_target(next - 1, k, instructions.len())?;
            }
            other => a = calculate(other, a, x, k)?,
        }
    }
}

/// How many instructions a conditional jump leaves out.
#[inline(always)]
fn taken(jump: &Instruction, condition: bool) -> usize {
    usize::from(if condition { jump.jt } else { jump.jf })
}

/// A (op) operand. Shifts by X above 31 give 0, as libpcap's machine has it (the
/// kernel's takes X modulo 32: such an expression has no one meaning).
#[inline(always)]
fn calculate(code: u16, a: u32, x: u32, k: u32) -> Option<u32> {
    Some(match code {
        AND_K => a & k,
        AND_X => a & x,
        ADD_K => a.wrapping_add(k),
        ADD_X => a.wrapping_add(x),
        SUB_K => a.wrapping_sub(k),
        SUB_X => a.wrapping_sub(x),
        MUL_K => a.wrapping_mul(k),
        MUL_X => a.wrapping_mul(x),
        DIV_K => a.checked_div(k)?,
        DIV_X => a.checked_div(x)?,
        MOD_K => a.checked_rem(k)?,
        MOD_X => a.checked_rem(x)?,
        OR_K => a | k,
        OR_X => a | x,
        XOR_K => a ^ k,
        XOR_X => a ^ x,
        LSH_K => a.checked_shl(k).unwrap_or(0),
        LSH_X => a.checked_shl(x).unwrap_or(0),
        RSH_K => a.checked_shr(k).unwrap_or(0),
        RSH_X => a.checked_shr(x).unwrap_or(0),
        NEG => a.wrapping_neg(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CODES: [u16; 45] = [
        LD_W_ABS, LD_H_ABS, LD_B_ABS, LD_W_IND, LD_H_IND, LD_B_IND, LD_LEN, LD_IMM, LD_MEM, LDX_IMM, LDX_MEM,
        LDX_LEN, LDX_MSH, ST, STX, ADD_K, ADD_X, SUB_K, SUB_X, MUL_K, MUL_X, DIV_K, DIV_X, OR_K, OR_X, AND_K,
        AND_X, LSH_K, LSH_X, RSH_K, RSH_X, NEG, MOD_K, MOD_X, XOR_K, XOR_X, JA, JEQ_K, JGT_X, JGE_K, JSET_X,
        RET_K, RET_A, TAX, TXA,
    ];

    fn of(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
        Instruction { code, jt, jf, k }
    }

    fn instruction() -> impl Strategy<Value = Instruction> {
        let code = prop_oneof![20 => prop::sample::select(CODES.to_vec()), 1 => any::<u16>()];
        // Small operands pass verify; those around 0 from below jump back.
        let k = prop_oneof![4 => 0u32..16, 1 => 0u32..6, 1 => (1u32..40).prop_map(u32::wrapping_neg), 1 => any::<u32>()];
        (code, 0u8..5, 0u8..5, k).prop_map(|(code, jt, jf, k)| of(code, jt, jf, k))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever passes verify ends without a panic on whatever bytes.
        #[test]
        fn verified_programs_end(
            mut program in prop::collection::vec(instruction(), 1..60),
            data in prop::collection::vec(any::<u8>(), 0..80),
            len in any::<u32>(),
        ) {
            program.extend((0..5).map(|_| of(RET_A, 0, 0, 0)));
            // Put right what verify finds wrong, so that all cases run.
            while let Err(error) = verify(&program) {
                let (VerifyError::Code(at) | VerifyError::Memory(at) | VerifyError::Operand(at)
                    | VerifyError::Jump(at)) = error else { panic!("{error}") };
                program[at] = of(LD_LEN, 0, 0, 0);
            }
            run(&Program::new(program).unwrap(), &data, len);
        }

        /// And what does not pass does not panic either.
        #[test]
        fn unverified_programs_end(
            program in prop::collection::vec(instruction(), 0..60),
            data in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            execute(&program, &data, 9);
        }
    }

    #[test]
    fn verify_refuses_what_must_not_run() {
        let end = of(RET_K, 0, 0, 1);
        let cases = [
            (vec![], VerifyError::Length(0)),
            (vec![end; PROGRAM_MAX + 1], VerifyError::Length(PROGRAM_MAX + 1)),
            (vec![of(0xff, 0, 0, 0), end], VerifyError::Code(0)),
            (vec![of(ST, 0, 0, 16), end], VerifyError::Memory(0)),
            (vec![of(LDX_MEM, 0, 0, u32::MAX), end], VerifyError::Memory(0)),
            (vec![of(DIV_K, 0, 0, 0), end], VerifyError::Operand(0)),
            (vec![of(MOD_K, 0, 0, 0), end], VerifyError::Operand(0)),
            (vec![of(LSH_K, 0, 0, 32), end], VerifyError::Operand(0)),
            (vec![of(JEQ_K, 0, 1, 0), end], VerifyError::Jump(0)),
            (vec![of(JEQ_K, 255, 0, 0), end], VerifyError::Jump(0)),
            (vec![of(JA, 0, 0, 1), end], VerifyError::Jump(0)),
            (vec![end, of(JA, 0, 0, (-3i32).cast_unsigned())], VerifyError::Jump(1)),
            (vec![of(JA, 0, 0, i32::MAX.cast_unsigned()), end], VerifyError::Jump(0)),
            (vec![of(TAX, 0, 0, 0)], VerifyError::End),
        ];
        for (program, error) in cases {
            assert_eq!(verify(&program), Err(error));
        }
        assert_eq!(verify(&[of(JEQ_K, 0, 1, 0), end, end]), Ok(()));
    }

    #[test]
    fn loops_end() {
        let forever = Program::new(vec![of(JA, 0, 0, u32::MAX)]).unwrap();
        assert_eq!(run(&forever, &[1], 1), 0);
        // 9 rounds of X += 8 reach the byte 1 at 72 of 80.
        let seek = vec![
            of(LD_B_IND, 0, 0, 0),
            of(JEQ_K, 4, 0, 1),
            of(TXA, 0, 0, 0),
            of(ADD_K, 0, 0, 8),
            of(TAX, 0, 0, 0),
            of(JA, 0, 0, (-6i32).cast_unsigned()),
            of(RET_K, 0, 0, 9),
        ];
        let mut data = [0; 80];
        let seek = Program::new(seek).unwrap();
        assert_eq!(run(&seek, &data, 80), 0);
        data[72] = 1;
        assert_eq!(run(&seek, &data, 80), 9);
    }

    #[test]
    fn loads_outside_refuse() {
        for (code, k, fits) in [
            (LD_W_ABS, 0, true),
            (LD_W_ABS, 1, false),
            (LD_H_ABS, 2, true),
            (LD_H_ABS, 3, false),
            (LD_B_ABS, 3, true),
            (LD_B_ABS, 4, false),
            (LD_B_ABS, u32::MAX, false),
            (LD_W_ABS, u32::MAX - 2, false),
            (LDX_MSH, 3, true),
            (LDX_MSH, 4, false),
        ] {
            let program = Program::new(vec![of(code, 0, 0, k), of(RET_K, 0, 0, 1)]).unwrap();
            assert_eq!(run(&program, &[1, 2, 3, 4], 1500) == 1, fits, "{code:#x} {k}");
        }
        // X + k must not come round at 32 bits.
        let around = vec![of(LDX_IMM, 0, 0, u32::MAX), of(LD_B_IND, 0, 0, 2), of(RET_K, 0, 0, 1)];
        assert_eq!(run(&Program::new(around).unwrap(), &[1, 2, 3, 4], 4), 0);
    }

    /// `cargo test --release -- --ignored --nocapture interpreter_speed`
    #[test]
    #[ignore = "a measurement"]
    fn interpreter_speed() {
        // `tcp port 80 and host 10.0.0.1 or udp port 53` as tcpdump -ddd has it.
        let text = include_str!("../../../fixtures/filters/programs.txt");
        for expression in ["tcp port 80", "tcp port 80 and host 10.0.0.1 or udp port 53", "ip6 protochain 6"]
        {
            let (_, rest) = text.split_once(&format!("= {expression}\n")).unwrap();
            let line = rest.lines().next().unwrap();
            let program = line.split(';').skip(1).map(|i| {
                let n: Vec<u32> = i.split(' ').map(|n| n.parse().unwrap()).collect();
                of(n[0] as u16, n[1] as u8, n[2] as u8, n[3])
            });
            let program = Program::new(program.collect()).unwrap();
            let mut frames = vec![[0u8; 64]; 60_000];
            for (at, frame) in frames.iter_mut().enumerate() {
                let (udp, port) = (at % 3 == 0, [80u16, 53, 443, 1234][at * 7 % 4]);
                frame[12..15].copy_from_slice(&[8, 0, 0x45]);
                frame[23] = if udp { 17 } else { 6 };
                frame[29] = (at % 5) as u8;
                frame[26] = 10;
                frame[34 + at % 2 * 2..][..2].copy_from_slice(&port.to_be_bytes());
            }
            for _ in 0..3 {
                let start = std::time::Instant::now();
                let mut hits = 0u64;
                for _ in 0..50 {
                    hits += frames.iter().filter(|f| run(&program, *f, 64) > 0).count() as u64;
                }
                let each = start.elapsed().as_nanos() as f64 / (50.0 * frames.len() as f64);
                println!(
                    "{expression}: {} instructions, {each:.1} ns a frame, {hits} hits",
                    program.instructions().len()
                );
            }
        }
    }
}
