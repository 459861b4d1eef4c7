//! Lines from snapshots: which figure goes under which key.

use super::community::community_id;
use super::connection::{Connection, Exchanges, Longest, Opening, Reached, RoundTrips, Sent, Spread, Stream};
use super::handshakes::{by_interface, incomplete, sums};
use super::lines::{
    Bond, Capture, Count, Ethertype, Figures, FlowScope, Flows, Head, Interface, Lane, Map, Ring, Start,
    Stop, Time, Unknown, Unreported, Untracked, Watched, Worker,
};
use super::lost::Lost;
use super::rows::{End, Row, Vlan};
use crate::aggregate::group::role_source;
use crate::aggregate::openings::Openings;
use crate::aggregate::snapshot::{CaptureFigures, Snapshot, client_first};
use crate::aggregate::spread::SpreadFigures;
use crate::aggregate::window::Averages;
use crate::capture::LinkId;
use crate::decode::protocol;
use crate::flow::entry::{Entry, UNKNOWN_US, mark, shake, state};
use crate::flow::record::{Account, Outcome};
use crate::flow::table::TableStats;
use crate::flow::{exchange, handshake, tcp};
use crate::meter::loss::REASON_TEXTS;
use crate::meter::totals::{self, LaneTotals};
use crate::output::columns::{INTERFACE_COLUMNS, LaneSight, Over};
use crate::output::figures::{
    CLASS_NAMES, bits_per_second, both, coverage_of, ethertype_name, figures_of, line_utilisation,
    link_type_name, peak_of_run, protocol_name, seconds,
};
use crate::output::{self, Context, Coverage, Coverages, LinkFacts, StopReason};
use std::borrow::Cow;

pub fn start<'a>(head: Head<'a>, start: &'a output::Start, context: &'a Context) -> Start<'a> {
    let bond = |bond: &'a output::BondFacts| Bond {
        bond: &bond.name,
        mode: &bond.mode,
        xmit_hash_policy: bond.xmit_hash_policy.as_deref(),
        slaves: &bond.slaves,
    };
    Start {
        head,
        version: env!("CARGO_PKG_VERSION"),
        schema: super::lines::SCHEMA,
        interfaces: context.links.iter().map(watched).collect(),
        bonds: start.bonds.iter().map(bond).collect(),
        workers: start.workers.iter().map(|&(worker, cpu)| Worker { worker, cpu }).collect(),
        filter: start.filter.as_deref(),
        snaplen: start.snaplen,
    }
}

fn watched(facts: &LinkFacts) -> Watched<'_> {
    Watched {
        interface: &facts.name,
        speed_bits_per_second: facts.speed_bits_per_second,
        bond: facts.bond.as_deref(),
        link_type: facts.link_type.map(link_type_name),
        link_group: facts.group,
        promiscuous: (!facts.from_file).then_some(facts.promiscuous),
        direction: direction(facts),
        second_copy: facts.second_copy,
        clock: (!facts.from_file).then_some("software"),
        ring: facts.ring.map(|ring| Ring {
            bytes: ring.bytes,
            milliseconds_at_line_rate: ring.milliseconds_at_line_rate,
        }),
    }
}

fn direction(facts: &LinkFacts) -> Option<Unknown> {
    facts.direction_unknown.then_some(Unknown::Unknown)
}

pub fn interface<'a>(
    head: Head<'a>,
    link: LinkId,
    snapshot: &'a Snapshot,
    span_ns: u64,
    coverage: &Coverages,
    context: &'a Context,
) -> Interface<'a> {
    let figures = figures_of(snapshot, link);
    let measured = Measured {
        link,
        lanes: &figures.interval,
        total: &figures.total,
        averages: figures.averages,
        missing_bytes: figures.missing_bytes[0],
        capture: figures.capture_interval,
        coverage: coverage_of(coverage, link, 0),
        lost: context.losses.of(link, 0).map(super::lost::of),
        table: &snapshot.table_interval,
        hidden: hidden(snapshot, link, 0),
        handshakes: figures.handshakes[0],
        late_workers: &snapshot.late_workers,
        spreads: snapshot.spreads.get(link as usize).map(|spreads| spreads[0]),
        span_ns,
    };
    let rows = snapshot.link_rows.get(link as usize).map_or(&[][..], |rows| rows);
    Interface {
        head,
        figures: Figures { interval_seconds: Some(seconds(span_ns)), ..measured.figures(context) },
        top: rows.iter().map(|row| Row::of(row, span_ns, context)).collect(),
    }
}

