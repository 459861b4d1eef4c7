//! pcapng: sections of blocks, several interfaces, time stamps of any
//! resolution.
//!
//! Owns the walk over blocks and the packet blocks' fixed fields, which lie on
//! the packet path and may not allocate; section headers and interface
//! descriptions, which are all options, are read by the crate pcap-parser.
//! Does not read or buffer. An interface of a later section is a new one, even
//! under an old name. Blocks that are no packets are skipped unread.
//!
//! Sources: draft-ietf-opsawg-pcapng; libpcap's sf-pcapng.c for the bounds.
//! Other than libpcap, sections may differ in byte order and interfaces in
//! link type and snaplen.

use pcap_parser::pcapng::{
    parse_interfacedescriptionblock_be, parse_interfacedescriptionblock_le, parse_sectionheaderblock,
};
use pcap_parser::{InterfaceDescriptionBlock, OptionCode};

use super::error::Defect;
use super::stream::BUFFER_MAX;
use super::{FileInterface, Interfaces, Record, Step, cooked_direction, link_type};
use crate::capture::{Direction, LinkId, LinkType};

/// The block type of a section header, the same in both byte orders.
const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Type and two lengths: the least a block can have.
const BLOCK_MIN: u32 = 12;
/// Bytes of a packet block before the frame, and after it.
const PACKET_HEAD: usize = 28;
const SIMPLE_HEAD: usize = 12;
const TRAILER: usize = 4;
/// Most interface descriptions of one section that are remembered: what the
/// obsolete packet block could name. Only [`crate::capture::LINKS_MAX`] get a number.
const DESCRIBED_MAX: usize = 1 << 16;
/// Longest interface name that is kept, in characters.
const NAME_MAX: usize = 255;

/// Whether a file begins as a pcapng file does.
pub(super) fn is_magic(magic: [u8; 4]) -> bool {
    magic == SECTION
}

/// Where the walk stands: what the current section has said so far.
pub(super) struct Pcapng {
    big_endian: bool,
    /// Interfaces of the current section, by their number in it.
    described: Vec<Described>,
    /// Time of the frame before, for simple packet blocks, which have none.
    last_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Described {
    /// `None`: no number was left for it.
    link: Option<LinkId>,
    link_type: LinkType,
    snaplen: u32,
    clock: Clock,
}

/// Turns an interface's ticks into nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clock {
    scale: Scale,
    /// Seconds to add (`if_tsoffset`).
    offset: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// So many nanoseconds are a tick.
    Multiply(u64),
    /// So many ticks are a nanosecond.
    Divide(u64),
    /// 2 to so many ticks are a second.
    Binary(u32),
}

impl Clock {
    /// By the option `if_tsresol`: a power of 10, or of 2 if the high bit is
    /// set. `None` where a second has more ticks than 64 bits hold, as in libpcap.
    fn new(resolution: u8, offset: i64) -> Option<Clock> {
        let exponent = u32::from(resolution & 0x7f);
        let scale = match (resolution & 0x80 != 0, exponent) {
            (true, 0..=63) => Scale::Binary(exponent),
            (false, 0..=9) => Scale::Multiply(10u64.pow(9 - exponent)),
            (false, 10..=19) => Scale::Divide(10u64.pow(exponent - 9)),
            (true | false, _) => return None,
        };
        Some(Clock { scale, offset })
    }

    /// Nanoseconds since the epoch; the ends of the range stand for what lies beyond.
    fn nanoseconds(self, ticks: u64) -> u64 {
        let time = match self.scale {
            Scale::Multiply(factor) => ticks.saturating_mul(factor),
            Scale::Divide(divisor) => ticks / divisor,
            Scale::Binary(shift) => {
                u64::try_from((u128::from(ticks) * 1_000_000_000) >> shift).unwrap_or(u64::MAX)
            }
        };
        if self.offset == 0 {
            return time;
        }
        // |offset| * 10^9 is below 2^93.
        let shifted = i128::from(time) + i128::from(self.offset) * 1_000_000_000;
        u64::try_from(shifted.max(0)).unwrap_or(u64::MAX)
    }
}

impl Pcapng {
    pub(super) fn new() -> Pcapng {
        Pcapng { big_endian: false, described: Vec::new(), last_ns: 0 }
    }

