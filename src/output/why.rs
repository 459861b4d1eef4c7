//! `fullcount why`: one paragraph on what filled a link.
//!
//! Bursts of the whole run are summed by direction and by who filled them; at
//! the end the direction that was full for longest is told: when and how long,
//! who, what the others did meanwhile, what was lost, and what would help. Each
//! sentence has its figure, and one whose figure is not there is not said.
//! Nothing depends on the clock or on the number of workers.

use super::bursts::{utilisation, word};
use super::columns::end;
use super::figures::{missing_told, protocol_name, run_span};
use super::units::{between, duration, moment, number_of, percent_floor, percent_lost, plain, rate};
use super::{Context, Coverages, Notice, Output, Start, StopReason, Style};
use crate::aggregate::balance::{Placing, SetFigures};
use crate::aggregate::classes::{ClassId, NO_CLASS};
use crate::aggregate::culprit::{Burst, Culprit};
use crate::aggregate::snapshot::Snapshot;
use crate::aggregate::spread::SpreadFigures;
use crate::capture::{Direction, Lane, LinkId};
use crate::config::{BurstThreshold, Bursts};
use crate::flow::key::FlowKey;
use crate::meter::bins::BIN_NS;
use crate::meter::journal::FlowName;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::io::{self, Write};
use std::net::IpAddr;

/// Names of each kind that sums are kept of; what others had is in the whole.
const NAMES_MAX: usize = 1 << 16;
/// Beginnings that are kept, to see whether bursts come at a steady pace.
const BEGINNINGS_MAX: usize = 4096;
/// Who has this part of what came on top is named alone.
const MOST: f64 = 0.5;
/// An end of so much of the traffic is where the link leads to: no news.
const NEARLY_ALL: f64 = 0.995;
/// What a burst has to stay above: its milliseconds in between are lower.
const STAYS_ABOVE: f64 = 7.0 / 8.0;
/// So many senders at once are an incast.
const INCAST: u64 = 10;

/// Bytes of somebody in all bursts of a direction.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    bytes: u64,
    /// Of them, sent by it (hosts).
    sent: u64,
    excess: u64,
}

/// Sums by name.
type Shares<T> = HashMap<T, Share>;

/// All bursts of one direction of a link.
#[derive(Default)]
struct Lanes {
    bursts: u64,
    length_ms: u64,
    shortest_ms: u64,
    longest: (u64, u64),
    peak_bits: u64,
    queue_bits: u64,
    bytes: u64,
    line_bits: u64,
    excess: u64,
    speed: Option<u64>,
    beginnings: Vec<u64>,
    senders_most: u64,
    connections_most: u64,
    others: BTreeMap<LinkId, u64>,
    connections: HashMap<FlowKey, (FlowName, Share)>,
    hosts: Shares<IpAddr>,
    ports: Shares<(u8, u16)>,
    classes: Shares<ClassId>,
}

/// See the module's description.
pub struct Why<W: Write> {
    writer: W,
    style: Style,
    threshold: BurstThreshold,
    lanes: BTreeMap<Lane, Lanes>,
}

impl Lanes {
    fn add(&mut self, burst: &Burst) {
        let length_ms = burst.until_ms - burst.from_ms;
        self.shortest_ms = if self.bursts == 0 { length_ms } else { self.shortest_ms.min(length_ms) };
        self.bursts += 1;
        self.length_ms += length_ms;
        // Of equally long ones the first.
        if length_ms > self.longest.0 {
            self.longest = (length_ms, burst.from_ms);
        }
        self.peak_bits = self.peak_bits.max(burst.sums.peak_bits);
        self.queue_bits = self.queue_bits.max(burst.sums.queue_bits);
        self.bytes += burst.sums.bytes;
        self.line_bits += burst.sums.line_bits;
        self.excess += burst.culprits.first().map_or(0, |culprit| culprit.excess_of_all);
        self.speed = burst.speed.or(self.speed);
        if self.beginnings.len() < BEGINNINGS_MAX {
            self.beginnings.push(burst.from_ms);
        }
        self.senders_most = self.senders_most.max(burst.senders);
        self.connections_most = self.connections_most.max(burst.connections);
        for &(link, line_bits) in &burst.others {
            *self.others.entry(link).or_default() += line_bits;
        }
        for culprit in &burst.culprits {
            let key = culprit.who.key;
            if self.connections.len() < NAMES_MAX || self.connections.contains_key(&key) {
                let (_, share) = self.connections.entry(key).or_insert((culprit.who, Share::default()));
                share.add(culprit);
            }
        }
        add_all(&mut self.hosts, &burst.hosts);
        add_all(&mut self.ports, &burst.ports);
        add_all(&mut self.classes, &burst.classes);
    }
}

