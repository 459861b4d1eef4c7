//! tcpdump expressions: compiled by libpcap, run by the kernel for rings and
//! by our own machine for files.
//!
//! This room knows programs and how to say what is wrong with an expression.
//! It does not know sockets (rings attach programs themselves) nor packets.
//! - Every [`Program`] has passed [`verify`].
//! - A file's program is libpcap's, instruction for instruction. A ring's has
//!   libpcap's VLAN special handling (the kernel strips the outer tag before
//!   the filter runs), counts the stripped tag in `len`, and has no loops.
//! - As in tcpdump, an expression that does not say `vlan` sees a tagged frame
//!   of a ring as if it had no tag; in a file it sees the tag's ethertype.
//! - Where the two machines differ, so does tcpdump live and on a file: shifts
//!   by a packet's value above 31, and indices below 0 (`ip[ip[0] - 70]`).
//!
//! Sources: pcap-filter(7), pcap_compile(3PCAP), libpcap `gencode.c`
//! (gen_vlan, bpf_codegen_flags), Linux `net/core/filter.c`.

mod machine;
mod place;
mod rewrite;

use std::ffi::CString;
use std::fmt;

pub use machine::{PROGRAM_MAX, VerifyError, code, run, verify};
pub use place::Place;

use crate::capture::LinkType;
use crate::capture::sys::libpcap::{self, Handle, Library, OpenError};

/// Most instructions that a socket takes (BPF_MAXINSNS, `linux/bpf_common.h`).
pub const SOCKET_MAX: usize = 4096;

/// First offset of the kernel's ancillary data (SKF_AD_OFF, `linux/filter.h`),
/// and how far libpcap's programs may reach into it.
const ANCILLARY: std::ops::Range<u32> = 0xffff_f000..0xffff_f100;

/// DLT_EN10MB and DLT_RAW as Linux numbers it (`pcap/dlt.h`).
const DLT_ETHERNET: i32 = 1;
const DLT_RAW: i32 = 12;

/// One instruction, laid out as the kernel's `struct sock_filter` and
/// libpcap's `struct bpf_insn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Class, size, mode, operation ([`code`]).
    pub code: u16,
    /// Instructions to leave out where a condition holds.
    pub jt: u8,
    /// Instructions to leave out where it does not hold.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// A program that [`verify`] has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    instructions: Box<[Instruction]>,
}

impl Program {
    /// Checks and takes instructions.
    ///
    /// # Errors
    /// What [`verify`] finds.
    pub fn new(instructions: Vec<Instruction>) -> Result<Program, VerifyError> {
        verify(&instructions)?;
        Ok(Program { instructions: instructions.into() })
    }

    /// The instructions, at least one. A ring's are at most [`SOCKET_MAX`].
    #[inline]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }
}

/// Why an expression gave no program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterError {
    /// libpcap is not installed, or is no libpcap; the loader's words.
    NoLibrary(String),
    /// libpcap refuses the expression.
    Refused {
        /// The expression.
        expression: String,
        /// libpcap's sentence.
        message: String,
        /// The words that are wrong.
        place: Place,
    },
    /// The expression asks what only the kernel of a live interface knows.
    LiveOnly {
        /// The expression.
        expression: String,
    },
    /// libpcap cannot open the interface to compile for it.
    Interface {
        /// Its name.
        interface: String,
        /// libpcap's words.
        message: String,
    },
    /// The interface's frames are neither Ethernet nor bare IP.
    LinkType {
        /// Its name.
        interface: String,
        /// Its DLT_ number.
        dlt: i32,
    },
    /// The program is longer than a socket takes.
    TooLong {
        /// The expression.
        expression: String,
        /// Instructions.
        instructions: usize,
    },
    /// libpcap made a program that must not run.
    Unsound {
        /// The expression.
        expression: String,
        /// What is wrong with the program.
        error: VerifyError,
    },
    /// libpcap has no memory for a handle.
    NoHandle(String),
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FilterError::NoLibrary(why) => write!(
                f,
                "filter expressions need the library libpcap, which cannot be loaded: install libpcap0.8 \
                 (Debian, Ubuntu) or libpcap (Fedora, Arch), or leave the expression out ({why})"
            ),
            FilterError::Refused { expression, message, place } => {
                write!(f, "filter expression: {message}, at the mark\n{}", place.show(expression))
            }
            FilterError::LiveOnly { expression } => write!(
                f,
                "filter expression: '{expression}' asks for what only a live interface knows \
                 (inbound, outbound, ifindex): leave that out to read files"
            ),
            FilterError::Interface { interface, message } => write!(
                f,
                "filter expression: libpcap cannot open interface {interface} to compile for it: {message}"
            ),
            FilterError::LinkType { interface, dlt } => write!(
                f,
                "filter expression: frames of interface {interface} are neither Ethernet nor bare IP \
                 (link type {dlt}): leave the expression or the interface out"
            ),
            FilterError::TooLong { expression, instructions } => write!(
                f,
                "filter expression: '{expression}' needs {instructions} instructions where the kernel takes \
                 {SOCKET_MAX}: shorten it, with nets for hosts and portranges for ports"
            ),
            FilterError::Unsound { expression, error } => write!(
                f,
                "filter expression: libpcap makes of '{expression}' a program that cannot run ({error}): \
                 say it in another way, or update libpcap"
            ),
            FilterError::NoHandle(message) => {
                write!(f, "filter expression: libpcap cannot be used: {message}; free some memory")
            }
        }
    }
}

