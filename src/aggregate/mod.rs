//! Cuts of the workers into snapshots.
//!
//! One thread. It takes each worker's records up to a boundary, then, when all
//! workers have cut there, publishes a snapshot: totals and the rows that the
//! views ask for, never a copy of a table. A flow is known by its worker and
//! slot, so a record is an array access; what a cut costs depends on how many
//! flows were touched, not on how many are open. A snapshot is one immutable
//! object: who wants only the latest has it by a pointer ([`Handle`]), and asks
//! for other rows by a message that is taken at the next boundary.
//!
//! Records are cumulative: what a row gained is the difference to what it had.
//! The same differences are summed by lane and compared with the totals that
//! the workers counted on another way (accounting's first identity).
//!
//! Knows records, links by number, views; does not know names, rings or outputs.

pub mod ask;
pub mod balance;
mod best;
pub mod burst;
pub mod classes;
pub mod culprit;
pub mod destination;
pub mod flood;
pub mod group;
pub mod hidden;
pub mod millis;
pub mod openings;
mod rows;
mod run_rows;
mod sight;
pub mod sliding;
pub mod snapshot;
pub mod spread;
mod sums;
mod verdicts;
pub mod view;
mod wanted;
pub mod watch;
pub mod window;

use crate::capture::LINKS_MAX;
use crate::flow::entry::mark;
use crate::flow::record::{Account, Buffer, EndReason};
use crate::flow::table::TableStats;
use crate::meter::bins::BIN_NS;
use crate::meter::totals::{Count, LaneTotals};
use crate::worker::outbox::{Cut, Inbox, LaneMark, Message, RingFigures};
use ask::Asked;
pub use ask::Handle;
use crossbeam_channel::{Select, TryRecvError, after};
use destination::Collector;
use flood::Flood;
use group::{Groups, Stock};
use hidden::{Hidden, HiddenSums};
use millis::Millis;
use openings::Opener;
use rows::{Rows, Told};
use run_rows::{Keeper, Selected};
use snapshot::{CaptureFigures, Fault, InterfaceFigures, Snapshot};
use std::sync::Arc;
use std::time::Duration;
use view::{View, Views};
use watch::Watcher;
use window::{Calendar, History};

/// Flows that ended in one interval whose accounts are kept, live: some 100 MiB;
/// as many sessions, some 40 MiB.
/// What is left at the end of the run is not counted among them.
const ACCOUNTS_MAX: usize = 1 << 18;
/// Empty intervals after which every average is that of silence.
const SILENCE: u64 = 410;

/// What the aggregator has to know at start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Length of an interval, ns; 0 for one interval over all.
    pub interval_ns: u64,
    /// Rows that outputs want in every snapshot.
    pub views: Views,
    /// Whether rows have averages over the last seconds; interfaces always do.
    pub averages: bool,
    /// How long the others are waited for when one worker has cut, live; None
    /// waits for ever (files).
    pub patience: Option<Duration>,
    /// Most flows of a worker: address space for so many rows.
    pub flows_max: usize,
}

/// One worker, seen from here.
struct Source {
    inbox: Inbox,
    rows: Rows,
    /// Records of the next interval, while the rows of the last one stay.
    // In their boxes, as they go back so.
    #[allow(clippy::vec_box)]
    held: Vec<Box<Buffer>>,
    /// Its figures at its latest cut.
    cut: Cut,
    /// Moments noted by it that not all have noted yet.
    marks: Vec<LaneMark>,
    ended: bool,
}

impl Source {
    /// Whether it has not cut at a boundary that has not been told yet: it is listened to.
    fn is_heard(&self, boundary_ns: u64) -> bool {
        !self.ended && self.cut.run_ns() <= boundary_ns
    }
}

/// See the module's description.
pub struct Aggregator {
    config: Config,
    sources: Vec<Source>,
    groups: Groups,
    /// Sums of flows by lane, from records.
    flows_by_lane: Vec<Count>,
    /// Totals at the last snapshot.
    earlier: Vec<LaneTotals>,
    earlier_rings: Vec<RingFigures>,
    earlier_table: TableStats,
    /// As the last snapshot told it; wanted where lists leave something out.
    hidden: HiddenSums,
    accounts: Vec<Account>,
    accounts_lost: u64,
    watcher: Watcher,
    destinations: Collector,
    run_rows: Option<Keeper>,
    openings: Opener,
    flood: Flood,
    /// On a clock that was never set back.
    boundary_ns: u64,
    set_back_ns: u64,
    start_ns: Option<u64>,
    faults: Vec<Fault>,
    /// A worker is gone without its last cut: nothing adds up any more.
    incomplete: bool,
    /// Rows stay when the run is over.
    stays: bool,
    /// Snapshots have accounts, where workers send any.
    tells_accounts: bool,
    /// How long closed connections are shown, tenths of a second; None as long as they are there.
    linger: Option<u32>,
    calendar: Calendar,
    /// Of each link.
    histories: Vec<History>,
    /// Missing bytes that intervals have told of, of each link.
    missing_told: Vec<u64>,
    /// Where milliseconds are wanted.
    millis: Option<Millis>,
    asked: Asked,
}

