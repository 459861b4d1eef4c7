//! `fullcount why` on files whose story is known: the paragraph names the link,
//! the time, who, what the other link did, and what would help; and says no more
//! than that.

#[path = "file_writer/mod.rs"]
mod file_writer;
#[path = "common/frames.rs"]
mod frames;

use file_writer::{Classic, Packet};
use frames::Ends;
use std::path::PathBuf;
use std::process::Command;

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;
/// 2025-06-15 15:06:40 UTC.
const BEGIN: u64 = 1_750_000_000 * S;
/// Bytes on a line of 100 Mbit/s in a millisecond, in frames of 1,514 (1,538 on the line).
const EACH: u64 = 1538 * 8 * 10;

/// Frames of two links, and the folder of their files.
struct Story {
    links: [Vec<Packet>; 2],
    folder: tempfile::TempDir,
}

fn ends(source: u8, port: u16, destination: u8) -> Ends {
    Ends::v4(([198, 18, 0, source], port), ([198, 18, 1, destination], 6800))
}

impl Story {
    fn new() -> Story {
        Story { links: [Vec::new(), Vec::new()], folder: tempfile::tempdir().expect("a folder") }
    }

    /// Frames of 1,514 bytes at so many per cent of 100 Mbit/s.
    fn flow(&mut self, link: usize, from: u64, length: u64, ends: Ends, percent: u64) {
        let gap = EACH * 100 / percent;
        for number in 0..length / gap {
            let mut data =
                frames::ethernet(&[], 0x0800, &frames::ip(ends, frames::UDP, &frames::udp(ends, 1472)));
            data.truncate(66);
            self.links[link].push(Packet { time_ns: BEGIN + from + number * gap, len: 1514, data });
        }
    }

    /// The files, and what `why` says of them, the same with any number of workers.
    fn why(&mut self, more: &[&str]) -> String {
        let names = ["eth0", "eth1"];
        let mut paths: Vec<PathBuf> = Vec::new();
        for (name, packets) in names.iter().zip(&mut self.links) {
            packets.sort_by_key(|packet| packet.time_ns);
            let path = self.folder.path().join(name);
            std::fs::write(&path, Classic::NANO.write(packets).concat()).expect("written");
            paths.push(path);
        }
        let both = paths.iter().map(|path| path.to_str().expect("UTF-8")).collect::<Vec<_>>().join("+");
        let told = ["1", "2", "4"].map(|workers| {
            let mut program = Command::new(env!("CARGO_BIN_EXE_fullcount"));
            program.args(["why", "-r", &both, "--workers", workers, "-F", "198.18.1.0/24"]);
            let done = program.args(more).output().expect("it starts");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            assert_eq!(String::from_utf8_lossy(&done.stderr), "");
            String::from_utf8(done.stdout).expect("UTF-8")
        });
        assert!(told.iter().all(|one| *one == told[0]), "{told:#?}");
        told[0].clone()
    }
}

const SPEEDS: [&str; 4] = ["--link-speed", "eth0=100M", "--link-speed", "eth1=100M"];

#[test]
fn one_connection_that_bursts_every_second() {
    let mut story = Story::new();
    for link in [0, 1] {
        story.flow(link, 0, 6 * S, ends(1, 40_001, link as u8 + 1), 10);
    }
    for second in 0..6 {
        // A tenth of the line is taken already.
        story.flow(0, second * S + 300 * MS, 20 * MS, ends(7, 40_007, 1), 89);
    }
    let told = story.why(&SPEEDS);
    for words in [
        "eth0 rx was in bursts (from 80% of its speed on) for ",
        ": 6 bursts of ",
        " at 2025-06-15 15:06:40.300 UTC; in them it carried on average 9",
        "They came every 1 s.",
        "udp 198.18.0.7:40007 → 198.18.1.1:6800 had 90 % of the bytes, 99",
        "% of what came on top",
        "Meanwhile eth1 was at 10 %.",
        "One connection cannot be split",
    ] {
        assert!(told.replace(" %", "%").contains(&words.replace(" %", "%")), "{words}\n{told}");
    }
    assert!(!told.contains("Besides") && told.lines().count() == 1, "{told}");
}

#[test]
fn many_connections_that_the_switch_put_on_one_link() {
    let mut story = Story::new();
    story.flow(1, 0, 2 * S, ends(1, 40_001, 2), 5);
    for flow in 0..20 {
        story.flow(0, 500 * MS, 200 * MS, ends(50 + flow, 41_000 + u16::from(flow), 1 + flow % 3), 5);
    }
    let told = story.why(&SPEEDS);
    for words in [
        "eth0 rx was in bursts",
        ": one burst at 2025-06-15 15:06:40.500 UTC; in it it carried",
        "Port 6800/udp had 100 % of the bytes, 100 % of what came on top (up to 20 connections of 20 senders at once)",
        "What is received is placed by the switch",
        "Meanwhile eth1 was at ",
    ] {
        assert!(told.contains(words), "{words}\n{told}");
    }
    assert!(!told.contains("One connection") && !told.contains("They came every"), "{told}");
}

