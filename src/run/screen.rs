//! The screen of `-o tui`: its terminal, its threads, its loop.
//!
//! ```text
//! outputs' thread ──newest snapshot, by a pointer──▶ screen ◀──keys── input
//!                    aggregator ◀──views asked for── screen
//! ```
//!
//! Who delivers a snapshot puts it in place of the last one and goes on: a
//! terminal that is slow or stuck loses frames, and nobody waits for it. What it
//! shows is `output::tui`'s. The terminal is as it was before after a quit, an
//! error, a panic of any thread, and a signal; a second signal ends the process
//! at once, as without a screen, but not before that.

use super::{RunError, Signals, is_set, shows_color};
use crate::aggregate::Handle;
use crate::aggregate::snapshot::Snapshot;
use crate::aggregate::view::{View, Views};
use crate::config::{Bars, Config, Input, OutputMode};
use crate::output::tui::keys::Key;
use crate::output::tui::memory::Memory;
use crate::output::tui::{self, Answer, Can, Moment, Run, State};
use crate::output::{Context, Coverages, Notice, Start, Style};
use crossbeam_channel::{Receiver, Sender, bounded, never};
use ratatui::Terminal;
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use ratatui::layout::Rect;
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Keys that may wait for the loop.
const KEYS: usize = 64;
/// How often the input looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(200);
/// How long a terminal that is being written to is waited for before it is put
/// back as it was, a millisecond each.
const PATIENCE_MS: u32 = 100;

/// Whether there is a screen that has to be put back. Of the process, as its
/// terminal is: a panic of any thread has to find it.
static OPEN: AtomicBool = AtomicBool::new(false);
/// Held while a frame is written, so that nothing of it comes after the end.
static WRITING: Mutex<()> = Mutex::new(());

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
    let why = match () {
        () if chosen.output != OutputMode::Tui => return Ok(chosen),
        () if super::keys::of(&chosen.keys).is_err() => return super::keys::of(&chosen.keys).map(|_| chosen),
        () if !output => "standard output is none",
        () if !can_move => "TERM names none that can move its cursor",
        () => return Ok(chosen),
    };
    Err(RunError::Usage(format!(
        "-o tui needs a terminal, and {why}: type -o text or -o json, or leave -o out"
    )))
}

/// What the loop hears besides snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Key(Key),
    /// The terminal has another size.
    Resized,
    /// The process goes on after it was stopped: another one had the terminal.
    Resumed,
}

/// What drawing needs, put in place by who delivers.
#[derive(Default)]
struct Told {
    moment: Option<Moment>,
    memory: Memory,
    run: Run,
}

/// What the threads have in common.
struct Shared {
    told: Mutex<Told>,
    handle: OnceLock<Handle>,
    /// Rows that the others want, whatever the screen shows.
    base: Views,
    /// Ends the run.
    stop: Arc<AtomicBool>,
    closing: AtomicBool,
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module's description. Dropped, the terminal is as it was.
pub(super) struct Screen {
    shared: Arc<Shared>,
    wake: Sender<()>,
    threads: Option<[JoinHandle<io::Result<()>>; 2]>,
    style: Style,
    bars: Bars,
    can: Can,
    keys: Vec<Key>,
    woken: Receiver<()>,
}

impl Screen {
    /// The one that was asked for, if any; it opens with [`Screen::start`].
    pub fn new(config: &Config, style: Style, base: Views, signals: &Signals) -> Option<Screen> {
        if config.output != OutputMode::Tui {
            return None;
        }
        let run = Run {
            live: matches!(config.input, Input::Live { .. }),
            filter: config.filter.clone(),
            sessions: super::keeps_sessions(config),
            ..Run::default()
        };
        let shared = Shared {
            told: Mutex::new(Told { run, ..Told::default() }),
            handle: OnceLock::new(),
            base,
            stop: signals.stop.clone(),
            closing: AtomicBool::new(false),
        };
        let (wake, woken) = bounded(1);
        let can = Can { colours: shows_color(config, &io::stdout()), utf8: locale_is_utf8() };
        // Held to be right before anything was opened.
        let keys = super::keys::of(&config.keys).unwrap_or_default();
        let (shared, bars) = (Arc::new(shared), config.bars);
        Some(Screen { shared, wake, threads: None, style, bars, can, keys, woken })
    }

