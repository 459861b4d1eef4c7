//! What was: an hour of seconds, each as its end was told, for looking back.
//!
//! Kept are the figures of the interfaces, the first rows of two lists, those of
//! connections and of pairs, what each link carried and who filled it ([`Filled`]),
//! and bursts; what else is large or told once is left out. Bounded in seconds and
//! in memory, the oldest go. Fed with every snapshot, drawn or not; where intervals
//! are shorter than a second the last of each second is kept, and what links
//! carried is the sum of them all. Knows no clock: time is that of packets.

use super::Moment;
use super::filled::{Filled, trimmed};
use crate::aggregate::ask::Answer;
use crate::aggregate::balance::{SetFigures, Spread};
use crate::aggregate::culprit::{Burst, Culprit};
use crate::aggregate::millis::LinkSpreads;
use crate::aggregate::snapshot::{Row, RowName, Snapshot};
use crate::aggregate::view::Grouping;
use crate::aggregate::watch::{Handshakes, WatchFigures};
use crate::aggregate::window::Averages;
use crate::capture::Lane;
use crate::flow::tcp::TcpState;
use crate::meter::bins::BIN_NS;
use crate::meter::journal::FlowName;
use crate::meter::totals::Count;
use crate::output::lost::Losses;
use crate::output::{Context, Coverage, Coverages};
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;

/// Seconds that are kept.
const SECONDS_MAX: usize = 3600;
/// Memory for them, and what free places in queues may take beside it: 64 MiB.
const BYTES_MAX: usize = 63 << 20;
/// Rows of each list.
pub const ROWS: usize = 25;
/// The lists.
pub const LISTS: [Grouping; 2] = [Grouping::Connection, Grouping::Pair];

/// Bursts that are kept, the newest; with one more than these room is made.
const BURSTS_MAX: usize = 4095;
/// Bursts that may reach into a second that is told after them.
const BURSTS_AHEAD: usize = 64;

const SECOND_NS: u64 = 1_000_000_000;

/// One of them.
#[derive(Clone)]
struct Second {
    snapshot: Arc<Snapshot>,
    coverage: Coverages,
    lists: [Option<List>; 2],
    filled: Filled,
}

/// Rows of a view, and how many there were to choose them from.
#[derive(Clone)]
struct List {
    rows: Box<[Kept]>,
    found: u64,
    whole: bool,
}

/// A row in less room: rates to seven digits, silence in tenths of a second, as it is
/// told.
#[derive(Clone)]
struct Kept {
    name: RowName,
    interval: [Count; 2],
    total: [Count; 2],
    idle_tenths: Option<u32>,
    /// Over each window, and the peak; NaN where there is none.
    averages: [[f32; 2]; 4],
    lanes: [Option<Lane>; 2],
    marks: u16,
    state: Option<TcpState>,
    client_second: bool,
}

const TENTH_NS: u64 = 100_000_000;

impl Kept {
    fn of(row: &Row) -> Kept {
        let rates =
            |rates: Option<[u64; 2]>| rates.map_or([f32::NAN; 2], |both| both.map(|rate| rate as f32));
        let averages = row.averages.unwrap_or_default();
        let [short, middle, long] = averages.windows.map(rates);
        Kept {
            name: row.name,
            interval: row.interval,
            total: row.total,
            idle_tenths: row.idle_ns.map(|ns| u32::try_from(ns / TENTH_NS).unwrap_or(u32::MAX)),
            averages: [short, middle, long, rates(averages.peak)],
            lanes: row.lanes,
            marks: row.marks,
            state: row.state,
            client_second: row.client_second,
        }
    }

    fn row(&self) -> Row {
        let rates = |[there, back]: [f32; 2]| (!there.is_nan()).then_some([there as u64, back as u64]);
        let [short, middle, long, peak] = self.averages.map(rates);
        let known = Averages { windows: [short, middle, long], peak, young_ns: None };
        Row {
            name: self.name,
            client_second: self.client_second,
            interval: self.interval,
            total: self.total,
            state: self.state,
            marks: self.marks,
            lanes: self.lanes,
            idle_ns: self.idle_tenths.map(|tenths| u64::from(tenths) * TENTH_NS),
            averages: Some(known).filter(|known| *known != Averages::default()),
        }
    }
}

