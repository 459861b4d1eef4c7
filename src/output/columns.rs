//! Every column once: name, unit, heading, where JSON has it, what it means.
//!
//! Text lays its tables out from these, and docs/COLUMNS.md is written from
//! them, so a table cannot show what the docs do not explain. Two tables: rows
//! (what `--by` names) and interfaces by direction. Rates are those of the
//! interval, sums those since the start; sizes are always bytes, rates follow
//! the unit that the user chose.

use super::figures::{bits_per_second, has_ports, line_utilisation, protocol_name, sum};
use super::units::{grouped, human, percent_of, plain, rate_in, rate_unit};
use super::{Context, Style};
use crate::aggregate::snapshot::{Row, RowName};
use crate::capture::LinkId;
use crate::config::By;
use crate::flow::key::FlowKey;
use crate::flow::tcp::TcpState;
use crate::meter::totals::LaneTotals;

/// What a cell needs besides what it is about.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    /// Names and facts.
    pub context: &'a Context,
    /// Unit, grouping.
    pub style: Style,
    /// What rates are over, ns.
    pub span_ns: u64,
    /// The run goes on: averages over the last seconds say something.
    pub going_on: bool,
}

/// One direction of an interface, as a table shows it.
#[derive(Clone, Copy)]
pub struct LaneSight {
    /// The interface.
    pub link: LinkId,
    /// 0 received, 1 sent.
    pub direction: usize,
    /// What rates are made of.
    pub now: LaneTotals,
    /// Since the start.
    pub total: LaneTotals,
    /// Over the last seconds, bits per second by window; and the highest second.
    pub windows: [Option<u64>; 3],
    /// Highest second since the start, bits per second.
    pub peak: Option<u64>,
}

/// What the cells of a column hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// A word.
    Word,
    /// Bits or bytes per second, as the user chose.
    Rate,
    /// The same unit, told by the column of the rate beside it.
    RateBeside,
    /// Bytes.
    Bytes,
    /// Packets.
    Packets,
    /// Per cent.
    Percent,
    /// A number of things.
    Count,
    /// How often in a second.
    PerSecond,
    /// A duration.
    Duration,
}

impl Measure {
    /// Unit in docs.
    pub fn unit(self) -> &'static str {
        match self {
            Measure::Word => "–",
            Measure::Rate | Measure::RateBeside => "bit/s, or byte/s with `-B`",
            Measure::Bytes => "bytes",
            Measure::Packets => "packets",
            Measure::Percent => "%",
            Measure::Count => "number",
            Measure::PerSecond => "1/s",
            Measure::Duration => "time",
        }
    }

    /// Whether cells are aligned to the right.
    pub fn right(self) -> bool {
        self != Measure::Word
    }
}

/// A column of a table of `T`.
pub struct Column<T: 'static> {
    /// What `--highlight` and JSON's `highlights` call it; columns that say one thing share it.
    pub name: &'static str,
    /// What its cells hold.
    pub measure: Measure,
    /// Its heading; rates get their unit behind it.
    pub heading: fn(&Sight) -> &'static str,
    /// The same in docs: every heading it can have.
    pub headings: &'static str,
    /// Where JSON lines have the figure.
    pub json: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// Whether it is shown.
    pub shown: fn(&Sight) -> bool,
    /// A cell.
    pub cell: fn(&T, &Sight) -> String,
    /// The figure in it, for comparison: bits per second, bytes, ns, per cent from 0 to 100, or
    /// a number; None where it is not known and of words.
    pub figure: fn(&T, &Over) -> Option<f64>,
}

/// What a figure needs besides what it is about.
#[derive(Clone, Copy)]
pub struct Over<'a> {
    /// Facts.
    pub context: &'a Context,
    /// What rates are over, ns.
    pub span_ns: u64,
}

impl<'a> Sight<'a> {
    /// What figures need of it.
    pub fn over(&self) -> Over<'a> {
        Over { context: self.context, span_ns: self.span_ns }
    }
}

pub(super) fn no_figure<T>(_: &T, _: &Over) -> Option<f64> {
    None
}

/// A share in per cent. Multiplied first: what people type as 29 is then 29.
pub(super) fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

fn known(figure: Option<u64>) -> Option<f64> {
    figure.map(|figure| figure as f64)
}

impl<T> Column<T> {
    /// Heading with its unit.
    pub fn title(&self, sight: &Sight) -> String {
        let heading = (self.heading)(sight);
        match self.measure {
            Measure::Rate => format!("{heading}{}", rate_unit(sight.style.unit)),
            _ => heading.to_owned(),
        }
    }
}

