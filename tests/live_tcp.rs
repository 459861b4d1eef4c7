//! Real TCP on live interfaces: two legs of one route, and super-frames.
//!
//! Truth: the kernel's counters of the interfaces, TcpOutSegs of the sender's
//! namespace (segments as they are on the wire, before anything is made one
//! frame of them), the stamps that tcpdump has of the SYNs.

#[path = "common/live.rs"]
mod live;

use live::netns::Netns;
use live::{Count, Fullcount, connections, count_of, frames_of, number, pair, skipped, total};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 2, 1);

/// Two pairs: what `near` sends goes by x0, what it gets comes by x1. Neighbours
/// are told, so that nobody asks: every packet is one of TCP's.
fn two_legs(near: &Netns, far: &Netns) {
    near.veth("x0", far, "y0");
    near.veth("x1", far, "y1");
    let mac = |netns: &Netns, name: &str| netns.sysfs(name, "address");
    let rp = "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done";
    for netns in [near, far] {
        netns.shell(rp);
        netns.calm_tcp();
    }
    near.shell(&format!(
        "ip addr add {CLIENT}/32 dev lo && ip route add {SERVER}/32 dev x0 src {CLIENT} rto_min 10s && \
         ip neigh add {SERVER} dev x0 lladdr {} nud permanent",
        mac(far, "y0")
    ));
    far.shell(&format!(
        "ip addr add {SERVER}/32 dev lo && ip route add {CLIENT}/32 dev y1 src {SERVER} rto_min 10s && \
         ip neigh add {CLIENT} dev y1 lladdr {} nud permanent",
        mac(near, "x1")
    ));
}

fn patient(stream: &TcpStream) {
    for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        set(stream, Some(Duration::from_secs(20))).expect("a time-out");
    }
}

/// What one connection is to carry, by its number.
fn request(n: usize) -> usize {
    1 + n * 37 % 5000
}
fn answer(n: usize) -> usize {
    1 + n * 101 % 20_000
}

/// Answers requests: their length and that of the answer come first.
fn serve(listener: &TcpListener, connections: usize) {
    for _ in 0..connections {
        let (mut stream, _) = listener.accept().expect("a client");
        patient(&stream);
        let mut lengths = [0; 8];
        stream.read_exact(&mut lengths).expect("a request");
        let [up, down] = [0, 4].map(|at| u32::from_le_bytes(lengths[at..][..4].try_into().expect("four")));
        let mut rest = vec![0; up as usize - 8];
        stream.read_exact(&mut rest).expect("the whole request");
        stream.write_all(&vec![7; down as usize]).expect("taken");
        // The client ends first, so that its side waits in TIME-WAIT.
        let _ = stream.read(&mut [0]);
    }
}

/// Makes one connection; its port.
fn ask(address: SocketAddr, n: usize) -> u16 {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    patient(&stream);
    let lengths = [request(n) as u32 + 8, answer(n) as u32].map(u32::to_le_bytes).concat();
    stream.write_all(&[lengths, vec![1; request(n)]].concat()).expect("taken");
    stream.read_exact(&mut vec![0; answer(n)]).expect("the whole answer");
    stream.shutdown(Shutdown::Write).expect("open");
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
    stream.local_addr().expect("bound").port()
}

const CLIENTS: usize = 8;
const EACH: usize = 40;

