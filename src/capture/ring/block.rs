//! What lies in a block of a TPACKET_V3 ring, read from its bytes.
//!
//! Pure functions of a slice: no memory shared with the kernel, no position, no
//! counter. Invariant: whatever the bytes are, nothing here panics or points
//! outside of the block.
//!
//! Sources: linux/if_packet.h, net/packet/af_packet.c (tpacket_rcv,
//! prb_fill_curr_block, prb_close_block), linux/virtio_net.h.

use crate::capture::{Direction, VlanTag};

/// struct tpacket3_hdr, and the sockaddr_ll that follows it (tpacket_rcv
/// writes it at TPACKET_ALIGN(sizeof(struct tpacket3_hdr))).
const FRAME_HEADER: usize = 48;
const FRAME_ADDRESS: usize = 20;
/// struct virtio_net_hdr, directly before the frame's first byte.
const VNET_HEADER: usize = 10;
/// struct tpacket_block_desc.
const BLOCK_HEADER: usize = 48;
const _: () = assert!(
    size_of::<libc::tpacket3_hdr>() == FRAME_HEADER
        && FRAME_HEADER.is_multiple_of(libc::TPACKET_ALIGNMENT)
        && size_of::<libc::sockaddr_ll>() == FRAME_ADDRESS
        && size_of::<libc::tpacket_block_desc>() == BLOCK_HEADER
        && std::mem::offset_of!(libc::sockaddr_ll, sll_pkttype) == 10
        && std::mem::offset_of!(libc::tpacket3_hdr, tp_mac) == 24
        && std::mem::offset_of!(libc::tpacket3_hdr, hv1) == 28
);

/// A block's description of itself, checked against its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sketch {
    /// Frames that are in it.
    pub frames: u32,
    /// Where the first begins.
    pub first: usize,
    /// Bytes in use.
    pub len: usize,
}

impl Sketch {
    /// The description at the beginning of `block`, `None` if it cannot be true.
    pub fn of(block: &[u8]) -> Option<Sketch> {
        // num_pkts, offset_to_first_pkt, blk_len of struct tpacket_hdr_v1.
        let word = |at| field(block, at).map(u32::from_ne_bytes);
        let (frames, first, len) = (word(12)?, word(16)? as usize, word(20)? as usize);
        let is_sane = len <= block.len()
            && frames as usize <= len / FRAME_HEADER
            && (frames == 0 || (BLOCK_HEADER..len).contains(&first));
        is_sane.then_some(Sketch { frames, first, len })
    }
}

/// A frame's description, every part of it checked against its block.
#[derive(Clone, Copy)]
pub struct Head {
    pub time_ns: u64,
    pub data_at: usize,
    pub data_len: usize,
    pub len: u32,
    pub gso_size: u16,
    pub direction: Direction,
    pub stripped_tag: Option<VlanTag>,
}

impl Head {
    /// The frame at `at` of `block`, if all of it lies within; and how far the next
    /// one is, 0 if there is no next one or no telling.
    #[inline]
    pub fn parse(block: &[u8], at: usize, vnet: bool) -> (Option<Head>, usize) {
        let Some(header) = field::<{ FRAME_HEADER + FRAME_ADDRESS }>(block, at) else { return (None, 0) };
        // The fields of struct tpacket3_hdr, in their order.
        let word = |at| field(&header, at).map_or(0, u32::from_ne_bytes);
        let half = |at| field(&header, at).map_or(0, u16::from_ne_bytes);
        let (step, seconds, nanoseconds, captured, len, status) =
            (word(0) as usize, word(4), word(8), word(12) as usize, word(16), word(20));
        let (mac, tci, tpid) = (half(24) as usize, word(32), half(36));
        // A step into this frame's own header would walk the same bytes again.
        let step = if step < FRAME_HEADER { 0 } else { step };
        let is_tagged = status & libc::TP_STATUS_VLAN_VALID != 0;
        let has_tpid = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
        let pkttype = header[FRAME_HEADER + 10];
        let data_at = at + mac;
        let room = FRAME_HEADER + FRAME_ADDRESS + if vnet { VNET_HEADER } else { 0 };
        // The bytes lie behind the header and within the block and the frame's place.
        let end = data_at + captured;
        let fits = mac >= room && end <= block.len() && (step == 0 || end <= at + step);
        if !fits {
            return (None, step);
        }
        // struct virtio_net_hdr: gso_type is its second byte, gso_size its third
        // half; in the machine's byte order, as for legacy devices (vio_le).
        let gso_size = match field::<VNET_HEADER>(block, data_at - VNET_HEADER) {
            Some([_, gso_type, _, _, a, b, ..]) if vnet && gso_type != 0 => u16::from_ne_bytes([a, b]),
            _ => 0,
        };
        let head = Head {
            time_ns: u64::from(seconds) * 1_000_000_000 + u64::from(nanoseconds),
            data_at,
            data_len: captured,
            len,
            gso_size,
            direction: if pkttype == libc::PACKET_OUTGOING { Direction::Tx } else { Direction::Rx },
            stripped_tag: is_tagged.then_some(VlanTag {
                tpid: if has_tpid { tpid } else { 0x8100 },
                // 16 bits in a field of 32.
                tci: (tci & 0xffff) as u16,
            }),
        };
        (Some(head), step)
    }
}