pub(super) fn always(_: &Sight) -> bool {
    true
}

/// Columns of rows, in their order. The name stands last, as nothing bounds its width.
pub static ROW_COLUMNS: [Column<Row>; 7] = [
    Column {
        name: "state",
        measure: Measure::Word,
        heading: |_| "State",
        headings: "`State`",
        json: "`protocol`, `state`",
        meaning: "State of a TCP connection (below); the protocol where it is not TCP.",
        shown: |sight| sight.style.by == By::Connection,
        cell: |row, _| state(row),
        figure: no_figure,
    },
    Column {
        name: "interfaces",
        measure: Measure::Word,
        heading: |_| "Iface",
        headings: "`Iface`",
        json: "`connection`: `c2s.interfaces`, `s2c.interfaces`",
        meaning: "Interface that carries it; `eth0/eth1` where the client's packets are on the first and the \
                  server's on the second. Left out where only one interface is watched.",
        shown: |sight| sight.style.by == By::Connection && sight.context.links.len() > 1,
        cell: interfaces,
        figure: no_figure,
    },
    Column {
        name: "rate",
        measure: Measure::Rate,
        heading: |sight| directions(sight.style.by)[0],
        headings: "`→`, `to`, `rx` and the unit",
        json: "`c2s`, `a_to_b`, `to`: `bits_per_second`",
        meaning: "Rate in the interval: client to server, first to second address, or to what the row names; \
                  received by an interface.",
        shown: always,
        cell: |row, sight| rate(row.interval[0].bytes, sight),
        figure: |row, over| known(bits_per_second(row.interval[0].bytes, over.span_ns)),
    },
    Column {
        name: "rate",
        measure: Measure::Rate,
        heading: |sight| directions(sight.style.by)[1],
        headings: "`←`, `from`, `tx` and the unit",
        json: "`s2c`, `b_to_a`, `from`: `bits_per_second`",
        meaning: "Rate in the interval, the other way.",
        shown: always,
        cell: |row, sight| rate(row.interval[1].bytes, sight),
        figure: |row, over| known(bits_per_second(row.interval[1].bytes, over.span_ns)),
    },
    Column {
        name: "bytes",
        measure: Measure::Bytes,
        heading: |_| "Bytes",
        headings: "`Bytes`",
        json: "`connection`: `c2s.bytes` + `s2c.bytes`",
        meaning: "Layer-2 bytes of both directions since the start.",
        shown: always,
        cell: |row, _| human(sum(row.total).bytes),
        figure: |row, _| Some(sum(row.total).bytes as f64),
    },
    Column {
        name: "packets",
        measure: Measure::Packets,
        heading: |_| "Pkts",
        headings: "`Pkts`",
        json: "`connection`: `c2s.packets` + `s2c.packets`",
        meaning: "Packets on the wire of both directions since the start.",
        shown: always,
        cell: |row, _| human(sum(row.total).packets),
        figure: |row, _| Some(sum(row.total).packets as f64),
    },
    Column {
        name: "name",
        measure: Measure::Word,
        heading: |sight| match sight.style.by {
            By::Connection => "Client → server",
            By::Pair => "Address → address",
            By::Host => "Host",
            By::Destination => "Destination",
            By::Port => "Port",
            By::Class => "Class",
            By::Interface => "Interface",
        },
        headings: "`Client → server`, `Address → address`, `Host`, `Destination`, `Port`, `Class`, `Interface`",
        json: "`client`, `server`, `vlan` | `a`, `b` | `host` | `destination` | `port`, `protocol` | `class` | `interface`",
        meaning: "What the row is about. The arrow always points to the server; protocols without ports have \
                  none. Addresses that `--names` knows by their names. `vlan` with its ids, outermost first, where \
                  frames are tagged.",
        shown: always,
        cell: |row, sight| name(row, sight.context),
        figure: no_figure,
    },
];

