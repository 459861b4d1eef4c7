//! Connections by destination: trtop's figures of each server address.
//!
//! A destination is the address of a server, apart by whether its client is
//! here (outgoing), it is here itself (incoming), or nobody knows. Attempts are
//! those that were decided, as handshakes count them; what a connection came to
//! counts when it leaves the table.
//!
//! Bounded, and no bound asks who came first, so any number of workers comes to
//! the same. At a boundary those stay that had most attempts and exchanges; of
//! those that are new in one interval, the lowest addresses. The rest is summed
//! as the unspecified address. Percentiles are counts by rounded value (eight
//! binary digits, as hdrhistogram with two decimal ones): few destinations use
//! more than some of them. When there are too many in all, every value is
//! rounded to one digit less: how far depends on what was counted alone.
//!
//! Knows sessions, exchanges, addresses; knows no names.
//! Source: trtop's README, for what its columns are.

use super::watch::{Here, Latency, Side};
use crate::flow::key::FlowKey;
use crate::flow::record::{Ended, FlowExchange, Outcome, Session};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Destinations that are kept apart from one interval to the next, and as many
/// new ones within one.
const DESTINATIONS_MAX: usize = 65_536;
/// Rounded values that are counted, over all destinations: 64 MiB at most.
const CELLS_MAX: usize = 4 << 20;
/// Binary digits that values are rounded to: less than 1 % too high.
const DIGITS: u32 = 8;
/// Figures with percentiles: connect, first byte, last byte, exchanges of a connection.
const SPREADS: usize = 4;

/// What names a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The server's; the unspecified one stands for all that found no place.
    pub address: IpAddr,
    /// Which end is here: the client (outgoing; it goes first where both are),
    /// the server (incoming); None where neither is or nobody knows.
    pub here: Option<Side>,
}

/// Sums up what found no place of its own.
pub const REST: Name = Name { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), here: None };

/// What was counted, in connections where nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Begun by a SYN, and decided.
    pub attempts: u64,
    /// Of them, answered by a SYN/ACK.
    pub answered: u64,
    /// Of them, established.
    pub established: u64,
    /// Begun by a SYN that was seen, and gone from the table: closed, refused or silent.
    pub ended: u64,
    /// Of those, reset by an end.
    pub reset: u64,
    /// Of those, closed first by the end that is here (by the client where none is).
    pub closed_here: u64,
    /// Of those, closed first by the other end.
    pub closed_there: u64,
    /// Requests that were answered.
    pub exchanges: u64,
    /// Requests that had no answer when their connection left.
    pub unanswered: u64,
    /// Left with payload that was acknowledged and never seen.
    pub with_loss: u64,
}

impl Counts {
    /// Requests, answered or not.
    pub fn requests(&self) -> u64 {
        self.exchanges + self.unanswered
    }

    fn add(&mut self, more: &Counts) {
        self.attempts += more.attempts;
        self.answered += more.answered;
        self.established += more.established;
        self.ended += more.ended;
        self.reset += more.reset;
        self.closed_here += more.closed_here;
        self.closed_there += more.closed_there;
        self.exchanges += more.exchanges;
        self.unanswered += more.unanswered;
        self.with_loss += more.with_loss;
    }
}

/// Figures of one destination over one span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Sums.
    pub counts: Counts,
    /// First SYN to success; None where none is known, as below.
    pub connect: Option<Latency>,
    /// Last byte of a request to the first of its response.
    pub first_byte: Option<Latency>,
    /// First byte of a request to the last of its response.
    pub last_byte: Option<Latency>,
    /// Exchanges of connections that ended with at least one: 95 of 100 had no more.
    pub exchanges_p95: Option<u64>,
}

/// A destination in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// What it is.
    pub name: Name,
    /// Of the interval.
    pub interval: Figures,
    /// Since the start; percentiles only where [`Wanted::of_run`] asks for them.
    pub total: Figures,
}

/// Destinations in a snapshot, where they are asked for. Both lists by attempts,
/// then exchanges, then address.
#[derive(Clone, Debug, Default)]
pub struct Destinations {
    /// Those with anything in the interval.
    pub of_interval: Vec<Destination>,
    /// How many those were chosen from.
    pub intervals_found: u64,
    /// Those since the start, by what they had since then.
    pub of_run: Vec<Destination>,
    /// How many those were chosen from.
    pub found: u64,
    /// All together, percentiles since the start too.
    pub all: Option<Destination>,
    /// Attempts and exchanges since the start that are summed as the rest, where
    /// that became more in this interval.
    pub folded: Option<u64>,
    /// Values are rounded to fewer digits from here on: so many binary ones are left.
    pub digits: Option<u32>,
}