impl std::error::Error for FilterError {}

/// The compiler of expressions. It keeps nothing: callers keep programs.
#[derive(Clone, Copy, Debug)]
pub enum Filter {}

impl Filter {
    /// Compiles for a capture file whose frames begin as `link_type` says: the
    /// program of `tcpdump -y … -ddd`. A Null file that was written in the
    /// other byte order is a `Loop` file on a little-endian machine. Blocks
    /// while names in the expression are looked up.
    ///
    /// # Errors
    /// No library, a wrong expression, or one that needs a live interface.
    pub fn for_file(expression: &str, link_type: LinkType) -> Result<Program, FilterError> {
        let handle =
            library()?.open_dead(dlt(link_type)).map_err(|e| FilterError::NoHandle(e.to_string()))?;
        let instructions = compile(&handle, expression)?;
        // Cooked frames carry the direction themselves; others do not, and a
        // program that asks the kernel for it would refuse every frame.
        let loads = |i: &Instruction| matches!(i.code, code::LD_W_ABS | code::LD_H_ABS | code::LD_B_ABS);
        if instructions.iter().any(|i| loads(i) && ANCILLARY.contains(&i.k)) {
            return Err(FilterError::LiveOnly { expression: expression.into() });
        }
        checked(expression, instructions)
    }

    /// Compiles for a packet socket (SOCK_RAW) on a live interface. Blocks
    /// while names are looked up; opens a packet socket of libpcap's for the
    /// moment, as libpcap's VLAN special handling has no other switch, so it
    /// needs CAP_NET_RAW, which the ring needs anyway. (Some 50 ms, as the
    /// kernel lets go of that socket.) `len`, `less` and `greater` see the
    /// frame with its tag, but a super-frame whole, up to 64 KiB and more.
    ///
    /// # Errors
    /// No library, a wrong expression, an interface that libpcap cannot open or
    /// whose frames are not Ethernet, or a program too long for the kernel.
    pub fn for_ring(expression: &str, interface: &str) -> Result<Program, FilterError> {
        let handle = live(library()?, interface)?;
        let mut instructions = checked(expression, compile(&handle, expression)?)?.instructions.into_vec();
        let too_long = |instructions| FilterError::TooLong { expression: expression.into(), instructions };
        if rewrite::has_loops(&instructions) {
            instructions = rewrite::unroll(&instructions).ok_or(too_long(instructions.len()))?;
        }
        if handle.datalink() == DLT_ETHERNET {
            instructions = rewrite::count_stripped_tag(&instructions);
        }
        if instructions.len() > SOCKET_MAX {
            return Err(too_long(instructions.len()));
        }
        checked(expression, instructions)
    }
}

/// A program for a socket: what `filter` selects (without one: everything),
/// returning `snaplen` bytes of it, at least 1, as 0 would refuse the frame.
pub fn compose(filter: Option<&Program>, snaplen: u32) -> Program {
    let snaplen = snaplen.max(1);
    let instructions = match filter {
        Some(filter) => rewrite::accept_with(filter.instructions(), snaplen),
        None => vec![rewrite::plain(code::RET_K, snaplen)],
    };
    Program { instructions: instructions.into() }
}

/// The gate: a program that refuses every frame.
pub fn drop_all() -> Program {
    Program { instructions: Box::new([rewrite::plain(code::RET_K, 0)]) }
}

fn library() -> Result<&'static Library, FilterError> {
    libpcap::library().map_err(|why| FilterError::NoLibrary(why.into()))
}

