//! Every place that can lose something, once: the table that counters, JSON
//! keys, text and docs come from.

/// Why a packet's bytes are in an interface's totals but in no flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// Not IP.
    NotIp = 0,
    /// A link type that is not decoded.
    LinkType = 1,
    /// Headers that contradict themselves.
    Malformed = 2,
    /// The snaplen cut off addresses or ports.
    Truncated = 3,
    /// A later fragment whose first was not seen.
    FragmentWithoutFirst = 4,
    /// A RST or an impossible segment that belongs to no connection.
    Stray = 5,
    /// The flow table is full and nothing could be evicted.
    TableFull = 6,
    /// No room to keep a flow's counters apart by interface.
    NoDetail = 7,
    /// The same packet, seen a second time on a stacked device.
    SecondCopy = 8,
    /// Another worker's packet that it could not take in time.
    HandoverFull = 9,
}

/// Number of [`Reason`]s.
pub const REASONS: usize = 10;

/// A reason's name in JSON and its sentence in docs.
pub struct ReasonText {
    /// The reason.
    pub reason: Reason,
    /// JSON key under `untracked.reasons`.
    pub name: &'static str,
    /// What it means to a reader.
    pub sentence: &'static str,
}

/// All reasons in the order of their numbers.
pub const REASON_TEXTS: [ReasonText; REASONS] = [
    text(Reason::NotIp, "not_ip", "not IP (ARP, LLDP, …); counted by ethertype"),
    text(Reason::LinkType, "link_type", "a link type that is not decoded"),
    text(Reason::Malformed, "malformed", "headers that contradict themselves"),
    text(Reason::Truncated, "truncated", "the snaplen cut off addresses or ports"),
    text(Reason::FragmentWithoutFirst, "fragment_without_first", "a later fragment whose first was not seen"),
    text(Reason::Stray, "stray", "a RST or an impossible segment that belongs to no connection"),
    text(Reason::TableFull, "table_full", "the flow table is full and nothing could be evicted"),
    text(Reason::NoDetail, "no_detail", "no room to keep a flow's counters apart by interface"),
    text(Reason::SecondCopy, "second_copy", "the same packet, seen a second time on a stacked device"),
    text(Reason::HandoverFull, "handover_full", "a packet for another worker that could not take it in time"),
];

const fn text(reason: Reason, name: &'static str, sentence: &'static str) -> ReasonText {
    ReasonText { reason, name, sentence }
}

const _: () = {
    let mut i = 0;
    while i < REASONS {
        assert!(REASON_TEXTS[i].reason as usize == i);
        i += 1;
    }
};
