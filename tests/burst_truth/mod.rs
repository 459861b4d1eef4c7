//! Runs `bursts.py` and the program over the same files, and holds one against
//! the other.
#![allow(dead_code)] // each test program uses its part

use crate::schema;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// What a run is asked; the same words for both.
pub struct Asked<'a> {
    /// Interface (file name, or what a pcapng file calls it) and rate.
    pub speeds: &'a [(&'a str, &'a str)],
    pub threshold: &'a str,
    pub min: u64,
    pub gap: u64,
    /// Seconds; "0" is one interval for all (text).
    pub interval: &'a str,
    pub top: usize,
    pub local: &'a [&'a str],
}

impl Default for Asked<'_> {
    fn default() -> Self {
        Asked { speeds: &[], threshold: "80%", min: 1, gap: 3, interval: "1", top: 10, local: &[] }
    }
}

impl Asked<'_> {
    fn truth_words(&self) -> Vec<String> {
        let mut words: Vec<String> =
            ["--threshold", self.threshold, "--interval", self.interval].map(String::from).into();
        words.extend([format!("--min={}", self.min), format!("--gap={}", self.gap)]);
        words.push(format!("--top={}", self.top));
        words.extend(self.speeds.iter().map(|(name, speed)| format!("--speed={name}={speed}")));
        words.extend(self.local.iter().map(|network| format!("--local={network}")));
        words
    }

    fn program_words(&self, files: &[PathBuf]) -> Vec<String> {
        let paths: Vec<&str> = files.iter().map(|path| path.to_str().expect("UTF-8")).collect();
        let mut words = vec![String::from("-r"), paths.join("+")];
        words.extend([format!("--burst-threshold={}", self.threshold), format!("--burst-min={}", self.min)]);
        words.extend([format!("--burst-gap={}", self.gap), format!("--top={}", self.top)]);
        words.extend(self.speeds.iter().map(|(name, speed)| format!("--link-speed={name}={speed}")));
        words.extend(self.local.iter().flat_map(|network| [String::from("-F"), (*network).to_string()]));
        words
    }
}

/// What the Python program says.
pub struct Truth(pub Value);

impl Truth {
    pub fn of(files: &[PathBuf], asked: &Asked) -> Truth {
        Truth::with(files, asked, &[])
    }

    pub fn with(files: &[PathBuf], asked: &Asked, more: &[&str]) -> Truth {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/burst_truth/bursts.py");
        let mut python = Command::new("python3");
        let done = python
            .arg(program)
            .args(asked.truth_words())
            .args(more)
            .args(files)
            .output()
            .expect("python3 runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Truth(serde_json::from_slice(&done.stdout).expect("JSON"))
    }

    pub fn bursts(&self) -> &[Value] {
        self.0["bursts"].as_array().expect("a list")
    }
}

fn run(words: &[String]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_fullcount")).args(words).output().expect("it starts");
    assert!(done.status.success() && done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("UTF-8")
}

/// Text with 1, 2 and 4 workers: the same, and once more for whoever asks.
pub fn text_of(files: &[PathBuf], asked: &Asked) -> String {
    let texts = ["1", "2", "4"].map(|workers| {
        let mut words = asked.program_words(files);
        words.extend(["-o", "text", "--workers", workers].map(String::from));
        run(&words)
    });
    // What stands before the first block names the workers.
    let body = |text: &str| text.split_once('\n').map(|(_, rest)| rest.to_owned());
    assert!(texts.iter().all(|text| body(text) == body(&texts[0])), "{texts:#?}");
    texts.into_iter().next().expect("three")
}

/// Lines of JSON, with so many workers.
pub fn lines_of(files: &[PathBuf], asked: &Asked, workers: &str) -> Vec<Value> {
    let mut words = asked.program_words(files);
    words.extend(["-o", "json", "--interval", asked.interval, "--workers", workers].map(String::from));
    run(&words).lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Runs both and compares all that both say; with 1, 2 and 4 workers.
pub fn compare(files: &[PathBuf], asked: &Asked) -> Truth {
    let outputs = ["1", "2", "4"].map(|workers| {
        let mut words = asked.program_words(files);
        words.extend(["-o", "json", "--interval", asked.interval, "--workers", workers].map(String::from));
        run(&words)
    });
    let truth = Truth::of(files, asked);
    let lines = schema::validate_lines(&outputs[0]);
    compare_bursts(&truth, &lines);
    compare_spreads(&truth, &lines);
    let body = |text: &str| text.split_once('\n').map(|(_, rest)| rest.to_owned());
    for (workers, output) in [2, 4].iter().zip(&outputs[1..]) {
        let (one, several) = (body(&outputs[0]).unwrap_or_default(), body(output).unwrap_or_default());
        let parts = one.lines().zip(several.lines()).find(|(a, b)| a != b);
        assert!(one == several, "1 and {workers} workers part at {parts:#?}");
    }
    truth
}

/// A number of the truth and one of the program: the same, ratios to 1e-6.
fn same(what: &str, expected: &Value, given: &Value) {
    let near = |a: f64, b: f64| (a - b).abs() <= 1.000_001e-6;
    let equal = match (expected, given) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            near(a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN))
        }
        _ => expected == given,
    };
    assert!(equal, "{what}: {expected} expected, not {given}");
}

