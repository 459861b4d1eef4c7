//! Numbers for what the link layer has in common between two hosts: addresses,
//! ethertype, outermost tag. A hash policy of a bond needs them, and a flow's
//! key has no room for them.
//!
//! A packet that a bond sends carries how its frame began; the flow table asks
//! for the number where a flow's sender is first seen, so that a packet of an
//! open flow costs no more than that copy. The map is shared by all tables of a run.

use crate::capture::{Frame, LinkType, VlanTag};
use crate::links::header::LinkPair;
use dashmap::DashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Pairs that are told apart; the rest are [`UNKNOWN`].
pub const PAIRS_MAX: u32 = 4096;
/// The number of what is not known: nobody asked, or there were too many.
pub const UNKNOWN: u16 = 0;
/// Pairs that a table remembers: those of a few gateways and neighbours.
const REMEMBERED: usize = 16;
/// An Ethernet header with a tag.
pub const HEAD_BYTES: usize = 18;
/// How a frame begins: both addresses, then the tag and the ethertype, or the
/// ethertype and what is behind it.
pub type Head = [u8; HEAD_BYTES];

/// Keeps how a frame begins; false where it is shorter, and makes no flow.
#[inline(always)]
pub(super) fn keep_head(data: &[u8], head: &mut Head) -> bool {
    data.first_chunk().is_some_and(|first| {
        *head = *first;
        true
    })
}

/// The same of any frame: a tag that was taken out in its place again, nothing
/// of what is not Ethernet.
pub(super) fn head_of(frame: &Frame<'_>, head: &mut Head) -> bool {
    let kept = frame.link_type == LinkType::Ethernet && keep_head(frame.data, head);
    if let Some(tag) = frame.stripped_tag.filter(|_| kept) {
        *head = with_tag(head, tag);
    }
    kept
}

fn with_tag(first: &Head, tag: VlanTag) -> Head {
    let [a, b, c, d, e, f, g, h, i, j, k, l, high, low, ..] = *first;
    let [tag_high, tag_low] = tag.tci.to_be_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l, 0x81, 0x00, tag_high, tag_low, high, low]
}

/// See the module's description. Clones share their numbers.
#[derive(Clone, Default)]
pub struct LinkPairs {
    shared: Arc<DashMap<LinkPair, u16>>,
    given: Arc<AtomicU32>,
    /// By the last bits of the destination's address.
    last: [Remembered; REMEMBERED],
}

#[derive(Clone, Copy, Default)]
struct Remembered {
    pair: LinkPair,
    number: u16,
}

impl LinkPairs {
    /// The number of the pair of a frame that begins so.
    pub fn number(&mut self, head: &Head) -> u16 {
        let Some((pair, _)) = LinkPair::of_frame(head, None) else { return UNKNOWN };
        let place = usize::from(pair.destination[5]) % REMEMBERED;
        let last = &mut self.last[place];
        if last.number != UNKNOWN && last.pair == pair {
            return last.number;
        }
        let number = self.shared_number(pair);
        self.last[place] = Remembered { pair, number };
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

    fn kept(frame: &Frame<'_>) -> Head {
        let mut head = [0xff; HEAD_BYTES];
        assert!(head_of(frame, &mut head));
        head
    }

    #[test]
    fn the_same_pair_has_the_same_number_in_all_tables() {
        let mut one = LinkPairs::default();
        let mut other = one.clone();
        // What is behind the header is the packet's own.
        let data = |last: u8| {
            let addresses = [[2, 0, 0, 0, 0, last], [2, 0, 0, 0, 1, 0]].concat();
            addresses.into_iter().chain([8, 0, 0x45, last, last, 7])
        };
        let frames: Vec<Vec<u8>> = (0..40).map(|last| data(last).collect()).collect();
        let numbers: Vec<u16> = frames.iter().map(|data| one.number(&kept(&frame(data, None)))).collect();
        assert_eq!(numbers, (1..=40).collect::<Vec<u16>>());
        for (data, &number) in frames.iter().zip(&numbers).rev() {
            assert_eq!(other.number(&kept(&frame(data, None))), number);
            assert_ne!(other.number(&kept(&frame(data, Some(5)))), number);
            let mut changed = data.clone();
            changed[17] = 9;
            assert_eq!(other.number(&kept(&frame(&changed, None))), number);
        }
        assert_eq!(one.all()[3].map(|pair| pair.destination[5]), Some(2));
        assert_eq!(one.all().len(), 81);
        assert_eq!(one.all()[80].map(|pair| (pair.tci, pair.ethertype)), Some((Some(5), 0x0800)));
    }

    #[test]
    fn a_tag_in_the_frame_and_one_that_was_taken_out_are_the_same() {
        let mut pairs = LinkPairs::default();
        let addresses = [2u8, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        let inside = [&addresses[..], &[0x81, 0, 0, 5, 8, 0]].concat();
        let outside = [&addresses[..], &[8, 0, 0x45, 0, 0, 40]].concat();
        let number = pairs.number(&kept(&frame(&inside, None)));
        assert_eq!(pairs.number(&kept(&frame(&outside, Some(5)))), number);
        assert_ne!(pairs.number(&kept(&frame(&outside, Some(6)))), number);
        assert!(!head_of(&frame(&[1, 2, 3], None), &mut [0; HEAD_BYTES]));
        let raw = Frame { link_type: LinkType::RawIp, ..frame(&outside, None) };
        assert!(!head_of(&raw, &mut [0; HEAD_BYTES]));
    }
}
