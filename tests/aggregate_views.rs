//! Rows against sums that a slow twin makes packet by packet: every grouping,
//! over all interfaces and of each; views that change while the run goes on;
//! averages over the last seconds.

#[path = "common/cut.rs"]
mod cut;

use fullcount::aggregate::classes::NO_CLASS;
use fullcount::aggregate::snapshot::{Row, RowName, Snapshot};
use fullcount::aggregate::view::{Grouping, Only, Order, View, Views, Window};
use fullcount::aggregate::{Aggregator, Config};
use fullcount::capture::{Direction, Frame, LinkType};
use fullcount::decode::{Decoder, LinkContext, Packet, VlanStacks};
use fullcount::flow::table::TableConfig;
use fullcount::meter::totals::Count;
use fullcount::worker::Worker;
use fullcount::worker::outbox::{BUFFERS_LIVE, outbox};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const S: u64 = 1_000_000_000;
const T0: u64 = 1_795_251_600 * S;
const LINKS: u8 = 3;
const UDP: u8 = 17;

/// A UDP packet between a client and a server: few of each, so that they meet again.
#[derive(Clone, Copy, Debug)]
struct Sent {
    client: u8,
    server: u8,
    client_port: u8,
    server_port: u8,
    reply: bool,
    link: u8,
    payload: u16,
}

fn any_sent() -> impl Strategy<Value = Sent> {
    // A flow mostly keeps to one interface by direction, as hashing makes it.
    let link = (0u8..10, 0..LINKS);
    (0u8..4, 0u8..3, 0u8..3, 0u8..2, any::<bool>(), link, 0u16..1400).prop_map(
        |(client, server, client_port, server_port, reply, (stray, any), payload)| {
            let usual = (client + client_port + reply as u8) % LINKS;
            let link = if stray == 0 { any } else { usual };
            Sent { client, server, client_port, server_port, reply, link, payload }
        },
    )
}

impl Sent {
    fn addresses(&self) -> [IpAddr; 2] {
        // Some clients are below the servers, some above: keys begin with either.
        let client = [198, 18, self.client % 2 * 9, self.client];
        [client, [198, 18, 5, self.server]].map(|ip| IpAddr::V4(Ipv4Addr::from(ip)))
    }

    fn ports(&self) -> [u16; 2] {
        [40_000 + u16::from(self.client_port), 53 + u16::from(self.server_port)]
    }

