//! The whole program on bonds of the real driver: hash policies set while it
//! runs, slaves that join, leave and fail, and what it said that another policy
//! would do beside what the driver then does. Where the kernel has no bonding
//! driver these run in user-mode Linux.

#[path = "common/bonding.rs"]
mod bonding;
#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;

use bonding::bonding;
use frames::*;
use live::netns::{Injector, Netns};
use live::{Fullcount, notices, number, pair, time_of, total};
use serde_json::{Value, json};

/// The last one is in force at the start.
const POLICIES: [&str; 6] = ["layer2", "layer2+3", "layer3+4", "encap2+3", "vlan+srcmac", "encap3+4"];
const SLAVES: [&str; 3] = ["s0", "s1", "s2"];

/// Frames of some hundred flows of a router with several neighbours.
fn traffic() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for flow in 0..200_u16 {
        let low = (flow * 37 % 256) as u8;
        let ends =
            Ends::v4(([198, 18, 3, low], 1024 + flow), ([198, 19, (flow % 7) as u8, 9], 80 + flow % 3));
        for turn in 0..1 + usize::from(flow % 3) {
            let packet = match flow % 2 {
                0 => ip(ends, TCP, &tcp(ends, 1 + turn as u32 * 40, 1, 0x10, 40)),
                _ => ip(ends, UDP, &udp(ends, usize::from(flow))),
            };
            let mut frame = ethernet(&[], 0x0800, &packet);
            (frame[5], frame[11]) = ((flow % 11) as u8, (flow % 13) as u8);
            frames.push(frame);
        }
    }
    frames
}

fn send(injector: &mut Injector, frames: &[Vec<u8>]) -> u64 {
    frames.iter().for_each(|frame| injector.send(frame));
    frames.iter().map(|frame| frame.len() as u64).sum()
}

/// A bond of veths with nothing else on it; what it sends comes out in `far`.
fn make(near: &Netns, far: &Netns, slaves: &[&str], options: &str) {
    near.shell(&format!("ip link add bond0 type bond miimon 20 {options}"));
    for slave in slaves {
        near.shell(&format!("ip link add {slave} type veth peer name p{slave} netns {}", far.name()));
        far.shell(&format!("ip link set p{slave} arp off multicast off up"));
        near.shell(&format!("ip link set {slave} arp off multicast off && ip link set {slave} master bond0"));
    }
    near.shell("ip link set bond0 arp off multicast off up");
    wait_usable(near, slaves.len());
}

/// Until the driver has so many slaves up.
fn wait_usable(near: &Netns, slaves: usize) {
    live::netns::wait("the slaves are up", || {
        near.shell("cat /proc/net/bonding/bond0").matches("MII Status: up").count() == slaves + 1
    });
}

/// Until the driver has so many slaves up, and the program had time to see that.
fn settle(running: &Fullcount, near: &Netns, slaves: usize) {
    wait_usable(near, slaves);
    running.wait_interval();
    running.wait_interval();
}

fn sent(near: &Netns, slaves: &[&str]) -> Vec<u64> {
    slaves.iter().map(|slave| near.counter(slave, "tx_bytes")).collect()
}

/// Waits for a `bond_changed` that says this, behind `after` others that do.
fn wait_changed(running: &Fullcount, what: &str, after: usize) -> Value {
    running.wait_for(what, |lines| {
        let says = |line: &&Value| line["message"].as_str().is_some_and(|message| message.contains(what));
        notices(lines, "bond_changed").filter(says).nth(after).cloned()
    })
}

/// Waits until a new model has begun behind a notice: what is sent from now on is all in it.
fn wait_anew(running: &Fullcount, behind: &Value) {
    running.wait_line("a model that begins anew", |line| {
        let what_if = &line["what_if"];
        let since = what_if["since"].as_str().and_then(|since| since.parse::<jiff::Timestamp>().ok());
        line["type"] == "balance"
            && since.is_some_and(|since| since >= time_of(behind))
            && what_if["withheld"] == "nothing was sent"
    });
}

