//! Handshakes of real TCP as the socket tells them.
//!
//! Truth: what the kernel did in the namespace that is watched (`Tcp:` of
//! /proc/net/snmp), and the program's own lines.

#[path = "common/live.rs"]
mod live;

use live::{Fullcount, number, pair};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("somebody listens");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Successes and rejections of a watch.
fn of(answer: &str, watch: &str) -> [u64; 2] {
    let list: Vec<Value> = serde_json::from_str(answer).expect("JSON");
    let found = list.iter().find_map(|one| one.get(watch)).expect("it is there");
    [number(&found["success"]["total"]), number(&found["failure"]["reject"])]
}

fn kernel(text: &str, name: &str) -> u64 {
    let (names, figures) = text.split_once('\n').expect("two lines");
    let place = names.split_whitespace().position(|one| one == name).expect("it is counted");
    figures.split_whitespace().nth(place).and_then(|figure| figure.parse().ok()).expect("a number")
}

#[test]
fn the_socket_tells_what_the_kernel_did() {
    let Some((near, far)) = pair("the_socket_tells_what_the_kernel_did") else { return };
    near.veth("v0", &far, "w0");
    near.shell("ip addr add 198.18.3.1/24 dev v0");
    far.shell("ip addr add 198.18.3.2/24 dev w0");
    let listener = far.run(|| TcpListener::bind("198.18.3.2:8080").expect("free"));
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("s");
    let running = Fullcount::start(
        &near,
        &format!("-i v0 --interval 0.1 --sessions --workers 2 --socket {} 'web:TX@%:8080'", socket.display()),
    );
    // Answered from the start on.
    assert_eq!(of(&ask(&socket, "GET\r\n"), "TX"), [0, 0]);
    assert_eq!(of(&ask(&socket, "REFRESH ours\r\n"), "TX"), [0, 0]);
    let mut told = 0;
    let mut connect = |times: usize, port: u16| {
        for _ in 0..times {
            let to: SocketAddr = ([198, 18, 3, 2], port).into();
            let _ = near.run(|| TcpStream::connect(to));
        }
        told += times;
        running.wait_for("sessions", |lines| {
            (lines.iter().filter(|line| line["type"] == "session").count() >= told).then_some(())
        });
    };
    connect(4, 8080);
    connect(2, 8081);
    // Sums are those of an interval that has been written already, or a later one.
    let get = ask(&socket, "GET\r\n");
    assert_eq!((of(&get, "TX"), of(&get, "web"), of(&get, "RX")), ([4, 2], [4, 0], [0, 0]));
    let snmp = near.shell("grep ^Tcp: /proc/net/snmp");
    assert_eq!((kernel(&snmp, "ActiveOpens"), kernel(&snmp, "AttemptFails")), (6, 2));
    assert_eq!(of(&ask(&socket, "REFRESH ours\r\n"), "TX"), [4, 2]);
    connect(3, 8080);
    assert_eq!(of(&ask(&socket, "REFRESH ours\r\n"), "TX"), [3, 0]);
    assert_eq!(of(&ask(&socket, "REFRESH theirs\r\n"), "TX"), [7, 2]);
    assert_eq!(of(&ask(&socket, "REFRESH\r\n"), "TX"), [7, 2]);
    assert_eq!(of(&ask(&socket, "REFRESH ours\r\n"), "TX"), [0, 0]);
    let lines = ask(&socket, "JSON\n");
    let line: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&line["type"], &line["interface"]), (&"interface".into(), &"v0".into()));
    // What the kernel handed over, beside what the last line says.
    running.wait_interval();
    let lines = running.stop().lines();
    let stop = lines.last().expect("lines");
    let tx = stop["handshakes"].as_array().expect("a list").iter().find(|one| one["watch"] == "TX");
    assert_eq!(number(&tx.expect("it is there")["success"]), 7);
    assert!(!socket.exists());
}
