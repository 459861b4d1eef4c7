//! What is lost besides the rings, on live interfaces: real loss, told as the
//! kernel's own tools tell it.
//!
//! Truth: `tc -s -j qdisc`, /sys/class/net/*/statistics, and
//! /proc/net/softnet_stat as this test reads it. Softnet is the whole machine's,
//! whatever else runs there: its figures are held between two of ours.

#[path = "common/live.rs"]
mod live;

use jiff::Timestamp;
use live::netns::{Netns, wait};
use live::{Fullcount, intervals, number, pair, total};
use serde_json::Value;
use std::net::UdpSocket;

/// a0 – b0, with addresses, nothing but the test's datagrams on it.
fn link(test: &str) -> Option<(Netns, Netns)> {
    let (near, far) = pair(test)?;
    near.veth("a0", &far, "b0");
    near.shell("ip addr add 198.18.9.1/24 dev a0");
    far.shell("ip addr add 198.18.9.2/24 dev b0");
    // Nobody asks for an address while a test counts.
    for (netns, name, peer, other, address) in
        [(&near, "a0", &far, "b0", "198.18.9.2"), (&far, "b0", &near, "a0", "198.18.9.1")]
    {
        let mac = peer.sysfs(other, "address");
        netns.shell(&format!("ip neigh replace {address} lladdr {mac} dev {name} nud permanent"));
    }
    Some((near, far))
}

/// Sends datagrams of so many bytes; a qdisc that drops one does not tell the sender.
fn send(near: &Netns, datagrams: usize, bytes: usize) {
    near.run(|| {
        let socket = UdpSocket::bind("198.18.9.1:4000").expect("a socket");
        for _ in 0..datagrams {
            socket.send_to(&vec![0; bytes], "198.18.9.2:9").expect("sent, or dropped on its way");
        }
    });
}

/// Gives a0 a qdisc; false, and said, where the kernel has none of that kind.
fn shape(test: &str, near: &Netns, words: &str) -> bool {
    let made = near.command(&format!("tc qdisc add dev a0 {words}")).output().expect("ip runs");
    if !made.status.success() {
        live::skipped(test, &format!("tc: {}", String::from_utf8_lossy(&made.stderr).trim()));
    }
    made.status.success()
}

/// The qdiscs of a0 as `tc` has them.
fn tc(near: &Netns) -> Vec<Value> {
    let text = near.shell("tc -s -j qdisc show dev a0");
    serde_json::from_str(&text).expect("tc writes JSON")
}

fn sum(lines: &[Value], interface: &str, pointer: &str) -> u64 {
    intervals(lines, interface).filter_map(|line| line.pointer(pointer)).map(number).sum()
}

fn moment(value: &Value) -> Timestamp {
    value.as_str().and_then(|time| time.parse().ok()).unwrap_or_else(|| panic!("{value} is no time"))
}

/// Spans of an interface's lines follow on each other and are those of the intervals.
fn spans_hold(lines: &[Value], interface: &str) {
    let mut before: Option<(Timestamp, Timestamp)> = None;
    for line in intervals(lines, interface).filter(|line| line.get("lost").is_some()) {
        let lost = &line["lost"];
        let (since, until) = (moment(&lost["since"]), moment(&lost["until"]));
        assert!(since < until, "{line}");
        if let Some((_, end)) = before {
            assert!(since <= end && until > end, "{line}");
        }
        before = Some((since, until));
    }
    let lost = &total(lines, interface)["lost"];
    assert_eq!(
        before.map(|(_, until)| until),
        Some(moment(&lost["until"])),
        "the run ends with its last span"
    );
}