impl Second {
    fn bytes(&self) -> usize {
        let rows = self.lists.iter().flatten().map(|list| list.rows.len()).sum::<usize>();
        let Snapshot { interfaces, spreads, handshakes, balances, .. } = &*self.snapshot;
        size_of::<Second>()
            + size_of::<Snapshot>()
            + size_of_val(&interfaces[..])
            + spreads.len() * size_of::<LinkSpreads>()
            + self.coverage.len() * size_of::<[Coverage; 2]>()
            + handshakes.watches.len() * size_of::<WatchFigures>()
            + balances.iter().map(bytes_of_set).sum::<usize>()
            + rows * size_of::<Kept>()
            + self.filled.bytes()
    }
}

/// What the figures of interfaces side by side take; 512 for words and small lists.
fn bytes_of_set(set: &SetFigures) -> usize {
    let of = |spread: &Spread| {
        let classes = spread.classes.iter().map(|class| size_of_val(&class.bytes[..])).sum::<usize>();
        let classes = classes + size_of_val(&spread.classes[..]);
        size_of_val(&spread.counts[..]) + size_of_val(&spread.untracked[..]) + classes
    };
    let spreads: usize = set.interval.iter().chain(&set.total).map(of).sum();
    let policies = set.verdict.iter().flat_map(|verdict| &verdict.alternatives);
    let policies = policies.map(|one| size_of_val(one) + size_of_val(&one.slaves[..])).sum::<usize>();
    size_of::<SetFigures>() + 512 + spreads + policies
}

fn bytes_of_burst(burst: &Burst) -> usize {
    size_of::<Burst>()
        + burst.culprits.len() * size_of::<Culprit<FlowName>>()
        + size_of_val(&burst.others[..])
}

/// See the module's description.
#[derive(Clone, Default)]
pub struct Past {
    seconds: VecDeque<Second>,
    /// In the order of being told.
    bursts: VecDeque<Burst>,
    bytes: usize,
}

impl Past {
    /// How things stood at the end of an interval. `seen`: as screens show it, of
    /// the last second where intervals are tenths of it; `interval`: as it is told.
    pub fn take(&mut self, seen: &Snapshot, interval: &Snapshot, coverage: &Coverages, losses: &Losses) {
        if self.seconds.back().is_some_and(|last| last.snapshot.time_ns > seen.time_ns) {
            // The clock was set back: what was is of another time.
            *self = Past::default();
        }
        let of_second = |time_ns: u64| time_ns / SECOND_NS;
        let goes_on = |last: &Second| of_second(last.snapshot.time_ns) == of_second(seen.time_ns);
        let mut filled = Filled::default();
        match self.seconds.pop_back() {
            Some(last) if goes_on(&last) => {
                self.bytes -= last.bytes();
                filled = last.filled;
            }
            Some(mut last) => {
                self.bytes -= last.bytes();
                last.filled.close();
                self.bytes += last.bytes();
                self.seconds.push_back(last);
            }
            None => {}
        }
        filled.add(interval, losses);
        self.bursts.iter().rev().take(BURSTS_AHEAD).for_each(|burst| filled.mark(burst));
        let second = Second {
            snapshot: Arc::new(lean(seen)),
            coverage: coverage.clone(),
            lists: [None, None],
            filled,
        };
        self.bytes += second.bytes();
        self.seconds.push_back(second);
        interval.bursts.iter().for_each(|burst| self.take_burst(trimmed(burst)));
        self.make_room();
    }

    /// A burst is told when it is over: its seconds are kept already.
    fn take_burst(&mut self, burst: Burst) {
        let from_ns = burst.from_ms.saturating_mul(BIN_NS);
        let reached = self.seconds.iter_mut().rev().take_while(|second| second.filled.until_ns > from_ns);
        reached.for_each(|second| second.filled.mark(&burst));
        self.bytes += bytes_of_burst(&burst);
        self.bursts.push_back(burst);
    }

