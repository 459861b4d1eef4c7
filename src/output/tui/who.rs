//! Who filled a moment: bursts that reach into it, each with its culprits, and of
//! each link and direction the rows with most bytes.
//!
//! A table, in which a burst is a sentence above those who filled it. Of a second
//! that is kept all stands in [`super::past`]; nothing is asked for.

use super::chart::{Strand, named};
use super::filled::{Filled, Filler};
use super::paint::{Head, Piece, Table, line};
use super::{Scene, paint};
use crate::aggregate::culprit::Burst;
use crate::aggregate::snapshot::RowName;
use crate::capture::LinkId;
use crate::meter::bins::BIN_NS;
use crate::meter::journal::FlowName;
use crate::output::bursts::{ends, mean_bits_per_second, utilisation, word};
use crate::output::columns::{name_of, nothing};
use crate::output::figures::{HIDDEN, bits_per_second};
use crate::output::units::{clock, duration, human, number_of, percent_of, plain, rate, rate_in, rate_unit};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use std::cmp::Reverse;

/// Rows of a link and direction, where there is room.
const MOST: usize = 4;
/// Bursts that are told of, where there is room, and culprits of each.
const BURSTS: usize = 4;
const CULPRITS: usize = 3;

/// A line of the table.
enum Line {
    /// Over all columns.
    Told(String, Style),
    /// Cells.
    Cells(Vec<Piece>),
}

/// See the module's description.
pub(super) struct Who {
    heads: Vec<Head>,
    lines: Vec<Line>,
}

impl Who {
    /// Of the second that ended at a time; as much as so many lines have room for,
    /// and never less than a line for each link and direction.
    pub fn of(scene: &Scene, time_ns: u64, strands: &[Strand], room: usize) -> Option<Who> {
        let past = &scene.memory.past;
        let second = past.filled(time_ns).next().filter(|second| second.until_ns == time_ns)?;
        let bursts = past.bursts(second.begin_ns(), second.until_ns);
        let heads = heads(scene, second, !bursts.is_empty());
        let lines = (1..=MOST).rev().map(|most| lines(scene, second, &bursts, strands, most));
        // The heading is a line too.
        let mut least = None;
        for lines in lines {
            let fits = lines.len() < room;
            least = Some(lines);
            if fits {
                break;
            }
        }
        Some(Who { heads, lines: least.unwrap_or_default() })
    }

    /// Lines that it takes.
    pub fn height(&self) -> usize {
        self.lines.len() + 1
    }

    /// Draws it at the top of an area.
    pub fn draw(self, buffer: &mut Buffer, area: Rect) {
        let mut table = Table { heads: self.heads, lines: Vec::new() };
        let blank = || vec![(String::new(), Style::new()); 5];
        let mut told = Vec::new();
        for (place, one) in self.lines.into_iter().enumerate() {
            table.lines.push(match one {
                Line::Cells(cells) => cells,
                Line::Told(text, look) => {
                    told.push((place, text, look));
                    blank()
                }
            });
        }
        table.draw(buffer, area);
        for (place, text, look) in told {
            line(buffer, paint::below(area, paint::wide(place + 1)), &text, look);
        }
    }
}

fn heads(scene: &Scene, second: &Filled, with_excess: bool) -> Vec<Head> {
    let head = |title: &str, right, rank| Head { title: title.to_owned(), right, rank };
    let who = format!("Who filled the {} to {}", duration(second.span_ns), clock(second.until_ns));
    let mut heads = vec![
        head("Link", false, 0),
        head(rate_unit(scene.sight.style.unit), true, 3),
        head("Share", true, 1),
        head("On top", true, 2),
        head(&who, false, 0),
    ];
    if !with_excess {
        heads[3].title.clear();
    }
    heads
}

fn lines(scene: &Scene, second: &Filled, bursts: &[&Burst], strands: &[Strand], most: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for burst in bursts.iter().take(most.min(BURSTS)) {
        lines.push(Line::Told(
            told_of(burst, scene),
            Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        ));
        lines.extend(burst.culprits.iter().take(most.min(CULPRITS)).map(|culprit| {
            let length_ns = burst.until_ms.saturating_sub(burst.from_ms).saturating_mul(BIN_NS);
            let bytes = culprit.count().bytes;
            let part = |part, whole| percent_of(part, whole).unwrap_or_else(nothing);
            cells(
                scene,
                String::new(),
                bits_per_second(bytes, length_ns),
                [part(bytes, burst.sums.bytes), part(culprit.excess_bytes, culprit.excess_of_all)],
                ends(&culprit.who, scene.sight.context),
            )
        }));
    }
    if bursts.len() > most.min(BURSTS) {
        let more = number_of((bursts.len() - most.min(BURSTS)) as u64, "smaller burst");
        lines.push(Line::Told(format!("and {more} (F6 has the latest)"), Style::new()));
    }
    lines.extend(losses(scene, second, strands));
    let before = lines.len();
    let mut strands = strands.to_vec();
    let of =
        |&(link, way): &Strand| second.strips.get(usize::from(link)).map_or(0, |strip| strip.bytes[way & 1]);
    strands.sort_by_key(|strand| Reverse(of(strand)));
    for strand in strands {
        rows(scene, second, strand, most, &mut lines);
    }
    if lines.len() == before {
        let passed = second.strips.iter().any(|strip| strip.bytes != [0; 2]);
        let told = if passed { "No rows are there of it." } else { "Nothing passed." };
        lines.push(Line::Told(told.to_owned(), Style::new()));
    }
    lines.extend(hidden(scene, second));
    lines
}