/// Without a ratio that is not of the whole run.
fn of_all(coverage: Coverage) -> Coverage {
    Coverage { ratio: coverage.ratio.filter(|_| !coverage.part), ..coverage }
}

pub fn stop<'a>(
    head: Head<'a>,
    reason: &StopReason,
    snapshot: &'a Snapshot,
    span_ns: u64,
    coverage: &Coverages,
    context: &'a Context,
) -> Stop<'a> {
    let total = |link: LinkId| {
        let figures = figures_of(snapshot, link);
        let measured = Measured {
            link,
            lanes: &figures.total,
            total: &figures.total,
            averages: Averages { windows: [None; 3], peak: peak_of_run(&figures, span_ns), young_ns: None },
            missing_bytes: figures.missing_bytes[1],
            capture: figures.capture,
            coverage: of_all(coverage_of(coverage, link, 1)),
            lost: context.losses.of(link, 1).map(super::lost::of),
            table: &snapshot.table,
            hidden: hidden(snapshot, link, 1),
            handshakes: figures.handshakes[1],
            late_workers: &snapshot.late_workers,
            spreads: snapshot.spreads.get(link as usize).map(|spreads| spreads[1]),
            span_ns,
        };
        measured.figures(context)
    };
    let ethertype = |&(number, count): &(u16, totals::Count)| Ethertype {
        ethertype: format!("0x{number:04x}"),
        name: ethertype_name(number),
        packets: count.packets,
        bytes: count.bytes,
    };
    let handshakes = &snapshot.handshakes;
    let some = |number: u64| (number > 0).then_some(number);
    Stop {
        head,
        reason: reason.name(),
        seconds: seconds(span_ns),
        interfaces: crate::output::figures::links(snapshot, context).map(total).collect(),
        balances: snapshot
            .balances
            .iter()
            .map(|set| super::balances::total(set, coverage, context))
            .collect(),
        machine: super::lost::machine(&context.losses, 1),
        ethertypes: snapshot.ethertypes.iter().map(ethertype).collect(),
        late_packets: snapshot.late_packets,
        handshakes: handshakes.watches.iter().map(|watch| sums(watch, &watch.total, context)).collect(),
        incomplete_handshakes: snapshot.incomplete.iter().map(|server| incomplete(server, context)).collect(),
        handshakes_elsewhere: some(handshakes.elsewhere),
        handshakes_unplaced: some(handshakes.unplaced),
        destinations: snapshot
            .destinations
            .as_ref()
            .and_then(|all| super::destinations::of_run(all, span_ns, context)),
        json_lines_lost: context.lines_lost,
    }
}

/// Figures of one interface over one span.
struct Measured<'s, 'a> {
    link: LinkId,
    lanes: &'s [LaneTotals; 2],
    total: &'s [LaneTotals; 2],
    averages: Averages,
    missing_bytes: u64,
    capture: CaptureFigures,
    coverage: Coverage,
    lost: Option<Lost<'a>>,
    table: &'s TableStats,
    /// Connections of all interfaces, and what they had on this one.
    hidden: Option<(u64, totals::Count)>,
    handshakes: Openings,
    late_workers: &'a [usize],
    spreads: Option<[SpreadFigures; 2]>,
    span_ns: u64,
}

