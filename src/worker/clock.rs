//! The one clock: CLOCK_REALTIME, by which the kernel stamps frames.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since the epoch.
#[inline]
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}
