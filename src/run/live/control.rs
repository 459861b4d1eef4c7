//! What happens to interfaces while a run goes on, and its end. What there is
//! to be done about bonds and speeds, [`super::bonds`] says.

use super::super::sets::{self, Sharing};
use super::super::{Signals, is_set};
use super::bonds::{Follower, Step};
use super::coverage::Meter;
use super::filtering::Wish;
use super::machine::Machine;
use super::rings::Opener;
use super::{context_of, deal_out, link_facts, lock};
use crate::aggregate::balance::LinkSet;
use crate::aggregate::watch::Here;
use crate::capture::LINKS_MAX;
use crate::capture::link::{self, Bond, CounterReader, EventSource, Link, LinkEvent, Root, Selection, Watch};
use crate::config::{Config, OutputMode};
use crate::output::units::plain;
use crate::output::{LinkFacts, Notice, StopReason, bursts};
use crate::worker::clock::{Steps, now_ns};
use crate::worker::live::{Control, Told};
use crossbeam_channel::{Receiver, Sender};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How often signals and events are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long all workers together may take to empty their rings at the end.
const DRAIN: Duration = Duration::from_secs(3);

/// To one worker.
pub(super) struct Line(Sender<Control>);

impl Line {
    pub fn new(sender: Sender<Control>) -> Line {
        Line(sender)
    }
}

pub(super) struct Controller<'a> {
    pub lines: Vec<Line>,
    pub told: Receiver<Told>,
    /// Of interfaces, since before they were read; None where netlink refuses.
    pub events: Option<EventSource>,
    pub notices: Sender<Notice>,
    /// Wishes for another filter.
    pub wishes: Receiver<Wish>,
    pub selection: &'a Selection,
    pub opener: &'a Opener<'a>,
    pub root: &'a Root,
    /// Bonds as they were when the interfaces were chosen.
    pub bonds: &'a [Bond],
    /// Speeds and sets, for those who compute from them.
    pub sharing: Sharing,
    pub config: &'a Config,
    pub links: Arc<Mutex<Vec<LinkFacts>>>,
    pub meter: Arc<Mutex<Meter>>,
    /// Addresses of this machine, for the watches of handshakes.
    pub here: Arc<Here>,
    pub machine: Machine,
    pub signals: Signals,
    /// A worker or the aggregator ended by a defect.
    pub defect: Arc<AtomicBool>,
    /// Packets counted so far, by each worker, where the run ends by that.
    pub counted: Vec<Arc<AtomicU64>>,
    /// Somebody wants a summary now.
    pub summaries: Sender<()>,
    pub lines_lost: Arc<AtomicU64>,
    pub interval_ns: u64,
    pub start_ns: u64,
}

/// An interface, as it is now. Its place is its number, for the whole run.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub watch: Watch,
    /// The device's index; None while there is none, or it is not watched.
    pub index: Option<u32>,
}

