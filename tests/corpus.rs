//! Captures of other projects' test suites, against what other programs say is in
//! them: every connection, every field that is judged.
//!
//! A part of the corpus stands in fixtures/corpus. Where the environment variable
//! FULLCOUNT_CORPUS names a folder of that layout (`captures`, `truth`), all of it
//! is compared as well. What differs knowingly stands in docs/TCP-DIFFERENCES.md.

mod corpus_truth;
#[allow(dead_code)]
mod files_run;

use corpus_truth::{Count, Difference, compare};
use serde_json::Value;
use std::fmt::Write;
use std::path::{Path, PathBuf};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/corpus");
const KNOWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/TCP-DIFFERENCES.md");
/// Names a folder with more.
const MORE: &str = "FULLCOUNT_CORPUS";
/// Differences of a capture that are printed.
const SHOWN: usize = 12;

/// A line of the list of known differences.
#[derive(Debug, PartialEq)]
struct Known {
    capture: String,
    ends: String,
    field: String,
}

/// The list: every row of its table has four filled cells.
fn known(text: &str) -> Vec<Known> {
    let rows = text.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = rows.filter(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim().trim_matches('|').split('|').map(str::trim).collect();
        let [capture, ends, field, reason] = cells[..] else { panic!("four cells: {row}") };
        assert!([capture, ends, field, reason].iter().all(|cell| !cell.is_empty()), "a cell is empty: {row}");
        let ends = if ends == "-" { "" } else { ends };
        Known { capture: capture.to_owned(), ends: ends.to_owned(), field: field.to_owned() }
    })
    .collect()
}

fn known_differences() -> Vec<Known> {
    known(&std::fs::read_to_string(KNOWN).expect("the list is there"))
}

/// Captures of a corpus that have a truth, by name.
fn captures(folder: &Path) -> Vec<(String, PathBuf, PathBuf)> {
    let entries =
        folder.join("truth").read_dir().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for entry in entries {
        let truth = entry.expect("an entry").path();
        let file = truth.file_name().expect("a name").to_string_lossy().into_owned();
        if let Some(name) = file.strip_suffix(".json") {
            found.push((name.to_owned(), folder.join("captures").join(name), truth));
        }
    }
    found.sort();
    found
}

/// The lines of a run, and what was wrong with it: damaged files may end it with 1.
fn lines_of(capture: &Path) -> (Vec<Value>, Option<String>) {
    let capture = capture.to_string_lossy();
    let run = files_run::run(&["-o", "json", "--connections", "-r", &capture]);
    let parsed: Result<Vec<Value>, _> = run.output.lines().map(serde_json::from_str).collect();
    match parsed {
        Err(error) => (Vec::new(), Some(format!("a broken line: {error}"))),
        Ok(lines) if !matches!(run.code, Some(0 | 1)) || run.complaint.contains("panicked at") => {
            (lines, Some(format!("ended with {:?}: {}", run.code, run.complaint.trim())))
        }
        Ok(lines) => (lines, None),
    }
}

/// Compares a corpus; known differences that were met are marked.
fn check(folder: &Path, known: &[Known], met: &mut [bool]) -> (usize, Count, String) {
    let (mut sum, mut report) = (Count::default(), String::new());
    let captures = captures(folder);
    for (name, capture, truth) in &captures {
        let truth = std::fs::read_to_string(truth).expect("readable");
        let truth: Value = serde_json::from_str(&truth).expect("JSON");
        let (lines, fault) = lines_of(capture);
        let (count, mut found) = compare(&truth, &lines);
        found.retain(|difference| !is_known(name, difference, known, met));
        sum.connections += count.connections;
        sum.disputed += count.disputed;
        sum.udp += count.udp;
        if let Some(fault) = fault {
            let _ = writeln!(report, "{name}: {fault}");
        }
        for Difference { ends, field, given, should } in found.iter().take(SHOWN) {
            let _ = writeln!(report, "{name}: {ends}: {field} is {given}, should be {should}");
        }
        if found.len() > SHOWN {
            let _ = writeln!(report, "{name}: {} differences", found.len());
        }
    }
    (captures.len(), sum, report)
}

