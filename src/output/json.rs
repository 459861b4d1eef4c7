//! JSON lines: one object a line, flushed whole.
//!
//! Lines are made in memory and handed to the writer in pieces that end with a
//! line, so a reader that sees a line sees all of it. No line depends on the
//! clock, on the order of a hash map, or on the number of workers (but `start`,
//! which names them). Types and their meaning: [`lines`],
//! [`rows`], [`handshakes`], [`destinations`], [`lost`] and [`bursts`].

pub mod balances;
pub mod bursts;
pub mod community;
pub mod connection;
pub mod destinations;
pub mod handshakes;
pub mod lines;
pub mod lost;
mod make;
pub mod rows;

use super::figures::{interval_span, links, run_span};
use super::{Context, Coverages, Notice, Output, Start, StopReason, Style};
use crate::aggregate::snapshot::Snapshot;
use crate::flow::record::Account;
use lines::{Head, Line, Time};
use std::io::{self, Write};

/// What is gathered before it is written.
const PIECE_BYTES: usize = 64 * 1024;

/// See the module's description.
pub struct JsonLines<W: Write> {
    writer: W,
    piece: Vec<u8>,
    /// Lines made here; those that were lost before they got here are numbered too.
    seq: u64,
    live: bool,
}

impl<W: Write> JsonLines<W> {
    /// Lines go to `writer`; the style's rows come with the snapshots.
    pub fn new(writer: W, _style: Style) -> JsonLines<W> {
        JsonLines { writer, piece: Vec::with_capacity(PIECE_BYTES), seq: 0, live: false }
    }

    /// The writer, for a caller that owns it (a log file that is opened anew).
    pub fn writer_mut(&mut self) -> &mut W {
        &mut self.writer
    }

    fn line<'a>(
        &mut self,
        time_ns: Option<u64>,
        context: &'a Context,
        make: impl FnOnce(Head<'a>) -> Line<'a>,
    ) -> io::Result<()> {
        let head = Head {
            time: time_ns.map(Time),
            seq: self.seq.saturating_add(context.lines_lost),
            host: &context.host,
        };
        self.seq += 1;
        serde_json::to_writer(&mut self.piece, &make(head))?;
        self.piece.push(b'\n');
        if self.piece.len() >= PIECE_BYTES { self.hand_over() } else { Ok(()) }
    }

    /// A snapshot's time; None of a file in which nothing was that has one.
    fn time_of(&self, snapshot: &Snapshot) -> Option<u64> {
        let mut lanes = snapshot.interfaces.iter().flat_map(|figures| &figures.total);
        (self.live || lanes.any(|lane| lane.frames > 0)).then_some(snapshot.time_ns)
    }

    /// How things stand: a line for each interface, each watch that saw any handshake,
    /// each destination that is shown, and all of them.
    fn standing(&mut self, snapshot: &Snapshot, coverage: &Coverages, context: &Context) -> io::Result<()> {
        let span_ns = interval_span(snapshot, self.live);
        let (time, handshakes) = (self.time_of(snapshot), &snapshot.handshakes);
        for link in links(snapshot, context) {
            self.line(time, context, |head| {
                Line::Interface(make::interface(head, link, snapshot, span_ns, coverage, context))
            })?;
        }
        let machine = lost::machine(&context.losses, 0);
        if let Some(machine) = machine.filter(|one| one.softnet.is_some_and(|softnet| !softnet.is_empty())) {
            self.line(time, context, |head| Line::Machine(lost::line(head, machine)))?;
        }
        for figures in &snapshot.balances {
            self.line(time, context, |head| Line::Balance(balances::line(head, figures, coverage, context)))?;
        }
        for watch in handshakes.watches.iter().filter(|watch| watch.has_line()) {
            self.line(time, context, |head| {
                let sums = handshakes::sums(watch, &watch.interval, context);
                Line::Handshake(handshakes::Handshake { head, sums })
            })?;
        }
        for destination in snapshot.destinations.iter().flat_map(|all| &all.of_interval) {
            self.line(time, context, |head| {
                Line::Destination(destinations::line(head, destination, span_ns, context))
            })?;
        }
        let all = snapshot.destinations.as_ref();
        if let Some(all) = all.and_then(|all| destinations::of_interval(all, span_ns, context)) {
            self.line(time, context, |head| Line::Destinations(destinations::AllLine { head, all }))?;
        }
        Ok(())
    }

    fn bursts(&mut self, snapshot: &Snapshot, context: &Context) -> io::Result<()> {
        for (place, burst) in snapshot.bursts.iter().enumerate() {
            self.line(self.time_of(snapshot), context, |head| {
                Line::Burst(bursts::line(head, place, burst, context))
            })?;
        }
        Ok(())
    }

    fn sessions(&mut self, snapshot: &Snapshot, context: &Context) -> io::Result<()> {
        let (time, handshakes) = (self.time_of(snapshot), &snapshot.handshakes);
        for watched in &handshakes.sessions {
            self.line(time, context, |head| {
                Line::Session(handshakes::session(head, watched, handshakes, context))
            })?;
        }
        Ok(())
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let written = self.writer.write_all(&self.piece);
        self.piece.clear();
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hand_over()?;
        self.writer.flush()
    }
}

/// What a `connection` line says of a flow: for whoever shows it in another form.
pub(super) fn connection_of<'a>(account: &Account, context: &'a Context) -> connection::Connection<'a> {
    make::connection(Head { time: None, seq: 0, host: "" }, account, context)
}

/// The lines of an interval that say how things stand, numbered from 0 on: what
/// is answered to who did not read along.
///
/// # Errors
/// A figure that JSON cannot say; there is none.
pub fn standing(
    snapshot: &Snapshot,
    coverage: &Coverages,
    context: &Context,
    live: bool,
) -> io::Result<Vec<u8>> {
    let mut lines = JsonLines { writer: Vec::new(), piece: Vec::new(), seq: 0, live };
    lines.standing(snapshot, coverage, context)?;
    lines.hand_over()?;
    Ok(lines.writer)
}

impl<W: Write> Output for JsonLines<W> {
    fn start(&mut self, start: &Start, context: &Context) -> io::Result<()> {
        self.live = start.time_ns != 0;
        let time = self.live.then_some(start.time_ns);
        self.line(time, context, |head| Line::Start(make::start(head, start, context)))?;
        self.flush()
    }

    fn snapshot(&mut self, snapshot: &Snapshot, coverage: &Coverages, context: &Context) -> io::Result<()> {
        let time = self.time_of(snapshot);
        self.standing(snapshot, coverage, context)?;
        self.bursts(snapshot, context)?;
        self.sessions(snapshot, context)?;
        for account in &snapshot.accounts {
            self.line(time, context, |head| Line::Connection(make::connection(head, account, context)))?;
        }
        self.flush()
    }

    fn notice(&mut self, notice: &Notice, context: &Context) -> io::Result<()> {
        // Of a file that was not read yet no time is known.
        self.line(Some(notice.time_ns).filter(|&ns| ns > 0), context, |head| {
            Line::Notice(lines::Notice {
                head,
                event: notice.event,
                interface: notice.interface.as_deref(),
                count: notice.count,
                message: &notice.message,
            })
        })?;
        self.flush()
    }

    fn stop(
        &mut self,
        reason: &StopReason,
        snapshot: &Snapshot,
        coverage: &Coverages,
        context: &Context,
    ) -> io::Result<()> {
        let span_ns = run_span(snapshot);
        self.line(self.time_of(snapshot), context, |head| {
            Line::Stop(make::stop(head, reason, snapshot, span_ns, coverage, context))
        })?;
        self.flush()
    }
}
