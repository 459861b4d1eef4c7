//! The life of one connection, from its whole account: what a `connection` line
//! says, laid out for reading, and what it carried since somebody looks.
//!
//! [`Details`] keeps the newest account that came and the rates between accounts;
//! figures are those of the JSON line, so that the two never differ. What is not
//! known is `-`.

use super::paint::{Head, Table, heading, line, lines, wide};
use super::{Scene, State};
use crate::flow::key::FlowKey;
use crate::flow::record::{Account, EndReason};
use crate::flow::tcp::TcpState;
use crate::output::columns::nothing;
use crate::output::json::connection::{Connection, Exchanges, Opening, Sent, Stream};
use crate::output::json::connection_of;
use crate::output::units::{duration, exact_time, grouped, human, moment, plain, rate_in, rate_unit};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use std::collections::VecDeque;

/// Rates that are kept.
const RATES_MAX: usize = 240;

/// See the module's description.
pub(super) struct Details {
    pub key: FlowKey,
    account: Option<Box<Account>>,
    /// When the newest account came, ns of any clock that only goes on.
    at_ns: u64,
    /// Bits per second of both directions, the newest last.
    rates: VecDeque<u64>,
    /// Answers that were waited for in vain since the newest account.
    unanswered: u32,
    /// Lines scrolled by.
    pub scroll: usize,
}

impl Details {
    pub fn new(key: FlowKey) -> Details {
        let rates = VecDeque::new();
        Details { key, account: None, at_ns: 0, rates, unanswered: 0, scroll: 0 }
    }

