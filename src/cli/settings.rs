//! Configuration files: every option by its long name, as the command line has it.
//!
//! A file becomes words of a command line, which go before those that were typed;
//! what was typed goes before what a file says, and the user's file before the
//! system's. So a value means the same wherever it stands, and is refused by the
//! same sentence, with file and line before it. This room reads no file: what is in
//! them comes in as text.
//!
//! Sources: toml.io/en/v1.0.0, freedesktop.org's base directories for where they are.

use super::{Arguments, Asked, UsageError, begins, iftoprc, later, resolve, sentence};
use crate::config::{Begin, Config, Text, Which};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command, FromArgMatches};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// Reads a file; None where nobody has one. What went wrong is a sentence.
pub type Reader<'a> = dyn Fn(Which<'_>) -> Result<Option<Text>, String> + 'a;

/// An option that a file gives, or a state that the screen begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// clap's name of it, or a state's.
    pub id: String,
    /// As it would be typed; a state cannot be.
    pub words: Vec<OsString>,
    /// The state.
    pub begins: Option<Begin>,
    /// File and line.
    pub place: String,
}

impl Setting {
    /// A state of the screen.
    pub fn of(begin: Begin, place: String) -> Setting {
        Setting { id: begins::id(&begin).to_owned(), words: Vec::new(), begins: Some(begin), place }
    }
}

/// Options of which those on the left, where they are given, leave those on the right
/// of a file without effect. (Of one file a state of the screen goes before an option:
/// it says the same of the screen alone.)
const INSTEAD: &[(&[&str], &[&str])] = &[
    (&["interface", "read"], &["interface", "read"]),
    (&["output", "text", "log_file"], &["output", "text"]),
    (&["sessions", "quiet"], &["sessions", "quiet"]),
    (&["fast", "interval"], &["fast", "interval"]),
    (&["ports", "by"], &["ports", "by"]),
    (&["filter_code", "filter_words"], &["filter_code"]),
    (&["no_bars"], &["screen.bars"]),
    (&["bytes"], &["screen.bytes"]),
    (&["ports"], &["screen.source-ports", "screen.destination-ports"]),
    (&["sort"], &["screen.order"]),
];

/// Keys that only a command line has.
const TYPED_ONLY: [&str; 5] = ["config", "iftoprc", "filter_words", "help", "version"];

/// What files say, for a command line of these matches: words that go before what was
/// typed, and what has to be told of it.
///
/// # Errors
/// A sentence that names file and line.
pub(super) fn words(
    command: &Command,
    typed: &ArgMatches,
    asked: Asked,
    read: &Reader<'_>,
) -> Result<(Vec<Setting>, Vec<String>), UsageError> {
    let named = |id: &str| typed.get_one::<PathBuf>(id).map(PathBuf::as_path);
    let asks = |which| read(which).map_err(|what| UsageError::InFile { place: "configuration".into(), what });
    let mut taken: Vec<String> = given(command, typed);
    match asked {
        Asked::Run => {}
        Asked::Why => taken.push("output".into()),
        Asked::Demo => taken.extend(["interface".into(), "link_speed".into()]),
    }
    let (mut settings, mut notes) = (Vec::new(), Vec::new());
    let mut layers = Vec::new();
    // iftop's own -c means such a file.
    let is_iftops = |path: &&Path| path.to_string_lossy().ends_with("iftoprc");
    let iftoprc = named("iftoprc").or_else(|| named("config").filter(is_iftops));
    match named("config") {
        Some(path) if is_iftops(&path) => {}
        Some(path) => layers.extend(asks(Which::Named(path))?),
        None => {
            layers.extend(asks(Which::Users)?);
            layers.extend(asks(Which::Systems)?);
        }
    }
    let iftops = match iftoprc {
        Some(path) => asks(Which::Named(path))?,
        // Whoever has our own has no need of it.
        None if layers.is_empty() && named("config").is_none() => asks(Which::Iftops)?,
        None => None,
    };
    for layer in &layers {
        let all = of_toml(command, layer)?;
        take(all, &mut taken, &mut settings);
    }
    if let Some(file) = &iftops {
        let (all, note) = iftoprc::read(command, file);
        take(all, &mut taken, &mut settings);
        notes.push(note);
    }
    Ok((settings, notes))
}

