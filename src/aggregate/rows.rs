//! One worker's flows as the aggregator knows them: a dense table by slot.
//!
//! Where a row
//! stood when the interval began is kept beside, for those that had something
//! then: a flow that is new has no base. A row that ended stays for the snapshot
//! of its interval in `ended`; where an interval is a whole file that list is
//! pruned to the largest, as no view asks for more.

use super::group::{GroupIds, Groups};
use super::hidden::HiddenSums;
use super::sight::{LaneRows, RowSight, find};
use super::sliding::Sliding;
use super::verdicts::Verdicts;
use super::view::Only;
use super::window::{Calendar, Histories, NO_HISTORY};
use crate::capture::{Lane, LinkId};
use crate::flow::detail::LaneCount;
use crate::flow::entry::{NO_LANE, mark};
use crate::flow::key::FlowKey;
use crate::flow::record::{self, Account, Buffer, Record, flag};
use crate::flow::table::FLOWS_LEAST;
use crate::flow::tcp::TcpState;
use crate::meter::totals::Count;
use crate::worker::{LargeVec, Reading};
use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};

/// Ended rows of one interval that are kept by each order, at least.
const ENDED_KEPT: usize = 4096;

/// Closed ones that are shown for a while, at most.
const LINGERING_MAX: usize = 1 << 16;

/// A flow's counters, by sender.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowState {
    pub key: FlowKey,
    pub total: [Count; 2],
    /// Number of the interval in which it had a packet last.
    pub touched: u32,
    /// Where `bases` has what `total` was when that interval began.
    base: u32,
    pub history: u32,
    /// Number of the interval in whose list the slot stands.
    listed: u32,
    pub lanes: [u8; 2],
    pub marks: u16,
    /// Link-layer addresses by sender.
    pub pairs: [u16; 2],
    pub state: Option<TcpState>,
    pub client_second: bool,
    pub live: bool,
    /// When its last packet came, see [`tenths`].
    pub last: u32,
}

impl Default for RowState {
    fn default() -> RowState {
        RowState {
            key: FlowKey::default(),
            total: [Count::default(); 2],
            touched: 0,
            base: NO_BASE,
            history: NO_HISTORY,
            listed: 0,
            lanes: [NO_LANE; 2],
            marks: 0,
            pairs: [0; 2],
            state: None,
            client_second: false,
            live: false,
            last: 0,
        }
    }
}

const _: () = assert!(size_of::<RowState>() <= 104);

/// A moment in tenths of a second, of a clock of 13 years that goes round.
pub(super) fn tenths(time_ns: u64) -> u32 {
    u32::try_from(time_ns / 100_000_000 % (1 << 32)).unwrap_or(0)
}

/// How long ago that was; nothing where it lies ahead.
pub(super) fn silent(now: u32, last: u32) -> u32 {
    Some(now.wrapping_sub(last)).filter(|&tenths| tenths <= u32::MAX / 2).unwrap_or(0)
}

/// Whether both ends are done with it.
pub(super) fn is_closed(state: Option<TcpState>) -> bool {
    matches!(state, Some(TcpState::TimeWait | TcpState::Reset | TcpState::Closed))
}

/// The row had nothing when the interval began.
const NO_BASE: u32 = u32::MAX;

/// See the module's description.
pub(super) struct Rows {
    /// By slot. Address space for all of them is taken at once, so that growing copies nothing.
    rows: LargeVec<RowState>,
    touched: Vec<u32>,
    /// Totals of rows as the interval began.
    bases: Vec<[Count; 2]>,
    ended: Vec<Ended>,
    /// Closed ones of earlier intervals, while they are shown.
    lingering: VecDeque<Ended>,
    /// How long, tenths of a second.
    linger: u32,
    /// Where rates are those of the last second.
    sliding: Option<Sliding>,
    /// Which flows the filter of a view over all interfaces shows.
    verdicts: Verdicts,
    by_lane: HashMap<u32, LaneRows>,
    histories: Histories,
    group_ids: GroupIds,
    /// Rows that each order of ended ones keeps.
    kept: usize,
    /// Ended rows that are kept from when they are pruned next.
    prune_at: usize,
    /// Ended rows of the interval that were pruned; of them, those with packets in it.
    pub pruned: [u64; 2],
    /// Ended rows have their accounts.
    accounts: bool,
    /// Flows that are in no list.
    pub hidden: HiddenSums,
    /// Number of the interval; 0 is "never".
    interval: u32,
}

