//! From the first SYN of a connection to one outcome, and how long its two halves took.
//!
//! An attempt is decided once; what comes later only counts. A half is known
//! where it is clear which copy was answered: the only one, or the one whose
//! time stamp is echoed (Karn, RFC 6298 §3; RFC 7323 §4). A time-out, a RST that
//! answers no SYN and a port used again tell of a failure only where the capture
//! lost nothing meanwhile: otherwise the attempt is indeterminate.
//!
//! While an attempt is undecided its times stand in the entry's fields for round
//! trips, which begin when it is proven. Knows the entry; does not know which
//! segments prove or refuse ([`super::tcp`]). Sources: RFC 9293 §3.5, §3.10.7;
//! RFC 7413 §4; tcpeek's session.c for what is one session.

use super::beside::Beside;
use super::entry::{Entry, UNKNOWN_US, mark, shake, state};
use super::record::{EndReason, Outcome, Session};
use super::{rtt, sequence};
use crate::decode::Packet;

/// What an undecided attempt remembers. µs since the entry's start; a stamp of 0
/// stands for none.
#[derive(Clone, Copy, Debug, Default)]
struct Attempt {
    syn_stamps: [u32; 2],
    syn_last_us: u32,
    /// The worker's loss epoch when it began.
    loss_epoch: u32,
    /// Of the first and the last SYN/ACK.
    synack_us: [u32; 2],
    synack_stamps: [u32; 2],
}

impl Attempt {
    fn of(entry: &Entry) -> Attempt {
        let [syn_last_us, loss_epoch] = entry.warm.rtt_smoothed;
        let [synack_us, synack_stamps] = entry.slots;
        Attempt { syn_stamps: entry.warm.rtt_min_us, syn_last_us, loss_epoch, synack_us, synack_stamps }
    }

    fn keep(self, entry: &mut Entry) {
        entry.warm.rtt_min_us = self.syn_stamps;
        entry.warm.rtt_smoothed = [self.syn_last_us, self.loss_epoch];
        entry.slots = [self.synack_us, self.synack_stamps];
    }
}

/// How an attempt ended; None while it is undecided, and for what is no attempt.
pub fn outcome(entry: &Entry) -> Option<Outcome> {
    Outcome::from_byte(entry.handshake[0] & shake::OUTCOME)
}

/// Whether the entry began with a handshake.
#[inline]
pub fn is_attempt(entry: &Entry) -> bool {
    entry.marks & mark::MIDSTREAM == 0
}

/// Whether something may still be decided.
pub(super) fn is_undecided(entry: &Entry) -> bool {
    is_attempt(entry) && entry.handshake[0] & shake::OUTCOME == 0
}

/// A handshake begins with the entry. `loss_epoch`: of the worker, now.
pub(super) fn begin(entry: &mut Entry, loss_epoch: u32) {
    entry.warm.handshake_us = [UNKNOWN_US; 2];
    Attempt { loss_epoch, ..Attempt::default() }.keep(entry);
}

/// One more; 255 and more are 255.
pub(super) fn more(count: &mut u8) {
    *count = count.saturating_add(1);
}

/// `from` to `to`; unknown where stamps ran backwards.
fn between(from_us: u32, to_us: u32) -> u32 {
    u32::try_from(to_us.wrapping_sub(from_us) as i32).unwrap_or(UNKNOWN_US)
}

/// A SYN of the client while nothing is decided; `first`: of all.
pub(super) fn syn(entry: &mut Entry, packet: &Packet, first: bool, now_us: u32) {
    let mut attempt = Attempt::of(entry);
    if first {
        attempt.syn_stamps[0] = packet.stamp;
    } else {
        more(&mut entry.handshake[1]);
    }
    attempt.syn_stamps[1] = packet.stamp;
    attempt.syn_last_us = now_us;
    attempt.keep(entry);
}

/// Whether both ends sent a SYN (RFC 9293 §3.5, figure 7).
pub(super) fn is_both_open(entry: &Entry) -> bool {
    is_undecided(entry) && entry.handshake[3] & shake::BOTH_OPEN != 0
}

