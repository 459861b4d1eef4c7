//! Which flows have been idle longest: lists by the second of their last packet.
//!
//! Every class of flow (they differ in how long silence may last) has a ring of
//! buckets, one for each second that an entry of it can be old. An entry stands
//! in the bucket of the second in which it was put there; packets do not move
//! it, nor does a change of class unless the new limit is shorter than that of
//! the ring it stands in. When a bucket's second comes up for expiry, or its
//! entry for eviction, the entry's true class and last packet are looked at,
//! and it ends or is moved on. So a packet costs nothing here, a flow two or
//! three list steps in its life, and both questions ("whose time is over?",
//! "who has been idle longest?") are answered without looking at the rest. Each
//! step is bounded; what is left waits.
//!
//! Invariant: the limit of the ring in which an entry stands is at most that of
//! its class; half-open and ended entries stand in their own ring.
//!
//! A ring reaches as far back as its limit. Where time jumps further, or where
//! nothing is swept, what falls out of it waits in the class's overdue list.
//!
//! Does not know entries: the caller brings their class and last packet.

use crate::capture::sys::memory::{LargeVec, Reading};

/// Classes of flows by idle limit; the order is the order of eviction rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// Ended, kept for late packets: 10 s.
    Tombstone = 0,
    /// Handshake not proven: `--timeout`.
    HalfOpen = 1,
    /// Established: 7440 s (RFC 5382 REQ-5, Linux keep-alive).
    Established = 2,
    /// One or both FINs seen: 240 s.
    Closing = 3,
    /// UDP: 180 s.
    Udp = 4,
    /// Anything else: 60 s.
    Other = 5,
}

impl Class {
    /// All of them, in that order.
    pub const ALL: [Class; CLASSES] =
        [Class::Tombstone, Class::HalfOpen, Class::Established, Class::Closing, Class::Udp, Class::Other];
}

/// Number of classes.
pub const CLASSES: usize = 6;

const NONE: u32 = u32::MAX;
const SECOND: u64 = 1_000_000_000;

/// An entry's place in its list.
#[derive(Clone, Copy)]
pub struct Node {
    /// Second of the last packet that was known when it was put here.
    second: u64,
    next: u32,
    previous: u32,
    bucket: u32,
    class: u8,
    linked: bool,
}

struct Ring {
    /// First bucket of this class in `heads`.
    offset: usize,
    buckets: usize,
    limit_ns: u64,
    /// Least second that any entry may stand in.
    low: u64,
    /// Entries that stand here, of whatever class.
    standing: usize,
    /// A second and its bucket: many entries are put there one after the other.
    known: (u64, u32),
}

impl Ring {
    fn overdue(&self) -> u32 {
        self.offset as u32
    }
    fn bucket(&self, second: u64) -> u32 {
        (self.offset + 1 + (second % self.buckets as u64) as usize) as u32
    }
    /// The same without a division where it was asked for last time, too.
    #[inline]
    fn bucket_again(&mut self, second: u64) -> u32 {
        if self.known.0 != second {
            self.known = (second, self.bucket(second));
        }
        self.known.1
    }
}

/// See the module's description.
pub struct IdleLists {
    rings: [Ring; CLASSES],
    /// Entries by class, wherever they stand.
    counts: [usize; CLASSES],
    heads: Vec<u32>,
    nodes: LargeVec<Node>,
    now: u64,
}

impl IdleLists {
    /// `limits_ns` by class; entries are numbered below `entries_max`.
    pub fn new(limits_ns: [u64; CLASSES], entries_max: usize) -> IdleLists {
        let mut offset = 0;
        let rings = limits_ns.map(|limit_ns| {
            // The sweep waits a second longer than the limit, and an entry
            // stands up to a second before its bucket's end.
            let buckets = (limit_ns / SECOND) as usize + 4;
            let ring = Ring { offset, buckets, limit_ns, low: 0, standing: 0, known: (0, offset as u32 + 1) };
            // One more: the overdue list, in front.
            offset += buckets + 1;
            ring
        });
        IdleLists {
            rings,
            counts: [0; CLASSES],
            heads: vec![NONE; offset],
            nodes: LargeVec::new(entries_max, Reading::AtRandom),
            now: 0,
        }
    }

    /// Idle limit of a class, ns.
    #[inline]
    pub fn limit_ns(&self, class: Class) -> u64 {
        self.rings[class as usize].limit_ns
    }

    /// Entries in a class.
    pub fn count(&self, class: Class) -> usize {
        self.counts[class as usize]
    }

    /// A new entry of a class.
    pub fn put(&mut self, slot: u32, class: Class, last_ns: u64) {
        self.counts[class as usize] += 1;
        self.relink(slot, class, last_ns);
    }

