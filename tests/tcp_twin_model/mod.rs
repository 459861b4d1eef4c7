//! A slow twin of how TCP connections are followed: what the figures of a
//! connection are, written down straight from their definition.
//!
//! One 5-tuple at a time, stream offsets of 64 bits, a list of holes without a
//! limit, no table and no sweep. It knows nothing of the program but the words.
//! Where the definition leaves something open the twin says so in a `doubt`.

use super::tcp_run::{ACK, Event, FIN, RST, SYN, Segment, Side};

/// What a sequence number may be ahead of the stream's edge: the largest window (RFC 7323 section 2.3).
const AHEAD_MAX: i64 = 1 << 30;
/// How far ahead of the edge a reset may be.
const RESET_AHEAD_MAX: i64 = 1 << 20;
/// Holes that the program tells apart in a direction.
const HOLES_EXACT: usize = 4;
/// Age of a hole, in nanoseconds, up to which it was reordering, where the handshake tells none.
const REORDERING_NS: u64 = 3_000_000;
/// Ages are compared in units of some microseconds: nearer than this is open.
const AGE_DOUBT_NS: u64 = 50_000;
const SECOND: u64 = 1_000_000_000;

/// Numbers that were never seen, `[start, end)`, and when that was noticed.
#[derive(Clone, Debug)]
struct Hole {
    start: i64,
    end: i64,
    born: u64,
}

/// What the slot of a direction's round trips holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Slot {
    Empty,
    /// Payload up to here was sent then.
    Payload(i64, u64),
    /// A pure acknowledgement of that TSval went by then; whether it was the handshake's.
    Waiting(u32, u64, bool),
    Stamp(u32, u64),
    Resting,
}

/// Data that one side sends.
#[derive(Clone, Debug)]
pub struct Stream {
    base: Option<u32>,
    firm: bool,
    pub isn: Option<u32>,
    /// Its own SYN was in the capture.
    syn_seen: bool,
    pub edge: i64,
    acked: i64,
    pub ack_seen: bool,
    holes: Vec<Hole>,
    /// More holes stood at once than the program tells apart.
    pub crowded: bool,
    pub fin: Option<i64>,
    fin_acked: bool,
    window: Option<u16>,
    slot: Slot,
    pub packets: u64,
    pub flagged: [u64; 3],
    pub payload: i64,
    pub resent_bytes: i64,
    pub resent_segments: u64,
    pub recovered: u64,
    pub reordered: u64,
    /// Some age was too near the limit.
    pub age_doubt: bool,
    pub duplicate_acks: u64,
    pub zero_windows: u64,
    pub keep_alives: u64,
    pub samples: Vec<u64>,
    pub rtt_min: Option<u64>,
    /// Eight times the smoothed round trip, in microseconds.
    pub rtt_smoothed: Option<u64>,
}

impl Stream {
    fn new() -> Stream {
        Stream {
            base: None,
            firm: false,
            isn: None,
            syn_seen: false,
            edge: 0,
            acked: 0,
            ack_seen: false,
            holes: Vec::new(),
            crowded: false,
            fin: None,
            fin_acked: false,
            window: None,
            slot: Slot::Empty,
            packets: 0,
            flagged: [0; 3],
            payload: 0,
            resent_bytes: 0,
            resent_segments: 0,
            recovered: 0,
            reordered: 0,
            age_doubt: false,
            duplicate_acks: 0,
            zero_windows: 0,
            keep_alives: 0,
            samples: Vec::new(),
            rtt_min: None,
            rtt_smoothed: None,
        }
    }

    /// Offset of a wire number: the one nearest to the edge.
    fn offset(&self, wire: u32) -> i64 {
        let base = self.base.expect("a base");
        let edge_on_wire = (i64::from(base) + self.edge) as u32;
        self.edge + i64::from(wire.wrapping_sub(edge_on_wire) as i32)
    }

    fn start_at(&mut self, wire: u32) {
        self.base = Some(wire);
        (self.edge, self.acked) = (0, 0);
        self.holes.clear();
    }

    fn add_hole(&mut self, start: i64, end: i64, born: u64) {
        self.holes.push(Hole { start, end, born });
        self.crowded |= self.holes.len() > HOLES_EXACT;
    }

    /// Never seen, below what is acknowledged.
    pub fn missing(&self) -> i64 {
        self.holes.iter().map(|hole| (hole.end.min(self.acked) - hole.start).max(0)).sum()
    }

