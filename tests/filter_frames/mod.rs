//! Frames for the filter tests: every kind of header that the expressions of
//! fixtures/filters speak of, mixed by a seeded generator. Each frame ends in
//! MAGIC and its number, so that it is known again behind a socket.
#![allow(dead_code)] // each test program uses its part

/// Bytes before the number at the end of every frame.
pub const MAGIC: [u8; 2] = [0xf1, 0x7e];

/// xorshift64*: a test needs the same frames everywhere, no more.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }
    pub fn below(&mut self, n: u32) -> u32 {
        self.next() % n
    }
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize]
    }
}

const PORTS: [u16; 14] = [20, 21, 22, 53, 80, 80, 443, 443, 1234, 6081, 8000, 8080, 40000, 1023];
const V4: [[u8; 4]; 8] = [
    [10, 0, 0, 1],
    [10, 0, 0, 2],
    [10, 0, 0, 255],
    [192, 168, 1, 1],
    [198, 18, 0, 7],
    [224, 0, 0, 1],
    [255, 255, 255, 255],
    [0, 0, 0, 0],
];
const V6: [[u8; 16]; 4] = [
    [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
];

/// Transport header and payload, and the protocol number.
fn transport(r: &mut Random, six: bool) -> (u8, Vec<u8>) {
    let ports = [r.pick(&PORTS), r.pick(&PORTS)].map(u16::to_be_bytes).concat();
    let mut payload: Vec<u8> = (0..r.pick(&[0, 1, 8, 40, 600, 1200])).map(|_| r.next() as u8).collect();
    let (protocol, mut header) = match r.below(12) {
        0..5 => {
            let flags = r.pick(&[0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14]);
            let options = r.pick(&[0u8, 12]);
            let mut h = [&ports[..], &[1, 2, 3, 4, 5, 6, 7, 8, (20 + options) << 2, flags]].concat();
            h.extend([0xff, 0xff, 0, 0, 0, 0]);
            h.extend(vec![1; options.into()]);
            if r.below(3) == 0 {
                payload.splice(0..0, *b"GET / HTTP/1.1");
            }
            (6, h)
        }
        5..8 => {
            let mut h = [&ports[..], &(8 + payload.len() as u16).to_be_bytes(), &[0, 0]].concat();
            if r.below(4) == 0 {
                h[2..4].copy_from_slice(&6081u16.to_be_bytes());
                let (inner, vni) = (network(r, 1), r.pick(&[0x0b, 0x0c]));
                let ethertype = if inner[0] >> 4 == 6 { 0x86ddu16 } else { 0x800 };
                let ethernet = r.below(2) == 0;
                let kind = if ethernet { 0x6558u16 } else { ethertype };
                h.extend([&[0, 0][..], &kind.to_be_bytes(), &[0, 0, vni, 0]].concat());
                if ethernet {
                    h.extend([&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &ethertype.to_be_bytes()].concat());
                }
                payload = inner;
            }
            (17, h)
        }
        8 if six => (58, vec![r.pick(&[128, 129, 135, 136]), 0, 0, 0, 0, 0, 0, 0]),
        8 => (1, vec![r.pick(&[8, 0, 3, 11]), 0, 0, 0, 0, 0, 0, 1]),
        9 => (132, [&ports[..], &[0; 8]].concat()),
        10 => (51, [&[6, 4, 0, 0][..], &[0; 20], &ports, &[0; 16]].concat()),
        _ => (r.pick(&[2, 103, 112, 50, 47]), vec![r.next() as u8; 8]),
    };
    header.extend(payload);
    (protocol, header)
}

/// An IPv4 or IPv6 packet.
fn network(r: &mut Random, deep: u8) -> Vec<u8> {
    let six = r.below(3) == 0;
    let (mut protocol, mut rest) = if deep < 3 && r.below(3) > 0 || deep == 0 {
        transport(r, six)
    } else {
        (6, [&[0, 80, 4, 210][..], &[0; 8], &[0x50, 2], &[0; 6]].concat())
    };
    if six {
        for _ in 0..r.pick(&[0, 0, 0, 1, 2]) {
            let kind = r.pick(&[0, 43, 44, 60]);
            let header = [protocol, 0, 0, 0, 0, 0, 0, 0];
            rest.splice(0..0, header);
            protocol = kind;
        }
        let mut h = vec![0x60, 0, 0, 0];
        h.extend((rest.len() as u16).to_be_bytes());
        h.extend([protocol, r.pick(&[1, 64, 255])]);
        h.extend(r.pick(&V6));
        h.extend(r.pick(&V6));
        [h, rest].concat()
    } else {
        let options = r.pick(&[0u8, 0, 0, 4]);
        let mut h = vec![0x45 + options / 4, r.pick(&[0, 6, 200])];
        h.extend((20 + u16::from(options) + rest.len() as u16).to_be_bytes());
        h.extend([0, 1]);
        h.extend(r.pick(&[[0x40, 0], [0x40, 0], [0, 0], [0x20, 0], [0, 5]]));
        h.extend([r.pick(&[0, 1, 4, 31, 40, 64]), protocol, 0, 0]);
        h.extend(r.pick(&V4));
        h.extend(r.pick(&V4));
        h.extend(vec![1; options.into()]);
        [h, rest].concat()
    }
}

/// Ethertype and what follows.
fn body(r: &mut Random) -> Vec<u8> {
    let ip = |r: &mut Random| {
        let packet = network(r, 0);
        (if packet[0] >> 4 == 6 { 0x86ddu16 } else { 0x800 }, packet)
    };
    let label = |label: u32, bottom: u32| (label << 12 | bottom << 8 | 64).to_be_bytes();
    let (ethertype, payload) = match r.below(20) {
        0 | 1 => {
            let mut arp = vec![0, 1, 8, 0, 6, 4, 0, r.pick(&[1, 2])];
            arp.extend([2, 0, 0, 0, 0, 1]);
            arp.extend(r.pick(&V4));
            arp.extend([0; 6]);
            arp.extend(r.pick(&V4));
            (r.pick(&[0x806, 0x806, 0x8035]), arp)
        }
        2 => (
            38,
            [&r.pick(&[[0x42, 0x42, 3], [0xfe, 0xfe, 3], [0xe0, 0xe0, 3], [0xaa, 0xaa, 3]])[..], &[0; 35]]
                .concat(),
        ),
        3 => (
            r.pick(&[0x809b, 0x8137, 0x6003, 0x9000]),
            vec![10, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
        4 => (0x8847, [&label(r.pick(&[100, 100_000]), 1)[..], &network(r, 1)].concat()),
        5 => (0x8847, [&label(100_000, 0)[..], &label(r.pick(&[1024, 1025]), 1), &network(r, 1)].concat()),
        6 => {
            let packet = network(r, 1);
            let kind = if packet[0] >> 4 == 6 { [0, 0x57] } else { [0, 0x21] };
            let head = [0x11, 0, 0, r.pick(&[0x27, 0x28]), 0, packet.len() as u8];
            (r.pick(&[0x8864, 0x8864, 0x8863]), [&head[..], &kind, &packet].concat())
        }
        _ => ip(r),
    };
    [&ethertype.to_be_bytes()[..], &payload].concat()
}

/// `count` frames as they are on the wire, tags in place.
pub fn frames(seed: u64, count: u16) -> Vec<Vec<u8>> {
    let mut r = Random(seed);
    (0..count).map(|number| frame(&mut r, number)).collect()
}

fn frame(r: &mut Random, number: u16) -> Vec<u8> {
    let macs: [[u8; 6]; 5] =
        [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], [0xff; 6], [1, 0, 0x5e, 0, 0, 1], [2, 0, 0, 0, 0, 3]];
    let mut frame = [r.pick(&macs), r.pick(&[macs[0], macs[1], macs[4]])].concat();
    let tag = |tpid: u16, tci: u16| [tpid.to_be_bytes(), tci.to_be_bytes()].concat();
    frame.extend(match r.below(12) {
        0 => tag(0x8100, 100),
        1 => tag(0x8100, r.pick(&[300, 0x6000, 0x2064, 0])),
        2 => [tag(0x88a8, r.pick(&[100, 200])), tag(0x8100, 300)].concat(),
        3 => [tag(0x8100, r.pick(&[100, 200])), tag(0x8100, r.pick(&[300, 301]))].concat(),
        _ => Vec::new(),
    });
    frame.extend(body(r));
    if r.below(15) == 0 {
        // Cut short, as a broken sender or a snaplen leaves it, with whole tags.
        frame.truncate(26 + r.below(40) as usize);
    }
    if r.below(2) == 0 && frame.len() < 54 {
        frame.resize(54, 0);
    }
    frame.extend(MAGIC);
    frame.extend(number.to_be_bytes());
    frame
}

/// The number at the end of one of our frames.
pub fn number(frame: &[u8]) -> Option<u16> {
    let (rest, number) = frame.split_last_chunk::<2>()?;
    rest.ends_with(&MAGIC).then(|| u16::from_be_bytes(*number))
}

/// A classic pcap file, Ethernet, microseconds, our byte order.
pub fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 2 | 4 << 16, 0, 0, 262_144, 1u32] {
        file.extend(word.to_ne_bytes());
    }
    if cfg!(target_endian = "big") {
        file[4..8].copy_from_slice(&[0, 2, 0, 4]);
    }
    for frame in frames {
        for word in [1_700_000_000, 0, frame.len() as u32, frame.len() as u32] {
            file.extend(word.to_ne_bytes());
        }
        file.extend(frame);
    }
    file
}

