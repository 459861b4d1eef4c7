//! Frames for the hash policies, made from a seed: what the kernel treats in a
//! way of its own, whole, cut off and broken.

/// A frame, and what a bond does with it.
#[derive(Debug)]
pub struct Frame {
    /// What it was made as.
    pub kind: &'static str,
    /// Bytes without the tag below.
    pub bytes: Vec<u8>,
    /// Outermost tag, where it is beside the frame.
    pub tag: Option<u16>,
    /// Slaves of the bond, 1 to 8.
    pub slaves: u8,
}

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// One frame.
pub fn frame(random: &mut Random) -> Frame {
    let (kind, ethertype, payload) = network(random);
    let mut bytes = random.bytes(12);
    let mut tag = None;
    match random.below(10) {
        0 | 1 => tag = Some(random.next() as u16),
        2 => bytes.extend(tag_bytes(random)),
        // Two tags, the outer one beside the frame or in it.
        3 => {
            tag = Some(random.next() as u16);
            bytes.extend(tag_bytes(random));
        }
        4 => {
            bytes.extend(tag_bytes(random));
            bytes.extend(tag_bytes(random));
            if random.one_in(3) {
                bytes.extend(tag_bytes(random));
            }
        }
        _ => {}
    }
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(payload);
    if random.one_in(12) {
        bytes.truncate(random.below(bytes.len() as u64 + 1) as usize);
    }
    if random.one_in(12) {
        for _ in 0..=random.below(4) {
            if !bytes.is_empty() {
                let place = random.below(bytes.len() as u64) as usize;
                bytes[place] = random.next() as u8;
            }
        }
    }
    Frame { kind, bytes, tag, slaves: 1 + random.below(8) as u8 }
}

fn tag_bytes(random: &mut Random) -> Vec<u8> {
    let kind: u16 = random.of(&[0x8100, 0x8100, 0x88a8, 0x9100]);
    [kind.to_be_bytes().to_vec(), random.bytes(2)].concat()
}

/// What is behind Ethernet and tags: kind, ethertype, bytes.
fn network(random: &mut Random) -> (&'static str, u16, Vec<u8>) {
    match random.below(20) {
        0..=2 => ("TCP or UDP, IPv4", 0x0800, plain(random, false)),
        3..=5 => ("TCP or UDP, IPv6", 0x86dd, plain(random, true)),
        6 => {
            let transport = random.bytes(24);
            let offset = random.of(&[0x2000, 0x2001, 0x0001, 0x1fff, 0x4000, 0x8000]);
            let protocol = random.of(&[1, 6, 17, 50]);
            ("fragment, IPv4", 0x0800, ipv4(random, protocol, offset, &transport))
        }
        7 => ("extension headers", 0x86dd, extended(random)),
        8 => echo(random),
        9 | 10 => icmp_error(random),
        11 | 12 => gre(random),
        13 => {
            let (protocol, inner) = tunnelled(random);
            let v6 = random.one_in(2);
            ("IPIP and 6in4", family(v6), ip(random, v6, protocol, &inner))
        }
        14 | 15 => {
            let protocol = random.of(&[50, 51, 132, 33, 136, 137, 115, 2, 0, 44]);
            let (v6, transport) = (random.one_in(2), random.bytes(24));
            ("other protocols", family(v6), ip(random, v6, protocol, &transport))
        }
        16 => {
            let ethertype = random.of(&[0x0806, 0x8035, 0x8847, 0x8848, 0x88f7, 0x8906]);
            let length = random.of(&[28, 46, 33, 34, 37, 38]);
            ("ARP and the like", ethertype, random.bytes(length))
        }
        17 => pppoe(random),
        18 => {
            let ethertype = random.of(&[0x8809, 0x88cc, 0x0026, 0x9000, 0x88b5]);
            ("not IP", ethertype, random.bytes(46))
        }
        _ => {
            let (v6, transport) = (random.one_in(2), random.bytes(2));
            let protocol = random.of(&[6, 17, 1, 58, 51, 47, 43]);
            ("cut behind IP", family(v6), ip(random, v6, protocol, &transport))
        }
    }
}

fn family(v6: bool) -> u16 {
    if v6 { 0x86dd } else { 0x0800 }
}

fn ip(random: &mut Random, v6: bool, protocol: u8, payload: &[u8]) -> Vec<u8> {
    if v6 { ipv6(random, protocol, payload) } else { ipv4(random, protocol, 0, payload) }
}

/// Header lengths of 5 to 15 words, rarely an impossible one.
fn ipv4(random: &mut Random, protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let words = match random.below(20) {
        0 => random.below(5) as u8,
        1 | 2 => 5 + random.below(11) as u8,
        _ => 5,
    };
    let mut header = random.bytes(usize::from(words.max(5)) * 4);
    header[0] = 0x40 | words;
    header[6..8].copy_from_slice(&fragment.to_be_bytes());
    header[9] = protocol;
    [&header, payload].concat()
}

fn ipv6(random: &mut Random, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = random.bytes(40);
    (header[0], header[6]) = (0x60, protocol);
    [&header, payload].concat()
}

fn plain(random: &mut Random, v6: bool) -> Vec<u8> {
    let (protocol, transport) = (random.of(&[6, 17]), random.bytes(20));
    ip(random, v6, protocol, &transport)
}

