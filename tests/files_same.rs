//! Same input, same answer: what a file yields does not depend on the number of
//! workers, and what is shown of it does not change what is counted.

#[allow(dead_code)]
mod files_run;

use files_run::*;
use serde_json::Value;
use std::collections::BTreeMap;

const BYS: [&str; 6] = ["connection", "pair", "host", "destination", "port", "interface"];
const SORTS: [&str; 4] = ["rate", "bytes", "packets", "none"];

/// What was printed, without the one line that says how many workers there were.
fn printed(arguments: &[&str]) -> String {
    let run = run(arguments);
    // A refused command line prints nothing, and nothing equals nothing.
    assert!(run.code != Some(2) && !run.output.is_empty(), "{arguments:?}: {}", run.complaint);
    let (first, rest) = run.output.split_once('\n').unwrap_or_default();
    let start = first.contains("\"type\":\"start\"") || first.starts_with("Start {");
    if start { rest.to_owned() } else { run.output }
}

/// The first line where two outputs part, for a failure that can be read.
fn first_difference(a: &str, b: &str) -> String {
    let pair = a.lines().zip(b.lines()).find(|(a, b)| a != b);
    pair.map_or_else(
        || format!("{} lines and {} lines", a.lines().count(), b.lines().count()),
        |(a, b)| format!("\n{a}\n{b}"),
    )
}

fn assert_same(what: &str, expected: &str, arguments: &[&str]) {
    let given = printed(arguments);
    assert!(expected == given, "{what}, {arguments:?}: {}", first_difference(expected, &given));
}

/// All fixtures at once, but those whose time begins in 1970 or jumps by years:
/// many flows, several interfaces and link types.
fn many_files() -> Vec<String> {
    let mut all = fixtures();
    all.retain(|fixture| !["time_zero.pcap", "time_jumps.pcap"].contains(&fixture.name.as_str()));
    all.into_iter().flat_map(|fixture| ["-r".to_owned(), fixture.path]).collect()
}

#[test]
fn json_is_the_same_with_any_number_of_workers() {
    for fixture in fixtures() {
        for interval in ["0.1", "1"] {
            let base =
                ["-o", "json", "--connections", "-r", &fixture.path, "--interval", interval, "--workers"];
            let with = |workers| [&base[..], &[workers]].concat();
            let one = printed(&with("1"));
            for workers in ["1", "2", "4"] {
                assert_same(&fixture.name, &one, &with(workers));
            }
        }
    }
}

/// Reading runs ahead of printing: how far must not show either.
#[test]
fn many_files_at_once_are_the_same_each_time() {
    let files = many_files();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let base = ["-o", "json", "--connections", "--interval", "3600", "--workers"];
    let with = |workers| [&base[..], &[workers], &files].concat();
    let one = printed(&with("1"));
    for workers in ["1", "1", "1", "2", "2", "4", "4"] {
        assert_same("all fixtures", &one, &with(workers));
    }
}

#[test]
fn every_grouping_and_order_is_the_same_with_any_number_of_workers() {
    let files = many_files();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    for by in BYS {
        for sort in SORTS {
            let base =
                ["-o", "json", "--interval", "60", "--by", by, "--sort", sort, "--top", "7", "--workers"];
            let with = |workers| [&base[..], &[workers], &files].concat();
            let one = printed(&with("1"));
            assert!(one.contains("\"top\":[{"), "rows are there: {one}");
            for workers in ["2", "4"] {
                assert_same(&format!("--by {by} --sort {sort}"), &one, &with(workers));
            }
        }
    }
}

#[test]
fn text_is_the_same_with_any_number_of_workers() {
    let files = many_files();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    for by in BYS {
        for sort in SORTS {
            let base = ["-o", "text", "--by", by, "--sort", sort, "--workers"];
            let with = |workers| [&base[..], &[workers], &files].concat();
            let one = printed(&with("1"));
            for workers in ["2", "4"] {
                assert_same(&format!("--by {by} --sort {sort}"), &one, &with(workers));
            }
        }
    }
}

