//! Rings on live interfaces: veth pairs in namespaces of their own, frames
//! numbered and counted by the sender. Truth is what was sent and what the
//! kernel's own interface counters say.

mod common;

use common::netns::{Netns, wait};
use fullcount::capture::deal::{DealKey, member};
use fullcount::capture::fanout::{Dealing, Opened, open_interface, set_filter};
use fullcount::capture::merge::{Merge, Source};
use fullcount::capture::ring::{CaptureErrorKind, DeviceEvent, Ring, RingConfig};
use fullcount::capture::sys::SockFilter;
use fullcount::capture::{Direction, LinkType, VlanTag};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

const SMALL: RingConfig = RingConfig {
    bytes: 8 << 20,
    block_bytes: 1 << 18,
    retire_ms: 4,
    snaplen: 256,
    vnet: true,
    promiscuous: false,
};

/// Where the sequence number of a frame of `tcp` stands.
const NUMBER_AT: usize = 38;

fn key() -> DealKey {
    DealKey::from_seed(0x5eed)
}

fn ethernet(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 42]);
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame.resize(frame.len().max(60), 0);
    frame
}

fn ipv4(ends: [u32; 2], protocol: u8, fragment: u16, options: usize, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45 + options as u8, 0];
    packet.extend((20 + 4 * options as u16 + payload.len() as u16).to_be_bytes());
    packet.extend([0, 1]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(ends.into_iter().flat_map(|end| end.to_be_bytes()));
    packet.extend(std::iter::repeat_n(1, 4 * options));
    packet.extend(payload);
    packet
}

fn ipv6(ends: [u128; 2], next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend(ends.into_iter().flat_map(|end| end.to_be_bytes()));
    packet.extend(payload);
    packet
}

