//! Connections worked out by hand, packet by packet, and what their line must
//! say: the worked examples of the figures' definition, the kinds of resent and
//! late data, the shapes of requests and answers.
//!
//! Written as on paper: milliseconds, flags, sequence number, acknowledgement,
//! payload; `c` is sent by the client, `s` by the server. What a table does not
//! name is 0, or follows from adding up (packets, bytes, payload, flags).

#[allow(dead_code)]
mod tcp_run;

use serde_json::{Value, json};
use tcp_run::*;

/// A conversation and the lines that it must give.
struct Case {
    conversation: Conversation,
    expected: Vec<Value>,
}

/// One connection; what is expected lies over what adding up gives, and over the
/// usual handshake if the conversation begins with it.
fn case(name: &str, events: Vec<Event>, expected: Value) -> Case {
    let usual = opened(Vec::new());
    let begins = |events: &[Event]| format!("{:?}", events.iter().take(3).collect::<Vec<_>>());
    let mut all = json!({
        "c2s": added_up(&events, Side::C), "s2c": added_up(&events, Side::S), "midstream": false,
        "holes_merged": false, "exchanges_lossy": false, "after_unreach": false, "tfo": null,
        "exchanges": {"count": 0, "unanswered": 0},
    });
    if begins(&events) == begins(&usual) {
        lay_over(&mut all, &json!({"handshake": handshake(), "role_source": "syn"}));
    }
    lay_over(&mut all, &expected);
    if all["exchanges"]["count"] == 0 {
        // Whether a connection without an exchange has a lossy one is not laid down.
        all["exchanges_lossy"] = json!(ANY);
    }
    Case { conversation: Conversation::new(name, events), expected: vec![all] }
}

/// Several connections of the same ends, each with what is named.
fn several(name: &str, events: Vec<Event>, expected: Vec<Value>) -> Case {
    Case { conversation: Conversation::new(name, events), expected }
}

/// Nothing more comes for so many seconds.
fn then_silent(mut case: Case, seconds: u64) -> Case {
    case.conversation.silence = seconds * 1_000_000;
    case
}

/// Runs all cases as one capture and holds each line against its table.
fn check(cases: &[Case]) {
    let conversations: Vec<Conversation> = cases.iter().map(|case| case.conversation.clone()).collect();
    for workers in ["1", "3"] {
        let mut faults = Vec::new();
        for (case, lines) in cases.iter().zip(answers(&conversations, true, workers)) {
            let name = &case.conversation.name;
            if lines.len() != case.expected.len() {
                faults.push(format!("{name}: {} lines, should be {}", lines.len(), case.expected.len()));
            }
            for (number, (expected, line)) in case.expected.iter().zip(&lines).enumerate() {
                let mut line = line.clone();
                // Where nothing was asked and nothing answered the object may be left out.
                if line.get("exchanges").is_none() {
                    line["exchanges"] = json!({"count": 0, "unanswered": 0});
                }
                let mut found = Vec::new();
                differences(expected, &line, "", &mut found);
                faults.extend(found.iter().map(|fault| format!("{name}, line {number}: {fault}")));
            }
        }
        assert!(faults.is_empty(), "with {workers} workers\n{}", faults.join("\n"));
    }
}

/// Milliseconds as seconds.
fn ms(milliseconds: f64) -> f64 {
    milliseconds / 1000.0
}

/// Payload, sequence and acknowledgement of a segment without flags but ACK.
const DATA: u8 = ACK;

#[test]
fn from_open_to_close() {
    check(&[
        case(
            "1 plain",
            opened(vec![
                c(20.0, DATA, 101, 501, 200),
                s(45.0, DATA, 501, 301, 1000),
                s(46.0, DATA, 1501, 301, 400),
                c(48.0, ACK, 301, 1901, 0),
                c(60.0, FIN | ACK, 301, 1901, 0),
                s(71.0, FIN | ACK, 1901, 302, 0),
                c(73.0, ACK, 302, 1902, 0),
            ]),
            json!({
                "state": "time_wait", "end_reason": "fin", "conn_state": "SF",
                "c2s": {"stream_bytes": 200, "stream_exact": true, "unacked_bytes": 0,
                        "rtt_seconds": {"min": 0.025, "smoothed": 0.025}},
                "s2c": {"stream_bytes": 1400, "stream_exact": true, "unacked_bytes": 0,
                        "rtt_seconds": {"min": 0.003, "smoothed": 0.003}},
                "exchanges": {"count": 1, "first_byte_seconds": {"max": 0.025}, "last_byte_seconds": {"max": 0.026}},
            }),
        ),
        case(
            "8 wrap",
            events(vec![
                c(0.0, SYN, 4_294_967_000, 0, 0),
                s(10.0, SYN | ACK, 500, 4_294_967_001, 0),
                c(12.0, ACK, 4_294_967_001, 501, 0),
                c(20.0, DATA, 4_294_967_001, 501, 1000),
                c(21.0, DATA, 705, 501, 1000),
                s(33.0, ACK, 501, 1705, 0),
                c(34.0, FIN | ACK, 1705, 501, 0),
                s(44.0, ACK, 501, 1706, 0),
            ]),
            json!({
                "state": "half_closed_client", "end_reason": "open", "conn_state": "S2", "handshake": handshake(),
                "c2s": {"stream_bytes": 2000, "stream_exact": true, "unacked_bytes": 0, "rtt_seconds": {"min": 0.013}},
                "exchanges": {"unanswered": 1},
            }),
        ),
        case(
            "9 half-close",
            opened(vec![
                c(20.0, FIN | ACK, 101, 501, 50),
                s(30.0, ACK, 501, 152, 0),
                s(530.0, DATA, 501, 152, 1000),
                c(532.0, ACK, 152, 1501, 0),
                s(540.0, FIN | ACK, 1501, 152, 0),
                c(542.0, ACK, 152, 1502, 0),
            ]),
            json!({
                "state": "time_wait", "end_reason": "fin", "conn_state": "SF",
                "c2s": {"stream_bytes": 50, "rtt_seconds": {"min": 0.010}},
                "s2c": {"stream_bytes": 1000, "rtt_seconds": {"min": 0.002}},
                "exchanges": {"count": 1, "first_byte_seconds": {"max": 0.510}, "last_byte_seconds": {"max": 0.510}},
            }),
        ),
        several(
            "10 reuse",
            opened(vec![
                c(20.0, FIN | ACK, 101, 501, 0),
                s(30.0, FIN | ACK, 501, 102, 0),
                c(32.0, ACK, 102, 502, 0),
                c(500.0, SYN, 90_000, 0, 0),
                s(510.0, SYN | ACK, 70_000, 90_001, 0),
                c(512.0, ACK, 90_001, 70_001, 0),
                c(600.0, SYN, 95_000, 0, 0),
                s(610.0, ACK, 70_001, 90_001, 0),
                c(612.0, RST, 90_001, 0, 0),
                c(1600.0, SYN, 95_000, 0, 0),
                s(1610.0, SYN | ACK, 80_000, 95_001, 0),
                c(1611.0, ACK, 95_001, 80_001, 0),
            ]),
            vec![
                json!({"state": "time_wait", "end_reason": "reused", "handshake": handshake(),
                       "c2s": {"packets": 4}, "s2c": {"packets": 2}}),
                json!({"state": "established", "end_reason": "reused", "handshake": handshake(),
                       "c2s": {"packets": 2}, "s2c": {"packets": 1}}),
                json!({"state": "established", "end_reason": "open",
                       "c2s": {"packets": 4, "rst": 1, "missing_bytes": 0}, "s2c": {"packets": 2, "missing_bytes": 0},
                       "handshake": {"outcome": "success", "syn_retransmitted": 1, "connect_seconds": 1.011,
                                     "syn_to_synack_seconds": null, "synack_to_ack_seconds": 0.001}}),
            ],
        ),
        case(
            "17 picked up closing",
            events(vec![
                c(0.0, FIN | ACK, 101, 501, 0),
                s(10.0, FIN | ACK, 501, 102, 0),
                c(12.0, ACK, 102, 502, 0),
            ]),
            json!({
                "state": "time_wait", "end_reason": "fin", "midstream": true, "role_source": "port",
                "c2s": {"stream_exact": false}, "s2c": {"stream_exact": false}, "handshake": {"outcome": null},
            }),
        ),
        case(
            "19 keep-alive comes first",
            events(vec![
                c(0.0, ACK, 300, 501, 0),
                s(10.0, ACK, 501, 301, 0),
                c(20.0, DATA, 301, 501, 100),
                s(35.0, ACK, 501, 401, 0),
            ]),
            json!({
                "state": "established", "end_reason": "open", "conn_state": "OTH", "midstream": true,
                "c2s": {"stream_bytes": 100, "stream_exact": false, "rtt_seconds": {"min": 0.015}},
                "exchanges": {"unanswered": 1},
            }),
        ),
        case(
            "an end by a reset of the client",
            opened(vec![c(20.0, DATA, 101, 501, 100), c(30.0, RST | ACK, 201, 501, 0)]),
            json!({
                "state": "reset", "end_reason": "rst", "conn_state": "RSTO", "reset_by": "client",
                "c2s": {"stream_bytes": 100, "stream_exact": false, "unacked_bytes": 100},
                "exchanges": {"unanswered": 1},
            }),
        ),
        case(
            "an end by a reset of the server, with words in it",
            opened(vec![c(20.0, DATA, 101, 501, 100), s(30.0, RST | ACK, 501, 201, 30)]),
            json!({
                "state": "reset", "end_reason": "rst", "conn_state": "RSTR", "reset_by": "server",
                "c2s": {"stream_bytes": 100, "unacked_bytes": 100}, "exchanges": {"unanswered": 1},
            }),
        ),
        case(
            "resets that fit nothing",
            opened(vec![
                c(20.0, DATA, 101, 501, 100),
                s(30.0, ACK, 501, 201, 0),
                c(40.0, RST, 200, 0, 0),
                c(41.0, RST, 202 + (1 << 20), 0, 0),
                s(42.0, RST | ACK, 500, 201, 0),
            ]),
            json!({
                "state": "established", "end_reason": "open", "reset_by": null,
                "c2s": {"stream_bytes": 100, "unacked_bytes": 0, "rtt_seconds": {"min": 0.010}},
                "exchanges": {"unanswered": 1},
            }),
        ),
        case(
            "a reset as far ahead as it may be",
            opened(vec![
                c(20.0, DATA, 101, 501, 100),
                s(30.0, ACK, 501, 201, 0),
                c(40.0, RST, 201 + (1 << 20), 0, 0),
            ]),
            json!({
                "state": "reset", "end_reason": "rst", "conn_state": "RSTO", "reset_by": "client",
                "c2s": {"stream_bytes": 100, "rtt_seconds": {"min": 0.010}}, "exchanges": {"unanswered": 1},
            }),
        ),
        case(
            "closed windows in segments that close or open: none is counted",
            events(vec![
                c(0.0, SYN, 100, 0, 0).window(0),
                s(10.0, SYN | ACK, 500, 101, 0).window(0),
                c(12.0, ACK, 101, 501, 0),
                c(20.0, FIN | ACK, 101, 501, 0).window(0),
                s(30.0, ACK, 501, 102, 0).window(0),
                s(40.0, RST | ACK, 501, 102, 0).window(0),
            ]),
            json!({"state": "reset", "handshake": handshake(), "s2c": {"zero_windows": 1}}),
        ),
        case(
            "a reset that was somebody else's: its side sends on",
            opened(vec![
                s(20.0, DATA, 501, 101, 100),
                c(22.0, ACK, 101, 601, 0),
                s(25.0, RST, 601, 0, 0),
                s(30.0, DATA, 601, 101, 100),
                c(32.0, ACK, 101, 701, 0),
            ]),
            json!({
                "state": "established", "end_reason": "open", "reset_by": null,
                "s2c": {"stream_bytes": 200, "unacked_bytes": 0, "rtt_seconds": {"min": 0.002}},
            }),
        ),
        case(
            "both ends close at once",
            opened(vec![
                c(20.0, FIN | ACK, 101, 501, 0),
                s(21.0, FIN | ACK, 501, 101, 0),
                c(25.0, ACK, 102, 502, 0),
                s(31.0, ACK, 502, 102, 0),
            ]),
            json!({"state": "time_wait", "end_reason": "fin", "conn_state": "SF"}),
        ),
        case(
            "copies after the close",
            opened(vec![
                c(20.0, FIN | ACK, 101, 501, 0),
                s(30.0, FIN | ACK, 501, 102, 0),
                c(32.0, ACK, 102, 502, 0),
                s(230.0, FIN | ACK, 501, 102, 0),
                c(232.0, ACK, 102, 502, 0),
                c(240.0, RST, 102, 0, 0),
            ]),
            json!({"state": "time_wait", "end_reason": "fin", "conn_state": "SF", "reset_by": null}),
        ),
    ]);
}

