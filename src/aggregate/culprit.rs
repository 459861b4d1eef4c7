//! Who filled a burst: exact sums of its very milliseconds, from the workers'
//! journals.
//!
//! Two shares, as they answer different questions. The *share* is a part of
//! all bytes of the burst. The *excess* of a connection is what it had in the
//! burst beyond its mean rate in the second before; its share is the part of
//! all excesses. A steady transfer has the larger share, who came on top has the
//! larger excess, and culprits are in that order.
//!
//! All sums are of integers, so the order is the same however packets were dealt.

use super::burst::{Span, Sums};
use super::classes::{ClassId, Classes};
use crate::capture::{Lane, LinkId};
use crate::flow::key::FlowKey;
use crate::meter::journal::FlowName;
use crate::meter::totals::Count;
use crate::worker::look::{FLOWS_MAX, Seen};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::net::IpAddr;

/// Milliseconds before a burst that connections are compared with.
pub const BEFORE_MS: u64 = 1000;

/// A burst that is over, or that the run's end cut off.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Burst {
    /// Where.
    pub lane: Lane,
    /// First millisecond, since the epoch.
    pub from_ms: u64,
    /// One behind the last.
    pub until_ms: u64,
    /// All of the lane in that time.
    pub sums: Sums,
    /// The link's speed, bits a second, if known.
    pub speed: Option<u64>,
    /// It was under way when the run ended.
    pub open: bool,
    /// Line bits of other links in the same direction and time.
    pub others: Vec<(LinkId, u64)>,
    /// Connections that had a packet in it.
    pub connections: u64,
    /// Of them, those that began in it.
    pub began: u64,
    /// Addresses that sent in it.
    pub senders: u64,
    /// By excess, then by share: connections.
    pub culprits: Vec<Culprit<FlowName>>,
    /// Addresses, whichever end they are.
    pub hosts: Vec<Culprit<IpAddr>>,
    /// Protocols and ports of servers.
    pub ports: Vec<Culprit<(u8, u16)>>,
    /// Classes; none where there are none.
    pub classes: Vec<Culprit<ClassId>>,
    /// In no flow.
    pub untracked: Count,
    /// Of flows that nobody could name any more.
    pub unnamed: Count,
    /// Bytes of the burst that the journals had: all of them, unless it is marked.
    pub journal_bytes: u64,
    /// Milliseconds before it that connections are compared with; 0 where the
    /// journals did not reach back to them.
    pub before_ms: u64,
}

/// One that filled a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Culprit<T> {
    /// Who.
    pub who: T,
    /// In the burst: of a connection by its key's ends as senders; of others to it, from it.
    pub sent: [Count; 2],
    /// Bytes beyond what its rate before would have made, rounded down.
    pub excess_bytes: u64,
    /// Sum of the excesses of all connections of the burst: never less than its own.
    pub excess_of_all: u64,
    /// It began in the burst (connections).
    pub began: bool,
}

impl<T> Culprit<T> {
    /// Packets and bytes, both ways.
    pub fn count(&self) -> Count {
        let mut sum = self.sent[0];
        sum.add(self.sent[1]);
        sum
    }
}

/// What has been summed of a flow.
#[derive(Clone, Copy, Debug)]
struct Sum {
    flow: FlowName,
    sent: [Count; 2],
    before: u64,
}

/// Sums of one burst, while answers come.
#[derive(Debug, Default)]
pub struct Shares {
    flows: HashMap<FlowKey, Sum>,
    untracked: Count,
    unnamed: Count,
    before_lost: bool,
}

impl Shares {
    /// Adds a worker's answer for a part of the burst. `with_before`: that part
    /// asked for what came before it.
    pub fn add(&mut self, seen: &Seen, with_before: bool) {
        self.untracked.add(seen.untracked);
        self.unnamed.add(seen.unnamed);
        self.before_lost |= with_before && !seen.before_whole;
        for share in &seen.flows {
            let room = self.flows.len() < FLOWS_MAX;
            let sum = match self.flows.get_mut(&share.flow.key) {
                Some(sum) => sum,
                None if room => self.flows.entry(share.flow.key).or_insert(Sum {
                    flow: share.flow,
                    sent: [Count::default(); 2],
                    before: 0,
                }),
                None => {
                    share.sent.iter().for_each(|&count| self.unnamed.add(count));
                    continue;
                }
            };
            sum.before += share.before;
            // The ports of an old connection may have begun a new one meanwhile.
            sum.flow.start_ns = sum.flow.start_ns.max(share.flow.start_ns);
            for (sum, &count) in sum.sent.iter_mut().zip(&share.sent) {
                sum.add(count);
            }
        }
    }

