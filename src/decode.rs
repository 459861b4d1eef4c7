//! Frame → packet: link header, VLAN tags, IP, ports; super-frames into wire packets.
//!
//! A [`Packet`] is plain data and borrows nothing, so the frame's buffer may
//! go back to the kernel as soon as `decode` returns. Nearly every packet goes
//! in one straight line (`plain.rs`), every other through etherparse's header
//! slices (at most two tags, IPv4 or IPv6, TCP or UDP), and what is rare leaves
//! by a cold side door.
//! Input is never trusted: a frame that cannot be understood becomes a packet
//! with its bytes and the [`Reason`] why no flow takes it.
//!
//! Knows: link types, IP, TCP's and UDP's fixed headers, a fragment table that
//! gives later fragments the ports of their first. Does not know: flows,
//! connection state, clocks, interface names.
//!
//! Lengths come from the headers and the original length, never from what the
//! snaplen left. Sources: RFC 791, 8200, 9293, 768, 792, 4443; IEEE 802.1Q;
//! Linux include/uapi/linux/virtio_net.h (`gso_size`).

mod context;
mod direction;
mod fragment;
mod headers;
mod ip;
pub mod pairs;
mod plain;
mod quote;

use crate::capture::{Direction, Frame, Lane, LinkId};
use crate::flow::key::{End, FlowKey};
use crate::meter::loss::Reason;
pub use context::LinkContext;
use context::{ALONE, HEAD, KnownLink};
pub use direction::{DirectionRule, contains};
use direction::{by_mac, by_rule};
use etherparse::TcpHeaderSlice;
use fragment::FragmentTable;
use headers::{Link, Network};
pub use headers::{TAGS_MAX, VlanStacks};
use ip::{IpLayer, ipv4, ipv6};
use pairs::{HEAD_BYTES, Head, head_of, keep_head};
use plain::plain;

/// IP protocol numbers that are told apart here.
pub mod protocol {
    /// ICMP (RFC 792).
    pub const ICMP: u8 = 1;
    /// TCP (RFC 9293).
    pub const TCP: u8 = 6;
    /// UDP (RFC 768).
    pub const UDP: u8 = 17;
    /// DCCP (RFC 4340).
    pub const DCCP: u8 = 33;
    /// ICMPv6 (RFC 4443).
    pub const ICMP6: u8 = 58;
    /// SCTP (RFC 9260).
    pub const SCTP: u8 = 132;
    /// UDP-Lite (RFC 3828).
    pub const UDP_LITE: u8 = 136;
}

/// TCP flag bits as they stand in the header's 14th byte.
pub mod tcp_flag {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement field counts.
    pub const ACK: u8 = 0x10;
}

/// What kind of traffic a packet is, for the totals by protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// TCP over IPv4 or IPv6.
    Tcp = 0,
    /// UDP.
    Udp = 1,
    /// ICMP.
    Icmp = 2,
    /// ICMPv6.
    Icmp6 = 3,
    /// Any other IP protocol, and IP that could not be decoded further.
    OtherIp = 4,
    /// Not IP, or not decodable.
    NotIp = 5,
}

/// Number of [`Class`]es.
pub const CLASSES: usize = 6;

/// What the flow table has to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A TCP segment that moves state.
    Tcp,
    /// TCP that counts in packets and bytes only: an impossible header or
    /// impossible flags, or a fragment behind the first.
    TcpInert,
    /// UDP.
    Udp,
    /// Any other IP protocol.
    Other,
    /// No packet of its own: the segment that an ICMP error quotes, which the flow
    /// that it names has to be told of. Counts nowhere.
    Quote,
    /// No flow takes it, for this reason; `key` means nothing.
    Untracked(Reason),
}