/// Columns of interfaces by direction.
pub static INTERFACE_COLUMNS: [Column<LaneSight>; 11] = [
    Column {
        name: "interface",
        measure: Measure::Word,
        heading: |_| "Interface",
        headings: "`Interface`",
        json: "`interface`",
        meaning: "Its name; empty in the line of its second direction.",
        shown: always,
        cell: |lane, sight| match lane.direction {
            0 => plain(sight.context.link_name(lane.link)).into_owned(),
            _ => String::new(),
        },
        figure: no_figure,
    },
    Column {
        name: "direction",
        measure: Measure::Word,
        heading: |_| "",
        headings: "(none)",
        json: "`rx`, `tx`, `direction`",
        meaning: "`rx` received by the host, `tx` sent; `all` where nothing tells them apart.",
        shown: always,
        cell: |lane, sight| {
            let unknown = sight.context.link(lane.link).direction_unknown;
            String::from(if unknown { "all" } else { ["rx", "tx"][lane.direction & 1] })
        },
        figure: no_figure,
    },
    Column {
        name: "rate",
        measure: Measure::Rate,
        heading: |_| "",
        headings: "the unit",
        json: "`rx.bits_per_second`, `tx.bits_per_second`",
        meaning: "Layer-2 rate: of the interval, or of the whole run in the summary.",
        shown: always,
        cell: |lane, sight| rate(lane.now.count.bytes, sight),
        figure: |lane, over| known(bits_per_second(lane.now.count.bytes, over.span_ns)),
    },
    Column {
        name: "utilisation",
        measure: Measure::Percent,
        heading: |_| "Line",
        headings: "`Line`",
        json: "`rx.line_utilisation_ratio`, `tx.line_utilisation_ratio`",
        meaning: "Share of the link's rate in use over the same time: each packet padded to 60 bytes, plus 24 \
                  for FCS, preamble and gap. `-` where the speed is not known; left out where no speed is.",
        shown: |sight| sight.context.links.iter().any(|link| link.speed_bits_per_second.is_some()),
        cell: |lane, sight| {
            let facts = sight.context.link(lane.link);
            line_utilisation(&lane.now, facts, sight.span_ns)
                .map_or_else(nothing, |ratio| format!("{:.1}%", ratio * 100.0))
        },
        figure: |lane, over| {
            let facts = over.context.link(lane.link);
            // Of a ratio with six decimals the nearest double: what people type as 29 is 29.
            line_utilisation(&lane.now, facts, over.span_ns).map(|ratio| (ratio * 1e6).round() / 1e4)
        },
    },
    Column {
        name: "average_2s",
        measure: Measure::RateBeside,
        heading: |_| "2s",
        headings: "`2s`",
        json: "`rx.average_2s_bits_per_second`, …",
        meaning: "Average over the last 2 s, whole seconds. `-` where an interval is longer.",
        shown: |sight| sight.going_on,
        cell: |lane, sight| bits(lane.windows[0], sight),
        figure: |lane, _| known(lane.windows[0]),
    },
    Column {
        name: "average_10s",
        measure: Measure::RateBeside,
        heading: |_| "10s",
        headings: "`10s`",
        json: "`rx.average_10s_bits_per_second`, …",
        meaning: "The same over 10 s, or over the run so far.",
        shown: |sight| sight.going_on,
        cell: |lane, sight| bits(lane.windows[1], sight),
        figure: |lane, _| known(lane.windows[1]),
    },
    Column {
        name: "average_40s",
        measure: Measure::RateBeside,
        heading: |_| "40s",
        headings: "`40s`",
        json: "`rx.average_40s_bits_per_second`, …",
        meaning: "The same over 40 s, or over the run so far.",
        shown: |sight| sight.going_on,
        cell: |lane, sight| bits(lane.windows[2], sight),
        figure: |lane, _| known(lane.windows[2]),
    },
    Column {
        name: "peak",
        measure: Measure::RateBeside,
        heading: |_| "Peak",
        headings: "`Peak`",
        json: "`rx.peak_1s_bits_per_second`, `tx.peak_1s_bits_per_second`",
        meaning: "Highest second since the start (highest interval, where that is longer).",
        shown: |sight| !sight.style.whole,
        cell: |lane, sight| bits(lane.peak, sight),
        figure: |lane, _| known(lane.peak),
    },
    Column {
        name: "packets",
        measure: Measure::Packets,
        heading: |_| "Packets",
        headings: "`Packets`",
        json: "`stop`: `rx.packets`, `tx.packets`",
        meaning: "Packets on the wire since the start: a super-frame of n segments counts n.",
        shown: always,
        cell: |lane, _| grouped(lane.total.count.packets),
        figure: |lane, _| Some(lane.total.count.packets as f64),
    },
    Column {
        name: "bytes",
        measure: Measure::Bytes,
        heading: |_| "Bytes",
        headings: "`Bytes`",
        json: "`stop`: `rx.bytes`, `tx.bytes`",
        meaning: "Layer-2 bytes on the wire since the start, without the frame check sequence.",
        shown: always,
        cell: |lane, _| grouped(lane.total.count.bytes),
        figure: |lane, _| Some(lane.total.count.bytes as f64),
    },
    Column {
        name: "in_flows",
        measure: Measure::Percent,
        heading: |_| "In flows",
        headings: "`In flows`",
        json: "1 − `untracked.bytes` ÷ `bytes`",
        meaning: "Share of these bytes that flows have; the rest is told below by reason (LOSSES.md). Never \
                  rounded up: 100.0% is all.",
        shown: always,
        cell: |lane, _| {
            let all = lane.total.count.bytes;
            let tracked = all.saturating_sub(lane.total.untracked_sum().bytes);
            percent_of(tracked, all).unwrap_or_else(nothing)
        },
        figure: |lane, _| {
            let all = lane.total.count.bytes;
            percent(all.saturating_sub(lane.total.untracked_sum().bytes), all)
        },
    },
];

