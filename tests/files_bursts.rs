//! Milliseconds and bursts of files against a second count: a Python program
//! that reads the same files and knows nothing of this one
//! (`burst_truth/bursts.py`). Every figure, however many workers there are.

#[path = "burst_truth/mod.rs"]
mod burst_truth;
#[path = "file_writer/mod.rs"]
mod file_writer;
#[path = "common/frames.rs"]
mod frames;
#[path = "common/golden.rs"]
mod golden;
#[path = "common/schema.rs"]
mod schema;

use burst_truth::{Asked, Truth, compare, text_of};
use file_writer::{Classic, Packet, Pcapng, Resolution};
use frames::Ends;
use serde_json::Value;
use std::path::PathBuf;

const US: u64 = 1000;
const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;
/// Where time begins: in the midst of a second and of a millisecond.
const T0: u64 = 1_750_000_000 * S + 312 * MS + 345_678;
/// Where a second begins.
const SECOND: u64 = 1_750_000_001 * S;
/// Bytes of a frame that are in the file: all headers.
const KEPT: usize = 66;

/// A frame to be: when, on which interface, what.
struct Frame {
    at: u64,
    interface: u32,
    len: u32,
    data: Vec<u8>,
}

/// Frames, and the folder that their files are in.
struct Made {
    frames: Vec<Frame>,
    folder: tempfile::TempDir,
    random: u64,
}

impl Made {
    fn new() -> Made {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Made { frames: Vec::new(), folder, random: 0x9e37_79b9_7f4a_7c15 }
    }

    /// The same numbers each time (xorshift), below `below`.
    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn put(&mut self, at: u64, interface: u32, ethertype: u16, packet: &[u8]) {
        let mut data = frames::ethernet(&[], ethertype, packet);
        let len = data.len() as u32;
        data.truncate(KEPT);
        self.frames.push(Frame { at, interface, len, data });
    }

    /// A UDP packet that makes a frame of so many bytes.
    fn udp(&mut self, at: u64, interface: u32, ends: Ends, bytes: usize) {
        let headers = if ends.source.0.is_ipv4() { 42 } else { 62 };
        let packet = frames::ip(ends, frames::UDP, &frames::udp(ends, bytes.saturating_sub(headers)));
        self.put(at, interface, frames::ethertype(&packet), &packet);
    }

    /// Frames of 1,514 bytes, evenly, at so many line bits a second.
    fn flow(&mut self, from: u64, length: u64, interface: u32, ends: Ends, rate: u64) {
        let each = 1538 * 8 * S / rate;
        (0..length / each).for_each(|number| self.udp(from + number * each, interface, ends, 1514));
    }

    fn sort(&mut self) {
        self.frames.sort_by_key(|frame| frame.at);
    }

    fn packet(frame: &Frame) -> Packet {
        Packet { time_ns: frame.at, len: frame.len, data: frame.data.clone() }
    }

    fn save(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }

    /// One classic file in nanoseconds, frames in the order in which they were put.
    fn classic(&self, name: &str) -> PathBuf {
        let packets: Vec<Packet> = self.frames.iter().map(Made::packet).collect();
        self.save(name, &Classic::NANO.write(&packets).concat())
    }

    /// One file each interface.
    fn classics(&self, names: &[&str]) -> Vec<PathBuf> {
        let of = |interface: u32| {
            let mine = self.frames.iter().filter(move |frame| frame.interface == interface);
            mine.map(Made::packet).collect::<Vec<_>>()
        };
        let file = |(number, name): (usize, &&str)| {
            self.save(name, &Classic::NANO.write(&of(number as u32)).concat())
        };
        names.iter().enumerate().map(file).collect()
    }

    /// One pcapng file with these interfaces; what is put on interface n is received
    /// where n is even, else sent, on the n/2-th.
    fn pcapng(&self, names: &[&str]) -> PathBuf {
        let resolution = Resolution::Power10(9);
        let mut file = Pcapng::new(false);
        file.section();
        for name in names {
            file.interface(1, 0, resolution, &[(2, name.as_bytes())]);
        }
        for frame in &self.frames {
            let flags = 1 + (frame.interface & 1);
            file.enhanced(frame.interface / 2, resolution, &Made::packet(frame), Some(flags));
        }
        self.save("two.pcapng", &file.blocks.concat())
    }
}

