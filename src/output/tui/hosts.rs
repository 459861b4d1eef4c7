//! iftop's view: pairs of hosts with `=>` and `<=`, averages over 2, 10 and
//! 40 s, and below them what all interfaces had. A file has one rate, that of
//! all of it. With ports shown (`S`, `D`) a row is a connection.

use super::connections::{draw_cursor, note_places, reachable, share_of, visible};
use super::kept::nothing as nothing_here;
use super::paint::{Head, Piece, Table, bar};
use super::{LineMode, Scene, State, rows_told};
use crate::aggregate::snapshot::{InterfaceFigures, Row, RowName};
use crate::aggregate::window::WINDOWS_S;
use crate::flow::key::FlowKey;
use crate::meter::totals::Count;
use crate::output::columns::{bits, end, nothing, rate};
use crate::output::figures::bits_per_second;
use crate::output::services::service;
use crate::output::units::{human, rate_unit};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

/// Cells of a bar, and the width from which there are any.
const BAR: (usize, u16) = (20, 110);

/// Draws pairs and totals; what they are, in words.
pub(super) fn draw(state: &mut State, scene: &Scene, buffer: &mut Buffer, area: Rect) -> String {
    let totals_height = if area.height >= 12 { 4 } else { 0 };
    let list = Rect { height: area.height - totals_height, ..area };
    let lines_each = if state.line_mode == LineMode::Two { 2 } else { 1 };
    let rows = scene.rows();
    let first = visible(state, list, 1, lines_each, reachable(state, scene));
    let shown: Vec<&Row> = state.ordered(rows).into_iter().skip(first).take(state.page).collect();
    let most = rows.iter().flat_map(|row| [0, 1].map(|side| weight(row, side, scene))).max();
    let most = state.bars.full.or(most).unwrap_or(0);
    let mut table = Table { heads: heads(state, scene, area.width), lines: Vec::new() };
    for row in &shown {
        table.lines.extend(lines_of(row, most, state, scene, area.width));
    }
    table.draw(buffer, list);
    let names: Vec<RowName> = shown.iter().map(|row| row.name).collect();
    let count = shown.len();
    draw_cursor(state, &names, lines_each, buffer, list);
    note_places(state, &table, lines_each, list);
    if rows.is_empty() {
        super::line(buffer, super::below(list, 1), &nothing_here(state, scene), Style::new());
    }
    if totals_height > 0 {
        totals(scene).draw(buffer, Rect { y: list.bottom(), height: totals_height, ..area });
    }
    rows_told(state, scene, first, count)
}

/// Headings of rates: averages live, the whole run's rate of a file.
fn rate_titles(scene: &Scene) -> Vec<String> {
    let unit = rate_unit(scene.sight.style.unit);
    match scene.run.live {
        true => WINDOWS_S.iter().map(|seconds| format!("{seconds}s {unit}")).collect(),
        false => vec![unit.to_owned()],
    }
}

fn heads(state: &State, scene: &Scene, width: u16) -> Vec<Head> {
    let head = |title: &str, right, rank| Head { title: title.to_owned(), right, rank };
    let mut heads = vec![head("Address", false, 0), head("", false, 0), head("Address", false, 0)];
    if state.sums {
        heads.push(head("Bytes", true, 0));
    }
    let titles = rate_titles(scene);
    let kept = titles.len() - 1;
    // The longest average goes first, then the shortest.
    let rank = |place: usize| if place == kept { 0 } else { 2 - u8::try_from(place).unwrap_or(0) };
    heads.extend(titles.iter().enumerate().map(|(place, title)| head(title, true, rank(place))));
    if state.bars.shown && width >= BAR.1 {
        heads.push(head("", false, 9));
    }
    heads
}

/// What a side of a row sent, in the unit of its rates: over 2 s, or all of it.
fn weight(row: &Row, side: usize, scene: &Scene) -> u64 {
    let average = row.averages.and_then(|known| known.windows[0]).map(|rates| rates[side]);
    let interval = || bits_per_second(row.interval[side].bytes, scene.sight.span_ns).unwrap_or(0);
    average.filter(|_| scene.run.live).unwrap_or_else(interval)
}

