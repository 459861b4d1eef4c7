//! The way that nearly every packet takes: decoded in one straight line.
//!
//! It answers only what it can answer whole and leaves all else to the full
//! way, which would say the same: `decode/tests.rs` holds the two together.
//! Knows Ethernet, IPv4, TCP and UDP; no tags, fragments, or other links.
//! Sources: RFC 791, 9293, 768.

use super::{Class, Kind, Packet, headers, impossible, protocol, tcp_flag};
use crate::capture::{Frame, LinkType};
use etherparse::{Ipv4HeaderSlice, TcpHeaderSlice};

/// Nearly every packet, in one straight line: Ethernet without a tag, IPv4, no
/// fragment, TCP or UDP whole. False for anything else, and then nothing has
/// been written that the full way would not write; a property holds both ways
/// to the same answer.
#[inline(always)]
pub(super) fn plain(frame: &Frame<'_>, packet: &mut Packet, group: u8) -> bool {
    const ETHERNET: usize = 14;
    if frame.link_type != LinkType::Ethernet || frame.stripped_tag.is_some() || frame.gso_size != 0 {
        return false;
    }
    let Some((link, data)) = frame.data.split_at_checked(ETHERNET) else { return false };
    if link[12..] != [0x08, 0x00] {
        return false;
    }
    let Ok(ip) = Ipv4HeaderSlice::from_slice(data) else { return false };
    let (ip_bytes, ip_header) = (ip.total_len() as u32, ip.slice().len());
    if ip.is_fragmenting_payload() || ip_bytes < ip_header as u32 {
        return false;
    }
    let data = &data[ip_header..];
    let (header, ports);
    match ip.protocol().0 {
        protocol::TCP => {
            let Ok(tcp) = TcpHeaderSlice::from_slice(data) else { return false };
            header = tcp.slice().len();
            ports = (tcp.source_port(), tcp.destination_port());
            let flags = tcp.slice()[13];
            packet.class = Class::Tcp;
            packet.kind = if impossible(flags) { Kind::TcpInert } else { Kind::Tcp };
            packet.sequence = tcp.sequence_number();
            packet.acknowledgement = tcp.acknowledgment_number();
            packet.window = tcp.window_size();
            packet.tcp_flags = flags;
            packet.tcp_option_bytes = (header - 20) as u8;
            // As every stack writes time stamps in an open connection (RFC 7323, appendix A).
            if header >= 32
                && let Some(&[1, 1, 8, 10, a, b, c, d, e, f, g, h]) = data[20..].first_chunk()
            {
                packet.stamp = u32::from_be_bytes([a, b, c, d]);
                packet.stamp_echo = u32::from_be_bytes([e, f, g, h]);
                packet.has_stamps = true;
            } else if header > 20 {
                headers::tcp_options(&tcp, packet);
            }
            packet.first_byte = data.get(header).copied().unwrap_or(0);
        }
        protocol::UDP => {
            let Some(udp) = data.first_chunk::<8>() else { return false };
            header = 8;
            ports = (u16::from_be_bytes([udp[0], udp[1]]), u16::from_be_bytes([udp[2], udp[3]]));
            packet.class = Class::Udp;
            packet.kind = Kind::Udp;
        }
        _ => return false,
    }
    packet.ip_bytes = ip_bytes;
    packet.link_bytes = ETHERNET as u16;
    packet.header_bytes = (ETHERNET + ip_header + header) as u16;
    // A RST's text and what is behind an impossible header is no payload.
    if packet.kind != Kind::TcpInert && packet.tcp_flags & tcp_flag::RST == 0 {
        packet.payload = ip_bytes.saturating_sub((ip_header + header) as u32);
    }
    let source = (u32::from_be_bytes(ip.source()), ports.0);
    let destination = (u32::from_be_bytes(ip.destination()), ports.1);
    packet.reversed = packet.key.set_ipv4(source, destination, ip.protocol().0, group, 0);
    true
}
