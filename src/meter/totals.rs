//! Totals of one worker by lane: exact whatever happens to tables.
//!
//! Every packet is counted here once, and beside that either in a flow or in
//! `untracked`, each summed where it happens; the aggregator compares.

use super::bins::{Bins, LaneBins};
use super::loss::{REASONS, Reason};
use crate::capture::{LINKS_MAX, Lane};
use crate::decode::{CLASSES, Packet};

/// Packets and bytes (accounting's words: on the wire, layer 2 without FCS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Wire packets.
    pub packets: u64,
    /// Layer-2 bytes.
    pub bytes: u64,
}

impl Count {
    /// Adds another count.
    #[inline]
    pub fn add(&mut self, other: Count) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
    /// What came since `earlier`.
    pub fn since(&self, earlier: &Count) -> Count {
        Count { packets: self.packets - earlier.packets, bytes: self.bytes - earlier.bytes }
    }
}

/// What TCP itself tells of a lane: evidence of what the capture did not see, and
/// what could not be judged. Counted where the data should have come by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpTotals {
    /// Acknowledgements that advance, of streams whose beginning is known.
    pub acks: u64,
    /// Of them, those that cover bytes never seen.
    pub acks_over_gap: u64,
    /// Bytes that were acknowledged and had not been seen; only grows.
    pub acked_unseen: u64,
    /// Of them, bytes that came by later; only grows.
    pub late: u64,
    /// Bytes that were acknowledged of a direction that nothing was seen of.
    pub one_way: u64,
    /// Holes that had to be merged.
    pub merged_holes: u64,
    /// Segments whose numbers no window reaches.
    pub implausible: u64,
    /// Connections begun anew as numbers jumped.
    pub discontinuities: u64,
    /// RSTs that fit no connection's window.
    pub ignored_rst: u64,
}

impl TcpTotals {
    fn each(&mut self, other: &TcpTotals, merge: impl Fn(u64, u64) -> u64) {
        let pairs = [
            (&mut self.acks, other.acks),
            (&mut self.acks_over_gap, other.acks_over_gap),
            (&mut self.acked_unseen, other.acked_unseen),
            (&mut self.late, other.late),
            (&mut self.one_way, other.one_way),
            (&mut self.merged_holes, other.merged_holes),
            (&mut self.implausible, other.implausible),
            (&mut self.discontinuities, other.discontinuities),
            (&mut self.ignored_rst, other.ignored_rst),
        ];
        pairs.into_iter().for_each(|(one, other)| *one = merge(*one, other));
    }
}

/// Totals of one lane since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneTotals {
    /// Packets and bytes.
    pub count: Count,
    /// Buffers as the kernel handed them over.
    pub frames: u64,
    /// Their bytes.
    pub frame_bytes: u64,
    /// Layer-3 bytes.
    pub ip_bytes: u64,
    /// Bytes on the line: padding, FCS, preamble and gap included.
    pub line_bytes: u64,
    /// Frames of which the snaplen cut something off.
    pub truncated: u64,
    /// Packets whose number rests on an assumed segment size.
    pub estimated: u64,
    /// By [`crate::decode::Class`].
    pub classes: [Count; CLASSES],
    /// In no flow, by [`Reason`].
    pub untracked: [Count; REASONS],
    /// What TCP tells.
    pub tcp: TcpTotals,
}

impl LaneTotals {
    /// Adds another worker's totals of the same lane.
    pub fn add(&mut self, other: &LaneTotals) {
        self.count.add(other.count);
        self.frames += other.frames;
        self.frame_bytes += other.frame_bytes;
        self.ip_bytes += other.ip_bytes;
        self.line_bytes += other.line_bytes;
        self.truncated += other.truncated;
        self.estimated += other.estimated;
        for (sum, one) in self.classes.iter_mut().zip(other.classes) {
            sum.add(one);
        }
        for (sum, one) in self.untracked.iter_mut().zip(other.untracked) {
            sum.add(one);
        }
        self.tcp.each(&other.tcp, |sum, one| sum + one);
    }

