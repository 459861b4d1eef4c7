//! What another hash policy would do, proven on traffic: a sender places each
//! of some hundred flows on two interfaces as a policy says, by the figures of
//! tests/links_truth/bond_hash.py. The program, told nothing, has to find that
//! policy, and what it says of each other one has to be what the script
//! computes, to the byte; live, and from tcpdump's files with any number of
//! workers. Shares are compared with the kernel's own counters.

#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;

use frames::*;
use live::netns::{Injector, Netns};
use live::{Fullcount, PROGRAM, number, pair, schema, skipped, total};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/links_truth/bond_hash.py");
/// The script's order.
const POLICIES: [&str; 6] = ["layer2", "layer2+3", "layer3+4", "encap2+3", "encap3+4", "vlan+srcmac"];
/// The script's kernels, the newest first: a hash and a slave each.
const ROW: usize = POLICIES.len() * 18 * 5;
const FLOWS: usize = 300;

/// xorshift64*: the same flows on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// What one flow sends, and what comes back.
struct Flow {
    frames: Vec<Vec<u8>>,
    answers: Vec<Vec<u8>>,
    /// The place that each policy gives it, in the order of [`POLICIES`].
    places: [usize; POLICIES.len()],
}

impl Flow {
    fn bytes(&self) -> u64 {
        self.frames.iter().map(|frame| frame.len() as u64).sum()
    }
}

/// Flows of several stations behind us to several gateways, as a router has them.
fn make(random: &mut Random, number: usize) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let source = ([198, 18, random.below(4) as u8, random.below(250) as u8 + 1], 1024 + number as u16);
    let port = [53, 80, 443, 5201][random.below(4) as usize];
    let ends = Ends::v4(source, ([198, 19, random.below(8) as u8, random.below(250) as u8 + 1], port));
    let tcp_flow = random.below(2) == 0;
    let (here, there) =
        ([2, 0, 0, 0, 0xfe, random.below(16) as u8], [2, 0, 0, 1, 0xff, random.below(16) as u8]);
    let mut sequence = 1;
    let mut frame = |ends: Ends, from: [u8; 6], to: [u8; 6], payload: usize| {
        let packet = match tcp_flow {
            true => ip(ends, TCP, &tcp(ends, sequence, 1, 0x10, payload)),
            false => ip(ends, UDP, &udp(ends, payload)),
        };
        sequence += payload as u32;
        let mut frame = ethernet(&[], 0x0800, &packet);
        frame[..6].copy_from_slice(&to);
        frame[6..12].copy_from_slice(&from);
        frame
    };
    let count = 1 + random.below(5) as usize;
    let sizes: Vec<usize> = (0..count).map(|_| 20 + random.below(1300) as usize).collect();
    let sent = sizes.iter().map(|&payload| frame(ends, here, there, payload)).collect();
    let back = (0..random.below(3)).map(|_| frame(ends.back(), there, here, 60)).collect();
    (sent, back)
}

/// Flows with their places among two slaves; None without python3.
fn flows(test: &str, random: &mut Random) -> Option<Vec<Flow>> {
    let made: Vec<_> = (0..FLOWS).map(|number| make(random, number)).collect();
    let mut input = Vec::new();
    for (frames, _) in &made {
        let frame = &frames[0];
        input.extend([0, 0, 0, 2]);
        input.extend((frame.len() as u16).to_le_bytes());
        input.extend(frame);
    }
    let python = Command::new("python3").arg(SCRIPT).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut python = match python {
        Ok(python) => python,
        Err(error) => {
            skipped(test, &format!("python3 does not start: {error}"));
            return None;
        }
    };
    let mut pipe = python.stdin.take().expect("piped");
    let writer = std::thread::spawn(move || pipe.write_all(&input).expect("the script reads"));
    let output = python.wait_with_output().expect("it ends");
    writer.join().expect("no panic");
    assert!(output.status.success() && output.stdout.len() == FLOWS * ROW);
    let flow = |((frames, answers), row): ((_, _), &[u8])| {
        let places = std::array::from_fn(|policy| usize::from(row[policy * 18 * 5 + 4]));
        Flow { frames, answers, places }
    };
    Some(made.into_iter().zip(output.stdout.chunks_exact(ROW)).map(flow).collect())
}

/// Sends each flow over the interface at its place; what comes back comes over any.
fn send(
    flows: &[Flow],
    place: impl Fn(usize, &Flow) -> usize,
    ours: &mut [Injector],
    theirs: &mut [Injector],
) {
    let mut random = Random(0xa115);
    for (number, flow) in flows.iter().enumerate() {
        let injector = &mut ours[place(number, flow)];
        flow.frames.iter().for_each(|frame| injector.send(frame));
        for frame in &flow.answers {
            theirs[random.below(theirs.len() as u64) as usize].send(frame);
        }
    }
}

