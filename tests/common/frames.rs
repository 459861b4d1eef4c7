//! Frames as a test sends them: headers right, payload zeros.
#![allow(dead_code)] // each test program uses its part

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const UDP: u8 = 17;
pub const TCP: u8 = 6;
pub const ICMP: u8 = 1;
pub const ICMP6: u8 = 58;

/// A frame from and to stations that nobody is, so that the stack lets go of it
/// right behind the taps. No padding.
pub fn ethernet(tags: &[(u16, u16)], ethertype: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0xff, 9, 2, 0, 0, 0, 0xff, 8];
    for (kind, id) in tags {
        frame.extend(kind.to_be_bytes());
        frame.extend(id.to_be_bytes());
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(packet);
    frame
}

/// Who sends to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub source: (IpAddr, u16),
    pub destination: (IpAddr, u16),
}

impl Ends {
    pub fn v4(source: ([u8; 4], u16), destination: ([u8; 4], u16)) -> Ends {
        let end = |(ip, port): ([u8; 4], u16)| (IpAddr::V4(Ipv4Addr::from(ip)), port);
        Ends { source: end(source), destination: end(destination) }
    }
    pub fn v6(source: (u16, u16), destination: (u16, u16)) -> Ends {
        let end =
            |(last, port): (u16, u16)| (IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)), port);
        Ends { source: end(source), destination: end(destination) }
    }
    pub fn back(self) -> Ends {
        Ends { source: self.destination, destination: self.source }
    }
    fn ports(self) -> [u8; 4] {
        let ([a, b], [c, d]) = (self.source.1.to_be_bytes(), self.destination.1.to_be_bytes());
        [a, b, c, d]
    }
}

pub fn udp(ends: Ends, payload: usize) -> Vec<u8> {
    let mut segment = ends.ports().to_vec();
    segment.extend((8 + payload as u16).to_be_bytes());
    segment.extend([0; 2]);
    segment.extend(vec![0; payload]);
    segment
}

pub fn tcp(ends: Ends, sequence: u32, acknowledgement: u32, flags: u8, payload: usize) -> Vec<u8> {
    let mut segment = ends.ports().to_vec();
    segment.extend(sequence.to_be_bytes());
    segment.extend(acknowledgement.to_be_bytes());
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(vec![0; payload]);
    segment
}

/// An echo request or reply (`kind` as in the header) with identifier 7.
pub fn echo(kind: u8, payload: usize) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 7, 0, 1];
    message.extend(vec![0; payload]);
    message
}

/// IPv4 or IPv6, as the ends are.
pub fn ip(ends: Ends, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (ends.source.0, ends.destination.0) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ip4(source, destination, protocol, [0, 0], 0x4000, payload)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => ip6(source, destination, protocol, payload),
        _ => panic!("mixed ends"),
    }
}

fn ip4(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    id: [u8; 2],
    fragment: u16,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((20 + payload.len() as u16).to_be_bytes());
    packet.extend(id);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

fn ip6(source: Ipv6Addr, destination: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

/// The datagram's pieces, each with `piece` bytes (a multiple of 8) of it, the
/// last with the rest.
pub fn fragments(ends: Ends, protocol: u8, id: u16, datagram: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let pieces = datagram.chunks(piece).enumerate();
    let cut = pieces.map(|(number, part)| {
        let (offset, more) = ((number * piece) as u16, (number + 1) * piece < datagram.len());
        match (ends.source.0, ends.destination.0) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let field = offset / 8 | if more { 0x2000 } else { 0 };
                ip4(source, destination, protocol, id.to_be_bytes(), field, part)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut header = vec![protocol, 0];
                header.extend((offset | u16::from(more)).to_be_bytes());
                header.extend([0, 0]);
                header.extend(id.to_be_bytes());
                header.extend(part);
                ip6(source, destination, 44, &header)
            }
            _ => panic!("mixed ends"),
        }
    });
    cut.collect()
}

/// An ARP request, as short as it may be.
pub fn arp() -> Vec<u8> {
    let mut request = vec![0, 1, 8, 0, 6, 4, 0, 1];
    request.extend([2, 0, 0, 0, 0xff, 8, 198, 18, 0, 1, 0, 0, 0, 0, 0, 0, 198, 18, 0, 2]);
    ethernet(&[], 0x0806, &request)
}

/// Ethertype of a packet.
pub fn ethertype(packet: &[u8]) -> u16 {
    if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 }
}
