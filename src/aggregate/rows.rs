//! One worker's flows as the aggregator knows them: a dense table by slot.
//!
//! Chunks instead of one array, so that growing copies nothing. A row that
//! ended stays for the snapshot of its interval in `ended`; where an interval
//! is a whole file that list is pruned to the largest, as no view asks for more.

use super::group::Groups;
use crate::capture::Lane;
use crate::flow::detail::LaneCount;
use crate::flow::entry::{NO_LANE, mark};
use crate::flow::key::FlowKey;
use crate::flow::record::{Buffer, Record, flag};
use crate::flow::tcp::TcpState;
use crate::meter::totals::Count;
use crate::worker::advise_huge_pages;
use std::collections::HashMap;

const CHUNK_BITS: usize = 16;
const CHUNK: usize = 1 << CHUNK_BITS;
/// Ended rows of one interval that are kept for a view, at least.
const ENDED_KEPT: usize = 16_384;

/// A flow's counters, by sender.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct RowState {
    pub key: FlowKey,
    pub total: [Count; 2],
    /// `total` when the interval began, where `touched` is the interval's number.
    pub base: [Count; 2],
    pub touched: u32,
    /// Number of the interval in whose list the slot stands.
    listed: u32,
    pub lanes: [u8; 2],
    pub marks: u16,
    pub state: Option<TcpState>,
    pub client_second: bool,
    pub live: bool,
}

/// Counters by lane of a flow that is seen on more than one.
#[derive(Clone, Default, Debug)]
pub(super) struct LaneRows {
    pub now: Vec<LaneCount>,
    /// As the interval began.
    pub base: Vec<LaneCount>,
    touched: u32,
}

/// See the module's description.
#[derive(Default)]
pub(super) struct Rows {
    chunks: Vec<Vec<RowState>>,
    touched: Vec<u32>,
    ended: Vec<(RowState, Option<LaneRows>)>,
    by_lane: HashMap<u32, LaneRows>,
    /// Ended rows of the interval that were pruned.
    pub pruned: u64,
    /// Number of the interval; 0 is "never".
    interval: u32,
}

impl Rows {
    fn row(&mut self, slot: u32) -> &mut RowState {
        let (chunk, place) = (slot as usize >> CHUNK_BITS, slot as usize & (CHUNK - 1));
        while self.chunks.len() <= chunk {
            let mut rows: Vec<RowState> = Vec::with_capacity(CHUNK);
            let memory = rows.spare_capacity_mut();
            advise_huge_pages(memory.as_mut_ptr().cast(), size_of_val(memory));
            self.chunks.push(rows);
        }
        let rows = &mut self.chunks[chunk];
        if rows.len() <= place {
            // Slots are taken in order, so this is one row at a time.
            rows.resize(place + 1, RowState::default());
        }
        &mut rows[place]
    }

    /// Takes a buffer's records in.
    pub fn apply(&mut self, buffer: &mut Buffer, flows_by_lane: &mut [Count], groups: &mut Groups) {
        let mut keys = buffer.keys.iter();
        let mut lanes = buffer.lanes.as_slice();
        let mut accounts = buffer.accounts.iter_mut();
        for record in &buffer.records {
            if record.flags & flag::NEW != 0
                && let Some(&(key, _)) = keys.next()
            {
                self.by_lane.remove(&record.slot);
                let row = self.row(record.slot);
                *row = RowState { key, live: true, listed: row.listed, ..RowState::default() };
            }
            let (counts, rest) = lanes.split_at((record.lane_count as usize).min(lanes.len()));
            lanes = rest;
            if record.flags & flag::ACCOUNT != 0
                && let Some(account) = accounts.next()
            {
                account.lanes = counts.to_vec();
            }
            self.apply_record(record, counts, flows_by_lane, groups);
        }
    }

    fn apply_record(
        &mut self,
        record: &Record,
        counts: &[LaneCount],
        flows_by_lane: &mut [Count],
        groups: &mut Groups,
    ) {
        let interval = self.interval + 1;
        let slot = record.slot;
        let row = self.row(slot);
        if row.touched != interval {
            row.touched = interval;
            row.base = row.total;
        }
        let list = row.listed != interval;
        row.listed = interval;
        let before = row.total;
        let lanes_before = row.lanes;
        row.total = [0, 1].map(|side| Count { packets: record.packets[side], bytes: record.bytes[side] });
        row.lanes = record.lanes;
        row.marks = record.marks;
        row.state = record.state;
        row.client_second = record.flags & flag::CLIENT_SECOND != 0;
        let row = *row;
        let several = record.marks & (mark::LANES[0] | mark::LANES[1]) != 0;
        if several {
            self.apply_lanes(slot, &row, before, lanes_before, counts, flows_by_lane, groups);
        } else {
            for (side, before) in before.iter().enumerate() {
                let gained = row.total[side].since(before);
                if gained.packets > 0 {
                    gain(&row, side, Lane(row.lanes[side]), gained, flows_by_lane, groups);
                }
            }
        }
        if list {
            self.touched.push(slot);
        }
        if record.flags & flag::END != 0 {
            self.end(slot, several);
        }
    }

