//! A run over capture files.

use super::deliver::Deliver;
use super::replay::Replay;
use super::sets::{Sharing, may_burst, speed_unknown};
use super::{RunError, Signals, history, is_set, table_config};
use crate::aggregate::Aggregator;
use crate::aggregate::classes::Classes;
use crate::aggregate::snapshot::Snapshot;
use crate::aggregate::watch::Here;
use crate::capture::fileset::{FileLink, FileSet, STANDARD_INPUT};
use crate::capture::{LinkId, LinkType, host_mac};
use crate::config::{Config, OutputMode};
use crate::decode::{Decoder, DirectionRule, LinkContext, VlanStacks};
use crate::flow::table::TableConfig;
use crate::output::units::plain;
use crate::output::{Context, Coverages, LinkFacts, Notice, Start, StopReason};
use crate::worker::files::{Job, Walked};
use crate::worker::outbox::{BUFFERS_FILE, Outbox, outbox};
use crate::worker::{Intervals, files};
use crossbeam_channel::{Sender, bounded};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Snapshots on their way to the outputs.
const SNAPSHOTS: usize = 16;
/// How long a screen's wish is waited for at a time.
const ASK_PATIENCE: Duration = Duration::from_millis(100);
const SECOND_NS: u64 = 1_000_000_000;

