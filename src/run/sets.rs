//! Which of the watched interfaces share a load, and who decides how.

use crate::aggregate::balance::{Balancer, LinkSet, LinkSets, Placing};
use crate::aggregate::burst::{Limits, Threshold};
use crate::aggregate::classes::Classes;
use crate::aggregate::{Aggregator, millis};
use crate::capture::link::{Bond, Watch};
use crate::capture::{LINKS_MAX, LinkId};
use crate::config::{BurstThreshold, Config};
use crate::decode::pairs::LinkPairs;
use crate::decode::{Decoder, VlanStacks};
use crate::flow::table::TableConfig;
use crate::meter::bins::Speeds;
use crate::output::bursts::{SPEED_UNKNOWN, without_speed};
use crate::output::{Context, LinkFacts, Notice};
use crate::worker::Worker;
use crate::worker::outbox::Outbox;
use std::sync::Arc;

/// Culprits of each burst that `why` sums.
const CULPRITS: usize = 1000;

/// What links are and do together, shared by all who have to know.
#[derive(Clone, Default)]
pub(super) struct Sharing {
    pub speeds: Arc<Speeds>,
    pub sets: LinkSets,
    pub pairs: LinkPairs,
}

impl Sharing {
    /// The aggregator compares links and looks at milliseconds; `workers_wait`: files.
    pub fn begin(
        &self,
        config: &Config,
        classes: Arc<Classes>,
        workers_wait: bool,
        aggregator: &mut Aggregator,
    ) {
        let (speeds, sets) = (self.speeds.clone(), self.sets.clone());
        let (pairs, top) = (self.pairs.clone(), config.top);
        let balancer = Balancer::new(sets.clone(), pairs, speeds.clone(), classes.clone(), top);
        aggregator.put_side_by_side(balancer);
        let threshold = match config.bursts.threshold {
            BurstThreshold::Thousandths(share) => Threshold::Thousandths(share),
            BurstThreshold::Rate(rate) => Threshold::Rate(rate),
        };
        let limits = Limits { threshold, least_ms: config.bursts.least_ms, gap_ms: config.bursts.gap_ms };
        // A paragraph sums them over all bursts.
        let culprits = if config.why { CULPRITS } else { config.top };
        let wanted = millis::Wanted { limits, speeds, sets, classes, culprits, workers_wait };
        aggregator.look_at_milliseconds(wanted);
    }

    /// A worker that has to do with links' speeds, and answers who filled them.
    /// `bursts`: there may be any, so that who filled them will be asked.
    pub fn worker(&self, config: &Config, tables: TableConfig, outbox: Outbox, bursts: bool) -> Worker {
        let mut worker = Worker::new(tables, outbox.answers(true));
        worker.set_speeds(self.speeds.clone());
        worker.set_pairs(self.pairs.clone());
        if config.socket.is_some() {
            // A screen that looks on may ask how a connection stands.
            worker.keep_histories();
        }
        if !bursts {
            worker.keep_notes(0);
        }
        worker
    }

    /// A decoder of a run with these settings.
    pub fn decoder(config: &Config, stacks: VlanStacks) -> Decoder {
        let mut decoder = Decoder::new(Vec::new(), stacks);
        decoder.set_quotes(config.icmp);
        decoder
    }
}

/// Whether files with these interfaces may have bursts: without a speed there are
/// none by a share of it, and nobody asks who filled them.
pub(super) fn may_burst(config: &Config, links: &[LinkFacts]) -> bool {
    let told = links.iter().any(|link| link.speed_bits_per_second.is_some());
    !config.bursts.by_share() || told || !config.link_speeds.is_empty()
}

/// The notice that no burst can be found on some interfaces, one for all of them.
pub(super) fn speed_unknown(context: &Context) -> Option<Notice> {
    let notice = |message| Notice { event: SPEED_UNKNOWN, message, ..Notice::default() };
    without_speed(context).map(notice)
}