impl<'a> Measured<'_, 'a> {
    fn figures(mut self, context: &'a Context) -> Figures<'a> {
        let facts = context.link(self.link);
        Figures {
            interface: context.link_name(self.link),
            bond: facts.bond.as_deref(),
            direction: direction(facts),
            interval_seconds: None,
            rx: self.lane(0, context),
            tx: self.lane(1, context),
            untracked: untracked(self.lanes),
            hidden: self.hidden.map(|(_, sum)| count(sum)),
            capture: self.capture(facts),
            lost: self.lost.take(),
            flows: Flows { hidden: self.hidden.map(|(connections, _)| connections), ..flows(self.table) },
            handshakes: by_interface(&self.handshakes),
        }
    }

    fn lane(&self, which: usize, context: &Context) -> Lane {
        let (lane, facts) = (&self.lanes[which], context.link(self.link));
        let sight = LaneSight {
            link: self.link,
            direction: which,
            now: *lane,
            total: self.total[which],
            windows: self.averages.windows.map(|rates| rates.map(|rates| rates[which])),
            peak: self.averages.peak.map(|rates| rates[which]),
        };
        let over = Over { context, span_ns: self.span_ns };
        let [frames, frame_bytes] = differing(lane.count, lane.frames, lane.frame_bytes);
        let occurred = CLASS_NAMES.iter().zip(&lane.classes).filter(|(_, count)| count.packets > 0);
        let spread = self.spreads.map(|spreads| spreads[which]);
        let [short, middle, long] = sight.windows;
        Lane {
            packets: lane.count.packets,
            bytes: lane.count.bytes,
            bits_per_second: bits_per_second(lane.count.bytes, self.span_ns),
            average_2s_bits_per_second: short,
            average_10s_bits_per_second: middle,
            average_40s_bits_per_second: long,
            peak_1s_bits_per_second: sight.peak,
            peak_1ms_bits_per_second: spread.map(|spread| spread.peak),
            p50_1ms_bits_per_second: spread.map(|spread| spread.p50),
            p90_1ms_bits_per_second: spread.map(|spread| spread.p90),
            p99_1ms_bits_per_second: spread.map(|spread| spread.p99),
            milliseconds_by_utilisation: spread.and_then(|spread| spread.classes),
            unfiltered_bits_per_second: self.coverage.nic_bits_per_second.map(|rates| rates[which]),
            line_utilisation_ratio: line_utilisation(lane, facts, self.span_ns),
            frames,
            frame_bytes,
            ip_bytes: lane.ip_bytes,
            protocols: Map(occurred.map(|(name, sum)| (Cow::Borrowed(*name), count(*sum))).collect()),
            highlights: context.highlights.names(&INTERFACE_COLUMNS, &sight, &over),
        }
    }

    fn capture(&self, facts: &LinkFacts) -> Capture<'a> {
        let estimated = both(self.lanes, |lane| lane.estimated);
        let read = both(self.lanes, |lane| lane.frames);
        let some = |number: u64| (number > 0).then_some(number);
        Capture {
            frames: if facts.from_file { read } else { self.capture.frames },
            kernel_drops: self.capture.kernel_drops,
            freezes: self.capture.freezes,
            truncated: both(self.lanes, |lane| lane.truncated),
            coverage_ratio: self.coverage.ratio.map(|ratio| crate::output::figures::share(ratio, 1.0)),
            late_workers: self.late_workers,
            missing_bytes: self.missing_bytes,
            one_way_bytes: some(both(self.lanes, |lane| lane.tcp.one_way)),
            estimated_packets: some(estimated),
            corrupt_frames: some(self.capture.corrupt),
            second_sight_frames: some(self.capture.second_sight),
        }
    }
}

/// What lists leave out: of the interval (0), or since the start (1).
fn hidden(snapshot: &Snapshot, link: LinkId, which: usize) -> Option<(u64, totals::Count)> {
    let hidden = snapshot.hidden.as_ref()?;
    let of_link = hidden.links.get(usize::from(link)).map_or(totals::Count::default(), |link| link[which]);
    Some((hidden.flows[which], of_link))
}

fn count(count: totals::Count) -> Count {
    Count { packets: count.packets, bytes: count.bytes }
}

