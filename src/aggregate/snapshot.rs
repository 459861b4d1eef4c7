//! How things stood at one boundary: an immutable object that outputs read.

use super::balance::SetFigures;
use super::classes::ClassId;
use super::culprit::Burst;
use super::destination::Destinations;
use super::flood::{Incomplete, Server};
use super::hidden::Hidden;
use super::millis::LinkSpreads;
use super::openings::Openings;
use super::watch::Handshakes;
use super::window::Averages;
use crate::capture::{Lane, LinkId};
use crate::flow::entry::Entry;
use crate::flow::key::FlowKey;
use crate::flow::record::Account;
use crate::flow::table::TableStats;
use crate::flow::tcp::TcpState;
use crate::meter::totals::{Count, LaneTotals};
use std::net::IpAddr;

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// End of the interval, ns since the epoch.
    pub time_ns: u64,
    /// Begin of the run: live when the rings were opened, in files the first packet's time.
    pub start_ns: u64,
    /// How far the run has come: live `time_ns` on a clock that was never set
    /// back, in files the last packet's time.
    pub end_ns: u64,
    /// Length of the interval, 0 where there is one over all.
    pub interval_ns: u64,
    /// By link number, from 0 on.
    pub interfaces: Vec<InterfaceFigures>,
    /// Flow tables now; counters since the start.
    pub table: TableStats,
    /// The same with the interval's counters.
    pub table_interval: TableStats,
    /// What was not IP since the start, by ethertype, most bytes first.
    pub ethertypes: Vec<(u16, Count)>,
    /// Rows over all interfaces, in the order asked for.
    pub rows: Vec<Row>,
    /// How many rows there were to choose `rows` from.
    pub rows_found: u64,
    /// Which request `rows` are of ([`super::ask::Handle::ask_now`]), 0 before any.
    pub rows_number: u64,
    /// Every flow has been looked at for `rows`; else an answer follows that has the rest.
    pub rows_whole: bool,
    /// Rows of each interface, by link number: its share of each.
    pub link_rows: Vec<Vec<Row>>,
    /// What rows and accounts leave out, where they do.
    pub hidden: Option<Hidden>,
    /// Flows that ended (with accounts), in the order of `connection` lines.
    pub accounts: Vec<Account>,
    /// Totals by lane where packet time passed a noted moment, all workers together.
    pub marks: Vec<(u64, Vec<LaneTotals>)>,
    /// Empty intervals left out before this one.
    pub skipped_intervals: u64,
    /// Packets since the start that came after their interval's end.
    pub late_packets: u64,
    /// Workers that had not cut in time.
    pub late_workers: Vec<usize>,
    /// Rows of groupings that were silent for longest and had to make room: what
    /// they had is in the row for the rest.
    pub groups_folded: u64,
    /// Flows that ended (with accounts) for which an interval had no room, live.
    pub accounts_lost: u64,
    /// Attempts to connect that were decided.
    pub handshakes: Handshakes,
    /// Servers with most attempts that came to nothing since the start, most first;
    /// behind them the rest that found no place, if there is any.
    pub incomplete: Vec<(Server, Incomplete)>,
    /// Connections by destination, where they are asked for.
    pub destinations: Option<Destinations>,
    /// How milliseconds were filled, by link number: of the interval and since
    /// the start, each received and sent. Empty where they are not looked at.
    pub spreads: Vec<LinkSpreads>,
    /// Interfaces side by side.
    pub balances: Vec<SetFigures>,
    /// Bursts that are over, in the order of their beginning.
    pub bursts: Vec<Burst>,
    /// Bursts since the start that could not be told of: too many at once.
    pub bursts_lost: u64,
    /// Rows of the whole run, where they are asked for, in the last snapshot.
    pub run_rows: Option<RunRows>,
    /// What must not be.
    pub faults: Vec<Fault>,
    /// The last snapshot of the run.
    pub last: bool,
}

