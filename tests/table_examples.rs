//! Connections worked out by hand, packet by packet: what state the table says
//! they are in after each, who is the client, and how they ended.
//!
//! Written as on paper: milliseconds, side, flags, sequence number,
//! acknowledgement, payload. Where nothing is said of the state after a packet
//! nothing is checked there.

#[allow(dead_code)]
mod table_run;

use fullcount::decode::tcp_flag::{ACK, FIN, RST, SYN};
use fullcount::flow::entry::mark;
use fullcount::flow::entry::shake;
use fullcount::flow::record::{Account, EndReason};
use fullcount::flow::table::FlowTable;
use fullcount::flow::tcp::{TcpState, state_of};
use fullcount::meter::totals::Totals;
use table_run::*;

/// A script's side.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    C,
    S,
}
use Side::{C, S as Srv};

/// One segment, and the state after it.
type Line = (f64, Side, u8, u32, u32, u32, Option<TcpState>);

struct Played {
    /// In the order of their start.
    accounts: Vec<Account>,
    untracked: u64,
}

impl Played {
    /// (client's packets, server's packets) of each connection.
    fn packets(&self) -> Vec<(u64, u64)> {
        let of = |account: &Account| {
            let client = account.entry.client();
            (account.entry.packets(client), account.entry.packets(1 - client))
        };
        self.accounts.iter().map(of).collect()
    }
    fn payload(&self) -> Vec<(u64, u64)> {
        let of = |account: &Account| {
            let client = account.entry.client();
            (account.payload(client), account.payload(1 - client))
        };
        self.accounts.iter().map(of).collect()
    }
    fn ends(&self) -> Vec<(TcpState, EndReason)> {
        self.accounts.iter().map(|account| (state_of(&account.entry), account.reason)).collect()
    }
    /// Port of the client of each connection: 40000 is C's.
    fn clients(&self) -> Vec<u16> {
        self.accounts.iter().map(|account| account.entry.key.end(account.entry.client()).port).collect()
    }
}

/// Plays a script into a table, each packet a batch of its own, then the whole
/// script as one batch: both must end alike.
fn play(lines: &[Line]) -> Played {
    let packets: Vec<_> = lines
        .iter()
        .map(|&(at, side, flags, sequence, acknowledgement, payload, _)| {
            let (client, server) = (end(1, 40_000), end(2, 80));
            let (from, to) = if side == C { (client, server) } else { (server, client) };
            let time_ns = T0 + (at * 1e6) as u64;
            segment(from, to, time_ns, flags, (sequence, acknowledgement), payload)
        })
        .collect();
    let run = |batches: Vec<&[fullcount::decode::Packet]>, check: bool| {
        let mut table = FlowTable::new(config(64));
        let (mut totals, mut sink) = (Totals::default(), Collector::default());
        for (number, batch) in batches.into_iter().enumerate() {
            table.process(&mut batch.to_vec(), &mut totals, &mut sink);
            if check && let Some(expected) = lines[number].6 {
                let mut states = Vec::new();
                table.for_each(|entry, _| states.push(state_of(entry)));
                // The history's newest state is that one, and it came by now.
                let account = table.account_of(&batch[0].key).expect("it has an entry");
                let told = account.tcp.history.states(&account.entry, &account.tcp.beside);
                let since_start = batch[0].time_ns - account.entry.start;
                assert_eq!(told.last().map(|one| one.state), Some(expected), "{told:?}");
                assert!(told.is_sorted_by_key(|one| one.after_us), "{told:?}");
                assert!(told.iter().all(|one| one.after_us <= since_start / 1000), "{told:?}");
                assert_eq!(states, [expected], "after packet {number}, at {} ms", lines[number].0);
            }
        }
        let now = packets.last().map_or(T0, |packet| packet.time_ns);
        table.end_all(now, &mut sink);
        sink.take_in();
        sink.accounts.sort_by_key(|account| account.entry.start);
        let untracked = totals.lanes.iter().map(|lane| lane.untracked_sum().packets).sum();
        Played { accounts: sink.accounts, untracked }
    };
    let single = run(packets.chunks(1).collect(), true);
    let batched = run(packets.chunks(fullcount::flow::table::BATCH).collect(), false);
    assert_eq!(single.packets(), batched.packets(), "batches change nothing");
    assert_eq!(single.ends(), batched.ends(), "batches change nothing");
    single
}

