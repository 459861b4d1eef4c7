//! What the program counts on live interfaces is what was sent, and what the
//! kernel counted: frames of every kind, one by one, with 1, 2 and 4 workers.

#[path = "common/frames.rs"]
mod frames;
#[path = "common/live.rs"]
mod live;

use frames::*;
use live::netns::Injector;
use live::{Count, Fullcount, connections, count_of, frames_of, number, pair, total};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A flow: protocol, VLANs, its two ends in their order.
type Flow = (String, Vec<u64>, [(IpAddr, Option<u16>); 2]);

/// What was sent, by what it has to show up as.
#[derive(Default)]
struct Sent {
    /// By interface and direction.
    lanes: BTreeMap<(&'static str, &'static str), Count>,
    /// Of that, in no flow.
    untracked: BTreeMap<&'static str, Count>,
    /// By flow: from its first end, from its second; payload of both.
    flows: BTreeMap<Flow, ([Count; 2], [u64; 2])>,
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const PSH: u8 = 8;
const ACK: u8 = 16;

const INTERFACES: [&str; 2] = ["v0", "v1"];

/// Sends frames on two interfaces, both ways, and keeps account.
struct Sender {
    /// By interface: towards it, and from it.
    injectors: [[Injector; 2]; 2],
    sent: Sent,
}

impl Sender {
    fn send(&mut self, interface: usize, outgoing: bool, frame: &[u8]) {
        self.injectors[interface][outgoing as usize].send(frame);
        let lane = (INTERFACES[interface], if outgoing { "tx" } else { "rx" });
        self.sent.lanes.entry(lane).or_default().add(frame.len());
    }

    fn packet(
        &mut self,
        at: (usize, bool),
        ends: Ends,
        protocol: u8,
        tags: &[(u16, u16)],
        packet: &[u8],
        payload: usize,
    ) {
        let frame = ethernet(tags, ethertype(packet), packet);
        self.send(at.0, at.1, &frame);
        let (name, ported) = match protocol {
            UDP => ("udp", true),
            TCP => ("tcp", true),
            ICMP => ("icmp", false),
            _ => ("icmp6", false),
        };
        let end = |(ip, port): (IpAddr, u16)| (ip, ported.then_some(port));
        let mut both = [end(ends.source), end(ends.destination)];
        let from_second = both[0] > both[1];
        both.sort();
        let vlans = tags.iter().map(|(_, id)| u64::from(*id)).collect();
        let flow = self.sent.flows.entry((name.into(), vlans, both)).or_default();
        flow.0[from_second as usize].add(frame.len());
        flow.1[from_second as usize] += if ported { payload as u64 } else { 0 };
    }

    fn arp(&mut self, interface: usize, outgoing: bool) {
        let frame = arp();
        self.send(interface, outgoing, &frame);
        self.sent.untracked.entry(INTERFACES[interface]).or_default().add(frame.len());
    }

