//! Signals of a run that goes on: a summary now (SIGUSR1), the log file anew (SIGHUP).

#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;

use frames::*;
use live::netns::{Netns, wait};
use live::{Fullcount, PROGRAM, notices, number, pair};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::{read_to_string, rename};
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

fn send(near: &Netns, frames: u32) {
    let mut injector = near.injector("v0");
    for n in 0..frames {
        let ends = Ends::v4(([198, 18, 0, (n % 10) as u8], 4000), ([198, 19, 0, 1], 53));
        injector.send(&ethernet(&[], 0x0800, &ip(ends, UDP, &udp(ends, 100))));
    }
}

#[test]
fn a_summary_is_printed_beside_lines_and_the_run_goes_on() {
    let Some((near, far)) = pair("a_summary_is_printed_beside_lines_and_the_run_goes_on") else { return };
    near.veth("v0", &far, "w0");
    let running = Fullcount::start(&near, "-i v0 --interval 0.2");
    send(&near, 50);
    running.wait_frames("v0", 50);
    running.signal(Signal::USR1);
    // An interval later the signal has been seen: it is looked for more often.
    running.wait_interval();
    send(&near, 7);
    running.wait_frames("v0", 57);
    let run = running.stop();
    assert_eq!(run.status.code(), Some(0), "{}", run.stderr);
    assert!(run.stderr.starts_with("So far, "), "{}", run.stderr);
    assert_eq!(run.stderr.matches("So far, ").count(), 1, "{}", run.stderr);
    let sent = run.stderr.lines().find(|line| line.trim_start().starts_with("tx")).expect("a table");
    assert!(sent.contains(" 50 "), "{}", run.stderr);
    let last: Value = serde_json::from_str(run.text.lines().last().expect("lines")).expect("JSON");
    assert_eq!((&last["type"], number(&last["interfaces"][0]["tx"]["packets"])), (&Value::from("stop"), 57));
}

#[test]
fn a_summary_that_nobody_reads_does_not_end_the_lines() {
    let test = "a_summary_that_nobody_reads_does_not_end_the_lines";
    let Some((near, far)) = pair(test) else { return };
    near.veth("v0", &far, "w0");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lines.json");
    let arguments = format!("exec {PROGRAM} -i v0 -o json --interval 0.1");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = near.command(&arguments);
    command.stdout(std::fs::File::create(&path).expect("a file")).stderr(writer);
    let mut child = command.spawn().expect("it starts");
    // Its own end of the pipe goes with it.
    drop((command, reader));
    let pid = Pid::from_raw(child.id() as i32).expect("a pid");
    let lines = || read_to_string(&path).unwrap_or_default().lines().count();
    wait("some lines", || lines() > 3);
    kill_process(pid, Signal::USR1).expect("it runs");
    let before = lines();
    wait("lines behind the summary, or the end", || {
        lines() > before + 10 || child.try_wait().expect("a child").is_some()
    });
    assert_eq!(child.try_wait().expect("a child"), None, "it goes on");
    kill_process(pid, Signal::TERM).expect("it runs");
    assert_eq!(child.wait().expect("a child").code(), Some(0));
}

/// Types and sequence numbers of a log file's lines, all of them whole.
fn log(path: &Path) -> Vec<(String, u64)> {
    let text = read_to_string(path).unwrap_or_default();
    let whole = text.ends_with('\n') || text.is_empty();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a whole line"));
    let said = lines.map(|line| (line["type"].as_str().expect("a type").to_owned(), number(&line["seq"])));
    let said = said.collect();
    assert!(whole, "{text}");
    said
}

#[test]
fn the_log_file_is_opened_again_and_no_line_is_lost_or_split() {
    let test = "the_log_file_is_opened_again_and_no_line_is_lost_or_split";
    let Some((near, far)) = pair(test) else { return };
    near.veth("v0", &far, "w0");
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name);
    let (now, old, older) = (file("now.json"), file("old.json"), file("gone/old.json"));
    let arguments = format!("exec {PROGRAM} -i v0 --interval 0.1 --log-file {}", now.display());
    let mut command = near.command(&arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let pid = Pid::from_raw(child.id() as i32).expect("a pid");
    let signal = |signal| kill_process(pid, signal).expect("it runs");
    let lines = |path: &Path| read_to_string(path).unwrap_or_default().lines().count();

    wait("some lines", || lines(&now) > 3);
    rename(&now, &old).expect("renamed");
    signal(Signal::HUP);
    wait("lines in the new file", || lines(&now) > 3);

    // A directory that is not there any more: lines go on into the old file.
    let moved = file("moved");
    let unreachable = directory.path().with_extension("away");
    std::fs::create_dir(file("gone")).expect("made");
    rename(&now, &older).expect("renamed");
    rename(directory.path(), &unreachable).expect("renamed");
    signal(Signal::HUP);
    let there = unreachable.join("gone/old.json");
    wait("the reason", || read_to_string(&there).unwrap_or_default().contains("\"log_file\""));
    rename(&unreachable, directory.path()).expect("renamed back");
    signal(Signal::HUP);
    wait("lines in the third file", || lines(&now) > 3);
    signal(Signal::INT);
    let mut said = [String::new(), String::new()];
    child.stdout.take().expect("piped").read_to_string(&mut said[0]).expect("text");
    child.stderr.take().expect("piped").read_to_string(&mut said[1]).expect("text");
    assert!(child.wait().expect("a child").success(), "{said:?}");
    let [lines_out, complaint] = &said;
    assert_eq!(lines_out, "", "the lines go to the file");
    // Who looks for them in the new file is told there is none.
    assert!(complaint.starts_with("fullcount: cannot open the log file "), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    assert!(!moved.exists());

    let all: Vec<(String, u64)> = [&old, &older, &now].into_iter().flat_map(|path| log(path)).collect();
    let numbers: Vec<u64> = all.iter().map(|line| line.1).collect();
    assert_eq!(numbers, (0..all.len() as u64).collect::<Vec<_>>(), "each line once, in order");
    assert_eq!((all[0].0.as_str(), all[all.len() - 1].0.as_str()), ("start", "stop"));
    let text = read_to_string(&older).expect("a file");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(notices(&lines, "log_file").count(), 1);
}
