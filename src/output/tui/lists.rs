//! What is under the cursor in lists that change while they are looked at, and what of
//! them is shown in full: by its identity, never by its place.
//!
//! Drawing notes what was under the cursor and where; when the list is drawn again the
//! cursor goes to where that is now. At the top of a list it stays at the top, so that a
//! screen nobody touches shows the newest.

use super::State;
use crate::aggregate::culprit::Burst;
use crate::aggregate::destination::Name;
use crate::aggregate::snapshot::RowName;
use crate::aggregate::watch::Watched;
use crate::flow::key::FlowKey;
use crate::flow::record::Outcome;

/// One of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// Lane, first and last millisecond, bytes.
    Burst(u8, u64, u64, u64),
    Destination(Name),
    /// Its beginning and end, and what came of it.
    Failure(FlowKey, u64, u64, Outcome),
    Row(RowName),
}

impl Item {
    pub fn burst(burst: &Burst) -> Item {
        Item::Burst(burst.lane.0, burst.from_ms, burst.until_ms, burst.sums.bytes)
    }

    pub fn failure(watched: &Watched) -> Item {
        let session = &watched.session;
        Item::Failure(session.key, session.start_ns, session.end_ns, session.outcome)
    }
}

/// What is shown in full: it may leave its list meanwhile.
pub(super) enum Opened {
    Burst(Box<Burst>),
    Destination(Name),
    Failure(Box<Watched>),
}

impl State {
    /// A list is drawn again: where its cursor was, it goes on with what was under it.
    pub(super) fn slide(&mut self, items: impl IntoIterator<Item = Item>) {
        let (kind, Some((item, before))) = (self.kind as usize, self.item) else { return };
        if self.cursor[kind] == 0 && !self.open {
            return;
        }
        let Some(place) = nearest(items, item, before) else { return };
        let slid = |at: usize| (at + place).saturating_sub(before);
        // What is on the screen stands still.
        (self.cursor[kind], self.scroll[kind]) = (slid(self.cursor[kind]), slid(self.scroll[kind]));
    }

    /// Rows of a page come in another order: the cursor stays with its row where that is
    /// among them, else at its line. Keys that have moved it since are right.
    pub(super) fn stay_with(&mut self, shown: &[RowName]) {
        let (kind, Some((item, before))) = (self.kind as usize, self.item) else { return };
        let first = self.scroll[kind];
        if self.cursor[kind] != before || before < first {
            return;
        }
        let shown = shown.iter().map(|name| Item::Row(*name));
        if let Some(place) = nearest(shown, item, before - first) {
            self.cursor[kind] = first + place;
        }
    }

    /// What the cursor is on, as it is drawn.
    pub(super) fn note_item(&mut self, item: Option<Item>) {
        self.item = item.map(|item| (item, self.cursor[self.kind as usize]));
    }
}

/// Where one is, of several that are alike the one next to a place.
fn nearest(items: impl IntoIterator<Item = Item>, item: Item, to: usize) -> Option<usize> {
    let alike = items.into_iter().enumerate().filter(|(_, one)| *one == item);
    alike.map(|(place, _)| place).min_by_key(|place| place.abs_diff(to))
}
