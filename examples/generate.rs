//! Makes capture files whose contents are known exactly: TCP connections as
//! they look on a wire, and beside the file its truth as JSON.
//!
//! Knows pcap's record format and nothing of fullcount, so that its figures
//! are a witness of their own. Benches and tests may take it in as a module
//! (`#[path = "../examples/generate.rs"] mod generate;`) and call [`write`].
//!
//! Invariants: the same plan gives the same bytes; every packet is counted
//! once, where its record is written; IP and TCP checksums are right (the
//! payload is zeros, which add nothing); a connection has its own 5-tuple.
//! Sources: pcap by draft-ietf-opsawg-pcap, TCP by RFC 9293 and RFC 7323.
#![allow(dead_code)]

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// How connections follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Many short connections, some open at a time, in random order.
    Short,
    /// Few long connections, in random order.
    Long,
    /// All connections open at once, one packet of each in turn: no locality.
    Wide,
}

/// What to write.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Order of the packets.
    pub shape: Shape,
    /// Connections, 1 to 2^30.
    pub connections: u64,
    /// Packets of all connections, at least [`Plan::fewest`] for each.
    pub packets: u64,
    /// Connections open at a time (short only), at least 1.
    pub open: u64,
    /// IPv6 in place of IPv4.
    pub ipv6: bool,
    /// Chooses addresses' order, sizes, sequence numbers and the interleaving.
    pub seed: u64,
    /// Pace of the time stamps: bits per second on the line, all packets together.
    pub rate: u64,
    /// Bytes kept of a packet; at least 96, so that no header is cut.
    pub snaplen: u32,
    /// Nanosecond time stamps, else microseconds.
    pub nanoseconds: bool,
    /// Time of the first packet, seconds since the epoch.
    pub start: u32,
}

impl Plan {
    /// The plan that the name stands for: 100,000 connections of 8 packets,
    /// 1,000 of 1,200, or 1,000,000 of 7.
    pub fn new(shape: Shape) -> Plan {
        let (connections, packets) = match shape {
            Shape::Short => (100_000, 800_000),
            Shape::Long => (1_000, 1_200_000),
            Shape::Wide => (1_000_000, 7_000_000),
        };
        Plan {
            shape,
            connections,
            packets,
            open: 1_000,
            ipv6: false,
            seed: 1,
            rate: 1_000_000_000,
            snaplen: 96,
            nanoseconds: true,
            start: 1_700_000_000,
        }
    }

    /// Fewest packets that a connection of this shape can have.
    pub fn fewest(&self) -> u64 {
        match self.shape {
            Shape::Wide => 7,
            Shape::Short | Shape::Long => 8,
        }
    }

    /// One sentence if the plan cannot be carried out.
    pub fn check(&self) -> Result<(), String> {
        if self.connections == 0 || self.connections > 1 << 30 {
            return Err(format!("--connections {} is not in 1 to {}.", self.connections, 1 << 30));
        }
        if self.packets < self.connections * self.fewest() || self.packets / self.connections >= 1 << 31 {
            return Err(format!(
                "--packets {} does not fit {} connections: each has at least {} packets, and fewer than 2^31.",
                self.packets,
                self.connections,
                self.fewest()
            ));
        }
        if self.snaplen < 96 || self.snaplen > 65_535 {
            return Err(format!(
                "--snaplen {} is not in 96 to 65535; below, IPv6 headers are cut.",
                self.snaplen
            ));
        }
        if self.open == 0 || self.rate == 0 {
            return Err("--open and --rate are at least 1.".to_string());
        }
        Ok(())
    }
}

/// Figures of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Packets, which are the frames too: no super-frames are made.
    pub packets: u64,
    /// Original lengths, Ethernet header included, FCS not.
    pub bytes: u64,
    /// TCP payload; nothing is sent twice, so also the stream's length.
    pub payload_bytes: u64,
}

