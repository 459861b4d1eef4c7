//! The second witness: an interface's own counters beside what was measured.
//!
//! The counters are read at a moment of the clock, and the workers note their
//! totals when packet time passes that moment, which is always later, as the
//! watermark is behind the clock. So both figures are of the same span, to the
//! reading's own length.

use super::lost::Ledger;
use crate::capture::link::{CounterReader, Counters, Link, Root};
use crate::meter::totals::LaneTotals;
use crate::output::{Coverage, Coverages};

/// Moments whose totals have not come yet.
const WAITING: usize = 64;

/// Totals by lane where packet time passed a moment, as in a snapshot.
type Mark = (u64, Vec<LaneTotals>);

/// Counters of all interfaces.
pub(super) struct Meter {
    links: Vec<Option<Watched>>,
    readings: Vec<Reading>,
    /// Since when no filter is in force, ns since the epoch: from the beginning 0,
    /// `u64::MAX` while one is. No counter of an interface knows what one took.
    unfiltered_ns: u64,
    /// Since when one is in force or was, from the beginning 0; None without any so far.
    pub filtered_ns: Option<u64>,
    latest: Coverages,
    /// What was lost, read together with the counters.
    pub ledger: Ledger,
}

struct Watched {
    reader: CounterReader,
    name: String,
    physical: bool,
    loopback: bool,
    /// Counters and totals of the first and the previous comparison.
    first: Option<(u64, Counters, [LaneTotals; 2])>,
    previous: Option<(u64, Counters, [LaneTotals; 2])>,
    /// Of the first one since a filter was taken away.
    unfiltered: Option<(u64, Counters, [LaneTotals; 2])>,
}

impl Watched {
    fn read(&mut self) -> Option<Counters> {
        let mut counters = self.reader.read().ok()?;
        if self.loopback {
            // What is sent there comes in again and is counted once, as received.
            (counters.tx_packets, counters.tx_bytes) = (0, 0);
        }
        Some(counters)
    }
}

struct Reading {
    at_ns: u64,
    counters: Vec<Option<Counters>>,
}

impl Meter {
    pub fn new(filtered: bool, root: &Root) -> Meter {
        let ledger = Ledger::new(root);
        let unfiltered_ns = if filtered { u64::MAX } else { 0 };
        let filtered_ns = filtered.then_some(0);
        let (links, readings, latest) = Default::default();
        Meter { links, readings, unfiltered_ns, filtered_ns, latest, ledger }
    }

    /// A filter is in force from now on.
    pub fn filter(&mut self, now_ns: u64) {
        self.filtered_ns.get_or_insert(now_ns);
        self.unfiltered_ns = u64::MAX;
    }

    /// No filter is in force since a moment: spans that begin after it can be compared.
    pub fn unfilter(&mut self, since_ns: u64) {
        self.unfiltered_ns = since_ns;
    }

    /// An interface's counters; in the place of those of a device that is gone.
    pub fn add(&mut self, number: usize, reader: CounterReader, link: &Link) {
        while self.links.len() <= number {
            self.links.push(None);
        }
        // What was read of a device before is no beginning for this one.
        let read = self.readings.iter_mut().filter_map(|reading| reading.counters.get_mut(number));
        read.for_each(|counters| *counters = None);
        if let Some(latest) = self.latest.get_mut(number) {
            *latest = Default::default();
        }
        self.ledger.add(number, link.index);
        let (physical, loopback, name) = (link.physical, link.is_loopback(), link.name.clone());
        let [first, previous, unfiltered] = [None; 3];
        self.links[number] = Some(Watched { reader, name, physical, loopback, first, previous, unfiltered });
    }

    /// The device is called otherwise now.
    pub fn rename(&mut self, number: usize, name: &str) {
        if let Some(watched) = self.links.get_mut(number).and_then(Option::as_mut) {
            watched.name = name.to_owned();
        }
    }

    /// An interface that is there but not watched any more.
    pub fn remove(&mut self, number: usize) {
        if let Some(watched) = self.links.get_mut(number) {
            *watched = None;
        }
    }

