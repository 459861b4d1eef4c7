//! Who filled a window of milliseconds: sums over the journal, when asked.
//!
//! A look goes over the notes in slices, so that no packet waits for it. Flows
//! are summed by slot and named at the end; a slot that changed hands meanwhile
//! is told apart by the journal's departed names, and what nobody can name any
//! more is summed as `unnamed`, never given to another flow.

use crate::capture::Lane;
use crate::capture::sys::memory::{LargeVec, Reading};
use crate::flow::table::FlowTable;
use crate::meter::bins::BIN_NS;
use crate::meter::journal::{Departed, FlowName, Journal, NO_SLOT, Note};
use crate::meter::totals::Count;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Flows that one answer names; what others had is summed as unnamed.
pub const FLOWS_MAX: usize = 1 << 18;

/// Some milliseconds of a lane, and those before them that they are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Whose.
    pub lane: Lane,
    /// First of the milliseconds before it, since the epoch; `from_ms` where none are asked for.
    pub before_ms: u64,
    /// Its first millisecond.
    pub from_ms: u64,
    /// One behind its last.
    pub until_ms: u64,
    /// How often the clock had been set back before it.
    pub era: u64,
}

/// What a flow had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowShare {
    /// Which.
    pub flow: FlowName,
    /// In the window, by the sender's end of the key.
    pub sent: [Count; 2],
    /// Bytes before it.
    pub before: u64,
}

/// Answer for one window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// By flow, in no order.
    pub flows: Vec<FlowShare>,
    /// Of packets that no flow has.
    pub untracked: Count,
    /// Of flows whose names are not known any more, or that were too many.
    pub unnamed: Count,
    /// The journal reaches back to the window's beginning.
    pub whole: bool,
    /// And to that of what came before.
    pub before_whole: bool,
}

/// From the aggregator to a worker.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Who filled these?
    Look {
        /// Comes back with the answer.
        number: u64,
        /// In no order.
        windows: Arc<[Window]>,
    },
    /// Nothing more for now: a worker that waited goes on.
    GoOn,
}

/// From a worker to the aggregator.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The question's.
    pub number: u64,
    /// One a window.
    pub seen: Vec<Seen>,
}

/// A flow in sums: its slot, and how many had given the slot up before it.
type Whose = (u32, u32);

/// Sums of one flow, without its name.
struct Share {
    whose: Whose,
    sent: [Count; 2],
    before: u64,
    /// Its first note: lower 32 bits of the millisecond, and where it stands.
    first_ms: u32,
    first_at: u64,
}

/// One question under way.
struct Look {
    number: u64,
    windows: Arc<[Window]>,
    answered: Vec<Seen>,
    /// Next note to look at in the window under way; None before its first.
    place: Option<u64>,
    /// Its first note's place.
    begin: u64,
    /// Notes from here on came after the question.
    end: u64,
    /// Notes of the window's era end here.
    until: u64,
    shares: Vec<Share>,
    /// Slots that changed hands between the first note and the question.
    departed: HashMap<u32, Vec<Departed>>,
    seen: Seen,
}

/// Questions of one worker.
#[derive(Default)]
pub struct Looks {
    waiting: VecDeque<(u64, Arc<[Window]>)>,
    look: Option<Look>,
    /// By slot: place in `shares` and one, 0 for none. Empty between two windows.
    places: Option<LargeVec<[u32; 1]>>,
}

impl Looks {
    /// A question more.
    pub fn ask(&mut self, number: u64, windows: Arc<[Window]>) {
        self.waiting.push_back((number, windows));
    }

    /// Nothing is asked.
    pub fn is_idle(&self) -> bool {
        self.look.is_none() && self.waiting.is_empty()
    }

    /// Goes over at most so many notes. The answer, when it is whole.
    /// `reach_ms`: how far super-frames reach ahead of their stamps at most.
    pub fn go_on(&mut self, table: &FlowTable, reach_ms: u64, notes_most: usize) -> Option<Answer> {
        let mut look = match self.look.take() {
            Some(look) => look,
            None => {
                let (number, windows) = self.waiting.pop_front()?;
                Look::new(number, windows, table.journal())
            }
        };
        let slots = table.slots();
        if self.places.as_ref().is_none_or(|places| places.len() < slots) {
            // Between windows it is all zeros, so a longer one is as good; within
            // one the flows that came since have no notes that are asked for.
            if look.place.is_none() {
                self.places =
                    Some(LargeVec::zeroed(slots.next_power_of_two().max(1 << 16), Reading::InOrder));
            }
        }
        let places = self.places.get_or_insert_with(|| LargeVec::zeroed(1 << 16, Reading::InOrder));
        let mut left = notes_most;
        while look.answered.len() < look.windows.len() {
            if !look.slice(table, reach_ms, &mut left, places) {
                self.look = Some(look);
                return None;
            }
        }
        Some(Answer { number: look.number, seen: look.answered })
    }
}

impl Look {
    fn new(number: u64, windows: Arc<[Window]>, journal: &Journal) -> Look {
        Look {
            number,
            windows,
            answered: Vec::new(),
            place: None,
            begin: 0,
            end: journal.end(),
            until: 0,
            shares: Vec::new(),
            departed: HashMap::new(),
            seen: Seen::default(),
        }
    }