impl Sum {
    fn add(&mut self, other: Sum) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.payload_bytes += other.payload_bytes;
    }

    fn json(&self) -> String {
        format!(
            "{{\"packets\":{0},\"bytes\":{1},\"frames\":{0},\"frame_bytes\":{1},\"payload_bytes\":{2},\"stream_bytes\":{2}}}",
            self.packets, self.bytes, self.payload_bytes
        )
    }
}

/// One connection's figures, as handed to [`write`]'s listener at its last packet.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Client address and port, as text without brackets.
    pub client: (String, u16),
    /// Server address and port.
    pub server: (String, u16),
    /// Client to server.
    pub c2s: Sum,
    /// Server to client.
    pub s2c: Sum,
}

/// What the file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// Connections, all of them opened and closed inside the file.
    pub connections: u64,
    /// Client to server; the server is the host whose address stands in every frame.
    pub c2s: Sum,
    /// Server to client.
    pub s2c: Sum,
    /// Time of the first packet, nanoseconds since the epoch as the file has it.
    pub first_ns: u64,
    /// Time of the last packet.
    pub last_ns: u64,
    /// Length of the file.
    pub file_bytes: u64,
}

impl Truth {
    /// Both directions.
    pub fn total(&self) -> Sum {
        let mut sum = self.c2s;
        sum.add(self.s2c);
        sum
    }

