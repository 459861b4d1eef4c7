//! The decoder against frames whose makers know what is in them, against every
//! prefix of those, against noise, and against itself: the straight line and
//! the full way say the same; a super-frame is what its segments are.

use super::*;
use crate::capture::{LinkType, VlanTag};
use proptest::prelude::*;

/// How a frame begins, and what stands before its IP header.
#[derive(Clone, Debug)]
struct Below {
    link_type: LinkType,
    stripped: Option<VlanTag>,
    /// Tags in the frame: type and TCI.
    tags: Vec<(u16, u16)>,
    tunnel: Tunnel,
}

#[derive(Clone, Debug)]
enum Tunnel {
    None,
    /// So many labels.
    Mpls(usize),
    Pppoe,
}

#[derive(Clone, Debug)]
struct Above {
    v6: bool,
    source: (u128, u16),
    destination: (u128, u16),
    /// IPv4: words of options. IPv6: extension headers, by number and words of 8 bytes.
    options: usize,
    extensions: Vec<(u8, u8)>,
    protocol: u8,
    flags: u8,
    /// Sequence number, acknowledgement; the window is the low half of their sum.
    numbers: (u32, u32),
    /// TCP options in words, the first of which is an MSS.
    tcp_options: usize,
    mss: u16,
    payload: usize,
    identification: u32,
}

/// What is known of a frame because it was made so.
#[derive(Clone, Debug)]
struct Made {
    data: Vec<u8>,
    link_bytes: usize,
    ip_header: usize,
    /// Transport header, 0 where there is none.
    transport: usize,
    ids: Vec<u16>,
}

/// A piece of a datagram: offset in bytes, bytes, and whether more follow.
type Piece = (usize, usize, bool);

impl Below {
    fn link(&self, ethertype: u16) -> (Vec<u8>, Vec<u16>) {
        let chained = matches!(self.link_type, LinkType::Ethernet | LinkType::LinuxSll | LinkType::LinuxSll2);
        let mut chain: Vec<u8> = Vec::new();
        let mut types = vec![];
        let mut bodies: Vec<Vec<u8>> = Vec::new();
        for (kind, tci) in &self.tags {
            types.push(*kind);
            bodies.push(tci.to_be_bytes().to_vec());
        }
        let mut behind = Vec::new();
        match self.tunnel {
            Tunnel::None => types.push(ethertype),
            Tunnel::Mpls(labels) => {
                types.push(0x8847);
                for label in 1..=labels {
                    let last = u8::from(label == labels);
                    behind.extend([0, 1, 0x10 | last, 64]);
                }
            }
            Tunnel::Pppoe => {
                types.push(0x8864);
                let inner: u16 = if ethertype == 0x86dd { 0x0057 } else { 0x0021 };
                behind.extend([0x11, 0, 0, 1, 0, 0]);
                behind.extend(inner.to_be_bytes());
            }
        }
        for (body, kind) in bodies.iter().zip(&types[1..]) {
            chain.extend(body);
            chain.extend(kind.to_be_bytes());
        }
        chain.extend(behind);
        let first = types[0].to_be_bytes();
        let mut head = Vec::new();
        match self.link_type {
            LinkType::Ethernet => head.extend([&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], &first[..]].concat()),
            LinkType::LinuxSll => {
                head.extend([0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]);
                head.extend(first);
            }
            LinkType::LinuxSll2 => {
                head.extend(first);
                head.extend([0, 0, 0, 0, 0, 7, 0, 1, 4, 6, 2, 0, 0, 0, 0, 1, 0, 0]);
            }
            LinkType::Null => head.extend(if ethertype == 0x86dd { [30, 0, 0, 0] } else { [2, 0, 0, 0] }),
            LinkType::Loop => head.extend(if ethertype == 0x86dd { [0, 0, 0, 24] } else { [0, 0, 0, 2] }),
            LinkType::RawIp | LinkType::Other(_) => {}
        }
        let mut ids: Vec<u16> = Vec::new();
        if chained {
            head.extend(chain);
            ids.extend(self.stripped.map(|tag| tag.tci & 0x0fff));
            ids.extend(self.tags.iter().map(|(_, tci)| tci & 0x0fff));
            ids.retain(|&id| id != 0);
            ids.truncate(4);
        }
        (head, ids)
    }
}