    /// What came since `earlier`.
    pub fn since(&self, earlier: &LaneTotals) -> LaneTotals {
        let mut classes = self.classes;
        for (now, then) in classes.iter_mut().zip(&earlier.classes) {
            *now = now.since(then);
        }
        let mut untracked = self.untracked;
        for (now, then) in untracked.iter_mut().zip(&earlier.untracked) {
            *now = now.since(then);
        }
        let mut tcp = self.tcp;
        tcp.each(&earlier.tcp, |now, then| now - then);
        LaneTotals {
            count: self.count.since(&earlier.count),
            frames: self.frames - earlier.frames,
            frame_bytes: self.frame_bytes - earlier.frame_bytes,
            ip_bytes: self.ip_bytes - earlier.ip_bytes,
            line_bytes: self.line_bytes - earlier.line_bytes,
            truncated: self.truncated - earlier.truncated,
            estimated: self.estimated - earlier.estimated,
            classes,
            untracked,
            tcp,
        }
    }

    /// Sum over all reasons.
    pub fn untracked_sum(&self) -> Count {
        let mut sum = Count::default();
        self.untracked.iter().for_each(|&one| sum.add(one));
        sum
    }
}

/// Different ethertypes that are told apart; the rest are summed as 0xffff.
pub const ETHERTYPES_MAX: usize = 32;

/// See the module's description.
pub struct Totals {
    /// By lane; all of them from the start, so that a new interface allocates nothing.
    pub lanes: Vec<LaneTotals>,
    /// What is not IP, by ethertype.
    pub ethertypes: Vec<(u16, Count)>,
    /// The same by millisecond, since they were handed over last.
    pub bins: Bins,
    /// One behind the last lane that has any.
    lanes_end: usize,
}

impl Default for Totals {
    fn default() -> Totals {
        Totals {
            lanes: vec![LaneTotals::default(); 2 * LINKS_MAX],
            ethertypes: Vec::with_capacity(ETHERTYPES_MAX),
            bins: Bins::default(),
            lanes_end: 0,
        }
    }
}

impl Totals {
    /// Time has come to that of a packet which is counted next; its millisecond.
    #[inline]
    pub fn turn_to(&mut self, time_ns: u64) -> u32 {
        self.bins.turn_to(time_ns, &self.lanes, self.lanes_end)
    }

    /// Milliseconds before this one (see [`Bins::hand_over`]).
    pub fn hand_over_bins(&mut self, until_ms: u64) -> Vec<LaneBins> {
        self.bins.settle(&self.lanes, self.lanes_end);
        self.bins.hand_over(until_ms)
    }

    /// Counts a packet.
    #[inline]
    pub fn count(&mut self, packet: &Packet) {
        let count = Count { packets: packet.segments as u64, bytes: packet.bytes as u64 };
        let lane = &mut self.lanes[packet.lane.index()];
        if lane.frames == 0 {
            self.lanes_end = self.lanes_end.max(packet.lane.index() + 1);
        }
        lane.count.add(count);
        lane.frames += 1;
        lane.frame_bytes += packet.frame_bytes as u64;
        lane.ip_bytes += packet.ip_bytes as u64;
        lane.line_bytes += packet.line_bytes as u64;
        lane.truncated += packet.truncated as u64;
        lane.classes[packet.class as usize].add(count);
        if packet.estimated {
            lane.estimated += count.packets;
        }
    }

    /// Counts a packet that no flow has.
    #[cold]
    #[inline(never)]
    pub fn count_untracked(&mut self, packet: &Packet, reason: Reason) {
        let count = Count { packets: packet.segments as u64, bytes: packet.bytes as u64 };
        self.lanes[packet.lane.index()].untracked[reason as usize].add(count);
        if reason == Reason::NotIp {
            self.count_ethertype(packet.ethertype, count);
        }
    }

    fn count_ethertype(&mut self, ethertype: u16, count: Count) {
        let room = self.ethertypes.len() + 1 < ETHERTYPES_MAX || ethertype == u16::MAX;
        match self.ethertypes.iter_mut().find(|(known, _)| *known == ethertype) {
            Some((_, sum)) => sum.add(count),
            None if room => self.ethertypes.push((ethertype, count)),
            None => self.count_ethertype(u16::MAX, count),
        }
    }

    /// Totals of a lane.
    pub fn lane(&self, lane: Lane) -> &LaneTotals {
        &self.lanes[lane.index()]
    }
}