impl Snapshot {
    /// Wire packets since the start, all interfaces.
    pub fn packets(&self) -> u64 {
        let both = |one: &InterfaceFigures| one.total[0].count.packets + one.total[1].count.packets;
        self.interfaces.iter().map(both).sum()
    }
}

/// Rows by what they had since the start, those of flows that are gone too: of all
/// interfaces together, or of each.
#[derive(Clone, Debug, Default)]
pub struct RunRows {
    /// Of all together.
    pub rows: Vec<Row>,
    /// How many those were chosen from.
    pub found: u64,
    /// Of each interface, by link number.
    pub link_rows: Vec<Vec<Row>>,
}

/// Something that is a defect, not a loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Sums that must be equal are not.
    Identity {
        /// Where.
        lane: Lane,
        /// Totals as counted packet by packet.
        totals: Count,
        /// Flows and untracked.
        parts: Count,
    },
    /// A worker ended without its last cut.
    WorkerGone {
        /// Its number.
        worker: usize,
    },
}

/// Figures of one interface.
#[derive(Clone, Copy, Debug)]
pub struct InterfaceFigures {
    /// Its number.
    pub link: LinkId,
    /// Of the interval: received, sent.
    pub interval: [LaneTotals; 2],
    /// Since the start: received, sent.
    pub total: [LaneTotals; 2],
    /// TCP payload that was acknowledged and never seen: of the interval, since the start.
    pub missing_bytes: [u64; 2],
    /// Handshakes whose SYN passed it: of the interval, since the start.
    pub handshakes: [Openings; 2],
    /// Averages over the last seconds, and peaks: received, sent.
    pub averages: Averages,
    /// Rings, of the interval.
    pub capture_interval: CaptureFigures,
    /// Rings, since the start.
    pub capture: CaptureFigures,
}

/// The kernel's word on an interface's rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureFigures {
    /// Frames that reached a ring.
    pub frames: u64,
    /// Frames that found it full.
    pub kernel_drops: u64,
    /// Times that it was found full.
    pub freezes: u64,
    /// Frames and blocks left out as their description was wrong.
    pub corrupt: u64,
    /// Frames left out as the second sight of one (loopback).
    pub second_sight: u64,
}

/// What names a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowName {
    /// A flow.
    Connection(FlowKey),
    /// Two addresses, the smaller one first; within a link group.
    Pair(IpAddr, IpAddr),
    /// An address.
    Host(IpAddr),
    /// A server's address.
    Destination(IpAddr),
    /// A client's address; direction 0 is from it.
    Source(IpAddr),
    /// IP protocol and port of the server.
    Port(u8, u16),
    /// A class of traffic.
    Class(ClassId),
    /// An interface.
    Interface(LinkId),
}

/// One row of a view. Direction 0 of a connection is client to server, of a
/// pair first to second, of everything else *to* it; 1 is the other way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is.
    pub name: RowName,
    /// The key's second end is the client (connections).
    pub client_second: bool,
    /// Packets and bytes of the interval.
    pub interval: [Count; 2],
    /// Packets and bytes since the start.
    pub total: [Count; 2],
    /// TCP state (connections).
    pub state: Option<TcpState>,
    /// Marks of the entry (connections).
    pub marks: u16,
    /// Lane in force by direction (connections); of a row of one interface that of it
    /// which the direction passed most.
    pub lanes: [Option<Lane>; 2],
    /// How long ago its last packet was, ns, to a tenth of a second (connections).
    pub idle_ns: Option<u64>,
    /// Averages by direction, where the run keeps them and had room for this row.
    pub averages: Option<Averages>,
}

/// Client and server side of an account's entry.
pub fn client_first(entry: &Entry) -> [usize; 2] {
    [entry.client(), 1 - entry.client()]
}

/// Order of `connection` lines: end, start, then client and server.
pub fn account_order(account: &Account) -> (u64, u64, [(IpAddr, u16); 2], FlowKey) {
    let entry = &account.entry;
    let ends = client_first(entry).map(|side| (entry.key.ip(side), entry.key.end(side).port));
    (entry.last, entry.start, ends, entry.key)
}
