//! Sessions as workers report them, in snapshots: the same whatever the number
//! of workers, each in its interval, bounded live and whole in files.

#[allow(dead_code)]
#[path = "common/snapshots.rs"]
mod snapshots;

use fullcount::aggregate::snapshot::Snapshot;
use fullcount::aggregate::view::Views;
use fullcount::aggregate::watch::{Here, Network, Side, Term, Watch, Watches};
use fullcount::aggregate::{Aggregator, Config};
use fullcount::decode::protocol;
use fullcount::flow::record::{Outcome, Session, Sink};
use fullcount::worker::outbox::{Cut, Inbox, Outbox, outbox};
use snapshots::{NINE, S, key_v4, session};
use std::sync::Arc;
use std::time::Duration;

/// Most sessions of a live interval that have lines.
const LIVE_MAX: usize = 1 << 18;

fn watches() -> Watches {
    let term = |here, ports: &[u16]| Term { here, network: None, ports: ports.to_vec() };
    let watch = |name: &str, term| Watch { name: name.into(), terms: vec![term] };
    Watches {
        named: vec![
            watch("RX", term(Side::Server, &[])),
            watch("TX", term(Side::Client, &[])),
            watch("web", term(Side::Server, &[80, 443])),
        ],
        excluded: vec![term(Side::Server, &[22])],
        sessions: true,
    }
}

fn aggregator(inboxes: Vec<Inbox>, live: bool) -> Aggregator {
    let patience = live.then_some(Duration::from_secs(60));
    let views = Views::default();
    let config = Config { interval_ns: S, views, averages: false, patience, flows_max: 1 << 10 };
    let mut aggregator = Aggregator::new(config, inboxes);
    let here = Here::new(vec![Network::new([198, 51, 100, 0].into(), 24)]);
    aggregator.watch(watches(), Arc::new(here));
    aggregator
}

/// The session of number `number`: clients 192.0.2.x ask servers here, or those elsewhere.
fn numbered(number: u32) -> Session {
    const OUTCOMES: [Outcome; 5] =
        [Outcome::Success, Outcome::Reject, Outcome::Success, Outcome::TimeoutNoSynack, Outcome::Evicted];
    let server = if number.is_multiple_of(11) { [203, 0, 113, 9] } else { [198, 51, 100, 2] };
    let port = [443, 80, 22, 8080][number as usize % 4];
    let client = ([192, 0, 2, (number % 200) as u8], (number / 200) as u16);
    let (key, client_second) = key_v4(protocol::TCP, client, (server, port));
    let outcome = OUTCOMES[number as usize % 5];
    // Many end at one moment, so that the order has to come from elsewhere.
    let end_ns = NINE + u64::from(number % 13) * 1000;
    Session {
        key,
        client_second,
        end_ns,
        connect_us: (outcome == Outcome::Success).then_some(number * 7),
        syn_retransmitted: u8::from(number.is_multiple_of(3)),
        ..session(outcome)
    }
}

fn say(outbox: &mut Outbox, sessions: impl Iterator<Item = Session>) {
    for session in sessions {
        outbox.buffer().expect("room").sessions.push(session);
    }
}

fn cut(outbox: &mut Outbox, second: u64, last: bool) {
    let boundary_ns = NINE + second * S;
    assert!(outbox.cut(Box::new(Cut { boundary_ns, whole: true, last, ..Cut::default() })).is_none());
}

/// Three intervals of so many sessions each, dealt over workers.
fn run(workers: u32, each: u32) -> Vec<Arc<Snapshot>> {
    let (outs, inboxes): (Vec<_>, Vec<_>) = (0..workers).map(|_| outbox(4, false, true)).unzip();
    let mut aggregator = aggregator(inboxes, false);
    std::thread::scope(|scope| {
        for (worker, mut out) in outs.into_iter().enumerate() {
            scope.spawn(move || {
                for interval in 0..3 {
                    let numbers = interval * each..(interval + 1) * each;
                    let mine = numbers.filter(|number| number * 7919 % workers == worker as u32);
                    say(&mut out, mine.map(numbered));
                    cut(&mut out, u64::from(interval) + 1, interval == 2);
                }
            });
        }
        std::iter::from_fn(|| aggregator.next_snapshot()).collect()
    })
}