impl Aggregator {
    /// One inbox a worker.
    pub fn new(config: Config, inboxes: Vec<Inbox>) -> Aggregator {
        let sources: Vec<Source> = inboxes
            .into_iter()
            .map(|inbox| Source {
                inbox,
                rows: Rows::new(config.flows_max, config.averages),
                held: Vec::new(),
                cut: Cut::default(),
                marks: Vec::new(),
                ended: false,
            })
            .collect();
        let mut groups = Groups::new(config.averages);
        for (each_link, view) in views_of(&config.views) {
            groups.keep(each_link, view, window::Calendar::default().now());
        }
        Aggregator {
            groups,
            config,
            sources,
            flows_by_lane: vec![Count::default(); 2 * LINKS_MAX],
            earlier: vec![LaneTotals::default(); 2 * LINKS_MAX],
            earlier_rings: Vec::new(),
            earlier_table: TableStats::default(),
            hidden: HiddenSums::default(),
            accounts: Vec::new(),
            accounts_lost: 0,
            watcher: Watcher::default(),
            destinations: Collector::default(),
            run_rows: None,
            openings: Opener::default(),
            flood: Flood::default(),
            boundary_ns: 0,
            set_back_ns: 0,
            start_ns: None,
            faults: Vec::new(),
            incomplete: false,
            stays: false,
            tells_accounts: true,
            linger: None,
            calendar: Calendar::default(),
            histories: vec![History::new(0); LINKS_MAX],
            missing_told: vec![0; LINKS_MAX],
            millis: None,
            asked: Asked::default(),
        }
    }

    /// Takes everything up to the next boundary and says how things stand
    /// there. None when all workers have stopped and all has been told.
    pub fn next_snapshot(&mut self) -> Option<Arc<Snapshot>> {
        if self.sources.iter().all(|source| source.ended) {
            return None;
        }
        let late = self.take_until_cuts();
        self.begin_interval();
        let last = self.sources.iter().all(|source| source.ended);
        let cuts = self.sources.iter().filter(|source| last || !source.ended).map(|source| &source.cut);
        // Who is late stands at an earlier boundary, or at none yet.
        let cuts = cuts.filter(|cut| last || cut.run_ns() > self.boundary_ns);
        let boundaries = cuts.map(|cut| (cut.run_ns(), cut.set_back_ns));
        let boundary = if last { boundaries.max() } else { boundaries.min() };
        let earlier_ns = self.boundary_ns;
        let (boundary_ns, set_back_ns) = boundary.unwrap_or((0, 0));
        self.boundary_ns = boundary_ns.max(self.boundary_ns);
        self.set_back_ns = set_back_ns.max(self.set_back_ns);
        let span_ns = match self.config.patience {
            Some(_) => self.boundary_ns - earlier_ns,
            None => self.config.interval_ns,
        };
        self.take_requests();
        let snapshot = Arc::new(self.snapshot(span_ns, last, late));
        // Live an interval begins where the one before ended, but for what was left out.
        self.boundary_ns = self
            .boundary_ns
            .saturating_add(snapshot.skipped_intervals.saturating_mul(self.config.interval_ns));
        self.asked.tell(&snapshot);
        self.answer_beside();
        Some(snapshot)
    }

