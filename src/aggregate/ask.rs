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
use super::rows::tenths;
use super::snapshot::{Row, Snapshot};
use super::view::{Grouping, View, Views};
use crate::flow::key::FlowKey;
use crate::flow::record::{Account, Buffer};
use crate::worker::outbox::Inquiry;
use arc_swap::ArcSwapOption;
use crossbeam_channel::{Receiver, Select, Sender, TrySendError, bounded};
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
    /// The snapshot that they are of: its time, ns since the epoch.
    pub time_ns: u64,
    /// Every flow has been looked at; else those that have not yet are left out, and
    /// another answer of the same number follows.
    pub whole: bool,
}

/// Flows that a filter looks at before somebody who waits is answered first: some
/// 10 ms. Each further answer comes after four times as many.
pub(super) const LOOKS: usize = 1 << 16;
/// Of them, in one go. What comes in between goes first: a request, as the answer
/// under way is nobody's any more, and, behind the first answer, workers.
const STEP: usize = 1 << 13;

/// What somebody wants.
pub(super) enum Request {
    /// Rows, from now on.
    Rows {
        views: Views,
        number: u64,
        /// Who is told that an answer is there.
        wake: Option<Sender<()>>,
    },
    /// Rows once, whatever the others see.
    Beside(Beside),
    /// A flow that may have ended.
    Ended(Inquiry),
}

/// Rows for one who looks on.
pub(super) struct Beside {
    view: View,
    number: u64,
    reply: Arc<ArcSwapOption<Answer>>,
    wake: Sender<()>,
}

/// Requests and answers, seen from the aggregator.
pub(super) struct Asked {
    latest: Arc<ArcSwapOption<Snapshot>>,
    answer: Arc<ArcSwapOption<Answer>>,
    requests: (Sender<Request>, Receiver<Request>),
    /// Of the rows that are shown.
    number: u64,
    /// What those who look on wait for.
    beside: Vec<Beside>,
    /// Buffers of a worker that are held, at most.
    most: usize,
    /// Rows are those of the snapshot that was told last.
    answers: bool,
    /// Who is told of answers.
    wake: Option<Sender<()>>,
    /// Not every flow has been looked at for the latest rows.
    behind: bool,
    /// Flows that are looked at between two answers, and still before the next one.
    looks: [usize; 2],
}

impl Default for Asked {
    fn default() -> Asked {
        Asked {
            latest: Arc::default(),
            answer: Arc::default(),
            requests: bounded(REQUESTS),
            number: 0,
            beside: Vec::new(),
            most: 0,
            answers: false,
            wake: None,
            behind: false,
            looks: [LOOKS; 2],
        }
    }
}

/// The aggregator as others see it: how things stand, and what they want to see.
#[derive(Clone)]
pub struct Handle {
    latest: Arc<ArcSwapOption<Snapshot>>,
    answer: Arc<ArcSwapOption<Answer>>,
    requests: Sender<Request>,
    /// To each worker.
    inquiries: Arc<[Sender<Inquiry>]>,
}

impl Handle {
    /// The latest snapshot; None before the first boundary.
    pub fn latest(&self) -> Option<Arc<Snapshot>> {
        self.latest.load_full()
    }

    /// Asks for these rows, from the next boundary on. False where too many
    /// requests wait already: ask again after the next snapshot.
    pub fn ask(&self, views: Views) -> bool {
        self.send(Request::Rows { views, number: 0, wake: None })
    }

    /// The same, from now on where the rows of the last snapshot are still there
    /// ([`Aggregator::answer_at_once`]). `number`, greater each time, comes back
    /// with an [`Answer`] or with the next snapshot, whichever is first; `wake` has
    /// a message when the answer is there.
    pub fn ask_now(&self, views: Views, number: u64, wake: &Sender<()>) -> bool {
        self.send(Request::Rows { views, number, wake: Some(wake.clone()) })
    }

    /// Asks for rows of the last snapshot, once, into `reply`: views of outputs do
    /// not change by it. Answered with the next one where its rows are gone.
    pub fn ask_beside(
        &self,
        view: View,
        number: u64,
        reply: &Arc<ArcSwapOption<Answer>>,
        wake: &Sender<()>,
    ) -> bool {
        self.send(Request::Beside(Beside { view, number, reply: reply.clone(), wake: wake.clone() }))
    }