    /// The whole burst; `most` culprits of each kind. `before_ms`: milliseconds
    /// before it that were asked for.
    pub fn tell(self, lane: Lane, span: &Span, before_ms: u64, most: usize, known: &Classes) -> Burst {
        let before_ms = if self.before_lost { 0 } else { before_ms };
        let length_ms = span.until_ms - span.from_ms;
        let excess = Excess { length_ms, before_ms };
        let from_ns = span.from_ms.saturating_mul(crate::meter::bins::BIN_NS);
        let in_it = || self.flows.values().filter(|sum| sum.sent.iter().any(|count| count.packets > 0));
        let mut journal = self.untracked;
        journal.add(self.unnamed);
        let mut senders = HashSet::new();
        let (mut hosts, mut ports, mut classes) = (HashMap::new(), HashMap::new(), HashMap::new());
        for sum in in_it() {
            let key = &sum.flow.key;
            for side in 0..2 {
                journal.add(sum.sent[side]);
                if sum.sent[side].packets > 0 {
                    senders.insert(key.ip(side));
                }
                if key.ip(0) != key.ip(1) {
                    add_to(&mut hosts, key.ip(side), [sum.sent[1 - side], sum.sent[side]], sum.before);
                }
            }
            // A host that speaks with itself has it once.
            if key.ip(0) == key.ip(1) {
                let mut both = sum.sent[0];
                both.add(sum.sent[1]);
                add_to(&mut hosts, key.ip(0), [Count::default(), both], sum.before);
            }
            let server = usize::from(!sum.flow.client_second);
            let port = (key.protocol(), key.end(server).port);
            let sent = [sum.sent[1 - server], sum.sent[server]];
            add_to(&mut ports, port, sent, sum.before);
            if !known.is_empty() {
                add_to(&mut classes, known.of(key, sum.flow.client_second), sent, sum.before);
            }
        }
        let connections: Vec<_> = in_it().map(|sum| (sum.flow, sum.sent, sum.before)).collect();
        let began = connections.iter().filter(|(flow, ..)| flow.start_ns >= from_ns).count() as u64;
        // Who has several connections may have more of one and less of another, so a sum
        // over hosts or ports is not what came on top.
        let all = connections.iter().map(|(_, sent, before)| excess.of(bytes_of(sent), *before)).sum();
        let mut culprits = excess.rank(connections.iter().copied(), all, most, |flow: &FlowName| flow.key);
        culprits.iter_mut().for_each(|culprit| culprit.began = culprit.who.start_ns >= from_ns);
        Burst {
            lane,
            from_ms: span.from_ms,
            until_ms: span.until_ms,
            sums: span.sums,
            speed: None,
            open: false,
            others: Vec::new(),
            connections: connections.len() as u64,
            began,
            senders: senders.len() as u64,
            culprits,
            hosts: excess.rank(each(hosts), all, most, |host: &IpAddr| *host),
            ports: excess.rank(each(ports), all, most, |port| *port),
            classes: excess.rank(each(classes), all, usize::MAX, |class| *class),
            untracked: self.untracked,
            unnamed: self.unnamed,
            journal_bytes: journal.bytes,
            before_ms,
        }
    }
}

/// Sums of a kind.
type Of<T> = HashMap<T, ([Count; 2], u64)>;

fn each<T>(all: Of<T>) -> impl Iterator<Item = (T, [Count; 2], u64)> {
    all.into_iter().map(|(who, (sent, before))| (who, sent, before))
}

fn add_to<T: Eq + Hash>(all: &mut Of<T>, who: T, sent: [Count; 2], before: u64) {
    let (sums, sum_before) = all.entry(who).or_default();
    for (sum, count) in sums.iter_mut().zip(sent) {
        sum.add(count);
    }
    *sum_before += before;
}

fn bytes_of(sent: &[Count; 2]) -> u64 {
    sent[0].bytes + sent[1].bytes
}

/// How much is beyond what was usual.
struct Excess {
    length_ms: u64,
    before_ms: u64,
}

impl Excess {
    /// Of bytes in the burst, given those before it.
    fn of(&self, bytes: u64, before: u64) -> u64 {
        if self.before_ms == 0 {
            return bytes;
        }
        let usual = u128::from(before) * u128::from(self.length_ms) / u128::from(self.before_ms);
        u128::from(bytes).saturating_sub(usual) as u64
    }

