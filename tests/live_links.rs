//! Interfaces that go down, come up, are removed and made again while the
//! program runs: it says so, goes on, and counts every frame.

#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;

use frames::*;
use jiff::SignedDuration;
use live::netns::Netns;
use live::{Count, Fullcount, count_of, frames_of, intervals, notices, number, pair, time_of, total};
use serde_json::Value;

/// Sends on an interface of `netns` itself: seen by all taps before this returns.
fn send(netns: &Netns, interface: &str, frames: u16) -> Count {
    let mut injector = netns.injector(interface);
    let mut sent = Count::default();
    for n in 0..frames {
        let ends = Ends::v4(([198, 18, 0, 1], 4000 + n % 50), ([198, 19, 0, 1], 53));
        let frame = ethernet(&[], 0x0800, &ip(ends, UDP, &udp(ends, usize::from(n))));
        injector.send(&frame);
        sent.add(frame.len());
    }
    sent
}

fn both(total: &Value) -> [Count; 2] {
    [count_of(&total["tx"]), count_of(&total["rx"])]
}

#[test]
fn an_interface_that_was_down_is_counted_on() {
    let Some((near, far)) = pair("an_interface_that_was_down_is_counted_on") else { return };
    near.veth("v0", &far, "w0");
    near.veth("v1", &far, "w1");
    for workers in [1, 2] {
        let running =
            Fullcount::start(&near, &format!("-i v0,v1 --interval 0.2 --workers {workers} --connections"));
        let mut sent = [Count::default(); 2];
        for turn in 0..3 {
            sent[0] = sent[0].plus(send(&near, "v0", 300));
            near.shell("ip link set v0 down");
            running.wait_notice("interface_down", "v0", turn);
            // The other goes on meanwhile.
            sent[1] = sent[1].plus(send(&near, "v1", 100));
            near.shell("ip link set v0 up");
            running.wait_notice("interface_up", "v0", turn);
        }
        sent[0] = sent[0].plus(send(&near, "v0", 200));
        let lines = running.stop().lines();
        for (name, sent) in ["v0", "v1"].into_iter().zip(sent) {
            assert_eq!(both(total(&lines, name)), [sent, Count::default()], "{name}");
        }
        assert_eq!(notices(&lines, "interface_gone").count(), 0);
    }
}

#[test]
fn an_interface_made_again_is_counted_on() {
    let Some((near, far)) = pair("an_interface_made_again_is_counted_on") else { return };
    for workers in [1, 2] {
        near.veth("v0", &far, "w0");
        near.veth("v1", &far, "w1");
        let arguments = format!("-i v0,v1 --interval 0.2 --workers {workers} --connections");
        let running = Fullcount::start(&near, &arguments);
        let mut sent = [Count::default(); 2];
        for turn in 0..3 {
            sent[0] = sent[0].plus(send(&near, "v0", 300));
            near.shell("ip link del v0");
            running.wait_notice("interface_gone", "v0", turn);
            sent[1] = sent[1].plus(send(&near, "v1", 100));
            near.veth("v0", &far, "w0");
            running.wait_notice("interface_back", "v0", turn);
        }
        // What the kernel has counted of the last one; those before are gone.
        running.wait_compared("v0");
        sent[0] = sent[0].plus(send(&near, "v0", 200));
        assert_eq!(near.counter("v0", "tx_packets"), 200);
        let lines = running.stop().lines();
        for (name, sent) in ["v0", "v1"].into_iter().zip(sent) {
            assert_eq!(both(total(&lines, name)), [sent, Count::default()], "{name}");
            let capture = &total(&lines, name)["capture"];
            assert_eq!(number(&capture["frames"]), sent.packets, "{capture}");
            assert_eq!(number(&capture["kernel_drops"]), 0, "{capture}");
            assert_eq!(capture["coverage_ratio"], 1.0, "{name}: {capture}");
        }
        near.shell("ip link del v0");
        near.shell("ip link del v1");
    }
}

#[test]
fn without_any_interface_it_waits_until_it_is_stopped() {
    let Some((near, far)) = pair("without_any_interface_it_waits_until_it_is_stopped") else { return };
    near.veth("v0", &far, "w0");
    let running = Fullcount::start(&near, "-i v0 --interval 0.2 --workers 2");
    let sent = send(&near, "v0", 500);
    near.shell("ip link del v0");
    running.wait_notice("interface_gone", "v0", 0);
    // Lines go on with nothing in them. Those of intervals that were over when
    // it was removed may come after the notice, so spans decide, not places.
    let after_it = |lines: &[Value]| -> Vec<Value> {
        let gone = time_of(notices(lines, "interface_gone").next().expect("it was told"));
        let began = |line: &Value| {
            let seconds = line["interval_seconds"].as_f64().expect("a number");
            time_of(line) - SignedDuration::from_secs_f64(seconds)
        };
        intervals(lines, "v0").filter(|line| began(line) >= gone).cloned().collect()
    };
    running.wait_for("three intervals after it", |lines| (after_it(lines).len() >= 3).then_some(()));
    let lines = running.stop().lines();
    assert_eq!(lines.last().expect("stop")["reason"], "signal");
    assert_eq!(notices(&lines, "interface_back").count(), 0);
    assert_eq!(both(total(&lines, "v0")), [sent, Count::default()]);
    for line in after_it(&lines) {
        assert_eq!(both(&line), [Count::default(); 2], "{line}");
        assert_eq!([frames_of(&line["tx"]), frames_of(&line["rx"])], [Count::default(); 2], "{line}");
    }
}

#[test]
fn the_only_interface_made_again_is_counted_on() {
    let Some((near, far)) = pair("the_only_interface_made_again_is_counted_on") else { return };
    near.veth("v0", &far, "w0");
    let running = Fullcount::start(&near, "-i v0 --interval 0.2 --workers 2 --connections");
    let mut sent = send(&near, "v0", 400);
    for turn in 0..2 {
        // Removed at its other end, and for long enough to have empty intervals.
        far.shell("ip link del w0");
        running.wait_notice("interface_gone", "v0", turn);
        running.wait_interval();
        near.veth("v0", &far, "w0");
        running.wait_notice("interface_back", "v0", turn);
        sent = sent.plus(send(&near, "v0", 100));
    }
    let lines = running.stop().lines();
    assert_eq!(both(total(&lines, "v0")), [sent, Count::default()]);
    assert_eq!(number(&total(&lines, "v0")["capture"]["frames"]), sent.packets);
}

#[test]
fn an_interface_that_is_renamed_keeps_its_totals() {
    let Some((near, far)) = pair("an_interface_that_is_renamed_keeps_its_totals") else { return };
    near.veth("v0", &far, "w0");
    let running = Fullcount::start(&near, "-i v0 --interval 0.2 --workers 1");
    let sent = send(&near, "v0", 300);
    running.wait_frames("v0", 300);
    near.shell("ip link set v0 down && ip link set v0 name v7 && ip link set v7 up");
    running.wait_notice("interface_renamed", "v7", 0);
    let sent = sent.plus(send(&near, "v7", 200));
    let run = running.stop();
    // Its lines bear two names, so only the last is compared.
    let last: Value = serde_json::from_str(run.text.lines().last().expect("lines")).expect("JSON");
    assert_eq!((run.status.code(), run.stderr.as_str()), (Some(0), ""));
    live::schema::validate_lines(&run.text);
    assert_eq!(both(total(&[last], "v7")), [sent, Count::default()]);
}
