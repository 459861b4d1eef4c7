//! Help of `fullcount why` and `fullcount demo`: what they do, and those options that
//! matter to them.
//!
//! They take every option of a run; here the others are only left out of the list,
//! so that what an option means stands in one place (`Arguments`). A default that is
//! another one for them (`resolve`'s `usual`) is told as such; a test holds it.

use super::Asked;
use clap::Command;

/// What one of them has in place of the help of all.
struct Own {
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    long: &'static str,
    /// Options that are listed, by clap's names of them.
    listed: &'static [&'static str],
    /// Those of them whose default is another one.
    defaults: &'static [(&'static str, &'static str)],
    examples: &'static str,
}

const WHY: Own = Own {
    name: "fullcount why",
    usage: "fullcount why [OPTIONS] [FILTER EXPRESSION…]",
    about: "One paragraph on what filled a link",
    long: "One paragraph on what filled a link.\n\n\
        It looks at interfaces for 30 seconds, or at files (-r), and then says which link and direction was \
        full, when and for how long, who filled it, what the others did meanwhile, what was lost, and what \
        would help. Each sentence has its figure; what figures do not carry is not said. Ctrl-C ends it \
        before its time, with what is known.\n\n\
        Full is a millisecond of at least 80 % of the link's speed (--burst-threshold). A file does not know \
        that speed: --link-speed tells it.",
    listed: &[
        "interface",
        "read",
        "filter_code",
        "link_speed",
        "local_network",
        "duration",
        "classes",
        "names",
        "log_file",
        "burst_threshold",
        "burst_min",
        "burst_gap",
    ],
    defaults: &[("duration", "Stop after this many seconds; files at their end [default: 30]")],
    examples: "\
Examples:
  fullcount why                              every physical interface that is up
  fullcount why -i bond0 --duration 300
  fullcount why -r a.pcap --link-speed a.pcap=10G --burst-threshold 90%

Every option of fullcount --help is taken here but -o and -t.",
};

const DEMO: Own = Own {
    name: "fullcount demo",
    usage: "fullcount demo [OPTIONS] [FILTER EXPRESSION…]",
    about: "Shows everything on a pretended bond with traffic, no root needed",
    long: "Shows everything on a pretended bond with traffic, no root needed.\n\n\
        It makes a bond of two links in a network namespace of its own, and traffic on it: storage, \
        visitors, a backup that fills a link for 25 ms every few seconds, attempts to connect that fail in \
        each way. They are counted as any others are: on the screen of a terminal (? tells its keys), else \
        as text, or as -o says. Nothing of it is outside of the process, and nothing is left when it ends: \
        by q, Ctrl-C or --duration.",
    listed: &[
        "output",
        "text",
        "interval",
        "fast",
        "duration",
        "by",
        "top",
        "no_color",
        "keys",
        "timeout",
        "burst_min",
        "burst_gap",
        "socket",
    ],
    defaults: &[
        ("interval", "Time between two reports in seconds, from 0.1 [default: 0.5]"),
        ("timeout", "Seconds after which a handshake has failed [default: 1.5]"),
        ("burst_min", "Bursts shorter than this many milliseconds do not count [default: 5]"),
        ("burst_gap", "Milliseconds below 7/8 of the threshold that end a burst [default: 10]"),
    ],
    examples: "\
Examples:
  fullcount demo                             the screen, until q
  fullcount demo --keys F5                   its links side by side
  fullcount demo -t --duration 5
  fullcount demo -o json --count 10000 tcp port 443

Every option of fullcount --help is taken here but -i and -r.",
};

/// The command as it was asked for: its options are the same, its help is its own.
pub(super) fn of(command: Command, asked: Asked) -> Command {
    let own = match asked {
        Asked::Run => return command,
        Asked::Why => &WHY,
        Asked::Demo => &DEMO,
    };
    let listed = command.mut_args(|option| {
        let id = option.get_id().as_str();
        let hidden = !own.listed.contains(&id);
        let default = own.defaults.iter().find(|(other, _)| *other == id);
        match default {
            Some((_, told)) => option.help(*told),
            None => option.hide(hidden),
        }
    });
    let named = listed.name(own.name).override_usage(own.usage).after_help(own.examples);
    named.about(own.about).long_about(own.long)
}

