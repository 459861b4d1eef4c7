//! Text: tables for people, and for `less`, `grep` and a pipe: no escape byte.
//!
//! Live, each interval is a block: the interfaces with what may be wrong with
//! their figures, then the rows. A whole file is one table, then the totals. At
//! the end of every run stand the totals, in words as well. Columns and their
//! headings come from [`super::columns`]; what is below the fold is told.
//!
//! Names from files, the system or the network pass through [`plain`].

use super::bursts::{SPEED_UNKNOWN, without_speed};
use super::columns::{INTERFACE_COLUMNS, LaneSight, ROW_COLUMNS, Sight, table};
use super::figures::{
    both, coverage_of, ethertype_name, figures_of, hidden_told, interval_span, missing_told, peak_of_run,
    run_span, sum,
};
use super::units::{between, duration, grouped, moment, number_of, percent_floor, percent_lost, plain, rate};
use super::{Context, Coverage, Coverages, Notice, Output, Start, StopReason, Style};
use crate::aggregate::culprit::Burst;
use crate::aggregate::openings::Openings;
use crate::aggregate::snapshot::{CaptureFigures, InterfaceFigures, Snapshot};
use crate::aggregate::watch::Latency;
use crate::capture::LinkId;
use crate::meter::loss::{REASON_TEXTS, Reason};
use crate::meter::totals::LaneTotals;
use std::fmt::Write as _;
use std::io::{self, Write};

/// See the module's description.
pub struct Text<W: Write> {
    writer: W,
    style: Style,
    live: bool,
    blocks: u64,
}

impl<W: Write> Text<W> {
    /// Tables go to `writer`, in this style.
    pub fn new(writer: W, style: Style) -> Text<W> {
        Text { writer, style, live: false, blocks: 0 }
    }

    /// The same behind what another has written there.
    pub fn behind(writer: W, style: Style) -> Text<W> {
        Text { blocks: 1, ..Text::new(writer, style) }
    }

    /// How things stand in a run that goes on: the totals as `stop` tells them.
    ///
    /// # Errors
    /// Of the writer.
    pub fn summary(
        &mut self,
        snapshot: &Snapshot,
        coverage: &Coverages,
        context: &Context,
    ) -> io::Result<()> {
        let span_ns = run_span(snapshot);
        let sight = Sight { context, style: self.style, span_ns, going_on: false };
        let so_far = format!("So far, {}", duration(span_ns));
        let text = totals(&so_far, snapshot, coverage, &sight);
        self.block(&text)
    }

    /// Bursts that ended in the interval.
    fn bursts(&self, snapshot: &Snapshot, context: &Context) -> String {
        let told =
            |(place, burst): &(usize, &Burst)| super::bursts::told(burst, *place, context, self.style.unit);
        let mut bursts: Vec<(usize, &Burst)> = snapshot.bursts.iter().enumerate().collect();
        let (found, most) = (bursts.len() as u64, self.style.top);
        if !self.style.whole || bursts.len() <= most {
            return bursts.iter().map(told).collect();
        }
        // Of a whole file the largest; equal ones by time, as they stand.
        bursts.sort_by_key(|(_, burst)| std::cmp::Reverse(burst.sums.line_bits));
        bursts.truncate(most);
        let mut text: String = bursts.iter().map(told).collect();
        let shown = grouped(most as u64);
        line(&mut text, &format!("{shown} of {} bursts shown, the largest first", grouped(found)));
        text
    }

    /// Writes a block whole; blocks stand apart by an empty line.
    fn block(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let apart = if self.blocks == 0 { "" } else { "\n" };
        self.blocks += 1;
        self.writer.write_all(format!("{apart}{text}").as_bytes())?;
        self.writer.flush()
    }
}

impl<W: Write> Output for Text<W> {
    fn start(&mut self, start: &Start, context: &Context) -> io::Result<()> {
        self.live = start.time_ns != 0;
        let mut text = String::new();
        let live = context.links.iter().filter(|link| !link.from_file);
        let names: Vec<_> = live.map(|link| plain(&link.name)).collect();
        match (start.reason.is_empty(), names.is_empty()) {
            (false, _) => line(&mut text, &plain(&start.reason)),
            (true, false) => line(&mut text, &format!("Watching {}.", names.join(", "))),
            (true, true) => {}
        }
        if let Some(filter) = &start.filter {
            line(&mut text, &format!("Only packets that match: {}", plain(filter)));
        }
        self.block(&text)
    }

