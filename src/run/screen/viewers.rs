//! Screens for those who look on through the socket (`fullcount attach`).
//!
//! ```text
//! attach ──SCREEN, keys, sizes: lines──▶ input ──▶ screen ──what a terminal shows──▶ attach
//! ```
//!
//! A screen is drawn here, by the same loop as the run's own, and its changes go
//! out as they would to a terminal: who looks on needs no figures and no rights
//! but to open the socket. It changes nothing: its `q` ends itself alone, it asks
//! for rows beside those of the outputs, and it sets no filter. Bounded: so many at
//! once, lines so long, and one that does not take what it is sent within seconds
//! is let go. Nobody waits for any of them.

use super::KEYS;
use super::hub::Hub;
use super::looped::{Ending, Loop, Rows};
use super::terminal::{Heard, LOOK};
use crate::output::tui::Can;
use crate::run::is_set;
use crossbeam_channel::{Sender, bounded};
use ratatui::Terminal;
use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Who may look on at once.
pub const VIEWERS_MAX: usize = 8;
/// For what is drawn to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest line of a viewer, bytes.
const LINE_MAX: usize = 64;
/// Columns and lines of a terminal, at most: one has a few hundred.
const SIDE_MAX: u16 = 2000;

/// How somebody begins to look on, in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Columns and lines of its terminal.
    pub size: (u16, u16),
    /// What that can show.
    pub can: Can,
}

/// First word of the line, and of what is answered to it; the figure changes where
/// the lines do.
pub const WORD: &str = "SCREEN/1";

impl fmt::Display for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hello { size: (columns, lines), can } = self;
        write!(f, "{WORD} {columns} {lines} {} {}", u8::from(can.colours), u8::from(can.utf8))
    }
}

impl FromStr for Hello {
    type Err = ();

    fn from_str(line: &str) -> Result<Hello, ()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [WORD, columns, lines, colours, utf8] = words[..] else { return Err(()) };
        let can = Can { colours: colours == "1", utf8: utf8 == "1" };
        Ok(Hello { size: size_of(columns, lines).ok_or(())?, can })
    }
}

fn size_of(columns: &str, lines: &str) -> Option<(u16, u16)> {
    let side = |text: &str| text.parse().ok().map(|side: u16| side.clamp(1, SIDE_MAX));
    Some((side(columns)?, side(lines)?))
}

/// What a line of a viewer says.
fn heard_of(line: &str, size: &AtomicU32) -> Option<Heard> {
    match line.split_once(' ') {
        Some(("size", sides)) => {
            let (columns, lines) = sides.split_once(' ').and_then(|(a, b)| size_of(a, b))?;
            size.store(packed((columns, lines)), Ordering::Relaxed);
            Some(Heard::Resized)
        }
        None if line == "again" => Some(Heard::Resumed),
        _ => line.parse().ok().map(Heard::Key),
    }
}

fn packed((columns, lines): (u16, u16)) -> u32 {
    u32::from(columns) << 16 | u32::from(lines)
}

/// A terminal that is somewhere else.
struct Remote {
    out: CrosstermBackend<BufWriter<UnixStream>>,
    size: Arc<AtomicU32>,
}

impl Backend for Remote {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        self.out.draw(content)
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.out.hide_cursor()
    }

    /// Asked for as it goes: who looks on may have gone before, and shows its own.
    fn show_cursor(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Nothing asks where it stands: it is hidden.
    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.out.set_cursor_position(position)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.out.clear()
    }

    fn clear_region(&mut self, region: ClearType) -> io::Result<()> {
        self.out.clear_region(region)
    }

    fn size(&self) -> io::Result<Size> {
        let [a, b, c, d] = self.size.load(Ordering::Relaxed).to_be_bytes();
        Ok(Size::new(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size()?, pixels: Size::ZERO })
    }

    fn flush(&mut self) -> io::Result<()> {
        Backend::flush(&mut self.out)
    }
}

/// One who looks on.
struct Viewer {
    stream: UnixStream,
    ending: Arc<Ending>,
    wake: Sender<()>,
    threads: [JoinHandle<()>; 2],
}

impl Viewer {
    fn is_gone(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    fn end(self) {
        over(&self.ending, &self.stream, &self.wake);
        self.threads.into_iter().for_each(|thread| {
            let _ = thread.join();
        });
    }
}

/// A viewer's threads end, whatever they wait for.
fn over(ending: &Ending, stream: &UnixStream, wake: &Sender<()>) {
    ending.closing.store(true, Ordering::Relaxed);
    let _ = stream.shutdown(Shutdown::Both);
    let _ = wake.try_send(());
}

/// All who look on. Dropped, they are let go.
pub struct Viewers {
    hub: Arc<Hub>,
    list: Vec<Viewer>,
}

impl Viewers {
    /// Of the screens of this hub.
    pub(in crate::run) fn new(hub: &Arc<Hub>) -> Viewers {
        Viewers { hub: hub.clone(), list: Vec::new() }
    }