#[test]
fn what_qdiscs_drop_is_what_tc_says() {
    let test = "what_qdiscs_drop_is_what_tc_says";
    let Some((near, _far)) = link(test) else { return };
    for nested in [false, true] {
        let words = match nested {
            false => "root handle 1: tbf rate 8mbit burst 3000 limit 6000",
            true => "parent 1:1 handle 20: pfifo limit 3",
        };
        if !shape(test, &near, words) {
            return;
        }
        // What was dropped before is none of the run's.
        send(&near, 100, 1000);
        wait("an empty queue", || tc(&near).iter().all(|qdisc| qdisc["backlog"] == 0));
        let before = tc(&near);
        let running = Fullcount::start(&near, "-i a0 --interval 0.3");
        for _ in 0..3 {
            send(&near, 300, 1000);
            running.wait_interval();
        }
        wait("an empty queue", || tc(&near).iter().all(|qdisc| qdisc["backlog"] == 0));
        let after = tc(&near);
        let lines = running.stop().lines();
        let root = |all: &[Value], key: &str| number(&all[0][key]);
        let lost = &total(&lines, "a0")["lost"]["qdisc"];
        for key in ["drops", "overlimits", "requeues"] {
            let grown = root(&after, key) - root(&before, key);
            assert_eq!(number(&lost[key]), grown, "{key}: {lost}\n{after:?}");
            assert_eq!(sum(&lines, "a0", &format!("/lost/qdisc/{key}")), grown, "{key}");
        }
        let drops = number(&lost["drops"]);
        assert!(drops > 300, "most of it had no room: {lost}");
        assert_eq!((&lost["backlog_packets"], &lost["backlog_bytes"]), (&0.into(), &0.into()));
        let by = lost["dropped_by"].as_array().expect("a list");
        // Inside tbf the fifo drops what finds no room, and tbf itself nothing.
        let expected = if nested { ("pfifo", "20:", "1:1") } else { ("tbf", "1:", "root") };
        let words =
            |one: &Value| ["kind", "handle", "parent"].map(|key| one[key].as_str().map(str::to_owned));
        let told: Vec<_> = by.iter().map(words).collect();
        let [kind, handle, parent] = [expected.0, expected.1, expected.2].map(|word| Some(word.to_owned()));
        assert_eq!((told, number(&by[0]["drops"])), (vec![[kind, handle, parent]], drops));
        assert_eq!(by[0].get("limit"), nested.then_some(&3.into()));
        // What was dropped there was never sent: the counts do not overlap.
        let sent = number(&total(&lines, "a0")["tx"]["packets"]);
        assert_eq!((sent + drops, number(&total(&lines, "a0")["capture"]["kernel_drops"])), (900, 0));
        spans_hold(&lines, "a0");
    }
}

#[test]
fn what_a_driver_drops_is_what_its_counters_say() {
    let Some((near, far)) = link("what_a_driver_drops_is_what_its_counters_say") else { return };
    // Longer than the other end takes: veth drops it as its sender.
    far.shell("ip link set b0 mtu 600");
    send(&near, 20, 1000);
    let [running, peer] = [(&near, "a0"), (&far, "b0")]
        .map(|(netns, name)| Fullcount::start(netns, &format!("-i {name} --interval 0.3")));
    send(&near, 70, 1000);
    running.wait_interval();
    send(&near, 7, 1000);
    send(&near, 5, 100);
    assert_eq!([near.counter("a0", "tx_dropped"), far.counter("b0", "rx_dropped")], [97, 97]);
    for (running, name, counter) in [(running, "a0", "tx_dropped"), (peer, "b0", "rx_dropped")] {
        let lines = running.stop().lines();
        let nic = &total(&lines, name)["lost"]["nic"];
        for (key, figure) in nic.as_object().expect("counters") {
            assert_eq!(number(figure), if key == counter { 77 } else { 0 }, "{name} {key}");
            assert_eq!(sum(&lines, name, &format!("/lost/nic/{key}")), number(figure), "{name} {key}");
        }
        assert_eq!(total(&lines, name)["lost"]["qdisc"]["drops"], 0);
        spans_hold(&lines, name);
    }
}

/// Packets dropped and budgets used up, all CPUs, by counters that wrap round.
fn softnet() -> Vec<[u32; 2]> {
    let text = std::fs::read_to_string("/proc/net/softnet_stat").expect("softnet");
    let column = |line: &str, at| {
        let word = line.split_whitespace().nth(at).expect("a column");
        u32::from_str_radix(word, 16).expect("hexadecimal")
    };
    text.lines().map(|line| [1, 2].map(|at| column(line, at))).collect()
}