/// An accepted SYN/ACK while nothing is decided; `first`: of all. What it
/// acknowledges has been taken in.
pub(super) fn synack(entry: &mut Entry, beside: &Beside, packet: &Packet, first: bool, now_us: u32) {
    let mut attempt = Attempt::of(entry);
    let client = entry.client();
    if first {
        let echo = packet.stamp_echo;
        entry.warm.handshake_us[0] = match beside.syn[client] {
            0 => UNKNOWN_US,
            1 => between(attempt.syn_last_us, now_us),
            _ if echo == 0 => UNKNOWN_US,
            _ if echo == attempt.syn_stamps[1] => between(attempt.syn_last_us, now_us),
            // The first SYN began the entry, unless its answer came before it.
            _ if echo == attempt.syn_stamps[0] && entry.marks & mark::ROLE_SYN != 0 => now_us,
            _ => UNKNOWN_US,
        };
        if entry.end(client) > 0 {
            let accepted = sequence::acked(entry, client) > 0;
            entry.handshake[0] |= if accepted { shake::TFO_ACCEPTED } else { shake::TFO_REFUSED };
        }
        if is_undecided(entry) {
            let carried = packet.payload.min((shake::BOTH_OPEN - 1) as u32) as u8;
            entry.handshake[3] = entry.handshake[3] & shake::BOTH_OPEN | carried;
        }
        attempt.synack_us[0] = now_us;
        attempt.synack_stamps[0] = packet.stamp;
    } else {
        more(&mut entry.handshake[2]);
    }
    attempt.synack_us[1] = now_us;
    attempt.synack_stamps[1] = packet.stamp;
    attempt.keep(entry);
}

/// Both ends have the connection, by this segment of `sender`.
pub(super) fn prove(
    entry: &mut Entry,
    beside: &mut Beside,
    packet: &Packet,
    slot: u32,
    now_us: u32,
) -> Option<Session> {
    let attempt = Attempt::of(entry);
    let (client, sender) = (entry.client(), packet.reversed as usize);
    let server = 1 - client;
    let both_open = is_both_open(entry);
    let after_unreach = outcome(entry) == Some(Outcome::Unreach);
    let carried = if after_unreach { 0 } else { (entry.handshake[3] & !shake::BOTH_OPEN) as u64 };
    let answered = entry.side(server, state::SYN);
    let waits_for_nothing =
        sequence::acked(entry, server) <= carried && !entry.side(server, state::FIN_ACKED);
    if sender == client && !both_open && answered && waits_for_nothing {
        let echo = packet.stamp_echo;
        entry.warm.handshake_us[1] = match entry.handshake[2] {
            0 => between(attempt.synack_us[1], now_us),
            _ if echo == 0 => UNKNOWN_US,
            _ if echo == attempt.synack_stamps[1] => between(attempt.synack_us[1], now_us),
            _ if echo == attempt.synack_stamps[0] => between(attempt.synack_us[0], now_us),
            _ => UNKNOWN_US,
        };
    }
    let known = entry.marks & mark::ROLE_SYN != 0 && packet.time_ns >= entry.start;
    beside.connect_us = if known { now_us } else { UNKNOWN_US };
    entry.state |= state::PROVEN;
    let session = if after_unreach {
        entry.handshake[0] |= shake::AFTER_UNREACH;
        None
    } else {
        entry.handshake[3] = 0;
        decide(entry, beside, slot, Outcome::Success, packet.time_ns)
            .map(|session| Session { ack_with_data: sender == client && packet.payload > 0, ..session })
    };
    rtt::begin(entry);
    session
}

