//! Capture files against tcpdump (libpcap) and tshark: the same file, written
//! by us, cut and damaged by us, must give them and us the same packets.

use std::path::Path;
use std::process::{Command, Output};

use fullcount::capture::file::{FileError, FileSource};

mod file_writer;
use file_writer::{Classic, Packet, Pcapng, Resolution};

/// The program's output, or `None`, said loudly, where it is not installed.
fn run(program: &str, arguments: &[&str], file: &Path) -> Option<Output> {
    match Command::new(program).args(arguments).arg("-r").arg(file).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("SKIPPED: {program} cannot be run ({error}), nothing was compared");
            None
        }
    }
}

/// Original length, captured length and time of each packet, by what tcpdump writes.
fn tcpdump(file: &Path) -> Option<Vec<(u32, u32, u64)>> {
    let output = run("tcpdump", &["--time-stamp-precision=nano", "-w", "-"], file)?;
    let mut packets = Vec::new();
    let mut rest = output.stdout.get(24..).unwrap_or_default();
    while let Some(header) = rest.first_chunk::<16>() {
        let word =
            |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        packets.push((word(12), word(8), u64::from(word(0)) * 1_000_000_000 + u64::from(word(4))));
        rest = &rest[16 + word(8) as usize..];
    }
    Some(packets)
}

/// The same by tshark; a frame without a time is one of time 0.
fn tshark(file: &Path) -> Option<Vec<(u32, u32, u64)>> {
    let fields = ["-T", "fields", "-e", "frame.len", "-e", "frame.cap_len", "-e", "frame.time_epoch"];
    let output = run("tshark", &fields, file)?;
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).expect("a number from tshark");
    let line = |line: &str| {
        let mut fields = line.split('\t');
        let (len, captured) = (number(fields.next()), number(fields.next()));
        let (seconds, fraction) = fields.next().and_then(|time| time.split_once('.')).unwrap_or(("0", "0"));
        let seconds: u64 = seconds.parse().expect("seconds from tshark");
        let nanoseconds: u64 = format!("{fraction:0<9}").parse().expect("a fraction from tshark");
        (len, captured, seconds * 1_000_000_000 + nanoseconds)
    };
    Some(String::from_utf8_lossy(&output.stdout).lines().map(line).collect())
}

fn ours(file: &Path) -> (Vec<(u32, u32, u64)>, Option<FileError>) {
    let mut packets = Vec::new();
    let mut source = match FileSource::open(file, 0) {
        Ok(source) => source,
        Err(fault) => return (packets, Some(fault)),
    };
    loop {
        match source.next_frame() {
            Ok(Some(frame)) => packets.push((frame.len, frame.data.len() as u32, frame.time_ns)),
            Ok(None) => return (packets, None),
            Err(fault) => return (packets, Some(fault)),
        }
    }
}

/// Ten packets of growing length at odd times, within a snaplen of 262144.
fn packets() -> Vec<Packet> {
    let packet = |number: u64| Packet {
        time_ns: 1_700_000_000_000_000_000 + number * 1_234_567_000,
        len: number as u32 * 99 + 60,
        data: vec![number as u8; number as usize * 7 + 60],
    };
    (0..10).map(packet).collect()
}

#[test]
fn tcpdump_reads_the_same_packets() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    for format in [
        Classic::MICRO,
        Classic { big_endian: true, ..Classic::MICRO },
        Classic { big_endian: true, ..Classic::NANO },
        Classic::MODIFIED,
        Classic { version: (2, 2), ..Classic::MICRO },
        Classic { version: (2, 3), ..Classic::MICRO },
        Classic { version: (543, 0), ..Classic::MICRO },
    ] {
        // The writer always writes the captured length first; before 2.3 it stands last.
        let swap = !matches!(format.version, (2, 3 | 4));
        let mut parts = format.write(&packets());
        for record in parts.iter_mut().skip(1).filter(|_| swap) {
            record[8..16].rotate_left(4);
        }
        let bytes = parts.concat();
        std::fs::write(&file, &bytes).expect("written");
        let Some(theirs) = tcpdump(&file) else { return };
        assert_eq!(ours(&file).0, theirs, "{format:?}");
        assert_eq!(theirs.len(), 10, "{format:?}");
    }
}