    /// One JSON object, one line a member.
    pub fn json(&self, plan: &Plan) -> String {
        let total = self.total();
        format!(
            "{{\n\"shape\":\"{}\",\n\"seed\":{},\n\"ipv6\":{},\n\"snaplen\":{},\n\"nanoseconds\":{},\n\"file_bytes\":{},\n\
             \"first_ns\":{},\n\"last_ns\":{},\n\"connections\":{},\n\"packets\":{},\n\"bytes\":{},\n\"frames\":{},\n\
             \"frame_bytes\":{},\n\"c2s\":{},\n\"s2c\":{}\n}}\n",
            format!("{:?}", plan.shape).to_lowercase(),
            plan.seed,
            plan.ipv6,
            plan.snaplen,
            plan.nanoseconds,
            self.file_bytes,
            self.first_ns,
            self.last_ns,
            self.connections,
            total.packets,
            total.bytes,
            total.packets,
            total.bytes,
            self.c2s.json(),
            self.s2c.json()
        )
    }
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// Largest payload of a segment: 1500 less IPv4's header and TCP's with time
/// stamps (RFC 7323); IPv6's is 20 less.
const MSS_V4: u32 = 1448;

/// A connection under way.
struct Open {
    index: u64,
    step: u32,
    steps: u32,
    /// Next sequence number of client and server.
    next: [u32; 2],
    sums: [Sum; 2],
}

/// A segment as the script has it.
struct Segment {
    from_server: bool,
    flags: u8,
    payload: u32,
}

/// Scrambles 64 bits (splitmix64's finish): every figure drawn comes from here.
fn scramble(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Open {
    fn new(plan: &Plan, index: u64) -> Open {
        let steps = plan.packets / plan.connections + u64::from(index < plan.packets % plan.connections);
        let first = scramble(plan.seed ^ index.rotate_left(20));
        let next = [first as u32, (first >> 32) as u32];
        Open { index, step: 0, steps: steps as u32, next, sums: [Sum::default(); 2] }
    }

    fn finished(&self) -> bool {
        self.step == self.steps
    }

    /// The script: handshake, data, and a close that depends on the shape
    /// (wide: the last response carries the server's FIN, so seven packets
    /// make a whole connection).
    fn segment(&self, plan: &Plan) -> Segment {
        let segment = |from_server, flags, payload| Segment { from_server, flags, payload };
        let left = self.steps - self.step;
        match (self.step, plan.shape, left) {
            (0, _, _) => segment(false, SYN, 0),
            (1, _, _) => segment(true, SYN | ACK, 0),
            (2, _, _) => segment(false, ACK, 0),
            (_, Shape::Wide, 1) => segment(true, ACK, 0),
            (_, Shape::Wide, 2) => segment(false, FIN | ACK, 0),
            (_, Shape::Wide, 3) => segment(true, FIN | PSH | ACK, self.draw(plan, 200, 1_000)),
            (_, Shape::Short | Shape::Long, 1) => segment(false, ACK, 0),
            (_, Shape::Short | Shape::Long, 2) => segment(true, FIN | ACK, 0),
            (_, Shape::Short | Shape::Long, 3) => segment(false, FIN | ACK, 0),
            _ => self.data(plan),
        }
    }

    /// A request, then responses that are acknowledged every second segment.
    fn data(&self, plan: &Plan) -> Segment {
        let mss = if plan.ipv6 { MSS_V4 - 20 } else { MSS_V4 };
        match (self.step - 3) % 64 {
            0 => Segment { from_server: false, flags: PSH | ACK, payload: self.draw(plan, 80, 600) },
            turn if turn % 3 == 0 => Segment { from_server: false, flags: ACK, payload: 0 },
            _ if plan.shape == Shape::Long && !scramble(plan.seed ^ self.tag()).is_multiple_of(8) => {
                Segment { from_server: true, flags: ACK, payload: mss }
            }
            _ => Segment { from_server: true, flags: PSH | ACK, payload: self.draw(plan, 1, mss.into()) },
        }
    }

    fn tag(&self) -> u64 {
        self.index << 32 | u64::from(self.step)
    }

    fn draw(&self, plan: &Plan, low: u64, high: u64) -> u32 {
        (low + scramble(plan.seed.rotate_left(32) ^ self.tag()) % (high - low + 1)) as u32
    }

    /// Client and server port. The client's address counts 65,536 hosts, then
    /// its port goes on, so no two of 2^30 connections are the same.
    fn ports(&self) -> (u16, u16) {
        const SERVICES: [u16; 5] = [80, 443, 5432, 6800, 8080];
        let service = SERVICES[(scramble(self.index ^ 0x51) % SERVICES.len() as u64) as usize];
        (10_000 + (self.index >> 16) as u16, service)
    }

    /// Which client host (of 65,536) and which server (of 200).
    fn hosts(&self) -> (u16, u16) {
        ((self.index as u16).wrapping_mul(0x9e35), (scramble(self.index ^ 0x52) % 200) as u16 + 1)
    }

    fn connection(&self, plan: &Plan) -> Connection {
        let (client, server) = self.hosts();
        let (client_port, server_port) = self.ports();
        let name = |network: u8, host: u16| {
            if plan.ipv6 {
                std::net::Ipv6Addr::from(address_v6(network, host)).to_string()
            } else {
                std::net::Ipv4Addr::from(address_v4(network, host)).to_string()
            }
        };
        Connection {
            client: (name(18, client), client_port),
            server: (name(19, server), server_port),
            c2s: self.sums[0],
            s2c: self.sums[1],
        }
    }
}

/// 198.18.0.0/15, the network for benchmarks (RFC 2544).
fn address_v4(network: u8, host: u16) -> [u8; 4] {
    let host = host.to_be_bytes();
    [198, network, host[0], host[1]]
}

/// 2001:db8::/32, the network for documentation (RFC 3849).
fn address_v6(network: u8, host: u16) -> [u8; 16] {
    let mut address = [0; 16];
    address[..6].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8, 0, network]);
    address[14..].copy_from_slice(&host.to_be_bytes());
    address
}

/// Sum of big-endian 16-bit words (RFC 1071), not yet folded.
fn words(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum()
}

fn folded(mut sum: u32) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// Ethernet, IP and TCP header of a segment.
struct Header {
    bytes: [u8; 96],
    len: usize,
}

