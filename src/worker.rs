//! The work of one core: packets into its flow table and totals, cuts at every
//! boundary of packet time.
//!
//! A worker owns everything that it touches. It takes batches (from files
//! here, from rings in [`live`]), cuts where packet time says so, and reads no
//! clock itself: the loops of this room pass time in. Below this room nobody
//! reads a clock, takes a lock, logs or allocates for a packet.

pub mod clock;
pub mod files;
pub mod live;
pub mod look;
pub mod outbox;

pub use crate::capture::sys::memory::{LargeVec, Reading};
use crate::decode::pairs::LinkPairs;
use crate::decode::{Kind, Packet};
use crate::flow::listen::Listeners;
use crate::flow::table::{BATCH, FlowTable, TableConfig};
use crate::meter::bins::{BIN_NS, Bins, Speeds};
use crate::meter::totals::{LaneTotals, Totals};
use look::{Answer, Ask, Looks};
use outbox::{BinCut, Cut, LaneMark, Message, Outbox, RingFigures};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Flows written or looked at between two batches: about 0.1 ms.
pub const SLICE: usize = 1024;

/// Notes of the journal looked at between two batches: about 0.05 ms where there
/// is time, a third of what a batch takes where packets wait.
const NOTES_SLICE: usize = 8192;
const NOTES_SLICE_BUSY: usize = 256;
/// Milliseconds are handed over once a second at least: a window holds no more.
pub const TICK_NS: u64 = 1_000_000_000;

/// A jump ahead by this much, 12 days, leaves the journal's notes behind.
const FAR_AHEAD_MS: u64 = 1 << 30;

/// Empty intervals in a row that a file still has lines for.
pub const EMPTY_INTERVALS_MAX: u64 = 60;

/// Table, totals and outbox of one core.
pub struct Worker {
    table: FlowTable,
    totals: Totals,
    outbox: Outbox,
    /// Kernel figures, brought by the loop that has the rings.
    rings: Vec<RingFigures>,
    marks: Vec<LaneMark>,
    late_packets: u64,
    set_back_ns: u64,
    /// Empty intervals that follow the next cut.
    skipped: u64,
    first_ns: Option<u64>,
    last_ns: u64,
    /// Segments from outside of this time tell nothing: before and behind it not all
    /// gates were open.
    judged_ns: Range<u64>,
    /// A boundary whose cut is being written, live.
    pending: Option<Box<Cut>>,
    /// Milliseconds for which the aggregator had no room yet, live: together up to
    /// where the clock was set back, as those behind it are others.
    unsent: VecDeque<Box<BinCut>>,
    /// Where the last hand-over of milliseconds was.
    handed_ms: Option<u64>,
    looks: Looks,
    /// An answer for which it had none.
    answer: Option<Box<Answer>>,
}

impl Worker {
    /// A worker with an empty table.
    pub fn new(config: TableConfig, outbox: Outbox) -> Worker {
        Worker {
            table: FlowTable::new(config),
            totals: Totals::default(),
            outbox,
            rings: Vec::new(),
            marks: Vec::new(),
            late_packets: 0,
            set_back_ns: 0,
            skipped: 0,
            first_ns: None,
            last_ns: 0,
            judged_ns: 0..u64::MAX,
            pending: None,
            unsent: VecDeque::new(),
            handed_ms: None,
            looks: Looks::default(),
            answer: None,
        }
    }

    /// Counts packets, in order, in batches.
    pub fn take(&mut self, packets: &mut [Packet]) {
        // Of all packets, not of the first ones: how many come together must not show.
        let earliest = packets.iter().map(|packet| packet.time_ns).min();
        self.first_ns = self.first_ns.into_iter().chain(earliest).min();
        let latest = packets.iter().map(|packet| packet.time_ns).max();
        self.last_ns = self.last_ns.max(latest.unwrap_or(0));
        if self.judged_ns != (0..u64::MAX) {
            let beyond = packets.iter_mut().filter(|packet| !self.judged_ns.contains(&packet.time_ns));
            beyond.filter(|packet| packet.kind == Kind::Tcp).for_each(|packet| packet.kind = Kind::TcpInert);
            if earliest.is_some_and(|earliest| earliest >= self.judged_ns.start) {
                self.judged_ns.start = 0;
            }
        }
        for batch in packets.chunks_mut(BATCH) {
            self.table.process(batch, &mut self.totals, &mut self.outbox);
        }
    }