/// Waits until so many bytes are in what another policy would do.
fn wait_judged(running: &Fullcount, policy: &str, bytes: u64) -> Value {
    let line = running.wait_line(&format!("{bytes} bytes by {policy}"), |line| {
        let other = line["what_if"]["policies"].as_array().and_then(|policies| policies.first());
        let sum =
            other.and_then(|other| other["bytes"].as_object()).map(|of| of.values().map(number).sum::<u64>());
        line["type"] == "balance" && line["what_if"]["policy_in_force"] == policy && sum == Some(bytes)
    });
    let what_if = &line["what_if"];
    assert_eq!(
        (&what_if["model_accuracy_ratio"], &what_if["judged_ratio"]),
        (&json!(1.0), &json!(1.0)),
        "{line}"
    );
    assert_eq!((what_if.get("found_by_fit"), what_if.get("withheld")), (None, None), "{line}");
    line
}

/// What the line says that each slave would have with another policy.
fn predicted(line: &Value, policy: &str, slaves: &[&str]) -> Vec<u64> {
    let policies = line["what_if"]["policies"].as_array().expect("a list");
    let one = policies.iter().find(|one| one["policy"] == policy).expect("the policy");
    slaves.iter().map(|slave| number(&one["bytes"][slave])).collect()
}

#[test]
fn each_policy_that_is_set_is_followed_and_does_what_was_foretold() {
    const TEST: &str = "each_policy_that_is_set_is_followed_and_does_what_was_foretold";
    if !bonding(TEST) {
        return;
    }
    let Some((near, far)) = pair(TEST) else { return };
    make(&near, &far, &SLAVES, "mode balance-xor xmit_hash_policy encap3+4");
    let mut injector = near.injector("bond0");
    let frames = traffic();
    let running = Fullcount::start(&near, "-i bond0 --interval 0.5 --workers 2");
    let begun = running.wait_line("start", |line| line["type"] == "start");
    assert_eq!(begun["bonds"][0]["slaves"], json!(SLAVES), "{begun}");
    let all = send(&mut injector, &frames);
    let mut line = wait_judged(&running, "encap3+4", all);
    assert_eq!(line["what_if"].get("since"), None, "{line}");
    for policy in POLICIES {
        let foretold = predicted_or_none(&line, policy);
        near.shell(&format!("echo {policy} >/sys/class/net/bond0/bonding/xmit_hash_policy"));
        let changed = wait_changed(&running, &format!("xmit_hash_policy {policy} instead of "), 0);
        wait_anew(&running, &changed);
        let before = sent(&near, &SLAVES);
        let all = send(&mut injector, &frames);
        let counted: Vec<u64> =
            sent(&near, &SLAVES).iter().zip(before).map(|(after, before)| after - before).collect();
        assert_eq!(counted.iter().sum::<u64>(), all);
        if let Some(foretold) = foretold {
            assert_eq!(counted, foretold, "{policy}");
        }
        line = wait_judged(&running, policy, all);
        assert_eq!((&line["bond"], &line["interfaces"]), (&json!("bond0"), &json!(SLAVES)));
    }
    let lines = running.stop().lines();
    assert_eq!(notices(&lines, "bond_changed").count(), POLICIES.len());
    for (slave, counted) in SLAVES.iter().zip(sent(&near, &SLAVES)) {
        assert_eq!(number(&total(&lines, slave)["tx"]["bytes"]), counted, "{slave}");
    }
}

/// The same, but of the policy in force there is none.
fn predicted_or_none(line: &Value, policy: &str) -> Option<Vec<u64>> {
    (line["what_if"]["policy_in_force"] != policy).then(|| predicted(line, policy, &SLAVES))
}

