//! One TPACKET_V3 receive ring on one packet socket bound to one interface.
//!
//! Owns the socket, the ring's memory, its position in it, and the kernel's
//! figures for it. Knows no worker, no other ring and no clock; fanout.rs joins
//! several of these into a group, merge.rs puts them in time order.
//!
//! Invariants:
//! - A frame borrows from the ring, and its block goes back to the kernel only
//!   in a later call (which needs the ring again), so no frame outlives it.
//! - Nothing that the kernel wrote into a block is believed: each offset and
//!   length is checked against the block; what does not fit is counted
//!   (`frames_corrupt`, `blocks_corrupt`) and left out.
//! - A ring begins behind a closed gate (a filter that drops everything), so no
//!   frame of another interface, or dealt to the wrong member, is ever in it.
//! - frames read + drops = packets of [`Statistics`], once the ring is empty.
//!
//! Sources: linux/if_packet.h, net/packet/af_packet.c (tpacket_rcv, prb_*),
//! linux/virtio_net.h, Documentation/networking/packet_mmap.rst.

use super::filter::SOCKET_MAX;
use super::merge::Source;
use super::sys::{RingMap, SockFilter, Socket};
use super::{Direction, Frame, LinkId, LinkType};
use block::{Head, Sketch};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

mod block;

/// What a ring is to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingConfig {
    /// Memory of the ring, rounded down to whole blocks, at least two.
    pub bytes: usize,
    /// Bytes of a block, rounded up to a power of two of pages. A frame larger
    /// than a block is cut: above 64 KiB for super-frames.
    pub block_bytes: usize,
    /// Milliseconds after which a block that is not full is handed over.
    pub retire_ms: u32,
    /// Bytes to take of a frame, where no filter program says it.
    pub snaplen: u32,
    /// Whether to ask for virtio headers: the segment size of super-frames.
    pub vnet: bool,
    /// Whether the interface is to take frames for other stations too.
    pub promiscuous: bool,
}

impl Default for RingConfig {
    /// 64 MiB in blocks of 256 KiB, handed over after 10 ms at the latest, which
    /// costs nothing measurable against 100 ms (kernel 6.18, 20,000 packets/s).
    ///
    /// A quiet link's blocks are handed over nearly empty, so a ring never
    /// bridges a longer stall of its reader than blocks × `retire_ms`: 2.5 s
    /// here. Blocks of 1 MiB would make that 0.64 s, whatever the memory is for.
    fn default() -> RingConfig {
        RingConfig {
            bytes: 64 << 20,
            block_bytes: 256 << 10,
            retire_ms: 10,
            snaplen: 128,
            vnet: true,
            promiscuous: false,
        }
    }
}

/// The kernel's figures for a ring since its gate opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames that passed the filter, dropped ones included (`tp_packets`).
    pub packets: u64,
    /// Frames that found no room (`tp_drops`).
    pub drops: u64,
    /// Times that the ring was full (`tp_freeze_q_cnt`); one may cover any
    /// number of drops.
    pub freezes: u64,
}

/// Our own figures for a ring since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingCounts {
    /// Frames taken out of the ring, by whatever came of them.
    pub frames_read: u64,
    /// Frames left out on a loopback interface, where each is seen twice.
    pub frames_second_sight: u64,
    /// Frames left out because their place or size was not within the block.
    pub frames_corrupt: u64,
    /// Blocks left out because their own description was wrong.
    pub blocks_corrupt: u64,
}

/// What happened to the interface that a ring is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceEvent {
    /// It is down; capture goes on by itself when it is up again. A device that
    /// is being removed is down first: ask [`Ring::bound_name`] again later.
    Down,
    /// It is gone: this ring will not see a frame again, not even of an
    /// interface made anew under the same name.
    Gone,
    /// Another error of the socket, by its number.
    Error(i32),
}

