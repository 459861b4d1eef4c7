//! A direction's sequence space: what of its stream was seen, resent, never seen.
//!
//! The stream runs from the base (offset 0) to the end `E`, the highest byte seen
//! or acknowledged; `A` is the highest byte acknowledged. What was never seen are
//! holes, at most [`HOLES_MAX`], judged by byte ranges and not by whether a number
//! is below the next one: a segment that fills a hole is no resend. When there
//! are more, an acknowledged one is settled into a sum, else the two lowest
//! become one of which only the number of unseen bytes is known.
//!
//! Invariant, always and for each direction:
//! payload + missing + open = stream + retransmitted.
//!
//! Knows an entry and its details; does not know states, roles or time-outs.
//! Sources: RFC 9293 §3.4, RFC 7323 §2.3.

use super::detail::{Details, HOLES_MAX, Hole, Loss};
use super::entry::{Entry, mark, state};

/// Largest window there can be (RFC 7323 §2.3): what lies further ahead is of
/// another connection.
pub(super) const WINDOW_MAX: i64 = 1 << 30;

/// Serial arithmetic (RFC 9293 §3.4): how far `a` is ahead of `b`.
#[inline]
pub(super) fn ahead(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

/// Units of 2^14 ns, in which the age of holes is kept.
#[inline]
pub(super) fn born(now_ns: u64) -> u32 {
    (now_ns >> 14) as u32
}

/// Stream offset of a wire number.
pub(super) fn offset(entry: &Entry, side: usize, wire: u32) -> i64 {
    entry.end(side) as i64 + ahead(wire, entry.sent[side].wire_end) as i64
}

/// Highest acknowledged offset; 0 before the first acknowledgement.
pub(super) fn acked(entry: &Entry, side: usize) -> u64 {
    if !entry.has(state::ACKED[side]) {
        return 0;
    }
    let sent = &entry.sent[side];
    entry.end(side).saturating_sub(sent.wire_end.wrapping_sub(sent.wire_acked) as u64)
}

/// The stream begins at this number, and nothing of it is known.
pub(super) fn rebase(entry: &mut Entry, details: &mut Details, side: usize, wire: u32) {
    if entry.marks & mark::HOLES[side] != 0 {
        let mut holes = Holes::load(entry, details, side);
        holes.count = 0;
        holes.settled = 0;
        holes.store(entry, details, side);
    }
    entry.warm.base[side] = wire;
    entry.warm.end_epoch[side] = 0;
    entry.sent[side].wire_end = wire;
    entry.sent[side].wire_acked = wire;
    entry.state |= state::SEEN[side];
}

/// The end moves to an offset.
pub(super) fn set_end(entry: &mut Entry, side: usize, end: u64) {
    let wire = entry.warm.base[side] as u64 + end;
    entry.sent[side].wire_end = wire as u32;
    entry.warm.end_epoch[side] = (wire >> 32) as u16;
}

/// In-order payload: the end moves on by so many bytes.
#[inline]
pub(super) fn extend(entry: &mut Entry, side: usize, bytes: u32) {
    let (end, wrapped) = entry.sent[side].wire_end.overflowing_add(bytes);
    entry.sent[side].wire_end = end;
    if wrapped {
        entry.warm.end_epoch[side] = entry.warm.end_epoch[side].wrapping_add(1);
    }
}

/// A hole in whole stream offsets.
#[derive(Clone, Copy, Default)]
struct Span {
    start: u64,
    end: u64,
    unseen: u64,
    born: u32,
}

impl Span {
    fn is_exact(&self) -> bool {
        self.unseen == self.end - self.start
    }
}

/// A direction's holes, in order.
struct Holes {
    /// One segment can make at most one more before they are made fewer.
    list: [Span; HOLES_MAX + 2],
    count: usize,
    settled: u64,
    merged: u32,
    /// Holes that can be kept now.
    most: usize,
}

impl Holes {
    fn load(entry: &Entry, details: &Details, side: usize) -> Holes {
        let most = if details.holes_have_room(entry, side) { HOLES_MAX } else { 1 };
        let loss = details.loss(entry, side);
        let mut holes = Holes { list: Default::default(), count: 0, settled: loss.settled, merged: 0, most };
        if entry.marks & mark::HOLES[side] == 0 {
            return holes;
        }
        let end = entry.end(side);
        // What is kept are low bits; a hole lies below the end, by less than 4 GiB.
        let whole = |low: u32| end - (end as u32).wrapping_sub(low) as u64;
        let kept = std::iter::once(loss.hole).chain(details.more_holes(entry, side));
        for hole in kept.filter(|hole| hole.unseen > 0) {
            let (start, end) = (whole(hole.start), whole(hole.end));
            holes.list[holes.count] =
                Span { start, end: end.max(start), unseen: hole.unseen as u64, born: hole.born };
            holes.count += 1;
        }
        holes
    }

    fn spans(&self) -> &[Span] {
        &self.list[..self.count]
    }

    /// What lies 2 GiB behind the end is settled: positions are kept in 32 bits, where it
    /// could not be told from what comes 4 GiB later. True if that makes estimates of it.
    fn settle_far(&mut self, end: u64, acked: u64) -> bool {
        let near = end.saturating_sub(1 << 31);
        let (mut at, mut estimates) = (0, false);
        while let Some(span) = self.list[..self.count].get_mut(at) {
            if span.end <= near {
                estimates |= span.end > acked;
                self.settled += span.unseen;
                self.remove(at);
                continue;
            }
            // Of a merged one the number is what counts, and 32 bits of it are kept as well.
            if !span.is_exact() {
                span.start = span.start.max(near);
                let over = span.unseen.saturating_sub(u32::MAX.into());
                span.unseen -= over;
                self.settled += over;
            }
            at += 1;
        }
        estimates
    }

    /// Writes them back; without room for any, what is unseen is settled.
    fn store(&mut self, entry: &mut Entry, details: &mut Details, side: usize) {
        if self.settle_far(entry.end(side), acked(entry, side)) {
            entry.marks |= mark::HOLES_MERGED;
        }
        let low = |span: &Span| Hole {
            start: span.start as u32,
            end: span.end as u32,
            unseen: span.unseen as u32,
            born: span.born,
        };
        let mut kept = [Hole::default(); HOLES_MAX];
        kept.iter_mut().zip(self.spans()).for_each(|(hole, span)| *hole = low(span));
        let [first, more @ ..] = kept;
        let settled = self.settled;
        let change = |loss: &mut Loss| (loss.hole, loss.settled) = (first, settled);
        let any = self.count > 0 || settled > 0 || entry.marks & mark::HOLES[side] != 0;
        if any
            && (details.change_loss(entry, side, change).is_err()
                || details.keep_holes(entry, side, more).is_err())
        {
            entry.marks |= mark::HOLES_MERGED;
            self.count = 0;
        }
        entry.marks &= !mark::HOLES[side];
        if self.count > 0 {
            entry.marks |= mark::HOLES[side];
        }
        if self.merged > 0 {
            entry.marks |= mark::HOLES_MERGED;
        }
    }

    fn insert(&mut self, at: usize, span: Span) {
        self.list.copy_within(at..self.count, at + 1);
        self.list[at] = span;
        self.count += 1;
    }

    fn remove(&mut self, at: usize) {
        self.list.copy_within(at + 1..self.count, at);
        self.count -= 1;
    }

    /// As many as can be kept.
    fn make_fewer(&mut self, acked: u64) {
        while self.count > self.most {
            let [low, next, ..] = self.list;
            if low.end <= acked {
                self.settled += low.unseen;
            } else {
                self.list[1] = Span {
                    start: low.start,
                    end: next.end,
                    unseen: low.unseen + next.unseen,
                    born: low.born,
                };
                self.merged += 1;
            }
            self.remove(0);
        }
    }

    /// Never seen and acknowledged.
    fn missing(&self, acked: u64) -> u64 {
        let of = |span: &Span| {
            if span.is_exact() {
                span.end.min(acked).saturating_sub(span.start)
            } else if acked >= span.end {
                span.unseen
            } else {
                0
            }
        };
        self.settled + self.spans().iter().map(of).sum::<u64>()
    }

    /// Never seen, and nobody has said that it arrived.
    fn open(&self, acked: u64) -> u64 {
        let unseen: u64 = self.spans().iter().map(|span| span.unseen).sum();
        self.settled + unseen - self.missing(acked)
    }

    /// `[from, to)` below the end comes by: what of it is new, and the age of the
    /// first hole that it fills.
    fn fill(&mut self, from: u64, to: u64, now: u32) -> (u64, Option<u32>) {
        let (mut new, mut age, mut at) = (0, None, 0);
        while at < self.count {
            let span = self.list[at];
            let (low, high) = (span.start.max(from), span.end.min(to));
            if low >= high {
                at += 1;
                continue;
            }
            age = age.or(Some(now.wrapping_sub(span.born)));
            if !span.is_exact() {
                let filled = span.unseen.min(high - low);
                new += filled;
                self.list[at].unseen -= filled;
                if self.list[at].unseen == 0 {
                    self.remove(at);
                } else {
                    at += 1;
                }
                continue;
            }
            new += high - low;
            let below = Span { end: low, unseen: low - span.start, ..span };
            let above = Span { start: high, unseen: span.end - high, ..span };
            self.remove(at);
            for part in [below, above] {
                if part.unseen > 0 {
                    self.insert(at, part);
                    at += 1;
                }
            }
            if self.count > HOLES_MAX {
                // One segment splits at most one hole.
                break;
            }
        }
        (new, age)
    }
}

/// What payload came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Bytes that had not been seen.
    pub new: u64,
    /// Of them, those that had been acknowledged already.
    pub late: u64,
    /// Holes that had to be merged.
    pub merged: u32,
}

