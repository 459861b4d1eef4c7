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
use rustix::net::sockopt::set_socket_linger;
use rustix::process::Signal;
use serde_json::Value;
use std::io::{BufWriter, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};
use tcp::*;

const LENGTH: u64 = 20_000_000;

/// One transfer, up or down; the segments that its sender had to send again. Nothing
/// is lost on its way but by a machine that has no time at all.
fn transfer(near: &Netns, far: &Netns, upload: bool, length: u64) -> u64 {
    let port = 8080;
    let [client, server] = connect(near, &listen(far, port));
    let [sender, receiver] = if upload { [client, server] } else { [server, client] };
    let receiving = drain(receiver);
    send(&sender, length);
    finish(sender);
    assert_eq!(receiving.join().expect("all came"), length);
    let resent = snmp(if upload { near } else { far }, "Tcp", "RetransSegs");
    if resent > 0 {
        let text = [near, far].map(|netns| netns.shell("ip -s link; grep TcpExt /proc/net/netstat"));
        eprintln!("{resent} segments were lost on their way, which nobody wants here:\n{}", text.join("\n"));
    }
    resent
}

fn by_port(lines: &[Value], port: u16) -> impl Iterator<Item = &Value> {
    connections(lines).filter(move |line| line["server"]["port"] == port)
}

/// A transfer's line; the direction that had the data and the one that had none.
fn judged(line: &Value, upload: bool, sent: u64) -> (&Value, &str, &str) {
    balanced(line);
    let (data, acks) = if upload { ("c2s", "s2c") } else { ("s2c", "c2s") };
    for (way, length) in [(data, sent), (acks, 0)] {
        let figures = ["stream_bytes", "open_bytes", "unacked_bytes"];
        assert_eq!(figures.map(|key| of(line, way, key)), [length, 0, 0], "{way}: {line}");
        assert_eq!(line[way]["stream_exact"], true, "{way}: {line}");
    }
    assert_eq!(line["handshake"]["outcome"], "success", "{line}");
    (line, data, acks)
}

/// The same of a run that saw nothing else.
fn only(lines: &[Value], upload: bool, sent: u64) -> (&Value, &str, &str) {
    assert_eq!(connections(lines).count(), 1);
    judged(connections(lines).next().expect("counted"), upload, sent)
}

/// Payload of a direction by its bytes on the wire: Ethernet, IPv4 and TCP with
/// stamps are 66 bytes, a SYN has 8 more. It is what the line says.
fn payload(line: &Value, way: &str) -> u64 {
    let sum = count_of(&line[way]);
    let payload = sum.bytes - 66 * sum.packets - 8;
    assert_eq!(of(line, way, "payload_bytes"), payload, "{line}");
    payload
}

/// Of a direction that was captured whole, all that was sent came by, and nothing
/// twice unless that was so.
fn whole(line: &Value, way: &str, resent: u64) {
    let twice = of(line, way, "retransmitted_bytes");
    assert_eq!(payload(line, way), of(line, way, "stream_bytes") + twice, "{line}");
    assert_eq!(of(line, way, "missing_bytes"), 0, "{line}");
    assert!(twice == 0 || resent > 0, "nothing was sent twice: {line}");
}

fn drops(lines: &[Value], interface: &str) -> [u64; 2] {
    ["kernel_drops", "missing_bytes"].map(|key| number(&total(lines, interface)["capture"][key]))
}

#[test]
fn nothing_is_missing_of_gibibytes_that_were_captured_whole() {
    let test = "nothing_is_missing_of_gibibytes_that_were_captured_whole";
    // Five pass every sequence number there is, wherever they begin.
    for gibibytes in [2, 5] {
        let length = gibibytes << 30;
        let Some((near, far)) = link(test) else { return };
        with_gro(test, &near, &far);
        let running = Fullcount::start(&near, "-i a0 --connections");
        let resent = transfer(&near, &far, true, length);
        let lines = running.stop().lines();
        let (line, data, _) = only(&lines, true, length);
        whole(line, data, resent);
        assert_eq!(drops(&lines, "a0"), [0, 0], "nothing was lost");
    }
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
            let unthinned = Fullcount::start(netns, &format!("-i {name} --connections"));
            (name, Fullcount::start(netns, &format!("-i {name} --connections '{filter}'")), unthinned)
        });
        let resent = transfer(&near, &far, upload, LENGTH);
        for (name, thinned, unthinned) in running {
            let lines = thinned.stop().lines();
            let (line, data, acks) = only(&lines, upload, LENGTH);
            let missing = of(line, data, "missing_bytes");
            let twice = of(line, data, "retransmitted_bytes");
            assert_eq!(missing, LENGTH + twice - payload(line, data), "{line}");
            assert!(twice == 0 || resent > 0, "nothing was sent twice: {line}");
            assert!(missing > LENGTH / 2, "most of it was left out: {line}");
            assert!(payload(line, data) > 0, "some was not: {line}");
            assert_eq!(of(line, acks, "missing_bytes"), 0, "{line}");
            assert_eq!(drops(&lines, name), [0, missing], "a filter's loss is none of the ring's");

            let lines = unthinned.stop().lines();
            let (line, data, _) = only(&lines, upload, LENGTH);
            whole(line, data, resent);
            assert_eq!(drops(&lines, name), [0, 0], "nothing was lost");
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
/// Connections that say a little, of each kind.
const OTHERS: usize = 10;
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
    failed.map(number).sum()
}

