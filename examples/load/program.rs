//! The XDP program of the load generator, put together by hand.
//!
//! Knows instructions and headers, nothing of the system call. The program's
//! registers: R6 context, R7 the map's value, R8 number of the frame, R9 number
//! of its flow; R1 to R5 are lost in a call. It writes every byte that differs
//! between two frames on every run, as the kernel hands it used pages again.
//! Sources: RFC 9669 (instructions), kernel `uapi/linux/bpf.h` (helpers).

use super::{ETHERNET, HEADERS, Plan, SMALLEST};

/// Looks at the clock before a frame is sent though its time has not come. The
/// verifier wants an end to every loop and follows at most 8,192 jumps
/// (BPF_COMPLEXITY_LIMIT_JMP_SEQ), so each look reads the clock several times:
/// together more than 400 microseconds at 20 ns a reading.
const PATIENCE: i32 = 7_000;
const READINGS: usize = 3;

/// Registers. R1 to R5 are lost in a call, R6 to R9 are kept.
const R0: u8 = 0;
const R1: u8 = 1;
const R2: u8 = 2;
const R3: u8 = 3;
const R4: u8 = 4;
const R5: u8 = 5;
/// The context.
const R6: u8 = 6;
/// The map's value.
const R7: u8 = 7;
/// Number of the frame.
const R8: u8 = 8;
/// Number of its flow.
const R9: u8 = 9;
const STACK: u8 = 10;

/// Offsets in the map's value, all of them 64 bits; the order in which it is read afterwards.
const FRAMES: i16 = 0;
const BYTES: i16 = 8;
const ANSWERS: i16 = 16;
const BEGAN_NS: i16 = 24;
const ENDED_NS: i16 = 32;
const EARLY: i16 = 40;
/// Words of the map's value.
pub const VALUES: usize = 6;

/// Places on the program's stack.
const SIZE: i16 = -8;
const STEP: i16 = -16;
const IP_LENGTH: i16 = -24;

/// Operations of the 64-bit class, immediate form (RFC 9669 section 4.1);
/// [`REGISTER`] makes the register form, [`HALF`] the 32-bit class.
const ADD: u8 = 0x07;
const SUB: u8 = 0x17;
const MUL: u8 = 0x27;
const DIV: u8 = 0x37;
const OR: u8 = 0x47;
const AND: u8 = 0x57;
const SHR: u8 = 0x77;
const MOD: u8 = 0x97;
const XOR: u8 = 0xa7;
const MOV: u8 = 0xb7;
const REGISTER: u8 = 0x08;
const HALF: u8 = 0x03;
/// Jumps, immediate form.
const IF_EQUAL: u8 = 0x15;
const IF_GREATER: u8 = 0x25;
const IF_AT_LEAST: u8 = 0x35;
const IF_NOT_EQUAL: u8 = 0x55;
const IF_LESS: u8 = 0xa5;
const ALWAYS: u8 = 0x05;
/// Memory: load and store of 64, 32 and 16 bits.
const LOAD64: u8 = 0x79;
const LOAD32: u8 = 0x61;
const STORE64: u8 = 0x7b;
const STORE32: u8 = 0x63;
const STORE16: u8 = 0x6b;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
/// To network byte order.
const SWAP: u8 = 0xdc;
/// Helpers (`enum bpf_func_id`).
const KTIME_GET_NS: i32 = 5;
const XDP_ADJUST_TAIL: i32 = 65;
/// What the program returns (`enum xdp_action`).
const XDP_ABORTED: i32 = 0;
const XDP_PASS: i32 = 2;
const XDP_TX: i32 = 3;

/// An instruction as the kernel takes it (`struct bpf_insn`).
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// A place in the program that jumps can name before it is there.
#[derive(Clone, Copy)]
struct Label(usize);

