//! The screen of `-o tui`: its threads, its end.
//!
//! ```text
//! outputs' thread ──newest snapshot, by a pointer──▶ hub ──▶ screen ◀──keys── input
//!                              aggregator ◀──views asked for──┘
//! ```
//!
//! Who delivers a snapshot puts it into the hub in place of the last one and goes
//! on. What a screen shows is `output::tui`'s. The terminal is as it was before
//! after a quit, an error, a panic of any thread, and a signal; a second signal
//! ends the process at once, as without a screen, but not before that.

pub(super) mod hub;
mod looped;
pub(super) mod terminal;
pub(super) mod viewers;

use super::live::filtering::Wish;
use super::{RunError, Signals, is_set, shows_color};
use crate::config::{Config, OutputMode};
use crate::output::Start;
use crate::output::tui::Can;
use crate::output::tui::keys::Key;
use crossbeam_channel::{Receiver, Sender, bounded};
use hub::Hub;
use looped::{Ending, Loop, Rows};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use terminal::{LOOK, listen, locale_is_utf8, open, restore, restore_on_panic, watch_signals};

/// Keys that may wait for the loop.
pub(super) const KEYS: usize = 64;

/// The configuration with a screen where nobody asked for another form and a
/// terminal is there on both sides.
///
/// # Errors
/// Exit code 2 where a screen was asked for and cannot be.
pub(super) fn chosen(config: &Config) -> Result<Config, RunError> {
    let output = io::stdout().is_terminal();
    let term = std::env::var_os("TERM").filter(|name| !name.is_empty());
    let can_move = term.is_some_and(|name| name != "dumb");
    let mut chosen = config.clone();
    if config.output_is_open && output && can_move && io::stdin().is_terminal() {
        chosen.output = OutputMode::Tui;
    }
    if chosen.fast && chosen.output != OutputMode::Tui {
        return Err(RunError::Usage(String::from(
            "--fast needs the screen, which has rates over the last second: type --interval 0.1 for ten reports a second",
        )));
    }
    if chosen.output != OutputMode::Tui {
        return Ok(chosen);
    }
    super::keys::of(&chosen.keys, chosen.first_view())?;
    let why = match () {
        () if !output => "standard output is none",
        () if !can_move => "TERM names none that can move its cursor",
        () => return Ok(chosen),
    };
    Err(RunError::Usage(format!(
        "-o tui needs a terminal, and {why}: type -o text or -o json, or leave -o out"
    )))
}

/// See the module's description. Dropped, the terminal is as it was.
pub(super) struct Screen {
    hub: Arc<Hub>,
    ending: Arc<Ending>,
    wishes: (Sender<Wish>, Receiver<Wish>),
    wake: (Sender<()>, Receiver<()>),
    threads: Option<[JoinHandle<io::Result<()>>; 2]>,
    can: Can,
    keys: Vec<Key>,
}

impl Screen {
    /// The one that was asked for, if any; it opens with [`Screen::start`].
    pub fn new(config: &Config, hub: Option<&Arc<Hub>>, signals: &Signals) -> Option<Screen> {
        let hub = hub.filter(|_| config.output == OutputMode::Tui)?.clone();
        let ending = Arc::new(Ending { left: signals.stop.clone(), closing: AtomicBool::new(false) });
        let can = Can { colours: shows_color(config.no_color, &io::stdout()), utf8: locale_is_utf8() };
        // Held to be right before anything was opened.
        let keys = super::keys::of(&config.keys, config.first_view()).unwrap_or_default();
        let wake = hub.wakes();
        Some(Screen { hub, ending, wishes: bounded(1), wake, threads: None, can, keys })
    }

    /// Takes the terminal.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub fn start(&mut self, start: &Start, ends_by_hangup: bool) -> Result<(), RunError> {
        self.hub.begin(&start.reason);
        let (heard_out, heard) = bounded(KEYS);
        let failed = |error| RunError::Failed(vec![format!("cannot take the terminal: {error}")]);
        watch_signals(&self.ending.left, heard_out.clone(), ends_by_hangup).map_err(failed)?;
        restore_on_panic();
        let opened = open().and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        let terminal = opened.map_err(failed)?;
        let screen =
            Loop::new(terminal, self.can, &self.hub, &self.ending, Rows::Own, heard, self.wake.clone())
                .wishing(self.wishes.0.clone())
                .beginning(&self.keys);
        let input = self.ending.clone();
        let spawn = |name: &str, ending: Arc<Ending>, act: Box<dyn FnOnce() -> io::Result<()> + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(move || {
                // Whatever ends it, a run without its screen ends too.
                let _ends = Ends(ending);
                act()
            })
        };
        let screen = spawn("screen", self.ending.clone(), Box::new(move || screen.run())).map_err(failed)?;
        let listening = Box::new(move || listen(&input.closing, &heard_out));
        let input = spawn("input", self.ending.clone(), listening).map_err(failed)?;
        self.threads = Some([screen, input]);
        Ok(())
    }

    /// Where other capture filters are asked for.
    pub fn filter_wishes(&self) -> Receiver<Wish> {
        self.wishes.1.clone()
    }

    /// Puts the terminal back.
    ///
    /// # Errors
    /// Of the threads: what went wrong with the terminal, or a defect.
    pub fn close(&mut self) -> Result<(), RunError> {
        self.ending.closing.store(true, Ordering::Relaxed);
        let _ = self.wake.0.try_send(());
        let mut ended = Vec::new();
        if let Some([screen, input]) = self.threads.take() {
            ended.push(screen.join());
            // One whose terminal is gone may never come back from its library: the
            // process ends without it.
            let patience = Instant::now() + 3 * LOOK;
            while !input.is_finished() && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(1));
            }
            if input.is_finished() {
                ended.push(input.join());
            }
        }
        restore();
        let faults = ended.into_iter().filter_map(|ended| match ended {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("the terminal cannot be used any more: {error}")),
            Err(_) => Some("the screen ended by a defect: please report this".to_owned()),
        });
        super::failed(faults.collect())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