    /// Whether one more may look on.
    pub fn has_room(&mut self) -> bool {
        self.list.retain(|viewer| !viewer.is_gone());
        self.list.len() < VIEWERS_MAX
    }

    /// Somebody looks on from now on; `rest` came behind its first line.
    ///
    /// # Errors
    /// Of its socket, or where there is no thread for it.
    pub fn add(&mut self, hello: Hello, stream: UnixStream, rest: Vec<u8>) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_read_timeout(Some(LOOK))?;
        let (input, mut output, kept) = (stream.try_clone()?, stream.try_clone()?, stream);
        writeln!(output, "{WORD}")?;
        let size = Arc::new(AtomicU32::new(packed(hello.size)));
        let out = CrosstermBackend::new(BufWriter::with_capacity(1 << 16, output));
        let terminal = Terminal::new(Remote { out, size: size.clone() })?;
        let ending = Arc::new(Ending::default());
        let (heard_out, heard) = bounded(KEYS);
        let (wake, woken) = self.hub.wakes();
        let wakes = (wake.clone(), woken);
        let rows = Rows::Beside(Arc::default());
        let screen = Loop::new(terminal, hello.can, &self.hub, &ending, rows, heard, wakes);
        let (hub, ended) = (self.hub.clone(), (ending.clone(), kept.try_clone()?, wake.clone()));
        let spawn = |name: &str, act: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(act)
        };
        let drawing = spawn(
            "viewer",
            Box::new(move || {
                // Quits, goes away, does not take what it is sent: all the same here.
                let _ = screen.run();
                hub.forget(&ended.2);
                over(&ended.0, &ended.1, &ended.2);
            }),
        );
        let ended = (ending.clone(), kept.try_clone()?, wake.clone());
        let hearing = spawn(
            "viewer-input",
            Box::new(move || {
                hear(input, rest, &size, &heard_out, &ended.0);
                over(&ended.0, &ended.1, &ended.2);
            }),
        );
        match (drawing, hearing) {
            (Ok(drawing), Ok(hearing)) => {
                let threads = [drawing, hearing];
                self.list.push(Viewer { stream: kept, ending, wake, threads });
                Ok(())
            }
            (Err(error), _) | (_, Err(error)) => {
                over(&ending, &kept, &wake);
                Err(error)
            }
        }
    }
}

impl Drop for Viewers {
    fn drop(&mut self) {
        std::mem::take(&mut self.list).into_iter().for_each(Viewer::end);
    }
}

/// Lines of a viewer to its screen, until one of the two is gone.
fn hear(mut input: UnixStream, rest: Vec<u8>, size: &AtomicU32, heard: &Sender<Heard>, ending: &Ending) {
    let mut line = rest;
    let mut piece = [0; 512];
    loop {
        while let Some(end) = line.iter().position(|&byte| byte == b'\n') {
            let whole: Vec<u8> = line.drain(..=end).collect();
            let one = std::str::from_utf8(&whole).ok().and_then(|line| heard_of(line.trim_end(), size));
            // A screen that is stuck hears no key: they are lost, as on no terminal of its own.
            if let Some(one) = one {
                let _ = heard.try_send(one);
            }
        }
        if line.len() > LINE_MAX || is_set(&ending.closing) || is_set(&ending.left) {
            return;
        }
        match input.read(&mut piece) {
            Ok(0) => return,
            Ok(read) => line.extend_from_slice(piece.get(..read).unwrap_or(&[])),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tui::keys::Key;

    #[test]
    fn what_is_said_is_understood_and_nothing_else() {
        let hello = Hello { size: (120, 40), can: Can { colours: true, utf8: false } };
        assert_eq!(hello.to_string(), "SCREEN/1 120 40 1 0");
        assert_eq!(hello.to_string().parse(), Ok(hello));
        for wrong in ["SCREEN/1", "SCREEN/1 0x10 4 1 1", "SCREEN/2 80 24 1 1", "SCREEN/1 80 24 1 1 1"] {
            assert_eq!(wrong.parse::<Hello>(), Err(()), "{wrong}");
        }
        let size = AtomicU32::new(0);
        assert_eq!(heard_of("size 100 65535", &size), Some(Heard::Resized));
        assert_eq!(size.load(Ordering::Relaxed), packed((100, SIDE_MAX)));
        assert_eq!(heard_of("again", &size), Some(Heard::Resumed));
        assert_eq!(heard_of("char 71", &size), Some(Heard::Key(Key::Char('q'))));
        for wrong in ["", "char", "char d800", "size 1", "size a b", "click 1", "q", "char 71 71"] {
            assert_eq!(heard_of(wrong, &size), None, "{wrong}");
        }
    }
}
