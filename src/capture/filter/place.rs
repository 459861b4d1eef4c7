//! Finds the words of an expression that libpcap refuses: it names no place.
//!
//! It knows words, brackets and whom to ask ("does this compile?"); it does
//! not know the grammar.
//! - A syntax error is at the first word behind which no continuation that we
//!   can think of is grammatical; behind the end, where every word has one.
//! - Any other error is in the words between the longest beginning that
//!   compiles and the first word that brings that same error about.
//! - The number of questions has a limit ([`QUESTIONS_MAX`]).
//!
//! Sources: pcap-filter(7); libpcap `grammar.y` (yyerror: "syntax error").

use std::cell::Cell;
use std::ops::Range;

/// Most compilations spent on one error: some 50 µs each, and a name look-up
/// where there are names.
const QUESTIONS_MAX: u32 = 1000;

/// Ways an expression can go on, so that one of them fits behind every word
/// that is no error itself.
const CONTINUATIONS: [&str; 9] =
    ["", " ip", " 1", " 10.0.0.1", " 1-2", " 1:2:3:4:5:6", " 1 = 0", " dst host 10.0.0.1", " 255.0.0.0"];

/// Bytes of an expression that are wrong; empty at its end where more words
/// are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(pub Range<usize>);

impl Place {
    /// The expression on one line, and marks under the place on the next.
    pub fn show(&self, expression: &str) -> String {
        let line: String = expression.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let columns = |bytes: Range<usize>| expression.get(bytes).map_or(0, |part| part.chars().count());
        let before = columns(0..self.0.start);
        let marks = "~".repeat(columns(self.0.clone()).saturating_sub(1));
        format!("  {line}\n  {:before$}^{marks}", "")
    }
}

/// libpcap's sentence without the words that say what we say already.
pub(super) fn sentence(message: &str) -> &str {
    message.strip_prefix("can't parse filter expression: ").unwrap_or(message)
}

/// The place of the error `message` that `compiles` gives for the whole
/// expression.
pub(super) fn find(expression: &str, message: &str, compiles: impl Fn(&str) -> Result<(), String>) -> Place {
    let words = words(expression);
    let left = Cell::new(QUESTIONS_MAX);
    let ask = |part: &str| {
        left.set(left.get().checked_sub(1)?);
        Some(compiles(part))
    };
    let found = if is_syntax(message) {
        find_syntax(expression, &words, &ask)
    } else {
        find_meaning(expression, &words, message, &ask)
    };
    // Out of questions: the whole is what is wrong.
    Place(found.unwrap_or(0..expression.len()))
}

fn is_syntax(message: &str) -> bool {
    sentence(message).starts_with("syntax error")
}

/// The first word behind which nothing fits.
fn find_syntax(
    expression: &str,
    words: &[Range<usize>],
    ask: &impl Fn(&str) -> Option<Result<(), String>>,
) -> Option<Range<usize>> {
    for word in words {
        if !goes_on(expression.get(..word.end)?, ask)? {
            return Some(word.clone());
        }
    }
    let end = words.last().map_or(expression.len(), |word| word.end);
    Some(end..end)
}

/// Whether any continuation of `beginning` is grammatical (an error of meaning
/// comes after the grammar was content with the words before).
fn goes_on(beginning: &str, ask: &impl Fn(&str) -> Option<Result<(), String>>) -> Option<bool> {
    let closing = closing(beginning);
    for continuation in CONTINUATIONS {
        for relation in ["", " = 0"] {
            match ask(&format!("{beginning}{continuation}{closing}{relation}"))? {
                Err(message) if is_syntax(&message) => {}
                _ => return Some(true),
            }
        }
    }
    Some(false)
}

/// From behind the longest beginning that compiles to the word with which the
/// error appears.
fn find_meaning(
    expression: &str,
    words: &[Range<usize>],
    message: &str,
    ask: &impl Fn(&str) -> Option<Result<(), String>>,
) -> Option<Range<usize>> {
    let mut first = 0;
    for (index, word) in words.iter().enumerate() {
        let beginning = expression.get(..word.end)?;
        match ask(&format!("{beginning}{}", closing(beginning)))? {
            Ok(()) => first = index + 1,
            Err(other) if other == message => {
                let text =
                    |index: usize| words.get(index).and_then(|w| expression.get(w.clone())).unwrap_or("");
                let mut start = (first..index).find(|&at| !joins(text(at))).unwrap_or(index);
                if text(start) == "[" {
                    start = start.saturating_sub(1); // a header's name belongs to its index
                }
                return Some(words.get(start)?.start..word.end);
            }
            Err(_) => {}
        }
    }
    None
}

/// Words between primitives, which are never what is wrong themselves.
fn joins(word: &str) -> bool {
    matches!(word, "and" | "or" | "not" | "&&" | "||" | "!" | "(" | ")")
}

/// What closes the brackets that are open at the end of `beginning`.
fn closing(beginning: &str) -> String {
    let mut open = Vec::new();
    for c in beginning.chars() {
        match c {
            '(' => open.push(')'),
            '[' => open.push(']'),
            ')' | ']' => drop(open.pop()),
            _ => {}
        }
    }
    open.into_iter().rev().collect()
}

/// Splits at white space, around brackets, and between words and operators.
fn words(expression: &str) -> Vec<Range<usize>> {
    #[derive(PartialEq)]
    enum Kind {
        Space,
        Bracket,
        Operator,
        Word,
    }
    let kind = |c: char| match c {
        c if c.is_whitespace() => Kind::Space,
        '(' | ')' | '[' | ']' => Kind::Bracket,
        '!' | '=' | '<' | '>' | '&' | '|' => Kind::Operator,
        _ => Kind::Word,
    };
    let mut words: Vec<Range<usize>> = Vec::new();
    let mut last = Kind::Space;
    for (at, c) in expression.char_indices() {
        let (this, end) = (kind(c), at + c.len_utf8());
        match words.last_mut().filter(|_| this == last && this != Kind::Bracket) {
            _ if this == Kind::Space => {}
            Some(word) => word.end = end,
            None => words.push(at..end),
        }
        last = this;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_where_a_reader_would() {
        let text = "(tcp[13]&2!=0 or\thost 10.0.0.1)";
        let parts: Vec<&str> = words(text).into_iter().map(|w| &text[w]).collect();
        assert_eq!(parts, ["(", "tcp", "[", "13", "]", "&", "2", "!=", "0", "or", "host", "10.0.0.1", ")"]);
        assert_eq!(closing("tcp[((tcp[12"), "]))]");
    }

    #[test]
    fn marks_stand_under_the_place() {
        assert_eq!(Place(4..8).show("tcp porr 1"), "  tcp porr 1\n      ^~~~");
        assert_eq!(Place(8..8).show("tcp port"), "  tcp port\n          ^");
        // Columns are characters, and a tab or line end does not shift them.
        assert_eq!(Place(6..9).show("hö\tä\u{e4}x"), "  hö ääx\n      ^~");
    }

    #[test]
    fn questions_end() {
        let long = "foo ".repeat(10_000);
        let asked = Cell::new(0);
        let place = find(&long, "other", |_| {
            asked.set(asked.get() + 1);
            Err("syntax error".into())
        });
        assert_eq!((asked.get(), place), (QUESTIONS_MAX, Place(0..long.len())));
    }
}
