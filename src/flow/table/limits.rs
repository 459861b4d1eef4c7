//! Who leaves a table: by silence, or because there is no room.
//!
//! Each step is bounded. What is looked at and stays is put where it belongs, so
//! that it is not looked at again.

use super::{EVICTION_LOOKS, FlowTable, SECOND};
use crate::flow::class::{class_of, reason_of};
use crate::flow::entry::{Entry, mark, shake};
use crate::flow::idle::Class;
use crate::flow::record::{EndReason, Sink};

impl FlowTable {
    /// One more is about to be half-open: they have a quarter of the table.
    pub(super) fn make_half_open_room<S: Sink>(&mut self, now_ns: u64, sink: &mut S) {
        if self.idle.count(Class::HalfOpen) >= self.config.flows_max / 4 {
            self.evict(Class::HalfOpen, now_ns, sink);
        }
    }

    /// A connection is picked up while half-open ones are being pushed out: it may
    /// have been one of them (tcp: an ACK for what was forgotten).
    pub(super) fn mark_evicted_possible(&self, entry: &mut Entry) {
        if entry.marks & mark::MIDSTREAM != 0 && self.idle.count(Class::HalfOpen) >= self.config.flows_max / 4
        {
            entry.handshake[0] |= shake::EVICTED_POSSIBLE;
        }
    }

    /// Pushes out the longest idle flow of a class; false if there is none.
    pub(super) fn evict<S: Sink>(&mut self, class: Class, now_ns: u64, sink: &mut S) -> bool {
        for _ in 0..EVICTION_LOOKS {
            if self.idle.count(class) == 0 {
                return false;
            }
            let Some((slot, second)) = self.idle.oldest(class) else { return false };
            let entry = &self.entries[slot as usize];
            if class_of(entry) == class && entry.last / SECOND <= second {
                self.push_out(slot, class, now_ns, sink);
                return true;
            }
            self.idle.relink(slot, class_of(entry), entry.last);
        }
        false
    }

    /// Pushes out the flow that has been idle for longest.
    pub(super) fn evict_any<S: Sink>(&mut self, now_ns: u64, sink: &mut S) -> bool {
        for look in 0..EVICTION_LOOKS {
            let oldest = Class::ALL.into_iter().filter_map(|class| self.idle.oldest(class));
            let Some((slot, second)) = oldest.min_by_key(|&(_, second)| second) else { return false };
            let entry = &self.entries[slot as usize];
            if entry.last / SECOND <= second || look + 1 == EVICTION_LOOKS {
                self.push_out(slot, class_of(entry), now_ns, sink);
                return true;
            }
            self.idle.relink(slot, class_of(entry), entry.last);
        }
        false
    }

    pub(super) fn push_out<S: Sink>(&mut self, slot: u32, class: Class, now_ns: u64, sink: &mut S) {
        if class == Class::Tombstone {
            // It had ended by itself; only its late packets find no entry now.
            let reason = reason_of(&self.entries[slot as usize]);
            self.end(slot, reason, now_ns, sink);
        } else {
            self.stats.evicted += 1;
            self.end(slot, EndReason::Evicted, now_ns, sink);
        }
    }

    /// From here on nothing ends by its idle limit but when its next packet
    /// comes: for a file whose time stepped back.
    pub fn stop_sweeping(&mut self) {
        self.sweeping = false;
    }

    /// Ends flows whose silence has lasted longer than their limit at `now_ns`,
    /// looking at `entries_most` at most. True when none is left.
    pub fn sweep<S: Sink>(&mut self, now_ns: u64, entries_most: usize, sink: &mut S) -> bool {
        if !self.sweeping {
            return true;
        }
        let mut looks = entries_most;
        for class in Class::ALL {
            while let Some(slot) = self.idle.due(class, now_ns) {
                if looks == 0 || sink.buffer().is_none() {
                    return false;
                }
                looks -= 1;
                let entry = &self.entries[slot as usize];
                if self.idle.is_due(class_of(entry), entry.last, now_ns) {
                    let reason = reason_of(entry);
                    self.end(slot, reason, now_ns, sink);
                } else {
                    self.idle.relink(slot, class_of(entry), entry.last);
                }
            }
        }
        true
    }
}