    /// Never seen and not acknowledged.
    pub fn open(&self) -> i64 {
        self.holes.iter().map(|hole| hole.end - hole.start).sum::<i64>() - self.missing()
    }

    pub fn unacked(&self) -> Option<i64> {
        self.ack_seen.then_some(self.edge - self.acked)
    }

    /// The FIN's number may be among the missing.
    pub fn uncertain(&self) -> bool {
        let at_edge = |hole: &Hole| hole.end == self.edge && self.acked >= self.edge;
        self.fin.is_none() && self.holes.last().is_some_and(at_edge)
    }

    /// One more than the highest number sent, counting a FIN.
    fn next(&self) -> i64 {
        self.edge + i64::from(self.fin.is_some())
    }

    fn next_acked(&self) -> i64 {
        self.acked + i64::from(self.fin_acked)
    }

    /// Takes in payload `[start, end)`; how much of it is new.
    fn take(&mut self, start: i64, end: i64, now: u64, limit: u64) -> i64 {
        self.payload += end - start;
        let before = (end.min(0) - start).max(0);
        let start = start.max(0);
        if end <= start {
            self.seen_again(before);
            return 0;
        }
        if start > self.edge {
            self.add_hole(self.edge, start, now);
            self.edge = start;
        }
        let beyond = (end - self.edge).max(0);
        let (filled, age) = self.fill(start, end.min(self.edge), now);
        self.edge = self.edge.max(end);
        let seen = before + (end - start) - filled - beyond;
        if seen > 0 {
            self.seen_again(seen);
        } else if let Some(age) = age {
            self.age_doubt |= age.abs_diff(limit) < AGE_DOUBT_NS && age != limit;
            if age <= limit {
                self.reordered += 1;
            } else {
                self.recovered += 1;
            }
        }
        filled + beyond
    }

    fn seen_again(&mut self, bytes: i64) {
        self.resent_bytes += bytes;
        self.resent_segments += u64::from(bytes > 0);
    }

    /// Takes `[start, end)` out of the holes: how much that was, and the age of the first one hit.
    fn fill(&mut self, start: i64, end: i64, now: u64) -> (i64, Option<u64>) {
        let (mut filled, mut age) = (0, None);
        let mut left = Vec::new();
        for hole in std::mem::take(&mut self.holes) {
            let (from, to) = (hole.start.max(start), hole.end.min(end));
            if from >= to {
                left.push(hole);
                continue;
            }
            filled += to - from;
            age = age.or(Some(now - hole.born));
            if hole.start < from {
                left.push(Hole { end: from, ..hole.clone() });
            }
            if to < hole.end {
                left.push(Hole { start: to, ..hole });
            }
        }
        self.holes = left;
        self.crowded |= self.holes.len() > HOLES_EXACT;
        (filled, age)
    }

    /// The peer acknowledges up to a wire number; whether that is further than before.
    fn acknowledge(&mut self, wire: u32, now: u64) -> bool {
        let mut to = self.offset(wire);
        if to - self.edge > AHEAD_MAX {
            return false;
        }
        if let Some(fin) = self.fin
            && to > fin
        {
            (self.fin_acked, to) = (true, fin);
        }
        let first = !std::mem::replace(&mut self.ack_seen, true);
        if first && !self.firm && to > 0 && self.fin.is_none() {
            // All of this was sent before the capture began.
            self.start_at(wire);
            return false;
        }
        if to <= self.acked {
            return false;
        }
        if to > self.edge {
            self.add_hole(self.edge, to, now);
            self.edge = to;
        }
        self.acked = to;
        true
    }

    /// A FIN behind the payload that ends at `at`.
    fn finish(&mut self, at: i64, now: u64) {
        if self.fin.is_some() {
            return;
        }
        self.fin = Some(at);
        let taken_for_a_byte =
            self.edge == at + 1 && self.holes.last().is_some_and(|hole| hole.end == at + 1);
        if taken_for_a_byte {
            let last = self.holes.len() - 1;
            self.holes[last].end -= 1;
            self.edge = at;
            self.acked = self.acked.min(at);
            self.fin_acked = true;
            self.holes.retain(|hole| hole.end > hole.start);
        } else if at > self.edge {
            self.add_hole(self.edge, at, now);
            self.edge = at;
        }
    }

