//! Expressions on packet sockets: the kernel strips VLAN tags before a filter
//! runs, so a ring's program is another than a file's, and must select the
//! same frames all the same. Needs root, `ip`, libpcap; makes its own network
//! namespace and takes it away again.

mod filter_frames;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;

use filter_frames::{Fixture, fixtures, frames, have, have_libpcap, number, program};
use fullcount::capture::LinkType;
use fullcount::capture::filter::{Filter, FilterError, Program, SOCKET_MAX, compose, run};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

/// Frames sent; each socket holds some 1.5 KiB for each in its queue.
const FRAMES: u16 = 800;

/// A namespace with a veth pair, gone when dropped. Its name holds our
/// process id, so that tests may run side by side.
struct Namespace(String);

impl Namespace {
    fn new(what: &str) -> Option<Namespace> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: needs root");
            return None;
        }
        if !have_libpcap() || Command::new("ip").arg("-V").output().is_err() {
            eprintln!("SKIPPED: needs libpcap and ip");
            return None;
        }
        let name = format!("filter-{what}-{}", std::process::id());
        if !ip(&["netns", "add", &name]) {
            eprintln!("SKIPPED: no network namespace to be had here");
            return None;
        }
        let namespace = Namespace(name);
        let n = namespace.0.as_str();
        assert!(ip(&["-n", n, "link", "add", "filter0", "type", "veth", "peer", "name", "filter1"]));
        for side in ["filter0", "filter1"] {
            // No neighbour discovery of the kernel's own among our frames.
            assert!(ip(&["-n", n, "link", "set", side, "addrgenmode", "none"]));
            assert!(ip(&["-n", n, "link", "set", side, "up", "promisc", "on"]));
        }
        Some(namespace)
    }

    /// Moves this thread, and what it starts, into the namespace.
    fn enter(&self) {
        let file = File::open(format!("/run/netns/{}", self.0)).unwrap();
        let kind = rustix::thread::LinkNameSpaceType::Network;
        rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(kind)).unwrap();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.0]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().unwrap().status.success()
}

/// Sets a socket option of plain data.
fn set<T>(socket: &OwnedFd, level: i32, option: i32, value: &T) -> std::io::Result<()> {
    // SAFETY: an open socket, and a pointer to and the size of a value that
    // outlives the call; the kernel reads only that many bytes.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as u32,
        )
    };
    if status == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// A raw packet socket on an interface, with a program from its first frame on.
fn open(interface: &str, program: &Program) -> OwnedFd {
    // Protocol 0 receives nothing until bind names one.
    let socket = rustix::net::socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        SocketFlags::NONBLOCK,
        None::<Protocol>,
    )
    .unwrap();
    set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &(FRAMES as i32 * 4096)).unwrap();
    let instructions = program.instructions();
    let attached = libc::sock_fprog {
        len: instructions.len().try_into().unwrap(),
        filter: instructions.as_ptr().cast_mut().cast(),
    };
    set(&socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &attached)
        .unwrap_or_else(|error| panic!("the kernel refuses {instructions:?}: {error}"));
    // SAFETY: plain data, for which all zeros is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index(interface) as i32;
    // SAFETY: an open socket, a pointer to and the size of a whole sockaddr_ll.
    let status = unsafe {
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as u32)
    };
    assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
    socket
}

