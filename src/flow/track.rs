//! What a segment does to its connection.
//!
//! Nearly every segment of an open connection is the next of its stream or
//! acknowledges what was seen: [`advance_plainly`]. All else goes through
//! [`advance_rarely`], in one order: where the stream begins, acknowledgement,
//! handshake, round trip, payload, FIN. The rooms beside this one know one thing
//! each; this one knows which of them a segment is for.
//!
//! An observer may see one direction only, join late, or see segments out of
//! order, so half-seen is a state here, not an error. Sources: RFC 9293 §3.10.7;
//! RFC 5961 §3, §4 (challenge ACKs); RFC 5681 §2; RFC 7413 (payload in a SYN).

use super::beside::Beside;
use super::detail::Details;
use super::entry::{Entry, NO_LANE, mark, shake, state};
use super::record::{Exchange, Outcome, Session};
use super::sequence::{self, ahead};
use super::tcp::{TcpState, state_of};
use super::{exchange, handshake, rtt};
use crate::capture::Lane;
use crate::decode::Packet;
use crate::decode::tcp_flag::{ACK, FIN, RST, SYN};
use crate::meter::totals::{LaneTotals, TcpTotals};

/// What a RST's sequence number may lie beyond what was seen of its sender:
/// the capture may have lost the segments in between.
const RESET_AHEAD: i64 = 1 << 20;
/// What of such a connection came as fragments, or before its numbers jumped, cannot be
/// told: what seems to be missing of it is no evidence of loss.
const NO_EVIDENCE: u16 = mark::FRAGMENTED | mark::DISCONTINUOUS;
/// What the capture may have lost of a client before the first that is seen of a server.
const LOST_MOST: i64 = RESET_AHEAD;

/// What a segment led to, for the table to hand on.
#[derive(Default)]
pub(super) struct Events {
    /// The attempt was decided.
    pub session: Option<Session>,
    /// An exchange is complete.
    pub exchange: Option<Exchange>,
}

/// An entry with all that belongs to it.
pub(super) struct Track<'a> {
    pub entry: &'a mut Entry,
    pub details: &'a mut Details,
    pub beside: &'a mut Beside,
    /// Of all lanes: what was lost is counted where it should have come by.
    pub lanes: &'a mut [LaneTotals],
    pub slot: u32,
    /// Of the worker, now: what handshakes that began at another may have lost.
    pub loss_epoch: u32,
}

/// Both handshakes done, both streams begun, nothing ended.
const OPEN: u32 = state::PROVEN
    | state::SEEN[0]
    | state::SEEN[1]
    | state::ACKED[0]
    | state::ACKED[1]
    | state::FIRM[0]
    | state::FIRM[1];

/// One of the two has ended it.
const ENDED: u32 = {
    let side = state::FIN | state::RST;
    side << state::SIDE[0] | side << state::SIDE[1]
};

