//! The flow entry, laid out once: three cache lines.
//!
//! ```text
//! line 1  identity   key 40 · start 8 · detail 4 · marks 2 · lanes 2 · handshake 4 · exchanges 4
//! line 2  hot        last 8 · two directions of 24 · windows 4 · state 4
//! line 3  warm 48, slots 16
//! ```
//!
//! A packet of an established connection touches lines 1 (key compare) and 2.
//! Index 0 of every pair is the key's first end as sender, 1 the second.
//! What a flow needs rarely stands in chunks of [`super::detail`].
//!
//! Invariant: `state` says which of the other fields mean something.

use super::key::FlowKey;

/// No slot, no chunk.
pub const NONE: u32 = u32::MAX;
/// No lane yet.
pub const NO_LANE: u8 = u8::MAX;
/// A time that is not known.
pub const UNKNOWN_US: u32 = u32::MAX;

/// Counters of one direction: what the sender at that index sent.
#[derive(Clone, Copy, Default, Debug)]
#[repr(C)]
pub struct Sent {
    /// Layer-2 bytes on the wire.
    pub bytes: u64,
    /// Wire packets, low 32 bits; the rest is in [`Warm::packets_carry`].
    pub packets: u32,
    /// TCP: sequence number behind the highest byte seen or acknowledged (without
    /// FIN). Others: payload bytes, low 32 bits; high ones are in `wire_acked`.
    pub wire_end: u32,
    /// TCP: highest acknowledgement of the other side.
    pub wire_acked: u32,
    /// TCP: when new payload came last, µs since [`Entry::start`], low 32 bits.
    pub last_payload_us: u32,
}

/// Touched at handshakes, requests and round trips, not by every packet.
#[derive(Clone, Copy, Default, Debug)]
#[repr(C)]
pub struct Warm {
    /// Wire number of stream offset 0.
    pub base: [u32; 2],
    /// High bits of the packet counters.
    pub packets_carry: [u8; 2],
    /// High bits of `request_us`.
    pub request_epoch: u16,
    /// How often `wire_end` has passed 2^32.
    pub end_epoch: [u16; 2],
    /// Halves of the handshake's latency, to the server and to the client, µs, or [`UNKNOWN_US`].
    pub handshake_us: [u32; 2],
    /// Least round trip by sender of the payload, µs, or [`UNKNOWN_US`]. While a
    /// handshake is undecided these and the two below are [`super::handshake::Attempt`].
    pub rtt_min_us: [u32; 2],
    /// Smoothed round trip, eighths of a µs; means something where `rtt_min_us` does.
    pub rtt_smoothed: [u32; 2],
    /// When the request in progress began, µs since `start`, low 32 bits.
    pub request_us: u32,
    /// First byte of the response in progress, µs.
    pub first_byte_us: u32,
}

/// One flow.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Entry {
    /// Canonical 5-tuple.
    pub key: FlowKey,
    /// Time of its first packet, ns since the epoch.
    pub start: u64,
    /// First chunk of detail, or [`NONE`].
    pub detail: u32,
    /// See [`mark`].
    pub marks: u16,
    /// Lane in force by direction, or [`NO_LANE`].
    pub lanes: [u8; 2],
    /// Outcome, duplicate SYN, duplicate SYN/ACK, ICMP code.
    pub handshake: [u8; 4],
    /// Requests that were answered.
    pub exchanges: u32,
    /// Time of its last packet, ns since the epoch.
    pub last: u64,
    /// Counters by direction.
    pub sent: [Sent; 2],
    /// Last window field by sender.
    pub window: [u16; 2],
    /// See [`state`].
    pub state: u32,
    /// See [`Warm`].
    pub warm: Warm,
    /// Round-trip samples under way by direction: key and time.
    pub slots: [[u32; 2]; 2],
}