impl Header {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn build(plan: &Plan, open: &Open, segment: &Segment, time_ns: u64) -> Header {
        let mut header = Header { bytes: [0; 96], len: 0 };
        let (client, server) = open.hosts();
        // The server's host is the one that a monitor would run on: its address
        // is in every frame, while clients come through four routers.
        let host = [0x02, 0, 0, 0, 0, 1];
        let router = [0x02, 0, 0, 0, 1, (open.index & 3) as u8];
        let (to, from) = if segment.from_server { (router, host) } else { (host, router) };
        header.push(&to);
        header.push(&from);
        let options = if segment.flags & SYN != 0 { 20 } else { 12 };
        let tcp_length = 20 + options + segment.payload;
        let ends =
            if segment.from_server { [(19, server), (18, client)] } else { [(18, client), (19, server)] };
        let pseudo = if plan.ipv6 {
            header.push(&[0x86, 0xdd, 0x60, 0, 0, 0]);
            header.push(&(tcp_length as u16).to_be_bytes());
            header.push(&[6, 64]);
            ends.iter().for_each(|&(network, end)| header.push(&address_v6(network, end)));
            words(&header.bytes[header.len - 32..header.len])
        } else {
            header.push(&[0x08, 0x00, 0x45, 0]);
            header.push(&(tcp_length as u16 + 20).to_be_bytes());
            header.push(&(open.step as u16).to_be_bytes());
            header.push(&[0x40, 0, 64, 6, 0, 0]);
            ends.iter().for_each(|&(network, end)| header.push(&address_v4(network, end)));
            let sum = folded(words(&header.bytes[14..34]));
            header.bytes[24..26].copy_from_slice(&sum);
            words(&header.bytes[header.len - 8..header.len])
        };
        header.tcp(open, segment, options, time_ns);
        let at = header.len - (20 + options as usize);
        let sum = folded(pseudo + 6 + tcp_length + words(&header.bytes[at..header.len]));
        header.bytes[at + 16..at + 18].copy_from_slice(&sum);
        header
    }

    fn tcp(&mut self, open: &Open, segment: &Segment, options: u32, time_ns: u64) {
        let (client, server) = open.ports();
        let ports = if segment.from_server { [server, client] } else { [client, server] };
        ports.iter().for_each(|port| self.push(&port.to_be_bytes()));
        let me = usize::from(segment.from_server);
        self.push(&open.next[me].to_be_bytes());
        let acknowledged = if segment.flags & ACK == 0 { 0 } else { open.next[1 - me] };
        self.push(&acknowledged.to_be_bytes());
        self.push(&[((20 + options) * 4) as u8, segment.flags, 0xfa, 0xf0, 0, 0, 0, 0]);
        if segment.flags & SYN != 0 {
            // MSS 1460, SACK permitted; time stamps; window scale 7 at the end.
            self.push(&[2, 4, 0x05, 0xb4, 4, 2]);
        } else {
            self.push(&[1, 1]);
        }
        let clock = (time_ns / 1_000_000) as u32;
        self.push(&[8, 10]);
        self.push(&clock.to_be_bytes());
        self.push(&(if segment.flags & ACK == 0 { 0 } else { clock }).to_be_bytes());
        if segment.flags & SYN != 0 {
            self.push(&[1, 3, 3, 7]);
        }
    }
}

/// Where records go, and what was written.
struct Writer<'a, W> {
    plan: &'a Plan,
    out: W,
    time_ns: u64,
    /// Thousandths of nanoseconds that the clock still owes.
    owed: u64,
    truth: Truth,
}

