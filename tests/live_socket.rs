//! Handshakes of real TCP as the socket tells them.
//!
//! Truth: what the kernel did in the namespace that is watched (`Tcp:` of
//! /proc/net/snmp), and the program's own lines.

#[path = "common/live.rs"]
mod live;

use live::netns::wait;
use live::{Fullcount, number, pair};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("somebody listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time");
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

/// Nobody reads the lines: the run waits for that, who asks does not.
#[test]
fn sums_go_on_while_an_output_is_stuck() {
    let Some((near, far)) = pair("sums_go_on_while_an_output_is_stuck") else { return };
    near.veth("v0", &far, "w0");
    near.shell("ip addr add 198.18.3.1/24 dev v0");
    far.shell("ip addr add 198.18.3.2/24 dev w0");
    let listener = far.run(|| TcpListener::bind("198.18.3.2:8080").expect("free"));
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("s");
    let (mut unread, full) = std::io::pipe().expect("a pipe");
    leave_two_pages(&mut unread, &full);
    let line = format!("exec {} -i v0 -o json --interval 0.1 --socket {}", live::PROGRAM, socket.display());
    let mut command = near.command(&line);
    let mut child = command.stdout(full).spawn().expect("the program starts");
    drop(command);
    wait("somebody answers", || UnixStream::connect(&socket).is_ok());
    let written = || {
        let lines = ask(&socket, "JSON\n");
        serde_json::from_str::<Value>(lines.lines().next().expect("a line")).expect("JSON")["time"].clone()
    };
    let (mut same, mut last, mut made) = (0, Value::Null, 0);
    // Each connection is told by a later snapshot; the lines have come to an end.
    while same < 5 {
        near.run(|| TcpStream::connect("198.18.3.2:8080")).expect("it listens");
        made += 1;
        wait("a newer sum", || of(&ask(&socket, "GET\n"), "TX") == [made, 0]);
        let time = written();
        same = if time == last { same + 1 } else { 0 };
        last = time;
        assert!(made < 300, "the output is not stuck");
    }
    let pid = Pid::from_raw(child.id().try_into().expect("a pid")).expect("a pid");
    kill_process(pid, Signal::TERM).expect("it runs");
    let mut text = Vec::new();
    unread.read_to_end(&mut text).expect("lines");
    assert!(child.wait().expect("it ends").success());
    assert!(!socket.exists());
}

/// Fills a pipe but for two pages.
fn leave_two_pages(unread: &mut std::io::PipeReader, pipe: &std::io::PipeWriter) {
    let page = [b'\n'; 4096];
    let flags = fcntl_getfl(pipe).expect("flags");
    fcntl_setfl(pipe, flags | OFlags::NONBLOCK).expect("flags");
    let mut pages = 0;
    while rustix::io::write(pipe, &page).is_ok() {
        pages += 1;
    }
    assert!(pages > 1, "a pipe has more pages");
    fcntl_setfl(pipe, flags).expect("flags");
    unread.read_exact(&mut [0; 2 * 4096]).expect("it is full");
}
