//! The flow table of one worker: index beside slab, batches with prefetch.
//!
//! A batch goes through in three passes, so that memory is asked for before it
//! is needed: hash every key and prefetch its index bucket; look each up by tag
//! and prefetch the entry's two hot lines; then count in order. The third pass
//! compares keys, so a candidate that an earlier packet of the batch made stale
//! is found out.
//!
//! Cuts. A flow that is touched for the first time since a cut goes onto the
//! current touched list. At a boundary the lists change roles, and the flows of
//! the old one are written out in slices; a packet that comes for one of them
//! before its turn writes it out first (copy before write), so a record never
//! has anything that came after its boundary, and no slice is large.
//!
//! Limits. `flows_max` entries; half-open ones at most a quarter of that (their
//! arena: a quota of the same slab, as an entry that becomes established then
//! moves nowhere). When full: ended flows go first, then half-open ones, then
//! the longest idle, to a second.
//!
//! Invariants: index, idle lists and slab name the same slots; a packet is in
//! exactly one entry or one `untracked` counter, and always in the totals.

mod decided;
mod limits;
mod noted;

use super::beside::Beside;
use super::class::{active_due, class_of, reason_of};
use super::detail::Details;
use super::entry::{Entry, NO_LANE, NONE, mark, state};
use super::exchange;
use super::history::{self, History};
use super::idle::{Class, IdleLists};
use super::index::Index;
use super::key::FlowKey;
use super::listen::Listeners;
use super::prefetch;
use super::record::{Account, EndReason, Record, Sink, flag};
use super::segment::{estimate, tells_of_segments};
use super::tcp::{self, Fate, TcpState};
use super::track::{self, Events, Track};
use crate::capture::sys::memory::{LargeVec, Reading};
use crate::decode::pairs::{LinkPairs, UNKNOWN};
use crate::decode::{Kind, Packet, protocol};
use crate::meter::journal::{Journal, NOTES};
use crate::meter::loss::Reason;
use crate::meter::totals::{Count, LaneTotals, Totals};
use decided::tcp_account;
use std::sync::Arc;

/// Packets that go through together.
pub const BATCH: usize = 32;

/// A table has room for so many flows at least.
pub const FLOWS_LEAST: usize = 16;

const SECOND: u64 = 1_000_000_000;
/// Entries looked at for one eviction: what is looked at and stays is put where
/// it belongs, so that it is not looked at again.
const EVICTION_LOOKS: usize = 4096;

/// Limits and switches, fixed at start.
#[derive(Clone, Copy, Debug)]
pub struct TableConfig {
    /// Most flows at once, at least [`FLOWS_LEAST`].
    pub flows_max: usize,
    /// Limit of an unanswered handshake, ns (`--timeout`).
    pub handshake_timeout_ns: u64,
    /// Records of ended flows carry accounts (`--connections`).
    pub accounts: bool,
    /// Accounts of long flows in between, every so many ns; 0 for none.
    pub active_timeout_ns: u64,
    /// Key of the index hash.
    pub seed: [u64; 2],
}

impl TableConfig {
    fn reports_active(&self) -> bool {
        self.accounts && self.active_timeout_ns > 0
    }
}

/// What happened to the table since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// Flows now in the table, ended ones that linger included.
    pub entries: u64,
    /// Of them, not ended.
    pub active: u64,
    /// Of them, handshake not proven.
    pub half_open: u64,
    /// Flows begun.
    pub opened: u64,
    /// Flows that ended, pushed out ones included: opened − active.
    pub closed: u64,
    /// Of those, pushed out by the limit.
    pub evicted: u64,
    /// Ended flows whose record found no room, and what they had counted.
    pub unreported: u64,
    /// Their packets and bytes.
    pub unreported_count: Count,
    /// Attempts and exchanges that found no room on their way to the aggregator.
    pub events_lost: u64,
}

/// See the module's description.
pub struct FlowTable {
    config: TableConfig,
    /// Shortest idle limit: below it nothing has to be looked up.
    limit_least: u64,
    index: Index,
    entries: LargeVec<Entry>,
    beside: LargeVec<Beside>,
    /// Of every slot, or empty: nobody asks for accounts.
    histories: LargeVec<History>,
    keeps_histories: bool,
    details: Details,
    idle: IdleLists,
    free: Vec<u32>,
    /// Slots touched since the last cut, and those that still have to be written for it.
    touched: [LargeVec<u32>; 2],
    current: usize,
    written: usize,
    /// Boundary of the last cut.
    boundary_ns: u64,
    /// Raised where the capture lost something: an attempt that was open then is no failure.
    loss_epoch: u32,
    /// Who listens on this machine, for connections that are met in their middle.
    listeners: Arc<Listeners>,
    /// Active time-outs that each slot's flow has been reported for; empty where none are asked for.
    reported: Vec<u64>,
    /// Every record of the cut under way has its values of the boundary.
    cut_whole: bool,
    /// A cut has begun and is not written.
    cutting: bool,
    sweeping: bool,
    stats: TableStats,
    /// Link-layer addresses of what bonds send, and whether some flow's are known.
    pairs: LinkPairs,
    pairs_known: bool,
    journal: Journal,
}

