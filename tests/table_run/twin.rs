//! A second flow table, slow and simple: a map from key to flow, one packet at a
//! time, nothing prefetched, nothing packed. It knows the rules and none of the
//! table's ways; where the two differ one of them is wrong.
//!
//! Who is pushed out of a full table is not predicted but checked: [`Twin::replay`]
//! is told who went, and says whether that is within the rules.

use super::S;
use fullcount::decode::tcp_flag::{ACK, FIN, RST, SYN};
use fullcount::decode::{Kind, Packet, protocol};
use fullcount::flow::key::FlowKey;
use fullcount::flow::record::EndReason;
use fullcount::flow::tcp::TcpState;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Serial arithmetic (RFC 9293 §3.4): how far `a` is ahead of `b`.
fn ahead(a: u32, b: u32) -> i64 {
    a.wrapping_sub(b) as i32 as i64
}

const LARGEST_WINDOW: i64 = 1 << 30;

/// What one side has said.
#[derive(Clone, Debug, Default)]
struct Side {
    syn: bool,
    syn_acknowledged: bool,
    fin: bool,
    fin_acknowledged: bool,
    reset: bool,
    /// Number behind its SYN, where that is known.
    first: Option<u32>,
    /// Number behind the last byte known, seen or acknowledged.
    edge: Option<u32>,
    /// Highest acknowledgement of it.
    acknowledged: Option<u32>,
    /// Where its stream begins: behind its SYN, or at the first payload seen.
    base: Option<u32>,
}

/// A flow as the rules have it.
#[derive(Clone, Debug)]
pub struct Flow {
    pub key: FlowKey,
    pub start: u64,
    pub last: u64,
    pub client: usize,
    pub packets: [u64; 2],
    pub bytes: [u64; 2],
    pub payload: [u64; 2],
    pub frames: [u64; 2],
    /// (side, lane): packets and bytes.
    pub lanes: BTreeMap<(u8, u8), (u64, u64)>,
    proven: bool,
    /// The client gave up by FIN before anything was proven.
    aborted: bool,
    attempt: bool,
    /// Both ends sent a SYN (RFC 9293 §3.5): it takes both to be answered.
    both_open: bool,
    role_by_answer: bool,
    refused: bool,
    sides: [Side; 2],
}

/// What the rules tell apart when a table is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    Ended,
    HalfOpen,
    Other,
}