/// What is in no row, by link (`--new-only`).
fn hidden(scene: &Scene, second: &Filled) -> Option<Line> {
    let links = (0..=LinkId::MAX).zip(&second.strips).filter(|(_, strip)| strip.hidden > 0);
    let name = |link| plain(scene.sight.context.link_name(link));
    let told = links.map(|(link, strip)| format!("{} {}", name(link), number_of(strip.hidden, "byte")));
    let told: Vec<String> = told.collect();
    let line = || Line::Told(format!("{HIDDEN}: {}", told.join(", ")), Style::new());
    (!told.is_empty()).then(line)
}

/// A burst's first line: where, when, how long, how high.
fn told_of(burst: &Burst, scene: &Scene) -> String {
    let (context, unit) = (scene.sight.context, scene.sight.style.unit);
    let length_ms = burst.until_ms.saturating_sub(burst.from_ms);
    let full = utilisation(burst.sums.line_bits, length_ms, burst.speed);
    format!(
        "! {} {} burst from {}, {}{}: {}{}, peak {}, {}",
        plain(context.link_name(burst.lane.link())),
        word(burst.lane),
        clock(burst.from_ms.saturating_mul(BIN_NS)),
        duration(length_ms.saturating_mul(BIN_NS)),
        if burst.open { " and on" } else { "" },
        rate(mean_bits_per_second(burst), unit),
        full.map_or_else(String::new, |ratio| format!(", {:.0}%", ratio * 100.0)),
        rate(burst.sums.peak_bits.saturating_mul(1000), unit),
        number_of(burst.connections, "connection"),
    )
}

/// What was lost then, by link.
fn losses(scene: &Scene, second: &Filled, strands: &[Strand]) -> Vec<Line> {
    let lossy = strands.iter().filter(|(_, way)| *way == 0).filter_map(|&(link, _)| {
        let strip = second.strips.get(usize::from(link)).filter(|strip| strip.is_lossy())?;
        let mut told = Vec::new();
        if strip.ring_lost > 0 {
            told.push(format!(
                "{} by its ring (these figures are short)",
                number_of(strip.ring_lost, "frame")
            ));
        }
        if strip.elsewhere_lost > 0 {
            told.push(format!("{} by NIC, driver or qdisc", number_of(strip.elsewhere_lost, "packet")));
        }
        let text = format!("x {} lost {}", plain(scene.sight.context.link_name(link)), told.join(", "));
        Some(Line::Told(text, Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)))
    });
    lossy.collect()
}

/// The rows of a link and direction; those of which the direction is not known stand with
/// what was received, and both directions count.
fn rows(scene: &Scene, second: &Filled, strand: Strand, most: usize, lines: &mut Vec<Line>) {
    let (link, way) = strand;
    let Some(strip) = second.strips.get(usize::from(link)) else { return };
    let mut found: Vec<(&Filler, u64)> = second.of(link).map(|filler| (filler, filler.on(way))).collect();
    found.retain(|(_, bytes)| *bytes > 0);
    found.sort_by_key(|(filler, bytes)| (Reverse(*bytes), filler.name));
    for (place, (filler, bytes)) in found.into_iter().take(most).enumerate() {
        let unknown = (0..2).any(|side| filler.bytes[side] > 0 && filler.ways[side].is_none());
        let whole =
            if unknown { strip.bytes[0].saturating_add(strip.bytes[1]) } else { strip.bytes[way & 1] };
        let where_told = match (unknown, place) {
            (true, _) => plain(scene.sight.context.link_name(link)).into_owned(),
            (_, 0) => named(strand, scene),
            _ => String::new(),
        };
        let share = percent_of(bytes.min(whole), whole).unwrap_or_else(nothing);
        let rate = bits_per_second(bytes, second.span_ns);
        lines.push(cells(scene, where_told, rate, [share, String::new()], called(filler, scene)));
    }
}

fn cells(scene: &Scene, link: String, rate: Option<u64>, [share, excess]: [String; 2], who: String) -> Line {
    let rate = rate.map_or_else(nothing, |bits| human(rate_in(bits, scene.sight.style.unit)));
    Line::Cells([link, rate, share, excess, who].map(|text| (text, Style::new())).to_vec())
}

/// Its name, the client of a connection first.
fn called(filler: &Filler, scene: &Scene) -> String {
    let context = scene.sight.context;
    let told = match filler.name {
        RowName::Connection(key) => {
            ends(&FlowName { key, start_ns: 0, client_second: filler.client_second }, context)
        }
        name => name_of(&name, context),
    };
    plain(&told).into_owned()
}
