//! `--new-only`: what lists leave out is what had no start, it is told, and no
//! total knows of it. Truth: the same file without the option.

#[allow(dead_code)]
mod files_run;

use files_run::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Captures that begin a few packets later than fixtures do, so that connections have
/// no start: arguments that read each, two of one link group among them.
fn beheaded(folder: &Path) -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for fixture in fixtures().iter().filter(|fixture| fixture.name.ends_with(".pcap")) {
        let bytes = std::fs::read(&fixture.path).expect("it is there");
        let big = bytes[0] == 0xa1;
        let records = |from: usize| {
            let mut at = from;
            let mut starts = Vec::new();
            while let Some(length) = bytes.get(at + 8..at + 12) {
                let length: [u8; 4] = length.try_into().expect("four");
                let length = if big { u32::from_be_bytes(length) } else { u32::from_le_bytes(length) };
                starts.push(at);
                at += 16 + length as usize;
            }
            starts
        };
        let starts = records(24);
        for skipped in [3, starts.len() / 2] {
            let Some(&start) = starts.get(skipped) else { continue };
            let name = format!("{skipped}-{}", fixture.name);
            let path = folder.join(&name);
            std::fs::write(&path, [&bytes[..24], &bytes[start..]].concat()).expect("written");
            paths.push((name, path.into_os_string().into_string().expect("UTF-8")));
        }
    }
    let halves = ["-asymmetric_in.pcap", "-asymmetric_out.pcap"].map(|end| {
        let half = paths.iter().filter(|(name, _)| name.ends_with(end));
        half.map(|(_, path)| path.clone()).collect::<Vec<String>>()
    });
    let pairs = halves[0].iter().zip(&halves[1]);
    let both: Vec<_> = pairs.map(|(one, other)| (one.clone(), format!("{one}+{other}"))).collect();
    assert_eq!(both.len(), 2);
    paths.extend(both);
    paths
}

/// A line without its number and what says how many are hidden.
fn stripped(line: &Value, top: bool) -> Value {
    let mut line = line.clone();
    let fields = line.as_object_mut().expect("an object");
    fields.remove("seq");
    fields.remove("hidden");
    if !top {
        fields.remove("top");
    }
    if let Some(flows) = fields.get_mut("flows").and_then(Value::as_object_mut) {
        flows.remove("hidden");
    }
    line
}

/// Bytes by interface of connection lines.
fn by_interface<'a>(lines: impl Iterator<Item = &'a Value>) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for line in lines {
        for way in ["c2s", "s2c"] {
            for (name, bytes) in line[way]["interfaces"].as_object().expect("an object") {
                *sums.entry(name.clone()).or_default() += number(bytes);
            }
        }
    }
    sums
}

fn packets<'a>(lines: impl Iterator<Item = &'a Value>) -> u64 {
    lines.map(|line| number(&line["c2s"]["packets"]) + number(&line["s2c"]["packets"])).sum()
}

fn is_midstream(line: &Value) -> bool {
    line["midstream"] == true
}

fn both(interface: &Value, key: &str) -> u64 {
    number(&interface["rx"][key]) + number(&interface["tx"][key])
}

/// What `hidden` says, added up.
fn hidden<'a>(lines: impl Iterator<Item = &'a Value>, key: &str) -> u64 {
    lines.map(|line| number(&line["hidden"][key])).sum()
}

fn judge(what: &str, all: &[Value], new: &[Value]) -> u64 {
    let midstream: Vec<&Value> = of_type(all, "connection").filter(|line| is_midstream(line)).collect();
    let lines = |lines: &[Value]| -> Vec<Value> {
        let seen = of_type(lines, "connection").filter(|line| !is_midstream(line));
        seen.map(|line| stripped(line, true)).collect()
    };
    assert_eq!(of_type(new, "connection").filter(|line| is_midstream(line)).count(), 0, "{what}");
    assert_eq!(lines(all), lines(new), "{what}");
    // Rows: those without it, less what is hidden; the rest of the line is the same.
    for (all, new) in of_type(all, "interface").zip(of_type(new, "interface")) {
        assert_eq!(stripped(all, false), stripped(new, false), "{what}");
        let rows = all["top"].as_array().expect("a list").iter().filter(|row| !is_midstream(row));
        assert_eq!(json!(rows.collect::<Vec<_>>()), new["top"], "{what}");
    }
    let (had, told) = (by_interface(midstream.iter().copied()), by_interface(of_type(new, "connection")));
    let interfaces = stop(new)["interfaces"].as_array().expect("a list");
    for (all, new) in stop(all)["interfaces"].as_array().expect("a list").iter().zip(interfaces) {
        assert_eq!(stripped(all, true), stripped(new, true), "{what}");
        assert_eq!((all.get("hidden"), all["flows"].get("hidden")), (None, None), "{what}");
        let name = new["interface"].as_str().expect("a name");
        let of = |sums: &BTreeMap<String, u64>| sums.get(name).copied().unwrap_or(0);
        assert_eq!(number(&new["hidden"]["bytes"]), of(&had), "{name} of {what}");
        assert_eq!(number(&new["flows"]["hidden"]), midstream.len() as u64, "{what}");
        // Each on its own way, together the total.
        let parts = number(&new["hidden"]["bytes"]) + number(&new["untracked"]["bytes"]) + of(&told);
        assert_eq!(parts, both(new, "bytes"), "{name} of {what}");
    }
    assert_eq!(hidden(interfaces.iter(), "packets"), packets(midstream.iter().copied()), "{what}");
    for key in ["packets", "bytes"] {
        assert_eq!(hidden(of_type(new, "interface"), key), hidden(interfaces.iter(), key), "{key} of {what}");
    }
    midstream.len() as u64
}

