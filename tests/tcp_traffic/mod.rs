//! Random TCP conversations as a capture may see them: segments lost before it,
//! behind it and by it, resent in other pieces, doubled, out of order; all kinds
//! of beginnings and ends; several connections of the same ends.
//!
//! The ends behave: they send what they have, acknowledge what they got, send
//! again what is missing. What does not behave stands in `mischief`.

use super::tcp_run::{ACK, Conversation, Event, FIN, RST, SYN, Segment, Side};

/// SplitMix64: small, and the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995)
    }
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
    /// 0 to `end` - 1.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
    pub fn percent(&mut self, of: u64) -> bool {
        self.below(100) < of
    }
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// What the SYNs offer.
pub const MSS: u16 = 1460;
/// The largest payload of one packet here: room for the time stamps.
const PAYLOAD_MAX: u32 = 1448;

/// What one side has sent and the other got of it, as stream offsets.
#[derive(Default)]
struct Way {
    isn: u32,
    sent: u32,
    got: Vec<(u32, u32)>,
    fin: Option<u32>,
    fin_got: bool,
}

impl Way {
    /// All below has arrived.
    fn contiguous(&self) -> u32 {
        self.got.iter().fold(0, |edge, &(from, to)| if from <= edge { edge.max(to) } else { edge })
    }
    fn take(&mut self, from: u32, to: u32) {
        self.got.push((from, to));
        self.got.sort_unstable();
    }
    fn wire(&self, offset: u32) -> u32 {
        self.isn.wrapping_add(1).wrapping_add(offset)
    }
    /// The number that acknowledges all that arrived.
    fn acknowledgement(&self) -> u32 {
        let edge = self.contiguous();
        self.wire(edge + u32::from(self.fin_got && self.fin == Some(edge)))
    }
}

struct Talk<'a> {
    random: &'a mut Random,
    now: u64,
    ways: [Way; 2],
    events: Vec<Event>,
    stamps: bool,
    echoes: [u32; 2],
    window: [u16; 2],
    /// Percent of segments lost before the capture, behind it, by it.
    lost: [u64; 3],
    supers: bool,
    /// So many segments before the capture begins.
    unseen: u64,
    /// The capture saw the beginning, and misses nothing.
    whole: bool,
}

const SIDES: [Side; 2] = [Side::C, Side::S];