/// What a record tells besides counters, with the slot or the row that it is of.
pub(super) enum Told<'a> {
    /// A handshake is under way at the cut.
    HalfOpen(u32, &'a RowState),
    /// It is so no more.
    Decided(u32),
    /// What a TCP connection came to.
    Ended(&'a RowState, &'a record::Ended),
}

fn is_half_open(state: Option<TcpState>) -> bool {
    matches!(state, Some(TcpState::SynSent | TcpState::SynReceived))
}

/// A row whose flow has left the table in this interval.
struct Ended {
    slot: u32,
    row: RowState,
    lanes: Option<LaneRows>,
    account: Option<Box<Account>>,
}

/// The row of a slot; made where there is none yet.
#[inline]
fn row_of(rows: &mut LargeVec<RowState>, slot: u32) -> &mut RowState {
    let place = slot as usize;
    if rows.len() <= place {
        // Slots are taken in order, so this is one row at a time.
        rows.resize(place + 1, RowState::default());
    }
    &mut rows[place]
}

impl Rows {
    /// Rows of a table of `flows_max`. `averages`: whether histories are kept.
    pub fn new(flows_max: usize, averages: bool) -> Rows {
        Rows {
            rows: LargeVec::new(flows_max.max(FLOWS_LEAST), Reading::AtRandom),
            touched: Vec::new(),
            bases: Vec::new(),
            ended: Vec::new(),
            lingering: VecDeque::new(),
            linger: 0,
            sliding: None,
            verdicts: Verdicts::default(),
            by_lane: HashMap::new(),
            histories: Histories::new(averages),
            group_ids: GroupIds::default(),
            kept: ENDED_KEPT,
            prune_at: 0,
            pruned: [0; 2],
            accounts: false,
            hidden: HiddenSums::default(),
            interval: 0,
        }
    }

    /// Rows that ended have their accounts from now on, where workers send them.
    pub fn keep_accounts(&mut self) {
        self.accounts = true;
    }

    /// Closed ones stay so long from now on, tenths of a second.
    pub fn linger(&mut self, tenths: u32) {
        self.linger = tenths;
    }

    /// Whether what was found out is of this filter.
    pub fn judges(&self, only: Option<&Only>) -> bool {
        self.verdicts.are_of(only)
    }

    /// Looks which flows a filter shows, so many at most; whether all are looked at.
    pub fn look(&mut self, only: Option<&Only>, most: &mut usize) -> bool {
        let Rows { verdicts, rows, hidden, .. } = self;
        verdicts.of(only);
        verdicts.look(rows.len(), most, |slot| {
            let row = &rows[slot];
            (row.live && !hidden.has(row.marks)).then_some(row.key)
        })
    }

    /// Rates are those of the last second, intervals tenths of it.
    pub fn slide(&mut self) {
        self.sliding = Some(Sliding::default());
    }

    /// The account of a flow that ended, the latest of them.
    pub fn ended_account(&self, key: &FlowKey) -> Option<&Account> {
        let ended = self.ended.iter().rev().chain(self.lingering.iter().rev());
        ended.filter(|one| one.row.key == *key).find_map(|one| one.account.as_deref())
    }