impl Above {
    fn has_ports(&self) -> bool {
        [6, 17, 33, 132, 136].contains(&self.protocol)
    }

    fn impossible(&self) -> bool {
        let [fin, syn, rst, ack] = [1, 2, 4, 16].map(|bit| self.flags & bit != 0);
        syn && (fin || rst) || !(syn || rst || ack)
    }

    /// Transport header and payload; bytes of the header.
    fn segment(&self) -> (Vec<u8>, usize) {
        let mut bytes = Vec::new();
        if self.has_ports() {
            bytes.extend(self.source.1.to_be_bytes());
            bytes.extend(self.destination.1.to_be_bytes());
        }
        match self.protocol {
            6 => {
                bytes.extend(self.numbers.0.to_be_bytes());
                bytes.extend(self.numbers.1.to_be_bytes());
                bytes.extend([(5 + self.tcp_options as u8) << 4, self.flags]);
                bytes.extend((self.numbers.0.wrapping_add(self.numbers.1) as u16).to_be_bytes());
                bytes.extend([0; 4]);
                for word in 0..self.tcp_options {
                    let [high, low] = self.mss.to_be_bytes();
                    bytes.extend(if word == 0 { [2, 4, high, low] } else { [1; 4] });
                }
            }
            17 | 136 => bytes.extend([((8 + self.payload) >> 8) as u8, (8 + self.payload) as u8, 0, 0]),
            33 | 132 => bytes.extend([0; 8]),
            _ => {}
        }
        let header = bytes.len();
        bytes.extend((0..self.payload).map(|at| at as u8));
        (bytes, header)
    }

    /// The IP packet that carries `body`, and bytes of its headers.
    fn packet(&self, body: &[u8], piece: Piece, length_told: bool) -> (Vec<u8>, usize) {
        let (offset, bytes, more) = piece;
        let body = &body[offset..offset + bytes];
        let mut packet = Vec::new();
        if !self.v6 {
            let header = 20 + 4 * self.options;
            let length = if length_told { (header + body.len()) as u16 } else { 0 };
            packet.extend([0x45 + self.options as u8, 0]);
            packet.extend(length.to_be_bytes());
            packet.extend((self.identification as u16).to_be_bytes());
            packet.extend(
                ((offset / 8) as u16 | if more { 0x2000 } else { 0x4000 * u16::from(offset == 0) })
                    .to_be_bytes(),
            );
            packet.extend([64, self.protocol, 0, 0]);
            packet.extend((self.source.0 as u32).to_be_bytes());
            packet.extend((self.destination.0 as u32).to_be_bytes());
            packet.extend(std::iter::repeat_n(1, 4 * self.options));
            packet.extend(body);
            return (packet, header);
        }
        let mut chain = self.extensions.clone();
        if more || offset > 0 {
            chain.push((44, 0));
        }
        let mut walked = Vec::new();
        let numbers: Vec<u8> = chain.iter().map(|one| one.0).chain([self.protocol]).collect();
        for ((kind, words), next) in chain.iter().zip(&numbers[1..]) {
            let mut header = match kind {
                44 => {
                    let mut header = vec![*next, 0];
                    header.extend((offset as u16 | u16::from(more)).to_be_bytes());
                    header.extend(self.identification.to_be_bytes());
                    header
                }
                // AH counts words of four bytes, less two (RFC 4302 §2.2).
                51 => vec![*next, 2 * (words + 1)],
                // As BIG TCP has it: a jumbogram (RFC 2675 §2).
                0 if !length_told => {
                    let length = (8 + body.len()) as u32;
                    [&[*next, 0, 0xc2, 4], &length.to_be_bytes()[..]].concat()
                }
                _ => vec![*next, *words],
            };
            let bytes = match kind {
                44 => 8,
                51 => 4 * (2 * (*words as usize + 1) + 2),
                _ => 8 * (*words as usize + 1),
            };
            header.resize(bytes, 0);
            walked.extend(header);
        }
        let length = if length_told { (walked.len() + body.len()) as u16 } else { 0 };
        packet.extend([0x60, 0, 0, 0]);
        packet.extend(length.to_be_bytes());
        packet.extend([numbers[0], 64]);
        packet.extend(self.source.0.to_be_bytes());
        packet.extend(self.destination.0.to_be_bytes());
        packet.extend(&walked);
        packet.extend(body);
        (packet, 40 + walked.len())
    }
}

