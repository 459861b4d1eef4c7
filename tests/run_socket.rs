//! The socket's file, its clients, and `fullcount stat`, on a run that reads
//! standard input and so goes on until that is closed.

#[path = "common/netns.rs"]
mod netns;

use netns::wait;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::Duration;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/refused.pcap");
/// Longer than anybody has to wait here: a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(30);
const PROGRAM: &str = env!("CARGO_BIN_EXE_fullcount");

/// Header of a pcap file of Ethernet frames, by the host's byte order.
fn header() -> Vec<u8> {
    let mut header = 0xa1b2_c3d4u32.to_ne_bytes().to_vec();
    header.extend([2u16.to_ne_bytes(), 4u16.to_ne_bytes()].concat());
    header.extend([0, 0, 262_144, 1].map(u32::to_ne_bytes).concat());
    header
}

struct Running {
    child: Child,
    input: Option<ChildStdin>,
    socket: PathBuf,
}

impl Running {
    fn start(socket: &Path) -> Running {
        Running::start_with(socket, &[], "077")
    }

    fn start_with(socket: &Path, arguments: &[&str], umask: &str) -> Running {
        let mut command = Command::new("sh");
        command.args(["-c", "umask \"$0\" && exec \"$@\"", umask, PROGRAM]);
        command.args(["-r", "-", "-o", "json", "--socket"]).arg(socket).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut input = child.stdin.take().expect("piped");
        input.write_all(&header()).expect("it reads");
        let running = Running { child, input: Some(input), socket: socket.to_owned() };
        wait("somebody answers", || UnixStream::connect(socket).is_ok());
        running
    }

    fn ask(&self, request: &str) -> String {
        ask(&self.socket, request.as_bytes())
    }

    /// Ends by itself as its input does; its file is gone.
    fn end(mut self) -> Output {
        drop(self.input.take());
        let output = self.child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:?}");
        assert!(!self.socket.exists());
        output
    }
}

fn ask(socket: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream.write_all(request).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and its end");
    answer
}

fn fullcount(arguments: &[&str], socket: &Path) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).arg("--socket").arg(socket);
    command.stdin(Stdio::null()).output().expect("the program starts")
}

fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_file_is_ours_alone_and_goes_with_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let running = Running::start(&socket);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o7777, 0o600);
    running.end();
}

/// The user and group of a file, and its mode.
fn access(path: &Path) -> (u32, u32, u32) {
    let file = fs::metadata(path).expect("it is there");
    (file.uid(), file.gid(), file.mode() & 0o7777)
}

fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: {test}: needs root, to give files away and to be others");
    }
    root
}

#[test]
fn its_mode_is_as_asked_for_whatever_the_umask() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let ours = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let group = format!(":{}", ours.1);
    for (arguments, mode) in [
        (&[][..], 0o600),
        (&["--socket-mode", "0660"], 0o660),
        (&["--socket-mode", "666"], 0o666),
        (&["--socket-mode", "0200"], 0o200),
        (&["--socket-owner", &group], 0o600),
        (&["--socket-mode", "0620", "--socket-owner", &group], 0o620),
    ] {
        for umask in ["000", "077"] {
            let running = Running::start_with(&socket, arguments, umask);
            assert_eq!(access(&socket), (ours.0, ours.1, mode), "{arguments:?}, umask {umask}");
            assert!(running.ask("GET\n").starts_with('['));
            running.end();
        }
    }
}