pub(super) fn run(config: &Config, groups: &[Vec<PathBuf>], signals: &Signals) -> Result<(), RunError> {
    let stop = &signals.stop;
    let mut set = FileSet::open(groups, config.filter.as_deref(), stop);
    if set.is_empty() {
        return Err(RunError::Failed(match is_set(stop) {
            true => vec!["told to stop before there was anything to read".into()],
            false => faults(&mut set),
        }));
    }
    set.compile()?;
    let whole = is_one_table(config, groups);
    let interval_ns = if whole { 0 } else { config.interval_ns };
    let workers = config.workers.unwrap_or(1);

    let mut deliver = Deliver::new(config, whole, signals)?;
    let stacks = VlanStacks::default();
    let announced = set.announced().iter().map(|link| facts_of(link, 0, config)).collect();
    let (classes, class_names) = super::classes(config)?;
    let mut context =
        Context { links: announced, stacks: stacks.clone(), classes: class_names, ..super::context(config)? };
    let start = Start {
        workers: (0..workers).map(|worker| (worker, None)).collect(),
        filter: config.filter.clone(),
        ..Start::default()
    };
    deliver.start(&start, &context)?;
    speed_unknown(&context).map_or(Ok(()), |notice| deliver.notice_early(&notice, &context))?;

    let how = How { interval_ns, workers, stacks, classes };
    let (reading, mut aggregator) = Reading::new(config, groups, set, &how);
    let (snapshots, to_deliver) = bounded(SNAPSHOTS);
    deliver.count_from(aggregator.handle());
    if config.output == OutputMode::Tui {
        aggregator.stay();
    }
    let links = reading.links.clone();
    let mut ended = Ok(());
    let mut last: Option<(Arc<Snapshot>, Coverages)> = None;
    let mut defect = false;
    let walked = std::thread::scope(|scope| {
        let telling = scope.spawn(move || tell(aggregator, snapshots));
        let mut replay = Replay::new(config.replay_thousandths, interval_ns);
        let reader = scope.spawn(move || reading.read(|boundary_ns| replay.wait(boundary_ns, stop), stop));
        for snapshot in to_deliver.iter() {
            context.links.clone_from(&links.lock().unwrap_or_else(PoisonError::into_inner));
            if !snapshot.last {
                // The reader is ahead, nobody knows how far: what it met since is not of this moment.
                context.links.truncate(snapshot.interfaces.len());
            }
            let coverage = vec![Default::default(); snapshot.interfaces.len()];
            if ended.is_ok() {
                ended = deliver.snapshot(&snapshot, &coverage, &context);
            }
            if ended.is_ok() && signals.takes_summary() {
                ended = deliver.summary(&snapshot, &coverage, &context);
            }
            last = Some((snapshot, coverage));
            if ended.is_err() {
                // A closed pipe or a full disk: the reader ends at its next look, then a report is written.
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        drop(to_deliver);
        let walked = reader.join();
        let stopped = is_set(stop);
        if let (Ok(mut aggregator), Some(_)) = (telling.join(), &last) {
            let hub = deliver.looks_back().filter(|_| whole && !is_set(stop));
            let seconds = hub.map(|hub| {
                let how = How { interval_ns: SECOND_NS.max(config.interval_ns), ..how };
                scope.spawn(move || history::read(config, groups, &how, &hub, stop))
            });
            deliver.stay(|| aggregator.again(ASK_PATIENCE), stop);
            defect |= seconds.is_some_and(|seconds| seconds.join().is_err());
        }
        walked.map(|walked| (walked, stopped))
    });
    let Ok(((walked, mut set), stopped)) = walked else {
        return Err(RunError::Failed(vec!["the reader ended by a defect: please report this".into()]));
    };
    let mut faults = if stopped { Vec::new() } else { faults(&mut set) };
    if defect {
        faults.push("what was in each second was lost by a defect: please report this".into());
    }
    let reason = reason_of(walked, faults.is_empty());
    if let Some((snapshot, coverage)) = &last {
        if let Some(notice) =
            speeds_of_none(config, &context.links, snapshot.time_ns).filter(|_| ended.is_ok())
        {
            ended = deliver.notice(&notice, &context);
        }
        ended = deliver.stop(ended, &reason, snapshot, coverage, &context);
    }
    super::both(ended, super::failed(faults))
}

/// How files are read.
pub(super) struct How {
    /// 0: all of it is one.
    pub interval_ns: u64,
    pub workers: usize,
    pub stacks: VlanStacks,
    pub classes: Arc<Classes>,
}

/// Files on their way to an aggregator.
pub(super) struct Reading<'a> {
    config: &'a Config,
    set: FileSet,
    rules: Rules,
    tables: TableConfig,
    interval_ns: u64,
    stacks: VlanStacks,
    sharing: Sharing,
    here: Arc<Here>,
    outboxes: Vec<Outbox>,
    shares_load: bool,
    bursts: bool,
    /// Interfaces as they were met.
    pub links: Arc<Mutex<Vec<LinkFacts>>>,
}

impl<'a> Reading<'a> {
    /// Files that are open, and who gathers what is counted.
    pub fn new(
        config: &'a Config,
        groups: &[Vec<PathBuf>],
        set: FileSet,
        how: &How,
    ) -> (Reading<'a>, Aggregator) {
        let How { interval_ns, workers, ref stacks, ref classes } = *how;
        let tables = table_config(config, workers);
        let (outboxes, inboxes) = (0..workers).map(|_| outbox(BUFFERS_FILE, tables.accounts, true)).unzip();
        let (mut aggregator, here) =
            super::aggregator(config, interval_ns, &tables, None, classes.clone(), inboxes);
        // Told before the first frame, so that no answer depends on who was how far.
        let announced: Vec<LinkFacts> =
            set.announced().iter().map(|link| facts_of(link, 0, config)).collect();
        let sets = super::sets::files(groups.len(), announced.len());
        let shares_load = !sets.is_empty();
        let bursts = may_burst(config, &announced);
        let sharing = Sharing::default();
        sharing.sets.store(Arc::new(sets));
        sharing.begin(config, classes.clone(), true, &mut aggregator);
        let rules = Rules::new(config, groups);
        let (stacks, links) = (stacks.clone(), Arc::default());
        let reading = Reading {
            config,
            set,
            rules,
            tables,
            interval_ns,
            stacks,
            sharing,
            here,
            outboxes,
            shares_load,
            bursts,
            links,
        };
        (reading, aggregator)
    }

    /// Reads and counts everything; `before_cut` may wait at an interval's end.
    pub fn read(self, mut before_cut: impl FnMut(u64), stop: &AtomicBool) -> (Walked, FileSet) {
        let Reading { config, mut set, sharing, shares_load, .. } = self;
        let mut decoder = Sharing::decoder(config, self.stacks);
        let mut on_link = |number: LinkId, link: &FileLink, decoder: &mut Decoder| {
            let rule = self.rules.of(link);
            let facts = introduced(link, &rule, config);
            sharing.speeds.set(number, facts.speed_bits_per_second);
            if !facts.direction_unknown {
                self.here.set_directed(number);
            }
            self.links.lock().unwrap_or_else(PoisonError::into_inner).push(facts);
            let group = link.group;
            let context = LinkContext { group, rule, from_file: true, second_copy: false, shares_load };
            decoder.set_link(number, context);
        };
        let mut go_on = |boundary_ns| {
            before_cut(boundary_ns);
            !is_set(stop)
        };
        let job = Job {
            files: &mut set,
            decoder: &mut decoder,
            on_link: &mut on_link,
            intervals: Intervals::new(self.interval_ns),
            accounts: super::ends_all(config, &self.tables),
            frames_max: config.count,
            duration_ns: config.duration_ns,
            before_cut: &mut go_on,
            stop,
        };
        let worker = |outbox| sharing.worker(config, self.tables, outbox, self.bursts);
        let walked = files::run(job, self.outboxes.into_iter().map(worker).collect());
        (walked, set)
    }
}

/// Whether all of it is one interval.
fn is_one_table(config: &Config, groups: &[Vec<PathBuf>]) -> bool {
    let streams = groups.iter().flatten().any(|path| path.as_os_str() == STANDARD_INPUT);
    !super::has_json(config) && !streams && config.replay_thousandths.is_none()
}

/// Why the run ended.
fn reason_of(walked: Walked, faultless: bool) -> StopReason {
    match walked {
        _ if !faultless => StopReason::Error,
        Walked::ToTheEnd => StopReason::EndOfFile,
        Walked::Frames => StopReason::Count,
        Walked::Duration => StopReason::Duration,
        Walked::Stopped => StopReason::Signal,
    }
}

/// Snapshots to who delivers them, up to the last one.
fn tell(mut aggregator: Aggregator, snapshots: Sender<Arc<Snapshot>>) -> Aggregator {
    while let Some(snapshot) = aggregator.next_snapshot() {
        if snapshots.send(snapshot).is_err() {
            // Nobody reads any more: workers are let go all the same.
            while aggregator.next_snapshot().is_some() {}
        }
    }
    aggregator
}

fn faults(set: &mut FileSet) -> Vec<String> {
    let filter = set.take_filter_fault().map(|fault| fault.to_string());
    set.take_faults().iter().map(|fault| fault.to_string()).chain(filter).collect()
}

/// What is known of an interface as its first frame is met.
fn introduced(link: &FileLink, rule: &DirectionRule, config: &Config) -> LinkFacts {
    let mut facts = facts_of(&link.interface, link.group, config);
    facts.direction_unknown = !link.directed && matches!(rule, DirectionRule::AsTold);
    facts
}

fn facts_of(link: &crate::capture::file::FileInterface, group: u8, config: &Config) -> LinkFacts {
    // What the user tells goes before what the file does.
    let told = config.link_speeds.iter().rev().find(|(name, _)| *name == link.name);
    LinkFacts {
        name: link.name.clone(),
        group,
        speed_bits_per_second: told.map(|(_, speed)| *speed).or(link.speed),
        link_type: Some(link.link_type),
        from_file: true,
        direction_unknown: !matches!(link.link_type, LinkType::LinuxSll | LinkType::LinuxSll2),
        ..LinkFacts::default()
    }
}

/// Speeds that were told of interfaces that no file has: most likely a name is misspelt.
fn speeds_of_none(config: &Config, links: &[LinkFacts], time_ns: u64) -> Option<Notice> {
    // A configuration file speaks of interfaces that need not be here.
    let told = config.link_speeds.iter().filter(|_| !config.speeds_of_file);
    let of_none = told.filter(|(name, _)| links.iter().all(|link| link.name != *name));
    let names: Vec<_> = of_none.map(|(name, _)| plain(name)).collect();
    let there: Vec<_> = links.iter().map(|link| plain(&link.name)).collect();
    let message = || {
        format!("--link-speed {}: nothing of that name was read, only {}", names.join(", "), there.join(", "))
    };
    (!names.is_empty() && !there.is_empty()).then(|| Notice {
        time_ns,
        event: "speed_of_none",
        count: u64::try_from(names.len()).ok(),
        message: message(),
        ..Notice::default()
    })
}

/// How the direction of each file's frames is found.
struct Rules {
    networks: Option<DirectionRule>,
    by_file: Vec<DirectionRule>,
}

impl Rules {
    /// The user's networks go first; else a file is asked for the one MAC
    /// address that stands in nearly all of its frames.
    fn new(config: &Config, groups: &[Vec<PathBuf>]) -> Rules {
        if !config.local_networks.is_empty() {
            let networks = Some(DirectionRule::Networks(config.local_networks.as_slice().into()));
            return Rules { networks, by_file: Vec::new() };
        }
        let by_file = groups.iter().flatten().map(|path| match host_mac::of_file(path) {
            Some(mac) => DirectionRule::Mac(mac),
            None => DirectionRule::AsTold,
        });
        Rules { networks: None, by_file: by_file.collect() }
    }

    fn of(&self, link: &FileLink) -> DirectionRule {
        let of_file = || match link.interface.link_type {
            LinkType::Ethernet => self.by_file.get(link.file).cloned().unwrap_or_default(),
            _ => DirectionRule::AsTold,
        };
        self.networks.clone().unwrap_or_else(of_file)
    }
}
