//! trtop's table: connections by destination since the start, all of them in its
//! last line. Its columns are those of text.

use super::connections::visible;
use super::lists::{Item, Opened};
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
    state.slide(lines.iter().map(item));
    let first = visible(state, area, 2, 1, lines.len());
    if state.open {
        return draw_opened(state, &lines, scene, buffer, area);
    }
    state.note_item(lines.get(state.cursor[state.kind as usize]).map(item));
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

fn item(line: &Shown) -> Item {
    Item::Destination(line.name())
}

/// Every column of a destination, a line each: of the one that was opened, wherever it
/// is in the list by now.
fn draw_opened(state: &mut State, lines: &[Shown], scene: &Scene, buffer: &mut Buffer, area: Rect) -> String {
    let under = lines.get(state.cursor[state.kind as usize]).map(Shown::name);
    let Some(name) = (match state.opened {
        Some(Opened::Destination(name)) => Some(name),
        _ => under,
    }) else {
        state.open = false;
        super::line(buffer, area, "No connection to any destination so far.", Style::new());
        return String::new();
    };
    state.opened = Some(Opened::Destination(name));
    match lines.iter().find(|line| line.name() == name) {
        Some(one) => {
            state.note_item(Some(item(one)));
            in_full(&DESTINATION_COLUMNS, Some(one), &scene.sight).draw(buffer, area);
        }
        None => {
            let told = "It is among those listed no more: its figures are in the sum of all.";
            super::line(buffer, area, told, Style::new());
        }
    }
    String::from("since the start, one of them in full (Esc: the list)")
}
