//! The latest bursts, and of the one under the cursor who filled it.

use super::connections::visible;
use super::lists::{Item, Opened};
use super::paint::{Head, Piece, Table, below, cursor_at, height_of, lines, wide};
use super::{Scene, State};
use crate::aggregate::culprit::Burst;
use crate::meter::bins::BIN_NS;
use crate::output::bursts::{ends, mean_bits_per_second, told, utilisation, without_speed, word};
use crate::output::columns::nothing;
use crate::output::units::{duration, grouped, human, percent_of, plain, rate_in, rate_unit, short_moment};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws the list or the burst; what it is, in words.
pub(super) fn draw(state: &mut State, scene: &Scene, buffer: &mut Buffer, area: Rect) -> String {
    let bursts = &scene.memory.bursts;
    state.slide(bursts.iter().map(Item::burst));
    // Below the list; of one burst alone it says nothing.
    let none_there = without_speed(scene.sight.context).filter(|_| bursts.is_empty() || !state.open);
    let told = none_there.as_deref().unwrap_or_default();
    let height = wide(height_of(told, usize::from(area.width))).min(area.height / 2);
    let all = area;
    let area = Rect { height: area.height - height, ..area };
    let first = visible(state, area, 1, 1, bursts.len());
    let cursor = state.cursor[state.kind as usize];
    let of_now = state.of_now();
    let Some(chosen) = bursts.get(cursor) else {
        state.open = false;
        let known = scene.sight.context.links.iter().any(|link| link.speed_bits_per_second.is_some());
        let rest = match none_there.is_none() || known {
            true => lines(buffer, all, "No burst so far (--burst-threshold says from where on one is)."),
            false => all,
        };
        lines(buffer, rest, told);
        return of_now.to_owned();
    };
    lines(buffer, Rect { y: area.bottom(), height, ..all }, told);
    let place = format!("{} of {}", grouped(cursor as u64 + 1), grouped(scene.memory.bursts_seen));
    if state.open {
        // The one that was opened, whatever came or went since.
        let opened = match state.opened.take() {
            Some(Opened::Burst(burst)) => burst,
            _ => Box::new(chosen.clone()),
        };
        draw_one(&opened, scene, buffer, area);
        let item = Item::burst(&opened);
        state.opened = Some(Opened::Burst(opened));
        if item != Item::burst(chosen) {
            return String::from("one that left the list: who filled it (Esc: the list)");
        }
        state.note_item(Some(item));
        return format!("{place}{}: who filled it (Esc: the list)", state.and_of_now());
    }
    state.note_item(Some(Item::burst(chosen)));
    let shown: Vec<&Burst> = bursts.iter().skip(first).take(state.page).collect();
    let table = Table { heads: heads(scene), lines: shown.iter().map(|burst| cells(burst, scene)).collect() };
    table.draw(buffer, area);
    cursor_at(buffer, area, state.cursor_line());
    match of_now {
        "" => format!("the newest first, {place}"),
        of_now => format!("{of_now}, the newest first, {place}"),
    }
}

fn heads(scene: &Scene) -> Vec<Head> {
    let head = |title: &str, right, rank| Head { title: title.to_owned(), right, rank };
    vec![
        head("Begin (UTC)", false, 0),
        head("Iface", false, 0),
        head("", false, 0),
        head("Length", true, 0),
        head(rate_unit(scene.sight.style.unit), true, 4),
        // That the line was full is why it is here at all: it goes before what says how
        // much the one named has to do with it.
        head("Line", true, 3),
        head("Conns", true, 5),
        head("Share", true, 2),
        head("On top", true, 1),
        head("Who came on top", false, 0),
    ]
}

fn cells(burst: &Burst, scene: &Scene) -> Vec<Piece> {
    let (context, unit) = (scene.sight.context, scene.sight.style.unit);
    let length_ms = burst.until_ms.saturating_sub(burst.from_ms);
    let full = utilisation(burst.sums.line_bits, length_ms, burst.speed);
    // Not who had most: that may be one that has it all the time.
    let first = burst.culprits.first();
    let share = first.and_then(|one| percent_of(one.count().bytes, burst.sums.bytes));
    let on_top = first.and_then(|one| percent_of(one.excess_bytes, one.excess_of_all));
    let told = [
        short_moment(burst.from_ms.saturating_mul(BIN_NS)),
        plain(context.link_name(burst.lane.link())).into_owned(),
        word(burst.lane).to_owned(),
        duration(length_ms.saturating_mul(BIN_NS)) + if burst.open { "+" } else { "" },
        human(rate_in(mean_bits_per_second(burst), unit)),
        full.map_or_else(nothing, |ratio| format!("{:.0}%", ratio * 100.0)),
        grouped(burst.connections),
        share.unwrap_or_else(nothing),
        on_top.unwrap_or_else(nothing),
        first.map_or_else(nothing, |one| ends(&one.who, context)),
    ];
    told.map(|text| (text, Style::new())).to_vec()
}

/// Text's two lines, then each who filled it.
fn draw_one(burst: &Burst, scene: &Scene, buffer: &mut Buffer, area: Rect) {
    let (context, unit) = (scene.sight.context, scene.sight.style.unit);
    // What was lost around it is told with its snapshot only.
    let head = told(burst, usize::MAX, context, unit);
    let rest = lines(buffer, area, head.lines().next().unwrap_or_default());
    let part = |part, whole| percent_of(part, whole).unwrap_or_else(nothing);
    let cells = burst.culprits.iter().map(|one| {
        let told = [
            part(one.count().bytes, burst.sums.bytes),
            part(one.excess_bytes, one.excess_of_all),
            human(one.count().bytes),
            if one.began { "yes".to_owned() } else { String::new() },
            ends(&one.who, context),
        ];
        told.map(|text| (text, Style::new())).to_vec()
    });
    let head = |title: &str, right, rank| Head { title: title.to_owned(), right, rank };
    let heads = vec![
        head("Share", true, 0),
        head("On top", true, 0),
        head("Bytes", true, 1),
        head("Begun", false, 2),
        head("Who", false, 0),
    ];
    Table { heads, lines: cells.collect() }.draw(buffer, below(rest, 1));
}
