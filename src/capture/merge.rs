//! Several sources of one worker, one time order.
//!
//! A flow's two directions may come in on two interfaces, so on two rings of
//! one worker; walked one after the other they would show an answer before its
//! question. [`Merge`] delivers frames by time stamp, up to the **watermark**:
//! the time before which no source can still bring a frame. It follows from
//! one lower bound a source:
//!
//! - a frame at hand: its stamp (a source is in order by itself);
//! - none at hand: the clock, *read before the source was looked at*, less the
//!   source's [`Source::lag_ns`] (what the kernel may hold back); never less
//!   than the last stamp seen;
//! - ended: no bound.
//!
//! The watermark is the least of these, and goes back only where the clock was
//! set back ([`Merge::restart`]): it is also the worker's clock. A frame below it (a source that broke its promise) is
//! delivered at once and counted, never dropped.
//!
//! This room reads no clock (the caller passes it in) and knows no ring and no
//! file. Invariants: nothing is lost; equal stamps go by the order in which
//! the sources were added, so that files give the same order on every run.

use super::Frame;

/// How far a stamp may lie ahead of the clock before it is no longer waited
/// for. Behind it is a clock that was set back: without this bound, frames
/// stamped before the step would stay in their ring until the clock has caught
/// up, and the ring would overflow meanwhile. One second is longer than any
/// difference between two CPUs and shorter than a ring's depth.
pub const AHEAD_NS: u64 = 1_000_000_000;

/// Something that yields frames in time order.
pub trait Source {
    /// Stamp of the frame that [`Source::next_frame`] would yield now, in
    /// nanoseconds since the epoch; `None` if there is none at hand. Cheap: a
    /// ring answers with one load. May give the storage of the frame yielded
    /// last back to whoever fills it.
    fn peek_time(&mut self) -> Option<u64>;

    /// The next frame, if one is at hand. Does not need a peek before it; after
    /// a peek that answered with a stamp it yields that very frame.
    fn next_frame(&mut self) -> Option<Frame<'_>>;

    /// Whether no frame will ever come again once none is at hand (the end of
    /// a file). A ring has no end.
    fn is_ended(&self) -> bool {
        false
    }

    /// Longest time, in nanoseconds, from a frame's stamp until `peek_time`
    /// can see the frame.
    fn lag_ns(&self) -> u64;
}

/// Names a source within its [`Merge`]; never used again after its removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(u32);

/// What did not go as the sources promised. Totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergeCounts {
    /// Frames delivered below the watermark: out of time order.
    pub frames_late: u64,
    /// Frames stamped more than [`AHEAD_NS`] after the clock, taken as if
    /// stamped now: the clock was set back.
    pub frames_ahead: u64,
}

struct Slot<S> {
    id: SourceId,
    source: S,
    /// No frame below this can still come from it.
    bound: u64,
    /// `bound` is the place of a frame that can be had now.
    at_hand: bool,
    /// To be taken as ended as soon as nothing is at hand.
    closing: bool,
}

/// Several [`Source`]s as one. See the module's description.
pub struct Merge<S> {
    slots: Vec<Slot<S>>,
    watermark: u64,
    /// The clock at the last [`Merge::poll`]; `None` where time is the files'.
    now_ns: Option<u64>,
    /// Index of the source whose frame was delivered last: its storage may
    /// still be read, so it is only looked at again when the next call comes.
    delivered: Option<usize>,
    /// As long as the source delivered last stays below this, no other has to
    /// be looked at.
    run_limit: u64,
    /// Largest lag of any source yet, for when there is none.
    lag_ns_max: u64,
    next_id: u32,
    counts: MergeCounts,
}

impl<S: Source> Default for Merge<S> {
    fn default() -> Self {
        Merge::new()
    }
}

impl<S: Source> Merge<S> {
    /// Without any source; the watermark is 0.
    pub fn new() -> Merge<S> {
        Merge {
            slots: Vec::new(),
            watermark: 0,
            now_ns: None,
            delivered: None,
            run_limit: 0,
            lag_ns_max: 0,
            next_id: 0,
            counts: MergeCounts::default(),
        }
    }