    /// Asks for a flow's account as it stands: `reply` has it from the worker that
    /// has the flow, or from the aggregator where it ended in an interval whose rows
    /// are there still (and accounts are kept); from nobody where neither knows it,
    /// from both where its ports were used again.
    pub fn look(&self, key: FlowKey, reply: &Sender<Box<Account>>) {
        for worker in &*self.inquiries {
            let _ = worker.try_send(Inquiry { key, reply: reply.clone() });
        }
        self.send(Request::Ended(Inquiry { key, reply: reply.clone() }));
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
    /// What has been told.
    pub fn tell(&mut self, snapshot: &Arc<Snapshot>) {
        self.latest.store(Some(snapshot.clone()));
    }

    /// Where requests come in, while they can be answered.
    pub fn waiting(&self) -> Option<&Receiver<Request>> {
        self.answers.then_some(&self.requests.1)
    }

    /// Whether a part of an answer is to follow.
    pub fn is_behind(&self) -> bool {
        self.answers && self.behind
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
        Handle {
            latest: self.asked.latest.clone(),
            answer: self.asked.answer.clone(),
            requests: self.asked.requests.0.clone(),
            inquiries: self.sources.iter().map(|source| source.inbox.inquiries.clone()).collect(),
        }
    }

    /// Who asks for other rows has them at once: rows of an interval stay until
    /// `buffers` of a worker are held, less than it has.
    pub fn answer_at_once(&mut self, buffers: usize) {
        self.asked.most = buffers;
    }

    /// Accounts of flows that ended stay as long as their rows do, for
    /// [`Handle::look`]; `lines`: snapshots have them too.
    pub fn keep_accounts(&mut self, lines: bool) {
        self.tells_accounts = lines;
        self.sources.iter_mut().for_each(|source| source.rows.keep_accounts());
    }

    /// Closed connections are among rows for so long, in tenths of a second, and no
    /// longer: they are in the table for ten seconds, and beyond that kept here.
    pub fn linger(&mut self, tenths: u32) {
        self.linger = Some(tenths);
        self.sources.iter_mut().for_each(|source| source.rows.linger(tenths));
    }

    /// Rates of rows over all interfaces are those of the last second, where
    /// intervals are tenths of one.
    pub fn slide(&mut self) {
        self.groups.sliding = Some(Default::default());
        self.sources.iter_mut().for_each(|source| source.rows.slide());
    }

    /// The last boundary, in packet time.
    pub(super) fn now(&self) -> u32 {
        tenths(self.boundary_ns.saturating_sub(self.set_back_ns))
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
        let now = self.now();
        self.sources.iter_mut().for_each(|source| source.rows.next_interval(now));
        self.groups.next_interval();
    }

    /// What was asked for since is shown from this boundary on.
    pub(super) fn take_requests(&mut self) {
        while let Ok(request) = self.asked.requests.1.try_recv() {
            match request {
                Request::Rows { views, number, wake } => {
                    (self.asked.number, self.asked.wake) = (number, wake);
                    self.show(views);
                }
                Request::Beside(beside) => self.asked.beside.push(beside),
                Request::Ended(inquiry) => self.tell_ended(&inquiry),
            }
        }
    }

    /// A flow that ended, where its account was kept.
    fn tell_ended(&self, inquiry: &Inquiry) {
        let ended = self.sources.iter().filter_map(|source| source.rows.ended_account(&inquiry.key));
        ended.for_each(|account| {
            let _ = inquiry.reply.try_send(Box::new(account.clone()));
        });
    }

    /// Answers the latest of the requests that wait, and the others by that.
    pub(super) fn answer_requests(&mut self) {
        let mut latest = None;
        while let Ok(request) = self.asked.requests.1.try_recv() {
            match request {
                Request::Rows { views, number, wake } => latest = Some((views, number, wake)),
                Request::Beside(beside) => self.asked.beside.push(beside),
                Request::Ended(inquiry) => self.tell_ended(&inquiry),
            }
        }
        self.answer_beside();
        let Some((views, number, wake)) = latest else { return };
        (self.asked.number, self.asked.wake) = (number, wake);
        (self.asked.behind, self.asked.looks) = (true, [LOOKS; 2]);
        self.show(views);
        self.go_on();
    }

    /// Looks which flows the filter of connections shows: at so many, at all of them
    /// where nobody waits. Whether that were all.
    pub(super) fn look_at_flows(&mut self, most: usize) -> bool {
        let most = if self.asked.most == 0 { usize::MAX } else { most };
        let view = self.config.views.rows.as_ref();
        let only =
            view.filter(|view| view.grouping == Grouping::Connection).and_then(|view| view.only.clone());
        let (mut left, mut whole) = (most, true);
        // Every one of them, so that none is left with what was found out of another filter.
        for source in &mut self.sources {
            whole &= source.rows.look(only.as_ref(), &mut left);
        }
        self.asked.behind = !whole;
        whole
    }

    /// Answers what was asked for last, as far as it is known.
    pub(super) fn go_on(&mut self) {
        let Some(last) = self.asked.latest.load_full().filter(|_| self.asked.behind) else { return };
        let mut whole = false;
        while !whole && self.asked.looks[1] > 0 {
            if self.is_wanted() {
                return;
            }
            whole = self.look_at_flows(STEP.min(self.asked.looks[1]));
            self.asked.looks[1] = self.asked.looks[1].saturating_sub(STEP);
        }
        self.asked.looks = [self.asked.looks[0].saturating_mul(4); 2];
        let answer = self.rows_of(self.config.views.rows.as_ref(), self.asked.number, &last);
        self.asked.answer.store(Some(Arc::new(Answer { whole, ..answer })));
        if let Some(wake) = &self.asked.wake {
            let _ = wake.try_send(());
        }
    }

    /// Whether something waits that goes before the answer under way.
    fn is_wanted(&self) -> bool {
        let first = self.asked.looks[0] <= LOOKS;
        let mut heard = self.sources.iter().filter(|source| source.is_heard(self.boundary_ns));
        !self.asked.requests.1.is_empty() || !first && heard.any(|source| !source.inbox.messages.is_empty())
    }

    /// Answers those who look on, from the rows of the last snapshot.
    pub(super) fn answer_beside(&mut self) {
        if self.asked.latest.load().is_none() {
            return;
        }
        for Beside { view, number, reply, wake } in std::mem::take(&mut self.asked.beside) {
            reply.store(Some(Arc::new(Answer { number, ..self.rows_now(&view) })));
            let _ = wake.try_send(());
        }
    }

    fn rows_of(&self, view: Option<&View>, number: u64, last: &Snapshot) -> Answer {
        let stock = Stock {
            rows: self.sources.iter().map(|source| &source.rows).collect(),
            groups: &self.groups,
            interfaces: &last.interfaces,
            calendar: &self.calendar,
            now: self.now(),
            linger: self.linger,
        };
        let (rows, found) = view.map_or_else(Default::default, |view| select(view, None, &stock));
        Answer { number, rows, found, time_ns: last.time_ns, whole: true }
    }

    /// Rows stay at the end of the run, for [`Aggregator::again`].
    pub fn stay(&mut self) {
        self.stays = true;
    }

    /// Keeps sums of this grouping from now on, so that a view that is asked for
    /// later begins with what was there before.
    pub fn keep(&mut self, view: &View) {
        self.groups.keep(false, view, self.calendar.now());
    }

    /// Rows of the snapshot that was told last, where they stay until the next one's
    /// records ([`Aggregator::answer_at_once`]).
    pub fn rows_now(&mut self, view: &View) -> Answer {
        let Some(last) = self.asked.latest.load_full() else { return Answer::default() };
        self.begin_group(false, view);
        self.rows_of(Some(view), u64::MAX, &last)
    }

    /// After the last snapshot, where rows stay: waits so long for somebody to ask
    /// for other rows, and answers.
    pub fn again(&mut self, patience: Duration) {
        let mut select = Select::new();
        select.recv(&self.asked.requests.1);
        let patience = if self.asked.is_behind() { Duration::ZERO } else { patience };
        let is_ready = select.ready_timeout(patience).is_ok();
        drop(select);
        if is_ready { self.answer_requests() } else { self.go_on() }
    }
}
