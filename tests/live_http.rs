//! A real server under load: nginx asked by ab, over connections that are kept.
//!
//! Truth: nginx's log says which connection asked how often and how long each
//! request took there; ab says how long it waited. A request that passes between
//! the two takes no longer than ab waited, and no less than nginx, as far as its
//! clock tells: milliseconds, read once for all that it finds to do at a time.

#[path = "common/live.rs"]
mod live;
#[path = "common/tcp.rs"]
mod tcp;

use live::netns::{self, Netns};
use live::{Fullcount, connections, number, skipped, total};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command};
use tcp::{SERVER, balanced};

/// What answers at once; `tcp::SERVER` has it.
const REQUESTS: u64 = 100_000;
/// What is sent so slowly that a request takes longer than nginx's clock ticks.
const SLOW: &str = "198.18.2.2";
const SLOW_REQUESTS: u64 = 400;
const PORT: u16 = 80;
/// nginx sends a chunk, and the rest as the rate allows: 20 ms later.
const RATE: usize = 100_000;
const CHUNK: usize = RATE / 50;
const SLOW_BYTES: usize = CHUNK + CHUNK / 2;
/// Two ticks: one that a duration is rounded by, one that the clock is behind.
const TICKS: f64 = 0.002;

struct Nginx(Child);

