//! What each link carried in a second, and which connections filled it: what the
//! chart of links is drawn from ([`super::chart`], [`super::who`]).
//!
//! Sums over all intervals that ended in the second, however short they are; the
//! fullest millisecond of them. Of each link its largest rows are kept, as the
//! aggregator chose them for each interval: of many short intervals a row that was
//! among them in some has what it had in those. Bounded: [`FILLERS`] rows of each
//! direction of a link.

use crate::aggregate::culprit::Burst;
use crate::aggregate::snapshot::{Row, RowName, Snapshot};
use crate::capture::{Direction, Lane, LinkId};
use crate::meter::bins::BIN_NS;
use crate::output::figures::interval_span;
use crate::output::lost::{Losses, Lost};
use std::cmp::Reverse;

/// Rows of a link that are kept of a second, of each direction.
const FILLERS: usize = 4;
/// The same while the second goes on, so that those of its intervals add up.
const FILLERS_OPEN: usize = 5 * FILLERS;
/// Culprits that are kept of a burst.
const CULPRITS: usize = 5;

/// A link in a second; arrays are received, sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Strip {
    /// Layer-2 bytes.
    pub bytes: [u64; 2],
    /// Bytes on the line.
    pub line_bytes: [u64; 2],
    /// Fullest millisecond, bits a second on the line.
    pub peak: [u64; 2],
    /// A burst reaches into it.
    pub burst: [bool; 2],
    /// Bytes of connections that are in no row (`--new-only`).
    pub hidden: u64,
    /// Frames lost by its ring.
    pub ring_lost: u64,
    /// Packets lost in its NIC, by its driver on the way out, or by a qdisc: the
    /// place that lost most, as places are not disjoint.
    pub elsewhere_lost: u64,
}

impl Strip {
    /// Whether anything was lost.
    pub fn is_lossy(&self) -> bool {
        self.ring_lost > 0 || self.elsewhere_lost > 0
    }
}

/// A row (a connection, unless `--by` and an output ask for others) on one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filler {
    /// Where.
    pub link: LinkId,
    /// What it is.
    pub name: RowName,
    /// The key's second end is the client (connections).
    pub client_second: bool,
    /// Which way each of its directions passed the link; None where that is not known.
    pub ways: [Option<Direction>; 2],
    /// Bytes by its directions.
    pub bytes: [u64; 2],
}

impl Filler {
    fn of(link: LinkId, row: &Row) -> Filler {
        let way = |lane: Option<Lane>| lane.filter(|lane| lane.link() == link).map(Lane::direction);
        Filler {
            link,
            name: row.name,
            client_second: row.client_second,
            ways: row.lanes.map(way),
            bytes: row.interval.map(|count| count.bytes),
        }
    }

    /// What passed the link one way; where that is not known it counts as received.
    pub fn on(&self, way: usize) -> u64 {
        let here = |side: &usize| self.ways[*side].map_or(0, |known| known as usize) == way;
        (0..2).filter(here).fold(0, |sum, side| self.bytes[side].saturating_add(sum))
    }

    /// Both directions.
    fn sum(&self) -> u64 {
        self.bytes[0].saturating_add(self.bytes[1])
    }
}

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub(super) struct Filled {
    /// Its end, ns since the epoch.
    pub until_ns: u64,
    /// How long its intervals were, all together.
    pub span_ns: u64,
    /// By link number.
    pub strips: Vec<Strip>,
    /// By link; of each the largest first.
    pub fillers: Vec<Filler>,
}

impl Filled {
    /// Its begin, ns since the epoch.
    pub fn begin_ns(&self) -> u64 {
        self.until_ns.saturating_sub(self.span_ns)
    }

    /// What it takes in memory beside itself.
    pub fn bytes(&self) -> usize {
        self.strips.capacity() * size_of::<Strip>() + self.fillers.capacity() * size_of::<Filler>()
    }

