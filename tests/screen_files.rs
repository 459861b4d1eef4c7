//! The screen on files, on a real terminal: the end state, every view, every key
//! that the footer names, sizes, and the terminal as it was before.

#[path = "common/frames.rs"]
mod frames;
#[path = "common/terminal.rs"]
mod terminal;

use frames::*;

use rustix::process::Signal;
use std::process::Command;
use terminal::OnTerminal;

fn on(fixture: &str, more: &[&str], columns: u16, lines: u16) -> OnTerminal {
    let path = format!("{}/fixtures/{fixture}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_fullcount"));
    command.args(["-r", &path, "-o", "tui"]).args(more);
    OnTerminal::start(command, columns, lines)
}

#[test]
fn a_file_is_shown_in_all_views_and_the_summary_is_printed_at_the_end() {
    let mut screen = on("http_v4.pcap", &[], 80, 24);
    let text = screen.wait("connections", |text| text.contains(" Connections by rate"));
    assert!(screen.is_alternate());
    assert!(text.contains("198.18.0.1:43258 → 198.18.1.2:80") || text.contains(":80"), "{text}");
    assert!(text.contains("good"), "{text}");
    for (key, title) in [
        ("\t", " Hosts"),
        ("\t", " Destinations"),
        ("\t", " Handshakes"),
        ("\t", " Links"),
        ("\t", " Bursts"),
        ("\t", " Connections"),
        ("\x1b[Z", " Bursts"),
        ("\x1bOP", " Connections"),
        ("\x1bOQ", " Hosts"),
    ] {
        screen.keys(key);
        screen.wait(title, |text| text.lines().any(|line| line.starts_with(title)));
    }
    let text = screen.wait("pairs", |text| text.contains("=>"));
    assert!(text.contains("<=") && text.contains("Totals"), "{text}");
    screen.keys("?");
    screen.wait("help", |text| text.contains("Keys of Hosts"));
    screen.keys("x");
    screen.wait("no help", |text| !text.contains("Keys of Hosts"));
    screen.keys("q");
    let (status, text) = screen.end();
    assert_eq!(status.code(), Some(0));
    assert!(text.contains("All read"), "{text}");
}

#[test]
fn sorting_and_the_filter_change_rows_and_no_total() {
    let mut screen = on("http_v4.pcap", &[], 120, 40);
    let before = screen.wait("connections", |text| text.contains(" Connections by rate"));
    let total = before.lines().nth(2).expect("a link").to_owned();
    for order in ["by bytes", "by packets", "by name", "by rate"] {
        screen.keys("s");
        screen.wait(order, |text| text.contains(&format!(" Connections {order}")));
    }
    screen.keys("/no such address");
    let none = screen.wait("no hit", |text| text.contains("0 of 0 that match /no such address/"));
    assert_eq!(none.lines().nth(2), Some(total.as_str()), "totals do not change");
    assert!(none.contains("Nothing matches /no such address/"), "{none}");
    screen.keys("\x15(:80");
    screen.wait("a wrong pattern", |text| text.contains("not a regular expression"));
    screen.keys("\x15:80 ");
    screen.wait("hits", |text| text.contains("that match /:80 /") && !text.contains("0 of 0"));
    screen.keys("\r");
    screen.wait("the footer", |text| text.contains("q quit"));
    screen.keys("\x1b");
    screen.wait("no filter", |text| !text.contains("that match"));
    // Nobody puts another capture filter in force here: that is said, and not waited for.
    screen.keys("fport 80\r");
    screen
        .wait("an answer", |text| text.contains("fullcount -r FILE port 80") && !text.contains("asked for"));
    screen.keys("\x1b");
    screen.wait("the footer", |text| text.contains("q quit"));
    screen.keys("B");
    screen.wait("bytes", |text| text.contains("rx byte/s"));
    screen.keys("\x03");
    assert_eq!(screen.end().0.code(), Some(0));
}