impl Talk<'_> {
    fn wait(&mut self, most: u64) {
        self.now += 1 + self.random.below(most);
    }

    fn numbers(&self, side: usize, offset: u32) -> (u32, u32) {
        (self.ways[side].wire(offset), self.ways[1 - side].acknowledgement())
    }

    fn segment(&mut self, side: usize, flags: u8, numbers: (u32, u32), length: u32) -> Segment {
        let mut segment = Segment::new(self.now, SIDES[side], flags, numbers, length);
        segment.window = self.window[side];
        if self.stamps {
            let value = (self.now / 1000) as u32 + 77_000 * (1 + side as u32);
            segment.stamps = Some((value, self.echoes[side]));
        }
        if flags & SYN != 0 {
            segment.mss = Some(MSS);
        }
        segment
    }

    /// It passes the capture, which may not see it.
    fn pass(&mut self, segment: Segment, may_miss: bool) {
        if self.unseen > 0 {
            self.unseen -= 1;
            return;
        }
        if may_miss && self.random.percent(self.lost[2]) {
            return;
        }
        self.events.push(segment.into());
    }

    /// The other side gets it.
    fn arrive(&mut self, segment: &Segment) {
        let side = usize::from(segment.side == Side::S);
        if let Some((value, _)) = segment.stamps {
            self.echoes[1 - side] = value;
        }
    }

    /// Sends payload; FIN may ride on it.
    fn send(&mut self, side: usize, from: u32, length: u32, fin: bool) {
        self.wait(3000);
        let flags = ACK | if fin { FIN } else { 0 } | if self.random.percent(50) { 8 } else { 0 };
        let numbers = self.numbers(side, from);
        let segment = self.segment(side, flags, numbers, length);
        if self.random.percent(self.lost[0]) {
            return;
        }
        let copies = 1 + u64::from(self.random.percent(3));
        for copy in 0..copies {
            let again = Segment { at: segment.at + copy, ..segment.clone() };
            self.pass(again, true);
        }
        self.now += copies;
        if self.random.percent(self.lost[1]) {
            return;
        }
        self.arrive(&segment);
        if length > 0 {
            self.ways[side].take(from, from + length);
        }
        self.ways[side].fin_got |= fin;
    }

    fn acknowledge(&mut self, side: usize) {
        self.wait(4000);
        let numbers = self.numbers(side, self.ways[side].sent);
        let numbers = (numbers.0.wrapping_add(u32::from(self.ways[side].fin.is_some())), numbers.1);
        let segment = self.segment(side, ACK, numbers, 0);
        self.arrive(&segment);
        self.pass(segment, true);
    }

    /// New data in one to five segments; now and then two change places.
    fn burst(&mut self, side: usize) {
        let before = self.events.len();
        for _ in 0..1 + self.random.below(5) {
            let mut length = self.random.pick(&[1, 10, 100, 536, 1000, PAYLOAD_MAX, PAYLOAD_MAX]);
            if self.supers && self.random.percent(25) {
                let size = u32::from(MSS) - if self.stamps { 12 } else { 0 };
                length = size * self.random.pick(&[2, 3]) + self.random.pick(&[0, 0, 7]);
            }
            let from = self.ways[side].sent;
            self.ways[side].sent += length;
            self.send(side, from, length, false);
        }
        if self.events.len() > before + 1 && self.random.percent(15) {
            let at = before + self.random.below((self.events.len() - before - 1) as u64) as usize;
            swap_places(&mut self.events, at);
        }
    }

    /// Sends again what did not arrive, or some of what did.
    fn resend(&mut self, side: usize) {
        let edge = self.ways[side].contiguous();
        let sent = self.ways[side].sent;
        if sent == 0 {
            return;
        }
        let most = self.random.pick(&[1000, 20_000, 200_000]);
        self.wait(most);
        let from = if edge < sent && self.random.percent(80) {
            edge
        } else {
            self.random.below(u64::from(sent)) as u32
        };
        let from = from - self.random.pick(&[0, 0, 0, 1, 50]).min(from);
        let length = self.random.pick(&[PAYLOAD_MAX, PAYLOAD_MAX, 700, 1]).min(sent - from);
        self.send(side, from, length, false);
    }

    /// Until everything has arrived.
    fn repair(&mut self, side: usize) {
        let lost = self.lost;
        self.lost = [0, 0, lost[2]];
        while self.ways[side].contiguous() < self.ways[side].sent {
            let edge = self.ways[side].contiguous();
            self.wait(200_000);
            let length = PAYLOAD_MAX.min(self.ways[side].sent - edge);
            self.send(side, edge, length, false);
            self.acknowledge(1 - side);
        }
        self.lost = lost;
    }

    fn keep_alive(&mut self, side: usize) {
        let sent = self.ways[side].sent;
        let most = self.random.pick(&[1000, 7_000_000]);
        self.wait(most);
        let length = self.random.below(2) as u32;
        let acknowledgement = self.ways[1 - side].acknowledgement();
        let number = self.ways[side].wire(sent).wrapping_sub(1);
        let segment = self.segment(side, ACK, (number, acknowledgement), length);
        self.pass(segment, true);
        self.acknowledge(1 - side);
    }

    /// One closes its window, the other tries it.
    fn closed_window(&mut self, side: usize) {
        self.window[side] = 0;
        self.acknowledge(side);
        let from = self.ways[1 - side].sent;
        self.ways[1 - side].sent += 1;
        for _ in 0..1 + self.random.below(3) {
            self.wait(300_000);
            self.send(1 - side, from, 1, false);
            self.acknowledge(side);
        }
        self.window[side] = 500;
        self.acknowledge(side);
    }

    /// What nobody expects, and what must change nothing or little. Only where the
    /// capture saw the beginning: what such segments mean to a connection that was
    /// picked up is laid down by no rule.
    fn mischief(&mut self, side: usize, tried: &mut bool) {
        self.wait(2000);
        let numbers = self.numbers(side, self.ways[side].sent);
        let off = |numbers: (u32, u32), by: u32| (numbers.0.wrapping_add(by), numbers.1);
        let made = match self.random.below(6) {
            0 => self.segment(side, RST, off(numbers, (1 << 20) + 100_000), 0),
            1 if !*tried => {
                *tried = true;
                self.segment(side, ACK, off(numbers, (1 << 30) + 100_000), 100)
            }
            2 => self.segment(side, ACK, (numbers.0, numbers.1.wrapping_add((1 << 30) + 1_000_000)), 0),
            3 => {
                self.segment(side, SYN | if side == 1 { ACK } else { 0 }, (self.ways[side].isn, numbers.1), 0)
            }
            4 if self.random.percent(30) => self.segment(side, SYN | FIN, numbers, 0),
            _ => self.segment(side, RST | ACK, (self.ways[side].isn.wrapping_sub(9000), numbers.1), 0),
        };
        let made = if made.flags & (SYN | ACK) == SYN | ACK {
            Segment { acknowledgement: self.ways[0].wire(0), ..made }
        } else {
            made
        };
        self.pass(made, false);
    }

    /// SYN, SYN/ACK, ACK in their variants; whether a connection came of it.
    fn open(&mut self, lossless: bool) -> bool {
        let kind = self.random.below(20);
        let wire = |way: &Way| way.wire(0);
        let (client, server) = (wire(&self.ways[0]), wire(&self.ways[1]));
        for copy in 0..1 + if self.random.percent(12) { self.random.below(3) } else { 0 } {
            self.wait(if copy == 0 { 100 } else { 3_000_000 });
            let payload = if kind == 0 { 40 } else { 0 };
            let syn = self.segment(0, SYN, (client.wrapping_sub(1), 0), payload);
            self.ways[0].sent = payload;
            self.arrive(&syn);
            self.pass(syn, !lossless);
        }
        self.wait(30_000);
        match kind {
            1 => return self.refused(client),
            2 => {
                let sequence = client.wrapping_sub(1);
                self.events.push(Event::Unreachable { at: self.now, to: Side::C, code: 1, sequence });
                self.wait(3000);
                return self.random.percent(20) && self.answered(client, server, (lossless, true));
            }
            3 => return false,
            4 if !lossless && self.whole => {
                // Of an older connection: acknowledges what the client never sent.
                let old = (server.wrapping_add(300_000), client.wrapping_add(500_000));
                let challenge = self.segment(1, ACK, old, 0);
                self.pass(challenge, false);
                self.wait(500);
                let reset = self.segment(0, RST, (old.1, 0), 0);
                self.pass(reset, false);
            }
            _ => {}
        }
        self.answered(client, server, (lossless, false))
    }

    fn refused(&mut self, client: u32) -> bool {
        let kind = self.random.below(4);
        let numbers = (0, if kind == 0 { client.wrapping_sub(1) } else { client });
        let flags = if kind == 1 { RST } else { RST | ACK };
        let segment = self.segment(1, flags, numbers, 0);
        self.pass(segment, false);
        false
    }

    fn answered(&mut self, client: u32, server: u32, (lossless, refused): (bool, bool)) -> bool {
        let accepted = self.ways[0].sent > 0 && self.random.percent(50);
        if accepted {
            let sent = self.ways[0].sent;
            self.ways[0].take(0, sent);
        }
        let acknowledged = self.ways[0].acknowledgement();
        for copy in 0..1 + u64::from(self.random.percent(8)) {
            self.wait(if copy == 0 { 30_000 } else { 1_000_000 });
            let answer = self.segment(1, SYN | ACK, (server.wrapping_sub(1), acknowledged), 0);
            self.arrive(&answer);
            self.pass(answer, !lossless);
        }
        self.wait(30_000);
        // What a reset does to an attempt that was decided already is not laid down.
        if !refused && self.random.percent(4) {
            // Changed its mind.
            let reset = self.segment(0, RST, (client, 0), 0);
            self.pass(reset, false);
            return false;
        }
        if !refused && self.random.percent(4) {
            let reset = self.segment(1, RST, (server, 0), 0);
            self.pass(reset, false);
            return false;
        }
        if self.random.percent(85) {
            self.acknowledge(0);
        } else {
            self.burst(0);
        }
        true
    }

    fn fin(&mut self, side: usize) {
        let sent = self.ways[side].sent;
        let length = if self.random.percent(30) { 1 + self.random.below(300) as u32 } else { 0 };
        self.ways[side].sent += length;
        self.ways[side].fin = Some(sent + length);
        self.send(side, sent, length, true);
        for _ in 0..3 {
            if self.ways[side].fin_got && !self.random.percent(5) {
                break;
            }
            self.wait(200_000);
            self.send(side, sent, length, true);
        }
    }

    fn reset(&mut self, side: usize) {
        self.wait(3000);
        let flags = if self.random.percent(50) { RST | ACK } else { RST };
        let numbers = self.numbers(side, self.ways[side].sent);
        let by = self.random.pick(&[0, 0, 0, 1, 5000]);
        let length = if self.random.percent(10) { 20 } else { 0 };
        let segment = self.segment(side, flags, (numbers.0.wrapping_add(by), numbers.1), length);
        self.pass(segment, true);
        if self.whole && self.random.percent(20) {
            // It was somebody else's: the side goes on.
            self.burst(side);
            self.acknowledge(1 - side);
        } else if self.random.percent(30) {
            self.acknowledge(1 - side);
        }
    }

    fn close(&mut self) {
        let first = self.random.below(2) as usize;
        match self.random.below(10) {
            0 | 1 => {}
            2 => self.reset(first),
            3 => self.fin(first),
            4 => {
                self.fin(first);
                self.fin(1 - first);
                self.acknowledge(first);
                self.acknowledge(1 - first);
            }
            _ => {
                self.fin(first);
                self.acknowledge(1 - first);
                if self.random.percent(40) {
                    self.burst(1 - first);
                    self.repair(1 - first);
                    self.acknowledge(first);
                }
                self.fin(1 - first);
                self.acknowledge(first);
                if self.random.percent(10) {
                    self.send(1 - first, self.ways[1 - first].fin.unwrap_or(0), 0, true);
                    self.acknowledge(first);
                }
            }
        }
    }

    fn talk(&mut self) {
        let mut tried = false;
        for _ in 0..self.random.below(14) {
            let side = self.random.below(2) as usize;
            match self.random.below(24) {
                0..=9 => {
                    self.burst(side);
                    if self.random.percent(80) {
                        self.acknowledge(1 - side);
                    }
                }
                10..=13 => (0..1 + self.random.below(3)).for_each(|_| self.acknowledge(side)),
                14..=17 => self.resend(side),
                18 => {
                    self.repair(side);
                    self.keep_alive(side);
                }
                19 => self.closed_window(side),
                20 => self.wait(500_000),
                21 if self.random.percent(20) => self.now += self.random.pick(&[59, 60, 61, 100]) * 1_000_000,
                22 if self.whole => self.mischief(side, &mut tried),
                _ => {
                    self.repair(side);
                    self.acknowledge(1 - side);
                }
            }
        }
        if self.random.percent(85) {
            self.repair(0);
            self.repair(1);
            self.acknowledge(0);
            self.acknowledge(1);
        }
    }
}