    /// An interval that ended in it.
    pub fn add(&mut self, interval: &Snapshot, losses: &Losses) {
        self.until_ns = interval.time_ns;
        self.span_ns = self.span_ns.saturating_add(interval_span(interval, false));
        let links = interval.interfaces.iter().map(|one| usize::from(one.link) + 1).max().unwrap_or(0);
        if self.strips.len() < links {
            self.strips.resize(links, Strip::default());
        }
        for one in &interval.interfaces {
            let Some(strip) = self.strips.get_mut(usize::from(one.link)) else { continue };
            let spread = interval.spreads.get(usize::from(one.link)).map(|[of_interval, _]| of_interval);
            for (way, lane) in one.interval.iter().enumerate() {
                strip.bytes[way] = strip.bytes[way].saturating_add(lane.count.bytes);
                strip.line_bytes[way] = strip.line_bytes[way].saturating_add(lane.line_bytes);
                strip.peak[way] = strip.peak[way].max(spread.map_or(0, |spread| spread[way].peak));
            }
            let hidden = interval.hidden.as_ref().and_then(|all| all.links.get(usize::from(one.link)));
            strip.hidden = strip.hidden.saturating_add(hidden.map_or(0, |[now, _]| now.bytes));
            strip.ring_lost = strip.ring_lost.saturating_add(one.capture_interval.kernel_drops);
            let elsewhere = losses.of(one.link, 0).map_or(0, |(_, lost)| lost_elsewhere(lost));
            strip.elsewhere_lost = strip.elsewhere_lost.saturating_add(elsewhere);
        }
        let is_first = self.fillers.is_empty();
        for (link, rows) in (0..=LinkId::MAX).zip(&interval.link_rows) {
            for row in rows.iter().take(FILLERS_OPEN) {
                let more = Filler::of(link, row);
                let known = self.fillers.iter_mut().filter(|_| !is_first);
                match known.into_iter().find(|one| one.link == link && one.name == more.name) {
                    Some(one) => {
                        one.bytes = [0, 1].map(|way| one.bytes[way].saturating_add(more.bytes[way]));
                        one.ways = [0, 1].map(|way| more.ways[way].or(one.ways[way]));
                    }
                    None => self.fillers.push(more),
                }
            }
        }
        self.keep(FILLERS_OPEN);
    }

    /// It is over: no other interval comes.
    pub fn close(&mut self) {
        self.keep(FILLERS);
        self.fillers.shrink_to_fit();
    }

    /// So many of each direction of a link.
    fn keep(&mut self, most: usize) {
        self.fillers.sort_by_key(|one| (one.link, Reverse(one.sum()), one.name));
        let mut stays = vec![false; self.fillers.len()];
        for way in 0..2 {
            let mut order: Vec<usize> = (0..self.fillers.len()).collect();
            let key =
                |&place: &usize| (self.fillers[place].link, Reverse(self.fillers[place].on(way)), place);
            order.sort_by_key(key);
            for of_link in order.chunk_by(|&a, &b| self.fillers[a].link == self.fillers[b].link) {
                let first = of_link.iter().take(most).filter(|&&place| self.fillers[place].on(way) > 0);
                first.for_each(|&place| stays[place] = true);
            }
        }
        let mut stays = stays.into_iter();
        self.fillers.retain(|_| stays.next().unwrap_or(false));
    }

    /// A burst, where it reaches into it.
    pub fn mark(&mut self, burst: &Burst) {
        let [from_ns, until_ns] = [burst.from_ms, burst.until_ms].map(|ms| ms.saturating_mul(BIN_NS));
        let reaches = from_ns < self.until_ns && until_ns > self.begin_ns();
        if let Some(strip) = self.strips.get_mut(usize::from(burst.lane.link())).filter(|_| reaches) {
            strip.burst[burst.lane.direction() as usize] = true;
        }
    }

    /// Rows of a link.
    pub fn of(&self, link: LinkId) -> impl Iterator<Item = &Filler> {
        self.fillers.iter().filter(move |one| one.link == link)
    }
}

/// What was certainly lost; what drivers count as dropped on the way in is often
/// what nobody wanted, and no loss.
fn lost_elsewhere(lost: &Lost) -> u64 {
    let nic = lost.nic.map_or(0, |nic| nic.ring_full().max(nic.tx_dropped.saturating_add(nic.tx_errors)));
    nic.max(lost.qdisc.as_ref().map_or(0, |qdisc| qdisc.drops))
}

