//! JSON lines from hand-made snapshots: keys, order, nulls, and the schema.
//!
//! `FULLCOUNT_WRITE=1 cargo test --test output_json` writes the schema and the
//! golden file anew; look at the difference before you commit it.

#[path = "common/golden.rs"]
mod golden;
#[path = "common/schema.rs"]
mod schema;
#[allow(dead_code)]
#[path = "common/snapshots.rs"]
mod snapshots;

use fullcount::aggregate::snapshot::{RowName, Snapshot};
use fullcount::capture::LinkType;
use fullcount::decode::protocol;
use fullcount::flow::entry::{mark, state};
use fullcount::flow::record::EndReason;
use fullcount::meter::totals::LaneTotals;
use fullcount::output::json::{JsonLines, lines};
use fullcount::output::{Context, Notice, Output, Start, StopReason};
use golden::same_as_file;
use schema::validate_lines;
use serde_json::{Value, json};
use snapshots::*;
use std::io::{self, Write};

fn run(start: &Start, snapshots: &[(Snapshot, fullcount::output::Coverages)], context: &Context) -> String {
    let mut text = Vec::new();
    let mut output = JsonLines::new(&mut text, style());
    output.start(start, context).unwrap();
    for (snapshot, coverage) in snapshots {
        output.snapshot(snapshot, coverage, context).unwrap();
    }
    let (last, coverage) = snapshots.last().unwrap();
    output.stop(&StopReason::Signal, last, coverage, context).unwrap();
    String::from_utf8(text).unwrap()
}

fn one(snapshot: Snapshot, context: &Context) -> Vec<Value> {
    validate_lines(&run(&start(), &[(snapshot, Vec::new())], context))
}

#[test]
fn a_run_reads_as_agreed() {
    let context = context();
    let mut text = Vec::new();
    let mut output = JsonLines::new(&mut text, style());
    output.start(&start(), &context).unwrap();
    let (mut snapshot, coverage) = busy();
    snapshot.accounts = vec![account(), spread_account()];
    output.snapshot(&snapshot, &coverage, &context).unwrap();
    let notice = Notice {
        time_ns: NINE + S,
        event: "interface_gone",
        interface: Some("eth1".to_owned()),
        count: None,
        message: "eth1 went down.".to_owned(),
    };
    output.notice(&notice, &context).unwrap();
    output.stop(&StopReason::Signal, &snapshot, &coverage, &context).unwrap();
    let text = String::from_utf8(text).unwrap();
    same_as_file("run.jsonl", &text);
    let types: Vec<Value> = validate_lines(&text).iter().map(|line| line["type"].clone()).collect();
    assert_eq!(types, ["start", "interface", "interface", "connection", "connection", "notice", "stop"]);
}

#[test]
fn destinations_have_lines() {
    let mut snapshot = empty(NINE + S);
    snapshot.destinations = Some(destinations());
    let text = run(&start(), &[(snapshot, Vec::new())], &context());
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(r#""type":"destination"#)).collect();
    same_as_file("destinations.jsonl", &(lines.join("\n") + "\n"));
    let lines: Vec<Value> = validate_lines(&text);
    let found: Vec<&Value> = lines.iter().filter(|line| line["type"] == "destination").collect();
    assert_eq!(found.len(), 3);
    assert_eq!(lines.iter().filter(|line| line["type"] == "destinations").count(), 1);
    assert!(lines.last().unwrap()["destinations"]["attempts"].is_u64());
    // What could not be known is null; a part of nothing is.
    assert_eq!(found[0]["connect_seconds"]["p95"], Value::Null);
    assert_eq!((&found[1]["rst_ratio"], &found[1]["requests"]), (&json!(0.033333), &json!(120)));
    assert_eq!((&found[2]["direction"], &found[2]["rst_ratio"]), (&Value::Null, &Value::Null));
}

#[test]
fn the_shipped_schema_is_the_generated_one() {
    let generator = schemars::generate::SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<lines::Line<'static>>();
    schema.insert("title".to_owned(), json!("fullcount JSON lines"));
    let mut text = serde_json::to_string_pretty(&schema).unwrap();
    text.push('\n');
    same_as_file("/schema/fullcount.schema.json", &text);
}

#[test]
fn the_schema_refuses_what_is_wrong() {
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(schema::SCHEMA).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let (snapshot, coverage) = busy();
    let good = validate_lines(&run(&start(), &[(snapshot, coverage)], &context()))[1].clone();
    for (pointer, value) in [
        ("/seq", json!(-1)),
        ("/time", json!("yesterday")),
        ("/type", json!("interfaces")),
        ("/rx/bits_per_second", json!("944M")),
        ("/capture/kernel_drops", json!(0.5)),
        ("/top/0/c2s", json!(null)),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert!(!validator.is_valid(&bad), "{pointer} should be refused");
    }
    let mut more = good;
    more["later"] = json!("a key of a later version");
    assert!(validator.is_valid(&more), "adding keys is no break");
}

#[test]
fn every_key_of_the_schema_says_what_it_means() {
    fn visit(path: &str, value: &Value, silent: &mut Vec<String>) {
        let Value::Object(object) = value else {
            if let Value::Array(all) = value {
                all.iter().enumerate().for_each(|(at, one)| visit(&format!("{path}/{at}"), one, silent));
            }
            return;
        };
        for (key, one) in object {
            if key == "properties" {
                for (name, property) in one.as_object().unwrap() {
                    let named = property.get("description").is_some();
                    if !named && name != "type" {
                        silent.push(format!("{path}/{name}"));
                    }
                }
            }
            visit(&format!("{path}/{key}"), one, silent);
        }
    }
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(schema::SCHEMA).unwrap()).unwrap();
    let mut silent = Vec::new();
    visit("", &schema, &mut silent);
    assert!(silent.is_empty(), "no description: {silent:?}");
}