/// One frame understood. Plain data.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Packet {
    /// Canonical 5-tuple within link group and VLAN.
    pub key: FlowKey,
    /// Nanoseconds since the epoch.
    pub time_ns: u64,
    /// Layer-2 bytes on the wire: every segment's headers, a stripped tag.
    pub bytes: u32,
    /// Bytes of the frame as captured before the snaplen, a stripped tag included.
    pub frame_bytes: u32,
    /// Layer-3 bytes of all segments.
    pub ip_bytes: u32,
    /// Bytes on the line: each segment padded to 60, plus FCS, preamble and gap (24).
    pub line_bytes: u32,
    /// TCP or UDP payload by the IP length.
    pub payload: u32,
    /// Wire packets that the frame stands for, at least 1.
    pub segments: u32,
    /// Bytes of headers that each segment repeats, a stripped tag included.
    pub header_bytes: u16,
    /// How many of them come before the IP header.
    pub link_bytes: u16,
    /// Payload of a full segment, 0 if the frame is one packet.
    pub gso_size: u16,
    /// TCP sequence number.
    pub sequence: u32,
    /// TCP acknowledgement number.
    pub acknowledgement: u32,
    /// TCP window field, unscaled.
    pub window: u16,
    /// Maximum segment size option of a SYN, 0 if there is none.
    pub mss: u16,
    /// TCP time stamp and its echo (RFC 7323 §3), where `has_stamps`.
    pub stamp: u32,
    /// See `stamp`.
    pub stamp_echo: u32,
    /// TCP flags.
    pub tcp_flags: u8,
    /// Bytes of TCP options.
    pub tcp_option_bytes: u8,
    /// First byte behind the TCP header, where it was captured: of the payload, if there is any.
    pub first_byte: u8,
    /// The segment has time stamps.
    pub has_stamps: bool,
    /// Interface and direction.
    pub lane: Lane,
    /// The sender is the key's second end.
    pub reversed: bool,
    /// Totals by protocol.
    pub class: Class,
    /// What the table does with it.
    pub kind: Kind,
    /// Ethertype of what is not IP, else 0.
    pub ethertype: u16,
    /// The source cannot tell super-frames (a file): the flow's MSS has to.
    pub maybe_super: bool,
    /// Fewer bytes were captured than the frame had.
    pub truncated: bool,
    /// `segments` rests on an assumed MSS.
    pub estimated: bool,
    /// A fragment (first or later).
    pub fragment: bool,
    /// `head` is kept: a bond sends it.
    pub has_head: bool,
    /// How the frame begins, for the number of its link-layer addresses
    /// ([`pairs::LinkPairs`]); means nothing without `has_head`.
    pub head: Head,
}

impl Packet {
    /// Takes the frame apart into segments of `size` payload bytes.
    #[inline]
    pub fn split(&mut self, size: u16, payload_of_frame: u32) {
        if size == 0 || payload_of_frame <= size as u32 {
            return;
        }
        let size = size as u32;
        let segments = payload_of_frame.div_ceil(size);
        let repeated = segments - 1;
        self.segments = segments;
        self.gso_size = size as u16;
        let header = self.header_bytes as u32;
        // A frame is at most some 512 KiB (BIG TCP); a file that claims more is
        // not let past 32 bits.
        self.bytes = self.frame_bytes.saturating_add(repeated.saturating_mul(header));
        let ip_header = header.saturating_sub(self.link_bytes as u32);
        self.ip_bytes = self.ip_bytes.saturating_add(repeated.saturating_mul(ip_header));
        let padding = |payload: u32| 60u32.saturating_sub(header.saturating_add(payload));
        let padded = repeated
            .saturating_mul(padding(size))
            .saturating_add(padding(payload_of_frame - repeated * size));
        let gaps = padded.saturating_add(segments.saturating_mul(24));
        self.line_bytes = self.bytes.saturating_add(gaps);
    }
}

/// Turns frames into packets. One per worker, or one for a set of files.
pub struct Decoder {
    links: Vec<KnownLink>,
    fragments: FragmentTable,
    stacks: VlanStacks,
    quotes: bool,
}

impl Decoder {
    /// `stacks` is shared by all decoders of a run.
    pub fn new(links: Vec<LinkContext>, stacks: VlanStacks) -> Decoder {
        let links = links.into_iter().map(KnownLink::of).collect();
        Decoder { links, fragments: FragmentTable::new(), stacks, quotes: true }
    }

    /// Whether ICMP errors are told to the flows that they quote; they are at first.
    pub fn set_quotes(&mut self, quotes: bool) {
        self.quotes = quotes;
    }

    /// Sets what is known of an interface; links that were not set are alone in group 0.
    pub fn set_link(&mut self, link: LinkId, context: LinkContext) {
        let link = link as usize;
        if self.links.len() <= link {
            self.links.resize(link + 1, KnownLink::of(LinkContext::default()));
        }
        self.links[link] = KnownLink::of(context);
    }

