//! The program over every fixture, against tshark's dissection of it, and
//! against itself: sums that the design says are equal.

#[allow(dead_code)]
mod files_run;

use files_run::*;
use serde_json::Value;
use std::collections::BTreeMap;

/// Frames and bytes of connection lines by protocol, sender and receiver.
fn by_five_tuple(lines: &[Value], protocol: &str) -> Sums {
    let mut sums = Sums::new();
    for line in of_type(lines, "connection").filter(|line| line["protocol"] == protocol) {
        let end = |end: &Value| format!("{} {}", end["ip"].as_str().expect("an address"), end["port"]);
        let (client, server) = (end(&line["client"]), end(&line["server"]));
        add(sums.entry(format!("{client} > {server}")).or_default(), frames(&line["c2s"]));
        add(sums.entry(format!("{server} > {client}")).or_default(), frames(&line["s2c"]));
    }
    sums.retain(|_, sum| sum.0 > 0);
    sums
}

/// Frames and bytes of all connection lines by sender and receiver.
fn by_address(lines: &[Value]) -> Sums {
    let mut sums = Sums::new();
    for line in of_type(lines, "connection") {
        let end = |end: &Value| end["ip"].as_str().expect("an address").to_owned();
        let (client, server) = (end(&line["client"]), end(&line["server"]));
        add(sums.entry(format!("{client} > {server}")).or_default(), frames(&line["c2s"]));
        add(sums.entry(format!("{server} > {client}")).or_default(), frames(&line["s2c"]));
    }
    sums.retain(|_, sum| sum.0 > 0);
    sums
}

/// The same from the truth.
fn true_sums(truth: &Value, kind: &str) -> Sums {
    let mut sums = Sums::new();
    for one in truth["conversations"][kind].as_array().expect("a list") {
        let end = |end: &Value| match end.as_str() {
            Some(address) => address.to_owned(),
            None => format!("{} {}", end["ip"].as_str().expect("an address"), end["port"]),
        };
        let (a, b) = (end(&one["a"]), end(&one["b"]));
        let count = |way: &Value| (number(&way["frames"]), number(&way["bytes"]));
        add(sums.entry(format!("{a} > {b}")).or_default(), count(&one["a_to_b"]));
        add(sums.entry(format!("{b} > {a}")).or_default(), count(&one["b_to_a"]));
    }
    sums.retain(|_, sum| sum.0 > 0);
    sums
}

fn interfaces(line: &Value) -> &[Value] {
    line["interfaces"].as_array().expect("a list")
}

#[test]
fn totals_and_conversations_are_those_of_tshark() {
    for fixture in fixtures() {
        let (name, truth) = (&fixture.name, &fixture.truth);
        let (_, lines) = lines_of(&["-r", &fixture.path]);
        let mut totals = (0, 0);
        for interface in interfaces(stop(&lines)) {
            add(&mut totals, frames(&interface["rx"]));
            add(&mut totals, frames(&interface["tx"]));
        }
        assert_eq!(totals, (number(&truth["frames"]), number(&truth["frame_bytes"])), "{name}: totals");
        if let Some(known) = truth.get("interfaces") {
            let of_file: Vec<_> = known
                .as_array()
                .expect("a list")
                .iter()
                .map(|one| (number(&one["frames"]), number(&one["bytes"])))
                .collect();
            let ours: Vec<_> = interfaces(stop(&lines))
                .iter()
                .map(|one| {
                    let mut sum = frames(&one["rx"]);
                    add(&mut sum, frames(&one["tx"]));
                    sum
                })
                .collect();
            assert_eq!(ours, of_file, "{name}: interfaces");
        }
        let mut addresses = true_sums(truth, "ip");
        addresses.extend(true_sums(truth, "ipv6"));
        assert_eq!(by_address(&lines), addresses, "{name}: addresses");
        assert_eq!(by_five_tuple(&lines, "tcp"), true_sums(truth, "tcp"), "{name}: TCP");
        if !name.starts_with("fragments") {
            // Of a fragmented datagram tshark's conversation has one frame only.
            assert_eq!(by_five_tuple(&lines, "udp"), true_sums(truth, "udp"), "{name}: UDP");
        }
    }
}

