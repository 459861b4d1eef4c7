//! Keys and the mouse, from the terminal to the screen's loop.
//!
//! A thread of its own: it waits for the terminal, and for the loop where that is
//! stuck, so that no key is lost. Knows what terminals tell; what a key does is
//! `output::tui`'s.

use super::{Heard, LOOK, Shared};
use crate::output::tui::keys::Key;
use crate::run::is_set;
use crossbeam_channel::{SendTimeoutError, Sender};
use ratatui::crossterm::event::{
    self, Event, KeyCode, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use std::io;

/// Keys to the loop, until the screen is closed.
pub(super) fn listen(shared: &Shared, heard: &Sender<Heard>) -> io::Result<()> {
    while !is_set(&shared.closing) {
        if !event::poll(LOOK)? {
            continue;
        }
        let one = match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                key_of(key.code, key.modifiers).map(Heard::Key)
            }
            Event::Mouse(mouse) => key_of_mouse(mouse).map(Heard::Key),
            Event::Resize(..) => Some(Heard::Resized),
            _ => None,
        };
        let Some(mut one) = one else { continue };
        // While the terminal is stuck keys wait where they are typed: no quit is lost.
        while let Err(SendTimeoutError::Timeout(unsent)) = heard.send_timeout(one, LOOK)
            && !is_set(&shared.closing)
        {
            one = unsent;
        }
    }
    Ok(())
}

fn key_of_mouse(mouse: MouseEvent) -> Option<Key> {
    match mouse.kind {
        MouseEventKind::ScrollUp => Some(Key::Wheel(true)),
        MouseEventKind::ScrollDown => Some(Key::Wheel(false)),
        MouseEventKind::Down(MouseButton::Left) => Some(Key::Click(mouse.column, mouse.row)),
        _ => None,
    }
}

fn key_of(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
    Some(match code {
        KeyCode::Char(one) if modifiers.contains(KeyModifiers::CONTROL) => {
            Key::Ctrl(one.to_ascii_lowercase())
        }
        KeyCode::Char(one) => Key::Char(one),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::F(number) => Key::F(number),
        _ => return None,
    })
}
