//! Handshakes in tcpeek's words: a line for each session, and the summary.
//!
//! tcpeek knows success and three failures. What a client gave up by a RST is
//! rejected there, what it gave up otherwise runs into the time-out; what could
//! not be decided is in neither and is told beside. A session that was seen
//! from its SYN/ACK on, or evicted from a full table, has no line.
//! Source: tcpeek 3189698, session.c (`tcpeek_session_print`) and tcpeek.c.

use super::columns::{Column, Measure, Sight, always, no_figure, nothing, table};
use super::names::Names;
use super::units::{duration, grouped, number_of, plain, tcpeeks_moment};
use crate::aggregate::watch::{Handshakes, Latency, Tally, WatchFigures};
use crate::flow::record::{Outcome, Session};
use std::fmt::Write as _;
use std::io::{self, Write};

/// What is gathered before it is written.
const PIECE_BYTES: usize = 64 * 1024;

pub(super) const TIMED_OUT: &[Outcome] = &[Outcome::TimeoutNoSynack, Outcome::TimeoutNoAck, Outcome::Aborted];
pub(super) const REJECTED: &[Outcome] = &[Outcome::Reject, Outcome::AbortedRst];
pub(super) const UNREACHABLE: &[Outcome] = &[Outcome::Unreach];

/// Columns of the summary, in their order: the words are tcpeek's.
pub static HANDSHAKE_COLUMNS: [Column<WatchFigures>; 12] = [
    Column {
        name: "watch",
        measure: Measure::Word,
        heading: |_| "Handshakes",
        headings: "`Handshakes`",
        json: "`watch`",
        meaning: "Name of the watch (`--watch`). `RX` has those whose server is here, `TX` those whose client is.",
        shown: always,
        cell: |watch, _| plain(&watch.name).into_owned(),
        figure: no_figure,
    },
    Column {
        name: "success",
        measure: Measure::Count,
        heading: |_| "Success",
        headings: "`Success`",
        json: "`success`",
        meaning: "Connections.",
        shown: always,
        cell: |watch, _| grouped(watch.total.of(&[Outcome::Success])),
        figure: |watch, _| Some(watch.total.of(&[Outcome::Success]) as f64),
    },
    Column {
        name: "syn_repeated",
        measure: Measure::Count,
        heading: |_| "SYN dup",
        headings: "`SYN dup`",
        json: "`sessions_with_syn_retransmitted`",
        meaning: "Of them, those whose SYN was repeated.",
        shown: always,
        cell: |watch, _| grouped(watch.total.sessions_with_syn_retransmitted),
        figure: |watch, _| Some(watch.total.sessions_with_syn_retransmitted as f64),
    },
    Column {
        name: "synack_repeated",
        measure: Measure::Count,
        heading: |_| "S/A dup",
        headings: "`S/A dup`",
        json: "`sessions_with_synack_retransmitted`",
        meaning: "Of them, those whose SYN/ACK was repeated.",
        shown: always,
        cell: |watch, _| grouped(watch.total.sessions_with_synack_retransmitted),
        figure: |watch, _| Some(watch.total.sessions_with_synack_retransmitted as f64),
    },
    Column {
        name: "failure",
        measure: Measure::Count,
        heading: |_| "Failure",
        headings: "`Failure`",
        json: "`failure`, added up",
        meaning: "Attempts that failed: the sum of the three columns that follow.",
        shown: always,
        cell: |watch, _| grouped(failures(&watch.total)),
        figure: |watch, _| Some(failures(&watch.total) as f64),
    },
    Column {
        name: "timed_out",
        measure: Measure::Count,
        heading: |_| "Timed out",
        headings: "`Timed out`",
        json: "`failure.timeout`, a part of `failure.aborted`",
        meaning: "Not finished for `--timeout`, or given up by the client without a RST.",
        shown: always,
        cell: |watch, _| grouped(watch.total.of(TIMED_OUT)),
        figure: |watch, _| Some(watch.total.of(TIMED_OUT) as f64),
    },
    Column {
        name: "rejected",
        measure: Measure::Count,
        heading: |_| "Rejected",
        headings: "`Rejected`",
        json: "`failure.reject`, a part of `failure.aborted`",
        meaning: "Answered with a RST, or given up by the client with one.",
        shown: always,
        cell: |watch, _| grouped(watch.total.of(REJECTED)),
        figure: |watch, _| Some(watch.total.of(REJECTED) as f64),
    },
    Column {
        name: "unreach",
        measure: Measure::Count,
        heading: |_| "Unreach",
        headings: "`Unreach`",
        json: "`failure.unreach`",
        meaning: "Answered with an ICMP error.",
        shown: always,
        cell: |watch, _| grouped(watch.total.of(UNREACHABLE)),
        figure: |watch, _| Some(watch.total.of(UNREACHABLE) as f64),
    },
    Column {
        name: "p50",
        measure: Measure::Duration,
        heading: |_| "p50",
        headings: "`p50`",
        json: "`latency_seconds.p50`",
        meaning: "From the first SYN to the end of the handshake: half of the connections took no longer. Those whose \
                  last ACK carried data are left out, as the client may have waited for what to say.",
        shown: always,
        cell: |watch, _| time(&watch.total, |latency| latency.p50_us),
        figure: |watch, _| Some(watch.total.connect?.p50_us as f64 * 1000.0),
    },
    Column {
        name: "p95",
        measure: Measure::Duration,
        heading: |_| "p95",
        headings: "`p95`",
        json: "`latency_seconds.p95`",
        meaning: "95 of 100 took no longer.",
        shown: always,
        cell: |watch, _| time(&watch.total, |latency| latency.p95_us),
        figure: |watch, _| Some(watch.total.connect?.p95_us as f64 * 1000.0),
    },
    Column {
        name: "p99",
        measure: Measure::Duration,
        heading: |_| "p99",
        headings: "`p99`",
        json: "`latency_seconds.p99`",
        meaning: "99 of 100 took no longer.",
        shown: always,
        cell: |watch, _| time(&watch.total, |latency| latency.p99_us),
        figure: |watch, _| Some(watch.total.connect?.p99_us as f64 * 1000.0),
    },
    Column {
        name: "max",
        measure: Measure::Duration,
        heading: |_| "max",
        headings: "`max`",
        json: "`latency_seconds.max`",
        meaning: "None took longer. Exact; the others are less than 1 % too high.",
        shown: always,
        cell: |watch, _| time(&watch.total, |latency| latency.max_us),
        figure: |watch, _| Some(watch.total.connect?.max_us as f64 * 1000.0),
    },
];

