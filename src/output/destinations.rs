//! trtop's table: connections by destination, since the start.
//!
//! Its columns are its own words where they are known; what it means by them
//! stands in docs/COLUMNS.md. The last line has all destinations together.
//! Source: trtop's README.

use super::columns::{Column, Measure, Sight, always, no_figure, nothing, percent, table};
use super::figures::{direction_of, per_second};
use super::units::{duration, grouped, human, percent_of};
use crate::aggregate::destination::{Counts, Destination, Destinations, Figures, Name, REST};
use crate::aggregate::watch::Latency;

/// A line of the table.
pub struct Shown {
    destination: Destination,
    /// All of them together.
    is_sum: bool,
}

impl Shown {
    /// What a destination's line of one interval says: that interval alone.
    pub fn of_interval(destination: &Destination) -> Shown {
        let interval = destination.interval;
        Shown { destination: Destination { total: interval, ..*destination }, is_sum: false }
    }

    /// Which destination it is.
    pub(super) fn name(&self) -> Name {
        self.destination.name
    }

    fn total(&self) -> &Counts {
        &self.destination.total.counts
    }
}

/// Columns of destinations, in their order.
pub static DESTINATION_COLUMNS: [Column<Shown>; 16] = [
    Column {
        name: "destination",
        measure: Measure::Word,
        heading: |_| "Destination",
        headings: "`Destination`",
        json: "`destination`",
        meaning: "Address of the server, or its name (`--names`). `others`: those that found no place of their own, there were too many.",
        shown: always,
        cell: |shown, sight| match shown {
            Shown { is_sum: true, .. } => String::from("All"),
            Shown { destination, .. } if destination.name == REST => String::from("others"),
            Shown { destination, .. } => sight.context.names.shown(destination.name.address),
        },
        figure: no_figure,
    },
    Column {
        name: "direction",
        measure: Measure::Word,
        heading: |_| "",
        headings: "(none)",
        json: "`direction`",
        meaning: "`out` where the client is here, `in` where the server is, `-` where neither is or nothing tells \
                  (`-F NET` would).",
        shown: always,
        cell: |shown, _| match direction_of(shown.destination.name) {
            _ if shown.is_sum => String::new(),
            Some("outgoing") => String::from("out"),
            Some(_) => String::from("in"),
            None => nothing(),
        },
        figure: no_figure,
    },
    Column {
        name: "attempts",
        measure: Measure::Count,
        heading: |_| "SYN",
        headings: "`SYN`",
        json: "`attempts`",
        meaning: "Connections begun by a SYN whose handshake was decided, failed ones included; not SYN segments.",
        shown: always,
        cell: |shown, _| grouped(shown.total().attempts),
        figure: |shown, _| Some(shown.total().attempts as f64),
    },
    Column {
        name: "attempt_rate",
        measure: Measure::PerSecond,
        heading: |_| "SYN/s",
        headings: "`SYN/s`",
        json: "`attempts_per_second`",
        meaning: "Of them, in a second of the interval.",
        shown: always,
        cell: |shown, sight| frequency(shown.destination.interval.counts.attempts, sight),
        figure: |shown, over| per_second(shown.destination.interval.counts.attempts, over.span_ns),
    },
    Column {
        name: "answered",
        measure: Measure::Percent,
        heading: |_| "S/A",
        headings: "`S/A`",
        json: "`synack_ratio`",
        meaning: "Of the attempts, those that were answered by a SYN/ACK.",
        shown: always,
        cell: |shown, _| part(shown.total().answered, shown.total().attempts),
        figure: |shown, _| percent(shown.total().answered, shown.total().attempts),
    },
    Column {
        name: "established",
        measure: Measure::Percent,
        heading: |_| "Est",
        headings: "`Est`",
        json: "`established_ratio`",
        meaning: "Of the attempts, those that were established.",
        shown: always,
        cell: |shown, _| part(shown.total().established, shown.total().attempts),
        figure: |shown, _| percent(shown.total().established, shown.total().attempts),
    },
    Column {
        name: "reset",
        measure: Measure::Percent,
        heading: |_| "RST",
        headings: "`RST`",
        json: "`rst_ratio`",
        meaning: "Of the attempts that ended (closed, refused or silent, and gone from the table), those that an end \
                  reset.",
        shown: always,
        cell: |shown, _| part(shown.total().reset, shown.total().ended),
        figure: |shown, _| percent(shown.total().reset, shown.total().ended),
    },
    Column {
        name: "closed_here",
        measure: Measure::Percent,
        heading: |_| "FIN out",
        headings: "`FIN out`",
        json: "`fin_out_ratio`",
        meaning: "Of the same, those that the end which is here closed first (the client, where neither is).",
        shown: always,
        cell: |shown, _| part(shown.total().closed_here, shown.total().ended),
        figure: |shown, _| percent(shown.total().closed_here, shown.total().ended),
    },
    Column {
        name: "closed_there",
        measure: Measure::Percent,
        heading: |_| "FIN in",
        headings: "`FIN in`",
        json: "`fin_in_ratio`",
        meaning: "Of the same, those that the other end closed first.",
        shown: always,
        cell: |shown, _| part(shown.total().closed_there, shown.total().ended),
        figure: |shown, _| percent(shown.total().closed_there, shown.total().ended),
    },
    Column {
        name: "established_rate",
        measure: Measure::PerSecond,
        heading: |_| "Est/s",
        headings: "`Est/s`",
        json: "`established_per_second`",
        meaning: "Established, in a second of the interval.",
        shown: always,
        cell: |shown, sight| frequency(shown.destination.interval.counts.established, sight),
        figure: |shown, over| per_second(shown.destination.interval.counts.established, over.span_ns),
    },
    Column {
        name: "exchanges_per_connection",
        measure: Measure::Count,
        heading: |_| "QoS",
        headings: "`QoS`",
        json: "`exchanges_per_connection.p95`",
        meaning: "Requests that a connection served: of those that ended and had any, 95 of 100 had no more. `*` \
                  before one ended.",
        shown: always,
        cell: |shown, _| shown.destination.total.exchanges_p95.map_or_else(|| String::from("*"), human),
        figure: |shown, _| shown.destination.total.exchanges_p95.map(|most| most as f64),
    },
    Column {
        name: "connect",
        measure: Measure::Duration,
        heading: |_| "Connect",
        headings: "`Connect`",
        json: "`connect_seconds.p95`",
        meaning: "From the first SYN to the end of a handshake that succeeded: 95 of 100 took no longer.",
        shown: always,
        cell: |shown, _| p95(&shown.destination.total, |figures| figures.connect),
        figure: |shown, _| p95_ns(&shown.destination.total, |figures| figures.connect),
    },
    Column {
        name: "requests",
        measure: Measure::Count,
        heading: |_| "Out",
        headings: "`Out`",
        json: "`requests`",
        meaning: "Requests: those of the next column, and those without an answer when their connection left.",
        shown: always,
        cell: |shown, _| grouped(shown.total().requests()),
        figure: |shown, _| Some(shown.total().requests() as f64),
    },
    Column {
        name: "exchanges",
        measure: Measure::Count,
        heading: |_| "In",
        headings: "`In`",
        json: "`exchanges`",
        meaning: "Requests whose response is complete (TCP.md).",
        shown: always,
        cell: |shown, _| grouped(shown.total().exchanges),
        figure: |shown, _| Some(shown.total().exchanges as f64),
    },
    Column {
        name: "reply",
        measure: Measure::Duration,
        heading: |_| "Reply",
        headings: "`Reply`",
        json: "`last_byte_seconds.p95`",
        meaning: "From the first byte of a request to the last of its response: 95 of 100 took no longer.",
        shown: always,
        cell: |shown, _| p95(&shown.destination.total, |figures| figures.last_byte),
        figure: |shown, _| p95_ns(&shown.destination.total, |figures| figures.last_byte),
    },
    Column {
        name: "lossy",
        measure: Measure::Count,
        heading: |_| "Err",
        headings: "`Err`",
        json: "`connections_with_loss`",
        meaning: "Connections that left with payload which was acknowledged and never seen: the capture lost it, so \
                  exchanges and times may be short.",
        shown: always,
        cell: |shown, _| grouped(shown.total().with_loss),
        figure: |shown, _| Some(shown.total().with_loss as f64),
    },
];

