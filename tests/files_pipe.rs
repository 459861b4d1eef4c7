//! Pipes in the place of files: read as they come, and left when told to.

#[allow(dead_code)]
mod files_run;
#[path = "common/frames.rs"]
mod frames;
#[path = "file_writer/mod.rs"]
mod writer;

use files_run::*;
use frames::{Ends, ethernet, ip, udp};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use writer::{Classic, Packet};

const PATIENCE: Duration = Duration::from_secs(60);

fn pipe(directory: &Path) -> PathBuf {
    let path = directory.join("pipe");
    mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
    path
}

fn reading(path: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fullcount"));
    command.args(["-o", "json", "-r"]).arg(path).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("it starts")
}

fn interrupt(child: &Child) {
    kill_process(Pid::from_raw(child.id() as i32).expect("a pid"), Signal::INT).expect("it runs");
}

/// Its exit code and what it has complained of.
fn end(mut child: Child) -> (Option<i32>, String) {
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let mut complaint = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut complaint).expect("UTF-8");
    (status.code(), complaint)
}

#[test]
fn a_pipe_whose_writer_goes_on_is_left_when_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = pipe(directory.path());
    let mut child = reading(&path);
    let ends = Ends::v4(([198, 18, 0, 1], 1000), ([198, 18, 1, 1], 53));
    let data = ethernet(&[], 0x0800, &ip(ends, frames::UDP, &udp(ends, 10)));
    let packet = |n: u64| Packet { time_ns: n * 1_000_000_000, len: data.len() as u32, data: data.clone() };
    let packets: Vec<Packet> = (1..=3).map(packet).collect();
    let mut writer = std::fs::File::options().write(true).open(&path).expect("its other end");
    writer.write_all(&Classic::MICRO.write(&packets).concat()).expect("written");
    // The second of packet time has ended: two packets are counted, the third is read.
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("another line").expect("readable");
        serde_json::from_str(&line).expect("JSON")
    };
    while next()["type"] != "interface" {}
    interrupt(&child);
    let stop = std::iter::repeat_with(next).find(|line| line["type"] == "stop").expect("the last line");
    assert_eq!(stop["reason"], "signal");
    assert_eq!(number(&stop["interfaces"][0]["capture"]["frames"]), 3);
    assert_eq!(end(child), (Some(0), String::new()));
    drop(writer);
}

#[test]
fn a_pipe_without_a_writer_is_left_when_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let child = reading(&pipe(directory.path()));
    // Once it listens for signals; SIGINT is bit 1 of those caught.
    let status = format!("/proc/{}/status", child.id());
    let began = Instant::now();
    let listens = || {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let caught =
            status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0").trim().to_owned();
        u64::from_str_radix(&caught, 16).is_ok_and(|caught| caught & 2 != 0)
    };
    while !listens() {
        assert!(began.elapsed() < PATIENCE, "it does not listen");
        std::thread::sleep(Duration::from_millis(2));
    }
    interrupt(&child);
    let (code, complaint) = end(child);
    assert_eq!(code, Some(1));
    assert_eq!(complaint, "fullcount: told to stop before there was anything to read\n");
}

/// Whoever should read is stuck: the first signal waits for that, the second one does not.
#[test]
fn a_second_signal_ends_it_though_nobody_reads() {
    let path = format!("{}/fixtures/corpus/captures/ipfixprobe-tls.pcap", env!("CARGO_MANIFEST_DIR"));
    let program = env!("CARGO_BIN_EXE_fullcount");
    let mut command = Command::new("sh");
    let line = format!("exec {program} -r {path} -o json --connections --interval 0.1 2>&1");
    let mut child = command.args(["-c", &line]).stdout(Stdio::piped()).spawn().expect("it starts");
    let out = child.stdout.take().expect("piped");
    let end = Instant::now() + PATIENCE;
    let wait = |what: &str, is_done: &mut dyn FnMut() -> bool| {
        while !is_done() {
            assert!(Instant::now() < end, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    // It holds 64 KiB, less what its pages have no use for.
    wait("a full pipe", &mut || rustix::io::ioctl_fionread(&out).expect("a pipe") > 40_000);
    interrupt(&child);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(child.try_wait().expect("a child"), None, "it waits");
    // Within half a second of the first one's being heard it is the same one.
    let mut status = None;
    wait("its end", &mut || {
        interrupt(&child);
        status = child.try_wait().expect("a child");
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(1));
}