    /// Takes a buffer's records in.
    /// `kept`: so many rows may be asked for. `hear`: what is told of connections besides.
    pub fn apply(
        &mut self,
        buffer: &mut Buffer,
        flows_by_lane: &mut [Count],
        groups: &mut Groups,
        kept: usize,
        mut hear: impl FnMut(Told),
    ) {
        self.kept = kept.max(ENDED_KEPT);
        let mut keys = buffer.keys.iter();
        let mut lanes = buffer.lanes.as_slice();
        let mut accounts = buffer.accounts.iter_mut();
        let mut ended = buffer.ended.iter();
        for record in &buffer.records {
            if record.flags & flag::NEW != 0
                && let Some(&(key, _)) = keys.next()
            {
                if !self.by_lane.is_empty() {
                    self.by_lane.remove(&record.slot);
                }
                self.group_ids.forget(record.slot, groups);
                if let Some(sliding) = &mut self.sliding {
                    sliding.forget(record.slot);
                }
                self.verdicts.forget(record.slot);
                let row = row_of(&mut self.rows, record.slot);
                if is_half_open(row.state) {
                    // Its last record may have found no room.
                    hear(Told::Decided(record.slot));
                }
                *row = RowState { key, live: true, listed: row.listed, ..RowState::default() };
                if self.hidden.has(record.marks) {
                    self.hidden.meet();
                }
            }
            let (counts, rest) = lanes.split_at((record.lane_count as usize).min(lanes.len()));
            lanes = rest;
            let mut kept = None;
            if record.flags & flag::ACCOUNT != 0
                && let Some(account) = accounts.next()
            {
                account.lanes = counts.to_vec();
                let ends = self.accounts && record.flags & flag::END != 0;
                kept = ends.then(|| Box::new(account.clone()));
            }
            let was_open = is_half_open(row_of(&mut self.rows, record.slot).state);
            self.apply_record(record, counts, kept, flows_by_lane, groups);
            let ended = if record.flags & flag::ENDED != 0 { ended.next() } else { None };
            let row = row_of(&mut self.rows, record.slot);
            // At the end of the run all leave; what was under way then still is.
            let goes_on = record.flags & flag::END == 0 || ended.is_some_and(|ended| ended.open);
            if goes_on && is_half_open(row.state) {
                hear(Told::HalfOpen(record.slot, row));
            } else if was_open {
                hear(Told::Decided(record.slot));
            }
            if let Some(ended) = ended {
                hear(Told::Ended(row, ended));
            }
        }
    }

    fn apply_record(
        &mut self,
        record: &Record,
        counts: &[LaneCount],
        account: Option<Box<Account>>,
        flows_by_lane: &mut [Count],
        groups: &mut Groups,
    ) {
        let interval = self.interval + 1;
        let slot = record.slot;
        let row = row_of(&mut self.rows, slot);
        if row.touched != interval {
            row.touched = interval;
            row.base = NO_BASE;
            if row.total[0].packets + row.total[1].packets > 0 {
                row.base = self.bases.len() as u32;
                self.bases.push(row.total);
            }
        }
        if row.listed != interval {
            row.listed = interval;
            self.touched.push(slot);
        }
        let before = row.total;
        let (lanes_before, client_before) = (row.lanes, row.client_second);
        row.total = [0, 1].map(|side| Count { packets: record.packets[side], bytes: record.bytes[side] });
        row.lanes = record.lanes;
        row.marks = record.marks;
        row.pairs = record.pairs;
        row.state = record.state;
        row.last = tenths(record.last_ns);
        row.client_second = record.flags & flag::CLIENT_SECOND != 0;
        let row = *row;
        if lanes_before != row.lanes || client_before != row.client_second {
            self.group_ids.forget(slot, groups);
        }
        let several = record.marks & (mark::LANES[0] | mark::LANES[1]) != 0;
        if several {
            self.apply_lanes(slot, &row, before, lanes_before, counts, flows_by_lane, groups);
        } else {
            for (side, before) in before.iter().enumerate() {
                let gained = row.total[side].since(before);
                let lane = Lane(row.lanes[side]);
                if gained.packets > 0 && lane.0 != NO_LANE {
                    flows_by_lane[lane.index()].add(gained);
                    groups.compare(&row, side, lane, *before, gained);
                    if self.hidden.has(row.marks) {
                        self.hidden.gain(lane, gained);
                    } else if groups.in_use() {
                        let known = self.group_ids.of(slot, groups);
                        groups.gain(&row, side, lane, gained, known);
                    }
                }
            }
        }
        if record.flags & flag::END != 0 {
            self.end(slot, several, account);
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
        let base = base_of(row, &self.bases);
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
                .filter(|&side| base[side].packets > 0)
                .map(|side| LaneCount { packets: base[side].packets, bytes: base[side].bytes, ..had(side) })
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
            if gained.packets > 0 && count.lane.0 != NO_LANE {
                flows_by_lane[count.lane.index()].add(gained);
                if self.hidden.has(row.marks) {
                    self.hidden.gain(count.lane, gained);
                    continue;
                }
                groups.compare(row, count.side as usize, count.lane, then, gained);
                groups.gain_anew(row, count.side as usize, count.lane, gained);
            }
        }
        known.now = counts.to_vec();
    }