/// IPv6 with up to 20 extension headers, fragments among them.
fn extended(random: &mut Random) -> Vec<u8> {
    let last = random.of(&[6, 17, 58, 50, 47, 4, 59]);
    let count = if random.one_in(8) { 12 + random.below(9) } else { 1 + random.below(3) };
    let mut kinds: Vec<u8> = (0..count).map(|_| random.of(&[0, 43, 60, 60, 0, 135])).collect();
    if random.one_in(4) {
        let place = random.below(count) as usize;
        kinds[place] = 44;
    }
    kinds.push(last);
    let mut payload = Vec::new();
    for pair in kinds.windows(2) {
        let length = if pair[0] == 44 { random.next() as u8 } else { random.below(2) as u8 };
        let mut header = random.bytes(if pair[0] == 44 { 8 } else { usize::from(length) * 8 + 8 });
        (header[0], header[1]) = (pair[1], length);
        payload.extend(header);
    }
    payload.extend(random.bytes(24));
    ipv6(random, kinds[0], &payload)
}

fn echo(random: &mut Random) -> (&'static str, u16, Vec<u8>) {
    let mut icmp = random.bytes(24);
    let v6 = random.one_in(2);
    icmp[0] = if v6 { random.of(&[128, 129, 8, 135, 136]) } else { random.of(&[8, 0, 13, 14, 17, 9]) };
    if random.one_in(4) {
        icmp[4..6].fill(0);
    }
    // The kernel does not ask whether the protocol is its family's.
    let protocol = if v6 != random.one_in(10) { 58 } else { 1 };
    ("echo", family(v6), ip(random, v6, protocol, &icmp))
}

fn icmp_error(random: &mut Random) -> (&'static str, u16, Vec<u8>) {
    let v6 = random.one_in(2);
    let kind = if v6 { random.of(&[1, 2, 3, 4]) } else { random.of(&[3, 4, 5, 11, 12]) };
    let transport = random.bytes(8);
    let quoted = match random.below(6) {
        0 if !v6 => ipv4(random, 17, 0x2000, &transport),
        // Of the other family, which is read as if it were of this one.
        1 => ip(random, !v6, 6, &transport),
        2 => random.bytes(12),
        _ => {
            let protocol = random.of(&[6, 17, 1, 58, 50, 51, 44]);
            ip(random, v6, protocol, &transport)
        }
    };
    let mut icmp = random.bytes(8);
    icmp[0] = kind;
    icmp.extend(quoted);
    ("ICMP error", family(v6), ip(random, v6, if v6 { 58 } else { 1 }, &icmp))
}

/// A packet in a packet: its protocol number and bytes.
fn tunnelled(random: &mut Random) -> (u8, Vec<u8>) {
    let v6 = random.one_in(2);
    let inner = match random.below(6) {
        0 => {
            let (protocol, inmost) = if random.one_in(2) { tunnelled(random) } else { (6, random.bytes(20)) };
            ip(random, v6, protocol, &inmost)
        }
        1 if !v6 => {
            let transport = random.bytes(20);
            ipv4(random, 17, 0x0010, &transport)
        }
        2 if v6 => extended(random),
        3 => {
            let mut icmp = random.bytes(16);
            icmp[0] = random.of(&[8, 128, 3]);
            ip(random, v6, if v6 { 58 } else { 1 }, &icmp)
        }
        _ => plain(random, v6),
    };
    (if v6 { 41 } else { 4 }, inner)
}

fn gre(random: &mut Random) -> (&'static str, u16, Vec<u8>) {
    let (protocol, inner) = tunnelled(random);
    let inner_type: u16 = if protocol == 41 { 0x86dd } else { 0x0800 };
    let mut flags = random.of(&[0u16, 0x8000, 0x2000, 0x1000, 0xb000, 0x3000, 0x0080]);
    let mut header = Vec::new();
    let (carried, inside) = match random.below(8) {
        // PPTP, or what is no PPTP though it says version 1.
        0 => {
            flags |= 1 | if random.one_in(4) { 0 } else { 0x2000 };
            let ppp: u16 = random.of(&[0x0021, 0x0057, 0xc021]);
            (0x880b, [&[0xff, 3][..], &ppp.to_be_bytes(), &inner].concat())
        }
        1 | 2 => {
            let mut ethernet = random.bytes(12);
            if random.one_in(3) {
                ethernet.extend(tag_bytes(random));
            }
            ethernet.extend(random.of(&[inner_type, inner_type, 0x0806]).to_be_bytes());
            (0x6558, [ethernet, inner].concat())
        }
        3 => {
            flags |= random.of(&[0x4000, 2, 7]);
            (inner_type, inner)
        }
        4 => (random.of(&[0x8847, 0x0806, 0x88b5]), inner),
        _ => (inner_type, inner),
    };
    header.extend(flags.to_be_bytes());
    header.extend(u16::to_be_bytes(carried));
    for (flag, bytes) in [(0x8000, 4), (0x2000, 4), (0x1000, 4)] {
        if flags & flag != 0 {
            header.extend(random.bytes(bytes));
        }
    }
    if flags & 1 != 0 && flags & 0x0080 != 0 {
        header.extend(random.bytes(4));
    }
    header.extend(inside);
    let v6 = random.one_in(4);
    ("GRE", family(v6), ip(random, v6, 47, &header))
}

fn pppoe(random: &mut Random) -> (&'static str, u16, Vec<u8>) {
    let (protocol, inner) = tunnelled(random);
    let number: u8 = if protocol == 41 { 0x57 } else { 0x21 };
    let mut header = vec![random.of(&[0x11, 0x11, 0x11, 0x11, 0x12]), random.of(&[0, 0, 0, 0, 9])];
    header.extend(random.bytes(4));
    match random.below(6) {
        // Compressed to one byte.
        0 => header.push(number),
        1 => header.extend(random.of(&[0x0281_u16, 0x0283, 0xc021, 0x8021, 0x0020]).to_be_bytes()),
        _ => header.extend([0, number]),
    }
    header.extend(inner);
    ("PPPoE", 0x8864, header)
}
