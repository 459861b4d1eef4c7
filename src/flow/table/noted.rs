//! What of the table's packets is noted in the journal, and whose they were.

use super::FlowTable;
use crate::decode::Packet;
use crate::flow::entry::{Entry, mark};
use crate::meter::bins::{Bins, Part};
use crate::meter::journal::{FlowName, Journal, NO_SLOT};
use crate::meter::loss::Reason;
use crate::meter::totals::Totals;

/// A flow that ends after so long a silence stands in no note that anybody asks for.
const SILENCE_NS: u64 = 8_000_000_000;

impl FlowTable {
    /// A packet that has been counted: its note, and where its segments began.
    #[inline]
    pub(super) fn note(&mut self, packet: &Packet, slot: u32, ms: u32, totals: &mut Totals) {
        if packet.segments == 1 {
            self.journal.note(packet, slot, ms, packet.bytes, 1);
        } else {
            self.note_parts(packet, slot, &mut totals.bins);
        }
    }

    /// A packet that no flow takes.
    #[cold]
    #[inline(never)]
    pub(super) fn count_untracked(&mut self, packet: &Packet, reason: Reason, ms: u32, totals: &mut Totals) {
        totals.count(packet);
        totals.count_untracked(packet, reason);
        self.note(packet, NO_SLOT, ms, totals);
    }

    /// The same of a super-frame, which may begin in one millisecond and end in another.
    #[cold]
    #[inline(never)]
    fn note_parts(&mut self, packet: &Packet, slot: u32, bins: &mut Bins) {
        let journal = &mut self.journal;
        bins.spread(packet, |Part { ms, bytes, packets }| journal.note(packet, slot, ms, bytes, packets));
    }

    /// A flow leaves its slot: notes may still be asked whose they are.
    pub(super) fn keep_name(&mut self, slot: u32, now_ns: u64) {
        let entry = &self.entries[slot as usize];
        if now_ns.saturating_sub(entry.last) < SILENCE_NS {
            self.journal.depart(slot, name_of(entry));
        }
    }

    /// The last seconds, packet by packet.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The clock was set back, or jumped far ahead (see [`Journal::begin_era`],
    /// [`Journal::forget`]).
    pub fn begin_era(&mut self, set_back: bool) {
        if set_back { self.journal.begin_era() } else { self.journal.forget() }
    }

    /// Keeps so many notes from here on, instead of [`crate::meter::journal::NOTES`].
    pub fn keep_notes(&mut self, notes: usize) {
        self.journal = Journal::new(notes);
    }

    /// The flow that has this slot now.
    pub fn name(&self, slot: u32) -> Option<FlowName> {
        let entry = self.entries.get(slot as usize)?;
        (entry.marks & mark::FREE == 0).then(|| name_of(entry))
    }

    /// Slots that were ever in use.
    pub fn slots(&self) -> usize {
        self.entries.len()
    }
}

fn name_of(entry: &Entry) -> FlowName {
    FlowName { key: entry.key, start_ns: entry.start, client_second: entry.client() == 1 }
}
