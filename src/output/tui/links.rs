//! Links side by side: what each carries over several spans, its history as a
//! chart, who filled the moment that is looked at, how even a bond or a set of
//! them is, and what would even it out.
//!
//! A page that may be longer than the screen: it is drawn whole, and as much of it
//! is shown as there is room for. Where the table, the chart and who filled it do not
//! fit together, the table stands below them: what is on top of every view has
//! its figures of now.

use super::chart::{Chart, Span, Strand, ZOOMS, label_width};
use super::header::{self, look_of, trust};
use super::paint::{Head, Table, bar, below, height_of, lines, table_of, wide};
use super::who::Who;
use super::{Scene, State};
use crate::capture::LinkId;
use crate::output::balances;
use crate::output::columns::{INTERFACE_COLUMNS, LaneSight};
use crate::output::figures::{Trust, coverage_of, figures_of, line_utilisation, links, missing_told};
use crate::output::units::{duration, number_of, plain};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

/// Cells of a bar of 100 %, and the width from which there are any.
const BAR: (usize, u16) = (20, 110);
/// Most lines of a strip.
const STRIP_LINES: u16 = 5;
/// Lines that strips of more than two leave to what is below them. Of sizes alone,
/// not of what is told: strips stay as high while the cursor moves.
const REST_LINES: u16 = 14;
/// The same of who filled a moment, where room is short.
const WHO_LEAST: u16 = 3;

const SECOND_NS: u64 = 1_000_000_000;

/// Draws the page; what it is, in words.
pub(super) fn draw(state: &mut State, scene: &Scene, buffer: &mut Buffer, area: Rect) -> String {
    let table = table(scene, area.width);
    let said = sentences(state, scene);
    let page = Page::of(state, scene, &said, wide(table.lines.len() + 1), area);
    let first = scroll(state, page.height, area);
    let mut whole = Buffer::empty(Rect { x: 0, y: 0, width: area.width, height: page.height.max(1) });
    let mut rest = whole.area;
    if !page.table_below {
        rest = table.draw(&mut whole, rest);
    }
    if let Some(chart) = &page.chart {
        let begin = rest.y;
        rest = chart.draw(&page.strands, scene, &mut whole, rest, page.lines_each);
        let left = wide(label_width(&page.strands, scene));
        let at = Rect { x: area.x.saturating_add(left), y: begin, height: rest.y - begin, ..area };
        chart.note(&mut state.plot, shifted(at, first, area));
    }
    if let Some(who) = page.who {
        let height = wide(who.height());
        who.draw(&mut whole, rest);
        rest = below(rest, height);
    }
    if page.table_below {
        rest = table.draw(&mut whole, below(rest, 1));
    }
    lines(&mut whole, below(rest, 1), &said);
    show(&whole, first, buffer, area);
    told(state, page.chart.is_some(), page.height.saturating_sub(first.saturating_add(area.height)), area)
}

/// What is drawn besides the table and the sentences, and how high all of it is.
struct Page {
    strands: Vec<Strand>,
    chart: Option<Chart>,
    lines_each: u16,
    who: Option<Who>,
    table_below: bool,
    height: u16,
}

