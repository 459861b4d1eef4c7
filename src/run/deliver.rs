//! Snapshots to outputs, and the notices that follow from them.

use super::live::filtering::Wish;
use super::log_file::{LogFile, Trouble};
use super::report::Report;
use super::screen::Screen;
use super::screen::hub::Hub;
use super::socket::Socket;
use super::{RunError, Signals, both, has_json, is_set, output_error, shows_color, style, views};
use crate::aggregate::Handle;
use crate::aggregate::destination::Destinations;
use crate::aggregate::snapshot::{Fault, Snapshot};
use crate::config::{Config, OutputMode};
use crate::output::bursts::SPEED_UNKNOWN;
use crate::output::handshakes::SessionLines;
use crate::output::json::JsonLines;
use crate::output::text::Text;
use crate::output::why::Why;
use crate::output::{Context, Coverages, Notice, Output, Start, StopReason, Style};
use crossbeam_channel::{Receiver, never};
use std::io::{self, BufWriter, Write};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};

/// All outputs of a run.
pub(super) struct Deliver {
    outputs: Vec<Box<dyn Output>>,
    /// A line for each handshake on standard error, beside text.
    sessions: Option<SessionLines<io::Stderr>>,
    /// Where SIGUSR1's answer goes.
    summary: Text<Box<dyn Write>>,
    /// That is standard error.
    beside_lines: bool,
    trouble: Trouble,
    socket: Option<Socket>,
    /// Where the run has a screen, or may be looked on at.
    hub: Option<Arc<Hub>>,
    screen: Option<Screen>,
    /// The signal that a terminal is gone means nothing else.
    ends_by_hangup: bool,
    report: Option<Report>,
    /// Told as soon as it begins.
    notes: Vec<String>,
    late_packets: u64,
    unreported: u64,
    bursts_lost: u64,
}

impl Deliver {
    /// The outputs that the user asked for. `whole`: one table for all.
    pub fn new(config: &Config, whole: bool, signals: &Signals) -> Result<Deliver, RunError> {
        let style = style(config, whole);
        let hub = Hub::new(config, style, views(config));
        let socket = Socket::open(config, hub.as_ref())?;
        let mut outputs: Vec<Box<dyn Output>> = Vec::new();
        let trouble = Trouble::default();
        if config.why {
            outputs.push(Box::new(Why::new(BufWriter::new(io::stdout()), style, &config.bursts)));
        } else if config.output == OutputMode::Text {
            let style = Style { color: shows_color(config.no_color, &io::stdout()), ..style };
            outputs.push(Box::new(Text::new(BufWriter::new(io::stdout()), style)));
        }
        if has_json(config) {
            let writer: Box<dyn Write> = match &config.log_file {
                Some(path) => Box::new(
                    LogFile::open(
                        path,
                        signals.reopen.clone(),
                        trouble.clone(),
                        config.output == OutputMode::Tui,
                    )
                    .map_err(|error| {
                        let sentence = format!("cannot open the log file {}: {error}", path.display());
                        RunError::Failed(vec![sentence])
                    })?,
                ),
                None => Box::new(BufWriter::with_capacity(1 << 16, io::stdout())),
            };
            outputs.push(Box::new(JsonLines::new(writer, style)));
        }
        // Lines are not mixed with a summary: beside them it goes to standard error.
        let summary_style = |color| Style { whole: false, color, ..style };
        let summary: Text<Box<dyn Write>> = match config.output {
            OutputMode::Tui => {
                Text::new(Box::new(io::stdout()), summary_style(shows_color(config.no_color, &io::stdout())))
            }
            OutputMode::Text => Text::behind(
                Box::new(io::stdout()),
                summary_style(shows_color(config.no_color, &io::stdout())),
            ),
            OutputMode::Json => {
                Text::new(Box::new(io::stderr()), summary_style(shows_color(config.no_color, &io::stderr())))
            }
        };
        let beside_lines = config.output == OutputMode::Json;
        let beside_text = config.sessions && config.output == OutputMode::Text;
        let sessions = beside_text.then(|| SessionLines::new(io::stderr()));
        Ok(Deliver {
            outputs,
            sessions,
            summary,
            beside_lines,
            trouble,
            socket,
            screen: Screen::new(config, hub.as_ref(), signals),
            hub,
            ends_by_hangup: config.log_file.is_none(),
            report: config.report.as_ref().map(|report| Report::new(report, style)),
            notes: config.notes.clone(),
            late_packets: 0,
            unreported: 0,
            bursts_lost: 0,
        })
    }