/// SYN, SYN/ACK, ACK with the numbers 100 and 500, at 0, 10 and 12 ms.
fn opened() -> Vec<Line> {
    vec![
        (0.0, C, SYN, 100, 0, 0, Some(TcpState::SynSent)),
        (10.0, Srv, SYN | ACK, 500, 101, 0, Some(TcpState::SynReceived)),
        (12.0, C, ACK, 101, 501, 0, Some(TcpState::Established)),
    ]
}

fn after_opening(more: &[Line]) -> Vec<Line> {
    let mut all = opened();
    all.extend_from_slice(more);
    all
}

#[test]
fn plain() {
    let played = play(&after_opening(&[
        (20.0, C, ACK, 101, 501, 200, Some(TcpState::Established)),
        (45.0, Srv, ACK, 501, 301, 1000, None),
        (46.0, Srv, ACK, 1501, 301, 400, None),
        (48.0, C, ACK, 301, 1901, 0, Some(TcpState::Established)),
        (60.0, C, FIN | ACK, 301, 1901, 0, Some(TcpState::FinWait)),
        (71.0, Srv, FIN | ACK, 1901, 302, 0, Some(TcpState::Closing)),
        (73.0, C, ACK, 302, 1902, 0, Some(TcpState::TimeWait)),
    ]));
    assert_eq!(played.payload(), [(200, 1400)]);
    assert_eq!(played.packets(), [(6, 4)]);
    assert_eq!(played.ends(), [(TcpState::TimeWait, EndReason::Fin)]);
    assert_eq!(played.clients(), [40_000]);
}

#[test]
fn a_syn_that_is_lost_is_sent_again() {
    let played = play(&[
        (0.0, C, SYN, 100, 0, 0, Some(TcpState::SynSent)),
        (1000.0, C, SYN, 100, 0, 0, Some(TcpState::SynSent)),
        (3000.0, C, SYN, 100, 0, 0, Some(TcpState::SynSent)),
        (3010.0, Srv, SYN | ACK, 500, 101, 0, Some(TcpState::SynReceived)),
        (3011.0, C, ACK, 101, 501, 0, Some(TcpState::Established)),
    ]);
    assert_eq!(played.packets(), [(4, 1)]);
    assert_eq!(played.ends(), [(TcpState::Established, EndReason::Open)]);
}

#[test]
fn reject() {
    let played =
        play(&[(0.0, C, SYN, 100, 0, 0, None), (1.0, Srv, RST | ACK, 0, 101, 0, Some(TcpState::Reset))]);
    assert_eq!(played.ends(), [(TcpState::Reset, EndReason::Refused)]);
    // A RST that answers another SYN, or none, says nothing.
    for (flags, acknowledgement) in [(RST | ACK, 100), (RST, 101), (RST | ACK, 102)] {
        let rst = (1.0, Srv, flags, 0, acknowledgement, 0, Some(TcpState::SynSent));
        let played = play(&[(0.0, C, SYN, 100, 0, 0, None), rst]);
        assert_eq!(played.ends(), [(TcpState::SynSent, EndReason::Open)]);
        assert_eq!(played.packets(), [(1, 1)]);
    }
}

/// Each SYN after a refusal is an attempt of its own, with the same number too.
#[test]
fn refused_attempts_are_counted_one_by_one() {
    let played = play(&[
        (0.0, C, SYN, 100, 0, 0, None),
        (1.0, Srv, RST | ACK, 0, 101, 0, Some(TcpState::Reset)),
        (500.0, C, SYN, 100, 0, 0, Some(TcpState::SynSent)),
        (501.0, Srv, RST | ACK, 0, 101, 0, Some(TcpState::Reset)),
    ]);
    assert_eq!(played.ends(), [(TcpState::Reset, EndReason::Refused); 2]);
    assert_eq!(played.packets(), [(1, 1), (1, 1)]);
}