/// The lines of the table; the last one has all of them together.
pub(super) fn shown_of(destinations: &Destinations) -> Vec<Shown> {
    let line = |destination: Destination, is_sum| Shown { destination, is_sum };
    let rows = destinations.of_run.iter().map(|&destination| line(destination, false));
    rows.chain(destinations.all.map(|sum| line(sum, true))).collect()
}

/// The table, behind an empty line; nothing where no connection was seen.
pub fn table_of(destinations: &Destinations, sight: &Sight) -> String {
    if destinations.of_run.is_empty() || sight.style.top == 0 {
        return String::new();
    }
    let shown = destinations.of_run.len() as u64;
    let mut text = format!("\n{}", table(&DESTINATION_COLUMNS, &shown_of(destinations), sight, 2));
    if destinations.found > shown {
        text += &format!("{} of {} destinations shown\n", grouped(shown), grouped(destinations.found));
    }
    text
}

fn part(part: u64, whole: u64) -> String {
    percent_of(part, whole).unwrap_or_else(nothing)
}

fn frequency(count: u64, sight: &Sight) -> String {
    per_second(count, sight.span_ns).map_or_else(nothing, |rate| format!("{rate:.2}"))
}

fn p95_ns(figures: &Figures, of: fn(&Figures) -> Option<Latency>) -> Option<f64> {
    of(figures).map(|latency| latency.p95_us as f64 * 1000.0)
}

fn p95(figures: &Figures, of: fn(&Figures) -> Option<Latency>) -> String {
    of(figures).map_or_else(nothing, |latency| duration(latency.p95_us.saturating_mul(1000)))
}
