//! What ARCHITECTURE.md says about the sources and a machine can check: which
//! way imports point, where `unsafe`, clocks and locks stand, what the packet
//! path does not do, how long files and functions are, which licences come in.
//!
//! Reads the sources as text, formatted by rustfmt. Knows no Rust but use
//! trees, comments and indentation; a test module at the end of a file is left
//! out, except where a check says otherwise.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms from the top down, each with what it may import. A room may import
/// only what stands further down (held by a test), so nothing goes in a circle.
///
/// `a::*` is all of room `a`; `a::b` its part `b`; `a` alone the words that
/// room's own file defines (types and constants: `capture::Lane`).
const ROOMS: &[(&str, &[&str])] = &[
    ("main", &["cli::*", "run::*"]),
    (
        "run",
        &[
            "output::*",
            "aggregate::*",
            "worker::*",
            "flow::*",
            "meter::*",
            "decode",
            "decode::pairs",
            "capture::*",
            "demo",
            "demo::scene",
            "config",
        ],
    ),
    // A play of its own: knows no interface, no clock, nobody here.
    ("demo", &[]),
    ("cli", &["config"]),
    // Outputs see what the aggregator publishes, and the words that it is made
    // of. No worker, no ring, no file.
    (
        "output",
        &[
            "aggregate::*",
            "flow::*",
            "meter::*",
            "links::*",
            "decode",
            "decode::protocol",
            "capture",
            "config",
        ],
    ),
    // The aggregator sees what workers hand over; not how they came by it.
    (
        "aggregate",
        &[
            "worker",
            "worker::look",
            "worker::outbox",
            "flow::*",
            "meter::*",
            "decode::pairs",
            "links::*",
            "capture",
        ],
    ),
    ("worker", &["flow::*", "meter::*", "decode::*", "capture::*"]),
    // Flows and meters see packets, never a frame or where it came from.
    ("flow", &["meter::*", "decode::*", "capture", "capture::sys::memory"]),
    ("meter", &["decode", "capture", "capture::sys::memory", "flow::key"]),
    ("decode", &["meter::loss", "flow::key", "links::header", "capture"]),
    // A dealer has to find a flow's owner before anybody decodes the packet, by
    // the same words that name the flow.
    ("capture", &["flow::key"]),
    // What a bond does with packets, from what names a flow and plain data.
    ("links", &["flow::key"]),
    ("config", &[]),
    // Vocabulary: these two know nothing and hold nothing, so everybody may
    // use them wherever the rooms that they belong to stand.
    ("flow::key", &[]),
    ("meter::loss", &[]),
];

/// Files that may hold `unsafe`, each block argued (clippy sees to that).
const UNSAFE: &[&str] = &["capture/sys.rs", "capture/sys/", "flow/prefetch.rs"];

/// Files that may ask what time it is.
const CLOCKS: &[&str] = &["worker/clock.rs", "run.rs", "run/"];

/// Rooms that every packet goes through: no words are made here, nothing is told.
const PACKET_PATH: &[&str] = &["flow/", "meter/", "decode.rs", "decode/", "worker.rs", "worker/"];

/// Locks on the packet path, with the reason.
const LOCKS: &[(&str, &str)] = &[
    (
        "decode/headers.rs",
        "numbers of VLAN stacks are shared by all workers; each remembers its latest, so the map is asked at a change only",
    ),
    (
        "decode/pairs.rs",
        "numbers of link-layer addresses are shared by all workers; asked where a flow's sender is first seen, and each remembers its latest",
    ),
];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// Files that are longer: how long they may be, and why.
const LONG_FILES: &[(&str, usize, &str)] = &[];

/// Functions that are longer: how long they may be, and why.
const LONG_FUNCTIONS: &[(&str, &str, usize, &str)] = &[
    ("capture/file/error.rs", "fmt", 75, "one sentence for each error"),
    ("decode.rs", "transport", 71, "one arm for each protocol"),
    ("run/files.rs", "run", 121, "all threads of a run, in one scope"),
    ("run/live.rs", "run", 168, "all threads of a run, in one scope"),
];

/// One source file.
struct Source {
    /// Below `src/`.
    name: String,
    /// Lines, comments taken out, up to the test module.
    code: Vec<String>,
    /// Lines as they are, up to the test module.
    lines: Vec<String>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Everything below a folder, in order, but for what builds and git put there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != ".git" && name != "__pycache__" && name != "proptest-regressions" {
                found.extend(files(&path));
            }
        } else if name != ".git" {
            found.push(path);
        }
    }
    found
}