fn l4(ports: [u16; 2], number: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> = ports.iter().flat_map(|port| port.to_be_bytes()).collect();
    bytes.extend(number.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    bytes
}

const A: u32 = 0xc612_0001; // 198.18.0.1
const B: u32 = 0xc613_0001; // 198.19.0.1

/// A TCP frame numbered `number`, of one of many flows; every second one back.
fn tcp(number: u32) -> Vec<u8> {
    let port = 1024 + (number / 2 % 999) as u16;
    let (ends, ports) = if number.is_multiple_of(2) { ([A, B], [port, 443]) } else { ([B, A], [443, port]) };
    ethernet(&[], 0x0800, &ipv4(ends, 6, 0x4000, 0, &l4(ports, number)))
}

fn number(data: &[u8]) -> u32 {
    u32::from_be_bytes(data[NUMBER_AT..NUMBER_AT + 4].try_into().expect("four bytes"))
}

fn open(netns: &Netns, interface: &str, workers: usize, config: &RingConfig) -> Opened {
    netns.run(|| open_interface(interface, 0, workers, config, &key(), &[]).expect("the interface opens"))
}

/// Everything that is in the rings until `done` says that it was all:
/// (member, bytes, frame length).
fn read(rings: &mut [Ring], count: usize) -> Vec<(usize, Vec<u8>, u32)> {
    let mut got = Vec::new();
    wait("frames in the rings", || {
        for (index, ring) in rings.iter_mut().enumerate() {
            while let Some(frame) = ring.next_frame() {
                got.push((index, frame.data.to_vec(), frame.len));
            }
        }
        got.len() >= count
    });
    got
}

/// Packets and drops of all rings.
fn statistics(rings: &mut [Ring]) -> (u64, u64) {
    let figures = rings.iter_mut().map(|ring| ring.statistics().expect("statistics"));
    figures.fold((0, 0), |sum, one| (sum.0 + one.packets, sum.1 + one.drops))
}

#[test]
fn every_frame_comes_once_to_the_member_that_the_key_names() {
    let (Some(near), Some(far)) = (Netns::new("ring"), Netns::new("ring")) else { return };
    near.veth("v0", &far, "v1");
    let mut injector = near.injector("v0");
    for workers in 1..=4 {
        let mut sent_side = open(&near, "v0", workers, &SMALL);
        let mut seen_side = open(&far, "v1", workers, &SMALL);
        assert_eq!(seen_side.dealing, if workers == 1 { Dealing::Alone } else { Dealing::Ours });
        let before = far.counter("v1", "rx_packets");
        for n in 0..3000 {
            injector.send(&tcp(n));
        }
        for opened in [&mut sent_side, &mut seen_side] {
            let mut got = read(&mut opened.rings, 3000);
            got.sort_by_key(|(_, data, _)| number(data));
            for (n, (index, data, len)) in got.iter().enumerate() {
                assert_eq!(*data, tcp(n as u32), "frame {n}");
                assert_eq!(*len as usize, data.len());
                let hash = key().deal(LinkType::Ethernet, data);
                assert_eq!(*index, member(hash, workers), "frame {n} of {workers} workers");
            }
            assert_eq!(got.len(), 3000);
            assert_eq!(statistics(&mut opened.rings), (3000, 0));
            assert_eq!(statistics(&mut opened.rings), (3000, 0), "summed, not reset");
        }
        assert_eq!(far.counter("v1", "rx_packets") - before, 3000);
    }
}

#[test]
fn the_kernel_deals_odd_frames_as_the_function_does() {
    let (Some(near), Some(far)) = (Netns::new("ring"), Netns::new("ring")) else { return };
    near.veth("v0", &far, "v1");
    let mut injector = near.injector("v0");
    let mut frames = Vec::new();
    for n in 0..40u16 {
        let ports = l4([1024 + n, 443], 7);
        let inner = ipv4([A, B], 6, 0, usize::from(n % 3), &ports);
        let inner6 = ipv6([1, 2 + u128::from(n)], 17, &ports);
        let icmp = |kind: u8, quoted: &[u8]| [&[kind, 0, 0, 0, 0, 0, 0, 0], quoted].concat();
        for tags in [&[][..], &[0x8100], &[0x88a8, 0x8100], &[0x8100, 0x8100, 0x8100]] {
            frames.push(ethernet(tags, 0x0800, &inner));
            frames.push(ethernet(tags, 0x86dd, &inner6));
            frames.push(ethernet(tags, 0x0800, &ipv4([A, B + u32::from(n)], 17, 0x2000, 0, &ports)));
            frames.push(ethernet(tags, 0x0800, &ipv4([A, B + u32::from(n)], 17, 0x0010, 0, &ports)));
            frames.push(ethernet(tags, 0x0800, &ipv4([B, A], 1, 0, usize::from(n % 4), &icmp(3, &inner))));
            frames.push(ethernet(tags, 0x86dd, &ipv6([9, 1], 58, &icmp(1, &inner6))));
            frames.push(ethernet(tags, 0x86dd, &ipv6([u128::from(n), 1], 44, &ports)));
        }
        // Not padded: cut within the ports, the quoted ports, the header.
        let cut = ipv4([B, A + u32::from(n)], 1, 0, 0, &icmp(11, &inner[..22]));
        frames.push([&ethernet(&[], 0x0800, &[])[..14], &cut].concat());
        frames.push([&ethernet(&[], 0x0800, &[])[..14], &inner[..20 + 4 * usize::from(n % 3) + 2]].concat());
        frames.push(ethernet(&[], 0x0806, &[n as u8; 46]));
        frames.push(ethernet(&[], 0x0800, &[n as u8; 46]));
    }
    let mut sent_side = open(&near, "v0", 3, &SMALL);
    let mut seen_side = open(&far, "v1", 3, &SMALL);
    frames.iter().for_each(|frame| injector.send(frame));
    for opened in [&mut sent_side, &mut seen_side] {
        let got = read(&mut opened.rings, frames.len());
        assert_eq!(got.len(), frames.len());
        let mut members = [0; 3];
        for (index, data, _) in &got {
            let hash = key().deal(LinkType::Ethernet, data);
            assert_eq!(*index, member(hash, 3), "{data:02x?}");
            members[*index] += 1;
        }
        assert!(members.iter().all(|&count| count > 100), "{members:?}");
        assert_eq!(statistics(&mut opened.rings), (frames.len() as u64, 0));
    }
}

#[test]
fn what_a_small_ring_dropped_is_counted_to_the_frame() {
    let (Some(near), Some(far)) = (Netns::new("ring"), Netns::new("ring")) else { return };
    near.veth("v0", &far, "v1");
    let config = RingConfig { bytes: 1, block_bytes: 1, ..SMALL };
    let mut opened = open(&far, "v1", 1, &config);
    assert_eq!(opened.rings[0].config().bytes, 128 << 10, "two blocks of the least size");
    let mut injector = near.injector("v0");
    for n in 0..5000 {
        injector.send(&tcp(n));
    }
    wait("all frames at the ring", || statistics(&mut opened.rings).0 == 5000);
    let (_, drops) = statistics(&mut opened.rings);
    assert!((3000..5000).contains(&drops), "{drops} dropped");
    let got = read(&mut opened.rings, 5000 - drops as usize);
    assert_eq!(got.len() as u64 + drops, 5000);
    assert!(opened.rings[0].statistics().expect("statistics").freezes >= 1);
    assert_eq!(opened.rings[0].counts().frames_read, got.len() as u64);
    // And it goes on.
    injector.send(&tcp(9999));
    assert_eq!(number(&read(&mut opened.rings, 1)[0].1), 9999);
}

#[test]
fn opening_under_traffic_brings_no_frame_twice_unfiltered_or_to_the_wrong_member() {
    let (Some(near), Some(far)) = (Netns::new("ring"), Netns::new("ring")) else { return };
    near.veth("v0", &far, "v1");
    near.veth("w0", &far, "w1");
    let stop = AtomicBool::new(false);
    let (mut wanted, mut other) = (near.injector("v0"), near.injector("w0"));
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) && n < 2_000_000 {
                wanted.send(&tcp(n));
                // Of another interface, and one that the filter refuses.
                other.send(&tcp(n | 1 << 31));
                let mut refused = tcp(n);
                refused[12..14].copy_from_slice(&[0x88, 0xb5]);
                wanted.send(&refused);
                n += 1;
            }
            n
        });
        // ldh [12]; jeq #0x800; ret #256; ret #0
        let filter = [
            SockFilter { code: 0x28, jt: 0, jf: 0, k: 12 },
            SockFilter { code: 0x15, jt: 0, jf: 1, k: 0x800 },
            SockFilter::ret(256),
            SockFilter::ret(0),
        ];
        let mut opened = far.run(|| {
            // The first group's members are opened while frames come in.
            open_interface("v1", 5, 3, &RingConfig { bytes: 64 << 20, ..SMALL }, &key(), &filter)
                .expect("opens")
        });
        let mut got = read(&mut opened.rings, 2000);
        stop.store(true, Ordering::Relaxed);
        let sent = sender.join().expect("the sender ends");
        set_filter(&opened.rings, &[SockFilter::ret(0)]).expect("a filter for running rings");
        let mut packets = 0;
        wait("the last frames", || {
            got.extend(read(&mut opened.rings, 0));
            packets = statistics(&mut opened.rings).0;
            got.len() as u64 + statistics(&mut opened.rings).1 == packets
        });
        assert_eq!(statistics(&mut opened.rings).1, 0);
        let mut numbers = Vec::new();
        for (index, data, _) in &got {
            assert_eq!(data[12..14], [8, 0], "passed the gate unfiltered");
            assert!(number(data) < sent, "of another interface");
            assert_eq!(*index, member(key().deal(LinkType::Ethernet, data), 3));
            numbers.push(number(data));
        }
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]), "a frame came twice");
        // From the moment when all filters were set, nothing is missing.
        let firsts = (0..3).filter_map(|k| got.iter().find(|one| one.0 == k)).map(|one| number(&one.1));
        let from = firsts.max().expect("frames");
        let missing = (from..sent).filter(|n| numbers.binary_search(n).is_err()).count();
        assert_eq!(missing, 0, "of {}", sent - from);
    });
}