/// By the client's port: which request it was.
fn make_connections(near: &Netns, far: &Netns) -> BTreeMap<u16, usize> {
    let listener = far.run(|| TcpListener::bind((SERVER, 8080)).expect("free"));
    let address = listener.local_addr().expect("bound");
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| serve(&listener, EACH));
        }
        let clients = (0..CLIENTS).map(|client| {
            scope.spawn(move || {
                near.run(|| {
                    (0..EACH).map(|i| client * EACH + i).map(|n| (ask(address, n), n)).collect::<Vec<_>>()
                })
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().flat_map(|client| client.join().expect("all answered")).collect()
    })
}

/// tcpdump, writing the stamps of all SYNs that leave by x0; it does not
/// outlive the test.
struct Syns {
    child: Child,
    lines: Receiver<String>,
}

impl Syns {
    fn begin(near: &Netns) -> Option<Syns> {
        if Command::new("tcpdump").arg("--version").output().is_err() {
            skipped("stamps of SYNs", "no tcpdump");
            return None;
        }
        let filter = "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn";
        // Without -s its buffer has room for eight frames: on a busy machine it lost SYNs.
        let line = format!(
            "exec tcpdump -i x0 -nn -tt -l -s 128 --immediate-mode --time-stamp-precision=nano '{filter}'"
        );
        let mut command = near.command(&line);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it is there");
        // It listens once it has said so.
        let mut err = BufReader::new(child.stderr.take().expect("piped"));
        let mut said = String::new();
        while !said.contains("listening on") {
            if err.read_line(&mut said).expect("text") == 0 {
                // It wants to be another user, which there may not be.
                skipped("stamps of SYNs", said.trim());
                child.wait().expect("a child");
                return None;
            }
        }
        std::thread::spawn(move || std::io::copy(&mut err, &mut std::io::sink()));
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Some(Syns { child, lines })
    }

    /// Stamps as text by the client's port, first ones; waits until all of these
    /// ports have theirs.
    fn of<'a>(self, ports: impl Iterator<Item = &'a u16>) -> BTreeMap<u16, String> {
        let mut waited_for: BTreeSet<u16> = ports.copied().collect();
        let mut stamps = BTreeMap::new();
        while !waited_for.is_empty() {
            let line = self.lines.recv_timeout(Duration::from_secs(20));
            let line = line.unwrap_or_else(|_| panic!("tcpdump saw no SYN of {waited_for:?}"));
            let mut words = line.split(' ');
            let stamp = words.next().expect("a stamp").to_owned();
            let source = words.nth(1).expect("an address");
            let port = source.rsplit('.').next().and_then(|port| port.parse().ok()).expect("a port");
            stamps.entry(port).or_insert(stamp);
            waited_for.remove(&port);
        }
        stamps
    }
}

