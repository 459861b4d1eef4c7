//! What was lost besides the rings, from hand-made figures: JSON by the schema,
//! and the sentences with the line that mends each.

#[allow(dead_code)]
#[path = "common/schema.rs"]
mod schema;
#[allow(dead_code)]
#[path = "common/snapshots.rs"]
mod snapshots;

use fullcount::aggregate::culprit::Burst;
use fullcount::capture::{Direction, Lane};
use fullcount::config::OutputMode;
use fullcount::output::json::JsonLines;
use fullcount::output::lost::{
    LinkSettings, Losses, Lost, MachineSettings, Meanwhile, Nic, QdiscDrops, Qdiscs, Reading, RingLost,
    Softnet, Span,
};
use fullcount::output::report::Report;
use fullcount::output::text::Text;
use fullcount::output::{Context, Output, StopReason};
use schema::validate_lines;
use serde_json::{Value, json};
use snapshots::*;
use std::sync::Arc;

fn qdisc(kind: &str, handle: &str, parent: &str, drops: u64, limit: Option<u32>) -> QdiscDrops {
    QdiscDrops { kind: kind.into(), handle: handle.into(), parent: parent.into(), drops, limit }
}

fn lost(nic: Nic, dropped_by: Vec<QdiscDrops>) -> Lost {
    let drops = dropped_by.iter().filter(|one| one.parent != "ingress").map(|one| one.drops).sum();
    Lost { nic: Some(nic), qdisc: Some(Qdiscs { drops, dropped_by, ..Qdiscs::default() }) }
}

fn reading(links: Vec<Lost>, softnet: Option<Softnet>) -> Reading {
    Reading { span: Span { from_ns: NINE + 1_999, until_ns: NINE + S + 2_001 }, links, softnet }
}

/// The second slave could not be read in the interval.
fn losses() -> Losses {
    let nic = Nic { rx_missed_errors: 1200, rx_fifo_errors: 4, ..Nic::default() };
    let first = lost(nic, vec![qdisc("pfifo", "1:", "root", 12, Some(600))]);
    let softnet = Softnet { dropped: 7, time_squeeze: 1, flow_limit: None };
    Losses {
        interval: Some(reading(vec![first.clone(), Lost::default()], Some(softnet))),
        run: Some(reading(vec![first, lost(Nic::default(), Vec::new())], Some(softnet))),
        bursts: Vec::new(),
        links: vec![LinkSettings { rx_ring: Some([512, 4096]), tx_queue: Some(1000) }],
        machine: MachineSettings { max_backlog: Some(1000), budget: Some(300), budget_usecs: Some(8000) },
    }
}

fn with(losses: Losses) -> Context {
    Context { losses: Arc::new(losses), ..context() }
}

fn json(context: &Context, bursts: Vec<Burst>) -> Vec<Value> {
    let (mut snapshot, coverage) = busy();
    snapshot.bursts = bursts;
    let mut text = Vec::new();
    let mut output = JsonLines::new(&mut text, style());
    output.start(&start(), context).unwrap();
    output.snapshot(&snapshot, &coverage, context).unwrap();
    output.stop(&StopReason::Signal, &snapshot, &coverage, context).unwrap();
    validate_lines(&String::from_utf8(text).unwrap())
}

