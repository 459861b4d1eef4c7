//! How milliseconds were filled: percentiles, the highest, and how many at
//! which utilisation.
//!
//! Empty milliseconds are counted, not kept: most are. Up to a minute's worth
//! percentiles are exact; of more they are rounded to three digits.

use hdrhistogram::Histogram;

/// Values that are kept as they are.
const EXACT_MAX: usize = 65_536;
/// Line bits of a millisecond that are told apart: 60 Tbit/s.
const MOST: u64 = 1 << 36;
/// Significant digits of percentiles over more.
const DIGITS: u8 = 3;
/// Classes of utilisation: none, up to each tenth below 90 %, below 99 %, and above.
pub const CLASSES: usize = 12;

/// Line bits of single milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Spread {
    exact: Vec<u32>,
    rounded: Option<Histogram<u64>>,
    filled: u64,
    most: u64,
    classes: [u64; CLASSES],
}

/// What is told of them. Rates in bits on the line per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpreadFigures {
    /// Milliseconds.
    pub milliseconds: u64,
    /// Median, 90th and 99th percentile, highest.
    pub p50: u64,
    /// See `p50`.
    pub p90: u64,
    /// See `p50`.
    pub p99: u64,
    /// See `p50`.
    pub peak: u64,
    /// Milliseconds by class of utilisation, where the link's speed is known:
    /// none; above 0 and below 10 %, below 20 %, … below 90 %; below 99 %; more.
    pub classes: Option<[u64; CLASSES]>,
}

impl Spread {
    /// A millisecond that is not empty. `speed`: bits a second, if known.
    pub fn record(&mut self, line_bits: u64, speed: Option<u64>) {
        self.filled += 1;
        self.most = self.most.max(line_bits);
        if let Some(speed) = speed {
            self.classes[class(line_bits, speed)] += 1;
        }
        match &mut self.rounded {
            Some(rounded) => rounded.saturating_record(line_bits),
            None if self.exact.len() < EXACT_MAX => {
                self.exact.push(u32::try_from(line_bits).unwrap_or(u32::MAX));
            }
            None => self.round(line_bits),
        }
    }

    #[cold]
    fn round(&mut self, line_bits: u64) {
        // Bounds and digits that the library knows: it cannot fail.
        let Ok(mut rounded) = Histogram::new_with_bounds(1, MOST, DIGITS) else { return };
        let kept = self.exact.drain(..).map(u64::from).chain([line_bits]);
        kept.for_each(|value| rounded.saturating_record(value));
        self.exact.shrink_to_fit();
        self.rounded = Some(rounded);
    }

    /// Figures of so many milliseconds, of which some were empty.
    pub fn figures(&mut self, milliseconds: u64, speed: Option<u64>) -> SpreadFigures {
        let milliseconds = milliseconds.max(self.filled);
        let empty = milliseconds - self.filled;
        self.exact.sort_unstable();
        let mut classes = self.classes;
        classes[0] += empty;
        SpreadFigures {
            milliseconds,
            p50: 1000 * self.percentile(50, milliseconds, empty),
            p90: 1000 * self.percentile(90, milliseconds, empty),
            p99: 1000 * self.percentile(99, milliseconds, empty),
            peak: 1000 * self.most,
            classes: speed.map(|_| classes),
        }
    }

    /// The value that so many percent do not exceed (nearest rank).
    fn percentile(&self, percent: u64, milliseconds: u64, empty: u64) -> u64 {
        let rank = (percent * milliseconds).div_ceil(100);
        let Some(of_filled) = rank.checked_sub(empty + 1) else { return 0 };
        match &self.rounded {
            Some(rounded) => {
                let quantile = (of_filled + 1) as f64 / self.filled.max(1) as f64;
                rounded.value_at_quantile(quantile).min(self.most)
            }
            None => self.exact.get(of_filled as usize).copied().map_or(0, u64::from),
        }
    }

    /// As if nothing had been recorded.
    pub fn clear(&mut self) {
        self.exact.clear();
        *self = Spread { exact: std::mem::take(&mut self.exact), ..Spread::default() };
    }
}

/// The class of a millisecond that is not empty.
fn class(line_bits: u64, speed: u64) -> usize {
    // Thousandths: bits a millisecond times 1000 are bits a second.
    let thousandths = u128::from(line_bits) * 1_000_000 / u128::from(speed.max(1));
    match thousandths {
        0..900 => 1 + thousandths as usize / 100,
        900..990 => 10,
        _ => 11,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_all_milliseconds() {
        let mut spread = Spread::default();
        // 1 to 100 in a hundred of a thousand milliseconds, in any order.
        (1..=100).rev().for_each(|bits| spread.record(bits, Some(100_000)));
        let figures = spread.figures(1000, Some(100_000));
        assert_eq!((figures.p50, figures.p90, figures.p99, figures.peak), (0, 0, 90_000, 100_000));
        let mut classes = [10; CLASSES];
        (classes[0], classes[1], classes[10], classes[11]) = (900, 9, 9, 2);
        assert_eq!(figures.classes, Some(classes));
        let filled = spread.figures(100, None);
        assert_eq!((filled.p50, filled.p90, filled.p99, filled.classes), (50_000, 90_000, 99_000, None));
        spread.clear();
        assert_eq!(spread.figures(5, None), SpreadFigures { milliseconds: 5, ..SpreadFigures::default() });
    }

    #[test]
    fn of_very_many_they_are_rounded_to_three_digits() {
        let mut spread = Spread::default();
        let many = 3 * EXACT_MAX as u64;
        (0..many).for_each(|n| spread.record(n + 1, None));
        let figures = spread.figures(2 * many, None);
        let near = |told: u64, exact: u64| told.abs_diff(exact) <= exact / 500;
        assert_eq!(figures.p50, 0);
        assert!(near(figures.p90, 800 * many) && near(figures.p99, 980 * many), "{figures:?}");
        assert_eq!(figures.peak, 1000 * many);
    }
}
