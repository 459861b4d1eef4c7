//! Milliseconds of all workers together: rates, bursts, and questions who
//! filled them.
//!
//! Bins of a lane are summed as workers hand them over, and *close* when every
//! worker has come past them: only then they are looked at, in order. A late
//! worker delays what is told, it never splits a burst. Of a burst under way
//! the workers are asked, hand-over by hand-over, who filled what closed since;
//! so a long one needs no more of their journals than a short one.
//!
//! On files a worker waits at each hand-over until it is told to go on, which
//! is when all that was asked is answered: what is told does not depend on how
//! fast anybody was. Live nobody waits, but at the end of the run.
//!
//! Knows bins and answers; does not know links by name, nor where bins come from.

use super::balance::LinkSets;
use super::burst::{Detector, Limits, Span};
use super::classes::Classes;
use super::culprit::{BEFORE_MS, Burst, Shares};
use super::spread::{Spread, SpreadFigures};
use crate::capture::{LINKS_MAX, Lane, LinkId};
use crate::meter::bins::{Bin, LaneBins, Speeds};
use crate::worker::look::{Answer, Ask, Window};
use crate::worker::outbox::BinCut;
use crate::worker::{LargeVec, Reading};
use crossbeam_channel::Sender;
use std::cmp::Reverse;
use std::sync::Arc;

/// Milliseconds of a lane that are kept: a minute, and some that have not closed.
const KEPT: usize = 1 << 16;
/// Bursts that are told of in one interval; of more the largest.
const TOLD_MAX: usize = 4096;
/// Bursts that wait for answers; beyond that they are told with what is known.
const WAITING_MAX: usize = 1024;

/// What the aggregator is told of milliseconds at start.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What a burst is.
    pub limits: Limits,
    /// Speeds of the links; they may change while the run goes on.
    pub speeds: Arc<Speeds>,
    /// Links that share a load.
    pub sets: LinkSets,
    /// What classes are.
    pub classes: Arc<Classes>,
    /// Culprits of each kind that a burst tells of.
    pub culprits: usize,
    /// Workers wait at each hand-over (files).
    pub workers_wait: bool,
}

/// One lane.
struct LaneMillis {
    /// By millisecond, modulo [`KEPT`].
    ring: LargeVec<[u32; 3]>,
    /// One behind the last millisecond that the ring has room for now.
    until_ms: u64,
    /// The first that was ever counted.
    first_ms: u64,
    of_interval: Spread,
    of_run: Spread,
    detector: Detector,
    /// Number of the burst under way, once anything was asked of it.
    asked: Option<u64>,
    /// Milliseconds of the burst under way before this were asked for.
    asked_until_ms: u64,
}

impl LaneMillis {
    fn new(first_ms: u64) -> LaneMillis {
        LaneMillis {
            ring: LargeVec::zeroed(KEPT, Reading::InOrder),
            until_ms: first_ms,
            first_ms,
            of_interval: Spread::default(),
            of_run: Spread::default(),
            detector: Detector::default(),
            asked: None,
            asked_until_ms: 0,
        }
    }

    fn add(&mut self, ms: u64, bin: &Bin) {
        if ms >= self.until_ms {
            let fresh = (ms + 1 - self.until_ms).min(KEPT as u64);
            (ms + 1 - fresh..=ms).for_each(|ms| self.ring[ms as usize % KEPT] = [0; 3]);
            self.until_ms = ms + 1;
        }
        self.first_ms = self.first_ms.min(ms);
        let mut sum = self.bin(ms);
        sum.add(bin);
        self.ring[ms as usize % KEPT] = [sum.line_bytes, sum.bytes, sum.packets];
    }

    /// What began in a millisecond; nothing where it is not kept any more.
    fn bin(&self, ms: u64) -> Bin {
        let kept = ms < self.until_ms && ms >= self.first_ms && self.until_ms - ms <= KEPT as u64;
        let [line_bytes, bytes, packets] = if kept { self.ring[ms as usize % KEPT] } else { [0; 3] };
        Bin { line_bytes, bytes, packets }
    }
}

