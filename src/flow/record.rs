//! What a table hands over: records of touched flows, with cumulative counters.
//!
//! A record says where a flow stands, not what changed, so one that is late or
//! left out costs nothing: the next one says it all. A flow is named by its
//! slot; its key travels once, with the first record (`NEW`). Records, keys,
//! lane counts, accounts and ends are read in the order in which they were written.

use super::beside::Beside;
use super::detail::{ExchangeTimes, Histogram, LaneCount, Surplus};
use super::entry::{Entry, NO_LANE};
use super::history::History;
use super::key::FlowKey;
use super::sequence::Stream;
use super::tcp::TcpState;
use crate::capture::{Lane, LinkId};
use crate::decode::protocol;

/// Records a buffer holds: 112 KiB of them, half of a worker's level-2 cache share.
pub const BUFFER_RECORDS: usize = 2048;

/// Why a flow left the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum EndReason {
    /// Both ends closed.
    Fin = 0,
    /// Reset.
    Rst,
    /// The attempt was answered by a RST.
    Refused,
    /// The handshake was never finished.
    Timeout,
    /// Silent for its idle limit.
    Idle,
    /// Its ports began a new connection.
    Reused,
    /// Pushed out of a full table.
    Evicted,
    /// Still open at the end of the run.
    Open,
    /// Not ended: a report in between.
    Active,
}

impl EndReason {
    /// Its name in every output.
    pub fn name(self) -> &'static str {
        match self {
            EndReason::Fin => "fin",
            EndReason::Rst => "rst",
            EndReason::Refused => "refused",
            EndReason::Timeout => "timeout",
            EndReason::Idle => "idle",
            EndReason::Reused => "reused",
            EndReason::Evicted => "evicted",
            EndReason::Open => "open",
            EndReason::Active => "active",
        }
    }
}

/// Bits of [`Record::flags`].
pub mod flag {
    /// A key follows in [`super::Buffer::keys`].
    pub const NEW: u8 = 1;
    /// The flow has left the table; its slot may name another from here on.
    pub const END: u8 = 2;
    /// Lane counts follow in [`super::Buffer::lanes`], [`super::Record::lane_count`] of them.
    pub const LANES: u8 = 4;
    /// An account follows in [`super::Buffer::accounts`].
    pub const ACCOUNT: u8 = 8;
    /// The key's second end is the client.
    pub const CLIENT_SECOND: u8 = 16;
    /// What a TCP connection came to follows in [`super::Buffer::ended`].
    pub const ENDED: u8 = 32;
}

/// Where a flow stands.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Its slot in the worker's table.
    pub slot: u32,
    /// See [`flag`].
    pub flags: u8,
    /// TCP state.
    pub state: Option<TcpState>,
    /// Role source and other marks of the entry.
    pub marks: u16,
    /// Lane in force by sender.
    pub lanes: [u8; 2],
    /// Lane counts that follow.
    pub lane_count: u16,
    /// Wire packets by sender, since the flow's start.
    pub packets: [u64; 2],
    /// Layer-2 bytes by sender, since the flow's start.
    pub bytes: [u64; 2],
    /// Time of the last packet, ns.
    pub last_ns: u64,
    /// Link-layer addresses by sender, [`crate::decode::pairs`].
    pub pairs: [u16; 2],
}

const _: () = assert!(size_of::<Record>() == 56);

/// What is kept of a TCP connection beside its entry.
#[derive(Clone, Debug, Default)]
pub struct TcpAccount {
    /// The streams, by sender.
    pub streams: [Stream; 2],
    /// SYN, FIN and RST, and the time that it took to connect.
    pub beside: Beside,
    /// When it came from one state to the next.
    pub history: History,
    /// Round trips by sender of the payload, where they were kept.
    pub round_trips: Option<[Histogram; 2]>,
    /// Times of exchanges, where there were several and they were kept.
    pub exchanges: Option<ExchangeTimes>,
}

