//! Milliseconds of each lane: what of packets began in them.
//!
//! A worker has the bins since its last hand-over, one window a lane, and hands
//! over those that have ended with every cut and at every whole second. They
//! cost nothing a packet: when time comes to another millisecond, what the
//! totals gained is that of the one before.
//!
//! A single frame counts in the millisecond of its stamp. Of a super-frame each
//! segment counts in the millisecond in which its first bit would be on the
//! line: k segments' line bits after the stamp, at the link's speed. Where no
//! speed is known it is not spread.
//!
//! A stamp before the window (time that went backwards in a file) counts in
//! the window's first bin: the bins of a run sum up to its totals always.
//!
//! Knows lanes and speeds, no flows. Source: IEEE 802.3 (24 bytes of FCS,
//! preamble and gap beside each frame of at least 60).

use super::totals::LaneTotals;
use crate::capture::sys::memory::{LargeVec, Reading};
use crate::capture::{LINKS_MAX, Lane, LinkId};
use crate::decode::Packet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Length of a bin.
pub const BIN_NS: u64 = 1_000_000;
/// Bins of a lane that a worker holds: a second between two hand-overs, and
/// what super-frames reach into the next.
const WINDOW: usize = 2048;
/// Milliseconds that a super-frame may reach ahead: at 1 Mbit/s as long as 64 KiB last.
const REACH: usize = 1023;
/// Lanes that there can be.
const LANES: usize = 2 * LINKS_MAX;

/// What began in one millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    /// Bytes on the line: padding, FCS, preamble and gap included.
    pub line_bytes: u32,
    /// Layer-2 bytes.
    pub bytes: u32,
    /// Wire packets.
    pub packets: u32,
}

impl Bin {
    fn of(sums: &[u64; 3]) -> Bin {
        let [line_bytes, bytes, packets] = sums.map(|sum| u32::try_from(sum).unwrap_or(u32::MAX));
        Bin { line_bytes, bytes, packets }
    }

    /// Bits on the line.
    pub fn line_bits(&self) -> u64 {
        u64::from(self.line_bytes) * 8
    }

    /// Adds what another worker counted of the same millisecond.
    pub fn add(&mut self, other: &Bin) {
        self.line_bytes = self.line_bytes.saturating_add(other.line_bytes);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.packets = self.packets.saturating_add(other.packets);
    }
}

/// Speeds of the links, bits per second; 0 is unknown. Written where links come
/// and change, read for super-frames only.
#[derive(Debug)]
pub struct Speeds([AtomicU64; LINKS_MAX]);

impl Default for Speeds {
    fn default() -> Speeds {
        Speeds([const { AtomicU64::new(0) }; LINKS_MAX])
    }
}

impl Speeds {
    /// The speed of a link, if it is known.
    pub fn of(&self, link: LinkId) -> Option<u64> {
        let speed = self.0.get(link as usize)?.load(Ordering::Relaxed);
        (speed > 0).then_some(speed)
    }

    /// Sets it.
    pub fn set(&self, link: LinkId, bits_per_second: Option<u64>) {
        if let Some(place) = self.0.get(link as usize) {
            place.store(bits_per_second.unwrap_or(0), Ordering::Relaxed);
        }
    }
}

/// Bins of one lane that have ended, from the first one on that is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneBins {
    /// Whose.
    pub lane: Lane,
    /// Millisecond since the epoch of the first.
    pub first_ms: u64,
    /// One a millisecond.
    pub bins: Vec<Bin>,
}

/// Bins of one worker.
pub struct Bins {
    /// Windows of [`WINDOW`] bins, one a lane: line bytes, bytes, packets.
    windows: LargeVec<[u64; 3]>,
    /// Lanes that have any.
    used: [bool; LANES],
    /// What of the totals stands in a bin already.
    settled: Box<[[u64; 3]; LANES]>,
    /// One behind the last bin in use of any lane.
    end: usize,
    /// Millisecond of the windows' first bin; None before the first packet.
    base_ms: Option<u64>,
    /// Where the bin in force begins, ns; at first nowhere.
    begins_ns: u64,
    /// Which it is, and the lower bits of its millisecond.
    current: usize,
    current_ms: u32,
    /// Most milliseconds that a super-frame reached ahead.
    reached_ms: u64,
    speeds: Arc<Speeds>,
}

/// A begin that no time is in the millisecond of.
const NOWHERE: u64 = u64::MAX - BIN_NS;

impl Default for Bins {
    fn default() -> Bins {
        Bins::new(Arc::default())
    }
}

/// A part of a super-frame that begins in one millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its millisecond, as [`Bins::count`] tells it.
    pub ms: u32,
    /// Layer-2 bytes.
    pub bytes: u32,
    /// Segments.
    pub packets: u32,
}

