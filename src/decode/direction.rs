//! Which way a frame went, where its source does not tell.
//!
//! Knows the monitored host's MAC address or networks, as somebody else found
//! them out; without them everything counts as received.

use super::{Kind, Packet};
use crate::capture::{Direction, Frame, LinkType};
use std::net::IpAddr;
use std::sync::Arc;

/// How an interface's direction is found where its frames do not tell.
#[derive(Clone, Debug, Default)]
pub enum DirectionRule {
    /// The source tells, or nobody knows: what is not told is received.
    #[default]
    AsTold,
    /// The monitored host's MAC address: what it sends is sent.
    Mac([u8; 6]),
    /// The monitored networks: what comes from them is sent.
    Networks(Arc<[(IpAddr, u8)]>),
}

/// Whether the Ethernet header's source is this address, in two comparisons
/// rather than a call.
#[inline]
fn is_from(head: &[u8; 14], mac: &[u8; 6]) -> bool {
    let [_, _, _, _, _, _, a, b, c, d, e, f, _, _] = *head;
    let [p, q, r, s, t, u] = *mac;
    let high = |bytes| u32::from_ne_bytes(bytes);
    let low = |bytes| u16::from_ne_bytes(bytes);
    high([a, b, c, d]) == high([p, q, r, s]) && low([e, f]) == low([t, u])
}

/// Direction by the monitored host's MAC address: what it sends is sent.
#[inline(always)]
pub(super) fn by_mac(mac: &[u8; 6], frame: &Frame<'_>) -> Direction {
    match (frame.link_type, frame.data.first_chunk::<14>()) {
        (LinkType::Ethernet, Some(head)) if is_from(head, mac) => Direction::Tx,
        _ => Direction::Rx,
    }
}

/// Direction by the monitored host's MAC address or networks.
#[inline]
pub(super) fn by_rule(rule: &DirectionRule, frame: &Frame<'_>, packet: &Packet) -> Direction {
    match rule {
        DirectionRule::AsTold => Direction::Rx,
        DirectionRule::Mac(mac) => by_mac(mac, frame),
        DirectionRule::Networks(networks) => {
            if matches!(packet.kind, Kind::Untracked(_)) {
                return Direction::Rx;
            }
            let source = packet.key.ip(packet.reversed as usize);
            if networks.iter().any(|&(net, prefix)| contains(net, prefix, source)) {
                Direction::Tx
            } else {
                Direction::Rx
            }
        }
    }
}

/// Whether `address` lies in `network`/`prefix`; never across families.
pub fn contains(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(net), IpAddr::V4(ip)) => {
            let mask = u32::MAX.checked_shl(32 - (prefix as u32).min(32)).unwrap_or(0);
            u32::from(net) & mask == u32::from(ip) & mask
        }
        (IpAddr::V6(net), IpAddr::V6(ip)) => {
            let mask = u128::MAX.checked_shl(128 - (prefix as u32).min(128)).unwrap_or(0);
            u128::from(net) & mask == u128::from(ip) & mask
        }
        _ => false,
    }
}