    fn sample(&mut self, nanoseconds: u64) {
        let micros = nanoseconds / 1000;
        self.samples.push(micros);
        self.rtt_min = Some(self.rtt_min.map_or(micros, |min| min.min(micros)));
        self.rtt_smoothed = Some(match self.rtt_smoothed {
            None => 8 * micros,
            Some(eighths) => eighths + micros - (eighths >> 3),
        });
    }
}

/// Who may speak.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Floor {
    None,
    Request,
    Response,
}

/// Copies of a SYN or a SYN/ACK: time and TSval of the first and the last.
#[derive(Clone, Debug, Default)]
struct Copies {
    count: u64,
    first: (u64, Option<u32>),
    last: (u64, Option<u32>),
}

impl Copies {
    fn add(&mut self, now: u64, stamp: Option<u32>) {
        self.last = (now, stamp);
        if self.count == 0 {
            self.first = self.last;
        }
        self.count += 1;
    }
    /// When the copy was sent that this echoes (RFC 6298 section 3).
    fn sent(&self, echo: Option<u32>) -> Option<u64> {
        match (self.count, echo) {
            (1, _) => Some(self.last.0),
            (_, Some(echo)) if self.last.1 == Some(echo) => Some(self.last.0),
            (_, Some(echo)) if self.first.1 == Some(echo) => Some(self.first.0),
            _ => None,
        }
    }
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Connection {
    last: u64,
    client: Side,
    pub role: &'static str,
    /// Client's, server's.
    pub streams: [Stream; 2],
    /// It began with a SYN or a SYN/ACK.
    pub attempt: bool,
    pub proven: bool,
    pub outcome: Option<&'static str>,
    pub end_reason: &'static str,
    syn: Copies,
    syn_ack: Copies,
    syn_ack_payload: i64,
    simultaneous: bool,
    pub syn_again: u64,
    pub syn_ack_again: u64,
    pub connect: Option<u64>,
    pub server_half: Option<u64>,
    pub client_half: Option<u64>,
    pub tfo: Option<&'static str>,
    pub reset_by: Option<Side>,
    begun: u64,
    /// States that it came to, with the nanoseconds since its beginning.
    pub passed: Vec<(&'static str, u64)>,
    floor: Floor,
    lossy: bool,
    /// Sometime the current exchange was lossy; one that was counted was.
    pub lossy_once: bool,
    pub lossy_counted: bool,
    began: u64,
    asked: u64,
    answered: (u64, u64),
    pub exchanges: u64,
    pub unanswered: u64,
    pub first_bytes: Vec<u64>,
    pub last_bytes: Vec<u64>,
    /// The definition leaves round trips, or exchanges, of what happened open.
    pub doubt_rtt: bool,
    pub doubt_exchanges: bool,
    pub doubt_flags: bool,
}

fn number(side: Side, client: Side) -> usize {
    usize::from(side != client)
}

impl Connection {
    fn new(now: u64, client: Side, role: &'static str) -> Connection {
        Connection {
            last: now,
            client,
            role,
            streams: [Stream::new(), Stream::new()],
            attempt: role != "port",
            proven: role == "port",
            outcome: None,
            end_reason: "open",
            syn: Copies::default(),
            syn_ack: Copies::default(),
            syn_ack_payload: 0,
            simultaneous: false,
            syn_again: 0,
            syn_ack_again: 0,
            connect: None,
            server_half: None,
            client_half: None,
            tfo: None,
            reset_by: None,
            begun: now,
            passed: Vec::new(),
            floor: Floor::None,
            lossy: false,
            lossy_once: false,
            lossy_counted: false,
            began: 0,
            asked: 0,
            answered: (0, 0),
            exchanges: 0,
            unanswered: 0,
            first_bytes: Vec::new(),
            last_bytes: Vec::new(),
            doubt_rtt: false,
            doubt_exchanges: false,
            doubt_flags: false,
        }
    }

    pub fn state(&self) -> &'static str {
        let [client, server] = &self.streams;
        if self.reset_by.is_some() {
            return "reset";
        }
        if !self.proven {
            return match (self.outcome, &client.isn, &server.isn) {
                (Some(_), ..) => "closed",
                (None, Some(_), Some(_)) => "syn_received",
                _ => "syn_sent",
            };
        }
        match (client.fin, server.fin) {
            (None, None) => "established",
            (Some(_), Some(_)) if client.fin_acked && server.fin_acked => "time_wait",
            (Some(_), Some(_)) => "closing",
            (Some(_), None) if client.fin_acked => "half_closed_client",
            (None, Some(_)) if server.fin_acked => "half_closed_server",
            _ => "fin_wait",
        }
    }

    /// Its state after something happened to it. What is not told: a RST that was
    /// not its sender's, and states that one moment passed through at the end.
    fn note(&mut self, now: u64) {
        let (state, at) = (self.state(), now - self.begun);
        let told = |name: &str| matches!(name, "established" | "syn_sent" | "syn_received" | "closed");
        while let Some(&(last, then)) = self.passed.last() {
            let withdrawn = last == "reset" && state != last;
            let at_once = then == at && last != state && (!told(last) || !self.attempt);
            if !withdrawn && !at_once {
                break;
            }
            self.passed.pop();
        }
        let open = self.passed.iter().any(|(name, _)| *name == "established");
        if self.attempt && self.proven && !open && state != "established" && state != "reset" {
            self.passed.push(("established", at));
        }
        if self.passed.last().is_none_or(|(last, _)| *last != state) {
            self.passed.push((state, at));
        }
    }

    /// Exact by the definition: Some(true), Some(false); None where the words leave it open.
    pub fn stream_exact(&self, which: usize) -> Option<bool> {
        let stream = &self.streams[which];
        let both = self.streams.iter().all(|stream| stream.packets > 0);
        if stream.fin.is_none() || !both || stream.isn.is_none() {
            return Some(false);
        }
        (stream.syn_seen && self.attempt).then_some(true)
    }

    fn exchange_done(&mut self) {
        if self.lossy {
            self.lossy_counted = true;
        } else {
            self.first_bytes.push(self.answered.0 / 1000);
            self.last_bytes.push((self.answered.1 - self.began) / 1000);
        }
    }

    /// New payload of a side, whose packet acknowledged what it has heard.
    fn speak(&mut self, which: usize, now: u64) {
        let heard = &self.streams[1 - which];
        let has_heard = heard.acked >= heard.edge;
        self.doubt_exchanges |= self.reset_by.is_some();
        if which == 0 {
            if self.floor == Floor::Response && has_heard {
                self.exchange_done();
                self.floor = Floor::None;
            }
            if self.floor == Floor::None {
                (self.floor, self.began, self.lossy) = (Floor::Request, now, false);
            }
            self.asked = now;
        } else {
            if self.floor == Floor::Request && has_heard {
                self.floor = Floor::Response;
                self.exchanges += 1;
                self.answered.0 = now - self.asked;
            }
            self.answered.1 = now;
        }
    }

    fn end(&mut self, reason: Option<&'static str>) {
        match self.floor {
            Floor::Response => self.exchange_done(),
            Floor::Request => self.unanswered += 1,
            Floor::None => {}
        }
        self.floor = Floor::None;
        self.end_reason = match (reason, self.state()) {
            (Some(reason), _) => reason,
            (None, "time_wait") => "fin",
            (None, "reset") if self.outcome == Some("reject") => "refused",
            (None, "reset") => "rst",
            (None, _) => "open",
        };
    }

    fn decide(&mut self, outcome: &'static str) {
        if self.attempt && self.outcome.is_none() {
            self.outcome = Some(outcome);
        }
    }

    /// How long it may be silent.
    fn limit(&self) -> u64 {
        match self.state() {
            "time_wait" | "reset" => 10 * SECOND,
            _ if !self.proven => 60 * SECOND,
            "established" => 7440 * SECOND,
            _ => 240 * SECOND,
        }
    }
}

/// All connections of one 5-tuple.
#[derive(Default)]
pub struct Tuple {
    live: Option<Connection>,
    pub done: Vec<Connection>,
}

impl Tuple {
    /// Plays all events to the end of the capture. `start` is the conversation's
    /// begin in nanoseconds, `mss` what the SYNs offer: frames larger than a packet are cut by it.
    pub fn play(start: u64, events: &[Event], mss: u32) -> Vec<Connection> {
        let mut tuple = Tuple::default();
        let mut sorted: Vec<&Event> = events.iter().collect();
        sorted.sort_by_key(|event| event.at());
        for event in sorted {
            let now = start + event.at() * 1000;
            match event {
                Event::Segment(segment) => tuple.frame(segment, now, mss),
                &Event::Unreachable { to, code, sequence, .. } => {
                    tuple.unreachable(to, code, sequence, now);
                }
            }
        }
        if let Some(mut last) = tuple.live.take() {
            last.end(None);
            tuple.done.push(last);
        }
        tuple.done
    }

