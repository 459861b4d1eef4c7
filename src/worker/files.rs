//! Files through the same worker: one reader, any number of workers, one answer.
//!
//! The reader walks the files in time order, decodes, and decides where
//! intervals end. With one worker it counts the packets itself, on the same
//! thread; with several it deals them by flow and sends every worker the same
//! boundaries, so that what is printed does not depend on their number.
//! Channels block here: of a file nothing may be lost.

use super::{Intervals, TICK_NS, Worker, ticks};
use crate::capture::LinkId;
use crate::capture::fileset::{FileLink, FileSet, Met};
use crate::decode::{Decoder, Kind, Packet};
use crate::flow::table::BATCH;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::atomic::{AtomicBool, Ordering};

/// Packets that travel to a worker together.
const PARCEL: usize = 512;
/// Parcels under way to one worker.
const PARCELS: usize = 8;
/// A step back of time beyond this ends the sweep (joined captures).
const STEP_BACK_NS: u64 = 1_000_000_000;
/// A step ahead beyond this does so too: what ends there by the clock may go on
/// once time steps back, and nobody knows yet that it will. A week.
const STEP_AHEAD_NS: u64 = 7 * 86_400 * 1_000_000_000;

/// What the reader tells workers.
enum Step {
    Packets(Vec<Packet>),
    Cut {
        boundary_ns: u64,
        skipped: u64,
    },
    StopSweeping,
    /// Milliseconds up to this time are handed over.
    Tick(u64),
    /// Packets that came after their interval's end.
    Late(u64),
    Finish {
        boundary_ns: u64,
    },
}

/// Where packets and boundaries go: one worker on this thread, or several.
trait Target {
    /// The place for the next packet; `placed` follows.
    fn place(&mut self) -> &mut Packet;
    fn placed(&mut self);
    fn cut(&mut self, boundary_ns: u64, skipped: u64);
    fn tick(&mut self, time_ns: u64);
    fn late(&mut self);
    fn stop_sweeping(&mut self);
    fn finish(self, boundary_ns: u64);
}

/// What a run over files is told.
pub struct Job<'a> {
    /// The files.
    pub files: &'a mut FileSet,
    /// Understands their frames.
    pub decoder: &'a mut Decoder,
    /// Told of every interface before its first frame.
    pub on_link: &'a mut dyn FnMut(LinkId, &FileLink, &mut Decoder),
    /// Where intervals end.
    pub intervals: Intervals,
    /// As in the tables' configuration.
    pub accounts: bool,
    /// Frames after which the run ends.
    pub frames_max: Option<u64>,
    /// Packet time after which it ends.
    pub duration_ns: Option<u64>,
    /// Told of every interval's end before it is cut: it may wait there, and says
    /// whether the run goes on.
    pub before_cut: &'a mut dyn FnMut(u64) -> bool,
    /// Asked now and then.
    pub stop: &'a AtomicBool,
}

/// How a run over files ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walked {
    /// All frames.
    ToTheEnd,
    /// By `frames_max`.
    Frames,
    /// By `duration_ns`.
    Duration,
    /// Told to stop.
    Stopped,
}

/// Reads everything and counts it.
pub fn run(job: Job<'_>, mut workers: Vec<Worker>) -> Walked {
    if workers.len() == 1
        && let Some(worker) = workers.pop()
    {
        let accounts = job.accounts;
        return walk(job, Single { worker, batch: [Packet::default(); BATCH], filled: 0, accounts });
    }
    std::thread::scope(|scope| {
        let accounts = job.accounts;
        let lines = workers
            .into_iter()
            .map(|worker| {
                let (steps, inbox) = bounded(PARCELS);
                let (empties, back) = bounded(PARCELS + 2);
                scope.spawn(move || serve(worker, inbox, empties, accounts));
                Line { steps, back, parcel: Vec::with_capacity(PARCEL) }
            })
            .collect();
        walk(job, Several { lines, late: 0, packet: Packet::default() })
    })
}

