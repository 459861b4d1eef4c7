//! Snapshots made by hand: what outputs are tested with.

use fullcount::aggregate::destination::{Counts, Destination, Destinations, Figures, Name, REST};
use fullcount::aggregate::snapshot::{CaptureFigures, InterfaceFigures, Row, RowName, Snapshot};
use fullcount::aggregate::watch::{Handshakes, Latency, Side, Tally, WatchFigures, Watched};
use fullcount::aggregate::window::Averages;
use fullcount::capture::{Direction, Lane, LinkType};
use fullcount::config::{By, Sort, Unit};
use fullcount::decode::{Class, protocol};
use fullcount::flow::beside::Beside;
use fullcount::flow::detail::{ExchangeTimes, Histogram, LaneCount, Surplus};
use fullcount::flow::entry::{Entry, UNKNOWN_US, mark, state};
use fullcount::flow::key::{End, FlowKey};
use fullcount::flow::record::{Account, EndReason, Outcome, Session, TcpAccount};
use fullcount::flow::sequence::Stream;
use fullcount::flow::table::TableStats;
use fullcount::flow::tcp::TcpState;
use fullcount::meter::loss::Reason;
use fullcount::meter::totals::{Count, LaneTotals};
use fullcount::output::{BondFacts, Context, Coverage, LinkFacts, RingFacts, Start, Style};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const S: u64 = 1_000_000_000;
/// 2026-11-21T09:00:00Z.
pub const NINE: u64 = 1_795_251_600 * S;

pub fn style() -> Style {
    Style { by: By::Connection, sort: Sort::Rate, top: 20, unit: Unit::Bits, whole: false, color: false }
}

pub fn count(packets: u64, bytes: u64) -> Count {
    Count { packets, bytes }
}

pub fn lane(link: u8, direction: Direction) -> Lane {
    Lane::new(link, direction)
}

/// A TCP or UDP key of IPv4 hosts, and whether its second end is the first one named.
pub fn key_v4(protocol: u8, client: ([u8; 4], u16), server: ([u8; 4], u16)) -> (FlowKey, bool) {
    let end = |(ip, port): ([u8; 4], u16)| End::v4(u32::from(Ipv4Addr::from(ip)), port);
    FlowKey::new(end(client), end(server), protocol, false, 0, 0)
}

pub fn key_v6(protocol: u8, client: (Ipv6Addr, u16), server: (Ipv6Addr, u16)) -> (FlowKey, bool) {
    let end = |(ip, port): (Ipv6Addr, u16)| {
        let bits = u128::from(ip);
        End { address: [(bits >> 64) as u64, bits as u64], port }
    };
    FlowKey::new(end(client), end(server), protocol, true, 0, 0)
}

/// Two slaves of a bond, live.
pub fn context() -> Context {
    let link = |name: &str| LinkFacts {
        name: name.to_owned(),
        bond: Some("bond0".to_owned()),
        speed_bits_per_second: Some(1_000_000_000),
        link_type: Some(LinkType::Ethernet),
        ring: Some(RingFacts { bytes: 134_217_728, milliseconds_at_line_rate: Some(1073) }),
        promiscuous: true,
        ..LinkFacts::default()
    };
    Context { host: "web7".to_owned(), links: vec![link("eth0"), link("eth1")], ..Context::default() }
}

/// One interface of a file.
pub fn file_context() -> Context {
    let link = LinkFacts {
        name: "a.pcap".to_owned(),
        link_type: Some(LinkType::Ethernet),
        from_file: true,
        direction_unknown: true,
        ..LinkFacts::default()
    };
    Context { host: "web7".to_owned(), links: vec![link], ..Context::default() }
}

pub fn start() -> Start {
    Start {
        time_ns: NINE,
        reason: "eth0 and eth1, as they are the slaves of bond0.".to_owned(),
        bonds: vec![BondFacts {
            name: "bond0".to_owned(),
            mode: "802.3ad".to_owned(),
            xmit_hash_policy: Some("layer3+4".to_owned()),
            slaves: vec!["eth0".to_owned(), "eth1".to_owned()],
        }],
        workers: vec![(0, Some(2)), (1, None)],
        filter: Some("tcp".to_owned()),
        snaplen: Some(160),
    }
}

/// A lane with TCP alone, packets as they came.
pub fn lane_totals(packets: u64, bytes: u64) -> LaneTotals {
    let mut totals = LaneTotals {
        count: count(packets, bytes),
        frames: packets,
        frame_bytes: bytes,
        ip_bytes: bytes - 14 * packets,
        line_bytes: bytes + 24 * packets,
        ..LaneTotals::default()
    };
    totals.classes[Class::Tcp as usize] = totals.count;
    totals
}

