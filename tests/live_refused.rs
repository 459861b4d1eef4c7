//! What the program refuses live, and filters: the sentence and the exit code,
//! before anything else is printed; with permission it counts for anyone.

#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;

use frames::*;
use live::netns::Netns;
use live::{Count, Fullcount, PROGRAM, count_of, intervals, number, pair, permitted, skipped, total};
use serde_json::Value;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Nobody's user id.
const NOBODY: u32 = 65_534;

/// Exit code, standard output, standard error.
fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn run(netns: &Netns, arguments: &str) -> (Option<i32>, String, String) {
    let line = format!("exec timeout -s KILL 20 {PROGRAM} {arguments}");
    said(&netns.command(&line).output().expect("sh runs"))
}

/// A copy of an executable where any user may run it.
fn for_anyone(executable: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir_in("/tmp").expect("a directory");
    let anyone = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), anyone.clone()).expect("ours");
    let copy = directory.path().join("program");
    std::fs::copy(executable, &copy).expect("a copy");
    std::fs::set_permissions(&copy, anyone).expect("ours");
    (directory, copy)
}

#[test]
fn an_interface_that_does_not_exist_is_answered_with_those_that_do() {
    let Some((near, far)) = pair("an_interface_that_does_not_exist_is_answered_with_those_that_do") else {
        return;
    };
    near.veth("uplink0", &far, "w0");
    for form in ["json", "text"] {
        let (code, out, err) = run(&near, &format!("-i uplnk0 -o {form}"));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(err.starts_with("fullcount: ") && err.contains("uplnk0"), "{err}");
        assert!(err.contains("(existing: lo and uplink0)"), "those that exist: {err}");
        assert!(err.contains("did you mean uplink0?"), "the nearest: {err}");
    }
}

#[test]
fn a_broken_filter_is_refused_before_anything_is_printed() {
    let Some((near, far)) = pair("a_broken_filter_is_refused_before_anything_is_printed") else { return };
    near.veth("v0", &far, "w0");
    for form in ["json", "text"] {
        let (code, out, err) = run(&near, &format!("-i v0 -o {form} udp prot 53"));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
        assert!(err.starts_with("fullcount: ") && err.contains("udp prot 53"), "the expression: {err}");
        assert!(err.contains("syntax error") && err.contains("prot"), "the place: {err}");
    }
}

#[test]
fn a_filter_selects_and_the_rest_stands_beside() {
    let Some((near, far)) = pair("a_filter_selects_and_the_rest_stands_beside") else { return };
    near.veth("v0", &far, "w0");
    for (workers, filter) in [(1, "udp port 53"), (2, "vlan 42 and udp port 53")] {
        let arguments = format!("-i v0 --interval 0.2 --workers {workers} --connections {filter}");
        let running = Fullcount::start(&near, &arguments);
        running.wait_compared("v0");
        let own = |what: &str| near.counter("v0", what);
        let before = own("rx_bytes");
        let mut injector = far.injector("w0");
        let (mut selected, mut all) = (Count::default(), 0);
        for n in 0..2000u16 {
            let port = if n % 4 == 0 { 53 } else { 443 };
            let ends = Ends::v4(([198, 18, 0, 1], 4000 + n % 50), ([198, 19, 0, 1], port));
            let tags: &[(u16, u16)] = if n % 8 < 4 { &[(0x8100, 42)] } else { &[] };
            let frame = ethernet(tags, 0x0800, &ip(ends, UDP, &udp(ends, 700)));
            injector.send(&frame);
            all += frame.len() as u64;
            if port == 53 && (workers == 1 || !tags.is_empty()) {
                selected.add(frame.len());
            }
        }
        assert!(selected.packets > 100);
        running.wait_frames("v0", selected.packets);
        assert_eq!(own("rx_bytes") - before, all);
        let beside = |value: &Value| value["unfiltered_bits_per_second"].as_u64();
        running.wait_for("a line with the interface's own rate", |lines| {
            intervals(lines, "v0").find_map(|line| beside(&line["rx"]).filter(|rate| *rate > 0))
        });
        let lines = running.stop().lines();
        assert_eq!(lines[0]["filter"], filter);
        let total = total(&lines, "v0");
        // In the first case the tagged ones pass too: tcpdump's live filters see through the tag.
        assert_eq!(count_of(&total["rx"]), selected, "{filter}");
        assert_eq!(count_of(&total["tx"]), Count::default());
        assert_eq!(number(&total["capture"]["frames"]), selected.packets);
        assert!(total["capture"]["coverage_ratio"].is_null(), "a filter is in force");
        // The interface's own rate since the start, over a span that is at most the run's.
        let seconds = lines.last().expect("stop")["seconds"].as_f64().expect("a number");
        let rate = beside(&total["rx"]).expect("told") as f64;
        assert!(rate * seconds >= all as f64 * 8.0, "{rate} for {seconds} s");
        assert!(rate * (seconds - 0.5).max(0.2) <= all as f64 * 8.0 * 1.5, "{rate} for {seconds} s");
    }
}

/// The words that make the rest of a command line nobody's.
fn as_nobody() -> Vec<String> {
    let user = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
    let fixed = ["setpriv", "--clear-groups", "--inh-caps=-all"].map(String::from);
    [&fixed[..], &user].concat()
}

