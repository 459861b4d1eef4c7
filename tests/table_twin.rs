//! The flow table against its slow twin, on random traffic: every flow's
//! packets, bytes, payload, state, client and end; records at random moments;
//! tables that are too small; receivers that have no room.

#[allow(dead_code)]
mod table_run;

use fullcount::decode::Packet;
use fullcount::decode::protocol::{TCP, UDP};
use fullcount::decode::tcp_flag::{ACK, RST, SYN};
use fullcount::flow::key::FlowKey;
use fullcount::flow::record::{Account, EndReason};
use fullcount::flow::table::{BATCH, FlowTable};
use fullcount::flow::tcp::TcpState;
use fullcount::meter::totals::Totals;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use table_run::stream::{packets, steps};
use table_run::twin::{Flow, Gone, Leaves, Rank, Tcp, Twin};
use table_run::*;

/// A flow with everything that both tables know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    tcp: Option<Tcp>,
    reason: EndReason,
}

fn whole_of_twin((flow, reason): (Flow, EndReason)) -> Whole {
    Whole {
        key: flow.key,
        start: flow.start,
        last: flow.last,
        client: flow.client,
        packets: flow.packets,
        bytes: flow.bytes,
        payload: flow.payload,
        frames: flow.frames,
        lanes: flow.lanes.into_iter().collect(),
        tcp: flow.tcp,
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
    let is_tcp = entry.key.protocol() == TCP;
    Whole {
        key: entry.key,
        start: entry.start,
        last: entry.last,
        client: entry.client(),
        packets: [entry.packets(0), entry.packets(1)],
        bytes: [entry.sent[0].bytes, entry.sent[1].bytes],
        payload: [account.payload(0), account.payload(1)],
        frames: [0, 1].map(|side| entry.packets(side) - account.surplus.packets[side]),
        lanes,
        tcp: is_tcp.then(|| Tcp::of(account)),
        reason: account.reason,
    }
}

/// By key; those of one key by their packets, where they began at one moment.
fn sorted(mut all: Vec<Whole>) -> Vec<Whole> {
    all.sort_by_key(|one| (one.key, one.start, one.last, one.packets, one.bytes, one.reason));
    all
}

/// Everything that the twin has had, open ones as they are at the end.
fn twin_flows(twin: Twin) -> Vec<Whole> {
    sorted(twin.all().into_iter().map(whole_of_twin).collect())
}

fn table_flows(accounts: &[Account]) -> Vec<Whole> {
    sorted(accounts.iter().map(whole_of_account).collect())
}

fn untracked(totals: &Totals) -> (u64, u64) {
    let sums = totals.lanes.iter().map(|lane| lane.untracked_sum());
    sums.fold((0, 0), |sum, one| (sum.0 + one.packets, sum.1 + one.bytes))
}

/// Flows that are in the table no more.
fn left(table: &FlowTable) -> u64 {
    let stats = table.stats();
    stats.opened - stats.entries
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
    #![proptest_config(cases(1000))]

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
        let mut expected = twin_flows(twin);
        if sweeps {
            // The sweep ends what the twin still waits for.
            for flow in ours.iter_mut().chain(&mut expected) {
                if matches!(flow.reason, EndReason::Idle | EndReason::Timeout) {
                    flow.reason = EndReason::Open;
                }
                let half_open = [TcpState::SynSent, TcpState::SynReceived, TcpState::Closed];
                if let Some(tcp) = &mut flow.tcp
                    && flow.reason == EndReason::Open
                    && half_open.contains(&tcp.state)
                {
                    tcp.state = TcpState::Closed;
                }
            }
            (ours, expected) = (sorted(ours), sorted(expected));
        }
        same_flows(&ours, &expected, &packets)?;
    }

    /// Tables that are too small: who is pushed out is who the rules name, and
    /// all else is as with the twin, whatever shares a batch.
    #[test]
    fn who_is_pushed_out_is_who_the_rules_name(
        steps in steps(60, 400), seed: u64, sweeps: bool, most in 16usize..24
    ) {
        let packets = packets(&steps);
        let mut twin = Twin::default();
        let mut table = FlowTable::new(config(most));
        let (mut totals, mut sink) = (Totals::default(), Collector::default());
        for mut batch in batches(&packets, seed) {
            let told = sink.accounts.len();
            let now = batch.last().map_or(0, |packet| packet.time_ns);
            table.process(&mut batch, &mut totals, &mut sink);
            sink.take_in();
            let mut gone: VecDeque<Gone> =
                sink.accounts[told..].iter().map(|one| (one.entry.key, one.reason)).collect();
            for packet in &batch {
                twin.replay(packet, most, &mut gone).map_err(TestCaseError::fail)?;
            }
            prop_assert!(gone.is_empty(), "went for nobody: {gone:?}");
            if sweeps {
                let told = sink.accounts.len();
                prop_assert!(table.sweep(now, usize::MAX, &mut sink));
                sink.take_in();
                for account in &sink.accounts[told..] {
                    let flow = &twin.live[&account.entry.key];
                    prop_assert!(now >= flow.last + flow.limit());
                    prop_assert_eq!(account.reason, twin.end(&account.entry.key, Leaves::Silent));
                }
                // A second to be rounded up, and one of grace.
                prop_assert!(twin.live.values().all(|flow| now < flow.last + flow.limit() + 2 * S));
            }
            let half_open = twin.live.values().filter(|flow| flow.rank() == Rank::HalfOpen).count();
            prop_assert!(half_open <= most / 4);
            prop_assert_eq!(table.stats().half_open, half_open as u64);
            prop_assert_eq!(table.stats().entries, twin.live.len() as u64);
        }
        let evicted = twin.ended.iter().filter(|(_, reason)| *reason == EndReason::Evicted).count();
        prop_assert_eq!(table.stats().evicted, evicted as u64);
        prop_assert_eq!(untracked(&totals), twin.untracked);
        table.end_all(0, &mut sink);
        sink.take_in();
        same_flows(&table_flows(&sink.accounts), &twin_flows(twin), &packets)?;
    }
}

