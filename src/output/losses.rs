//! Every place that can lose something or make a figure short, for docs.
//!
//! Reasons for being in no flow are [`crate::meter::loss::REASON_TEXTS`]; this
//! is the rest. docs/LOSSES.md is written from both.

/// A loss that is not a reason of `untracked`.
pub struct Loss {
    /// What docs call it.
    pub name: &'static str,
    /// Line types of JSON that have it.
    pub lines: &'static [&'static str],
    /// Its place within these lines (within each of `interfaces` in `stop`, where it stands there).
    pub json: &'static str,
    /// What it counts.
    pub unit: &'static str,
    /// Which figures are short by it, and what helps.
    pub meaning: &'static str,
}

/// Where packets were lost besides the ring, and what mends it.
pub struct Place {
    /// The figure.
    pub loss: Loss,
    /// What text says beside it, and what to do.
    pub mends: &'static str,
}

const BOTH: &[&str] = &["interface", "stop"];
const MACHINE: &[&str] = &["machine"];

const fn packets(
    name: &'static str,
    json: &'static str,
    meaning: &'static str,
    mends: &'static str,
) -> Place {
    Place { loss: Loss { name, lines: BOTH, json, unit: "packets", meaning }, mends }
}

const fn of_machine(
    name: &'static str,
    json: &'static str,
    meaning: &'static str,
    mends: &'static str,
) -> Place {
    let unit = "packets, times";
    Place { loss: Loss { name, lines: MACHINE, json, unit, meaning }, mends }
}

/// In the order in which a received packet comes by them, then a sent one.
pub static PLACES: [Place; 11] = [
    packets(
        "NIC, received",
        "lost.nic.rx_missed_errors",
        "The NIC's receive ring was full: the driver did not take packets out fast enough. Before any capture.",
        "`ethtool -G IF rx N`, N the most that the driver allows (text names it); more queues where it is that long already",
    ),
    packets(
        "NIC, its FIFO",
        "lost.nic.rx_fifo_errors",
        "Overruns inside the NIC; some drivers count a full ring here.",
        "as above; flow control, fewer interrupts held back",
    ),
    packets("NIC, its buffer", "lost.nic.rx_over_errors", "Overflows of the NIC's buffer.", "as above"),
    packets(
        "damaged",
        "lost.nic.rx_crc_errors",
        "A wrong frame check sequence; `lost.nic.rx_errors` has all that came damaged.",
        "cable, transceiver, port",
    ),
    packets(
        "driver or stack, received",
        "lost.nic.rx_dropped",
        "No buffer, no room in softnet's queue (then softnet counts it too), or nobody who wanted it.",
        "`ethtool -S IF` says which, where the driver tells",
    ),
    of_machine(
        "softnet, no room",
        "softnet.dropped",
        "A CPU's queue between driver and stack was full (RPS, tunnels, virtual links).",
        "`sysctl -w net.core.netdev_max_backlog=N`",
    ),
    of_machine(
        "softnet, flow limit",
        "softnet.flow_limit",
        "Of `dropped`: the queue was half full and most of it of one flow. `null` for kernels before 3.11.",
        "`sysctl -w net.core.flow_limit_cpu_bitmap=0`",
    ),
    of_machine(
        "softnet, budget",
        "softnet.time_squeeze",
        "A round ended with packets left. No loss by itself, but the NIC's ring fills meanwhile: text tells it where a ring was full or softnet dropped.",
        "`sysctl -w net.core.netdev_budget=N net.core.netdev_budget_usecs=N`",
    ),
    packets(
        "qdisc, sent",
        "lost.qdisc.drops",
        "Queueing disciplines dropped it on its way out: by their limit, or because they are to keep queues short. It was \
         never sent and is in no figure of `tx`; `dropped_by` says which one it was. One that was made anew counts from 0.",
        "`tc qdisc change … limit N` or `ip link set IF txqueuelen N`; a faster link or less sent where the kind is one that keeps its queue short",
    ),
    packets(
        "driver, sent",
        "lost.nic.tx_dropped",
        "Dropped behind the qdiscs; `tx` has it, as the capture is before it.",
        "`ethtool -S IF`",
    ),
    packets(
        "NIC, sent",
        "lost.nic.tx_errors",
        "Could not be sent; `tx_fifo_errors` and `tx_carrier_errors` say why, where the driver tells.",
        "cable, transceiver, port; `ethtool -S IF`",
    ),
];