impl Bins {
    /// Empty ones.
    pub fn new(speeds: Arc<Speeds>) -> Bins {
        Bins {
            windows: LargeVec::zeroed(LANES * WINDOW, Reading::InOrder),
            used: [false; LANES],
            settled: Box::new([[0; 3]; LANES]),
            end: 0,
            base_ms: None,
            begins_ns: NOWHERE,
            current: 0,
            current_ms: 0,
            reached_ms: 0,
            speeds,
        }
    }

    /// Time has come to that of a packet, which is counted next: the millisecond
    /// that it counts in, lower 32 bits of those since the epoch. `lanes` are the
    /// totals, of which the first `lanes_end` are in use.
    #[inline]
    pub fn turn_to(&mut self, time_ns: u64, lanes: &[LaneTotals], lanes_end: usize) -> u32 {
        if time_ns.wrapping_sub(self.begins_ns) >= BIN_NS {
            self.settle(lanes, lanes_end);
            self.move_to(time_ns);
        }
        self.current_ms
    }

    /// What the totals gained since the last time belongs to the bin in force.
    pub fn settle(&mut self, lanes: &[LaneTotals], lanes_end: usize) {
        let windows = self.windows.chunks_exact_mut(WINDOW);
        let known = self.settled.iter_mut().zip(&mut self.used).zip(windows);
        for (lane, ((settled, used), window)) in lanes.iter().zip(known).take(lanes_end) {
            let now = [lane.line_bytes, lane.count.bytes, lane.count.packets];
            if now[2] != settled[2]
                && let Some(bin) = window.get_mut(self.current)
            {
                for ((sum, now), before) in bin.iter_mut().zip(now).zip(&mut *settled) {
                    *sum += now - *before;
                    *before = now;
                }
                *used = true;
            }
        }
    }

    fn add(&mut self, lane: Lane, at: usize, counts: [u32; 3]) {
        let lane = lane.index();
        let places = (self.windows.get_mut(lane * WINDOW + at), self.settled.get_mut(lane));
        let (Some(bin), Some(settled), Some(used)) = (places.0, places.1, self.used.get_mut(lane)) else {
            return;
        };
        for ((sum, settled), count) in bin.iter_mut().zip(settled).zip(counts) {
            *sum += u64::from(count);
            // Not once more when the bin in force is settled.
            *settled += u64::from(count);
        }
        *used = true;
    }

    /// The bin of this time; in the window whatever the time is.
    #[inline(never)]
    fn move_to(&mut self, time_ns: u64) {
        let ms = time_ns / BIN_NS;
        let base_ms = *self.base_ms.get_or_insert(ms);
        self.begins_ns = ms * BIN_NS;
        let last = (WINDOW - 1 - REACH) as u64;
        self.current = ms.saturating_sub(base_ms).min(last) as usize;
        self.current_ms = (base_ms as u32).wrapping_add(self.current as u32);
        self.end = self.end.max(self.current + 1);
    }

    /// Spreads a super-frame that the totals have just counted: `part` is told of
    /// each millisecond that some of its segments begin in.
    #[inline(never)]
    pub fn spread(&mut self, packet: &Packet, mut part: impl FnMut(Part)) {
        let within_ns = packet.time_ns % BIN_NS;
        let full = Segment::full(packet);
        // Line time of a full segment, in 2^-16 ns, so that none is lost to rounding.
        let speed = self.speeds.of(packet.lane.link());
        let each = speed.map_or(0, |speed| {
            let line_bits = u128::from(full.line_bytes) * 8;
            (line_bits * 1_000_000_000 * 65_536 / u128::from(speed)).min(u128::from(u64::MAX)) as u64
        });
        let (mut next, mut left) = (0u32, Left::of(packet));
        while next < packet.segments {
            let ahead_ns = ((u128::from(each) * u128::from(next)) >> 16) as u64;
            let ms = (within_ns.saturating_add(ahead_ns) / BIN_NS).min(REACH as u64);
            // All that begin in the same millisecond together.
            let ends = u128::from((ms + 1) * BIN_NS - within_ns) << 16;
            let behind = match each {
                0 => packet.segments,
                _ if ms == REACH as u64 => packet.segments,
                each => ends.div_ceil(u128::from(each)).min(u128::from(packet.segments)) as u32,
            };
            let counts = left.take(behind - next, behind == packet.segments, &full);
            if ms > 0 {
                let at = self.current + ms as usize;
                self.reached_ms = self.reached_ms.max(ms);
                self.end = self.end.max(at + 1);
                self.add(packet.lane, at, counts);
            }
            let ms = self.current_ms.wrapping_add(ms as u32);
            part(Part { ms, bytes: counts[1], packets: counts[2] });
            next = behind;
        }
    }

