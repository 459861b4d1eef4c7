//! Puts TCP frames on an interface as fast as the kernel can take them, and
//! says exactly how many.
//!
//! One `BPF_PROG_TEST_RUN` call with `BPF_F_TEST_XDP_LIVE_FRAMES` runs a small
//! XDP program once for each frame; the program writes the frame's addresses,
//! length and sequence numbers, waits for the frame's time, counts it in a map
//! and passes it to the stack as received on the interface (or sends it out).
//! The counts are read from the map afterwards: they are the truth, also when
//! the run was stopped by a signal.
//!
//! Needs root and an interface whose receive queue takes XDP (veth: only with
//! NAPI, `ethtool -K IF gro on`; with `--send` both ends). Addresses are of
//! 198.18.0.0/15 (RFC 2544), the destination's MAC belongs to nobody, so that
//! the stack lets go of a frame right behind the taps.
//!
//! Sources: kernel `net/bpf/test_run.c` (`bpf_test_run_xdp_live`: pages are
//! used again with the bytes that the program left, the packet's bounds are
//! set anew), RFC 9669 (instruction encoding).

use std::io;
use std::process::ExitCode;
use std::time::Duration;

/// What to send.
#[derive(Clone, Debug)]
struct Plan {
    interface: String,
    count: u32,
    flows: u32,
    /// Smallest and largest frame, without FCS; each flow keeps one size.
    sizes: (u32, u32),
    /// Frames a second; 0 is as fast as it goes.
    rate: u32,
    batch: u32,
    cpu: Option<usize>,
    /// Each flow begins with SYN, SYN/ACK, ACK.
    handshake: bool,
    /// Out of the interface, to its peer, in place of up the stack.
    send: bool,
}

const ETHERNET: u32 = 14;
/// Ethernet, IPv4 and TCP header without options.
const HEADERS: u32 = ETHERNET + 40;
/// A frame's least length without FCS.
const SMALLEST: u32 = 60;
const LARGEST: u32 = 1514;
/// Looks at the clock before a frame is sent though its time has not come. The
/// verifier wants an end to every loop and follows at most 8,192 jumps
/// (BPF_COMPLEXITY_LIMIT_JMP_SEQ), so each look reads the clock several times:
/// together more than 400 microseconds at 20 ns a reading.
const PATIENCE: i32 = 7_000;
const READINGS: usize = 3;

// --- The program ------------------------------------------------------------

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

