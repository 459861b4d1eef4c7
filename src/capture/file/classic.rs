//! Classic pcap: a file header of 24 bytes, then records of a header and the
//! captured bytes. This is the hot path of every file.
//!
//! Owns the two headers' layout and their historic variants; does not read,
//! buffer or name anything. Sources: draft-ietf-opsawg-pcap; libpcap's
//! sf-pcap.c for what the draft leaves out: the swapped lengths of versions
//! before 2.4, Kuznetzov's longer record header, the bound of a record.

use super::error::Defect;
use super::{Record, Step, cooked_direction, link_type};
use crate::capture::{LinkId, LinkType};

/// Length of the file header.
pub(super) const HEADER: usize = 24;
/// Length of a record's header, as all readers know it.
const RECORD: usize = 16;
/// The same in files of Kuznetzov's modified libpcap (Red Hat 6): interface
/// index, protocol, packet type and padding follow.
const RECORD_MODIFIED: usize = 24;
/// Most bytes of a record (libpcap's MAXIMUM_SNAPLEN, Wireshark's
/// WTAP_MAX_PACKET_SIZE_STANDARD).
const CAPTURED_MAX: u32 = 262_144;
/// The same for link types that carry more than network frames: libpcap's
/// bound for EBHSCR; its 128 MiB for D-Bus and USBPcap are more than we buffer.
const CAPTURED_MAX_LARGE: u32 = 8 << 20;

const MAGIC_MICRO: u32 = 0xa1b2_c3d4;
const MAGIC_NANO: u32 = 0xa1b2_3c4d;
const MAGIC_MODIFIED: u32 = 0xa1b2_cd34;

const _: () = assert!(CAPTURED_MAX_LARGE as usize + RECORD_MODIFIED <= super::stream::BUFFER_MAX);

/// Where the captured length stands in a record header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lengths {
    /// Captured length, then original length: since version 2.4.
    CapturedFirst,
    /// Version 2.3 says so and some of its writers did not: the smaller one is the captured length.
    SmallerIsCaptured,
    /// Before version 2.3, and DG/UX's 543.0.
    OriginalFirst,
}

/// How to read the records of one file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Classic {
    big_endian: bool,
    /// Nanoseconds in a unit of the time stamp's fraction.
    unit_ns: u32,
    /// Length of a record's header.
    record: usize,
    lengths: Lengths,
    captured_max: u32,
    /// Has a cooked header that knows the direction.
    cooked: bool,
    /// As nearly every file is: little-endian, of today's version, not cooked.
    ordinary: bool,
    link: LinkId,
    pub(super) link_type: LinkType,
    pub(super) snaplen: u32,
}

/// What a file header says.
pub(super) enum Header {
    /// Not that of a classic pcap file.
    Foreign,
    /// Of a version that libpcap refuses as well.
    Version(u16, u16),
    /// The records follow.
    Known(Classic),
}

/// Whether a file begins as a classic pcap file does.
pub(super) fn is_magic(magic: [u8; 4]) -> bool {
    magic_of(magic).is_some()
}

/// (big-endian, unit in ns, length of a record's header)
fn magic_of(magic: [u8; 4]) -> Option<(bool, u32, usize)> {
    let known = |word: u32| match word {
        MAGIC_MICRO => Some((1000, RECORD)),
        MAGIC_NANO => Some((1, RECORD)),
        MAGIC_MODIFIED => Some((1000, RECORD_MODIFIED)),
        _ => None,
    };
    let little = known(u32::from_le_bytes(magic)).map(|(unit, record)| (false, unit, record));
    little.or_else(|| known(u32::from_be_bytes(magic)).map(|(unit, record)| (true, unit, record)))
}

