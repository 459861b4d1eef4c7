//! The chart of links on live interfaces, on a real terminal: a burst that no second
//! shows, on one of two that share a load, is found by its sign, by keys and by a
//! click, and whose it was stands below.

#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;
#[path = "common/terminal.rs"]
mod terminal;

use frames::*;
use live::netns::Netns;
use live::{PROGRAM, pair};
use std::time::{Duration, Instant};
use terminal::OnTerminal;

/// A link's speed, low: 20 frames within milliseconds fill it on any machine.
const SPEED: &str = "20M";
/// Frames of the burst: a twentieth of what the link could carry in a second.
const FRAMES: u32 = 80;
const SENDER: &str = "udp 198.18.9.9:40009 → 198.18.8.1:5009";
const SAID: &str = "! v1 tx burst from";

fn frame(ends: Ends, bytes: usize) -> Vec<u8> {
    ethernet(&[], 0x0800, &ip(ends, UDP, &udp(ends, bytes - 42)))
}

/// Small frames of others, far below any burst.
fn trickle(near: &Netns) {
    for (interface, last) in [("v0", 1u8), ("v1", 2)] {
        let ends = Ends::v4(([198, 18, 0, last], 4000), ([198, 19, 0, 1], 53));
        near.injector(interface).send(&frame(ends, 80));
    }
}

/// Where on the screen the burst's sign is, from 1 on.
fn sign(text: &str) -> Option<(usize, usize)> {
    let lines = text.lines().enumerate();
    let strip = lines.skip_while(|(_, line)| !(line.starts_with("v1 tx") && line.contains('│')));
    let mut cells = strip.take(3).map(|(y, line)| (y, line.chars().position(|sign| sign == '!')));
    cells.find_map(|(y, x)| x.map(|x| (x + 1, y + 1)))
}

/// Does something until the burst is named below the chart. What is read may be of
/// half a frame or of an old one, so nothing is concluded from one look.
fn until_named(screen: &mut OnTerminal, mut act: impl FnMut(&mut OnTerminal, &str)) {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        let text = screen.text();
        if text.contains("fullcount PAST") && text.contains(SAID) {
            return;
        }
        assert!(Instant::now() < limit, "{text}");
        act(screen, &text);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A step towards the sign.
fn step(screen: &mut OnTerminal, text: &str) {
    let cursor = text.lines().find_map(|line| line.chars().position(|sign| sign == '▲'));
    match sign(text).map(|(x, _)| x - 1).zip(cursor) {
        Some((x, cursor)) if cursor < x => screen.keys("\x1b[C"),
        Some((x, cursor)) if cursor == x => {}
        _ => screen.keys("\x1b[D"),
    }
}

/// The burst, its sender below it with nearly all of its bytes, and the same one
/// first in what the link carried.
fn is_told(text: &str) -> bool {
    let mut below = text.lines().skip_while(|line| !line.starts_with(SAID));
    let Some((said, first)) = below.next().zip(below.next()) else { return false };
    let share = first.split_whitespace().find_map(|word| word.strip_suffix('%'));
    let most = share.and_then(|share| share.parse::<f64>().ok()).is_some_and(|share| share > 90.0);
    let of_link = below.find(|line| line.starts_with("v1 tx "));
    said.contains(", peak ")
        && most
        && first.contains(SENDER)
        && of_link.is_some_and(|line| line.contains(SENDER))
}

#[test]
fn a_burst_is_found_on_the_chart_and_named() {
    let Some((near, far)) = pair("a_burst_is_found_on_the_chart_and_named") else { return };
    near.veth("v0", &far, "w0");
    near.veth("v1", &far, "w1");
    let words = format!("exec {PROGRAM} -i v0+v1 --link-speed v0={SPEED} --link-speed v1={SPEED}");
    let mut screen = OnTerminal::start(near.command(&words), 120, 40);
    screen.wait("the screen", |text| text.contains(" Connections by rate"));
    screen.keys("\x1b[15~");
    screen.wait("the chart", |text| text.contains("1 s a column") && text.contains("v1 tx 20.0M│"));
    trickle(&near);
    let mut injector = near.injector("v1");
    let ends = Ends::v4(([198, 18, 9, 9], 40_009), ([198, 18, 8, 1], 5_009));
    let full = frame(ends, 1514);
    (0..FRAMES).for_each(|_| injector.send(&full));
    screen.wait("its sign", |text| sign(text).is_some());
    // It is over, and the newest second another one.
    screen.wait("another second", |text| !text.contains(SAID) && sign(text).is_some());
    until_named(&mut screen, step);
    screen.wait("who it was, and the cursor", |text| is_told(text) && text.contains('▲'));
    // Away, and there again by a click; the chart moves a column a second meanwhile.
    screen.keys("\x1b");
    screen.wait("now", |text| !text.contains("PAST") && !text.contains(SAID));
    until_named(&mut screen, |screen, text| {
        if let Some((x, y)) = sign(text) {
            screen.keys(&format!("\x1b[<0;{x};{y}M\x1b[<0;{x};{y}m"));
        }
    });
    screen.wait("who it was", is_told);
    // It stays so as time goes on and columns are longer.
    screen.keys("-");
    screen.wait("longer columns", |text| {
        text.contains("2 s a column") && sign(text).is_some() && is_told(text)
    });
    screen.keys("q");
    let (status, text) = screen.end();
    assert_eq!(status.code(), Some(0), "{text}");
}