/// Ends the run when its thread ends before it was told to.
struct Ends(Arc<Ending>);

impl Drop for Ends {
    fn drop(&mut self) {
        if !is_set(&self.0.closing) {
            self.0.left.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::terminal::{Heard, WRITING};
    use super::*;
    use crate::aggregate::view::Views;
    use crate::config::{Bars, By, Sort, Unit};
    use crate::output::Style;
    use crate::output::tui::Run;
    use crossbeam_channel::never;
    use ratatui::backend::TestBackend;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::tcgetattr;
    use std::fs::File;
    use std::io::Read;
    use std::process::{Command, Stdio};

    fn style() -> Style {
        Style { by: By::Connection, sort: Sort::Rate, top: 20, unit: Unit::Bits, whole: false, color: true }
    }

    /// A loop on a screen of its own, its keys, and what it shares.
    fn looped() -> (Loop<TestBackend>, Sender<Heard>, Arc<Ending>) {
        let hub = Hub::of(Run::default(), Views::default(), (style(), Bars::default(), false, false));
        let (keys, heard) = bounded(KEYS);
        let terminal = Terminal::new(TestBackend::new(80, 24)).expect("a terminal in memory");
        let (can, ending) = (Can { colours: false, utf8: true }, Arc::new(Ending::default()));
        let wakes = (bounded(1).0, never());
        (Loop::new(terminal, can, &Arc::new(hub), &ending, Rows::Own, heard, wakes), keys, ending)
    }

    #[test]
    fn a_quit_ends_the_run_and_the_loop_when_it_is_closed() {
        for key in [Key::Char('q'), Key::Ctrl('c')] {
            let (looped, keys, ending) = looped();
            let thread = std::thread::spawn(move || looped.run());
            keys.send(Heard::Key(key)).expect("it hears");
            while !is_set(&ending.left) {
                std::thread::yield_now();
            }
            ending.closing.store(true, Ordering::Relaxed);
            keys.send(Heard::Resized).expect("it hears");
            assert!(thread.join().expect("no panic").is_ok());
        }
    }

    #[test]
    fn a_screen_that_ends_by_itself_ends_the_run() {
        let (_, _, ending) = looped();
        drop(Ends(ending.clone()));
        assert!(is_set(&ending.left));
        let (_, _, ending) = looped();
        ending.closing.store(true, Ordering::Relaxed);
        drop(Ends(ending.clone()));
        assert!(!is_set(&ending.left), "it was told to");
    }

    /// What the next test starts on a terminal of its own; else nothing.
    #[test]
    #[ignore = "a part of the next one"]
    fn child_that_panics() {
        restore_on_panic();
        open().expect("a terminal");
        let (mut looped, _keys, _) = looped();
        // Poisoned by a panic while it draws, in a thread as the screen's.
        let thread = std::thread::spawn(move || {
            looped.draw().expect("drawn");
            let _writing = WRITING.lock();
            panic!("a panic that this test makes");
        });
        assert!(thread.join().is_err());
    }

    #[test]
    fn a_panic_leaves_the_terminal_as_it_was() {
        let terminal =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&terminal).expect("granted");
        unlockpt(&terminal).expect("unlocked");
        let name = ptsname(&terminal, Vec::new()).expect("a name").into_string().expect("UTF-8");
        let open = || File::options().read(true).write(true).open(&name).expect("its other end");
        let kept = open();
        let modes = || {
            let modes = tcgetattr(&kept).expect("modes");
            (modes.local_modes, modes.input_modes, modes.output_modes)
        };
        let before = modes();
        let mut command = Command::new("setsid");
        command.arg("-c").arg(std::env::current_exe().expect("this program"));
        command.args(["--exact", "run::screen::tests::child_that_panics", "--ignored", "--nocapture"]);
        command.stdin(open()).stdout(open()).stderr(Stdio::from(open()));
        let mut child = command.spawn().expect("it starts");
        drop(command);
        let mut master = File::from(terminal);
        let (mut text, begun) = (String::new(), Instant::now());
        let mut piece = [0; 4096];
        while !text.contains("test result") {
            assert!(begun.elapsed() < Duration::from_secs(60), "{text:?}");
            let length = master.read(&mut piece).expect("the terminal is open");
            text += &String::from_utf8_lossy(&piece[..length]);
        }
        assert!(child.wait().expect("a child").success(), "{text}");
        assert_eq!(modes(), before);
        let [entered, left, told] = ["\u{1b}[?1049h", "\u{1b}[?1049l", "a panic that this test makes"]
            .map(|what| text.find(what).unwrap_or_else(|| panic!("no {what:?} in {text:?}")));
        assert!(entered < left && left < told, "what it says is read on the ordinary screen: {text:?}");
    }
}