    /// Live, of several interfaces: segments before this moment are counted, and nothing
    /// is concluded from them: their answers may have come by a gate that was not open.
    pub fn judge_from(&mut self, time_ns: u64) {
        self.judged_ns.start = time_ns;
    }

    /// The same of segments from this moment on: of what they acknowledge some may not
    /// have been let in.
    pub fn judge_until(&mut self, time_ns: u64) {
        self.judged_ns.end = time_ns;
    }

    /// Adds to the count of packets that came after their interval's end.
    pub fn count_late(&mut self, packets: u64) {
        self.late_packets += packets;
    }

    /// The clock was set back: boundaries from now on are of the new time.
    pub fn set_back(&mut self, by_ns: u64) {
        self.set_back_ns = self.set_back_ns.saturating_add(by_ns);
        self.judged_ns.start = 0;
    }

    /// The clock shows `to_ns` after it was set back: milliseconds begin anew there.
    pub fn restart_bins(&mut self, to_ns: u64) {
        self.hand_over_bins(to_ns / BIN_NS, true, false);
    }

    /// Live: so many empty intervals follow the next cut and are left out.
    pub fn skip(&mut self, intervals: u64) {
        self.skipped = intervals;
    }

    /// Kernel figures for the next cut.
    pub fn set_rings(&mut self, rings: Vec<RingFigures>) {
        let lost =
            |rings: &[RingFigures]| rings.iter().map(|ring| ring.kernel_drops + ring.freezes).sum::<u64>();
        if lost(&rings) != lost(&self.rings) {
            self.table.note_loss();
        }
        self.rings = rings;
    }

    /// See [`FlowTable::keep_histories`].
    pub fn keep_histories(&mut self) {
        self.table.keep_histories();
    }

    /// See [`FlowTable::set_pairs`].
    pub fn set_pairs(&mut self, pairs: LinkPairs) {
        self.table.set_pairs(pairs);
    }

    /// See [`FlowTable::set_listeners`].
    pub fn set_listeners(&mut self, listeners: Arc<Listeners>) {
        self.table.set_listeners(listeners);
    }

    /// See [`FlowTable::stop_sweeping`].
    pub fn stop_sweeping(&mut self) {
        self.table.stop_sweeping();
    }

    /// Speeds of the links; before the first packet.
    pub fn set_speeds(&mut self, speeds: Arc<Speeds>) {
        self.totals.bins = Bins::new(speeds);
    }

    /// Keeps so many notes in the journal; before the first packet.
    pub fn keep_notes(&mut self, notes: usize) {
        self.table.keep_notes(notes);
    }

    /// Packet time has come to a whole second, or anew to any time: milliseconds
    /// before it are handed over.
    pub fn tick(&mut self, time_ns: u64) {
        self.show();
        // An interval that is no whole number of seconds may have ended behind one.
        let until_ms = time_ns / BIN_NS;
        if self.handed_ms.is_none_or(|handed_ms| handed_ms < until_ms) {
            self.hand_over_bins(until_ms, false, false);
        }
    }

    fn hand_over_bins(&mut self, until_ms: u64, set_back: bool, last: bool) {
        let lanes = self.totals.hand_over_bins(until_ms);
        let before_ms = self.handed_ms.replace(until_ms).unwrap_or(until_ms);
        if !self.outbox.is_asked() {
            return;
        }
        let mut cut = BinCut { until_ms, lanes, set_back, last };
        if let Some(unsent) = self.unsent.back_mut().filter(|unsent| !unsent.set_back) {
            cut.lanes.splice(0..0, std::mem::take(&mut unsent.lanes));
            self.unsent.pop_back();
        }
        self.unsent.push_back(Box::new(cut));
        while let Some(cut) = self.unsent.pop_front() {
            if let Some(Message::Bins(unsent)) = self.outbox.tell(Message::Bins(cut)) {
                self.unsent.push_front(unsent);
                break;
            }
        }
        if self.outbox.waits() {
            self.answer_until_told_to_go_on();
        }
        if set_back || until_ms.saturating_sub(before_ms) >= FAR_AHEAD_MS {
            self.table.begin_era(set_back);
        }
    }