/// Connection `number`: a client of its own, server port 5000 + number.
fn ends(number: u8) -> Ends {
    Ends::v4(([198, 18, 0, number], 40_000 + u16::from(number)), ([198, 18, 1, 1], 5_000 + u16::from(number)))
}

fn only<'a>(truth: &'a Truth, what: &str) -> &'a Value {
    assert_eq!(truth.bursts().len(), 1, "{what}: {:?}", truth.bursts());
    &truth.bursts()[0]
}

#[test]
fn a_burst_each_second_beside_a_steady_flow() {
    let mut made = Made::new();
    made.flow(T0, 60 * S, 0, ends(1), 50_000_000);
    for second in 0..60 {
        made.flow(T0 + second * S + 400 * MS, 20 * MS, 0, ends(2), 140_000_000);
    }
    made.sort();
    let file = made.classic("steady.pcap");
    let truth = compare(&[file], &Asked { speeds: &[("steady.pcap", "200M")], ..Asked::default() });
    assert_eq!(truth.bursts().len(), 60);
    for burst in truth.bursts() {
        assert_eq!(burst["culprits"][0]["who"][1][1], 40_002, "who came on top stands first");
        let length = burst["length_ms"].as_u64().expect("a length");
        assert!((19..=21).contains(&length), "{length}");
    }
}

#[test]
fn share_and_excess_order_differently() {
    let mut made = Made::new();
    made.flow(T0, 3 * S, 0, ends(1), 400_000_000);
    made.flow(T0 + 2 * S, 20 * MS, 0, ends(2), 300_000_000);
    // One that had been there before, and comes on top with a part only.
    made.flow(T0, 2 * S, 0, ends(3), 30_000_000);
    made.flow(T0 + 2 * S, 20 * MS, 0, ends(3), 150_000_000);
    made.sort();
    let file = made.classic("f.pcap");
    let truth = compare(&[file], &Asked { speeds: &[("f.pcap", "1G")], ..Asked::default() });
    let burst = only(&truth, "one burst");
    let ports: Vec<_> = (0..3).map(|at| burst["culprits"][at]["who"][1][1].clone()).collect();
    assert_eq!(ports, [40_002, 40_003, 40_001]);
    let share = |at: usize| burst["culprits"][at]["share_ratio"].as_f64().expect("a share");
    assert!(share(2) > share(0) && share(0) > share(1), "the steady one has most of the bytes");
}

#[test]
fn an_incast_of_a_millisecond() {
    let mut made = Made::new();
    made.flow(T0, 2 * S, 0, ends(200), 100_000_000);
    for sender in 0..50u8 {
        // Two frames each, all within one millisecond.
        for frame in 0..2u64 {
            let at = SECOND + 500 * MS + u64::from(sender) * 9 * US + frame * 480 * US;
            made.udp(at, 0, ends(sender), 1514);
        }
    }
    made.sort();
    let file = made.classic("f.pcap");
    let truth = compare(&[file], &Asked { speeds: &[("f.pcap", "1G")], top: 60, ..Asked::default() });
    let burst = only(&truth, "the incast");
    assert_eq!((&burst["senders"], &burst["length_ms"]), (&51.into(), &1.into()));
    assert_eq!((&burst["connections"], &burst["begun"]), (&51.into(), &50.into()));
}

#[test]
fn two_interfaces_at_once() {
    let mut made = Made::new();
    for interface in 0..4u32 {
        made.flow(T0, 2 * S, interface, ends(10 + interface as u8), 20_000_000);
        made.flow(T0 + S, (5 + u64::from(interface)) * MS, interface, ends(interface as u8), 180_000_000);
    }
    made.sort();
    let both = made.pcapng(&["eth0", "eth1"]);
    let truth =
        compare(&[both], &Asked { speeds: &[("eth0", "200M"), ("eth1", "200M")], ..Asked::default() });
    assert_eq!(truth.bursts().len(), 4);
    assert!(truth.bursts()[0]["others"].as_object().is_some_and(|others| others.len() == 1));
    // The same connection on two legs: FILE+FILE is one group.
    let mut made = Made::new();
    for interface in 0..2u32 {
        made.flow(T0 + u64::from(interface) * 7 * US, 2 * S, interface, ends(10), 20_000_000);
        made.flow(T0 + S, 9 * MS, interface, ends(3), 180_000_000);
    }
    made.sort();
    let files = made.classics(&["leg0.pcap", "leg1.pcap"]);
    let speeds = [("leg0.pcap", "200M"), ("leg1.pcap", "200M")];
    assert_eq!(compare(&files, &Asked { speeds: &speeds, ..Asked::default() }).bursts().len(), 2);
}