    /// Takes what workers say until each has cut at a boundary that has not been
    /// told yet; the numbers of those that had not when patience was over. Live
    /// that begins with the first one's cut: it is the pace. All are listened to
    /// at once: a worker that has to wait for an empty buffer (files) would hold
    /// up the reader, and that the others.
    fn take_until_cuts(&mut self) -> Vec<usize> {
        let mut alarm = None;
        loop {
            let is_heard = |number: &usize| self.sources[*number].is_heard(self.boundary_ns);
            let waiting: Vec<usize> = (0..self.sources.len()).filter(is_heard).collect();
            if waiting.is_empty() {
                return waiting;
            }
            let some_have_cut = waiting.len() < self.sources.iter().filter(|source| !source.ended).count();
            if alarm.is_none() && some_have_cut {
                alarm = self.config.patience.map(after);
            }
            let mut select = Select::new();
            for &number in &waiting {
                select.recv(&self.sources[number].inbox.messages);
            }
            let alarm = alarm.as_ref().map(|alarm| select.recv(alarm));
            let asked = self.asked.waiting().map(|requests| select.recv(requests));
            let ready = if self.asked.is_behind() { select.try_ready() } else { Ok(select.ready()) };
            drop(select);
            let Ok(ready) = ready else {
                self.go_on();
                continue;
            };
            match ready {
                ready if Some(ready) == alarm => return waiting,
                ready if Some(ready) == asked => self.answer_requests(),
                ready => self.take_ready(waiting[ready]),
            }
        }
    }

    /// Applies what a worker has said so far, up to its next cut.
    fn take_ready(&mut self, number: usize) {
        loop {
            match self.sources[number].inbox.messages.try_recv() {
                Ok(Message::Records(buffer)) => self.take_in_or_hold(number, buffer),
                Ok(Message::Cut(cut)) => {
                    self.begin_interval();
                    let source = &mut self.sources[number];
                    source.ended = cut.last;
                    source.cut = *cut;
                    source.marks.append(&mut source.cut.marks);
                    return;
                }
                Ok(Message::Bins(bins)) => {
                    if let Some(millis) = &mut self.millis {
                        millis.take(number, *bins);
                    }
                }
                Ok(Message::Answer(answer)) => {
                    if let Some(millis) = &mut self.millis {
                        millis.answer(number, &answer);
                    }
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    // A worker that went without its last cut has panicked.
                    self.sources[number].ended = true;
                    self.incomplete = true;
                    self.faults.push(Fault::WorkerGone { worker: number });
                    if let Some(millis) = &mut self.millis {
                        millis.lose(number);
                    }
                    return;
                }
            }
        }
    }

    /// Other rows from this boundary on. A grouping that was not kept so far
    /// begins with what the flows have had that are open now.
    fn show(&mut self, views: Views) {
        for (each_link, view) in views_of(&views) {
            self.begin_group(each_link, view);
        }
        self.config.views = views;
    }

    fn begin_group(&mut self, each_link: bool, view: &View) {
        if self.groups.keep(each_link, view, self.calendar.now()) {
            for source in &self.sources {
                source.rows.each(false, |sight| {
                    sight.each_lane(|side, lane, had| {
                        self.groups.take_in(sight.row, side, lane, had);
                    })
                });
            }
        }
    }

    fn apply(&mut self, number: usize, mut buffer: Box<Buffer>) {
        let source = &mut self.sources[number];
        let of_run = self.run_rows.as_ref().map_or(0, |keeper| keeper.kept().1.limit);
        let kept = self.config.views.rows_kept().max(of_run);
        let hear = |told: Told| match told {
            // Who was seen from the SYN/ACK on is in no figure of handshakes.
            Told::HalfOpen(_, row) if row.marks & mark::ROLE_SYN == 0 => {}
            Told::HalfOpen(slot, row) => {
                self.watcher.open((number, slot), &row.key, row.client_second, row.lanes);
            }
            Told::Decided(slot) => self.watcher.close((number, slot)),
            Told::Ended(row, ended) => {
                self.destinations.end(&row.key, row.client_second, row.lanes, ended);
            }
        };
        source.rows.apply(&mut buffer, &mut self.flows_by_lane, &mut self.groups, kept, hear);
        buffer.accounts.retain(|account| self.tells_accounts && !self.hidden.has(account.entry.marks));
        let most = if self.config.patience.is_some() { ACCOUNTS_MAX } else { usize::MAX };
        if self.accounts.len() + buffer.accounts.len() <= most {
            self.accounts.append(&mut buffer.accounts);
        } else {
            for account in buffer.accounts.drain(..) {
                match self.accounts.len() < most || account.reason == EndReason::Open {
                    true => self.accounts.push(account),
                    false => self.accounts_lost += 1,
                }
            }
        }
        self.watcher.take(&buffer.sessions, most);
        self.openings.take(&buffer.sessions);
        self.flood.take(&buffer.sessions);
        self.destinations.take(&buffer.sessions, &buffer.exchanges);
        buffer.clear();
        // The worker may have gone already.
        let _ = source.inbox.empties.try_send(buffer);
    }