impl Flow {
    fn new(packet: &Packet) -> Flow {
        let sender = packet.reversed as usize;
        let ports = [packet.key.end(0).port, packet.key.end(1).port];
        let lower_is_server = match ports[0].cmp(&ports[1]) {
            std::cmp::Ordering::Less => 1,
            std::cmp::Ordering::Greater => 0,
            std::cmp::Ordering::Equal => sender,
        };
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
            proven: false,
            aborted: false,
            attempt: false,
            both_open: false,
            role_by_answer: false,
            refused: false,
            sides: Default::default(),
        };
        if packet.kind == Kind::Tcp {
            match (packet.tcp_flags & SYN != 0, packet.tcp_flags & ACK != 0) {
                (true, false) => {
                    flow.client = sender;
                    flow.attempt = true;
                }
                (true, true) => {
                    flow.attempt = true;
                    flow.client = 1 - sender;
                    flow.role_by_answer = true;
                }
                _ => flow.proven = true,
            }
        }
        flow
    }

    pub fn is_tcp(&self) -> bool {
        self.key.protocol() == protocol::TCP
    }

    pub fn state(&self) -> TcpState {
        let [a, b] = &self.sides;
        if a.reset || b.reset {
            return TcpState::Reset;
        }
        if !self.proven {
            if self.aborted {
                return TcpState::Closed;
            }
            let answered = self.sides[1 - self.client].syn;
            return if answered { TcpState::SynReceived } else { TcpState::SynSent };
        }
        match (a.fin, b.fin) {
            (false, false) => TcpState::Established,
            (true, true) if a.fin_acknowledged && b.fin_acknowledged => TcpState::TimeWait,
            (true, true) => TcpState::Closing,
            (first, _) => {
                let closer = if first { 0 } else { 1 };
                match (self.sides[closer].fin_acknowledged, closer == self.client) {
                    (false, _) => TcpState::FinWait,
                    (true, true) => TcpState::HalfClosedClient,
                    (true, false) => TcpState::HalfClosedServer,
                }
            }
        }
    }

    pub fn rank(&self) -> Rank {
        match self.state() {
            _ if !self.is_tcp() => Rank::Other,
            TcpState::TimeWait | TcpState::Reset => Rank::Ended,
            TcpState::SynSent | TcpState::SynReceived | TcpState::Closed => Rank::HalfOpen,
            _ => Rank::Other,
        }
    }

    /// After this silence it has ended.
    pub fn limit(&self) -> u64 {
        let seconds = match (self.key.protocol(), self.rank(), self.state()) {
            (protocol::TCP, Rank::Ended, _) => 10,
            (protocol::TCP, Rank::HalfOpen, _) => 60,
            (protocol::TCP, _, TcpState::Established) => 7440,
            (protocol::TCP, ..) => 240,
            (protocol::UDP, ..) => 180,
            _ => 60,
        };
        seconds * S
    }

    /// Why it is over when nothing but time ends it.
    pub fn reason(&self) -> EndReason {
        match self.rank() {
            Rank::HalfOpen => EndReason::Timeout,
            Rank::Other => EndReason::Idle,
            Rank::Ended if self.state() == TcpState::TimeWait => EndReason::Fin,
            Rank::Ended if self.refused => EndReason::Refused,
            Rank::Ended => EndReason::Rst,
        }
    }

    fn is_reset(&self) -> bool {
        self.sides.iter().any(|side| side.reset)
    }

    /// Whether a SYN or SYN/ACK is of another connection with the same ports.
    fn is_another(&self, packet: &Packet) -> bool {
        let (sender, other) = (packet.reversed as usize, 1 - packet.reversed as usize);
        let same = self.sides[sender].first == Some(packet.sequence.wrapping_add(1));
        if packet.tcp_flags & SYN == 0 {
            false
        } else if packet.tcp_flags & ACK != 0 {
            let fits = self.sides[other].first == Some(packet.acknowledgement);
            self.proven && !same && !fits
        } else if self.proven {
            !same
        } else if self.is_reset() || self.aborted {
            true
        } else {
            self.sides[sender].first.is_some() && !same
        }
    }

    pub fn count(&mut self, packet: &Packet) {
        let side = packet.reversed as usize;
        self.packets[side] += packet.segments as u64;
        self.frames[side] += 1;
        self.bytes[side] += packet.bytes as u64;
        self.payload[side] += packet.payload as u64;
        let lane = self.lanes.entry((side as u8, packet.lane.0)).or_default();
        *lane = (lane.0 + packet.segments as u64, lane.1 + packet.bytes as u64);
        self.last = packet.time_ns;
        if packet.kind == Kind::Tcp {
            self.segment(packet);
        }
    }

    fn segment(&mut self, packet: &Packet) {
        let sender = packet.reversed as usize;
        if packet.tcp_flags & RST != 0 {
            self.reset(packet, sender);
        } else if packet.tcp_flags & SYN != 0 {
            self.syn(packet, sender);
        } else {
            let accepted = packet.tcp_flags & ACK != 0 && self.acknowledge(packet, sender);
            let plausible = self.data(packet, sender);
            if packet.tcp_flags & FIN != 0 && plausible {
                self.fin(packet, sender);
            }
            if !self.proven && !self.is_reset() && !self.aborted && packet.tcp_flags & ACK != 0 {
                self.proof(packet, sender);
            }
            let gives_up = packet.tcp_flags & FIN != 0 && sender == self.client;
            if gives_up && self.attempt && !self.proven && !self.is_reset() {
                self.aborted = true;
            }
            let other = &mut self.sides[1 - sender];
            if accepted && other.fin && other.edge.is_some_and(|edge| ahead(packet.acknowledgement, edge) > 0)
            {
                other.fin_acknowledged = true;
            }
        }
    }

    /// Whether the number says anything of this connection.
    fn acknowledge(&mut self, packet: &Packet, sender: usize) -> bool {
        let number = packet.acknowledgement;
        let stranger = !self.proven && !self.sides[sender].syn;
        // Its first word: what it acknowledges is the other's first number.
        let own = &self.sides[sender];
        let first_word = self.attempt
            && sender == self.client
            && own.first == Some(packet.sequence)
            && own.acknowledged.is_none_or(|number| number == packet.sequence);
        let other = &mut self.sides[1 - sender];
        let Some(edge) = other.edge else {
            (other.edge, other.acknowledged) = (Some(number), Some(number));
            other.base = first_word.then_some(number);
            return true;
        };
        let beyond = ahead(number, edge);
        let before_all = other.first.is_some_and(|first| ahead(number, first) < 0);
        if beyond > LARGEST_WINDOW || stranger && beyond > 0 && other.first.is_some() || before_all {
            return false;
        }
        if other.acknowledged.is_none_or(|highest| ahead(number, highest) > 0) {
            other.acknowledged = Some(number);
            if beyond > 0 {
                // Behind a FIN there is nothing.
                if other.fin {
                    other.acknowledged = Some(edge);
                } else {
                    other.edge = Some(number);
                }
            }
        }
        true
    }

    fn data(&mut self, packet: &Packet, sender: usize) -> bool {
        let side = &mut self.sides[sender];
        let end = packet.sequence.wrapping_add(packet.payload);
        if side.base.is_none() && !side.fin && (packet.payload > 0 || packet.tcp_flags & FIN != 0) {
            // What was acknowledged before belongs to the time before the capture.
            if packet.payload > 0 {
                side.base = Some(packet.sequence);
            }
            side.edge = Some(packet.sequence);
            side.acknowledged = side.acknowledged.map(|_| packet.sequence);
        }
        let edge = *side.edge.get_or_insert(packet.sequence);
        if packet.payload == 0 {
            return true;
        }
        if ahead(packet.sequence, edge) > LARGEST_WINDOW {
            return false;
        }
        if ahead(end, edge) > 0 {
            side.edge = Some(end);
            side.reset = false;
        }
        true
    }

    fn fin(&mut self, packet: &Packet, sender: usize) {
        let side = &mut self.sides[sender];
        let Some(edge) = side.edge else { return };
        let number = packet.sequence.wrapping_add(packet.payload);
        if side.fin {
            return;
        }
        match ahead(number, edge) {
            0 => side.fin = true,
            // What lies before it was not seen.
            1..=LARGEST_WINDOW => {
                side.fin = true;
                side.edge = Some(number);
            }
            // Its acknowledgement came by before it did.
            -1 if side.acknowledged == Some(edge) => {
                side.fin = true;
                side.fin_acknowledged = true;
                (side.edge, side.acknowledged) = (Some(number), Some(number));
            }
            _ => {}
        }
    }

    fn proof(&mut self, packet: &Packet, sender: usize) {
        let other = 1 - sender;
        if self.both_open {
            self.proven = self.sides.iter().all(|side| side.syn_acknowledged);
        } else if sender == self.client {
            let own = self.sides[sender].first.is_none_or(|first| ahead(packet.sequence, first) >= 0);
            let its = self.sides[other].first.is_none_or(|first| ahead(packet.acknowledgement, first) >= 0);
            self.proven = own && its;
        } else if let (Some(first), Some(edge)) = (self.sides[other].first, self.sides[other].edge) {
            let least = ahead(packet.acknowledgement, first);
            let beyond = ahead(packet.acknowledgement, edge);
            let believed = if self.sides[sender].syn { beyond <= LARGEST_WINDOW } else { beyond <= 0 };
            let speaks = packet.payload > 0 && least >= 0 && believed;
            self.proven = speaks || least > 0 && believed;
        }
        if self.proven {
            self.sides[1 - self.client].syn = true;
        }
    }

    fn syn(&mut self, packet: &Packet, sender: usize) {
        let other = 1 - sender;
        let first = packet.sequence.wrapping_add(1);
        let answers = packet.tcp_flags & ACK != 0;
        if answers && let (Some(its), Some(edge)) = (self.sides[other].first, self.sides[other].edge) {
            let sent = ahead(edge, its);
            if !(0..=sent).contains(&ahead(packet.acknowledgement, its)) {
                return;
            }
        }
        let side = &mut self.sides[sender];
        let anew = side.first.is_some() && side.first != Some(first) && !self.proven;
        if side.first.is_none() || anew {
            side.first = Some(first);
            side.base = Some(first);
            side.acknowledged = side.acknowledged.map(|_| first);
            // Before the handshake is proven what was seen may be of another connection.
            if !self.proven || side.edge.is_none() {
                side.edge = Some(first.wrapping_add(packet.payload));
            }
        }
        if !answers && sender == self.client && side.first == Some(first) {
            self.role_by_answer = false;
        }
        side.syn = true;
        if !answers && !self.proven && sender != self.client {
            self.both_open |= self.attempt;
        }
        if !answers || self.proven {
            return;
        }
        self.both_open |= self.attempt && sender == self.client;
        let acknowledged = self.sides[sender].syn_acknowledged;
        let its = &mut self.sides[other];
        (its.syn, its.syn_acknowledged) = (true, true);
        if its.first.is_none() {
            its.first = Some(packet.acknowledgement);
            its.base = its.first;
            its.edge = Some(packet.acknowledgement);
        }
        its.acknowledged.get_or_insert(packet.acknowledgement);
        if acknowledged && self.both_open && !self.aborted && !self.is_reset() {
            self.proven = true;
        }
    }

    fn reset(&mut self, packet: &Packet, sender: usize) {
        let other = 1 - sender;
        if self.is_reset() || self.sides.iter().all(|side| side.fin_acknowledged) {
            return;
        }
        let (own, its) = (&self.sides[sender], &self.sides[other]);
        let accepted = if self.proven {
            match (own.base, own.edge) {
                (Some(first), Some(edge)) => {
                    let least = own.acknowledged.unwrap_or(first);
                    let next = ahead(packet.sequence, edge) - own.fin as i64;
                    ahead(packet.sequence, least) >= 0 && next <= 1 << 20
                }
                _ => true,
            }
        } else if sender == self.client {
            own.first.is_none_or(|first| (-1..=0).contains(&ahead(packet.sequence, first)))
        } else if own.first.is_some() {
            own.first == Some(packet.sequence)
        } else {
            let fits = |first, edge| (0..=ahead(edge, first)).contains(&ahead(packet.acknowledgement, first));
            let known = its.first.zip(its.edge);
            packet.tcp_flags & ACK != 0 && known.is_some_and(|(first, edge)| fits(first, edge))
        };
        if accepted {
            self.sides[sender].reset = true;
            self.refused = !self.proven && sender != self.client;
        }
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
}

