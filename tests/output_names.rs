//! Names for addresses (`--names`): in every table and every line that has an
//! address, and nowhere else; and what is said of a file that is none.

#[allow(dead_code)]
mod files_run;
#[allow(dead_code)]
#[path = "common/snapshots.rs"]
mod snapshots;

use files_run::{fixture, run};
use fullcount::aggregate::snapshot::{Row, RowName, Snapshot};
use fullcount::config::By;
use fullcount::decode::protocol;
use fullcount::output::handshakes::SessionLines;
use fullcount::output::json::JsonLines;
use fullcount::output::names::Names;
use fullcount::output::text::Text;
use fullcount::output::{Context, Output, StopReason, Style};
use serde_json::{Value, json};
use snapshots::*;
use std::path::PathBuf;

/// One end of each thing in [`snapshots`], IPv4 and IPv6.
const FILE: &[u8] = b"0.0.0.0 rest\n192.0.2.7 desk\n198.51.100.2 web\n192.0.2.2 two\n2001:db8::1:2:3:4 six\n";

fn named() -> Context {
    Context { names: Names::read(FILE).unwrap().into(), ..context() }
}

fn text(by: By, snapshot: &Snapshot, context: &Context) -> String {
    let mut text = Vec::new();
    let style = Style { by, whole: true, ..style() };
    Text::new(&mut text, style).stop(&StopReason::EndOfFile, snapshot, &Vec::new(), context).unwrap();
    String::from_utf8(text).unwrap()
}

fn lines(snapshot: &Snapshot, context: &Context) -> Vec<Value> {
    let mut text = Vec::new();
    let mut output = JsonLines::new(&mut text, style());
    output.start(&start(), context).unwrap();
    output.snapshot(snapshot, &Vec::new(), context).unwrap();
    files_run::schema::validate_lines(&String::from_utf8(text).unwrap())
}

fn six() -> (fullcount::flow::key::FlowKey, bool) {
    let ip = |text: &str| text.parse().unwrap();
    key_v6(protocol::TCP, (ip("2001:db8::1:2:3:4"), 51812), (ip("2001:db8:ffff::443"), 443))
}

fn rows() -> Vec<(By, Row, &'static str, Value)> {
    let now = [count(1, 100), count(1, 100)];
    let group = |name| group_row(name, now, now);
    vec![
        (
            By::Connection,
            connection_row(web(), None, now, now),
            "  desk:40112 → web:443\n",
            json!({"client": {"ip": "192.0.2.7", "name": "desk", "port": 40112},
                   "server": {"ip": "198.51.100.2", "name": "web", "port": 443}}),
        ),
        (
            By::Connection,
            connection_row(six(), None, now, now),
            "  six:51812 → [2001:db8:ffff::443]:443\n",
            json!({"client": {"ip": "2001:db8::1:2:3:4", "name": "six", "port": 51812},
                   "server": {"ip": "2001:db8:ffff::443", "port": 443}}),
        ),
        (
            By::Pair,
            group(RowName::Pair(v4(1), v4(2))),
            "  192.0.2.1 → two\n",
            json!({"a": "192.0.2.1", "a_name": null, "b": "192.0.2.2", "b_name": "two"}),
        ),
        (By::Host, group(RowName::Host(v4(2))), "  two\n", json!({"host": "192.0.2.2", "name": "two"})),
        (
            By::Destination,
            group(RowName::Destination(v4(2))),
            "  two\n",
            json!({"destination": "192.0.2.2", "name": "two"}),
        ),
        (By::Host, group(RowName::Host(v4(1))), "  192.0.2.1\n", json!({"host": "192.0.2.1", "name": null})),
    ]
}

#[test]
fn every_row_has_names_where_there_are_some() {
    for (by, row, shown, keys) in rows() {
        let mut snapshot = empty(NINE + S);
        snapshot.interfaces = vec![interface(0, lane_totals(1, 60), lane_totals(1, 60))];
        (snapshot.rows, snapshot.link_rows) = (vec![row.clone()], vec![vec![row]]);
        let said = text(by, &snapshot, &named());
        assert!(said.contains(shown), "{shown} in\n{said}");
        let told = lines(&snapshot, &named())[1]["top"][0].clone();
        for (key, value) in keys.as_object().unwrap() {
            assert_eq!(told.get(key).unwrap_or(&Value::Null), value, "{key} in {told}");
        }
        let without = lines(&snapshot, &context())[1]["top"][0].to_string();
        assert!(!without.contains("name"), "{without}");
    }
}

