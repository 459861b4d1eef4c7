//! Interfaces, counters and events against the kernel, in network namespaces
//! that each test makes for itself. A test's thread enters its namespace by
//! setns, so `/sys` goes on showing the host's: what is read must not come
//! from there. Needs root and `ip`; says so loudly where it has to skip.

#[path = "common/bonding.rs"]
mod bonding;

use fullcount::capture::link::{
    CounterReader, EventSource, Kind, Link, LinkEvent, Root, local_addresses, read, read_links, select,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process::Command;

/// Says so past the capturing of a test's output, which `eprintln!` does not.
fn skipped(test: &str, why: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {test}: {why}").expect("standard error");
}

/// A network namespace, removed at the end, that this thread is in.
struct Namespace {
    name: String,
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Whatever became of the test, nothing of it stays behind.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

impl Namespace {
    fn enter(test: &str) -> Option<Namespace> {
        let name = format!("link-{test}-{}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).output();
        if !made.as_ref().is_ok_and(|made| made.status.success()) {
            skipped(test, &format!("cannot make a network namespace (root and `ip` needed): {made:?}"));
            return None;
        }
        let namespace = Namespace { name };
        let file = File::open(format!("/run/netns/{}", namespace.name)).expect("its file");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("entered");
        // No router solicitations or neighbour discovery among counted frames.
        // (/proc/sys/net, unlike /sys, is the reading thread's namespace's.)
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").ok();
        Some(namespace)
    }

    /// Runs `ip` in the namespace.
    fn ip(&self, arguments: &str) {
        let output = Command::new("ip")
            .args(["-n", &self.name])
            .args(arguments.split_whitespace())
            .output()
            .expect("ip runs");
        assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn find<'a>(links: &'a [Link], name: &str) -> &'a Link {
    links.iter().find(|link| link.name == name).unwrap_or_else(|| panic!("{name} in {links:?}"))
}

#[test]
fn what_ip_made_is_what_is_read() {
    let Some(namespace) = Namespace::enter("read") else { return };
    namespace.ip("link add lk0 address 02:00:00:00:00:10 mtu 9000 type veth peer name lk1");
    namespace.ip("link property add dev lk0 altname link-uplink-with-long-name");
    namespace.ip("link add lkbr type bridge");
    namespace.ip("link set lk1 master lkbr");
    namespace.ip("addr add 198.18.7.1/24 dev lk0");
    namespace.ip("addr add 198.18.8.1 peer 198.18.8.2/32 dev lk0");
    namespace.ip("link set lk0 up");
    let links = read_links(&Root::system()).expect("netlink answers");
    let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
    // Not eth0, which /sys shows and this namespace has not.
    assert_eq!(
        names.iter().filter(|name| !["lo", "lk0", "lk1", "lkbr"].contains(name)).count(),
        0,
        "{names:?}"
    );
    let lk0 = find(&links, "lk0");
    assert_eq!((lk0.mac, lk0.mtu, lk0.kind), (Some([2, 0, 0, 0, 0, 16]), 9000, Kind::Ethernet));
    assert_eq!(lk0.device.as_deref(), Some("veth"));
    assert_eq!((lk0.up, lk0.carrier, lk0.physical), (true, Some(false), false));
    assert_eq!((lk0.speed_bits_per_second, lk0.line_speed()), (Some(10_000_000_000), None));
    assert_eq!(lk0.lower, Vec::<String>::new(), "a veth's peer is not below it");
    let addresses: [IpAddr; 2] = [[198, 18, 7, 1].into(), [198, 18, 8, 1].into()];
    assert_eq!(lk0.addresses, [(addresses[0], 24), (addresses[1], 32)]);
    let local = local_addresses(&links);
    assert!(addresses.iter().all(|address| local.contains(address)), "{local:?}");
    assert!(!local.contains(&IpAddr::from([198, 18, 8, 2])), "the peer's address is not ours");
    let lk1 = find(&links, "lk1");
    assert_eq!((lk1.master.as_deref(), &lk1.bond, lk1.up, lk1.carrier), (Some("lkbr"), &None, false, None));
    assert_eq!(find(&links, "lkbr").lower, ["lk1"]);
    assert_eq!(find(&links, "lo").kind, Kind::Loopback);
    let selection = select(&links, &[], &["lkbr,lk1,link-uplink-with-long-name".into()]).expect("they exist");
    let watched: Vec<(&str, bool)> =
        selection.watched.iter().map(|watch| (watch.link.name.as_str(), watch.second_copy)).collect();
    assert_eq!(watched, [("lkbr", true), ("lk1", false), ("lk0", false)]);
}

#[test]
fn a_device_on_another_is_stacked_and_a_tunnel_is_not() {
    let Some(namespace) = Namespace::enter("stack") else { return };
    namespace.ip("link add lk0 type veth peer name lk1");
    for (name, kind, lower) in [
        ("lkmac", "macvlan", &["lk0"][..]),
        ("lkvlan", "vlan id 5", &["lk0"]),
        ("lkvx", "vxlan id 5 dstport 4789 dev lk0", &[]),
    ] {
        let add = format!("-n {} link add link lk0 name {name} type {kind}", namespace.name);
        let made = Command::new("ip").args(add.split(' ')).output().expect("ip runs");
        if !made.status.success() {
            skipped("stack", &format!("no {kind} here: {}", String::from_utf8_lossy(&made.stderr).trim()));
            continue;
        }
        let links = read_links(&Root::system()).expect("netlink answers");
        assert_eq!(find(&links, name).lower, lower, "{name}");
        let selection = select(&links, &[], &[format!("{name},lk0")]).expect("they exist");
        assert_eq!(selection.stacked.len(), lower.len(), "{name}");
    }
}

#[test]
fn a_bond_is_read_with_its_slaves_where_the_kernel_has_bonding() {
    if !bonding::bonding("a_bond_is_read_with_its_slaves_where_the_kernel_has_bonding") {
        return;
    }
    let Some(namespace) = Namespace::enter("bond") else { return };
    let made = Command::new("ip")
        .args(["-n", &namespace.name, "link", "add", "lkbond", "type", "bond"])
        .args(["mode", "802.3ad", "xmit_hash_policy", "layer3+4", "lacp_rate", "fast"])
        .output()
        .expect("ip runs");
    if !made.status.success() {
        skipped("bond", &format!("no bonding here: {}", String::from_utf8_lossy(&made.stderr).trim()));
        return;
    }
    namespace.ip("link add lk0 type veth peer name lk1");
    namespace.ip("link add lk2 type veth peer name lk3");
    namespace.ip("link set lk2 master lkbond");
    namespace.ip("link set lk0 master lkbond");
    let interfaces = read(&Root::system()).expect("netlink answers");
    assert_eq!(interfaces.bonds.len(), 1);
    let bond = &interfaces.bonds[0];
    assert_eq!((bond.name.as_str(), bond.mode.as_str()), ("lkbond", "802.3ad"));
    assert_eq!(bond.xmit_hash_policy.as_deref(), Some("layer3+4"));
    assert_eq!(bond.lacp_rate.as_deref(), Some("fast"));
    let mut slaves: Vec<&str> = bond.slaves.iter().map(|slave| slave.name.as_str()).collect();
    slaves.sort_unstable();
    assert_eq!(slaves, ["lk0", "lk2"]);
    let lk0 = find(&interfaces.links, "lk0");
    assert_eq!((lk0.bond.as_deref(), lk0.full_duplex), (Some("lkbond"), Some(true)));
    // LACP takes a moment to begin; no switch answers, so it never comes to rest.
    namespace.ip("link set lkbond up");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let bonds = read(&Root::system()).expect("netlink answers").bonds;
        let churn = bonds[0].slaves.iter().find_map(|slave| slave.churn.clone());
        if let Some(churn) = churn {
            let known = ["none", "monitoring", "churned"];
            assert!(known.contains(&churn.actor.as_str()), "{churn:?}");
            assert!(["monitoring", "churned"].contains(&churn.partner.as_str()), "{churn:?}");
            assert!(churn.actor_count.is_some() && churn.partner_count.is_some(), "{churn:?}");
            return;
        }
        assert!(std::time::Instant::now() < until, "no churn state is told: {bonds:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn counters_count_each_frame_that_was_sent() {
    const FRAMES: u64 = 1000;
    const BYTES: u64 = 214;
    let Some(namespace) = Namespace::enter("count") else { return };
    namespace.ip("link add lk0 type veth peer name lk1");
    for end in ["lk0", "lk1"] {
        namespace.ip(&format!("link set {end} addrgenmode none"));
        namespace.ip(&format!("link set {end} arp off multicast off up"));
    }
    let root = Root::system();
    let links = read_links(&root).expect("netlink answers");
    let mut sender = CounterReader::open(&root, find(&links, "lk0")).expect("counters");
    let mut receiver = CounterReader::open(&root, find(&links, "lk1")).expect("counters");
    assert!(sender.is_snapshot());
    let before = (sender.read().expect("counters"), receiver.read().expect("counters"));
    let mut stream = afpacket::sync::RawPacketStream::new().expect("a packet socket");
    stream.bind("lk0").expect("bound");
    let mut frame = vec![0u8; BYTES as usize];
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
    for _ in 0..FRAMES {
        assert_eq!(stream.write(&frame).expect("sent"), frame.len());
    }
    let sent = sender.read().expect("counters").since(&before.0).expect("they grow");
    let received = receiver.read().expect("counters").since(&before.1).expect("they grow");
    assert_eq!((sent.tx_packets, sent.tx_bytes), (FRAMES, FRAMES * BYTES));
    assert_eq!((received.rx_packets, received.rx_bytes), (FRAMES, FRAMES * BYTES));
    assert_eq!((sent.rx_packets, received.tx_packets), (0, 0));
    // The same device under another name; then none.
    namespace.ip("link set lk1 down");
    namespace.ip("link set lk1 name lkother");
    let renamed = receiver.read().expect("counters").since(&before.1).expect("they grow");
    assert_eq!(renamed.rx_packets, FRAMES);
    namespace.ip("link del lkother");
    assert_eq!(receiver.read().map_err(|error| error.raw_os_error()), Err(Some(libc::ENODEV)));
}

/// Events until `last` comes, which a poll waits for.
fn events_until(source: &mut EventSource, last: impl Fn(&LinkEvent) -> bool) -> Vec<LinkEvent> {
    let mut events = Vec::new();
    loop {
        while let Some(event) = source.next_event().expect("events") {
            let done = last(&event);
            events.push(event);
            if done {
                return events;
            }
        }
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        let mut fds = [PollFd::new(source, PollFlags::IN)];
        let ready = poll(&mut fds, Some(&limit)).expect("poll");
        assert!(ready > 0, "no event for 10 s after {events:?}");
    }
}

/// `up lk0`: an event as a word and a name, without indices.
fn word(event: &LinkEvent) -> String {
    match event {
        LinkEvent::Appeared { name, .. } => format!("appeared {name}"),
        LinkEvent::Gone { name, .. } => format!("gone {name}"),
        LinkEvent::Up { name, .. } => format!("up {name}"),
        LinkEvent::Down { name, .. } => format!("down {name}"),
        LinkEvent::Carrier { name, carrier, .. } => format!("carrier {name} {carrier}"),
        LinkEvent::Renamed { from, to, .. } => format!("renamed {from} {to}"),
        LinkEvent::MasterChanged { name, from, to, .. } => {
            let [from, to] = [from, to].map(|master| master.as_deref().unwrap_or("-").to_string());
            format!("master {name} {from} {to}")
        }
        LinkEvent::AddressChanged { name, address, prefix, added, .. } => {
            format!("address {name} {}{address}/{prefix}", if *added { '+' } else { '-' })
        }
        LinkEvent::MacChanged { name, .. } => format!("mac {name}"),
        LinkEvent::BondChanged { name, .. } => format!("bond {name}"),
        LinkEvent::Resync => "resync".to_string(),
    }
}

#[test]
fn events_come_in_the_order_in_which_things_happened() {
    let Some(namespace) = Namespace::enter("events") else { return };
    namespace.ip("link add lkbr type bridge");
    let mut source = EventSource::open().expect("netlink");
    assert_eq!(source.next_event().expect("no error"), None, "what was before is no event");
    namespace.ip("link add lk0 type veth peer name lk1");
    namespace.ip("link set lk0 addrgenmode none");
    namespace.ip("addr add 198.18.7.1/24 dev lk0");
    namespace.ip("link set lk0 up");
    namespace.ip("link set lk1 addrgenmode none");
    namespace.ip("link set lk1 up");
    namespace.ip("link set lk0 address 02:00:00:00:00:99");
    namespace.ip("link set lk0 master lkbr");
    namespace.ip("link set lk0 nomaster");
    namespace.ip("addr del 198.18.7.1/24 dev lk0");
    namespace.ip("link set lk0 down");
    namespace.ip("link set lk0 name lkx");
    namespace.ip("link del lkx");
    let mut seen: Vec<String> = Vec::new();
    let mut gone = 0;
    while gone < 2 {
        let is_gone = |event: &LinkEvent| matches!(event, LinkEvent::Gone { .. });
        seen.extend(events_until(&mut source, is_gone).iter().map(word));
        gone += 1;
    }
    // The order among the two ends of a pair is the kernel's affair.
    let of = |name: &str| -> Vec<&str> {
        let mine = |event: &&String| event.split(' ').nth(1) == Some(name);
        seen.iter().filter(mine).map(String::as_str).collect()
    };
    assert_eq!(
        of("lk0"),
        [
            "appeared lk0",
            "address lk0 +198.18.7.1/24",
            "up lk0",
            "carrier lk0 false",
            "carrier lk0 true",
            "mac lk0",
            "master lk0 - lkbr",
            "master lk0 lkbr -",
            "address lk0 -198.18.7.1/24",
            "down lk0",
            "renamed lk0 lkx",
        ],
        "{seen:?}"
    );
    assert_eq!(of("lkx"), ["gone lkx"]);
    let end: Vec<&str> = of("lk1");
    assert_eq!((end.first(), end.last()), (Some(&"appeared lk1"), Some(&"gone lk1")), "{seen:?}");
    assert!(!seen.iter().any(|event| event == "gone lk0" || event == "resync"), "{seen:?}");
}

#[test]
fn after_an_overflow_the_end_state_is_right() {
    let Some(namespace) = Namespace::enter("overflow") else { return };
    namespace.ip("link add lk0 type veth peer name lk1");
    namespace.ip("link add lkq type veth peer name lkr");
    let mut source = EventSource::with_buffer(4096).expect("netlink");
    // The first message that still fits says "up", and the one that says "down"
    // is lost: what is queued must not be believed after reading anew.
    let mut batch = String::from("link set lkq up\nlink del lk0\n");
    for number in 0..40 {
        batch += &format!("link add lka{number} type veth peer name lkb{number}\n");
        if number < 39 {
            batch += &format!("link del lka{number}\n");
        }
    }
    batch += "link set lkq down\naddr add 198.18.7.9/24 dev lka39\nlink set lka39 up\n";
    let file = std::env::temp_dir().join(&namespace.name);
    std::fs::write(&file, batch).expect("a file");
    namespace.ip(&format!("-batch {}", file.display()));
    std::fs::remove_file(&file).expect("removed");
    let last = |event: &LinkEvent| word(event) == "address lka39 +198.18.7.9/24";
    let words: Vec<String> = events_until(&mut source, last).iter().map(word).collect();
    let after: Vec<&str> = words.iter().skip_while(|word| *word != "resync").map(String::as_str).collect();
    assert_eq!(after.first(), Some(&"resync"), "the socket should have overflowed: {words:?}");
    for wanted in ["gone lk0", "gone lk1", "appeared lka39", "appeared lkb39", "up lka39"] {
        assert_eq!(words.iter().filter(|word| *word == wanted).count(), 1, "{wanted} in {words:?}");
    }
    // And it goes on listening.
    namespace.ip("link del lka39");
    let later = events_until(&mut source, |event| word(event) == "gone lka39");
    let mut all = words.iter().cloned().chain(later.iter().map(word));
    assert!(!all.any(|word| word.contains("lkq")), "lkq is as it was: {words:?} {later:?}");
}