    /// Understands one frame. Never fails: what cannot be understood is
    /// [`Kind::Untracked`].
    pub fn decode(&mut self, frame: &Frame<'_>) -> Packet {
        let mut packet = Packet::default();
        self.decode_into(frame, &mut packet);
        packet
    }

    /// The same into a place that is there already, so that a batch is filled
    /// without copying packets about.
    #[inline(always)]
    pub fn decode_into(&mut self, frame: &Frame<'_>, packet: &mut Packet) {
        let link = self.links.get(frame.link as usize).unwrap_or(&ALONE);
        let lane = match (frame.direction, &link.context.rule) {
            (Some(direction), _) => Lane::new(frame.link, direction),
            // Whose address the frame has is seen without understanding it.
            (None, DirectionRule::Mac(mac)) => Lane::new(frame.link, by_mac(mac, frame)),
            (None, _) => Lane::new(frame.link, Direction::Rx),
        };
        let needs = link.needs(frame.direction);
        if plain(frame, packet, &link.context, lane) {
            if needs == 0 {
                return;
            }
            if needs == HEAD {
                packet.has_head = keep_head(frame.data, &mut packet.head);
                return;
            }
        } else {
            self.decode_fully(frame, packet, lane);
        }
        if needs != 0 {
            self.apply_context(frame, packet);
        }
    }

    /// What an ICMP error says of a TCP connection, beside the packet that it is
    /// itself: nearly always nothing. Call it for each frame after `decode_into`.
    #[inline]
    pub fn quoted(&self, frame: &Frame<'_>, packet: &Packet) -> Option<Packet> {
        let is_icmp = matches!(packet.class, Class::Icmp | Class::Icmp6);
        if is_icmp && self.quotes { quote::of(frame, packet) } else { None }
    }

