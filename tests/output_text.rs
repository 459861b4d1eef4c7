//! Text from hand-made snapshots: goldens, and what must hold of any of them.
//!
//! `FULLCOUNT_WRITE=1 cargo test --test output_text` writes the goldens anew.

#[path = "common/golden.rs"]
mod golden;
#[allow(dead_code)]
#[path = "common/snapshots.rs"]
mod snapshots;

use fullcount::aggregate::snapshot::{RowName, Snapshot};
use fullcount::config::{By, Unit};
use fullcount::decode::protocol;
use fullcount::flow::tcp::TcpState;
use fullcount::meter::loss::Reason;
use fullcount::meter::totals::LaneTotals;
use fullcount::output::text::Text;
use fullcount::output::{Context, Coverages, Notice, Output, Start, StopReason, Style};
use golden::same_as_file;
use snapshots::*;
use std::io;

fn run(
    style: Style,
    start: &Start,
    all: &[(Snapshot, Coverages)],
    context: &Context,
    end: StopReason,
) -> String {
    let mut text = Vec::new();
    let mut output = Text::new(&mut text, style);
    output.start(start, context).unwrap();
    for (snapshot, coverage) in all {
        output.snapshot(snapshot, coverage, context).unwrap();
    }
    let (last, coverage) = all.last().unwrap();
    output.stop(&end, last, coverage, context).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    assert!(text.lines().all(|line| line.trim_end() == line), "spaces at the end of a line:\n{text}");
    text
}

fn live(style: Style, snapshot: Snapshot) -> String {
    run(style, &start(), &[(snapshot, Vec::new())], &context(), StopReason::Signal)
}

#[test]
fn a_live_run() {
    let all = [busy()];
    same_as_file("live.txt", &run(style(), &start(), &all, &context(), StopReason::Signal));
    let bytes = Style { unit: Unit::Bytes, ..style() };
    same_as_file("live_bytes.txt", &run(bytes, &start(), &all, &context(), StopReason::Duration));
}

/// What a file of one interface gives.
fn file() -> Snapshot {
    let (mut snapshot, _) = busy();
    snapshot.interval_ns = 0;
    snapshot.time_ns = NINE + 61_200_000_000;
    snapshot.interfaces.truncate(1);
    let figures = &mut snapshot.interfaces[0];
    figures.total[1] = LaneTotals::default();
    figures.total[0].estimated = 40;
    figures.total[0].untracked[Reason::FragmentWithoutFirst as usize] = count(1, 60);
    snapshot.table.active = 0;
    let second = snapshot.rows[0].clone();
    let longest = key_v4(protocol::TCP, ([192, 168, 100, 101], 51812), ([192, 168, 100, 102], 50443));
    snapshot
        .rows
        .insert(0, connection_row(longest, Some(TcpState::HalfClosedClient), second.total, second.total));
    for row in &mut snapshot.rows {
        row.interval = row.total;
    }
    snapshot
}

#[test]
fn a_whole_file() {
    let whole = Style { whole: true, top: 4, ..style() };
    let text = run(whole, &Start::default(), &[(file(), Vec::new())], &file_context(), StopReason::EndOfFile);
    same_as_file("file.txt", &text);
}