    /// Most milliseconds that a super-frame reached ahead of its stamp.
    pub fn reached_ms(&self) -> u64 {
        self.reached_ms
    }

    /// Time has come to `until_ms`, and all is settled: bins before it, of lanes
    /// that have any, in the order of lanes. The window begins there; with the
    /// clock set back too.
    pub fn hand_over(&mut self, until_ms: u64) -> Vec<LaneBins> {
        let base_ms = self.base_ms.unwrap_or(until_ms);
        let ended = match until_ms.checked_sub(base_ms) {
            Some(gone) => gone.min(self.end as u64) as usize,
            None => self.end,
        };
        let mut told = Vec::new();
        let lanes = self.used.iter_mut().enumerate().filter(|(_, used)| **used);
        for (number, used) in lanes {
            let Some(window) = self.windows.get_mut(number * WINDOW..(number + 1) * WINDOW) else { continue };
            let (over, rest) = window[..self.end].split_at(ended);
            let first = over.iter().position(|bin| bin[2] > 0);
            if let Some(first) = first {
                let last = over.iter().rposition(|bin| bin[2] > 0).unwrap_or(first);
                let bins = over[first..=last].iter().map(Bin::of).collect();
                told.push(LaneBins { lane: Lane(number as u8), first_ms: base_ms + first as u64, bins });
            }
            // What reaches beyond stays.
            *used = rest.iter().any(|bin| bin[2] > 0);
            window.copy_within(ended..self.end, 0);
            window[self.end - ended..self.end].fill([0; 3]);
        }
        self.end -= ended;
        self.base_ms = Some(until_ms);
        // The next packet looks where it stands.
        self.begins_ns = NOWHERE;
        told
    }
}

/// A full segment of a super-frame.
struct Segment {
    line_bytes: u32,
    bytes: u32,
}

impl Segment {
    fn full(packet: &Packet) -> Segment {
        let bytes = u32::from(packet.header_bytes) + u32::from(packet.gso_size);
        Segment { line_bytes: bytes.max(60) + 24, bytes }
    }
}

/// What of a super-frame has not been counted yet: the last part takes it all,
/// so that parts sum up to the packet.
struct Left([u32; 3]);

impl Left {
    fn of(packet: &Packet) -> Left {
        Left([packet.line_bytes, packet.bytes, packet.segments])
    }

