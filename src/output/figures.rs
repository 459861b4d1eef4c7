//! Figures that more than one output shows, computed once.
//!
//! Rates, spans and shares from counters, and the names of protocols and link
//! types. Knows snapshots and facts of the run; does not know JSON or columns.
//! Invariants: nothing here can overflow or divide by 0; what cannot be known
//! is None, never 0.

use super::units::number_of;
use super::{Context, Coverage, Coverages, LinkFacts};
use crate::aggregate::destination::Name;
use crate::aggregate::hidden::Hidden;
use crate::aggregate::snapshot::{InterfaceFigures, Snapshot};
use crate::aggregate::watch::Side;
use crate::capture::{LinkId, LinkType};
use crate::decode::{CLASSES, protocol};
use crate::meter::totals::{Count, LaneTotals};
use std::borrow::Cow;

const SECOND_NS: u128 = 1_000_000_000;

/// Length in ns of what a snapshot's interval figures cover. Without intervals
/// (a whole file in one) that is all of it; in a live run 0 is no time at all.
pub fn interval_span(snapshot: &Snapshot, live: bool) -> u64 {
    if snapshot.interval_ns == 0 && !live { run_span(snapshot) } else { snapshot.interval_ns }
}

/// How what rows leave out begins to be told.
pub const HIDDEN: &str = "Not in rows, as their start was not seen";

/// What rows leave out since the start (`--new-only`), a sentence.
pub fn hidden_told(hidden: &Hidden) -> String {
    let ([_, connections], [_, had]) = (hidden.flows, hidden.all());
    let what = [number_of(had.packets, "packet"), number_of(had.bytes, "byte")].join(", ");
    format!("{HIDDEN}: {} ({what})", number_of(connections, "connection"))
}

/// Length in ns of the run up to this snapshot.
pub fn run_span(snapshot: &Snapshot) -> u64 {
    snapshot.end_ns.saturating_sub(snapshot.start_ns)
}

/// `bytes` over `span_ns` in bits per second, rounded; None where no time passed.
pub fn bits_per_second(bytes: u64, span_ns: u64) -> Option<u64> {
    let span = span_ns as u128;
    let rounded = (bytes as u128 * 8 * SECOND_NS + span / 2).checked_div(span)?;
    Some(u64::try_from(rounded).unwrap_or(u64::MAX))
}

/// How often in a second, to six decimals; None where no time passed.
pub fn per_second(count: u64, span_ns: u64) -> Option<f64> {
    (span_ns > 0).then(|| share(count as f64, seconds(span_ns)))
}

/// Which end of its connections is here; None where neither is or nothing tells.
pub fn direction_of(name: Name) -> Option<&'static str> {
    name.here.map(|side| match side {
        Side::Client => "outgoing",
        Side::Server => "incoming",
    })
}

/// Share of an Ethernet link's rate that its line bits took; None where the
/// speed is not known or the link is not Ethernet.
pub fn line_utilisation(lane: &LaneTotals, facts: &LinkFacts, span_ns: u64) -> Option<f64> {
    let speed = facts.speed_bits_per_second.filter(|&speed| speed > 0)?;
    if facts.link_type.is_some_and(|kind| kind != LinkType::Ethernet) || span_ns == 0 {
        return None;
    }
    let bits = lane.line_bytes as f64 * 8.0;
    Some(share(bits * SECOND_NS as f64, speed as f64 * span_ns as f64))
}

/// `part` ÷ `whole`, to six decimals, as ratios are shown.
pub fn share(part: f64, whole: f64) -> f64 {
    (part / whole * 1e6).round() / 1e6
}

/// Seconds, exact to the digits of a double.
pub fn seconds(ns: u64) -> f64 {
    ns as f64 / SECOND_NS as f64
}

/// What is known of completeness: of the interval (0) or since the start (1).
pub fn coverage_of(coverages: &Coverages, link: LinkId, which: usize) -> Coverage {
    coverages.get(link as usize).and_then(|pair| pair.get(which)).copied().unwrap_or_default()
}

/// How far the figures of an interface may be trusted, since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// All witnesses agree (of a file: none says otherwise).
    Good,
    /// Nobody can say, or TCP acknowledged what was never seen.
    Doubtful,
    /// Something is known to be missing.
    Short,
}

impl Trust {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Trust::Good => "good",
            Trust::Doubtful => "doubtful",
            Trust::Short => "short",
        }
    }
}

/// Below it the interface itself has counted more than was measured: what lies
/// between two readings of its counters moves the ratio by less.
const COVERED: f64 = 0.999;

/// What the three witnesses say together: the kernel (drops), the interface
/// (`coverage`, since the start), TCP (payload that was acknowledged and never seen).
pub fn trust_in(figures: &InterfaceFigures, coverage: &Coverage, from_file: bool) -> Trust {
    let capture = &figures.capture;
    let short = coverage.ratio.is_some_and(|ratio| ratio < COVERED);
    if capture.kernel_drops > 0 || capture.corrupt > 0 || short {
        Trust::Short
    } else if figures.missing_bytes[1] > 0 || coverage.ratio.is_none() && !from_file {
        Trust::Doubtful
    } else {
        Trust::Good
    }
}

/// What TCP proves to be missing since the start, in words; None where that is nothing.
/// `filtered`: [`Context::was_filtered`], then it need not be lost.
pub fn missing_told(figures: &InterfaceFigures, filtered: bool) -> Option<String> {
    let [_, missing] = figures.missing_bytes;
    let bytes = number_of(missing, "byte");
    let by_filter = if filtered { ", which a filter that was in force may have left out" } else { "" };
    (missing > 0)
        .then(|| format!("may be short: TCP acknowledged {bytes} that were not seen here{by_filter}"))
}

