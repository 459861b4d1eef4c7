//! `fullcount demo`, as an ordinary user and as root: a screen with figures soon,
//! something true on every view, lines that hold together, and nothing left.

#[path = "common/bonding.rs"]
mod bonding;
#[path = "common/live.rs"]
mod live;
#[path = "common/terminal.rs"]
mod terminal;

use live::{Fullcount, PROGRAM, intervals, number, skipped};
use rustix::process::Signal;
use serde_json::Value;
use std::process::Command;
use std::time::Instant;
use terminal::OnTerminal;

/// The connection that fills a link now and then (`fullcount::demo`).
const BURST: (&str, u64, &str, u64) = ("198.18.0.10", 40873, "198.18.7.30", 873);

/// The program with these arguments, as a user with no rights at all where this one
/// may become another; its home and its places for files are an empty directory.
fn ordinary(arguments: &str, home: &std::path::Path) -> Command {
    let words = format!(
        "cd {0} && exec env -i HOME={0} TMPDIR={0} XDG_RUNTIME_DIR={0} PATH=\"$PATH\" \
         TERM=\"$TERM\" LANG=C.UTF-8 {PROGRAM} {arguments}",
        home.display()
    );
    let mut command = if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(home, Some(65534), Some(65534)).expect("its own home");
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c"]);
        command
    } else {
        let mut command = Command::new("sh");
        command.arg("-c");
        command
    };
    command.arg(words);
    command
}

/// Whether an ordinary user may have namespaces here; says so where not.
fn permitted(test: &str) -> bool {
    let home = tempfile::tempdir().expect("a directory");
    let output = ordinary("demo -o json --duration 0.1", home.path()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(1) && said.contains("needs a network namespace of its own") {
        assert_eq!(said.lines().count(), 1, "{said}");
        skipped(test, &said);
        return false;
    }
    assert_eq!((output.status.code(), &*said), (Some(0), ""));
    true
}

/// The network namespace of a process, as the kernel names it.
fn namespace(pid: u32) -> String {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/net")).expect("it runs");
    link.to_string_lossy().into_owned()
}

/// Processes that are in it.
fn members(namespace: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let tasks =
        processes.flat_map(|process| std::fs::read_dir(process.path().join("task")).into_iter().flatten());
    let inside = tasks.flatten().filter(|task| {
        std::fs::read_link(task.path().join("ns/net")).is_ok_and(|link| link.to_string_lossy() == namespace)
    });
    inside.map(|task| task.path().display().to_string()).collect()
}

/// No process, no mount of the namespace, no file.
fn nothing_left(namespace: &str, home: &std::path::Path) {
    live::netns::wait("nobody in the namespace", || members(namespace).is_empty());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains(namespace), "{mounts}");
    assert_eq!(std::fs::read_dir(home).expect("a directory").count(), 0, "files are left");
}

