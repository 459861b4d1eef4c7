//! Every outcome of a handshake, live: the kernel's TCP and scripted clients
//! against scripted servers, a router that refuses, closed ports, silence.
//!
//! Truth: the frames with their stamps as tcpdump wrote them on the same
//! interface, what `connect` said to the client, the kernel's own counters.

#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;
#[path = "common/peers.rs"]
mod peers;

use frames::{Ends, UDP, ethernet, ip, udp};
use live::netns::Netns;
use live::{Fullcount, connections, number, pair, skipped, total};
use peers::*;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::ErrorKind::{self, *};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const NEAR: &str = "198.18.1.1";
const ROUTER: &str = "198.18.1.254";
/// Scripted servers; those without a script are a black hole.
const SERVERS: [&str; 2] = ["198.18.2.1", "2001:db8:2::1"];
/// Of no machine, so that no kernel answers; told to be here by -F.
const SCRIPTED: &str = "198.18.9.1";
/// `--timeout`
const TIMEOUT_SECONDS: u64 = 2;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn ends(from: (&str, u16), to: (&str, u16)) -> Ends {
    Ends { source: (address(from.0), from.1), destination: (address(to.0), to.1) }
}

/// One link; `far` is the router to everything, and refuses or drops it.
fn routed(near: &Netns, far: &Netns) {
    near.veth("v0", far, "w0");
    let mac = |netns: &Netns, name: &str| netns.sysfs(name, "address");
    let own = |name: &str, ip4: &str, ip6: &str| {
        format!(
            "for which in all default {name}; do sysctl -qw net.ipv6.conf.$which.disable_ipv6=0; done && \
             sysctl -qw net.ipv6.conf.{name}.accept_dad=0 net.ipv6.conf.{name}.router_solicitations=0 && \
             ip addr add {ip4}/24 dev {name} && ip addr add {ip6}/64 dev {name} nodad"
        )
    };
    let knows = |ip: &str, name: &str, mac: String| {
        format!("ip neigh replace {ip} dev {name} lladdr {mac} nud permanent")
    };
    near.shell(&own("v0", NEAR, "2001:db8:1::1"));
    near.shell(&knows(ROUTER, "v0", mac(far, "w0")));
    near.shell(&knows("2001:db8:1::fe", "v0", mac(far, "w0")));
    near.shell(
        "ip route add 198.18.0.0/16 via 198.18.1.254 && ip route add 2001:db8::/32 via 2001:db8:1::fe && \
         sysctl -qw net.ipv4.tcp_syn_retries=1 net.ipv4.tcp_synack_retries=1 && \
         { sysctl -qw net.ipv4.tcp_syn_linear_timeouts=0 || true; }", // since Linux 6.5
    );
    far.shell(&own("w0", ROUTER, "2001:db8:1::fe"));
    far.shell(&knows(NEAR, "w0", mac(near, "v0")));
    far.shell(&knows("2001:db8:1::1", "w0", mac(near, "v0")));
    far.shell(
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.icmp_ratelimit=0 \
         net.ipv6.icmp.ratelimit=0 && \
         ip route add blackhole 198.18.2.0/24 && ip route add blackhole 198.18.9.0/24 && \
         ip route add unreachable 198.18.4.0/24 && ip route add prohibit 198.18.5.0/24 && \
         ip -6 route add blackhole 2001:db8:2::/64 && ip -6 route add prohibit 2001:db8:4::/64",
    );
}

/// From which SYN (or SYN/ACK) to which SYN/ACK (or ACK), by their numbers; LAST is the last.
type Half = Option<[usize; 2]>;
const LAST: usize = usize::MAX;
const FIRST: Half = Some([0, 0]);

/// An attempt, and what has to be said of it.
struct Case {
    server: SocketAddr,
    outcome: &'static str,
    /// Type and code of `unreach`, reason of a time-out.
    why: Value,
    /// Repeated SYNs and SYN/ACKs until it was decided.
    copies: [u64; 2],
    halves: [Half; 2],
    /// What a kernel that connects is told in the end; None where none does.
    told: Option<Result<(), ErrorKind>>,
    watch: &'static str,
}

fn case(server: (&str, u16), outcome: &'static str, told: Result<(), ErrorKind>) -> Case {
    let halves = if outcome == "success" { [FIRST, FIRST] } else { [None, None] };
    let server = SocketAddr::new(address(server.0), server.1);
    Case { server, outcome, why: Value::Null, copies: [0, 0], halves, told: Some(told), watch: "TX" }
}

fn unreach(server: (&str, u16), icmp: [u8; 2], told: ErrorKind) -> Case {
    let why = json!({"type": icmp[0], "code": icmp[1]});
    Case { why, ..case(server, "unreach", Err(told)) }
}