/// Servers, each at one port or at all; none are all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers(HashSet<(IpAddr, Option<u16>)>);

impl Servers {
    /// Whether that end of a flow is among them.
    pub(super) fn have(&self, key: &FlowKey, end: usize) -> bool {
        let has = |port| self.0.contains(&(key.ip(end), port));
        self.0.is_empty() || has(None) || has(Some(key.end(end).port))
    }
}

impl FromIterator<(IpAddr, Option<u16>)> for Servers {
    fn from_iter<T: IntoIterator<Item = (IpAddr, Option<u16>)>>(servers: T) -> Servers {
        Servers(servers.into_iter().collect())
    }
}

/// Which lists are wanted, and how many of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Most of [`Destinations::of_interval`].
    pub of_interval: usize,
    /// Most of [`Destinations::of_run`]; None keeps no percentiles since the start.
    pub of_run: Option<usize>,
    /// Servers that count, here and in rows by destination.
    pub allowed: Servers,
    /// Connections whose start was not seen count nowhere.
    pub new_only: bool,
}

/// Counts by rounded value, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Spread {
    cells: Vec<(u32, u32)>,
    max: u32,
}

/// The highest value that has the same first `digits` binary ones.
fn rounded(value: u32, digits: u32) -> u32 {
    let behind = (u32::BITS - value.leading_zeros()).saturating_sub(digits);
    value | 1u32.checked_shl(behind).unwrap_or(0).wrapping_sub(1)
}

impl Spread {
    /// How many cells there are more.
    fn add(&mut self, value: u32, digits: u32) -> usize {
        self.max = self.max.max(value);
        self.put(rounded(value, digits), 1)
    }

    fn put(&mut self, edge: u32, times: u32) -> usize {
        match self.cells.binary_search_by_key(&edge, |&(known, _)| known) {
            Ok(at) => {
                self.cells[at].1 = self.cells[at].1.saturating_add(times);
                0
            }
            Err(at) => {
                self.cells.insert(at, (edge, times));
                1
            }
        }
    }

    /// Adds another one's: what both have is one cell.
    fn merge(&mut self, other: &Spread) {
        self.max = self.max.max(other.max);
        // A scan folds hundreds of thousands of rows with next to nothing in them.
        if other.cells.len() * 16 < self.cells.len() {
            for &(edge, times) in &other.cells {
                self.put(edge, times);
            }
            return;
        }
        self.cells.extend_from_slice(&other.cells);
        self.cells.sort_unstable();
        self.join();
    }

    fn coarsen(&mut self, digits: u32) {
        self.cells.iter_mut().for_each(|(edge, _)| *edge = rounded(*edge, digits));
        self.join();
        self.cells.shrink_to_fit();
    }

    fn join(&mut self) {
        self.cells.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = kept.1.saturating_add(next.1);
            }
            same
        });
    }

    fn at(&self, percent: u64) -> Option<u64> {
        let all: u64 = self.cells.iter().map(|&(_, times)| u64::from(times)).sum();
        let mut rank = (all * percent).div_ceil(100).max(1);
        for &(edge, times) in &self.cells {
            rank = rank.saturating_sub(times.into());
            if rank == 0 {
                return Some(edge.min(self.max).into());
            }
        }
        None
    }

    fn told(&self) -> Option<Latency> {
        Some(Latency {
            p50_us: self.at(50)?,
            p95_us: self.at(95)?,
            p99_us: self.at(99)?,
            max_us: self.max.into(),
        })
    }
}

/// What one event adds.
#[derive(Default)]
struct Gain {
    counts: Counts,
    values: [Option<u32>; SPREADS],
}

/// Counts and percentiles that grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sums {
    counts: Counts,
    spreads: [Spread; SPREADS],
}

impl Sums {
    fn gain(&mut self, gain: &Gain, digits: u32) -> usize {
        self.counts.add(&gain.counts);
        let values = self.spreads.iter_mut().zip(gain.values);
        values.filter_map(|(spread, value)| value.map(|value| spread.add(value, digits))).sum()
    }