    /// Goes on with the window under way; true when that is answered.
    fn slice(
        &mut self,
        table: &FlowTable,
        reach_ms: u64,
        left: &mut usize,
        places: &mut LargeVec<[u32; 1]>,
    ) -> bool {
        let Some(&window) = self.windows.get(self.answered.len()) else { return true };
        let journal = table.journal();
        let place = match self.place {
            Some(place) => place,
            None => self.begin(&window, reach_ms, journal),
        };
        // What was overwritten before its turn can be summed no more.
        let whole = place >= journal.begin();
        self.seen.whole &= whole;
        self.seen.before_whole &= whole;
        let place = place.max(journal.begin());
        let most = (*left).min(self.until.saturating_sub(place) as usize);
        for (at, note) in journal.notes(place, most) {
            if note.lane == window.lane {
                self.sum(&window, at, &note, places);
            }
        }
        *left -= most;
        let reached = place + most as u64;
        if reached < self.until {
            self.place = Some(reached);
            return false;
        }
        let mut seen = std::mem::take(&mut self.seen);
        self.name_all(table, &mut seen, places);
        self.answered.push(seen);
        self.place = None;
        true
    }

    /// Where the first note of a window may stand.
    fn begin(&mut self, window: &Window, reach_ms: u64, journal: &Journal) -> u64 {
        let whole = journal.since(window.from_ms.saturating_sub(reach_ms), window.era);
        let before = journal.since(window.before_ms.saturating_sub(reach_ms), window.era);
        self.until = self.end.min(journal.places(window.era).end);
        self.seen = Seen { whole: whole.is_some(), before_whole: before.is_some(), ..Seen::default() };
        let place = before.or(whole).unwrap_or(journal.begin()).max(journal.places(window.era).start);
        self.begin = place;
        self.departed.clear();
        for departed in journal.departed(place).filter(|departed| departed.until <= self.end) {
            self.departed.entry(departed.slot).or_default().push(*departed);
        }
        place
    }

    fn sum(&mut self, window: &Window, at: u64, note: &Note, places: &mut LargeVec<[u32; 1]>) {
        // Wrapping: the journal is far shorter than what 32 bits of milliseconds hold.
        let from_before = note.ms.wrapping_sub(window.before_ms as u32);
        let since = note.ms.wrapping_sub(window.from_ms as u32);
        let within = u64::from(since) < window.until_ms.saturating_sub(window.from_ms);
        let before = u64::from(from_before) < window.from_ms.saturating_sub(window.before_ms);
        if !within && !before {
            return;
        }
        let count = Count { packets: u64::from(note.packets), bytes: u64::from(note.bytes) };
        if note.slot == NO_SLOT {
            if within {
                self.seen.untracked.add(count);
            }
            return;
        }
        let Some(share) = self.share_of(at, note, places) else {
            if within {
                self.seen.unnamed.add(count);
            }
            return;
        };
        if within {
            share.sent[usize::from(note.reversed)].add(count);
        } else {
            share.before += count.bytes;
        }
    }

    /// The sums of a note's flow.
    fn share_of(&mut self, at: u64, note: &Note, places: &mut LargeVec<[u32; 1]>) -> Option<&mut Share> {
        // How many had given up the slot by then; they are in order.
        let earlier = self
            .departed
            .get(&note.slot)
            .map_or(0, |all| all.partition_point(|departed| departed.until <= at));
        let whose = (note.slot, earlier as u32);
        let latest = places.get_mut(note.slot as usize)?;
        let found = (latest[0] as usize).checked_sub(1);
        // A slot's flows follow each other, as notes do: another than the latest is a new one.
        let place = match found.filter(|&found| self.shares.get(found).is_some_and(|one| one.whose == whose))
        {
            Some(place) => place,
            None if self.shares.len() >= FLOWS_MAX => return None,
            None => {
                let sent = [Count::default(); 2];
                self.shares.push(Share { whose, sent, before: 0, first_ms: note.ms, first_at: at });
                self.shares.len() - 1
            }
        };
        latest[0] = place as u32 + 1;
        self.shares.get_mut(place)
    }

    /// Gives every sum its flow's name, and leaves nothing behind in `places`.
    fn name_all(&mut self, table: &FlowTable, seen: &mut Seen, places: &mut LargeVec<[u32; 1]>) {
        let mut since: HashMap<u32, FlowName> = HashMap::new();
        for departed in table.journal().departed(self.end) {
            // The first that gave the slot up had it when the question came.
            since.entry(departed.slot).or_insert(departed.name);
        }
        let unnamed_until = table.journal().unnamed_until();
        seen.flows.reserve(self.shares.len());
        for share in self.shares.drain(..) {
            let (slot, earlier) = share.whose;
            if let Some(place) = places.get_mut(slot as usize) {
                place[0] = 0;
            }
            let known = self.departed.get(&slot).and_then(|all| all.get(earlier as usize));
            let known = known.map(|departed| departed.name);
            let name = known.or_else(|| since.get(&slot).copied()).or_else(|| table.name(slot));
            // Where names were given up, only a flow that began before its first note
            // is surely the one: in the same millisecond there may have been two.
            let fits = |name: &FlowName| {
                let began_ms = (name.start_ns / BIN_NS) as u32;
                share.first_at >= unnamed_until || share.first_ms.wrapping_sub(began_ms) as i32 > 0
            };
            match name.filter(fits) {
                Some(flow) => {
                    seen.flows.push(FlowShare { flow, sent: share.sent, before: share.before });
                }
                None => share.sent.iter().for_each(|&count| seen.unnamed.add(count)),
            }
        }
    }
}
