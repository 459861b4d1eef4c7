//! Cuts that come late, in any order, or not at all; workers that go; more
//! rows in one interval than there is room for.

#[path = "common/frames.rs"]
mod frames;
#[path = "file_writer/mod.rs"]
mod writer;

use frames::{Ends, ethernet, ip, udp};
use fullcount::aggregate::snapshot::{Fault, RowName, Snapshot};
use fullcount::aggregate::view::{Grouping, Order, View, Views};
use fullcount::aggregate::{Aggregator, Config};
use fullcount::capture::{Direction, Lane};
use fullcount::decode::{Kind, Packet};
use fullcount::flow::key::{End, FlowKey};
use fullcount::flow::table::TableConfig;
use fullcount::meter::totals::LaneTotals;
use fullcount::worker::Worker;
use fullcount::worker::outbox::{Cut, Inbox, LaneMark, Outbox, outbox};
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use writer::Classic;

const S: u64 = 1_000_000_000;

fn aggregator(inboxes: Vec<Inbox>, views: Views) -> Aggregator {
    let patience = Some(Duration::from_millis(30));
    let config = Config { interval_ns: S, views, averages: false, patience, flows_max: 1 << 16 };
    let mut aggregator = Aggregator::new(config, inboxes);
    aggregator.begin_at(9 * S);
    aggregator
}

/// A cut at second `at` of a worker that has counted so many packets.
fn cut(outbox: &mut Outbox, at: u64, packets: u64, moments: &[u64]) {
    let mut lane = LaneTotals { frames: packets, ..LaneTotals::default() };
    lane.count.packets = packets;
    let mark = |&moment: &u64| LaneMark { at_ns: moment, lanes: vec![lane] };
    let marks = moments.iter().map(mark).collect();
    outbox.cut(Box::new(Cut { boundary_ns: at * S, lanes: vec![lane], marks, ..Cut::default() }));
}

/// Time, packets of the interval, who was late.
fn told(snapshot: &Snapshot) -> (u64, u64, Vec<usize>) {
    let packets = snapshot.interfaces.first().map_or(0, |one| one.interval[0].count.packets);
    (snapshot.time_ns / S, packets, snapshot.late_workers.clone())
}

#[test]
fn what_a_late_worker_counted_comes_with_the_next_line() {
    let ((mut first, one), (mut second, two)) = (outbox(8, false, false), outbox(8, false, false));
    let mut aggregator = aggregator(vec![one, two], Views::default());
    let mut next = || told(&aggregator.next_snapshot().expect("a line"));
    cut(&mut first, 10, 100, &[]);
    assert_eq!(next(), (10, 100, vec![1]));
    cut(&mut second, 10, 100, &[]);
    cut(&mut second, 11, 200, &[]);
    cut(&mut first, 11, 200, &[]);
    assert_eq!(next(), (11, 300, vec![]));
    cut(&mut second, 12, 300, &[]);
    cut(&mut first, 12, 300, &[]);
    assert_eq!(next(), (12, 200, vec![]));
}

#[test]
fn a_moment_that_one_worker_never_noted_holds_up_no_other() {
    let ((mut first, one), (mut second, two)) = (outbox(8, false, false), outbox(8, false, false));
    let mut aggregator = aggregator(vec![one, two], Views::default());
    cut(&mut first, 10, 100, &[9 * S, 9 * S + 1]);
    cut(&mut second, 10, 10, &[9 * S + 1]);
    let snapshot = aggregator.next_snapshot().expect("a line");
    let [(at, lanes)] = snapshot.marks.as_slice() else { panic!("{:?}", snapshot.marks) };
    assert_eq!((*at, lanes[0].count.packets), (9 * S + 1, 110));
    // The clock was set back: the order is that in which things happened.
    cut(&mut first, 11, 200, &[3 * S]);
    cut(&mut second, 11, 20, &[3 * S]);
    let snapshot = aggregator.next_snapshot().expect("a line");
    assert_eq!(snapshot.marks.iter().map(|mark| mark.0).collect::<Vec<_>>(), [3 * S]);
}

#[test]
fn a_worker_that_is_gone_is_told_once_and_the_others_go_on() {
    let ((first, one), (mut second, two)) = (outbox(8, false, false), outbox(8, false, false));
    let mut worker = Worker::new(table(16), first);
    // Records without a cut behind them.
    worker.take(&mut (0..3000).map(|number| packet(number, 9 * S, 100)).collect::<Vec<_>>());
    drop(worker);
    let mut aggregator = aggregator(vec![one, two], Views::default());
    for at in 10..13 {
        let whole = Cut { boundary_ns: at * S, whole: true, ..Cut::default() };
        second.cut(Box::new(whole));
        let snapshot = aggregator.next_snapshot().expect("a line");
        let expected: &[Fault] = if at == 10 { &[Fault::WorkerGone { worker: 0 }] } else { &[] };
        assert_eq!(snapshot.faults, expected);
        assert_eq!(snapshot.time_ns, at * S);
    }
}

fn table(flows_max: usize) -> TableConfig {
    TableConfig {
        flows_max,
        handshake_timeout_ns: 60 * S,
        accounts: false,
        active_timeout_ns: 0,
        seed: [1, 2],
    }
}

