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

mod input;

use super::live::filtering::Wish;
use super::{RunError, Signals, is_set, shows_color};
use crate::aggregate::Handle;
use crate::aggregate::snapshot::Snapshot;
use crate::aggregate::view::{View, Views};
use crate::config::{Bars, Config, Input, OutputMode};
use crate::flow::key::FlowKey;
use crate::flow::record::Account;
use crate::output::tui::keys::Key;
use crate::output::tui::memory::Memory;
use crate::output::tui::recent::Recent;
use crate::output::tui::{self, Answer, Can, Moment, Run, State};
use crate::output::{Context, Coverages, Notice, Start, Style};
use crossbeam_channel::{Receiver, Sender, bounded, never};
use ratatui::Terminal;
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{DisableMouseCapture, EnableMouseCapture};
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
/// Accounts that may wait.
const ACCOUNTS: usize = 64;
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
    if chosen.fast && chosen.output != OutputMode::Tui {
        return Err(RunError::Usage(String::from(
            "--fast needs the screen, which has rates over the last second: type --interval 0.1 for ten reports a second",
        )));
    }
    let why = match () {
        () if chosen.output != OutputMode::Tui => return Ok(chosen),
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
    /// Where rates are those of the last second.
    recent: Option<Recent>,
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
    wishes: (Sender<Wish>, Receiver<Wish>),
    threads: Option<[JoinHandle<io::Result<()>>; 2]>,
    style: Style,
    bars: Bars,
    ports: bool,
    services: bool,
    can: Can,
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
            told: Mutex::new(Told { run, recent: config.fast.then(Recent::default), ..Told::default() }),
            handle: OnceLock::new(),
            base,
            stop: signals.stop.clone(),
            closing: AtomicBool::new(false),
        };
        let (wake, woken) = bounded(1);
        let can = Can { colours: shows_color(config, &io::stdout()), utf8: locale_is_utf8() };
        let Config { bars, ports, services, .. } = *config;
        let (shared, wishes) = (Arc::new(shared), bounded(1));
        Some(Screen { shared, wake, wishes, threads: None, style, bars, ports, services, can, woken })
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
        let screen = Loop {
            terminal,
            state: State::new(self.style, self.bars).with(self.ports, self.services),
            can: self.can,
            shared: self.shared.clone(),
            heard,
            woken: self.woken.clone(),
            wake: self.wake.clone(),
            asked: 0,
            number: 0,
            accounts: bounded(ACCOUNTS),
            looked: None,
            began: Instant::now(),
            wishes: self.wishes.0.clone(),
            filtered: bounded(1),
            refused: false,
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
        let input = spawn("input", self.shared.clone(), Box::new(move || input::listen(&input, &heard_out)));
        self.threads = Some([screen, input.map_err(failed)?]);
        Ok(())
    }

    /// Where other capture filters are asked for.
    pub fn filter_wishes(&self) -> Receiver<Wish> {
        self.wishes.1.clone()
    }

    /// From now on other rows can be asked for.
    pub fn ask_from(&self, handle: Handle) {
        let _ = self.shared.handle.set(handle);
    }

    /// How things stand.
    pub fn tell(&self, snapshot: &Arc<Snapshot>, coverage: &Coverages, context: &Context) {
        let recent = self.shared.told().recent.as_mut().map(|recent| recent.of(snapshot));
        let moment = Moment {
            snapshot: recent.unwrap_or_else(|| snapshot.clone()),
            answer: None,
            coverage: coverage.clone(),
            context: context.clone(),
        };
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
    /// Its other end, for answers.
    wake: Sender<()>,
    /// Rows that were asked for last.
    asked: usize,
    /// Number of that request.
    number: u64,
    /// Accounts of the connection that is looked at.
    accounts: (Sender<Box<Account>>, Receiver<Box<Account>>),
    /// What was looked at last, and in which snapshot.
    looked: Option<(FlowKey, u64)>,
    began: Instant,
    /// There was no room for what was asked.
    refused: bool,
    wishes: Sender<Wish>,
    /// What became of them.
    filtered: (Sender<Filtered>, Receiver<Filtered>),
}

