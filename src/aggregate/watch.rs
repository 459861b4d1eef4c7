//! Handshakes by watch: which of tcpeek's filters a session belongs to, and
//! what is summed up for each.
//!
//! A session counts in every watch of which one term fits it, once in each,
//! unless an exclusion fits. RX wants the server to be here, TX the client;
//! who is here is told by [`Here`], and where nobody knows, both take it.
//! What was seen from its SYN/ACK on is counted apart, in no other figure.
//!
//! Sums do not depend on the order in which workers report; lines are sorted.
//! Percentiles come from histograms of two digits, so they are less than 1 %
//! too high; the maximum is exact. Knows sessions and addresses; knows no
//! names of interfaces and no configuration.
//! Sources: tcpeek 3189698, filter.c and session.c, for what belongs where.

use crate::capture::{Direction, LINKS_MAX, Lane, LinkId};
use crate::flow::entry::NO_LANE;
use crate::flow::key::FlowKey;
use crate::flow::record::{Outcome, Session};
use arc_swap::ArcSwap;
use hdrhistogram::Histogram;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Decimal digits that histograms keep: 27 KiB each, two of them a watch.
const DIGITS: u8 = 2;
/// Outcomes there are.
const OUTCOMES: usize = Outcome::Evicted as usize;

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    bits: u128,
    mask: u128,
    ipv6: bool,
}

impl Network {
    /// The addresses whose first `prefix` bits are those of `address`.
    pub fn new(address: IpAddr, prefix: u8) -> Network {
        let (bits, width, ipv6) = match address {
            IpAddr::V4(ip) => (u128::from(ip.to_bits()), 32, false),
            IpAddr::V6(ip) => (ip.to_bits(), 128, true),
        };
        let behind = u32::saturating_sub(width, u32::from(prefix));
        let mask = u128::MAX.checked_shl(behind).unwrap_or(0);
        Network { bits: bits & mask, mask, ipv6 }
    }

    /// Whether it has that end of a flow.
    pub(super) fn has(&self, key: &FlowKey, side: usize) -> bool {
        let [high, low] = key.end(side).address;
        let bits = u128::from(high) << 64 | u128::from(low);
        key.is_ipv6() == self.ipv6 && bits & self.mask == self.bits
    }
}

/// Which end of a handshake is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The client: tcpeek's TX.
    Client = 0,
    /// The server: tcpeek's RX.
    Server = 1,
}

/// Which handshakes.
#[derive(Clone, Debug)]
pub struct Term {
    /// The end that is here.
    pub here: Side,
    /// Where the other end is; None is anywhere.
    pub network: Option<Network>,
    /// The server's ports; none are all.
    pub ports: Vec<u16>,
}

impl Term {
    /// `here`: whether client and server may be here.
    fn fits(&self, key: &FlowKey, client_second: bool, here: [bool; 2]) -> bool {
        let client = usize::from(client_second);
        let far = match self.here {
            Side::Client => 1 - client,
            Side::Server => client,
        };
        here[self.here as usize]
            && (self.ports.is_empty() || self.ports.contains(&key.end(1 - client).port))
            && self.network.is_none_or(|network| network.has(key, far))
    }
}

/// A name for some handshakes.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Its name.
    pub name: Arc<str>,
    /// It has what fits one of them.
    pub terms: Vec<Term>,
}

/// What a run's handshakes are counted by.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    /// In the order of outputs; the first 64 count.
    pub named: Vec<Watch>,
    /// What fits one of these is in no watch.
    pub excluded: Vec<Term>,
    /// Whether snapshots carry each session.
    pub sessions: bool,
}

/// What is here, as far as that is known; shared with who finds it out.
pub struct Here {
    /// Of this machine, live.
    addresses: ArcSwap<HashSet<IpAddr>>,
    /// The user's word.
    networks: Vec<Network>,
    /// Links whose frames tell, or are told by somebody, who sent them.
    directed: [AtomicBool; LINKS_MAX],
}

impl Here {
    /// These networks are here.
    pub fn new(networks: Vec<Network>) -> Here {
        Here { addresses: ArcSwap::default(), networks, directed: std::array::from_fn(|_| false.into()) }
    }

    /// The addresses of this machine are these, from now on.
    pub fn set_addresses(&self, addresses: HashSet<IpAddr>) {
        self.addresses.store(Arc::new(addresses));
    }

