//! TCP as two endpoints pass it, seen from between them: state per side, roles,
//! port reuse, resets.
//!
//! Pure functions of an entry and a segment; no clock, no table. An observer
//! may see one direction only, join late, or see segments out of order, so
//! half-seen is a state here, not an error. Sources: RFC 9293 §3.3.2, §3.6,
//! §3.10.7; RFC 5961 §3, §4 (challenge ACKs); RFC 7413 (payload in a SYN).

use super::entry::{Entry, mark, state};
use crate::decode::Packet;
use crate::decode::tcp_flag::{ACK, FIN, RST, SYN};

/// What a RST's sequence number may lie beyond what was seen of its sender:
/// the capture may have lost the segments in between.
const RESET_AHEAD: i32 = 1 << 20;
/// Largest window there can be (RFC 7323 §2.3): an acknowledgement that lies
/// further ahead is of another connection.
const WINDOW_MAX: i32 = 1 << 30;

/// State of a connection, from the states of its two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum TcpState {
    /// Client's SYN, no accepted SYN/ACK.
    SynSent = 0,
    /// SYN/ACK seen, handshake not proven.
    SynReceived,
    /// Handshake proven, or picked up midstream.
    Established,
    /// One FIN, not acknowledged.
    FinWait,
    /// The client's FIN is acknowledged, the server goes on.
    HalfClosedClient,
    /// The server's FIN is acknowledged, the client goes on.
    HalfClosedServer,
    /// Two FINs, not both acknowledged.
    Closing,
    /// Both FINs acknowledged.
    TimeWait,
    /// An accepted RST.
    Reset,
    /// An attempt that was decided without a connection.
    Closed,
}

impl TcpState {
    /// Its name in every output.
    pub fn name(self) -> &'static str {
        match self {
            TcpState::SynSent => "syn_sent",
            TcpState::SynReceived => "syn_received",
            TcpState::Established => "established",
            TcpState::FinWait => "fin_wait",
            TcpState::HalfClosedClient => "half_closed_client",
            TcpState::HalfClosedServer => "half_closed_server",
            TcpState::Closing => "closing",
            TcpState::TimeWait => "time_wait",
            TcpState::Reset => "reset",
            TcpState::Closed => "closed",
        }
    }
}

/// The displayed state of a TCP entry.
pub fn state_of(entry: &Entry) -> TcpState {
    if entry.either(state::RST) {
        return TcpState::Reset;
    }
    if !entry.has(state::PROVEN) {
        let server = 1 - entry.client();
        return if entry.side(server, state::SYN) { TcpState::SynReceived } else { TcpState::SynSent };
    }
    let fin = [0, 1].map(|side| entry.side(side, state::FIN));
    let acked = [0, 1].map(|side| entry.side(side, state::FIN_ACKED));
    match (fin, acked) {
        ([false, false], _) => TcpState::Established,
        ([true, true], [true, true]) => TcpState::TimeWait,
        ([true, true], _) => TcpState::Closing,
        _ => {
            let closer = fin[1] as usize;
            match (acked[closer], closer == entry.client()) {
                (false, _) => TcpState::FinWait,
                (true, true) => TcpState::HalfClosedClient,
                (true, false) => TcpState::HalfClosedServer,
            }
        }
    }
}

/// Whether a segment goes into the entry that its 5-tuple names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It belongs to this connection.
    Here,
    /// The ports are used again: the old connection ends, a new one begins.
    Reused,
}

/// Whether a segment begins a connection or belongs to the one at hand.
#[inline]
pub fn fate(entry: &Entry, packet: &Packet) -> Fate {
    if packet.tcp_flags & SYN == 0 { Fate::Here } else { fate_of_syn(entry, packet) }
}

#[cold]
#[inline(never)]
fn fate_of_syn(entry: &Entry, packet: &Packet) -> Fate {
    let sender = packet.reversed as usize;
    let other = 1 - sender;
    let proven = entry.has(state::PROVEN);
    let own = packet.sequence.wrapping_add(1);
    let repeats = entry.has(state::FIRM[sender]) && entry.warm.base[sender] == own;
    if packet.tcp_flags & ACK == 0 {
        if repeats {
            // A refused attempt is answered: the same number asks again.
            let refused = !proven && entry.either(state::RST);
            return if refused { Fate::Reused } else { Fate::Here };
        }
        let undecided = !proven && !entry.either(state::RST);
        return if undecided && !entry.has(state::FIRM[sender]) { Fate::Here } else { Fate::Reused };
    }
    if !proven {
        return Fate::Here;
    }
    let answers = entry.has(state::FIRM[other]) && entry.warm.base[other] == packet.acknowledgement;
    if repeats || answers { Fate::Here } else { Fate::Reused }
}

