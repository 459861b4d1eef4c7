//! What was lost besides the rings, from readings to spans: by interval, since
//! the start, and around a burst.
//!
//! Sums since the first reading are kept, so a counter that begins anew (a
//! driver that was reset, a qdisc or a device that was made again) takes nothing
//! back. What was lost is told between two readings and never more sharply: an
//! interval's begin with the reading that the one before ended with, so that
//! intervals sum to the run; a burst's are the last reading before it and the
//! first one after it.
//!
//! Knows readings and moments; reads no clock, no packet.

use crate::capture::link::losses::{
    INGRESS, LinkSettings, LossReader, Losses, Qdisc, ROOT, SoftnetCpu, SoftnetGrowth,
};
use crate::capture::link::{Counters, Root};
use crate::output::lost::{self, Lost, Meanwhile, Nic, QdiscDrops, Qdiscs, Reading, RingLost, Softnet, Span};
use std::collections::{BTreeMap, VecDeque};

/// Readings that are kept; the first of all stays, so that every burst has one before it.
const KEPT: usize = 128;

/// Sums by time.
struct History<T> {
    all: VecDeque<(Span, T)>,
}

impl<T> History<T> {
    fn new() -> History<T> {
        History { all: VecDeque::new() }
    }

    fn push(&mut self, span: Span, sums: T) {
        // The clock was set back: times before are no longer comparable.
        if self.all.back().is_some_and(|(last, _)| span.from_ns < last.from_ns) {
            self.all.clear();
        }
        if self.all.len() >= KEPT {
            self.all.remove(1);
        }
        self.all.push_back((span, sums));
    }

    /// The last one that was whole before, the first one that began after; of those
    /// that had it.
    fn around(&self, wanted: &Wanted, had: impl Fn(&T) -> bool) -> Option<[&(Span, T); 2]> {
        let mut had = self.all.iter().filter(|(_, sums)| had(sums));
        let mut before = None;
        let after = had.find(|one| {
            if one.0.until_ns <= wanted.from_ns {
                before = Some(*one);
            }
            one.0.from_ns >= wanted.until_ns
        });
        Some([before?, after?])
    }
}

/// A link's readings, and what they sum to.
#[derive(Default)]
struct LinkSums {
    index: u32,
    /// The latest that could be read: what the next one is compared with.
    nic: Option<Counters>,
    qdiscs: Option<Vec<Qdisc>>,
    ahead: Ahead,
    sums: Lost,
    settings: lost::LinkSettings,
}

/// A reading: sums so far, and of which links this one had the counters and the qdiscs.
/// Of the others the sums are those of an earlier one.
struct Sums {
    sums: Reading,
    had: Vec<[bool; 2]>,
}

impl Sums {
    fn had(&self, link: usize) -> [bool; 2] {
        self.had.get(link).copied().unwrap_or_default()
    }
}

/// Without what was not read.
fn only(lost: &mut Lost, [nic, qdisc]: [bool; 2]) {
    lost.nic = lost.nic.filter(|_| nic);
    lost.qdisc = lost.qdisc.take().filter(|_| qdisc);
}

/// A time on one interface that somebody wants to know of.
pub(super) struct Wanted {
    pub link: usize,
    pub from_ns: u64,
    pub until_ns: u64,
}

/// See the module's description.
pub(super) struct Ledger {
    reader: LossReader,
    links: Vec<LinkSums>,
    cpus: Option<Vec<SoftnetCpu>>,
    softnet: Option<Softnet>,
    machine: lost::MachineSettings,
    readings: History<Sums>,
    rings: History<Vec<RingLost>>,
    /// What the last snapshot was told.
    told: Option<Reading>,
    /// When the first reading began.
    began_ns: Option<u64>,
}

impl Ledger {
    pub fn new(root: &Root) -> Ledger {
        Ledger {
            reader: LossReader::open(root),
            links: Vec::new(),
            cpus: None,
            softnet: None,
            machine: lost::MachineSettings::default(),
            readings: History::new(),
            rings: History::new(),
            told: None,
            began_ns: None,
        }
    }

    /// An interface's device; in the place of one that is gone. Sums go on.
    pub fn add(&mut self, link: usize, index: u32) {
        while self.links.len() <= link {
            self.links.push(LinkSums::default());
        }
        if let Some(place) = self.links.get_mut(link) {
            (place.index, place.nic, place.qdiscs) = (index, None, None);
        }
    }