    /// The rows of one of [`LISTS`] at the end of the latest second, where they are its own.
    pub fn take_rows(&mut self, list: usize, answer: &Answer) {
        let Some(last) = self.seconds.back_mut() else { return };
        let Some(place) = last.lists.get_mut(list).filter(|place| place.is_none()) else { return };
        if last.snapshot.time_ns != answer.time_ns {
            return;
        }
        let rows = answer.rows.iter().map(Kept::of).collect();
        *place = Some(List { rows, found: answer.found, whole: answer.whole });
        self.bytes += answer.rows.len() * size_of::<Kept>();
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.seconds.len() > SECONDS_MAX || self.bytes > BYTES_MAX && self.seconds.len() > 1 {
            let gone = self.seconds.pop_front();
            self.bytes -= gone.map_or(0, |gone| gone.bytes());
        }
        let oldest_ns = self.seconds.front().map_or(0, |second| second.filled.begin_ns());
        let is_old = |burst: &Burst| burst.until_ms.saturating_mul(BIN_NS) <= oldest_ns;
        while self.bursts.len() > BURSTS_MAX || self.bursts.front().is_some_and(is_old) {
            let gone = self.bursts.pop_front();
            self.bytes -= gone.map_or(0, |gone| bytes_of_burst(&gone));
        }
    }

    /// Time of the last second that is not behind this time, else of the oldest one.
    pub fn near(&self, time_ns: u64) -> Option<u64> {
        let behind = self.seconds.partition_point(|second| second.snapshot.time_ns <= time_ns);
        self.seconds.get(behind.saturating_sub(1)).map(|second| second.snapshot.time_ns)
    }

    /// Time of the first second that is not before this time.
    pub fn from_on(&self, time_ns: u64) -> Option<u64> {
        let before = self.seconds.partition_point(|second| second.snapshot.time_ns < time_ns);
        self.seconds.get(before).map(|second| second.snapshot.time_ns)
    }

    /// What links carried in the seconds that ended until a time, the newest first.
    pub(super) fn filled(&self, until_ns: u64) -> impl Iterator<Item = &Filled> {
        let behind = self.seconds.partition_point(|second| second.snapshot.time_ns <= until_ns);
        self.seconds.range(..behind).rev().map(|second| &second.filled)
    }

    /// Bursts that reach into a time, of those that are kept, most bytes first.
    pub(super) fn bursts(&self, from_ns: u64, until_ns: u64) -> Vec<&Burst> {
        let [from_ms, until_ms] = [from_ns / BIN_NS, until_ns.div_ceil(BIN_NS)];
        let reaches = |burst: &&Burst| burst.from_ms < until_ms && burst.until_ms > from_ms;
        let mut found: Vec<&Burst> = self.bursts.iter().filter(reaches).collect();
        found.sort_by_key(|burst| (Reverse(burst.sums.bytes), burst.from_ms, burst.lane.0));
        found
    }

    /// The second that ended at this time, with rows of a list; `context` is of now:
    /// names and interfaces.
    pub(super) fn at(&self, time_ns: u64, grouping: Grouping, context: &Context) -> Option<Moment> {
        let at = self.seconds.binary_search_by_key(&time_ns, |second| second.snapshot.time_ns).ok()?;
        let second = self.seconds.get(at)?;
        let list = LISTS.iter().position(|list| *list == grouping);
        let list = list.and_then(|list| second.lists[list].as_ref());
        let answer = list.map(|list| {
            let rows = list.rows.iter().map(Kept::row).collect();
            // Newer than whatever is asked for now.
            Arc::new(Answer { number: u64::MAX, rows, found: list.found, time_ns, whole: list.whole })
        });
        Some(Moment {
            snapshot: second.snapshot.clone(),
            answer,
            coverage: second.coverage.clone(),
            context: context.clone(),
        })
    }
}