/// A burst without what no screen shows of the past.
pub(super) fn trimmed(burst: &Burst) -> Burst {
    Burst {
        culprits: burst.culprits.iter().take(CULPRITS).copied().collect(),
        hosts: Vec::new(),
        ports: Vec::new(),
        classes: Vec::new(),
        others: burst.others.clone(),
        ..*burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::key::{End, FlowKey};
    use crate::meter::totals::Count;

    const S: u64 = 1_000_000_000;
    const RX0: Lane = Lane::new(0, Direction::Rx);
    const TX1: Lane = Lane::new(1, Direction::Tx);

    fn row(port: u16, bytes: [u64; 2], lanes: [Option<Lane>; 2]) -> Row {
        let (key, client_second) = FlowKey::new(End::v4(1, port), End::v4(2, 443), 6, false, 0, 0);
        Row {
            name: RowName::Connection(key),
            client_second,
            interval: bytes.map(|bytes| Count { packets: 1, bytes }),
            total: Default::default(),
            state: None,
            marks: 0,
            lanes,
            idle_ns: None,
            averages: None,
        }
    }

    fn interval(time_ns: u64, link_rows: Vec<Vec<Row>>) -> Snapshot {
        Snapshot { time_ns, interval_ns: S / 5, link_rows, ..Snapshot::default() }
    }

    #[test]
    fn rows_of_short_intervals_add_up_by_link() {
        let mut filled = Filled::default();
        let both = [Some(RX0), Some(TX1)];
        let first = vec![vec![row(1, [10, 0], both), row(2, [5, 0], both)], vec![row(1, [0, 7], both)]];
        filled.add(&interval(S, first), &Losses::default());
        filled.add(&interval(S + S / 5, vec![vec![row(2, [6, 0], both)]]), &Losses::default());
        let told: Vec<_> = filled.fillers.iter().map(|one| (one.link, one.bytes, one.ways)).collect();
        let (rx, tx) = ([Some(Direction::Rx), None], [None, Some(Direction::Tx)]);
        assert_eq!(told, [(0, [11, 0], rx), (0, [10, 0], rx), (1, [0, 7], tx)], "the largest first");
        assert_eq!((filled.begin_ns(), filled.until_ns), (S * 4 / 5, S + S / 5));
    }

    #[test]
    fn rows_are_bounded_by_link() {
        let mut filled = Filled::default();
        for turn in 0..9u16 {
            let rows = (0..60).map(|n| row(60 * turn + n, [u64::from(n) * 10 + 1, 0], [Some(RX0), None]));
            let rows: Vec<Row> = rows.rev().collect();
            filled.add(&interval(S + u64::from(turn), vec![rows.clone(), rows]), &Losses::default());
            assert!(filled.fillers.len() <= 2 * FILLERS_OPEN);
        }
        filled.close();
        assert_eq!(filled.of(0).map(|one| one.sum()).collect::<Vec<_>>(), [591; FILLERS]);
        assert_eq!((filled.of(1).count(), filled.fillers.capacity()), (FILLERS, 2 * FILLERS));
    }

    /// Who sends is not pushed out by who receives.
    #[test]
    fn both_directions_have_their_rows() {
        let mut rows: Vec<Row> =
            (0..9).map(|n| row(n, [1000, 10], [Some(RX0), Some(Lane::new(0, Direction::Tx))])).collect();
        rows.extend((10..19).map(|n| row(n, [20, 0], [Some(Lane::new(0, Direction::Tx)), None])));
        let mut filled = Filled::default();
        filled.add(&interval(S, vec![rows]), &Losses::default());
        filled.close();
        let told: Vec<[u64; 2]> = filled.fillers.iter().map(|one| [one.on(0), one.on(1)]).collect();
        assert_eq!(told[..FILLERS], [[1000, 10]; FILLERS]);
        assert_eq!(told[FILLERS..], [[0, 20]; FILLERS]);
    }

    #[test]
    fn a_burst_marks_the_seconds_that_it_reaches_into() {
        let burst = |from_ms, until_ms| Burst {
            lane: TX1,
            from_ms,
            until_ms,
            connections: 1,
            senders: 1,
            ..Burst::default()
        };
        for (from_ms, until_ms, marked) in
            [(900, 1000, false), (900, 1001, true), (1999, 2400, true), (2000, 2001, false)]
        {
            let strips = vec![Strip::default(); 2];
            let mut filled = Filled { until_ns: 2 * S, span_ns: S, strips, ..Filled::default() };
            filled.mark(&burst(from_ms, until_ms));
            assert_eq!(filled.strips[1].burst, [false, marked], "{from_ms} to {until_ms}");
            assert_eq!(filled.strips[0], Strip::default());
        }
    }
}
