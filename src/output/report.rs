//! The final report: what text and JSON lines say of a run that is one interval.
//!
//! The last snapshot is turned into one whose interval is the whole run, and the
//! same outputs tell it: no figure is computed here. Rows are those of the run
//! ([`RunRows`]), so flows that are gone are among them. What was told on the way
//! stands in it once by event and interface, however often it was told.

use super::figures::{peak_of_run, run_span};
use super::json::JsonLines;
use super::text::Text;
use super::{Context, Coverages, Notice, Output, Start, StopReason, Style};
use crate::aggregate::destination::{Destination, Destinations};
use crate::aggregate::hidden::Hidden;
use crate::aggregate::snapshot::{InterfaceFigures, Row, RunRows, Snapshot};
use crate::aggregate::watch::{Handshakes, WatchFigures};
use crate::aggregate::window::Averages;
use crate::config::OutputMode;
use std::io::{self, Write};

/// Events by interface that are remembered; there are fewer of them.
const NOTICES_MAX: usize = 1024;

/// What a report is made of but for the end.
pub struct Report {
    mode: OutputMode,
    style: Style,
    start: Start,
    /// The latest of each event and interface, and how often it was told.
    notices: Vec<(Notice, u64)>,
}

impl Report {
    /// In this form; text in this style.
    pub fn new(mode: OutputMode, style: Style) -> Report {
        let style = Style { whole: true, color: false, ..style };
        Report { mode, style, start: Start::default(), notices: Vec::new() }
    }

    /// The run began.
    pub fn begin(&mut self, start: &Start) {
        self.start = start.clone();
    }

    /// Something was told. A report has one interval, none is left out.
    pub fn note(&mut self, notice: &Notice) {
        if notice.event == "intervals_skipped" {
            return;
        }
        let same = |(known, _): &&mut (Notice, u64)| {
            known.event == notice.event && known.interface == notice.interface
        };
        if let Some((known, times)) = self.notices.iter_mut().find(same) {
            known.clone_from(notice);
            *times += 1;
        } else if self.notices.len() < NOTICES_MAX {
            self.notices.push((notice.clone(), 1));
        }
    }

    /// Writes it, from the run's last snapshot.
    ///
    /// # Errors
    /// Of the writer.
    pub fn write(
        &self,
        to: &mut dyn Write,
        reason: &StopReason,
        snapshot: &Snapshot,
        coverage: &Coverages,
        context: &Context,
    ) -> io::Result<()> {
        let whole = whole_run(snapshot);
        let coverage: Coverages = coverage.iter().map(|&[_, run]| [run, run]).collect();
        // Its own lines are numbered, and none of them is lost.
        let losses = context.losses.whole_run().into();
        let context = &Context { lines_lost: 0, losses, ..context.clone() };
        match self.mode {
            OutputMode::Json => {
                let mut lines = JsonLines::new(to, self.style);
                self.tell(&mut lines, context)?;
                lines.snapshot(&whole, &coverage, context)?;
                lines.stop(reason, &whole, &coverage, context)
            }
            OutputMode::Text | OutputMode::Tui => {
                let (version, host) = (env!("CARGO_PKG_VERSION"), super::units::plain(&context.host));
                writeln!(to, "Report of fullcount {version} on {host}")?;
                let mut text = Text::behind(to, self.style);
                self.tell(&mut text, context)?;
                text.stop(reason, &whole, &coverage, context)
            }
        }
    }

    fn tell(&self, output: &mut impl Output, context: &Context) -> io::Result<()> {
        output.start(&self.start, context)?;
        for (notice, times) in &self.notices {
            let message = match times {
                1 => notice.message.clone(),
                _ => format!("{} (the latest of {times} such)", notice.message),
            };
            output.notice(&Notice { message, ..notice.clone() }, context)?;
        }
        Ok(())
    }
}

/// The run as one interval.
fn whole_run(snapshot: &Snapshot) -> Snapshot {
    let span_ns = run_span(snapshot);
    let RunRows { rows, found, link_rows } = snapshot.run_rows.clone().unwrap_or_default();
    let of_run = |row: Row| Row { interval: row.total, ..row };
    Snapshot {
        interval_ns: span_ns,
        interfaces: snapshot.interfaces.iter().map(|figures| interface(figures, span_ns)).collect(),
        table: snapshot.table,
        table_interval: snapshot.table,
        ethertypes: snapshot.ethertypes.clone(),
        rows: rows.into_iter().map(of_run).collect(),
        rows_found: found,
        rows_number: snapshot.rows_number,
        rows_whole: true,
        link_rows: link_rows.into_iter().map(|rows| rows.into_iter().map(of_run).collect()).collect(),
        accounts: Vec::new(),
        marks: Vec::new(),
        skipped_intervals: 0,
        late_workers: snapshot.late_workers.clone(),
        groups_folded: 0,
        accounts_lost: 0,
        handshakes: handshakes(&snapshot.handshakes),
        destinations: snapshot.destinations.as_ref().map(destinations),
        run_rows: None,
        hidden: snapshot.hidden.as_ref().map(hidden),
        incomplete: snapshot.incomplete.clone(),
        spreads: snapshot.spreads.iter().map(|&[_, run]| [run; 2]).collect(),
        bursts: Vec::new(),
        balances: snapshot.balances.clone(),
        bursts_lost: snapshot.bursts_lost,
        faults: Vec::new(),
        time_ns: snapshot.time_ns,
        start_ns: snapshot.start_ns,
        end_ns: snapshot.end_ns,
        late_packets: snapshot.late_packets,
        last: true,
    }
}

fn hidden(hidden: &Hidden) -> Hidden {
    let links = hidden.links.iter().map(|&[_, run]| [run; 2]);
    Hidden { flows: [hidden.flows[1]; 2], links: links.collect() }
}

fn interface(figures: &InterfaceFigures, span_ns: u64) -> InterfaceFigures {
    let [_, missing] = figures.missing_bytes;
    InterfaceFigures {
        interval: figures.total,
        missing_bytes: [missing; 2],
        averages: Averages { windows: [None; 3], peak: peak_of_run(figures, span_ns), young_ns: None },
        capture_interval: figures.capture,
        handshakes: [figures.handshakes[1]; 2],
        ..*figures
    }
}

fn handshakes(handshakes: &Handshakes) -> Handshakes {
    let whole = |watch: &WatchFigures| WatchFigures { interval: watch.total, ..watch.clone() };
    Handshakes {
        watches: handshakes.watches.iter().map(whole).collect(),
        elsewhere: handshakes.elsewhere,
        unplaced: handshakes.unplaced,
        ..Handshakes::default()
    }
}

fn destinations(all: &Destinations) -> Destinations {
    let whole = |one: &Destination| Destination { interval: one.total, ..*one };
    let of_run: Vec<Destination> = all.of_run.iter().map(whole).collect();
    Destinations {
        of_interval: of_run.clone(),
        intervals_found: all.found,
        of_run,
        found: all.found,
        all: all.all.as_ref().map(whole),
        ..Destinations::default()
    }
}
