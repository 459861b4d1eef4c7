//! Interfaces as they are now: what there is, how it is stacked and bonded,
//! what it counts by itself, what changes, and which of it a run watches.
//!
//! Knows nothing of rings, packets or flows. Netlink is asked first, because
//! it answers for the network namespace that the process is in; `/sys` shows
//! the namespace in which it was mounted, which need not be the same
//! (setns(2) and `unshare -n` do not mount it anew). Sysfs is therefore
//! believed only where its index and address agree with netlink's, and read
//! alone only where netlink refuses to answer, and in tests.
//!
//! Invariants: names are what the kernel says, never parsed for meaning; a
//! speed that is not known is `None`, never 0; no figure here is on the packet
//! path, and each call may wait for the kernel's RTNL lock.
//!
//! Sources: Documentation/networking/bonding.rst, Documentation/ABI/testing/
//! sysfs-class-net*, include/uapi/linux/if_link.h, rtnetlink(7).

mod churn;
mod counters;
mod events;
pub mod losses;
pub mod make;
mod netlink;
mod select;
mod sizing;
mod sockets;
mod sysfs;

pub use churn::Churn;
pub use counters::{CounterReader, Counters};
pub use events::{EventSource, LinkEvent};
pub use select::{Selection, Watch, select};
pub use sizing::{memory_bytes, permission_message, ring_bytes};
pub use sockets::listening_sockets;

use super::{LINKS_MAX, LinkType};
use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Where interfaces are read from.
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
    live: bool,
}

impl Root {
    /// The running system: netlink, and `/sys` and `/proc` beside it.
    pub fn system() -> Root {
        Root { path: PathBuf::from("/"), live: true }
    }
    /// A copy of `sys` and `proc` under `path`, read as files and nothing else.
    pub fn at(path: impl Into<PathBuf>) -> Root {
        Root { path: path.into(), live: false }
    }
    /// `relative` under this root.
    fn join(&self, relative: &str) -> PathBuf {
        self.path.join(relative)
    }
}

/// What an interface's frames begin with, by its hardware type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ethernet (ARPHRD_ETHER).
    Ethernet,
    /// The loopback interface: an Ethernet header of zeros, each packet twice.
    Loopback,
    /// No link header: tun, WireGuard, IP in IP, PPP.
    RawIp,
    /// Anything else, with its ARPHRD number.
    Other(u16),
}

/// if_arp.h; libc does not have it.
const ARPHRD_RAWIP: u16 = 519;

impl Kind {
    /// Hardware types without a link header are those for which libpcap's
    /// `map_arphrd_to_dlt` says DLT_RAW.
    fn from_hardware(arphrd: u16, loopback: bool) -> Kind {
        match arphrd {
            libc::ARPHRD_LOOPBACK => Kind::Loopback,
            _ if loopback => Kind::Loopback,
            libc::ARPHRD_ETHER => Kind::Ethernet,
            libc::ARPHRD_NONE
            | ARPHRD_RAWIP
            | libc::ARPHRD_PPP
            | libc::ARPHRD_TUNNEL
            | libc::ARPHRD_TUNNEL6
            | libc::ARPHRD_SIT => Kind::RawIp,
            other => Kind::Other(other),
        }
    }
    /// How frames of such an interface are decoded; `None`: they are counted,
    /// not decoded.
    pub fn link_type(self) -> Option<LinkType> {
        match self {
            Kind::Ethernet | Kind::Loopback => Some(LinkType::Ethernet),
            Kind::RawIp => Some(LinkType::RawIp),
            Kind::Other(_) => None,
        }
    }
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Other names that it answers to (`ip link property add altname`).
    pub alternative_names: Vec<String>,
    /// Interface index, unique within the network namespace.
    pub index: u32,
    /// MAC address, where it has one of six bytes.
    pub mac: Option<[u8; 6]>,
    /// What its frames begin with.
    pub kind: Kind,
    /// Kind of device as the kernel calls it (`bond`, `vlan`, `veth`); `None`
    /// for ordinary hardware.
    pub device: Option<String>,
    /// Speed that the driver tells, in bits a second. `None`: not known (-1,
    /// an error, down). A virtual device may pretend one (veth: 10 Gbit/s), see
    /// [`Link::line_speed`].
    pub speed_bits_per_second: Option<u64>,
    /// Whether both ways are used at once; half-duplex lines have collisions.
    /// `None`: not known, see the speed.
    pub full_duplex: Option<bool>,
    /// Whether hardware (or a hypervisor's) stands behind it.
    pub physical: bool,
    /// Administratively up (IFF_UP).
    pub up: bool,
    /// Whether the line is connected; `None` while it is down.
    pub carrier: Option<bool>,
    /// The bond that it is a slave of.
    pub bond: Option<String>,
    /// The device that it belongs to: bond, bridge, team, VRF.
    pub master: Option<String>,
    /// Devices whose packets it sees a second time: members of a master,
    /// parent of a VLAN. Tunnels are not listed: their packets are others.
    pub lower: Vec<String>,
    /// Largest layer-3 packet in bytes.
    pub mtu: u32,
    /// Its addresses with their prefix lengths. Empty where only sysfs answers.
    pub addresses: Vec<(IpAddr, u8)>,
}

