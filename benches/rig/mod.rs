//! What the benches work on: frames of many connections, a table that holds
//! them, and a live worker beside its aggregator on one thread.
//!
//! Frames are full-size TCP segments of established connections, headers
//! alone kept, as a ring with the default snaplen has them. Which connection
//! comes next is drawn by a generator with a fixed seed, over all of them: no
//! locality that a real link would not have. Seeds are fixed, so instruction
//! counts are the same on every run.
#![allow(dead_code)]

use fullcount::aggregate::view::{Grouping, Order, View, Views};
use fullcount::aggregate::{Aggregator, Config};
use fullcount::capture::{Direction, Frame, LinkType};
use fullcount::decode::{Decoder, DirectionRule, LinkContext, Packet, VlanStacks};
use fullcount::flow::record::{Buffer, Sink};
use fullcount::flow::table::{FlowTable, TableConfig};
use fullcount::meter::totals::Totals;
use fullcount::worker::Worker;
use fullcount::worker::outbox::{BUFFERS_LIVE, outbox};
use std::time::Duration;

pub const SECOND: u64 = 1_000_000_000;
/// First packet's time.
pub const START: u64 = 1_700_000_000 * SECOND;
/// Captured of each frame: Ethernet, IPv4 and TCP without options.
pub const KEPT: usize = 54;
/// Flows that are put into a live worker between two cuts.
const STEP: u32 = 100_000;

/// A stream of random numbers (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((((z ^ (z >> 31)) >> 32) * u64::from(limit)) >> 32) as u32
    }
}

/// The frame of 1514 bytes that one end of connection `number` sends.
pub fn frame_bytes(number: u32, reply: bool) -> [u8; KEPT] {
    let mut frame = [0; KEPT];
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    frame[14] = 0x45;
    frame[16..18].copy_from_slice(&1500u16.to_be_bytes());
    (frame[22], frame[23]) = (64, 6);
    let client = (0xc612_0000u32 | (number >> 15)).to_be_bytes();
    let server = 0xc613_0001u32.to_be_bytes();
    let ports = [(1024 + (number & 0x7fff)) as u16, 443].map(u16::to_be_bytes);
    let turn = usize::from(reply);
    frame[26..30].copy_from_slice(if reply { &server } else { &client });
    frame[30..34].copy_from_slice(if reply { &client } else { &server });
    frame[34..36].copy_from_slice(&ports[turn]);
    frame[36..38].copy_from_slice(&ports[1 - turn]);
    (frame[46], frame[47]) = (0x50, 0x10);
    frame
}

/// The same as a ring hands it over.
pub fn frame(data: &[u8; KEPT], time_ns: u64, reply: bool) -> Frame<'_> {
    Frame {
        data,
        time_ns,
        len: 1514,
        link: 0,
        link_type: LinkType::Ethernet,
        direction: Some(if reply { Direction::Tx } else { Direction::Rx }),
        stripped_tag: None,
        gso_size: 0,
    }
}

pub fn decoder() -> Decoder {
    Decoder::new(Vec::new(), VlanStacks::default())
}

/// Of an interface that shares its load with others, or that does not.
pub fn decoder_of_bond(shares_load: bool) -> Decoder {
    let mut decoder = decoder();
    let rule = DirectionRule::AsTold;
    decoder.set_link(0, LinkContext { group: 0, rule, from_file: false, second_copy: false, shares_load });
    decoder
}

/// One packet of each connection.
pub fn one_of_each(flows: std::ops::Range<u32>, time_ns: u64) -> Vec<Packet> {
    let mut decoder = decoder();
    flows.map(|number| decoder.decode(&frame(&frame_bytes(number, false), time_ns, false))).collect()
}

