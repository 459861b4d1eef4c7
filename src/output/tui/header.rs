//! What stands on top of every view: time, links with what they carry and how
//! far their figures may be trusted, in words as well as in colour.

use super::paint::{Head, Piece, Table, heading, line};
use super::{Scene, State};
use crate::capture::LinkId;
use crate::meter::totals::LaneTotals;
use crate::output::columns::{nothing, rate};
use crate::output::figures::{Trust, coverage_of, figures_of, line_utilisation, links, run_span, trust_in};
use crate::output::units::{
    duration, grouped, human, moment, number_of, percent_floor, plain, rate_in, rate_unit,
};
use crate::output::{FILTER_CHANGED, LinkFacts};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

const SECOND_NS: u64 = 1_000_000_000;

/// The header; what is below it.
pub(super) fn draw(state: &State, scene: &Scene, buffer: &mut Buffer, area: Rect) -> Rect {
    let rest = line(buffer, area, &first_line(state, scene), heading());
    let rest = draw_links(scene, buffer, rest);
    draw_notice(state, scene, buffer, rest)
}

fn first_line(state: &State, scene: &Scene) -> String {
    let snapshot = scene.snapshot();
    let mut told = String::from("fullcount");
    if state.is_paused() {
        told += " PAUSED";
    }
    if state.past.is_some() {
        told += " PAST (Esc: now)";
    }
    let time_ns = if scene.run.live { snapshot.time_ns } else { snapshot.end_ns };
    told += &format!(" {}, {}", moment(time_ns), duration(run_span(snapshot)));
    told += &format!(", {}", number_of(snapshot.table.active, "flow"));
    if let Some(filter) = filter_told(state, scene) {
        told += &format!(", only {}", plain(filter));
    }
    told
}

/// The filter that is in force; of the past the same, where none came since.
pub(super) fn filter_told<'a>(state: &State, scene: &Scene<'a>) -> Option<&'a str> {
    let then_ns = state.past.map(|_| scene.snapshot().time_ns);
    let changed = then_ns.is_some_and(|then_ns| scene.memory.has_since(FILTER_CHANGED, then_ns));
    scene.run.filter.as_deref().filter(|_| !changed)
}

fn draw_links(scene: &Scene, buffer: &mut Buffer, area: Rect) -> Rect {
    let links: Vec<LinkId> = links(scene.snapshot(), scene.sight.context).collect();
    // A third of the screen at most; what does not fit is told in a line.
    let room = usize::from(buffer.area.height / 3).saturating_sub(3).max(1);
    let shown = if links.len() > room { room - usize::from(room > 1) } else { links.len() };
    let table =
        Table { heads: heads(scene), lines: links[..shown].iter().map(|&link| cells(link, scene)).collect() };
    let heading_and_lines = u16::try_from(shown + 1).unwrap_or(u16::MAX);
    table.draw(buffer, Rect { height: area.height.min(heading_and_lines), ..area });
    let rest = super::below(area, heading_and_lines);
    let (hidden, told) = (&links[shown..], links.len());
    if hidden.is_empty() {
        return rest;
    }
    let doubted: Vec<String> = hidden
        .iter()
        .map(|&link| (link, trust(link, scene)))
        .filter(|(_, trust)| *trust != Trust::Good)
        .map(|(link, trust)| format!("{} {}", plain(scene.sight.context.link_name(link)), trust.name()))
        .collect();
    let doubted = if doubted.is_empty() { String::from("all good") } else { doubted.join(", ") };
    line(
        buffer,
        rest,
        &format!("and {} of {told} links below: {doubted} (F5 has them all)", hidden.len()),
        Style::new(),
    )
}

fn heads(scene: &Scene) -> Vec<Head> {
    let unit = rate_unit(scene.sight.style.unit);
    let head = |title: &str, right, rank| Head { title: title.to_owned(), right, rank };
    vec![
        head("Iface", false, 0),
        head("Speed", true, 7),
        head(&format!("rx {unit}"), true, 0),
        head("Line", true, 3),
        head("1ms", true, 5),
        head(&format!("tx {unit}"), true, 0),
        head("Line", true, 4),
        head("1ms", true, 6),
        head("Drops", true, 1),
        head("Coverage", true, 2),
        head("Figures", true, 0),
    ]
}

/// How far the figures of a link may be trusted.
pub(super) fn trust(link: LinkId, scene: &Scene) -> Trust {
    let facts = scene.sight.context.link(link);
    let coverage = coverage_of(&scene.moment.coverage, link, 1);
    trust_in(&figures_of(scene.snapshot(), link), &coverage, facts.from_file)
}

/// Green, yellow, red: the word says the same.
pub(super) fn look_of(trust: Trust) -> Style {
    match trust {
        Trust::Good => Style::new().fg(Color::Green),
        Trust::Doubtful => Style::new().fg(Color::Yellow),
        Trust::Short => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
    }
}

fn cells(link: LinkId, scene: &Scene) -> Vec<Piece> {
    let (context, unit) = (scene.sight.context, scene.sight.style.unit);
    let facts = context.link(link);
    let figures = figures_of(scene.snapshot(), link);
    let word = |text: String| (text, Style::new());
    let speed = facts.speed_bits_per_second.map_or_else(nothing, |bits| human(rate_in(bits, unit)));
    let peak = |direction: usize| {
        let spreads = scene.snapshot().spreads.get(usize::from(link));
        let of_interval = spreads.map(|[interval, _]| interval[direction].peak);
        word(of_interval.map_or_else(nothing, |bits| human(rate_in(bits, unit))))
    };
    let lane = |direction: usize| word(rate(figures.interval[direction].count.bytes, &scene.sight));
    let full = |direction: usize| utilisation(&figures.interval[direction], facts, scene);
    let trust = trust(link, scene);
    let drops = figures.capture.kernel_drops;
    let coverage = coverage_of(&scene.moment.coverage, link, 1).ratio;
    vec![
        word(plain(context.link_name(link)).into_owned()),
        word(speed),
        lane(0),
        full(0),
        peak(0),
        lane(1),
        full(1),
        peak(1),
        (grouped(drops), if drops > 0 { look_of(Trust::Short) } else { Style::new() }),
        word(coverage.map_or_else(nothing, percent_floor)),
        (trust.name().to_owned(), look_of(trust)),
    ]
}

fn utilisation(lane: &LaneTotals, facts: &LinkFacts, scene: &Scene) -> Piece {
    let ratio = line_utilisation(lane, facts, scene.sight.span_ns);
    let look = match ratio {
        Some(ratio) if ratio >= 0.8 => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        Some(ratio) if ratio >= 0.5 => Style::new().fg(Color::Yellow),
        _ => Style::new(),
    };
    (ratio.map_or_else(nothing, |ratio| format!("{:.0}%", ratio * 100.0)), look)
}

/// The newest note; of the past the newest of then.
fn draw_notice(state: &State, scene: &Scene, buffer: &mut Buffer, area: Rect) -> Rect {
    let now_ns = scene.snapshot().time_ns;
    let (until_ns, behind) = if state.past.is_some() { (Some(now_ns), "before") } else { (None, "ago") };
    let Some(notice) = scene.memory.notice(until_ns) else { return area };
    let age_ns = now_ns.saturating_sub(notice.time_ns);
    let age = match notice.time_ns {
        0 => String::new(),
        _ if age_ns < SECOND_NS => String::new(),
        _ => format!(" {} {behind}", duration(age_ns / SECOND_NS * SECOND_NS)),
    };
    let words = format!("Note{age}: {}", plain(&notice.message));
    line(buffer, area, &words, Style::new().fg(Color::Yellow))
}