#[test]
fn enter_shows_a_life_or_what_is_in_it() {
    let mut screen = on("http_v4.pcap", &[], 120, 50);
    screen.wait("connections", |text| text.contains(" Connections by rate"));
    screen.keys("/:80 tcp\r");
    screen.wait("web", |text| text.contains("that match"));
    screen.keys("\r");
    let text = screen.wait("its life, to the last line", |text| text.contains("Bytes by "));
    for what in
        ["Handshake success", "Round trip: least, smoothed", "community_id 1:", "ended: fin", "Bytes by "]
    {
        assert!(text.contains(what), "{what}: {text}");
    }
    screen.keys("\x1b");
    screen.wait("the list", |text| text.contains("that match") && !text.contains("client to server"));
    screen.keys("\x1b");
    screen.wait("no filter", |text| !text.contains("that match"));
    screen.keys("\x1bOQ");
    screen.wait("pairs", |text| text.contains(" Hosts by rate") && text.contains("=>"));
    screen.keys("\r");
    let text =
        screen.wait("its connections", |text| text.contains(" of 198.18.") && text.contains("198.18.0.2:80"));
    assert!(text.contains(" Hosts by rate, 1-") && text.contains(":80"), "{text}");
    // A wheel, a click on the heading of bytes.
    let line = text.lines().position(|line| line.starts_with("State ")).expect("a heading");
    let heading = text.lines().nth(line).expect("a heading");
    let column = heading.chars().position(|one| one == 'B').expect("bytes");
    screen.keys(&format!("\x1b[<65;1;{0}M\x1b[<64;1;{0}M\x1b[<0;{1};{0}M", line + 1, column + 1));
    screen.wait("another order", |text| text.contains(" Hosts by bytes"));
    screen.keys("\r");
    screen.wait("one of them", |text| text.contains("client to server"));
    screen.keys("\x1b");
    screen.wait("its connections again", |text| text.contains(" of 198.18."));
    screen.keys("\x1b");
    screen.wait("pairs again", |text| text.contains("=>"));
    for (key, title) in [("x", "*"), ("X", "*")] {
        screen.keys(key);
        screen.wait("a sum", |text| text.contains("=>") && text.contains(title));
        screen.keys(key);
        screen.wait("pairs", |text| !text.contains(" * "));
    }
    screen.keys("\x1bOR\r");
    screen.wait("a destination", |text| text.contains("one of them") && text.contains("(attempts)"));
    screen.keys("\x1b");
    screen.wait("destinations", |text| text.contains(" Destinations since the start, 1-"));
    screen.keys("q");
    assert_eq!(screen.end().0.code(), Some(0));
}

#[test]
fn ports_and_services_are_as_the_command_line_has_them() {
    for (options, shown) in [(&["-P"][..], "198.18.0.2:http"), (&["-P", "-N"], "198.18.0.2:80 ")] {
        let mut screen = on("http_v4.pcap", options, 120, 30);
        screen.wait("connections", |text| text.contains("198.18.0.2:80"));
        screen.keys("\x1bOQ");
        screen.wait(shown, |text| text.contains(" Hosts by rate") && text.contains(shown));
        // A file is what it is.
        screen.keys("f");
        screen.wait("why not", |text| text.contains("A file is read with the filter that it began with"));
        screen.keys("\x1b");
        screen.wait("the footer", |text| text.contains("q quit"));
        screen.keys("q");
        assert_eq!(screen.end().0.code(), Some(0));
    }
}

#[test]
fn any_size_is_drawn_and_a_small_one_says_so() {
    let mut screen = on("http_v4.pcap", &[], 200, 50);
    screen.wait("wide", |text| text.contains(" Connections by rate"));
    for (columns, lines) in [(80, 24), (40, 10), (300, 100), (41, 11)] {
        screen.resize(columns, lines);
        screen.wait("another size", |text| {
            text.contains(" Connections")
                && text.lines().count() <= usize::from(lines)
                && text.contains("q quit")
        });
    }
    for (columns, lines) in [(20, 5), (39, 50), (3, 1), (100, 9)] {
        screen.resize(columns, lines);
        screen.wait("a small one", |text| {
            text.starts_with("fullcount".get(..usize::from(columns - 1)).unwrap_or("fullcount"))
                && !text.contains("Connections")
        });
    }
    screen.resize(80, 24);
    screen.wait("as before", |text| text.contains(" Connections by rate"));
    screen.keys("q");
    assert_eq!(screen.end().0.code(), Some(0));
}

/// A key that comes with another size is no later than any: the input is busy with keys
/// when both come, so it hears of both at once.
#[test]
fn a_key_beside_a_resize_is_heard() {
    let mut screen = on("http_v4.pcap", &[], 120, 24);
    screen.wait("connections", |text| text.contains(" Connections by rate"));
    for turn in 0..40u16 {
        let unit = if turn % 2 == 0 { "→byte/s" } else { "→bit/s" };
        screen.keys(&"j".repeat(900));
        screen.resize(110 - turn % 2, 24);
        std::thread::sleep(std::time::Duration::from_micros(100 * u64::from(turn)));
        screen.keys("B");
        screen.wait(unit, |text| text.contains(unit));
    }
    screen.keys("q");
    assert_eq!(screen.end().0.code(), Some(0));
}

