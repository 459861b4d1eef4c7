//! Tables and words in cells of a terminal.
//!
//! A table is laid out for the width there is: columns fall away by rank, the
//! highest first, and what has rank 0 stays; the last column takes what is left
//! and is cut with `…`. Knows cells and styles; does not know what they tell.
//! Invariant: nothing is written outside the area given.

use crate::output::columns::{Column, Sight};
use crate::output::units::plain;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Span;

/// Room that a last column should have before others fall away for it.
const LAST_LEAST: usize = 34;
/// What it may claim from them at most.
const LAST_MOST: usize = 60;

/// A piece of text and how it looks.
pub type Piece = (String, Style);

/// Heading of a column.
pub struct Head {
    /// What stands above it.
    pub title: String,
    /// Figures: aligned to the right.
    pub right: bool,
    /// When it falls away: the highest first, 0 never.
    pub rank: u8,
}

/// See the module's description.
#[derive(Default)]
pub struct Table {
    /// Columns in their order.
    pub heads: Vec<Head>,
    /// As many cells a line as there are heads.
    pub lines: Vec<Vec<Piece>>,
}

/// Headings: bold, so that they are seen without colours.
pub fn heading() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// What stands out: as in text, bold and reverse.
pub fn standing_out() -> Style {
    Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED)
}

/// Columns that a text table has, as they look here. `rank`: by a column's name
/// and place, when it falls away.
pub fn table_of<T>(
    columns: &[Column<T>],
    items: &[T],
    sight: &Sight,
    rank: impl Fn(&str, usize) -> u8,
) -> Table {
    let shown: Vec<(usize, &Column<T>)> =
        columns.iter().enumerate().filter(|(_, column)| (column.shown)(sight)).collect();
    let heads = shown.iter().map(|(place, column)| Head {
        title: column.title(sight),
        right: column.measure.right(),
        rank: rank(column.name, *place),
    });
    let over = sight.over();
    let line = |item: &T| {
        let cells = shown.iter().map(|(_, column)| {
            let out = sight.context.highlights.mark(column, item, &over);
            ((column.cell)(item, sight), if out { standing_out() } else { Style::new() })
        });
        cells.collect()
    };
    Table { heads: heads.collect(), lines: items.iter().map(line).collect() }
}

/// An item's columns, a line each: what they are called, and what they say.
pub fn in_full<T>(columns: &[Column<T>], item: Option<&T>, sight: &Sight) -> Table {
    let shown = columns.iter().filter(|column| (column.shown)(sight));
    let lines = shown.filter_map(|column| {
        let text = (column.cell)(item?, sight);
        let words = format!("{} ({})", column.title(sight).trim(), column.name.replace('_', " "));
        Some(vec![(text.trim().to_owned(), Style::new()), (words, Style::new())])
    });
    let head = |title: &str, right| Head { title: title.to_owned(), right, rank: 0 };
    Table { lines: lines.collect(), heads: vec![head("Figure", true), head("Column", false)] }
}

/// Lays the cursor under a line of a table, from 0 on, below its heading.
pub fn cursor_at(buffer: &mut Buffer, area: Rect, at: usize) {
    let under = below(area, wide(at.saturating_add(1)));
    shade(buffer, under, Style::new().add_modifier(Modifier::REVERSED));
}

/// Width of a text on a terminal.
pub fn width_of(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { Span::raw(text).width() }
}

/// As much of a text as fits; where that is not all, it ends with `…`.
pub fn fit(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut used = 0;
    for one in text.chars() {
        used += width_of(one.encode_utf8(&mut [0; 4]));
        if used >= width {
            break;
        }
        cut.push(one);
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// A line of text at the top of an area, cut where it ends; what is below that line.
pub fn line(buffer: &mut Buffer, area: Rect, text: &str, style: Style) -> Rect {
    if area.height > 0 && area.width > 0 {
        buffer.set_stringn(
            area.x,
            area.y,
            fit(text, usize::from(area.width)),
            usize::from(area.width),
            style,
        );
    }
    below(area, 1)
}

/// Lines of text, as many as there is room for; long ones go on below, two
/// spaces further in than they began. What is below them.
pub fn lines(buffer: &mut Buffer, mut area: Rect, text: &str) -> Rect {
    for one in text.lines() {
        for part in wrapped(one, usize::from(area.width)) {
            area = line(buffer, area, &part, Style::new());
        }
    }
    area
}

/// How many lines [`lines`] makes of a text.
pub fn height_of(text: &str, width: usize) -> usize {
    text.lines().map(|one| wrapped(one, width).len()).sum()
}

/// A line in parts that fit, broken between words; one that fits is left as it is, as
/// a table's columns are made of spaces.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    if width_of(text) <= width {
        return vec![text.to_owned()];
    }
    let begins = text.len() - text.trim_start_matches(' ').len();
    let further = " ".repeat(begins + 2);
    let mut parts = vec![" ".repeat(begins)];
    let mut fresh = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let Some(part) = parts.last_mut() else { break };
        if !fresh && width_of(part) + 1 + width_of(word) > width {
            parts.push(format!("{further}{word}"));
            continue;
        }
        if !std::mem::take(&mut fresh) {
            part.push(' ');
        }
        part.push_str(word);
    }
    parts
}