/// Milliseconds of one connection, each with so many frames of 1,514 bytes: 8 of them
/// are 98 % of 100 Mbit/s, 7 are 86 %, 6 are 74 %, 5 are 62 %.
fn milliseconds(made: &mut Made, from: u64, frames: &[u8]) {
    for (ms, &frames) in (0u64..).zip(frames) {
        for frame in 0..u64::from(frames) {
            made.udp(from + ms * MS + frame * 120 * US + US, 0, ends(1), 1514);
        }
    }
}

fn lengths(truth: &Truth) -> Vec<u64> {
    truth.bursts().iter().map(|burst| burst["length_ms"].as_u64().expect("a length")).collect()
}

#[test]
fn gaps_part_bursts() {
    let speeds = [("f.pcap", "100M")];
    for (frames, gap, expected) in [
        (&[8, 8, 0, 0, 8, 8][..], 3, &[6][..]),
        (&[8, 8, 0, 0, 0, 8, 8], 3, &[2, 2]),
        (&[8, 8, 1, 2, 5, 8, 8], 3, &[2, 2]),
        // At 7/8 of the threshold it goes on: 6 frames are above 70 %, 5 are not.
        (&[8, 6, 6, 6, 6, 8], 3, &[6]),
        (&[8, 5, 5, 5, 6, 6], 3, &[1]),
        (&[8, 5, 5, 6, 6, 0], 3, &[5]),
        (&[6, 6, 6, 6, 6], 3, &[]),
        (&[8, 0, 8, 0, 8], 1, &[1, 1, 1]),
        (&[8, 0, 0, 0, 0, 0, 0, 0, 0, 8], 9, &[10]),
        (&[8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8], 9, &[1, 1]),
    ] {
        for (from, interval) in
            [(SECOND + S - 3 * MS, "1"), (SECOND + S - 3 * MS, "10"), (SECOND + 98 * MS, "0.1")]
        {
            let mut made = Made::new();
            milliseconds(&mut made, SECOND + 50 * MS, &[1]);
            milliseconds(&mut made, from, frames);
            milliseconds(&mut made, from + 30 * MS, &[1]);
            let file = made.classic("f.pcap");
            let asked = Asked { speeds: &speeds, gap, interval, ..Asked::default() };
            assert_eq!(lengths(&compare(&[file], &asked)), expected, "{frames:?} {gap} {interval}");
        }
    }
}

#[test]
fn shorter_ones_do_not_count() {
    let frames = [8, 0, 0, 0, 8, 8, 8, 0, 0, 0, 8, 8, 8, 8, 8, 0, 0, 0, 0, 8, 0, 8];
    let mut made = Made::new();
    milliseconds(&mut made, SECOND + 997 * MS, &frames);
    milliseconds(&mut made, SECOND + 2 * S, &[1]);
    let file = [made.classic("f.pcap")];
    for (min, expected) in [(1, &[1, 3, 5, 3][..]), (3, &[3, 5, 3]), (4, &[5]), (6, &[])] {
        for interval in ["0.1", "1"] {
            let asked = Asked { speeds: &[("f.pcap", "100M")], min, interval, ..Asked::default() };
            assert_eq!(lengths(&compare(&file, &asked)), expected, "--burst-min {min}");
        }
    }
}

#[test]
fn one_that_lasts_long_and_one_that_is_open_at_the_end() {
    let mut made = Made::new();
    made.flow(T0, 7 * S, 0, ends(1), 10_000_000);
    made.flow(T0 + 1200 * MS, 5 * S, 0, ends(2), 88_000_000);
    made.flow(T0 + 6900 * MS, 100 * MS, 0, ends(3), 88_000_000);
    made.sort();
    let file = [made.classic("f.pcap")];
    for interval in ["0.1", "1", "10"] {
        let asked = Asked { speeds: &[("f.pcap", "100M")], interval, ..Asked::default() };
        let truth = compare(&file, &asked);
        let bursts = truth.bursts();
        assert_eq!(bursts.len(), 2, "{interval}");
        assert!(bursts[0]["length_ms"].as_u64().is_some_and(|length| length >= 4990));
        assert_eq!((&bursts[0]["open"], &bursts[1]["open"]), (&false.into(), &true.into()), "{interval}");
    }
}