fn index(interface: &str) -> u32 {
    let name = std::ffi::CString::new(interface).unwrap();
    // SAFETY: a C string that outlives the call.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

/// Numbers of our frames that wait in a socket.
fn drain(socket: &OwnedFd, into: &mut BTreeSet<u16>) {
    let mut buffer = [0u8; 4096];
    while let Ok((_, length)) = rustix::net::recv(socket, &mut buffer[..], RecvFlags::empty()) {
        into.extend(number(&buffer[..length]));
    }
}

/// The frame as the kernel shows it to a filter: without its outer tag.
fn stripped(frame: &[u8]) -> Vec<u8> {
    match frame.get(12..14) {
        Some([0x81, 0x00] | [0x88, 0xa8]) => [&frame[..12], &frame[16..]].concat(),
        _ => frame.to_vec(),
    }
}

/// What a ring must select, told by the file's program.
///
/// As tcpdump has it on a live interface, an expression without `vlan` looks at
/// the frame that is left after stripping: `tcp` finds tagged TCP too, which it
/// does not in a file. With `vlan` it looks at the whole frame, as in a file.
fn expected(expression: &str, sent: &[Vec<u8>]) -> BTreeSet<u16> {
    let select = |expression: &str, whole: bool| -> BTreeSet<u16> {
        let program = match Filter::for_file(expression, LinkType::Ethernet) {
            Ok(program) => program,
            Err(error) => panic!("{error}"),
        };
        sent.iter()
            .filter(|frame| {
                let data = if whole { frame.to_vec() } else { stripped(frame) };
                run(&program, &data, frame.len() as u32) > 0
            })
            .map(|frame| number(frame).unwrap())
            .collect()
    };
    match expression {
        // In a file nothing is `ip` and tagged at once, and tcpdump refuses it. On
        // a live interface `ip` looks at what is left after stripping.
        "ip and vlan" => select("vlan and ip", true),
        "inbound" => select("", true), // all of ours come in
        "outbound" => BTreeSet::new(),
        "ifindex 2" if index("filter1") == 2 => select("", true),
        "ifindex 2" => BTreeSet::new(),
        _ => select(expression, expression.contains("vlan")),
    }
}

/// Sends the frames through the pair and gives what each program's socket got.
fn selected(programs: &[Program], sent: &[Vec<u8>]) -> Vec<BTreeSet<u16>> {
    let all = compose(None, 4096);
    // The list of taps is walked in one order or the other: with a witness
    // opened first and one last, who is behind both is behind all.
    let first = open("filter1", &all);
    let sockets: Vec<OwnedFd> = programs.iter().map(|program| open("filter1", program)).collect();
    let last = open("filter1", &all);
    let sender = open("filter0", &fullcount::capture::filter::drop_all());
    for frame in sent {
        let length = rustix::net::send(&sender, frame, SendFlags::empty()).unwrap();
        assert_eq!(length, frame.len());
    }
    for witness in [first, last] {
        let mut seen = BTreeSet::new();
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while seen.len() < sent.len() {
            drain(&witness, &mut seen);
            assert!(std::time::Instant::now() < limit, "{} of {} frames arrived", seen.len(), sent.len());
        }
    }
    let got = sockets.iter().map(|socket| {
        let mut numbers = BTreeSet::new();
        drain(socket, &mut numbers);
        numbers
    });
    got.collect()
}

/// Expressions on which the kernel's machine and libpcap's (ours) differ, so
/// that `tcpdump -i` and `tcpdump -r` differ as well, and why.
const EXCEPTIONS: [(&str, &str); 2] = [
    (
        "ip[0:4] << ip[8] > 5",
        "a shift by X is by X modulo 32 in the kernel, and gives 0 from 32 on in libpcap",
    ),
    ("ip[ip[0] - 70] = 0", "an index below 0 reads what is before in the kernel, and refuses in libpcap"),
];

#[test]
fn rings_select_what_files_do() {
    let Some(namespace) = Namespace::new("select") else { return };
    namespace.enter();
    let sent = frames(3, FRAMES);
    let mut compiled = Vec::new();
    for Fixture { expression, answer } in fixtures() {
        match Filter::for_ring(&expression, "filter1") {
            Ok(program) => {
                assert!(program.instructions().len() <= SOCKET_MAX);
                compiled.push((expression, compose(Some(&program), 4096)));
            }
            Err(error) => assert!(answer.is_err(), "{expression}: {error}"),
        }
    }
    let programs: Vec<Program> = compiled.iter().map(|(_, program)| program.clone()).collect();
    let mut told = Vec::new();
    for ((expression, _), got) in compiled.iter().zip(selected(&programs, &sent)) {
        let expected = expected(expression, &sent);
        if let Some((_, why)) = EXCEPTIONS.iter().find(|(exception, _)| exception == expression) {
            assert_ne!(got, expected, "no longer an exception: {expression}: {why}");
        } else if got != expected {
            let differ: Vec<&u16> = got.symmetric_difference(&expected).take(8).collect();
            told.push(format!("{expression}: got {}, expected {}, {differ:?}", got.len(), expected.len()));
        }
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
    assert!(compiled.len() > 120, "{}", compiled.len());
}

/// tcpdump on the same interface makes the same programs, but for what we mend
/// (`len` and its kin, loops).
#[test]
fn ring_programs_are_those_of_tcpdump() {
    let Some(namespace) = Namespace::new("program") else { return };
    if !have("tcpdump") {
        return;
    }
    namespace.enter();
    // With an address, as a net mask might make another program of `ip broadcast`.
    assert!(ip(&["addr", "add", "198.18.0.1/24", "dev", "filter1"]));
    let mended = |e: &str| ["len", "less", "greater", "protochain"].iter().any(|word| e.contains(word));
    let mut compared = 0;
    for Fixture { expression, .. } in fixtures() {
        if mended(&expression) || expression.contains("nosuchhost") {
            continue;
        }
        let out =
            Command::new("tcpdump").args(["-i", "filter1", "-ddd", "--", &expression]).output().unwrap();
        let ours = Filter::for_ring(&expression, "filter1");
        assert_eq!(ours.is_ok(), out.status.success(), "{expression}: {ours:?}");
        if let Ok(ours) = ours {
            let theirs = program(&String::from_utf8_lossy(&out.stdout), '\n');
            assert_eq!(ours.instructions(), theirs, "{expression}");
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn interfaces_that_cannot_be_used_are_told() {
    let Some(namespace) = Namespace::new("interface") else { return };
    namespace.enter();
    let error = Filter::for_ring("tcp", "filter9").unwrap_err();
    assert!(matches!(error, FilterError::Interface { .. }), "{error:?}");
    assert!(error.to_string().contains("filter9"), "{error}");
    // Down: libpcap does not open it, but a ring may wait for it to come up.
    let up = Filter::for_ring("vlan 42 and len > 90", "filter1").unwrap();
    assert!(ip(&["link", "set", "lo", "up"]) && ip(&["link", "set", "filter1", "down"]));
    assert_eq!(Filter::for_ring("vlan 42 and len > 90", "filter1"), Ok(up));
    let error = Filter::for_ring("tcp port", "filter1").unwrap_err();
    assert!(matches!(error, FilterError::Refused { .. }), "{error:?}");
}