/// A packet of one of many UDP flows, on interface `number % 3`.
fn packet(number: u32, time_ns: u64, bytes: u32) -> Packet {
    let client = End::v4(0xc612_0000 + number, 1000);
    let (key, reversed) = FlowKey::new(client, End::v4(0xc613_0001, 53), 17, false, 0, 0);
    let lane = Lane::new((number % 3) as u8, Direction::Rx);
    let frame_bytes = bytes;
    Packet { key, reversed, time_ns, bytes, frame_bytes, kind: Kind::Udp, lane, ..Packet::default() }
}

/// A table of 500 through which 60,000 flows go in one interval: whatever the
/// order, the rows shown are the first of all of them.
#[test]
fn the_rows_of_an_interval_are_the_first_of_all_that_ended_in_it() {
    const FLOWS: u32 = 60_000;
    // Interface 2 has small flows alone; by bytes they are far down the list.
    let bytes = |number: u32| match number % 3 {
        2 => 60 + number % 500,
        _ => 1000 + number.wrapping_mul(2_654_435_761) % 100_000,
    };
    for order in [Order::Bytes, Order::Rate, Order::Packets, Order::None] {
        let view = View { grouping: Grouping::Connection, order, offset: 0, limit: 50, only: None };
        let (out, inbox) = outbox(128, false, false);
        let views = Views { rows: Some(view.clone()), link_rows: Some(view) };
        let mut aggregator = aggregator(vec![inbox], views);
        let mut worker = Worker::new(table(500), out);
        let thread = std::thread::spawn(move || {
            for first in (0..FLOWS).step_by(1000) {
                let mut some: Vec<Packet> =
                    (first..first + 1000).map(|number| packet(number, 9 * S + 5, bytes(number))).collect();
                worker.take(&mut some);
                // There is room for all: the aggregator takes what is sent.
                std::thread::yield_now();
            }
            worker.begin_cut(10 * S);
            while worker.between_batches(10 * S) {}
            worker
        });
        let snapshot = aggregator.next_snapshot().expect("a line");
        thread.join().expect("the worker");
        assert_eq!(snapshot.table.unreported, 0, "room for all");
        let expected = |link: Option<u32>| {
            let mut all: Vec<(u64, FlowKey)> = (0..FLOWS)
                .filter(|number| link.is_none_or(|link| number % 3 == link))
                .map(|number| (u64::from(bytes(number)), packet(number, 0, 0).key))
                .collect();
            match order {
                Order::Bytes | Order::Rate => {
                    all.sort_by_key(|&(bytes, key)| (std::cmp::Reverse(bytes), key))
                }
                _ => all.sort_by_key(|&(_, key)| key),
            }
            all.truncate(50);
            all.into_iter().map(|(_, key)| RowName::Connection(key)).collect::<Vec<_>>()
        };
        let names = |rows: &[fullcount::aggregate::snapshot::Row]| -> Vec<RowName> {
            rows.iter().map(|row| row.name).collect()
        };
        assert_eq!(names(&snapshot.rows), expected(None), "{order:?}");
        assert_eq!(snapshot.rows_found, u64::from(FLOWS), "{order:?}");
        for (link, rows) in snapshot.link_rows.iter().enumerate() {
            assert_eq!(names(rows), expected(Some(link as u32)), "{order:?} of {link}");
        }
    }
}

/// One worker's flows end by the thousand within an interval while the others
/// have little: nobody waits for anybody for ever.
#[test]
fn several_workers_on_a_file_do_not_wait_for_each_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("many.pcap");
    let packets: Vec<writer::Packet> = (0..90_000u32)
        .map(|number| {
            let client = (0xc612_0000 + number % 40_000).to_be_bytes();
            let ends = Ends::v4((client, 1000 + (number / 40_000) as u16), ([198, 19, 0, 1], 53));
            let data = ethernet(&[], 0x0800, &ip(ends, frames::UDP, &udp(ends, 10)));
            let time_ns = 1_000 * S + u64::from(number) * 1000;
            writer::Packet { time_ns, len: data.len() as u32, data }
        })
        .collect();
    std::fs::write(&path, Classic::MICRO.write(&packets).concat()).expect("written");
    for (workers, more) in [("2", "-o json"), ("4", "-o json --connections"), ("4", "-o text")] {
        let mut run = Command::new(env!("CARGO_BIN_EXE_fullcount"))
            .args(["-r", &path.to_string_lossy(), "--workers", workers, "--max-flows", "1000"])
            .args(more.split(' '))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut out = run.stdout.take().expect("a pipe");
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).map(|_| text)
        });
        let until = Instant::now() + Duration::from_secs(60);
        let ended = loop {
            if let Some(ended) = run.try_wait().expect("a child") {
                break ended;
            }
            if Instant::now() > until {
                run.kill().expect("ours");
                panic!("{workers} workers, {more}: stands still");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let text = reader.join().expect("a reader").expect("text");
        assert!(ended.success());
        assert!(text.contains("90000") || text.contains("90,000"), "{text}");
    }
}

/// The handle outlives the run and still says how it ended.
#[test]
fn the_latest_snapshot_is_there_for_whoever_asks() {
    let (mut out, inbox) = outbox(8, false, false);
    let mut aggregator = aggregator(vec![inbox], Views::default());
    let handle = aggregator.handle();
    assert!(handle.latest().is_none());
    cut(&mut out, 10, 7, &[]);
    let snapshot = aggregator.next_snapshot().expect("a line");
    assert!(handle.latest().is_some_and(|latest| Arc::ptr_eq(&latest, &snapshot)));
    drop(aggregator);
    assert_eq!(handle.latest().map(|latest| latest.packets()), Some(7));
    assert!(!handle.ask(Views::default()), "nobody is there to ask");
}