/// Whether it is open is a matter of the file, not of where an interval would have ended.
#[test]
fn the_end_is_that_of_the_last_packet() {
    for (after, open) in [(0, true), (1, true), (2, true), (3, false), (500, false)] {
        let mut made = Made::new();
        milliseconds(&mut made, SECOND + 200 * MS, &[8, 8, 8]);
        if after > 0 {
            milliseconds(&mut made, SECOND + (202 + after) * MS, &[1]);
        }
        let file = [made.classic("f.pcap")];
        for interval in ["0.1", "1", "10"] {
            let asked = Asked { speeds: &[("f.pcap", "100M")], interval, ..Asked::default() };
            assert_eq!(only(&compare(&file, &asked), "one")["open"], open, "{after} ms, {interval}");
        }
    }
}

#[test]
fn no_speed_no_burst_but_with_a_rate() {
    let mut made = Made::new();
    milliseconds(&mut made, SECOND + 200 * MS, &[1, 8, 8, 8, 1]);
    let file = [made.classic("f.pcap")];
    assert!(compare(&file, &Asked::default()).bursts().is_empty());
    let truth = compare(&file, &Asked { threshold: "80M", ..Asked::default() });
    assert_eq!(lengths(&truth), [3]);
    assert!(only(&truth, "one")["queue_peak_bytes"].is_null());
    // A millisecond of just the threshold begins one, a bit more asked does not.
    let bits = 8 * 1538 * 8 * 1000;
    for (threshold, bursts) in [(bits, 1), (bits + 8, 0)] {
        let threshold = threshold.to_string();
        let asked = Asked { threshold: &threshold, ..Asked::default() };
        assert_eq!(compare(&file, &asked).bursts().len(), bursts, "{threshold}");
    }
}

/// A share of the speed is what it says: shares to a tenth of a percent are no
/// binary fractions, and rounding must not lose the millisecond that is just there.
#[test]
fn a_millisecond_of_just_the_share_begins_a_burst() {
    for (speed, threshold) in [
        (98_432_000_000u64, "0.1%"),
        (1_405_600_000, "7%"),
        (1_229_000_000, "8.0%"),
        (702_400_000, "14%"),
        (351_200_000, "28%"),
        (175_600_000, "56%"),
        (169_600_000, "58%"),
        (98_432_000, "100%"),
    ] {
        let share: f64 = threshold.trim_end_matches('%').parse().expect("a number");
        let needed = (speed as f64 * share / 100.0 / 8000.0).round() as usize;
        let mut made = Made::new();
        let (full, rest) = (needed / 1538, needed % 1538);
        (0..full as u64).for_each(|number| made.udp(SECOND + number * US, 0, ends(1), 1514));
        assert!(rest == 0 || rest >= 84, "{speed} {threshold} {needed}");
        if rest > 0 {
            made.udp(SECOND + 900 * US, 0, ends(1), rest - 24);
        }
        made.udp(SECOND + 10 * MS, 0, ends(1), 60);
        let file = [made.classic("f.pcap")];
        let speed = speed.to_string();
        let asked = Asked { speeds: &[("f.pcap", &speed)], threshold, ..Asked::default() };
        only(&compare(&file, &asked), &format!("{speed} {threshold}"));
    }
}

#[test]
fn stamps_out_of_order() {
    for seed in 1..4u64 {
        let mut made = Made::new();
        made.random = seed * 0x1234_5678_9abc_def1;
        for number in 0..6u8 {
            made.flow(T0 + u64::from(number), 3 * S, 0, ends(number), 8_000_000);
        }
        for burst in 0..12u64 {
            made.flow(T0 + burst * 250 * MS, 12 * MS, 0, ends(100 + burst as u8), 60_000_000);
        }
        made.sort();
        // Stamps jump about by up to 4 ms, the first ones too.
        for at in 0..made.frames.len() {
            let early = made.random(4 * MS);
            made.frames[at].at -= early;
        }
        let file = [made.classic("f.pcap")];
        for interval in ["0.1", "1", "10"] {
            let asked = Asked { speeds: &[("f.pcap", "100M")], interval, ..Asked::default() };
            assert!(!compare(&file, &asked).bursts().is_empty());
        }
    }
}