    fn end(&mut self, slot: u32, several: bool, account: Option<Box<Account>>) {
        let row = row_of(&mut self.rows, slot);
        row.live = false;
        // A history that was given back may become that of the slot's next flow.
        if self.histories.get(row.history, slot).is_none() {
            row.history = NO_HISTORY;
        }
        let row = *row;
        let lanes = if several { self.by_lane.remove(&slot) } else { None };
        if self.hidden.has(row.marks) {
            self.histories.release(row.history, slot);
            return;
        }
        self.ended.push(Ended { slot, row, lanes, account });
        if self.ended.len() >= self.prune_at.max(4 * self.kept) {
            self.prune();
        }
    }

    /// Of ended rows those stay that any view may show: the first by each order,
    /// over all interfaces and of each.
    fn prune(&mut self) {
        let mut ended: Vec<(Ended, bool)> = self.ended.drain(..).map(|one| (one, false)).collect();
        let kept = self.kept.min(ended.len());
        let mut links: Vec<LinkId> = Vec::new();
        for lane in ended.iter().flat_map(|(one, _)| one.row.lanes).filter(|&lane| lane != NO_LANE) {
            if !links.contains(&Lane(lane).link()) {
                links.push(Lane(lane).link());
            }
        }
        let each = links.iter().map(|&link| Some(link)).filter(|_| links.len() > 1);
        // By rate, by name alone (of what had packets in the interval), by bytes, by packets.
        let orders: [fn([Count; 2]) -> u64; 4] = [
            |[now, _]| now.bytes,
            |[now, _]| u64::from(now.packets > 0),
            |[_, total]| total.bytes,
            |[_, total]| total.packets,
        ];
        for scope in std::iter::once(None).chain(each) {
            for order in orders {
                let weight = |one: &Ended| {
                    let (now, total) = self.sight(one.slot, &one.row, one.lanes.as_ref()).within(scope);
                    let [now, total] = [now, total].map(|[mut sum, second]| {
                        sum.add(second);
                        sum
                    });
                    (Reverse(order([now, total])), one.row.key)
                };
                ended.select_nth_unstable_by_key(kept - 1, |(one, _)| weight(one));
                ended[..kept].iter_mut().for_each(|(_, stays)| *stays = true);
            }
        }
        for (one, stays) in ended {
            if stays {
                self.ended.push(one);
                continue;
            }
            let gained = self.sight(one.slot, &one.row, None).gained;
            self.pruned[0] += 1;
            self.pruned[1] += u64::from(gained[0].packets + gained[1].packets > 0);
            self.histories.release(one.row.history, one.slot);
        }
        self.prune_at = 2 * self.ended.len();
    }