/// Instructions so far, and jumps whose distance is still open.
#[derive(Default)]
struct Program {
    code: Vec<Instruction>,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

impl Program {
    fn put(&mut self, code: u8, to: u8, from: u8, offset: i16, immediate: i32) {
        self.code.push(Instruction { code, registers: to | from << 4, offset, immediate });
    }
    fn value(&mut self, operation: u8, to: u8, immediate: i32) {
        self.put(operation, to, 0, 0, immediate);
    }
    fn register(&mut self, operation: u8, to: u8, from: u8) {
        self.put(operation | REGISTER, to, from, 0, 0);
    }
    fn load(&mut self, width: u8, to: u8, base: u8, offset: i16) {
        self.put(width, to, base, offset, 0);
    }
    fn store(&mut self, width: u8, base: u8, offset: i16, from: u8) {
        self.put(width, base, from, offset, 0);
    }
    fn call(&mut self, helper: i32) {
        self.put(CALL, 0, 0, 0, helper);
    }
    fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }
    fn here(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }
    fn jump(&mut self, condition: u8, register: u8, immediate: i32, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.put(condition, register, 0, 0, immediate);
    }
    fn jump_register(&mut self, condition: u8, left: u8, right: u8, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.put(condition | REGISTER, left, right, 0, 0);
    }
    /// Adds to one of the map's counters; `scratch` is lost.
    fn count(&mut self, offset: i16, from: u8, scratch: u8) {
        self.load(LOAD64, scratch, R7, offset);
        self.register(ADD, scratch, from);
        self.store(STORE64, R7, offset, scratch);
    }
    fn finish(mut self) -> Vec<Instruction> {
        for (at, label) in &self.jumps {
            let target = self.labels[label.0].expect("every label is placed");
            self.code[*at].offset = (target as i64 - *at as i64 - 1) as i16;
        }
        self.code
    }
}

/// The whole program: pace, choose, cut, write, count.
pub fn program(plan: &Plan, map: i32) -> Vec<Instruction> {
    let mut p = Program::default();
    let abort = p.label();
    p.register(MOV, R6, R1);
    // A 64-bit immediate takes two instructions; source 2 is BPF_PSEUDO_MAP_VALUE.
    p.put(0x18, R7, 2, 0, map);
    p.put(0, 0, 0, 0, 0);
    pace(&mut p, plan);
    choose(&mut p, plan);
    if plan.handshake || plan.sizes.0 != plan.sizes.1 {
        p.register(MOV, R1, R6);
        p.load(LOAD64, R2, STACK, SIZE);
        p.value(SUB, R2, plan.sizes.1 as i32);
        p.call(XDP_ADJUST_TAIL);
        p.jump(IF_NOT_EQUAL, R0, 0, abort);
    }
    write_headers(&mut p, plan, abort);
    count(&mut p, plan);
    p.value(MOV, R0, if plan.send { XDP_TX } else { XDP_PASS });
    p.put(EXIT, 0, 0, 0, 0);
    p.here(abort);
    p.value(MOV, R0, XDP_ABORTED);
    p.put(EXIT, 0, 0, 0, 0);
    p.finish()
}

/// Leaves the frame's number in R8 when its time has come. Frame n is due at
/// began + n / rate, so a stall is made good for and the mean rate is kept.
fn pace(p: &mut Program, plan: &Plan) {
    let began = p.label();
    p.load(LOAD64, R8, R7, FRAMES);
    p.jump(IF_NOT_EQUAL, R8, 0, began);
    p.call(KTIME_GET_NS);
    p.store(STORE64, R7, BEGAN_NS, R0);
    p.here(began);
    // 1,024ths of nanoseconds: below 2^64 for 2^32 frames a millisecond apart.
    let Some(interval) = (1_000_000_000u64 * 1_024).checked_div(plan.rate.into()) else { return };
    let (look, due) = (p.label(), p.label());
    p.register(MOV, R9, R8);
    p.value(MUL, R9, interval as i32);
    p.value(SHR, R9, 10);
    p.load(LOAD64, R1, R7, BEGAN_NS);
    p.register(ADD, R9, R1);
    p.value(MOV, R8, 0);
    p.here(look);
    for _ in 0..READINGS {
        p.call(KTIME_GET_NS);
    }
    p.jump_register(IF_AT_LEAST, R0, R9, due);
    p.value(ADD, R8, 1);
    p.jump(IF_LESS, R8, PATIENCE, look);
    p.value(MOV, R1, 1);
    p.count(EARLY, R1, R2);
    p.here(due);
    p.load(LOAD64, R8, R7, FRAMES);
}

