//! What several tests need.
pub mod netns;
