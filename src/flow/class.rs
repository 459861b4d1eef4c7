//! How long a flow may be silent, and what its end is called.

use super::entry::{Entry, state};
use super::handshake;
use super::idle::Class;
use super::record::{EndReason, Outcome};
use super::tcp::{self, TcpState};
use crate::decode::protocol;

/// Which idle limit a flow has.
#[inline]
pub(super) fn class_of(entry: &Entry) -> Class {
    match entry.key.protocol() {
        protocol::TCP => class_of_tcp(entry.state),
        protocol::UDP | protocol::UDP_LITE => Class::Udp,
        _ => Class::Other,
    }
}

/// The same of a TCP connection, by the bits of its state ([`super::history::BITS`] at most).
#[inline]
pub(super) fn class_of_tcp(bits: u32) -> Class {
    let [first, second] = state::SIDE.map(|shift| bits >> shift);
    let ended = state::FIN | state::FIN_ACKED;
    if (first | second) & state::RST != 0 || bits & state::PROVEN != 0 && first & second & ended == ended {
        Class::Tombstone
    } else if bits & state::PROVEN == 0 {
        Class::HalfOpen
    } else if (first | second) & state::FIN != 0 {
        Class::Closing
    } else {
        Class::Established
    }
}

/// Why a flow that goes by its idle limit has ended.
pub(super) fn reason_of(entry: &Entry) -> EndReason {
    if entry.key.protocol() != protocol::TCP {
        return EndReason::Idle;
    }
    match tcp::state_of(entry) {
        TcpState::SynSent | TcpState::SynReceived | TcpState::Closed => EndReason::Timeout,
        TcpState::TimeWait => EndReason::Fin,
        TcpState::Reset if handshake::outcome(entry) == Some(Outcome::Reject) => EndReason::Refused,
        TcpState::Reset => EndReason::Rst,
        TcpState::Established
        | TcpState::FinWait
        | TcpState::HalfClosedClient
        | TcpState::HalfClosedServer
        | TcpState::Closing => EndReason::Idle,
    }
}

/// Whether a flow's age passed a multiple of the active time-out since it was last
/// reported: that may have been several cuts ago, if it was silent at the time.
pub(super) fn active_due(age_ns: u64, timeout_ns: u64, reported: &mut u64) -> Option<EndReason> {
    let turns = age_ns.checked_div(timeout_ns).unwrap_or(0);
    let due = turns > *reported;
    *reported = turns.max(*reported);
    due.then_some(EndReason::Active)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::history;
    use crate::flow::key::FlowKey;

    #[test]
    fn the_class_is_that_of_the_state() {
        let mut entry = Entry::new(FlowKey::default(), 0);
        for bits in 0..1u32 << 20 {
            entry.state = bits;
            let expected = match tcp::state_of(&entry) {
                TcpState::SynSent | TcpState::SynReceived => Class::HalfOpen,
                TcpState::Established => Class::Established,
                TcpState::FinWait
                | TcpState::HalfClosedClient
                | TcpState::HalfClosedServer
                | TcpState::Closing => Class::Closing,
                TcpState::TimeWait | TcpState::Reset | TcpState::Closed => Class::Tombstone,
            };
            assert_eq!(class_of_tcp(bits), expected, "{bits:#x}");
            assert_eq!(class_of_tcp(bits & history::BITS), expected, "{bits:#x}");
        }
    }
}