/// Each sends a little to `far` and ends.
fn say_something(ends: Vec<[TcpStream; 2]>) {
    for [client, server] in ends {
        send(&client, 100);
        let server = drain(server);
        finish(client);
        assert_eq!(server.join().expect("all came"), 100);
    }
}

/// [`WAITING`] attempts, the first of which is answered after all of `meanwhile`.
fn answered_after(near: &Netns, far: &Netns, meanwhile: impl FnOnce()) -> Vec<TcpStream> {
    std::thread::scope(|scope| {
        let ask = || near.run(|| TcpStream::connect((SERVER_ASKED, 8082)).expect("it listens"));
        let asking: Vec<_> = (0..WAITING).map(|_| scope.spawn(ask)).collect();
        wait("their SYNs are sent", || {
            let table = near.shell("cat /proc/net/tcp");
            table.lines().filter(|line| line.split_whitespace().nth(3) == Some("02")).count() == WAITING
        });
        meanwhile();
        tell_the_way(near, far);
        asking.into_iter().map(|one| one.join().expect("connected")).collect()
    })
}

fn sessions(lines: &[Value]) -> impl Iterator<Item = &Value> {
    lines.iter().filter(|line| line["type"] == "session")
}

fn has_waited(line: &&Value) -> bool {
    line["client"]["ip"] == CLIENT_UNKNOWN.to_string()
}

/// A transfer in three parts, during the second of which the program stands
/// still and a ring runs full; with connections that began before, during and
/// after that moment; so many whose handshake was lost are reset by their clients.
/// What the program said of them.
fn stand_still_amid(test: &str, upload: bool, more: &str, resets: usize) -> Option<Vec<Value>> {
    let (near, far) = link(test)?;
    with_gro(test, &near, &far);
    hide_the_way(&near, &far);
    // Long frames are kept whole, so that super-frames fill the smallest ring.
    let arguments = format!("-i a0 --ring-mib 2 --snaplen 65536 {more}");
    let running = Fullcount::start(&near, &format!("{arguments} --connections --sessions"));
    let [client, server] = connect(&near, &listen(&far, 8080));
    let (others, _answers_by_itself) = (listen(&far, 8081), listen(&far, 8082));
    let some = || (0..OTHERS).map(|_| connect(&near, &others)).collect::<Vec<_>>();
    let before = some();
    let [sender, receiver] = if upload { [client, server] } else { [server, client] };
    let receiving = drain(receiver);
    send(&sender, LENGTH / 4);
    running.wait_interval();

    running.freeze();
    // Their SYN finds room in the ring, their answer does not.
    let asked = Instant::now();
    let mut waiting = answered_after(&near, &far, || send(&sender, LENGTH - LENGTH / 4 - REST));
    let (during, during_and_after) = (some(), some());
    say_something(before);
    say_something(during);
    // Longer than a handshake may take.
    std::thread::sleep(Duration::from_millis(1200).saturating_sub(asked.elapsed()));
    running.signal(Signal::CONT);

    running.wait_interval();
    for reset in waiting.drain(..resets) {
        set_socket_linger(&reset, Some(Duration::ZERO)).expect("TCP");
    }
    say_something(during_and_after);
    send(&sender, REST);
    running.wait_interval();
    finish(sender);
    assert_eq!(receiving.join().expect("all came"), LENGTH);
    running.wait_for("attempts decided", |lines| {
        (sessions(lines).filter(has_waited).count() == WAITING).then_some(())
    });
    let lines = running.stop().lines();
    drop(waiting);
    Some(lines)
}

/// The transfer's line, and that no attempt is said to have failed; none has.
fn judge(lines: &[Value], upload: bool) {
    let [dropped, missing] = drops(lines, "a0");
    assert!(dropped > 0 && missing > 0, "{dropped} frames, {missing} bytes");
    let (line, data, _) = judged(by_port(lines, 8080).next().expect("counted"), upload, LENGTH);
    let twice = of(line, data, "retransmitted_bytes");
    assert_eq!(missing, LENGTH + twice - payload(line, data), "{line}");
    assert_eq!(of(line, data, "missing_bytes"), missing, "nobody else misses anything");
    connections(lines).for_each(balanced);
    assert_eq!(failures(lines), 0);
    for line in sessions(lines).filter(|line| line["outcome"] != "success") {
        assert_eq!(line["outcome"], "indeterminate", "{line}");
        assert!(has_waited(&line), "the others were seen whole, or not at all: {line}");
    }
}

