//! JSON lines as types: what is serialized and what the schema is made from.
//!
//! Keys and their order are the agreement with every reader; adding one is no
//! break, changing one raises [`SCHEMA`]. A key that is absent does not apply,
//! `null` could not be known. The doc comments are the schema's descriptions.

use super::connection::Connection;
use super::destinations::Destination;
use super::handshakes::{ByInterface, Handshake, Incomplete, Session, Sums};
use super::rows::Row;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Version of the keys, as the `start` line tells it.
pub const SCHEMA: u32 = 1;

/// One line of fullcount's JSON output.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
// Made, written and dropped one at a time: never kept in numbers.
#[allow(clippy::large_enum_variant)]
pub enum Line<'a> {
    /// First line: what is watched, and how.
    Start(Start<'a>),
    /// One interface in one interval; in a report in the whole run.
    Interface(Interface<'a>),
    /// What the machine lost, whichever interface it came by, in one interval in which it did.
    Machine(super::lost::MachineLine<'a>),
    /// Interfaces that share a load (or are watched together), in one interval.
    Balance(super::balances::BalanceLine<'a>),
    /// What came of the handshakes of one watch, in one interval in which there were any; in a report in the
    /// whole run.
    Handshake(Handshake<'a>),
    /// Connections to one server address, in one interval in which there were any (with `--by destination`, as
    /// many as `--top` says): most attempts first, then most exchanges, then by address. In a report in the
    /// whole run.
    Destination(Destination<'a>),
    /// All of them together in the same interval, however few `--top` shows: sums and percentiles of all
    /// connections. In a report of the whole run; `stop` has it since the start.
    Destinations(super::destinations::AllLine<'a>),
    /// A time in which one direction of a link was full (`--burst-threshold`), once it is over.
    Burst(super::bursts::BurstLine<'a>),
    /// A handshake that ended.
    Session(Session<'a>),
    /// The whole account of one connection (flow), since its start.
    Connection(Connection<'a>),
    /// Something that a reader must know happened.
    Notice(Notice<'a>),
    /// Last line: totals since the start.
    Stop(Stop<'a>),
}

/// What every line begins with.
#[derive(Serialize, JsonSchema)]
pub struct Head<'a> {
    /// End of the interval in packet time, UTC, with six or nine decimals; null in the
    /// `start` line of files and in notices beside it, as no packet has been read yet.
    pub time: Option<Time>,
    /// Counts every line made, from 0 on: a gap is a lost line.
    pub seq: u64,
    /// Name of the host that counts.
    pub host: &'a str,
}

/// What is watched, and how.
#[derive(Serialize, JsonSchema)]
pub struct Start<'a> {
    /// What every line begins with.
    #[serde(flatten)]
    pub head: Head<'a>,
    /// Version of the program.
    pub version: &'static str,
    /// Version of these keys.
    pub schema: u32,
    /// Interfaces at the start; those of files are met later, with their first frame.
    pub interfaces: Vec<Watched<'a>>,
    /// Bonds that they belong to.
    pub bonds: Vec<Bond<'a>>,
    /// Threads that count.
    pub workers: Vec<Worker>,
    /// Filter expression, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<&'a str>,
    /// Bytes kept of each frame; absent for files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snaplen: Option<u32>,
}

/// An interface at the start.
#[derive(Serialize, JsonSchema)]
pub struct Watched<'a> {
    /// Name.
    pub interface: &'a str,
    /// Speed in bits per second; null where neither the kernel nor the user tells.
    pub speed_bits_per_second: Option<u64>,
    /// Bond that it is a slave of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bond: Option<&'a str>,
    /// `ethernet`, `linux_sll`, `linux_sll2`, `raw`, `null`, `loop`, or `linktype_` and tcpdump's
    /// number; null where it is not known yet.
    pub link_type: Option<Cow<'static, str>>,
    /// Connections are told apart by link group; slaves of one bond are one group.
    pub link_group: u8,
    /// In promiscuous mode; absent for files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promiscuous: Option<bool>,
    /// `unknown` where everything counts as received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Unknown>,
    /// True where a watched device below it has the same packets: totals only, no connections.
    #[serde(skip_serializing_if = "is_false")]
    pub second_copy: bool,
    /// Who stamps its frames: `software`, the kernel as it takes them; absent for files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<&'static str>,
    /// Its rings, all workers together; absent for files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring: Option<Ring>,
}

/// Rings of an interface.
#[derive(Serialize, JsonSchema)]
pub struct Ring {
    /// Their memory in bytes.
    pub bytes: u64,
    /// Milliseconds that the link's full rate takes to fill it; null where the speed is not known.
    pub milliseconds_at_line_rate: Option<u64>,
}

/// A bond.
#[derive(Serialize, JsonSchema)]
pub struct Bond<'a> {
    /// Name.
    pub bond: &'a str,
    /// Mode as in sysfs, such as `802.3ad`.
    pub mode: &'a str,
    /// Transmit hash policy, where the mode has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xmit_hash_policy: Option<&'a str>,
    /// Its slaves.
    pub slaves: &'a [String],
}

/// A thread that counts.
#[derive(Serialize, JsonSchema)]
pub struct Worker {
    /// Number, from 0 on.
    pub worker: usize,
    /// CPU that it is pinned to; absent where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<usize>,
}

/// One interface: in one interval (`interface` line), or since the start (`stop`).
#[derive(Serialize, JsonSchema)]
pub struct Figures<'a> {
    /// Name.
    pub interface: &'a str,
    /// Bond that it is a slave of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bond: Option<&'a str>,
    /// `unknown` where everything counts as received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Unknown>,
    /// Seconds that the line covers; the interval's length as a rule. Absent in `stop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<f64>,
    /// Received.
    pub rx: Lane,
    /// Sent.
    pub tx: Lane,
    /// What is in `rx` and `tx`, but in no flow.
    pub untracked: Untracked,
    /// With `--new-only`: what is in `rx` and `tx` and in flows, but in no row and no `connection` line, as the
    /// connection's start was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Count>,
    /// How complete the figures are.
    pub capture: Capture<'a>,
    /// What was lost besides the ring; absent for files, and where no reading fell into the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<super::lost::Lost<'a>>,
    /// The flow table.
    pub flows: Flows,
    /// Handshakes whose SYN passed it, where there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshakes: Option<ByInterface>,
}

/// One interface in one interval.
#[derive(Serialize, JsonSchema)]
pub struct Interface<'a> {
    /// What every line begins with.
    #[serde(flatten)]
    pub head: Head<'a>,
    /// What the interface did.
    #[serde(flatten)]
    pub figures: Figures<'a>,
    /// Rows with the most traffic on this interface in this interval, as `--by`, `--sort` and `--top` say.
    pub top: Vec<Row<'a>>,
}

/// One direction of an interface.
#[derive(Serialize, JsonSchema)]
pub struct Lane {
    /// Packets on the wire: a super-frame of n segments counts n.
    pub packets: u64,
    /// Layer-2 bytes on the wire, without the frame check sequence.
    pub bytes: u64,
    /// bytes × 8 per second; null where no time passed.
    pub bits_per_second: Option<u64>,
    /// Average over the last 2 s, whole seconds; absent before the first and where an interval is longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_2s_bits_per_second: Option<u64>,
    /// The same over 10 s, or the run so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_10s_bits_per_second: Option<u64>,
    /// The same over 40 s, or the run so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_40s_bits_per_second: Option<u64>,
    /// Highest second since the start (highest interval, where that is longer).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_1s_bits_per_second: Option<u64>,
    /// Highest millisecond, in bits on the line (padding, FCS, preamble and gap included) per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_1ms_bits_per_second: Option<u64>,
    /// Median of the milliseconds, empty ones included, as below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_1ms_bits_per_second: Option<u64>,
    /// 90 of 100 milliseconds had no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p90_1ms_bits_per_second: Option<u64>,
    /// 99 of 100 milliseconds had no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_1ms_bits_per_second: Option<u64>,
    /// Milliseconds by how full they were, where the link's speed is known: empty; above 0 and below
    /// 10 %, below 20 %, and so on, below 90 %; below 99 %; 99 % and more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds_by_utilisation: Option<[u64; 12]>,
    /// With a filter: the interface's own rate, what the filter left out included; null where it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfiltered_bits_per_second: Option<u64>,
    /// Share of the link's rate: each packet padded to 60 bytes, plus 24 (FCS, preamble, gap); null
    /// where the speed is not known or the link is not Ethernet.
    pub line_utilisation_ratio: Option<f64>,
    /// Buffers as the kernel handed them over; with `frame_bytes`, where super-frames make them differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<u64>,
    /// Bytes of these buffers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_bytes: Option<u64>,
    /// Layer-3 bytes.
    pub ip_bytes: u64,
    /// By protocol: `tcp`, `udp`, `icmp`, `icmp6`, `other_ip`, `not_ip`, those that occurred. They add
    /// up to `packets` and `bytes`.
    pub protocols: Map<'static, Count>,
    /// Columns of docs/COLUMNS.md whose figures `--highlight` makes stand out; `bytes`, `packets` and
    /// `in_flows` are those since the start, as there. Absent where there are none.
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    pub highlights: Vec<&'static str>,
}

/// Packets and bytes.
#[derive(Serialize, JsonSchema)]
pub struct Count {
    /// Packets on the wire.
    pub packets: u64,
    /// Layer-2 bytes on the wire.
    pub bytes: u64,
}

/// In the totals, but in no flow; both directions together.
#[derive(Serialize, JsonSchema)]
pub struct Untracked {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// By reason (docs/LOSSES.md), those that occurred.
    pub reasons: Map<'static, Count>,
}

/// How complete the figures are.
#[derive(Serialize, JsonSchema)]
pub struct Capture<'a> {
    /// Frames taken from the rings, or read from the file.
    pub frames: u64,
    /// Frames that found the ring full and are in no figure; 0 for files, which do not tell.
    pub kernel_drops: u64,
    /// Times that the ring was found full; 0 for files.
    pub freezes: u64,
    /// Frames of which the snaplen cut something off (their bytes are counted whole).
    pub truncated: u64,
    /// Packets counted ÷ packets that the interface itself counted; null where the two cannot be
    /// compared (files, a filter, devices that count otherwise).
    pub coverage_ratio: Option<f64>,
    /// Workers that had not reported this interval in time, where there are any: what they counted
    /// comes with a later line.
    #[serde(skip_serializing_if = "<[usize]>::is_empty")]
    pub late_workers: &'a [usize],
    /// TCP payload that receivers acknowledged and that never came by here, of both directions:
    /// what the capture lost, whatever the kernel says, or what a filter that was in force left out. In
    /// an interval what had been missing and came by after all is taken off.
    pub missing_bytes: u64,
    /// The same of connections of which one direction alone was seen by then, where there are any: it
    /// passes elsewhere, or was lost whole. No part of `missing_bytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_way_bytes: Option<u64>,
    /// Packets of super-frames in files whose number rests on an assumed segment size, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_packets: Option<u64>,
    /// Frames and blocks of a ring that were left out because their description was wrong, where
    /// there are any: they are in no figure but `frames`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt_frames: Option<u64>,
    /// Frames left out because a loopback interface showed them a second time, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_sight_frames: Option<u64>,
}

/// The flow table. All interfaces share it, as a connection may use two, so
/// every interface of an interval has the same figures: do not add them up.
#[derive(Serialize, JsonSchema)]
pub struct Flows {
    /// Always `all_interfaces`.
    pub scope: FlowScope,
    /// Flows open now.
    pub active: u64,
    /// Of them, TCP connections whose handshake is not finished.
    pub half_open: u64,
    /// Flows that began.
    pub opened: u64,
    /// Flows that ended, pushed out ones included: `opened` less `active`.
    pub closed: u64,
    /// Of those, flows pushed out because the table was full.
    pub evicted: u64,
    /// With `--new-only`: of `opened`, TCP connections that are left out of rows and lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<u64>,
    /// Decided handshakes and finished exchanges that found no room on their way here, where that
    /// happened: they are missing in `handshake` lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_lost: Option<u64>,
    /// Flows that ended while there was no room to report them, where that happened: they are in the
    /// interfaces' figures, but in no row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreported: Option<Unreported>,
}

/// What flow figures are about.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlowScope {
    /// All interfaces together.
    AllInterfaces,
}

/// Flows that ended unreported.
#[derive(Serialize, JsonSchema)]
pub struct Unreported {
    /// How many.
    pub flows: u64,
    /// Their packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Something that happened.
#[derive(Serialize, JsonSchema)]
pub struct Notice<'a> {
    /// What every line begins with.
    #[serde(flatten)]
    pub head: Head<'a>,
    /// What, a stable word such as `interface_gone` or `intervals_skipped`.
    pub event: &'a str,
    /// Interface that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<&'a str>,
    /// How much, where that can be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// One sentence for people.
    pub message: &'a str,
}

/// Totals since the start.
#[derive(Serialize, JsonSchema)]
pub struct Stop<'a> {
    /// What every line begins with.
    #[serde(flatten)]
    pub head: Head<'a>,
    /// Why the run ended: `signal`, `duration`, `count`, `end of file`, `error`; in a report also `closed pipe`.
    pub reason: &'static str,
    /// How long it took, in packet time.
    pub seconds: f64,
    /// Each interface since the start.
    pub interfaces: Vec<Figures<'a>>,
    /// Interfaces that share a load, since the start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub balances: Vec<super::balances::SideBySide<'a>>,
    /// What the machine lost, whichever interface it came by; absent for files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<super::lost::Machine>,
    /// What was not IP, all interfaces together, most bytes first.
    pub ethertypes: Vec<Ethertype>,
    /// Packets with a time before that of an interval that had ended; counted in the one under way.
    pub late_packets: u64,
    /// Handshakes of each watch since the start.
    pub handshakes: Vec<Sums<'a>>,
    /// Servers with most attempts that came to nothing, most first, as many as `--top` says; absent where
    /// there are none. All watches, and what is in none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incomplete_handshakes: Vec<Incomplete<'a>>,
    /// Handshakes that are in no watch and in no exclusion, as neither end is here (`-F` says what is), where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshakes_elsewhere: Option<u64>,
    /// Handshakes of which nobody knows which end is here (`-F` would say), where there are any: watches of
    /// both directions have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshakes_unplaced: Option<u64>,
    /// All destinations together since the start, where they are counted (`--by destination`, and where there
    /// is a screen); absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destinations: Option<super::destinations::All>,
    /// Lines that a slow reader never got; `seq` counts them.
    pub json_lines_lost: u64,
}

/// Frames of one ethertype.
#[derive(Serialize, JsonSchema)]
pub struct Ethertype {
    /// Ethertype as in the frame, such as `0x0806`; `0xffff` is all beyond the first 31 together, and a
    /// value below `0x0600` is the length of an 802.3 frame.
    pub ethertype: String,
    /// Name, or the number again.
    pub name: Cow<'static, str>,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// The one value of `direction`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// Nothing tells what was received and what was sent: all counts as received.
    Unknown,
}

/// For `skip_serializing_if`.
pub fn is_false(value: &bool) -> bool {
    !value
}

/// A time, ns since the epoch; RFC 3339 in UTC with 6 decimals, or 9 where they are needed.
#[derive(Clone, Copy, Debug)]
pub struct Time(pub u64);

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // 2^64 ns are 584 years, and jiff goes to the year 9999.
        let time = jiff::Timestamp::from_nanosecond(self.0 as i128).unwrap_or(jiff::Timestamp::MAX);
        if self.0.is_multiple_of(1000) { write!(f, "{time:.6}") } else { write!(f, "{time:.9}") }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Time")
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "date-time",
            "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.(\d{6}|\d{9})Z$"
        })
    }
}

/// An object with names as keys, in the order given.
pub struct Map<'a, V>(pub Vec<(Cow<'a, str>, V)>);

impl<V: Serialize> Serialize for Map<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<V: JsonSchema> JsonSchema for Map<'_, V> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        <BTreeMap<String, V>>::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        <BTreeMap<String, V>>::json_schema(generator)
    }
}