fn walk<T: Target>(job: Job<'_>, mut target: T) -> Walked {
    let Job { files, decoder, on_link, intervals, before_cut, stop, .. } = job;
    let frames_left = job.frames_max.unwrap_or(u64::MAX);
    let mut pace = Pace {
        intervals,
        ticks: ticks(intervals.length_ns()),
        frames_left,
        until_look: LOOK.min(frames_left),
        duration_ns: job.duration_ns,
        ends_ns: u64::MAX,
        sweeping: true,
        walked: Walked::ToTheEnd,
        latest_ns: 0,
        calm_until_ns: 0,
    };
    files.walk(|met| {
        let frame = match met {
            Met::Frame(frame) => frame,
            Met::Link(number, link) => {
                on_link(number, link, decoder);
                return true;
            }
        };
        // Nearly always: time goes on by little, and nothing is due.
        if frame.time_ns >= pace.latest_ns && frame.time_ns < pace.calm_until_ns {
            pace.latest_ns = frame.time_ns;
        } else if !pace.moves_to(frame.time_ns, &mut target, before_cut) {
            return false;
        }
        let packet = target.place();
        decoder.decode_into(frame, packet);
        let quote = decoder.quoted(frame, packet);
        target.placed();
        if let Some(quote) = quote {
            *target.place() = quote;
            target.placed();
        }
        pace.until_look -= 1;
        pace.until_look > 0 || pace.look(stop)
    });
    pace.intervals.observe(pace.latest_ns);
    if stop.load(Ordering::Relaxed) {
        pace.walked = Walked::Stopped;
    }
    target.finish(pace.intervals.next_ns().unwrap_or(pace.intervals.latest_ns()));
    pace.walked
}

/// Where a walk is in time, and how far it may go without a look at anything else.
struct Pace {
    intervals: Intervals,
    /// Whole seconds, where intervals are longer.
    ticks: Option<Intervals>,
    /// Frames that may follow, as of the last look, and those until the next one.
    frames_left: u64,
    until_look: u64,
    duration_ns: Option<u64>,
    ends_ns: u64,
    sweeping: bool,
    walked: Walked,
    latest_ns: u64,
    /// Until this time nothing is due; 0 before the first frame.
    calm_until_ns: u64,
}

/// Frames between two looks at the stop flag.
const LOOK: u64 = 4096;

impl Pace {
    /// So many frames later: whether the walk goes on.
    #[cold]
    #[inline(never)]
    fn look(&mut self, stop: &AtomicBool) -> bool {
        self.frames_left -= LOOK.min(self.frames_left);
        self.until_look = LOOK.min(self.frames_left);
        if self.frames_left == 0 {
            self.walked = Walked::Frames;
        } else if stop.load(Ordering::Relaxed) {
            self.walked = Walked::Stopped;
        }
        self.walked == Walked::ToTheEnd
    }

    /// What is due at a frame's time, before it is counted; false where the walk
    /// ends before it.
    #[cold]
    #[inline(never)]
    fn moves_to<T: Target>(
        &mut self,
        time_ns: u64,
        target: &mut T,
        before_cut: &mut dyn FnMut(u64) -> bool,
    ) -> bool {
        let first = self.calm_until_ns == 0;
        if first {
            self.latest_ns = time_ns;
            // The first window of all workers begins with the first packet of any.
            target.tick(time_ns);
            self.ends_ns = self.duration_ns.map_or(u64::MAX, |duration| time_ns.saturating_add(duration));
        }
        // The last moment that there is stands for any later one, too.
        if time_ns >= self.ends_ns && self.duration_ns.is_some() {
            self.walked = Walked::Duration;
            return false;
        }
        let stepped = self.latest_ns.saturating_sub(time_ns) > STEP_BACK_NS
            || time_ns.saturating_sub(self.latest_ns) > STEP_AHEAD_NS;
        if self.sweeping && stepped {
            self.sweeping = false;
            target.stop_sweeping();
        }
        self.intervals.observe(self.latest_ns);
        if time_ns < self.latest_ns {
            let begun = self.intervals.next_ns().map(|next| next - self.intervals.length_ns());
            if begun.is_some_and(|begun| time_ns < begun) {
                target.late();
            }
        } else if let Some(passed) = self.intervals.observe(time_ns) {
            if !pass(target, self.intervals.length_ns(), passed, before_cut) {
                self.walked = Walked::Stopped;
                return false;
            }
            if passed.skipped > 0 {
                // Where the interval begins that the frame is in: what is earlier than
                // the frame, behind the jump, has its own milliseconds.
                let begins = self.intervals.next_ns().map(|next| next - self.intervals.length_ns());
                target.tick(begins.unwrap_or(time_ns));
            }
        }
        if let Some(ticks) = &mut self.ticks
            && ticks.observe(time_ns).is_some()
        {
            target.tick(ticks.next_ns().map_or(time_ns, |next| next - TICK_NS));
        }
        self.latest_ns = self.latest_ns.max(time_ns);
        let ends = [Some(self.intervals), self.ticks].into_iter().flatten().filter_map(|one| one.next_ns());
        let next_ns = ends.min().unwrap_or(u64::MAX);
        self.calm_until_ns =
            next_ns.min(self.ends_ns).min(self.latest_ns.saturating_add(STEP_AHEAD_NS)).max(1);
        true
    }
}

