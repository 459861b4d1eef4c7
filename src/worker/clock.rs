//! The one clock: CLOCK_REALTIME, by which the kernel stamps frames.

use rustix::time::{ClockId, clock_gettime};
use std::time::Instant;

/// Nanoseconds since the epoch.
#[inline]
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

/// How far the clock may go back before a run begins anew at the new time;
/// below that it is waited for.
const TOLERANCE_NS: u64 = crate::capture::merge::AHEAD_NS;

/// Whether the clock was set back, from readings of it and of one that never is.
pub struct Steps {
    latest_ns: u64,
    at: Instant,
}

impl Steps {
    /// From this reading on.
    pub fn new(now_ns: u64, at: Instant) -> Steps {
        Steps { latest_ns: now_ns, at }
    }

    /// A reading. By how much the clock was set back, in nanoseconds, where that
    /// is more than may be waited for; each step is told once.
    pub fn look(&mut self, now_ns: u64, at: Instant) -> Option<u64> {
        if now_ns.saturating_add(TOLERANCE_NS) < self.latest_ns {
            let passed = u64::try_from(at.saturating_duration_since(self.at).as_nanos()).unwrap_or(u64::MAX);
            let back = self.latest_ns.saturating_add(passed).saturating_sub(now_ns);
            *self = Steps { latest_ns: now_ns, at };
            return Some(back);
        }
        if now_ns > self.latest_ns {
            *self = Steps { latest_ns: now_ns, at };
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_step_back_is_told_once_and_by_its_whole_length() {
        const S: u64 = 1_000_000_000;
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut steps = Steps::new(5000 * S, at(0));
        assert_eq!(steps.look(5001 * S, at(1000)), None);
        assert_eq!(steps.look(5000 * S + S / 2, at(1500)), None, "caught up within a second");
        assert_eq!(steps.look(5002 * S, at(3000)), None);
        // One hour back at 3100 ms, seen at 3200.
        assert_eq!(steps.look(1402 * S + S / 5, at(3200)), Some(3600 * S));
        assert_eq!(steps.look(1403 * S, at(4000)), None);
        assert_eq!(steps.look(9000 * S, at(4001)), None, "ahead");
        assert_eq!(steps.look(0, at(4001)), Some(9000 * S));
    }
}
