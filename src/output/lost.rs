//! Where packets were lost besides the rings: NIC, softnet, qdiscs, and the line
//! that mends each.
//!
//! Plain figures with the span that they are true for; somebody else read them.
//! A reading takes a moment, so a span reaches from before its first reading to
//! after its last one: what is told happened in it, never outside. The places
//! are not disjoint (a packet that softnet drops is among its interface's
//! `rx_dropped` too), so they stand side by side and are never added up.
//!
//! Sentences name a command only where it is known to do something; commands
//! are quoted for a shell.

use super::LinkFacts;
use super::units::{between, grouped, number_of, plain};
use crate::capture::LinkId;

/// From before a first reading to after a last one, ns since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// When the first reading began.
    pub from_ns: u64,
    /// When the last one was whole.
    pub until_ns: u64,
}

/// The one list of the NIC's counters: name (the kernel's) and meaning.
macro_rules! nic {
    ($($name:ident $meaning:literal,)*) => {
        /// An interface's own counters of what it lost, in packets.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
        pub struct Nic {
            $(#[doc = $meaning] pub $name: u64,)*
        }

        impl Nic {
            /// What came since `earlier`.
            pub fn since(&self, earlier: &Nic) -> Nic {
                Nic { $($name: self.$name.saturating_sub(earlier.$name),)* }
            }
            /// Both together.
            pub fn plus(&self, more: &Nic) -> Nic {
                Nic { $($name: self.$name.saturating_add(more.$name),)* }
            }
        }
    };
}

nic! {
    rx_missed_errors "The NIC had no room: its receive ring was full. Lost before any capture.",
    rx_fifo_errors "Its FIFO overran. Lost before any capture.",
    rx_over_errors "Its ring buffer overflowed. Lost before any capture.",
    rx_dropped "Dropped by the driver for want of buffers, by softnet (these are in the machine's figures too), or because nobody wanted them.",
    rx_errors "Received damaged, `rx_crc_errors` included.",
    rx_crc_errors "Received with a wrong frame check sequence.",
    tx_dropped "Dropped on the way out by the driver, or because the interface was down; qdiscs count their own.",
    tx_errors "Could not be sent.",
    tx_fifo_errors "The sending FIFO underran.",
    tx_carrier_errors "The carrier was lost while sending.",
}

impl Nic {
    /// Packets for which there was no room in the NIC, by whatever name its driver counts them.
    pub fn ring_full(&self) -> u64 {
        self.rx_missed_errors.saturating_add(self.rx_fifo_errors).saturating_add(self.rx_over_errors)
    }
}

/// What the queueing disciplines of an interface did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Qdiscs {
    /// Packets dropped at the root, so by all of them that frames pass on their way out.
    pub drops: u64,
    /// Times that the root had to wait or had no room.
    pub overlimits: u64,
    /// Packets that the driver would not take at once.
    pub requeues: u64,
    /// Packets that waited at the last reading.
    pub backlog_packets: u64,
    /// Bytes that waited then.
    pub backlog_bytes: u64,
    /// Those that dropped, innermost ones alone.
    pub dropped_by: Vec<QdiscDrops>,
}

/// A qdisc that dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct QdiscDrops {
    /// Its kind, as `tc` names it.
    pub kind: String,
    /// Its number as `tc` writes it; `0:` where the kernel made it by itself.
    pub handle: String,
    /// Where it stands: `root`, `ingress`, or the class of another one.
    pub parent: String,
    /// Packets dropped.
    pub drops: u64,
    /// Most packets (`bfifo`: bytes) that it holds, where it is a fifo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

impl Qdiscs {
    /// What came since `earlier`; what waits is that of now.
    pub fn since(&self, earlier: &Qdiscs) -> Qdiscs {
        let mut dropped_by = self.dropped_by.clone();
        for one in &mut dropped_by {
            let before = earlier.dropped_by.iter().find(|other| other.is(one));
            one.drops = one.drops.saturating_sub(before.map_or(0, |before| before.drops));
        }
        dropped_by.retain(|one| one.drops > 0);
        Qdiscs {
            drops: self.drops.saturating_sub(earlier.drops),
            overlimits: self.overlimits.saturating_sub(earlier.overlimits),
            requeues: self.requeues.saturating_sub(earlier.requeues),
            backlog_packets: self.backlog_packets,
            backlog_bytes: self.backlog_bytes,
            dropped_by,
        }
    }
}

