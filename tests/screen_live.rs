//! The screen on live interfaces, on a real terminal: traffic of namespaces, keys,
//! a pause while counting goes on, and the totals that are printed at the end.

#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;
#[path = "common/terminal.rs"]
mod terminal;

use frames::*;
use live::netns::Netns;
use live::{PROGRAM, pair};
use rustix::process::Signal;
use serde_json::Value;
use terminal::OnTerminal;

/// Frames of so many UDP flows, each with `port` on one end.
fn send(near: &Netns, flows: u8, frames: u32, port: u16) {
    let mut injector = near.injector("v0");
    for n in 0..frames {
        let ends = Ends::v4(([198, 18, 0, (n % u32::from(flows)) as u8 + 1], port), ([198, 19, 0, 1], 53));
        injector.send(&ethernet(&[], 0x0800, &ip(ends, UDP, &udp(ends, 100))));
    }
}

fn start(near: &Netns, arguments: &str, columns: u16, lines: u16) -> OnTerminal {
    OnTerminal::start(near.command(&format!("exec {PROGRAM} {arguments}")), columns, lines)
}

#[test]
fn a_terminal_has_the_screen_of_its_own_accord() {
    let Some((near, far)) = pair("a_terminal_has_the_screen_of_its_own_accord") else { return };
    near.veth("v0", &far, "w0");
    // Nothing but tcptrack's words.
    let mut screen = start(&near, "-i v0", 80, 24);
    let text = screen.wait("figures", |text| text.contains(" Connections by rate"));
    assert!(text.lines().any(|line| line.starts_with("v0 ")), "{text}");
    assert!(text.contains("Coverage") && text.contains("Figures"), "{text}");
    // A second later they are silent, and there all the same.
    send(&near, 3, 30, 4000);
    screen.wait("rows", |text| text.contains("198.18.0.3:4000 → 198.19.0.1:53"));
    let silent = |line: &str| line.split_whitespace().nth(1) == Some("0");
    screen
        .wait("silence", |text| text.lines().any(|line| line.contains("198.18.0.3:4000 →") && silent(line)));
    screen.keys("q");
    let (status, text) = screen.end();
    assert_eq!(status.code(), Some(0), "{text}");
    assert!(text.contains("Stopped after"), "{text}");
}

#[test]
fn a_pause_keeps_rows_and_counting_goes_on() {
    let Some((near, far)) = pair("a_pause_keeps_rows_and_counting_goes_on") else { return };
    near.veth("v0", &far, "w0");
    let mut screen = start(&near, "-i v0 --sort bytes --interval 0.2", 120, 40);
    screen.wait("the screen", |text| text.contains(" Connections by bytes"));
    send(&near, 2, 40, 4000);
    screen.wait("two flows", |text| text.contains("198.18.0.2:4000") && text.contains("1-2 of 2"));
    screen.keys("p");
    let paused = screen.wait("the pause", |text| text.contains("PAUSED"));
    let row = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.contains("198.18.")).map(str::to_owned).collect()
    };
    send(&near, 5, 500, 5000);
    // The header goes on: five flows more are there, and none of them in a row.
    let later = screen.wait("flows in the header", |text| text.contains("7 flows"));
    assert_eq!(row(&later), row(&paused));
    screen.keys(" ");
    screen.wait("the new rows", |text| text.contains("1-7 of 7") && text.contains("198.18.0.5:5000"));
    screen.signal(Signal::TERM);
    let (status, text) = screen.end();
    assert_eq!(status.code(), Some(0), "{text}");
    let sent = text.lines().find(|line| line.trim_start().starts_with("tx")).expect("a table");
    assert!(sent.contains(" 540 "), "every packet is counted: {text}");
}