fn is_known(capture: &str, difference: &Difference, known: &[Known], met: &mut [bool]) -> bool {
    let is = |known: &Known| {
        known.capture == capture && known.ends == difference.ends && known.field == difference.field
    };
    let place = known.iter().position(is);
    place.inspect(|&place| met[place] = true).is_some()
}

#[test]
fn every_capture_is_as_other_programs_say() {
    let known = known_differences();
    let mut met = vec![false; known.len()];
    let (captures, count, mut report) = check(Path::new(FIXTURES), &known, &mut met);
    assert!(captures >= 40 && count.connections >= 300 && count.udp >= 3, "{captures} captures, {count:?}");
    match std::env::var_os(MORE) {
        Some(folder) => {
            let (captures, count, more) = check(Path::new(&folder), &known, &mut met);
            eprintln!("{}: {captures} captures, {count:?}", folder.display());
            report.push_str(&more);
            let gone = known.iter().zip(&met).filter(|(_, met)| !**met);
            for (known, _) in gone {
                let _ = writeln!(report, "differs no more: {known:?}");
            }
        }
        None => println!("only the fixtures: {MORE} names no folder with more captures"),
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn the_list_of_known_differences_is_read() {
    let text = "words\n| capture | connection | field | reason |\n|---|---|---|---|\n\
        | a.pcap | 192.0.2.1 80 > 192.0.2.2 1 | c2s.fin | why |\n| b.pcap | - | totals | why |\n";
    let read = known(text);
    assert_eq!(read.len(), 2);
    let difference = |ends: &str, field: &str| Difference {
        ends: ends.to_owned(),
        field: field.to_owned(),
        given: String::new(),
        should: String::new(),
    };
    let mut met = [false, false];
    assert!(is_known("b.pcap", &difference("", "totals"), &read, &mut met));
    assert!(!is_known("a.pcap", &difference("192.0.2.1 80 > 192.0.2.2 1", "c2s.rst"), &read, &mut met));
    assert_eq!(met, [false, true]);
}

/// The comparison itself has to see what it is for.
#[test]
fn differences_are_seen() {
    let (_, capture, truth) = captures(Path::new(FIXTURES))
        .into_iter()
        .find(|one| one.0.contains("bug-7657"))
        .expect("it is there");
    let truth: Value =
        serde_json::from_str(&std::fs::read_to_string(truth).expect("readable")).expect("JSON");
    let (lines, _) = lines_of(&capture);
    let fields = |truth: &Value, lines: &[Value]| -> Vec<String> {
        compare(truth, lines).1.into_iter().map(|difference| difference.field).collect()
    };
    let before = fields(&truth, &lines);
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut truth = truth.clone();
        change(&mut truth);
        let mut found = fields(&truth, &lines);
        found.retain(|field| !before.contains(field));
        found
    };
    assert_eq!(changed(&|_| {}), [] as [&str; 0]);
    assert_eq!(changed(&|truth| truth["totals"]["bytes"] = 1.into()), ["totals"]);
    assert_eq!(changed(&|truth| truth["connections"][3]["c2s"]["packets"] = 77.into()), ["c2s.packets"]);
    assert_eq!(changed(&|truth| truth["connections"][3]["end"] = "1.5".into()), ["end"]);
    let port = &|truth: &mut Value| truth["connections"][3]["server"]["port"] = 1.into();
    assert_eq!(changed(port), ["missed", "extra"]);
    let disputed = &|truth: &mut Value| {
        truth["connections"][3]["c2s"]["packets"] = 77.into();
        truth["connections"][3]["disputed"]["c2s.packets"] = serde_json::json!({"a": 1, "b": 77});
    };
    assert_eq!(changed(disputed), [] as [&str; 0]);
    let udp = &|truth: &mut Value| {
        let count = serde_json::json!({"packets": 1, "bytes": 60});
        let end = |port: u16| serde_json::json!({"ip": "192.0.2.1", "port": port});
        truth["udp"] = serde_json::json!([{"a": end(1), "b": end(2), "a2b": count, "b2a": count}]);
    };
    assert_eq!(changed(udp), ["udp", "udp"]);
}
