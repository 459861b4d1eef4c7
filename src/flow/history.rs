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
//! start: of the opening in 32 bits (later than 71 minutes is told as that); what
//! ends it in 48 bits for the first, and for the others by how much later they
//! are, from 71 minutes on in milliseconds. Sources: RFC 9293 §3.3.2, §3.6.

use super::beside::Beside;
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

/// What ends a connection, by place: FIN by side, its acknowledgement by whose FIN it
/// was. A RST stands in the place of an acknowledgement that had not come: with both
/// of them there is nothing left to reset.
const ENDS: [(usize, u32); 4] =
    [(0, state::FIN), (1, state::FIN), (0, state::FIN_ACKED), (1, state::FIN_ACKED)];

/// Bits of [`History::known`]: of the ends by place, whether it is known, and whether
/// it is in milliseconds.
const KNOWN: u16 = 1;
const COARSE: u16 = 1 << 4;
const ALL_KNOWN: u16 = 0xf;
/// A RST in the place of the first acknowledgement, or of the second.
const RST_AT: [u16; 2] = [1 << 8, 1 << 9];
/// Where the place of the first end stands.
const FIRST_SHIFT: u32 = 10;
const SYNACK: u16 = 1 << 12;
const DECIDED: u16 = 1 << 13;
/// The server's SYN was seen before the client's, which may have come later.
const ANSWER_FIRST: u16 = 1 << 14;

/// See the module's description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct History {
    /// The server's SYN.
    synack_us: u32,
    /// Nothing came of the attempt; else the proof, where [`Beside::connect_us`] does not
    /// tell it.
    decided_us: u32,
    /// By place: of the first the low bits, of the others how much later.
    ends: [u32; 4],
    /// Of the first the bits above.
    high: u16,
    known: u16,
}

const _: () = assert!(size_of::<History>() == 28);

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
    pub fn note(&mut self, entry: &Entry, beside: &Beside, before: u32, now_ns: u64) {
        let gained = entry.state & !before;
        let us = now_ns.saturating_sub(entry.start) / 1000;
        let client = entry.client();
        if gained >> state::SIDE[1 - client] & state::SYN != 0 {
            self.synack_us = short(us);
            let first = before >> state::SIDE[client] & state::SYN == 0;
            self.known |= SYNACK | if first { ANSWER_FIRST } else { 0 };
        }
        if gained & state::PROVEN != 0 && beside.connect_us == UNKNOWN_US {
            self.decided_us = short(us);
            self.known |= DECIDED;
        }
        let reset = |bits: u32| (bits | bits >> state::SIDE[1]) & state::RST != 0;
        match (reset(before), reset(entry.state)) {
            // Nothing that comes behind it changes the state.
            (true, true) => {}
            (false, true) => {
                let second = (self.known & KNOWN << 2 != 0) as usize;
                self.known |= RST_AT[second];
                self.put(2 + second, us);
            }
            (taken_back, false) => {
                if taken_back {
                    self.take_back();
                }
                for (place, (side, bit)) in ENDS.into_iter().enumerate() {
                    // Of what came behind a RST that was none this is the time.
                    if entry.side(side, bit) && self.known & KNOWN << place == 0 {
                        self.put(place, us);
                    }
                }
            }
        }
    }

    /// The attempt was decided at this time, ns since the epoch.
    pub(super) fn decide(&mut self, entry: &Entry, end_ns: u64) {
        if handshake::outcome(entry) != Some(Outcome::Success) {
            self.decided_us = short(end_ns.saturating_sub(entry.start) / 1000);
            self.known |= DECIDED;
        }
    }

    /// The place of the RST, where there is one.
    fn reset_at(&self) -> Option<usize> {
        (0..2).find(|&place| self.known & RST_AT[place] != 0).map(|place| place + 2)
    }

    /// The RST was not its sender's.
    fn take_back(&mut self) {
        if let Some(place) = self.reset_at() {
            self.known &= !(RST_AT[0] | RST_AT[1] | KNOWN << place);
        }
    }

    /// The first of the ends: its place, and when.
    fn first(&self) -> Option<(usize, u64)> {
        let place = (self.known >> FIRST_SHIFT & 3) as usize;
        let us = u64::from(self.high) << 32 | u64::from(self.ends[place]);
        (self.known & ALL_KNOWN != 0).then_some((place, us))
    }

    fn put(&mut self, place: usize, us: u64) {
        let us = us.min((1 << 48) - 1);
        match self.first() {
            None => {
                (self.ends[place], self.high) = (us as u32, (us >> 32) as u16);
                self.known = self.known & !(3 << FIRST_SHIFT) | (place as u16) << FIRST_SHIFT;
            }
            // What others are counted from stays.
            Some((at, _)) if at == place => {}
            Some((_, first)) => {
                let later = us.saturating_sub(first);
                let coarse = later > u64::from(u32::MAX);
                let later = if coarse { later / 1000 } else { later };
                self.ends[place] = u32::try_from(later).unwrap_or(u32::MAX);
                self.known = self.known & !(COARSE << place) | if coarse { COARSE << place } else { 0 };
            }
        }
        self.known |= KNOWN << place;
    }

    fn get(&self, place: usize) -> Option<u64> {
        let (first, us) = self.first().filter(|_| self.known & KNOWN << place != 0)?;
        let later = u64::from(self.ends[place]);
        match self.known & COARSE << place != 0 {
            _ if first == place => Some(us),
            true => Some(us + later * 1000),
            false => Some(us + later),
        }
    }

    /// When a side finished, where it did.
    pub fn finished(&self, entry: &Entry, side: usize) -> Option<Finished> {
        let side = side & 1;
        let after_us = self.get(side).filter(|_| entry.side(side, state::FIN))?;
        let acked = entry.side(side, state::FIN_ACKED) && self.reset_at() != Some(side + 2);
        Some(Finished { after_us, acked_us: self.get(side + 2).filter(|_| acked) })
    }

    /// The states of the entry's connection, in order of time; the first is the one
    /// in which it was met, the last the displayed one. At most [`STATES_MAX`].
    pub fn states(&self, entry: &Entry, beside: &Beside) -> Vec<Passed> {
        let steps = self.steps(entry, beside);
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
        if self.known & ANSWER_FIRST == 0 && !by_end {
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
    fn steps(&self, entry: &Entry, beside: &Beside) -> Vec<Step> {
        let mut steps = Vec::with_capacity(STATES_MAX);
        let decided = (self.known & DECIDED != 0).then_some(self.decided_us);
        let connected = Some(beside.connect_us).filter(|&us| us != UNKNOWN_US);
        let begun = handshake::is_attempt(entry) && entry.has(state::PROVEN);
        let proven = connected.or(decided).filter(|_| begun);
        let failed = decided.filter(|_| !begun || connected.is_some());
        let answered = (self.known & SYNACK != 0).then_some(self.synack_us);
        let server = state::SYN << state::SIDE[1 - entry.client()];
        let mut put = |us: Option<u32>, bits: u32, decides: bool| {
            let step = |us: u32| Step { after_us: us.into(), bits, decides, ends: decides };
            steps.extend(us.map(step));
        };
        put(answered.filter(|_| entry.has(server)), server, false);
        put(failed, 0, true);
        put(proven, state::PROVEN, false);
        for (place, (side, bit)) in ENDS.into_iter().enumerate() {
            let resets = self.reset_at() == Some(place);
            let wanted = match resets {
                true => state::RST << state::SIDE[0] | state::RST << state::SIDE[1],
                false => bit << state::SIDE[side],
            };
            let bits = entry.state & wanted;
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
    u32::try_from(us).unwrap_or(u32::MAX)
}
