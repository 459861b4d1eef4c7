//! Interfaces side by side, for people: a line each direction, and a sentence
//! on what would even it out.

use super::Context;
use super::units::{duration, plain};
use crate::aggregate::balance::{Placing, SetFigures, Spread};

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

/// A set in lines, since the start or of the interval.
pub fn told(figures: &SetFigures, which: fn(&SetFigures) -> &[Spread; 2], context: &Context) -> String {
    let mut text = String::new();
    let name = figures.set.name.as_deref().unwrap_or("Side by side");
    for (direction, spread) in ["rx", "tx"].iter().zip(which(figures)) {
        let Some(balance) = &spread.balance else { continue };
        let shares = figures.set.links.iter().zip(&balance.shares);
        let shares: Vec<String> = shares
            .map(|(&link, share)| format!("{} {:.0}%", plain(context.link_name(link)), share * 100.0))
            .collect();
        text += &format!("{} {direction}: {}, ", plain(name), shares.join(", "));
        text += &format!("fullest at {:.2} of the mean", balance.max_over_mean);
        if let Some(ms) = spread.asymmetry_ms.filter(|&ms| ms > 0) {
            let time = duration(ms * 1_000_000);
            text += &format!("; for {time} one was full while another was not half full");
        }
        text.push('\n');
    }
    if let (false, Some(advice)) = (text.is_empty(), advice(figures)) {
        text += &format!("  {advice}\n");
    }
    text
}