/// Payload `[from, from + bytes)` of `side` in segments of `size`, where it is not
/// simply the next of the stream. `threshold`: age up to which a hole is filled
/// by reordering, in units of 2^14 ns.
pub(super) fn payload(
    entry: &mut Entry,
    details: &mut Details,
    side: usize,
    (from, bytes, size): (i64, u32, u32),
    now: u32,
    threshold: u32,
) -> Taken {
    let mut holes = Holes::load(entry, details, side);
    let acked = acked(entry, side);
    let mut end = entry.end(side);
    let missing_before = holes.missing(acked);
    let (mut taken, mut counted) = (Taken::default(), Loss::default());
    let (mut at, last) = (from, from + bytes as i64);
    while at < last {
        let to = (at + size.max(1) as i64).min(last);
        let (new, age) = segment(&mut holes, &mut end, acked, (at, to), now);
        let seen = (to - at) as u64 - new;
        taken.new += new;
        counted.retransmitted_bytes += seen;
        if seen > 0 {
            counted.retransmitted_segments += 1;
        } else if let Some(age) = age {
            if age <= threshold {
                counted.out_of_order_segments += 1;
            } else {
                counted.recovered_segments += 1;
            }
        }
        at = to;
    }
    taken.late = missing_before.saturating_sub(holes.missing(acked));
    taken.merged = holes.merged;
    set_end(entry, side, end);
    holes.store(entry, details, side);
    if counted != Loss::default() {
        add(entry, details, side, |loss| {
            loss.retransmitted_bytes += counted.retransmitted_bytes;
            let more = |sum: &mut u32, by: u32| *sum = sum.saturating_add(by);
            more(&mut loss.retransmitted_segments, counted.retransmitted_segments);
            more(&mut loss.out_of_order_segments, counted.out_of_order_segments);
            more(&mut loss.recovered_segments, counted.recovered_segments);
        });
    }
    taken
}

