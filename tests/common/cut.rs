//! One worker and the aggregator behind it, without threads.

use fullcount::aggregate::Aggregator;
use fullcount::aggregate::snapshot::Snapshot;
use fullcount::decode::Packet;
use fullcount::worker::Worker;
use std::sync::Arc;

/// An interval with these packets that ends then, and what is told of it.
pub fn interval(
    worker: &mut Worker,
    aggregator: &mut Aggregator,
    packets: &mut [Packet],
    end_ns: u64,
) -> Arc<Snapshot> {
    worker.take(packets);
    worker.begin_cut(end_ns);
    while worker.between_batches(end_ns) {}
    let snapshot = aggregator.next_snapshot().expect("the run goes on");
    assert_eq!(snapshot.faults, [], "sums that must be equal are");
    snapshot
}