#[test]
fn what_is_sent_over_one_link_by_its_addresses_alone() {
    let mut story = Story::new();
    // All between the same two hosts, and so on one link by layer2+3; ports would part them.
    for flow in 0..40u16 {
        let ends = Ends::v4(([198, 18, 1, 1], 30_000 + flow * 7), ([198, 18, 0, 9], 443));
        story.flow(0, 200 * MS + u64::from(flow) * 150_000, 300 * MS, ends, 2);
    }
    // Something must pass on the other one, or there is none: a host whose hash is odd.
    for host in 10..60u8 {
        let ends = Ends::v4(([198, 18, 1, 1], 40_000), ([198, 18, 0, host], 80));
        let link = policy_of_addresses([198, 18, 1, 1], [198, 18, 0, host]);
        story.flow(link, u64::from(host) * MS, 5 * MS, ends, 30);
    }
    let told = story.why(&SPEEDS);
    for words in [
        "eth0 tx was in bursts",
        "198.18.0.9 had ",
        "layer2+3 explains 100 % of what was sent; the hash policy layer3+4 would have spread the whole run more evenly (eth0 50 %, eth1 50 %)",
    ] {
        assert!(told.contains(words), "{words}\n{told}");
    }
}

/// Two that meet on one link, neither of which fills it: another hash could part them,
/// though one of them has more than half.
#[test]
fn two_that_meet_could_be_parted() {
    let mut story = Story::new();
    story.flow(1, 0, 2 * S, ends(1, 40_001, 2), 1);
    story.flow(0, 500 * MS, 200 * MS, ends(7, 40_007, 1), 55);
    story.flow(0, 500 * MS, 200 * MS, ends(8, 40_008, 1), 42);
    let told = story.why(&SPEEDS);
    assert!(told.contains("udp 198.18.0.7:40007 → 198.18.1.1:6800 had 57 % of the bytes"), "{told}");
    assert!(told.contains("What is received is placed by the switch"), "{told}");
    assert!(!told.contains("cannot be split"), "{told}");
}

/// Who was there all the time is nobody's answer to many that came on top.
#[test]
fn many_on_top_of_one_that_was_there_are_told_as_many() {
    let mut story = Story::new();
    story.flow(0, 0, 3 * S, ends(1, 40_001, 1), 60);
    for sender in 0..40 {
        story.flow(0, 2 * S, 20 * MS, ends(100 + sender, 41_000, 1), 1);
    }
    let told = story.why(&SPEEDS);
    for words in [
        "Port 6800/udp had 100 % of the bytes, 100 % of what came on top (up to 41 connections of 41 senders at once).",
        "Many senders answer at once",
    ] {
        assert!(told.contains(words), "{words}\n{told}");
    }
    assert!(!told.contains("One connection") && !told.contains("198.18.1.1"), "{told}");
}

/// Milliseconds between full ones are in a burst, and are not called full.
#[test]
fn a_comb_is_one_burst_and_not_full_all_the_time() {
    let mut story = Story::new();
    for tooth in 0..100 {
        story.flow(0, tooth * 3 * MS, MS, ends(1, 40_001, 1), 100);
    }
    let told = story.why(&SPEEDS);
    assert!(told.contains("was in bursts (from 80% of its speed on) for all of the 297.8 ms from"), "{told}");
    assert!(told.contains("in it it carried on average 3"), "{told}");
}

#[test]
fn nothing_that_was_selected_is_told_without_a_time() {
    let mut story = Story::new();
    story.flow(0, 0, 100 * MS, ends(1, 40_001, 1), 50);
    assert_eq!(story.why(&["tcp"]), "No packet to count.\n");
}

/// layer2+3 over two slaves; both MAC addresses are the frames' own.
fn policy_of_addresses(source: [u8; 4], destination: [u8; 4]) -> usize {
    let frame = frames::ethernet(&[], 0x0800, &[]);
    let mut hash = u32::from(frame[5] ^ frame[11]) ^ 0x0800;
    hash ^= u32::from_le_bytes(source) ^ u32::from_le_bytes(destination);
    hash ^= hash >> 16;
    hash ^= hash >> 8;
    (hash % 2) as usize
}

#[test]
fn nothing_that_was_full_is_told_with_how_near_it_came() {
    let mut story = Story::new();
    story.flow(0, 0, S, ends(1, 40_001, 1), 40);
    story.flow(1, 0, S, ends(2, 40_002, 1), 20);
    let told = story.why(&SPEEDS);
    assert!(told.starts_with("No link was full in the 999.3 ms from 2025-06-15 15:06:40"), "{told}");
    assert!(told.contains("of eth0 rx, with 49.2 Mbit/s, 49 % of its 100 Mbit/s."), "{told}");
    let told = story.why(&[]);
    assert!(told.contains("The speed of eth0, eth1 is not known"), "{told}");
    assert!(told.contains("--link-speed eth0=1G"), "{told}");
}

#[test]
fn a_paragraph_is_all_that_is_printed() {
    let refused = Command::new(env!("CARGO_BIN_EXE_fullcount"))
        .args(["why", "-o", "json", "-r", "x"])
        .output()
        .expect("it starts");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("why prints a paragraph"));
    let mut story = Story::new();
    story.flow(0, 0, 100 * MS, ends(1, 40_001, 1), 50);
    let lines = story.folder.path().join("lines.jsonl");
    let told = story.why(&["--log-file", lines.to_str().expect("UTF-8")]);
    assert_eq!(told.lines().count(), 1);
    let written = std::fs::read_to_string(&lines).expect("a log file");
    assert!(written.lines().last().is_some_and(|line| line.contains("\"type\":\"stop\"")), "{written}");
}
