//! What the hash policies look at, taken from a frame or from a flow's key.
//!
//! A policy sees a packet in one of three ways: its Ethernet header; the IP
//! header behind it (and what an ICMP error quotes); or what the kernel's flow
//! dissector finds, inside tunnels. All three are taken at once, and none is
//! interpreted: that is `policy`'s. The outermost VLAN tag is kept beside the
//! frame by the kernel, so here it is nowhere in the layers.
//!
//! The kernel looks at less than a decoder does (it checks no version, length
//! or checksum), and a model has to be as credulous; that is why etherparse's
//! slices, which refuse what is malformed, do not serve. Any bytes give an
//! answer, none a panic. Protocols that only some kernels dissect (TIPC,
//! batman-adv, HSR, PRP, CFM) are taken as not understood. A second tag is
//! read as the dissector reads that of a forwarded frame; what this host tags
//! twice by VLAN devices it gives up, as they mark the network header behind.
//!
//! Sources: drivers/net/bonding/bond_main.c (`bond_flow_dissect`,
//! `bond_flow_ip`), net/core/flow_dissector.c (`__skb_flow_dissect`),
//! include/net/ip.h (`proto_ports_offset`); RFC 2516, 2784, 2637, 8200, 4302.

use crate::flow::key::{End, FlowKey};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const VLAN_AD: u16 = 0x88a8;
const PPPOE: u16 = 0x8864;
const MPLS: u16 = 0x8847;
const MPLS_MULTICAST: u16 = 0x8848;
const ARP: u16 = 0x0806;
const RARP: u16 = 0x8035;
const PTP: u16 = 0x88f7;
const FCOE: u16 = 0x8906;
/// Ethernet inside GRE.
const BRIDGED: u16 = 0x6558;
/// PPP inside GRE of version 1 (PPTP).
const GRE_PPP: u16 = 0x880b;
const SLOW_PROTOCOLS: u16 = 0x8809;
const LLDP: u16 = 0x88cc;

const HOP_BY_HOP: u8 = 0;
const ICMP: u8 = 1;
const IPIP: u8 = 4;
const TCP: u8 = 6;
const UDP: u8 = 17;
const DCCP: u8 = 33;
const IPV6_IN_IP: u8 = 41;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const GRE: u8 = 47;
const ESP: u8 = 50;
const AH: u8 = 51;
const ICMP6: u8 = 58;
const DESTINATION: u8 = 60;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;
const MPLS_IN_IP: u8 = 137;

/// Headers that the kernel's dissector walks at most.
const HEADERS_MAX: usize = 15;

/// The link layer: what all packets between two hosts on a VLAN share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct LinkPair {
    /// Destination MAC address.
    pub destination: [u8; 6],
    /// Source MAC address.
    pub source: [u8; 6],
    /// Ethertype behind the outermost tag: that of a second tag, if there is one.
    pub ethertype: u16,
    /// The outermost tag's word with its priority bits; `None`: no tag.
    pub tci: Option<u16>,
}

impl LinkPair {
    /// Of an Ethernet frame, as [`Header::of_frame`] takes it, and where the next
    /// header begins in it.
    pub fn of_frame(frame: &[u8], tag: Option<u16>) -> Option<(LinkPair, usize)> {
        let head = frame.first_chunk::<14>()?;
        let (mut ethertype, mut tci, mut at) = (u16::from_be_bytes([head[12], head[13]]), tag, 14);
        if tag.is_none()
            && matches!(ethertype, VLAN | VLAN_AD)
            && let Some(&[a, b, c, d]) = chunk::<4>(frame, 14)
        {
            (tci, ethertype, at) = (Some(u16::from_be_bytes([a, b])), u16::from_be_bytes([c, d]), 18);
        }
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = *head;
        let pair = LinkPair { destination: [a, b, c, d, e, f], source: [g, h, i, j, k, l], ethertype, tci };
        Some((pair, at))
    }

