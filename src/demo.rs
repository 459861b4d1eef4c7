//! The traffic of `fullcount demo`: who talks to whom, and the frames of it.
//!
//! A play of its own time: asked what happens until a moment, it answers with
//! frames, the same ones for the same moments whatever the machine does. Who plays
//! them on interfaces, and at which pace, is not known here. Bounded: so many
//! actors at once, frames no longer than the interfaces take, one frame in memory.
//! All addresses are from 198.18.0.0/15 and the documentation ranges (RFC 2544,
//! 5737, 3849).

pub mod actor;
pub mod frame;
pub mod scene;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Interfaces of the pretended bond.
pub const LINKS: [&str; 2] = ["eth0", "eth1"];
/// What each is said to carry, in bits per second.
pub const SPEED: u64 = 1_000_000_000;
/// Bytes of the largest packet.
pub const MTU: u32 = 9000;
/// The pretended host's link-layer address, the same on all slaves of a bond.
pub const HERE_MAC: [u8; 6] = [2, 0, 0, 0, 1, 0x0a];
/// The pretended host.
pub const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 10));
/// The same in IPv6.
pub const HERE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10));
/// The connection that fills a link every few seconds: its client, which is here.
pub const BURST_CLIENT: SocketAddr = SocketAddr::new(HERE, 40_873);
/// Its server: a backup goes there, on one link.
pub const BURST_SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 18, 7, 30)), 873);
/// A server that answers SYN with RST.
pub const CLOSED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 20)), 8081);
/// One that says nothing.
pub const SILENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 66)), 443);
/// One that the router says cannot be reached.
pub const UNREACHABLE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77)), 22);

/// Whether a frame is sent or received by the pretended host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Sent, on this link. A bond decides that by itself, and as this does: by the
    /// policy layer2.
    Sent(usize),
    /// Received on this link.
    Received(usize),
}