/// What kernels do: near's own connections, and one case of far's.
fn of_kernels() -> Vec<Case> {
    let [v4, v6] = SERVERS;
    let mut cases = vec![
        case((v4, 7020), "success", Ok(())),
        case((v6, 7100), "success", Ok(())),
        case((v4, 7500), "success", Ok(())),
        // The router itself: nobody listens.
        case((ROUTER, 9), "reject", Err(ConnectionRefused)),
        case(("2001:db8:1::fe", 9), "reject", Err(ConnectionRefused)),
        // As the kernel of a router says it, and as a script does.
        unreach(("198.18.4.1", 80), [3, 1], HostUnreachable),
        unreach(("198.18.5.1", 80), [3, 13], HostUnreachable),
        unreach(("198.18.6.1", 80), [3, 0], NetworkUnreachable),
        unreach(("2001:db8:4::1", 80), [1, 1], PermissionDenied),
        unreach(("2001:db8:6::1", 80), [1, 0], NetworkUnreachable),
        unreach((v4, 303), [3, 3], ConnectionRefused),
        unreach((v4, 1100), [11, 0], HostUnreachable),
        unreach((v6, 104), [1, 4], ConnectionRefused),
        unreach((v6, 103), [1, 3], HostUnreachable),
        unreach((v6, 300), [3, 0], HostUnreachable),
        // A path's size is no failure.
        case((v4, 304), "success", Ok(())),
        case((v6, 200), "success", Ok(())),
    ];
    for server in SERVERS {
        let why = json!("no_synack");
        cases.push(Case { why, copies: [1, 0], ..case((server, 666), "timeout", Err(TimedOut)) });
    }
    let repeated = |port, copies, halves| Case { copies, halves, ..case((v4, port), "success", Ok(())) };
    cases.extend([
        // The first SYN is lost: which one was answered is told by time stamps only.
        repeated(8000, [1, 0], [None, FIRST]),
        repeated(8001, [1, 0], [Some([LAST, 0]), FIRST]),
        repeated(8002, [1, 0], [FIRST, FIRST]),
        // The first SYN/ACK is lost on its last yard, then repeated by itself or by the second SYN.
        repeated(8010, [1, 1], [FIRST, None]),
        repeated(8011, [1, 1], [FIRST, Some([LAST, 0])]),
        repeated(8012, [0, 1], [FIRST, None]),
        repeated(8013, [0, 1], [FIRST, Some([LAST, 0])]),
        // Towards this machine: taken, and refused.
        Case { watch: "RX", ..case((NEAR, 8080), "success", Ok(())) },
        Case { watch: "RX", ..case((NEAR, 8081), "reject", Err(ConnectionRefused)) },
    ]);
    cases
}

/// Scripted clients near (ports 5000 and up) and far.
fn of_scripts() -> Vec<Case> {
    let v4 = SERVERS[0];
    let of = |port, outcome| Case { told: None, ..case((v4, port), outcome, Ok(())) };
    let why = json!("no_ack");
    vec![
        of(9000, "success"),
        Case { halves: [FIRST, None], ..of(9001, "aborted") },
        Case { why: json!({"type": 3, "code": 1}), ..of(9002, "unreach") },
        Case { why: why.clone(), copies: [0, 1], halves: [FIRST, None], ..of(9003, "timeout") },
        Case {
            why,
            copies: [0, 1],
            halves: [FIRST, None],
            told: None,
            watch: "RX",
            ..case((NEAR, 8082), "timeout", Ok(()))
        },
    ]
}