#[test]
fn every_line_begins_alike() {
    let (mut snapshot, coverage) = busy();
    snapshot.accounts = vec![account()];
    for (seq, line) in run(&start(), &[(snapshot, coverage)], &context()).lines().enumerate() {
        let kind = ["start", "interface", "interface", "connection", "stop"][seq];
        let second = if seq == 0 { "00" } else { "01" };
        let head = format!(
            r#"{{"type":"{kind}","time":"2026-11-21T09:00:{second}.000000Z","seq":{seq},"host":"web7","#
        );
        assert!(line.starts_with(&head), "{line}");
    }
}

#[test]
fn a_row_has_the_keys_of_its_grouping() {
    let both = [count(3, 300), count(1, 100)];
    let mut snapshot = empty(NINE + S);
    snapshot.link_rows = vec![
        vec![
            group_row(RowName::Pair(v4(1), v4(2)), both, both),
            group_row(RowName::Host(v4(1)), both, both),
            group_row(RowName::Destination(v4(2)), both, both),
            group_row(RowName::Port(protocol::TCP, 443), both, both),
            group_row(RowName::Port(protocol::ICMP, 0), both, both),
            group_row(RowName::Interface(1), both, both),
        ],
        Vec::new(),
    ];
    let to = json!({"packets": 3, "bytes": 300, "bits_per_second": 2400});
    let from = json!({"packets": 1, "bytes": 100, "bits_per_second": 800});
    let expected = json!([
        {"a": "192.0.2.1", "b": "192.0.2.2", "a_to_b": to, "b_to_a": from},
        {"host": "192.0.2.1", "to": to, "from": from},
        {"destination": "192.0.2.2", "to": to, "from": from},
        {"port": 443, "protocol": "tcp", "to": to, "from": from},
        {"protocol": "icmp", "to": to, "from": from},
        {"interface": "eth1", "to": to, "from": from},
    ]);
    assert_eq!(one(snapshot, &context())[1]["top"], expected);
}

#[test]
fn files_tell_what_they_cannot_know() {
    let mut snapshot = empty(NINE + S);
    snapshot.interval_ns = 0;
    snapshot.time_ns = NINE;
    snapshot.end_ns = NINE;
    let mut rx = lane_totals(1, 60);
    rx.estimated = 1;
    snapshot.interfaces = vec![interface(0, rx, LaneTotals::default())];
    let told = Start { time_ns: 0, ..Start::default() };
    let lines = validate_lines(&run(&told, &[(snapshot, Vec::new())], &file_context()));
    assert_eq!(lines[0]["time"], Value::Null);
    for absent in ["filter", "snaplen"] {
        assert_eq!(lines[0].get(absent), None);
    }
    let interface = &lines[1];
    assert_eq!(interface["direction"], "unknown");
    assert_eq!(interface["interval_seconds"], 0.0);
    for null in ["/rx/bits_per_second", "/rx/line_utilisation_ratio"] {
        assert_eq!(interface.pointer(null), Some(&Value::Null), "{null}");
    }
    for none in ["/capture/kernel_drops", "/capture/freezes"] {
        assert_eq!(interface.pointer(none), Some(&Value::from(0)), "{none}");
    }
    assert_eq!(interface.pointer("/capture/coverage_ratio"), Some(&Value::Null));
    assert_eq!(interface["capture"]["frames"], 1);
    assert_eq!(interface["capture"]["estimated_packets"], 1);
    assert_eq!(interface.get("bond"), None);
}

