//! Figures as people read them: few digits, fixed widths, no doubt.
//!
//! A share of completeness is never rounded up: 100 % means all of it. Knows
//! numbers only.

use crate::config::Unit;
use std::borrow::Cow;

/// Widest that [`human`] gets: three digits, a point, a letter.
pub const HUMAN_WIDTH: usize = 5;

/// Three digits and a power of 1000: `999`, `1.00k`, `41.7M`, `118G`.
pub fn human(value: u64) -> String {
    const LETTERS: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    if value < 1000 {
        return value.to_string();
    }
    let mut scale = 1u128;
    for letter in &LETTERS[1..] {
        scale *= 1000;
        // Hundredths, tenths, ones: the first in which three digits are enough.
        for (parts, decimals) in [(100, 2), (10, 1), (1, 0)] {
            let rounded = (value as u128 * parts + scale / 2) / scale;
            if rounded < 1000 {
                let (whole, rest) = (rounded / parts, rounded % parts);
                return match decimals {
                    0 => format!("{whole}{letter}"),
                    _ => format!("{whole}.{rest:0decimals$}{letter}"),
                };
            }
        }
    }
    // 2^64 - 1 is 18.4E, so the loop has returned.
    value.to_string()
}

/// All digits, in groups of three: `1,204`.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things, with the right form of the word: `1 packet`, `1,204 packets`.
pub fn number_of(value: u64, word: &str) -> String {
    format!("{} {word}{}", grouped(value), if value == 1 { "" } else { "s" })
}

/// Bits per second in the unit asked for.
pub fn rate_in(bits_per_second: u64, unit: Unit) -> u64 {
    match unit {
        Unit::Bits => bits_per_second,
        Unit::Bytes => bits_per_second / 8,
    }
}

/// Name of the unit of rates.
pub fn rate_unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Bits => "bit/s",
        Unit::Bytes => "byte/s",
    }
}

/// A rate within a sentence: `944 Mbit/s`.
pub fn rate(bits_per_second: u64, unit: Unit) -> String {
    let figure = human(rate_in(bits_per_second, unit));
    let digits = figure.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    format!("{digits} {}{}", &figure[digits.len()..], rate_unit(unit))
}

/// `part` of `whole` in per cent with one decimal, cut off: 100.0% is all. None of nothing.
pub fn percent_of(part: u64, whole: u64) -> Option<String> {
    let tenths = (part as u128 * 1000).checked_div(whole as u128)?;
    Some(format!("{}.{}%", tenths / 10, tenths % 10))
}

/// A ratio in per cent with two decimals, cut off.
pub fn percent_floor(ratio: f64) -> String {
    // A millionth of the last digit forgives what doubles cannot say (0.29 × 10,000).
    format!("{:.2} %", (ratio * 1e4 + 1e-6).floor() / 100.0)
}

/// How much was lost, in per cent; never nothing where something was.
pub fn percent_lost(lost: u64, of: u64) -> String {
    let percent = if of == 0 { 0.0 } else { lost as f64 / of as f64 * 100.0 };
    match percent {
        p if p >= 0.095 => format!("{p:.1} %"),
        p if p >= 0.01 => format!("{p:.2} %"),
        _ => String::from("<0.01 %"),
    }
}

/// A duration: `42.3 ms`, `61.2 s`, `2 h 05 min 09 s`, `7,305 d 00 h 00 min`.
pub fn duration(ns: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    let (minutes, seconds) = (ns / SECOND / 60, ns / SECOND % 60);
    let (hours, days) = (minutes / 60, minutes / 60 / 24);
    match (days, hours, minutes) {
        (0, 0, 0) if ns == 0 => String::from("0 s"),
        (0, 0, 0) if ns < 1000 => format!("{ns} ns"),
        (0, 0, 0) if ns < SECOND / 100 => format!("{} ms", decimal(ns / 1000)),
        (0, 0, 0) if ns < SECOND => format!("{} ms", decimal(ns / 100_000 * 100)),
        (0, 0, 0..10) => format!("{} s", decimal(ns / 1_000_000)),
        (0, 0, _) => format!("{minutes} min {seconds:02} s"),
        (0 | 1, _, _) => format!("{hours} h {:02} min {seconds:02} s", minutes % 60),
        _ => format!("{} d {:02} h {:02} min", grouped(days), hours % 24, minutes % 60),
    }
}