#[test]
fn tcpdump_reads_as_far_into_damaged_files() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    let parts = Classic::MICRO.write(&packets());
    let bytes = parts.concat();
    let starts: Vec<usize> =
        parts.iter().scan(0, |end, part| Some(std::mem::replace(end, *end + part.len()))).collect();
    let mut damaged: Vec<Vec<u8>> =
        [23, 24, 25, 39, 40, 41, 100, 101, 500, bytes.len() - 1].map(|cut| bytes[..cut].to_vec()).to_vec();
    // A captured length at, just above and far above the most, in the eighth record.
    for captured in [262_144u32, 262_145, u32::MAX] {
        let mut copy = bytes.clone();
        let at = starts[8] + 8;
        copy[at..at + 4].copy_from_slice(&captured.to_le_bytes());
        damaged.push(copy.clone());
        // Enough bytes behind it for the largest that is allowed.
        copy.resize(copy.len() + 300_000, 0);
        copy.truncate(starts[8] + 16 + 262_144);
        damaged.push(copy);
    }
    for (case, bytes) in damaged.iter().enumerate() {
        std::fs::write(&file, bytes).expect("written");
        let Some(theirs) = tcpdump(&file) else { return };
        let (packets, fault) = ours(&file);
        assert_eq!(packets, theirs, "case {case}: {fault:?}");
    }
}

#[test]
fn tshark_reads_the_same_pcapng() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    for big_endian in [false, true] {
        let mut writer = Pcapng::new(big_endian);
        for resolution in [Resolution::Default, Resolution::Power10(9), Resolution::Power10(3)] {
            let offset = 86_400u64;
            let offset = if big_endian { offset.to_be_bytes() } else { offset.to_le_bytes() };
            let binary: &[(u16, &[u8])] = &[(9, &[0x80 | 20])];
            writer.section().interface(1, 0, resolution, &[(2, b"eth0"), (14, &offset)]);
            writer.interface(1, 0, Resolution::Default, binary);
            for packet in packets() {
                writer.enhanced(0, resolution, &packet, Some(1)).unknown();
                writer.enhanced(1, Resolution::Default, &packet, None).obsolete(1, &packet);
            }
        }
        std::fs::write(&file, writer.blocks.concat()).expect("written");
        let Some(theirs) = tshark(&file) else { return };
        let (packets, fault) = ours(&file);
        assert!(fault.is_none(), "{fault:?}");
        assert_eq!(theirs.len(), 90);
        assert_eq!(packets, theirs);
    }
}

/// The programs' own compressors, with several frames and long windows.
#[test]
fn files_packed_by_the_programs_are_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let bytes = Classic::MICRO.write(&packets()).concat();
    let (head, tail) = bytes.split_at(bytes.len() / 3);
    let plain = directory.path().join("plain");
    std::fs::write(&plain, &bytes).expect("written");
    let truth = ours(&plain).0;
    for (program, arguments) in [
        ("gzip", vec!["-9"]),
        ("zstd", vec!["-19", "-q"]),
        ("zstd", vec!["--long=27", "-q", "--no-check"]),
        #[cfg(feature = "xz")]
        ("xz", vec!["-9"]),
    ] {
        let mut packed = Vec::new();
        for part in [head, tail] {
            let input = directory.path().join("part");
            std::fs::write(&input, part).expect("written");
            let output = Command::new(program)
                .args(&arguments)
                .arg("-c")
                .stdin(std::fs::File::open(&input).expect("there"))
                .output();
            match output {
                Ok(output) => packed.extend(output.stdout),
                Err(error) => {
                    eprintln!("SKIPPED: {program} cannot be run ({error}), nothing was compared");
                    break;
                }
            }
        }
        if packed.is_empty() {
            continue;
        }
        let file = directory.path().join("packed");
        std::fs::write(&file, &packed).expect("written");
        let (packets, fault) = ours(&file);
        assert!(fault.is_none(), "{program} {arguments:?}: {fault:?}");
        assert_eq!(packets, truth, "{program} {arguments:?}");
    }
}
