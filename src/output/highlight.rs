//! Figures that stand out: from which value on, or below which, by column.
//!
//! What was typed (`--highlight COLUMN=VALUE`, `COLUMN<VALUE`) meets the columns
//! here. A column goes by its name or its heading; those that say one thing in
//! several tables share a name and its thresholds. Compared is the figure, not
//! what is left of it in a cell. Knows columns; how a cell stands out is the
//! table's, which key it has is JSON's.

use super::columns::{Column, INTERFACE_COLUMNS, Measure, Over, ROW_COLUMNS};
use super::destinations::DESTINATION_COLUMNS;
use super::handshakes::HANDSHAKE_COLUMNS;
use super::units::plain;
use crate::config::{Highlight, Unit};

/// Digits that a value may have: more than any figure has.
const DIGITS_MAX: usize = 20;

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct Highlights {
    thresholds: Vec<Threshold>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Threshold {
    column: &'static str,
    below: bool,
    /// In the unit of [`Column::figure`].
    value: f64,
}

impl Threshold {
    fn reached(&self, figure: f64) -> bool {
        if self.below { figure < self.value } else { figure >= self.value }
    }
}

/// A column with figures, whatever its table is of.
struct Known {
    name: &'static str,
    headings: &'static str,
    measure: Measure,
}

fn known() -> Vec<Known> {
    fn of<T>(columns: &[Column<T>]) -> impl Iterator<Item = Known> {
        let figures = columns.iter().filter(|column| column.measure != Measure::Word);
        figures.map(|&Column { name, headings, measure, .. }| Known { name, headings, measure })
    }
    let mut all: Vec<Known> = of(&INTERFACE_COLUMNS).chain(of(&ROW_COLUMNS)).collect();
    all.extend(of(&DESTINATION_COLUMNS).chain(of(&HANDSHAKE_COLUMNS)));
    all
}

/// Without what people type otherwise: capitals, spaces, dashes.
fn bare(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, ' ' | '-' | '_')).flat_map(char::to_lowercase).collect()
}

/// Headings as docs have them, out of their backticks.
fn headings(known: &Known) -> impl Iterator<Item = &'static str> {
    known.headings.split('`').skip(1).step_by(2)
}

impl Highlights {
    /// What was asked for; rates without a unit are in `unit`.
    ///
    /// # Errors
    /// A sentence: a column that there is not (and which ones there are), or a
    /// value that is none of its unit.
    pub fn new(asked: &[Highlight], unit: Unit) -> Result<Highlights, String> {
        let all = known();
        let mut thresholds = Vec::with_capacity(asked.len());
        for highlight in asked {
            let Highlight { column, below, value } = highlight;
            let wanted = bare(column);
            let is_it = |known: &&Known| {
                bare(known.name) == wanted || headings(known).any(|heading| bare(heading) == wanted)
            };
            let found = all.iter().find(is_it).ok_or_else(|| {
                format!("--highlight: there is no column {} with figures: {}", plain(column), listed(&all))
            })?;
            let value = value_of(value, found.measure, unit).ok_or_else(|| {
                let wants = wants(found.measure);
                format!("--highlight {}: {} is no value of it: it takes {wants}", plain(column), plain(value))
            })?;
            thresholds.push(Threshold { column: found.name, below: *below, value });
        }
        Ok(Highlights { thresholds })
    }

    /// Whether anything may stand out in a column.
    pub fn concern<T>(&self, column: &Column<T>) -> bool {
        self.thresholds.iter().any(|threshold| threshold.column == column.name)
    }

    /// Whether an item's figure stands out.
    pub fn mark<T>(&self, column: &Column<T>, item: &T, over: &Over) -> bool {
        let mut own = self.thresholds.iter().filter(|threshold| threshold.column == column.name).peekable();
        own.peek().is_some()
            && (column.figure)(item, over)
                .is_some_and(|figure| own.any(|threshold| threshold.reached(figure)))
    }

    /// Names of an item's columns that stand out, each once, in their order.
    pub fn names<T>(&self, columns: &[Column<T>], item: &T, over: &Over) -> Vec<&'static str> {
        if self.thresholds.is_empty() {
            return Vec::new();
        }
        let marked = columns.iter().filter(|column| self.mark(column, item, over));
        let mut names: Vec<&'static str> = marked.map(|column| column.name).collect();
        names.dedup();
        names
    }
}

/// All columns by name, with the heading where that is another word.
fn listed(all: &[Known]) -> String {
    let mut names: Vec<String> = Vec::new();
    for known in all {
        let heading =
            headings(known).find(|heading| known.measure != Measure::Rate && *heading != known.name);
        let shown = match heading.filter(|heading| bare(heading) != bare(known.name)) {
            Some(heading) => format!("{} ({heading})", known.name),
            None => known.name.to_owned(),
        };
        if !names.contains(&shown) {
            names.push(shown);
        }
    }
    format!("there are {}", names.join(", "))
}

fn wants(measure: Measure) -> &'static str {
    match measure {
        Measure::Percent => "per cent, such as 90% or 0.5%",
        Measure::Rate | Measure::RateBeside => "a rate, such as 100M, 2.5Gbit/s or 12Mbyte/s",
        Measure::Bytes => "bytes, such as 1500 or 2G",
        Measure::Packets | Measure::Count => "a number, such as 20 or 1.5k",
        Measure::PerSecond => "times in a second, such as 0.5 or 1k",
        Measure::Duration => "a time with its unit, such as 100ms, 1.5s or 250us",
        Measure::Word => "nothing, it has words",
    }
}

