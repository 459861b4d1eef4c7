//! Flows: one table per worker, nobody else touches it.
//!
//! Knows packets, TCP and lanes; does not know interface names, clocks,
//! channels or outputs. Time is the packets'. After start the packet path
//! allocates nothing; every store has a limit, a rule for what goes first, and
//! a counter for what went.

pub mod beside;
mod class;
pub mod detail;
pub mod entry;
pub mod exchange;
pub mod handshake;
pub mod history;
pub mod idle;
pub mod index;
pub mod key;
pub mod listen;
pub mod prefetch;
pub mod record;
mod rtt;
mod segment;
pub mod sequence;
pub mod table;
pub mod tcp;
mod track;