    fn merge(&mut self, other: &Sums) {
        self.counts.add(&other.counts);
        self.merge_spreads(other);
    }

    fn merge_spreads(&mut self, other: &Sums) {
        self.spreads.iter_mut().zip(&other.spreads).for_each(|(spread, more)| spread.merge(more));
    }

    fn cells(&self) -> usize {
        self.spreads.iter().map(|spread| spread.cells.len()).sum()
    }

    fn told(&self) -> Figures {
        let [connect, first_byte, last_byte, exchanges] = &self.spreads;
        Figures {
            counts: self.counts,
            connect: connect.told(),
            first_byte: first_byte.told(),
            last_byte: last_byte.told(),
            exchanges_p95: exchanges.at(95),
        }
    }

    /// What stands first.
    fn rank(&self) -> (Reverse<u64>, Reverse<u64>) {
        (Reverse(self.counts.attempts), Reverse(self.counts.exchanges))
    }
}

/// Of the interval, and since the start; totals get their share at its end.
#[derive(Clone, Debug, Default)]
struct Row {
    interval: Sums,
    total: Sums,
    touched: bool,
}

impl Row {
    fn cells(&self) -> usize {
        self.interval.cells() + self.total.cells()
    }

    fn told(&self, name: Name) -> Destination {
        Destination { name, interval: self.interval.told(), total: self.total.told() }
    }

    /// How many cells there are more.
    fn sum_up(&mut self, spreads: bool) -> usize {
        self.total.counts.add(&self.interval.counts);
        if !spreads {
            return 0;
        }
        let before = self.total.cells();
        self.total.merge_spreads(&self.interval);
        self.total.cells() - before
    }

    /// The interval is over; how many cells there are less.
    fn clear(&mut self) -> usize {
        self.touched = false;
        std::mem::take(&mut self.interval).cells()
    }

    fn each_spread(&mut self) -> impl Iterator<Item = &mut Spread> {
        self.interval.spreads.iter_mut().chain(&mut self.total.spreads)
    }
}

/// Sorts connections into destinations.
pub(super) struct Collector {
    wanted: Option<Wanted>,
    here: Arc<Here>,
    /// Of earlier intervals.
    known: HashMap<Name, Row>,
    /// New ones.
    fresh: BTreeMap<Name, Row>,
    /// Known ones with anything in the interval.
    touched: Vec<Name>,
    rest: Row,
    all: Row,
    most: usize,
    cells: usize,
    cells_most: usize,
    digits: u32,
    folded: bool,
    coarsened: bool,
}

impl Default for Collector {
    fn default() -> Collector {
        Collector {
            wanted: None,
            here: Arc::default(),
            known: HashMap::new(),
            fresh: BTreeMap::new(),
            touched: Vec::new(),
            rest: Row::default(),
            all: Row::default(),
            most: DESTINATIONS_MAX,
            cells: 0,
            cells_most: CELLS_MAX,
            digits: DIGITS,
            folded: false,
            coarsened: false,
        }
    }
}

impl Collector {
    /// These lists, by what is here.
    pub fn new(wanted: Wanted, here: Arc<Here>) -> Collector {
        Collector { wanted: Some(wanted), here, ..Collector::default() }
    }

    /// Attempts and exchanges that a worker reports.
    pub fn take(&mut self, sessions: &[Session], exchanges: &[FlowExchange]) {
        let Some(Wanted { new_only, .. }) = self.wanted else { return };
        for session in sessions.iter().filter(|session| !session.syn_unseen) {
            let established = session.outcome == Outcome::Success;
            let counts = Counts {
                attempts: 1,
                answered: session.synack_seen.into(),
                established: established.into(),
                ..Counts::default()
            };
            // With data in the last ACK the client may have waited for what to say.
            let connect = session.connect_us.filter(|_| established && !session.ack_with_data);
            let Some(name) = self.name(&session.key, session.client_second, session.lanes) else { continue };
            self.gain(name, &Gain { counts, values: [connect, None, None, None] });
        }
        for told in exchanges.iter().filter(|told| !(new_only && told.midstream)) {
            let counts = Counts { exchanges: 1, ..Counts::default() };
            let values = [None, told.exchange.first_byte_us, told.exchange.last_byte_us, None];
            let Some(name) = self.name(&told.key, told.client_second, told.lanes) else { continue };
            self.gain(name, &Gain { counts, values });
        }
    }

