//! The kernel and libpcap calls that no crate makes.
pub mod ethtool;
pub mod libpcap;
pub mod memory;
