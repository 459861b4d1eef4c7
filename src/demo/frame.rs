//! One frame after the other, in a buffer that is used again.

use super::{HERE_MAC, LINKS, MTU, Way};
use etherparse::{IcmpEchoHeader, Icmpv4Type, IpHeaders, PacketBuilder, PacketBuilderStep, icmpv4};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Payload of everything: nobody reads it.
static ZEROES: [u8; MTU as usize] = [0; MTU as usize];
/// What a sender has room for.
const WINDOW: u16 = 65_000;

/// A machine at the other end, as the wire shows it.
#[derive(Clone, Copy, Debug)]
pub struct Far {
    /// Who has its frames next: itself, or a router.
    pub mac: [u8; 6],
    /// Link on which its frames come: the switch's choice.
    pub link: usize,
}

impl Far {
    /// Routers on the way have taken so much of its packets' time to live.
    const TTL: u8 = 57;
    const TTL_HERE: u8 = 64;
}

/// Flags of a TCP segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Begins.
    pub syn: bool,
    /// Acknowledges.
    pub ack: bool,
    /// Ends its direction.
    pub fin: bool,
    /// Ends all.
    pub rst: bool,
}

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Who sends it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// Sequence number.
    pub seq: u32,
    /// What is acknowledged.
    pub ack: u32,
    /// Its flags.
    pub flags: Flags,
    /// Bytes that it carries, at most what the MTU leaves.
    pub length: usize,
}

/// Makes frames.
#[derive(Default)]
pub struct Maker {
    buffer: Vec<u8>,
}

impl Maker {
    /// A TCP segment.
    pub fn tcp(&mut self, far: &Far, sent: bool, segment: &Segment) -> Option<(Way, &[u8])> {
        let Segment { from, to, seq, ack, flags, length } = *segment;
        let mut step = ip(far, sent, from.ip(), to.ip())?.tcp(from.port(), to.port(), seq, WINDOW);
        if flags.syn {
            let room = MTU as u16 - if from.is_ipv4() { 40 } else { 60 };
            step = step.syn().options(&[etherparse::TcpOptionElement::MaximumSegmentSize(room)]).ok()?;
        }
        if flags.ack {
            step = step.ack(ack);
        }
        if flags.fin {
            step = step.fin();
        }
        if flags.rst {
            step = step.rst();
        }
        self.buffer.clear();
        step.write(&mut self.buffer, &[]).ok()?;
        self.grow(length, from.is_ipv4())?;
        Some(self.done(far, sent))
    }

    /// So many zeroes behind the headers of a TCP segment without payload. They change
    /// no sum but by their number, which is added (RFC 1624) where summing nine thousand
    /// of them for each frame would cost most of what all this costs.
    fn grow(&mut self, length: usize, v4: bool) -> Option<()> {
        const IP: usize = 14;
        let more = u16::try_from(length).ok()?;
        let (at_length, tcp) = if v4 { (IP + 2, IP + 20) } else { (IP + 4, IP + 40) };
        change(&mut self.buffer, at_length, |old| old.checked_add(more))?;
        let summed = |sum: u16| {
            let (sum, carry) = (!sum).overflowing_add(more);
            Some(!(sum + u16::from(carry)))
        };
        if v4 {
            change(&mut self.buffer, IP + 10, summed)?;
        }
        change(&mut self.buffer, tcp + 16, summed)?;
        self.buffer.extend_from_slice(ZEROES.get(..length)?);
        Some(())
    }

    /// A UDP datagram of `length` bytes of payload.
    pub fn udp(
        &mut self,
        far: &Far,
        sent: bool,
        [from, to]: [SocketAddr; 2],
        length: usize,
    ) -> Option<(Way, &[u8])> {
        self.buffer.clear();
        let step = ip(far, sent, from.ip(), to.ip())?.udp(from.port(), to.port());
        step.write(&mut self.buffer, ZEROES.get(..length)?).ok()?;
        Some(self.done(far, sent))
    }

