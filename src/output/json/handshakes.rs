//! `handshake` and `session` lines: their keys, and which figure goes under which.
//!
//! Outcomes are kept apart here; tcpeek's words for them, which put some
//! together, are text's.

use super::lines::{Head, Time};
use super::rows::{End, Vlan};
use crate::aggregate::flood;
use crate::aggregate::openings::Openings;
use crate::aggregate::watch::{Handshakes, Latency, Tally, WatchFigures, Watched};
use crate::capture::Lane;
use crate::flow::entry::NO_LANE;
use crate::flow::record::{self, Outcome};
use crate::output::Context;
use crate::output::columns::Over;
use crate::output::figures::seconds;
use crate::output::handshakes::HANDSHAKE_COLUMNS;
use schemars::JsonSchema;
use serde::Serialize;

/// Handshakes of one watch that ended in one interval.
#[derive(Serialize, JsonSchema)]
pub struct Handshake<'a> {
    /// What every line begins with.
    #[serde(flatten)]
    pub head: Head<'a>,
    /// What came of them.
    #[serde(flatten)]
    pub sums: Sums<'a>,
}

/// What came of the handshakes of one watch, in one interval or (in `stop`) since the start. Those that
/// were evicted from a full table are a sum here and have no `session` line.
#[derive(Serialize, JsonSchema)]
pub struct Sums<'a> {
    /// Name of the watch (`--watch`); `RX` (the server is here) and `TX` (the client is here) are always there.
    pub watch: &'a str,
    /// Connections.
    pub success: u64,
    /// Of them, those whose SYN was repeated.
    pub sessions_with_syn_retransmitted: u64,
    /// Of them, those whose SYN/ACK was repeated.
    pub sessions_with_synack_retransmitted: u64,
    /// SYNs after the first, of all these handshakes, failed ones included.
    pub syn_retransmitted_segments: u64,
    /// SYN/ACKs after the first, of all these handshakes, failed ones included.
    pub synack_retransmitted_segments: u64,
    /// Attempts that failed.
    pub failure: Failure,
    /// Neither: not finished in time, but the capture lost something meanwhile.
    pub indeterminate: u64,
    /// Neither: pushed out of a full table before they were decided.
    pub evicted: u64,
    /// Seen from their SYN/ACK on, so in no other figure; absent where there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub syn_unseen: u64,
    /// From the first SYN to the end of a handshake that succeeded, less than 1 % too high but for `max`. Those
    /// whose last ACK carried data are left out, as the client may have waited for what to say.
    pub latency_seconds: Percentiles,
    /// Neither finished nor failed at the end of the interval (in `stop`: of the run); they count in what comes.
    pub half_open: u64,
    /// Columns of docs/COLUMNS.md whose figures, those of this object, `--highlight` makes stand out; absent
    /// where there are none.
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    pub highlights: Vec<&'static str>,
}

/// Handshakes whose SYN passed one interface, in one interval or (in `stop`) since the start; of any watch or none.
#[derive(Serialize, JsonSchema)]
pub struct ByInterface {
    /// Decided, whatever came of them.
    pub attempts: u64,
    /// Of them, connections.
    pub success: u64,
    /// From the first SYN to the end of a handshake that succeeded. Less than 1 % too high but for `max`, as those
    /// below; where the last ACK carried data it is left out, and from `synack_to_ack_seconds`.
    pub connect_seconds: Percentiles,
    /// SYN to SYN/ACK: the way to the server and back.
    pub syn_to_synack_seconds: Percentiles,
    /// SYN/ACK to the client's ACK: the way to the client and back.
    pub synack_to_ack_seconds: Percentiles,
}

/// Attempts at one server that were neither finished nor refused, since the start: what a flood of SYNs leaves.
#[derive(Serialize, JsonSchema)]
pub struct Incomplete<'a> {
    /// The server; address `0.0.0.0` and port 0 stand for all that found no place (16,384 are kept), and come last.
    pub server: End<'a>,
    /// All of them: the sum of the figures below.
    pub attempts: u64,
    /// Not finished for `--timeout`.
    pub timeout: TimedOut,
    /// Pushed out of a full table.
    pub evicted: u64,
    /// Not finished in time, but the capture lost something meanwhile.
    pub indeterminate: u64,
}

