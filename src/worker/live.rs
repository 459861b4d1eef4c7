//! The loop of one core on its rings.
//!
//! Frames are taken in time order up to the watermark, decoded and counted in
//! batches; what is not urgent (records of a cut, expiry, control messages)
//! happens between two batches, in slices. The clock is read once a batch.
//! A packet whose flow another worker owns (a fragment, say, which the kernel
//! deals by its addresses alone) is handed over, whole: it is counted there.
//!
//! Ending: the gate of every ring is closed and what the kernel still holds is
//! taken out, told by its own count: frames read + dropped = frames that
//! passed. Only when all workers have done so, and so handed over what was to
//! be, do they make their last cut.

use super::clock::now_ns;
use super::outbox::{LaneMark, RingFigures};
use super::{Intervals, Worker};
use crate::capture::deal::DealKey;
use crate::capture::merge::{Merge, Source, SourceId};
use crate::capture::ring::{DeviceEvent, Ring, Statistics};
use crate::capture::sys::SockFilter;
use crate::capture::{LinkId, fanout};
use crate::decode::{Decoder, Kind, LinkContext, Packet};
use crate::flow::listen::Listeners;
use crate::flow::table::BATCH;
use crate::meter::loss::Reason;
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Packets that may wait to be taken over by a worker.
pub const HANDOVERS: usize = 4096;
/// Longest sleep: control messages and the end of an interval wait no longer.
const SLEEP_NS: u64 = 100_000_000;
/// How long to sleep while frames wait for another ring's watermark.
const HELD_NS: u64 = 2_000_000;
/// How old the kernel's figures may be when an attempt is decided: a time-out waits
/// a second longer than its limit, so what was lost until then is known by that time.
const FIGURES_NS: u64 = 1_000_000_000;
/// How long the kernel may take to hand over what is in a ring at the end.
const DRAIN_NS: u64 = 1_000_000_000;
/// The same for an interface that is gone, while the others go on.
const LEAVE_NS: u64 = 100_000_000;

/// What a worker is told, between batches.
pub enum Control {
    /// A ring more; its number in the run is the ring's own.
    AddRing(Box<Ring>, LinkContext),
    /// The interface is gone: what its ring still holds is counted, then it ends.
    RemoveLink(LinkId),
    /// Interface counters were read at this moment: note where the totals stand then.
    Mark(u64),
    /// The clock was set back by `by_ns` and shows `to_ns` now: time begins anew there.
    SetBack {
        /// Nanoseconds since the epoch.
        to_ns: u64,
        /// Nanoseconds.
        by_ns: u64,
    },
    /// Who listens on this machine, from now on.
    Listeners(Arc<Listeners>),
    /// Other programs for the rings of these links; told by [`Told::Filtered`] with the same moment.
    Filter(Arc<[(LinkId, Vec<SockFilter>)]>, u64),
    /// Take out what is there and let nothing more in.
    Drain,
    /// Make the last cut, at this time.
    Finish(u64),
}

/// What a worker tells besides its figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// An interface's socket had an event.
    Device {
        /// Which worker's ring: all of an interface see the same.
        worker: usize,
        /// The interface.
        link: LinkId,
        /// What happened.
        event: DeviceEvent,
    },
    /// A ring whose interface is gone ended without all that the kernel counted.
    Missing {
        /// The interface.
        link: LinkId,
        /// Frames.
        frames: u64,
    },
    /// Rings have the programs of [`Control::Filter`].
    Filtered {
        /// The worker.
        worker: usize,
        /// The moment that came with them.
        at_ns: u64,
        /// Why one of them does not.
        refused: Option<String>,
    },
    /// Everything that was let in has been taken out. `missing`: frames that
    /// the kernel counted and never handed over.
    Drained {
        /// The worker.
        worker: usize,
        /// See above.
        missing: u64,
    },
}

/// What a live worker is made with.
pub struct Setup {
    /// Its number, 0 and up.
    pub number: usize,
    /// Core that it is pinned to.
    pub cpu: Option<usize>,
    /// Where intervals end.
    pub intervals: Intervals,
    /// Where whole seconds end, for intervals that are longer.
    pub ticks: Option<Intervals>,
    /// Whose a flow is; None where frames are not dealt by our own hash.
    pub deal: Option<DealKey>,
    /// To the other workers, by number.
    pub handovers: Vec<Sender<Packet>>,
    /// From the other workers.
    pub handed: Receiver<Packet>,
    /// From the control thread.
    pub control: Receiver<Control>,
    /// To it.
    pub told: Sender<Told>,
    /// As in the table's configuration.
    pub accounts: bool,
    /// Where to say how many wire packets have been counted, once a batch, for
    /// a run that ends by that.
    pub counted: Option<Arc<AtomicU64>>,
}