#[test]
fn the_number_of_workers_changes_nothing() {
    let one = run(1, 5000);
    assert_eq!(one.len(), 3);
    for (interval, snapshot) in one.iter().enumerate() {
        let all: Vec<Session> = (0..5000).map(|number| numbered(interval as u32 * 5000 + number)).collect();
        let port = |session: &Session| session.key.end(usize::from(!session.client_second)).port;
        let server = |session: &Session| session.key.ip(usize::from(!session.client_second));
        let here = |session: &Session| server(session).to_string() == "198.51.100.2";
        let counted = |fits: &dyn Fn(&Session) -> bool| all.iter().filter(|one| fits(one)).count() as u64;
        let watches = &snapshot.handshakes.watches;
        let names: Vec<&str> = watches.iter().map(|watch| &*watch.name).collect();
        assert_eq!(names, ["RX", "TX", "web"]);
        for outcome in [Outcome::Success, Outcome::Reject, Outcome::TimeoutNoSynack, Outcome::Evicted] {
            let of = |watch: usize| watches[watch].interval.of(&[outcome]);
            let rx = counted(&|one| one.outcome == outcome && here(one) && port(one) != 22);
            let web = counted(&|one| one.outcome == outcome && here(one) && [80, 443].contains(&port(one)));
            assert_eq!([of(0), of(1), of(2)], [rx, 0, web], "{outcome:?}");
        }
        let lines = &snapshot.handshakes.sessions;
        let told = counted(&|one| one.outcome != Outcome::Evicted && !(here(one) && port(one) == 22));
        assert_eq!(lines.len() as u64, told);
        assert!(lines.windows(2).all(|pair| pair[0].session.end_ns <= pair[1].session.end_ns));
        let bits = |one: &Session| match (here(one), port(one)) {
            (false, _) => 0,
            (true, 80 | 443) => 5,
            (true, _) => 1,
        };
        assert!(lines.iter().all(|line| line.watches == bits(&line.session)));
    }
    let elsewhere: u64 = (0..15_000).filter(|number| number % 11 == 0).count() as u64;
    assert_eq!(one[2].handshakes.elsewhere, elsewhere);
    for workers in [2, 3, 5] {
        let more = run(workers, 5000);
        for (one, other) in one.iter().zip(&more) {
            assert_eq!(one.handshakes.sessions, other.handshakes.sessions, "{workers} workers");
            let figures = |snapshot: &Snapshot| {
                let watches = snapshot.handshakes.watches.iter();
                watches.map(|watch| (watch.interval, watch.total)).collect::<Vec<_>>()
            };
            assert_eq!(figures(one), figures(other), "{workers} workers");
        }
        assert_eq!(more[2].handshakes.elsewhere, elsewhere);
    }
}

#[test]
fn totals_are_the_sum_of_the_intervals() {
    let all = run(2, 700);
    for watch in 0..3 {
        let sum =
            |figure: &dyn Fn(&Snapshot) -> u64| all.iter().map(|snapshot| figure(snapshot)).sum::<u64>();
        let last = all[2].handshakes.watches[watch].total;
        for outcome in [Outcome::Success, Outcome::Reject, Outcome::TimeoutNoSynack, Outcome::Evicted] {
            let of = |snapshot: &Snapshot| snapshot.handshakes.watches[watch].interval.of(&[outcome]);
            assert_eq!(sum(&of), last.of(&[outcome]));
        }
        let syns = |snapshot: &Snapshot| snapshot.handshakes.watches[watch].interval.syn_retransmitted;
        assert_eq!(sum(&syns), last.syn_retransmitted);
        let max = all.iter().filter_map(|snapshot| snapshot.handshakes.watches[watch].interval.connect);
        assert_eq!(max.map(|latency| latency.max_us).max(), last.connect.map(|latency| latency.max_us));
    }
}

#[test]
fn lines_of_a_live_interval_are_bounded_and_those_of_files_are_not() {
    for (live, lost) in [(true, 10), (false, 0)] {
        let (mut out, inbox) = outbox(8, false, true);
        let mut aggregator = aggregator(vec![inbox], live);
        let thread = std::thread::spawn(move || {
            let one = session(Outcome::Success);
            say(&mut out, std::iter::repeat_n(one, LIVE_MAX + 10));
            cut(&mut out, 1, false);
            say(&mut out, std::iter::once(one));
            cut(&mut out, 2, true);
        });
        let first = aggregator.next_snapshot().expect("a boundary");
        assert_eq!(first.handshakes.sessions_lost, lost);
        assert_eq!(first.handshakes.sessions.len() + lost as usize, LIVE_MAX + 10);
        assert_eq!(first.handshakes.watches[0].interval.of(&[Outcome::Success]), LIVE_MAX as u64 + 10);
        let second = aggregator.next_snapshot().expect("a boundary");
        assert_eq!((second.handshakes.sessions.len(), second.handshakes.sessions_lost), (1, 0));
        assert!(second.last && aggregator.next_snapshot().is_none());
        thread.join().expect("the worker");
    }
}