#[test]
fn a_stripped_tag_stands_beside_the_frame() {
    let (Some(near), Some(far)) = (Netns::new("ring"), Netns::new("ring")) else { return };
    near.veth("v0", &far, "v1");
    let mut opened = open(&far, "v1", 1, &SMALL);
    let mut injector = near.injector("v0");
    let inner = ipv4([A, B], 17, 0, 0, &l4([5, 6], 0));
    for tags in [&[][..], &[0x8100], &[0x88a8, 0x8100]] {
        injector.send(&ethernet(tags, 0x0800, &inner));
    }
    let mut got = Vec::new();
    let before = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos() as u64;
    wait("three frames", || {
        while let Some(frame) = opened.rings[0].next_frame() {
            assert!(frame.time_ns.abs_diff(before) < 10_000_000_000);
            assert_eq!((frame.direction, frame.link_type), (Some(Direction::Rx), LinkType::Ethernet));
            assert_eq!(frame.gso_size, 0);
            got.push((frame.len, frame.stripped_tag, frame.data[12..14].to_vec()));
        }
        got.len() == 3
    });
    let tag = |tpid| Some(VlanTag { tpid, tci: 42 });
    assert_eq!(got[0], (60, None, vec![8, 0]));
    assert_eq!(got[1], (60 - 4, tag(0x8100), vec![8, 0]));
    assert_eq!(got[2].1, tag(0x88a8));
    assert_eq!(got[2].2, [0x81, 0], "the inner tag stays");
}