#[test]
fn lists_leave_out_what_had_no_start_and_totals_do_not() {
    let mut seen = 0;
    let folder = tempfile::tempdir().expect("a directory");
    for (name, path) in beheaded(folder.path()) {
        for (interval, workers) in [("3600", "1"), ("0.1", "2"), ("0.1", "4")] {
            let arguments = ["-r", &path, "--interval", interval, "--workers", workers, "--top", "100000"];
            let (_, all) = lines_of(&arguments);
            let (_, new) = lines_of(&[&arguments[..], &["--new-only"]].concat());
            seen += judge(&format!("{} by {interval} s, {workers} workers", name), &all, &new);
        }
    }
    assert!(seen > 30, "only {seen} connections without a start in all fixtures");
}

/// Rows of sums have no part of them either, and say so.
#[test]
fn sums_in_rows_have_no_part_of_them() {
    let mut seen = 0;
    let folder = tempfile::tempdir().expect("a directory");
    for (name, path) in beheaded(folder.path()) {
        for workers in ["1", "2", "4"] {
            for (by, ways) in [
                ("host", ["to", "to"]),
                ("pair", ["a_to_b", "b_to_a"]),
                ("port", ["to", "from"]),
                ("destination", ["to", "from"]),
            ] {
                let arguments = ["-o", "json", "-r", &path, "--interval", "3600", "-d"];
                let more = ["--workers", workers, "--by", by, "--top", "100000"];
                let run = run(&[&arguments[..], &more].concat());
                let lines = schema::validate_lines(&run.output);
                for line in of_type(&lines, "interface") {
                    let rows = line["top"].as_array().expect("a list").iter();
                    let mut ways = ways.to_vec();
                    ways.dedup();
                    let sum: u64 =
                        rows.map(|row| ways.iter().map(|way| number(&row[way]["bytes"])).sum::<u64>()).sum();
                    let rest = number(&line["untracked"]["bytes"]) + number(&line["hidden"]["bytes"]);
                    assert_eq!(sum + rest, both(line, "bytes"), "{by}, {workers} workers of {}", name);
                    seen += u64::from(number(&line["hidden"]["bytes"]) > 0);
                }
            }
        }
    }
    assert!(seen > 30, "only {seen}");
}

#[test]
fn the_table_says_what_it_leaves_out() {
    let folder = tempfile::tempdir().expect("a directory");
    let (_, path) = beheaded(folder.path())
        .into_iter()
        .find(|(name, _)| name.ends_with("-http_v4.pcap") && !name.starts_with("3-"))
        .expect("it is there");
    let text = |arguments: &[&str]| run(&[&["-r", &path][..], arguments].concat()).output;
    let (_, lines) = lines_of(&["-r", &path, "-d"]);
    let [interface] = &stop(&lines)["interfaces"].as_array().expect("a list")[..] else { panic!("one") };
    let [flows, packets, bytes] =
        [&interface["flows"]["hidden"], &interface["hidden"]["packets"], &interface["hidden"]["bytes"]]
            .map(number);
    assert!(flows > 0);
    let plural =
        |count: u64, word: &str| if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") };
    let sentence = format!(
        "Not in rows, as their start was not seen: {} ({}, {})",
        plural(flows, "connection"),
        plural(packets, "packet"),
        plural(bytes, "byte")
    );
    let ungrouped = text(&["-d"]).replace(',', "");
    assert!(ungrouped.contains(&sentence.replace(',', "")), "{sentence}: {ungrouped}");
    assert!(!text(&[]).contains("Not in rows"));
}

/// What servers were asked, by destination, is what the connections that are told were asked.
#[test]
fn destinations_have_no_part_of_them() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut left_out = 0;
    for (name, path) in beheaded(folder.path()) {
        let exchanges = |more: &[&str]| {
            let arguments = ["-r", &path, "--interval", "3600", "--by", "destination", "--top", "100000"];
            let (_, lines) = lines_of(&[&arguments[..], more].concat());
            let told = of_type(&lines, "destination").map(|line| number(&line["exchanges"])).sum::<u64>();
            let counts = of_type(&lines, "connection").filter_map(|line| line.pointer("/exchanges/count"));
            assert_eq!(told, counts.map(number).sum::<u64>(), "{name} {more:?}");
            told
        };
        left_out += exchanges(&[]) - exchanges(&["-d"]);
    }
    assert!(left_out > 10, "only {left_out}");
}