impl Lanes {
    /// Whether this is most of what came on top.
    fn is_mostly(&self, share: &Share) -> bool {
        self.excess > 0 && share.excess as f64 >= MOST * self.excess as f64
    }

    /// The connection that has most of what came on top.
    fn first_connection(&self) -> Option<(FlowName, Share)> {
        let (key, _) = first(self.connections.values().map(|&(flow, share)| (flow.key, share)))?;
        self.connections.get(&key).copied()
    }
}

impl Share {
    fn add<T>(&mut self, culprit: &Culprit<T>) {
        self.bytes += culprit.count().bytes;
        self.sent += culprit.sent[1].bytes;
        self.excess += culprit.excess_bytes;
    }
}

fn add_all<T: Eq + Hash + Copy>(sums: &mut Shares<T>, culprits: &[Culprit<T>]) {
    for culprit in culprits {
        if sums.len() < NAMES_MAX || sums.contains_key(&culprit.who) {
            sums.entry(culprit.who).or_default().add(culprit);
        }
    }
}

/// Who has most of what came on top, then of the bytes, then by name.
fn first<T: Copy + Ord>(sums: impl Iterator<Item = (T, Share)>) -> Option<(T, Share)> {
    sums.max_by_key(|(who, share)| (share.excess, share.bytes, std::cmp::Reverse(*who)))
}

fn each<T: Copy>(sums: &Shares<T>) -> impl Iterator<Item = (T, Share)> + '_ {
    sums.iter().map(|(who, share)| (*who, *share))
}

/// Who filled a direction, where somebody stands out.
enum Filler {
    Connection(FlowName, Share),
    Host(IpAddr, Share),
    Port((u8, u16), Share),
}

impl<W: Write> Why<W> {
    /// The paragraph goes to `writer`; `bursts` are what a link is full in.
    pub fn new(writer: W, style: Style, bursts: &Bursts) -> Why<W> {
        Why { writer, style, threshold: bursts.threshold, lanes: BTreeMap::new() }
    }

    /// From what on a link is full, in words.
    fn threshold(&self) -> String {
        match self.threshold {
            BurstThreshold::Thousandths(share) => format!("{}% of its speed", f64::from(share) / 10.0),
            BurstThreshold::Rate(bits_per_second) => rate(bits_per_second, self.style.unit),
        }
    }

    /// Whether this much of the bytes fills the link by itself.
    fn fills(&self, share: &Share, sums: &Lanes) -> bool {
        let per_second = match self.threshold {
            BurstThreshold::Thousandths(part) => {
                sums.speed.unwrap_or(u64::MAX) as f64 * f64::from(part) / 1000.0
            }
            BurstThreshold::Rate(bits_per_second) => bits_per_second as f64,
        };
        let bits = sums.line_bits as f64 * share.bytes as f64 / sums.bytes.max(1) as f64;
        bits * 1000.0 >= STAYS_ABOVE * per_second * sums.length_ms as f64
    }

    fn paragraph(&self, snapshot: &Snapshot, coverage: &Coverages, context: &Context) -> String {
        let sight = Seen { snapshot, coverage, context, style: self.style };
        // The one that was full for longest; of equals the first.
        let fullest =
            self.lanes.iter().max_by_key(|(lane, sums)| (sums.length_ms, std::cmp::Reverse(**lane)));
        let Some((&lane, sums)) = fullest else {
            let lost = sight.lost_elsewhere();
            return std::iter::once(sight.nothing_full()).chain(lost).collect::<Vec<_>>().join(" ");
        };
        let filler = sight.filler(lane, sums);
        let fills_alone = match &filler {
            Some(Filler::Connection(_, share)) => self.fills(share, sums),
            _ => false,
        };
        let mut sentences = vec![sight.when(lane, sums, &self.threshold())];
        sentences.extend(steady(sums));
        sentences.push(sight.who(sums, filler.as_ref()));
        sentences.extend(sight.meanwhile(lane, sums));
        sentences.extend(sight.lost(lane));
        sentences.extend(sight.lost_elsewhere());
        sentences.extend(sight.remedy(lane, sums, filler.as_ref(), fills_alone));
        sentences.extend(sight.besides(lane, &self.lanes));
        sentences.join(" ")
    }
}

