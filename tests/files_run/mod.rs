//! Runs of the program over files, for tests: what it printed, as lines and as
//! sums that can be held against what other programs say of the same file.

#[path = "../common/schema.rs"]
pub mod schema;

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// A run must end within this time: the largest fixture takes some 50 ms, but a busy
/// machine many times as long. Walking over years second by second would take hours.
const PATIENCE: Duration = Duration::from_secs(300);

/// How a run ended and what it printed.
pub struct Run {
    pub code: Option<i32>,
    pub output: String,
    pub complaint: String,
}

/// Runs the program to its end; panics if it takes longer than any file here may.
pub fn run<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Run {
    let began = Instant::now();
    let done = Command::new(env!("CARGO_BIN_EXE_fullcount")).args(arguments).output().expect("it starts");
    assert!(began.elapsed() < PATIENCE, "took {:?}", began.elapsed());
    Run {
        code: done.status.code(),
        output: String::from_utf8(done.stdout).expect("UTF-8"),
        complaint: String::from_utf8(done.stderr).expect("UTF-8"),
    }
}

/// A capture and what tshark says of it.
pub struct Fixture {
    pub name: String,
    pub path: String,
    pub truth: Value,
}

/// Every capture in `fixtures/` that has its truth beside it, by name.
pub fn fixtures() -> Vec<Fixture> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"));
    let mut found = Vec::new();
    for entry in folder.read_dir().expect("fixtures are there") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        let Some(capture) = name.strip_suffix(".json") else { continue };
        let truth = std::fs::read_to_string(folder.join(&name)).expect("readable");
        let truth = serde_json::from_str(&truth).expect("JSON");
        let path = folder.join(capture).into_os_string().into_string().expect("UTF-8");
        found.push(Fixture { name: capture.to_owned(), path, truth });
    }
    assert!(found.len() >= 40, "only {} fixtures have a truth", found.len());
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Path of one fixture.
pub fn fixture(name: &str) -> String {
    format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// JSON lines with a line for each connection, checked against the schema.
pub fn lines_of(arguments: &[&str]) -> (Run, Vec<Value>) {
    let mut all = vec!["-o", "json", "--connections"];
    all.extend(arguments);
    let run = run(&all);
    let lines = schema::validate_lines(&run.output);
    (run, lines)
}

/// Lines of one type.
pub fn of_type<'a>(lines: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["type"] == kind)
}

/// The last line, which says how the run ended.
pub fn stop(lines: &[Value]) -> &Value {
    let last = lines.last().expect("a line");
    assert_eq!(last["type"], "stop");
    assert_eq!(of_type(lines, "stop").count(), 1, "one stop line");
    last
}

/// A counter that has to be there.
pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no counter"))
}

/// Frames and their bytes of a direction object: they stand there where they
/// differ from packets and bytes.
pub fn frames(direction: &Value) -> (u64, u64) {
    let or = |first: &str, second: &str| number(direction.get(first).unwrap_or(&direction[second]));
    (or("frames", "packets"), or("frame_bytes", "bytes"))
}

/// Adds a pair.
pub fn add(sum: &mut (u64, u64), one: (u64, u64)) {
    *sum = (sum.0 + one.0, sum.1 + one.1);
}

/// Sums by what names one direction of a conversation.
pub type Sums = BTreeMap<String, (u64, u64)>;

/// Sums every number in a tree by its place in it.
pub fn sum_leaves(value: &Value, place: &str, sums: &mut BTreeMap<String, u64>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| sum_leaves(field, &format!("{place}.{name}"), sums));
        }
        Value::Number(_) if value.is_u64() => *sums.entry(place.to_owned()).or_default() += number(value),
        _ => {}
    }
}