impl Twin {
    pub fn end(&mut self, key: &FlowKey, reason: EndReason) {
        let flow = self.live.remove(key).expect("what ends is there");
        self.ended.push((flow, reason));
    }

    /// Ends what the packet finds ended; whether it begins a flow (None: it is in none).
    pub fn before(&mut self, packet: &Packet) -> Option<bool> {
        if matches!(packet.kind, Kind::Untracked(_)) {
            return None;
        }
        if let Some(flow) = self.live.get(&packet.key) {
            let reason = if packet.time_ns >= flow.last.saturating_add(flow.limit()) {
                Some(flow.reason())
            } else if packet.kind == Kind::Tcp && flow.is_another(packet) {
                Some(if flow.state() == TcpState::Reset { flow.reason() } else { EndReason::Reused })
            } else {
                None
            };
            match reason {
                Some(reason) => self.end(&packet.key, reason),
                None => return Some(false),
            }
        }
        let is_tcp = packet.key.protocol() == protocol::TCP;
        let stray = is_tcp && (packet.kind == Kind::TcpInert || packet.tcp_flags & RST != 0);
        (!stray).then_some(true)
    }

    pub fn take(&mut self, packet: &Packet) {
        match self.before(packet) {
            None => {
                self.untracked.0 += packet.segments as u64;
                self.untracked.1 += packet.bytes as u64;
            }
            Some(begins) => {
                if begins {
                    self.begin(packet);
                }
                self.live.get_mut(&packet.key).expect("it is there").count(packet);
            }
        }
    }