impl Page {
    fn of(state: &mut State, scene: &Scene, said: &str, table: u16, area: Rect) -> Page {
        let said = wide(height_of(said, usize::from(area.width)));
        let said = if said > 0 { said.saturating_add(1) } else { 0 };
        let strands = strands(scene);
        let newest_ns = match &state.paused {
            Some(paused) if paused.snapshot.interval_ns > 0 => {
                scene.memory.past.near(paused.snapshot.time_ns)
            }
            _ => scene.memory.past.near(u64::MAX),
        };
        let left = label_width(&strands, scene);
        let width = usize::from(area.width).saturating_sub(left);
        let Some(newest_ns) = newest_ns.filter(|_| width > 0 && !strands.is_empty()) else {
            state.plot.times.clear();
            let height = table.saturating_add(said);
            return Page { strands, chart: None, lines_each: 0, who: None, table_below: false, height };
        };
        let zoom = ZOOMS.get(state.plot.zoom).copied().unwrap_or(1);
        let newest = scene.memory.past.filled(newest_ns).next();
        let span_ns = newest.map_or(0, |second| second.span_ns);
        state.plot.column_ns = span_ns.max(SECOND_NS).saturating_mul(zoom);
        let (cursor_ns, column_ns) = (state.past, state.plot.column_ns);
        let chart = Chart::of(&scene.memory.past, &strands, Span { newest_ns, cursor_ns, column_ns, width });
        let count = wide(strands.len());
        let high = |lines: u16| count.saturating_mul(lines).saturating_add(1);
        let fits =
            |lines: u16, more: u16| high(lines).saturating_add(table).saturating_add(more) <= area.height;
        let lines_each = (2..=STRIP_LINES).rev().find(|&lines| fits(lines, REST_LINES));
        let lines_each = lines_each.unwrap_or(if fits(2, WHO_LEAST) { 2 } else { 1 });
        let table_below = !fits(lines_each, WHO_LEAST);
        // With its own line, the table below has a line before it.
        let taken = high(lines_each).saturating_add(table).saturating_add(u16::from(table_below));
        let room = area.height.saturating_sub(taken.saturating_add(said)).max(WHO_LEAST);
        let who = Who::of(scene, cursor_ns.unwrap_or(newest_ns), &strands, usize::from(room));
        let who_height = wide(who.as_ref().map_or(0, Who::height));
        let height = taken.saturating_add(who_height).saturating_add(said);
        Page { strands, chart: Some(chart), lines_each, who, table_below, height }
    }
}

/// Links and directions in the order of their strips: what shares a bond together, first
/// what all of it received.
fn strands(scene: &Scene) -> Vec<Strand> {
    let context = scene.sight.context;
    let all: Vec<_> = links(scene.snapshot(), context).collect();
    let bond = |link| {
        let name = context.link(link).bond.as_ref();
        name.map_or(usize::MAX, |name| {
            all.iter().position(|&one| context.link(one).bond.as_ref() == Some(name)).unwrap_or(usize::MAX)
        })
    };
    let directions = |link| if context.link(link).direction_unknown { 1 } else { 2 };
    let mut strands: Vec<Strand> =
        all.iter().flat_map(|&link| (0..directions(link)).map(move |way| (link, way))).collect();
    strands.sort_by_key(|&(link, way)| (bond(link), way, link));
    strands
}

/// Scrolled so far: the first line that is shown.
fn scroll(state: &mut State, height: u16, area: Rect) -> u16 {
    let hidden = usize::from(height.saturating_sub(area.height));
    let first = state.settle(1, hidden + 1);
    state.page = usize::from(area.height).max(1);
    wide(first)
}

/// Where a part of the page is on the screen, when so many lines of the page are above it.
fn shifted(part: Rect, first: u16, area: Rect) -> Rect {
    let hidden = first.saturating_sub(part.y);
    let y = area.y.saturating_add(part.y.saturating_sub(first));
    Rect { y, height: part.height.saturating_sub(hidden), ..part }.intersection(area)
}

fn show(whole: &Buffer, first: u16, buffer: &mut Buffer, area: Rect) {
    for y in 0..area.height {
        for x in 0..area.width {
            let from = whole.cell((x, first.saturating_add(y)));
            if let Some((to, from)) = buffer.cell_mut((area.x + x, area.y + y)).zip(from) {
                *to = from.clone();
            }
        }
    }
}

fn told(state: &State, charted: bool, hidden: u16, area: Rect) -> String {
    let mut told = String::from("side by side");
    let mut add = |more: &str| {
        if told.chars().count() + more.chars().count() + 7 <= usize::from(area.width) {
            told += more;
        }
    };
    if charted {
        add(&format!(", {} a column", duration(state.plot.column_ns)));
        add(", ▔ peak ms, ! burst, x lost");
    }
    if hidden > 0 {
        add(&format!(", {} below", number_of(hidden.into(), "line")));
    }
    told
}

