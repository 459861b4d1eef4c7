//! Hash → slot: open addressing over 8-byte buckets of (tag, slot).
//!
//! The tag is 32 bits of the key's hash and also says where a bucket's home
//! is, so probing and deleting look at no entry. Linear probing; a deletion
//! shifts later buckets back, so there are no tombstones. Size is fixed: three
//! buckets for two entries, all of them zero pages until they are used.

use super::prefetch;

/// See the module's description.
pub struct Index {
    /// `tag << 32 | slot + 1`; 0 is empty.
    buckets: Vec<u64>,
}

impl Index {
    /// For at most `entries_max` entries.
    pub fn new(entries_max: usize) -> Index {
        Index { buckets: vec![0; entries_max + entries_max / 2 + 8] }
    }

    /// The buckets' memory, for a hint to the kernel about page size.
    pub fn memory(&mut self) -> &mut [u64] {
        &mut self.buckets
    }

    #[inline]
    fn home(&self, tag: u32) -> usize {
        ((tag as u64 * self.buckets.len() as u64) >> 32) as usize
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        if at + 1 == self.buckets.len() { 0 } else { at + 1 }
    }

    /// Brings the home bucket of `tag` nearer.
    #[inline]
    pub fn prefetch(&self, tag: u32) {
        prefetch::line(&self.buckets[self.home(tag)]);
    }

    /// First slot with this tag: what to prefetch; its key is not compared.
    #[inline]
    pub fn candidate(&self, tag: u32) -> Option<u32> {
        self.find(tag, |_| true)
    }

    /// The slot with this tag whose key `matches`.
    #[inline]
    pub fn find(&self, tag: u32, mut matches: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(tag);
        loop {
            let bucket = self.buckets[at];
            if bucket == 0 {
                return None;
            }
            if (bucket >> 32) as u32 == tag && matches(bucket as u32 - 1) {
                return Some(bucket as u32 - 1);
            }
            at = self.next(at);
        }
    }

    /// Adds a slot; the caller keeps the number of entries within the limit.
    pub fn insert(&mut self, tag: u32, slot: u32) {
        let mut at = self.home(tag);
        while self.buckets[at] != 0 {
            at = self.next(at);
        }
        self.buckets[at] = (tag as u64) << 32 | (slot as u64 + 1);
    }

    /// Takes a slot out; later buckets of its run move back.
    pub fn remove(&mut self, tag: u32, slot: u32) {
        let wanted = (tag as u64) << 32 | (slot as u64 + 1);
        let mut at = self.home(tag);
        while self.buckets[at] != wanted {
            if self.buckets[at] == 0 {
                debug_assert!(false, "a slot that is taken out stands in the index");
                return;
            }
            at = self.next(at);
        }
        let mut hole = at;
        loop {
            at = self.next(at);
            let bucket = self.buckets[at];
            if bucket == 0 {
                break;
            }
            let home = self.home((bucket >> 32) as u32);
            // Does the way from its home to `at` pass the hole?
            let length = self.buckets.len();
            let from_home = (at + length - home) % length;
            let from_hole = (at + length - hole) % length;
            if from_home >= from_hole {
                self.buckets[hole] = bucket;
                hole = at;
            }
        }
        self.buckets[hole] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Against a map, in a small index where runs wrap and tags collide.
        #[test]
        fn agrees_with_a_map(steps in proptest::collection::vec((any::<bool>(), 0u32..40), 1..400)) {
            let mut index = Index::new(40);
            let mut twin: HashMap<u32, u32> = HashMap::new();
            for (add, slot) in steps {
                let tag = (slot / 3).wrapping_mul(0x3fff_ffff) | 0xf000_0000 * (slot & 1);
                if add && twin.insert(slot, tag).is_none() {
                    index.insert(tag, slot);
                } else if !add && twin.remove(&slot).is_some() {
                    index.remove(tag, slot);
                }
                for probe in 0u32..40 {
                    let tag = (probe / 3).wrapping_mul(0x3fff_ffff) | 0xf000_0000 * (probe & 1);
                    prop_assert_eq!(index.find(tag, |s| s == probe).is_some(), twin.contains_key(&probe));
                }
            }
        }
    }
}
