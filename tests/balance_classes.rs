//! Interfaces side by side, class by class, and beside what a filter selects.
//!
//! From files against tshark's sums of the same classes, live against the
//! kernel's counters: what classes have, and what is in no flow, is all that an
//! interface had. Where a filter is in force its own counters stand beside.

#[path = "file_writer/mod.rs"]
mod file_writer;
#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;

use file_writer::{Classic, Packet};
use frames::*;
use live::{Fullcount, PROGRAM, number, pair, schema, skipped, total};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One term of each kind; the first that fits decides.
const CLASSES: &str = "storage 198.19.1.0/24:6800-7300/tcp\nguests 198.19.1.0/24\nnames :53\n";
/// The same as tshark's filters, in order; what is left is `other`.
const FILTERS: [(&str, &str); 3] = [
    ("storage", "ip.addr == 198.19.1.0/24 && tcp.port in {6800..7300}"),
    ("guests", "ip.addr == 198.19.1.0/24"),
    ("names", "udp.port == 53 || tcp.port == 53"),
];
const OURS: &str = "ip.src == 198.18.0.0/16";

/// Some hundred frames of each class on each of two interfaces, unevenly; ARP too.
fn frames_of(interface: usize) -> Vec<Vec<u8>> {
    let servers =
        [([198, 19, 1, 9], 6805), ([198, 19, 1, 9], 80), ([198, 19, 2, 9], 53), ([198, 19, 2, 9], 80)];
    let mut all = Vec::new();
    for number in 0..600usize {
        let kind = number * (interface + 3) % 7 % 4;
        let ends =
            Ends::v4(([198, 18, 0, 1 + (number % 9) as u8], 40_000 + (number % 50) as u16), servers[kind]);
        let size = 20 + number * 31 % (300 + 900 * interface);
        let ends = if number % (2 + interface) == 0 { ends.back() } else { ends };
        let packet = match kind {
            2 => ip(ends, UDP, &udp(ends, size)),
            _ => ip(ends, TCP, &tcp(ends, 1 + 1500 * number as u32, 1, 0x10, size)),
        };
        all.push(ethernet(&[], 0x0800, &packet));
        if number % 40 == interface {
            all.push(ethernet(&[], 0x0806, &[0; 46]));
        }
    }
    all
}

fn save(folder: &Path, name: &str, interface: usize) -> PathBuf {
    let frames = frames_of(interface).into_iter().enumerate();
    let packets: Vec<Packet> = frames
        .map(|(number, data)| {
            let time_ns = 1_750_000_000_300_000_000 + number as u64 * 2_500_000 + interface as u64;
            Packet { time_ns, len: data.len() as u32, data }
        })
        .collect();
    let path = folder.join(name);
    std::fs::write(&path, Classic::NANO.write(&packets).concat()).expect("written");
    path
}

