//! Links side by side: what each carries over several spans, how even a bond or
//! a set of them is, and what would even it out.

use super::Scene;
use super::header::{look_of, trust};
use super::paint::{Head, Table, bar, below, lines, table_of};
use crate::output::balances;
use crate::output::columns::{INTERFACE_COLUMNS, LaneSight};
use crate::output::figures::{figures_of, line_utilisation, links};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

/// Cells of a bar of 100 %, and the width from which there are any.
const BAR: (usize, u16) = (20, 110);

/// Draws the table and the sentences; what they are, in words.
pub(super) fn draw(scene: &Scene, buffer: &mut Buffer, area: Rect) -> String {
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
    if area.width >= BAR.1 {
        with_bars(&mut table, &lanes, scene);
    }
    let rest = table.draw(buffer, area);
    let (coverage, context) = (&scene.moment.coverage, scene.sight.context);
    let [now, run] = [false, true].map(|since_start| {
        let told = |set| balances::told(set, since_start, coverage, context);
        snapshot.balances.iter().map(told).collect::<String>()
    });
    let mut rest = below(rest, 1);
    if scene.run.live && !now.is_empty() {
        rest = lines(buffer, rest, &format!("In this interval:\n{now}"));
    }
    if !run.is_empty() {
        lines(buffer, rest, &format!("Since the start:\n{run}"));
    }
    String::from("side by side")
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
