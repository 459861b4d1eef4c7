//! Files whose stamps stand still, jump by years, go back: the run ends at
//! once, intervals that nobody had packets in are few, and what was left out is
//! told; totals have every packet.

#[path = "file_writer/mod.rs"]
mod file_writer;
#[allow(dead_code)]
mod files_run;
#[path = "common/frames.rs"]
mod frames;

use file_writer::{Packet, Pcapng, Resolution};
use files_run::{frames as frames_of, lines_of, number, of_type, stop};
use frames::Ends;
use proptest::prelude::*;
use serde_json::Value;
use std::time::{Duration, Instant};

const S: u64 = 1_000_000_000;
const YEAR: u64 = 365 * 86_400 * S;
/// Empty intervals in a row that have lines.
const EMPTY_MOST: u64 = 60;

/// A file in nanoseconds with these frames.
fn file_of(frames: impl Iterator<Item = (u64, Vec<u8>)>) -> tempfile::NamedTempFile {
    let resolution = Resolution::Power10(9);
    let mut file = Pcapng::new(false);
    file.section().interface(1, 0, resolution, &[]);
    for (time_ns, data) in frames {
        file.enhanced(0, resolution, &Packet { time_ns, len: data.len() as u32, data }, None);
    }
    let named = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(named.path(), file.blocks.concat()).expect("written");
    named
}

/// The same with packets of six flows, two of them TCP.
fn write(times: &[u64]) -> tempfile::NamedTempFile {
    file_of(times.iter().enumerate().map(|(number, &time_ns)| {
        let flow = number as u8 % 6;
        let ends = Ends::v4(([198, 18, 0, 1 + flow], 4000), ([198, 18, 0, 100], 80));
        let packet = match flow {
            0 | 1 => {
                let flags = [0x02, 0x10, 0x11][number / 6 % 3];
                frames::ip(ends, frames::TCP, &frames::tcp(ends, 1 + number as u32, 0, flags, 0))
            }
            _ => frames::ip(ends, frames::UDP, &frames::udp(ends, number % 100)),
        };
        (time_ns, frames::ethernet(&[], 0x0800, &packet))
    }))
}

/// Intervals that have lines, those left out, and packets that came after theirs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    lines: u64,
    skipped: u64,
    late: u64,
}

/// What has to be told of packets with these stamps.
fn expected(times: &[u64]) -> Told {
    let mut told = Told { lines: 1, ..Told::default() };
    let mut at = times[0] / S;
    for time in times {
        let now = time / S;
        told.late += u64::from(now < at);
        if now > at {
            let between = now - at - 1;
            told.lines += 1 + between.min(EMPTY_MOST);
            told.skipped += between.saturating_sub(EMPTY_MOST);
            at = now;
        }
    }
    told
}

fn sum(line: &Value) -> (u64, u64) {
    let (rx, tx) = (frames_of(&line["rx"]), frames_of(&line["tx"]));
    (rx.0 + tx.0, rx.1 + tx.1)
}