#[test]
fn handshakes() {
    let unanswered = json!({"outcome": null, "syn_retransmitted": 0, "connect_seconds": null,
                            "syn_to_synack_seconds": null, "synack_to_ack_seconds": null});
    check(&[
        case(
            "2 SYN lost",
            events(vec![
                c(0.0, SYN, 100, 0, 0),
                c(1000.0, SYN, 100, 0, 0),
                c(3000.0, SYN, 100, 0, 0),
                s(3010.0, SYN | ACK, 500, 101, 0),
                c(3011.0, ACK, 101, 501, 0),
            ]),
            json!({"state": "established", "conn_state": "S1", "role_source": "syn",
                   "handshake": {"outcome": "success", "syn_retransmitted": 2, "synack_retransmitted": 0,
                                 "connect_seconds": 3.011, "syn_to_synack_seconds": null,
                                 "synack_to_ack_seconds": 0.001}}),
        ),
        case(
            "2 SYN lost, the time stamps tell which was answered",
            events(vec![
                c(0.0, SYN, 100, 0, 0).stamps(1, 0),
                c(1000.0, SYN, 100, 0, 0).stamps(1001, 0),
                c(3000.0, SYN, 100, 0, 0).stamps(3001, 0),
                s(3010.0, SYN | ACK, 500, 101, 0).stamps(7, 3001),
                c(3011.0, ACK, 101, 501, 0).stamps(3012, 7),
            ]),
            json!({"handshake": {"outcome": "success", "syn_retransmitted": 2, "connect_seconds": 3.011,
                                 "syn_to_synack_seconds": 0.010, "synack_to_ack_seconds": 0.001}}),
        ),
        case(
            "2 the first of several SYNs was answered",
            events(vec![
                c(0.0, SYN, 100, 0, 0).stamps(1, 0),
                c(1000.0, SYN, 100, 0, 0).stamps(1001, 0),
                s(1002.0, SYN | ACK, 500, 101, 0).stamps(7, 1),
                c(1003.0, ACK, 101, 501, 0).stamps(1004, 7),
            ]),
            json!({"handshake": {"outcome": "success", "syn_retransmitted": 1, "connect_seconds": 1.003,
                                 "syn_to_synack_seconds": 1.002, "synack_to_ack_seconds": 0.001}}),
        ),
        case(
            "3 reject",
            events(vec![c(0.0, SYN, 100, 0, 0), s(1.0, RST | ACK, 0, 101, 0)]),
            json!({"state": "reset", "end_reason": "refused", "conn_state": "REJ", "reset_by": "server",
                   "handshake": {"outcome": "reject", "syn_retransmitted": 0, "connect_seconds": null}}),
        ),
        case(
            "3 a reset that acknowledges nothing",
            events(vec![c(0.0, SYN, 100, 0, 0), s(1.0, RST | ACK, 0, 100, 0)]),
            json!({"state": "syn_sent", "end_reason": "open", "conn_state": "S0", "reset_by": null,
                   "handshake": unanswered}),
        ),
        case(
            "3 a reset without acknowledgement",
            events(vec![c(0.0, SYN, 100, 0, 0), s(1.0, RST, 0, 0, 0)]),
            json!({"state": "syn_sent", "end_reason": "open", "conn_state": "S0", "reset_by": null,
                   "handshake": unanswered}),
        ),
        case(
            "a reset after the SYN/ACK",
            events(vec![c(0.0, SYN, 100, 0, 0), s(10.0, SYN | ACK, 500, 101, 0), s(20.0, RST, 501, 0, 0)]),
            json!({"state": "reset", "reset_by": "server", "handshake": {"outcome": "reject"}}),
        ),
        several(
            "a SYN after a refusal is a new attempt, with the same number too",
            events(vec![
                c(0.0, SYN, 100, 0, 0),
                s(1.0, RST | ACK, 0, 101, 0),
                c(500.0, SYN, 100, 0, 0),
                s(501.0, RST | ACK, 0, 101, 0),
            ]),
            vec![
                json!({"state": "reset", "c2s": {"packets": 1}, "s2c": {"packets": 1}, "handshake": {"outcome": "reject"}}),
                json!({"state": "reset", "end_reason": "refused", "c2s": {"packets": 1}, "s2c": {"packets": 1},
                       "handshake": {"outcome": "reject", "syn_retransmitted": 0}}),
            ],
        ),
        case(
            "4 unreachable",
            vec![c(0.0, SYN, 100, 0, 0).into(), unreachable(3.0, 100), c(1000.0, SYN, 100, 0, 0).into()],
            json!({"state": "closed", "handshake": {"outcome": "unreach", "connect_seconds": null}}),
        ),
        case(
            "unreachable that quotes another number",
            vec![c(0.0, SYN, 100, 0, 0).into(), unreachable(3.0, 102)],
            json!({"state": "syn_sent", "end_reason": "open", "handshake": unanswered}),
        ),
        case(
            "fragmentation needed is no end",
            vec![
                c(0.0, SYN, 100, 0, 0).into(),
                Event::Unreachable { at: 3000, to: Side::C, code: 4, sequence: 100 },
            ],
            json!({"state": "syn_sent", "end_reason": "open", "handshake": unanswered}),
        ),
        case(
            "it connects after all",
            vec![
                c(0.0, SYN, 100, 0, 0).into(),
                unreachable(3.0, 100),
                c(1000.0, SYN, 100, 0, 0).into(),
                s(1010.0, SYN | ACK, 500, 101, 0).into(),
                c(1012.0, ACK, 101, 501, 0).into(),
                c(1020.0, DATA, 101, 501, 100).into(),
            ],
            json!({"state": "established", "end_reason": "open", "after_unreach": true,
                   "handshake": {"outcome": "unreach"}, "c2s": {"stream_bytes": 100}, "exchanges": {"unanswered": 1}}),
        ),
        case(
            "18 a challenge ACK of an older connection",
            events(vec![
                c(0.0, SYN, 100, 0, 0),
                s(10.0, ACK, 700, 900_000, 0),
                c(11.0, RST, 900_000, 0, 0),
                c(1000.0, SYN, 100, 0, 0),
                s(1010.0, SYN | ACK, 500, 101, 0),
                c(1012.0, ACK, 101, 501, 0),
                c(1020.0, DATA, 101, 501, 200),
                s(1035.0, ACK, 501, 301, 0),
            ]),
            json!({"state": "established", "end_reason": "open", "reset_by": null,
                   "handshake": {"outcome": "success", "syn_retransmitted": 1, "connect_seconds": 1.012,
                                 "syn_to_synack_seconds": null, "synack_to_ack_seconds": 0.002},
                   "c2s": {"stream_bytes": 200, "rtt_seconds": {"min": 0.015}}, "exchanges": {"unanswered": 1}}),
        ),
        case(
            "only the client's side captured",
            events(vec![
                c(0.0, SYN, 100, 0, 0),
                c(12.0, ACK, 101, 501, 0),
                c(20.0, DATA, 101, 501, 200),
                c(48.0, ACK, 301, 1901, 0),
            ]),
            json!({"state": "established",
                   "handshake": {"outcome": "success", "connect_seconds": 0.012, "syn_to_synack_seconds": null,
                                 "synack_to_ack_seconds": null},
                   "c2s": {"stream_bytes": 200}, "s2c": {"stream_bytes": 1400, "missing_bytes": 1400},
                   "exchanges": {"unanswered": 1}}),
        ),
        case(
            "only the server's side captured",
            events(vec![
                s(0.0, SYN | ACK, 500, 101, 0),
                s(20.0, ACK, 501, 301, 0),
                s(25.0, DATA, 501, 301, 1000),
            ]),
            json!({"state": "established", "role_source": "synack",
                   "handshake": {"outcome": "success", "connect_seconds": null, "syn_to_synack_seconds": null,
                                 "synack_to_ack_seconds": null},
                   "c2s": {"stream_bytes": 200, "missing_bytes": 200}, "s2c": {"stream_bytes": 1000}}),
        ),
        case(
            "SYN/ACK repeated",
            events(vec![
                c(0.0, SYN, 100, 0, 0),
                s(10.0, SYN | ACK, 500, 101, 0),
                s(1010.0, SYN | ACK, 500, 101, 0),
                c(1012.0, ACK, 101, 501, 0),
            ]),
            json!({"handshake": {"outcome": "success", "syn_retransmitted": 0, "synack_retransmitted": 1,
                                 "connect_seconds": 1.012, "syn_to_synack_seconds": 0.010,
                                 "synack_to_ack_seconds": null}}),
        ),
        case(
            "copies of SYN and SYN/ACK that come late are counted on the connection",
            opened(vec![c(20.0, SYN, 100, 0, 0), s(21.0, SYN | ACK, 500, 101, 0)]),
            json!({"state": "established", "handshake": {"syn_retransmitted": 1, "synack_retransmitted": 1}}),
        ),
        case(
            "an answer that acknowledges no SYN of ours is packets only",
            events(vec![
                c(0.0, SYN, 100, 0, 0),
                s(10.0, SYN | ACK, 900, 4000, 0),
                s(20.0, SYN | ACK, 500, 101, 0),
                c(22.0, ACK, 101, 501, 0),
            ]),
            json!({"handshake": {"outcome": "success", "synack_retransmitted": 0, "connect_seconds": 0.022,
                                 "syn_to_synack_seconds": 0.020, "synack_to_ack_seconds": 0.002}}),
        ),
        case(
            "data in the third packet",
            events(vec![
                c(0.0, SYN, 100, 0, 0),
                s(10.0, SYN | ACK, 500, 101, 0),
                c(12.0, DATA, 101, 501, 100),
                s(22.0, DATA, 501, 201, 300),
            ]),
            json!({"handshake": handshake(), "c2s": {"stream_bytes": 100, "rtt_seconds": {"min": 0.010}},
                   "s2c": {"stream_bytes": 300, "unacked_bytes": 300},
                   "exchanges": {"count": 1, "first_byte_seconds": {"max": 0.010}, "last_byte_seconds": {"max": 0.010}}}),
        ),
        case(
            "SYN with payload, accepted",
            events(vec![
                c(0.0, SYN, 100, 0, 50),
                s(10.0, SYN | ACK, 500, 151, 0),
                c(12.0, ACK, 151, 501, 0),
                s(30.0, DATA, 501, 151, 300),
            ]),
            json!({"tfo": "accepted", "handshake": handshake(), "c2s": {"stream_bytes": 50}, "s2c": {"stream_bytes": 300},
                   "exchanges": {"count": 1, "first_byte_seconds": {"max": 0.030}, "last_byte_seconds": {"max": 0.030}}}),
        ),
        case(
            "SYN with payload, refused",
            events(vec![
                c(0.0, SYN, 100, 0, 50),
                s(10.0, SYN | ACK, 500, 101, 0),
                c(12.0, DATA, 101, 501, 50),
                s(30.0, DATA, 501, 151, 300),
            ]),
            json!({"tfo": "refused", "handshake": {"outcome": "success", "connect_seconds": 0.012},
                   "c2s": {"stream_bytes": 50, "retransmitted_bytes": 50, "retransmitted_segments": 1},
                   "s2c": {"stream_bytes": 300},
                   "exchanges": {"count": 1, "first_byte_seconds": {"max": 0.030}, "last_byte_seconds": {"max": 0.030}}}),
        ),
        case(
            "both ends open at once",
            events(vec![
                c(0.0, SYN, 100, 0, 0),
                s(1.0, SYN, 500, 0, 0),
                c(10.0, SYN | ACK, 100, 501, 0),
                s(11.0, SYN | ACK, 500, 101, 0),
            ]),
            json!({"state": "established", "role_source": "syn",
                   "handshake": {"outcome": "success", "connect_seconds": 0.011, "synack_to_ack_seconds": null}}),
        ),
        case(
            "the client takes it back",
            events(vec![c(0.0, SYN, 100, 0, 0), s(10.0, SYN | ACK, 500, 101, 0), c(12.0, RST, 101, 0, 0)]),
            json!({"state": "reset", "reset_by": "client", "handshake": {"outcome": "aborted"}}),
        ),
        several(
            "the client tries another number",
            events(vec![
                c(0.0, SYN, 100, 0, 0),
                c(1000.0, SYN, 7000, 0, 0),
                s(1010.0, SYN | ACK, 500, 7001, 0),
                c(1012.0, ACK, 7001, 501, 0),
            ]),
            vec![
                json!({"end_reason": "reused", "handshake": {"outcome": "aborted"}, "c2s": {"packets": 1}}),
                json!({"end_reason": "open", "handshake": handshake(), "c2s": {"packets": 2}}),
            ],
        ),
        several(
            "the SYN of a second connection was not captured",
            opened(vec![s(500.0, SYN | ACK, 7000, 9001, 0), c(510.0, ACK, 9001, 7001, 0)]),
            vec![
                json!({"end_reason": "reused", "role_source": "syn", "handshake": handshake()}),
                json!({"end_reason": "open", "role_source": "synack",
                       "handshake": {"outcome": "success", "connect_seconds": null, "syn_to_synack_seconds": null,
                                     "synack_to_ack_seconds": 0.010}}),
            ],
        ),
    ]);
}

