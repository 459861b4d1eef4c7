//! The process's own terminal: taken, read, put back as it was.

use crate::output::tui::keys::Key;
use crate::run::{Again, end_at_once, is_set};
use crossbeam_channel::{SendTimeoutError, Sender};
use ratatui::crossterm::event::{
    self, DisableMouseCapture, EnableMouseCapture, Event, KeyCode, KeyEventKind, KeyModifiers, MouseButton,
    MouseEvent, MouseEventKind,
};
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, getpgrp, kill_current_process_group};
use rustix::termios::{OptionalActions, tcgetattr, tcgetpgrp, tcsetattr};
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once};
use std::time::Duration;

/// How often the input looks whether it is still wanted.
pub(in crate::run) const LOOK: Duration = Duration::from_millis(200);
/// How long a terminal that is being written to is waited for before it is put
/// back as it was, a millisecond each.
const PATIENCE_MS: u32 = 100;

/// Whether there is a screen that has to be put back. Of the process, as its
/// terminal is: a panic of any thread has to find it.
static OPEN: AtomicBool = AtomicBool::new(false);
/// Held while a frame is written, so that nothing of it comes after the end.
pub(in crate::run) static WRITING: Mutex<()> = Mutex::new(());

/// What a screen hears besides snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) enum Heard {
    Key(Key),
    /// The terminal has another size.
    Resized,
    /// The process goes on after it was stopped: another one had the terminal.
    Resumed,
}

/// Keys to the loop, until the screen is closed.
pub(in crate::run) fn listen(closing: &AtomicBool, heard: &Sender<Heard>) -> io::Result<()> {
    let mut resized = false;
    while !is_set(closing) {
        if !event::poll(if resized { Duration::ZERO } else { LOOK })? {
            if std::mem::take(&mut resized) {
                wake_input();
            }
            continue;
        }
        let event = event::read()?;
        resized |= matches!(event, Event::Resize(..));
        let one = match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                key_of(key.code, key.modifiers).map(Heard::Key)
            }
            Event::Mouse(mouse) => key_of_mouse(mouse).map(Heard::Key),
            Event::Resize(..) => Some(Heard::Resized),
            _ => None,
        };
        let one = match one {
            Some(Heard::Key(Key::Ctrl('z'))) => {
                suspend();
                Some(Heard::Resumed)
            }
            other => other,
        };
        let Some(mut one) = one else { continue };
        // While the terminal is stuck keys wait where they are typed: no quit is lost.
        while let Err(SendTimeoutError::Timeout(unsent)) = heard.send_timeout(one, LOOK)
            && !is_set(closing)
        {
            one = unsent;
        }
    }
    Ok(())
}

/// Keys that came with another size are left where they are until the next key: crossterm
/// hears of input once (mio waits for edges), and returns with the size before it has read
/// any. Setting the modes that there are wakes who waits for input (drivers/tty/n_tty.c,
/// `n_tty_set_termios`), and what is there is heard of anew.
fn wake_input() {
    let wake = |terminal: BorrowedFd| {
        let waiting = &mut [PollFd::new(&terminal, PollFlags::IN)];
        let is_waiting = poll(waiting, Some(&Timespec::default())).is_ok_and(|ready| ready > 0);
        // In the background the kernel would stop the process for that.
        if is_waiting
            && tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp())
            && let Ok(modes) = tcgetattr(terminal)
        {
            let _ = tcsetattr(terminal, OptionalActions::Now, &modes);
        }
    };
    // Where standard input is a file keys come from the terminal itself.
    match io::stdin() {
        stdin if stdin.is_terminal() => wake(stdin.as_fd()),
        _ => std::fs::File::open("/dev/tty").iter().for_each(|terminal| wake(terminal.as_fd())),
    }
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
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
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

/// Whether the locale's characters are UTF-8 (POSIX: LC_ALL, LC_CTYPE, LANG, the
/// first that is not empty).
pub(in crate::run) fn locale_is_utf8() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Takes it.
pub(in crate::run) fn open() -> io::Result<()> {
    enable_raw_mode()?;
    OPEN.store(true, Ordering::SeqCst);
    execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture, cursor::Hide).inspect_err(|_| restore())
}

/// After others had the terminal.
pub(in crate::run) fn reopen() -> io::Result<()> {
    if !OPEN.load(Ordering::SeqCst) {
        return Ok(());
    }
    // The shell may have put its own modes back: raw ones are set anew.
    disable_raw_mode()?;
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture, cursor::Hide, Clear(ClearType::All))
}

/// Ctrl-Z: stopped with all of its group, as a terminal does it, with the terminal as it
/// was, until somebody says to go on. What comes meanwhile waits in the rings of a live
/// run, as long as they have room. Where no shell could say so the kernel lets it go on
/// at once, and where the terminal is stuck the key does nothing.
fn suspend() {
    if let Some(_writing) = between_frames() {
        give_back();
        let _ = kill_current_process_group(Signal::TSTP);
        // It may come a little later, to any thread.
        std::thread::sleep(LOOK);
        let _ = reopen();
    }
}

/// Puts the terminal back as it was, once.
pub(in crate::run) fn restore() {
    if OPEN.swap(false, Ordering::SeqCst) {
        let _writing = between_frames();
        give_back();
    }
}

/// A frame under way is waited for; not for ever, as its thread may be the one that
/// panics, or the terminal stuck.
fn between_frames() -> Option<MutexGuard<'static, ()>> {
    for _ in 0..PATIENCE_MS {
        if let Ok(writing) = WRITING.try_lock() {
            return Some(writing);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    WRITING.try_lock().ok()
}

fn give_back() {
    // Modes first: what is written may wait for a terminal that is stuck.
    let _ = disable_raw_mode();
    let _ = execute!(io::stdout(), DisableMouseCapture, LeaveAlternateScreen, cursor::Show);
}

/// What a panic says is read on a terminal that is as it was.
pub(in crate::run) fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            earlier(panic);
        }));
    });
}

/// A second signal ends the process at once, with its terminal as it was; one
/// that the terminal is gone ends the run, where nothing else is meant by it.
pub(in crate::run) fn watch_signals(
    stop: &Arc<AtomicBool>,
    heard: Sender<Heard>,
    ends_by_hangup: bool,
) -> io::Result<()> {
    use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM};
    let ends = if ends_by_hangup { &[SIGINT, SIGTERM, SIGHUP][..] } else { &[SIGINT, SIGTERM][..] };
    let mut signals = signal_hook::iterator::Signals::new(ends.iter().chain(&[SIGCONT]))?;
    let stop = stop.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut again = Again::default();
        for signal in signals.forever() {
            if signal == SIGCONT {
                let _ = heard.try_send(Heard::Resumed);
                continue;
            }
            stop.store(true, Ordering::Relaxed);
            if again.is_second() {
                end_at_once(restore);
            }
        }
    })?;
    Ok(())
}