/// A segment that cannot begin an entry: it only ends or contradicts one.
#[inline]
pub fn is_stray(packet: &Packet) -> bool {
    packet.tcp_flags & RST != 0
}

/// Makes a new entry what its first segment says: roles, and what is known of
/// the handshake. `advance` follows with the same segment.
#[inline]
pub fn begin(entry: &mut Entry, packet: &Packet) {
    let sender = packet.reversed as usize;
    match packet.tcp_flags & (SYN | ACK) {
        SYN => {
            entry.marks |= mark::ROLE_SYN;
            set_client(entry, sender);
        }
        both if both == SYN | ACK => {
            entry.marks |= mark::ROLE_SYNACK;
            set_client(entry, 1 - sender);
        }
        _ => {
            entry.marks |= mark::MIDSTREAM;
            entry.state |= state::PROVEN;
            guess_roles(entry, sender);
        }
    }
}

/// The lower port is the server; of equal ones, who speaks first is the client.
pub fn guess_roles(entry: &mut Entry, sender: usize) {
    let ports = [entry.key.end(0).port, entry.key.end(1).port];
    let client = match ports[0].cmp(&ports[1]) {
        std::cmp::Ordering::Less => 1,
        std::cmp::Ordering::Greater => 0,
        std::cmp::Ordering::Equal => sender,
    };
    set_client(entry, client);
}

fn set_client(entry: &mut Entry, side: usize) {
    entry.state &= !state::CLIENT_SECOND;
    if side == 1 {
        entry.state |= state::CLIENT_SECOND;
    }
}

/// Moves the entry by one segment. True where its state, and with it the time
/// after which it ends, may have changed.
#[inline]
pub fn advance(entry: &mut Entry, packet: &Packet) -> bool {
    let sender = packet.reversed as usize;
    let plain = packet.tcp_flags & (SYN | FIN | RST | ACK) == ACK
        && entry.has(state::PROVEN | state::SEEN[0] | state::SEEN[1] | state::ACKED[0] | state::ACKED[1])
        && !entry.either(state::FIN | state::RST);
    if plain {
        entry.window[sender] = packet.window;
        acknowledge(entry, sender, packet.acknowledgement);
        extend(entry, sender, packet.sequence, packet.payload);
        return false;
    }
    advance_rarely(entry, packet, sender);
    true
}