#[test]
fn handshakes_that_nobody_finished() {
    let syns = |second: f64| {
        vec![c(0.0, SYN, 100, 0, 0), c(1000.0, SYN, 100, 0, 0), c(second * 1000.0, SYN, 100, 0, 0)]
    };
    let dropped = json!({"end_reason": "timeout", "state": "closed", "conn_state": "S0",
                         "handshake": {"outcome": "timeout", "reason": "no_synack", "syn_retransmitted": 2,
                                       "connect_seconds": null}});
    let mut answered = syns(3.0);
    answered.push(s(3010.0, SYN | ACK, 500, 101, 0));
    check(&[
        then_silent(case("5 timeout", events(syns(3.0)), dropped.clone()), 70),
        then_silent(case("5 the last SYN 59 s after the second", events(syns(60.0)), dropped), 70),
        then_silent(
            case(
                "5 not yet",
                events(syns(3.0)),
                json!({"end_reason": "open", "state": "syn_sent",
                       "handshake": {"outcome": null, "syn_retransmitted": 2}}),
            ),
            55,
        ),
        then_silent(
            case(
                "5 nobody acknowledges the SYN/ACK",
                events(answered),
                json!({"end_reason": "timeout", "state": "closed",
                       "handshake": {"outcome": "timeout", "reason": "no_ack", "syn_retransmitted": 2}}),
            ),
            70,
        ),
        several(
            "a SYN of the same number after the limit is another attempt",
            events(vec![c(0.0, SYN, 100, 0, 0), c(60_000.0, SYN, 100, 0, 0)]),
            vec![
                json!({"end_reason": "timeout", "handshake": {"outcome": "timeout", "syn_retransmitted": 0}}),
                json!({"end_reason": "open", "handshake": {"outcome": null, "syn_retransmitted": 0}}),
            ],
        ),
        several(
            "what comes ten seconds after the close is another connection",
            opened(vec![
                c(20.0, FIN | ACK, 101, 501, 0),
                s(30.0, FIN | ACK, 501, 102, 0),
                c(32.0, ACK, 102, 502, 0),
                s(10_031.0, FIN | ACK, 501, 102, 0),
                s(20_031.0, ACK, 502, 102, 0),
            ]),
            vec![
                json!({"end_reason": "fin", "state": "time_wait", "c2s": {"packets": 4}, "s2c": {"packets": 3}}),
                json!({"end_reason": "open", "midstream": true, "s2c": {"packets": 1}}),
            ],
        ),
    ]);
}