impl FlowTable {
    /// Takes its address space at once; memory comes as flows come.
    pub fn new(config: TableConfig) -> FlowTable {
        let flows_max = config.flows_max.clamp(FLOWS_LEAST, 1 << 30);
        let limits = [
            10 * SECOND,
            config.handshake_timeout_ns,
            7440 * SECOND,
            240 * SECOND,
            180 * SECOND,
            60 * SECOND,
        ];
        let config = TableConfig { flows_max, ..config };
        FlowTable {
            limit_least: limits.into_iter().min().unwrap_or(0),
            index: Index::new(flows_max),
            entries: LargeVec::new(flows_max, Reading::AtRandom),
            beside: LargeVec::new(flows_max, Reading::AtRandom),
            histories: LargeVec::new(flows_max, Reading::AtRandom),
            keeps_histories: config.accounts,
            // Thirteen chunks for sixteen flows.
            details: Details::new(flows_max / 16 * 13 + 64),
            idle: IdleLists::new(limits, flows_max),
            free: Vec::new(),
            touched: [0, 1].map(|_| LargeVec::new(flows_max, Reading::InOrder)),
            current: 0,
            written: 0,
            boundary_ns: 0,
            loss_epoch: 0,
            listeners: Arc::default(),
            reported: Vec::with_capacity(if config.reports_active() { flows_max } else { 0 }),
            cut_whole: true,
            cutting: false,
            sweeping: true,
            stats: TableStats::default(),
            pairs: LinkPairs::default(),
            pairs_known: false,
            journal: Journal::new(NOTES),
            config,
        }
    }

    /// Figures of the table.
    pub fn stats(&self) -> TableStats {
        let tombstones = self.idle.count(Class::Tombstone) as u64;
        let entries = (self.entries.len() - self.free.len()) as u64;
        TableStats {
            entries,
            active: entries - tombstones,
            half_open: self.idle.count(Class::HalfOpen) as u64,
            // What has ended is closed, though it lingers for late packets.
            closed: self.stats.closed + tombstones,
            ..self.stats
        }
    }

    /// The capture has lost something: what is open now may not be whole.
    pub fn note_loss(&mut self) {
        self.loss_epoch = self.loss_epoch.wrapping_add(1);
    }

    /// Who listens on this machine, from now on: no role that was told changes.
    pub fn set_listeners(&mut self, listeners: Arc<Listeners>) {
        self.listeners = listeners;
    }

    /// When connections came to their states is kept, though their ends have no
    /// account: somebody may ask how one stands. Before the first packet.
    pub fn keep_histories(&mut self) {
        self.keeps_histories |= self.entries.is_empty();
    }

    /// Numbers of link-layer addresses, shared by all tables of a run.
    pub fn set_pairs(&mut self, pairs: LinkPairs) {
        self.pairs = pairs;
    }

    /// Counts a batch of at most [`BATCH`] packets, in order.
    #[inline]
    pub fn process<S: Sink>(&mut self, packets: &mut [Packet], totals: &mut Totals, sink: &mut S) {
        let mut tags = [0u32; BATCH];
        let mut candidates = [NONE; BATCH];
        for (tag, packet) in tags.iter_mut().zip(packets.iter()) {
            *tag = (packet.key.hash(self.config.seed) >> 32) as u32;
            self.index.prefetch(*tag);
        }
        for ((candidate, &tag), packet) in candidates.iter_mut().zip(&tags).zip(packets.iter()) {
            if matches!(packet.kind, Kind::Untracked(_)) {
                continue;
            }
            if let Some(slot) = self.index.candidate(tag) {
                *candidate = slot;
                let entry = &self.entries[slot as usize];
                prefetch::line(&entry.key);
                prefetch::line(&entry.last);
            }
        }
        for ((packet, &tag), &candidate) in packets.iter_mut().zip(&tags).zip(&candidates) {
            let place = match packet.kind {
                Kind::Untracked(reason) => Err(reason),
                Kind::Quote => {
                    self.tell_quoted(packet, tag, sink);
                    continue;
                }
                _ => self.place(packet, tag, candidate, sink),
            };
            let ms = totals.turn_to(packet.time_ns);
            let reason = match place {
                Ok(slot) => match self.count(packet, slot, &mut totals.lanes, sink) {
                    Ok(()) => {
                        totals.count(packet);
                        self.note(packet, slot, ms, totals);
                        continue;
                    }
                    Err(reason) => reason,
                },
                Err(reason) => reason,
            };
            self.count_untracked(packet, reason, ms, totals);
        }
    }

