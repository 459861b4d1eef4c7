//! What was: an hour of seconds, each as its end was told, for looking back.
//!
//! Kept are the figures of the interfaces and the first rows of two lists, those of
//! connections and of pairs; what is large or told once is left out. Bounded in
//! seconds and in memory, the oldest go. Fed with every snapshot, drawn or not;
//! where intervals are shorter than a second the last of each second is kept.
//! Knows no clock: time is that of packets.

use super::Moment;
use crate::aggregate::ask::Answer;
use crate::aggregate::snapshot::{InterfaceFigures, Row, Snapshot};
use crate::aggregate::view::Grouping;
use crate::aggregate::watch::Handshakes;
use crate::output::{Context, Coverages};
use std::collections::VecDeque;
use std::sync::Arc;

/// Seconds that are kept.
const SECONDS_MAX: usize = 3600;
/// Memory for them.
const BYTES_MAX: usize = 64 << 20;
/// Rows of each list.
pub const ROWS: usize = 25;
/// The lists.
pub const LISTS: [Grouping; 2] = [Grouping::Connection, Grouping::Pair];

const SECOND_NS: u64 = 1_000_000_000;

/// One of them.
#[derive(Clone)]
struct Second {
    snapshot: Arc<Snapshot>,
    coverage: Coverages,
    lists: [Option<Arc<Answer>>; 2],
}

impl Second {
    fn bytes(&self) -> usize {
        let rows = self.lists.iter().flatten().map(|list| list.rows.len()).sum::<usize>();
        size_of::<Second>()
            + size_of::<Snapshot>()
            + self.snapshot.interfaces.len() * (size_of::<InterfaceFigures>() + 512)
            + rows * size_of::<Row>()
    }
}

/// See the module's description.
#[derive(Clone, Default)]
pub struct Past {
    seconds: VecDeque<Second>,
    bytes: usize,
}

impl Past {
    /// How things stood at the end of an interval.
    pub fn take(&mut self, snapshot: &Snapshot, coverage: &Coverages) {
        if self.seconds.back().is_some_and(|last| last.snapshot.time_ns > snapshot.time_ns) {
            // The clock was set back: what was is of another time.
            *self = Past::default();
        }
        let of_second = |time_ns: u64| time_ns / SECOND_NS;
        let stays = |last: &Second| of_second(last.snapshot.time_ns) != of_second(snapshot.time_ns);
        if self.seconds.back().is_some_and(|last| !stays(last)) {
            self.bytes -= self.seconds.pop_back().map_or(0, |last| last.bytes());
        }
        let second =
            Second { snapshot: Arc::new(lean(snapshot)), coverage: coverage.clone(), lists: [None, None] };
        self.bytes += second.bytes();
        self.seconds.push_back(second);
        self.make_room();
    }

    /// The rows of one of [`LISTS`] at the end of the latest second, where they are its own.
    pub fn take_rows(&mut self, list: usize, answer: &Answer) {
        let Some(last) = self.seconds.back_mut() else { return };
        let Some(place) = last.lists.get_mut(list).filter(|place| place.is_none()) else { return };
        if last.snapshot.time_ns != answer.time_ns {
            return;
        }
        // Newer than whatever is asked for now.
        *place = Some(Arc::new(Answer { number: u64::MAX, ..answer.clone() }));
        self.bytes += answer.rows.len() * size_of::<Row>();
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.seconds.len() > SECONDS_MAX || self.bytes > BYTES_MAX && self.seconds.len() > 1 {
            let gone = self.seconds.pop_front();
            self.bytes -= gone.map_or(0, |gone| gone.bytes());
        }
    }

    /// Time of the last second that is not behind this time, else of the oldest one.
    pub fn near(&self, time_ns: u64) -> Option<u64> {
        let behind = self.seconds.partition_point(|second| second.snapshot.time_ns <= time_ns);
        self.seconds.get(behind.saturating_sub(1)).map(|second| second.snapshot.time_ns)
    }

    /// The second that ended at this time, with rows of a list; `context` is of now:
    /// names and interfaces.
    pub(super) fn at(&self, time_ns: u64, grouping: Grouping, context: &Context) -> Option<Moment> {
        let at = self.seconds.binary_search_by_key(&time_ns, |second| second.snapshot.time_ns).ok()?;
        let second = self.seconds.get(at)?;
        let list = LISTS.iter().position(|list| *list == grouping);
        let answer = list.and_then(|list| second.lists[list].clone());
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
    use crate::aggregate::snapshot::RowName;

    const S: u64 = SECOND_NS;

    fn snapshot(time_ns: u64) -> Snapshot {
        let mut snapshot = lean(&Snapshot::default());
        snapshot.time_ns = time_ns;
        snapshot
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
            past.take(&snapshot(second * S), &Vec::new());
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
        past.take(&snapshot(9 * S), &Vec::new());
        assert_eq!((past.seconds.len(), past.near(u64::MAX)), (1, Some(9 * S)));
    }

    #[test]
    fn seconds_of_short_intervals_and_memory_are_bounded() {
        let mut past = Past::default();
        for tenth in 10..=100 {
            past.take(&snapshot(tenth * S / 10), &Vec::new());
        }
        assert_eq!(past.seconds.len(), 10);
        assert_eq!(past.near(3 * S + 1), Some(29 * S / 10), "the last of its second");
        for second in 11..=3000 {
            past.take(&snapshot(second * S), &Vec::new());
            past.take_rows(0, &answer(second * S, 1000));
        }
        assert!(past.bytes <= BYTES_MAX && past.seconds.len() > 100, "{}", past.seconds.len());
        assert_eq!(past.bytes, past.seconds.iter().map(Second::bytes).sum::<usize>());
    }
}
