//! What snapshots tell once and lists show for longer: bursts, handshakes that
//! failed, the newest notice. Bounded; fed with every snapshot, drawn or not.

use super::past::Past;
use crate::aggregate::culprit::Burst;
use crate::aggregate::snapshot::Snapshot;
use crate::aggregate::watch::Watched;
use crate::flow::record::Outcome;
use crate::output::Notice;
use std::collections::VecDeque;

/// Bursts that are kept.
const BURSTS_MAX: usize = 512;
/// Handshakes that are kept.
const FAILURES_MAX: usize = 512;

/// See the module's description.
#[derive(Clone, Default)]
pub struct Memory {
    /// The newest first.
    pub bursts: VecDeque<Burst>,
    /// Bursts since the start, those too that are not kept.
    pub bursts_seen: u64,
    /// The newest first.
    pub failures: VecDeque<Watched>,
    /// The newest.
    pub notice: Option<Notice>,
    /// How many there were.
    pub notices: u64,
    /// For looking back.
    pub past: Past,
}

impl Memory {
    /// What is new in a snapshot.
    pub fn take(&mut self, snapshot: &Snapshot) {
        for burst in &snapshot.bursts {
            self.bursts_seen += 1;
            self.bursts.push_front(burst.clone());
        }
        self.bursts.truncate(BURSTS_MAX);
        let failed = |watched: &&Watched| {
            !matches!(watched.session.outcome, Outcome::Success | Outcome::Evicted)
                && !watched.session.syn_unseen
        };
        for watched in snapshot.handshakes.sessions.iter().filter(failed) {
            self.failures.push_front(*watched);
        }
        self.failures.truncate(FAILURES_MAX);
    }

    /// Something happened.
    pub fn note(&mut self, notice: &Notice) {
        self.notices += 1;
        self.notice = Some(notice.clone());
    }
}
