//! Figures that stand out (`--highlight`): in text by a mark or on a terminal by
//! reverse video, in JSON lines by name.

#[allow(dead_code)]
mod files_run;
#[allow(dead_code)]
#[path = "common/snapshots.rs"]
mod snapshots;

use files_run::{fixture, run};
use fullcount::aggregate::snapshot::Snapshot;
use fullcount::config::{By, Highlight, Unit};
use fullcount::output::highlight::Highlights;
use fullcount::output::json::JsonLines;
use fullcount::output::text::Text;
use fullcount::output::{Context, Output, StopReason, Style};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};
use snapshots::*;
use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

fn context_with(asked: &[&str]) -> Context {
    let highlight = |text: &&str| {
        let (column, value) = text.split_once(['=', '<']).unwrap();
        Highlight { column: column.into(), below: text.contains('<'), value: value.into() }
    };
    let asked: Vec<Highlight> = asked.iter().map(highlight).collect();
    Context { highlights: Highlights::new(&asked, Unit::Bits).unwrap().into(), ..context() }
}

/// One second with rows, destinations and handshakes.
fn all() -> Snapshot {
    let (mut snapshot, _) = busy();
    snapshot.destinations = Some(destinations());
    snapshot.handshakes = handshakes();
    snapshot
}

fn text(style: Style, asked: &[&str]) -> String {
    let (mut text, context) = (Vec::new(), context_with(asked));
    let mut output = Text::new(&mut text, style);
    output.snapshot(&all(), &Vec::new(), &context).unwrap();
    output.stop(&StopReason::Signal, &all(), &Vec::new(), &context).unwrap();
    String::from_utf8(text).unwrap()
}

/// Words and figures that stand out, wherever they do.
fn marked(text: &str) -> Vec<&str> {
    text.split_whitespace().filter_map(|word| word.strip_suffix('!')).collect()
}

