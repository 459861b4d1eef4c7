//! Frames, wherever they come from: rings on live interfaces, or files.
//!
//! This layer knows link types, time stamps and the kernel's ways; it knows
//! nothing of flows or of TCP. Everything above takes [`Frame`]s and cannot
//! tell a ring from a file.

pub mod deal;
pub mod fanout;
pub mod file;
pub mod fileset;
pub mod filter;
pub mod host_mac;
pub mod inject;
pub mod link;
pub mod merge;
pub mod ring;
#[allow(unsafe_code)]
pub mod sys;

/// Number of a watched interface (or of a file's interface) in this run.
/// At most [`LINKS_MAX`] are watched at once.
pub type LinkId = u8;

/// Most interfaces that one run can watch: a [`Lane`] has to fit in a byte, and
/// the byte of one more, 255, is a flow's "no lane yet".
pub const LINKS_MAX: usize = 127;

/// Which way a frame went, seen from the monitored host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Direction {
    /// Received by the host (or: direction unknown).
    Rx = 0,
    /// Sent by the host.
    Tx = 1,
}

/// One direction of one interface: where packets and bytes are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(pub u8);

impl Lane {
    /// The lane of `link` in `direction`.
    #[inline]
    pub const fn new(link: LinkId, direction: Direction) -> Lane {
        Lane(link << 1 | direction as u8)
    }
    /// The interface.
    #[inline]
    pub const fn link(self) -> LinkId {
        self.0 >> 1
    }
    /// The direction.
    #[inline]
    pub const fn direction(self) -> Direction {
        if self.0 & 1 == 0 { Direction::Rx } else { Direction::Tx }
    }
    /// Index into an array that has two places for each interface.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a frame's bytes begin (tcpdump's DLT, libpcap's LINKTYPE registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkType {
    /// Ethernet II / 802.3 (LINKTYPE 1).
    Ethernet,
    /// Linux "any" captures (LINKTYPE 113).
    LinuxSll,
    /// Linux "any" captures, second version (LINKTYPE 276).
    LinuxSll2,
    /// IPv4 or IPv6 without a link header (LINKTYPE 101, 228, 229; DLT_RAW 12 and 14).
    RawIp,
    /// BSD loopback, 4 bytes address family in the writer's byte order (LINKTYPE 0).
    Null,
    /// OpenBSD loopback, the same in network byte order (LINKTYPE 108).
    Loop,
    /// Anything else: counted, not decoded. The LINKTYPE number.
    Other(u16),
}

/// An 802.1Q or 802.1ad tag that the kernel took out of the frame and keeps
/// beside it (TP_STATUS_VLAN_VALID).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanTag {
    /// Ethertype of the tag, 0x8100 or 0x88a8.
    pub tpid: u16,
    /// Priority, drop eligible, and 12 bits of VLAN id.
    pub tci: u16,
}

/// One frame as the source has it, borrowed for as long as the source does
/// not go on.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// What was captured of it, from the link header on (up to the snaplen).
    pub data: &'a [u8],
    /// Nanoseconds since the epoch.
    pub time_ns: u64,
    /// Its length before the snaplen, without a stripped tag (`tp_len`, a file's original length).
    pub len: u32,
    /// The interface it was seen on.
    pub link: LinkId,
    /// How `data` begins.
    pub link_type: LinkType,
    /// Which way it went, where the source knows (packet type of a ring or of
    /// a cooked header, flags of a pcapng record).
    pub direction: Option<Direction>,
    /// A tag that the kernel stripped.
    pub stripped_tag: Option<VlanTag>,
    /// Payload bytes of each wire segment, if this is a super-frame (virtio's
    /// `gso_size`); 0 if it is not, or if the source cannot know (files).
    pub gso_size: u16,
}