/// A burst that has been asked for.
struct Waiting {
    number: u64,
    lane: Lane,
    shares: Shares,
    before_ms: u64,
    /// Questions without all their answers.
    questions: usize,
    /// When it is over: what it was, and whether the run's end cut it off.
    ended: Option<(Span, bool)>,
}

/// A burst by its number; they come and stay in that order.
fn of_number(waiting: &mut [Waiting], number: u64) -> Option<&mut Waiting> {
    let at = waiting.binary_search_by_key(&number, |waiting| waiting.number).ok()?;
    waiting.get_mut(at)
}

/// A question under way: a window for each of these bursts.
struct Question {
    number: u64,
    /// Burst and whether what came before was asked for too.
    of: Vec<(u64, bool)>,
    answers_missing: usize,
}

/// One worker, seen from here.
struct Worker {
    asks: Sender<Ask>,
    until_ms: u64,
    /// It has stopped, or is gone.
    last: bool,
    gone: bool,
    /// It waits to be told to go on.
    waits: bool,
    /// Times that its clock was set back.
    set_backs: u64,
    /// Questions that it has not answered.
    owes: Vec<u64>,
}

/// See the module's description.
pub struct Millis {
    wanted: Wanted,
    workers: Vec<Worker>,
    lanes: Vec<Option<Box<LaneMillis>>>,
    /// Milliseconds before this have been looked at.
    closed_ms: u64,
    /// The first that was looked at; None before any.
    begun_ms: Option<u64>,
    /// Begin of the interval that figures are told of next.
    interval_ms: u64,
    waiting: Vec<Waiting>,
    questions: Vec<Question>,
    numbers: u64,
    /// By set and direction.
    asymmetries: Vec<[u64; 2]>,
    bursts: Vec<Burst>,
    bursts_lost: u64,
    /// Times that the clock was set back.
    set_backs: u64,
    /// Milliseconds of the interval and of the run before it was.
    gone_ms: [u64; 2],
}

/// Both directions of a link: of the interval, since the start.
pub type LinkSpreads = [[SpreadFigures; 2]; 2];

impl Millis {
    /// One channel for questions a worker.
    pub fn new(wanted: Wanted, asks: Vec<Sender<Ask>>) -> Millis {
        let worker = |asks| Worker {
            asks,
            until_ms: 0,
            last: false,
            gone: false,
            waits: false,
            set_backs: 0,
            owes: Vec::new(),
        };
        Millis {
            wanted,
            workers: asks.into_iter().map(worker).collect(),
            lanes: (0..2 * LINKS_MAX).map(|_| None).collect(),
            closed_ms: 0,
            begun_ms: None,
            interval_ms: 0,
            waiting: Vec::new(),
            questions: Vec::new(),
            numbers: 0,
            asymmetries: Vec::new(),
            bursts: Vec::new(),
            bursts_lost: 0,
            set_backs: 0,
            gone_ms: [0; 2],
        }
    }

    /// The run began in this millisecond (live); files begin with their first packet.
    pub fn begin_at(&mut self, ms: u64) {
        self.begun_ms = Some(ms);
        self.closed_ms = ms;
        self.interval_ms = ms;
    }

    /// Milliseconds of a worker.
    pub fn take(&mut self, number: usize, cut: BinCut) {
        let Some(worker) = self.workers.get_mut(number) else { return };
        worker.until_ms = cut.until_ms;
        worker.last = cut.last;
        worker.waits = cut.last || self.wanted.workers_wait;
        // Of a time that ended when another worker's clock was set back there is
        // nothing to add to any more.
        let old = worker.set_backs < self.set_backs;
        worker.set_backs += u64::from(cut.set_back);
        for lane in cut.lanes.iter().filter(|_| !old) {
            self.add(lane);
        }
        if cut.set_back && !old {
            self.begin_anew(cut.until_ms);
        }
        self.go_on();
    }