    /// One of everything, both ways, on one interface; `n` chooses the flows.
    fn round(&mut self, interface: usize, n: u16) {
        let (host, port) = ((n % 7) as u8, 2000 + n % 13);
        let i = interface as u8;
        let ways = [(interface, false), (interface, true)];
        let there = Ends::v4(([198, 18, i, host], port), ([198, 19, i, 1], 53));
        let six = Ends::v6((0x100 + n % 5, port), (1 + interface as u16, 53));
        let size = usize::from(n % 40) * 30;
        for (way, v4, v6) in [(ways[0], there, six), (ways[1], there.back(), six.back())] {
            for (ends, udp_size) in [(v4, size), (v6, size / 2)] {
                let datagram = ip(ends, UDP, &udp(ends, udp_size));
                self.packet(way, ends, UDP, &[], &datagram, udp_size);
                self.packet(way, ends, UDP, &[(0x8100, 42)], &datagram, udp_size);
                self.packet(way, ends, UDP, &[(0x88a8, 7), (0x8100, 43)], &datagram, udp_size);
                // A datagram of 3,000 bytes takes three pieces.
                let whole = udp(ends, 3000);
                for piece in fragments(ends, UDP, n, &whole, 1400) {
                    let payload = piece.len() - if ethertype(&piece) == 0x0800 { 20 } else { 48 };
                    // The first has the UDP header.
                    let first = piece.ends_with(&whole[..1400]) && payload == 1400;
                    let first = first && piece[piece.len() - 1400..][..4] == whole[..4];
                    self.packet(way, ends, UDP, &[], &piece, payload - if first { 8 } else { 0 });
                }
            }
            let kind = if way.1 { [0, 129] } else { [8, 128] };
            self.packet(way, v4, ICMP, &[], &ip(v4, ICMP, &echo(kind[0], 56)), 0);
            self.packet(way, v6, ICMP6, &[], &ip(v6, ICMP6, &echo(kind[1], 56)), 0);
            self.arp(interface, way.1);
        }
        self.tcp(interface, n, Ends::v4(([198, 18, i, host], 10_000 + n), ([198, 19, i, 1], 80)));
        self.tcp(interface, n, Ends::v6((0x200 + n % 3, 10_000 + n), (1 + interface as u16, 80)));
    }

