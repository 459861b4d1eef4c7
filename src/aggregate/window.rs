//! Averages over the last 2, 10 and 40 seconds, and peaks.
//!
//! Bytes are kept in buckets of a second (of an interval, where that is
//! longer). All histories share one calendar, which knows how long each bucket
//! was, so a history is its bytes alone. An average is over whole buckets: the
//! newest ones that together reach the window, or all there are while the run,
//! or what a history is of ([`Since`]), is younger. A history is claimed by a row when
//! it first gains something and given back after forty silent buckets; their number is
//! bounded.

use crate::meter::totals::Count;
use std::cmp::Ordering;

/// The windows, seconds.
pub const WINDOWS_S: [u64; 3] = [2, 10, 40];
/// Least length of a bucket, ns.
const BUCKET_NS: u64 = 1_000_000_000;
/// Forty that have ended, and the one under way.
const BUCKETS: usize = 41;
/// Histories of one kind of row that are kept at once: 44 MB.
pub const HISTORIES_MAX: usize = 1 << 16;
/// The owner of a history that is free.
const NO_OWNER: u32 = u32::MAX;
/// No history.
pub(super) const NO_HISTORY: u32 = u32::MAX;

/// Averages and peak of two directions, bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Averages {
    /// Over each of [`WINDOWS_S`]; None where an interval is longer than the window.
    pub windows: [Option<[u64; 2]>; 3],
    /// Highest bucket since the start; None before the first has ended.
    pub peak: Option<[u64; 2]>,
    /// How long they have been kept, ns, where what they are of began to be kept within the
    /// longest window and behind the run's beginning: longer windows are no longer than that.
    pub young_ns: Option<u64>,
}

/// How long each bucket was.
pub(super) struct Calendar {
    spans: [u64; BUCKETS],
    /// Buckets that have ended; the one under way has the next number.
    ended: u64,
    open_ns: u64,
    /// Length of the latest interval.
    interval_ns: u64,
    /// The run ends: what has begun of a bucket counts as a whole one for the peak.
    closing: bool,
}

/// When something began that has histories: what was before is not known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Since {
    /// The bucket that was under way.
    bucket: u64,
    /// How much of it had passed.
    open_ns: u64,
}

impl Since {
    /// Whether the run had begun before it.
    fn is_later(&self) -> bool {
        self.bucket > 1 || self.open_ns > 0
    }
}

impl Default for Calendar {
    fn default() -> Calendar {
        Calendar { spans: [0; BUCKETS], ended: 0, open_ns: 0, interval_ns: 0, closing: false }
    }
}

impl Calendar {
    /// Number of the bucket under way.
    fn current(&self) -> u64 {
        self.ended + 1
    }

    /// So much time has passed; what it brought has been added.
    pub fn advance(&mut self, span_ns: u64) {
        self.interval_ns = span_ns;
        self.open_ns = self.open_ns.saturating_add(span_ns);
        if self.open_ns >= BUCKET_NS {
            self.ended += 1;
            self.spans[self.ended as usize % BUCKETS] = self.open_ns;
            self.open_ns = 0;
        }
    }

    /// How long the latest interval was, ns.
    pub fn interval_ns(&self) -> u64 {
        self.interval_ns
    }

    /// The run ends.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// This moment.
    pub fn now(&self) -> Since {
        Since { bucket: self.current(), open_ns: self.open_ns }
    }

    /// As [`Calendar::span`], of that what came since; 0 of what was before.
    fn span_since(&self, bucket: u64, since: Since) -> u64 {
        match bucket.cmp(&since.bucket) {
            Ordering::Less => 0,
            Ordering::Equal => self.span(bucket).saturating_sub(since.open_ns),
            Ordering::Greater => self.span(bucket),
        }
    }

    /// Length of a bucket that has ended, ns; 0 where it is not known any more.
    fn span(&self, bucket: u64) -> u64 {
        let known = bucket <= self.ended && bucket + BUCKETS as u64 > self.ended;
        if known { self.spans[bucket as usize % BUCKETS] } else { 0 }
    }
}

/// Bytes of two directions by bucket.
#[derive(Clone, Debug)]
pub(super) struct History {
    bytes: [[u64; 2]; BUCKETS],
    /// The newest bucket written to.
    newest: u64,
    /// Highest rate of the buckets before the newest.
    peak: [u64; 2],
    /// The row that it is of.
    owner: u32,
}

impl History {
    pub fn new(owner: u32) -> History {
        History { bytes: [[0; 2]; BUCKETS], newest: 0, peak: [0; 2], owner }
    }