fn whole(above: &Above) -> Piece {
    (0, above.segment().0.len(), false)
}

fn make(below: &Below, above: &Above, piece: Piece, length_told: bool) -> Made {
    let (body, transport) = above.segment();
    let (packet, ip_header) = above.packet(&body, piece, length_told);
    let (mut data, ids) = below.link(if above.v6 { 0x86dd } else { 0x0800 });
    let link_bytes = data.len();
    data.extend(packet);
    Made { data, link_bytes, ip_header, transport, ids }
}

fn frame<'a>(below: &Below, data: &'a [u8], len: usize) -> Frame<'a> {
    Frame {
        data,
        time_ns: 1_700_000_000_000_000_000,
        len: len as u32,
        link: 3,
        link_type: below.link_type,
        direction: Some(Direction::Tx),
        stripped_tag: below.stripped,
        gso_size: 0,
    }
}

fn decoder() -> Decoder {
    let mut decoder = Decoder::new(Vec::new(), VlanStacks::default());
    decoder.set_link(3, LinkContext { group: 5, ..LinkContext::default() });
    decoder
}

fn end_of(above: &Above, (address, port): (u128, u16)) -> End {
    let address = if above.v6 { address } else { address & 0xffff_ffff };
    End { address: [(address >> 64) as u64, address as u64], port: if above.has_ports() { port } else { 0 } }
}

fn below() -> impl Strategy<Value = Below> {
    let tag = (prop::sample::select(vec![0x8100u16, 0x88a8, 0x9100, 0x9200]), any::<u16>());
    let tunnel = prop_oneof![
        3 => Just(Tunnel::None),
        1 => (1usize..4).prop_map(Tunnel::Mpls),
        1 => Just(Tunnel::Pppoe),
    ];
    let link_type = prop_oneof![
        6 => Just(LinkType::Ethernet),
        1 => Just(LinkType::LinuxSll),
        1 => Just(LinkType::LinuxSll2),
        1 => Just(LinkType::RawIp),
        1 => Just(LinkType::Null),
        1 => Just(LinkType::Loop),
    ];
    let stripped = prop::option::weighted(0.3, tag.clone().prop_map(|(tpid, tci)| VlanTag { tpid, tci }));
    (link_type, stripped, prop::collection::vec(tag, 0..4), tunnel, any::<bool>()).prop_map(
        |(link_type, stripped, tags, tunnel, simple)| {
            let simple = simple && link_type == LinkType::Ethernet;
            Below {
                link_type,
                stripped: stripped.filter(|_| link_type == LinkType::Ethernet && !simple),
                tags: if simple { Vec::new() } else { tags },
                tunnel: if simple { Tunnel::None } else { tunnel },
            }
        },
    )
}

fn above() -> impl Strategy<Value = Above> {
    let protocol = prop::sample::select(vec![6u8, 6, 6, 17, 17, 1, 58, 132, 33, 136, 47, 89]);
    let flags = prop_oneof![4 => prop::sample::select(vec![0x02u8, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14]), 1 => any::<u8>()];
    let extension = (prop::sample::select(vec![0u8, 43, 60, 51, 135]), 0u8..4);
    (
        (
            any::<bool>(),
            any::<(u128, u16)>(),
            any::<(u128, u16)>(),
            prop_oneof![3 => Just(0usize), 1 => 1usize..11],
        ),
        prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(extension, 0..5)],
        (protocol, flags, any::<(u32, u32)>(), 0usize..11, any::<u16>(), 0usize..300, any::<u32>()),
    )
        .prop_map(|((v6, source, destination, options), extensions, rest)| Above {
            v6,
            source,
            destination,
            options,
            extensions,
            protocol: rest.0,
            flags: rest.1,
            numbers: rest.2,
            tcp_options: rest.3,
            mss: rest.4,
            payload: rest.5,
            identification: rest.6,
        })
}