#[test]
fn resent_late_and_lost_data() {
    check(&[
        case(
            "6 lost by the capture",
            opened(vec![
                s(20.0, DATA, 501, 101, 1000),
                s(21.0, DATA, 2501, 101, 1000),
                c(30.0, ACK, 101, 3501, 0),
                s(40.0, FIN | ACK, 3501, 101, 0),
                c(41.0, ACK, 101, 3502, 0),
                c(42.0, FIN | ACK, 101, 3502, 0),
                s(52.0, ACK, 3502, 102, 0),
            ]),
            json!({
                "state": "time_wait", "conn_state": "SF",
                "s2c": {"stream_bytes": 3000, "stream_exact": true, "missing_bytes": 1000,
                        "rtt_seconds": {"min": 0.010}},
            }),
        ),
        case(
            "6 before the acknowledgement",
            opened(vec![s(20.0, DATA, 501, 101, 1000), s(21.0, DATA, 2501, 101, 1000)]),
            json!({"s2c": {"stream_bytes": 3000, "stream_exact": false, "open_bytes": 1000, "unacked_bytes": 3000}}),
        ),
        // Halved: in a file, a frame with 2000 bytes of payload is taken for a super-frame.
        case(
            "7 partial resend",
            opened(vec![
                c(20.0, DATA, 101, 501, 500),
                c(21.0, DATA, 601, 501, 500),
                c(240.0, DATA, 351, 501, 1000),
                s(251.0, ACK, 501, 1351, 0),
            ]),
            json!({
                "c2s": {"stream_bytes": 1250, "retransmitted_bytes": 750, "retransmitted_segments": 1},
                "exchanges": {"unanswered": 1},
            }),
        ),
        case(
            "13 lost upstream",
            opened(vec![
                s(20.0, DATA, 501, 101, 1000),
                s(21.0, DATA, 2501, 101, 1000),
                c(22.0, ACK, 101, 1501, 0),
                c(23.0, ACK, 101, 1501, 0).sack(2501, 3501),
                s(24.0, DATA, 3501, 101, 1000),
                c(25.0, ACK, 101, 1501, 0).sack(2501, 4501),
                s(45.0, DATA, 1501, 101, 1000),
                c(46.0, ACK, 101, 4501, 0),
            ]),
            json!({
                "c2s": {"duplicate_acks": 2},
                "s2c": {"stream_bytes": 4000, "recovered_segments": 1, "rtt_seconds": {"min": 0.002}},
            }),
        ),
        case(
            "15 window probe and keep-alive",
            opened(vec![
                c(20.0, DATA, 101, 501, 100),
                s(30.0, ACK, 501, 201, 0).window(0),
                c(300.0, DATA, 201, 501, 1),
                s(310.0, ACK, 501, 201, 0).window(0),
                s(500.0, ACK, 501, 201, 0),
                c(501.0, DATA, 201, 501, 100),
                s(511.0, ACK, 501, 301, 0),
                c(75_000.0, ACK, 300, 501, 0),
                s(75_010.0, ACK, 501, 301, 0),
            ]),
            json!({
                "c2s": {"stream_bytes": 200, "retransmitted_bytes": 1, "retransmitted_segments": 1, "keep_alives": 1,
                        "rtt_seconds": {"min": 0.010}},
                "s2c": {"zero_windows": 2}, "exchanges": {"unanswered": 1},
            }),
        ),
        case(
            "16 data after its acknowledgement",
            opened(vec![c(30.0, ACK, 101, 1501, 0), s(30.1, DATA, 501, 101, 1000)]),
            json!({"s2c": {"stream_bytes": 1000, "out_of_order_segments": 1}}),
        ),
        case(
            "reordered on the way: within the handshake's round trip",
            opened(vec![
                s(20.0, DATA, 1501, 101, 1000),
                s(21.0, DATA, 501, 101, 1000),
                s(22.0, DATA, 2501, 101, 1000),
                c(24.0, ACK, 101, 3501, 0),
            ]),
            json!({"s2c": {"stream_bytes": 3000, "out_of_order_segments": 1, "rtt_seconds": {"min": 0.002}}}),
        ),
        case(
            "later than that: a resend of what never came past",
            opened(vec![
                s(20.0, DATA, 1501, 101, 1000),
                s(32.1, DATA, 501, 101, 1000),
                c(34.0, ACK, 101, 2501, 0),
            ]),
            json!({"s2c": {"stream_bytes": 2000, "recovered_segments": 1}}),
        ),
        case(
            "exactly a round trip late is still reordering",
            opened(vec![
                s(32.0, DATA, 1501, 101, 1000),
                s(44.0, DATA, 501, 101, 1000),
                c(46.0, ACK, 101, 2501, 0),
            ]),
            json!({"s2c": {"stream_bytes": 2000, "out_of_order_segments": 1}}),
        ),
        case(
            "the same, sent twice by the network",
            opened(vec![
                c(20.0, DATA, 101, 501, 1000),
                c(20.1, DATA, 101, 501, 1000),
                s(31.0, ACK, 501, 1101, 0),
                s(31.1, ACK, 501, 1101, 0),
            ]),
            json!({
                "c2s": {"stream_bytes": 1000, "retransmitted_bytes": 1000, "retransmitted_segments": 1},
                "exchanges": {"unanswered": 1},
            }),
        ),
        case(
            "a hole filled in three parts: its middle, its begin with what was seen, its end",
            opened(vec![
                s(20.0, DATA, 501, 101, 1000),
                s(21.0, DATA, 4501, 101, 1000),
                s(60.0, DATA, 2501, 101, 1000),
                s(61.0, DATA, 1101, 101, 1400),
                s(62.0, DATA, 3501, 101, 1000),
                c(64.0, ACK, 101, 5501, 0),
            ]),
            json!({"s2c": {"stream_bytes": 5000, "recovered_segments": 2, "retransmitted_segments": 1,
                           "retransmitted_bytes": 400}}),
        ),
        case(
            "resent across a hole and beyond the edge",
            opened(vec![
                s(20.0, DATA, 501, 101, 350),
                s(21.0, DATA, 1201, 101, 350),
                s(60.0, DATA, 501, 101, 1400),
                c(62.0, ACK, 101, 1901, 0),
            ]),
            json!({"s2c": {"stream_bytes": 1400, "retransmitted_segments": 1, "retransmitted_bytes": 700}}),
        ),
        case(
            "keep-alive without a byte, and with one",
            opened(vec![
                c(20.0, DATA, 101, 501, 100),
                s(30.0, ACK, 501, 201, 0),
                c(7030.0, ACK, 200, 501, 0),
                s(7040.0, ACK, 501, 201, 0),
                c(14_030.0, ACK, 200, 501, 1),
                s(14_040.0, ACK, 501, 201, 0),
            ]),
            json!({
                "c2s": {"stream_bytes": 100, "keep_alives": 2, "retransmitted_bytes": 1, "retransmitted_segments": 1,
                        "rtt_seconds": {"min": 0.010}},
                "exchanges": {"unanswered": 1},
            }),
        ),
        case(
            "a keep-alive before anything was said",
            opened(vec![
                s(7030.0, ACK, 500, 101, 1),
                c(7032.0, ACK, 101, 501, 0),
                s(7100.0, DATA, 501, 101, 10),
                c(7102.0, ACK, 101, 511, 0),
            ]),
            json!({"s2c": {"stream_bytes": 10, "keep_alives": 1, "retransmitted_bytes": 1, "retransmitted_segments": 1,
                           "rtt_seconds": {"min": 0.002}}}),
        ),
        case(
            "the last byte again while it is not acknowledged: no keep-alive",
            opened(vec![
                c(20.0, DATA, 101, 501, 100),
                c(220.0, DATA, 200, 501, 1),
                s(230.0, ACK, 501, 201, 0),
            ]),
            json!({
                "c2s": {"stream_bytes": 100, "retransmitted_bytes": 1, "retransmitted_segments": 1},
                "exchanges": {"unanswered": 1},
            }),
        ),
        case(
            "probes of a closed window: the first byte is new, its repetition is not",
            opened(vec![
                c(20.0, DATA, 101, 501, 100),
                s(30.0, ACK, 501, 201, 0).window(0),
                c(300.0, DATA, 201, 501, 1),
                s(310.0, ACK, 501, 201, 0).window(0),
                c(800.0, DATA, 201, 501, 1),
                s(810.0, ACK, 501, 202, 0),
                c(811.0, DATA, 202, 501, 99),
                s(821.0, ACK, 501, 301, 0),
            ]),
            json!({
                "c2s": {"stream_bytes": 200, "retransmitted_bytes": 1, "retransmitted_segments": 1,
                        "rtt_seconds": {"min": 0.010}},
                "s2c": {"zero_windows": 2}, "exchanges": {"unanswered": 1},
            }),
        ),
        case(
            "selective acknowledgement: two holes, filled one after the other",
            opened(vec![
                s(20.0, DATA, 501, 101, 1000),
                s(21.0, DATA, 2501, 101, 1000),
                s(22.0, DATA, 4501, 101, 1000),
                c(23.0, ACK, 101, 1501, 0),
                c(23.1, ACK, 101, 1501, 0).sack(2501, 3501),
                c(23.2, ACK, 101, 1501, 0).sack(2501, 3501).sack(4501, 5501),
                s(50.0, DATA, 1501, 101, 1000),
                s(50.1, DATA, 3501, 101, 1000),
                c(52.0, ACK, 101, 3501, 0).sack(4501, 5501),
                c(52.1, ACK, 101, 5501, 0),
            ]),
            json!({
                "c2s": {"duplicate_acks": 2},
                "s2c": {"stream_bytes": 5000, "recovered_segments": 2, "rtt_seconds": {"min": 0.003}},
            }),
        ),
        case(
            "the capture lost the original and saw the resend",
            opened(vec![
                c(20.0, DATA, 101, 501, 100),
                c(21.0, DATA, 301, 501, 100),
                c(240.0, DATA, 201, 501, 100),
                s(251.0, ACK, 501, 401, 0),
            ]),
            json!({
                "c2s": {"stream_bytes": 300, "recovered_segments": 1}, "exchanges": {"unanswered": 1},
            }),
        ),
        case(
            "the same after its acknowledgement: missing is taken back, the sign at the exchange stays",
            opened(vec![
                c(20.0, DATA, 101, 501, 100),
                c(21.0, DATA, 301, 501, 100),
                s(31.0, ACK, 501, 401, 0),
                c(240.0, DATA, 201, 501, 100),
                s(251.0, ACK, 501, 401, 0),
            ]),
            json!({
                "c2s": {"stream_bytes": 300, "recovered_segments": 1, "rtt_seconds": {"min": 0.011}},
                "exchanges": {"unanswered": 1},
            }),
        ),
        case(
            "one hole more than are told apart, nothing acknowledged: the two lowest become one",
            opened((0..6).map(|part| s(20.0, DATA, 501 + 2000 * part, 101, 1000)).collect()),
            json!({"holes_merged": true, "s2c": {"stream_bytes": 11_000, "open_bytes": 5000, "unacked_bytes": 11_000}}),
        ),
        case(
            "one hole more, the lowest acknowledged: it is settled, its late data were seen before",
            opened(vec![
                s(20.0, DATA, 501, 101, 1000),
                s(20.1, DATA, 2501, 101, 1000),
                s(20.2, DATA, 4501, 101, 1000),
                s(20.3, DATA, 6501, 101, 1000),
                s(20.4, DATA, 8501, 101, 1000),
                c(22.0, ACK, 101, 9501, 0),
                s(22.1, DATA, 10_501, 101, 1000),
                s(22.2, DATA, 1501, 101, 1000),
                s(22.3, DATA, 3501, 101, 1000),
                c(24.0, ACK, 101, 11_501, 0),
            ]),
            json!({"s2c": {"stream_bytes": 11_000, "missing_bytes": 4000, "unacked_bytes": 0,
                           "retransmitted_segments": 1, "retransmitted_bytes": 1000, "out_of_order_segments": 1,
                           "rtt_seconds": {"min": 0.002}}}),
        ),
        case(
            "FIN again",
            opened(vec![
                c(20.0, FIN | ACK, 101, 501, 100),
                c(220.0, FIN | ACK, 101, 501, 100),
                c(420.0, FIN | ACK, 201, 501, 0),
                s(430.0, ACK, 501, 202, 0),
            ]),
            json!({
                "state": "half_closed_client", "conn_state": "S2",
                "c2s": {"stream_bytes": 100, "retransmitted_bytes": 100, "retransmitted_segments": 1, "fin": 3},
                "exchanges": {"unanswered": 1},
            }),
        ),
        case(
            "an acknowledgement whose data and FIN were not captured: a byte may be the FIN",
            opened(vec![c(20.0, ACK, 101, 602, 0)]),
            json!({"s2c": {"stream_bytes": 101, "missing_bytes": 101, "stream_exact": false, "stream_uncertain": 1,
                           "unacked_bytes": 0}}),
        ),
        case(
            "the FIN's copy is seen: the byte was the FIN",
            opened(vec![
                c(20.0, ACK, 101, 602, 0),
                s(200.0, FIN | ACK, 601, 101, 0),
                c(201.0, ACK, 101, 602, 0),
            ]),
            json!({
                "state": "half_closed_server", "conn_state": "S3",
                "s2c": {"stream_bytes": 100, "missing_bytes": 100, "stream_exact": true, "unacked_bytes": 0},
            }),
        ),
        case(
            "an acknowledgement of what cannot be",
            opened(vec![
                s(20.0, DATA, 501, 101, 100),
                c(22.0, ACK, 101, 601 + (1 << 30) + 1, 0),
                c(23.0, ACK, 101, 601, 0),
                s(30.0, DATA, 602 + (1 << 30), 101, 100),
            ]),
            json!({"s2c": {"stream_bytes": 100, "payload_bytes": 100, "rtt_seconds": {"min": 0.003}}}),
        ),
    ]);
}