/// One segment; bytes that are new, and the age of the hole that it fills.
fn segment(
    holes: &mut Holes,
    end: &mut u64,
    acked: u64,
    (from, to): (i64, i64),
    now: u32,
) -> (u64, Option<u32>) {
    // Below the base all was sent before.
    let (from, to) = (from.max(0) as u64, to.max(0) as u64);
    if from >= to {
        return (0, None);
    }
    if from > *end {
        holes.insert(holes.count, Span { start: *end, end: from, unseen: from - *end, born: now });
        *end = from;
        holes.make_fewer(acked);
    }
    let (filled, age) = holes.fill(from, to.min(*end), now);
    holes.make_fewer(acked);
    let beyond = to.saturating_sub(from.max(*end));
    *end = to.max(*end);
    (filled + beyond, age)
}

/// What an acknowledgement came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// It acknowledged something for the first time.
    pub advanced: bool,
    /// Bytes that were acknowledged and never seen.
    pub unseen: u64,
    /// Holes that had to be merged.
    pub merged: u32,
    /// It lies further ahead than any window reaches.
    pub implausible: bool,
}

/// The other side acknowledges `side`'s stream up to a wire number.
pub(super) fn acknowledge(
    entry: &mut Entry,
    details: &mut Details,
    side: usize,
    wire: u32,
    now: u32,
) -> Heard {
    let mut to = offset(entry, side, wire);
    let end = entry.end(side);
    if to - end as i64 > WINDOW_MAX {
        return Heard { implausible: true, ..Heard::default() };
    }
    // A FIN takes the number behind the last byte (RFC 9293 §3.4), and nothing lies behind it.
    let finished = entry.side(side, state::FIN);
    if finished && to > end as i64 {
        entry.set_side(side, state::FIN_ACKED);
        to = end as i64;
    }
    let first = !entry.has(state::ACKED[side]);
    if first {
        if !entry.has(state::FIRM[side]) && to > 0 && !finished {
            // Sent before the capture began, or a keep-alive's number was the first seen.
            if entry.marks & mark::DISCONTINUOUS == 0 {
                rebase(entry, details, side, wire);
                to = 0;
            } else if to > end as i64 {
                restart(entry, details, side, wire);
                to = end as i64;
            }
        }
        entry.state |= state::ACKED[side];
        entry.sent[side].wire_acked = entry.warm.base[side];
        if entry.end(side) >= 1 << 31 {
            // Never acknowledged so far: far behind is as far as can be told.
            entry.sent[side].wire_acked = entry.sent[side].wire_end.wrapping_sub(i32::MAX as u32);
        }
    }
    let before = acked(entry, side);
    if to <= before as i64 {
        return Heard::default();
    }
    let to = to as u64;
    let end = entry.end(side);
    let mut heard = Heard { advanced: true, ..Heard::default() };
    if to > end || entry.marks & mark::HOLES[side] != 0 {
        let mut holes = Holes::load(entry, details, side);
        if to > end {
            holes.insert(holes.count, Span { start: end, end: to, unseen: to - end, born: now });
            holes.make_fewer(before);
            set_end(entry, side, to);
        }
        heard.unseen = holes.missing(to).saturating_sub(holes.missing(before));
        heard.merged = holes.merged;
        holes.store(entry, details, side);
    }
    entry.sent[side].wire_acked = wire_of(entry, side, to);
    heard
}

