//! What two endpoints passed, whatever the capture saw of it.
//!
//! Truth: the length that the test handed to TCP, the kernel's counters of
//! resent segments and of dropped frames, and a file that the test wrote.

#[path = "common/live.rs"]
mod live;
#[path = "common/tcp.rs"]
mod tcp;

use live::netns::{Netns, wait};
use live::{Fullcount, connections, count_of, frames_of, number, total};
use rustix::process::Signal;
use serde_json::Value;
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};
use tcp::*;

const LENGTH: u64 = 20_000_000;

/// One transfer, up or down, that loses nothing on its way.
fn transfer(near: &Netns, far: &Netns, upload: bool, length: u64) {
    let port = 8080;
    let [client, server] = connect(near, &listen(far, port));
    let [sender, receiver] = if upload { [client, server] } else { [server, client] };
    let receiving = drain(receiver);
    send(&sender, length);
    finish(sender);
    assert_eq!(receiving.join().expect("all came"), length);
    for netns in [near, far] {
        assert_eq!(snmp(netns, "Tcp", "RetransSegs"), 0, "nothing was lost between the two");
    }
}

fn by_port(lines: &[Value], port: u16) -> impl Iterator<Item = &Value> {
    connections(lines).filter(move |line| line["server"]["port"] == port)
}

/// A transfer's line; the direction that had the data and the one that had none.
fn judged(line: &Value, upload: bool) -> (&Value, &str, &str) {
    balanced(line);
    let (data, acks) = if upload { ("c2s", "s2c") } else { ("s2c", "c2s") };
    for (way, length) in [(data, LENGTH), (acks, 0)] {
        let figures = ["stream_bytes", "open_bytes", "unacked_bytes", "retransmitted_bytes"];
        assert_eq!(figures.map(|key| of(line, way, key)), [length, 0, 0, 0], "{way}: {line}");
        assert_eq!(line[way]["stream_exact"], true, "{way}: {line}");
    }
    assert_eq!(line["handshake"]["outcome"], "success", "{line}");
    (line, data, acks)
}

/// The same of a run that saw nothing else.
fn only(lines: &[Value], upload: bool) -> (&Value, &str, &str) {
    assert_eq!(connections(lines).count(), 1);
    judged(connections(lines).next().expect("counted"), upload)
}

/// Payload of a direction by its bytes on the wire: Ethernet, IPv4 and TCP with
/// stamps are 66 bytes, a SYN has 8 more.
fn payload(line: &Value, way: &str) -> u64 {
    let sum = count_of(&line[way]);
    sum.bytes - 66 * sum.packets - 8
}

fn drops(lines: &[Value], interface: &str) -> [u64; 2] {
    ["kernel_drops", "missing_bytes"].map(|key| number(&total(lines, interface)["capture"][key]))
}

#[test]
fn a_capture_that_sees_a_tenth_of_the_data_tells_what_was_passed() {
    let test = "a_capture_that_sees_a_tenth_of_the_data_tells_what_was_passed";
    for upload in [true, false] {
        let Some((near, far)) = link(test) else { return };
        let gro = with_gro(test, &near, &far);
        let sender = if upload { CLIENT } else { SERVER };
        // Frames with payload, all but those whose first number is a multiple of
        // eleven: no super-frame of full segments has such a length.
        let filter = format!(
            "tcp and (not src host {sender} or ip[2:2] <= 60 \
             or tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0 or tcp[4:4] % 11 = 0)"
        );
        let running = [(&near, "a0"), (&far, "b0")].map(|(netns, name)| {
            let whole = Fullcount::start(netns, &format!("-i {name} --connections"));
            (name, Fullcount::start(netns, &format!("-i {name} --connections '{filter}'")), whole)
        });
        transfer(&near, &far, upload, LENGTH);
        for (name, thinned, whole) in running {
            let lines = thinned.stop().lines();
            let (line, data, acks) = only(&lines, upload);
            let missing = of(line, data, "missing_bytes");
            assert_eq!(of(line, data, "payload_bytes"), payload(line, data), "{line}");
            assert_eq!(missing, LENGTH - payload(line, data), "{line}");
            assert!(missing > LENGTH / 2, "most of it was left out: {line}");
            assert!(payload(line, data) > 0, "some was not: {line}");
            assert_eq!(of(line, acks, "missing_bytes"), 0, "{line}");
            assert_eq!(drops(&lines, name), [0, missing], "a filter's loss is none of the ring's");

            let lines = whole.stop().lines();
            let (line, data, _) = only(&lines, upload);
            assert_eq!(of(line, data, "payload_bytes"), LENGTH, "{line}");
            assert_eq!(drops(&lines, name), [0, 0], "nothing was lost");
            assert_eq!(line.get("holes_merged"), None, "{line}");
            if gro && (upload || name == "a0") {
                let all = count_of(&line[data]).packets;
                assert!(frames_of(&line[data]).packets < all / 2, "super-frames: {line}");
            }
        }
    }
}