    /// The direction of this link's frames is known.
    pub fn set_directed(&self, link: LinkId) {
        if let Some(directed) = self.directed.get(usize::from(link)) {
            directed.store(true, Ordering::Relaxed);
        }
    }

    /// Whether client and server are here. Addresses decide where some are
    /// known, else directions: who sends what a link sends is here. None where
    /// neither tells.
    pub(super) fn ends(&self, key: &FlowKey, client_second: bool, lanes: [u8; 2]) -> Option<[bool; 2]> {
        let client = usize::from(client_second);
        let sides = [client, 1 - client];
        let addresses = self.addresses.load();
        if !addresses.is_empty() || !self.networks.is_empty() {
            return Some(sides.map(|side| {
                let address = key.ip(side);
                // All of 127/8 is here, though an interface shows one of it.
                addresses.contains(&address)
                    || !addresses.is_empty() && address.is_loopback()
                    || self.networks.iter().any(|network| network.has(key, side))
            }));
        }
        let [asks, answers] = sides.map(|side| self.direction(lanes[side]));
        let sent = |way| way == Some(Direction::Tx);
        let received = |way| way == Some(Direction::Rx);
        if asks.is_none() && answers.is_none() {
            return None;
        }
        Some([sent(asks) || received(answers), sent(answers) || received(asks)])
    }

    fn direction(&self, lane: u8) -> Option<Direction> {
        let lane = Some(lane).filter(|&lane| lane != NO_LANE).map(Lane)?;
        let directed = self.directed.get(usize::from(lane.link()))?;
        directed.load(Ordering::Relaxed).then(|| lane.direction())
    }
}

impl Default for Here {
    fn default() -> Here {
        Here::new(Vec::new())
    }
}

impl fmt::Debug for Here {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Here").field("networks", &self.networks).finish_non_exhaustive()
    }
}

/// How long connecting took, µs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Half took no longer.
    pub p50_us: u64,
    /// 95 of 100 took no longer.
    pub p95_us: u64,
    /// 99 of 100 took no longer.
    pub p99_us: u64,
    /// None took longer.
    pub max_us: u64,
}

/// What came of the handshakes of one watch over one span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By outcome, see [`Tally::of`].
    pub outcomes: [u64; OUTCOMES],
    /// Seen from their SYN/ACK on: in no other figure.
    pub syn_unseen: u64,
    /// Those that succeeded with a repeated SYN.
    pub sessions_with_syn_retransmitted: u64,
    /// Those that succeeded with a repeated SYN/ACK.
    pub sessions_with_synack_retransmitted: u64,
    /// Repeated SYNs, whatever came of it.
    pub syn_retransmitted: u64,
    /// Repeated SYN/ACKs, whatever came of it.
    pub synack_retransmitted: u64,
    /// First SYN to success; None where that is known of none.
    pub connect: Option<Latency>,
}

impl Tally {
    /// Handshakes that came to one of these ends.
    pub fn of(&self, outcomes: &[Outcome]) -> u64 {
        outcomes.iter().filter_map(|&outcome| self.outcomes.get(place(outcome))).sum()
    }

    /// Nothing happened.
    pub fn is_empty(&self) -> bool {
        self.syn_unseen == 0 && self.outcomes.iter().all(|&count| count == 0)
    }
}

fn place(outcome: Outcome) -> usize {
    usize::from(outcome as u8).saturating_sub(1)
}

/// A watch in a snapshot.
#[derive(Clone, Debug)]
pub struct WatchFigures {
    /// Its name.
    pub name: Arc<str>,
    /// Of the interval.
    pub interval: Tally,
    /// Since the start.
    pub total: Tally,
    /// Handshakes that are neither finished nor failed, at the interval's end.
    pub half_open: u64,
}

impl WatchFigures {
    /// Whether it has a line for the interval.
    pub fn has_line(&self) -> bool {
        self.half_open > 0 || !self.interval.is_empty()
    }
}

/// A session, and which watches have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The session.
    pub session: Session,
    /// Bit n for the watch of number n.
    pub watches: u64,
}

/// Handshakes in a snapshot.
#[derive(Clone, Debug, Default)]
pub struct Handshakes {
    /// All watches, in order.
    pub watches: Vec<WatchFigures>,
    /// Of no watch and not excluded: neither end is here. Since the start.
    pub elsewhere: u64,
    /// Nobody knows which end is here, so they count both ways. Since the start.
    pub unplaced: u64,
    /// Sessions of the interval, where they are wanted, but for excluded and
    /// evicted ones, in the order of their lines.
    pub sessions: Vec<Watched>,
    /// Sessions for which the interval had no room, live.
    pub sessions_lost: u64,
}