impl Controller<'_> {
    /// Until the run ends; why it did.
    pub fn run(mut self) -> StopReason {
        let mut events = self.events.take();
        if events.is_none() {
            self.tell(
                "no_events",
                None,
                None,
                "changes of interfaces cannot be followed: netlink refused".into(),
            );
        }
        let watched = self.selection.watched.iter();
        let mut states: Vec<State> =
            watched.map(|watch| State { watch: watch.clone(), index: Some(watch.link.index) }).collect();
        let mut follower = Follower::new(self.selection, self.bonds, Instant::now());
        let mut next_reading = self.start_ns;
        let started = Instant::now();
        let mut steps = Steps::new(now_ns(), started);
        let reason = loop {
            // What is written at the end tells a reader that is gone from a signal.
            if is_set(&self.signals.stop) || self.writes_stdout() && reader_is_gone() {
                break StopReason::Signal;
            }
            if self.config.duration_ns.is_some_and(|limit| started.elapsed().as_nanos() as u64 >= limit) {
                break StopReason::Duration;
            }
            let counted = || self.counted.iter().map(|packets| packets.load(Ordering::Relaxed)).sum::<u64>();
            if self.config.count.is_some_and(|limit| counted() >= limit) {
                break StopReason::Count;
            }
            if is_set(&self.defect) {
                break StopReason::Error;
            }
            if self.signals.takes_summary() {
                let _ = self.summaries.try_send(());
            }
            let now = now_ns();
            if let Some(by_ns) = steps.look(now, Instant::now()) {
                self.set_back(now, by_ns);
                next_reading = now;
            }
            if now >= next_reading {
                self.read_counters();
                next_reading = (now / self.interval_ns + 1) * self.interval_ns;
            }
            let mut moved = false;
            while let Some(event) = events.as_mut().and_then(|events| events.next_event().ok().flatten()) {
                moved |= moves_addresses(&event);
                follower.hear(&event, &states);
                self.follow(&mut states, event);
            }
            if follower.is_due(Instant::now()) {
                self.look_at_bonds(&mut follower, &mut states);
            }
            if let Some(listeners) = self.machine.look(self.root, &self.here, moved) {
                self.each(|| Control::Listeners(listeners.clone()));
            }
            self.wishes.try_iter().for_each(|wish| self.change_filter(&states, wish));
            let until_reading = Duration::from_nanos(next_reading.saturating_sub(now_ns()));
            let until_end = match self.config.duration_ns {
                Some(limit) => Duration::from_nanos(limit).saturating_sub(started.elapsed()),
                None => LOOK,
            };
            let wait = LOOK.min(until_reading).min(until_end).max(Duration::from_millis(1));
            if let Ok(told) = self.told.recv_timeout(wait) {
                self.hear(&states, told, events.is_some());
            }
        };
        self.end(&states);
        reason
    }

    /// What a worker tells while it runs.
    pub(super) fn hear(&self, states: &[State], told: Told, follows_events: bool) {
        let name = |link: u8| states.get(link as usize).map(|state| state.watch.link.name.clone());
        match told {
            // What sockets tell is known from netlink, with names, unless that is not to be had.
            Told::Device { worker: 0, link, event } if !follows_events => {
                if let Some(name) = name(link) {
                    let message = format!("{name}: the socket says {event:?}");
                    self.tell("interface_event", Some(name), None, message);
                }
            }
            Told::Missing { link, frames } => {
                let message = format!(
                    "{frames} frames that the kernel counted were not handed over before it was gone"
                );
                self.tell("frames_missing", name(link), Some(frames), message);
            }
            Told::Device { .. } | Told::Drained { .. } | Told::Filtered { .. } => {}
        }
    }

    fn writes_stdout(&self) -> bool {
        self.config.output == OutputMode::Text || self.config.log_file.is_none()
    }

    pub(super) fn tell(
        &self,
        event: &'static str,
        interface: Option<String>,
        count: Option<u64>,
        message: String,
    ) {
        // A writer that is stuck does not hold control up.
        let notice = Notice { time_ns: now_ns(), event, interface, count, message };
        if self.notices.try_send(notice).is_err() {
            self.lines_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn each(&self, control: impl Fn() -> Control) {
        for Line(line) in &self.lines {
            let _ = line.send_timeout(control(), DRAIN);
        }
    }

    fn read_counters(&self) {
        let at_ns = lock(&self.meter).read(now_ns);
        self.each(|| Control::Mark(at_ns));
    }

    /// The clock was set back by more than is waited for: all begin anew at its new time.
    fn set_back(&self, to_ns: u64, by_ns: u64) {
        self.each(|| Control::SetBack { to_ns, by_ns });
        let seconds = by_ns as f64 / 1e9;
        let message = format!("the clock was set back by {seconds:.3} s; intervals go on at its new time");
        self.tell("clock_set_back", None, None, message);
        // A change of before must not wait for a time that comes a second time.
        let sets: Vec<LinkSet> = (**self.sharing.sets.load()).clone();
        let in_time = |set: LinkSet| LinkSet { since_ns: set.since_ns.min(to_ns), ..set };
        self.sharing.sets.store(Arc::new(sets.into_iter().map(in_time).collect()));
    }

    /// Interfaces are read anew, and what changed is followed.
    fn look_at_bonds(&self, follower: &mut Follower, states: &mut Vec<State>) {
        let began = Instant::now();
        let read = link::read(self.root);
        follower.was_read(began, Instant::now());
        // Asked again in a few seconds.
        let Ok(read) = read else { return };
        let steps = follower.compare(&read, states);
        for step in &steps {
            match step {
                Step::Rename { number, name } => self.rename(states, *number, name),
                Step::Leave { number, bond } => self.leave(states, *number, bond),
                Step::Join { link, bond, group } => self.join(states, follower, link, (bond, *group)),
                Step::Speed { number, link } => self.set_speed(states, *number, link),
                Step::Changed { bond, what } => {
                    self.tell("bond_changed", Some(bond.clone()), None, format!("{bond}: {what}"));
                }
            }
        }
        for (number, state) in states.iter_mut().enumerate() {
            let Some(link) = read.links.iter().find(|link| Some(link.index) == state.index) else { continue };
            state.watch.link.bond.clone_from(&link.bond);
            if let Some(facts) = lock(&self.links).get_mut(number) {
                facts.bond.clone_from(&link.bond);
            }
        }
        let present = |(_, state): &(u8, &State)| state.index.is_some() || state.watch.of_bond.is_none();
        let present = (0u8..).zip(&*states).filter(present);
        let watched: Vec<(u8, &Watch)> = present.map(|(number, state)| (number, &state.watch)).collect();
        let new = sets::live(&watched, &read.bonds);
        if let Some(sets) = sets::changed(&self.sharing.sets.load(), new, now_ns()) {
            self.sharing.sets.store(Arc::new(sets));
        }
    }

    fn rename(&self, states: &mut [State], number: usize, name: &str) {
        if let (Some(state), Some(facts)) = (states.get_mut(number), lock(&self.links).get_mut(number)) {
            state.watch.link.name = name.into();
            facts.name = name.into();
        }
        lock(&self.meter).rename(number, name);
    }

    /// A slave that its bond has let go: what it had stays counted.
    fn leave(&self, states: &mut [State], number: usize, bond: &str) {
        let Some(state) = states.get_mut(number) else { return };
        state.index = None;
        self.each(|| Control::RemoveLink(number as u8));
        lock(&self.meter).remove(number);
        let name = state.watch.link.name.clone();
        let message =
            format!("{name} is no slave of {bond} any more and is not watched; what it had is counted");
        self.tell("slave_left", Some(name), None, message);
    }

    /// A slave that its bond has taken: under its old number, if it ever had one.
    fn join(&self, states: &mut Vec<State>, follower: &mut Follower, link: &Link, (bond, group): (&str, u8)) {
        let old = |state: &State| state.index.is_none() && state.watch.link.name == link.name;
        let number = states.iter().position(old).unwrap_or(states.len());
        let told_speed =
            self.config.link_speeds.iter().rev().find(|(name, _)| link.answers_to(name) || name == bond);
        let watch = Watch {
            link: link.clone(),
            group,
            second_copy: false,
            told_speed: told_speed.map(|(_, speed)| *speed),
            of_bond: Some(bond.into()),
        };
        let opened = match number < LINKS_MAX {
            true => self.watch(states, number, watch),
            false => Err(format!("one run watches at most {LINKS_MAX} interfaces")),
        };
        let name = Some(link.name.clone());
        match opened {
            Ok(()) => {
                let message = format!("{} is a slave of {bond} now and is watched", link.name);
                self.tell("slave_joined", name.clone(), None, message);
                let speed = states.get(number).and_then(|state| state.watch.line_speed());
                if let (None, true) = (speed, self.config.bursts.by_share())
                    && let Some(message) = bursts::speed_unknown(&[plain(&link.name).into_owned()])
                {
                    self.tell(bursts::SPEED_UNKNOWN, name, None, message);
                }
            }
            Err(why) if follower.refuse(link.index) => {
                let message = format!("{} is a slave of {bond} now but cannot be watched: {why}", link.name);
                self.tell("interface_refused", name, None, message);
            }
            Err(_) => {}
        }
    }

    fn set_speed(&self, states: &mut [State], number: usize, link: &Link) {
        let Some(state) = states.get_mut(number) else { return };
        let before = state.watch.line_speed();
        state.watch.link.speed_bits_per_second = link.speed_bits_per_second;
        state.watch.link.physical = link.physical;
        let now = state.watch.line_speed();
        // What the user told goes before.
        if now == before {
            return;
        }
        self.sharing.speeds.set(number as u8, now);
        if let Some(facts) = lock(&self.links).get_mut(number) {
            facts.speed_bits_per_second = now;
        }
        let words = |speed: Option<u64>| {
            speed.map_or("unknown".into(), |speed| format!("{} Mbit/s", speed / 1_000_000))
        };
        let name = state.watch.link.name.clone();
        let message = format!("{name}: speed {} instead of {}", words(now), words(before));
        self.tell("speed_changed", Some(name), None, message);
    }

    /// Opens an interface under a number that it had, or the next one.
    fn watch(&self, states: &mut Vec<State>, number: usize, watch: Watch) -> Result<(), String> {
        let link = u8::try_from(number).map_err(|error| error.to_string())?;
        let opened = self.opener.open(&watch, link).map_err(|error| error.to_string())?;
        let facts = link_facts(&watch, &opened, self.config, self.opener);
        match lock(&self.links) {
            mut links if number < links.len() => links[number] = facts,
            mut links => links.push(facts),
        }
        if let Ok(reader) = CounterReader::open(self.root, &watch.link) {
            lock(&self.meter).add(number, reader, &watch.link);
        }
        self.sharing.speeds.set(link, watch.line_speed());
        self.here.set_directed(link);
        for notice in self.opener.notices(&watch, link, &opened) {
            self.tell(notice.event, notice.interface, notice.count, notice.message);
        }
        let lines: Vec<Sender<Control>> = self.lines.iter().map(|line| line.0.clone()).collect();
        let groups = states.iter().map(|state| state.watch.group);
        deal_out(opened.rings, &lines, &context_of(&watch, groups));
        let state = State { index: Some(watch.link.index), watch };
        match states.get_mut(number) {
            Some(known) => *known = state,
            None => states.push(state),
        }
        Ok(())
    }

    /// An interface that goes, comes back, or changes.
    fn follow(&self, states: &mut Vec<State>, event: LinkEvent) {
        match event {
            LinkEvent::Gone { index, name } => {
                let Some(number) = position(states, index) else { return };
                states[number].index = None;
                self.each(|| Control::RemoveLink(number as u8));
                self.tell(
                    "interface_gone",
                    Some(name.clone()),
                    None,
                    format!("{name} was removed; what it had is counted"),
                );
            }
            LinkEvent::Down { index, name } if position(states, index).is_some() => {
                self.tell("interface_down", Some(name.clone()), None, format!("{name} went down"));
            }
            LinkEvent::Up { index, name } if position(states, index).is_some() => {
                self.tell("interface_up", Some(name.clone()), None, format!("{name} is up"));
            }
            LinkEvent::Carrier { index, name, carrier } if position(states, index).is_some() => {
                let (event, word) =
                    if carrier { ("carrier_up", "is") } else { ("carrier_down", "is no longer") };
                self.tell(event, Some(name.clone()), None, format!("{name} {word} connected"));
            }
            LinkEvent::Renamed { index, from, to } => {
                if let Some(number) = position(states, index) {
                    self.rename(states, number, &to);
                    self.tell(
                        "interface_renamed",
                        Some(to.clone()),
                        None,
                        format!("{from} is called {to} now"),
                    );
                } else {
                    self.come_back(states, index, &to);
                }
            }
            // One that could not be opened when it appeared may be now.
            LinkEvent::Appeared { index, name } | LinkEvent::Up { index, name } => {
                self.come_back(states, index, &name)
            }
            LinkEvent::Resync => {
                self.tell("events_lost", None, None, "events of interfaces were lost; read anew".into())
            }
            LinkEvent::Down { .. }
            | LinkEvent::Carrier { .. }
            | LinkEvent::MasterChanged { .. }
            | LinkEvent::BondChanged { .. }
            | LinkEvent::AddressChanged { .. }
            | LinkEvent::MacChanged { .. } => {}
        }
    }

    /// An interface made again under the name of one that is gone: its totals go on.
    /// A slave is waited for until its bond has it again.
    fn come_back(&self, states: &mut Vec<State>, index: u32, name: &str) {
        let gone = |state: &State| {
            state.index.is_none() && state.watch.link.name == name && state.watch.of_bond.is_none()
        };
        let Some(number) = states.iter().position(gone) else { return };
        let refused = |why: String| {
            let message = format!("{name} is there again but cannot be watched: {why}");
            self.tell("interface_refused", Some(name.into()), None, message);
        };
        let links = match link::read_links(self.root) {
            Ok(links) => links,
            Err(error) => return refused(error.to_string()),
        };
        let Some(found) = links.into_iter().find(|link| link.index == index) else { return };
        let watch = Watch { link: found, ..states[number].watch.clone() };
        match self.watch(states, number, watch) {
            Ok(()) => {
                let message = format!("{name} is there again and is watched");
                self.tell("interface_back", Some(name.into()), None, message);
            }
            Err(why) => refused(why),
        }
    }

    /// Gates are closed, rings emptied, then all make their last cut.
    fn end(&self, states: &[State]) {
        self.read_counters();
        // A worker that is gone has nothing left to drain.
        let told = self.lines.iter().map(|Line(line)| line.send_timeout(Control::Drain, DRAIN));
        let mut drained: Vec<bool> = told.map(|told| told.is_err()).collect();
        let until = Instant::now() + DRAIN;
        let mut missing = 0;
        while drained.contains(&false) {
            let left = until.saturating_duration_since(Instant::now());
            match self.told.recv_timeout(left) {
                Ok(Told::Drained { worker, missing: of_worker }) => {
                    missing += of_worker;
                    drained[worker] = true;
                }
                Ok(of_worker @ (Told::Device { .. } | Told::Missing { .. } | Told::Filtered { .. })) => {
                    self.hear(states, of_worker, true);
                }
                Err(_) => break,
            }
        }
        if missing > 0 {
            let message = format!("{missing} frames that the kernel counted were not handed over by the end");
            self.tell("frames_missing", None, Some(missing), message);
        }
        let end_ns = now_ns();
        self.each(|| Control::Finish(end_ns));
    }
}

/// Whether standard output is a pipe that nobody reads any more: found out
/// without a write, as the next one may be an hour away.
fn reader_is_gone() -> bool {
    let stdout = rustix::stdio::stdout();
    let mut polled = [PollFd::from_borrowed_fd(stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&at_once)).is_ok() && polled[0].revents().contains(PollFlags::ERR)
}

/// Whether addresses may have come or gone with it.
fn moves_addresses(event: &LinkEvent) -> bool {
    match event {
        LinkEvent::AddressChanged { .. } | LinkEvent::Gone { .. } | LinkEvent::Resync => true,
        LinkEvent::Appeared { .. }
        | LinkEvent::Renamed { .. }
        | LinkEvent::Up { .. }
        | LinkEvent::Down { .. }
        | LinkEvent::Carrier { .. }
        | LinkEvent::MasterChanged { .. }
        | LinkEvent::BondChanged { .. }
        | LinkEvent::MacChanged { .. } => false,
    }
}

fn position(states: &[State], index: u32) -> Option<usize> {
    states.iter().position(|state| state.index == Some(index))
}
