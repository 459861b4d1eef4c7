//! ICMP errors that quote segments, in files: what ends an attempt and what does
//! not, for one, two and four workers and any interval.
//!
//! Truth: what the file was made of.

#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;
#[path = "common/peers.rs"]
mod peers;

use frames::{Ends, UDP, ethernet, ethertype, ip, udp};
use peers::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::Command;

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
/// 2026-11-21T09:00:00Z
const NINE: u64 = 1_795_251_600 * S;
/// Of each kind, so that each worker has some.
const EACH: u16 = 6;

/// What a file is made of: packets by time, ns since its begin.
type Packets = Vec<(u64, Vec<u8>)>;

/// A kind of attempt: its packets, and what comes of it.
struct Kind {
    outcome: &'static str,
    /// Type and code of `unreach`, reason of a time-out.
    why: Value,
    seconds: f64,
    make: fn(Segment) -> Packets,
}

fn router(packet: &[u8]) -> IpAddr {
    let text = if packet[0] >> 4 == 4 { "203.0.113.1" } else { "2001:db8:ffff::1" };
    text.parse().expect("an address")
}

fn error(icmp: [u8; 2], about: &Segment) -> Vec<u8> {
    let packet = about.packet();
    icmp_error(icmp, router(&packet), &packet)
}

fn synack(syn: &Segment) -> Segment {
    syn.answer(SYN | ACK, 70_000, None)
}

fn ack(syn: &Segment) -> Segment {
    synack(syn).answer(ACK, syn.sequence.wrapping_add(1), None)
}

/// After 20 ms an error.
fn refused(icmp: [u8; 2], syn: Segment) -> Packets {
    vec![(0, syn.packet()), (20 * MS, error(icmp, &syn))]
}

/// After 20 ms an error, then an answer.
fn connected(error: Vec<u8>, syn: Segment) -> Packets {
    vec![(0, syn.packet()), (20 * MS, error), (30 * MS, synack(&syn).packet()), (40 * MS, ack(&syn).packet())]
}

fn kinds(is_ipv6: bool) -> Vec<Kind> {
    let kind = |outcome, why, seconds, make| Kind { outcome, why, seconds, make };
    let unreach =
        |icmp: [u8; 2], make| kind("unreach", json!({"type": icmp[0], "code": icmp[1]}), 0.02, make);
    let mut kinds = if is_ipv6 {
        vec![
            unreach([1, 0], |syn| refused([1, 0], syn)),
            unreach([1, 4], |syn| refused([1, 4], syn)),
            unreach([3, 1], |syn| refused([3, 1], syn)),
            kind("success", Value::Null, 0.04, |syn| connected(error([2, 0], &syn), syn)),
            kind("success", Value::Null, 0.04, |syn| connected(error([4, 1], &syn), syn)),
        ]
    } else {
        vec![
            unreach([3, 0], |syn| refused([3, 0], syn)),
            unreach([3, 1], |syn| refused([3, 1], syn)),
            unreach([3, 3], |syn| refused([3, 3], syn)),
            unreach([3, 13], |syn| refused([3, 13], syn)),
            unreach([11, 0], |syn| refused([11, 0], syn)),
            kind("success", Value::Null, 0.04, |syn| connected(error([3, 4], &syn), syn)),
            kind("success", Value::Null, 0.04, |syn| connected(error([4, 0], &syn), syn)),
        ]
    };
    let host = if is_ipv6 { json!({"type": 1, "code": 3}) } else { json!({"type": 3, "code": 1}) };
    kinds.extend([
        // An answer comes nevertheless: the outcome stays.
        kind("unreach", host, 0.02, |syn| connected(unreachable(&syn), syn)),
        // About another number, about what the server sent: of no meaning (RFC 5927 §4).
        kind("success", Value::Null, 0.04, |syn| {
            connected(unreachable(&Segment { sequence: syn.sequence.wrapping_add(2), ..syn }), syn)
        }),
        kind("success", Value::Null, 0.04, |syn| connected(unreachable(&synack(&syn)), syn)),
        // When all is done it is a soft error (RFC 1122 §4.2.3.9).
        kind("success", Value::Null, 0.04, |syn| {
            let after = [(50 * MS, unreachable(&ack(&syn)))];
            connected(error([0, 0], &syn), syn).into_iter().chain(after).collect()
        }),
        // Too late: after a minute the attempt has timed out, whoever looks when.
        kind("timeout", json!("no_synack"), 60.0, |syn| vec![(0, syn.packet()), (60 * S, unreachable(&syn))]),
        kind("timeout", json!("no_synack"), 61.0, |syn| vec![(0, syn.packet()), (S, syn.packet())]),
    ]);
    kinds
}

fn unreachable(about: &Segment) -> Vec<u8> {
    error(if about.ends.source.0.is_ipv4() { [3, 1] } else { [1, 3] }, about)
}