    /// An entry is of another class from now on.
    #[inline]
    pub fn reclass(&mut self, slot: u32, from: Class, to: Class, last_ns: u64) {
        self.counts[from as usize] -= 1;
        self.counts[to as usize] += 1;
        let limit_ns = self.limit_ns(to);
        let own = matches!(to, Class::Tombstone | Class::HalfOpen);
        // Where it stands the limit is not longer than that of its class so far.
        if own || limit_ns < self.limit_ns(from) {
            let stands = self.nodes.get(slot as usize).map_or(0, |node| node.class as usize);
            if own || limit_ns < self.rings[stands].limit_ns {
                self.relink(slot, to, last_ns);
            }
        }
    }

    /// Puts an entry where its class and last packet belong, out of where it stood.
    pub fn relink(&mut self, slot: u32, class: Class, last_ns: u64) {
        let at = slot as usize;
        if at >= self.nodes.len() {
            let blank = Node { second: 0, next: NONE, previous: NONE, bucket: NONE, class: 0, linked: false };
            self.nodes.resize(at + 1, blank);
        }
        self.unlink(slot);
        let second = last_ns / SECOND;
        self.advance(second);
        let ring = &mut self.rings[class as usize];
        let oldest = (self.now + 1).saturating_sub(ring.buckets as u64);
        if ring.standing == 0 {
            ring.low = second.max(oldest);
        }
        ring.low = ring.low.min(second).max(oldest);
        ring.standing += 1;
        let bucket = if second < oldest { ring.overdue() } else { ring.bucket_again(second) };
        let blank = Node { second, next: NONE, previous: NONE, bucket, class: class as u8, linked: true };
        self.nodes[at] = blank;
        self.append(slot, bucket);
    }

    /// To the end of a bucket's list; the head's `previous` is the tail.
    fn append(&mut self, slot: u32, bucket: u32) {
        let head = self.heads[bucket as usize];
        let node = &mut self.nodes[slot as usize];
        node.bucket = bucket;
        node.next = NONE;
        if head == NONE {
            node.previous = slot;
            self.heads[bucket as usize] = slot;
        } else {
            let tail = self.nodes[head as usize].previous;
            self.nodes[slot as usize].previous = tail;
            self.nodes[tail as usize].next = slot;
            self.nodes[head as usize].previous = slot;
        }
    }

