//! IP headers, extension headers walked: who to whom, which protocol, how long.
//!
//! Lengths are the header's own, or the frame's where the header has none.
//! Nothing here knows ports or links. A header that is cut or contradicts
//! itself is a [`Reason`]. Sources: RFC 791, 8200, 4302, 2675 (a length of 0).

use super::{Class, Packet, fragment, headers, protocol};
use crate::capture::Frame;
use crate::meter::loss::Reason;
use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};

/// What an IP header says, extension headers walked.
#[derive(Clone, Copy)]
pub(super) struct IpLayer {
    pub source: [u64; 2],
    pub destination: [u64; 2],
    pub ipv6: bool,
    pub protocol: u8,
    pub group: u8,
    pub vlan: u16,
    /// From the start of the IP header to the transport header.
    pub header_bytes: u32,
    /// Bytes behind all IP headers.
    pub payload_bytes: u32,
    pub more_fragments: bool,
    pub fragment_offset: u16,
    pub identification: u32,
}

impl IpLayer {
    /// What names its datagram, for the table of fragments.
    pub fn fragment_id(&self) -> fragment::Id {
        fragment::Id {
            source: self.source,
            destination: self.destination,
            identification: self.identification,
            protocol: self.protocol,
            group: self.group,
            vlan: self.vlan,
        }
    }
}

/// Length of an IP packet: its own figure, or, where the sender's card set
/// none (BIG TCP, TSO above 64 KiB), what the frame holds behind its link header.
#[inline]
fn ip_length(said: u32, frame: &Frame<'_>, offset: u32) -> u32 {
    if said == 0 { frame.len.saturating_sub(offset) } else { said }
}

/// Reads an IPv4 header (`data` begins there, `offset` bytes into the frame).
#[inline]
pub(super) fn ipv4(
    data: &[u8],
    packet: &mut Packet,
    group: u8,
    vlan: u16,
    offset: u32,
    frame: &Frame<'_>,
) -> Result<IpLayer, Reason> {
    packet.class = Class::OtherIp;
    let header = Ipv4HeaderSlice::from_slice(data).map_err(|_| headers::ipv4_fault(data))?;
    let header_bytes = header.slice().len() as u32;
    let length = ip_length(header.total_len() as u32, frame, offset);
    if length < header_bytes {
        return Err(Reason::Malformed);
    }
    packet.ip_bytes = length;
    let fragment_offset = header.fragments_offset().value();
    Ok(IpLayer {
        source: [0, u32::from_be_bytes(header.source()) as u64],
        destination: [0, u32::from_be_bytes(header.destination()) as u64],
        ipv6: false,
        protocol: header.protocol().0,
        group,
        vlan,
        header_bytes,
        payload_bytes: length - header_bytes,
        more_fragments: header.more_fragments(),
        fragment_offset,
        identification: header.identification() as u32,
    })
}

/// Reads an IPv6 header and its extension headers.
#[inline]
pub(super) fn ipv6(
    data: &[u8],
    packet: &mut Packet,
    group: u8,
    vlan: u16,
    offset: u32,
    frame: &Frame<'_>,
) -> Result<IpLayer, Reason> {
    packet.class = Class::OtherIp;
    let header = Ipv6HeaderSlice::from_slice(data).map_err(|_| headers::ipv6_fault(data))?;
    let said = header.payload_length() as u32;
    // A packet may well have nothing behind its header: what follows is padding then.
    let untold = said == 0 && matches!(header.next_header().0, protocol::TCP | headers::IPV6_HOP_BY_HOP);
    let length = if untold { frame.len.saturating_sub(offset).max(40) } else { said + 40 };
    packet.ip_bytes = length;
    let mut layer = IpLayer {
        source: words(header.source()),
        destination: words(header.destination()),
        ipv6: true,
        protocol: header.next_header().0,
        group,
        vlan,
        header_bytes: 40,
        payload_bytes: length - 40,
        more_fragments: false,
        fragment_offset: 0,
        identification: 0,
    };
    if headers::is_extension(layer.protocol) {
        extensions(data, &mut layer)?;
    }
    Ok(layer)
}

/// Walks IPv6 extension headers (RFC 8200 §4), at most sixteen of them.
#[cold]
#[inline(never)]
fn extensions(data: &[u8], layer: &mut IpLayer) -> Result<(), Reason> {
    for _ in 0..16 {
        if !headers::is_extension(layer.protocol) {
            return Ok(());
        }
        let at = layer.header_bytes as usize;
        let Some(head) = data.get(at..at + 8) else { return Err(Reason::Truncated) };
        let length = headers::extension_bytes(layer.protocol, head[1]);
        if layer.protocol == headers::IPV6_FRAGMENT {
            let word = u16::from_be_bytes([head[2], head[3]]);
            layer.fragment_offset = word >> 3;
            layer.more_fragments = word & 1 != 0;
            layer.identification = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        }
        layer.protocol = head[0];
        layer.header_bytes += length;
        layer.payload_bytes = layer.payload_bytes.checked_sub(length).ok_or(Reason::Malformed)?;
        if layer.fragment_offset != 0 {
            return Ok(());
        }
    }
    Err(Reason::Malformed)
}

#[inline]
fn words(address: [u8; 16]) -> [u64; 2] {
    let whole = u128::from_be_bytes(address);
    [(whole >> 64) as u64, whole as u64]
}