const _: () = {
    assert!(size_of::<Entry>() == 192 && align_of::<Entry>() == 64);
    assert!(size_of::<Sent>() == 24 && size_of::<Warm>() == 48);
    assert!(std::mem::offset_of!(Entry, last) == 64);
    assert!(std::mem::offset_of!(Entry, warm) == 128);
    // No packet's lane is taken for none.
    assert!(2 * crate::capture::LINKS_MAX <= NO_LANE as usize);
};

/// Bits of [`Entry::marks`].
pub mod mark {
    /// Picked up after its start.
    pub const MIDSTREAM: u16 = 1 << 0;
    /// Role by SYN.
    pub const ROLE_SYN: u16 = 1 << 1;
    /// Role by SYN/ACK.
    pub const ROLE_SYNACK: u16 = 1 << 2;
    /// Role by a local listening socket.
    pub const ROLE_LISTEN: u16 = 1 << 3;
    /// Some of its packets were fragments.
    pub const FRAGMENTED: u16 = 1 << 4;
    /// Some of its packets are estimated (super-frames of a file).
    pub const ESTIMATED: u16 = 1 << 5;
    /// Has counters by lane in its detail, by direction.
    pub const LANES: [u16; 2] = [1 << 6, 1 << 7];
    /// Had super-frames: its detail has the surplus of packets over frames.
    pub const SUPER_FRAMES: u16 = 1 << 8;
    /// The aggregator has its key.
    pub const KNOWN: u16 = 1 << 9;
    /// A direction's detail has holes in its stream.
    pub const HOLES: [u16; 2] = [1 << 10, 1 << 11];
    /// Holes had to be merged or could not be kept: missing, retransmitted and
    /// order figures are estimates from then on.
    pub const HOLES_MERGED: u16 = 1 << 12;
    /// Its numbers jumped and were begun anew: sums are not exact.
    pub const DISCONTINUOUS: u16 = 1 << 13;
    /// The capture lost a part of an exchange: their number is a lower bound.
    pub const EXCHANGES_LOSSY: u16 = 1 << 14;
    /// The slot is free.
    pub const FREE: u16 = 1 << 15;
}

/// Bits beside the outcome in the first byte of [`Entry::handshake`].
pub mod shake {
    /// The outcome's bits: [`crate::flow::record::Outcome`], 0 while undecided.
    pub const OUTCOME: u8 = 0x0f;
    /// Payload of the SYN was acknowledged by the SYN/ACK (RFC 7413).
    pub const TFO_ACCEPTED: u8 = 1 << 4;
    /// It was not.
    pub const TFO_REFUSED: u8 = 1 << 5;
    /// Both: no handshake was seen, and half-open entries were being pushed out
    /// then, so it may have been (a flow that was picked up has no TFO to tell).
    pub const EVICTED_POSSIBLE: u8 = TFO_ACCEPTED | TFO_REFUSED;
    /// Connected after an ICMP error said that it would not.
    pub const AFTER_UNREACH: u8 = 1 << 6;
    /// The client's first payload byte is that of a TLS record.
    pub const TLS: u8 = 1 << 7;
    /// Both ends sent a SYN: in the last byte, while undecided; its other bits are
    /// the payload of the SYN/ACK then, and type and code of the ICMP error later.
    pub const BOTH_OPEN: u8 = 1 << 7;
}