    /// Takes the terminal.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub fn start(&mut self, start: &Start, ends_by_hangup: bool) -> Result<(), RunError> {
        self.shared.told().run.reason.clone_from(&start.reason);
        let (heard_out, heard) = bounded(KEYS);
        let failed = |error| RunError::Failed(vec![format!("cannot take the terminal: {error}")]);
        watch_signals(&self.shared.stop, heard_out.clone(), ends_by_hangup).map_err(failed)?;
        restore_on_panic();
        let opened = open().and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        let terminal = opened.map_err(failed)?;
        let mut state = State::new(self.style, self.bars);
        for key in &self.keys {
            state.press(*key, None);
        }
        let screen = Loop {
            terminal,
            state,
            can: self.can,
            shared: self.shared.clone(),
            heard,
            woken: self.woken.clone(),
            asked: 0,
            refused: !self.keys.is_empty(),
        };
        let input = self.shared.clone();
        let spawn = |name: &str, stop: Arc<Shared>, act: Box<dyn FnOnce() -> io::Result<()> + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(move || {
                // Whatever ends it, a run without its screen ends too.
                let _ends = Ends(stop);
                act()
            })
        };
        let screen = spawn("screen", self.shared.clone(), Box::new(move || screen.run())).map_err(failed)?;
        let input = spawn("input", self.shared.clone(), Box::new(move || listen(&input, &heard_out)));
        self.threads = Some([screen, input.map_err(failed)?]);
        Ok(())
    }

    /// From now on other rows can be asked for.
    pub fn ask_from(&self, handle: Handle) {
        let _ = self.shared.handle.set(handle);
    }

    /// How things stand.
    pub fn tell(&self, snapshot: &Arc<Snapshot>, coverage: &Coverages, context: &Context) {
        let moment =
            Moment { snapshot: snapshot.clone(), coverage: coverage.clone(), context: context.clone() };
        let mut told = self.shared.told();
        told.memory.take(snapshot);
        let earlier = told.moment.replace(moment);
        drop(told);
        // Not under the lock: a large snapshot takes its time to go.
        drop(earlier);
        let _ = self.wake.try_send(());
    }

    /// Something happened.
    pub fn note(&self, notice: &Notice) {
        self.shared.told().memory.note(notice);
        let _ = self.wake.try_send(());
    }

    /// Puts the terminal back.
    ///
    /// # Errors
    /// Of the threads: what went wrong with the terminal, or a defect.
    pub fn close(&mut self) -> Result<(), RunError> {
        self.shared.closing.store(true, Ordering::Relaxed);
        let _ = self.wake.try_send(());
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
struct Ends(Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        if !is_set(&self.0.closing) {
            self.0.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// Draws and hears.
struct Loop<B: Backend> {
    terminal: Terminal<B>,
    state: State,
    can: Can,
    shared: Arc<Shared>,
    heard: Receiver<Heard>,
    woken: Receiver<()>,
    /// Rows that were asked for last.
    asked: usize,
    /// There was no room for what was asked.
    refused: bool,
}

impl<B: Backend> Loop<B> {
    /// Until the screen is closed.
    fn run(mut self) -> io::Result<()> {
        let mut heard = self.heard.clone();
        self.draw()?;
        while !is_set(&self.shared.closing) {
            crossbeam_channel::select! {
                recv(heard) -> one => match one {
                    Ok(one) => self.hear(one)?,
                    // The input is gone: a channel without senders is always ready.
                    Err(_) => heard = never(),
                },
                recv(self.woken) -> _ => {}
            }
            // All that waits is one frame.
            while let Ok(one) = self.heard.try_recv() {
                self.hear(one)?;
            }
            self.draw()?;
            if self.refused {
                self.ask();
            }
        }
        Ok(())
    }

    fn hear(&mut self, heard: Heard) -> io::Result<()> {
        let key = match heard {
            Heard::Key(key) => key,
            Heard::Resized => return Ok(()),
            Heard::Resumed => {
                reopen()?;
                // Both buffers are blank then, as the terminal is, which is not asked
                // where its cursor stands (as `clear` would).
                self.terminal.swap_buffers();
                return Ok(());
            }
        };
        let answer = {
            let told = self.shared.told();
            self.state.press(key, told.moment.as_ref())
        };
        match answer {
            Answer::Nothing | Answer::Draw => {}
            Answer::Ask => self.ask(),
            Answer::Quit => self.shared.stop.store(true, Ordering::Relaxed),
        }
        Ok(())
    }

    /// Asks for the rows that the view shows.
    fn ask(&mut self) {
        let Some(handle) = self.shared.handle.get() else {
            self.refused = true;
            return;
        };
        let rows = {
            let told = self.shared.told();
            let none = Context::default();
            let context = told.moment.as_ref().map_or(&none, |moment| &moment.context);
            self.shared.base.rows.as_ref().and_then(|base| self.state.wanted(base, context))
        };
        self.asked = rows.as_ref().map_or(usize::MAX, |view| view.limit);
        self.refused = !handle.ask(Views { rows, link_rows: self.shared.base.link_rows.clone() });
    }

    fn draw(&mut self) -> io::Result<()> {
        // A size of nothing is no terminal's.
        self.terminal.autoresize().map_err(of_terminal)?;
        let size = self.terminal.size().map_err(of_terminal)?;
        let mut buffer = Buffer::empty(Rect::new(0, 0, size.width, size.height));
        let wanted = {
            let told = self.shared.told();
            let Told { moment, memory, run } = &*told;
            tui::draw(&mut self.state, moment.as_ref(), run, memory, self.can, &mut buffer);
            let base = self.shared.base.rows.as_ref();
            base.zip(moment.as_ref()).and_then(|(base, now)| self.state.wanted(base, &now.context))
        };
        // A larger screen has room for more rows than were asked for.
        if wanted.is_some_and(|view: View| view.limit > self.asked) {
            self.ask();
        }
        let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        if is_set(&self.shared.closing) {
            return Ok(());
        }
        self.terminal
            .draw(|frame| {
                let area = frame.area().intersection(buffer.area);
                let mut shown = Buffer::empty(frame.area());
                for y in area.top()..area.bottom() {
                    for x in area.left()..area.right() {
                        shown[(x, y)] = buffer[(x, y)].clone();
                    }
                }
                *frame.buffer_mut() = shown;
            })
            .map_err(of_terminal)?;
        Ok(())
    }
}

fn of_terminal(error: impl std::error::Error) -> io::Error {
    io::Error::other(error.to_string())
}

/// Keys to the loop, until the screen is closed.
fn listen(shared: &Shared, heard: &Sender<Heard>) -> io::Result<()> {
    while !is_set(&shared.closing) {
        if !event::poll(LOOK)? {
            continue;
        }
        let one = match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                key_of(key.code, key.modifiers).map(Heard::Key)
            }
            Event::Resize(..) => Some(Heard::Resized),
            _ => None,
        };
        if let Some(one) = one {
            // A stuck terminal does not take keys: those that find no room are gone.
            let _ = heard.try_send(one);
        }
    }
    Ok(())
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

/// Whether the locale's characters are UTF-8 (POSIX: LC_ALL, LC_CTYPE, LANG, the
/// first that is not empty).
fn locale_is_utf8() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

fn open() -> io::Result<()> {
    enable_raw_mode()?;
    OPEN.store(true, Ordering::SeqCst);
    execute!(io::stdout(), EnterAlternateScreen, cursor::Hide).inspect_err(|_| restore())
}

/// After others had the terminal.
fn reopen() -> io::Result<()> {
    if !OPEN.load(Ordering::SeqCst) {
        return Ok(());
    }
    // The shell may have put its own modes back: raw ones are set anew.
    disable_raw_mode()?;
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, cursor::Hide, Clear(ClearType::All))
}

/// Puts the terminal back as it was, once.
fn restore() {
    if !OPEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // A frame under way is waited for; not for ever, as its thread may be the one that panics.
    let mut writing = WRITING.try_lock();
    for _ in 0..PATIENCE_MS {
        if writing.is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
        writing = WRITING.try_lock();
    }
    // Modes first: what is written may wait for a terminal that is stuck.
    let _ = disable_raw_mode();
    let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
}

/// What a panic says is read on a terminal that is as it was.
fn restore_on_panic() {
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
fn watch_signals(stop: &Arc<AtomicBool>, heard: Sender<Heard>, ends_by_hangup: bool) -> io::Result<()> {
    use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM};
    let ends = if ends_by_hangup { &[SIGINT, SIGTERM, SIGHUP][..] } else { &[SIGINT, SIGTERM][..] };
    let mut signals = signal_hook::iterator::Signals::new(ends.iter().chain(&[SIGCONT]))?;
    let stop = stop.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut before = false;
        for signal in signals.forever() {
            if signal == SIGCONT {
                let _ = heard.try_send(Heard::Resumed);
                continue;
            }
            stop.store(true, Ordering::Relaxed);
            if std::mem::replace(&mut before, true) {
                // A terminal that is stuck holds up what is written to it, but not the end.
                let restoring = std::thread::spawn(restore);
                for _ in 0..2 * PATIENCE_MS {
                    if restoring.is_finished() {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                // What signal-hook's conditional shutdown does where there is no screen.
                signal_hook::low_level::exit(1);
            }
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{By, Sort, Unit};
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
    fn looped() -> (Loop<TestBackend>, Sender<Heard>, Arc<Shared>) {
        let shared = Arc::new(Shared {
            told: Mutex::default(),
            handle: OnceLock::new(),
            base: Views::default(),
            stop: Arc::default(),
            closing: AtomicBool::new(false),
        });
        let (keys, heard) = bounded(KEYS);
        let terminal = Terminal::new(TestBackend::new(80, 24)).expect("a terminal in memory");
        let looped = Loop {
            terminal,
            state: State::new(style(), Bars::default()),
            can: Can { colours: false, utf8: true },
            shared: shared.clone(),
            heard,
            woken: never(),
            asked: 0,
            refused: false,
        };
        (looped, keys, shared)
    }

    #[test]
    fn a_quit_ends_the_run_and_the_loop_when_it_is_closed() {
        for key in [Key::Char('q'), Key::Ctrl('c')] {
            let (looped, keys, shared) = looped();
            let thread = std::thread::spawn(move || looped.run());
            keys.send(Heard::Key(key)).expect("it hears");
            while !is_set(&shared.stop) {
                std::thread::yield_now();
            }
            shared.closing.store(true, Ordering::Relaxed);
            keys.send(Heard::Resized).expect("it hears");
            assert!(thread.join().expect("no panic").is_ok());
        }
    }

    #[test]
    fn a_screen_that_ends_by_itself_ends_the_run() {
        let (_, _, shared) = looped();
        drop(Ends(shared.clone()));
        assert!(is_set(&shared.stop));
        let (_, _, shared) = looped();
        shared.closing.store(true, Ordering::Relaxed);
        drop(Ends(shared.clone()));
        assert!(!is_set(&shared.stop), "it was told to");
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
