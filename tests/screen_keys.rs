//! How soon a key is answered: rows of another view are there before the next
//! interval, and (by hand) within which time with many flows.

#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;
#[path = "common/terminal.rs"]
mod terminal;

use frames::*;
use live::netns::Netns;
use live::{PROGRAM, pair};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use terminal::OnTerminal;

fn start(near: &Netns, arguments: &str, columns: u16, lines: u16) -> OnTerminal {
    OnTerminal::start(near.command(&format!("exec {PROGRAM} {arguments}")), columns, lines)
}

/// The time that the figures on the screen are of.
fn time_of(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(33).collect()
}

fn is_answered(text: &str) -> bool {
    !text.contains("asked for") && !text.contains("These rows come")
}

#[test]
fn another_view_is_there_before_the_next_interval() {
    let Some((near, far)) = pair("another_view_is_there_before_the_next_interval") else { return };
    near.veth("v0", &far, "w0");
    let mut screen = start(&near, "-i v0 --interval 3", 120, 30);
    screen.wait("the screen", |text| text.contains(" Connections by rate"));
    let mut injector = near.injector("v0");
    for n in 0..600u16 {
        let client = [198, 18, (n % 20) as u8, (n % 200) as u8 + 1];
        let ends = Ends::v4((client, 4000 + n % 200), ([198, 19, 0, 1], 53));
        injector.send(&ethernet(&[], 0x0800, &ip(ends, UDP, &udp(ends, 100))));
    }
    screen.wait("all flows", |text| text.contains("of 200"));
    let steps = [
        ("\x1bOQ", " Hosts", "=>"),
        ("S", " Hosts", ":41"),
        (">", " Hosts by destination", ":4000"),
        ("\x1b[F", " Hosts by destination", "-200 of 200"),
        ("\x1bOP", " Connections by rate", "→"),
        ("\x1b[F", " Connections by rate", "-200 of 200"),
        ("/:4199 \r", " Connections by rate", "1-1 of 1 that match"),
        ("\x1b", " Connections by rate", "of 200"),
    ];
    let mut at_once = 0;
    for (keys, title, what) in steps {
        let before = time_of(&screen.text());
        screen.keys(keys);
        let text = screen.wait(what, |text| text.contains(title) && is_answered(text) && text.contains(what));
        at_once += usize::from(time_of(&text) == before);
    }
    // One connection: its worker is asked.
    screen.keys("\r");
    let text = screen.wait("its account", |text| text.contains("Payload"));
    assert!(text.contains("still there") && text.contains("Payload"), "{text}");
    screen.keys("\x1b");
    screen.wait("the list again", |text| !text.contains("client to server"));
    // An interval may end just then, but not before each of the keys.
    assert!(at_once >= steps.len() / 2, "{at_once} of {} before the next interval", steps.len());
    screen.keys("q");
    assert_eq!(screen.end().0.code(), Some(0));
}

