//! tcptrack's list: one row a connection (or what `--by` names), the columns of
//! text, and where there is room averages and a bar.

use super::kept::nothing as nothing_here;
use super::lists::Item;
use super::paint::{Head, Table, bar, shade, table_of};
use super::{ROWS_MAX, Scene, State, rows_told};
use crate::aggregate::snapshot::{Row, RowName};
use crate::aggregate::view::{Order, Window};
use crate::flow::tcp::TcpState;
use crate::output::columns::{ROW_COLUMNS, bits, nothing};
use crate::output::figures::{bits_per_second, sum};
use crate::output::units::duration;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

/// Cells of a bar.
const BAR_CELLS: usize = 16;
/// Width from which there are bars, and averages.
const WIDE: [u16; 2] = [100, 130];

/// Draws the rows; what they are, in words.
pub(super) fn draw(state: &mut State, scene: &Scene, buffer: &mut Buffer, area: Rect) -> String {
    let rows = scene.rows();
    let first = visible(state, area, 1, 1, reachable(state, scene));
    let shown: Vec<Row> = state.ordered(rows).into_iter().skip(first).take(state.page).cloned().collect();
    let mut table = table_of(&ROW_COLUMNS, &shown, &scene.sight, |name, _| match name {
        "packets" => 4,
        "bytes" => 3,
        "interfaces" => 2,
        "state" => 1,
        _ => 0,
    });
    let before_name = table.heads.len().saturating_sub(1);
    let mut put = |title: &str, right: bool, rank: u8, cells: Vec<String>, look: Style| {
        table.heads.insert(before_name, Head { title: title.to_owned(), right, rank });
        for (line, cell) in table.lines.iter_mut().zip(cells) {
            line.insert(before_name, (cell, look));
        }
    };
    if state.bars.shown && area.width >= WIDE[0] {
        let bars = bars_of(rows, &shown, state, scene);
        put(&format!("{:BAR_CELLS$}", ""), false, 9, bars, Style::new().fg(Color::Cyan));
    }
    if scene.run.live && area.width >= WIDE[0] {
        let idle =
            |row: &Row| row.idle_ns.map_or_else(nothing, |ns| duration(ns / 1_000_000_000 * 1_000_000_000));
        put("Idle", true, 8, shown.iter().map(idle).collect(), Style::new());
    }
    if scene.run.live && area.width >= WIDE[1] {
        for (place, title) in ["2s", "10s", "40s"].into_iter().enumerate().rev() {
            let cell = |row: &Row| bits(average(row, place), &scene.sight);
            put(title, true, 8, shown.iter().map(cell).collect(), Style::new());
        }
    }
    for (line, _) in table.lines.iter_mut().zip(&shown).filter(|(_, row)| is_closed(row)) {
        // Their state says it too.
        line.iter_mut().for_each(|(_, look)| *look = look.add_modifier(Modifier::DIM));
    }
    table.draw(buffer, area);
    let names: Vec<RowName> = shown.iter().map(|row| row.name).collect();
    draw_cursor(state, &names, 1, buffer, area);
    note_places(state, &table, 1, area);
    if rows.is_empty() {
        super::line(buffer, super::below(area, 1), &nothing_here(state, scene), Style::new());
    }
    rows_told(state, scene, first, shown.len())
}

/// Notes how many rows there is room for below so many lines; the first one shown.
pub(super) fn visible(state: &mut State, area: Rect, above: u16, lines_each: u16, rows: usize) -> usize {
    state.settle(usize::from(area.height.saturating_sub(above) / lines_each.max(1)), rows)
}

/// As many rows as one may scroll through, at hand or to be asked for.
pub(super) fn reachable(state: &State, scene: &Scene) -> usize {
    let at_hand = scene.rows().len();
    let all = scene.kept.is_some() || scene.moment.number() >= state.asked && at_hand < state.limit;
    match all || state.frozen.is_some() {
        true => at_hand,
        false => {
            usize::try_from(scene.moment.found()).unwrap_or(usize::MAX).clamp(at_hand, at_hand.max(ROWS_MAX))
        }
    }
}

/// Notes what a click on a heading orders by, and where rows are.
pub(super) fn note_places(state: &mut State, table: &Table, lines_each: u16, area: Rect) {
    let places = table.places(area).into_iter();
    state.headings = places.filter_map(|(title, at)| Some((at, order_of(title.trim())?))).collect();
    state.list = (super::below(area, 1), lines_each);
}

/// What a column is ordered by, by its title.
fn order_of(title: &str) -> Option<Order> {
    let windows = [("2s", Window::Short), ("10s", Window::Middle), ("40s", Window::Long)];
    let window = windows.iter().find(|(word, _)| title.split(' ').next() == Some(word));
    match title {
        _ if let Some((_, window)) = window => Some(Order::Average(*window)),
        "Bytes" => Some(Order::Bytes),
        "Pkts" => Some(Order::Packets),
        title if title.ends_with("/s") => Some(Order::Rate),
        title if title.contains('→') || title.contains("Address") => Some(Order::None),
        _ => None,
    }
}

/// Lays the cursor under its row, of those that are shown.
pub(super) fn draw_cursor(
    state: &mut State,
    shown: &[RowName],
    lines_each: u16,
    buffer: &mut Buffer,
    area: Rect,
) {
    state.stay_with(shown);
    let line = state.cursor_line();
    state.under = shown.get(line).copied();
    state.note_item(state.under.map(Item::Row));
    if state.under.is_some() {
        let above = u16::try_from(line).unwrap_or(u16::MAX).saturating_mul(lines_each).saturating_add(1);
        for part in 0..lines_each {
            let under = super::below(area, above.saturating_add(part));
            shade(buffer, under, Style::new().add_modifier(Modifier::REVERSED));
        }
    }
}

/// Both ends are done with it: it is shown for a while (`--linger`).
fn is_closed(row: &Row) -> bool {
    matches!(row.state, Some(TcpState::TimeWait | TcpState::Reset | TcpState::Closed))
}

/// Both directions, over one of the windows.
fn average(row: &Row, window: usize) -> Option<u64> {
    let rates = row.averages.and_then(|known| known.windows.get(window).copied().flatten());
    rates.map(|[there, back]| there.saturating_add(back))
}

/// A bar a row: its rate beside that of the largest.
fn bars_of(all: &[Row], shown: &[Row], state: &State, scene: &Scene) -> Vec<String> {
    let of = |row: &Row| bits_per_second(sum(row.interval).bytes, scene.sight.span_ns).unwrap_or(0);
    let most = state.bars.full.unwrap_or_else(|| all.iter().map(of).max().unwrap_or(0));
    shown.iter().map(|row| bar(share_of(of(row), most, state.log), BAR_CELLS)).collect()
}

/// A rate's part of a bar, which is `most` long; by logarithm from 1 kbit/s on.
pub(super) fn share_of(rate: u64, most: u64, log: bool) -> f64 {
    if most == 0 || rate == 0 {
        return 0.0;
    }
    if !log {
        return rate as f64 / most as f64;
    }
    let above = |rate: u64| (rate as f64 / 1000.0).max(1.0).ln();
    if above(most) > 0.0 { above(rate) / above(most) } else { 1.0 }
}