fn failures(tally: &Tally) -> u64 {
    [TIMED_OUT, REJECTED, UNREACHABLE].into_iter().map(|outcomes| tally.of(outcomes)).sum()
}

fn time(tally: &Tally, micros: fn(&Latency) -> u64) -> String {
    tally.connect.map_or_else(nothing, |latency| duration(micros(&latency).saturating_mul(1000)))
}

/// Sums of all watches since the start, behind an empty line; nothing where no handshake was seen.
pub fn summary(handshakes: &Handshakes, sight: &Sight) -> String {
    let mut text = String::new();
    if handshakes.watches.iter().any(|watch| watch.half_open > 0 || !watch.total.is_empty()) {
        text.push('\n');
        text += &table(&HANDSHAKE_COLUMNS, &handshakes.watches, sight, 2);
        handshakes.watches.iter().for_each(|watch| text += &undecided(watch));
    }
    if handshakes.unplaced > 0 {
        let many = number_of(handshakes.unplaced, "handshake");
        let _ = writeln!(text, "{many} in RX and TX alike: nothing tells which end is here (-F NET would)");
    }
    if handshakes.elsewhere > 0 {
        let many = number_of(handshakes.elsewhere, "handshake");
        let _ = writeln!(text, "{many} in no watch: neither end is here (-F NET says what is)");
    }
    text
}