/// What a time-out waited for.
#[derive(Serialize, JsonSchema)]
pub struct TimedOut {
    /// Nobody answered the SYN.
    pub no_synack: u64,
    /// Nobody answered the SYN/ACK.
    pub no_ack: u64,
}

/// Failed attempts by outcome.
#[derive(Serialize, JsonSchema)]
pub struct Failure {
    /// Not finished for `--timeout`.
    pub timeout: u64,
    /// Answered with a RST.
    pub reject: u64,
    /// Answered with an ICMP error.
    pub unreach: u64,
    /// Given up by the client.
    pub aborted: u64,
}

/// Seconds that so many took no longer than; null where none is known.
#[derive(Serialize, JsonSchema)]
pub struct Percentiles {
    /// Half.
    pub p50: Option<f64>,
    /// 95 of 100.
    pub p95: Option<f64>,
    /// 99 of 100.
    pub p99: Option<f64>,
    /// All, exactly.
    pub max: Option<f64>,
}

/// A handshake that ended (with `--sessions`).
#[derive(Serialize, JsonSchema)]
pub struct Session<'a> {
    /// What every line begins with.
    #[serde(flatten)]
    pub head: Head<'a>,
    /// Watches that it counts in; none where neither end is here.
    pub watch: Vec<&'a str>,
    /// Who asked.
    pub client: End<'a>,
    /// Who was asked.
    pub server: End<'a>,
    /// VLAN ids, outermost first, where its frames are tagged.
    #[serde(skip_serializing_if = "Vlan::is_empty")]
    pub vlan: Vlan,
    /// Time of its first packet.
    pub start: Time,
    /// `success`, `reject`, `unreach`, `timeout`, `aborted`, `indeterminate`.
    pub outcome: &'static str,
    /// What a `timeout` waited for: `no_synack` (nobody answered the SYN), `no_ack` (nobody answered the SYN/ACK).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The ICMP error of `unreach`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp: Option<Icmp>,
    /// From its start to its end; of a time-out to the last packet and as long as was waited then.
    pub seconds: f64,
    /// SYNs after the first; 255 are 255 or more.
    pub syn_retransmitted: u8,
    /// SYN/ACKs after the first; 255 are 255 or more.
    pub synack_retransmitted: u8,
    /// SYN to SYN/ACK: the way to the server and back; null where it is not known which SYN was answered.
    pub syn_to_synack_seconds: Option<f64>,
    /// SYN/ACK to the client's ACK: the way to the client and back; null where that is not known.
    pub synack_to_ack_seconds: Option<f64>,
    /// True where that ACK carried data: the client may have waited with it.
    #[serde(skip_serializing_if = "super::lines::is_false")]
    pub ack_with_data: bool,
    /// True where its SYN was not seen: it is in no figure of a `handshake` line but `syn_unseen`.
    #[serde(skip_serializing_if = "super::lines::is_false")]
    pub syn_unseen: bool,
    /// Interfaces that it passed.
    pub interfaces: Passed<'a>,
}

/// An ICMP error that quotes a SYN.
#[derive(Serialize, JsonSchema)]
pub struct Icmp {
    /// Its type, of ICMP or (IPv6) ICMPv6.
    pub r#type: u8,
    /// Its code.
    pub code: u8,
}

/// Interface by direction; null where nothing was seen of that direction.
#[derive(Serialize, JsonSchema)]
pub struct Passed<'a> {
    /// Client to server.
    pub c2s: Option<&'a str>,
    /// Server to client.
    pub s2c: Option<&'a str>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Sums of a watch.