/// Everything but rows, and lines that only a grouping has: totals by interval and at the end.
fn without_rows(arguments: &[&str]) -> Vec<Value> {
    let (_, mut lines) = lines_of(arguments);
    lines.retain(|line| line["type"] != "destination" && line["type"] != "destinations");
    for line in &mut lines {
        let line = line.as_object_mut().expect("an object");
        // Each as long as --top says; `stop` has the sum of destinations where they are asked for.
        for rows in ["top", "seq", "destinations", "culprits", "hosts", "ports"] {
            line.remove(rows);
        }
        for way in ["rx", "tx"] {
            line.get_mut(way).and_then(Value::as_object_mut).map(|way| way.remove("to_move"));
        }
    }
    lines
}

#[test]
fn what_is_shown_does_not_change_what_is_counted() {
    for name in ["icmp_unreachable.pcap", "two_interfaces.pcapng", "tso_sender.pcap", "qinq.pcap"] {
        let path = fixture(name);
        let plain = without_rows(&["-r", &path]);
        for by in BYS {
            for sort in SORTS {
                for top in ["0", "1000"] {
                    let shown = without_rows(&["-r", &path, "--by", by, "--sort", sort, "--top", top]);
                    assert!(plain == shown, "{name} --by {by} --sort {sort} --top {top}");
                }
            }
        }
    }
}

/// With all rows shown, whatever they are grouped by, they sum to what is tracked.
#[test]
fn rows_of_every_grouping_sum_to_the_tracked_packets() {
    let way = |row: &Value, names: [&str; 2]| {
        let mut sum = (0, 0);
        names
            .iter()
            .for_each(|name| add(&mut sum, (number(&row[name]["packets"]), number(&row[name]["bytes"]))));
        sum
    };
    for fixture in fixtures() {
        for by in BYS {
            let (_, lines) =
                lines_of(&["-r", &fixture.path, "--by", by, "--top", "1000", "--interval", "3600"]);
            for line in of_type(&lines, "interface") {
                let mut tracked = (0, 0);
                for name in ["rx", "tx"] {
                    add(&mut tracked, (number(&line[name]["packets"]), number(&line[name]["bytes"])));
                }
                let untracked = (number(&line["untracked"]["packets"]), number(&line["untracked"]["bytes"]));
                tracked = (tracked.0 - untracked.0, tracked.1 - untracked.1);
                let mut rows = (0, 0);
                for row in line["top"].as_array().expect("rows") {
                    let names = match by {
                        "connection" => ["c2s", "s2c"],
                        "pair" => ["a_to_b", "b_to_a"],
                        _ => ["to", "from"],
                    };
                    add(&mut rows, way(row, names));
                }
                match by {
                    // A packet is from one host and to another.
                    "host" => assert_eq!(rows, (2 * tracked.0, 2 * tracked.1), "{} --by host", fixture.name),
                    // An interface has what is untracked as well.
                    "interface" => {
                        add(&mut tracked, untracked);
                        assert_eq!(rows, tracked, "{} --by interface", fixture.name);
                    }
                    _ => assert_eq!(rows, tracked, "{} --by {by}", fixture.name),
                }
            }
        }
    }
}