#[test]
fn ipv4_connections_of_one_interface_fit_80_columns() {
    let whole = Style { whole: true, ..style() };
    let text = run(whole, &Start::default(), &[(file(), Vec::new())], &file_context(), StopReason::EndOfFile);
    let rows: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
    assert!(rows.iter().any(|line| line.contains("192.168.100.101:51812 → 192.168.100.102:50443")));
    for line in rows {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn destinations_have_trtops_columns() {
    let mut snapshot = empty(NINE + S);
    snapshot.destinations = Some(destinations());
    let both = [count(3, 3_000_000), count(1, 100)];
    snapshot.rows = vec![group_row(RowName::Destination(v4(2)), both, both)];
    let text = live(Style { by: By::Destination, ..style() }, snapshot.clone());
    same_as_file("destinations.txt", &text);
    // Before anything was seen, and where no row is wanted, there is no table.
    let hidden = live(Style { by: By::Destination, top: 0, ..style() }, snapshot.clone());
    snapshot.destinations = Some(Default::default());
    let silent = live(Style { by: By::Destination, ..style() }, snapshot);
    assert!(!hidden.contains("SYN/s") && !silent.contains("SYN/s"), "{hidden}{silent}");
}

#[test]
fn every_grouping_names_its_rows() {
    let both = [count(3, 3_000_000), count(1, 100)];
    let names = [
        (
            By::Pair,
            RowName::Pair(v4(1), v4(2)),
            "→bit/s ←bit/s Bytes Pkts  Address → address",
            "192.0.2.1 → 192.0.2.2",
        ),
        (By::Host, RowName::Host(v4(1)), "to bit/s from bit/s Bytes Pkts  Host", "192.0.2.1"),
        (
            By::Destination,
            RowName::Destination(v4(2)),
            "to bit/s from bit/s Bytes Pkts  Destination",
            "192.0.2.2",
        ),
        (By::Port, RowName::Port(protocol::TCP, 443), "to bit/s from bit/s Bytes Pkts  Port", "443/tcp"),
        (By::Port, RowName::Port(protocol::ICMP, 0), "to bit/s from bit/s Bytes Pkts  Port", "icmp"),
        (By::Interface, RowName::Interface(1), "rx bit/s tx bit/s Bytes Pkts  Interface", "eth1"),
    ];
    for (by, name, heading, shown) in names {
        let mut snapshot = empty(NINE + S);
        snapshot.rows = vec![group_row(name, both, both)];
        let text = live(Style { by, ..style() }, snapshot);
        let squeezed: Vec<String> = text
            .lines()
            .map(|line| {
                line.split("  ").filter(|part| !part.is_empty()).map(str::trim).collect::<Vec<_>>().join(" ")
            })
            .collect();
        let expected = heading.replace("  ", " ");
        assert!(squeezed.contains(&expected), "{expected}\n{text}");
        assert!(squeezed.contains(&format!("24.0M 800 3.00M 4 {shown}")), "{text}");
    }
}

#[test]
fn ipv6_and_vlans_stand_behind_the_figures() {
    let ip = |text: &str| text.parse().unwrap();
    let key = key_v6(protocol::TCP, (ip("2001:db8::1:2:3:4"), 51812), (ip("2001:db8:ffff::443"), 443));
    let mut tagged = web();
    tagged.0.words[4] |= 100;
    let now = [count(1, 100), count(1, 100)];
    let mut snapshot = empty(NINE + S);
    snapshot.rows = vec![
        connection_row(key, Some(TcpState::Established), now, now),
        connection_row(tagged, Some(TcpState::Established), now, now),
    ];
    let text = live(style(), snapshot);
    assert!(text.contains("  [2001:db8::1:2:3:4]:51812 → [2001:db8:ffff::443]:443\n"), "{text}");
    assert!(text.contains("  192.0.2.7:40112 → 198.51.100.2:443 vlan 100\n"), "{text}");
}

#[test]
fn what_is_below_the_fold_is_told() {
    let (mut snapshot, _) = busy();
    let short = Style { top: 3, ..style() };
    assert!(!live(style(), snapshot.clone()).contains("shown"));
    snapshot.rows_found = 3120;
    assert!(live(short, snapshot.clone()).contains("\n3 of 3,120 shown\n"));
    let none = live(Style { top: 0, ..style() }, snapshot.clone());
    assert!(!none.contains("Client") && !none.contains("shown"));
    snapshot.rows = Vec::new();
    assert!(live(style(), snapshot).contains("\nNo traffic in this interval.\n"));
}

#[test]
fn every_loss_is_said_beside_the_figures() {
    let (mut snapshot, coverage) = busy();
    snapshot.table.evicted = 5;
    snapshot.table.unreported = 2;
    snapshot.table.unreported_count = count(7, 700);
    for reason in [Reason::TableFull, Reason::Malformed] {
        snapshot.interfaces[1].total[0].untracked[reason as usize] = count(1, 60);
    }
    let text = run(style(), &start(), &[(snapshot, coverage)], &context(), StopReason::Signal);
    for said in [
        "eth0: 0 dropped by the kernel, coverage 100.00 %",
        "eth1: may be short: 1,204 frames (0.3 %) dropped by the kernel, the ring was full (1 time): --ring-mib 512; coverage 99.70 %",
        "eth0: in no flow: not IP 12 packets (720 bytes)",
        "eth1: in no flow: malformed 1 packet (60 bytes), table full 1 packet (60 bytes)",
        "5 flows pushed out early, as the flow table was full (--max-flows)",
        "2 flows ended unseen (7 packets, 700 bytes): rows are short by that",
        "Not IP: ARP 10 packets (600 bytes), LLDP 2 packets (120 bytes)",
    ] {
        assert!(text.contains(&format!("\n{said}\n")), "{said}\n--- is not in\n{text}");
    }
}

/// What a filter left out is not said to be lost, nor when it has been taken away since.
#[test]
fn what_a_filter_may_have_left_out_is_said() {
    let (mut snapshot, coverage) = busy();
    snapshot.interfaces[1].missing_bytes = [0, 5000];
    let told = |filtered_ns| {
        let context = Context { filtered_ns, ..context() };
        run(style(), &start(), &[(snapshot.clone(), coverage.clone())], &context, StopReason::Signal)
    };
    let lost = "eth1: may be short: TCP acknowledged 5,000 bytes that were not seen here";
    assert!(told(None).contains(&format!("\n{lost}\n")), "{}", told(None));
    let explained = format!("\n{lost}, which a filter that was in force may have left out\n");
    assert!(told(Some(7)).contains(&explained), "{}", told(Some(7)));
}

#[test]
fn nothing_at_all_is_no_fault() {
    let whole = Style { whole: true, ..style() };
    let mut snapshot = empty(0);
    (snapshot.start_ns, snapshot.interval_ns) = (0, 0);
    let text =
        run(whole, &Start::default(), &[(snapshot, Vec::new())], &Context::default(), StopReason::EndOfFile);
    assert!(text.starts_with("No traffic.\n"), "{text}");
    let mut late = empty(u64::MAX);
    let most = LaneTotals {
        count: count(u64::MAX / 4, u64::MAX / 4),
        line_bytes: u64::MAX,
        ..LaneTotals::default()
    };
    late.interfaces = vec![interface(7, most, most)];
    late.rows =
        vec![connection_row(web(), None, [count(u64::MAX, u64::MAX); 2], [count(u64::MAX, u64::MAX); 2])];
    let text = run(style(), &start(), &[(late, Vec::new())], &Context::default(), StopReason::Error);
    assert!(text.contains("\nEnded by an error after "), "{text}");
}

/// Live it is told at the start, of a whole file below its table: once.
#[test]
fn links_without_a_speed_are_named_once() {
    let context = Context { bursts_by_share: true, ..file_context() };
    let sentence = "The speed of a.pcap is not known, so nothing there can be called full: \
                    --link-speed a.pcap=1G tells it, --burst-threshold RATE does without.";
    let notice = Notice { event: "speed_unknown", message: sentence.to_owned(), ..Notice::default() };
    for whole in [false, true] {
        let style = Style { whole, ..style() };
        let mut out = Vec::new();
        Text::new(&mut out, style).notice(&notice, &context).unwrap();
        let stop = [(empty(1), Vec::new())];
        let text = run(style, &Start::default(), &stop, &context, StopReason::EndOfFile);
        let told = String::from_utf8(out).expect("text") + &text;
        assert_eq!(told.matches(sentence).count(), 1, "{told}");
        assert_eq!(told.starts_with("Note: The speed"), !whole, "{told}");
    }
    let told = run(
        Style { whole: true, ..style() },
        &Start::default(),
        &[(empty(1), Vec::new())],
        &file_context(),
        StopReason::EndOfFile,
    );
    assert!(!told.contains("not known"), "by a rate none is missing: {told}");
}

#[test]
fn a_name_cannot_move_the_cursor() {
    let mut context = context();
    context.links[0].name = "eth0\u{1b}[2J\u{9b}31m\n\u{202e}".to_owned();
    let told = Start { reason: "eth0\u{1b}[2J is up.".to_owned(), ..start() };
    let text = run(style(), &told, &[busy()], &context, StopReason::Signal);
    assert!(text.contains("eth0\u{fffd}[2J\u{fffd}31m\u{fffd}\u{fffd}"), "{text}");
    let mut out = Vec::new();
    let notice = Notice { message: "gone\u{1b}c".to_owned(), ..Notice::default() };
    Text::new(&mut out, style()).notice(&notice, &context).unwrap();
    assert_eq!(out, "Note: gone\u{fffd}c\n".as_bytes());
}

#[test]
fn a_closed_pipe_is_told_to_the_caller() {
    struct Closed;
    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = Text::new(Closed, style()).start(&start(), &context()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}
