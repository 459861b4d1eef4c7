//! When a TCP connection came from one state to the next.
//!
//! Kept are the times of what a state follows from: the server's SYN, what the
//! attempt came to, each side's FIN and the acknowledgement of it, a RST; each
//! of the first packet with which it was so, so a copy changes nothing. The
//! states are told from them by the rule of the displayed one
//! ([`super::tcp::state_of`]), so the last of them is that one.
//!
//! Stands beside the entry and is written where a segment changed the state:
//! never by a packet of an open connection. Times are µs since the entry's
//! start: the handshake's in 32 bits (what comes later than 71 minutes is told
//! as that), the end's in 48 (nine years). Sources: RFC 9293 §3.3.2, §3.6.

use super::entry::{Entry, UNKNOWN_US, mark, shake, state};
use super::handshake;
use super::record::Outcome;
use super::tcp::{TcpState, state_of};

/// Bits of an entry's state from which the displayed one follows, but for the outcome.
pub(super) const BITS: u32 = {
    let side = state::SYN | state::FIN | state::FIN_ACKED | state::RST;
    state::PROVEN | side << state::SIDE[0] | side << state::SIDE[1]
};

/// Most states that a history tells: three of opening, closed, and one for each
/// of FIN and its acknowledgement by side and the RST.
pub const STATES_MAX: usize = 9;

/// What ends a connection: FIN by side, its acknowledgement by whose FIN it was, RST.
const ENDS: [(usize, u32); 5] =
    [(0, state::FIN), (1, state::FIN), (0, state::FIN_ACKED), (1, state::FIN_ACKED), (0, state::RST)];
const RESET: usize = 4;

/// A time that is not known.
const NEVER: u64 = (1 << 48) - 1;

/// See the module's description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct History {
    /// The server's SYN, or [`UNKNOWN_US`].
    synack_us: u32,
    /// Nothing came of the attempt.
    failed_us: u32,
    /// The handshake was proven.
    proven_us: u32,
    /// Of [`ENDS`], low and high bits.
    low: [u32; 5],
    high: [u16; 5],
    /// The server's SYN was seen before the client's, which may have come later.
    answer_first: bool,
}

const _: () = assert!(size_of::<History>() == 44);

impl Default for History {
    /// Of a flow that has just begun.
    fn default() -> History {
        let [synack_us, failed_us, proven_us] = [UNKNOWN_US; 3];
        let (low, high) = ([u32::MAX; 5], [u16::MAX; 5]);
        History { synack_us, failed_us, proven_us, low, high, answer_first: false }
    }
}

/// A state that a connection came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Which.
    pub state: TcpState,
    /// When, µs since the entry's start.
    pub after_us: u64,
    /// Index of the end whose FIN or RST made it so.
    pub by: Option<usize>,
}

/// When one side said that it has no more data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its first FIN, µs since the entry's start.
    pub after_us: u64,
    /// The first acknowledgement of it.
    pub acked_us: Option<u64>,
}

impl History {
    /// A segment changed the state's bits from `before`, which are the entry's now.
    pub fn note(&mut self, entry: &Entry, before: u32, now_ns: u64) {
        let gained = entry.state & !before;
        let us = now_ns.saturating_sub(entry.start) / 1000;
        let client = entry.client();
        if gained >> state::SIDE[1 - client] & state::SYN != 0 {
            self.synack_us = short(us);
            self.answer_first = before >> state::SIDE[client] & state::SYN == 0;
        }
        if gained & state::PROVEN != 0 {
            self.proven_us = short(us);
        }
        for (place, (side, bit)) in ENDS.into_iter().enumerate().take(RESET) {
            if gained >> state::SIDE[side] & bit != 0 {
                self.set(place, us);
            }
        }
        let reset = |bits: u32| (bits | bits >> state::SIDE[1]) & state::RST != 0;
        match (reset(before), reset(entry.state)) {
            (false, true) => self.set(RESET, us),
            // It was not its sender's.
            (true, false) => self.set(RESET, NEVER),
            _ => {}
        }
    }

    /// The attempt was decided at this time, ns since the epoch.
    pub(super) fn decide(&mut self, entry: &Entry, end_ns: u64) {
        if handshake::outcome(entry) != Some(Outcome::Success) {
            self.failed_us = short(end_ns.saturating_sub(entry.start) / 1000);
        }
    }

    fn set(&mut self, place: usize, us: u64) {
        let us = us.min(NEVER);
        self.low[place] = us as u32;
        self.high[place] = (us >> 32) as u16;
    }