/// Frames and their bytes, where one of them is not that of the packets.
fn differing(packets: totals::Count, frames: u64, frame_bytes: u64) -> [Option<u64>; 2] {
    let differ = packets != totals::Count { packets: frames, bytes: frame_bytes };
    [differ.then_some(frames), differ.then_some(frame_bytes)]
}

fn untracked(lanes: &[LaneTotals; 2]) -> Untracked {
    let [rx, tx] = lanes;
    let reasons = REASON_TEXTS.iter().zip(rx.untracked.iter().zip(&tx.untracked));
    let reasons = reasons.map(|(text, (rx, tx))| (text.name, output::figures::sum([*rx, *tx])));
    let reasons: Vec<_> = reasons.filter(|(_, sum)| sum.packets > 0).collect();
    let all = output::figures::sum([rx.untracked_sum(), tx.untracked_sum()]);
    Untracked {
        packets: all.packets,
        bytes: all.bytes,
        reasons: Map(reasons.into_iter().map(|(name, sum)| (Cow::Borrowed(name), count(sum))).collect()),
    }
}

fn flows(table: &TableStats) -> Flows {
    let lost = table.unreported_count;
    Flows {
        scope: FlowScope::AllInterfaces,
        active: table.active,
        half_open: table.half_open,
        opened: table.opened,
        closed: table.closed,
        evicted: table.evicted,
        hidden: None,
        events_lost: (table.events_lost > 0).then_some(table.events_lost),
        unreported: (table.unreported > 0).then_some(Unreported {
            flows: table.unreported,
            packets: lost.packets,
            bytes: lost.bytes,
        }),
    }
}

pub fn connection<'a>(head: Head<'a>, account: &Account, context: &'a Context) -> Connection<'a> {
    let entry = &account.entry;
    let key = &entry.key;
    let [client, server] = client_first(entry);
    let is_tcp = key.protocol() == protocol::TCP;
    Connection {
        head,
        protocol: protocol_name(key.protocol()),
        client: End::of(key, client, context),
        server: End::of(key, server, context),
        role_source: role_source(entry.marks),
        community_id: community_id(key),
        state: is_tcp.then(|| tcp::state_of(entry).name()),
        states: is_tcp.then(|| states(account)),
        end_reason: account.reason.name(),
        start: Time(entry.start),
        end: Time(entry.last),
        duration_seconds: seconds(entry.last.saturating_sub(entry.start)),
        vlan: Vlan::of(key, context),
        midstream: entry.marks & mark::MIDSTREAM != 0,
        fragmented: entry.marks & mark::FRAGMENTED != 0,
        estimated: entry.marks & mark::ESTIMATED != 0,
        conn_state: is_tcp.then(|| conn_state(entry)),
        reset_by: reset_by(entry).filter(|_| is_tcp),
        tfo: match entry.handshake[0] {
            byte if byte & shake::EVICTED_POSSIBLE == shake::EVICTED_POSSIBLE => None,
            byte if byte & shake::TFO_ACCEPTED != 0 => Some("accepted"),
            byte if byte & shake::TFO_REFUSED != 0 => Some("refused"),
            _ => None,
        },
        evicted_possible: entry.handshake[0] & shake::EVICTED_POSSIBLE == shake::EVICTED_POSSIBLE,
        after_unreach: entry.handshake[0] & shake::AFTER_UNREACH != 0,
        tls: entry.handshake[0] & shake::TLS != 0,
        one_way: one_way(entry),
        holes_merged: entry.marks & mark::HOLES_MERGED != 0,
        discontinuous: entry.marks & mark::DISCONTINUOUS != 0,
        exchanges_lossy: entry.marks & mark::EXCHANGES_LOSSY != 0,
        c2s: sent(account, client, context),
        s2c: sent(account, server, context),
        handshake: (is_tcp && handshake::is_attempt(entry)).then(|| opening(account)),
        exchanges: is_tcp.then(|| exchanges(account)),
    }
}