/// Thousandths as a number without noughts at its end.
fn decimal(thousandths: u64) -> String {
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A moment in UTC: `2026-11-21 09:00:01 UTC`, with milliseconds where there are some.
pub fn moment(time_ns: u64) -> String {
    format!("{} {} UTC", day(time_ns), time_of_day(time_ns, if is_whole(time_ns) { "" } else { "%.3f" }))
}

/// The time of day of a moment in UTC: `09:00:01`, with milliseconds where there are some.
pub fn clock(time_ns: u64) -> String {
    time_of_day(time_ns, if is_whole(time_ns) { "" } else { "%.3f" })
}

/// A moment in UTC as tcpeek has it: `26-11-21 09:00:01.000`.
pub fn tcpeeks_moment(time_ns: u64) -> String {
    formatted(time_ns, "%y-%m-%d %H:%M:%S%.3f")
}

/// A moment in UTC for lists, below a header that tells the year: `11-21 09:00:01.000`.
pub fn short_moment(time_ns: u64) -> String {
    formatted(time_ns, "%m-%d %H:%M:%S%.3f")
}

/// From one moment to another: the day once where it is the same, microseconds
/// where they are less than a second apart.
pub fn between(begin_ns: u64, end_ns: u64) -> String {
    let digits = match end_ns.saturating_sub(begin_ns) {
        0..1_000_000_000 => "%.6f",
        _ if is_whole(begin_ns) && is_whole(end_ns) => "",
        _ => "%.3f",
    };
    let [begin, end] = [begin_ns, end_ns].map(|time_ns| time_of_day(time_ns, digits));
    let (first, last) = (day(begin_ns), day(end_ns));
    let end = if first == last { end } else { format!("{last} {end}") };
    format!("{first} {begin} to {end} UTC")
}

fn day(time_ns: u64) -> String {
    formatted(time_ns, "%Y-%m-%d")
}

/// No millisecond beside the seconds.
fn is_whole(time_ns: u64) -> bool {
    time_ns % 1_000_000_000 < 1_000_000
}

/// Time of day in UTC to the microsecond: `09:00:01.005999`.
pub fn exact_time(time_ns: u64) -> String {
    time_of_day(time_ns, "%.6f")
}

fn time_of_day(time_ns: u64, digits: &str) -> String {
    formatted(time_ns, &format!("%H:%M:%S{digits}"))
}

fn formatted(time_ns: u64, format: &str) -> String {
    // 2^64 ns are 584 years, and jiff goes to the year 9999.
    let time = jiff::Timestamp::from_nanosecond(time_ns as i128).unwrap_or(jiff::Timestamp::MAX);
    time.strftime(format).to_string()
}

/// Text from a file, the network or the system, fit for a terminal: what would
/// move the cursor or turn the direction of writing becomes U+FFFD.
pub fn plain(text: &str) -> Cow<'_, str> {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let moves = |c: char| c.is_control() || turns(c) || matches!(c, '\u{2028}' | '\u{2029}');
    if text.contains(moves) { Cow::Owned(text.replace(moves, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_in_five_places() {
        for (value, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1.00k"),
            (1005, "1.01k"),
            (9994, "9.99k"),
            (9995, "10.0k"),
            (99_949, "99.9k"),
            (99_950, "100k"),
            (999_499, "999k"),
            (999_500, "1.00M"),
            (41_700_000, "41.7M"),
            (944_000_000, "944M"),
            (100_000_000_000, "100G"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(human(value), text, "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn human_is_narrow_and_near(value: u64) {
            let text = human(value);
            assert!(text.len() <= HUMAN_WIDTH, "{text}");
            let digits = text.trim_end_matches(char::is_alphabetic);
            let power = " kMGTPE".find(&text[digits.len()..]).filter(|_| digits.len() < text.len()).unwrap_or(0);
            let read: f64 = digits.parse::<f64>().unwrap() * 1000f64.powi(power as i32);
            // Half of the last of three digits, and what a double forgets.
            assert!((read - value as f64).abs() <= value as f64 * 0.00501, "{text} for {value}");
        }

        #[test]
        fn grouped_is_the_number_with_commas(value: u64) {
            let text = grouped(value);
            assert_eq!(text.replace(',', ""), value.to_string());
            assert!(text.rsplit(',').rev().skip(1).all(|group| group.len() == 3), "{text}");
        }
    }

    #[test]
    fn all_is_said_of_all_only() {
        assert_eq!(percent_of(999_999, 1_000_000).as_deref(), Some("99.9%"));
        assert_eq!(percent_of(5, 5).as_deref(), Some("100.0%"));
        assert_eq!(percent_of(u64::MAX, u64::MAX).as_deref(), Some("100.0%"));
        assert_eq!(percent_of(0, 0), None);
        assert_eq!(percent_floor(1.0), "100.00 %");
        assert_eq!(percent_floor(0.999_999), "99.99 %");
        assert_eq!(percent_floor(0.29), "29.00 %");
        assert_eq!(percent_floor(1.000_2), "100.02 %");
        assert_eq!(percent_lost(1204, 401_333), "0.3 %");
        assert_eq!(percent_lost(1, 5000), "0.02 %");
        assert_eq!(percent_lost(1, 1_000_000), "<0.01 %");
        assert_eq!(percent_lost(9, 9), "100.0 %");
    }

    #[test]
    fn rates_say_their_unit() {
        assert_eq!(rate(944_000_000, Unit::Bits), "944 Mbit/s");
        assert_eq!(rate(944_000_000, Unit::Bytes), "118 Mbyte/s");
        assert_eq!(rate(12, Unit::Bits), "12 bit/s");
    }

    #[test]
    fn durations_and_moments() {
        assert_eq!(duration(61_200_000_000), "61.2 s");
        assert_eq!(duration(1_000_000_000), "1 s");
        assert_eq!(duration(10_000_000_000), "10 s");
        assert_eq!(duration(0), "0 s");
        assert_eq!(duration(999), "999 ns");
        assert_eq!(duration(42_300_999), "42.3 ms");
        assert_eq!(duration(396_038_123), "396 ms");
        assert_eq!(duration(1_234_999), "1.234 ms");
        assert_eq!(duration(240_000), "0.24 ms");
        assert_eq!(duration(7305 * 86_400_000_000_000), "7,305 d 00 h 00 min");
        assert_eq!(duration(u64::MAX), "213,503 d 23 h 34 min");
        assert_eq!(duration(754_000_000_000), "12 min 34 s");
        assert_eq!(duration(7_509_000_000_000), "2 h 05 min 09 s");
        assert_eq!(moment(1_795_251_601_000_000_000), "2026-11-21 09:00:01 UTC");
        assert_eq!(moment(1_795_251_601_500_000_000), "2026-11-21 09:00:01.500 UTC");
        assert_eq!(short_moment(1_795_251_601_005_999_999), "11-21 09:00:01.005");
        assert_eq!(tcpeeks_moment(1_795_251_601_005_999_999), "26-11-21 09:00:01.005");
        assert_eq!(exact_time(1_795_251_601_005_999_999), "09:00:01.005999");
        assert_eq!(moment(u64::MAX), "2554-07-21 23:34:33.709 UTC");
        let begin = 1_795_251_601_000_000_000;
        assert_eq!(between(begin, begin + 500_000_000), "2026-11-21 09:00:01.000000 to 09:00:01.500000 UTC");
        let later = begin + 60_200_000_000;
        assert_eq!(between(begin, later), "2026-11-21 09:00:01.000 to 09:01:01.200 UTC");
        let day = 86_400_000_000_000;
        assert_eq!(between(begin, begin + day), "2026-11-21 09:00:01 to 2026-11-22 09:00:01 UTC");
    }

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(plain("eth0"), "eth0");
        assert_eq!(
            plain("a\u{1b}[2J\r\n\u{9b}1m\u{202e}b"),
            "a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}1m\u{fffd}b"
        );
    }
}