    /// Time moves on to `second`: what falls out of a ring becomes overdue.
    #[inline]
    fn advance(&mut self, second: u64) {
        if second > self.now {
            self.now = second;
            for class in 0..CLASSES {
                let ring = &self.rings[class];
                let oldest = (second + 1).saturating_sub(ring.buckets as u64);
                if ring.low < oldest {
                    self.fall_out(class, oldest);
                }
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn fall_out(&mut self, class: usize, oldest: u64) {
        let ring = &self.rings[class];
        let (overdue, turn) = (ring.overdue(), ring.buckets as u64);
        if ring.standing > 0 {
            for second in ring.low..oldest.min(ring.low.saturating_add(turn)) {
                let bucket = self.rings[class].bucket(second) as usize;
                let mut slot = std::mem::replace(&mut self.heads[bucket], NONE);
                while slot != NONE {
                    let next = self.nodes[slot as usize].next;
                    self.append(slot, overdue);
                    slot = next;
                }
            }
        }
        self.rings[class].low = oldest;
    }

    /// Takes an entry of a class out.
    pub fn take(&mut self, slot: u32, class: Class) {
        self.counts[class as usize] -= 1;
        self.unlink(slot);
    }

    fn unlink(&mut self, slot: u32) {
        let Some(node) = self.nodes.get(slot as usize).copied() else { return };
        if !node.linked {
            return;
        }
        let bucket = node.bucket as usize;
        let head = self.heads[bucket];
        if head == slot {
            self.heads[bucket] = node.next;
            if node.next != NONE {
                self.nodes[node.next as usize].previous = node.previous;
            }
        } else {
            self.nodes[node.previous as usize].next = node.next;
            let after = if node.next == NONE { head } else { node.next };
            self.nodes[after as usize].previous = node.previous;
        }
        self.nodes[slot as usize].linked = false;
        self.rings[node.class as usize].standing -= 1;
    }

    /// The entry that stands in the lowest bucket of a class's ring, with the
    /// second for which it was put there. It may have had packets since, and be
    /// of another class.
    pub fn oldest(&mut self, class: Class) -> Option<(u32, u64)> {
        let ring = &mut self.rings[class as usize];
        if ring.standing == 0 {
            return None;
        }
        let overdue = self.heads[ring.overdue() as usize];
        if overdue != NONE {
            return Some((overdue, self.nodes[overdue as usize].second));
        }
        // At most one turn of the ring; `low` only moves on.
        for _ in 0..=ring.buckets {
            let head = self.heads[ring.bucket(ring.low) as usize];
            if head != NONE {
                return Some((head, self.nodes[head as usize].second));
            }
            ring.low += 1;
        }
        None
    }

    /// Whether a flow whose last packet came at `last_ns` has been idle for its
    /// limit and a second more, both counted from the end of that second.
    pub fn is_due(&self, class: Class, last_ns: u64, now_ns: u64) -> bool {
        let limit = self.rings[class as usize].limit_ns;
        (last_ns / SECOND).saturating_add(2).saturating_mul(SECOND).saturating_add(limit) <= now_ns
    }

    /// An entry in a class's ring whose time may be over at `now_ns`; as for
    /// [`IdleLists::oldest`], what it is has to be looked at.
    pub fn due(&mut self, class: Class, now_ns: u64) -> Option<u32> {
        let (slot, second) = self.oldest(class)?;
        self.is_due(class, second * SECOND, now_ns).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const LIMITS: [u64; CLASSES] =
        [10 * SECOND, 60 * SECOND, 744 * SECOND, 24 * SECOND, 18 * SECOND, 6 * SECOND];

    proptest! {
        /// The lowest bucket is that of the smallest second, whatever was put and taken.
        #[test]
        fn oldest_is_the_smallest_second(steps in proptest::collection::vec((0u32..30, 0u64..50, any::<bool>()), 1..300)) {
            let mut lists = IdleLists::new(LIMITS, 30);
            let mut twin: BTreeMap<u32, u64> = BTreeMap::new();
            for (slot, second, add) in steps {
                let known = twin.contains_key(&slot);
                if add {
                    let last_ns = 1000 * SECOND + second * SECOND;
                    match known {
                        true => lists.relink(slot, Class::Established, last_ns),
                        false => lists.put(slot, Class::Established, last_ns),
                    }
                    twin.insert(slot, 1000 + second);
                } else if known {
                    lists.take(slot, Class::Established);
                    twin.remove(&slot);
                }
                prop_assert_eq!(lists.count(Class::Established), twin.len());
                prop_assert_eq!(lists.oldest(Class::Established).map(|o| o.1), twin.values().min().copied());
            }
        }
    }

    #[test]
    fn entries_of_one_second_leave_in_the_order_they_came() {
        let mut lists = IdleLists::new(LIMITS, 8);
        for slot in [3, 1, 2, 5] {
            lists.put(slot, Class::HalfOpen, 7 * SECOND);
        }
        lists.take(1, Class::HalfOpen);
        let mut order = Vec::new();
        while let Some((slot, _)) = lists.oldest(Class::HalfOpen) {
            order.push(slot);
            lists.take(slot, Class::HalfOpen);
        }
        assert_eq!(order, [3, 2, 5]);
    }

    #[test]
    fn a_longer_limit_moves_nothing_and_a_shorter_one_does() {
        let mut lists = IdleLists::new(LIMITS, 8);
        lists.put(0, Class::HalfOpen, 100 * SECOND);
        lists.reclass(0, Class::HalfOpen, Class::Established, 105 * SECOND);
        assert_eq!(lists.oldest(Class::HalfOpen), Some((0, 100)));
        assert_eq!((lists.count(Class::HalfOpen), lists.count(Class::Established)), (0, 1));
        lists.reclass(0, Class::Established, Class::Closing, 106 * SECOND);
        assert_eq!(lists.oldest(Class::Closing), Some((0, 106)), "24 s are less than 60 s");
        lists.reclass(0, Class::Closing, Class::Tombstone, 107 * SECOND);
        assert_eq!(lists.oldest(Class::Tombstone), Some((0, 107)));
        lists.take(0, Class::Tombstone);
        assert!(Class::ALL.into_iter().all(|class| lists.count(class) == 0 && lists.oldest(class).is_none()));
    }

    #[test]
    fn what_is_half_open_again_is_found_among_the_half_open() {
        let mut lists = IdleLists::new(LIMITS, 8);
        lists.put(0, Class::HalfOpen, 100 * SECOND);
        lists.reclass(0, Class::HalfOpen, Class::Tombstone, 101 * SECOND);
        lists.reclass(0, Class::Tombstone, Class::HalfOpen, 102 * SECOND);
        assert_eq!((lists.oldest(Class::Tombstone), lists.oldest(Class::HalfOpen)), (None, Some((0, 102))));
    }

    #[test]
    fn a_jump_of_years_keeps_every_entry_reachable() {
        let mut lists = IdleLists::new(LIMITS, 8);
        lists.put(0, Class::Udp, 5 * SECOND);
        lists.put(1, Class::Udp, 1_000_000_000 * SECOND);
        assert_eq!(lists.due(Class::Udp, 1_000_000_000 * SECOND), Some(0));
        lists.take(0, Class::Udp);
        assert_eq!(lists.due(Class::Udp, 1_000_000_000 * SECOND), None);
        assert_eq!(lists.oldest(Class::Udp), Some((1, 1_000_000_000)));
    }
}
