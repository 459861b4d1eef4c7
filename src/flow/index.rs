//! Hash → slot: segments of 4096 buckets of 8 bytes behind a small directory.
//!
//! A bucket is (tag, slot). The tag is 32 bits of the key's hash: its high bits
//! choose the segment, its low ones the bucket where probing begins, so probing,
//! deleting and splitting look at no entry. Probing is linear and stays within
//! the segment; a deletion shifts later buckets back, so there are no
//! tombstones. A segment that is five eighths full is split in two, which is
//! the largest step there is (32 KiB read and written): the index is as large
//! as its flows need, and a table of a thousand flows lives in the level-1 cache
//! (extendible hashing, Fagin et al. 1979).

use super::prefetch;
use crate::capture::sys::memory::{LargeVec, Reading};

/// Buckets of a segment.
const SEGMENT: usize = 4096;
/// Buckets in use from which on a segment is split.
const SPLIT_AT: u16 = (SEGMENT * 5 / 8) as u16;

/// See the module's description.
pub struct Index {
    /// `tag << 32 | slot + 1`; 0 is empty. Segment after segment.
    buckets: LargeVec<u64>,
    /// Number of the segment for each value of the tag's `depth` high bits.
    directory: Vec<u32>,
    depth: u32,
    depth_max: u32,
    /// A segment that is being split: nothing is allocated then.
    scratch: Vec<u64>,
    /// By segment: high bits of the tag that its entries share, and buckets in use.
    segments: Vec<(u32, u16)>,
}

/// A list that begins with this, with room for all that may come.
fn first<T>(one: T, capacity: usize) -> Vec<T> {
    let mut list = Vec::with_capacity(capacity);
    list.push(one);
    list
}

impl Index {
    /// For at most `entries_max` entries.
    pub fn new(entries_max: usize) -> Index {
        // At the greatest depth segments are half full on average, so that none
        // of them, as hashes fall, is ever full.
        let segments = entries_max.div_ceil(SEGMENT / 2).next_power_of_two();
        let mut buckets = LargeVec::new(segments * SEGMENT, Reading::AtRandom);
        buckets.resize(SEGMENT, 0);
        Index {
            buckets,
            directory: first(0, segments),
            depth: 0,
            depth_max: segments.trailing_zeros(),
            scratch: Vec::with_capacity(SEGMENT),
            segments: first((0, 0), segments),
        }
    }

    #[inline]
    fn segment(&self, tag: u32) -> usize {
        // In 64 bits, as depth 0 shifts by 32.
        self.directory[((tag as u64) >> (32 - self.depth)) as usize] as usize
    }

    #[inline]
    fn slice_mut(&mut self, segment: usize) -> &mut [u64] {
        &mut self.buckets[segment * SEGMENT..(segment + 1) * SEGMENT]
    }

    /// Brings the home bucket of `tag` nearer.
    #[inline]
    pub fn prefetch(&self, tag: u32) {
        if let Some(bucket) = self.buckets.get(self.segment(tag) * SEGMENT + tag as usize % SEGMENT) {
            prefetch::line(bucket);
        }
    }

    /// First slot with this tag: what to prefetch; its key is not compared.
    #[inline]
    pub fn candidate(&self, tag: u32) -> Option<u32> {
        self.find(tag, |_| true)
    }

    /// The slot with this tag whose key `matches`.
    #[inline]
    pub fn find(&self, tag: u32, mut matches: impl FnMut(u32) -> bool) -> Option<u32> {
        let start = self.segment(tag) * SEGMENT;
        let mut at = tag as usize % SEGMENT;
        loop {
            let bucket = *self.buckets.get(start + at)?;
            if bucket == 0 {
                return None;
            }
            if (bucket >> 32) as u32 == tag && matches(bucket as u32 - 1) {
                return Some(bucket as u32 - 1);
            }
            at = (at + 1) % SEGMENT;
        }
    }

    /// Adds a slot. False, and nothing is added, where its segment is full and
    /// cannot be split any more: hashes would have to be anything but random.
    #[must_use]
    pub fn insert(&mut self, tag: u32, slot: u32) -> bool {
        let mut segment = self.segment(tag);
        while self.segments[segment].1 >= SPLIT_AT && self.segments[segment].0 < self.depth_max {
            self.split(segment, tag);
            segment = self.segment(tag);
        }
        if self.segments[segment].1 as usize >= SEGMENT - 1 {
            return false;
        }
        self.place(segment, tag, slot);
        true
    }

    fn place(&mut self, segment: usize, tag: u32, slot: u32) {
        self.segments[segment].1 += 1;
        let buckets = self.slice_mut(segment);
        let mut at = tag as usize % SEGMENT;
        while buckets[at] != 0 {
            at = (at + 1) % SEGMENT;
        }
        buckets[at] = (tag as u64) << 32 | (slot as u64 + 1);
    }