/// The servers' script, by port.
fn serve(copies: &[Segment], packet: &[u8]) -> Reply {
    let (first, last) = (copies[0], copies[copies.len() - 1]);
    if last.flags != SYN {
        return Vec::new();
    }
    let second = copies.len() == 2;
    let synack = |stamp| last.answer(SYN | ACK, 70_000, stamp).packet();
    let stamped = || synack(Some(9000));
    // The sum is wrong: it passes the interface and goes no further.
    let broken = |stamp| {
        let mut packet = synack(stamp);
        packet[36] ^= 1;
        packet
    };
    let router = |v4: bool| address(if v4 { ROUTER } else { "2001:db8:1::fe" });
    let error = |icmp| (10, icmp_error(icmp, router(last.ends.source.0.is_ipv4()), packet));
    match last.ends.destination.1 {
        7020 => vec![(20, stamped())],
        7100 => vec![(100, stamped())],
        7500 => vec![(500, stamped())],
        303 => vec![error([3, 3])],
        1100 => vec![error([11, 0])],
        104 => vec![error([1, 4])],
        103 => vec![error([1, 3])],
        300 => vec![error([3, 0])],
        304 => vec![error([3, 4]), (30, stamped())],
        200 => vec![error([2, 0]), (30, stamped())],
        8000 if second => vec![(20, synack(None))],
        8001 if second => vec![(20, stamped())],
        8002 if second => vec![(20, first.answer(SYN | ACK, 70_000, Some(9000)).packet())],
        8010 if second => vec![(20, synack(None))],
        8010 => vec![(20, broken(None))],
        8011 if second => vec![(20, synack(Some(10_000)))],
        8011 => vec![(20, broken(Some(9000)))],
        8012 => vec![(20, broken(None)), (320, synack(None))],
        8013 => vec![(20, broken(Some(9000))), (320, synack(Some(9300)))],
        9000 | 9001 => vec![(20, stamped())],
        9002 if second => vec![(20, stamped())],
        9002 => vec![error([3, 1])],
        9003 => vec![(20, stamped()), (520, stamped())],
        _ => Vec::new(),
    }
}

fn scripted_syn(port: u16) -> Segment {
    Segment::syn(ends((SCRIPTED, port - 4000), (SERVERS[0], port)), 4_294_967_295, Some(50))
}

/// What the scripted clients begin with; that of 9002 asks once more.
fn asked() -> Reply {
    let syn = |port, ms| (ms, scripted_syn(port).packet());
    vec![syn(9000, 0), syn(9001, 0), syn(9002, 0), syn(9002, 400), syn(9003, 0)]
}

/// The scripted clients' answers to SYN/ACKs.
fn ask(copies: &[Segment], _: &[u8]) -> Reply {
    let last = copies[copies.len() - 1];
    if last.flags != SYN | ACK || copies.len() > 1 {
        return Vec::new();
    }
    match last.ends.destination.1 {
        5000 => vec![(30, last.answer(ACK, 0, Some(80)).packet())],
        5001 => vec![(30, Segment { flags: RST, ..last.answer(ACK, 0, None) }.packet())],
        5002 => vec![(0, last.answer(ACK, 0, Some(300)).packet())],
        _ => Vec::new(),
    }
}

/// tcpdump, writing what passes an interface.
struct Capture {
    child: Child,
    file: PathBuf,
    _directory: tempfile::TempDir,
}