/// Why an interface could not be opened.
#[derive(Debug)]
pub enum CaptureError {
    /// The process may not open packet sockets (EPERM, EACCES).
    NotPermitted {
        /// The interface.
        interface: String,
    },
    /// No interface has this name here.
    NoSuchInterface {
        /// The interface.
        interface: String,
    },
    /// The interface is down, and this kernel cannot share it among workers then.
    InterfaceDown {
        /// The interface.
        interface: String,
    },
    /// There is no memory even for the smallest ring.
    NoMemory {
        /// The interface.
        interface: String,
        /// What was asked for last, in bytes.
        bytes: usize,
    },
    /// The kernel does not know what is needed.
    KernelTooOld {
        /// The interface.
        interface: String,
        /// The option that it refused.
        option: &'static str,
    },
    /// A program (filter or dealing) that the kernel does not take.
    ProgramRefused {
        /// The interface.
        interface: String,
        /// Its instructions.
        instructions: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// Anything else.
    Refused {
        /// The interface.
        interface: String,
        /// The step that failed.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The sort of a [`CaptureError`], for whoever knows what the user can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CaptureErrorKind {
    NotPermitted,
    NoSuchInterface,
    InterfaceDown,
    NoMemory,
    KernelTooOld,
    ProgramRefused,
    Refused,
}

impl CaptureError {
    /// The sort of error.
    pub fn kind(&self) -> CaptureErrorKind {
        match self {
            CaptureError::NotPermitted { .. } => CaptureErrorKind::NotPermitted,
            CaptureError::NoSuchInterface { .. } => CaptureErrorKind::NoSuchInterface,
            CaptureError::InterfaceDown { .. } => CaptureErrorKind::InterfaceDown,
            CaptureError::NoMemory { .. } => CaptureErrorKind::NoMemory,
            CaptureError::KernelTooOld { .. } => CaptureErrorKind::KernelTooOld,
            CaptureError::ProgramRefused { .. } => CaptureErrorKind::ProgramRefused,
            CaptureError::Refused { .. } => CaptureErrorKind::Refused,
        }
    }

    /// The error that an error of the kernel's at `step` means.
    pub(super) fn new(interface: &str, step: &'static str, source: io::Error) -> CaptureError {
        let interface = interface.to_owned();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => CaptureError::NotPermitted { interface },
            Some(libc::ENODEV | libc::ENXIO) => CaptureError::NoSuchInterface { interface },
            _ => CaptureError::Refused { interface, step, source },
        }
    }
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CaptureError::NotPermitted { interface } => {
                write!(f, "{interface}: not permitted to capture; this needs CAP_NET_RAW")
            }
            CaptureError::NoSuchInterface { interface } => {
                write!(f, "{interface}: no interface has this name; `ip link` lists them")
            }
            CaptureError::InterfaceDown { interface } => {
                write!(f, "{interface}: the interface is down; set it up or use one worker")
            }
            CaptureError::NoMemory { interface, bytes } => {
                write!(
                    f,
                    "{interface}: no memory for a ring of {bytes} bytes; free some or use fewer workers"
                )
            }
            CaptureError::KernelTooOld { interface, option } => {
                write!(f, "{interface}: the kernel does not know {option}; Linux 3.2 or later is needed")
            }
            CaptureError::ProgramRefused { interface, instructions, source } => write!(
                f,
                "{interface}: the kernel refused a program of {instructions} instructions ({source}); \
                 use a shorter filter"
            ),
            CaptureError::Refused { interface, step, source } => {
                write!(f, "{interface}: {step} failed: {source}; see packet(7)")
            }
        }
    }
}

impl std::error::Error for CaptureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CaptureError::ProgramRefused { source, .. } | CaptureError::Refused { source, .. } => {
                Some(source)
            }
            CaptureError::NotPermitted { .. }
            | CaptureError::NoSuchInterface { .. }
            | CaptureError::InterfaceDown { .. }
            | CaptureError::NoMemory { .. }
            | CaptureError::KernelTooOld { .. } => None,
        }
    }
}

/// TPACKET_V3 (enum tpacket_versions).
const TPACKET_V3: libc::c_int = 2;
/// A value that the kernel asks for but does not use with TPACKET_V3, other
/// than that it divides the block and is not smaller than a header.
const FRAME_BYTES: usize = 2048;
/// Smallest block: a page on every machine that has pages of up to 64 KiB.
const BLOCK_BYTES_MIN: usize = 64 << 10;
/// Largest block: 128 MiB, below what the buddy allocator or vmalloc refuses.
const BLOCK_BYTES_MAX: usize = 128 << 20;
const BLOCKS_MIN: usize = 2;
const _: () = assert!(BLOCK_BYTES_MIN.is_multiple_of(FRAME_BYTES));

