//! Interfaces side by side, for people: a line each direction, and a sentence
//! on what would even it out.

use super::Context;
use super::Coverages;
use super::figures::coverage_of;
use super::units::{duration, plain};
use crate::aggregate::balance::{Placing, SetFigures, Spread};
use crate::capture::LinkId;
use crate::links::balance::Balance;

/// A load this much above the mean is worth a word.
const UNEVEN: f64 = 1.2;

/// What would even a set out; None where it is even, or nobody can say.
pub fn advice(figures: &SetFigures) -> Option<String> {
    let uneven = |direction: usize| {
        let balance = figures.total[direction].balance.as_ref();
        balance.is_some_and(|balance| balance.max_over_mean >= UNEVEN)
    };
    let sent = match (&figures.better, uneven(1)) {
        (Some(policy), true) => Some(format!("transmit: {policy} would be more even")),
        (None, true) => match figures.verdict.as_ref().map(|verdict| &verdict.withheld) {
            Some(Some(why)) => Some(format!("transmit: uneven; {why}")),
            Some(None) => Some("transmit: uneven, and no other hash policy would be better".to_owned()),
            None => None,
        },
        (_, false) => None,
    };
    let shared = figures.set.placing != Placing::Apart;
    let received =
        (uneven(0) && shared).then(|| "receive: uneven, which the switch decides by its own hash".to_owned());
    let both: Vec<String> = sent.into_iter().chain(received).collect();
    (!both.is_empty()).then(|| both.join("; "))
}

/// What the interfaces' own counters say of how even a direction is, where a
/// filter is in force; `which`: 0 of the interval, 1 since the start.
pub fn unfiltered(
    figures: &SetFigures,
    direction: usize,
    which: usize,
    coverage: &Coverages,
    context: &Context,
) -> Option<Balance> {
    let links = &figures.set.links;
    let rate =
        |&link: &LinkId| coverage_of(coverage, link, which).nic_bits_per_second?.get(direction).copied();
    let rates: Vec<u64> = links.iter().map(rate).collect::<Option<_>>()?;
    let speed = |&link: &LinkId| context.link(link).speed_bits_per_second;
    let speeds: Option<Vec<u64>> = links.iter().map(speed).collect();
    Balance::of(&rates, speeds.as_deref())
}

/// `eth0 71%, eth1 29%, fullest at 1.42 of the mean`.
fn shares(balance: &Balance, figures: &SetFigures, context: &Context) -> String {
    let shares = figures.set.links.iter().zip(&balance.shares);
    let shares: Vec<String> = shares
        .map(|(&link, share)| format!("{} {:.0}%", plain(context.link_name(link)), share * 100.0))
        .collect();
    format!("{}, fullest at {:.2} of the mean", shares.join(", "), balance.max_over_mean)
}

/// A set in lines, since the start or of the interval.
pub fn told(figures: &SetFigures, since_start: bool, coverage: &Coverages, context: &Context) -> String {
    let mut text = String::new();
    let name = figures.set.name.as_deref().unwrap_or("Side by side");
    let spreads = if since_start { &figures.total } else { &figures.interval };
    for (number, (direction, spread)) in ["rx", "tx"].iter().zip(spreads).enumerate() {
        let Some(balance) = &spread.balance else { continue };
        text += &format!("{} {direction}: {}", plain(name), shares(balance, figures, context));
        if let Some(ms) = spread.asymmetry_ms.filter(|&ms| ms > 0) {
            let time = duration(ms * 1_000_000);
            text += &format!("; for {time} one was full while another was not half full");
        }
        text.push('\n');
        if let Some(all) = unfiltered(figures, number, usize::from(since_start), coverage, context) {
            text += &format!("  without the filter: {}\n", shares(&all, figures, context));
        }
        text += &by_class(spread, figures, context);
    }
    if let (false, Some(advice)) = (text.is_empty(), advice(figures)) {
        text += &format!("  {advice}\n");
    }
    text
}

/// A line for each class, and what is in none.
fn by_class(spread: &Spread, figures: &SetFigures, context: &Context) -> String {
    let all: u64 = spread.counts.iter().map(|count| count.bytes).sum();
    let line = |name: &str, bytes: &[u64], balance: &Balance| {
        let part = bytes.iter().sum::<u64>() as f64 / all as f64 * 100.0;
        format!("  {name}, {part:.0}% of the bytes: {}\n", shares(balance, figures, context))
    };
    let classes = spread.classes.iter().filter_map(|one| {
        Some(line(&plain(context.class_name(one.class)), &one.bytes, one.balance.as_ref()?))
    });
    let untracked = Balance::of(&spread.untracked, None);
    let untracked = untracked.map(|balance| line("in no flow", &spread.untracked, &balance));
    classes.chain(untracked).collect()
}