impl Capture {
    fn begin(netns: &Netns, interface: &str) -> Option<Capture> {
        if Command::new("tcpdump").arg("--version").output().is_err() {
            skipped("stamps of handshakes", "no tcpdump");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("handshakes.pcap");
        let line = format!(
            "exec tcpdump -i {interface} -U -Z root -s 200 -B 4096 --immediate-mode \
             --time-stamp-precision=nano -w {} 'tcp or icmp or icmp6'",
            file.display()
        );
        let mut child = netns.command(&line).stderr(Stdio::piped()).spawn().expect("it is there");
        // It listens once it has said so.
        let mut err = BufReader::new(child.stderr.take().expect("piped"));
        let mut said = String::new();
        while !said.contains("listening on") {
            if err.read_line(&mut said).expect("text") == 0 {
                // It wants to be another user, which there may not be.
                skipped("stamps of handshakes", said.trim());
                child.wait().expect("a child");
                return None;
            }
        }
        std::thread::spawn(move || std::io::copy(&mut err, &mut std::io::sink()));
        Some(Capture { child, file, _directory: directory })
    }

    /// Packets with their stamps, ns since the epoch.
    fn end(mut self) -> Vec<(u64, Vec<u8>)> {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).expect("a pid");
        rustix::process::kill_process(pid, Signal::INT).expect("it runs");
        self.child.wait().expect("a child");
        let bytes = std::fs::read(&self.file).expect("written");
        assert_eq!(bytes[..4], 0xa1b2_3c4d_u32.to_ne_bytes(), "nanoseconds");
        let (mut rest, mut packets) = (&bytes[24..], Vec::new());
        while let Some((head, behind)) = rest.split_at_checked(16) {
            let word = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().expect("four"));
            let (frame, behind) = behind.split_at(word(8) as usize);
            let stamp = u64::from(word(0)) * 1_000_000_000 + u64::from(word(4));
            packets.extend(packet_of(frame).map(|packet| (stamp, packet.to_vec())));
            rest = behind;
        }
        packets
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// When what of an attempt passed, ns.
#[derive(Default)]
struct Passed {
    syn: Vec<u64>,
    synack: Vec<u64>,
    /// From the client, without SYN.
    ack: Vec<u64>,
    rst: Vec<u64>,
    icmp: Vec<u64>,
}

impl Passed {
    fn add(&mut self, stamp: u64, segment: &Segment, from_client: bool) {
        let list = match segment.flags & (SYN | ACK | RST) {
            SYN => &mut self.syn,
            both if both == SYN | ACK => &mut self.synack,
            flags if flags & RST != 0 => &mut self.rst,
            ACK if from_client => &mut self.ack,
            _ => return,
        };
        list.push(stamp);
    }
}

fn by_server(packets: &[(u64, Vec<u8>)], servers: &[SocketAddr]) -> BTreeMap<SocketAddr, Passed> {
    let mut passed: BTreeMap<SocketAddr, Passed> = BTreeMap::new();
    for (stamp, packet) in packets {
        let socket = |(ip, port): (IpAddr, u16)| SocketAddr::new(ip, port);
        if let Some((icmp, quote)) = quoted(packet) {
            let fails = !matches!(icmp, [3, 4] | [2, _]);
            let server = socket(quote.ends.destination);
            passed.entry(server).or_default().icmp.extend(Some(*stamp).filter(|_| fails));
        } else if let Some(segment) = Segment::of(packet) {
            let [to, from] = [segment.ends.destination, segment.ends.source].map(socket);
            let from_client = servers.contains(&to);
            passed.entry(if from_client { to } else { from }).or_default().add(*stamp, &segment, from_client);
        }
    }
    passed
}

fn seconds(from: u64, to: u64) -> f64 {
    (to - from) as f64 / 1e9
}

/// Within a millisecond: each socket may stamp a frame that comes in by itself.
fn assert_close(told: &Value, truth: f64, what: &str) {
    let told = told.as_f64().unwrap_or_else(|| panic!("{what} is {told}, and took {truth}"));
    assert!((told - truth).abs() < 1e-3, "{what}: {told}, and took {truth}");
}

/// A session line and what passed.
fn assert_times(line: &Value, case: &Case, passed: &Passed) {
    let at = |list: &[u64], n: usize| list[n.min(list.len() - 1)];
    let first = passed.syn[0];
    let start = live_time(&line["start"]);
    assert!(start.abs_diff(first) < 1_000_000, "it starts with its SYN at {first}: {line}");
    let waited = |last: u64| last + TIMEOUT_SECONDS * 1_000_000_000;
    let (syns, synacks) = (case.copies[0] as usize, case.copies[1] as usize);
    let end = match case.outcome {
        "success" => passed.ack[0],
        "reject" | "aborted" => passed.rst[0],
        "unreach" => passed.icmp[0],
        _ if passed.synack.is_empty() => waited(at(&passed.syn, syns)),
        _ => waited(at(&passed.synack, synacks)),
    };
    assert_close(&line["seconds"], seconds(first, end), &format!("seconds of {line}"));
    let lists = [[&passed.syn, &passed.synack], [&passed.synack, &passed.ack]];
    let names = ["syn_to_synack_seconds", "synack_to_ack_seconds"];
    for ((name, half), [from, to]) in names.iter().zip(case.halves).zip(lists) {
        match half {
            None => assert_eq!(line[name], Value::Null, "{name}: {line}"),
            Some([a, b]) => {
                assert_close(&line[name], seconds(at(from, a), at(to, b)), &format!("{name} of {line}"));
            }
        }
    }
}

fn live_time(value: &Value) -> u64 {
    let time: jiff::Timestamp = value.as_str().expect("a time").parse().expect("a time");
    u64::try_from(time.as_nanosecond()).expect("this century")
}

/// The session line of a case, times aside.
fn assert_session(line: &Value, case: &Case, interfaces: [&str; 2]) {
    assert_eq!(line["outcome"], case.outcome, "{line}");
    assert_eq!(line["watch"], json!([case.watch]), "{line}");
    let why = line.get("icmp").or(line.get("reason")).unwrap_or(&Value::Null);
    assert_eq!(*why, case.why, "{line}");
    let copies = [&line["syn_retransmitted"], &line["synack_retransmitted"]].map(number);
    assert_eq!(copies, case.copies, "{line}");
    // An ICMP error is no packet of the attempt.
    let silent = case.outcome == "unreach" || case.why == "no_synack";
    let s2c = if silent { Value::Null } else { json!(interfaces[1]) };
    assert_eq!(line["interfaces"], json!({"c2s": interfaces[0], "s2c": s2c}), "{line}");
}

/// What `handshake` lines have to sum to, and `stop` to say, for a watch; latencies aside.
fn sums(cases: &[Case], watch: &str) -> Value {
    let of = |outcome: &str| {
        cases.iter().filter(|case| case.watch == watch && case.outcome == outcome).collect::<Vec<_>>()
    };
    let count = |outcome: &str| of(outcome).len();
    let again = |which: usize| of("success").iter().filter(|case| case.copies[which] > 0).count();
    let segments = |which: usize| {
        cases.iter().filter(|case| case.watch == watch).map(|case| case.copies[which]).sum::<u64>()
    };
    json!({
        "success": count("success"),
        "sessions_with_syn_retransmitted": again(0), "sessions_with_synack_retransmitted": again(1),
        "syn_retransmitted_segments": segments(0), "synack_retransmitted_segments": segments(1),
        "timeout": count("timeout"), "reject": count("reject"), "unreach": count("unreach"),
        "aborted": count("aborted"), "indeterminate": 0, "evicted": 0, "syn_unseen": 0,
    })
}

/// The counters of a `handshake` line, or of several added up, in the same form.
fn counters<'a>(lines: impl Iterator<Item = &'a Value>) -> Value {
    let mut sum: BTreeMap<String, u64> = BTreeMap::new();
    let mut add = |name: &str, value: u64| *sum.entry(name.to_owned()).or_default() += value;
    // Absent where it is 0; a watch that saw nothing has no line.
    let none = sums(&[], "");
    none.as_object().expect("an object").keys().for_each(|name| add(name, 0));
    for line in lines {
        let figures = line.as_object().expect("an object").iter();
        for (name, value) in
            figures.filter(|(name, value)| value.is_u64() && !["seq", "half_open"].contains(&name.as_str()))
        {
            add(name, number(value));
        }
        for (name, value) in line["failure"].as_object().expect("an object") {
            add(name, number(value));
        }
    }
    json!(sum)
}

