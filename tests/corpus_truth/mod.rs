//! Lines of the program against the truth of a capture, field by field.
//!
//! The truth comes from other programs (fixtures/corpus/README.md says how). A
//! value may be `disputed`: several are right, or none is judged. Connections are
//! found by their 5-tuple and start.

use serde_json::Value;
use std::collections::BTreeMap;

/// Both sides may round to the microsecond.
const SAME_TIME: f64 = 2e-6;
/// Starts that are nearer than this are the same connection's.
const SAME_START: f64 = 1e-3;
/// RFC 3339 ends there.
const YEAR_10000: f64 = 253_402_300_800.0;

/// Fields of a direction: name in the truth, and the fields of a line that it is the sum of.
const DIRECTION: [(&str, &[&str]); 11] = [
    ("packets", &["packets"]),
    ("bytes", &["bytes"]),
    ("payload_bytes", &["payload_bytes"]),
    ("stream_bytes", &["stream_bytes"]),
    ("missing_bytes", &["missing_bytes"]),
    ("retransmitted_segments", &["retransmitted_segments"]),
    ("retransmitted_bytes", &["retransmitted_bytes"]),
    ("out_of_order_segments", &["out_of_order_segments", "recovered_segments"]),
    ("syn", &["syn"]),
    ("fin", &["fin"]),
    ("rst", &["rst"]),
];
const HANDSHAKE: [&str; 4] =
    ["syn_retransmitted", "synack_retransmitted", "syn_to_synack_seconds", "synack_to_ack_seconds"];
/// Summed over a 5-tuple whose connections may be told apart differently.
const SUMS: [&str; 3] = ["packets", "bytes", "payload_bytes"];

/// One value that is not as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// `address port > address port`, as the truth has them; empty for the whole capture.
    pub ends: String,
    pub field: String,
    pub given: String,
    pub should: String,
}

/// What was compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub connections: u64,
    pub disputed: u64,
    pub udp: u64,
}

/// What a line says of a truth's field: frames where they stand there, since a file holds frames.
fn given(line: &Value, way: &str, field: &str) -> Value {
    let frames = match field {
        "packets" => line[way].get("frames"),
        "bytes" => line[way].get("frame_bytes"),
        _ => None,
    };
    if let Some(frames) = frames.filter(|frames| !frames.is_null()) {
        return frames.clone();
    }
    let (_, names) = DIRECTION.iter().find(|(name, _)| *name == field).expect("a field");
    let parts: Option<Vec<u64>> = names.iter().map(|name| line[way][*name].as_u64()).collect();
    parts.map_or(Value::Null, |parts| parts.iter().sum::<u64>().into())
}

fn equal(mine: &Value, theirs: &Value) -> bool {
    let float = |value: &Value| value.is_f64();
    if float(mine) || float(theirs) {
        return match (mine.as_f64(), theirs.as_f64()) {
            (Some(mine), Some(theirs)) => (mine - theirs).abs() <= SAME_TIME,
            _ => false,
        };
    }
    let count = |value: &Value| if value.is_null() { 0.into() } else { value.clone() };
    count(mine) == count(theirs)
}

/// Days from 1970 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// Seconds since 1970 of a time in UTC as lines have it, or of digits as the truth has them.
pub fn seconds(value: &Value) -> Option<f64> {
    let text = value.as_str()?;
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers: Vec<i64> = date.splitn(3, '-').filter_map(|part| part.parse().ok()).collect();
    let clock: Vec<f64> = time.splitn(3, ':').filter_map(|part| part.parse().ok()).collect();
    match (numbers.as_slice(), clock.as_slice()) {
        (&[year, month, day], &[hour, minute, second]) => {
            Some(days(year, month, day) as f64 * 86_400.0 + hour * 3600.0 + minute * 60.0 + second)
        }
        _ => None,
    }
}

type End = (String, u64);