#[inline]
fn ahead(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

/// The sender's acknowledgement, taken by the other direction.
#[inline]
fn acknowledge(entry: &mut Entry, sender: usize, acknowledgement: u32) {
    let sent = &mut entry.sent[1 - sender];
    let step = ahead(acknowledgement, sent.wire_acked);
    let beyond = ahead(acknowledgement, sent.wire_end);
    if step > 0 && beyond <= WINDOW_MAX {
        sent.wire_acked = acknowledgement;
        if beyond > 0 {
            beyond_end(entry, 1 - sender, acknowledgement);
        }
    }
}

/// More of a direction is acknowledged than was seen: lost on the way here, or
/// its FIN, behind which nothing lies and which is no part of the stream.
#[inline]
fn beyond_end(entry: &mut Entry, side: usize, acknowledgement: u32) {
    if entry.side(side, state::FIN) {
        entry.sent[side].wire_acked = entry.sent[side].wire_end;
    } else {
        entry.sent[side].wire_end = acknowledgement;
    }
}

#[inline]
fn extend(entry: &mut Entry, sender: usize, sequence: u32, payload: u32) {
    let sent = &mut entry.sent[sender];
    let end = sequence.wrapping_add(payload);
    let step = ahead(end, sent.wire_end);
    if step > 0 && step <= WINDOW_MAX {
        sent.wire_end = end;
    }
}

/// Handshake, close, reset, pick-up.
#[cold]
#[inline(never)]
fn advance_rarely(entry: &mut Entry, packet: &Packet, sender: usize) {
    let flags = packet.tcp_flags;
    if flags & RST != 0 {
        reset(entry, packet, sender);
        return;
    }
    if flags & SYN != 0 {
        synchronise(entry, packet, sender);
        return;
    }
    entry.window[sender] = packet.window;
    let other = 1 - sender;
    let believed = flags & ACK != 0 && is_believed(entry, packet, other);
    if believed && entry.has(state::SEEN[other] | state::ACKED[other]) {
        acknowledge(entry, sender, packet.acknowledgement);
    } else if believed {
        first_acknowledgement(entry, packet.acknowledgement, other);
    }
    if !entry.has(state::SEEN[sender]) {
        entry.state |= state::SEEN[sender];
        entry.sent[sender].wire_end = packet.sequence;
    }
    if !entry.side(sender, state::FIN) {
        extend(entry, sender, packet.sequence, packet.payload);
    }
    if flags & FIN != 0 {
        finish(entry, packet, sender);
    }
    if !entry.has(state::PROVEN) && !entry.either(state::RST) {
        prove(entry, packet, sender);
    }
    if believed && entry.side(other, state::FIN) && !entry.side(other, state::FIN_ACKED) {
        // A FIN takes the number behind the last byte (RFC 9293 §3.4).
        if ahead(packet.acknowledgement, entry.sent[other].wire_end) >= 1 {
            entry.set_side(other, state::FIN_ACKED);
        }
    }
}

/// Whether an acknowledgement is of this connection. Before the handshake is
/// proven a challenge ACK may acknowledge an older one (RFC 5961 §4): who has not
/// sent a SYN is believed only what the other is known to have sent.
fn is_believed(entry: &Entry, packet: &Packet, other: usize) -> bool {
    if !entry.has(state::SEEN[other]) {
        return true;
    }
    let in_order = entry.has(state::PROVEN) || entry.side(1 - other, state::SYN);
    let most = if in_order { WINDOW_MAX } else { 0 };
    let before_all =
        entry.has(state::FIRM[other]) && ahead(packet.acknowledgement, entry.warm.base[other]) < 0;
    !before_all && ahead(packet.acknowledgement, entry.sent[other].wire_end) <= most
}

fn first_acknowledgement(entry: &mut Entry, acknowledgement: u32, other: usize) {
    if !entry.has(state::SEEN[other]) {
        entry.state |= state::SEEN[other];
        entry.sent[other].wire_end = acknowledgement;
    }
    entry.state |= state::ACKED[other];
    entry.sent[other].wire_acked = acknowledgement;
    if ahead(acknowledgement, entry.sent[other].wire_end) > 0 {
        beyond_end(entry, other, acknowledgement);
    }
}

/// A SYN, or a SYN/ACK that may answer one.
fn synchronise(entry: &mut Entry, packet: &Packet, sender: usize) {
    let other = 1 - sender;
    let base = packet.sequence.wrapping_add(1);
    let answer = packet.tcp_flags & ACK != 0;
    if answer && entry.has(state::FIRM[other]) {
        let beyond = ahead(packet.acknowledgement, entry.warm.base[other]);
        let sent = ahead(entry.sent[other].wire_end, entry.warm.base[other]);
        if beyond < 0 || beyond > sent {
            return;
        }
    }
    if !entry.has(state::FIRM[sender]) {
        // A copy that comes late does not take back what was seen since; before
        // the proof what was seen may be of an older connection.
        if !entry.has(state::PROVEN | state::SEEN[sender]) {
            entry.sent[sender].wire_end = base.wrapping_add(packet.payload);
        }
        entry.state |= state::FIRM[sender] | state::SEEN[sender];
        entry.warm.base[sender] = base;
    }
    if packet.tcp_flags & ACK == 0
        && entry.marks & mark::ROLE_SYNACK != 0
        && sender == entry.client()
        && entry.warm.base[sender] == base
    {
        entry.marks = entry.marks & !mark::ROLE_SYNACK | mark::ROLE_SYN;
    }
    if entry.has(state::PROVEN) {
        // A late copy tells where the stream began, nothing else.
        return;
    }
    entry.set_side(sender, state::SYN);
    entry.window[sender] = packet.window;
    if answer {
        entry.set_side(other, state::SYN | state::SYN_ACKED);
        if !entry.has(state::FIRM[other]) {
            entry.sent[other].wire_end = packet.acknowledgement;
            entry.state |= state::FIRM[other] | state::SEEN[other];
            entry.warm.base[other] = packet.acknowledgement;
        }
        if !entry.has(state::ACKED[other]) {
            first_acknowledgement(entry, packet.acknowledgement, other);
        }
        if entry.side(sender, state::SYN_ACKED) && !entry.either(state::RST) {
            entry.state |= state::PROVEN;
        }
    }
}

/// Whether this segment shows that both ends have the connection.
fn prove(entry: &mut Entry, packet: &Packet, sender: usize) {
    let other = 1 - sender;
    let client = entry.client();
    if packet.tcp_flags & ACK == 0 {
        return;
    }
    if sender == client {
        let from_start =
            !entry.has(state::FIRM[sender]) || ahead(packet.sequence, entry.warm.base[sender]) >= 0;
        let answers =
            !entry.has(state::FIRM[other]) || ahead(packet.acknowledgement, entry.warm.base[other]) >= 0;
        if from_start && answers {
            entry.set_side(other, state::SYN | state::SYN_ACKED);
            entry.state |= state::PROVEN;
        }
    } else {
        let beyond = ahead(packet.acknowledgement, entry.warm.base[other]);
        let acknowledges_payload = beyond > 0 && is_believed(entry, packet, other);
        if packet.payload > 0 && (0..=WINDOW_MAX).contains(&beyond) || acknowledges_payload {
            entry.set_side(sender, state::SYN);
            entry.set_side(other, state::SYN_ACKED);
            entry.state |= state::PROVEN;
        }
    }
}

fn finish(entry: &mut Entry, packet: &Packet, sender: usize) {
    if entry.side(sender, state::FIN) {
        return;
    }
    let end = packet.sequence.wrapping_add(packet.payload);
    let sent = &entry.sent[sender];
    let acknowledged = entry.has(state::ACKED[sender]) && sent.wire_acked == sent.wire_end;
    match ahead(end, sent.wire_end) {
        0 => {}
        // An acknowledgement that counted the FIN came by before it did.
        -1 if acknowledged => {
            entry.sent[sender].wire_end = end;
            entry.sent[sender].wire_acked = end;
            entry.set_side(sender, state::FIN_ACKED);
        }
        // Of another connection: `extend` took what can be of this one.
        _ => return,
    }
    if sender == 1 && !entry.side(0, state::FIN) {
        entry.state |= state::FIN_SECOND;
    }
    entry.set_side(sender, state::FIN);
}

/// Accepts a RST or leaves the connection as it is (RFC 9293 §3.10.7.3, .4;
/// RFC 5961 §3).
fn reset(entry: &mut Entry, packet: &Packet, sender: usize) {
    let other = 1 - sender;
    let fins_acked = entry.side(0, state::FIN_ACKED) && entry.side(1, state::FIN_ACKED);
    if entry.either(state::RST) || fins_acked {
        return;
    }
    let client = entry.client();
    let accepted = if entry.has(state::PROVEN) {
        let sent = &entry.sent[sender];
        let least = if entry.has(state::ACKED[sender]) { sent.wire_acked } else { entry.warm.base[sender] };
        let fin = entry.side(sender, state::FIN) as i32;
        !entry.has(state::FIRM[sender])
            || ahead(packet.sequence, least) >= 0
                && ahead(packet.sequence, sent.wire_end) <= RESET_AHEAD + fin
    } else if sender == client {
        let beyond = ahead(packet.sequence, entry.warm.base[sender]);
        !entry.has(state::FIRM[sender]) || beyond == 0 || beyond == -1
    } else if entry.side(other, state::SYN_ACKED) {
        packet.sequence == entry.warm.base[sender]
    } else {
        let beyond = ahead(packet.acknowledgement, entry.warm.base[other]);
        let sent = ahead(entry.sent[other].wire_end, entry.warm.base[other]);
        packet.tcp_flags & ACK != 0 && (0..=sent).contains(&beyond)
    };
    if accepted {
        entry.set_side(sender, state::RST);
        if !entry.has(state::PROVEN) && sender != client {
            entry.marks |= mark::REFUSED;
        }
    }
}
