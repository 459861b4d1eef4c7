//! What was lost besides the rings: `lost` of an interface, `machine` lines, and
//! `lost_meanwhile` of a burst. Each with the span that it is true for.

use super::lines::{Head, Time};
use crate::output::lost::{self, Losses, Nic, QdiscDrops, Softnet, Span};
use schemars::JsonSchema;
use serde::Serialize;

/// What the NIC, its driver and the queueing disciplines lost. Places are not disjoint: do not add them up. What
/// the ring lost stands in `capture`.
#[derive(Serialize, JsonSchema)]
pub struct Lost<'a> {
    /// Begin of the span: the reading that the span before ended with.
    pub since: Time,
    /// Its end, shortly after that of the interval. Spans follow on each other, so that intervals sum to `stop`.
    pub until: Time,
    /// By the interface's own counters; null where they could not be read.
    pub nic: Option<Nic>,
    /// By its queueing disciplines (`tc -s qdisc`); null where they could not be read.
    pub qdisc: Option<Qdisc<'a>>,
}

/// What an interface's queueing disciplines did.
#[derive(Serialize, JsonSchema)]
pub struct Qdisc<'a> {
    /// Packets dropped on the way out, by all of them.
    pub drops: u64,
    /// Times that the one at the root had to wait or had no room.
    pub overlimits: u64,
    /// Packets that the driver would not take at once.
    pub requeues: u64,
    /// Packets that waited at the end of the span.
    pub backlog_packets: u64,
    /// Bytes that waited then.
    pub backlog_bytes: u64,
    /// Which of them dropped, where one did; `ingress` is no part of `drops`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub dropped_by: &'a [QdiscDrops],
}

/// What the machine lost before any interface's ring, or might have: whichever interface it came by.
#[derive(Serialize, JsonSchema)]
pub struct Machine {
    /// Begin of the span, as in `lost`.
    pub since: Time,
    /// Its end.
    pub until: Time,
    /// The queue between drivers and stack, all CPUs and network namespaces together; null where it could not be read.
    pub softnet: Option<Softnet>,
}

/// The machine in one interval in which softnet dropped or had too much to do; in a report in the whole run.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MachineLine")]
pub struct MachineLine<'a> {
    /// What every line begins with.
    #[serde(flatten)]
    head: Head<'a>,
    /// What it lost.
    #[serde(flatten)]
    machine: Machine,
}

/// What was lost around a burst: between the last reading before it and the first one after it, which may be
/// most of two intervals. That it was lost in the burst is not said.
#[derive(Serialize, JsonSchema)]
pub struct Meanwhile<'a> {
    /// Begin of the span of all but `ring`; null where there was no such reading, as with `until`.
    pub since: Option<Time>,
    /// Its end.
    pub until: Option<Time>,
    /// By the interface's own counters; null where not known.
    pub nic: Option<Nic>,
    /// By its queueing disciplines; null where not known.
    pub qdisc: Option<Qdisc<'a>>,
    /// By the machine, whichever interface it came by; null where not known.
    pub softnet: Option<Softnet>,
    /// By the ring, with a span of its own; null where not known.
    pub ring: Option<Ring>,
}

/// What a ring lost.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RingLost")]
pub struct Ring {
    /// Begin of the span.
    pub since: Time,
    /// Its end.
    pub until: Time,
    /// Frames that found the ring full.
    pub kernel_drops: u64,
    /// Times that it was found full.
    pub freezes: u64,
}

/// A span's begin and end in whole µs, rounded outwards.
fn times(span: Span) -> [Time; 2] {
    [Time(span.from_ns / 1000 * 1000), Time(span.until_ns.div_ceil(1000).saturating_mul(1000))]
}

fn qdisc(lost: &lost::Lost) -> Option<Qdisc<'_>> {
    lost.qdisc.as_ref().map(|qdisc| Qdisc {
        drops: qdisc.drops,
        overlimits: qdisc.overlimits,
        requeues: qdisc.requeues,
        backlog_packets: qdisc.backlog_packets,
        backlog_bytes: qdisc.backlog_bytes,
        dropped_by: &qdisc.dropped_by,
    })
}

/// An interface's.
pub fn of((span, lost): (Span, &lost::Lost)) -> Lost<'_> {
    let [since, until] = times(span);
    Lost { since, until, nic: lost.nic, qdisc: qdisc(lost) }
}

/// The machine's in the interval (0) or since the start (1); None for files, and where no reading fell into it.
pub fn machine(losses: &Losses, which: usize) -> Option<Machine> {
    let reading = if which == 0 { &losses.interval } else { &losses.run };
    let reading = reading.as_ref()?;
    let [since, until] = times(reading.span);
    Some(Machine { since, until, softnet: reading.softnet })
}

/// The interval's line, where there is anything to tell.
pub fn line<'a>(head: Head<'a>, machine: Machine) -> MachineLine<'a> {
    MachineLine { head, machine }
}

/// Around a burst; None where the run has no readings.
pub fn meanwhile(meanwhile: &lost::Meanwhile) -> Meanwhile<'_> {
    let span = meanwhile.lost.as_ref().map(|(span, ..)| times(*span));
    let lost = meanwhile.lost.as_ref();
    Meanwhile {
        since: span.map(|[since, _]| since),
        until: span.map(|[_, until]| until),
        nic: lost.and_then(|(_, lost, _)| lost.nic),
        qdisc: lost.and_then(|(_, lost, _)| qdisc(lost)),
        softnet: lost.and_then(|(_, _, softnet)| *softnet),
        ring: meanwhile.ring.map(|(span, ring)| {
            let [since, until] = times(span);
            Ring { since, until, kernel_drops: ring.kernel_drops, freezes: ring.freezes }
        }),
    }
}
