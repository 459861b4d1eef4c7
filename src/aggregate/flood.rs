//! Attempts that came to nothing, by the server that they were for: what a
//! flood of SYNs is aimed at, whatever addresses it pretends to come from.
//!
//! Counted are attempts that timed out, that were pushed out of a full table,
//! and those of which a loss makes the time-out doubtful: a flood that the
//! capture drops a part of is a flood all the same.
//!
//! Bounded, and no bound asks who came first, so any number of workers comes
//! to the same: at a boundary those stay that had most; of those that are new in
//! one interval, the lowest addresses. The rest is summed as the unspecified
//! address. Knows sessions and addresses; knows no names.
//! Source: RFC 4987 §2, for what a SYN flood does to a server.

use crate::flow::record::{Outcome, Session};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};

/// Servers that are kept from one interval to the next, and as many new ones
/// within one: a few MiB.
const SERVERS_MAX: usize = 16_384;

/// Address and port of a server.
pub type Server = (IpAddr, u16);

/// Sums up what found no place of its own.
pub const REST: Server = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Attempts that came to nothing, by how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Incomplete {
    /// Timed out: nobody answered the SYN.
    pub no_synack: u64,
    /// Timed out: nobody answered the SYN/ACK.
    pub no_ack: u64,
    /// Pushed out of a full table.
    pub evicted: u64,
    /// Not finished in time, but the capture lost something meanwhile.
    pub indeterminate: u64,
}

impl Incomplete {
    /// All of them.
    pub fn attempts(&self) -> u64 {
        self.no_synack + self.no_ack + self.evicted + self.indeterminate
    }

    fn add(&mut self, more: &Incomplete) {
        self.no_synack += more.no_synack;
        self.no_ack += more.no_ack;
        self.evicted += more.evicted;
        self.indeterminate += more.indeterminate;
    }

    /// One attempt; None for one that was finished or answered.
    fn of(session: &Session) -> Option<Incomplete> {
        let none = Incomplete::default();
        match session.outcome {
            // Nobody saw anybody ask.
            _ if session.syn_unseen => None,
            Outcome::TimeoutNoSynack => Some(Incomplete { no_synack: 1, ..none }),
            Outcome::TimeoutNoAck => Some(Incomplete { no_ack: 1, ..none }),
            Outcome::Evicted => Some(Incomplete { evicted: 1, ..none }),
            Outcome::Indeterminate => Some(Incomplete { indeterminate: 1, ..none }),
            Outcome::Success
            | Outcome::Reject
            | Outcome::Unreach
            | Outcome::AbortedRst
            | Outcome::Aborted => None,
        }
    }
}

/// Sums by server since the start.
pub(super) struct Flood {
    known: HashMap<Server, Incomplete>,
    /// New in this interval.
    fresh: BTreeMap<Server, Incomplete>,
    rest: Incomplete,
    /// Those with most, as told last, behind them the rest.
    told: Vec<(Server, Incomplete)>,
    changed: bool,
    most: usize,
    /// How many are told.
    shown: usize,
}

impl Default for Flood {
    fn default() -> Flood {
        Flood {
            known: HashMap::new(),
            fresh: BTreeMap::new(),
            rest: Incomplete::default(),
            told: Vec::new(),
            changed: false,
            most: SERVERS_MAX,
            shown: 0,
        }
    }
}

impl Flood {
    /// Tells so many servers at most.
    pub fn show(&mut self, shown: usize) {
        self.shown = shown;
    }

    /// Attempts that a worker reports.
    pub fn take(&mut self, sessions: &[Session]) {
        for session in sessions {
            let Some(one) = Incomplete::of(session) else { continue };
            let side = usize::from(!session.client_second);
            self.gain((session.key.ip(side), session.key.end(side).port), &one);
        }
    }

    fn gain(&mut self, server: Server, one: &Incomplete) {
        self.changed = true;
        if let Some(sum) = self.known.get_mut(&server) {
            return sum.add(one);
        }
        self.fresh.entry(server).or_default().add(one);
        // Who goes is behind all that stay, so comes back only to go again.
        if self.fresh.len() > self.most
            && let Some((_, sum)) = self.fresh.pop_last()
        {
            self.rest.add(&sum);
        }
    }

