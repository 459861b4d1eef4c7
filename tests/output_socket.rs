//! Answers on the socket, from hand-made snapshots.
//!
//! Truth: what tcpeek itself answered (fixtures/tcpeek), byte for byte, and the
//! lines of `-o json`.

#[allow(dead_code)]
#[path = "common/snapshots.rs"]
mod snapshots;

use fullcount::aggregate::snapshot::{CaptureFigures, Snapshot};
use fullcount::aggregate::watch::{Handshakes, Tally, WatchFigures};
use fullcount::flow::record::Outcome;
use fullcount::output::Output;
use fullcount::output::json::JsonLines;
use fullcount::output::socket::{Answers, Latest, NAMES_MAX, REQUEST_MAX};
use serde_json::Value;
use snapshots::*;
use std::sync::Arc;

const GET: &str = include_str!("../fixtures/tcpeek/get.json");
const REFRESH: &str = include_str!("../fixtures/tcpeek/refresh.json");
const REFRESH_AGAIN: &str = include_str!("../fixtures/tcpeek/refresh-again.json");

/// Handshakes by outcome, and the SYNs that were repeated.
fn tally(outcomes: &[(Outcome, u64)], dupsyn: u64) -> Tally {
    let mut tally = Tally { sessions_with_syn_retransmitted: dupsyn, ..Tally::default() };
    for &(outcome, count) in outcomes {
        tally.outcomes[outcome as usize - 1] = count;
    }
    tally
}

/// What tcpeek had seen when it was recorded.
fn recorded() -> Tally {
    use Outcome::*;
    tally(&[(Success, 4), (TimeoutNoSynack, 1), (Reject, 2), (Unreach, 1)], 1)
}

fn snapshot(totals: [Tally; 3]) -> Arc<Snapshot> {
    let watch = |(name, total): (&str, Tally)| WatchFigures {
        name: name.into(),
        interval: total,
        total,
        half_open: 0,
    };
    let watches = ["RX", "TX", "web"].into_iter().zip(totals).map(watch).collect();
    let mut one = interface(0, lane_totals(0, 0), lane_totals(0, 0));
    one.capture = CaptureFigures { frames: 28, ..CaptureFigures::default() };
    let handshakes = Handshakes { watches, ..Handshakes::default() };
    Arc::new(Snapshot { handshakes, interfaces: vec![one], ..empty(NINE + S) })
}

struct Asked {
    latest: Arc<Latest>,
    answers: Answers,
}

impl Asked {
    fn new() -> Asked {
        let latest = Arc::<Latest>::default();
        let watches = ["RX", "TX", "web"].map(str::to_owned).to_vec();
        Asked { latest: latest.clone(), answers: Answers::new(latest, watches) }
    }

    fn tell(&self, web: Tally) {
        self.latest.tell(&snapshot([Tally::default(), web, web]), &Vec::new(), &context(), true);
    }

    fn ask(&mut self, request: &str) -> String {
        String::from_utf8(self.answers.answer(request.as_bytes()).bytes).expect("text")
    }

    /// Successes of `web` in an answer.
    fn web(&mut self, request: &str) -> u64 {
        let answer = self.ask(request);
        let list: Value = serde_json::from_str(&answer).expect(&answer);
        list[2]["web"]["success"]["total"].as_u64().expect(&answer)
    }

    fn error(&mut self, request: &str) -> String {
        let answer: Value = serde_json::from_str(&self.ask(request)).expect("JSON");
        answer["error"].as_str().expect("a refusal").to_owned()
    }
}

#[test]
fn answers_are_tcpeeks_byte_for_byte() {
    let mut asked = Asked::new();
    asked.tell(recorded());
    assert_eq!(asked.ask("GET\r\n"), GET.trim_end());
    assert_eq!(asked.ask("REFRESH\r\n"), REFRESH.trim_end());
    assert_eq!(asked.ask("REFRESH\r\n"), REFRESH_AGAIN.trim_end());
    for request in ["GET", "GET\n", " GET ", "\r\n"] {
        assert_eq!(asked.ask(request), GET.trim_end(), "{request:?}");
    }
}

