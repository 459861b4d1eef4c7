//! Handshakes in both outputs, from hand-made snapshots.
//!
//! `FULLCOUNT_WRITE=1 cargo test --test output_handshakes` writes the goldens anew.

#[path = "common/golden.rs"]
mod golden;
#[path = "common/schema.rs"]
mod schema;
#[allow(dead_code)]
#[path = "common/snapshots.rs"]
mod snapshots;

use fullcount::aggregate::snapshot::Snapshot;
use fullcount::aggregate::watch::Handshakes;
use fullcount::output::handshakes::SessionLines;
use fullcount::output::json::JsonLines;
use fullcount::output::names::Names;
use fullcount::output::text::Text;
use fullcount::output::{Output, StopReason};
use golden::same_as_file;
use schema::validate_lines;
use serde_json::{Value, json};
use snapshots::*;
use std::io;

fn snapshot(handshakes: Handshakes) -> Snapshot {
    Snapshot { handshakes, ..empty(NINE + S) }
}

fn lines(handshakes: Handshakes) -> Vec<Value> {
    let mut text = Vec::new();
    let mut output = JsonLines::new(&mut text, style());
    let (context, snapshot) = (context(), snapshot(handshakes));
    output.start(&start(), &context).unwrap();
    output.snapshot(&snapshot, &Vec::new(), &context).unwrap();
    output.stop(&StopReason::Signal, &snapshot, &Vec::new(), &context).unwrap();
    validate_lines(&String::from_utf8(text).unwrap())
}

fn of_type<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == name).collect()
}

fn told(handshakes: &Handshakes) -> String {
    let mut text = Vec::new();
    let mut output = SessionLines::new(&mut text);
    output.tell(handshakes, &Names::default()).unwrap();
    output.tell(handshakes, &Names::default()).unwrap();
    String::from_utf8(text).unwrap()
}