    /// A whole connection, data both ways.
    fn tcp(&mut self, interface: usize, n: u16, ends: Ends) {
        let (up, down) = (usize::from(n) % 900 + 1, usize::from(n) % 1400 + 1);
        let (a, b) = (1 + up as u32, 1 + down as u32);
        let segments = [
            (false, 0, 0, SYN, 0),
            (true, 0, 1, SYN | ACK, 0),
            (false, 1, 1, ACK, 0),
            (false, 1, 1, ACK | PSH, up),
            (true, 1, a, ACK | PSH, down),
            (false, a, b, ACK | FIN, 0),
            (true, b, a + 1, ACK | FIN, 0),
            (false, a + 1, b + 1, ACK, 0),
        ];
        for (outgoing, sequence, acknowledgement, flags, payload) in segments {
            let ends = if outgoing { ends.back() } else { ends };
            let segment = tcp(ends, sequence, acknowledgement, flags, payload);
            self.packet((interface, outgoing), ends, TCP, &[], &ip(ends, TCP, &segment), payload);
        }
    }
}

/// What `connection` lines say, in the same form.
fn told(lines: &[Value]) -> BTreeMap<Flow, ([Count; 2], [u64; 2])> {
    let mut flows = BTreeMap::new();
    for line in connections(lines) {
        let end = |value: &Value| {
            let ip: IpAddr = value["ip"].as_str().expect("an address").parse().expect("an address");
            (ip, value.get("port").map(|port| number(port) as u16))
        };
        let mut ends = [(end(&line["client"]), &line["c2s"]), (end(&line["server"]), &line["s2c"])];
        ends.sort_by_key(|(end, _)| *end);
        let vlans = line
            .get("vlan")
            .map_or(Vec::new(), |ids| ids.as_array().expect("a list").iter().map(number).collect());
        let flow = (line["protocol"].as_str().expect("a name").into(), vlans, ends.map(|(end, _)| end));
        let payload = ends.map(|(_, sent)| sent.get("payload_bytes").map_or(0, number));
        let before = flows.insert(flow, (ends.map(|(_, sent)| count_of(sent)), payload));
        assert_eq!(before, None, "two lines for one flow: {line}");
    }
    flows
}

fn every_kind_of_frame(test: &str, workers: usize) {
    let Some((near, far)) = pair(test) else { return };
    near.veth("v0", &far, "w0");
    near.veth("v1", &far, "w1");
    let counter = |name: &str, what: &str| near.counter(name, what);
    let own =
        |name: &str| ["rx_packets", "rx_bytes", "tx_packets", "tx_bytes"].map(|what| counter(name, what));
    let running =
        Fullcount::start(&near, &format!("-i v0,v1 --connections --interval 0.2 --workers {workers}"));
    let before = INTERFACES.map(own);
    let injectors = [[far.injector("w0"), near.injector("v0")], [far.injector("w1"), near.injector("v1")]];
    let mut sender = Sender { injectors, sent: Sent::default() };
    for n in 0..60 {
        sender.round(0, n);
        if n % 3 == 0 {
            sender.round(1, n);
        }
    }
    let sent = sender.sent;
    for name in INTERFACES {
        running.wait_frames(name, ["rx", "tx"].map(|way| sent.lanes[&(name, way)].packets).iter().sum());
    }
    let after = INTERFACES.map(own);
    let lines = running.stop().lines();

    assert_eq!(lines[0]["workers"].as_array().expect("a list").len(), workers);
    for (at, name) in INTERFACES.into_iter().enumerate() {
        let total = total(&lines, name);
        for (way, first) in [("rx", 0), ("tx", 2)] {
            let lane = sent.lanes[&(name, way)];
            assert_eq!(count_of(&total[way]), lane, "{name} {way}");
            let grown = [0, 1].map(|i| after[at][first + i] - before[at][first + i]);
            let kernel = Count { packets: grown[0], bytes: grown[1] };
            assert_eq!(frames_of(&total[way]), kernel, "{name} {way}: kernel's counters");
        }
        assert_eq!(count_of(&total["untracked"]), sent.untracked[name], "{name}");
        assert_eq!(count_of(&total["untracked"]["reasons"]["not_ip"]), sent.untracked[name], "{name}");
        assert_eq!(number(&total["capture"]["kernel_drops"]), 0);
    }
    let flows = told(&lines);
    for (flow, sums) in &sent.flows {
        assert_eq!(flows.get(flow), Some(sums), "{flow:?}");
    }
    assert_eq!(flows.len(), sent.flows.len());
    the_sums_agree(&lines);
}

/// Σ `connection` lines + untracked = totals; 198.18/16 and hosts above 0x100
/// are beyond the interface, so their packets are received.
fn the_sums_agree(lines: &[Value]) {
    let mut by_lane: BTreeMap<(String, &str), Count> = BTreeMap::new();
    for line in connections(lines) {
        for (sent, end) in [(&line["c2s"], &line["client"]), (&line["s2c"], &line["server"])] {
            let interfaces = sent["interfaces"].as_object().expect("an object");
            let Some((interface, bytes)) = interfaces.iter().next() else {
                assert_eq!(count_of(sent), Count::default());
                continue;
            };
            assert_eq!((interfaces.len(), number(bytes)), (1, number(&sent["bytes"])), "{line}");
            let beyond = match end["ip"].as_str().expect("an address").parse().expect("an address") {
                IpAddr::V4(ip) => ip.octets()[1] == 18,
                IpAddr::V6(ip) => ip.segments()[7] >= 0x100,
            };
            let lane = by_lane.entry((interface.clone(), if beyond { "rx" } else { "tx" })).or_default();
            *lane = lane.plus(count_of(sent));
        }
    }
    for name in INTERFACES {
        let total = total(lines, name);
        let mut untracked = Count::default();
        for way in ["rx", "tx"] {
            // ARP alone is in no flow.
            let arp = count_of(&total[way]["protocols"]["not_ip"]);
            untracked = untracked.plus(arp);
            let flows = by_lane[&(name.to_string(), way)];
            assert_eq!(flows.plus(arp), count_of(&total[way]), "{name} {way}");
        }
        assert_eq!(untracked, count_of(&total["untracked"]), "{name}");
    }
}

#[test]
fn every_kind_of_frame_is_counted_by_one_worker() {
    every_kind_of_frame("every_kind_of_frame_is_counted_by_one_worker", 1);
}

#[test]
fn every_kind_of_frame_is_counted_by_two_workers() {
    every_kind_of_frame("every_kind_of_frame_is_counted_by_two_workers", 2);
}

#[test]
fn every_kind_of_frame_is_counted_by_four_workers() {
    every_kind_of_frame("every_kind_of_frame_is_counted_by_four_workers", 4);
}