    /// Who asks on the socket has the newest sums, even when an output is stuck.
    pub fn count_from(&self, handle: Handle) {
        if let Some(socket) = &self.socket {
            socket.count_from(handle.clone());
        }
        if let Some(hub) = &self.hub {
            hub.ask_from(handle);
        }
    }

    /// Wishes for another capture filter.
    pub fn filter_wishes(&self) -> Receiver<Wish> {
        self.screen.as_ref().map_or_else(never, Screen::filter_wishes)
    }

    /// Where a screen looks back on a file that has been read.
    pub fn looks_back(&self) -> Option<Arc<Hub>> {
        self.screen.as_ref().and(self.hub.clone())
    }

    /// A file has been read: while a screen is there, it goes on showing how that
    /// ended. `again`: waits a moment for other rows to be asked for, and answers.
    pub fn stay(&self, mut again: impl FnMut(), stop: &AtomicBool) {
        while self.screen.is_some() && !is_set(stop) {
            again();
        }
    }

    /// The totals so far, as text. Beside lines nobody may be there to read it,
    /// and the lines go on: standard error is no output that a run lives by.
    pub fn summary(
        &mut self,
        snapshot: &Snapshot,
        coverage: &Coverages,
        context: &Context,
    ) -> Result<(), RunError> {
        if self.screen.is_some() {
            // It says as much at any time, and nothing is written over it.
            return Ok(());
        }
        let written = self.summary.summary(snapshot, coverage, context).map_err(output_error);
        if self.beside_lines { Ok(()) } else { written }
    }

    pub fn start(&mut self, start: &Start, context: &Context) -> Result<(), RunError> {
        if let Some(screen) = &mut self.screen {
            screen.start(start, self.ends_by_hangup)?;
        }
        self.each(|output| output.start(start, context))?;
        for message in std::mem::take(&mut self.notes) {
            let notice = Notice { time_ns: start.time_ns, event: "settings", message, ..Notice::default() };
            self.notice(&notice, context)?;
        }
        let doubt = self.report.as_mut().and_then(|report| report.begin(start));
        doubt.map_or(Ok(()), |notice| self.notice(&notice, context))
    }

    pub fn notice(&mut self, notice: &Notice, context: &Context) -> Result<(), RunError> {
        if let Some(report) = &mut self.report {
            report.note(notice);
        }
        // On a screen it stands among bursts, not above all else.
        if let Some(hub) = self.hub.as_ref().filter(|_| notice.event != SPEED_UNKNOWN) {
            hub.note(notice);
        }
        self.each(|output| output.notice(notice, context))
    }

    /// The same before the first interval. Who has stopped reading by then is met
    /// with that: the run goes on so far, and its report is written.
    pub fn notice_early(&mut self, notice: &Notice, context: &Context) -> Result<(), RunError> {
        match self.notice(notice, context) {
            Err(RunError::ClosedPipe) => Ok(()),
            told => told,
        }
    }

    pub fn snapshot(
        &mut self,
        snapshot: &Arc<Snapshot>,
        coverage: &Coverages,
        context: &Context,
    ) -> Result<(), RunError> {
        if let Some(socket) = &self.socket {
            socket.tell(snapshot, coverage, context);
        }
        if let Some(hub) = &self.hub {
            hub.tell(snapshot, coverage, context);
        }
        // As the summary: no output that a run lives by.
        let told = |to: &mut SessionLines<_>| to.tell(&snapshot.handshakes, &context.names.known_only());
        if self.sessions.as_mut().is_some_and(|sessions| told(sessions).is_err()) {
            self.sessions = None;
        }
        self.each(|output| output.snapshot(snapshot, coverage, context))?;
        for notice in self.notices(snapshot, context) {
            self.notice(&notice, context)?;
        }
        Ok(())
    }

    /// The end. `ended`: what became of the outputs so far; the report is written all the same.
    pub fn stop(
        &mut self,
        ended: Result<(), RunError>,
        reason: &StopReason,
        snapshot: &Snapshot,
        coverage: &Coverages,
        context: &Context,
    ) -> Result<(), RunError> {
        let ended = ended.and_then(|()| self.each(|output| output.stop(reason, snapshot, coverage, context)));
        let ended = match self.screen.take() {
            None => ended,
            Some(mut screen) => {
                let closed = screen.close();
                let told = self.summary.stop(reason, snapshot, coverage, context).map_err(output_error);
                both(ended, both(closed, told))
            }
        };
        let Some(report) = &self.report else { return ended };
        let reason = match &ended {
            Ok(()) => reason,
            Err(RunError::ClosedPipe) => &StopReason::ClosedPipe,
            Err(_) => &StopReason::Error,
        };
        let reported = report.write(reason, snapshot, coverage, context);
        both(ended, reported)
    }