/// Bursts that the program told of, in the order of the truth.
pub fn bursts_of(lines: &[Value]) -> Vec<&Value> {
    let mut bursts: Vec<&Value> = lines.iter().filter(|line| line["type"] == "burst").collect();
    let name = |burst: &Value, key: &str| burst[key].as_str().map(String::from);
    bursts.sort_by_key(|burst| (start_ms(burst), name(burst, "interface"), name(burst, "direction")));
    bursts
}

/// The first millisecond of a burst.
pub fn start_ms(burst: &Value) -> u64 {
    let start: jiff::Timestamp =
        burst["start"].as_str().and_then(|start| start.parse().ok()).expect("a time");
    u64::try_from(start.as_millisecond()).expect("after 1970")
}

/// Every figure of every burst.
pub fn compare_bursts(truth: &Truth, lines: &[Value]) {
    let bursts = bursts_of(lines);
    let summary = |start: u64, all: &Value| {
        format!("{start} {} {} {}", all["interface"], all["direction"], all["bytes"])
    };
    let given: Vec<String> = bursts.iter().map(|burst| summary(start_ms(burst), burst)).collect();
    let expected: Vec<String> =
        truth.bursts().iter().map(|burst| summary(burst["start_ms"].as_u64().expect("ms"), burst)).collect();
    assert_eq!(expected, given, "which bursts there are");
    for (expected, given) in truth.bursts().iter().zip(bursts) {
        let what = format!("burst at {} on {}", given["start"], given["interface"]);
        for (ours, theirs) in [
            ("packets", "packets"),
            ("bytes", "bytes"),
            ("peak", "peak_1ms_bits_per_second"),
            ("mean", "mean_bits_per_second"),
            ("utilisation", "line_utilisation_ratio"),
            ("queue_peak_bytes", "queue_peak_bytes"),
            ("queue_peak_seconds", "queue_peak_seconds"),
            ("connections", "connections"),
            ("begun", "connections_begun"),
            ("senders", "senders"),
        ] {
            same(&format!("{what}: {theirs}"), &expected[ours], &given[theirs]);
        }
        let seconds = |ms: &Value| Value::from(ms.as_f64().unwrap_or(f64::NAN) / 1000.0);
        same(&format!("{what}: length"), &seconds(&expected["length_ms"]), &given["duration_seconds"]);
        let compared = if expected["before_ms"] == 0 { Value::Null } else { seconds(&expected["before_ms"]) };
        same(&format!("{what}: compared"), &compared, &given["compared_with_seconds"]);
        same(&format!("{what}: known"), &1.0.into(), &given["known_ratio"]);
        assert_eq!(given.get("open").is_some(), expected["open"] == true, "{what}: open");
        for (other, rate) in expected["others"].as_object().expect("a map") {
            let told = &given["other_interfaces"][other]["line_bits_per_second"];
            same(&format!("{what}: {other}"), rate, told);
        }
        for kind in ["culprits", "hosts", "ports"] {
            compare_culprits(&what, kind, &expected[kind], &given[kind]);
        }
    }
}

fn protocol_of(name: &Value) -> u64 {
    match name.as_str().expect("a name") {
        "tcp" => 6,
        "udp" => 17,
        other => panic!("{other} is not for these tests"),
    }
}