    /// Reads all; `counters` are the interfaces' own, with their names, read after `from_ns`.
    pub fn read(&mut self, from_ns: u64, counters: &[Option<(&str, Counters)>], now_ns: impl Fn() -> u64) {
        let Losses { mut qdiscs, removed, softnet } = self.reader.read();
        let span = Span { from_ns, until_ns: now_ns() };
        self.take_softnet(softnet);
        let mut links = Vec::with_capacity(self.links.len());
        let mut had = Vec::with_capacity(self.links.len());
        for (number, link) in self.links.iter_mut().enumerate() {
            let told = counters.get(number).copied().flatten();
            let (name, nic) = told.map_or((None, None), |(name, nic)| (Some(name), Some(nic)));
            let own = qdiscs.as_mut().map(|all| all.remove(&link.index).unwrap_or_default());
            // Of a device that is gone nothing is known, not that it has no qdiscs.
            let own = own.filter(|_| nic.is_some());
            had.push([nic.is_some(), own.is_some()]);
            let index = link.index;
            let gone = removed.iter().filter(|(of, _)| *of == index);
            let lost = gone.fold(false, |lost, (_, gone)| link.lose(gone) || lost);
            let lost = link.take(nic, own) || lost;
            if let Some(name) = name.filter(|_| lost) {
                link.settings = settings_of(&self.reader.link_settings(name, link.index));
            }
            links.push(link.sums.clone());
        }
        self.began_ns = Some(self.began_ns.map_or(from_ns, |began| began.min(from_ns)));
        if let Some(told) = self.told.as_mut().filter(|told| told.span.from_ns >= from_ns) {
            // The clock was set back: what was told before is over.
            told.span.from_ns = from_ns.saturating_sub(1);
        }
        let sums = Reading { span, links, softnet: self.softnet };
        self.readings.push(span, Sums { sums, had });
    }

    fn take_softnet(&mut self, cpus: Option<Vec<SoftnetCpu>>) {
        let Some(cpus) = cpus else { return };
        // The first reading is the begin.
        let grown = SoftnetGrowth::between(self.cpus.as_ref().unwrap_or(&cpus), &cpus);
        self.cpus = Some(cpus);
        let Some(grown) = grown else { return };
        if grown.dropped > 0 || grown.time_squeeze > 0 {
            let now = self.reader.machine_settings();
            self.machine = lost::MachineSettings {
                max_backlog: now.max_backlog,
                budget: now.budget,
                budget_usecs: now.budget_usecs,
            };
        }
        let sums = self.softnet.unwrap_or_default();
        let limited = grown.flow_limit.map(|grown| grown.saturating_add(sums.flow_limit.unwrap_or(0)));
        self.softnet = Some(Softnet {
            dropped: sums.dropped.saturating_add(grown.dropped),
            time_squeeze: sums.time_squeeze.saturating_add(grown.time_squeeze),
            flow_limit: limited,
        });
    }

    /// Whether a burst has to wait for a reading, or an interval that ends here.
    pub fn lacks(&self, until_ns: u64) -> bool {
        self.readings.all.back().is_none_or(|(span, _)| span.from_ns < until_ns)
    }

    /// What the rings had lost where all workers had cut (`cut_ns`); read some time
    /// before `until_ns`.
    pub fn note_rings(&mut self, cut_ns: u64, until_ns: u64, links: Vec<RingLost>) {
        self.rings.push(Span { from_ns: cut_ns, until_ns: until_ns.max(cut_ns) }, links);
    }