/// A generator in the background, ended with the test.
struct Load(Child);

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// FULLCOUNT_KEYS=FLOWS:RATE:KEYS; prints percentiles of the time from a key to the
/// screen that answers it. Not a test: a busy machine takes longer.
#[test]
#[ignore = "a measurement"]
fn keys_with_many_flows() {
    let Ok(told) = std::env::var("FULLCOUNT_KEYS") else { return };
    let mut numbers = told.split(':').map(|word| word.parse::<usize>().expect("a number"));
    let mut next = || numbers.next().expect("FLOWS:RATE:KEYS");
    let (flows, rate, count) = (next(), next(), next());
    let Some((near, far)) = pair("keys_with_many_flows") else { return };
    near.veth("v0", &far, "w0");
    near.shell("ethtool -K v0 gro on");
    let folder = tempfile::tempdir().expect("a directory");
    let log = folder.path().join("lines");
    let mut screen = start(&near, &format!("-i v0 -o tui --log-file {}", log.display()), 120, 40);
    screen.wait("the screen", |text| text.contains(" Connections by rate"));
    let load = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/load");
    let frames = rate * 600;
    let line = format!("exec {load} --interface v0 --count {frames} --flows {flows} --rate {rate}");
    let _load =
        Load(near.command(&line).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().expect("load"));
    let grouped = |number: usize| {
        let digits: Vec<char> = number.to_string().chars().rev().collect();
        let parts: Vec<String> = digits.chunks(3).map(|part| part.iter().rev().collect()).collect();
        parts.into_iter().rev().collect::<Vec<_>>().join(",")
    };
    let all = format!("of {}", grouped(flows));
    screen.wait("all flows", |text| text.contains(&all));
    let steps: [(&str, &str, &str); 9] = [
        ("\x1bOQ", " Hosts by ", "=>"),
        ("\x1bOP", " Connections by rate", "→"),
        ("s", " Connections by bytes", "→"),
        ("s", " Connections by packets", "→"),
        ("s", " Connections by name", "→"),
        (">", " Connections by destination", "→"),
        ("1", " Connections by 2 s average", "→"),
        ("s", " Connections by rate", "→"),
        ("\x1b[F", " Connections by rate", "-10,000 of"),
    ];
    let mut took: Vec<(Duration, &str)> = Vec::new();
    for at in 0..count {
        let (keys, title, what) = steps[at % steps.len()];
        std::thread::sleep(Duration::from_millis(37 + (at as u64 * 61) % 200));
        let begun = Instant::now();
        screen.keys(keys);
        loop {
            let text = screen.text();
            if text.contains(title) && is_answered(&text) && text.contains(what) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{title} {what}\n{text}");
            std::thread::sleep(Duration::from_millis(1));
        }
        took.push((begun.elapsed(), title));
        if at % steps.len() == steps.len() - 1 {
            screen.keys("\x1b[H");
        }
    }
    // A filter, character by character.
    screen.keys("/");
    let mut filtered: Vec<Duration> = Vec::new();
    for _ in 0..count.div_ceil(16) {
        for end in 1..="198.18.7".len() {
            let typed = &"198.18.7"[..end];
            std::thread::sleep(Duration::from_millis(150));
            let begun = Instant::now();
            screen.keys(&typed[end - 1..]);
            let shown = format!("that match /{typed}/");
            while !screen.text().contains(&shown) || !is_answered(&screen.text()) {
                assert!(begun.elapsed() < Duration::from_secs(20), "{typed}");
                std::thread::sleep(Duration::from_millis(1));
            }
            filtered.push(begun.elapsed());
        }
        screen.keys("\x15");
        screen.wait("no filter", |text| !text.contains("that match") && is_answered(text));
    }
    filtered.sort();
    eprintln!("filter: {}", percentiles(&filtered));
    let begun = Instant::now();
    screen.keys("198.18.7");
    let all = |text: &str| text.contains("that match /198.18.7/") && !text.contains("so far");
    screen.wait("all looked at", |text| all(text) && is_answered(text));
    eprintln!("filter: all flows after {:.1?}", begun.elapsed());
    screen.keys("\x1b");
    let text = screen.wait("no filter", |text| !text.contains("that match"));
    eprintln!("{}\n{}", text.lines().next().unwrap_or_default(), text.lines().nth(2).unwrap_or_default());
    took.sort();
    let slowest = took[took.len() - 1].1;
    let took: Vec<Duration> = took.into_iter().map(|(took, _)| took).collect();
    eprintln!("{flows} flows, {rate} packets/s, {count} keys: {} ({slowest})", percentiles(&took));
    eprintln!("from a snapshot's lines in the log to its screen: {}", percentiles(&shown(&screen, &log)));
    screen.keys("q");
    screen.end();
}

/// Times from a snapshot's first lines in the log, which are written once the screen
/// was told of it, to the screen that shows it; 0 where that was there sooner.
fn shown(screen: &OnTerminal, log: &std::path::Path) -> Vec<Duration> {
    let bytes = || std::fs::metadata(log).expect("a log").len();
    let mut took = Vec::new();
    for _ in 0..20 {
        let (text, written) = (time_of(&screen.text()), bytes());
        let mut logged = None;
        let shown = loop {
            if logged.is_none() && bytes() > written {
                logged = Some(Instant::now());
            }
            if time_of(&screen.text()) != text {
                break Instant::now();
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        took.push(logged.map_or(Duration::ZERO, |logged| shown.saturating_duration_since(logged)));
        // What is still written belongs to this one.
        std::thread::sleep(Duration::from_millis(300));
    }
    took.sort();
    took
}

/// Percentiles of sorted times.
fn percentiles(took: &[Duration]) -> String {
    let of = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
    format!("p50 {:.1?}, p95 {:.1?}, max {:.1?}", of(50), of(95), of(100))
}
