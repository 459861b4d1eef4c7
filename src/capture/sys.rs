//! The kernel and libpcap calls that no crate makes.
pub mod libpcap;