impl Handshakes {
    /// Names of the watches that have a session.
    pub fn names_of(&self, session: &Watched) -> impl Iterator<Item = &str> {
        let bits = session.watches;
        let set = move |number: usize| bits.checked_shr(number as u32).unwrap_or(0) & 1 == 1;
        self.watches.iter().enumerate().filter(move |(number, _)| set(*number)).map(|(_, watch)| &*watch.name)
    }
}

/// Latencies that grow, for their percentiles.
pub(super) struct Latencies {
    /// None only if the crate refused its constants.
    histogram: Option<Histogram<u64>>,
    max_us: u64,
}

impl Latencies {
    /// None yet; its memory is taken at once.
    pub fn new() -> Latencies {
        Latencies { histogram: Histogram::new_with_bounds(1, u64::from(u32::MAX), DIGITS).ok(), max_us: 0 }
    }

    /// One more, µs.
    pub fn add(&mut self, us: u32) {
        let us = u64::from(us);
        self.max_us = self.max_us.max(us);
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(us);
        }
    }

    /// None where there are none.
    pub fn told(&self) -> Option<Latency> {
        let histogram = self.histogram.as_ref().filter(|histogram| !histogram.is_empty())?;
        let below = |share| histogram.value_at_quantile(share).min(self.max_us);
        Some(Latency { p50_us: below(0.5), p95_us: below(0.95), p99_us: below(0.99), max_us: self.max_us })
    }

    /// There are none any more.
    pub fn clear(&mut self) {
        self.max_us = 0;
        if let Some(histogram) = &mut self.histogram {
            histogram.reset();
        }
    }
}

/// A tally that grows.
struct Count {
    tally: Tally,
    latencies: Latencies,
}

impl Count {
    fn new() -> Count {
        Count { tally: Tally::default(), latencies: Latencies::new() }
    }

    fn add(&mut self, session: &Session) {
        let tally = &mut self.tally;
        if session.syn_unseen {
            tally.syn_unseen += 1;
            return;
        }
        tally.outcomes[place(session.outcome)] += 1;
        tally.syn_retransmitted += u64::from(session.syn_retransmitted);
        tally.synack_retransmitted += u64::from(session.synack_retransmitted);
        if session.outcome != Outcome::Success {
            return;
        }
        tally.sessions_with_syn_retransmitted += u64::from(session.syn_retransmitted > 0);
        tally.sessions_with_synack_retransmitted += u64::from(session.synack_retransmitted > 0);
        // With data in the last ACK the client may have waited for what to say.
        if let Some(us) = session.connect_us.filter(|_| !session.ack_with_data) {
            self.latencies.add(us);
        }
    }

    /// With its percentiles.
    fn told(&self) -> Tally {
        Tally { connect: self.latencies.told(), ..self.tally }
    }

    fn clear(&mut self) {
        self.tally = Tally::default();
        self.latencies.clear();
    }
}

/// One watch while the run goes on.
struct Sums {
    interval: Count,
    total: Count,
    /// The total as it was told last: percentiles of a silent watch are not found anew.
    told: Tally,
    half_open: u64,
}

/// Sorts sessions into watches.
#[derive(Default)]
pub(super) struct Watcher {
    watches: Watches,
    here: Arc<Here>,
    sums: Vec<Sums>,
    /// Watches of the handshakes that were under way at their worker's last cut,
    /// by worker and slot.
    half_open: HashMap<(usize, u32), u64>,
    elsewhere: u64,
    unplaced: u64,
    sessions: Vec<Watched>,
    sessions_lost: u64,
}

impl Watcher {
    /// These watches, by what is here.
    pub fn new(mut watches: Watches, here: Arc<Here>) -> Watcher {
        watches.named.truncate(u64::BITS as usize);
        let sums =
            || Sums { interval: Count::new(), total: Count::new(), told: Tally::default(), half_open: 0 };
        let sums = watches.named.iter().map(|_| sums()).collect();
        Watcher { watches, here, sums, ..Watcher::default() }
    }

