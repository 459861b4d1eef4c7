//! The play: a server with storage, a database and visitors, a backup that fills a
//! link for a moment every few seconds, and attempts to connect that come to nothing.

use super::actor::{Actor, Ask, Attempt, Chance, Fate, Manner, Send, Talk};
use super::frame::{Far, Maker};
use super::{BURST_CLIENT, BURST_SERVER, CLOSED, HERE, HERE_V6, SILENT, UNREACHABLE};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Actors at once; who comes when there are so many stays away.
const ACTORS_MAX: usize = 1024;
/// Bytes of TCP in a packet of 1,500.
const SEGMENT: usize = 1448;
/// Bytes of TCP in a packet of the storage network.
const JUMBO: usize = 8900;
/// The router that the world is behind.
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Who comes again and again: every so many microseconds.
#[derive(Clone, Copy, Debug)]
enum Source {
    Visitor,
    VisitorV6,
    Name,
    Log,
    Ping,
    Attempt(SocketAddr, Fate),
    Scan,
}

const SOURCES: [(Source, u64); 9] = [
    (Source::Visitor, 30_000),
    (Source::VisitorV6, 210_000),
    (Source::Name, 90_000),
    (Source::Log, 50_000),
    (Source::Ping, 500_000),
    (Source::Attempt(CLOSED, Fate::Rejected), 900_000),
    (Source::Attempt(UNREACHABLE, Fate::Unreachable), 1_400_000),
    (Source::Attempt(SILENT, Fate::Silence(1)), 2_000_000),
    (Source::Scan, 1_100_000),
];

/// What is due: a source or an actor, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Source(usize),
    Actor(usize),
}

/// See the module's description.
pub struct Scene {
    due: BinaryHeap<Reverse<(u64, Due)>>,
    actors: Vec<Option<Actor>>,
    free: Vec<usize>,
    chance: Chance,
    maker: Maker,
    /// Of clients that come and go.
    port: u16,
}

impl Default for Scene {
    fn default() -> Scene {
        Scene::new()
    }
}

impl Scene {
    /// At its beginning; the same each time.
    pub fn new() -> Scene {
        let mut scene = Scene {
            due: BinaryHeap::new(),
            actors: Vec::new(),
            free: Vec::new(),
            chance: Chance(0x9e37_79b9_7f4a_7c15),
            maker: Maker::default(),
            port: 20_000,
        };
        for (number, (_, every_us)) in SOURCES.iter().enumerate() {
            // Not all at once.
            scene.due.push(Reverse((every_us / 10, Due::Source(number))));
        }
        scene.storage();
        scene
    }

    /// Plays on until this time, in microseconds since the beginning.
    pub fn play(&mut self, until_us: u64, send: &mut Send) {
        while let Some(&Reverse((at_us, due))) = self.due.peek()
            && at_us < until_us
        {
            self.due.pop();
            match due {
                Due::Source(number) => {
                    let Some((source, every_us)) = SOURCES.get(number) else { continue };
                    self.due.push(Reverse((at_us + every_us, due)));
                    self.come(*source, at_us);
                }
                Due::Actor(number) => {
                    let Some(place) = self.actors.get_mut(number) else { continue };
                    let Some(actor) = place else { continue };
                    match actor.act(&mut self.maker, &mut self.chance, send) {
                        Some(after_us) => self.due.push(Reverse((at_us + after_us.max(1), due))),
                        None => {
                            *place = None;
                            self.free.push(number);
                        }
                    }
                }
            }
        }
    }