    /// The slot of the packet's flow, a new one where it begins one.
    #[inline]
    fn place<S: Sink>(
        &mut self,
        packet: &Packet,
        tag: u32,
        candidate: u32,
        sink: &mut S,
    ) -> Result<u32, Reason> {
        let known = match self.entries.get(candidate as usize) {
            Some(entry) if entry.key == packet.key => Some(candidate),
            _ => self.index.find(tag, |slot| self.entries[slot as usize].key == packet.key),
        };
        let Some(slot) = known else { return self.open(packet, tag, sink) };
        let entry = &self.entries[slot as usize];
        if packet.time_ns >= entry.last.saturating_add(self.limit_least)
            && packet.time_ns - entry.last >= self.idle.limit_ns(class_of(entry))
        {
            let reason = reason_of(entry);
            self.end(slot, reason, packet.time_ns, sink);
            return self.open(packet, tag, sink);
        }
        if packet.kind == Kind::Tcp && tcp::fate(entry, packet) == Fate::Reused {
            // An attempt that was answered by a RST had ended by that.
            let answered = tcp::state_of(entry) == TcpState::Reset && !entry.has(state::PROVEN);
            let reason = if answered { reason_of(entry) } else { EndReason::Reused };
            self.end(slot, reason, packet.time_ns, sink);
            return self.open(packet, tag, sink);
        }
        Ok(slot)
    }

    /// Counts a packet in its flow.
    #[inline]
    fn count<S: Sink>(
        &mut self,
        packet: &mut Packet,
        slot: u32,
        lanes: &mut [LaneTotals],
        sink: &mut S,
    ) -> Result<(), Reason> {
        let at = slot as usize;
        let side = packet.reversed as usize;
        let touch = self.entries[at].state >> state::TOUCH_SHIFT;
        if touch != self.current as u32 + 1 {
            self.touch(slot, touch, sink);
        }
        let entry = &mut self.entries[at];
        if packet.maybe_super && packet.kind == Kind::Tcp && tells_of_segments(entry, packet) {
            estimate(&mut self.beside[at], packet, side);
        }
        if packet.segments > 1 {
            let surplus = (packet.bytes - packet.frame_bytes) as u64;
            let more = packet.segments as u64 - 1;
            self.details.count_surplus(entry, side, more, surplus).map_err(|_| Reason::NoDetail)?;
        }
        if entry.lanes[side] != packet.lane.0 || entry.marks & mark::LANES[side] != 0 {
            if entry.lanes[side] == NO_LANE {
                entry.lanes[side] = packet.lane.0;
                if packet.has_head {
                    self.beside[at].pairs[side] = self.pairs.number(&packet.head);
                    self.pairs_known = true;
                }
            } else if self
                .details
                .count_lane(entry, side, packet.lane, packet.segments as u64, packet.bytes as u64)
                .is_err()
            {
                let (more, surplus) = (packet.segments as u64 - 1, packet.bytes - packet.frame_bytes);
                self.details.take_back_surplus(entry, side, more, surplus as u64);
                return Err(Reason::NoDetail);
            }
        }
        let sent = &mut entry.sent[side];
        sent.bytes += packet.bytes as u64;
        let (packets, over) = sent.packets.overflowing_add(packet.segments);
        sent.packets = packets;
        if over {
            entry.warm.packets_carry[side] = entry.warm.packets_carry[side].wrapping_add(1);
        }
        let before_ns = std::mem::replace(&mut entry.last, packet.time_ns);
        if packet.fragment {
            entry.marks |= mark::FRAGMENTED;
        }
        if packet.kind != Kind::Tcp {
            if packet.kind != Kind::TcpInert {
                entry.add_payload(side, packet.payload);
            } else {
                track::count_flags(&mut self.beside[at], packet.tcp_flags, side);
            }
            return Ok(());
        }
        let (details, beside) = (&mut self.details, &mut self.beside[at]);
        let mut track = Track { entry, details, beside, lanes, slot, loss_epoch: self.loss_epoch };
        let mut exchange = None;
        if track::advance_plainly(&mut track, packet, before_ns, &mut exchange) {
            if exchange.is_some() {
                self.hand_over(slot, &Events { exchange, session: None }, sink);
            }
        } else {
            self.count_rarely(packet, slot, lanes, before_ns, sink);
        }
        Ok(())
    }