    /// A frame larger than a packet is its segments.
    fn frame(&mut self, segment: &Segment, now: u64, mss: u32) {
        if segment.length <= 1460 {
            return self.segment(segment, now);
        }
        let options = if segment.stamps.is_some() { 12 } else { 0 };
        let (mut from, mss) = (0, mss - options);
        while from < segment.length {
            let length = mss.min(segment.length - from);
            let last = from + length == segment.length;
            let flags = if last { segment.flags } else { segment.flags & !FIN };
            let sequence = segment.sequence.wrapping_add(from);
            self.segment(&Segment { sequence, length, flags, ..segment.clone() }, now);
            from += length;
        }
    }

    fn finish(&mut self, reason: Option<&'static str>) {
        if let Some(mut connection) = self.live.take() {
            connection.end(reason);
            self.done.push(connection);
        }
    }

    fn end_the_idle(&mut self, now: u64) {
        let Some(connection) = &mut self.live else { return };
        if now - connection.last < connection.limit() {
            return;
        }
        let reason = match connection.state() {
            "time_wait" | "reset" => None,
            _ if connection.proven => Some("idle"),
            _ => {
                // Whose beginning nobody saw may have gone on unseen.
                connection.decide(if connection.syn.count > 0 { "timeout" } else { "indeterminate" });
                connection.note(connection.last + connection.limit());
                Some("timeout")
            }
        };
        self.finish(reason);
    }