/// Packets of connections drawn at random.
pub fn drawn(flows: u32, packets: usize, time_ns: u64) -> Vec<Packet> {
    let mut random = Random(1);
    let mut decoder = decoder();
    let one = |at: usize| {
        let reply = random.below(2) == 1;
        decoder.decode(&frame(&frame_bytes(random.below(flows), reply), time_ns + at as u64, reply))
    };
    (0..packets).map(one).collect()
}

/// Records that nobody reads.
pub struct Nowhere(Buffer);

impl Sink for Nowhere {
    fn buffer(&mut self) -> Option<&mut Buffer> {
        if self.0.is_full() {
            self.0.clear();
        }
        Some(&mut self.0)
    }
}

fn table_config(flows: u32) -> TableConfig {
    TableConfig {
        flows_max: flows as usize + 16,
        handshake_timeout_ns: 60 * SECOND,
        accounts: false,
        active_timeout_ns: 0,
        seed: [1, 2],
    }
}

/// A flow table with what it needs around it.
pub struct Table {
    table: FlowTable,
    totals: Totals,
    sink: Nowhere,
    time_ns: u64,
}

impl Table {
    /// A table that has these flows, none touched since the last cut.
    pub fn with(flows: u32) -> Table {
        Table::with_room(flows, flows)
    }

    /// The same with room for more of them.
    pub fn with_room(flows: u32, flows_max: u32) -> Table {
        let table = FlowTable::new(table_config(flows_max));
        let sink = Nowhere(Buffer::new(false));
        let mut table = Table { table, totals: Totals::default(), sink, time_ns: START };
        table.take(&mut one_of_each(0..flows, START));
        table.cut();
        assert_eq!(table.table.stats().active, u64::from(flows));
        table
    }

    pub fn take(&mut self, packets: &mut [Packet]) {
        for batch in packets.chunks_mut(fullcount::flow::table::BATCH) {
            self.table.process(batch, &mut self.totals, &mut self.sink);
        }
    }

    /// Writes out what was touched.
    pub fn cut(&mut self) {
        self.time_ns += SECOND;
        self.table.sweep(self.time_ns, usize::MAX, &mut self.sink);
        assert!(self.table.begin_cut(self.time_ns));
        assert!(self.table.write_cut(usize::MAX, &mut self.sink));
    }
}

/// A live worker and its aggregator, taking turns on one thread.
pub struct Live {
    pub worker: Worker,
    pub aggregator: Aggregator,
    pub time_ns: u64,
}

impl Live {
    /// A worker that has these flows, reported and silent since.
    pub fn with(flows: u32) -> Live {
        let (outbox, inbox) = outbox(BUFFERS_LIVE, false, false);
        let worker = Worker::new(table_config(flows), outbox);
        let view =
            View { grouping: Grouping::Connection, order: Order::Rate, offset: 0, limit: 20, only: None };
        let config = Config {
            interval_ns: SECOND,
            views: Views { rows: None, link_rows: Some(view) },
            averages: false,
            flows_max: 1 << 20,
            patience: Some(Duration::from_secs(10)),
        };
        let mut aggregator = Aggregator::new(config, vec![inbox]);
        aggregator.begin_at(START);
        let mut live = Live { worker, aggregator, time_ns: START };
        for first in (0..flows).step_by(STEP as usize) {
            live.touch(first..flows.min(first + STEP));
            live.cut();
            assert_eq!(live.snapshot(), u64::from(flows.min(first + STEP)));
        }
        live
    }

    /// One packet of each of these.
    pub fn touch(&mut self, flows: std::ops::Range<u32>) {
        self.worker.take(&mut one_of_each(flows, self.time_ns));
    }

    /// A cut, from its beginning until the aggregator has all of it.
    pub fn cut(&mut self) {
        self.time_ns += SECOND;
        self.worker.begin_cut(self.time_ns);
        while self.worker.between_batches(self.time_ns) {}
    }

    /// What the aggregator makes of a cut; flows in the table.
    pub fn snapshot(&mut self) -> u64 {
        self.aggregator.next_snapshot().expect("a cut has been made").table.active
    }
}
