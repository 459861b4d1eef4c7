//! A screen that outlives what it shows: rows of a file that has been read, for
//! as long as somebody looks at them.
//!
//! The last interval's rows are kept instead of cleared, so every view of them
//! can still be asked for; nothing else of the last snapshot changes.

use super::group::Stock;
use super::run_rows::Selected;
use super::snapshot::Snapshot;
use super::view::View;
use super::{Aggregator, snapshot};
use std::sync::Arc;
use std::time::Duration;

impl Aggregator {
    /// Rows stay at the end of the run, for [`Aggregator::again`].
    pub fn stay(&mut self) {
        self.stays = true;
    }

    /// Keeps sums of this grouping from now on, so that a view that is asked for
    /// later begins with what was there before.
    pub fn keep(&mut self, view: &View) {
        self.groups.keep(false, view);
    }

    /// After the last snapshot, where rows stay: waits so long for somebody to ask
    /// for other rows, and says how things stood with those.
    pub fn again(&mut self, patience: Duration) -> Option<Arc<Snapshot>> {
        let views = self.requests.1.recv_timeout(patience).ok()?;
        // The latest wish is the one that counts.
        let views = self.requests.1.try_iter().last().unwrap_or(views);
        let last = self.latest.load_full()?;
        self.show(views);
        let stock = Stock {
            rows: self.sources.iter().map(|source| &source.rows).collect(),
            groups: &self.groups,
            interfaces: &last.interfaces,
            calendar: &self.calendar,
        };
        let Selected { rows, found, link_rows, .. } = Selected::of(&self.config.views, None, &stock, true);
        let once = snapshot::Snapshot {
            rows,
            rows_found: found,
            link_rows,
            // What is told once has been told.
            accounts: Vec::new(),
            bursts: Vec::new(),
            handshakes: super::watch::Handshakes { sessions: Vec::new(), ..last.handshakes.clone() },
            ..Snapshot::clone(&last)
        };
        let snapshot = Arc::new(once);
        self.latest.store(Some(snapshot.clone()));
        Some(snapshot)
    }
}
