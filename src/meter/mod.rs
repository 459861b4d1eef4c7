//! Totals.
pub mod totals;