/// Lanes with anything in them.
type Lanes = BTreeMap<u8, (u64, u64)>;

/// What flows should have, by lane: totals less what is in no flow.
fn in_flows(totals: &Totals) -> Lanes {
    let lanes = totals.lanes.iter().enumerate().map(|(number, lane)| {
        let count = lane.count.since(&lane.untracked_sum());
        (number as u8, (count.packets, count.bytes))
    });
    lanes.filter(|&(_, count)| count != (0, 0)).collect()
}

/// Numbers that a seed gives, for what happens between batches.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A table whose cuts are written in slices while packets come, as live.
struct Cutting {
    table: FlowTable,
    totals: Totals,
    sink: Collector,
    /// What flows had at the boundary of the cut that is being written, and
    /// flows that had ended then.
    under_way: Option<(Lanes, u64)>,
    boundary_ns: u64,
    /// The receiver has no room now and then.
    rooms: bool,
    whole: u32,
}

impl Cutting {
    fn new(most: usize, rooms: bool) -> Cutting {
        Cutting {
            table: FlowTable::new(config(most)),
            totals: Totals::default(),
            sink: Collector::default(),
            under_way: None,
            boundary_ns: T0,
            rooms,
            whole: 0,
        }
    }

    fn begin(&mut self) -> Result<(), TestCaseError> {
        if self.under_way.is_none() {
            self.boundary_ns += S;
            prop_assert!(self.table.begin_cut(self.boundary_ns));
            self.under_way = Some((in_flows(&self.totals), left(&self.table)));
        }
        Ok(())
    }

    /// Writes a slice; where that ends the cut, the records say what stood at the boundary.
    fn write(&mut self, slice: usize) -> Result<(), TestCaseError> {
        if self.under_way.is_none() || !self.table.write_cut(slice, &mut self.sink) {
            return Ok(());
        }
        let (expected, left_before) = self.under_way.take().unwrap_or_default();
        self.sink.take_in();
        let stats = self.table.stats();
        if self.table.cut_is_whole() && stats.unreported == 0 {
            prop_assert_eq!(self.sink.sums(), expected);
            self.whole += 1;
        }
        // Where nothing stood in the way, it has to be.
        prop_assert!(self.table.cut_is_whole() || self.rooms || left(&self.table) > left_before);
        Ok(())
    }

    /// Everything written, with room: what is known of each flow is what the table has.
    fn finish(&mut self) -> Result<(), TestCaseError> {
        self.sink.room = None;
        self.write(usize::MAX)?;
        self.begin()?;
        self.write(usize::MAX)?;
        self.sink.take_in();
        let known = self.sink.live.values();
        let known: Vec<_> = known.map(|one| (one.key, one.packets, one.bytes, one.by_lane())).collect();
        let mut sums = Lanes::new();
        let mut missing = Vec::new();
        self.table.for_each(|entry, lanes| {
            let lanes = lanes.iter().map(|one| ((one.side, one.lane.0), (one.packets, one.bytes))).collect();
            add_lanes(&mut sums, &lanes);
            let packets = [entry.packets(0), entry.packets(1)];
            let whole = (entry.key, packets, entry.sent.map(|sent| sent.bytes), lanes);
            if !known.contains(&whole) {
                missing.push(format!("{whole:?}, known as {:?}", known.iter().find(|one| one.0 == whole.0)));
            }
        });
        prop_assert!(missing.is_empty(), "{}", missing.join("\n"));
        for ended in &self.sink.ended {
            add_lanes(&mut sums, &ended.by_lane());
        }
        let sum = |lanes: &Lanes| lanes.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let (flows, lost) = (sum(&sums), self.table.stats().unreported_count);
        let expected = in_flows(&self.totals);
        prop_assert_eq!((flows.0 + lost.packets, flows.1 + lost.bytes), sum(&expected));
        if self.table.stats().unreported == 0 {
            prop_assert_eq!(sums, expected);
        }
        self.table.end_all(0, &mut self.sink);
        self.sink.take_in();
        for account in &self.sink.accounts {
            for side in 0..2 {
                // No frame stands for more than four packets here.
                let surplus = account.surplus.packets[side];
                prop_assert!(surplus * 4 <= account.entry.packets(side) * 3, "surplus without its packets");
            }
        }
        Ok(())
    }
}