/// A figure of `Tcp:` in /proc/net/snmp.
fn tcp_counter(netns: &Netns, name: &str) -> u64 {
    let text = netns.shell("grep ^Tcp: /proc/net/snmp");
    let (names, figures) = text.split_once('\n').expect("two lines");
    let place = names.split_whitespace().position(|one| one == name).expect("it is counted");
    figures.split_whitespace().nth(place).and_then(|figure| figure.parse().ok()).expect("a number")
}

/// All that kernels ask for, at once; what they got stays open.
fn connect_all(near: &Netns, far: &Netns, cases: &[Case]) -> Vec<TcpStream> {
    std::thread::scope(|scope| {
        let asked = cases.iter().filter_map(|case| {
            let told = case.told?;
            let from = if case.watch == "TX" { near } else { far };
            let thread = scope.spawn(move || from.run(|| TcpStream::connect(case.server)));
            Some((case, told, thread))
        });
        let asked: Vec<_> = asked.collect();
        let got = asked.into_iter().filter_map(|(case, told, thread)| {
            let got = thread.join().expect("no panic");
            let word = got.as_ref().map(|_| ()).map_err(std::io::Error::kind);
            assert_eq!(word, told, "what {} told the client", case.server);
            got.ok()
        });
        got.collect()
    })
}

fn every_outcome(test: &str, workers: usize) {
    let Some((near, far)) = pair(test) else { return };
    routed(&near, &far);
    let cases: Vec<Case> = of_kernels().into_iter().chain(of_scripts()).collect();
    let listeners = near.run(|| [8080, 8082].map(|port| TcpListener::bind((NEAR, port)).expect("free")));
    let capture = Capture::begin(&near, "v0");
    let running = Fullcount::start(
        &near,
        &format!(
            "-i v0 --timeout {TIMEOUT_SECONDS} --interval 0.2 --sessions --connections --workers {workers} \
             -F 198.18.9.0/24"
        ),
    );
    let (here, there) = ((&near, "v0"), (&far, "w0"));
    let [to_near, to_far] = [here, there].map(|(netns, name)| netns.sysfs(name, "address"));
    Station { hears: there, sends: there, to: to_near.clone() }.run(Vec::new(), serve);
    Station { hears: here, sends: here, to: to_far }.run(asked(), ask);
    // Asks the kernel here and never says more.
    let syn = Segment::syn(ends((SERVERS[0], 6082), (NEAR, 8082)), 1, None);
    Station { hears: there, sends: there, to: to_near }.run(vec![(0, syn.packet())], |_, _| Vec::new());
    let streams = connect_all(&near, &far, &cases);
    running.wait_for("a session for each attempt", |lines| {
        let sessions = lines.iter().filter(|line| line["type"] == "session").count();
        (sessions >= cases.len()).then_some(())
    });
    running.wait_interval();
    let lines = running.stop().lines();
    drop((streams, listeners));
    let servers: Vec<SocketAddr> = cases.iter().map(|case| case.server).collect();
    let passed = capture.map(|capture| by_server(&capture.end(), &servers));
    check(&cases, &lines, passed.as_ref(), ["v0", "v0"]);
    came_up_after_all(&lines);
    let kernels = cases.iter().filter(|case| case.told.is_some() && case.watch == "TX");
    assert_eq!(tcp_counter(&near, "ActiveOpens"), kernels.clone().count() as u64);
    let failed = kernels.filter(|case| case.outcome != "success").count() as u64;
    assert_eq!(tcp_counter(&near, "AttemptFails"), failed);
}

