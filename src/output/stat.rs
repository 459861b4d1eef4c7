//! An answer of the socket for people and for Ganglia, as tcpeekstat shows it.
//!
//! Reads what a fullcount or a tcpeek has answered; knows neither socket nor
//! process. Control characters never reach the terminal: names come from the
//! other side.
//! Source: tcpeek 3189698, tcpeekstat (`print_stat`, `exec_gmetric`).

use serde_json::{Map, Value};
use std::fmt::{self, Write};

/// Figures in the order of the text.
const ITEMS: [&str; 9] =
    ["total", "dupsyn", "dupsynack", "timeout", "reject", "unreach", "recv", "drop", "ifdrop"];
const SECTIONS: [&str; 3] = ["success", "failure", "stats"];
/// Figures that Ganglia is told.
const METRICS: [&str; 4] = ["dupsyn", "dupsynack", "timeout", "reject"];

/// An answer that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// The other side refused, in its own words.
    Refused {
        /// They.
        sentence: String,
    },
    /// Not tcpeek's list.
    NotStatistics,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::Refused { sentence } => write!(f, "it answered: {}", safe(sentence)),
            Unread::NotStatistics => {
                write!(f, "it answered something else than statistics: is it a fullcount or a tcpeek?")
            }
        }
    }
}

/// Statistics as they were answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics(Vec<Map<String, Value>>);

impl Statistics {
    /// Reads an answer.
    ///
    /// # Errors
    /// It is a refusal, or no answer of tcpeek's form.
    pub fn read(answer: &[u8]) -> Result<Statistics, Unread> {
        let value: Value = serde_json::from_slice(answer).map_err(|_| Unread::NotStatistics)?;
        if let Some(sentence) = value.get("error").and_then(Value::as_str) {
            return Err(Unread::Refused { sentence: sentence.to_owned() });
        }
        let Value::Array(list) = value else { return Err(Unread::NotStatistics) };
        let objects: Option<Vec<_>> = list
            .into_iter()
            .map(|one| match one {
                Value::Object(map) => Some(map),
                _ => None,
            })
            .collect();
        objects.map(Statistics).ok_or(Unread::NotStatistics)
    }

    /// Name, section, item, figure, in order.
    fn each<'a>(&'a self, items: &'a [&'a str]) -> impl Iterator<Item = (&'a str, &'a str, &'a str, u64)> {
        self.0.iter().flatten().flat_map(move |(name, sections)| {
            SECTIONS.into_iter().flat_map(move |section| {
                let figures = sections.get(section);
                items.iter().filter_map(move |item| {
                    let figure = figures?.get(item)?.as_u64()?;
                    Some((name.as_str(), section, *item, figure))
                })
            })
        })
    }

    /// The table of tcpeekstat.
    pub fn text(&self) -> String {
        let mut text = String::from("==== FULLCOUNT SUMMARY =====\n");
        let line = "-".repeat(28);
        let mut before = ("", "");
        for (name, section, item, figure) in self.each(&ITEMS) {
            if name != before.0 {
                let _ = writeln!(text, "{line}\n {}\n{line}", safe(name));
                before = (name, "");
            }
            if section != before.1 {
                let _ = writeln!(text, " {section}");
                before.1 = section;
            }
            let _ = writeln!(text, "     {item:<10} {figure:>10}");
        }
        text.push_str("============================\n");
        text
    }

    /// Name and figure of each metric, by tcpeekstat's names.
    pub fn metrics(&self) -> Vec<(String, u64)> {
        let name = |(name, section, item, figure)| (format!("tcpeek_{name}_{section}_{item}"), figure);
        self.each(&METRICS).map(name).collect()
    }
}

fn safe(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { '?' } else { one }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = include_bytes!("../../fixtures/tcpeek/get.json");
    const REFRESH: &[u8] = include_bytes!("../../fixtures/tcpeek/refresh.json");

    #[test]
    fn tcpeeks_own_answer_is_shown_as_tcpeekstat_does() {
        let text = Statistics::read(GET).unwrap().text();
        let web = "\
----------------------------
 web
----------------------------
 success
     total               4
     dupsyn              1
     dupsynack           0
 failure
     total               4
     timeout             1
     reject              2
     unreach             1
----------------------------
 pcap
----------------------------
 stats
     recv               28
     drop                0
     ifdrop              0
============================
";
        assert!(text.starts_with("==== FULLCOUNT SUMMARY =====\n----------------------------\n RX\n"));
        assert!(text.ends_with(web), "{text}");
    }

    #[test]
    fn metrics_have_tcpeekstats_names() {
        let metrics = Statistics::read(REFRESH).unwrap().metrics();
        let of = |wanted: &str| metrics.iter().find(|(name, _)| name == wanted).map(|(_, figure)| *figure);
        assert_eq!(metrics.len(), 3 * 4);
        assert_eq!(of("tcpeek_web_failure_reject"), Some(3));
        assert_eq!(of("tcpeek_TX_success_dupsyn"), Some(1));
        assert_eq!(of("tcpeek_TX_failure_timeout"), Some(1));
        assert_eq!(of("tcpeek_RX_success_dupsynack"), Some(0));
    }

    #[test]
    fn what_is_no_statistics_is_told() {
        for answer in ["", "[", "{}", "[1]", "null", "\u{1b}[2J"] {
            assert_eq!(Statistics::read(answer.as_bytes()), Err(Unread::NotStatistics), "{answer:?}");
        }
        let refused = Statistics::read(b"{\"error\":\"no \\u001b[2J\"}").unwrap_err();
        assert_eq!(refused.to_string(), "it answered: no ?[2J");
        let odd = Statistics::read(b"[{\"a\\nb\":{\"success\":{\"total\":1}}},{\"c\":3}]").unwrap();
        assert!(odd.text().contains("\n a?b\n"));
    }
}