    /// Adds what came in the interval that ends now.
    pub fn add(&mut self, calendar: &Calendar, gained: [Count; 2]) {
        let bucket = calendar.current();
        if bucket - self.newest >= BUCKETS as u64 {
            // As good as given back.
            *self = History::new(self.owner);
            self.newest = bucket;
        } else if bucket != self.newest {
            self.peak = self.peak(calendar);
            for number in self.newest + 1..=bucket {
                self.bytes[number as usize % BUCKETS] = [0; 2];
            }
            self.newest = bucket;
        }
        for (sum, gained) in self.bytes[bucket as usize % BUCKETS].iter_mut().zip(gained) {
            *sum += gained.bytes;
        }
    }

    fn peak(&self, calendar: &Calendar) -> [u64; 2] {
        let newest = self.bytes[self.newest as usize % BUCKETS];
        let begun = calendar.closing && self.newest == calendar.current();
        let span = if begun { BUCKET_NS } else { calendar.span(self.newest) };
        [0, 1].map(|side| self.peak[side].max(bits_per_second(newest[side], span).unwrap_or(0)))
    }

    /// How things stand after the last bucket that has ended.
    pub fn averages(&self, calendar: &Calendar) -> Averages {
        self.averages_since(calendar, Since::default())
    }

    /// The same of what was kept from a moment on: over the time since then, where a
    /// window is longer; None as long as there is none.
    pub fn averages_since(&self, calendar: &Calendar, since: Since) -> Averages {
        let peak = (calendar.ended > 0).then(|| self.peak(calendar));
        let mut averages = Averages { peak, ..Averages::default() };
        let (mut sum, mut span_ns) = ([0u64; 2], 0u64);
        let mut bucket = calendar.ended;
        for (average, seconds) in averages.windows.iter_mut().zip(WINDOWS_S) {
            let window_ns = seconds * 1_000_000_000;
            while span_ns < window_ns && calendar.span_since(bucket, since) > 0 {
                span_ns += calendar.span_since(bucket, since);
                if bucket <= self.newest {
                    let bytes = self.bytes[bucket as usize % BUCKETS];
                    sum = [sum[0] + bytes[0], sum[1] + bytes[1]];
                }
                bucket -= 1;
            }
            if calendar.span(calendar.ended) <= window_ns {
                let rates = sum.map(|bytes| bits_per_second(bytes, span_ns));
                *average = rates[0].zip(rates[1]).map(|(first, second)| [first, second]);
            }
        }
        let longest_ns = WINDOWS_S[2] * 1_000_000_000;
        averages.young_ns = (since.is_later() && span_ns < longest_ns).then_some(span_ns);
        averages
    }
}

fn bits_per_second(bytes: u64, span_ns: u64) -> Option<u64> {
    let rate = (u128::from(bytes) * 8_000_000_000).checked_div(u128::from(span_ns))?;
    Some(u64::try_from(rate).unwrap_or(u64::MAX))
}

/// The histories of one kind of row.
pub(super) struct Histories {
    wanted: bool,
    pool: Vec<History>,
    free: Vec<u32>,
    hand: usize,
}

impl Histories {
    /// `wanted`: without, none is ever claimed.
    pub fn new(wanted: bool) -> Histories {
        Histories { wanted, pool: Vec::new(), free: Vec::new(), hand: 0 }
    }

    /// Whether rows have histories at all.
    pub fn wanted(&self) -> bool {
        self.wanted
    }

    /// Adds to the history of a row, which is claimed where it has none and there is room.
    pub fn add(&mut self, place: &mut u32, owner: u32, calendar: &Calendar, gained: [Count; 2]) {
        if self.get(*place, owner).is_none() {
            *place = self.claim(owner);
        }
        if let Some(history) = self.pool.get_mut(*place as usize) {
            history.add(calendar, gained);
        }
    }

    fn claim(&mut self, owner: u32) -> u32 {
        if let Some(place) = self.free.pop() {
            self.pool[place as usize] = History::new(owner);
            return place;
        }
        if self.pool.len() >= HISTORIES_MAX {
            return NO_HISTORY;
        }
        self.pool.push(History::new(owner));
        (self.pool.len() - 1) as u32
    }

    /// A row's history: None where it was given back, or never claimed.
    pub fn get(&self, place: u32, owner: u32) -> Option<&History> {
        self.pool.get(place as usize).filter(|history| history.owner == owner)
    }