/// Time that the kernel may hand a block over later than asked: its timer
/// looks once every `retire_ms` and retires what it has seen once before
/// (kernels before 6.18, prb_retire_rx_blk_timer_expired), and runs by ticks
/// of up to 10 ms.
const RETIRE_SLACK_MS: u64 = 10;

/// Before the filter of a loopback interface: refuses what is being sent, so
/// that each frame is in the ring, in the kernel's figures and in a ring's
/// memory once, as received. Programs of libpcap load A before they use it.
const NOT_OUTGOING: [SockFilter; 3] = [
    // ld #type, the packet's; jeq #PACKET_OUTGOING; ret #0
    SockFilter { code: 0x20, jt: 0, jf: 0, k: (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE).cast_unsigned() },
    SockFilter { code: 0x15, jt: 0, jf: 1, k: libc::PACKET_OUTGOING as u32 },
    SockFilter::ret(0),
];

/// A ring being read. See the module's description.
pub struct Ring {
    // Before the socket: unmapped first.
    map: RingMap,
    socket: Socket,
    interface: String,
    link: LinkId,
    link_type: LinkType,
    /// Each frame passes twice, sent and received: only the latter is taken.
    is_loopback: bool,
    bound_up: bool,
    config: RingConfig,
    /// Frames of the held block that have not been looked at.
    frames_left: u32,
    /// Where in the block the next of them begins.
    frame_at: usize,
    /// Bytes of the block that the kernel used.
    block_len: usize,
    /// The frame that comes next, already checked.
    head: Option<Head>,
    statistics: Statistics,
    counts: RingCounts,
}

