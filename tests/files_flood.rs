//! Handshakes that come to nothing, are under way, or differ by interface: files
//! made here, so that every figure is known.

#[path = "file_writer/mod.rs"]
mod file_writer;
#[allow(dead_code)]
mod files_run;
#[path = "common/frames.rs"]
mod frames;

use file_writer::{Classic, Packet};
use files_run::*;
use frames::*;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
/// 2026-11-21T09:00:00Z.
const NINE: u64 = 1_795_251_600 * S;
const SYN: u8 = 2;
const ACK: u8 = 16;
const WORKERS: [&str; 3] = ["1", "2", "4"];

/// Packets with their times since nine o'clock.
#[derive(Default)]
struct Capture(Vec<(u64, Vec<u8>)>);

impl Capture {
    fn send(&mut self, at: u64, ends: Ends, numbers: (u32, u32), flags: u8, payload: usize) {
        let segment = tcp(ends, numbers.0, numbers.1, flags, payload);
        self.0.push((at, ip(ends, TCP, &segment)));
    }

    fn syn(&mut self, at: u64, ends: Ends) {
        self.send(at, ends, (100, 0), SYN, 0);
    }

    fn synack(&mut self, at: u64, ends: Ends) {
        self.send(at, ends.back(), (500, 101), SYN | ACK, 0);
    }

    fn ack(&mut self, at: u64, ends: Ends, payload: usize) {
        self.send(at, ends, (101, 501), ACK, payload);
    }

    /// Something that is no handshake, so that time goes on until then.
    fn late(&mut self, at: u64) {
        let ends = Ends::v4(([198, 18, 0, 1], 53), ([198, 18, 0, 2], 53));
        self.0.push((at, ip(ends, UDP, &udp(ends, 10))));
    }

    fn write(mut self, folder: &Path, name: &str) -> String {
        self.0.sort_by_key(|(at, _)| *at);
        let packets: Vec<Packet> = self
            .0
            .iter()
            .map(|(at, packet)| {
                let data = ethernet(&[], ethertype(packet), packet);
                Packet { time_ns: NINE + at, len: data.len() as u32, data }
            })
            .collect();
        let path: PathBuf = folder.join(name);
        std::fs::write(&path, Classic::NANO.write(&packets).concat()).expect("written");
        path.into_os_string().into_string().expect("UTF-8")
    }
}

/// Number `number` of many sources that nobody has.
fn spoofed(number: u32, server: ([u8; 4], u16)) -> Ends {
    let [_, a, b, c] = number.to_be_bytes();
    Ends::v4(([198, 18 + (a & 1), b, c], 1024 + (number % 60_000) as u16), server)
}

const SILENT: ([u8; 4], u16) = ([198, 51, 100, 1], 80);
const ANSWERS: ([u8; 4], u16) = ([198, 51, 100, 2], 443);
const FLOOD: [u32; 2] = [1500, 700];

/// SYNs to two servers from many sources within a second: one is silent, one answers and
/// hears nothing more; some who mean it come through.
fn flood() -> Capture {
    let mut capture = Capture::default();
    for number in 0..FLOOD[0] {
        capture.syn(u64::from(number) * 500_000, spoofed(number, SILENT));
    }
    for number in 0..FLOOD[1] {
        let (at, ends) = (u64::from(number) * MS + 100, spoofed(70_000 + number * 3, ANSWERS));
        capture.syn(at, ends);
        capture.synack(at + 1000, ends);
    }
    for number in 0..20 {
        let (at, ends) = (u64::from(number) * 7 * MS, spoofed(150_000 + number, SILENT));
        capture.syn(at, ends);
        capture.synack(at + MS, ends);
        capture.ack(at + 2 * MS, ends, 0);
    }
    capture
}

fn row(server: ([u8; 4], u16), no_synack: u64, no_ack: u64, evicted: u64) -> Value {
    let [a, b, c, d] = server.0;
    json!({
        "server": {"ip": format!("{a}.{b}.{c}.{d}"), "port": server.1},
        "attempts": no_synack + no_ack + evicted,
        "timeout": {"no_synack": no_synack, "no_ack": no_ack},
        "evicted": evicted,
        "indeterminate": 0,
    })
}

/// Lines of a run, without one for each connection.
fn told(arguments: &[&str]) -> Vec<Value> {
    schema::validate_lines(&run(&[&["-o", "json"], arguments].concat()).output)
}

fn watch<'a>(line: &'a Value, name: &str) -> &'a Value {
    let watches = line["handshakes"].as_array().expect("a list");
    watches.iter().find(|watch| watch["watch"] == name).expect("it is there")
}

