//! The screen in memory: every view at three sizes against files that people have
//! read, and what must hold at any size.

#[path = "common/golden.rs"]
mod golden;
#[allow(dead_code)]
#[path = "common/snapshots.rs"]
mod snapshots;

use fullcount::aggregate::ask::Answer;
use fullcount::aggregate::balance::{Flows, LinkSet, Placing, SetFigures, Spread};
use fullcount::aggregate::burst::Sums;
use fullcount::aggregate::culprit::{Burst, Culprit};
use fullcount::aggregate::hidden::Hidden;
use fullcount::aggregate::snapshot::Row;
use fullcount::aggregate::snapshot::{RowName, Snapshot};
use fullcount::aggregate::spread::SpreadFigures;
use fullcount::aggregate::view::{Grouping, Order, View, Window};
use fullcount::aggregate::window::Averages;
use fullcount::capture::{Direction, Lane};
use fullcount::config::Bars;
use fullcount::decode::tcp_flag::{ACK, FIN, RST, SYN};
use fullcount::decode::{Kind as What, Packet, protocol};
use fullcount::flow::entry::Entry;
use fullcount::flow::record::{Account, Buffer as Records, EndReason, Outcome, Sink};
use fullcount::flow::table::{FlowTable, TableConfig};
use fullcount::links::balance::Balance;
use fullcount::meter::journal::FlowName;
use fullcount::meter::totals::Totals;
use fullcount::output::tui::keys::{KEYS, Key};
use fullcount::output::tui::memory::Memory;
use fullcount::output::tui::{Can, Kind, Moment, Run, State, draw};
use fullcount::output::{Coverages, Notice};
use golden::same_as_file;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use snapshots::*;
use std::sync::Arc;

const ALL: Can = Can { colours: true, utf8: true };
const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 50)];

fn burst() -> Burst {
    let (key, client_second) = web();
    let who = FlowName { key, start_ns: NINE, client_second };
    let sent = [count(100, 2_400_000), count(20, 100_000)];
    let culprit = Culprit { who, sent, excess_bytes: 2_300_000, excess_of_all: 2_310_000, began: true };
    Burst {
        lane: lane(0, Direction::Rx),
        from_ms: NINE / 1_000_000 + 104,
        until_ms: NINE / 1_000_000 + 125,
        sums: Sums {
            bytes: 2_600_000,
            packets: 1730,
            line_bits: 20_800_000,
            peak_bits: 999_000,
            queue_bits: 0,
        },
        speed: Some(1_000_000_000),
        others: vec![(1, 2_300_000)],
        connections: 4,
        began: 1,
        senders: 2,
        culprits: vec![culprit],
        journal_bytes: 2_600_000,
        before_ms: 1000,
        ..Burst::default()
    }
}

/// Two slaves of a bond, one of them full for milliseconds, the other short of frames.
fn busy_screen() -> (Snapshot, Coverages) {
    let (mut snapshot, coverage) = busy();
    let averages = |there, back| {
        let windows = [Some([there, back]), Some([there / 2, back / 2]), Some([there / 4, back / 4])];
        Some(Averages { windows, peak: Some([there, back]), ..Averages::default() })
    };
    for row in &mut snapshot.rows {
        row.averages = averages(row.interval[0].bytes * 8, row.interval[1].bytes * 8);
    }
    snapshot.rows_found = 1520;
    let on = |row: usize, lanes: [Option<Lane>; 2], interval| Row {
        lanes,
        interval,
        ..snapshot.rows[row].clone()
    };
    let [rx, tx] = [Direction::Rx, Direction::Tx].map(|direction| Some(lane(0, direction)));
    let web = on(0, [tx, rx], [count(40_000, 3_000_000), count(80_000, 117_000_000)]);
    let dns = on(1, [None, Some(lane(1, Direction::Tx))], [count(0, 0), count(10, 15_140)]);
    snapshot.link_rows = vec![vec![web], vec![dns]];
    let peak =
        |per_ms: u64| SpreadFigures { peak: per_ms * 1000, milliseconds: 1000, ..SpreadFigures::default() };
    snapshot.spreads = vec![[[peak(987_000), peak(31_000)]; 2], [[peak(0), peak(1_000)]; 2]];
    let spread = |first, second| Spread {
        counts: vec![count(1, first), count(1, second)],
        balance: Balance::of(&[first, second], None),
        asymmetry_ms: Some(120),
        classes: Vec::new(),
        untracked: Vec::new(),
    };
    snapshot.balances = vec![SetFigures {
        set: LinkSet {
            name: Some("bond0".into()),
            links: vec![0, 1],
            usable: vec![0, 1],
            placing: Placing::Policy("layer2".into()),
            in_order: true,
            version: None,
            met_only: false,
            since_ns: 0,
        },
        interval: [spread(118_000_000, 0), spread(3_012_000, 15_140)],
        total: [spread(295_000_000, 1_000_000), spread(6_600_000, 15_140)],
        flows: [Flows::default(), Flows::default()],
        verdict: None,
        better: Some("layer3+4".into()),
        judged: None,
        verdict_since_ns: 0,
    }];
    snapshot.bursts = vec![burst()];
    snapshot.handshakes = handshakes();
    let failed = [Outcome::TimeoutNoSynack, Outcome::Reject, Outcome::Success];
    let watched =
        failed.map(|outcome| fullcount::aggregate::watch::Watched { session: session(outcome), watches: 1 });
    snapshot.handshakes.sessions = watched.to_vec();
    snapshot.destinations = Some(destinations());
    (snapshot, coverage)
}

fn moment() -> Moment {
    let (snapshot, coverage) = busy_screen();
    Moment { snapshot: Arc::new(snapshot), answer: None, coverage, context: context() }
}

/// The same with the rows that a view of pairs asks for.
fn pairs() -> Moment {
    let (mut snapshot, coverage) = busy_screen();
    for row in &mut snapshot.rows {
        if let RowName::Connection(key) = row.name {
            row.name = RowName::Pair(key.ip(0), key.ip(1));
        }
    }
    snapshot.rows_found = 3;
    Moment { snapshot: Arc::new(snapshot), answer: None, coverage, context: context() }
}

fn run() -> Run {
    Run { live: true, filter: Some("tcp or udp".into()), reason: String::new(), sessions: true }
}

