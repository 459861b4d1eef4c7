//! Rows that stand still, of a pause or of the past: filter and order are applied to
//! those that were kept, and titles say that they are of those.
//!
//! Nothing else can be asked for of that moment. Rows go through the aggregator's own
//! order ([`View::of_kept`]), so that one order has one meaning.

use super::paint::line;
use super::{Moment, Scene, State};
use crate::aggregate::ask::Answer;
use crate::aggregate::snapshot::{Row, RowName};
use crate::aggregate::view::{Grouping, Order, View};
use crate::output::figures::interval_span;
use crate::output::units::{grouped, plain};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use std::sync::Arc;

/// How rows are chosen.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pattern: Option<String>,
    within: Option<RowName>,
    order: Order,
    grouping: Grouping,
}

/// What rows that stand still are.
pub(super) struct Kept {
    /// How many were kept, and what of them, where not all or where more is asked of them
    /// than they were chosen by; in words.
    told: String,
    /// More is asked of them.
    chosen: bool,
    /// They are what the view has rows of.
    fits: bool,
    /// An order that they do not tell.
    unanswered: bool,
}

impl State {
    fn choice(&self) -> Choice {
        Choice {
            pattern: self.filter.told().map(str::to_owned),
            within: self.within,
            order: self.order(),
            grouping: self.grouping(),
        }
    }

    /// Keeps what is drawn, or lets it go. The past stands still by itself.
    pub(super) fn pause(&mut self, now: Option<&Moment>) {
        let now = now.filter(|_| self.paused.is_none() && self.past.is_none());
        // Rows that are still waited for were chosen by something else.
        self.kept_by = now.filter(|now| now.number() >= self.asked).map(|_| self.choice());
        self.paused = now.cloned();
    }

    /// A view that has no past (nor a pause) of what it lists: in words.
    pub(super) fn of_now(&self) -> &'static str {
        if self.past.is_some() || self.is_paused() { "as of now" } else { "" }
    }

    /// The same behind other words.
    pub(super) fn and_of_now(&self) -> &'static str {
        if self.of_now().is_empty() { "" } else { ", as of now" }
    }

    /// The rows of a moment that stands still, chosen and ordered as the view has it;
    /// None where it is now.
    pub(super) fn kept(&self, moment: &Moment) -> Option<(Moment, Kept)> {
        let by = match (self.past, &self.paused) {
            (None, None) => return None,
            // As `Hub` asks for them.
            (Some(_), _) => {
                let grouping = self.grouping();
                Some(Choice { pattern: None, within: None, order: Order::Rate, grouping })
            }
            (None, Some(_)) => self.kept_by.clone(),
        };
        let (rows, wanted) = (moment.rows(), self.choice());
        let fits = match (rows.first(), &by) {
            (Some(row), _) => row.name.grouping() == wanted.grouping,
            (None, by) => by.as_ref().is_some_and(|by| by.grouping == wanted.grouping),
        };
        let count = rows.len() as u64;
        let some = count < moment.found();
        let unanswered = !rows.is_empty() && self.frozen.is_none() && !tells(rows, wanted.order);
        if by.as_ref() == Some(&wanted) || !fits || rows.is_empty() || unanswered {
            let told = if some { format!(", {} kept", grouped(count)) } else { String::new() };
            return Some((moment.clone(), Kept { told, chosen: false, fits, unanswered }));
        }
        let mut told = match &by {
            // All there were, in another order.
            Some(by) if !some && (&by.pattern, &by.within) == (&wanted.pattern, &wanted.within) => {
                String::new()
            }
            _ => format!(", of {} kept", grouped(count)),
        };
        if let Some(by) = &by {
            if some && self.words_of(by.order) != self.words_of(wanted.order) {
                told += &format!(" {}", self.words_of(by.order));
            }
            if let Some(pattern) = by.pattern.as_ref().filter(|_| by.pattern != wanted.pattern) {
                told += &format!(" that match /{}/", plain(pattern));
            }
        }
        let only = self.only(None, &moment.context);
        let view =
            View { grouping: wanted.grouping, order: wanted.order, offset: 0, limit: rows.len(), only };
        let (rows, found) = view.of_kept(rows, interval_span(&moment.snapshot, self.live));
        let (time_ns, whole) = (moment.snapshot.time_ns, moment.whole());
        let answer = Answer { number: u64::MAX, rows, found, time_ns, whole };
        let of_those = Moment { answer: Some(Arc::new(answer)), ..moment.clone() };
        Some((of_those, Kept { told, chosen: true, fits, unanswered }))
    }
}

impl Kept {
    /// Says why they are not shown, where they cannot be; the title then.
    pub fn refusal(&self, state: &State, buffer: &mut Buffer, area: Rect) -> Option<String> {
        let (told, title) = match self {
            Kept { fits: false, .. } => (
                "These rows were not kept when it was paused (p: go on).".to_owned(),
                "of that moment are not kept".to_owned(),
            ),
            Kept { unanswered: true, .. } => (
                format!("No row of then has what orders {} (s: another order).", state.order_told()),
                format!("cannot be ordered {}", state.order_told()),
            ),
            _ => return None,
        };
        line(buffer, area, &told, Style::new());
        Some(title)
    }

    /// What they are, behind a title.
    pub fn told(&self, state: &State) -> String {
        let told = &self.told;
        match state.past {
            Some(_) => format!("{told}, as they were"),
            None if self.chosen => format!("{told} when paused"),
            None => format!("{told}, as they were when paused"),
        }
    }
}

/// Why there is no row: of what was kept none may fit, which says nothing of traffic.
pub(super) fn nothing(state: &State, scene: &Scene) -> String {
    let filter = state.filter.told();
    let all = filter.is_none() && state.within.is_none();
    if state.frozen.is_some() {
        return "None of the rows whose order was frozen is left (o: all rows).".to_owned();
    }
    match (&scene.kept, filter) {
        (Some(_), _) if !all => "None of the rows that were kept is one of these.".to_owned(),
        (_, Some(filter)) => format!("Nothing matches /{}/ (/ changes it, Esc ends it).", plain(filter)),
        _ if !all => "No traffic of these in this interval.".to_owned(),
        _ => "No traffic in this interval.".to_owned(),
    }
}

/// Whether any of them has what they are to be ordered by.
fn tells(rows: &[Row], order: Order) -> bool {
    let Order::Average(window) = order else { return true };
    let known = |row: &Row| row.averages.is_some_and(|known| known.windows[window as usize].is_some());
    rows.iter().any(known)
}