/// Bits of [`Entry::state`]. `SIDE[i]` shifts a side's five bits.
pub mod state {
    /// Its first number is known: its SYN was seen, or acknowledged by a SYN/ACK.
    pub const SYN: u32 = 1 << 0;
    /// Its SYN was acknowledged.
    pub const SYN_ACKED: u32 = 1 << 1;
    /// Its FIN was seen.
    pub const FIN: u32 = 1 << 2;
    /// Its FIN was acknowledged.
    pub const FIN_ACKED: u32 = 1 << 3;
    /// Its RST was accepted.
    pub const RST: u32 = 1 << 4;
    /// Where a side's five bits begin.
    pub const SIDE: [u32; 2] = [0, 5];
    /// The second end's FIN came first.
    pub const FIN_SECOND: u32 = 1 << 10;
    /// The second end is the client.
    pub const CLIENT_SECOND: u32 = 1 << 11;
    /// The handshake is proven, or the connection was picked up later.
    pub const PROVEN: u32 = 1 << 12;
    /// `warm.base` will not move any more: that of a SYN, or of the first payload
    /// that was seen, by side.
    pub const FIRM: [u32; 2] = [1 << 13, 1 << 14];
    /// A segment of that side was seen, so `wire_end` means something.
    pub const SEEN: [u32; 2] = [1 << 15, 1 << 16];
    /// That side's bytes were acknowledged once, so `wire_acked` means something.
    pub const ACKED: [u32; 2] = [1 << 17, 1 << 18];
    /// Whose turn it is: nobody's, or one of the two below.
    pub const FLOOR: u32 = 3 << 19;
    /// The client has asked.
    pub const REQUEST: u32 = 1 << 19;
    /// The server answers.
    pub const RESPONSE: u32 = 2 << 19;
    /// The capture lost a part of the exchange under way.
    pub const LOSSY: u32 = 1 << 21;
    /// Where the state of each side's round-trip slot stands ([`super::super::rtt`]).
    pub const SLOT: [u32; 2] = [22, 25];
    /// Where the mark of the cut stands: 0 clean, else number of the touched list + 1.
    pub const TOUCH_SHIFT: u32 = 30;
    /// Both bits of it.
    pub const TOUCH_MASK: u32 = 3 << TOUCH_SHIFT;
}

impl Entry {
    /// A new flow without packets.
    pub fn new(key: FlowKey, time_ns: u64) -> Entry {
        Entry {
            key,
            start: time_ns,
            detail: NONE,
            marks: 0,
            lanes: [NO_LANE; 2],
            handshake: [0; 4],
            exchanges: 0,
            last: time_ns,
            sent: [Sent::default(); 2],
            window: [0; 2],
            state: 0,
            warm: Warm::default(),
            slots: [[0; 2]; 2],
        }
    }

    /// Whether a side has all of these bits.
    #[inline]
    pub fn side(&self, side: usize, bits: u32) -> bool {
        (self.state >> state::SIDE[side & 1]) & bits == bits
    }

    /// Whether any side has one of these bits.
    #[inline]
    pub fn either(&self, bits: u32) -> bool {
        (self.state | self.state >> state::SIDE[1]) & bits & 0x1f != 0
    }

    /// Gives a side these bits.
    #[inline]
    pub fn set_side(&mut self, side: usize, bits: u32) {
        self.state |= bits << state::SIDE[side & 1];
    }

    /// Whether state has these bits.
    #[inline]
    pub fn has(&self, bits: u32) -> bool {
        self.state & bits == bits
    }

    /// Which end is the client.
    #[inline]
    pub fn client(&self) -> usize {
        (self.state & state::CLIENT_SECOND != 0) as usize
    }

    /// Wire packets sent by an end.
    #[inline]
    pub fn packets(&self, side: usize) -> u64 {
        (self.warm.packets_carry[side & 1] as u64) << 32 | self.sent[side & 1].packets as u64
    }

    /// Where a direction's known stream ends: bytes behind its base.
    #[inline]
    pub fn end(&self, side: usize) -> u64 {
        let side = side & 1;
        let epoch = (self.warm.end_epoch[side] as u64) << 32;
        (epoch + self.sent[side].wire_end as u64).saturating_sub(self.warm.base[side] as u64)
    }

    /// Adds payload of any protocol but TCP.
    #[inline]
    pub fn add_payload(&mut self, side: usize, bytes: u32) {
        let sent = &mut self.sent[side & 1];
        let (low, over) = sent.wire_end.overflowing_add(bytes);
        sent.wire_end = low;
        sent.wire_acked += over as u32;
    }

    /// Payload bytes sent by an end, of any protocol but TCP (whose payload is
    /// told by its stream: [`super::sequence`]).
    #[inline]
    pub fn payload(&self, side: usize) -> u64 {
        let sent = &self.sent[side & 1];
        (sent.wire_acked as u64) << 32 | sent.wire_end as u64
    }
}
