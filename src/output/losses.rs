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

/// See the module's description.
pub static LOSSES: [Loss; 11] = [
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
