//! The few kernel and libpcap calls that no crate makes: socket options of
//! AF_PACKET, the mapping of a ring, the one word of it that kernel and
//! process both write. Nothing here knows what a frame is.

pub mod ethtool;
pub mod libpcap;
pub mod memory;

/// One instruction of a classic BPF program; `struct sock_filter` of
/// linux/filter.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct SockFilter {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if true.
    pub jt: u8,
    /// Instructions to skip if false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

const _: () = assert!(size_of::<SockFilter>() == size_of::<libc::sock_filter>());
const _: () = assert!(align_of::<SockFilter>() == align_of::<libc::sock_filter>());
