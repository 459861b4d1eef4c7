//! Bursts for people: one line each, and who filled it.
//!
//! Knows bursts and words; the figures that JSON has too are computed here once.

use super::Context;
use super::columns::end;
use super::figures::{protocol_name, share};
use super::lost::Meanwhile;
use super::units::{duration, grouped, moment, number_of, percent_of, plain, rate};
use crate::aggregate::culprit::{Burst, Culprit};
use crate::capture::{Direction, Lane};
use crate::config::Unit;
use crate::meter::bins::BIN_NS;
use crate::meter::journal::FlowName;
use std::fmt::Write as _;

/// Culprits that text names.
const NAMED: usize = 3;

/// Event of the notice that has what [`without_speed`] says.
pub const SPEED_UNKNOWN: &str = "speed_unknown";

/// Interfaces that are named where there may be many.
const LINKS_NAMED: usize = 8;

/// That no burst can be found on these interfaces, as their speed is not known, and
/// what to do; None without any.
pub fn speed_unknown(names: &[String]) -> Option<String> {
    let first = names.first()?;
    let mut all = names.iter().take(LINKS_NAMED).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > LINKS_NAMED {
        let _ = write!(all, " and {} more", names.len() - LINKS_NAMED);
    }
    Some(format!(
        "The speed of {all} is not known, so nothing there can be called full: --link-speed {first}=1G tells it, \
         --burst-threshold RATE does without."
    ))
}

/// The same of all interfaces of a run, where a burst is a share of the speed; of a
/// device whose packets another one below it has nobody wants bursts twice.
pub fn without_speed(context: &Context) -> Option<String> {
    let unknown = context.links.iter().filter(|link| link.speed_bits_per_second.is_none());
    let names = unknown.filter(|link| context.bursts_by_share && !link.second_copy);
    speed_unknown(&names.map(|link| plain(&link.name).into_owned()).collect::<Vec<_>>())
}

/// `rx` or `tx`.
pub fn word(lane: Lane) -> &'static str {
    match lane.direction() {
        Direction::Rx => "rx",
        Direction::Tx => "tx",
    }
}

/// bytes × 8 per second.
pub fn mean_bits_per_second(burst: &Burst) -> u64 {
    let length_ms = u128::from((burst.until_ms - burst.from_ms).max(1));
    u64::try_from(u128::from(burst.sums.bytes) * 8000 / length_ms).unwrap_or(u64::MAX)
}

/// Line bits ÷ what the line could have carried.
pub fn utilisation(line_bits: u64, length_ms: u64, speed: Option<u64>) -> Option<f64> {
    let could = speed? as f64 * length_ms as f64 / 1000.0;
    (could > 0.0).then(|| share(line_bits as f64, could))
}

/// How long the line takes for the most that waited.
pub fn queue_seconds(burst: &Burst) -> Option<f64> {
    burst.speed.filter(|&speed| speed > 0).map(|speed| share(burst.sums.queue_bits as f64, speed as f64))
}

/// A connection's ends, the client first.
pub(super) fn ends(flow: &FlowName, context: &Context) -> String {
    let client = usize::from(flow.client_second);
    let [client, server] = [client, 1 - client].map(|side| end(&flow.key, side, context));
    format!("{} {client} → {server}", protocol_name(flow.key.protocol()))
}

/// The burst and who filled it, in two lines; in a third what was lost meanwhile, if
/// anything. `place`: its place among the snapshot's.
pub fn told(burst: &Burst, place: usize, context: &Context, unit: Unit) -> String {
    let length_ms = burst.until_ms - burst.from_ms;
    let full = utilisation(burst.sums.line_bits, length_ms, burst.speed)
        .map_or(String::new(), |ratio| format!(", {:.0} % of the link", ratio * 100.0));
    let mut text = format!(
        "Burst on {} {} at {}: {}, {}{full}",
        plain(context.link_name(burst.lane.link())),
        word(burst.lane),
        moment(burst.from_ms.saturating_mul(BIN_NS)),
        duration(length_ms.saturating_mul(BIN_NS)),
        rate(mean_bits_per_second(burst), unit),
    );
    let others = burst.others.iter().filter_map(|&(link, bits)| {
        let ratio = utilisation(bits, length_ms, context.link(link).speed_bits_per_second)?;
        Some(format!(", {} {:.0} %", plain(context.link_name(link)), ratio * 100.0))
    });
    others.for_each(|other| text += &other);
    if burst.open {
        text += ", going on";
    }
    let _ = write!(
        text,
        "\n  {} of {}",
        number_of(burst.connections, "connection"),
        number_of(burst.senders, "sender")
    );
    for culprit in burst.culprits.iter().take(NAMED) {
        let _ = write!(text, "; {}", named(culprit, burst, context));
    }
    let known = burst.journal_bytes.saturating_sub(burst.unnamed.bytes);
    if known < burst.sums.bytes {
        let missing = burst.sums.bytes - known;
        let _ = write!(text, "; of {} bytes nobody knows whose they were", grouped(missing));
    }
    text.push('\n');
    let meanwhile = context.losses.bursts.get(place).and_then(Meanwhile::told);
    meanwhile.iter().for_each(|meanwhile| text += &format!("  {meanwhile}\n"));
    text
}

fn named(culprit: &Culprit<FlowName>, burst: &Burst, context: &Context) -> String {
    let part = |part, whole| percent_of(part, whole).unwrap_or_else(|| String::from("-"));
    let share = part(culprit.count().bytes, burst.sums.bytes);
    let excess = part(culprit.excess_bytes, culprit.excess_of_all);
    let began = if culprit.began { ", begun in it" } else { "" };
    format!("{}: {share} of the bytes, {excess} of what came on top{began}", ends(&culprit.who, context))
}