    /// The clock was set back to this millisecond.
    fn begin_anew(&mut self, ms: u64) {
        let ends = self.lanes.iter().flatten().map(|millis| millis.until_ms);
        self.close(ends.max().unwrap_or(self.closed_ms).max(self.closed_ms));
        self.end_all(false);
        self.set_backs += 1;
        let begun_ms = self.begun_ms.replace(ms).unwrap_or(self.closed_ms);
        self.gone_ms[0] += self.closed_ms.saturating_sub(self.interval_ms.max(begun_ms));
        self.gone_ms[1] += self.closed_ms.saturating_sub(begun_ms);
        self.closed_ms = ms;
        self.interval_ms = ms;
    }

    fn add(&mut self, told: &LaneBins) {
        let begun = self.begun_ms.get_or_insert(told.first_ms);
        *begun = (*begun).min(told.first_ms);
        let place = &mut self.lanes[told.lane.index() % (2 * LINKS_MAX)];
        let millis = place.get_or_insert_with(|| Box::new(LaneMillis::new(told.first_ms)));
        for (ms, bin) in (told.first_ms..).zip(&told.bins).filter(|(_, bin)| bin.packets > 0) {
            // Never before what has been looked at: sums stay whole.
            millis.add(ms.max(self.closed_ms), bin);
        }
    }

    /// A worker is gone without a word.
    pub fn lose(&mut self, number: usize) {
        let Some(worker) = self.workers.get_mut(number) else { return };
        (worker.last, worker.gone) = (true, true);
        for question in std::mem::take(&mut worker.owes) {
            self.answered(question);
        }
        self.go_on();
    }

    /// A worker's answer.
    pub fn answer(&mut self, number: usize, answer: &Answer) {
        if let Some(worker) = self.workers.get_mut(number) {
            worker.owes.retain(|&question| question != answer.number);
        }
        if let Some(question) = self.questions.iter().find(|question| question.number == answer.number) {
            for (&(burst, with_before), seen) in question.of.iter().zip(&answer.seen) {
                let waiting = of_number(&mut self.waiting, burst);
                waiting.into_iter().for_each(|waiting| waiting.shares.add(seen, with_before));
            }
        }
        self.answered(answer.number);
        self.go_on();
    }

    fn answered(&mut self, number: u64) {
        let Some(at) = self.questions.iter().position(|question| question.number == number) else { return };
        self.questions[at].answers_missing -= 1;
        if self.questions[at].answers_missing > 0 {
            return;
        }
        for (burst, _) in self.questions.swap_remove(at).of {
            of_number(&mut self.waiting, burst).into_iter().for_each(|waiting| waiting.questions -= 1);
        }
    }

    /// Looks at what has closed, asks, tells of bursts that are whole, and lets
    /// workers go on that need not wait any more.
    fn go_on(&mut self) {
        // One whose clock has not been set back yet is behind all that begin anew.
        let set_backs = self.set_backs;
        let until = |worker: &Worker| if worker.set_backs < set_backs { 0 } else { worker.until_ms };
        let going = self.workers.iter().filter(|worker| !worker.last).map(until);
        let all_last = self.workers.iter().all(|worker| worker.last);
        let closed = if all_last && self.wanted.workers_wait {
            // A file ends with the last thing that began in it, not where an interval would have ended.
            self.lanes.iter().flatten().map(|millis| millis.until_ms).max()
        } else if all_last {
            self.workers.iter().filter(|worker| !worker.gone).map(|worker| worker.until_ms).max()
        } else {
            going.min()
        };
        if let Some(closed) = closed.filter(|&closed| closed > self.closed_ms) {
            self.close(closed);
        }
        if all_last {
            self.end_all(true);
        }
        self.tell_of_bursts();
        if self.questions.is_empty() {
            let closed_ms = self.closed_ms;
            for worker in self.workers.iter_mut().filter(|worker| worker.waits) {
                if all_last || !worker.last && worker.until_ms <= closed_ms {
                    worker.waits = false;
                    let _ = worker.asks.try_send(Ask::GoOn);
                }
            }
        }
    }

