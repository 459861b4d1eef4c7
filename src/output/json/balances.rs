//! `balance` lines: interfaces side by side, and what another policy would do.

use super::lines::{Head, Map, Time};
use super::rows::End;
use crate::aggregate::balance::{ClassSpread, Flows, LinkSet, Mover, SetFigures, Spread};
use crate::capture::LinkId;
use crate::links::balance::Balance;
use crate::links::what_if::{Alternative, Verdict};
use crate::output::balances::{advice, unfiltered};
use crate::output::figures::{protocol_name, seconds, share};
use crate::output::{Context, Coverages};
use schemars::JsonSchema;
use serde::Serialize;
use std::borrow::Cow;

/// Interfaces that share a load, in one interval.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Balance")]
pub struct BalanceLine<'a> {
    /// What every line begins with.
    #[serde(flatten)]
    head: Head<'a>,
    /// Same as the object itself.
    #[serde(flatten)]
    set: SideBySide<'a>,
}

/// How interfaces share a load.
#[derive(Serialize, JsonSchema)]
pub struct SideBySide<'a> {
    /// The bond, or names joined with `+`; absent where interfaces are only watched together.
    #[serde(skip_serializing_if = "Option::is_none")]
    bond: Option<&'a str>,
    /// Its interfaces, of a bond in the driver's order.
    interfaces: Vec<&'a str>,
    /// Received: the switch decides which takes what.
    rx: Direction<'a>,
    /// Sent: the bond decides.
    tx: Direction<'a>,
    /// What other hash policies would have done with all that was sent since the start (or since the bond
    /// changed, see `since`); absent where interfaces are each by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    what_if: Option<WhatIf<'a>>,
    /// One sentence for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// One direction.
#[derive(Serialize, JsonSchema)]
struct Direction<'a> {
    /// Part of the bytes of each interface; null where nothing passed, as in all that follows.
    shares: Option<Map<'a, f64>>,
    /// Part of the packets.
    packet_shares: Option<Map<'a, f64>>,
    /// Part of the flows; one that used two interfaces counts on both. Absent in `stop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_shares: Option<Map<'a, f64>>,
    /// Load of the fullest interface ÷ mean of all; 1 is ideal. A load is bytes ÷ speed, where all speeds are known.
    max_over_mean: Option<f64>,
    /// (most − least) ÷ most of the loads; 0 is ideal.
    spread_ratio: Option<f64>,
    /// Jain's index of the loads; 1 is ideal, 1 ÷ number of interfaces where one has all.
    jain: Option<f64>,
    /// Time in which an interface was at 90 % or more and another one below 50 %, by the millisecond; null
    /// where a speed is not known.
    overload_asymmetry_seconds: Option<f64>,
    /// Part of the bytes that the largest flow has: no hash can split it. Absent in `stop`, as below.
    #[serde(skip_serializing_if = "Option::is_none")]
    largest_flow_share_ratio: Option<f64>,
    /// Part of the bytes that the fullest interface would have with the best split that placing the largest
    /// flows first finds.
    #[serde(skip_serializing_if = "Option::is_none")]
    best_possible_max_share: Option<f64>,
    /// Flows of the fullest interface that would have to go elsewhere to even it out, largest first, as many as
    /// `--top` says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    to_move: Vec<ToMove<'a>>,
    /// By class, most bytes first, where `--classes` names any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<ClassShares<'a>>,
    /// Bytes of each interface that are in no flow, and so in no class: with those of all classes they are all.
    /// Where `--classes` names any.
    #[serde(skip_serializing_if = "Option::is_none")]
    untracked_bytes: Option<Map<'a, u64>>,
    /// Where a filter is in force (live): part of each interface by its own counters, which know no filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    unfiltered_shares: Option<Map<'a, f64>>,
    /// `max_over_mean` by the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    unfiltered_max_over_mean: Option<f64>,
}

/// One class in one direction.
#[derive(Serialize, JsonSchema)]
struct ClassShares<'a> {
    /// Its name; `other` is what no line of `--classes` fits.
    class: &'a str,
    /// Part of all bytes of the direction.
    share_ratio: Option<f64>,
    /// Bytes of each interface.
    bytes: Map<'a, u64>,
    /// Part of the class's bytes of each interface.
    shares: Option<Map<'a, f64>>,
    /// As above, of the class alone.
    max_over_mean: Option<f64>,
}