    fn unreachable(&mut self, to: Side, code: u8, sequence: u32, now: u64) {
        self.end_the_idle(now);
        let Some(connection) = &mut self.live else { return };
        let open = connection.attempt && connection.outcome.is_none() && connection.client == to && code != 4;
        let stream = &connection.streams[0];
        if open && stream.isn.is_some_and(|isn| i64::from(sequence.wrapping_sub(isn)) <= 1 + stream.edge) {
            connection.last = now;
            connection.decide("unreach");
            connection.note(now);
        }
    }

    /// Finds or makes the connection of a segment; None if it belongs to none.
    fn connection(&mut self, segment: &Segment, now: u64) -> Option<&mut Connection> {
        let (syn, ack) = (segment.flags & SYN != 0, segment.flags & ACK != 0);
        if let Some(live) = &mut self.live {
            let which = number(segment.side, live.client);
            let (own, peer) = (&live.streams[which], &live.streams[1 - which]);
            let again = if syn && !ack {
                let refused = matches!(live.outcome, Some("reject" | "aborted"));
                let other = own.isn != Some(segment.sequence)
                    && (own.isn.is_some() || live.proven || live.reset_by.is_some());
                refused || other
            } else if syn {
                let answers = peer.isn.map(|isn| isn.wrapping_add(1)) == Some(segment.acknowledgement);
                let other = own.isn != Some(segment.sequence) && !answers;
                other && !matches!(live.state(), "syn_sent" | "syn_received")
            } else {
                false
            };
            if again {
                live.decide("aborted");
                // An attempt that a RST answered had ended by that.
                let answered = live.reset_by.is_some() && !live.proven;
                self.finish((!answered).then_some("reused"));
            }
        }
        if self.live.is_none() {
            if segment.flags & RST != 0 {
                return None;
            }
            let other = if segment.side == Side::C { Side::S } else { Side::C };
            let (client, role) = match (syn, ack) {
                (true, false) => (segment.side, "syn"),
                (true, true) => (other, "synack"),
                _ => (Side::C, "port"),
            };
            self.live = Some(Connection::new(now, client, role));
        }
        self.live.as_mut()
    }