    /// As the bond gets it. No bond can leave the tag of MPLS to its slaves
    /// (`netif_skb_features`), so it is put into the frame before; the mark where
    /// the network header begins stays behind it, and a dissector starts there.
    fn on_its_way(self) -> LinkPair {
        let pushed = self.tci.is_some() && matches!(self.ethertype, MPLS | MPLS_MULTICAST);
        if pushed { LinkPair { ethertype: VLAN, tci: None, ..self } } else { self }
    }
}

/// The word that stands for what is behind IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Nothing: a fragment, a protocol without ports, cut off.
    None,
    /// Both ports, or the SPI of ESP or AH, as they stand in the packet.
    Ports([u8; 4]),
    /// ICMP of a type that has an id.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Id, as it stands in the packet.
        id: [u8; 2],
    },
}

/// An IP header as a policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Source.
    pub source: IpAddr,
    /// Destination.
    pub destination: IpAddr,
    /// What is behind it.
    pub word: Word,
}

/// The IP header that an ICMP error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoted {
    /// No ICMP error.
    Nothing,
    /// An error whose quote is cut off.
    Cut,
    /// An error that quotes this.
    Ip(Ip),
}

/// What the flow dissector comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// It gives up: to the kernel the packet is not IP.
    GivenUp,
    /// It understands something without addresses: ARP, MPLS, PTP.
    NoAddresses,
    /// The innermost IP header that it gets to.
    Ip(Ip),
}

/// All that a policy looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Ethernet.
    pub link: LinkPair,
    /// The IP header right behind; `None`: not IP, a second tag, cut off.
    pub own: Option<Ip>,
    /// What `own` quotes.
    pub quoted: Quoted,
    /// What the encap policies see.
    pub inside: Inside,
}

impl Header {
    /// Of an Ethernet frame without FCS; `tag` is the outermost tag's word where
    /// it was taken out of the frame. `None`: no whole Ethernet header.
    ///
    /// What a snaplen cut off is not there for this function, but was for the kernel.
    pub fn of_frame(frame: &[u8], tag: Option<u16>) -> Option<Header> {
        let (link, at) = LinkPair::of_frame(frame, tag)?;
        let link = link.on_its_way();
        let data = frame.get(at..).unwrap_or_default();
        let (own, quoted) = outside(link.ethertype, data);
        Some(Header { link, own, quoted, inside: inside(&link, data) })
    }

    /// Of the packets that one end of a flow sends over `link`; `reversed`: the
    /// key's second end sends. As if none had an extension header, were a
    /// fragment or in a tunnel: see [`is_told_by_key`].
    pub fn of_flow(link: LinkPair, key: &FlowKey, reversed: bool) -> Header {
        let link = link.on_its_way();
        let (from, to) = (usize::from(reversed), usize::from(!reversed));
        let ports = |end: End| end.port.to_be_bytes();
        let ([a, b], [c, d]) = (ports(key.end(from)), ports(key.end(to)));
        let word = if is_told_by_key(key.protocol()) { Word::Ports([a, b, c, d]) } else { Word::None };
        let ip = Ip { source: key.ip(from), destination: key.ip(to), word };
        let family = if key.is_ipv6() { IPV6 } else { IPV4 };
        let inside = match link.ethertype {
            VLAN | VLAN_AD if link.tci.is_none() => Inside::GivenUp,
            IPV4 | IPV6 | VLAN | VLAN_AD | PPPOE => Inside::Ip(ip),
            MPLS | MPLS_MULTICAST => Inside::NoAddresses,
            _ => Inside::GivenUp,
        };
        let own = (link.ethertype == family).then_some(ip);
        Header { link, own, quoted: Quoted::Nothing, inside }
    }

    /// Whether each slave sends such a frame by itself, whatever the policy:
    /// LACP and its kin, LLDP.
    pub fn is_of_slave(&self) -> bool {
        matches!(self.link.ethertype, SLOW_PROTOCOLS | LLDP)
    }
}

/// Whether a flow's key has all that a policy hashes of its packets, unless
/// they are fragments or have extension headers. Not so: an ICMP echo (its id),
/// an ICMP error (what it quotes), ESP and AH (the SPI), tunnels (what is inside).
pub fn is_told_by_key(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP | DCCP | SCTP | UDP_LITE)
}