/// Key, direction and VLANs are those of the maker.
fn same_ends(decoder: &Decoder, packet: &Packet, above: &Above, made: &Made) -> Result<(), TestCaseError> {
    let (source, destination) = (end_of(above, above.source), end_of(above, above.destination));
    let (key, from, to) = (packet.key, packet.reversed as usize, 1 - packet.reversed as usize);
    prop_assert_eq!((key.end(from), key.end(to)), (source, destination));
    prop_assert!(key.end(0) <= key.end(1), "ends in their order");
    prop_assert_eq!((key.is_ipv6(), key.protocol(), key.group()), (above.v6, above.protocol, 5));
    prop_assert_eq!(decoder.stacks.ids(key.vlan()), made.ids.clone());
    prop_assert_eq!(packet.lane, Lane::new(3, Direction::Tx));
    prop_assert_eq!(packet.ethertype, 0);
    Ok(())
}

fn kind_of(above: &Above) -> (Class, Kind) {
    match above.protocol {
        6 if above.impossible() => (Class::Tcp, Kind::TcpInert),
        6 => (Class::Tcp, Kind::Tcp),
        17 => (Class::Udp, Kind::Udp),
        136 => (Class::OtherIp, Kind::Udp),
        1 => (Class::Icmp, Kind::Other),
        58 => (Class::Icmp6, Kind::Other),
        _ => (Class::OtherIp, Kind::Other),
    }
}

/// A place in which another packet was, of which nothing may be left.
fn used() -> Packet {
    Packet {
        key: FlowKey { words: [u64::MAX; 5] },
        time_ns: 1,
        bytes: 2,
        frame_bytes: 3,
        ip_bytes: 4,
        line_bytes: 5,
        payload: 6,
        segments: 7,
        header_bytes: 8,
        link_bytes: 9,
        gso_size: 10,
        sequence: 11,
        acknowledgement: 12,
        window: 13,
        mss: 14,
        stamp: 15,
        stamp_echo: 16,
        tcp_flags: 17,
        tcp_option_bytes: 18,
        first_byte: 19,
        has_stamps: true,
        lane: Lane(20),
        reversed: true,
        class: Class::OtherIp,
        kind: Kind::Untracked(Reason::SecondCopy),
        ethertype: 21,
        maybe_super: true,
        truncated: true,
        estimated: true,
        fragment: true,
        has_head: true,
        // Nobody reads it where it is not kept.
        head: [0; HEAD_BYTES],
    }
}