fn sources() -> Vec<Source> {
    let folder = root().join("src");
    let rust = files(&folder).into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let sources: Vec<Source> = rust
        .filter(|path| path.file_name().is_none_or(|name| name != "tests.rs"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file");
            let all: Vec<String> = text.lines().map(str::to_owned).collect();
            let tests = all.windows(2).position(|pair| {
                pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
            });
            let lines = all[..tests.unwrap_or(all.len())].to_vec();
            let name = path.strip_prefix(&folder).expect("below src").to_string_lossy().into_owned();
            Source { name, code: lines.iter().map(|line| without_comment(line)).collect(), lines }
        })
        .collect();
    assert!(sources.len() > 30, "the sources were not found");
    sources
}

/// A line up to `//`, if that does not stand in a string.
fn without_comment(line: &str) -> String {
    let mut quoted = false;
    let mut before = ' ';
    for (at, one) in line.char_indices() {
        if one == '"' && before != '\\' && before != '\'' {
            quoted = !quoted;
        }
        if !quoted && line[at..].starts_with("//") {
            return line[..at].to_owned();
        }
        before = one;
    }
    line.to_owned()
}

/// Whether a word stands in a line by itself.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_name = |one: char| one.is_alphanumeric() || one == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(part_of_name)
            && (!word.ends_with(part_of_name) || !line[at + word.len()..].starts_with(part_of_name))
    })
}

fn stands_in(name: &str, places: &[&str]) -> bool {
    places.iter().any(|place| name == *place || (place.ends_with('/') && name.starts_with(place)))
}

/// Lines with one of the words, outside the places where it may stand.
fn strays(sources: &[Source], words: &[&str], wanted: impl Fn(&str) -> bool) -> String {
    let mut faults = String::new();
    for source in sources.iter().filter(|source| wanted(&source.name)) {
        for (number, line) in source.code.iter().enumerate() {
            for word in words.iter().filter(|word| has_word(line, word)) {
                let _ = writeln!(faults, "src/{}:{}: `{word}` in: {}", source.name, number + 1, line.trim());
            }
        }
    }
    faults
}

fn fails(what: &str, faults: &str) {
    assert!(faults.is_empty(), "{what}\n{faults}");
}

/// The room that a file or a path within the crate belongs to: the longest name that fits.
fn room_of(path: &str) -> Option<&'static str> {
    let fits =
        |room: &&str| path == *room || path.strip_prefix(*room).is_some_and(|rest| rest.starts_with("::"));
    ROOMS.iter().map(|(room, _)| *room).filter(fits).max_by_key(|room| room.len())
}

/// Paths below `crate::` that code names, use trees taken apart. `::` for
/// `self`, so that `a::{self, B}` gives `a` and `a::B`.
fn crate_paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for prefix in ["crate::", "fullcount::"] {
        for (at, _) in code.match_indices(prefix) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|one| one.is_alphanumeric() || one == '_' || one == ':') {
                continue;
            }
            expand("", &code[at + prefix.len()..], &mut paths);
        }
    }
    paths
}

/// Adds all paths of the use tree that `text` begins with; the rest of it comes back.
fn expand<'a>(prefix: &str, text: &'a str, paths: &mut Vec<String>) -> &'a str {
    let mut path = prefix.to_owned();
    let mut rest = text.trim_start();
    loop {
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside.trim_start();
            while !rest.is_empty() && !rest.starts_with('}') {
                rest = expand(&path, rest, paths).trim_start();
                if let Some(renamed) = rest.strip_prefix("as ") {
                    rest = renamed
                        .trim_start_matches(|one: char| one.is_alphanumeric() || one == '_')
                        .trim_start();
                }
                rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
            }
            return rest.strip_prefix('}').unwrap_or(rest);
        }
        let end = rest.find(|one: char| !one.is_alphanumeric() && one != '_').unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        if word != "self" && !word.is_empty() {
            if !path.is_empty() {
                path.push_str("::");
            }
            path.push_str(word);
        }
        match behind.strip_prefix("::") {
            Some(more) if more.starts_with(|one: char| one.is_alphanumeric() || one == '_' || one == '{') => {
                rest = more
            }
            _ => {
                paths.push(path);
                return behind;
            }
        }
    }
}