    /// Splits the segment of `tag` by one more bit.
    #[cold]
    #[inline(never)]
    fn split(&mut self, segment: usize, tag: u32) {
        let shared = self.segments[segment].0;
        if shared == self.depth {
            self.depth += 1;
            // In place, from behind: each entry becomes two.
            let places = self.directory.len();
            self.directory.resize(2 * places, 0);
            for place in (0..places).rev() {
                let segment = self.directory[place];
                self.directory[2 * place..2 * place + 2].fill(segment);
            }
        }
        let new = self.segments.len();
        self.segments.push((shared + 1, 0));
        self.segments[segment] = (shared + 1, 0);
        self.buckets.resize((new + 1) * SEGMENT, 0);
        // The places whose next bit is set are the new segment's.
        let places = 1usize << (self.depth - shared);
        let first = (tag.checked_shr(32 - shared).unwrap_or(0) as usize) * places;
        for place in &mut self.directory[first + places / 2..first + places] {
            *place = new as u32;
        }
        let mut old = std::mem::take(&mut self.scratch);
        old.clear();
        old.extend_from_slice(self.slice_mut(segment));
        self.slice_mut(segment).fill(0);
        for &bucket in old.iter().filter(|&&bucket| bucket != 0) {
            let tag = (bucket >> 32) as u32;
            self.place(self.segment(tag), tag, bucket as u32 - 1);
        }
        self.scratch = old;
    }

    /// Takes a slot out; later buckets of its run move back.
    pub fn remove(&mut self, tag: u32, slot: u32) {
        let wanted = (tag as u64) << 32 | (slot as u64 + 1);
        let segment = self.segment(tag);
        let buckets = self.slice_mut(segment);
        let mut at = tag as usize % SEGMENT;
        while buckets[at] != wanted {
            if buckets[at] == 0 {
                debug_assert!(false, "a slot that is taken out stands in the index");
                return;
            }
            at = (at + 1) % SEGMENT;
        }
        let mut hole = at;
        loop {
            at = (at + 1) % SEGMENT;
            let bucket = buckets[at];
            if bucket == 0 {
                break;
            }
            let home = (bucket >> 32) as usize % SEGMENT;
            // Does the way from its home to `at` pass the hole?
            let (from_home, from_hole) = (at.wrapping_sub(home) % SEGMENT, at.wrapping_sub(hole) % SEGMENT);
            if from_home >= from_hole {
                buckets[hole] = bucket;
                hole = at;
            }
        }
        buckets[hole] = 0;
        self.segments[segment].1 -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Against a map, where runs wrap and tags collide.
        #[test]
        fn agrees_with_a_map(steps in proptest::collection::vec((any::<bool>(), 0u32..40), 1..400)) {
            let tag_of = |slot: u32| (slot / 3) << 20 | (0xff0 + (slot & 0xf)) ;
            let mut index = Index::new(40);
            let mut twin: HashMap<u32, u32> = HashMap::new();
            for (add, slot) in steps {
                let tag = tag_of(slot);
                if add && twin.insert(slot, tag).is_none() {
                    prop_assert!(index.insert(tag, slot));
                } else if !add && twin.remove(&slot).is_some() {
                    index.remove(tag, slot);
                }
                for probe in 0..40 {
                    prop_assert_eq!(index.find(tag_of(probe), |s| s == probe).is_some(), twin.contains_key(&probe));
                }
            }
        }
    }

    #[test]
    fn grows_by_splitting_and_forgets_nothing() {
        let entries = 200_000;
        let mut index = Index::new(entries);
        let tag_of = |slot: u32| (slot as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_right(29) as u32;
        for slot in 0..entries as u32 {
            assert!(index.insert(tag_of(slot), slot));
        }
        assert!((0..entries as u32).all(|slot| index.find(tag_of(slot), |s| s == slot).is_some()));
        (0..entries as u32).step_by(2).for_each(|slot| index.remove(tag_of(slot), slot));
        let there = |slot: u32| index.find(tag_of(slot), |s| s == slot).is_some();
        assert!((0..entries as u32).all(|slot| there(slot) == (slot % 2 == 1)));
    }

    #[test]
    fn tags_that_are_all_alike_fill_one_segment_and_no_more() {
        let mut index = Index::new(100_000);
        let taken = (0..5000).take_while(|&slot| index.insert(7, slot)).count();
        assert_eq!(taken, SEGMENT - 1);
        assert_eq!(index.find(7, |slot| slot == 4000), Some(4000));
        assert_eq!(index.find(7, |slot| slot == 4999), None);
    }
}
