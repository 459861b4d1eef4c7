//! docs/COLUMNS.md and docs/LOSSES.md are written from the tables that the
//! program itself uses; this fails when they are stale.
//!
//! `FULLCOUNT_WRITE=1 cargo test --test output_docs` writes them anew.

#[path = "common/golden.rs"]
mod golden;

use fullcount::meter::loss::REASON_TEXTS;
use fullcount::output::columns::{Column, INTERFACE_COLUMNS, Measure, ROW_COLUMNS, STATES, state_words};
use fullcount::output::destinations::DESTINATION_COLUMNS;
use fullcount::output::handshakes::HANDSHAKE_COLUMNS;
use fullcount::output::incomplete::{COLUMNS as INCOMPLETE, SERVER_HEADING};
use fullcount::output::losses::{LOSSES, PLACES, Place};
use golden::same_as_file;
use serde_json::Value;
use std::fmt::Write;

/// A cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn rows_of<T>(columns: &[Column<T>]) -> String {
    let mut text =
        String::from("| heading | name | unit | meaning | in JSON lines |\n|---|---|---|---|---|\n");
    for column in columns {
        let name = match column.measure {
            Measure::Word => "–".to_owned(),
            _ => format!("`{}`", column.name),
        };
        let cells = [column.headings, &name, column.measure.unit(), column.meaning, column.json].map(cell);
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

#[test]
fn columns_are_documented() {
    let mut states = String::from("| text | JSON | meaning |\n|---|---|---|\n");
    for state in STATES {
        let (word, meaning) = state_words(state);
        let _ = writeln!(states, "| `{word}` | `{}` | {meaning} |", state.name());
    }
    let mut incomplete = String::from("| heading | meaning | in JSON lines |\n|---|---|---|\n");
    let _ = writeln!(
        incomplete,
        "| `{SERVER_HEADING}` | The server; `others` are those that found no place. | `server` |"
    );
    for column in &INCOMPLETE {
        let heading = format!("`{}`", column.heading);
        let cells = [&heading, column.meaning, column.json].map(cell);
        let _ = writeln!(incomplete, "| {} |", cells.join(" | "));
    }
    let generated = format!(
        "# Columns of text\n\n\
         Written from the program's own table by a test; do not edit.\n\n\
         Rates are those of the interval named above the table (of the whole run in the summary, and where a \
         file is one table), everything else is since the start. `k`, `M`, `G`, `T`, `P`, `E` are powers of 1000; \
         `-` could not be known. Times are packet time, UTC.\n\n\
         `--highlight NAME=VALUE` makes figures stand out from VALUE on, `--highlight 'NAME<VALUE'` those below it, in \
         every table that has the column; NAME is its name or its heading, VALUE takes the column's unit (`90%`, \
         `1.5ms`, `2s`, `100M`). They are marked by `!`, on a terminal by reverse video, and in JSON lines named in \
         `highlights`.\n\n\
         ## Interfaces\n\n{}\n\
         ## Rows\n\nWhat a row is about is chosen by `--by`, their order by `--sort`, their number by `--top`.\n\n{}\n\
         ## Destinations\n\nWith `--by destination`, below the rows: connections by the server's address, in the words of trtop. \
         Most attempts first; the last line has all of them (in JSON the `destinations` line of an interval, and \
         `destinations` of `stop`).\n\n{}\n\
         ## Handshakes\n\nIn the summary, where any handshake was seen: a line for each watch, since the start. The words \
         are tcpeek's; JSON keeps outcomes apart. What could not be decided is in no column and told below.\n\n{}\n\
          ## Attempts that came to nothing\n\nIn the summary, where there are any: servers with most of them since the start, \
          as many as `--top` says, whatever the watches are. A flood of SYNs shows here, whatever addresses it comes from; \
          JSON has it in `stop`, as `incomplete_handshakes`.\n\n{incomplete}\n\
         ## States\n\n{states}",
        rows_of(&INTERFACE_COLUMNS),
        rows_of(&ROW_COLUMNS),
        rows_of(&DESTINATION_COLUMNS),
        rows_of(&HANDSHAKE_COLUMNS),
    );
    same_as_file("/docs/COLUMNS.md", &generated);
}

#[test]
fn losses_are_documented() {
    let mut reasons = String::from("| `untracked.reasons` | meaning |\n|---|---|\n");
    for text in &REASON_TEXTS {
        let _ = writeln!(reasons, "| `{}` | {} |", text.name, cell(text.sentence));
    }
    let mut others = String::from("| loss | in JSON lines | unit | meaning |\n|---|---|---|---|\n");
    for loss in &LOSSES {
        let lines: Vec<String> = loss.lines.iter().map(|line| format!("`{line}`")).collect();
        let _ = writeln!(
            others,
            "| {} | {}: `{}` | {} | {} |",
            loss.name,
            lines.join(", "),
            loss.json,
            loss.unit,
            cell(loss.meaning)
        );
    }
    let mut places = String::from("| place | in JSON lines | meaning | what mends it |\n|---|---|---|---|\n");
    for Place { loss, mends } in &PLACES {
        let lines: Vec<String> = loss.lines.iter().map(|line| format!("`{line}`")).collect();
        let of_stop = if loss.lines == ["machine"] { " (in `stop`: `machine`)" } else { "" };
        let place = format!("{}{of_stop}: `{}`", lines.join(", "), loss.json);
        let _ = writeln!(places, "| {} | {place} | {} | {} |", loss.name, cell(loss.meaning), cell(mends));
    }
    let generated = format!(
        "# What can be missing, and where it is told\n\n\
         Written from the program's own tables by a test; do not edit.\n\n\
         ## In the totals, but in no flow\n\n\
         Every packet that is counted is in exactly one flow or in `untracked`, by one of these reasons. Text \
         tells them in words under the table of interfaces; the share of bytes that flows have is its last \
         column.\n\n{reasons}\n\
         ## Everything else\n\n{others}\n\
         ## Where it was lost\n\n\
         Live, besides the ring (`capture.kernel_drops`, mended by `--ring-mib`): what NIC, driver, softnet and queueing \
         disciplines counted by themselves, since the start and by interval; in text a sentence under the table where \
         anything was lost, with the line that mends it.\n\n{places}\n\
         - **A span, not a moment.** Counters are read when an interval ends. `since` and `until` say between which readings \
         a figure came, rounded outwards; spans follow on each other, so intervals sum to `stop`. A driver that refreshes its counters by a \
         timer (some do every second or two) may tell a loss a reading late.\n\
         - **Places overlap, so do not add them up**: what softnet drops is in its interface's `rx_dropped` as well; a virtual \
         link counts one loss at both its ends.\n\
         - **Softnet is the machine's**, all interfaces, CPUs and network namespaces together: it has a line of its own, \
         `machine`, in an interval in which there was anything, and stands once in `stop`.\n\
         - **`qdisc.drops` is that of the root**, which has the drops of those inside it. `ingress` in `dropped_by` is a \
         filter's doing, behind the capture, and not in `drops`.\n\
         - **`lost_meanwhile` of a burst** is what came between the last reading before it and the first one after it: \
         the whole span, which is told, not the burst alone. The ring is read at other moments (the workers' cuts), so it has its own span. \
         `null`: there was no such reading.\n\
         - `null` could not be read; a counter that began anew (a driver's reset, a qdisc made again) takes nothing back. \
         Of a qdisc that is removed the kernel tells the last counters, those inside it in its own.\n"
    );
    same_as_file("/docs/LOSSES.md", &generated);
}

#[test]
fn keys_are_described() {
    same_as_file("/docs/KEYS.md", &fullcount::output::tui::keys::markdown());
}

/// A property's schema behind `$ref`, where it is one.
fn resolve<'a>(schema: &'a Value, mut at: &'a Value) -> &'a Value {
    loop {
        let reference = at["$ref"].as_str().or_else(|| at["anyOf"][0]["$ref"].as_str());
        match reference.and_then(|path| path.strip_prefix('#')) {
            Some(path) => at = schema.pointer(path).expect("a reference leads somewhere"),
            None => return at,
        }
    }
}

#[test]
fn every_loss_has_its_place_in_the_schema() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/fullcount.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for loss in LOSSES.iter().chain(PLACES.iter().map(|place| &place.loss)) {
        for line in loss.lines {
            let definition = format!("/$defs/{}{}", line[..1].to_uppercase(), &line[1..]);
            let line = schema.pointer(&definition).expect("a line type");
            let first = loss.json.split('.').next().unwrap();
            let mut at = match line["properties"].get(first) {
                Some(_) => line,
                None => resolve(&schema, &line["properties"]["interfaces"]["items"]),
            };
            for key in loss.json.split('.') {
                let property = at["properties"].get(key);
                at =
                    resolve(&schema, property.unwrap_or_else(|| panic!("{} lacks {key} in {at}", loss.json)));
            }
        }
    }
}
