//! The final report of live runs: after a signal, after `--duration`, and when
//! nobody reads the output any more.

#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;

use frames::*;
use live::netns::Netns;
use live::{Fullcount, PROGRAM, number, pair, schema};
use rustix::process::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

fn send(near: &Netns, frames: u32) {
    let mut injector = near.injector("v0");
    for n in 0..frames {
        let ends = Ends::v4(([198, 18, 0, (n % 10) as u8], 4000), ([198, 19, 0, 1], 53));
        injector.send(&ethernet(&[], 0x0800, &ip(ends, UDP, &udp(ends, 100))));
    }
}

fn report(path: &Path) -> Vec<Value> {
    schema::validate_lines(&std::fs::read_to_string(path).expect("a report"))
}

/// The rows of the run, as the line of the interface has them.
fn rows(report: &[Value]) -> &Vec<Value> {
    let interface = report.iter().find(|line| line["type"] == "interface").expect("a line");
    interface["top"].as_array().expect("rows")
}

#[test]
fn a_signal_ends_with_a_report_of_the_whole_run() {
    let Some((near, far)) = pair("a_signal_ends_with_a_report_of_the_whole_run") else { return };
    near.veth("v0", &far, "w0");
    for signal in [Signal::TERM, Signal::INT] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run.json");
        let arguments = format!("-i v0 --interval 0.2 --by host --report {} udp", path.display());
        let running = Fullcount::start(&near, &arguments);
        // In several intervals: a report has what each of them had.
        for turn in 1..=3 {
            send(&near, 50);
            running.wait_frames("v0", 50 * turn);
        }
        assert!(!path.exists(), "it is written at the end");
        running.signal(signal);
        let lines = running.end().lines();
        let report = report(&path);
        let (stop, told) = (lines.last().expect("lines"), report.last().expect("lines"));
        assert_eq!((&told["type"], &told["reason"]), (&Value::from("stop"), &Value::from("signal")));
        assert_eq!(told["interfaces"], stop["interfaces"]);
        assert_eq!(report[0]["time"], lines[0]["time"], "the run's own beginning");
        let all = rows(&report).iter().find(|row| row["host"] == "198.19.0.1").expect("the server");
        assert_eq!((number(&all["to"]["packets"]), rows(&report).len()), (150, 11));
    }
}

#[test]
fn a_duration_ends_with_a_report_as_text() {
    let Some((near, far)) = pair("a_duration_ends_with_a_report_as_text") else { return };
    near.veth("v0", &far, "w0");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.txt");
    let arguments = format!("-i v0 --interval 0.2 --duration 2 --report {} udp", path.display());
    let running = Fullcount::start(&near, &arguments);
    send(&near, 50);
    let lines = running.end().lines();
    assert_eq!(lines.last().expect("lines")["reason"], "duration");
    let text = std::fs::read_to_string(&path).expect("a report");
    assert!(text.starts_with("Report of fullcount "), "{text}");
    for said in ["\nOnly packets that match: udp\n", "\nStopped after ", "198.18.0.9:4000 → 198.19.0.1:53\n"]
    {
        assert!(text.contains(said), "{said} in\n{text}");
    }
    assert!(!text.contains("10 of "), "ten flows, all shown:\n{text}");
}

#[test]
fn a_reader_that_goes_ends_the_run_with_a_report() {
    let Some((near, far)) = pair("a_reader_that_goes_ends_the_run_with_a_report") else { return };
    near.veth("v0", &far, "w0");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.json");
    let arguments = format!("exec {PROGRAM} -i v0 -o json --interval 0.1 --report {}", path.display());
    let mut command = near.command(&arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut first = String::new();
    let mut reader = BufReader::new(child.stdout.take().expect("piped"));
    reader.read_line(&mut first).expect("a line");
    assert!(first.contains("\"start\""), "{first}");
    drop(reader);
    let done = child.wait_with_output().expect("it ends");
    assert_eq!((done.status.code(), done.stderr.as_slice()), (Some(0), &b""[..]));
    assert_eq!(report(&path).last().expect("lines")["reason"], "closed pipe");
}