impl QdiscDrops {
    /// Whether it stands in the same place under the same name.
    pub fn is(&self, other: &QdiscDrops) -> bool {
        (&self.kind, &self.handle, &self.parent) == (&other.kind, &other.handle, &other.parent)
    }
}

/// What the machine's queue between drivers and stack did, all CPUs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Softnet {
    /// Packets for which a CPU's queue had no room (`net.core.netdev_max_backlog`).
    pub dropped: u64,
    /// Times that a round ended with work left (`net.core.netdev_budget`): no loss, but NICs' rings fill meanwhile.
    pub time_squeeze: u64,
    /// Of `dropped`: as their flow had most of the queue; null where the kernel does not tell.
    pub flow_limit: Option<u64>,
}

impl Softnet {
    /// What came since `earlier`.
    pub fn since(&self, earlier: &Softnet) -> Softnet {
        Softnet {
            dropped: self.dropped.saturating_sub(earlier.dropped),
            time_squeeze: self.time_squeeze.saturating_sub(earlier.time_squeeze),
            flow_limit: self.flow_limit.zip(earlier.flow_limit).map(|(now, then)| now.saturating_sub(then)),
        }
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.dropped == 0 && self.time_squeeze == 0
    }
}

/// One interface's, over one span; None: could not be known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Of the NIC, its driver and the stack.
    pub nic: Option<Nic>,
    /// Of its queueing disciplines.
    pub qdisc: Option<Qdiscs>,
}

impl Lost {
    /// What came since `earlier`, where both are known.
    pub fn since(&self, earlier: &Lost) -> Lost {
        let both = self.qdisc.as_ref().zip(earlier.qdisc.as_ref());
        Lost {
            nic: self.nic.zip(earlier.nic).map(|(now, then)| now.since(&then)),
            qdisc: both.map(|(now, then)| now.since(then)),
        }
    }
}

/// All of a reading's sums over one span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Of this time.
    pub span: Span,
    /// By link number.
    pub links: Vec<Lost>,
    /// Of the machine.
    pub softnet: Option<Softnet>,
}

impl Reading {
    /// From `earlier` to this one, both sums since the same begin.
    pub fn since(&self, earlier: &Reading) -> Reading {
        let none = Lost::default();
        let before = |link: usize| earlier.links.get(link).unwrap_or(&none);
        Reading {
            span: Span { from_ns: earlier.span.from_ns, until_ns: self.span.until_ns },
            links: self.links.iter().enumerate().map(|(link, now)| now.since(before(link))).collect(),
            softnet: self.softnet.zip(earlier.softnet).map(|(now, then)| now.since(&then)),
        }
    }
}

/// What the ring of one interface lost between two cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingLost {
    /// Frames for which it had no room.
    pub kernel_drops: u64,
    /// Times that it was found full.
    pub freezes: u64,
}

/// What went on around a burst.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meanwhile {
    /// Between the last reading before it and the first one after it.
    pub lost: Option<(Span, Lost, Option<Softnet>)>,
    /// The same of its interface's ring, which is read at other moments.
    pub ring: Option<(Span, RingLost)>,
}

impl Meanwhile {
    /// In a sentence, where anything was lost.
    pub fn told(&self) -> Option<String> {
        let mut parts: Vec<String> = Vec::new();
        let mut tell = |count: u64, whose: &str| {
            if count > 0 {
                parts.push(format!("{whose} {}", grouped(count)));
            }
        };
        let mut spans = Vec::new();
        if let Some((span, lost, softnet)) = &self.lost {
            spans.push(*span);
            if let Some(nic) = lost.nic {
                tell(nic.ring_full(), "NIC");
                tell(nic.rx_dropped, "driver or stack");
                tell(nic.tx_dropped.saturating_add(nic.tx_errors), "driver on the way out");
            }
            tell(lost.qdisc.as_ref().map_or(0, |qdisc| qdisc.drops), "qdisc");
            tell(softnet.map_or(0, |softnet| softnet.dropped), "softnet (of the machine)");
        }
        if let Some((span, ring)) = self.ring.filter(|(_, ring)| ring.kernel_drops > 0) {
            spans.push(span);
            tell(ring.kernel_drops, "ring");
        }
        if parts.is_empty() {
            return None;
        }
        let from_ns = spans.iter().map(|span| span.from_ns).min().unwrap_or(0);
        let until_ns = spans.iter().map(|span| span.until_ns).max().unwrap_or(0);
        let times = between(from_ns, until_ns);
        Some(format!("lost at some time around it ({times}): {}", parts.join(", ")))
    }
}