#[test]
fn a_flood_is_told_by_whom_it_is_aimed_at() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut capture = flood();
    capture.late(100 * S);
    let path = capture.write(folder.path(), "flood.pcap");
    let [silent, answers] = FLOOD.map(u64::from);
    let expected = json!([row(SILENT, silent, 0, 0), row(ANSWERS, 0, answers, 0)]);
    for workers in WORKERS {
        for interval in ["1", "3600"] {
            let lines = told(&["-r", &path, "--workers", workers, "--interval", interval]);
            let stop = stop(&lines);
            assert_eq!(stop["incomplete_handshakes"], expected, "{workers} workers, {interval} s");
            assert_eq!(watch(stop, "RX")["failure"]["timeout"], silent + answers);
            assert_eq!(watch(stop, "RX")["half_open"], 0);
        }
        let lines = told(&["-r", &path, "--workers", workers, "--top", "1"]);
        assert_eq!(stop(&lines)["incomplete_handshakes"], json!([expected[0]]));
    }
    let text = run(&["-r", &path]).output;
    let [heading, first, second] = ["Came to nothing", "198.51.100.1:80", "198.51.100.2:443"].map(|begin| {
        let line = text.lines().rfind(|line| line.starts_with(begin));
        line.unwrap_or_else(|| panic!("{begin}: {text}")).split_whitespace().collect::<Vec<_>>()
    });
    assert_eq!(heading[3..5], ["Attempts", "No"]);
    assert_eq!(first[1..], ["1,500", "1,500", "0", "0", "0"]);
    assert_eq!(second[1..], ["700", "0", "700", "0", "0"]);
}

/// Which attempts have to go depends on which worker is full; by server all are told.
#[test]
fn what_a_full_table_turns_out_is_told_too() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut capture = flood();
    capture.late(100 * S);
    let path = capture.write(folder.path(), "flood.pcap");
    for workers in WORKERS {
        let lines = told(&["-r", &path, "--workers", workers, "--max-flows", "800"]);
        let stop = stop(&lines);
        let rows = stop["incomplete_handshakes"].as_array().expect("a list");
        let sum = |key: &str| rows.iter().map(|row| number(&row[key])).sum::<u64>();
        let attempts: Vec<u64> = rows.iter().map(|row| number(&row["attempts"])).collect();
        assert_eq!(attempts, FLOOD.map(u64::from), "{workers} workers: {rows:?}");
        assert_eq!(sum("evicted"), number(&watch(stop, "RX")["evicted"]));
        assert!(sum("evicted") > 1000, "{rows:?}");
    }
}

#[test]
fn a_scan_of_more_servers_than_are_kept_is_summed() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut capture = Capture::default();
    // Three intervals, each with its own servers, and one that all are aimed at.
    for number in 0..30_000u32 {
        let at = u64::from(number) * 100_000;
        let [_, _, b, c] = (number * 2).to_be_bytes();
        capture.syn(at, Ends::v4(([198, 18, 0, 1], 50_000), ([198, 19, b, c], 80)));
        if number % 50 == 0 {
            capture.syn(at + 7, spoofed(number, SILENT));
        }
    }
    capture.late(100 * S);
    let path = capture.write(folder.path(), "scan.pcap");
    let outputs = WORKERS.map(|workers| {
        // As many connections need no line each.
        let run = run(&["-o", "json", "-r", &path, "--workers", workers, "--top", "100000"]);
        let last = run.output.lines().last().expect("a line");
        let last: Value = serde_json::from_str(last).expect("JSON");
        last["incomplete_handshakes"].clone()
    });
    let told = outputs[0].as_array().expect("a list");
    assert_eq!(told.len(), 16_384 + 1);
    assert_eq!(told[0], row(SILENT, 600, 0, 0));
    assert_eq!(told[1], row(([198, 19, 0, 0], 80), 1, 0, 0));
    assert_eq!(told[16_384], row(([0; 4], 0), 30_600 - 600 - 16_383, 0, 0));
    assert!(outputs[1] == outputs[0] && outputs[2] == outputs[0]);
}

#[test]
fn what_is_under_way_stands_beside_what_is_decided() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = flood().write(folder.path(), "open.pcap");
    let under_way = u64::from(FLOOD[0] + FLOOD[1]);
    for workers in WORKERS {
        for more in [&["--connections"][..], &[]] {
            let arguments = [
                "-o",
                "json",
                "-r",
                &path,
                "--workers",
                workers,
                "-F",
                "198.51.100.0/24",
                "web:RX@*:80",
                ":RX@*:22",
            ];
            let run = run(&[&arguments[..], more].concat());
            let lines = schema::validate_lines(&run.output);
            let stop = stop(&lines);
            // All are answered here, those of one port in a watch of their own, none is asked from here.
            for (name, expected) in [("RX", under_way), ("web", FLOOD[0].into()), ("TX", 0)] {
                assert_eq!(watch(stop, name)["half_open"], expected, "{name}, {workers} workers");
            }
            assert_eq!(stop.get("incomplete_handshakes"), None);
            assert_eq!(stop["interfaces"][0]["flows"]["half_open"], under_way);
        }
    }
    // A second later nothing has happened to them, a minute later they have failed.
    let mut capture = flood();
    [2 * S + 1, 90 * S].into_iter().for_each(|at| capture.late(at));
    let path = capture.write(folder.path(), "later.pcap");
    for workers in WORKERS {
        let lines = told(&["-r", &path, "--workers", workers, "-F", "198.51.100.0/24"]);
        let told = of_type(&lines, "handshake").map(|line| {
            assert_eq!(line["watch"], "RX");
            [&line["half_open"], &line["success"], &line["failure"]["timeout"]].map(number)
        });
        let mut told: Vec<_> = told.collect();
        // Silence has a line for as long as something is under way.
        assert_eq!(told.first(), Some(&[under_way, 20, 0]), "{workers} workers");
        told.dedup();
        assert_eq!(told[1], [under_way, 0, 0]);
        assert_eq!(told.last().map(|last| last[0]), Some(0));
        assert_eq!(told.iter().map(|line| line[2]).sum::<u64>(), under_way);
    }
}