/// One core's loop.
pub struct Live {
    worker: Worker,
    setup: Setup,
    merge: Merge<Ring>,
    rings: Vec<(SourceId, LinkId)>,
    /// Rings whose interface is gone, and until when the kernel may hand over
    /// what they have.
    leaving: Vec<(SourceId, u64)>,
    /// Figures of rings that have ended.
    ended: Vec<RingFigures>,
    /// The watermark when the kernel's figures were read last.
    figures_ns: u64,
    decoder: Decoder,
    batch: [Packet; BATCH],
    filled: usize,
    /// Wire packets, where somebody asks.
    packets: u64,
    /// Moments at which totals are to be noted, ascending.
    marks: Vec<u64>,
    noted: Vec<LaneMark>,
    draining_until: Option<u64>,
    drained: bool,
}

impl Live {
    /// A loop without rings; they come by [`Control::AddRing`].
    pub fn new(worker: Worker, decoder: Decoder, setup: Setup) -> Live {
        Live {
            worker,
            setup,
            merge: Merge::new(),
            rings: Vec::new(),
            leaving: Vec::new(),
            ended: Vec::new(),
            figures_ns: 0,
            decoder,
            batch: [Packet::default(); BATCH],
            filled: 0,
            packets: 0,
            marks: Vec::new(),
            noted: Vec::new(),
            draining_until: None,
            drained: false,
        }
    }

    /// Runs until [`Control::Finish`].
    pub fn run(mut self) {
        if let Some(cpu) = self.setup.cpu {
            fanout::pin(cpu);
        }
        loop {
            loop {
                match self.setup.control.try_recv() {
                    Ok(Control::Finish(time_ns)) => return self.finish(time_ns),
                    Ok(control) => self.obey(control),
                    Err(TryRecvError::Empty) => break,
                    // Control is gone by a defect: nobody would ever tell the end.
                    Err(TryRecvError::Disconnected) => return self.finish(now_ns()),
                }
            }
            let now = now_ns();
            let (took, busy) = self.turn(now);
            if took < BATCH {
                self.leave_ended_rings(now);
                if self.draining_until.is_some() {
                    self.drain(now);
                }
                if !busy && took == 0 {
                    self.sleep();
                }
            }
        }
    }

    /// One batch, and a slice of what is not urgent, at `now` of the clock. How
    /// many were taken, and whether something is left that can be done now.
    fn turn(&mut self, now: u64) -> (usize, bool) {
        self.merge.poll(Some(now));
        let took = self.fill();
        self.flush();
        let watermark = self.merge.watermark();
        self.pass_time(watermark);
        if watermark.saturating_sub(self.figures_ns) >= FIGURES_NS {
            self.read_rings();
        }
        // Until a clock that was set back is told of, flows must not be idle by the old one.
        let asked = self.worker.answer(took >= BATCH);
        let left = self.worker.between_batches(watermark.min(now));
        (took, asked || left && !self.worker.waits_for_room())
    }

    /// Takes frames and handed-over packets until the batch is full, nothing is
    /// at hand, or an interval ends.
    #[inline]
    fn fill(&mut self) -> usize {
        let mut took = 0;
        // Half of a batch at most: however much the others hand over, its own rings are read.
        while self.filled < BATCH / 2 {
            let Ok(packet) = self.setup.handed.try_recv() else { break };
            self.batch[self.filled] = packet;
            self.filled += 1;
            took += 1;
        }
        while self.filled < BATCH {
            let Some(frame) = self.merge.next_frame() else { break };
            took += 1;
            let stamp_ns = frame.time_ns;
            self.decoder.decode_into(&frame, &mut self.batch[self.filled]);
            let quote = self.decoder.quoted(&frame, &self.batch[self.filled]);
            // A stamp of before the clock was set back ends nothing.
            let watermark = self.merge.watermark();
            let time_ns = stamp_ns.min(watermark);
            if stamp_ns < watermark {
                self.count_late(stamp_ns);
            }
            if self.ends_something(time_ns) {
                // The packet in hand belongs behind what ends here.
                let packet = self.batch[self.filled];
                self.flush();
                self.pass_time(time_ns);
                self.batch[0] = packet;
            }
            if self.keeps() {
                self.filled += 1;
            }
            if let Some(quote) = quote {
                self.tell_quoted(quote);
            }
        }
        took
    }