    /// A segment that may change the connection's state.
    #[cold]
    #[inline(never)]
    fn count_rarely<S: Sink>(
        &mut self,
        packet: &Packet,
        slot: u32,
        lanes: &mut [LaneTotals],
        before_ns: u64,
        sink: &mut S,
    ) {
        let entry = &mut self.entries[slot as usize];
        let (details, beside) = (&mut self.details, &mut self.beside[slot as usize]);
        let before = entry.state;
        let mut events = Events::default();
        let mut track = Track { entry, details, beside, lanes, slot, loss_epoch: self.loss_epoch };
        track::advance_rarely(&mut track, packet, before_ns, &mut events);
        let now = self.entries[slot as usize].state;
        if (now ^ before) & history::BITS != 0 {
            self.note_state(slot, (before, now), packet.time_ns, sink);
        }
        if events.session.is_some() || events.exchange.is_some() {
            self.hand_over(slot, &events, sink);
        }
    }

    /// First packet of a flow since the last cut.
    #[cold]
    #[inline(never)]
    fn touch<S: Sink>(&mut self, slot: u32, touch: u32, sink: &mut S) {
        if touch != 0 {
            // Touched before the boundary and not yet written for it.
            self.cut_whole &= self.write(slot, None, sink);
        }
        // A slot stands in it once, so there is a place.
        self.touched[self.current].push(slot);
        let entry = &mut self.entries[slot as usize];
        entry.state = entry.state & !state::TOUCH_MASK | (self.current as u32 + 1) << state::TOUCH_SHIFT;
    }

    /// A new entry for the packet's flow.
    #[cold]
    #[inline(never)]
    fn open<S: Sink>(&mut self, packet: &Packet, tag: u32, sink: &mut S) -> Result<u32, Reason> {
        let is_tcp = packet.key.protocol() == protocol::TCP;
        if is_tcp && (packet.kind == Kind::TcpInert || tcp::is_stray(packet)) {
            return Err(Reason::Stray);
        }
        let mut entry = Entry::new(packet.key, packet.time_ns);
        if packet.kind == Kind::Tcp {
            tcp::begin(&mut entry, packet, self.loss_epoch, &self.listeners);
            self.mark_evicted_possible(&mut entry);
        } else {
            tcp::guess_roles(&mut entry, packet.reversed as usize);
        }
        let class = class_of(&entry);
        if class == Class::HalfOpen {
            self.make_half_open_room(packet.time_ns, sink);
        }
        if self.entries.len() - self.free.len() >= self.config.flows_max {
            // Half-open ones that were not come upon are nearer by so many looks
            // for the next packet: no connection goes in their place.
            let made_room = self.evict(Class::Tombstone, packet.time_ns, sink)
                || self.evict(Class::HalfOpen, packet.time_ns, sink)
                || self.idle.count(Class::HalfOpen) == 0 && self.evict_any(packet.time_ns, sink);
            if !made_room {
                return Err(Reason::TableFull);
            }
        }
        let slot = self.give_slot(entry);
        if self.config.reports_active() {
            self.reported.resize(self.entries.len(), 0);
            self.reported[slot as usize] = 0;
        }
        if !self.index.insert(tag, slot) {
            self.entries[slot as usize].marks = mark::FREE;
            self.entries[slot as usize].key = FlowKey::NONE;
            self.free.push(slot);
            return Err(Reason::TableFull);
        }
        self.idle.put(slot, class, packet.time_ns);
        self.stats.opened += 1;
        Ok(slot)
    }