#[test]
fn time_that_jumps_by_years() {
    // 2^32 milliseconds: what notes tell of time comes round.
    for jump in [3 * S, 70 * S, 365 * 86_400 * S, (1 << 32) * MS, (1 << 32) * MS + 65 * MS] {
        let mut made = Made::new();
        for from in [SECOND + 100 * MS, SECOND + 100 * MS + jump] {
            made.flow(from, 900 * MS, 0, ends(1), 10_000_000);
            made.flow(from + 300 * MS, 20 * MS, 0, ends(2), 88_000_000);
        }
        made.sort();
        let file = [made.classic("f.pcap")];
        for interval in ["0.1", "1", "10"] {
            let asked = Asked { speeds: &[("f.pcap", "100M")], interval, ..Asked::default() };
            assert_eq!(compare(&file, &asked).bursts().len(), 2, "{jump} {interval}");
        }
    }
}

/// A jump into the midst of a second, and behind it stamps of earlier in that second:
/// they have their own milliseconds, however long intervals are.
#[test]
fn stamps_out_of_order_behind_a_jump() {
    for jump in [3 * S, 70 * S, 365 * 86_400 * S] {
        let mut made = Made::new();
        let begin = SECOND + 100 * MS;
        made.flow(begin, 300 * MS, 0, ends(1), 10_000_000);
        made.sort();
        let mut later = Made::new();
        later.flow(begin + jump + 600 * MS, 200 * MS, 0, ends(1), 10_000_000);
        later.flow(begin + jump + 630 * MS, 20 * MS, 0, ends(2), 88_000_000);
        later.sort();
        // 15 ms that are told after some of what came later.
        let mut early = Made::new();
        early.flow(begin + jump + 550 * MS, 15 * MS, 0, ends(3), 88_000_000);
        let rest = later.frames.split_off(40);
        made.frames.extend(later.frames);
        made.frames.extend(early.frames);
        made.frames.extend(rest);
        let file = [made.classic("f.pcap")];
        for interval in ["0.1", "1", "1.5", "2", "10"] {
            let asked = Asked { speeds: &[("f.pcap", "100M")], interval, ..Asked::default() };
            assert_eq!(compare(&file, &asked).bursts().len(), 2, "{jump} {interval}");
        }
    }
}

#[test]
fn ipv6_and_what_is_not_ip() {
    let mut made = Made::new();
    let six = Ends::v6((1, 40_000), (2, 443));
    made.flow(T0, 2 * S, 0, six, 30_000_000);
    for burst in 0..3u64 {
        let from = T0 + 600 * MS * (burst + 1);
        made.flow(from, 8 * MS, 0, Ends::v6((3 + burst as u16, 40_000), (2, 443)), 40_000_000);
        (0..100).for_each(|number| made.put(from + number * 80 * US, 0, 0x88b5, &[7; 300]));
        // As short as a frame may be: on the line it is padded.
        (0..20).for_each(|number| made.put(from + number * 400 * US, 0, 0x0806, &[0; 28]));
    }
    made.sort();
    let file = [made.classic("f.pcap")];
    let truth = compare(&file, &Asked { speeds: &[("f.pcap", "100M")], ..Asked::default() });
    assert_eq!(truth.bursts().len(), 3);
    assert!(truth.bursts()[0]["untracked"].as_u64().is_some_and(|bytes| bytes > 30_000));
}