impl Link {
    /// Speed that utilisation may be computed from, in bits a second: what a
    /// physical interface tells. The figure of a virtual one means nothing.
    pub fn line_speed(&self) -> Option<u64> {
        if self.physical { self.speed_bits_per_second } else { None }
    }
    /// Whether it is the loopback interface.
    pub fn is_loopback(&self) -> bool {
        self.kind == Kind::Loopback
    }
    /// Whether it is called so, or also.
    pub fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.alternative_names.iter().any(|other| other == name)
    }
}

/// One bond (bonding driver).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bond {
    /// Its name.
    pub name: String,
    /// Mode in the driver's words: `balance-rr`, `active-backup`,
    /// `balance-xor`, `broadcast`, `802.3ad`, `balance-tlb`, `balance-alb`.
    pub mode: String,
    /// Policy in the driver's words; told in every mode, used in few, see
    /// [`Bond::hashes`].
    pub xmit_hash_policy: Option<String>,
    /// Its slaves, in the driver's order if `slaves_in_order`, else by index.
    pub slaves: Vec<Slave>,
    /// Whether the order of `slaves` is the driver's, which decides what
    /// `hash % count` means. Only sysfs tells it.
    pub slaves_in_order: bool,
    /// The slave in use, in modes that have one.
    pub active_slave: Option<String>,
    /// Id of the aggregator in use (802.3ad).
    pub active_aggregator: Option<u16>,
    /// Ports in the aggregator in use (802.3ad).
    pub aggregator_ports: Option<u16>,
    /// `slow` or `fast` (802.3ad).
    pub lacp_rate: Option<String>,
    /// The switch's address as LACP tells it; zeros where none answered.
    pub partner_mac: Option<[u8; 6]>,
    /// Whether balance-tlb places flows by load (true) or by hash (false).
    pub tlb_dynamic: Option<bool>,
}

impl Bond {
    /// Whether what it sends is placed by its hash policy.
    pub fn hashes(&self) -> bool {
        match self.mode.as_str() {
            "802.3ad" | "balance-xor" => true,
            "balance-tlb" => self.tlb_dynamic == Some(false),
            _ => false,
        }
    }
    /// Slaves that the hash chooses among, in list order: line up, not backup,
    /// with 802.3ad in the active aggregator (`bond_update_slave_arr`).
    pub fn usable(&self) -> impl Iterator<Item = &Slave> {
        self.slaves.iter().filter(|slave| {
            let inside = match (slave.aggregator, self.active_aggregator) {
                (Some(own), Some(active)) if self.mode == "802.3ad" => own == active,
                _ => true,
            };
            inside && slave.line_up != Some(false) && slave.active != Some(false)
        })
    }
}

/// A slave as its bond sees it. `None`: the kernel did not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slave {
    /// Its name.
    pub name: String,
    /// Whether the bond's link monitoring has it up.
    pub line_up: Option<bool>,
    /// Active, or a backup.
    pub active: Option<bool>,
    /// Its aggregator (802.3ad).
    pub aggregator: Option<u16>,
    /// Queue id that traffic control may steer by.
    pub queue_id: Option<u16>,
    /// How often its line has failed.
    pub link_failures: Option<u32>,
    /// Its own address: bonded, it carries the bond's.
    pub permanent_mac: Option<[u8; 6]>,
    /// Whether LACP comes to rest on it (802.3ad).
    pub churn: Option<Churn>,
}