    fn sight<'a>(&'a self, slot: u32, row: &'a RowState, lanes: Option<&'a LaneRows>) -> RowSight<'a> {
        let touched = row.touched == self.interval + 1;
        let gained = if touched {
            let base = base_of(row, &self.bases);
            [0, 1].map(|side| row.total[side].since(&base[side]))
        } else {
            [Count::default(); 2]
        };
        RowSight {
            row,
            lanes,
            touched,
            gained,
            recent: gained,
            shown: None,
            slot,
            histories: &self.histories,
        }
    }

    /// `judged`: the view's filter is the one that flows were looked at for.
    fn sight_of_slot(&self, slot: u32, judged: bool) -> Option<RowSight<'_>> {
        let shown = if judged { self.verdicts.get(slot) } else { None };
        if shown == Some(false) {
            // Most rows, where there is a filter: their memory is not touched.
            return None;
        }
        let row = &self.rows[slot as usize];
        let several = row.marks & (mark::LANES[0] | mark::LANES[1]) != 0;
        let lanes = if several { self.by_lane.get(&slot) } else { None };
        (row.live && !self.hidden.has(row.marks)).then(|| {
            let sight = self.sight(slot, row, lanes);
            let recent = self.sliding.as_ref().map_or(sight.gained, |sliding| sliding.of(slot));
            RowSight { recent, shown, ..sight }
        })
    }

    /// Whether any flow ended in the interval.
    pub fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Every row whose flow ended in the interval, but for those that were pruned.
    pub fn each_ended(&self, mut each: impl FnMut(RowSight)) {
        self.ended.iter().for_each(|one| each(self.sight(one.slot, &one.row, one.lanes.as_ref())));
    }

    /// Every row that had a packet in the interval, ended ones too; `judged`: but for
    /// those that are known not to be shown, here and below.
    pub fn each_touched(&self, judged: bool, mut each: impl FnMut(RowSight)) {
        self.touched.iter().filter_map(|&slot| self.sight_of_slot(slot, judged)).for_each(&mut each);
        self.each_ended(each);
    }

    /// Every row there is.
    pub fn each(&self, judged: bool, mut each: impl FnMut(RowSight)) {
        let slots = (0u32..).take(self.rows.len());
        slots.filter_map(|slot| self.sight_of_slot(slot, judged)).for_each(&mut each);
        self.lingering.iter().for_each(|one| each(self.sight(one.slot, &one.row, one.lanes.as_ref())));
        self.each_ended(each);
    }

    /// Every row that has averages, and those that ended.
    pub fn each_with_averages(&self, judged: bool, mut each: impl FnMut(RowSight)) {
        for (place, slot) in self.histories.owners() {
            // A slot whose flow ended and began anew in one interval is an owner twice.
            if let Some(sight) = self.sight_of_slot(slot, judged).filter(|sight| sight.row.history == place) {
                each(sight);
            }
        }
        self.each_ended(each);
    }

    /// What rows gained in the interval goes into their histories.
    pub fn keep_averages(&mut self, calendar: &Calendar) {
        if let Some(sliding) = &mut self.sliding {
            sliding.advance();
            for &slot in &self.touched {
                let row = &self.rows[slot as usize];
                if row.live && row.touched == self.interval + 1 {
                    let base = base_of(row, &self.bases);
                    sliding.add(slot, [0, 1].map(|side| row.total[side].since(&base[side])));
                }
            }
        }
        if !self.histories.wanted() {
            return;
        }
        for at in 0..self.touched.len() {
            let slot = self.touched[at];
            let row = *row_of(&mut self.rows, slot);
            if row.live && row.touched == self.interval + 1 {
                let base = base_of(&row, &self.bases);
                let gained = [0, 1].map(|side| row.total[side].since(&base[side]));
                let history = &mut row_of(&mut self.rows, slot).history;
                self.histories.add(history, slot, calendar, gained);
            }
        }
        for one in &mut self.ended {
            if one.row.touched == self.interval + 1 {
                let base = base_of(&one.row, &self.bases);
                let gained = [0, 1].map(|side| one.row.total[side].since(&base[side]));
                self.histories.add(&mut one.row.history, one.slot, calendar, gained);
            }
        }
        self.histories.sweep(calendar);
    }

    /// The interval is over, at `now` of [`tenths`].
    pub fn next_interval(&mut self, now: u32) {
        self.interval += 1;
        self.touched.clear();
        self.bases.clear();
        let linger = self.linger;
        let stays = |row: &RowState| is_closed(row.state) && silent(now, row.last) <= linger;
        self.lingering.retain(|one| stays(&one.row));
        for mut one in self.ended.drain(..) {
            self.histories.release(one.row.history, one.slot);
            if linger > 0 && stays(&one.row) {
                one.row.history = NO_HISTORY;
                self.lingering.push_back(one);
            }
        }
        let too_many = self.lingering.len().saturating_sub(LINGERING_MAX);
        self.lingering.drain(..too_many);
        self.pruned = [0; 2];
        self.prune_at = 0;
    }
}