fn chunk<const N: usize>(data: &[u8], at: usize) -> Option<&[u8; N]> {
    data.get(at..)?.first_chunk()
}

fn number(data: &[u8], at: usize) -> Option<u16> {
    chunk(data, at).map(|bytes| u16::from_be_bytes(*bytes))
}

/// An IP header's fields.
struct Layer {
    source: IpAddr,
    destination: IpAddr,
    /// What follows; in IPv6 an extension header's number counts as one.
    protocol: u8,
    /// An IPv4 fragment, first or later.
    fragment: bool,
    /// Where what follows begins, from the start of the data.
    behind: usize,
}

impl Layer {
    fn ip(&self, word: Word) -> Ip {
        Ip { source: self.source, destination: self.destination, word }
    }
}

/// The IP header of a family at an offset, not checked for anything but room.
fn layer(family: u16, data: &[u8], at: usize) -> Option<Layer> {
    match family {
        IPV4 => {
            let head = chunk::<20>(data, at)?;
            let address = |at| chunk::<4>(head, at).map(|bytes| IpAddr::V4(Ipv4Addr::from(*bytes)));
            Some(Layer {
                source: address(12)?,
                destination: address(16)?,
                protocol: head[9],
                fragment: u16::from_be_bytes([head[6], head[7]]) & 0x3fff != 0,
                behind: at + usize::from(head[0] & 0x0f) * 4,
            })
        }
        IPV6 => {
            let head = chunk::<40>(data, at)?;
            let address = |at| chunk::<16>(head, at).map(|bytes| IpAddr::V6(Ipv6Addr::from(*bytes)));
            let (source, destination) = (address(8)?, address(24)?);
            Some(Layer { source, destination, protocol: head[6], fragment: false, behind: at + 40 })
        }
        _ => None,
    }
}

/// Ports or SPI behind IP.
fn ports(protocol: u8, data: &[u8], at: usize) -> Word {
    let offset = match protocol {
        TCP | UDP | DCCP | ESP | SCTP | UDP_LITE => 0,
        AH => 4,
        _ => return Word::None,
    };
    chunk(data, at + offset).map_or(Word::None, |bytes| Word::Ports(*bytes))
}

/// ICMP's id where its type has one. The kernel does not ask whose type it is.
fn icmp(data: &[u8], at: usize) -> Word {
    match chunk::<8>(data, at) {
        Some(&[kind @ (0 | 8 | 13 | 14 | 128 | 129), code, _, _, a, b, _, _]) => {
            Word::Icmp { kind, code, id: [a, b] }
        }
        _ => Word::None,
    }
}

fn is_icmp_error(protocol: u8, data: &[u8], at: usize) -> bool {
    let Some(head) = chunk::<8>(data, at) else { return false };
    match protocol {
        ICMP => matches!(head[0], 3 | 4 | 5 | 11 | 12),
        ICMP6 => matches!(head[0], 1..=4),
        _ => false,
    }
}

/// What layer2+3 and layer3+4 see: the header behind Ethernet, and one that is quoted.
fn outside(ethertype: u16, data: &[u8]) -> (Option<Ip>, Quoted) {
    let Some(own) = layer(ethertype, data, 0) else { return (None, Quoted::Nothing) };
    if own.fragment {
        return (Some(own.ip(Word::None)), Quoted::Nothing);
    }
    let word = match own.protocol {
        ICMP | ICMP6 => icmp(data, own.behind),
        other => ports(other, data, own.behind),
    };
    let quoted = if !is_icmp_error(own.protocol, data, own.behind) {
        Quoted::Nothing
    } else {
        match layer(ethertype, data, own.behind + 8) {
            None => Quoted::Cut,
            Some(quoted) if quoted.fragment => Quoted::Ip(quoted.ip(Word::None)),
            Some(quoted) => Quoted::Ip(quoted.ip(ports(quoted.protocol, data, quoted.behind))),
        }
    };
    (Some(own.ip(word)), quoted)
}