    /// Milliseconds before this one are whole.
    fn close(&mut self, until_ms: u64) {
        let mut windows = Vec::new();
        let first = self.begun_ms.unwrap_or(until_ms);
        for number in 0..self.lanes.len() {
            let Some(mut millis) = self.lanes[number].take() else { continue };
            let lane = Lane(number as u8);
            let (limits, speed) = (self.wanted.limits, self.wanted.speeds.of(lane.link()));
            let begin = self.closed_ms.max(millis.first_ms).max(millis.until_ms.saturating_sub(KEPT as u64));
            for ms in begin..until_ms.min(millis.until_ms) {
                let bin = millis.bin(ms);
                if bin.packets == 0 {
                    continue;
                }
                millis.of_interval.record(bin.line_bits(), speed);
                millis.of_run.record(bin.line_bits(), speed);
                if let Some(ended) = millis.detector.step(ms, &bin, &limits, speed) {
                    self.end_burst(lane, &mut millis, ended, false, first, &mut windows);
                }
            }
            if let Some(ended) = millis.detector.pass(until_ms, &limits, speed) {
                self.end_burst(lane, &mut millis, ended, false, first, &mut windows);
            }
            if let Some(&under_way) = millis.detector.under_way() {
                self.ask_for(lane, &mut millis, &under_way, true, first, &mut windows);
            }
            self.lanes[number] = Some(millis);
        }
        self.compare(self.closed_ms, until_ms);
        self.closed_ms = until_ms;
        self.ask(windows);
    }

    /// Milliseconds in which one link of a set was full and another was not.
    fn compare(&mut self, from_ms: u64, until_ms: u64) {
        let sets = self.wanted.sets.load_full();
        self.asymmetries.resize(sets.len(), [0; 2]);
        for (set, asymmetries) in sets.iter().zip(&mut self.asymmetries) {
            for (direction, sum) in asymmetries.iter_mut().enumerate() {
                let lane = |&link: &LinkId| {
                    let speed = self.wanted.speeds.of(link)?;
                    let millis = self.lanes.get(2 * usize::from(link) + direction)?.as_deref();
                    Some((speed, millis))
                };
                // Without all speeds nothing can be said.
                let Some(lanes) = set.links.iter().map(lane).collect::<Option<Vec<_>>>() else { continue };
                let ends = lanes.iter().filter_map(|(_, millis)| Some(millis.as_ref()?.until_ms)).max();
                let from_ms = from_ms.max(until_ms.saturating_sub(KEPT as u64));
                for ms in from_ms..until_ms.min(ends.unwrap_or(0)) {
                    let percent = |&(speed, millis): &(u64, Option<&LaneMillis>)| {
                        let bits = millis.map_or(0, |millis| millis.bin(ms).line_bits());
                        u128::from(bits) * 100_000 / u128::from(speed)
                    };
                    let (least, most) = lanes
                        .iter()
                        .map(percent)
                        .fold((u128::MAX, 0), |(least, most), one| (least.min(one), most.max(one)));
                    *sum += u64::from(most >= 90 && least < 50);
                }
            }
        }
    }

    /// Set, direction and milliseconds since this was asked last.
    pub fn take_asymmetries(&mut self) -> Vec<(usize, usize, u64)> {
        let each = self.asymmetries.drain(..).enumerate();
        each.flat_map(|(set, [rx, tx])| [(set, 0, rx), (set, 1, tx)]).collect()
    }

    /// Nothing follows, or time begins anew: what is under way ends.
    fn end_all(&mut self, open: bool) {
        let mut windows = Vec::new();
        let first = self.begun_ms.unwrap_or(0);
        for number in 0..self.lanes.len() {
            let Some(mut millis) = self.lanes[number].take() else { continue };
            if let Some(ended) = millis.detector.end() {
                self.end_burst(Lane(number as u8), &mut millis, ended, open, first, &mut windows);
            }
            self.lanes[number] = Some(millis);
        }
        self.ask(windows);
        if !open {
            self.lanes.iter_mut().flatten().for_each(|millis| {
                let spreads = (std::mem::take(&mut millis.of_interval), std::mem::take(&mut millis.of_run));
                **millis = LaneMillis::new(0);
                (millis.of_interval, millis.of_run) = spreads;
            });
        }
    }

