//! Numbers for what the link layer has in common between two hosts: addresses,
//! ethertype, outermost tag. A hash policy of a bond needs them, and a flow's
//! key has no room for them.
//!
//! Numbered as VLAN stacks are: the map is shared by all decoders and asked
//! only where a decoder meets another pair than the last time it met one of
//! the same place. Asked for what bonds send, for nothing else.

use crate::capture::{Frame, LinkType};
use crate::links::header::LinkPair;
use dashmap::DashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Pairs that are told apart; the rest are [`UNKNOWN`].
pub const PAIRS_MAX: u32 = 4096;
/// The number of what is not known: nobody asked, or there were too many.
pub const UNKNOWN: u16 = 0;
/// Pairs that a decoder remembers: those of a few gateways and neighbours.
const REMEMBERED: usize = 16;
/// Bytes of a header without a tag.
const ETHERNET: usize = 14;

/// See the module's description. Clones share their numbers.
#[derive(Clone, Default)]
pub struct LinkPairs {
    shared: Arc<DashMap<LinkPair, u16>>,
    given: Arc<AtomicU32>,
    /// The latest without a tag: nearly always the next one's too.
    latest: ([u64; 2], u16),
    /// By the last bits of the destination's address.
    last: [Remembered; REMEMBERED],
}

/// An Ethernet header without a tag in it, and its number.
#[derive(Clone, Copy, Default)]
struct Remembered {
    /// The first eight bytes, and the last eight of the fourteen.
    halves: [u64; 2],
    /// Word of the tag that was taken out, [`NO_TAG`] for none.
    tci: u32,
    number: u16,
}

const NO_TAG: u32 = u32::MAX;

impl LinkPairs {
    /// The number of a sent frame's pair where it is that of the latest one.
    #[inline(always)]
    pub(super) fn latest(&self, frame: &Frame<'_>) -> Option<u16> {
        // With a tag in the frame the halves are none that are remembered.
        let untagged = frame.link_type == LinkType::Ethernet && frame.stripped_tag.is_none();
        let (halves, number) = self.latest;
        (untagged && halves_of(frame.data) == Some(halves)).then_some(number)
    }

    /// The number of a sent frame's pair.
    #[inline(never)]
    pub(super) fn number(&mut self, frame: &Frame<'_>) -> u16 {
        let Some(halves) = halves_of(frame.data).filter(|_| frame.link_type == LinkType::Ethernet) else {
            return UNKNOWN;
        };
        let tci = frame.stripped_tag.map_or(NO_TAG, |tag| u32::from(tag.tci));
        let place = frame.data.get(5).map_or(0, |&byte| usize::from(byte) % REMEMBERED);
        let last = self.last[place];
        let is_it = last.halves == halves && last.tci == tci;
        let number = if is_it { last.number } else { self.look_up(frame, halves, tci) };
        if tci == NO_TAG && self.last[place].halves == halves {
            self.latest = (halves, number);
        }
        number
    }

    #[cold]
    #[inline(never)]
    fn look_up(&mut self, frame: &Frame<'_>, halves: [u64; 2], tci: u32) -> u16 {
        let tag = frame.stripped_tag.map(|tag| tag.tci);
        let Some((pair, at)) = LinkPair::of_frame(frame.data, tag) else { return UNKNOWN };
        let number = self.shared_number(pair);
        // What a tag in the frame says stands behind the bytes that are remembered.
        if at == ETHERNET {
            self.last[usize::from(pair.destination[5]) % REMEMBERED] = Remembered { halves, tci, number };
        }
        number
    }

    #[cold]
    fn shared_number(&self, pair: LinkPair) -> u16 {
        if let Some(known) = self.shared.get(&pair) {
            return *known;
        }
        if self.given.load(Ordering::Relaxed) >= PAIRS_MAX {
            return UNKNOWN;
        }
        *self.shared.entry(pair).or_insert_with(|| {
            let given = self.given.fetch_add(1, Ordering::Relaxed) + 1;
            if given > PAIRS_MAX { UNKNOWN } else { given as u16 }
        })
    }

    /// All pairs by number, [`UNKNOWN`] first, as far as they are given now.
    pub fn all(&self) -> Vec<Option<LinkPair>> {
        let given = self.given.load(Ordering::Relaxed).min(PAIRS_MAX) as usize;
        let mut all = vec![None; given + 1];
        for entry in self.shared.iter() {
            let number = usize::from(*entry.value());
            if let Some(place) = all.get_mut(number).filter(|_| *entry.value() != UNKNOWN) {
                *place = Some(*entry.key());
            }
        }
        all
    }
}

/// The first eight bytes of an Ethernet header and its last eight.
#[inline(always)]
fn halves_of(data: &[u8]) -> Option<[u64; 2]> {
    let head = data.first_chunk::<ETHERNET>()?;
    let (first, last) = (head.first_chunk::<8>()?, head.last_chunk::<8>()?);
    Some([u64::from_ne_bytes(*first), u64::from_ne_bytes(*last)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Direction, VlanTag};

    fn frame<'a>(data: &'a [u8], tci: Option<u16>) -> Frame<'a> {
        Frame {
            data,
            time_ns: 0,
            len: 60,
            link: 0,
            link_type: LinkType::Ethernet,
            direction: Some(Direction::Tx),
            stripped_tag: tci.map(|tci| VlanTag { tpid: 0x8100, tci }),
            gso_size: 0,
        }
    }

    #[test]
    fn the_same_pair_has_the_same_number_in_all_decoders() {
        let mut one = LinkPairs::default();
        let mut other = one.clone();
        let data = |last: u8| [[2, 0, 0, 0, 0, last], [2, 0, 0, 0, 1, 0]].concat().into_iter().chain([8, 0]);
        let frames: Vec<Vec<u8>> = (0..40).map(|last| data(last).collect()).collect();
        let numbers: Vec<u16> = frames.iter().map(|data| one.number(&frame(data, None))).collect();
        assert_eq!(numbers, (1..=40).collect::<Vec<u16>>());
        for (data, &number) in frames.iter().zip(&numbers).rev() {
            assert_ne!(other.latest(&frame(data, None)), Some(number));
            assert_eq!(other.number(&frame(data, None)), number);
            assert_ne!(other.number(&frame(data, Some(5))), number);
            assert_eq!(other.latest(&frame(data, None)), Some(number));
            assert_eq!(other.latest(&frame(data, Some(5))), None);
        }
        assert_eq!(one.all()[3].map(|pair| pair.destination[5]), Some(2));
        assert_eq!(one.all().len(), 81);
        assert_eq!(one.number(&frame(&[1, 2, 3], None)), UNKNOWN);
    }
}