#[test]
fn signals_end_it_with_the_terminal_as_it_was() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let screen = on("http_v4.pcap", &[], 80, 24);
        screen.wait("connections", |text| text.contains(" Connections by rate"));
        screen.signal(signal);
        let (status, text) = screen.end();
        assert_eq!(status.code(), Some(0), "{signal:?}");
        assert!(text.contains("All read"), "{text}");
    }
    // Stopped and gone on: drawn anew.
    let mut screen = on("http_v4.pcap", &[], 80, 24);
    screen.wait("connections", |text| text.contains(" Connections by rate"));
    screen.signal(Signal::STOP);
    screen.signal(Signal::CONT);
    screen.keys("\t");
    screen.wait("hosts", |text| text.contains(" Hosts"));
    screen.keys("q");
    assert_eq!(screen.end().0.code(), Some(0));
}

#[test]
fn ctrl_z_gives_the_terminal_back_until_it_is_told_to_go_on() {
    let path = format!("{}/fixtures/http_v4.pcap", env!("CARGO_MANIFEST_DIR"));
    let program = env!("CARGO_BIN_EXE_fullcount");
    let mut command = Command::new("bash");
    // Within a script, which has to be stopped as well.
    let script = format!("sh -c '{program} -r {path} -o tui; exit $?'");
    let line = format!("{script}; echo stopped $?; read line; fg; echo ended $?; read line");
    command.args(["-mc", &line]);
    let mut screen = OnTerminal::start(command, 80, 24);
    screen.wait("connections", |text| text.contains(" Connections by rate"));
    screen.keys("\x1a");
    // 128 and SIGTSTP.
    screen.wait("the shell", |text| text.contains("stopped 148"));
    assert!(!screen.is_alternate());
    screen.keys("\r");
    screen.wait("connections again", |text| text.contains(" Connections by rate"));
    assert!(screen.is_alternate());
    screen.keys("\t");
    screen.wait("hosts", |text| text.contains(" Hosts"));
    screen.keys("q");
    screen.wait("its end", |text| text.contains("ended 0"));
    screen.keys("\r");
    assert_eq!(screen.end().0.code(), Some(0));
}