    /// For a snapshot: of the interval that ends at `time_ns`, since the start, and around
    /// each of these bursts.
    pub fn losses(&mut self, time_ns: u64, bursts: &[Wanted]) -> lost::Losses {
        let after_told = |span: &Span| self.told.as_ref().is_none_or(|told| span.from_ns > told.span.from_ns);
        let mut unused = self.readings.all.iter().filter(|(span, _)| after_told(span));
        let latest = self.readings.all.back().filter(|(span, _)| after_told(span));
        let ends = unused.find(|(span, _)| span.from_ns >= time_ns).or(latest).map(|(_, ends)| ends);
        let first = self.readings.all.front().map(|(_, first)| &first.sums);
        let interval = ends.zip(self.told.as_ref().or(first)).map(|(ends, before)| {
            let mut between = ends.sums.since(before);
            between.links.iter_mut().enumerate().for_each(|(link, lost)| only(lost, ends.had(link)));
            between
        });
        let ends = ends.map(|ends| ends.sums.clone());
        let run = ends.clone().or_else(|| self.told.clone()).map(|sums| {
            let from_ns = self.began_ns.unwrap_or(sums.span.from_ns);
            Reading { span: Span { from_ns, ..sums.span }, ..sums }
        });
        if ends.is_some() {
            self.told = ends;
        }
        lost::Losses {
            interval,
            run,
            bursts: bursts.iter().map(|burst| self.meanwhile(burst)).collect(),
            links: self.links.iter().map(|link| link.settings).collect(),
            machine: self.machine,
        }
    }

    fn meanwhile(&self, burst: &Wanted) -> Meanwhile {
        let around = self.readings.around(burst, |sums| sums.had(burst.link)[0]);
        let lost = around.and_then(|[(_, before), (_, after)]| {
            let mut between = after.sums.since(&before.sums);
            let mut lost = between.links.get_mut(burst.link).map(std::mem::take)?;
            only(&mut lost, [true, before.had(burst.link)[1] && after.had(burst.link)[1]]);
            Some((between.span, lost, between.softnet))
        });
        let ring = self.rings.around(burst, |links| links.len() > burst.link).and_then(|[before, after]| {
            let (now, then) = (after.1.get(burst.link)?, before.1.get(burst.link)?);
            let lost = RingLost {
                kernel_drops: now.kernel_drops.saturating_sub(then.kernel_drops),
                freezes: now.freezes.saturating_sub(then.freezes),
            };
            Some((Span { from_ns: before.0.from_ns, until_ns: after.0.until_ns }, lost))
        });
        Meanwhile { lost, ring }
    }
}

impl LinkSums {
    /// A qdisc was removed, with these last counters; whether it dropped since the reading before.
    fn lose(&mut self, gone: &Qdisc) -> bool {
        // Before the first reading it is nobody's.
        let Some(before) = &mut self.qdiscs else { return false };
        let sums = self.sums.qdisc.get_or_insert_default();
        let dropped = self.ahead.add(sums, gone, before, &[]);
        self.ahead.lose(gone, before);
        before.retain(|one| !one.is(gone));
        dropped
    }

    /// Adds what came since the reading before; whether anything was lost.
    fn take(&mut self, nic: Option<Counters>, qdiscs: Option<Vec<Qdisc>>) -> bool {
        let mut lost = Nic::default();
        if let Some(now) = &nic {
            // A driver that was reset begins anew with this reading.
            lost = self
                .nic
                .and_then(|before| now.since(&before))
                .map(|grown| nic_of(&grown))
                .unwrap_or_default();
            self.sums.nic = Some(self.sums.nic.unwrap_or_default().plus(&lost));
        }
        let mut dropped = false;
        if let Some(now) = &qdiscs {
            let sums = self.sums.qdisc.get_or_insert_default();
            (sums.backlog_packets, sums.backlog_bytes) = (0, 0);
            // The first reading is the begin.
            let before = self.qdiscs.as_ref().unwrap_or_else(|| {
                self.ahead = Ahead::at(now);
                now
            });
            for qdisc in now {
                dropped |= self.ahead.add(sums, qdisc, before, now);
            }
        }
        // What could not be read is compared with the latest that could be.
        self.nic = nic.or(self.nic);
        self.qdiscs = qdiscs.or(self.qdiscs.take());
        dropped || lost != Nic::default()
    }
}

/// Drops of inner qdiscs that are not yet in the reading of the one around them, by that
/// one's number. A reading is not of one moment: the kernel writes the root first
/// (net/sched/sch_api.c, `tc_dump_qdisc_root`), and what an inner one drops after that is
/// in the root's next reading, where it is no drop of the root's own.
#[derive(Default)]
struct Ahead(BTreeMap<u32, u64>);

