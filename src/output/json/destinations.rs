//! `destination` lines: their keys, and which figure goes under which.
//!
//! trtop's figures of one server address in one interval, and of all of them. Ratios are parts of
//! what they name; where that is nothing they are null.

use super::handshakes::{Percentiles, percentiles};
use super::lines::Head;
use crate::aggregate::destination::{self, Destinations, Figures};
use crate::output::Context;
use crate::output::columns::Over;
use crate::output::destinations::{DESTINATION_COLUMNS, Shown};
use crate::output::figures::{direction_of, per_second, share};
use schemars::JsonSchema;
use serde::Serialize;
use std::net::IpAddr;

/// Connections to one server address in one interval.
#[derive(Serialize, JsonSchema)]
pub struct Destination<'a> {
    /// What every line begins with.
    #[serde(flatten)]
    pub head: Head<'a>,
    /// Address of the server; `0.0.0.0` sums up those that found no place of their own.
    pub destination: IpAddr,
    /// Its name, where `--names` has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// `outgoing`: the client is here; `incoming`: the server is; null where neither is or nothing tells.
    pub direction: Option<&'static str>,
    /// What was counted.
    #[serde(flatten)]
    pub sums: Sums,
    /// Columns of docs/COLUMNS.md whose figures, those of this line, `--highlight` makes stand out; absent
    /// where there are none.
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    pub highlights: Vec<&'static str>,
}

/// All destinations together, those below the fold of `--top` too.
#[derive(Serialize, JsonSchema)]
pub struct All {
    /// How many there are.
    pub destinations: u64,
    /// What was counted.
    #[serde(flatten)]
    pub sums: Sums,
    /// Columns of docs/COLUMNS.md whose figures, those of this object, `--highlight` makes stand out; absent
    /// where there are none.
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    pub highlights: Vec<&'static str>,
}

/// All destinations together, in one interval.
#[derive(Serialize, JsonSchema)]
pub struct AllLine<'a> {
    /// What every line begins with.
    #[serde(flatten)]
    pub head: Head<'a>,
    /// What was counted.
    #[serde(flatten)]
    pub all: All,
}

/// What was counted of connections.
#[derive(Serialize, JsonSchema)]
pub struct Sums {
    /// Connections begun by a SYN whose handshake was decided, failed ones included: those of `handshake` lines.
    pub attempts: u64,
    /// Of them, in a second.
    pub attempts_per_second: Option<f64>,
    /// Part of `attempts` that was answered by a SYN/ACK.
    pub synack_ratio: Option<f64>,
    /// Part of `attempts` that was established.
    pub established_ratio: Option<f64>,
    /// Part of `ended` that was reset, by either end.
    pub rst_ratio: Option<f64>,
    /// Part of `ended` that the end which is here closed first by FIN (the client, where `direction` is null).
    pub fin_out_ratio: Option<f64>,
    /// Part of `ended` that the other end closed first by FIN.
    pub fin_in_ratio: Option<f64>,
    /// Established, in a second.
    pub established_per_second: Option<f64>,
    /// Exchanges of a connection that ended with at least one.
    pub exchanges_per_connection: PerConnection,
    /// Requests: `exchanges`, and those without an answer when their connection left.
    pub requests: u64,
    /// Requests whose response is complete.
    pub exchanges: u64,
    /// First SYN to the end of a handshake that succeeded, as in `handshake` lines.
    pub connect_seconds: Percentiles,
    /// Last byte of a request to the first of its response.
    pub first_byte_seconds: Percentiles,
    /// First byte of a request to the last of its response.
    pub last_byte_seconds: Percentiles,
    /// Connections that left with payload which was acknowledged and never seen: the capture lost it.
    pub connections_with_loss: u64,
    /// Connections begun by a SYN that left the table: some seconds after they were closed or reset, or silent
    /// for their limit. Those open at the end of the run are not among them.
    pub ended: u64,
}

/// Exchanges of a connection.
#[derive(Serialize, JsonSchema)]
pub struct PerConnection {
    /// 95 of 100 connections had no more; null before one ended.
    pub p95: Option<u64>,
}

/// A destination's line.
pub fn line<'a>(
    head: Head<'a>,
    destination: &destination::Destination,
    span_ns: u64,
    context: &'a Context,
) -> Destination<'a> {
    let shown = Shown::of_interval(destination);
    Destination {
        head,
        destination: destination.name.address,
        name: context.names.of(destination.name.address),
        direction: direction_of(destination.name),
        sums: sums(&destination.interval, span_ns),
        highlights: context.highlights.names(&DESTINATION_COLUMNS, &shown, &Over { context, span_ns }),
    }
}

/// All together in the interval; None where there was nothing, or nobody asked for lines.
pub fn of_interval(all: &Destinations, span_ns: u64, context: &Context) -> Option<All> {
    let sum = all.all.as_ref().filter(|_| !all.of_interval.is_empty())?;
    Some(together(sum, all.intervals_found, span_ns, context))
}

/// All together since the start; None where there was nothing.
pub fn of_run(all: &Destinations, span_ns: u64, context: &Context) -> Option<All> {
    let sum = all.all?;
    let sum = destination::Destination { interval: sum.total, ..sum };
    Some(together(&sum, all.found, span_ns, context))
}

fn together(sum: &destination::Destination, found: u64, span_ns: u64, context: &Context) -> All {
    let shown = Shown::of_interval(sum);
    All {
        destinations: found,
        sums: sums(&sum.interval, span_ns),
        highlights: context.highlights.names(&DESTINATION_COLUMNS, &shown, &Over { context, span_ns }),
    }
}

fn sums(figures: &Figures, span_ns: u64) -> Sums {
    let counts = &figures.counts;
    let part = |part: u64, whole: u64| (whole > 0).then(|| share(part as f64, whole as f64));
    Sums {
        attempts: counts.attempts,
        attempts_per_second: per_second(counts.attempts, span_ns),
        synack_ratio: part(counts.answered, counts.attempts),
        established_ratio: part(counts.established, counts.attempts),
        rst_ratio: part(counts.reset, counts.ended),
        fin_out_ratio: part(counts.closed_here, counts.ended),
        fin_in_ratio: part(counts.closed_there, counts.ended),
        established_per_second: per_second(counts.established, span_ns),
        exchanges_per_connection: PerConnection { p95: figures.exchanges_p95 },
        requests: counts.requests(),
        exchanges: counts.exchanges,
        connect_seconds: percentiles(figures.connect),
        first_byte_seconds: percentiles(figures.first_byte),
        last_byte_seconds: percentiles(figures.last_byte),
        connections_with_loss: counts.with_loss,
        ended: counts.ended,
    }
}
