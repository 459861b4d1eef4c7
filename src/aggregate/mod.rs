//! Aggregation.
pub mod group;