/// How an interface is set now; None: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkSettings {
    /// Entries of the NIC's receive ring: now, and the most that its driver allows.
    pub rx_ring: Option<[u32; 2]>,
    /// `txqueuelen`, packets.
    pub tx_queue: Option<u64>,
}

/// How the machine is set now; None: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineSettings {
    /// `net.core.netdev_max_backlog`.
    pub max_backlog: Option<u64>,
    /// `net.core.netdev_budget`.
    pub budget: Option<u64>,
    /// `net.core.netdev_budget_usecs`.
    pub budget_usecs: Option<u64>,
}

/// All that outputs are told with a snapshot; empty for files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// In the interval; None where no reading fell into it.
    pub interval: Option<Reading>,
    /// Since the start.
    pub run: Option<Reading>,
    /// By the place of the burst among the snapshot's.
    pub bursts: Vec<Meanwhile>,
    /// By link number.
    pub links: Vec<LinkSettings>,
    /// Of the machine.
    pub machine: MachineSettings,
}

impl Losses {
    /// A link's, of the interval (0) or since the start (1), with its span.
    pub fn of(&self, link: LinkId, which: usize) -> Option<(Span, &Lost)> {
        let reading = if which == 0 { &self.interval } else { &self.run };
        let reading = reading.as_ref()?;
        Some((reading.span, reading.links.get(usize::from(link))?))
    }

    /// The run as one interval.
    pub fn whole_run(&self) -> Losses {
        Losses { interval: self.run.clone(), bursts: Vec::new(), ..self.clone() }
    }

    /// What a reader has to know of an interface: where it lost since the start,
    /// each place in a sentence with the line that mends it.
    pub fn told(&self, link: LinkId, facts: &LinkFacts) -> Vec<String> {
        let Some((_, lost)) = self.of(link, 1) else { return Vec::new() };
        let settings = self.links.get(usize::from(link)).copied().unwrap_or_default();
        let name = shell_word(&plain(&facts.name));
        let mut said = lost.nic.map_or_else(Vec::new, |nic| told_of_nic(&nic, &name, &settings));
        for qdisc in lost.qdisc.iter().flat_map(|qdiscs| &qdiscs.dropped_by) {
            said.push(told_of_qdisc(qdisc, &name, &settings));
        }
        said
    }

    /// The same of the machine.
    pub fn told_of_machine(&self) -> Vec<String> {
        let Some(run) = &self.run else { return Vec::new() };
        let Some(softnet) = run.softnet else { return Vec::new() };
        let full = run.links.iter().filter_map(|link| link.nic).any(|nic| nic.ring_full() > 0);
        told_of_softnet(&softnet, full, &self.machine)
    }
}

fn told_of_nic(nic: &Nic, name: &str, settings: &LinkSettings) -> Vec<String> {
    let mut said = Vec::new();
    let full = nic.ring_full();
    if full > 0 {
        let mend = match settings.rx_ring {
            Some([now, most]) if now < most => {
                format!(" of {} entries: ethtool -G {name} rx {most}", grouped(now.into()))
            }
            Some([_, most]) => {
                format!(
                    ", with {} entries already the longest: more queues (ethtool -L {name})",
                    grouped(most.into())
                )
            }
            None => format!(": a longer one, if ethtool -g {name} shows that it can be (ethtool -G)"),
        };
        said.push(format!("{} lost by the NIC, its receive ring was full{mend}", number_of(full, "frame")));
    }
    if nic.rx_dropped > 0 {
        said.push(format!(
            "{} dropped by driver or stack, for want of buffers or as nobody wanted them: ethtool -S {name}",
            number_of(nic.rx_dropped, "received frame")
        ));
    }
    if nic.rx_errors.max(nic.rx_crc_errors) > 0 {
        let crc = match nic.rx_crc_errors {
            0 => String::new(),
            crc => format!(" ({} with a wrong check sequence)", grouped(crc)),
        };
        let damaged = nic.rx_errors.max(nic.rx_crc_errors);
        said.push(format!(
            "{} came damaged{crc}: cable, transceiver or port (ethtool -S {name})",
            number_of(damaged, "frame")
        ));
    }
    let unsent = nic.tx_dropped.saturating_add(nic.tx_errors);
    let unsent = unsent.max(nic.tx_fifo_errors).max(nic.tx_carrier_errors);
    if unsent > 0 {
        said.push(format!(
            "{} not sent by the driver, behind the qdiscs: ethtool -S {name}",
            number_of(unsent, "frame")
        ));
    }
    said
}