/// What is below the first lines of an area.
pub fn below(area: Rect, lines: u16) -> Rect {
    let taken = lines.min(area.height);
    Rect { y: area.y + taken, height: area.height - taken, ..area }
}

/// Lines that are fit for a terminal.
pub fn plain_lines(text: &str) -> Vec<String> {
    text.lines().map(|one| plain(one).into_owned()).collect()
}

/// As a place or a size of cells.
pub fn wide(cells: usize) -> u16 {
    u16::try_from(cells).unwrap_or(u16::MAX)
}

/// Nothing is written there any more.
pub fn clear(buffer: &mut Buffer, area: Rect) -> Rect {
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            if let Some(cell) = buffer.cell_mut((x, y)) {
                cell.reset();
            }
        }
    }
    area
}

/// Lays a whole line under what is written there already.
pub fn shade(buffer: &mut Buffer, area: Rect, style: Style) {
    buffer.set_style(Rect { height: area.height.min(1), ..area }, style);
}

impl Table {
    /// Widths of the columns that fit, by place; None of those that fell away.
    fn widths(&self, width: usize) -> Vec<Option<usize>> {
        let need = |place: usize| {
            let cells = self.lines.iter().filter_map(|line| line.get(place));
            let cells = cells.map(|(text, _)| width_of(text)).max().unwrap_or(0);
            cells.max(width_of(&self.heads[place].title))
        };
        let last = self.heads.len().saturating_sub(1);
        let mut widths: Vec<Option<usize>> = (0..self.heads.len()).map(|place| Some(need(place))).collect();
        let flows = self.heads.last().is_some_and(|head| !head.right && self.heads.len() > 1);
        if let (true, Some(Some(of_last))) = (flows, widths.last_mut()) {
            *of_last = (*of_last).clamp(LAST_LEAST.min(width), LAST_MOST);
        }
        let sum = |widths: &[Option<usize>]| -> usize {
            let known = widths.iter().flatten();
            let gaps = known.clone().count().saturating_sub(1);
            known.sum::<usize>() + gaps
        };
        while sum(&widths) > width {
            let shown = (0..self.heads.len()).filter(|&place| widths[place].is_some());
            match shown
                .filter(|&place| self.heads[place].rank > 0)
                .max_by_key(|&place| self.heads[place].rank)
            {
                Some(place) => widths[place] = None,
                None => break,
            }
        }
        if flows && let Some(place) = widths.get(last).copied().flatten() {
            // What is left over is the last one's, or what is too much is taken from it.
            let others = sum(&widths) - place;
            widths[last] = Some(width.saturating_sub(others));
        }
        widths
    }

    /// Titles as they are drawn in an area, and where.
    pub fn places(&self, area: Rect) -> Vec<(&str, Rect)> {
        let widths = self.widths(usize::from(area.width));
        let mut x = 0;
        let mut places = Vec::new();
        for (head, width) in self.heads.iter().zip(widths) {
            let Some(width) = width else { continue };
            let at = Rect { x: area.x.saturating_add(wide(x)), width: wide(width), height: 1, ..area };
            places.push((head.title.as_str(), at.intersection(area)));
            x += width + 1;
        }
        places
    }

    /// The heading and the lines, as many as there is room for; what is below.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect) -> Rect {
        let widths = self.widths(usize::from(area.width));
        let titles: Vec<Piece> = self.heads.iter().map(|head| (head.title.clone(), heading())).collect();
        let mut rest = area;
        for cells in std::iter::once(&titles).chain(&self.lines) {
            if rest.height == 0 {
                break;
            }
            self.draw_line(buffer, rest, cells, &widths);
            rest = below(rest, 1);
        }
        rest
    }

    fn draw_line(&self, buffer: &mut Buffer, area: Rect, cells: &[Piece], widths: &[Option<usize>]) {
        let mut x = 0;
        for ((head, (text, style)), width) in self.heads.iter().zip(cells).zip(widths) {
            let Some(width) = *width else { continue };
            let room = usize::from(area.width).saturating_sub(x).min(width);
            let text = fit(text, room);
            let pad = if head.right { room.saturating_sub(width_of(&text)) } else { 0 };
            let at = area.x.saturating_add(u16::try_from(x + pad).unwrap_or(u16::MAX));
            if room > pad && at < area.right() {
                buffer.set_stringn(at, area.y, &text, room - pad, *style);
            }
            x += width + 1;
        }
    }
}

