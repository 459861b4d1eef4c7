//! The hash policies against an independent program.
//!
//! 100,000 frames of all that the kernel treats in a way of its own (tags,
//! fragments, extension headers, ICMP errors, tunnels, what is cut off or
//! broken), made from a seed, go to tests/links_truth/bond_hash.py, which was
//! written from the kernel's description. Every hash and slave of every policy
//! under every kernel's age has to be the same. A bond of the driver is asked
//! too (tests/links_truth/bond_kernel.py): of this kernel, or of user-mode Linux.

#[path = "common/bonding.rs"]
mod bonding;
#[path = "links_truth/frames.rs"]
mod frames;

use frames::{Frame, Random, frame};
use fullcount::links::header::{Header, Inside, Quoted, Word};
use fullcount::links::policy::{CHOICES, Choice, Ethertype, Hashes, Icmp, Kernel, Policy, Shift, slave};
use fullcount::links::what_if::{Known, Model, Placement, Sent, judge};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

const FRAMES: usize = 100_000;
const SEED: u64 = 0x5eed_b04d;
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/links_truth/bond_hash.py");

/// The script's order.
const POLICIES: [Policy; 6] =
    [Policy::Layer2, Policy::Layer23, Policy::Layer34, Policy::Encap23, Policy::Encap34, Policy::VlanSrcmac];

fn kernels() -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for ethertype in [Ethertype::Number, Ethertype::Raw] {
        for icmp in [Icmp::Id, Icmp::RawId, Icmp::Unknown] {
            for shift in [Shift::Ports, Shift::Always, Shift::Never] {
                kernels.push(Kernel { ethertype, icmp, shift });
            }
        }
    }
    kernels
}

/// Says so past the capturing of a test's output, which `eprintln!` does not.
fn skipped(test: &str, why: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {test}: {why}").expect("standard error");
}

/// Standard output of a program that reads all of `input` first; else why there is none.
fn answer(mut program: Command, input: &[u8]) -> Result<Vec<u8>, String> {
    let program = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().map_err(|error| error.to_string())?;
    let mut pipe = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        // One that ends at once does not read.
        scope.spawn(move || pipe.write_all(input).ok());
        let output = child.wait_with_output().expect("it ends");
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.success() { Ok(output.stdout) } else { Err(why) }
    })
}

/// The script's answer for these frames; `None` without python3.
fn truth(frames: &[Frame]) -> Option<Vec<u8>> {
    if let Err(error) = Command::new("python3").arg("--version").output() {
        skipped("bond_hash", &format!("python3 does not start: {error}"));
        return None;
    }
    let mut input = Vec::new();
    for frame in frames {
        input.push(u8::from(frame.tag.is_some()));
        input.extend(frame.tag.unwrap_or(0).to_le_bytes());
        input.push(frame.slaves);
        input.extend(u16::try_from(frame.bytes.len()).expect("a short frame").to_le_bytes());
        input.extend(&frame.bytes);
    }
    let mut python = Command::new("python3");
    python.arg(SCRIPT);
    Some(answer(python, &input).expect("the script succeeds"))
}

#[test]
fn every_hash_is_what_the_kernel_s_description_says() {
    let mut random = Random(SEED);
    let frames: Vec<Frame> = (0..FRAMES).map(|_| frame(&mut random)).collect();
    let Some(answers) = truth(&frames) else { return };
    let kernels = kernels();
    let row = POLICIES.len() * kernels.len() * 5;
    assert_eq!(answers.len(), FRAMES * row);
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, (frame, answer)) in frames.iter().zip(answers.chunks_exact(row)).enumerate() {
        *kinds.entry(frame.kind).or_default() += 1;
        let Some(header) = Header::of_frame(&frame.bytes, frame.tag) else {
            assert!(frame.bytes.len() < 14 && answer.iter().all(|byte| *byte == 0), "frame {number}");
            continue;
        };
        let mut answer = answer.chunks_exact(5);
        for policy in POLICIES {
            for kernel in &kernels {
                let choice = Choice { policy, kernel: *kernel };
                let [a, b, c, d, place] = answer.next().expect("a row").try_into().expect("five bytes");
                let hash = choice.hash(&header);
                let found = (hash, slave(hash, usize::from(frame.slaves)));
                let told = (u32::from_le_bytes([a, b, c, d]), Some(usize::from(place)));
                assert_eq!(found, told, "{choice:?} of frame {number}, {frame:02x?}: {header:x?}");
            }
        }
        for (choice, hash) in CHOICES.iter().zip(Hashes::of(&header).0) {
            assert_eq!(choice.hash(&header), hash);
        }
    }
    for (kind, count) in kinds {
        assert!(count > FRAMES / 100, "{kind}: only {count} frames");
    }
}