fn states(account: &Account) -> Vec<Reached> {
    let client = account.entry.client();
    let passed = account.tcp.history.states(&account.entry, &account.tcp.beside).into_iter();
    passed
        .map(|one| Reached {
            state: one.state.name(),
            after_seconds: seconds(one.after_us.saturating_mul(1000)),
            by: one.by.map(|side| if side == client { "client" } else { "server" }),
        })
        .collect()
}

/// µs as seconds, where they are known.
fn known(us: u32) -> Option<f64> {
    (us != UNKNOWN_US).then(|| seconds(us as u64 * 1000))
}

fn opening(account: &Account) -> Opening {
    let entry = &account.entry;
    let outcome = handshake::outcome(entry);
    let icmp = handshake::icmp(entry);
    Opening {
        outcome: outcome.map(Outcome::name),
        reason: match outcome {
            Some(Outcome::TimeoutNoSynack) => Some("no_synack"),
            Some(Outcome::TimeoutNoAck) => Some("no_ack"),
            _ => None,
        },
        icmp_type: icmp.map(|[kind, _]| kind),
        icmp_code: icmp.map(|[_, code]| code),
        syn_retransmitted: entry.handshake[1],
        synack_retransmitted: entry.handshake[2],
        connect_seconds: known(account.tcp.beside.connect_us),
        syn_to_synack_seconds: known(entry.warm.handshake_us[0]),
        synack_to_ack_seconds: known(entry.warm.handshake_us[1]),
    }
}

fn exchanges(account: &Account) -> Exchanges {
    let entry = &account.entry;
    let (last_byte_seconds, first_max) = match (&account.tcp.exchanges, exchange::only_one(entry)) {
        (Some(times), _) => {
            let at =
                |percent| times.histogram.percentile(percent).map(|us| us.min(times.max_us)).and_then(known);
            (Spread { p50: at(50), p95: at(95), max: known(times.max_us) }, known(times.first_byte_max_us))
        }
        (None, Some(one)) => {
            let us = one.last_byte_us.and_then(known);
            (Spread { p50: us, p95: us, max: us }, one.first_byte_us.and_then(known))
        }
        (None, None) => (Spread { p50: None, p95: None, max: None }, None),
    };
    Exchanges {
        count: entry.exchanges,
        unanswered: exchange::unanswered(entry),
        first_byte_seconds: Longest { max: first_max },
        last_byte_seconds,
    }
}

fn stream(account: &Account, side: usize) -> Stream {
    let (entry, tcp) = (&account.entry, &account.tcp);
    let stream = &tcp.streams[side];
    let loss = &stream.loss;
    // Before the handshake is proven the entry has other times in these places.
    let timed = entry.has(state::PROVEN);
    let least = Some(entry.warm.rtt_min_us[side]).filter(|_| timed);
    let smoothed = Some(entry.warm.rtt_smoothed[side]).filter(|&eighths| timed && eighths > 0);
    let at = |percent: u32| {
        let both = tcp.round_trips.as_ref().filter(|_| timed)?;
        both[side].percentile(percent).and_then(known)
    };
    Stream {
        stream_bytes: stream.stream_bytes,
        stream_exact: stream.exact,
        stream_uncertain: stream.uncertain.then_some(1),
        missing_bytes: stream.missing_bytes,
        open_bytes: stream.open_bytes,
        unacked_bytes: stream.unacked_bytes,
        retransmitted_segments: loss.retransmitted_segments,
        retransmitted_bytes: loss.retransmitted_bytes,
        recovered_segments: loss.recovered_segments,
        out_of_order_segments: loss.out_of_order_segments,
        duplicate_acks: loss.duplicate_acks,
        zero_windows: loss.zero_windows,
        keep_alives: loss.keep_alives,
        syn: tcp.beside.syn[side],
        fin: tcp.beside.fin[side],
        rst: tcp.beside.rst[side],
        rtt_seconds: RoundTrips {
            min: least.and_then(known),
            smoothed: smoothed.map(|eighths| seconds(eighths as u64 * 125)),
            p50: at(50),
            p99: at(99),
        },
    }
}

