//! What can be wrong with a command line, and the one sentence that says so.
//!
//! Each variant carries the facts; `Display` makes the sentence: what was
//! wrong, where, what to do. Control characters are escaped, so that nothing
//! the user pasted can act on the terminal. The caller prints it and exits 2.

use std::borrow::Cow;
use std::fmt;

/// A command line that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageError {
    /// No option of that name.
    UnknownOption {
        /// As typed, dashes included, without a value.
        option: String,
        /// The option that was probably meant.
        nearest: Option<String>,
    },
    /// An option that takes a value stands without one.
    MissingValue {
        /// The option.
        option: String,
        /// The name of what it takes, as `--help` has it.
        wants: String,
    },
    /// A value was given to an option that takes none.
    UnwantedValue {
        /// The option.
        option: String,
        /// What was given.
        value: String,
    },
    /// A value that the option cannot use.
    BadValue {
        /// The option.
        option: Cow<'static, str>,
        /// What was given.
        value: String,
        /// What it takes: kind, range, example.
        wants: Cow<'static, str>,
    },
    /// A watch that breaks somewhere.
    BadWatch {
        /// As typed.
        word: String,
        /// Bytes of it that are wrong; empty where something is missing.
        place: std::ops::Range<usize>,
        /// What should stand there.
        wants: &'static str,
    },
    /// Two options that exclude each other.
    Contradiction {
        /// One.
        first: Cow<'static, str>,
        /// The other.
        second: Cow<'static, str>,
        /// The way out.
        advice: &'static str,
    },
    /// An option without effect unless another is given.
    Needs {
        /// The option given.
        option: &'static str,
        /// The option missing.
        needed: &'static str,
    },
    /// A habit from another program, whose letters mean something else here.
    OldHabit {
        /// As typed.
        typed: String,
        /// What it is there.
        meaning: Cow<'static, str>,
        /// What to do here.
        instead: String,
    },
    /// A word that has its place elsewhere.
    Misplaced {
        /// As typed.
        typed: String,
        /// Where it stands.
        meaning: &'static str,
        /// What to do.
        instead: String,
    },
    /// Something that a configuration file says.
    InFile {
        /// File and line.
        place: String,
        /// A sentence.
        what: String,
    },
    /// Something that only a later version has.
    NotYet {
        /// As typed.
        typed: String,
        /// What does the nearest job now.
        now: Cow<'static, str>,
    },
    /// An argument that is no text, and no file name either.
    NotUnicode,
    /// Anything else the parser of options said.
    Other {
        /// Its first line.
        message: String,
    },
}

/// What the user typed, with control characters escaped.
struct Safe<'a>(&'a str);

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if c.is_control() { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") }
        })
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOption { option, nearest: Some(nearest) } => {
                write!(f, "there is no option {}: did you mean {nearest}?", Safe(option))
            }
            Self::UnknownOption { option, nearest: None } => write!(
                f,
                "there is no option {}: --help lists them all, and filter words that start with - go after --",
                Safe(option)
            ),
            Self::MissingValue { option, wants } => {
                write!(f, "{option} stands without a value: type {option} {wants}")
            }
            Self::UnwantedValue { option, value } => {
                write!(f, "{option} takes no value, but {value:?} was given: type {option} alone")
            }
            Self::BadValue { option, value, wants } => {
                write!(f, "{option} cannot be {value:?}: it takes {wants}")
            }
            Self::BadWatch { word, place, wants } => {
                let part = |range: std::ops::Range<usize>| word.get(range).unwrap_or_default();
                let (before, at) = (part(0..place.start), part(place.clone()));
                let behind = part(place.end..word.len());
                write!(
                    f,
                    "{}>>{}<<{} is no watch: between >> and << it takes {wants}",
                    Safe(before),
                    Safe(at),
                    Safe(behind)
                )
            }
            Self::Contradiction { first, second, advice } => {
                write!(f, "{first} and {second} cannot go together: {advice}")
            }
            Self::Needs { option, needed } => {
                write!(f, "{option} does nothing without {needed}: add {needed} or leave {option} out")
            }
            Self::OldHabit { typed, meaning, instead } => {
                write!(f, "{} is {}: {}", Safe(typed), Safe(meaning), Safe(instead))
            }
            Self::Misplaced { typed, meaning, instead } => {
                write!(f, "{} {meaning}: {}", Safe(typed), Safe(instead))
            }
            Self::InFile { place, what } => write!(f, "{}: {}", Safe(place), Safe(what)),
            Self::NotYet { typed, now } => {
                write!(f, "{} is not in this version: {}", Safe(typed), Safe(now))
            }
            Self::NotUnicode => write!(
                f,
                "an argument other than a file name is not valid UTF-8: type option values and the filter in UTF-8"
            ),
            Self::Other { message } => {
                write!(f, "{}: see --help", Safe(message))
            }
        }
    }
}

impl std::error::Error for UsageError {}