#[test]
fn a_super_frame_carries_its_segment_size() {
    let (Some(near), Some(far)) = (Netns::new("ring"), Netns::new("ring")) else { return };
    near.veth("v0", &far, "v1");
    near.calm_tcp();
    far.calm_tcp();
    near.shell("ip addr add 198.18.0.1/24 dev v0 && ethtool -K v0 tso on gso on");
    near.shell("ip route change 198.18.0.0/24 dev v0 src 198.18.0.1 rto_min 10s");
    far.shell("ip addr add 198.18.0.2/24 dev v1 && ethtool -K v1 gro on");
    let mut opened = open(&near, "v0", 1, &RingConfig { bytes: 32 << 20, ..SMALL });
    assert!(opened.rings[0].config().vnet);
    const BYTES: usize = 4 << 20;
    let listener = far.run(|| std::net::TcpListener::bind("198.18.0.2:5001").expect("a port"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut sink = Vec::new();
            stream.read_to_end(&mut sink).expect("all data");
            assert_eq!(sink.len(), BYTES);
        });
        near.run(|| {
            let mut stream = std::net::TcpStream::connect("198.18.0.2:5001").expect("connects");
            stream.write_all(&vec![7; BYTES]).expect("sent");
        });
    });
    // Independent: IP length less headers, summed; sizes of 1448 = 1500 - 40 - 12 (timestamps).
    let (mut payload, mut segments, mut supers, mut frames) = (0, 0, 0, 0);
    wait("all data seen", || {
        while let Some(frame) = opened.rings[0].next_frame() {
            if frame.direction != Some(Direction::Tx) || frame.data[12..14] != [8, 0] {
                continue;
            }
            frames += 1;
            let headers = 14 + 20 + usize::from(frame.data[46] >> 4) * 4;
            let carried = if frame.len <= 60 { 0 } else { frame.len as usize - headers };
            payload += carried;
            if frame.gso_size > 0 {
                assert_eq!(frame.gso_size, 1448);
                assert!(frame.len > 1514);
                supers += 1;
                segments += carried.div_ceil(usize::from(frame.gso_size));
            } else {
                assert!(frame.len <= 1514, "{} bytes without a segment size", frame.len);
                segments += 1;
            }
        }
        payload >= BYTES
    });
    assert_eq!(payload, BYTES, "no loss, so nothing was sent again");
    println!("{BYTES} bytes: {frames} frames, {supers} of them super-frames, {segments} packets");
    assert!(supers > 0 && segments >= BYTES / 1448);
}

#[test]
fn down_up_rename_and_removal() {
    let (Some(near), Some(far)) = (Netns::new("ring"), Netns::new("ring")) else { return };
    near.veth("v0", &far, "v1");
    let mut opened = open(&far, "v1", 3, &SMALL);
    far.enter();
    let mut injector = near.injector("v0");
    assert!(opened.rings.iter().all(|ring| ring.poll_error().is_none()));
    injector.send(&tcp(1));
    wait("the frame at the ring", || statistics(&mut opened.rings).0 == 1);
    far.shell("ip link set v1 down");
    for ring in &opened.rings {
        assert_eq!(ring.poll_error(), Some(DeviceEvent::Down));
        assert_eq!(ring.poll_error(), None, "told once");
    }
    assert_eq!(read(&mut opened.rings, 1).len(), 1, "what was there is still read");
    far.shell("ip link set v1 name v2");
    far.shell("ip link set v2 up");
    wait("carrier", || near.sysfs("v0", "operstate") == "up" && far.sysfs("v2", "operstate") == "up");
    assert_eq!(opened.rings[0].bound_name().as_deref(), Some("v2"));
    for n in 0..300 {
        injector.send(&tcp(n));
    }
    for (index, data, _) in read(&mut opened.rings, 300) {
        assert_eq!(index, member(key().deal(LinkType::Ethernet, &data), 3), "members keep their places");
    }
    far.shell("ip link del v2");
    for ring in &opened.rings {
        wait("the removal", || ring.poll_error().is_some() || ring.bound_name().is_none());
        assert_eq!(ring.bound_name(), None);
    }
}

