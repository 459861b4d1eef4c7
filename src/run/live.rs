//! A run on live interfaces.
//!
//! Threads: one a worker, the aggregator, control (events of interfaces, their
//! own counters, the end), and this one, which writes. A writer that is slow or
//! stuck holds nobody up: snapshots that find no room are counted as lost.

mod bonds;
mod control;
mod coverage;
pub(in crate::run) mod filtering;
mod lost;
mod machine;
mod rings;
mod threads;
mod write;

use super::deliver::Deliver;
use super::sets::{self, Sharing};
use super::{RunError, Signals, table_config};
use crate::capture::deal::DealKey;
use crate::capture::fanout::{self, Dealing, Opened};
use crate::capture::link::{self, Bond, CounterReader, EventSource, LinkError, Root, Selection, Watch};
use crate::config::Config;
use crate::decode::{DirectionRule, LinkContext, VlanStacks};
use crate::output::{BondFacts, Context, LinkFacts, Notice, RingFacts, Start, StopReason};
use crate::worker::clock::now_ns;
use crate::worker::live::{Control, HANDOVERS, Live, Setup};
use crate::worker::outbox::{BUFFERS_LIVE, outbox};
use crate::worker::{Intervals, ticks};
use control::{Controller, Line};
use coverage::Meter;
use crossbeam_channel::bounded;
use machine::Machine;
use rings::{Gated, Opener};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use threads::Threads;
use write::{Inputs, Writing};

/// Messages of workers and of control that may wait.
const MESSAGES: usize = 1024;
/// Control messages to one worker.
const CONTROLS: usize = 512;
/// How long the others are waited for when one worker has cut.
const PATIENCE: Duration = Duration::from_millis(500);