/// What the client says after a refusal does not make a connection of it.
#[test]
fn a_refused_attempt_stays_refused() {
    let played = play(&[
        (0.0, C, SYN, 100, 0, 0, None),
        (1.0, Srv, RST | ACK, 0, 101, 0, Some(TcpState::Reset)),
        (2.0, C, ACK, 101, 1, 0, Some(TcpState::Reset)),
        (500.0, C, SYN, 100, 0, 0, Some(TcpState::SynSent)),
    ]);
    assert_eq!(played.ends(), [(TcpState::Reset, EndReason::Refused), (TcpState::SynSent, EndReason::Open)]);
}

#[test]
fn no_answer() {
    let played = play(&[
        (0.0, C, SYN, 100, 0, 0, None),
        (1000.0, C, SYN, 100, 0, 0, None),
        (3000.0, C, SYN, 100, 0, 0, None),
        // The first packet at the limit finds it ended, though it is its own SYN.
        (63_000.0, C, SYN, 100, 0, 0, Some(TcpState::SynSent)),
    ]);
    assert_eq!(played.packets(), [(3, 0), (1, 0)]);
    assert_eq!(played.ends()[0], (TcpState::Closed, EndReason::Timeout));
}

#[test]
fn sequence_numbers_wrap() {
    let isn = 4_294_967_000;
    let played = play(&[
        (0.0, C, SYN, isn, 0, 0, None),
        (10.0, Srv, SYN | ACK, 500, isn + 1, 0, None),
        (12.0, C, ACK, isn + 1, 501, 0, Some(TcpState::Established)),
        (20.0, C, ACK, isn + 1, 501, 1000, None),
        (21.0, C, ACK, 705, 501, 1000, None),
        (33.0, Srv, ACK, 501, 1705, 0, Some(TcpState::Established)),
        (34.0, C, FIN | ACK, 1705, 501, 0, Some(TcpState::FinWait)),
        (44.0, Srv, ACK, 501, 1706, 0, Some(TcpState::HalfClosedClient)),
    ]);
    assert_eq!(played.payload(), [(2000, 0)]);
}

#[test]
fn half_close() {
    let played = play(&after_opening(&[
        (20.0, C, FIN | ACK, 101, 501, 50, Some(TcpState::FinWait)),
        (30.0, Srv, ACK, 501, 152, 0, Some(TcpState::HalfClosedClient)),
        (530.0, Srv, ACK, 501, 152, 1000, Some(TcpState::HalfClosedClient)),
        (532.0, C, ACK, 152, 1501, 0, Some(TcpState::HalfClosedClient)),
        (540.0, Srv, FIN | ACK, 1501, 152, 0, Some(TcpState::Closing)),
        (542.0, C, ACK, 152, 1502, 0, Some(TcpState::TimeWait)),
    ]));
    assert_eq!(played.payload(), [(50, 1000)]);
    // The server closes first: the same from the other side.
    play(&after_opening(&[
        (20.0, Srv, FIN | ACK, 501, 101, 0, Some(TcpState::FinWait)),
        (30.0, C, ACK, 101, 502, 0, Some(TcpState::HalfClosedServer)),
        (40.0, C, ACK, 101, 502, 10, Some(TcpState::HalfClosedServer)),
        (50.0, Srv, ACK, 502, 111, 0, Some(TcpState::HalfClosedServer)),
    ]));
}

