//! Connections at the edges of what can be seen: halves, numbers that jump, holes
//! far behind, exchanges that last for hours, ports that are used again unseen.
//!
//! Written as on paper, as tests/tcp_examples.rs: milliseconds, flags, sequence
//! number, acknowledgement, payload. A table names what has to be so.

#[path = "common/frames.rs"]
mod frames;
#[allow(dead_code)]
mod tcp_run;

use serde_json::{Value, json};
use tcp_run::file_writer::{Classic, Packet};
use tcp_run::*;

const DATA: u8 = ACK;
/// Longest payload that a script sends at once.
const LONG: u32 = 60_000;

/// Holds the lines of each conversation against what they have to say.
fn check(cases: Vec<(&str, Vec<Event>, Vec<Value>)>) {
    let conversations: Vec<Conversation> =
        cases.iter().map(|(name, events, _)| Conversation::new(name, events.clone())).collect();
    let mut faults = Vec::new();
    for ((name, _, expected), lines) in cases.iter().zip(answers(&conversations, false, "2")) {
        if lines.len() != expected.len() {
            faults.push(format!("{name}: {} lines, should be {}", lines.len(), expected.len()));
        }
        for (number, (expected, line)) in expected.iter().zip(&lines).enumerate() {
            let mut found = Vec::new();
            differences(expected, line, "", &mut found);
            faults.extend(found.iter().map(|fault| format!("{name}, line {number}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn sums(payload: u64, stream: u64, missing: u64) -> Value {
    json!({"payload_bytes": payload, "stream_bytes": stream, "missing_bytes": missing,
           "retransmitted_bytes": 0})
}

#[test]
fn halves_of_a_handshake() {
    let success = |c2s, s2c| vec![json!({"handshake": {"outcome": "success"}, "c2s": c2s, "s2c": s2c})];
    // What the client acknowledged before the server was seen is known to be missing.
    let late: Vec<Segment> =
        (0..4).map(|n| s(30.0 + f64::from(n), DATA, 501 + 1000 * n, 301, 1000)).collect();
    let late = std::iter::once(c(0.0, SYN, 100, 0, 0)).chain(late).collect();
    check(vec![
        ("the server alone, far on", events(late), success(sums(0, 200, 200), sums(4000, 4000, 0))),
        (
            "its FIN before the client's first word",
            events(vec![
                c(0.0, SYN, 100, 0, 0),
                s(18.0, FIN | ACK, 1501, 101, 0),
                c(20.0, DATA, 101, 501, 100),
                s(22.0, DATA, 501, 201, 1000),
                c(24.0, ACK, 201, 1502, 0),
            ]),
            success(sums(100, 100, 0), sums(1000, 1000, 0)),
        ),
        (
            "picked up: the FIN comes before what it follows",
            events(vec![
                c(0.0, ACK, 101, 344, 0),
                s(1.0, FIN | ACK, 444, 101, 0),
                s(2.0, DATA, 344, 101, 100),
                c(3.0, ACK, 101, 445, 0),
            ]),
            vec![json!({"midstream": true, "s2c": sums(100, 100, 0)})],
        ),
        (
            "picked up: a SYN/ACK that comes again is of the same connection",
            events(vec![
                c(0.0, ACK, 101, 501, 0),
                s(1000.0, SYN | ACK, 500, 101, 0),
                c(1001.0, DATA, 101, 501, 100),
                s(1010.0, DATA, 501, 201, 300),
            ]),
            vec![json!({"midstream": true, "c2s": sums(100, 100, 0), "s2c": sums(300, 300, 0)})],
        ),
    ]);
}

#[test]
fn one_direction_alone_is_marked() {
    let client = events(vec![
        c(0.0, SYN, 100, 0, 0),
        c(12.0, ACK, 101, 501, 0),
        c(20.0, DATA, 101, 501, 200),
        c(50.0, ACK, 301, 1502, 0),
    ]);
    let server = events(vec![s(0.0, SYN | ACK, 500, 101, 0), s(20.0, DATA, 501, 301, 1000)]);
    let both = opened(vec![c(20.0, DATA, 101, 501, 200), s(30.0, DATA, 501, 301, 1000)]);
    check(vec![
        ("the client's", client, vec![json!({"one_way": "client", "s2c": {"missing_bytes": 1001}})]),
        ("the server's", server, vec![json!({"one_way": "server", "c2s": {"missing_bytes": 200}})]),
        ("both", both, vec![json!({"one_way": null})]),
    ]);
}

#[test]
fn numbers_that_jump_have_to_do_so_three_times_in_a_row() {
    let far = 2_000_000_000;
    let turn = |at: f64, n: u32| {
        [
            c(at, DATA, 101 + 100 * n, 501 + 100 * n, 100),
            s(at + 10.0, DATA, 501 + 100 * n, 201 + 100 * n, 100),
        ]
    };
    let mut apart = Vec::new();
    for n in 0..8 {
        apart.extend(turn(100.0 + 1000.0 * f64::from(n), n));
        apart.push(c(600.0 + 1000.0 * f64::from(n), DATA, far, 601, 100));
    }
    let mut jumped = turn(100.0, 0).to_vec();
    for n in 0..5 {
        jumped.push(c(200.0 + f64::from(n), DATA, far + 100 * n, 3_000_000_000, 100));
    }
    jumped.push(s(210.0, DATA, 3_000_000_000, far + 500, 70));
    check(vec![
        (
            "strays",
            opened(apart),
            vec![json!({"discontinuous": false, "c2s": sums(800, 800, 0), "s2c": sums(800, 800, 0),
                        "exchanges": {"count": 8}})],
        ),
        (
            // Two are packets alone; from the third on the sums go on.
            "a jump",
            opened(jumped),
            vec![json!({"discontinuous": true, "c2s": sums(400, 400, 0), "s2c": sums(170, 170, 0)})],
        ),
    ]);
}

#[test]
fn holes_far_behind_do_not_come_back() {
    // The first thousand bytes are acknowledged and were not seen; behind 4 GiB that
    // were seen the low 32 bits of their place come again.
    let (mut segments, mut at, mut next) = (Vec::new(), 20.0, 1101_u32);
    let mut sent = 1000_u64;
    while sent < (1 << 32) + 2000 {
        segments.push(c(at, DATA, next, 501, LONG));
        next = next.wrapping_add(LONG);
        sent += u64::from(LONG);
        segments.push(s(at + 0.01, ACK, 501, next, 0));
        at += 0.02;
    }
    // A resend of what was seen, as far behind the hole as a number goes round.
    segments.push(c(at, DATA, 101, 501, 1000));
    let mut one_way = vec![c(0.0, SYN, 100, 0, 0), c(12.0, ACK, 101, 501, 0)];
    // A thousandth of 7 GiB.
    let most = 7 * 1024;
    for n in 0..most {
        one_way.push(c(20.0 + f64::from(n), DATA, 101_u32.wrapping_add(n << 20), 501, 1460));
    }
    let payload = u64::from(most) * 1460;
    check(vec![
        (
            "one that was acknowledged",
            opened(segments),
            vec![json!({"c2s": {"payload_bytes": sent, "stream_bytes": sent, "missing_bytes": 1000,
                                "retransmitted_bytes": 1000, "recovered_segments": 0}})],
        ),
        (
            "many, more than can be kept apart, beyond 4 GiB",
            events(one_way),
            vec![json!({"holes_merged": true,
                        "c2s": {"payload_bytes": payload, "stream_bytes": (u64::from(most - 1) << 20) + 1460}})],
        ),
    ]);
}

#[test]
fn times_that_are_longer_than_can_be_kept_are_not_known() {
    let seconds = 1000.0;
    let asked = |answered: f64| {
        opened(vec![
            c(20.0, DATA, 101, 501, 10),
            s(30.0, ACK, 501, 111, 0),
            s(answered, DATA, 501, 111, 10),
            c(answered + 1.0, DATA, 111, 511, 10),
            s(answered + 6.0, DATA, 511, 121, 10),
        ])
    };
    // Asked to keep alive each hour, answered after three: no pause is as long as the whole.
    let mut alive = vec![c(20.0, DATA, 101, 501, 10), s(30.0, ACK, 501, 111, 0)];
    for hour in 1..3 {
        let at = f64::from(hour) * 3600.0 * seconds;
        alive.extend([c(at, ACK, 110, 501, 0), s(at + 1.0, ACK, 501, 111, 0)]);
    }
    alive.push(s(3.0 * 3600.0 * seconds, DATA, 501, 111, 10));
    let times = |count: u32, last: Value| {
        vec![json!({"exchanges": {"count": count, "first_byte_seconds": {"max": last},
                                  "last_byte_seconds": {"max": last}}})]
    };
    check(vec![
        ("an hour", asked(20.0 + 3600.0 * seconds), times(2, json!(3600.0))),
        // The second one is known.
        ("83 minutes", asked(20.0 + 5000.0 * seconds), times(2, json!(0.005))),
        ("three hours, alive", opened(alive), times(1, Value::Null)),
    ]);
}

#[test]
fn ports_that_are_used_again_unseen_are_another_connection() {
    let closed = [
        c(20.0, DATA, 101, 501, 10),
        s(30.0, DATA, 501, 111, 10),
        c(40.0, FIN | ACK, 111, 511, 0),
        s(50.0, FIN | ACK, 511, 112, 0),
        c(52.0, ACK, 112, 512, 0),
    ];
    let with = |more: Vec<Segment>| opened(closed.iter().cloned().chain(more).collect());
    let first = json!({"end_reason": "reused", "c2s": sums(10, 10, 0), "s2c": sums(10, 10, 0)});
    let second = json!({"midstream": true, "c2s": sums(100, 100, 0), "s2c": sums(100, 100, 0)});
    let ahead = [600_000_000, 700_000_000];
    let behind = [101_u32.wrapping_sub(1 << 30), 501_u32.wrapping_sub(1 << 30)];
    let again = |[client, server]: [u32; 2]| {
        with(vec![
            c(2000.0, DATA, client, server, 100),
            s(2010.0, DATA, server, client.wrapping_add(100), 100),
        ])
    };
    check(vec![
        ("numbers ahead", again(ahead), vec![first.clone(), second.clone()]),
        ("numbers behind", again(behind), vec![first, second]),
        (
            "what comes late",
            with(vec![s(60.0, DATA, 501, 111, 10), s(61.0, FIN | ACK, 511, 112, 0)]),
            vec![json!({"end_reason": ANY, "s2c": {"payload_bytes": 20, "stream_bytes": 10,
                                                    "retransmitted_bytes": 10}})],
        ),
    ]);
}

/// Whatever comes behind a jump, what was seen of a stream stays in its sums.
#[test]
fn a_fin_behind_a_jump_takes_nothing_back() {
    let far = 1_342_177_280_u32;
    let jump = |acknowledged: u32| {
        (0..3).map(move |n| c(100.0 + f64::from(n), DATA, 101 + far, acknowledged, 100)).collect::<Vec<_>>()
    };
    let with = |before: Vec<Segment>, acknowledged: u32, fin: Segment| {
        opened(before.into_iter().chain(jump(acknowledged)).chain([fin]).collect())
    };
    let bare = with(
        vec![s(20.0, DATA, 501, 101, 1000), s(21.0, DATA, 2501, 101, 100), c(30.0, ACK, 101, 2601, 0)],
        2601 + far,
        s(200.0, FIN | ACK, 2601 + far, 101, 0),
    );
    let resent = with(
        vec![s(20.0, DATA, 501, 101, 1000), s(21.0, FIN | ACK, 2501, 101, 100), c(30.0, ACK, 101, 2602, 0)],
        2602,
        s(200.0, FIN | ACK, 2501, 401 + far, 100),
    );
    check(vec![
        ("a bare one", bare, vec![json!({"discontinuous": true, "s2c": sums(1100, 2100, 1000)})]),
        (
            "data that is resent with one",
            resent,
            vec![json!({"discontinuous": true, "s2c": {"payload_bytes": 1200, "missing_bytes": 1000}})],
        ),
    ]);
}

/// What was closed by a RST that was not its sender's is open again, and closed once.
#[test]
fn a_reset_that_is_taken_back_closes_nothing_twice() {
    let events = opened(vec![
        s(20.0, RST | ACK, 501, 101, 0),
        s(1500.0, DATA, 501, 101, 100),
        s(3500.0, RST | ACK, 601, 101, 0),
        c(5500.0, RST, 101, 0, 0),
    ]);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("x.pcap");
    std::fs::write(&path, capture(&[Conversation::new("reset", events)], false)).expect("written");
    let (run, lines) = files_run::lines_of(&["-r", &path.to_string_lossy()]);
    assert_eq!(run.code, Some(0), "{}", run.complaint);
    let closed =
        files_run::of_type(&lines, "interface").map(|line| files_run::number(&line["flows"]["closed"]));
    assert_eq!(closed.sum::<u64>(), 1, "{}", run.output);
}

/// What an interface says of a capture.
fn capture_of(packets: Vec<Vec<u8>>) -> (Value, Vec<Value>) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("x.pcap");
    let packets: Vec<Packet> = (0..)
        .zip(packets)
        .map(|(n, data)| Packet { time_ns: 1_000_000_000 + n * 1_000_000, len: data.len() as u32, data })
        .collect();
    std::fs::write(&path, Classic::NANO.write(&packets).concat()).expect("written");
    let (run, lines) = files_run::lines_of(&["-r", &path.to_string_lossy()]);
    assert_eq!(run.code, Some(0), "{}", run.complaint);
    let stop = lines.last().expect("lines")["interfaces"][0]["capture"].clone();
    (stop, files_run::of_type(&lines, "connection").cloned().collect())
}

fn tcp(from_client: bool, flags: u8, numbers: [u32; 2], payload: &[u8]) -> Vec<u8> {
    let (client, server) = (([198, 18, 0, 1], 40_000), ([198, 18, 0, 2], 443));
    let ends = if from_client { (client, server) } else { (server, client) };
    let ends = frames::Ends::v4(ends.0, ends.1);
    let mut segment = frames::tcp(ends, numbers[0], numbers[1], flags, payload.len());
    let begin = segment.len() - payload.len();
    segment[begin..].copy_from_slice(payload);
    frames::ethernet(&[], 0x0800, &frames::ip(ends, frames::TCP, &segment))
}

#[test]
fn tls_is_seen_wherever_its_first_byte_comes() {
    let hello = [22, 3, 1, 0, 60, 1, 0, 0];
    let open = || {
        vec![
            tcp(true, SYN, [100, 0], &[]),
            tcp(false, SYN | ACK, [500, 101], &[]),
            tcp(true, ACK, [101, 501], &[]),
        ]
    };
    let tls = |more: Vec<Vec<u8>>| {
        let (_, connections) = capture_of(open().into_iter().chain(more).collect());
        connections[0].get("tls") == Some(&json!(true))
    };
    assert!(tls(vec![tcp(true, ACK, [101, 501], &hello), tcp(false, ACK, [501, 109], &hello)]));
    assert!(!tls(vec![tcp(true, ACK, [101, 501], b"GET /"), tcp(true, ACK, [106, 501], &hello)]));
    assert!(!tls(vec![tcp(false, ACK, [501, 101], &hello), tcp(true, ACK, [101, 509], b"x")]));
    let together = vec![tcp(true, SYN, [100, 0], &[]), tcp(false, SYN | ACK, [500, 101], &[])];
    let (_, connections) =
        capture_of(together.into_iter().chain([tcp(true, ACK, [101, 501], &hello)]).collect());
    assert_eq!(connections[0]["tls"], true, "on the handshake's last segment");
}

/// What is no evidence of loss is not told as such: one direction alone, and what came
/// as fragments.
#[test]
fn only_what_is_evidence_counts_as_missing() {
    let seen = |more: Vec<Vec<u8>>| {
        let (capture, _) = capture_of(more);
        [&capture["missing_bytes"], &capture["one_way_bytes"]].map(|bytes| bytes.as_u64())
    };
    let syn = [tcp(true, SYN, [100, 0], &[]), tcp(false, SYN | ACK, [500, 101], &[])];
    let with = |more: Vec<Vec<u8>>| syn.iter().cloned().chain(more).collect::<Vec<_>>();
    let lost = with(vec![tcp(true, ACK, [101, 501], &[]), tcp(false, ACK, [501, 301], b"answer")]);
    assert_eq!(seen(lost), [Some(200), None]);
    let one_way = vec![
        tcp(true, SYN, [100, 0], &[]),
        tcp(true, ACK, [101, 501], &[]),
        tcp(true, ACK, [101, 1502], &[]),
    ];
    assert_eq!(seen(one_way), [Some(0), Some(1001)]);
    // Picked up: the FIN that was acknowledged comes first, then some of what it follows.
    let fin = vec![
        tcp(true, 17, [301, 501], &[]),
        tcp(false, ACK, [501, 302], &[]),
        tcp(true, ACK, [201, 501], &[7; 100]),
    ];
    assert_eq!(seen(fin), [Some(0), None]);
    // A first fragment of 8 bytes of payload, and an acknowledgement of all 200.
    let mut first = tcp(true, ACK, [101, 501], &[7; 8]);
    first[14 + 6] |= 0x20;
    let fragments = with(vec![tcp(true, ACK, [101, 501], &[]), first, tcp(false, ACK, [501, 301], b"x")]);
    assert_eq!(seen(fragments), [Some(0), None]);
}