/// Who is named may ask, who is not may not and is told what to do; `attach` is told the same.
#[test]
fn others_may_ask_where_it_is_theirs() {
    if !is_root("others_may_ask_where_it_is_theirs") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // One that any user may start, wherever the sources are.
    let program = folder.path().join("fullcount");
    fs::copy(PROGRAM, &program).unwrap();
    let asks = |user: u32, group: u32| {
        let mut command = Command::new(&program);
        command.args(["stat", "--json", "-U"]).arg(&socket).uid(user).gid(group);
        told(&command.stdin(Stdio::null()).output().expect("the program starts"))
    };
    for (arguments, owned, may, may_not) in [
        (&["--socket-owner", "12345"][..], (12345, 0, 0o600), &[(12345, 9)][..], &[(9, 0)][..]),
        (&["--socket-owner", ":12345", "--socket-mode", "0660"], (0, 12345, 0o660), &[(9, 12345)], &[(9, 9)]),
        (
            &["--socket-owner", "7:12345", "--socket-mode", "0060"],
            (7, 12345, 0o060),
            &[(9, 12345)],
            &[(7, 7)],
        ),
        (&["--socket-owner", "root:root", "--socket-mode", "0606"], (0, 0, 0o606), &[(9, 9)], &[(9, 0)]),
    ] {
        let running = Running::start_with(&socket, arguments, "000");
        assert_eq!(access(&socket), owned, "{arguments:?}");
        for &(user, group) in may {
            assert_eq!(asks(user, group), (Some(0), String::new()), "{arguments:?} {user}:{group}");
        }
        for &(user, group) in may_not {
            let (code, sentence) = asks(user, group);
            assert_eq!(code, Some(1), "{arguments:?} {user}:{group}");
            let advice = "this user may not ask there: ask as the one who started it, or start it so that others \
                          may (--socket-mode, --socket-owner)";
            assert!(sentence.contains(advice), "{sentence}");
        }
        running.end();
    }
    // Not one's own to give: nothing begins, nothing is left.
    let theirs = folder.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o777)).unwrap();
    let capture = theirs.join("capture");
    fs::copy(FILE, &capture).unwrap();
    for owner in ["0", ":0", "0:0"] {
        let mut command = Command::new(&program);
        command.arg("-r").arg(&capture).args(["-o", "json", "--socket-owner", owner, "-U"]);
        let output = command.arg(theirs.join("s")).uid(9).gid(9).output().expect("the program starts");
        let (code, sentence) = told(&output);
        assert!(code == Some(1) && output.stdout.is_empty(), "{sentence}");
        let begins = format!("fullcount: --socket-owner {owner}: the socket cannot be given away: ");
        assert!(sentence.starts_with(&begins) && sentence.lines().count() == 1, "{sentence}");
        assert!(!theirs.join("s").exists());
    }
}

#[test]
fn whom_nobody_knows_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    for (owner, kind, name) in [
        ("no-such-user", "user", "no-such-user"),
        (":no-such-group", "group", "no-such-group"),
        ("0:no-such-group", "group", "no-such-group"),
        ("4294967295", "user", "4294967295"),
    ] {
        let output = fullcount(&["-r", FILE, "-o", "json", "--socket-owner", owner], &socket);
        let (code, sentence) = told(&output);
        assert!(code == Some(2) && output.stdout.is_empty(), "{sentence}");
        let expected = format!(
            "fullcount: --socket-owner: there is no {kind} {name:?} here: name another one, or give a number\n"
        );
        assert_eq!(sentence, expected);
        assert!(!socket.exists());
    }
    let (code, sentence) = told(&fullcount(&["-r", FILE, "--socket-mode", "rw"], &socket));
    assert_eq!(code, Some(2), "{sentence}");
    assert!(sentence.contains("permissions as octal digits"), "{sentence}");
}

#[test]
fn another_file_in_its_place_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let mut running = Running::start(&socket);
    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "not yours").unwrap();
    drop(running.input.take());
    assert!(running.child.wait().unwrap().success());
    assert_eq!(fs::read_to_string(&socket).unwrap(), "not yours");
}

#[test]
fn a_stale_socket_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    drop(UnixListener::bind(&socket).unwrap());
    // A program that another test starts just now has the listener too, for a moment.
    wait("nobody listens", || UnixStream::connect(&socket).is_err());
    assert!(socket.exists());
    let mut killed = Running::start(&socket);
    assert!(killed.ask("GET\n").starts_with("[{\"RX\":"));
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    assert!(socket.exists());
    Running::start(&socket).end();
}