fn ends(of: &Value) -> (End, End) {
    let end = |end: &Value| (end["ip"].as_str().unwrap_or("").to_owned(), end["port"].as_u64().unwrap_or(0));
    (end(&of["client"]), end(&of["server"]))
}

fn name(of: &(End, End)) -> String {
    format!("{} {} > {} {}", of.0.0, of.0.1, of.1.0, of.1.1)
}

/// The value of a disputed field must be one of its witnesses', unless it is open.
fn settles(dispute: &Value, value: &Value) -> bool {
    let Some(witnesses) = dispute.as_object() else { return false };
    let agrees =
        witnesses.iter().any(|(who, said)| !matches!(who.as_str(), "why" | "open") && equal(said, value));
    agrees || dispute["open"] == true
}

/// Compares one connection with its line.
struct Check<'a> {
    truth: &'a Value,
    line: &'a Value,
    name: String,
    found: Vec<Difference>,
}

impl Check<'_> {
    fn differ(&mut self, field: &str, should: String, given: &Value) {
        let (ends, field, given) = (self.name.clone(), field.to_owned(), given.to_string());
        self.found.push(Difference { ends, field, given, should });
    }

    fn field(&mut self, field: &str, should: &Value, given: &Value) {
        match self.truth["disputed"].get(field) {
            Some(dispute) if settles(dispute, given) => {}
            Some(dispute) => self.differ(field, format!("one of {dispute}"), given),
            None if equal(should, given) => {}
            None => self.differ(field, should.to_string(), given),
        }
    }

    fn all(&mut self) {
        let (truth, line) = (self.truth, self.line);
        let turned = ends(truth) != ends(line);
        if turned && truth["client_known_by"] != "guessed" {
            self.differ("client", truth["client"].to_string(), &line["client"]);
        }
        for (way, other) in [("c2s", "s2c"), ("s2c", "c2s")] {
            for (field, _) in DIRECTION {
                let said = given(line, if turned { other } else { way }, field);
                self.field(&format!("{way}.{field}"), &truth[way][field], &said);
            }
        }
        self.times();
        if !truth["exchanges"]["count"].is_null() {
            self.field("exchanges", &truth["exchanges"]["count"], &line["exchanges"]["count"]);
        }
        if truth["start_seen"] == true && truth["disputed"].get("handshake").is_none() {
            self.handshake();
        }
    }

    fn times(&mut self) {
        let first = "first segment in the file is not the earliest";
        let notes = self.truth["notes"].as_array();
        if notes.is_some_and(|notes| notes.iter().any(|note| note == first)) {
            return;
        }
        for field in ["start", "end"] {
            let should = seconds(&self.truth[field]).expect("a time");
            let said = seconds(&self.line[field]).unwrap_or(0.0);
            if should < YEAR_10000 {
                self.field(field, &should.into(), &said.into());
            }
        }
    }

    fn handshake(&mut self) {
        let (truth, line) = (&self.truth["handshake"], &self.line["handshake"]);
        for field in HANDSHAKE {
            if let Some(should) = truth.get(field) {
                self.field(&format!("handshake.{field}"), should, &line[field]);
            }
        }
        let allowed = match truth["outcome"].as_str() {
            Some("success") => "success",
            Some("rejected") => "reject",
            Some("unreachable") => "unreach",
            Some("unanswered" | "synack_unanswered") => "timeout",
            _ => return,
        };
        let outcome = &line["outcome"];
        let still_open = truth["still_open_at_end"] == true && outcome.is_null();
        if outcome != allowed && !still_open {
            self.differ("handshake.outcome", allowed.to_owned(), outcome);
        }
    }
}

