//! Rings under pressure and at rest: a program that stands still, a ring that
//! is too small, an interface on which nothing happens, what its own counters say.

#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;

use frames::*;
use jiff::Timestamp;
use live::netns::Netns;
use live::{
    Count, Fullcount, PROGRAM, count_of, frames_of, intervals, number, pair, skipped, time_of, total,
};
use rustix::process::Signal;
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

fn datagram(n: usize, payload: usize) -> Vec<u8> {
    let ends = Ends::v4(([198, 18, 0, (n % 100) as u8], 4000), ([198, 19, 0, 1], 53));
    ethernet(&[], 0x0800, &ip(ends, UDP, &udp(ends, payload)))
}

/// Sends on an interface of `netns` itself; each frame has passed the taps when
/// this returns.
fn send(netns: &Netns, interface: &str, frames: usize, payload: usize) -> Count {
    let mut injector = netns.injector(interface);
    let mut sent = Count::default();
    for n in 0..frames {
        let frame = datagram(n, payload);
        injector.send(&frame);
        sent.add(frame.len());
    }
    sent
}

#[test]
fn a_ring_that_is_too_small_says_exactly_what_it_lost() {
    let Some((near, far)) = pair("a_ring_that_is_too_small_says_exactly_what_it_lost") else { return };
    near.veth("v0", &far, "w0");
    for workers in [1, 2] {
        let arguments = format!("-i v0 --ring-mib 2 --workers {workers} --interval 0.2 --connections");
        let running = Fullcount::start(&near, &arguments);
        let before = send(&near, "v0", 500, 20);
        running.wait_frames("v0", before.packets);
        running.freeze();
        let sent = before.plus(send(&near, "v0", 40_000, 20));
        running.signal(Signal::CONT);
        // Room again: these are counted.
        running.wait_interval();
        let sent = sent.plus(send(&near, "v0", 500, 20));
        let lines = running.stop().lines();
        let total = total(&lines, "v0");
        let capture = &total["capture"];
        let (read, dropped) = (number(&capture["frames"]), number(&capture["kernel_drops"]));
        assert!(dropped > 0 && number(&capture["freezes"]) > 0, "{capture}");
        assert_eq!(read + dropped, sent.packets, "{workers} workers: {capture}");
        assert_eq!(frames_of(&total["tx"]).packets, read);
        // (That interval lines sum to it is seen to by `lines`.)
        let told: Vec<u64> =
            intervals(&lines, "v0").map(|line| number(&line["capture"]["kernel_drops"])).collect();
        assert_eq!(told.iter().sum::<u64>(), dropped, "{told:?}");
        let coverage = capture["coverage_ratio"].as_f64().expect("comparable");
        assert!(coverage < 1.0, "the interface sent more than was seen: {coverage}");
    }
}

/// The load generator at 80,000 frames of 1,500 bytes a second, towards v0; None
/// where it is not built or not permitted (it needs root of the machine).
fn load(near: &Netns, count: usize) -> Option<std::process::Child> {
    let load = Path::new(PROGRAM).with_file_name("examples").join("load");
    let line = |count| {
        let options = "--interface v0 --rate 80000 --size 1500 --flows 1000";
        near.command(&format!("exec {} {options} --count {count}", load.display()))
    };
    let probe =
        near.command("ethtool -K v0 gro on").output().and_then(|_| line(1).output()).expect("sh runs");
    if !probe.status.success() {
        let why = String::from_utf8_lossy(&probe.stderr).into_owned();
        skipped("80,000 frames a second by examples/load", &format!("slower ones instead: {}", why.trim()));
        return None;
    }
    Some(line(count).stdout(Stdio::piped()).spawn().expect("sh runs"))
}

fn stand_still(running: &Fullcount) {
    running.freeze();
    std::thread::sleep(Duration::from_secs(1));
    running.signal(Signal::CONT);
}

#[test]
fn a_second_of_standing_still_under_load_loses_nothing() {
    let Some((near, far)) = pair("a_second_of_standing_still_under_load_loses_nothing") else { return };
    near.veth("v0", &far, "w0");
    let running = Fullcount::start(&near, "-i v0 --workers 1");
    if let Some(child) = load(&near, 240_000) {
        running.wait_frames("v0", 1000);
        stand_still(&running);
        let said = child.wait_with_output().expect("a child").stdout;
        let said: Value = serde_json::from_slice(&said).expect("JSON");
        // One frame more: the generator was tried.
        let sent = number(&said["packets"]) + 1;
        let lines = running.stop().lines();
        assert_eq!(count_of(&total(&lines, "v0")["rx"]), Count { packets: sent, bytes: sent * 1500 });
        assert_eq!(number(&total(&lines, "v0")["capture"]["kernel_drops"]), 0);
        return;
    }
    // As fast as one thread can send, a second before and while it stands still.
    let sent = std::thread::scope(|scope| {
        let sending = scope.spawn(|| send(&near, "v0", 60_000, 1458));
        running.wait_frames("v0", 1000);
        stand_still(&running);
        sending.join().expect("all sent")
    });
    let lines = running.stop().lines();
    assert_eq!(count_of(&total(&lines, "v0")["tx"]), sent);
    assert_eq!(number(&total(&lines, "v0")["capture"]["kernel_drops"]), 0);
}