/// Whose RST ended the connection.
fn reset_by(entry: &Entry) -> Option<&'static str> {
    let client = entry.client();
    [(client, "client"), (1 - client, "server")]
        .into_iter()
        .find(|&(side, _)| entry.side(side, state::RST))
        .map(|(_, name)| name)
}

/// Whose packets alone were seen of a TCP connection that both ends have.
fn one_way(entry: &Entry) -> Option<&'static str> {
    let seen = [0, 1].map(|side| entry.packets(side) > 0);
    let tells = entry.key.protocol() == protocol::TCP && entry.has(state::PROVEN) && seen[0] != seen[1];
    tells.then(|| if seen[entry.client()] { "client" } else { "server" })
}

/// Zeek's word for a connection (scripts/base/protocols/conn/main.zeek, `conn_state`).
fn conn_state(entry: &Entry) -> &'static str {
    let [client, server] = client_first(entry);
    let reset = reset_by(entry);
    let syn_unseen = entry.marks & mark::ROLE_SYN == 0 && handshake::is_attempt(entry);
    match tcp::state_of(entry) {
        tcp::TcpState::Reset if !entry.has(state::PROVEN) => match (reset, entry.side(server, state::SYN)) {
            (Some("server"), _) if syn_unseen => "RSTRH",
            (Some("server"), _) => "REJ",
            (_, true) => "RSTO",
            _ => "RSTOS0",
        },
        tcp::TcpState::Reset if reset == Some("client") => "RSTO",
        tcp::TcpState::Reset => "RSTR",
        tcp::TcpState::SynReceived | tcp::TcpState::Closed if entry.side(server, state::SYN) => {
            if syn_unseen { "SHR" } else { "S1" }
        }
        tcp::TcpState::SynSent | tcp::TcpState::Closed if entry.side(client, state::FIN) => "SH",
        tcp::TcpState::SynSent | tcp::TcpState::SynReceived | tcp::TcpState::Closed => "S0",
        tcp::TcpState::Established if entry.marks & mark::MIDSTREAM != 0 => "OTH",
        tcp::TcpState::Established => "S1",
        tcp::TcpState::FinWait | tcp::TcpState::HalfClosedClient | tcp::TcpState::HalfClosedServer => {
            if entry.side(client, state::FIN) { "S2" } else { "S3" }
        }
        tcp::TcpState::Closing | tcp::TcpState::TimeWait => "SF",
    }
}

fn sent<'a>(account: &Account, side: usize, context: &'a Context) -> Sent<'a> {
    let entry = &account.entry;
    let bytes = entry.sent.get(side).map_or(0, |sent| sent.bytes);
    let all = totals::Count { packets: entry.packets(side), bytes };
    let surplus = |by_side: [u64; 2]| by_side.get(side).copied().unwrap_or(0);
    let [frames, frame_bytes] = differing(
        all,
        all.packets.saturating_sub(surplus(account.surplus.packets)),
        all.bytes.saturating_sub(surplus(account.surplus.bytes)),
    );
    let has_payload = matches!(entry.key.protocol(), protocol::TCP | protocol::UDP);
    Sent {
        packets: all.packets,
        bytes: all.bytes,
        frames,
        frame_bytes,
        payload_bytes: has_payload.then(|| account.payload(side)),
        stream: (entry.key.protocol() == protocol::TCP).then(|| stream(account, side)),
        interfaces: interfaces(account, side, context),
    }
}

/// Bytes that one side sent, by interface, in the order of their numbers.
fn interfaces<'a>(account: &Account, side: usize, context: &'a Context) -> Map<'a, u64> {
    let mut sums = account.bytes_by_link(side);
    sums.sort_unstable_by_key(|&(link, _)| link);
    let mut named: Vec<(Cow<'a, str>, u64)> = Vec::with_capacity(sums.len());
    for (link, bytes) in sums {
        let name = context.link_name(link);
        // Interfaces of two files may bear one name; a key stands once in an object.
        match named.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += bytes,
            None => named.push((Cow::Borrowed(name), bytes)),
        }
    }
    Map(named)
}