/// What the frames are for really is in them: otherwise agreement means little.
#[test]
fn the_frames_reach_every_corner() {
    let mut random = Random(SEED);
    let mut corners: BTreeMap<&str, usize> = BTreeMap::new();
    let mut differing = [[0usize; CHOICES.len()]; CHOICES.len()];
    for _ in 0..FRAMES {
        let frame = frame(&mut random);
        let Some(header) = Header::of_frame(&frame.bytes, frame.tag) else { continue };
        let own = header.own.map(|ip| (ip.source, ip.destination));
        let inner = if let Inside::Ip(ip) = header.inside { Some((ip.source, ip.destination)) } else { None };
        let seen = [
            ("not IP", own.is_none()),
            ("a tag", header.link.tci.is_some()),
            ("two tags", header.link.tci.is_some() && own.is_none() && inner.is_some()),
            ("ports", header.own.is_some_and(|ip| matches!(ip.word, Word::Ports(_)))),
            ("an id", header.own.is_some_and(|ip| matches!(ip.word, Word::Icmp { .. }))),
            ("no id", header.own.is_some_and(|ip| matches!(ip.word, Word::Icmp { id: [0, 0], .. }))),
            ("a quote", matches!(header.quoted, Quoted::Ip(_))),
            ("a quote that is cut off", header.quoted == Quoted::Cut),
            ("a tunnel", own.is_some() && inner.is_some() && own != inner),
            ("an extension header", own == inner && header.own.map(Inside::Ip) != Some(header.inside)),
            ("given up", header.inside == Inside::GivenUp && own.is_some()),
            ("no addresses", header.inside == Inside::NoAddresses),
        ];
        for (corner, reached) in seen {
            *corners.entry(corner).or_default() += usize::from(reached);
        }
        let hashes = Hashes::of(&header).0;
        for (row, one) in differing.iter_mut().zip(hashes) {
            for (count, other) in row.iter_mut().zip(hashes) {
                *count += usize::from(one != other);
            }
        }
    }
    for (corner, count) in &corners {
        assert!(*count >= 100, "{corner}: only {count} frames of {corners:?}");
    }
    for (place, row) in differing.iter().enumerate() {
        for (other, count) in row.iter().enumerate().filter(|(other, _)| *other != place) {
            let (one, other) = (CHOICES[place], CHOICES[other]);
            assert!(*count >= 100, "{one:?} and {other:?} differ in {count} frames");
        }
    }
}

/// The one example with figures that the kernel's history has (49aefd131739).
#[test]
fn the_example_of_the_commit_that_changed_the_shift() {
    for (last, old) in [(0xa0, 522_133_332), (0xa1, 522_133_333)] {
        let mut bytes = vec![0; 34];
        (bytes[5], bytes[11], bytes[12], bytes[14], bytes[23]) = (last, 0xe3, 0x08, 0x45, 6);
        bytes[26..30].copy_from_slice(&0x1e7a_a8c0_u32.to_le_bytes());
        bytes[30..34].copy_from_slice(&0x017a_a8c0_u32.to_le_bytes());
        let header = Header::of_frame(&bytes, None).expect("a frame");
        let hash = |shift| {
            let kernel = Kernel { ethertype: Ethertype::Raw, icmp: Icmp::Unknown, shift };
            Choice { policy: Policy::Layer23, kernel }.hash(&header)
        };
        if cfg!(target_endian = "little") {
            assert_eq!((hash(Shift::Never), hash(Shift::Always)), (old, 261_066_666));
        }
    }
}

/// What the driver itself does: every policy is found
/// again by what was sent, and explains all of it.
#[test]
fn a_bond_of_this_kernel_does_as_the_model_says() {
    if !bonding::bonding("a_bond_of_this_kernel_does_as_the_model_says") {
        return;
    }
    const SLAVES: usize = 3;
    const VLAN: u16 = 5;
    const COUNT: usize = 3000;
    let mut random = Random(SEED + 1);
    let mut frames: Vec<(Vec<u8>, Option<u16>)> = Vec::new();
    while frames.len() < COUNT {
        let Frame { bytes, tag, .. } = frame(&mut random);
        // Tags are the VLAN device's: what a packet socket sends has its network
        // header marked behind a tag in the bytes, unlike what is forwarded.
        let is_tagged = bytes.get(12..14).is_none_or(|kind| kind == [0x81, 0x00] || kind == [0x88, 0xa8]);
        // The stack drops what has no room for a label behind a tag.
        if bytes.len() >= 18 && !is_tagged {
            frames.push((bytes, tag.map(|_| VLAN)));
        }
    }
    let mut input = Vec::new();
    for (bytes, tag) in &frames {
        input.push(u8::from(tag.is_some()));
        input.extend(u16::try_from(bytes.len()).expect("a short frame").to_le_bytes());
        input.extend(bytes);
    }
    let mut program = Command::new("unshare");
    program.args(["-n", "python3", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/links_truth/bond_kernel.py")]);
    program.arg(SLAVES.to_string()).args(POLICIES.map(Policy::name));
    let took = answer(program, &input).expect("the script succeeds");
    assert_eq!(took.len(), POLICIES.len() * COUNT);
    for (policy, took) in POLICIES.into_iter().zip(took.chunks_exact(COUNT)) {
        let mut model = Model::new(SLAVES);
        for ((bytes, tag), place) in frames.iter().zip(took) {
            let header = Header::of_frame(bytes, *tag).expect("a whole Ethernet header");
            let sent = Sent { packets: 1, bytes: 100, flows: 1 };
            model.add(&Hashes::of(&header), &[(Some(usize::from(*place)), sent)]);
        }
        let known = Known { placement: Placement::Policy(policy.name()), in_order: true, version: None };
        let told = judge(&model, &known);
        assert_eq!((told.accuracy, told.withheld), (Some(1.0), None), "{policy:?}: {:?}", told.in_force);
        let found = judge(&model, &Known { placement: Placement::Unknown, in_order: false, version: None });
        assert_eq!(found.in_force, told.in_force, "{policy:?}");
    }
}