fn text(context: &Context, bursts: Vec<Burst>) -> String {
    let (mut snapshot, coverage) = busy();
    snapshot.bursts = bursts;
    let mut text = Vec::new();
    let mut output = Text::new(&mut text, style());
    output.snapshot(&snapshot, &coverage, context).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn each_place_stands_once_with_its_span() {
    let lines = json(&with(losses()), Vec::new());
    let stop = lines.last().unwrap();
    let first = &lines[1]["lost"];
    // Rounded outwards, so that the span is true.
    let [since, until] = ["2026-11-21T09:00:00.000001Z", "2026-11-21T09:00:01.000003Z"];
    assert_eq!((&first["since"], &first["until"]), (&json!(since), &json!(until)));
    assert_eq!(first["nic"]["rx_missed_errors"], 1200);
    assert_eq!(
        first["qdisc"]["dropped_by"],
        json!([{"kind": "pfifo", "handle": "1:", "parent": "root", "drops": 12, "limit": 600}])
    );
    assert_eq!((&lines[2]["lost"]["nic"], &lines[2]["lost"]["qdisc"]), (&Value::Null, &Value::Null));
    assert_eq!(stop["interfaces"][0]["lost"], *first);
    assert_eq!(stop["interfaces"][1]["lost"]["qdisc"]["drops"], 0);
    assert_eq!(stop["interfaces"][1]["lost"]["qdisc"].get("dropped_by"), None);
    let machine: Vec<&Value> = lines.iter().filter(|line| line["type"] == "machine").collect();
    let softnet = json!({"dropped": 7, "time_squeeze": 1, "flow_limit": null});
    assert_eq!((machine.len(), &machine[0]["softnet"], &machine[0]["since"]), (1, &softnet, &json!(since)));
    assert_eq!(stop["machine"], json!({"since": since, "until": until, "softnet": softnet}));
}

#[test]
fn where_nothing_is_known_nothing_is_told() {
    let lines = json(&context(), Vec::new());
    assert!(lines.iter().all(|line| line["type"] != "machine" && line.get("lost").is_none()));
    assert_eq!(lines.last().unwrap().get("machine"), None);
    let calm = Losses { machine: MachineSettings::default(), ..losses() };
    let calm = Losses {
        interval: Some(reading(vec![Lost::default()], Some(Softnet::default()))),
        run: None,
        ..calm
    };
    let lines = json(&with(calm), Vec::new());
    assert!(lines.iter().all(|line| line["type"] != "machine"), "nothing happened in the interval");
}

#[test]
fn a_sentence_says_what_mends_it() {
    let text = text(&with(losses()), Vec::new());
    let said: Vec<&str> =
        text.lines().filter(|line| line.contains("lost by") || line.contains(": tc ")).collect();
    assert_eq!(
        said,
        [
            "eth0: 1,204 frames lost by the NIC, its receive ring was full of 512 entries: ethtool -G eth0 rx 4096",
            "eth0: 12 frames dropped on the way out by qdisc pfifo 1: root: \
             tc qdisc change dev eth0 root handle 1: pfifo limit 1200",
        ]
    );
    assert!(text.contains("7 packets dropped by the machine between driver and stack: sysctl -w net.core.netdev_max_backlog=2000\n"));
    assert!(text.contains(
        "1 time a CPU had more packets to take in than its budget, NICs' rings fill meanwhile: \
         sysctl -w net.core.netdev_budget=600 net.core.netdev_budget_usecs=16000\n"
    ));
    // A busy machine uses up its budget all the time: no loss, no sentence.
    let softnet = Some(Softnet { time_squeeze: 9, ..Softnet::default() });
    let busy = Losses { run: Some(reading(vec![lost(Nic::default(), Vec::new())], softnet)), ..losses() };
    assert_eq!(busy.told_of_machine(), [""; 0]);
    assert!(text.contains("the ring was full (1 time): --ring-mib 512; coverage"), "{text}");
}

#[test]
fn what_is_not_known_is_not_advised() {
    let told = |nic: Nic, by: Vec<QdiscDrops>, settings: LinkSettings, name: &str| {
        let losses = Losses {
            run: Some(reading(vec![lost(nic, by)], None)),
            links: vec![settings],
            ..Losses::default()
        };
        let mut facts = context().links.remove(0);
        facts.name = name.into();
        losses.told(0, &facts).join("\n")
    };
    let none = LinkSettings::default();
    let missed = Nic { rx_missed_errors: 1, ..Nic::default() };
    let longest = LinkSettings { rx_ring: Some([4096, 4096]), tx_queue: None };
    for (nic, by, settings, expected) in [
        (
            missed,
            None,
            none,
            "1 frame lost by the NIC, its receive ring was full: a longer one, if ethtool -g eth0 shows that it can be (ethtool -G)",
        ),
        (
            missed,
            None,
            longest,
            "1 frame lost by the NIC, its receive ring was full, with 4,096 entries already the longest: more queues (ethtool -L eth0)",
        ),
        (
            Nic { rx_errors: 5, rx_crc_errors: 3, ..Nic::default() },
            None,
            none,
            "5 frames came damaged (3 with a wrong check sequence): cable, transceiver or port (ethtool -S eth0)",
        ),
        (
            Nic { rx_dropped: 2, ..Nic::default() },
            None,
            none,
            "2 received frames dropped by driver or stack, for want of buffers or as nobody wanted them: ethtool -S eth0",
        ),
        (
            Nic { tx_errors: 2, tx_carrier_errors: 2, ..Nic::default() },
            None,
            none,
            "2 frames not sent by the driver, behind the qdiscs: ethtool -S eth0",
        ),
        (
            Nic::default(),
            Some(qdisc("pfifo_fast", "0:", "root", 2, None)),
            LinkSettings { tx_queue: Some(1000), ..none },
            "2 frames dropped on the way out by qdisc pfifo_fast 0: root: ip link set dev eth0 txqueuelen 2000",
        ),
        (
            Nic::default(),
            Some(qdisc("pfifo_fast", "0:", "root", 2, None)),
            none,
            "2 frames dropped on the way out by qdisc pfifo_fast 0: root: tc -s qdisc show dev eth0",
        ),
        (
            Nic::default(),
            Some(qdisc("fq_codel", "0:", "0:1", 2, None)),
            none,
            "2 frames dropped on the way out by qdisc fq_codel 0: parent 0:1: that is how it keeps its queue short; more is sent than the link takes (tc -s qdisc show dev eth0)",
        ),
        (
            Nic::default(),
            Some(qdisc("clsact", "ffff:", "ingress", 2, None)),
            none,
            "2 frames dropped on the way in by qdisc clsact ffff: ingress: a filter's doing, behind the capture (tc -s filter show dev eth0 ingress)",
        ),
        (Nic::default(), None, none, ""),
    ] {
        assert_eq!(told(nic, by.into_iter().collect(), settings, "eth0"), expected);
    }
    // A name is whatever somebody gave it.
    assert!(told(missed, Vec::new(), none, "a;b'c").contains(r"ethtool -g 'a;b'\''c' shows"));
}

fn burst() -> Burst {
    Burst {
        lane: Lane::new(0, Direction::Tx),
        from_ms: NINE / 1_000_000 + 100,
        until_ms: NINE / 1_000_000 + 120,
        connections: 1,
        senders: 1,
        ..Burst::default()
    }
}

#[test]
fn a_burst_has_what_was_lost_around_it_and_says_when() {
    let all = losses();
    let run = all.run.clone().unwrap();
    let ring = (Span { from_ns: NINE, until_ns: NINE + 2 * S }, RingLost { kernel_drops: 3, freezes: 1 });
    let whole = Meanwhile { lost: Some((run.span, run.links[0].clone(), run.softnet)), ring: Some(ring) };
    let quiet = Meanwhile { lost: Some((run.span, run.links[1].clone(), None)), ring: None };
    let context = with(Losses { bursts: vec![whole, Meanwhile::default(), quiet], ..all });
    let lines = json(&context, vec![burst(), burst(), burst()]);
    let meanwhile: Vec<&Value> =
        lines.iter().filter(|line| line["type"] == "burst").map(|line| &line["lost_meanwhile"]).collect();
    assert_eq!(meanwhile[0]["nic"]["rx_missed_errors"], 1200);
    assert_eq!(
        (&meanwhile[0]["qdisc"]["drops"], &meanwhile[0]["softnet"]["dropped"]),
        (&json!(12), &json!(7))
    );
    assert_eq!(
        meanwhile[0]["ring"],
        json!({"since": "2026-11-21T09:00:00.000000Z", "until": "2026-11-21T09:00:02.000000Z", "kernel_drops": 3, "freezes": 1})
    );
    let unknown =
        json!({"since": null, "until": null, "nic": null, "qdisc": null, "softnet": null, "ring": null});
    assert_eq!(*meanwhile[1], unknown, "no reading after it");
    assert_eq!((&meanwhile[2]["qdisc"]["drops"], &meanwhile[2]["softnet"]), (&json!(0), &Value::Null));
    let text = text(&context, vec![burst(), burst(), burst()]);
    let said: Vec<&str> = text.lines().filter(|line| line.contains("around it")).collect();
    assert_eq!(
        said,
        ["  lost at some time around it (2026-11-21 09:00:00 to 09:00:02 UTC): NIC 1,204, qdisc 12, \
          softnet (of the machine) 7, ring 3"]
    );
    // Without readings, as in a file, nothing is claimed.
    let lines = json(&self::context(), vec![burst()]);
    assert!(lines.iter().all(|line| line.get("lost_meanwhile").is_none()));
}

#[test]
fn a_report_has_the_run() {
    let (snapshot, coverage) = busy();
    let mut context = with(losses());
    let mut all = losses();
    all.interval = None;
    context.losses = Arc::new(all);
    let mut report = Report::new(OutputMode::Json, style());
    report.begin(&start());
    let mut text = Vec::new();
    report.write(&mut text, &StopReason::Signal, &snapshot, &coverage, &context).unwrap();
    let lines = validate_lines(&String::from_utf8(text).unwrap());
    let interface = lines.iter().find(|line| line["type"] == "interface").unwrap();
    assert_eq!(interface["lost"], lines.last().unwrap()["interfaces"][0]["lost"]);
    assert_eq!(lines.iter().filter(|line| line["type"] == "machine").count(), 1);
}