/// `opened_all` hears that from now on every frame is counted.
pub(super) fn run(
    config: &Config,
    named: &[String],
    signals: &Signals,
    opened_all: &dyn Fn(),
) -> Result<(), RunError> {
    let stop = &signals.stop;
    let root = Root::system();
    // First of all: what changes after the interfaces were read is not missed.
    let events = EventSource::open().ok();
    let (bonds, selection) = choose(&root, config, named)?;
    let cpus = cpus(config)?;
    let workers = config.workers.unwrap_or_else(|| if cpus.len() > 1 { (cpus.len() - 1).min(4) } else { 1 });
    let deal = DealKey::from_seed(super::random_seed()[0]);
    let opener = Opener::new(config, &root, workers, selection.watched.len(), deal)?;

    let stacks = VlanStacks::default();
    let (classes, class_names) = super::classes(config)?;
    let mut context = Context { stacks: stacks.clone(), classes: class_names, ..super::context(config)? };
    super::look_up_names(config, &mut context);
    let (opened, [start_ns, open_ns]) = open_all(&opener, &selection)?;
    let mut notices = Vec::new();
    for (number, (watch, one)) in selection.watched.iter().zip(&opened).enumerate() {
        notices.extend(opener.notices(watch, number as u8, one));
        context.links.push(link_facts(watch, one, config, &opener));
    }
    opened_all();
    let dealt_by_us = opened.iter().all(|one| one.dealing == Dealing::Ours);
    let interval_ns = config.interval_ns;

    let mut deliver = Deliver::new(config, false, signals)?;
    let start = Start {
        time_ns: start_ns,
        reason: selection.reason.clone(),
        bonds: bond_facts(&bonds, &selection),
        workers: (0..workers).map(|number| (number, cpu_of(&cpus, number, workers, config))).collect(),
        filter: config.filter.clone(),
        snaplen: Some(config.snaplen),
    };
    let meter = meter_of(config, &root, &selection, start_ns);
    deliver.start(&start, &context)?;
    begin_with(&mut deliver, &context, &selection.warnings, notices, start_ns)?;

    let tables = table_config(config, workers);
    let (told_out, told) = bounded(MESSAGES);
    let (outboxes, inboxes): (Vec<_>, Vec<_>) =
        (0..workers).map(|_| outbox(BUFFERS_LIVE, tables.accounts, false)).unzip();
    let sharing = Sharing::default();
    let set_speed = |(number, watch): (usize, &Watch)| sharing.speeds.set(number as u8, watch.line_speed());
    selection.watched.iter().enumerate().for_each(set_speed);
    let all: Vec<_> = (0u8..).zip(&selection.watched).collect();
    sharing.sets.store(Arc::new(sets::live(&all, &bonds)));
    let (handovers, handed): (Vec<_>, Vec<_>) = (0..workers).map(|_| bounded(HANDOVERS)).unzip();
    let (lines, controls): (Vec<_>, Vec<_>) = (0..workers).map(|_| bounded(CONTROLS)).unzip();
    let (notice_out, notices) = bounded(MESSAGES);
    let lines_lost = Arc::new(AtomicU64::new(0));
    let (passage, snapshots) = write::passage(&lines_lost);
    let links = Arc::new(Mutex::new(context.links.clone()));
    let meter = Arc::new(Mutex::new(meter));
    let (mut aggregator, here) =
        super::aggregator(config, interval_ns, &tables, Some(PATIENCE), classes.clone(), inboxes);
    sharing.begin(config, classes, false, &mut aggregator);
    aggregator.begin_at(start_ns);
    deliver.count_from(aggregator.handle());
    let wishes = deliver.filter_wishes();
    (0..selection.watched.len() as u8).for_each(|number| here.set_directed(number));
    let machine = Machine::begin(&root, &here, &lines);

    for (number, one) in opened.into_iter().enumerate() {
        let watch = &selection.watched[number];
        let groups = selection.watched.iter().map(|watch| watch.group);
        deal_out(one.rings, &lines, &context_of(watch, groups));
    }
    let counted: Vec<Arc<AtomicU64>> = (0..workers).map(|_| Arc::default()).collect();
    let (summary_out, summaries) = bounded(1);
    let inputs = Inputs { snapshots, notices: notices.clone(), summaries };
    let mut writing = Writing {
        deliver,
        context,
        links: links.clone(),
        meter: meter.clone(),
        lines_lost: lines_lost.clone(),
        stop,
        summary_wanted: false,
        last: None,
    };
    let defect = Arc::new(AtomicBool::new(false));
    let (ended, reason, defects) = std::thread::scope(|scope| {
        let mut threads = Threads::new(scope, &defect);
        let cuts = outboxes.into_iter().zip(handed).zip(controls).enumerate();
        for (number, ((outbox, handed), control)) in cuts {
            let setup = Setup {
                number,
                cpu: cpu_of(&cpus, number, workers, config),
                intervals: Intervals::from(interval_ns, start_ns),
                ticks: ticks(interval_ns),
                deal: dealt_by_us.then_some(deal),
                handovers: handovers.clone(),
                handed,
                control,
                told: told_out.clone(),
                accounts: super::ends_all(config, &tables),
                counted: config.count.is_some().then(|| counted[number].clone()),
            };
            let stacks = stacks.clone();
            let decoder = Sharing::decoder(config, stacks);
            let mut worker = sharing.worker(config, tables, outbox, true);
            worker.judge_from(open_ns);
            threads.spawn(format!("worker {number}"), move || {
                Live::new(worker, decoder, setup).run();
            });
        }
        drop((handovers, told_out));
        let controller = Controller {
            lines: lines.into_iter().map(Line::new).collect(),
            told,
            events,
            notices: notice_out,
            wishes,
            selection: &selection,
            opener: &opener,
            root: &root,
            bonds: &bonds,
            sharing: sharing.clone(),
            config,
            links,
            meter,
            here,
            machine,
            defect: defect.clone(),
            signals: signals.clone(),
            counted,
            // One end stays here: a channel whose senders are gone is always ready.
            summaries: summary_out.clone(),
            lines_lost: lines_lost.clone(),
            interval_ns,
            start_ns,
        };
        let control = scope.spawn(move || controller.run());
        threads.spawn("the aggregator".into(), move || {
            while let Some(snapshot) = aggregator.next_snapshot() {
                passage.send(snapshot);
            }
        });
        // Gone with a panic, so that the last snapshot does not wait for its reader.
        let inputs = inputs;
        let ended = threads.meanwhile(|| writing.run(&inputs));
        let reason = control.join();
        let mut defects = threads.join();
        let reason = reason.unwrap_or_else(|_| {
            defects.push("the control thread ended by a defect: please report this".into());
            StopReason::Error
        });
        (ended, reason, defects)
    });
    let reason = if defects.is_empty() { reason } else { StopReason::Error };
    let ended = writing.stop(ended, &reason, &notices);
    super::both(ended, super::failed(defects))
}

/// The rings of all interfaces, and when their gates began to be opened and all were
/// open: together, as of a connection that goes out by one and comes in by another both
/// halves are wanted.
fn open_all(opener: &Opener, selection: &Selection) -> Result<(Vec<Opened>, [u64; 2]), RunError> {
    let prepare = |(watch, number): (&Watch, u8)| opener.prepare(watch, number);
    let gated: Vec<Gated> = selection.watched.iter().zip(0u8..).map(prepare).collect::<Result<_, _>>()?;
    let start_ns = now_ns();
    let opened: Vec<Opened> = gated.into_iter().map(Gated::open).collect::<Result<_, _>>()?;
    // What passes one interface needs no other gate.
    let open_ns = if opened.len() > 1 { now_ns() } else { start_ns };
    Ok((opened, [start_ns, open_ns]))
}

/// The interfaces' own counters. What is lost from now on is told, so this comes
/// before anybody hears that the run began.
fn meter_of(config: &Config, root: &Root, selection: &Selection, start_ns: u64) -> Meter {
    let mut meter = Meter::new(config.filter.is_some(), root);
    for (number, watch) in selection.watched.iter().enumerate() {
        if let Ok(reader) = CounterReader::open(root, &watch.link) {
            meter.add(number, reader, &watch.link);
        }
    }
    meter.ledger.note_rings(start_ns, start_ns, vec![Default::default(); selection.watched.len()]);
    meter.read_losses(now_ns);
    meter
}

