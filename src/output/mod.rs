//! Outputs.
pub mod columns;
pub mod json;
pub mod text;