#[test]
fn slaves_that_join_leave_and_fail_are_followed() {
    const TEST: &str = "slaves_that_join_leave_and_fail_are_followed";
    if !bonding(TEST) {
        return;
    }
    let Some((near, far)) = pair(TEST) else { return };
    make(&near, &far, &["s0", "s1"], "mode balance-xor xmit_hash_policy layer3+4");
    near.shell(&format!("ip link add s2 type veth peer name ps2 netns {}", far.name()));
    near.shell("ip link set s2 arp off multicast off");
    far.shell("ip link set ps2 arp off multicast off up");
    let mut injector = near.injector("bond0");
    let frames = traffic();
    // What is said of a bond's slaves holds for one that joins.
    let running = Fullcount::start(&near, "-i bond0 --link-speed bond0=1G --interval 0.5 --workers 2");
    let all = send(&mut injector, &frames);
    wait_judged(&running, "layer3+4", all);
    for turn in 0..2 {
        near.shell("ip link set s2 master bond0");
        running.wait_notice("slave_joined", "s2", turn);
        settle(&running, &near, 3);
        let line = running.wait_for("three that can be used", |lines| {
            let joined = notices(lines, "slave_joined").nth(turn)?;
            let three = |line: &&Value| {
                line["type"] == "balance"
                    && time_of(line) > time_of(joined)
                    && line["interfaces"] == json!(SLAVES)
            };
            let line = lines.iter().rfind(three)?;
            (line["what_if"]["withheld"] == "nothing was sent").then(|| line.clone())
        });
        let all = send(&mut injector, &frames);
        let line = wait_judged_after(&running, all, &line);
        assert!(predicted(&line, "layer2", &SLAVES).iter().all(|bytes| *bytes > 0), "{line}");
        // Its line fails, and is mended: the others take its part.
        far.shell("ip link set ps2 down");
        let down = wait_changed(&running, "s2 cannot be used", turn);
        wait_anew(&running, &down);
        let all = send(&mut injector, &frames);
        let line = wait_judged_after(&running, all, &down);
        assert_eq!(line["what_if"]["policies"][0]["bytes"].as_object().map(|of| of.len()), Some(2), "{line}");
        far.shell("ip link set ps2 up");
        let up = wait_changed(&running, "s2 can be used", turn);
        wait_anew(&running, &up);
        near.shell("ip link set s2 nomaster");
        running.wait_notice("slave_left", "s2", turn);
        let left = running.wait_for("it left", |lines| notices(lines, "slave_left").nth(turn).cloned());
        wait_anew(&running, &left);
        let all = send(&mut injector, &frames);
        let line = wait_judged_after(&running, all, &left);
        assert_eq!(line["interfaces"], json!(["s0", "s1"]), "{line}");
        // Not the bond's any more, so nobody's.
        near.shell("ip link set s2 up");
        send(&mut near.injector("s2"), &frames[..3]);
        near.shell("ip link set s2 down");
    }
    let counted = sent(&near, &SLAVES);
    let lines = running.stop().lines();
    let strays: u64 = 2 * frames[..3].iter().map(|frame| frame.len() as u64).sum::<u64>();
    for (slave, counted) in SLAVES.iter().zip(counted) {
        let strays = if *slave == "s2" { strays } else { 0 };
        assert_eq!(number(&total(&lines, slave)["tx"]["bytes"]), counted - strays, "{slave}");
    }
    let speeds = live::intervals(&lines, "s2").map(|line| line["tx"]["line_utilisation_ratio"].is_number());
    assert!(speeds.last().is_some_and(|known| known), "{}", lines.last().expect("stop"));
    let interfaces = lines.last().expect("stop")["interfaces"].as_array().map(Vec::len);
    assert_eq!(interfaces, Some(3), "one that comes back has its old number");
}

/// As [`wait_judged`], of lines behind another one.
fn wait_judged_after(running: &Fullcount, bytes: u64, behind: &Value) -> Value {
    let line = running.wait_line(&format!("{bytes} bytes behind {behind}"), |line| {
        let other = line["what_if"]["policies"].as_array().and_then(|policies| policies.first());
        let sum =
            other.and_then(|other| other["bytes"].as_object()).map(|of| of.values().map(number).sum::<u64>());
        line["type"] == "balance" && time_of(line) > time_of(behind) && sum == Some(bytes)
    });
    assert_eq!(line["what_if"]["model_accuracy_ratio"], 1.0, "{line}");
    line
}

#[test]
fn another_active_slave_and_another_mode_are_told() {
    const TEST: &str = "another_active_slave_and_another_mode_are_told";
    if !bonding(TEST) {
        return;
    }
    let Some((near, far)) = pair(TEST) else { return };
    make(&near, &far, &["s0", "s1"], "mode active-backup");
    let mut injector = near.injector("bond0");
    let frames = traffic();
    let running = Fullcount::start(&near, "-i bond0 --interval 0.5 --workers 2");
    let mut all = send(&mut injector, &frames);
    running.wait_line("no advice", |line| {
        let why = line["what_if"]["withheld"].as_str().unwrap_or_default();
        line["type"] == "balance" && why.starts_with("mode active-backup does not choose slaves by hash")
    });
    near.shell("echo s1 >/sys/class/net/bond0/bonding/active_slave");
    wait_changed(&running, "active slave s1 instead of s0", 0);
    all += send(&mut injector, &frames);
    // No mode is set while there are slaves.
    for slave in ["s0", "s1"] {
        near.shell(&format!("ip link set {slave} nomaster"));
        running.wait_notice("slave_left", slave, 0);
    }
    near.shell(
        "ip link set bond0 down && ip link set bond0 type bond mode balance-xor xmit_hash_policy layer2+3",
    );
    wait_changed(&running, "mode balance-xor instead of active-backup", 0);
    near.shell("ip link set bond0 type bond miimon 20");
    for slave in ["s1", "s0"] {
        near.shell(&format!("ip link set {slave} master bond0"));
        running.wait_notice("slave_joined", slave, 0);
    }
    near.shell("ip link set bond0 up");
    settle(&running, &near, 2);
    let both = running.wait_line("both in the driver's order", |line| {
        line["type"] == "balance"
            && line["interfaces"] == json!(["s1", "s0"])
            && line["what_if"]["withheld"] == "nothing was sent"
    });
    // A socket that saw its interface go down says so at its next use.
    let now = send(&mut near.injector("bond0"), &frames);
    let line = wait_judged_after(&running, now, &both);
    assert_eq!(line["what_if"]["policy_in_force"], "layer2+3", "{line}");
    let counted: u64 = sent(&near, &["s0", "s1"]).iter().sum();
    assert_eq!(counted, all + now);
    let lines = running.stop().lines();
    let told: u64 = ["s0", "s1"].iter().map(|slave| number(&total(&lines, slave)["tx"]["bytes"])).sum();
    assert_eq!(told, counted);
}

