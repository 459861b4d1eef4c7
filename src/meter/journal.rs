//! The last seconds of a worker, packet by packet: 16 bytes each, in a ring.
//!
//! Who filled a millisecond is asked rarely and cannot be known beforehand, so
//! everything is noted and summed only when it is asked ([`Journal::since`]).
//! A note names its flow by slot. Where a slot is given to another flow while
//! notes of the old one may still be asked for, the old one's name is kept
//! beside ([`Departed`]), with the place in the ring from which on the slot
//! means another.
//!
//! Where time begins anew (the clock was set back, a file jumped by years) an
//! *era* begins: the same millisecond may come again, and is another one then.
//!
//! Knows slots and keys; does not know what a flow is. Writing is one store of
//! 16 bytes: no allocation, no branch but for a mark every 64 milliseconds.

use crate::capture::Lane;
use crate::capture::sys::memory::{LargeVec, Reading};
use crate::decode::Packet;
use crate::flow::key::FlowKey;
use std::ops::Range;

/// Notes that a journal holds: 32 MiB, 3.5 s of 600,000 packets/s.
pub const NOTES: usize = 1 << 21;
/// Names of flows that had to give up their slots. Slots are given away within
/// seconds where ports are used again and where the table is full, only.
const DEPARTED_MAX: usize = 1 << 16;
/// Milliseconds between two marks of where the ring stood.
const MARK_MS: u32 = 64;
/// Super-frames reach ahead by less than this, so their notes are no marks to go back from.
const BACK_MS: u32 = 4096;
/// Marks that are kept: some 8 s.
const MARKS: usize = 128;
/// The slot of packets that no flow has.
pub const NO_SLOT: u32 = u32::MAX;

/// One packet, or the part of a super-frame that began in one millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// Lower 32 bits of its millisecond since the epoch.
    pub ms: u32,
    /// Its flow, or [`NO_SLOT`].
    pub slot: u32,
    /// Layer-2 bytes.
    pub bytes: u32,
    /// Wire packets.
    pub packets: u32,
    /// Where it passed.
    pub lane: Lane,
    /// The sender is the key's second end.
    pub reversed: bool,
}

const PACKETS_BITS: u32 = 23;

impl Note {
    #[inline]
    fn pack(&self) -> [u32; 4] {
        let packets = self.packets.min((1 << PACKETS_BITS) - 1);
        let rest =
            u32::from(self.lane.0) << (PACKETS_BITS + 1) | u32::from(self.reversed) << PACKETS_BITS | packets;
        [self.ms, self.slot, self.bytes, rest]
    }

    fn unpack([ms, slot, bytes, rest]: [u32; 4]) -> Note {
        Note {
            ms,
            slot,
            bytes,
            packets: rest & ((1 << PACKETS_BITS) - 1),
            lane: Lane((rest >> (PACKETS_BITS + 1)) as u8),
            reversed: rest >> PACKETS_BITS & 1 != 0,
        }
    }
}

/// A flow by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowName {
    /// Its key.
    pub key: FlowKey,
    /// Its first packet, ns since the epoch.
    pub start_ns: u64,
    /// The key's second end is the client.
    pub client_second: bool,
}

/// A flow whose slot means another from a place of the ring on.
#[derive(Clone, Copy, Debug)]
pub struct Departed {
    /// Notes from this place on are not its own.
    pub until: u64,
    /// Its slot.
    pub slot: u32,
    /// What it was.
    pub name: FlowName,
}

/// See the module's description.
pub struct Journal {
    notes: LargeVec<[u32; 4]>,
    mask: u64,
    /// Notes ever written; the next one's place.
    place: u64,
    /// Millisecond and place, in order; the oldest is overwritten.
    marks: [(u32, u64); MARKS],
    marked: usize,
    /// [`BACK_MS`] before the last one.
    back_ms: u32,
    departed: LargeVec<Departed>,
    departed_next: usize,
    /// Names that were given up before the ring came past: notes before this
    /// place may be of a flow that nobody can name.
    unnamed_until: u64,
    /// Eras that are over, and where the one before this and this one began.
    eras: u64,
    before_begin: u64,
    era_begin: u64,
}