/// Flow (R9), step within the flow, size and IP length of frame R8. Flows take
/// turns. A flow's size depends on its number alone, so that its sequence
/// numbers follow from the step.
fn choose(p: &mut Program, plan: &Plan) {
    p.register(MOV, R9, R8);
    p.value(MOD, R9, plan.flows as i32);
    p.register(MOV, R2, R8);
    p.value(DIV, R2, plan.flows as i32);
    p.store(STORE64, STACK, STEP, R2);
    p.register(MOV, R1, R9);
    p.value(MUL, R1, 0x1e37_79b1);
    p.value(SHR, R1, 9);
    p.value(AND, R1, 0xffff);
    p.value(MUL, R1, (plan.sizes.1 - plan.sizes.0 + 1) as i32);
    p.value(SHR, R1, 16);
    p.value(ADD, R1, plan.sizes.0 as i32);
    p.register(MOV, R3, R1);
    p.value(SUB, R3, ETHERNET as i32);
    if plan.handshake {
        // No payload; the frame is padded.
        let data = p.label();
        p.jump(IF_GREATER, R2, 2, data);
        p.value(MOV, R1, SMALLEST as i32);
        p.value(MOV, R3, 40);
        p.here(data);
    }
    p.store(STORE64, STACK, SIZE, R1);
    p.store(STORE64, STACK, IP_LENGTH, R3);
}

/// Everything in the headers that differs between frames.
fn write_headers(p: &mut Program, plan: &Plan, abort: Label) {
    let not_answer = p.label();
    // TCP first: sequence, acknowledgement, flags, in the registers R3, R4, R5.
    p.load(LOAD32, R2, R6, 0);
    p.load(LOAD32, R3, R6, 4);
    p.register(MOV, R4, R2);
    p.value(ADD, R4, HEADERS as i32);
    p.jump_register(IF_GREATER, R4, R3, abort);
    sequence(p, plan);
    p.value(SWAP, R3, 32);
    p.store(STORE32, R2, 38, R3);
    p.value(SWAP, R4, 32);
    p.store(STORE32, R2, 42, R4);
    p.value(OR, R5, 0x5000);
    p.value(SWAP, R5, 16);
    p.store(STORE16, R2, 46, R5);

    // Addresses in R4 and R5, ports in R0 and R1.
    p.register(MOV, R4, R9);
    p.value(MUL, R4, 0x9e35);
    p.value(AND, R4, 0xffff);
    p.value(OR ^ HALF, R4, 0xc612_0000u32 as i32);
    p.register(MOV, R5, R9);
    p.value(MUL, R5, 0x1e37_79b1);
    p.value(SHR, R5, 20);
    p.value(AND, R5, 127);
    p.value(ADD, R5, 1);
    p.value(OR ^ HALF, R5, 0xc613_0000u32 as i32);
    p.register(MOV, R0, R9);
    p.value(SHR, R0, 16);
    p.value(ADD, R0, 10_000);
    p.value(MOV, R1, 443);
    if plan.handshake {
        p.load(LOAD64, R3, STACK, STEP);
        p.jump(IF_NOT_EQUAL, R3, 1, not_answer);
        for (one, other) in [(R4, R5), (R0, R1)] {
            p.register(MOV, R3, one);
            p.register(MOV, one, other);
            p.register(MOV, other, R3);
        }
    }
    p.here(not_answer);
    p.value(SWAP, R0, 16);
    p.store(STORE16, R2, 34, R0);
    p.value(SWAP, R1, 16);
    p.store(STORE16, R2, 36, R1);
    ip(p);
}