#[test]
fn who_may_not_capture_is_told_what_to_type() {
    let test = "who_may_not_capture_is_told_what_to_type";
    if !rustix::process::geteuid().is_root() || Command::new("setpriv").arg("--version").output().is_err() {
        skipped(test, "needs root and setpriv, to become nobody");
        return;
    }
    let (_directory, program) = for_anyone(PROGRAM);
    let setcap = format!("sudo setcap cap_net_raw=eip {}", program.display());
    for more in [&[][..], &["udp", "port", "53"], &["--workers", "2"]] {
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL", "20"]).args(as_nobody()).arg("--bounding-set=-all");
        command.arg(&program).args(["-i", "lo", "-o", "json"]).args(more);
        let output = command.output().expect("setpriv runs");
        if String::from_utf8_lossy(&output.stderr).starts_with("setpriv") {
            skipped(test, "setpriv may not");
            return;
        }
        let (code, out, err) = said(&output);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{more:?}: {err}");
        assert!(err.starts_with("fullcount: ") && err.contains(&format!("`{setcap}`")), "{more:?}: {err}");
        assert!(err.contains("CAP_NET_RAW") && err.contains("reading files with -r needs none"), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    what_was_to_be_typed_is_enough(test, &program, setcap.trim_start_matches("sudo "));
}

/// Types it: then nobody captures on any interface, with each option that asks
/// the kernel for something.
fn what_was_to_be_typed_is_enough(test: &str, program: &Path, setcap: &str) {
    let Some((near, far)) = pair(test) else { return };
    let typed = Command::new("sh").args(["-c", setcap]).output().expect("sh runs");
    if !typed.status.success() {
        skipped(test, &format!("the line could not be tried: {}", String::from_utf8_lossy(&typed.stderr)));
        return;
    }
    near.veth("v0", &far, "w0");
    for more in ["--workers 2", "udp port 53"] {
        let words = [as_nobody().join(" "), program.display().to_string()].join(" ");
        let running = Fullcount::spawn(near.command(&format!("exec {words} -i v0 -o json {more}")));
        running.wait_line("start", |line| line["type"] == "start");
        let mut injector = near.injector("v0");
        let ends = Ends::v4(([198, 18, 0, 1], 4000), ([198, 19, 0, 1], 53));
        let frame = ethernet(&[], 0x0800, &ip(ends, UDP, &udp(ends, 100)));
        (0..100).for_each(|_| injector.send(&frame));
        let lines = running.stop().lines();
        let sent = Count { packets: 100, bytes: 100 * frame.len() as u64 };
        assert_eq!(count_of(&total(&lines, "v0")["tx"]), sent, "{more}");
    }
}

/// In a user namespace: as an ordinary user of the machine. (Where the tests
/// run as root, they become nobody first.)
#[test]
fn anyone_may_count_in_a_namespace_of_their_own() {
    let test = "loopback_is_counted_once";
    if !rustix::process::geteuid().is_root() {
        // `permitted` takes that very way with each test.
        return;
    }
    let me = std::env::current_exe().expect("this program's path");
    // The copy finds the program where it was built; others may have to be let there.
    let readable = Command::new("setpriv").args(&as_nobody()[1..]).args([PROGRAM, "--version"]).output();
    if !readable.is_ok_and(|output| output.status.success()) {
        skipped("anyone_may_count_in_a_namespace_of_their_own", "nobody may not read the build directory");
        return;
    }
    live::in_user_namespace(test, &me, Some(NOBODY));
}

#[test]
fn loopback_is_counted_once() {
    if !permitted("loopback_is_counted_once") {
        return;
    }
    let Some(netns) = Netns::new("live") else { return };
    for workers in [1, 2] {
        let running =
            Fullcount::start(&netns, &format!("-i lo --interval 0.2 --connections --workers {workers}"));
        running.wait_compared("lo");
        let before = ["rx_packets", "rx_bytes"].map(|what| netns.counter("lo", what));
        let sent = netns.run(|| {
            let sockets = [(); 2].map(|()| UdpSocket::bind(("127.0.0.1", 0)).expect("free"));
            let to = sockets[1].local_addr().expect("bound");
            let mut sent = Count::default();
            for n in 0..400usize {
                assert_eq!(sockets[0].send_to(&vec![0; n], to).expect("sent"), n);
                sent.add(14 + 20 + 8 + n);
                sockets[1].recv_from(&mut [0; 500]).expect("received");
            }
            sent
        });
        running.wait_frames("lo", sent.packets);
        let after = ["rx_packets", "rx_bytes"].map(|what| netns.counter("lo", what));
        let lines = running.stop().lines();
        let total = total(&lines, "lo");
        assert_eq!(
            ["tx", "rx"].map(|way| count_of(&total[way])),
            [Count::default(), sent],
            "{workers} workers"
        );
        assert_eq!(total["capture"]["coverage_ratio"], 1.0, "{workers} workers");
        // Loopback takes the Ethernet header off before it counts (loopback_xmit in the kernel).
        let kernel = Count { packets: after[0] - before[0], bytes: after[1] - before[1] };
        assert_eq!(Count { bytes: sent.bytes - 14 * sent.packets, ..sent }, kernel);
        assert_eq!(number(&total["capture"]["frames"]), sent.packets, "once in the rings, too");
        let flows: Vec<Count> = live::connections(&lines)
            .map(|line| count_of(&line["c2s"]).plus(count_of(&line["s2c"])))
            .collect();
        assert_eq!(flows, [sent], "{workers} workers");
    }
}
