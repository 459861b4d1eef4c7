//! The program over every fixture: its lines are valid and add up, its text is plain.

#[path = "common/schema.rs"]
mod schema;

use schema::validate_lines;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};

fn fixtures() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let capture = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let xz = name.ends_with(".xz") && !cfg!(feature = "xz");
        name.contains(".pcap") && !name.ends_with(".json") && !xz
    };
    paths.retain(capture);
    paths.sort();
    assert!(paths.len() > 30, "the fixtures are gone");
    paths
}

fn fullcount(path: &PathBuf, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fullcount")).arg("-r").arg(path).args(options).output().unwrap()
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer} in {value}"))
}

/// Every byte of an interface is in exactly one connection line, or untracked;
/// and the intervals add up to the whole.
#[test]
fn connections_and_untracked_are_all_there_is() {
    for path in fixtures() {
        let output = fullcount(&path, &["-o", "json", "--connections"]);
        let lines = validate_lines(std::str::from_utf8(&output.stdout).unwrap());
        let (mut in_flows, mut in_intervals) =
            (BTreeMap::<String, u64>::new(), BTreeMap::<String, u64>::new());
        for line in &lines {
            match line["type"].as_str().unwrap() {
                "connection" => {
                    for direction in ["c2s", "s2c"] {
                        let parts = line[direction]["interfaces"].as_object().unwrap();
                        let sum: u64 = parts.values().map(|bytes| bytes.as_u64().unwrap()).sum();
                        assert_eq!(sum, number(&line[direction], "/bytes"), "{line} in {}", path.display());
                        for (name, bytes) in parts {
                            *in_flows.entry(name.clone()).or_default() += bytes.as_u64().unwrap();
                        }
                    }
                }
                "interface" => {
                    let name = line["interface"].as_str().unwrap().to_owned();
                    *in_intervals.entry(name).or_default() +=
                        number(line, "/rx/bytes") + number(line, "/tx/bytes");
                }
                _ => {}
            }
        }
        let stop = lines.last().unwrap();
        assert_eq!(stop["type"], "stop", "{}", path.display());
        for interface in stop["interfaces"].as_array().unwrap() {
            let name = interface["interface"].as_str().unwrap();
            let all = number(interface, "/rx/bytes") + number(interface, "/tx/bytes");
            let flows = in_flows.get(name).copied().unwrap_or(0);
            let untracked = number(interface, "/untracked/bytes");
            assert_eq!(flows + untracked, all, "{name} in {}", path.display());
            assert_eq!(in_intervals.get(name).copied().unwrap_or(0), all, "{name} in {}", path.display());
        }
    }
}

#[test]
fn text_is_plain_and_says_the_totals() {
    for path in fixtures() {
        let text = String::from_utf8(fullcount(&path, &[]).stdout).unwrap();
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{}: {text:?}", path.display());
        assert!(text.contains("rates over all of it\n"), "{}: {text}", path.display());
    }
}