pub fn interface(link: u8, rx: LaneTotals, tx: LaneTotals) -> InterfaceFigures {
    let capture = CaptureFigures { frames: rx.frames + tx.frames, ..CaptureFigures::default() };
    let rates = |seconds: u64| [rx, tx].map(|lane| lane.count.bytes.saturating_mul(8) / seconds);
    let averages = Averages {
        windows: [Some(rates(1)), Some(rates(2)), Some(rates(3))],
        peak: Some(rates(1)),
        ..Averages::default()
    };
    let intervals = [rx, tx];
    InterfaceFigures {
        link,
        missing_bytes: [0; 2],
        handshakes: Default::default(),
        interval: intervals,
        total: intervals,
        averages,
        capture_interval: capture,
        capture,
    }
}

pub fn empty(time_ns: u64) -> Snapshot {
    Snapshot {
        time_ns,
        start_ns: NINE,
        end_ns: time_ns,
        interval_ns: S,
        interfaces: Vec::new(),
        table: TableStats::default(),
        table_interval: TableStats::default(),
        ethertypes: Vec::new(),
        rows: Vec::new(),
        rows_found: 0,
        rows_number: 0,
        rows_whole: true,
        link_rows: Vec::new(),
        hidden: None,
        accounts: Vec::new(),
        marks: Vec::new(),
        skipped_intervals: 0,
        late_packets: 0,
        late_workers: Vec::new(),
        groups_folded: 0,
        accounts_lost: 0,
        destinations: None,
        run_rows: None,
        handshakes: Default::default(),
        spreads: Vec::new(),
        balances: Vec::new(),
        bursts: Vec::new(),
        bursts_lost: 0,
        incomplete: Vec::new(),
        faults: Vec::new(),
        last: false,
    }
}

pub fn connection_row(
    key: (FlowKey, bool),
    state: Option<TcpState>,
    now: [Count; 2],
    total: [Count; 2],
) -> Row {
    Row {
        name: RowName::Connection(key.0),
        client_second: key.1,
        interval: now,
        total,
        state,
        marks: if state.is_some() { mark::ROLE_SYN } else { 0 },
        lanes: [Some(lane(0, Direction::Rx)), Some(lane(1, Direction::Tx))],
        idle_ns: Some(300_000_000),
        averages: None,
    }
}

pub fn group_row(name: RowName, now: [Count; 2], total: [Count; 2]) -> Row {
    Row {
        name,
        client_second: false,
        interval: now,
        total,
        state: None,
        marks: 0,
        lanes: [None; 2],
        idle_ns: None,
        averages: None,
    }
}

pub fn web() -> (FlowKey, bool) {
    key_v4(protocol::TCP, ([192, 0, 2, 7], 40112), ([198, 51, 100, 2], 443))
}

/// A connection that came by eth0 and was answered by eth1, with super-frames there.
pub fn account() -> Account {
    let (key, reversed) = web();
    let mut entry = Entry::new(key, NINE + 100_000_000);
    entry.last = NINE + 1_304_000_001;
    entry.marks = mark::ROLE_SYN | mark::SUPER_FRAMES;
    entry.state = if reversed { state::CLIENT_SECOND } else { 0 };
    let (client, server) = (reversed as usize, 1 - reversed as usize);
    (entry.sent[client].packets, entry.sent[client].bytes) = (12, 3104);
    (entry.sent[server].packets, entry.sent[server].bytes) = (70, 91_422);
    entry.handshake = [Outcome::Success as u8, 1, 0, 0];
    entry.warm.handshake_us = [1100, 200];
    entry.warm.rtt_min_us[client] = 1050;
    entry.warm.rtt_min_us[server] = UNKNOWN_US;
    entry.warm.rtt_smoothed[client] = 8 * 1200;
    entry.exchanges = 3;
    entry.lanes[client] = lane(0, Direction::Rx).0;
    entry.lanes[server] = lane(1, Direction::Tx).0;
    let mut surplus = Surplus::default();
    (surplus.packets[server], surplus.bytes[server]) = (60, 3960);
    let mut tcp = TcpAccount::default();
    (tcp.beside.connect_us, tcp.beside.syn, tcp.beside.fin) = (3_001_300, [1; 2], [1; 2]);
    tcp.beside.syn[client] = 2;
    for (bits, ms) in [(state::SYN << state::SIDE[server], 1100), (state::PROVEN, 1200)] {
        entry.state |= bits;
        tcp.history.note(
            &entry,
            &Beside::default(),
            entry.state & !bits | state::SYN << state::SIDE[client],
            entry.start + ms * 1_000_000,
        );
    }
    let stream =
        |bytes| Stream { payload_bytes: bytes, stream_bytes: bytes, exact: true, ..Stream::default() };
    tcp.streams[client] = Stream { unacked_bytes: Some(0), ..stream(2300) };
    tcp.streams[server] = stream(86_802);
    tcp.streams[server].loss.duplicate_acks = 2;
    let mut histogram = Histogram::default();
    histogram.0[12] = 3;
    tcp.exchanges = Some(ExchangeTimes { histogram, max_us: 3100, sum_us: 7000, first_byte_max_us: 900 });
    Account { entry, surplus, tcp, reason: EndReason::Fin, lanes: Vec::new() }
}