/// Attempts by client port and family, and what the file has.
fn made() -> (BTreeMap<(u16, bool), Kind>, Packets) {
    let (mut expected, mut packets) = (BTreeMap::new(), Packets::new());
    let mut port = 20_000;
    for is_ipv6 in [false, true] {
        for _ in 0..EACH {
            for kind in kinds(is_ipv6) {
                port += 1;
                let server = port % 7;
                let ends = if is_ipv6 {
                    Ends::v6((7, port), (0x100 + server, 443))
                } else {
                    Ends::v4(([192, 0, 2, 7], port), ([198, 51, 100, server as u8], 443))
                };
                // A number that wraps between SYN and ACK, too.
                let syn = Segment::syn(ends, u32::MAX - u32::from(port % 2), None);
                let begin = u64::from(port) * 977 * 1000 % S;
                packets.extend((kind.make)(syn).into_iter().map(|(ns, packet)| (begin + ns, packet)));
                expected.insert((port, is_ipv6), kind);
            }
        }
    }
    let ends = Ends::v4(([192, 0, 2, 7], 53), ([198, 51, 100, 9], 53));
    packets.push((200 * S, ip(ends, UDP, &udp(ends, 10))));
    packets.sort_by_key(|(ns, _)| *ns);
    (expected, packets)
}

/// A pcap file of Ethernet frames, nanoseconds.
fn written(packets: &Packets, path: &std::path::Path) {
    let mut bytes = Vec::new();
    for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        bytes.extend(word.to_le_bytes());
    }
    for (ns, packet) in packets {
        let frame = ethernet(&[], ethertype(packet), packet);
        let (at, length) = (NINE + ns, frame.len() as u32);
        for word in [(at / S) as u32, (at % S) as u32, length, length] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(frame);
    }
    std::fs::write(path, bytes).expect("written");
}

fn run(path: &std::path::Path, workers: &str, interval: &str) -> (String, Vec<Value>) {
    let mut command = Command::new(live::PROGRAM);
    command.args([
        "-o",
        "json",
        "--sessions",
        "--connections",
        "-F",
        "192.0.2.0/24",
        "-G",
        "2001:db8::7/128",
    ]);
    command.args(["--workers", workers, "--interval", interval, "-r"]).arg(path);
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines = live::schema::validate_lines(&text);
    // The first line says how many workers there were.
    (text.split_once('\n').expect("lines").1.to_owned(), lines)
}

fn check(lines: &[Value], expected: &BTreeMap<(u16, bool), Kind>, what: &str) {
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    let mut told = 0;
    for line in lines.iter().filter(|line| line["type"] == "session") {
        let client = &line["client"];
        let port = live::number(&client["port"]) as u16;
        let is_ipv6 = client["ip"].as_str().expect("an address").contains(':');
        let kind = expected.get(&(port, is_ipv6)).unwrap_or_else(|| panic!("{what}: not made: {line}"));
        assert_eq!(line["outcome"], kind.outcome, "{what}: {line}");
        let why = line.get("icmp").or(line.get("reason")).unwrap_or(&Value::Null);
        assert_eq!(*why, kind.why, "{what}: {line}");
        assert_eq!(line["seconds"], kind.seconds, "{what}: {line}");
        assert_eq!(line["watch"], json!(["TX"]), "{what}: {line}");
        *outcomes.entry(kind.outcome).or_default() += 1;
        told += 1;
    }
    assert_eq!(told, expected.len(), "{what}: one line an attempt");
    let sums = &lines.last().expect("stop")["handshakes"][1];
    let failure =
        json!({"timeout": outcomes["timeout"], "reject": 0, "unreach": outcomes["unreach"], "aborted": 0});
    assert_eq!((&sums["success"], &sums["failure"]), (&json!(outcomes["success"]), &failure), "{what}");
    let after = live::connections(lines).filter(|line| line.get("after_unreach") == Some(&json!(true)));
    assert_eq!(after.count(), 2 * usize::from(EACH), "{what}: came up after all");
}

#[test]
fn quotes_mean_the_same_to_any_number_of_workers_at_any_interval() {
    let (expected, packets) = made();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("quotes.pcap");
    written(&packets, &path);
    for interval in ["0.1", "1", "7", "3600"] {
        let (one, lines) = run(&path, "1", interval);
        check(&lines, &expected, &format!("--interval {interval}"));
        for workers in ["1", "2", "4"] {
            let (text, _) = run(&path, workers, interval);
            assert!(text == one, "--interval {interval}: {workers} workers say something else");
        }
    }
}

/// tshark finds the sums of these packets right, so what they were made by is.
#[test]
fn what_the_packets_are_made_by_is_right() {
    if Command::new("tshark").arg("--version").output().is_err() {
        live::skipped("what_the_packets_are_made_by_is_right", "no tshark");
        return;
    }
    let (_, packets) = made();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("quotes.pcap");
    written(&packets, &path);
    let bad = "not udp and (ip.checksum.status == 0 or tcp.checksum.status == 0 or icmp.checksum.status == 0 or \
               icmpv6.checksum.status == 0 or _ws.malformed)";
    let checks = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE"];
    let count = |filter: &str| {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(&path).args(["-Y", filter]);
        command.args(checks.iter().flat_map(|check| ["-o", check]));
        let output = command.output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().count()
    };
    assert_eq!(count(bad), 0);
    assert_eq!(count("icmp or icmpv6 or tcp"), packets.len() - 1);
}
