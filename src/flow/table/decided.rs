//! What is decided about a flow besides its counters: attempts, exchanges, its end.
//! It travels beside the records; where there is no room it is counted.

use super::FlowTable;
use crate::decode::{Packet, protocol};
use crate::flow::beside::Beside;
use crate::flow::class::{class_of, class_of_tcp, reason_of};
use crate::flow::detail::Details;
use crate::flow::entry::{Entry, mark, state};
use crate::flow::history::History;
use crate::flow::idle::Class;
use crate::flow::key::FlowKey;
use crate::flow::record::{Account, EndReason, FlowExchange, Sink, TcpAccount};
use crate::flow::track::Events;
use crate::flow::{exchange, handshake, sequence};

impl FlowTable {
    /// An ICMP error quotes a segment: an attempt to connect may have failed.
    #[cold]
    #[inline(never)]
    pub(super) fn tell_quoted<S: Sink>(&mut self, quote: &Packet, tag: u32, sink: &mut S) {
        let Some(slot) = self.index.find(tag, |slot| self.entries[slot as usize].key == quote.key) else {
            return;
        };
        let (entry, beside) = (&mut self.entries[slot as usize], &self.beside[slot as usize]);
        // Its time was over, whenever the sweep comes by.
        if quote.time_ns >= entry.last.saturating_add(self.idle.limit_ns(class_of(entry))) {
            return;
        }
        let icmp = [quote.tcp_flags, quote.tcp_option_bytes];
        let at = (icmp, quote.time_ns);
        let session =
            handshake::unreachable(entry, beside, slot, quote.reversed as usize, quote.sequence, at);
        self.hand_over(slot, &Events { session, exchange: None }, sink);
    }

    /// A segment made the state's bits others: since when it is so, and the idle limit.
    #[cold]
    #[inline(never)]
    pub(super) fn note_state<S: Sink>(
        &mut self,
        slot: u32,
        (before, now): (u32, u32),
        now_ns: u64,
        sink: &mut S,
    ) {
        let at = slot as usize;
        if let Some(history) = self.histories.get_mut(at) {
            history.note(&self.entries[at], &self.beside[at], before, now_ns);
        }
        let (from, to) = (class_of_tcp(before), class_of_tcp(now));
        if from != to {
            if to == Class::HalfOpen {
                // An attempt's RST was taken back.
                self.make_half_open_room(now_ns, sink);
            }
            self.idle.reclass(slot, from, to, now_ns);
        }
    }

    /// What was decided goes to the aggregator; where there is no room it is counted.
    #[cold]
    #[inline(never)]
    pub(super) fn hand_over<S: Sink>(&mut self, slot: u32, events: &Events, sink: &mut S) {
        let entry = &self.entries[slot as usize];
        if let Some(session) = &events.session {
            if let Some(history) = self.histories.get_mut(slot as usize) {
                history.decide(entry, session.end_ns);
            }
        } else if events.exchange.is_none() {
            return;
        }
        let Some(buffer) = sink.buffer() else {
            self.stats.events_lost += events.session.is_some() as u64 + events.exchange.is_some() as u64;
            return;
        };
        buffer.sessions.extend(events.session);
        buffer.exchanges.extend(events.exchange.map(|exchange| FlowExchange {
            key: entry.key,
            client_second: entry.client() == 1,
            lanes: entry.lanes,
            midstream: !handshake::is_attempt(entry),
            exchange,
        }));
    }

    /// A slot for a flow that begins; the caller has seen that there is room.
    pub(super) fn give_slot(&mut self, mut entry: Entry) -> u32 {
        let Some(slot) = self.free.pop() else {
            self.entries.push(entry);
            self.beside.push(Beside::default());
            if self.keeps_histories {
                self.histories.push(History::default());
            }
            return self.entries.len() as u32 - 1;
        };
        // The slot may stand in the current list already.
        let touched = self.entries[slot as usize].state & state::TOUCH_MASK;
        if touched >> state::TOUCH_SHIFT == self.current as u32 + 1 {
            entry.state |= touched;
        }
        self.entries[slot as usize] = entry;
        self.beside[slot as usize] = Beside::default();
        if let Some(history) = self.histories.get_mut(slot as usize) {
            *history = History::default();
        }
        slot
    }

