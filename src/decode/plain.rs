//! The way that nearly every packet takes: decoded in one straight line.
//!
//! It answers only what it can answer whole and leaves all else to the full
//! way, which would say the same: `decode/tests.rs` holds the two together.
//! Knows Ethernet, IPv4 without options, TCP and UDP; no tags, fragments, or
//! other links. All fields stand at fixed places then, so one question for the
//! length is enough. Sources: RFC 791, 9293, 768.

use super::{
    Class, Kind, LinkContext, Packet, headers, impossible, is_truncated, line_bytes, protocol, tcp_flag,
};
use crate::capture::{Frame, Lane, LinkType};
use etherparse::TcpHeaderSlice;

/// Bytes of the headers, options left out.
const ETHERNET: usize = 14;
const IPV4: usize = 20;
const TRANSPORT: usize = ETHERNET + IPV4;
const TCP: usize = 20;
const UDP: usize = 8;
/// What is read at once: the shortest TCP segment. A shorter datagram goes the full way.
const READ: usize = TRANSPORT + TCP;

/// Nearly every packet, in one straight line: Ethernet without a tag, IPv4, no
/// fragment, TCP or UDP whole. True where it has written every field but
/// [`Packet::head`], each once; false for anything else, and then nothing that
/// it has written stands. A property holds both ways to the same answer.
#[inline(always)]
pub(super) fn plain(frame: &Frame<'_>, packet: &mut Packet, known: &LinkContext, lane: Lane) -> bool {
    let data = frame.data;
    let Some(head) = data.first_chunk::<READ>() else { return false };
    if frame.link_type != LinkType::Ethernet || frame.stripped_tag.is_some() || frame.gso_size != 0 {
        return false;
    }
    // Ethertype, version and length of the header; the type of service is as it likes.
    if word(head, 12) & 0xffff_ff00 != 0x0800_4500 {
        return false;
    }
    let ip_bytes = u32::from(half(head, 16));
    let protocol = head[23];
    // More fragments, or an offset.
    if half(head, 20) & 0x3fff != 0 || ip_bytes < IPV4 as u32 {
        return false;
    }
    let header = match protocol {
        protocol::TCP => match tcp(data, head, ip_bytes, packet) {
            Some(header) => header,
            None => return false,
        },
        protocol::UDP => {
            packet.class = Class::Udp;
            packet.kind = Kind::Udp;
            (packet.sequence, packet.acknowledgement, packet.window) = (0, 0, 0);
            (packet.tcp_flags, packet.tcp_option_bytes, packet.first_byte) = (0, 0, 0);
            no_options(packet);
            packet.payload = ip_bytes.saturating_sub((IPV4 + UDP) as u32);
            UDP
        }
        _ => return false,
    };
    packet.time_ns = frame.time_ns;
    (packet.bytes, packet.frame_bytes, packet.ip_bytes) = (frame.len, frame.len, ip_bytes);
    packet.line_bytes = line_bytes(frame.len);
    (packet.segments, packet.gso_size) = (1, 0);
    packet.link_bytes = ETHERNET as u16;
    packet.header_bytes = (TRANSPORT + header) as u16;
    packet.lane = lane;
    packet.ethertype = 0;
    packet.maybe_super = known.from_file;
    packet.truncated = is_truncated(frame);
    (packet.estimated, packet.fragment, packet.has_head) = (false, false, false);
    let source = (word(head, 26), half(head, 34));
    let destination = (word(head, 30), half(head, 36));
    packet.reversed = packet.key.set_ipv4(source, destination, protocol, known.group, 0);
    true
}

/// TCP's own fields; the answer is the header's length, with options.
#[inline(always)]
fn tcp(data: &[u8], head: &[u8; READ], ip_bytes: u32, packet: &mut Packet) -> Option<usize> {
    let header = usize::from(head[46] >> 4) * 4;
    if header < TCP || data.len() < TRANSPORT + header {
        return None;
    }
    let flags = head[47];
    packet.class = Class::Tcp;
    packet.sequence = word(head, 38);
    packet.acknowledgement = word(head, 42);
    packet.window = half(head, 48);
    packet.tcp_flags = flags;
    packet.tcp_option_bytes = (header - TCP) as u8;
    packet.first_byte = data.get(TRANSPORT + header).copied().unwrap_or(0);
    // As every stack writes time stamps in an open connection (RFC 7323, appendix A).
    if header >= TCP + 12
        && let Some(&[order @ .., a, b, c, d, e, f, g, h]) = data[READ..].first_chunk::<12>()
        && u32::from_be_bytes(order) == 0x0101_080a
    {
        packet.stamp = u32::from_be_bytes([a, b, c, d]);
        packet.stamp_echo = u32::from_be_bytes([e, f, g, h]);
        (packet.has_stamps, packet.mss) = (true, 0);
    } else {
        no_options(packet);
        if header > TCP {
            other_options(data, packet);
        }
    }
    let inert = impossible(flags);
    packet.kind = if inert { Kind::TcpInert } else { Kind::Tcp };
    // A RST's text and what is behind an impossible header is no payload.
    let none = inert || flags & tcp_flag::RST != 0;
    let payload = ip_bytes.saturating_sub((IPV4 + header) as u32);
    packet.payload = if none { 0 } else { payload };
    Some(header)
}

/// Two bytes of the headers, in network order.
#[inline(always)]
fn half(head: &[u8; READ], at: usize) -> u16 {
    u16::from_be_bytes([head[at], head[at + 1]])
}

/// Four bytes of the headers, in network order.
#[inline(always)]
fn word(head: &[u8; READ], at: usize) -> u32 {
    u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

/// Options in another order than nearly always.
#[cold]
#[inline(never)]
fn other_options(data: &[u8], packet: &mut Packet) {
    if let Some(Ok(tcp)) = data.get(TRANSPORT..).map(TcpHeaderSlice::from_slice) {
        headers::tcp_options(&tcp, packet);
    }
}

#[inline(always)]
fn no_options(packet: &mut Packet) {
    (packet.stamp, packet.stamp_echo, packet.has_stamps, packet.mss) = (0, 0, false, 0);
}