    fn each(&mut self, mut act: impl FnMut(&mut dyn Output) -> io::Result<()>) -> Result<(), RunError> {
        let mut at = 0;
        while at < self.outputs.len() {
            match act(self.outputs[at].as_mut()) {
                // The others go on: a log has its last line though nobody reads the table.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe && self.outputs.len() > 1 => {
                    self.outputs.remove(at);
                }
                result => {
                    result.map_err(output_error)?;
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// What a reader must know of a snapshot besides its figures.
    fn notices(&mut self, snapshot: &Snapshot, context: &Context) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut tell = |event, interface, count, message: String| {
            notices.push(Notice { time_ns: snapshot.time_ns, event, interface, count: Some(count), message });
        };
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(message) = trouble {
            tell("log_file", None, 1, message);
        }
        let skipped = snapshot.skipped_intervals;
        if skipped > 0 {
            tell(
                "intervals_skipped",
                None,
                skipped,
                format!("{skipped} empty intervals after this one were left out"),
            );
        }
        if snapshot.last && snapshot.late_packets > self.late_packets {
            let late = snapshot.late_packets;
            let message = format!(
                "{late} packets have stamps before an interval that had ended; they count where they came"
            );
            tell("late_packets", None, late, message);
            self.late_packets = late;
        }
        let unreported = snapshot.table.unreported;
        if unreported > self.unreported {
            let count = unreported - self.unreported;
            let message = format!(
                "{count} ended flows have no row or line, the aggregator was behind; totals have them"
            );
            tell("flows_unreported", None, count, message);
            self.unreported = unreported;
        }
        if snapshot.groups_folded > 0 {
            let count = snapshot.groups_folded;
            let message = format!(
                "{count} rows that were silent for longest had to make room; what they had is in the row for the rest"
            );
            tell("rows_folded", None, count, message);
        }
        for (event, count, message) in snapshot.destinations.iter().flat_map(told_of_destinations) {
            tell(event, None, count, message);
        }
        let lost = snapshot.handshakes.sessions_lost;
        if lost > 0 {
            let message = format!("{lost} handshakes have no line, there were too many; sums have them");
            tell("sessions_lost", None, lost, message);
        }
        if snapshot.bursts_lost > self.bursts_lost {
            let count = snapshot.bursts_lost - self.bursts_lost;
            let message = format!("{count} bursts have no line, there were too many at once");
            tell("bursts_lost", None, count, message);
            self.bursts_lost = snapshot.bursts_lost;
        }
        for worker in &snapshot.late_workers {
            let message = format!(
                "worker {worker} had not finished its interval in time; the next one has its figures"
            );
            tell("worker_late", None, *worker as u64, message);
        }
        for fault in &snapshot.faults {
            let (event, interface, count, message) = told_of(fault, context);
            tell(event, interface, count, message);
        }
        notices
    }
}

/// Bounds that were met: word, how much, sentence.
fn told_of_destinations(all: &Destinations) -> impl Iterator<Item = (&'static str, u64, String)> {
    let folded = all.folded.map(|count| {
        let message = format!(
            "too many destinations to keep them apart: {count} attempts and exchanges so far are summed as others"
        );
        ("destinations_folded", count, message)
    });
    let rounded = all.digits.map(|digits| {
        let percent = (200 >> digits.min(7)) + 1;
        let message = format!(
            "too many different values: percentiles of destinations are up to {percent} % too high from here on"
        );
        ("percentiles_rounded", percent, message)
    });
    folded.into_iter().chain(rounded)
}

/// A defect: word, interface, how much, sentence.
fn told_of(fault: &Fault, context: &Context) -> (&'static str, Option<String>, u64, String) {
    match fault {
        Fault::Identity { lane, totals, parts } => {
            let name = context.links.get(lane.link() as usize).map(|link| link.name.clone());
            let message = format!(
                "flows and untracked sum to {} packets, {} bytes, the totals are {} packets, {} bytes: please report this",
                parts.packets, parts.bytes, totals.packets, totals.bytes
            );
            ("identity", name, totals.bytes.abs_diff(parts.bytes), message)
        }
        Fault::WorkerGone { worker } => {
            let message =
                format!("worker {worker} has ended by a defect; its interfaces are no longer counted whole");
            ("worker_gone", None, *worker as u64, message)
        }
    }
}