/// Both ways of the decoder on one frame, where the straight line takes it.
fn both_ways(frame: &Frame<'_>) -> Result<bool, TestCaseError> {
    let lane = Lane::new(frame.link, frame.direction.unwrap_or(Direction::Rx));
    let (mut straight, mut full) = (used(), Packet::default());
    let mut decoder = decoder();
    let context = decoder.links[frame.link as usize].context.clone();
    let taken = plain(frame, &mut straight, &context, lane);
    decoder.decode_fully(frame, &mut full, lane);
    if !taken {
        self::decoder().decode_fully(frame, &mut straight, lane);
    }
    prop_assert_eq!(format!("{straight:?}"), format!("{full:?}"), "taken: {}", taken);
    Ok(taken)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    /// What was built is what is read, padding or not.
    #[test]
    fn a_packet_is_what_its_maker_says(below in below(), above in above(), padding in 0usize..50) {
        let mut made = make(&below, &above, whole(&above), true);
        let ip_bytes = made.data.len() - made.link_bytes;
        made.data.resize(made.data.len() + padding, 0xaa);
        let mut decoder = decoder();
        let packet = decoder.decode(&frame(&below, &made.data, made.data.len()));
        same_ends(&decoder, &packet, &above, &made)?;
        prop_assert_eq!((packet.class, packet.kind), kind_of(&above));
        let tag = if below.stripped.is_some() { 4 } else { 0 };
        prop_assert_eq!(packet.bytes as usize, made.data.len() + tag);
        prop_assert_eq!(packet.frame_bytes, packet.bytes);
        prop_assert_eq!(packet.line_bytes, packet.bytes.max(60) + 24);
        prop_assert_eq!(packet.ip_bytes as usize, ip_bytes);
        prop_assert_eq!(packet.link_bytes as usize, made.link_bytes + tag);
        let headers = made.link_bytes + tag + made.ip_header + made.transport;
        prop_assert_eq!(packet.header_bytes as usize, headers);
        prop_assert_eq!((packet.segments, packet.gso_size, packet.fragment, packet.truncated), (1, 0, false, false));
        if above.protocol == 6 {
            prop_assert_eq!((packet.sequence, packet.acknowledgement), above.numbers);
            prop_assert_eq!(packet.window, above.numbers.0.wrapping_add(above.numbers.1) as u16);
            prop_assert_eq!((packet.tcp_flags, packet.tcp_option_bytes as usize), (above.flags, 4 * above.tcp_options));
            let offered = above.flags & 2 != 0 && above.tcp_options > 0;
            prop_assert_eq!(packet.mss, if offered { above.mss } else { 0 });
            let none = above.flags & 4 != 0 || above.impossible();
            prop_assert_eq!(packet.payload as usize, if none { 0 } else { above.payload });
        } else if matches!(above.protocol, 17 | 136) {
            prop_assert_eq!(packet.payload as usize, above.payload);
        }
    }

    /// A frame that was cut says the same as the whole one, or less, never other.
    #[test]
    fn a_prefix_says_nothing_else(below in below(), above in above()) {
        let made = make(&below, &above, whole(&above), true);
        let len = made.data.len();
        let all = decoder().decode(&frame(&below, &made.data, len));
        let with_ip = made.link_bytes + made.ip_header;
        let with_ports = with_ip + if above.has_ports() { 4 } else { 0 };
        for cut in 0..len {
            let part = decoder().decode(&frame(&below, &made.data[..cut], len));
            prop_assert!(part.truncated);
            prop_assert_eq!((part.bytes, part.frame_bytes, part.line_bytes), (all.bytes, all.frame_bytes, all.line_bytes));
            prop_assert_eq!(part.lane, all.lane);
            // Without ports nothing is read behind the last extension header's number.
            let least = if above.has_ports() { with_ports } else { made.link_bytes + if above.v6 { 40 } else { made.ip_header } };
            prop_assert!(cut >= least || part.kind == Kind::Untracked(Reason::Truncated), "{} of {}", cut, len);
            prop_assert!(cut < with_ip || part.ip_bytes == all.ip_bytes);
            if cut < with_ports && part.kind == Kind::Untracked(Reason::Truncated) {
                continue;
            }
            prop_assert_eq!((part.key, part.reversed, part.class), (all.key, all.reversed, all.class));
            prop_assert_eq!((part.ip_bytes, part.link_bytes), (all.ip_bytes, all.link_bytes));
            // A segment whose flags were cut counts, and moves nothing.
            let flags_cut = above.protocol == 6 && cut < with_ip + 14;
            if flags_cut {
                prop_assert_eq!((part.kind, part.payload), (Kind::TcpInert, 0));
            } else {
                prop_assert_eq!((part.kind, part.payload, part.header_bytes), (all.kind, all.payload, all.header_bytes));
                prop_assert_eq!((part.sequence, part.acknowledgement, part.tcp_flags), (all.sequence, all.acknowledgement, all.tcp_flags));
            }
            let options_cut = cut < with_ip + made.transport;
            prop_assert!(part.mss == all.mss || options_cut && part.mss == 0);
        }
    }

    /// Pieces of a datagram have its ports, and its payload between them.
    #[test]
    fn fragments_have_their_datagrams_ports(below in below(), mut above in above(), size in 3usize..20, swapped: bool) {
        above.payload += 64;
        let (body, _) = above.segment();
        let size = 8 * size;
        let mut pieces: Vec<Piece> =
            (0..body.len()).step_by(size).map(|at| (at, size.min(body.len() - at), at + size < body.len())).collect();
        if pieces.len() < 2 {
            pieces = vec![(0, 64, true), (64, body.len() - 64, false)];
        }
        if swapped {
            pieces.swap(0, 1);
        }
        let mut decoder = decoder();
        let mut payload = 0;
        for (number, &piece) in pieces.iter().enumerate() {
            let made = make(&below, &above, piece, true);
            let packet = decoder.decode(&frame(&below, &made.data, made.data.len()));
            prop_assert_eq!(packet.ip_bytes as usize, made.ip_header + piece.1);
            prop_assert!(packet.fragment || matches!(packet.kind, Kind::Untracked(_)));
            if swapped && number == 0 && above.has_ports() {
                prop_assert_eq!(packet.kind, Kind::Untracked(Reason::FragmentWithoutFirst));
                payload += packet.payload as usize;
                continue;
            }
            same_ends(&decoder, &packet, &above, &made)?;
            if above.protocol == 6 && piece.0 > 0 {
                prop_assert_eq!((packet.kind, packet.payload), (Kind::TcpInert, 0));
            } else {
                prop_assert_eq!(packet.kind, kind_of(&above).1);
            }
            payload += packet.payload as usize;
        }
        if above.protocol == 17 {
            prop_assert_eq!(payload, above.payload);
        }
    }

    /// What the straight line takes, the full way reads the same; what it
    /// leaves, it leaves as it was. Also of frames with a byte changed or cut off.
    #[test]
    fn the_straight_line_and_the_full_way_agree(
        below in below(), above in above(), change in prop::option::of((0usize..80, any::<u8>())),
        cut in prop::option::weighted(0.3, 0usize..120), length_told: bool, gso_size in prop_oneof![3 => Just(0u16), 1 => any::<u16>()]
    ) {
        let mut made = make(&below, &above, whole(&above), length_told);
        let len = made.data.len();
        let taken = both_ways(&frame(&below, &made.data, len))?;
        let simple = below.link_type == LinkType::Ethernet && below.stripped.is_none() && below.tags.is_empty()
            && matches!(below.tunnel, Tunnel::None) && !above.v6 && matches!(above.protocol, 6 | 17)
            && made.ip_header == 20 && len >= 54;
        prop_assert_eq!(taken, simple && length_told);
        if let Some((at, byte)) = change && at < len {
            made.data[at] = byte;
        }
        made.data.truncate(cut.unwrap_or(len));
        both_ways(&Frame { gso_size, ..frame(&below, &made.data, len) })?;
    }

    /// Nothing in a frame, in no order, brings it down or makes it more than it is.
    #[test]
    fn noise_is_counted(
        below in below(), above in above(), noise in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..150,
        len: u32, other: u16, gso_size in prop_oneof![1 => Just(0u16), 2 => any::<u16>()], told in prop::option::of(any::<bool>()),
        rule in 0u8..3, second_copy: bool, from_file: bool
    ) {
        let mut made = make(&below, &above, whole(&above), true).data;
        let at = at.min(made.len());
        made.truncate(at + noise.len());
        made.resize(at + noise.len(), 0);
        made[at..].copy_from_slice(&noise);
        let rule = match rule {
            0 => DirectionRule::AsTold,
            1 => DirectionRule::Mac([2, 0, 0, 0, 0, 2]),
            _ => DirectionRule::Networks(vec![("128.0.0.0".parse().expect("an address"), 1)].into()),
        };
        let mut decoder = Decoder::new(Vec::new(), VlanStacks::default());
        decoder.set_link(3, LinkContext { group: 5, rule, second_copy, from_file, shares_load: second_copy });
        let types = [
            LinkType::Ethernet, LinkType::LinuxSll, LinkType::LinuxSll2, LinkType::RawIp, LinkType::Null,
            LinkType::Loop, LinkType::Other(other),
        ];
        for link_type in types {
            for (data, len) in [(&made[..], len), (&made[..], made.len() as u32), (&noise[..], len), (&noise[..], noise.len() as u32)] {
                let direction = told.map(|sent| if sent { Direction::Tx } else { Direction::Rx });
                let frame = Frame { link_type, gso_size, direction, ..frame(&below, data, len as usize) };
                let packet = decoder.decode(&frame);
                let tag = if below.stripped.is_some() { 4 } else { 0 };
                prop_assert_eq!(packet.frame_bytes, len.saturating_add(tag));
                prop_assert!(packet.segments >= 1 && packet.bytes >= packet.frame_bytes && packet.line_bytes >= packet.bytes);
                prop_assert!(packet.segments == 1 || gso_size > 0);
                prop_assert!(packet.segments > 1 || packet.bytes == packet.frame_bytes);
                prop_assert!(packet.payload <= packet.ip_bytes);
                prop_assert_eq!(packet.lane.link(), 3);
                prop_assert!(!second_copy || matches!(packet.kind, Kind::Untracked(_)));
                if let Some(direction) = direction {
                    prop_assert_eq!(packet.lane.direction(), direction);
                }
            }
        }
    }

    /// A super-frame counts as its segments do, made and read one by one.
    #[test]
    fn a_super_frame_is_its_segments(
        below in below(), mut above in above(), size in 1usize..3000, payload in 0usize..150_000, udp: bool, jumbo: bool
    ) {
        above.protocol = if udp { 17 } else { 6 };
        above.flags = 0x10;
        // As many segments as a card takes at most, and short enough to be quick.
        let payload = payload.min(200 * size);
        let with_headers = payload + 60 + 60 + 200;
        let length_told = with_headers < 65_536;
        // Beyond that it is BIG TCP, with or without a header of the kernel's own.
        prop_assume!(length_told || !udp);
        let on_the_wire = Above { extensions: if length_told { above.extensions.clone() } else { Vec::new() }, ..above.clone() };
        if !length_told && above.v6 {
            above.extensions = if jumbo { vec![(0, 0)] } else { Vec::new() };
        }
        above.payload = payload;
        let body = above.segment().0.len();
        let made = make(&below, &above, (0, body, false), length_told);
        let large = decoder().decode(&Frame { gso_size: size as u16, ..frame(&below, &made.data, made.data.len()) });
        let mut segments = Vec::new();
        for at in (0..payload.max(1)).step_by(size) {
            let one = Above { payload: size.min(payload - at), ..on_the_wire.clone() };
            let made = make(&below, &one, whole(&one), true);
            segments.push(decoder().decode(&frame(&below, &made.data, made.data.len())));
        }
        prop_assert_eq!(sums(&[large]), sums(&segments), "{} segments", segments.len());
        prop_assert_eq!(large.key, segments[0].key);
    }

    /// The same where the segments are inside a tunnel: VXLAN, or IP in IP.
    #[test]
    fn a_super_frame_in_a_tunnel_is_its_segments(
        below in below(), outer in above(), mut inner in above(), size in 1usize..3000, payload in 1usize..40_000, vxlan: bool
    ) {
        inner.protocol = 6;
        inner.flags = 0x10;
        inner.extensions.clear();
        let payload = payload.min(100 * size);
        let wrapped = |bytes: usize| {
            let packet = inner_packet(&inner, bytes);
            let outer = Above {
                protocol: if vxlan { 17 } else if inner.v6 { 41 } else { 4 },
                destination: (outer.destination.0, 4789),
                payload: 0,
                ..outer.clone()
            };
            let head = [&[8, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0, 4][..], if inner.v6 { &[0x86, 0xdd] } else { &[8, 0] }].concat();
            let mut body = outer.segment().0;
            body.extend(if vxlan { head } else { Vec::new() });
            body.extend(packet);
            let (packet, _) = outer.packet(&body, (0, body.len(), false), true);
            let (mut data, _) = below.link(if outer.v6 { 0x86dd } else { 0x0800 });
            data.extend(packet);
            data
        };
        let data = wrapped(payload);
        let large = decoder().decode(&Frame { gso_size: size as u16, ..frame(&below, &data, data.len()) });
        let mut segments = Vec::new();
        for at in (0..payload).step_by(size) {
            let data = wrapped(size.min(payload - at));
            segments.push(decoder().decode(&frame(&below, &data, data.len())));
        }
        prop_assert_eq!(sums(&[large]), sums(&segments), "{} segments", segments.len());
        prop_assert_eq!(large.key, segments[0].key);
    }
}

fn inner_packet(inner: &Above, payload: usize) -> Vec<u8> {
    let inner = Above { payload, ..inner.clone() };
    let body = inner.segment().0;
    inner.packet(&body, (0, body.len(), false), true).0
}

/// Packets, bytes, layer-3 bytes, bytes on the line, payload.
fn sums(packets: &[Packet]) -> [u64; 5] {
    packets.iter().fold([0u64; 5], |sum, packet| {
        let one = [packet.segments, packet.bytes, packet.ip_bytes, packet.line_bytes, packet.payload];
        std::array::from_fn(|at| sum[at] + u64::from(one[at]))
    })
}