/// An account whose answer was spread over both slaves.
pub fn spread_account() -> Account {
    let mut account = account();
    let server = 1 - account.entry.client() as u8;
    let lane_count =
        |link, packets, bytes| LaneCount { side: server, lane: lane(link, Direction::Tx), packets, bytes };
    account.lanes = vec![lane_count(1, 30, 40_000), lane_count(0, 40, 51_422)];
    account
}

/// One second on two slaves, with a bit of everything.
pub fn busy() -> (Snapshot, Vec<[Coverage; 2]>) {
    let mut rx = lane_totals(81_213, 118_000_000);
    rx.untracked[Reason::NotIp as usize] = count(12, 720);
    rx.classes[Class::NotIp as usize] = count(12, 720);
    rx.classes[Class::Tcp as usize] = count(81_201, 117_999_280);
    let mut tx = lane_totals(40_002, 3_012_000);
    (tx.frames, tx.frame_bytes) = (20_000, 2_000_000);
    let mut quiet = interface(1, LaneTotals::default(), lane_totals(10, 15_140));
    quiet.capture =
        CaptureFigures { frames: 400_129, kernel_drops: 1204, freezes: 1, corrupt: 3, second_sight: 0 };
    quiet.capture_interval =
        CaptureFigures { frames: 10, kernel_drops: 4, freezes: 1, corrupt: 3, second_sight: 0 };
    let mut snapshot = empty(NINE + S);
    snapshot.interfaces = vec![interface(0, rx, tx), quiet];
    snapshot.table = TableStats {
        entries: 3200,
        active: 3120,
        half_open: 3,
        opened: 4000,
        closed: 880,
        ..TableStats::default()
    };
    snapshot.table_interval = TableStats { opened: 312, closed: 298, ..snapshot.table };
    snapshot.ethertypes = vec![(0x0806, count(10, 600)), (0x88cc, count(2, 120))];
    let dns = key_v4(protocol::UDP, ([192, 0, 2, 7], 53_000), ([198, 51, 100, 53], 53));
    let ping = key_v4(protocol::ICMP, ([192, 0, 2, 7], 0), ([198, 51, 100, 9], 0));
    let big = [count(40_000, 3_000_000), count(80_000, 117_000_000)];
    snapshot.rows = vec![
        connection_row(
            web(),
            Some(TcpState::Established),
            big,
            [count(90_000, 6_600_000), count(200_000, 291_000_000)],
        ),
        connection_row(dns, None, [count(2, 160), count(2, 480)], [count(2, 160), count(2, 480)]),
        connection_row(ping, None, [count(1, 98), count(1, 98)], [count(10, 980), count(9, 882)]),
    ];
    snapshot.rows_found = 3;
    snapshot.link_rows = vec![snapshot.rows.clone(), Vec::new()];
    let full =
        Coverage { ratio: Some(1.0), nic_bits_per_second: Some([944_000_000, 25_000_000]), part: false };
    let short = Coverage { ratio: Some(0.997_000_4), nic_bits_per_second: None, part: false };
    (snapshot, vec![[full, full], [short, short]])
}

