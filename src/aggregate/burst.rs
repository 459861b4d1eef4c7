//! Bursts: when a direction of a link was full for milliseconds.
//!
//! One detector a lane, fed with the sums of all workers in order of time. A
//! burst begins with the first bin at or above the threshold and ends with the
//! last one before a gap of bins that are all below 7/8 of it, so a link that
//! is steadily half full still has its bursts end. All between counts.
//!
//! The queue is a bucket that each millisecond fills and the line drains: what
//! it holds at its end waits in the sender's or the switch's memory. It is
//! reckoned by whole milliseconds, so the answer does not depend on how
//! packets were shared out among workers.
//!
//! Knows bins; who filled them is [`super::culprit`]'s.

use crate::meter::bins::Bin;

/// From what on a bin is part of a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// Of the link's speed, 1 to 1000; without a known speed there are no bursts.
    Thousandths(u32),
    /// Bits on the line per second.
    Rate(u64),
}

/// What a burst is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// See [`Threshold`].
    pub threshold: Threshold,
    /// Shorter ones do not count, ms.
    pub least_ms: u64,
    /// Milliseconds in a row below 7/8 of the threshold that end one.
    pub gap_ms: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { threshold: Threshold::Thousandths(800), least_ms: 1, gap_ms: 3 }
    }
}

impl Limits {
    /// Millionths of a line bit that a millisecond at the threshold has: whole
    /// numbers, as shares are no binary fractions. None without a speed that it needs.
    fn micro_bits(&self, speed: Option<u64>) -> Option<u128> {
        let micro_bits = match self.threshold {
            Threshold::Rate(rate) => u128::from(rate) * 1000,
            Threshold::Thousandths(share) => u128::from(share) * u128::from(speed?),
        };
        Some(micro_bits.max(1))
    }
}

/// Sums of some milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Layer-2 bytes.
    pub bytes: u64,
    /// Wire packets.
    pub packets: u64,
    /// Bits on the line.
    pub line_bits: u64,
    /// Most bits on the line in a millisecond.
    pub peak_bits: u64,
    /// Most that waited at the end of a millisecond, bits on the line.
    pub queue_bits: u64,
}

impl Sums {
    fn add_bin(&mut self, bin: &Bin, queue_bits: u64) {
        self.add(&Sums {
            bytes: u64::from(bin.bytes),
            packets: u64::from(bin.packets),
            line_bits: bin.line_bits(),
            peak_bits: bin.line_bits(),
            queue_bits,
        });
    }

    fn add(&mut self, other: &Sums) {
        self.bytes += other.bytes;
        self.packets += other.packets;
        self.line_bits += other.line_bits;
        self.peak_bits = self.peak_bits.max(other.peak_bits);
        self.queue_bits = self.queue_bits.max(other.queue_bits);
    }
}

/// A burst, as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First millisecond, since the epoch.
    pub from_ms: u64,
    /// One behind the last that belongs to it.
    pub until_ms: u64,
    /// All of the lane in that time.
    pub sums: Sums,
}

/// Bursts of one lane.
#[derive(Clone, Debug, Default)]
pub struct Detector {
    queue_bits: u64,
    /// The next millisecond.
    next_ms: u64,
    burst: Option<Span>,
    /// What came after the burst's last bin, in case it goes on.
    since: Sums,
}

impl Detector {
    /// A millisecond that is not empty, not earlier than the last one told of.
    /// The burst that had ended before it, if one had.
    pub fn step(&mut self, ms: u64, bin: &Bin, limits: &Limits, speed: Option<u64>) -> Option<Span> {
        let ended = self.pass(ms, limits, speed);
        let bits = bin.line_bits();
        let drained = speed.map_or(u64::MAX, |speed| speed / 1000);
        self.queue_bits = (self.queue_bits + bits).saturating_sub(drained);
        self.next_ms = ms + 1;
        let Some(threshold) = limits.micro_bits(speed) else { return ended };
        let micro_bits = u128::from(bits) * 1_000_000;
        let belongs = micro_bits * 8 >= threshold * 7;
        match &mut self.burst {
            Some(burst) if belongs => {
                burst.sums.add(&std::mem::take(&mut self.since));
                burst.sums.add_bin(bin, self.queue_bits);
                burst.until_ms = ms + 1;
            }
            Some(_) => self.since.add_bin(bin, self.queue_bits),
            None if micro_bits >= threshold => {
                let mut burst = Span { from_ms: ms, until_ms: ms + 1, sums: Sums::default() };
                burst.sums.add_bin(bin, self.queue_bits);
                self.since = Sums::default();
                self.burst = Some(burst);
            }
            None => {}
        }
        ended.or_else(|| self.end_if_over(limits))
    }