#[test]
fn fragments_stand_in_the_conversation_of_their_datagram() {
    for name in ["fragments_v4.pcap", "fragments_v6.pcap"] {
        let (_, lines) = lines_of(&["-r", &fixture(name)]);
        let sums = by_five_tuple(&lines, "udp");
        // Four questions and four answers, each the size of its question.
        assert_eq!(sums.len(), 8, "{name}: {sums:?}");
        let frames: u64 = sums.values().map(|sum| sum.0).sum();
        assert_eq!(frames, 18, "{name}: {sums:?}");
        for line in of_type(&lines, "connection") {
            assert_eq!(line["c2s"]["bytes"], line["s2c"]["bytes"], "{name}: the answer is an echo: {line}");
            assert_eq!(line["c2s"]["payload_bytes"], line["s2c"]["payload_bytes"], "{name}: {line}");
        }
    }
}

#[test]
fn super_frames_count_as_the_segments_that_the_kernel_sent() {
    let mut seen = 0;
    for fixture in fixtures() {
        let Some(segments) = fixture.truth.get("wire_segments") else { continue };
        seen += 1;
        let (_, lines) = lines_of(&["-r", &fixture.path]);
        let interface = &interfaces(stop(&lines))[0];
        let packets = number(&interface["rx"]["packets"]) + number(&interface["tx"]["packets"]);
        let sent = number(&segments["sender"]) + number(&segments["receiver"]);
        assert_eq!(packets, sent, "{}: Tcp OutSegs of both sides", fixture.name);
        assert!(number(&interface["capture"]["estimated_packets"]) > 0, "a file does not say: estimated");
        // Headers of 66 or 86 bytes stand before each further segment.
        let mut bytes = 0;
        for line in of_type(&lines, "connection") {
            let header = if line["client"]["ip"].as_str().expect("ip").contains(':') { 86 } else { 66 };
            for way in ["c2s", "s2c"] {
                let (frames, frame_bytes) = frames(&line[way]);
                let more = number(&line[way]["packets"]) - frames;
                assert_eq!(number(&line[way]["bytes"]), frame_bytes + more * header, "{line}");
                bytes += number(&line[way]["bytes"]);
            }
            assert_eq!(line["c2s"]["payload_bytes"], 600_000, "{}", fixture.name);
        }
        assert_eq!(number(&interface["rx"]["bytes"]) + number(&interface["tx"]["bytes"]), bytes);
    }
    assert_eq!(seen, 2, "both sides' fixtures");
}

#[test]
fn a_damaged_file_ends_with_one_sentence_and_1_every_other_with_0() {
    for fixture in fixtures() {
        let (run, lines) = lines_of(&["-r", &fixture.path]);
        if fixture.truth["damaged"].is_null() {
            assert_eq!((run.code, run.complaint.as_str()), (Some(0), ""), "{}", fixture.name);
            assert_eq!(stop(&lines)["reason"], "end of file", "{}", fixture.name);
            continue;
        }
        assert_eq!(run.code, Some(1), "{}", fixture.name);
        assert_eq!(stop(&lines)["reason"], "error", "{}", fixture.name);
        let sentence = run.complaint.trim_end();
        assert_eq!(sentence.lines().count(), 1, "{}: {sentence}", fixture.name);
        assert!(sentence.starts_with("fullcount: ") && sentence.contains(&fixture.name), "{sentence}");
    }
}

/// Σ connections + untracked = totals: bytes by interface, packets over all,
/// as a connection line has packets by direction only.
fn connections_sum_to_totals(name: &str, lines: &[Value]) {
    let stop = stop(lines);
    let mut by_interface: BTreeMap<String, u64> = BTreeMap::new();
    let mut packets = 0;
    for line in of_type(lines, "connection").filter(|line| line["end_reason"] != "active") {
        for way in ["c2s", "s2c"] {
            packets += number(&line[way]["packets"]);
            let parts = line[way]["interfaces"].as_object().expect("bytes by interface");
            let sum: u64 = parts.values().map(number).sum();
            assert_eq!(sum, number(&line[way]["bytes"]), "{name}: bytes by interface of {line}");
            for (interface, bytes) in parts {
                *by_interface.entry(interface.clone()).or_default() += number(bytes);
            }
        }
    }
    let mut all_packets = 0;
    let mut all_bytes = BTreeMap::new();
    for interface in interfaces(stop) {
        let untracked = &interface["untracked"];
        let reasons = untracked["reasons"].as_object().expect("reasons");
        for field in ["packets", "bytes"] {
            let sum: u64 = reasons.values().map(|reason| number(&reason[field])).sum();
            assert_eq!(sum, number(&untracked[field]), "{name}: untracked {field} by reason");
        }
        packets += number(&untracked["packets"]);
        let called = interface["interface"].as_str().expect("a name").to_owned();
        *by_interface.entry(called.clone()).or_default() += number(&untracked["bytes"]);
        let bytes = number(&interface["rx"]["bytes"]) + number(&interface["tx"]["bytes"]);
        *all_bytes.entry(called).or_insert(0) += bytes;
        all_packets += number(&interface["rx"]["packets"]) + number(&interface["tx"]["packets"]);
        for way in ["rx", "tx"] {
            for field in ["packets", "bytes"] {
                let classes = interface[way]["protocols"].as_object().expect("protocols");
                let sum: u64 = classes.values().map(|class| number(&class[field])).sum();
                assert_eq!(sum, number(&interface[way][field]), "{name}: {way} {field} by protocol");
            }
        }
    }
    assert_eq!(packets, all_packets, "{name}: packets of connections and untracked ones");
    assert_eq!(by_interface, all_bytes, "{name}: bytes of connections and untracked ones");
}