fn compile(handle: &Handle, expression: &str) -> Result<Vec<Instruction>, FilterError> {
    handle.compile(expression).map_err(|message| FilterError::Refused {
        place: place::find(expression, &message, |part| handle.compile(part).map(drop)),
        message: place::sentence(&message).into(),
        expression: expression.into(),
    })
}

fn checked(expression: &str, instructions: Vec<Instruction>) -> Result<Program, FilterError> {
    Program::new(instructions).map_err(|error| FilterError::Unsound { expression: expression.into(), error })
}

/// A handle that compiles for the interface.
fn live(library: &'static Library, interface: &str) -> Result<Handle, FilterError> {
    let refused = |message: String| FilterError::Interface { interface: interface.into(), message };
    let name = CString::new(interface).map_err(|_| refused("its name holds a zero byte".into()))?;
    let handle = match library.open_live(&name) {
        // libpcap does not open what is down, but a ring may wait on it. Nothing
        // in a program depends on the interface but its link type, so that
        // of another Ethernet interface serves.
        Err(OpenError::NotUp) if libpcap::is_ethernet(&name) => library.open_live(c"lo"),
        other => other,
    };
    let handle = handle.map_err(|error| refused(error.to_string()))?;
    match handle.datalink() {
        DLT_ETHERNET | DLT_RAW => Ok(handle),
        dlt => Err(FilterError::LinkType { interface: interface.into(), dlt }),
    }
}

/// libpcap's DLT_ number on Linux. From 104 on LINKTYPE and DLT are one; of the
/// others (and 106) those that `pcap/dlt.h` numbers differently are named here.
fn dlt(link_type: LinkType) -> i32 {
    match link_type {
        LinkType::Ethernet => DLT_ETHERNET,
        LinkType::LinuxSll => 113,
        LinkType::LinuxSll2 => 276,
        LinkType::RawIp => DLT_RAW,
        LinkType::Null => 0,
        LinkType::Loop => 108,
        LinkType::Other(100) => 11, // ATM RFC 1483
        LinkType::Other(102) => 15, // BSD/OS SLIP
        LinkType::Other(103) => 16, // BSD/OS PPP
        LinkType::Other(106) => 19, // classical IP over ATM
        LinkType::Other(linktype) => linktype.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_names_its_packages() {
        let sentence = FilterError::NoLibrary("libpcap.so.0.8: not found".into()).to_string();
        for word in ["libpcap0.8", "Debian", "Fedora", "Arch", "libpcap.so.0.8: not found"] {
            assert!(sentence.contains(word), "{word} is not in: {sentence}");
        }
        assert!(!sentence.contains('\n') && !sentence.contains("  "), "{sentence}");
    }

    #[test]
    fn a_zero_byte_is_refused() {
        if let Err(why) = libpcap::library() {
            eprintln!("SKIPPED: no libpcap: {why}");
            return;
        }
        let error = Filter::for_file("tcp\0or udp", LinkType::Ethernet).unwrap_err().to_string();
        assert_eq!(
            error,
            "filter expression: syntax error: a zero byte, at the mark\n  tcp or udp\n  ^~~~~~"
        );
    }

    /// Every link type of a file has a number that libpcap compiles for.
    #[test]
    fn link_types_select_ip() {
        if let Err(why) = libpcap::library() {
            eprintln!("SKIPPED: no libpcap: {why}");
            return;
        }
        let ip =
            [&[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2][..], &[0; 20]].concat();
        let family = 2u32; // AF_INET everywhere
        let cases = [
            (LinkType::Ethernet, [&[0; 12][..], &[8, 0]].concat()),
            (LinkType::LinuxSll, [&[0; 14][..], &[8, 0]].concat()),
            (LinkType::LinuxSll2, [&[8, 0][..], &[0; 18]].concat()),
            (LinkType::RawIp, vec![]),
            (LinkType::Other(228), vec![]), // LINKTYPE_IPV4
            (LinkType::Null, family.to_ne_bytes().to_vec()),
            (LinkType::Loop, family.to_be_bytes().to_vec()),
            (LinkType::Other(9), vec![0xff, 3, 0, 0x21]), // PPP
        ];
        for (link_type, header) in cases {
            let frame = [header, ip.clone()].concat();
            for (expression, selects) in [("host 10.0.0.2 and tcp", true), ("udp or host 10.0.0.3", false)] {
                let program = Filter::for_file(expression, link_type).expect(expression);
                assert_eq!(run(&program, &frame, 60) > 0, selects, "{link_type:?} {expression}");
            }
        }
    }
}