/// Bytes that a policy gives to each of two places, by the script.
fn truth(flows: &[Flow], policy: usize) -> [u64; 2] {
    let mut bytes = [0; 2];
    flows.iter().for_each(|flow| bytes[flow.places[policy]] += flow.bytes());
    bytes
}

/// The program names this policy, tells what each other one would have done as
/// the script does, and puts all right.
fn check(what_if: &Value, policy: usize, flows: &[Flow], names: [&str; 2]) {
    let name = POLICIES[policy];
    // What differs in tunnels alone, and has none here: simplest first.
    let equal = match name {
        "layer2+3" | "encap2+3" => vec!["layer2+3", "encap2+3"],
        "layer3+4" | "encap3+4" => vec!["layer3+4", "encap3+4"],
        alone => vec![alone],
    };
    assert_eq!(what_if["policy_in_force"], equal[0], "{name}: {what_if}");
    let as_well = what_if.get("fit_as_well").cloned().unwrap_or(json!([]));
    assert_eq!(as_well, json!(equal[1..]), "{name}: {what_if}");
    assert_eq!((&what_if["found_by_fit"], &what_if["model_accuracy_ratio"]), (&json!(true), &json!(1.0)));
    assert_eq!((&what_if["judged_ratio"], what_if.get("withheld")), (&json!(1.0), None), "{what_if}");
    let others: Vec<&str> = POLICIES.into_iter().filter(|other| *other != equal[0]).collect();
    let told: BTreeMap<&str, &Value> = what_if["policies"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (one["policy"].as_str().expect("a name"), one))
        .collect();
    assert_eq!(told.len(), others.len(), "{what_if}");
    for other in others {
        let place = POLICIES.iter().position(|one| *one == other).expect("one of them");
        let bytes = truth(flows, place);
        let one = told[other];
        assert_eq!(one["bytes"], json!({names[0]: bytes[0], names[1]: bytes[1]}), "{name}: {one}");
        let all: u64 = bytes.iter().sum();
        let share = |bytes: u64| (bytes as f64 / all as f64 * 1e6).round() / 1e6;
        assert_eq!(one["shares"], json!({names[0]: share(bytes[0]), names[1]: share(bytes[1])}), "{one}");
    }
}

/// tcpdump on an interface, until so many frames have been written.
fn tcpdump(netns: &Netns, interface: &str, frames: u64, file: &Path) -> Option<Child> {
    let line = format!("exec tcpdump -Z root -ni {interface} -c {frames} -w {}", file.display());
    let mut child = netns.command(&line).stderr(Stdio::piped()).spawn().expect("ip netns exec runs");
    let mut said = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    while said.read_line(&mut line).is_ok_and(|length| length > 0) {
        if line.contains("listening on") {
            // It goes on saying something at its end.
            std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
            return Some(child);
        }
    }
    let _ = child.wait();
    skipped("live_what_if", &format!("tcpdump does not start: {line}"));
    None
}

/// Frames that each of two interfaces will have, both directions.
fn frames_at(flows: &[Flow], place: impl Fn(usize, &Flow) -> usize) -> [u64; 2] {
    let mut frames = [0; 2];
    let mut random = Random(0xa115);
    for (number, flow) in flows.iter().enumerate() {
        frames[place(number, flow)] += flow.frames.len() as u64;
        flow.answers.iter().for_each(|_| frames[random.below(2) as usize] += 1);
    }
    frames
}

/// What two files say, the same with any number of workers.
fn from_files(near: &Netns, files: &[std::path::PathBuf; 2]) -> Value {
    let run = |workers: usize| {
        let [one, other] = [0, 1].map(|at| files[at].display().to_string());
        let line = format!(
            "exec {PROGRAM} -o json -r {one}+{other} -F 198.18.0.0/16 --interval 0.1 --workers {workers}"
        );
        let output = near.command(&line).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        schema::validate_lines(&text);
        // The first line tells how many workers there are.
        text.split_once('\n').expect("lines").1.to_owned()
    };
    let text = run(1);
    for workers in [2, 4] {
        assert_eq!(run(workers), text, "{workers} workers");
    }
    serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
}

/// Counters of the kernel: rx and tx bytes of each interface.
fn counters(near: &Netns) -> [[u64; 2]; 2] {
    ["a0", "a1"].map(|name| ["rx_bytes", "tx_bytes"].map(|counter| near.counter(name, counter)))
}