/// R3 = sequence number, R4 = acknowledgement, R5 = flags.
fn sequence(p: &mut Program, plan: &Plan) {
    let end = p.label();
    p.load(LOAD64, R0, STACK, STEP);
    // Both sides' first numbers.
    p.register(MOV, R3, R9);
    p.value(MUL, R3, 0x0123_4567);
    p.register(MOV, R4, R9);
    p.value(MUL, R4, 0x0765_4321);
    if plan.handshake {
        let (syn, answer, data) = (p.label(), p.label(), p.label());
        p.jump(IF_EQUAL, R0, 0, syn);
        p.jump(IF_EQUAL, R0, 1, answer);
        p.value(ADD, R3, 1);
        p.value(ADD, R4, 1);
        p.value(MOV, R5, 0x10);
        p.jump(IF_EQUAL, R0, 2, end);
        p.value(SUB, R0, 3);
        p.jump(ALWAYS, 0, 0, data);
        p.here(syn);
        p.value(MOV, R4, 0);
        p.value(MOV, R5, 0x02);
        p.jump(ALWAYS, 0, 0, end);
        p.here(answer);
        p.register(XOR, R3, R4);
        p.register(XOR, R4, R3);
        p.register(XOR, R3, R4);
        p.value(ADD, R4, 1);
        p.value(MOV, R5, 0x12);
        p.jump(ALWAYS, 0, 0, end);
        p.here(data);
    }
    p.value(MOV, R5, 0x18);
    p.load(LOAD64, R1, STACK, IP_LENGTH);
    p.value(SUB, R1, 40);
    p.register(MUL, R1, R0);
    p.register(ADD, R3, R1);
    p.here(end);
}

/// Length, addresses (R4 to R5, host order) and checksum of the IPv4 header at R2.
fn ip(p: &mut Program) {
    p.load(LOAD64, R3, STACK, IP_LENGTH);
    p.register(MOV, R0, R3);
    // Version and length, DF, TTL 64 and TCP: the words that are always the same.
    p.value(ADD, R0, 0x4500 + 0x4000 + 0x4006);
    for address in [R4, R5] {
        p.register(MOV, R1, address);
        p.value(SHR, R1, 16);
        p.register(ADD, R0, R1);
        p.register(MOV, R1, address);
        p.value(AND, R1, 0xffff);
        p.register(ADD, R0, R1);
    }
    for _ in 0..2 {
        p.register(MOV, R1, R0);
        p.value(SHR, R1, 16);
        p.value(AND, R0, 0xffff);
        p.register(ADD, R0, R1);
    }
    p.value(XOR, R0, 0xffff);
    for (register, bits, width, at) in
        [(R3, 16, STORE16, 16), (R0, 16, STORE16, 24), (R4, 32, STORE32, 26), (R5, 32, STORE32, 30)]
    {
        p.value(SWAP, register, bits);
        p.store(width, R2, at, register);
    }
}

/// The frame is whole: count it.
fn count(p: &mut Program, plan: &Plan) {
    let (not_answer, not_last) = (p.label(), p.label());
    p.load(LOAD64, R1, STACK, SIZE);
    p.count(BYTES, R1, R2);
    if plan.handshake {
        p.load(LOAD64, R1, STACK, STEP);
        p.jump(IF_NOT_EQUAL, R1, 1, not_answer);
        p.count(ANSWERS, R1, R2);
    }
    p.here(not_answer);
    p.value(ADD, R8, 1);
    p.store(STORE64, R7, FRAMES, R8);
    // Reading the clock for every frame would cost as much as writing it.
    p.register(MOV, R1, R8);
    p.value(AND, R1, 1_023);
    let stamp = p.label();
    p.jump(IF_EQUAL, R1, 0, stamp);
    p.jump(IF_LESS, R8, plan.count as i32, not_last);
    p.here(stamp);
    p.call(KTIME_GET_NS);
    p.store(STORE64, R7, ENDED_NS, R0);
    p.here(not_last);
}

/// The frame before the program has written into it: headers, then zeros.
pub fn frame(plan: &Plan) -> Vec<u8> {
    let mut frame = vec![0u8; plan.sizes.1 as usize];
    frame[..14].copy_from_slice(&[0x02, 0, 0, 0, 0xff, 0xfe, 0x02, 0, 0, 0, 0xff, 0x01, 0x08, 0x00]);
    frame[14] = 0x45;
    frame[20..24].copy_from_slice(&[0x40, 0, 64, 6]);
    // Window; the TCP checksum stays 0.
    frame[48..50].copy_from_slice(&[0xfa, 0xf0]);
    frame
}
