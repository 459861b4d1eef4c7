//! Real TCP between two namespaces, for tests that judge what was said of it.
#![allow(dead_code)] // each test program uses its part

use crate::live::netns::Netns;
use crate::live::{number, pair, skipped};
use fullcount::capture::fanout;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

/// In `near`, where the program runs.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 1);
/// In `far`.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 2, 1);

/// Two namespaces, joined by a0 in the first and b0 in the second. Nobody asks
/// for neighbours, and nothing is sent twice unless something is lost.
pub fn link(test: &str) -> Option<(Netns, Netns)> {
    let (near, far) = pair(test)?;
    near.veth("a0", &far, "b0");
    let macs = [near.sysfs("a0", "address"), far.sysfs("b0", "address")];
    for (netns, name, own, other, mac) in
        [(&near, "a0", CLIENT, SERVER, &macs[1]), (&far, "b0", SERVER, CLIENT, &macs[0])]
    {
        netns.shell(&format!(
            "ip addr add {own}/32 dev {name} && ip route add {other}/32 dev {name} rto_min 10s && \
             ip neigh add {other} dev {name} lladdr {mac} nud permanent"
        ));
        netns.calm_tcp();
    }
    Some((near, far))
}

/// `near` sends super-frames, `far` single segments; both join what they get.
/// False where that cannot be set.
pub fn with_gro(test: &str, near: &Netns, far: &Netns) -> bool {
    if Command::new("ethtool").arg("--version").output().is_err() {
        skipped(test, "no ethtool: super-frames of a sender only, none by GRO");
        return false;
    }
    near.shell("ethtool -K a0 tso on gso on gro on");
    far.shell("ethtool -K b0 tso off gso off gro on");
    true
}

/// Listens in `far`.
pub fn listen(far: &Netns, port: u16) -> (TcpListener, SocketAddr) {
    let listener = far.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).expect("free"));
    (listener, SocketAddr::from((SERVER, port)))
}

/// Both ends of a connection, the client's first. Connections are made one after the other.
pub fn connect(near: &Netns, (listener, address): &(TcpListener, SocketAddr)) -> [TcpStream; 2] {
    let client = near.run(|| TcpStream::connect(address).expect("somebody listens"));
    let (server, from) = listener.accept().expect("a client");
    assert_eq!(Some(from), client.local_addr().ok());
    patient(&client);
    patient(&server);
    [client, server]
}

/// Nothing here waits for ever.
pub fn patient(stream: &TcpStream) {
    for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        set(stream, Some(Duration::from_secs(30))).expect("a time-out");
    }
}

/// Reads until the other end has no more, then ends too; the bytes that came.
/// All on one CPU: the queues of two would overtake one another.
pub fn drain(mut stream: TcpStream) -> JoinHandle<u64> {
    std::thread::spawn(move || {
        fanout::pin(fanout::usable_cpus()[0]);
        let mut buffer = vec![0; 1 << 18];
        let mut sum = 0;
        loop {
            match stream.read(&mut buffer).expect("data or the end") {
                0 => return sum,
                length => sum += length as u64,
            }
        }
    })
}

/// Hands so many bytes to TCP.
pub fn send(stream: &TcpStream, bytes: u64) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            fanout::pin(fanout::usable_cpus()[0]);
            let (mut stream, mut left) = (stream, bytes);
            let buffer = vec![7; 1 << 18];
            while left > 0 {
                let length = left.min(buffer.len() as u64);
                stream.write_all(&buffer[..length as usize]).expect("taken");
                left -= length;
            }
        });
    });
}

/// No more is sent; returns when the other end, which [`drain`]s, has ended too.
pub fn finish(mut stream: TcpStream) {
    stream.shutdown(std::net::Shutdown::Write).expect("open");
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
}

/// A figure of /proc/net/snmp.
pub fn snmp(netns: &Netns, protocol: &str, name: &str) -> u64 {
    let text = netns.shell("cat /proc/net/snmp");
    let mut rows = text.lines().filter_map(|line| line.strip_prefix(&format!("{protocol}: ")));
    let (names, figures) = (rows.next().expect("names"), rows.next().expect("figures"));
    let place = names.split(' ').position(|one| one == name).expect("it is there");
    figures.split(' ').nth(place).and_then(|figure| figure.parse().ok()).expect("a figure")
}

/// A count of a line's direction.
pub fn of(line: &Value, direction: &str, key: &str) -> u64 {
    number(&line[direction][key])
}

/// What always holds (docs/TCP.md): bytes seen or lost are those of the stream
/// and those seen twice.
pub fn balanced(line: &Value) {
    for way in ["c2s", "s2c"] {
        let sum = |keys: &[&str]| keys.iter().map(|key| of(line, way, key)).sum::<u64>();
        let seen = sum(&["payload_bytes", "missing_bytes", "open_bytes"]);
        assert_eq!(seen, sum(&["stream_bytes", "retransmitted_bytes"]), "{way}: {line}");
    }
}