/// What a row that was touched had as the interval began.
fn base_of(row: &RowState, bases: &[[Count; 2]]) -> [Count; 2] {
    bases.get(row.base as usize).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::key::End;

    fn key(slot: u32) -> FlowKey {
        FlowKey::new(End::v4(slot, 1), End::v4(u32::MAX, 2), 17, false, 0, 0).0
    }

    /// A flow stands so; NEW and END as told.
    fn tell(rows: &mut Rows, slot: u32, packets: u64, flags: u8) {
        let mut buffer = Buffer::new(false);
        if flags & flag::NEW != 0 {
            buffer.keys.push((key(slot), 0));
        }
        buffer.records.push(Record {
            slot,
            flags,
            state: None,
            marks: 0,
            lanes: [0, NO_LANE],
            lane_count: 0,
            packets: [packets, 0],
            bytes: [100 * packets, 0],
            last_ns: 0,
            pairs: [0; 2],
        });
        rows.apply(&mut buffer, &mut [Count::default(); 2], &mut Groups::new(false), 10, |_| {});
    }

    #[test]
    fn of_many_that_end_those_stay_that_had_packets_in_the_interval() {
        let flows = 5 * ENDED_KEPT as u32;
        let mut rows = Rows::new(flows as usize, false);
        (0..flows).for_each(|slot| tell(&mut rows, slot, if slot % 1000 == 999 { 1 } else { 50 }, flag::NEW));
        rows.next_interval(0);
        // The last of every thousand has two packets more, all end: the run is over.
        (0..flows).for_each(|slot| tell(&mut rows, slot, if slot % 1000 == 999 { 3 } else { 50 }, flag::END));
        let mut gained = Vec::new();
        rows.each_touched(false, |sight| {
            gained.extend((sight.gained[0].packets > 0).then_some(sight.row.key))
        });
        gained.sort_unstable();
        assert_eq!(gained, (0..flows).filter(|slot| slot % 1000 == 999).map(key).collect::<Vec<_>>());
        assert!(rows.pruned[0] > 0 && rows.pruned[1] == 0, "{:?}", rows.pruned);
    }

    #[test]
    fn closed_ones_stay_as_long_as_they_are_to_be_shown() {
        let mut rows = Rows::new(8, false);
        rows.linger(30);
        tell(&mut rows, 0, 5, flag::NEW);
        tell(&mut rows, 1, 5, flag::NEW);
        // One is closed at 0 s, and leaves the table; the other leaves it as it was idle.
        rows.rows[0].state = Some(TcpState::TimeWait);
        rows.next_interval(0);
        let end = |rows: &mut Rows, slot: u32| rows.end(slot, false, None);
        (0..2).for_each(|slot| end(&mut rows, slot));
        let shown = |rows: &Rows| {
            let mut all = Vec::new();
            rows.each(false, |sight| all.push((sight.row.key, sight.gained[0].packets)));
            all
        };
        assert_eq!(shown(&rows).len(), 2, "in the interval in which they end");
        for (now, expected) in [(10, 1), (30, 1), (31, 0)] {
            rows.next_interval(now);
            assert_eq!(shown(&rows), vec![(key(0), 0); expected], "{now} tenths later");
        }
    }

    #[test]
    fn a_flow_that_ends_after_long_silence_leaves_the_next_its_average() {
        let (mut rows, mut calendar) = (Rows::new(8, true), Calendar::default());
        let mut interval = |rows: &mut Rows| {
            rows.keep_averages(&calendar);
            calendar.advance(1_000_000_000);
            let mut averages = Vec::new();
            rows.each_touched(false, |sight| {
                let short = sight.averages(&calendar).and_then(|known| known.windows[0]);
                averages.push((sight.row.live, short.map_or(0, |rates| rates[0])));
            });
            rows.next_interval(0);
            averages
        };
        tell(&mut rows, 0, 5, flag::NEW);
        assert_eq!(interval(&mut rows), [(true, 4000)]);
        (0..180).for_each(|_| assert_eq!(interval(&mut rows), []));
        // Its slot and the memory of its average are another flow's at once.
        tell(&mut rows, 0, 5, flag::END);
        tell(&mut rows, 0, 20, flag::NEW);
        assert_eq!(interval(&mut rows), [(true, 8000), (false, 0)]);
        tell(&mut rows, 0, 40, 0);
        assert_eq!(interval(&mut rows), [(true, 16_000)]);
    }
}
