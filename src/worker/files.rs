//! Files through the same worker: one reader, any number of workers, one answer.
//!
//! The reader walks the files in time order, decodes, and decides where
//! intervals end. With one worker it counts the packets itself, on the same
//! thread; with several it deals them by flow and sends every worker the same
//! boundaries, so that what is printed does not depend on their number.
//! Channels block here: of a file nothing may be lost.

use super::{Intervals, Worker};
use crate::capture::fileset::{FileLink, FileSet, Met};
use crate::capture::LinkId;
use crate::decode::{Decoder, Kind, Packet};
use crate::flow::table::BATCH;
use crossbeam_channel::{Receiver, Sender, bounded};

/// Packets that travel to a worker together.
const PARCEL: usize = 512;
/// Parcels under way to one worker.
const PARCELS: usize = 8;
/// A step back of time beyond this ends the sweep (joined captures).
const STEP_BACK_NS: u64 = 1_000_000_000;

/// What the reader tells workers.
enum Step {
    Packets(Vec<Packet>),
    Cut { boundary_ns: u64, skipped: u64 },
    StopSweeping,
    /// Packets that came after their interval's end.
    Late(u64),
    Finish { boundary_ns: u64 },
}

/// Where packets and boundaries go: one worker on this thread, or several.
trait Target {
    fn packet(&mut self, packet: Packet);
    fn cut(&mut self, boundary_ns: u64, skipped: u64);
    fn late(&mut self);
    fn stop_sweeping(&mut self);
    fn finish(self, boundary_ns: u64);
}

/// How a run over files ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Frames counted.
    pub frames: u64,
    /// Stopped by the limit, not by the end.
    pub limited: bool,
}

/// Reads everything and counts it. `accounts` as in the table's config;
/// `packets_max` ends the run early; `interrupted` is asked now and then.
pub fn run(
    files: &mut FileSet,
    on_link: &mut dyn FnMut(LinkId, &FileLink, &mut Decoder),
    decoder: &mut Decoder,
    intervals: Intervals,
    mut workers: Vec<Worker>,
    accounts: bool,
    packets_max: Option<u64>,
    interrupted: &dyn Fn() -> bool,
) -> Walked {
    if workers.len() == 1
        && let Some(worker) = workers.pop()
    {
        let target = Single { worker, batch: Vec::with_capacity(BATCH), accounts };
        return walk(files, on_link, decoder, intervals, target, packets_max, interrupted);
    }
    std::thread::scope(|scope| {
        let lines = workers
            .into_iter()
            .map(|worker| {
                let (steps, inbox) = bounded(PARCELS);
                let (empties, back) = bounded(PARCELS + 2);
                scope.spawn(move || serve(worker, inbox, empties, accounts));
                Line { steps, back, parcel: Vec::with_capacity(PARCEL) }
            })
            .collect();
        walk(files, on_link, decoder, intervals, Several { lines, late: 0 }, packets_max, interrupted)
    })
}

fn walk<T: Target>(
    files: &mut FileSet,
    on_link: &mut dyn FnMut(LinkId, &FileLink, &mut Decoder),
    decoder: &mut Decoder,
    mut intervals: Intervals,
    mut target: T,
    packets_max: Option<u64>,
    interrupted: &dyn Fn() -> bool,
) -> Walked {
    let mut walked = Walked::default();
    let limit = packets_max.unwrap_or(u64::MAX);
    let mut sweeping = true;
    files.walk(|met| {
        let frame = match met {
            Met::Frame(frame) => frame,
            Met::Link(number, link) => {
                on_link(number, link, decoder);
                return true;
            }
        };
        let packet = decoder.decode(frame);
        walked.frames += 1;
        if packet.time_ns < intervals.latest_ns() {
            if sweeping && intervals.latest_ns() - packet.time_ns > STEP_BACK_NS {
                sweeping = false;
                target.stop_sweeping();
            }
            let begun = intervals.next_ns().map(|next| next - intervals.length_ns());
            if begun.is_some_and(|begun| packet.time_ns < begun) {
                target.late();
            }
        } else if let Some(passed) = intervals.observe(packet.time_ns) {
            pass(&mut target, intervals.length_ns(), passed);
        }
        target.packet(packet);
        if walked.frames.is_multiple_of(4096) && interrupted() {
            walked.limited = true;
        }
        !walked.limited && walked.frames < limit
    });
    walked.limited |= walked.frames >= limit;
    target.finish(intervals.next_ns().unwrap_or(intervals.latest_ns()));
    walked
}

#[cold]
fn pass<T: Target>(target: &mut T, length_ns: u64, passed: super::Passed) {
    target.cut(passed.boundary_ns, 0);
    for empty in 1..=passed.empty {
        target.cut(passed.boundary_ns + empty * length_ns, if empty == passed.empty { passed.skipped } else { 0 });
    }
}

/// One worker on the reader's own thread.
struct Single {
    worker: Worker,
    batch: Vec<Packet>,
    accounts: bool,
}

impl Target for Single {
    #[inline]
    fn packet(&mut self, packet: Packet) {
        self.batch.push(packet);
        if self.batch.len() == BATCH {
            self.worker.take(&mut self.batch);
            self.batch.clear();
        }
    }
    fn cut(&mut self, boundary_ns: u64, skipped: u64) {
        self.worker.take(&mut self.batch);
        self.batch.clear();
        self.worker.cut_whole(boundary_ns, skipped);
    }
    fn late(&mut self) {
        self.worker.count_late(1);
    }
    fn stop_sweeping(&mut self) {
        self.worker.take(&mut self.batch);
        self.batch.clear();
        self.worker.stop_sweeping();
    }
    fn finish(mut self, boundary_ns: u64) {
        self.worker.take(&mut self.batch);
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
    fn packet(&mut self, packet: Packet) {
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
            Step::Late(packets) => worker.count_late(packets),
            Step::StopSweeping => worker.stop_sweeping(),
            Step::Finish { boundary_ns } => {
                worker.finish(boundary_ns, 0, accounts);
                return;
            }
        }
    }
}
