//! What is written while a live run goes on: snapshots, notices and summaries
//! as they come, by the one thread that may be slow or stuck.

use super::coverage::Meter;
use super::lock;
use super::lost::Wanted;
use crate::aggregate::snapshot::Snapshot;
use crate::meter::bins::BIN_NS;
use crate::output::lost::RingLost;
use crate::output::{Context, Coverages, LinkFacts, Notice, StopReason};
use crate::run::RunError;
use crate::run::deliver::Deliver;
use crate::worker::clock::now_ns;
use crossbeam_channel::{Receiver, Sender, bounded, never};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Snapshots that may wait for the writer.
const SNAPSHOTS: usize = 64;
/// Flows that ended which may wait in them, some 100 MiB; one snapshot may
/// have any number if nothing waits before it.
const ACCOUNTS: u64 = 262_144;

/// How much a snapshot is.
#[derive(Clone, Copy, Debug)]
struct Size {
    /// Flows that ended.
    accounts: u64,
    /// Lines of JSON.
    lines: u64,
    /// Nothing follows: waits for room.
    last: bool,
}

/// From the aggregator to the writer: where there is no room, what a snapshot
/// would have said is counted as lost.
pub(super) struct Passage<T> {
    sent: Sender<(T, u64)>,
    /// Accounts in snapshots that have not been written yet.
    waiting: Arc<AtomicU64>,
    lines_lost: Arc<AtomicU64>,
}

/// The writer's end of it.
pub(super) struct Arrivals<T> {
    sent: Receiver<(T, u64)>,
    waiting: Arc<AtomicU64>,
}

/// Both ends; `lines_lost` counts what found no room.
pub(super) fn passage<T>(lines_lost: &Arc<AtomicU64>) -> (Passage<T>, Arrivals<T>) {
    let (out, sent) = bounded(SNAPSHOTS);
    let waiting = Arc::<AtomicU64>::default();
    let passage = Passage { sent: out, waiting: waiting.clone(), lines_lost: lines_lost.clone() };
    (passage, Arrivals { sent, waiting })
}

impl Passage<Arc<Snapshot>> {
    /// Sends a snapshot if there is room; the last one waits for it.
    pub fn send(&self, snapshot: Arc<Snapshot>) {
        let handshakes = &snapshot.handshakes;
        self.lines_lost.fetch_add(snapshot.accounts_lost + handshakes.sessions_lost, Ordering::Relaxed);
        // Sessions are as many lines, and wait for the writer in the same room.
        let accounts = (snapshot.accounts.len() + handshakes.sessions.len()) as u64;
        let told = handshakes.watches.iter().filter(|watch| !watch.interval.is_empty()).count();
        let told = told + snapshot.destinations.as_ref().map_or(0, |all| all.of_interval.len());
        let of_links = snapshot.interfaces.len() + snapshot.balances.len() + snapshot.bursts.len();
        let lines = (of_links + told) as u64 + accounts;
        let size = Size { accounts, lines, last: snapshot.last };
        self.pass(snapshot, size);
    }
}

impl<T> Passage<T> {
    fn pass(&self, snapshot: T, size: Size) {
        let accounts = size.accounts;
        let waiting = self.waiting.fetch_add(accounts, Ordering::Relaxed);
        if size.last {
            let _ = self.sent.send((snapshot, accounts));
            return;
        }
        let too_many = accounts > 0 && waiting > 0 && waiting.saturating_add(accounts) > ACCOUNTS;
        if too_many || self.sent.try_send((snapshot, accounts)).is_err() {
            self.waiting.fetch_sub(accounts, Ordering::Relaxed);
            self.lines_lost.fetch_add(size.lines, Ordering::Relaxed);
        }
    }
}

/// What comes to the writer.
pub(super) struct Inputs {
    pub snapshots: Arrivals<Arc<Snapshot>>,
    pub notices: Receiver<Notice>,
    /// Somebody wants a summary now.
    pub summaries: Receiver<()>,
}

/// The outputs, and what they have to know.
pub(super) struct Writing<'a> {
    pub deliver: Deliver,
    pub context: Context,
    pub links: Arc<Mutex<Vec<LinkFacts>>>,
    pub meter: Arc<Mutex<Meter>>,
    pub lines_lost: Arc<AtomicU64>,
    /// Ends the run.
    pub stop: &'a AtomicBool,
    /// A summary was asked for before there was anything to sum up.
    pub summary_wanted: bool,
    /// What has been written last.
    pub last: Option<(Arc<Snapshot>, Coverages)>,
}