/// A minute and a half before the moment: a transfer that rises to what it is now on one
/// slave, a burst of 21 ms on the other that no second shows, frames lost, and three
/// seconds of which nothing is known.
fn history(moment: &Moment) -> Vec<Snapshot> {
    let (dns, backup) = (
        key_v4(protocol::UDP, ([192, 0, 2, 7], 53_000), ([198, 51, 100, 53], 53)),
        key_v4(protocol::TCP, ([203, 0, 113, 9], 51_000), ([192, 0, 2, 7], 873)),
    );
    let row = |key, lanes: [Option<Lane>; 2], there: u64, back: u64| {
        let counts = [count(there / 1000 + 1, there), count(back / 1000 + 1, back)];
        Row { lanes, ..connection_row(key, None, counts, counts) }
    };
    let [rx0, tx0, rx1, tx1] =
        [(0, Direction::Rx), (0, Direction::Tx), (1, Direction::Rx), (1, Direction::Tx)]
            .map(|(n, d)| lane(n, d));
    let second = |back: u64| {
        let mut snapshot = empty(moment.snapshot.time_ns - back * S);
        let main = 118_000_000 * (90 - back) / 90;
        let aside = if back == 60 { 2_700_000 } else { 90_000 + 1000 * (back % 7) };
        let (rx, tx) = (lane_totals(main / 1450, main), lane_totals(main / 3000, main / 40));
        let other = [lane_totals(aside / 1000, aside), lane_totals(90, 15_140)];
        snapshot.interfaces = vec![interface(0, rx, tx), interface(1, other[0], other[1])];
        snapshot.interfaces[1].capture_interval.kernel_drops = if back == 12 { 17 } else { 0 };
        let per_ms = |most: u64| SpreadFigures { peak: most, milliseconds: 1000, ..SpreadFigures::default() };
        let peaks = [main * 9, main / 4, if back == 60 { 999_000_000 } else { aside * 40 }, 1_000_000];
        let [a, b, c, d] = peaks.map(per_ms);
        snapshot.spreads = vec![[[a, b]; 2], [[c, d]; 2]];
        let big = row(web(), [Some(rx0), Some(tx0)], main * 9 / 10, main / 40);
        let small = row(dns, [Some(rx0), Some(tx1)], main / 10, 0);
        let answers = row(dns, [None, Some(tx1)], 0, 15_140);
        let synced = row(backup, [Some(rx1), None], if back == 60 { 2_500_000 } else { 40_000 }, 0);
        snapshot.link_rows = vec![vec![big, small], vec![synced, answers]];
        snapshot.balances = moment.snapshot.balances.clone();
        if back == 58 {
            // It is told a little later than it was.
            let (key, client_second) = backup;
            let who = FlowName { key, start_ns: NINE, client_second };
            let sent = [count(1600, 2_450_000), count(0, 0)];
            let culprit =
                Culprit { who, sent, excess_bytes: 2_400_000, excess_of_all: 2_410_000, began: true };
            let from_ms = (moment.snapshot.time_ns - 61 * S) / 1_000_000 + 312;
            let culprits = vec![culprit];
            let burst = Burst { lane: rx1, from_ms, until_ms: from_ms + 21, culprits, ..burst() };
            snapshot.bursts = vec![burst];
        }
        snapshot
    };
    (1..90).rev().filter(|back| !(40..43).contains(back)).map(second).collect()
}

fn memory(moment: &Moment) -> Memory {
    let mut memory = Memory::default();
    for snapshot in history(moment).iter().chain([&*moment.snapshot]) {
        memory.past.take(snapshot, snapshot, &moment.coverage, &Default::default());
    }
    memory.take(&moment.snapshot);
    let message = "eth1: the link is up again, with\u{1b}[2J 1000 Mbit/s".to_owned();
    memory.note(&Notice { time_ns: NINE, event: "interface_event", message, ..Notice::default() });
    memory
}

fn drawn(state: &mut State, moment: &Moment, can: Can, size: (u16, u16)) -> Buffer {
    drawn_with(&memory(moment), state, moment, can, size)
}

fn drawn_with(
    memory: &Memory,
    state: &mut State,
    moment: &Moment,
    can: Can,
    (width, height): (u16, u16),
) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    draw(state, Some(moment), &run(), memory, can, &mut buffer);
    buffer
}