/// What the encap policies see.
fn inside(link: &LinkPair, data: &[u8]) -> Inside {
    let tag_beside = link.tci.map(|_| link.ethertype);
    let mut dissector = Dissector { data, at: 0, tag_beside, found: Inside::NoAddresses, headers: 0 };
    let mut ethertype = link.ethertype;
    loop {
        match dissector.layer(ethertype) {
            Next::Layer(next) => ethertype = next,
            Next::Nothing => return dissector.found,
            Next::GiveUp => return Inside::GivenUp,
        }
        if dissector.too_many() {
            return dissector.found;
        }
    }
}

/// Where dissection goes on.
enum Next {
    /// With a header of this ethertype.
    Layer(u16),
    /// Nowhere: what was found is the answer.
    Nothing,
    /// Nowhere, and nothing was found.
    GiveUp,
}

struct Dissector<'a> {
    data: &'a [u8],
    at: usize,
    /// Ethertype behind the tag beside the frame, until the kernel has looked at that tag.
    tag_beside: Option<u16>,
    found: Inside,
    headers: usize,
}

impl Dissector<'_> {
    /// Counts a header; whether it is one more than the kernel walks.
    fn too_many(&mut self) -> bool {
        self.headers += 1;
        self.headers > HEADERS_MAX
    }

    /// One layer that an ethertype names.
    fn layer(&mut self, ethertype: u16) -> Next {
        let enough =
            |bytes: usize| if self.data.len() >= self.at + bytes { Next::Nothing } else { Next::GiveUp };
        match ethertype {
            IPV4 | IPV6 => self.ip(ethertype),
            VLAN | VLAN_AD => self.tag(),
            PPPOE => self.pppoe(),
            MPLS | MPLS_MULTICAST | ARP | RARP => Next::Nothing,
            PTP => enough(34),
            FCOE => enough(38),
            _ => Next::GiveUp,
        }
    }

    /// The first tag in the frame is mistaken for the one beside it, where there is one.
    fn tag(&mut self) -> Next {
        if let Some(ethertype) = self.tag_beside.take() {
            return Next::Layer(ethertype);
        }
        let Some(ethertype) = number(self.data, self.at + 2) else { return Next::GiveUp };
        self.at += 4;
        Next::Layer(ethertype)
    }

    /// RFC 2516, which has no compressed protocols (some kernels did: 6.0 and on).
    fn pppoe(&mut self) -> Next {
        let Some(&[0x11, 0, _, _, _, _, high, low]) = chunk::<8>(self.data, self.at) else {
            return Next::GiveUp;
        };
        self.at += 8;
        let protocol = u16::from_be_bytes([high, low]);
        match protocol {
            0x0021 => Next::Layer(IPV4),
            0x0057 => Next::Layer(IPV6),
            0x0281 => Next::Layer(MPLS),
            0x0283 => Next::Layer(MPLS_MULTICAST),
            _ if protocol & 0x0101 == 1 => Next::Nothing,
            _ => Next::GiveUp,
        }
    }

    fn ip(&mut self, family: u16) -> Next {
        let Some(layer) = layer(family, self.data, self.at) else { return Next::GiveUp };
        if family == IPV4 && layer.behind < self.at + 20 {
            return Next::GiveUp;
        }
        self.at = layer.behind;
        self.found = Inside::Ip(layer.ip(Word::None));
        if layer.fragment {
            return Next::Nothing;
        }
        let mut protocol = layer.protocol;
        loop {
            let next = match protocol {
                HOP_BY_HOP | ROUTING | DESTINATION if family == IPV6 => {
                    let Some(&[next, length]) = chunk(self.data, self.at) else { return Next::GiveUp };
                    (protocol, self.at) = (next, self.at + (usize::from(length) + 1) * 8);
                    None
                }
                _ => Some(self.transport(protocol, family, &layer)),
            };
            if let Some(next) = next {
                return next;
            }
            self.found = Inside::Ip(layer.ip(ports(protocol, self.data, self.at)));
            if self.too_many() {
                return Next::Nothing;
            }
        }
    }

    /// What stands behind IP and its options.
    fn transport(&mut self, protocol: u8, family: u16, layer: &Layer) -> Next {
        let word = match protocol {
            FRAGMENT if family == IPV6 => {
                // First or later: no ports.
                self.found = Inside::Ip(layer.ip(Word::None));
                return if self.data.len() >= self.at + 8 { Next::Nothing } else { Next::GiveUp };
            }
            GRE => return self.gre(),
            IPIP => return Next::Layer(IPV4),
            IPV6_IN_IP => return Next::Layer(IPV6),
            MPLS_IN_IP => return Next::Layer(MPLS),
            ICMP | ICMP6 => icmp(self.data, self.at),
            _ => ports(protocol, self.data, self.at),
        };
        self.found = Inside::Ip(layer.ip(word));
        Next::Nothing
    }

    /// RFC 2784, 2890 (version 0), 2637 (version 1).
    fn gre(&mut self) -> Next {
        let (Some(flags), Some(mut protocol)) = (number(self.data, self.at), number(self.data, self.at + 2))
        else {
            return Next::GiveUp;
        };
        let (checksum, routing, key) = (flags & 0x8000 != 0, flags & 0x4000 != 0, flags & 0x2000 != 0);
        let (sequence, acknowledgement, version) = (flags & 0x1000 != 0, flags & 0x0080 != 0, flags & 7);
        let pptp = version == 1 && protocol == GRE_PPP && key;
        if routing || (version != 0 && !pptp) {
            return Next::Nothing;
        }
        let mut at = self.at + 4 + if checksum { 4 } else { 0 };
        if key {
            if chunk::<4>(self.data, at).is_none() {
                return Next::GiveUp;
            }
            at += 4;
        }
        at += if sequence { 4 } else { 0 };
        if pptp {
            at += if acknowledgement { 4 } else { 0 };
            match number(self.data, at + 2) {
                None => return Next::GiveUp,
                Some(0x0021) => protocol = IPV4,
                Some(0x0057) => protocol = IPV6,
                Some(_) => {}
            }
            at += 4;
        } else if protocol == BRIDGED {
            let Some(inner) = number(self.data, at + 12) else { return Next::GiveUp };
            protocol = inner;
            at += 14;
        }
        self.at = at;
        Next::Layer(protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Ethernet, and what is behind it.
    fn frame(ethertype: u16, behind: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        bytes.extend(ethertype.to_be_bytes());
        bytes.extend(behind.concat());
        bytes
    }

    /// 192.0.2.`last` to 198.51.100.`last`.
    fn ipv4(protocol: u8, last: u8) -> Vec<u8> {
        let mut header = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
        header.extend([192, 0, 2, last, 198, 51, 100, last]);
        header
    }

    fn ipv6(protocol: u8) -> Vec<u8> {
        let mut header = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
        header.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        header.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        header
    }

    fn of(bytes: &[u8]) -> Header {
        Header::of_frame(bytes, None).expect("a whole Ethernet header")
    }

    fn word(inside: Inside) -> Option<Word> {
        if let Inside::Ip(ip) = inside { Some(ip.word) } else { None }
    }

    const PORTS: [u8; 8] = [0x9c, 0x40, 0, 80, 1, 2, 3, 4];
    const SEEN: Word = Word::Ports([0x9c, 0x40, 0, 80]);

    #[test]
    fn a_tag_beside_the_frame_or_in_it_is_the_same() {
        let behind = [ipv4(TCP, 1), PORTS.to_vec()].concat();
        let beside = Header::of_frame(&frame(IPV4, &[&behind]), Some(0x600a)).expect("a frame");
        let within = of(&frame(VLAN, &[&[0x60, 0x0a, 0x08, 0x00], &behind]));
        assert_eq!(beside, within);
        assert_eq!((beside.link.ethertype, beside.link.tci), (IPV4, Some(0x600a)));
        // A second one hides the packet from all but the encap policies.
        let two = of(&frame(VLAN_AD, &[&[0, 5, 0x81, 0x00, 0, 6, 0x08, 0x00], &behind]));
        assert_eq!((two.link.ethertype, two.link.tci, two.own), (VLAN, Some(5), None));
        assert_eq!(two.inside, beside.inside);
    }

    #[test]
    fn words_by_protocol() {
        for protocol in [TCP, UDP, DCCP, SCTP, UDP_LITE, ESP] {
            let header = of(&frame(IPV4, &[&ipv4(protocol, 1), &PORTS]));
            assert_eq!((header.own.map(|ip| ip.word), word(header.inside)), (Some(SEEN), Some(SEEN)));
        }
        let spi = Some(Word::Ports([1, 2, 3, 4]));
        let header = of(&frame(IPV6, &[&ipv6(AH), &PORTS]));
        assert_eq!((header.own.map(|ip| ip.word), word(header.inside)), (spi, spi));
        for protocol in [2, 89, 112, GRE] {
            assert_eq!(
                of(&frame(IPV4, &[&ipv4(protocol, 1), &PORTS])).own.map(|ip| ip.word),
                Some(Word::None)
            );
        }
        // Cut behind the addresses.
        assert_eq!(of(&frame(IPV4, &[&ipv4(TCP, 1), &PORTS[..3]])).own.map(|ip| ip.word), Some(Word::None));
    }

    #[test]
    fn fragments_and_extension_headers() {
        let mut first = ipv4(UDP, 1);
        first[6] = 0x20;
        let header = of(&frame(IPV4, &[&first, &PORTS]));
        assert_eq!((header.own.map(|ip| ip.word), word(header.inside)), (Some(Word::None), Some(Word::None)));
        // Only the dissector walks options; to the other policies they hide the ports.
        let header = of(&frame(IPV6, &[&ipv6(HOP_BY_HOP), &[TCP, 0, 0, 0, 0, 0, 0, 0], &PORTS]));
        assert_eq!((header.own.map(|ip| ip.word), word(header.inside)), (Some(Word::None), Some(SEEN)));
        let header = of(&frame(IPV6, &[&ipv6(FRAGMENT), &[TCP, 0, 0, 1, 0, 0, 0, 0], &PORTS]));
        assert_eq!((header.own.map(|ip| ip.word), word(header.inside)), (Some(Word::None), Some(Word::None)));
        let options = [DESTINATION, 0, 0, 0, 0, 0, 0, 0].repeat(20);
        assert_eq!(word(of(&frame(IPV6, &[&ipv6(DESTINATION), &options])).inside), Some(Word::None));
    }

    #[test]
    fn an_error_has_what_it_quotes() {
        let quoted = [ipv4(TCP, 9), PORTS.to_vec()].concat();
        let error = [3, 3, 0, 0, 0, 0, 0, 0];
        let header = of(&frame(IPV4, &[&ipv4(ICMP, 1), &error, &quoted]));
        let expected = of(&frame(IPV4, &[&quoted])).own.expect("IP");
        assert_eq!(header.quoted, Quoted::Ip(expected));
        assert_eq!(word(header.inside), Some(Word::None));
        assert_eq!(of(&frame(IPV4, &[&ipv4(ICMP, 1), &error, &quoted[..19]])).quoted, Quoted::Cut);
        let echo = of(&frame(IPV4, &[&ipv4(ICMP, 1), &[8, 0, 9, 9, 0x12, 0x34, 0, 1]]));
        assert_eq!(echo.quoted, Quoted::Nothing);
        assert_eq!(word(echo.inside), Some(Word::Icmp { kind: 8, code: 0, id: [0x12, 0x34] }));
    }

    #[test]
    fn tunnels_are_looked_into() {
        let inner = [ipv4(TCP, 9), PORTS.to_vec()].concat();
        let expected = of(&frame(IPV4, &[&inner])).inside;
        let ethernet = &frame(IPV4, &[])[..];
        let tunnels: [(u16, Vec<u8>); 6] = [
            (IPV4, ipv4(IPIP, 1)),
            (IPV6, ipv6(IPIP)),
            (IPV4, [ipv4(GRE, 1), vec![0, 0, 8, 0]].concat()),
            (IPV4, [&ipv4(GRE, 1), &[0xb0, 0, 8, 0][..], &[0; 12]].concat()),
            (IPV4, [&ipv4(GRE, 1), &[0, 0, 0x65, 0x58][..], ethernet].concat()),
            (PPPOE, vec![0x11, 0, 0, 1, 0, 48, 0, 0x21]),
        ];
        for (ethertype, outer) in tunnels {
            let header = of(&frame(ethertype, &[&outer, &inner]));
            assert_eq!(header.inside, expected, "{outer:02x?}");
            assert_eq!(header.own.is_some(), ethertype != PPPOE);
        }
        // VXLAN is UDP to the kernel.
        let vxlan = of(&frame(IPV4, &[&ipv4(UDP, 1), &[0x9c, 0x40, 0x12, 0xb5, 0, 0, 0, 0], &inner]));
        assert_eq!(word(vxlan.inside), Some(Word::Ports([0x9c, 0x40, 0x12, 0xb5])));
    }

    #[test]
    fn what_is_not_ip() {
        assert_eq!(of(&frame(ARP, &[&[0; 28]])).inside, Inside::NoAddresses);
        assert_eq!(of(&frame(0x88b5, &[&[0; 46]])).inside, Inside::GivenUp);
        assert!(of(&frame(SLOW_PROTOCOLS, &[])).is_of_slave() && !of(&frame(ARP, &[])).is_of_slave());
        assert_eq!(Header::of_frame(&[0; 13], Some(1)), None);
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_answer(
            start in prop::sample::select(vec![IPV4, IPV6, VLAN, PPPOE, ARP, 0x1234]),
            protocol in prop::sample::select(vec![0_u8, 1, 4, 6, 41, 43, 44, 47, 51, 58, 60]),
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            tag in any::<Option<u16>>(),
        ) {
            for (place, value) in [(12, (start >> 8) as u8), (13, start as u8), (20, protocol), (23, protocol)] {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = value;
                }
            }
            prop_assert_eq!(Header::of_frame(&bytes, tag).is_some(), bytes.len() >= 14);
        }

        /// A flow's key and its link say as much as its packets.
        #[test]
        fn a_flow_is_its_packets(
            addresses in any::<[u8; 32]>(), ports in any::<[u8; 4]>(), tag in any::<Option<u16>>(),
            way in 0..5_u8, v6 in any::<bool>(),
            protocol in prop::sample::select(vec![TCP, UDP, DCCP, SCTP, UDP_LITE]),
        ) {
            let ethertype = if v6 { IPV6 } else { IPV4 };
            let mut network = if v6 { ipv6(protocol) } else { ipv4(protocol, 1) };
            let (at, size) = if v6 { (8, 16) } else { (12, 4) };
            network[at..at + 2 * size].copy_from_slice(&addresses[..2 * size]);
            let behind = [&network[..], &ports].concat();
            let ppp = if v6 { 0x57 } else { 0x21 };
            let bytes = match (way, tag) {
                (0, Some(_)) => frame(VLAN, &[&[0, 7], &ethertype.to_be_bytes(), &behind]),
                (1, _) => frame(PPPOE, &[&[0x11, 0, 0, 1, 0, 60, 0, ppp], &behind]),
                (2, _) => frame(MPLS, &[&[0, 1, 1, 64], &behind]),
                // A tag that the kernel knows nothing of.
                (3, Some(_)) => frame(0x9100, &[&[0, 7], &ethertype.to_be_bytes(), &behind]),
                _ => frame(ethertype, &[&behind]),
            };
            let header = Header::of_frame(&bytes, tag).expect("a whole Ethernet header");
            let end = |at: usize, port: usize| {
                let mut address = [0; 16];
                address[16 - size..].copy_from_slice(&network[at..at + size]);
                let whole = u128::from_be_bytes(address);
                End { address: [(whole >> 64) as u64, whole as u64], port: u16::from_be_bytes([ports[port], ports[port + 1]]) }
            };
            let (key, reversed) = FlowKey::new(end(at, 0), end(at + size, 2), protocol, v6, 3, 0);
            prop_assert_eq!(Header::of_flow(header.link, &key, reversed), header);
        }
    }
}