fn table(scene: &Scene, width: u16) -> Table {
    let snapshot = scene.snapshot();
    let mut lanes = Vec::new();
    for link in links(snapshot, scene.sight.context) {
        let figures = figures_of(snapshot, link);
        let directions = if scene.sight.context.link(link).direction_unknown { 1 } else { 2 };
        for direction in 0..directions {
            let (now, total) = (figures.interval[direction], figures.total[direction]);
            let windows = figures.averages.windows.map(|rates| rates.map(|rates| rates[direction]));
            let peak = figures.averages.peak.map(|rates| rates[direction]);
            lanes.push(LaneSight { link, direction, now, total, windows, peak });
        }
    }
    let mut table = table_of(&INTERFACE_COLUMNS, &lanes, &scene.sight, |name, _| match name {
        "interface" | "direction" | "rate" => 0,
        "utilisation" => 1,
        "peak" => 3,
        "bytes" => 4,
        "average_2s" | "average_10s" | "average_40s" => 5,
        _ => 6,
    });
    with_trust(&mut table, &lanes, scene);
    if width >= BAR.1 {
        with_bars(&mut table, &lanes, scene);
    }
    table
}

/// How even sets are, and what would even them out.
fn sentences(state: &State, scene: &Scene) -> String {
    let (coverage, context) = (&scene.moment.coverage, scene.sight.context);
    let [now, run] = [false, true].map(|since_start| {
        let told = |set| balances::told(set, since_start, coverage, context);
        scene.snapshot().balances.iter().map(told).collect::<String>()
    });
    let mut said: String =
        links(scene.snapshot(), context).filter_map(|link| doubt(link, state, scene)).collect();
    if scene.run.live && !now.is_empty() {
        said += &format!("In this interval:\n{now}");
    }
    if !run.is_empty() {
        said += &format!("Since the start:\n{run}");
    }
    said
}

/// Why the figures of a link are doubtful, where no column says it.
fn doubt(link: LinkId, state: &State, scene: &Scene) -> Option<String> {
    let name = plain(scene.sight.context.link_name(link));
    let doubtful = trust(link, scene) == Trust::Doubtful;
    let filtered = scene.sight.context.was_filtered(scene.snapshot().time_ns);
    let unknown = || {
        let why = match header::filter_told(state, scene) {
            Some(_) => "a filter is in force",
            None if filtered => "a filter was in force, and nothing is compared yet since",
            None => "the interface's own counters are not compared yet, or count otherwise",
        };
        format!("coverage not known: {why}")
    };
    let coverage = coverage_of(&scene.moment.coverage, link, 1);
    let part = || "coverage is of the time since no filter is in force".to_owned();
    let part = coverage.part.then(part);
    let missing = missing_told(&figures_of(scene.snapshot(), link), filtered);
    let told: Vec<String> = missing.into_iter().chain(part).collect();
    let told = if told.is_empty() { doubtful.then(unknown)? } else { told.join("; ") };
    Some(format!("{name}: {told}\n"))
}

fn with_trust(table: &mut Table, lanes: &[LaneSight], scene: &Scene) {
    table.heads.push(Head { title: "Figures".into(), right: true, rank: 2 });
    for (line, lane) in table.lines.iter_mut().zip(lanes) {
        let trust = trust(lane.link, scene);
        line.push((trust.name().to_owned(), look_of(trust)));
    }
}

fn with_bars(table: &mut Table, lanes: &[LaneSight], scene: &Scene) {
    table.heads.push(Head { title: "Part of the line".into(), right: false, rank: 9 });
    for (line, lane) in table.lines.iter_mut().zip(lanes) {
        let facts = scene.sight.context.link(lane.link);
        let share = line_utilisation(&lane.now, facts, scene.sight.span_ns).unwrap_or(0.0);
        line.push((bar(share, BAR.0), Style::new().fg(Color::Cyan)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_page_is_where_it_is_seen() {
        let area = Rect::new(0, 6, 80, 17);
        let part = Rect::new(14, 5, 66, 9);
        assert_eq!(shifted(part, 0, area), Rect::new(14, 11, 66, 9));
        assert_eq!(shifted(part, 5, area), Rect::new(14, 6, 66, 9));
        assert_eq!(shifted(part, 8, area), Rect::new(14, 6, 66, 6), "its first lines are above");
        assert_eq!(shifted(part, 14, area).height, 0);
        assert_eq!(
            shifted(Rect::new(14, 10, 66, 9), 0, area),
            Rect::new(14, 16, 66, 7),
            "its last ones below"
        );
    }
}