/// Segments of 1460 bytes, by the SYNs' option; the page's 1000 scaled, so that
/// a frame of several is larger than a packet may be.
#[test]
fn super_frames_are_their_segments() {
    const MSS: u32 = 1460;
    let open = |more: Vec<Segment>| {
        let mut all = vec![
            c(0.0, SYN, 100, 0, 0).mss(MSS as u16),
            s(10.0, SYN | ACK, 500, 101, 0).mss(MSS as u16),
            c(12.0, ACK, 101, 501, 0),
        ];
        all.extend(more);
        events(all)
    };
    let cut = |at: f64, from: u32, count: u32| {
        (0..count).map(move |number| c(at, DATA, from + number * MSS, 501, MSS)).collect::<Vec<_>>()
    };
    let acknowledged = s(251.0, ACK, 501, 101 + 5 * MSS, 0);
    let expected = json!({
        "handshake": handshake(),
        "c2s": {"packets": 9, "bytes": 58 + 54 + 7 * (54 + MSS), "payload_bytes": 7 * MSS, "stream_bytes": 5 * MSS,
                "retransmitted_bytes": 2 * MSS, "retransmitted_segments": 2,
                // The third segment of the second burst is new, in order, and not held up.
                "rtt_seconds": {"min": 0.011}},
        "exchanges": {"unanswered": 1},
    });
    let mut super_frames = expected.clone();
    lay_over(
        &mut super_frames,
        &json!({"c2s": {"frames": 4, "frame_bytes": 58 + 54 + 54 + 4 * MSS + 54 + 3 * MSS}}),
    );
    let late = json!({
        "handshake": handshake(),
        "c2s": {"packets": 7, "bytes": 58 + 54 + 5 * (54 + MSS), "stream_bytes": 5 * MSS - 60, "payload_bytes": 5 * MSS,
                "recovered_segments": 2, "retransmitted_bytes": 60, "retransmitted_segments": 1},
        "exchanges": {"unanswered": 1},
    });
    check(&[
        case(
            "7b super-frame",
            open(vec![
                c(20.0, DATA, 101, 501, 4 * MSS),
                c(240.0, DATA, 101 + 2 * MSS, 501, 3 * MSS),
                acknowledged.clone(),
            ]),
            super_frames,
        ),
        case(
            "7b its segments",
            open([cut(20.0, 101, 4), cut(240.0, 101 + 2 * MSS, 3), vec![acknowledged]].concat()),
            expected,
        ),
        case(
            "a super-frame whose first two segments fill a hole; the third reaches beyond it",
            open(vec![
                c(20.0, DATA, 101, 501, MSS),
                c(21.0, DATA, 101 + 4 * MSS - 60, 501, MSS),
                c(240.0, DATA, 101 + MSS, 501, 3 * MSS),
                s(251.0, ACK, 501, 101 + 5 * MSS - 60, 0),
            ]),
            late,
        ),
    ]);
}