/// Super-frames: each segment in the millisecond in which it begins.
#[test]
fn super_frames_last_as_long_as_their_bits() {
    for (speed, local) in [("100M", false), ("1G", true), ("300M", false)] {
        let mut made = Made::new();
        made.flow(T0, 3 * S, 0, ends(9), 5_000_000);
        for burst in 0..40u64 {
            let from = SECOND + burst * 61 * MS + burst * 7_777;
            for frame in 0..6 {
                // None is an ordinary segment, which would tell of the size.
                let payload = 1449 + made.random(62_000) as usize;
                let ends = ends(1 + made.random(3) as u8);
                let segment =
                    frames::tcp(ends, 1 + (burst as u32) * 500_000 + frame * 65_000, 1, 0x10, payload + 12);
                let mut packet = frames::ip(ends, frames::TCP, &segment);
                // 12 bytes of options: NOPs.
                packet[20 + 12] = 0x80;
                packet[40..52].fill(1);
                made.put(from + u64::from(frame) * 450 * US, 0, 0x0800, &packet);
            }
        }
        made.sort();
        let file = [made.classic("f.pcap")];
        for interval in ["0.1", "1"] {
            let local: &[&str] = if local { &["198.18.0.0/24"] } else { &[] };
            let asked = Asked { speeds: &[("f.pcap", speed)], interval, local, ..Asked::default() };
            let truth = compare(&file, &asked);
            assert!(truth.bursts().len() > 10, "{speed}: {}", truth.bursts().len());
        }
    }
}

/// Without intervals: the same bursts, in words.
#[test]
fn text_tells_of_the_same_bursts() {
    let mut made = Made::new();
    made.flow(T0, 3 * S, 0, ends(1), 20_000_000);
    for second in 0..3 {
        made.flow(T0 + second * S + 100 * MS, 20 * MS, 0, ends(2), 75_000_000);
    }
    made.sort();
    let last = made.frames.last().expect("frames").at;
    made.flow(last, 8 * MS, 0, ends(3), 95_000_000);
    made.sort();
    let file = [made.classic("f.pcap")];
    let asked = Asked { speeds: &[("f.pcap", "100M")], interval: "0", ..Asked::default() };
    let (truth, text) = (Truth::of(&file, &asked), text_of(&file, &asked));
    let told: Vec<&str> = text.lines().filter(|line| line.starts_with("Burst on f.pcap rx")).collect();
    assert_eq!((told.len(), truth.bursts().len()), (4, 4), "{text}");
    for (line, burst) in told.iter().zip(truth.bursts()) {
        let length = burst["length_ms"].as_u64().expect("a length");
        assert!(line.contains(&format!("{length} ms")), "{length}: {line}");
        assert_eq!(line.ends_with("going on"), burst["open"] == true, "{line}");
    }
    let who = "198.18.0.2:40002 → 198.18.1.1:5002";
    assert_eq!(
        text.lines()
            .filter(|line| line.trim().starts_with("2 connections of 2 senders; udp 198.18.0.2")
                && line.contains(who))
            .count(),
        3,
        "{text}"
    );
}

/// More bursts in a second than wait for names: those that are told of are whole, and
/// how many are not is told.
#[test]
fn too_many_bursts_are_counted() {
    let mut made = Made::new();
    for ms in (0..998u64).step_by(2) {
        for interface in [0, 2, 4] {
            made.udp(SECOND + ms * MS + u64::from(interface), interface, ends(1), 1514);
        }
    }
    let file = made.pcapng(&["a", "b", "c"]);
    let asked = Asked { threshold: "12M", gap: 1, ..Asked::default() };
    let lines = burst_truth::lines_of(&[file], &asked, "2");
    let told = burst_truth::bursts_of(&lines);
    let lost = lines.iter().find(|line| line["event"] == "bursts_lost").expect("a notice");
    assert_eq!(told.len() as u64 + lost["count"].as_u64().expect("a count"), 3 * 499);
    assert!(told.iter().all(|burst| burst["known_ratio"] == 1.0 && burst["packets"] == 1));
}

/// What it looks like, for who reads: the fixture's bursts as lines of JSON and as text.
#[test]
fn the_fixture_reads_as_before() {
    let file = [PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bursts.pcap"))];
    let asked = Asked { speeds: &[("bursts.pcap", "10M")], ..Asked::default() };
    assert_eq!(lengths(&compare(&file, &asked)), [20, 1]);
    let mut lines = burst_truth::lines_of(&file, &Asked { top: 3, ..asked }, "1");
    lines.retain(|line| line["type"] == "burst");
    for line in &mut lines {
        line["host"] = "a host".into();
    }
    let json: String = lines.iter().map(|line| format!("{line}\n")).collect();
    golden::same_as_file("bursts.jsonl", &json);
    let asked = Asked { speeds: &[("bursts.pcap", "10M")], interval: "0", ..Asked::default() };
    let text = text_of(&file, &asked);
    golden::same_as_file("bursts.txt", text.split_inclusive("\n\n").next().expect("a block"));
}