/// Whether a path is what an entry of [`ROOMS`] allows.
fn is_allowed(path: &str, entry: &str) -> bool {
    if let Some(room) = entry.strip_suffix("::*") {
        return path == room || path.starts_with(&format!("{room}::"));
    }
    match path.strip_prefix(entry) {
        None => false,
        Some("") => true,
        // A part of a room with all that it has, or the words of a room's own file.
        Some(rest) => rest.strip_prefix("::").is_some_and(|rest| {
            let folder = root().join("src").join(entry.replace("::", "/"));
            let first = rest.split("::").next().unwrap_or(rest);
            !folder.join(first).is_dir() && !folder.join(format!("{first}.rs")).is_file()
        }),
    }
}

#[test]
fn imports_point_down() {
    let mut faults = String::new();
    for source in sources() {
        if source.name != "lib.rs" {
            faults.push_str(&import_faults(&source.name, &source.code.join("\n")));
        }
    }
    fails("a room imports what it must not know (tests/tidy.rs, ROOMS)", &faults);
}

fn import_faults(name: &str, code: &str) -> String {
    let module = name.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
    let Some(room) = room_of(&module) else {
        return format!("src/{name}: a new room: it needs a line in tests/tidy.rs\n");
    };
    let (_, allowed) = ROOMS.iter().find(|(name, _)| *name == room).expect("listed");
    let paths: BTreeSet<String> = crate_paths(code).into_iter().collect();
    let own = |path: &String| path == room || path.starts_with(&format!("{room}::"));
    let strange = |path: &&String| !own(path) && !allowed.iter().any(|entry| is_allowed(path, entry));
    paths
        .iter()
        .filter(strange)
        .fold(String::new(), |faults, path| format!("{faults}src/{name} ({room}) imports {path}\n"))
}

/// The check itself has to see what it is for.
#[test]
fn imports_that_point_up_are_seen() {
    let cases = [
        ("flow/table.rs", "use crate::worker::SLICE;", false),
        ("flow/table.rs", "use crate::{meter::totals::Totals, output::Context};", false),
        ("flow/table.rs", "use crate::capture::ring::Ring;", false),
        ("flow/table.rs", "use crate::capture::{Lane, ring};", false),
        ("flow/table.rs", "use crate::capture::{Lane, LinkId};", true),
        ("capture/ring.rs", "fn a() { crate::decode::impossible() }", false),
        ("capture/ring.rs", "use crate::flow::tcp;", false),
        ("capture/deal.rs", "use crate::flow::key::FlowKey;", true),
        ("decode/headers.rs", "use crate::meter::totals::Count;", false),
        ("meter/totals.rs", "use crate::flow::table::BATCH;", false),
        ("aggregate/mod.rs", "use crate::worker::{outbox::Cut, live::Live};", false),
        ("aggregate/mod.rs", "use crate::worker::outbox::Cut;", true),
        ("aggregate/rows.rs", "use crate::decode::Packet;", false),
        ("output/text.rs", "use crate::capture::link::Bond;", false),
        ("output/text.rs", "use crate::worker::outbox::Cut;", false),
        ("output/json.rs", "use crate::run::RunError;", false),
        ("flow/key.rs", "use crate::capture::Lane;", false),
        ("config.rs", "use crate::cli::Request;", false),
        ("links/header.rs", "use crate::flow::key::FlowKey;", true),
        ("links/what_if.rs", "use crate::capture::link::Bond;", false),
        ("cli/watch.rs", "use crate::capture::filter::Filter;", false),
        ("newroom.rs", "", false),
    ];
    for (name, code, fine) in cases {
        assert_eq!(import_faults(name, code).is_empty(), fine, "{name}: {code}");
    }
}

#[test]
fn no_room_may_import_upwards() {
    let place = |room: &str| ROOMS.iter().position(|(name, _)| *name == room).expect("listed");
    for (number, (room, allowed)) in ROOMS.iter().enumerate() {
        for entry in *allowed {
            let target = room_of(entry.trim_end_matches("::*")).expect("a room");
            assert!(place(target) > number, "{room} stands below {entry}");
        }
    }
}

