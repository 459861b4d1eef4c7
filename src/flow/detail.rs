//! What a flow needs rarely: chunks of one cache line, chained from its entry.
//!
//! Counters by lane, for a direction that is seen on more than one interface (or
//! both received and sent on one); the surplus of wire packets over frames, for
//! a flow with super-frames; what TCP needs where a stream is not plain: loss of
//! a direction, more holes, histograms of round trips and of exchanges. The slab
//! is bounded; when no chunk is free the caller is told before anything is
//! counted. Histograms, which nobody's sums need, are given only while a quarter
//! of all chunks is free.

use super::entry::{Entry, NONE, mark};
use crate::capture::Lane;

const KIND_LANES: u32 = 1;
const KIND_SURPLUS: u32 = 2;
/// Of each side: + side.
const KIND_LOSS: u32 = 4;
const KIND_HOLES: u32 = 6;
const KIND_ROUND_TRIPS: u32 = 8;
const KIND_EXCHANGES: u32 = 9;
const LANES_A_CHUNK: usize = 3;
/// A lane item's second word: packets in 48 bits, side in 8, lane in 8.
const PACKETS_MASK: u64 = (1 << 48) - 1;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Chunk {
    next: u32,
    kind: u32,
    /// Lanes: three of (bytes, packets|side|lane), used ones first; a packet
    /// count of 0 is a free place. Surplus: packets ×2, bytes ×2.
    body: [u64; 7],
}

const _: () = assert!(size_of::<Chunk>() == 64);

/// A part of a stream that was never seen: `[start, end)`, of which `unseen`
/// bytes are; low 32 bits of stream offsets. `born`: when the gap appeared, in
/// units of 2^14 ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hole {
    /// First byte.
    pub start: u32,
    /// Behind the last byte.
    pub end: u32,
    /// Bytes never seen; all of them, unless holes were merged.
    pub unseen: u32,
    /// When it appeared.
    pub born: u32,
}

/// What a direction counts once its stream is not plain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Payload for numbers that had been seen.
    pub retransmitted_bytes: u64,
    /// Missing bytes of holes that are not kept any more.
    pub settled: u64,
    /// Segments with at least one byte that had been seen.
    pub retransmitted_segments: u32,
    /// Segments that filled a hole too late to have been reordered.
    pub recovered_segments: u32,
    /// Segments that filled a hole in time.
    pub out_of_order_segments: u32,
    /// Acknowledgements that repeat one while something is under way (RFC 5681 §2).
    pub duplicate_acks: u32,
    /// Segments that say that there is no room.
    pub zero_windows: u32,
    /// Segments that only ask whether the other is there (RFC 9293 §3.8.4).
    pub keep_alives: u32,
    /// The lowest hole, where the direction has any.
    pub(super) hole: Hole,
}

impl Loss {
    fn packed(&self) -> [u64; 7] {
        let two = |low: u32, high: u32| low as u64 | (high as u64) << 32;
        [
            self.retransmitted_bytes,
            self.settled,
            two(self.retransmitted_segments, self.recovered_segments),
            two(self.out_of_order_segments, self.duplicate_acks),
            two(self.zero_windows, self.keep_alives),
            two(self.hole.start, self.hole.end),
            two(self.hole.unseen, self.hole.born),
        ]
    }

    fn unpacked(body: &[u64; 7]) -> Loss {
        let two = |word: u64| (word as u32, (word >> 32) as u32);
        let (retransmitted_segments, recovered_segments) = two(body[2]);
        let (out_of_order_segments, duplicate_acks) = two(body[3]);
        let (zero_windows, keep_alives) = two(body[4]);
        Loss {
            retransmitted_bytes: body[0],
            settled: body[1],
            retransmitted_segments,
            recovered_segments,
            out_of_order_segments,
            duplicate_acks,
            zero_windows,
            keep_alives,
            hole: hole_of([body[5], body[6]]),
        }
    }
}

fn hole_of(words: [u64; 2]) -> Hole {
    let [span, rest] = words;
    Hole { start: span as u32, end: (span >> 32) as u32, unseen: rest as u32, born: (rest >> 32) as u32 }
}

/// Holes that a direction can keep: one beside its counters, three in a chunk of their own.
pub const HOLES_MAX: usize = 4;

/// Buckets of a [`Histogram`].
pub const BUCKETS: usize = 28;