/// Figures that add up over intervals: no rates, no ratios, nothing that is a state.
fn added_up(line: &Value) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for part in ["rx", "tx", "untracked", "capture"] {
        sum_leaves(&line[part], part, &mut sums);
    }
    for count in ["opened", "closed", "evicted"] {
        sums.insert(format!("flows.{count}"), number(&line["flows"][count]));
    }
    sums.retain(|place, &mut sum| sum > 0 && !place.contains("per_second"));
    // They stand there only where they differ from packets and bytes.
    for way in ["rx", "tx"] {
        let (frames, frame_bytes) = frames(&line[way]);
        if frames > 0 {
            sums.insert(format!("{way}.frames"), frames);
            sums.insert(format!("{way}.frame_bytes"), frame_bytes);
        }
    }
    sums
}

/// By interface: `added_up` over lines. Interfaces of one name are one here; what
/// the whole table did is told beside each interface, and taken from the first.
fn added_up_by_interface<'a>(
    lines: impl Iterator<Item = &'a Value>,
) -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut sums: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    let mut first = None;
    for line in lines {
        let name = line["interface"].as_str().expect("a name").to_owned();
        let is_first = *first.get_or_insert_with(|| name.clone()) == name;
        let one = sums.entry(name).or_default();
        for (place, count) in added_up(line) {
            if is_first || !place.starts_with("flows.") {
                *one.entry(place).or_default() += count;
            }
        }
    }
    sums
}

fn intervals_sum_to_stop(name: &str, lines: &[Value]) {
    let intervals = added_up_by_interface(of_type(lines, "interface"));
    let totals = added_up_by_interface(interfaces(stop(lines)).iter());
    assert_eq!(intervals, totals, "{name}: intervals sum to the stop line");
}

#[test]
fn sums_that_must_be_equal_are() {
    for fixture in fixtures() {
        for interval in ["0.1", "1", "60"] {
            let (_, lines) = lines_of(&["-r", &fixture.path, "--interval", interval]);
            let name = format!("{} at {interval} s", fixture.name);
            connections_sum_to_totals(&name, &lines);
            intervals_sum_to_stop(&name, &lines);
            let defects = of_type(&lines, "notice").filter(|notice| notice["event"] == "identity").count();
            assert_eq!(defects, 0, "{name}: {:?}", of_type(&lines, "notice").collect::<Vec<_>>());
        }
    }
}

/// A connection of three seconds, silent for more than one of them: a report at
/// the first cut with a packet after each half second, though that passed unseen.
#[test]
fn reports_in_between_come_after_each_time_out_and_do_not_count_twice() {
    for interval in ["0.1", "0.25", "1"] {
        let path = fixture("synack_retransmitted.pcap");
        let (_, lines) = lines_of(&["-r", &path, "--active-timeout", "0.5", "--interval", interval]);
        let active: Vec<&Value> =
            of_type(&lines, "connection").filter(|line| line["end_reason"] == "active").collect();
        assert!(!active.is_empty(), "{interval}: a connection of three seconds is told in between");
        let mut packets = 0;
        for line in active {
            let now = number(&line["c2s"]["packets"]) + number(&line["s2c"]["packets"]);
            assert!(now > packets, "{interval}: each has more than the last: {line}");
            assert!(
                line["state"] == "syn_received",
                "{interval}: what has ended is not told as active: {line}"
            );
            packets = now;
        }
        connections_sum_to_totals("synack_retransmitted.pcap with active time-outs", &lines);
    }
}
