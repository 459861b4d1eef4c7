//! Random traffic for tables: a few hosts that mostly behave, over lossy,
//! reordering, repeating links, and sometimes do not behave.

use super::{MS, S, T0, end, lane, packet, segment};
use fullcount::decode::tcp_flag::{ACK, FIN, RST, SYN};
use fullcount::decode::{Kind, Packet, protocol};
use fullcount::meter::loss::Reason;
use proptest::prelude::*;

/// One thing that happens; small numbers, so that what fails shrinks.
#[derive(Clone, Debug)]
pub struct Step {
    tuple: u8,
    side: bool,
    what: u8,
    wait: u8,
    sequence: u8,
    acknowledgement: u8,
    length: u8,
    lane: u8,
    /// Sent, but not captured.
    lost: bool,
}

pub fn steps(tuples: u8, most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = (0..tuples, any::<bool>(), 0u8..32, any::<u8>(), 0u8..24, 0u8..24, 0u8..6, 0u8..8, 0u8..10);
    let step = step.prop_map(|(tuple, side, what, wait, sequence, acknowledgement, length, lane, lost)| {
        Step { tuple, side, what, wait, sequence, acknowledgement, length, lane, lost: lost == 0 }
    });
    proptest::collection::vec(step, 1..most)
}

/// Nanoseconds until the next packet: mostly little, sometimes around a limit.
fn wait_ns(code: u8) -> u64 {
    const LONG: [u64; 12] = [1, 9, 10, 11, 59, 60, 61, 180, 239, 240, 7439, 7440];
    match code {
        0..=11 => LONG[code as usize] * S,
        12..=19 => 0,
        20..=40 => 400 * MS,
        _ => code as u64 * 10_000,
    }
}

/// What the ends of one 5-tuple have sent.
#[derive(Clone, Copy)]
struct Ends {
    first: [u32; 2],
    next: [u32; 2],
}

fn off_by(code: u8) -> u32 {
    match code {
        0 => 0u32.wrapping_sub(1),
        1 => 0u32.wrapping_sub(1000),
        2 => 3000,
        3 => (1 << 20) + 100_000,
        4 => 1 << 31,
        5 => (1 << 30) + 100_000,
        _ => 0,
    }
}

/// The packets that were captured. Every third tuple is not TCP.
pub fn packets(steps: &[Step]) -> Vec<Packet> {
    let mut time_ns = T0;
    let mut ends: Vec<Ends> = Vec::new();
    let mut packets = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        time_ns += wait_ns(step.wait);
        while ends.len() <= step.tuple as usize {
            let base = (ends.len() as u32).wrapping_mul(0x3fff_ff00).wrapping_add(1000);
            ends.push(Ends { first: [base, !base], next: [base + 1, (!base).wrapping_add(1)] });
        }
        let ports =
            if step.tuple.is_multiple_of(5) { (7000, 7000) } else { (40_000 + step.tuple as u16, 80) };
        let hosts = [end(1 + step.tuple as u32 % 3, ports.0), end(9, ports.1)];
        let side = step.side as usize;
        let (from, to) = (hosts[side], hosts[1 - side]);
        let length = [0, 0, 1, 100, 1448, 1448][step.length as usize];
        let mut made = match step.tuple % 3 {
            2 if step.tuple.is_multiple_of(2) => packet(protocol::UDP, from, to, time_ns, 100 + length),
            2 => packet(protocol::ICMP, end(from_host(from), 0), end(from_host(to), 0), time_ns, 98),
            _ => tcp(&mut ends[step.tuple as usize], step, (from, to), time_ns, length, number as u32),
        };
        made.lane = lane(step.lane / 3);
        if step.what == 31 && step.length == 5 {
            made.kind = Kind::Untracked(Reason::NotIp);
        }
        if !step.lost {
            packets.push(made);
        }
    }
    packets
}

fn from_host(end: fullcount::flow::key::End) -> u32 {
    end.address[1] as u32 & 0xffff
}

type Pair = (fullcount::flow::key::End, fullcount::flow::key::End);

fn tcp(ends: &mut Ends, step: &Step, (from, to): Pair, time_ns: u64, length: u32, number: u32) -> Packet {
    let (side, other) = (step.side as usize, 1 - step.side as usize);
    let acknowledgement = ends.next[other].wrapping_add(off_by(step.acknowledgement));
    match step.what {
        0..=5 => {
            if step.sequence < 8 {
                ends.first[side] = ends.first[side].wrapping_add(100_000 + number * 7);
                ends.next[side] = ends.first[side].wrapping_add(1);
            }
            segment(from, to, time_ns, SYN, (ends.first[side], 0), 0)
        }
        6..=10 => {
            if step.sequence == 0 {
                ends.first[side] = ends.first[side].wrapping_add(50_000 + number * 7);
                ends.next[side] = ends.first[side].wrapping_add(1);
            }
            segment(from, to, time_ns, SYN | ACK, (ends.first[side], acknowledgement), 0)
        }
        11 | 12 => {
            let sequence = ends.next[side].wrapping_add(off_by(step.sequence));
            let flags = if step.what == 11 { RST } else { RST | ACK };
            segment(from, to, time_ns, flags, (sequence, acknowledgement), length)
        }
        13..=16 => {
            let sequence = ends.next[side];
            ends.next[side] = sequence.wrapping_add(length + 1);
            segment(from, to, time_ns, FIN | ACK, (sequence, acknowledgement), length)
        }
        17 => {
            // A FIN again, or one that fits nothing.
            let sequence = ends.next[side].wrapping_sub(1).wrapping_add(off_by(step.sequence));
            segment(from, to, time_ns, FIN | ACK, (sequence, acknowledgement), 0)
        }
        18 => {
            let mut inert = segment(from, to, time_ns, SYN | FIN, (1, 2), 0);
            inert.kind = Kind::TcpInert;
            inert
        }
        19..=22 => {
            let sequence = ends.next[side].wrapping_add(off_by(step.sequence));
            segment(from, to, time_ns, ACK, (sequence, acknowledgement), length)
        }
        23 => {
            let sequence = ends.next[side];
            let payload = length * 4;
            ends.next[side] = sequence.wrapping_add(payload);
            let mut large = segment(from, to, time_ns, ACK, (sequence, acknowledgement), payload);
            if payload > 1448 {
                large.segments = 4;
                large.bytes = large.frame_bytes + 3 * 66;
            }
            large
        }
        _ => {
            let sequence = ends.next[side];
            ends.next[side] = sequence.wrapping_add(length);
            segment(from, to, time_ns, ACK, (sequence, acknowledgement), length)
        }
    }
}