/// What a reader has to know before the first figure.
fn begin_with(
    deliver: &mut Deliver,
    context: &Context,
    warnings: &[String],
    notices: Vec<Notice>,
    start_ns: u64,
) -> Result<(), RunError> {
    let warned = warnings.iter().map(|warning| Notice {
        event: "interface",
        message: warning.clone(),
        ..Notice::default()
    });
    let mut all = notices.into_iter().chain(warned).chain(sets::speed_unknown(context));
    all.try_for_each(|notice| deliver.notice_early(&Notice { time_ns: start_ns, ..notice }, context))
}

/// The bonds that there are, and the interfaces to be watched.
fn choose(root: &Root, config: &Config, named: &[String]) -> Result<(Vec<Bond>, Selection), RunError> {
    let interfaces = link::read(root).map_err(|error| RunError::Failed(vec![error.to_string()]))?;
    let mut selection = link::select(&interfaces.links, &interfaces.bonds, named).map_err(selection_error)?;
    for (name, speed) in &config.link_speeds {
        match selection.set_speed(name, *speed) {
            Err(error) if !config.speeds_of_file => return Err(selection_error(error)),
            _ => {}
        }
    }
    Ok((interfaces.bonds, selection))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Member k of an interface's rings to worker k.
fn deal_out(
    rings: Vec<crate::capture::ring::Ring>,
    lines: &[crossbeam_channel::Sender<Control>],
    context: &LinkContext,
) {
    for (ring, line) in rings.into_iter().zip(lines) {
        let _ = line.send(Control::AddRing(Box::new(ring), context.clone()));
    }
}

/// `groups`: those of all that are watched.
fn context_of(watch: &Watch, groups: impl Iterator<Item = u8>) -> LinkContext {
    let joined = groups.filter(|&group| group == watch.group).count() > 1;
    LinkContext {
        group: watch.group,
        // On rings the kernel tells the direction of every frame.
        rule: DirectionRule::AsTold,
        from_file: false,
        second_copy: watch.second_copy,
        shares_load: joined || watch.link.bond.is_some(),
    }
}

fn selection_error(error: LinkError) -> RunError {
    match error {
        LinkError::Read { .. } => RunError::Failed(vec![error.to_string()]),
        other => RunError::Usage(other.to_string()),
    }
}

/// The cores that may be used, of those that the user named.
fn cpus(config: &Config) -> Result<Vec<usize>, RunError> {
    let usable = fanout::usable_cpus();
    if let Some(missing) = config.cpus.iter().find(|cpu| !usable.contains(cpu)) {
        let list: Vec<String> = usable.iter().map(usize::to_string).collect();
        let list = list.join(", ");
        return Err(RunError::Usage(format!(
            "--cpus: this process may not run on CPU {missing}; it may on {list}"
        )));
    }
    Ok(if config.cpus.is_empty() { usable } else { config.cpus.clone() })
}

/// Workers are pinned from the last core down, as interrupts and everybody
/// else like the first; without a choice of cores a single worker on a machine
/// of one core is left where it is.
fn cpu_of(cpus: &[usize], number: usize, workers: usize, config: &Config) -> Option<usize> {
    if !config.cpus.is_empty() {
        return cpus.get(number % cpus.len()).copied();
    }
    if cpus.len() < 2 || workers > cpus.len() {
        return None;
    }
    cpus.get(cpus.len() - 1 - number).copied()
}

fn link_facts(watch: &Watch, opened: &fanout::Opened, config: &Config, opener: &Opener<'_>) -> LinkFacts {
    let bytes: u64 = opened.rings.iter().map(|ring| ring.config().bytes as u64).sum();
    let speed = watch.line_speed();
    LinkFacts {
        name: watch.link.name.clone(),
        group: watch.group,
        bond: watch.link.bond.clone(),
        speed_bits_per_second: speed,
        link_type: opened.rings.first().map(|ring| ring.link_type()),
        from_file: false,
        ring: Some(RingFacts {
            bytes,
            milliseconds_at_line_rate: speed.and_then(|speed| (bytes * 8000).checked_div(speed)),
        }),
        promiscuous: config.promiscuous && opener.promiscuous(watch),
        direction_unknown: false,
        second_copy: watch.second_copy,
    }
}

fn bond_facts(bonds: &[Bond], selection: &Selection) -> Vec<BondFacts> {
    let watched = |bond: &&Bond| {
        selection.watched.iter().any(|watch| watch.link.bond.as_deref() == Some(bond.name.as_str()))
    };
    let facts = bonds.iter().filter(watched).map(|bond| BondFacts {
        name: bond.name.clone(),
        mode: bond.mode.clone(),
        xmit_hash_policy: bond.xmit_hash_policy.clone(),
        slaves: bond.slaves.iter().map(|slave| slave.name.clone()).collect(),
    });
    facts.collect()
}