impl Drop for Syns {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// "2026-11-21T12:00:00.123456789Z" as tcpdump -tt writes it, seconds aside.
fn fraction(time: &Value) -> String {
    let time = time.as_str().expect("a time");
    let digits = time.trim_end_matches('Z').rsplit('.').next().expect("a fraction");
    format!("{digits:0<9}")
}

fn asymmetric_routes(test: &str, workers: usize) {
    let Some((near, far)) = pair(test) else { return };
    two_legs(&near, &far);
    let syns = Syns::begin(&near);
    let running =
        Fullcount::start(&near, &format!("-i x0+x1 --connections --interval 0.5 --workers {workers}"));
    let made = make_connections(&near, &far);
    let stamps = syns.map(|syns| syns.of(made.keys()));
    let lines = running.stop().lines();
    assert_eq!(made.len(), CLIENTS * EACH, "each has its own port");

    let (mut out, mut back, mut seen) = (Count::default(), Count::default(), BTreeMap::new());
    for line in connections(&lines) {
        let port = number(&line["client"]["port"]) as u16;
        let n = made[&port];
        assert_eq!(line["client"]["ip"], CLIENT.to_string(), "{line}");
        assert_eq!(line["role_source"], "syn", "{line}");
        assert_eq!(line.get("midstream"), None, "{line}");
        assert_eq!(line["state"], "time_wait", "{line}");
        assert_eq!(line["end_reason"], "fin", "{line}");
        let payload = [&line["c2s"], &line["s2c"]].map(|sent| number(&sent["payload_bytes"]) as usize);
        assert_eq!(payload, [request(n) + 8, answer(n)], "{line}");
        for (sent, interface, sum) in [(&line["c2s"], "x0", &mut out), (&line["s2c"], "x1", &mut back)] {
            let whole = count_of(sent);
            assert_eq!(sent["interfaces"], serde_json::json!({ interface: whole.bytes }), "{line}");
            *sum = sum.plus(whole);
        }
        if let Some(stamps) = &stamps {
            let stamp = stamps[&port].split_once('.').expect("seconds and fraction").1;
            assert_eq!(fraction(&line["start"]), stamp, "a connection starts with its SYN: {line}");
        }
        assert_eq!(seen.insert(port, line.clone()), None, "one line a connection");
    }
    assert_eq!(seen.len(), made.len());
    for (name, way, other, sum) in [("x0", "tx", "rx", out), ("x1", "rx", "tx", back)] {
        let total = total(&lines, name);
        assert_eq!(count_of(&total[way]), sum, "{name}");
        assert_eq!(count_of(&total[other]), Count::default(), "{name}");
        assert_eq!(number(&total["untracked"]["packets"]), 0, "{name}");
        let kernel = ["packets", "bytes"].map(|what| near.counter(name, &format!("{way}_{what}")));
        assert_eq!(frames_of(&total[way]), Count { packets: kernel[0], bytes: kernel[1] }, "{name}");
    }
}

#[test]
fn both_legs_of_a_route_are_one_connection() {
    asymmetric_routes("both_legs_of_a_route_are_one_connection", 1);
}

#[test]
fn both_legs_of_a_route_are_one_connection_for_two_workers() {
    asymmetric_routes("both_legs_of_a_route_are_one_connection_for_two_workers", 2);
}

const LENGTH: usize = 20_000_000;

/// What one side said of the transfer.
#[derive(Debug)]
struct Side {
    /// Wire packets and frames from the sender, and back.
    data: [Count; 2],
    acks: [Count; 2],
    payload: u64,
}

/// One transfer of [`LENGTH`] bytes after `set_up`, seen at both ends, checked
/// against the kernel's own count of segments; the sender's and the receiver's view.
fn transfer(test: &str, set_up: &str) -> Option<[Side; 2]> {
    let (near, far) = pair(test)?;
    near.veth("a0", &far, "b0");
    for (netns, name, own, other) in [(&near, "a0", CLIENT, SERVER), (&far, "b0", SERVER, CLIENT)] {
        let mac = if name == "a0" { far.sysfs("b0", "address") } else { near.sysfs("a0", "address") };
        netns.shell(&format!(
            "ip addr add {own}/32 dev {name} && ip route add {other}/32 dev {name} rto_min 10s && \
             ip neigh add {other} dev {name} lladdr {mac} nud permanent"
        ));
        netns.calm_tcp();
    }
    let napi = set_up.contains("gro on");
    for (netns, name) in [(&near, "near"), (&far, "far")] {
        for line in set_up.lines().filter_map(|line| line.trim().strip_prefix(name)) {
            netns.shell(line);
        }
    }
    let running =
        [Fullcount::start(&near, "-i a0 --connections"), Fullcount::start(&far, "-i b0 --connections")];
    let listener = far.run(|| TcpListener::bind((SERVER, 8080)).expect("free"));
    let address = listener.local_addr().expect("bound");
    let cpu = fullcount::capture::fanout::usable_cpus()[0];
    std::thread::scope(|scope| {
        // All on one CPU: the queues of two would overtake one another.
        scope.spawn(|| {
            fullcount::capture::fanout::pin(cpu);
            let (mut stream, _) = listener.accept().expect("a client");
            patient(&stream);
            let mut all = Vec::new();
            assert_eq!(stream.read_to_end(&mut all).expect("whole"), LENGTH);
        });
        near.run(|| {
            fullcount::capture::fanout::pin(cpu);
            let mut stream = TcpStream::connect(address).expect("the server listens");
            patient(&stream);
            stream.write_all(&vec![1; LENGTH]).expect("taken");
            stream.shutdown(Shutdown::Write).expect("open");
            assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
        });
    });
    let segments = [&near, &far].map(|netns| snmp(netns, "Tcp", "OutSegs"));
    assert_eq!([&near, &far].map(|netns| snmp(netns, "Tcp", "RetransSegs")), [0, 0], "nothing was lost");
    let lines = running.map(|running| running.stop().lines());
    let sides = [(&near, "a0", ["tx", "rx"]), (&far, "b0", ["rx", "tx"])];
    let mut views = lines.iter().zip(sides).map(|(lines, (netns, name, [out, back]))| {
        let total = total(lines, name);
        let line = connections(lines).next().expect("one connection");
        assert_eq!(connections(lines).count(), 1);
        for (way, sent) in [(out, "c2s"), (back, "s2c")] {
            assert_eq!(count_of(&line[sent]), count_of(&total[way]), "{name} {way}");
            let kernel = ["packets", "bytes"].map(|what| netns.counter(name, &format!("{way}_{what}")));
            let kernel = Count { packets: kernel[0], bytes: kernel[1] };
            // Received frames are counted before GRO joins them, and seen after;
            // and veth with NAPI counts no Ethernet headers, at both ends.
            let mut frames = frames_of(&total[way]);
            if way == "tx" {
                frames.bytes -= if napi && name == "a0" { 14 * frames.packets } else { 0 };
                assert_eq!(frames, kernel, "{name} {way}");
            }
        }
        Side {
            data: [count_of(&total[out]), frames_of(&total[out])],
            acks: [count_of(&total[back]), frames_of(&total[back])],
            payload: number(&line["c2s"]["payload_bytes"]),
        }
    });
    let views = [views.next().expect("near"), views.next().expect("far")];
    for view in &views {
        assert_eq!(view.payload, LENGTH as u64, "{view:?}");
        // Ethernet, IPv4, TCP with stamps: 66 bytes; the SYN has 8 more.
        let data = Count { packets: segments[0], bytes: LENGTH as u64 + 66 * segments[0] + 8 };
        assert_eq!(view.data[0], data, "segments that the sender's TCP sent");
        assert_eq!(view.acks[0].packets, segments[1], "segments that the receiver's TCP sent");
    }
    assert_eq!(views[0].acks[0], views[1].acks[0]);
    Some(views)
}

/// A figure of /proc/net/snmp.
fn snmp(netns: &Netns, protocol: &str, name: &str) -> u64 {
    let text = netns.shell("cat /proc/net/snmp");
    let mut rows = text.lines().filter_map(|line| line.strip_prefix(&format!("{protocol}: ")));
    let (names, figures) = (rows.next().expect("names"), rows.next().expect("figures"));
    let place = names.split(' ').position(|one| one == name).expect("it is there");
    figures.split(' ').nth(place).and_then(|figure| figure.parse().ok()).expect("a figure")
}

fn has_ethtool(test: &str) -> bool {
    let found = Command::new("ethtool").arg("--version").output().is_ok();
    if !found {
        skipped(test, "no ethtool");
    }
    found
}

#[test]
fn super_frames_of_a_sender_are_the_segments_on_the_wire() {
    let test = "super_frames_of_a_sender_are_the_segments_on_the_wire";
    let Some([near, far]) = transfer(test, "") else { return };
    for view in [near, far] {
        assert!(view.data[1].packets < view.data[0].packets / 4, "super-frames: {view:?}");
    }
}

#[test]
fn frames_that_gro_joined_are_the_segments_on_the_wire() {
    let test = "frames_that_gro_joined_are_the_segments_on_the_wire";
    if !has_ethtool(test) {
        return;
    }
    // Linear frames from the sender; NAPI and GRO at the receiver.
    let set_up = "near ethtool -K a0 tso off gso off\nfar ethtool -K b0 gro on";
    let Some([near, far]) = transfer(test, set_up) else { return };
    assert_eq!(near.data[0], near.data[1], "each segment its own frame");
    assert!(far.data[1].packets < far.data[0].packets, "GRO joined some: {far:?}");
}

#[test]
fn segments_without_offloads_are_frames() {
    let test = "segments_without_offloads_are_frames";
    if !has_ethtool(test) {
        return;
    }
    let off = "tso off gso off gro off tx off";
    let set_up = format!("near ethtool -K a0 {off}\nfar ethtool -K b0 {off}");
    let Some(views) = transfer(test, &set_up) else { return };
    for view in views {
        assert_eq!(view.data[0], view.data[1], "each segment its own frame");
        // Full segments of 1,448 bytes, SYN, ACK, FIN; a few may be short.
        assert!(view.data[0].packets >= LENGTH.div_ceil(1448) as u64 + 3, "{view:?}");
    }
}