/// The whole account of a flow, for `connection` lines.
#[derive(Clone, Debug)]
pub struct Account {
    /// The entry as it was.
    pub entry: Entry,
    /// Super-frames.
    pub surplus: Surplus,
    /// What TCP came to.
    pub tcp: TcpAccount,
    /// Why it left.
    pub reason: EndReason,
    /// Counters by lane, of a side with more than one; for a side without any,
    /// the entry's lane in force has them all.
    pub lanes: Vec<LaneCount>,
}

impl Account {
    /// Payload that a side sent, resends included.
    pub fn payload(&self, side: usize) -> u64 {
        let side = side & 1;
        let is_tcp = self.entry.key.protocol() == protocol::TCP;
        if is_tcp { self.tcp.streams[side].payload_bytes } else { self.entry.payload(side) }
    }

    /// Bytes that a side sent, by interface, each interface once.
    pub fn bytes_by_link(&self, side: usize) -> Vec<(LinkId, u64)> {
        let side = side & 1;
        let mut sums: Vec<(LinkId, u64)> = Vec::new();
        for count in self.lanes.iter().filter(|count| count.side as usize == side) {
            match sums.iter_mut().find(|(link, _)| *link == count.lane.link()) {
                Some((_, bytes)) => *bytes += count.bytes,
                None => sums.push((count.lane.link(), count.bytes)),
            }
        }
        let lane = self.entry.lanes[side];
        if sums.is_empty() && lane != NO_LANE {
            sums.push((Lane(lane).link(), self.entry.sent[side].bytes));
        }
        sums
    }
}

/// How an attempt to connect ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Outcome {
    /// Both ends have the connection.
    Success = 1,
    /// The server answered with a RST.
    Reject,
    /// An ICMP error quotes the SYN.
    Unreach,
    /// Nobody answered the SYN for the time-out.
    TimeoutNoSynack,
    /// Nobody answered the SYN/ACK for the time-out.
    TimeoutNoAck,
    /// The client gave up by RST.
    AbortedRst,
    /// The client gave up by FIN, or began anew with another number.
    Aborted,
    /// Not finished for the time-out, but the capture lost something meanwhile or
    /// never saw its beginning: no failure that anybody could vouch for.
    Indeterminate,
    /// Pushed out of a full table before anything was decided.
    Evicted,
}

impl Outcome {
    /// Its name in every output.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Reject => "reject",
            Outcome::Unreach => "unreach",
            Outcome::TimeoutNoSynack | Outcome::TimeoutNoAck => "timeout",
            Outcome::AbortedRst | Outcome::Aborted => "aborted",
            Outcome::Indeterminate => "indeterminate",
            Outcome::Evicted => "evicted",
        }
    }

    /// From the entry's byte; 0 and anything else is undecided.
    pub fn from_byte(byte: u8) -> Option<Outcome> {
        use Outcome::{
            Aborted, AbortedRst, Evicted, Indeterminate, Reject, Success, TimeoutNoAck, TimeoutNoSynack,
            Unreach,
        };
        [Success, Reject, Unreach, TimeoutNoSynack, TimeoutNoAck, AbortedRst, Aborted, Indeterminate, Evicted]
            .into_iter()
            .find(|outcome| *outcome as u8 == byte)
    }
}

/// An attempt to connect that is decided. µs, None where a latency could not be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Slot of its flow in the worker's table.
    pub slot: u32,
    /// Its flow.
    pub key: FlowKey,
    /// The key's second end is the client.
    pub client_second: bool,
    /// First packet, ns since the epoch.
    pub start_ns: u64,
    /// When it was decided, ns since the epoch: for a time-out the last packet's time and the limit.
    pub end_ns: u64,
    /// How.
    pub outcome: Outcome,
    /// Type and code of the ICMP error (`Unreach`).
    pub icmp: [u8; 2],
    /// SYNs after the first, until it was decided; 255 and more are 255.
    pub syn_retransmitted: u8,
    /// SYN/ACKs after the first, until it was decided; 255 and more are 255.
    pub synack_retransmitted: u8,
    /// A SYN/ACK that answers the SYN was seen.
    pub synack_seen: bool,
    /// It was seen from its SYN/ACK on: in no figure of tcpeek's.
    pub syn_unseen: bool,
    /// First SYN to the end of the handshake (`Success`).
    pub connect_us: Option<u32>,
    /// SYN to SYN/ACK.
    pub server_us: Option<u32>,
    /// SYN/ACK to the client's ACK.
    pub client_us: Option<u32>,
    /// That ACK carried data: the client may have waited with it, so no percentile has it.
    pub ack_with_data: bool,
    /// Lane in force by sender.
    pub lanes: [u8; 2],
}