impl Journal {
    /// Room for this many notes, a power of two; they take memory as they come. With 0
    /// nothing is kept, where nobody will ask.
    pub fn new(notes: usize) -> Journal {
        let notes = if notes == 0 { 0 } else { notes.next_power_of_two().max(64) };
        Journal {
            notes: LargeVec::zeroed(notes, Reading::AtRandom),
            mask: (notes as u64).saturating_sub(1),
            place: 0,
            marks: [(0, 0); MARKS],
            marked: 0,
            back_ms: 0,
            departed: LargeVec::new(DEPARTED_MAX, Reading::InOrder),
            departed_next: 0,
            unnamed_until: 0,
            eras: 0,
            before_begin: 0,
            era_begin: 0,
        }
    }

    /// The clock was set back: what follows is of another era.
    pub fn begin_era(&mut self) {
        self.eras += 1;
        self.before_begin = self.era_begin;
        self.era_begin = self.place;
    }

    /// Time jumped so far ahead that a note's 32 bits of milliseconds come round:
    /// what came before is asked for no more.
    pub fn forget(&mut self) {
        self.era_begin = self.place;
    }

    /// Places of an era, this one or the one before, whether overwritten or not;
    /// none of any other.
    pub fn places(&self, era: u64) -> Range<u64> {
        match self.eras.checked_sub(era) {
            Some(0) => self.era_begin..self.place,
            Some(1) => self.before_begin..self.era_begin,
            _ => self.place..self.place,
        }
    }

    /// Notes a packet, or `bytes` and `packets` of it, that began in millisecond `ms`.
    #[inline]
    pub fn note(&mut self, packet: &Packet, slot: u32, ms: u32, bytes: u32, packets: u32) {
        let note = Note { ms, slot, bytes, packets, lane: packet.lane, reversed: packet.reversed };
        let at = (self.place & self.mask) as usize;
        // Always there: the mask is one less than the length.
        if let Some(place) = self.notes.get_mut(at) {
            *place = note.pack();
        }
        // Onwards by a mark's distance, or far back: the clock was set back.
        if ms.wrapping_sub(self.back_ms) >= MARK_MS + BACK_MS {
            self.mark(ms);
        }
        self.place += 1;
    }

    #[cold]
    fn mark(&mut self, ms: u32) {
        self.marked += 1;
        self.back_ms = ms.wrapping_sub(BACK_MS);
        self.marks[self.marked % MARKS] = (ms, self.place);
    }

    /// The flow of a slot is no more, and the slot may soon mean another.
    pub fn depart(&mut self, slot: u32, name: FlowName) {
        let departed = Departed { until: self.place, slot, name };
        let at = self.departed_next % DEPARTED_MAX;
        if at == self.departed.len() {
            self.departed.push(departed);
        } else {
            self.unnamed_until = self.departed[at].until;
            self.departed[at] = departed;
        }
        self.departed_next += 1;
    }

    /// Place behind the last note.
    pub fn end(&self) -> u64 {
        self.place
    }

    /// The oldest place that has not been overwritten.
    pub fn begin(&self) -> u64 {
        self.place.saturating_sub(self.notes.len() as u64)
    }

    /// A place before which there is no note of millisecond `ms` or later of this
    /// era, given that super-frames reach ahead by some, and that stamps are in
    /// order but for that. None where the ring does not reach back so far.
    pub fn since(&self, ms: u64, era: u64) -> Option<u64> {
        // The last mark at or before it; what was marked later began later.
        let ms = ms as u32;
        let places = self.places(era);
        let oldest = self.marked.saturating_sub(MARKS - 1).max(1);
        let marks = (oldest..=self.marked).rev().map(|number| self.marks[number % MARKS]);
        let mut before = marks
            .filter(|(_, place)| places.contains(place))
            .filter(|&(at, _)| (ms.wrapping_sub(at) as i32) >= 0);
        let place = match before.next() {
            Some((_, place)) => place,
            // The first note of the era may be later than what is asked for.
            None if oldest == 1 || self.marks[oldest % MARKS].1 < places.start => places.start,
            None => return None,
        };
        (place >= self.begin()).then_some(place)
    }

