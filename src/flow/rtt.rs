//! Round trips of one connection, from here to an end and back, by sender of the
//! payload: what the client sends measures the server's side.
//!
//! One slot a direction. Payload in order arms it, the first acknowledgement of
//! that payload is a sample (Karn: resent payload gives none, RFC 6298 §3). For
//! a side that only acknowledges, time stamps do it: the first acknowledgement
//! of a tick arms the slot, the first payload that echoes the tick is a sample,
//! which includes the other's wait and so goes to the minimum only (pping's
//! rule; RFC 7323 §4.3). After a sample the slot rests until packet time comes
//! into a later period of 2^24 ns.
//!
//! Knows the entry's slots; does not know sequence space or handshakes. What
//! both slots do stands in six bits of the entry's state: a segment that means
//! nothing to them is told from those, without the line that the rest is in.

use super::detail::Details;
use super::entry::{Entry, UNKNOWN_US, state};
use crate::decode::Packet;

/// What a direction's slot is doing: nothing.
const EMPTY: u32 = 0;
/// Payload is under way: key is the number behind it.
const PAYLOAD: u32 = 1;
/// An acknowledgement was seen: key is its time stamp, and the tick has to pass.
const WAITING: u32 = 2;
/// The first acknowledgement of a tick is under way: key is its time stamp.
const STAMP: u32 = 3;
/// Had its sample for now.
const REST: u32 = 4;

const MASK: u32 = 7;
/// After so long what is armed is forgotten, µs.
const EXPIRES_US: u32 = 60_000_000;
/// Bits of a period in which a direction gives one sample.
const PERIOD_BITS: u32 = 24;

/// Time in an entry's terms: µs since its start, low 32 bits; before it is 0.
#[inline]
pub(super) fn now_us(entry: &Entry, now_ns: u64) -> u32 {
    (now_ns.saturating_sub(entry.start) / 1000) as u32
}

/// Both directions begin with nothing: the handshake is proven, or the
/// connection was picked up.
pub(super) fn begin(entry: &mut Entry) {
    entry.warm.rtt_min_us = [UNKNOWN_US; 2];
    entry.warm.rtt_smoothed = [0; 2];
    entry.slots = [[0; 2]; 2];
    entry.state &= !(MASK << state::SLOT[0] | MASK << state::SLOT[1]);
}

/// What the two slots do: of a segment's sender, and of the other side.
#[inline]
fn slots_of(bits: u32, sender: usize) -> [u32; 2] {
    let [first, second] = state::SLOT.map(|shift| bits >> shift & MASK);
    if sender == 0 { [first, second] } else { [second, first] }
}

/// Whether a segment of an open connection, in order, means anything to a slot.
/// `acks`: it acknowledges something. Without branches: none of it can be foreseen.
#[inline]
pub(super) fn has_work(entry: &Entry, packet: &Packet, acks: bool, before_ns: u64) -> bool {
    let bits = entry.state;
    let [own, its] = slots_of(bits, packet.reversed as usize);
    let (speaks, stamps) = (packet.payload > 0, packet.has_stamps);
    let new_period = before_ns >> PERIOD_BITS != packet.time_ns >> PERIOD_BITS;
    // Bit by bit: the slots in which payload, or a time stamp alone, changes something.
    let by_payload = 1 << EMPTY | 1 << WAITING | 1 << STAMP;
    let by_stamp = (1 << EMPTY | 1 << WAITING) * (stamps as u32);
    let own_changes = (if speaks { by_payload } else { by_stamp }) >> own & 1 != 0;
    let rests_or_armed = (own | its) != EMPTY;
    own_changes | (its == PAYLOAD) & acks | (its == STAMP) & speaks & stamps | new_period & rests_or_armed
}

/// A segment of an established connection, as the slots take it.
pub(super) struct Seen {
    /// It acknowledges something for the first time.
    pub acks: bool,
    /// New payload in order, up to this number, that was never sent before.
    pub in_order: Option<u32>,
    /// Payload of any kind.
    pub speaks: bool,
    /// An acknowledgement and nothing else, with a time stamp.
    pub only_acks: bool,
}