/// Offsets in the map's value, all of them 64 bits.
const FRAMES: i16 = 0;
const BYTES: i16 = 8;
const ANSWERS: i16 = 16;
const BEGAN_NS: i16 = 24;
const ENDED_NS: i16 = 32;
const EARLY: i16 = 40;
const VALUES: usize = 6;

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
struct Instruction {
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
fn program(plan: &Plan, map: i32) -> Vec<Instruction> {
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
fn frame(plan: &Plan) -> Vec<u8> {
    let mut frame = vec![0u8; plan.sizes.1 as usize];
    frame[..14].copy_from_slice(&[0x02, 0, 0, 0, 0xff, 0xfe, 0x02, 0, 0, 0, 0xff, 0x01, 0x08, 0x00]);
    frame[14] = 0x45;
    frame[20..24].copy_from_slice(&[0x40, 0, 64, 6]);
    // Window; the TCP checksum stays 0.
    frame[48..50].copy_from_slice(&[0xfa, 0xf0]);
    frame
}

// --- The system call --------------------------------------------------------

const MAP_CREATE: libc::c_int = 0;
const MAP_LOOKUP_ELEM: libc::c_int = 1;
const PROG_LOAD: libc::c_int = 5;
const PROG_TEST_RUN: libc::c_int = 10;

/// `union bpf_attr` as 64-bit words; what a command does not use is zero.
type Attributes = [u64; 18];

/// Two 32-bit members that share a word.
fn pair(first: u32, second: u32) -> u64 {
    let (a, b) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes([a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]])
}

fn address<T>(of: &[T]) -> u64 {
    of.as_ptr() as u64
}

fn bpf(command: libc::c_int, attributes: &mut Attributes) -> io::Result<i32> {
    // SAFETY: the kernel reads and writes `size_of::<Attributes>()` bytes at
    // `attributes`, which is that long and borrowed mutably; the callers keep
    // every buffer that a word of it points to alive, and of the length stated
    // beside it, until the call returns.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size_of::<Attributes>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

/// An array map with one value, [`VALUES`] words long.
fn create_map() -> io::Result<i32> {
    let mut attributes = Attributes::default();
    attributes[0] = pair(2, 4); // BPF_MAP_TYPE_ARRAY, key size
    attributes[1] = pair(8 * VALUES as u32, 1);
    bpf(MAP_CREATE, &mut attributes)
}

fn read_map(map: i32) -> io::Result<[u64; VALUES]> {
    let key = [0u32];
    let mut values = [0u64; VALUES];
    let mut attributes = Attributes::default();
    attributes[0] = pair(map as u32, 0);
    attributes[1] = address(&key);
    attributes[2] = values.as_mut_ptr() as u64;
    bpf(MAP_LOOKUP_ELEM, &mut attributes)?;
    Ok(values)
}

/// Loads the program; if the verifier refuses it, its last words are the error.
fn load(code: &[Instruction]) -> io::Result<i32> {
    let license = b"Dual MIT/GPL\0";
    let mut attributes = Attributes::default();
    attributes[0] = pair(6, code.len() as u32); // BPF_PROG_TYPE_XDP
    attributes[1] = address(code);
    attributes[2] = address(license);
    bpf(PROG_LOAD, &mut attributes).or_else(|error| {
        let mut log = vec![0u8; 1 << 24];
        attributes[3] = pair(1, log.len() as u32);
        attributes[4] = log.as_mut_ptr() as u64;
        if let Ok(program) = bpf(PROG_LOAD, &mut attributes) {
            return Ok(program);
        }
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.trim_end_matches('\0').lines().collect();
        let last = lines[lines.len().saturating_sub(12)..].join("\n");
        Err(io::Error::new(error.kind(), format!("the kernel refuses the program ({error}):\n{last}")))
    })
}

/// One run of all frames. A signal ends it early; the map knows how far it came.
fn run(plan: &Plan, program: i32, ifindex: u32) -> io::Result<()> {
    let frame = frame(plan);
    // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
    let context = [0u32, frame.len() as u32, 0, ifindex, 0, 0];
    let mut attributes = Attributes::default();
    attributes[0] = pair(program as u32, 0);
    attributes[1] = pair(frame.len() as u32, 0);
    attributes[2] = address(&frame);
    attributes[4] = pair(plan.count, 0);
    attributes[5] = pair(size_of_val(&context) as u32, 0);
    attributes[6] = address(&context);
    attributes[8] = pair(1 << 1, 0); // BPF_F_TEST_XDP_LIVE_FRAMES
    attributes[9] = pair(plan.batch, 0);
    match bpf(PROG_TEST_RUN, &mut attributes) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

fn interface_index(name: &str) -> io::Result<u32> {
    let name = std::ffi::CString::new(name)?;
    // SAFETY: `name` is a string with its closing zero and outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: all zeros is an empty `cpu_set_t`; `cpu` is below CPU_SETSIZE, so
    // the bit is inside it; the kernel reads the size stated.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

extern "C" fn nothing(_: libc::c_int) {}

/// SIGINT and SIGTERM only interrupt the run, so that the counts are printed.
fn catch_signals() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: zeros are a valid `sigaction` (no flags, so the call is not
        // restarted; empty mask); the handler does nothing, which is safe at
        // any point, and lives as long as the program.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize;
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
}

// --- The command ------------------------------------------------------------

const USAGE: &str = "usage: load --interface IF [--count N] [--flows N] [--size BYTES|LOW-HIGH] [--rate N]
  [--handshake] [--send] [--cpu N] [--batch N]
Frames of BYTES (60 to 1514, without FCS; with LOW-HIGH each flow has a size of its own) are
received by IF; with --send they leave it for its peer. --rate is frames a second, 2,500 or more;
without it, as fast as possible. Flows take turns. Prints what was sent as one JSON object.
Run it inside the interface's namespace: ip netns exec NAME load ...";

fn parse(mut words: impl Iterator<Item = String>) -> Result<Plan, String> {
    let mut plan = Plan {
        interface: String::new(),
        count: 1_000_000,
        flows: 1_000,
        sizes: (SMALLEST, SMALLEST),
        rate: 0,
        batch: 0,
        cpu: None,
        handshake: false,
        send: false,
    };
    while let Some(word) = words.next() {
        let mut text = || words.next().ok_or(format!("{word} needs a value."));
        let number = |text: &str| {
            text.replace(['_', ','], "")
                .parse::<u32>()
                .map_err(|_| format!("{word} {text}: not a number below 2^32."))
        };
        match word.as_str() {
            "--interface" => plan.interface = text()?,
            "--count" => plan.count = number(&text()?)?,
            "--flows" => plan.flows = number(&text()?)?,
            "--rate" => plan.rate = number(&text()?)?,
            "--batch" => plan.batch = number(&text()?)?,
            "--cpu" => plan.cpu = Some(number(&text()?)? as usize),
            "--size" => {
                let text = text()?;
                let (low, high) = text.split_once('-').unwrap_or((&text, &text));
                plan.sizes = (number(low)?, number(high)?);
            }
            "--handshake" => plan.handshake = true,
            "--send" => plan.send = true,
            _ => return Err(format!("{word} is not an option.")),
        }
    }
    check(plan)
}

fn check(mut plan: Plan) -> Result<Plan, String> {
    if plan.interface.is_empty() {
        return Err("--interface says where the frames arrive.".to_string());
    }
    if plan.count == 0 || plan.count > i32::MAX as u32 {
        return Err(format!("--count {} is not in 1 to {}.", plan.count, i32::MAX));
    }
    if plan.flows == 0 || plan.flows > 1 << 30 {
        return Err(format!("--flows {} is not in 1 to {}.", plan.flows, 1 << 30));
    }
    if plan.sizes.0 < SMALLEST || plan.sizes.1 > LARGEST || plan.sizes.0 > plan.sizes.1 {
        return Err(format!("--size is not in {SMALLEST} to {LARGEST}."));
    }
    if plan.rate != 0 && !(2_500..=1_000_000_000).contains(&plan.rate) {
        return Err(format!("--rate {} is not in 2500 to 1000000000.", plan.rate));
    }
    if plan.batch == 0 {
        // A batch reaches the stack as one; keep it shorter than 50 microseconds.
        plan.batch = if plan.rate == 0 { 64 } else { (plan.rate / 20_000).clamp(1, 64) };
    }
    Ok(plan)
}

fn carry_out(plan: &Plan) -> Result<[u64; VALUES], String> {
    let ifindex = interface_index(&plan.interface).map_err(|e| format!("{}: {e}", plan.interface))?;
    if let Some(cpu) = plan.cpu {
        pin(cpu).map_err(|e| format!("--cpu {cpu}: {e}"))?;
    }
    let map = create_map().map_err(|e| format!("no BPF map ({e}); this needs root."))?;
    let program = load(&program(plan, map)).map_err(|e| e.to_string())?;
    catch_signals();
    run(plan, program, ifindex).map_err(|e| {
        format!(
            "{}: {e}; a veth takes live frames only after ethtool -K {} gro on.",
            plan.interface, plan.interface
        )
    })?;
    read_map(map).map_err(|e| e.to_string())
}

fn main() -> ExitCode {
    let plan = match parse(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(sentence) => {
            eprintln!("{sentence}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match carry_out(&plan) {
        Ok([frames, bytes, answers, began, ended, early]) => {
            let seconds = Duration::from_nanos(ended.saturating_sub(began)).as_secs_f64();
            let answer_bytes = answers * u64::from(SMALLEST);
            println!(
                "{{\"packets\":{frames},\"bytes\":{bytes},\"flows\":{},\"c2s\":{{\"packets\":{},\"bytes\":{}}},\
                 \"s2c\":{{\"packets\":{answers},\"bytes\":{answer_bytes}}},\"seconds\":{seconds:.6},\
                 \"packets_per_second\":{:.0},\"early\":{early}}}",
                frames.min(plan.flows.into()),
                frames - answers,
                bytes - answer_bytes,
                if seconds > 0.0 { frames as f64 / seconds } else { 0.0 },
            );
            ExitCode::SUCCESS
        }
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}