    /// Adds a source, also while others are being read. Frames of its that lie
    /// below the watermark reached already are late ones.
    pub fn add(&mut self, source: S) -> SourceId {
        self.settle();
        let id = SourceId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.lag_ns_max = self.lag_ns_max.max(source.lag_ns());
        let mut slot = Slot { id, source, bound: 0, at_hand: false, closing: false };
        // A source added to a running merge does not hold the others back
        // until the next poll: the last clock reading is older than its look.
        slot.look(self.now_ns, &mut self.counts);
        self.slots.push(slot);
        self.run_limit = 0;
        id
    }

    /// Takes a source out at once, with whatever is still at hand in it.
    pub fn remove(&mut self, id: SourceId) -> Option<S> {
        self.settle();
        self.run_limit = 0;
        let index = self.slots.iter().position(|slot| slot.id == id)?;
        Some(self.slots.remove(index).source)
    }

    /// Lets a source run empty: what is at hand is still delivered, after that
    /// it counts as ended and [`Merge::take_ended`] hands it out.
    pub fn close(&mut self, id: SourceId) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == id) {
            slot.closing = true;
        }
    }

    /// A source that has ended (or was closed) and has no frame left, if any.
    pub fn take_ended(&mut self) -> Option<(SourceId, S)> {
        self.settle();
        let index = self.slots.iter().position(|slot| !slot.at_hand && slot.has_ended())?;
        self.run_limit = 0;
        let slot = self.slots.remove(index);
        Some((slot.id, slot.source))
    }

    /// The sources, in the order in which they were added.
    pub fn sources(&self) -> impl Iterator<Item = (SourceId, &S)> {
        self.slots.iter().map(|slot| (slot.id, &slot.source))
    }

    /// The sources, to be asked for their statistics or told something. Frames
    /// are taken through the merge only.
    pub fn sources_mut(&mut self) -> impl Iterator<Item = (SourceId, &mut S)> {
        self.slots.iter_mut().map(|slot| (slot.id, &mut slot.source))
    }

    /// Whether all sources have ended and nothing is at hand (also: no source).
    pub fn is_ended(&mut self) -> bool {
        self.settle();
        self.slots.iter().all(|slot| !slot.at_hand && slot.has_ended())
    }

    /// Tells the time and looks at the sources that had nothing at hand.
    /// `now_ns`, nanoseconds since the epoch, was read from the clock of the
    /// stamps before this call; `None` for files, whose time is their own.
    /// Returns the watermark. To be called between batches, so that idle
    /// sources do not hold busy ones back.
    pub fn poll(&mut self, now_ns: Option<u64>) -> u64 {
        self.settle();
        self.now_ns = now_ns;
        let ahead = now_ns.map_or(u64::MAX, |now_ns| now_ns.saturating_add(AHEAD_NS));
        for slot in &mut self.slots {
            if !slot.at_hand || slot.bound > ahead {
                slot.look(now_ns, &mut self.counts);
            }
        }
        self.run_limit = 0;
        self.advance();
        self.watermark
    }

    /// Begins anew at `now_ns`, though the watermark is later: the clock was
    /// set back. Frames that are stamped before the step are still delivered.
    pub fn restart(&mut self, now_ns: u64) {
        self.settle();
        self.watermark = 0;
        self.slots.iter_mut().filter(|slot| !slot.at_hand).for_each(|slot| slot.bound = 0);
        self.poll(Some(now_ns));
    }

    /// The time before which no frame will come any more, as far as known.
    pub fn watermark(&self) -> u64 {
        self.watermark
    }

    /// How long from the last [`Merge::poll`] until its clock lets the next
    /// frame through, in nanoseconds; `None` if none is at hand.
    ///
    /// With one at hand, wait for so long and not for the sources to become
    /// readable: a ring with a block handed over always is (packet_poll).
    pub fn wait_ns(&mut self) -> Option<u64> {
        self.settle();
        let least = |at_hand| {
            let slots = self.slots.iter().filter(move |slot| slot.at_hand == at_hand);
            slots.map(|slot| slot.bound).min()
        };
        let head = least(true)?;
        Some(least(false).map_or(0, |bound| head.saturating_sub(bound)))
    }

    /// What did not go as promised, since the start.
    pub fn counts(&self) -> MergeCounts {
        self.counts
    }

    /// The next frame in time order; `None` if none may be delivered yet: call
    /// [`Merge::poll`] again then, and every some hundred frames.
    #[inline]
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        let index = match self.settle() {
            Some(index) => index,
            None if self.slots.len() == 1 => 0,
            None => self.choose()?,
        };
        let slot = self.slots.get_mut(index)?;
        if !slot.at_hand {
            return None;
        }
        let place = slot.bound;
        let frame = slot.source.next_frame();
        if frame.is_some() {
            if place < self.watermark {
                self.counts.frames_late += 1;
            } else {
                self.watermark = place;
            }
        }
        self.delivered = Some(index);
        frame
    }

    /// Looks at the source delivered last again, now that its frame is done
    /// with. Answers with its index if its next frame comes before all others'.
    #[inline]
    fn settle(&mut self) -> Option<usize> {
        let index = self.delivered.take()?;
        let slot = self.slots.get_mut(index)?;
        slot.look(self.now_ns, &mut self.counts);
        (slot.at_hand && slot.bound < self.run_limit).then_some(index)
    }

    /// Index of the source whose frame comes next, if it may come now.
    #[inline]
    fn choose(&mut self) -> Option<usize> {
        let mut least = u64::MAX;
        let mut second = u64::MAX;
        let mut chosen: Option<(usize, bool)> = None;
        for (index, slot) in self.slots.iter().enumerate() {
            // Of equal bounds a frame goes before a promise: what is promised
            // is later than the promise.
            let better = slot.bound < least
                || slot.bound == least && slot.at_hand && chosen.is_none_or(|(_, at_hand)| !at_hand);
            if better {
                second = least;
                least = slot.bound;
                chosen = Some((index, slot.at_hand));
            } else {
                second = second.min(slot.bound);
            }
        }
        self.run_limit = second;
        match chosen {
            Some((index, true)) => Some(index),
            _ => {
                self.run_limit = 0;
                None
            }
        }
    }

    /// Moves the watermark to the least bound.
    fn advance(&mut self) {
        let bound = self.slots.iter().filter(|slot| slot.at_hand || !slot.has_ended()).map(|s| s.bound).min();
        let bound = match (bound, self.slots.is_empty(), self.now_ns) {
            (Some(bound), _, _) => bound,
            (None, true, Some(now_ns)) => now_ns.saturating_sub(self.lag_ns_max),
            // All ended: the last frame's time stands.
            (None, _, _) => 0,
        };
        self.watermark = self.watermark.max(bound);
    }
}

