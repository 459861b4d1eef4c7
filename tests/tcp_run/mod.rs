//! TCP conversations as written on paper, made into a capture that the program
//! reads; what it says of each of them, and how that is held against what it
//! should say.
//!
//! A conversation has its own client address, so that one run answers for all.
//! Each is moved in time so that all end together: nobody is idle at the end of
//! the file. Moved by whole periods of 2^24 ns, because the pause after a round
//! trip's sample is cut at these.

#[path = "../file_writer/mod.rs"]
pub mod file_writer;
#[path = "../files_run/mod.rs"]
pub mod files_run;

use file_writer::{Classic, Packet};
use serde_json::{Map, Value, json};

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;

/// Window field of segments that name none.
const WINDOW: u16 = 500;
/// Pauses after samples end where the time's upper bits change.
const PERIOD_NS: u64 = 1 << 24;
/// Last instant of a capture, about: after 2023, in periods.
const END_PERIODS: u64 = 1_700_000_000 * 1_000_000_000 / PERIOD_NS;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    C,
    S,
}

/// A TCP segment.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Microseconds since the conversation's begin.
    pub at: u64,
    pub side: Side,
    pub flags: u8,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub length: u32,
    pub window: u16,
    /// TSval and TSecr.
    pub stamps: Option<(u32, u32)>,
    pub mss: Option<u16>,
    pub sack: Vec<(u32, u32)>,
}

impl Segment {
    pub fn new(at: u64, side: Side, flags: u8, numbers: (u32, u32), length: u32) -> Segment {
        let (sequence, acknowledgement) = numbers;
        let (stamps, mss, sack) = (None, None, Vec::new());
        Segment { at, side, flags, sequence, acknowledgement, length, window: WINDOW, stamps, mss, sack }
    }
    pub fn window(self, window: u16) -> Segment {
        Segment { window, ..self }
    }
    pub fn stamps(self, value: u32, echo: u32) -> Segment {
        Segment { stamps: Some((value, echo)), ..self }
    }
    pub fn mss(self, mss: u16) -> Segment {
        Segment { mss: Some(mss), ..self }
    }
    pub fn sack(mut self, from: u32, to: u32) -> Segment {
        self.sack.push((from, to));
        self
    }

    fn options(&self) -> Vec<u8> {
        let mut options = Vec::new();
        if let Some(mss) = self.mss {
            options.extend([2, 4]);
            options.extend(mss.to_be_bytes());
        }
        if let Some((value, echo)) = self.stamps {
            options.extend([1, 1, 8, 10]);
            options.extend(value.to_be_bytes());
            options.extend(echo.to_be_bytes());
        }
        if !self.sack.is_empty() {
            options.extend([1, 1, 5, 2 + 8 * self.sack.len() as u8]);
            for (from, to) in &self.sack {
                options.extend(from.to_be_bytes());
                options.extend(to.to_be_bytes());
            }
        }
        options
    }

    /// Bytes of the frame.
    pub fn frame_bytes(&self) -> u64 {
        54 + self.options().len() as u64 + self.length as u64
    }
}

/// What stands in a script.
#[derive(Clone, Debug)]
pub enum Event {
    Segment(Segment),
    /// ICMP destination unreachable with this code, to a side, which quotes a segment of that number.
    Unreachable {
        at: u64,
        to: Side,
        code: u8,
        sequence: u32,
    },
}

impl From<Segment> for Event {
    fn from(segment: Segment) -> Event {
        Event::Segment(segment)
    }
}

impl Event {
    pub fn at(&self) -> u64 {
        match self {
            Event::Segment(segment) => segment.at,
            Event::Unreachable { at, .. } => *at,
        }
    }
}

fn micros(milliseconds: f64) -> u64 {
    (milliseconds * 1000.0).round() as u64
}

/// Segment of the client: milliseconds, flags, sequence number, acknowledgement, payload.
pub fn c(at: f64, flags: u8, sequence: u32, acknowledgement: u32, length: u32) -> Segment {
    Segment::new(micros(at), Side::C, flags, (sequence, acknowledgement), length)
}

/// Segment of the server.
pub fn s(at: f64, flags: u8, sequence: u32, acknowledgement: u32, length: u32) -> Segment {
    Segment::new(micros(at), Side::S, flags, (sequence, acknowledgement), length)
}

/// ICMP host unreachable to the client.
pub fn unreachable(at: f64, sequence: u32) -> Event {
    Event::Unreachable { at: micros(at), to: Side::C, code: 1, sequence }
}

/// Events from segments.
pub fn events(segments: Vec<Segment>) -> Vec<Event> {
    segments.into_iter().map(Event::from).collect()
}