/// A snapshot without what is large: named one by one, so that it is not copied first.
fn lean(from: &Snapshot) -> Snapshot {
    Snapshot {
        time_ns: from.time_ns,
        start_ns: from.start_ns,
        end_ns: from.end_ns,
        interval_ns: from.interval_ns,
        interfaces: from.interfaces.clone(),
        table: from.table,
        table_interval: from.table_interval,
        ethertypes: Vec::new(),
        rows: Vec::new(),
        rows_found: 0,
        rows_number: 0,
        rows_whole: true,
        link_rows: Vec::new(),
        hidden: from.hidden.clone(),
        accounts: Vec::new(),
        marks: Vec::new(),
        skipped_intervals: from.skipped_intervals,
        late_packets: from.late_packets,
        late_workers: Vec::new(),
        groups_folded: 0,
        accounts_lost: 0,
        handshakes: Handshakes {
            watches: from.handshakes.watches.clone(),
            elsewhere: from.handshakes.elsewhere,
            unplaced: from.handshakes.unplaced,
            sessions: Vec::new(),
            sessions_lost: 0,
        },
        incomplete: Vec::new(),
        destinations: None,
        spreads: from.spreads.clone(),
        balances: from.balances.clone(),
        bursts: Vec::new(),
        bursts_lost: from.bursts_lost,
        run_rows: None,
        faults: Vec::new(),
        last: from.last,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = SECOND_NS;

    fn snapshot(time_ns: u64) -> Snapshot {
        let mut snapshot = lean(&Snapshot::default());
        snapshot.time_ns = time_ns;
        snapshot
    }

    fn take(past: &mut Past, snapshot: &Snapshot) {
        past.take(snapshot, snapshot, &Vec::new(), &Losses::default());
    }

    fn answer(time_ns: u64, rows: usize) -> Answer {
        let row = Row {
            name: RowName::Port(6, 80),
            client_second: false,
            interval: Default::default(),
            total: Default::default(),
            state: None,
            marks: 0,
            lanes: [None, None],
            averages: None,
            idle_ns: None,
        };
        Answer { number: 7, rows: vec![row; rows], found: rows as u64, time_ns, whole: true }
    }

    #[test]
    fn an_hour_is_kept_and_found_by_its_time() {
        let mut past = Past::default();
        assert_eq!(past.near(S), None);
        for second in 1..=4000 {
            take(&mut past, &snapshot(second * S));
            past.take_rows(0, &answer(second * S, 3));
            // Too late, and twice: of no second.
            past.take_rows(1, &answer((second - 1) * S, 3));
            past.take_rows(0, &answer(second * S, 9));
        }
        assert_eq!(past.seconds.len(), SECONDS_MAX);
        assert_eq!(past.near(0), Some(401 * S), "the oldest");
        assert_eq!(past.near(2000 * S + 5), Some(2000 * S));
        assert_eq!(past.near(u64::MAX), Some(4000 * S));
        let rows = |grouping| past.at(2000 * S, grouping, &Context::default()).map(|then| then.rows().len());
        assert_eq!(rows(Grouping::Connection), Some(3));
        assert_eq!((rows(Grouping::Pair), rows(Grouping::Host)), (Some(0), Some(0)));
        assert!(past.at(2000 * S + 1, Grouping::Pair, &Context::default()).is_none());
        // The clock is set back.
        take(&mut past, &snapshot(9 * S));
        assert_eq!((past.seconds.len(), past.near(u64::MAX)), (1, Some(9 * S)));
    }

    /// Figures of a second, and of its last tenth: each where it belongs.
    #[test]
    fn tenths_are_kept_as_the_last_second() {
        let mut past = Past::default();
        for tenth in 1..=10 {
            let [mut seen, mut told] = [0, 1].map(|_| snapshot(5 * S + tenth * S / 10 - 1));
            (seen.interval_ns, told.interval_ns) = (S, S / 10);
            past.take(&seen, &told, &Vec::new(), &Losses::default());
        }
        let then =
            past.at(6 * S - 1, Grouping::Pair, &Context::default()).map(|then| then.snapshot.interval_ns);
        let filled: Vec<u64> = past.filled(u64::MAX).map(|second| second.span_ns).collect();
        assert_eq!((then, filled), (Some(S), vec![S]));
    }

    #[test]
    fn a_row_is_what_it_was() {
        let windows = [Some([944_000_000, 0]), None, Some([1, 2])];
        let known = Averages { windows, peak: Some([1_000_000, 5]), young_ns: None };
        for averages in [None, Some(known)] {
            let row =
                Row { averages, idle_ns: Some(42 * TENTH_NS), marks: 3, ..answer(S, 1).rows[0].clone() };
            assert_eq!(Kept::of(&row).row(), row);
        }
    }

    #[test]
    fn seconds_of_short_intervals_and_memory_are_bounded() {
        let mut past = Past::default();
        for tenth in 10..=100 {
            take(&mut past, &snapshot(tenth * S / 10));
        }
        assert_eq!(past.seconds.len(), 10);
        assert_eq!(past.near(3 * S + 1), Some(29 * S / 10), "the last of its second");
        for second in 11..=3000 {
            take(&mut past, &snapshot(second * S));
            past.take_rows(0, &answer(second * S, 1000));
        }
        assert!(past.bytes <= BYTES_MAX && past.seconds.len() > 100, "{}", past.seconds.len());
        assert_eq!(past.bytes, past.seconds.iter().map(Second::bytes).sum::<usize>());
    }
}