impl<W: Write> Writer<'_, W> {
    fn file_header(&mut self) -> io::Result<()> {
        let magic: u32 = if self.plan.nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        self.out.write_all(&magic.to_le_bytes())?;
        self.out.write_all(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
        self.out.write_all(&self.plan.snaplen.to_le_bytes())?;
        self.out.write_all(&1u32.to_le_bytes())?;
        self.truth.file_bytes = 24;
        Ok(())
    }

    /// Writes the connection's next packet.
    fn packet(&mut self, open: &mut Open) -> io::Result<()> {
        let segment = open.segment(self.plan);
        let header = Header::build(self.plan, open, &segment, self.time_ns);
        let original = header.len as u32 + segment.payload;
        let captured = original.min(self.plan.snaplen);
        let fraction = if self.plan.nanoseconds { 1 } else { 1_000 };
        let nanoseconds = self.time_ns % 1_000_000_000;
        let mut record = [0u8; 16];
        record[..4].copy_from_slice(&((self.time_ns / 1_000_000_000) as u32).to_le_bytes());
        record[4..8].copy_from_slice(&((nanoseconds / fraction) as u32).to_le_bytes());
        record[8..12].copy_from_slice(&captured.to_le_bytes());
        record[12..].copy_from_slice(&original.to_le_bytes());
        self.out.write_all(&record)?;
        self.out.write_all(&header.bytes[..header.len])?;
        const ZEROS: [u8; 1_500] = [0; 1_500];
        self.out.write_all(&ZEROS[..captured as usize - header.len])?;

        let stamped = self.time_ns / fraction * fraction;
        if self.truth.total().packets == 0 {
            self.truth.first_ns = stamped;
        }
        self.truth.last_ns = stamped;
        self.truth.file_bytes += 16 + u64::from(captured);
        let sum = Sum { packets: 1, bytes: u64::from(original), payload_bytes: u64::from(segment.payload) };
        open.sums[usize::from(segment.from_server)].add(sum);
        if segment.from_server {
            self.truth.s2c.add(sum)
        } else {
            self.truth.c2s.add(sum)
        }
        let marks = u32::from(segment.flags & SYN != 0) + u32::from(segment.flags & FIN != 0);
        let next = &mut open.next[usize::from(segment.from_server)];
        *next = next.wrapping_add(segment.payload).wrapping_add(marks);
        open.step += 1;
        self.advance(original);
        Ok(())
    }

    /// The line is busy for the packet, its preamble, FCS and gap.
    fn advance(&mut self, original: u32) {
        let bits = (u64::from(original.max(60)) + 24) * 8;
        self.owed += bits * 1_000_000_000_000 / self.plan.rate;
        self.time_ns += self.owed / 1_000;
        self.owed %= 1_000;
    }
}

/// Writes the plan's file to `out` and returns what it holds. `ended` is
/// called with each connection after its last packet.
///
/// # Errors
/// What `out` returns, or `InvalidInput` with [`Plan::check`]'s sentence.
pub fn write<W: Write>(plan: &Plan, out: W, mut ended: impl FnMut(Connection)) -> io::Result<Truth> {
    plan.check().map_err(|sentence| io::Error::new(io::ErrorKind::InvalidInput, sentence))?;
    let time_ns = u64::from(plan.start) * 1_000_000_000;
    let mut writer = Writer { plan, out, time_ns, owed: 0, truth: Truth::default() };
    writer.file_header()?;
    let slots = match plan.shape {
        Shape::Short => plan.open.min(plan.connections),
        Shape::Long | Shape::Wide => plan.connections,
    };
    let mut open: Vec<Open> = (0..slots).map(|index| Open::new(plan, index)).collect();
    let mut begun = slots;
    if plan.shape == Shape::Wide {
        // Handshakes in waves: all connections open at once is not all
        // handshakes under way at once, which is a SYN flood.
        for wave in open.chunks_mut(1_000) {
            for _ in 0..3 {
                wave.iter_mut().try_for_each(|connection| writer.packet(connection))?;
            }
        }
        while !open.is_empty() {
            for connection in &mut open {
                writer.packet(connection)?;
            }
            open.iter().filter(|c| c.finished()).for_each(|c| ended(c.connection(plan)));
            open.retain(|connection| !connection.finished());
        }
    }
    let mut dice = scramble(plan.seed);
    while !open.is_empty() {
        dice = scramble(dice);
        let slot = (dice % open.len() as u64) as usize;
        writer.packet(&mut open[slot])?;
        if open[slot].finished() {
            ended(open[slot].connection(plan));
            if begun < plan.connections {
                open[slot] = Open::new(plan, begun);
                begun += 1;
            } else {
                open.swap_remove(slot);
            }
        }
    }
    writer.truth.connections = begun;
    writer.out.flush()?;
    Ok(writer.truth)
}