fn with_one_ring(test: &str, upload: bool, interval: &str) {
    let Some(lines) =
        stand_still_amid(test, upload, &format!("--workers 1 --timeout 1 --interval {interval}"), 0)
    else {
        return;
    };
    judge(&lines, upload);
    let of_outcome = |outcome| sessions(&lines).filter(|line| line["outcome"] == outcome).count();
    assert_eq!([of_outcome("success"), of_outcome("indeterminate")], [1 + OTHERS, WAITING]);
    assert_eq!(by_port(&lines, 8082).count(), WAITING);
    let (late, early): (Vec<&Value>, Vec<&Value>) =
        by_port(&lines, 8081).partition(|line| line["midstream"] == true);
    assert_eq!((late.len(), early.len()), (OTHERS, OTHERS), "some began unseen, some were never seen");
    for line in late {
        assert_eq!(line.get("handshake"), None, "{line}");
        assert_eq!((of(line, "c2s", "stream_bytes"), of(line, "c2s", "missing_bytes")), (100, 0), "{line}");
        assert_eq!(line["c2s"]["stream_exact"], false, "it may have sent more before: {line}");
    }
}

#[test]
fn a_ring_that_ran_full_amid_an_upload_tells_what_was_passed() {
    with_one_ring("a_ring_that_ran_full_amid_an_upload_tells_what_was_passed", true, "0.2");
}

#[test]
fn a_ring_that_ran_full_amid_a_download_tells_what_was_passed() {
    with_one_ring("a_ring_that_ran_full_amid_a_download_tells_what_was_passed", false, "0.2");
}

#[test]
fn a_loss_is_known_before_a_handshake_times_out_amid_an_interval() {
    with_one_ring("a_loss_is_known_before_a_handshake_times_out_amid_an_interval", true, "4");
}

#[test]
fn who_resets_a_connection_whose_handshake_was_lost_was_connected() {
    let test = "who_resets_a_connection_whose_handshake_was_lost_was_connected";
    let more = "--workers 1 --timeout 4 --interval 0.2";
    let Some(lines) = stand_still_amid(test, true, more, 2) else { return };
    judge(&lines, true);
    let reset = by_port(&lines, 8082).filter(|line| line["end_reason"] == "rst");
    assert_eq!(reset.map(|line| assert_eq!(line["handshake"]["outcome"], "indeterminate")).count(), 2);
}

#[test]
fn one_of_two_rings_that_ran_full_tells_what_was_passed() {
    let test = "one_of_two_rings_that_ran_full_tells_what_was_passed";
    let Some(lines) = stand_still_amid(test, true, "--workers 2 --timeout 1 --interval 0.2", 0) else {
        return;
    };
    judge(&lines, true);
}

/// A capture file of one connection, written as it is made up: headers only, the
/// lengths in them are those of super-frames.
struct Tape<W: Write> {
    file: W,
    now_us: u64,
    /// Numbers of the next byte: the client's, the server's.
    next: [u64; 2],
}

const SYN: u8 = 2;
const FIN: u8 = 1;
const PUSH: u8 = 8;
const SNAPLEN: u32 = 54;

impl<W: Write> Tape<W> {
    /// A classic pcap of Ethernet, µs.
    fn begin(mut file: W, first: [u32; 2]) -> Tape<W> {
        for word in [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, SNAPLEN, 1] {
            file.write_all(&u32::to_le_bytes(word)).expect("room");
        }
        Tape { file, now_us: 1_800_000_000_000_000, next: first.map(u64::from) }
    }

    /// `payload` bytes of a side from `number` on, acknowledging `acked` of the other's.
    fn segment(&mut self, side: usize, flags: u8, number: u64, acked: u64, payload: u64) {
        self.now_us += 50;
        let time = [self.now_us / 1_000_000, self.now_us % 1_000_000].map(|part| part as u32);
        let whole = SNAPLEN + payload as u32;
        let mut record = [time[0], time[1], SNAPLEN, whole].map(u32::to_le_bytes).concat();
        record.extend([2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 8, 0, 0x45, 0]);
        record.extend((40 + payload as u16).to_be_bytes());
        record.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        let (mut from, mut to) = ([198, 18, 1, 1, 0x9c, 0x40], [198, 18, 2, 1, 0, 80]);
        if side == 1 {
            (from, to) = (to, from);
        }
        for part in [&from[..4], &to[..4], &from[4..], &to[4..]] {
            record.extend(part);
        }
        // Numbers have 32 bits on the wire.
        record.extend((number as u32).to_be_bytes());
        record.extend((acked as u32).to_be_bytes());
        let ack = if flags == SYN { 0 } else { 0x10 };
        record.extend([0x50, flags | ack, 0xff, 0xff, 0, 0, 0, 0]);
        self.file.write_all(&record).expect("room");
    }
}