impl Classic {
    /// Reads the file header.
    pub(super) fn from_header(header: &[u8; HEADER], link: LinkId) -> Header {
        let [m0, m1, m2, m3, a0, a1, i0, i1, _, _, _, _, _, _, _, _, s0, s1, s2, s3, l0, l1, l2, l3] =
            *header;
        let Some((big_endian, unit_ns, record)) = magic_of([m0, m1, m2, m3]) else { return Header::Foreign };
        let half = |bytes| if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
        let word = |bytes| if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        let (major, minor) = (half([a0, a1]), half([i0, i1]));
        let lengths = match (major, minor) {
            (2, 0..=2) | (543, 0) => Lengths::OriginalFirst,
            (2, 3) => Lengths::SmallerIsCaptured,
            (2, 4) => Lengths::CapturedFirst,
            _ => return Header::Version(major, minor),
        };
        // The link type is in the low half; the high half tells the length of
        // the frame check sequence, which the original length keeps.
        let [number, _] = split(word([l0, l1, l2, l3]));
        let link_type = link_type(number);
        let cooked = matches!(link_type, LinkType::LinuxSll | LinkType::LinuxSll2);
        Header::Known(Classic {
            ordinary: !big_endian && !cooked && record == RECORD && lengths == Lengths::CapturedFirst,
            big_endian,
            unit_ns,
            record,
            lengths,
            captured_max: match number {
                231 | 249 | 279 => CAPTURED_MAX_LARGE,
                _ => CAPTURED_MAX,
            },
            cooked,
            link,
            link_type,
            snaplen: word([s0, s1, s2, s3]),
        })
    }

    /// The record that `bytes` begin with.
    // With next_frame's, 3 of 24 ns a packet (nanoseconds_per_packet in tests/file_formats.rs).
    #[inline(always)]
    pub(super) fn step(&self, bytes: &[u8]) -> Step {
        if !self.ordinary {
            return self.step_of_any(bytes);
        }
        let Some(header) = bytes.first_chunk::<RECORD>() else { return Step::Need(RECORD) };
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *header;
        let word = u32::from_le_bytes;
        self.record(
            bytes,
            RECORD,
            [word([a, b, c, d]), word([e, f, g, h])],
            word([i, j, k, l]),
            word([m, n, o, p]),
        )
    }

    /// The same in all the ways in which records were ever written.
    #[inline(never)]
    fn step_of_any(&self, bytes: &[u8]) -> Step {
        let Some(header) = bytes.first_chunk::<RECORD>() else { return Step::Need(self.record) };
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *header;
        let word =
            |bytes| if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        let (mut captured, mut len) = (word([i, j, k, l]), word([m, n, o, p]));
        if self.lengths != Lengths::CapturedFirst
            && (self.lengths == Lengths::OriginalFirst || captured > len)
        {
            (captured, len) = (len, captured);
        }
        let mut step =
            self.record(bytes, self.record, [word([a, b, c, d]), word([e, f, g, h])], captured, len);
        if self.cooked
            && let Step::Frame(record) = &mut step
        {
            let data = bytes.get(record.skip..record.total).unwrap_or_default();
            record.direction = cooked_direction(self.link_type, data);
        }
        step
    }

    /// The record with these fields, if it is there whole.
    #[inline(always)]
    fn record(&self, bytes: &[u8], skip: usize, time: [u32; 2], captured: u32, len: u32) -> Step {
        if captured > self.captured_max {
            return Step::Fault(Defect::CapturedLength { captured, limit: self.captured_max });
        }
        let total = skip + captured as usize;
        if bytes.len() < total {
            return Step::Need(total);
        }
        // At most 2^32 * 10^9 + 2^32 * 10^3, which is below 2^63.
        let time_ns = u64::from(time[0]) * 1_000_000_000 + u64::from(time[1]) * u64::from(self.unit_ns);
        Step::Frame(Record {
            total,
            skip,
            captured: captured as usize,
            time_ns,
            len,
            link: self.link,
            link_type: self.link_type,
            direction: None,
        })
    }
}

/// The low and the high half of a word.
fn split(word: u32) -> [u16; 2] {
    let [a, b, c, d] = word.to_le_bytes();
    [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])]
}