#[test]
fn without_a_terminal_there_is_no_screen() {
    let path = format!("{}/fixtures/http_v4.pcap", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_fullcount"));
    let done = command.args(["-r", &path, "-o", "tui"]).output().expect("it starts");
    assert_eq!(done.status.code(), Some(2));
    assert!(done.stdout.is_empty());
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(
        said,
        "fullcount: -o tui needs a terminal, and standard output is none: type -o text or -o json, or leave -o out\n"
    );
}

#[test]
fn a_terminal_that_knows_ascii_only_gets_ascii() {
    let path = format!("{}/fixtures/http_v4.pcap", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("env");
    command.args(["LANG=C", "NO_COLOR=1", env!("CARGO_BIN_EXE_fullcount"), "-r", &path, "-o", "tui"]);
    let mut screen = OnTerminal::start(command, 120, 24);
    let text = screen.wait("connections", |text| text.contains(" Connections by rate"));
    assert!(text.is_ascii(), "{text}");
    assert!(text.contains(" > "), "{text}");
    screen.keys("q");
    assert_eq!(screen.end().0.code(), Some(0));
}

/// A capture of datagrams: its milliseconds, the client's port, bytes.
fn capture(folder: &std::path::Path, datagrams: impl Iterator<Item = (u32, u16, usize)>) -> String {
    let mut file = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 1].map(u32::to_le_bytes).concat();
    for (ms, port, payload) in datagrams {
        let ends = Ends::v4(([198, 18, 0, 1], port), ([198, 19, 0, 1], 53));
        let frame = ethernet(&[], 0x0800, &ip(ends, UDP, &udp(ends, payload)));
        let len = frame.len() as u32;
        let stamp = [1_700_000_000 + ms / 1000, ms % 1000 * 1000];
        file.extend([stamp[0], stamp[1], len, len].map(u32::to_le_bytes).concat());
        file.extend(frame);
    }
    let path = folder.join("seconds.pcap");
    std::fs::write(&path, file).expect("a file");
    path.to_str().expect("a name").to_owned()
}

/// Five seconds: one connection all the time, and another that fills the third.
fn seconds(folder: &std::path::Path) -> String {
    let steady = (0..4500).step_by(10).map(|ms| (ms, 4001, 100));
    let both = steady.flat_map(|one| {
        let filling = (one.0 / 1000 == 2).then_some((one.0, 4002, 1400));
        std::iter::once(one).chain(filling)
    });
    capture(folder, both)
}

fn read(path: &str, more: &[&str]) -> OnTerminal {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fullcount"));
    command.args(["-r", path, "-o", "tui", "-n"]).args(more);
    OnTerminal::start(command, 120, 40)
}

#[test]
fn a_quit_does_not_wait_for_the_seconds_of_a_file() {
    let folder = tempfile::tempdir().expect("a directory");
    // A day and a half of seconds, sixty of which end at each packet.
    let path = capture(folder.path(), (0..2_000).map(|n| (n * 61_000, 4001, 10)));
    let mut screen = read(&path, &[]);
    screen.wait("the end", |text| text.contains(":4001"));
    screen.keys("q");
    assert_eq!(screen.end().0.code(), Some(0));
}

#[test]
fn a_file_of_one_long_interval_is_looked_back_on_as_well() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut screen = read(&seconds(folder.path()), &["--interval", "10"]);
    screen.wait("the end", |text| text.contains(":4002"));
    screen.keys("\x1b[15~");
    screen.wait("its chart", |text| text.contains("Who filled the 10 s to 22:13:30"));
    // Paused, it is the same.
    screen.keys("p");
    let text = screen.wait("a pause", |text| text.contains("PAUSED") || text.contains("paused"));
    assert!(text.contains("Who filled the 10 s to 22:13:30"), "{text}");
    screen.keys("p\x1b[D");
    screen.wait("its only interval", |text| text.contains("PAST (Esc: now)"));
    screen.keys("q");
    assert_eq!(screen.end().0.code(), Some(0));
}

#[test]
fn the_end_of_a_file_can_be_looked_back_on() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut screen = read(&seconds(folder.path()), &[]);
    let first = |text: &str| text.lines().find(|line| line.contains(" → 198.19.0.1:53")).map(String::from);
    // All of it: 100 packets of 1442 bytes, 450 of 142.
    let text = screen.wait("the end", |text| first(text).is_some() && text.contains("144k"));
    assert!(first(&text).expect("a row").contains(":4002"), "{text}");
    assert!(!text.contains("PAST"), "{text}");
    // The chart is there when all of it has been read once more.
    screen.keys("\x1b[15~");
    let text = screen.wait("its last second", |text| text.contains("Who filled the 1 s to 22:13:25"));
    assert!(text.contains(" Links side by side, 1 s a column"), "{text}");
    let height = |line: &str| line.chars().rev().take_while(|&one| "▁▂▃▄▅▆▇█▔".contains(one)).count();
    assert_eq!(text.lines().map(height).max(), Some(5), "a column a second: {text}");
    screen.keys("\x1bOP");
    let back = |screen: &mut OnTerminal, key: &str, second: &str| {
        screen.keys(key);
        let text =
            screen.wait(second, |text| text.contains(&format!("PAST (Esc: now) 2023-11-14 {second} UTC")));
        first(&text).unwrap_or_else(|| panic!("no row: {text}"))
    };
    // Seconds by the time of their last packet.
    assert!(back(&mut screen, "\x1b[D", "22:13:24.490").contains(":4001"));
    assert!(back(&mut screen, "\x1b[D", "22:13:23.990").contains(":4001"));
    let third = back(&mut screen, "\x1b[D", "22:13:22.990");
    // 100 packets of 1442 bytes within it.
    assert!(third.contains(":4002") && third.contains("1.15M"), "{third}");
    assert!(back(&mut screen, "\x1b[C", "22:13:23.990").contains(":4001"));
    assert!(back(&mut screen, "[", "22:13:20.990").contains(":4001"), "the first");
    screen.keys("\x1b");
    let text = screen.wait("the end again", |text| !text.contains("PAST"));
    assert!(first(&text).expect("a row").contains(":4002"), "{text}");
    screen.keys("q");
    assert_eq!(screen.end().0.code(), Some(0));
}