/// A coarse histogram of times from 32 µs to half a second: two buckets a
/// doubling, the first and the last take what lies beyond. All are halved when
/// one would pass 255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram(pub [u8; BUCKETS]);

impl Histogram {
    /// Where a time belongs: 2·⌊log2 µs⌋ + next bit − 10, within the buckets.
    fn bucket(us: u32) -> usize {
        let log = us.max(1).ilog2();
        let half = if log == 0 { 0 } else { us >> (log - 1) & 1 };
        (2 * log + half).saturating_sub(10).min(BUCKETS as u32 - 1) as usize
    }

    /// One more.
    #[cfg(test)]
    fn add(&mut self, us: u32) {
        let at = Histogram::bucket(us);
        if self.0[at] == u8::MAX {
            self.0 = self.0.map(|count| count / 2);
        }
        self.0[at] += 1;
    }

    /// Upper edge, µs, of the bucket where so many percent are reached; None where it is empty.
    pub fn percentile(&self, percent: u32) -> Option<u32> {
        let all: u32 = self.0.iter().map(|&count| count as u32).sum();
        let wanted = (percent * all).div_ceil(100).max(1);
        let mut sum = 0;
        let at = self.0.iter().position(|&count| {
            sum += count as u32;
            sum >= wanted
        })?;
        // The lower edge of the next one.
        let next = at as u32 + 11;
        Some((2 + next % 2) << (next / 2) >> 1)
    }
}

/// Times of a connection's exchanges, from the first request to the last byte of its response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExchangeTimes {
    /// How they are spread.
    pub histogram: Histogram,
    /// Longest, µs.
    pub max_us: u32,
    /// Sum, µs.
    pub sum_us: u64,
    /// Longest from the end of a request to the first byte of its response, µs.
    pub first_byte_max_us: u32,
}

/// What one direction of a flow had on one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneCount {
    /// Sender: 0 the key's first end, 1 the second.
    pub side: u8,
    /// Interface and direction.
    pub lane: Lane,
    /// Wire packets.
    pub packets: u64,
    /// Layer-2 bytes.
    pub bytes: u64,
}

/// How much more wire packets and bytes were than frames and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Surplus {
    /// By sender.
    pub packets: [u64; 2],
    /// By sender.
    pub bytes: [u64; 2],
}

/// No chunk is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The slab of one worker's table.
pub struct Details {
    chunks: Vec<Chunk>,
    free: Vec<u32>,
    chunks_max: usize,
}

impl Details {
    /// At most `chunks_max` chunks; memory is touched as they are claimed.
    pub fn new(chunks_max: usize) -> Details {
        Details { chunks: Vec::with_capacity(chunks_max), free: Vec::new(), chunks_max }
    }

    fn room(&self) -> usize {
        self.free.len() + (self.chunks_max - self.chunks.len())
    }

    fn claim(&mut self, entry: &mut Entry, kind: u32) -> Option<usize> {
        let chunk = Chunk { next: entry.detail, kind, body: [0; 7] };
        let at = match self.free.pop() {
            Some(at) => {
                self.chunks[at as usize] = chunk;
                at
            }
            None if self.chunks.len() < self.chunks_max => {
                self.chunks.push(chunk);
                self.chunks.len() as u32 - 1
            }
            None => return None,
        };
        entry.detail = at;
        Some(at as usize)
    }

    /// Gives back all chunks of an ended flow.
    pub fn release(&mut self, entry: &mut Entry) {
        let mut at = entry.detail;
        while at != NONE {
            self.free.push(at);
            at = self.chunks[at as usize].next;
        }
        entry.detail = NONE;
    }

    fn find(&self, entry: &Entry, kind: u32, mut wanted: impl FnMut(&Chunk) -> bool) -> Option<usize> {
        let mut at = entry.detail;
        while at != NONE {
            let chunk = &self.chunks[at as usize];
            if chunk.kind == kind && wanted(chunk) {
                return Some(at as usize);
            }
            at = chunk.next;
        }
        None
    }

