//! A second flow table, slow and simple: a map from key to flow, one packet at a
//! time, nothing prefetched, nothing packed. It knows the table's rules and none
//! of its ways; where the two differ one of them is wrong.
//!
//! What TCP makes of a connection is not judged here: each one has a table of its
//! own ([`Alone`]), with room for more, and what that says of it must be true
//! among others as well. Limits, ranks, ends, counters and lanes are worked out
//! here.
//!
//! Who is pushed out of a full table is not predicted but checked: [`Twin::replay`]
//! is told who went, and says whether that is within the rules.

use super::{Collector, S, config};
use fullcount::decode::tcp_flag::{RST, SYN};
use fullcount::decode::{Kind, Packet, protocol};
use fullcount::flow::beside::Beside;
use fullcount::flow::entry::state;
use fullcount::flow::key::FlowKey;
use fullcount::flow::record::{Account, EndReason};
use fullcount::flow::sequence::Stream;
use fullcount::flow::table::FlowTable;
use fullcount::flow::tcp::{TcpState, state_of};
use fullcount::meter::totals::Totals;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// What only TCP knows of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    pub state: TcpState,
    pub streams: [Stream; 2],
    pub beside: Beside,
    pub exchanges: u32,
}

impl Tcp {
    pub fn of(account: &Account) -> Tcp {
        Tcp {
            state: state_of(&account.entry),
            streams: account.tcp.streams,
            beside: account.tcp.beside,
            exchanges: account.entry.exchanges,
        }
    }
}

/// A table with one key only: nothing shares a batch, a slot or a detail with it,
/// nobody sweeps it, nobody is pushed out.
struct Alone {
    table: FlowTable,
    sink: Collector,
}

impl Alone {
    fn new() -> Alone {
        Alone { table: FlowTable::new(config(16)), sink: Collector::default() }
    }

    /// Counts a packet; the connection that it ended, where it began another one.
    fn take(&mut self, packet: &Packet, unread: &mut Totals) -> Option<Account> {
        let opened = self.table.stats().opened;
        self.table.process(&mut [*packet], unread, &mut self.sink);
        self.sink.take_in();
        let ended = self.sink.accounts.pop();
        assert!(self.sink.accounts.is_empty(), "one packet ends one connection");
        let begun = (opened == 0) as u64 + ended.is_some() as u64;
        assert_eq!(self.table.stats().opened, opened + begun, "the next one follows");
        ended
    }

    /// State and client.
    fn now(&self) -> (TcpState, usize) {
        let mut all = Vec::new();
        self.table.for_each(|entry, _| all.push((state_of(entry), entry.client())));
        let [one] = all[..] else { panic!("one flow, not {all:?}") };
        one
    }

    fn finish(mut self) -> Account {
        self.table.end_all(0, &mut self.sink);
        self.sink.take_in();
        self.sink.accounts.pop().expect("it has not ended before")
    }
}

/// A flow as the rules have it.
pub struct Flow {
    pub key: FlowKey,
    pub start: u64,
    pub last: u64,
    pub client: usize,
    pub packets: [u64; 2],
    pub bytes: [u64; 2],
    /// TCP's is known when it has ended.
    pub payload: [u64; 2],
    pub frames: [u64; 2],
    /// (side, lane): packets and bytes.
    pub lanes: BTreeMap<(u8, u8), (u64, u64)>,
    /// Of TCP, until it ends.
    alone: Option<Alone>,
    state: Option<TcpState>,
    /// Of TCP, when it has ended.
    pub tcp: Option<Tcp>,
}

/// What the rules tell apart when a table is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    Ended,
    HalfOpen,
    Other,
}

/// What takes a flow out of a table, where it is no packet of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    Silent,
    PushedOut,
    /// The run is over, and it is still there.
    Last,
}

impl Flow {
    fn begin(packet: &Packet, unread: &mut Totals) -> Flow {
        let ports = [packet.key.end(0).port, packet.key.end(1).port];
        let lower_is_server = match ports[0].cmp(&ports[1]) {
            std::cmp::Ordering::Less => 1,
            std::cmp::Ordering::Greater => 0,
            std::cmp::Ordering::Equal => packet.reversed as usize,
        };
        let is_tcp = packet.key.protocol() == protocol::TCP;
        let mut flow = Flow {
            key: packet.key,
            start: packet.time_ns,
            last: packet.time_ns,
            client: lower_is_server,
            packets: [0; 2],
            bytes: [0; 2],
            payload: [0; 2],
            frames: [0; 2],
            lanes: BTreeMap::new(),
            alone: is_tcp.then(Alone::new),
            state: None,
            tcp: None,
        };
        if let Some(alone) = &mut flow.alone {
            alone.take(packet, unread);
        }
        flow.count(packet);
        flow
    }