/// Where those settings stand without which there would not be this fault of all of
/// them together, each place once.
pub(super) fn culprits<'a>(
    settings: &'a [Setting],
    fault: &UsageError,
    together: &dyn Fn(&[&Setting]) -> Result<Config, UsageError>,
) -> Vec<&'a str> {
    let mut left: Vec<&Setting> = settings.iter().collect();
    for one in settings {
        let without: Vec<&Setting> =
            left.iter().copied().filter(|other| !std::ptr::eq(*other, one)).collect();
        if together(&without).is_err_and(|other| other == *fault) {
            left = without;
        }
    }
    let mut places: Vec<&str> = left.into_iter().map(|setting| setting.place.as_str()).collect();
    places.dedup();
    places
}

/// Options that stand on the command line.
fn given(command: &Command, typed: &ArgMatches) -> Vec<String> {
    let ids = command.get_arguments().map(|option| option.get_id().as_str());
    let stands = |id: &&str| {
        typed.try_contains_id(id).is_ok_and(|there| there)
            && typed.value_source(id) == Some(ValueSource::CommandLine)
    };
    ids.filter(stands).map(str::to_owned).collect()
}

/// What of a layer nobody above it has said otherwise.
fn take(layer: Vec<Setting>, taken: &mut Vec<String>, settings: &mut Vec<Setting>) {
    let hidden = |id: &str| {
        let instead = |(these, those): &&(&[&str], &[&str])| {
            those.contains(&id) && these.iter().any(|one| taken.iter().any(|taken| taken == one))
        };
        taken.iter().any(|one| one == id) || INSTEAD.iter().any(|pair| instead(&pair))
    };
    let kept: Vec<Setting> = layer.into_iter().filter(|setting| !hidden(&setting.id)).collect();
    taken.extend(kept.iter().map(|setting| setting.id.clone()));
    settings.extend(kept);
}

/// All options of a file of ours.
fn of_toml(command: &Command, file: &Text) -> Result<Vec<Setting>, UsageError> {
    let place = |at: usize| {
        let before = file.text.as_bytes().get(..at).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("{}, line {line}", file.path.display())
    };
    let wrong = |at, what: String| UsageError::InFile { place: place(at), what };
    let table = DeTable::parse(&file.text).map_err(|error| {
        let what = error.message().lines().collect::<Vec<_>>().join(", ");
        wrong(error.span().map_or(0, |span| span.start), format!("this is no TOML: {what}"))
    })?;
    let mut settings = Vec::new();
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let (name, at) = (key.get_ref().as_ref(), key.span().start);
        if let (SCREEN, DeValue::Table(table)) = (name, value.get_ref()) {
            let states = begins::of_table(table).map_err(|(at, what)| wrong(at, what))?;
            settings.extend(states.into_iter().map(|(at, begin)| Setting::of(begin, place(at))));
            continue;
        }
        let option = find(command, name).map_err(|what| wrong(at, what))?;
        let words = words_of(option, value.get_ref()).map_err(|what| wrong(at, format!("{name} {what}")))?;
        let id = option.get_id().as_str().to_owned();
        let setting = Setting { id, words, begins: None, place: place(at) };
        check(command, &setting)?;
        settings.push(setting);
    }
    Ok(settings)
}

/// The table of what the screen is like at the start.
const SCREEN: &str = "screen";

/// The name by which files know an option.
pub(super) fn name(option: &clap::Arg) -> String {
    option.get_long().map_or_else(|| option.get_id().as_str().replace('_', "-"), str::to_owned)
}