/// A table of names and their cells, the headings its first line.
pub(super) fn aligned(lines: &[(String, Vec<String>)]) -> String {
    let width = |text: &String| text.chars().count();
    let columns = lines.first().map_or(0, |(_, cells)| cells.len());
    let first = lines.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|at| lines.iter().filter_map(|(_, cells)| cells.get(at)).map(width).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (name, cells) in lines {
        let _ = write!(text, "{name:first$}");
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
    }
    text
}

/// What stands in no column.
fn undecided(watch: &WatchFigures) -> String {
    let total = &watch.total;
    let said: Vec<String> = [
        (total.of(&[Outcome::Indeterminate]), "indeterminate, as the capture lost something meanwhile"),
        (total.of(&[Outcome::Evicted]), "evicted from the full flow table (--max-flows)"),
        (total.syn_unseen, "seen from the SYN/ACK on"),
        (watch.half_open, "half-open"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, words)| format!("{} {words}", grouped(count)))
    .collect();
    match said.is_empty() {
        true => String::new(),
        false => format!("{}: besides {}\n", plain(&watch.name), said.join(", ")),
    }
}

/// A line for each session, as tcpeek prints them; times are UTC.
pub struct SessionLines<W: Write> {
    writer: W,
    begun: bool,
}

impl<W: Write> SessionLines<W> {
    /// Lines go to `writer`.
    pub fn new(writer: W) -> SessionLines<W> {
        SessionLines { writer, begun: false }
    }

    /// The sessions of an interval; ends that have names by these.
    ///
    /// # Errors
    /// Of the writer.
    pub fn tell(&mut self, handshakes: &Handshakes, names: &Names) -> io::Result<()> {
        let mut piece = String::new();
        for watched in handshakes.sessions.iter().filter(|watched| !watched.session.syn_unseen) {
            let Some(result) = result(watched.session.outcome) else { continue };
            if !std::mem::replace(&mut self.begun, true) {
                let heading = " TIME(s) |    TIMESTAMP (UTC)    |      SRC IP:PORT            DST IP:PORT     |      \
                               RESULTS      | DUP SYN  DUP S/A";
                let _ = writeln!(piece, "{heading}\n{}", "-".repeat(118));
            }
            line(&mut piece, &watched.session, result, names);
            if piece.len() >= PIECE_BYTES {
                self.writer.write_all(piece.as_bytes())?;
                piece.clear();
            }
        }
        self.writer.write_all(piece.as_bytes())?;
        self.writer.flush()
    }
}

fn line(text: &mut String, session: &Session, result: &str, names: &Names) {
    let ms = session.end_ns.saturating_sub(session.start_ns) / 1_000_000;
    let client = usize::from(session.client_second);
    let [from, to] = [client, 1 - client].map(|side| {
        let end = names.before_port(session.key.ip(side));
        format!("{end:>15}:{:<5}", session.key.end(side).port)
    });
    let (seconds, rest, start) = (ms / 1000, ms % 1000, tcpeeks_moment(session.start_ns));
    let (syn, synack) = (session.syn_retransmitted, session.synack_retransmitted);
    let _ =
        writeln!(text, "{seconds:>4}.{rest:03} | {start} | {from} {to} | {result} | {syn:>7}  {synack:>7}");
}

/// tcpeek's word; none for what has no line.
pub(super) fn result(outcome: Outcome) -> Option<&'static str> {
    Some(match outcome {
        Outcome::Success => "     success     ",
        Outcome::TimeoutNoSynack | Outcome::TimeoutNoAck | Outcome::Aborted => "failure (timeout)",
        Outcome::Reject | Outcome::AbortedRst => "failure (reject) ",
        Outcome::Unreach => "failure (unreach)",
        Outcome::Indeterminate => "  indeterminate  ",
        Outcome::Evicted => return None,
    })
}
