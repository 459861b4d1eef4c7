//! The final report (`--report`) of runs over files: against the connection lines
//! of the same run, against the table that a whole file gives, and where it
//! cannot be written.

#[path = "file_writer/mod.rs"]
mod file_writer;
#[allow(dead_code)]
mod files_run;
#[path = "common/frames.rs"]
mod frames;

use file_writer::{Classic, Packet};
use files_run::*;
use frames::Ends;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// A run with a report of this name: what it printed, and the report.
fn reported(name: &str, arguments: &[&str]) -> (Run, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    let done = run(&[arguments, &["--report", path.to_str().expect("UTF-8")]].concat());
    let report = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}: {}", done.complaint));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing stands beside it");
    (done, report)
}

/// Bytes of a connection by its ends and interface: to the server, to the client.
type Between = (String, String, String);

fn ends(interface: &str, line: &Value) -> Between {
    (interface.to_owned(), line["client"].to_string(), line["server"].to_string() + &line["vlan"].to_string())
}

/// Flows that ended in any interval are in the report, with all that they had.
#[test]
fn its_rows_are_all_connections_of_the_run() {
    let mut rows_seen = 0;
    for fixture in fixtures() {
        for workers in ["1", "4"] {
            let arguments = ["-r", &fixture.path, "-o", "json", "--connections", "--interval", "0.1"];
            let more = ["--top", "100000", "--workers", workers];
            let (done, report) = reported("run.json", &[&arguments[..], &more].concat());
            let lines = schema::validate_lines(&done.output);
            let report = schema::validate_lines(&report);
            let mut expected: BTreeMap<Between, Vec<[u64; 2]>> = BTreeMap::new();
            for line in of_type(&lines, "connection") {
                let mut by_interface: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
                for (way, place) in [("c2s", 0), ("s2c", 1)] {
                    for (name, bytes) in line[way]["interfaces"].as_object().expect("by interface") {
                        by_interface.entry(name).or_default()[place] += number(bytes);
                    }
                }
                for (name, bytes) in by_interface {
                    expected.entry(ends(name, line)).or_default().push(bytes);
                }
            }
            let mut found: BTreeMap<Between, Vec<[u64; 2]>> = BTreeMap::new();
            for interface in of_type(&report, "interface") {
                let name = interface["interface"].as_str().expect("a name");
                for row in interface["top"].as_array().expect("rows") {
                    let bytes = ["c2s", "s2c"].map(|way| number(&row[way]["bytes"]));
                    found.entry(ends(name, row)).or_default().push(bytes);
                    rows_seen += 1;
                }
            }
            for bytes in expected.values_mut().chain(found.values_mut()) {
                bytes.sort_unstable();
            }
            assert_eq!(found, expected, "{} with {workers} workers", fixture.name);
        }
    }
    assert!(rows_seen > 150, "only {rows_seen} rows");
}

/// A report of a run in short intervals has the sums of that run, and a report tells
/// what `stop` tells.
#[test]
fn its_sums_are_those_of_the_run() {
    for fixture in fixtures() {
        let arguments = ["-r", &fixture.path, "-o", "json", "--interval", "0.1", "--by", "destination"];
        let (done, report) = reported("run.json", &[&arguments[..], &["--top", "100000"]].concat());
        let lines = schema::validate_lines(&done.output);
        let report = schema::validate_lines(&report);
        let same = |keys: &[&str], mut line: Value| {
            keys.iter().for_each(|key| drop(line.as_object_mut().expect("an object").remove(*key)));
            line
        };
        assert_eq!(
            same(&["seq"], stop(&report).clone()),
            same(&["seq"], stop(&lines).clone()),
            "{}",
            fixture.name
        );
        let told: Vec<Value> = of_type(&report, "handshake")
            .map(|line| same(&["type", "time", "seq", "host"], line.clone()))
            .collect();
        let any = |sums: &&Value| {
            let mut leaves = BTreeMap::new();
            sum_leaves(sums, "", &mut leaves);
            leaves.values().any(|&count| count > 0)
        };
        let expected: Vec<Value> =
            stop(&lines)["handshakes"].as_array().expect("a list").iter().filter(any).cloned().collect();
        assert_eq!(told, expected, "{}", fixture.name);
        let name = |line: &Value| (line["destination"].to_string(), line["direction"].to_string());
        let sums = |lines: &[Value]| {
            let mut sums: BTreeMap<_, [u64; 5]> = BTreeMap::new();
            for line in of_type(lines, "destination") {
                let keys = ["attempts", "requests", "exchanges", "ended", "connections_with_loss"];
                let sum = sums.entry(name(line)).or_default();
                sum.iter_mut().zip(keys).for_each(|(sum, key)| *sum += number(&line[key]));
            }
            sums
        };
        assert_eq!(sums(&report), sums(&lines), "{}", fixture.name);
        assert_eq!(of_type(&report, "destination").count(), sums(&report).len(), "each once");
        for (interface, total) in
            of_type(&report, "interface").zip(stop(&report)["interfaces"].as_array().expect("a list"))
        {
            let bare = same(&["type", "time", "seq", "host", "interval_seconds", "top"], interface.clone());
            assert_eq!(&bare, total, "{}", fixture.name);
        }
    }
}