#[test]
fn figures_from_a_value_on_have_a_mark() {
    let destinations = Style { by: By::Destination, ..style() };
    for (asked, expected) in [
        (&["SYN=12000"][..], &["12,000", "12,043"][..]),
        (&["answered<100%"], &["0.0%", "0.3%"]),
        (&["S/A<0.4"], &["0.0%", "0.3%"]),
        (&["Est<50", "attempts=100k"], &["0.0%", "0.0%", "0.0%", "0.3%"]),
        (&["fin-out=90%"], &["90.0%", "90.0%"]),
        (&["QoS=5"], &[]),
        (&["Err=1"], &["3", "3"]),
        (&["attempt rate=12000"], &["12000.00"]),
        (&["Rejected=1"], &["2", "1"]),
        (&["Line=94%"], &["96.0%", "96.0%"]),
        (&["rate=936M"], &["944M", "936M", "944M"]),
        (&["peak=900M"], &["944M", "944M"]),
    ] {
        let said = text(destinations, asked);
        assert_eq!(marked(&said), expected, "{asked:?} in\n{said}");
        let plain = text(destinations, &[]);
        assert!(!plain.contains('!'), "{plain}");
        // Nothing else changes: marks and the room for them taken out, it is the same table.
        let words = |text: &str| -> Vec<String> {
            text.replace('!', " ").split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(words(&said), words(&plain));
        assert!(said.lines().all(|line| line.trim_end() == line));
    }
    // A duration is two words, its mark stands behind the second.
    let said = text(destinations, &["connect=131.7ms"]);
    assert!(said.contains(" 131.7 ms!  120 ") && said.matches('!').count() == 2, "{said}");
    let said = text(destinations, &["connect=131.8ms"]);
    assert_eq!(said.matches('!').count(), 0, "{said}");
}

#[test]
fn digits_stay_below_digits() {
    let said = text(Style { by: By::Destination, ..style() }, &["SYN=12000"]);
    let table: Vec<&str> = said.lines().skip_while(|line| !line.starts_with("Destination  ")).collect();
    let place = |line: &str, word: &str| line.find(word).map(|at| at + word.len());
    assert_eq!(place(table[0], " SYN"), place(table[1], "12,000"), "{said}");
    assert_eq!(place(table[2], " 41"), place(table[1], "12,000"), "{said}");
    assert_eq!(place(table[0], "SYN/s"), place(table[1], "12000.00"), "{said}");
}

#[test]
fn a_terminal_has_reverse_video_and_nothing_moves() {
    let style = Style { by: By::Destination, color: true, ..style() };
    let said = text(style, &["SYN=12000"]);
    assert_eq!(said.matches("\u{1b}[1;7m12,000\u{1b}[0m").count(), 1, "{said}");
    assert_eq!(said.matches('\u{1b}').count(), 4, "{said}");
    let bare = said.replace("\u{1b}[1;7m", "").replace("\u{1b}[0m", "");
    assert_eq!(bare, text(Style { color: false, ..style }, &[]));
}

fn lines(asked: &[&str]) -> Vec<Value> {
    let (mut text, context) = (Vec::new(), context_with(asked));
    let mut output = JsonLines::new(&mut text, style());
    output.start(&start(), &context).unwrap();
    output.snapshot(&all(), &Vec::new(), &context).unwrap();
    output.stop(&StopReason::Signal, &all(), &Vec::new(), &context).unwrap();
    files_run::schema::validate_lines(&String::from_utf8(text).unwrap())
}

#[test]
fn lines_name_the_columns() {
    let lines =
        lines(&["rate=900M", "S/A<90", "Est<90", "Reply=200ms", "Rejected=2", "Err=3", "Line=99", "Line<1"]);
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).collect::<Vec<_>>();
    let interface = of("interface")[0];
    assert_eq!(interface["rx"]["highlights"], json!(["rate"]));
    assert_eq!(interface["tx"].get("highlights"), None);
    assert_eq!(interface["top"][0]["highlights"], json!(["rate"]), "both directions are one column");
    assert_eq!(interface["top"][1].get("highlights"), None);
    assert_eq!(of("interface")[1]["tx"]["highlights"], json!(["utilisation"]));
    let found: Vec<Value> = of("destination").iter().map(|line| line["highlights"].clone()).collect();
    // The last one's attempt was answered and is not established.
    assert_eq!(
        found,
        [json!(["answered", "established"]), json!(["reply"]), json!(["established", "lossy"])]
    );
    let watches: Vec<Value> = of("handshake").iter().map(|line| line["highlights"].clone()).collect();
    assert_eq!(watches, [json!(["rejected"])]);
    assert_eq!(of("stop")[0]["handshakes"][0]["highlights"], json!(["rejected"]));
    assert_eq!(of("stop")[0]["interfaces"][0]["rx"]["highlights"], json!(["rate"]));
    let without = serde_json::to_string(&self::lines(&[])).unwrap();
    assert!(!without.contains("highlights"), "{without}");
}

#[test]
fn a_column_that_is_none_is_wrong_usage() {
    let capture = fixture("http_v4.pcap");
    for (asked, told) in [
        (
            "rtt=5ms",
            "fullcount: --highlight: there is no column rtt with figures: there are rate, utilisation (Line), ",
        ),
        (
            "connect=5",
            "fullcount: --highlight connect: 5 is no value of it: it takes a time with its unit, such as 100ms, 1.5s or 250us\n",
        ),
        (
            "=5",
            "fullcount: --highlight cannot be \"=5\": it takes COLUMN=VALUE, such as connect=100ms, or 'COLUMN<VALUE', such as 'answered<90%'\n",
        ),
    ] {
        let done = run(&["-r", &capture, "--highlight", asked]);
        assert_eq!((done.code, done.output.as_str()), (Some(2), ""), "{asked}: {}", done.complaint);
        assert!(done.complaint.starts_with(told), "{}", done.complaint);
        assert_eq!(done.complaint.lines().count(), 1, "{}", done.complaint);
    }
}