#[inline]
fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A block as the kernel writes it: frames of these bytes, one after the other.
    fn block(frames: &[&[u8]], vnet: Option<(u8, u16)>) -> Vec<u8> {
        let mut block = vec![0; BLOCK_HEADER];
        for (index, frame) in frames.iter().enumerate() {
            let mac = (FRAME_HEADER + FRAME_ADDRESS + VNET_HEADER).next_multiple_of(16) + 2;
            let step = (mac + frame.len()).next_multiple_of(16);
            let mut bytes = vec![0; step];
            let is_last = index + 1 == frames.len();
            let words = [if is_last { 0 } else { step as u32 }, 7, 9, frame.len() as u32, 1500];
            for (word, at) in words.into_iter().zip((0..).step_by(4)) {
                bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
            }
            let status = libc::TP_STATUS_USER | libc::TP_STATUS_VLAN_VALID;
            bytes[20..24].copy_from_slice(&status.to_ne_bytes());
            bytes[24..26].copy_from_slice(&(mac as u16).to_ne_bytes());
            bytes[32..36].copy_from_slice(&0x6005u32.to_ne_bytes());
            bytes[FRAME_HEADER + 10] = libc::PACKET_OUTGOING;
            if let Some((kind, size)) = vnet {
                bytes[mac - VNET_HEADER + 1] = kind;
                bytes[mac - VNET_HEADER + 4..mac - VNET_HEADER + 6].copy_from_slice(&size.to_ne_bytes());
            }
            bytes[mac..mac + frame.len()].copy_from_slice(frame);
            block.extend(bytes);
        }
        let len = block.len() as u32;
        let words = [(12, frames.len() as u32), (16, BLOCK_HEADER as u32), (20, len)];
        for (at, word) in words {
            block[at..at + 4].copy_from_slice(&u32::to_ne_bytes(word));
        }
        block
    }

    /// The frames of a block, as a ring walks it; no more than it may hold.
    fn walk(block: &[u8], vnet: bool) -> Vec<Option<Head>> {
        let Some(sketch) = Sketch::of(block) else { return Vec::new() };
        let mut at = sketch.first;
        let mut heads = Vec::new();
        for _ in 0..sketch.frames {
            let (head, step) = Head::parse(&block[..sketch.len], at, vnet);
            heads.push(head);
            at += step;
            if step == 0 {
                break;
            }
        }
        heads
    }

    #[test]
    fn a_block_is_read_as_it_was_written() {
        let block = block(&[b"first", b"second frame"], Some((1, 1448)));
        let heads: Vec<_> = walk(&block, true).into_iter().flatten().collect();
        let data: Vec<_> = heads.iter().map(|h| &block[h.data_at..h.data_at + h.data_len]).collect();
        assert_eq!(data, [&b"first"[..], b"second frame"]);
        for head in heads {
            assert_eq!((head.time_ns, head.len, head.gso_size), (7_000_000_009, 1500, 1448));
            assert_eq!(head.direction, Direction::Tx);
            // Without TPID_VALID (before 3.14) the tag was 802.1Q.
            assert_eq!(head.stripped_tag, Some(VlanTag { tpid: 0x8100, tci: 0x6005 }));
        }
        assert_eq!(walk(&block, false)[0].map(|head| head.gso_size), Some(0), "not asked for");
    }

    #[test]
    fn a_segment_size_without_segmentation_is_none() {
        assert_eq!(walk(&block(&[b"frame"], Some((0, 1448))), true)[0].map(|head| head.gso_size), Some(0));
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let good = block(&[b"first", b"second"], None);
        let with = |at: usize, value: u32| {
            let mut bad = good.clone();
            bad[at..at + 4].copy_from_slice(&value.to_ne_bytes());
            walk(&bad, true).iter().flatten().count()
        };
        assert_eq!(with(0, 1), 2);
        for (at, value) in [(20, 1 << 30), (12, u32::MAX), (16, 0), (16, u32::MAX)] {
            assert_eq!(with(at, value), 0, "{value} at {at}");
        }
        let frame = BLOCK_HEADER;
        assert_eq!(with(frame, 8), 1, "a step into its own header: no way on");
        assert_eq!(with(frame + 12, 1000), 1, "longer than the frame's place");
        assert_eq!(with(frame + 24, 0), 1, "begins in its own header");
        assert_eq!(with(frame + 24, 0xffff), 1, "begins behind the block");
    }

    proptest! {
        #[test]
        fn no_bytes_lead_outside(
            mut garbage in prop::collection::vec(any::<u8>(), 0..600),
            describe in any::<bool>(),
            changes in prop::collection::vec((0usize..400, any::<u8>()), 0..12),
            vnet in any::<bool>(),
        ) {
            if describe {
                garbage = block(&[b"first", &garbage, b"third"], None);
            }
            for (at, byte) in changes {
                if let Some(place) = garbage.get_mut(at) {
                    *place = byte;
                }
            }
            for head in walk(&garbage, vnet).into_iter().flatten() {
                prop_assert!(head.data_at + head.data_len <= garbage.len());
            }
        }
    }
}