#[test]
fn a_live_socket_is_refused_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let running = Running::start(&socket);
    let (code, sentence) = told(&fullcount(&["-r", FILE], &socket));
    assert_eq!(code, Some(1), "{sentence}");
    let expected = format!(
        "fullcount: --socket {}: another program answers there: end it, or name another socket\n",
        socket.display()
    );
    assert_eq!(sentence, expected);
    assert!(running.ask("GET\r\n").starts_with("[{\"RX\":"));
    running.end();
    // One that takes no more clients lives as well.
    let full = UnixListener::bind(&socket).unwrap();
    rustix::net::listen(&full, 0).unwrap();
    let _waits = UnixStream::connect(&socket).unwrap();
    let (code, sentence) = told(&fullcount(&["-r", FILE], &socket));
    assert_eq!(code, Some(1), "{sentence}");
    assert_eq!(sentence, expected);
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes");
    fs::write(&file, "mine").unwrap();
    let link = folder.path().join("link");
    symlink(&file, &link).unwrap();
    let long = folder.path().join("x".repeat(120));
    let nowhere = folder.path().join("no/s");
    for (path, code, part) in [
        (&file, 2, "this is no socket and is left alone"),
        (&link, 2, "this is no socket and is left alone"),
        (&long, 2, "a socket's path has 1 to 107 bytes"),
        (&nowhere, 1, "cannot listen there"),
    ] {
        let (got, sentence) = told(&fullcount(&["-r", FILE], path));
        assert_eq!(got, Some(code), "{sentence}");
        assert!(sentence.contains(part) && sentence.lines().count() == 1, "{sentence}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert!(link.is_symlink());
}

/// Whoever says nothing or too much is sent away.
#[test]
fn clients_that_hang_are_sent_away() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let running = Running::start(&socket);
    let endless = ask(&socket, &[b'x'; 6000]);
    assert!(endless.starts_with("{\"error\":\"a request has 4096 bytes at most"), "{endless}");
    assert_eq!(ask(&socket, b"GET\r\nGET\r\n"), running.ask("GET\n"), "one request a connection");
    let mut halves = UnixStream::connect(&socket).unwrap();
    for piece in ["GE", "T\r", "\n"] {
        halves.write_all(piece.as_bytes()).unwrap();
    }
    let mut answer = String::new();
    halves.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, running.ask("GET\n"));
    let hang = || {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"RE").unwrap();
        stream
    };
    let mut silent: Vec<UnixStream> = (0..5).map(|_| hang()).collect();
    assert!(running.ask("GET\n").starts_with('['));
    for stream in &mut silent {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "", "no request, no answer");
    }
    running.end();
}

/// Who asks is answered however many only sit there (`stat` itself waits for five seconds); who
/// looks on is none of those.
#[test]
fn the_silent_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let running = Running::start(&socket);
    let mut viewer = UnixStream::connect(&socket).unwrap();
    viewer.set_read_timeout(Some(PATIENCE)).unwrap();
    viewer.write_all(b"SCREEN/1 80 24 0 1\n").unwrap();
    let mut first = [0; 9];
    viewer.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"SCREEN/1\n");
    let connect = |says: &[u8]| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(says).unwrap();
        stream
    };
    for says in [&b""[..], b"G"] {
        let silent: Vec<UnixStream> = (0..40).map(|_| connect(says)).collect();
        for _ in 0..3 {
            let output = fullcount(&["stat", "--json"], &socket);
            assert_eq!(told(&output), (Some(0), String::new()));
        }
        drop(silent);
    }
    let mut drawn = [0; 4096];
    viewer.set_nonblocking(true).unwrap();
    while let Ok(read) = viewer.read(&mut drawn) {
        assert!(read > 0, "who looks on was let go");
    }
    viewer.set_nonblocking(false).unwrap();
    viewer.write_all(b"again\n").unwrap();
    assert!(viewer.read(&mut drawn).is_ok_and(|read| read > 0), "it is drawn anew");
    drop(viewer);
    running.end();
}