/// Nearly every segment of an open connection: the next of its stream, or an
/// acknowledgement of what was seen. False for anything else, and then nothing
/// has changed. `before_ns`: time of the packet before. Without branches where
/// which way they go cannot be foreseen: whether it has payload, whether it
/// acknowledges anything.
#[inline]
pub(super) fn advance_plainly(
    track: &mut Track,
    packet: &Packet,
    before_ns: u64,
    done: &mut Option<Exchange>,
) -> bool {
    let sender = packet.reversed as usize;
    let other = 1 - sender;
    let entry = &mut *track.entry;
    let (its_end, its_acked) = (entry.sent[other].wire_end, entry.sent[other].wire_acked);
    let step = packet.acknowledgement.wrapping_sub(its_acked);
    let under_way = its_end.wrapping_sub(its_acked);
    let speaks = packet.payload > 0;
    let flags = (packet.tcp_flags & (SYN | FIN | RST | ACK)) ^ ACK;
    let holes = entry.marks & (mark::HOLES[0] | mark::HOLES[1]);
    let otherwise = flags as u32
        | (entry.state & (OPEN | ENDED)) ^ OPEN
        | packet.sequence ^ entry.sent[sender].wire_end
        | holes as u32;
    // An old acknowledgement is a large step; one that repeats may be a duplicate.
    let repeats = (step | packet.payload == 0) & (under_way != 0);
    if (otherwise != 0) | (step > under_way) | (packet.window == 0) | repeats {
        return false;
    }
    entry.window[sender] = packet.window;
    entry.sent[other].wire_acked = packet.acknowledgement;
    let acks = step > 0;
    track.lanes[packet.lane.index()].tcp.acks += acks as u64;
    let now_us = rtt::now_us(entry, packet.time_ns);
    if rtt::has_work(entry, packet, acks, before_ns) {
        let first = if packet.segments > 1 { packet.gso_size as u32 } else { packet.payload };
        let in_order = speaks.then(|| packet.sequence.wrapping_add(first));
        let only_acks = !speaks && packet.has_stamps;
        let seen = rtt::Seen { acks, in_order, speaks, only_acks };
        rtt::work(entry, track.details, packet, &seen, before_ns);
    }
    sequence::extend(entry, sender, packet.payload);
    let heard = packet.acknowledgement == its_end;
    if speaks && exchange::turns(entry, sender, heard) {
        exchange::note_tls(entry, sender, packet.payload, packet.first_byte);
        exchange::take_turn(entry, track.details, sender, now_us, done);
    }
    // In a greeting nobody reads it.
    let its_turn = speaks & !exchange::waits(entry.state, sender == entry.client());
    let last = &mut entry.sent[sender].last_payload_us;
    *last = if its_turn { now_us } else { *last };
    true
}

/// Reordering explains a gap for as long as a round trip; where that is not
/// known for 3 ms.
const REORDERED_US: u32 = 3000;

/// Every other segment. `before_ns` as above.
pub(super) fn advance_rarely(track: &mut Track, packet: &Packet, before_ns: u64, events: &mut Events) {
    let sender = packet.reversed as usize;
    let other = 1 - sender;
    let flags = packet.tcp_flags;
    let first_syn = flags & SYN != 0 && track.beside.syn[sender] == 0;
    let first_synack = !track.entry.side(sender, state::SYN);
    if flags & (SYN | FIN | RST) != 0 {
        count_flags(track.beside, flags, sender);
    }
    let foreign = flags & (SYN | ACK) == SYN | ACK && track.is_foreign_answer(packet, other);
    if (foreign || flags & RST != 0) && track.entry.has(state::PROVEN) {
        rtt::wake(track.entry, before_ns, packet.time_ns);
    }
    if foreign {
        return;
    }
    track.find_base(packet, sender);
    if flags & RST != 0 {
        track.reset(packet, sender, events);
        return;
    }
    let advanced = flags & ACK != 0 && track.acknowledge(packet, sender, other);
    track.handshake(packet, sender, first_syn, first_synack, events);
    track.measure(packet, sender, advanced, before_ns);
    track.data(packet, sender, events);
    if flags & FIN != 0 {
        track.finish(packet, sender, events);
    }
    if packet.window == 0 && flags & (SYN | FIN) == 0 {
        sequence::add(track.entry, track.details, sender, |loss| {
            loss.zero_windows = loss.zero_windows.saturating_add(1);
        });
    }
    track.entry.window[sender] = packet.window;
}

/// Counts segments with SYN, FIN and RST; those of an impossible header as well.
pub(super) fn count_flags(beside: &mut Beside, flags: u8, sender: usize) {
    for (flag, count) in [(SYN, &mut beside.syn), (FIN, &mut beside.fin), (RST, &mut beside.rst)] {
        if flags & flag != 0 {
            handshake::more(&mut count[sender]);
        }
    }
}