impl Nginx {
    fn start(netns: &Netns, folder: &Path) -> Nginx {
        let at = folder.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {at}/{name};"))
            .concat();
        let configuration = format!(
            "user root; daemon off; master_process off; pid {at}/pid; error_log {at}/error.log warn; \
             events {{ worker_connections 512; }} \
             http {{ {temporary} log_format told '$server_addr $remote_port $request_time'; \
             access_log {at}/access.log told; keepalive_requests 1000000000; keepalive_timeout 600s; \
             server {{ listen {SERVER}:{PORT}; location / {{ return 200 'here it is'; }} }} \
             server {{ listen {SLOW}:{PORT}; root {at}; limit_rate {RATE}; sendfile on; sendfile_max_chunk {CHUNK}; }} }}"
        );
        std::fs::write(folder.join("nginx.conf"), configuration).expect("written");
        std::fs::write(folder.join("slow"), vec![b'x'; SLOW_BYTES]).expect("written");
        let line = format!("exec nginx -p {at} -c {at}/nginx.conf");
        let server = Nginx(netns.command(&line).spawn().expect("it is there"));
        netns::wait("nginx listens", || {
            netns.run(|| {
                [SERVER, SLOW.parse().expect("one")].iter().all(|ip| TcpStream::connect((*ip, PORT)).is_ok())
            })
        });
        server
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

/// Asks over connections that are kept; seconds that so many percent waited at most.
fn ask(near: &Netns, folder: &Path, url: &str, (requests, connections): (u64, u64)) -> Vec<f64> {
    let table = folder.join("ab.csv");
    let line = format!("exec ab -q -k -n {requests} -c {connections} -e {} {url}", table.display());
    let said = near.shell(&line);
    let figure = |name: &str| {
        let line =
            said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {said}"));
        line.trim().parse::<u64>().expect("a number")
    };
    assert_eq!(figure("Complete requests:"), requests);
    assert_eq!(figure("Keep-Alive requests:"), requests);
    assert_eq!(figure("Failed requests:"), 0);
    let rows = std::fs::read_to_string(&table).expect("written");
    let times = rows.lines().skip(1).map(|row| {
        let ms: f64 = row.split(',').nth(1).and_then(|ms| ms.parse().ok()).expect("milliseconds");
        ms / 1000.0
    });
    times.collect()
}

/// Seconds of nginx's requests, ascending, by server, and how many by client port.
struct Log {
    times: Vec<f64>,
    by_port: BTreeMap<u64, u64>,
}

fn log_of(folder: &Path, server: &str) -> Log {
    let text = std::fs::read_to_string(folder.join("access.log")).expect("written");
    let mut log = Log { times: Vec::new(), by_port: BTreeMap::new() };
    for line in text.lines().filter(|line| line.starts_with(&format!("{server} "))) {
        let [_, port, seconds] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        *log.by_port.entry(port.parse().expect("a port")).or_default() += 1;
        log.times.push(seconds.parse().expect("seconds"));
    }
    log.times.sort_by(f64::total_cmp);
    log
}

/// Exchanges by client port, as `connection` lines have them.
fn exchanges(lines: &[Value], server: &str) -> BTreeMap<u64, u64> {
    let of_server = connections(lines).filter(|line| line["server"]["ip"] == server);
    let counts = of_server.map(|line| {
        balanced(line);
        assert_eq!(line.get("exchanges_lossy"), None, "{line}");
        assert_eq!(line["exchanges"]["unanswered"], 0, "{line}");
        (number(&line["client"]["port"]), number(&line["exchanges"]["count"]))
    });
    counts.collect()
}

#[test]
fn requests_of_a_real_server_are_as_many_and_took_as_long_as_both_ends_say() {
    let test = "requests_of_a_real_server_are_as_many_and_took_as_long_as_both_ends_say";
    for (program, version) in [("nginx", "-v"), ("ab", "-V")] {
        if Command::new(program).arg(version).output().is_err() {
            return skipped(test, &format!("no {program} (Debian: nginx-light, apache2-utils)"));
        }
    }
    let Some((near, far)) = tcp::link(test) else { return };
    let mac = far.sysfs("b0", "address");
    far.shell(&format!("ip addr add {SLOW}/32 dev b0"));
    near.shell(&format!(
        "ip route add {SLOW}/32 dev a0 rto_min 10s && ip neigh add {SLOW} dev a0 lladdr {mac} nud permanent"
    ));
    let folder = tempfile::tempdir().expect("a directory");
    let folder = folder.path();
    let nginx = Nginx::start(&far, folder);
    // One interval over all of it.
    let running = Fullcount::start(&far, "-i b0 --connections --by destination --interval 31622400");
    let server = SERVER.to_string();
    let waited = [
        (server.as_str(), ask(&near, folder, &format!("http://{SERVER}/"), (REQUESTS, 8)), REQUESTS),
        (SLOW, ask(&near, folder, &format!("http://{SLOW}/slow"), (SLOW_REQUESTS, 4)), SLOW_REQUESTS),
    ];
    let lines = running.stop().lines();
    drop(nginx);
    assert_eq!(total(&lines, "b0")["capture"]["kernel_drops"], 0);
    assert_eq!(total(&lines, "b0")["capture"]["missing_bytes"], 0);
    for (server, waited, requests) in waited {
        let log = log_of(folder, server);
        let counted = exchanges(&lines, server);
        assert_eq!(counted.values().sum::<u64>(), requests, "{counted:?}");
        assert_eq!(counted, log.by_port, "{server}");
        let told: Vec<&Value> = lines
            .iter()
            .filter(|line| line["type"] == "destination" && line["destination"] == server)
            .collect();
        let [told] = told[..] else { panic!("one line: {told:?}") };
        assert_eq!([&told["requests"], &told["exchanges"]].map(number), [requests; 2]);
        for (key, percent) in [("p50", 50), ("p95", 95), ("p99", 99), ("max", 100)] {
            let took = told["last_byte_seconds"][key].as_f64().expect("known");
            // Percentiles are less than 1 % too high.
            let most = waited[percent] * 1.01;
            assert!(took <= most, "{server}, {key}: {took} s, and ab waited {most} s");
            // A request that is there before nginx has looked at the clock again is said to be older
            // than it is: not one in ten.
            let rank = (percent.saturating_sub(10) * log.times.len()).div_ceil(100).max(1);
            let least = log.times[rank - 1] - TICKS;
            assert!(least <= took, "{server}, {key}: {took} s, and nginx took {least} s");
            println!("{server}, {key}: {least:.4} s <= {took:.6} s <= {most:.6} s");
        }
    }
    let slow = log_of(folder, SLOW).times[0];
    assert!(slow > 2.0 * TICKS, "{slow} s is nothing that its clock could tell");
}
