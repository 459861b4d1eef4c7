//! What a flow needs rarely: chunks of one cache line, chained from its entry.
//!
//! Two kinds so far: counters by lane, for a direction that is seen on more
//! than one interface (or both received and sent on one), and the surplus of
//! wire packets over frames, for a flow with super-frames. The slab is bounded;
//! when no chunk is free the caller is told before anything is counted.

use super::entry::{Entry, NONE, mark};
use crate::capture::Lane;

const KIND_LANES: u32 = 1;
const KIND_SURPLUS: u32 = 2;
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
