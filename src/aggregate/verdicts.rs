//! Which flows a view's filter shows, remembered by slot.
//!
//! To make a flow's name and match it takes a fifth of a microsecond, so each flow is
//! looked at once for a filter, not in every interval; and where somebody waits for
//! an answer, so many at a time, in the order of slots. What a filter hides, one
//! that narrows it hides too.

use super::snapshot::RowName;
use super::view::Only;
use crate::flow::key::FlowKey;

const UNKNOWN: u8 = 0;
const SHOWN: u8 = 1;
const HIDDEN: u8 = 2;

/// See the module's description.
#[derive(Default)]
pub(super) struct Verdicts {
    /// The filter that they are of.
    only: Option<Only>,
    by_slot: Vec<u8>,
    /// Slots before this one have been looked at, but for those that are others' since.
    reached: usize,
    /// Those.
    anew: Vec<u32>,
}

impl Verdicts {
    /// The filter that is in force from now on.
    pub fn of(&mut self, only: Option<&Only>) {
        if self.are_of(only) || self.only.is_none() && only.is_none() {
            return;
        }
        let narrows = matches!((&self.only, only), (Some(old), Some(new)) if new.narrows(old));
        self.only = only.cloned();
        self.reached = 0;
        self.anew.clear();
        if !narrows {
            self.by_slot.clear();
        }
    }

    /// Whether they are of this filter.
    pub fn are_of(&self, only: Option<&Only>) -> bool {
        matches!((&self.only, only), (Some(one), Some(other)) if one.is(other))
    }

    /// The slot is another flow's.
    #[inline]
    pub fn forget(&mut self, slot: u32) {
        if let Some(verdict) = self.by_slot.get_mut(slot as usize) {
            *verdict = UNKNOWN;
            if (slot as usize) < self.reached {
                self.anew.push(slot);
            }
        }
    }

    /// Looks at so many slots of `slots`; `key`: whose flow is there, if it is shown at
    /// all. Whether every slot has been come past.
    pub fn look(&mut self, slots: usize, most: &mut usize, key: impl Fn(usize) -> Option<FlowKey>) -> bool {
        let Some(only) = &self.only else { return true };
        self.by_slot.resize(slots.max(self.by_slot.len()), UNKNOWN);
        let verdict = |key| if only.fits(&RowName::Connection(key)) { SHOWN } else { HIDDEN };
        for slot in self.anew.drain(..) {
            if let (Some(known), Some(key)) = (self.by_slot.get_mut(slot as usize), key(slot as usize)) {
                *known = verdict(key);
            }
        }
        while self.reached < slots && *most > 0 {
            if let Some(known) = self.by_slot.get_mut(self.reached).filter(|known| **known != HIDDEN)
                && let Some(key) = key(self.reached)
            {
                *most -= 1;
                *known = verdict(key);
            }
            self.reached += 1;
        }
        self.reached >= slots
    }

    /// Whether a flow is shown, where that is known.
    #[inline]
    pub fn get(&self, slot: u32) -> Option<bool> {
        match self.by_slot.get(slot as usize) {
            // Not come past yet: it is left out until it is.
            Some(_) if slot as usize >= self.reached => Some(false),
            Some(&SHOWN) => Some(true),
            Some(&HIDDEN) => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::key::End;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn key(port: u16) -> FlowKey {
        FlowKey::new(End::v4(1, port), End::v4(2, 53), 17, false, 0, 0).0
    }

    #[test]
    fn each_flow_is_looked_at_once_and_so_many_at_a_time() {
        let looked = Arc::new(AtomicU32::new(0));
        let counts = looked.clone();
        let even = Only::new(move |name| {
            counts.fetch_add(1, Ordering::Relaxed);
            matches!(name, RowName::Connection(key) if key.end(0).port % 2 == 0)
        });
        let mut flows: Vec<Option<u16>> = (0..10).map(Some).collect();
        flows[3] = None;
        let mut verdicts = Verdicts::default();
        let look = |verdicts: &mut Verdicts, flows: &[Option<u16>], mut most: usize| {
            verdicts.of(Some(&even));
            verdicts.look(flows.len(), &mut most, |slot| flows[slot].map(key))
        };
        assert!(!look(&mut verdicts, &flows, 4));
        assert_eq!((verdicts.get(2), verdicts.get(1)), (Some(true), Some(false)));
        assert_eq!(verdicts.get(8), Some(false), "not come past");
        assert!(look(&mut verdicts, &flows, 40));
        assert_eq!((verdicts.get(8), looked.load(Ordering::Relaxed)), (Some(true), 9));
        // Others in slots that were free or taken, and one more.
        (flows[3], flows[8]) = (Some(20), Some(21));
        flows.push(Some(22));
        [3, 8, 10].into_iter().for_each(|slot| verdicts.forget(slot));
        assert_eq!(verdicts.get(8), None);
        assert!(look(&mut verdicts, &flows, 40));
        assert_eq!([3, 8, 10].map(|slot| verdicts.get(slot)), [Some(true), Some(false), Some(true)]);
        assert_eq!(looked.load(Ordering::Relaxed), 12);
        // One that narrows it: what was hidden is not looked at, but for others that are there since.
        let ten =
            Only::new(|name| matches!(name, RowName::Connection(key) if key.end(0).port.is_multiple_of(10)));
        let ten = ten.narrowing(&even);
        flows[1] = Some(30);
        verdicts.of(Some(&ten));
        verdicts.forget(1);
        assert!((0..flows.len()).all(|slot| verdicts.get(slot as u32) == Some(false)), "none come past");
        let mut most = 40;
        assert!(verdicts.look(flows.len(), &mut most, |slot| flows[slot].map(key)));
        assert_eq!(
            (verdicts.get(1), verdicts.get(3), verdicts.get(8)),
            (Some(true), Some(true), Some(false))
        );
        assert_eq!(40 - most, 7, "0, 2, 4, 6, and of the others 1, 3, 10");
        // Another filter, and none.
        let other = Only::new(|_| true);
        verdicts.of(Some(&other));
        assert!(!verdicts.are_of(Some(&even)) && verdicts.get(0).is_none());
        verdicts.of(None);
        assert!(look(&mut verdicts, &flows, 1) || looked.load(Ordering::Relaxed) == 13);
    }
}
