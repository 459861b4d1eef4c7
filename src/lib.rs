//! fullcount counts every byte of busy, bonded links, and proves that it did.
//!
//! Data goes one way: `capture` (frames) → `decode` (packets) → `flow` and
//! `meter` (one of each per worker) → `aggregate` (snapshots) → `output`.
//! Imports point the same way and never back; see ARCHITECTURE.md.
#![deny(unsafe_code)]
#![deny(clippy::undocumented_unsafe_blocks)]
#![warn(missing_docs)]

pub mod aggregate;
pub mod capture;
pub mod cli;
pub mod config;
pub mod decode;
pub mod demo;
pub mod flow;
pub mod links;
pub mod meter;
pub mod output;
pub mod run;
pub mod worker;