pub(super) fn nothing() -> String {
    String::from("-")
}

/// What a cell of a rate says: `bytes` over the sight's span.
pub(super) fn rate(bytes: u64, sight: &Sight) -> String {
    bits_per_second(bytes, sight.span_ns).map_or_else(nothing, |bits| human(rate_in(bits, sight.style.unit)))
}

/// The same of a rate that is known, in bits per second.
pub(super) fn bits(rate: Option<u64>, sight: &Sight) -> String {
    rate.map_or_else(nothing, |bits| human(rate_in(bits, sight.style.unit)))
}

fn directions(by: By) -> [&'static str; 2] {
    match by {
        By::Connection | By::Pair => ["→", "←"],
        By::Host | By::Destination | By::Port | By::Class => ["to ", "from "],
        By::Interface => ["rx ", "tx "],
    }
}

/// All states, in the order of docs.
pub const STATES: [TcpState; 10] = [
    TcpState::SynSent,
    TcpState::SynReceived,
    TcpState::Established,
    TcpState::FinWait,
    TcpState::HalfClosedClient,
    TcpState::HalfClosedServer,
    TcpState::Closing,
    TcpState::TimeWait,
    TcpState::Reset,
    TcpState::Closed,
];

/// A state in six letters at most, and what it means.
pub fn state_words(state: TcpState) -> (&'static str, &'static str) {
    match state {
        TcpState::SynSent => ("syn", "the client asked, no answer yet"),
        TcpState::SynReceived => ("synack", "the server answered, the handshake is not finished"),
        TcpState::Established => ("est", "established, or met after its beginning"),
        TcpState::FinWait => ("fin", "one end closed, not acknowledged"),
        TcpState::HalfClosedClient => ("c-half", "the client closed, the server goes on"),
        TcpState::HalfClosedServer => ("s-half", "the server closed, the client goes on"),
        TcpState::Closing => ("fins", "both ends closed, not both acknowledged"),
        TcpState::TimeWait => ("done", "both ends closed and acknowledged"),
        TcpState::Reset => ("reset", "ended by a RST"),
        TcpState::Closed => ("closed", "an attempt that ended without a connection"),
    }
}

fn state(row: &Row) -> String {
    match (row.state, row.name) {
        (Some(state), _) => state_words(state).0.to_owned(),
        (None, RowName::Connection(key)) => protocol_name(key.protocol()).into_owned(),
        (None, _) => nothing(),
    }
}

fn interfaces(row: &Row, sight: &Sight) -> String {
    let name = |lane: crate::capture::Lane| plain(sight.context.link_name(lane.link()));
    match row.lanes.map(|lane| lane.map(name)) {
        [Some(there), Some(back)] if there != back => format!("{there}/{back}"),
        [Some(one), _] | [None, Some(one)] => one.into_owned(),
        [None, None] => nothing(),
    }
}

fn name(row: &Row, context: &Context) -> String {
    match row.name {
        RowName::Connection(key) => {
            let client = row.client_second as usize;
            let vlan = vlan(&context.stacks.ids(key.vlan()));
            format!("{} → {}{vlan}", end(&key, client, context), end(&key, 1 - client, context))
        }
        other => name_of(&other, context),
    }
}

/// What a filter of rows looks at: as [`name`] but that of a connection the
/// protocol stands behind, and which end is the client is not told.
pub fn name_of(name: &RowName, context: &Context) -> String {
    let mut text = String::new();
    write_name_of(&mut text, name, context);
    text
}

