//! What all workers have counted, summed, and compared with what flows have.
//!
//! Everything here is since the start. Knows the latest cut of each worker.

use super::Aggregator;
use super::snapshot::Fault;
use crate::capture::{LINKS_MAX, Lane};
use crate::flow::table::TableStats;
use crate::meter::totals::{Count, LaneTotals};
use crate::worker::outbox::RingFigures;

impl Aggregator {
    pub(super) fn lane_totals(&self) -> Vec<LaneTotals> {
        let mut totals = vec![LaneTotals::default(); 2 * LINKS_MAX];
        for source in &self.sources {
            for (sum, lane) in totals.iter_mut().zip(&source.cut.lanes) {
                sum.add(lane);
            }
        }
        totals
    }

    /// Σ flows + untracked = totals, each summed on its own way.
    pub(super) fn compare(&mut self, totals: &[LaneTotals]) {
        if self.incomplete || self.sources.iter().any(|source| source.cut.table.unreported > 0) {
            return;
        }
        for (number, (lane, flows)) in totals.iter().zip(&self.flows_by_lane).enumerate() {
            let mut sum = lane.untracked_sum();
            sum.add(*flows);
            if sum != lane.count {
                self.faults.push(Fault::Identity {
                    lane: Lane(number as u8),
                    totals: lane.count,
                    parts: sum,
                });
            }
        }
    }

    pub(super) fn ethertypes(&self) -> Vec<(u16, Count)> {
        let mut ethertypes: Vec<(u16, Count)> = Vec::new();
        for (kind, count) in self.sources.iter().flat_map(|source| &source.cut.ethertypes) {
            match ethertypes.iter_mut().find(|(known, _)| known == kind) {
                Some((_, sum)) => sum.add(*count),
                None => ethertypes.push((*kind, *count)),
            }
        }
        ethertypes.sort_unstable_by_key(|(kind, count)| (std::cmp::Reverse(count.bytes), *kind));
        ethertypes
    }

    pub(super) fn ring_totals(&self) -> Vec<RingFigures> {
        let mut sums: Vec<RingFigures> = Vec::new();
        for ring in self.sources.iter().flat_map(|source| &source.cut.rings) {
            match sums.iter_mut().find(|sum| sum.link == ring.link) {
                Some(sum) => sum.add(ring),
                None => sums.push(*ring),
            }
        }
        sums
    }

    pub(super) fn table_totals(&self) -> TableStats {
        let mut sum = TableStats::default();
        for stats in self.sources.iter().map(|source| &source.cut.table) {
            sum.entries += stats.entries;
            sum.active += stats.active;
            sum.half_open += stats.half_open;
            sum.opened += stats.opened;
            sum.closed += stats.closed;
            sum.evicted += stats.evicted;
            sum.events_lost += stats.events_lost;
            sum.unreported += stats.unreported;
            sum.unreported_count.add(stats.unreported_count);
        }
        sum
    }
}

/// What has been added to `then`, with what holds now.
pub(super) fn difference(now: &TableStats, then: &TableStats) -> TableStats {
    TableStats {
        opened: now.opened - then.opened,
        closed: now.closed.saturating_sub(then.closed),
        evicted: now.evicted - then.evicted,
        events_lost: now.events_lost - then.events_lost,
        unreported: now.unreported - then.unreported,
        unreported_count: now.unreported_count.since(&then.unreported_count),
        ..*now
    }
}