    /// Files, and the end: whatever is asked is answered before anything else.
    fn answer_until_told_to_go_on(&mut self) {
        loop {
            // Live there may be one of which some slices are done.
            while !self.looks.is_idle() || self.answer.is_some() {
                self.answer_some(usize::MAX);
            }
            let Some(Ask::Look { number, windows }) = self.outbox.asked() else { return };
            self.looks.ask(number, windows);
        }
    }

    /// Answers what is asked, if that needs no more than so many notes.
    fn answer_some(&mut self, notes_most: usize) {
        if self.answer.is_none() {
            let reach_ms = self.totals.bins.reached_ms();
            self.answer = self.looks.go_on(&self.table, reach_ms, notes_most).map(Box::new);
        }
        if let Some(answer) = self.answer.take()
            && let Some(Message::Answer(answer)) = self.outbox.tell(Message::Answer(answer))
        {
            self.answer = Some(answer);
        }
    }

    /// Live: looks for a question, and at a slice of the journal for its answer; a
    /// small one where packets are waiting. True if something is left to do.
    pub fn answer(&mut self, busy: bool) -> bool {
        if !self.outbox.is_asked() {
            return false;
        }
        if let Some(Ask::Look { number, windows }) = self.outbox.asked() {
            self.looks.ask(number, windows);
        }
        if !self.looks.is_idle() || self.answer.is_some() {
            self.answer_some(if busy { NOTES_SLICE_BUSY } else { NOTES_SLICE });
        }
        !self.looks.is_idle()
    }

    /// Tells how flows stand that somebody looks at.
    #[inline]
    fn show(&mut self) {
        while let Some(inquiry) = self.outbox.inquiry() {
            if let Some(account) = self.table.account_of(&inquiry.key) {
                let _ = inquiry.reply.try_send(Box::new(account));
            }
        }
    }

    /// Makes a whole cut at once and waits for room: files.
    pub fn cut_whole(&mut self, boundary_ns: u64, skipped: u64) {
        self.show();
        self.hand_over_bins(boundary_ns / BIN_NS, false, false);
        self.table.sweep(boundary_ns, usize::MAX, &mut self.outbox);
        self.table.begin_cut(boundary_ns);
        self.table.write_cut(usize::MAX, &mut self.outbox);
        let cut = self.figures(boundary_ns, skipped, false);
        self.outbox.cut(cut);
    }

    /// The last cut; with `accounts` every flow that is left has its record.
    pub fn finish(mut self, boundary_ns: u64, skipped: u64, accounts: bool) {
        self.outbox.wait_from_now_on();
        // With what super-frames reach beyond the end.
        let until_ms = boundary_ns.max(self.last_ns) / BIN_NS + 1 + self.totals.bins.reached_ms();
        self.hand_over_bins(until_ms, false, true);
        if let Some(unsent) = self.pending.take() {
            self.keep_marks(*unsent);
        }
        self.table.sweep(boundary_ns, usize::MAX, &mut self.outbox);
        self.table.write_cut(usize::MAX, &mut self.outbox);
        self.table.begin_cut(boundary_ns);
        self.table.write_cut(usize::MAX, &mut self.outbox);
        let mut cut = self.figures(boundary_ns, skipped, true);
        if accounts {
            self.table.end_all(boundary_ns, &mut self.outbox);
        }
        cut.whole = true;
        self.outbox.cut(cut);
    }