    /// The first by excess, then by share, then by name; `excess_of_all`: of all connections.
    fn rank<T: Copy, N: Ord>(
        &self,
        all: impl Iterator<Item = (T, [Count; 2], u64)>,
        excess_of_all: u64,
        most: usize,
        name: impl Fn(&T) -> N,
    ) -> Vec<Culprit<T>> {
        let mut culprits: Vec<Culprit<T>> = all
            .map(|(who, sent, before)| {
                let excess_bytes = self.of(bytes_of(&sent), before);
                Culprit { who, sent, excess_bytes, excess_of_all, began: false }
            })
            .collect();
        culprits.sort_unstable_by_key(|culprit| {
            (Reverse(culprit.excess_bytes), Reverse(culprit.count().bytes), name(&culprit.who))
        });
        culprits.truncate(most);
        culprits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Direction;
    use crate::flow::key::End;
    use crate::worker::look::FlowShare;

    fn flow(client: u32, start_ms: u64) -> FlowName {
        let key = FlowKey::new(End::v4(client, 40_000), End::v4(0xc633_6402, 443), 6, false, 0, 0).0;
        FlowName { key, start_ns: start_ms * 1_000_000, client_second: key.end(1).port == 40_000 }
    }

    fn share(flow: FlowName, bytes: u64, before: u64) -> FlowShare {
        FlowShare { flow, sent: [Count { packets: 1, bytes }, Count::default()], before }
    }

    #[test]
    fn who_came_on_top_stands_before_who_was_always_there() {
        let (steady, sudden, ended) = (flow(1, 0), flow(2, 5_005), flow(3, 0));
        let mut shares = Shares::default();
        // 20 ms: the steady one goes on at 50,000 bytes/ms, the sudden one adds less than that.
        shares.add(
            &Seen {
                flows: vec![
                    share(steady, 1_000_000, 50_000_000),
                    FlowShare { sent: [Count::default(); 2], ..share(ended, 0, 70_000) },
                ],
                untracked: Count { packets: 1, bytes: 60 },
                before_whole: true,
                whole: true,
                ..Seen::default()
            },
            true,
        );
        shares.add(
            &Seen { flows: vec![share(sudden, 600_000, 0)], before_whole: true, ..Seen::default() },
            true,
        );
        let span =
            Span { from_ms: 5_000, until_ms: 5_020, sums: Sums { bytes: 1_600_060, ..Sums::default() } };
        let burst = shares.tell(Lane::new(0, Direction::Rx), &span, BEFORE_MS, 10, &Classes::default());
        assert_eq!((burst.connections, burst.began, burst.journal_bytes), (2, 1, 1_600_060));
        let told = |culprit: &Culprit<FlowName>| {
            (culprit.who, culprit.count().bytes, culprit.excess_bytes, culprit.began)
        };
        let told: Vec<_> = burst.culprits.iter().map(told).collect();
        assert_eq!(told, [(sudden, 600_000, 600_000, true), (steady, 1_000_000, 0, false)]);
        assert_eq!((burst.ports.len(), burst.ports[0].who), (1, (6, 443)));
        assert_eq!(burst.hosts.len(), 3);
    }

    /// One of a server's connections gives way to another: what the server has more is
    /// less than what came on top, and no part of that is more than all of it.
    #[test]
    fn who_gives_way_to_itself_has_less_on_top() {
        let mut shares = Shares::default();
        // 20 ms of what had 50,000 bytes a millisecond, and has a fifth of that.
        let flows = vec![share(flow(1, 0), 200_000, 50_000_000), share(flow(2, 5_000), 1_000_000, 0)];
        shares.add(&Seen { flows, before_whole: true, ..Seen::default() }, true);
        let span =
            Span { from_ms: 5_000, until_ms: 5_020, sums: Sums { bytes: 1_200_000, ..Sums::default() } };
        let burst = shares.tell(Lane(0), &span, BEFORE_MS, 10, &Classes::default());
        let told = |excess, all| (excess, all);
        let hosts: Vec<_> = burst.hosts.iter().map(|one| told(one.excess_bytes, one.excess_of_all)).collect();
        assert_eq!(hosts, [told(1_000_000, 1_000_000), told(200_000, 1_000_000), told(0, 1_000_000)]);
        assert_eq!(told(burst.ports[0].excess_bytes, burst.ports[0].excess_of_all), (200_000, 1_000_000));
    }

    #[test]
    fn without_a_time_before_everything_is_excess() {
        let mut shares = Shares::default();
        shares.add(&Seen { flows: vec![share(flow(1, 0), 500, 0)], ..Seen::default() }, true);
        let span = Span { from_ms: 10, until_ms: 11, sums: Sums::default() };
        let burst = shares.tell(Lane(0), &span, BEFORE_MS, 10, &Classes::default());
        assert_eq!((burst.before_ms, burst.culprits[0].excess_bytes), (0, 500));
    }
}