#[test]
fn reuse() {
    let played = play(&after_opening(&[
        (20.0, C, FIN | ACK, 101, 501, 0, Some(TcpState::FinWait)),
        (30.0, Srv, FIN | ACK, 501, 102, 0, Some(TcpState::Closing)),
        (32.0, C, ACK, 102, 502, 0, Some(TcpState::TimeWait)),
        (500.0, C, SYN, 90_000, 0, 0, Some(TcpState::SynSent)),
        (510.0, Srv, SYN | ACK, 70_000, 90_001, 0, Some(TcpState::SynReceived)),
        (512.0, C, ACK, 90_001, 70_001, 0, Some(TcpState::Established)),
        (600.0, C, SYN, 95_000, 0, 0, Some(TcpState::SynSent)),
        (610.0, Srv, ACK, 70_001, 90_001, 0, Some(TcpState::SynSent)),
        (612.0, C, RST, 90_001, 0, 0, Some(TcpState::SynSent)),
        (1600.0, C, SYN, 95_000, 0, 0, Some(TcpState::SynSent)),
        (1610.0, Srv, SYN | ACK, 80_000, 95_001, 0, Some(TcpState::SynReceived)),
        (1611.0, C, ACK, 95_001, 80_001, 0, Some(TcpState::Established)),
    ]));
    let packets: Vec<u64> = played.packets().iter().map(|both| both.0 + both.1).collect();
    assert_eq!(packets, [6, 3, 6]);
    let reused = EndReason::Reused;
    assert_eq!(
        played.ends(),
        [
            (TcpState::TimeWait, reused),
            (TcpState::Established, reused),
            (TcpState::Established, EndReason::Open)
        ]
    );
}

#[test]
fn server_first() {
    let played = play(&after_opening(&[
        (30.0, Srv, ACK, 501, 101, 80, None),
        (32.0, C, ACK, 101, 581, 0, None),
        (35.0, C, ACK, 101, 581, 20, None),
        (50.0, Srv, ACK, 581, 121, 30, None),
        (60.0, C, ACK, 121, 611, 6, None),
        (75.0, Srv, ACK, 611, 127, 10, Some(TcpState::Established)),
        (76.0, Srv, FIN | ACK, 621, 127, 0, Some(TcpState::FinWait)),
        (78.0, C, FIN | ACK, 127, 622, 0, Some(TcpState::Closing)),
        (88.0, Srv, ACK, 622, 128, 0, Some(TcpState::TimeWait)),
    ]));
    assert_eq!(played.payload(), [(26, 120)]);
}

#[test]
fn lost_by_the_capture() {
    let played = play(&after_opening(&[
        (20.0, Srv, ACK, 501, 101, 1000, None),
        (21.0, Srv, ACK, 2501, 101, 1000, None),
        (30.0, C, ACK, 101, 3501, 0, Some(TcpState::Established)),
        (40.0, Srv, FIN | ACK, 3501, 101, 0, Some(TcpState::FinWait)),
        (41.0, C, ACK, 101, 3502, 0, Some(TcpState::HalfClosedServer)),
        (42.0, C, FIN | ACK, 101, 3502, 0, Some(TcpState::Closing)),
        (52.0, Srv, ACK, 3502, 102, 0, Some(TcpState::TimeWait)),
    ]));
    assert_eq!(played.payload(), [(0, 2000)]);
}

#[test]
fn picked_up_closing() {
    let played = play(&[
        (0.0, C, FIN | ACK, 101, 501, 0, Some(TcpState::FinWait)),
        (10.0, Srv, FIN | ACK, 501, 102, 0, Some(TcpState::Closing)),
        (12.0, C, ACK, 102, 502, 0, Some(TcpState::TimeWait)),
    ]);
    assert_eq!(played.packets(), [(2, 1)]);
    assert_eq!(played.accounts[0].entry.marks & mark::MIDSTREAM, mark::MIDSTREAM);
    assert_eq!(played.clients(), [40_000], "the lower port is the server");
}

