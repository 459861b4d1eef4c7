//! `burst` lines: when a direction of a link was full, and who filled it.

use super::lines::{Head, Map, Time, is_false};
use super::rows::{End, Vlan};
use crate::aggregate::classes::ClassId;
use crate::aggregate::culprit::{self, Burst};
use crate::meter::bins::BIN_NS;
use crate::meter::journal::FlowName;
use crate::output::Context;
use crate::output::bursts::{mean_bits_per_second, queue_seconds, utilisation, word};
use crate::output::figures::{has_ports, protocol_name, seconds, share};
use schemars::JsonSchema;
use serde::Serialize;
use std::borrow::Cow;
use std::net::IpAddr;

/// A time in which one direction of a link was full.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Burst")]
pub struct BurstLine<'a> {
    /// What every line begins with.
    #[serde(flatten)]
    head: Head<'a>,
    /// Where.
    interface: &'a str,
    /// The bond that it is a slave of.
    #[serde(skip_serializing_if = "Option::is_none")]
    bond: Option<&'a str>,
    /// `rx` or `tx`.
    direction: &'static str,
    /// Begin of its first millisecond.
    start: Time,
    /// Whole milliseconds.
    duration_seconds: f64,
    /// True where the run ended before it did.
    #[serde(skip_serializing_if = "is_false")]
    open: bool,
    /// All layer-2 bytes of the direction in that time.
    bytes: u64,
    /// All packets.
    packets: u64,
    /// The highest millisecond, in bits on the line (padding, FCS, preamble and gap included) per second.
    peak_1ms_bits_per_second: u64,
    /// bytes × 8 per second.
    mean_bits_per_second: u64,
    /// Bits on the line ÷ what the link could have carried; null where its speed is not known.
    line_utilisation_ratio: Option<f64>,
    /// Most that was more than the line could take, at the end of a millisecond, in bytes on the line; null
    /// where the speed is not known, as below.
    queue_peak_bytes: Option<u64>,
    /// How long the line takes for that.
    queue_peak_seconds: Option<f64>,
    /// What other interfaces did in the same direction and time.
    other_interfaces: Map<'a, Other>,
    /// What was lost around it; absent for files.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost_meanwhile: Option<super::lost::Meanwhile<'a>>,
    /// Connections (flows) that had a packet in it.
    connections: u64,
    /// Of them, those that began in it.
    connections_begun: u64,
    /// Addresses that sent in it.
    senders: u64,
    /// Milliseconds before it that `excess_share_ratio` compares with; null where the workers' journals did
    /// not reach back to them: then all is excess.
    compared_with_seconds: Option<f64>,
    /// Share of the bytes whose connections are known: below 1 where the workers' journals were too short.
    known_ratio: Option<f64>,
    /// Connections with most bytes beyond their rate of before, as many as `--top` says.
    culprits: Vec<Culprit<'a>>,
    /// The same by address, whichever end it is.
    hosts: Vec<HostCulprit<'a>>,
    /// The same by port of the server.
    ports: Vec<PortCulprit>,
    /// The same by class, all of them, where `--classes` names any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<ClassCulprit<'a>>,
}

/// What an interface did meanwhile.
#[derive(Serialize, JsonSchema)]
struct Other {
    /// Bits on the line per second.
    line_bits_per_second: u64,
    /// Share of what it could have carried; null where its speed is not known.
    line_utilisation_ratio: Option<f64>,
}

/// Packets and bytes in the burst.
#[derive(Serialize, JsonSchema)]
struct Sent {
    /// Packets on the wire.
    packets: u64,
    /// Layer-2 bytes on the wire.
    bytes: u64,
}

/// How much it had of the burst.
#[derive(Serialize, JsonSchema)]
struct Share {
    /// Of all bytes of the burst.
    share_ratio: Option<f64>,
    /// Its bytes beyond what its mean rate before the burst would have made ÷ the sum of
    /// all connections' such bytes; null where nobody had any.
    excess_share_ratio: Option<f64>,
}

/// A connection that filled it.
#[derive(Serialize, JsonSchema)]
struct Culprit<'a> {
    /// IP protocol.
    protocol: Cow<'static, str>,
    /// Who began.
    client: End<'a>,
    /// Who answered.
    server: End<'a>,
    /// VLAN ids, outermost first, where its frames are tagged.
    #[serde(skip_serializing_if = "Vlan::is_empty")]
    vlan: Vlan,
    /// True where it began in the burst.
    #[serde(skip_serializing_if = "is_false")]
    began: bool,
    /// Client to server.
    c2s: Sent,
    /// Server to client.
    s2c: Sent,
    /// How much of the burst.
    #[serde(flatten)]
    share: Share,
}

/// An address that filled it.
#[derive(Serialize, JsonSchema)]
struct HostCulprit<'a> {
    /// Address.
    host: IpAddr,
    /// Its name, where `--names` has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    /// To it.
    to: Sent,
    /// From it.
    from: Sent,
    /// How much of the burst: connections count at both their ends.
    #[serde(flatten)]
    share: Share,
}

/// A class that filled it.
#[derive(Serialize, JsonSchema)]
struct ClassCulprit<'a> {
    /// Name, `other` for what is in none.
    class: &'a str,
    /// To the servers.
    to: Sent,
    /// From them.
    from: Sent,
    /// How much of the burst.
    #[serde(flatten)]
    share: Share,
}