    /// Counts a packet of `side` that came by `lane`, where that is not the
    /// only lane of its direction. The entry's sums do not have it yet.
    #[cold]
    #[inline(never)]
    pub fn count_lane(
        &mut self,
        entry: &mut Entry,
        side: usize,
        lane: Lane,
        packets: u64,
        bytes: u64,
    ) -> Result<(), Full> {
        if entry.marks & mark::LANES[side] == 0 {
            if self.room() < 2 {
                return Err(Full);
            }
            entry.marks |= mark::LANES[side];
            let (so_far, bytes_so_far) = (entry.packets(side), entry.sent[side].bytes);
            self.add_lane(entry, side, Lane(entry.lanes[side]), so_far, bytes_so_far)?;
        }
        self.add_lane(entry, side, lane, packets, bytes)?;
        entry.lanes[side] = lane.0;
        Ok(())
    }

    fn add_lane(
        &mut self,
        entry: &mut Entry,
        side: usize,
        lane: Lane,
        packets: u64,
        bytes: u64,
    ) -> Result<(), Full> {
        let name = (side as u64) << 48 | (lane.0 as u64) << 56;
        let place = |chunk: &Chunk, free: bool| {
            (0..LANES_A_CHUNK).map(|i| 1 + 2 * i).find(|&i| {
                let word = chunk.body[i];
                if free {
                    word & PACKETS_MASK == 0
                } else {
                    word & !PACKETS_MASK == name && word & PACKETS_MASK != 0
                }
            })
        };
        let known = self.find(entry, KIND_LANES, |chunk| place(chunk, false).is_some());
        let free = known.is_none();
        let at = match known.or_else(|| self.find(entry, KIND_LANES, |chunk| place(chunk, true).is_some())) {
            Some(at) => at,
            None => self.claim(entry, KIND_LANES).ok_or(Full)?,
        };
        let chunk = &mut self.chunks[at];
        if let Some(i) = place(chunk, free) {
            chunk.body[i] = name | ((chunk.body[i] & PACKETS_MASK) + packets);
            chunk.body[i - 1] += bytes;
        }
        Ok(())
    }

    /// Counts how much a super-frame's wire packets were more than the frame.
    #[cold]
    #[inline(never)]
    pub fn count_surplus(
        &mut self,
        entry: &mut Entry,
        side: usize,
        packets: u64,
        bytes: u64,
    ) -> Result<(), Full> {
        let at = match self.find(entry, KIND_SURPLUS, |_| true) {
            Some(at) => at,
            None => self.claim(entry, KIND_SURPLUS).ok_or(Full)?,
        };
        entry.marks |= mark::SUPER_FRAMES;
        let body = &mut self.chunks[at].body;
        body[side] += packets;
        body[2 + side] += bytes;
        Ok(())
    }

    /// Takes back what [`Details::count_surplus`] counted for a packet that is in no flow.
    pub fn take_back_surplus(&mut self, entry: &Entry, side: usize, packets: u64, bytes: u64) {
        if let Some(at) = self.find(entry, KIND_SURPLUS, |_| true) {
            let body = &mut self.chunks[at].body;
            body[side] -= packets;
            body[2 + side] -= bytes;
        }
    }

    /// See [`Surplus`].
    pub fn surplus(&self, entry: &Entry) -> Surplus {
        match self.find(entry, KIND_SURPLUS, |_| true) {
            None => Surplus::default(),
            Some(at) => {
                let body = &self.chunks[at].body;
                Surplus { packets: [body[0], body[1]], bytes: [body[2], body[3]] }
            }
        }
    }

    /// Whether a flow may have what only helps to know more.
    fn is_generous(&self) -> bool {
        self.room() > self.chunks_max / 4
    }

    /// Chunks that may still be claimed.
    pub fn free_chunks(&self) -> usize {
        self.room()
    }

    /// A direction's counters; all 0 where nothing happened.
    pub fn loss(&self, entry: &Entry, side: usize) -> Loss {
        let at = self.find(entry, KIND_LOSS + side as u32, |_| true);
        at.map_or_else(Loss::default, |at| Loss::unpacked(&self.chunks[at].body))
    }

    /// Changes a direction's counters.
    pub fn change_loss(
        &mut self,
        entry: &mut Entry,
        side: usize,
        change: impl FnOnce(&mut Loss),
    ) -> Result<(), Full> {
        let kind = KIND_LOSS + side as u32;
        let at = match self.find(entry, kind, |_| true) {
            Some(at) => at,
            None => self.claim(entry, kind).ok_or(Full)?,
        };
        let mut loss = Loss::unpacked(&self.chunks[at].body);
        change(&mut loss);
        self.chunks[at].body = loss.packed();
        Ok(())
    }