#[test]
fn stat_shows_what_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let running = Running::start(&socket);
    let say = |arguments: &[&str]| {
        let output = fullcount(&[&["stat"], arguments].concat(), &socket);
        assert_eq!(told(&output), (Some(0), String::new()));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(say(&["--json"]), running.ask("GET\n") + "\n");
    assert_eq!(say(&["--json", "--refresh", "me"]), running.ask("REFRESH you\n") + "\n");
    assert!(say(&[]).contains("\n TX\n----------------------------\n success\n     total               0\n"));
    running.end();
    let (code, sentence) = told(&fullcount(&["stat"], &socket));
    assert_eq!(code, Some(1));
    assert!(sentence.contains("nobody answers there: start fullcount with --socket"), "{sentence}");
}

#[test]
fn stat_finds_the_users_own() {
    let test = "stat_finds_the_users_own";
    if Path::new("/run/fullcount/fullcount.sock").exists() {
        eprintln!("SKIPPED: {test}: this machine has a fullcount of its own");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ask = || {
        let mut command = Command::new(PROGRAM);
        command.args(["stat", "--json"]).env("XDG_RUNTIME_DIR", folder.path());
        command.output().expect("the program starts")
    };
    let (code, sentence) = told(&ask());
    assert_eq!(code, Some(1));
    assert!(sentence.contains("fullcount stat --socket PATH") && sentence.lines().count() == 1, "{sentence}");
    fs::create_dir(folder.path().join("fullcount")).unwrap();
    let running = Running::start(&folder.path().join("fullcount/fullcount.sock"));
    assert_eq!(told(&ask()), (Some(0), String::new()));
    running.end();
}

/// A tcpeek of another time on the other side: its answer, recorded.
#[test]
fn stat_tells_gmetric_what_tcpeekstat_told_it() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let tcpeek = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 9];
            stream.read_exact(&mut request).unwrap();
            requests.push(request);
            stream.write_all(include_bytes!("../fixtures/tcpeek/refresh.json")).unwrap();
        }
        requests
    });
    let gmetric = folder.path().join("gmetric");
    let script =
        |code: u8| format!("#!/bin/sh\necho \"$#: $*\" >> {}/told\nexit {code}\n", folder.path().display());
    let run = |code: u8| {
        fs::write(&gmetric, script(code)).unwrap();
        fs::set_permissions(&gmetric, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["stat", "--gmetric", "-U"]).arg(&socket);
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap_or_default());
        command.env("PATH", path).output().expect("the program starts")
    };
    let output = run(0);
    assert_eq!(told(&output), (Some(0), String::new()));
    let expected: Vec<String> = ["RX", "TX", "web"]
        .into_iter()
        .flat_map(|name| {
            let figures = if name == "RX" { [0, 0, 0, 0] } else { [1, 0, 1, 3] };
            ["success_dupsyn", "success_dupsynack", "failure_timeout", "failure_reject"]
                .into_iter()
                .zip(figures)
                .map(move |(item, figure)| format!("-n tcpeek_{name}_{item} -v {figure} -t uint32"))
        })
        .collect();
    let file = fs::read_to_string(folder.path().join("told")).unwrap();
    assert_eq!(file, expected.iter().map(|one| format!("6: {one}\n")).collect::<String>());
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(shown, expected.iter().map(|one| format!("gmetric {one}\n")).collect::<String>());
    assert_eq!(
        told(&run(3)),
        (Some(1), "fullcount: gmetric failed for 12 figures: see what it said\n".into())
    );
    assert_eq!(tcpeek.join().unwrap(), [*b"REFRESH\r\n"; 2]);
}