pub fn v4(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

/// An attempt of [`web`]'s that succeeded within 1.3 ms.
pub fn session(outcome: Outcome) -> Session {
    let (key, client_second) = web();
    let mut lanes = [lane(0, Direction::Rx).0; 2];
    lanes[1 - usize::from(client_second)] = lane(1, Direction::Tx).0;
    Session {
        slot: 0,
        key,
        client_second,
        start_ns: NINE + 100_000_000,
        end_ns: NINE + 101_300_000,
        outcome,
        icmp: [0; 2],
        syn_retransmitted: 0,
        synack_retransmitted: 0,
        synack_seen: true,
        syn_unseen: false,
        connect_us: Some(1300),
        server_us: Some(1100),
        client_us: Some(200),
        ack_with_data: false,
        lanes,
    }
}

/// One handshake of each kind, as two watches have them: `RX` all, `http-rx` those that succeeded.
pub fn handshakes() -> Handshakes {
    use Outcome::*;
    let failed = |outcome, end_ns| Session {
        end_ns,
        connect_us: None,
        server_us: None,
        client_us: None,
        synack_seen: false,
        ..session(outcome)
    };
    let mut silent = failed(TimeoutNoSynack, NINE + 63_100_000_000);
    silent.syn_retransmitted = 2;
    silent.lanes[1 - usize::from(silent.client_second)] = u8::MAX;
    let mut all = vec![
        Session { syn_retransmitted: 1, server_us: None, ..session(Success) },
        failed(Reject, NINE + 100_400_000),
        Session { icmp: [3, 1], ..failed(Unreach, NINE + 103_000_000) },
        silent,
        Session { synack_retransmitted: 5, ..failed(TimeoutNoAck, NINE + 163_100_000_000) },
        failed(AbortedRst, NINE + 101_000_000),
        failed(Aborted, NINE + 1_100_000_000),
        failed(Indeterminate, NINE + 60_100_000_000),
    ];
    let (key, client_second) = key_v6(
        protocol::TCP,
        ("2001:db8::1:2:3:4".parse().unwrap(), 51812),
        ("2001:db8:ffff::443".parse().unwrap(), 443),
    );
    all.push(Session { key, client_second, ack_with_data: true, ..session(Success) });
    let mut tally = Tally {
        outcomes: [2, 1, 1, 1, 1, 1, 1, 1, 4],
        syn_unseen: 1,
        sessions_with_syn_retransmitted: 1,
        syn_retransmitted: 3,
        synack_retransmitted: 5,
        connect: Some(Latency { p50_us: 1300, p95_us: 1300, p99_us: 1300, max_us: 1300 }),
        ..Tally::default()
    };
    let rx = WatchFigures { name: "RX".into(), interval: tally, total: tally, half_open: 3 };
    (tally.outcomes, tally.syn_unseen) = ([0, 1, 0, 0, 0, 0, 0, 0, 0], 0);
    (tally.sessions_with_syn_retransmitted, tally.syn_retransmitted, tally.synack_retransmitted) = (0, 0, 0);
    tally.connect = None;
    let http =
        WatchFigures { name: "http-rx".into(), interval: Tally::default(), total: tally, half_open: 0 };
    let watched = |session| Watched { session, watches: 1 };
    let mut sessions: Vec<Watched> = all.into_iter().map(watched).collect();
    sessions[1].watches = 3;
    sessions.push(Watched { session: Session { syn_unseen: true, ..session(Success) }, watches: 0 });
    Handshakes { watches: vec![rx, http], sessions, ..Handshakes::default() }
}

/// A busy destination, one that refuses, one that is here, and the rest.
pub fn destinations() -> Destinations {
    let latency = |p50_us, max_us| Some(Latency { p50_us, p95_us: max_us, p99_us: max_us, max_us });
    let busy = Counts {
        attempts: 41,
        answered: 41,
        established: 41,
        ended: 30,
        reset: 1,
        closed_here: 27,
        closed_there: 2,
        exchanges: 118,
        unanswered: 2,
        with_loss: 0,
    };
    let busy = Figures {
        counts: busy,
        connect: latency(1300, 131_730),
        first_byte: latency(900, 2100),
        last_byte: latency(1900, 220_530),
        exchanges_p95: Some(4),
    };
    let refused = Counts { attempts: 12_000, ended: 12_000, reset: 11_999, ..Counts::default() };
    let refused = Figures { counts: refused, ..Figures::default() };
    let lossy = Counts { attempts: 1, answered: 1, exchanges: 7, with_loss: 3, ..Counts::default() };
    let lossy = Figures { counts: lossy, ..Figures::default() };
    let here = |side, address: IpAddr, interval, total| Destination {
        name: Name { address, here: Some(side) },
        interval,
        total,
    };
    let all = [
        here(Side::Client, v4(9), refused, refused),
        here(Side::Client, v4(2), busy, busy),
        here(Side::Server, "2001:db8::1:2:3:4".parse().unwrap(), Figures::default(), lossy),
        Destination { name: REST, interval: lossy, total: lossy },
    ];
    let mut sum = Destination { name: REST, interval: busy, total: busy };
    sum.total.counts.attempts += 12_002;
    Destinations {
        of_interval: vec![all[0], all[1], all[3]],
        intervals_found: 3,
        of_run: all.to_vec(),
        found: 1204,
        all: Some(sum),
        ..Destinations::default()
    }
}