/// Bytes that tshark finds of each class (`untracked`: no IP), received and sent.
fn by_tshark(file: &Path) -> Option<BTreeMap<String, [u64; 2]>> {
    let sum = |filter: &str| -> Option<u64> {
        let mut command = Command::new("tshark");
        command.args(["-n", "-r"]).arg(file).args(["-Y", filter, "-T", "fields", "-e", "frame.len"]);
        let output = match command.output() {
            Ok(output) => output,
            Err(error) => {
                skipped("classes_are_side_by_side_as_tshark_sums_them", &format!("no tshark: {error}"));
                return None;
            }
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        Some(text.lines().map(|line| line.parse::<u64>().expect("a length")).sum())
    };
    let mut sums = BTreeMap::new();
    let mut earlier = String::from("ip");
    for (class, filter) in FILTERS {
        let here = format!("{earlier} && ({filter})");
        let both = [sum(&format!("{here} && !({OURS})"))?, sum(&format!("{here} && {OURS}"))?];
        sums.insert(class.to_owned(), both);
        earlier = format!("{earlier} && !({filter})");
    }
    let rest = [sum(&format!("{earlier} && !({OURS})"))?, sum(&format!("{earlier} && {OURS}"))?];
    sums.insert("other".into(), rest);
    // What has no address counts as received.
    sums.insert("untracked".into(), [sum("!ip")?, 0]);
    Some(sums)
}

/// Bytes of an interface by class in a direction of a balance, `untracked` beside; that
/// each class's shares and index are those of its bytes.
fn by_class(direction: &Value, interface: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    let classes = direction.get("classes").and_then(Value::as_array).map_or(&[][..], |all| all);
    for one in classes {
        let bytes = one["bytes"].as_object().expect("bytes by interface");
        let all: u64 = bytes.values().map(number).sum();
        let most = bytes.values().map(number).max().unwrap_or(0);
        for (name, bytes) in bytes {
            near(&one["shares"][name], number(bytes) as f64 / all as f64);
        }
        near(&one["max_over_mean"], most as f64 * bytes.len() as f64 / all as f64);
        sums.insert(one["class"].as_str().expect("a name").to_owned(), number(&one["bytes"][interface]));
    }
    let untracked = direction["untracked_bytes"].as_object().expect("where there are classes");
    sums.insert("untracked".into(), number(&untracked[interface]));
    sums
}

fn near(given: &Value, expected: f64) {
    let given = given.as_f64().unwrap_or(f64::NAN);
    assert!((given - expected).abs() <= 1.000_001e-6, "{given} is not {expected}");
}

fn class_file(folder: &Path) -> PathBuf {
    let path = folder.join("classes");
    std::fs::write(&path, CLASSES).expect("written");
    path
}

#[test]
fn classes_are_side_by_side_as_tshark_sums_them() {
    let folder = tempfile::tempdir().expect("a directory");
    let files = ["a.pcap", "b.pcap"].map(|name| save(folder.path(), name, usize::from(name == "b.pcap")));
    let classes = class_file(folder.path());
    let run = |output: &str, workers: &str| {
        let mut command = Command::new(PROGRAM);
        command.arg("-r").arg(format!("{}+{}", files[0].display(), files[1].display()));
        command.args(["-o", output, "--interval", "0.5", "-F", "198.18.0.0/16", "--workers", workers]);
        let done = command.arg("--classes").arg(&classes).output().expect("it runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("UTF-8")
    };
    let text = run("json", "1");
    let body = |text: &str| text.split_once('\n').map(|(_, rest)| rest.to_owned());
    assert_eq!(body(&run("json", "3")), body(&text), "any number of workers");
    let lines = schema::validate_lines(&text);
    let stop = lines.last().expect("lines");
    let names: Vec<String> = stop["interfaces"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["interface"].as_str().expect("a name").to_owned())
        .collect();
    for (file, name) in files.iter().zip(&names) {
        let Some(truth) = by_tshark(file) else { return };
        for (at, direction) in ["rx", "tx"].into_iter().enumerate() {
            let told = by_class(&stop["balances"][0][direction], name);
            for (class, bytes) in &truth {
                let had = told.get(class).copied().unwrap_or(0);
                assert_eq!(had, bytes[at], "{class} {direction} of {name}: {told:?}");
            }
            let all = number(&total(std::slice::from_ref(stop), name)[direction]["bytes"]);
            assert_eq!(told.values().sum::<u64>(), all, "{direction} of {name}: classes are all");
            assert!(told.values().filter(|&&bytes| bytes > 0).count() >= 4, "{told:?}");
            intervals_sum_up(&lines, stop, direction, name);
        }
    }
    let text = run("text", "2");
    let storage = text.lines().filter(|line| line.trim_start().starts_with("storage, ")).count();
    assert!(storage >= 2, "a line in each direction:\n{text}");
    assert!(text.contains("  in no flow, "), "{text}");
}

/// What the intervals have of each class is what the run has.
fn intervals_sum_up(lines: &[Value], stop: &Value, direction: &str, interface: &str) {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for line in lines.iter().filter(|line| line["type"] == "balance") {
        for (class, bytes) in by_class(&line[direction], interface) {
            *sums.entry(class).or_default() += bytes;
        }
    }
    assert_eq!(sums, by_class(&stop["balances"][0][direction], interface), "{direction} of {interface}");
}

#[test]
fn classes_of_a_live_link_are_all_that_the_kernel_counts() {
    let Some((near, far)) = pair("classes_of_a_live_link_are_all_that_the_kernel_counts") else { return };
    let folder = tempfile::tempdir().expect("a directory");
    let classes = class_file(folder.path());
    near.veth("a0", &far, "b0");
    near.veth("a1", &far, "b1");
    let mut ours = ["a0", "a1"].map(|name| near.injector(name));
    let mut theirs = ["b0", "b1"].map(|name| far.injector(name));
    let arguments = format!("-i a0+a1 --interval 0.2 --workers 2 --classes {}", classes.display());
    let running = Fullcount::start(&near, &arguments);
    let counters = || ["a0", "a1"].map(|name| ["rx_bytes", "tx_bytes"].map(|what| near.counter(name, what)));
    let before = counters();
    for interface in 0..2 {
        for (number, frame) in frames_of(interface).iter().enumerate() {
            let here = number % 3 == 0;
            (if here { &mut ours[interface] } else { &mut theirs[interface] }).send(frame);
        }
    }
    let after = counters();
    let lines = running.stop().lines();
    let stop = lines.last().expect("stop");
    for (at, name) in ["a0", "a1"].into_iter().enumerate() {
        for (which, direction) in ["rx", "tx"].into_iter().enumerate() {
            let told = by_class(&stop["balances"][0][direction], name);
            let counted = after[at][which] - before[at][which];
            assert_eq!(told.values().sum::<u64>(), counted, "{direction} of {name}: {told:?}");
            assert!(["storage", "guests", "names", "other"].iter().all(|class| told[*class] > 0), "{told:?}");
            intervals_sum_up(&lines, stop, direction, name);
        }
    }
}

#[test]
fn the_nics_own_shares_stand_beside_the_filtered_ones() {
    let Some((near, far)) = pair("the_nics_own_shares_stand_beside_the_filtered_ones") else { return };
    let folder = tempfile::tempdir().expect("a directory");
    let report = folder.path().join("report.txt");
    near.veth("a0", &far, "b0");
    near.veth("a1", &far, "b1");
    let arguments = format!("-i a0+a1 --interval 0.2 --report {} udp port 53", report.display());
    let running = Fullcount::start(&near, &arguments);
    let counted = |name: &str| ["rx", "tx"].map(|way| near.counter(name, &format!("{way}_bytes")));
    let before = ["a0", "a1"].map(counted);
    running.wait_compared("a0");
    running.wait_compared("a1");
    // What the filter selects is on the first interface, nearly all the rest on the second.
    let send = |injectors: &mut [live::netns::Injector; 2], back: bool, rounds: u16| {
        for number in 0..rounds {
            for (interface, port, size) in [(0, 53, 200), (1, 53, 20), (1, 443, 1200), (1, 443, 1200)] {
                let ends = Ends::v4(([198, 18, 0, 1], 4000 + number % 50), ([198, 19, 0, 1], port));
                let ends = if back { ends.back() } else { ends };
                injectors[interface].send(&ethernet(&[], 0x0800, &ip(ends, UDP, &udp(ends, size))));
            }
        }
    };
    send(&mut ["a0", "a1"].map(|name| near.injector(name)), false, 900);
    send(&mut ["b0", "b1"].map(|name| far.injector(name)), true, 500);
    running.wait_for("an interval with the counters' shares", |lines| {
        let mut balances = lines.iter().filter(|line| line["type"] == "balance");
        balances.find(|line| line["tx"]["unfiltered_shares"].is_object()).map(|_| ())
    });
    running.wait_interval();
    let after = ["a0", "a1"].map(counted);
    let lines = running.stop().lines();
    let balance = &lines.last().expect("stop")["balances"][0];
    for (which, direction) in ["rx", "tx"].into_iter().enumerate() {
        let bytes = [0, 1].map(|at: usize| (after[at][which] - before[at][which]) as f64);
        let all = bytes[0] + bytes[1];
        let told = &balance[direction];
        for (at, name) in ["a0", "a1"].into_iter().enumerate() {
            let share = told["unfiltered_shares"][name].as_f64().expect("a share");
            // Rates are whole bits a second.
            assert!((share - bytes[at] / all).abs() < 0.002, "{name} {direction}: {share}, {bytes:?}");
        }
        let most = told["unfiltered_max_over_mean"].as_f64().expect("an index");
        assert!((most - bytes[1] * 2.0 / all).abs() < 0.004, "{direction}: {most}, {bytes:?}");
        assert!(told["shares"]["a0"].as_f64().expect("a share") > 0.7, "by the filter: {told}");
        assert!(bytes[1] / all > 0.7, "{bytes:?}");
    }
    let text = std::fs::read_to_string(&report).expect("a report");
    assert_eq!(text.matches("  without the filter: a0 ").count(), 2, "{text}");
}
