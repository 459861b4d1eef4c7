//! What the user sees: text, JSON lines and the screen, made from snapshots alone.
//!
//! An output gets names and facts of the run in a [`Context`], how things stand
//! in a [`Snapshot`], and what a reader has to know besides in a [`Notice`]. It
//! counts nothing itself and knows no ring, no table, no thread.

pub mod balances;
pub mod bursts;
pub mod columns;
pub mod destinations;
pub mod figures;
pub mod handshakes;
pub mod highlight;
pub mod incomplete;
pub mod json;
pub mod losses;
pub mod lost;
pub mod names;
pub mod report;
pub mod services;
pub mod socket;
pub mod stat;
pub mod text;
pub mod tui;
pub mod units;
pub mod why;

use crate::aggregate::classes::ClassId;
use crate::aggregate::snapshot::Snapshot;
use crate::aggregate::view::Grouping;
use crate::capture::{LinkId, LinkType};
use crate::config::{By, Sort, Unit};
use crate::decode::VlanStacks;
use highlight::Highlights;
use lost::Losses;
use names::Names;
use std::io;
use std::sync::Arc;

/// Facts of the run that every line may need.
#[derive(Clone, Default)]
pub struct Context {
    /// This host's name.
    pub host: String,
    /// The interfaces, by link number; grows while files are read.
    pub links: Vec<LinkFacts>,
    /// Names of VLAN stacks.
    pub stacks: VlanStacks,
    /// Lines that a slow reader never got, since the start.
    pub lines_lost: u64,
    /// Names of classes by number; the first is that of what is in none.
    pub classes: Vec<String>,
    /// Names for addresses.
    pub names: Arc<Names>,
    /// Figures that stand out.
    pub highlights: Arc<Highlights>,
    /// What was lost besides the rings, as of the snapshot (live).
    pub losses: Arc<Losses>,
    /// A burst is a share of the speed of its link, so there is none without one.
    pub bursts_by_share: bool,
    /// Since when a filter is in force or was at times, ns since the epoch: from the
    /// beginning 0, None where there was none so far.
    pub filtered_ns: Option<u64>,
}

static NO_FACTS: LinkFacts = LinkFacts {
    name: String::new(),
    group: 0,
    bond: None,
    speed_bits_per_second: None,
    link_type: None,
    from_file: false,
    ring: None,
    promiscuous: false,
    direction_unknown: false,
    second_copy: false,
};

impl Context {
    /// Whether a filter was in force at some time before a moment: what it left out may
    /// be what is missing.
    pub fn was_filtered(&self, until_ns: u64) -> bool {
        self.filtered_ns.is_some_and(|since_ns| since_ns <= until_ns)
    }

    /// Facts of an interface; none where it has not been introduced.
    pub fn link(&self, link: LinkId) -> &LinkFacts {
        self.links.get(link as usize).unwrap_or(&NO_FACTS)
    }

    /// Name of a class; `?` where it has none.
    pub fn class_name(&self, class: ClassId) -> &str {
        self.classes.get(usize::from(class)).map_or("?", |name| name)
    }

    /// Name of an interface; `?` where it has not been introduced.
    pub fn link_name(&self, link: LinkId) -> &str {
        self.links.get(link as usize).map_or("?", |facts| &facts.name)
    }
}

/// An interface, as outputs name it.
#[derive(Clone, Debug, Default)]
pub struct LinkFacts {
    /// Its name: of the device, or what a file gives.
    pub name: String,
    /// Link group.
    pub group: u8,
    /// The bond that it is a slave of.
    pub bond: Option<String>,
    /// Bits per second, where known or told by the user.
    pub speed_bits_per_second: Option<u64>,
    /// How its frames begin.
    pub link_type: Option<LinkType>,
    /// It comes from a file: no kernel figures.
    pub from_file: bool,
    /// Its ring, live.
    pub ring: Option<RingFacts>,
    /// Put into promiscuous mode (live).
    pub promiscuous: bool,
    /// Its direction is not known: everything counts as received.
    pub direction_unknown: bool,
    /// Another watched device below it has the same packets.
    pub second_copy: bool,
}

/// The rings of one interface, all workers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingFacts {
    /// Their memory.
    pub bytes: u64,
    /// How long the link's full rate takes to fill it, where the speed is known.
    pub milliseconds_at_line_rate: Option<u64>,
}