    fn packet(&self, time_ns: u64, decoder: &mut Decoder) -> Packet {
        let mut data = [0u8; 42];
        data[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
        data[14] = 0x45;
        data[16..18].copy_from_slice(&(28 + self.payload).to_be_bytes());
        (data[22], data[23]) = (64, UDP);
        let (mut ends, mut ports) = (self.addresses(), self.ports());
        if self.reply {
            ends.reverse();
            ports.reverse();
        }
        for (at, end) in ends.iter().enumerate() {
            let IpAddr::V4(ip) = end else { unreachable!("made so") };
            data[26 + 4 * at..30 + 4 * at].copy_from_slice(&ip.octets());
            data[34 + 2 * at..36 + 2 * at].copy_from_slice(&ports[at].to_be_bytes());
        }
        data[38..40].copy_from_slice(&(8 + self.payload).to_be_bytes());
        decoder.decode(&Frame {
            data: &data,
            time_ns,
            len: 42 + u32::from(self.payload),
            link: self.link,
            link_type: LinkType::Ethernet,
            direction: Some(if self.reply { Direction::Tx } else { Direction::Rx }),
            stripped_tag: None,
            gso_size: 0,
        })
    }

    /// The rows that it belongs to, and whether it is in their direction 0 or 1.
    fn rows(&self, grouping: Grouping) -> Vec<(Name, usize)> {
        let [client, server] = self.addresses();
        let away = self.reply as usize;
        let name = match grouping {
            Grouping::Connection => Name::Flow(client, self.ports()[0], server, self.ports()[1]),
            Grouping::Pair => {
                let turned = server < client;
                let [a, b] = if turned { [server, client] } else { [client, server] };
                return vec![(Name::Row(RowName::Pair(a, b)), away ^ turned as usize)];
            }
            Grouping::Host => {
                let host = |ip| Name::Row(RowName::Host(ip));
                return vec![(host(client), 1 - away), (host(server), away)];
            }
            Grouping::Destination => Name::Row(RowName::Destination(server)),
            Grouping::Source => Name::Row(RowName::Source(client)),
            Grouping::Port => Name::Row(RowName::Port(UDP, self.ports()[1])),
            // No classes are named: all is in none.
            Grouping::Class => Name::Row(RowName::Class(NO_CLASS)),
            Grouping::Interface => {
                return vec![(Name::Row(RowName::Interface(self.link)), away)];
            }
        };
        vec![(name, away)]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Flow(IpAddr, u16, IpAddr, u16),
    Row(RowName),
}

fn name_of(row: &Row) -> Name {
    match row.name {
        RowName::Connection(key) => {
            let [client, server] = [row.client_second as usize, 1 - row.client_second as usize];
            Name::Flow(key.ip(client), key.end(client).port, key.ip(server), key.end(server).port)
        }
        other => Name::Row(other),
    }
}

const GROUPINGS: [Grouping; 8] = [
    Grouping::Connection,
    Grouping::Pair,
    Grouping::Host,
    Grouping::Destination,
    Grouping::Source,
    Grouping::Port,
    Grouping::Class,
    Grouping::Interface,
];

fn view(grouping: Grouping, order: Order) -> View {
    View { grouping, order, offset: 0, limit: 10_000, only: None }
}

/// By name: of the last interval, and since the start.
type Sums = BTreeMap<Name, ([Count; 2], [Count; 2])>;

/// The same rows, packet by packet.
fn slowly(intervals: &[Vec<Sent>], grouping: Grouping, link: Option<u8>) -> Sums {
    let mut sums = Sums::new();
    for (number, interval) in intervals.iter().enumerate() {
        let last = number + 1 == intervals.len();
        for sent in interval.iter().filter(|sent| link.is_none_or(|link| link == sent.link)) {
            for (name, direction) in sent.rows(grouping) {
                let one = Count { packets: 1, bytes: 42 + u64::from(sent.payload) };
                let (now, total) = sums.entry(name).or_default();
                total[direction].add(one);
                if last {
                    now[direction].add(one);
                }
            }
        }
    }
    sums
}

fn sums_of(rows: &[Row]) -> Sums {
    let sums: Sums = rows.iter().map(|row| (name_of(row), (row.interval, row.total))).collect();
    assert_eq!(sums.len(), rows.len(), "a name stands there once");
    sums
}

struct Run {
    worker: Worker,
    decoder: Decoder,
    aggregator: Aggregator,
    time_ns: u64,
}

impl Run {
    fn new(views: Views, averages: bool) -> Run {
        let (outbox, inbox) = outbox(BUFFERS_LIVE, false, false);
        let table = TableConfig {
            flows_max: 4096,
            handshake_timeout_ns: 60 * S,
            accounts: false,
            active_timeout_ns: 0,
            seed: [1, 2],
        };
        let patience = Some(Duration::from_secs(10));
        let config = Config { interval_ns: S, views, averages, flows_max: 4096, patience };
        let mut aggregator = Aggregator::new(config, vec![inbox]);
        aggregator.begin_at(T0);
        let mut decoder = Decoder::new(Vec::new(), VlanStacks::default());
        for link in 0..LINKS {
            decoder.set_link(link, LinkContext::default());
        }
        Run { worker: Worker::new(table, outbox), decoder, aggregator, time_ns: T0 }
    }

    /// An interval of a second with these packets, and what is told of it.
    fn interval(&mut self, packets: &[Sent]) -> std::sync::Arc<fullcount::aggregate::snapshot::Snapshot> {
        let made = packets.iter().enumerate();
        let mut made: Vec<Packet> =
            made.map(|(at, sent)| sent.packet(self.time_ns + at as u64, &mut self.decoder)).collect();
        self.time_ns += S;
        cut::interval(&mut self.worker, &mut self.aggregator, &mut made, self.time_ns)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Views are asked for at any moment; whatever was asked for before, the
    /// rows are the sums of all packets. (No flow is silent long enough to end.)
    #[test]
    fn rows_are_the_sums_of_their_packets(
        intervals in proptest::collection::vec(proptest::collection::vec(any_sent(), 0..80), 1..9),
        asked in proptest::collection::vec((0usize..7, 0usize..7, any::<bool>()), 9),
    ) {
        let views = |(all, each, sums): (usize, usize, bool)| {
            let order = if sums { Order::Bytes } else { Order::Rate };
            Views { rows: Some(view(GROUPINGS[all], order)), link_rows: Some(view(GROUPINGS[each], order)) }
        };
        let mut run = Run::new(views(asked[0]), false);
        // Whether rows stay for those who ask changes none of them.
        run.aggregator.answer_at_once(usize::from(asked[0].2));
        let handle = run.aggregator.handle();
        for number in 0..intervals.len() {
            let snapshot = run.interval(&intervals[number]);
            prop_assert!(handle.latest().is_some_and(|latest| std::sync::Arc::ptr_eq(&latest, &snapshot)));
            let so_far = &intervals[..=number];
            let (all, each, sums) = asked[number];
            let expected = |grouping, link| {
                let mut rows = slowly(so_far, grouping, link);
                // By rate, what was silent is not shown; interfaces always are.
                let shown = |now: &[Count; 2]| sums || now[0].packets + now[1].packets > 0;
                rows.retain(|name, (now, _)| shown(now) || matches!(name, Name::Row(RowName::Interface(_))));
                rows
            };
            let without_idle_links = |mut rows: Sums| {
                rows.retain(|_, (_, total)| total[0].packets + total[1].packets > 0);
                rows
            };
            let rows = without_idle_links(sums_of(&snapshot.rows));
            prop_assert_eq!(rows, expected(GROUPINGS[all], None), "{:?}", GROUPINGS[all]);
            for (link, rows) in snapshot.link_rows.iter().enumerate() {
                for row in rows.iter().filter(|row| matches!(row.name, RowName::Connection(_))) {
                    for (lane, now) in row.lanes.iter().zip(row.interval) {
                        let there = lane.map(|lane| usize::from(lane.link()));
                        prop_assert!(there == Some(link) || there.is_none() && now.packets == 0, "{row:?}");
                    }
                }
                let rows = without_idle_links(sums_of(rows));
                let expected = expected(GROUPINGS[each], Some(link as u8));
                prop_assert_eq!(rows, expected, "{:?} of {}", GROUPINGS[each], link);
            }
            prop_assert!(handle.ask(views(asked[number + 1 - (number + 1 == asked.len()) as usize])));
        }
    }

    /// Averages of every row are its bytes in the last 2, 10 and 40 seconds.
    #[test]
    fn averages_are_those_of_the_last_seconds(
        intervals in proptest::collection::vec(proptest::collection::vec(any_sent(), 0..12), 1..55),
        grouping in 0usize..5,
    ) {
        let grouping = GROUPINGS[grouping];
        let order = Order::Average(Window::Long);
        let views = Views { rows: Some(view(grouping, order)), link_rows: None };
        let mut run = Run::new(views, true);
        for number in 0..intervals.len() {
            let snapshot = run.interval(&intervals[number]);
            let mut averages = snapshot.rows.iter().map(|row| (name_of(row), row.averages));
            prop_assert!(averages.all(|(_, known)| known.is_some()));
            for (window, seconds) in [2, 10, 40].into_iter().enumerate() {
                let first = (number + 1).saturating_sub(seconds);
                let sums = slowly(&intervals[first..=number], grouping, None);
                let span = (number + 1 - first) as u64;
                for row in &snapshot.rows {
                    let bytes = sums.get(&name_of(row)).map_or([0; 2], |(_, total)| total.map(|t| t.bytes));
                    let rates = row.averages.and_then(|known| known.windows[window]);
                    prop_assert_eq!(rates, Some(bytes.map(|bytes| bytes * 8 / span)), "{} s", seconds);
                }
                // Nobody who had something in that time is missing.
                let shown: Vec<Name> = snapshot.rows.iter().map(name_of).collect();
                prop_assert!(sums.keys().all(|name| shown.contains(name)), "{} s", seconds);
            }
        }
    }
}

/// Pages of a list are the list, whatever its order; a filter hides rows and changes no sum.
#[test]
fn pages_and_filters() {
    let sent = |number: u16| Sent {
        client: (number % 4) as u8,
        server: (number / 4 % 3) as u8,
        client_port: (number / 12 % 3) as u8,
        server_port: 0,
        reply: false,
        link: 0,
        payload: number * 7 % 1000,
    };
    let packets: Vec<Sent> = (0..100).map(sent).collect();
    let whole = view(Grouping::Connection, Order::Bytes);
    let mut run = Run::new(Views { rows: Some(whole.clone()), link_rows: None }, false);
    let handle = run.aggregator.handle();
    let first = run.interval(&packets);
    assert_eq!((first.rows.len(), first.rows_found), (36, 36));
    let mut paged: Vec<Row> = Vec::new();
    for offset in (0..40).step_by(7) {
        assert!(
            handle.ask(Views { rows: Some(View { offset, limit: 7, ..whole.clone() }), link_rows: None })
        );
        let page = run.interval(&[]);
        assert_eq!(page.rows_found, 36);
        paged.extend(page.rows.iter().cloned());
    }
    let names = |rows: &[Row]| rows.iter().map(name_of).collect::<Vec<_>>();
    assert_eq!(names(&paged), names(&first.rows));

    let only =
        Only::new(|name| matches!(name, RowName::Connection(key) if key.ip(0).to_string() == "198.18.0.0"));
    assert!(handle.ask(Views { rows: Some(View { only: Some(only), ..whole }), link_rows: None }));
    let some = run.interval(&[]);
    assert_eq!((some.rows.len(), some.rows_found), (9, 9));
    assert_eq!(some.packets(), 100);
}

/// From a client to the only server.
fn sent(client: u8, payload: u16) -> Sent {
    Sent { client, server: 0, client_port: 0, server_port: 0, reply: false, link: 0, payload }
}

/// Who asks between two boundaries has the rows of the last one, though records of
/// the next interval wait already; and that has its own.
#[test]
fn rows_are_answered_at_once() {
    let views = |grouping, order| Views { rows: Some(view(grouping, order)), link_rows: None };
    let mut run = Run::new(views(Grouping::Connection, Order::Rate), false);
    run.aggregator.answer_at_once(2);
    let handle = run.aggregator.handle();
    let (wake, woken) = crossbeam_channel::bounded(1);
    let bytes = |rows: &[Row]| -> Vec<(u64, u64)> {
        let sum = |counts: [Count; 2]| counts[0].bytes + counts[1].bytes;
        rows.iter().map(|row| (sum(row.interval), sum(row.total))).collect()
    };
    run.interval(&[sent(0, 1000), sent(1, 500), sent(2, 700)]);
    let first = run.interval(&[sent(1, 10), sent(2, 20)]);
    assert_eq!((bytes(&first.rows), first.rows_number), (vec![(62, 804), (52, 594)], 0));
    let orders = [
        (Grouping::Connection, Order::Activity, vec![(62, 804), (52, 594), (0, 1042)]),
        (Grouping::Connection, Order::Bytes, vec![(0, 1042), (62, 804), (52, 594)]),
        (Grouping::Pair, Order::Activity, vec![(62, 804), (52, 594), (0, 1042)]),
        (Grouping::Host, Order::Rate, vec![(114, 2440), (62, 804), (52, 594)]),
    ];
    for (number, (grouping, order, expected)) in (1..).zip(orders) {
        assert!(handle.ask_now(views(grouping, order), number, &wake));
        run.aggregator.again(Duration::ZERO);
        assert!(woken.try_recv().is_ok(), "who asked is told");
        let answer = handle.answer().expect("an answer");
        assert_eq!((answer.number, bytes(&answer.rows)), (number, expected), "{grouping:?} {order:?}");
        assert_eq!(answer.found, answer.rows.len() as u64);
    }
    // A filter, in the answer and from then on, for flows that come later too.
    let only =
        Only::new(|name| matches!(name, RowName::Connection(key) if key.ip(0).to_string() != "198.18.0.2"));
    let view = View { only: Some(only), ..view(Grouping::Connection, Order::Bytes) };
    let filtered = Views { rows: Some(view), link_rows: None };
    assert!(handle.ask_now(filtered.clone(), 5, &wake));
    run.aggregator.again(Duration::ZERO);
    let answer = handle.answer().expect("an answer");
    assert_eq!((bytes(&answer.rows), answer.whole), (vec![(0, 1042), (52, 594)], true));
    let next = run.interval(&[sent(2, 1000), Sent { client_port: 1, ..sent(0, 3000) }]);
    assert_eq!((next.rows_number, bytes(&next.rows)), (5, vec![(3042, 3042), (0, 1042), (0, 594)]));
    assert!(handle.ask_now(filtered, 6, &wake));
    run.aggregator.again(Duration::ZERO);
    assert_eq!(bytes(&handle.answer().expect("an answer").rows), bytes(&next.rows));
    assert!(handle.ask_now(views(Grouping::Host, Order::Rate), 4, &wake));
    // What was asked for last is in the next snapshot too, with what came since.
    let next = run.interval(&[sent(0, 100)]);
    assert_eq!((next.rows_number, bytes(&next.rows)), (4, vec![(142, 4226), (142, 6666)]));
}

/// What is silent stands behind what is not, in every grouping, and with all it had.
#[test]
fn silent_rows_come_last() {
    for grouping in [Grouping::Connection, Grouping::Pair] {
        let views = |order| Views { rows: Some(view(grouping, order)), link_rows: None };
        let mut run = Run::new(views(Order::Activity), false);
        let handle = run.aggregator.handle();
        run.interval(&[sent(0, 1000), sent(1, 500), sent(2, 700)]);
        let later = run.interval(&[sent(1, 10), sent(2, 20)]);
        let bytes: Vec<(u64, u64)> = later
            .rows
            .iter()
            .map(|row| {
                (row.interval[0].bytes + row.interval[1].bytes, row.total[0].bytes + row.total[1].bytes)
            })
            .collect();
        assert_eq!(bytes, [(62, 742 + 62), (52, 542 + 52), (0, 1042)], "{grouping:?}");
        assert_eq!(later.rows_found, 3);
        assert!(handle.ask(views(Order::Rate)));
        let rates = run.interval(&[sent(1, 10)]);
        assert_eq!((rates.rows.len(), rates.rows_found), (1, 1), "by rate they are left out, as ever");
        // In the order of a name each stands at its place, silent or not; lines have no silent ones.
        for (order, all) in [(Order::Name, true), (Order::Destination, true), (Order::None, false)] {
            assert!(handle.ask(views(order)));
            let named = run.interval(&[sent(1, 10)]);
            let clients: Vec<Name> = named.rows.iter().map(name_of).collect();
            assert_eq!(named.rows.len(), if all { 3 } else { 1 }, "{grouping:?} {order:?}: {clients:?}");
            assert_eq!(named.rows_found, named.rows.len() as u64);
        }
    }
}

/// By the average that is shown first, which is no order of the last interval; by rate as
/// long as none is known.
#[test]
fn rows_come_by_the_average_that_is_shown_first() {
    for grouping in [Grouping::Connection, Grouping::Pair] {
        for averages in [true, false] {
            let views = Views { rows: Some(view(grouping, Order::Recent)), link_rows: None };
            let mut run = Run::new(views, averages);
            let order = |snapshot: &Snapshot| -> Vec<u64> {
                let sum = |row: &Row| row.total[0].bytes + row.total[1].bytes;
                assert_eq!(snapshot.rows_found, snapshot.rows.len() as u64);
                if averages {
                    let short = |row: &Row| -> u64 {
                        row.averages.map_or(0, |known| known.windows[0].expect("known").iter().sum())
                    };
                    assert!(snapshot.rows.iter().rev().is_sorted_by_key(short), "{grouping:?}");
                }
                snapshot.rows.iter().map(sum).collect()
            };
            assert_eq!(order(&run.interval(&[sent(0, 958), sent(1, 458), sent(2, 58)])), [1000, 500, 100]);
            let later = run.interval(&[sent(1, 58), sent(2, 158)]);
            let expected = if averages { [1000, 600, 300] } else { [300, 600, 1000] };
            assert_eq!(order(&later), expected, "{grouping:?}: the last interval alone says otherwise");
            // Silent for both seconds of it: behind all.
            run.interval(&[sent(1, 58)]);
            assert_eq!(order(&run.interval(&[sent(1, 58), sent(2, 8)])), [800, 350, 1000]);
        }
    }
}

/// Rows that somebody asks for while the run goes on have averages of what came
/// since, over no longer time than that.
#[test]
fn averages_of_rows_that_were_not_kept_before_are_not_too_low() {
    let sent =
        Sent { client: 1, server: 0, client_port: 0, server_port: 0, reply: false, link: 0, payload: 958 };
    let views = |grouping| Views { rows: Some(view(grouping, Order::Rate)), link_rows: None };
    let windows =
        |rows: &[Row]| rows.iter().map(|row| row.averages.map(|known| known.windows)).collect::<Vec<_>>();
    let steady = [Some([8000, 0]); 3];
    for at_once in [false, true] {
        let mut run = Run::new(views(Grouping::Connection), true);
        if at_once {
            run.aggregator.answer_at_once(2);
        }
        let handle = run.aggregator.handle();
        (0..20).for_each(|_| drop(run.interval(&[sent])));
        let (wake, _woken) = crossbeam_channel::bounded(1);
        assert!(handle.ask_now(views(Grouping::Destination), 1, &wake));
        if at_once {
            run.aggregator.again(Duration::ZERO);
            let answer = handle.answer().expect("an answer");
            let known = windows(&answer.rows);
            assert!(
                known.iter().all(|one| one.is_none_or(|one| one == [None; 3])),
                "not known yet: {known:?}"
            );
        }
        for second in 0..50u64 {
            let rows = run.interval(&[sent]).rows.clone();
            assert_eq!(windows(&rows), [Some(steady)], "after {second} s");
            let young_ns = rows[0].averages.and_then(|known| known.young_ns);
            let kept = second + 1;
            assert_eq!(young_ns, (kept < 40).then_some(kept * 1_000_000_000), "after {second} s");
        }
        // A silent second is one of them all the same.
        run.interval(&[]);
        assert_eq!(windows(&run.interval(&[sent]).rows)[0].expect("kept")[0], Some([4000, 0]));
    }
}
