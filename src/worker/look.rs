//! Who filled windows of milliseconds: sums over the journal, when asked.
//!
//! All windows that are open share one walk over the notes ([`walk`]), in slices,
//! so that no packet waits for it: a second with hundreds of bursts is read once,
//! not once a burst. Flows are summed by slot and named at the end; a slot that
//! changed hands meanwhile is told apart by the journal's departed names, and
//! what nobody can name any more is summed as `unnamed`, never given to another
//! flow.

mod walk;

use crate::capture::Lane;
use crate::capture::sys::memory::{LargeVec, Reading};
use crate::flow::table::FlowTable;
use crate::meter::journal::FlowName;
use crate::meter::totals::Count;
use std::collections::VecDeque;
use std::sync::Arc;
use walk::{Step, Walk};

/// Flows that one answer names; what others had is summed as unnamed.
pub const FLOWS_MAX: usize = 1 << 18;
/// Windows that share a walk; more than that are walked for in turn.
const WINDOWS_MAX: usize = 256;
/// Milliseconds between the first and the last of a walk: notes have 32 bits of them.
const SPAN_MAX_MS: u64 = 1 << 30;

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
    /// More of the same burst is to come: who had packets only before it is told too.
    pub goes_on: bool,
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

/// Questions of one worker.
#[derive(Default)]
pub struct Looks {
    waiting: VecDeque<(u64, Arc<[Window]>)>,
    look: Option<Look>,
    answers: VecDeque<Answer>,
    /// By slot: what a walk knows of it. Empty between two walks.
    places: Option<LargeVec<[u32; 1]>>,
}

impl Looks {
    /// A question more.
    pub fn ask(&mut self, number: u64, windows: Arc<[Window]>) {
        self.waiting.push_back((number, windows));
    }

    /// Nothing is asked.
    pub fn is_idle(&self) -> bool {
        self.look.is_none() && self.waiting.is_empty() && self.answers.is_empty()
    }

    /// Goes over at most so many notes. The next answer that is whole.
    /// `reach_ms`: how far super-frames reach ahead of their stamps at most.
    pub fn go_on(&mut self, table: &FlowTable, reach_ms: u64, notes_most: usize) -> Option<Answer> {
        if self.answers.is_empty() && (self.look.is_some() || !self.waiting.is_empty()) {
            let waiting = &mut self.waiting;
            let begin = || Look::new(waiting.drain(..).collect(), table.journal().end());
            let mut look = self.look.take().unwrap_or_else(begin);
            let mut left = notes_most;
            if look.go_on(table, reach_ms, &mut self.places, &mut left) {
                self.answers.extend(look.answers());
            } else {
                self.look = Some(look);
            }
        }
        self.answers.pop_front()
    }
}

/// Questions that were open when it began.
struct Look {
    questions: Vec<(u64, Arc<[Window]>)>,
    seen: Vec<Vec<Seen>>,
    /// Question and window, in the order of their beginning; walks for those before `next` are over.
    order: Vec<(usize, usize, Window)>,
    next: usize,
    /// Windows of a walk: fewer where so many had too many flows.
    most: usize,
    walk: Option<Walk>,
    /// Notes from here on came after the questions.
    end: u64,
}

impl Look {
    fn new(questions: Vec<(u64, Arc<[Window]>)>, end: u64) -> Look {
        let seen = questions.iter().map(|(_, windows)| vec![Seen::default(); windows.len()]).collect();
        let each = |(question, (_, windows)): (usize, &(u64, Arc<[Window]>))| {
            let each = windows.iter().enumerate();
            each.map(|(at, window)| (question, at, *window)).collect::<Vec<_>>()
        };
        let mut order: Vec<_> = questions.iter().enumerate().flat_map(each).collect();
        order.sort_by_key(|(_, _, window)| (window.era, window.before_ms.min(window.from_ms)));
        Look { questions, seen, order, next: 0, most: WINDOWS_MAX, walk: None, end }
    }

    /// True when all is answered.
    fn go_on(
        &mut self,
        table: &FlowTable,
        reach_ms: u64,
        places: &mut Option<LargeVec<[u32; 1]>>,
        left: &mut usize,
    ) -> bool {
        while self.next < self.order.len() {
            let slots = table.slots();
            if self.walk.is_none() && places.as_ref().is_none_or(|places| places.len() < slots) {
                // Flows that come while a walk is under way have no notes that it reads.
                *places = Some(LargeVec::zeroed(slots.next_power_of_two().max(1 << 16), Reading::InOrder));
            }
            let Some(places) = places else { return true };
            let walk = match &mut self.walk {
                Some(walk) => walk,
                None => {
                    let windows = self.together();
                    self.walk.insert(Walk::new(windows, table.journal(), reach_ms, self.end, places))
                }
            };
            match walk.go_on(table, places, left) {
                Step::Going => return false,
                Step::TooMany => {
                    self.most = walk.windows() / 2;
                    self.walk = None;
                }
                Step::Done => {
                    for seen in self.walk.take().map(Walk::seen).into_iter().flatten() {
                        let Some((question, at, _)) = self.order.get(self.next) else { break };
                        self.seen[*question][*at] = seen;
                        self.next += 1;
                    }
                }
            }
        }
        true
    }

    /// Windows of the next walk: of one era, and not so far apart that milliseconds come round.
    fn together(&self) -> Vec<Window> {
        let windows = || self.order[self.next..].iter().map(|(_, _, window)| *window);
        let Some(first) = windows().next() else { return Vec::new() };
        let begin_ms = first.before_ms.min(first.from_ms);
        let fits = |window: &Window| {
            window.era == first.era && window.until_ms.saturating_sub(begin_ms) <= SPAN_MAX_MS
        };
        let most = windows().take(self.most.max(1)).take_while(fits).count();
        windows().take(most.max(1)).collect()
    }

    fn answers(self) -> impl Iterator<Item = Answer> {
        let both = self.questions.into_iter().zip(self.seen);
        both.map(|((number, _), seen)| Answer { number, seen })
    }
}