    /// Takes a flow out of the table at `now_ns` and hands its last record over.
    pub(super) fn end<S: Sink>(&mut self, slot: u32, reason: EndReason, now_ns: u64, sink: &mut S) {
        self.conclude(slot, reason, now_ns, sink);
        self.write(slot, Some(reason), sink);
        self.keep_name(slot, now_ns);
        let entry = &mut self.entries[slot as usize];
        if entry.state >> state::TOUCH_SHIFT == self.current as u32 + 1 {
            // Its last record has what came after the boundary, and goes before the cut.
            self.cut_whole &= !self.cutting;
        } else {
            entry.state &= !state::TOUCH_MASK;
        }
        let tag = (entry.key.hash(self.config.seed) >> 32) as u32;
        self.index.remove(tag, slot);
        self.idle.take(slot, class_of(entry));
        self.details.release(entry);
        entry.marks = mark::FREE;
        // A later packet of the batch may have this slot for its candidate still.
        entry.key = FlowKey::NONE;
        self.free.push(slot);
        self.stats.closed += 1;
    }

    /// The end of the run, at `now_ns`: hands over the accounts of everything that is left.
    pub fn end_all<S: Sink>(&mut self, now_ns: u64, sink: &mut S) {
        for slot in 0..self.entries.len() as u32 {
            let entry = &self.entries[slot as usize];
            if entry.marks & mark::FREE == 0 {
                let class = class_of(entry);
                // Without a sweep what has ended by its limit may still be here.
                let ended = class == Class::Tombstone || self.idle.is_due(class, entry.last, now_ns);
                let reason = if ended { reason_of(entry) } else { EndReason::Open };
                self.conclude(slot, reason, now_ns, sink);
                self.write(slot, Some(reason), sink);
            }
        }
    }

    /// The account of a flow that is in the table, as it stands; None of any other.
    pub fn account_of(&self, key: &FlowKey) -> Option<Account> {
        let tag = (key.hash(self.config.seed) >> 32) as u32;
        let slot = self.index.find(tag, |slot| self.entries[slot as usize].key == *key)?;
        let at = slot as usize;
        let (entry, beside, history) = (&self.entries[at], &self.beside[at], self.histories.get(at));
        let mut lanes = Vec::new();
        if entry.marks & (mark::LANES[0] | mark::LANES[1]) != 0 {
            self.details.lanes(entry, |lane| lanes.push(lane));
        }
        Some(Account {
            entry: *entry,
            surplus: self.details.surplus(entry),
            tcp: tcp_account(entry, beside, history, &self.details),
            reason: if class_of(entry) == Class::Tombstone { reason_of(entry) } else { EndReason::Open },
            lanes,
        })
    }

    /// What a flow's end decides: its attempt, its last exchange.
    pub(super) fn conclude<S: Sink>(&mut self, slot: u32, reason: EndReason, now_ns: u64, sink: &mut S) {
        let entry = &mut self.entries[slot as usize];
        if entry.key.protocol() != protocol::TCP {
            return;
        }
        let times = (now_ns, self.idle.limit_ns(Class::HalfOpen), self.loss_epoch);
        let session = handshake::end(entry, &self.beside[slot as usize], slot, reason, times);
        let exchange = exchange::end(entry, &mut self.details);
        self.hand_over(slot, &Events { session, exchange }, sink);
    }
}

/// What is kept of a TCP connection beside its entry; nothing of any other flow.
pub(super) fn tcp_account(
    entry: &Entry,
    beside: &Beside,
    history: Option<&History>,
    details: &Details,
) -> TcpAccount {
    if entry.key.protocol() != protocol::TCP {
        return TcpAccount::default();
    }
    TcpAccount {
        streams: [0, 1].map(|side| sequence::stream(entry, details, side)),
        beside: *beside,
        history: history.copied().unwrap_or_default(),
        round_trips: details.round_trips(entry),
        exchanges: details.exchange_times(entry),
    }
}
