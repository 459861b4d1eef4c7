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

#[path = "load/program.rs"]
mod program;

use program::{Instruction, VALUES, frame, program};
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
