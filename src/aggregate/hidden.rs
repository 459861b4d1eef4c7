//! What lists leave out because its start was not seen (`--new-only`): counted
//! where rows are made, so that rows, hidden and untracked are the totals.
//!
//! Knows counts by lane; decides nothing about totals, which have it all.

use crate::capture::{LINKS_MAX, Lane};
use crate::flow::entry::mark;
use crate::meter::totals::Count;

/// Connections that are in totals and in no list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// Connections: of the interval those met first in it, since the start all of them.
    pub flows: [u64; 2],
    /// What they had, by link number: of the interval, since the start.
    pub links: Vec<[Count; 2]>,
}

impl Hidden {
    /// What they had on all interfaces: of the interval, since the start.
    pub fn all(&self) -> [Count; 2] {
        self.links.iter().fold([Count::default(); 2], |mut sums, link| {
            sums.iter_mut().zip(link).for_each(|(sum, count)| sum.add(*count));
            sums
        })
    }
}

/// Sums since the start, of one worker's flows or of all.
#[derive(Clone, Debug, Default)]
pub(super) struct HiddenSums {
    flows: u64,
    /// By link; empty where nothing is hidden.
    links: Vec<Count>,
}

impl HiddenSums {
    /// Nothing yet, of connections that are to be hidden from now on.
    pub fn wanted() -> HiddenSums {
        HiddenSums { flows: 0, links: vec![Count::default(); LINKS_MAX] }
    }

    /// Whether a flow with these marks is hidden.
    #[inline]
    pub fn has(&self, marks: u16) -> bool {
        !self.links.is_empty() && marks & mark::MIDSTREAM != 0
    }

    /// One more flow.
    pub fn meet(&mut self) {
        self.flows += 1;
    }

    /// A hidden flow gained this much.
    pub fn gain(&mut self, lane: Lane, gained: Count) {
        if let Some(sum) = self.links.get_mut(usize::from(lane.link())) {
            sum.add(gained);
        }
    }

    /// Another worker's.
    pub fn add(&mut self, other: &HiddenSums) {
        self.flows += other.flows;
        self.links.iter_mut().zip(&other.links).for_each(|(sum, more)| sum.add(*more));
    }

    /// As a snapshot has it; None where nothing is to be hidden.
    pub fn told(&self, earlier: &HiddenSums) -> Option<Hidden> {
        let pair = |(now, then): (&Count, &Count)| [now.since(then), *now];
        (!self.links.is_empty()).then(|| Hidden {
            flows: [self.flows.saturating_sub(earlier.flows), self.flows],
            links: self.links.iter().zip(&earlier.links).map(pair).collect(),
        })
    }
}
