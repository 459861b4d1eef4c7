//! One measured thing at a time, for valgrind: scripts/bench-instructions.
//!
//! `instructions WHAT FLOWS` does WHAT with FLOWS connections open and prints
//! how many packets (or cuts) the function `measured_WHAT` had to do with.
//! Everything else is preparation, which callgrind leaves out.

mod rig;

use fullcount::decode::{Decoder, Packet};
use fullcount::flow::table::BATCH;
use rig::{KEPT, Live, SECOND, START, Table};
use std::hint::black_box;

/// Packets of a measurement.
const PACKETS: usize = 1 << 16;
/// Flows that are touched before a cut.
const TOUCHED: u32 = 1_000;

#[inline(never)]
fn measured_decode(decoder: &mut Decoder, frames: &[[u8; KEPT]]) {
    let mut batch = [Packet::default(); BATCH];
    for (number, data) in frames.iter().enumerate() {
        decoder.decode_into(&rig::frame(data, START, false), &mut batch[number % BATCH]);
    }
    black_box(&batch);
}

#[inline(never)]
fn measured_sent(decoder: &mut Decoder, frames: &[[u8; KEPT]]) {
    let mut batch = [Packet::default(); BATCH];
    for (number, data) in frames.iter().enumerate() {
        decoder.decode_into(&rig::frame(data, START, true), &mut batch[number % BATCH]);
    }
    black_box(&batch);
}

#[inline(never)]
fn measured_table(table: &mut Table, packets: &mut [Packet]) {
    table.take(packets);
}

#[inline(never)]
fn measured_cut(live: &mut Live) {
    live.cut();
}

#[inline(never)]
fn measured_snapshot(live: &mut Live) -> u64 {
    live.snapshot()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, flows] = arguments.as_slice() else {
        // `cargo bench` runs every bench.
        println!("instructions: see scripts/bench-instructions");
        return;
    };
    let flows: u32 = flows.parse().expect("a number of flows");
    match what.as_str() {
        "decode" => {
            let frames: Vec<_> = (0..PACKETS as u32).map(|n| rig::frame_bytes(n % flows, false)).collect();
            measured_decode(&mut rig::decoder(), &frames);
            println!("{PACKETS}");
        }
        // What an interface sends that shares a load with others: what a hash policy needs is kept.
        "sent" | "sent_alone" => {
            let frames: Vec<_> = (0..PACKETS as u32).map(|n| rig::frame_bytes(n % flows, true)).collect();
            measured_sent(&mut rig::decoder_of_bond(what == "sent"), &frames);
            println!("{PACKETS}");
        }
        "table" => {
            let mut table = Table::with(flows);
            measured_table(&mut table, &mut rig::drawn(flows, PACKETS, START + SECOND));
            println!("{PACKETS}");
        }
        "cut" | "snapshot" => {
            let mut live = Live::with(flows);
            live.touch(0..TOUCHED);
            measured_cut(&mut live);
            assert_eq!(measured_snapshot(&mut live), u64::from(flows));
            println!("1");
        }
        _ => panic!("{what} is none of decode, sent, sent_alone, table, cut, snapshot"),
    }
}