    /// Live: begins a cut if the one before is written; otherwise the next one
    /// says it all. Figures are those of this moment, records follow in slices.
    pub fn begin_cut(&mut self, boundary_ns: u64) {
        self.hand_over_bins(boundary_ns / BIN_NS, false, false);
        let skipped = std::mem::take(&mut self.skipped);
        if self.pending.is_none() && self.table.begin_cut(boundary_ns) {
            self.pending = Some(self.figures(boundary_ns, skipped, false));
        }
    }

    /// Whether what is left waits for the aggregator to give a buffer back.
    pub fn waits_for_room(&self) -> bool {
        self.outbox.waits_for_room()
    }

    /// Live: a slice of what is not urgent. True if something is left to do.
    pub fn between_batches(&mut self, watermark_ns: u64) -> bool {
        self.show();
        let swept = self.table.sweep(watermark_ns, SLICE, &mut self.outbox);
        let Some(mut cut) = self.pending.take() else { return !swept };
        if !self.table.write_cut(SLICE, &mut self.outbox) {
            self.pending = Some(cut);
            return true;
        }
        cut.whole = self.table.cut_is_whole();
        // Where the aggregator is far behind, the next cut says it all.
        if let Some(unsent) = self.outbox.cut(cut) {
            self.keep_marks(*unsent);
        }
        !swept
    }

    /// What only a cut that was not sent tells: the next one tells it first.
    fn keep_marks(&mut self, mut unsent: Cut) {
        unsent.marks.append(&mut self.marks);
        self.marks = unsent.marks;
    }

    /// Totals by lane, up to the last one used.
    pub fn lanes(&self) -> Vec<LaneTotals> {
        let used = self.totals.lanes.iter().rposition(|lane| lane.frames > 0).map_or(0, |at| at + 1);
        self.totals.lanes[..used].to_vec()
    }

    /// Moments that the next cut tells of.
    pub fn add_marks(&mut self, marks: &mut Vec<LaneMark>) {
        self.marks.append(marks);
    }

    fn figures(&mut self, boundary_ns: u64, skipped: u64, last: bool) -> Box<Cut> {
        Box::new(Cut {
            boundary_ns,
            set_back_ns: self.set_back_ns,
            skipped,
            lanes: self.lanes(),
            ethertypes: self.totals.ethertypes.clone(),
            table: self.table.stats(),
            rings: self.rings.clone(),
            marks: std::mem::take(&mut self.marks),
            late_packets: self.late_packets,
            first_ns: self.first_ns,
            last_ns: self.last_ns,
            whole: self.table.cut_is_whole(),
            last,
        })
    }
}

/// Whole seconds, where intervals of this length are longer.
pub fn ticks(interval_ns: u64) -> Option<Intervals> {
    (interval_ns == 0 || interval_ns > TICK_NS).then(|| Intervals::new(TICK_NS))
}

/// Where packet time crosses from one interval into the next.
///
/// Intervals begin at multiples of their length since the epoch; a length of 0
/// is one interval for all.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    length_ns: u64,
    /// End of the interval under way; 0 before the first packet.
    next_ns: u64,
    latest_ns: u64,
}

/// Boundaries that a packet's time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// End of the interval that was under way.
    pub boundary_ns: u64,
    /// Empty intervals that follow it and are shown.
    pub empty: u64,
    /// Empty intervals that are left out then.
    pub skipped: u64,
}

impl Intervals {
    /// Intervals of this length.
    pub fn new(length_ns: u64) -> Intervals {
        Intervals { length_ns, next_ns: 0, latest_ns: 0 }
    }

    /// Intervals of this length, the first of which has begun at `start_ns`.
    pub fn from(length_ns: u64, start_ns: u64) -> Intervals {
        let mut intervals = Intervals::new(length_ns);
        intervals.observe(start_ns);
        intervals
    }

    /// Latest time seen.
    pub fn latest_ns(&self) -> u64 {
        self.latest_ns
    }

    /// End of the interval under way, if there is one.
    pub fn next_ns(&self) -> Option<u64> {
        (self.next_ns != 0 && self.length_ns != 0).then_some(self.next_ns)
    }

