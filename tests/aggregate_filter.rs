//! A filter of rows over very many flows: answered by parts, left for another
//! one, looked at again where it narrows, and never in the way of what counts.

#[path = "common/cut.rs"]
mod cut;

use fullcount::aggregate::ask::Answer;
use fullcount::aggregate::snapshot::{RowName, Snapshot};
use fullcount::aggregate::view::{Grouping, Only, Order, View, Views};
use fullcount::aggregate::{Aggregator, Config, Handle};
use fullcount::capture::{Direction, Lane};
use fullcount::decode::{Kind, Packet};
use fullcount::flow::key::{End, FlowKey};
use fullcount::flow::table::TableConfig;
use fullcount::worker::Worker;
use fullcount::worker::outbox::{BUFFERS_LIVE, outbox};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const S: u64 = 1_000_000_000;
const T0: u64 = 1_795_251_600 * S;
/// More than are looked at before the second answer, fewer than there is room for on the way.
const FLOWS: u32 = 250_000;
/// Flows that are looked at before the first answer.
const LOOKS: u64 = 1 << 16;
const BYTES: u32 = 100;

/// The number of a flow stands in its client's address.
fn packet(number: u32, time_ns: u64) -> Packet {
    let client = End::v4(0xc612_0000 + number, 1000);
    let (key, reversed) = FlowKey::new(client, End::v4(0xc61f_0001, 53), 17, false, 0, 0);
    let (bytes, frame_bytes) = (BYTES, BYTES);
    let lane = Lane::new(0, Direction::Rx);
    Packet { key, reversed, time_ns, bytes, frame_bytes, kind: Kind::Udp, lane, ..Packet::default() }
}

fn number(name: &RowName) -> u32 {
    let RowName::Connection(key) = name else { panic!("{name:?}") };
    let std::net::IpAddr::V4(ip) = key.ip(0).min(key.ip(1)) else { panic!("{key:?}") };
    u32::from(ip) - 0xc612_0000
}

/// Shows flows of which every so many-th; counts those that it was asked for.
fn every(nth: u32) -> (Only, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let only = Only::new(move |name| {
        count.fetch_add(1, Ordering::Relaxed);
        number(name).is_multiple_of(nth)
    });
    (only, asked)
}

