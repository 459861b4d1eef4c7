//! tcptrack's list: one row a connection (or what `--by` names), the columns of
//! text, and where there is room averages and a bar.

use super::paint::{Head, bar, table_of};
use super::{Scene, State, rows_told};
use crate::aggregate::snapshot::Row;
use crate::output::columns::{ROW_COLUMNS, bits};
use crate::output::figures::{bits_per_second, sum};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

/// Cells of a bar.
const BAR_CELLS: usize = 16;
/// Width from which there are bars, and averages.
const WIDE: [u16; 2] = [100, 130];

/// Draws the rows; what they are, in words.
pub(super) fn draw(state: &mut State, scene: &Scene, buffer: &mut Buffer, area: Rect) -> String {
    let rows = &scene.snapshot().rows;
    let first = visible(state, area, 1, 1, rows.len());
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
    if scene.run.live && area.width >= WIDE[1] {
        for (place, title) in ["2s", "10s", "40s"].into_iter().enumerate().rev() {
            let cell = |row: &Row| bits(average(row, place), &scene.sight);
            put(title, true, 8, shown.iter().map(cell).collect(), Style::new());
        }
    }
    table.draw(buffer, area);
    if rows.is_empty() {
        super::line(buffer, super::below(area, 1), "No traffic in this interval.", Style::new());
    }
    rows_told(state, scene, first, shown.len())
}

/// Notes how many rows there is room for below so many lines; the first one shown.
pub(super) fn visible(state: &mut State, area: Rect, above: u16, lines_each: u16, rows: usize) -> usize {
    state.page = usize::from(area.height.saturating_sub(above) / lines_each.max(1)).max(1);
    state.found = rows;
    let scroll = &mut state.scroll[state.kind as usize];
    *scroll = (*scroll).min(rows.saturating_sub(1));
    *scroll
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