/// What a segment means to both slots, its acknowledgement first.
#[cold]
#[inline(never)]
pub(super) fn work(entry: &mut Entry, details: &mut Details, packet: &Packet, seen: &Seen, before_ns: u64) {
    let sender = packet.reversed as usize;
    let other = 1 - sender;
    let now_us = now_us(entry, packet.time_ns);
    let [own, its] = slots_of(entry.state, sender);
    let new = before_ns >> PERIOD_BITS != packet.time_ns >> PERIOD_BITS;
    let mut own = left_of(own, new, entry.slots[sender][1], now_us);
    let mut its = left_of(its, new, entry.slots[other][1], now_us);
    let [key, since] = entry.slots[other];
    let reached = entry.sent[other].wire_acked.wrapping_sub(key) as i32 >= 0;
    if (its == PAYLOAD) & seen.acks & reached {
        its = REST;
        // A stamp that runs backwards measures nothing.
        if let Ok(us) = u32::try_from(now_us.wrapping_sub(since) as i32) {
            sample(entry, details, other, us);
        }
    } else if its == STAMP && seen.speaks && packet.has_stamps {
        let newer = packet.stamp_echo.wrapping_sub(key) as i32;
        if newer == 0 {
            its = REST;
            let us = u32::try_from(now_us.wrapping_sub(since) as i32).unwrap_or(UNKNOWN_US);
            entry.warm.rtt_min_us[other] = entry.warm.rtt_min_us[other].min(us);
        } else if newer > 0 {
            its = EMPTY;
        }
    }
    if let Some(end) = seen.in_order {
        if own != PAYLOAD && own != REST {
            own = PAYLOAD;
            entry.slots[sender] = [end, now_us];
        }
    } else if seen.speaks {
        // Any payload ends its wait for a tick.
        own = if own == WAITING { EMPTY } else { own };
    } else if seen.only_acks && (own == EMPTY || own == WAITING) {
        let newer = packet.stamp.wrapping_sub(entry.slots[sender][0]) as i32 > 0;
        if own == EMPTY || newer {
            own = if own == WAITING && seen.acks { STAMP } else { WAITING };
            entry.slots[sender] = [packet.stamp, now_us];
        }
    }
    let both = if sender == 0 { [own, its] } else { [its, own] };
    let kept = entry.state & !(MASK << state::SLOT[0] | MASK << state::SLOT[1]);
    entry.state = kept | both[0] << state::SLOT[0] | both[1] << state::SLOT[1];
}

/// A packet that means nothing else to the slots: it may be the first of a period.
pub(super) fn wake(entry: &mut Entry, before_ns: u64, time_ns: u64) {
    if before_ns >> PERIOD_BITS != time_ns >> PERIOD_BITS {
        let now_us = now_us(entry, time_ns);
        for side in 0..2 {
            let shift = state::SLOT[side];
            let slot = left_of(entry.state >> shift & MASK, true, entry.slots[side][1], now_us);
            entry.state = entry.state & !(MASK << shift) | slot << shift;
        }
    }
}

/// What is left of a slot: in a new period who rested is ready, and what was armed
/// too long ago is forgotten. Without branches: periods cannot be foreseen.
#[inline]
fn left_of(slot: u32, new_period: bool, since_us: u32, now_us: u32) -> u32 {
    let old = now_us.wrapping_sub(since_us) as i32 > EXPIRES_US as i32;
    let gone = new_period & ((slot == REST) | (slot != EMPTY) & old);
    slot * !gone as u32
}

/// A round trip of payload.
#[inline]
fn sample(entry: &mut Entry, details: &mut Details, side: usize, us: u32) {
    let smoothed = entry.warm.rtt_smoothed[side];
    let earlier = smoothed >> 3;
    // RFC 6298 §2 in eighths.
    entry.warm.rtt_smoothed[side] =
        if smoothed != 0 { smoothed + us - earlier } else { us.saturating_mul(8) };
    entry.warm.rtt_min_us[side] = entry.warm.rtt_min_us[side].min(us);
    if smoothed != 0 {
        details.add_round_trip(entry, side, earlier, us);
    }
}

/// Payload of `side` that was seen before, or out of order: an acknowledgement
/// measures nothing now (Karn).
pub(super) fn disarm(entry: &mut Entry, side: usize) {
    let shift = state::SLOT[side & 1];
    if entry.state >> shift & MASK == PAYLOAD {
        entry.state &= !(MASK << shift);
    }
}
