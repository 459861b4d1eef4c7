//! Words that users of tcptrack, iftop, tcpeek, trtop and tcpdump will type.
//!
//! Looks at the raw arguments before clap does, because a habit may be valid
//! and mean something else (`-t 60` would be text and a filter `60`), and
//! answers with what to type. Never changes an argument. Which options take a
//! value comes from clap's definitions, so that there is no second list.
//! Sources: the manuals of the five, and the table of `later`.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::Path;

use clap::Command;

use super::{UsageError, later, values, watch};

/// Buffers from this on are tcpdump's KiB: a TiB of tcpeek's MiB is not meant.
const KIB_FROM: u64 = 1024;

/// What the answers may look at.
struct Habits<'a> {
    command: &'a Command,
    file_exists: &'a dyn Fn(&Path) -> bool,
}

/// Answers the first habit among the arguments (without the program's name).
///
/// # Errors
/// The sentence that says what to type.
pub(super) fn check(
    command: &Command,
    args: &[OsString],
    file_exists: &dyn Fn(&Path) -> bool,
) -> Result<(), UsageError> {
    let habits = Habits { command, file_exists };
    let mut filter_begun = false;
    let mut watches = Vec::new();
    let mut rest = args.iter().map(|arg| arg.to_string_lossy()).peekable();
    while let Some(arg) = rest.next() {
        let next = rest.peek().map(|next| next.as_ref());
        if arg == "--" {
            break;
        } else if let Some(long) = arg.strip_prefix("--") {
            filter_begun |= long.split('=').next() == Some("filter");
            if habits.long(long, next)? {
                rest.next();
            }
        } else if let Some(cluster) = arg.strip_prefix('-').filter(|cluster| !cluster.is_empty()) {
            filter_begun |= cluster.contains('f');
            if habits.cluster(cluster, next)? {
                rest.next();
            }
        } else {
            // After -f a word goes on with the filter, where a host may be called `stat`.
            if !filter_begun && let Some((name, now)) = later::SUBCOMMANDS.iter().find(|s| s.0 == arg) {
                return Err(not_yet(format!("fullcount {name}"), now));
            }
            filter_begun = true;
            if watch::is_watch(&arg) {
                watches.push(arg.into_owned());
            }
        }
    }
    watched(&watches)
}