/// A request and its whole response. µs, both None where the capture lost a part of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Last byte of the request to the first of the response.
    pub first_byte_us: Option<u32>,
    /// First byte of the request to the last of the response.
    pub last_byte_us: Option<u32>,
}

/// An exchange that is complete, and whose it is: its flow's key may come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowExchange {
    /// Its flow.
    pub key: FlowKey,
    /// The key's second end is the client.
    pub client_second: bool,
    /// Lane in force by sender.
    pub lanes: [u8; 2],
    /// Its start was not seen.
    pub midstream: bool,
    /// How long it took.
    pub exchange: Exchange,
}

/// What a TCP connection came to when it left the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Requests that were answered.
    pub exchanges: u32,
    /// Its SYN was seen.
    pub begun: bool,
    /// Neither its SYN nor its SYN/ACK was seen.
    pub midstream: bool,
    /// It was open still when the run ended.
    pub open: bool,
    /// An end reset it.
    pub reset: bool,
    /// The client closed first.
    pub client_closed: bool,
    /// The server closed first.
    pub server_closed: bool,
    /// Its last request had no answer.
    pub unanswered: bool,
    /// The capture lost payload that the other end acknowledged.
    pub missing: bool,
}

const _: () = assert!(size_of::<Ended>() <= 16);

/// A batch of records on its way to the aggregator; it comes back empty.
#[derive(Default)]
pub struct Buffer {
    /// In order.
    pub records: Vec<Record>,
    /// Key and start, ns, of each record with `NEW`.
    pub keys: Vec<(FlowKey, u64)>,
    /// Of each record with `LANES`.
    pub lanes: Vec<LaneCount>,
    /// Of each record with `ACCOUNT`.
    pub accounts: Vec<Account>,
    /// Attempts that were decided, each before the record that ends its flow.
    pub sessions: Vec<Session>,
    /// Exchanges that are complete, each before the record that ends its flow.
    pub exchanges: Vec<FlowExchange>,
    /// Of each record with `ENDED`.
    pub ended: Vec<Ended>,
}

impl Buffer {
    /// An empty buffer with room for all that it may hold.
    pub fn new(accounts: bool) -> Buffer {
        Buffer {
            records: Vec::with_capacity(BUFFER_RECORDS),
            keys: Vec::with_capacity(BUFFER_RECORDS),
            lanes: Vec::with_capacity(BUFFER_RECORDS),
            accounts: Vec::with_capacity(if accounts { BUFFER_RECORDS } else { 0 }),
            sessions: Vec::with_capacity(BUFFER_RECORDS),
            exchanges: Vec::with_capacity(BUFFER_RECORDS),
            ended: Vec::with_capacity(BUFFER_RECORDS),
        }
    }
    /// Whether it has to be sent before another record. A flow has at most 256 lanes a side.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.records.len() >= BUFFER_RECORDS
            || self.lanes.len() + 512 > BUFFER_RECORDS
            || self.sessions.len().max(self.exchanges.len()) >= BUFFER_RECORDS
    }
    /// Nothing to send.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.sessions.is_empty() && self.exchanges.is_empty()
    }
    /// Ready to be filled again; its memory stays.
    pub fn clear(&mut self) {
        self.records.clear();
        self.keys.clear();
        self.lanes.clear();
        self.accounts.clear();
        self.sessions.clear();
        self.exchanges.clear();
        self.ended.clear();
    }
}

/// Where a table puts its records.
pub trait Sink {
    /// A buffer with room for one record, or None where there is none and the
    /// caller must not wait.
    fn buffer(&mut self) -> Option<&mut Buffer>;
}
