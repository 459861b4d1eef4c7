//! Rows of `top`: a name, then two directions.
//!
//! Direction 0 of a snapshot's row comes first: client to server, first to
//! second, or *to* the thing named. Interfaces by name.

use super::lines::is_false;
use crate::aggregate::group::role_source;
use crate::aggregate::snapshot::{self, RowName};
use crate::flow::entry::mark;
use crate::flow::key::FlowKey;
use crate::meter::totals::Count;
use crate::output::Context;
use crate::output::columns::{Over, ROW_COLUMNS};
use crate::output::figures::{bits_per_second, has_ports, protocol_name};
use schemars::JsonSchema;
use serde::Serialize;
use std::borrow::Cow;
use std::net::IpAddr;

/// A row: what it is about, both directions in the interval, and what stands out.
#[derive(Serialize, JsonSchema)]
pub struct Row<'a> {
    /// What it is about, and both directions.
    #[serde(flatten)]
    pub thing: Thing<'a>,
    /// Columns of docs/COLUMNS.md whose figures `--highlight` makes stand out; `bytes` and `packets` are those
    /// since the start, as there. Absent where there are none.
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    pub highlights: Vec<&'static str>,
}

/// What a row is about, and both directions in the interval.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Thing<'a> {
    /// By connection.
    Connection {
        /// IP protocol.
        protocol: Cow<'static, str>,
        /// Who began.
        client: End<'a>,
        /// Who answered.
        server: End<'a>,
        /// VLAN ids, outermost first, where its frames are tagged.
        #[serde(skip_serializing_if = "Vlan::is_empty")]
        vlan: Vlan,
        /// State of a TCP connection.
        #[serde(skip_serializing_if = "Option::is_none")]
        state: Option<&'static str>,
        /// What client and server were told by: `syn`, `synack`, `listen`, `port`.
        role_source: &'static str,
        /// True where its beginning was not seen.
        #[serde(skip_serializing_if = "is_false")]
        midstream: bool,
        /// Client to server.
        c2s: Gained,
        /// Server to client.
        s2c: Gained,
    },
    /// By pair of addresses.
    Pair {
        /// The lower address.
        a: IpAddr,
        /// Its name, where `--names` has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        a_name: Option<&'a str>,
        /// The higher address.
        b: IpAddr,
        /// Its name, where `--names` has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        b_name: Option<&'a str>,
        /// From the lower to the higher.
        a_to_b: Gained,
        /// From the higher to the lower.
        b_to_a: Gained,
    },
    /// By address.
    Host {
        /// Address, whichever end it is.
        host: IpAddr,
        /// Its name, where `--names` has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        /// To it.
        to: Gained,
        /// From it.
        from: Gained,
    },
    /// By server.
    Destination {
        /// Address of the server.
        destination: IpAddr,
        /// Its name, where `--names` has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        /// To it.
        to: Gained,
        /// From it.
        from: Gained,
    },
    /// By port of the server.
    Port {
        /// Port; absent for protocols that have none.
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        /// IP protocol.
        protocol: Cow<'static, str>,
        /// To it.
        to: Gained,
        /// From it.
        from: Gained,
    },
    /// By class (`--classes`).
    Class {
        /// Name, `other` for what is in none.
        class: &'a str,
        /// To the servers.
        to: Gained,
        /// From them.
        from: Gained,
    },
    /// By interface.
    Interface {
        /// Name.
        interface: &'a str,
        /// Received.
        to: Gained,
        /// Sent.
        from: Gained,
    },
}

/// One end of a connection.
#[derive(Serialize, JsonSchema)]
pub struct End<'a> {
    /// Address.
    pub ip: IpAddr,
    /// Its name, where `--names` has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// Port; absent for protocols that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl<'a> End<'a> {
    /// An end of a flow, 0 the key's first.
    pub fn of(key: &FlowKey, side: usize, context: &'a Context) -> End<'a> {
        let (ip, port) = (key.ip(side), key.end(side).port);
        End { ip, name: context.names.of(ip), port: has_ports(key.protocol()).then_some(port) }
    }
}

/// VLAN ids, outermost tag first.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Vlan(pub Vec<u16>);

impl Vlan {
    /// The VLANs of a flow.
    pub fn of(key: &FlowKey, context: &Context) -> Vlan {
        Vlan(context.stacks.ids(key.vlan()))
    }
    /// No tag.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What one direction of a row gained.
#[derive(Serialize, JsonSchema)]
pub struct Gained {
    /// Packets on the wire.
    pub packets: u64,
    /// Layer-2 bytes on the wire.
    pub bytes: u64,
    /// bytes × 8 per second; null where no time passed.
    pub bits_per_second: Option<u64>,
}

impl Gained {
    fn of(count: Count, span_ns: u64) -> Gained {
        let Count { packets, bytes } = count;
        Gained { packets, bytes, bits_per_second: bits_per_second(bytes, span_ns) }
    }
}

impl<'a> Row<'a> {
    /// A snapshot's row over `span_ns`.
    pub fn of(row: &snapshot::Row, span_ns: u64, context: &'a Context) -> Row<'a> {
        let highlights = context.highlights.names(&ROW_COLUMNS, row, &Over { context, span_ns });
        Row { thing: Thing::of(row, span_ns, context), highlights }
    }
}

impl<'a> Thing<'a> {
    fn of(row: &snapshot::Row, span_ns: u64, context: &'a Context) -> Thing<'a> {
        let [first, second] = row.interval.map(|count| Gained::of(count, span_ns));
        match row.name {
            RowName::Connection(key) => {
                let client = row.client_second as usize;
                Thing::Connection {
                    protocol: protocol_name(key.protocol()),
                    client: End::of(&key, client, context),
                    server: End::of(&key, 1 - client, context),
                    vlan: Vlan::of(&key, context),
                    state: row.state.map(|state| state.name()),
                    role_source: role_source(row.marks),
                    midstream: row.marks & mark::MIDSTREAM != 0,
                    c2s: first,
                    s2c: second,
                }
            }
            RowName::Pair(a, b) => {
                let [a_name, b_name] = [a, b].map(|ip| context.names.of(ip));
                Thing::Pair { a, a_name, b, b_name, a_to_b: first, b_to_a: second }
            }
            RowName::Source(host) => {
                Thing::Host { host, name: context.names.of(host), to: second, from: first }
            }
            RowName::Host(host) => {
                Thing::Host { host, name: context.names.of(host), to: first, from: second }
            }
            RowName::Destination(destination) => {
                let name = context.names.of(destination);
                Thing::Destination { destination, name, to: first, from: second }
            }
            RowName::Port(protocol, port) => Thing::Port {
                port: has_ports(protocol).then_some(port),
                protocol: protocol_name(protocol),
                to: first,
                from: second,
            },
            RowName::Class(class) => {
                Thing::Class { class: context.class_name(class), to: first, from: second }
            }
            RowName::Interface(link) => {
                Thing::Interface { interface: context.link_name(link), to: first, from: second }
            }
        }
    }
}
