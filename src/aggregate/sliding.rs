//! What rows had in the last second, where intervals are tenths of one (`--fast`).
//!
//! Each interval's gains stand in a list for as many intervals as a second has,
//! then they are taken back. Costs by the rows that were touched; rows that were
//! silent for the second are not here.

use crate::meter::totals::Count;
use std::collections::{HashMap, VecDeque};

/// Intervals that are summed.
pub const INTERVALS: usize = 10;

/// See the module's description.
#[derive(Default)]
pub(super) struct Sliding {
    /// By the row's place: since when it is this row's, and what it had.
    sums: HashMap<u32, (u64, [Count; 2])>,
    /// The newest last.
    lists: VecDeque<Vec<(u32, u64, [Count; 2])>>,
    births: u64,
}

impl Sliding {
    /// Another interval begins to count; the oldest no longer does.
    pub fn advance(&mut self) {
        if self.lists.len() == INTERVALS {
            for (place, born, gained) in self.lists.pop_front().unwrap_or_default() {
                let Some((_, sum)) = self.sums.get_mut(&place).filter(|(since, _)| *since == born) else {
                    continue;
                };
                *sum = [0, 1].map(|side| sum[side].since(&gained[side]));
                if sum[0].packets + sum[1].packets == 0 {
                    self.sums.remove(&place);
                }
            }
        }
        self.lists.push_back(Vec::new());
    }

    /// A row gained this in the interval that counts last.
    pub fn add(&mut self, place: u32, gained: [Count; 2]) {
        if gained[0].packets + gained[1].packets == 0 {
            return;
        }
        let births = &mut self.births;
        let (born, sum) = self.sums.entry(place).or_insert_with(|| {
            *births += 1;
            (*births, [Count::default(); 2])
        });
        sum.iter_mut().zip(gained).for_each(|(sum, gained)| sum.add(gained));
        if let Some(list) = self.lists.back_mut() {
            list.push((place, *born, gained));
        }
    }

    /// The place is another row's.
    pub fn forget(&mut self, place: u32) {
        self.sums.remove(&place);
    }

    /// What a row had.
    pub fn of(&self, place: u32) -> [Count; 2] {
        self.sums.get(&place).map_or([Count::default(); 2], |(_, sum)| *sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_ten_intervals() {
        let mut sliding = Sliding::default();
        let gained = |n: u64| [Count { packets: n, bytes: 100 * n }, Count::default()];
        // Of three rows, one silent at times; one place is another row's from interval 25 on.
        let had = |place: u32, at: u64| (at * 7 + u64::from(place)) % (2 + u64::from(place));
        for at in 0..60u64 {
            sliding.advance();
            if at == 25 {
                sliding.forget(1);
            }
            for place in 0..3 {
                sliding.add(place, gained(had(place, at)));
            }
            for place in 0..3 {
                let from = at.saturating_sub(9).max(if place == 1 && at >= 25 { 25 } else { 0 });
                let sum: u64 = (from..=at).map(|at| had(place, at)).sum();
                assert_eq!(sliding.of(place), gained(sum), "{place} in {at}");
            }
        }
        (0..INTERVALS).for_each(|_| sliding.advance());
        assert!(sliding.sums.is_empty(), "what is silent is not kept");
    }
}