/// What went wrong with interfaces.
#[derive(Debug)]
pub enum LinkError {
    /// No interface has this name.
    Missing {
        /// As the user wrote it.
        name: String,
        /// All that exist.
        existing: Vec<String>,
        /// The one whose name is nearest, if any is near.
        nearest: Option<String>,
    },
    /// More interfaces than a run can watch.
    TooMany {
        /// How many were asked for.
        count: usize,
        /// Whether the user named them, or the default took them.
        named: bool,
    },
    /// A bond without slaves.
    EmptyBond {
        /// Its name.
        bond: String,
    },
    /// An empty name in a list.
    NoName {
        /// The whole argument.
        argument: String,
    },
    /// Nothing but loopback, and nothing named.
    NothingToWatch {
        /// All that exist.
        existing: Vec<String>,
    },
    /// The system did not answer.
    Read {
        /// What was asked for.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::Missing { name, existing, nearest } => {
                write!(f, "there is no interface {name:?} here")?;
                if let Some(nearest) = nearest {
                    write!(f, "; did you mean {nearest}?")?;
                }
                if existing.is_empty() {
                    write!(f, " (no interface exists)")
                } else {
                    write!(f, " (existing: {})", list(existing, 20))
                }
            }
            LinkError::TooMany { count, named: true } => write!(
                f,
                "{count} interfaces are named, but one run watches at most {LINKS_MAX}: start several, each with some of them"
            ),
            LinkError::TooMany { count, named: false } => write!(
                f,
                "{count} interfaces would be watched, but one run watches at most {LINKS_MAX}: name those that matter with -i"
            ),
            LinkError::EmptyBond { bond } => write!(
                f,
                "bond {bond} has no slaves, so there is nothing to watch: add one (ip link set IF master {bond}) or name another interface"
            ),
            LinkError::NoName { argument } => {
                write!(f, "-i {argument:?} has an empty name in it: write -i IF, -i IF,IF or -i IF+IF")
            }
            LinkError::NothingToWatch { existing } if existing.is_empty() => {
                write!(f, "this network namespace has no interface at all: start where there is one")
            }
            LinkError::NothingToWatch { existing } => write!(
                f,
                "there is no interface but {} here: name it with -i to watch it",
                list(existing, 20)
            ),
            LinkError::Read { what, source } => {
                write!(
                    f,
                    "{what} could not be read ({source}): check that /sys is mounted and netlink allowed"
                )
            }
        }
    }
}

impl std::error::Error for LinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LinkError::Read { source, .. } => Some(source),
            LinkError::Missing { .. }
            | LinkError::TooMany { .. }
            | LinkError::EmptyBond { .. }
            | LinkError::NoName { .. }
            | LinkError::NothingToWatch { .. } => None,
        }
    }
}

/// Interfaces and bonds of one reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// All interfaces, by index.
    pub links: Vec<Link>,
    /// All bonds, by index.
    pub bonds: Vec<Bond>,
}

/// All interfaces and bonds of the process's network namespace, or of a made
/// tree. Blocks for a few milliseconds; longer while the kernel's RTNL lock is
/// held by a driver.
///
/// # Errors
/// [`LinkError::Read`] if neither netlink nor sysfs answers.
pub fn read(root: &Root) -> Result<Interfaces, LinkError> {
    if root.live
        && let Ok(read) = netlink::read(root)
    {
        return Ok(read);
    }
    sysfs::read(root).map_err(|source| LinkError::Read { what: "the list of interfaces".into(), source })
}

/// [`read`], the interfaces alone.
///
/// # Errors
/// As [`read`].
pub fn read_links(root: &Root) -> Result<Vec<Link>, LinkError> {
    read(root).map(|read| read.links)
}

/// [`read`], the bonds alone; none where nothing answers.
pub fn read_bonds(root: &Root) -> Vec<Bond> {
    read(root).map(|read| read.bonds).unwrap_or_default()
}

/// Addresses of this host (of this network namespace): which end of a
/// connection is here.
pub fn local_addresses(links: &[Link]) -> HashSet<IpAddr> {
    links.iter().flat_map(|link| link.addresses.iter().map(|(address, _)| *address)).collect()
}

/// Names as a sentence has them, at most `limit`.
fn list(names: &[String], limit: usize) -> String {
    let shown = names.get(..limit).unwrap_or(names);
    let more = names.len().saturating_sub(shown.len());
    if more > 0 {
        return format!("{} and {more} more", shown.join(", "));
    }
    match shown {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Reads a small text file of `/sys` or `/proc`, without its line end.
fn read_text(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim_end().to_string())
}
