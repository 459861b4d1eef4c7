//! The whole program on live interfaces: started, its lines read as they come,
//! ended, and all that it said held together.
//!
//! Nothing here sleeps and hopes: a test waits for a line (`start` says that
//! every frame from now on is counted), never for a time. Whoever may not make
//! network namespaces but user namespaces runs the tests too: [`permitted`]
//! starts a test again inside one.
#![allow(dead_code)] // each test program uses its part

#[path = "netns.rs"]
pub mod netns;
#[path = "schema.rs"]
pub mod schema;

use jiff::Timestamp;
use netns::Netns;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_fullcount");
/// Longer than anything here takes on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(40);
/// Says to a test that was started again where it runs.
const INSIDE: &str = "FULLCOUNT_TEST_IN_USER_NAMESPACE";

/// Says so past the capturing of a test's output, which `eprintln!` does not.
pub fn skipped(test: &str, why: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {test}: {why}").expect("standard error");
}

/// Whether this test can make namespaces here and now. Where it is no root but
/// may make user namespaces, it is run in one by this call, which then fails or
/// answers false as there is nothing left to do.
pub fn permitted(test: &str) -> bool {
    if rustix::process::geteuid().is_root() {
        let probe = Command::new("ip").arg("netns").output();
        if probe.is_ok_and(|probe| probe.status.success()) {
            return true;
        }
        skipped(test, "`ip netns` does not work here");
        return false;
    }
    if std::env::var_os(INSIDE).is_some() {
        skipped(test, "no root inside its user namespace");
        return false;
    }
    in_user_namespace(test, &std::env::current_exe().expect("this program's path"), None);
    false
}

/// Runs a test of `executable` in a user, a network and a mount namespace of
/// its own, as the user `uid` where one is given. Panics if the test fails;
/// false where such namespaces may not be made.
pub fn in_user_namespace(test: &str, executable: &std::path::Path, uid: Option<u32>) -> bool {
    let mut words: Vec<String> = Vec::new();
    if let Some(uid) = uid {
        words.extend(["setpriv".into(), format!("--reuid={uid}"), format!("--regid={uid}")]);
        words.push("--clear-groups".into());
    }
    words.extend(["unshare", "-Urnm", "sh", "-c"].map(String::from));
    let run = |script: &str| {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(script).arg("sh").arg(executable).arg(test);
        command.env(INSIDE, "1").output()
    };
    // `ip netns` keeps its names in /run/netns.
    let mount = "mount -t tmpfs tmpfs /run && ip link set lo up";
    match run(mount) {
        Ok(output) if output.status.success() => {}
        other => {
            skipped(test, &format!("may not make a user and a network namespace: {other:?}"));
            return false;
        }
    }
    let script = format!("{mount} && exec \"$1\" --exact \"$2\" --nocapture --include-ignored");
    let output = run(&script).expect("it ran a moment ago");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for line in said.lines().filter(|line| line.starts_with("SKIPPED")) {
        writeln!(std::io::stderr(), "{line}").expect("standard error");
    }
    assert!(output.status.success() && said.contains("1 passed"), "{test} in a user namespace:\n{said}");
    true
}

#[derive(Default)]
struct Said {
    text: String,
    lines: Vec<Value>,
    ended: bool,
}

/// The program, running.
pub struct Fullcount {
    child: Child,
    said: Arc<(Mutex<Said>, Condvar)>,
    reader: Option<JoinHandle<()>>,
    errors: Option<JoinHandle<String>>,
}

impl Fullcount {
    /// Runs `fullcount -o json ARGUMENTS` in a namespace; every frame that is
    /// sent after this has returned is the program's to count.
    pub fn start(netns: &Netns, arguments: &str) -> Fullcount {
        let running = Fullcount::spawn(netns.command(&format!("exec {PROGRAM} -o json {arguments}")));
        running.wait_line("start", |line| line["type"] == "start");
        running
    }