    /// Sessions that a worker reports; of an interval's no more than `most` are kept for lines.
    pub fn take(&mut self, sessions: &[Session], most: usize) {
        if self.watches.named.is_empty() {
            return;
        }
        for session in sessions {
            let Some((bits, placed)) = self.place(&session.key, session.client_second, session.lanes) else {
                continue;
            };
            each_bit(&mut self.sums, bits, |sums| {
                sums.interval.add(session);
                sums.total.add(session);
            });
            self.elsewhere += u64::from(bits == 0);
            self.unplaced += u64::from(!placed);
            // A flood that a full table turns out would else be told one by one.
            if self.watches.sessions && session.outcome != Outcome::Evicted {
                match self.sessions.len() < most {
                    true => self.sessions.push(Watched { session: *session, watches: bits }),
                    false => self.sessions_lost += 1,
                }
            }
        }
    }

    /// Watches of a handshake, a bit for each, and whether it is known which end is
    /// here. None where it is excluded.
    fn place(&self, key: &FlowKey, client_second: bool, lanes: [u8; 2]) -> Option<(u64, bool)> {
        let ends = self.here.ends(key, client_second, lanes);
        let here = ends.unwrap_or([true; 2]);
        let fits = |term: &Term| term.fits(key, client_second, here);
        if self.watches.excluded.iter().any(fits) {
            return None;
        }
        let named = self.watches.named.iter().enumerate();
        let fitting = named.filter(|(_, watch)| watch.terms.iter().any(fits));
        Some((fitting.fold(0, |bits, (number, _)| bits | 1 << number), ends.is_some()))
    }

    /// At its worker's cut a handshake is under way; `flow`: worker and slot.
    pub fn open(&mut self, flow: (usize, u32), key: &FlowKey, client_second: bool, lanes: [u8; 2]) {
        if self.watches.named.is_empty() || self.half_open.contains_key(&flow) {
            return;
        }
        if let Some((bits, _)) = self.place(key, client_second, lanes) {
            self.half_open.insert(flow, bits);
            each_bit(&mut self.sums, bits, |sums| sums.half_open += 1);
        }
    }

    /// It is so no more.
    pub fn close(&mut self, flow: (usize, u32)) {
        if let Some(bits) = self.half_open.remove(&flow) {
            each_bit(&mut self.sums, bits, |sums| sums.half_open = sums.half_open.saturating_sub(1));
        }
    }

    /// How handshakes stand at the end of an interval; another one begins.
    pub fn tell(&mut self) -> Handshakes {
        let told = |(watch, sums): (&Watch, &mut Sums)| {
            let interval = sums.interval.told();
            if !interval.is_empty() {
                sums.told = sums.total.told();
                sums.interval.clear();
            }
            WatchFigures { name: watch.name.clone(), interval, total: sums.told, half_open: sums.half_open }
        };
        let mut sessions = std::mem::take(&mut self.sessions);
        sessions.sort_by_cached_key(|watched| session_order(&watched.session));
        Handshakes {
            watches: self.watches.named.iter().zip(&mut self.sums).map(told).collect(),
            elsewhere: self.elsewhere,
            unplaced: self.unplaced,
            sessions,
            sessions_lost: std::mem::take(&mut self.sessions_lost),
        }
    }
}

/// What is done to the sums of each watch in `bits`.
fn each_bit(sums: &mut [Sums], bits: u64, mut act: impl FnMut(&mut Sums)) {
    let set = |number: usize| bits.checked_shr(number as u32).unwrap_or(0) & 1 == 1;
    sums.iter_mut().enumerate().filter(|(number, _)| set(*number)).for_each(|(_, sums)| act(sums));
}