/// Highest second of a run; None where the run was shorter.
pub fn peak_of_run(figures: &InterfaceFigures, span_ns: u64) -> Option<[u64; 2]> {
    figures.averages.peak.filter(|_| u128::from(span_ns) >= SECOND_NS)
}

/// Figures of a link; zeros where no packet and no ring was met yet.
pub fn figures_of(snapshot: &Snapshot, link: LinkId) -> InterfaceFigures {
    let found = snapshot.interfaces.iter().find(|one| one.link == link).copied();
    found.unwrap_or(InterfaceFigures {
        link,
        missing_bytes: [0; 2],
        handshakes: Default::default(),
        interval: Default::default(),
        total: Default::default(),
        averages: Default::default(),
        capture_interval: Default::default(),
        capture: Default::default(),
    })
}

/// Every interface that is known by name or by figures.
pub fn links(snapshot: &Snapshot, context: &Context) -> impl Iterator<Item = LinkId> + use<> {
    let figures = snapshot.interfaces.iter().map(|one| one.link as usize + 1).max().unwrap_or(0);
    (0..context.links.len().max(figures)).map_while(|link| LinkId::try_from(link).ok())
}

/// Sum of a figure over both directions.
pub fn both(lanes: &[LaneTotals; 2], figure: impl Fn(&LaneTotals) -> u64) -> u64 {
    lanes.iter().map(figure).fold(0, u64::saturating_add)
}

/// Sum of two directions' counts.
pub fn sum(counts: [Count; 2]) -> Count {
    Count {
        packets: counts[0].packets.saturating_add(counts[1].packets),
        bytes: counts[0].bytes.saturating_add(counts[1].bytes),
    }
}

/// Names of [`crate::decode::Class`]es, in the order of their numbers.
pub const CLASS_NAMES: [&str; CLASSES] = ["tcp", "udp", "icmp", "icmp6", "other_ip", "not_ip"];

/// An IP protocol's name, its number where it has none here (IANA's registry).
pub fn protocol_name(number: u8) -> Cow<'static, str> {
    Cow::Borrowed(match number {
        protocol::ICMP => "icmp",
        2 => "igmp",
        4 => "ipip",
        protocol::TCP => "tcp",
        protocol::UDP => "udp",
        protocol::DCCP => "dccp",
        41 => "ipv6",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        protocol::ICMP6 => "icmp6",
        89 => "ospf",
        103 => "pim",
        112 => "vrrp",
        protocol::SCTP => "sctp",
        protocol::UDP_LITE => "udplite",
        other => return Cow::Owned(other.to_string()),
    })
}

/// Whether ports are part of a flow of this protocol.
pub fn has_ports(number: u8) -> bool {
    use protocol::{DCCP, SCTP, TCP, UDP, UDP_LITE};
    matches!(number, TCP | UDP | DCCP | SCTP | UDP_LITE)
}

/// A link type's name: tcpdump's, in small letters.
pub fn link_type_name(kind: LinkType) -> Cow<'static, str> {
    Cow::Borrowed(match kind {
        LinkType::Ethernet => "ethernet",
        LinkType::LinuxSll => "linux_sll",
        LinkType::LinuxSll2 => "linux_sll2",
        LinkType::RawIp => "raw",
        LinkType::Null => "null",
        LinkType::Loop => "loop",
        LinkType::Other(number) => return Cow::Owned(format!("linktype_{number}")),
    })
}

/// An ethertype's name (IEEE's registry); a value below 0x0600 is a length, so 802.3.
pub fn ethertype_name(ethertype: u16) -> Cow<'static, str> {
    Cow::Borrowed(match ethertype {
        0..0x0600 => "802.3",
        0x0806 => "ARP",
        0x8035 => "RARP",
        0x809b => "AppleTalk",
        0x8137 => "IPX",
        0x8808 => "pause",
        0x8809 => "LACP",
        0x8847 | 0x8848 => "MPLS",
        0x8863 | 0x8864 => "PPPoE",
        0x888e => "802.1X",
        0x88a2 => "ATA over Ethernet",
        0x88cc => "LLDP",
        0x88e5 => "MACsec",
        0x88f7 => "PTP",
        0x8902 => "CFM",
        0x8906 => "FCoE",
        0x9000 => "loopback",
        u16::MAX => "other",
        unknown => return Cow::Owned(format!("0x{unknown:04x}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn rates_round_and_never_overflow() {
        assert_eq!(bits_per_second(118_000_000, S), Some(944_000_000));
        assert_eq!(bits_per_second(1, 3 * S), Some(3));
        assert_eq!(bits_per_second(7, 0), None);
        assert_eq!(bits_per_second(u64::MAX, 1), Some(u64::MAX));
    }

    #[test]
    fn utilisation_needs_a_speed_and_ethernet() {
        let lane = LaneTotals { line_bytes: 62_500_000, ..LaneTotals::default() };
        let mut facts = LinkFacts { speed_bits_per_second: Some(1_000_000_000), ..LinkFacts::default() };
        assert_eq!(line_utilisation(&lane, &facts, S), Some(0.5));
        assert_eq!(line_utilisation(&lane, &facts, 0), None);
        facts.link_type = Some(LinkType::RawIp);
        assert_eq!(line_utilisation(&lane, &facts, S), None);
        facts = LinkFacts { speed_bits_per_second: Some(0), ..LinkFacts::default() };
        assert_eq!(line_utilisation(&lane, &facts, S), None);
    }
}