    /// The holes behind a direction's first; those that are not there are empty.
    pub(super) fn more_holes(&self, entry: &Entry, side: usize) -> [Hole; HOLES_MAX - 1] {
        match self.find(entry, KIND_HOLES + side as u32, |_| true) {
            None => Default::default(),
            Some(at) => {
                let body = &self.chunks[at].body;
                [0, 2, 4].map(|i| hole_of([body[i], body[i + 1]]))
            }
        }
    }

    /// Keeps them; a chunk is claimed only where one of them is not empty.
    pub(super) fn keep_holes(
        &mut self,
        entry: &mut Entry,
        side: usize,
        holes: [Hole; HOLES_MAX - 1],
    ) -> Result<(), Full> {
        let kind = KIND_HOLES + side as u32;
        let at = match self.find(entry, kind, |_| true) {
            Some(at) => at,
            None if holes.iter().all(|hole| hole.unseen == 0) => return Ok(()),
            None => self.claim(entry, kind).ok_or(Full)?,
        };
        for (words, hole) in self.chunks[at].body.chunks_exact_mut(2).zip(holes) {
            words[0] = hole.start as u64 | (hole.end as u64) << 32;
            words[1] = hole.unseen as u64 | (hole.born as u64) << 32;
        }
        Ok(())
    }

    /// Whether a direction's holes can all be kept: there is a chunk for them, or one free.
    pub(super) fn holes_have_room(&self, entry: &Entry, side: usize) -> bool {
        self.room() > 1 || self.find(entry, KIND_HOLES + side as u32, |_| true).is_some()
    }

    /// Round trips by sender of the payload, where they are kept.
    pub fn round_trips(&self, entry: &Entry) -> Option<[Histogram; 2]> {
        let at = self.find(entry, KIND_ROUND_TRIPS, |_| true)?;
        let bytes = bytes_of(&self.chunks[at].body);
        let side = |from: usize| {
            let mut counts = [0; BUCKETS];
            counts.copy_from_slice(&bytes[from..from + BUCKETS]);
            Histogram(counts)
        };
        Some([side(0), side(BUCKETS)])
    }

    /// One more round trip, where there is room to keep it; `earlier`: one that
    /// came before there was a histogram.
    pub(super) fn add_round_trip(&mut self, entry: &mut Entry, side: usize, earlier: u32, us: u32) {
        let known = self.find(entry, KIND_ROUND_TRIPS, |_| true);
        let new = || if self.is_generous() { self.claim(entry, KIND_ROUND_TRIPS) } else { None };
        let Some(at) = known.or_else(new) else { return };
        if entry.detail != at as u32 {
            self.move_to_front(entry, at as u32);
        }
        let body = &mut self.chunks[at].body;
        let first = side * BUCKETS;
        if (first..first + BUCKETS).all(|bucket| count_in(body, bucket) == 0) {
            add_to(body, first, earlier);
        }
        add_to(body, first, us);
    }

    /// What comes most often stands first.
    #[cold]
    fn move_to_front(&mut self, entry: &mut Entry, chunk: u32) {
        let mut before = entry.detail;
        while before != NONE && self.chunks[before as usize].next != chunk {
            before = self.chunks[before as usize].next;
        }
        if before != NONE {
            self.chunks[before as usize].next = self.chunks[chunk as usize].next;
            self.chunks[chunk as usize].next = entry.detail;
            entry.detail = chunk;
        }
    }

    /// Times of exchanges, where they are kept.
    pub fn exchange_times(&self, entry: &Entry) -> Option<ExchangeTimes> {
        let at = self.find(entry, KIND_EXCHANGES, |_| true)?;
        let body = &self.chunks[at].body;
        let mut counts = [0; BUCKETS];
        counts.copy_from_slice(&bytes_of(body)[..BUCKETS]);
        Some(ExchangeTimes {
            histogram: Histogram(counts),
            max_us: (body[3] >> 32) as u32,
            sum_us: body[4],
            first_byte_max_us: body[5] as u32,
        })
    }

    /// One more, where there is room to keep it.
    pub(super) fn add_exchange(&mut self, entry: &mut Entry, us: u32, first_byte_us: u32) {
        let known = self.find(entry, KIND_EXCHANGES, |_| true);
        let new = || if self.is_generous() { self.claim(entry, KIND_EXCHANGES) } else { None };
        let Some(at) = known.or_else(new) else { return };
        let body = &mut self.chunks[at].body;
        add_to(body, 0, us);
        let max_us = (body[3] >> 32) as u32;
        body[3] = body[3] & u32::MAX as u64 | (max_us.max(us) as u64) << 32;
        body[4] = body[4].saturating_add(us as u64);
        body[5] = body[5].max(first_byte_us as u64);
    }

