//! Capture files against a tiny writer of our own: whatever is written is
//! read, in every byte order, resolution, compression and size of `read()`;
//! whatever is cut or damaged is told and never panics. (Against tcpdump and
//! tshark: file_tools.rs.)

use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fullcount::capture::file::{Compression, Defect, FileError, FileSource};
use fullcount::capture::{Direction, LINKS_MAX, LinkType};
use proptest::prelude::*;

mod file_writer;
use file_writer::{Classic, Packet, Pcapng, Resolution};

/// A frame with nothing borrowed: what the tests compare.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    data: Vec<u8>,
    time_ns: u64,
    len: u32,
    link: u8,
    link_type: LinkType,
    direction: Option<Direction>,
}

fn open(bytes: &[u8]) -> Result<FileSource, FileError> {
    FileSource::from_reader(Box::new(Cursor::new(bytes.to_vec())), String::from("dir/test"), 3)
}

/// All frames, and the fault that ended them. Checks that nothing follows the end.
fn read_all(file: &mut FileSource) -> (Vec<Seen>, Option<FileError>) {
    let mut frames = Vec::new();
    let fault = loop {
        match file.next_frame() {
            Ok(Some(frame)) => frames.push(Seen {
                data: frame.data.to_vec(),
                time_ns: frame.time_ns,
                len: frame.len,
                link: frame.link,
                link_type: frame.link_type,
                direction: frame.direction,
            }),
            Ok(None) => break None,
            Err(fault) => break Some(fault),
        }
    };
    for _ in 0..2 {
        assert!(file.next_frame().expect("no second fault").is_none(), "a frame after the end");
    }
    (frames, fault)
}

fn read(bytes: &[u8]) -> (Vec<Seen>, Option<FileError>) {
    match open(bytes) {
        Ok(mut file) => read_all(&mut file),
        Err(fault) => (Vec::new(), Some(fault)),
    }
}

fn sentence(bytes: &[u8]) -> String {
    read(bytes).1.expect("a fault").to_string()
}

fn expected(packets: &[Packet], link_type: LinkType) -> Vec<Seen> {
    let seen = |packet: &Packet| Seen {
        data: packet.data.clone(),
        time_ns: packet.time_ns,
        len: packet.len,
        link: 3,
        link_type,
        direction: None,
    };
    packets.iter().map(seen).collect()
}

fn packets() -> impl Strategy<Value = Vec<Packet>> {
    let packet =
        (prop::collection::vec(any::<u8>(), 0..200), 0u32..2000, 0u64..4_000_000_000, 0u64..1_000_000)
            .prop_map(|(data, missing, seconds, micros)| Packet {
                len: data.len() as u32 + missing,
                data,
                time_ns: seconds * 1_000_000_000 + micros * 1000,
            });
    prop::collection::vec(packet, 0..20)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("to memory");
    encoder.finish().expect("to memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[cfg(feature = "xz")]
fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    liblzma::read::XzEncoder::new(bytes, 1).read_to_end(&mut packed).expect("from memory");
    packed
}

/// Gives at most `most` bytes a call.
struct Pieces {
    bytes: Cursor<Vec<u8>>,
    most: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.most.min(buffer.len());
        self.bytes.read(&mut buffer[..most])
    }
}