    /// The flow that an ICMP error quotes is told, whoever has it.
    #[cold]
    fn tell_quoted(&mut self, quote: Packet) {
        if self.filled == BATCH {
            self.flush();
        }
        self.batch[self.filled] = quote;
        if self.keeps() {
            self.filled += 1;
        }
    }

    /// A ring broke its promise: a packet of an interval that has ended is told.
    #[cold]
    fn count_late(&mut self, stamp_ns: u64) {
        let begun = self.setup.intervals.next_ns().map(|next| next - self.setup.intervals.length_ns());
        if begun.is_some_and(|begun| stamp_ns < begun) {
            self.worker.count_late(1);
        }
    }

    /// Whether an interval or a mark ends at or before this time.
    #[inline]
    fn ends_something(&self, time_ns: u64) -> bool {
        self.setup.intervals.next_ns().is_some_and(|next| time_ns >= next)
            || self.setup.ticks.and_then(|ticks| ticks.next_ns()).is_some_and(|next| time_ns >= next)
            || self.marks.first().is_some_and(|&mark| time_ns >= mark)
    }

    /// Whether the packet at hand is this worker's; hands it over if not.
    #[inline]
    fn keeps(&mut self) -> bool {
        let Some(deal) = &self.setup.deal else { return true };
        let packet = &mut self.batch[self.filled];
        if matches!(packet.kind, Kind::Untracked(_)) {
            return true;
        }
        let owner = deal.owner(&packet.key, self.setup.handovers.len());
        if owner == self.setup.number {
            return true;
        }
        match self.setup.handovers[owner].try_send(*packet) {
            Ok(()) => false,
            // What counts nowhere is missed by nobody.
            Err(_) if packet.kind == Kind::Quote => false,
            Err(_) => {
                packet.kind = Kind::Untracked(Reason::HandoverFull);
                true
            }
        }
    }

    fn flush(&mut self) {
        if let Some(counted) = &self.setup.counted
            && self.filled > 0
        {
            let batch = self.batch.iter().take(self.filled);
            self.packets += batch.map(|packet| u64::from(packet.segments)).sum::<u64>();
            counted.store(self.packets, Ordering::Relaxed);
        }
        self.worker.take(&mut self.batch[..self.filled]);
        self.filled = 0;
    }

    /// Packet time has come to `time_ns`.
    #[inline]
    fn pass_time(&mut self, time_ns: u64) {
        while self.marks.first().is_some_and(|&mark| time_ns >= mark) {
            let at_ns = self.marks.remove(0);
            self.note(at_ns);
        }
        if let Some(passed) = self.setup.intervals.observe(time_ns) {
            // A stall is one long interval; what the machine slept through is left out.
            let (boundary_ns, skipped) = match passed.skipped {
                0 => (passed.boundary_ns + passed.empty * self.setup.intervals.length_ns(), 0),
                skipped => (passed.boundary_ns, passed.empty + skipped),
            };
            self.worker.skip(skipped);
            self.cut(boundary_ns);
            if skipped > 0 {
                self.worker.tick(time_ns);
            }
        }
        if let Some(ticks) = &mut self.setup.ticks
            && ticks.observe(time_ns).is_some()
        {
            self.worker.tick(time_ns);
        }
    }

    #[cold]
    fn note(&mut self, at_ns: u64) {
        self.noted.push(LaneMark { at_ns, lanes: self.worker.lanes() });
    }

    #[cold]
    fn cut(&mut self, boundary_ns: u64) {
        self.read_rings();
        self.worker.add_marks(&mut self.noted);
        self.worker.begin_cut(boundary_ns);
    }

    /// The kernel's figures of the rings, for the next cut and for what is decided until then.
    #[cold]
    fn read_rings(&mut self) {
        self.figures_ns = self.merge.watermark();
        let mut figures = self.ended.clone();
        for (_, ring) in self.merge.sources_mut() {
            add(&mut figures, figures_of(ring));
        }
        self.worker.set_rings(figures);
    }