impl Habits<'_> {
    /// A long option; whether it takes the next argument with it.
    fn long(&self, text: &str, next: Option<&str>) -> Result<bool, UsageError> {
        let (name, attached) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let value = attached.or(next).unwrap_or("");
        let typed = format!("--{name}");
        match name {
            "promisc" => habit(typed.clone(), "tcpeek's switch for what is the default here", "leave it out"),
            "icmp" => habit(typed.clone(), "tcpeek's switch for ICMP messages", "leave it out"),
            "buffer" if number(value).is_some() => {
                habit(format!("{typed} {value}"), "tcpeek's buffer", format!("type --ring-mib {value}"))
            }
            "loglevel" => self.later(later::find("log-level"), &typed, value),
            _ => self.later(later::find(name), &typed, value),
        }?;
        self.value(name, format!("{typed} {value}"), value)?;
        let option = self.command.get_arguments().find(|option| option.get_long() == Some(name));
        Ok(attached.is_none() && option.is_some_and(|option| option.get_action().takes_values()))
    }

    /// Letters after one dash; whether they take the next argument with them.
    fn cluster(&self, cluster: &str, next: Option<&str>) -> Result<bool, UsageError> {
        for (at, letter) in cluster.char_indices() {
            let rest = cluster.get(at + letter.len_utf8()..).unwrap_or("");
            let value = if rest.is_empty() { next.unwrap_or("") } else { rest.trim_start_matches('=') };
            self.letter(letter, rest, value)?;
            let option = self.command.get_arguments().find(|option| {
                let others = option.get_all_short_aliases().unwrap_or_default();
                option.get_short() == Some(letter) || others.contains(&letter)
            });
            match option {
                Some(option) if option.get_action().takes_values() => {
                    if letter != 'T'
                        && let Some(name) = option.get_long()
                    {
                        self.value(name, format!("-{letter} {value}"), value)?;
                    }
                    return Ok(rest.is_empty());
                }
                Some(_) => {}
                // clap will say that there is none.
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    /// A letter, and the value it would have if it took one.
    fn letter(&self, letter: char, rest: &str, value: &str) -> Result<(), UsageError> {
        let typed = format!("-{letter} {value}");
        let numeric = number(value).is_some();
        match letter {
            't' if numeric => {
                let meaning = "tcpeek's handshake time-out, while -t alone is text output here";
                habit(typed, meaning, format!("type --timeout {value}"))
            }
            'B' if numeric => buffer(typed, value),
            'N' if value.contains('/') && values::network(value).is_some() => {
                habit(typed, "old iftop's local network", format!("type -F {value}"))
            }
            's' if number(value) == Some(0) => {
                habit(typed, "tcpdump's whole frame", "leave it out, for every byte counts whatever is kept")
            }
            's' if numeric => habit(
                typed,
                "iftop's running time",
                format!("type --duration {value} (or --snaplen {value} if tcpdump's snapshot was meant)"),
            ),
            'L' if numeric => habit(typed, "iftop's number of lines", format!("type --top {value}")),
            'c' if number(value) == Some(0) => {
                habit(typed, "tcpeek's checksum mode", "leave it out, for checksums are not verified")
            }
            'c' if numeric => habit(
                typed,
                "tcpeek's checksum mode and tcpdump's packet count",
                format!(
                    "leave it out for the first, as checksums are not verified, and type --count {value} for the second"
                ),
            ),
            'f' if value.is_empty() || (rest.is_empty() && value.starts_with('-')) => {
                let meaning = "tcptrack's fast average, while -f takes a filter here";
                habit("-f alone".to_owned(), meaning, "type --interval 0.1 for ten reports a second")
            }
            'l' if value.starts_with("LOG_") => self.later(later::find("log-level"), "-l", value),
            'v' => habit("-v".to_owned(), "tcptrack's and tcpeek's version", "type -V"),
            'w' if !value.is_empty() => {
                let instead = "write it with tcpdump and read it with -r, for fullcount writes none";
                habit(typed, "tcpdump's capture file", instead)
            }
            _ => {
                let later = later::OPTIONS.iter().find(|option| option.short == Some(letter));
                self.later(later, &format!("-{letter}"), value)
            }
        }
    }

    /// An option of a later version, if it is one.
    fn later(&self, option: Option<&later::Later>, typed: &str, value: &str) -> Result<(), UsageError> {
        match option {
            Some(option) if option.value && !value.is_empty() && !value.starts_with('-') => {
                Err(not_yet(format!("{typed} {value}"), option.now))
            }
            Some(option) => Err(not_yet(typed.to_owned(), option.now)),
            None => Ok(()),
        }
    }

    /// A value that means something else elsewhere, or something later here.
    fn value(&self, long: &str, typed: String, value: &str) -> Result<(), UsageError> {
        if let Some(later) = later::VALUES.iter().find(|later| later.0 == long && later.1 == value) {
            return Err(not_yet(typed, later.2));
        }
        match (long, value) {
            ("read", _) if number(value).is_some() && !(self.file_exists)(Path::new(value)) => {
                let meaning = format!("tcptrack's linger time, as no file {value} exists");
                habit(typed, meaning, format!("type --linger {value}"))
            }
            ("output", "2s" | "10s" | "40s") => habit(typed, "iftop's sort order", "type --sort rate"),
            ("output", "source" | "destination") => {
                habit(typed, "iftop's sort by name", "type --sort rate, bytes, packets or none")
            }
            ("interface", _) if value.split(',').any(|name| name == "any") => {
                let instead = "leave -i out, which takes every physical interface that is up";
                habit(typed, "tcpdump's word for all interfaces", instead)
            }
            // No interface has a slash in its name (dev_valid_name in the kernel's net/core/dev.c).
            ("interface", _) if value.contains('/') || value.contains(".pcap") => {
                habit(typed, "trtop's capture file", format!("type -r {value}"))
            }
            _ => Ok(()),
        }
    }
}

/// -B with a number: a buffer in MiB (tcpeek) or KiB (tcpdump).
fn buffer(typed: String, value: &str) -> Result<(), UsageError> {
    let (whose, mib) = match value.parse::<u64>() {
        Ok(kib) if kib >= KIB_FROM => ("tcpdump's buffer in KiB", kib.div_ceil(KIB_FROM).to_string()),
        _ => ("tcpeek's buffer", value.to_owned()),
    };
    let meaning = format!("{whose}, while -B alone shows bytes here");
    habit(typed, meaning, format!("type --ring-mib {mib}"))
}

/// tcpeek's filters, all of them in one answer.
fn watched(words: &[String]) -> Result<(), UsageError> {
    let Some(first) = words.first() else { return Ok(()) };
    let now = match watch::as_expression(words) {
        Some(expression) => format!("type '{expression}' in place of all such words"),
        None => "type a filter as tcpdump takes it, such as tcp port 80".to_owned(),
    };
    Err(UsageError::NotYet { typed: format!("tcpeek's {first}"), now: now.into() })
}

/// Seconds, counts and sizes look like this.
fn number(text: &str) -> Option<u64> {
    values::decimal(text, 1_000_000_000)
}

fn habit(
    typed: String,
    meaning: impl Into<Cow<'static, str>>,
    instead: impl Into<String>,
) -> Result<(), UsageError> {
    Err(UsageError::OldHabit { typed, meaning: meaning.into(), instead: instead.into() })
}

fn not_yet(typed: String, now: &'static str) -> UsageError {
    UsageError::NotYet { typed, now: now.into() }
}