fn summary(handshakes: Handshakes) -> String {
    let mut text = Vec::new();
    Text::new(&mut text, style())
        .stop(&StopReason::Signal, &snapshot(handshakes), &Vec::new(), &context())
        .unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn a_watch_has_a_line_where_it_saw_any() {
    let lines = lines(handshakes());
    let sums = json!({
        "watch": "RX",
        "success": 2,
        "sessions_with_syn_retransmitted": 1,
        "sessions_with_synack_retransmitted": 0,
        "syn_retransmitted_segments": 3,
        "synack_retransmitted_segments": 5,
        "failure": {"timeout": 2, "reject": 1, "unreach": 1, "aborted": 2},
        "indeterminate": 1,
        "evicted": 4,
        "syn_unseen": 1,
        "latency_seconds": {"p50": 0.0013, "p95": 0.0013, "p99": 0.0013, "max": 0.0013},
        "half_open": 3,
    });
    let [line] = of_type(&lines, "handshake")[..] else { panic!("one line: {lines:?}") };
    let mut line = line.as_object().unwrap().clone();
    for key in ["type", "time", "seq", "host"] {
        assert!(line.remove(key).is_some(), "{key}");
    }
    assert_eq!(Value::from(line), sums);
    let stop = &lines.last().unwrap()["handshakes"];
    assert_eq!(stop[0], sums);
    assert_eq!(stop[1]["watch"], "http-rx");
    assert_eq!(stop[1]["failure"]["reject"], 1);
    assert_eq!(stop[1]["latency_seconds"]["p50"], Value::Null);
    assert_eq!(stop[1].get("syn_unseen"), None);
    let order: Vec<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    let mut expected = vec!["start", "interface", "interface", "handshake"];
    expected.extend(["session"; 10]);
    expected.push("stop");
    assert_eq!(order, expected);
}

#[test]
fn a_session_says_who_when_and_how() {
    let lines = lines(handshakes());
    let sessions = of_type(&lines, "session");
    let mut first = sessions[0].as_object().unwrap().clone();
    for key in ["type", "time", "seq", "host"] {
        assert!(first.remove(key).is_some(), "{key}");
    }
    let expected = json!({
        "watch": ["RX"],
        "client": {"ip": "192.0.2.7", "port": 40112},
        "server": {"ip": "198.51.100.2", "port": 443},
        "start": "2026-11-21T09:00:00.100000Z",
        "outcome": "success",
        "seconds": 0.0013,
        "syn_retransmitted": 1,
        "synack_retransmitted": 0,
        "syn_to_synack_seconds": null,
        "synack_to_ack_seconds": 0.0002,
        "interfaces": {"c2s": "eth0", "s2c": "eth1"},
    });
    assert_eq!(Value::from(first), expected);
    assert_eq!(sessions[1]["watch"], json!(["RX", "http-rx"]));
    assert_eq!(sessions[2]["icmp"], json!({"type": 3, "code": 1}));
    let silent = sessions[3];
    assert_eq!((&silent["outcome"], &silent["reason"]), (&json!("timeout"), &json!("no_synack")));
    assert_eq!(silent["seconds"], 63.0);
    assert_eq!(silent["interfaces"], json!({"c2s": "eth0", "s2c": null}));
    assert_eq!(silent["syn_to_synack_seconds"], Value::Null);
    assert_eq!(sessions[4]["reason"], "no_ack");
    let outcomes: Vec<&str> = sessions.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    let expected = [
        "success",
        "reject",
        "unreach",
        "timeout",
        "timeout",
        "aborted",
        "aborted",
        "indeterminate",
        "success",
        "success",
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(sessions[8]["client"]["ip"], "2001:db8::1:2:3:4");
    assert_eq!((&sessions[8]["ack_with_data"], sessions[8].get("syn_unseen")), (&json!(true), None));
    assert_eq!((&sessions[9]["syn_unseen"], &sessions[9]["watch"]), (&json!(true), &json!([])));
}

#[test]
fn no_handshake_no_word() {
    let lines = lines(Handshakes::default());
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[3]["handshakes"], json!([]));
    for absent in ["handshakes_elsewhere", "handshakes_unplaced"] {
        assert_eq!(lines[3].get(absent), None, "{absent}");
    }
    assert_eq!(told(&Handshakes::default()), "");
    let mut silent = handshakes();
    for watch in &mut silent.watches {
        watch.total = Default::default();
        watch.half_open = 0;
    }
    assert!(!summary(silent).contains("Handshakes"));
}

#[test]
fn sessions_stand_as_tcpeek_prints_them() {
    let text = told(&handshakes());
    same_as_file("sessions.txt", &text);
    assert_eq!(text.matches("RESULTS").count(), 1, "the heading stands once");
    // As `%4d.%03d | %s.%03d | %15s:%-5u %15s:%-5u | %s | %7u  %7u ` of tcpeek gives it.
    let line = "   0.001 | 26-11-21 09:00:00.100 |       192.0.2.7:40112    198.51.100.2:443   |      success      |       1        0";
    assert_eq!(text.lines().nth(2), Some(line));
    assert_eq!(text.lines().nth(1).map(str::len), Some(118));
}

#[test]
fn the_summary_has_tcpeeks_counters() {
    let mut handshakes = handshakes();
    (handshakes.elsewhere, handshakes.unplaced) = (1, 1204);
    let text = summary(handshakes.clone());
    let (_, text) = text.split_once("\n\nHandshakes").expect("a table");
    same_as_file("handshakes.txt", &format!("Handshakes{text}"));
    handshakes.watches[0].name = "a\u{1b}[2J".into();
    assert!(summary(handshakes).contains("a\u{fffd}[2J"));
}

#[test]
fn a_closed_standard_error_is_told_to_the_caller() {
    struct Closed;
    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    assert!(SessionLines::new(Closed).tell(&handshakes(), &Names::default()).is_err());
}