    /// It is asked for once more.
    pub fn note_asked(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// An account came, at a time of the same clock as those before.
    pub fn take(&mut self, account: Box<Account>, now_ns: u64) {
        let begins = |account: &Account| (account.entry.start, account.entry.last);
        if account.entry.key != self.key
            || self.account.as_ref().is_some_and(|one| begins(one) > begins(&account))
        {
            // Of an earlier connection with the same ports.
            return;
        }
        let bytes = |account: &Account| account.entry.sent[0].bytes + account.entry.sent[1].bytes;
        let span_ns = now_ns.saturating_sub(self.at_ns);
        if let Some(before) = self.account.as_ref().filter(|one| one.entry.start == account.entry.start)
            && span_ns > 0
            && before.reason == EndReason::Open
        {
            let gained = bytes(&account).saturating_sub(bytes(before));
            let rate = u128::from(gained) * 8_000_000_000 / u128::from(span_ns);
            self.rates.push_back(u64::try_from(rate).unwrap_or(u64::MAX));
            if self.rates.len() > RATES_MAX {
                self.rates.pop_front();
            }
        }
        (self.account, self.at_ns, self.unanswered) = (Some(account), now_ns, 0);
    }
}

/// Draws it; what it is, in words.
pub(super) fn draw(state: &mut State, scene: &Scene, buffer: &mut Buffer, area: Rect) -> String {
    // An account is asked for and goes on, whatever moment its row was of.
    let of_now = state.and_of_now();
    let Some(details) = &mut state.details else { return String::new() };
    let Some(account) = &details.account else {
        let told = match details.unanswered > 2 {
            true => "It has left the table, and nobody has its account any more.",
            false => "Its account is asked for.",
        };
        lines(buffer, area, told);
        return format!("one in full{of_now} (Esc: the list)");
    };
    let told = connection_of(account, scene.sight.context);
    let mut sentences = sentences(&told, account, scene);
    sentences.push(carried(details, scene));
    let table = directions(&told);
    // Drawn as a whole, then as much of it as there is room for.
    let height = wide(sentences.iter().map(|one| one.len()).sum::<usize>() / usize::from(area.width.max(1)))
        .saturating_add(wide(sentences.len() * 2 + table.lines.len() + 4));
    let whole = Rect { x: 0, y: 0, width: area.width, height };
    let mut page = Buffer::empty(whole);
    let title = format!("{} → {} {}", end(&told, true), end(&told, false), told.protocol);
    let mut rest = line(&mut page, whole, &plain(&title), heading());
    for one in &sentences {
        rest = lines(&mut page, rest, one);
    }
    let rest = table.draw(&mut page, super::below(rest, 1));
    let used = usize::from(height - rest.height);
    let room = usize::from(area.height);
    details.scroll = details.scroll.min(used.saturating_sub(room));
    for y in 0..room.min(used - details.scroll) {
        for x in 0..area.width {
            let from = page.cell((x, wide(y + details.scroll)));
            if let (Some(from), Some(to)) = (from.cloned(), buffer.cell_mut((area.x + x, area.y + wide(y)))) {
                *to = from;
            }
        }
    }
    let hidden = used.saturating_sub(room);
    let more =
        if hidden > 0 { format!(", ↑↓: {} lines more", grouped(hidden as u64)) } else { String::new() };
    format!("one in full{of_now} (Esc: the list{more})")
}

fn end(told: &Connection, client: bool) -> String {
    let end = if client { &told.client } else { &told.server };
    let ip = match (end.name, end.ip) {
        (Some(name), _) => name.to_owned(),
        (None, std::net::IpAddr::V6(ip)) if end.port.is_some() => format!("[{ip}]"),
        (None, ip) => ip.to_string(),
    };
    end.port.map_or(ip.clone(), |port| format!("{ip}:{port}"))
}

/// A time in seconds as units do it.
fn time(seconds: Option<f64>) -> String {
    seconds.map_or_else(nothing, |seconds| duration((seconds * 1e9).max(0.0) as u64))
}

/// What is told in words.
fn sentences(told: &Connection, account: &Account, scene: &Scene) -> Vec<String> {
    let mut all = Vec::new();
    let state = told.state.map_or(String::new(), |state| format!("State {state}"));
    let conn_state = told.conn_state.map_or(String::new(), |word| format!(" ({word})"));
    let by = told.reset_by.map_or(String::new(), |who| format!(", reset by the {who}"));
    let roles = format!("client and server told by {}", told.role_source);
    all.push(
        [format!("{state}{conn_state}{by}"), roles]
            .into_iter()
            .filter(|one| !one.is_empty())
            .collect::<Vec<_>>()
            .join("; "),
    );
    let ended = match (account.reason, scene.snapshot().last) {
        (EndReason::Open, true) => "still open at the end".to_owned(),
        (EndReason::Open, false) => "still there".to_owned(),
        (reason, _) => format!("ended: {}", reason.name()),
    };
    let begun = if told.midstream { "First seen (its beginning was not)" } else { "Begun" };
    all.push(format!(
        "{begun} {}, last packet {}, {} long; {ended}",
        moment(account.entry.start),
        moment(account.entry.last),
        time(Some(told.duration_seconds)),
    ));
    all.extend(passed(told, account));
    all.extend(told.handshake.as_ref().map(handshake));
    all.extend(told.exchanges.as_ref().map(|one| exchanges(one, told.exchanges_lossy)));
    let marks = [
        (told.tls, "TLS"),
        (told.fragmented, "fragments"),
        (told.estimated, "packet counts estimated"),
        (told.holes_merged, "more gaps than are kept apart: figures of loss are estimates"),
        (told.discontinuous, "sequence numbers jumped: sums are not exact"),
        (told.after_unreach, "connected after an ICMP error"),
        (told.evicted_possible, "its handshake may have been pushed out"),
    ];
    let mut marks: Vec<String> =
        marks.iter().filter(|(is, _)| *is).map(|(_, word)| (*word).to_owned()).collect();
    marks.extend(told.tfo.map(|word| format!("TCP Fast Open {word}")));
    marks.extend(told.community_id.as_ref().map(|id| format!("community_id {id}")));
    if !marks.is_empty() {
        all.push(marks.join("; "));
    }
    all
}

/// The states that it came to, each with the time since the one before; when each
/// side had no more to say.
fn passed(told: &Connection, account: &Account) -> Vec<String> {
    let (entry, history) = (&account.entry, &account.tcp.history);
    if told.state.is_none() {
        return Vec::new();
    }
    let client = entry.client();
    let since = |before_us: u64, us: u64| format!("+{}", duration(us.saturating_sub(before_us) * 1000));
    let moment = |us: u64| exact_time(entry.start.saturating_add(us * 1000));
    let mut words = String::from("States ");
    let mut before_us = 0;
    for (number, one) in history.states(entry, &account.tcp.beside).into_iter().enumerate() {
        let who = one.by.map(|side| if side == client { "client" } else { "server" });
        let why = match (who, one.state) {
            (Some(who), TcpState::Reset) => format!(" (RST of the {who})"),
            (Some(who), _) => format!(" (FIN of the {who})"),
            (None, _) if number == 0 && told.midstream => " (met in its middle)".to_owned(),
            (None, TcpState::SynReceived) if number == 0 => " (met by its SYN/ACK)".to_owned(),
            (None, _) => String::new(),
        };
        words += &match number {
            0 => format!("{} {}{why}", one.state.name(), moment(0)),
            // What comes later than that would be rounded.
            _ if one.after_us.saturating_sub(before_us) >= 1_000_000 => {
                let (gap, at) = (since(before_us, one.after_us), moment(one.after_us));
                format!(" → {} {gap} at {at}{why}", one.state.name())
            }
            _ => format!(" → {} {}{why}", one.state.name(), since(before_us, one.after_us)),
        };
        before_us = one.after_us;
    }
    let mut all = vec![words];
    for (side, who) in [(client, "client"), (1 - client, "server")] {
        let Some(one) = history.finished(entry, side) else { continue };
        let acked = match one.acked_us {
            Some(us) => format!("acknowledged {}", since(one.after_us, us)),
            None => "not acknowledged".to_owned(),
        };
        all.push(format!("First FIN of the {who} {}, {acked}", moment(one.after_us)));
    }
    all
}

/// How it began.
fn handshake(opening: &Opening) -> String {
    let mut words = format!("Handshake {}", opening.outcome.unwrap_or("not decided"));
    if let Some(reason) = opening.reason {
        words += &format!(" ({reason})");
    }
    if let (Some(kind), Some(code)) = (opening.icmp_type, opening.icmp_code) {
        words += &format!(" (ICMP type {kind} code {code})");
    }
    words
        + &format!(
            ": {} in all, SYN to SYN/ACK {}, SYN/ACK to ACK {}; SYN sent again {}, SYN/ACK {}",
            time(opening.connect_seconds),
            time(opening.syn_to_synack_seconds),
            time(opening.synack_to_ack_seconds),
            opening.syn_retransmitted,
            opening.synack_retransmitted,
        )
}

/// What was asked and answered.
fn exchanges(exchanges: &Exchanges, lossy: bool) -> String {
    let last = &exchanges.last_byte_seconds;
    format!(
        "Requests answered {}{}, not answered {}; first byte after {} at most, last byte after {} (half), {} \
         (95 of 100), {} at most",
        if lossy { "at least " } else { "" },
        grouped(exchanges.count.into()),
        grouped(exchanges.unanswered.into()),
        time(exchanges.first_byte_seconds.max),
        time(last.p50),
        time(last.p95),
        time(last.max),
    )
}

/// What it carried since somebody looks.
fn carried(details: &Details, scene: &Scene) -> String {
    let unit = scene.sight.style.unit;
    let (Some(&newest), Some(&most)) = (details.rates.back(), details.rates.iter().max()) else {
        return "Its rate is shown from the second look on.".to_owned();
    };
    let shown = details.rates.iter().skip(details.rates.len().saturating_sub(48));
    let words = |rate: u64| format!("{} {}", human(rate_in(rate, unit)), rate_unit(unit));
    format!("Now {}, at most {}: {}", words(newest), words(most), spark(shown.copied(), most))
}

/// A cell a rate, by eighths of the highest; nothing at all is a blank below it.
fn spark(rates: impl Iterator<Item = u64>, most: u64) -> String {
    const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let cell = |rate: u64| {
        let eighth = (u128::from(rate) * 8).div_ceil(u128::from(most.max(1))).clamp(1, 8);
        if rate == 0 { '_' } else { EIGHTHS[usize::try_from(eighth).unwrap_or(1) - 1] }
    };
    rates.map(cell).collect()
}

/// Both directions, side by side.
fn directions(told: &Connection) -> Table {
    let both = [&told.c2s, &told.s2c];
    let mut lines: Vec<[String; 3]> = Vec::new();
    let mut put = |name: &str, figure: &dyn Fn(&Sent) -> Option<String>| {
        let [there, back] = both.map(figure);
        if there.is_some() || back.is_some() {
            lines.push([name.to_owned(), there.unwrap_or_else(nothing), back.unwrap_or_else(nothing)]);
        }
    };
    let count = |count: u64| Some(grouped(count));
    put("Packets", &|sent| count(sent.packets));
    put("Bytes", &|sent| count(sent.bytes));
    put("Frames (super-frames), bytes of them", &|sent| {
        sent.frames
            .zip(sent.frame_bytes)
            .map(|(frames, bytes)| format!("{}, {}", grouped(frames), grouped(bytes)))
    });
    put("Payload", &|sent| sent.payload_bytes.map(grouped));
    let mut of_stream = |name: &str, figure: &dyn Fn(&Stream) -> String| {
        put(name, &|sent| sent.stream.as_ref().map(figure));
    };
    of_stream("Stream, by its numbers", &|one| {
        let doubt = if one.stream_exact { "" } else { " not exact" };
        format!("{}{doubt}", grouped(one.stream_bytes))
    });
    of_stream("Missing (acknowledged, not seen)", &|one| grouped(one.missing_bytes));
    of_stream("Open (neither)", &|one| grouped(one.open_bytes));
    of_stream("Not acknowledged", &|one| one.unacked_bytes.map_or_else(nothing, grouped));
    of_stream("Retransmitted segments, bytes", &|one| {
        format!("{}, {}", grouped(one.retransmitted_segments.into()), grouped(one.retransmitted_bytes))
    });
    of_stream("Recovered, out of order", &|one| {
        format!("{}, {}", grouped(one.recovered_segments.into()), grouped(one.out_of_order_segments.into()))
    });
    of_stream("Duplicate ACKs, zero windows", &|one| {
        format!("{}, {}", grouped(one.duplicate_acks.into()), grouped(one.zero_windows.into()))
    });
    of_stream("Keep-alives", &|one| grouped(one.keep_alives.into()));
    of_stream("SYN, FIN, RST", &|one| format!("{}, {}, {}", one.syn, one.fin, one.rst));
    of_stream("Round trip: least, smoothed", &|one| {
        format!("{}, {}", time(one.rtt_seconds.min), time(one.rtt_seconds.smoothed))
    });
    of_stream("Round trip: half, 99 of 100", &|one| {
        format!("{}, {}", time(one.rtt_seconds.p50), time(one.rtt_seconds.p99))
    });
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in both.iter().flat_map(|sent| &sent.interfaces.0) {
        if !names.contains(&&**name) {
            names.push(name);
        }
    }
    for name in names {
        put(&format!("Bytes by {}", plain(name)), &|sent| {
            let found = sent.interfaces.0.iter().find(|(known, _)| known == name);
            Some(grouped(found.map_or(0, |(_, bytes)| *bytes)))
        });
    }
    let head = |title: &str, right| Head { title: title.to_owned(), right, rank: 0 };
    let heads = vec![head("", false), head("client to server", true), head("server to client", true)];
    let lines = lines.into_iter().map(|line| line.map(|text| (text, Style::new())).to_vec());
    Table { heads, lines: lines.collect() }
}
