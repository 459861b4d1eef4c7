//! Rows that somebody asks for between two boundaries, answered when they are asked for.
//!
//! Where a screen looks on, the rows of the interval that has ended stay until
//! records of the next one have to be taken in: buffers that come before its cut
//! are held, so many at most, and applied together. Until then any view is
//! answered from those rows, and its totals are those of the snapshot that was
//! told last. Where more came than is held (tens of thousands of connections that
//! end in an interval) an answer comes with the next boundary, as it does where
//! nobody looks on and nothing is held. Workers notice nothing of it.
//!
//! A screen that outlives a file goes on asking so ([`Aggregator::again`]).

use super::Aggregator;
use super::group::{Stock, select};
use super::snapshot::{Row, Snapshot};
use super::view::{View, Views};
use crate::flow::record::Buffer;
use arc_swap::ArcSwapOption;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::sync::Arc;
use std::time::Duration;

/// Requests that may wait.
const REQUESTS: usize = 16;

/// Rows as they were asked for, of the snapshot that was told last.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// What the asker called this.
    pub number: u64,
    /// In the order asked for.
    pub rows: Vec<Row>,
    /// How many there were to choose from.
    pub found: u64,
}

/// What is wanted from now on.
pub(super) struct Request {
    views: Views,
    number: u64,
    /// Who is told that an answer is there.
    wake: Option<Sender<()>>,
}

/// Requests and answers, seen from the aggregator.
pub(super) struct Asked {
    latest: Arc<ArcSwapOption<Snapshot>>,
    answer: Arc<ArcSwapOption<Answer>>,
    requests: (Sender<Request>, Receiver<Request>),
    /// Of the rows that are shown.
    number: u64,
    /// Buffers of a worker that are held, at most.
    most: usize,
    /// Rows are those of the snapshot that was told last.
    answers: bool,
}

impl Default for Asked {
    fn default() -> Asked {
        Asked {
            latest: Arc::default(),
            answer: Arc::default(),
            requests: bounded(REQUESTS),
            number: 0,
            most: 0,
            answers: false,
        }
    }
}

/// The aggregator as others see it: how things stand, and what they want to see.
#[derive(Clone)]
pub struct Handle {
    latest: Arc<ArcSwapOption<Snapshot>>,
    answer: Arc<ArcSwapOption<Answer>>,
    requests: Sender<Request>,
}

impl Handle {
    /// The latest snapshot; None before the first boundary.
    pub fn latest(&self) -> Option<Arc<Snapshot>> {
        self.latest.load_full()
    }

    /// Asks for these rows, from the next boundary on. False where too many
    /// requests wait already: ask again after the next snapshot.
    pub fn ask(&self, views: Views) -> bool {
        self.send(Request { views, number: 0, wake: None })
    }

    /// The same, from now on where the rows of the last snapshot are still there
    /// ([`Aggregator::answer_at_once`]). `number`, greater each time, comes back
    /// with an [`Answer`] or with the next snapshot, whichever is first; `wake` has
    /// a message when the answer is there.
    pub fn ask_now(&self, views: Views, number: u64, wake: &Sender<()>) -> bool {
        self.send(Request { views, number, wake: Some(wake.clone()) })
    }

    fn send(&self, request: Request) -> bool {
        match self.requests.try_send(request) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// The latest answer; older than the latest snapshot where its number is not greater.
    pub fn answer(&self) -> Option<Arc<Answer>> {
        self.answer.load_full()
    }
}

impl Asked {
    /// For whoever asks.
    pub fn handle(&self) -> Handle {
        let requests = self.requests.0.clone();
        Handle { latest: self.latest.clone(), answer: self.answer.clone(), requests }
    }

    /// What has been told.
    pub fn tell(&mut self, snapshot: &Arc<Snapshot>) {
        self.latest.store(Some(snapshot.clone()));
    }

    /// Where requests come in, while they can be answered.
    pub fn waiting(&self) -> Option<&Receiver<Request>> {
        self.answers.then_some(&self.requests.1)
    }

    /// Number of the request that the rows of snapshots are of.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether so many buffers of a worker are held at most.
    fn holds(&self, held: usize) -> bool {
        self.answers && held < self.most
    }
}

impl Aggregator {
    /// For whoever wants the latest snapshot, or other rows.
    pub fn handle(&self) -> Handle {
        self.asked.handle()
    }

    /// Who asks for other rows has them at once: rows of an interval stay until
    /// `buffers` of a worker are held, less than it has.
    pub fn answer_at_once(&mut self, buffers: usize) {
        self.asked.most = buffers;
    }

    /// Takes a buffer of the next interval in, or holds it.
    pub(super) fn take_in_or_hold(&mut self, number: usize, buffer: Box<Buffer>) {
        if self.asked.holds(self.sources[number].held.len()) {
            self.sources[number].held.push(buffer);
        } else {
            self.begin_interval();
            self.apply(number, buffer);
        }
    }

    /// Rows are no longer those of the last snapshot.
    pub(super) fn begin_interval(&mut self) {
        if !std::mem::take(&mut self.asked.answers) {
            return;
        }
        self.clear_interval();
        for number in 0..self.sources.len() {
            let held = std::mem::take(&mut self.sources[number].held);
            held.into_iter().for_each(|buffer| self.apply(number, buffer));
        }
    }

    /// The interval's rows have been told; they stay while somebody may ask for others.
    pub(super) fn end_interval(&mut self, last: bool) {
        match self.asked.most > 0 || last && self.stays {
            true => self.asked.answers = true,
            false => self.clear_interval(),
        }
    }

    fn clear_interval(&mut self) {
        self.sources.iter_mut().for_each(|source| source.rows.next_interval());
        self.groups.next_interval();
    }

    /// What was asked for since is shown from this boundary on.
    pub(super) fn take_requests(&mut self) {
        while let Ok(request) = self.asked.requests.1.try_recv() {
            self.asked.number = request.number;
            self.show(request.views);
        }
    }

    /// Answers the latest of the requests that wait, and the others by that.
    pub(super) fn answer_requests(&mut self) {
        let Some(request) = self.asked.requests.1.try_iter().last() else { return };
        self.answer(request);
    }

    fn answer(&mut self, request: Request) {
        let Some(last) = self.asked.latest.load_full() else { return };
        self.asked.number = request.number;
        self.show(request.views);
        let stock = Stock {
            rows: self.sources.iter().map(|source| &source.rows).collect(),
            groups: &self.groups,
            interfaces: &last.interfaces,
            calendar: &self.calendar,
        };
        let view = self.config.views.rows.as_ref();
        let (rows, found) = view.map_or_else(Default::default, |view| select(view, None, &stock));
        self.asked.answer.store(Some(Arc::new(Answer { number: request.number, rows, found })));
        if let Some(wake) = request.wake {
            let _ = wake.try_send(());
        }
    }

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
    /// for other rows, and answers.
    pub fn again(&mut self, patience: Duration) {
        if let Ok(request) = self.asked.requests.1.recv_timeout(patience) {
            // The latest wish is the one that counts.
            let request = self.asked.requests.1.try_iter().last().unwrap_or(request);
            self.answer(request);
        }
    }
}
