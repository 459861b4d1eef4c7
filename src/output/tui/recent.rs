//! A snapshot of a tenth of a second as one of the last second, for `--fast`.
//!
//! Rows come with the last second's counts already; interfaces and the length of
//! time are put beside them here, from totals of some snapshots before. Nothing but
//! the screen sees it: lines and texts have the intervals as they are.

use crate::aggregate::sliding::INTERVALS;
use crate::aggregate::snapshot::{InterfaceFigures, Snapshot};
use crate::meter::totals::LaneTotals;
use std::collections::VecDeque;
use std::sync::Arc;

/// See the module's description.
#[derive(Default)]
pub struct Recent {
    /// Length of an interval, and totals as it began, by link; the newest last.
    past: VecDeque<(u64, Vec<[LaneTotals; 2]>)>,
    /// Totals as the newest ended.
    latest: Vec<[LaneTotals; 2]>,
}

impl Recent {
    /// The next snapshot, with the last second in place of its interval.
    pub fn of(&mut self, snapshot: &Snapshot) -> Arc<Snapshot> {
        let totals = snapshot.interfaces.iter().map(|one| one.total).collect();
        let began = std::mem::replace(&mut self.latest, totals);
        self.past.push_back((snapshot.interval_ns, began));
        if self.past.len() > INTERVALS {
            self.past.pop_front();
        }
        let mut recent = snapshot.clone();
        recent.interval_ns = self.past.iter().map(|(span_ns, _)| span_ns).sum();
        if let Some((_, began)) = self.past.front() {
            let began = began.iter().copied().chain(std::iter::repeat([LaneTotals::default(); 2]));
            for (one, began) in recent.interfaces.iter_mut().zip(began) {
                let InterfaceFigures { interval, total, .. } = one;
                *interval = [0, 1].map(|direction| total[direction].since(&began[direction]));
            }
        }
        Arc::new(recent)
    }
}