#[test]
fn softnet_is_told_once_for_the_machine() {
    let Some((near, _far)) = link("softnet_is_told_once_for_the_machine") else { return };
    let grown = |then: &[[u32; 2]], now: &[[u32; 2]], at: usize| -> u64 {
        then.iter().zip(now).map(|(then, now)| u64::from(now[at].wrapping_sub(then[at]))).sum()
    };
    let outer = softnet();
    let running = Fullcount::start(&near, "-i a0,lo --interval 0.2");
    running.wait_interval();
    let inner = softnet();
    send(&near, 5000, 1000);
    running.wait_interval();
    let inner_end = softnet();
    let lines = running.stop().lines();
    let outer_end = softnet();
    let told = &lines.last().expect("lines")["machine"]["softnet"];
    for (at, key) in ["dropped", "time_squeeze"].into_iter().enumerate() {
        let (least, most) = (grown(&inner, &inner_end, at), grown(&outer, &outer_end, at));
        let figure = number(&told[key]);
        assert!(least <= figure && figure <= most, "{key}: {least} <= {figure} <= {most}");
        let machine = lines.iter().filter(|line| line["type"] == "machine");
        let sum: u64 = machine.map(|line| number(&line["softnet"][key])).sum();
        assert_eq!(sum, figure, "{key}: intervals sum to the run");
    }
}

#[test]
fn what_is_lost_around_a_burst_is_told_with_its_span() {
    let test = "what_is_lost_around_a_burst_is_told_with_its_span";
    let Some((near, _far)) = link(test) else { return };
    if !shape(test, &near, "root handle 1: tbf rate 40mbit burst 20000 limit 20000") {
        return;
    }
    let running = Fullcount::start(&near, "-i a0 --interval 1 --link-speed a0=10M");
    running.wait_interval();
    let begin = Timestamp::now();
    send(&near, 500, 1000);
    let end = Timestamp::now();
    wait("an empty queue", || tc(&near)[0]["backlog"] == 0);
    let drops = number(&tc(&near)[0]["drops"]);
    let burst = running.wait_line("a burst", |line| line["type"] == "burst");
    let lines = running.stop().lines();
    assert!(drops > 300 && number(&total(&lines, "a0")["lost"]["qdisc"]["drops"]) == drops);
    let lost = &burst["lost_meanwhile"];
    let (since, until) = (moment(&lost["since"]), moment(&lost["until"]));
    let start = moment(&burst["start"]);
    let length = burst["duration_seconds"].as_f64().expect("a length");
    let over = start + jiff::SignedDuration::from_secs_f64(length);
    assert!(since <= start && over <= until, "{burst}");
    let told = number(&lost["qdisc"]["drops"]);
    assert!(told <= drops, "{burst}");
    // All that was dropped was dropped while it was sent.
    if since <= begin && end <= until {
        assert_eq!(told, drops, "{burst}");
    } else {
        eprintln!("the machine had no time: {since} {begin} {end} {until}");
    }
    let nic = lost["nic"].as_object().expect("counters");
    assert!(nic.values().all(|figure| *figure == 0), "{burst}");
    if let Some(ring) = lost["ring"].as_object() {
        assert_eq!((&ring["kernel_drops"], &ring["freezes"]), (&0.into(), &0.into()));
        assert!(moment(&ring["since"]) <= start && over <= moment(&ring["until"]), "{burst}");
    }
    spans_hold(&lines, "a0");
}