impl<S: Source> Slot<S> {
    fn has_ended(&self) -> bool {
        self.closing || self.source.is_ended()
    }

    /// Asks the source for its next stamp and sets the bound by it.
    #[inline]
    fn look(&mut self, now_ns: Option<u64>, counts: &mut MergeCounts) {
        match self.source.peek_time() {
            Some(stamp) => {
                self.at_hand = true;
                self.bound = stamp;
                if let Some(now_ns) = now_ns
                    && stamp > now_ns.saturating_add(AHEAD_NS)
                {
                    counts.frames_ahead += 1;
                    self.bound = now_ns;
                }
            }
            None => {
                self.at_hand = false;
                if self.has_ended() {
                    self.bound = u64::MAX;
                } else if let Some(now_ns) = now_ns {
                    self.bound = self.bound.max(now_ns.saturating_sub(self.source.lag_ns()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::LinkType;
    use proptest::prelude::*;
    use std::cell::Cell;
    use std::rc::Rc;

    const LAG: u64 = 100;

    /// A source whose frames are written down beforehand: stamp, and the time
    /// from which on it can be seen.
    struct Script {
        frames: Vec<(u64, u64)>,
        next: usize,
        clock: Rc<Cell<u64>>,
        link: u8,
        is_file: bool,
        peeks: usize,
    }

    impl Script {
        fn ring(link: u8, clock: &Rc<Cell<u64>>, frames: &[(u64, u64)]) -> Script {
            Script { frames: frames.to_vec(), next: 0, clock: clock.clone(), link, is_file: false, peeks: 0 }
        }
        fn file(link: u8, stamps: &[u64]) -> Script {
            let frames = stamps.iter().map(|&stamp| (stamp, 0)).collect();
            Script { frames, next: 0, clock: Rc::default(), link, is_file: true, peeks: 0 }
        }
    }

    impl Source for Script {
        fn peek_time(&mut self) -> Option<u64> {
            self.peeks += 1;
            let &(stamp, visible) = self.frames.get(self.next)?;
            (visible <= self.clock.get()).then_some(stamp)
        }
        fn next_frame(&mut self) -> Option<Frame<'_>> {
            let time_ns = self.peek_time()?;
            self.next += 1;
            Some(Frame {
                data: &[],
                time_ns,
                len: self.next as u32,
                link: self.link,
                link_type: LinkType::Ethernet,
                direction: None,
                stripped_tag: None,
                gso_size: 0,
            })
        }
        fn is_ended(&self) -> bool {
            self.is_file && self.next >= self.frames.len()
        }
        fn lag_ns(&self) -> u64 {
            LAG
        }
    }

    /// Everything that may be delivered now, as (stamp, link).
    fn drain(merge: &mut Merge<Script>) -> Vec<(u64, u8)> {
        std::iter::from_fn(|| merge.next_frame().map(|frame| (frame.time_ns, frame.link))).collect()
    }

    #[test]
    fn an_answer_on_another_ring_waits_for_its_question() {
        let clock = Rc::new(Cell::new(1000));
        let mut merge = Merge::new();
        // The SYN is stamped 1000 but its block is handed over only at 1090;
        // the SYN/ACK of 1010 can be seen at once.
        merge.add(Script::ring(0, &clock, &[(1000, 1090)]));
        merge.add(Script::ring(1, &clock, &[(1010, 1010)]));
        assert_eq!(merge.wait_ns(), None);
        clock.set(1020);
        assert_eq!(merge.poll(Some(1020)), 920);
        assert_eq!(drain(&mut merge), []);
        assert_eq!(merge.wait_ns(), Some(90), "at 1110 ring 0 has nothing below 1010 any more");
        clock.set(1090);
        assert_eq!(merge.poll(Some(1090)), 1000);
        assert_eq!(drain(&mut merge), [(1000, 0)]);
        clock.set(1110);
        merge.poll(Some(1110));
        assert_eq!(drain(&mut merge), [(1010, 1)]);
        assert_eq!(merge.counts(), MergeCounts::default());
    }

    #[test]
    fn an_idle_ring_holds_a_busy_one_back_for_its_lag_only() {
        let clock = Rc::new(Cell::new(0));
        let busy: Vec<_> = (0..1000).map(|n| (n, n)).collect();
        let mut merge = Merge::new();
        merge.add(Script::ring(0, &clock, &busy));
        merge.add(Script::ring(1, &clock, &[]));
        clock.set(500);
        assert_eq!(merge.poll(Some(500)), 0);
        let got = drain(&mut merge);
        assert_eq!(got.len(), 401, "stamps 0 to 400, the clock less the lag");
        clock.set(2000);
        merge.poll(Some(2000));
        assert_eq!(drain(&mut merge).len(), 599);
        assert_eq!(merge.poll(Some(2000)), 1900, "moves on when nothing comes");
        assert_eq!(merge.poll(Some(1500)), 1900, "and never back");
    }

    #[test]
    fn a_single_ring_waits_for_nobody() {
        let clock = Rc::new(Cell::new(50));
        let mut merge = Merge::new();
        merge.add(Script::ring(3, &clock, &[(10, 10), (49, 50), (60, 70)]));
        assert_eq!(merge.poll(Some(50)), 10);
        assert_eq!(drain(&mut merge), [(10, 3), (49, 3)]);
        assert_eq!(merge.poll(Some(50)), 49);
        clock.set(70);
        assert_eq!(drain(&mut merge), [], "looked at again by poll only");
        merge.poll(Some(70));
        assert_eq!(drain(&mut merge), [(60, 3)]);
    }

    #[test]
    fn a_frame_below_the_watermark_is_delivered_and_counted() {
        let clock = Rc::new(Cell::new(1000));
        let mut merge = Merge::new();
        merge.add(Script::ring(0, &clock, &[(500, 2000)]));
        merge.add(Script::ring(1, &clock, &[(1950, 1950), (1990, 2000)]));
        clock.set(2000);
        merge.poll(Some(1000));
        merge.poll(Some(2000));
        // Ring 0 was seen empty at 1000 first: nothing below 900 was to come.
        assert_eq!(drain(&mut merge)[0], (500, 0));
        let mut merge = Merge::new();
        clock.set(1000);
        merge.add(Script::ring(0, &clock, &[(500, 2000)]));
        assert_eq!(merge.poll(Some(1000)), 900);
        clock.set(2000);
        assert_eq!(merge.poll(Some(2000)), 900);
        assert_eq!(drain(&mut merge), [(500, 0)]);
        assert_eq!(merge.counts().frames_late, 1);
        assert_eq!(merge.watermark(), 900);
    }

    #[test]
    fn a_clock_set_back_does_not_leave_frames_in_the_ring() {
        let hour = 3600 * 1_000_000_000;
        let clock = Rc::new(Cell::new(hour));
        let mut merge = Merge::new();
        merge.add(Script::ring(0, &clock, &[(hour, 0), (hour + 5, 0)]));
        merge.add(Script::ring(1, &clock, &[(1000, 0), (1000 + LAG, 0)]));
        // The first two were stamped before the clock was set from one hour to 1000.
        merge.poll(Some(1000));
        assert_eq!(drain(&mut merge).len(), 3, "one waits for ring 1, which has promised nothing yet");
        merge.poll(Some(1000 + 3 * LAG));
        assert_eq!(drain(&mut merge).len(), 1);
        assert_eq!(merge.counts().frames_ahead, 2);
    }

    #[test]
    fn a_merge_that_restarts_waits_for_no_clock_that_was_set_back() {
        let hour = 3600 * 1_000_000_000;
        let clock = Rc::new(Cell::new(hour));
        let mut merge = Merge::new();
        // The second was stamped before the step and is found after it.
        merge.add(Script::ring(0, &clock, &[(hour - LAG, 0), (hour + 5, 0), (1500, 1500)]));
        merge.add(Script::ring(1, &clock, &[]));
        merge.poll(Some(hour));
        assert_eq!(drain(&mut merge), [(hour - LAG, 0)]);
        clock.set(1000);
        assert_eq!(merge.poll(Some(1000)), hour - LAG, "as nobody has told of the step");
        merge.restart(1000);
        assert_eq!(merge.watermark(), 1000 - LAG);
        merge.poll(Some(1000 + LAG));
        assert_eq!(drain(&mut merge), [(hour + 5, 0)]);
        assert!(merge.watermark() <= 1000 + LAG, "a stamp of before is no time now");
        clock.set(1700);
        merge.poll(Some(1700));
        assert_eq!(drain(&mut merge), [(1500, 0)]);
        assert_eq!(merge.counts().frames_late, 0);
    }

    #[test]
    fn files_are_merged_to_their_ends_and_equal_stamps_keep_the_order_of_files() {
        let mut merge = Merge::new();
        let first = merge.add(Script::file(0, &[5, 7, 7, 20]));
        merge.add(Script::file(1, &[1, 7, 8]));
        merge.add(Script::file(2, &[]));
        merge.poll(None);
        assert!(!merge.is_ended());
        let want = [(1, 1), (5, 0), (7, 0), (7, 0), (7, 1), (8, 1), (20, 0)];
        assert_eq!(drain(&mut merge), want);
        assert!(merge.is_ended());
        assert_eq!(merge.poll(None), 20, "the last frame's time stands");
        assert_eq!(merge.take_ended().map(|(id, _)| id), Some(first));
    }

    #[test]
    fn sources_come_and_go() {
        let clock = Rc::new(Cell::new(1000));
        let mut merge = Merge::new();
        let a = merge.add(Script::ring(0, &clock, &[(990, 0), (995, 0)]));
        let b = merge.add(Script::ring(1, &clock, &[]));
        merge.poll(Some(1000));
        assert_eq!(drain(&mut merge), []);
        assert!(merge.remove(b).is_some());
        assert!(merge.remove(b).is_none());
        assert_eq!(drain(&mut merge), [(990, 0), (995, 0)]);
        let c = merge.add(Script::ring(2, &clock, &[(999, 0), (1001, 0)]));
        assert_ne!(c, b);
        merge.close(c);
        merge.close(a);
        merge.poll(Some(1000));
        assert_eq!(drain(&mut merge), [(999, 2), (1001, 2)]);
        assert_eq!(merge.take_ended().map(|(id, _)| id), Some(a));
        assert_eq!(merge.take_ended().map(|(id, _)| id), Some(c));
        assert!(merge.take_ended().is_none());
        assert_eq!(merge.poll(Some(5000)), 4900, "without a source the clock still runs");
    }

    #[test]
    fn a_run_of_one_source_does_not_look_at_the_others() {
        let clock = Rc::new(Cell::new(1));
        let many: Vec<_> = (1..=1000).map(|n| (n, 0)).collect();
        let mut merge = Merge::new();
        merge.add(Script::ring(0, &clock, &many));
        merge.add(Script::ring(1, &clock, &[(2000, 0)]));
        merge.poll(Some(1));
        assert_eq!(drain(&mut merge).len(), 1000);
        let other = merge.sources().nth(1).map(|(_, script)| script.peeks);
        assert_eq!(other, Some(1), "when it was added");
    }

    /// Stamps in order, each seen after at most the lag; blocks are handed
    /// over in order, so what is stamped later is not seen earlier.
    fn script() -> impl Strategy<Value = Vec<(u64, u64)>> {
        prop::collection::vec((0u64..60, 0u64..LAG), 0..60).prop_map(|steps| {
            let (mut stamp, mut visible) = (0, 0);
            steps
                .into_iter()
                .map(|(gap, delay)| {
                    stamp += gap;
                    visible = (stamp + delay).max(visible);
                    (stamp, visible)
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn sorted_complete_and_never_late_while_rings_keep_their_promise(
            scripts in prop::collection::vec(script(), 1..5),
            ticks in prop::collection::vec((1u64..200, 0u64..20), 1..100),
        ) {
            let clock = Rc::new(Cell::new(0));
            let mut merge = Merge::new();
            for (link, script) in scripts.iter().enumerate() {
                merge.add(Script::ring(link as u8, &clock, script));
            }
            let mut got = Vec::new();
            let mut watermark = 0;
            // The clock runs on between its reading and the look at the rings.
            for (step, delay) in ticks.into_iter().chain([(20_000, 0), (20_000, 0)]) {
                let now = clock.get() + step;
                clock.set(now + delay);
                let reached = merge.poll(Some(now));
                prop_assert!(reached >= watermark);
                watermark = reached;
                for (stamp, link) in drain(&mut merge) {
                    prop_assert!(stamp >= watermark, "{stamp} came below the watermark {watermark}");
                    got.push((stamp, link));
                }
                watermark = merge.watermark();
                prop_assert!(got.is_sorted_by_key(|&(stamp, _)| stamp));
            }
            let mut want: Vec<_> = scripts
                .iter()
                .enumerate()
                .flat_map(|(link, script)| script.iter().map(move |&(stamp, _)| (stamp, link as u8)))
                .collect();
            want.sort_unstable();
            got.sort_unstable();
            prop_assert_eq!(got, want);
            prop_assert_eq!(merge.counts(), MergeCounts::default());
        }

        #[test]
        fn nothing_is_lost_whatever_the_stamps(
            scripts in prop::collection::vec(prop::collection::vec((0u64..5000, 0u64..5000), 0..40), 1..4),
            ticks in prop::collection::vec(1u64..300, 1..40),
        ) {
            let clock = Rc::new(Cell::new(0));
            let mut merge = Merge::new();
            for (link, script) in scripts.iter().enumerate() {
                let mut visible = 0;
                let script: Vec<_> = script.iter().map(|&(stamp, at)| {
                    visible = at.max(visible);
                    (stamp, visible)
                }).collect();
                merge.add(Script::ring(link as u8, &clock, &script));
            }
            let (mut got, mut late) = (0, 0);
            for step in ticks.into_iter().chain([20_000, 20_000]) {
                clock.set(clock.get() + step);
                merge.poll(Some(clock.get()));
                let mut watermark = merge.watermark();
                while let Some(frame) = merge.next_frame() {
                    got += 1;
                    late += u64::from(frame.time_ns < watermark);
                    watermark = watermark.max(frame.time_ns);
                }
            }
            prop_assert_eq!(got, scripts.iter().map(Vec::len).sum::<usize>());
            prop_assert_eq!(merge.counts().frames_late, late);
        }
    }
}