/// Options that files may have, by their names.
pub(super) fn options(command: &Command) -> impl Iterator<Item = (String, &clap::Arg)> {
    let ours = command.get_arguments().filter(|option| !TYPED_ONLY.contains(&option.get_id().as_str()));
    ours.map(|option| (name(option), option))
}

fn find<'a>(command: &'a Command, wanted: &str) -> Result<&'a clap::Arg, String> {
    if let Some((_, option)) = options(command).find(|(name, _)| name == wanted) {
        return Ok(option);
    }
    if let Some(later) = later::find(wanted) {
        return Err(format!("{wanted} is not in this version: {}", later.now));
    }
    let names = options(command).map(|(name, _)| name).chain([SCREEN.to_owned()]);
    let near = names.map(|name| (strsim::damerau_levenshtein(&name, wanted), name)).min();
    Err(match near {
        Some((steps, name)) if steps <= 1 + wanted.len() / 4 => {
            format!("there is no option {wanted}: did you mean {name}?")
        }
        _ => format!("there is no option {wanted}: --help lists them all"),
    })
}

/// An option and its value as they would be typed.
fn words_of(option: &clap::Arg, value: &DeValue<'_>) -> Result<Vec<OsString>, String> {
    let typed = match (option.get_long(), option.get_short()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some(short)) => format!("-{short}"),
        (None, None) => return Err("cannot be said in a file".into()),
    };
    if !option.get_action().takes_values() {
        return match value {
            DeValue::Boolean(true) => Ok(vec![typed.into()]),
            DeValue::Boolean(false) => Ok(Vec::new()),
            _ => Err("takes true or false".into()),
        };
    }
    let word = |value: &DeValue<'_>| {
        let text = match value {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.as_str().replace('_', ""),
            DeValue::Float(number) => number.as_str().replace('_', ""),
            _ => return Err("takes text or a number".to_owned()),
        };
        Ok(OsString::from(format!("{typed}={text}")))
    };
    match value {
        DeValue::Array(many) if matches!(option.get_action(), ArgAction::Append) => {
            many.iter().map(|one| word(one.get_ref())).collect()
        }
        DeValue::Array(_) => Err("takes one value, not a list".into()),
        one => Ok(vec![word(one)?]),
    }
}

