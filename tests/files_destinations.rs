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

/// Rows, those of the report too, are of what is allowed. Truth: tshark's conversations of
/// one server at ports 80 and 83.
#[test]
fn rows_are_of_the_allowed_port_alone() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.txt");
    let files = ["http_v4.pcap", "reset.pcap"].map(fixture);
    let [a, b] = &files;
    let paths = ["-r", a, "-r", b, "--by", "destination", "--interval", "3600"];
    for (allowed, packets) in [
        ("198.18.0.2", 38 + 6),
        ("198.18.0.2:80", 38),
        ("198.18.0.2:83", 6),
        ("198.18.0.2:9999", 0),
        ("198.18.0.3", 0),
    ] {
        let (_, lines) = lines_of(&[&paths[..], &["--allow", allowed]].concat());
        let rows: Vec<&Value> =
            of_type(&lines, "interface").filter_map(|line| line["top"].as_array()).flatten().collect();
        let told = |row: &&Value| number(&row["to"]["packets"]) + number(&row["from"]["packets"]);
        assert_eq!(rows.iter().map(told).sum::<u64>(), packets, "{allowed}: {rows:?}");
        assert!(rows.iter().all(|row| row["destination"] == "198.18.0.2"), "{allowed}: {rows:?}");
        let written = ["--allow", allowed, "--report", report.to_str().unwrap()];
        let text = run(&[&paths[..], &written].concat()).output;
        let report = std::fs::read_to_string(&report).unwrap();
        for text in [text, report] {
            assert_eq!(text.contains("198.18.0.2"), packets > 0, "{allowed}: {text}");
        }
    }
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

/// All together, in each interval and since the start: sums of the lines of each, whatever `--top`
/// shows, and percentiles that no sum of them tells.
#[test]
fn all_together_are_in_the_lines_too() {
    let mut several = 0;
    for fixture in fixtures() {
        let run = |interval, top| {
            let arguments =
                ["-r", &fixture.path, "--by", "destination", "--interval", interval, "--top", top];
            lines_of(&arguments).1
        };
        let what = &fixture.name;
        let lines = run("0.1", "100000");
        let keys = ["attempts", "requests", "exchanges", "connections_with_loss", "ended"];
        for all in of_type(&lines, "destinations") {
            let each: Vec<&Value> =
                of_type(&lines, "destination").filter(|line| line["time"] == all["time"]).collect();
            assert_eq!(number(&all["destinations"]), each.len() as u64, "{what}");
            for key in keys {
                let sum: u64 = each.iter().map(|line| number(&line[key])).sum();
                assert_eq!(number(&all[key]), sum, "{key} of {what}");
            }
            let most =
                |key: &str| each.iter().filter_map(|line| line[key]["max"].as_f64()).fold(0.0, f64::max);
            for key in ["connect_seconds", "first_byte_seconds", "last_byte_seconds"] {
                assert_eq!(all[key]["max"].as_f64().unwrap_or(0.0), most(key), "{key} of {what}");
            }
        }
        let seen = of_type(&lines, "destination").next().is_some();
        assert_eq!(of_type(&lines, "destinations").next().is_some(), seen, "{what}");
        let of_run = &stop(&lines)["destinations"];
        assert_eq!(of_run.is_object(), seen, "{what}");
        if !seen {
            continue;
        }
        for key in keys {
            let sum: u64 = of_type(&lines, "destination").map(|line| number(&line[key])).sum();
            assert_eq!(number(&of_run[key]), sum, "{key} of {what}");
        }
        // One interval is the run, where there is one (but flows end by the clock of intervals); a shorter list has the same.
        let once = run("3600", "1");
        let [all] = of_type(&once, "destinations").collect::<Vec<_>>()[..] else { continue };
        several += u32::from(number(&all["destinations"]) > 1);
        for key in [
            "destinations",
            "attempts",
            "exchanges",
            "connect_seconds",
            "first_byte_seconds",
            "last_byte_seconds",
        ] {
            assert_eq!(all[key], stop(&once)["destinations"][key], "{key} of {what}");
            assert_eq!(all[key], of_run[key], "{key} of {what}");
        }
    }
    assert!(several > 5, "only {several} fixtures have more than one destination");
}

/// Cells of a line of trtop's table behind address and direction; a duration is one cell.
fn cells(line: &str) -> Vec<String> {
    let words = line.split("  ").map(str::trim).filter(|word| !word.is_empty());
    words.map(|word| word.replace(',', "")).collect()
}

/// `part` of `whole` as the table has it: cut off behind one decimal.
fn percent(part: usize, whole: usize) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{}.{}%", part * 1000 / whole / 10, part * 1000 / whole % 10)
}

/// The last line has all destinations together, those below the fold too: against
/// `connection` lines, which know nothing of destinations.
#[test]
fn the_line_of_all_is_that_of_all_connections() {
    let mut seen = 0;
    for fixture in fixtures() {
        // Short intervals: the clock of lines goes on to the end of the last one, and flows with it.
        let (_, lines) = lines_of(&["-r", &fixture.path, "--interval", "0.1"]);
        let tcp: Vec<&Value> =
            of_type(&lines, "connection").filter(|line| line["protocol"] == "tcp").collect();
        let begun: Vec<&&Value> = tcp.iter().filter(|line| line["role_source"] == "syn").collect();
        let decided: Vec<_> = begun.iter().filter(|line| line["handshake"]["outcome"].is_string()).collect();
        let ended: Vec<_> = begun.iter().filter(|line| line["end_reason"] != "open").collect();
        let sum = |pointer: &str| tcp.iter().filter_map(|line| line.pointer(pointer)?.as_u64()).sum::<u64>();
        let missing = |way: &str, line: &Value| line[way]["missing_bytes"].as_u64().unwrap_or(0);
        let lossy = tcp.iter().filter(|line| missing("c2s", line) + missing("s2c", line) > 0).count();
        let answered = decided.iter().filter(|line| number(&line["s2c"]["syn"]) > 0).count();
        let established = decided.iter().filter(|line| line["handshake"]["outcome"] == "success").count();
        let reset = ended.iter().filter(|line| line["reset_by"].is_string()).count();
        let exchanges = sum("/exchanges/count");
        let expected = [
            (0, "SYN", decided.len().to_string()),
            (2, "S/A", percent(answered, decided.len())),
            (3, "Est", percent(established, decided.len())),
            (4, "RST", percent(reset, ended.len())),
            (10, "Out", (exchanges + sum("/exchanges/unanswered")).to_string()),
            (11, "In", exchanges.to_string()),
            (13, "Err", lossy.to_string()),
        ];
        for top in ["1", "100000"] {
            let text = run(&["-r", &fixture.path, "--by", "destination", "--top", top]).output;
            let Some(line) = text.lines().find_map(|line| line.strip_prefix("All  ")) else {
                assert_eq!((decided.len(), exchanges), (0, 0), "{}\n{text}", fixture.name);
                continue;
            };
            let found = cells(line);
            for (place, heading, figure) in &expected {
                assert_eq!(&found[*place], figure, "{heading} of {} with --top {top}\n{text}", fixture.name);
            }
            seen += decided.len();
        }
    }
    assert!(seen >= 100, "only {seen} attempts");
}
