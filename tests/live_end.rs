//! How a run ends: by a signal, by itself, by a reader that goes away. What
//! was sent before is counted, the last line is whole, the exit code is right.

#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;

use frames::*;
use live::netns::{Netns, wait};
use live::{Count, Fullcount, PROGRAM, Run, count_of, pair, total};
use rustix::process::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The program, read by the test itself; it does not outlive the test.
struct Reading(Child);

impl Reading {
    /// Runs it until its first line has come, which is part of the answer.
    fn begin(netns: &Netns, arguments: &str) -> (Reading, BufReader<ChildStdout>, String) {
        let mut command = netns.command(&format!("exec {PROGRAM} {arguments}"));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut child = Reading(child);
        let mut out = BufReader::new(child.0.stdout.take().expect("piped"));
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = out.read_line(&mut line);
            let _ = sender.send((read, out, line));
        });
        let (read, out, line) = receiver.recv_timeout(Duration::from_secs(20)).expect("a first line");
        read.expect("text");
        assert!(line.ends_with('\n'), "{line:?}");
        (child, out, line)
    }

    /// Waits for its end: exit code and what stands on standard error.
    fn ended(&mut self, what: &str) -> (Option<i32>, String) {
        let mut status = None;
        wait(what, || {
            status = self.0.try_wait().expect("a child");
            status.is_some()
        });
        let mut stderr = String::new();
        self.0.stderr.take().expect("piped").read_to_string(&mut stderr).expect("text");
        (status.and_then(|status| status.code()), stderr)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A datagram of one of ten flows.
fn datagram(n: u32) -> Vec<u8> {
    let ends = Ends::v4(([198, 18, 0, (n % 10) as u8], 4000), ([198, 19, 0, 1], 53));
    ethernet(&[], 0x0800, &ip(ends, UDP, &udp(ends, (n % 500) as usize)))
}

/// Sends on the watched interface itself: the kernel has shown a frame to every
/// tap before `send` returns, so that a signal right after it finds all there.
fn send(near: &Netns, interface: &str, frames: std::ops::Range<u32>) -> Count {
    let mut injector = near.injector(interface);
    let mut sent = Count::default();
    for n in frames {
        let frame = datagram(n);
        injector.send(&frame);
        sent.add(frame.len());
    }
    sent
}

fn ended_by(lines: &[Value]) -> &str {
    lines.last().expect("some lines")["reason"].as_str().expect("a word")
}

/// Everything that was sent, and an end for this reason.
fn assert_whole(run: &Run, reason: &str, sent: Count) {
    let lines = run.lines();
    assert_eq!(ended_by(&lines), reason);
    assert_eq!(count_of(&total(&lines, "v0")["tx"]), sent);
    assert_eq!(count_of(&total(&lines, "v0")["rx"]), Count::default());
}

#[test]
fn a_signal_loses_nothing_that_was_sent_before() {
    let Some((near, far)) = pair("a_signal_loses_nothing_that_was_sent_before") else { return };
    near.veth("v0", &far, "w0");
    for (signal, workers) in [(Signal::INT, 1), (Signal::TERM, 1), (Signal::INT, 2), (Signal::TERM, 4)] {
        let running = Fullcount::start(&near, &format!("-i v0 --workers {workers} --connections"));
        let sent = send(&near, "v0", 0..3000);
        running.signal(signal);
        assert_whole(&running.end(), "signal", sent);
    }
}

#[test]
fn a_signal_ends_a_run_with_a_table_too() {
    let Some((near, far)) = pair("a_signal_ends_a_run_with_a_table_too") else { return };
    near.veth("v0", &far, "w0");
    let (mut child, mut out, mut text) = Reading::begin(&near, "-i v0 -o text --interval 0.1");
    send(&near, "v0", 0..100);
    let pid = rustix::process::Pid::from_raw(child.0.id() as i32).expect("a pid");
    rustix::process::kill_process(pid, Signal::INT).expect("it runs");
    let ended = child.ended("a signal");
    out.read_to_string(&mut text).expect("text");
    assert_eq!(ended, (Some(0), String::new()), "{text}");
    assert!(text.ends_with('\n') && text.contains("v0"), "{text}");
}

#[test]
fn a_run_ends_by_itself_after_a_time() {
    let Some((near, far)) = pair("a_run_ends_by_itself_after_a_time") else { return };
    near.veth("v0", &far, "w0");
    let began = Instant::now();
    let running = Fullcount::start(&near, "-i v0 --duration 1.5 --interval 0.5");
    let sent = send(&near, "v0", 0..2000);
    let run = running.end();
    assert!(began.elapsed() >= Duration::from_millis(1500));
    assert_whole(&run, "duration", sent);
    let seconds = run.lines().last().expect("some")["seconds"].as_f64().expect("a number");
    assert!((1.5..5.0).contains(&seconds), "{seconds}");
}

#[test]
fn a_run_ends_by_itself_after_a_number_of_packets() {
    let Some((near, far)) = pair("a_run_ends_by_itself_after_a_number_of_packets") else { return };
    near.veth("v0", &far, "w0");
    let running = Fullcount::start(&near, "-i v0 --count 1000 --interval 0.1");
    let first = send(&near, "v0", 0..999);
    // Two intervals later it still runs.
    running.wait_frames("v0", 999);
    running.wait_interval();
    let last = send(&near, "v0", 999..1000);
    assert_whole(&running.end(), "count", first.plus(last));
}

#[test]
fn a_reader_that_goes_away_is_a_normal_end_at_once() {
    let Some((near, far)) = pair("a_reader_that_goes_away_is_a_normal_end_at_once") else { return };
    near.veth("v0", &far, "w0");
    // With intervals of an hour nothing is written that could fail.
    for (form, interval) in [("json", "0.1"), ("text", "0.1"), ("json", "3600")] {
        let (mut child, out, _) = Reading::begin(&near, &format!("-i v0 -o {form} --interval {interval}"));
        let began = Instant::now();
        drop(out);
        assert_eq!(child.ended(form), (Some(0), String::new()), "{form} {interval}");
        assert!(began.elapsed() < Duration::from_secs(20), "{form} {interval}: {:?}", began.elapsed());
    }
}

#[test]
fn head_takes_its_line_and_the_pipeline_ends() {
    let Some((near, far)) = pair("head_takes_its_line_and_the_pipeline_ends") else { return };
    near.veth("v0", &far, "w0");
    let line =
        format!("{{ timeout -s KILL 20 {PROGRAM} -i v0 -o json --interval 0.1; echo $? >&2; }} | head -1");
    let output = near.command(&line).output().expect("sh runs");
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text"));
    assert_eq!((said[0].lines().count(), said[1].as_str()), (1, "0\n"), "{}", said[0]);
}

/// Two that come at once are one: coreutils' `timeout` sends its signal to its child
/// and to its group. Where the terminal is gone the run ends as by any other.
#[test]
fn a_signal_that_comes_twice_at_once_is_one() {
    let Some((near, far)) = pair("a_signal_that_comes_twice_at_once_is_one") else { return };
    near.veth("v0", &far, "w0");
    for signals in [[Signal::TERM; 2], [Signal::HUP; 2], [Signal::INT, Signal::TERM]] {
        // Whoever runs this test may have been started by nohup.
        let line = format!("exec env --default-signal=HUP {PROGRAM} -o json -i v0");
        let program = Fullcount::spawn(near.command(&line));
        program.wait_line("start", |line| line["type"] == "start");
        signals.into_iter().for_each(|signal| program.signal(signal));
        let run = program.end();
        assert_eq!(run.status.code(), Some(0), "{signals:?}: {}", run.stderr);
        assert_eq!(run.lines().last().expect("some")["reason"], "signal", "{signals:?}");
    }
}

#[test]
fn nohup_is_respected() {
    let Some((near, far)) = pair("nohup_is_respected") else { return };
    near.veth("v0", &far, "w0");
    let program = Fullcount::spawn(near.command(&format!("trap '' HUP; exec {PROGRAM} -o json -i v0")));
    program.wait_line("start", |line| line["type"] == "start");
    program.signal(Signal::HUP);
    program.wait_interval();
    program.wait_interval();
    assert_eq!(program.stop().status.code(), Some(0));
}