/// Lines as they are seen, spaces at their ends left out.
fn text(buffer: &Buffer) -> String {
    let line = |y: u16| -> String { (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect() };
    (0..buffer.area.height).map(|y| line(y).trim_end().to_owned() + "\n").collect()
}

fn key_of(kind: Kind) -> Key {
    Key::F(Kind::ALL.iter().position(|one| *one == kind).map_or(0, |place| place as u8 + 1))
}

fn shown(kind: Kind, keys: &[Key], size: (u16, u16)) -> String {
    let moment = if kind == Kind::Hosts { pairs() } else { moment() };
    let (memory, mut state) = (memory(&moment), State::new(style(), Bars::default()));
    for key in std::iter::once(&key_of(kind)).chain(keys) {
        // What is seen between two keys decides how far a page is.
        drawn_with(&memory, &mut state, &moment, ALL, size);
        state.press(*key, Some(&moment), &run());
    }
    text(&drawn_with(&memory, &mut state, &moment, ALL, size))
}

#[test]
fn every_view_at_three_sizes() {
    for size in SIZES {
        for kind in Kind::ALL {
            let name = format!("tui/{}_{}x{}.txt", kind.name().to_lowercase(), size.0, size.1);
            same_as_file(&name, &shown(kind, &[], size));
        }
        same_as_file(
            &format!("tui/who_{}x{}.txt", size.0, size.1),
            &shown(Kind::Bursts, &[Key::Enter], size),
        );
        same_as_file(
            &format!("tui/help_{}x{}.txt", size.0, size.1),
            &shown(Kind::Hosts, &[Key::Char('?')], size),
        );
        same_as_file(
            &format!("tui/links_then_{}x{}.txt", size.0, size.1),
            &shown(Kind::Links, &[Key::Char('[')], size),
        );
    }
}

/// A connection's life, from its account: nothing is known of most of it, then more.
#[test]
fn one_connection_at_three_sizes() {
    for size in SIZES {
        let moment = moment();
        let mut state = State::new(style(), Bars::default());
        drawn(&mut state, &moment, ALL, size);
        state.press(Key::Enter, Some(&moment), &run());
        let key = state.looked_at().expect("the row under the cursor");
        let mut entry = Entry::new(key, NINE);
        entry.last = NINE + 1_234_567_000;
        for (bytes, at_ns) in [(10_000, 1), (60_000, 1_000_000_001), (70_000, 2_000_000_001)] {
            entry.sent[0].packets = 40;
            entry.sent[0].bytes = bytes;
            let (surplus, tcp) = Default::default();
            let account = Account { entry, surplus, tcp, reason: EndReason::Open, lanes: Vec::new() };
            state.take_account(Box::new(account), at_ns);
        }
        same_as_file(
            &format!("tui/life_{}x{}.txt", size.0, size.1),
            &text(&drawn(&mut state, &moment, ALL, size)),
        );
        state.press(Key::Escape, Some(&moment), &run());
        assert_eq!(state.looked_at(), None);
    }
}

/// Segments of the client (true) or the server: milliseconds, flags, number, acknowledgement.
type Script = [(f64, bool, u8, u32, u32)];

/// What a table says of the connection between the ends of [`web`] after a script.
fn lived(script: &Script) -> Account {
    let (key, reversed) = web();
    let limits = TableConfig {
        flows_max: 16,
        handshake_timeout_ns: 60 * S,
        accounts: true,
        active_timeout_ns: 0,
        seed: [1, 2],
    };
    let (mut table, mut totals) = (FlowTable::new(limits), Totals::default());
    for &(at, of_client, tcp_flags, sequence, acknowledgement) in script {
        let (time_ns, reversed) = (NINE + 100_000_000 + (at * 1e6) as u64, reversed == of_client);
        let (kind, window, bytes, frame_bytes) = (What::Tcp, 500, 66, 66);
        let packet =
            Packet { key, reversed, time_ns, bytes, frame_bytes, kind, tcp_flags, ..Packet::default() };
        table.process(
            &mut [Packet { sequence, acknowledgement, window, ..packet }],
            &mut totals,
            &mut Nowhere,
        );
    }
    table.account_of(&key).expect("it is in the table")
}

/// A sink without room.
struct Nowhere;

impl Sink for Nowhere {
    fn buffer(&mut self) -> Option<&mut Records> {
        None
    }
}

/// A connection's states with their times: from SYN to TIME-WAIT, and one that was met
/// in its middle and reset.
#[test]
fn states_of_one_connection_at_three_sizes() {
    let whole: &Script = &[
        (0.0, true, SYN, 100, 0),
        (10.0, false, SYN | ACK, 500, 101),
        (12.345, true, ACK, 101, 501),
        (65_432.1, true, FIN | ACK, 101, 501),
        (65_441.25, false, ACK, 501, 102),
        (66_000.0, false, FIN | ACK, 501, 102),
        (66_000.24, true, ACK, 102, 502),
    ];
    let part: &Script =
        &[(0.0, true, ACK, 101, 501), (0.75, false, FIN | ACK, 501, 101), (9.0, true, RST, 101, 0)];
    for size in SIZES {
        for (name, script) in [("states", whole), ("states_reset", part)] {
            let moment = moment();
            let mut state = State::new(style(), Bars::default());
            drawn(&mut state, &moment, ALL, size);
            state.press(Key::Enter, Some(&moment), &run());
            assert_eq!(state.looked_at(), Some(web().0), "the row under the cursor");
            state.take_account(Box::new(lived(script)), 1);
            let text = text(&drawn(&mut state, &moment, ALL, size));
            same_as_file(&format!("tui/{name}_{}x{}.txt", size.0, size.1), &text);
        }
    }
}

/// The header says the same in words without colour, on every view and size.
#[test]
fn doubt_stands_on_every_view_in_words() {
    for size in [(40, 12), (60, 14), (80, 24), (200, 50)] {
        for kind in Kind::ALL {
            let text = shown(kind, &[], size);
            let eth1 = text
                .lines()
                .find(|line| line.starts_with("eth1 ") && !line.contains('│'))
                .or_else(|| text.lines().find(|line| line.starts_with("and 1 of 2 links")));
            assert!(eth1.is_some_and(|line| line.contains("short")), "{size:?} {}: {text}", kind.name());
        }
    }
}

#[test]
fn no_size_and_no_key_makes_it_panic() {
    for size in [(0, 0), (1, 1), (39, 10), (40, 9), (40, 10), (41, 11), (300, 100)] {
        for kind in Kind::ALL {
            for binding in KEYS {
                for key in binding.keys {
                    let text = shown(kind, &[*key, Key::End, Key::PageDown, Key::Up], size);
                    assert_eq!(text.lines().count(), usize::from(size.1));
                    assert!(!text.contains('\u{1b}'), "what a notice says acts on no terminal");
                }
            }
        }
    }
}

#[test]
fn every_key_that_the_footer_names_is_in_the_help() {
    for kind in Kind::ALL {
        let named = shown(kind, &[], (200, 50));
        let footer = named.lines().last().expect("a footer");
        let help = shown(kind, &[Key::Char('?')], (200, 50));
        for part in footer.split("  ") {
            let key = part.split(' ').next().expect("a key");
            let alone = |word: &str| key.chars().all(|arrow| word.contains(arrow));
            let known = help.lines().any(|line| line.split(' ').any(|word| word == key || alone(word)));
            assert!(known || key == "↑↓", "{key} of {footer} in {help}");
        }
    }
}

#[test]
fn the_help_is_whole_on_an_ordinary_screen() {
    for kind in Kind::ALL {
        let help = shown(kind, &[Key::Char('?')], (80, 24));
        assert!(!help.contains('…'), "{help}");
        for binding in KEYS {
            assert!(help.contains(binding.meaning), "{} in {help}", binding.meaning);
        }
    }
}

#[test]
fn without_colours_none_and_in_ascii_nothing_else() {
    let can = Can { colours: false, utf8: false };
    for kind in Kind::ALL {
        let mut state = State::new(style(), Bars::default());
        state.press(key_of(kind), None, &run());
        let buffer = drawn(&mut state, &moment(), can, (120, 40));
        assert!(text(&buffer).is_ascii());
        assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
        let coloured = drawn(&mut state, &moment(), ALL, (120, 40));
        assert!(coloured.content.iter().any(|cell| cell.fg == Color::Red));
    }
}

#[test]
fn a_pause_keeps_rows_and_the_header_goes_on() {
    let (before, mut later) = (moment(), busy_screen().0);
    later.rows.clear();
    later.table.active = 7;
    let later = Moment { snapshot: Arc::new(later), ..before.clone() };
    let mut state = State::new(style(), Bars::default());
    state.press(Key::Char('P'), Some(&before), &run());
    assert!(state.is_paused());
    let seen = text(&drawn(&mut state, &later, ALL, (80, 24)));
    assert!(
        seen.contains("PAUSED") && seen.contains("7 flows") && seen.contains("192.0.2.7:40112"),
        "{seen}"
    );
    state.press(Key::Char('p'), Some(&later), &run());
    let seen = text(&drawn(&mut state, &later, ALL, (80, 24)));
    assert!(!seen.contains("PAUSED") && !seen.contains("192.0.2.7:40112"), "{seen}");
}

#[test]
fn a_frozen_order_stays_and_takes_no_new_rows() {
    let (before, mut later) = (moment(), busy_screen().0);
    later.rows.reverse();
    let later = Moment { snapshot: Arc::new(later), ..before.clone() };
    let mut state = State::new(style(), Bars::default());
    state.press(Key::Char('o'), Some(&before), &run());
    let seen = text(&drawn(&mut state, &later, ALL, (80, 24)));
    let places: Vec<usize> =
        [":443", ":53", "198.51.100.9"].iter().map(|end| seen.find(end).expect("a row")).collect();
    // Without what is left out a list would seem to be all there is.
    let title = " Connections order frozen 09:00:01, 1-3 of 3, 1,517 others not shown\n";
    assert!(places.is_sorted() && seen.contains(title) && seen.contains("  o unfreeze  "), "{seen}");
    let base = View { grouping: Grouping::Connection, order: Order::Rate, offset: 0, limit: 9, only: None };
    let wanted = state.wanted(&base, &later.context).expect("rows");
    let only = wanted.only.expect("no others");
    let [here, other] = [later.snapshot.rows[0].name, RowName::Host(v4(1))];
    assert!(only.gives(&here) && !only.gives(&other) && only.fits(&other), "others are counted");
    // One has gone, more have come: neither is hidden by the title.
    let mut fewer = later.snapshot.as_ref().clone();
    fewer.rows.pop();
    fewer.rows_found = 2000;
    let fewer = Moment { snapshot: Arc::new(fewer), ..later.clone() };
    let seen = text(&drawn(&mut state, &fewer, ALL, (80, 24)));
    assert!(seen.contains("order frozen 09:00:01, 1-2 of 2, 1,998 others not shown\n"), "{seen}");
    let mut none = fewer.snapshot.as_ref().clone();
    none.rows.clear();
    let none = Moment { snapshot: Arc::new(none), ..later.clone() };
    let seen = text(&drawn(&mut state, &none, ALL, (80, 24)));
    assert!(seen.contains("None of the rows whose order was frozen is left"), "{seen}");
    state.press(Key::Char('o'), Some(&later), &run());
    assert!(!text(&drawn(&mut state, &later, ALL, (80, 24))).contains("frozen"));
}

/// The screen as it is with this moment, after a key.
fn seen(moment: &Moment, state: &mut State, key: Key) -> String {
    state.press(key, Some(moment), &run());
    text(&drawn(state, moment, ALL, (120, 40)))
}

/// On one line, however it is broken.
fn unbroken(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where no burst can be found, no list waits for one.
#[test]
fn links_without_a_speed_are_named_among_bursts() {
    let sentence = |name: &str| {
        format!(
            "The speed of {name} is not known, so nothing there can be called full: \
             --link-speed {}=1G tells it, --burst-threshold RATE does without.",
            name.split(',').next().unwrap_or_default()
        )
    };
    let with = |known: [bool; 2], bursts: bool, by_share: bool| {
        let mut moment = moment();
        moment.context.bursts_by_share = by_share;
        for (link, known) in moment.context.links.iter_mut().zip(known) {
            link.speed_bits_per_second = known.then_some(1_000_000_000);
        }
        let memory = if bursts { memory(&moment) } else { Memory::default() };
        let mut state = State::new(style(), Bars::default());
        state.press(Key::F(6), Some(&moment), &run());
        unbroken(&text(&drawn_with(&memory, &mut state, &moment, ALL, (80, 24))))
    };
    let none = with([false; 2], false, true);
    assert!(none.contains(&sentence("eth0, eth1")) && !none.contains("No burst so far"), "{none}");
    let one = with([true, false], false, true);
    assert!(one.contains("No burst so far") && one.contains(&sentence("eth1")), "{one}");
    let some = with([true, false], true, true);
    assert!(some.contains("21 ms") && some.contains(&sentence("eth1")), "{some}");
    for told in [with([true; 2], false, true), with([false; 2], false, false)] {
        assert!(told.contains("No burst so far") && !told.contains("is not known"), "{told}");
    }
}

/// Who is named first is who came on top, however much another one has all the time: the
/// list says which of the two each part is.
#[test]
fn bursts_name_who_came_on_top_and_both_shares() {
    let (moment, mut burst) = (moment(), burst());
    let [mut small, mut steady] = [burst.culprits[0]; 2];
    small.sent = [count(70, 88_400), count(0, 0)];
    (small.excess_bytes, small.excess_of_all) = (88_000, 100_000);
    steady.who.key = key_v4(protocol::UDP, ([203, 0, 113, 9], 40_001), ([192, 0, 2, 7], 5001)).0;
    steady.sent = [count(1600, 2_509_000), count(0, 0)];
    (steady.excess_bytes, steady.excess_of_all) = (12_000, 100_000);
    burst.culprits = vec![small, steady];
    let mut memory = Memory::default();
    memory.take(&Snapshot { bursts: vec![burst], ..Snapshot::default() });
    let line = |size| {
        let mut state = State::new(style(), Bars::default());
        state.press(key_of(Kind::Bursts), Some(&moment), &run());
        let all = text(&drawn_with(&memory, &mut state, &moment, ALL, size));
        let mut lines = all.lines().skip_while(|line| !line.starts_with("Begin"));
        [(); 2].map(|()| lines.next().expect("a line").to_owned())
    };
    let [head, wide] = line((120, 40));
    assert!(head.ends_with("Share On top Who came on top"), "{head}");
    assert!(wide.contains("  3.4%  88.0% tcp 192.0.2.7:40112 → "), "{wide}");
    let [head, narrow] = line((80, 24));
    assert!(head.ends_with("Length On top Who came on top"), "{head}");
    assert!(narrow.ends_with(" 88.0% tcp 192.0.2.7:40112 → 198.51.100.2:443"), "{narrow}");
    assert!(line((40, 10))[1].starts_with("11-21 09:00:00.104 eth0  rx  21 ms tcp"));
}

/// What `-d` leaves out stands below the rows, and beside who filled a moment.
#[test]
fn hidden_connections_are_told_of() {
    let (mut snapshot, coverage) = busy_screen();
    let links = vec![[count(3, 4_000), count(1_835, 2_000_000)], [count(0, 0); 2]];
    snapshot.hidden = Some(Hidden { flows: [0, 1], links });
    let moment = Moment { snapshot: Arc::new(snapshot), answer: None, coverage, context: context() };
    let mut state = State::new(style(), Bars::default());
    let words = "Not in rows, as their start was not seen: 1 connection (1,835 packets, 2,000,000 bytes)";
    for key in [Key::F(1), Key::F(2)] {
        let told = seen(&moment, &mut state, key);
        assert!(told.contains(words), "{told}");
    }
    let filled = seen(&moment, &mut state, Key::F(5));
    assert!(filled.contains("Not in rows, as their start was not seen: eth0 4,000 bytes"), "{filled}");
    assert!(!seen(&moment, &mut state, Key::F(6)).contains("Not in rows"));
    let without = self::moment();
    assert!(!seen(&without, &mut state, Key::F(1)).contains("Not in rows"));
}

/// An order by name is no filter: idle connections are in it as they are by rate.
#[test]
fn every_order_of_the_screen_has_idle_rows() {
    let base = View { grouping: Grouping::Connection, order: Order::None, offset: 0, limit: 9, only: None };
    let mut state = State::new(style(), Bars::default());
    let moment = moment();
    for (key, order) in [('<', Order::Name), ('>', Order::Destination)] {
        state.press(Key::Char(key), Some(&moment), &run());
        assert_eq!(state.wanted(&base, &moment.context).expect("rows").order, order);
    }
}

#[test]
fn a_filter_that_nothing_matches_says_so() {
    let mut empty = busy_screen().0;
    empty.rows.clear();
    let empty = Moment { snapshot: Arc::new(empty), ..moment() };
    for key in [Key::F(1), Key::F(2)] {
        let mut state = State::new(style(), Bars::default());
        let none = seen(&empty, &mut state, key);
        assert!(none.contains("No traffic in this interval."), "{none}");
        for key in "/xyz".chars() {
            state.press(Key::Char(key), Some(&empty), &run());
        }
        let told = seen(&empty, &mut state, Key::Enter);
        assert!(told.contains("Nothing matches /xyz/") && !told.contains("No traffic"), "{told}");
    }
}

/// The chart's cursor: by keys over what is missing, by a click onto a sign, in every
/// strip without colours too.
#[test]
fn a_moment_of_the_chart_is_gone_to() {
    let (moment, can) = (moment(), Can { colours: false, utf8: true });
    let mut state = State::new(style(), Bars::default());
    let memory = memory(&moment);
    let mut press = |key| {
        state.press(key, Some(&moment), &run());
        drawn_with(&memory, &mut state, &moment, can, (120, 40))
    };
    let head = |buffer: &Buffer| text(buffer).lines().next().expect("a header").to_owned();
    press(key_of(Kind::Links));
    // 08:59:19 to 08:59:21 are missing: on to what is there beyond them, and back.
    (0..39).for_each(|_| drop(press(Key::Left)));
    assert!(head(&press(Key::Left)).contains(" 08:59:18 "));
    assert!(head(&press(Key::Right)).contains(" 08:59:22 "));
    assert!(head(&press(Key::Left)).contains(" 08:59:18 "));
    let then = press(Key::Right);
    let column = text(&then).lines().find_map(|line| line.chars().position(|sign| sign == '▲'));
    let column = column.expect("a cursor on the axis") as u16;
    let strips: Vec<u16> = (0..40).filter(|&y| then[(13, y)].symbol() == "│").collect();
    assert_eq!(strips.len(), 12, "{}", text(&then));
    let is_marked = |x: u16, y: u16| then[(x, y)].modifier.contains(Modifier::REVERSED);
    assert!(strips.iter().all(|&y| is_marked(column, y) && !is_marked(column + 1, y)));
    // The burst that no second shows.
    let (x, y) = strips
        .iter()
        .flat_map(|&y| (14..119).map(move |x| (x, y)))
        .find(|&(x, y)| then[(x, y)].symbol() == "!")
        .expect("its sign");
    let at_burst = press(Key::Click(x, y));
    assert!(head(&at_burst).contains(" 08:59:01 "), "{}", text(&at_burst));
    assert!(text(&at_burst).contains("! eth1 rx burst from 08:59:00.312, 21 ms"));
    // A step is a column, however long that is.
    press(Key::Char('-'));
    assert!(head(&press(Key::Right)).contains(" 08:59:03 "));
    // Onto the newest column: now. Beside all columns: nothing.
    assert!(!head(&press(Key::Click(119, y))).contains("PAST"));
    assert!(!head(&press(Key::Click(3, y))).contains("PAST"));
    assert!(!head(&press(Key::Click(60, 39))).contains("PAST"));
}

/// Keys one after the other, each with what is seen before and after it.
fn press_all(state: &mut State, memory: &Memory, moment: &Moment, keys: &[Key]) -> String {
    for key in keys {
        drawn_with(memory, state, moment, ALL, (120, 40));
        state.press(*key, Some(moment), &run());
    }
    text(&drawn_with(memory, state, moment, ALL, (120, 40)))
}

/// The line under the cursor: it is reversed and begins with no view's name.
fn under(buffer: &Buffer) -> String {
    let all = text(buffer);
    let is_marked = |y: &u16| buffer[(0, *y)].modifier.contains(Modifier::REVERSED);
    let lines = (0..buffer.area.height).filter(is_marked).map(|y| all.lines().nth(y.into()).unwrap_or(""));
    let rows: Vec<&str> = lines.filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(rows.len(), 1, "one cursor: {all}");
    rows[0].to_owned()
}

fn typed(text: &str) -> Vec<Key> {
    [Key::Char('/')].into_iter().chain(text.chars().map(Key::Char)).chain([Key::Enter]).collect()
}

/// More of each list comes at its front (of destinations: in another order) while one of
/// it is read, and while the cursor is on one.
#[test]
fn what_is_open_or_under_the_cursor_stays_while_its_list_grows() {
    let moment = moment();
    let later = |by: u64| {
        let (mut snapshot, _) = busy_screen();
        for burst in &mut snapshot.bursts {
            (burst.lane, burst.from_ms) = (lane(1, Direction::Tx), burst.from_ms + by);
            (burst.until_ms, burst.sums.bytes) = (burst.until_ms + by, 2_600_000 + by);
        }
        for watched in &mut snapshot.handshakes.sessions {
            watched.session.start_ns += by * 1_000_000;
            watched.session.end_ns += by * 1_000_000;
            watched.session.outcome = Outcome::AbortedRst;
        }
        if let Some(all) = &mut snapshot.destinations {
            all.of_run.reverse();
        }
        Moment { snapshot: Arc::new(snapshot), ..moment.clone() }
    };
    let cases = [
        (Kind::Bursts, "eth0 rx", "09:00:00.104"),
        (Kind::Handshakes, "timeout", "timeout"),
        (Kind::Destinations, "192.0.2.9", "192.0.2.9"),
    ];
    for (kind, told, listed) in cases {
        let (mut memory, mut state) = (memory(&moment), State::new(style(), Bars::default()));
        // The second failure is the one without an answer: nothing is above the first burst.
        let keys = if kind == Kind::Handshakes { vec![Key::Down] } else { vec![] };
        press_all(&mut state, &memory, &moment, &[&[key_of(kind)][..], &keys].concat());
        // One comes between the last look and the key.
        let now = later(1000);
        memory.take(&now.snapshot);
        state.press(Key::Enter, Some(&now), &run());
        let opened = text(&drawn_with(&memory, &mut state, &now, ALL, (120, 40)));
        assert!(opened.contains(told), "{kind:?}: {opened}");
        let body = |text: &str| text.lines().skip(6).map(str::to_owned).collect::<Vec<_>>();
        for by in 2..5 {
            memory.take(&later(by * 1000).snapshot);
            let text = text(&drawn_with(&memory, &mut state, &now, ALL, (120, 40)));
            assert_eq!(body(&text), body(&opened), "{kind:?}");
        }
        // The list: the cursor is on it, and stays there when more come.
        state.press(Key::Escape, Some(&now), &run());
        for by in 5..60 {
            let line = under(&drawn_with(&memory, &mut state, &now, ALL, (120, 40)));
            assert!(line.contains(listed), "{kind:?}: {line}");
            memory.take(&later(by * 1000).snapshot);
        }
        // A key goes on from there, and to the newest, which is followed.
        if kind == Kind::Bursts {
            press_all(&mut state, &memory, &now, &[Key::Up]);
            let line = under(&drawn_with(&memory, &mut state, &now, ALL, (120, 40)));
            assert!(line.contains("09:00:01.104"), "{line}");
            let text = press_all(&mut state, &memory, &now, &[Key::Home]);
            assert!(text.contains("the newest first, 1 of "), "{text}");
            memory.take(&later(99_000).snapshot);
            let line = under(&drawn_with(&memory, &mut state, &now, ALL, (120, 40)));
            assert!(line.contains("09:01:39.104"), "{line}");
            // What is read stays when it has left the list.
            let opened = press_all(&mut state, &memory, &now, &[Key::Enter]);
            (0..600).for_each(|by| memory.take(&later(200_000 + by).snapshot));
            let seen = press_all(&mut state, &memory, &now, &[]);
            assert!(seen.contains("one that left the list"), "{seen}");
            assert_eq!(body(&seen), body(&opened));
        }
    }
}

/// Where rows stand still nothing else comes: filter and order are those of what was kept.
#[test]
fn rows_of_a_pause_are_filtered_and_ordered_as_the_title_says() {
    let moment = moment();
    let (memory, mut state) = (memory(&moment), State::new(style(), Bars::default()));
    let before = press_all(&mut state, &memory, &moment, &[Key::Char('p')]);
    assert!(before.contains("by rate, 1-3 of 1,520, 3 kept, as they were when paused"), "{before}");
    // What is asked for meanwhile is not what is shown.
    state.note_asked(9, 40);
    let seen = press_all(&mut state, &memory, &moment, &typed("198.51.100.[59]"));
    assert!(seen.contains("by rate, 1-2 of 2 that match /198.51.100.[59]/, of 3 kept when paused"), "{seen}");
    assert!(!seen.contains(":443") && seen.find(":53 ") < seen.find("198.51.100.9"), "{seen}");
    let seen = press_all(&mut state, &memory, &moment, &[Key::Escape, Key::Char('s')]);
    let places = |text: &str| [":443", "198.51.100.9", ":53\n"].map(|end| text.find(end).expect("a row"));
    assert!(seen.contains("by bytes, 1-3 of 3, of 3 kept by rate when paused"), "{seen}");
    assert!(places(&seen).is_sorted() && !places(&before).is_sorted(), "{seen}");
    // A step further on than what was kept there is none.
    let seen = press_all(&mut state, &memory, &moment, &[Key::End, Key::PageDown]);
    assert!(places(&seen).is_sorted(), "{seen}");
    // An order that no row tells, and rows that were not kept.
    let mut short = busy_screen().0;
    short.rows.iter_mut().for_each(|row| row.averages = None);
    let short = Moment { snapshot: Arc::new(short), ..moment.clone() };
    let keys = [Key::Char('p'), Key::Char('p'), Key::Char('1')];
    let seen = press_all(&mut state, &memory, &short, &keys);
    assert!(
        seen.contains("Connections cannot be ordered by 2 s average") && !seen.contains(":443"),
        "{seen}"
    );
    let mut state = State::new(style(), Bars::default());
    let keys = [key_of(Kind::Hosts), Key::Char('p'), Key::Char('x')];
    let seen = press_all(&mut state, &memory, &pairs(), &keys);
    assert!(seen.contains("Hosts of that moment are not kept") && seen.contains("p: go on"), "{seen}");
    // Rows that were still waited for are of another choice.
    let mut state = State::new(style(), Bars::default());
    press_all(&mut state, &memory, &moment, &typed(":443"));
    state.note_asked(1, 40);
    let seen = press_all(&mut state, &memory, &moment, &[Key::Char('p')]);
    assert!(seen.contains("1-1 of 1 that match /:443/, of 3 kept") && !seen.contains(":53\n"), "{seen}");
}

/// Of then and of now in one picture: each says which it is.
#[test]
fn the_past_claims_nothing_that_is_of_now() {
    let moment = moment();
    let (mut memory, mut state) = (memory(&moment), State::new(style(), Bars::default()));
    // One more second, and rows of the one before, which is looked back at.
    let rows = moment.snapshot.rows.iter().map(|row| Row { averages: None, ..row.clone() }).collect();
    let time_ns = moment.snapshot.time_ns;
    memory.past.take_rows(0, &Answer { number: 7, rows, found: 60, time_ns, whole: true });
    let mut snapshot = busy_screen().0;
    snapshot.time_ns += S;
    memory.past.take(&snapshot, &snapshot, &moment.coverage, &Default::default());
    let now = Moment { snapshot: Arc::new(snapshot), ..moment.clone() };
    let mut press = |keys: &[Key]| press_all(&mut state, &memory, &now, keys);
    let seen = press(&[Key::Left]);
    assert!(seen.contains("PAST") && seen.contains("by rate, 1-3 of 60, 3 kept, as they were"), "{seen}");
    // It stands still: neither a pause nor a frozen order has rows of now.
    let seen = press(&[Key::Char('p'), Key::Char('o')]);
    assert!(!seen.contains("PAUSED") && !seen.contains("frozen"), "{seen}");
    let seen = press(&typed("198.51.100.[59]"));
    assert!(seen.contains("1-2 of 2 that match /198.51.100.[59]/, of 3 kept, as they were"), "{seen}");
    assert!(!seen.contains(":443"), "{seen}");
    let seen = press(&[Key::Char('s')]);
    assert!(
        seen.contains("by bytes, 1-2 of 2") && seen.contains("of 3 kept by rate, as they were"),
        "{seen}"
    );
    assert!(seen.find("198.51.100.9") < seen.find(":53\n"), "{seen}");
    let seen = press(&[Key::Char('2')]);
    assert!(
        seen.contains("Connections cannot be ordered by 10 s average") && !seen.contains(":53\n"),
        "{seen}"
    );
    let seen = press(&[Key::Char('s'), Key::Enter]);
    assert!(seen.contains("PAST") && seen.contains("one in full, as of now (Esc"), "{seen}");
    let seen = press(&[&[Key::Escape][..], &typed("no such")].concat());
    assert!(seen.contains("None of the rows that were kept") && !seen.contains("No traffic"), "{seen}");
    let seen = press(&[key_of(Kind::Handshakes), Key::Enter]);
    assert!(seen.contains("Handshakes one that failed, in full, as of now"), "{seen}");
    let seen = press(&[key_of(Kind::Handshakes)]);
    assert!(seen.contains("PAST") && seen.contains("Handshakes as they were; failures as of now"), "{seen}");
    let seen = press(&[key_of(Kind::Bursts)]);
    assert!(seen.contains("PAST") && seen.contains("Bursts as of now, the newest first, 1 of 1"), "{seen}");
    let seen = press(&[key_of(Kind::Destinations)]);
    assert!(seen.contains("Destinations of that moment are not kept"), "{seen}");
}

/// Rows of hosts are in the order of a column that is shown, and the title names it.
#[test]
fn hosts_come_by_the_average_that_is_shown() {
    let base = View { grouping: Grouping::Pair, order: Order::Rate, offset: 0, limit: 9, only: None };
    let (moment, mut state) = (pairs(), State::new(style(), Bars::default()));
    let order = |state: &mut State| state.wanted(&base, &moment.context).expect("rows").order;
    seen(&moment, &mut state, Key::F(1));
    assert_eq!(order(&mut state), Order::Activity, "the columns are rates");
    let told = seen(&moment, &mut state, Key::F(2));
    assert!(
        told.contains("Hosts by 2 s average, 1-3 of 3") && told.contains("s sort: 2 s average  /"),
        "{told}"
    );
    assert_eq!(order(&mut state), Order::Recent);
    // tcptrack's cycle goes on from there, and comes back to it; an average is one key away.
    let mut press = |key| (seen(&moment, &mut state, Key::Char(key)), order(&mut state));
    for (words, expected) in [
        ("bytes", Order::Bytes),
        ("packets", Order::Packets),
        ("name", Order::Name),
        ("2 s average", Order::Recent),
    ] {
        let (told, order) = press('s');
        assert!(told.contains(&format!("Hosts by {words}, 1-3")) && order == expected, "{told}");
    }
    assert_eq!(press('3').1, Order::Average(Window::Long));
    let (told, order) = press('1');
    assert!(told.contains("Hosts by 2 s average, 1-3") && order == Order::Recent, "{told}");
    assert_eq!(press('s').1, Order::Bytes, "no key without effect");
    // Longer intervals than the window: the first column that has figures. None yet: rates.
    let with = |known: Option<usize>| {
        let mut snapshot = pairs().snapshot.as_ref().clone();
        for row in &mut snapshot.rows {
            let windows = [0, 1, 2].map(|place| known.filter(|&first| first <= place).map(|_| [8, 8]));
            row.averages = known.map(|_| Averages { windows, ..Averages::default() });
        }
        let moment = Moment { snapshot: Arc::new(snapshot), ..pairs() };
        let mut state = State::new(style(), Bars::default());
        seen(&moment, &mut state, Key::F(2))
    };
    assert!(with(Some(1)).contains("Hosts by 10 s average, 1-3"));
    assert!(with(None).contains("Hosts by rate, 1-3"));
    // Within a pair the columns are rates again; a file has no other ones.
    let mut state = State::new(style(), Bars::default());
    seen(&moment, &mut state, Key::F(2));
    let told = seen(&moment, &mut state, Key::Enter);
    assert!(told.contains("Hosts by rate"), "{told}");
    let file = Run { live: false, ..run() };
    let mut state = State::new(style(), Bars::default());
    state.press(Key::F(2), Some(&moment), &file);
    assert_eq!(state.wanted(&base, &moment.context).expect("rows").order, Order::Activity);
}

/// Where rows stand still those that were kept are ordered by it too, and chosen by what
/// the title says.
#[test]
fn hosts_of_then_come_by_the_average_that_is_shown() {
    let moment = pairs();
    let mut memory = memory(&moment);
    let rates = [[8, 0], [400, 0], [90, 90]];
    let rows: Vec<Row> = moment
        .snapshot
        .rows
        .iter()
        .zip(rates)
        .map(|(row, rates)| Row {
            averages: Some(Averages { windows: [Some(rates); 3], ..Averages::default() }),
            ..row.clone()
        })
        .collect();
    let time_ns = moment.snapshot.time_ns;
    memory.past.take_rows(1, &Answer { number: 7, rows, found: 60, time_ns, whole: true });
    let mut snapshot = busy_screen().0;
    snapshot.time_ns += S;
    memory.past.take(&snapshot, &snapshot, &moment.coverage, &Default::default());
    let now = Moment { snapshot: Arc::new(snapshot), ..moment.clone() };
    let mut state = State::new(style(), Bars::default());
    let seen = press_all(&mut state, &memory, &now, &[Key::F(2), Key::Left]);
    assert!(seen.contains("by 2 s average, 1-3 of 3, of 3 kept by rate, as they were"), "{seen}");
    let places = ["198.51.100.53", "198.51.100.9", "198.51.100.2 "].map(|ip| seen.find(ip).expect("a row"));
    assert!(places.is_sorted(), "{seen}");
}

/// Averages of rows that are kept since a key was pressed are over no more than that.
#[test]
fn averages_say_since_when_they_are_until_they_are_whole() {
    let with = |young_ns| {
        let mut snapshot = pairs().snapshot.as_ref().clone();
        snapshot
            .rows
            .iter_mut()
            .flat_map(|row| &mut row.averages)
            .for_each(|known| known.young_ns = young_ns);
        let moment = Moment { snapshot: Arc::new(snapshot), ..pairs() };
        let mut state = State::new(style(), Bars::default());
        state.press(Key::F(2), Some(&moment), &run());
        text(&drawn(&mut state, &moment, ALL, (80, 24)))
    };
    let told = with(Some(3 * S + 200));
    assert!(told.contains("Hosts by 2 s average, 1-3 of 3, averages begun 3 s ago\n"), "{told}");
    assert!(with(None).contains("Hosts by 2 s average, 1-3 of 3\n"));
}

/// What TCP acknowledged and never came by may be what a filter left out: the page of links
/// says so where one was in force before that moment, also when it is not any more.
#[test]
fn what_a_filter_may_have_left_out_is_not_called_lost() {
    let (mut snapshot, _) = busy_screen();
    snapshot.interfaces[1].missing_bytes = [0, 567_023_584];
    let now_ns = snapshot.time_ns;
    let with = |filtered_ns, missing: bool| {
        let mut moment = Moment { snapshot: Arc::new(snapshot.clone()), ..moment() };
        moment.context.filtered_ns = filtered_ns;
        if !missing {
            let mut snapshot = snapshot.clone();
            snapshot.interfaces[1].missing_bytes = [0; 2];
            snapshot.interfaces[1].capture = Default::default();
            moment.snapshot = Arc::new(snapshot);
            moment.coverage = vec![Default::default(); 2];
        }
        let run = Run { filter: None, ..run() };
        let mut state = State::new(style(), Bars::default());
        state.press(Key::F(5), Some(&moment), &run);
        let mut buffer = Buffer::empty(Rect::new(0, 0, 120, 60));
        draw(&mut state, Some(&moment), &run, &memory(&moment), ALL, &mut buffer);
        unbroken(&text(&buffer))
    };
    let lost = "eth1: may be short: TCP acknowledged 567,023,584 bytes that were not seen here";
    let by_filter = ", which a filter that was in force may have left out";
    for (filtered_ns, told) in
        [(Some(0), true), (Some(now_ns), true), (Some(now_ns + 1), false), (None, false)]
    {
        let seen = with(filtered_ns, true);
        assert!(seen.contains(lost) && seen.contains(by_filter) == told, "{seen}");
    }
    let seen = with(Some(0), false);
    assert!(seen.contains("eth1: coverage not known: a filter was in force, and nothing"), "{seen}");
    // What is known again is not of the whole run.
    let mut part = moment();
    part.context.filtered_ns = Some(0);
    part.coverage[0][1].part = true;
    let mut state = State::new(style(), Bars::default());
    state.press(Key::F(5), Some(&part), &run());
    let seen = unbroken(&text(&drawn(&mut state, &part, ALL, (120, 60))));
    assert!(seen.contains("eth0: coverage is of the time since no filter is in force"), "{seen}");
    let seen = with(None, false);
    assert!(seen.contains("eth1: coverage not known: the interface's own counters are not"), "{seen}");
}

/// A moment that is looked back at knows no note of later, and those of before by their
/// age then.
#[test]
fn the_past_has_the_notes_of_then() {
    let moment = moment();
    let (mut memory, mut state) = (memory(&moment), State::new(style(), Bars::default()));
    let now_ns = moment.snapshot.time_ns;
    let mut note = |back: u64, message: &str| {
        let (time_ns, message) = (now_ns - back * S, message.to_owned());
        memory.note(&Notice { time_ns, event: "filter_changed", message, ..Notice::default() });
    };
    note(70, "filter changed to 'tcp'");
    note(10, "filter changed to none");
    let mut press = |keys: &[Key]| press_all(&mut state, &memory, &moment, keys);
    assert!(press(&[]).contains("Note 10 s ago: filter changed to none"));
    let seen = press(&[Key::Left, Key::Char('[')]);
    assert!(seen.contains("PAST") && seen.contains("Note 9 s before: filter changed to 'tcp'"), "{seen}");
    let seen = press(&[Key::Left; 9]);
    assert!(seen.contains("PAST") && seen.contains("\nNote: filter changed to 'tcp'"), "{seen}");
    let seen = press(&[Key::Left]);
    assert!(seen.contains("PAST") && !seen.contains("Note"), "{seen}");
    // Nor the filter of now, where another one was in force then.
    assert!(!seen.contains(", only tcp or udp"), "{seen}");
    let seen = press(&[Key::Escape]);
    assert!(
        seen.contains("Note 10 s ago: filter changed to none") && seen.contains(", only tcp or"),
        "{seen}"
    );
}

/// Rows change places from one interval to the next; Enter opens what the cursor was seen on.
#[test]
fn the_cursor_stays_with_its_row_while_that_is_on_the_page() {
    let before = moment();
    let mut other = busy_screen().0;
    other.rows.reverse();
    let after = Moment { snapshot: Arc::new(other.clone()), ..before.clone() };
    other.rows.truncate(2);
    let gone = Moment { snapshot: Arc::new(other), ..before.clone() };
    let (memory, mut state) = (memory(&before), State::new(style(), Bars::default()));
    let mut look = |moment: &Moment, key: Option<Key>| {
        key.map(|key| state.press(key, Some(moment), &run()));
        under(&drawn_with(&memory, &mut state, moment, ALL, (120, 40)))
    };
    assert!(look(&before, None).contains(":443"));
    assert!(look(&after, None).contains(":443"), "it goes with its row");
    assert!(look(&after, Some(Key::Up)).contains(":53"), "a key goes on from there");
    assert!(look(&before, None).contains(":53"));
    assert!(look(&before, Some(Key::Up)).contains(":443"));
    assert!(look(&gone, None).contains("198.51.100.9"), "without it the line");
    assert!(look(&after, None).contains("198.51.100.9"));
    // Another order begins at its top.
    assert!(look(&before, None).contains("198.51.100.9"));
    assert!(look(&before, Some(Key::Char('s'))).contains(":443"));
}