    /// The row is gone.
    pub fn release(&mut self, place: u32, owner: u32) {
        if self.get(place, owner).is_some() {
            self.pool[place as usize].owner = NO_OWNER;
            self.free.push(place);
        }
    }

    /// Place and owner of each.
    pub fn owners(&self) -> impl Iterator<Item = (u32, u32)> {
        let owners = (0u32..).zip(self.pool.iter().map(|history| history.owner));
        owners.filter(|&(_, owner)| owner != NO_OWNER)
    }

    /// Takes back what has been silent for all windows; a part of them at a time.
    pub fn sweep(&mut self, calendar: &Calendar) {
        let part = self.pool.len().div_ceil(BUCKETS);
        for _ in 0..part {
            self.hand = (self.hand + 1) % self.pool.len().max(1);
            let history = &self.pool[self.hand];
            let (owner, silent) = (history.owner, history.newest + (BUCKETS as u64) < calendar.current());
            if silent && owner != NO_OWNER {
                self.release(self.hand as u32, owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn gained(first: u64, second: u64) -> [Count; 2] {
        [Count { packets: 1, bytes: first }, Count { packets: 1, bytes: second }]
    }

    /// A run of intervals of `span`, each with these bytes; averages by a sum over a list.
    fn compare(span: u64, bytes: &[u64]) {
        let (mut calendar, mut history) = (Calendar::default(), History::new(0));
        let mut buckets: Vec<(u64, u64)> = Vec::new();
        let mut open = (0, 0);
        for (number, &gain) in bytes.iter().enumerate() {
            if gain > 0 {
                history.add(&calendar, gained(gain, 2 * gain));
            }
            calendar.advance(span);
            open = (open.0 + span, open.1 + gain);
            if open.0 >= S {
                buckets.push(open);
                open = (0, 0);
            }
            let averages = history.averages(&calendar);
            for (average, seconds) in averages.windows.iter().zip(WINDOWS_S) {
                let mut newest = buckets.iter().rev();
                let (mut span, mut sum) = (0, 0);
                while span < seconds * S
                    && let Some(bucket) = newest.next()
                {
                    (span, sum) = (span + bucket.0, sum + bucket.1);
                }
                let fits = buckets.last().is_some_and(|bucket| bucket.0 <= seconds * S);
                let expected = fits.then(|| [sum * 8 * S / span, 2 * sum * 8 * S / span]);
                assert_eq!(*average, expected, "interval {number}, {seconds} s");
            }
            let peak = buckets.iter().map(|bucket| bucket.1 * 8 * S / bucket.0).max();
            assert_eq!(averages.peak.map(|peak| peak[0]), peak, "interval {number}");
        }
    }

    #[test]
    fn averages_are_sums_over_whole_seconds() {
        let steady: Vec<u64> = vec![1000; 100];
        let bursts: Vec<u64> = (0..200).map(|n| if n % 37 < 3 { 1_000_000 } else { 0 }).collect();
        let rising: Vec<u64> = (0..120).map(|n| n * n).collect();
        for span in [S / 10, S / 4, S * 3 / 10, S, 3 * S, 10 * S, 60 * S] {
            for bytes in [&steady, &bursts, &rising] {
                compare(span, bytes);
            }
        }
    }

    #[test]
    fn a_silent_history_is_given_back_and_not_mistaken_for_another() {
        let (mut calendar, mut histories) = (Calendar::default(), Histories::new(true));
        let mut places = [NO_HISTORY; 3];
        for (owner, place) in places.iter_mut().enumerate() {
            histories.add(place, owner as u32, &calendar, gained(8, 8));
        }
        assert_eq!(histories.owners().count(), 3);
        for _ in 0..200 {
            calendar.advance(S);
            histories.add(&mut places[1], 1, &calendar, gained(8, 8));
            histories.sweep(&calendar);
        }
        assert_eq!(histories.owners().collect::<Vec<_>>(), [(places[1], 1)]);
        let mut other = NO_HISTORY;
        histories.add(&mut other, 7, &calendar, gained(8, 8));
        assert!(places.contains(&other), "memory is used again");
        assert!(histories.get(other, 0).is_none() && histories.get(other, 2).is_none());
    }

    #[test]
    fn histories_are_bounded() {
        let (calendar, mut histories) = (Calendar::default(), Histories::new(true));
        for owner in 0..HISTORIES_MAX as u32 + 10 {
            let mut place = NO_HISTORY;
            histories.add(&mut place, owner, &calendar, gained(1, 1));
            assert_eq!(place == NO_HISTORY, owner >= HISTORIES_MAX as u32);
        }
    }
}