fn wire_of(entry: &Entry, side: usize, offset: u64) -> u32 {
    entry.warm.base[side].wrapping_add(offset as u32)
}

/// A FIN behind `at`: where the stream ends for good. False where it cannot be
/// of this connection.
pub(super) fn finish(entry: &mut Entry, details: &mut Details, side: usize, at: i64, now: u32) -> bool {
    let end = entry.end(side);
    let beyond = at - end as i64;
    if beyond == -1 {
        // The FIN had been taken for a byte when it was acknowledged.
        let mut holes = Holes::load(entry, details, side);
        let Some(top) = holes.spans().last().copied().filter(|top| top.end == end) else { return false };
        let last = holes.count - 1;
        holes.list[last].end -= 1;
        holes.list[last].unseen = top.unseen.saturating_sub(1);
        if holes.list[last].unseen == 0 {
            holes.remove(last);
        }
        let acked = acked(entry, side);
        set_end(entry, side, end - 1);
        entry.sent[side].wire_acked = wire_of(entry, side, acked.min(end - 1));
        holes.store(entry, details, side);
        entry.set_side(side, state::FIN_ACKED);
        return true;
    }
    if !(0..=WINDOW_MAX).contains(&beyond) {
        return false;
    }
    if beyond > 0 {
        let mut holes = Holes::load(entry, details, side);
        let to = at as u64;
        holes.insert(holes.count, Span { start: end, end: to, unseen: to - end, born: now });
        holes.make_fewer(acked(entry, side));
        set_end(entry, side, to);
        holes.store(entry, details, side);
    }
    true
}