#[cold]
fn pass<T: Target>(
    target: &mut T,
    length_ns: u64,
    passed: super::Passed,
    before_cut: &mut dyn FnMut(u64) -> bool,
) -> bool {
    for number in 0..=passed.empty {
        let boundary_ns = passed.boundary_ns.saturating_add(number.saturating_mul(length_ns));
        let skipped = if number > 0 && number == passed.empty { passed.skipped } else { 0 };
        if !before_cut(boundary_ns) {
            return false;
        }
        target.cut(boundary_ns, skipped);
    }
    true
}

/// One worker on the reader's own thread.
struct Single {
    worker: Worker,
    batch: [Packet; BATCH],
    filled: usize,
    accounts: bool,
}

impl Single {
    fn flush(&mut self) {
        self.worker.take(&mut self.batch[..self.filled]);
        self.filled = 0;
    }
}

impl Target for Single {
    #[inline]
    fn place(&mut self) -> &mut Packet {
        &mut self.batch[self.filled % BATCH]
    }
    #[inline]
    fn placed(&mut self) {
        self.filled += 1;
        if self.filled == BATCH {
            self.flush();
        }
    }
    fn cut(&mut self, boundary_ns: u64, skipped: u64) {
        self.flush();
        self.worker.cut_whole(boundary_ns, skipped);
    }
    fn tick(&mut self, time_ns: u64) {
        self.flush();
        self.worker.tick(time_ns);
    }
    fn late(&mut self) {
        self.worker.count_late(1);
    }
    fn stop_sweeping(&mut self) {
        self.flush();
        self.worker.stop_sweeping();
    }
    fn finish(mut self, boundary_ns: u64) {
        self.flush();
        self.worker.finish(boundary_ns, 0, self.accounts);
    }
}

/// The reader's end of one worker.
struct Line {
    steps: Sender<Step>,
    back: Receiver<Vec<Packet>>,
    parcel: Vec<Packet>,
}

impl Line {
    fn flush(&mut self) {
        if self.parcel.is_empty() {
            return;
        }
        let empty = self.back.try_recv().unwrap_or_else(|_| Vec::with_capacity(PARCEL));
        let full = std::mem::replace(&mut self.parcel, empty);
        // A worker that is gone has panicked; its thread's scope tells.
        let _ = self.steps.send(Step::Packets(full));
    }
    fn send(&mut self, step: Step) {
        self.flush();
        let _ = self.steps.send(step);
    }
}

struct Several {
    lines: Vec<Line>,
    late: u64,
    packet: Packet,
}

impl Several {
    fn send_late(&mut self) {
        let late = std::mem::take(&mut self.late);
        if late > 0
            && let Some(line) = self.lines.first_mut()
        {
            line.send(Step::Late(late));
        }
    }
}

impl Target for Several {
    fn place(&mut self) -> &mut Packet {
        &mut self.packet
    }
    fn placed(&mut self) {
        let packet = self.packet;
        let workers = self.lines.len() as u64;
        let owner = match packet.kind {
            Kind::Untracked(_) => 0,
            // Fixed seed: which worker has a flow shows nowhere.
            _ => ((packet.key.hash([1, 2]) & 0xffff_ffff) * workers) >> 32,
        };
        let line = &mut self.lines[owner as usize];
        line.parcel.push(packet);
        if line.parcel.len() == PARCEL {
            line.flush();
        }
    }
    fn cut(&mut self, boundary_ns: u64, skipped: u64) {
        self.send_late();
        for line in &mut self.lines {
            line.send(Step::Cut { boundary_ns, skipped });
        }
    }
    fn tick(&mut self, time_ns: u64) {
        for line in &mut self.lines {
            line.send(Step::Tick(time_ns));
        }
    }
    fn late(&mut self) {
        self.late += 1;
    }
    fn stop_sweeping(&mut self) {
        for line in &mut self.lines {
            line.send(Step::StopSweeping);
        }
    }
    fn finish(mut self, boundary_ns: u64) {
        self.send_late();
        for line in &mut self.lines {
            line.send(Step::Finish { boundary_ns });
        }
    }
}

fn serve(mut worker: Worker, steps: Receiver<Step>, empties: Sender<Vec<Packet>>, accounts: bool) {
    for step in steps {
        match step {
            Step::Packets(mut packets) => {
                worker.take(&mut packets);
                packets.clear();
                let _ = empties.try_send(packets);
            }
            Step::Cut { boundary_ns, skipped } => worker.cut_whole(boundary_ns, skipped),
            Step::Tick(time_ns) => worker.tick(time_ns),
            Step::Late(packets) => worker.count_late(packets),
            Step::StopSweeping => worker.stop_sweeping(),
            Step::Finish { boundary_ns } => {
                worker.finish(boundary_ns, 0, accounts);
                return;
            }
        }
    }
}