    /// Notes from a place on, at most `most` of them; those that were
    /// overwritten meanwhile are left out.
    pub fn notes(&self, from: u64, most: usize) -> impl Iterator<Item = (u64, Note)> {
        let from = from.max(self.begin());
        let until = self.place.min(from.saturating_add(most as u64));
        (from..until).map(|place| (place, Note::unpack(self.notes[(place & self.mask) as usize])))
    }

    /// Flows that gave up their slots after this place, in order.
    pub fn departed(&self, from: u64) -> impl Iterator<Item = &Departed> {
        let (newer, older) = self.departed.split_at(self.departed_next % DEPARTED_MAX.max(1));
        let wrapped = self.departed_next > self.departed.len();
        let (first, second) = if wrapped { (older, newer) } else { (&self.departed[..], &newer[..0]) };
        let after = |all: &[Departed]| all.partition_point(|departed| departed.until <= from);
        first[after(first)..].iter().chain(&second[after(second)..])
    }

    /// Notes before this place may be of flows whose names were given up.
    pub fn unnamed_until(&self) -> u64 {
        self.unnamed_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::key::End;

    fn packet(lane: u8, reversed: bool) -> Packet {
        Packet { lane: Lane(lane), reversed, ..Packet::default() }
    }

    fn name(number: u32) -> FlowName {
        let key = FlowKey::new(End::v4(number, 1), End::v4(u32::MAX, 2), 17, false, 0, 0).0;
        FlowName { key, start_ns: u64::from(number), client_second: false }
    }

    #[test]
    fn what_was_noted_comes_back_until_it_is_overwritten() {
        let mut journal = Journal::new(64);
        for number in 0..100u32 {
            journal.note(&packet(253, number % 2 == 1), number, number * 10, number + 60, 1);
        }
        assert_eq!((journal.begin(), journal.end()), (36, 100));
        let notes: Vec<(u64, Note)> = journal.notes(0, 1000).collect();
        assert_eq!(notes.len(), 64);
        for (place, note) in notes {
            let number = place as u32;
            let expected = Note {
                ms: number * 10,
                slot: number,
                bytes: number + 60,
                packets: 1,
                lane: Lane(253),
                reversed: number % 2 == 1,
            };
            assert_eq!(note, expected);
        }
        assert_eq!(journal.notes(90, 3).map(|(place, _)| place).collect::<Vec<_>>(), [90, 91, 92]);
    }

    #[test]
    fn a_place_is_found_by_its_millisecond_or_told_to_be_gone() {
        let mut journal = Journal::new(1 << 12);
        let first = 5_000_000_000u64;
        for number in 0..10_000u64 {
            journal.note(&packet(0, false), 1, (first + number) as u32, 60, 1);
        }
        assert_eq!(journal.since(first, 0), None);
        for asked in [6_100, 8_000, 9_998] {
            let place = journal.since(first + asked, 0).expect("within the ring");
            assert!(place <= asked && place + 2 * u64::from(MARK_MS) > asked, "{place} for {asked}");
        }
        // One that has not turned over reaches back to its first note.
        let mut journal = Journal::new(1 << 12);
        journal.note(&packet(0, false), 1, 70_000, 60, 1);
        assert_eq!(journal.since(60_000, 0), Some(0));
        assert_eq!(journal.since(70_000, 0), Some(0));
    }

    #[test]
    fn names_of_slots_that_mean_others_now_are_kept() {
        let mut journal = Journal::new(64);
        for number in 0..3 * DEPARTED_MAX as u32 / 2 {
            journal.note(&packet(0, false), 7, number, 60, 1);
            journal.depart(7, name(number));
        }
        let last = 3 * DEPARTED_MAX as u64 / 2;
        let kept: Vec<u64> = journal.departed(last - 3).map(|departed| departed.name.start_ns).collect();
        assert_eq!(kept, [last - 3, last - 2, last - 1]);
        assert_eq!(journal.departed(0).count(), DEPARTED_MAX);
        assert_eq!(journal.unnamed_until(), last - DEPARTED_MAX as u64);
    }
}