const USAGE: &str = "usage: generate short|long|wide FILE [--connections N] [--packets N] [--open N]
  [--ipv6] [--seed N] [--rate BITS_PER_SECOND] [--snaplen N] [--microseconds] [--start SECONDS]
  [--list FILE]   each connection's figures, tab-separated
Writes FILE and FILE.json. Defaults: short 100,000 connections of 8 packets, 1,000 open at once;
long 1,000 of 1,200; wide 1,000,000 of 7, all open at once. Without --packets, other numbers
of connections keep the packets of each.";

/// What the user asked for.
struct Request {
    plan: Plan,
    path: String,
    list: Option<String>,
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Request, String> {
    let shape = match words.next().as_deref() {
        Some("short") => Shape::Short,
        Some("long") => Shape::Long,
        Some("wide") => Shape::Wide,
        _ => return Err("The first word says what to make: short, long or wide.".to_string()),
    };
    let path = words.next().ok_or("The second word is the file to write.")?;
    let mut plan = Plan::new(shape);
    let each = plan.packets / plan.connections;
    let mut packets = None;
    let mut list = None;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value."));
        let number = |text: String| {
            text.replace(['_', ','], "").parse::<u64>().map_err(|_| format!("{word} {text}: not a number."))
        };
        let small = |n: u64| u32::try_from(n).map_err(|_| format!("{word} {n}: too large."));
        match word.as_str() {
            "--connections" => plan.connections = number(value()?)?,
            "--packets" => packets = Some(number(value()?)?),
            "--open" => plan.open = number(value()?)?,
            "--ipv6" => plan.ipv6 = true,
            "--seed" => plan.seed = number(value()?)?,
            "--rate" => plan.rate = number(value()?)?,
            "--snaplen" => plan.snaplen = small(number(value()?)?)?,
            "--microseconds" => plan.nanoseconds = false,
            "--start" => plan.start = small(number(value()?)?)?,
            "--list" => list = Some(value()?),
            _ => return Err(format!("{word} is not an option.")),
        }
    }
    plan.packets = packets.unwrap_or(plan.connections.saturating_mul(each));
    plan.check()?;
    Ok(Request { plan, path, list })
}

fn run(request: &Request) -> io::Result<Truth> {
    let file = BufWriter::with_capacity(1 << 20, File::create(&request.path)?);
    let mut list = match &request.list {
        Some(path) => Some(BufWriter::new(File::create(path)?)),
        None => None,
    };
    let mut result = Ok(());
    let truth = write(&request.plan, file, |c| {
        if let (Some(list), Ok(())) = (&mut list, &result) {
            result = writeln!(
                list,
                "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
                c.client.0,
                c.client.1,
                c.server.0,
                c.server.1,
                c.c2s.packets,
                c.c2s.bytes,
                c.c2s.payload_bytes,
                c.s2c.packets,
                c.s2c.bytes,
                c.s2c.payload_bytes
            );
        }
    })?;
    result?;
    if let Some(list) = &mut list {
        list.flush()?;
    }
    std::fs::write(format!("{}.json", request.path), truth.json(&request.plan))?;
    Ok(truth)
}

