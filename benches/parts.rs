//! The parts of the packet path, in nanoseconds: `cargo bench`.
//!
//! One thread, data in memory; a table of a million flows does not fit into
//! any cache, and packets come from all of it. What whole programs cost is
//! measured by scripts/bench-files and scripts/bench-live.

mod rig;

#[path = "../examples/generate.rs"]
mod generate;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use fullcount::aggregate::view::{Grouping, Order, View, Views};
use fullcount::aggregate::{Aggregator, Config};
use fullcount::capture::file::FileSource;
use fullcount::decode::Packet;
use fullcount::flow::table::{BATCH, TableConfig};
use fullcount::worker::outbox::{BUFFERS_FILE, outbox};
use fullcount::worker::{Intervals, Worker};
use rig::{Live, SECOND, START, Table};
use std::cell::{Cell, RefCell};
use std::io::Cursor;
use std::sync::Arc;

/// Packets in one call.
const CALL: usize = 4096;
/// Packets that the table benches go round: more than a core's caches.
const POOL: usize = 1 << 18;

fn main() {
    divan::main();
}

#[divan::bench]
fn decode(bencher: Bencher) {
    let frames: Vec<_> = (0..CALL as u32).map(|number| rig::frame_bytes(number, false)).collect();
    let mut decoder = rig::decoder();
    let mut batch = [Packet::default(); BATCH];
    bencher.counter(ItemsCount::new(CALL)).bench_local(|| {
        for (number, data) in frames.iter().enumerate() {
            decoder.decode_into(&rig::frame(data, START, false), &mut batch[number % BATCH]);
        }
        black_box(&batch);
    });
}

#[divan::bench(args = [1_000, 100_000, 1_000_000])]
fn table(bencher: Bencher, flows: u32) {
    let mut table = Table::with(flows);
    let mut pool = rig::drawn(flows, POOL, START + SECOND);
    let mut at = 0;
    bencher.counter(ItemsCount::new(CALL)).bench_local(|| {
        table.take(&mut pool[at..at + CALL]);
        at = (at + CALL) % POOL;
    });
}

/// A cut of 1,000 touched flows: the worker's part.
#[divan::bench(args = [1_000, 1_000_000], sample_size = 1, sample_count = 200)]
fn cut(bencher: Bencher, idle: u32) {
    let live = RefCell::new(Live::with(idle));
    let cuts = Cell::new(0);
    let touch = || {
        let mut live = live.borrow_mut();
        // Before the first measured cut all have been taken over already.
        if cuts.replace(cuts.get() + 1) > 0 {
            live.snapshot();
        }
        live.touch(0..1_000);
    };
    bencher
        .counter(ItemsCount::new(1_000u32))
        .with_inputs(touch)
        .bench_local_values(|()| live.borrow_mut().cut());
}

/// The aggregator's part of the same.
#[divan::bench(args = [1_000, 1_000_000], sample_size = 1, sample_count = 200)]
fn snapshot(bencher: Bencher, idle: u32) {
    let live = RefCell::new(Live::with(idle));
    let cut = || {
        let mut live = live.borrow_mut();
        live.touch(0..1_000);
        live.cut();
    };
    bencher
        .counter(ItemsCount::new(1_000u32))
        .with_inputs(cut)
        .bench_local_values(|()| live.borrow_mut().snapshot());
}

/// A capture file in memory, from its bytes to the last snapshot: one worker,
/// the aggregator on a thread of its own.
#[divan::bench(args = ["short", "long", "wide"], sample_size = 1, sample_count = 10)]
fn pipeline(bencher: Bencher, shape: &str) {
    let (shape, share) = match shape {
        "short" => (generate::Shape::Short, 4),
        "long" => (generate::Shape::Long, 4),
        _ => (generate::Shape::Wide, 10),
    };
    let mut plan = generate::Plan::new(shape);
    (plan.connections, plan.packets) = (plan.connections / share, plan.packets / share);
    let mut bytes = Vec::new();
    let truth = generate::write(&plan, &mut bytes, |_| {}).expect("memory takes everything");
    let bytes: Arc<[u8]> = bytes.into();
    bencher.counter(ItemsCount::new(plan.packets)).counter(BytesCount::new(bytes.len())).bench_local(|| {
        assert_eq!(
            run(bytes.clone(), &plan),
            truth.c2s.packets + truth.s2c.packets,
            "every packet was counted"
        )
    });
}

/// Packets that the last snapshot has.
fn run(bytes: Arc<[u8]>, plan: &generate::Plan) -> u64 {
    let (outbox, inbox) = outbox(BUFFERS_FILE, false, true);
    let view = View { grouping: Grouping::Connection, order: Order::Rate, offset: 0, limit: 20, only: None };
    let config = Config {
        interval_ns: SECOND,
        views: Views { rows: None, link_rows: Some(view) },
        averages: false,
        flows_max: 1 << 20,
        patience: None,
    };
    let mut aggregator = Aggregator::new(config, vec![inbox]);
    std::thread::scope(|scope| {
        let last = scope.spawn(move || {
            let mut packets = 0;
            while let Some(snapshot) = aggregator.next_snapshot() {
                packets = snapshot.packets();
            }
            packets
        });
        count(bytes, Worker::new(config_of(plan), outbox));
        last.join().expect("the aggregator")
    })
}

fn config_of(plan: &generate::Plan) -> TableConfig {
    TableConfig {
        flows_max: plan.connections as usize + 16,
        handshake_timeout_ns: 60 * SECOND,
        accounts: false,
        active_timeout_ns: 0,
        seed: [1, 2],
    }
}

fn count(bytes: Arc<[u8]>, mut worker: Worker) {
    let mut source =
        FileSource::from_reader(Box::new(Cursor::new(bytes)), "memory".into(), 0).expect("a capture");
    let mut decoder = rig::decoder();
    let mut intervals = Intervals::new(SECOND);
    let mut batch = [Packet::default(); BATCH];
    let mut filled = 0;
    while let Ok(Some(frame)) = source.next_frame() {
        if let Some(passed) = intervals.observe(frame.time_ns) {
            worker.take(&mut batch[..filled]);
            filled = 0;
            worker.cut_whole(passed.boundary_ns, passed.skipped);
        }
        decoder.decode_into(&frame, &mut batch[filled]);
        filled += 1;
        if filled == BATCH {
            worker.take(&mut batch);
            filled = 0;
        }
    }
    worker.take(&mut batch[..filled]);
    worker.finish(intervals.latest_ns(), 0, false);
}