impl<W: Write> Output for Why<W> {
    fn start(&mut self, _start: &Start, _context: &Context) -> io::Result<()> {
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &Snapshot, _: &Coverages, _: &Context) -> io::Result<()> {
        for burst in &snapshot.bursts {
            self.lanes.entry(burst.lane).or_default().add(burst);
        }
        Ok(())
    }

    fn notice(&mut self, _notice: &Notice, _context: &Context) -> io::Result<()> {
        Ok(())
    }

    fn stop(
        &mut self,
        _reason: &StopReason,
        snapshot: &Snapshot,
        coverage: &Coverages,
        context: &Context,
    ) -> io::Result<()> {
        let paragraph = self.paragraph(snapshot, coverage, context);
        writeln!(self.writer, "{paragraph}")?;
        self.writer.flush()
    }
}

/// `30 %`, whole; 100 only of all of it.
fn percent(part: f64, whole: f64) -> String {
    let rounded = (part / whole * 100.0).round();
    let rounded = if part < whole { rounded.min(99.0) } else { rounded };
    format!("{rounded:.0} %")
}

/// Whether bursts come at a steady pace.
fn steady(sums: &Lanes) -> Option<String> {
    let mut gaps: Vec<u64> = sums.beginnings.windows(2).map(|pair| pair[1] - pair[0]).collect();
    if gaps.len() < 4 {
        return None;
    }
    gaps.sort_unstable();
    let median = gaps[gaps.len() / 2];
    let regular = gaps.iter().filter(|&&gap| gap.abs_diff(median) * 20 <= median).count();
    // Nine of ten within a twentieth.
    (regular * 10 >= gaps.len() * 9).then(|| format!("They came every {}.", duration(median * BIN_NS)))
}

/// What the run came to.
struct Seen<'a> {
    snapshot: &'a Snapshot,
    coverage: &'a Coverages,
    context: &'a Context,
    style: Style,
}

