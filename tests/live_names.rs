//! Names of addresses in sight: looked up in the background, waited for by nobody.
//!
//! The system's own files say the names here (bound over /etc in the program's
//! mount namespace); the name server is an address that never answers.

#[path = "common/live.rs"]
mod live;

use etherparse::PacketBuilder;
use live::{PROGRAM, pair};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const SERVER: [u8; 4] = [198, 18, 0, 2];
const NAMELESS: [u8; 4] = [198, 18, 0, 3];

fn datagram(from: [u8; 4]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4(from, [198, 18, 0, 1], 64)
        .udp(5000, 5001)
        .write(&mut frame, b"what is my name?")
        .expect("a frame");
    frame
}

/// Lines of a run of `arguments`, while both hosts send, until `enough` of them are there.
fn run(
    test: &str,
    arguments: &str,
    folder: &Path,
    enough: impl Fn(&[String]) -> bool,
) -> Option<Vec<String>> {
    let (near, far) = pair(test)?;
    near.veth("a0", &far, "b0");
    near.shell("ip addr add 198.18.0.1/24 dev a0");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        format!("mount --bind {} /etc/{name} && ", path.display())
    };
    let files = file("hosts", "198.18.0.2 web1.example\n")
        // Nobody has that address: what is asked there is never answered.
        + &file("resolv.conf", "nameserver 198.18.0.99\noptions timeout:30\n")
        + &file("nsswitch.conf", "hosts: files dns\n");
    let mut child = near
        .command(&format!("{files}exec {PROGRAM} -i a0 --interval 0.2 --by host {arguments}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let out = child.stdout.take().expect("piped");
    let (said, lines): (_, Receiver<String>) = channel();
    let reader = std::thread::spawn(move || {
        BufReader::new(out).lines().map_while(Result::ok).for_each(|line| {
            let _ = said.send(line);
        });
    });
    let mut sender = far.injector("b0");
    let (limit, mut told) = (Instant::now() + Duration::from_secs(60), Vec::new());
    while !enough(&told) {
        assert!(Instant::now() < limit, "{arguments}: {told:#?}");
        [SERVER, NAMELESS].iter().for_each(|from| sender.send(&datagram(*from)));
        // A pace, not a hope: what is waited for is a line.
        told.extend(lines.recv_timeout(Duration::from_millis(20)));
        told.extend(lines.try_iter());
    }
    let pid = Pid::from_raw(child.id() as i32).expect("a pid");
    kill_process(pid, Signal::INT).expect("it runs");
    assert!(child.wait().expect("it ends").success());
    reader.join().expect("no panic");
    told.extend(lines.try_iter());
    Some(told)
}

fn tables(lines: &[String]) -> usize {
    lines.iter().filter(|line| line.contains("198.18.0.3")).count()
}

#[test]
fn a_row_gets_its_name_and_a_silent_name_server_holds_nothing_up() {
    let test = "a_row_gets_its_name_and_a_silent_name_server_holds_nothing_up";
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log.json");
    let named = |lines: &[String]| lines.iter().any(|line| line.contains("web1.example"));
    let enough = |lines: &[String]| named(lines) && tables(lines) >= 5;
    let Some(_) = run(test, &format!("-t --log-file {}", log.display()), folder.path(), enough) else {
        return;
    };
    let json = std::fs::read_to_string(log).expect("written");
    assert!(
        json.contains("198.18.0.2") && !json.contains("web1"),
        "names that were looked up are not in JSON"
    );
}

#[test]
fn without_names_none_is_looked_up() {
    let test = "without_names_none_is_looked_up";
    let folder = tempfile::tempdir().expect("a folder");
    let Some(lines) = run(test, "-n -t", folder.path(), |lines| tables(lines) >= 5) else { return };
    assert!(!lines.iter().any(|line| line.contains("web1")), "{lines:#?}");
}