/// A flow that would have to move.
#[derive(Serialize, JsonSchema)]
struct ToMove<'a> {
    /// IP protocol.
    protocol: Cow<'static, str>,
    /// Who began.
    client: End<'a>,
    /// Who answered.
    server: End<'a>,
    /// What it had there in the interval.
    bytes: u64,
}

/// What other policies would have done.
#[derive(Serialize, JsonSchema)]
struct WhatIf<'a> {
    /// The policy in force: the bond's own, or the one that explains what was sent; null where none does.
    policy_in_force: Option<&'static str>,
    /// True where nobody told the policy and it was found by what fits.
    #[serde(skip_serializing_if = "super::lines::is_false")]
    found_by_fit: bool,
    /// Policies that fit what was sent just as well as the one that was found; absent where it is the only one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fit_as_well: Vec<&'static str>,
    /// What was sent from this time on is meant: the bond or its slaves changed before it. Absent where it is
    /// all since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
    /// Part of the sent bytes that this policy puts where they really went; below 0.95 nothing else is shown.
    model_accuracy_ratio: Option<f64>,
    /// Part of the sent bytes of flows that policies could be asked for: their keys tell all that is hashed.
    judged_ratio: Option<f64>,
    /// The others, simplest first.
    policies: Vec<Policy<'a>>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    withheld: Option<String>,
}

/// What one policy would have done.
#[derive(Serialize, JsonSchema)]
struct Policy<'a> {
    /// In the driver's words.
    policy: &'static str,
    /// Part of the bytes of each interface.
    shares: Map<'a, f64>,
    /// Bytes of each interface.
    bytes: Map<'a, u64>,
    /// As above.
    max_over_mean: Option<f64>,
    /// True where it hashes what packets do not show: right on average, not flow by flow.
    #[serde(skip_serializing_if = "super::lines::is_false")]
    statistical: bool,
}

/// The line of a set.
pub fn line<'a>(
    head: Head<'a>,
    figures: &'a SetFigures,
    coverage: &Coverages,
    context: &'a Context,
) -> BalanceLine<'a> {
    let [rx, tx] = [0, 1].map(|direction| {
        let (spread, flows) = (&figures.interval[direction], &figures.flows[direction]);
        let beside = unfiltered(figures, direction, 0, coverage, context);
        of_direction(&figures.set, spread, Some(flows), beside, context)
    });
    BalanceLine { head, set: set(figures, rx, tx, context) }
}

/// Since the start.
pub fn total<'a>(figures: &'a SetFigures, coverage: &Coverages, context: &'a Context) -> SideBySide<'a> {
    let [rx, tx] = [0, 1].map(|direction| {
        let beside = unfiltered(figures, direction, 1, coverage, context);
        of_direction(&figures.set, &figures.total[direction], None, beside, context)
    });
    set(figures, rx, tx, context)
}

fn set<'a>(
    figures: &'a SetFigures,
    rx: Direction<'a>,
    tx: Direction<'a>,
    context: &'a Context,
) -> SideBySide<'a> {
    SideBySide {
        bond: figures.set.name.as_deref(),
        interfaces: figures.set.links.iter().map(|&link| context.link_name(link)).collect(),
        rx,
        tx,
        what_if: figures.verdict.as_ref().map(|verdict| what_if(figures, verdict, context)),
        advice: advice(figures),
    }
}

fn by_name<'a>(
    links: &[LinkId],
    values: impl IntoIterator<Item = f64>,
    context: &'a Context,
) -> Map<'a, f64> {
    let mut named = summed(links, values, context);
    named.0.iter_mut().for_each(|(_, value)| *value = share(*value, 1.0));
    named
}

fn summed<'a, V: std::ops::AddAssign>(
    links: &[LinkId],
    values: impl IntoIterator<Item = V>,
    context: &'a Context,
) -> Map<'a, V> {
    let mut named: Vec<(Cow<'a, str>, V)> = Vec::new();
    for (&link, value) in links.iter().zip(values) {
        let name = context.link_name(link);
        // Interfaces of two files may bear one name; a key stands once in an object.
        match named.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += value,
            None => named.push((Cow::Borrowed(name), value)),
        }
    }
    Map(named)
}

fn parts<'a>(amounts: &[u64], set: &LinkSet, context: &'a Context) -> Option<Map<'a, f64>> {
    let all: u64 = amounts.iter().sum();
    let part = |&amount: &u64| amount as f64 / all as f64;
    (all > 0).then(|| by_name(&set.links, amounts.iter().map(part), context))
}

