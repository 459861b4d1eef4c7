//! How evenly a load is spread over slaves, and how evenly it could be.
//!
//! Bytes by slave in, figures out; where speeds differ, a slave's load is its
//! bytes divided by its speed. Figures are `None` where nothing was sent: an
//! empty link is neither even nor uneven. Knows no policy.
//!
//! Sources: R. Jain, D. Chiu, W. Hawe, DEC-TR-301 (the index); R. L. Graham,
//! "Bounds on Multiprocessing Timing Anomalies", 1969 (longest first: at most
//! 4/3 of the best for equal slaves).

/// How a load is spread.
#[derive(Clone, Debug, PartialEq)]
pub struct Balance {
    /// Part of the bytes of each slave, 0 to 1, together 1.
    pub shares: Vec<f64>,
    /// Load of the busiest slave by the mean; 1 is ideal, the number of slaves the worst.
    pub max_over_mean: f64,
    /// (max − min) ÷ max of the loads: 0 is ideal, 1 where a slave has nothing.
    pub spread: f64,
    /// Jain's index of the loads: 1 is ideal, 1 ÷ slaves where one has all.
    pub jain: f64,
}

impl Balance {
    /// Of the bytes (or packets, or flows) of each slave. `speeds` in any unit,
    /// as many as slaves; where one is missing or 0 all count as equal.
    pub fn of(amounts: &[u64], speeds: Option<&[u64]>) -> Option<Balance> {
        let total: f64 = amounts.iter().map(|amount| *amount as f64).sum();
        if total <= 0.0 {
            return None;
        }
        let loads = loads(amounts, speeds);
        let count = loads.len() as f64;
        let sum: f64 = loads.iter().sum();
        let squares: f64 = loads.iter().map(|load| load * load).sum();
        let max = loads.iter().copied().fold(0.0, f64::max);
        let min = loads.iter().copied().fold(f64::INFINITY, f64::min);
        Some(Balance {
            shares: amounts.iter().map(|amount| *amount as f64 / total).collect(),
            max_over_mean: (max * count / sum).clamp(1.0, count),
            spread: (max - min) / max,
            jain: (sum * sum / (count * squares)).clamp(1.0 / count, 1.0),
        })
    }
}

/// Whether loads are computed by speed.
fn usable_speeds(speeds: Option<&[u64]>, count: usize) -> Option<&[u64]> {
    speeds.filter(|speeds| speeds.len() == count && speeds.iter().all(|speed| *speed > 0))
}

fn loads(amounts: &[u64], speeds: Option<&[u64]>) -> Vec<f64> {
    match usable_speeds(speeds, amounts.len()) {
        Some(speeds) => {
            amounts.iter().zip(speeds).map(|(amount, speed)| *amount as f64 / *speed as f64).collect()
        }
        None => amounts.iter().map(|amount| *amount as f64).collect(),
    }
}

/// What flows allow.
#[derive(Clone, Debug, PartialEq)]
pub struct Possible {
    /// Part of all bytes that the largest flow has: no hash can split it.
    pub largest_flow_share: f64,
    /// Bytes by slave with each flow on one slave, the largest placed first.
    pub bytes: Vec<u64>,
    /// How even that is.
    pub balance: Balance,
}

impl Possible {
    /// Part of the bytes of the slave that has most.
    pub fn max_share(&self) -> f64 {
        self.balance.shares.iter().copied().fold(0.0, f64::max)
    }
}