    fn snapshot(&mut self, interval_ns: u64, last: bool, late_workers: Vec<usize>) -> Snapshot {
        let totals = self.lane_totals();
        let whole = self.sources.iter().all(|source| source.cut.whole) && late_workers.is_empty();
        if whole {
            self.compare(&totals);
        }
        let rings = self.ring_totals();
        let table = self.table_totals();
        // Of all workers: where one only has left them out, another has counted in them.
        let going_on = self.sources.iter_mut().filter(|source| !source.ended);
        let skipped = going_on.map(|source| std::mem::take(&mut source.cut.skipped)).min().unwrap_or(0);
        self.keep_averages(&totals, interval_ns, skipped);
        if last {
            self.calendar.close();
        }
        let interfaces = self.interfaces(&totals, &rings);
        let hidden = self.tell_hidden();
        let first = self.sources.iter().filter_map(|source| source.cut.first_ns).min();
        let latest = self.sources.iter().map(|source| source.cut.last_ns).max().unwrap_or(0);
        // A file ends with its last packet.
        let end_ns = if self.config.patience.is_some() { self.boundary_ns } else { latest };
        let end_ms = (last && self.config.patience.is_some()).then_some(end_ns / BIN_NS + 1);
        let left_out_ms = skipped.saturating_mul(interval_ns) / BIN_NS;
        let links = self.side_by_side(&totals, interfaces.len(), end_ms, left_out_ms);
        self.start_ns = self.start_ns.or(first);
        let start_ns = self.start_ns.unwrap_or(self.boundary_ns);
        let rows_whole = self.look_at_flows(if last { usize::MAX } else { ask::LOOKS });
        let Selected { rows, found: rows_found, link_rows, run_rows } = self.choose_rows(&interfaces, last);
        let groups_folded = self.groups.take_folded();
        self.end_interval(last);
        let snapshot = Snapshot {
            time_ns: self.boundary_ns.saturating_sub(self.set_back_ns),
            start_ns,
            end_ns: if self.config.patience.is_some() { self.boundary_ns } else { latest.max(start_ns) },
            interval_ns,
            interfaces,
            table_interval: sums::difference(&table, &self.earlier_table),
            table,
            ethertypes: self.ethertypes(),
            rows,
            rows_found,
            rows_number: self.asked.number(),
            rows_whole,
            link_rows,
            hidden,
            accounts: self.take_accounts(),
            marks: self.take_marks(),
            skipped_intervals: skipped,
            late_packets: self.sources.iter().map(|source| source.cut.late_packets).sum(),
            late_workers,
            groups_folded,
            accounts_lost: std::mem::take(&mut self.accounts_lost),
            handshakes: self.watcher.tell(),
            incomplete: self.flood.tell(),
            destinations: self.destinations.tell(),
            balances: links.balances,
            spreads: links.spreads,
            bursts: links.bursts,
            bursts_lost: links.bursts_lost,
            run_rows,
            faults: std::mem::take(&mut self.faults),
            last,
        };
        self.earlier = totals;
        self.earlier_rings = rings;
        // A RST that is taken back opens what was closed: its second end is not told again.
        let closed = table.closed.max(self.earlier_table.closed);
        self.earlier_table = TableStats { closed, ..table };
        snapshot
    }

    /// Flows that ended, in the order of their lines.
    fn take_accounts(&mut self) -> Vec<Account> {
        let mut accounts = std::mem::take(&mut self.accounts);
        accounts.sort_by_cached_key(snapshot::account_order);
        accounts
    }

    /// The rows that views ask for: over all interfaces, how many those were
    /// chosen from, of each interface.
    fn choose_rows(&mut self, interfaces: &[InterfaceFigures], last: bool) -> Selected {
        let stock = Stock {
            rows: self.sources.iter().map(|source| &source.rows).collect(),
            groups: &self.groups,
            interfaces,
            calendar: &self.calendar,
            now: self.now(),
            linger: self.linger,
        };
        Selected::of(&self.config.views, self.run_rows.as_mut(), &stock, last)
    }

    fn tell_hidden(&mut self) -> Option<Hidden> {
        self.hidden.told(&self.hidden)?;
        let mut now = HiddenSums::wanted();
        self.sources.iter().for_each(|source| now.add(&source.rows.hidden));
        let earlier = std::mem::replace(&mut self.hidden, now);
        self.hidden.told(&earlier)
    }