fn of_direction<'a>(
    set: &LinkSet,
    spread: &Spread,
    flows: Option<&Flows>,
    unfiltered: Option<Balance>,
    context: &'a Context,
) -> Direction<'a> {
    let packets: Vec<u64> = spread.counts.iter().map(|count| count.packets).collect();
    let balance = spread.balance.as_ref();
    let rounded = |figure: fn(&Balance) -> f64| balance.map(|balance| share(figure(balance), 1.0));
    let possible = flows.and_then(|flows| flows.possible.as_ref());
    Direction {
        shares: balance.map(|balance| by_name(&set.links, balance.shares.iter().copied(), context)),
        packet_shares: parts(&packets, set, context),
        flow_shares: flows.and_then(|flows| parts(&flows.counts, set, context)),
        max_over_mean: rounded(|balance| balance.max_over_mean),
        spread_ratio: rounded(|balance| balance.spread),
        jain: rounded(|balance| balance.jain),
        overload_asymmetry_seconds: spread.asymmetry_ms.map(|ms| seconds(ms * 1_000_000)),
        largest_flow_share_ratio: possible.map(|possible| share(possible.largest_flow_share, 1.0)),
        best_possible_max_share: possible.map(|possible| share(possible.max_share(), 1.0)),
        to_move: flows
            .map_or(Vec::new(), |flows| flows.movers.iter().map(|one| mover(one, context)).collect()),
        classes: spread.classes.iter().map(|one| class(one, set, spread, context)).collect(),
        untracked_bytes: (!spread.untracked.is_empty())
            .then(|| summed(&set.links, spread.untracked.iter().copied(), context)),
        unfiltered_max_over_mean: unfiltered.as_ref().map(|balance| share(balance.max_over_mean, 1.0)),
        unfiltered_shares: unfiltered.map(|balance| by_name(&set.links, balance.shares, context)),
    }
}

fn class<'a>(one: &ClassSpread, set: &LinkSet, spread: &Spread, context: &'a Context) -> ClassShares<'a> {
    let all: u64 = spread.counts.iter().map(|count| count.bytes).sum();
    let balance = one.balance.as_ref();
    ClassShares {
        class: context.class_name(one.class),
        share_ratio: (all > 0).then(|| share(one.bytes.iter().sum::<u64>() as f64, all as f64)),
        bytes: summed(&set.links, one.bytes.iter().copied(), context),
        shares: balance.map(|balance| by_name(&set.links, balance.shares.iter().copied(), context)),
        max_over_mean: balance.map(|balance| share(balance.max_over_mean, 1.0)),
    }
}

fn mover<'a>(mover: &Mover, context: &'a Context) -> ToMove<'a> {
    let client = usize::from(mover.client_second);
    ToMove {
        protocol: protocol_name(mover.key.protocol()),
        client: End::of(&mover.key, client, context),
        server: End::of(&mover.key, 1 - client, context),
        bytes: mover.bytes,
    }
}

fn what_if<'a>(figures: &SetFigures, verdict: &Verdict, context: &'a Context) -> WhatIf<'a> {
    let policy = |one: &Alternative| {
        let balance = one.balance(None);
        let shares = balance.as_ref().map_or(Vec::new(), |balance| balance.shares.clone());
        Policy {
            policy: one.choice.policy.name(),
            shares: by_name(&figures.set.usable, shares, context),
            bytes: summed(&figures.set.usable, one.slaves.iter().map(|sent| sent.bytes), context),
            max_over_mean: balance.map(|balance| share(balance.max_over_mean, 1.0)),
            statistical: one.statistical,
        }
    };
    WhatIf {
        policy_in_force: verdict.in_force.map(|choice| choice.policy.name()),
        found_by_fit: verdict.named_by_fit,
        fit_as_well: verdict.fit_as_well.iter().map(|policy| policy.name()).collect(),
        since: (figures.verdict_since_ns > 0).then_some(Time(figures.verdict_since_ns)),
        model_accuracy_ratio: verdict.accuracy.map(|ratio| share(ratio, 1.0)),
        judged_ratio: figures.judged.map(|ratio| share(ratio, 1.0)),
        policies: verdict.alternatives.iter().map(policy).collect(),
        withheld: verdict.withheld.as_ref().map(ToString::to_string),
    }
}
