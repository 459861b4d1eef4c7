//! The program on a terminal: a real pty, keys typed into it, and what a
//! terminal would show of what was said (vt100).
#![allow(dead_code)] // each test program uses its part

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcgetwinsize, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module's description. Dropped, the program is killed.
pub struct OnTerminal {
    child: Child,
    /// None when it is gone.
    terminal: Option<File>,
    /// Its other end, kept open so that modes can be read when the program is gone.
    kept: File,
    shown: Arc<Mutex<vt100::Parser>>,
    before: Termios,
    /// Nothing is read: the terminal is stuck.
    held: Arc<AtomicBool>,
    gone: Arc<AtomicBool>,
}

/// Modes that a shell would find.
fn modes(terminal: &Termios) -> String {
    format!("{:?} {:?} {:?}", terminal.local_modes, terminal.input_modes, terminal.output_modes)
}

fn some(size: u16) -> NonZero<u16> {
    NonZero::new(size).expect("more than nothing")
}

/// The same with the terminal as its own, as a shell would start it (setsid(1)).
fn as_shells_do(command: &Command) -> Command {
    let mut own = Command::new("setsid");
    own.arg("-c").arg(command.get_program()).args(command.get_args());
    own
}

impl OnTerminal {
    /// Starts it on a terminal of so many columns and lines.
    pub fn start(command: Command, columns: u16, lines: u16) -> OnTerminal {
        let terminal =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&terminal).expect("granted");
        unlockpt(&terminal).expect("unlocked");
        let name = ptsname(&terminal, Vec::new()).expect("a name").into_string().expect("UTF-8");
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal, size).expect("a size");
        let open = || {
            let mut options = File::options();
            let flags = OFlags::NOCTTY.bits() as i32;
            options.read(true).write(true).custom_flags(flags).open(&name).expect("its other end")
        };
        let mut command = as_shells_do(&command);
        let kept = open();
        let before = tcgetattr(&kept).expect("modes");
        command.env_remove("NO_COLOR").env_remove("LC_ALL").env_remove("LC_CTYPE");
        command.env("TERM", "xterm-256color").env("LANG", "C.UTF-8");
        let child = command.stdin(open()).stdout(open()).stderr(open()).spawn().expect("it starts");
        drop(command);
        let shown = Arc::new(Mutex::new(vt100::Parser::new(some(lines), some(columns), 0)));
        let terminal = File::from(terminal);
        let mut reader = terminal.try_clone().expect("a copy");
        let screen = shown.clone();
        let held = Arc::<AtomicBool>::default();
        let stuck = held.clone();
        let gone = Arc::<AtomicBool>::default();
        let closed = gone.clone();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut piece) {
                while stuck.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                if closed.load(Ordering::Relaxed) {
                    break;
                }
                screen.lock().expect("a screen").process(&piece[..length]);
            }
        });
        OnTerminal { child, terminal: Some(terminal), kept, shown, before, held, gone }
    }

    /// Its window is closed; waits for the program's end.
    pub fn hang_up(mut self) -> ExitStatus {
        self.gone.store(true, Ordering::Relaxed);
        self.terminal = None;
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// From now on it is stuck, or goes on.
    pub fn hold(&self, stuck: bool) {
        self.held.store(stuck, Ordering::Relaxed);
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.shown.lock().expect("a screen").screen().contents()
    }

    /// The same, cell by cell.
    pub fn screen(&self) -> vt100::Screen {
        self.shown.lock().expect("a screen").screen().clone()
    }

    /// Whether the alternate screen is on.
    pub fn is_alternate(&self) -> bool {
        self.shown.lock().expect("a screen").screen().alternate_screen()
    }

    pub fn wait(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let text = self.text();
            if condition(&text) {
                return text;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}:\n{text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Types.
    pub fn keys(&mut self, keys: &str) {
        let terminal = self.terminal.as_mut().expect("a terminal");
        terminal.write_all(keys.as_bytes()).expect("the terminal is open");
    }

    pub fn resize(&self, columns: u16, lines: u16) {
        self.shown.lock().expect("a screen").screen_mut().set_size(some(lines), some(columns));
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = self.terminal.as_ref().expect("a terminal");
        tcsetwinsize(terminal, size).expect("a size");
        assert_eq!(tcgetwinsize(terminal).expect("a size").ws_col, columns);
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a pid");
        kill_process(pid, signal).expect("it runs");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end of a program whose terminal is stuck; its modes are as they were.
    pub fn ended(mut self) -> Option<i32> {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        let now = tcgetattr(&self.kept).expect("modes");
        assert_eq!(modes(&now), modes(&self.before), "the modes are those from before");
        status.code()
    }

    /// Waits for the end, whose terminal has to be as it was; what was printed last.
    pub fn end(mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        };
        (&self.kept).write_all(b"END").expect("open");
        let text = self.wait("all that was said", |text| text.contains("END"));
        assert!(!self.is_alternate(), "the alternate screen is left");
        assert!(!self.shown.lock().expect("a screen").screen().hide_cursor(), "the cursor is there");
        let now = tcgetattr(&self.kept).expect("modes");
        assert_eq!(modes(&now), modes(&self.before), "the modes are those from before");
        (status, text)
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