impl Track<'_> {
    /// Counters of the lane on which a side's packets come.
    fn tally(&mut self, side: usize, packet: &Packet) -> &mut TcpTotals {
        let own = self.entry.lanes[side];
        let lane = if own == NO_LANE { packet.lane } else { Lane(own) };
        &mut self.lanes[lane.index()].tcp
    }

    /// A SYN/ACK that answers no SYN of this connection is a packet and nothing else.
    fn is_foreign_answer(&self, packet: &Packet, other: usize) -> bool {
        if !self.entry.side(other, state::SYN) {
            return false;
        }
        let beyond = ahead(packet.acknowledgement, self.entry.warm.base[other]);
        beyond < 0 || beyond as u64 > self.entry.end(other)
    }

    /// Where the sender's stream begins, as far as this segment tells.
    fn find_base(&mut self, packet: &Packet, sender: usize) {
        let Track { entry, details, .. } = self;
        let flags = packet.tcp_flags;
        if flags & SYN != 0 {
            let first = packet.sequence.wrapping_add(1);
            let known = entry.side(sender, state::SYN) && entry.warm.base[sender] == first;
            let proven = entry.has(state::PROVEN);
            let copy = entry.has(state::FIRM[sender]) && entry.warm.base[sender] == first;
            // After the proof a SYN tells only what was not known.
            let jumped = entry.marks & mark::DISCONTINUOUS != 0;
            if !known && (!proven || !entry.has(state::FIRM[sender])) && !copy && !jumped {
                sequence::rebase(entry, details, sender, first);
            }
            if !known && (!proven || entry.warm.base[sender] == first) {
                entry.set_side(sender, state::SYN);
                entry.state |= state::FIRM[sender] | state::SEEN[sender];
            }
            if packet.tcp_flags & ACK == 0
                && entry.marks & mark::ROLE_SYNACK != 0
                && sender == entry.client()
                && entry.warm.base[sender] == first
            {
                entry.marks = entry.marks & !mark::ROLE_SYNACK | mark::ROLE_SYN;
            }
            return;
        }
        if !entry.has(state::SEEN[sender]) {
            sequence::rebase(entry, details, sender, packet.sequence);
        }
        if flags & RST != 0 || entry.has(state::FIRM[sender]) {
            return;
        }
        let jumped = entry.marks & mark::DISCONTINUOUS != 0;
        if entry.side(sender, state::FIN) {
            // The FIN came first: where the stream ends is known, and now where it begins.
            let length = ahead(entry.sent[sender].wire_end, packet.sequence);
            let fits =
                i64::from(length) <= sequence::WINDOW_MAX && i64::from(packet.payload) <= i64::from(length);
            if packet.payload > 0 && fits && !jumped {
                let unseen =
                    sequence::begin_before_fin(entry, details, sender, packet.sequence, packet.time_ns);
                entry.state |= state::FIRM[sender];
                if entry.marks & mark::FRAGMENTED == 0 {
                    self.tally(sender, packet).acked_unseen += unseen;
                }
            }
        } else if packet.payload > 0 || flags & FIN != 0 {
            match jumped {
                false => sequence::rebase(entry, details, sender, packet.sequence),
                true => sequence::restart(entry, details, sender, packet.sequence),
            }
            if packet.payload > 0 {
                entry.state |= state::FIRM[sender];
            }
        }
    }

    /// The sender's acknowledgement, taken by the other direction; whether it
    /// acknowledged something for the first time.
    fn acknowledge(&mut self, packet: &Packet, sender: usize, other: usize) -> bool {
        let syn = packet.tcp_flags & SYN != 0;
        let attempt = handshake::is_attempt(self.entry);
        let entry = &mut *self.entry;
        if !entry.has(state::SEEN[other]) {
            sequence::rebase(entry, self.details, other, packet.acknowledgement);
            let first_word = sender == entry.client()
                && attempt
                && entry.side(sender, state::SYN)
                && packet.sequence == entry.warm.base[sender]
                && sequence::acked(entry, sender) == 0;
            if syn || first_word {
                entry.state |= state::FIRM[other];
            }
            if syn {
                entry.set_side(other, state::SYN);
            }
        }
        let beyond = ahead(packet.acknowledgement, entry.sent[other].wire_end);
        let step = ahead(packet.acknowledgement, entry.sent[other].wire_acked);
        if entry.side(other, state::SYN) && sequence::offset(entry, other, packet.acknowledgement) >= 0 {
            entry.set_side(other, state::SYN_ACKED);
        }
        let plain = packet.payload == 0 && packet.tcp_flags & (SYN | FIN) == 0;
        if plain && entry.has(state::PROVEN | state::FIRM[other]) {
            self.count_duplicate(packet, sender, other);
        }
        let entry = &mut *self.entry;
        let known = state::ACKED[other] | state::FIRM[other];
        if entry.has(known) && step > 0 && beyond <= 0 && entry.marks & mark::HOLES[other] == 0 {
            entry.sent[other].wire_acked = packet.acknowledgement;
            self.tally(other, packet).acks += 1;
            return true;
        }
        // Before the proof a challenge ACK may acknowledge an older connection
        // (RFC 5961 §4): who has sent no SYN is believed only what was seen.
        let challenge = attempt
            && !entry.has(state::PROVEN)
            && !entry.side(sender, state::SYN)
            && entry.side(other, state::SYN)
            && beyond > 0;
        if challenge {
            return false;
        }
        let now = sequence::born(packet.time_ns);
        let heard = sequence::acknowledge(entry, self.details, other, packet.acknowledgement, now);
        self.count_heard(packet, other, &heard);
        heard.advanced
    }

    /// What the segment means to the round trips: its payload has not been taken in.
    fn measure(&mut self, packet: &Packet, sender: usize, acks: bool, before_ns: u64) {
        let entry = &mut *self.entry;
        if !entry.has(state::PROVEN) {
            return;
        }
        let flags = packet.tcp_flags;
        if packet.payload == 0 && !rtt::has_work(entry, packet, acks, before_ns) {
            return;
        }
        let syn = (flags & SYN != 0) as u32;
        let wire = packet.sequence.wrapping_add(syn);
        let beyond = sequence::offset(entry, sender, wire) - entry.end(sender) as i64;
        let speaks = packet.payload > 0 && beyond <= sequence::WINDOW_MAX;
        let whole = entry.marks & mark::HOLES[sender] == 0;
        let size = if packet.segments > 1 { packet.gso_size as u32 } else { packet.payload };
        let in_order = speaks && beyond == 0 && whole && syn == 0;
        let mut in_order = in_order.then(|| wire.wrapping_add(size.min(packet.payload)));
        if speaks && beyond < 0 && !(packet.payload == 1 && self.asks(packet, sender)) {
            rtt::disarm(self.entry, sender);
            // The first segment of a super-frame that is all new is one in order.
            let seen = beyond.unsigned_abs();
            if whole && seen < packet.payload as u64 && seen.is_multiple_of(size as u64) {
                let rest = packet.payload - seen as u32;
                in_order = Some(wire.wrapping_add(seen as u32).wrapping_add(size.min(rest)));
            }
        }
        // Only a plain acknowledgement is one of its tick.
        let plain = flags & (SYN | FIN) == 0;
        let only_acks = plain && packet.payload == 0 && packet.has_stamps;
        let seen = rtt::Seen { acks, in_order, speaks, only_acks };
        rtt::work(self.entry, self.details, packet, &seen, before_ns);
    }

    fn count_heard(&mut self, packet: &Packet, other: usize, heard: &sequence::Heard) {
        let firm = self.entry.has(state::FIRM[other]);
        let marked = self.entry.marks & NO_EVIDENCE != 0;
        let one_way = self.entry.packets(other) == 0;
        let tally = self.tally(other, packet);
        tally.implausible += heard.implausible as u64;
        tally.merged_holes += heard.merged as u64;
        if firm && heard.unseen > 0 {
            exchange::lost(self.entry);
        }
        if !firm || marked {
            return;
        }
        let tally = self.tally(other, packet);
        if one_way {
            tally.one_way += heard.unseen;
            return;
        }
        tally.acked_unseen += heard.unseen;
        tally.acks += heard.advanced as u64;
        tally.acks_over_gap += (heard.unseen > 0) as u64;
    }

    /// The same acknowledgement once more, while something is under way.
    fn count_duplicate(&mut self, packet: &Packet, sender: usize, other: usize) {
        let entry = &mut *self.entry;
        let (fin, fin_acked) = (entry.side(other, state::FIN), entry.side(other, state::FIN_ACKED));
        let highest = entry.sent[other].wire_acked.wrapping_add(fin_acked as u32);
        let next = entry.sent[other].wire_end.wrapping_add(fin as u32);
        let same_window = packet.window == entry.window[sender] && packet.window != 0;
        let same = packet.acknowledgement == highest && next != highest;
        if same && same_window && !self.asks(packet, sender) {
            sequence::add(self.entry, self.details, sender, |loss| {
                loss.duplicate_acks = loss.duplicate_acks.saturating_add(1);
            });
        }
    }

    /// A keep-alive's number: one below what comes next, all before it acknowledged
    /// (RFC 9293 §3.8.4).
    fn asks(&self, packet: &Packet, sender: usize) -> bool {
        let entry = &*self.entry;
        let next = entry.sent[sender].wire_end.wrapping_add(entry.side(sender, state::FIN) as u32);
        packet.sequence.wrapping_add(1) == next && {
            let next = entry.end(sender) + entry.side(sender, state::FIN) as u64;
            sequence::acked(entry, sender) + entry.side(sender, state::FIN_ACKED) as u64 == next
        }
    }

    /// What a segment says of the attempt.
    fn handshake(
        &mut self,
        packet: &Packet,
        sender: usize,
        first_syn: bool,
        first_synack: bool,
        events: &mut Events,
    ) {
        let flags = packet.tcp_flags;
        let entry = &mut *self.entry;
        let client = entry.client();
        let outcome = handshake::outcome(entry);
        if entry.has(state::PROVEN) || !matches!(outcome, None | Some(Outcome::Unreach)) {
            // Copies that come late are counted, nothing else.
            let of_client = sender == client;
            let copy = flags & SYN != 0 && (flags & ACK == 0) == of_client;
            if copy && entry.warm.base[sender] == packet.sequence.wrapping_add(1) {
                handshake::more(&mut entry.handshake[if of_client { 1 } else { 2 }]);
            }
            return;
        }
        if !handshake::is_attempt(entry) {
            return;
        }
        let now_us = rtt::now_us(entry, packet.time_ns);
        if flags & (SYN | ACK) == SYN {
            if sender == client {
                handshake::syn(entry, packet, first_syn, now_us);
            } else if outcome.is_none() {
                entry.handshake[3] |= shake::BOTH_OPEN;
            }
        } else if flags & SYN != 0 && sender == client {
            // Who has asked answers only where it was asked, too.
            if outcome.is_none() {
                entry.handshake[3] |= shake::BOTH_OPEN;
            }
        } else if flags & SYN != 0 && !handshake::is_both_open(entry) {
            handshake::synack(entry, self.beside, packet, first_synack, now_us);
        }
        if self.proves(packet, sender, client) {
            events.session = handshake::prove(self.entry, self.beside, packet, self.slot, now_us);
        } else if flags & FIN != 0 && sender == client {
            events.session =
                handshake::decide(self.entry, self.beside, self.slot, Outcome::Aborted, packet.time_ns);
        }
    }

    /// Whether this segment shows that both ends have the connection.
    fn proves(&self, packet: &Packet, sender: usize, client: usize) -> bool {
        let (entry, other) = (&*self.entry, 1 - sender);
        if handshake::is_both_open(entry) {
            return entry.side(0, state::SYN_ACKED) && entry.side(1, state::SYN_ACKED);
        }
        if packet.tcp_flags & (SYN | ACK) != ACK {
            return false;
        }
        let from_start = sequence::offset(entry, sender, packet.sequence) >= 0;
        if sender == client {
            // Where its stream begins nobody knows while its FIN alone was seen.
            let answers = sequence::offset(entry, other, packet.acknowledgement) >= 0
                || !entry.has(state::FIRM[other]) && entry.side(other, state::FIN);
            return answers && (from_start || !entry.side(sender, state::SYN));
        }
        let fast_open = entry.handshake[0] & (shake::TFO_ACCEPTED | shake::TFO_REFUSED) != 0;
        let beyond = sequence::offset(entry, other, packet.acknowledgement);
        // Without its SYN a segment may be of an older connection: what it acknowledges
        // has to be near what the client is known to have sent.
        let known = entry.side(sender, state::SYN);
        let unseen = if known { sequence::WINDOW_MAX } else { LOST_MOST };
        let most = entry.end(other) as i64 + unseen;
        let says_so = packet.payload > 0 && (0..=most).contains(&beyond) || sequence::acked(entry, other) > 0;
        (from_start || !known) && says_so && !fast_open
    }

    /// A segment's payload.
    fn data(&mut self, packet: &Packet, sender: usize, events: &mut Events) {
        let syn = (packet.tcp_flags & SYN != 0) as u32;
        let wire = packet.sequence.wrapping_add(syn);
        let no_end = packet.tcp_flags & (SYN | FIN) == 0;
        let firm = self.entry.has(state::PROVEN | state::FIRM[sender]);
        if no_end && packet.payload <= 1 && firm && self.asks(packet, sender) {
            sequence::add(self.entry, self.details, sender, |loss| {
                loss.keep_alives = loss.keep_alives.saturating_add(1);
                loss.retransmitted_bytes += packet.payload as u64;
                loss.retransmitted_segments = loss.retransmitted_segments.saturating_add(packet.payload);
            });
            return;
        }
        if packet.payload == 0 || !self.is_plausible(packet, sender, wire) {
            return;
        }
        let entry = &mut *self.entry;
        let from = sequence::offset(entry, sender, wire);
        let now_us = rtt::now_us(entry, packet.time_ns);
        let taken = if from == entry.end(sender) as i64 && entry.marks & mark::HOLES[sender] == 0 {
            sequence::extend(entry, sender, packet.payload);
            sequence::Taken { new: packet.payload as u64, ..sequence::Taken::default() }
        } else {
            let size = if packet.segments > 1 { packet.gso_size as u32 } else { packet.payload };
            let reordered = handshake::round_trip_us(entry).filter(|&us| us > 0).unwrap_or(REORDERED_US);
            let threshold = ((reordered as u64 * 1000) >> 14) as u32;
            let now = sequence::born(packet.time_ns);
            let span = (from, packet.payload, size);
            let taken = sequence::payload(entry, self.details, sender, span, now, threshold);
            let marked = self.entry.marks & NO_EVIDENCE != 0;
            let tally = self.tally(sender, packet);
            tally.late += if marked { 0 } else { taken.late };
            tally.merged_holes += taken.merged as u64;
            taken
        };
        let entry = &mut *self.entry;
        // What it sends beyond its RST shows that the RST was not its own.
        if entry.side(sender, state::RST)
            && from + packet.payload as i64 >= entry.end(sender) as i64
            && taken.new > 0
        {
            entry.state &= !(state::RST << state::SIDE[sender]);
        }
        if taken.new > 0 {
            exchange::note_tls(entry, sender, packet.payload, packet.first_byte);
            let other = 1 - sender;
            let heard = sequence::acked(entry, other) >= entry.end(other);
            exchange::speak(entry, self.details, sender, heard, now_us, &mut events.exchange);
        }
    }

    /// Whether payload can be of this stream at all. Three that cannot in a row:
    /// the numbers have jumped, and both directions begin anew.
    fn is_plausible(&mut self, packet: &Packet, sender: usize, wire: u32) -> bool {
        if ahead(wire, self.entry.sent[sender].wire_end) as i64 <= sequence::WINDOW_MAX {
            self.beside.implausible[sender] = 0;
            return true;
        }
        self.tally(sender, packet).implausible += 1;
        // In a row: the stream has not gone on in between.
        let (stood_at, stands_at) = (&mut self.beside.stood_at[sender], self.entry.sent[sender].wire_end);
        if std::mem::replace(stood_at, stands_at) != stands_at {
            self.beside.implausible[sender] = 0;
        }
        handshake::more(&mut self.beside.implausible[sender]);
        if self.beside.implausible[sender] < 3 {
            return false;
        }
        self.beside.implausible[sender] = 0;
        self.tally(sender, packet).discontinuities += 1;
        sequence::restart(self.entry, self.details, sender, wire);
        sequence::restart(self.entry, self.details, 1 - sender, packet.acknowledgement);
        // Its payload is what the stream goes on with.
        self.entry.state |= state::FIRM[sender];
        true
    }

    /// The sender has no more data.
    fn finish(&mut self, packet: &Packet, sender: usize, events: &mut Events) {
        let entry = &mut *self.entry;
        let syn = (packet.tcp_flags & SYN != 0) as u32;
        let at = sequence::offset(entry, sender, packet.sequence.wrapping_add(syn)) + packet.payload as i64;
        let now = sequence::born(packet.time_ns);
        if !entry.side(sender, state::FIN) && sequence::finish(entry, self.details, sender, at, now) {
            if sender == 1 && !entry.side(0, state::FIN) {
                entry.state |= state::FIN_SECOND;
            }
            entry.set_side(sender, state::FIN);
        }
        if sender != entry.client()
            && let Some(done) = exchange::end(entry, self.details)
        {
            events.exchange = Some(done);
        }
    }

    /// Accepts a RST or leaves the connection as it is (RFC 9293 §3.10.7.3, .4;
    /// RFC 5961 §3).
    fn reset(&mut self, packet: &Packet, sender: usize, events: &mut Events) {
        let entry = &mut *self.entry;
        let other = 1 - sender;
        if entry.either(state::RST) || state_of(entry) == TcpState::TimeWait {
            return;
        }
        let is_client = sender == entry.client();
        let from = sequence::offset(entry, sender, packet.sequence);
        let undecided = handshake::is_undecided(entry) && !entry.has(state::PROVEN);
        let accepted = if !undecided {
            let next = entry.end(sender) + entry.side(sender, state::FIN) as u64;
            !entry.has(state::FIRM[sender])
                || from >= sequence::acked(entry, sender) as i64 && from <= next as i64 + RESET_AHEAD
        } else if is_client {
            !entry.side(sender, state::SYN) || from == 0 || from == -1
        } else if entry.side(sender, state::SYN) {
            from == 0
        } else {
            let beyond = ahead(packet.acknowledgement, entry.warm.base[other]);
            packet.tcp_flags & ACK != 0
                && entry.side(other, state::SYN)
                && beyond >= 0
                && beyond as u64 <= entry.end(other)
        };
        if !accepted {
            self.tally(sender, packet).ignored_rst += 1;
            return;
        }
        entry.set_side(sender, state::RST);
        // Who refuses a SYN answers with number 0 (RFC 9293 §3.10.7.1); any other RST may
        // be of a connection whose handshake was lost by the capture.
        let refuses = !is_client && packet.sequence == 0;
        let outcome = match is_client {
            _ if !refuses && handshake::lost_meanwhile(entry, self.loss_epoch) => Outcome::Indeterminate,
            true => Outcome::AbortedRst,
            false => Outcome::Reject,
        };
        if undecided {
            events.session = handshake::decide(entry, self.beside, self.slot, outcome, packet.time_ns);
        }
    }
}
