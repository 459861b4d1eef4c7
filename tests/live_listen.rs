//! Roles of connections that were open before: by the sockets that listen here.
//!
//! Truth: who listened and who connected, as this test did it, with every
//! server's port above its client's, so that ports tell the opposite.

#[path = "common/live.rs"]
mod live;
#[path = "common/tcp.rs"]
mod tcp;

use live::netns::Netns;
use live::{Count, Fullcount, connections, count_of, number, total};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use tcp::{CLIENT, SERVER, patient};

/// In the program's namespace, and in the other one.
const V6: [&str; 2] = ["2001:db8:1::1", "2001:db8:2::1"];

/// The two namespaces of `tcp::link`, with IPv6 as well. What is `CLIENT` there serves here.
fn link(test: &str) -> Option<(Netns, Netns)> {
    let (near, far) = tcp::link(test)?;
    let macs = [near.sysfs("a0", "address"), far.sysfs("b0", "address")];
    for (netns, name, [own, other], mac) in
        [(&near, "a0", V6, &macs[1]), (&far, "b0", [V6[1], V6[0]], &macs[0])]
    {
        netns.shell(&format!(
            "sysctl -qw net.ipv6.conf.{name}.disable_ipv6=0 && ip addr add {own}/128 dev {name} nodad && \
             ip route add {other}/128 dev {name} && \
             ip neigh add {other} dev {name} lladdr {mac} nud permanent"
        ));
    }
    Some((near, far))
}

fn listener(near: &Netns, at: &str) -> TcpListener {
    near.run(|| TcpListener::bind(at).unwrap_or_else(|error| panic!("{at}: {error}")))
}

/// Both ends of a connection to a listener, the client's first, from a low port of `far`.
fn connected(
    far: &Netns,
    listener: &TcpListener,
    (server, client): (IpAddr, IpAddr),
    from: u16,
) -> [TcpStream; 2] {
    let to = SocketAddr::new(server, listener.local_addr().expect("bound").port());
    assert!(from < to.port());
    let stream = far.run(|| {
        let family = if client.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let socket = socket(family, SocketType::STREAM, None).expect("a socket");
        sockopt::set_socket_reuseaddr(&socket, true).expect("a socket");
        bind(&socket, &SocketAddr::new(client, from)).expect("free");
        connect(&socket, &to).expect("somebody listens");
        TcpStream::from(socket)
    });
    let accepted = listener.accept().expect("a client").0;
    patient(&stream);
    patient(&accepted);
    [stream, accepted]
}

/// The client asks and is answered.
fn speak([client, server]: &[TcpStream; 2]) {
    let mut heard = [0; 9];
    for (mut from, mut to) in [(client, server), (server, client)] {
        from.write_all(b"some more").expect("taken");
        to.read_exact(&mut heard).expect("it comes");
    }
}

fn v4() -> (IpAddr, IpAddr) {
    (CLIENT.into(), SERVER.into())
}

fn v6() -> (IpAddr, IpAddr) {
    (V6[0].parse().expect("one"), V6[1].parse().expect("one"))
}

fn ends(line: &Value) -> Value {
    json!([line["client"], line["server"], line["role_source"]])
}

#[test]
fn who_listens_here_is_the_server_of_what_was_open_before() {
    let Some((near, far)) = link("who_listens_here_is_the_server_of_what_was_open_before") else { return };
    for workers in [1, 2] {
        // A port that was used is not free at once.
        let round = 100 * workers;
        // Where it listens, who connects, from which port, and whether it goes on to listen.
        let cases = [
            (format!("0.0.0.0:{}", 50_001 + round), v4(), 1001 + round, true),
            (format!("{CLIENT}:{}", 50_002 + round), v4(), 1002 + round, true),
            // Both families at once.
            (format!("[::]:{}", 50_003 + round), v4(), 1003 + round, true),
            (format!("[::]:{}", 50_004 + round), v6(), 1004 + round, true),
            (format!("[{}]:{}", V6[0], 50_005 + round), v6(), 1005 + round, true),
            (format!("[::ffff:{CLIENT}]:{}", 50_006 + round), v4(), 1006 + round, true),
            (format!("0.0.0.0:{}", 50_007 + round), v4(), 1007 + round, false),
            (format!("[::]:{}", 50_008 + round), v6(), 1008 + round, false),
        ];
        let mut listeners = Vec::new();
        let mut open: Vec<[TcpStream; 2]> = Vec::new();
        for (at, ends, from, stays) in &cases {
            let listener = listener(&near, at);
            open.push(connected(&far, &listener, *ends, *from));
            listeners.extend(Some(listener).filter(|_| *stays));
        }
        let program = Fullcount::start(&near, &format!("-i a0 --connections --workers {workers}"));
        open.iter().for_each(speak);
        let lines = program.stop().lines();
        for (at, (here, there), from, stays) in &cases {
            let port = at.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).expect("a port");
            let (server, client) = (json!({"ip": here, "port": port}), json!({"ip": there, "port": from}));
            let expected = match stays {
                true => json!([client, server, "listen"]),
                // Nobody tells any more: the lower port is taken for the server's.
                false => json!([server, client, "port"]),
            };
            let told: Vec<&Value> = connections(&lines)
                .filter(|line| [&line["client"]["port"], &line["server"]["port"]].contains(&&json!(port)))
                .collect();
            let [told] = told[..] else { panic!("{at}: {told:?}") };
            assert_eq!(told["midstream"], true, "{told}");
            assert_eq!(ends(told), expected, "{workers} workers: {told}");
            let way = if *stays { "c2s" } else { "s2c" };
            assert_eq!(told[way]["payload_bytes"], 9, "{told}");
        }
    }
}