#[test]
fn each_queue_of_a_device_has_its_own_qdisc_and_all_count() {
    let test = "each_queue_of_a_device_has_its_own_qdisc_and_all_count";
    let Some((near, far)) = pair(test) else { return };
    near.shell(&format!("ip link add a0 numtxqueues 2 type veth peer name b0 netns {}", far.name()));
    near.shell("ip link set a0 up");
    far.shell("ip link set b0 up");
    wait("carrier", || near.sysfs("a0", "operstate") == "up");
    near.shell("ip addr add 198.18.9.1/24 dev a0");
    let mac = far.sysfs("b0", "address");
    near.shell(&format!("ip neigh replace 198.18.9.2 lladdr {mac} dev a0 nud permanent"));
    if !shape(test, &near, "root handle 1: mq") {
        return;
    }
    for queue in [1, 2] {
        let words = format!("parent 1:{queue} handle 1{queue}: tbf rate 8mbit burst 3000 limit 6000");
        if !shape(test, &near, &words) {
            return;
        }
    }
    let running = Fullcount::start(&near, "-i a0 --interval 0.3");
    // A socket's datagrams keep to one queue; of so many sockets some take the other.
    near.run(|| {
        for _ in 0..40 {
            let socket = UdpSocket::bind("198.18.9.1:0").expect("a socket");
            for _ in 0..30 {
                socket.send_to(&[0; 1000], "198.18.9.2:9").expect("sent, or dropped on its way");
            }
        }
    });
    running.wait_interval();
    wait("an empty queue", || tc(&near).iter().all(|qdisc| qdisc["backlog"] == 0));
    let truth = tc(&near);
    let drops_of = |kind: &'static str| {
        truth.iter().filter(move |one| one["kind"] == kind).map(|one| number(&one["drops"]))
    };
    let lines = running.stop().lines();
    let lost = &total(&lines, "a0")["lost"]["qdisc"];
    assert_eq!(number(&lost["drops"]), drops_of("mq").sum::<u64>(), "{lost} {truth:?}");
    let by = lost["dropped_by"].as_array().expect("a list");
    assert!(by.iter().all(|one| one["kind"] == "tbf"), "what queues dropped is not the root's too: {lost}");
    let mut told: Vec<u64> = by.iter().map(|one| number(&one["drops"])).collect();
    let mut expected: Vec<u64> = drops_of("tbf").filter(|drops| *drops > 0).collect();
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected, "{truth:?}");
    assert_eq!(told.iter().sum::<u64>(), number(&lost["drops"]));
    spans_hold(&lines, "a0");
}

#[test]
fn why_says_where_it_was_lost_and_what_mends_it() {
    let test = "why_says_where_it_was_lost_and_what_mends_it";
    let Some((near, _far)) = link(test) else { return };
    if !shape(test, &near, "root handle 1: tbf rate 8mbit burst 3000 limit 6000") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("lines.jsonl");
    let words = format!(
        "exec {} why -i a0 --duration 60 --interval 0.3 --link-speed a0=8M --log-file {}",
        live::PROGRAM,
        log.display()
    );
    let mut command = near.command(&words);
    let mut running = command.stdout(std::process::Stdio::piped()).spawn().expect("it starts");
    let lines = |kind: &str| {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().filter(|line| line.contains(&format!("\"type\":\"{kind}\""))).count()
    };
    wait("the start", || lines("start") == 1);
    send(&near, 300, 1000);
    wait("an empty queue", || tc(&near)[0]["backlog"] == 0);
    let drops = number(&tc(&near)[0]["drops"]);
    let told = lines("interface");
    wait("another interval", || lines("interface") > told);
    let process = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(process, rustix::process::Signal::INT).expect("it runs");
    let mut paragraph = String::new();
    let mut out = running.stdout.take().expect("piped");
    std::io::Read::read_to_string(&mut out, &mut paragraph).expect("a paragraph");
    assert!(running.wait().expect("it ends").success());
    let sentence = format!("a0: {drops} frames dropped on the way out by qdisc tbf");
    assert!(drops > 100 && paragraph.contains(&sentence), "{drops}: {paragraph}");
    assert!(paragraph.contains("tc qdisc change"), "with what mends it: {paragraph}");
}

#[test]
fn a_qdisc_made_anew_takes_nothing_back() {
    let test = "a_qdisc_made_anew_takes_nothing_back";
    let Some((near, _far)) = link(test) else { return };
    let running = Fullcount::start(&near, "-i a0 --interval 0.3");
    let mut drops = Vec::new();
    // The second drops fewer than the first, the third more.
    for datagrams in [300, 100, 600] {
        if !shape(test, &near, "root handle 1: tbf rate 8mbit burst 3000 limit 6000") {
            return;
        }
        send(&near, datagrams, 1000);
        wait("an empty queue", || tc(&near)[0]["backlog"] == 0);
        drops.push(number(&tc(&near)[0]["drops"]));
        // The last one goes between two readings, with all that it counted.
        if datagrams < 600 {
            running.wait_interval();
        }
        near.shell("tc qdisc del dev a0 root");
    }
    let lines = running.stop().lines();
    let lost = &total(&lines, "a0")["lost"]["qdisc"];
    assert_eq!(number(&lost["drops"]), drops.iter().sum::<u64>(), "{drops:?}");
    assert_eq!(sum(&lines, "a0", "/lost/qdisc/drops"), drops.iter().sum::<u64>(), "{drops:?}");
    assert_eq!(lost["dropped_by"].as_array().map(Vec::len), Some(1), "one name, one sum: {lost}");
}