    fn snapshot(&mut self, snapshot: &Snapshot, coverage: &Coverages, context: &Context) -> io::Result<()> {
        let span_ns = interval_span(snapshot, self.live);
        if self.style.whole {
            return Ok(());
        }
        let sight = Sight { context, style: self.style, span_ns, going_on: true };
        let mut text =
            format!("{}: rates over {}, sums since the start\n", moment(snapshot.time_ns), duration(span_ns));
        text += &interfaces(snapshot, coverage, &sight, |figures| figures.interval);
        let table = &snapshot.table_interval;
        let changed = format!("{} opened, {} closed", grouped(table.opened), grouped(table.closed));
        line(&mut text, &format!("{} open, {changed}", number_of(table.active, "flow")));
        text += &hidden(snapshot);
        text += &losses(snapshot);
        text += &balances(snapshot, false, coverage, context);
        text += &self.bursts(snapshot, context);
        text.push('\n');
        text += &rows(snapshot, &sight);
        text += &destinations(snapshot, &sight);
        self.block(&text)
    }

    fn notice(&mut self, notice: &Notice, _context: &Context) -> io::Result<()> {
        // A table of a whole file has it below, where all its interfaces are known.
        if self.style.whole && notice.event == SPEED_UNKNOWN {
            return Ok(());
        }
        self.block(&format!("Note: {}\n", plain(&notice.message)))
    }

    fn stop(
        &mut self,
        reason: &StopReason,
        snapshot: &Snapshot,
        coverage: &Coverages,
        context: &Context,
    ) -> io::Result<()> {
        let span_ns = run_span(snapshot);
        let sight = Sight { context, style: self.style, span_ns, going_on: false };
        if self.style.whole {
            self.block(&self.bursts(snapshot, context))?;
            self.block(&(rows(snapshot, &sight) + &destinations(snapshot, &sight)))?;
        }
        let length = duration(span_ns);
        let ended = match reason {
            StopReason::EndOfFile => format!("All read, {length} of traffic"),
            StopReason::Error => format!("Ended by an error after {length}"),
            StopReason::Signal | StopReason::Duration | StopReason::Count | StopReason::ClosedPipe => {
                format!("Stopped after {length}")
            }
        };
        self.block(&totals(&ended, snapshot, coverage, &sight))
    }
}

/// Totals since the start, in a table and in words.
fn totals(ended: &str, snapshot: &Snapshot, coverage: &Coverages, sight: &Sight) -> String {
    let span_ns = sight.span_ns;
    // Live the two are one but where the clock was set back: then the clock's word.
    let end_ns = snapshot.end_ns.min(snapshot.time_ns);
    let times = between(end_ns.saturating_sub(span_ns), end_ns);
    let mut text = match (snapshot.packets(), snapshot.start_ns) {
        // No packet told a time.
        (0, 0) => format!("{ended}: no packet to count\n"),
        _ => format!("{ended} ({times}), rates over all of it\n"),
    };
    text += &interfaces(snapshot, coverage, sight, |figures| figures.total);
    let table = &snapshot.table;
    let open = match table.active {
        0 => String::new(),
        active => format!(", {} still open", grouped(active)),
    };
    line(&mut text, &format!("{}{open}", number_of(table.opened, "flow")));
    text += &hidden(snapshot);
    text += &losses(snapshot);
    text += &ethertypes(snapshot);
    if sight.style.whole
        && let Some(sentence) = without_speed(sight.context)
    {
        line(&mut text, &sentence);
    }
    text += &balances(snapshot, true, coverage, sight.context);
    text += &super::handshakes::summary(&snapshot.handshakes, sight);
    text += &super::incomplete::table(&snapshot.incomplete);
    text
}

fn line(text: &mut String, content: &str) {
    text.push_str(content);
    text.push('\n');
}

/// Interfaces side by side.
fn balances(snapshot: &Snapshot, since_start: bool, coverage: &Coverages, context: &Context) -> String {
    let told = |figures| super::balances::told(figures, since_start, coverage, context);
    snapshot.balances.iter().map(told).collect()
}

/// The rows, and how many there are besides.
fn rows(snapshot: &Snapshot, sight: &Sight) -> String {
    let rows = snapshot.rows.as_slice();
    if sight.style.top == 0 {
        return String::new();
    }
    if rows.is_empty() {
        return String::from(if sight.style.whole {
            "No traffic.\n"
        } else {
            "No traffic in this interval.\n"
        });
    }
    let mut text = table(&ROW_COLUMNS, rows, sight, 1);
    let shown = rows.len() as u64;
    if snapshot.rows_found > shown {
        let _ = writeln!(text, "{} of {} shown", grouped(shown), grouped(snapshot.rows_found));
    }
    text
}