#[test]
fn destinations_sessions_and_connections_have_names() {
    let mut snapshot = empty(NINE + S);
    snapshot.destinations = Some(destinations());
    snapshot.handshakes = handshakes();
    snapshot.accounts = vec![account()];
    let said = text(By::Destination, &snapshot, &named());
    for shown in ["\ntwo          out  ", "\nsix          in  ", "\n192.0.2.9    out  ", "\nothers       -  "]
    {
        assert!(said.contains(shown), "{shown} in\n{said}");
    }
    let lines = lines(&snapshot, &named());
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).collect::<Vec<_>>();
    let found: Vec<_> =
        of("destination").iter().map(|line| (line["destination"].clone(), line["name"].clone())).collect();
    let expected = [("192.0.2.9", json!(null)), ("192.0.2.2", json!("two")), ("0.0.0.0", json!(null))];
    assert_eq!(found, expected.map(|(address, name)| (json!(address), name)));
    for line in of("session").iter().chain(&of("connection")) {
        let is_six = line["client"]["ip"] == "2001:db8::1:2:3:4";
        assert_eq!(line["client"]["name"], if is_six { "six" } else { "desk" }, "{line}");
        assert_eq!(line["server"].get("name"), (!is_six).then_some(&json!("web")), "{line}");
    }
    assert!(of("session").len() > 5 && of("connection").len() == 1);
    let mut sessions = Vec::new();
    SessionLines::new(&mut sessions).tell(&snapshot.handshakes, &named().names).unwrap();
    let sessions = String::from_utf8(sessions).unwrap();
    assert!(sessions.contains(" |            desk:40112             web:443   | "), "{sessions}");
    assert!(sessions.contains(" |             six:51812 [2001:db8:ffff::443]:443   | "), "{sessions}");
}

fn file(text: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts");
    std::fs::write(&path, text).expect("written");
    (folder, path)
}

#[test]
fn a_file_of_names_is_read_with_n_too() {
    let capture = fixture("http_v4.pcap");
    let (_folder, path) = file(b"198.18.0.2 web\x1b[2J # ours\n");
    let path = path.to_str().expect("UTF-8");
    for more in [&[][..], &["-n"]] {
        let done = run(&[&["-r", &capture, "--names", path], more].concat());
        assert!(done.output.contains(" 198.18.0.1:43258 → web\u{fffd}[2J:80\n"), "{}", done.output);
        assert_eq!((done.code, done.complaint.as_str()), (Some(0), ""));
    }
    let done = run(&["-r", &capture, "-o", "json", "--connections", "--sessions", "--names", path]);
    assert!(!done.output.contains('\u{1b}'));
    files_run::schema::validate_lines(&done.output);
    assert!(done.output.matches("\"name\":\"web\u{fffd}[2J\"").count() >= 3, "{}", done.output);
}

#[test]
fn a_file_that_is_none_is_told_before_anything_is_read() {
    let capture = fixture("http_v4.pcap");
    let (folder, path) = file(b"# ours\nweb1 192.0.2.1\n192.0.2.2\n");
    let path = path.to_str().expect("UTF-8");
    let of = |path: &str| {
        let done = run(&["-r", &capture, "--names", path]);
        assert_eq!((done.code, done.output.as_str()), (Some(1), ""), "{}", done.complaint);
        done.complaint
    };
    assert_eq!(
        of(path),
        format!(
            "fullcount: --names {path}: line 2: web1 is no address: a line takes an address and a name, as in 192.0.2.1 web1\n\
             fullcount: --names {path}: line 3: 192.0.2.2 has no name behind it: a line takes an address and a name\n"
        )
    );
    let many = "x y\n".repeat(8);
    std::fs::write(path, many).expect("written");
    assert!(of(path).ends_with(&format!(
        "line 5: {}\nfullcount: --names {path}: 3 more lines are wrong\n",
        "x is no address: a line takes an address and a name, as in 192.0.2.1 web1"
    )));
    let missing = folder.path().join("none");
    let missing = missing.to_str().expect("UTF-8");
    assert_eq!(
        of(missing),
        format!("fullcount: --names {missing}: cannot read it: No such file or directory (os error 2)\n")
    );
    assert!(of("/dev/zero").contains("this is larger than 64 MiB"));
}