/// All session lines and sums; `interfaces`: from clients, and from servers.
fn check(
    cases: &[Case],
    lines: &[Value],
    passed: Option<&BTreeMap<SocketAddr, Passed>>,
    interfaces: [&str; 2],
) {
    let sessions: Vec<&Value> = lines.iter().filter(|line| line["type"] == "session").collect();
    assert_eq!(sessions.len(), cases.len(), "one line an attempt");
    let mut longest: BTreeMap<&str, f64> = BTreeMap::new();
    for case in cases {
        let server = json!({"ip": case.server.ip().to_string(), "port": case.server.port()});
        let line = sessions.iter().find(|line| line["server"] == server).expect("its session");
        assert_session(line, case, interfaces);
        if let Some(passed) = passed {
            assert_times(line, case, &passed[&case.server]);
        }
        if case.outcome == "success" {
            let longest = longest.entry(case.watch).or_default();
            *longest = longest.max(line["seconds"].as_f64().expect("a number"));
        }
    }
    let stop = lines.last().expect("lines");
    assert_eq!(stop.get("handshakes_elsewhere"), None, "{stop}");
    for (number, watch) in ["RX", "TX"].into_iter().enumerate() {
        let told = &stop["handshakes"][number];
        let expected = sums(cases, watch);
        assert_eq!(counters([told].into_iter()), expected, "{told}");
        let parts = lines.iter().filter(|line| line["type"] == "handshake" && line["watch"] == watch);
        assert_eq!(counters(parts), expected, "the lines of {watch}");
        match longest.get(watch) {
            Some(&longest) => assert_close(&told["latency_seconds"]["max"], longest, "the longest"),
            None => assert_eq!(told["latency_seconds"]["max"], Value::Null, "{told}"),
        }
        assert_eq!(told["half_open"], 0, "{told}");
    }
    // Time-outs were under way for a while.
    let under_way = lines.iter().filter_map(|line| line.get("half_open")).map(number).max();
    let silent: Vec<&Case> = cases.iter().filter(|case| case.outcome == "timeout").collect();
    assert!(under_way >= Some(silent.len() as u64), "{under_way:?}");
    let mut incomplete: Vec<Value> = silent
        .iter()
        .map(|case| {
            let server = json!({"ip": case.server.ip().to_string(), "port": case.server.port()});
            let of = |why: &str| u8::from(case.why == why);
            let timeout = json!({"no_synack": of("no_synack"), "no_ack": of("no_ack")});
            json!({"server": server, "attempts": 1, "timeout": timeout, "evicted": 0, "indeterminate": 0})
        })
        .collect();
    let mut told = stop.get("incomplete_handshakes").and_then(Value::as_array).cloned().unwrap_or_default();
    incomplete.sort_by_key(Value::to_string);
    told.sort_by_key(Value::to_string);
    assert_eq!(told, incomplete);
    for interface in stop["interfaces"].as_array().expect("a list") {
        let told = interface.get("handshakes");
        if interface["interface"] != interfaces[0] {
            assert_eq!(told, None, "no SYN passed here");
            continue;
        }
        let told = told.expect("SYNs passed here");
        let succeeded = cases.iter().filter(|case| case.outcome == "success").count();
        assert_eq!([&told["attempts"], &told["success"]].map(number), [cases.len() as u64, succeeded as u64]);
        let longest = longest.values().copied().fold(0.0, f64::max);
        assert_close(&told["connect_seconds"]["max"], longest, "the longest of all");
    }
}

/// What an ICMP error ended for some clients, another's second SYN did not; its outcome stays.
fn came_up_after_all(lines: &[Value]) {
    let after: Vec<&Value> =
        connections(lines).filter(|line| line.get("after_unreach") == Some(&json!(true))).collect();
    let [line] = after[..] else { panic!("one connection came up after an ICMP error: {after:?}") };
    assert_eq!((&line["server"]["port"], &line["state"]), (&json!(9002), &json!("established")));
    let opening = &line["handshake"];
    assert_eq!((&opening["outcome"], &opening["icmp_code"]), (&json!("unreach"), &json!(1)), "{line}");
    assert_eq!(opening["syn_retransmitted"], 1, "{line}");
}