    /// Length of an interval, 0 for one over all.
    pub fn length_ns(&self) -> u64 {
        self.length_ns
    }

    /// Time is now `time_ns`: what has ended by that. None in nearly every case.
    #[inline]
    pub fn observe(&mut self, time_ns: u64) -> Option<Passed> {
        self.latest_ns = self.latest_ns.max(time_ns);
        if time_ns >= self.next_ns { self.pass(time_ns) } else { None }
    }

    #[cold]
    fn pass(&mut self, time_ns: u64) -> Option<Passed> {
        if self.length_ns == 0 {
            self.next_ns = u64::MAX;
            return None;
        }
        let end = (time_ns / self.length_ns).saturating_add(1).saturating_mul(self.length_ns);
        let boundary_ns = std::mem::replace(&mut self.next_ns, end);
        if boundary_ns == 0 || end <= boundary_ns {
            return None;
        }
        // The last interval that there is may be shorter than one.
        let between = ((end - boundary_ns) / self.length_ns).saturating_sub(1);
        let empty = between.min(EMPTY_INTERVALS_MAX);
        Some(Passed { boundary_ns, empty, skipped: between - empty })
    }
}

#[cfg(test)]
mod tests {
    use super::outbox::{Message, outbox};
    use super::*;
    use crate::flow::key::{End, FlowKey};

    const S: u64 = 1_000_000_000;

    fn worker(flows_max: usize, outbox: Outbox) -> Worker {
        let seed = [1, 2];
        let (handshake_timeout_ns, accounts, active_timeout_ns) = (S, false, 0);
        Worker::new(
            TableConfig { flows_max, handshake_timeout_ns, accounts, active_timeout_ns, seed },
            outbox,
        )
    }

    /// What is left of a cut without a buffer is nothing to be busy with.
    #[test]
    fn a_worker_whose_buffers_are_all_on_their_way_waits_for_room() {
        let (outbox, inbox) = outbox(1, false, false);
        let mut worker = worker(4096, outbox);
        let end = |port: u16| End { address: [0, 0xc612_0001], port };
        let packet = |port| {
            let (key, reversed) = FlowKey::new(end(port), end(9), 17, false, 0, 0);
            Packet { key, reversed, time_ns: S, kind: crate::decode::Kind::Udp, ..Packet::default() }
        };
        let mut packets: Vec<Packet> = (1000..1000 + 3000).map(packet).collect();
        worker.take(&mut packets);
        worker.begin_cut(2 * S);
        let mut busy = 0;
        while worker.between_batches(2 * S) && !worker.waits_for_room() {
            busy += 1;
        }
        assert!(busy < 3000 && worker.waits_for_room(), "{busy}");
        let mut records = 0;
        let cut = loop {
            match inbox.messages.try_recv() {
                Ok(Message::Records(mut buffer)) => {
                    records += buffer.records.len();
                    buffer.clear();
                    inbox.empties.send(buffer).expect("its worker is there");
                }
                Ok(Message::Cut(cut)) => break cut,
                Ok(_) => {}
                Err(_) => {
                    worker.between_batches(2 * S);
                    assert!(!worker.waits_for_room() || !inbox.messages.is_empty());
                }
            }
        };
        assert_eq!((records, cut.boundary_ns), (3000, 2 * S));
    }