/// Gives one piece a call, and counts the calls.
struct Pipe {
    pieces: std::vec::IntoIter<Vec<u8>>,
    calls: Arc<AtomicUsize>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let piece = self.pieces.next().unwrap_or_default();
        buffer[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

proptest! {
    #[test]
    fn classic_is_read_as_written(packets in packets(), big in any::<bool>(), kind in 0usize..3) {
        let format = Classic { big_endian: big, ..[Classic::MICRO, Classic::NANO, Classic::MODIFIED][kind] };
        let (frames, fault) = read(&format.write(&packets).concat());
        prop_assert!(fault.is_none());
        prop_assert_eq!(frames, expected(&packets, LinkType::Ethernet));
    }

    #[test]
    fn pcapng_is_read_as_written(packets in packets(), big in any::<bool>(), kind in 0usize..4) {
        let resolution = [Resolution::Default, Resolution::Power10(6), Resolution::Power10(9),
            Resolution::Power10(12)][kind];
        // 10^12 ticks a second reach until 1970-07-30.
        let packets: Vec<Packet> = packets.into_iter().map(|packet| match resolution {
            Resolution::Power10(12) => Packet { time_ns: packet.time_ns % 18_000_000_000_000_000, ..packet },
            _ => packet,
        }).collect();
        let mut writer = Pcapng::new(big);
        writer.section().interface(1, 0, resolution, &[]);
        for packet in &packets {
            writer.enhanced(0, resolution, packet, None).unknown();
        }
        let (frames, fault) = read(&writer.blocks.concat());
        prop_assert!(fault.is_none());
        prop_assert_eq!(frames, expected(&packets, LinkType::Ethernet));
    }

    /// Cut anywhere: all whole records come, then exactly one fault that says
    /// where, unless the cut falls between two records.
    #[test]
    fn a_cut_file_gives_its_whole_records(packets in packets(), ng in any::<bool>(), at in any::<prop::sample::Index>()) {
        let records = if ng {
            let mut writer = Pcapng::new(false);
            writer.section().interface(1, 0, Resolution::Default, &[]);
            packets.iter().for_each(|packet| { writer.enhanced(0, Resolution::Default, packet, None); });
            writer.blocks
        } else {
            Classic::MICRO.write(&packets)
        };
        let heads = if ng { 2 } else { 1 };
        let bytes = records.concat();
        let cut = 1 + at.index(bytes.len());
        let mut ends = records.iter().scan(0, |end, record| { *end += record.len(); Some(*end) });
        let whole = ends.clone().filter(|end| *end <= cut).count();
        let clean = ends.any(|end| end == cut);
        let (frames, fault) = read(&bytes[..cut]);
        let count = whole.saturating_sub(heads);
        prop_assert_eq!(&frames[..], &expected(&packets, LinkType::Ethernet)[..count]);
        match fault {
            None => prop_assert!(clean),
            Some(FileError::Cut { place, expected, present }) => {
                prop_assert!(!clean);
                let start: usize = records[..whole].iter().map(Vec::len).sum();
                prop_assert_eq!(place.offset, start as u64);
                prop_assert_eq!(place.packets, count as u64);
                prop_assert_eq!(present, (cut - start) as u64);
                prop_assert!(present < expected && expected <= records[whole].len() as u64);
            }
            Some(FileError::NotCapture { .. }) => prop_assert!(cut < 4),
            Some(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn any_size_of_read_gives_the_same(packets in packets(), ng in any::<bool>(), most in 1usize..3000) {
        let bytes = if ng {
            let mut writer = Pcapng::new(true);
            writer.section().interface(1, 0, Resolution::Default, &[]);
            packets.iter().for_each(|packet| { writer.enhanced(0, Resolution::Default, packet, None); });
            writer.blocks.concat()
        } else {
            Classic::MICRO.write(&packets).concat()
        };
        let reader = Pieces { bytes: Cursor::new(bytes), most };
        let mut file = FileSource::from_reader(Box::new(reader), String::from("t"), 3).expect("a capture");
        let (frames, fault) = read_all(&mut file);
        prop_assert!(fault.is_none());
        prop_assert_eq!(frames, expected(&packets, LinkType::Ethernet));
    }

    /// In two members, frames or streams, with a skippable frame between.
    #[test]
    fn compressed_is_plain(packets in packets(), at in any::<prop::sample::Index>()) {
        let bytes = Classic::NANO.write(&packets).concat();
        let (head, tail) = bytes.split_at(at.index(bytes.len()));
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9].to_vec();
        let mut packed = vec![
            [gzip(head), gzip(tail)].concat(),
            [skippable.clone(), zstd(head), skippable, zstd(tail)].concat(),
        ];
        #[cfg(feature = "xz")]
        packed.push([xz(head), xz(tail)].concat());
        for bytes in packed {
            let (frames, fault) = read(&bytes);
            prop_assert!(fault.is_none());
            prop_assert_eq!(frames, expected(&packets, LinkType::Ethernet));
        }
    }

    /// A cut compressed file: a prefix of the frames, then one fault.
    #[test]
    fn cut_compressed_files_give_a_prefix(packets in packets(), at in any::<prop::sample::Index>()) {
        let bytes = Classic::NANO.write(&packets).concat();
        let mut packed = vec![gzip(&bytes), zstd(&bytes)];
        #[cfg(feature = "xz")]
        packed.push(xz(&bytes));
        for bytes in packed {
            let (frames, fault) = read(&bytes[..at.index(bytes.len())]);
            prop_assert!(fault.is_some());
            prop_assert!(expected(&packets, LinkType::Ethernet).starts_with(&frames));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        kind in 0usize..10,
        tail in prop::collection::vec(prop_oneof![Just(0u8), Just(4u8), Just(1u8), Just(6u8), any::<u8>()], 0..600),
    ) {
        let heads: [Vec<u8>; 10] = [
            Vec::new(),
            Classic::MICRO.write(&[]).concat(),
            Classic { big_endian: true, ..Classic::MODIFIED }.write(&[]).concat(),
            vec![0xd4, 0xc3, 0xb2, 0xa1],
            vec![0x0a, 0x0d, 0x0d, 0x0a],
            Pcapng::new(false).section().blocks.concat(),
            Pcapng::new(true).section().interface(113, 9, Resolution::Default, &[]).blocks.concat(),
            vec![0x1f, 0x8b, 8, 0],
            vec![0x28, 0xb5, 0x2f, 0xfd],
            vec![0xfd, b'7', b'z', b'X', b'Z', 0],
        ];
        let (frames, _) = read(&[heads[kind].as_slice(), &tail].concat());
        prop_assert!(frames.len() <= tail.len() / 12 + 1 || kind >= 7);
    }

    /// One flipped byte of a real file: no panic, and never a frame more than its bytes can hold.
    #[test]
    fn damaged_files_never_panic(packets in packets(), kind in 0usize..4, at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut writer = Pcapng::new(kind == 1);
        writer.section().interface(276, 0, Resolution::Power10(9), &[(8, &[1; 8])]);
        for packet in &packets {
            writer.enhanced(0, Resolution::Power10(9), packet, Some(2)).simple(packet).obsolete(0, packet);
        }
        let plain = writer.blocks.concat();
        let mut bytes = match kind {
            0 | 1 => plain.clone(),
            2 => gzip(&plain),
            _ => zstd(&plain),
        };
        let at = at.index(bytes.len());
        bytes[at] = to;
        let (frames, _) = read(&bytes);
        prop_assert!(frames.len() <= plain.len() / 16 || kind > 1);
    }
}

fn packet(seconds: u64, data: &[u8]) -> Packet {
    Packet { time_ns: seconds * 1_000_000_000, len: data.len() as u32, data: data.to_vec() }
}

/// A frame is returned as soon as it is whole: after a piece that completes
/// it, nothing more is read.
#[test]
fn a_pipe_is_shown_as_it_comes() {
    let packets: Vec<Packet> = (1..=5).map(|second| packet(second, b"some bytes")).collect();
    let pieces = Classic::MICRO.write(&packets);
    let calls = Arc::new(AtomicUsize::new(0));
    let pipe = Pipe { pieces: pieces.into_iter(), calls: Arc::clone(&calls) };
    let mut file = FileSource::from_reader(Box::new(pipe), String::from("-"), 0).expect("a capture");
    assert_eq!(calls.load(Ordering::Relaxed), 1, "the header came in one piece");
    for second in 1..=5 {
        let frame = file.next_frame().expect("no fault").expect("a frame");
        assert_eq!(frame.time_ns, second * 1_000_000_000);
        assert_eq!(calls.load(Ordering::Relaxed), 1 + second as usize);
    }
}

#[test]
fn lengths_of_old_versions_are_swapped() {
    // (version, captured and original as they stand in the record, expected)
    for (major, minor, first, second, captured, len) in [
        (2, 4, 4, 9, 4, 9),
        (2, 4, 9, 4, 9, 4),
        (2, 3, 4, 9, 4, 9),
        (2, 3, 9, 4, 4, 9),
        (2, 2, 9, 4, 4, 9),
        (543, 0, 9, 4, 4, 9),
    ] {
        let mut bytes = Classic { version: (major, minor), ..Classic::MICRO }.write(&[]).concat();
        for word in [0u32, 0, first, second] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.resize(bytes.len() + captured, 7);
        let (frames, fault) = read(&bytes);
        assert!(fault.is_none(), "{major}.{minor}");
        assert_eq!(
            (frames.len(), frames[0].data.len(), frames[0].len),
            (1, captured, len),
            "{major}.{minor}"
        );
    }
    let bytes = Classic { version: (2, 5), ..Classic::MICRO }.write(&[]).concat();
    assert!(matches!(open(&bytes), Err(FileError::Version { major: 2, minor: 5, format: "pcap", .. })));
}

#[test]
fn a_record_is_as_long_as_libpcap_allows_and_no_longer() {
    for (link_type, most) in [(1, 262_144), (279, 8 << 20)] {
        let format = Classic { link_type, ..Classic::MICRO };
        let (frames, fault) = read(&format.write(&[packet(1, &vec![1; most]), packet(2, b"x")]).concat());
        assert_eq!((frames.len(), frames[0].data.len(), fault.is_none()), (2, most, true));
        let (frames, fault) = read(&format.write(&[packet(1, b"x"), packet(2, &vec![1; most + 1])]).concat());
        assert_eq!(frames.len(), 1);
        let Some(FileError::Corrupt { place, defect: Defect::CapturedLength { captured, limit } }) = fault
        else {
            panic!("{fault:?}");
        };
        assert_eq!((place.offset, place.packets), (41, 1));
        assert_eq!((captured as usize, limit as usize), (most + 1, most));
    }
}

#[test]
fn link_types_are_told_apart() {
    for (number, link_type) in [
        (0, LinkType::Null),
        (1, LinkType::Ethernet),
        (12, LinkType::RawIp),
        (14, LinkType::RawIp),
        (101, LinkType::RawIp),
        (108, LinkType::Loop),
        (113, LinkType::LinuxSll),
        (228, LinkType::RawIp),
        (229, LinkType::RawIp),
        (276, LinkType::LinuxSll2),
        (127, LinkType::Other(127)),
        // The upper half tells of the frame check sequence.
        (0x2400_0001, LinkType::Ethernet),
    ] {
        let file =
            open(&Classic { link_type: number, ..Classic::MICRO }.write(&[]).concat()).expect("a capture");
        assert_eq!(file.interfaces()[0].link_type, link_type);
    }
}

#[test]
fn pcapng_sections_have_interfaces_of_their_own() {
    let resolution = Resolution::Default;
    let one = packet(1, b"one");
    let mut writer = Pcapng::new(false);
    let speed = 10_000_000_000u64;
    writer.section().interface(1, 0, resolution, &[(2, b"eth0"), (8, &speed.to_le_bytes())]);
    writer.interface(113, 0, resolution, &[(2, b"any")]);
    writer.enhanced(1, resolution, &packet(1, &[0, 4, 0, 1]), None);
    writer.enhanced(0, resolution, &one, Some(1)).enhanced(0, resolution, &one, Some(2));
    writer.big_endian = true;
    writer.section().interface(101, 0, Resolution::Power10(9), &[(2, b"tun0"), (8, &speed.to_be_bytes())]);
    writer.enhanced(0, Resolution::Power10(9), &one, Some(0));
    let mut file = open(&writer.blocks.concat()).expect("a capture");
    let (frames, fault) = read_all(&mut file);
    assert!(fault.is_none());
    let told: Vec<_> = frames.iter().map(|frame| (frame.link, frame.link_type, frame.direction)).collect();
    assert_eq!(
        told,
        [
            (4, LinkType::LinuxSll, Some(Direction::Tx)),
            (3, LinkType::Ethernet, Some(Direction::Rx)),
            (3, LinkType::Ethernet, Some(Direction::Tx)),
            (5, LinkType::RawIp, None),
        ]
    );
    assert!(frames.iter().all(|frame| frame.time_ns == 1_000_000_000));
    let interfaces: Vec<_> = file.interfaces().iter().map(|each| (each.name.as_str(), each.speed)).collect();
    assert_eq!(interfaces, [("eth0", Some(speed)), ("any", None), ("tun0", Some(speed))]);
}

#[test]
fn interfaces_without_a_name_take_the_files() {
    let resolution = Resolution::Default;
    let names = |writer: &Pcapng| {
        let mut file = open(&writer.blocks.concat()).expect("a capture");
        read_all(&mut file);
        file.interfaces().iter().map(|each| each.name.clone()).collect::<Vec<_>>()
    };
    let mut writer = Pcapng::new(false);
    writer.section().interface(1, 0, resolution, &[]);
    assert_eq!(names(&writer), ["test"]);
    writer.interface(1, 0, resolution, &[(2, b"eth1")]).interface(1, 0, resolution, &[]);
    assert_eq!(names(&writer), ["test#0", "eth1", "test#2"]);
}

#[test]
fn a_name_stands_once_a_frame_was_returned() {
    let resolution = Resolution::Default;
    let mut writer = Pcapng::new(false);
    writer.section().interface(1, 0, resolution, &[]).enhanced(0, resolution, &packet(1, b"x"), None);
    writer.interface(1, 0, resolution, &[]);
    let mut file = open(&writer.blocks.concat()).expect("a capture");
    read_all(&mut file);
    let names: Vec<_> = file.interfaces().iter().map(|each| each.name.as_str()).collect();
    assert_eq!(names, ["test", "test#1"]);
}

#[test]
fn older_packet_blocks_are_read() {
    let mut writer = Pcapng::new(false);
    writer.section().interface(1, 4, Resolution::Default, &[]);
    writer.simple(&packet(0, b"abc")).obsolete(0, &packet(7, b"defg")).simple(&packet(0, b"hijklm"));
    let (frames, fault) = read(&writer.blocks.concat());
    assert!(fault.is_none());
    let told: Vec<_> = frames
        .iter()
        .map(|frame| (frame.data.as_slice(), frame.len, frame.time_ns / 1_000_000_000))
        .collect();
    // A simple packet has the time of the frame before, and is cut to the snaplen of 4.
    assert_eq!(told, [(b"abc".as_slice(), 3, 0), (b"defg", 4, 7), (b"hijk", 6, 7)]);
}

#[test]
fn only_packets_of_interfaces_beyond_the_last_link_are_a_fault() {
    let resolution = Resolution::Default;
    let mut writer = Pcapng::new(false);
    writer.section();
    for _ in 0..LINKS_MAX + 1 {
        writer.interface(1, 0, resolution, &[]);
    }
    // The file's first interface is link 3: number 123 has the last one, 126.
    writer.enhanced(123, resolution, &packet(1, b"x"), None).enhanced(
        124,
        resolution,
        &packet(1, b"x"),
        None,
    );
    let mut file = open(&writer.blocks.concat()).expect("a capture");
    let (frames, fault) = read_all(&mut file);
    assert_eq!(frames.iter().map(|frame| frame.link).collect::<Vec<_>>(), [126]);
    assert!(matches!(fault, Some(FileError::TooManyInterfaces { limit: LINKS_MAX, .. })));
    assert_eq!(file.interfaces().len(), 124);
}

#[test]
fn impossible_blocks_are_faults() {
    let resolution = Resolution::Default;
    let mut writer = Pcapng::new(false);
    writer.section().interface(1, 0, resolution, &[]).enhanced(0, resolution, &packet(1, b"abc"), None);
    let good = writer.blocks.concat();
    let block = |kind: u32, length: u32, body: &[u8], last: u32| {
        [good.as_slice(), &kind.to_le_bytes(), &length.to_le_bytes(), body, &last.to_le_bytes()].concat()
    };
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    for (bytes, expected) in [
        (block(9, 8, &[], 8), Defect::BlockLength { length: 8 }),
        (block(9, 13, &[0; 1], 13), Defect::BlockLength { length: 13 }),
        (block(6, 12, &[], 12), Defect::BlockLength { length: 12 }),
        (block(9, 12, &[], 16), Defect::BlockEnds { first: 12, last: 16 }),
        (block(9, (16 << 20) + 4, &[], 0), Defect::BlockTooLarge { length: (16 << 20) + 4, limit: 16 << 20 }),
        (block(6, 32, &words(&[0, 0, 0, 1, 1]), 32), Defect::PacketLength { captured: 1, room: 0 }),
        (block(6, 32, &words(&[1, 0, 0, 0, 0]), 32), Defect::UnknownInterface { interface: 1, described: 1 }),
        (block(1, 12, &[], 12), Defect::Block { kind: "interface description" }),
        (block(0x0a0d_0d0a, 12, &[], 12), Defect::ByteOrder { magic: [12, 0, 0, 0] }),
        (block(1, 28, &words(&[1, 0, 0x0001_0009, 20]), 28), Defect::TimeResolution { value: 20 }),
    ] {
        let (frames, fault) = read(&bytes);
        assert_eq!(frames.len(), 1, "{expected}");
        let Some(FileError::Corrupt { place, defect }) = fault else { panic!("{expected}: {fault:?}") };
        assert_eq!((place.offset, place.packets, defect), (good.len() as u64, 1, expected));
    }
    // A block of the largest size that is read is skipped.
    let length = 16 << 20;
    let (frames, fault) = read(&block(9, length, &vec![0; length as usize - 12], length));
    assert_eq!((frames.len(), fault.is_none()), (1, true));
}

#[test]
fn sentences_say_what_where_and_what_to_do() {
    for (bytes, expected) in [
        (
            Vec::new(),
            "dir/test: not a capture file but an empty file; pcap and pcapng are read, plain or compressed by gzip, zstd or xz",
        ),
        (
            gzip(b"{}"),
            "dir/test: gzip of no capture file but of JSON; pcap and pcapng are read, plain or compressed by gzip, zstd or xz",
        ),
        (
            zstd(&gzip(b"x")),
            "dir/test: zstd of no capture file but of data compressed by gzip; pcap and pcapng are read, plain or compressed by gzip, zstd or xz",
        ),
        (
            Classic::MICRO.write(&[]).concat()[..20].to_vec(),
            "dir/test: cut short in the record at byte offset 0, which has 20 of at least 24 bytes, no packet was read before; copy or capture it again if you need the rest",
        ),
        (
            gzip(&Classic::MICRO.write(&[packet(1, b"abcd"), packet(2, b"abcd")]).concat()[..60]),
            "dir/test: cut short in the record at byte offset 44 of the uncompressed data, which has 16 of at least 20 bytes, 1 packet was read before; copy or capture it again if you need the rest",
        ),
        (
            Classic { version: (3, 0), ..Classic::MICRO }.write(&[]).concat(),
            "dir/test: the header at byte offset 0 says pcap 3.0, a version that is not known, no packet was read before; convert the file with editcap",
        ),
    ] {
        assert_eq!(sentence(&bytes), expected);
    }
    let packed = gzip(&Classic::MICRO.write(&[packet(1, b"abcd")]).concat());
    let cut = read(&packed[..packed.len() - 3]).1.expect("a fault").to_string();
    assert!(cut.starts_with("dir/test: the gzip data are cut short after 44 uncompressed bytes ("), "{cut}");
    assert!(
        cut.ends_with("), 1 packet was read before; copy or capture it again if you need the rest"),
        "{cut}"
    );
}

#[test]
fn files_that_cannot_be_opened_say_why() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("missing.pcap");
    let fault = FileSource::open(&missing, 0).err().expect("not there").to_string();
    assert!(
        fault.contains("missing.pcap: cannot be opened (") && fault.ends_with("); check its name"),
        "{fault}"
    );
    let fault = FileSource::open(directory.path(), 0).err().expect("a directory").to_string();
    assert!(fault.ends_with("); name a file in it"), "{fault}");
    let good = directory.path().join("good.pcap");
    std::fs::write(&good, Classic::MICRO.write(&[]).concat()).expect("written");
    let file = FileSource::open(&good, 126).expect("a capture");
    assert_eq!(file.interfaces()[0].name, "good.pcap");
    assert!(matches!(FileSource::open(&good, 127), Err(FileError::TooManyInterfaces { .. })));
}

/// A zstd frame keeps a window back until it ends: what a cut one holds must not be lost with it.
#[test]
fn every_frame_of_a_cut_zstd_block_comes() {
    let packets: Vec<Packet> = (0..100_000).map(|second| packet(second, &second.to_le_bytes())).collect();
    let bytes = Classic::MICRO.write(&packets).concat();
    let packed = zstd(&bytes);
    let (frames, fault) = read(&packed[..packed.len() - 5]);
    assert!(matches!(
        fault,
        Some(FileError::Decompress { place, .. }) if place.compression == Some(Compression::Zstd)
    ));
    // All but the last block, which has at most 128 KiB (RFC 8878 3.1.1.2.4).
    let least = (bytes.len() - (128 << 10)) / 24 - 2;
    assert!(frames.len() >= least && frames.len() < packets.len(), "{} of {least}", frames.len());
}

#[cfg(not(feature = "xz"))]
#[test]
fn xz_is_named_where_it_is_not_built_in() {
    let fault = open(&[0xfd, b'7', b'z', b'X', b'Z', 0]).err().expect("xz").to_string();
    assert!(fault.starts_with("dir/test: compressed by xz, which this program was built without"), "{fault}");
}

/// CPU time of this thread: wall time says little on a busy machine.
fn cpu_ns() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// cargo test --release --test file_formats -- --ignored --nocapture
#[test]
#[ignore = "a measurement"]
fn nanoseconds_per_packet() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, size, count) in [
        ("184 MB, 76 B", 76usize, 2_000_000u64),
        ("300 MB, 1500 B", 1500, 200_000),
        ("pcapng, 216 MB, 76 B", 76, 2_000_000),
    ] {
        let path = directory.path().join("file");
        let mut out = io::BufWriter::new(std::fs::File::create(&path).expect("a file"));
        let mut writer = Pcapng::new(false);
        let ng = name.starts_with("pcapng");
        match ng {
            true => {
                out.write_all(&writer.section().interface(1, 0, Resolution::Default, &[]).blocks.concat())
            }
            false => out.write_all(&Classic::MICRO.write(&[]).concat()),
        }
        .expect("written");
        for number in 0..count {
            let packet = packet(number / 1000, &vec![number as u8; size]);
            writer.blocks.clear();
            let record = match ng {
                true => writer.enhanced(0, Resolution::Default, &packet, None).blocks.concat(),
                false => Classic::MICRO.record(&packet),
            };
            out.write_all(&record).expect("written");
        }
        drop(out);
        for _ in 0..5 {
            let start = cpu_ns();
            let mut file = FileSource::open(&path, 0).expect("a capture");
            let (mut frames, mut bytes) = (0u64, 0u64);
            while let Some(frame) = file.next_frame().expect("no fault") {
                frames += 1;
                bytes += u64::from(frame.len) + u64::from(frame.data[0]);
            }
            let spent = (cpu_ns() - start) as f64;
            assert_eq!(frames, count);
            let start = cpu_ns();
            let mut file = std::fs::File::open(&path).expect("there");
            let mut buffer = vec![0; 1 << 20];
            while file.read(&mut buffer).expect("read") > 0 {}
            let floor = (cpu_ns() - start) as f64;
            println!(
                "{name}: {:.2} ns a packet, of which read() alone {:.2} ({bytes})",
                spent / count as f64,
                floor / count as f64
            );
        }
    }
}
