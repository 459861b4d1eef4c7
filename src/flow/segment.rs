//! Super-frames of files: how many packets was this frame?
//!
//! A capture file knows neither `gso_size` nor the MTU, so a frame that is
//! larger than a packet is taken apart by its flow's segment size: what the
//! SYNs offered, less the options that the segment carries; else the largest
//! ordinary segment that was seen; else an assumption. What comes out is marked
//! `estimated`. Rings tell the size: nothing here is for them.

use super::beside::Beside;
use super::entry::{Entry, mark};
use crate::decode::{Packet, tcp_flag};

/// Segment size that is assumed where a flow's is not known: 1500 bytes less
/// IPv4, TCP and the time-stamp option.
const SEGMENT_ASSUMED: u16 = 1448;

/// Whether a file's frame is larger than a packet, or tells of its flow's
/// segment size: only then the array, which is not in the cache, is looked at.
#[inline]
pub(super) fn tells_of_segments(entry: &Entry, packet: &Packet) -> bool {
    packet.ip_bytes > 1500 || packet.tcp_flags & tcp_flag::SYN != 0 || entry.marks & mark::MIDSTREAM != 0
}

/// A file's frame that is larger than a packet: taken apart by the flow's
/// segment size. A SYN's option counts the options that a segment carries.
#[inline]
pub(super) fn estimate(segment: &mut Beside, packet: &mut Packet, side: usize) {
    if packet.ip_bytes > 1500 {
        estimate_rarely(segment, packet, side);
    } else if packet.tcp_flags & tcp_flag::SYN != 0 {
        segment.mss[side] = packet.mss;
    } else if packet.payload > segment.largest[side] as u32 {
        // Picked up later: no SYN told.
        segment.largest[side] = packet.payload as u16;
    }
}

#[cold]
#[inline(never)]
fn estimate_rarely(segment: &Beside, packet: &mut Packet, side: usize) {
    // A length that the frame does not have is a false one, not a super-frame's.
    if packet.frame_bytes.saturating_sub(packet.link_bytes as u32) <= 1500 {
        return;
    }
    let carried = packet.payload.min(packet.frame_bytes.saturating_sub(packet.header_bytes as u32));
    let offers = segment.mss.iter().copied().filter(|&mss| mss != 0);
    let offered = offers.min().unwrap_or(0).saturating_sub(packet.tcp_option_bytes as u16);
    let size = match (offered, segment.largest[side]) {
        (0, 0) => SEGMENT_ASSUMED,
        (0, largest) => largest,
        (offered, _) => offered,
    };
    if carried > size as u32 {
        packet.split(size, carried);
        packet.estimated = true;
    }
}