impl Writing<'_> {
    /// Until the aggregator is gone.
    ///
    /// # Errors
    /// Of the first output that cannot be written to; nothing is written after it.
    pub fn run(&mut self, inputs: &Inputs) -> Result<(), RunError> {
        let mut ended = Ok(());
        let mut notices = inputs.notices.clone();
        loop {
            let written = crossbeam_channel::select_biased! {
                recv(notices) -> notice => match notice {
                    Ok(notice) if ended.is_ok() => self.notice(&notice),
                    Ok(_) => Ok(()),
                    Err(_) => {
                        // Control has ended: a channel without senders is always ready.
                        notices = never();
                        Ok(())
                    }
                },
                recv(inputs.snapshots.sent) -> sent => {
                    let Ok((snapshot, accounts)) = sent else { return ended };
                    let written = self.snapshot(snapshot, ended.is_ok());
                    inputs.snapshots.waiting.fetch_sub(accounts, Ordering::Relaxed);
                    written
                }
                recv(inputs.summaries) -> _ => self.summary(ended.is_ok()),
            };
            if written.is_err() {
                // Nobody reads any more, or the disk is full: the run ends.
                self.stop.store(true, Ordering::Relaxed);
                ended = written;
            }
        }
    }

    fn notice(&mut self, notice: &Notice) -> Result<(), RunError> {
        self.learn();
        self.deliver.notice(notice, &self.context)
    }

    fn snapshot(&mut self, snapshot: Arc<Snapshot>, writes: bool) -> Result<(), RunError> {
        self.learn();
        let coverage = lock(&self.meter).coverage(&snapshot.marks, snapshot.interfaces.len());
        self.learn_losses(&snapshot);
        let mut written = Ok(());
        if writes {
            written = self.deliver.snapshot(&snapshot, &coverage, &self.context);
        }
        self.last = Some((snapshot, coverage));
        if std::mem::take(&mut self.summary_wanted) && written.is_ok() {
            written = self.summary(writes);
        }
        written
    }

    /// What was lost besides the rings, and around the bursts.
    fn learn_losses(&mut self, snapshot: &Snapshot) {
        let bursts = snapshot.bursts.iter().map(|burst| Wanted {
            link: usize::from(burst.lane.link()),
            from_ns: burst.from_ms.saturating_mul(BIN_NS),
            until_ns: burst.until_ms.saturating_mul(BIN_NS),
        });
        let bursts: Vec<Wanted> = bursts.collect();
        let until_ns = bursts.iter().map(|burst| burst.until_ns).fold(snapshot.time_ns, u64::max);
        let mut meter = lock(&self.meter);
        // Control reads at each interval's end; here it may not have come to it yet.
        if meter.ledger.lacks(until_ns) {
            meter.read_losses(now_ns);
        }
        if snapshot.late_workers.is_empty() {
            let rings = snapshot
                .interfaces
                .iter()
                .map(|one| RingLost { kernel_drops: one.capture.kernel_drops, freezes: one.capture.freezes });
            meter.ledger.note_rings(snapshot.time_ns, now_ns(), rings.collect());
        }
        self.context.losses = Arc::new(meter.ledger.losses(snapshot.time_ns, &bursts));
    }

    fn summary(&mut self, writes: bool) -> Result<(), RunError> {
        match &self.last {
            Some((snapshot, coverage)) if writes => self.deliver.summary(snapshot, coverage, &self.context),
            Some(_) => Ok(()),
            None => {
                // With the first figures that there are.
                self.summary_wanted = true;
                Ok(())
            }
        }
    }

    /// What others have changed since.
    fn learn(&mut self) {
        self.context.links.clone_from(&lock(&self.links));
        self.context.lines_lost = self.lines_lost.load(Ordering::Relaxed);
        self.context.filtered_ns = lock(&self.meter).filtered_ns;
    }

    /// The end, once all threads have ended; `ended` is what [`Writing::run`] came to.
    ///
    /// # Errors
    /// As [`Writing::run`].
    pub fn stop(
        mut self,
        mut ended: Result<(), RunError>,
        reason: &StopReason,
        notices: &Receiver<Notice>,
    ) -> Result<(), RunError> {
        self.learn();
        for notice in notices.try_iter() {
            ended = ended.and_then(|()| self.deliver.notice(&notice, &self.context));
        }
        match &self.last {
            Some((snapshot, coverage)) => self.deliver.stop(ended, reason, snapshot, coverage, &self.context),
            None => ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends snapshots with so many flows that ended: how many wait then, and
    /// how many lines were lost.
    fn send(accounts: &[u64], last: bool) -> (usize, u64) {
        let lost = Arc::<AtomicU64>::default();
        let (passage, arrivals) = passage(&lost);
        for &accounts in accounts {
            passage.pass((), Size { accounts, lines: accounts, last });
        }
        (arrivals.sent.len(), lost.load(Ordering::Relaxed))
    }

    #[test]
    fn flows_that_wait_for_a_stuck_writer_are_bounded() {
        let half = ACCOUNTS / 2;
        assert_eq!(send(&[half, half], false), (2, 0));
        assert_eq!(send(&[half, half + 1, 10], false), (2, half + 1));
        assert_eq!(send(&[half, half, half], true), (3, 0), "the last one");
        assert_eq!(send(&[ACCOUNTS + 1, 0, 1], false), (2, 1), "one alone may have any number");
        assert_eq!(send(&[1; SNAPSHOTS + 3], false), (SNAPSHOTS, 3));
    }
}
