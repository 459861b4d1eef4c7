//! The input line of the capture filter: an expression as tcpdump's, for the kernel.
//!
//! Typed here, put in force by control; until that has answered the one before
//! is. What is wrong with it is told in the answer's own lines, the caret under
//! its place. Unlike [`super::filter`] this one chooses what is counted.

use super::keys::Key;
use super::paint::plain_lines;

/// Longest expression, characters.
const TYPED_MAX: usize = 4096;

/// See the module's description.
#[derive(Default)]
pub(super) struct CaptureFilter {
    typed: Option<String>,
    /// Typed and sent, not yet answered.
    sent: Option<String>,
    /// To be sent.
    wish: Option<String>,
    wrong: Vec<String>,
}

impl CaptureFilter {
    /// Whether keys are characters of it.
    pub fn is_typed(&self) -> bool {
        self.typed.is_some()
    }

    /// From now on they are; `now`: what is in force.
    pub fn begin(&mut self, now: Option<&str>) {
        self.typed = Some(now.unwrap_or_default().to_owned());
        self.wrong.clear();
    }

    /// Nothing can be changed, and why.
    pub fn refuse(&mut self, why: &str) {
        self.begin(None);
        self.wrong = plain_lines(why);
    }

    /// A key of the input line.
    pub fn press(&mut self, key: Key) {
        let Some(typed) = &mut self.typed else { return };
        match key {
            Key::Escape => (self.typed, self.sent) = (None, None),
            Key::Enter if self.sent.is_none() => {
                self.sent = Some(typed.clone());
                self.wish = self.sent.clone();
                self.wrong.clear();
            }
            Key::Backspace => {
                typed.pop();
            }
            Key::Ctrl('u') => typed.clear(),
            Key::Char(one) if typed.chars().count() < TYPED_MAX && !one.is_control() => typed.push(one),
            _ => {}
        }
    }

    /// What is to be put in force, once.
    pub fn take_wish(&mut self) -> Option<String> {
        self.wish.take()
    }

    /// What became of it.
    pub fn answer(&mut self, wrong: Option<&str>) {
        self.sent = None;
        match wrong {
            None => self.typed = None,
            Some(wrong) => self.wrong = plain_lines(wrong),
        }
    }

    /// The input line and what stands above it, from the top down.
    pub fn prompt(&self) -> Option<Vec<String>> {
        let typed = self.typed.as_ref()?;
        let mut told = self.wrong.clone();
        if !told.is_empty() {
            told.push("The one before is still in force.".to_owned());
        }
        let hint =
            if self.sent.is_some() { "  asked for" } else { "  Enter puts it in force, Esc leaves it" };
        told.push(format!("capture filter: {typed}_{hint}"));
        Some(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_closes_it_or_says_what_is_wrong() {
        let mut filter = CaptureFilter::default();
        filter.begin(Some("tcp"));
        " or".chars().for_each(|one| filter.press(Key::Char(one)));
        filter.press(Key::Enter);
        filter.press(Key::Enter);
        assert_eq!((filter.take_wish().as_deref(), filter.take_wish()), (Some("tcp or"), None));
        filter.answer(Some("filter expression: syntax error, at the mark\n  tcp or\n        ^"));
        let told = filter.prompt().expect("it is typed still");
        assert_eq!(told[1..3], ["  tcp or", "        ^"]);
        assert!(told[3].contains("still in force") && told[4].contains("tcp or_"));
        filter.press(Key::Ctrl('u'));
        filter.press(Key::Enter);
        assert_eq!(filter.take_wish().as_deref(), Some(""));
        filter.answer(None);
        assert!(!filter.is_typed() && filter.prompt().is_none());
    }
}