    /// Reads all counters; the answer is the moment that workers have to note.
    pub fn read(&mut self, now_ns: impl Fn() -> u64) -> u64 {
        let (counters, at_ns) = self.read_losses(&now_ns);
        if self.readings.len() == WAITING {
            self.readings.remove(0);
        }
        self.readings.push(Reading { at_ns, counters });
        at_ns
    }

    /// Reads all counters for what was lost alone: the answer is what they say, and when they were whole.
    pub fn read_losses(&mut self, now_ns: impl Fn() -> u64) -> (Vec<Option<Counters>>, u64) {
        let from_ns = now_ns();
        let read = |watched: &mut Option<Watched>| watched.as_mut().and_then(Watched::read);
        let counters: Vec<Option<Counters>> = self.links.iter_mut().map(read).collect();
        let at_ns = now_ns();
        let named = self.links.iter().zip(&counters);
        let named: Vec<_> =
            named.map(|(watched, read)| Some((watched.as_ref()?.name.as_str(), (*read)?))).collect();
        self.ledger.read(from_ns, &named, now_ns);
        (counters, at_ns)
    }

    /// Coverage as of a snapshot (its marks, the number of its interfaces): of the span between its last reading and the
    /// last one of a snapshot before, and since the first of all. (On a busy
    /// machine two readings may fall into one interval, or none.)
    pub fn coverage(&mut self, marks: &[Mark], interfaces: usize) -> Coverages {
        let number = marks.len();
        for (at, (at_ns, lanes)) in marks.iter().enumerate() {
            let Some(place) = self.readings.iter().position(|reading| reading.at_ns == *at_ns) else {
                continue;
            };
            let reading = self.readings.remove(place);
            let last = at + 1 == number;
            let compared: Coverages =
                (0..self.links.len()).map(|link| self.compare(link, &reading, lanes, last)).collect();
            if last {
                self.latest = compared;
            }
        }
        self.latest.resize(interfaces.max(self.latest.len()), Default::default());
        self.latest.clone()
    }