    /// The block that `bytes` begin with.
    pub(super) fn step(&mut self, bytes: &[u8], interfaces: &mut Interfaces) -> Step {
        let Some([a, b, c, d, e, f, g, h, order @ ..]) = bytes.first_chunk::<{ BLOCK_MIN as usize }>() else {
            return Step::Need(BLOCK_MIN as usize);
        };
        let is_section = [*a, *b, *c, *d] == SECTION;
        if is_section {
            self.big_endian = match *order {
                [0x1a, 0x2b, 0x3c, 0x4d] => true,
                [0x4d, 0x3c, 0x2b, 0x1a] => false,
                magic => return Step::Fault(Defect::ByteOrder { magic }),
            };
        }
        let length = self.word([*e, *f, *g, *h]);
        if length < BLOCK_MIN || !length.is_multiple_of(4) {
            return Step::Fault(Defect::BlockLength { length });
        }
        let total = length as usize;
        if total > BUFFER_MAX {
            return Step::Fault(Defect::BlockTooLarge { length, limit: BUFFER_MAX as u32 });
        }
        let Some(block) = bytes.get(..total) else { return Step::Need(total) };
        let last = self.word(block.last_chunk().copied().unwrap_or_default());
        if last != length {
            return Step::Fault(Defect::BlockEnds { first: length, last });
        }
        if is_section {
            return self.section(block);
        }
        match self.word([*a, *b, *c, *d]) {
            ENHANCED_PACKET | OBSOLETE_PACKET => self.packet(block),
            SIMPLE_PACKET => self.simple_packet(block),
            INTERFACE => self.interface(block, interfaces),
            _ => Step::Skip(total),
        }
    }

    fn section(&mut self, block: &[u8]) -> Step {
        let Ok((_, header)) = parse_sectionheaderblock(block) else {
            return Step::Fault(Defect::Block { kind: "section header" });
        };
        // 1.2 is 1.0 with more block types (the draft, section 4.1).
        if !matches!((header.major_version, header.minor_version), (1, 0 | 2)) {
            return Step::Version(header.major_version, header.minor_version);
        }
        self.described.clear();
        Step::Skip(block.len())
    }

    fn interface(&mut self, block: &[u8], interfaces: &mut Interfaces) -> Step {
        let parsed = match self.big_endian {
            true => parse_interfacedescriptionblock_be(block),
            false => parse_interfacedescriptionblock_le(block),
        };
        let Ok((_, description)) = parsed else {
            return Step::Fault(Defect::Block { kind: "interface description" });
        };
        if self.described.len() >= DESCRIBED_MAX {
            return Step::Fault(Defect::InterfaceDescriptions { limit: DESCRIBED_MAX });
        }
        // The crate reads numbers in options as little-endian always.
        let number = |code| option(&description, code).and_then(|value| value.first_chunk().copied());
        let offset = number(OptionCode::IfTsoffset).map_or(0, |bytes| self.long(bytes).cast_signed());
        let speed = number(OptionCode::IfSpeed).map(|bytes| self.long(bytes)).filter(|speed| *speed > 0);
        let Some(clock) = Clock::new(description.if_tsresol, offset) else {
            return Step::Fault(Defect::TimeResolution { value: description.if_tsresol });
        };
        // The registry's numbers have 16 bits, as the block's field.
        let link_type = link_type(u16::try_from(description.linktype.0).unwrap_or(u16::MAX));
        let snaplen = description.snaplen;
        let name = option(&description, OptionCode::IfName).and_then(printable);
        let link = interfaces.add(name, |name| FileInterface { name, link_type, snaplen, speed });
        self.described.push(Described { link, link_type, snaplen, clock });
        Step::Skip(block.len())
    }

    /// An enhanced packet block, or the obsolete one of nearly the same layout.
    fn packet(&mut self, block: &[u8]) -> Step {
        let too_short = Step::Fault(Defect::BlockLength { length: self.length(block) });
        let Some(head) = block.first_chunk::<PACKET_HEAD>() else { return too_short };
        let Some(room) = block.len().checked_sub(PACKET_HEAD + TRAILER) else { return too_short };
        let [t0, t1, t2, t3, _, _, _, _, i0, i1, i2, i3, h0, h1, h2, h3, rest @ ..] = *head;
        let [l0, l1, l2, l3, c0, c1, c2, c3, o0, o1, o2, o3] = rest;
        let interface = match self.word([t0, t1, t2, t3]) {
            // Its upper half counts drops.
            OBSOLETE_PACKET => u32::from(self.half([i0, i1])),
            _ => self.word([i0, i1, i2, i3]),
        };
        let Some(described) = self.described.get(interface as usize) else {
            return Step::Fault(Defect::UnknownInterface { interface, described: self.described.len() });
        };
        let claimed = self.word([c0, c1, c2, c3]);
        let captured = claimed as usize;
        if captured > room {
            return Step::Fault(Defect::PacketLength { captured: claimed, room });
        }
        let Some(link) = described.link else { return Step::NoLink };
        let ticks = u64::from(self.word([h0, h1, h2, h3])) << 32 | u64::from(self.word([l0, l1, l2, l3]));
        let time_ns = described.clock.nanoseconds(ticks);
        let options = PACKET_HEAD.saturating_add(captured.next_multiple_of(4));
        let data = block.get(PACKET_HEAD..PACKET_HEAD + captured).unwrap_or_default();
        let direction = self
            .flags_direction(block.get(options..PACKET_HEAD + room))
            .or_else(|| cooked_direction(described.link_type, data));
        let record = Record {
            total: block.len(),
            skip: PACKET_HEAD,
            captured,
            time_ns,
            len: self.word([o0, o1, o2, o3]),
            link,
            link_type: described.link_type,
            direction,
        };
        self.last_ns = time_ns;
        Step::Frame(record)
    }