/// A bar of a share from 0 to 1 in so many cells, by eighths.
pub fn bar(share: f64, cells: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let eighths = (share * cells as f64 * 8.0).round() as usize;
    let whole = (eighths / 8).min(cells);
    let rest = if whole < cells { EIGHTHS[eighths % 8] } else { "" };
    "█".repeat(whole) + rest
}

/// What a terminal that knows ASCII only can show: a cell for each cell.
pub fn to_ascii(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        let told = match cell.symbol() {
            text if text.is_ascii() => continue,
            "→" => ">",
            "←" => "<",
            "↑" => "^",
            "↓" => "v",
            "…" => "~",
            "▲" => "^",
            "▔" => "-",
            "└" => "+",
            "│" => "|",
            "─" => "-",
            "█" | "▉" | "▊" | "▋" | "▌" => "#",
            "▍" | "▎" | "▏" => " ",
            "▁" | "▂" | "▃" => ".",
            "▄" | "▅" | "▆" => "=",
            "▇" => "#",
            _ => "?",
        };
        cell.set_symbol(told);
    }
}

/// Nothing but bold and reverse.
pub fn without_colours(buffer: &mut Buffer) {
    use ratatui::style::Color;
    for cell in &mut buffer.content {
        cell.fg = Color::Reset;
        cell.bg = Color::Reset;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let head = |title: &str, right, rank| Head { title: title.into(), right, rank };
        let cell = |text: &str| (text.to_owned(), Style::new());
        Table {
            heads: vec![
                head("State", false, 3),
                head("bit/s", true, 0),
                head("Pkts", true, 4),
                head("Name", false, 0),
            ],
            lines: vec![vec![cell("est"), cell("41.7M"), cell("9"), cell(&"x".repeat(40))]],
        }
    }

    #[test]
    fn columns_fall_away_by_rank_and_the_last_takes_the_rest() {
        assert_eq!(table().widths(100), [Some(5), Some(5), Some(4), Some(83)]);
        assert_eq!(table().widths(54), [Some(5), Some(5), None, Some(42)]);
        assert_eq!(table().widths(48), [None, Some(5), None, Some(42)]);
        assert_eq!(table().widths(20), [None, Some(5), None, Some(14)]);
        assert_eq!(table().widths(0), [None, Some(5), None, Some(0)]);
    }

    #[test]
    fn nothing_leaves_its_area() {
        for (width, height) in [(0, 0), (1, 1), (7, 2), (300, 1)] {
            let mut buffer = Buffer::empty(Rect::new(0, 0, 320, 5));
            let rest = table().draw(&mut buffer, Rect::new(3, 1, width, height));
            assert_eq!(rest.height, height.saturating_sub(2));
            for (place, cell) in buffer.content.iter().enumerate() {
                let (x, y) = (place as u16 % 320, place as u16 / 320);
                let inside = (3..3 + width).contains(&x) && (1..1 + height).contains(&y);
                assert!(inside || cell.symbol() == " ", "{x} {y}");
            }
        }
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(
            (fit("abcdef", 6), fit("abcdef", 4), fit("ab", 0)),
            ("abcdef".into(), "abc…".into(), "".into())
        );
        assert_eq!(fit("日本語", 5), "日本…");
        assert!(width_of(&fit("日本語", 4)) <= 4);
    }

    #[test]
    fn sentences_go_on_below() {
        assert_eq!(wrapped("  one two three", 9), ["  one two", "    three"]);
        assert_eq!(wrapped("one", 2), ["one"]);
        assert_eq!(wrapped("", 5), [""]);
    }

    #[test]
    fn bars_have_eighths() {
        assert_eq!((bar(0.5, 4), bar(1.0, 3), bar(9.0, 2)), ("██".into(), "███".into(), "██".into()));
        assert_eq!((bar(0.03125, 4), bar(f64::NAN, 4), bar(-1.0, 4)), ("▏".into(), "".into(), "".into()));
    }
}