/// A second address in `near`, to which `far` does not know the way yet, and the
/// one in `far` that is reached from it.
const CLIENT_UNKNOWN: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 2);
const SERVER_ASKED: Ipv4Addr = Ipv4Addr::new(198, 18, 2, 2);
const WAITING: usize = 5;
/// What is sent when the program goes on: the smallest ring has room for it.
const REST: u64 = 600_000;

/// Whoever comes from [`CLIENT_UNKNOWN`] gets its answer once [`tell_the_way`] was called.
fn hide_the_way(near: &Netns, far: &Netns) {
    near.shell(&format!(
        "sysctl -qw net.ipv4.conf.all.arp_ignore=8 && ip addr add {CLIENT_UNKNOWN}/32 dev a0 && \
         ip route add {SERVER_ASKED}/32 dev a0 src {CLIENT_UNKNOWN} && \
         ip neigh add {SERVER_ASKED} dev a0 lladdr {} nud permanent",
        far.sysfs("b0", "address")
    ));
    far.shell(&format!(
        "ip addr add {SERVER_ASKED}/32 dev b0 && ip route add {CLIENT_UNKNOWN}/32 dev b0 src {SERVER_ASKED}"
    ));
}

fn tell_the_way(near: &Netns, far: &Netns) {
    let mac = near.sysfs("a0", "address");
    far.shell(&format!("ip neigh replace {CLIENT_UNKNOWN} dev b0 lladdr {mac} nud permanent"));
}

/// Attempts that failed, of all watches.
fn failures(lines: &[Value]) -> u64 {
    let watches = lines.last().expect("some lines")["handshakes"].as_array().expect("a list");
    let failed = watches.iter().flat_map(|watch| watch["failure"].as_object().expect("by outcome").values());
    failed.map(|value| number(value)).sum()
}