impl Ahead {
    /// By a first reading.
    fn at(now: &[Qdisc]) -> Ahead {
        let ahead = now.iter().filter_map(|outer| {
            let inner = now.iter().filter(|inner| outer.holds(inner)).map(|inner| u64::from(inner.drops));
            let ahead = inner.sum::<u64>().saturating_sub(outer.drops.into());
            (ahead > 0).then_some((outer.number()?, ahead))
        });
        Ahead(ahead.collect())
    }

    /// A qdisc was removed and told; the one that it stood in goes on counting.
    fn lose(&mut self, gone: &Qdisc, before: &[Qdisc]) {
        if let Some(number) = gone.number() {
            self.0.remove(&number);
        }
        if let Some(around) = gone.around() {
            let ahead = self.0.entry(around).or_default();
            *ahead = ahead.saturating_add(gone.since(before).drops);
        }
    }

    /// Adds what one of `all` did since; whether it dropped.
    fn add(&mut self, sums: &mut Qdiscs, qdisc: &Qdisc, before: &[Qdisc], all: &[Qdisc]) -> bool {
        let grown = qdisc.since(before);
        if qdisc.parent == ROOT {
            sums.drops = sums.drops.saturating_add(grown.drops);
            sums.overlimits = sums.overlimits.saturating_add(grown.overlimits);
            sums.requeues = sums.requeues.saturating_add(grown.requeues);
            sums.backlog_packets = u64::from(qdisc.backlog_packets);
            sums.backlog_bytes = u64::from(qdisc.backlog_bytes);
        }
        // What those inside it dropped is theirs.
        let inner = all.iter().filter(|inner| qdisc.holds(inner)).map(|inner| inner.since(before).drops);
        let mut theirs: u64 = inner.sum();
        if let Some(number) = qdisc.number() {
            theirs = theirs.saturating_add(self.0.remove(&number).unwrap_or(0));
            if theirs > grown.drops {
                self.0.insert(number, theirs - grown.drops);
            }
        }
        let own = grown.drops.saturating_sub(theirs);
        if own > 0 {
            tell(sums, qdisc, own);
        }
        grown.drops > 0
    }
}

/// Adds what a qdisc dropped itself to its sum.
fn tell(sums: &mut Qdiscs, qdisc: &Qdisc, drops: u64) {
    let parent = match qdisc.parent {
        ROOT => "root".to_owned(),
        INGRESS => "ingress".to_owned(),
        parent => format!("{:x}:{:x}", parent >> 16, parent & 0xffff),
    };
    let kind = qdisc.kind.clone();
    let handle = format!("{:x}:", qdisc.handle >> 16);
    let mut one = QdiscDrops { kind, handle, parent, drops, limit: qdisc.limit };
    match sums.dropped_by.iter_mut().find(|other| other.is(&one)) {
        Some(sum) => {
            one.drops = one.drops.saturating_add(sum.drops);
            *sum = one;
        }
        None => sums.dropped_by.push(one),
    }
}

fn nic_of(counters: &Counters) -> Nic {
    Nic {
        rx_missed_errors: counters.rx_missed_errors,
        rx_fifo_errors: counters.rx_fifo_errors,
        rx_over_errors: counters.rx_over_errors,
        rx_dropped: counters.rx_dropped,
        rx_errors: counters.rx_errors,
        rx_crc_errors: counters.rx_crc_errors,
        tx_dropped: counters.tx_dropped,
        tx_errors: counters.tx_errors,
        tx_fifo_errors: counters.tx_fifo_errors,
        tx_carrier_errors: counters.tx_carrier_errors,
    }
}