    /// Counters by lane of both directions, in no order.
    pub fn lanes(&self, entry: &Entry, mut each: impl FnMut(LaneCount)) {
        for side in 0..2 {
            if entry.marks & mark::LANES[side] == 0 && entry.packets(side) > 0 {
                each(LaneCount {
                    side: side as u8,
                    lane: Lane(entry.lanes[side]),
                    packets: entry.packets(side),
                    bytes: entry.sent[side].bytes,
                });
            }
        }
        let mut at = entry.detail;
        while at != NONE {
            let chunk = &self.chunks[at as usize];
            for i in (0..LANES_A_CHUNK).map(|i| 2 * i) {
                let word = chunk.body[i + 1];
                if chunk.kind == KIND_LANES && word & PACKETS_MASK != 0 {
                    each(LaneCount {
                        side: (word >> 48) as u8,
                        lane: Lane((word >> 56) as u8),
                        packets: word & PACKETS_MASK,
                        bytes: chunk.body[i],
                    });
                }
            }
            at = chunk.next;
        }
    }
}

fn bytes_of(body: &[u64; 7]) -> [u8; 56] {
    let mut bytes = [0; 56];
    for (eight, word) in bytes.chunks_exact_mut(8).zip(body) {
        eight.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// Count of a bucket, one byte each, from the first on.
fn count_in(body: &[u64; 7], bucket: usize) -> u8 {
    (body[bucket / 8] >> (bucket % 8 * 8)) as u8
}

/// One more in the histogram whose buckets begin at `first`, without taking its
/// bytes apart: what is read narrower than it was written makes the CPU wait.
fn add_to(body: &mut [u64; 7], first: usize, us: u32) {
    let bucket = first + Histogram::bucket(us);
    if count_in(body, bucket) == u8::MAX {
        for bucket in first..first + BUCKETS {
            let (word, shift) = (bucket / 8, bucket % 8 * 8);
            let half = (count_in(body, bucket) / 2) as u64;
            body[word] = body[word] & !(0xff << shift) | half << shift;
        }
    }
    body[bucket / 8] += 1 << (bucket % 8 * 8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_upper_edges() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50), None);
        (0..99).for_each(|_| histogram.add(1000));
        histogram.add(100_000);
        // 1000 lies in 768..1024, 100,000 in 98,304..131,072.
        assert_eq!(histogram.percentile(50), Some(1024));
        assert_eq!(histogram.percentile(99), Some(1024));
        assert_eq!(histogram.percentile(100), Some(131_072));
        for (us, edge) in [(0, 48), (32, 48), (47, 48), (48, 64), (64, 96), (95, 96), (1 << 30, 1 << 19)] {
            let mut one = Histogram::default();
            one.add(us);
            assert_eq!(one.percentile(50), Some(edge), "{us} µs");
        }
    }

    #[test]
    fn many_keep_their_shares() {
        let mut histogram = Histogram::default();
        (0..10_000).for_each(|i| histogram.add(if i % 10 == 0 { 50_000 } else { 500 }));
        assert_eq!(histogram.percentile(50), Some(512));
        assert_eq!(histogram.percentile(95), Some(65_536));
    }

    #[test]
    fn what_is_packed_comes_back() {
        let loss = Loss {
            retransmitted_bytes: 1 << 40,
            settled: 2,
            retransmitted_segments: 3,
            recovered_segments: 4,
            out_of_order_segments: 5,
            duplicate_acks: 6,
            zero_windows: 7,
            keep_alives: 8,
            hole: Hole { start: 9, end: 10, unseen: 11, born: 12 },
        };
        assert_eq!(Loss::unpacked(&loss.packed()), loss);
    }

    #[test]
    fn buckets_in_words_are_those_in_bytes() {
        for first in [0, BUCKETS] {
            let (mut body, mut twin) = ([0; 7], Histogram::default());
            for i in 0..3000u32 {
                let us = i.wrapping_mul(2_654_435_761) >> (i % 31);
                add_to(&mut body, first, us);
                twin.add(us);
                assert_eq!(bytes_of(&body)[first..first + BUCKETS], twin.0);
            }
        }
    }
}
