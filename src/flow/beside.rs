//! What stands beside an entry: touched by SYN, FIN and RST, by super-frames of
//! files, and by the final account; never by a packet of an open connection.

/// See the module's description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Beside {
    /// Segment size that a sender's SYN offered, 0 for none (files).
    pub mss: [u16; 2],
    /// Largest ordinary segment of a sender whose SYN was not seen (files).
    pub largest: [u16; 2],
    /// First SYN to the end of the handshake, µs, or [`super::entry::UNKNOWN_US`].
    pub connect_us: u32,
    /// Segments with SYN by sender; 255 and more are 255, as below.
    pub syn: [u8; 2],
    /// With FIN.
    pub fin: [u8; 2],
    /// With RST.
    pub rst: [u8; 2],
    /// Segments in a row whose numbers no window reaches.
    pub implausible: [u8; 2],
    /// Link-layer addresses of what a sender sent first, [`crate::decode::pairs`].
    pub pairs: [u16; 2],
}

const _: () = assert!(size_of::<Beside>() == 24);