/// The best split of flows over `count` slaves that placing the largest first
/// finds: each flow goes where it would be done soonest. `flows` are bytes of
/// each, in any order; they come back sorted. `None` without slaves or bytes.
///
/// Takes O(n log n) for n flows: for reports, not for each packet.
pub fn best_possible(flows: &mut [u64], count: usize, speeds: Option<&[u64]>) -> Option<Possible> {
    if count == 0 {
        return None;
    }
    flows.sort_unstable_by_key(|bytes| std::cmp::Reverse(*bytes));
    let speeds = usable_speeds(speeds, count);
    let mut placed = vec![0_u64; count];
    for bytes in flows.iter().take_while(|bytes| **bytes > 0) {
        let done = |slave: usize, before: u64| {
            let speed = speeds.and_then(|speeds| speeds.get(slave)).copied().unwrap_or(1);
            // Products of bytes and speeds would not fit; ties go to the first.
            before.saturating_add(*bytes) as f64 / speed as f64
        };
        let soonest = placed
            .iter()
            .enumerate()
            .min_by(|(a, before_a), (b, before_b)| done(*a, **before_a).total_cmp(&done(*b, **before_b)))
            .map(|(slave, _)| slave)?;
        let slave = placed.get_mut(soonest)?;
        *slave = slave.saturating_add(*bytes);
    }
    let balance = Balance::of(&placed, speeds)?;
    let total: f64 = placed.iter().map(|bytes| *bytes as f64).sum();
    let largest_flow_share = flows.first().map_or(0.0, |largest| *largest as f64 / total);
    Some(Possible { largest_flow_share, bytes: placed, balance })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn figures_by_hand() {
        let balance = Balance::of(&[71, 29], None).expect("bytes");
        assert_eq!(balance.shares, [0.71, 0.29]);
        assert!(close(balance.max_over_mean, 1.42) && close(balance.spread, 42.0 / 71.0));
        assert!(close(balance.jain, 100.0 * 100.0 / (2.0 * (71.0 * 71.0 + 29.0 * 29.0))));
        let all = Balance::of(&[5, 0, 0, 0], None).expect("bytes");
        assert_eq!((all.max_over_mean, all.spread, all.jain), (4.0, 1.0, 0.25));
        let even = Balance::of(&[7, 7, 7], None).expect("bytes");
        assert_eq!((even.max_over_mean, even.spread, even.jain), (1.0, 0.0, 1.0));
        assert_eq!(Balance::of(&[0, 0], None), None);
        assert_eq!(Balance::of(&[], None), None);
    }

    #[test]
    fn speeds_make_unequal_bytes_even() {
        let by_speed = Balance::of(&[100, 1000], Some(&[1, 10])).expect("bytes");
        assert_eq!((by_speed.max_over_mean, by_speed.jain), (1.0, 1.0));
        assert!(close(by_speed.shares[0], 1.0 / 11.0));
        let unknown = Balance::of(&[100, 1000], None);
        assert_eq!(Balance::of(&[100, 1000], Some(&[1, 0])), unknown);
        assert_eq!(Balance::of(&[100, 1000], Some(&[1])), unknown);
    }

    #[test]
    fn longest_first() {
        // Graham's example of a case where longest first is not the best (9, 9, 9 would be).
        let mut flows = [3, 5, 5, 3, 4, 4, 3];
        let possible = best_possible(&mut flows, 3, None).expect("bytes");
        assert_eq!(possible.bytes, [11, 8, 8]);
        assert!(close(possible.largest_flow_share, 5.0 / 27.0) && close(possible.max_share(), 11.0 / 27.0));
        assert_eq!(flows, [5, 5, 4, 4, 3, 3, 3]);
        // One flow fills one slave, whatever is done.
        assert!(close(best_possible(&mut [90, 5, 5], 2, None).expect("bytes").max_share(), 0.9));
        let by_speed = best_possible(&mut [10; 11], 2, Some(&[1, 10])).expect("bytes");
        assert_eq!(by_speed.bytes, [10, 100]);
        assert_eq!(best_possible(&mut [1], 0, None), None);
        assert_eq!(best_possible(&mut [0, 0], 2, None), None);
    }

    proptest! {
        #[test]
        fn figures_stay_within_their_bounds(
            slaves in prop::collection::vec((any::<u64>(), 1..1_000_000_u64), 1..9), by_speed in any::<bool>(),
        ) {
            let (amounts, speeds): (Vec<u64>, Vec<u64>) = slaves.into_iter().unzip();
            if let Some(balance) = Balance::of(&amounts, by_speed.then_some(&speeds)) {
                let count = amounts.len() as f64;
                prop_assert!((1.0 / count..=1.0).contains(&balance.jain), "{balance:?}");
                prop_assert!((1.0..=count).contains(&balance.max_over_mean), "{balance:?}");
                prop_assert!((0.0..=1.0).contains(&balance.spread), "{balance:?}");
                prop_assert!(close(balance.shares.iter().sum(), 1.0));
            }
        }

        /// Never better than what is possible at all, never worse than Graham's bound.
        #[test]
        fn longest_first_keeps_its_bounds(flows in prop::collection::vec(0..1_000_000_u64, 1..60), count in 1..9_usize) {
            let mut sorted = flows.clone();
            let Some(possible) = best_possible(&mut sorted, count, None) else { return Ok(()) };
            let total: u64 = flows.iter().sum();
            prop_assert_eq!(possible.bytes.iter().sum::<u64>(), total);
            let (max, largest) = (possible.bytes.iter().max().copied().unwrap_or(0), sorted[0]);
            prop_assert!(max >= largest && max * count as u64 >= total);
            // The busiest slave's last flow was put where least was.
            prop_assert!((max as f64) <= total as f64 / count as f64 + largest as f64);
        }

        /// Against trying out every placement.
        #[test]
        fn longest_first_is_near_the_best(flows in prop::collection::vec(1..1000_u64, 1..8), count in 1..4_usize) {
            let best = (0..count.pow(flows.len() as u32)).map(|mut placement| {
                let mut slaves = vec![0; count];
                for bytes in &flows {
                    slaves[placement % count] += bytes;
                    placement /= count;
                }
                slaves.into_iter().max().unwrap_or(0)
            }).min().unwrap_or(0);
            let possible = best_possible(&mut flows.clone(), count, None).expect("bytes");
            let max = possible.bytes.iter().max().copied().unwrap_or(0);
            prop_assert!(max >= best && max * 3 * count as u64 <= best * (4 * count as u64 - 1), "{max} {best}");
        }
    }
}