fn asked(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

fn views(only: &Only) -> Views {
    let only = Some(only.clone());
    let rows = View { grouping: Grouping::Connection, order: Order::Activity, offset: 0, limit: 20, only };
    Views { rows: Some(rows), link_rows: None }
}

struct Run {
    worker: Worker,
    aggregator: Aggregator,
    handle: Handle,
    time_ns: u64,
    wake: crossbeam_channel::Sender<()>,
    _woken: crossbeam_channel::Receiver<()>,
}

impl Run {
    /// All flows have had a packet, and rows of the first second are there.
    fn new() -> Run {
        let (outbox, inbox) = outbox(BUFFERS_LIVE, false, false);
        let flows_max = 1 << 18;
        let (handshake_timeout_ns, seed) = (60 * S, [1, 2]);
        let table =
            TableConfig { flows_max, handshake_timeout_ns, accounts: false, active_timeout_ns: 0, seed };
        let patience = Some(Duration::from_secs(60));
        let config = Config { interval_ns: S, views: Views::default(), averages: false, flows_max, patience };
        let mut aggregator = Aggregator::new(config, vec![inbox]);
        aggregator.begin_at(T0);
        aggregator.answer_at_once(BUFFERS_LIVE * 3 / 4);
        let handle = aggregator.handle();
        let (wake, woken) = crossbeam_channel::bounded(1);
        let worker = Worker::new(table, outbox);
        let mut run = Run { worker, aggregator, handle, time_ns: T0, wake, _woken: woken };
        let first = run.interval(0..FLOWS);
        assert_eq!(first.interfaces[0].interval[0].count.packets, u64::from(FLOWS));
        run
    }

    /// A second in which these flows have a packet each.
    fn interval(&mut self, flows: std::ops::Range<u32>) -> Arc<Snapshot> {
        let mut packets: Vec<Packet> = flows.map(|number| packet(number, self.time_ns)).collect();
        self.time_ns += S;
        cut::interval(&mut self.worker, &mut self.aggregator, &mut packets, self.time_ns)
    }

    fn ask(&self, only: &Only, number: u64) {
        assert!(self.handle.ask_now(views(only), number, &self.wake));
    }

    /// What the aggregator does when nothing else is to do; the latest answer.
    fn turn(&mut self) -> Arc<Answer> {
        self.aggregator.again(Duration::ZERO);
        self.handle.answer().expect("an answer")
    }

    /// The same until every flow has been looked at.
    fn finish(&mut self) -> Arc<Answer> {
        let turns = (0..100).map(|_| self.turn()).find(|answer| answer.whole);
        turns.expect("it comes to an end")
    }
}

fn hits(nth: u32) -> u64 {
    u64::from(FLOWS.div_ceil(nth))
}

#[test]
fn the_first_answer_comes_soon_and_the_last_has_all() {
    let mut run = Run::new();
    let (only, looked) = every(7);
    run.ask(&only, 1);
    let first = run.turn();
    assert_eq!((first.number, first.whole, first.rows.len()), (1, false, 20));
    assert_eq!(asked(&looked), LOOKS);
    assert!((LOOKS / 7..=LOOKS / 7 + 1).contains(&first.found), "{}", first.found);
    let last = run.finish();
    assert_eq!((last.number, last.found, asked(&looked)), (1, hits(7), u64::from(FLOWS)));
    // The same filter once more: every flow's answer is known.
    run.ask(&only, 2);
    let again = run.turn();
    assert_eq!(
        (again.number, again.whole, again.found, asked(&looked)),
        (2, true, hits(7), u64::from(FLOWS))
    );
}

#[test]
fn who_asks_for_another_filter_waits_for_no_earlier_one() {
    let mut run = Run::new();
    let (first, of_first) = every(3);
    let (second, of_second) = every(5);
    run.ask(&first, 1);
    run.turn();
    run.ask(&second, 2);
    let answer = run.turn();
    assert_eq!((answer.number, asked(&of_first), asked(&of_second)), (2, LOOKS, LOOKS));
    // One that asks in the middle of a look: the filter itself does it here.
    let (third, of_third) = every(2);
    let (handle, wake) = (run.handle.clone(), run.wake.clone());
    let (next, count) = (views(&third), Arc::new(AtomicU64::new(0)));
    let seen = count.clone();
    let interrupted = Only::new(move |_| {
        if seen.fetch_add(1, Ordering::Relaxed) == 1000 {
            assert!(handle.ask_now(next.clone(), 4, &wake));
        }
        true
    });
    run.ask(&interrupted, 3);
    let answer = run.turn();
    assert_eq!(answer.number, 2, "the one that nobody waits for any more is not finished");
    assert!(asked(&count) < LOOKS / 4, "{} looked at in vain", asked(&count));
    let answer = run.turn();
    assert_eq!((answer.number, asked(&of_third)), (4, LOOKS));
    assert_eq!(run.finish().found, hits(2));
}

#[test]
fn counting_goes_on_while_a_filter_is_under_way() {
    let mut run = Run::new();
    let (only, looked) = every(4);
    run.ask(&only, 1);
    assert!(!run.turn().whole);
    for second in 1..=3u64 {
        let before = asked(&looked);
        // Whole totals, and in each interval no more flows looked at than for an answer.
        let snapshot = run.interval(0..1000);
        let [rx, _] = snapshot.interfaces[0].interval;
        assert_eq!((rx.count.packets, rx.count.bytes), (1000, 1000 * u64::from(BYTES)));
        let [rx, _] = snapshot.interfaces[0].total;
        assert_eq!(rx.count.packets, u64::from(FLOWS) + 1000 * second);
        assert!(asked(&looked) - before <= LOOKS, "{} looked at in one interval", asked(&looked) - before);
        assert_eq!((snapshot.rows_number, snapshot.rows.len()), (1, 20));
    }
    assert_eq!(asked(&looked), u64::from(FLOWS), "all of them by now, each once");
    assert_eq!(run.interval(0..1000).rows_found, hits(4));
}

/// Records that wait go before the rest of an answer.
#[test]
fn what_workers_say_goes_before_the_rest_of_an_answer() {
    let mut run = Run::new();
    let (only, looked) = every(4);
    run.ask(&only, 1);
    assert!(!run.turn().whole);
    run.worker.take(&mut (0..5000).map(|number| packet(number, run.time_ns)).collect::<Vec<_>>());
    run.worker.begin_cut(run.time_ns + S);
    while run.worker.between_batches(run.time_ns + S) {}
    let before = asked(&looked);
    assert!(!run.turn().whole);
    assert_eq!(asked(&looked), before, "nothing is looked at while a worker waits");
    let snapshot = run.aggregator.next_snapshot().expect("the run goes on");
    assert_eq!(snapshot.interfaces[0].interval[0].count.packets, 5000);
    assert_eq!(run.finish().found, hits(4));
}

#[test]
fn a_filter_that_narrows_asks_only_of_what_was_shown() {
    let mut run = Run::new();
    let (wide, _) = every(10);
    run.ask(&wide, 1);
    assert_eq!(run.finish().found, hits(10));
    let (narrow, looked) = every(30);
    let narrow = narrow.narrowing(&wide);
    run.ask(&narrow, 2);
    let answer = run.finish();
    assert_eq!((answer.number, answer.found, asked(&looked)), (2, hits(30), hits(10)));
    // Two steps at once, the one between them never asked for.
    let (between, _) = every(60);
    let between = between.narrowing(&narrow);
    let (last, looked) = every(120);
    run.ask(&last.narrowing(&between), 3);
    let answer = run.finish();
    assert_eq!((answer.found, asked(&looked)), (hits(120), hits(30)));
    // What does not narrow it asks of all.
    let (other, looked) = every(30);
    run.ask(&other, 4);
    let answer = run.finish();
    assert_eq!((answer.found, asked(&looked)), (hits(30), u64::from(FLOWS)));
}

/// Half way through a filter one comes that narrows it: what was not looked at yet is.
#[test]
fn a_filter_may_narrow_one_that_is_not_finished() {
    let mut run = Run::new();
    let (wide, _) = every(10);
    run.ask(&wide, 1);
    assert!(!run.turn().whole);
    let (narrow, looked) = every(20);
    run.ask(&narrow.narrowing(&wide), 2);
    let answer = run.finish();
    assert_eq!((answer.number, answer.found), (2, hits(20)));
    let expected = u64::from(FLOWS) - LOOKS + LOOKS.div_ceil(10);
    assert!(asked(&looked).abs_diff(expected) <= 1, "{} looked at, {expected} to be", asked(&looked));
}