    /// An ICMP echo request or reply of this sequence number.
    pub fn echo(
        &mut self,
        far: &Far,
        sent: bool,
        [from, to]: [Ipv4Addr; 2],
        seq: u16,
    ) -> Option<(Way, &[u8])> {
        let echo = IcmpEchoHeader { id: 77, seq };
        let kind = if sent { Icmpv4Type::EchoRequest(echo) } else { Icmpv4Type::EchoReply(echo) };
        self.buffer.clear();
        ip(far, sent, from.into(), to.into())?
            .icmpv4(kind)
            .write(&mut self.buffer, ZEROES.get(..56)?)
            .ok()?;
        Some(self.done(far, sent))
    }

    /// What a router says of a packet whose host cannot be reached: it quotes the
    /// packet from its IP header on.
    pub fn unreachable(
        &mut self,
        far: &Far,
        [router, here]: [Ipv4Addr; 2],
        segment: &Segment,
    ) -> Option<(Way, &[u8])> {
        const ETHERNET: usize = 14;
        let quoted = self.tcp(far, true, segment)?.1.get(ETHERNET..)?.to_vec();
        let kind = Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Host);
        self.buffer.clear();
        ip(far, false, router.into(), here.into())?.icmpv4(kind).write(&mut self.buffer, &quoted).ok()?;
        Some(self.done(far, false))
    }

    fn done(&self, far: &Far, sent: bool) -> (Way, &[u8]) {
        let way = if sent { Way::Sent(layer2(&self.buffer)) } else { Way::Received(far.link) };
        (way, &self.buffer)
    }
}

/// Ethernet and IP; None for addresses of two families.
fn ip(far: &Far, sent: bool, from: IpAddr, to: IpAddr) -> Option<PacketBuilderStep<IpHeaders>> {
    let (source, destination, ttl) =
        if sent { (HERE_MAC, far.mac, Far::TTL_HERE) } else { (far.mac, HERE_MAC, Far::TTL) };
    let step = PacketBuilder::ethernet2(source, destination);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Some(step.ipv4(from.octets(), to.octets(), ttl)),
        (IpAddr::V6(from), IpAddr::V6(to)) => Some(step.ipv6(from.octets(), to.octets(), ttl)),
        _ => None,
    }
}

/// Changes a number of two bytes; None where there is none, or no room in it.
fn change(frame: &mut [u8], at: usize, to: impl Fn(u16) -> Option<u16>) -> Option<()> {
    let place = frame.get_mut(at..)?.first_chunk_mut()?;
    *place = to(u16::from_be_bytes(*place))?.to_be_bytes();
    Some(())
}

/// The link on which bonding's policy layer2 sends a frame (bond_eth_hash).
fn layer2(frame: &[u8]) -> usize {
    let byte = |at: usize| frame.get(at).copied().unwrap_or_default();
    let hash = u16::from_be_bytes([byte(12), byte(13)]) ^ u16::from(byte(5) ^ byte(11));
    usize::from(hash) % LINKS.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    /// Sums as etherparse makes them over every byte.
    #[test]
    fn sums_are_right_whatever_the_length() {
        let far = Far { mac: [2; 6], link: 0 };
        let mut maker = Maker::default();
        for (from, to) in
            [("198.18.0.10:443", "203.0.113.9:50000"), ("[2001:db8::10]:443", "[2001:db8::9]:7")]
        {
            for (seq, length) in
                [(0, 0), (1, 1), (77, 2), (0xffff_fff0, 1448), (0x1234_5678, 8900), (9, 8940)]
            {
                let (from, to) = (from.parse().expect("an address"), to.parse().expect("an address"));
                let flags = Flags { ack: true, ..Flags::default() };
                let segment = Segment { from, to, seq, ack: seq ^ 0xa5a5, flags, length };
                let (_, frame) = maker.tcp(&far, true, &segment).expect("a frame");
                let packet = SlicedPacket::from_ethernet(frame).expect("a frame");
                let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!("no TCP") };
                assert_eq!(tcp.payload().len(), length);
                let sum = match packet.net.expect("IP") {
                    NetSlice::Ipv4(ip) => {
                        let header = ip.header().to_header();
                        assert_eq!(header.header_checksum, header.calc_header_checksum());
                        tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination())
                    }
                    NetSlice::Ipv6(ip) => {
                        tcp.calc_checksum_ipv6(ip.header().source(), ip.header().destination())
                    }
                    NetSlice::Arp(_) => panic!("ARP"),
                };
                assert_eq!(sum.expect("a sum"), tcp.checksum(), "{length} bytes behind {from}");
            }
        }
    }
}