    /// The next packet of its key; the flow that it ends where it begins another.
    fn take(&mut self, packet: &Packet, unread: &mut Totals) -> Option<(Flow, EndReason)> {
        let Some(account) = self.alone.as_mut().and_then(|alone| alone.take(packet, unread)) else {
            self.count(packet);
            return None;
        };
        let fin_acked = state::FIN_ACKED << state::SIDE[packet.reversed as usize];
        let behind_fin = packet.payload > 0 && account.entry.has(fin_acked);
        let begins = packet.tcp_flags & SYN != 0 || behind_fin;
        assert!(packet.kind == Kind::Tcp && begins, "a SYN begins the next one, or payload behind a FIN");
        // An attempt that a RST answered had ended by that; all else is ended by this segment.
        let answered = self.state == Some(TcpState::Reset) && !account.entry.has(state::PROVEN);
        assert_eq!(account.reason != EndReason::Reused, answered, "{:?}", account.reason);
        // In a new table: in this one the slot is not fresh.
        let mut ended = std::mem::replace(self, Flow::begin(packet, unread));
        ended.alone = None;
        ended.know(&account);
        Some((ended, account.reason))
    }

    fn count(&mut self, packet: &Packet) {
        let side = packet.reversed as usize;
        self.packets[side] += packet.segments as u64;
        self.frames[side] += 1;
        self.bytes[side] += packet.bytes as u64;
        let lane = self.lanes.entry((side as u8, packet.lane.0)).or_default();
        *lane = (lane.0 + packet.segments as u64, lane.1 + packet.bytes as u64);
        self.last = packet.time_ns;
        if let Some(alone) = &self.alone {
            let (state, client) = alone.now();
            (self.state, self.client) = (Some(state), client);
        } else {
            self.payload[side] += packet.payload as u64;
        }
    }

    fn know(&mut self, account: &Account) {
        let tcp = Tcp::of(account);
        (self.state, self.client) = (Some(tcp.state), account.entry.client());
        self.payload = [0, 1].map(|side| account.payload(side));
        self.tcp = Some(tcp);
    }

    pub fn rank(&self) -> Rank {
        match self.state {
            Some(TcpState::TimeWait | TcpState::Reset) => Rank::Ended,
            Some(TcpState::SynSent | TcpState::SynReceived | TcpState::Closed) => Rank::HalfOpen,
            _ => Rank::Other,
        }
    }

    /// After this silence it has ended.
    pub fn limit(&self) -> u64 {
        let seconds = match (self.key.protocol(), self.rank(), self.state) {
            (protocol::TCP, Rank::Ended, _) => 10,
            (protocol::TCP, Rank::HalfOpen, _) => 60,
            (protocol::TCP, _, Some(TcpState::Established)) => 7440,
            (protocol::TCP, ..) => 240,
            (protocol::UDP, ..) => 180,
            _ => 60,
        };
        seconds * S
    }

    /// What it is in the end, and why it is over.
    fn end(mut self, leaves: Leaves) -> (Flow, EndReason) {
        let rank = self.rank();
        let account = self.alone.take().map(Alone::finish);
        if let Some(account) = &account {
            self.know(account);
        }
        let reason = match (rank, leaves) {
            (Rank::Ended, _) => account.expect("only TCP ends by itself").reason,
            (_, Leaves::Last) => EndReason::Open,
            (_, Leaves::PushedOut) => EndReason::Evicted,
            (Rank::HalfOpen, Leaves::Silent) => EndReason::Timeout,
            (Rank::Other, Leaves::Silent) => EndReason::Idle,
        };
        // An attempt that ends undecided is decided by that: there is no connection.
        if let Some(tcp) = self.tcp.as_mut().filter(|_| rank == Rank::HalfOpen && leaves != Leaves::Last) {
            tcp.state = TcpState::Closed;
        }
        (self, reason)
    }
}

/// All flows.
#[derive(Default)]
pub struct Twin {
    pub live: HashMap<FlowKey, Flow>,
    /// In the order in which they ended.
    pub ended: Vec<(Flow, EndReason)>,
    pub opened: u64,
    /// Packets and bytes that no flow has.
    pub untracked: (u64, u64),
    /// Where the tables of single flows count.
    unread: Totals,
}

impl Twin {
    /// Takes a flow out; why it is over.
    pub fn end(&mut self, key: &FlowKey, leaves: Leaves) -> EndReason {
        let (flow, reason) = self.live.remove(key).expect("what ends is there").end(leaves);
        self.ended.push((flow, reason));
        reason
    }

