//! A run from what the user decided to an exit code: which threads there are
//! and what goes between them.
//!
//! ```text
//! reader or workers ──records, cuts──▶ aggregator ──snapshots──▶ this thread: outputs
//! ```
//!
//! Files: channels block, nothing is lost. Live: nothing blocks a worker.
//! Signals set a flag that everybody looks at.

mod attach;
mod classes;
mod deliver;
mod demo;
mod files;
mod history;
mod keys;
mod live;
mod log_file;
mod names;
mod replay;
mod report;
mod resolver;
mod screen;
mod sets;
pub mod settings;
mod socket;
mod stat;

pub use attach::attach;
pub use stat::stat;

use crate::aggregate::classes::Classes;
use crate::aggregate::destination::Wanted;
use crate::aggregate::view::{Grouping, Order, View, Views};
use crate::aggregate::watch::{Here, Network, Side, Term, Watch, Watches};
use crate::aggregate::{self, Aggregator};
use crate::capture::filter::FilterError;
use crate::config::{self, By, Config, Input, OutputMode, Sort, WatchSide, WatchTerm};
use crate::flow::table::TableConfig;
use crate::output::highlight::Highlights;
use crate::output::{Context, Style, grouping_of};
use crate::worker::outbox::{BUFFERS_FILE, BUFFERS_LIVE, Inbox};
use demo::Demo;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Rows of a screen before it has asked for those that it has room for.
const SCREEN_ROWS: usize = 1000;
/// Destinations that a screen can scroll through.
const SCREEN_DESTINATIONS: usize = 200;

/// Why a run did not end well. What had been counted was printed.
#[derive(Debug)]
pub enum RunError {
    /// The user's mistake: exit code 2.
    Usage(String),
    /// Anything else: exit code 1. Sentences.
    Failed(Vec<String>),
    /// Nobody reads the output any more: a normal end.
    ClosedPipe,
}

impl RunError {
    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            RunError::Usage(_) => 2,
            RunError::Failed(_) => 1,
            RunError::ClosedPipe => 0,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Usage(sentence) => write!(f, "fullcount: {sentence}"),
            RunError::Failed(sentences) => {
                let lines: Vec<String> = sentences.iter().map(|s| format!("fullcount: {s}")).collect();
                write!(f, "{}", lines.join("\n"))
            }
            RunError::ClosedPipe => Ok(()),
        }
    }
}

impl From<FilterError> for RunError {
    fn from(error: FilterError) -> RunError {
        match error {
            FilterError::Refused { .. } | FilterError::LiveOnly { .. } | FilterError::TooLong { .. } => {
                RunError::Usage(error.to_string())
            }
            other => RunError::Failed(vec![other.to_string()]),
        }
    }
}

/// Does what the user decided.
///
/// # Errors
/// See [`RunError`].
pub fn run(config: &Config) -> Result<(), RunError> {
    let config = screen::chosen(config)?;
    // Before there is any other thread, which would stay outside.
    let (demo, config) = match config.demo {
        true => Demo::prepare(&config).map(|(demo, config)| (Some(demo), config))?,
        false => (None, config),
    };
    let config = &config;
    let signals = Signals::watch(config)
        .map_err(|error| RunError::Failed(vec![format!("cannot watch for signals: {error}")]))?;
    let ended = match &config.input {
        Input::Files { groups } => files::run(config, groups, &signals),
        Input::Live { interfaces } => {
            let opened = || demo.iter().for_each(Demo::begin);
            live::run(config, interfaces, &signals, &opened)
        }
    };
    ended.map_err(|error| with_hint(error, config.filter.as_deref()))
}

/// A word that stands alone and is no filter may be what `-r` or `-i` is for.
fn with_hint(error: RunError, filter: Option<&str>) -> RunError {
    let (RunError::Usage(sentence), Some(word)) = (&error, filter) else { return error };
    if !sentence.starts_with("filter expression") || word.contains(char::is_whitespace) {
        return error;
    }
    let option = if Path::new(word).is_file() {
        "-r"
    } else if !word.contains('/') && Path::new("/sys/class/net").join(word).exists() {
        "-i"
    } else {
        return error;
    };
    RunError::Usage(format!("{sentence}\n(did you mean {option} {word}?)"))
}

/// What others asked for by a signal.
#[derive(Clone, Default)]
struct Signals {
    /// SIGINT or SIGTERM: stop. A second one ends the process at once ([`Again`]).
    /// SIGHUP, where there is no log file to be opened again: the terminal is gone.
    stop: Arc<AtomicBool>,
    /// SIGUSR1: a summary now.
    summary: Arc<AtomicBool>,
    /// SIGHUP: open the log file again.
    reopen: Arc<AtomicBool>,
}

