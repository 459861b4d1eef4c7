//! Requests and responses, by whose turn it is to send payload.
//!
//! Only new payload counts: no resend, no keep-alive. A side may take its turn
//! when it has heard (acknowledged) all that the other said; so a pipelined
//! batch is one exchange and a one-way stream is none. PSH decides nothing. What
//! the capture lost never moves a turn: the exchange under way is lossy then,
//! counted, and its times are not known.
//!
//! Knows an entry's turn; does not know why payload is new.

use super::detail::Details;
use super::entry::{Entry, UNKNOWN_US, mark, shake, state};
use super::record::{EndReason, Ended, Exchange};
use super::sequence;

/// Content type of a TLS handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 22;

/// Whether the client's stream, of which this payload is the latest, begins as TLS does.
#[cold]
#[inline(never)]
pub(super) fn note_tls(entry: &mut Entry, sender: usize, payload: u32, first_byte: u8) {
    let first = entry.end(sender) == u64::from(payload);
    if first && sender == entry.client() && first_byte == TLS_HANDSHAKE {
        entry.handshake[0] |= shake::TLS;
    }
}

/// Whose turn it is.
#[inline]
fn floor(entry: &Entry) -> u32 {
    entry.state & state::FLOOR
}

fn pass(entry: &mut Entry, to: u32) {
    entry.state = entry.state & !state::FLOOR | to;
}

fn turn_of(is_client: bool) -> u32 {
    if is_client { state::REQUEST } else { state::RESPONSE }
}

/// Whether new payload of `sender` may begin its turn. `heard`: it has
/// acknowledged all that it was told.
#[inline]
pub(super) fn turns(entry: &Entry, sender: usize, heard: bool) -> bool {
    (floor(entry) != turn_of(sender == entry.client())) & (heard | (floor(entry) == 0))
}

/// Whether in this state what a side says belongs to no turn of its own.
#[inline]
pub(super) fn waits(state: u32, is_client: bool) -> bool {
    state & state::FLOOR != turn_of(is_client)
}

/// New payload of `sender`.
pub(super) fn speak(
    entry: &mut Entry,
    details: &mut Details,
    sender: usize,
    heard: bool,
    now_us: u32,
    done: &mut Option<Exchange>,
) {
    if turns(entry, sender, heard) {
        take_turn(entry, details, sender, now_us, done);
    }
    if !waits(entry.state, sender == entry.client()) {
        entry.sent[sender & 1].last_payload_us = now_us;
    }
}

/// It begins its turn, if it is its to begin.
#[cold]
#[inline(never)]
pub(super) fn take_turn(
    entry: &mut Entry,
    details: &mut Details,
    sender: usize,
    now_us: u32,
    done: &mut Option<Exchange>,
) {
    if sender == entry.client() {
        if floor(entry) == state::RESPONSE {
            *done = Some(complete(entry));
            if let Some(Exchange { first_byte_us, last_byte_us: Some(us), .. }) = *done {
                details.add_exchange(entry, us, first_byte_us.unwrap_or(0));
            }
        }
        // The only one so far was told by the entry itself, which forgets it now.
        if floor(entry) == 0
            && details.exchange_times(entry).is_none()
            && let Some(Exchange { first_byte_us, last_byte_us: Some(us), .. }) = only_one(entry)
        {
            details.add_exchange(entry, us, first_byte_us.unwrap_or(0));
        }
        pass(entry, state::REQUEST);
        entry.state &= !state::LOSSY;
        entry.warm.request_us = now_us;
        entry.warm.request_epoch = since_start_us(entry).wrapping_shr(32) as u16;
    } else if floor(entry) == state::REQUEST {
        pass(entry, state::RESPONSE);
        entry.exchanges = entry.exchanges.saturating_add(1);
        let asked = entry.sent[entry.client()].last_payload_us;
        let us = between(asked, now_us).filter(|_| !lasts_long(entry));
        entry.warm.first_byte_us = us.unwrap_or(UNKNOWN_US);
    }
    // Else the server speaks first: a greeting.
}