fn settings_of(settings: &LinkSettings) -> lost::LinkSettings {
    lost::LinkSettings { rx_ring: settings.rx_ring, tx_queue: settings.tx_queue }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(&Root::at("/nonexistent"));
        ledger.add(0, 2);
        ledger
    }

    fn missed(count: u64) -> Counters {
        Counters { rx_missed_errors: count, rx_packets: 10 * count, ..Counters::default() }
    }

    /// A reading that took from one moment to the other.
    fn read(ledger: &mut Ledger, [from_ms, until_ms]: [u64; 2], counters: Option<Counters>) {
        ledger.read(from_ms * MS, &[counters.map(|counters| ("eth0", counters))], || until_ms * MS);
    }

    fn told(losses: &lost::Losses) -> [Option<(Span, Option<u64>)>; 2] {
        [0, 1].map(|which| {
            losses.of(0, which).map(|(span, lost)| (span, lost.nic.map(|nic| nic.rx_missed_errors)))
        })
    }

    fn span(from_ms: u64, until_ms: u64) -> Span {
        Span { from_ns: from_ms * MS, until_ns: until_ms * MS }
    }

    #[test]
    fn intervals_sum_to_the_run_whatever_becomes_of_device_and_clock() {
        let mut ledger = ledger();
        assert_eq!(told(&ledger.losses(1000 * MS, &[])), [None; 2]);
        read(&mut ledger, [100, 101], Some(missed(500)));
        read(&mut ledger, [1000, 1001], Some(missed(507)));
        read(&mut ledger, [2000, 2002], Some(missed(517)));
        // The reading that belongs to the interval's end is taken, not the latest one.
        let first = [Some((span(100, 1001), Some(7))); 2];
        assert_eq!(told(&ledger.losses(1000 * MS, &[])), first);
        let second = told(&ledger.losses(2000 * MS, &[]));
        assert_eq!(second, [Some((span(1000, 2002), Some(10))), Some((span(100, 2002), Some(17)))]);
        // None came since: nothing is told twice.
        assert_eq!(told(&ledger.losses(2000 * MS, &[])), [None, second[1]]);
        // The device is gone, then made again under its name, and its counters with it.
        read(&mut ledger, [3000, 3001], None);
        let gone = told(&ledger.losses(3000 * MS, &[]));
        assert_eq!(gone, [Some((span(2000, 3001), None)), Some((span(100, 3001), Some(17)))]);
        ledger.add(0, 3);
        read(&mut ledger, [4000, 4001], Some(missed(1)));
        read(&mut ledger, [5000, 5001], Some(missed(4)));
        let anew = told(&ledger.losses(5000 * MS, &[]));
        assert_eq!(anew, [Some((span(3000, 5001), Some(3))), Some((span(100, 5001), Some(20)))]);
        // The driver is reset, then the clock set back.
        read(&mut ledger, [6000, 6001], Some(missed(0)));
        read(&mut ledger, [2500, 2501], Some(missed(2)));
        let back = told(&ledger.losses(2500 * MS, &[]));
        assert_eq!(back.map(|one| one.and_then(|(_, missed)| missed)), [Some(2), Some(22)]);
        read(&mut ledger, [2600, 2601], Some(missed(5)));
        assert_eq!(told(&ledger.losses(2600 * MS, &[]))[0], Some((span(2500, 2601), Some(3))));
    }

    /// mq and a tbf for each of two queues, with so many drops each.
    fn queues(drops: [u32; 3]) -> Vec<Qdisc> {
        let places = [("mq", ROOT, 0x1_0000), ("tbf", 0x1_0001, 0x11_0000), ("tbf", 0x1_0002, 0x12_0000)];
        let all = places.iter().zip(drops).map(|(&(kind, parent, handle), drops)| Qdisc {
            parent,
            handle,
            kind: kind.into(),
            drops,
            ..Qdisc::default()
        });
        all.collect()
    }

    fn dropped_by(link: &LinkSums) -> Vec<(&str, u64)> {
        let told = link.sums.qdisc.iter().flat_map(|sums| &sums.dropped_by);
        told.map(|one| (one.handle.as_str(), one.drops)).collect()
    }

    #[test]
    fn what_inner_qdiscs_dropped_while_they_were_read_is_not_the_roots_own() {
        let mut link = LinkSums::default();
        // The root was read some drops before the others, each time.
        for drops in [[10, 6, 5], [30, 20, 11], [31, 20, 14], [40, 25, 15]] {
            link.take(None, Some(queues(drops)));
        }
        assert_eq!(dropped_by(&link), [("11:", 19), ("12:", 10)]);
        // One goes with what it had dropped; the root has that in its next reading.
        link.lose(&queues([0, 27, 0])[1]);
        link.take(None, Some(queues([42, 0, 15]).into_iter().filter(|one| one.drops > 0).collect()));
        assert_eq!(dropped_by(&link), [("11:", 21), ("12:", 10)]);
        // What nobody inside dropped is the root's.
        link.take(None, Some(queues([45, 0, 16]).into_iter().filter(|one| one.drops > 0).collect()));
        assert_eq!(dropped_by(&link), [("11:", 21), ("12:", 11), ("1:", 2)]);
        assert_eq!(link.sums.qdisc.as_ref().map(|sums| sums.drops), Some(35));
    }

    #[test]
    fn a_reading_that_failed_loses_nothing() {
        let mut ledger = ledger();
        read(&mut ledger, [0, 1], Some(missed(0)));
        read(&mut ledger, [10, 11], None);
        assert_eq!(told(&ledger.losses(10 * MS, &[]))[0], Some((span(0, 11), None)));
        read(&mut ledger, [20, 21], Some(missed(9)));
        let burst = Wanted { link: 0, from_ns: 12 * MS, until_ns: 15 * MS };
        let losses = ledger.losses(20 * MS, &[burst]);
        assert_eq!(told(&losses)[1], Some((span(0, 21), Some(9))));
        // The failed one says nothing of the burst; the one before it does.
        let around =
            losses.bursts[0].lost.clone().map(|(span, lost, _)| (span, lost.nic.unwrap().rx_missed_errors));
        assert_eq!(around, Some((span(0, 21), 9)));
    }

    #[test]
    fn rings_are_told_between_cuts() {
        let mut ledger = ledger();
        let lost = |kernel_drops| vec![RingLost { kernel_drops, freezes: 1 }];
        ledger.note_rings(0, 0, lost(0));
        ledger.note_rings(1000 * MS, 1200 * MS, lost(5));
        ledger.note_rings(2000 * MS, 2200 * MS, lost(9));
        let burst = |from_ms, until_ms| Wanted { link: 0, from_ns: from_ms * MS, until_ns: until_ms * MS };
        // The cut at 1 s may have been read as late as 1.2 s, when the second burst went on.
        let bursts = [burst(900, 990), burst(1100, 1150), burst(1300, 1310), burst(1990, 2010)];
        let told = ledger.losses(0, &bursts).bursts;
        let told: Vec<_> =
            told.iter().map(|one| one.ring.map(|(span, ring)| (span, ring.kernel_drops))).collect();
        let expected =
            [Some((span(0, 1200), 5)), Some((span(0, 2200), 9)), Some((span(1000, 2200), 4)), None];
        assert_eq!(told, expected);
    }

    proptest! {
        /// What is told around a burst is what was lost in the span that is told, which has
        /// the whole burst in it; and of intervals nothing is left out.
        #[test]
        fn spans_are_true(
            steps in prop::collection::vec((1..50_u64, 0..5_u64, 0..100_u64), 1..200),
            from in 0..5000_u64,
            length in 1..200_u64,
        ) {
            let mut ledger = ledger();
            let (mut now, mut count) = (0, 0);
            let mut counted = Vec::new();
            let mut sum = 0;
            for (pause, takes, more) in steps {
                now += pause;
                count += more;
                let reading = span(now, now + takes);
                read(&mut ledger, [now, now + takes], Some(missed(count)));
                counted.push((reading, count));
                now += takes;
                if let Some((_, Some(lost))) = told(&ledger.losses(now * MS, &[]))[0] {
                    sum += lost;
                }
            }
            prop_assert_eq!(sum, count - counted[0].1);
            let burst = Wanted { link: 0, from_ns: from * MS, until_ns: (from + length) * MS };
            let (from_ns, until_ns) = (burst.from_ns, burst.until_ns);
            let around = ledger.losses(0, &[burst]).bursts.remove(0).lost;
            let possible = counted[0].0.until_ns <= from_ns
                && counted.iter().any(|(reading, _)| reading.from_ns >= until_ns);
            prop_assert_eq!(around.is_some(), possible);
            if let Some((span, lost, _)) = around {
                let before = counted.iter().find(|(reading, _)| reading.from_ns == span.from_ns).unwrap();
                let after = counted.iter().rfind(|(reading, _)| reading.until_ns == span.until_ns).unwrap();
                prop_assert!(before.0.until_ns <= from_ns && until_ns <= after.0.from_ns);
                prop_assert_eq!(lost.nic.unwrap().rx_missed_errors, after.1 - before.1);
            }
        }
    }
}