    fn segment(&mut self, segment: &Segment, now: u64) {
        self.end_the_idle(now);
        let flags = segment.flags;
        let impossible = flags & SYN != 0 && flags & (FIN | RST) != 0 || flags & (SYN | RST | ACK) == 0;
        if impossible {
            if let Some(live) = &mut self.live {
                let which = number(segment.side, live.client);
                live.streams[which].packets += 1;
                live.last = now;
                // Whether it counts as first of its period, and by its flags, is not laid down.
                (live.doubt_rtt, live.doubt_flags) = (true, true);
            }
            return;
        }
        let Some(connection) = self.connection(segment, now) else { return };
        connection.segment(segment, now);
        connection.note(now);
    }
}

impl Connection {
    fn segment(&mut self, segment: &Segment, now: u64) {
        let which = number(segment.side, self.client);
        let (syn, ack) = (segment.flags & SYN != 0, segment.flags & ACK != 0);
        let own = &mut self.streams[which];
        own.packets += 1;
        for (count, flag) in own.flagged.iter_mut().zip([SYN, FIN, RST]) {
            *count += u64::from(segment.flags & flag != 0);
        }
        self.age_slots(now);
        self.last = now;
        let peer = &self.streams[1 - which];
        if syn
            && ack
            && let Some(isn) = peer.isn
        {
            let over = i64::from(segment.acknowledgement.wrapping_sub(isn.wrapping_add(1)) as i32);
            if !(0..=peer.edge).contains(&over) {
                return;
            }
        }
        let ended = matches!(self.state(), "time_wait" | "reset");
        self.find_base(which, segment);
        let at = self.streams[which].offset(segment.sequence.wrapping_add(u32::from(syn)));
        if segment.flags & RST != 0 {
            if !ended {
                self.reset(which, segment, at);
            }
            return;
        }
        let advanced = ack && self.acknowledged(which, segment, at, now);
        if ack {
            self.round_trips(which, segment, advanced, now);
        }
        self.handshake(which, segment, at, now);
        self.data(which, segment, at, now);
        let own = &mut self.streams[which];
        own.zero_windows += u64::from(segment.window == 0 && segment.flags & (SYN | FIN) == 0);
        own.window = Some(segment.window);
    }

    /// The pause after a sample ends with the period; what waits too long is dropped.
    fn age_slots(&mut self, now: u64) {
        let later = now >> 24 != self.last >> 24;
        for stream in &mut self.streams {
            match stream.slot {
                Slot::Resting if later => stream.slot = Slot::Empty,
                Slot::Payload(_, then) | Slot::Waiting(_, then, _) | Slot::Stamp(_, then)
                    if now - then > 60 * SECOND =>
                {
                    stream.slot = Slot::Empty;
                }
                _ => {}
            }
        }
    }

    /// Which wire number offset 0 has.
    fn find_base(&mut self, which: usize, segment: &Segment) {
        let own = &mut self.streams[which];
        let (syn, fin, rst) = (segment.flags & SYN != 0, segment.flags & FIN != 0, segment.flags & RST != 0);
        if syn {
            if own.isn != Some(segment.sequence) && (own.isn.is_none() || !own.firm || !self.proven) {
                own.isn = Some(segment.sequence);
                own.start_at(segment.sequence.wrapping_add(1));
                own.firm = true;
            }
            own.syn_seen |= own.isn == Some(segment.sequence);
            return;
        }
        let base = *own.base.get_or_insert(segment.sequence);
        if own.firm || rst {
            return;
        }
        if segment.length > 0 {
            if let Some(fin) = own.fin {
                let fin_on_wire = (i64::from(base) + fin) as u32;
                let ahead = i64::from(fin_on_wire.wrapping_sub(segment.sequence) as i32);
                own.fin = Some(ahead.max(i64::from(segment.length)));
            }
            own.start_at(segment.sequence);
            own.firm = true;
        } else if fin && own.fin.is_none() {
            own.start_at(segment.sequence);
        }
    }

    fn reset(&mut self, which: usize, segment: &Segment, at: i64) {
        let (own, peer) = (&self.streams[which], &self.streams[1 - which]);
        let sender = if which == 0 { Side::C } else { Side::S };
        if self.attempt && !self.proven {
            if self.outcome.is_some() {
                return;
            }
            let fits = match (which, own.isn) {
                (1, Some(isn)) => segment.sequence == isn.wrapping_add(1),
                (1, None) => {
                    let over = peer.offset(segment.acknowledgement);
                    segment.flags & ACK != 0 && (0..=peer.edge).contains(&over)
                }
                (_, Some(isn)) => segment.sequence.wrapping_sub(isn) <= 1,
                (_, None) => true,
            };
            if fits {
                self.decide(if which == 1 { "reject" } else { "aborted" });
                self.reset_by = Some(sender);
            }
        } else if !own.firm || (own.acked..=own.next() + RESET_AHEAD_MAX).contains(&at) {
            self.reset_by = Some(sender);
        }
    }