/// A filter, and what is wrong with it.
type Filtered = (String, Option<String>);

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
                recv(self.filtered.1) -> told => told.into_iter().for_each(|told| self.hear_of_filter(told)),
                recv(self.accounts.1) -> account => {
                    let now_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                    account.into_iter().for_each(|account| self.state.take_account(account, now_ns));
                }
            }
            // All that waits is one frame.
            while let Ok(one) = self.heard.try_recv() {
                self.hear(one)?;
            }
            self.draw()?;
            self.look();
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
            self.state.press(key, told.moment.as_ref(), &told.run)
        };
        match answer {
            Answer::Nothing | Answer::Draw => {}
            Answer::Ask => self.ask(),
            Answer::CaptureFilter => self.wish(),
            Answer::Quit => self.shared.stop.store(true, Ordering::Relaxed),
        }
        Ok(())
    }

    /// Asks for another capture filter.
    fn wish(&mut self) {
        let Some(expression) = self.state.take_filter_wish() else { return };
        let wish = Wish { expression, reply: self.filtered.0.clone() };
        if self.wishes.try_send(wish).is_err() {
            self.state.filtered(Some("The last one is not in force yet: try again."));
        }
    }

    /// What became of it.
    fn hear_of_filter(&mut self, (expression, wrong): Filtered) {
        self.state.filtered(wrong.as_deref());
        if wrong.is_none() {
            let expression = expression.trim();
            self.shared.told().run.filter = (!expression.is_empty()).then(|| expression.to_owned());
        }
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
        let views = Views { rows, link_rows: self.shared.base.link_rows.clone() };
        self.refused = !handle.ask_now(views, self.number + 1, &self.wake);
        if !self.refused {
            self.number += 1;
            self.state.note_asked(self.number, self.asked);
        }
    }

    /// Asks anew for the account of the connection that is looked at, once a snapshot.
    fn look(&mut self) {
        let time_ns = self.shared.told().moment.as_ref().map_or(0, |moment| moment.snapshot.time_ns);
        let wanted = self.state.looked_at().map(|key| (key, time_ns));
        if self.looked != wanted
            && let (Some((key, _)), Some(handle)) = (wanted, self.shared.handle.get())
        {
            handle.look(key, &self.accounts.0);
            self.state.note_looked();
        }
        self.looked = wanted;
    }

    fn draw(&mut self) -> io::Result<()> {
        // A size of nothing is no terminal's.
        self.terminal.autoresize().map_err(of_terminal)?;
        let size = self.terminal.size().map_err(of_terminal)?;
        let mut buffer = Buffer::empty(Rect::new(0, 0, size.width, size.height));
        let answer = self.shared.handle.get().and_then(Handle::answer);
        let wanted = {
            let mut told = self.shared.told();
            if let Some(moment) = &mut told.moment {
                moment.answer = answer;
            }
            let Told { moment, memory, run, .. } = &*told;
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
    execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture, cursor::Hide).inspect_err(|_| restore())
}

/// After others had the terminal.
fn reopen() -> io::Result<()> {
    if !OPEN.load(Ordering::SeqCst) {
        return Ok(());
    }
    // The shell may have put its own modes back: raw ones are set anew.
    disable_raw_mode()?;
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture, cursor::Hide, Clear(ClearType::All))
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
    let _ = execute!(io::stdout(), DisableMouseCapture, LeaveAlternateScreen, cursor::Show);
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
            wake: bounded(1).0,
            asked: 0,
            number: 0,
            accounts: bounded(ACCOUNTS),
            looked: None,
            began: Instant::now(),
            wishes: bounded(1).0,
            filtered: bounded(1),
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
