//! Which flows have been idle longest: lists by the second of their last packet.
//!
//! Every class of flow (they differ in how long silence may last) has a ring of
//! buckets, one for each second that an entry of it can be old. An entry stands
//! in the bucket of the second in which it was put there; packets do not move
//! it. When a bucket's second comes up for expiry, or its entry for eviction,
//! the entry's true last packet is looked at, and it ends or is moved on. So a
//! packet costs nothing here, a flow some list steps in its life, and both
//! questions ("whose time is over?", "who has been idle longest?") are answered
//! without looking at the rest. Each step is bounded; what is left waits.
//!
//! A ring reaches as far back as its limit. Where time jumps further, or where
//! nothing is swept, what falls out of it waits in the class's overdue list.
//!
//! Does not know entries: the caller brings the time of the last packet.

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
    count: usize,
}

impl Ring {
    fn overdue(&self) -> u32 {
        self.offset as u32
    }
    fn bucket(&self, second: u64) -> u32 {
        (self.offset + 1 + (second % self.buckets as u64) as usize) as u32
    }
}

/// See the module's description.
pub struct IdleLists {
    rings: [Ring; CLASSES],
    heads: Vec<u32>,
    nodes: Vec<Node>,
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
            let ring = Ring { offset, buckets, limit_ns, low: 0, count: 0 };
            // One more: the overdue list, in front.
            offset += buckets + 1;
            ring
        });
        IdleLists { rings, heads: vec![NONE; offset], nodes: Vec::with_capacity(entries_max), now: 0 }
    }

    /// Bytes of memory for entries to come, for a hint to the kernel about page size.
    pub fn memory(&mut self) -> &mut [std::mem::MaybeUninit<Node>] {
        self.nodes.spare_capacity_mut()
    }

    /// Idle limit of a class, ns.
    #[inline]
    pub fn limit_ns(&self, class: Class) -> u64 {
        self.rings[class as usize].limit_ns
    }

    /// Whether an entry stands in a list of this class.
    #[inline]
    pub fn is_in(&self, slot: u32, class: Class) -> bool {
        self.nodes.get(slot as usize).is_some_and(|node| node.linked && node.class == class as u8)
    }

    /// Entries in a class.
    pub fn count(&self, class: Class) -> usize {
        self.rings[class as usize].count
    }

    /// Puts an entry into the bucket of `last_ns`, out of where it stood.
    pub fn put(&mut self, slot: u32, class: Class, last_ns: u64) {
        let at = slot as usize;
        if at >= self.nodes.len() {
            let blank = Node { second: 0, next: NONE, previous: NONE, bucket: NONE, class: 0, linked: false };
            self.nodes.resize(at + 1, blank);
        }
        if self.nodes[at].linked {
            self.take(slot);
        }
        let second = last_ns / SECOND;
        self.advance(second);
        let ring = &mut self.rings[class as usize];
        let oldest = (self.now + 1).saturating_sub(ring.buckets as u64);
        if ring.count == 0 {
            ring.low = second.max(oldest);
        }
        ring.low = ring.low.min(second).max(oldest);
        ring.count += 1;
        let bucket = if second < oldest { ring.overdue() } else { ring.bucket(second) };
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
        if ring.count > 0 {
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

    /// Takes an entry out.
    pub fn take(&mut self, slot: u32) {
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
        self.rings[node.class as usize].count -= 1;
    }

    /// The entry of `class` that stands in the lowest bucket, with the second
    /// for which it was put there. It may have had packets since.
    pub fn oldest(&mut self, class: Class) -> Option<(u32, u64)> {
        let ring = &mut self.rings[class as usize];
        if ring.count == 0 {
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

    /// An entry whose time may be over at `now_ns`; it may have had packets
    /// since it was put: see [`IdleLists::is_due`].
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
                if add {
                    lists.put(slot, Class::Established, 1000 * SECOND + second * SECOND);
                    twin.insert(slot, 1000 + second);
                } else {
                    lists.take(slot);
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
        lists.take(1);
        let mut order = Vec::new();
        while let Some((slot, _)) = lists.oldest(Class::HalfOpen) {
            order.push(slot);
            lists.take(slot);
        }
        assert_eq!(order, [3, 2, 5]);
    }

    #[test]
    fn a_jump_of_years_keeps_every_entry_reachable() {
        let mut lists = IdleLists::new(LIMITS, 8);
        lists.put(0, Class::Udp, 5 * SECOND);
        lists.put(1, Class::Udp, 1_000_000_000 * SECOND);
        assert_eq!(lists.due(Class::Udp, 1_000_000_000 * SECOND), Some(0));
        lists.take(0);
        assert_eq!(lists.due(Class::Udp, 1_000_000_000 * SECOND), None);
        assert_eq!(lists.oldest(Class::Udp), Some((1, 1_000_000_000)));
    }
}