/// A value in the unit of [`Column::figure`].
fn value_of(text: &str, measure: Measure, unit: Unit) -> Option<f64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, behind) = text.split_at(end);
    if digits.len() > DIGITS_MAX || !digits.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let number: f64 = digits.parse().ok()?;
    let behind = behind.trim_start();
    let times = match measure {
        Measure::Word => return None,
        Measure::Percent => matches!(behind, "" | "%").then_some(1.0)?,
        Measure::Duration => match behind {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "min" => 60e9,
            "h" => 3600e9,
            _ => return None,
        },
        Measure::Rate | Measure::RateBeside => match (scale(behind), unit) {
            ((times, ""), Unit::Bits) | ((times, "bit/s"), _) => times,
            ((times, ""), Unit::Bytes) | ((times, "byte/s"), _) => 8.0 * times,
            _ => return None,
        },
        Measure::Bytes => scale_of(behind, &["", "B", "byte", "bytes"])?,
        Measure::Packets | Measure::Count => scale_of(behind, &[""])?,
        Measure::PerSecond => scale_of(behind, &["", "/s"])?,
    };
    Some(number * times)
}

/// A power of 1000 by its letter, and what stands behind that.
fn scale(text: &str) -> (f64, &str) {
    let power = match text.chars().next() {
        Some('k' | 'K') => 1e3,
        Some('m' | 'M') => 1e6,
        Some('g' | 'G') => 1e9,
        Some('t' | 'T') => 1e12,
        _ => return (1.0, text),
    };
    (power, text.get(1..).unwrap_or_default())
}

/// The power of 1000 alone, where one of these units stands behind it.
fn scale_of(text: &str, units: &[&str]) -> Option<f64> {
    let (times, unit) = scale(text);
    units.contains(&unit).then_some(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(column: &str, value: &str) -> Result<Threshold, String> {
        let highlight = Highlight { column: column.to_owned(), below: false, value: value.to_owned() };
        Highlights::new(&[highlight], Unit::Bits).map(|all| all.thresholds[0])
    }

    #[test]
    fn values_have_the_units_of_their_columns() {
        for (column, value, name, figure) in [
            ("S/A", "90", "answered", 90.0),
            ("s/a", "99.9%", "answered", 99.9),
            ("Est", "0.5 %", "established", 0.5),
            ("established-rate", "1.5k", "established_rate", 1500.0),
            ("Est/s", "2/s", "established_rate", 2.0),
            ("connect", "100ms", "connect", 1e8),
            ("Connect", "1.5s", "connect", 1.5e9),
            ("reply", "250us", "reply", 250_000.0),
            ("p99", "2min", "p99", 120e9),
            ("rate", "100M", "rate", 1e8),
            ("→", "2.5Gbit/s", "rate", 2.5e9),
            ("Peak", "12Mbyte/s", "peak", 96e6),
            ("Line", "80%", "utilisation", 80.0),
            ("bytes", "2GB", "bytes", 2e9),
            ("Pkts", "1000", "packets", 1000.0),
            ("FIN out", "1", "closed_here", 1.0),
            ("fin_out", "1", "closed_here", 1.0),
            ("Timed out", "1", "timed_out", 1.0),
            ("2s", "1", "average_2s", 1.0),
        ] {
            let threshold = Threshold { column: name, below: false, value: figure };
            assert_eq!(asked(column, value), Ok(threshold), "{column}={value}");
        }
        for (column, value) in [
            ("connect", "100"),
            ("connect", "100m"),
            ("answered", "90M"),
            ("rate", "1packet"),
            ("bytes", "1KiB"),
            ("attempts", "1 x"),
            ("attempts", ""),
            ("attempts", "."),
            ("attempts", "1.2.3"),
            ("attempts", "-1"),
            ("attempts", "1e9"),
            ("attempts", "123456789012345678901"),
        ] {
            let told = asked(column, value).unwrap_err();
            assert!(told.contains(" is no value of it: it takes "), "{told}");
        }
        let bytes = Highlight { column: "rate".into(), below: true, value: "1M".into() };
        let bytes = Highlights::new(&[bytes], Unit::Bytes).unwrap().thresholds[0];
        assert_eq!(bytes, Threshold { column: "rate", below: true, value: 8e6 });
    }

    #[test]
    fn an_unknown_column_is_told_with_all_that_there_are() {
        let told = asked("rtt\u{1b}", "1").unwrap_err();
        assert!(
            told.starts_with("--highlight: there is no column rtt\u{fffd} with figures: there are rate, "),
            "{told}"
        );
        for known in known() {
            assert!(told.contains(known.name), "{}: {told}", known.name);
        }
        assert!(told.contains("answered (S/A), ") && !told.contains(" peak ("), "{told}");
        for word in ["state", "Destination", "", "watch"] {
            assert!(asked(word, "1").is_err(), "{word}");
        }
    }

    /// A word leads to one name: what it highlights does not depend on the order of tables.
    #[test]
    fn no_word_names_two_things() {
        let mut words = std::collections::HashMap::new();
        for known in known() {
            for word in headings(&known).chain([known.name]) {
                let before = words.insert(bare(word), (known.name, known.measure));
                let now = (known.name, known.measure);
                assert!(before.is_none_or(|before| before == now), "{word}: {before:?} and {now:?}");
            }
            let stable = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(known.name.chars().all(stable), "{}", known.name);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_value_panics(column in "\\PC{0,10}|rate|connect|answered", value in "[0-9.]{0,25}\\PC{0,6}") {
            if let Ok(threshold) = asked(&column, &value) {
                proptest::prop_assert!(threshold.value.is_finite() && threshold.value >= 0.0);
            }
        }
    }
}