/// Pairs connections of one 5-tuple by their order; where the numbers differ, by
/// the nearest start. Those left over are missed, or too many.
fn pair<'a>(
    truths: &[&'a Value],
    lines: &[&'a Value],
) -> (Vec<(&'a Value, &'a Value)>, Vec<&'a Value>, Vec<&'a Value>) {
    let start = |of: &&Value| seconds(&of["start"]).unwrap_or(0.0);
    let (mut truths, mut free) = (truths.to_vec(), lines.to_vec());
    truths.sort_by(|a, b| start(a).total_cmp(&start(b)));
    free.sort_by(|a, b| start(a).total_cmp(&start(b)));
    if truths.len() == free.len() {
        return (truths.into_iter().zip(free).collect(), Vec::new(), Vec::new());
    }
    let (mut pairs, mut missed) = (Vec::new(), Vec::new());
    for truth in truths {
        match free.iter().position(|line| (start(line) - start(&truth)).abs() < SAME_START) {
            Some(at) => pairs.push((truth, free.remove(at))),
            None => missed.push(truth),
        }
    }
    (pairs, missed, free)
}

/// Sums over connections of one 5-tuple, by direction and field.
fn sums(connections: &[&Value], first: &End, lines: bool) -> BTreeMap<(bool, &'static str), u64> {
    let mut sums = BTreeMap::new();
    for connection in connections {
        for way in ["c2s", "s2c"] {
            let forth = (ends(connection).0 == *first) == (way == "c2s");
            for field in SUMS {
                let value =
                    if lines { given(connection, way, field) } else { connection[way][field].clone() };
                *sums.entry((forth, field)).or_default() += value.as_u64().unwrap_or(0);
            }
        }
    }
    sums
}

/// Compares the sums of a 5-tuple whose connections are disputed as a whole.
fn compare_sums(truths: &[&Value], lines: &[&Value], found: &mut Vec<Difference>) {
    let both = ends(truths[0]);
    let said = sums(lines, &both.0, true);
    let open = |field: &str| {
        let is = |key: &String| key.split_once('.').is_some_and(|(_, name)| name == field);
        truths.iter().any(|truth| truth["disputed"].as_object().is_some_and(|all| all.keys().any(is)))
    };
    for (key, should) in sums(truths, &both.0, false) {
        let given = said.get(&key).copied().unwrap_or(0);
        if given != should && !open(key.1) {
            found.push(Difference {
                ends: name(&both),
                field: format!("sum of {}", key.1),
                given: given.to_string(),
                should: should.to_string(),
            });
        }
    }
}

/// The totals of the last line: packets and bytes of all interfaces, and their frames.
fn totals(lines: &[Value]) -> Option<((u64, u64), u64)> {
    let stop = lines.iter().rfind(|line| line["type"] == "stop")?;
    let (mut sum, mut frames) = ((0, 0), 0);
    let interfaces = stop["interfaces"].as_array()?;
    for one in interfaces {
        for way in ["rx", "tx"] {
            sum.0 += one[way]["packets"].as_u64().unwrap_or(0);
            sum.1 += one[way]["bytes"].as_u64().unwrap_or(0);
        }
        frames += one["capture"]["frames"].as_u64().unwrap_or(0);
    }
    (!interfaces.is_empty()).then_some((sum, frames))
}

fn compare_totals(truth: &Value, lines: &[Value], found: &mut Vec<Difference>) {
    let of = |field: &str| truth["totals"][field].as_u64().unwrap_or(0);
    let should = (of("packets"), of("bytes"));
    let given = totals(lines);
    if given.map(|(sum, _)| sum) == Some(should) || (given.is_none() && should.0 == 0) {
        return;
    }
    let mut differ = |field: &str, given: String, should: String| {
        found.push(Difference { ends: String::new(), field: field.to_owned(), given, should });
    };
    // Super-frames count as their packets: then the frames are what can be compared.
    match given {
        Some(((packets, bytes), frames)) if of("frames_above_1500_ip_bytes") > 0 => {
            if frames != should.0 {
                differ("frames", frames.to_string(), should.0.to_string());
            }
            if packets < should.0 || bytes < should.1 {
                differ("totals", format!("{packets}, {bytes}"), format!("{should:?}"));
            }
        }
        given => differ("totals", format!("{given:?}"), format!("{should:?}")),
    }
}

/// Compares all that is judged of a capture.
pub fn compare(truth: &Value, lines: &[Value]) -> (Count, Vec<Difference>) {
    let (mut count, mut found) = (Count::default(), Vec::new());
    if truth["judged"] == "run" {
        return (count, found);
    }
    compare_totals(truth, lines, &mut found);
    if truth["judged"] != "all" {
        return (count, found);
    }
    compare_udp(truth, lines, &mut count, &mut found);
    let mut groups: BTreeMap<Vec<End>, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    let key = |of: &Value| {
        let both = ends(of);
        let mut both = vec![both.0, both.1];
        both.sort();
        both
    };
    for one in truth["connections"].as_array().expect("a list") {
        groups.entry(key(one)).or_default().0.push(one);
    }
    for line in lines.iter().filter(|line| line["type"] == "connection" && line["protocol"] == "tcp") {
        groups.entry(key(line)).or_default().1.push(line);
    }
    for (truths, lines) in groups.values() {
        compare_tuple(truths, lines, &mut count, &mut found);
    }
    (count, found)
}

fn compare_tuple(truths: &[&Value], lines: &[&Value], count: &mut Count, found: &mut Vec<Difference>) {
    if let Some(doubt) = truths.iter().find_map(|truth| truth["disputed"].get("connection")) {
        count.disputed += truths.len() as u64;
        if doubt.is_object() {
            compare_sums(truths, lines, found);
        }
        return;
    }
    count.connections += truths.len() as u64;
    let (pairs, missed, extra) = pair(truths, lines);
    let lone = |of: &&Value, field: &str| Difference {
        ends: name(&ends(of)),
        field: field.to_owned(),
        given: of["start"].to_string(),
        should: String::new(),
    };
    // What is stray need not have a line: its frames stand in the totals.
    found.extend(missed.iter().filter(|truth| truth["stray"] != true).map(|truth| lone(truth, "missed")));
    found.extend(extra.iter().map(|line| lone(line, "extra")));
    for (truth, line) in pairs {
        let mut check = Check { truth, line, name: name(&ends(truth)), found: Vec::new() };
        check.all();
        found.extend(check.found);
    }
}

/// Packets and bytes of each UDP conversation and direction, over all its lines.
fn compare_udp(truth: &Value, lines: &[Value], count: &mut Count, found: &mut Vec<Difference>) {
    let mut sums: BTreeMap<(End, End), (u64, u64)> = BTreeMap::new();
    for line in lines.iter().filter(|line| line["type"] == "connection" && line["protocol"] == "udp") {
        let (client, server) = ends(line);
        for (way, both) in [("c2s", (client.clone(), server.clone())), ("s2c", (server, client))] {
            let sum = sums.entry(both).or_default();
            sum.0 += given(line, way, "packets").as_u64().unwrap_or(0);
            sum.1 += given(line, way, "bytes").as_u64().unwrap_or(0);
        }
    }
    for one in truth["udp"].as_array().expect("a list") {
        let (a, b) = ends(&serde_json::json!({"client": one["a"], "server": one["b"]}));
        let mut ways = vec![(a.clone(), b.clone(), "a2b")];
        if a != b {
            ways.push((b, a, "b2a"));
        }
        let judged = one.get("disputed").is_none();
        count.udp += u64::from(judged);
        for (from, to, way) in ways {
            let both = (from, to);
            let said = sums.remove(&both).unwrap_or_default();
            let count = |field: &str| one[way][field].as_u64().unwrap_or(0);
            let should = (count("packets"), count("bytes"));
            if judged && said != should {
                let (given, should) = (format!("{said:?}"), format!("{should:?}"));
                found.push(Difference { ends: name(&both), field: "udp".to_owned(), given, should });
            }
        }
    }
    for (both, said) in sums.iter().filter(|(_, said)| said.0 > 0) {
        let given = format!("{said:?}");
        found.push(Difference {
            ends: name(both),
            field: "udp".to_owned(),
            given,
            should: "none".to_owned(),
        });
    }
}
