//! What is written while a live run goes on: snapshots, notices and summaries
//! as they come, by the one thread that may be slow or stuck.

use super::coverage::Meter;
use super::lock;
use crate::aggregate::snapshot::Snapshot;
use crate::output::{Context, Coverages, LinkFacts, Notice, StopReason};
use crate::run::RunError;
use crate::run::deliver::Deliver;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// From the aggregator to the writer: where there is no room, what a snapshot
/// would have said is counted as lost.
pub(super) struct Passage {
    pub snapshots: Sender<Arc<Snapshot>>,
    pub lines_lost: Arc<AtomicU64>,
}

impl Passage {
    pub fn send(&self, snapshot: Arc<Snapshot>) {
        if snapshot.last {
            let _ = self.snapshots.send(snapshot);
            return;
        }
        let lines = (snapshot.interfaces.len() + snapshot.accounts.len()) as u64;
        match self.snapshots.try_send(snapshot) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.lines_lost.fetch_add(lines, Ordering::Relaxed);
            }
        }
    }
}

/// What comes to the writer.
pub(super) struct Inputs {
    pub snapshots: Receiver<Arc<Snapshot>>,
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
        loop {
            let written = crossbeam_channel::select_biased! {
                recv(inputs.snapshots) -> snapshot => match snapshot {
                    Ok(snapshot) => self.snapshot(snapshot, &inputs.notices, ended.is_ok()),
                    Err(_) => return ended,
                },
                recv(inputs.summaries) -> _ => self.summary(ended.is_ok()),
            };
            if written.is_err() {
                // Nobody reads any more, or the disk is full: the run ends.
                self.stop.store(true, Ordering::Relaxed);
                ended = written;
            }
        }
    }

    fn snapshot(
        &mut self,
        snapshot: Arc<Snapshot>,
        notices: &Receiver<Notice>,
        writes: bool,
    ) -> Result<(), RunError> {
        self.learn();
        let coverage = lock(&self.meter).coverage(&snapshot.marks, snapshot.interfaces.len());
        let mut written = Ok(());
        if writes {
            written = notices
                .try_iter()
                .try_for_each(|notice| self.deliver.notice(&notice, &self.context))
                .and_then(|()| self.deliver.snapshot(&snapshot, &coverage, &self.context));
        }
        self.last = Some((snapshot, coverage));
        written
    }

    fn summary(&mut self, writes: bool) -> Result<(), RunError> {
        match &self.last {
            Some((snapshot, coverage)) if writes => self.deliver.summary(snapshot, coverage, &self.context),
            _ => Ok(()),
        }
    }

    /// What others have changed since.
    fn learn(&mut self) {
        self.context.links.clone_from(&lock(&self.links));
        self.context.lines_lost = self.lines_lost.load(Ordering::Relaxed);
    }

    /// The end, once all threads have ended.
    ///
    /// # Errors
    /// As [`Writing::run`].
    pub fn stop(mut self, reason: &StopReason, notices: &Receiver<Notice>) -> Result<(), RunError> {
        self.learn();
        notices.try_iter().try_for_each(|notice| self.deliver.notice(&notice, &self.context))?;
        match &self.last {
            Some((snapshot, coverage)) => self.deliver.stop(reason, snapshot, coverage, &self.context),
            None => Ok(()),
        }
    }
}
