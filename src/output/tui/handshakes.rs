//! tcpeek's summary by watch, the latest handshakes that failed, and the servers
//! at which attempts came to nothing.

use super::connections::visible;
use super::lists::{Item, Opened};
use super::paint::{Head, Table, below, cursor_at, lines, table_of};
use super::{Scene, State};
use crate::aggregate::watch::Watched;
use crate::capture::Lane;
use crate::flow::entry::NO_LANE;
use crate::flow::record::Outcome;
use crate::output::columns::{end, nothing};
use crate::output::handshakes::{HANDSHAKE_COLUMNS, result};
use crate::output::units::{duration, grouped, moment, plain, short_moment};
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
    let failures = &scene.memory.failures;
    state.slide(failures.iter().map(Item::failure));
    if let Some(chosen) = opened(state, scene) {
        draw_one(&chosen, scene, buffer, area);
        let of_now = state.and_of_now();
        return format!("one that failed, in full{of_now} (Esc: the list)");
    }
    // Half of the room at most, however many watches there are.
    let most = Rect { height: area.height.div_ceil(2), ..area };
    let rest = table.draw(buffer, most);
    let area = below(area, most.height - rest.height + 1);
    let first = visible(state, area, 1, 1, failures.len());
    state.note_item(failures.get(state.cursor[state.kind as usize]).map(Item::failure));
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
        (false, _) => {
            let rest = table.draw(buffer, area);
            cursor_at(buffer, area, state.cursor_line());
            rest
        }
    };
    lines(buffer, rest, &crate::output::incomplete::table(&scene.snapshot().incomplete));
    let failed = failures.len() as u64;
    match state.of_now() {
        "" => format!("since the start, the latest {} that failed", grouped(failed)),
        of_now => format!("as they were; failures {of_now}, the latest {}", grouped(failed)),
    }
}

/// The one that was opened, whatever came or went since.
fn opened(state: &mut State, scene: &Scene) -> Option<Watched> {
    if !state.open {
        return None;
    }
    let under = scene.memory.failures.get(state.cursor[state.kind as usize]);
    let chosen = match &state.opened {
        Some(Opened::Failure(watched)) => Some(**watched),
        _ => under.copied(),
    };
    state.open = chosen.is_some();
    state.opened = chosen.map(|chosen| Opened::Failure(Box::new(chosen)));
    if chosen.is_some() && under == chosen.as_ref() {
        state.note_item(under.map(Item::failure));
    }
    chosen
}

/// All that is known of a handshake that failed.
fn draw_one(watched: &Watched, scene: &Scene, buffer: &mut Buffer, area: Rect) {
    let session = &watched.session;
    let context = scene.sight.context;
    let client = usize::from(session.client_second);
    let time = |us: Option<u32>| us.map_or_else(nothing, |us| duration(u64::from(us) * 1000));
    let on = |side: usize| match session.lanes[side] {
        NO_LANE => String::from("no interface"),
        lane => plain(context.link_name(Lane(lane).link())).into_owned(),
    };
    let watches = scene.snapshot().handshakes.watches.iter().enumerate();
    let counted = watches.filter(|(place, _)| watched.watches >> place & 1 == 1);
    let counted: Vec<String> = counted.map(|(_, watch)| plain(&watch.name).into_owned()).collect();
    let icmp = match session.outcome {
        Outcome::Unreach => format!(" (ICMP type {} code {})", session.icmp[0], session.icmp[1]),
        Outcome::TimeoutNoSynack => " (nobody answered the SYN)".to_owned(),
        Outcome::TimeoutNoAck => " (nobody answered the SYN/ACK)".to_owned(),
        Outcome::AbortedRst => " (the client gave up by RST)".to_owned(),
        _ => String::new(),
    };
    let told = [
        format!("{} → {}", end(&session.key, client, context), end(&session.key, 1 - client, context)),
        format!("Outcome {}{icmp}", session.outcome.name()),
        format!(
            "First packet {}, decided {}, {} later",
            moment(session.start_ns),
            moment(session.end_ns),
            duration(session.end_ns.saturating_sub(session.start_ns))
        ),
        format!(
            "SYN sent again {}, SYN/ACK {}{}",
            session.syn_retransmitted,
            session.synack_retransmitted,
            if session.synack_seen { "" } else { " (none was seen)" }
        ),
        format!("SYN to SYN/ACK {}, SYN/ACK to ACK {}", time(session.server_us), time(session.client_us)),
        format!("Client's packets on {}, server's on {}", on(client), on(1 - client)),
        format!("Counted by {}", if counted.is_empty() { nothing() } else { counted.join(", ") }),
    ];
    lines(buffer, area, &told.join("\n"));
}

/// In whole milliseconds: a reject within one is not after nothing.
fn after(ns: u64) -> String {
    const MS: u64 = 1_000_000;
    if ns < MS { "<1 ms".to_owned() } else { duration(ns / MS * MS) }
}
