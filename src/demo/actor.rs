//! Who does what next: connections with requests and answers, attempts that come
//! to nothing, questions and answers without a connection.
//!
//! An actor does one thing at a time, a frame, and says after how many microseconds
//! the next one is due, if there is any.

use super::frame::{Far, Flags, Maker, Segment};
use super::{HERE, HERE_V6, Way};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where frames go.
pub type Send<'a> = dyn FnMut(Way, &[u8]) + 'a;

const SECOND_US: u64 = 1_000_000;
/// What this host takes to answer.
const HERE_US: u64 = 60;

/// Numbers that look like chance and are always the same (xorshift64*).
#[derive(Clone, Debug)]
pub struct Chance(pub u64);

impl Chance {
    /// From `from` to `to`, `to` left out.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        from + (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % to.saturating_sub(from).max(1)
    }
}

/// What a connection is like.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// From a question to its answer, on the wire, microseconds.
    pub trip_us: u64,
    /// Bytes of a question.
    pub question: usize,
    /// Bytes of an answer.
    pub answer: usize,
    /// Bytes of a segment, at most.
    pub segment: usize,
    /// From one segment to the next, microseconds.
    pub gap_us: u64,
    /// From an answer to the next question, microseconds, and as much again by chance.
    pub rest_us: u64,
    /// Questions until it is closed; 0 is never.
    pub questions: u32,
}

/// What a connection does next; `left` bytes are still to be sent by that side (0 the
/// client, 1 the server).
#[derive(Clone, Copy, Debug)]
enum Step {
    Syn,
    SynAck,
    Established,
    Data { side: usize, left: usize },
    Acknowledged { side: usize, left: usize },
    AnswerTaken,
    Fin { side: usize },
    LastAck,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Talk {
    ends: [SocketAddr; 2],
    far: Far,
    manner: Manner,
    seq: [u32; 2],
    step: Step,
    /// Segments that nobody acknowledged yet.
    owed: u8,
    asked: u32,
}

/// Whether that is an address of the pretended host.
fn is_here(address: IpAddr) -> bool {
    address == HERE || address == HERE_V6
}

impl Talk {
    /// From its SYN on.
    pub fn new(client: SocketAddr, server: SocketAddr, far: Far, manner: Manner, seed: u64) -> Talk {
        let seq = [seed as u32, (seed >> 32) as u32];
        Talk { ends: [client, server], far, manner, seq, step: Step::Syn, owed: 0, asked: 0 }
    }

    fn send(&mut self, side: usize, flags: Flags, length: usize, maker: &mut Maker, send: &mut Send) {
        let other = 1 - side;
        let [from, to] = [self.ends[side], self.ends[other]];
        let segment = Segment { from, to, seq: self.seq[side], ack: self.seq[other], flags, length };
        if let Some((way, frame)) = maker.tcp(&self.far, is_here(from.ip()), &segment) {
            send(way, frame);
        }
        let counted = u32::from(flags.syn) + u32::from(flags.fin) + length as u32;
        self.seq[side] = self.seq[side].wrapping_add(counted);
    }

    /// How long the side takes to answer what it was sent.
    fn turn(&self, side: usize) -> u64 {
        if is_here(self.ends[side].ip()) { HERE_US } else { self.manner.trip_us }
    }

    fn act(&mut self, maker: &mut Maker, chance: &mut Chance, send: &mut Send) -> Option<u64> {
        const ACK: Flags = Flags { syn: false, ack: true, fin: false, rst: false };
        let Manner { question, answer, segment, gap_us, rest_us, questions, .. } = self.manner;
        match self.step {
            Step::Syn => {
                self.send(0, Flags { syn: true, ..Flags::default() }, 0, maker, send);
                self.step = Step::SynAck;
                Some(self.turn(1))
            }
            Step::SynAck => {
                self.send(1, Flags { syn: true, ..ACK }, 0, maker, send);
                self.step = Step::Established;
                Some(self.turn(0))
            }
            Step::Established => {
                self.send(0, ACK, 0, maker, send);
                self.step = Step::Data { side: 0, left: question };
                Some(HERE_US)
            }
            Step::Data { side, left } => {
                let length = left.min(segment);
                self.send(side, ACK, length, maker, send);
                let left = left - length;
                self.owed += 1;
                if left == 0 && side == 0 {
                    self.owed = 0;
                    self.step = Step::Data { side: 1, left: answer };
                    return Some(self.turn(1));
                }
                if left == 0 {
                    self.owed = 0;
                    self.step = Step::AnswerTaken;
                    return Some(self.turn(0));
                }
                if self.owed == 2 {
                    self.owed = 0;
                    self.step = Step::Acknowledged { side, left };
                    return Some(gap_us / 2);
                }
                self.step = Step::Data { side, left };
                Some(gap_us)
            }
            Step::Acknowledged { side, left } => {
                self.send(1 - side, ACK, 0, maker, send);
                self.step = Step::Data { side, left };
                Some(gap_us - gap_us / 2)
            }
            Step::AnswerTaken => {
                self.send(0, ACK, 0, maker, send);
                self.asked += 1;
                if self.asked == questions {
                    self.step = Step::Fin { side: 0 };
                    return Some(HERE_US);
                }
                self.step = Step::Data { side: 0, left: question };
                Some(chance.between(rest_us, 2 * rest_us))
            }
            Step::Fin { side } => {
                self.send(side, Flags { fin: true, ..ACK }, 0, maker, send);
                self.step = if side == 0 { Step::Fin { side: 1 } } else { Step::LastAck };
                Some(self.turn(1 - side))
            }
            Step::LastAck => {
                self.send(0, ACK, 0, maker, send);
                None
            }
        }
    }
}

/// What becomes of an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// RST.
    Rejected,
    /// ICMP: no such host.
    Unreachable,
    /// Nothing, after this many repeated SYN.
    Silence(u32),
}