/// The table of a run in intervals is that of the whole file in one.
#[test]
fn its_tables_are_those_of_a_whole_file() {
    for fixture in fixtures() {
        let groupings = ["connection", "pair", "host", "destination", "port", "interface"];
        // What is below the fold is counted, too.
        let folded = [("connection", "2", "bytes"), ("connection", "1", "packets"), ("host", "2", "packets")];
        for (by, top, sort) in groupings.map(|by| (by, "20", "bytes")).into_iter().chain(folded) {
            let arguments = ["-r", &fixture.path, "--by", by, "--top", top, "--sort", sort];
            let whole = run(&arguments).output;
            let (_, report) =
                reported("run.txt", &[&arguments[..], &["-o", "json", "--interval", "0.1"]].concat());
            let report = report.split_once("\n\n").expect("a headline").1;
            // Up to where states and what is open depend on the end of the last interval.
            let table = |text: &str| {
                let lines = text.lines().skip_while(|line| line.starts_with("Note: ") || line.is_empty());
                let state = if by == "connection" { 7 } else { 0 };
                let lines = lines.take_while(|line| !line.is_empty());
                lines
                    .map(|line| line.chars().skip(state).collect::<String>().trim_start().to_owned())
                    .collect::<Vec<_>>()
            };
            assert_eq!(table(report), table(&whole), "{} by {by}", fixture.name);
        }
    }
}

/// More connections than are kept apart end in one interval, and a flow long after them.
fn scan(connections: u32) -> tempfile::NamedTempFile {
    const S: u64 = 1_000_000_000;
    let mut packets = Vec::new();
    let mut put = |time_ns: u64, packet: Vec<u8>| {
        let data = frames::ethernet(&[], 0x0800, &packet);
        packets.push(Packet { time_ns, len: data.len() as u32, data });
    };
    for n in 0..connections {
        let [_, _, high, low] = n.to_be_bytes();
        let there = Ends::v4(([198, 18, high, low], 4000), ([198, 19, 0, (n % 200) as u8], 80));
        let time_ns = 1_795_251_600 * S + u64::from(n) * 20_000;
        let payload = (n as usize * 7919) % 1000;
        for copy in 0..=u64::from(n % 3) {
            let syn = frames::tcp(there, 1, 0, 0x02, payload);
            put(time_ns + copy * 1000, frames::ip(there, frames::TCP, &syn));
        }
        let rst = frames::tcp(there.back(), 0, 2 + payload as u32, 0x14, 0);
        put(time_ns + 10_000, frames::ip(there.back(), frames::TCP, &rst));
    }
    let last = Ends::v4(([198, 18, 0, 1], 4000), ([198, 19, 0, 1], 53));
    put(1_795_251_800 * S, frames::ip(last, frames::UDP, &frames::udp(last, 10)));
    let named = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(named.path(), Classic::NANO.write(&packets).concat()).expect("written");
    named
}

#[test]
fn of_many_connections_it_has_the_largest_and_their_number() {
    const MANY: u32 = 30_000;
    let file = scan(MANY);
    let path = file.path().to_str().expect("UTF-8");
    let (_, lines) = lines_of(&["-r", path, "--interval", "50"]);
    let figure = |line: &Value, what: &str| number(&line["c2s"][what]) + number(&line["s2c"][what]);
    for (sort, what) in [("bytes", "bytes"), ("packets", "packets"), ("rate", "bytes")] {
        let mut expected: Vec<u64> = of_type(&lines, "connection").map(|line| figure(line, what)).collect();
        assert_eq!(expected.len(), MANY as usize + 1);
        expected.sort_unstable_by(|a, b| b.cmp(a));
        for workers in ["1", "2"] {
            let arguments = ["-r", path, "-o", "json", "--interval", "50", "--top", "500", "--sort", sort];
            let arguments = [&arguments[..], &["--workers", workers]].concat();
            let (_, report) = reported("run.json", &arguments);
            let report = schema::validate_lines(&report);
            let interface = of_type(&report, "interface").next().expect("a line");
            let rows = interface["top"].as_array().expect("rows").iter().map(|row| figure(row, what));
            assert_eq!(rows.collect::<Vec<_>>(), expected[..500], "by {sort}, {workers} workers");
        }
    }
    let (_, text) = reported("run.txt", &["-r", path, "-o", "json", "--interval", "50"]);
    assert!(text.contains("\n20 of 30,001 shown\n"), "{text}");
}

