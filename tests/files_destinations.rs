//! Connections by destination, from files: exact figures of one, and sums that
//! other lines of the same run tell on another way.

#[allow(dead_code)]
mod files_run;

use files_run::*;
use serde_json::{Value, json};

fn destinations(arguments: &[&str]) -> Vec<Value> {
    let (_, lines) = lines_of(&[&["--by", "destination"], arguments].concat());
    of_type(&lines, "destination").cloned().collect()
}

/// One connection that serves four requests, closed by the client (tshark: `http.time`, flags).
#[test]
fn a_connection_with_four_requests() {
    let path = fixture("http_v4.pcap");
    for (network, direction, [closed_out, closed_in]) in
        [("198.18.0.1/32", "outgoing", [1.0, 0.0]), ("198.18.0.2/32", "incoming", [0.0, 1.0])]
    {
        let found = destinations(&["-r", &path, "-F", network]);
        let [line] = found.as_slice() else { panic!("one line: {found:?}") };
        for (key, expected) in [
            ("destination", json!("198.18.0.2")),
            ("direction", json!(direction)),
            ("attempts", json!(1)),
            ("synack_ratio", json!(1.0)),
            ("established_ratio", json!(1.0)),
            ("rst_ratio", json!(0.0)),
            ("fin_out_ratio", json!(closed_out)),
            ("fin_in_ratio", json!(closed_in)),
            ("exchanges_per_connection", json!({"p95": 4})),
            ("requests", json!(4)),
            ("exchanges", json!(4)),
            ("connections_with_loss", json!(0)),
            ("ended", json!(1)),
        ] {
            assert_eq!(line[key], expected, "{key} in {line}");
        }
    }
}

#[test]
fn it_is_there_where_it_was_asked_for() {
    let path = fixture("http_v4.pcap");
    let (_, lines) = lines_of(&["-r", &path]);
    assert_eq!(of_type(&lines, "destination").count(), 0);
    assert!(destinations(&["-r", &path, "--top", "0"]).is_empty());
    let text = run(&["-r", &path, "--by", "destination"]).output;
    assert!(text.contains("QoS") && text.contains("\nAll "), "{text}");
    assert!(!run(&["-r", &path]).output.contains("QoS"));
}

#[test]
fn no_other_servers_are_shown() {
    let paths = ["http_v4.pcap", "http_v6.pcap", "keep_alive.pcap"].map(fixture);
    let files: Vec<&str> = paths.iter().flat_map(|path| ["-r", path.as_str()]).collect();
    let with = |allow: &[&str]| destinations(&[&files[..], &["--interval", "3600"], allow].concat());
    let exchanges = |found: &[Value]| found.iter().map(|line| number(&line["exchanges"])).sum::<u64>();
    let all = with(&[]);
    let four: Vec<Value> = all.iter().filter(|line| line["destination"] == "198.18.0.2").cloned().collect();
    assert!(!four.is_empty() && exchanges(&four) < exchanges(&all), "{all:?}");
    let shown = with(&["--allow", "198.18.0.2"]);
    assert_eq!(exchanges(&shown), exchanges(&four));
    assert!(shown.iter().all(|line| line["destination"] == "198.18.0.2"), "{shown:?}");
    assert!(with(&["--allow", "198.18.0.2:1"]).is_empty());
    let text = run(&[&files[..], &["--by", "destination", "--allow", "198.18.0.2"]].concat()).output;
    assert!(text.contains("198.18.0.2") && !text.contains("2001:db8::2"), "{text}");
}

#[test]
fn the_table_is_the_same_with_any_number_of_workers() {
    let mut tables = 0;
    for fixture in fixtures() {
        let with = |workers| run(&["-r", &fixture.path, "--by", "destination", "--workers", workers]).output;
        let one = with("1");
        tables += u32::from(one.contains("QoS"));
        for workers in ["2", "4"] {
            assert_eq!(with(workers), one, "{}", fixture.name);
        }
    }
    assert!(tables > 20, "only {tables} fixtures have connections");
}

/// `connection` lines and `stop` tell the same sums, whatever the number of workers and
/// the interval.
#[test]
fn sums_are_those_of_connections_and_handshakes() {
    let mut attempts_seen = 0;
    for fixture in fixtures() {
        for (interval, workers) in [("3600", "1"), ("0.1", "1"), ("0.1", "2"), ("1", "4")] {
            let arguments = ["-r", &fixture.path, "--interval", interval, "--workers", workers];
            let (_, lines) =
                lines_of(&[&arguments[..], &["--by", "destination", "--top", "100000"]].concat());
            let told = |key: &str| of_type(&lines, "destination").map(|line| number(&line[key])).sum::<u64>();
            let counted = |pointer: &str| {
                let found = of_type(&lines, "connection").filter_map(|line| line.pointer(pointer));
                found.filter_map(Value::as_u64).sum::<u64>()
            };
            let what = format!("{} by {interval} s, {workers} workers", fixture.name);
            let (exchanges, unanswered) = (counted("/exchanges/count"), counted("/exchanges/unanswered"));
            assert_eq!(told("exchanges"), exchanges, "exchanges of {what}");
            assert_eq!(told("requests"), exchanges + unanswered, "requests of {what}");
            let lossy = of_type(&lines, "connection").filter(|line| {
                let missing = |way: &str| line[way]["missing_bytes"].as_u64().unwrap_or(0);
                missing("c2s") + missing("s2c") > 0
            });
            assert_eq!(told("connections_with_loss"), lossy.count() as u64, "losses of {what}");
            let ended = of_type(&lines, "connection").filter(|line| {
                line["protocol"] == "tcp" && line["role_source"] == "syn" && line["end_reason"] != "open"
            });
            assert_eq!(told("ended"), ended.count() as u64, "ends of {what}");
            let decided = of_type(&lines, "connection")
                .filter(|line| line["role_source"] == "syn" && line["handshake"]["outcome"].is_string());
            assert_eq!(told("attempts"), decided.count() as u64, "attempts of {what}");
            attempts_seen += told("attempts");
        }
    }
    assert!(attempts_seen > 100, "only {attempts_seen}");
}
