//! What later versions will have, and what does the nearest job until then.
//!
//! The names are those that the command line will keep. A row goes when its
//! option enters `Arguments`; a test sees that no name stands in both.

/// An option that is not there yet.
pub(super) struct Later {
    /// Long name without dashes; empty where there will be a letter only.
    pub(super) long: &'static str,
    /// Its letter, if it will have one.
    pub(super) short: Option<char>,
    /// Whether a value follows.
    pub(super) value: bool,
    /// What to do now; completes "… is not in this version: ".
    pub(super) now: &'static str,
}

const fn flag(long: &'static str, short: Option<char>, now: &'static str) -> Later {
    Later { long, short, value: false, now }
}

const fn valued(long: &'static str, short: Option<char>, now: &'static str) -> Later {
    Later { long, short, value: true, now }
}

const NO_CUT: &str = "cut the file before, as with editcap -A TIME -B TIME, and read it with -r";

/// Options.
pub(super) const OPTIONS: &[Later] = &[
    flag("follow", None, "type tail -c +1 -f FILE | fullcount -r - for a file that grows"),
    flag("link-local", Some('l'), "leave it out, for no address is hidden"),
    valued("checksum", None, "leave it out, for every frame counts whatever its checksums"),
    flag("decap", None, "leave it out, for tunnels are counted by their outer addresses"),
    flag("anonymize", None, "addresses are printed as they are, so replace them in the output"),
    valued("since", None, NO_CUT),
    valued("until", None, NO_CUT),
    valued("metrics", None, "type --socket PATH, and let a script ask there with fullcount stat --json"),
    valued("user", Some('u'), "start fullcount as that user, after setcap cap_net_raw=ep on the program"),
    valued("log-level", None, "leave it out, for there is no log beside the output"),
];

/// The option of that long name.
pub(super) fn find(long: &str) -> Option<&'static Later> {
    OPTIONS.iter().find(|option| option.long == long && !long.is_empty())
}

/// Values of options that are there: option, value, what to do now.
pub(super) const VALUES: &[(&str, &str, &str)] = &[
    ("sort", "latency", "type --sort rate, bytes or packets"),
    ("sort", "failures", "type --sort rate, bytes or packets"),
];

/// First words that will be subcommands.
pub(super) const SUBCOMMANDS: &[(&str, &str)] = &[
    ("check", "type -o json --duration 10 and test the figures of the last line"),
    ("doctor", "type -o json --duration 1, whose first line says what was opened"),
    ("completions", "--help lists all options"),
    ("man", "--help describes all options"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// What works must not be called absent.
    #[test]
    fn nothing_is_both_there_and_later() {
        let mut command = super::super::Arguments::command();
        command.build();
        for option in command.get_arguments() {
            let long = option.get_long().unwrap_or("no long name");
            assert!(find(long).is_none(), "--{long}");
            for letter in option.get_short_and_visible_aliases().unwrap_or_default() {
                assert!(OPTIONS.iter().all(|later| later.short != Some(letter)), "-{letter}");
            }
            for value in option.get_possible_values() {
                assert!(VALUES.iter().all(|v| (v.0, v.1) != (long, value.get_name())), "{value:?}");
            }
        }
    }
}