/// Runs over the file and checks all that holds for any stamps.
fn told(times: &[u64], workers: &str) -> Told {
    let file = write(times);
    let path = file.path().to_str().expect("UTF-8");
    let (run, lines) = lines_of(&["-r", path, "--workers", workers]);
    assert_eq!(run.code, Some(0), "{}", run.complaint);
    let intervals: Vec<&Value> = of_type(&lines, "interface").collect();
    let total = intervals.iter().map(|line| sum(line)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    assert_eq!(total, sum(&stop(&lines)["interfaces"][0]), "intervals are the totals");
    assert_eq!(total.0, times.len() as u64, "every packet is there");
    let connections = of_type(&lines, "connection")
        .map(|line| number(&line["c2s"]["packets"]) + number(&line["s2c"]["packets"]));
    assert_eq!(
        connections.sum::<u64>() + number(&stop(&lines)["interfaces"][0]["untracked"]["packets"]),
        total.0
    );
    let mut empty = 0;
    for line in &intervals {
        empty = if sum(line).0 == 0 { empty + 1 } else { 0 };
        assert!(empty <= EMPTY_MOST, "{empty} empty intervals in a row");
    }
    let times: Vec<&str> = intervals.iter().filter_map(|line| line["time"].as_str()).collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    let count = |event: &str| {
        let notices = of_type(&lines, "notice").filter(|line| line["event"] == event);
        notices.map(|line| number(&line["count"])).sum()
    };
    assert_eq!(of_type(&lines, "notice").filter(|line| line["event"] == "identity").count(), 0);
    Told { lines: intervals.len() as u64, skipped: count("intervals_skipped"), late: count("late_packets") }
}

#[test]
fn stamps_that_stand_still_are_one_interval() {
    for time in [0, 1, S - 1, S, 1_700_000_000 * S, 584 * YEAR] {
        assert_eq!(told(&vec![time; 200], "1"), Told { lines: 1, skipped: 0, late: 0 }, "{time}");
    }
}

#[test]
fn the_last_moment_that_there_is_ends_too() {
    let last = [u64::MAX - 1, u64::MAX, u64::MAX];
    for times in [&last[..], &[0, u64::MAX, 0, u64::MAX - 1, 5 * S]] {
        let told = told(times, "1");
        assert!(told.lines <= 2 * (EMPTY_MOST + 2), "{told:?}");
    }
}

#[test]
fn years_between_packets_are_told_not_shown() {
    let times: Vec<u64> = (0..500).map(|n| n * YEAR / 20).collect();
    assert_eq!(told(&times, "1"), expected(&times));
    // There and back, again and again: time only passes once.
    let times: Vec<u64> = (0..2000).map(|n| if n % 2 == 0 { n * S } else { 30 * YEAR + n * S }).collect();
    assert_eq!(told(&times, "2"), expected(&times));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_stamps_are_counted_where_they_belong(
        steps in prop::collection::vec((0u8..8, any::<u32>()), 1..120), first in 0u64..500 * YEAR, workers in 1u8..4
    ) {
        let mut time = if first % 5 == 0 { 0 } else { first };
        let mut times = Vec::new();
        for (what, amount) in steps {
            let amount = u64::from(amount);
            let years = amount % 60 * YEAR + amount;
            time = match what {
                0 => time.saturating_add(years),
                1 => time.saturating_sub(years),
                2 => time.saturating_sub(amount),
                3 => time + amount % 200 * S,
                4 => 0,
                5 => time,
                _ => time + amount,
            };
            time = time.min(u64::MAX - 1000 * S);
            times.push(time);
        }
        prop_assert_eq!(told(&times, &workers.to_string()), expected(&times));
    }
}

/// `--replay` changes when lines come, and nothing else.
#[test]
fn a_replay_takes_its_time_and_says_the_same() {
    let file = write(&[100 * S, 100 * S + 500_000_000, 102 * S, 103 * S + 1]);
    let path = file.path().to_str().expect("a name");
    let lines = |more: &[&str]| {
        let (_, mut lines) = lines_of(&[&["-r", path][..], more].concat());
        // It tells of the workers.
        lines.retain(|line| line["type"] != "start");
        lines
    };
    let begun = Instant::now();
    let replayed = lines(&["--replay", "4"]);
    // Three intervals end before the last packet, a quarter of a second each.
    assert!(begun.elapsed() >= 3 * Duration::from_millis(250), "{:?}", begun.elapsed());
    assert_eq!(replayed, lines(&[]));
    assert_eq!(replayed, lines(&["--replay", "1000", "--workers", "2"]));
}

#[test]
fn where_nothing_matches_no_time_is_told() {
    let file = write(&[100 * S, 101 * S]);
    let path = file.path().to_str().expect("UTF-8");
    let (run, lines) = lines_of(&["-r", path, "vlan 5"]);
    assert_eq!(run.code, Some(0), "{}", run.complaint);
    assert!(lines.len() > 1 && lines.iter().all(|line| line["time"].is_null()), "{lines:?}");
}

/// What TCP proves missing is said where people read, as it is in JSON.
#[test]
fn payload_that_was_acknowledged_and_never_seen_is_told() {
    let (client, server) = (([198, 18, 0, 1], 4000), ([198, 18, 0, 2], 80));
    let segment = |ends, sequence, acknowledgement, flags| {
        let tcp = frames::tcp(ends, sequence, acknowledgement, flags, 0);
        frames::ethernet(&[], 0x0800, &frames::ip(ends, frames::TCP, &tcp))
    };
    let (there, back) = (Ends::v4(client, server), Ends::v4(server, client));
    // The server has 5,000 bytes of which none came by here.
    let segments = [
        segment(there, 0, 0, 0x02),
        segment(back, 0, 1, 0x12),
        segment(there, 1, 1, 0x10),
        segment(back, 1, 5001, 0x10),
    ];
    let file = file_of((1_700_000_000 * S..).step_by(1_000_000).zip(segments));
    let path = file.path().to_str().expect("UTF-8");
    let (_, lines) = lines_of(&["-r", path]);
    assert_eq!(stop(&lines)["interfaces"][0]["capture"]["missing_bytes"], 5000);
    let text = files_run::run(&["-r", path, "-t"]);
    let sentence = "TCP acknowledged 5,000 bytes that were not seen here";
    assert!(text.output.contains(&format!("{sentence}\n")), "{}", text.output);
    // A filter may have left out the payload and taken what acknowledges it.
    let filtered = files_run::run(&["-r", path, "-t", "tcp"]).output;
    let explained = format!("{sentence}, which a filter that was in force may have left out\n");
    assert!(filtered.contains(&explained), "{filtered}");
}
