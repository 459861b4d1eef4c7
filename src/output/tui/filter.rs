//! The screen's filter: a regular expression over what a row is called.
//!
//! It chooses rows only; no total knows of it. One that is wrong leaves the
//! last good one in force and says so. The crate's matching takes linear time,
//! so a pattern cannot hang the aggregator, which asks it for every row.

use super::Answer;
use super::keys::Key;
use crate::aggregate::snapshot::RowName;
use crate::aggregate::view::Only;
use crate::output::Context;
use crate::output::columns::write_name_of;
use regex::{Regex, RegexBuilder};
use std::cell::Cell;

/// Longest pattern, characters.
const TYPED_MAX: usize = 256;
/// Memory of a compiled pattern.
const SIZE_MAX: usize = 1 << 20;

thread_local! {
    /// Where names of rows are written, one after the other.
    static TEXT: Cell<String> = const { Cell::new(String::new()) };
}

/// Whether a pattern that is one matches only what `before`, one too, matches: it has
/// more at its end, and nothing but characters that follow what stands before them.
/// (A quantifier would belong to it, `|` open an alternative, and what they could end,
/// an escape or a group, is no whole pattern without them.)
pub(super) fn narrows(pattern: &str, before: &str) -> bool {
    let follows = |one: char| one.is_ascii_alphanumeric() || " .:/_-".contains(one);
    pattern.strip_prefix(before).is_some_and(|more| !before.is_empty() && more.chars().all(follows))
}

/// See the module's description.
#[derive(Default)]
pub(super) struct Filter {
    /// What is being typed.
    typed: Option<String>,
    /// In force, as typed.
    good: Option<(String, Regex)>,
    /// What is wrong with what is typed.
    wrong: bool,
}

impl Filter {
    /// Whether keys are characters of it.
    pub fn is_typed(&self) -> bool {
        self.typed.is_some()
    }

    /// From now on they are.
    pub fn begin(&mut self) {
        self.typed = Some(self.good.as_ref().map(|(text, _)| text.clone()).unwrap_or_default());
        self.wrong = false;
    }

    /// No filter any more; whether there was one.
    pub fn clear(&mut self) -> bool {
        self.typed = None;
        self.good.take().is_some()
    }

    /// The one in force, as it was typed.
    pub fn told(&self) -> Option<&str> {
        self.good.as_ref().map(|(text, _)| text.as_str())
    }

    /// The input line.
    pub fn prompt(&self) -> Option<String> {
        let typed = self.typed.as_ref()?;
        let wrong =
            if self.wrong { "  (not a regular expression: the last good one is in force)" } else { "" };
        Some(format!("/{typed}_{wrong}  Enter keeps it, Esc no filter"))
    }

    /// A key of the input line.
    pub fn press(&mut self, key: Key) -> Answer {
        let Some(typed) = &mut self.typed else { return Answer::Nothing };
        match key {
            Key::Enter => {
                self.typed = None;
                return Answer::Draw;
            }
            Key::Escape => {
                self.clear();
                return Answer::Ask;
            }
            Key::Backspace => {
                typed.pop();
            }
            Key::Ctrl('u') => typed.clear(),
            Key::Char(one) if typed.chars().count() < TYPED_MAX && !one.is_control() => typed.push(one),
            _ => return Answer::Nothing,
        }
        let pattern = typed.clone();
        if pattern.is_empty() {
            self.good = None;
            self.wrong = false;
            return Answer::Ask;
        }
        let built = RegexBuilder::new(&pattern).case_insensitive(true).size_limit(SIZE_MAX).build();
        self.wrong = built.is_err();
        match built {
            Ok(regex) => {
                self.good = Some((pattern, regex));
                Answer::Ask
            }
            Err(_) => Answer::Draw,
        }
    }

