//! Another moment than now: the one that keys and clicks look back at, the same in
//! every view.
//!
//! A key says roughly when; drawing finds what was kept next to it, in the
//! direction in which one was going.

use super::keys::Key;
use super::memory::Memory;
use super::{Answer, Kind, Moment, State};
use crate::output::figures::interval_span;
use ratatui::layout::Position;

const SECOND_NS: u64 = 1_000_000_000;

impl State {
    /// Another moment, or now. In the view of links a step is a column of its chart.
    pub(super) fn look_back(&mut self, key: Key, now: Option<&Moment>) {
        let Some(now) = now else { return };
        let now_ns = self.behind_all(now);
        let step = if is_end(now) { SECOND_NS } else { interval_span(&now.snapshot, true).max(SECOND_NS) };
        // The last second of a file is the moment before its end.
        let end_ns = if is_end(now) { self.newest_ns.saturating_add(step) } else { now_ns };
        let from_ns = self.past.unwrap_or(end_ns);
        let step = if self.kind == Kind::Links { self.plot.column_ns.max(step) } else { step };
        let minute = step.max(60 * SECOND_NS);
        let to_ns = match key {
            Key::Left => from_ns.saturating_sub(step),
            Key::Right => from_ns.saturating_add(step),
            Key::Char('[') => from_ns.saturating_sub(minute),
            _ => from_ns.saturating_add(minute),
        };
        self.go_to(to_ns, now_ns);
    }

    fn go_to(&mut self, to_ns: u64, now_ns: u64) {
        self.ahead = self.past.is_some_and(|past| past < to_ns);
        self.past = Some(to_ns).filter(|&to_ns| to_ns < now_ns);
        // A moment of the past has neither, and moves by itself.
        (self.paused, self.details, self.frozen) = (None, None, None);
    }

    /// A click on the chart of links: what was then.
    pub(super) fn click_chart(&mut self, at: Position, now: Option<&Moment>) -> Answer {
        let Some(now) = now else { return Answer::Nothing };
        match self.plot.time_at(at).filter(|_| !self.help) {
            None => Answer::Nothing,
            Some(time_ns) => {
                self.go_to(time_ns, self.behind_all(now));
                Answer::Ask
            }
        }
    }

    /// A time that every second that is looked back at ended before: now, or behind
    /// the last second of a file whose end is shown.
    fn behind_all(&self, now: &Moment) -> u64 {
        let time_ns = now.snapshot.time_ns;
        if is_end(now) { time_ns.max(self.newest_ns.saturating_add(1)) } else { time_ns }
    }

    /// The moment that is looked back at, where one is and was kept.
    pub(super) fn looked_back(&mut self, now: &Moment, memory: &Memory) -> Option<Moment> {
        self.newest_ns = memory.past.near(u64::MAX).unwrap_or(0);
        let behind_ns = self.behind_all(now);
        let find = |time_ns| match self.ahead {
            true => memory.past.from_on(time_ns),
            false => memory.past.near(time_ns),
        };
        // Without one that was kept it is now.
        self.past = self.past.and_then(find).filter(|&time_ns| time_ns < behind_ns);
        memory.past.at(self.past?, self.grouping(), &now.context)
    }
}

/// All of a file in one: its seconds are kept beside it.
fn is_end(now: &Moment) -> bool {
    now.snapshot.interval_ns == 0
}