    fn take(&mut self, segments: u32, last: bool, full: &Segment) -> [u32; 3] {
        let wanted = if last {
            self.0
        } else {
            [full.line_bytes.saturating_mul(segments), full.bytes.saturating_mul(segments), segments]
        };
        let mut taken = [0; 3];
        for ((taken, left), wanted) in taken.iter_mut().zip(&mut self.0).zip(wanted) {
            *taken = wanted.min(*left);
            *left -= *taken;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Direction;
    use crate::meter::totals::Totals;

    const MS: u64 = BIN_NS;

    /// Bins beside the totals that they are made from.
    #[derive(Default)]
    struct Counted(Totals);

    impl Counted {
        fn with(speeds: &Arc<Speeds>) -> Counted {
            let mut counted = Counted::default();
            counted.0.bins = Bins::new(speeds.clone());
            counted
        }
        /// Parts of a super-frame; nothing of another.
        fn count(&mut self, packet: &Packet) -> Vec<Part> {
            let mut parts = Vec::new();
            self.0.turn_to(packet.time_ns);
            self.0.count(packet);
            if packet.segments > 1 {
                self.0.bins.spread(packet, |part| parts.push(part));
            }
            parts
        }
        fn hand_over(&mut self, until_ms: u64) -> Vec<LaneBins> {
            self.0.hand_over_bins(until_ms)
        }
    }

    fn frame(time_ns: u64, bytes: u32) -> Packet {
        let line_bytes = bytes.max(60) + 24;
        Packet {
            time_ns,
            bytes,
            line_bytes,
            segments: 1,
            lane: Lane::new(1, Direction::Tx),
            ..Packet::default()
        }
    }

    fn super_frame(time_ns: u64, payload: u32) -> Packet {
        let mut packet = Packet { frame_bytes: 66 + payload, header_bytes: 66, ..frame(time_ns, 0) };
        packet.split(1448, payload);
        packet
    }

    fn sum(told: &[LaneBins]) -> Bin {
        let mut sum = Bin::default();
        told.iter().flat_map(|lane| &lane.bins).for_each(|bin| sum.add(bin));
        sum
    }

    #[test]
    fn frames_count_in_the_millisecond_of_their_stamp() {
        let mut bins = Counted::default();
        for (at, bytes) in [(5 * MS, 100), (5 * MS + 999_999, 40), (7 * MS, 1514)] {
            bins.count(&frame(at, bytes));
        }
        let told = bins.hand_over(1000);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].lane, told[0].first_ms), (Lane::new(1, Direction::Tx), 5));
        let bin = |line_bytes, bytes, packets| Bin { line_bytes, bytes, packets };
        assert_eq!(told[0].bins, [bin(124 + 84, 140, 2), bin(0, 0, 0), bin(1538, 1514, 1)]);
        assert_eq!(bins.hand_over(2000), []);
    }

    #[test]
    fn a_super_frame_lasts_as_long_as_its_bits() {
        let speeds = Arc::<Speeds>::default();
        speeds.set(1, Some(100_000_000));
        let mut bins = Counted::with(&speeds);
        // 45 segments of 1,514 bytes: 1,538 on the line, 123.04 µs each at 100 Mbit/s.
        let packet = super_frame(3 * MS, 45 * 1448);
        let parts = bins.count(&packet);
        let begun = |ms: u64| (0..45u64).filter(|k| k * 123_040 / MS == ms).count() as u32;
        let expected: Vec<u32> = (0..6).map(begun).collect();
        assert_eq!(expected, [9, 8, 8, 8, 8, 4]);
        assert_eq!(parts.iter().map(|part| part.packets).collect::<Vec<_>>(), expected);
        assert_eq!(parts.iter().map(|part| part.ms).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8]);
        // One that crosses a hand-over is in both.
        let (first, second) = (bins.hand_over(5), bins.hand_over(1000));
        assert_eq!((first[0].bins.len(), second[0].first_ms, second[0].bins.len()), (2, 5, 4));
        let mut both = sum(&first);
        both.add(&sum(&second));
        assert_eq!(both, Bin { line_bytes: packet.line_bytes, bytes: packet.bytes, packets: 45 });
        // A gigabit takes it in one.
        speeds.set(1, Some(1_000_000_000));
        let parts = bins.count(&super_frame(2000 * MS, 45 * 1448));
        assert_eq!(parts, [Part { ms: 2000, bytes: packet.bytes, packets: 45 }]);
    }

    #[test]
    fn time_that_jumps_or_goes_back_loses_nothing() {
        let mut bins = Counted::default();
        let times = [10_000 * MS, 10_500 * MS, 9_000 * MS, 30_000_000 * MS, u64::MAX, 0];
        for at in times {
            bins.count(&frame(at, 60));
        }
        let told = bins.hand_over(10_000 + 1000);
        assert_eq!(told[0].first_ms, 10_000);
        let mut all = sum(&told);
        all.add(&sum(&bins.hand_over(u64::MAX / BIN_NS)));
        assert_eq!(all.packets, times.len() as u32);
        // The clock set back: nothing is kept for a time that may not come.
        bins.count(&frame(7 * MS, 60));
        assert_eq!(sum(&bins.hand_over(3)).packets, 1);
        bins.count(&frame(4 * MS, 60));
        assert_eq!(bins.hand_over(9)[0].first_ms, 4);
    }

    proptest::proptest! {
        /// Whatever comes, parts and bins sum up to the packets.
        #[test]
        fn nothing_is_lost(
            frames in proptest::collection::vec((0u64..3_000_000_000, 1u32..70_000, 0u16..3000), 1..60),
            speed in 0u64..2_000_000_000,
        ) {
            let speeds = Arc::<Speeds>::default();
            speeds.set(1, Some(speed));
            let mut bins = Counted::with(&speeds);
            let (mut expected, mut told) = (Bin::default(), Bin::default());
            for (number, (at, payload, size)) in frames.into_iter().enumerate() {
                let mut packet = Packet { frame_bytes: 54 + payload, header_bytes: 54, ..frame(at, 54 + payload) };
                packet.split(size, payload);
                let whole = Bin { line_bytes: packet.line_bytes, bytes: packet.bytes, packets: packet.segments };
                let parts = bins.count(&packet);
                if packet.segments > 1 {
                    let mut sum = Bin::default();
                    for part in parts {
                        sum.add(&Bin { line_bytes: 0, bytes: part.bytes, packets: part.packets });
                    }
                    proptest::prop_assert_eq!((sum.bytes, sum.packets), (whole.bytes, whole.packets));
                }
                expected.add(&whole);
                if number % 7 == 6 {
                    told.add(&sum(&bins.hand_over(at / MS)));
                }
            }
            told.add(&sum(&bins.hand_over(1 << 40)));
            told.add(&sum(&bins.hand_over(2 << 40)));
            proptest::prop_assert_eq!(told, expected);
        }
    }
}