/// Connections by destination, where they are asked for.
fn destinations(snapshot: &Snapshot, sight: &Sight) -> String {
    snapshot.destinations.as_ref().map_or_else(String::new, |all| super::destinations::table_of(all, sight))
}

/// The table of interfaces, and under it what each one's figures lack.
fn interfaces(
    snapshot: &Snapshot,
    coverage: &Coverages,
    sight: &Sight,
    now: impl Fn(&InterfaceFigures) -> [LaneTotals; 2],
) -> String {
    let links: Vec<LinkId> = super::figures::links(snapshot, sight.context).collect();
    let mut lanes = Vec::with_capacity(2 * links.len());
    let mut words = String::new();
    let openings = |link: &LinkId| figures_of(snapshot, *link).handshakes[1];
    // What one interface has, the handshakes by watch tell.
    let compared = links.iter().filter(|link| openings(link).attempts > 0).count() > 1;
    for &link in &links {
        let figures = figures_of(snapshot, link);
        let rates = now(&figures);
        let directions = if sight.context.link(link).direction_unknown { 1 } else { 2 };
        for (direction, (now, total)) in rates.into_iter().zip(figures.total).enumerate().take(directions) {
            let of = |rates: [u64; 2]| rates[direction];
            let windows = figures.averages.windows.map(|rates| rates.map(of));
            let peak =
                if sight.going_on { figures.averages.peak } else { peak_of_run(&figures, sight.span_ns) };
            let peak = peak.map(of);
            lanes.push(LaneSight { link, direction, now, total, windows, peak });
        }
        let name = plain(sight.context.link_name(link));
        let [interval, run] = [0, 1].map(|which| coverage_of(coverage, link, which));
        // Rates are of what the table's are, what is missing is told since the start.
        let rates = if sight.going_on { interval } else { run }.nic_bits_per_second;
        let mut said = said_of(&figures, &Coverage { nic_bits_per_second: rates, ..run }, sight);
        said.extend(sight.context.losses.told(link, sight.context.link(link)));
        let apart = if links.len() > 1 { format!("{name}: ") } else { String::new() };
        let opened = Some(figures.handshakes[1]).filter(|_| compared && !sight.going_on);
        for sentence in said.into_iter().chain(opened.and_then(|opened| opened_by(&opened))) {
            line(&mut words, &format!("{apart}{sentence}"));
        }
    }
    sight.context.losses.told_of_machine().iter().for_each(|sentence| line(&mut words, sentence));
    if lanes.is_empty() { words } else { table(&INTERFACE_COLUMNS, &lanes, sight, 2) + &words }
}

/// What a reader of an interface's figures has to know, each in a line.
fn said_of(figures: &InterfaceFigures, coverage: &Coverage, sight: &Sight) -> Vec<String> {
    let facts = sight.context.link(figures.link);
    let mut said = Vec::new();
    if !facts.from_file {
        let since = if coverage.part { " since no filter is in force" } else { "" };
        let known = coverage.ratio.map(|ratio| format!("coverage {}{since}", percent_floor(ratio)));
        let known = known.unwrap_or_else(|| String::from("coverage not known"));
        said.push(match figures.capture.kernel_drops {
            0 => format!("0 dropped by the kernel, {known}"),
            _ => format!("{}{}; {known}", dropped(&figures.capture), larger_rings(sight.context)),
        });
    }
    said.extend(missing_told(figures, sight.context.filtered_ns.is_some()));
    let one_way = both(&figures.total, |lane| lane.tcp.one_way);
    if one_way > 0 {
        let bytes = number_of(one_way, "byte");
        said.push(format!("{bytes} acknowledged of connections of which one direction alone passes here"));
    }
    if let Some([received, sent]) = coverage.nic_bits_per_second {
        let [received, sent] = [received, sent].map(|bits| rate(bits, sight.style.unit));
        said.push(format!("without the filter: rx {received}, tx {sent}"));
    }
    if facts.second_copy {
        said.push(String::from("its packets are those of a watched device below it: no flows of its own"));
    }
    said.extend(untracked(&figures.total));
    let packets = both(&figures.total, |lane| lane.count.packets);
    let frames = both(&figures.total, |lane| lane.frames);
    if packets != frames {
        let [packets, frames] = [number_of(packets, "packet"), number_of(frames, "frame")];
        said.push(format!("{packets} came in {frames}: super-frames (offloading)"));
    }
    let estimated = both(&figures.total, |lane| lane.estimated);
    if estimated > 0 {
        said.push(format!(
            "{} estimated: a file does not tell how its super-frames were cut",
            number_of(estimated, "packet")
        ));
    }
    said
}