/// Two events that follow each other change places; each gets the other's time.
fn swap_places(events: &mut [Event], at: usize) {
    if let [Event::Segment(first), Event::Segment(second)] = &mut events[at..at + 2] {
        std::mem::swap(&mut first.at, &mut second.at);
    }
    events.swap(at, at + 1);
}

/// A number of a SYN: often one that wraps soon.
fn first_number(random: &mut Random) -> u32 {
    let any = random.next() as u32;
    if random.percent(50) { 0u32.wrapping_sub(any % 9000) } else { any }
}

/// One conversation, with one connection or a few.
pub fn conversation(name: &str, random: &mut Random) -> Conversation {
    let mut events = Vec::new();
    let mut now = 0;
    let several = if random.percent(15) { 2 + random.below(2) } else { 1 };
    let captured = random.pick(&[0, 0, 0, 0, 2, 10, 30]);
    for number in 0..several {
        let network = random.pick(&[0, 0, 0, 5, 15]);
        let way = |random: &mut Random| Way { isn: first_number(random), ..Way::default() };
        let ways = [way(random), way(random)];
        let midstream = several == 1 && random.percent(8);
        let unseen = if midstream { 2 + random.below(12) } else { 0 };
        let stamps = random.percent(25);
        let mut talk = Talk {
            now,
            ways,
            events: Vec::new(),
            stamps,
            echoes: [0; 2],
            window: [500; 2],
            lost: [network, network, captured],
            supers: !midstream && captured == 0 && random.percent(15),
            unseen,
            whole: !midstream && captured == 0,
            random,
        };
        // A second connection whose SYN nobody saw is told by no rule.
        if talk.open(several > 1 && number > 0) {
            talk.talk();
            talk.close();
        }
        talk.wait(1000);
        now = talk.now
            + talk.random.pick(&[1, 500, 9_990_000, 10_010_000, 59_000_000, 60_000_000, 241_000_000]);
        events.extend(talk.events);
    }
    if several == 1 && random.percent(4) {
        // Only one direction came past the capture.
        let side = random.pick(&SIDES);
        events.retain(|event| matches!(event, Event::Segment(segment) if segment.side == side));
    }
    if events.is_empty() {
        events.push(Segment::new(0, Side::C, SYN, (1, 0), 0).into());
    }
    Conversation::new(name, events)
}
