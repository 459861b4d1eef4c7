//! Keys that are pressed as the screen begins (`--keys`): from text to keys, each of
//! which has to do something where it is pressed.

use super::RunError;
use crate::output::tui::Kind;
use crate::output::tui::keys::{self, Does, Key};

/// The keys of a text, the first of them pressed in this view; F and a figure is a
/// function key, the end of a line is Enter.
///
/// # Errors
/// Exit code 2: which key does nothing there.
pub(super) fn of(text: &str, mut view: Kind) -> Result<Vec<Key>, RunError> {
    let mut pressed = Vec::new();
    let mut typing = false;
    let mut chars = text.chars().peekable();
    while let Some(one) = chars.next() {
        let figure =
            chars.peek().and_then(|next| next.to_digit(10)).and_then(|figure| u8::try_from(figure).ok());
        let key = match (one, figure) {
            ('F', Some(figure @ 1..)) if !typing => {
                chars.next();
                Key::F(figure)
            }
            ('\n' | '\r', _) => Key::Enter,
            _ => Key::Char(one),
        };
        pressed.push(key);
        if typing {
            typing = key != Key::Enter;
            continue;
        }
        match keys::find(key, view) {
            Some(Does::Quit) => return Err(wrong("q would end it at once: leave it out")),
            Some(Does::To(kind)) => view = kind,
            Some(Does::Turn(by)) => {
                view = Kind::ALL.get((view as usize + by) % Kind::ALL.len()).copied().unwrap_or(view);
            }
            Some(Does::Filter) => typing = true,
            Some(_) => {}
            None => {
                let name = view.name();
                return Err(wrong(&format!("{} does nothing among {name}: ? lists the keys", shown(key))));
            }
        }
    }
    Ok(pressed)
}

fn shown(key: Key) -> String {
    match key {
        Key::F(number) => format!("F{number}"),
        Key::Char(one) => one.escape_debug().to_string(),
        _ => "Enter".to_owned(),
    }
}

fn wrong(what: &str) -> RunError {
    RunError::Usage(format!("--keys: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_and_held_to_their_views() {
        let ok = |text: &str| of(text, Kind::Connections).expect(text);
        assert_eq!(of("T", Kind::Hosts).ok(), Some(vec![Key::Char('T')]));
        assert_eq!(ok(""), []);
        assert_eq!(ok("F2TL"), [Key::F(2), Key::Char('T'), Key::Char('L')]);
        let typed = ok("/F1q\nF6");
        assert_eq!(typed.len(), 6);
        assert_eq!((typed[1], typed[5]), (Key::Char('F'), Key::F(6)));
        for (text, told) in [
            ("T", "--keys: T does nothing among Connections: ? lists the keys"),
            ("F2F5T", "--keys: T does nothing among Links: ? lists the keys"),
            ("F2q", "--keys: q would end it at once: leave it out"),
            ("F9", "--keys: F9 does nothing among Connections: ? lists the keys"),
        ] {
            assert_eq!(
                of(text, Kind::Connections).map_err(|error| error.to_string()),
                Err(format!("fullcount: {told}")),
                "{text}"
            );
        }
    }
}