/// Whether the option by itself would be taken. What it needs beside it may come from elsewhere.
pub(super) fn check(command: &Command, setting: &Setting) -> Result<(), UsageError> {
    let words = std::iter::once(OsString::from("fullcount")).chain(setting.words.iter().cloned());
    let typed = command.clone().try_get_matches_from(words);
    let checked = typed
        .and_then(|mut matches| Arguments::from_arg_matches_mut(&mut matches))
        .map_err(|error| sentence(&error))
        .and_then(|arguments| resolve::resolve(arguments, Asked::Run, &|_| true));
    match checked {
        Ok(_) | Err(UsageError::Needs { .. } | UsageError::Contradiction { .. }) => Ok(()),
        Err(error) => Err(UsageError::InFile { place: setting.place.clone(), what: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Request, parse_with};
    use super::*;
    use crate::config::{Kind, LineMode, OutputMode, RowOrder, Sort, Unit};
    use clap::CommandFactory;

    /// A command line where the user's, the system's and iftop's files say this.
    fn ask(line: &str, files: [&str; 3]) -> Result<Config, String> {
        let words = std::iter::once("fullcount").chain(line.split_whitespace()).map(OsString::from);
        let text = |path: &str, text: &str| Text { path: path.into(), text: text.to_owned() };
        let read = |which: Which<'_>| {
            Ok(match which {
                Which::Users if !files[0].is_empty() => Some(text("/u.toml", files[0])),
                Which::Systems if !files[1].is_empty() => Some(text("/etc/s.toml", files[1])),
                Which::Iftops if !files[2].is_empty() => Some(text("/u/.iftoprc", files[2])),
                Which::Named(path) if path == Path::new("own.toml") => Some(text("own.toml", "top = 3")),
                Which::Named(path) if path == Path::new("my.iftoprc") => {
                    Some(text("my.iftoprc", "use-bytes: yes"))
                }
                Which::Named(path) => return Err(format!("cannot read {}", path.display())),
                _ => None,
            })
        };
        match parse_with(words, &|_| false, &read) {
            Ok(Request::Run(config)) => Ok(*config),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    fn typed(line: &str) -> Config {
        ask(line, [""; 3]).expect(line)
    }

    /// Every option has a name in files, and is there what it is when it is typed.
    #[test]
    fn every_option_stands_in_files_by_its_name() {
        let mut command = Arguments::command();
        command.build();
        let values = [
            ("interface", "[\"eth0\", \"eth1+eth2\"]", "-i eth0 -i eth1+eth2"),
            ("read", "\"x.pcap\"", "-r x.pcap"),
            ("filter", "\"tcp\"", "-f tcp"),
            ("link-speed", "[\"eth0=1G\"]", "--link-speed eth0=1G"),
            ("local-network", "[\"10.0.0.0/8\"]", "-F 10.0.0.0/8"),
            ("workers", "3", "--workers 3"),
            ("cpus", "\"2,4-6\"", "--cpus 2,4-6"),
            ("ring-mib", "64", "--ring-mib 64"),
            ("snaplen", "1_000", "--snaplen 1000"),
            ("max-flows", "5", "--max-flows 5"),
            ("output", "\"json\"", "-o json"),
            ("interval", "0.5", "--interval 0.5"),
            ("duration", "7", "--duration 7"),
            ("count", "7", "--count 7"),
            ("top", "7", "--top 7"),
            ("by", "\"pair\"", "--by pair"),
            ("classes", "\"x\"", "--classes x"),
            ("sort", "\"bytes\"", "--sort bytes"),
            ("log-file", "\"x\"", "--log-file x"),
            ("report", "\"x.json\"", "--report x.json"),
            ("names", "\"x\"", "--names x"),
            ("highlight", "[\"line=80%\", \"rate=1M\"]", "--highlight line=80% --highlight rate=1M"),
            ("bar-scale", "\"100M\"", "-m 100M"),
            ("timeout", "1.5", "--timeout 1.5"),
            ("watch", "[\"web:RX@*:80\"]", "--watch web:RX@*:80"),
            ("burst-threshold", "\"90%\"", "--burst-threshold 90%"),
            ("burst-min", "2", "--burst-min 2"),
            ("burst-gap", "4", "--burst-gap 4"),
            ("socket", "\"/run/x\"", "-U /run/x"),
            ("keys", "\"F2T\"", "--keys F2T"),
            ("linger", "5", "--linger 5"),
        ];
        // What means nothing alone.
        let needy = [
            ("allow", "by = \"destination\"\nallow = [\"192.0.2.1\"]", "--by destination --allow 192.0.2.1"),
            ("replay", "read = \"x\"\nreplay = 2.5", "-r x --replay 2.5"),
            ("socket-mode", "socket = \"x\"\nsocket-mode = \"0660\"", "-U x --socket-mode 660"),
            ("socket-owner", "socket = \"x\"\nsocket-owner = \":adm\"", "-U x --socket-owner :adm"),
            ("active-timeout", "connections = true\nactive-timeout = 5", "--connections --active-timeout 5"),
        ];
        for (name, option) in options(&command) {
            let valued = values.iter().find(|(key, ..)| *key == name);
            let (file, line) = if let Some((_, value, line)) = valued {
                (format!("{name} = {value}"), (*line).to_owned())
            } else if let Some((_, file, line)) = needy.iter().find(|(key, ..)| *key == name) {
                ((*file).to_owned(), (*line).to_owned())
            } else if option.get_action().takes_values() {
                // Those of others who add options: there is a line for each above.
                panic!("{name} has no line in this test");
            } else {
                let short = option.get_short().map_or(String::new(), |short| format!("-{short}"));
                (format!("{name} = true"), option.get_long().map_or(short, |long| format!("--{long}")))
            };
            let speeds_of_file = name == "link-speed";
            assert_eq!(ask("", [&file, "", ""]), Ok(Config { speeds_of_file, ..typed(&line) }), "{file}");
        }
    }

    #[test]
    fn what_is_typed_goes_before_the_users_file_and_that_before_the_systems() {
        let files = ["top = 5\nsort = \"bytes\"", "top = 6\nsort = \"none\"\nbytes = true", ""];
        let config = ask("--top 7", files).expect("fine");
        assert_eq!((config.top, config.sort, config.unit), (7, Sort::Bytes, Unit::Bytes));
        assert_eq!(ask("", files).map(|config| config.top), Ok(5));
        assert_eq!(
            ask("-c own.toml", files).map(|c| (c.top, c.sort)),
            Ok((3, Sort::Rate)),
            "that file alone"
        );
        // A list that is typed is not added to the file's.
        let interfaces = ["interface = [\"eth0\", \"eth1\"]", "", ""];
        assert_eq!(ask("-i eth2", interfaces).map(|c| c.input), Ok(typed("-i eth2").input));
        assert_eq!(ask("-r x", interfaces).map(|c| c.input), Ok(typed("-r x").input), "files instead");
        assert_eq!(ask("demo", interfaces), Ok(typed("demo")));
        // Speeds of a file are of interfaces that may not be watched; those typed have to be.
        let speeds = ["link-speed = [\"eth0=10G\"]", "", ""];
        assert_eq!(ask("-i eth1", speeds).map(|c| (c.link_speeds.len(), c.speeds_of_file)), Ok((1, true)));
        assert!(!typed("--link-speed eth0=10G").speeds_of_file);
        assert_eq!(ask("demo", speeds), Ok(typed("demo")));
        assert_eq!(ask("udp", ["filter = \"tcp\"", "", ""]).map(|c| c.filter), Ok(Some("udp".into())));
        let form = ["output = \"json\"", "", ""];
        assert_eq!(ask("-t", form).map(|c| c.output), Ok(OutputMode::Text));
        assert_eq!(ask("why", form), Ok(typed("why")));
        assert_eq!(ask("--quiet", ["sessions = true", "", ""]).map(|c| c.sessions), Ok(false));
        assert_eq!(ask("--sessions", ["quiet = true", "", ""]).map(|c| c.sessions), Ok(true));
    }

    #[test]
    fn faults_have_file_and_line() {
        for (file, sentence) in [
            (
                "top = 1\n\nintervall = 5",
                "/u.toml, line 3: there is no option intervall: did you mean interval?",
            ),
            ("zzz = 5", "/u.toml, line 1: there is no option zzz: --help lists them all"),
            ("config = \"x\"", "/u.toml, line 1: there is no option config: --help lists them all"),
            ("decap = true", "/u.toml, line 1: decap is not in this version: leave it out"),
            ("bytes = 1", "/u.toml, line 1: bytes takes true or false"),
            ("top = [1, 2]", "/u.toml, line 1: top takes one value, not a list"),
            ("top = 1979-05-27", "/u.toml, line 1: top takes text or a number"),
            ("# x\ntop = \"many\"", "/u.toml, line 2: --top cannot be \"many\": it takes a number from 0"),
            ("by = \"flow\"", "/u.toml, line 1: --by cannot be \"flow\": it takes one of connection"),
            ("top = 1\ntop = 2", "/u.toml, line 2: this is no TOML: duplicate key"),
            ("a b", "/u.toml, line 1: this is no TOML: "),
            ("[screen]\nview = \"x\"", "/u.toml, line 2: view is one of connections, hosts"),
            ("[screen]\nzoom = true", "/u.toml, line 2: the screen has no zoom: it has view"),
            ("[scren]\nview = \"x\"", "/u.toml, line 1: there is no option scren: did you mean screen?"),
            ("allow = [\"192.0.2.1\"]", "together with /u.toml, line 1: --allow does nothing without"),
        ] {
            let told = ask("", [file, "", ""]).expect_err(file);
            assert!(told.starts_with(sentence), "{file}: {told}");
        }
        // Of many lines, in two files, those are named that a conflict is between.
        let many =
            "top = 1\nports = true\nsort = \"bytes\"\nby = \"pair\"\nbytes = true\n[screen]\nsums = true";
        let told = |line, files| ask(line, files).expect_err(line);
        assert!(told("", [many, "count = 5", ""]).starts_with(
            "together with /u.toml, line 2; /u.toml, line 4: -P and --by pair cannot go together: "
        ));
        let told = told("--report x", ["top = 1\nbytes = true", "count = 5\nlog-file = \"x\"", ""]);
        assert!(told.starts_with("together with /etc/s.toml, line 2: --report and --log-file"), "{told}");
        // A fault that is typed is told as ever.
        assert_eq!(
            ask("--top x", ["top = 1", "", ""]).map_err(|told| told.starts_with("--top cannot")),
            Err(true)
        );
        assert_eq!(ask("-c nosuch", [""; 3]), Err("configuration: cannot read nosuch".into()));
    }

    #[test]
    fn the_screen_begins_as_its_table_says() {
        let begins = |line: &str, files: [&str; 3]| ask(line, files).map(|config| config.begins);
        let of = |file: &str| begins("", [file, "", ""]).expect(file);
        assert_eq!(of("[screen]\nview = \"links\""), [Begin::View(Kind::Links)]);
        assert_eq!(of("[screen]\nnames = true\nsums = false"), [Begin::Names(true), Begin::Sums(false)]);
        let all = "[screen]\nnames = false\nsums = true\nbars = false\nlog-scale = true\nbytes = true\n\
                   source-ports = true\ndestination-ports = true\nlines = \"sent\"\norder = \"40s\"\nview = \"hosts\"";
        let states = [
            Begin::Names(false),
            Begin::Sums(true),
            Begin::Bars(false),
            Begin::LogScale(true),
            Begin::Unit(Unit::Bytes),
            Begin::FirstPorts(true),
            Begin::SecondPorts(true),
            Begin::Lines(LineMode::Sent),
            Begin::Order(RowOrder::Average40s),
            Begin::View(Kind::Hosts),
        ];
        assert_eq!(of(all), states);
        // Typed: what says the same goes before it, and nothing else. A key comes after it.
        let left = |line, gone: fn(&Begin) -> bool| {
            let left: Vec<Begin> = states.iter().filter(|state| !gone(state)).cloned().collect();
            assert_eq!(begins(line, [all, "", ""]), Ok(left.clone()), "{line}");
        };
        left("-n --keys F6 --by pair", |_| false);
        left("-b", |state| matches!(state, Begin::Bars(_)));
        left("-B", |state| matches!(state, Begin::Unit(_)));
        left("-P", |state| matches!(state, Begin::FirstPorts(_) | Begin::SecondPorts(_)));
        left("--sort bytes", |state| matches!(state, Begin::Order(_)));
        assert_eq!(ask("--keys F6", [all, "", ""]).map(|config| config.keys), Ok("F6".into()));
        // The user's file before the system's, line by line, and a table before an option of its file.
        let system = "no-bars = true\n[screen]\nbars = false\nsums = true";
        let (shown, sums) = (Begin::Bars(true), Begin::Sums(true));
        let config = ask("", ["[screen]\nbars = true", system, ""]).expect("fine");
        assert_eq!((config.begins, config.bars.shown), (vec![shown.clone(), sums.clone()], false));
        assert_eq!(
            begins("", ["no-bars = true", &system.replace("bars = false", "bars = true"), ""]),
            Ok(vec![sums])
        );
        assert_eq!(of("no-bars = true\n[screen]\nbars = true"), [shown]);
    }

    /// What docs/SETTINGS.md shows is taken, and the names in it are all there are.
    #[test]
    fn the_page_about_it_is_true() {
        let page = include_str!("../../docs/SETTINGS.md");
        let (_, example) = page.split_once("```toml\n").expect("an example");
        let (example, _) = example.split_once("```").expect("its end");
        let config = ask("", [example, "", ""]).expect("taken");
        assert_eq!((config.begins.len(), config.first_view()), (10, Kind::Links));
        let mut command = Arguments::command();
        command.build();
        for (name, option) in options(&command).filter(|(_, option)| option.get_long().is_none()) {
            let letter = option.get_short().expect("a letter");
            assert!(page.contains(&format!("`{name}` (`-{letter}`)")), "{name}");
        }
    }

    #[test]
    fn iftops_settings_are_taken_and_told() {
        let text = "# mine\ninterface: eth1\ndns-resolution: no\nuse-bytes: yes\nsort: 10s\nport-display: on\n\
                    max-bandwidth: 100M\nnet-filter: 10.0.0.0/8\nhide-source: yes\nshow-bars: yes\n\
                    line-display: upside-down\nscreen-filter: web\nnonsense\nfoo: bar\npromiscuous: no\n";
        let config = ask("", ["", "", text]).expect("fine");
        let same = Config {
            begins: vec![
                Begin::View(Kind::Hosts),
                Begin::Order(RowOrder::Average10s),
                Begin::FirstPorts(true),
                Begin::SecondPorts(true),
                Begin::Summed { second: false },
                Begin::Filter("web".into()),
            ],
            notes: config.notes.clone(),
            ..typed("-i eth1 -n -B -m 100M -F 10.0.0.0/8 -p")
        };
        assert_eq!(config, same);
        let [note] = &config.notes[..] else { panic!("{:?}", config.notes) };
        for part in [
            "/u/.iftoprc, iftop's settings, is in force: interface is --interface=eth1, dns-resolution is -n",
            "sort is the key 2, port-display is the key SD",
            "without effect: line-display (no value of it: upside-down), \
             line 13 (no colon), foo (iftop has none of that name)",
        ] {
            assert!(note.contains(part), "{note}");
        }
        // Not where there is a file of ours, and what is typed goes before it.
        assert_eq!(ask("", ["top = 4", "", text]).map(|c| c.notes), Ok(vec![]));
        assert_eq!(ask("-c own.toml", ["", "", text]).map(|c| c.notes), Ok(vec![]));
        assert_eq!(ask("-i eth7", ["", "", text]).map(|c| c.input), Ok(typed("-i eth7").input));
        for line in ["--iftoprc my.iftoprc", "-c my.iftoprc"] {
            let config = ask(line, ["top = 4", "", ""]).expect(line);
            assert_eq!(config.unit, Unit::Bytes, "{line}");
        }
        assert_eq!(ask("", ["", "", "bogus: 1"]).map(|c| c.notes.len()), Ok(1));
    }

    proptest::proptest! {
        #[test]
        fn no_file_panics_and_each_answer_is_a_line(
            lines in proptest::collection::vec("(top|interval|screen|read|by|[a-z-]{0,9})? ?[=:]? ?(\"\\PC{0,6}\"|\\[?[0-9.]{0,4}\\]?|true|\\PC{0,5})", 0..6)
        ) {
            let text = lines.join("\n");
            for files in [[&*text, "", ""], ["", "", &*text]] {
                if let Err(told) = ask("", files) {
                    proptest::prop_assert!(!told.contains(char::is_control) && told.len() > 10, "{}", told);
                }
            }
        }
    }
}
