//! Network namespaces for tests: made, entered, removed.
//!
//! Everything happens in namespaces made here, joined by veth pairs, without
//! IPv6 (so that nothing but the test sends). Where they cannot be made (no
//! root, no `ip`), [`Netns::new`] says so on standard error and answers `None`.
//! A thread that has entered a namespace stays there; each test has its own.
#![allow(dead_code)]

use afpacket::sync::RawPacketStream;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A network namespace, removed with all its interfaces when dropped.
pub struct Netns {
    name: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Netns {
    /// A new namespace whose name begins with `prefix` (the room's name).
    pub fn new(prefix: &str) -> Option<Netns> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}-{}-{number}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).output();
        let reason = match &made {
            Ok(output) if output.status.success() => {
                let netns = Netns { name };
                netns.shell(
                    "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1",
                );
                netns.shell("ip link set lo up");
                return Some(netns);
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        eprintln!("SKIPPED: cannot make a network namespace ({}); run as root", reason.trim());
        None
    }

    /// Its name, for `ip netns exec`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A pair of interfaces: `near` here, `far` in `other`, both up.
    pub fn veth(&self, near: &str, other: &Netns, far: &str) {
        self.shell(&format!("ip link add {near} type veth peer name {far} netns {}", other.name));
        self.shell(&format!("ip link set {near} up"));
        other.shell(&format!("ip link set {far} up"));
        wait("carrier", || self.sysfs(near, "operstate") == "up" && other.sysfs(far, "operstate") == "up");
    }

    /// Its TCP sends nothing twice as long as nothing is lost: no probe, no taking of
    /// reordering for loss; and less is under way than the smallest queue holds.
    /// Routes need `rto_min 10s` besides, or a busy machine is taken for a loss.
    pub fn calm_tcp(&self) {
        self.shell(
            "sysctl -qw net.ipv4.tcp_early_retrans=0 net.ipv4.tcp_reordering=300 \
             net.ipv4.tcp_recovery=0 net.ipv4.tcp_rmem='4096 131072 131072'",
        );
    }

    /// Runs a command line in the namespace; panics unless it succeeds.
    pub fn shell(&self, line: &str) -> String {
        let output = self.command(line).output().expect("ip netns exec runs");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A command line to be run in the namespace.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "sh", "-c", line]);
        command
    }

    /// A file of /sys/class/net/`interface`, as the namespace sees it.
    pub fn sysfs(&self, interface: &str, file: &str) -> String {
        let line = format!("cat /sys/class/net/{interface}/{file}");
        let output: Output = self.command(&line).output().expect("ip netns exec runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A counter of an interface, such as `rx_packets`.
    pub fn counter(&self, interface: &str, name: &str) -> u64 {
        self.sysfs(interface, &format!("statistics/{name}")).parse().expect("a counter")
    }

    /// Moves the calling thread, and what it opens from now on, in here.
    pub fn enter(&self) {
        let file = std::fs::File::open(format!("/run/netns/{}", self.name)).expect("the namespace exists");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns");
    }

    /// Runs `work` in here, on a thread of its own.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                work()
            });
            thread.join().expect("the work in the namespace succeeds")
        })
    }

    /// A socket on one of its interfaces, to send frames from.
    pub fn injector(&self, interface: &str) -> Injector {
        self.run(|| {
            let mut stream = RawPacketStream::new().expect("a packet socket");
            stream.bind(interface).expect("the interface exists");
            Injector(stream)
        })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// Sends frames.
pub struct Injector(RawPacketStream);

impl Injector {
    /// Sends one frame, whole.
    pub fn send(&mut self, frame: &[u8]) {
        let sent = self.0.write(frame).expect("the frame is sent");
        assert_eq!(sent, frame.len());
    }
}

/// Waits, for half a minute at most, until `condition` holds.
pub fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within half a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
}