fn compare_culprits(what: &str, kind: &str, expected: &Value, given: &Value) {
    let (expected, given) = (expected.as_array().expect("a list"), given.as_array().expect("a list"));
    assert_eq!(expected.len(), given.len(), "{what}: {kind}");
    let end = |end: &Value| serde_json::json!([end["ip"], end["port"]]);
    let bytes = |given: &Value, keys: [&str; 2]| {
        Value::from(keys.map(|key| given[key]["bytes"].as_u64().expect("bytes")).iter().sum::<u64>())
    };
    for (place, (expected, given)) in expected.iter().zip(given).enumerate() {
        let (who, sum) = match kind {
            "culprits" => {
                let who = serde_json::json!([
                    protocol_of(&given["protocol"]),
                    end(&given["client"]),
                    end(&given["server"])
                ]);
                (who, bytes(given, ["c2s", "s2c"]))
            }
            "hosts" => (given["host"].clone(), bytes(given, ["to", "from"])),
            _ => (
                serde_json::json!([protocol_of(&given["protocol"]), given["port"]]),
                bytes(given, ["to", "from"]),
            ),
        };
        let what = format!("{what}: {kind} {place}");
        assert_eq!(expected["who"], who, "{what}");
        same(&what, &expected["bytes"], &sum);
        for key in ["share_ratio", "excess_share_ratio"] {
            same(&format!("{what} {key}"), &expected[key], &given[key]);
        }
    }
}

const FIGURES: [(&str, &str); 5] = [
    ("peak", "peak_1ms_bits_per_second"),
    ("p50", "p50_1ms_bits_per_second"),
    ("p90", "p90_1ms_bits_per_second"),
    ("p99", "p99_1ms_bits_per_second"),
    ("classes", "milliseconds_by_utilisation"),
];

/// Percentiles and classes of one direction; without an expectation it was silent.
fn figures_are(what: &str, expected: Option<&Value>, given: &Value) {
    for (ours, theirs) in FIGURES {
        match expected {
            Some(expected) if expected[ours].is_null() => {
                assert!(given[theirs].is_null(), "{what}: {theirs}");
            }
            Some(expected) => same(&format!("{what}: {theirs}"), &expected[ours], &given[theirs]),
            None if ours == "classes" => {
                let filled = given[theirs].as_array().map(|classes| classes[1..].iter().any(|one| *one != 0));
                assert_ne!(filled, Some(true), "{what}: {theirs}");
            }
            None => same(&format!("{what}: {theirs}"), &0.into(), &given[theirs]),
        }
    }
}

/// Of the intervals that both have from begin to end; how many.
pub fn compare_whole_intervals(truth: &Truth, lines: &[Value]) -> usize {
    let [begun, end] = ["begun_ms", "end_ms"].map(|key| truth.0[key].as_u64().expect("ms") * 1_000_000);
    let mut compared = 0;
    for expected in truth.0["intervals"].as_array().expect("a list") {
        let end_ns = expected["end_ns"].as_u64().expect("ns");
        let given = lines.iter().find(|line| {
            line["type"] == "interface"
                && line["interface"] == expected["interface"]
                && end_of(line) == end_ns
        });
        if end_ns > end || end_ns < begun + 1_000_000_000 {
            continue;
        }
        let given = given.unwrap_or_else(|| panic!("no line for {expected}"));
        let direction = expected["direction"].as_str().expect("a name");
        figures_are(
            &format!("{} until {}", given["interface"], given["time"]),
            Some(expected),
            &given[direction],
        );
        compared += 1;
    }
    compared
}

/// Where a line's interval ended, ns.
fn end_of(line: &Value) -> u64 {
    let end: jiff::Timestamp = line["time"].as_str().and_then(|time| time.parse().ok()).expect("a time");
    u64::try_from(end.as_nanosecond()).expect("after 1970")
}

/// Percentiles and classes of every interval, and of the run.
pub fn compare_spreads(truth: &Truth, lines: &[Value]) {
    let lane = |one: &Value| format!("{} {}", one["interface"], one["direction"]);
    let mut intervals: BTreeMap<(u64, String), &Value> = BTreeMap::new();
    for one in truth.0["intervals"].as_array().expect("a list") {
        intervals.insert((one["end_ns"].as_u64().expect("ns"), lane(one)), one);
    }
    let mut whole: BTreeMap<String, &Value> = BTreeMap::new();
    for one in truth.0["run"].as_array().expect("a list") {
        whole.insert(lane(one), one);
    }
    for line in lines.iter().filter(|line| line["type"] == "interface") {
        let end_ns = end_of(line);
        for direction in ["rx", "tx"] {
            let name = format!("{} \"{direction}\"", line["interface"]);
            let expected = intervals.remove(&(end_ns, name.clone()));
            figures_are(&format!("{name} until {}", line["time"]), expected, &line[direction]);
        }
    }
    assert!(intervals.is_empty(), "intervals without a line: {:?}", intervals.keys());
    let stop = lines.last().expect("a line");
    for total in stop["interfaces"].as_array().expect("a list") {
        for direction in ["rx", "tx"] {
            let name = format!("{} \"{direction}\"", total["interface"]);
            figures_are(&format!("{name}, the run"), whole.remove(&name), &total[direction]);
        }
    }
    assert!(whole.is_empty());
}
