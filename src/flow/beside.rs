//! What stands beside an entry: touched by SYN, FIN and RST, by super-frames of
//! files, and by the final account; never by a packet of an open connection.

use super::entry::UNKNOWN_US;

/// See the module's description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Beside {
    /// Segment size that a sender's SYN offered, 0 for none (files).
    pub mss: [u16; 2],
    /// Largest ordinary segment of a sender whose SYN was not seen (files).
    pub largest: [u16; 2],
    /// First SYN to the end of the handshake, µs, or [`UNKNOWN_US`].
    pub connect_us: u32,
    /// Segments with SYN by sender; 255 and more are 255, as below.
    pub syn: [u8; 2],
    /// With FIN.
    pub fin: [u8; 2],
    /// With RST.
    pub rst: [u8; 2],
    /// Segments in a row whose numbers no window reaches.
    pub implausible: [u8; 2],
    /// Where the stream stood at the latest of them.
    pub stood_at: [u32; 2],
    /// Link-layer addresses of what a sender sent first, [`crate::decode::pairs`].
    pub pairs: [u16; 2],
}

const _: () = assert!(size_of::<Beside>() == 32);

impl Default for Beside {
    /// Of a flow that has just begun.
    fn default() -> Beside {
        let (by_size, by_flag) = ([0; 2], [0; 2]);
        Beside {
            mss: by_size,
            largest: by_size,
            connect_us: UNKNOWN_US,
            syn: by_flag,
            fin: by_flag,
            rst: by_flag,
            implausible: by_flag,
            stood_at: [0; 2],
            pairs: by_size,
        }
    }
}
