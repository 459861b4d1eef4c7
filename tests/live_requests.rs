//! Requests and responses over real TCP: how many there were and how long they took.
//!
//! Truth: both ends' own clocks. The server's time from "the request is here" to
//! "I answer" lies within what a capture between them sees, the client's from
//! "I ask" to "the answer is here" lies around it; so each figure is held
//! between the two, however busy the machine is.

#[path = "common/live.rs"]
mod live;
#[path = "common/tcp.rs"]
mod tcp;

use live::{Fullcount, connections, number};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::time::{Duration, Instant};
use tcp::*;

/// Clocks of packets and of tests may run apart by this much.
const APART: Duration = Duration::from_micros(100);

/// Each in two parts, with a pause between them.
const REQUEST: [usize; 2] = [300, 200];
const RESPONSE: [usize; 2] = [20_000, 30_000];
const GREETING: usize = 20;

/// Connections of one kind of service.
struct Service {
    port: u16,
    takes: Duration,
    connections: usize,
    requests: usize,
    greets: bool,
}

const fn service(port: u16, takes_ms: u64, connections: usize, greets: bool) -> Service {
    Service { port, takes: Duration::from_millis(takes_ms), connections, requests: 100 / connections, greets }
}

const SERVICES: [Service; 3] =
    [service(8005, 5, 1, false), service(8020, 20, 2, true), service(8080, 80, 4, false)];

/// One exchange on one clock: end of the request to the first byte of the
/// response, first byte of the request to the last of the response.
struct Took {
    first_byte: Duration,
    last_byte: Duration,
}

/// Answers until the client has no more requests.
fn answer(mut stream: TcpStream, service: &Service) -> Vec<Took> {
    let mut log = Vec::new();
    if service.greets {
        stream.write_all(&[1; GREETING]).expect("taken");
    }
    let mut request = [vec![0; REQUEST[0]], vec![0; REQUEST[1]]];
    while stream.read_exact(&mut request[0][..1]).is_ok() {
        let begun = Instant::now();
        stream.read_exact(&mut request[0][1..]).expect("the rest");
        stream.read_exact(&mut request[1]).expect("all of it");
        let asked = Instant::now();
        std::thread::sleep(service.takes);
        let first = Instant::now();
        stream.write_all(&vec![2; RESPONSE[0]]).expect("taken");
        std::thread::sleep(Duration::from_millis(2));
        let last = Instant::now();
        stream.write_all(&vec![3; RESPONSE[1]]).expect("taken");
        log.push(Took { first_byte: first - asked, last_byte: last - begun });
    }
    log
}

/// Sends a request; when its two parts were begun.
fn request(mut stream: &TcpStream) -> [Instant; 2] {
    let begun = Instant::now();
    stream.write_all(&[4; REQUEST[0]]).expect("taken");
    std::thread::sleep(Duration::from_millis(1));
    let rest = Instant::now();
    stream.write_all(&[5; REQUEST[1]]).expect("taken");
    [begun, rest]
}

/// Asks, one request after the other.
fn ask(mut stream: TcpStream, service: &Service) -> Vec<Took> {
    if service.greets {
        stream.read_exact(&mut [0; GREETING]).expect("a greeting");
    }
    let mut response = vec![0; RESPONSE[0] + RESPONSE[1]];
    let asking = (0..service.requests).map(|_| {
        let [begun, rest] = request(&stream);
        stream.read_exact(&mut response[..1]).expect("an answer");
        let first = Instant::now();
        stream.read_exact(&mut response[1..]).expect("all of it");
        Took { first_byte: first - rest, last_byte: Instant::now() - begun }
    });
    asking.collect()
}

/// What both ends say, by the client's port.
type Logs = BTreeMap<u16, [Vec<Took>; 2]>;

/// What a figure may be: the server's clock at least, the client's at most.
fn bounds(
    [server, client]: &[Vec<Took>; 2],
    pick: impl Fn(&[Took]) -> Duration,
    edge: impl Fn(Duration) -> Duration,
) -> Range<f64> {
    let [least, most] = [pick(server).saturating_sub(APART), pick(client) + APART];
    edge(least).as_secs_f64()..edge(most).as_secs_f64()
}

fn largest(of: fn(&Took) -> Duration) -> impl Fn(&[Took]) -> Duration {
    move |log| log.iter().map(of).max().expect("some")
}