/// Exchanges: each script with PSH on every payload segment, and with none.
fn check_turns(scripts: Vec<(&str, Vec<Segment>, Value)>) {
    let mut cases = Vec::new();
    for (name, script, expected) in scripts {
        let pushed = script.iter().cloned().map(|mut segment| {
            segment.flags |= if segment.length > 0 { PSH } else { 0 };
            segment
        });
        cases.push(case(&format!("{name}, pushed"), opened(pushed.collect()), expected.clone()));
        cases.push(case(name, opened(script), expected));
    }
    check(&cases);
}

/// An exchange's times: the slowest first and last byte.
fn turns(count: u32, first: f64, last: f64) -> Value {
    json!({"count": count, "unanswered": 0, "first_byte_seconds": {"max": ms(first)},
           "last_byte_seconds": {"max": ms(last)}})
}

/// What the client and the server said, and their turns; round trips are not looked at.
fn said(client: u32, server: u32, exchanges: Value) -> Value {
    let side = |stream: u32| json!({"stream_bytes": stream, "rtt_seconds": {"min": ANY}});
    json!({"c2s": side(client), "s2c": side(server), "exchanges": exchanges})
}

#[test]
fn turns_of_protocols() {
    check_turns(vec![
        (
            "HTTP, three requests on one connection",
            vec![
                c(20.0, DATA, 101, 501, 100),
                s(30.0, DATA, 501, 201, 1000),
                s(31.0, DATA, 1501, 201, 500),
                c(32.0, DATA, 201, 2001, 100),
                s(52.0, DATA, 2001, 301, 200),
                c(54.0, ACK, 301, 2201, 0),
                c(90.0, DATA, 301, 2201, 100),
                s(100.0, DATA, 2201, 401, 100),
                c(102.0, ACK, 401, 2301, 0),
            ],
            said(300, 1800, turns(3, 20.0, 20.0)),
        ),
        (
            "pipelined: one batch",
            vec![
                c(20.0, DATA, 101, 501, 100),
                c(21.0, DATA, 201, 501, 100),
                c(22.0, DATA, 301, 501, 100),
                s(40.0, DATA, 501, 401, 700),
                s(41.0, DATA, 1201, 401, 700),
                c(43.0, ACK, 401, 1901, 0),
            ],
            said(300, 1400, turns(1, 18.0, 21.0)),
        ),
        (
            "TLS 1.3 and one request",
            vec![
                c(20.0, DATA, 101, 501, 300),
                s(35.0, DATA, 501, 401, 1400),
                s(36.0, DATA, 1901, 401, 1000),
                c(40.0, DATA, 401, 2901, 80),
                c(41.0, DATA, 481, 2901, 200),
                s(70.0, DATA, 2901, 681, 400),
                c(72.0, ACK, 681, 3301, 0),
            ],
            // The handshake is one, the request rides behind the client's last words of it.
            said(580, 2800, turns(2, 29.0, 30.0)),
        ),
        (
            "TLS 1.2 in full and one request",
            vec![
                c(20.0, DATA, 101, 501, 300),
                s(35.0, DATA, 501, 401, 1400),
                s(36.0, DATA, 1901, 401, 1000),
                c(40.0, DATA, 401, 2901, 120),
                s(55.0, DATA, 2901, 521, 50),
                c(57.0, DATA, 521, 2951, 200),
                s(90.0, DATA, 2951, 721, 400),
                c(92.0, ACK, 721, 3351, 0),
            ],
            said(620, 2850, turns(3, 33.0, 33.0)),
        ),
        (
            "SMTP: the server greets, three commands",
            vec![
                s(30.0, DATA, 501, 101, 50),
                c(32.0, ACK, 101, 551, 0),
                c(33.0, DATA, 101, 551, 20),
                s(45.0, DATA, 551, 121, 100),
                c(47.0, DATA, 121, 651, 30),
                s(60.0, DATA, 651, 151, 10),
                c(62.0, DATA, 151, 661, 6),
                s(74.0, DATA, 661, 157, 10),
                c(76.0, ACK, 157, 671, 0),
            ],
            said(56, 170, turns(3, 13.0, 13.0)),
        ),
        (
            "MySQL: a greeting, a login, a query of 3 packets in the answer",
            vec![
                s(15.0, DATA, 501, 101, 78),
                c(17.0, DATA, 101, 579, 180),
                s(27.0, ACK, 579, 281, 0),
                s(30.0, DATA, 579, 281, 11),
                c(32.0, DATA, 281, 590, 40),
                s(50.0, DATA, 590, 321, 1000),
                s(51.0, DATA, 1590, 321, 1000),
                s(52.0, DATA, 2590, 321, 500),
                c(54.0, ACK, 321, 3090, 0),
            ],
            said(220, 2589, turns(2, 18.0, 20.0)),
        ),
        (
            "100-continue: one more",
            vec![
                c(20.0, DATA, 101, 501, 150),
                s(30.0, DATA, 501, 251, 25),
                c(32.0, DATA, 251, 526, 1000),
                c(33.0, DATA, 1251, 526, 1000),
                s(44.0, ACK, 526, 2251, 0),
                s(60.0, DATA, 526, 2251, 200),
                c(62.0, ACK, 2251, 726, 0),
            ],
            said(2150, 225, turns(2, 27.0, 28.0)),
        ),
        (
            "long poll: the answer comes after half a minute",
            vec![
                c(20.0, DATA, 101, 501, 100),
                s(30.0, ACK, 501, 201, 0),
                s(30_020.0, DATA, 501, 201, 300),
                c(30_022.0, ACK, 201, 801, 0),
            ],
            said(100, 300, turns(1, 30_000.0, 30_000.0)),
        ),
        (
            "a request whose resend was needed: the first copy counts",
            vec![
                c(20.0, DATA, 101, 501, 100),
                c(220.0, DATA, 101, 501, 100),
                s(240.0, DATA, 501, 201, 300),
                s(440.0, DATA, 501, 201, 300),
                c(442.0, ACK, 201, 801, 0),
            ],
            json!({
                "c2s": {"stream_bytes": 100, "retransmitted_bytes": 100, "retransmitted_segments": 1},
                "s2c": {"stream_bytes": 300, "retransmitted_bytes": 300, "retransmitted_segments": 1},
                "exchanges": turns(1, 220.0, 220.0),
            }),
        ),
        (
            "upload in bulk: nothing is answered",
            vec![
                c(20.0, DATA, 101, 501, 1000),
                c(21.0, DATA, 1101, 501, 1000),
                s(31.0, ACK, 501, 2101, 0),
                c(32.0, DATA, 2101, 501, 1000),
                c(33.0, DATA, 3101, 501, 1000),
                s(43.0, ACK, 501, 4101, 0),
            ],
            json!({"c2s": {"stream_bytes": 4000, "rtt_seconds": {"min": 0.011}},
                   "exchanges": {"count": 0, "unanswered": 1}}),
        ),
        (
            "download in bulk that nobody asked for",
            vec![
                s(20.0, DATA, 501, 101, 1000),
                s(21.0, DATA, 1501, 101, 1000),
                c(23.0, ACK, 101, 2501, 0),
                s(24.0, DATA, 2501, 101, 1000),
                c(26.0, ACK, 101, 3501, 0),
            ],
            json!({"s2c": {"stream_bytes": 3000, "rtt_seconds": {"min": 0.003}}}),
        ),
        (
            "both talk at once: no turns",
            vec![
                c(20.0, DATA, 101, 501, 100),
                s(21.0, DATA, 501, 101, 100),
                c(30.0, DATA, 201, 501, 100),
                s(31.0, DATA, 601, 101, 100),
                c(40.0, DATA, 301, 601, 100),
                s(41.0, DATA, 701, 201, 100),
            ],
            said(300, 300, json!({"count": 0, "unanswered": 1})),
        ),
    ]);
}