/// Two bonds that speak LACP with each other, over three lines.
#[test]
fn an_aggregator_is_followed() {
    const TEST: &str = "an_aggregator_is_followed";
    if !bonding(TEST) {
        return;
    }
    let Some((near, far)) = pair(TEST) else { return };
    make(&near, &far, &SLAVES, "mode 802.3ad lacp_rate fast xmit_hash_policy layer3+4");
    let running = Fullcount::start(&near, "-i bond0 --interval 0.5 --workers 2");
    // Without a partner each slave is an aggregator by itself, and one is in use.
    far.shell("ip link add bond1 type bond mode 802.3ad lacp_rate fast miimon 20");
    for slave in SLAVES {
        far.shell(&format!("ip link set p{slave} down && ip link set p{slave} master bond1"));
    }
    far.shell("ip link set bond1 arp off multicast off up");
    let ports = || near.shell("cat /sys/class/net/bond0/bonding/ad_num_ports");
    live::netns::wait("one aggregator of three", || ports().trim() == "3");
    let active = |slave: &str| near.sysfs(slave, "bonding_slave/state") == "active";
    live::netns::wait("three slaves send", || SLAVES.into_iter().all(active));
    let mut injector = near.injector("bond0");
    let frames = traffic();
    let line = send_until_judged(&running, &mut injector, &frames, 3);
    assert_eq!(line["what_if"]["policy_in_force"], "layer3+4", "{line}");
    assert!(predicted(&line, "layer2", &SLAVES).iter().all(|bytes| *bytes > 0), "{line}");
    // Its line stays up, but nobody answers there: the switch's side was taken out.
    far.shell("ip link set ps2 nomaster && ip link set ps2 up");
    live::netns::wait("one aggregator of two", || ports().trim() == "2");
    send_until_judged(&running, &mut injector, &frames, 2);
    running.stop().lines();
}

/// Sends all until it is in one model of so many slaves: another aggregator in use is seen when
/// the bond is read next, and what was sent until then is in none.
fn send_until_judged(
    running: &Fullcount,
    injector: &mut Injector,
    frames: &[Vec<u8>],
    slaves: usize,
) -> Value {
    for _ in 0..10 {
        let begun = jiff::Timestamp::now();
        let all = send(injector, frames);
        let judged = running.wait_for("all judged, or a model that begins anew", |lines| {
            let line =
                lines.iter().rfind(|line| line["type"] == "balance").filter(|line| time_of(line) > begun)?;
            let what_if = &line["what_if"];
            let since = what_if["since"].as_str().and_then(|since| since.parse::<jiff::Timestamp>().ok());
            if what_if["withheld"].is_string() || since.is_some_and(|since| since > begun) {
                // Nothing more comes into this one by itself.
                return (time_of(line).duration_since(begun).as_secs() >= 3).then_some(None);
            }
            let bytes = what_if["policies"][0]["bytes"].as_object()?;
            let sum: u64 = bytes.values().map(number).sum();
            (bytes.len() == slaves && sum >= all && what_if["model_accuracy_ratio"] == 1.0)
                .then(|| Some(line.clone()))
        });
        if let Some(line) = judged {
            return line;
        }
    }
    panic!("the bond does not come to rest");
}