    /// A connection left the table.
    pub fn end(&mut self, key: &FlowKey, client_second: bool, lanes: [u8; 2], ended: &Ended) {
        if ended.midstream && self.wanted.as_ref().is_some_and(|wanted| wanted.new_only) {
            return;
        }
        let Some(name) = self.name(key, client_second, lanes) else { return };
        let counted = ended.begun && !ended.open;
        let (here, there) = match name.here {
            Some(Side::Server) => (ended.server_closed, ended.client_closed),
            Some(Side::Client) | None => (ended.client_closed, ended.server_closed),
        };
        let of_ended = |yes: bool| u64::from(counted && yes);
        let counts = Counts {
            ended: counted.into(),
            reset: of_ended(ended.reset),
            closed_here: of_ended(here),
            closed_there: of_ended(there),
            unanswered: ended.unanswered.into(),
            with_loss: ended.missing.into(),
            ..Counts::default()
        };
        if counts != Counts::default() {
            let exchanges = Some(ended.exchanges).filter(|&exchanges| counted && exchanges > 0);
            self.gain(name, &Gain { counts, values: [None, None, None, exchanges] });
        }
    }

    /// None where it does not count.
    fn name(&self, key: &FlowKey, client_second: bool, lanes: [u8; 2]) -> Option<Name> {
        let server = usize::from(!client_second);
        if !self.wanted.as_ref()?.allowed.have(key, server) {
            return None;
        }
        let here = self.here.ends(key, client_second, lanes).unwrap_or_default();
        let here = [Side::Client, Side::Server].into_iter().zip(here).find(|(_, here)| *here);
        Some(Name { address: key.ip(server), here: here.map(|(side, _)| side) })
    }

    fn gain(&mut self, name: Name, gain: &Gain) {
        let digits = self.digits;
        self.cells += self.all.interval.gain(gain, digits);
        if let Some(row) = self.known.get_mut(&name) {
            self.cells += row.interval.gain(gain, digits);
            if !std::mem::replace(&mut row.touched, true) {
                self.touched.push(name);
            }
        } else {
            self.cells += self.fresh.entry(name).or_default().interval.gain(gain, digits);
            if self.fresh.len() > self.most
                && let Some((_, row)) = self.fresh.pop_last()
            {
                self.fold(&row);
            }
        }
        self.spare_cells();
    }

    fn spare_cells(&mut self) {
        while self.cells > self.cells_most && self.digits > 1 {
            self.coarsen();
        }
    }

    /// A row that has no place: the rest has what it had.
    fn fold(&mut self, row: &Row) {
        let before = self.rest.cells();
        self.rest.interval.merge(&row.interval);
        self.rest.total.merge(&row.total);
        self.cells = (self.cells + self.rest.cells()).saturating_sub(before + row.cells());
        self.folded = true;
    }

    fn coarsen(&mut self) {
        self.digits -= 1;
        self.coarsened = true;
        self.cells = 0;
        let rows = self.known.values_mut().chain(self.fresh.values_mut());
        for row in rows.chain([&mut self.rest, &mut self.all]) {
            row.each_spread().for_each(|spread| spread.coarsen(self.digits));
            self.cells += row.cells();
        }
    }

    /// How destinations stand at the end of an interval; another one begins.
    pub fn tell(&mut self) -> Option<Destinations> {
        let (most_now, most_ever) = self.wanted.as_ref().map(|wanted| (wanted.of_interval, wanted.of_run))?;
        let mut told = Destinations::default();
        let touched = self.touched.iter().filter_map(|name| Some((*name, self.known.get(name)?)));
        let fresh = self.fresh.iter().map(|(name, row)| (*name, row));
        let rest = Some((REST, &self.rest)).filter(|(_, row)| row.interval.counts != Counts::default());
        let mut rows: Vec<(Name, &Row)> = touched.chain(fresh).chain(rest).collect();
        told.intervals_found = rows.len() as u64;
        best(&mut rows, most_now, |(name, row)| (row.interval.rank(), *name));
        told.of_interval = rows.into_iter().map(|(name, row)| row.told(name)).collect();
        self.sum_up(most_ever.is_some());
        let rest = Some((REST, &self.rest)).filter(|(_, row)| row.total.counts != Counts::default());
        told.found = self.known.len() as u64 + u64::from(rest.is_some());
        told.all = Some(self.all.told(REST)).filter(|_| told.found > 0);
        if let Some(most) = most_ever {
            let known = self.known.iter().map(|(name, row)| (*name, row));
            let mut rows: Vec<(Name, &Row)> = known.chain(rest).collect();
            best(&mut rows, most, |(name, row)| (row.total.rank(), *name));
            told.of_run = rows.into_iter().map(|(name, row)| row.told(name)).collect();
        }
        self.next_interval();
        let rest = &self.rest.total.counts;
        told.folded = std::mem::take(&mut self.folded).then_some(rest.attempts + rest.exchanges);
        told.digits = std::mem::take(&mut self.coarsened).then_some(self.digits);
        Some(told)
    }

