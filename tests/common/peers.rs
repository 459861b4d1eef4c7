//! Peers that answer as told: segments with right sums, ICMP errors that quote
//! them, and a station on an interface that hears and sends by a script.
//!
//! Built and read here by hand, so that nothing of the program is taken for truth.
#![allow(dead_code)] // each test program uses its part

use super::frames::{Ends, ICMP, ICMP6, TCP, ethertype, ip, tcp};
use super::live::netns::Netns;
use afpacket::sync::RawPacketStream;
use std::collections::HashMap;
use std::io::Read;
use std::net::IpAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub ends: Ends,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub flags: u8,
    /// TSval and TSecr (RFC 7323).
    pub stamps: Option<[u32; 2]>,
}

impl Segment {
    pub fn syn(ends: Ends, sequence: u32, stamp: Option<u32>) -> Segment {
        let stamps = stamp.map(|stamp| [stamp, 0]);
        Segment { ends, sequence, acknowledgement: 0, flags: SYN, stamps }
    }

    /// What acknowledges it, from the other end, whose next number is `sequence`.
    pub fn answer(&self, flags: u8, sequence: u32, stamp: Option<u32>) -> Segment {
        let acknowledgement = self.sequence.wrapping_add(u32::from(self.flags & (SYN | FIN) != 0));
        let echo = self.stamps.map_or(0, |[stamp, _]| stamp);
        let stamps = stamp.map(|stamp| [stamp, echo]);
        Segment { ends: self.ends.back(), sequence, acknowledgement, flags, stamps }
    }

    /// An IP packet with right sums.
    pub fn packet(&self) -> Vec<u8> {
        let mut segment = tcp(self.ends, self.sequence, self.acknowledgement, self.flags, 0);
        if let Some([stamp, echo]) = self.stamps {
            segment.extend([1, 1, 8, 10]);
            segment.extend(stamp.to_be_bytes());
            segment.extend(echo.to_be_bytes());
            segment[12] = 0x80;
        }
        with_sum(self.ends, TCP, &mut segment, 16);
        whole(self.ends, TCP, &segment)
    }

    /// The segment of a packet.
    pub fn of(packet: &[u8]) -> Option<Segment> {
        let (protocol, [source, destination], inside) = opened(packet)?;
        if protocol != TCP {
            return None;
        }
        let word = |at: usize| Some(u32::from_be_bytes(inside.get(at..at + 4)?.try_into().ok()?));
        let ports = word(0)?;
        let ends = Ends { source: (source, (ports >> 16) as u16), destination: (destination, ports as u16) };
        // A quote may have no more than the first eight bytes.
        let flags = inside.get(13).copied().unwrap_or(0);
        let options = inside.get(20..usize::from(inside.get(12).copied().unwrap_or(0) >> 4) * 4);
        let stamps = options.and_then(stamps_of);
        Some(Segment { ends, sequence: word(4)?, acknowledgement: word(8).unwrap_or(0), flags, stamps })
    }
}

fn stamps_of(mut options: &[u8]) -> Option<[u32; 2]> {
    loop {
        match *options.first()? {
            0 => return None,
            1 => options = &options[1..],
            8 => {
                let word = |at: usize| Some(u32::from_be_bytes(options.get(at..at + 4)?.try_into().ok()?));
                return Some([word(2)?, word(6)?]);
            }
            _ => options = options.get(usize::from(*options.get(1)?).max(2)..)?,
        }
    }
}

/// Protocol, addresses and payload of a packet without extension headers.
fn opened(packet: &[u8]) -> Option<(u8, [IpAddr; 2], &[u8])> {
    if packet.first()? >> 4 == 4 {
        let header = usize::from(packet[0] & 15) * 4;
        let address = |at: usize| <[u8; 4]>::try_from(packet.get(at..at + 4)?).ok().map(IpAddr::from);
        Some((*packet.get(9)?, [address(12)?, address(16)?], packet.get(header..)?))
    } else {
        let address = |at: usize| <[u8; 16]>::try_from(packet.get(at..at + 16)?).ok().map(IpAddr::from);
        Some((*packet.get(6)?, [address(8)?, address(24)?], packet.get(40..)?))
    }
}

/// Type and code of an ICMP error, and the segment that it quotes.
pub fn quoted(packet: &[u8]) -> Option<([u8; 2], Segment)> {
    let (protocol, _, inside) = opened(packet)?;
    let errors = [ICMP, ICMP6].contains(&protocol);
    let segment = Segment::of(inside.get(8..)?).filter(|_| errors)?;
    Some(([inside[0], inside[1]], segment))
}