/// See the module's description.
pub static LOSSES: [Loss; 13] = [
    Loss {
        name: "dropped by the kernel",
        lines: &["interface", "stop"],
        json: "capture.kernel_drops",
        unit: "frames",
        meaning: "The ring was full. In no figure at all: totals and flows are short by it. A larger ring \
                  (`--ring-mib`), more workers (`--workers`) or a filter help. 0 for files: what was lost when one was written is not in it.",
    },
    Loss {
        name: "ring found full",
        lines: &["interface", "stop"],
        json: "capture.freezes",
        unit: "times",
        meaning: "How often that happened.",
    },
    Loss {
        name: "coverage",
        lines: &["interface", "stop"],
        json: "capture.coverage_ratio",
        unit: "ratio",
        meaning: "Packets counted ÷ packets that the interface counted itself over the same time. Below 1, \
                  something was missed before or in the ring. `null` where the two cannot be compared.",
    },
    Loss {
        name: "missing",
        lines: &["interface", "stop"],
        json: "capture.missing_bytes",
        unit: "bytes",
        meaning: "TCP payload that was acknowledged and never came by: lost by the capture, whatever the counters say. \
                  A connection's own is `c2s.missing_bytes`, `s2c.missing_bytes`.",
    },
    Loss {
        name: "one way",
        lines: &["interface", "stop"],
        json: "capture.one_way_bytes",
        unit: "bytes",
        meaning: "The same of connections of which one direction alone was seen (`one_way`): it passes elsewhere, or was \
                  lost whole.",
    },
    Loss {
        name: "truncated",
        lines: &["interface", "stop"],
        json: "capture.truncated",
        unit: "frames",
        meaning: "The snaplen cut their end off. No figure is short, as lengths come from the headers; where it cut off \
                  addresses or ports, the packet is `untracked`.",
    },
    Loss {
        name: "estimated",
        lines: &["interface", "stop"],
        json: "capture.estimated_packets",
        unit: "packets",
        meaning: "Packets of super-frames in a file, which does not tell how they were cut: `packets` and `bytes` \
                  rest on the flow's segment size, `frames` and `frame_bytes` do not.",
    },
    Loss {
        name: "corrupt",
        lines: &["interface", "stop"],
        json: "capture.corrupt_frames",
        unit: "frames, blocks",
        meaning: "The kernel's description of a frame, or of a block of frames, in the ring was wrong: left out, in no \
                  total and no flow. Please report this.",
    },
    Loss {
        name: "late worker",
        lines: &["interface", "stop"],
        json: "capture.late_workers",
        unit: "workers",
        meaning: "Had not reported this interval in time. What they counted comes with a later interval.",
    },
    Loss {
        name: "late packets",
        lines: &["stop"],
        json: "late_packets",
        unit: "packets",
        meaning: "Their time was before that of an interval that had ended. Counted in the one under way.",
    },
    Loss {
        name: "evicted",
        lines: &["interface", "stop"],
        json: "flows.evicted",
        unit: "flows",
        meaning: "Pushed out because the flow table was full (`--max-flows`): half-open ones first, then idle \
                  ones. What they had counted stays; what follows begins a new flow, picked up midstream.",
    },
    Loss {
        name: "unreported",
        lines: &["interface", "stop"],
        json: "flows.unreported",
        unit: "flows, packets, bytes",
        meaning: "Ended while there was no room to report them: in the interfaces' figures, in no row and no \
                  `connection` line.",
    },
    Loss {
        name: "hidden",
        lines: &["interface", "stop"],
        json: "hidden",
        unit: "packets, bytes",
        meaning: "With `--new-only`: of TCP connections whose start was not seen, so in no row and no `connection` line, \
                  but in every total; `flows.hidden` says how many there were. Rows (or `connection` lines), hidden \
                  and untracked are the interface's totals.",
    },
];