/// Appends the same: for who asks it of every row, without a piece of memory for each.
pub fn write_name_of(text: &mut String, name: &RowName, context: &Context) {
    match *name {
        RowName::Connection(key) => {
            write_end(text, &key, 0, context);
            text.push(' ');
            write_end(text, &key, 1, context);
            text.push(' ');
            text.push_str(&protocol_name(key.protocol()));
        }
        RowName::Pair(a, b) => {
            context.names.write(text, a);
            text.push_str(" → ");
            context.names.write(text, b);
        }
        RowName::Host(ip) | RowName::Destination(ip) | RowName::Source(ip) => context.names.write(text, ip),
        RowName::Port(protocol, port) => {
            if has_ports(protocol) {
                text.push_str(itoa::Buffer::new().format(port));
                text.push('/');
            }
            text.push_str(&protocol_name(protocol));
        }
        RowName::Class(class) => text.push_str(&plain(context.class_name(class))),
        RowName::Interface(link) => text.push_str(&plain(context.link_name(link))),
    }
}

/// An end of a flow, by name where it has one.
pub fn end(key: &FlowKey, side: usize, context: &Context) -> String {
    let mut text = String::new();
    write_end(&mut text, key, side, context);
    text
}

fn write_end(text: &mut String, key: &FlowKey, side: usize, context: &Context) {
    if !has_ports(key.protocol()) {
        return context.names.write(text, key.ip(side));
    }
    context.names.write_before_port(text, key.ip(side));
    text.push(':');
    text.push_str(itoa::Buffer::new().format(key.end(side).port));
}

fn vlan(ids: &[u16]) -> String {
    match ids {
        [] => String::new(),
        ids => format!(" vlan {}", ids.iter().map(u16::to_string).collect::<Vec<_>>().join(".")),
    }
}

/// Bold and reverse (ECMA-48, SGR): seen on terminals without colours too.
const STANDS_OUT: &str = "\u{1b}[1;7m";

/// A table with aligned columns, `gap` spaces apart (words behind figures two); a
/// heading line, then a line an item.
pub fn table<T>(columns: &[Column<T>], items: &[T], sight: &Sight, gap: usize) -> String {
    let columns: Vec<&Column<T>> = columns.iter().filter(|column| (column.shown)(sight)).collect();
    let (highlights, over) = (&sight.context.highlights, sight.over());
    let cell = |column: &Column<T>, text: String, out: bool| match highlights.concern(column) {
        // Digits stay below digits, and a column as wide as it was, whatever stands out.
        true if !sight.style.color => (format!("{text}{}", if out { '!' } else { ' ' }), false),
        _ => (text, out),
    };
    let heading = columns.iter().map(|column| cell(column, column.title(sight), false));
    let mut lines = vec![heading.collect::<Vec<_>>()];
    lines.extend(items.iter().map(|item| {
        let cells = columns
            .iter()
            .map(|column| cell(column, (column.cell)(item, sight), highlights.mark(column, item, &over)));
        cells.collect()
    }));
    let width = |at: usize| lines.iter().map(|line| line[at].0.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let from = text.len();
        for (at, ((cell, out), column)) in line.iter().zip(&columns).enumerate() {
            let pad = " ".repeat(widths[at] - cell.chars().count());
            let space = match at {
                0 => 0,
                _ if columns[at - 1].measure.right() && !column.measure.right() => 2,
                _ => gap,
            };
            let space = " ".repeat(space);
            let [before, after] = if column.measure.right() { [&pad[..], ""] } else { ["", &pad[..]] };
            let [begin, end] = if *out { [STANDS_OUT, "\u{1b}[0m"] } else { [""; 2] };
            text.extend([&space[..], before, begin, cell, end, after]);
        }
        text.truncate(from + text[from..].trim_end().len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sort, Unit};

    #[test]
    fn every_state_has_a_word_of_its_own() {
        let words: std::collections::HashSet<_> = STATES.iter().map(|&state| state_words(state).0).collect();
        assert_eq!(words.len(), STATES.len());
        assert!(words.iter().all(|word| word.len() <= 6));
    }

    #[test]
    fn every_heading_stands_in_the_docs() {
        let context = Context { links: vec![Default::default(); 2], ..Context::default() };
        for by in [By::Connection, By::Pair, By::Host, By::Destination, By::Port, By::Class, By::Interface] {
            let style = Style { by, sort: Sort::Rate, top: 1, unit: Unit::Bits, whole: false, color: false };
            let sight = Sight { context: &context, style, span_ns: 0, going_on: true };
            for column in &ROW_COLUMNS {
                let heading = (column.heading)(&sight).trim_end();
                assert!(column.headings.contains(&format!("`{heading}`")), "{heading} in {}", column.name);
            }
        }
    }
}
