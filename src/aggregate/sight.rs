//! A row as views see it: its counters with what is kept beside them, by lane and
//! by interface.

use super::rows::RowState;
use super::window::{Averages, Calendar, Histories};
use crate::capture::{Lane, LinkId};
use crate::flow::detail::LaneCount;
use crate::flow::entry::NO_LANE;
use crate::meter::totals::Count;
use std::cmp::Reverse;

/// Counters by lane of a flow that is seen on more than one.
#[derive(Clone, Default, Debug)]
pub(super) struct LaneRows {
    pub now: Vec<LaneCount>,
    /// As the interval began.
    pub base: Vec<LaneCount>,
    pub touched: u32,
}

/// A row with what is kept beside it.
#[derive(Clone, Copy)]
pub(super) struct RowSight<'a> {
    pub row: &'a RowState,
    pub lanes: Option<&'a LaneRows>,
    /// Whether it had a packet in the interval.
    pub touched: bool,
    /// What it gained in the interval.
    pub gained: [Count; 2],
    /// The same, over the last second where that is asked for.
    pub recent: [Count; 2],
    /// Whether the view's filter shows it, where that is known.
    pub shown: Option<bool>,
    pub slot: u32,
    pub histories: &'a Histories,
}

impl RowSight<'_> {
    /// By lane what its sides had before the interval, and what they gained in it.
    pub fn each_lane(&self, mut each: impl FnMut(usize, Lane, [Count; 2])) {
        match self.lanes {
            Some(lanes) => lanes.now.iter().for_each(|count| {
                let now = Count { packets: count.packets, bytes: count.bytes };
                let before = if self.touched { find(&lanes.base, count.side, count.lane) } else { now };
                each(count.side as usize & 1, count.lane, [before, now.since(&before)]);
            }),
            None => (0..2).filter(|&side| self.row.lanes[side] != NO_LANE).for_each(|side| {
                let gained = self.gained[side];
                each(side, Lane(self.row.lanes[side]), [self.row.total[side].since(&gained), gained]);
            }),
        }
    }

    /// What its sides gained in the interval and have had since the start, over
    /// all interfaces or on one.
    pub fn within(&self, scope: Option<LinkId>) -> ([Count; 2], [Count; 2]) {
        let all = (self.gained, self.row.total);
        match (scope, self.lanes) {
            (None, _) => all,
            (Some(link), Some(lanes)) => on_link(lanes, link, self.touched),
            (Some(link), None) => {
                let there = |side: usize| {
                    self.row.lanes[side] != NO_LANE && Lane(self.row.lanes[side]).link() == link
                };
                let of_link = |sums: [Count; 2]| {
                    [0, 1].map(|side| if there(side) { sums[side] } else { Count::default() })
                };
                (of_link(all.0), of_link(all.1))
            }
        }
    }

    /// Lanes of its sides: those in force, or on one interface the one of it that
    /// a side gained most on.
    pub fn lanes(&self, scope: Option<LinkId>) -> [Option<Lane>; 2] {
        let in_force = |side: usize| Some(Lane(self.row.lanes[side])).filter(|lane| lane.0 != NO_LANE);
        let Some(link) = scope else { return [0, 1].map(in_force) };
        let Some(lanes) = self.lanes.filter(|_| self.touched) else {
            return [0, 1].map(|side| in_force(side).filter(|lane| lane.link() == link));
        };
        [0, 1].map(|side| {
            let here = lanes
                .now
                .iter()
                .filter(|count| usize::from(count.side & 1) == side && count.lane.link() == link);
            let gained = |count: &&LaneCount| {
                let now = Count { packets: count.packets, bytes: count.bytes };
                (now.since(&find(&lanes.base, count.side, count.lane)).bytes, Reverse(count.lane))
            };
            here.max_by_key(gained).map(|count| count.lane)
        })
    }

    /// Averages, where they are kept of this row.
    pub fn averages(&self, calendar: &Calendar) -> Option<Averages> {
        self.histories.get(self.row.history, self.slot).map(|history| history.averages(calendar))
    }
}

/// A flow's counts on one interface, by side: of the interval and since its start.
fn on_link(lanes: &LaneRows, link: LinkId, touched: bool) -> ([Count; 2], [Count; 2]) {
    let (mut now, mut total) = ([Count::default(); 2], [Count::default(); 2]);
    for count in lanes.now.iter().filter(|count| count.lane.link() == link) {
        let side = count.side as usize & 1;
        let sum = Count { packets: count.packets, bytes: count.bytes };
        total[side].add(sum);
        if touched {
            now[side].add(sum.since(&find(&lanes.base, count.side, count.lane)));
        }
    }
    (now, total)
}

/// The count of a side and lane among several.
pub(super) fn find(counts: &[LaneCount], side: u8, lane: Lane) -> Count {
    let found = counts.iter().find(|count| count.side == side && count.lane == lane);
    found.map_or(Count::default(), |count| Count { packets: count.packets, bytes: count.bytes })
}
