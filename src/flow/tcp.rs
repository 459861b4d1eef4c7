//! TCP as two endpoints pass it, seen from between them: state per side, roles,
//! port reuse, resets.
//!
//! Pure functions of an entry and a segment; no clock, no table. An observer
//! may see one direction only, join late, or see segments out of order, so
//! half-seen is a state here, not an error. Sources: RFC 9293 §3.3.2, §3.6,
//! §3.10.7; RFC 5961 §3, §4 (challenge ACKs); RFC 7413 (payload in a SYN).

use super::entry::{Entry, mark, state};
use super::listen::Listeners;
use super::record::Outcome;
use super::{handshake, rtt, sequence};
use crate::decode::Packet;
use crate::decode::tcp_flag::{ACK, RST, SYN};

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
        if handshake::outcome(entry).is_some() {
            return TcpState::Closed;
        }
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
    if packet.tcp_flags & SYN != 0 {
        return fate_of_syn(entry, packet);
    }
    match entry.state & FINS_ACKED {
        0 => Fate::Here,
        _ => fate_of_late(entry, packet),
    }
}

const FINS_ACKED: u32 = state::FIN_ACKED << state::SIDE[0] | state::FIN_ACKED << state::SIDE[1];

/// What a resend may lie behind the end of a stream: more than most windows.
const RESENT_MOST: i64 = 1 << 24;

/// Nothing lies behind a FIN (RFC 9293 §3.4): payload that does, or that is no resend
/// after both, is of a connection whose SYN was lost by the capture.
#[cold]
#[inline(never)]
fn fate_of_late(entry: &Entry, packet: &Packet) -> Fate {
    let sender = packet.reversed as usize;
    if !entry.side(sender, state::FIN_ACKED) || packet.tcp_flags & RST != 0 || packet.payload == 0 {
        return Fate::Here;
    }
    let beyond = i64::from(sequence::ahead(packet.sequence, entry.sent[sender].wire_end));
    let over = entry.side(1 - sender, state::FIN_ACKED);
    if beyond > 0 || over && beyond < -RESENT_MOST { Fate::Reused } else { Fate::Here }
}

#[cold]
#[inline(never)]
fn fate_of_syn(entry: &Entry, packet: &Packet) -> Fate {
    let sender = packet.reversed as usize;
    let other = 1 - sender;
    let proven = entry.has(state::PROVEN);
    let own = packet.sequence.wrapping_add(1);
    let repeats = entry.side(sender, state::SYN) && entry.warm.base[sender] == own;
    if packet.tcp_flags & ACK == 0 {
        use Outcome::{Aborted, AbortedRst, Reject};
        // An attempt that was refused or given up is answered: the same number asks again.
        let answered = matches!(handshake::outcome(entry), Some(Reject | Aborted | AbortedRst));
        let over = !proven && (answered || entry.either(state::RST));
        if over {
            return Fate::Reused;
        }
        let first = !proven && !entry.side(sender, state::SYN);
        return if repeats || first { Fate::Here } else { Fate::Reused };
    }
    if !proven {
        return Fate::Here;
    }
    // Of one that was picked up both numbers have to fit what is known.
    let fits = entry.warm.base[sender] == own && entry.warm.base[other] == packet.acknowledgement;
    let repeats = repeats || fits && entry.has(state::SEEN[0] | state::SEEN[1]);
    let answers = entry.side(other, state::SYN) && entry.warm.base[other] == packet.acknowledgement;
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
pub(super) fn begin(entry: &mut Entry, packet: &Packet, loss_epoch: u32, listeners: &Listeners) {
    let sender = packet.reversed as usize;
    handshake::begin(entry, loss_epoch);
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
            rtt::begin(entry);
            match listeners.server_of(&entry.key) {
                Some(server) => {
                    entry.marks |= mark::ROLE_LISTEN;
                    set_client(entry, 1 - server);
                }
                None => guess_roles(entry, sender),
            }
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
