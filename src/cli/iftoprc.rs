//! iftop's settings, `~/.iftoprc`: what its directives are here.
//!
//! A line is a directive, a colon and its value; # begins a comment. Nothing in it
//! stops a run: what cannot be followed is told with the rest.
//! Source: iftop(8), CONFIGURATION FILE, and its list of directives.

use super::settings::{Setting, check};
use crate::config::{Begin, Kind, LineMode, RowOrder, Text};
use clap::Command;
use std::ffi::OsString;

/// What a directive is here.
enum Here {
    /// This option, by clap's name of it, as it would be typed.
    Option(&'static str, String),
    /// States that the screen begins with, among hosts; what makes them there.
    Begins(String, Vec<Begin>),
    /// As it is anyway.
    Already,
    /// Nothing; why.
    Nothing(&'static str),
    /// No value of it.
    Wrong,
}

/// Its options, and a sentence that says what was made of it.
pub(super) fn read(command: &Command, file: &Text) -> (Vec<Setting>, String) {
    let mut settings: Vec<Setting> = Vec::new();
    let (mut told, mut untold) = (Vec::new(), Vec::new());
    let mut begins: Vec<Setting> = Vec::new();
    for (number, line) in (1u32..).zip(file.text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let Some((directive, value)) = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()))
        else {
            untold.push(format!("line {number} (no colon)"));
            continue;
        };
        let place = format!("{}, line {number}", file.path.display());
        match meaning(directive, value) {
            Here::Option(id, word) => {
                let setting =
                    Setting { id: id.to_owned(), words: vec![OsString::from(&word)], begins: None, place };
                if check(command, &setting).is_ok() {
                    told.push(format!("{directive} is {word}"));
                    settings.push(setting);
                } else {
                    untold.push(format!("{directive} (no value of it: {value})"));
                }
            }
            Here::Begins(key, states) => {
                told.push(format!("{directive} is the key {key}"));
                begins.extend(states.into_iter().map(|begin| Setting::of(begin, place.clone())));
            }
            Here::Already => {}
            Here::Nothing(why) => untold.push(format!("{directive} ({why})")),
            Here::Wrong => untold.push(format!("{directive} (no value of it: {value})")),
        }
    }
    if !begins.is_empty() {
        settings.push(Setting::of(Begin::View(Kind::Hosts), file.path.display().to_string()));
        settings.append(&mut begins);
    }
    let list = |head: &str, all: &[String]| {
        if all.is_empty() { String::new() } else { format!("{head}{}", all.join(", ")) }
    };
    let told = list(": ", &told) + &list("; without effect: ", &untold);
    let told = if told.is_empty() { ": nothing in it is otherwise here".to_owned() } else { told };
    (settings, format!("{}, iftop's settings, is in force{told}", file.path.display()))
}

fn meaning(directive: &str, value: &str) -> Here {
    let yes = match value {
        "yes" | "true" => Some(true),
        "no" | "false" => Some(false),
        _ => None,
    };
    let option = |id, word: &str| Here::Option(id, word.to_owned());
    let when = |wanted: bool, here: Here| match yes {
        Some(yes) if yes == wanted => here,
        Some(_) => Here::Already,
        None => Here::Wrong,
    };
    let valued = |id, name: &str| Here::Option(id, format!("{name}={value}"));
    let begins = |key: &str, states: &[Begin]| Here::Begins(key.to_owned(), states.to_vec());
    match directive {
        "interface" => valued("interface", "--interface"),
        "filter-code" => valued("filter_code", "--filter"),
        "max-bandwidth" => valued("bar_scale", "-m"),
        "net-filter" | "net-filter6" => valued("local_network", "-F"),
        "timed-output" => valued("duration", "--duration"),
        "num-lines" => valued("top", "--top"),
        "no-curses" => when(true, option("text", "-t")),
        "dns-resolution" => when(false, option("no_host_names", "-n")),
        "port-resolution" => when(false, option("no_service_names", "-N")),
        "promiscuous" => when(false, option("no_promisc", "-p")),
        "show-bars" => when(false, option("no_bars", "-b")),
        "use-bytes" => when(true, option("bytes", "-B")),
        "show-totals" => when(true, begins("T", &[Begin::Sums(true)])),
        "log-scale" => when(true, begins("L", &[Begin::LogScale(true)])),
        "screen-filter" => begins(&format!("/{value}"), &[Begin::Filter(value.to_owned())]),
        "hide-source" => when(true, begins("x", &[Begin::Summed { second: false }])),
        "hide-destination" => when(true, begins("X", &[Begin::Summed { second: true }])),
        "link-local" => when(false, Here::Nothing("no address is hidden")),
        "port-display" => match value {
            "off" => Here::Already,
            "source-only" => begins("S", &[Begin::FirstPorts(true)]),
            "destination-only" => begins("D", &[Begin::SecondPorts(true)]),
            "on" => begins("SD", &[Begin::FirstPorts(true), Begin::SecondPorts(true)]),
            _ => Here::Wrong,
        },
        "line-display" => match value {
            "two-line" => Here::Already,
            "one-line-both" => begins("t", &[Begin::Lines(LineMode::One)]),
            "one-line-sent" => begins("tt", &[Begin::Lines(LineMode::Sent)]),
            "one-line-received" => begins("ttt", &[Begin::Lines(LineMode::Received)]),
            _ => Here::Wrong,
        },
        "sort" => match value {
            "2s" => begins("1", &[Begin::Order(RowOrder::Average2s)]),
            "10s" => begins("2", &[Begin::Order(RowOrder::Average10s)]),
            "40s" => begins("3", &[Begin::Order(RowOrder::Average40s)]),
            "source" => begins("<", &[Begin::Order(RowOrder::Name)]),
            "destination" => begins(">", &[Begin::Order(RowOrder::Destination)]),
            _ => Here::Wrong,
        },
        _ => Here::Nothing("iftop has none of that name"),
    }
}