    /// An acknowledgement that came while gates were being moved says nothing of loss;
    /// it is counted as any packet.
    #[test]
    fn nothing_is_concluded_from_what_comes_while_gates_open_or_close() {
        let ends =
            [End { address: [0, 0xc612_0001], port: 4000 }, End { address: [0, 0xc612_0002], port: 80 }];
        let segment = |side: usize, at_ns: u64, tcp_flags: u8, sequence: u32, acknowledgement: u32| {
            let (key, reversed) = FlowKey::new(ends[side], ends[1 - side], 6, false, 0, 0);
            let numbers = Packet { sequence, acknowledgement, tcp_flags, window: 500, ..Packet::default() };
            let counted = Packet { segments: 1, bytes: 60, frame_bytes: 60, ..numbers };
            Packet { key, reversed, time_ns: at_ns, kind: Kind::Tcp, ..counted }
        };
        let unseen = |judged_ns: Range<u64>| {
            let (outbox, _inbox) = outbox(8, false, false);
            let mut worker = worker(4096, outbox);
            worker.judge_from(judged_ns.start);
            worker.judge_until(judged_ns.end);
            let (syn, ack) = (2, 16);
            let mut packets = [
                segment(0, S, syn, 100, 0),
                segment(1, S + 10, syn | ack, 500, 101),
                segment(0, S + 20, ack, 101, 501),
                segment(0, S + 30, ack, 101, 1501),
            ];
            worker.take(&mut packets);
            let lanes = worker.lanes();
            let (counts, unseen): (Vec<u64>, Vec<u64>) =
                lanes.iter().map(|lane| (lane.count.packets, lane.tcp.acked_unseen)).unzip();
            (counts.iter().sum::<u64>(), unseen.iter().sum::<u64>())
        };
        assert_eq!(unseen(0..u64::MAX), (4, 1000));
        assert_eq!(unseen(S..S + 31), (4, 1000));
        assert_eq!(unseen(S..S + 30), (4, 0));
        assert_eq!(unseen(S + 15..u64::MAX), (4, 0), "the stream's beginning is not known");
    }

    #[test]
    fn moments_of_cuts_that_were_not_sent_come_with_the_next() {
        let (outbox, inbox) = outbox(1, false, false);
        let mut worker = worker(16, outbox);
        let mut cut = |second: u64, finish: bool| {
            worker.add_marks(&mut vec![LaneMark { at_ns: second, lanes: Vec::new() }]);
            worker.begin_cut(second * S);
            if !finish {
                worker.between_batches(second * S);
            }
        };
        // More cuts than the channel holds, then room, then one that is not written at the end.
        (1..=20).for_each(|second| cut(second, false));
        let mut told: Vec<u64> = Vec::new();
        let mut take = || {
            for message in inbox.messages.try_iter() {
                if let Message::Cut(cut) = message {
                    told.extend(cut.marks.iter().map(|mark| mark.at_ns));
                }
            }
        };
        take();
        cut(21, false);
        cut(22, true);
        worker.finish(23 * S, 0, false);
        take();
        assert_eq!(told, (1..=22).collect::<Vec<u64>>());
    }

    #[test]
    fn intervals_begin_at_multiples_of_their_length() {
        let mut intervals = Intervals::new(S);
        assert_eq!(intervals.observe(10 * S + 7), None);
        assert_eq!(intervals.next_ns(), Some(11 * S));
        assert_eq!(intervals.observe(11 * S - 1), None);
        let passed = intervals.observe(11 * S);
        assert_eq!(passed, Some(Passed { boundary_ns: 11 * S, empty: 0, skipped: 0 }));
        let passed = intervals.observe(14 * S + 1);
        assert_eq!(passed, Some(Passed { boundary_ns: 12 * S, empty: 2, skipped: 0 }));
    }

    #[test]
    fn years_of_silence_are_told_not_shown() {
        let mut intervals = Intervals::new(S);
        intervals.observe(0);
        let passed = intervals.observe(100_000_000 * S);
        assert_eq!(passed, Some(Passed { boundary_ns: S, empty: 60, skipped: 100_000_000 - 61 }));
        assert_eq!(intervals.observe(5), None);
        assert_eq!(intervals.observe(u64::MAX - 1).map(|p| p.empty), Some(60));
        // The last one is shorter than the others.
        let mut intervals = Intervals::new(S);
        intervals.observe(u64::MAX - S - 5);
        let boundary_ns = u64::MAX / S * S;
        assert_eq!(intervals.observe(u64::MAX - 1), Some(Passed { boundary_ns, empty: 0, skipped: 0 }));
        assert_eq!(intervals.observe(u64::MAX), None);
    }
}