    #[cold]
    fn obey(&mut self, control: Control) {
        match control {
            Control::AddRing(ring, context) => {
                let link = ring.link();
                self.decoder.set_link(link, context);
                let id = self.merge.add(*ring);
                self.rings.push((id, link));
            }
            Control::RemoveLink(link) => {
                let until = now_ns().saturating_add(LEAVE_NS);
                // It may be there yet, and no longer to be watched.
                for (_, ring) in self.merge.sources_mut().filter(|(_, ring)| ring.link() == link) {
                    let _ = ring.set_filter(&[SockFilter::ret(0)]);
                }
                let gone = self.rings.iter().filter(|(_, of)| *of == link);
                self.leaving.extend(gone.map(|(id, _)| (*id, until)));
                self.rings.retain(|(_, of)| *of != link);
            }
            Control::Mark(at_ns) => self.marks.push(at_ns),
            Control::SetBack { to_ns, by_ns } => self.restart(to_ns, by_ns),
            Control::Listeners(listeners) => self.worker.set_listeners(listeners),
            Control::Filter(programs, at_ns) => {
                let refused = self.change_filter(&programs);
                let worker = self.setup.number;
                let _ = self.setup.told.try_send(Told::Filtered { worker, at_ns, refused });
            }
            Control::Drain => {
                // What the gate of one ring still lets in, that of another may have shut out.
                self.worker.judge_until(now_ns());
                for (_, ring) in self.merge.sources_mut() {
                    // Where the gate cannot be closed the time limit ends the drain.
                    let _ = ring.set_filter(&[SockFilter::ret(0)]);
                }
                self.draining_until = Some(now_ns().saturating_add(DRAIN_NS));
            }
            Control::Finish(_) => {}
        }
    }

    /// Other programs for rings; not for those whose gate is closed. What is wrong.
    fn change_filter(&mut self, programs: &[(LinkId, Vec<SockFilter>)]) -> Option<String> {
        if self.draining_until.is_some() {
            return None;
        }
        let watched = |id: SourceId| self.rings.iter().any(|(of, _)| *of == id);
        let rings = self.merge.sources_mut().filter(|(id, _)| watched(*id));
        let swapped = rings.filter_map(|(_, ring)| {
            let (_, program) = programs.iter().find(|(link, _)| *link == ring.link())?;
            ring.set_filter(program).err()
        });
        swapped.last().map(|error| error.to_string())
    }

    /// The interval under way ends here, the next one begins at the new time.
    fn restart(&mut self, to_ns: u64, by_ns: u64) {
        for at_ns in std::mem::take(&mut self.marks) {
            self.note(at_ns);
        }
        self.merge.restart(to_ns);
        self.worker.set_back(by_ns);
        self.worker.restart_bins(to_ns);
        let clocks = std::iter::once(&mut self.setup.intervals).chain(&mut self.setup.ticks);
        clocks.for_each(|clock| *clock = Intervals::from(clock.length_ns(), to_ns));
        self.cut(to_ns);
    }

    /// Lets rings go whose interface is gone once they have told all that the
    /// kernel counted: their last block is handed over by its timer only.
    fn leave_ended_rings(&mut self, now: u64) {
        if self.leaving.is_empty() {
            return;
        }
        let (merge, leaving) = (&mut self.merge, &mut self.leaving);
        leaving.retain_mut(|(id, until)| {
            // It may have been set by a clock that was set back since.
            *until = (*until).min(now.saturating_add(LEAVE_NS));
            let ring = merge.sources_mut().find(|(of, _)| of == id).map(|(_, ring)| ring);
            let stays = now < *until && ring.is_some_and(|ring| missing(ring) > 0);
            if !stays {
                merge.close(*id);
            }
            stays
        });
        while let Some((_, mut ring)) = self.merge.take_ended() {
            let frames = missing(&mut ring);
            if frames > 0 {
                // Never waits: control may be waiting for this worker.
                let _ = self.setup.told.try_send(Told::Missing { link: ring.link(), frames });
            }
            add(&mut self.ended, figures_of(&mut ring));
        }
    }

    /// Tells when the kernel has nothing more for this worker.
    #[cold]
    fn drain(&mut self, now: u64) {
        let Some(until) = self.draining_until else { return };
        let missing = self.merge.sources_mut().map(|(_, ring)| missing(ring)).sum();
        if !self.drained && (missing == 0 && self.merge.sources_mut().all(is_empty) || now > until) {
            self.drained = true;
            let _ = self.setup.told.send(Told::Drained { worker: self.setup.number, missing });
        }
    }

