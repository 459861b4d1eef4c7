//! Flows.
pub mod key;
pub mod table;
pub mod tcp;
