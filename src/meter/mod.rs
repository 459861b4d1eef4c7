//! What a worker counts beside its flows: totals by interface and direction,
//! milliseconds, and the journal of the last seconds.
//! Knows packets; does not know clocks or outputs, and flows by number only.

pub mod bins;
pub mod journal;
pub mod loss;
pub mod totals;