    /// Runs a command that is the program in the end.
    pub fn spawn(mut command: Command) -> Fullcount {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let said: Arc<(Mutex<Said>, Condvar)> = Arc::default();
        let out = child.stdout.take().expect("piped");
        let mut err = child.stderr.take().expect("piped");
        let shared = said.clone();
        let reader = std::thread::spawn(move || {
            let mut out = BufReader::new(out);
            let mut line = String::new();
            while out.read_line(&mut line).is_ok_and(|length| length > 0) {
                let mut said = shared.0.lock().expect("no reader panics");
                said.text.push_str(&line);
                // What is no JSON is found by `validate_lines`.
                said.lines.extend(serde_json::from_str::<Value>(&line));
                shared.1.notify_all();
                line.clear();
            }
            shared.0.lock().expect("no reader panics").ended = true;
            shared.1.notify_all();
        });
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = err.read_to_string(&mut text);
            text
        });
        Fullcount { child, said, reader: Some(reader), errors: Some(errors) }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a pid");
        kill_process(pid, signal).expect("it runs");
    }

    /// Stops it (SIGSTOP) and waits until each of its threads stands still.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.child.id());
        netns::wait("all threads stopped", || {
            let tasks = std::fs::read_dir(&tasks).expect("it runs");
            tasks.flatten().all(|task| {
                let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
            })
        });
    }

    /// Waits until `found` has an answer from all lines so far.
    pub fn wait_for<T>(&self, what: &str, mut found: impl FnMut(&[Value]) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let mut said = self.said.0.lock().expect("no reader panics");
        loop {
            if let Some(answer) = found(&said.lines) {
                return answer;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!said.ended && !left.is_zero(), "{what}: not in\n{}", said.text);
            said = self.said.1.wait_timeout(said, left).expect("no reader panics").0;
        }
    }

    /// The first line, of those said already too, that is as asked for.
    pub fn wait_line(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_for(what, |lines| lines.iter().find(|line| wanted(line)).cloned())
    }

    /// Waits for a notice about an interface that comes after `after` others of its kind.
    pub fn wait_notice(&self, event: &str, interface: &str, after: usize) {
        self.wait_for(&format!("{event} of {interface}"), |lines| {
            notices(lines, event).filter(|line| line["interface"] == interface).nth(after).map(|_| ())
        });
    }

    /// Waits until the interval lines of an interface sum to this many frames.
    pub fn wait_frames(&self, interface: &str, frames: u64) {
        self.wait_for(&format!("{frames} frames on {interface}"), |lines| {
            let sum: u64 = intervals(lines, interface)
                .map(|line| frames_of(&line["rx"]).packets + frames_of(&line["tx"]).packets)
                .sum();
            (sum >= frames).then_some(())
        });
    }

    /// Waits until an interval has ended that goes on beyond this call: what
    /// was sent before it is in lines.
    pub fn wait_interval(&self) {
        let now = Timestamp::now();
        self.wait_line("an interval", |line| line["type"] == "interface" && time_of(line) > now);
    }

    /// Waits until the interface's own counters have been read and compared:
    /// what is sent from now on is in the comparison at the end, all of it.
    pub fn wait_compared(&self, interface: &str) {
        let now = Timestamp::now();
        self.wait_for("a comparison with the interface's own counters", |lines| {
            let compared = |line: &&Value| {
                let rate = line["rx"].get("unfiltered_bits_per_second").is_some_and(Value::is_number);
                time_of(line) > now && (rate || line["capture"]["coverage_ratio"].is_number())
            };
            intervals(lines, interface).find(compared).map(|_| ())
        });
    }

    /// SIGINT, then as [`Fullcount::end`].
    pub fn stop(self) -> Run {
        self.signal(Signal::INT);
        self.end()
    }

    /// Waits until it has ended, and reads all that it said.
    pub fn end(mut self) -> Run {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            if Instant::now() > end {
                let _ = self.child.kill();
                let said = self.said.0.lock().expect("no reader panics");
                panic!("it does not end:\n{}", said.text);
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        self.reader.take().expect("once").join().expect("no reader panics");
        let stderr = self.errors.take().expect("once").join().expect("no reader panics");
        let text = std::mem::take(&mut self.said.0.lock().expect("no reader panics").text);
        Run { status, text, stderr }
    }
}