    /// Everything that [`plain`] leaves.
    #[inline(never)]
    fn decode_fully(&mut self, frame: &Frame<'_>, packet: &mut Packet, lane: Lane) {
        let known = &self.links.get(frame.link as usize).unwrap_or(&ALONE).context;
        let group = known.group;
        blank(packet, frame, lane);
        packet.maybe_super = known.from_file;
        let outcome = match headers::link(frame) {
            Ok(link) => self.network(frame, packet, link, group),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = outcome {
            packet.kind = Kind::Untracked(reason);
        }
    }

    /// Direction by rule; a stacked device's packets make no flows.
    #[inline(never)]
    fn apply_context(&mut self, frame: &Frame<'_>, packet: &mut Packet) {
        let Some(KnownLink { context, .. }) = self.links.get(frame.link as usize) else { return };
        if frame.direction.is_none() {
            packet.lane = Lane::new(frame.link, by_rule(&context.rule, frame, packet));
        }
        if context.second_copy && !matches!(packet.kind, Kind::Untracked(_)) {
            packet.kind = Kind::Untracked(Reason::SecondCopy);
        }
        if context.shares_load && packet.lane.direction() == Direction::Tx {
            packet.has_head = head_of(frame, &mut packet.head);
        }
    }

    #[inline]
    fn network(
        &mut self,
        frame: &Frame<'_>,
        packet: &mut Packet,
        link: Link,
        group: u8,
    ) -> Result<(), Reason> {
        packet.ethertype = link.ethertype;
        let vlan = if link.tags == 0 { 0 } else { self.stacks.number(link.tags) };
        let data = frame.data.get(link.offset..).unwrap_or(&[]);
        packet.link_bytes = link.offset as u16 + if frame.stripped_tag.is_some() { 4 } else { 0 };
        let network = match link.network {
            Network::Ipv4 => ipv4(data, packet, group, vlan, link.offset as u32, frame)?,
            Network::Ipv6 => ipv6(data, packet, group, vlan, link.offset as u32, frame)?,
            Network::None => return Err(Reason::NotIp),
        };
        packet.ethertype = 0;
        if network.fragment_offset != 0 {
            return self.later_fragment(packet, &network);
        }
        self.transport(frame, data.get(network.header_bytes as usize..).unwrap_or(&[]), packet, network)
    }

    /// Ports, TCP's fields, segments.
    #[inline]
    fn transport(
        &mut self,
        frame: &Frame<'_>,
        data: &[u8],
        packet: &mut Packet,
        network: IpLayer,
    ) -> Result<(), Reason> {
        let (source_port, destination_port, header);
        match network.protocol {
            protocol::TCP => {
                packet.class = Class::Tcp;
                packet.kind = Kind::Tcp;
                header = tcp(data, packet)?;
                (source_port, destination_port) = ports(data);
                packet.payload = network.payload_bytes.saturating_sub(header);
                if packet.kind == Kind::TcpInert || packet.tcp_flags & tcp_flag::RST != 0 {
                    // A RST's text and what is behind an impossible header is no payload.
                    packet.payload = 0;
                }
                if !network.more_fragments
                    && header > 20
                    && let Ok(slice) = TcpHeaderSlice::from_slice(data)
                {
                    headers::tcp_options(&slice, packet);
                }
                packet.first_byte = data.get(header as usize).copied().unwrap_or(0);
            }
            protocol::UDP | protocol::UDP_LITE => {
                packet.class = if network.protocol == protocol::UDP { Class::Udp } else { Class::OtherIp };
                packet.kind = Kind::Udp;
                if data.len() < 4 {
                    return Err(Reason::Truncated);
                }
                (source_port, destination_port) = ports(data);
                header = 8;
                packet.payload = network.payload_bytes.saturating_sub(8);
            }
            protocol::SCTP | protocol::DCCP => {
                packet.kind = Kind::Other;
                if data.len() < 4 {
                    return Err(Reason::Truncated);
                }
                (source_port, destination_port) = ports(data);
                header = 12;
                packet.payload = network.payload_bytes;
            }
            other => {
                packet.class = match other {
                    protocol::ICMP => Class::Icmp,
                    protocol::ICMP6 => Class::Icmp6,
                    _ => Class::OtherIp,
                };
                packet.kind = Kind::Other;
                (source_port, destination_port) = (0, 0);
                header = 0;
                packet.payload = network.payload_bytes;
            }
        }
        let fragmented = network.more_fragments;
        self.finish(packet, &network, source_port, destination_port);
        if fragmented {
            packet.fragment = true;
            self.fragments.remember(&network.fragment_id(), (source_port, destination_port), packet.time_ns);
        }
        packet.header_bytes =
            (packet.link_bytes as u32 + network.header_bytes + header).min(u16::MAX as u32) as u16;
        if frame.gso_size != 0 {
            self.segmented(frame, packet, &network);
        }
        Ok(())
    }

    #[inline]
    fn finish(&self, packet: &mut Packet, network: &IpLayer, source_port: u16, destination_port: u16) {
        let source = End { address: network.source, port: source_port };
        let destination = End { address: network.destination, port: destination_port };
        (packet.key, packet.reversed) =
            FlowKey::new(source, destination, network.protocol, network.ipv6, network.group, network.vlan);
    }

    /// A super-frame of a ring: wire packets by parsed header lengths. The
    /// virtio header's `hdr_len` is a hint that is wrong on received frames.
    #[cold]
    #[inline(never)]
    fn segmented(&self, frame: &Frame<'_>, packet: &mut Packet, network: &IpLayer) {
        let stripped = if frame.stripped_tag.is_some() { 4 } else { 0 };
        let outer = packet.header_bytes.saturating_sub(stripped);
        let inner = headers::tunnel_headers(frame.data, outer, network.protocol).unwrap_or(outer);
        packet.header_bytes = inner.saturating_add(stripped);
        let payload = packet.frame_bytes.saturating_sub(packet.header_bytes as u32);
        if network.ipv6 && headers::says_jumbo(frame.data, packet.link_bytes.saturating_sub(stripped)) {
            // The kernel's own note of the length, gone before the wire.
            packet.header_bytes = packet.header_bytes.saturating_sub(8);
            packet.split(frame.gso_size, payload);
            if packet.segments > 1 {
                packet.bytes -= 8;
                packet.ip_bytes -= 8;
                packet.line_bytes -= 8;
            }
        } else {
            packet.split(frame.gso_size, payload);
        }
        // Headers inside a tunnel are payload of the flow outside, in every segment.
        let inside = inner.saturating_sub(outer) as u32;
        packet.payload = packet.payload.saturating_add((packet.segments - 1).saturating_mul(inside));
    }

    #[cold]
    #[inline(never)]
    fn later_fragment(&mut self, packet: &mut Packet, network: &IpLayer) -> Result<(), Reason> {
        packet.fragment = true;
        packet.payload = network.payload_bytes;
        (packet.class, packet.kind) = match network.protocol {
            protocol::TCP => (Class::Tcp, Kind::TcpInert),
            protocol::UDP => (Class::Udp, Kind::Udp),
            protocol::UDP_LITE => (Class::OtherIp, Kind::Udp),
            protocol::ICMP => (Class::Icmp, Kind::Other),
            protocol::ICMP6 => (Class::Icmp6, Kind::Other),
            _ => (Class::OtherIp, Kind::Other),
        };
        if packet.kind == Kind::TcpInert {
            packet.payload = 0;
        }
        let has_ports = matches!(
            network.protocol,
            protocol::TCP | protocol::UDP | protocol::UDP_LITE | protocol::SCTP | protocol::DCCP
        );
        let (source_port, destination_port) = if has_ports {
            self.fragments
                .ports(&network.fragment_id(), packet.time_ns)
                .ok_or(Reason::FragmentWithoutFirst)?
        } else {
            (0, 0)
        };
        self.finish(packet, network, source_port, destination_port);
        Ok(())
    }
}

/// What is known before anything is parsed.
fn blank(packet: &mut Packet, frame: &Frame<'_>, lane: Lane) {
    let tag_bytes = if frame.stripped_tag.is_some() { 4 } else { 0 };
    let frame_bytes = frame.len.saturating_add(tag_bytes);
    *packet = Packet {
        time_ns: frame.time_ns,
        bytes: frame_bytes,
        frame_bytes,
        line_bytes: line_bytes(frame_bytes),
        lane,
        truncated: is_truncated(frame),
        ..BLANK
    };
}

/// Bytes on the line of one packet: padded, FCS, preamble and gap.
#[inline]
fn line_bytes(frame_bytes: u32) -> u32 {
    frame_bytes.max(60).saturating_add(24)
}

#[inline]
fn is_truncated(frame: &Frame<'_>) -> bool {
    (frame.data.len() as u64) < frame.len as u64
}

const BLANK: Packet = Packet {
    key: FlowKey { words: [0; 5] },
    time_ns: 0,
    bytes: 0,
    frame_bytes: 0,
    ip_bytes: 0,
    line_bytes: 0,
    payload: 0,
    segments: 1,
    header_bytes: 0,
    link_bytes: 0,
    gso_size: 0,
    sequence: 0,
    acknowledgement: 0,
    window: 0,
    mss: 0,
    stamp: 0,
    stamp_echo: 0,
    tcp_flags: 0,
    tcp_option_bytes: 0,
    first_byte: 0,
    has_stamps: false,
    lane: Lane(0),
    reversed: false,
    class: Class::NotIp,
    kind: Kind::Other,
    ethertype: 0,
    maybe_super: false,
    truncated: false,
    estimated: false,
    fragment: false,
    has_head: false,
    head: [0; HEAD_BYTES],
};

impl Default for Packet {
    fn default() -> Packet {
        BLANK
    }
}

/// Source and destination port; the caller has seen that four bytes are there.
#[inline]
fn ports(data: &[u8]) -> (u16, u16) {
    match data.first_chunk::<4>() {
        Some(p) => (u16::from_be_bytes([p[0], p[1]]), u16::from_be_bytes([p[2], p[3]])),
        None => (0, 0),
    }
}

/// Reads TCP's fixed header and returns its whole length. A cut option list
/// is "no options"; what cannot be a segment (RFC 9293 §3.10.7.4) is inert.
#[inline]
fn tcp(data: &[u8], packet: &mut Packet) -> Result<u32, Reason> {
    let Some(fixed) = data.first_chunk::<20>() else { return headers::cut_tcp(data, packet) };
    packet.sequence = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
    packet.acknowledgement = u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]);
    packet.window = u16::from_be_bytes([fixed[14], fixed[15]]);
    packet.tcp_flags = fixed[13];
    let header = (fixed[12] >> 4) as u32 * 4;
    packet.tcp_option_bytes = header.saturating_sub(20) as u8;
    if header < 20 || impossible(packet.tcp_flags) {
        packet.kind = Kind::TcpInert;
    }
    Ok(header)
}

/// SYN with FIN or RST, or none of SYN, RST, ACK.
#[inline]
pub(crate) fn impossible(flags: u8) -> bool {
    use tcp_flag::{ACK, FIN, RST, SYN};
    let syn_and_end = flags & SYN != 0 && flags & (FIN | RST) != 0;
    syn_and_end || flags & (SYN | RST | ACK) == 0
}

#[cfg(test)]
mod tests;
