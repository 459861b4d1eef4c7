//! A tiny writer of capture files for tests. Written from the drafts
//! (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng), not from the reader.
//! Each part (header, record, block) is a vector of its own, so that tests
//! know where parts end.
#![allow(dead_code, reason = "not every test file uses all of it")]

/// What a record holds.
#[derive(Clone, Debug)]
pub struct Packet {
    pub time_ns: u64,
    pub len: u32,
    pub data: Vec<u8>,
}

/// A kind of classic pcap file.
#[derive(Clone, Copy, Debug)]
pub struct Classic {
    pub big_endian: bool,
    pub magic: u32,
    pub version: (u16, u16),
    pub link_type: u32,
}

impl Classic {
    pub const MICRO: Classic =
        Classic { big_endian: false, magic: 0xa1b2_c3d4, version: (2, 4), link_type: 1 };
    pub const NANO: Classic = Classic { magic: 0xa1b2_3c4d, ..Classic::MICRO };
    pub const MODIFIED: Classic = Classic { magic: 0xa1b2_cd34, ..Classic::MICRO };

    fn word(self, word: u32) -> [u8; 4] {
        if self.big_endian { word.to_be_bytes() } else { word.to_le_bytes() }
    }

    fn half(self, half: u16) -> [u8; 2] {
        if self.big_endian { half.to_be_bytes() } else { half.to_le_bytes() }
    }

    /// The file header, then one part per packet.
    pub fn write(self, packets: &[Packet]) -> Vec<Vec<u8>> {
        let header = [
            self.word(self.magic).as_slice(),
            &self.half(self.version.0),
            &self.half(self.version.1),
            &[0; 8],
            &self.word(262_144),
            &self.word(self.link_type),
        ]
        .concat();
        let mut parts = vec![header];
        parts.extend(packets.iter().map(|packet| self.record(packet)));
        parts
    }

    pub fn record(self, packet: &Packet) -> Vec<u8> {
        let unit = if self.magic == Classic::NANO.magic { 1 } else { 1000 };
        let mut record = Vec::new();
        record.extend(self.word((packet.time_ns / 1_000_000_000) as u32));
        record.extend(self.word((packet.time_ns % 1_000_000_000 / unit) as u32));
        record.extend(self.word(packet.data.len() as u32));
        record.extend(self.word(packet.len));
        if self.magic == Classic::MODIFIED.magic {
            record.extend([0xee; 8]);
        }
        record.extend(&packet.data);
        record
    }
}

/// An interface's ticks.
#[derive(Clone, Copy, Debug)]
pub enum Resolution {
    /// No option: microseconds.
    Default,
    /// 10 to so many ticks a second.
    Power10(u8),
}

/// A pcapng file.
pub struct Pcapng {
    pub big_endian: bool,
    pub blocks: Vec<Vec<u8>>,
}

impl Pcapng {
    pub fn new(big_endian: bool) -> Pcapng {
        Pcapng { big_endian, blocks: Vec::new() }
    }

    fn word(&self, word: u32) -> [u8; 4] {
        if self.big_endian { word.to_be_bytes() } else { word.to_le_bytes() }
    }

    fn half(&self, half: u16) -> [u8; 2] {
        if self.big_endian { half.to_be_bytes() } else { half.to_le_bytes() }
    }

    pub fn block(&mut self, kind: u32, body: &[u8]) -> &mut Pcapng {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let length = self.word(body.len() as u32 + 12);
        self.blocks.push([self.word(kind).as_slice(), &length, &body, &length].concat());
        self
    }

    fn options(&self, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (code, value) in options {
            bytes.extend(self.half(*code));
            bytes.extend(self.half(value.len() as u16));
            bytes.extend(*value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        if !options.is_empty() {
            bytes.extend([0; 4]);
        }
        bytes
    }

    pub fn section(&mut self) -> &mut Pcapng {
        let body = [self.word(0x1a2b_3c4d).as_slice(), &self.half(1), &self.half(0), &[0xff; 8]].concat();
        self.block(0x0a0d_0d0a, &body)
    }

    pub fn interface(
        &mut self,
        link_type: u16,
        snaplen: u32,
        resolution: Resolution,
        options: &[(u16, &[u8])],
    ) -> &mut Pcapng {
        let exponent;
        let mut all = options.to_vec();
        if let Resolution::Power10(power) = resolution {
            exponent = [power];
            all.push((9, &exponent));
        }
        let body =
            [self.half(link_type).as_slice(), &[0; 2], &self.word(snaplen), &self.options(&all)].concat();
        self.block(1, &body)
    }

    fn ticks(&self, resolution: Resolution, time_ns: u64) -> Vec<u8> {
        let ticks = match resolution {
            Resolution::Default => time_ns / 1000,
            Resolution::Power10(power) if power <= 9 => time_ns / 10u64.pow(9 - u32::from(power)),
            Resolution::Power10(power) => time_ns * 10u64.pow(u32::from(power) - 9),
        };
        [self.word((ticks >> 32) as u32), self.word(ticks as u32)].concat()
    }

    fn padded(data: &[u8]) -> Vec<u8> {
        let mut data = data.to_vec();
        data.resize(data.len().next_multiple_of(4), 0xaa);
        data
    }

    /// An enhanced packet block, with the flags option if there is one.
    pub fn enhanced(
        &mut self,
        interface: u32,
        resolution: Resolution,
        packet: &Packet,
        flags: Option<u32>,
    ) -> &mut Pcapng {
        let flags = flags.map(|flags| self.word(flags));
        let options: Vec<(u16, &[u8])> =
            flags.iter().flat_map(|flags| [(1, b"a comment".as_slice()), (2, flags)]).collect();
        let body = [
            self.word(interface).to_vec(),
            self.ticks(resolution, packet.time_ns),
            self.word(packet.data.len() as u32).to_vec(),
            self.word(packet.len).to_vec(),
            Pcapng::padded(&packet.data),
            self.options(&options),
        ];
        self.block(6, &body.concat())
    }

    /// The obsolete packet block, in microseconds.
    pub fn obsolete(&mut self, interface: u16, packet: &Packet) -> &mut Pcapng {
        let body = [
            self.half(interface).to_vec(),
            self.half(99).to_vec(),
            self.ticks(Resolution::Default, packet.time_ns),
            self.word(packet.data.len() as u32).to_vec(),
            self.word(packet.len).to_vec(),
            Pcapng::padded(&packet.data),
        ];
        self.block(2, &body.concat())
    }

    pub fn simple(&mut self, packet: &Packet) -> &mut Pcapng {
        let body = [self.word(packet.len).to_vec(), Pcapng::padded(&packet.data)].concat();
        self.block(3, &body)
    }

    /// A block of a type that nobody knows.
    pub fn unknown(&mut self) -> &mut Pcapng {
        self.block(0x0bad_cafe, b"whatever")
    }
}