#[test]
fn it_stands_beside_any_output() {
    let path = fixture("http_v4.pcap");
    for output in [&["-o", "text"][..], &["-o", "json"]] {
        for name in ["run", "run.txt", "run.json", "run.JSONL"] {
            let arguments = [&["-r", &path], output].concat();
            let (done, report) = reported(name, &arguments);
            assert_eq!((done.code, done.complaint.as_str()), (Some(0), ""));
            assert_eq!(done.output, run(&arguments).output, "the ordinary output is what it was");
            if name.to_lowercase().contains("json") {
                assert_eq!(stop(&schema::validate_lines(&report))["reason"], "end of file");
            } else {
                assert!(
                    report.starts_with("Report of fullcount ") && report.contains("\nAll read, 42.7 ms"),
                    "{report}"
                );
            }
        }
    }
    let (_, report) = reported("run.txt", &["-r", &path, "--highlight", "bytes=1k", "--top", "0"]);
    assert!(report.contains("18,930!") && !report.contains("Client"), "{report}");
}

#[test]
fn damage_is_told_and_the_report_is_there() {
    let whole = std::fs::read(fixture("http_v4.pcap")).expect("readable");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cut.pcap");
    std::fs::write(&path, &whole[..whole.len() - 7]).expect("written");
    let (done, report) = reported("run.json", &["-r", path.to_str().expect("UTF-8")]);
    assert_eq!(done.code, Some(1), "{}", done.complaint);
    assert_eq!(stop(&schema::validate_lines(&report))["reason"], "error");
}

/// Root may write anywhere but below a file.
#[test]
fn where_it_cannot_be_written_all_else_is_as_it_was() {
    let path = fixture("http_v4.pcap");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "kept").expect("written");
    for (place, why) in [
        (file.join("report.txt"), "Not a directory (os error 20)"),
        (folder.path().join("none/report.txt"), "No such file or directory (os error 2)"),
    ] {
        let place = place.to_str().expect("UTF-8");
        let done = run(&["-r", &path, "--report", place]);
        assert_eq!(done.code, Some(1));
        let sentence = format!(
            "--report {place}: cannot write it: {why}: name a file in a directory that this user may write to"
        );
        assert_eq!(done.complaint, format!("fullcount: {sentence}\n"));
        // Told before it is too late, too.
        let note = format!("Note: {sentence}\n\n");
        assert_eq!(done.output, note + &run(&["-r", &path]).output);
    }
    assert_eq!(std::fs::read_to_string(&file).expect("readable"), "kept");
    let taken = run(&["-r", &path, "--report", folder.path().to_str().expect("UTF-8")]);
    assert_eq!(taken.code, Some(1), "{}", taken.complaint);
    assert!(taken.complaint.contains("Is a directory"), "{}", taken.complaint);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left there");
    let full = run(&["-r", &path, "--report", "/dev/full"]);
    assert_eq!(full.code, Some(1), "{}", full.complaint);
    assert!(full.complaint.contains("No space left on device"), "{}", full.complaint);
    assert!(!Path::new("/dev/full").is_file(), "a device stays one");
}

#[test]
fn both_faults_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let cut = folder.path().join("cut.pcap");
    let whole = std::fs::read(fixture("http_v4.pcap")).expect("readable");
    std::fs::write(&cut, &whole[..whole.len() - 7]).expect("written");
    let place = cut.join("report");
    let done = run(&["-r", cut.to_str().expect("UTF-8"), "--report", place.to_str().expect("UTF-8")]);
    assert_eq!((done.code, done.complaint.lines().count()), (Some(1), 2), "{}", done.complaint);
}

#[test]
fn who_stops_reading_has_a_report_all_the_same() {
    // The one table of a file, and those of a stream: at its end, and in the middle.
    for input in ["file", "stream"] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run.json");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let capture = fixture("keep_alive.pcap");
        let read = if input == "file" { &capture[..] } else { "-" };
        let mut command = Command::new(env!("CARGO_BIN_EXE_fullcount"));
        command.args(["-r", read, "-o", "text", "--interval", "0.1", "--report"]).arg(&path);
        let stream = std::fs::File::open(&capture).expect("readable");
        let done = command.stdout(writer).stdin(stream).output().expect("it starts");
        assert_eq!((done.status.code(), done.stderr.as_slice()), (Some(0), &b""[..]));
        let report = schema::validate_lines(&std::fs::read_to_string(&path).expect("a report"));
        assert_eq!(stop(&report)["reason"], json!("closed pipe"), "{input}");
    }
}