/// Bytes and shares are what the kernel counted meanwhile.
fn check_counters(stop: &Value, before: [[u64; 2]; 2], after: [[u64; 2]; 2]) {
    for (at, direction) in ["rx", "tx"].into_iter().enumerate() {
        let counted = [0, 1].map(|link: usize| after[link][at] - before[link][at]);
        for (name, counted) in ["a0", "a1"].into_iter().zip(counted) {
            assert_eq!(
                number(&total(std::slice::from_ref(stop), name)[direction]["bytes"]),
                counted,
                "{name}"
            );
        }
        let all: u64 = counted.iter().sum();
        let share = |bytes: u64| (bytes as f64 / all as f64 * 1e6).round() / 1e6;
        let shares = json!({"a0": share(counted[0]), "a1": share(counted[1])});
        assert_eq!(stop["balances"][0][direction]["shares"], shares, "{direction}");
    }
}

fn injectors(near: &Netns, far: &Netns) -> ([Injector; 2], [Injector; 2]) {
    near.veth("a0", far, "b0");
    near.veth("a1", far, "b1");
    (["a0", "a1"].map(|name| near.injector(name)), ["b0", "b1"].map(|name| far.injector(name)))
}

#[test]
fn each_policy_is_found_and_every_other_is_what_it_would_have_been() {
    const TEST: &str = "each_policy_is_found_and_every_other_is_what_it_would_have_been";
    let Some((near, far)) = pair(TEST) else { return };
    let (mut ours, mut theirs) = injectors(&near, &far);
    let folder = tempfile::tempdir().expect("a directory");
    for (policy, name) in POLICIES.into_iter().enumerate() {
        let mut random = Random(0x5eed_0000 + policy as u64);
        let Some(flows) = flows(TEST, &mut random) else { return };
        // The order in which a bond has its slaves is not told either.
        let turned = policy % 2;
        let place = |_: usize, flow: &Flow| flow.places[policy] ^ turned;
        let frames = frames_at(&flows, place);
        let files = [0, 1].map(|at| folder.path().join(format!("{policy}-a{at}.pcap")));
        let (Some(mut one), Some(mut other)) =
            (tcpdump(&near, "a0", frames[0], &files[0]), tcpdump(&near, "a1", frames[1], &files[1]))
        else {
            return;
        };
        let running =
            Fullcount::start(&near, &format!("-i a0+a1 --interval 0.2 --workers {}", 1 + policy % 3));
        let before = counters(&near);
        send(&flows, place, &mut ours, &mut theirs);
        let after = counters(&near);
        let lines = running.stop().lines();
        let stop = lines.last().expect("stop");
        check_counters(stop, before, after);
        let names = if turned == 0 { ["a0", "a1"] } else { ["a1", "a0"] };
        check(&stop["balances"][0]["what_if"], policy, &flows, names);
        let line = lines.iter().rfind(|line| line["type"] == "balance").expect("balance lines");
        assert_eq!(line["what_if"], stop["balances"][0]["what_if"], "{name}");
        assert_eq!((&line["bond"], &line["interfaces"]), (&json!("a0+a1"), &json!(["a0", "a1"])));

        assert!(one.wait().expect("tcpdump ends").success() && other.wait().expect("it ends").success());
        let stop = from_files(&near, &files);
        let told = stop["balances"][0]["interfaces"].as_array().expect("a list").clone();
        let told = [0, 1].map(|at| told[at].as_str().expect("a name"));
        let names = if turned == 0 { told } else { [told[1], told[0]] };
        check(&stop["balances"][0]["what_if"], policy, &flows, names);
    }
}

#[test]
fn where_no_policy_placed_the_flows_nothing_is_said_and_the_reason_is() {
    const TEST: &str = "where_no_policy_placed_the_flows_nothing_is_said_and_the_reason_is";
    let Some((near, far)) = pair(TEST) else { return };
    let (mut ours, mut theirs) = injectors(&near, &far);
    let Some(flows) = flows(TEST, &mut Random(0x0dd5)) else { return };
    let mut random = Random(0xc01);
    let coins: Vec<usize> = flows.iter().map(|_| random.below(2) as usize).collect();
    let running = Fullcount::start(&near, "-i a0+a1 --interval 0.2 --workers 2");
    let before = counters(&near);
    send(&flows, |number, _| coins[number], &mut ours, &mut theirs);
    let after = counters(&near);
    let lines = running.stop().lines();
    let stop = lines.last().expect("stop");
    check_counters(stop, before, after);
    let what_if = &stop["balances"][0]["what_if"];
    assert_eq!((&what_if["policy_in_force"], &what_if["policies"]), (&Value::Null, &json!([])));
    assert!(what_if["model_accuracy_ratio"].as_f64().is_some_and(|ratio| ratio < 0.95), "{what_if}");
    let why = what_if["withheld"].as_str().expect("a reason");
    assert!(why.starts_with("no hash policy explains where the bytes went; "), "{why}");
}