fn told_of_qdisc(qdisc: &QdiscDrops, name: &str, settings: &LinkSettings) -> String {
    let QdiscDrops { kind, handle, parent, drops, limit } = qdisc;
    let [kind, handle] = [kind, handle].map(|word| plain(word));
    let at =
        if parent == "root" || parent == "ingress" { parent.clone() } else { format!("parent {parent}") };
    let own = handle != "0:";
    let mend = match (kind.as_ref(), limit, settings.tx_queue) {
        _ if parent == "ingress" => {
            format!("a filter's doing, behind the capture (tc -s filter show dev {name} ingress)")
        }
        ("pfifo" | "bfifo" | "pfifo_head_drop", Some(limit), _) if own => {
            let longer = limit.saturating_mul(2).max(1000);
            format!("tc qdisc change dev {name} {at} handle {handle} {kind} limit {longer}")
        }
        ("pfifo_fast" | "pfifo" | "bfifo", _, Some(queue)) => {
            format!("ip link set dev {name} txqueuelen {}", queue.saturating_mul(2).max(1000))
        }
        ("fq_codel" | "codel" | "fq_pie" | "pie" | "cake" | "red" | "sfb", ..) => format!(
            "that is how it keeps its queue short; more is sent than the link takes (tc -s qdisc show dev {name})"
        ),
        ("tbf" | "htb" | "hfsc", ..) => format!(
            "a higher rate or a longer queue (tc qdisc change dev {name} {at} handle {handle} {kind} …)"
        ),
        _ => format!("tc -s qdisc show dev {name}"),
    };
    let way = if parent == "ingress" { "in" } else { "out" };
    format!("{} dropped on the way {way} by qdisc {kind} {handle} {at}: {mend}", number_of(*drops, "frame"))
}

/// `full`: some NIC's ring was. Without that, and without drops, a budget that was
/// used up cost nothing: a busy machine does it all the time.
fn told_of_softnet(softnet: &Softnet, full: bool, settings: &MachineSettings) -> Vec<String> {
    let set = |name: &str, now: Option<u64>| match now {
        Some(now) => format!("sysctl -w net.core.{name}={}", now.saturating_mul(2)),
        None => format!("a higher net.core.{name} (sysctl, in the first network namespace)"),
    };
    let mut said = Vec::new();
    if softnet.dropped > 0 {
        let limited = softnet.flow_limit.filter(|&limited| limited > 0);
        let limited = limited.map_or(String::new(), |limited| {
            format!(" ({} by flow limit: sysctl net.core.flow_limit_cpu_bitmap)", grouped(limited))
        });
        said.push(format!(
            "{} dropped by the machine between driver and stack{limited}: {}",
            number_of(softnet.dropped, "packet"),
            set("netdev_max_backlog", settings.max_backlog)
        ));
    }
    if softnet.time_squeeze > 0 && (full || softnet.dropped > 0) {
        let usecs =
            settings.budget_usecs.filter(|_| settings.budget.is_some()).map_or(String::new(), |usecs| {
                format!(" net.core.netdev_budget_usecs={}", usecs.saturating_mul(2))
            });
        said.push(format!(
            "{} a CPU had more packets to take in than its budget, NICs' rings fill meanwhile: {}{usecs}",
            number_of(softnet.time_squeeze, "time"),
            set("netdev_budget", settings.budget)
        ));
    }
    said
}

/// As a shell takes it for one word.
fn shell_word(name: &str) -> String {
    let harmless = |one: char| one.is_ascii_alphanumeric() || "_-.@:".contains(one);
    if !name.is_empty() && name.chars().all(harmless) {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', r"'\''"))
}