    /// Which rows are looked at: what the command line leaves, less what does not match.
    pub fn only(&self, base: Option<&Only>, context: &Context) -> Option<Only> {
        let Some((_, regex)) = &self.good else { return base.cloned() };
        // Every row goes through it: none of them is worth a look-up by that.
        let names = context.names.known_only().into();
        let context = Context { names, ..context.clone() };
        let (regex, base) = (regex.clone(), base.cloned());
        Some(Only::new(move |name: &RowName| {
            base.as_ref().is_none_or(|base| base.fits(name)) && {
                let mut text = TEXT.take();
                text.clear();
                write_name_of(&mut text, name, &context);
                let fits = regex.is_match(&text);
                TEXT.set(text);
                fits
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_in(filter: &mut Filter, text: &str) {
        filter.begin();
        text.chars().for_each(|one| {
            filter.press(Key::Char(one));
        });
    }

    #[test]
    fn a_wrong_pattern_leaves_the_last_good_one_in_force() {
        let mut filter = Filter::default();
        type_in(&mut filter, "198.51(");
        assert_eq!(filter.told(), Some("198.51"));
        assert!(filter.prompt().is_some_and(|prompt| prompt.contains("last good")));
        filter.press(Key::Char(')'));
        assert_eq!(filter.told(), Some("198.51()"));
        filter.press(Key::Enter);
        assert!(!filter.is_typed() && filter.told().is_some());
        assert!(filter.clear() && filter.told().is_none());
    }

    proptest::proptest! {
        /// Whatever stands before: what the longer one matches the shorter one does.
        #[test]
        fn a_pattern_that_narrows_another_matches_nothing_else(
            tokens in proptest::collection::vec(0..TOKENS.len(), 1..6),
            more in "[ab1 .:_-]{1,3}",
            texts in proptest::collection::vec("[abAB1 .:]{0,12}", 24),
        ) {
            let before: String = tokens.iter().map(|&token| TOKENS[token]).collect();
            let pattern = format!("{before}{more}");
            let built = |pattern: &str| RegexBuilder::new(pattern).case_insensitive(true).build();
            if let (Ok(wide), Ok(narrow)) = (built(&before), built(&pattern)) {
                proptest::prop_assert!(narrows(&pattern, &before));
                for text in &texts {
                    proptest::prop_assert!(!narrow.is_match(text) || wide.is_match(text), "{pattern} {text}");
                }
            }
        }
    }

    /// What patterns are made of.
    const TOKENS: [&str; 30] = [
        "a", "b", "1", ".", "\\.", "*", "+", "?", "|", "(", ")", "[ab]", "[^a]", "^", "$", "{1,2}", "{2",
        "}", "\\b", "\\d", "\\x4", "\\x41", "(?i)", "(?x)", "(?-i)", "#", " ", ":", "\\pL", "\\",
    ];

    #[test]
    fn what_may_change_the_end_of_a_pattern_narrows_nothing() {
        for (pattern, before) in [("ab", "a"), ("198.1", "198."), (":80 t", ":8")] {
            assert!(narrows(pattern, before), "{pattern}");
        }
        let others =
            [("a|b", "a"), ("ab*", "ab"), ("a?", "a"), ("b", "a"), ("a", "ab"), ("a{2}", "a"), ("a", "")];
        for (pattern, before) in others {
            assert!(!narrows(pattern, before), "{pattern}");
        }
    }

    #[test]
    fn a_filter_fits_names_of_rows() {
        let mut filter = Filter::default();
        type_in(&mut filter, "198\\.51\\.100\\.7$");
        let only = filter.only(None, &Context::default()).expect("a filter");
        let host = |text: &str| RowName::Host(text.parse().expect("an address"));
        assert!(only.fits(&host("198.51.100.7")) && !only.fits(&host("198.51.100.70")));
        let base = Only::new(|_| false);
        let only = filter.only(Some(&base), &Context::default()).expect("a filter");
        assert!(!only.fits(&host("198.51.100.7")), "what the command line leaves out stays out");
    }
}