    /// A simple packet block: of the section's first interface, without a time.
    fn simple_packet(&self, block: &[u8]) -> Step {
        let too_short = Step::Fault(Defect::BlockLength { length: self.length(block) });
        let Some(head) = block.first_chunk::<SIMPLE_HEAD>() else { return too_short };
        let Some(room) = block.len().checked_sub(SIMPLE_HEAD + TRAILER) else { return too_short };
        let Some(described) = self.described.first() else {
            return Step::Fault(Defect::UnknownInterface { interface: 0, described: 0 });
        };
        let [_, _, _, _, _, _, _, _, o0, o1, o2, o3] = *head;
        let len = self.word([o0, o1, o2, o3]);
        let claimed = match described.snaplen {
            0 => len,
            snaplen => len.min(snaplen),
        };
        let captured = claimed as usize;
        if captured > room {
            return Step::Fault(Defect::PacketLength { captured: claimed, room });
        }
        let Some(link) = described.link else { return Step::NoLink };
        let data = block.get(SIMPLE_HEAD..).and_then(|data| data.get(..captured)).unwrap_or_default();
        Step::Frame(Record {
            total: block.len(),
            skip: SIMPLE_HEAD,
            captured,
            time_ns: self.last_ns,
            len,
            link,
            link_type: described.link_type,
            direction: cooked_direction(described.link_type, data),
        })
    }

    /// The direction in a packet block's flags (option 2 of both kinds of
    /// block, bits 0 and 1). Options that are not well formed say nothing.
    fn flags_direction(&self, options: Option<&[u8]>) -> Option<Direction> {
        let mut options = options?;
        while let Some(([c0, c1, l0, l1], rest)) = options.split_first_chunk::<4>() {
            let (code, length) = (self.half([*c0, *c1]), usize::from(self.half([*l0, *l1])));
            match code {
                0 => return None,
                2 if length >= 4 => {
                    return match self.word(*rest.first_chunk()?) & 3 {
                        1 => Some(Direction::Rx),
                        2 => Some(Direction::Tx),
                        _ => None,
                    };
                }
                _ => options = rest.get(length.next_multiple_of(4)..)?,
            }
        }
        None
    }

    /// The length of a block that was bounded by [`BUFFER_MAX`].
    fn length(&self, block: &[u8]) -> u32 {
        self.word(block.last_chunk().copied().unwrap_or_default())
    }

    fn half(&self, bytes: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn word(&self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn long(&self, bytes: [u8; 8]) -> u64 {
        if self.big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) }
    }
}

/// An option's value, without its padding.
fn option<'a>(description: &'a InterfaceDescriptionBlock<'_>, code: OptionCode) -> Option<&'a [u8]> {
    let options = description.options.iter().take_while(|option| option.code != OptionCode::EndOfOpt);
    options.filter(|option| option.code == code).find_map(|option| option.as_bytes().ok())
}

/// A name that is safe to show: a file may hold anything, a terminal's
/// control sequences too.
fn printable(name: &[u8]) -> Option<String> {
    let name = String::from_utf8_lossy(name);
    let name = name.trim_end_matches('\0').chars().take(NAME_MAX);
    let name: String = name.map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_of_every_resolution() {
        for (resolution, offset, ticks, time) in [
            (6, 0, 1_700_000_000_123_456, 1_700_000_000_123_456_000),
            (9, 0, 1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
            (0, 0, 1_700_000_000, 1_700_000_000_000_000_000),
            (12, 0, 1_999, 1),
            (19, 0, u64::MAX, 1_844_674_407),
            (0x80, 0, 5, 5_000_000_000),
            (0x80 | 10, 0, 1536, 1_500_000_000),
            (0x80 | 32, 0, 3 << 31, 1_500_000_000),
            (0x80 | 63, 0, u64::MAX, 1_999_999_999),
            (6, -3, 5_000_000, 2_000_000_000),
            (6, -6, 5_000_000, 0),
            (6, 7, 1, 7_000_001_000),
            (0, 0, u64::MAX, u64::MAX),
            (0, i64::MAX, u64::MAX, u64::MAX),
            (0, i64::MIN, u64::MAX, 0),
        ] {
            let clock = Clock::new(resolution, offset).expect("a resolution that exists");
            assert_eq!(clock.nanoseconds(ticks), time, "{resolution:#x} {offset} {ticks}");
        }
        for resolution in [20, 0x7f, 0x80 | 64, 0xff] {
            assert_eq!(Clock::new(resolution, 0), None);
        }
    }

    #[test]
    fn names_cannot_steer_a_terminal() {
        assert_eq!(printable(b"eth0\0\0").as_deref(), Some("eth0"));
        assert_eq!(printable(b"a\x1b[2Jb").as_deref(), Some("a\u{fffd}[2Jb"));
        assert_eq!(printable(b"\0"), None);
        assert_eq!(printable(&[b'x'; 999]).map(|name| name.len()), Some(NAME_MAX));
    }
}