impl Ring {
    /// Opens a ring on `interface` behind a closed gate: it is bound and mapped,
    /// and nothing comes in until [`Ring::set_filter`].
    ///
    /// Where the kernel refuses virtio headers the ring goes without; where
    /// memory is short it is smaller: see [`Ring::config`].
    pub fn open_gated(interface: &str, link: LinkId, config: &RingConfig) -> Result<Ring, CaptureError> {
        // afpacket copies the name into 16 bytes, of which the last must be 0.
        if interface.is_empty() || interface.len() >= libc::IFNAMSIZ || interface.contains('\0') {
            return Err(CaptureError::NoSuchInterface { interface: interface.to_owned() });
        }
        let failed = |step| move |error| CaptureError::new(interface, step, error);
        let mut socket = Socket::open().map_err(failed("opening a packet socket"))?;
        socket.attach_filter(&[SockFilter::ret(0)]).map_err(failed("closing the gate"))?;
        socket.set(libc::PACKET_VERSION, &TPACKET_V3).map_err(|_| CaptureError::KernelTooOld {
            interface: interface.to_owned(),
            option: "TPACKET_V3",
        })?;
        let mut config = *config;
        // Refused on kernels before 2.6.27 and on sockets that are not raw.
        config.vnet = config.vnet && socket.set(libc::PACKET_VNET_HDR, &1).is_ok();
        // PACKET_TIMESTAMP is left alone: software stamps are the default.
        config.block_bytes = config.block_bytes.clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX).next_power_of_two();
        let blocks = set_up(&socket, interface, &config)?;
        config.bytes = blocks * config.block_bytes;
        let map = RingMap::new(&socket, config.block_bytes, blocks).map_err(failed("mapping the ring"))?;
        socket.bind(interface).map_err(failed("binding"))?;
        let (_, hardware) = socket.bound().map_err(failed("asking for the interface's type"))?;
        // packet_do_bind binds to an interface that is down, with this error.
        let bound_up = !matches!(rustix::net::sockopt::socket_error(&socket), Ok(Err(_)));
        if config.promiscuous {
            socket.set_promiscuous(interface).map_err(failed("setting promiscuous mode"))?;
        }
        let mut ring = Ring {
            map,
            socket,
            interface: interface.to_owned(),
            link,
            link_type: link_type(hardware),
            is_loopback: false,
            bound_up,
            config,
            frames_left: 0,
            frame_at: 0,
            block_len: 0,
            head: None,
            statistics: Statistics::default(),
            counts: RingCounts::default(),
        };
        if hardware == libc::ARPHRD_LOOPBACK {
            // Spares running the filter on the outgoing sight; before 4.20 it
            // is not known, in a fanout group not heeded.
            let _ = ring.socket.set(libc::PACKET_IGNORE_OUTGOING, &1);
            ring.is_loopback = true;
        }
        ring.socket.take_statistics().map_err(failed("reading statistics"))?;
        Ok(ring)
    }

    /// The socket, to wait on: readable when a block is handed over.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether the interface was up when the ring was bound to it.
    pub(super) fn bound_up(&self) -> bool {
        self.bound_up
    }

    /// The socket, for what concerns a whole group.
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The name under which it was opened.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// The interface's number in this run.
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// How its frames begin.
    pub fn link_type(&self) -> LinkType {
        self.link_type
    }

    /// What it is like, as opposed to what was asked for: `bytes` may be less,
    /// `vnet` may be off.
    pub fn config(&self) -> &RingConfig {
        &self.config
    }

    /// Our own figures.
    pub fn counts(&self) -> RingCounts {
        self.counts
    }

    /// Sets the filter, also while frames come in; nothing is lost or doubled
    /// by it. What is in the ring already was taken by the one before. An empty
    /// program takes everything, up to the configured snaplen.
    pub fn set_filter(&self, program: &[SockFilter]) -> Result<(), CaptureError> {
        let all = [SockFilter::ret(self.config.snaplen)];
        let program = if program.is_empty() { &all } else { program };
        let once = [&NOT_OUTGOING, program].concat();
        // Where both are too long for one program, `next_head` leaves the sights out.
        let program = if self.is_loopback && once.len() <= SOCKET_MAX { &once } else { program };
        self.socket.attach_filter(program).map_err(|source| CaptureError::ProgramRefused {
            interface: self.interface.clone(),
            instructions: program.len(),
            source,
        })
    }

    /// The kernel's figures since the gate opened. Reading them resets the
    /// kernel's own, so they are summed here and must be read through here.
    pub fn statistics(&mut self) -> Result<Statistics, CaptureError> {
        let [packets, drops, freezes] = self
            .socket
            .take_statistics()
            .map_err(|error| CaptureError::new(&self.interface, "reading statistics", error))?;
        self.statistics.packets += u64::from(packets);
        self.statistics.drops += u64::from(drops);
        self.statistics.freezes += u64::from(freezes);
        Ok(self.statistics)
    }

    /// The same as last read, without asking the kernel.
    pub fn last_statistics(&self) -> Statistics {
        self.statistics
    }

    /// What happened to the interface since the last call, if anything. The
    /// frames that are in the ring can still be read.
    pub fn poll_error(&self) -> Option<DeviceEvent> {
        let mut polled = [PollFd::from_borrowed_fd(self.fd(), PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut polled, Some(&now)).ok()?;
        if !polled[0].revents().contains(PollFlags::ERR) {
            return None;
        }
        // Reading the error clears it.
        match rustix::net::sockopt::socket_error(self.fd()) {
            Ok(Err(rustix::io::Errno::NETDOWN)) => {
                Some(if self.bound_name().is_some() { DeviceEvent::Down } else { DeviceEvent::Gone })
            }
            Ok(Err(error)) | Err(error) => Some(DeviceEvent::Error(error.raw_os_error())),
            Ok(Ok(())) => None,
        }
    }

    /// The name that the interface has now; `None` if it is gone.
    pub fn bound_name(&self) -> Option<String> {
        let (index, _) = self.socket.bound().ok()?;
        let index = u32::try_from(index).ok().filter(|&index| index > 0)?;
        rustix::net::netdevice::index_to_name(self.fd(), index).ok()
    }

    /// Reads the description of the next frame, if there is one, into `head`.
    #[inline]
    fn find_head(&mut self) {
        while self.head.is_none() {
            if self.frames_left == 0 && !self.next_block() {
                return;
            }
            if self.frames_left > 0 {
                self.next_head();
            }
        }
    }

    /// Gives the held block back and takes the next, if it has been handed over.
    fn next_block(&mut self) -> bool {
        self.map.release();
        if !self.map.acquire() {
            return false;
        }
        self.frames_left = 0;
        match Sketch::of(self.map.held()) {
            Some(block) => {
                self.frames_left = block.frames;
                self.frame_at = block.first;
                self.block_len = block.len;
            }
            None => self.counts.blocks_corrupt += 1,
        }
        true
    }

    /// Steps over one frame of the held block, of which it has some left.
    #[inline]
    fn next_head(&mut self) {
        let block = self.map.held();
        let block = block.get(..self.block_len).unwrap_or(block);
        let (head, step) = Head::parse(block, self.frame_at, self.config.vnet);
        match head {
            Some(head) if self.is_loopback && head.direction == Direction::Tx => {
                self.counts.frames_second_sight += 1;
            }
            Some(head) => self.head = Some(head),
            None => self.counts.frames_corrupt += 1,
        }
        self.counts.frames_read += 1;
        self.frames_left -= 1;
        if step == 0 && self.frames_left > 0 {
            // No way on to what is said to follow.
            self.counts.frames_read += u64::from(self.frames_left);
            self.counts.frames_corrupt += u64::from(self.frames_left);
            self.frames_left = 0;
        }
        self.frame_at += step;
    }
}