#[test]
fn two_legs_of_a_route_are_one_connection_with_both_interfaces() {
    let (out, back) = (fixture("asymmetric_out.pcap"), fixture("asymmetric_in.pcap"));
    for workers in ["1", "2", "4"] {
        let joined = format!("{out}+{back}");
        let (run, lines) = lines_of(&["-r", &joined, "--workers", workers]);
        assert_eq!((run.code, run.complaint.as_str()), (Some(0), ""));
        let connections: Vec<&Value> = of_type(&lines, "connection").collect();
        assert_eq!(connections.len(), 1, "{connections:?}");
        let one = connections[0];
        assert_eq!(one["role_source"], "syn");
        assert_eq!((&one["end_reason"], &one["state"]), (&"fin".into(), &"time_wait".into()));
        let interfaces = |way: &str| serde_json::to_string(&one[way]["interfaces"]).expect("JSON");
        let bytes = |way: &str| number(&one[way]["bytes"]);
        assert_eq!(interfaces("c2s"), format!("{{\"asymmetric_out.pcap\":{}}}", bytes("c2s")));
        assert_eq!(interfaces("s2c"), format!("{{\"asymmetric_in.pcap\":{}}}", bytes("s2c")));
        assert_eq!(number(&one["c2s"]["packets"]), 18);
        assert_eq!(number(&one["s2c"]["packets"]), 20);
    }
    // Apart they are two half-seen connections.
    let (_, lines) = lines_of(&["-r", &out, "-r", &back]);
    let connections: Vec<&Value> = of_type(&lines, "connection").collect();
    assert_eq!(connections.len(), 2, "{connections:?}");
}

/// Several files: totals of each are those that it has alone, in whatever order they are named.
#[test]
fn several_files_at_once_are_each_what_they_are_alone() {
    let names = ["http_v6.pcap", "dns.pcap", "raw_ip.pcap", "any_sll2.pcap", "two_interfaces.pcapng"];
    let mut alone = BTreeMap::new();
    let mut connections_alone = 0;
    for name in names {
        let (_, lines) = lines_of(&["-r", &fixture(name)]);
        connections_alone += of_type(&lines, "connection").count();
        for interface in stop(&lines)["interfaces"].as_array().expect("a list") {
            alone.insert(interface["interface"].to_string(), totals(interface));
        }
    }
    for turn in 0..names.len() {
        let mut order = names.map(fixture);
        order.rotate_left(turn);
        let arguments: Vec<&str> = order.iter().flat_map(|path| ["-r", path]).collect();
        let (run, lines) = lines_of(&arguments);
        assert_eq!((run.code, run.complaint.as_str()), (Some(0), ""));
        let together: BTreeMap<String, Value> = stop(&lines)["interfaces"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|interface| (interface["interface"].to_string(), totals(interface)))
            .collect();
        assert_eq!(together, alone, "{order:?}");
        assert_eq!(of_type(&lines, "connection").count(), connections_alone, "{order:?}");
    }
}

fn totals(interface: &Value) -> Value {
    let mut totals =
        serde_json::json!({ "untracked": interface["untracked"], "capture": interface["capture"] });
    for way in ["rx", "tx"] {
        totals[way] = interface[way].clone();
        // The rate is over the whole run, which is longer with other files beside it.
        let direction = totals[way].as_object_mut().expect("an object");
        // All are over the run; the peak of a second is told only of one that is long enough.
        for of_run in ["bits_per_second", "peak_1s_bits_per_second"] {
            direction.remove(of_run);
        }
        for of_run in ["p50", "p90", "p99"] {
            direction.remove(&format!("{of_run}_1ms_bits_per_second"));
        }
    }
    totals
}

/// One name twice is two interfaces, told apart.
#[test]
fn a_file_named_twice_counts_twice() {
    let path = fixture("http_v4.pcap");
    let (_, lines) = lines_of(&["-r", &path, "-r", &path]);
    assert_eq!(stop(&lines)["interfaces"].as_array().map(Vec::len), Some(2));
    assert_eq!(of_type(&lines, "connection").count(), 2, "each file is a link group");
}

/// A file that breaks does not keep the others from being counted.
#[test]
fn a_damaged_file_among_others_ends_alone() {
    let (cut, whole) = (fixture("cut.pcap"), fixture("http_v6.pcap"));
    let (run, lines) = lines_of(&["-r", &cut, "-r", &whole]);
    assert_eq!(run.code, Some(1));
    assert_eq!(run.complaint.lines().count(), 1, "{}", run.complaint);
    let frames: u64 = stop(&lines)["interfaces"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|interface| number(&interface["capture"]["frames"]))
        .sum();
    assert_eq!(frames, 39 + 44);
}