    /// `last`: what comes next is compared with this reading.
    fn compare(&mut self, link: usize, reading: &Reading, lanes: &[LaneTotals], last: bool) -> [Coverage; 2] {
        let none = [Coverage::default(); 2];
        let unfiltered_ns = self.unfiltered_ns;
        let Some(watched) = self.links[link].as_mut() else { return none };
        let Some(counters) = reading.counters.get(link).copied().flatten() else { return none };
        let lane = |at: usize| lanes.get(at).copied().unwrap_or_default();
        let now = (reading.at_ns, counters, [lane(2 * link), lane(2 * link + 1)]);
        let unfiltered = watched.unfiltered.filter(|then| then.0 >= unfiltered_ns);
        let spans = [watched.previous, watched.first, unfiltered].map(|then| {
            let Some((then_ns, then_counters, then_lanes)) = then else { return Coverage::default() };
            let filtered = then_ns < unfiltered_ns;
            // A driver that was reset begins anew with the next reading.
            let Some(counted) = counters.since(&then_counters) else { return Coverage::default() };
            // Nothing is known of a span in which the clock was set back.
            let seconds = now.0.saturating_sub(then_ns) as f64 / 1e9;
            let rate = |bytes: u64| if seconds > 0.0 { (bytes as f64 * 8.0 / seconds) as u64 } else { 0 };
            let measured = [0, 1].map(|at| now.2[at].since(&then_lanes[at]));
            // A physical device counts wire packets, a virtual one buffers.
            let sum = match watched.physical {
                true => measured[0].count.packets + measured[1].count.packets,
                false => measured[0].frames + measured[1].frames,
            };
            // A virtual device counts a super-frame's headers once: by what we know
            // to be missing its bytes are made those of the wire.
            let missing = [0, 1].map(|at: usize| match watched.physical {
                true => 0,
                false => measured[at].count.bytes.saturating_sub(measured[at].frame_bytes),
            });
            let own = counted.rx_packets + counted.tx_packets;
            let ratio = (!filtered && own > 0).then(|| sum as f64 / own as f64);
            Coverage {
                ratio: ratio.or((!filtered && own == 0 && sum == 0).then_some(1.0)),
                nic_bits_per_second: filtered
                    .then(|| [rate(counted.rx_bytes + missing[0]), rate(counted.tx_bytes + missing[1])]),
                part: false,
            }
        });
        if last || watched.previous.is_none() {
            watched.previous = Some(now);
        }
        let first_ns = watched.first.get_or_insert(now).0;
        if unfiltered.is_none() && (first_ns + 1..=now.0).contains(&unfiltered_ns) {
            watched.unfiltered = Some(now);
        }
        let [interval, run, since] = spans;
        match (run.ratio, since.ratio) {
            (None, Some(_)) => [interval, Coverage { ratio: since.ratio, part: true, ..run }],
            _ => [interval, run],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::link::read_links;
    use std::fs;
    use std::path::Path;

    const FILES: &str = "rx_packets tx_packets rx_bytes tx_bytes rx_errors tx_errors rx_dropped tx_dropped \
        multicast rx_length_errors rx_over_errors rx_crc_errors rx_frame_errors rx_fifo_errors \
        rx_missed_errors tx_fifo_errors tx_carrier_errors";

    /// A device (by its ARPHRD number) that has sent and received so many frames.
    fn device(tree: &Path, hardware: u32, packets: u64) -> Link {
        let at = tree.join("sys/class/net/x0");
        fs::create_dir_all(at.join("statistics")).expect("a directory");
        fs::write(at.join("ifindex"), "2\n").expect("a file");
        fs::write(at.join("type"), format!("{hardware}\n")).expect("a file");
        for file in FILES.split(' ').filter(|file| !file.is_empty()) {
            fs::write(at.join("statistics").join(file), "0\n").expect("a file");
        }
        set(tree, packets);
        read_links(&Root::at(tree)).expect("a tree").remove(0)
    }

    /// 100 bytes each.
    fn set(tree: &Path, packets: u64) {
        let at = tree.join("sys/class/net/x0/statistics");
        for way in ["rx", "tx"] {
            fs::write(at.join(format!("{way}_packets")), packets.to_string()).expect("a file");
            fs::write(at.join(format!("{way}_bytes")), (100 * packets).to_string()).expect("a file");
        }
    }

    /// Totals of rx and tx, so many frames each.
    fn lanes(rx: u64, tx: u64) -> Vec<LaneTotals> {
        [rx, tx].map(|frames| LaneTotals { frames, ..LaneTotals::default() }).to_vec()
    }

    /// A reading while the counters stand so.
    fn read(meter: &mut Meter, tree: &Path, at_ns: u64, packets: u64) {
        set(tree, packets);
        assert_eq!(meter.read(|| at_ns), at_ns);
    }

    fn meter(tree: &Path, link: &Link, filtered: bool) -> Meter {
        let mut meter = Meter::new(filtered, &Root::at(tree));
        meter.add(0, CounterReader::open(&Root::at(tree), link).expect("counters"), link);
        meter
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_line_reaches_back_to_the_line_before() {
        let tree = tempfile::tempdir().expect("a directory");
        let link = device(tree.path(), 1, 7);
        let mut meter = meter(tree.path(), &link, true);
        read(&mut meter, tree.path(), SECOND, 7);
        assert_eq!(meter.coverage(&[(SECOND, lanes(0, 0))], 1)[0][0].nic_bits_per_second, None);
        // Both fall into the next interval; all was sent before the first.
        read(&mut meter, tree.path(), 2 * SECOND, 47);
        read(&mut meter, tree.path(), 3 * SECOND, 47);
        let two = [(2 * SECOND, lanes(40, 40)), (3 * SECOND, lanes(40, 40))];
        let rate = Some([40 * 800 / 2; 2]);
        assert_eq!(meter.coverage(&two, 1)[0].map(|one| one.nic_bits_per_second), [rate, rate]);
    }

    #[test]
    fn spans_without_a_filter_are_compared_whatever_was_before() {
        let tree = tempfile::tempdir().expect("a directory");
        let link = device(tree.path(), 1, 0);
        let mut meter = meter(tree.path(), &link, true);
        let mut counted = 0;
        let mut at = |meter: &mut Meter, second: u64, taken: u64| {
            counted += taken;
            read(meter, tree.path(), second * SECOND, 10 * second);
            let [interval, run] = meter.coverage(&[(second * SECOND, lanes(counted, counted))], 1)[0];
            assert!(!interval.part && run.nic_bits_per_second.is_some() == (second > 1));
            (interval.ratio, run.ratio, run.part)
        };
        let unknown = (None, None, false);
        assert_eq!(at(&mut meter, 1, 3), unknown);
        assert_eq!(at(&mut meter, 2, 3), unknown);
        meter.unfilter(2 * SECOND + 1);
        assert_eq!(at(&mut meter, 3, 10), unknown, "the span began with a filter, and the run");
        assert_eq!(at(&mut meter, 4, 10), (Some(1.0), Some(1.0), true));
        assert_eq!(at(&mut meter, 5, 5), (Some(0.5), Some(0.75), true));
        assert_eq!(meter.filtered_ns, Some(0), "the first one is remembered");
        meter.filter(5 * SECOND + 1);
        assert_eq!(meter.filtered_ns, Some(0));
        assert_eq!(at(&mut meter, 6, 10), unknown);
        meter.unfilter(6 * SECOND);
        assert_eq!(at(&mut meter, 7, 5), (Some(0.5), None, false));
        assert_eq!(at(&mut meter, 8, 10), (Some(1.0), Some(1.0), true));
    }

    #[test]
    fn a_clock_that_is_set_back_between_two_readings_leaves_no_rate() {
        let tree = tempfile::tempdir().expect("a directory");
        let link = device(tree.path(), 1, 0);
        let mut meter = meter(tree.path(), &link, true);
        let mut at = |second: u64, packets| {
            read(&mut meter, tree.path(), second * SECOND, packets);
            let mark = (second * SECOND, lanes(packets, packets));
            meter.coverage(&[mark], 1)[0][0].nic_bits_per_second
        };
        assert_eq!(at(5, 0), None, "the first");
        assert_eq!(at(6, 10), Some([8000; 2]));
        assert_eq!(at(3, 20), Some([0; 2]));
        assert_eq!(at(4, 30), Some([8000; 2]));
    }

    #[test]
    fn a_device_in_the_place_of_another_begins_anew() {
        let tree = tempfile::tempdir().expect("a directory");
        let link = device(tree.path(), 1, 1000);
        let mut meter = meter(tree.path(), &link, false);
        read(&mut meter, tree.path(), SECOND, 1000);
        meter.coverage(&[(SECOND, lanes(0, 0))], 1);
        // Read of the one that goes; its mark comes when the other is there.
        read(&mut meter, tree.path(), 2 * SECOND, 1010);
        let next = device(tree.path(), 1, 0);
        meter.add(0, CounterReader::open(&Root::at(tree.path()), &next).expect("counters"), &next);
        let ratios = |meter: &mut Meter, mark| meter.coverage(&[mark], 1)[0].map(|one| one.ratio);
        assert_eq!(ratios(&mut meter, (2 * SECOND, lanes(10, 10))), [None; 2]);
        read(&mut meter, tree.path(), 3 * SECOND, 5);
        assert_eq!(ratios(&mut meter, (3 * SECOND, lanes(15, 15))), [None; 2]);
        read(&mut meter, tree.path(), 4 * SECOND, 9);
        assert_eq!(ratios(&mut meter, (4 * SECOND, lanes(19, 18))), [Some(7.0 / 8.0); 2]);
    }

    #[test]
    fn loopback_is_compared_by_what_comes_in() {
        let tree = tempfile::tempdir().expect("a directory");
        // ARPHRD_LOOPBACK
        let link = device(tree.path(), 772, 0);
        assert!(link.is_loopback());
        let mut meter = meter(tree.path(), &link, false);
        for (at, packets) in [(1, 0), (2, 30)] {
            read(&mut meter, tree.path(), at, packets);
            let ratio = meter.coverage(&[(at, lanes(packets, 0))], 1)[0][1].ratio;
            assert_eq!(ratio, (at == 2).then_some(1.0));
        }
    }
}