/// A port that filled it.
#[derive(Serialize, JsonSchema)]
struct PortCulprit {
    /// Port of the server; absent for protocols that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    /// IP protocol.
    protocol: Cow<'static, str>,
    /// To it.
    to: Sent,
    /// From it.
    from: Sent,
    /// How much of the burst.
    #[serde(flatten)]
    share: Share,
}

impl Sent {
    fn of(count: crate::meter::totals::Count) -> Sent {
        Sent { packets: count.packets, bytes: count.bytes }
    }
}

impl Share {
    fn of<T>(culprit: &culprit::Culprit<T>, burst: &Burst) -> Share {
        let part = |part: u64, whole: u64| (whole > 0).then(|| share(part as f64, whole as f64));
        Share {
            share_ratio: part(culprit.count().bytes, burst.sums.bytes),
            excess_share_ratio: part(culprit.excess_bytes, culprit.excess_of_all),
        }
    }
}

/// The line of the burst that stands in this place among the snapshot's.
pub fn line<'a>(head: Head<'a>, place: usize, burst: &Burst, context: &'a Context) -> BurstLine<'a> {
    let facts = context.link(burst.lane.link());
    let length_ms = burst.until_ms - burst.from_ms;
    let known = burst.journal_bytes.saturating_sub(burst.unnamed.bytes);
    let mut others: Vec<(Cow<'a, str>, Other)> = Vec::new();
    for &(link, line_bits) in &burst.others {
        let name = context.link_name(link);
        if others.iter().all(|(known, _)| known != name) {
            let other = Other {
                line_bits_per_second: line_bits.saturating_mul(1000) / length_ms.max(1),
                line_utilisation_ratio: utilisation(
                    line_bits,
                    length_ms,
                    context.link(link).speed_bits_per_second,
                ),
            };
            others.push((Cow::Borrowed(name), other));
        }
    }
    BurstLine {
        head,
        interface: context.link_name(burst.lane.link()),
        bond: facts.bond.as_deref(),
        direction: word(burst.lane),
        start: Time(burst.from_ms.saturating_mul(BIN_NS)),
        duration_seconds: seconds(length_ms.saturating_mul(BIN_NS)),
        open: burst.open,
        bytes: burst.sums.bytes,
        packets: burst.sums.packets,
        peak_1ms_bits_per_second: burst.sums.peak_bits.saturating_mul(1000),
        mean_bits_per_second: mean_bits_per_second(burst),
        line_utilisation_ratio: utilisation(burst.sums.line_bits, length_ms, burst.speed),
        queue_peak_bytes: burst.speed.map(|_| burst.sums.queue_bits / 8),
        queue_peak_seconds: queue_seconds(burst),
        other_interfaces: Map(others),
        lost_meanwhile: context.losses.bursts.get(place).map(super::lost::meanwhile),
        connections: burst.connections,
        connections_begun: burst.began,
        senders: burst.senders,
        compared_with_seconds: (burst.before_ms > 0).then(|| seconds(burst.before_ms * BIN_NS)),
        known_ratio: (burst.sums.bytes > 0).then(|| share(known as f64, burst.sums.bytes as f64)),
        culprits: burst.culprits.iter().map(|culprit| connection(culprit, burst, context)).collect(),
        hosts: burst.hosts.iter().map(|culprit| host(culprit, burst, context)).collect(),
        ports: burst.ports.iter().map(|culprit| port(culprit, burst)).collect(),
        classes: burst.classes.iter().map(|culprit| class(culprit, burst, context)).collect(),
    }
}

fn connection<'a>(culprit: &culprit::Culprit<FlowName>, burst: &Burst, context: &'a Context) -> Culprit<'a> {
    let key = &culprit.who.key;
    let client = usize::from(culprit.who.client_second);
    Culprit {
        protocol: protocol_name(key.protocol()),
        client: End::of(key, client, context),
        server: End::of(key, 1 - client, context),
        vlan: Vlan::of(key, context),
        began: culprit.began,
        c2s: Sent::of(culprit.sent[client]),
        s2c: Sent::of(culprit.sent[1 - client]),
        share: Share::of(culprit, burst),
    }
}

fn host<'a>(culprit: &culprit::Culprit<IpAddr>, burst: &Burst, context: &'a Context) -> HostCulprit<'a> {
    let [to, from] = culprit.sent.map(Sent::of);
    let (host, name) = (culprit.who, context.names.of(culprit.who));
    HostCulprit { host, name, to, from, share: Share::of(culprit, burst) }
}

fn class<'a>(culprit: &culprit::Culprit<ClassId>, burst: &Burst, context: &'a Context) -> ClassCulprit<'a> {
    let [to, from] = culprit.sent.map(Sent::of);
    ClassCulprit { class: context.class_name(culprit.who), to, from, share: Share::of(culprit, burst) }
}

fn port(culprit: &culprit::Culprit<(u8, u16)>, burst: &Burst) -> PortCulprit {
    let [to, from] = culprit.sent.map(Sent::of);
    let (protocol, port) = culprit.who;
    PortCulprit {
        port: has_ports(protocol).then_some(port),
        protocol: protocol_name(protocol),
        to,
        from,
        share: Share::of(culprit, burst),
    }
}