#[test]
fn loopback_frames_are_taken_once() {
    let Some(netns) = Netns::new("ring") else { return };
    for workers in [1, 2] {
        let mut opened = open(&netns, "lo", workers, &SMALL);
        netns.run(|| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
            let target = socket.local_addr().expect("an address");
            for _ in 0..50 {
                socket.send_to(&[1; 30], target).expect("sent");
            }
        });
        let got = read(&mut opened.rings, 50);
        wait("the other sights", || {
            statistics(&mut opened.rings);
            let (read, second) = opened.rings.iter_mut().fold((0, 0), |sum, ring| {
                ring.peek_time();
                let counts = ring.counts();
                (sum.0 + counts.frames_read, sum.1 + counts.frames_second_sight)
            });
            assert_eq!((read, second), (50, 0), "the other sight takes no room in the ring");
            read == statistics(&mut opened.rings).0
        });
        assert_eq!(got.len(), 50, "{workers} workers");
    }
}

#[test]
fn packets_without_link_header_are_dealt_alike() {
    let Some(netns) = Netns::new("ring") else { return };
    // Makes a tun device, then writes to it the packets it reads as lines of hex.
    let script = "
import fcntl, os, struct, sys
tun = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH22x', b't0', 0x1001))
print('made', flush=True)
for line in sys.stdin: os.write(tun, bytes.fromhex(line.strip()))
";
    let child = netns
        .command("exec python3 -c \"$SCRIPT\"")
        .env("SCRIPT", script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.expect("ip netns exec runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut input = child.stdin.take().expect("a pipe");
    if !matches!(lines.next(), Some(Ok(line)) if line == "made") {
        eprintln!("SKIPPED: no tun device can be made (python3, /dev/net/tun)");
        let _ = child.wait();
        return;
    }
    netns.shell("ip link set t0 up");
    let mut opened = open(&netns, "t0", 3, &SMALL);
    assert_eq!((opened.rings[0].link_type(), opened.dealing), (LinkType::RawIp, Dealing::Ours));
    let mut injector = netns.injector("t0");
    for n in 0..100u16 {
        let quoted = ipv4([A, B], 6, 0, 0, &l4([n, 443], 0));
        let error = [&[3, 3, 0, 0, 0, 0, 0, 0], &quoted[..]].concat();
        for packet in [
            quoted,
            ipv4([B, A], 1, 0, 0, &error),
            ipv6([1, u128::from(n)], 17, &l4([n, 53], 0)),
            ipv4([A, B + u32::from(n)], 17, 0x2000, 0, &l4([n, 53], 0)),
        ] {
            let hex: String = packet.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(input, "{hex}").expect("written");
            injector.send(&packet);
        }
    }
    let mut members = [[0; 3]; 2];
    let mut got = 0;
    wait("800 packets", || {
        for (index, ring) in opened.rings.iter_mut().enumerate() {
            while let Some(frame) = ring.next_frame() {
                got += 1;
                assert_eq!(index, member(key().deal(LinkType::RawIp, frame.data), 3), "{frame:02x?}");
                members[usize::from(frame.direction == Some(Direction::Tx))][index] += 1;
            }
        }
        got == 800
    });
    assert!(members.as_flattened().iter().all(|&count| count > 50), "{members:?}");
    drop(input);
    child.wait().expect("ends at the end of its input");
}

#[test]
fn errors_say_what_is_wrong() {
    let Some(netns) = Netns::new("ring") else { return };
    netns.run(|| {
        for name in ["nosuch", "", "a-name-far-too-long", "sixteen-bytes-ab"] {
            let error = open_interface(name, 0, 2, &SMALL, &key(), &[]).err().expect("refused");
            assert_eq!(error.kind(), CaptureErrorKind::NoSuchInterface);
            let sentence = format!("{name}: no interface has this name; `ip link` lists them");
            assert_eq!(error.to_string(), sentence);
        }
        let endless = [SockFilter { code: 0xffff, jt: 0, jf: 0, k: 0 }];
        let error = open_interface("lo", 0, 1, &SMALL, &key(), &endless).err().expect("refused");
        assert_eq!(error.kind(), CaptureErrorKind::ProgramRefused);
    });
}

#[test]
fn two_rings_of_a_worker_are_read_in_time_order() {
    let (Some(near), Some(far)) = (Netns::new("ring"), Netns::new("ring")) else { return };
    near.veth("v0", &far, "v1");
    near.veth("w0", &far, "w1");
    let mut merge = Merge::new();
    far.run(|| {
        for (link, interface) in [(0, "v1"), (1, "w1")] {
            let opened = open_interface(interface, link, 1, &SMALL, &key(), &[]).expect("opens");
            opened.rings.into_iter().for_each(|ring| _ = merge.add(ring));
        }
    });
    let mut injectors = [near.injector("v0"), near.injector("w0")];
    // One busy, one quiet: a question here, its answer there, now and then.
    for n in 0..4000u32 {
        injectors[usize::from(n.is_multiple_of(97))].send(&tcp(n));
    }
    let mut numbers = Vec::new();
    let mut last = 0;
    wait("all frames", || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos() as u64;
        merge.poll(Some(now));
        while let Some(frame) = merge.next_frame() {
            assert!(frame.time_ns >= last);
            last = frame.time_ns;
            assert_eq!(frame.link == 1, number(frame.data).is_multiple_of(97));
            numbers.push(number(frame.data));
        }
        numbers.len() == 4000
    });
    assert_eq!(merge.counts().frames_late, 0);
    let ordered = numbers.windows(2).filter(|pair| pair[0] < pair[1]).count();
    println!("{ordered} of 3999 neighbours in the order of sending");
    assert_eq!(ordered, 3999, "sent by one thread, so stamped in that order");
}

/// Not a test of anything but a figure: what walking a full ring costs. Run by
/// `CARGO_INCREMENTAL=0 cargo test --config 'profile.dev.package.fullcount={opt-level=3,codegen-units=1}' --test ring_live cost -- --ignored --nocapture`.
#[test]
#[ignore = "prints figures, asserts counts only"]
fn cost_of_walking_a_full_ring() {
    let (Some(near), Some(far)) = (Netns::new("ring"), Netns::new("ring")) else { return };
    near.veth("v0", &far, "v1");
    near.veth("w0", &far, "w1");
    const FRAMES: u32 = 200_000;
    let config = RingConfig { bytes: 64 << 20, retire_ms: 400, ..SMALL };
    let mut injectors = [near.injector("v0"), near.injector("w0")];
    let filled = |split: bool, injectors: &mut [_; 2]| -> Vec<Ring> {
        let interfaces = if split { &["v1", "w1"][..] } else { &["v1"] };
        let mut rings: Vec<Ring> =
            interfaces.iter().flat_map(|interface| open(&far, interface, 1, &config).rings).collect();
        for n in 0..FRAMES {
            common::netns::Injector::send(&mut injectors[usize::from(split && n % 2 == 1)], &tcp(n));
        }
        wait("all frames", || statistics(&mut rings).0 == u64::from(FRAMES));
        assert_eq!(statistics(&mut rings).1, 0);
        // The last block is handed over by time.
        let retired = std::time::Instant::now();
        wait("the last blocks", || retired.elapsed().as_millis() > 900);
        rings
    };
    let report = |what: &str, count: u32, begin: std::time::Instant| {
        assert_eq!(count, FRAMES, "{what}");
        println!("{what}: {:.1} ns a frame", begin.elapsed().as_nanos() as f64 / f64::from(FRAMES));
    };
    for _ in 0..3 {
        let mut rings = filled(false, &mut injectors);
        let (mut count, mut sum) = (0, 0);
        let begin = std::time::Instant::now();
        while let Some(frame) = rings[0].next_frame() {
            count += 1;
            sum += frame.time_ns & 1;
        }
        report("one ring, headers only", count, begin);

        let mut rings = filled(false, &mut injectors);
        let (mut count, deal) = (0, key());
        let begin = std::time::Instant::now();
        while let Some(frame) = rings[0].next_frame() {
            count += 1;
            sum += u64::from(deal.deal(frame.link_type, frame.data) & 1);
        }
        report("one ring, dealt in user space", count, begin);

        for split in [false, true] {
            let mut merge = Merge::new();
            filled(split, &mut injectors).into_iter().for_each(|ring| _ = merge.add(ring));
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos() as u64;
            merge.poll(Some(now + 1_000_000_000));
            let mut count = 0;
            let begin = std::time::Instant::now();
            while let Some(frame) = merge.next_frame() {
                count += 1;
                sum += frame.time_ns & 1;
            }
            report(if split { "merge of two, every second frame" } else { "merge of one" }, count, begin);
            assert_eq!(merge.counts().frames_late, 0);
        }
        let hot: Vec<_> = (0..1000).map(tcp).collect();
        let (mut count, begin) = (0, std::time::Instant::now());
        for frame in hot.iter().cycle().take(FRAMES as usize) {
            count += 1;
            sum += u64::from(deal.deal(LinkType::Ethernet, frame) & 1);
        }
        report("dealt in user space, frames in cache", count, begin);
        println!("({sum})");
    }
}
