//! tcpeek's summary by watch, the latest handshakes that failed, and the servers
//! at which attempts came to nothing.

use super::connections::visible;
use super::paint::{Head, Table, below, lines, table_of};
use super::{Scene, State};
use crate::output::handshakes::{HANDSHAKE_COLUMNS, result};
use crate::output::units::{duration, grouped, short_moment};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws all three; what they are, in words.
pub(super) fn draw(state: &mut State, scene: &Scene, buffer: &mut Buffer, area: Rect) -> String {
    let handshakes = &scene.snapshot().handshakes;
    let table = table_of(&HANDSHAKE_COLUMNS, &handshakes.watches, &scene.sight, |name, _| match name {
        "watch" | "success" => 0,
        "p50" | "p99" => 1,
        "max" | "p95" => 2,
        "syn_repeated" | "synack_repeated" => 3,
        _ => 1,
    });
    // Half of the room at most, however many watches there are.
    let most = Rect { height: area.height.div_ceil(2), ..area };
    let rest = table.draw(buffer, most);
    let area = below(area, most.height - rest.height + 1);
    let failures = &scene.memory.failures;
    let first = visible(state, area, 1, 1, failures.len());
    let names = &scene.sight.context.names;
    let shown = failures.iter().skip(first).take(state.page).map(|watched| {
        let session = &watched.session;
        let client = usize::from(session.client_second);
        let end = |side: usize| {
            format!("{}:{}", names.before_port(session.key.ip(side)), session.key.end(side).port)
        };
        let told = result(session.outcome).unwrap_or("evicted").trim();
        let word = |text: String| (text, Style::new());
        vec![
            word(short_moment(session.start_ns)),
            word(told.to_owned()),
            word(after(session.end_ns.saturating_sub(session.start_ns))),
            word(grouped(session.syn_retransmitted.into())),
            word(format!("{} → {}", end(client), end(1 - client))),
        ]
    });
    let head = |title: &str, right, rank| Head { title: title.to_owned(), right, rank };
    let heads = vec![
        head("Begun (UTC)", false, 2),
        head("Latest failures", false, 0),
        head("After", true, 3),
        head("SYN dup", true, 4),
        head("Client → server", false, 0),
    ];
    let table = Table { heads, lines: shown.collect() };
    let rest = match (table.lines.is_empty(), scene.run.sessions) {
        (true, true) => lines(buffer, area, "No handshake has failed."),
        (true, false) => lines(buffer, area, "Failures are listed with --sessions."),
        (false, _) => table.draw(buffer, area),
    };
    lines(buffer, rest, &crate::output::incomplete::table(&scene.snapshot().incomplete));
    let failed = failures.len() as u64;
    format!("since the start, the latest {} that failed", grouped(failed))
}

/// In whole milliseconds: a reject within one is not after nothing.
fn after(ns: u64) -> String {
    const MS: u64 = 1_000_000;
    if ns < MS { "<1 ms".to_owned() } else { duration(ns / MS * MS) }
}