    fn finish(mut self, time_ns: u64) {
        while self.fill() > 0 {
            self.flush();
        }
        // No frame came to tell that these have passed: the totals of now are those of then.
        for at_ns in std::mem::take(&mut self.marks) {
            self.note(at_ns);
        }
        self.read_rings();
        self.worker.add_marks(&mut self.noted);
        self.worker.finish(time_ns, 0, self.setup.accounts);
    }

    /// Waits for frames, an interval's end, or a while.
    fn sleep(&mut self) {
        // With a frame at hand its ring is readable all the time: what it waits
        // for is another ring's watermark.
        let held = self.merge.wait_ns();
        let until_cut = self.setup.intervals.next_ns().map_or(SLEEP_NS, |next| {
            // The watermark is behind the clock by a ring's lag.
            next.saturating_sub(self.merge.watermark()).max(1_000_000)
        });
        let nanoseconds = match held {
            Some(wait_ns) => wait_ns.clamp(HELD_NS / 4, HELD_NS),
            // The aggregator needs a core for that, this one perhaps.
            None if self.worker.waits_for_room() => HELD_NS / 4,
            None if self.draining_until.is_some() || !self.leaving.is_empty() => HELD_NS,
            None => SLEEP_NS.min(until_cut),
        };
        let timeout = Timespec { tv_sec: 0, tv_nsec: nanoseconds as _ };
        let events = {
            let mut polled: Vec<PollFd<'_>> = Vec::new();
            if held.is_none() {
                polled.extend(
                    self.merge.sources().map(|(_, ring)| PollFd::from_borrowed_fd(ring.fd(), PollFlags::IN)),
                );
            }
            match poll(&mut polled, Some(&timeout)) {
                Ok(count) if count > 0 => polled.iter().any(|fd| fd.revents().contains(PollFlags::ERR)),
                _ => false,
            }
        };
        if events {
            self.tell_events();
        }
    }

    #[cold]
    fn tell_events(&mut self) {
        for (_, ring) in self.merge.sources() {
            if let Some(event) = ring.poll_error() {
                let told = Told::Device { worker: self.setup.number, link: ring.link(), event };
                // The control thread is behind: the interface's own events tell it too.
                let _ = self.setup.told.try_send(told);
            }
        }
    }
}

fn is_empty((_, ring): (SourceId, &mut Ring)) -> bool {
    ring.peek_time().is_none()
}

/// The kernel's figures; the last ones where it does not tell.
fn statistics_of(ring: &mut Ring) -> Statistics {
    ring.statistics().unwrap_or_else(|_| ring.last_statistics())
}

/// Frames that the kernel counted and has not handed over, or not yet.
fn missing(ring: &mut Ring) -> u64 {
    let statistics = statistics_of(ring);
    statistics.packets.saturating_sub(statistics.drops).saturating_sub(ring.counts().frames_read)
}

fn figures_of(ring: &mut Ring) -> RingFigures {
    let statistics = statistics_of(ring);
    let counts = ring.counts();
    RingFigures {
        link: ring.link(),
        frames: counts.frames_read,
        kernel_drops: statistics.drops,
        freezes: statistics.freezes,
        corrupt: counts.frames_corrupt + counts.blocks_corrupt,
        second_sight: counts.frames_second_sight,
    }
}

fn add(figures: &mut Vec<RingFigures>, one: RingFigures) {
    match figures.iter_mut().find(|sum| sum.link == one.link) {
        Some(sum) => sum.add(&one),
        None => figures.push(one),
    }
}

#[cfg(test)]
mod tests {
    use super::super::outbox::{Inbox, Message, outbox};
    use super::*;
    use crate::decode::VlanStacks;
    use crate::flow::table::TableConfig;
    use crossbeam_channel::{bounded, unbounded};

    const S: u64 = 1_000_000_000;