pub fn sums<'a>(watch: &'a WatchFigures, tally: &Tally, context: &Context) -> Sums<'a> {
    let shown = WatchFigures { interval: *tally, total: *tally, ..watch.clone() };
    let over = Over { context, span_ns: 0 };
    let of = |outcomes: &[Outcome]| tally.of(outcomes);
    Sums {
        watch: &watch.name,
        success: of(&[Outcome::Success]),
        sessions_with_syn_retransmitted: tally.sessions_with_syn_retransmitted,
        sessions_with_synack_retransmitted: tally.sessions_with_synack_retransmitted,
        syn_retransmitted_segments: tally.syn_retransmitted,
        synack_retransmitted_segments: tally.synack_retransmitted,
        failure: Failure {
            timeout: of(&[Outcome::TimeoutNoSynack, Outcome::TimeoutNoAck]),
            reject: of(&[Outcome::Reject]),
            unreach: of(&[Outcome::Unreach]),
            aborted: of(&[Outcome::AbortedRst, Outcome::Aborted]),
        },
        indeterminate: of(&[Outcome::Indeterminate]),
        evicted: of(&[Outcome::Evicted]),
        syn_unseen: tally.syn_unseen,
        latency_seconds: percentiles(tally.connect),
        half_open: watch.half_open,
        highlights: context.highlights.names(&HANDSHAKE_COLUMNS, &shown, &over),
    }
}

/// Those of an interface; None where there were none.
pub(super) fn by_interface(openings: &Openings) -> Option<ByInterface> {
    (openings.attempts > 0).then(|| ByInterface {
        attempts: openings.attempts,
        success: openings.success,
        connect_seconds: percentiles(openings.connect),
        syn_to_synack_seconds: percentiles(openings.server_half),
        synack_to_ack_seconds: percentiles(openings.client_half),
    })
}

/// Those of a server.
pub(super) fn incomplete<'a>(
    &((ip, port), sum): &(flood::Server, flood::Incomplete),
    context: &'a Context,
) -> Incomplete<'a> {
    Incomplete {
        server: End { ip, name: context.names.of(ip), port: Some(port) },
        attempts: sum.attempts(),
        timeout: TimedOut { no_synack: sum.no_synack, no_ack: sum.no_ack },
        evicted: sum.evicted,
        indeterminate: sum.indeterminate,
    }
}

/// Of µs, in seconds.
pub(super) fn percentiles(latency: Option<Latency>) -> Percentiles {
    let of = |figure: fn(&Latency) -> u64| latency.as_ref().map(|latency| micros(figure(latency)));
    Percentiles {
        p50: of(|latency| latency.p50_us),
        p95: of(|latency| latency.p95_us),
        p99: of(|latency| latency.p99_us),
        max: of(|latency| latency.max_us),
    }
}

fn micros(us: u64) -> f64 {
    us as f64 / 1e6
}

/// A session's line.
pub fn session<'a>(
    head: Head<'a>,
    watched: &Watched,
    handshakes: &'a Handshakes,
    context: &'a Context,
) -> Session<'a> {
    let record::Session { key, client_second, outcome, lanes, .. } = watched.session;
    let session = &watched.session;
    let [client, server] = [usize::from(client_second), usize::from(!client_second)];
    let passed = |side: usize| (lanes[side] != NO_LANE).then(|| context.link_name(Lane(lanes[side]).link()));
    let [icmp_type, code] = session.icmp;
    Session {
        head,
        watch: handshakes.names_of(watched).collect(),
        client: End::of(&key, client, context),
        server: End::of(&key, server, context),
        vlan: Vlan::of(&key, context),
        start: Time(session.start_ns),
        outcome: outcome.name(),
        reason: match outcome {
            Outcome::TimeoutNoSynack => Some("no_synack"),
            Outcome::TimeoutNoAck => Some("no_ack"),
            _ => None,
        },
        icmp: (outcome == Outcome::Unreach).then_some(Icmp { r#type: icmp_type, code }),
        seconds: seconds(session.end_ns.saturating_sub(session.start_ns)),
        syn_retransmitted: session.syn_retransmitted,
        synack_retransmitted: session.synack_retransmitted,
        syn_to_synack_seconds: session.server_us.map(|us| micros(us.into())),
        synack_to_ack_seconds: session.client_us.map(|us| micros(us.into())),
        ack_with_data: session.ack_with_data,
        syn_unseen: session.syn_unseen,
        interfaces: Passed { c2s: passed(client), s2c: passed(server) },
    }
}