#[test]
fn every_outcome_is_told_as_it_was() {
    every_outcome("every_outcome_is_told_as_it_was", 1);
}

#[test]
fn every_outcome_is_told_as_it_was_by_two_workers() {
    every_outcome("every_outcome_is_told_as_it_was_by_two_workers", 2);
}

/// Packets of an interface each, in one order.
fn together(captures: Option<[Capture; 2]>) -> Option<Vec<(u64, Vec<u8>)>> {
    let mut packets: Vec<_> = captures?.into_iter().flat_map(Capture::end).collect();
    packets.sort_by_key(|(stamp, _)| *stamp);
    Some(packets)
}

/// What near sends leaves by x0, what it gets comes by x1.
fn two_slaves(test: &str, workers: usize) {
    let Some((near, far)) = pair(test) else { return };
    near.veth("x0", &far, "y0");
    near.veth("x1", &far, "y1");
    near.shell("for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done");
    near.shell(&format!(
        "ip addr add {NEAR}/32 dev lo && ip route add 198.18.2.0/24 dev x0 src {NEAR} && \
         ip neigh add {} dev x0 lladdr {} nud permanent",
        SERVERS[0],
        far.sysfs("y0", "address")
    ));
    let of = |port| (SERVERS[0], port);
    let cases = [
        case(of(7020), "success", Ok(())),
        case(of(7500), "success", Ok(())),
        Case { copies: [1, 0], halves: [Some([LAST, 0]), FIRST], ..case(of(8001), "success", Ok(())) },
        Case { copies: [0, 1], halves: [FIRST, Some([LAST, 0])], ..case(of(8013), "success", Ok(())) },
        case(of(9), "reject", Err(ConnectionRefused)),
        unreach(of(303), [3, 3], ConnectionRefused),
        case(of(304), "success", Ok(())),
    ];
    let captures = ["x0", "x1"].map(|name| Capture::begin(&near, name));
    let captures = if let [Some(out), Some(back)] = captures { Some([out, back]) } else { None };
    let arguments = format!("-i x0+x1 --timeout 2 --interval 0.2 --sessions --workers {workers}");
    let running = Fullcount::start(&near, &arguments);
    let station = Station { hears: (&far, "y0"), sends: (&far, "y1"), to: near.sysfs("x1", "address") };
    station.run(Vec::new(), |copies, packet| match copies[0] {
        Segment { flags: SYN, ends: Ends { destination: (_, 9), .. }, .. } => {
            vec![(5, copies[0].answer(RST | ACK, 0, None).packet())]
        }
        _ => serve(copies, packet),
    });
    let streams = connect_all(&near, &far, &cases);
    running.wait_for("a session for each attempt", |lines| {
        let sessions = lines.iter().filter(|line| line["type"] == "session").count();
        (sessions >= cases.len()).then_some(())
    });
    let lines = running.stop().lines();
    drop(streams);
    let servers = cases.each_ref().map(|case| case.server);
    let passed = together(captures).map(|packets| by_server(&packets, &servers));
    check(&cases, &lines, passed.as_ref(), ["x0", "x1"]);
}

#[test]
fn a_handshake_over_two_slaves_is_one() {
    two_slaves("a_handshake_over_two_slaves_is_one", 1);
}

#[test]
fn a_handshake_over_two_slaves_is_one_for_two_workers() {
    two_slaves("a_handshake_over_two_slaves_is_one_for_two_workers", 2);
}

/// Sends what no small ring holds.
fn flood(netns: &Netns) {
    let mut injector = netns.injector("v0");
    for n in 0..40_000 {
        let ends = Ends::v4(([198, 18, 0, (n % 100) as u8], 4000), ([198, 19, 0, 1], 53));
        injector.send(&ethernet(&[], 0x0800, &ip(ends, UDP, &udp(ends, 20))));
    }
}

/// So many attempts of each kind, so that each worker has some.
const EACH: u16 = 8;

/// Frames of attempts to ports from `base` on.
fn frames_of_attempts(base: u16, make: impl Fn(Segment) -> Segment) -> Vec<Vec<u8>> {
    let attempts = (0..EACH).map(|n| make(scripted_syn(base + n)));
    attempts.map(|segment| ethernet(&[], 0x0800, &segment.packet())).collect()
}

/// The session lines of attempts to ports from `base` on.
fn sessions_of(lines: &[Value], base: u16) -> Vec<&Value> {
    let has = |line: &&Value| {
        let port = || number(&line["server"]["port"]) as u16;
        line["type"] == "session" && (base..base + EACH).contains(&port())
    };
    lines.iter().filter(has).collect()
}

