//! Bursts on live interfaces: two pairs that stand for two slaves, a sender that
//! paces frame by frame, tcpdump beside the program on the same interfaces.
//!
//! Truth: the Python program of `burst_truth` on tcpdump's files. What the sender
//! meant is not: a busy machine bunches frames, and both see the same bunch. What
//! may differ are the stamps of two taps; so a burst is held against what the
//! files say for thresholds a twentieth higher and lower, and its bytes against
//! the very same milliseconds.
//!
//! `FULLCOUNT_BURST_SECONDS=60` sends for longer.

#[path = "burst_truth/mod.rs"]
mod burst_truth;
#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;
#[path = "common/tcp.rs"]
mod tcp;

use burst_truth::{Asked, Truth, bursts_of, compare_whole_intervals, lines_of, start_ms};
use frames::{Ends, UDP, ethernet, ip, udp};
use live::netns::{Injector, Netns, wait};
use live::schema;
use live::{Fullcount, number, skipped};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SPEED: &str = "200M";
const BITS: u64 = 200_000_000;
const SLAVES: [&str; 2] = ["a0", "a1"];
/// Source port of the last frame that a tap has to see.
const LAST: u16 = 9;

fn seconds() -> u64 {
    std::env::var("FULLCOUNT_BURST_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

fn has(test: &str, program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        skipped(test, &format!("no {program}"));
    }
    there
}

// --- tcpdump ------------------------------------------------------------------

/// tcpdump on one interface, writing into a file of the interface's name.
struct Tap {
    child: Child,
    errors: Option<JoinHandle<String>>,
    file: PathBuf,
}

impl Tap {
    fn start(netns: &Netns, interface: &str, folder: &std::path::Path) -> Tap {
        let file = folder.join(interface);
        let words = format!(
            "exec tcpdump -Z root -n -i {interface} -s 96 -B 65536 -U --time-stamp-precision=nano -w {}",
            file.display()
        );
        let mut command = netns.command(&words);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("tcpdump starts");
        let mut errors = BufReader::new(child.stderr.take().expect("piped"));
        let mut said = String::new();
        while !said.contains("listening on") {
            assert!(errors.read_line(&mut said).is_ok_and(|length| length > 0), "{said}");
        }
        let errors = std::thread::spawn(move || {
            let mut rest = String::new();
            let _ = errors.read_to_string(&mut rest);
            rest
        });
        Tap { child, errors: Some(errors), file }
    }

    /// Ends it, once the last frame of all is in its file.
    fn stop(mut self) -> PathBuf {
        let marker = last_frame();
        wait("the last frame in tcpdump's file", || {
            let Ok(mut file) = std::fs::File::open(&self.file) else { return false };
            let mut end = vec![0; marker.len()];
            let from = -(marker.len() as i64);
            file.seek(SeekFrom::End(from)).is_ok() && file.read_exact(&mut end).is_ok() && end == marker
        });
        kill_process(Pid::from_raw(self.child.id() as i32).expect("a pid"), Signal::INT).expect("it runs");
        self.child.wait().expect("a child");
        let said = self.errors.take().expect("once").join().expect("no panic");
        assert!(said.contains("\n0 packets dropped by kernel"), "tcpdump lost some: {said}");
        self.file.clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// --- The sender -----------------------------------------------------------------

/// Connection `number` from behind the far end.
fn ends(number: u16) -> Ends {
    Ends::v4(([198, 18, 9, number as u8], 40_000 + number), ([198, 18, 8, 1], 5_000 + number))
}

fn frame(number: u16, bytes: usize) -> Vec<u8> {
    ethernet(&[], 0x0800, &ip(ends(number), UDP, &udp(ends(number), bytes - 42)))
}

fn last_frame() -> Vec<u8> {
    let ends = Ends::v4(([198, 18, 9, 255], LAST), ([198, 18, 8, 1], LAST));
    ethernet(&[], 0x0800, &ip(ends, UDP, &udp(ends, 18)))
}

/// When each frame is sent, which way, of whom.
type Plan = Vec<(Duration, usize, u16)>;

/// Frames of a connection, evenly, at so many line bits a second.
fn paced(from_us: u64, length_us: u64, slave: usize, connection: u16, rate: u64) -> Plan {
    let each = 1538 * 8 * 1_000_000_000 / rate;
    let times = (0..length_us * 1000 / each).map(|number| from_us * 1000 + number * each);
    times.map(|at| (Duration::from_nanos(at), slave, connection)).collect()
}

fn plan(bursts: bool) -> Plan {
    let mut plan = Vec::new();
    let mut put = |from_us: u64, length_us: u64, slave: usize, connection: u16, rate: u64| {
        plan.extend(paced(from_us, length_us, slave, connection, rate));
    };
    for slave in 0..2u16 {
        put(u64::from(slave) * 37, seconds() * 1_000_000, slave.into(), 1 + slave, 50_000_000);
    }
    for second in (1..seconds()).filter(|_| bursts) {
        // A known connection, on one of them, in turns; now and then on both at once.
        let begin = second * 1_000_000 + 300_000;
        put(begin, 20_000, second as usize % 2, 10 + second as u16 % 2, 180_000_000);
        if second % 3 == 0 {
            (0..2).for_each(|slave| put(begin + 300_000, 15_000, slave, 20 + slave as u16, 180_000_000));
        }
        if second % 4 == 0 {
            (0..50).for_each(|sender| {
                put(begin + 500_000 + u64::from(sender) * 15, 90, 1, 100 + sender, 150_000_000)
            });
        }
    }
    plan.sort();
    plan
}

/// Sends by plan, frame by frame, busy between two; then the frame that is the last.
fn send(plan: &[(Duration, usize, u16)], ways: &mut [Injector; 2], mut meanwhile: impl FnMut(Duration)) {
    let mut frames: HashMap<u16, Vec<u8>> = HashMap::new();
    let begin = Instant::now();
    for &(at, slave, connection) in plan {
        while begin.elapsed() < at {
            meanwhile(begin.elapsed());
        }
        ways[slave].send(frames.entry(connection).or_insert_with(|| frame(connection, 1514)));
    }
    ways.iter_mut().for_each(|way| way.send(&last_frame()));
}

// --- The comparison ---------------------------------------------------------------

/// A burst: interface and direction, first millisecond, one behind the last.
type Extent = (String, String, u64, u64);

fn of_truth(burst: &Value) -> Extent {
    let [from, length] = ["start_ms", "length_ms"].map(|key| number(&burst[key]));
    let name = |key: &str| burst[key].as_str().expect("a name").to_owned();
    (name("interface"), name("direction"), from, from + length)
}

fn of_program(burst: &Value) -> Extent {
    let length = (burst["duration_seconds"].as_f64().expect("a length") * 1000.0).round() as u64;
    let name = |key: &str| burst[key].as_str().expect("a name").to_owned();
    (name("interface"), name("direction"), start_ms(burst), start_ms(burst) + length)
}

/// In the same place, with at most a millisecond between them.
fn touch(a: &Extent, b: &Extent) -> bool {
    (&a.0, &a.1) == (&b.0, &b.1) && a.2 <= b.3 && b.2 <= a.3
}

/// What the program said of a run, and what tcpdump's files say.
struct Seen {
    lines: Vec<Value>,
    files: Vec<PathBuf>,
    local: Vec<&'static str>,
    /// Seconds in which both interfaces had frames.
    seconds: u64,
    _folder: tempfile::TempDir,
}

impl Seen {
    fn asked<'a>(&'a self, threshold: &'a str) -> Asked<'a> {
        let speeds = &[("a0", SPEED), ("a1", SPEED)];
        Asked { speeds, threshold, local: &self.local, ..Asked::default() }
    }

    /// Every burst found, none invented, where and as long as the files say, with the
    /// bytes of those milliseconds, and the same connection in front.
    fn check(&self) -> usize {
        let told = bursts_of(&self.lines);
        let truth = Truth::with(&self.files, &self.asked("80%"), &["--bins"]);
        let [surely, maybe] =
            ["85%", "75%"].map(|threshold| Truth::with(&self.files, &self.asked(threshold), &["--brief"]));
        let extents: Vec<Extent> = told.iter().map(|burst| of_program(burst)).collect();
        let [surely, maybe, twins] = [&surely, &maybe, &truth]
            .map(|truth| truth.bursts().iter().map(of_truth).collect::<Vec<Extent>>());
        for burst in &surely {
            assert!(extents.iter().any(|told| touch(told, burst)), "not found: {burst:?} in {extents:?}");
        }
        let bins = bins_of(&truth);
        let mut same = 0;
        for (burst, extent) in told.iter().zip(&extents) {
            let widest = maybe.iter().find(|wide| touch(wide, extent));
            let widest = widest.unwrap_or_else(|| panic!("invented: {burst}"));
            assert!(extent.2 + 1 >= widest.2 && extent.3 <= widest.3 + 1, "{extent:?} not in {widest:?}");
            for sure in surely.iter().filter(|sure| touch(sure, extent)) {
                assert!(extent.2 <= sure.2 + 1 && extent.3 + 1 >= sure.3, "{extent:?} without {sure:?}");
            }
            let bytes =
                (extent.2..extent.3).filter_map(|ms| bins.get(&(extent.0.clone(), extent.1.clone(), ms)));
            let (bytes, given) = (bytes.sum::<u64>(), number(&burst["bytes"]));
            assert!(bytes.abs_diff(given) <= 2 * 1514 + bytes / 1000, "{bytes} bytes in the file: {burst}");
            let twin = twins.iter().position(|twin| twin == extent);
            if let Some(twin) = twin.map(|at| &truth.bursts()[at]) {
                let client = |one: &Value| one["client"]["port"].clone();
                assert_eq!(twin["culprits"][0]["who"][1][1], client(&burst["culprits"][0]), "{burst}");
                if twin["bytes"] == burst["bytes"] && twin["packets"] == burst["packets"] {
                    let counted = ["senders", "connections"];
                    assert_eq!(counted.map(|key| &twin[key]), counted.map(|key| &burst[key]), "{burst}");
                    same += 1;
                }
            }
        }
        println!("{} bursts, {same} of them to the byte and millisecond", told.len());
        // Where both taps have the same stamps, so have all milliseconds.
        if same == told.len() && same > 0 {
            let compared = compare_whole_intervals(&truth, &self.lines);
            assert!(compared as u64 >= 2 * self.seconds.saturating_sub(2), "{compared} intervals");
        }
        told.len()
    }

    /// The program over tcpdump's files says the same, as far as the stamps are the same.
    fn check_files(&self) {
        let mut again = lines_of(&self.files, &self.asked("80%"), "2");
        let mut told = self.lines.clone();
        for lines in [&mut again, &mut told] {
            lines.retain(|line| line["type"] == "burst");
            for line in lines.iter_mut().filter_map(Value::as_object_mut) {
                // When it was told, from where on there was anything to compare with, and what
                // no file knows.
                ["time", "seq", "compared_with_seconds", "lost_meanwhile"]
                    .iter()
                    .for_each(|key| drop(line.remove(*key)));
                // A file does not know of an interface that never had a packet that way.
                let others = line.get_mut("other_interfaces").and_then(Value::as_object_mut);
                others
                    .into_iter()
                    .for_each(|others| others.retain(|_, one| one["line_bits_per_second"] != 0));
            }
        }
        let (again, told) = (bursts_of(&again), bursts_of(&told));
        let extents: Vec<Extent> = again.iter().map(|burst| of_program(burst)).collect();
        for burst in &told {
            let extent = of_program(burst);
            let twin = extents.iter().position(|twin| *twin == extent).map(|at| again[at]);
            if let Some(twin) = twin.filter(|twin| twin["bytes"] == burst["bytes"]) {
                for (key, value) in burst.as_object().expect("an object") {
                    assert_eq!(twin[key], *value, "{key} of {}", burst["start"]);
                }
            }
        }
    }
}

fn bins_of(truth: &Truth) -> HashMap<(String, String, u64), u64> {
    let mut bins = HashMap::new();
    for lane in truth.0["bins"].as_array().expect("a list") {
        let name = |key: &str| lane[key].as_str().expect("a name").to_owned();
        for bin in lane["bins"].as_array().expect("a list") {
            bins.insert((name("interface"), name("direction"), number(&bin[0])), number(&bin[1]));
        }
    }
    bins
}

/// The program and tcpdump on both slaves while `work` sends.
fn observe(near: &Netns, far: &Netns, local: &[&'static str], work: impl FnOnce(&mut [Injector; 2])) -> Seen {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let taps = SLAVES.map(|slave| Tap::start(near, slave, folder.path()));
    let speeds = SLAVES.map(|slave| format!("--link-speed {slave}={SPEED}")).join(" ");
    let running = Fullcount::start(near, &format!("-i a0+a1 {speeds} --connections --top 10 --workers 2"));
    let mut ways = ["b0", "b1"].map(|name| far.injector(name));
    work(&mut ways);
    let files = taps.map(Tap::stop);
    running.wait_interval();
    let lines = running.stop().lines();
    Seen { lines, files: files.into(), local: local.to_vec(), seconds: seconds(), _folder: folder }
}

/// Two senders that keep two cores busy would see nothing but their own stalls.
static ALONE: Mutex<()> = Mutex::new(());

fn two_slaves(test: &str) -> Option<(Netns, Netns)> {
    if !["tcpdump", "python3", "ethtool"].iter().all(|program| has(test, program)) {
        return None;
    }
    let (near, far) = tcp::link(test)?;
    near.veth("a1", &far, "b1");
    Some((near, far))
}

fn offloads(near: &Netns, far: &Netns, state: &str) {
    for (netns, names) in [(near, ["a0", "a1"]), (far, ["b0", "b1"])] {
        for name in names {
            netns.shell(&format!("ethtool -K {name} tso {state} gso {state} gro {state}"));
        }
    }
}

/// The known bursts are there: the sender meant them, and nothing shortens one.
fn all_that_were_sent(seen: &Seen) {
    let mut of: HashMap<u64, usize> = HashMap::new();
    for burst in bursts_of(&seen.lines) {
        let culprits = burst["culprits"].as_array().expect("a list");
        culprits.iter().for_each(|one| *of.entry(number(&one["server"]["port"])).or_default() += 1);
    }
    for second in 1..seconds() {
        let port = 5010 + second % 2;
        assert!(of.contains_key(&port), "{port}: {of:?}");
    }
}

#[test]
fn bursts_of_single_frames() {
    let test = "bursts_of_single_frames";
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((near, far)) = two_slaves(test) else { return };
    offloads(&near, &far, "off");
    let seen = observe(&near, &far, &[], |ways| send(&plan(true), ways, |_| {}));
    all_that_were_sent(&seen);
    assert!(seen.check() as u64 >= (seconds() - 1) / 2);
    seen.check_files();
}

/// A frame on each interface with a whole second of the clock that stamps are of; a
/// plan from a second later on, so that bursts have a whole second before them in
/// the files too. Held against those, until what is `wanted` was among the bursts: a
/// machine that is busy with other things tears some apart, and the files say so too.
fn case(test: &str, plan: Plan, wanted: impl Fn(&[&Value]) -> bool) -> Option<Seen> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (near, far) = two_slaves(test)?;
    offloads(&near, &far, "off");
    let later = plan.into_iter().map(|(at, slave, number)| (at + Duration::from_secs(1), slave, number));
    let mut plan: Plan = later.chain((0..2).map(|slave| (Duration::ZERO, slave, 1 + slave as u16))).collect();
    plan.sort();
    for _ in 0..10 {
        let observed = observe(&near, &far, &[], |ways| {
            while SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").subsec_micros() > 500 {
                std::thread::yield_now();
            }
            send(&plan, ways, |_| {});
        });
        let seen = Seen { seconds: 0, ..observed };
        seen.check();
        seen.check_files();
        if wanted(&bursts_of(&seen.lines)) {
            return Some(seen);
        }
    }
    panic!("ten times not one burst came as it was sent");
}

fn length_ms(burst: &Value) -> u64 {
    let extent = of_program(burst);
    extent.3 - extent.2
}

/// Fifty senders have a frame each in the same millisecond, three times what the line takes.
#[test]
fn live_incast_of_fifty_senders_in_a_millisecond() {
    let incast = |number: u64| {
        let at = move |sender: u16| Duration::from_micros(number * 150_000 + 300 + u64::from(sender) * 5);
        (0..50u16).map(move |sender| (at(sender), (number % 2) as usize, 100 + sender))
    };
    let plan = (1..14).flat_map(incast).collect();
    let whole = |burst: &&&Value| length_ms(burst) == 1 && burst["senders"] == 50;
    let name = "live_incast_of_fifty_senders_in_a_millisecond";
    let Some(seen) = case(name, plan, |bursts| bursts.iter().any(|burst| whole(&burst))) else { return };
    let bursts = bursts_of(&seen.lines);
    let incast = bursts.iter().find(whole).expect("as it was wanted");
    assert_eq!((number(&incast["connections"]), number(&incast["packets"])), (50, 50), "{incast}");
    assert_eq!((&incast["known_ratio"], number(&incast["bytes"])), (&Value::from(1.0), 50 * 1514));
    // What the line does not take in this millisecond waits.
    assert!(number(&incast["queue_peak_bytes"]) >= 50 * 1538 - BITS / 8000, "{incast}");
}

#[test]
fn live_bursts_on_both_slaves_at_once() {
    let both = |round: u64| (0..2u16).map(move |slave| (round, slave));
    let burst =
        |(round, slave): (u64, u16)| paced(round * 400_000, 20_000, slave.into(), 20 + slave, 180_000_000);
    let plan = (1..6).flat_map(both).flat_map(burst).collect();
    // Each says how full the other one was meanwhile.
    let beside = |burst: &Value, other: &str| {
        burst["other_interfaces"][other]["line_utilisation_ratio"].as_f64().unwrap_or(0.0)
    };
    let at_once = |bursts: &[&Value]| {
        bursts.iter().filter(|burst| burst["interface"] == "a0").any(|one| {
            let extent = of_program(one);
            let overlaps = |other: &&&Value| {
                let its = of_program(other);
                other["interface"] == "a1" && its.2 < extent.3 && extent.2 < its.3
            };
            bursts.iter().filter(overlaps).any(|other| beside(one, "a1") > 0.5 && beside(other, "a0") > 0.5)
        })
    };
    let Some(seen) = case("live_bursts_on_both_slaves_at_once", plan, at_once) else { return };
    // What the other one had is what its file has of those milliseconds.
    let bins = bins_of(&Truth::with(&seen.files, &seen.asked("80%"), &["--bins"]));
    for burst in bursts_of(&seen.lines) {
        let (interface, direction, from, until) = of_program(burst);
        let other = if interface == "a0" { "a1" } else { "a0" };
        let bytes = (from..until).filter_map(|ms| bins.get(&(other.into(), direction.clone(), ms)));
        let line_bits = bytes.sum::<u64>() * 8 * 1538 / 1514 * 1000 / (until - from);
        let told = number(&burst["other_interfaces"][other]["line_bits_per_second"]);
        let frames = 3 * 1538 * 8 * 1000 / (until - from);
        assert!(told.abs_diff(line_bits) <= frames, "{line_bits} in the file: {burst}");
    }
}

/// What follows at less than `--burst-gap` is the same burst, what follows later is another.
#[test]
fn live_bursts_that_follow_at_less_than_the_gap() {
    let burst = |from_us: u64| paced(from_us, 8_000, 0, 10, 180_000_000);
    let pair = |round: u64, silence: u64| [round, round + 8_000 + silence];
    let rounds = (1..5).flat_map(|round| {
        let near = pair(round * 500_000, 2_000);
        near.into_iter().chain(pair(round * 500_000 + 200_000, 12_000))
    });
    let plan = rounds.flat_map(burst).collect();
    let name = "live_bursts_that_follow_at_less_than_the_gap";
    let Some(seen) = case(name, plan, |bursts| bursts.len() > 1) else { return };
    let bins = bins_of(&Truth::with(&seen.files, &seen.asked("80%"), &["--bins"]));
    // Below 7/8 of 80 %.
    let is_low = |lane: &Extent, ms: u64| {
        let bytes = bins.get(&(lane.0.clone(), lane.1.clone(), ms)).copied().unwrap_or(0);
        bytes * 8 * 1538 / 1514 * 10 < BITS / 1000 * 7
    };
    let extents: Vec<Extent> = bursts_of(&seen.lines).into_iter().map(of_program).collect();
    let mut joined = 0;
    for (number, burst) in extents.iter().enumerate() {
        let inside: Vec<bool> = (burst.2..burst.3).map(|ms| is_low(burst, ms)).collect();
        joined += usize::from(inside.contains(&true));
        // The two taps may put a frame into another millisecond, so one more may be low.
        assert!(!inside.windows(5).any(|five| five == [true; 5]), "{burst:?} should be two: {inside:?}");
        let after = (burst.3 + 1..burst.3 + 2).all(|ms| is_low(burst, ms));
        assert!(after || number + 1 == extents.len(), "{burst:?} goes on: {extents:?}");
    }
    assert!(joined > 0, "none goes on behind a gap of less than three: {extents:?}");
}

/// Half of it is in one interval, half in the next: it is one burst, told whole.
#[test]
fn live_burst_across_an_intervals_end() {
    let burst = |second: u64| paced(second * 1_000_000 - 15_000, 30_000, 1, 10, 180_000_000);
    let plan = (1..4).flat_map(burst).collect();
    let is_across = |burst: &&&Value| {
        let (_, _, from, until) = of_program(burst);
        from / 1000 < until / 1000 && (28..=32).contains(&(until - from))
    };
    let name = "live_burst_across_an_intervals_end";
    let Some(seen) = case(name, plan, |bursts| bursts.iter().any(|burst| is_across(&burst))) else { return };
    let bursts = bursts_of(&seen.lines);
    let across = bursts.iter().find(is_across).expect("as it was wanted");
    // The last one may have the frame that is the last of all in it, too.
    assert_eq!(
        (&across["culprits"][0]["server"]["port"], &across["known_ratio"]),
        (&5010.into(), &1.0.into())
    );
    // Both halves are in it.
    assert!(number(&across["bytes"]) * 100 >= 30 * 180_000 / 8 * 1514 / 1538 * 95, "{across}");
}

/// TCP of the kernel's own, in super-frames, out of one slave.
#[test]
fn bursts_of_super_frames() {
    let test = "bursts_of_super_frames";
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((near, far)) = two_slaves(test) else { return };
    offloads(&near, &far, "on");
    let listening = tcp::listen(&far, 8080);
    let [client, server] = tcp::connect(&near, &listening);
    client.set_nodelay(true).expect("a socket");
    let reading = tcp::drain(server);
    let seen = observe(&near, &far, &["198.18.1.1/32"], |ways| {
        let plan = plan(false);
        let mut next = Duration::from_millis(1500);
        send(&plan, ways, |now| {
            // 22 KB each millisecond for 20 ms: 180 Mbit/s and more.
            let within = now.as_millis() as u64 % 1000;
            if now >= next {
                write_all(&client, 22_000);
                next += if (519..1000).contains(&within) {
                    Duration::from_millis(1000 - (within - 500))
                } else {
                    Duration::from_millis(1)
                };
            }
        });
        ways[0].send(&last_frame());
    });
    tcp::finish(client);
    reading.join().expect("all came");
    let sent: Vec<&Value> =
        bursts_of(&seen.lines).into_iter().filter(|burst| burst["direction"] == "tx").collect();
    assert!(!sent.is_empty());
    for burst in sent {
        assert_eq!(burst["culprits"][0]["server"]["port"], 8080, "{burst}");
        assert!(burst["peak_1ms_bits_per_second"].as_u64() > Some(BITS * 8 / 10), "{burst}");
    }
    seen.check();
    seen.check_files();
}

fn write_all(mut stream: &TcpStream, length: usize) {
    stream.write_all(&vec![7; length]).expect("sent");
}