/// Stamps that ran backwards by so much are still in order.
const BACKWARDS: u32 = 60_000_000;

/// From one moment to a later one; None where stamps ran backwards.
fn between(from_us: u32, to_us: u32) -> Option<u32> {
    let us = to_us.wrapping_sub(from_us);
    (us < u32::MAX - BACKWARDS).then_some(us)
}

/// The entry's last packet.
fn since_start_us(entry: &Entry) -> u64 {
    entry.last.saturating_sub(entry.start) / 1000
}

/// Whether the exchange under way began longer ago than 32 bits of µs tell, so that a
/// time within it is not known.
fn lasts_long(entry: &Entry) -> bool {
    let now_us = since_start_us(entry);
    let epochs = ((now_us >> 32) as u16).wrapping_sub(entry.warm.request_epoch);
    let low = i64::from(now_us as u32) - i64::from(entry.warm.request_us);
    (i64::from(epochs) << 32) + low >= i64::from(u32::MAX - BACKWARDS)
        // Stamps ran backwards over such a bound.
        && epochs != u16::MAX
}

/// The exchange under way is over: the server has answered.
fn complete(entry: &mut Entry) -> Exchange {
    let lossy = entry.state & state::LOSSY != 0;
    // When its last byte came is kept without the hour.
    let long = lasts_long(entry);
    let server = 1 - entry.client();
    pass(entry, 0);
    Exchange {
        first_byte_us: Some(entry.warm.first_byte_us).filter(|&us| !lossy && us != UNKNOWN_US),
        last_byte_us: between(entry.warm.request_us, entry.sent[server].last_payload_us)
            .filter(|_| !lossy && !long),
    }
}

/// The server's FIN, or the end of the flow: what is answered is complete.
pub(super) fn end(entry: &mut Entry, details: &mut Details) -> Option<Exchange> {
    if floor(entry) != state::RESPONSE {
        return None;
    }
    let done = complete(entry);
    // The only one is told by the entry itself.
    if let Some(us) = done.last_byte_us.filter(|_| entry.exchanges > 1) {
        details.add_exchange(entry, us, done.first_byte_us.unwrap_or(0));
    }
    Some(done)
}

/// The capture has lost payload of this connection.
pub(super) fn lost(entry: &mut Entry) {
    if floor(entry) != 0 {
        entry.state |= state::LOSSY;
    }
    entry.marks |= mark::EXCHANGES_LOSSY;
}

/// What a connection came to, once [`end`] was told.
pub(super) fn ended(entry: &Entry, details: &Details, reason: EndReason) -> Ended {
    let fin = [0, 1].map(|side| entry.side(side, state::FIN));
    let first = entry.has(state::FIN_SECOND) as usize;
    let closed = fin[0] || fin[1];
    let by_client = first == entry.client();
    Ended {
        exchanges: entry.exchanges,
        begun: entry.marks & mark::ROLE_SYN != 0,
        midstream: entry.marks & mark::MIDSTREAM != 0,
        open: reason == EndReason::Open,
        reset: entry.side(0, state::RST) || entry.side(1, state::RST),
        client_closed: closed && by_client,
        server_closed: closed && !by_client,
        unanswered: unanswered(entry) > 0,
        missing: [0, 1].iter().any(|&side| sequence::stream(entry, details, side).missing_bytes > 0),
    }
}

/// Requests without an answer, once the flow has ended: 1 or 0.
pub fn unanswered(entry: &Entry) -> u32 {
    (floor(entry) == state::REQUEST) as u32
}

/// Times of the one exchange that an entry tells of itself, where it had exactly
/// one and all of it was seen.
pub fn only_one(entry: &Entry) -> Option<Exchange> {
    let told = entry.exchanges == 1 && floor(entry) != state::REQUEST && entry.state & state::LOSSY == 0;
    let mut copy = *entry;
    told.then(|| complete(&mut copy))
}