impl Drop for Fullcount {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a run that has ended said.
pub struct Run {
    pub status: ExitStatus,
    pub text: String,
    pub stderr: String,
}

impl Run {
    /// The lines of a run that went well: each as the schema says, `stop` last,
    /// the interval lines of each interface sum to it, no sum contradicts another.
    pub fn lines(&self) -> Vec<Value> {
        assert_eq!((self.status.code(), self.stderr.as_str()), (Some(0), ""), "{}", self.text);
        let lines = schema::validate_lines(&self.text);
        let stop = lines.last().expect("some lines");
        assert_eq!(stop["type"], "stop", "{}", self.text);
        assert_eq!(stop["json_lines_lost"], 0);
        for event in ["identity", "worker_gone", "frames_missing", "flows_unreported", "late_packets"] {
            assert_eq!(notices(&lines, event).count(), 0, "{event} in\n{}", self.text);
        }
        for total in stop["interfaces"].as_array().expect("a list") {
            let name = total["interface"].as_str().expect("a name");
            for direction in ["rx", "tx"] {
                let parts = intervals(&lines, name).map(|line| line[direction].clone());
                let parts: Vec<Value> = parts.collect();
                let sum = |of: fn(&Value) -> Count| parts.iter().map(of).fold(Count::default(), Count::plus);
                assert_eq!(sum(count_of), count_of(&total[direction]), "{name} {direction}");
                assert_eq!(sum(frames_of), frames_of(&total[direction]), "{name} {direction} frames");
            }
            for key in ["frames", "kernel_drops", "freezes", "truncated"] {
                let parts = intervals(&lines, name).map(|line| number(&line["capture"][key]));
                assert_eq!(parts.sum::<u64>(), number(&total["capture"][key]), "{name} {key}");
            }
            let untracked = intervals(&lines, name).map(|line| count_of(&line["untracked"]));
            assert_eq!(
                untracked.fold(Count::default(), Count::plus),
                count_of(&total["untracked"]),
                "{name}"
            );
        }
        lines
    }
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub packets: u64,
    pub bytes: u64,
}

impl Count {
    pub fn plus(self, other: Count) -> Count {
        Count { packets: self.packets + other.packets, bytes: self.bytes + other.bytes }
    }
    /// One more packet.
    pub fn add(&mut self, bytes: usize) {
        *self = self.plus(Count { packets: 1, bytes: bytes as u64 });
    }
}

pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

/// The moment that a line is for.
pub fn time_of(line: &Value) -> Timestamp {
    line["time"].as_str().and_then(|time| time.parse().ok()).unwrap_or_else(|| panic!("no time: {line}"))
}

/// `packets` and `bytes` of an object.
pub fn count_of(value: &Value) -> Count {
    Count { packets: number(&value["packets"]), bytes: number(&value["bytes"]) }
}

/// `frames` and `frame_bytes` of an object, which stand there where they differ.
pub fn frames_of(value: &Value) -> Count {
    match value.get("frames") {
        Some(frames) => Count { packets: number(frames), bytes: number(&value["frame_bytes"]) },
        None => count_of(value),
    }
}

/// The interval lines of an interface.
pub fn intervals<'a>(lines: &'a [Value], interface: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["type"] == "interface" && line["interface"] == interface)
}

/// Notices of one kind.
pub fn notices<'a>(lines: &'a [Value], event: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["type"] == "notice" && line["event"] == event)
}

/// `connection` lines of flows that are over, or were open at the end.
pub fn connections(lines: &[Value]) -> impl Iterator<Item = &Value> {
    lines.iter().filter(|line| line["type"] == "connection" && line["end_reason"] != "active")
}

/// An interface in the `stop` line.
pub fn total<'a>(lines: &'a [Value], interface: &str) -> &'a Value {
    let interfaces = lines.last().expect("some lines")["interfaces"].as_array().expect("a list");
    interfaces.iter().find(|one| one["interface"] == interface).expect("it is there")
}

/// Two namespaces, `near` where the program runs; nothing but the test sends.
pub fn pair(test: &str) -> Option<(Netns, Netns)> {
    if !permitted(test) {
        return None;
    }
    Some((Netns::new("live")?, Netns::new("live")?))
}