/// So many percent took no longer.
fn percentile(percent: usize) -> impl Fn(&[Took]) -> Duration {
    move |log| {
        let mut times: Vec<Duration> = log.iter().map(|took| took.last_byte).collect();
        times.sort();
        times[(percent * times.len()).div_ceil(100) - 1]
    }
}

/// Upper edge of a time's bucket: powers of two of a microsecond, and halfway
/// between them.
fn edge(time: Duration) -> Duration {
    let lower = 1 << time.as_micros().ilog2();
    let edges = [lower * 3 / 2, lower * 2].map(|edge| Duration::from_micros(edge as u64));
    if time < edges[0] { edges[0] } else { edges[1] }
}

fn within(figure: &Value, bounds: Range<f64>, what: &str) {
    let figure = figure.as_f64().unwrap_or_else(|| panic!("{what}: {figure}"));
    assert!(bounds.start <= figure && figure <= bounds.end, "{what}: {figure} s is not in {bounds:?}");
}

fn as_both_ends_say(line: &Value, logs: &[Vec<Took>; 2]) {
    let exchanges = &line["exchanges"];
    let requests = logs[0].len();
    assert_eq!(requests, logs[1].len());
    assert_eq!(
        (number(&exchanges["count"]), number(&exchanges["unanswered"])),
        (requests as u64, 0),
        "{line}"
    );
    assert_eq!(line.get("exchanges_lossy"), None, "{line}");
    let same = |time| time;
    let firsts = bounds(logs, largest(|took| took.first_byte), same);
    let lasts = bounds(logs, largest(|took| took.last_byte), same);
    // What the bounds are worth: well below 2 ms where the machine has time.
    for bounds in [&firsts, &lasts] {
        println!("the ends' own clocks are {:.3} ms apart", (bounds.end - bounds.start) * 1e3);
    }
    let longest = lasts.clone();
    within(&exchanges["first_byte_seconds"]["max"], firsts, "first byte");
    within(&exchanges["last_byte_seconds"]["max"], lasts, "last byte");
    for (percent, key) in [(50, "p50"), (95, "p95")] {
        // No percentile is above the longest.
        let bucket = bounds(logs, percentile(percent), edge);
        let bucket = bucket.start.min(longest.start)..bucket.end.min(longest.end);
        within(&exchanges["last_byte_seconds"][key], bucket, key);
    }
}

#[test]
fn requests_are_as_many_and_took_as_long_as_both_ends_say() {
    let Some((near, far)) = link("requests_are_as_many_and_took_as_long_as_both_ends_say") else { return };
    let running = [(&near, "a0"), (&far, "b0")]
        .map(|(at, name)| Fullcount::start(at, &format!("-i {name} --connections")));
    let mut unanswered = 0;
    let logs: Logs = std::thread::scope(|scope| {
        let mut both = Vec::new();
        for service in &SERVICES {
            let listening = listen(&far, service.port);
            for _ in 0..service.connections {
                let [client, server] = connect(&near, &listening);
                for end in [&client, &server] {
                    end.set_nodelay(true).expect("TCP");
                }
                let port = client.local_addr().expect("bound").port();
                let server = scope.spawn(|| answer(server, service));
                both.push((port, server, scope.spawn(|| ask(client, service))));
            }
        }
        // One that is asked and ends without a word.
        let [client, server] = connect(&near, &listen(&far, 8000));
        unanswered += client.local_addr().expect("bound").port();
        let gone = drain(server);
        request(&client);
        finish(client);
        assert_eq!(gone.join().expect("read"), (REQUEST[0] + REQUEST[1]) as u64);
        let both = both.into_iter().map(|(port, server, client)| {
            (port, [server, client].map(|log| log.join().expect("all went well")))
        });
        both.collect()
    });
    for running in running {
        let lines = running.stop().lines();
        assert_eq!(connections(&lines).count(), logs.len() + 1);
        let mut sums = BTreeMap::new();
        for line in connections(&lines) {
            balanced(line);
            let port = number(&line["client"]["port"]) as u16;
            if port == unanswered {
                let exchanges = &line["exchanges"];
                assert_eq!((&exchanges["count"], &exchanges["unanswered"]), (&0.into(), &1.into()), "{line}");
                continue;
            }
            as_both_ends_say(line, &logs[&port]);
            *sums.entry(number(&line["server"]["port"])).or_insert(0) += number(&line["exchanges"]["count"]);
        }
        assert_eq!(sums, BTreeMap::from([(8005, 100), (8020, 100), (8080, 100)]));
    }
}