    /// Servers with most of them, most first; behind them the rest, if there is
    /// any. An interval ends.
    pub fn tell(&mut self) -> Vec<(Server, Incomplete)> {
        if !std::mem::take(&mut self.changed) {
            return self.told.clone();
        }
        self.known.extend(std::mem::take(&mut self.fresh));
        let mut all: Vec<_> = self.known.iter().map(|(server, sum)| (*server, *sum)).collect();
        all.sort_unstable_by_key(|(server, sum)| (Reverse(sum.attempts()), *server));
        for (server, sum) in all.drain(self.most.min(all.len())..) {
            self.rest.add(&sum);
            self.known.remove(&server);
        }
        all.truncate(self.shown);
        if self.shown > 0 && self.rest != Incomplete::default() {
            all.push((REST, self.rest));
        }
        self.told = all;
        self.told.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::entry::NO_LANE;
    use crate::flow::key::{End, FlowKey};
    use proptest::prelude::*;

    fn session(client: u32, server: u32, outcome: Outcome) -> Session {
        let (client, server) = (End::v4(0xc612_0000 + client, 40_000), End::v4(0xc613_0000 + server, 80));
        let (key, reversed) = FlowKey::new(client, server, 6, false, 0, 0);
        Session {
            slot: 0,
            key,
            client_second: reversed,
            start_ns: 0,
            end_ns: 1,
            outcome,
            icmp: [0; 2],
            syn_retransmitted: 0,
            synack_retransmitted: 0,
            synack_seen: false,
            syn_unseen: false,
            connect_us: None,
            server_us: None,
            client_us: None,
            ack_with_data: false,
            lanes: [NO_LANE; 2],
        }
    }

    fn flood(most: usize) -> Flood {
        Flood { most, shown: 1000, ..Flood::default() }
    }

    fn attempts(told: &[(Server, Incomplete)]) -> u64 {
        told.iter().map(|(_, sum)| sum.attempts()).sum()
    }

    #[test]
    fn what_was_finished_or_answered_is_no_flood() {
        use Outcome::*;
        let mut flood = flood(10);
        let all = [
            Success,
            Reject,
            Unreach,
            TimeoutNoSynack,
            TimeoutNoAck,
            AbortedRst,
            Aborted,
            Indeterminate,
            Evicted,
        ];
        flood.take(&all.map(|outcome| session(1, 2, outcome)));
        flood.take(&[Session { syn_unseen: true, ..session(1, 3, Indeterminate) }]);
        let [(server, sum)] = flood.tell()[..] else { panic!("one server") };
        assert_eq!(server, ("198.19.0.2".parse().unwrap(), 80));
        assert_eq!(sum, Incomplete { no_synack: 1, no_ack: 1, evicted: 1, indeterminate: 1 });
        flood.show(0);
        flood.take(&[session(1, 2, Evicted)]);
        assert_eq!(flood.tell(), []);
    }

    proptest! {
        /// Any order within an interval comes to the same, nothing is lost, and no more
        /// than the bound is kept; who has more than all that are new stays.
        #[test]
        fn bounds_do_not_ask_who_came_first(
            intervals in proptest::collection::vec(
                proptest::collection::vec((0u32..40, 0usize..3), 0..120),
                1..6,
            ),
            turn in 0usize..120,
        ) {
            use Outcome::{Evicted, TimeoutNoAck, TimeoutNoSynack};
            let (mut one, mut other) = (flood(8), flood(8));
            let mut all = 0;
            for interval in &intervals {
                let kinds = [TimeoutNoSynack, TimeoutNoAck, Evicted];
                let mut sessions: Vec<Session> =
                    interval.iter().map(|&(server, kind)| session(7, server, kinds[kind])).collect();
                // One that is aimed at: more than all others together.
                sessions.extend((0..=interval.len()).map(|_| session(9, 0, Evicted)));
                all += sessions.len() as u64;
                one.take(&sessions);
                let turn = turn.min(sessions.len());
                sessions.rotate_left(turn);
                sessions.chunks(3).rev().for_each(|some| other.take(some));
                let told = one.tell();
                prop_assert_eq!(&told, &other.tell());
                prop_assert_eq!(attempts(&told), all);
                prop_assert!(told.len() <= 9 && one.known.len() <= 8 && one.fresh.is_empty());
                prop_assert_eq!(told[0].0, ("198.19.0.0".parse().unwrap(), 80));
            }
        }
    }
}