    fn get(&self, place: usize) -> Option<u64> {
        let us = u64::from(self.high[place]) << 32 | u64::from(self.low[place]);
        (us != NEVER).then_some(us)
    }

    /// When a side finished, where it did.
    pub fn finished(&self, entry: &Entry, side: usize) -> Option<Finished> {
        let side = side & 1;
        let after_us = self.get(side).filter(|_| entry.side(side, state::FIN))?;
        let acked_us = self.get(side + 2).filter(|_| entry.side(side, state::FIN_ACKED));
        Some(Finished { after_us, acked_us })
    }

    /// The states of the entry's connection, in order of time; the first is the one
    /// in which it was met, the last the displayed one. At most [`STATES_MAX`].
    pub fn states(&self, entry: &Entry) -> Vec<Passed> {
        let steps = self.steps(entry);
        let midstream = entry.marks & mark::MIDSTREAM != 0;
        let mut seen = Entry { state: entry.state & !BITS, ..*entry };
        seen.state |= if midstream { state::PROVEN } else { 0 };
        seen.handshake[0] &= !shake::OUTCOME;
        let mut all: Vec<Passed> = Vec::with_capacity(STATES_MAX);
        let mut put = |state, after_us, by| {
            if all.last().is_none_or(|last| last.state != state) {
                all.push(Passed { state, after_us, by });
            }
        };
        // A FIN may be what it was met by.
        let by_end = midstream && steps.first().is_some_and(|first| first.after_us == 0);
        if !self.answer_first && !by_end {
            put(state_of(&seen), 0, None);
        }
        for (number, step) in steps.iter().enumerate() {
            seen.state |= step.bits;
            if step.decides {
                seen.handshake[0] |= entry.handshake[0] & shake::OUTCOME;
            }
            let proves = step.bits & state::PROVEN != 0;
            if proves && !seen.either(state::RST) {
                // Though a FIN may have come before its proof.
                put(TcpState::Established, step.after_us, None);
            }
            // What one packet did is one step.
            let next = steps.get(number + 1);
            let together = next.is_some_and(|next| next.ends && next.after_us == step.after_us);
            let shared = (step.ends || proves) && together;
            if !shared {
                let state = state_of(&seen);
                put(state, step.after_us, by(&seen, state));
            }
        }
        all
    }

    /// What is known to have happened, in order of time.
    fn steps(&self, entry: &Entry) -> Vec<Step> {
        let mut steps = Vec::with_capacity(STATES_MAX);
        let server = 1 - entry.client();
        let bits = state::SYN << state::SIDE[server];
        if self.synack_us != UNKNOWN_US && entry.state & bits != 0 {
            steps.push(Step { after_us: self.synack_us.into(), bits, decides: false, ends: false });
        }
        if self.failed_us != UNKNOWN_US {
            steps.push(Step { after_us: self.failed_us.into(), bits: 0, decides: true, ends: true });
        }
        if self.proven_us != UNKNOWN_US {
            steps.push(Step {
                after_us: self.proven_us.into(),
                bits: state::PROVEN,
                decides: false,
                ends: false,
            });
        }
        for (place, (side, bit)) in ENDS.into_iter().enumerate() {
            let both = if place == RESET { bit << state::SIDE[1] } else { 0 };
            let bits = entry.state & (bit << state::SIDE[side] | both);
            if let Some(after_us) = self.get(place).filter(|_| bits != 0) {
                steps.push(Step { after_us, bits, decides: false, ends: true });
            }
        }
        // Stable: of one time in the order of opening and closing.
        steps.sort_by_key(|step| step.after_us);
        steps
    }
}

struct Step {
    after_us: u64,
    /// Bits of the entry's state that it set.
    bits: u32,
    /// The attempt was decided by it.
    decides: bool,
    /// It is of the end: one packet may have done several of them.
    ends: bool,
}

/// Whose FIN or RST brought a connection into a state.
fn by(entry: &Entry, state: TcpState) -> Option<usize> {
    let first = (entry.state & state::FIN_SECOND != 0) as usize;
    match state {
        TcpState::FinWait => Some(entry.side(1, state::FIN) as usize),
        TcpState::Closing => Some(1 - first),
        TcpState::Reset => Some(entry.side(1, state::RST) as usize),
        _ => None,
    }
}

fn short(us: u64) -> u32 {
    u32::try_from(us).map_or(UNKNOWN_US - 1, |us| us.min(UNKNOWN_US - 1))
}