/// An ICMP error of this type and code by `router` about a packet; an MTU of
/// 1280 stands where those that tell one have it.
pub fn icmp_error(icmp: [u8; 2], router: IpAddr, packet: &[u8]) -> Vec<u8> {
    let (_, [sender, _], _) = opened(packet).expect("a packet");
    let mut message = vec![icmp[0], icmp[1], 0, 0, 0, 0, 5, 0];
    let ends = Ends { source: (router, 0), destination: (sender, 0) };
    // IPv4: the header and eight bytes (RFC 792); IPv6: as much as fits (RFC 4443 §2.4).
    let (protocol, most) = if sender.is_ipv4() { (ICMP, 28) } else { (ICMP6, 1232) };
    message.extend(&packet[..packet.len().min(most)]);
    with_sum(ends, protocol, &mut message, 2);
    whole(ends, protocol, &message)
}

fn whole(ends: Ends, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = ip(ends, protocol, payload);
    if ends.source.0.is_ipv4() {
        let sum = sum(&packet[..20]);
        packet[10..12].copy_from_slice(&(!sum).to_be_bytes());
    }
    packet
}

/// Puts the sum where it belongs (RFC 9293 §3.1, RFC 792, RFC 4443 §2.3).
fn with_sum(ends: Ends, protocol: u8, message: &mut [u8], at: usize) {
    let mut covered = Vec::new();
    if protocol != ICMP {
        for address in [ends.source.0, ends.destination.0] {
            match address {
                IpAddr::V4(ip) => covered.extend(ip.octets()),
                IpAddr::V6(ip) => covered.extend(ip.octets()),
            }
        }
        covered.extend([0, protocol]);
        covered.extend((message.len() as u16).to_be_bytes());
    }
    covered.extend(&*message);
    message[at..at + 2].copy_from_slice(&(!sum(&covered)).to_be_bytes());
}

/// Sum of 16-bit words with end-around carry (RFC 1071).
fn sum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The packet of an Ethernet frame without tags.
pub fn packet_of(frame: &[u8]) -> Option<&[u8]> {
    let packet = frame.get(14..).filter(|packet| packet.len() >= 20)?;
    (u16::from_be_bytes([frame[12], frame[13]]) == ethertype(packet)).then_some(packet)
}

/// What to send, after so many milliseconds.
pub type Reply = Vec<(u64, Vec<u8>)>;

/// A station: hears what passes one interface, sends by the same or another.
pub struct Station<'a> {
    pub hears: (&'a Netns, &'a str),
    pub sends: (&'a Netns, &'a str),
    /// Ethernet address of whom it talks to.
    pub to: String,
}

impl Station<'_> {
    /// Sends `first` now, and then what `script` says to each segment that
    /// passes. It is given all copies so far (same ends and flags), the latest
    /// last, and the latest as a packet. Ends with its interface.
    pub fn run(self, first: Reply, script: impl Fn(&[Segment], &[u8]) -> Reply + Send + 'static) {
        let (netns, interface) = self.hears;
        let mut ear = netns.run(|| {
            let mut ear = RawPacketStream::new().expect("a packet socket");
            ear.bind(interface).expect("the interface exists");
            ear
        });
        let mut mouth = self.sends.0.injector(self.sends.1);
        let mac = self.to.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("an Ethernet address"));
        let mac: Vec<u8> = mac.collect();
        let (heard, frames) = mpsc::channel::<Vec<u8>>();
        std::thread::spawn(move || {
            let mut frame = [0; 2048];
            while let Ok(length) = ear.read(&mut frame) {
                if heard.send(frame[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        std::thread::spawn(move || {
            let begin = Instant::now();
            let due = |(ms, packet)| (begin + Duration::from_millis(ms), packet);
            let mut waiting: Vec<(Instant, Vec<u8>)> = first.into_iter().map(due).collect();
            let mut copies: HashMap<_, Vec<Segment>> = HashMap::new();
            loop {
                waiting.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
                let now = Instant::now();
                while let Some((_, packet)) = waiting.pop_if(|(at, _)| *at <= now) {
                    let kind = ethertype(&packet).to_be_bytes();
                    mouth.send(&[&mac[..], &[2, 0, 0, 0, 0xff, 7], &kind, &packet].concat());
                }
                let patience = waiting.last().map_or(Duration::from_secs(60), |(at, _)| *at - now);
                let frame = match frames.recv_timeout(patience) {
                    Ok(frame) => frame,
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                let now = Instant::now();
                let Some(packet) = packet_of(&frame) else { continue };
                let Some(segment) = Segment::of(packet) else { continue };
                let Ends { source, destination } = segment.ends;
                let known = copies.entry((source, destination, segment.flags)).or_default();
                known.push(segment);
                let reply = script(known, packet);
                waiting
                    .extend(reply.into_iter().map(|(ms, packet)| (now + Duration::from_millis(ms), packet)));
            }
        });
    }
}
