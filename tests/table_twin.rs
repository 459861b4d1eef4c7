//! The flow table against its slow twin, on random traffic: every flow's
//! packets, bytes, payload, state, client and end; records at random moments;
//! tables that are too small; receivers that have no room.

#[allow(dead_code)]
mod table_run;

use fullcount::decode::Packet;
use fullcount::flow::key::FlowKey;
use fullcount::flow::record::{Account, EndReason};
use fullcount::flow::table::{BATCH, FlowTable};
use fullcount::flow::tcp::{TcpState, state_of};
use fullcount::meter::totals::Totals;
use proptest::prelude::*;
use table_run::stream::{packets, steps};
use table_run::twin::{Flow, Rank, Twin};
use table_run::*;

/// A flow with everything that both tables know of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Whole {
    key: FlowKey,
    start: u64,
    last: u64,
    client: usize,
    packets: [u64; 2],
    bytes: [u64; 2],
    payload: [u64; 2],
    frames: [u64; 2],
    lanes: Vec<((u8, u8), (u64, u64))>,
    state: Option<TcpState>,
    reason: EndReason,
}

fn whole_of_twin(flow: &Flow, reason: EndReason) -> Whole {
    Whole {
        key: flow.key,
        start: flow.start,
        last: flow.last,
        client: flow.client,
        packets: flow.packets,
        bytes: flow.bytes,
        payload: flow.payload,
        frames: flow.frames,
        lanes: flow.lanes.iter().map(|(&name, &count)| (name, count)).collect(),
        state: flow.is_tcp().then(|| flow.state()),
        reason,
    }
}

fn whole_of_account(account: &Account) -> Whole {
    let entry = &account.entry;
    let mut lanes: Vec<((u8, u8), (u64, u64))> =
        account.lanes.iter().map(|one| ((one.side, one.lane.0), (one.packets, one.bytes))).collect();
    if lanes.is_empty() {
        let sides = (0..2usize).filter(|&side| entry.packets(side) > 0);
        lanes = sides
            .map(|side| ((side as u8, entry.lanes[side]), (entry.packets(side), entry.sent[side].bytes)))
            .collect();
    }
    lanes.sort();
    let is_tcp = entry.key.protocol() == fullcount::decode::protocol::TCP;
    Whole {
        key: entry.key,
        start: entry.start,
        last: entry.last,
        client: entry.client(),
        packets: [entry.packets(0), entry.packets(1)],
        bytes: [entry.sent[0].bytes, entry.sent[1].bytes],
        payload: [entry.payload(0), entry.payload(1)],
        frames: [0, 1].map(|side| entry.packets(side) - account.surplus.packets[side]),
        lanes,
        state: is_tcp.then(|| state_of(entry)),
        reason: account.reason,
    }
}

/// Everything that the twin has had, open ones as they are at `now`.
fn twin_flows(twin: &Twin) -> Vec<Whole> {
    let ended = twin.ended.iter().map(|(flow, reason)| whole_of_twin(flow, *reason));
    let live = twin.live.values().map(|flow| {
        let reason = if flow.rank() == Rank::Ended { flow.reason() } else { EndReason::Open };
        whole_of_twin(flow, reason)
    });
    let mut all: Vec<Whole> = ended.chain(live).collect();
    all.sort();
    all
}

fn table_flows(accounts: &[Account]) -> Vec<Whole> {
    let mut all: Vec<Whole> = accounts.iter().map(whole_of_account).collect();
    all.sort();
    all
}

fn untracked(totals: &Totals) -> (u64, u64) {
    let sums = totals.lanes.iter().map(|lane| lane.untracked_sum());
    sums.fold((0, 0), |sum, one| (sum.0 + one.packets, sum.1 + one.bytes))
}

/// Splits packets into batches of 1 to 32, by what a seed says.
fn batches(packets: &[Packet], mut seed: u64) -> Vec<Vec<Packet>> {
    let mut all = Vec::new();
    let mut rest = packets;
    while !rest.is_empty() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (batch, after) = rest.split_at((1 + (seed >> 33) as usize % BATCH).min(rest.len()));
        all.push(batch.to_vec());
        rest = after;
    }
    all
}

/// Compares; says which flow differs, and what its packets were.
fn same_flows(ours: &[Whole], expected: &[Whole], packets: &[Packet]) -> Result<(), TestCaseError> {
    let Some(odd) = ours.iter().zip(expected).position(|(a, b)| a != b) else {
        prop_assert_eq!(ours.len(), expected.len());
        return Ok(());
    };
    let (a, b) = (&ours[odd], &expected[odd]);
    let of_flow = packets.iter().filter(|packet| packet.key == b.key);
    let told: Vec<String> = of_flow
        .map(|p| {
            let time = p.time_ns.saturating_sub(T0) as f64 / 1e9;
            let numbers = (p.sequence, p.acknowledgement);
            format!(
                "{time:.3} s side {} flags {:#x} {numbers:?} +{}",
                p.reversed as u8, p.tcp_flags, p.payload
            )
        })
        .collect();
    Err(TestCaseError::fail(format!("table {a:?}\ntwin  {b:?}\n{}", told.join("\n"))))
}

fn cases(most: u32) -> ProptestConfig {
    ProptestConfig {
        cases: most,
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(1500))]

    /// Flow by flow, with room for all: the same packets, states and ends, in
    /// batches of any size, swept at any moment.
    #[test]
    fn every_flow_is_what_the_twin_says(steps in steps(9, 300), seed: u64, sweeps: bool) {
        let packets = packets(&steps);
        let mut twin = Twin::default();
        packets.iter().for_each(|packet| twin.take(packet));
        let mut table = FlowTable::new(config(1024));
        let (mut totals, mut sink) = (Totals::default(), Collector::default());
        for mut batch in batches(&packets, seed) {
            table.process(&mut batch, &mut totals, &mut sink);
            if sweeps {
                let now = batch.iter().map(|packet| packet.time_ns).max().unwrap_or(0);
                prop_assert!(table.sweep(now, usize::MAX, &mut sink));
            }
        }
        prop_assert_eq!(table.stats().opened, twin.opened);
        prop_assert_eq!(untracked(&totals), twin.untracked);
        // At the time of the last packet nothing else has ended by silence but
        // what a sweep would have ended: compare those by their own reason.
        table.end_all(0, &mut sink);
        sink.take_in();
        let mut ours = table_flows(&sink.accounts);
        let mut expected = twin_flows(&twin);
        if sweeps {
            // The sweep ends what the twin still waits for.
            for flow in ours.iter_mut().chain(&mut expected) {
                if matches!(flow.reason, EndReason::Idle | EndReason::Timeout) {
                    flow.reason = EndReason::Open;
                }
            }
            ours.sort();
            expected.sort();
        }
        same_flows(&ours, &expected, &packets)?;
    }
}