    /// Writes where a flow stands; it is clean then. Without room in the sink a
    /// flow that goes on stays touched, one that ends is counted as unreported.
    fn write<S: Sink>(&mut self, slot: u32, end: Option<EndReason>, sink: &mut S) -> bool {
        let entry = &mut self.entries[slot as usize];
        let Some(buffer) = sink.buffer() else {
            if end.is_some() {
                self.stats.unreported += 1;
                self.stats.unreported_count.add(Count {
                    packets: entry.packets(0) + entry.packets(1),
                    bytes: entry.sent[0].bytes + entry.sent[1].bytes,
                });
            }
            return false;
        };
        // Read together and before any store: a load that a narrower store still
        // stands before waits until all stores, into fresh buffers too, are done.
        let (marks, lanes) = (entry.marks, entry.lanes);
        let mut flags = 0;
        if marks & mark::KNOWN == 0 {
            flags |= flag::NEW;
            buffer.keys.push((entry.key, entry.start));
            entry.marks = marks | mark::KNOWN;
        }
        if entry.client() == 1 {
            flags |= flag::CLIENT_SECOND;
        }
        let account = if !self.config.accounts {
            None
        } else {
            let age_ns = self.boundary_ns.saturating_sub(entry.start);
            let ended = class_of(entry) == Class::Tombstone;
            let reported = self.reported.get_mut(slot as usize).filter(|_| !ended);
            end.or_else(|| active_due(age_ns, self.config.active_timeout_ns, reported?))
        };
        let mut lane_count = 0;
        if marks & (mark::LANES[0] | mark::LANES[1]) != 0 {
            flags |= flag::LANES;
            let before = buffer.lanes.len();
            self.details.lanes(entry, |lane| buffer.lanes.push(lane));
            lane_count = (buffer.lanes.len() - before) as u16;
        }
        let is_tcp = entry.key.protocol() == protocol::TCP;
        if let Some(reason) = account {
            flags |= flag::ACCOUNT;
            let surplus = self.details.surplus(entry);
            let (beside, history) = (&self.beside[slot as usize], self.histories.get(slot as usize));
            let tcp = tcp_account(entry, beside, history, &self.details);
            // Lane counts are put into it by the receiver: an empty Vec allocates nothing.
            buffer.accounts.push(Account { entry: *entry, surplus, tcp, reason, lanes: Vec::new() });
        }
        flags |= if end.is_some() { flag::END } else { 0 };
        if let Some(reason) = end.filter(|_| is_tcp) {
            flags |= flag::ENDED;
            buffer.ended.push(exchange::ended(entry, &self.details, reason));
        }
        buffer.records.push(Record {
            slot,
            flags,
            state: is_tcp.then(|| tcp::state_of(entry)),
            marks,
            lanes,
            lane_count,
            packets: [entry.packets(0), entry.packets(1)],
            bytes: [entry.sent[0].bytes, entry.sent[1].bytes],
            last_ns: entry.last,
            pairs: if self.pairs_known { self.beside[slot as usize].pairs } else { [UNKNOWN; 2] },
        });
        if end.is_none() {
            entry.state &= !state::TOUCH_MASK;
        }
        true
    }

    /// Time has come to `boundary_ns`: what was touched until now belongs to
    /// this cut, and [`FlowTable::write_cut`] writes it. False, and nothing
    /// changes, while an earlier cut is not written.
    pub fn begin_cut(&mut self, boundary_ns: u64) -> bool {
        if self.written < self.touched[1 - self.current].len() {
            return false;
        }
        self.touched[1 - self.current].clear();
        self.current = 1 - self.current;
        self.written = 0;
        self.cut_whole = true;
        self.cutting = true;
        self.boundary_ns = boundary_ns;
        true
    }

    /// Whether every record so far is as of the cut's boundary: false where the
    /// sink had no room just when a flow's next packet came, and where a flow
    /// had a packet and ended before the cut was written.
    pub fn cut_is_whole(&self) -> bool {
        self.cut_whole
    }

    /// Writes at most `entries_most` flows of the cut; true when it is written.
    pub fn write_cut<S: Sink>(&mut self, entries_most: usize, sink: &mut S) -> bool {
        let list = 1 - self.current;
        let touched = list as u32 + 1;
        let until = self.touched[list].len().min(self.written.saturating_add(entries_most));
        while self.written < until {
            let slot = self.touched[list][self.written];
            if let Some(&ahead) = self.touched[list].get(self.written + 16) {
                prefetch::line(&self.entries[ahead as usize].key);
                prefetch::line(&self.entries[ahead as usize].last);
                prefetch::line(&self.entries[ahead as usize].warm);
            }
            let entry = &mut self.entries[slot as usize];
            // Written already if a packet came for it, or if it ended.
            if entry.state >> state::TOUCH_SHIFT == touched {
                if entry.marks & mark::FREE != 0 {
                    entry.state &= !state::TOUCH_MASK;
                } else if !self.write(slot, None, sink) {
                    break;
                }
            }
            self.written += 1;
        }
        let all = self.written == self.touched[list].len();
        self.cutting &= !all;
        all
    }

    /// Every flow in the table, for tests and sums.
    pub fn for_each(&self, mut each: impl FnMut(&Entry, Vec<super::detail::LaneCount>)) {
        for entry in self.entries.iter().filter(|entry| entry.marks & mark::FREE == 0) {
            let mut lanes = Vec::new();
            self.details.lanes(entry, |lane| lanes.push(lane));
            each(entry, lanes);
        }
    }
}