impl Seen<'_> {
    fn name(&self, link: LinkId) -> String {
        plain(self.context.link_name(link)).into_owned()
    }

    /// A link and its direction, where that is known.
    fn lane(&self, lane: Lane) -> String {
        let name = self.name(lane.link());
        let unknown = self.context.link(lane.link()).direction_unknown;
        if unknown { name } else { format!("{name} {}", word(lane)) }
    }

    fn rate(&self, bits_per_second: u64) -> String {
        rate(bits_per_second, self.style.unit)
    }

    fn times(&self) -> String {
        let span_ns = run_span(self.snapshot);
        let end_ns = self.snapshot.end_ns.min(self.snapshot.time_ns);
        format!("the {} from {}", duration(span_ns), between(end_ns.saturating_sub(span_ns), end_ns))
    }

    /// No burst: how near it came, and what is missing to say so.
    fn nothing_full(&self) -> String {
        if self.snapshot.packets() == 0 {
            return String::from("No packet to count.");
        }
        let speed = |link: LinkId| self.context.link(link).speed_bits_per_second;
        let lanes = self.snapshot.spreads.iter().enumerate().flat_map(|(link, [_, run])| {
            [Direction::Rx, Direction::Tx].map(|way| (Lane::new(link as LinkId, way), run[way as usize]))
        });
        let used = |(lane, figures): &(Lane, SpreadFigures)| {
            figures.peak > 0 && usize::from(lane.link()) < self.context.links.len()
        };
        let (known, unknown): (Vec<_>, Vec<_>) =
            lanes.filter(used).partition(|(lane, _)| speed(lane.link()).is_some());
        let full = |lane: Lane, peak: u64| speed(lane.link()).map_or(0.0, |speed| peak as f64 / speed as f64);
        let mut sentences = Vec::new();
        let highest = known
            .iter()
            .max_by(|a, b| full(a.0, a.1.peak).total_cmp(&full(b.0, b.1.peak)).then(b.0.cmp(&a.0)));
        if let Some(&(lane, figures)) = highest {
            sentences.push(format!(
                "No link was full in {}: the highest millisecond was one of {}, with {}, {} of its {}.",
                self.times(),
                self.lane(lane),
                self.rate(figures.peak),
                percent(full(lane, figures.peak), 1.0),
                self.rate(speed(lane.link()).unwrap_or(0)),
            ));
        }
        let mut links: Vec<LinkId> = unknown.iter().map(|(lane, _)| lane.link()).collect();
        links.dedup();
        let names: Vec<String> = links.iter().map(|&link| self.name(link)).collect();
        if let Some(told) = super::bursts::speed_unknown(&names) {
            sentences.push(told);
            let highest =
                unknown.iter().max_by_key(|(lane, figures)| (figures.peak, std::cmp::Reverse(*lane)));
            if let Some((lane, figures)) = highest {
                sentences.push(format!(
                    "The highest millisecond in {} was one of {}, with {}.",
                    self.times(),
                    self.lane(*lane),
                    self.rate(figures.peak)
                ));
            }
        }
        if sentences.is_empty() {
            return format!("Nothing passed in {}.", self.times());
        }
        sentences.join(" ")
    }

    /// Which link and direction, when and how long.
    fn when(&self, lane: Lane, sums: &Lanes, threshold: &str) -> String {
        let length = |ms: u64| duration(ms * BIN_NS);
        let full = utilisation(sums.line_bits, sums.length_ms, sums.speed);
        let carried = match (full, sums.speed) {
            (Some(full), Some(speed)) => {
                format!("on average {} of its {}, and ", percent(full, 1.0), self.rate(speed))
            }
            _ => String::new(),
        };
        let at = moment(sums.longest.1.saturating_mul(BIN_NS));
        let (bursts, them) = match (sums.bursts, sums.shortest_ms == sums.longest.0) {
            (1, _) => (format!("one burst at {at}"), "it"),
            (bursts, true) => (
                format!(
                    "{} of {} each, the first at {at}",
                    number_of(bursts, "burst"),
                    length(sums.longest.0)
                ),
                "them",
            ),
            (bursts, false) => (
                format!(
                    "{} of {} to {}, the longest at {at}",
                    number_of(bursts, "burst"),
                    length(sums.shortest_ms),
                    length(sums.longest.0)
                ),
                "them",
            ),
        };
        // Milliseconds at both ends of the run are whole ones.
        let of = match sums.length_ms * BIN_NS < run_span(self.snapshot) {
            true => length(sums.length_ms),
            false => String::from("all"),
        };
        format!(
            "{} was in bursts (from {threshold} on) for {of} of {}: {bursts}; in {them} it carried {carried}{} in the highest millisecond.",
            self.lane(lane),
            self.times(),
            self.rate(sums.peak_bits.saturating_mul(1000))
        )
    }

    /// A connection, else a host at the far end, else a port, that has most of what came on top.
    fn filler(&self, lane: Lane, sums: &Lanes) -> Option<Filler> {
        if let Some((flow, share)) = sums.first_connection().filter(|(_, share)| sums.is_mostly(share)) {
            return Some(Filler::Connection(flow, share));
        }
        // Each end of a connection has all of it: the one that the link leads to is no news.
        let known = !self.context.link(lane.link()).direction_unknown;
        let far = |share: &Share| match lane.direction() {
            Direction::Rx if known => share.sent * 2 >= share.bytes,
            Direction::Tx if known => share.sent * 2 < share.bytes,
            _ => (share.bytes as f64) < NEARLY_ALL * sums.bytes as f64,
        };
        let hosts = each(&sums.hosts).filter(|(_, share)| far(share) && sums.is_mostly(share));
        let ports = each(&sums.ports).filter(|(_, share)| sums.is_mostly(share));
        let host = first(hosts).map(|(host, share)| Filler::Host(host, share));
        host.or_else(|| first(ports).map(|(port, share)| Filler::Port(port, share)))
    }

    /// Who filled it, or how many did.
    fn who(&self, sums: &Lanes, filler: Option<&Filler>) -> String {
        let told = |name: String, share: &Share| {
            let bytes = percent(share.bytes as f64, sums.bytes as f64);
            let on_top = percent(share.excess as f64, sums.excess as f64);
            format!("{name} had {bytes} of the bytes, {on_top} of what came on top")
        };
        let class =
            first(each(&sums.classes)).filter(|(class, share)| *class != NO_CLASS && sums.is_mostly(share));
        let class = class.map(|(class, _)| format!(", class {}", plain(self.context.class_name(class))));
        let class = class.unwrap_or_default();
        let many = format!(
            "up to {} of {} at once",
            number_of(sums.connections_most, "connection"),
            number_of(sums.senders_most, "sender")
        );
        match filler {
            Some(Filler::Connection(flow, share)) => {
                format!("{}{class}.", told(self.connection(flow), share))
            }
            Some(Filler::Host(host, share)) => {
                format!("{}{class} ({many}).", told(self.context.names.shown(*host).to_string(), share))
            }
            Some(Filler::Port((protocol, port), share)) => {
                let port = format!("Port {port}/{}", protocol_name(*protocol));
                format!("{}{class} ({many}).", told(port, share))
            }
            None => {
                let most = sums.first_connection().filter(|(_, share)| share.excess > 0);
                let most = most.map(|(flow, share)| {
                    let on_top = percent(share.excess as f64, sums.excess.max(1) as f64);
                    format!("; {} had the largest part of what came on top, {on_top}", self.connection(&flow))
                });
                format!("Nobody alone filled it: {many}{}{class}.", most.unwrap_or_default())
            }
        }
    }

    fn connection(&self, flow: &FlowName) -> String {
        let client = usize::from(flow.client_second);
        let [client, server] = [client, 1 - client].map(|side| end(&flow.key, side, self.context));
        format!("{} {client} → {server}", protocol_name(flow.key.protocol()))
    }

    /// The other interfaces that share the load, in the same milliseconds.
    fn meanwhile(&self, lane: Lane, sums: &Lanes) -> Option<String> {
        let set = self.set_of(lane)?;
        let others = set.set.links.iter().filter(|&&link| link != lane.link());
        let told: Option<Vec<String>> = others
            .map(|&link| {
                let bits = sums.others.get(&link).copied().unwrap_or(0);
                let full = utilisation(bits, sums.length_ms, self.context.link(link).speed_bits_per_second)?;
                Some(format!("{} was at {}", self.name(link), percent(full, 1.0)))
            })
            .collect();
        told.filter(|told| !told.is_empty()).map(|told| format!("Meanwhile {}.", told.join(", ")))
    }

    fn set_of(&self, lane: Lane) -> Option<&SetFigures> {
        self.snapshot.balances.iter().find(|figures| figures.set.links.contains(&lane.link()))
    }

    /// What the capture lost, and how sure that is.
    fn lost(&self, lane: Lane) -> Vec<String> {
        let Some(figures) = self.snapshot.interfaces.iter().find(|one| one.link == lane.link()) else {
            return Vec::new();
        };
        let missing = missing_told(figures, self.context.filtered_ns.is_some());
        let missing = missing.map(|told| format!("These figures {told}."));
        if self.context.link(lane.link()).from_file {
            return missing.into_iter().collect();
        }
        let (frames, drops) = (figures.capture.frames, figures.capture.kernel_drops);
        let coverage = self.coverage.get(lane.link() as usize).and_then(|[_, run]| run.ratio);
        let coverage = coverage.map(|ratio| format!(", coverage {}", percent_floor(ratio)));
        let coverage = coverage.unwrap_or_default();
        let dropped = match drops {
            0 => format!("The capture dropped nothing{coverage}."),
            _ => format!(
                "The capture dropped {} ({}){coverage}: these figures are short by that.",
                number_of(drops, "frame"),
                percent_lost(drops, frames.saturating_add(drops))
            ),
        };
        std::iter::once(dropped).chain(missing).collect()
    }

    /// What was lost beside the rings, and the line that mends it: of all that is watched.
    fn lost_elsewhere(&self) -> Vec<String> {
        let losses = &self.context.losses;
        let links = (0..).zip(&self.context.links);
        let told = links.flat_map(|(link, facts)| {
            let name = plain(&facts.name).into_owned();
            losses.told(link, facts).into_iter().map(move |told| format!("{name}: {told}."))
        });
        told.chain(losses.told_of_machine().into_iter().map(|told| format!("This machine: {told}.")))
            .collect()
    }

    /// What would help, as far as the figures carry it.
    fn remedy(&self, lane: Lane, sums: &Lanes, filler: Option<&Filler>, fills_alone: bool) -> Option<String> {
        const SLOWER: &str =
            "slow its sender (tc qdisc … fq maxrate, or the program's own limit), or give it a faster link.";
        if fills_alone {
            return Some(format!("One connection cannot be split over several links by any hash: {SLOWER}"));
        }
        let shared = self.set_of(lane).filter(|figures| figures.set.placing != Placing::Apart);
        if let Some(figures) = shared {
            return Some(match (lane.direction(), &figures.better) {
                (Direction::Rx, _) => String::from(
                    "What is received is placed by the switch: it is its hash for this link group that has to be changed.",
                ),
                (Direction::Tx, Some(policy)) => self.other_policy(figures, policy),
                (Direction::Tx, None) => {
                    match figures.verdict.as_ref().and_then(|verdict| verdict.withheld.as_ref()) {
                        Some(why) => format!("Whether another hash policy would help cannot be said: {why}."),
                        None => String::from(
                            "Over the whole run no other hash policy would have been more even; of these bursts alone that is not known.",
                        ),
                    }
                }
            });
        }
        if matches!(filler, Some(Filler::Connection(..))) {
            return Some(format!("What would help: {SLOWER}"));
        }
        let many = !matches!(filler, Some(Filler::Host(..)));
        (many && sums.senders_most >= INCAST && lane.direction() == Direction::Rx).then(|| {
            String::from("Many senders answer at once: have them answer one after the other, or give this link a faster port.")
        })
    }

    fn other_policy(&self, figures: &SetFigures, policy: &str) -> String {
        let line =
            figures.set.name.as_ref().map(|bond| {
                format!(": echo {policy} > /sys/class/net/{}/bonding/xmit_hash_policy", plain(bond))
            });
        let verdict = figures.verdict.as_ref();
        let alternative = verdict
            .and_then(|verdict| verdict.alternatives.iter().find(|one| one.choice.policy.name() == policy));
        let shares = alternative.and_then(|one| one.balance(None)).map(|balance| {
            let shares = figures.set.usable.iter().zip(&balance.shares);
            let shares: Vec<String> = shares
                .map(|(&link, share)| format!("{} {}", self.name(link), percent(*share, 1.0)))
                .collect();
            format!(" ({})", shares.join(", "))
        });
        let of_bond = matches!(figures.set.placing, Placing::Policy(_));
        let in_force = verdict.and_then(|verdict| Some((verdict.in_force?.policy.name(), verdict.accuracy?)));
        let in_force = in_force.map_or_else(
            || String::from("The"),
            |(name, accuracy)| format!("{name} explains {} of what was sent; the", percent(accuracy, 1.0)),
        );
        format!(
            "{in_force} hash policy {policy} would have spread the whole run more evenly{}{}.",
            shares.unwrap_or_default(),
            line.filter(|_| of_bond).unwrap_or_default()
        )
    }

    /// Other directions that had bursts.
    fn besides(&self, fullest: Lane, lanes: &BTreeMap<Lane, Lanes>) -> Option<String> {
        let others = lanes.iter().filter(|(lane, _)| **lane != fullest).map(|(&lane, sums)| {
            let bursts = number_of(sums.bursts, "burst");
            format!("{} had {bursts} ({})", self.lane(lane), duration(sums.length_ms * BIN_NS))
        });
        let others: Vec<String> = others.collect();
        (!others.is_empty()).then(|| format!("Besides, {}.", others.join(", ")))
    }
}