#[test]
fn turns_of_the_page() {
    check(&[
        case(
            "11 server first",
            opened(vec![
                s(30.0, DATA, 501, 101, 80),
                c(32.0, ACK, 101, 581, 0),
                c(35.0, DATA, 101, 581, 20),
                s(50.0, DATA, 581, 121, 30),
                c(60.0, DATA, 121, 611, 6),
                s(75.0, DATA, 611, 127, 10),
                s(76.0, FIN | ACK, 621, 127, 0),
                c(78.0, FIN | ACK, 127, 622, 0),
                s(88.0, ACK, 622, 128, 0),
            ]),
            json!({
                "state": "time_wait", "conn_state": "SF",
                "c2s": {"stream_bytes": 26, "rtt_seconds": {"min": 0.015}},
                "s2c": {"stream_bytes": 120, "rtt_seconds": {"min": 0.002}},
                "exchanges": turns(2, 15.0, 15.0),
            }),
        ),
        case(
            "12 pipelined",
            opened(vec![
                c(20.0, DATA, 101, 501, 100),
                c(22.0, DATA, 201, 501, 100),
                s(35.0, DATA, 501, 201, 500),
                s(37.0, DATA, 1001, 301, 500),
                c(39.0, ACK, 301, 1501, 0),
                c(50.0, DATA, 301, 1501, 100),
                s(65.0, DATA, 1501, 401, 1400),
                s(66.0, DATA, 2901, 401, 600),
                c(68.0, ACK, 401, 3501, 0),
            ]),
            json!({
                "c2s": {"stream_bytes": 300, "rtt_seconds": {"min": 0.015}},
                "s2c": {"stream_bytes": 3000, "rtt_seconds": {"min": 0.003}},
                "exchanges": turns(2, 15.0, 17.0),
            }),
        ),
        case(
            "14 a request lost by the capture",
            opened(vec![
                c(20.0, DATA, 101, 501, 200),
                s(40.0, DATA, 501, 301, 300),
                c(42.0, ACK, 301, 801, 0),
                s(80.0, DATA, 801, 501, 300),
                c(82.0, ACK, 501, 1101, 0),
            ]),
            json!({
                "exchanges_lossy": true,
                "c2s": {"stream_bytes": 400, "missing_bytes": 200, "rtt_seconds": {"min": 0.020}},
                "s2c": {"stream_bytes": 600, "rtt_seconds": {"min": 0.002}},
                "exchanges": {"count": 1, "first_byte_seconds": {"max": null}, "last_byte_seconds": {"max": null}},
            }),
        ),
        case(
            "a complete exchange before one that was lost keeps its times",
            opened(vec![
                c(20.0, DATA, 101, 501, 200),
                s(40.0, DATA, 501, 301, 300),
                c(42.0, DATA, 301, 801, 200),
                s(62.0, DATA, 801, 601, 300),
                c(64.0, ACK, 601, 1101, 0),
            ]),
            json!({
                "exchanges_lossy": true,
                "c2s": {"stream_bytes": 500, "missing_bytes": 100, "rtt_seconds": {"min": 0.020}},
                "s2c": {"stream_bytes": 600, "rtt_seconds": {"min": 0.002}},
                "exchanges": {"count": 2, "first_byte_seconds": {"max": 0.020}, "last_byte_seconds": {"max": 0.020}},
            }),
        ),
    ]);
}

/// A download seen at its client: the server's round trips by time stamps.
#[test]
fn round_trips_by_time_stamps() {
    let stamped = |more: Vec<Segment>| {
        let mut all = vec![
            c(0.0, SYN, 100, 0, 0).stamps(1000, 0),
            s(10.0, SYN | ACK, 500, 101, 0).stamps(70, 1000),
            c(12.0, ACK, 101, 501, 0).stamps(1012, 70),
            c(13.0, ACK, 101, 501, 0).stamps(1013, 70),
        ];
        all.extend(more);
        events(all)
    };
    check(&[
        case(
            "first acknowledgement of a tick, first data that echoes it",
            stamped(vec![
                s(20.0, DATA, 501, 101, 1000).stamps(80, 1012),
                c(22.0, ACK, 101, 1501, 0).stamps(1022, 80),
                s(32.0, DATA, 1501, 101, 1000).stamps(92, 1022),
                c(34.0, ACK, 101, 2501, 0).stamps(1034, 92),
            ]),
            // The ACK at 13 acknowledges nothing new: it only waits. The one at 22 arms.
            json!({"handshake": handshake(), "c2s": {"rtt_seconds": {"min": 0.010, "smoothed": null}},
                   "s2c": {"stream_bytes": 2000, "rtt_seconds": {"min": 0.002}}}),
        ),
        case(
            "the echo was not captured, a newer one tells nothing",
            stamped(vec![
                s(20.0, DATA, 501, 101, 1000).stamps(80, 1012),
                c(22.0, ACK, 101, 1501, 0).stamps(1022, 80),
                c(30.0, ACK, 101, 1501, 0).stamps(1030, 80),
                s(40.0, DATA, 1501, 101, 1000).stamps(100, 1030),
            ]),
            json!({"handshake": handshake(), "c2s": {"rtt_seconds": {"min": null}},
                   "s2c": {"stream_bytes": 2000, "rtt_seconds": {"min": 0.002}}}),
        ),
    ]);
}

/// States as a line tells them: name, milliseconds since its start, whose FIN or RST.
fn passed(states: &[(&str, f64, Option<&str>)]) -> Value {
    let state = |&(state, at, by): &(&str, f64, Option<&str>)| json!({"state": state, "after_seconds": ms(at), "by": by});
    json!({"states": states.iter().map(state).collect::<Vec<_>>()})
}

const CLIENT: Option<&str> = Some("client");
const SERVER: Option<&str> = Some("server");

/// What the usual handshake passes, then these.
fn opened_passed(more: &[(&str, f64, Option<&str>)]) -> Value {
    let opening = [("syn_sent", 0.0, None), ("syn_received", 10.0, None), ("established", 12.0, None)];
    passed(&[&opening, more].concat())
}