#[test]
fn views_show_what_passes_and_a_resize_keeps_it() {
    let Some((near, far)) = pair("views_show_what_passes_and_a_resize_keeps_it") else { return };
    near.veth("v0", &far, "w0");
    let mut screen = start(&near, "-i v0 --sort bytes --interval 0.5", 120, 40);
    screen.wait("the screen", |text| text.contains(" Connections by bytes"));
    send(&near, 4, 400, 4000);
    screen.wait("four flows", |text| text.contains("1-4 of 4"));
    screen.keys("\x1bOQ");
    let text = screen.wait("pairs with averages", |text| {
        text.contains(" Hosts") && text.contains("198.18.0.4") && text.contains("40s bit/s")
    });
    assert!(text.contains("=>") && text.contains("<="), "{text}");
    // Sums since the start, though the view was asked for later: 100 packets of 142 bytes.
    screen.keys("T");
    screen.wait("sums", |text| text.lines().filter(|line| line.contains("14.2k")).count() == 4);
    screen.keys("S");
    screen.wait("ports", |text| text.contains("198.18.0.4:4000") && !text.contains("198.19.0.1:53"));
    screen.keys("D");
    screen.wait("both ports", |text| text.contains("198.18.0.4:4000") && text.contains("198.19.0.1:domain"));
    screen.keys("N");
    screen.wait("numbers", |text| text.contains("198.19.0.1:53"));
    screen.keys("/0\\.4:\r");
    screen.wait("one row", |text| text.contains("1-1 of 1 that match") && !text.contains("198.18.0.3:4000"));
    screen.resize(80, 24);
    // Drawn anew: its last line was below what is left. A key that came together with the
    // size might not be read before the next one.
    screen.wait("a smaller one", |text| {
        text.contains("1-1 of 1 that match") && text.contains("q quit") && text.lines().count() <= 24
    });
    screen.keys("\x1b");
    screen.wait("all again", |text| text.contains("1-4 of 4"));
    for (key, title) in [("\x1bOR", " Destinations"), ("\x1bOS", " Handshakes"), ("\x1b[15~", " Links")] {
        screen.keys(key);
        screen.wait(title, |text| text.lines().any(|line| line.starts_with(title)));
    }
    screen.keys("q");
    let (status, text) = screen.end();
    assert_eq!(status.code(), Some(0), "{text}");
    assert!(text.contains(" 400 "), "{text}");
}

/// Sums of `tx` packets and type of the last line of a log, whole lines only.
fn logged(path: &std::path::Path) -> (u64, String) {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    lines.fold((0, String::new()), |(sum, _), line| {
        let kind = line["type"].as_str().expect("a type").to_owned();
        let packets = if kind == "interface" { live::number(&line["tx"]["packets"]) } else { 0 };
        (sum + packets, kind)
    })
}

/// Ten times a second, with what the last second had: a rate stays though what it is
/// of comes once in half a second.
#[test]
fn fast_rates_are_those_of_the_last_second() {
    let Some((near, far)) = pair("fast_rates_are_those_of_the_last_second") else { return };
    near.veth("v0", &far, "w0");
    let mut screen = start(&near, "-i v0 --fast", 120, 40);
    screen.wait("the screen", |text| text.contains(" Connections by rate"));
    let rate = |text: &str| -> Option<String> {
        let line = text.lines().find(|line| line.contains("198.18.0.1:4000"))?;
        line.split_whitespace().nth(1).map(str::to_owned)
    };
    screen.wait("a whole second", |text| text.contains(" UTC, 2."));
    // 20 packets of 142 bytes in one tenth of a second or two: 22,720 bits.
    send(&near, 1, 20, 4000);
    let first = screen.wait("a rate", |text| rate(text).is_some_and(|rate| rate == "22.7k"));
    let time = |text: &str| text.lines().next().unwrap_or_default().chars().take(40).collect::<String>();
    let later = screen.wait("the next frame", |text| time(text) != time(&first));
    assert!(rate(&later).is_some(), "{later}");
    screen.wait("silence", |text| rate(text).is_some_and(|rate| rate == "0"));
    screen.keys("q");
    assert_eq!(screen.end().0.code(), Some(0));
    let done = near.command(&format!("exec {PROGRAM} -i v0 --fast -o json")).output().expect("it starts");
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("--fast needs the screen"));
}

