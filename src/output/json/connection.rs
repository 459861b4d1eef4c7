//! The `connection` line as types.
//!
//! The doc comments are the schema's descriptions; docs/TCP.md says what they mean.

use super::lines::{Head, Map, Time, is_false};
use super::rows::Vlan;
use schemars::JsonSchema;
use serde::Serialize;
use std::borrow::Cow;

/// The account of a flow when it left the table, at the end of the run, or (`end_reason` is `active`) in between.
#[derive(Serialize, JsonSchema)]
pub struct Connection<'a> {
    /// What every line begins with.
    #[serde(flatten)]
    pub head: Head<'a>,
    /// `tcp`, `udp`, `icmp`, `icmp6`, `sctp`, …; the number as a string where it has no name here.
    pub protocol: Cow<'static, str>,
    /// Who began, as `role_source` tells.
    pub client: super::rows::End<'a>,
    /// Who answered.
    pub server: super::rows::End<'a>,
    /// What client and server were told by: `syn`, `synack`, `listen` (a local listening socket), or
    /// `port` (the lower port is the server; without ports or with equal ones, who was heard first is the client).
    pub role_source: &'static str,
    /// Community ID version 1, seed 0; absent for ICMP, whose types are not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub community_id: Option<String>,
    /// State of a TCP connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
    /// States that a TCP connection came to, in order of time, the newest (`state`) last; begins with the one
    /// in which it was met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub states: Option<Vec<Reached>>,
    /// Why it left: `fin`, `rst`, `refused`, `timeout`, `idle`, `reused`, `evicted`, `open` (the run
    /// ended first), `active` (it did not leave; sums so far).
    pub end_reason: &'static str,
    /// Time of its first packet.
    pub start: Time,
    /// Time of its last packet.
    pub end: Time,
    /// `end` less `start`.
    pub duration_seconds: f64,
    /// VLAN ids, outermost first, where its frames are tagged.
    #[serde(skip_serializing_if = "Vlan::is_empty")]
    pub vlan: Vlan,
    /// True where its beginning was not seen.
    #[serde(skip_serializing_if = "is_false")]
    pub midstream: bool,
    /// True where some of its packets were IP fragments.
    #[serde(skip_serializing_if = "is_false")]
    pub fragmented: bool,
    /// True where some packet counts rest on an assumed segment size (super-frames in files).
    #[serde(skip_serializing_if = "is_false")]
    pub estimated: bool,
    /// TCP: Zeek's word for how far it came (`S0`, `SF`, `REJ`, …; docs/TCP.md).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conn_state: Option<&'static str>,
    /// `client` or `server`: whose RST ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset_by: Option<&'static str>,
    /// TCP Fast Open: whether the server took the SYN's payload; `accepted` or `refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tfo: Option<&'static str>,
    /// True where it was picked up while half-open entries were being pushed out: its handshake may have been
    /// seen and forgotten.
    #[serde(skip_serializing_if = "is_false")]
    pub evicted_possible: bool,
    /// True where it connected after an ICMP error said that it would not.
    #[serde(skip_serializing_if = "is_false")]
    pub after_unreach: bool,
    /// True where the client's first byte is that of a TLS handshake.
    #[serde(skip_serializing_if = "is_false")]
    pub tls: bool,
    /// `client` or `server` where one of them alone was seen of a TCP connection: the other direction
    /// passes elsewhere, and what is missing of it is no loss of the capture's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_way: Option<&'static str>,
    /// True where there were more gaps than could be kept apart: its missing, retransmitted and
    /// order figures are estimates.
    #[serde(skip_serializing_if = "is_false")]
    pub holes_merged: bool,
    /// True where sequence numbers jumped and were begun anew: sums are not exact.
    #[serde(skip_serializing_if = "is_false")]
    pub discontinuous: bool,
    /// True where the capture lost a part of an exchange: their count is a lower bound.
    #[serde(skip_serializing_if = "is_false")]
    pub exchanges_lossy: bool,
    /// Client to server.
    pub c2s: Sent<'a>,
    /// Server to client.
    pub s2c: Sent<'a>,
    /// How a TCP connection began; absent where its beginning was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake: Option<Opening>,
    /// Requests and responses of a TCP connection, by turns of payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchanges: Option<Exchanges>,
}

/// A state that a connection came to.
#[derive(Serialize, JsonSchema)]
pub struct Reached {
    /// Name, as in `state`.
    pub state: &'static str,
    /// When, since `start`: time of the first packet with which it was so; of a time-out, when it was over.
    pub after_seconds: f64,
    /// `client` or `server`: whose FIN (`fin_wait`, `closing`) or RST (`reset`) it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<&'static str>,
}