impl Signals {
    fn watch(config: &Config) -> io::Result<Signals> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
        use signal_hook::flag::register;
        let signals = Signals::default();
        let mut ends = vec![SIGINT, SIGTERM];
        if config.log_file.is_some() {
            register(SIGHUP, signals.reopen.clone())?;
        } else if !is_ignored(SIGHUP) {
            ends.push(SIGHUP);
        }
        for &signal in &ends {
            register(signal, signals.stop.clone())?;
        }
        // Beside a screen another one sees to it, who puts the terminal back.
        if config.output != OutputMode::Tui {
            end_by_the_second(&ends)?;
        }
        register(SIGUSR1, signals.summary.clone())?;
        Ok(signals)
    }

    fn takes_summary(&self) -> bool {
        self.summary.swap(false, Ordering::Relaxed)
    }
}

/// Whether a signal is the second that says to end. One that comes within half a
/// second is the same one: coreutils' `timeout` sends each to its child and to its group.
#[derive(Default)]
struct Again(Option<Instant>);

impl Again {
    fn is_second(&mut self) -> bool {
        let first = *self.0.get_or_insert_with(Instant::now);
        first.elapsed() >= Duration::from_millis(500)
    }
}

fn end_by_the_second(signals: &[i32]) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new(signals)?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut again = Again::default();
        for _ in signals.forever() {
            if again.is_second() {
                end_at_once(|| {
                    let sentence = "fullcount: ended at once by a second signal, what was left is not told";
                    let _ = writeln!(io::stderr(), "{sentence}");
                });
            }
        }
    })?;
    Ok(())
}