/// A connection that was closed stays for a while, and says so; then it goes.
#[test]
fn closed_connections_linger() {
    let Some((near, far)) = pair("closed_connections_linger") else { return };
    near.veth("v0", &far, "w0");
    let mut screen = start(&near, "-i v0 --linger 4 --interval 0.2", 120, 40);
    screen.wait("the screen", |text| text.contains(" Connections by rate"));
    let there = Ends::v4(([198, 18, 0, 1], 40_000), ([198, 19, 0, 1], 443));
    let back = Ends::v4(([198, 19, 0, 1], 443), ([198, 18, 0, 1], 40_000));
    let (syn, fin, ack) = (2u8, 1u8, 16u8);
    let segments = [
        (there, 100, 0, syn),
        (back, 500, 101, syn | ack),
        (there, 101, 501, ack),
        (there, 101, 501, fin | ack),
        (back, 501, 102, fin | ack),
        (there, 102, 502, ack),
    ];
    let mut injector = near.injector("v0");
    for (ends, sequence, acknowledged, flags) in segments {
        let segment = tcp(ends, sequence, acknowledged, flags, 0);
        injector.send(&ethernet(&[], 0x0800, &ip(ends, TCP, &segment)));
    }
    send(&near, 1, 1, 4000);
    let text = screen.wait("closed", |text| text.lines().any(|line| line.starts_with("done ")));
    assert!(text.contains(" Idle "), "{text}");
    // In the table it is for ten seconds, in no list.
    let text = screen.wait("gone", |text| !text.contains("40000"));
    assert!(text.contains("198.18.0.1:4000"), "what is open stays: {text}");
    screen.keys("q");
    assert_eq!(screen.end().0.code(), Some(0));
}

/// Another filter is the kernel's at once, a broken one is told with its place, and
/// every packet counts by the one that took it.
#[test]
fn the_capture_filter_is_changed_while_it_runs() {
    let Some((near, far)) = pair("the_capture_filter_is_changed_while_it_runs") else { return };
    near.veth("v0", &far, "w0");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lines.json");
    let arguments =
        format!("-i v0 -o tui --workers 2 --log-file {} --interval 0.2 port 4000", path.display());
    let mut screen = start(&near, &arguments, 120, 40);
    screen.wait("the screen", |text| text.contains("only port 4000"));
    let flows = |text: &str, count: u32| text.contains(&format!("of {count}"));
    send(&near, 3, 30, 4000);
    send(&near, 3, 30, 5000);
    screen.wait("three flows", |text| flows(text, 3));
    screen.keys("f");
    screen.wait("the input line", |text| text.contains("capture filter: port 4000_"));
    screen.keys(" or or\r");
    let text = screen.wait("what is wrong", |text| text.contains("still in force"));
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.contains("syntax error")).expect("a sentence");
    let (shown, mark) = (lines[at + 1], lines[at + 2]);
    assert_eq!(shown.trim(), "port 4000 or or");
    assert_eq!(mark.find('^'), shown.rfind("or"), "{text}");
    // What is in force still counts, and nothing else does.
    screen.keys("\x15port 5000\r");
    screen.wait("the new one", |text| text.contains("only port 5000"));
    send(&near, 5, 50, 4000);
    send(&near, 5, 50, 5000);
    screen.wait("eight flows", |text| flows(text, 8));
    screen.keys("f");
    screen.wait("the input line", |text| text.contains("capture filter: port 5000_"));
    screen.keys("\x15\r");
    screen.wait("none", |text| !text.contains("only port") && !text.contains("capture filter:"));
    send(&near, 2, 20, 6000);
    screen.wait("ten flows", |text| flows(text, 10));
    screen.wait("compared again", |text| text.contains("100.00 %"));
    screen.keys("q");
    assert_eq!(screen.end().0.code(), Some(0));
    assert_eq!(logged(&path), (30 + 50 + 20, "stop".to_owned()));
    let log = std::fs::read_to_string(&path).expect("a log");
    let changes = log.lines().filter(|line| line.contains("\"filter_changed\""));
    let changes: Vec<&str> = changes.collect();
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(changes[0].contains("from 'port 4000' to 'port 5000'") && changes[1].contains("to none"));
    // Coverage is known of intervals without a filter, not of a run that had one.
    let (of_filter, of_none) = log.split_at(log.find(changes[1]).expect("its line"));
    let known = |part: &str| {
        let lines = part.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let lines = lines.filter(|line| line["type"] == "interface");
        lines.filter(|line| !line["capture"]["coverage_ratio"].is_null()).count()
    };
    assert_eq!(known(of_filter), 0);
    assert!(known(of_none) > 0, "{of_none}");
    let stop: Value = serde_json::from_str(log.lines().last().expect("a line")).expect("JSON");
    assert!(stop["interfaces"][0]["capture"]["coverage_ratio"].is_null(), "{stop}");
}

