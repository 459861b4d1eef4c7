//! Packets made by hand, and a place for a table's records that takes them in as
//! the aggregator does: cumulative, by slot, the key once.

pub mod stream;
pub mod twin;

use fullcount::capture::{Direction, Lane};
use fullcount::decode::{Kind, Packet, protocol, tcp_flag};
use fullcount::flow::detail::LaneCount;
use fullcount::flow::key::{End, FlowKey};
use fullcount::flow::record::{Account, Buffer, Sink, flag};
use fullcount::flow::table::TableConfig;
use fullcount::flow::tcp::TcpState;
use std::collections::BTreeMap;

pub const S: u64 = 1_000_000_000;
pub const MS: u64 = 1_000_000;
/// Where time begins in these tests: a multiple of no interval.
pub const T0: u64 = 1_700_000_003 * S;

pub fn config(flows_max: usize) -> TableConfig {
    TableConfig {
        flows_max,
        handshake_timeout_ns: 60 * S,
        accounts: true,
        active_timeout_ns: 0,
        seed: [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210],
    }
}

/// An end, by a small number: even numbers are hosts with high ports.
pub fn end(host: u32, port: u16) -> End {
    End::v4(0xc612_0000 | host, port)
}

pub fn lane(number: u8) -> Lane {
    Lane::new(number >> 1, if number & 1 == 0 { Direction::Rx } else { Direction::Tx })
}

/// A packet of any protocol without payload.
pub fn packet(protocol: u8, from: End, to: End, time_ns: u64, bytes: u32) -> Packet {
    let (key, reversed) = FlowKey::new(from, to, protocol, false, 0, 0);
    let kind = match protocol {
        protocol::TCP => Kind::Tcp,
        protocol::UDP => Kind::Udp,
        _ => Kind::Other,
    };
    Packet { key, reversed, time_ns, bytes, frame_bytes: bytes, kind, ..Packet::default() }
}

/// A TCP segment of 66 bytes and its payload.
pub fn segment(from: End, to: End, time_ns: u64, flags: u8, numbers: (u32, u32), payload: u32) -> Packet {
    let mut packet = packet(protocol::TCP, from, to, time_ns, 66 + payload);
    packet.tcp_flags = flags;
    (packet.sequence, packet.acknowledgement) = numbers;
    packet.payload = if flags & tcp_flag::RST == 0 { payload } else { 0 };
    packet.window = 1000;
    packet
}

/// A flow as its records tell it.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub key: FlowKey,
    pub packets: [u64; 2],
    pub bytes: [u64; 2],
    pub state: Option<TcpState>,
    pub lanes: Vec<LaneCount>,
    lanes_in_force: [u8; 2],
}

impl Known {
    /// Packets and bytes by side and lane.
    pub fn by_lane(&self) -> BTreeMap<(u8, u8), (u64, u64)> {
        let mut sums = BTreeMap::new();
        if self.lanes.is_empty() {
            for side in 0..2 {
                if self.packets[side] > 0 {
                    let lane = self.lanes_in_force[side];
                    sums.insert((side as u8, lane), (self.packets[side], self.bytes[side]));
                }
            }
        }
        for count in &self.lanes {
            let before = sums.insert((count.side, count.lane.0), (count.packets, count.bytes));
            assert!(before.is_none(), "a lane stands there once: {:?}", self.lanes);
        }
        sums
    }
}

/// Takes records in.
#[derive(Default)]
pub struct Collector {
    pub live: BTreeMap<u32, Known>,
    pub ended: Vec<Known>,
    pub accounts: Vec<Account>,
    buffer: Buffer,
    /// Records that find room before there is none; None is always room.
    pub room: Option<usize>,
}

impl Sink for Collector {
    fn buffer(&mut self) -> Option<&mut Buffer> {
        self.take_in();
        match &mut self.room {
            Some(0) => return None,
            // Asked for twice for one record at most: room is counted by questions.
            Some(left) => *left -= 1,
            None => {}
        }
        Some(&mut self.buffer)
    }
}

impl Collector {
    /// Applies what was written.
    pub fn take_in(&mut self) {
        let Collector { live, ended, accounts, buffer, .. } = self;
        let mut keys = buffer.keys.iter();
        let mut lanes = buffer.lanes.as_slice();
        let mut told = buffer.accounts.iter();
        for record in &buffer.records {
            if record.flags & flag::NEW != 0 {
                let (key, _) = *keys.next().expect("a new flow's key");
                // What may stand there ended and found no room: all of it is among the unreported.
                live.insert(record.slot, Known { key, ..Known::default() });
            }
            let known = live.get_mut(&record.slot).expect("a flow is named by a key before anything else");
            let (counts, rest) = lanes.split_at(record.lane_count as usize);
            lanes = rest;
            for side in 0..2 {
                assert!(record.packets[side] >= known.packets[side], "counters are cumulative");
                assert!(record.bytes[side] >= known.bytes[side], "counters are cumulative");
            }
            (known.packets, known.bytes) = (record.packets, record.bytes);
            (known.state, known.lanes_in_force) = (record.state, record.lanes);
            known.lanes = counts.to_vec();
            if record.flags & flag::ACCOUNT != 0 {
                let mut account = told.next().expect("an account").clone();
                account.lanes = counts.to_vec();
                accounts.push(account);
            }
            if record.flags & flag::END != 0 {
                ended.extend(live.remove(&record.slot));
            }
        }
        assert!(keys.next().is_none() && lanes.is_empty() && told.next().is_none(), "nothing is left over");
        buffer.clear();
    }

    /// Packets and bytes by lane of everything known.
    pub fn sums(&self) -> BTreeMap<u8, (u64, u64)> {
        let mut sums = BTreeMap::new();
        for known in self.live.values().chain(&self.ended) {
            add_lanes(&mut sums, &known.by_lane());
        }
        sums
    }
}

/// Adds what a flow had on each lane, by sender, to the sums by lane.
pub fn add_lanes(sums: &mut BTreeMap<u8, (u64, u64)>, lanes: &BTreeMap<(u8, u8), (u64, u64)>) {
    for (&(_, lane), &(packets, bytes)) in lanes {
        let sum: &mut (u64, u64) = sums.entry(lane).or_default();
        *sum = (sum.0 + packets, sum.1 + bytes);
    }
}
