//! `fullcount attach`: the screen of a fullcount that runs, on this terminal.
//!
//! What is drawn comes through its socket as a terminal takes it; keys and sizes go
//! there, a line each (`screen/viewers.rs`). Nothing is counted here and no
//! privilege is needed but to open the socket. The terminal is as it was before
//! after a quit, a signal, a panic, and the end of what was looked at.

use super::screen::KEYS;
use super::screen::terminal::{
    Heard, LOOK, WRITING, listen, locale_is_utf8, open, reopen, restore, restore_on_panic, watch_signals,
};
use super::screen::viewers::{Hello, WORD};
use super::{RunError, is_set, shows_color, stat};
use crate::config::Attach;
use crate::output::tui::Can;
use crate::output::tui::keys::Key;
use crossbeam_channel::{Receiver, bounded};
use ratatui::crossterm::terminal::size;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// For the first answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest first answer: a sentence.
const FIRST_MAX: usize = 4096;

/// Shows it until it is quit or over.
///
/// # Errors
/// Exit code 2 without a terminal, 1 where nobody answers, nobody may look on, or
/// what was looked at ended by itself.
pub fn attach(wanted: &Attach) -> Result<(), RunError> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let advice = "type fullcount stat --json, which needs none";
        return Err(RunError::Usage(format!("attach needs a terminal on both sides: {advice}")));
    }
    let path = match &wanted.socket {
        Some(path) => path.clone(),
        None => stat::found("attach PATH")?,
    };
    let failed = |what: String| RunError::Failed(vec![format!("{}: {what}", path.display())]);
    let mut stream = connected(&path, wanted).map_err(|error| failed(stat::sentence(&error)))?;
    let first = first_line(&mut stream).map_err(|error| failed(stat::sentence(&error)))?;
    if first.trim_end() != WORD {
        return Err(failed(refusal(&first)));
    }
    let left = show(stream).map_err(|error| failed(format!("the screen cannot go on: {error}")))?;
    if left { Ok(()) } else { Err(failed("what was looked at has ended".into())) }
}

fn connected(path: &Path, wanted: &Attach) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let colours = shows_color(wanted.no_color, &io::stdout());
    let hello = Hello { size: size()?, can: Can { colours, utf8: locale_is_utf8() } };
    writeln!(stream, "{hello}")?;
    Ok(stream)
}

/// Byte by byte: what follows is the terminal's.
fn first_line(stream: &mut UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut one = [0];
    while line.len() < FIRST_MAX && stream.read(&mut one)? == 1 && one != *b"\n" {
        line.extend(one);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// What one says that does not show its screen.
fn refusal(first: &str) -> String {
    let told = serde_json::from_str::<serde_json::Value>(first).ok();
    let told = told.as_ref().and_then(|told| told["error"].as_str());
    match told {
        Some(why) if !why.starts_with("there is no request") => crate::output::units::plain(why).into_owned(),
        _ => "this one shows no screen: it is another version, or no fullcount".to_owned(),
    }
}

/// The screen; whether somebody left it, and it did not end by itself.
fn show(mut stream: UnixStream) -> io::Result<bool> {
    let (heard_out, heard) = bounded(KEYS);
    let (stop, closing) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    watch_signals(&stop, heard_out.clone(), true)?;
    restore_on_panic();
    open()?;
    let (typed, input) = (stream.try_clone()?, closing.clone());
    let left = Arc::<AtomicBool>::default();
    let (says, stopped, over) = (left.clone(), stop.clone(), closing.clone());
    let telling = std::thread::Builder::new().name("keys".into()).spawn(move || {
        tell(typed, &heard, &says, || is_set(&stopped) || is_set(&over));
    })?;
    let listening =
        std::thread::Builder::new().name("input".into()).spawn(move || listen(&input, &heard_out))?;
    stream.set_read_timeout(None)?;
    let shown = copy(&mut stream);
    closing.store(true, Ordering::Relaxed);
    let _ = stream.shutdown(Shutdown::Both);
    let _ = (listening.join(), telling.join());
    restore();
    shown.map(|()| is_set(&left) || is_set(&stop))
}

/// What comes, onto the terminal, until nothing more does.
fn copy(stream: &mut UnixStream) -> io::Result<()> {
    let mut piece = vec![0; 1 << 16];
    loop {
        let read = match stream.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error),
        };
        let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = io::stdout().lock();
        out.write_all(piece.get(..read).unwrap_or(&[]))?;
        out.flush()?;
    }
}

/// Keys and sizes, a line each, until `ends`.
fn tell(mut stream: UnixStream, heard: &Receiver<Heard>, left: &AtomicBool, ends: impl Fn() -> bool) {
    while !ends() {
        let Ok(one) = heard.recv_timeout(LOOK) else { continue };
        let line = match one {
            Heard::Key(key) => {
                // It decides whether that leaves it; what it ends by, nobody else knows.
                let quits = matches!(key, Key::Char('q') | Key::Ctrl('c'));
                left.store(quits, Ordering::Relaxed);
                key.to_string()
            }
            Heard::Resized => match size() {
                Ok((columns, lines)) => format!("size {columns} {lines}"),
                Err(_) => continue,
            },
            Heard::Resumed => match reopen() {
                Ok(()) => "again".to_owned(),
                Err(_) => continue,
            },
        };
        if writeln!(stream, "{line}").is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}
