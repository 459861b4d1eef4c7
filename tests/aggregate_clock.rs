//! Snapshots where the clock steps: their times, and how long their intervals are.

use fullcount::aggregate::view::Views;
use fullcount::aggregate::{Aggregator, Config};
use fullcount::flow::table::TableConfig;
use fullcount::worker::Worker;
use fullcount::worker::outbox::outbox;
use std::time::Duration;

const S: u64 = 1_000_000_000;

/// So many live workers, and their aggregator of a run that began at a second.
fn run(workers: usize, start: u64) -> (Vec<Worker>, Aggregator) {
    let table = TableConfig {
        flows_max: 16,
        handshake_timeout_ns: S,
        accounts: false,
        active_timeout_ns: 0,
        seed: [1, 2],
    };
    let (outboxes, inboxes): (Vec<_>, Vec<_>) = (0..workers).map(|_| outbox(4, false, false)).unzip();
    let workers = outboxes.into_iter().map(|outbox| Worker::new(table, outbox)).collect();
    let patience = Some(Duration::from_secs(10));
    let config =
        Config { interval_ns: S, views: Views::default(), averages: false, patience, flows_max: 1 << 12 };
    let mut aggregator = Aggregator::new(config, inboxes);
    aggregator.begin_at(start * S);
    (workers, aggregator)
}

fn cut(worker: &mut Worker, second: u64) {
    worker.begin_cut(second * S);
    worker.between_batches(second * S);
}

#[test]
fn a_clock_set_back_shows_in_times_and_not_in_spans() {
    let (mut workers, mut aggregator) = run(2, 100);
    let mut next = || {
        let snapshot = aggregator.next_snapshot().expect("a snapshot");
        [snapshot.time_ns, snapshot.interval_ns, snapshot.end_ns - snapshot.start_ns].map(|ns| ns / S)
    };
    workers.iter_mut().for_each(|worker| cut(worker, 101));
    assert_eq!(next(), [101, 1, 1]);
    // One of them had passed the next boundary before it was told.
    cut(&mut workers[0], 102);
    for worker in &mut workers {
        worker.set_back(60 * S);
        cut(worker, 43);
    }
    assert_eq!(next(), [102, 1, 2]);
    assert_eq!(next(), [43, 1, 3]);
    workers.iter_mut().for_each(|worker| cut(worker, 44));
    assert_eq!(next(), [44, 1, 4]);
    for worker in workers {
        worker.finish(45 * S, 0, false);
    }
    assert_eq!(next(), [45, 1, 5]);
}

#[test]
fn intervals_that_were_slept_through_are_in_no_line() {
    let (mut workers, mut aggregator) = run(2, 100);
    let mut next = || {
        let snapshot = aggregator.next_snapshot().expect("a snapshot");
        [snapshot.time_ns / S, snapshot.interval_ns / S, snapshot.skipped_intervals]
    };
    for worker in &mut workers {
        worker.skip(1000);
        cut(worker, 101);
        cut(worker, 1102);
    }
    assert_eq!(next(), [101, 1, 1000]);
    assert_eq!(next(), [1102, 1, 0]);
    // One alone had nothing to do for so long: that is no jump of time.
    workers[0].skip(100);
    cut(&mut workers[0], 1103);
    cut(&mut workers[0], 1204);
    cut(&mut workers[1], 1103);
    assert_eq!(next(), [1103, 1, 0]);
    cut(&mut workers[1], 1104);
    assert_eq!(next(), [1104, 1, 0]);
}