/// SYN, SYN/ACK, ACK with the numbers 100 and 500 at 0, 10 and 12 ms, then these.
pub fn opened(more: Vec<Segment>) -> Vec<Event> {
    let mut all = vec![c(0.0, SYN, 100, 0, 0), s(10.0, SYN | ACK, 500, 101, 0), c(12.0, ACK, 101, 501, 0)];
    all.extend(more);
    events(all)
}

/// The handshake of [`opened`], as the line tells it.
pub fn handshake() -> Value {
    json!({"outcome": "success", "syn_retransmitted": 0, "synack_retransmitted": 0,
           "connect_seconds": 0.012, "syn_to_synack_seconds": 0.010, "synack_to_ack_seconds": 0.002})
}

/// One conversation of a capture.
#[derive(Clone, Debug)]
pub struct Conversation {
    pub name: String,
    pub events: Vec<Event>,
    /// Microseconds from its last event to the end of the capture.
    pub silence: u64,
}

impl Conversation {
    pub fn new(name: &str, events: Vec<Event>) -> Conversation {
        Conversation { name: name.to_owned(), events, silence: 0 }
    }
    /// From its beginning to the end of the capture.
    fn length(&self) -> u64 {
        self.events.iter().map(Event::at).max().unwrap_or(0) + self.silence
    }
    /// Nanoseconds since 1970 at which it begins in the capture.
    pub fn start(&self) -> u64 {
        (END_PERIODS - (self.length() * 1000).div_ceil(PERIOD_NS)) * PERIOD_NS
    }
}

const SERVER: [u8; 4] = [198, 19, 255, 1];
const PORTS: (u16, u16) = (40_000, 80);

fn client_address(number: usize) -> [u8; 4] {
    (0xc612_0100 + number as u32).to_be_bytes()
}

fn number_of(address: &str) -> Option<usize> {
    let address: std::net::Ipv4Addr = address.parse().ok()?;
    (address.octets() != SERVER).then(|| (u32::from(address) - 0xc612_0100) as usize)
}

/// The sum of RFC 1071 over what is not payload: payload is zeros here.
fn sum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words.map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    (!(sum as u16)).to_be_bytes()
}

fn ipv4(protocol: u8, source: [u8; 4], destination: [u8; 4], length: usize) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend((20 + length as u16).to_be_bytes());
    header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    header.extend(source);
    header.extend(destination);
    let check = sum(&[&header]);
    header[10..12].copy_from_slice(&check);
    header
}

/// Headers of a segment, from IP on; payload not.
fn headers(segment: &Segment, client: [u8; 4]) -> Vec<u8> {
    let (from, to, ports) = match segment.side {
        Side::C => (client, SERVER, PORTS),
        Side::S => (SERVER, client, (PORTS.1, PORTS.0)),
    };
    let options = segment.options();
    let mut tcp = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    tcp.extend(segment.sequence.to_be_bytes());
    tcp.extend(segment.acknowledgement.to_be_bytes());
    tcp.extend([(5 + options.len() as u8 / 4) << 4, segment.flags]);
    tcp.extend(segment.window.to_be_bytes());
    tcp.extend([0; 4]);
    tcp.extend(options);
    let length = tcp.len() + segment.length as usize;
    let check = sum(&[&from, &to, &[0, 6], &(length as u16).to_be_bytes(), &tcp]);
    tcp[16..18].copy_from_slice(&check);
    let mut packet = ipv4(6, from, to, length);
    packet.extend(tcp);
    packet
}

fn unreachable_message(to: Side, code: u8, sequence: u32, client: [u8; 4]) -> Vec<u8> {
    let quoted = headers(&Segment::new(0, to, SYN, (sequence, 0), 0), client);
    let mut message = vec![3, code, 0, 0, 0, 0, 0, 0];
    message.extend(&quoted[..28]);
    let check = sum(&[&message]);
    message[2..4].copy_from_slice(&check);
    let (router, end) = ([198, 19, 255, 254], if to == Side::C { client } else { SERVER });
    let mut packet = ipv4(1, router, end, message.len());
    packet.extend(message);
    packet
}

fn frame(event: &Event, client: [u8; 4], whole: bool) -> (Vec<u8>, u32) {
    let (packet, payload) = match event {
        Event::Segment(segment) => (headers(segment, client), segment.length),
        &Event::Unreachable { to, code, sequence, .. } => {
            (unreachable_message(to, code, sequence, client), 0)
        }
    };
    let mut data = vec![2, 0, 0, 0, 0xff, 9, 2, 0, 0, 0, 0xff, 8, 8, 0];
    data.extend(packet);
    let length = data.len() as u32 + payload;
    if whole {
        data.resize(length as usize, 0);
    }
    (data, length)
}