/// Order of `session` lines: end, start, then client and server.
fn session_order(session: &Session) -> (u64, u64, [(IpAddr, u16); 2], FlowKey, Outcome) {
    let client = usize::from(session.client_second);
    let ends = [client, 1 - client].map(|side| (session.key.ip(side), session.key.end(side).port));
    (session.end_ns, session.start_ns, ends, session.key, session.outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::key::End;
    use proptest::prelude::*;

    const CLIENT: &str = "192.0.2.7";
    const SERVER: &str = "198.51.100.2";

    fn session(client: &str, server: &str, port: u16) -> Session {
        let end = |text: &str, port| match text.parse().expect("an address") {
            IpAddr::V4(ip) => End::v4(ip.to_bits(), port),
            IpAddr::V6(ip) => End { address: [(ip.to_bits() >> 64) as u64, ip.to_bits() as u64], port },
        };
        let (key, client_second) =
            FlowKey::new(end(client, 40_000), end(server, port), 6, client.contains(':'), 0, 0);
        Session {
            slot: 0,
            key,
            client_second,
            start_ns: 0,
            end_ns: 12_000_000,
            outcome: Outcome::Success,
            icmp: [0; 2],
            syn_retransmitted: 0,
            synack_retransmitted: 0,
            synack_seen: true,
            syn_unseen: false,
            connect_us: Some(12_000),
            server_us: None,
            client_us: None,
            ack_with_data: false,
            lanes: [NO_LANE; 2],
        }
    }

    fn term(here: Side, network: Option<(&str, u8)>, ports: &[u16]) -> Term {
        let network = network.map(|(ip, prefix)| Network::new(ip.parse().expect("an address"), prefix));
        Term { here, network, ports: ports.to_vec() }
    }

    fn watches(terms: Vec<Term>, excluded: Vec<Term>) -> Watches {
        let named = terms.into_iter().enumerate();
        let named = named.map(|(at, term)| Watch { name: format!("w{at}").into(), terms: vec![term] });
        Watches { named: named.collect(), excluded, sessions: true }
    }

    fn machine(addresses: &[&str]) -> Arc<Here> {
        let here = Here::default();
        here.set_addresses(addresses.iter().map(|ip| ip.parse().expect("an address")).collect());
        Arc::new(here)
    }

    fn both() -> Vec<Term> {
        vec![term(Side::Server, None, &[]), term(Side::Client, None, &[])]
    }

    /// Names of the watches that take a session; None where it is excluded.
    fn taken(
        terms: Vec<Term>,
        excluded: Vec<Term>,
        here: Arc<Here>,
        session: Session,
    ) -> Option<Vec<String>> {
        let mut watcher = Watcher::new(watches(terms, excluded), here);
        watcher.take(&[session], 10);
        let told = watcher.tell();
        let watched = told.sessions.first()?;
        Some(told.names_of(watched).map(str::to_owned).collect())
    }

    #[test]
    fn rx_has_the_server_here_and_tx_the_client() {
        let table: [(&[&str], &[&str]); 5] = [
            (&[SERVER], &["w0"]),
            (&[CLIENT], &["w1"]),
            (&[CLIENT, SERVER], &["w0", "w1"]),
            (&["203.0.113.1"], &[]),
            (&["::ffff:192.0.2.7"], &[]),
        ];
        for (addresses, expected) in table {
            // Whichever end stands first in the key.
            for (client, server) in [(CLIENT, SERVER), (SERVER, CLIENT)] {
                let addresses: Vec<&str> = addresses
                    .iter()
                    .map(|&ip| match ip {
                        CLIENT => client,
                        SERVER => server,
                        other => other,
                    })
                    .collect();
                let names = taken(both(), vec![], machine(&addresses), session(client, server, 443));
                assert_eq!(names.unwrap(), expected, "{addresses:?}");
            }
        }
        let loopback = session("127.0.0.1", "127.0.0.53", 53);
        assert_eq!(taken(both(), vec![], machine(&[SERVER]), loopback).unwrap(), ["w0", "w1"]);
    }

    #[test]
    fn terms_look_at_the_far_end_and_the_servers_port() {
        let here = || machine(&[SERVER, "2001:db8::2"]);
        let one = session(CLIENT, SERVER, 443);
        let six = session("2001:db8:7::1", "2001:db8::2", 80);
        let table = [
            (one, term(Side::Server, None, &[80, 443]), true),
            (one, term(Side::Server, None, &[80]), false),
            (one, term(Side::Server, None, &[40_000]), false),
            (one, term(Side::Server, Some((CLIENT, 32)), &[]), true),
            (one, term(Side::Server, Some(("192.0.2.99", 24)), &[443]), true),
            (one, term(Side::Server, Some((SERVER, 32)), &[]), false),
            (one, term(Side::Server, Some(("0.0.0.0", 0)), &[]), true),
            (one, term(Side::Server, Some(("::", 0)), &[]), false),
            (one, term(Side::Client, None, &[]), false),
            (six, term(Side::Server, Some(("2001:db8:7::", 48)), &[80]), true),
            (six, term(Side::Server, Some(("2001:db8:8::", 48)), &[80]), false),
            (six, term(Side::Server, Some(("0.0.0.0", 0)), &[]), false),
        ];
        for (session, term, fits) in table {
            let words = format!("{term:?}");
            assert_eq!(
                taken(vec![term], vec![], here(), session).unwrap().len(),
                usize::from(fits),
                "{words}"
            );
        }
    }

    #[test]
    fn what_is_excluded_is_nowhere() {
        let excluded = || vec![term(Side::Server, None, &[22]), term(Side::Client, None, &[25])];
        let here = || machine(&[SERVER]);
        assert_eq!(taken(both(), excluded(), here(), session(CLIENT, SERVER, 22)), None);
        assert_eq!(taken(both(), excluded(), here(), session(CLIENT, SERVER, 25)).unwrap(), ["w0"]);
        let mut watcher = Watcher::new(watches(both(), excluded()), here());
        watcher.take(&[session(CLIENT, SERVER, 22)], 10);
        let told = watcher.tell();
        assert!(told.watches.iter().all(|watch| watch.total.is_empty()));
        assert_eq!((told.elsewhere, told.unplaced), (0, 0));
    }

    #[test]
    fn directions_tell_where_addresses_do_not() {
        let lanes = |asks: Option<Direction>, answers: Option<Direction>| {
            let mut session = session(CLIENT, SERVER, 443);
            let client = usize::from(session.client_second);
            let lane = |way: Option<Direction>| way.map_or(NO_LANE, |way| Lane::new(3, way).0);
            session.lanes[client] = lane(asks);
            session.lanes[1 - client] = lane(answers);
            session
        };
        let here = || {
            let here = Here::default();
            here.set_directed(3);
            Arc::new(here)
        };
        let (rx, tx) = (Some(Direction::Rx), Some(Direction::Tx));
        for (session, expected) in [
            (lanes(rx, tx), vec!["w0"]),
            (lanes(rx, None), vec!["w0"]),
            (lanes(tx, rx), vec!["w1"]),
            (lanes(None, rx), vec!["w1"]),
            (lanes(None, None), vec!["w0", "w1"]),
        ] {
            assert_eq!(taken(both(), vec![], here(), session).unwrap(), expected, "{:?}", session.lanes);
        }
        // A link whose frames do not tell says nothing, so both have it; networks go before directions.
        assert_eq!(taken(both(), vec![], Arc::default(), lanes(rx, rx)).unwrap(), ["w0", "w1"]);
        let networks = Here::new(vec![Network::new(CLIENT.parse().unwrap(), 24)]);
        networks.set_directed(3);
        assert_eq!(taken(both(), vec![], Arc::new(networks), lanes(rx, tx)).unwrap(), ["w1"]);
    }

    #[test]
    fn addresses_are_followed() {
        let here = machine(&[CLIENT]);
        let mut watcher = Watcher::new(watches(both(), vec![]), here.clone());
        watcher.take(&[session(CLIENT, SERVER, 443)], 10);
        here.set_addresses([SERVER.parse().unwrap()].into());
        watcher.take(&[session(CLIENT, SERVER, 443)], 10);
        here.set_addresses(["203.0.113.1".parse().unwrap()].into());
        watcher.take(&[session(CLIENT, SERVER, 443)], 10);
        let told = watcher.tell();
        assert_eq!(told.sessions.iter().map(|watched| watched.watches).collect::<Vec<_>>(), [2, 1, 0]);
        assert_eq!(told.elsewhere, 1);
    }

    #[test]
    fn intervals_begin_anew_and_totals_go_on() {
        let mut watcher = Watcher::new(watches(both(), vec![]), machine(&[SERVER]));
        let slow = Session {
            connect_us: Some(1_012_345),
            syn_retransmitted: 1,
            synack_retransmitted: 2,
            ..session(CLIENT, SERVER, 443)
        };
        let waited = Session { connect_us: Some(9_000_000), ack_with_data: true, ..slow };
        let failed = Session { outcome: Outcome::TimeoutNoAck, connect_us: None, ..slow };
        let unseen = Session { syn_unseen: true, ..slow };
        watcher.take(&[session(CLIENT, SERVER, 443), slow, waited, failed, unseen], 10);
        let first = watcher.tell();
        let rx = &first.watches[0];
        assert_eq!(rx.interval, rx.total);
        assert_eq!(rx.total.of(&[Outcome::Success]), 3);
        assert_eq!(rx.total.of(&[Outcome::TimeoutNoAck, Outcome::TimeoutNoSynack]), 1);
        assert_eq!(rx.total.syn_unseen, 1);
        assert_eq!((rx.total.sessions_with_syn_retransmitted, rx.total.syn_retransmitted), (2, 3));
        assert_eq!((rx.total.sessions_with_synack_retransmitted, rx.total.synack_retransmitted), (2, 6));
        assert_eq!(rx.total.connect.unwrap().max_us, 1_012_345);
        assert!(first.watches[1].total.is_empty());
        assert_eq!(first.watches[1].total.connect, None);
        watcher.take(&[session(CLIENT, SERVER, 443)], 10);
        let second = watcher.tell();
        assert_eq!(second.watches[0].interval.of(&[Outcome::Success]), 1);
        assert_eq!(second.watches[0].interval.connect.unwrap().max_us, 12_000);
        assert_eq!(second.watches[0].total.of(&[Outcome::Success]), 4);
        let third = watcher.tell();
        assert!(third.watches[0].interval.is_empty());
        assert_eq!(third.watches[0].total, second.watches[0].total);
    }

    #[test]
    fn lines_are_bounded_and_a_flood_has_none() {
        let mut watcher = Watcher::new(watches(both(), vec![]), machine(&[SERVER]));
        let evicted = Session { outcome: Outcome::Evicted, ..session(CLIENT, SERVER, 443) };
        watcher.take(&[evicted; 100], 3);
        watcher.take(&[session(CLIENT, SERVER, 443); 5], 3);
        let told = watcher.tell();
        assert_eq!((told.sessions.len(), told.sessions_lost), (3, 2));
        assert_eq!(told.watches[0].total.of(&[Outcome::Evicted]), 100);
        assert_eq!(watcher.tell().sessions_lost, 0);
        let mut nobody = Watcher::new(Watches::default(), Arc::default());
        nobody.take(&[session(CLIENT, SERVER, 443)], 3);
        assert_eq!((nobody.tell().elsewhere, nobody.tell().unplaced), (0, 0));
    }

    proptest! {
        /// Percentiles against a sorted list, and sums that any order of any workers gives.
        #[test]
        fn figures_do_not_depend_on_the_order(
            times in proptest::collection::vec(0u32..5_000_000, 1..300),
            cut in 0usize..300,
        ) {
            let all: Vec<Session> = times
                .iter()
                .enumerate()
                .map(|(at, &us)| Session {
                    connect_us: Some(us),
                    end_ns: u64::from(us) * 1000,
                    ..session(CLIENT, SERVER, 1 + (at % 7) as u16)
                })
                .collect();
            let told = |parts: &[&[Session]]| {
                let mut watcher = Watcher::new(watches(both(), vec![]), machine(&[SERVER]));
                parts.iter().for_each(|part| watcher.take(part, usize::MAX));
                watcher.tell()
            };
            let (first, second) = all.split_at(cut.min(all.len()));
            let (one, other) = (told(&[&all]), told(&[second, first]));
            prop_assert_eq!(one.watches[0].total, other.watches[0].total);
            prop_assert_eq!(&one.sessions, &other.sessions);
            let mut sorted = times.clone();
            sorted.sort_unstable();
            let connect = one.watches[0].total.connect.unwrap();
            prop_assert_eq!(connect.max_us, u64::from(*sorted.last().unwrap()));
            for (share, found) in [(0.5, connect.p50_us), (0.95, connect.p95_us), (0.99, connect.p99_us)] {
                let rank = (share * sorted.len() as f64).ceil() as usize;
                let exact = u64::from(sorted[rank.max(1) - 1]);
                prop_assert!(found >= exact && found <= exact + exact / 100 + 1, "{share}: {found} for {exact}");
            }
        }

        #[test]
        fn networks_are_what_the_standard_library_says(ip: u32, net: u32, prefix in 0u8..=40) {
            let [ip, net] = [ip, net].map(std::net::Ipv4Addr::from_bits);
            let here = session(&ip.to_string(), "198.51.100.2", 1);
            let found = Network::new(IpAddr::V4(net), prefix).has(&here.key, usize::from(here.client_second));
            let shift = 32 - u32::from(prefix.min(32));
            let same = u64::from(ip.to_bits()) >> shift == u64::from(net.to_bits()) >> shift;
            prop_assert_eq!(found, same);
        }
    }
}