fn main() -> ExitCode {
    let request = match parse(std::env::args().skip(1)) {
        Ok(request) => request,
        Err(sentence) => {
            eprintln!("{sentence}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&request) {
        Ok(truth) => {
            print!("{}", truth.json(&request.plan));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}; the file is not whole.", request.path);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn plans() -> Vec<Plan> {
        let mut plans = Vec::new();
        for (shape, connections, packets) in
            [(Shape::Short, 300, 2_400), (Shape::Long, 7, 3_003), (Shape::Wide, 200, 1_450)]
        {
            for ipv6 in [false, true] {
                let start = Plan::new(shape);
                plans.push(Plan { connections, packets, open: 40, ipv6, nanoseconds: !ipv6, ..start });
            }
        }
        plans
    }

    /// What the program prints, or None (loudly) where it is not installed.
    fn ask(program: &str, arguments: &[&str]) -> Option<String> {
        match Command::new(program).args(arguments).output() {
            Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
            Err(error) => {
                eprintln!("SKIPPED: {program}: {error}");
                None
            }
        }
    }

    #[test]
    fn wireshark_finds_the_same_figures_and_nothing_wrong() {
        let directory = tempfile::tempdir().expect("a directory");
        for plan in plans() {
            let path = directory.path().join("generated.pcap");
            let path = path.to_str().expect("a name");
            let truth =
                run(&Request { plan: plan.clone(), path: path.to_string(), list: None }).expect("written");

            let Some(stated) = ask("capinfos", &["-TmrQcd", path]) else { return };
            let figures = format!("\"{}\",\"{}\"", truth.total().packets, truth.total().bytes);
            assert!(stated.trim_end().ends_with(&figures), "{plan:?}: {figures}, capinfos: {stated}");

            // One conversation for each connection, its frames those of the plan.
            let Some(table) = ask("tshark", &["-nr", path, "-q", "-z", "conv,tcp"]) else { return };
            assert_eq!(table.matches("<->").count() as u64, truth.connections, "{plan:?}");

            // Sequence numbers, acknowledgements, lengths and checksums.
            let wrong =
                "tcp.analysis.flags || _ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0";
            let options = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"];
            let whole = Plan { snaplen: 2_000, ..plan };
            run(&Request { plan: whole.clone(), path: path.to_string(), list: None }).expect("written");
            let found = ask("tshark", &[&["-nr", path, "-Y", wrong], &options[..]].concat());
            assert_eq!(found.as_deref(), Some(""), "{whole:?}");
        }
    }

    #[test]
    fn connections_sum_up_to_the_truth_and_differ() {
        for plan in plans() {
            let (mut c2s, mut s2c) = (Sum::default(), Sum::default());
            let mut names = std::collections::HashSet::new();
            let truth = write(&plan, io::sink(), |c| {
                c2s.add(c.c2s);
                s2c.add(c.s2c);
                assert!(names.insert((c.client, c.server)), "{plan:?}: a 5-tuple twice");
            })
            .expect("a sink takes everything");
            assert_eq!((c2s, s2c), (truth.c2s, truth.s2c), "{plan:?}");
            assert_eq!(names.len() as u64, plan.connections);
            assert_eq!(truth.total().packets, plan.packets);
        }
    }

    #[test]
    fn the_same_plan_gives_the_same_bytes_and_another_seed_others() {
        let bytes = |seed| {
            let mut bytes = Vec::new();
            let plan = Plan { connections: 50, packets: 400, seed, ..Plan::new(Shape::Short) };
            let truth = write(&plan, &mut bytes, |_| {}).expect("memory takes everything");
            assert_eq!(truth.file_bytes, bytes.len() as u64);
            bytes
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn a_plan_that_cannot_be_carried_out_says_why() {
        let plan = Plan { packets: 99, ..Plan::new(Shape::Long) };
        let error = write(&plan, io::sink(), |_| {}).expect_err("too few packets");
        assert_eq!(
            error.to_string(),
            "--packets 99 does not fit 1000 connections: each has at least 8 packets, and fewer than 2^31."
        );
    }
}