    /// A loop without rings, what it is told by, and what it tells.
    fn alone() -> (Live, Sender<Packet>, Sender<Control>, Inbox) {
        let (outbox, inbox) = outbox(4, false, false);
        let table = TableConfig {
            flows_max: 16,
            handshake_timeout_ns: S,
            accounts: false,
            active_timeout_ns: 0,
            seed: [1, 2],
        };
        let (handover, handed) = unbounded();
        let (controls, control) = unbounded();
        let setup = Setup {
            number: 0,
            cpu: None,
            intervals: Intervals::from(S, 100 * S),
            ticks: None,
            deal: None,
            handovers: Vec::new(),
            handed,
            control,
            told: bounded(1).0,
            accounts: false,
            counted: Some(Arc::default()),
        };
        let decoder = Decoder::new(Vec::new(), VlanStacks::default());
        (Live::new(Worker::new(table, outbox), decoder, setup), handover, controls, inbox)
    }

    #[test]
    fn what_others_hand_over_leaves_room_for_its_own_rings() {
        let (mut live, handover, _controls, _inbox) = alone();
        (0..3 * BATCH).for_each(|_| handover.send(Packet::default()).expect("sent"));
        let mut takes = Vec::new();
        for _ in 0..7 {
            takes.push(live.fill());
            live.flush();
        }
        assert_eq!(takes, [BATCH / 2, BATCH / 2, BATCH / 2, BATCH / 2, BATCH / 2, BATCH / 2, 0]);
    }

    /// The cuts so far.
    fn cuts_of(inbox: &Inbox) -> Vec<super::super::outbox::Cut> {
        let messages = inbox.messages.try_iter().filter_map(|message| match message {
            Message::Cut(cut) => Some(*cut),
            Message::Records(_) | Message::Bins(_) | Message::Answer(_) => None,
        });
        messages.collect()
    }

    /// Boundaries of the cuts so far, and what the clock was set back by then, in seconds.
    fn cuts(inbox: &Inbox) -> Vec<(u64, u64)> {
        cuts_of(inbox).iter().map(|cut| (cut.boundary_ns / S, cut.set_back_ns / S)).collect()
    }

    #[test]
    fn packets_are_told_by_the_batch_not_by_the_interval() {
        let (mut live, handover, _controls, inbox) = alone();
        let counted = live.setup.counted.clone().expect("asked for");
        (0..3).for_each(|_| handover.send(Packet { segments: 5, ..Packet::default() }).expect("sent"));
        live.turn(100 * S + 1);
        assert_eq!(counted.load(Ordering::Relaxed), 15);
        assert_eq!(cuts(&inbox), []);
    }

    #[test]
    fn a_jump_is_no_interval_of_that_length() {
        let (mut live, _handover, _controls, inbox) = alone();
        // A stall of some seconds, then a night.
        for second in [101, 105, 40_000, 40_001] {
            live.turn(second * S);
        }
        let cuts: Vec<_> = cuts_of(&inbox).iter().map(|cut| (cut.boundary_ns / S, cut.skipped)).collect();
        assert_eq!(cuts, [(101, 0), (105, 0), (106, 39_894), (40_001, 0)]);
    }

    #[test]
    fn intervals_go_on_where_the_clock_was_set_back() {
        let (mut live, _handover, _controls, inbox) = alone();
        live.turn(101 * S);
        live.turn(102 * S);
        assert_eq!(cuts(&inbox), [(101, 0), (102, 0)]);
        live.turn(40 * S);
        live.obey(Control::SetBack { to_ns: 40 * S, by_ns: 62 * S });
        for half in 80..84 {
            live.turn(half * S / 2);
        }
        assert_eq!(cuts(&inbox), [(40, 62), (41, 62)]);
    }

    #[test]
    fn a_worker_whose_control_is_gone_tells_its_figures() {
        let (live, _handover, controls, inbox) = alone();
        drop(controls);
        live.run();
        assert_eq!(cuts_of(&inbox).iter().filter(|cut| cut.last).count(), 1);
    }

    #[test]
    fn the_last_moment_is_noted_though_no_frame_passes_it() {
        let (live, _handover, controls, inbox) = alone();
        // In the far future: without a ring the watermark is the clock's.
        let at_ns = u64::MAX / 2;
        controls.send(Control::Mark(at_ns)).expect("sent");
        controls.send(Control::Finish(at_ns)).expect("sent");
        live.run();
        let cuts = cuts_of(&inbox);
        let marks: Vec<u64> = cuts.iter().flat_map(|cut| &cut.marks).map(|mark| mark.at_ns).collect();
        assert_eq!(marks, [at_ns]);
    }
}