/// A nanosecond pcap file of all conversations. `whole`: with payload, zeros;
/// otherwise cut behind the headers.
pub fn capture(conversations: &[Conversation], whole: bool) -> Vec<u8> {
    let mut packets = Vec::new();
    for (number, conversation) in conversations.iter().enumerate() {
        let start = conversation.start();
        for event in &conversation.events {
            let (data, len) = frame(event, client_address(number), whole);
            packets.push(Packet { time_ns: start + event.at() * 1000, len, data });
        }
    }
    // Stable: what stands in one conversation at one time keeps its order.
    packets.sort_by_key(|packet| packet.time_ns);
    Classic::NANO.write(&packets).concat()
}

/// What the program says: lines of each conversation, in the order of their start.
pub fn answers(conversations: &[Conversation], whole: bool, workers: &str) -> Vec<Vec<Value>> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("conversations.pcap");
    std::fs::write(&path, capture(conversations, whole)).expect("written");
    let path = path.to_string_lossy();
    let (run, lines) = files_run::lines_of(&["-r", &path, "--workers", workers]);
    assert_eq!(run.code, Some(0), "{}", run.complaint);
    let mut answers = vec![Vec::new(); conversations.len()];
    for line in files_run::of_type(&lines, "connection").filter(|line| line["protocol"] == "tcp") {
        let ends = [&line["client"]["ip"], &line["server"]["ip"]];
        let number = ends.iter().find_map(|end| number_of(end.as_str()?)).expect("an end of ours");
        answers[number].push(line.clone());
    }
    for lines in &mut answers {
        lines.sort_by(|a, b| a["start"].as_str().cmp(&b["start"].as_str()));
    }
    answers
}

/// Whether the script's client is the line's.
pub fn is_client(line: &Value) -> bool {
    line["client"]["port"] == PORTS.0
}

/// A time, in seconds, to half a microsecond.
fn same_time(a: f64, b: f64) -> bool {
    (a - b).abs() < 0.6e-6
}

fn same(expected: &Value, given: &Value) -> bool {
    match (expected, given) {
        (Value::Null, given) => given.is_null(),
        // A mark that does not apply is absent.
        (Value::Bool(false), given) => given.is_null() || given == false,
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            same_time(a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN))
        }
        (expected, given) => expected == given,
    }
}

/// Stands in a table where nothing is demanded.
pub const ANY: &str = "(any)";

/// Adds a sentence for each value of `expected` that is not `given`.
pub fn differences(expected: &Value, given: &Value, place: &str, found: &mut Vec<String>) {
    match expected {
        Value::Object(fields) => {
            for (name, value) in fields {
                let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                differences(value, given.get(name).unwrap_or(&Value::Null), &place, found);
            }
        }
        Value::Array(all) if given.as_array().is_some_and(|given| given.len() == all.len()) => {
            for (number, value) in all.iter().enumerate() {
                differences(value, &given[number], &format!("{place}.{number}"), found);
            }
        }
        _ if expected == ANY || same(expected, given) => {}
        _ => found.push(format!("{place} is {given}, should be {expected}")),
    }
}

/// Lays `over` over `under`, field by field.
pub fn lay_over(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                lay_over(under.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over.clone(),
    }
}

/// Counters that are 0 where a table names none.
const COUNTERS: [&str; 10] = [
    "retransmitted_segments",
    "retransmitted_bytes",
    "recovered_segments",
    "out_of_order_segments",
    "missing_bytes",
    "open_bytes",
    "duplicate_acks",
    "zero_windows",
    "keep_alives",
    "stream_bytes",
];

/// What follows from a script by adding up alone: packets, bytes, payload and
/// flags of a direction; every other counter 0.
pub fn added_up(events: &[Event], side: Side) -> Value {
    let mut fields = Map::new();
    let sent = events.iter().filter_map(|event| match event {
        Event::Segment(segment) if segment.side == side => Some(segment),
        _ => None,
    });
    let sent: Vec<&Segment> = sent.collect();
    let flagged = |flag: u8| sent.iter().filter(|segment| segment.flags & flag != 0).count();
    let payload = sent.iter().filter(|segment| segment.flags & RST == 0).map(|segment| segment.length as u64);
    fields.insert("packets".into(), json!(sent.len()));
    fields.insert("bytes".into(), json!(sent.iter().map(|segment| segment.frame_bytes()).sum::<u64>()));
    fields.insert("payload_bytes".into(), json!(payload.sum::<u64>()));
    for (name, flag) in [("syn", SYN), ("fin", FIN), ("rst", RST)] {
        fields.insert(name.into(), json!(flagged(flag)));
    }
    COUNTERS.iter().for_each(|name| drop(fields.insert((*name).into(), json!(0))));
    fields.insert("rtt_seconds".into(), json!({"min": null}));
    Value::Object(fields)
}
