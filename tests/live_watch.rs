//! Handshakes of real TCP by watch, and addresses that come while a run goes on.
//!
//! Truth: the kernel's own count of connections that it made, took and could
//! not make (`Tcp:` of /proc/net/snmp) in the namespace that is watched.

#[path = "common/live.rs"]
mod live;

use live::netns::Netns;
use live::{Fullcount, number, pair};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

const NEAR: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 1);
const LATER: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 9);
const FAR: Ipv4Addr = Ipv4Addr::new(198, 18, 2, 1);

/// One link, addresses at another interface than the one that is watched (as
/// those of a bond are), neighbours told.
fn joined(near: &Netns, far: &Netns) {
    near.veth("v0", far, "w0");
    let mac = |netns: &Netns, name: &str| netns.sysfs(name, "address");
    near.shell(&format!(
        "ip addr add {NEAR}/32 dev lo && ip neigh add {FAR} dev v0 lladdr {} nud permanent && \
         ip route add {FAR}/32 dev v0 src {NEAR}",
        mac(far, "w0")
    ));
    for address in [NEAR, LATER] {
        far.shell(&format!(
            "ip neigh add {address} dev w0 lladdr {} nud permanent && ip route add {address}/32 dev w0",
            mac(near, "v0")
        ));
    }
    far.shell(&format!("ip addr add {FAR}/32 dev lo"));
}

/// A figure of `Tcp:` in /proc/net/snmp.
fn counter(netns: &Netns, name: &str) -> u64 {
    let text = netns.shell("grep ^Tcp: /proc/net/snmp");
    let (names, figures) = text.split_once('\n').expect("two lines");
    let place = names.split_whitespace().position(|one| one == name).expect("it is counted");
    figures.split_whitespace().nth(place).and_then(|figure| figure.parse().ok()).expect("a number")
}

/// Connects and closes again; the client's port, or that nobody listens.
fn connect(netns: &Netns, to: SocketAddr) -> Option<u16> {
    netns.run(|| TcpStream::connect(to).ok().map(|stream| stream.local_addr().expect("bound").port()))
}

fn watches(line: &Value) -> Vec<&str> {
    line["watch"].as_array().expect("a list").iter().filter_map(Value::as_str).collect()
}

#[test]
fn handshakes_are_those_of_the_kernel_and_addresses_are_followed() {
    let test = "handshakes_are_those_of_the_kernel_and_addresses_are_followed";
    let Some((near, far)) = pair(test) else { return };
    joined(&near, &far);
    let here = near.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8080)).expect("free"));
    let there = far.run(|| TcpListener::bind((FAR, 8080)).expect("free"));
    for listener in [here, there] {
        // Ends with the test's process; what comes is closed at once.
        std::thread::spawn(move || listener.incoming().for_each(drop));
    }
    let running =
        Fullcount::start(&near, "-i v0 --interval 0.1 --sessions --workers 2 'web:RX@%:8080' ':TX@%:9'");
    let session = |port: u16| {
        running.wait_line("a session", |line| line["type"] == "session" && line["client"]["port"] == port)
    };
    for _ in 0..5 {
        let asked = session(connect(&far, (NEAR, 8080).into()).expect("near listens"));
        assert_eq!((watches(&asked), &asked["outcome"]), (vec!["RX", "web"], &"success".into()));
    }
    for _ in 0..3 {
        let asks = session(connect(&near, (FAR, 8080).into()).expect("far listens"));
        assert_eq!(watches(&asks), ["TX"]);
        assert_eq!(connect(&near, (FAR, 8081).into()), None, "nobody listens");
        assert_eq!(connect(&near, (FAR, 9).into()), None, "excluded, and nobody listens");
    }
    near.shell(&format!("ip addr add {LATER}/32 dev lo"));
    let mut before = 0;
    loop {
        let asked = session(connect(&far, (LATER, 8080).into()).expect("near listens"));
        if watches(&asked) == ["RX", "web"] {
            break;
        }
        assert_eq!(watches(&asked), Vec::<&str>::new());
        before += 1;
        assert!(before < 200, "the new address is not followed");
    }
    running.wait_interval();
    let lines = running.stop().lines();
    let stop = lines.last().expect("lines");
    let [rx, tx, web] = [0, 1, 2].map(|at| &stop["handshakes"][at]);
    let elsewhere = stop.get("handshakes_elsewhere").map_or(0, number);
    assert_eq!(elsewhere, before);
    assert_eq!(number(&rx["success"]) + elsewhere, counter(&near, "PassiveOpens"));
    assert_eq!(rx["success"], web["success"]);
    // Three refused ones are excluded.
    assert_eq!(number(&tx["success"]) + number(&tx["failure"]["reject"]) + 3, counter(&near, "ActiveOpens"));
    assert_eq!(number(&tx["failure"]["reject"]) + 3, counter(&near, "AttemptFails"));
    let refused = lines.iter().filter(|line| line["type"] == "session" && line["outcome"] == "reject");
    assert!(refused.clone().all(|line| watches(line) == ["TX"]));
    assert_eq!(refused.count(), 3);
    let parts = lines.iter().filter(|line| line["type"] == "handshake" && line["watch"] == "RX");
    assert_eq!(parts.map(|line| number(&line["success"])).sum::<u64>(), number(&rx["success"]));
}