#[test]
fn lines_keep_coming_while_nothing_happens() {
    let Some((near, far)) = pair("lines_keep_coming_while_nothing_happens") else { return };
    near.veth("v0", &far, "w0");
    near.veth("v1", &far, "w1");
    for workers in [1, 2] {
        let running = Fullcount::start(&near, &format!("-i v0,v1 --interval 0.2 --workers {workers}"));
        let came = running
            .wait_for("ten intervals", |lines| (intervals(lines, "v0").count() >= 10).then(Timestamp::now));
        let lines = running.stop().lines();
        for name in ["v0", "v1"] {
            let times: Vec<Timestamp> = intervals(&lines, name).map(time_of).collect();
            let mut earlier = time_of(&lines[0]);
            let fifth = 200_000_000;
            for (number, (line, at)) in intervals(&lines, name).zip(&times).enumerate() {
                let span = at.as_nanosecond() - earlier.as_nanosecond();
                assert!(span > 0, "{line}");
                let told = line["interval_seconds"].as_f64().expect("a number");
                assert!((told - span as f64 / 1e9).abs() < 1e-6, "it covers {span} ns: {line}");
                // All but the first and the last are whole; a machine that
                // stood still may make one of two.
                let last = number + 1 == times.len();
                assert!(last || at.as_nanosecond() % fifth == 0, "{line}");
                assert!(number == 0 || last || span % fifth == 0, "{line}");
                assert_eq!(count_of(&line["rx"]).plus(count_of(&line["tx"])), Count::default());
                earlier = *at;
            }
            // The tenth line came when its interval was over, not much later.
            let behind = came.as_nanosecond() - times[9].as_nanosecond();
            assert!((0..2_000_000_000).contains(&behind), "{behind} ns");
        }
    }
}

#[test]
fn one_quiet_interface_does_not_hold_up_a_busy_one() {
    let Some((near, far)) = pair("one_quiet_interface_does_not_hold_up_a_busy_one") else { return };
    near.veth("v0", &far, "w0");
    near.veth("v1", &far, "w1");
    let running = Fullcount::start(&near, "-i v0,v1 --interval 0.2 --workers 1");
    for _ in 0..5 {
        let sent = send(&near, "v0", 200, 100).packets;
        let so_far = number_so_far(&running);
        running.wait_frames("v0", so_far.max(sent));
    }
    let lines = running.stop().lines();
    assert_eq!(count_of(&total(&lines, "v0")["tx"]).packets, 1000);
    assert_eq!(lines.last().expect("stop")["late_packets"], 0);
}

fn number_so_far(running: &Fullcount) -> u64 {
    running.wait_for("lines", |lines| {
        Some(intervals(lines, "v0").map(|line| frames_of(&line["tx"]).packets).sum())
    })
}

#[test]
fn what_was_counted_is_what_the_interface_counted() {
    let Some((near, far)) = pair("what_was_counted_is_what_the_interface_counted") else { return };
    near.veth("v0", &far, "w0");
    for workers in [1, 2] {
        let running = Fullcount::start(&near, &format!("-i v0 --interval 0.2 --workers {workers}"));
        running.wait_compared("v0");
        let mut sent = 0;
        for _ in 0..10 {
            sent += send(&near, "v0", 300, 100).packets + send(&far, "w0", 500, 50).packets;
            running.wait_frames("v0", sent);
        }
        // A quiet interval is the last but one.
        running.wait_interval();
        running.wait_interval();
        let lines = running.stop().lines();
        assert_eq!(total(&lines, "v0")["capture"]["coverage_ratio"], 1.0);
        // A reading amid a burst falls between two of its frames, one of a quiet
        // moment does not.
        let ratios: Vec<f64> =
            intervals(&lines, "v0").filter_map(|line| line["capture"]["coverage_ratio"].as_f64()).collect();
        assert!(ratios.contains(&1.0), "{ratios:?}");
    }
}
