//! The help: the table of keys, those of the view first.

use super::Kind;
use super::keys::{Binding, KEYS};
use super::paint::{heading, line, width_of};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Columns that the table has, and the lines of each.
fn layout(area: Rect) -> (usize, usize) {
    let columns = if area.width >= 100 || KEYS.len() + 1 > usize::from(area.height) && area.width >= 76 {
        2
    } else {
        1
    };
    (columns, KEYS.len().div_ceil(columns))
}

/// Whether there is room for all keys and the heading.
pub(super) fn fits(area: Rect) -> bool {
    layout(area).1 < usize::from(area.height)
}

/// Keys of this view, of all views, then of the others; in two columns where there is room.
pub(super) fn draw(kind: Kind, buffer: &mut Buffer, area: Rect) {
    let (columns, lines) = layout(area);
    let area = line(
        buffer,
        area,
        &format!("Keys of {}, then those of all views; any other key leaves", kind.name()),
        heading(),
    );
    let here = |one: &&Binding| one.views.contains(&kind);
    let all = |one: &&Binding| one.views.is_empty();
    let other = |one: &&Binding| !one.views.is_empty() && !one.views.contains(&kind);
    let keys = KEYS.iter();
    let mut told: Vec<String> =
        keys.clone().filter(here).chain(keys.clone().filter(all)).map(|one| words(one, false)).collect();
    told.extend(keys.filter(other).map(|one| words(one, true)));
    let width = area.width / u16::try_from(columns).unwrap_or(1);
    for (part, told) in told.chunks(lines).enumerate() {
        let x = area.x + width * u16::try_from(part).unwrap_or(0);
        let mut rest = Rect { x, width: width.saturating_sub(1), ..area };
        for one in told {
            rest = line(buffer, rest, one, Style::new());
        }
    }
}

fn words(one: &Binding, with_views: bool) -> String {
    let key = |view: &Kind| format!("F{}", *view as u8 + 1);
    let views: Vec<String> = one.views.iter().map(key).collect();
    let views = if with_views { format!("{}: ", views.join(" ")) } else { String::new() };
    let pad = " ".repeat(10usize.saturating_sub(width_of(one.shown)));
    format!("{}{pad} {views}{}", one.shown, one.meaning)
}