/// An attempt is decided, if it was not before.
pub(super) fn decide(
    entry: &mut Entry,
    beside: &Beside,
    slot: u32,
    outcome: Outcome,
    end_ns: u64,
) -> Option<Session> {
    if !is_undecided(entry) {
        return None;
    }
    entry.handshake[0] |= outcome as u8;
    let known = |us: u32| (us != UNKNOWN_US).then_some(us);
    let client = entry.client();
    Some(Session {
        slot,
        key: entry.key,
        client_second: client == 1,
        start_ns: entry.start,
        end_ns,
        outcome,
        icmp: [0; 2],
        syn_retransmitted: entry.handshake[1],
        synack_retransmitted: entry.handshake[2],
        synack_seen: entry.side(1 - client, state::SYN),
        syn_unseen: entry.marks & mark::ROLE_SYN == 0,
        connect_us: known(beside.connect_us).filter(|_| outcome == Outcome::Success),
        server_us: known(entry.warm.handshake_us[0]),
        client_us: known(entry.warm.handshake_us[1]),
        ack_with_data: false,
        lanes: entry.lanes,
    })
}

/// Whether the capture lost something since an undecided attempt began.
pub(super) fn lost_meanwhile(entry: &Entry, loss_epoch: u32) -> bool {
    is_undecided(entry) && Attempt::of(entry).loss_epoch != loss_epoch
}

/// The flow leaves the table: what that means for an undecided attempt.
/// `limit_ns`: after so much silence it has timed out.
pub(super) fn end(
    entry: &mut Entry,
    beside: &Beside,
    slot: u32,
    reason: EndReason,
    (now_ns, limit_ns, loss_epoch): (u64, u64, u32),
) -> Option<Session> {
    if !is_undecided(entry) || entry.has(state::PROVEN) {
        return None;
    }
    let answered = entry.side(1 - entry.client(), state::SYN);
    let lost = lost_meanwhile(entry, loss_epoch);
    let doubtful = lost || entry.marks & mark::ROLE_SYN == 0;
    let timed_out = entry.last.saturating_add(limit_ns);
    let (outcome, end_ns) = match reason {
        EndReason::Timeout if doubtful => (Outcome::Indeterminate, timed_out),
        EndReason::Timeout if answered => (Outcome::TimeoutNoAck, timed_out),
        EndReason::Timeout => (Outcome::TimeoutNoSynack, timed_out),
        EndReason::Reused if lost => (Outcome::Indeterminate, now_ns),
        EndReason::Reused => (Outcome::Aborted, now_ns),
        EndReason::Evicted => (Outcome::Evicted, now_ns),
        _ => return None,
    };
    decide(entry, beside, slot, outcome, end_ns)
}

/// An ICMP error (family's type, code) quotes a segment of `side` with this
/// number while the attempt is open.
pub(super) fn unreachable(
    entry: &mut Entry,
    beside: &Beside,
    slot: u32,
    side: usize,
    sequence: u32,
    (icmp, time_ns): ([u8; 2], u64),
) -> Option<Session> {
    let client = entry.client();
    let from_isn = sequence.wrapping_sub(entry.warm.base[client].wrapping_sub(1));
    let quotes_it =
        side == client && entry.side(client, state::SYN) && from_isn as u64 <= entry.end(client) + 1;
    if !quotes_it || entry.has(state::PROVEN) {
        return None;
    }
    let session = decide(entry, beside, slot, Outcome::Unreach, time_ns)?;
    entry.handshake[3] = icmp[1] & 0x0f | (icmp[0] & 0x0f) << 4;
    Some(Session { icmp, ..session })
}

/// Type and code of the ICMP error that decided it.
pub fn icmp(entry: &Entry) -> Option<[u8; 2]> {
    let byte = entry.handshake[3];
    (outcome(entry) == Some(Outcome::Unreach)).then_some([byte >> 4, byte & 0x0f])
}

/// Round trip by the handshake, µs, where both halves are known.
pub(super) fn round_trip_us(entry: &Entry) -> Option<u32> {
    let [server, client] = entry.warm.handshake_us;
    let known = is_attempt(entry) && entry.has(state::PROVEN);
    if known && server != UNKNOWN_US && client != UNKNOWN_US { server.checked_add(client) } else { None }
}