/// Ends the process. Who is stuck, a terminal or a reader, holds up what is written to
/// it at the last, for a fifth of a second at most, but not the end.
fn end_at_once(last: impl FnOnce() + Send + 'static) -> ! {
    let writing = std::thread::spawn(last);
    for _ in 0..200 {
        if writing.is_finished() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    signal_hook::low_level::exit(1)
}

/// Whether who started this wants a signal to be ignored (nohup).
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

/// What the tables of `workers` workers are told.
fn table_config(config: &Config, workers: usize) -> TableConfig {
    TableConfig {
        flows_max: (config.max_flows / workers.max(1)).max(16),
        handshake_timeout_ns: config.handshake_timeout_ns,
        // A screen shows the account of one that has just ended.
        accounts: tells_accounts(config) || config.output == OutputMode::Tui,
        active_timeout_ns: config.active_timeout_ns.unwrap_or(0),
        seed: random_seed(),
    }
}

/// Whether each connection that ended has a line.
fn tells_accounts(config: &Config) -> bool {
    config.connections && has_json(config)
}

/// Whether what is left at the end of the run has to be told flow by flow.
fn ends_all(config: &Config, tables: &TableConfig) -> bool {
    tables.accounts || shows_destinations(config)
}

/// Whether connections are summed by destination.
fn shows_destinations(config: &Config) -> bool {
    config.by == By::Destination || config.output == OutputMode::Tui
}

/// Whether snapshots have each handshake that ended: a screen shows those that
/// failed, but what it shows makes no line in a log.
fn keeps_sessions(config: &Config) -> bool {
    config.sessions || config.output == OutputMode::Tui && config.log_file.is_none()
}

/// Whether JSON lines are written anywhere.
fn has_json(config: &Config) -> bool {
    config.output == OutputMode::Json || config.log_file.is_some()
}

/// Keys of the hashes: at random, as addresses and ports are others' choice.
fn random_seed() -> [u64; 2] {
    let random = std::hash::RandomState::new();
    [1u8, 2].map(|which| std::hash::BuildHasher::hash_one(&random, which))
}

/// How text looks in a file; on a terminal [`shows_color`].
fn style(config: &Config, whole: bool) -> Style {
    let Config { by, sort, top, unit, .. } = *config;
    Style { by, sort, top, unit, whole, color: false }
}

/// Whether what goes there may have escape sequences (no-color.org).
fn shows_color(no_color: bool, to: &impl IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let dumb = set("TERM").is_none_or(|name| name == "dumb");
    !no_color && set("NO_COLOR").is_none() && !dumb && to.is_terminal()
}

/// The aggregator, and what it knows to be here.
fn aggregator(
    config: &Config,
    interval_ns: u64,
    tables: &TableConfig,
    patience: Option<Duration>,
    classes: Arc<Classes>,
    inboxes: Vec<Inbox>,
) -> (Aggregator, Arc<Here>) {
    let flows_max = tables.flows_max;
    // Who looks on through the socket sees what a screen sees.
    let screen = config.output == OutputMode::Tui || config.socket.is_some();
    let wanted =
        aggregate::Config { interval_ns, views: views(config), averages: screen, patience, flows_max };
    let networks = config.local_networks.iter().map(|&(address, prefix)| Network::new(address, prefix));
    let here = Arc::new(Here::new(networks.collect()));
    let mut aggregator = Aggregator::new(wanted, inboxes);
    aggregator.classify(classes);
    aggregator.watch(watches(config), here.clone());
    if let Some(report) = &config.report {
        aggregator.keep_run_rows(view(config), report.mode == OutputMode::Json);
    }
    aggregator.show_incomplete(config.top);
    if config.new_only {
        aggregator.hide_midstream();
    }
    if screen {
        if config.fast {
            aggregator.slide();
        }
        if patience.is_some() {
            aggregator.linger(u32::try_from(config.linger_ns / 100_000_000).unwrap_or(u32::MAX));
        }
        aggregator.keep_accounts(tells_accounts(config));
        aggregator.answer_at_once(if patience.is_some() { BUFFERS_LIVE / 4 * 3 } else { BUFFERS_FILE / 2 });
        // Pairs are a key away, and have their sums and averages from the start then.
        aggregator.keep(&View { grouping: Grouping::Pair, ..view(config) });
    }
    if shows_destinations(config) {
        let of_run = match config.output {
            OutputMode::Tui => Some(SCREEN_DESTINATIONS.max(config.top)),
            OutputMode::Text => Some(config.top),
            OutputMode::Json => config.report.as_ref().map(|_| config.top),
        };
        let of_interval = has_json(config) && config.by == By::Destination;
        let wanted = Wanted {
            of_interval: if of_interval { config.top } else { 0 },
            of_run,
            allowed: config.allow.iter().copied().collect(),
            new_only: config.new_only,
        };
        aggregator.collect_destinations(wanted, here.clone());
    }
    (aggregator, here)
}

/// Classes, and their names for outputs.
fn classes(config: &Config) -> Result<(Arc<Classes>, Vec<String>), RunError> {
    let Some(path) = &config.classes else { return Ok(Default::default()) };
    let (classes, names) = classes::read(path)?;
    Ok((Arc::new(classes), names))
}

/// What handshakes are counted by.
fn watches(config: &Config) -> Watches {
    let term = |term: &WatchTerm| Term {
        here: match term.side {
            WatchSide::Rx => Side::Server,
            WatchSide::Tx => Side::Client,
        },
        network: term.network.map(|(address, prefix)| Network::new(address, prefix)),
        ports: term.ports.clone(),
    };
    let terms = |terms: &[WatchTerm]| terms.iter().map(term).collect();
    let watch =
        |watch: &config::Watch| Watch { name: watch.name.as_str().into(), terms: terms(&watch.terms) };
    Watches {
        named: config.watches.named.iter().map(watch).collect(),
        excluded: terms(&config.watches.excluded),
        sessions: keeps_sessions(config),
    }
}

/// The rows that the outputs of this run show.
fn views(config: &Config) -> Views {
    let view = view(config);
    Views {
        rows: match config.output {
            OutputMode::Text => Some(view.clone()),
            // A file's rows are pruned to what may be asked for: as far as one may scroll.
            OutputMode::Tui => Some(View { limit: SCREEN_ROWS, ..view.clone() }),
            OutputMode::Json => None,
        },
        link_rows: match has_json(config) || config.socket.is_some() {
            true => Some(view),
            // The chart of links says who filled a moment.
            false => (config.output == OutputMode::Tui).then(|| View {
                grouping: Grouping::Connection,
                order: Order::Rate,
                limit: crate::output::tui::past::ROWS,
                ..view
            }),
        },
    }
}

fn view(config: &Config) -> View {
    View {
        grouping: grouping_of(config.by),
        order: match config.sort {
            Sort::Rate => Order::Rate,
            Sort::Bytes => Order::Bytes,
            Sort::Packets => Order::Packets,
            Sort::None => Order::None,
        },
        offset: 0,
        limit: config.top,
        only: None,
    }
}

/// What outputs have to know whatever the input is.
fn context(config: &Config) -> Result<Context, RunError> {
    let highlights = Highlights::new(&config.highlights, config.unit).map_err(RunError::Usage)?;
    let names = names::read(config.names.as_deref())?;
    let (names, highlights) = (names.into(), highlights.into());
    let bursts_by_share = config.bursts.by_share();
    let filtered_ns = config.filter.as_ref().map(|_| 0);
    Ok(Context { host: host_name(), names, highlights, bursts_by_share, filtered_ns, ..Context::default() })
}

/// Looks names up for what people read of a live run.
fn look_up_names(config: &Config, context: &mut Context) {
    let is_read = matches!(config.output, OutputMode::Tui | OutputMode::Text);
    if config.host_names
        && is_read
        && let Some(resolver) = resolver::Resolver::start()
    {
        Arc::make_mut(&mut context.names).look_up(Arc::new(resolver));
    }
}

/// This host's name.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Both, where neither hides the other.
fn both(one: Result<(), RunError>, other: Result<(), RunError>) -> Result<(), RunError> {
    match (one, other) {
        (Err(RunError::Failed(mut said)), Err(RunError::Failed(more))) => {
            said.extend(more);
            Err(RunError::Failed(said))
        }
        // A closed pipe is a normal end of what else went well only.
        (Ok(()) | Err(RunError::ClosedPipe), Err(error)) => Err(error),
        (ended, _) => ended,
    }
}

/// Whether there was any of these faults.
fn failed(faults: Vec<String>) -> Result<(), RunError> {
    if faults.is_empty() { Ok(()) } else { Err(RunError::Failed(faults)) }
}

fn output_error(error: io::Error) -> RunError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        RunError::ClosedPipe
    } else {
        RunError::Failed(vec![format!("cannot write the output: {error}")])
    }
}

fn is_set(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed)
}
