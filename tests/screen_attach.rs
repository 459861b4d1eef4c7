//! `fullcount attach`: the screen of one that counts, on terminals of others.
//!
//! The one that is looked at has no terminal. Who looks on sees the same figures,
//! each in a view of its own; leaving, hanging and being killed change nothing.

#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;
#[path = "common/terminal.rs"]
mod terminal;

use frames::*;
use live::netns::Netns;
use live::{Fullcount, PROGRAM, pair};
use rustix::process::Signal;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use terminal::OnTerminal;

/// Frames of so many UDP flows.
fn send(near: &Netns, flows: u8, frames: u32) {
    let mut injector = near.injector("v0");
    for n in 0..frames {
        let ends = Ends::v4(([198, 18, 0, (n % u32::from(flows)) as u8 + 1], 4000), ([198, 19, 0, 1], 5353));
        injector.send(&ethernet(&[], 0x0800, &ip(ends, UDP, &udp(ends, 100))));
    }
}

fn attach(path: &Path, columns: u16, lines: u16, program: &str) -> OnTerminal {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec {program} attach {}", path.display())]);
    OnTerminal::start(command, columns, lines)
}

/// A run with a socket, and where that is.
fn counted(test: &str) -> Option<(Netns, Netns, Fullcount, tempfile::TempDir)> {
    let (near, far) = pair(test)?;
    near.veth("v0", &far, "w0");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s");
    let running = Fullcount::start(&near, &format!("-i v0 --interval 0.2 --socket {}", path.display()));
    Some((near, far, running, folder))
}

#[test]
fn two_look_on_each_at_a_view_of_its_own() {
    let Some((near, _far, running, folder)) = counted("two_look_on_each_at_a_view_of_its_own") else {
        return;
    };
    let path = folder.path().join("s");
    let mut first = attach(&path, 120, 40, PROGRAM);
    let mut second = attach(&path, 80, 24, PROGRAM);
    for screen in [&mut first, &mut second] {
        let text = screen.wait("the screen", |text| text.contains(" Connections by rate"));
        assert!(text.lines().any(|line| line.starts_with("v0 ")), "{text}");
    }
    send(&near, 4, 400);
    for screen in [&mut first, &mut second] {
        screen.wait("rows", |text| text.contains("198.18.0.4:4000") && text.contains("1-4 of 4"));
    }
    // One changes its view, filters, sorts; the other one's stays.
    first.keys("\x1bOQ");
    first.wait("pairs", |text| text.contains(" Hosts") && text.contains("198.18.0.4") && text.contains("=>"));
    first.keys("/0\\.3\r");
    first.wait("one pair", |text| text.contains("1-1 of 1 that match") && !text.contains("198.18.0.4"));
    let text = second.wait("its rows", |text| text.contains("1-4 of 4"));
    assert!(text.contains(" Connections by rate"), "{text}");
    second.keys("s");
    second.wait("its order", |text| text.contains("by bytes"));
    second.resize(100, 30);
    second.wait("its size", |text| text.lines().count() > 24 && text.contains("198.18.0.4:4000"));
    // Only the run's own screen has a capture filter to change.
    second.keys("ftcp\r");
    second.wait("a refusal", |text| text.contains("looks on changes nothing"));
    second.keys("\x1b");
    // One leaves; the run and the other one go on.
    first.keys("q");
    let (status, text) = first.end();
    assert_eq!(status.code(), Some(0), "{text}");
    send(&near, 4, 40);
    second.wait("more", |text| text.contains("198.18.0.1:4000"));
    // What is looked at ends: who looks on is told, on a terminal as it was.
    let run = running.stop();
    assert!(run.status.success());
    let (status, text) = second.end();
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("what was looked at has ended"), "{text}");
    assert_eq!(live::number(&live::total(&run.lines(), "v0")["tx"]["packets"]), 440);
}

#[test]
fn who_looks_on_needs_no_privileges_and_a_terminal() {
    let Some((_near, _far, running, folder)) = counted("who_looks_on_needs_no_privileges_and_a_terminal")
    else {
        return;
    };
    let path = folder.path().join("s");
    // Everything is taken away that root has: the bounding set too.
    let setpriv = format!("setpriv --bounding-set -all --inh-caps -all {PROGRAM}");
    let has_it = Command::new("setpriv").arg("--version").output().is_ok_and(|done| done.status.success());
    if has_it {
        let screen = attach(&path, 80, 24, &setpriv);
        screen.wait("the screen", |text| text.contains(" Connections by rate"));
        screen.signal(Signal::TERM);
        let (status, text) = screen.end();
        assert_eq!(status.code(), Some(0), "{text}");
    } else {
        live::skipped("who_looks_on_needs_no_privileges_and_a_terminal", "no setpriv here");
    }
    let told = Command::new(PROGRAM).arg("attach").arg(&path).output().expect("it runs");
    assert_eq!(told.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&told.stderr).contains("needs a terminal"), "{told:?}");
    // Where nobody answers, one is told so before the terminal is touched.
    let none = attach(&folder.path().join("none"), 80, 24, PROGRAM);
    let text = none.wait("a sentence", |text| text.contains("nobody answers there"));
    assert!(!text.contains("Connections"), "{text}");
    assert_eq!(none.end().0.code(), Some(1));
    assert!(running.stop().status.success());
}

#[test]
fn those_who_hang_or_are_too_many_hold_nothing_up() {
    let Some((near, _far, running, folder)) = counted("those_who_hang_or_are_too_many_hold_nothing_up")
    else {
        return;
    };
    let path = folder.path().join("s");
    let look_on = || {
        let mut stream = UnixStream::connect(&path).expect("it answers");
        writeln!(stream, "SCREEN/1 200 50 1 1").expect("taken");
        let mut first = String::new();
        let mut reader = BufReader::new(stream);
        reader.read_line(&mut first).expect("an answer");
        (first, reader.into_inner())
    };
    // They are sent a screen and never read it.
    let all: Vec<(String, UnixStream)> = (0..8).map(|_| look_on()).collect();
    assert!(all.iter().all(|(first, _)| first == "SCREEN/1\n"), "{all:?}");
    let (refusal, _) = look_on();
    assert!(refusal.contains("8 screens look on already"), "{refusal}");
    // Nonsense ends who says it, nobody else.
    let (_, mut wrong) = (&all[0].0, all[0].1.try_clone().expect("a socket"));
    wrong.write_all(&[b'x'; 4096]).expect("taken");
    let mut rest = Vec::new();
    wrong.read_to_end(&mut rest).expect("it is let go");
    // A place is free now.
    let mut screen = None;
    live::netns::wait("a place", || {
        let (first, stream) = look_on();
        screen = Some(stream);
        first == "SCREEN/1\n"
    });
    send(&near, 4, 400);
    running.wait_frames("v0", 400);
    // Others are answered meanwhile.
    let mut asks = UnixStream::connect(&path).expect("it answers");
    writeln!(asks, "GET").expect("taken");
    let mut answer = String::new();
    asks.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains("pcap"), "{answer}");
    let run = running.stop();
    assert!(run.status.success());
    assert_eq!(live::number(&live::total(&run.lines(), "v0")["tx"]["packets"]), 400);
}