    fn end_burst(
        &mut self,
        lane: Lane,
        millis: &mut LaneMillis,
        burst: Span,
        open: bool,
        first_ms: u64,
        windows: &mut Vec<(u64, bool, Window)>,
    ) {
        if burst.until_ms - burst.from_ms >= self.wanted.limits.least_ms {
            self.ask_for(lane, millis, &burst, false, first_ms, windows);
        }
        let Some(number) = millis.asked.take() else {
            self.bursts_lost += u64::from(burst.until_ms - burst.from_ms >= self.wanted.limits.least_ms);
            return;
        };
        if burst.until_ms - burst.from_ms < self.wanted.limits.least_ms {
            self.waiting.retain(|waiting| waiting.number != number);
        } else if let Some(waiting) = of_number(&mut self.waiting, number) {
            waiting.ended = Some((burst, open));
        }
    }

    /// What of a burst has not been asked for yet.
    fn ask_for(
        &mut self,
        lane: Lane,
        millis: &mut LaneMillis,
        burst: &Span,
        goes_on: bool,
        first_ms: u64,
        windows: &mut Vec<(u64, bool, Window)>,
    ) {
        let (number, from_ms, before_ms) = match millis.asked {
            Some(number) => (number, millis.asked_until_ms, None),
            None => {
                if self.waiting.len() >= WAITING_MAX {
                    return;
                }
                self.numbers += 1;
                let before_ms = (burst.from_ms.saturating_sub(first_ms)).min(BEFORE_MS);
                self.waiting.push(Waiting {
                    number: self.numbers,
                    lane,
                    shares: Shares::default(),
                    before_ms,
                    questions: 0,
                    ended: None,
                });
                millis.asked = Some(self.numbers);
                (self.numbers, burst.from_ms, Some(before_ms))
            }
        };
        millis.asked_until_ms = burst.until_ms;
        if from_ms < burst.until_ms {
            let before_ms = from_ms - before_ms.unwrap_or(0);
            let (until_ms, era) = (burst.until_ms, self.set_backs);
            let window = Window { lane, before_ms, from_ms, until_ms, era, goes_on };
            windows.push((number, before_ms < from_ms, window));
        }
    }

    fn ask(&mut self, windows: Vec<(u64, bool, Window)>) {
        if windows.is_empty() {
            return;
        }
        self.numbers += 1;
        let number = self.numbers;
        let asked: Arc<[Window]> = windows.iter().map(|(_, _, window)| *window).collect();
        let mut answers_missing = 0;
        for worker in self.workers.iter_mut().filter(|worker| !worker.gone) {
            // Live a worker that does not come to answer is asked no more: its
            // share is told to be missing.
            if worker.asks.try_send(Ask::Look { number, windows: asked.clone() }).is_ok() {
                worker.owes.push(number);
                answers_missing += 1;
            }
        }
        if answers_missing == 0 {
            return;
        }
        let of: Vec<(u64, bool)> = windows.iter().map(|&(burst, before, _)| (burst, before)).collect();
        for (burst, _) in &of {
            of_number(&mut self.waiting, *burst).into_iter().for_each(|waiting| waiting.questions += 1);
        }
        self.questions.push(Question { number, of, answers_missing });
    }

    /// Bursts that are over and of which everything is known.
    fn tell_of_bursts(&mut self) {
        let whole = |waiting: &mut Waiting| waiting.questions == 0 && waiting.ended.is_some();
        let told: Vec<Waiting> = self.waiting.extract_if(.., whole).collect();
        for waiting in told {
            let Some((span, open)) = waiting.ended else { continue };
            let lane = waiting.lane;
            let burst = waiting.shares.tell(
                lane,
                &span,
                waiting.before_ms,
                self.wanted.culprits,
                &self.wanted.classes,
            );
            let speed = self.wanted.speeds.of(lane.link());
            let others = self.others(lane, &span);
            self.bursts.push(Burst { speed, open, others, ..burst });
            if self.bursts.len() >= 2 * TOLD_MAX {
                self.keep_largest();
            }
        }
    }

