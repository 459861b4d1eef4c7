//! When connections came from one state to the next, against the flags and times
//! that tshark reads in the same captures.

#[allow(dead_code)]
mod files_run;

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One packet of tshark's: nanoseconds, "address port" of its sender, flags.
type Packet = (u64, String, u64);

const FIN: u64 = 1;
const SYN: u64 = 2;
const RST: u64 = 4;
const ACK: u64 = 16;

/// Seconds with nine decimals, as nanoseconds.
fn nanos(text: &str) -> u64 {
    let (seconds, rest) = text.split_once('.').unwrap_or((text, ""));
    let fraction = format!("{rest:0<9}");
    seconds.parse::<u64>().expect("seconds") * 1_000_000_000
        + fraction[..9].parse::<u64>().expect("nanoseconds")
}

/// Packets of each pair of ends, in the file's order; None where there is no tshark.
fn by_tshark(file: &Path) -> Option<BTreeMap<[String; 2], Vec<Packet>>> {
    let fields = [
        "frame.time_epoch",
        "ip.src",
        "ipv6.src",
        "tcp.srcport",
        "ip.dst",
        "ipv6.dst",
        "tcp.dstport",
        "tcp.flags",
    ];
    let mut command = Command::new("tshark");
    command.env("TZ", "UTC").args(["-n", "-r"]).arg(file).args([
        "-Y",
        "tcp && !icmp && !icmpv6",
        "-T",
        "fields",
    ]);
    command.args(fields.iter().flat_map(|field| ["-e", field]));
    let done = command.output().ok()?;
    let mut found: BTreeMap<[String; 2], Vec<Packet>> = BTreeMap::new();
    for line in String::from_utf8_lossy(&done.stdout).lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        let [time, v4, v6, port, to_v4, to_v6, to_port, flags] = cells[..] else { continue };
        // Tunnels have several of each.
        if line.contains(',') || flags.is_empty() {
            continue;
        }
        let (from, to) = (format!("{v4}{v6} {port}"), format!("{to_v4}{to_v6} {to_port}"));
        let flags = u64::from_str_radix(flags.trim_start_matches("0x"), 16).expect("flags");
        let mut ends = [from.clone(), to];
        ends.sort();
        found.entry(ends).or_default().push((nanos(time), from, flags));
    }
    Some(found)
}

fn end(line: &Value, which: &str) -> String {
    format!("{} {}", line[which]["ip"].as_str().unwrap_or(""), line[which]["port"])
}

/// Of each state the packets that tshark lets it begin with, and whether it is the first of them.
fn judged(line: &Value, packets: &[Packet], faults: &mut Vec<String>) -> u64 {
    let start = line["start"].as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time");
    let start = u64::try_from(start.as_nanosecond()).expect("after 1970");
    let (client, server) = (end(line, "client"), end(line, "server"));
    let first = |who: Option<&str>, with: u64, without: u64| {
        let fits = |packet: &&Packet| {
            who.is_none_or(|who| packet.1 == who) && packet.2 & with == with && packet.2 & without == 0
        };
        packets.iter().find(fits).map(|packet| packet.0)
    };
    let mut count = 0;
    for passed in line["states"].as_array().expect("states") {
        let by = passed["by"].as_str().map(|by| if by == "client" { &*client } else { &*server });
        let should = match passed["state"].as_str().expect("a name") {
            "syn_sent" => first(Some(&client), SYN, ACK),
            "syn_received" => first(Some(&server), SYN, 0),
            "fin_wait" => first(by, FIN, RST),
            "closing" => first(by, FIN, RST),
            "reset" => first(by, RST, 0),
            _ => continue,
        };
        count += 1;
        let should = should.map(|ns| ns.saturating_sub(start) / 1000);
        let given = passed["after_seconds"].as_f64().map(|seconds| (seconds * 1e6).round() as u64);
        if should != given {
            faults.push(format!("{client} > {server}: {passed}, tshark {should:?} us after {start}"));
        }
    }
    count
}

/// Captures of the folder, without those beside them that say what is in them.
fn captures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = folder.read_dir().expect("captures are there").map(|entry| entry.expect("an entry").path());
    let mut found: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "pcap" || end == "pcapng" || end == "cap"))
        .collect();
    found.sort();
    found
}

#[test]
fn states_begin_with_the_packets_that_tshark_sees() {
    let mut faults = Vec::new();
    let (mut connections, mut states) = (0, 0);
    for file in captures("fixtures").into_iter().chain(captures("fixtures/corpus/captures")) {
        let Some(truth) = by_tshark(&file) else {
            let mut errors = std::io::stderr();
            writeln!(errors, "SKIPPED: tshark cannot be run, no states were compared")
                .expect("standard error");
            return;
        };
        let run = files_run::run(&["-o", "json", "--connections", "-r", &file.to_string_lossy()]);
        let lines = files_run::schema::validate_lines(&run.output);
        let mut by_ends: BTreeMap<[String; 2], Vec<&Value>> = BTreeMap::new();
        for line in files_run::of_type(&lines, "connection").filter(|line| line["protocol"] == "tcp") {
            let mut ends = [end(line, "client"), end(line, "server")];
            ends.sort();
            by_ends.entry(ends).or_default().push(line);
        }
        for (ends, lines) in by_ends {
            // Ports that were used again, and what tshark counts otherwise, stand in other tests.
            let ([line], Some(packets)) = (&lines[..], truth.get(&ends)) else { continue };
            let all = files_run::number(&line["c2s"]["packets"]) + files_run::number(&line["s2c"]["packets"]);
            if all != packets.len() as u64 || line["vlan"].is_array() {
                continue;
            }
            connections += 1;
            let mut found = Vec::new();
            states += judged(line, packets, &mut found);
            faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", file.display())));
        }
    }
    assert!(faults.is_empty(), "{connections} connections, {states} states\n{}", faults.join("\n"));
    assert!(connections >= 200 && states >= 400, "{connections} connections, {states} states");
}