fn loss_at_the_ring(test: &str, workers: usize) {
    let Some((near, far)) = pair(test) else { return };
    near.veth("v0", &far, "w0");
    let arguments = format!(
        "-i v0 --ring-mib 2 --timeout 4 --interval 0.2 --sessions --workers {workers} -F 198.18.9.0/24"
    );
    let running = Fullcount::start(&near, &arguments);
    let mut injector = near.injector("v0");
    let mut send = |frames: Vec<Vec<u8>>| frames.iter().for_each(|frame| injector.send(frame));
    let synack = |syn: Segment| syn.answer(SYN | ACK, 70_000, None);
    let ack = |syn: Segment| Segment { flags: ACK, ..synack(syn).answer(ACK, 0, None) };
    let rst = |syn: Segment| syn.answer(RST | ACK, 0, None);
    // Nobody answers; the answer is lost here; the last ACK is; the RST is; all came; refused.
    let [silent, unheard, half, reset, whole, refused, later] = [7000, 7100, 7200, 7300, 7400, 7500, 7600];
    for base in [silent, unheard, half, reset, whole, refused] {
        send(frames_of_attempts(base, |syn| syn));
    }
    send(frames_of_attempts(half, synack));
    running.wait_frames("v0", 7 * u64::from(EACH));
    running.freeze();
    flood(&near);
    send(frames_of_attempts(unheard, synack));
    send(frames_of_attempts(unheard, ack));
    send(frames_of_attempts(half, ack));
    send(frames_of_attempts(reset, rst));
    running.signal(Signal::CONT);
    // Twice: the first has what came amid its own reading.
    running.wait_interval();
    running.wait_interval();
    send(frames_of_attempts(whole, synack));
    send(frames_of_attempts(whole, |syn| synack(syn).answer(ACK, 0, None)));
    send(frames_of_attempts(refused, rst));
    send(frames_of_attempts(later, |syn| syn));
    running.wait_for("the last time-outs", |lines| {
        (sessions_of(lines, later).len() == usize::from(EACH)).then_some(())
    });
    let lines = running.stop().lines();
    assert!(number(&total(&lines, "v0")["capture"]["kernel_drops"]) > 0, "nothing was lost");
    for (base, outcome) in [
        (silent, "indeterminate"),
        (unheard, "indeterminate"),
        (half, "indeterminate"),
        (reset, "indeterminate"),
        (whole, "success"),
        (refused, "reject"),
        (later, "timeout"),
    ] {
        let sessions = sessions_of(&lines, base);
        assert_eq!(sessions.len(), usize::from(EACH), "{base}");
        sessions.iter().for_each(|line| assert_eq!(line["outcome"], outcome, "{line}"));
    }
    let [each, none] = [EACH, 0].map(u64::from);
    let told = &lines.last().expect("stop")["handshakes"][1];
    assert_eq!([&told["success"], &told["indeterminate"]].map(number), [each, 4 * each], "{told}");
    let failure = json!({"timeout": each, "reject": each, "unreach": none, "aborted": none});
    assert_eq!(told["failure"], failure);
}

#[test]
fn what_the_ring_lost_is_no_failure() {
    loss_at_the_ring("what_the_ring_lost_is_no_failure", 1);
}

#[test]
fn what_the_rings_lost_is_no_failure_for_two_workers() {
    loss_at_the_ring("what_the_rings_lost_is_no_failure_for_two_workers", 2);
}

/// An attempt is decided long before its interval ends: the loss is known by then.
#[test]
fn a_loss_is_known_when_an_attempt_is_decided() {
    let Some((near, far)) = pair("a_loss_is_known_when_an_attempt_is_decided") else { return };
    near.veth("v0", &far, "w0");
    let arguments = "-i v0 --ring-mib 2 --timeout 1 --interval 6 --sessions --workers 1 -F 198.18.9.0/24";
    let running = Fullcount::start(&near, arguments);
    running.wait_interval();
    let mut injector = near.injector("v0");
    let mut send = |base| frames_of_attempts(base, |syn| syn).iter().for_each(|frame| injector.send(frame));
    send(7000);
    running.freeze();
    flood(&near);
    running.signal(Signal::CONT);
    running.wait_for("the next interval", |lines| {
        (sessions_of(lines, 7000).len() == usize::from(EACH)).then_some(())
    });
    let lines = running.stop().lines();
    assert!(number(&total(&lines, "v0")["capture"]["kernel_drops"]) > 0, "nothing was lost");
    sessions_of(&lines, 7000).iter().for_each(|line| assert_eq!(line["outcome"], "indeterminate", "{line}"));
}