#[test]
fn states_and_when_they_began() {
    check(&[
        several("open", opened(vec![]), vec![opened_passed(&[])]),
        several(
            "closed by FIN both ways, copies change nothing",
            opened(vec![
                c(60.0, FIN | ACK, 101, 501, 0),
                c(65.0, FIN | ACK, 101, 501, 0),
                s(71.0, FIN | ACK, 501, 102, 0),
                s(72.0, FIN | ACK, 501, 102, 0),
                c(73.125, ACK, 102, 502, 0),
                c(74.0, ACK, 102, 502, 0),
            ]),
            vec![opened_passed(&[
                ("fin_wait", 60.0, CLIENT),
                ("closing", 71.0, SERVER),
                ("time_wait", 73.125, None),
            ])],
        ),
        several(
            "half-closed by the server, the client goes on",
            opened(vec![
                s(20.0, FIN | ACK, 501, 101, 50),
                c(30.0, ACK, 101, 552, 0),
                c(5_000_000.0, DATA, 101, 552, 1000),
                s(5_000_010.0, ACK, 552, 1101, 0),
                c(5_000_020.0, FIN | ACK, 1101, 552, 0),
                s(5_000_031.007, ACK, 552, 1102, 0),
            ]),
            // Silent for longer than a closing connection may: the rest is another one.
            vec![
                opened_passed(&[("fin_wait", 20.0, SERVER), ("half_closed_server", 30.0, None)]),
                passed(&[
                    ("established", 0.0, None),
                    ("fin_wait", 20.0, CLIENT),
                    ("half_closed_client", 31.007, None),
                ]),
            ],
        ),
        several(
            "half-closed, then closed, hours after its beginning",
            opened(
                [
                    (1..60).map(|n| c(f64::from(n) * 200_000.0, DATA, 101 + n - 1, 501, 1)).collect(),
                    vec![
                        c(12_000_000.0, FIN | ACK, 160, 501, 0),
                        s(12_000_010.002, ACK, 501, 161, 0),
                        s(12_000_530.0, FIN | ACK, 501, 161, 0),
                        c(12_000_532.0, ACK, 161, 502, 0),
                    ],
                ]
                .concat(),
            ),
            vec![opened_passed(&[
                ("fin_wait", 12_000_000.0, CLIENT),
                ("half_closed_client", 12_000_010.002, None),
                ("closing", 12_000_530.0, SERVER),
                ("time_wait", 12_000_532.0, None),
            ])],
        ),
        several(
            "half-closed for more than an hour: from then on in milliseconds",
            opened(
                [
                    vec![c(20.123, FIN | ACK, 101, 501, 0), s(30.124, ACK, 501, 102, 0)],
                    (1..25).map(|n| s(f64::from(n) * 200_000.0, DATA, 500 + n, 102, 1)).collect(),
                    vec![s(5_000_000.0, FIN | ACK, 525, 102, 0), c(5_000_002.5, ACK, 102, 526, 0)],
                ]
                .concat(),
            ),
            vec![opened_passed(&[
                ("fin_wait", 20.123, CLIENT),
                ("half_closed_client", 30.124, None),
                ("closing", 4_999_999.123, SERVER),
                ("time_wait", 5_000_002.123, None),
            ])],
        ),
        several(
            "a FIN behind a RST that was none has the time at which that shows",
            opened(vec![
                s(40.0, RST, 501, 0, 0),
                c(45.0, FIN | ACK, 101, 501, 0),
                s(50.0, DATA, 501, 102, 100),
                c(51.0, ACK, 102, 601, 0),
                s(60.0, FIN | ACK, 601, 102, 0),
                c(61.0, ACK, 102, 602, 0),
            ]),
            vec![opened_passed(&[
                ("half_closed_client", 50.0, None),
                ("closing", 60.0, SERVER),
                ("time_wait", 61.0, None),
            ])],
        ),
        several(
            "reset by the server, a second RST changes nothing",
            opened(vec![s(40.0, RST | ACK, 501, 101, 0), s(41.0, RST | ACK, 501, 101, 0)]),
            vec![opened_passed(&[("reset", 40.0, SERVER)])],
        ),
        several(
            "reset by the client after its FIN",
            opened(vec![c(30.0, FIN | ACK, 101, 501, 0), c(40.0, RST, 102, 0, 0)]),
            vec![opened_passed(&[("fin_wait", 30.0, CLIENT), ("reset", 40.0, CLIENT)])],
        ),
        several(
            "a RST that was not its sender's is in no history",
            opened(vec![
                s(40.0, RST, 501, 0, 0),
                s(50.0, DATA, 501, 101, 100),
                c(51.0, ACK, 101, 601, 0),
                c(60.0, RST, 101, 0, 0),
            ]),
            vec![opened_passed(&[("reset", 60.0, CLIENT)])],
        ),
        several(
            "refused",
            events(vec![c(0.0, SYN, 100, 0, 0), s(1.0, RST | ACK, 0, 101, 0)]),
            vec![passed(&[("syn_sent", 0.0, None), ("reset", 1.0, SERVER)])],
        ),
        several(
            "refused, asked again with the same number, refused",
            events(vec![
                c(0.0, SYN, 100, 0, 0),
                s(1.0, RST | ACK, 0, 101, 0),
                c(500.0, SYN, 100, 0, 0),
                s(502.0, RST | ACK, 0, 101, 0),
            ]),
            vec![
                passed(&[("syn_sent", 0.0, None), ("reset", 1.0, SERVER)]),
                passed(&[("syn_sent", 0.0, None), ("reset", 2.0, SERVER)]),
            ],
        ),
        then_silent(
            several(
                "nobody answers: over a minute after the last SYN",
                events(vec![c(0.0, SYN, 100, 0, 0), c(1000.0, SYN, 100, 0, 0), c(3000.0, SYN, 100, 0, 0)]),
                vec![passed(&[("syn_sent", 0.0, None), ("closed", 63_000.0, None)])],
            ),
            100,
        ),
        then_silent(
            several(
                "the SYN/ACK is not answered",
                events(vec![c(0.0, SYN, 100, 0, 0), s(10.0, SYN | ACK, 500, 101, 0)]),
                vec![passed(&[
                    ("syn_sent", 0.0, None),
                    ("syn_received", 10.0, None),
                    ("closed", 60_010.0, None),
                ])],
            ),
            100,
        ),
        several(
            "SYNs sent again: the first one counts",
            events(vec![
                c(0.0, SYN, 100, 0, 0),
                c(1000.0, SYN, 100, 0, 0),
                s(1010.0, SYN | ACK, 500, 101, 0),
                s(1500.0, SYN | ACK, 500, 101, 0),
                c(1502.0, ACK, 101, 501, 0),
            ]),
            vec![passed(&[
                ("syn_sent", 0.0, None),
                ("syn_received", 1010.0, None),
                ("established", 1502.0, None),
            ])],
        ),
        several(
            "both ends open",
            events(vec![
                c(0.0, SYN, 100, 0, 0),
                s(1.0, SYN, 500, 0, 0),
                c(5.0, SYN | ACK, 100, 501, 0),
                s(6.0, SYN | ACK, 500, 101, 0),
            ]),
            vec![passed(&[("syn_sent", 0.0, None), ("syn_received", 1.0, None), ("established", 6.0, None)])],
        ),
        several(
            "the SYN was not seen",
            events(vec![s(0.0, SYN | ACK, 500, 101, 0), c(2.0, ACK, 101, 501, 0)]),
            vec![passed(&[("syn_received", 0.0, None), ("established", 2.0, None)])],
        ),
        several(
            "the SYN comes behind its answer",
            events(vec![s(0.0, SYN | ACK, 500, 101, 0), c(0.3, SYN, 100, 0, 0), c(2.0, ACK, 101, 501, 0)]),
            vec![passed(&[("syn_received", 0.0, None), ("established", 2.0, None)])],
        ),
        several(
            "the SYN/ACK was not seen",
            events(vec![c(0.0, SYN, 100, 0, 0), c(12.0, ACK, 101, 501, 0)]),
            vec![passed(&[("syn_sent", 0.0, None), ("established", 12.0, None)])],
        ),
        several(
            "met in its middle",
            events(vec![
                c(0.0, DATA, 101, 501, 10),
                s(5.0, ACK, 501, 111, 0),
                s(9.0, FIN | ACK, 501, 111, 0),
            ]),
            vec![passed(&[("established", 0.0, None), ("fin_wait", 9.0, SERVER)])],
        ),
        several(
            "17 met at its end",
            events(vec![
                c(0.0, FIN | ACK, 101, 501, 0),
                s(10.0, FIN | ACK, 501, 102, 0),
                c(12.0, ACK, 102, 502, 0),
            ]),
            vec![passed(&[("fin_wait", 0.0, CLIENT), ("closing", 10.0, SERVER), ("time_wait", 12.0, None)])],
        ),
        several(
            "4 unreachable",
            events_with_error(vec![c(0.0, SYN, 100, 0, 0)], unreachable(3.0, 100)),
            vec![passed(&[("syn_sent", 0.0, None), ("closed", 3.0, None)])],
        ),
        several(
            "given up by FIN",
            events(vec![
                c(0.0, SYN, 100, 0, 0),
                s(10.0, SYN | ACK, 500, 101, 0),
                c(50.0, FIN | ACK, 101, 500, 0),
            ]),
            vec![passed(&[("syn_sent", 0.0, None), ("syn_received", 10.0, None), ("closed", 50.0, None)])],
        ),
        several(
            "ports used again",
            opened(vec![
                c(20.0, DATA, 101, 501, 10),
                c(500.0, SYN, 90_000, 0, 0),
                s(510.0, SYN | ACK, 70_000, 90_001, 0),
                c(513.0, ACK, 90_001, 70_001, 0),
            ]),
            vec![
                opened_passed(&[]),
                passed(&[("syn_sent", 0.0, None), ("syn_received", 10.0, None), ("established", 13.0, None)]),
            ],
        ),
    ]);
}

/// Segments, and an ICMP error among them.
fn events_with_error(segments: Vec<Segment>, error: Event) -> Vec<Event> {
    let mut all = events(segments);
    all.push(error);
    all
}