    pub fn begin(&mut self, packet: &Packet) {
        self.live.insert(packet.key, Flow::new(packet));
        self.opened += 1;
    }

    /// A packet in a table that holds `most` flows. `gone`: who left the other
    /// table, in order; those who left for this packet are taken from it.
    pub fn replay(&mut self, packet: &Packet, most: usize, gone: &mut VecDeque<Gone>) -> Result<(), String> {
        let ended = self.ended.len();
        let begins = self.before(packet) == Some(true);
        if self.ended.len() > ended {
            let (flow, reason) = &self.ended[ended];
            match gone.pop_front() {
                Some(one) if one == (flow.key, *reason) => {}
                other => return Err(format!("{:?} ends as {reason:?}, not {other:?}", flow.key)),
            }
        }
        if begins {
            self.make_room(packet, most, gone)?;
        }
        self.take(packet);
        Ok(())
    }

    /// Half-open flows have a quarter of the table. In a full one ended flows go
    /// first, then half-open ones, then any; of each kind the longest idle.
    fn make_room(&mut self, packet: &Packet, most: usize, gone: &mut VecDeque<Gone>) -> Result<(), String> {
        let half_open = self.live.values().filter(|flow| flow.rank() == Rank::HalfOpen).count();
        if Flow::new(packet).rank() == Rank::HalfOpen && half_open >= most / 4 {
            self.push_out(Rank::HalfOpen, packet.time_ns, gone)?;
        }
        if self.live.len() >= most {
            let there = |rank| self.live.values().any(|flow| flow.rank() == rank);
            let first = [Rank::Ended, Rank::HalfOpen, Rank::Other].into_iter().find(|&rank| there(rank));
            self.push_out(first.ok_or("a table without room and flows")?, packet.time_ns, gone)?;
        }
        Ok(())
    }

    fn push_out(&mut self, rank: Rank, now: u64, gone: &mut VecDeque<Gone>) -> Result<(), String> {
        let (key, reason) = gone.pop_front().ok_or(format!("one that is {rank:?} has to go"))?;
        let flow = self.live.get(&key).ok_or(format!("{key:?} went and was not there"))?;
        let expected = if rank == Rank::Ended { flow.reason() } else { EndReason::Evicted };
        if flow.rank() != rank || reason != expected {
            return Err(format!("{key:?} is {:?} and went as {reason:?}, not {rank:?}", flow.rank()));
        }
        // Those whose time is over wait for nobody: they are longer idle than others in any order.
        let alive = |other: &&Flow| other.rank() == rank && now < other.last + other.limit();
        let longer = self.live.values().filter(alive).find(|other| other.last / S < flow.last / S);
        if let Some(other) = longer {
            return Err(format!("{key:?} went, {:?} is idle longer", other.key));
        }
        self.end(&key, reason);
        Ok(())
    }
}

/// A flow that left, and why.
pub type Gone = (FlowKey, EndReason);