/// How a connection began.
#[derive(Serialize, JsonSchema)]
pub struct Opening {
    /// `success`, `reject`, `unreach`, `timeout`, `aborted`, `indeterminate`, `evicted`; null while undecided.
    pub outcome: Option<&'static str>,
    /// Of a time-out: `no_synack` or `no_ack`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Type of the ICMP error of `unreach`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    /// Its code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_code: Option<u8>,
    /// SYNs after the first; 255 and more are 255.
    pub syn_retransmitted: u8,
    /// SYN/ACKs after the first; 255 and more are 255.
    pub synack_retransmitted: u8,
    /// First SYN to the end of the handshake; null where it was not seen or has not ended.
    pub connect_seconds: Option<f64>,
    /// SYN to SYN/ACK, the way to the server and back; null where it is not known which SYN was answered.
    pub syn_to_synack_seconds: Option<f64>,
    /// SYN/ACK to the client's ACK, the way to the client and back.
    pub synack_to_ack_seconds: Option<f64>,
}

/// Requests and responses of a connection.
#[derive(Serialize, JsonSchema)]
pub struct Exchanges {
    /// Requests that were answered.
    pub count: u32,
    /// Requests without an answer.
    pub unanswered: u32,
    /// End of the request to the first byte of the response.
    pub first_byte_seconds: Longest,
    /// First byte of the request to the last of the response.
    pub last_byte_seconds: Spread,
}

/// The longest of some times; null where none was kept.
#[derive(Serialize, JsonSchema)]
pub struct Longest {
    /// The longest.
    pub max: Option<f64>,
}

/// How times are spread; null where they were not kept.
#[derive(Serialize, JsonSchema)]
pub struct Spread {
    /// Half of them took no longer (upper edge of a bucket, where there were several).
    pub p50: Option<f64>,
    /// 95 of 100 took no longer.
    pub p95: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
}

/// A direction's TCP figures.
#[derive(Serialize, JsonSchema)]
pub struct Stream {
    /// Payload by sequence space: what the endpoints passed, seen here or not.
    pub stream_bytes: u64,
    /// Whether that is so to the byte: beginning and end were seen, and both directions.
    pub stream_exact: bool,
    /// It may be one too many: the end that was acknowledged may be an unseen FIN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_uncertain: Option<u8>,
    /// Acknowledged by the receiver and never seen here: lost by the capture.
    pub missing_bytes: u64,
    /// Neither seen nor acknowledged.
    pub open_bytes: u64,
    /// Seen and not acknowledged; null where no acknowledgement was seen.
    pub unacked_bytes: Option<u64>,
    /// Segments with a byte that had been seen before.
    pub retransmitted_segments: u32,
    /// Payload that had been seen before.
    pub retransmitted_bytes: u64,
    /// Segments that filled a gap too late to have been reordered: resent, the first copy was never seen.
    pub recovered_segments: u32,
    /// Segments that filled a gap within a round trip.
    pub out_of_order_segments: u32,
    /// Acknowledgements that repeat one while something is under way.
    pub duplicate_acks: u32,
    /// Segments that say that there is no room for more.
    pub zero_windows: u32,
    /// Segments that only ask whether the other end is there.
    pub keep_alives: u32,
    /// Segments with SYN; 255 and more are 255.
    pub syn: u8,
    /// Segments with FIN; 255 and more are 255.
    pub fin: u8,
    /// Segments with RST; 255 and more are 255.
    pub rst: u8,
    /// From here to the receiver of this direction and back.
    pub rtt_seconds: RoundTrips,
}

/// Round trips; null where there was none, or no room to keep them.
#[derive(Serialize, JsonSchema)]
pub struct RoundTrips {
    /// Least.
    pub min: Option<f64>,
    /// Smoothed as RFC 6298 does.
    pub smoothed: Option<f64>,
    /// Half took no longer (upper edge of a bucket).
    pub p50: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99: Option<f64>,
}

/// One direction of a connection.
#[derive(Serialize, JsonSchema)]
pub struct Sent<'a> {
    /// Packets on the wire.
    pub packets: u64,
    /// Layer-2 bytes on the wire.
    pub bytes: u64,
    /// Buffers as the kernel handed them over; with `frame_bytes`, where super-frames make them differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<u64>,
    /// Bytes of these buffers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_bytes: Option<u64>,
    /// TCP or UDP payload as seen, retransmissions included; absent for other protocols.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_bytes: Option<u64>,
    /// TCP figures.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub stream: Option<Stream>,
    /// Bytes by interface.
    pub interfaces: Map<'a, u64>,
}