#[test]
fn an_ordinary_user_sees_every_view_and_leaves_nothing() {
    if !permitted("an_ordinary_user_sees_every_view_and_leaves_nothing") {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    let begun = Instant::now();
    let mut screen = OnTerminal::start(ordinary("demo", home.path()), 120, 40);
    let rows = |text: &str| text.contains(" Connections by rate") && text.contains("198.18.4.1:6802");
    screen.wait("the first figures", rows);
    println!("the first screen with rows in it after {} ms", begun.elapsed().as_millis());
    let namespace = namespace(screen.pid());
    assert_ne!(Some(&*namespace), std::fs::read_link("/proc/self/ns/net").expect("/proc").to_str());
    // A reading of the counters can fall between a frame's count there and its tap:
    // one frame of a first short interval is 0.1 %, so some later reading has to be whole.
    let whole = |line: &str| line.contains("100.0") || line.contains("doubtful");
    screen.wait("both links", |text| {
        assert!(!text.contains(" short "), "{text}");
        ["eth0", "eth1"].iter().map(|name| line(text, name)).all(|line| line.contains("1.00G") && whole(line))
    });
    screen.keys("\x1bOQ");
    screen.wait("pairs of hosts", |text| text.contains(" Hosts") && text.contains("198.18.4.2"));
    screen.keys("\x1bOR");
    screen.wait("destinations, ours too", |text| {
        text.contains(" Destinations")
            && text.contains("198.51.100.5")
            && line(text, "198.18.0.10").contains(" in ")
    });
    screen.keys("\x1bOS");
    screen.wait("each way to fail", |text| {
        text.contains(" Handshakes")
            && ["198.51.100.20:8081", "192.0.2.77:22", "192.0.2.66:443"]
                .iter()
                .all(|server| text.contains(server))
    });
    screen.keys("\x1b[15~");
    screen.wait("the slaves side by side", |text| {
        text.contains(" Links") && text.contains("eth0+eth1 tx") && text.contains("eth0+eth1 rx")
    });
    screen.keys("\x1b[17~");
    screen.wait("a burst and who made it", |text| {
        text.contains(" Bursts") && text.contains("eth0") && text.contains("198.18.7.30:873")
    });
    screen.keys("q");
    let (status, text) = screen.end();
    assert_eq!(status.code(), Some(0), "{text}");
    assert!(text.contains("Stopped after"), "{text}");
    nothing_left(&namespace, home.path());
}

/// The first line that begins with a word.
fn line<'a>(text: &'a str, word: &str) -> &'a str {
    text.lines().find(|line| line.split_whitespace().next() == Some(word)).unwrap_or_default()
}

/// What a run of some seconds has to say.
fn check(lines: &[Value]) {
    let start = &lines[0];
    let names: Vec<&str> = start["interfaces"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["interface"].as_str())
        .collect();
    assert_eq!(names, ["eth0", "eth1"]);
    // Where this machine has other things to do, what was received comes in heaps, which
    // may be bursts too.
    let on = |burst: &&Value| burst["interface"] == "eth0" && burst["direction"] == "tx";
    let bursts: Vec<&Value> = lines.iter().filter(|line| line["type"] == "burst").filter(on).collect();
    let known = |burst: &&&Value| {
        let who = &burst["culprits"][0];
        let ends = [&who["client"], &who["server"]];
        let named = (
            ends[0]["ip"].as_str().unwrap_or_default(),
            number(&ends[0]["port"]),
            ends[1]["ip"].as_str().unwrap_or_default(),
            number(&ends[1]["port"]),
        );
        named == BURST
    };
    assert!(!bursts.is_empty(), "no burst");
    assert_eq!(bursts.iter().filter(known).count(), bursts.len(), "{bursts:#?}");
    for burst in &bursts {
        assert!(burst["culprits"][0]["share_ratio"].as_f64().is_some_and(|share| share > 0.5), "{burst}");
    }
    let stop = lines.last().expect("a line");
    let failures = |watch: &str| {
        let tally = stop["handshakes"].as_array().expect("a list").iter().find(|one| one["watch"] == watch);
        tally.expect("a watch")["failure"].clone()
    };
    let out = failures("TX");
    for outcome in ["reject", "unreach", "timeout"] {
        assert!(number(&out[outcome]) > 0, "{outcome}: {out}");
    }
    assert!(number(&failures("RX")["reject"]) > 0);
    for name in ["eth0", "eth1"] {
        let capture = &live::total(lines, name)["capture"];
        assert_eq!(
            (number(&capture["missing_bytes"]), number(&capture["kernel_drops"])),
            (0, 0),
            "{name}: {capture}"
        );
        for direction in ["rx", "tx"] {
            assert!(
                intervals(lines, name).any(|line| number(&line[direction]["bytes"]) > 10_000),
                "{name} {direction}"
            );
        }
    }
    assert!(lines.iter().any(|line| line["type"] == "balance"));
}