/// A bond, as outputs name it.
#[derive(Clone, Debug, Default)]
pub struct BondFacts {
    /// Its name.
    pub name: String,
    /// Mode as in sysfs ("802.3ad").
    pub mode: String,
    /// Transmit hash policy ("layer3+4"), where the mode has one.
    pub xmit_hash_policy: Option<String>,
    /// Its slaves.
    pub slaves: Vec<String>,
}

/// The rows that the user's word for them stands for.
pub fn grouping_of(by: By) -> Grouping {
    match by {
        By::Connection => Grouping::Connection,
        By::Pair => Grouping::Pair,
        By::Host => Grouping::Host,
        By::Destination => Grouping::Destination,
        By::Port => Grouping::Port,
        By::Class => Grouping::Class,
        By::Interface => Grouping::Interface,
    }
}

/// What is told once.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// ns since the epoch; for files the time of the first packet is not known yet: 0.
    pub time_ns: u64,
    /// Which interfaces were taken and why, a sentence; empty for files.
    pub reason: String,
    /// Bonds that the interfaces belong to.
    pub bonds: Vec<BondFacts>,
    /// Number and CPU of each worker.
    pub workers: Vec<(usize, Option<usize>)>,
    /// The filter expression.
    pub filter: Option<String>,
    /// Bytes kept of each frame, live.
    pub snaplen: Option<u32>,
}

/// Something that a reader must know happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// ns since the epoch, packet time.
    pub time_ns: u64,
    /// What, a stable word: `interface_gone`, `intervals_skipped`, `speed_unknown`, `identity`, …
    pub event: &'static str,
    /// The interface that it is about.
    pub interface: Option<String>,
    /// How much, where that can be counted.
    pub count: Option<u64>,
    /// One sentence.
    pub message: String,
}

/// Event of the notice that another capture filter is in force.
pub const FILTER_CHANGED: &str = "filter_changed";

/// NIC's own figures of an interface beside ours, over one span.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coverage {
    /// What was measured ÷ what the interface counted; None where it cannot be compared.
    pub ratio: Option<f64>,
    /// The interface's own rates, for filtered runs: received, sent; bits per second.
    pub nic_bits_per_second: Option<[u64; 2]>,
    /// The ratio is of the time since a filter was taken away, of what was before nobody knows.
    pub part: bool,
}

/// Coverage of each link: of the interval, and since the start.
pub type Coverages = Vec<[Coverage; 2]>;

/// How the run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// SIGINT or SIGTERM.
    Signal,
    /// `--duration`.
    Duration,
    /// `--count`.
    Count,
    /// All files read.
    EndOfFile,
    /// Nobody reads the output any more; only a report says so.
    ClosedPipe,
    /// A fault; the sentence stands on standard error.
    Error,
}

impl StopReason {
    /// Its name in every output.
    pub fn name(&self) -> &'static str {
        match self {
            StopReason::Signal => "signal",
            StopReason::Duration => "duration",
            StopReason::Count => "count",
            StopReason::EndOfFile => "end of file",
            StopReason::ClosedPipe => "closed pipe",
            StopReason::Error => "error",
        }
    }
}

/// What an output does for a run, in this order: `start` once, then snapshots
/// and notices as they come (the last snapshot is `last`), then `stop` once.
pub trait Output {
    /// The run begins.
    ///
    /// # Errors
    /// Of the writer; a closed pipe is the caller's to take as a normal end.
    fn start(&mut self, start: &Start, context: &Context) -> io::Result<()>;
    /// An interval has ended.
    ///
    /// # Errors
    /// As `start`.
    fn snapshot(&mut self, snapshot: &Snapshot, coverage: &Coverages, context: &Context) -> io::Result<()>;
    /// Something happened.
    ///
    /// # Errors
    /// As `start`.
    fn notice(&mut self, notice: &Notice, context: &Context) -> io::Result<()>;
    /// The run has ended; `snapshot` is the last one.
    ///
    /// # Errors
    /// As `start`.
    fn stop(
        &mut self,
        reason: &StopReason,
        snapshot: &Snapshot,
        coverage: &Coverages,
        context: &Context,
    ) -> io::Result<()>;
}

/// What outputs are told by the command line.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// What a row stands for.
    pub by: By,
    /// Order of rows.
    pub sort: Sort,
    /// Most rows.
    pub top: usize,
    /// Bits or bytes in text.
    pub unit: Unit,
    /// The whole input is one interval (text of a file).
    pub whole: bool,
    /// Figures that stand out do so by reverse video, else by a mark.
    pub color: bool,
}