/// Seconds of a spread, in µs.
fn spread(value: &Value) -> [u64; 4] {
    ["p50", "p95", "p99", "max"].map(|key| (value[key].as_f64().expect("known") * 1e6).round() as u64)
}

/// At most 1 % above the truth, never below; the maximum is exact.
fn assert_spread(value: &Value, mut truth: Vec<u64>, what: &str) {
    truth.sort_unstable();
    let told = spread(value);
    for (told, percent) in told.into_iter().zip([50, 95, 99, 100]) {
        let truth = truth[(truth.len() * percent).div_ceil(100) - 1];
        let most = if percent == 100 { truth } else { truth + truth / 100 };
        assert!((truth..=most).contains(&told), "{what}: {percent} % in {told} µs, not {truth}");
    }
}

/// A client over two ways, with answers on the first alone, as over two slaves: each
/// handshake counts where its SYN passed.
#[test]
fn handshakes_are_told_by_the_interface_of_their_syn() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut captures = [Capture::default(), Capture::default()];
    let mut truth = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
    for number in 0..400u32 {
        let way = (number % 4 == 0) as usize;
        let ends = spoofed(number, ANSWERS);
        let at = u64::from(number) * 3 * MS;
        let server_us = 1000 + u64::from(number * number % 977) * [3, 40][way];
        let client_us = 100 + u64::from(number % 31) * [7, 90][way];
        captures[way].syn(at, ends);
        // Its answer comes back on the first way.
        captures[0].synack(at + server_us * 1000, ends);
        captures[way].ack(at + (server_us + client_us) * 1000, ends, 0);
        truth[way][0].push(server_us);
        truth[way][1].push(client_us);
    }
    // Refused, and one whose client waited for what to say: that wait is nobody's latency.
    for (number, way) in [(1000, 0), (1001, 1), (1002, 1)] {
        let ends = spoofed(number, SILENT);
        captures[way].syn(2 * S, ends);
        captures[0].send(2 * S + MS, ends.back(), (0, 101), 0x14, 0);
    }
    let ends = spoofed(1003, ANSWERS);
    captures[1].syn(2 * S, ends);
    captures[0].synack(2 * S + 30 * MS, ends);
    captures[1].ack(2 * S + 900 * MS, ends, 10);
    let [first, second] = captures;
    let paths = [first.write(folder.path(), "one.pcap"), second.write(folder.path(), "two.pcap")];
    let both = paths.join("+");
    for workers in WORKERS {
        let lines = told(&["-r", &both, "--workers", workers, "--interval", "0.5"]);
        let interfaces = stop(&lines)["interfaces"].as_array().expect("a list");
        assert_eq!(interfaces.len(), 2);
        for (way, interface) in interfaces.iter().enumerate() {
            let told = &interface["handshakes"];
            let (success, refused) = ([300, 101][way], [1, 2][way]);
            assert_eq!(
                [&told["attempts"], &told["success"]].map(number),
                [success + refused, success],
                "{told}"
            );
            let [mut server, client] = truth[way].clone();
            let connect = server.iter().zip(&client).map(|(one, other)| one + other).collect();
            if way == 1 {
                server.push(30_000);
            }
            assert_spread(&told["connect_seconds"], connect, "connect");
            assert_spread(&told["syn_to_synack_seconds"], server, "to the server");
            assert_spread(&told["synack_to_ack_seconds"], client, "to the client");
            let name = &interface["interface"];
            let of_it = of_type(&lines, "interface").filter(|line| line["interface"] == *name);
            let parts = of_it.filter_map(|line| line.get("handshakes")).map(|one| number(&one["attempts"]));
            assert_eq!(parts.sum::<u64>(), success + refused);
        }
    }
    let text = run(&["-r", &both]).output;
    for words in [
        "one.pcap: 300 of 301 handshakes that began here succeeded, p50 ",
        "two.pcap: 101 of 103 handshakes that",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // One interface: the watches tell it.
    assert!(!run(&["-r", &paths[0]]).output.contains("that began here"));
}
