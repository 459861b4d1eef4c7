//! A file at its own pace (`--replay`): intervals end when they would have ended live.
//!
//! The reader waits at the ends of intervals, never between packets. Of a gap that
//! packet time leaves (a capture that was paused, files joined) nobody waits for
//! more than the intervals that are shown.

use crate::run::is_set;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// How often a wait looks whether the run is told to stop.
const LOOK: Duration = Duration::from_millis(50);

/// See the module's description.
pub(super) struct Replay {
    /// Of the file's own pace; None is as fast as it goes.
    thousandths: Option<u32>,
    interval_ns: u64,
    /// The end of the interval before, by both clocks.
    before: Option<(u64, Instant)>,
}

impl Replay {
    /// At so many thousandths of the file's own pace, from now on.
    pub fn new(thousandths: Option<u32>, interval_ns: u64) -> Replay {
        Replay { thousandths, interval_ns, before: None }
    }

    /// When an interval's end is due, by the clock.
    fn due(&mut self, boundary_ns: u64, thousandths: u32, now: Instant) -> Instant {
        let (before_ns, before) =
            self.before.unwrap_or_else(|| (boundary_ns.saturating_sub(self.interval_ns), now));
        let span_ns = boundary_ns.saturating_sub(before_ns).min(self.interval_ns);
        let waits_ns = u128::from(span_ns) * 1000 / u128::from(thousandths.max(1));
        let due = before + Duration::from_nanos(u64::try_from(waits_ns).unwrap_or(u64::MAX));
        // A reader that cannot keep up does not run after what it has missed.
        let due = due.max(now);
        self.before = Some((boundary_ns, due));
        due
    }

    /// Waits until an interval's end is due, or the run is told to stop.
    pub fn wait(&mut self, boundary_ns: u64, stop: &AtomicBool) {
        let Some(thousandths) = self.thousandths else { return };
        let due = self.due(boundary_ns, thousandths, Instant::now());
        while !is_set(stop) {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(LOOK));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn intervals_end_at_the_pace_and_gaps_are_passed_over() {
        let now = Instant::now();
        let mut replay = Replay::new(Some(2000), S);
        let half = Duration::from_millis(500);
        assert_eq!(replay.due(100 * S, 2000, now), now + half, "an interval, twice as fast");
        assert_eq!(replay.due(101 * S, 2000, now), now + 2 * half);
        assert_eq!(replay.due(5000 * S, 2000, now), now + 3 * half, "of the gap one interval is shown");
        assert_eq!(replay.due(4000 * S, 2000, now), now + 3 * half, "a step back takes no time");
        let late = now + Duration::from_secs(60);
        assert_eq!(replay.due(4001 * S, 2000, late), late, "who is late goes on");
        assert_eq!(replay.due(4002 * S, 2000, late), late + half);
    }

    #[test]
    fn a_stop_ends_the_wait() {
        let begun = Instant::now();
        Replay::new(Some(10), 3600 * S).wait(3600 * S, &AtomicBool::new(true));
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}