/// One random run: cuts, slices and sweeps between batches; `rooms`: receivers
/// that have none now and then; `lanes`: interfaces and directions to come by.
fn run_with_cuts(
    steps: &[table_run::stream::Step],
    seed: u64,
    most: usize,
    lanes: u64,
    rooms: bool,
) -> Result<Cutting, TestCaseError> {
    let mut packets = packets(steps);
    let mut chance = Chance(seed);
    for (number, packet) in packets.iter_mut().enumerate().filter(|_| lanes > 0) {
        packet.lane.0 = chance.below(lanes) as u8;
        packet.time_ns = T0 + number as u64 * MS;
        (packet.segments, packet.bytes) = (4, packet.frame_bytes + 3 * 66);
    }
    let mut run = Cutting::new(most, rooms);
    for mut batch in batches(&packets, seed) {
        if rooms {
            run.sink.room = [None, Some(0), Some(chance.below(8) as usize)][chance.below(3) as usize];
        }
        if chance.below(4) == 0 {
            run.begin()?;
        }
        run.table.process(&mut batch, &mut run.totals, &mut run.sink);
        let now = batch.last().map_or(0, |packet| packet.time_ns);
        if chance.below(3) == 0 {
            run.table.sweep(now, chance.below(20) as usize, &mut run.sink);
        }
        if chance.below(2) == 0 {
            run.write(1 + chance.below(12) as usize)?;
        }
    }
    run.finish()?;
    Ok(run)
}

proptest! {
    #![proptest_config(cases(1000))]

    /// With room for all flows, a cut's records are the packets up to its
    /// boundary, by lane, however late and in whatever slices they are written.
    #[test]
    fn records_at_a_cut_are_the_packets_up_to_its_boundary(steps in steps(9, 300), seed: u64) {
        let run = run_with_cuts(&steps, seed, 1024, 0, false)?;
        prop_assert!(run.whole > 0);
    }

    /// The same where flows are pushed out at any moment.
    #[test]
    fn records_at_a_cut_with_a_table_that_is_too_small(steps in steps(60, 400), seed: u64) {
        run_with_cuts(&steps, seed, 16, 0, false)?;
    }

    /// Receivers without room: nothing is lost from the totals.
    #[test]
    fn flows_and_unreported_are_the_totals_whatever_room_there_is(steps in steps(60, 400), seed: u64) {
        run_with_cuts(&steps, seed, 16, 0, true)?;
    }

    /// So many lanes that details run out: what finds no place is untracked, whole.
    #[test]
    fn packets_without_a_place_for_their_lane_are_untracked(
        steps in steps(7, 250), seed: u64, rooms: bool
    ) {
        let steps = [&steps[..], &steps, &steps].concat();
        run_with_cuts(&steps, seed, 16, 200, rooms)?;
    }
}

/// Attempts whose RST was taken back are half-open once more: they keep to their
/// quarter, and one of them goes where there is no room.
#[test]
fn attempts_whose_reset_is_taken_back_have_a_quarter_as_well() {
    let mut table = FlowTable::new(config(16));
    let (mut totals, mut sink) = (Totals::default(), Collector::default());
    for told in [&[(SYN, 100, 0), (RST, 101, 0)][..], &[(ACK, 101, 10)]] {
        for port in 0..16 {
            let (from, to) = (end(1, 40_000 + port), end(9, 80));
            let made =
                told.iter().map(|&(flags, at, payload)| segment(from, to, T0, flags, (at, 0), payload));
            table.process(&mut made.collect::<Vec<_>>(), &mut totals, &mut sink);
        }
    }
    assert_eq!((table.stats().half_open, table.stats().entries, table.stats().evicted), (4, 4, 12));
    for port in 0..13 {
        let one = packet(UDP, end(1, 50_000 + port), end(9, 53), T0, 100);
        table.process(&mut [one], &mut totals, &mut sink);
    }
    assert_eq!((table.stats().half_open, table.stats().entries, table.stats().evicted), (3, 16, 13));
    assert_eq!(untracked(&totals), (0, 0));
}
