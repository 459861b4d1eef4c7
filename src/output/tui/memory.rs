//! What snapshots tell once and lists show for longer: bursts, handshakes that
//! failed, notices. Bounded; fed with every snapshot, drawn or not.

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
/// Notices that are kept: more than an hour has of them, unless something is very wrong.
const NOTICES_MAX: usize = 512;

const SECOND_NS: u64 = 1_000_000_000;

/// The highest whole second of all interfaces together: received, sent, both. Where
/// seconds are not made of whole intervals nothing tells it.
#[derive(Clone, Copy, Default)]
pub struct Peaks {
    /// Bits; None before the first whole second.
    pub highest: Option<[u64; 3]>,
    /// The second under way, what it has had, and how much of it.
    second: u64,
    bytes: [u64; 2],
    covered_ns: u64,
}

impl Peaks {
    fn take(&mut self, snapshot: &Snapshot) {
        let span_ns = snapshot.interval_ns;
        if span_ns == 0 || span_ns > SECOND_NS {
            return;
        }
        // An interval belongs to the second that it ends in or with.
        let second = snapshot.time_ns.saturating_sub(1) / SECOND_NS;
        if second != self.second {
            *self = Peaks { highest: self.highest, second, ..Peaks::default() };
        }
        self.covered_ns = self.covered_ns.saturating_add(span_ns);
        for (side, sum) in self.bytes.iter_mut().enumerate() {
            let of_interval = snapshot.interfaces.iter().map(|one| one.interval[side].count.bytes);
            *sum = of_interval.fold(*sum, u64::saturating_add);
        }
        if self.covered_ns == SECOND_NS {
            let [received, sent] = self.bytes.map(|bytes| bytes.saturating_mul(8));
            let now = [received, sent, received.saturating_add(sent)];
            let highest = self.highest.unwrap_or_default();
            self.highest = Some([0, 1, 2].map(|which| now[which].max(highest[which])));
        }
    }
}

/// See the module's description.
#[derive(Clone, Default)]
pub struct Memory {
    /// The newest first.
    pub bursts: VecDeque<Burst>,
    /// Bursts since the start, those too that are not kept.
    pub bursts_seen: u64,
    /// The newest first.
    pub failures: VecDeque<Watched>,
    /// The newest first.
    notices: VecDeque<Notice>,
    /// For looking back.
    pub past: Past,
    /// Of all interfaces together.
    pub peaks: Peaks,
}

impl Memory {
    /// What is new in a snapshot.
    pub fn take(&mut self, snapshot: &Snapshot) {
        self.peaks.take(snapshot);
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
        self.notices.push_front(notice.clone());
        self.notices.truncate(NOTICES_MAX);
    }

    /// Whether something of the kind was told of a time behind a moment.
    pub fn has_since(&self, event: &str, since_ns: u64) -> bool {
        self.notices.iter().any(|notice| notice.event == event && notice.time_ns > since_ns)
    }

    /// The newest notice, or the newest of those until a moment: what has no time of its
    /// own was told as the run began.
    pub fn notice(&self, until_ns: Option<u64>) -> Option<&Notice> {
        self.notices.iter().find(|notice| until_ns.is_none_or(|until_ns| notice.time_ns <= until_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::figures::figures_of;

    #[test]
    fn seconds_of_several_interfaces_are_summed_before_the_highest_is_told() {
        let mut memory = Memory::default();
        // Received on one, sent on another, in tenths of a second.
        let mut tenth = |number: u64, received, sent| {
            let mut interfaces = [0, 1].map(|link| figures_of(&Snapshot::default(), link));
            interfaces[0].interval[0].count.bytes = received;
            interfaces[1].interval[1].count.bytes = sent;
            let snapshot = Snapshot {
                time_ns: 7 * SECOND_NS + number * SECOND_NS / 10,
                interval_ns: SECOND_NS / 10,
                interfaces: interfaces.to_vec(),
                ..Snapshot::default()
            };
            memory.take(&snapshot);
            memory.peaks.highest
        };
        assert_eq!((6..=10).map(|number| tenth(number, 1000, 0)).last(), Some(None), "half a second");
        assert_eq!((11..=20).map(|number| tenth(number, 100, 20)).last(), Some(Some([8000, 1600, 9600])));
        assert_eq!((21..=30).map(|number| tenth(number, 40, 50)).last(), Some(Some([8000, 4000, 9600])));
    }
}