const RECORD: u64 = 60_000;
const RECORDS: u64 = 180_000;
const WRAP: u64 = 1 << 32;

/// What a file holds of the client's direction.
#[derive(Debug, Default)]
struct Told {
    sent: u64,
    missing: u64,
    retransmitted: u64,
    retransmitted_segments: u64,
    recovered_segments: u64,
    wraps: u64,
}

/// 10.8 GB from the client, whose numbers begin just below 2^32; after each wrap
/// some bytes come twice, some late, and some never.
fn write_long_stream(file: impl Write) -> Told {
    let mut tape = Tape::begin(file, [0xffff_f000, 0xffff_ffff]);
    let [client, server] = tape.next;
    tape.segment(0, SYN, client, 0, 0);
    tape.segment(1, SYN | 0x10, server, client + 1, 0);
    tape.segment(0, 0, client + 1, server + 1, 0);
    let mut next = client + 1;
    let mut told = Told::default();
    let (mut late, mut since_wrap) = (None, u64::MAX);
    for n in 0..RECORDS {
        let wrapped = (next + RECORD) / WRAP > next / WRAP;
        since_wrap = if wrapped { 0 } else { since_wrap.saturating_add(1) };
        match since_wrap {
            // Its last bytes come later.
            10 => {
                tape.segment(0, PUSH, next, server + 1, RECORD - 1000);
                late = Some(next + RECORD - 1000);
            }
            // Lost by whoever captured it; the server has it.
            40 => told.missing += RECORD,
            _ => tape.segment(0, PUSH, next, server + 1, RECORD),
        }
        next += RECORD;
        match since_wrap {
            // Across the wrap, once more.
            0 => {
                let wrap = next / WRAP * WRAP;
                let from = (wrap - 500).max(client + 1);
                tape.segment(0, 0, from, server + 1, wrap + 500 - from);
                told.retransmitted += wrap + 500 - from;
                told.retransmitted_segments += 1;
                told.wraps += 1;
            }
            30 => {
                tape.now_us += 10_000;
                tape.segment(0, PUSH, late.take().expect("held back"), server + 1, 1000);
                told.recovered_segments += 1;
            }
            // From long ago, before the wrap; all the same, it was seen.
            100 if next > 2 * WRAP => {
                tape.segment(0, 0, next - 700_000_000, server + 1, 1400);
                told.retransmitted += 1400;
                told.retransmitted_segments += 1;
            }
            _ => {}
        }
        if n % 16 == 15 {
            tape.segment(1, 0, server + 1, late.unwrap_or(next), 0);
        }
    }
    tape.segment(1, FIN | PUSH, server + 1, next, 1000);
    tape.segment(0, FIN, next, server + 1002, 0);
    tape.segment(1, 0, server + 1002, next + 1, 0);
    tape.file.flush().expect("room");
    told.sent = next - client - 1;
    told
}

#[test]
fn a_stream_of_more_than_32_bits_is_counted_to_the_byte() {
    let file = tempfile::NamedTempFile::new().expect("room");
    let told = write_long_stream(BufWriter::new(&file));
    assert_eq!((told.sent, told.wraps), (RECORD * RECORDS, 3), "{told:?}");
    let mut command = Command::new(live::PROGRAM);
    command.args(["-o", "json", "--connections", "-r"]).arg(file.path());
    let done = command.output().expect("it starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let lines = live::schema::validate_lines(&String::from_utf8(done.stdout).expect("UTF-8"));
    assert_eq!(connections(&lines).count(), 1);
    let line = connections(&lines).next().expect("counted");
    balanced(line);
    for (key, true_figure) in [
        ("stream_bytes", told.sent),
        ("payload_bytes", told.sent + told.retransmitted - told.missing),
        ("missing_bytes", told.missing),
        ("open_bytes", 0),
        ("unacked_bytes", 0),
        ("retransmitted_bytes", told.retransmitted),
        ("retransmitted_segments", told.retransmitted_segments),
        ("recovered_segments", told.recovered_segments),
        ("out_of_order_segments", 0),
    ] {
        assert_eq!(of(line, "c2s", key), true_figure, "{key}: {line}");
    }
    assert_eq!(of(line, "s2c", "stream_bytes"), 1000, "{line}");
    for way in ["c2s", "s2c"] {
        assert_eq!(line[way]["stream_exact"], true, "{way}: {line}");
    }
    assert_eq!((line.get("holes_merged"), line.get("discontinuous")), (None, None), "{line}");
    assert_eq!(line["state"], "time_wait", "{line}");
}