/// Numbers of the frames in a pcap file of ours.
pub fn numbers_in(file: &[u8]) -> Vec<u16> {
    let mut numbers = Vec::new();
    let mut rest = file.get(24..).unwrap_or(&[]);
    while let Some(length) = rest.get(8..12) {
        let end = 16 + u32::from_ne_bytes(length.try_into().unwrap()) as usize;
        numbers.push(number(&rest[16..end]).expect("a frame of ours"));
        rest = &rest[end..];
    }
    numbers
}

/// A line of fixtures/filters/programs.txt: the expression, and tcpdump's
/// program or sentence.
pub struct Fixture {
    pub expression: String,
    pub answer: Result<Vec<fullcount::capture::filter::Instruction>, String>,
}

/// All of them.
pub fn fixtures() -> Vec<Fixture> {
    let text = include_str!("../../fixtures/filters/programs.txt");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines
        .chunks_exact(2)
        .map(|pair| Fixture {
            expression: pair[0].strip_prefix("= ").expect("an expression").into(),
            answer: match pair[1].strip_prefix("! ") {
                Some(sentence) => Err(sentence.into()),
                None => Ok(program(pair[1], ';')),
            },
        })
        .collect()
}

/// The program that `tcpdump -ddd` prints.
pub fn program(text: &str, separator: char) -> Vec<fullcount::capture::filter::Instruction> {
    let mut lines = text.trim().split(separator);
    let count: usize = lines.next().unwrap().parse().expect("a count");
    let program: Vec<_> = lines
        .map(|line| {
            let n: Vec<u32> = line.split(' ').map(|n| n.parse().unwrap()).collect();
            let [code, jt, jf, k] = n[..] else { panic!("four numbers: {line}") };
            fullcount::capture::filter::Instruction { code: code as u16, jt: jt as u8, jf: jf as u8, k }
        })
        .collect();
    assert_eq!(program.len(), count);
    program
}

/// Whether a program can be started; says loudly that a test is left out where not.
pub fn have(program: &str) -> bool {
    let have = std::process::Command::new(program).arg("--version").output().is_ok();
    if !have {
        eprintln!("SKIPPED: {program} is not installed");
    }
    have
}

/// Whether libpcap can be loaded; says loudly where not.
pub fn have_libpcap() -> bool {
    match fullcount::capture::sys::libpcap::library() {
        Ok(_) => true,
        Err(why) => {
            eprintln!("SKIPPED: no libpcap: {why}");
            false
        }
    }
}
