//! What looking back takes in memory, by what the allocator handed out: an hour of
//! seconds with more of everything than most runs have stays within its bound.

#[allow(dead_code)]
#[path = "common/snapshots.rs"]
mod snapshots;

use fullcount::aggregate::ask::Answer;
use fullcount::aggregate::balance::{ClassSpread, LinkSet, Placing, SetFigures, Spread};
use fullcount::aggregate::culprit::{Burst, Culprit};
use fullcount::aggregate::snapshot::{Row, Snapshot};
use fullcount::capture::Direction;
use fullcount::flow::key::FlowKey;
use fullcount::meter::journal::FlowName;
use fullcount::output::tui::past::{LISTS, Past, ROWS};
use fullcount::output::{Coverage, lost::Losses};
use snapshots::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what this thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
}

fn hold(bytes: i64) {
    // A thread that is being torn down asks too, and is not measured.
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: everything is the system allocator's; counting touches a thread's own cell.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        hold(layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        hold(-(layout.size() as i64));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(memory, layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        hold(size as i64 - layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BYTES_MAX: i64 = 64 << 20;

fn row(number: u16) -> Row {
    let key = key_v4(6, ([192, 0, 2, 7], number), ([198, 51, 100, 2], 443));
    connection_row(key, None, [count(9, 9000 + u64::from(number)); 2], [count(9, 9000); 2])
}

fn burst(from_ms: u64) -> Burst {
    let who = FlowName { key: FlowKey::default(), start_ns: 0, client_second: false };
    let culprit = Culprit { who, sent: [count(1, 1); 2], excess_bytes: 1, excess_of_all: 1, began: false };
    Burst {
        lane: lane(0, Direction::Rx),
        from_ms,
        until_ms: from_ms + 20,
        others: vec![(1, 1); 7],
        connections: 20,
        senders: 20,
        culprits: vec![culprit; 20],
        ..Burst::default()
    }
}

/// A bond of so many links, with classes.
fn bond(links: u8) -> SetFigures {
    let counts = vec![count(9, 9000); usize::from(links)];
    let class = ClassSpread { class: 1, bytes: vec![9; usize::from(links)], balance: None };
    let spread = Spread {
        counts,
        balance: None,
        asymmetry_ms: Some(1),
        classes: vec![class; 4],
        untracked: vec![9; usize::from(links)],
    };
    let set = LinkSet {
        name: Some("bond0".into()),
        links: (0..links).collect(),
        usable: (0..links).collect(),
        placing: Placing::Policy("layer3+4".into()),
        in_order: true,
        version: None,
        met_only: false,
        since_ns: 0,
    };
    SetFigures {
        set,
        interval: [spread.clone(), spread.clone()],
        total: [spread.clone(), spread],
        flows: Default::default(),
        verdict: None,
        better: Some("layer3+4".into()),
        judged: None,
        verdict_since_ns: 0,
    }
}

/// A second of so many links, with so many bursts.
fn second(at: u64, links: u8, bursts: u64) -> Snapshot {
    let (mut snapshot, _) = busy();
    snapshot.time_ns = NINE + at * S;
    snapshot.interfaces =
        (0..links).map(|n| interface(n, lane_totals(9, 9000), lane_totals(9, 9000))).collect();
    snapshot.spreads = vec![Default::default(); usize::from(links)];
    snapshot.link_rows = vec![(0..ROWS as u16).map(row).collect(); usize::from(links)];
    snapshot.handshakes.watches = vec![handshakes().watches[0].clone(); 2];
    snapshot.balances = vec![bond(links)];
    let begin = snapshot.time_ns / 1_000_000 - 1000;
    snapshot.bursts = (0..bursts).map(|n| burst(begin + 25 * n)).collect();
    snapshot
}

/// What is held at most in so many seconds, and how many of them are kept in the end.
fn held(links: u8, bursts: u64, seconds: u64) -> (i64, u64) {
    let before = HELD.with(Cell::get);
    let mut past = Past::default();
    let coverage = vec![[Coverage::default(); 2]; usize::from(links)];
    let mut most = 0;
    for at in 1..=seconds {
        let snapshot = second(at, links, bursts);
        past.take(&snapshot, &snapshot, &coverage, &Losses::default());
        for list in 0..LISTS.len() {
            let rows = (0..ROWS as u16).map(row).collect();
            past.take_rows(
                list,
                &Answer { number: 1, rows, found: 9, time_ns: snapshot.time_ns, whole: true },
            );
        }
        drop(snapshot);
        most = most.max(HELD.with(Cell::get) - before);
    }
    (most, (past.near(u64::MAX).unwrap_or(0) - past.near(0).unwrap_or(0)) / S)
}

#[test]
fn an_hour_is_kept_within_its_bound_whatever_there_is() {
    let runs = [(2, 0, 5000, 3000), (2, 40, 5000, 2900), (8, 2, 3000, 1500), (64, 1, 500, 250)];
    for (links, bursts, seconds, least) in runs {
        let (most, seconds) = held(links, bursts, seconds);
        println!("{links} links, {bursts} bursts a second: {seconds} s in {} KiB", most >> 10);
        assert!(most <= BYTES_MAX, "{links} links, {bursts} bursts: {most} bytes");
        assert!(seconds >= least, "{links} links, {bursts} bursts: {seconds} s");
    }
}