#[test]
fn a_stuck_terminal_loses_frames_and_no_count() {
    let Some((near, far)) = pair("a_stuck_terminal_loses_frames_and_no_count") else { return };
    near.veth("v0", &far, "w0");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lines.json");
    let arguments = format!("-i v0 -o tui --log-file {} --interval 0.1", path.display());
    let mut screen = start(&near, &arguments, 200, 50);
    screen.wait("the screen", |text| text.contains(" Connections by rate"));
    screen.hold(true);
    // Views and help, over and over: more than any terminal keeps.
    for _ in 0..40 {
        screen.keys("?\x1b[Z");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for _ in 0..5 {
        send(&near, 5, 100, 4000);
    }
    live::netns::wait("all in the log", || logged(&path).0 == 500);
    screen.hold(false);
    screen.keys("q");
    let (status, text) = screen.end();
    assert_eq!(status.code(), Some(0), "{text}");
    assert_eq!(logged(&path), (500, "stop".to_owned()));
    assert!(text.contains(" 500 "), "{text}");
}

#[test]
fn a_second_signal_ends_it_though_the_terminal_is_stuck() {
    let Some((near, far)) = pair("a_second_signal_ends_it_though_the_terminal_is_stuck") else { return };
    near.veth("v0", &far, "w0");
    let mut screen = start(&near, "-i v0 --interval 0.1", 200, 50);
    screen.wait("the screen", |text| text.contains(" Connections by rate"));
    screen.hold(true);
    for _ in 0..40 {
        screen.keys("?\x1b[Z");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // Within half a second of the first one's being heard it is the same one.
    for _ in 0..20 {
        screen.signal(Signal::TERM);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let code = screen.ended();
    assert!(matches!(code, Some(0 | 1)), "{code:?}");
}

#[test]
fn a_window_that_is_closed_ends_it_and_its_log_is_whole() {
    let Some((near, far)) = pair("a_window_that_is_closed_ends_it_and_its_log_is_whole") else { return };
    near.veth("v0", &far, "w0");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lines.json");
    for log in [String::new(), format!("--log-file {}", path.display())] {
        let screen = start(&near, &format!("-i v0 -o tui {log} --interval 0.1"), 80, 24);
        screen.wait("the screen", |text| text.contains(" Connections by rate"));
        let status = screen.hang_up();
        assert!(status.code().is_some(), "it ends by itself: {status}");
    }
    assert_eq!(logged(&path).1, "stop");
}

#[test]
fn what_was_a_moment_ago_is_looked_back_at() {
    let Some((near, far)) = pair("what_was_a_moment_ago_is_looked_back_at") else { return };
    near.veth("v0", &far, "w0");
    let mut screen = start(&near, "-i v0", 120, 40);
    screen.wait("the screen", |text| text.contains(" Connections by rate"));
    send(&near, 3, 300, 4000);
    let row = |text: &str| text.lines().find(|line| line.contains("198.18.0.3:4000 →")).map(str::to_owned);
    let rate = |line: &str| line.split_whitespace().nth(1).map(str::to_owned);
    let silent = |text: &str| row(text).is_some_and(|line| rate(&line).as_deref() == Some("0"));
    screen.wait("rows", |text| row(text).is_some());
    screen.wait("silence", silent);
    // Second by second, until the one in which they spoke is there.
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        assert!(std::time::Instant::now() < limit, "{}", screen.text());
        screen.keys("\x1b[D");
        let text = screen.wait("the past", |text| text.contains("fullcount PAST"));
        if row(&text).is_some_and(|line| rate(&line).as_deref() != Some("0")) {
            assert!(text.contains("as they were"), "{text}");
            break;
        }
    }
    // It stays there while time goes on, in another view too.
    let then = |text: &str| text.lines().next().map(|line| line.split(',').next().unwrap_or("").to_owned());
    let before = then(&screen.text());
    screen.keys("\x1bOQ");
    let text = screen.wait("pairs of then", |text| text.contains(" Hosts") && text.contains("198.18.0.3"));
    assert_eq!(then(&text), before, "{text}");
    screen.keys("\x1bOR");
    screen.wait("what is not kept", |text| text.contains("connections and pairs are kept"));
    // Back to now, by Esc and by going on beyond it.
    screen.keys("\x1b");
    screen.wait("now", |text| !text.contains("PAST"));
    screen.keys("\x1b[D");
    screen.wait("the past", |text| text.contains("PAST"));
    screen.keys("]");
    screen.wait("now", |text| !text.contains("PAST"));
    screen.keys("q");
    let (status, text) = screen.end();
    assert_eq!(status.code(), Some(0), "{text}");
    assert!(text.contains(" 300 "), "{text}");
}