impl Source for Ring {
    #[inline]
    fn peek_time(&mut self) -> Option<u64> {
        self.find_head();
        self.head.map(|head| head.time_ns)
    }

    #[inline]
    fn next_frame(&mut self) -> Option<Frame<'_>> {
        self.find_head();
        let head = self.head.take()?;
        // Cannot fail: `parse` checked the place against this very block.
        let data = self.map.held().get(head.data_at..)?.get(..head.data_len)?;
        Some(Frame {
            data,
            time_ns: head.time_ns,
            len: head.len,
            link: self.link,
            link_type: self.link_type,
            direction: Some(head.direction),
            stripped_tag: head.stripped_tag,
            gso_size: head.gso_size,
        })
    }

    fn lag_ns(&self) -> u64 {
        (2 * u64::from(self.config.retire_ms) + RETIRE_SLACK_MS) * 1_000_000
    }
}

/// Sets the ring up, half as large where memory is short, and answers with the
/// number of its blocks.
fn set_up(socket: &Socket, interface: &str, config: &RingConfig) -> Result<usize, CaptureError> {
    let mut blocks = (config.bytes / config.block_bytes).max(BLOCKS_MIN);
    loop {
        let bytes = blocks.saturating_mul(config.block_bytes);
        let number = |n: usize| {
            libc::c_uint::try_from(n)
                .map_err(|_| CaptureError::NoMemory { interface: interface.to_owned(), bytes })
        };
        let request = libc::tpacket_req3 {
            tp_block_size: number(config.block_bytes)?,
            tp_block_nr: number(blocks)?,
            tp_frame_size: number(FRAME_BYTES)?,
            tp_frame_nr: number(bytes / FRAME_BYTES)?,
            tp_retire_blk_tov: config.retire_ms,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        match socket.set(libc::PACKET_RX_RING, &request) {
            Ok(()) => return Ok(blocks),
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => {
                if blocks <= BLOCKS_MIN {
                    return Err(CaptureError::NoMemory { interface: interface.to_owned(), bytes });
                }
                blocks = (blocks / 2).max(BLOCKS_MIN);
            }
            Err(error) => return Err(CaptureError::new(interface, "setting up the ring", error)),
        }
    }
}

/// How frames of an interface of ARPHRD type `hardware` begin.
fn link_type(hardware: u16) -> LinkType {
    match hardware {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => LinkType::Ethernet,
        // tun devices; 519 is ARPHRD_RAWIP of linux/if_arp.h.
        libc::ARPHRD_NONE | 519 => LinkType::RawIp,
        // Counted, not decoded; no LINKTYPE number is known for it here.
        _ => LinkType::Other(0),
    }
}