    /// Counts a packet and ends what it finds ended. The flow that has it now, out
    /// of the others, and what it was before, if it was there.
    fn count(&mut self, packet: &Packet) -> Option<(Flow, Option<Rank>)> {
        if !matches!(packet.kind, Kind::Untracked(_)) {
            let known = self.live.remove(&packet.key);
            if let Some(mut flow) = known {
                if packet.time_ns < flow.last.saturating_add(flow.limit()) {
                    let rank = flow.rank();
                    let ended = flow.take(packet, &mut self.unread);
                    let was = if ended.is_none() { Some(rank) } else { None };
                    self.ended.extend(ended);
                    return Some((flow, was));
                }
                self.ended.push(flow.end(Leaves::Silent));
            }
            let is_tcp = packet.key.protocol() == protocol::TCP;
            let stray = is_tcp && (packet.kind == Kind::TcpInert || packet.tcp_flags & RST != 0);
            if !stray {
                return Some((Flow::begin(packet, &mut self.unread), None));
            }
        }
        self.untracked.0 += packet.segments as u64;
        self.untracked.1 += packet.bytes as u64;
        None
    }

    fn put(&mut self, flow: Flow, begins: bool) {
        self.live.insert(flow.key, flow);
        self.opened += begins as u64;
    }

    pub fn take(&mut self, packet: &Packet) {
        if let Some((flow, was)) = self.count(packet) {
            self.put(flow, was.is_none());
        }
    }

    /// A packet in a table that holds `most` flows. `gone`: who left the other
    /// table, in order; those who left for this packet are taken from it.
    pub fn replay(&mut self, packet: &Packet, most: usize, gone: &mut VecDeque<Gone>) -> Result<(), String> {
        let ended = self.ended.len();
        let counted = self.count(packet);
        if let Some((flow, reason)) = self.ended.get(ended) {
            match gone.pop_front() {
                Some(one) if one == (flow.key, *reason) => {}
                other => return Err(format!("{:?} ends as {reason:?}, not {other:?}", flow.key)),
            }
        }
        if let Some((flow, was)) = counted {
            self.make_room(&flow, was, most, gone)?;
            self.put(flow, was.is_none());
        }
        Ok(())
    }

    /// Half-open flows have a quarter of the table, those as well whose RST is
    /// taken back. In a full one ended flows go first, then half-open ones, then
    /// any; of each kind the longest idle. `was`: what the flow was before its
    /// last packet, if it was there.
    fn make_room(
        &mut self,
        flow: &Flow,
        was: Option<Rank>,
        most: usize,
        gone: &mut VecDeque<Gone>,
    ) -> Result<(), String> {
        let half_open = self.live.values().filter(|flow| flow.rank() == Rank::HalfOpen).count();
        if flow.rank() == Rank::HalfOpen && was != Some(Rank::HalfOpen) && half_open >= most / 4 {
            self.push_out(Rank::HalfOpen, flow.last, gone)?;
        }
        if was.is_none() && self.live.len() >= most {
            let there = |rank| self.live.values().any(|flow| flow.rank() == rank);
            let first = [Rank::Ended, Rank::HalfOpen, Rank::Other].into_iter().find(|&rank| there(rank));
            self.push_out(first.ok_or("a table without room and flows")?, flow.last, gone)?;
        }
        Ok(())
    }

    fn push_out(&mut self, rank: Rank, now: u64, gone: &mut VecDeque<Gone>) -> Result<(), String> {
        let (key, reason) = gone.pop_front().ok_or(format!("one that is {rank:?} has to go"))?;
        let flow = self.live.get(&key).ok_or(format!("{key:?} went and was not there"))?;
        if flow.rank() != rank {
            return Err(format!("{key:?} is {:?} and went, not {rank:?}", flow.rank()));
        }
        // Those whose time is over wait for nobody: they are longer idle than others in any order.
        let alive = |other: &&Flow| other.rank() == rank && now < other.last + other.limit();
        let longer = self.live.values().filter(alive).find(|other| other.last / S < flow.last / S);
        if let Some(other) = longer {
            return Err(format!("{key:?} went, {:?} is idle longer", other.key));
        }
        let expected = self.end(&key, Leaves::PushedOut);
        if reason != expected {
            return Err(format!("{key:?} is {rank:?} and went as {reason:?}, not {expected:?}"));
        }
        Ok(())
    }

    /// Everything that it has had: what is still there as it is now.
    pub fn all(mut self) -> Vec<(Flow, EndReason)> {
        let last = self.live.into_values().map(|flow| flow.end(Leaves::Last));
        self.ended.extend(last);
        self.ended
    }
}

/// A flow that left, and why.
pub type Gone = (FlowKey, EndReason);