    fn enter(&mut self, actor: Actor, at_us: u64) {
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.actors.len() < ACTORS_MAX => {
                self.actors.push(None);
                self.actors.len() - 1
            }
            None => return,
        };
        if let Some(place) = self.actors.get_mut(number) {
            *place = Some(actor);
            self.due.push(Reverse((at_us, Due::Actor(number))));
        }
    }

    fn talk(&mut self, client: SocketAddr, server: SocketAddr, far: Far, manner: Manner, at_us: u64) {
        let seed = self.chance.between(1, 1 << 31) << 20;
        self.enter(Actor::Talk(Talk::new(client, server, far, manner, seed)), at_us);
    }

    /// Connections that last: the storage network, the database, the backup.
    fn storage(&mut self) {
        let server = |last, port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 18, 4, last)), port);
        let far = |last, link| Far { mac: [2, 0, 0, 0, 4, last], link };
        let here = |port| SocketAddr::new(HERE, port);
        let storage = Manner {
            trip_us: 250,
            question: 180,
            answer: 2 << 20,
            segment: JUMBO,
            gap_us: 450,
            rest_us: 15_000,
            questions: 0,
        };
        self.talk(here(50_001), server(1, 6802), far(2, 1), storage, 2_000);
        // Four at once to one machine: layer2 has them all on one link, layer3+4 would not.
        let written = Manner { question: 1 << 20, answer: 150, gap_us: 1900, ..storage };
        for (number, port) in (50_004..50_008).enumerate() {
            self.talk(here(port), server(2, 6803), far(5, 1), written, 5_000 + 470 * number as u64);
        }
        let slower = Manner { answer: 1 << 20, segment: SEGMENT, gap_us: 200, ..storage };
        self.talk(here(50_003), server(3, 6802), far(8, 0), slower, 8_000);
        let asked = Manner {
            trip_us: 700,
            question: 310,
            answer: 4000,
            segment: SEGMENT,
            gap_us: 30,
            rest_us: 15_000,
            questions: 0,
        };
        let database = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 5)), 5432);
        for (number, port) in (50_010..50_013).enumerate() {
            self.talk(here(port), database, Far { mac: ROUTER, link: number % 2 }, asked, 3_000);
        }
        // Some 25 ms at 90 % of a gigabit, on the first link.
        let backup = Manner {
            trip_us: 400,
            question: 2_800_000,
            answer: 220,
            segment: JUMBO,
            gap_us: 84,
            rest_us: 2_200_000,
            questions: 0,
        };
        self.talk(BURST_CLIENT, BURST_SERVER, Far { mac: [2, 0, 0, 0, 7, 30], link: 0 }, backup, 250_000);
    }

    fn come(&mut self, source: Source, at_us: u64) {
        self.port = if self.port < 39_999 { self.port + 1 } else { 20_000 };
        let port = self.port;
        let far = Far { mac: ROUTER, link: usize::from(port % 2) };
        let here = SocketAddr::new(HERE, port);
        let ask = |to, lengths, trip_us, echo| {
            let to = SocketAddr::new(
                IpAddr::V4(Ipv4Addr::new(198, 18, 0, to)),
                if lengths == [45, 120] { 53 } else { 514 },
            );
            Actor::Ask(Ask { ends: [here, to], far, lengths, trip_us, echo, asked: false })
        };
        let attempt = |client, server, fate, seq| {
            Actor::Attempt(Attempt { client, server, far, fate, trip_us: 900, seq, done: 0 })
        };
        match source {
            Source::Visitor | Source::VisitorV6 => self.visit(source, far, at_us),
            Source::Name => self.enter(ask(53, [45, 120], 800, None), at_us),
            Source::Log => self.enter(ask(54, [220, 0], 0, None), at_us),
            Source::Ping => {
                let number = (at_us / 500_000) as u16;
                self.enter(ask(1, [56, 56], 350, Some(number)), at_us);
            }
            Source::Attempt(server, fate) => {
                let seq = self.chance.between(1, 1 << 31) as u32;
                self.enter(attempt(here, server, fate, seq), at_us);
            }
            Source::Scan => {
                let seq = self.chance.between(1, 1 << 31) as u32;
                let scanner = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 99)), port);
                self.enter(attempt(scanner, SocketAddr::new(HERE, 23), Fate::Rejected, seq), at_us);
            }
        }
    }

    /// One or some pages are fetched from here.
    fn visit(&mut self, source: Source, far: Far, at_us: u64) {
        let host = self.chance.between(1, 60);
        let (client, here): (IpAddr, IpAddr) = match source {
            Source::VisitorV6 => {
                (Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, host as u16).into(), HERE_V6)
            }
            _ => (Ipv4Addr::new(203, 0, 113, host as u8).into(), HERE),
        };
        let manner = Manner {
            trip_us: self.chance.between(4_000, 30_000),
            question: self.chance.between(300, 900) as usize,
            answer: self.chance.between(2_000, 70_000) as usize,
            segment: SEGMENT - 20,
            gap_us: 400,
            rest_us: 90_000,
            questions: self.chance.between(1, 5) as u32,
        };
        let client = SocketAddr::new(client, self.port);
        self.talk(client, SocketAddr::new(here, 443), far, manner, at_us);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LINKS, MTU, SPEED, Way};
    use super::*;
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};
    use std::collections::{HashMap, HashSet};

    const SECOND_US: u64 = 1_000_000;

    #[test]
    fn all_frames_are_whole_and_of_nobodys_addresses() {
        let mut scene = Scene::new();
        let (mut frames, mut tcp, mut quotes) = (0u32, HashSet::new(), 0);
        scene.play(5 * SECOND_US, &mut |_, frame| {
            assert!(frame.len() <= MTU as usize + 14);
            let packet = SlicedPacket::from_ethernet(frame).expect("a frame that can be parsed");
            let ends: [IpAddr; 2] = match packet.net.as_ref().expect("IP") {
                NetSlice::Ipv4(ip) => {
                    [ip.header().source_addr().into(), ip.header().destination_addr().into()]
                }
                NetSlice::Ipv6(ip) => {
                    [ip.header().source_addr().into(), ip.header().destination_addr().into()]
                }
                NetSlice::Arp(_) => panic!("ARP"),
            };
            for end in ends {
                let fine = match end {
                    IpAddr::V4(end) => matches!(
                        end.octets(),
                        [198, 18 | 19, ..] | [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _]
                    ),
                    IpAddr::V6(end) => end.segments()[..2] == [0x2001, 0xdb8],
                };
                assert!(fine, "{end} is somebody's");
            }
            match packet.transport.as_ref().expect("a transport") {
                TransportSlice::Tcp(slice) => {
                    tcp.insert([slice.source_port(), slice.destination_port()]);
                }
                TransportSlice::Icmpv4(slice) => quotes += u32::from(slice.type_u8() == 3),
                _ => {}
            }
            frames += 1;
        });
        assert!(frames > 10_000 && tcp.len() > 100 && quotes >= 3, "{frames} {} {quotes}", tcp.len());
    }

    #[test]
    fn it_is_the_same_whatever_the_pace() {
        let played = |steps: u64| {
            let mut scene = Scene::new();
            let mut hash = 0u64;
            for step in 1..=steps {
                scene.play(SECOND_US * step / steps, &mut |way, frame| {
                    let link = match way {
                        Way::Sent(link) => link,
                        Way::Received(link) => 2 + link,
                    };
                    for &byte in frame.iter().take(80).chain(&[link as u8]) {
                        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                    }
                });
            }
            hash
        };
        assert_eq!(played(1), played(1000));
    }

    /// No link is asked for more than it is said to carry, and one is full now and then.
    #[test]
    fn links_are_quiet_but_for_bursts() {
        let mut scene = Scene::new();
        let mut full: HashMap<u64, u64> = HashMap::new();
        let mut steady = [0u64; 4];
        for ms in 1..=20_000u64 {
            let mut bits = [0u64; 4];
            scene.play(ms * 1000, &mut |way, frame| {
                let lane = match way {
                    Way::Sent(link) => link,
                    Way::Received(link) => 2 + link,
                };
                // FCS, preamble and gap.
                bits[lane] += (frame.len() as u64 + 24) * 8;
            });
            for (lane, bits) in bits.iter().enumerate() {
                assert!(*bits < SPEED / 1000 * 108 / 100, "{bits} bits in ms {ms} of lane {lane}");
                steady[lane] += bits;
                if *bits > SPEED / 1000 * 8 / 10 {
                    assert_eq!(lane, 0, "only what {} sends is ever full", LINKS[0]);
                    *full.entry(ms / 100).or_default() += 1;
                }
            }
        }
        assert!((5..=16).contains(&full.len()), "{full:?}");
        assert!(steady.iter().all(|bits| *bits > 0 && *bits < SPEED * 20 * 4 / 10), "{steady:?}");
    }

    #[test]
    fn actors_are_bounded() {
        let mut scene = Scene::new();
        scene.play(30 * SECOND_US, &mut |_, _| {});
        assert!(scene.actors.len() < ACTORS_MAX / 2, "{}", scene.actors.len());
        let mut scene = Scene::new();
        for _ in 0..2 * ACTORS_MAX {
            scene.come(Source::Visitor, 0);
        }
        assert_eq!(scene.actors.len(), ACTORS_MAX);
    }
}