/// What the client gave up is in tcpeek's words a failure too; what nobody could
/// decide is none.
#[test]
fn our_outcomes_in_tcpeeks_words() {
    use Outcome::*;
    let mut asked = Asked::new();
    asked.tell(tally(
        &[
            (Success, 1),
            (Reject, 10),
            (Unreach, 100),
            (TimeoutNoSynack, 1000),
            (TimeoutNoAck, 2000),
            (AbortedRst, 40),
            (Aborted, 4000),
            (Indeterminate, 1 << 40),
            (Evicted, 1 << 41),
        ],
        0,
    ));
    let get = asked.ask("GET");
    assert!(get.contains(r#""failure":{"total":7150,"timeout":7000,"reject":50, "unreach":100}"#), "{get}");
    let refresh = asked.ask("REFRESH");
    assert!(refresh.contains(r#""failure":{"total":7150,"timeout":7000,"reject":150}"#), "{refresh}");
}

#[test]
fn each_name_has_a_cursor_of_its_own() {
    let mut asked = Asked::new();
    assert_eq!(asked.web("REFRESH a"), 0, "before the first interval");
    asked.tell(tally(&[(Outcome::Success, 5)], 0));
    assert_eq!((asked.web("REFRESH a"), asked.web("REFRESH a")), (5, 0));
    asked.tell(tally(&[(Outcome::Success, 7)], 0));
    assert_eq!(asked.web("REFRESH a\r\n"), 2);
    assert_eq!((asked.web("REFRESH b"), asked.web("REFRESH"), asked.web("GET")), (7, 7, 7));
    // Sums that are to be told never go down, whatever the order.
    asked.tell(tally(&[(Outcome::Success, 6)], 0));
    assert_eq!(asked.web("REFRESH b"), 0);
}

#[test]
fn what_nobody_got_is_told_again() {
    let mut asked = Asked::new();
    asked.tell(tally(&[(Outcome::Success, 5)], 0));
    let lost = asked.answers.answer(b"REFRESH a");
    asked.answers.give_back(lost);
    assert_eq!(asked.web("REFRESH a"), 5);
    asked.tell(tally(&[(Outcome::Success, 6)], 0));
    let lost = asked.answers.answer(b"REFRESH a");
    asked.tell(tally(&[(Outcome::Success, 9)], 0));
    assert_eq!(asked.web("REFRESH a"), 3, "another one of that name");
    asked.answers.give_back(lost);
    assert_eq!(asked.web("REFRESH a"), 0, "is not told twice what it was told");
}

#[test]
fn names_are_bounded_and_none_makes_room() {
    let mut asked = Asked::new();
    asked.tell(tally(&[(Outcome::Success, 5)], 0));
    for number in 0..NAMES_MAX {
        assert_eq!(asked.web(&format!("REFRESH n{number}")), 5);
    }
    assert!(asked.error("REFRESH more").starts_with("64 names have been used"));
    assert_eq!((asked.web("REFRESH n0"), asked.web("REFRESH")), (0, 5));
}

#[test]
fn what_is_not_followed_is_told() {
    let mut asked = Asked::new();
    assert_eq!(asked.error("PUT x\n"), "there is no request \"PUT\": ask GET, REFRESH, REFRESH NAME or JSON");
    assert!(asked.error("REFRESH a b").starts_with("REFRESH takes one name"));
    assert!(asked.error(&format!("REFRESH {}", "x".repeat(65))).starts_with("REFRESH takes one name"));
    for word in ["GET", "JSON"] {
        let sentence = format!("{word} takes nothing behind it: ask {word} alone");
        assert_eq!(asked.error(&format!("{word} x\r\n")), sentence);
    }
    assert!(asked.error("JSON").starts_with("no interval has ended yet"));
    let odd = asked.answers.answer(&[0xff; REQUEST_MAX]);
    assert!(serde_json::from_slice::<Value>(&odd.bytes).is_ok());
}

#[test]
fn json_is_the_interval_as_lines_have_it() {
    let mut asked = Asked::new();
    let (mut now, coverage) = busy();
    now.handshakes = handshakes();
    let now = Arc::new(now);
    asked.latest.tell(&now, &coverage, &context(), true);
    let lines = |text: &str| -> Vec<Value> {
        let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        let mut lines: Vec<Value> =
            lines.filter(|line: &Value| line["type"] == "interface" || line["type"] == "handshake").collect();
        lines.iter_mut().enumerate().for_each(|(number, line)| line["seq"] = number.into());
        lines
    };
    let mut text = Vec::new();
    let mut output = JsonLines::new(&mut text, style());
    output.start(&start(), &context()).unwrap();
    output.snapshot(&now, &coverage, &context()).unwrap();
    let written = lines(std::str::from_utf8(&text).unwrap());
    let answer = asked.ask("JSON");
    assert_eq!(answer.lines().count(), written.len(), "{answer}");
    assert!(written.len() >= 3);
    assert_eq!(lines(&answer), written);
}
