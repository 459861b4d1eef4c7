//! What a table hands over: records of touched flows, with cumulative counters.
//!
//! A record says where a flow stands, not what changed, so one that is late or
//! left out costs nothing: the next one says it all. A flow is named by its
//! slot; its key travels once, with the first record (`NEW`). Records, keys,
//! lane counts and accounts are read in the order in which they were written.

use super::detail::{LaneCount, Surplus};
use super::entry::{Entry, NO_LANE};
use super::key::FlowKey;
use super::tcp::TcpState;
use crate::capture::{Lane, LinkId};

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
}

const _: () = assert!(size_of::<Record>() == 56);

/// The whole account of a flow, for `connection` lines.
#[derive(Clone, Debug)]
pub struct Account {
    /// The entry as it was.
    pub entry: Entry,
    /// Super-frames.
    pub surplus: Surplus,
    /// Why it left.
    pub reason: EndReason,
    /// Counters by lane, of a side with more than one; for a side without any,
    /// the entry's lane in force has them all.
    pub lanes: Vec<LaneCount>,
}

impl Account {
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
}

impl Buffer {
    /// An empty buffer with room for all that it may hold.
    pub fn new(accounts: bool) -> Buffer {
        Buffer {
            records: Vec::with_capacity(BUFFER_RECORDS),
            keys: Vec::with_capacity(BUFFER_RECORDS),
            lanes: Vec::with_capacity(BUFFER_RECORDS),
            accounts: Vec::with_capacity(if accounts { BUFFER_RECORDS } else { 0 }),
        }
    }
    /// Whether it has to be sent before another record. A flow has at most 256 lanes a side.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.records.len() >= BUFFER_RECORDS || self.lanes.len() + 512 > BUFFER_RECORDS
    }
    /// Nothing to send.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
    /// Ready to be filled again; its memory stays.
    pub fn clear(&mut self) {
        self.records.clear();
        self.keys.clear();
        self.lanes.clear();
        self.accounts.clear();
    }
}

/// Where a table puts its records.
pub trait Sink {
    /// A buffer with room for one record, or None where there is none and the
    /// caller must not wait.
    fn buffer(&mut self) -> Option<&mut Buffer>;
}