/// A challenge ACK acknowledges an older connection; what it says of numbers
/// must not count, or the close of the new connection is not understood.
#[test]
fn a_challenge_ack_ahead() {
    let played = play(&[
        (0.0, C, SYN, 100, 0, 0, Some(TcpState::SynSent)),
        (10.0, Srv, ACK, 700, 900_000, 0, Some(TcpState::SynSent)),
        (11.0, C, RST, 900_000, 0, 0, Some(TcpState::SynSent)),
        (1000.0, C, SYN, 100, 0, 0, Some(TcpState::SynSent)),
        (1010.0, Srv, SYN | ACK, 500, 101, 0, Some(TcpState::SynReceived)),
        (1012.0, C, ACK, 101, 501, 0, Some(TcpState::Established)),
        (1020.0, C, ACK, 101, 501, 200, Some(TcpState::Established)),
        (1035.0, Srv, ACK, 501, 301, 0, Some(TcpState::Established)),
        (1040.0, C, FIN | ACK, 301, 501, 0, Some(TcpState::FinWait)),
        (1050.0, Srv, FIN | ACK, 501, 302, 0, Some(TcpState::Closing)),
        (1052.0, C, ACK, 302, 502, 0, Some(TcpState::TimeWait)),
    ]);
    assert_eq!(played.payload(), [(200, 0)]);
    assert_eq!(played.packets(), [(7, 4)]);
    assert_eq!(played.ends(), [(TcpState::TimeWait, EndReason::Fin)]);
}

#[test]
fn a_keep_alive_comes_first() {
    let played = play(&[
        (0.0, C, ACK, 300, 501, 0, Some(TcpState::Established)),
        (10.0, Srv, ACK, 501, 301, 0, None),
        (20.0, C, ACK, 301, 501, 100, None),
        (35.0, Srv, ACK, 501, 401, 0, Some(TcpState::Established)),
        (40.0, C, FIN | ACK, 401, 501, 0, Some(TcpState::FinWait)),
        (50.0, Srv, ACK, 501, 402, 0, Some(TcpState::HalfClosedClient)),
    ]);
    assert_eq!(played.payload(), [(100, 0)]);
}

/// The answer was captured, the question was not: success by what the server acknowledges.
#[test]
fn one_direction_seen() {
    let played = play(&[
        (0.0, Srv, SYN | ACK, 500, 101, 0, Some(TcpState::SynReceived)),
        (10.0, Srv, ACK, 501, 301, 0, Some(TcpState::Established)),
    ]);
    assert_eq!(played.clients(), [40_000]);
    let played = play(&[
        (0.0, C, SYN, 100, 0, 0, Some(TcpState::SynSent)),
        (10.0, C, ACK, 101, 501, 0, Some(TcpState::Established)),
        (20.0, C, ACK, 101, 501, 100, None),
        (30.0, C, FIN | ACK, 201, 501, 0, Some(TcpState::FinWait)),
    ]);
    assert_eq!(played.clients(), [40_000]);
}

#[test]
fn a_syn_that_comes_after_its_answer() {
    let played = play(&[
        (0.0, Srv, SYN | ACK, 500, 101, 0, Some(TcpState::SynReceived)),
        (0.1, C, SYN, 100, 0, 0, Some(TcpState::SynReceived)),
        (0.2, C, ACK, 101, 501, 0, Some(TcpState::Established)),
    ]);
    let marks = played.accounts[0].entry.marks;
    assert_eq!(marks & (mark::ROLE_SYN | mark::ROLE_SYNACK), mark::ROLE_SYN);
    assert_eq!(played.packets(), [(2, 1)]);
}

#[test]
fn both_ends_open_at_once() {
    let played = play(&[
        (0.0, C, SYN, 100, 0, 0, Some(TcpState::SynSent)),
        (0.1, Srv, SYN, 500, 0, 0, None),
        (1.0, C, SYN | ACK, 100, 501, 0, None),
        (1.1, Srv, SYN | ACK, 500, 101, 0, Some(TcpState::Established)),
    ]);
    assert_eq!(played.packets(), [(2, 2)]);
    assert_eq!(played.clients(), [40_000], "the first SYN's sender");
}

