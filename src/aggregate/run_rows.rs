//! Rows of a snapshot: those of views, and those of the whole run, which the final
//! report shows, most bytes or packets first.
//!
//! Groups have their sums since the start anyway. A flow's row is gone when the
//! flow is, so of those that ended in earlier intervals the largest are kept:
//! as many as the view shows, over all interfaces or of each. Nothing is kept
//! where no report is wanted.

use super::best::Best;
use super::group::{Stock, offer_flow, select, select_behind};
use super::rows::Rows;
use super::snapshot::{Row, RunRows};
use super::view::{Grouping, Order, View, Views};
use super::window::Calendar;
use crate::capture::LinkId;

/// Most rows of a report: 16 MiB of them.
pub const RUN_ROWS_MAX: usize = 65_536;

/// Rows of a snapshot.
pub(super) struct Selected {
    pub rows: Vec<Row>,
    /// How many those were chosen from.
    pub found: u64,
    pub link_rows: Vec<Vec<Row>>,
    pub run_rows: Option<RunRows>,
}

impl Selected {
    /// What is asked for, while the rows of the interval are there.
    pub fn of(views: &Views, keeper: Option<&mut Keeper>, stock: &Stock, last: bool) -> Selected {
        let Views { rows, link_rows } = views;
        let (rows, found) = rows.as_ref().map_or_else(Default::default, |view| select(view, None, stock));
        let link_rows = link_rows.as_ref().map_or(Vec::new(), |view| {
            let links = (0..stock.interfaces.len()).map_while(|link| LinkId::try_from(link).ok());
            links.map(|link| select(view, Some(link), stock).0).collect()
        });
        let run_rows = keeper.and_then(|keeper| keeper.follow(stock, last));
        Selected { rows, found, link_rows, run_rows }
    }
}

/// Rows of the run as they come together.
pub(super) struct Keeper {
    view: View,
    each_link: bool,
    /// Of all interfaces, or by link number.
    past: Vec<Past>,
}

/// Flows that ended in earlier intervals.
#[derive(Default)]
struct Past {
    rows: Vec<Row>,
    /// How many those were chosen from.
    found: u64,
}

impl Keeper {
    /// Rows as in `view`, in the order of sums; of each interface instead of all together.
    pub fn new(view: View, each_link: bool) -> Keeper {
        let order = if view.order == Order::Packets { Order::Packets } else { Order::Bytes };
        let limit = view.limit.min(RUN_ROWS_MAX);
        Keeper { view: View { order, limit, offset: 0, ..view }, each_link, past: Vec::new() }
    }

    /// What has to be kept for it.
    pub fn kept(&self) -> (bool, &View) {
        (self.each_link, &self.view)
    }

    /// An interval has ended, its rows are still there. At the end of the run its rows.
    fn follow(&mut self, stock: &Stock, last: bool) -> Option<RunRows> {
        let links = stock.interfaces.len();
        if last {
            return Some(self.tell(stock, links));
        }
        let shows_flows = self.view.grouping == Grouping::Connection && self.view.limit > 0;
        if shows_flows && stock.rows.iter().any(|rows| rows.has_ended()) {
            self.take(&stock.rows, links);
        }
        None
    }

    /// Takes in the flows that ended.
    fn take(&mut self, rows: &[&Rows], links: usize) {
        let scopes = if self.each_link { links } else { 1 };
        self.past.resize_with(scopes.max(self.past.len()), Past::default);
        let calendar = Calendar::default();
        for (number, past) in self.past.iter_mut().enumerate() {
            let scope = self.each_link.then(|| LinkId::try_from(number).unwrap_or(LinkId::MAX));
            let mut best = Best::behind(&self.view, std::mem::take(&mut past.rows), past.found);
            for rows in rows {
                best.found += if scope.is_none() { rows.pruned[0] } else { 0 };
                rows.each_ended(|sight| offer_flow(&mut best, scope, &sight, &calendar, 0));
            }
            (past.rows, past.found) = best.finish();
        }
    }

    fn tell(&mut self, stock: &Stock, links: usize) -> RunRows {
        let mut past = std::mem::take(&mut self.past).into_iter();
        let mut of_scope = |scope| {
            let past = past.next().unwrap_or_default();
            select_behind(&self.view, scope, stock, past.rows, past.found)
        };
        if self.each_link {
            let links = (0..links).map_while(|link| LinkId::try_from(link).ok());
            let link_rows = links.map(|link| of_scope(Some(link)).0).collect();
            return RunRows { link_rows, ..RunRows::default() };
        }
        let (rows, found) = of_scope(None);
        RunRows { rows, found, link_rows: Vec::new() }
    }
}
