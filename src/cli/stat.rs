//! `fullcount stat`: its words, and what they mean.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

use super::{Request, UsageError, parse_own};
use crate::config::{Stat, StatShow};

/// The word that asks for it.
pub(super) const WORD: &str = "stat";

/// Asks a running fullcount for its handshakes, as tcpeekstat does.
///
/// It answers where it was started with --socket; a tcpeek is understood too.
#[derive(Clone, Debug, Parser)]
#[command(name = "fullcount stat", version, args_override_self = true, max_term_width = 80)]
#[command(override_usage = "fullcount stat [OPTIONS]")]
pub(super) struct StatArguments {
    /// Where to ask, as it was started with
    ///
    /// Default: /run/fullcount/fullcount.sock where it is there, else
    /// fullcount/fullcount.sock below $XDG_RUNTIME_DIR.
    #[arg(short = 'U', long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// The answer as it came, in tcpeek's JSON
    #[arg(short, long)]
    json: bool,

    /// What happened since the last time, instead of since the start
    ///
    /// Each NAME has a last time of its own; without one it is shared by all
    /// who give none, tcpeekstat -g among them.
    #[arg(long, value_name = "NAME", num_args = 0..=1)]
    refresh: Option<Option<String>>,

    /// Tell Ganglia by the program gmetric what happened since the last time
    #[arg(short, long)]
    gmetric: bool,
}

/// Reads the words behind the program's name, `stat` the first of them.
pub(super) fn parse(args: &[OsString]) -> Result<Request, UsageError> {
    if args.iter().any(|word| word == "-v") {
        let (typed, instead) = ("-v".to_owned(), "type -V".to_owned());
        return Err(UsageError::OldHabit { typed, meaning: "tcpeekstat's version".into(), instead });
    }
    parse_own(args, asked)
}

fn asked(typed: StatArguments) -> Result<Request, UsageError> {
    if typed.json && typed.gmetric {
        return Err(UsageError::Contradiction {
            first: "--json".into(),
            second: "--gmetric".into(),
            advice: "the answer is printed or told to Ganglia, so leave one out",
        });
    }
    let refresh = match typed.refresh {
        Some(Some(name)) if !is_name(&name) => {
            return Err(UsageError::BadValue {
                option: "--refresh".into(),
                value: name,
                wants: "a name of 1 to 64 bytes without blanks, or nothing".into(),
            });
        }
        Some(name) => Some(name.unwrap_or_default()),
        None => typed.gmetric.then(String::new),
    };
    let show = match (typed.json, typed.gmetric) {
        (true, _) => StatShow::Json,
        (_, true) => StatShow::Gmetric,
        _ => StatShow::Text,
    };
    Ok(Request::Stat(Stat { socket: typed.socket, refresh, show }))
}

/// What a request can carry in one word.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && !name.contains(|one: char| one.is_whitespace() || one.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn ask(line: &str) -> Result<Request, UsageError> {
        let words = std::iter::once("fullcount").chain(line.split_whitespace()).map(OsString::from);
        super::super::parse(words, &|_| false)
    }

    #[test]
    fn what_is_asked_and_how_it_is_shown() {
        let stat = |socket: Option<&str>, refresh: Option<&str>, show| {
            let (socket, refresh) = (socket.map(PathBuf::from), refresh.map(str::to_owned));
            Ok(Request::Stat(Stat { socket, refresh, show }))
        };
        let table = [
            ("stat", stat(None, None, StatShow::Text)),
            ("stat --socket /run/x", stat(Some("/run/x"), None, StatShow::Text)),
            ("stat -U /run/x -j", stat(Some("/run/x"), None, StatShow::Json)),
            ("stat --refresh", stat(None, Some(""), StatShow::Text)),
            ("stat --refresh ours --json", stat(None, Some("ours"), StatShow::Json)),
            ("stat --refresh --json", stat(None, Some(""), StatShow::Json)),
            ("stat -g", stat(None, Some(""), StatShow::Gmetric)),
            ("stat --gmetric --refresh ganglia", stat(None, Some("ganglia"), StatShow::Gmetric)),
        ];
        for (line, expected) in table {
            assert_eq!(ask(line), expected, "{line}");
        }
    }

    #[test]
    fn wrong_usage_is_one_sentence() {
        let long = format!("stat --refresh {}", "x".repeat(65));
        for (line, beginning) in [
            ("stat -v", "-v is tcpeekstat's version: type -V"),
            ("stat -j -g", "--json and --gmetric cannot go together"),
            ("stat --interval 1", "there is no option --interval"),
            ("stat eth0", "there is no option eth0"),
            ("stat --refresh=", "--refresh cannot be \"\""),
            (long.as_str(), "--refresh cannot be \"xxx"),
            ("--socket /run/x stat", "stat stands behind options: type fullcount stat first"),
        ] {
            let sentence = ask(line).unwrap_err().to_string();
            assert!(sentence.starts_with(beginning), "{line}: {sentence}");
        }
        let Ok(Request::Print(help)) = ask("stat --help") else { panic!("no help") };
        assert!(help.contains("fullcount stat [OPTIONS]") && help.contains("XDG_RUNTIME_DIR"), "{help}");
    }

    #[test]
    fn the_word_is_a_filter_where_it_is_one() {
        for line in ["-- stat", "-f host stat", "host stat"] {
            assert!(matches!(ask(line), Ok(Request::Run(_))), "{line}");
        }
    }

    #[test]
    fn definitions_are_sound() {
        StatArguments::command().debug_assert();
    }
}