    /// All milliseconds before `until_ms` that were not told of were empty.
    pub fn pass(&mut self, until_ms: u64, limits: &Limits, speed: Option<u64>) -> Option<Span> {
        let empty = until_ms.saturating_sub(self.next_ms);
        self.next_ms = self.next_ms.max(until_ms);
        let drained = speed.map_or(u64::MAX, |speed| (speed / 1000).saturating_mul(empty));
        self.queue_bits = self.queue_bits.saturating_sub(if empty > 0 { drained } else { 0 });
        self.end_if_over(limits)
    }

    fn end_if_over(&mut self, limits: &Limits) -> Option<Span> {
        let over = |burst: &mut Span| self.next_ms - burst.until_ms >= limits.gap_ms.max(1);
        self.burst.take_if(over)
    }

    /// The burst under way.
    pub fn under_way(&self) -> Option<&Span> {
        self.burst.as_ref()
    }

    /// Nothing follows, or time begins anew: the burst that was under way.
    pub fn end(&mut self) -> Option<Span> {
        std::mem::take(self).burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEED: Option<u64> = Some(8_000_000);

    /// Bins of so many line bytes each, from millisecond 100 on; 1,000 are all that the line takes.
    fn run(bytes: &[u32], limits: &Limits) -> Vec<(u64, u64, u64)> {
        let mut detector = Detector::default();
        detector.pass(100, limits, SPEED);
        let mut bursts = Vec::new();
        for (ms, &line_bytes) in (100..).zip(bytes) {
            let bin = Bin { line_bytes, bytes: line_bytes, packets: 1 };
            if line_bytes > 0 {
                bursts.extend(detector.step(ms, &bin, limits, SPEED));
            }
        }
        bursts.extend(detector.pass(100 + bytes.len() as u64, limits, SPEED));
        bursts.extend(detector.end());
        bursts.iter().map(|burst| (burst.from_ms, burst.until_ms, burst.sums.bytes)).collect()
    }

    #[test]
    fn a_burst_ends_where_a_gap_begins() {
        let limits = Limits::default();
        assert_eq!(run(&[799, 700, 799], &limits), []);
        assert_eq!(run(&[10, 800, 10, 10, 10, 900], &limits), [(101, 102, 800), (105, 106, 900)]);
        // 700 is not below 7/8: the burst goes on, and what lies between is its own.
        assert_eq!(run(&[800, 10, 699, 700, 0, 0, 0, 0, 800], &limits), [(100, 104, 2209), (108, 109, 800)]);
        assert_eq!(run(&[800, 0, 0, 700, 699, 1, 1, 1], &limits), [(100, 104, 1500)]);
        assert_eq!(run(&[0, 0, 900, 900], &limits), [(102, 104, 1800)]);
        let longer = Limits { gap_ms: 1, ..limits };
        assert_eq!(run(&[800, 699, 800], &longer), [(100, 101, 800), (102, 103, 800)]);
    }

    #[test]
    fn the_queue_is_what_the_line_could_not_take() {
        let limits = Limits::default();
        let mut detector = Detector::default();
        let mut queue = |ms: u64, line_bytes: u32| {
            let bin = Bin { line_bytes, bytes: 0, packets: 1 };
            detector.step(ms, &bin, &limits, SPEED);
            detector.queue_bits / 8
        };
        assert_eq!([queue(10, 1000), queue(11, 1500), queue(12, 1700), queue(13, 300)], [0, 500, 1200, 500]);
        // An empty millisecond drains a line's worth.
        assert_eq!([queue(14, 1800), queue(16, 900), queue(18, 100)], [1300, 200, 0]);
        let burst = detector.under_way().expect("full");
        assert_eq!((burst.sums.queue_bits / 8, burst.sums.peak_bits / 8), (1300, 1800));
    }

    #[test]
    fn without_a_speed_only_a_rate_makes_bursts() {
        let bin = Bin { line_bytes: 1_000_000, bytes: 0, packets: 1 };
        let mut detector = Detector::default();
        detector.step(5, &bin, &Limits::default(), None);
        assert_eq!(detector.under_way(), None);
        let rate = Limits { threshold: Threshold::Rate(8_000_000_000), ..Limits::default() };
        detector.step(6, &bin, &rate, None);
        assert_eq!(detector.under_way().map(|burst| burst.sums.queue_bits), Some(0));
    }
}