/// A transfer in three parts, during the second of which the program stands
/// still and its ring runs full.
fn stand_still_amid(test: &str, upload: bool) {
    let Some((near, far)) = link(test) else { return };
    with_gro(test, &near, &far);
    hide_the_way(&near, &far);
    // Long frames are kept whole, so that super-frames fill the ring.
    let arguments = "-i a0 --ring-mib 2 --snaplen 65536 --workers 1 --timeout 1 --interval 0.2";
    let running = Fullcount::start(&near, &format!("{arguments} --connections --sessions"));
    let listening = listen(&far, 8080);
    let [client, server] = connect(&near, &listening);
    let others = listen(&far, 8081);
    let _answered_by_the_kernel = listen(&far, 8082);
    let closed_meanwhile: Vec<_> = (0..10).map(|_| connect(&near, &others)).collect();
    let [sender, receiver] = if upload { [client, server] } else { [server, client] };
    let receiving = drain(receiver);
    send(&sender, LENGTH / 4);
    running.wait_interval();

    running.freeze();
    // Their SYN is in the ring, their answer is not to be.
    let asked = Instant::now();
    let waiting = std::thread::scope(|scope| {
        let asking = (0..WAITING)
            .map(|_| scope.spawn(|| near.run(|| TcpStream::connect((SERVER_ASKED, 8082)))))
            .collect::<Vec<_>>();
        wait("half-open ones", || {
            let table = near.shell("cat /proc/net/tcp");
            table.lines().filter(|line| line.split_whitespace().nth(3) == Some("02")).count() == WAITING
        });
        send(&sender, LENGTH - LENGTH / 4 - REST);
        tell_the_way(&near, &far);
        asking.into_iter().map(|one| one.join().expect("run").expect("it listens")).collect::<Vec<_>>()
    });
    let never_seen: Vec<_> = (0..10).map(|_| connect(&near, &others)).collect();
    let unseen_beginning: Vec<_> = (0..10).map(|_| connect(&near, &others)).collect();
    for [client, server] in closed_meanwhile.into_iter().chain(never_seen) {
        send(&client, 100);
        let server = drain(server);
        finish(client);
        assert_eq!(server.join().expect("all came"), 100);
    }
    // Longer than a handshake may take.
    std::thread::sleep(Duration::from_millis(1200).saturating_sub(asked.elapsed()));
    running.signal(Signal::CONT);

    running.wait_interval();
    for [client, server] in unseen_beginning {
        send(&client, 100);
        let server = drain(server);
        finish(client);
        assert_eq!(server.join().expect("all came"), 100);
    }
    send(&sender, REST);
    running.wait_interval();
    finish(sender);
    assert_eq!(receiving.join().expect("all came"), LENGTH);
    assert_eq!(snmp(&near, "Tcp", "RetransSegs") + snmp(&far, "Tcp", "RetransSegs"), 0);
    // Time goes on for those that wait for their answer.
    running.wait_for("attempts decided", |lines| {
        let ended = lines.iter().filter(|line| line["type"] == "session");
        (ended.filter(|line| line["outcome"] != "success").count() >= WAITING).then_some(())
    });
    let lines = running.stop().lines();
    drop(waiting);

    let [dropped, missing] = drops(&lines, "a0");
    assert!(dropped > 0 && missing > 0, "{dropped} frames, {missing} bytes");
    let (line, data, _) = judged(by_port(&lines, 8080).next().expect("counted"), upload);
    assert_eq!(of(line, data, "payload_bytes"), payload(line, data), "{line}");
    assert_eq!(of(line, data, "missing_bytes"), LENGTH - payload(line, data), "{line}");
    assert_eq!(of(line, data, "missing_bytes"), missing, "nobody else misses anything");

    // No attempt failed, and nobody says that one did.
    assert_eq!(failures(&lines), 0);
    let sessions = lines.iter().filter(|line| line["type"] == "session");
    let (good, others): (Vec<&Value>, Vec<&Value>) = sessions.partition(|line| line["outcome"] == "success");
    assert_eq!((good.len(), others.len()), (1 + 10, WAITING));
    for line in others {
        assert_eq!(line["outcome"], "indeterminate", "{line}");
        assert_eq!(line["client"]["ip"], CLIENT_UNKNOWN.to_string(), "{line}");
    }
    let (late, early): (Vec<&Value>, Vec<&Value>) =
        by_port(&lines, 8081).partition(|line| line["midstream"] == true);
    assert_eq!((late.len(), early.len()), (10, 10));
    for line in late {
        balanced(line);
        assert_eq!(line.get("handshake"), None, "{line}");
        assert_eq!((of(line, "c2s", "stream_bytes"), of(line, "c2s", "missing_bytes")), (100, 0), "{line}");
        assert_eq!(line["c2s"]["stream_exact"], false, "it may have sent more before: {line}");
    }
    early.into_iter().for_each(balanced);
    assert_eq!(by_port(&lines, 8082).count(), WAITING);
}

#[test]
fn a_ring_that_ran_full_amid_an_upload_tells_what_was_passed() {
    stand_still_amid("a_ring_that_ran_full_amid_an_upload_tells_what_was_passed", true);
}

#[test]
fn a_ring_that_ran_full_amid_a_download_tells_what_was_passed() {
    stand_still_amid("a_ring_that_ran_full_amid_a_download_tells_what_was_passed", false);
}