/// A threshold is met where the figure is it, whatever doubles cannot say.
#[test]
fn a_value_itself_stands_out() {
    for percent in 1..=100u64 {
        let mut snapshot = empty(NINE + S);
        let mut lane = lane_totals(1, 100);
        // Of a gigabit in a second, 125 MB.
        lane.line_bytes = 1_250_000 * percent;
        snapshot.interfaces = vec![interface(0, lane, lane)];
        let mut all = destinations();
        let row = &mut all.of_run[0].total.counts;
        (row.attempts, row.answered) = (1000, 10 * percent);
        all.of_run.truncate(1);
        snapshot.destinations = Some(all);
        for (column, marks) in [("line", 2), ("answered", 1)] {
            let said = |asked: String| {
                let (mut text, context) = (Vec::new(), context_with(&[&asked]));
                let style = Style { by: By::Destination, ..style() };
                Text::new(&mut text, style).snapshot(&snapshot, &Vec::new(), &context).unwrap();
                let text = String::from_utf8(text).unwrap();
                // The line of all destinations has another figure.
                text.lines()
                    .filter(|line| !line.starts_with("All "))
                    .map(|line| line.matches('!').count())
                    .sum::<usize>()
            };
            assert_eq!(said(format!("{column}={percent}")), marks, "{column} from {percent} on");
            let others = if column == "line" { 2 } else { 0 };
            assert_eq!(said(format!("{column}<{percent}")), others, "{column} below {percent}");
        }
    }
}

/// Options of README.md name columns that there are.
#[test]
fn examples_are_right() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let words: Vec<&str> = readme.split_whitespace().collect();
    let asked: Vec<&str> = words
        .windows(2)
        .filter(|pair| pair[0] == "--highlight" && pair[1].contains(['=', '<']))
        .map(|pair| pair[1].trim_matches('\''))
        .collect();
    assert!(asked.len() >= 6, "{asked:?}");
    context_with(&asked);
}

/// What the program says to a terminal.
fn on_terminal(more: &[&str], environment: &[(&str, &str)]) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).expect("granted");
    unlockpt(&terminal).expect("unlocked");
    let name = ptsname(&terminal, Vec::new()).expect("a name").into_string().expect("UTF-8");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fullcount"));
    command.args(["-r", &fixture("http_v4.pcap"), "--highlight", "bytes=1k"]).args(more);
    command.env_remove("NO_COLOR").env("TERM", "xterm").envs(environment.iter().copied());
    let open = || File::options().read(true).write(true).open(&name).expect("its other end");
    // Kept open here, so that what was said can be read when the program has ended.
    let kept = open();
    let mut child = command.stdin(Stdio::null()).stdout(open()).spawn().expect("it starts");
    drop(command);
    let reader = std::thread::spawn(move || {
        let (mut text, mut piece) = (Vec::new(), [0; 4096]);
        let mut terminal = File::from(terminal);
        while !text.ends_with(b"END") {
            let length = terminal.read(&mut piece).expect("the terminal is open");
            text.extend_from_slice(&piece[..length]);
        }
        String::from_utf8(text).expect("UTF-8")
    });
    assert!(child.wait().expect("a child").success());
    std::io::Write::write_all(&mut &kept, b"END").expect("open");
    reader.join().expect("read")
}

#[test]
fn a_terminal_is_met_as_it_wishes() {
    let with = on_terminal(&[], &[]);
    assert!(with.contains("\u{1b}[1;7m18.8k\u{1b}[0m") && !with.contains('!'), "{with:?}");
    for (more, environment) in
        [(&["--no-color"][..], &[][..]), (&[], &[("NO_COLOR", "1")]), (&[], &[("TERM", "dumb")])]
    {
        let without = on_terminal(more, environment);
        assert!(without.contains("18.8k!") && !without.contains('\u{1b}'), "{more:?}: {without:?}");
    }
    assert!(on_terminal(&[], &[("NO_COLOR", "")]).contains('\u{1b}'), "an empty one says nothing");
    let piped = run(&["-r", &fixture("http_v4.pcap"), "--highlight", "bytes=1k"]).output;
    assert!(piped.contains("18.8k!") && !piped.contains('\u{1b}'), "{piped}");
}
