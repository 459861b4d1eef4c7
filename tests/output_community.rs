//! Community IDs against tshark's, over the packets of fixtures.

use fullcount::flow::key::{End, FlowKey};
use fullcount::output::json::community::community_id;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::Command;

/// Each packet's source, destination, protocol, ports, and ID as tshark has them.
fn tshark(fixture: &str) -> Option<String> {
    let path = format!("{}/fixtures/{fixture}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("tshark");
    command.args([
        "-n",
        "-r",
        &path,
        "--enable-protocol",
        "communityid",
        "-T",
        "fields",
        "-E",
        "occurrence=f",
    ]);
    for field in ["ip.src", "ipv6.src", "ip.dst", "ipv6.dst", "ip.proto", "ipv6.nxt"] {
        command.args(["-e", field]);
    }
    for field in ["tcp.srcport", "udp.srcport", "tcp.dstport", "udp.dstport", "communityid"] {
        command.args(["-e", field]);
    }
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn end(ip: &str, port: &str) -> (End, bool) {
    let port = port.parse().unwrap();
    match ip.parse().unwrap() {
        IpAddr::V4(ip) => (End::v4(ip.into(), port), false),
        IpAddr::V6(ip) => {
            let bits = u128::from(ip);
            (End { address: [(bits >> 64) as u64, bits as u64], port }, true)
        }
    }
}

#[test]
fn agrees_with_tshark() {
    let mut seen = BTreeSet::new();
    for fixture in ["http_v4.pcap", "http_v6.pcap", "dns.pcap", "refused.pcap", "tso_sender.pcap"] {
        let Some(text) = tshark(fixture) else {
            eprintln!("SKIPPED: tshark with its Community ID plugin is not installed");
            return;
        };
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let first = |at: usize, width: usize| {
                *fields[at..at + width].iter().find(|one| !one.is_empty()).unwrap_or(&"")
            };
            let [source, destination, number] = [first(0, 2), first(2, 2), first(4, 2)];
            let [from, to, expected] = [first(6, 2), first(8, 2), fields[10]];
            if from.is_empty() || expected.is_empty() {
                continue;
            }
            let ((source, ipv6), (destination, _)) = (end(source, from), end(destination, to));
            let (key, _) = FlowKey::new(source, destination, number.parse().unwrap(), ipv6, 0, 0);
            assert_eq!(community_id(&key).as_deref(), Some(expected), "{key:?} in {fixture}");
            seen.insert(expected.to_owned());
        }
    }
    assert!(seen.len() >= 5, "too few flows were compared: {seen:?}");
}