    /// Takes in the acknowledgement of a segment: whether it goes further.
    fn acknowledged(&mut self, which: usize, segment: &Segment, at: i64, now: u64) -> bool {
        let syn = segment.flags & SYN != 0;
        let (proven, attempt) = (self.proven, self.attempt);
        let [own, peer] = self.streams.get_disjoint_mut([which, 1 - which]).expect("two sides");
        if peer.base.is_none() {
            peer.base = Some(segment.acknowledgement);
            let first_word = which == 0 && attempt && own.isn.is_some() && at == 0 && own.acked == 0;
            peer.firm = syn || first_word;
            if syn {
                peer.isn = Some(segment.acknowledgement.wrapping_sub(1));
            }
        }
        let highest = peer.next_acked();
        let in_flight = peer.next() > highest;
        let to = peer.offset(segment.acknowledgement);
        let missing = peer.missing();
        // A challenge ACK speaks of an older connection (RFC 5961 section 4).
        let challenge = attempt && !proven && own.isn.is_none() && peer.isn.is_some() && to > peer.edge;
        let advanced = !challenge && peer.acknowledge(segment.acknowledgement, now);
        let keep_alive = at == own.next() - 1 && own.next_acked() == own.next();
        let again = segment.length == 0 && segment.flags & (SYN | FIN) == 0 && !advanced && to == highest;
        if again
            && in_flight
            && own.window == Some(segment.window)
            && segment.window != 0
            && peer.ack_seen
            && peer.firm
            && proven
            && !keep_alive
        {
            own.duplicate_acks += 1;
        }
        if peer.firm && peer.missing() > missing {
            self.lossy = true;
            self.lossy_once = true;
        }
        advanced
    }

    /// What an acknowledgement tells of the other direction's slot, and begins in its own.
    fn round_trips(&mut self, which: usize, segment: &Segment, advanced: bool, now: u64) {
        let by_handshake = !self.proven;
        let after_end = self.reset_by.is_some();
        let [own, peer] = self.streams.get_disjoint_mut([which, 1 - which]).expect("two sides");
        let echo = segment.stamps.map(|stamps| stamps.1);
        match peer.slot {
            Slot::Payload(key, then) if peer.acked >= key => {
                peer.sample(now - then);
                peer.slot = Slot::Resting;
                self.doubt_rtt |= after_end;
            }
            Slot::Stamp(key, then) if segment.length > 0 => {
                if echo == Some(key) {
                    let micros = (now - then) / 1000;
                    peer.rtt_min = Some(peer.rtt_min.map_or(micros, |min| min.min(micros)));
                    peer.slot = Slot::Resting;
                } else if echo.is_some_and(|echo| (echo.wrapping_sub(key) as i32) > 0) {
                    peer.slot = Slot::Empty;
                }
            }
            _ => {}
        }
        if segment.length > 0 || segment.flags & (SYN | FIN) != 0 {
            return;
        }
        let Some((value, _)) = segment.stamps else { return };
        match own.slot {
            Slot::Empty => own.slot = Slot::Waiting(value, now, by_handshake),
            Slot::Waiting(before, _, first) if (value.wrapping_sub(before) as i32) > 0 => {
                // Whether the handshake's own ACK counts is not laid down.
                self.doubt_rtt |= first;
                own.slot = if advanced { Slot::Stamp(value, now) } else { Slot::Waiting(value, now, false) };
            }
            _ => {}
        }
    }

    fn handshake(&mut self, which: usize, segment: &Segment, at: i64, now: u64) {
        let (syn, ack) = (segment.flags & SYN != 0, segment.flags & ACK != 0);
        let stamp = segment.stamps.map(|stamps| stamps.0);
        let echo = segment.stamps.map(|stamps| stamps.1);
        let decided = self.proven || !matches!(self.outcome, None | Some("unreach"));
        if decided || !self.attempt {
            if syn && self.streams[which].isn == Some(segment.sequence) {
                self.syn_again += u64::from(which == 0 && !ack);
                self.syn_ack_again += u64::from(which == 1 && ack);
            }
            return;
        }
        match (which, syn, ack) {
            (0, true, false) => {
                self.syn_again += u64::from(self.syn.count > 0);
                self.syn.add(now, stamp);
            }
            (_, true, false) => self.simultaneous = true,
            (1, true, true) if !self.simultaneous => {
                if self.syn_ack.count == 0 {
                    self.server_half =
                        self.syn.sent(echo).filter(|_| self.syn.count > 0).map(|then| now - then);
                    self.syn_ack_payload = i64::from(segment.length);
                    if self.streams[0].edge > 0 && self.role == "syn" {
                        self.tfo = Some(if self.streams[0].acked > 0 { "accepted" } else { "refused" });
                    }
                } else {
                    self.syn_ack_again += 1;
                }
                self.syn_ack.add(now, stamp);
            }
            _ => {}
        }
        if self.has_opened(which, segment, at) {
            self.opened(which, now, echo);
        } else if which == 0 && segment.flags & FIN != 0 {
            self.decide("aborted");
        }
    }