#[test]
fn a_whole_file_has_its_rates_over_its_length() {
    let mut snapshot = empty(NINE + 4 * S);
    snapshot.interval_ns = 0;
    snapshot.interfaces = vec![interface(0, lane_totals(10, 1000), LaneTotals::default())];
    let told = Start { time_ns: 0, ..Start::default() };
    let lines = validate_lines(&run(&told, &[(snapshot, Vec::new())], &file_context()));
    assert_eq!(lines[1]["rx"]["bits_per_second"], 2000);
    assert_eq!(lines[2]["interfaces"][0]["rx"]["bits_per_second"], 2000);
    assert_eq!(lines[2]["seconds"], 4.0);
}

#[test]
fn the_largest_figures_are_integers_still() {
    let huge = u64::MAX / 64;
    let mut totals = lane_totals(1, 100);
    totals.count = count(huge, u64::MAX);
    totals.line_bytes = u64::MAX;
    let mut snapshot = empty(u64::MAX);
    snapshot.interfaces = vec![interface(0, totals, totals)];
    let mut account = account();
    (account.entry.start, account.entry.last) = (u64::MAX, 0);
    account.surplus.packets = [u64::MAX; 2];
    snapshot.accounts = vec![account];
    let lines = one(snapshot, &context());
    assert_eq!(lines[1]["time"], "2554-07-21T23:34:33.709551615Z");
    assert_eq!(lines[1]["rx"]["bytes"], u64::MAX);
    assert_eq!(lines[3]["duration_seconds"], 0.0);
    assert_eq!(lines[3]["c2s"]["frames"], 0);
    let mut now = empty(NINE + 1);
    now.interval_ns = 1;
    now.interfaces = vec![interface(0, totals, totals)];
    assert_eq!(
        one(now, &context())[1]["rx"]["bits_per_second"],
        u64::MAX,
        "more than a u64 stays at its end"
    );
}

#[test]
fn an_account_names_who_sent_what_where() {
    let mut snapshot = empty(NINE + S);
    let mut icmp = account();
    icmp.entry.key = key_v4(protocol::ICMP, ([192, 0, 2, 1], 0), ([192, 0, 2, 2], 0)).0;
    icmp.entry.marks = mark::MIDSTREAM | mark::ESTIMATED | mark::FRAGMENTED;
    icmp.entry.state = state::CLIENT_SECOND;
    icmp.entry.lanes = [u8::MAX; 2];
    icmp.reason = EndReason::Open;
    snapshot.accounts = vec![spread_account(), icmp];
    let lines = one(snapshot, &context());
    let tcp = &lines[3];
    assert_eq!(tcp["client"], json!({"ip": "192.0.2.7", "port": 40112}));
    assert_eq!(tcp["c2s"]["bytes"], 3104);
    assert_eq!(tcp["c2s"]["interfaces"], json!({"eth0": 3104}));
    assert_eq!(tcp["c2s"].get("frames"), None);
    assert_eq!(tcp["s2c"]["interfaces"], json!({"eth0": 51_422, "eth1": 40_000}));
    assert_eq!((&tcp["s2c"]["frames"], &tcp["s2c"]["frame_bytes"]), (&json!(10), &json!(87_462)));
    assert_eq!(tcp["start"], "2026-11-21T09:00:00.100000Z");
    assert_eq!(tcp["end"], "2026-11-21T09:00:01.304000001Z");
    assert_eq!(tcp["duration_seconds"], 1.204000001);
    assert_eq!((&tcp["state"], &tcp["end_reason"]), (&json!("established"), &json!("fin")));
    for absent in ["vlan", "midstream", "estimated", "fragmented"] {
        assert_eq!(tcp.get(absent), None, "{absent}");
    }
    let icmp = &lines[4];
    assert_eq!(icmp["client"], json!({"ip": "192.0.2.2"}));
    assert_eq!(icmp["protocol"], "icmp");
    assert_eq!(icmp["c2s"]["interfaces"], json!({}));
    for (key, value) in [("midstream", true), ("estimated", true), ("fragmented", true)] {
        assert_eq!(icmp[key], value);
    }
    for absent in ["state", "community_id"] {
        assert_eq!(icmp.get(absent), None, "{absent}");
    }
    assert_eq!(icmp["c2s"].get("payload_bytes"), None);
}

#[test]
fn what_is_missing_is_told() {
    let (mut snapshot, coverage) = busy();
    snapshot.late_workers = vec![1];
    snapshot.late_packets = 3;
    snapshot.table.unreported = 2;
    snapshot.table.unreported_count = count(7, 700);
    let lines = validate_lines(&run(&start(), &[(snapshot, coverage)], &context()));
    assert_eq!(lines[1]["capture"]["late_workers"], json!([1]));
    assert_eq!(lines[1]["flows"].get("unreported"), None, "none in this interval");
    let stop = &lines[3];
    assert_eq!(stop["late_packets"], 3);
    assert_eq!(stop["interfaces"][0]["flows"]["unreported"], json!({"flows": 2, "packets": 7, "bytes": 700}));
    assert_eq!(stop["interfaces"][1]["capture"]["kernel_drops"], 1204);
    assert_eq!(lines[2]["capture"]["kernel_drops"], 4);
    assert_eq!(lines[2]["capture"]["coverage_ratio"], 0.997);
}