/// Handshakes whose SYN passed an interface.
fn opened_by(openings: &Openings) -> Option<String> {
    let Openings { attempts, success, connect, server_half, client_half } = openings;
    let median = |latency: &Option<Latency>| latency.map(|one| duration(one.p50_us.saturating_mul(1000)));
    let halves = [(server_half, "to the server"), (client_half, "to the client")];
    let halves = halves.into_iter().filter_map(|(half, words)| Some(format!("{} {words}", median(half)?)));
    let halves: Vec<String> = halves.collect();
    let halves = if halves.is_empty() { String::new() } else { format!(" ({})", halves.join(", ")) };
    let took = connect.map_or_else(String::new, |connect| {
        let [p50, p99] = [connect.p50_us, connect.p99_us].map(|us| duration(us.saturating_mul(1000)));
        format!(", p50 {p50}{halves}, p99 {p99}")
    });
    let of = number_of(*attempts, "handshake");
    (*attempts > 0).then(|| format!("{} of {of} that began here succeeded{took}", grouped(*success)))
}

/// What mends a ring that was full: twice of what all have together.
fn larger_rings(context: &Context) -> String {
    let bytes = context.links.iter().filter_map(|facts| facts.ring).map(|ring| ring.bytes);
    let mib = bytes.fold(0, u64::saturating_add).div_ceil(1 << 20).saturating_mul(2);
    if mib == 0 { String::new() } else { format!(": --ring-mib {mib}") }
}

fn dropped(capture: &CaptureFigures) -> String {
    let CaptureFigures { frames, kernel_drops, freezes, .. } = *capture;
    let share = percent_lost(kernel_drops, frames.saturating_add(kernel_drops));
    let times = match freezes {
        0 => String::new(),
        times => format!(" ({})", number_of(times, "time")),
    };
    format!(
        "may be short: {} ({share}) dropped by the kernel, the ring was full{times}",
        number_of(kernel_drops, "frame")
    )
}

/// What rows leave out since the start (`--new-only`), a line.
fn hidden(snapshot: &Snapshot) -> String {
    snapshot.hidden.as_ref().map_or_else(String::new, |hidden| hidden_told(hidden) + "\n")
}

/// What is in no flow, by reason.
fn untracked(lanes: &[LaneTotals; 2]) -> Option<String> {
    let [rx, tx] = lanes;
    let sums = REASON_TEXTS.iter().zip(rx.untracked.iter().zip(&tx.untracked));
    let said: Vec<String> = sums
        .map(|(text, (rx, tx))| (text, sum([*rx, *tx])))
        .filter(|(_, sum)| sum.packets > 0)
        .map(|(text, sum)| {
            let name = match text.reason {
                Reason::NotIp => String::from("not IP"),
                _ => text.name.replace('_', " "),
            };
            format!("{name} {} ({})", number_of(sum.packets, "packet"), number_of(sum.bytes, "byte"))
        })
        .collect();
    (!said.is_empty()).then(|| format!("in no flow: {}", said.join(", ")))
}

/// What the flow table could not do, since the start; what is late is told by notices.
fn losses(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let stats = &snapshot.table;
    if stats.evicted > 0 {
        let evicted = number_of(stats.evicted, "flow");
        line(&mut text, &format!("{evicted} pushed out early, as the flow table was full (--max-flows)"));
    }
    if stats.unreported > 0 {
        let count = &stats.unreported_count;
        let what = [number_of(count.packets, "packet"), number_of(count.bytes, "byte")].join(", ");
        line(
            &mut text,
            &format!("{} ended unseen ({what}): rows are short by that", number_of(stats.unreported, "flow")),
        );
    }
    text
}

/// What was not IP, by ethertype.
fn ethertypes(snapshot: &Snapshot) -> String {
    let said = snapshot.ethertypes.iter().map(|(number, count)| {
        format!(
            "{} {} ({})",
            ethertype_name(*number),
            number_of(count.packets, "packet"),
            number_of(count.bytes, "byte")
        )
    });
    let said: Vec<String> = said.collect();
    if said.is_empty() { String::new() } else { format!("Not IP: {}\n", said.join(", ")) }
}