    /// Totals get what the interval brought; all rows are known then.
    fn sum_up(&mut self, spreads: bool) {
        self.touched.extend(self.fresh.keys());
        self.known.extend(std::mem::take(&mut self.fresh));
        let rows = self.touched.iter();
        for name in rows {
            if let Some(row) = self.known.get_mut(name) {
                self.cells += row.sum_up(spreads);
            }
        }
        // Of all there are percentiles anyway: they cost one row.
        self.cells += self.rest.sum_up(spreads) + self.all.sum_up(true);
    }

    fn next_interval(&mut self) {
        for name in std::mem::take(&mut self.touched) {
            if let Some(row) = self.known.get_mut(&name) {
                self.cells = self.cells.saturating_sub(row.clear());
            }
        }
        self.cells = self.cells.saturating_sub(self.rest.clear() + self.all.clear());
        if self.known.len() > self.most {
            let mut names: Vec<_> = self.known.iter().map(|(name, row)| (row.total.rank(), *name)).collect();
            names.select_nth_unstable(self.most);
            for (_, name) in names.split_off(self.most) {
                if let Some(row) = self.known.remove(&name) {
                    self.fold(&row);
                }
            }
        }
        self.spare_cells();
    }
}

/// The first so many by that order, in it.
fn best<T, K: Ord>(rows: &mut Vec<T>, most: usize, order: impl Fn(&T) -> K) {
    if most < rows.len() {
        rows.select_nth_unstable_by_key(most, &order);
        rows.truncate(most);
    }
    rows.sort_unstable_by_key(order);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::watch::Network;
    use crate::flow::entry::NO_LANE;
    use crate::flow::key::End;
    use crate::flow::record::Exchange;
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    /// One thing that a worker may report of a destination.
    #[derive(Clone, Debug)]
    enum Event {
        Attempt { answered: bool, outcome: Outcome, connect_us: Option<u32> },
        Exchange(Exchange),
        End(Ended),
    }

    fn key(server: u8, outgoing: bool) -> (FlowKey, bool) {
        let (local, remote) = (End::v4(0xc000_0207, 40_000), End::v4(0xc633_6400 + u32::from(server), 443));
        // The server has the address that counts, whichever network it is in.
        let (client, server) = if outgoing { (local, remote) } else { (remote, End { port: 80, ..local }) };
        FlowKey::new(client, server, 6, false, 0, 0)
    }

    fn collector() -> Collector {
        let here = Here::new(vec![Network::new([192, 0, 2, 0].into(), 24)]);
        Collector::new(Wanted { of_interval: 1000, of_run: Some(1000), ..Wanted::default() }, Arc::new(here))
    }

    fn tell(collector: &mut Collector, (server, outgoing, event): &(u8, bool, Event)) {
        let (key, client_second) = key(*server, *outgoing);
        let lanes = [NO_LANE; 2];
        match event {
            Event::Attempt { answered, outcome, connect_us } => {
                let session = Session {
                    slot: 0,
                    key,
                    client_second,
                    start_ns: 0,
                    end_ns: 0,
                    outcome: *outcome,
                    icmp: [0; 2],
                    syn_retransmitted: 0,
                    synack_retransmitted: 0,
                    synack_seen: *answered,
                    syn_unseen: false,
                    connect_us: *connect_us,
                    server_us: None,
                    client_us: None,
                    ack_with_data: false,
                    lanes,
                };
                collector.take(&[session], &[]);
            }
            Event::Exchange(exchange) => {
                collector.take(
                    &[],
                    &[FlowExchange { key, client_second, lanes, midstream: false, exchange: *exchange }],
                );
            }
            Event::End(ended) => collector.end(&key, client_second, lanes, ended),
        }
    }

    fn events() -> impl Strategy<Value = Vec<(u8, bool, Event)>> {
        let us = || proptest::option::of(0u32..6_000_000);
        let attempt = (any::<bool>(), any::<bool>(), us()).prop_map(|(success, answered, connect_us)| {
            let outcome = if success { Outcome::Success } else { Outcome::Reject };
            Event::Attempt { answered, outcome, connect_us: connect_us.filter(|_| success) }
        });
        let exchange = (us(), us()).prop_map(|(first_byte_us, last_byte_us)| {
            Event::Exchange(Exchange { first_byte_us, last_byte_us })
        });
        let end = (0u32..9, any::<[bool; 6]>(), any::<bool>()).prop_map(|(exchanges, bits, client)| {
            let [begun, open, reset, closed, unanswered, missing] = bits;
            let (client_closed, server_closed) = (closed && client, closed && !client);
            Event::End(Ended {
                exchanges,
                midstream: false,
                begun,
                open,
                reset,
                client_closed,
                server_closed,
                unanswered,
                missing,
            })
        });
        proptest::collection::vec((0u8..9, any::<bool>(), prop_oneof![attempt, exchange, end]), 1..300)
    }

    /// The slow way: every figure from a list of all that was told.
    fn naive(all: &[&(u8, bool, Event)]) -> Figures {
        let count = |fits: &dyn Fn(&Event, bool) -> bool| {
            all.iter().filter(|(_, outgoing, event)| fits(event, *outgoing)).count() as u64
        };
        let of_ended = |fits: &dyn Fn(&Ended, bool) -> bool| {
            count(
                &|event, outgoing| matches!(event, Event::End(ended) if ended.begun && !ended.open && fits(ended, outgoing)),
            )
        };
        let by = |ended: &Ended, client: bool| if client { ended.client_closed } else { ended.server_closed };
        let success = |event: &Event| matches!(event, Event::Attempt { outcome: Outcome::Success, .. });
        let counts = Counts {
            attempts: count(&|event, _| matches!(event, Event::Attempt { .. })),
            answered: count(&|event, _| matches!(event, Event::Attempt { answered: true, .. })),
            established: count(&|event, _| success(event)),
            ended: of_ended(&|_, _| true),
            reset: of_ended(&|ended, _| ended.reset),
            closed_here: of_ended(&|ended, outgoing| by(ended, outgoing)),
            closed_there: of_ended(&|ended, outgoing| by(ended, !outgoing)),
            exchanges: count(&|event, _| matches!(event, Event::Exchange(_))),
            unanswered: count(&|event, _| matches!(event, Event::End(ended) if ended.unanswered)),
            with_loss: count(&|event, _| matches!(event, Event::End(ended) if ended.missing)),
        };
        let values = |value: &dyn Fn(&Event) -> Option<u32>| -> Vec<u32> {
            all.iter().filter_map(|(_, _, event)| value(event)).collect()
        };
        let connect = values(&|event| match event {
            Event::Attempt { connect_us, .. } => *connect_us,
            _ => None,
        });
        let exchange = |event: &Event| if let Event::Exchange(one) = event { Some(*one) } else { None };
        let kept = values(&|event| match event {
            Event::End(ended) if ended.begun && !ended.open && ended.exchanges > 0 => Some(ended.exchanges),
            _ => None,
        });
        Figures {
            counts,
            connect: of_library(&connect),
            first_byte: of_library(&values(&|event| exchange(event)?.first_byte_us)),
            last_byte: of_library(&values(&|event| exchange(event)?.last_byte_us)),
            exchanges_p95: of_library(&kept).map(|known| known.p95_us),
        }
    }

    /// Percentiles as hdrhistogram has them, with two digits.
    fn of_library(values: &[u32]) -> Option<Latency> {
        let max_us = u64::from(*values.iter().max()?);
        let mut histogram = Histogram::<u64>::new_with_bounds(1, u32::MAX.into(), 2).unwrap();
        values.iter().for_each(|&value| histogram.record(value.into()).unwrap());
        let below = |share| histogram.value_at_quantile(share).min(max_us);
        Some(Latency { p50_us: below(0.5), p95_us: below(0.95), p99_us: below(0.99), max_us })
    }

    fn server_of(destination: &Destination) -> (u32, Option<Side>) {
        let IpAddr::V4(ip) = destination.name.address else { panic!("an IPv4 address") };
        (ip.to_bits(), destination.name.here)
    }

    proptest! {
        /// Against the slow way, over two intervals, in any order.
        #[test]
        fn figures_are_those_of_the_list(first in events(), second in events()) {
            let mut collector = collector();
            let mut both: Vec<&(u8, bool, Event)> = Vec::new();
            for now in [&first, &second] {
                now.iter().for_each(|one| tell(&mut collector, one));
                both.extend(now);
                let told = collector.tell().unwrap();
                let now: Vec<&(u8, bool, Event)> = now.iter().collect();
                for (all, found, interval) in [(&now, &told.of_interval, true), (&both, &told.of_run, false)] {
                    for destination in found {
                        let (ip, here) = server_of(destination);
                        let mine: Vec<&(u8, bool, Event)> = all.iter().copied().filter(|(server, outgoing, _)| {
                            let expected = if *outgoing { 0xc633_6400 + u32::from(*server) } else { 0xc000_0207 };
                            ip == expected && (here == Some(Side::Client)) == *outgoing
                        }).collect();
                        let figures = if interval { destination.interval } else { destination.total };
                        prop_assert_eq!(figures, naive(&mine));
                    }
                    // None is missing: the sums of all are there.
                    let sum = found.iter().fold(Counts::default(), |mut sum, one| {
                        sum.add(if interval { &one.interval.counts } else { &one.total.counts });
                        sum
                    });
                    prop_assert_eq!(sum, naive(all).counts);
                    let rank = |one: &Destination| {
                        let counts = if interval { one.interval.counts } else { one.total.counts };
                        (Reverse(counts.attempts), Reverse(counts.exchanges), one.name)
                    };
                    prop_assert!(found.is_sorted_by_key(rank));
                }
                if let Some(sum) = told.all {
                    prop_assert_eq!((sum.interval, sum.total), (naive(&now), naive(&both)));
                }
            }
        }

        /// Bounds are met, nothing is lost, and the order does not matter: nor what is
        /// left out, nor how far values are rounded.
        #[test]
        fn bounds_do_not_ask_who_came_first(
            events in events(),
            most in 1usize..6,
            cells_most in 60usize..400,
            turn in 0usize..300,
        ) {
            let run = |events: &mut dyn Iterator<Item = &(u8, bool, Event)>, most, cells_most| {
                let mut collector = Collector { most, cells_most, ..collector() };
                events.for_each(|one| tell(&mut collector, one));
                let first = collector.tell().unwrap();
                assert!(collector.known.len() <= most && collector.fresh.is_empty());
                let cells = |rows: &mut dyn Iterator<Item = &Row>| rows.map(Row::cells).sum::<usize>();
                let counted = cells(&mut collector.known.values().chain([&collector.rest, &collector.all]));
                assert_eq!(collector.cells, counted);
                assert!(collector.cells <= cells_most || collector.digits == 1);
                (first, collector.tell().unwrap())
            };
            let turn = turn.min(events.len());
            let (front, back) = events.split_at(turn);
            // One bound at a time: rows that leave give their cells back.
            for (most, cells_most) in [(most, usize::MAX), (usize::MAX, cells_most)] {
                let one = run(&mut events.iter(), most, cells_most);
                let other = run(&mut back.iter().chain(front), most, cells_most);
                prop_assert_eq!(format!("{one:?}"), format!("{other:?}"));
                let sum = one.1.of_run.iter().fold(Counts::default(), |mut sum, row| {
                    sum.add(&row.total.counts);
                    sum
                });
                prop_assert_eq!(sum, naive(&events.iter().collect::<Vec<_>>()).counts);
            }
        }

        #[test]
        fn values_are_rounded_as_the_library_does(value: u32, digits in 1u32..=8) {
            let histogram = Histogram::<u64>::new_with_bounds(1, u32::MAX.into(), 2).unwrap();
            prop_assert_eq!(u64::from(rounded(value, DIGITS)), histogram.highest_equivalent(value.into()));
            prop_assert_eq!(rounded(rounded(value, DIGITS), digits), rounded(value, digits));
            prop_assert!(rounded(value, digits) >= value);
        }
    }

    /// With the limits of the program: of a scan the lowest addresses stay, in any order, and
    /// who was there before stays whatever its address.
    #[test]
    fn a_scan_is_bounded() {
        let run = |order: &mut dyn Iterator<Item = u32>| {
            let mut collector = collector();
            let attempt = Event::Attempt { answered: true, outcome: Outcome::Success, connect_us: Some(7) };
            (0..2).for_each(|_| tell(&mut collector, &(255, true, attempt.clone())));
            assert_eq!(collector.tell().unwrap().folded, None);
            for address in order {
                let (key, client_second) = FlowKey::new(
                    End::v4(0xc000_0207, 40_000),
                    End::v4(0x0a00_0000 + address, 22),
                    6,
                    false,
                    0,
                    0,
                );
                let ended = Ended { begun: true, reset: true, ..Ended::default() };
                collector.end(&key, client_second, [NO_LANE; 2], &ended);
            }
            let told = collector.tell().unwrap();
            assert!(told.folded.is_some() && collector.known.len() == DESTINATIONS_MAX);
            assert_eq!(told.all.unwrap().total.counts.ended, 100_000);
            let next = collector.tell().unwrap();
            let rest = next.of_run.iter().find(|one| one.name == REST).unwrap();
            // All but those that have a place, one of which is not of the scan.
            assert_eq!(rest.total.counts.ended, 100_000 - DESTINATIONS_MAX as u64 + 1);
            assert_eq!(server_of(&next.of_run[0]).0, 0xc633_64ff);
            format!("{told:?}{next:?}")
        };
        assert!(run(&mut (0..100_000)) == run(&mut (0..100_000).rev()));
    }

    #[test]
    fn who_is_not_allowed_does_not_count() {
        let attempt = Event::Attempt { answered: true, outcome: Outcome::Success, connect_us: Some(5) };
        let events = [
            (1, true, attempt.clone()),
            (2, true, Event::Exchange(Exchange { first_byte_us: None, last_byte_us: None })),
            (3, true, Event::End(Ended { begun: true, ..Ended::default() })),
            (0, false, attempt),
        ];
        let server = |n: u8| IpAddr::V4([198, 51, 100, n].into());
        for (allowed, expected) in [
            (vec![], vec!["192.0.2.7", "198.51.100.1", "198.51.100.2", "198.51.100.3"]),
            (vec![(server(1), None), (server(3), Some(443))], vec!["198.51.100.1", "198.51.100.3"]),
            (vec![(server(1), Some(80)), (server(2), Some(443))], vec!["198.51.100.2"]),
            (vec![([192, 0, 2, 7].into(), Some(80))], vec!["192.0.2.7"]),
            (vec![(server(9), None)], vec![]),
        ] {
            let mut collector = collector();
            let wanted = collector.wanted.take().unwrap();
            collector.wanted = Some(Wanted { allowed: allowed.into_iter().collect(), ..wanted });
            events.iter().for_each(|one| tell(&mut collector, one));
            let told = collector.tell().unwrap();
            let mut found: Vec<String> = told.of_run.iter().map(|one| one.name.address.to_string()).collect();
            found.sort();
            assert_eq!(found, expected);
            assert_eq!(told.all.is_some(), !expected.is_empty());
        }
    }

    #[test]
    fn who_stays_is_who_had_most() {
        let mut collector = Collector { most: 2, ..collector() };
        let attempt = Event::Attempt { answered: true, outcome: Outcome::Success, connect_us: Some(5) };
        let many = |collector: &mut Collector, server: u8, times: usize| {
            (0..times).for_each(|_| tell(collector, &(server, true, attempt.clone())));
        };
        many(&mut collector, 9, 5);
        let told = collector.tell().unwrap();
        assert_eq!((told.folded, told.found), (None, 1));
        // Two new ones; of all three those with most stay, and what goes is in the rest.
        many(&mut collector, 1, 7);
        many(&mut collector, 2, 3);
        let told = collector.tell().unwrap();
        assert_eq!((told.folded, told.of_run.len()), (Some(3), 3));
        let told = collector.tell().unwrap();
        let sums: Vec<_> =
            told.of_run.iter().map(|one| (server_of(one).0, one.total.counts.attempts)).collect();
        assert_eq!(sums, [(0xc633_6401, 7), (0xc633_6409, 5), (0, 3)]);
        assert_eq!((told.folded, told.of_interval.len()), (None, 0));
    }
}