#[cfg(test)]
mod tests {
    use super::super::{Arguments, Request, parse};
    use super::*;
    use crate::config::Config;
    use clap::CommandFactory;
    use std::ffi::OsString;

    fn ask(line: &str) -> Request {
        let words = std::iter::once("fullcount").chain(line.split_whitespace()).map(OsString::from);
        parse(words, &|_| false).expect(line)
    }

    fn text(line: &str) -> String {
        match ask(line) {
            Request::Print(text) => text,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn config(line: &str) -> Config {
        match ask(line) {
            Request::Run(config) => *config,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn each_has_a_help_of_its_own() {
        let whole = text("--help");
        for (line, begins, parts) in [
            (
                "why --help",
                "One paragraph on what filled a link.\n",
                &["for 30 seconds", "--burst-threshold", "--link-speed"][..],
            ),
            ("why -h", "One paragraph on what filled a link\n", &["--duration"]),
            ("why -r x --help", "One paragraph on what filled a link.\n", &[]),
            (
                "demo --help",
                "Shows everything on a pretended bond with traffic, no root needed.\n",
                &["namespace", "--keys"],
            ),
            ("demo -h", "Shows everything on a pretended bond with traffic, no root needed\n", &["--keys"]),
        ] {
            let (help, word) = (text(line), line.split(' ').next().unwrap_or_default());
            assert!(help.starts_with(begins) && help.len() < whole.len(), "{line}: {help}");
            assert!(help.contains(&format!("Usage: fullcount {word} [OPTIONS]")), "{help}");
            for part in parts {
                assert!(help.contains(part), "{line}: {part}: {help}");
            }
            assert!(!help.contains("--ring-mib") && !help.contains("Commands:"), "{help}");
            assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        }
        assert!(whole.contains("--ring-mib") && whole.contains("fullcount why --help"), "{whole}");
        assert_eq!(text("demo -V"), format!("fullcount demo {}\n", env!("CARGO_PKG_VERSION")));
    }

    /// What is not listed is taken all the same, and examples are.
    #[test]
    fn options_stay_those_of_a_run() {
        assert_eq!(config("why --ring-mib 4").ring_mib, Some(4));
        for own in [&WHY, &DEMO] {
            let lines = own.examples.lines().filter_map(|line| line.trim().strip_prefix("fullcount "));
            let lines: Vec<&str> = lines.map(|line| line.split("   ").next().unwrap_or(line)).collect();
            assert!(lines.len() >= 3, "{lines:?}");
            lines.iter().for_each(|line| drop(config(line)));
            let command = Arguments::command();
            let known = |id: &&str| command.get_arguments().any(|option| option.get_id() == *id);
            assert!(own.listed.iter().all(known), "{:?}", own.listed);
            assert!(own.defaults.iter().all(|(id, _)| own.listed.contains(id)), "{:?}", own.defaults);
        }
    }

    #[test]
    fn their_defaults_are_told() {
        for (asked, word) in [(Asked::Why, "why"), (Asked::Demo, "demo")] {
            let mut command = of(Arguments::command(), asked);
            command.build();
            let told: Vec<(String, String)> = command
                .get_arguments()
                .filter(|option| !option.is_hide_set())
                .filter_map(|option| {
                    let help = option.get_help()?.to_string();
                    let (_, value) = help.split_once("[default: ")?;
                    Some((option.get_long()?.to_owned(), value.split(']').next()?.to_owned()))
                })
                .filter(|(_, value)| value != "off")
                .collect();
            assert!(told.len() >= 4, "{told:?}");
            for (option, value) in told {
                assert_eq!(config(&format!("{word} --{option} {value}")), config(word), "{word} --{option}");
            }
        }
    }
}