#[test]
fn lines_of_an_ordinary_user_hold_together() {
    if !permitted("lines_of_an_ordinary_user_hold_together") {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    check(&Fullcount::spawn(ordinary("demo -o json --duration 5", home.path())).end().lines());
}

#[test]
fn lines_of_root_hold_together() {
    if !rustix::process::geteuid().is_root() {
        return skipped("lines_of_root_hold_together", "this is not root");
    }
    let mut command = Command::new(PROGRAM);
    command.args(["demo", "-o", "json", "--duration", "5"]);
    check(&Fullcount::spawn(command).end().lines());
}

#[test]
fn nothing_is_left_of_one_that_is_killed() {
    if !permitted("nothing_is_left_of_one_that_is_killed") {
        return;
    }
    for signal in [Signal::KILL, Signal::TERM, Signal::INT] {
        let home = tempfile::tempdir().expect("a directory");
        let running = Fullcount::spawn(ordinary("demo -o json", home.path()));
        running
            .wait_line("traffic", |line| line["type"] == "interface" && number(&line["rx"]["packets"]) > 0);
        let namespace = namespace(running.pid());
        running.signal(signal);
        let run = running.end();
        assert_eq!(run.status.code(), (signal != Signal::KILL).then_some(0), "{}", run.stderr);
        nothing_left(&namespace, home.path());
    }
}

#[test]
fn one_whose_starter_is_killed_ends_too() {
    if !permitted("one_whose_starter_is_killed_ends_too") {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("sh");
    // Its output goes nowhere: no pipe that breaks ends it.
    command.args(["-c", "\"$@\" >/dev/null & echo $!; wait", "sh"]);
    let own = ordinary("demo -o json", home.path());
    command.arg(own.get_program()).args(own.get_args()).stdout(std::process::Stdio::piped());
    let mut starter = command.spawn().expect("it starts");
    let mut pid = String::new();
    let mut out = std::io::BufReader::new(starter.stdout.take().expect("piped"));
    std::io::BufRead::read_line(&mut out, &mut pid).expect("a line");
    let pid: u32 = pid.trim().parse().expect("a process");
    let own = std::fs::read_link("/proc/self/ns/net").expect("/proc").to_string_lossy().into_owned();
    let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    live::netns::wait("it runs in its namespace", || threads() > 3 && namespace(pid) != own);
    let namespace = namespace(pid);
    starter.kill().expect("it runs");
    starter.wait().expect("a child");
    nothing_left(&namespace, home.path());
}

#[test]
fn where_it_may_not_be_a_sentence_says_what_to_do() {
    let test = "where_it_may_not_be_a_sentence_says_what_to_do";
    let mut command = Command::new("unshare");
    let none = "echo 0 > /proc/sys/user/max_user_namespaces && echo 0 > /proc/sys/user/max_net_namespaces";
    command.args(["-Ur", "sh", "-c", &format!("{none} || exit 9; exec {PROGRAM} demo -o json --duration 1")]);
    let output = command.output().expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(9) || said.contains("unshare") {
        return skipped(test, &said);
    }
    assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stdout)), (Some(1), ""), "{said}");
    assert!(said.starts_with("fullcount: fullcount demo needs a network namespace of its own"), "{said}");
    assert!(
        said.contains("`sudo sysctl user.max_user_namespaces=1000`") && said.lines().count() == 1,
        "{said}"
    );
}

#[test]
fn where_the_kernel_has_bonds_it_is_a_real_one() {
    if !bonding::bonding("where_the_kernel_has_bonds_it_is_a_real_one") {
        return;
    }
    let mut command = Command::new(PROGRAM);
    command.args(["demo", "-o", "json", "--duration", "5"]);
    let lines = Fullcount::spawn(command).end().lines();
    let bond = &lines[0]["bonds"][0];
    assert_eq!(
        (&bond["bond"], &bond["mode"], &bond["xmit_hash_policy"]),
        (&Value::from("bond0"), &Value::from("balance-xor"), &Value::from("layer2"))
    );
    let balance = lines.iter().rfind(|line| line["type"] == "balance").expect("a balance");
    // The kernel's own choice for every frame, as it was foreseen.
    assert!(
        balance["what_if"]["model_accuracy_ratio"].as_f64().is_some_and(|ratio| ratio > 0.999),
        "{balance}"
    );
}
