//! What a worker counts beside its flows: totals by interface and direction.
//! Knows packets; does not know flows, clocks or outputs.

pub mod loss;
pub mod totals;