    #[cold]
    #[allow(clippy::too_many_arguments)]
    fn apply_lanes(
        &mut self,
        slot: u32,
        row: &RowState,
        before: [Count; 2],
        lanes_before: [u8; 2],
        counts: &[LaneCount],
        flows_by_lane: &mut [Count],
        groups: &mut Groups,
    ) {
        let interval = self.interval + 1;
        let known = self.by_lane.entry(slot).or_insert_with(|| {
            // Until now the lane in force had everything.
            let had = |side: usize| LaneCount {
                side: side as u8,
                lane: Lane(lanes_before[side]),
                packets: before[side].packets,
                bytes: before[side].bytes,
            };
            let now: Vec<LaneCount> = (0..2).filter(|&side| before[side].packets > 0).map(had).collect();
            let base = (0..2)
                .filter(|&side| row.base[side].packets > 0)
                .map(|side| LaneCount {
                    packets: row.base[side].packets,
                    bytes: row.base[side].bytes,
                    ..had(side)
                })
                .collect();
            LaneRows { now, base, touched: interval }
        });
        if known.touched != interval {
            known.touched = interval;
            known.base = known.now.clone();
        }
        for count in counts {
            let then = find(&known.now, count.side, count.lane);
            let now = Count { packets: count.packets, bytes: count.bytes };
            let gained = now.since(&then);
            if gained.packets > 0 {
                gain(row, count.side as usize, count.lane, gained, flows_by_lane, groups);
            }
        }
        known.now = counts.to_vec();
    }

    fn end(&mut self, slot: u32, several: bool) {
        let row = self.row(slot);
        row.live = false;
        let row = *row;
        let lanes = if several { self.by_lane.remove(&slot) } else { None };
        self.ended.push((row, lanes));
        if self.ended.len() >= 4 * ENDED_KEPT {
            // The largest by bytes and those by packets cover every order there is.
            let bytes = |row: &RowState| row.total[0].bytes + row.total[1].bytes;
            self.ended.select_nth_unstable_by_key(2 * ENDED_KEPT, |(row, _)| {
                (std::cmp::Reverse(bytes(row)), row.key)
            });
            self.ended[2 * ENDED_KEPT..].sort_unstable_by_key(|(row, _)| {
                (std::cmp::Reverse(row.total[0].packets + row.total[1].packets), row.key)
            });
            self.pruned += (self.ended.len() - 3 * ENDED_KEPT) as u64;
            self.ended.truncate(3 * ENDED_KEPT);
        }
    }

    /// Every row that had a packet in the interval, ended ones too.
    pub fn each_touched(&mut self, mut each: impl FnMut(&RowState, Option<&LaneRows>)) {
        for &slot in &self.touched {
            let row = &self.chunks[slot as usize >> CHUNK_BITS][slot as usize & (CHUNK - 1)];
            if row.live {
                each(row, self.lane_rows(slot, row));
            }
        }
        for (row, lanes) in &self.ended {
            each(row, lanes.as_ref());
        }
    }

    /// Every row there is.
    pub fn each(&mut self, mut each: impl FnMut(&RowState, Option<&LaneRows>)) {
        for (number, chunk) in self.chunks.iter().enumerate() {
            for (place, row) in chunk.iter().enumerate().filter(|(_, row)| row.live) {
                each(row, self.lane_rows((number << CHUNK_BITS | place) as u32, row));
            }
        }
        for (row, lanes) in &self.ended {
            each(row, lanes.as_ref());
        }
    }

    fn lane_rows(&self, slot: u32, row: &RowState) -> Option<&LaneRows> {
        let several = row.marks & (mark::LANES[0] | mark::LANES[1]) != 0;
        if several { self.by_lane.get(&slot) } else { None }
    }

    /// The number that `RowState::touched` has in the interval under way.
    pub fn interval(&self) -> u32 {
        self.interval + 1
    }

    /// The interval is over.
    pub fn next_interval(&mut self) {
        self.interval += 1;
        self.touched.clear();
        self.ended.clear();
        self.pruned = 0;
    }
}

/// What a flow's direction gained on a lane goes into the sums.
#[inline]
fn gain(
    row: &RowState,
    side: usize,
    lane: Lane,
    gained: Count,
    flows_by_lane: &mut [Count],
    groups: &mut Groups,
) {
    if lane.0 == NO_LANE {
        return;
    }
    flows_by_lane[lane.index()].add(gained);
    if groups.in_use() {
        groups.gain(row, side, lane, gained);
    }
}

/// The count of a side and lane among several.
pub(super) fn find(counts: &[LaneCount], side: u8, lane: Lane) -> Count {
    let found = counts.iter().find(|count| count.side == side && count.lane == lane);
    found.map_or(Count::default(), |count| Count { packets: count.packets, bytes: count.bytes })
}