/// Of live interfaces: each bond's slaves, what the user joined with `+`, or,
/// where there is nothing of that kind, all that are watched, each by itself.
pub(super) fn live(watched: &[(LinkId, &Watch)], bonds: &[Bond]) -> Vec<LinkSet> {
    let own: Vec<(LinkId, &Watch)> =
        watched.iter().filter(|(_, watch)| !watch.second_copy).copied().collect();
    let mut groups: Vec<u8> = own.iter().map(|(_, watch)| watch.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let members = |group: u8| -> Vec<(LinkId, &Watch)> {
        own.iter().filter(|(_, watch)| watch.group == group).copied().collect()
    };
    let sets = groups.into_iter().map(members).filter(|members| members.len() > 1);
    let sets: Vec<LinkSet> = sets.map(|members| set_of(&members, bonds)).collect();
    if !sets.is_empty() {
        return sets;
    }
    apart(own.iter().map(|(number, _)| *number).collect())
}

/// Sets as they are from `now_ns` on, where `old` were before: what did not
/// change is as old as it was. None where nothing did.
pub(super) fn changed(old: &[LinkSet], mut new: Vec<LinkSet>, now_ns: u64) -> Option<Vec<LinkSet>> {
    for set in &mut new {
        let same = |one: &&LinkSet| **one == LinkSet { since_ns: one.since_ns, ..set.clone() };
        set.since_ns = old.iter().find(same).map_or(now_ns, |one| one.since_ns);
    }
    (old != new).then_some(new)
}

/// Of files that announce so many interfaces: one group is taken for a bond or
/// the legs of a route, several for interfaces that are each by themselves.
pub(super) fn files(groups: usize, interfaces: usize) -> Vec<LinkSet> {
    let links: Vec<LinkId> = (0..LINKS_MAX as LinkId).take(interfaces).collect();
    let placing = if groups == 1 { Placing::Unknown } else { Placing::Apart };
    apart(links).into_iter().map(|set| LinkSet { placing: placing.clone(), met_only: true, ..set }).collect()
}

fn set_of(members: &[(LinkId, &Watch)], bonds: &[Bond]) -> LinkSet {
    let of_first = members.first().and_then(|(_, watch)| watch.link.bond.as_deref());
    let all_of_it = members.iter().all(|(_, watch)| watch.link.bond.as_deref() == of_first);
    let bond = bonds.iter().find(|bond| all_of_it && Some(bond.name.as_str()) == of_first);
    let Some(bond) = bond else {
        let names: Vec<&str> = members.iter().map(|(_, watch)| watch.link.name.as_str()).collect();
        return unknown(Some(names.join("+")), members.iter().map(|(number, _)| *number).collect());
    };
    let number = |name: &str| members.iter().find(|(_, watch)| watch.link.name == name).map(|(n, _)| *n);
    let placing = match &bond.xmit_hash_policy {
        _ if !bond.hashes() => Placing::Mode(bond.mode.clone()),
        Some(policy) => Placing::Policy(policy.clone()),
        None => Placing::Unknown,
    };
    LinkSet {
        name: Some(bond.name.clone()),
        links: bond.slaves.iter().filter_map(|slave| number(&slave.name)).collect(),
        usable: bond.usable().filter_map(|slave| number(&slave.name)).collect(),
        placing,
        in_order: bond.slaves_in_order,
        version: kernel_version(),
        met_only: false,
        since_ns: 0,
    }
}

fn unknown(name: Option<String>, links: Vec<LinkId>) -> LinkSet {
    LinkSet {
        name,
        usable: links.clone(),
        links,
        placing: Placing::Unknown,
        in_order: false,
        version: None,
        met_only: false,
        since_ns: 0,
    }
}

fn apart(links: Vec<LinkId>) -> Vec<LinkSet> {
    if links.len() < 2 {
        return Vec::new();
    }
    vec![LinkSet { placing: Placing::Apart, ..unknown(None, links) }]
}

/// Of the running kernel, as in `6.1.0-18-amd64`.
fn kernel_version() -> Option<(u32, u32)> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
