//! Connections of real TCP by destination, both ways.
//!
//! Truth: what the test itself asked, and the kernel's own count of connections
//! that it made, took and could not make (`Tcp:` of /proc/net/snmp).

#[path = "common/live.rs"]
mod live;

use live::netns::Netns;
use live::{Fullcount, number, pair};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

const NEAR: Ipv4Addr = Ipv4Addr::new(198, 18, 3, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(198, 18, 3, 2);
/// Port of a server that closes after one response.
const CLOSES: u16 = 8082;
const REQUEST: usize = 10;
const RESPONSE: usize = 3000;

/// A figure of `Tcp:` in /proc/net/snmp.
fn counter(netns: &Netns, name: &str) -> u64 {
    let text = netns.shell("grep ^Tcp: /proc/net/snmp");
    let (names, figures) = text.split_once('\n').expect("two lines");
    let place = names.split_whitespace().position(|one| one == name).expect("it is counted");
    figures.split_whitespace().nth(place).and_then(|figure| figure.parse().ok()).expect("a number")
}

/// Answers so many requests and closes, or all until the other end does; ends with
/// the test's process.
fn serve(netns: &Netns, to: SocketAddr, most: usize) {
    let listener = netns.run(|| TcpListener::bind(to).expect("free"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; REQUEST];
            for _ in 0..most {
                if stream.read_exact(&mut request).is_err() || stream.write_all(&[b'x'; RESPONSE]).is_err() {
                    break;
                }
            }
        }
    });
}

/// A connection with so many requests; false where nobody listens.
fn ask(netns: &Netns, to: SocketAddr, requests: usize) -> bool {
    netns.run(|| {
        let Ok(mut stream) = TcpStream::connect(to) else { return false };
        let mut response = [0; RESPONSE];
        for _ in 0..requests {
            stream.write_all(&[b'q'; REQUEST]).expect("sent");
            stream.read_exact(&mut response).expect("answered");
        }
        if to.port() == CLOSES {
            assert_eq!(stream.read(&mut response).expect("closed"), 0);
        }
        true
    })
}

#[test]
fn both_ways_are_what_was_asked() {
    let Some((near, far)) = pair("both_ways_are_what_was_asked") else { return };
    near.veth("v0", &far, "w0");
    near.shell(&format!("ip addr add {NEAR}/24 dev v0"));
    far.shell(&format!("ip addr add {FAR}/24 dev w0"));
    serve(&near, (NEAR, 8080).into(), usize::MAX);
    serve(&far, (FAR, 8080).into(), usize::MAX);
    serve(&far, (FAR, CLOSES).into(), 1);
    let running =
        Fullcount::start(&near, "-i v0 --interval 0.2 --by destination --connections --workers 2 tcp");
    for requests in 0..8 {
        assert!(ask(&near, (FAR, 8080).into(), requests));
        assert!(!ask(&near, (FAR, 8081).into(), 1), "nobody listens");
    }
    for _ in 0..4 {
        assert!(ask(&near, (FAR, CLOSES).into(), 1));
    }
    for _ in 0..5 {
        assert!(ask(&far, (NEAR, 8080).into(), 3));
    }
    running.wait_interval();
    let lines = running.stop().lines();
    let found = |address: Ipv4Addr, direction: &str| {
        let mine = |line: &&Value| {
            line["type"] == "destination"
                && line["destination"] == address.to_string()
                && line["direction"] == direction
        };
        lines.iter().filter(mine).collect::<Vec<_>>()
    };
    let sum = |lines: &[&Value], key: &str| lines.iter().map(|line| number(&line[key])).sum::<u64>();
    let share = |lines: &[&Value], key: &str, of: &str| {
        let parts = lines.iter().filter_map(|line| Some(line[key].as_f64()? * number(&line[of]) as f64));
        parts.sum::<f64>().round() as u64
    };
    let (out, into) = (found(FAR, "outgoing"), found(NEAR, "incoming"));
    assert_eq!(lines.iter().filter(|line| line["type"] == "destination").count(), out.len() + into.len());
    assert_eq!(sum(&out, "attempts"), counter(&near, "ActiveOpens"));
    assert_eq!(share(&out, "established_ratio", "attempts"), 12);
    assert_eq!(share(&out, "synack_ratio", "attempts"), 12);
    assert_eq!(sum(&out, "attempts") - 12, counter(&near, "AttemptFails"));
    assert_eq!(sum(&into, "attempts"), counter(&near, "PassiveOpens"));
    assert_eq!((sum(&out, "exchanges"), sum(&out, "requests")), (32, 32));
    assert_eq!((sum(&into, "exchanges"), sum(&into, "requests")), (15, 15));
    // Who closes first is here, but for four servers; then there.
    assert_eq!((sum(&out, "ended"), sum(&into, "ended")), (20, 5));
    assert_eq!(share(&out, "fin_out_ratio", "ended"), 8);
    assert_eq!(share(&out, "fin_in_ratio", "ended"), 4);
    assert_eq!(share(&out, "rst_ratio", "ended"), 8);
    assert_eq!(share(&into, "fin_in_ratio", "ended"), 5);
    assert_eq!(sum(&out, "connections_with_loss") + sum(&into, "connections_with_loss"), 0);
    let served = into.iter().filter_map(|line| line["exchanges_per_connection"]["p95"].as_u64());
    assert!(served.clone().count() > 0 && served.clone().all(|most| most == 3));
}
