//! trtop's table: connections by destination since the start, all of them in its
//! last line. Its columns are those of text.

use super::connections::visible;
use super::paint::{cursor_at, in_full, table_of};
use super::{Scene, State};
use crate::output::destinations::{DESTINATION_COLUMNS, Shown, shown_of};
use crate::output::units::grouped;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws the table; what it is, in words.
pub(super) fn draw(state: &mut State, scene: &Scene, buffer: &mut Buffer, area: Rect) -> String {
    let all = scene.snapshot().destinations.as_ref();
    let mut lines = all.map_or_else(Vec::new, shown_of);
    let sum = lines.pop();
    let first = visible(state, area, 2, 1, lines.len());
    let found = all.map_or(0, |all| all.found);
    let mut shown: Vec<_> = lines.into_iter().skip(first).take(state.page).collect();
    let count = shown.len();
    shown.extend(sum);
    if shown.is_empty() {
        super::line(buffer, area, "No connection to any destination so far.", Style::new());
        return String::new();
    }
    // What trtop had first falls away last: the name stays, then attempts and latencies.
    let cursor = state.cursor_line();
    if state.open && cursor < count {
        return draw_one(shown.get(cursor), scene, buffer, area);
    }
    let table = table_of(&DESTINATION_COLUMNS, &shown, &scene.sight, |name, place| match name {
        "destination" => 0,
        "attempts" | "connect" | "reply" => 1,
        _ => u8::try_from(place).unwrap_or(u8::MAX),
    });
    table.draw(buffer, area);
    if count > 0 {
        cursor_at(buffer, area, cursor);
    }
    let (from, to) = (grouped(first as u64 + 1), grouped((first + count) as u64));
    format!("since the start, {from}-{to} of {}", grouped(found))
}

/// Every column of a destination, a line each.
fn draw_one(one: Option<&Shown>, scene: &Scene, buffer: &mut Buffer, area: Rect) -> String {
    in_full(&DESTINATION_COLUMNS, one, &scene.sight).draw(buffer, area);
    String::from("since the start, one of them in full (Esc: the list)")
}