fn lines_of(row: &Row, most: u64, state: &State, scene: &Scene, width: u16) -> Vec<Vec<Piece>> {
    let ends = ends_of(row, state, scene);
    let one = |arrow: &str, sides: &[usize], ends: [String; 2]| {
        let word = |text: String| (text, Style::new());
        let [left, right] = ends;
        let mut cells = vec![word(left), word(arrow.to_owned()), word(right)];
        let sent = sides.iter().fold(0u64, |sum, &side| sum.saturating_add(row.total[side].bytes));
        if state.sums {
            cells.push(word(human(sent)));
        }
        if scene.run.live {
            for window in 0..WINDOWS_S.len() {
                let rates = row.averages.and_then(|known| known.windows[window]);
                let rate =
                    rates.map(|rates| sides.iter().fold(0u64, |sum, &side| sum.saturating_add(rates[side])));
                cells.push(word(bits(rate, &scene.sight)));
            }
        } else {
            let bytes = sides.iter().fold(0u64, |sum, &side| sum.saturating_add(row.interval[side].bytes));
            cells.push(word(rate(bytes, &scene.sight)));
        }
        if state.bars.shown && width >= BAR.1 {
            let of = sides.iter().fold(0u64, |sum, &side| sum.saturating_add(weight(row, side, scene)));
            cells.push((bar(share_of(of, most, state.log), BAR.0), Style::new().fg(Color::Cyan)));
        }
        cells
    };
    match state.line_mode {
        LineMode::Two => {
            vec![one("=>", &[0], ends), one("<=", &[1], [String::new(), String::new()])]
        }
        LineMode::One => vec![one("<=>", &[0, 1], ends)],
        LineMode::Sent => vec![one("=>", &[0], ends)],
        LineMode::Received => vec![one("<=", &[1], ends)],
    }
}

/// Both ends: of a connection the client first, with the ports that are wanted.
fn ends_of(row: &Row, state: &State, scene: &Scene) -> [String; 2] {
    let context = scene.sight.context;
    match row.name {
        RowName::Connection(key) => {
            let client = usize::from(row.client_second);
            [(client, 0), (1 - client, 1)].map(|(side, place)| match state.ports[place] {
                true => with_port(&key, side, state, scene),
                false => context.names.shown(key.ip(side)),
            })
        }
        RowName::Pair(a, b) => [a, b].map(|ip| context.names.shown(ip)),
        RowName::Destination(ip) => ["*".to_owned(), context.names.shown(ip)],
        RowName::Source(ip) => [context.names.shown(ip), "*".to_owned()],
        _ => [String::new(), String::new()],
    }
}

/// An end with its port, or the service that it is registered for.
fn with_port(key: &FlowKey, side: usize, state: &State, scene: &Scene) -> String {
    let context = scene.sight.context;
    match service(key.protocol(), key.end(side).port).filter(|_| state.services) {
        Some(name) => format!("{}:{name}", context.names.before_port(key.ip(side))),
        None => end(key, side, context),
    }
}

/// What all interfaces sent and received: iftop's block.
fn totals(scene: &Scene) -> Table {
    let head = |title: &str, rank| Head { title: title.to_owned(), right: true, rank };
    let mut heads =
        vec![Head { title: "Totals".into(), right: false, rank: 0 }, head("Bytes", 0), head("Peak", 1)];
    heads.extend(rate_titles(scene).iter().map(|title| head(title, 0)));
    let lines = [("tx", &[1][..]), ("rx", &[0][..]), ("both", &[0, 1][..])];
    let lines = lines.into_iter().map(|(name, sides)| {
        let word = |text: String| (text, Style::new());
        let figures = &scene.snapshot().interfaces;
        let add = |of: &dyn Fn(&InterfaceFigures, usize) -> u64| {
            let each = figures.iter().flat_map(|one| sides.iter().map(move |&side| (one, side)));
            each.fold(0u64, |sum, (one, side)| sum.saturating_add(of(one, side)))
        };
        let bytes = |count: Count| count.bytes;
        let mut cells =
            vec![word(name.to_owned()), word(human(add(&|one, side| bytes(one.total[side].count))))];
        // Seconds at which several directions were highest need not be the same: no sum of peaks.
        let together = |which: usize| scene.memory.peaks.highest.map(|highest| highest[which]);
        let peak = match (figures.as_slice(), sides) {
            ([one], [side]) => one.averages.peak.map(|rates| rates[*side]),
            (_, [side]) => together(*side),
            _ => together(2),
        };
        cells.push(word(peak.map_or_else(nothing, |peak| bits(Some(peak), &scene.sight))));
        if scene.run.live {
            for window in 0..WINDOWS_S.len() {
                let known = figures.iter().all(|one| one.averages.windows[window].is_some());
                let sum = add(&|one, side| one.averages.windows[window].map_or(0, |rates| rates[side]));
                cells.push(word(bits(known.then_some(sum), &scene.sight)));
            }
        } else {
            cells.push(word(rate(add(&|one, side| bytes(one.interval[side].count)), &scene.sight)));
        }
        cells
    });
    Table { heads, lines: lines.collect() }
}