/// Of a stream whose FIN alone was seen so far the first payload comes by: it begins at
/// `wire`, ends where the FIN is, and the rest of it is yet to come. The answer is how
/// much of it was acknowledged with the FIN, and has not been seen so far.
pub(super) fn begin_before_fin(
    entry: &mut Entry,
    details: &mut Details,
    side: usize,
    wire: u32,
    now_ns: u64,
) -> u64 {
    let end = entry.sent[side].wire_end;
    let length = i64::from(end.wrapping_sub(wire));
    rebase(entry, details, side, wire);
    finish(entry, details, side, length, born(now_ns));
    if entry.side(side, state::FIN_ACKED) {
        entry.state |= state::ACKED[side];
        entry.sent[side].wire_acked = end;
        return length.unsigned_abs();
    }
    0
}

/// Numbers jumped: the stream goes on at `wire`, and what was open is given up.
pub(super) fn restart(entry: &mut Entry, details: &mut Details, side: usize, wire: u32) {
    let end = entry.end(side);
    let mut holes = Holes::load(entry, details, side);
    holes.settled += holes.spans().iter().map(|span| span.unseen).sum::<u64>();
    holes.count = 0;
    holes.store(entry, details, side);
    let base = wire.wrapping_sub(end as u32);
    entry.warm.base[side] = base;
    entry.sent[side].wire_end = wire;
    entry.sent[side].wire_acked = wire;
    entry.warm.end_epoch[side] = ((end + base as u64) >> 32) as u16;
    entry.state &= !(state::FIRM[side] | state::ACKED[side]);
    entry.marks |= mark::DISCONTINUOUS;
}

/// Counts in a direction's detail; where there is no room for one, the
/// connection's figures are estimates from now on.
pub(super) fn add(entry: &mut Entry, details: &mut Details, side: usize, change: impl FnOnce(&mut Loss)) {
    if details.change_loss(entry, side, change).is_err() {
        entry.marks |= mark::HOLES_MERGED;
    }
}

/// A direction's account of its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Payload as seen, resends included.
    pub payload_bytes: u64,
    /// Bytes that the endpoints passed, seen or not.
    pub stream_bytes: u64,
    /// Acknowledged and never seen: lost by the capture.
    pub missing_bytes: u64,
    /// Neither seen nor acknowledged.
    pub open_bytes: u64,
    /// Not acknowledged; None where no acknowledgement was ever seen.
    pub unacked_bytes: Option<u64>,
    /// `stream_bytes` is what the endpoints passed, to the byte.
    pub exact: bool,
    /// It may be one too many: the end that was acknowledged may be an unseen FIN.
    pub uncertain: bool,
    /// What its segments were.
    pub loss: Loss,
}

/// What a TCP direction came to.
pub fn stream(entry: &Entry, details: &Details, side: usize) -> Stream {
    let holes = Holes::load(entry, details, side);
    let loss = details.loss(entry, side);
    let end = if entry.has(state::SEEN[side]) { entry.end(side) } else { 0 };
    let up_to = acked(entry, side);
    let (missing, open) = (holes.missing(up_to), holes.open(up_to));
    let both_seen = entry.packets(0) > 0 && entry.packets(1) > 0;
    let finished = entry.side(side, state::FIN);
    let begun = entry.side(side, state::SYN);
    Stream {
        payload_bytes: (end + loss.retransmitted_bytes).saturating_sub(missing + open),
        stream_bytes: end,
        missing_bytes: missing,
        open_bytes: open,
        unacked_bytes: entry.has(state::ACKED[side]).then(|| end - up_to),
        exact: begun && finished && both_seen && entry.marks & mark::DISCONTINUOUS == 0,
        uncertain: !finished
            && holes.spans().last().is_some_and(|top| top.end == end && up_to == end && end > 0),
        loss,
    }
}