    fn has_opened(&self, which: usize, segment: &Segment, at: i64) -> bool {
        let [client, server] = &self.streams;
        let plain = segment.flags & ACK != 0 && segment.flags & SYN == 0;
        let acknowledges = |stream: &Stream| {
            // Where a stream begins nobody knows while its FIN alone was seen.
            let unknown = !stream.firm && stream.fin.is_some();
            let reaches = stream.base.is_some() && stream.offset(segment.acknowledgement) >= 0;
            segment.flags & ACK != 0 && (reaches || unknown)
        };
        if self.simultaneous {
            // Both SYNs acknowledged: an acknowledgement was taken in for each.
            return client.ack_seen && server.ack_seen;
        }
        match which {
            0 => plain && acknowledges(server) && (client.isn.is_none() || at >= 0),
            _ => {
                // Without its SYN it may be of an older connection: what it acknowledges
                // has to be near what the client is known to have sent.
                let over = if client.base.is_some() { client.offset(segment.acknowledgement) } else { -1 };
                let known = server.isn.is_some();
                let speaks = segment.length > 0 && over >= 0 && (known || over <= client.edge + (1 << 20));
                plain && (at >= 0 || !known) && self.tfo.is_none() && (client.acked > 0 || speaks)
            }
        }
    }

    fn opened(&mut self, which: usize, now: u64, echo: Option<u32>) {
        self.proven = true;
        if self.syn.count > 0 {
            self.connect = Some(now - self.syn.first.0);
        }
        let server = &self.streams[1];
        let nothing_more = server.acked <= self.syn_ack_payload && !server.fin_acked;
        if which == 0 && self.syn_ack.count > 0 && !self.simultaneous && nothing_more {
            self.client_half = self.syn_ack.sent(echo).map(|then| now - then);
        }
        self.decide("success");
    }

    /// What counts as reordering still.
    fn reordering(&self) -> u64 {
        match (self.server_half, self.client_half) {
            (Some(server), Some(client)) if self.proven && server + client > 0 => server + client,
            _ => REORDERING_NS,
        }
    }

    fn data(&mut self, which: usize, segment: &Segment, at: i64, now: u64) {
        let (syn, fin) = (segment.flags & SYN != 0, segment.flags & FIN != 0);
        let (limit, proven) = (self.reordering(), self.proven);
        let length = i64::from(segment.length);
        let sender = if which == 0 { Side::C } else { Side::S };
        let own = &mut self.streams[which];
        let keep_alive = !syn
            && !fin
            && length <= 1
            && proven
            && own.firm
            && at == own.next() - 1
            && own.next_acked() == own.next();
        if keep_alive {
            own.keep_alives += 1;
            own.payload += length;
            own.seen_again(length);
            self.doubt_rtt |= length > 0 && matches!(own.slot, Slot::Waiting(..) | Slot::Stamp(..));
        } else if length > 0 && at - own.edge <= AHEAD_MAX {
            let edge = own.edge;
            let in_order = at == edge && own.holes.is_empty();
            if at < edge && matches!(own.slot, Slot::Payload(..)) {
                own.slot = Slot::Empty;
            }
            let new = own.take(at, at + length, now, limit);
            let stamp = matches!(own.slot, Slot::Waiting(..) | Slot::Stamp(..));
            if in_order && !syn && proven && (own.slot == Slot::Empty || stamp) {
                own.slot = Slot::Payload(at + length, now);
            } else if stamp {
                self.doubt_rtt |= matches!(own.slot, Slot::Stamp(..));
                own.slot = Slot::Empty;
            }
            let beyond = own.edge > edge;
            if beyond && proven && self.reset_by == Some(sender) {
                // Somebody else's reset.
                self.reset_by = None;
            }
            if new > 0 {
                self.speak(which, now);
            }
        }
        if fin {
            self.streams[which].finish(at + length, now);
            if which == 1 && self.floor == Floor::Response {
                self.exchange_done();
                self.floor = Floor::None;
            }
        }
    }
}