/// Who begins or ceases to listen while the program runs is known soon: of
/// connections that were open before, one after the other speaks up.
#[test]
fn who_listens_is_asked_again_and_again() {
    let Some((near, far)) = link("who_listens_is_asked_again_and_again") else { return };
    const CONNECTIONS: u16 = 60;
    let at = format!("{CLIENT}:50010");
    let first = listener(&near, &at);
    let open: Vec<_> = (0..CONNECTIONS).map(|number| connected(&far, &first, v4(), 1100 + number)).collect();
    drop(first);
    let program = Fullcount::start(&near, "-i a0 --top 100");
    let mut speaking = open.iter().enumerate();
    let mut role_of_next = || {
        let (number, ends) = speaking.next().expect("it was not asked again in all that time");
        speak(ends);
        let port = json!(1100 + number);
        program.wait_for("a row", |lines| {
            let rows = lines.iter().filter_map(|line| line["top"].as_array()).flatten();
            let of_it = |row: &&Value| row["client"]["port"] == port || row["server"]["port"] == port;
            rows.filter(of_it).map(|row| row["role_source"].clone()).next()
        })
    };
    assert_eq!(role_of_next(), "port");
    let again = listener(&near, &at);
    while role_of_next() == "port" {}
    assert_eq!(role_of_next(), "listen");
    drop(again);
    while role_of_next() == "listen" {}
    program.stop().lines();
}

/// With `-d` a connection that was open before is in no list, and what it had is told.
#[test]
fn what_was_open_before_is_hidden_on_wish() {
    let Some((near, far)) = link("what_was_open_before_is_hidden_on_wish") else { return };
    for workers in [1, 2] {
        let port = 50_020 + workers;
        let listener = listener(&near, &format!("{CLIENT}:{port}"));
        let old = connected(&far, &listener, v4(), 1200 + workers);
        // Of one port alone: the connections of another round may still be ending.
        let options = format!("-i a0 -d --connections --workers {workers} port {port}");
        let program = Fullcount::start(&near, &options);
        speak(&old);
        let new = connected(&far, &listener, v4(), 1210 + workers);
        speak(&new);
        program.wait_interval();
        let lines = program.stop().lines();
        let told: Vec<&Value> = connections(&lines).filter(|line| line["protocol"] == "tcp").collect();
        let [told] = told[..] else { panic!("one line: {told:?}") };
        assert_eq!(told["client"]["port"], 1210 + workers);
        for row in lines.iter().filter_map(|line| line["top"].as_array()).flatten() {
            assert_ne!(row["client"]["port"], 1200 + workers, "{row}");
        }
        let interface = total(&lines, "a0");
        assert_eq!(interface["flows"]["hidden"], 1);
        // Three segments with payload or an acknowledgement alone, at least.
        assert!(number(&interface["hidden"]["packets"]) >= 3, "{interface}");
        let lines = connections(&lines).map(|line| [&line["c2s"], &line["s2c"]].map(count_of));
        let sums = lines.flatten().chain(["hidden", "untracked"].map(|key| count_of(&interface[key])));
        let all = count_of(&interface["rx"]).plus(count_of(&interface["tx"]));
        assert_eq!(sums.fold(Count::default(), Count::plus), all);
    }
}