/// RST after the handshake: between what is acknowledged and 1 MiB ahead.
#[test]
fn a_reset_has_to_fit() {
    let with = |sequence: u32, expected| {
        play(&after_opening(&[
            (20.0, C, ACK, 101, 501, 200, None),
            (30.0, Srv, ACK, 501, 201, 0, None),
            (40.0, C, RST, sequence, 0, 0, Some(expected)),
        ]))
    };
    for sequence in [201, 301, 301 + (1 << 20)] {
        assert_eq!(with(sequence, TcpState::Reset).ends()[0].1, EndReason::Rst, "{sequence}");
    }
    for sequence in [200, 100, 302 + (1 << 20)] {
        with(sequence, TcpState::Established);
    }
    // A FIN takes a number; the number of the FIN itself still fits.
    for sequence in [301, 302] {
        play(&after_opening(&[
            (20.0, C, FIN | ACK, 101, 501, 200, Some(TcpState::FinWait)),
            (30.0, Srv, ACK, 501, 302, 0, Some(TcpState::HalfClosedClient)),
            (40.0, C, RST, sequence, 0, 0, Some(TcpState::Reset)),
        ]));
    }
}

#[test]
fn after_the_end_nothing_moves_the_state() {
    let closed = [
        (20.0, C, FIN | ACK, 101, 501, 0, None),
        (30.0, Srv, FIN | ACK, 501, 102, 0, None),
        (32.0, C, ACK, 102, 502, 0, Some(TcpState::TimeWait)),
        (40.0, Srv, FIN | ACK, 501, 102, 0, Some(TcpState::TimeWait)),
        (41.0, C, ACK, 102, 502, 0, Some(TcpState::TimeWait)),
        (50.0, C, RST, 102, 0, 0, Some(TcpState::TimeWait)),
    ];
    let played = play(&after_opening(&closed));
    assert_eq!(played.packets(), [(6, 3)]);
    assert_eq!(played.ends(), [(TcpState::TimeWait, EndReason::Fin)]);
}

#[test]
fn what_ends_a_connection_begins_none() {
    let played = play(&[(0.0, C, RST, 100, 0, 0, None), (1.0, Srv, RST | ACK, 0, 101, 0, None)]);
    assert!(played.accounts.is_empty());
    assert_eq!(played.untracked, 2);
}

/// The SYN of the new connection was missed: its answer fits neither number of the old one.
#[test]
fn a_syn_ack_may_begin_a_new_connection() {
    let played = play(&after_opening(&[
        (500.0, Srv, SYN | ACK, 7000, 9001, 0, Some(TcpState::SynReceived)),
        (510.0, C, ACK, 9001, 7001, 0, Some(TcpState::Established)),
    ]));
    assert_eq!(played.packets(), [(2, 1), (1, 1)]);
    assert_eq!(played.ends()[0].1, EndReason::Reused);
    // One of the two fits: a late copy.
    play(&after_opening(&[(500.0, Srv, SYN | ACK, 500, 9001, 0, Some(TcpState::Established))]));
    play(&after_opening(&[(500.0, Srv, SYN | ACK, 7000, 101, 0, Some(TcpState::Established))]));
}

/// An ACK whose attempt was pushed out: picked up, and marked so
/// only while half-open ones fill their share.
#[test]
fn an_answer_to_what_was_pushed_out_is_marked() {
    let mut table = FlowTable::new(config(64));
    let (mut totals, mut sink) = (Totals::default(), Collector::default());
    let mut pick_up = |attempts: u16, port: u16| {
        let mut packets: Vec<_> = (0..attempts)
            .map(|number| segment(end(1, 1000 + number), end(2, 80), T0, SYN, (1, 0), 0))
            .collect();
        packets.push(segment(end(1, port), end(2, 80), T0, ACK, (101, 501), 0));
        for batch in packets.chunks_mut(fullcount::flow::table::BATCH) {
            table.process(batch, &mut totals, &mut sink);
        }
    };
    pick_up(15, 40_000);
    pick_up(17, 40_001);
    table.end_all(T0, &mut sink);
    sink.take_in();
    let marked = |port: u16| {
        let account =
            sink.accounts.iter().find(|account| (0..2).any(|side| account.entry.key.end(side).port == port));
        let byte = account.expect("picked up").entry.handshake[0];
        byte & shake::EVICTED_POSSIBLE == shake::EVICTED_POSSIBLE
    };
    assert_eq!([marked(40_000), marked(40_001)], [false, true]);
}