#[test]
fn use_trees_are_understood() {
    let code = "use crate::a::{self, b::{C, d}, E as F};\nuse crate::{g, h::I};\nlet x = crate::j::k(1) + my_crate::no();";
    let expected = ["a", "a::b::C", "a::b::d", "a::E", "g", "h::I", "j::k"];
    let found = crate_paths(code);
    assert_eq!(found, expected);
    assert!(is_allowed("capture::Lane", "capture") && !is_allowed("capture::ring::Ring", "capture"));
    assert!(
        is_allowed("worker::outbox::Cut", "worker::outbox")
            && !is_allowed("worker::live::Live", "worker::outbox")
    );
    assert!(is_allowed("flow::table::BATCH", "flow::*") && !is_allowed("flowers::A", "flow::*"));
    assert_eq!(room_of("flow::key"), Some("flow::key"));
    assert_eq!(room_of("flow::table"), Some("flow"));
    assert_eq!(without_comment(r#"let a = "http://x"; // b"#), r#"let a = "http://x"; "#);
    assert!(has_word("x: Mutex<u8>", "Mutex") && !has_word("MutexGuard", "Mutex"));
}

#[test]
fn unsafe_stands_where_it_is_argued() {
    let faults = strays(&sources(), &["unsafe"], |name| !stands_in(name, UNSAFE));
    fails("unsafe outside the rooms that may have it", &faults);
}

#[test]
fn time_comes_in_as_an_argument() {
    let clocks = ["Instant", "SystemTime", "UNIX_EPOCH", "clock_gettime", "Timestamp::now", "Zoned::now"];
    let faults = strays(&sources(), &clocks, |name| !stands_in(name, CLOCKS));
    fails("a clock is read outside worker/clock.rs and run/", &faults);
    let asked = ["clock::now_ns", "now_ns()"];
    let below = |name: &str| !stands_in(name, CLOCKS) && name != "worker/live.rs";
    fails("only the live loop and run/ ask the clock", &strays(&sources(), &asked, below));
}

#[test]
fn nothing_is_told_on_the_packet_path() {
    let words = ["println!", "eprintln!", "print!", "eprint!", "dbg!", "format!", "log::", "tracing::"];
    let faults = strays(&sources(), &words, |name| stands_in(name, PACKET_PATH));
    fails("words are made on the packet path", &faults);
    // Elsewhere only the outputs and main write to the terminal.
    let told = ["println!", "print!", "eprint!", "dbg!", "eprintln!"];
    fails("a room writes to the terminal by itself", &strays(&sources(), &told, |name| name != "main.rs"));
}

#[test]
fn the_packet_path_takes_no_lock() {
    let words = [
        "Mutex",
        "RwLock",
        "Condvar",
        "RefCell",
        "DashMap",
        "thread_local",
        "SeqCst",
        "fetch_add",
        "OnceLock",
    ];
    let wanted = |name: &str| stands_in(name, PACKET_PATH) && !LOCKS.iter().any(|(place, _)| *place == name);
    fails("a lock or a shared write on the packet path", &strays(&sources(), &words, wanted));
}

#[test]
fn no_panic_is_written_down() {
    let words = ["unwrap()", "expect(", "panic!", "unreachable!", "todo!", "unimplemented!"];
    fails("a value from outside must not end the program", &strays(&sources(), &words, |_| true));
}

#[test]
fn files_open_with_what_they_own() {
    let mut faults = String::new();
    for folder in ["src", "tests", "examples", "benches"] {
        let folder = root().join(folder);
        for path in if folder.is_dir() { files(&folder) } else { Vec::new() } {
            if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                if !text.trim().is_empty() && !text.starts_with("//!") {
                    let _ = writeln!(faults, "{}", path.display());
                }
            }
        }
    }
    fails("these files do not begin with what they own (//!)", &faults);
}

#[test]
fn files_and_functions_are_short() {
    let mut faults = String::new();
    for source in sources() {
        let limit =
            LONG_FILES.iter().find(|(name, ..)| *name == source.name).map_or(FILE_LINES_MAX, |long| long.1);
        if source.lines.len() > limit {
            let _ =
                writeln!(faults, "src/{}: {} lines, {limit} are allowed", source.name, source.lines.len());
        }
        for (name, line, length) in functions(&source.lines) {
            let long =
                LONG_FUNCTIONS.iter().find(|(file, function, ..)| *file == source.name && *function == name);
            let limit = long.map_or(FUNCTION_LINES_MAX, |long| long.2);
            if length > limit {
                let _ = writeln!(
                    faults,
                    "src/{}:{line}: {name} has {length} lines, {limit} are allowed",
                    source.name
                );
            }
        }
    }
    fails("too long: cut where the idea ends", &faults);
}

/// Name, line and length of each function: from `fn` to the brace that closes it.
fn functions(lines: &[String]) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let indent = &line[..line.len() - line.trim_start().len()];
        let Some(place) = line.find("fn ").filter(|&place| place == 0 || line[..place].ends_with(' ')) else {
            continue;
        };
        let before = line[..place].split_whitespace();
        if !before.clone().all(|word| {
            word.starts_with("pub") || ["const", "unsafe", "extern", "\"C\"", "in"].contains(&word)
        }) {
            continue;
        }
        let name: String =
            line[place + 3..].chars().take_while(|one| one.is_alphanumeric() || *one == '_').collect();
        let closing = format!("{indent}}}");
        let ends = |line: &String| line.trim_end() == closing || line.trim_end() == format!("{indent});");
        if line.trim_end().ends_with([';', '}']) {
            continue;
        }
        if let Some(length) = lines[at..].iter().position(ends) {
            found.push((name, at + 1, length + 1));
        }
    }
    found
}