#[test]
fn a_lost_line_has_its_number() {
    let mut context = context();
    let mut text = Vec::new();
    let mut output = JsonLines::new(&mut text, style());
    output.start(&start(), &context).unwrap();
    context.lines_lost = 5;
    output.snapshot(&empty(NINE + S), &Vec::new(), &context).unwrap();
    output.stop(&StopReason::Signal, &empty(NINE + S), &Vec::new(), &context).unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 6, 7, 8]);
    assert_eq!(lines[3]["json_lines_lost"], 5);
}

#[test]
fn a_live_interval_without_length_has_no_rate() {
    let mut snapshot = empty(NINE + S);
    snapshot.interval_ns = 0;
    snapshot.interfaces = vec![interface(0, lane_totals(1, 60), LaneTotals::default())];
    let lines = one(snapshot, &context());
    assert_eq!(lines[1]["interval_seconds"], 0.0);
    assert_eq!(lines[1]["rx"]["bits_per_second"], Value::Null);
    assert_eq!(lines[3]["interfaces"][0]["rx"]["bits_per_second"], 480);
}

#[test]
fn a_protocol_without_a_name_is_its_number() {
    let mut odd = account();
    odd.entry.key = key_v4(253, ([192, 0, 2, 1], 0), ([192, 0, 2, 2], 0)).0;
    let mut snapshot = empty(NINE + S);
    snapshot.accounts = vec![odd];
    let mut context = context();
    context.links[0].link_type = Some(LinkType::Other(147));
    let lines = one(snapshot, &context);
    assert_eq!(lines[0]["interfaces"][0]["link_type"], "linktype_147");
    assert_eq!(lines[3]["protocol"], "253");
}

#[test]
fn interfaces_that_a_file_names_alike_stand_once_in_an_object() {
    let mut context = context();
    context.links[1].name = "eth0".to_owned();
    let mut snapshot = empty(NINE + S);
    snapshot.accounts = vec![spread_account()];
    assert_eq!(one(snapshot, &context)[3]["s2c"]["interfaces"], json!({"eth0": 91_422}));
}

#[test]
fn no_name_can_end_a_line_or_reach_a_terminal() {
    let mut context = context();
    context.links[0].name = "eth0\n{\"type\":\"stop\"}\u{1b}[2J\"".to_owned();
    let text = run(&start(), &[(empty(NINE + S), Vec::new())], &context);
    assert_eq!(validate_lines(&text).len(), 4);
    assert!(!text.contains('\u{1b}'));
}

/// Takes a number of writes, then is closed.
struct Pipe {
    writes: Vec<Vec<u8>>,
    open_for: usize,
}

impl Write for Pipe {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.writes.len() == self.open_for {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.writes.push(piece.to_vec());
        Ok(piece.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_pipe_is_told_to_the_caller() {
    let context = context();
    let mut output = JsonLines::new(Pipe { writes: Vec::new(), open_for: 1 }, style());
    output.start(&start(), &context).unwrap();
    let error = output.snapshot(&empty(NINE + S), &Vec::new(), &context).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn every_write_ends_with_a_line_and_memory_is_bounded() {
    let context = context();
    let mut output = JsonLines::new(Pipe { writes: Vec::new(), open_for: usize::MAX }, style());
    output.start(&start(), &context).unwrap();
    let mut snapshot = empty(NINE + S);
    snapshot.accounts = vec![account(); 2000];
    output.snapshot(&snapshot, &Vec::new(), &context).unwrap();
    let writes = &output.writer_mut().writes;
    assert!(writes.len() > 10, "2,000 lines of 700 bytes go out in pieces of 64 KiB");
    for piece in writes {
        assert_eq!(piece.last(), Some(&b'\n'));
        assert!(piece.len() < 128 * 1024);
    }
    let all = writes.concat();
    assert_eq!(validate_lines(std::str::from_utf8(&all).unwrap()).len(), 1 + 2 + 2000);
}

#[test]
fn two_runs_print_the_same_bytes() {
    let (mut snapshot, coverage) = busy();
    snapshot.accounts = vec![account(), spread_account()];
    let all = [(snapshot, coverage)];
    assert_eq!(run(&start(), &all, &context()), run(&start(), &all, &context()));
}