/// An attempt that comes to nothing.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Who tries.
    pub client: SocketAddr,
    /// Where.
    pub server: SocketAddr,
    /// The far end.
    pub far: Far,
    /// What comes of it.
    pub fate: Fate,
    /// From SYN to answer, microseconds.
    pub trip_us: u64,
    /// The first sequence number.
    pub seq: u32,
    /// Frames so far.
    pub done: u32,
}

impl Attempt {
    fn act(&mut self, maker: &mut Maker, send: &mut Send) -> Option<u64> {
        let Attempt { client, server, far, fate, seq, done, .. } = *self;
        let flags = Flags { syn: true, ..Flags::default() };
        let syn = Segment { from: client, to: server, seq, ack: 0, flags, length: 0 };
        self.done += 1;
        let answered = done == 1 && !matches!(fate, Fate::Silence(_));
        let made = match (fate, client.ip()) {
            _ if !answered => maker.tcp(&far, is_here(client.ip()), &syn),
            (Fate::Unreachable, IpAddr::V4(here)) => {
                maker.unreachable(&far, [Ipv4Addr::new(198, 18, 0, 1), here], &syn)
            }
            _ => {
                let flags = Flags { rst: true, ack: true, ..Flags::default() };
                let (ack, seq) = (seq.wrapping_add(1), 0);
                let rst = Segment { from: server, to: client, seq, ack, flags, length: 0 };
                maker.tcp(&far, is_here(server.ip()), &rst)
            }
        };
        if let Some((way, frame)) = made {
            send(way, frame);
        }
        match fate {
            Fate::Silence(repeated) => (done < repeated).then_some(SECOND_US << done.min(6)),
            _ => (!answered).then_some(self.trip_us),
        }
    }
}

/// A question and its answer: a datagram each way.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Who asks and who is asked.
    pub ends: [SocketAddr; 2],
    /// The far end.
    pub far: Far,
    /// Bytes of the question and of the answer; an answer of none is not sent.
    pub lengths: [usize; 2],
    /// From one to the other, microseconds.
    pub trip_us: u64,
    /// An echo of this number instead of datagrams.
    pub echo: Option<u16>,
    /// The question was asked.
    pub asked: bool,
}

impl Ask {
    fn act(&mut self, maker: &mut Maker, send: &mut Send) -> Option<u64> {
        let answers = usize::from(self.asked);
        let [from, to] = [self.ends[answers], self.ends[1 - answers]];
        let sent = is_here(from.ip());
        let made = match (self.echo, from.ip(), to.ip()) {
            (Some(number), IpAddr::V4(from), IpAddr::V4(to)) => {
                maker.echo(&self.far, sent, [from, to], number)
            }
            _ => maker.udp(&self.far, sent, [from, to], self.lengths[answers]),
        };
        if let Some((way, frame)) = made {
            send(way, frame);
        }
        let more = !self.asked && self.lengths[1] > 0;
        self.asked = true;
        more.then_some(self.trip_us)
    }
}

/// Any of them.
#[derive(Clone, Debug)]
pub enum Actor {
    /// A connection.
    Talk(Talk),
    /// An attempt.
    Attempt(Attempt),
    /// A question.
    Ask(Ask),
}

impl Actor {
    /// Its next frame. After how many microseconds it has one more; None is never.
    pub fn act(&mut self, maker: &mut Maker, chance: &mut Chance, send: &mut Send) -> Option<u64> {
        match self {
            Actor::Talk(talk) => talk.act(maker, chance, send),
            Actor::Attempt(attempt) => attempt.act(maker, send),
            Actor::Ask(ask) => ask.act(maker, send),
        }
    }
}