/// Whatever is committed is of use to a stranger: it names no place of the
/// machine that it was written on, and takes crates from where everybody does.
#[test]
fn nothing_speaks_of_the_workplace() {
    let places = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/wo", "rk`")];
    let mut faults = String::new();
    for path in files(&root()) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            if places.iter().any(|place| line.contains(place)) {
                let _ = writeln!(faults, "{}:{}: {}", path.display(), number + 1, line.trim());
            }
        }
    }
    fails("these lines speak of one machine", &faults);
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("the lock file");
    let foreign = |line: &&str| {
        line.starts_with("source = ")
            && *line != r#"source = "registry+https://github.com/rust-lang/crates.io-index""#
    };
    assert_eq!(lock.lines().find(foreign), None, "a crate that is not from crates.io");
}

/// The licences and bans of deny.toml, for those who have no cargo-deny.
#[test]
fn crates_are_those_that_may_come_in() {
    let deny = fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    let quoted = |line: &str| line.split('"').nth(1).map(str::to_owned);
    let section = |head: &str| -> Vec<String> {
        let lines = deny.lines().skip_while(|line| !line.starts_with(head)).skip(1);
        lines.take_while(|line| !line.starts_with(']')).filter_map(quoted).collect()
    };
    let (allowed, banned) = (section("allow = ["), section("deny = ["));
    assert!(allowed.len() > 3 && banned.len() > 1, "deny.toml was not understood: {allowed:?} {banned:?}");
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("the lock file");
    for name in &banned {
        assert!(!lock.contains(&format!("name = \"{name}\"")), "{name} is banned in deny.toml");
    }
    let output = std::process::Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 50, "packages were not found");
    let faults: Vec<String> = packages
        .iter()
        .map(|package| (package["name"].as_str().unwrap_or("?"), package["license"].as_str().unwrap_or("")))
        .filter(|(_, licence)| !is_licensed(licence, &allowed))
        .map(|(name, licence)| format!("{name}: {licence:?}"))
        .collect();
    assert!(faults.is_empty(), "licences that deny.toml does not allow: {faults:?}");
}

/// Whether an SPDX expression of `OR` and `AND`, one level of brackets deep, is allowed.
fn is_licensed(expression: &str, allowed: &[String]) -> bool {
    // Old manifests write a stroke for OR.
    let expression = expression.replace('/', " OR ");
    expression.split(" AND ").all(|part| {
        let part = part.trim().trim_start_matches('(').trim_end_matches(')');
        part.split(" OR ").any(|licence| allowed.iter().any(|one| one == licence.trim()))
    })
}

#[test]
fn exceptions_are_still_needed() {
    let sources = sources();
    let find = |file: &str| sources.iter().find(|source| source.name == file).expect(file);
    for (file, limit, why) in LONG_FILES {
        assert!(find(file).lines.len() > FILE_LINES_MAX, "{file} is short now ({limit}: {why})");
    }
    for (file, function, limit, why) in LONG_FUNCTIONS {
        let length =
            functions(&find(file).lines).into_iter().filter(|(name, ..)| name == function).map(|f| f.2).max();
        assert!(
            length.is_some_and(|length| length > FUNCTION_LINES_MAX),
            "{file}: {function} is short now ({limit}: {why})"
        );
    }
    for (file, why) in LOCKS {
        assert!(
            find(file).code.iter().any(|line| has_word(line, "DashMap")),
            "{file} has no lock any more ({why})"
        );
    }
}