    /// Line bits of the other links in the same direction, as far as they are kept;
    /// of those that share the load also where they never had a packet.
    fn others(&self, lane: Lane, span: &Span) -> Vec<(LinkId, u64)> {
        let lanes =
            (0u8..).zip(&self.lanes).filter_map(|(number, millis)| Some((Lane(number), millis.as_ref()?)));
        let others = lanes.filter(|(other, _)| *other != lane && other.direction() == lane.direction());
        let from_ms = span.from_ms.max(span.until_ms.saturating_sub(KEPT as u64));
        let bits = |millis: &LaneMillis| (from_ms..span.until_ms).map(|ms| millis.bin(ms).line_bits()).sum();
        let mut others: Vec<_> = others.map(|(other, millis)| (other.link(), bits(millis))).collect();
        let sets = self.wanted.sets.load();
        let mates = sets.iter().filter(|set| !set.met_only && set.links.contains(&lane.link()));
        for &mate in mates.flat_map(|set| &set.links).filter(|&&mate| mate != lane.link()) {
            if others.iter().all(|(known, _)| *known != mate) {
                others.push((mate, 0));
            }
        }
        others.sort_unstable_by_key(|(link, _)| *link);
        others
    }

    /// Bursts of one interval are bounded: the largest stay.
    #[cold]
    fn keep_largest(&mut self) {
        self.bursts.sort_by_key(|burst| (Reverse(burst.sums.line_bits), burst.from_ms, burst.lane));
        self.bursts_lost += (self.bursts.len() - TOLD_MAX) as u64;
        self.bursts.truncate(TOLD_MAX);
    }

    /// Bursts that have become whole since, in the order of their beginning.
    pub fn take_bursts(&mut self) -> Vec<Burst> {
        let mut bursts = std::mem::take(&mut self.bursts);
        bursts.sort_by_key(|burst| (burst.from_ms, burst.lane));
        bursts
    }

    /// Bursts that were not told of: too many waited for answers.
    pub fn bursts_lost(&self) -> u64 {
        self.bursts_lost
    }

    /// So many milliseconds behind the interval that was told of last are left
    /// out, as it is where time jumps: the next one begins later.
    pub fn skip(&mut self, milliseconds: u64) {
        self.interval_ms = self.interval_ms.saturating_add(milliseconds);
    }

    /// Spreads of each link's directions, of the interval that ends here and
    /// since the start. `end_ms`: end of the run, where it ended by the clock.
    pub fn spreads(&mut self, links: usize, end_ms: Option<u64>) -> Vec<LinkSpreads> {
        let begun_ms = self.begun_ms.unwrap_or(self.closed_ms);
        let end_ms = end_ms.unwrap_or(self.closed_ms).max(begun_ms);
        let interval = end_ms.saturating_sub(self.interval_ms.max(begun_ms)) + self.gone_ms[0];
        let run = end_ms - begun_ms + self.gone_ms[1];
        self.gone_ms[0] = 0;
        self.interval_ms = self.closed_ms;
        let speeds = self.wanted.speeds.clone();
        let mut of = |link: usize, direction: usize| {
            let speed = speeds.of(link as LinkId);
            match self.lanes.get_mut(2 * link + direction).and_then(Option::as_mut) {
                Some(millis) => {
                    let figures =
                        [millis.of_interval.figures(interval, speed), millis.of_run.figures(run, speed)];
                    millis.of_interval.clear();
                    figures
                }
                None => [interval, run].map(|milliseconds| Spread::default().figures(milliseconds, speed)),
            }
        };
        let both = |link| {
            let [[rx_now, rx_all], [tx_now, tx_all]] = [0, 1].map(|direction| of(link, direction));
            [[rx_now, tx_now], [rx_all, tx_all]]
        };
        (0..links).map(both).collect()
    }
}