    /// What the interval brought goes into the histories that averages are made of.
    fn keep_averages(&mut self, totals: &[LaneTotals], interval_ns: u64, skipped: u64) {
        let lanes = totals.chunks(2).zip(self.earlier.chunks(2));
        for (history, (now, then)) in self.histories.iter_mut().zip(lanes) {
            let gained = [0, 1].map(|direction| now[direction].count.since(&then[direction].count));
            history.add(&self.calendar, gained);
        }
        self.sources.iter_mut().for_each(|source| source.rows.keep_averages(&self.calendar));
        self.groups.keep_averages(&self.calendar);
        // Empty intervals that are left out come after this one.
        for _ in 0..=skipped.min(SILENCE) {
            self.calendar.advance(interval_ns);
        }
    }

    /// Moments that all workers have noted; the others wait for the next
    /// snapshot, but not those that lie before one that all have.
    fn take_marks(&mut self) -> Vec<(u64, Vec<LaneTotals>)> {
        let Some(going) = self.sources.iter().find(|source| !source.ended).or(self.sources.first()) else {
            return Vec::new();
        };
        let moments: Vec<u64> = going.marks.iter().map(|mark| mark.at_ns).collect();
        let mut marks = Vec::new();
        for at_ns in moments {
            let place = |source: &Source| source.marks.iter().position(|mark| mark.at_ns == at_ns);
            if self.sources.iter().any(|source| place(source).is_none() && !source.ended) {
                continue;
            }
            let mut lanes = vec![LaneTotals::default(); 2 * LINKS_MAX];
            for source in &mut self.sources {
                // What a worker that has ended did not note stands as it ended.
                let noted = place(source);
                let of_source = noted.map_or(&source.cut.lanes, |place| &source.marks[place].lanes);
                lanes.iter_mut().zip(of_source).for_each(|(sum, lane)| sum.add(lane));
                source.marks.drain(..noted.map_or(0, |place| place + 1));
            }
            marks.push((at_ns, lanes));
        }
        marks
    }

    fn interfaces(&mut self, totals: &[LaneTotals], rings: &[RingFigures]) -> Vec<InterfaceFigures> {
        let used = totals.iter().rposition(|lane| lane.frames > 0).map_or(0, |at| at / 2 + 1);
        let rings_used = rings.iter().map(|ring| ring.link as usize + 1).max().unwrap_or(0);
        let mut figures = Vec::with_capacity(used.max(rings_used));
        for link in 0..used.max(rings_used) {
            figures.push({
                let ring = |all: &[RingFigures]| all.iter().find(|ring| ring.link as usize == link).copied();
                let now = ring(rings).unwrap_or_default();
                let then = ring(&self.earlier_rings).unwrap_or_default();
                let pair = |lanes: &[LaneTotals]| [lanes[2 * link], lanes[2 * link + 1]];
                let (total, before) = (pair(totals), pair(&self.earlier));
                let missing_bytes = self.missing_of(link, &total);
                InterfaceFigures {
                    link: link as u8,
                    interval: [total[0].since(&before[0]), total[1].since(&before[1])],
                    total,
                    missing_bytes,
                    handshakes: self.openings.tell(link as u8),
                    averages: self.histories[link].averages(&self.calendar),
                    capture_interval: capture_since(&now, &then),
                    capture: capture_since(&now, &RingFigures::default()),
                }
            });
        }
        figures
    }

    /// Bytes acknowledged and never seen, of the interval and since the start.
    /// What was missing and comes by after all is taken back from intervals to come.
    fn missing_of(&mut self, link: usize, total: &[LaneTotals; 2]) -> [u64; 2] {
        let unseen = total[0].tcp.acked_unseen + total[1].tcp.acked_unseen;
        let now = unseen.saturating_sub(total[0].tcp.late + total[1].tcp.late);
        let told = &mut self.missing_told[link];
        let interval = now.saturating_sub(*told);
        *told += interval;
        [interval, now]
    }
}

fn capture_since(now: &RingFigures, then: &RingFigures) -> CaptureFigures {
    CaptureFigures {
        frames: now.frames.saturating_sub(then.frames),
        kernel_drops: now.kernel_drops.saturating_sub(then.kernel_drops),
        freezes: now.freezes.saturating_sub(then.freezes),
        corrupt: now.corrupt.saturating_sub(then.corrupt),
        second_sight: now.second_sight.saturating_sub(then.second_sight),
    }
}

/// Both views, and whether each interface has its own.
fn views_of(views: &Views) -> impl Iterator<Item = (bool, &view::View)> {
    let all = views.rows.iter().map(|view| (false, view));
    all.chain(views.link_rows.iter().map(|view| (true, view)))
}
