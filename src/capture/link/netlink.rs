//! Interfaces, bonds and addresses by rtnetlink.
//!
//! Attributes are decoded one by one, and one that the decoder does not
//! understand (a newer kernel's) is left out instead of costing the whole
//! interface. Datagrams are checked for length before anything is taken from
//! them. What netlink does not tell comes from ethtool (speed) and sysfs (the
//! order of a bond's slaves; on kernels before 5.14 whether a device stands
//! behind the interface), and whether LACP comes to rest from /proc/net.
//!
//! Sources: rtnetlink(7), netlink(7), include/uapi/linux/{rtnetlink,if_link}.h.

use super::{Bond, Interfaces, Kind, Link, Root, Slave, churn, sysfs};
use crate::capture::sys::ethtool;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NetlinkSerializable, NlasIterator, Parseable, ParseableParametrized,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    BondAdInfo, BondPortState, InfoBond, InfoBondPort, InfoData, InfoPortData, LinkAttribute, LinkHeader,
    LinkInfo, LinkMessage, MiiStatus, Prop,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

pub(super) const RTM_NEWLINK: u16 = libc::RTM_NEWLINK;
pub(super) const RTM_DELLINK: u16 = libc::RTM_DELLINK;
pub(super) const RTM_NEWADDR: u16 = libc::RTM_NEWADDR;
pub(super) const RTM_DELADDR: u16 = libc::RTM_DELADDR;

/// `struct ifinfomsg`.
const LINK_HEADER: usize = 16;
/// The kernel makes dump datagrams of at most 32 KiB (netlink_recvmsg, NLMSG_GOODSIZE).
const DATAGRAM: usize = 64 << 10;
/// The kernel answers within the call; this only bounds a wait that should not be.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A dump that interfaces changed under is asked for again this often.
const DUMP_ATTEMPTS: usize = 5;

/// Kinds of device that see the packets of the device they stand on.
const STACKED: [&str; 7] = ["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "virt_wifi", "rmnet"];

/// Messages in one datagram: type, flags, payload. Stops at the first one that
/// is cut off.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = (NetlinkHeader, &[u8])> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let buffer = NetlinkBuffer::new_checked(rest).ok()?;
        let header = NetlinkHeader::parse(&NetlinkBuffer::new(&rest)).ok()?;
        let payload = buffer.payload();
        let length = usize::try_from(buffer.length()).ok()?.next_multiple_of(4);
        rest = rest.get(length..).unwrap_or_default();
        Some((header, payload))
    })
}

/// A netlink socket for questions and answers.
pub(super) struct Route {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Route {
    pub(super) fn open() -> io::Result<Route> {
        Route::open_of(NETLINK_ROUTE)
    }

    /// The same of another family of netlink.
    pub(super) fn open_of(protocol: isize) -> io::Result<Route> {
        let socket = Socket::new(protocol)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        use rustix::net::sockopt::{Timeout, set_socket_timeout};
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        Ok(Route { socket, sequence: 0, buffer: Vec::new() })
    }

    /// Sends `question` and gives each answer's header and payload to `each`.
    pub(super) fn ask<M: NetlinkSerializable>(
        &mut self,
        question: M,
        flags: u16,
        mut each: impl FnMut(NetlinkHeader, &[u8]),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message =
            NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::InnerMessage(question));
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        self.buffer.clear();
        self.buffer.resize(message.buffer_len(), 0);
        message.serialize(&mut self.buffer);
        self.socket.send(&self.buffer, 0)?;
        let dump = flags & NLM_F_DUMP == NLM_F_DUMP;
        loop {
            self.buffer.clear();
            self.buffer.reserve(DATAGRAM);
            self.socket.recv(&mut self.buffer, 0)?;
            let mut answered = false;
            for (header, payload) in messages(&self.buffer) {
                // What is left of a question that ended early.
                if header.sequence_number != self.sequence {
                    continue;
                }
                match header.message_type {
                    NLMSG_DONE | NLMSG_ERROR => return error_of(payload),
                    _ => each(header, payload),
                }
                answered = true;
            }
            if answered && !dump {
                return Ok(());
            }
        }
    }
}

/// The negative errno that NLMSG_ERROR and NLMSG_DONE begin with; 0 is none.
fn error_of(payload: &[u8]) -> io::Result<()> {
    let code = payload.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code.saturating_neg())) }
}

/// What one link message says, before indices are names.
#[derive(Clone, Debug)]
pub(super) struct RawLink {
    pub(super) link: Link,
    pub(super) master: Option<u32>,
    parent: Option<u32>,
    parent_device: bool,
    pub(super) bond: Option<RawBond>,
    pub(super) slave: Option<Slave>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawBond {
    bond: Bond,
    active: Option<u32>,
}

/// Decodes a link message's payload. `None`: no name in it, cut off, or a
/// family's own message: a port that leaves a bridge is told to this very group
/// as an RTM_DELLINK of AF_BRIDGE, and is not gone.
pub(super) fn parse_link(payload: &[u8]) -> Option<RawLink> {
    let header = LinkHeader::parse(payload).ok()?;
    if header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let flags = header.flags.bits();
    let up = flags & libc::IFF_UP.cast_unsigned() != 0;
    let loopback = flags & libc::IFF_LOOPBACK.cast_unsigned() != 0;
    let kind = Kind::from_hardware(u16::from(header.link_layer_type), loopback);
    let mut raw = RawLink {
        link: Link {
            name: String::new(),
            alternative_names: Vec::new(),
            index: header.index,
            mac: None,
            kind,
            device: None,
            speed_bits_per_second: None,
            full_duplex: None,
            physical: false,
            up,
            carrier: None,
            bond: None,
            master: None,
            lower: Vec::new(),
            mtu: 0,
            addresses: Vec::new(),
        },
        master: None,
        parent: None,
        parent_device: false,
        bond: None,
        slave: None,
    };
    let mut elsewhere = false;
    for attribute in NlasIterator::new(payload.get(LINK_HEADER..)?) {
        let Ok(attribute) = attribute else { break };
        let Ok(attribute) = LinkAttribute::parse_with_param(&attribute, header.interface_family) else {
            continue;
        };
        match attribute {
            LinkAttribute::IfName(name) => raw.link.name = name,
            LinkAttribute::PropList(list) => {
                raw.link.alternative_names = list.into_iter().filter_map(alternative_name).collect();
            }
            LinkAttribute::Address(bytes) => raw.link.mac = bytes.try_into().ok(),
            LinkAttribute::Mtu(mtu) => raw.link.mtu = mtu,
            LinkAttribute::Carrier(carrier) if up => raw.link.carrier = Some(carrier != 0),
            LinkAttribute::Controller(index) => raw.master = Some(index).filter(|index| *index != 0),
            LinkAttribute::Link(index) => raw.parent = Some(index),
            LinkAttribute::LinkNetNsId(_) => elsewhere = true,
            LinkAttribute::ParentDevName(_) => raw.parent_device = true,
            LinkAttribute::LinkInfo(infos) => take_info(&mut raw, infos),
            _ => {}
        }
    }
    let stacked = raw.link.device.as_deref().is_some_and(|device| STACKED.contains(&device));
    if elsewhere || !stacked {
        raw.parent = None;
    }
    (!raw.link.name.is_empty()).then_some(raw)
}

fn alternative_name(property: Prop) -> Option<String> {
    if let Prop::AltIfName(name) = property { Some(name) } else { None }
}

fn take_info(raw: &mut RawLink, infos: Vec<LinkInfo>) {
    for info in infos {
        match info {
            LinkInfo::Kind(kind) => raw.link.device = Some(kind.to_string()),
            LinkInfo::Data(InfoData::Bond(infos)) => raw.bond = Some(bond_of(infos)),
            LinkInfo::PortData(InfoPortData::BondPort(infos)) => raw.slave = Some(slave_of(infos)),
            _ => {}
        }
    }
}

fn bond_of(infos: Vec<InfoBond>) -> RawBond {
    let mut active = None;
    let mut bond = Bond {
        name: String::new(),
        mode: String::new(),
        xmit_hash_policy: None,
        slaves: Vec::new(),
        slaves_in_order: false,
        active_slave: None,
        active_aggregator: None,
        aggregator_ports: None,
        lacp_rate: None,
        partner_mac: None,
        tlb_dynamic: None,
    };
    for info in infos {
        match info {
            InfoBond::Mode(mode) => bond.mode = mode.to_string(),
            InfoBond::ActivePort(index) => active = Some(index),
            InfoBond::XmitHashPolicy(policy) => bond.xmit_hash_policy = Some(policy.to_string()),
            InfoBond::AdLacpRate(rate) => bond.lacp_rate = Some(rate.to_string()),
            InfoBond::TlbDynamicLb(dynamic) => bond.tlb_dynamic = Some(dynamic),
            InfoBond::AdInfo(infos) => {
                for info in infos {
                    match info {
                        BondAdInfo::Aggregator(id) => bond.active_aggregator = Some(id),
                        BondAdInfo::NumPorts(ports) => bond.aggregator_ports = Some(ports),
                        BondAdInfo::PartnerMac(mac) => bond.partner_mac = Some(mac),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if bond.mode != "802.3ad" {
        bond.lacp_rate = None;
    }
    RawBond { bond, active }
}

fn slave_of(infos: Vec<InfoBondPort>) -> Slave {
    let mut slave = Slave::default();
    for info in infos {
        match info {
            InfoBondPort::MiiStatus(status) => slave.line_up = Some(status == MiiStatus::Up),
            InfoBondPort::BondPortState(state) => slave.active = Some(state == BondPortState::Active),
            InfoBondPort::AdAggregatorId(id) => slave.aggregator = Some(id),
            InfoBondPort::QueueId(id) => slave.queue_id = Some(id),
            InfoBondPort::LinkFailureCount(count) => slave.link_failures = Some(count),
            InfoBondPort::PermHwaddr(bytes) => slave.permanent_mac = bytes.try_into().ok(),
            _ => {}
        }
    }
    slave
}

/// An address message: interface index, address, prefix length.
pub(super) fn parse_address(payload: &[u8]) -> Option<(u32, IpAddr, u8)> {
    let message = <AddressMessage as Parseable<[u8]>>::parse(payload).ok()?;
    let (mut local, mut address) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => address = Some(*ip),
            _ => {}
        }
    }
    // On point-to-point interfaces IFA_ADDRESS is the other side's (if_addr.h).
    Some((message.header.index, local.or(address)?, message.header.prefix_len))
}

/// All links as netlink has them, by index, with their addresses.
pub(super) fn dump(route: &mut Route) -> io::Result<BTreeMap<u32, RawLink>> {
    let mut raw = BTreeMap::new();
    for _ in 0..DUMP_ATTEMPTS {
        raw.clear();
        let mut torn = false;
        let question = RouteNetlinkMessage::GetLink(LinkMessage::default());
        route.ask(question, NLM_F_DUMP, |header, payload| {
            torn |= header.flags & NLM_F_DUMP_INTR != 0;
            if let Some(link) = parse_link(payload).filter(|_| header.message_type == RTM_NEWLINK) {
                raw.insert(link.link.index, link);
            }
        })?;
        let question = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        route.ask(question, NLM_F_DUMP, |header, payload| {
            torn |= header.flags & NLM_F_DUMP_INTR != 0;
            if let Some((index, address, prefix)) = parse_address(payload)
                && let Some(raw) = raw.get_mut(&index)
            {
                raw.link.addresses.push((address, prefix));
            }
        })?;
        if !torn {
            break;
        }
    }
    Ok(raw)
}

/// All interfaces and bonds of this network namespace.
pub(super) fn read(root: &Root) -> io::Result<Interfaces> {
    let raw = dump(&mut Route::open()?)?;
    let name_of = |index: u32| raw.get(&index).map(|raw| raw.link.name.clone());
    let mut read = Interfaces::default();
    for entry in raw.values() {
        let mut link = entry.link.clone();
        let seen = sysfs::shows(root, &link.name, link.index, link.mac);
        link.physical = entry.parent_device || (seen && sysfs::has_device(root, &link.name));
        let line = match ethtool::line(&link.name) {
            Ok(line) => line,
            Err(_) if seen => sysfs::read_line(root, &link.name),
            Err(_) => ethtool::Line::default(),
        };
        (link.speed_bits_per_second, link.full_duplex) = (line.speed, line.full_duplex);
        link.master = entry.master.and_then(name_of);
        link.bond = entry
            .master
            .and_then(|index| raw.get(&index))
            .filter(|master| is_bond(master))
            .map(|master| master.link.name.clone());
        let members = raw.values().filter(|other| other.master == Some(link.index));
        link.lower = members.map(|member| member.link.name.clone()).collect();
        link.lower.extend(entry.parent.filter(|parent| *parent != link.index).and_then(name_of));
        if is_bond(entry)
            && let Some(mut bond) = bond_from(root, &raw, entry, seen)
        {
            churn::read(root, &mut bond);
            read.bonds.push(bond);
        }
        read.links.push(link);
    }
    Ok(read)
}

fn is_bond(raw: &RawLink) -> bool {
    raw.link.device.as_deref() == Some("bond")
}

/// A bond with its slaves; sysfs gives their order, and all of it where the
/// netlink attributes could not be decoded.
fn bond_from(root: &Root, raw: &BTreeMap<u32, RawLink>, entry: &RawLink, seen: bool) -> Option<Bond> {
    let told = if seen { sysfs::read_bond(root, &entry.link.name) } else { None };
    let Some(RawBond { mut bond, active }) = entry.bond.clone() else { return told };
    bond.name = entry.link.name.clone();
    bond.active_slave = active.and_then(|index| raw.get(&index)).map(|raw| raw.link.name.clone());
    for member in raw.values().filter(|other| other.master == Some(entry.link.index)) {
        let slave = member.slave.clone().unwrap_or_default();
        bond.slaves.push(Slave { name: member.link.name.clone(), ..slave });
    }
    if let Some(told) = told {
        let place = |name: &str| told.slaves.iter().position(|slave| slave.name == name);
        bond.slaves_in_order = told.slaves.len() == bond.slaves.len()
            && bond.slaves.iter().all(|slave| place(&slave.name).is_some());
        if bond.slaves_in_order {
            bond.slaves.sort_by_key(|slave| place(&slave.name));
        }
    }
    Some(bond)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An attribute as the kernel writes it: length, type, value, padding.
    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len() + 4).expect("a short value");
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// `struct ifinfomsg` (Ethernet, up) and attributes.
    fn link_message(family: u8, index: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![family, 0, 1, 0];
        bytes.extend_from_slice(&index.to_ne_bytes());
        bytes.extend_from_slice(&0x1043_u32.to_ne_bytes());
        bytes.extend_from_slice(&0_u32.to_ne_bytes());
        bytes.extend(attributes.iter().flatten());
        bytes
    }

    // Numbers of if_link.h.
    const ADDRESS: u16 = 1;
    const IFNAME: u16 = 3;
    const MTU: u16 = 4;
    const LINK: u16 = 5;
    const MASTER: u16 = 10;
    const LINKINFO: u16 = 18;
    const CARRIER: u16 = 33;
    const LINK_NETNSID: u16 = 37;

    fn bond_message() -> Vec<u8> {
        // IFLA_INFO_KIND and IFLA_INFO_DATA with IFLA_BOND_MODE, _ACTIVE_SLAVE,
        // _XMIT_HASH_POLICY, _AD_LACP_RATE, _AD_INFO, _TLB_DYNAMIC_LB.
        let ad_info = [
            attribute(1, &3_u16.to_ne_bytes()),
            attribute(2, &2_u16.to_ne_bytes()),
            attribute(5, &[0, 0x1b, 0x21, 0xaa, 0xbb, 0xcc]),
        ];
        let data = [
            attribute(1, &[4]),
            attribute(2, &2_u32.to_ne_bytes()),
            attribute(14, &[1]),
            attribute(21, &[1]),
            attribute(23, &ad_info.concat()),
            attribute(27, &[1]),
        ];
        let info = [attribute(1, b"bond\0"), attribute(2, &data.concat())].concat();
        link_message(0, 7, &[attribute(IFNAME, b"bond0\0"), attribute(LINKINFO, &info)])
    }

    fn slave_message() -> Vec<u8> {
        // IFLA_INFO_SLAVE_KIND and _DATA with IFLA_BOND_SLAVE_STATE,
        // _MII_STATUS, _LINK_FAILURE_COUNT, _PERM_HWADDR, _QUEUE_ID, _AD_AGGREGATOR_ID.
        let data = [
            attribute(1, &[0]),
            attribute(2, &[0]),
            attribute(3, &9_u32.to_ne_bytes()),
            attribute(4, &[2, 0, 0, 0, 0, 5]),
            attribute(5, &1_u16.to_ne_bytes()),
            attribute(6, &3_u16.to_ne_bytes()),
        ];
        let info = [attribute(4, b"bond\0"), attribute(5, &data.concat())].concat();
        let attributes = [
            attribute(IFNAME, b"eth0\0"),
            attribute(ADDRESS, &[2, 0, 0, 0, 0, 1]),
            attribute(MTU, &9000_u32.to_ne_bytes()),
            attribute(MASTER, &7_u32.to_ne_bytes()),
            attribute(CARRIER, &[1]),
            attribute(LINKINFO, &info),
        ];
        link_message(0, 2, &attributes)
    }

    fn raw(messages: &[Vec<u8>]) -> BTreeMap<u32, RawLink> {
        let parsed = messages.iter().map(|message| parse_link(message).expect("a link"));
        parsed.map(|raw| (raw.link.index, raw)).collect()
    }

    #[test]
    fn a_bond_and_its_slave_by_their_attributes() {
        let raw = raw(&[bond_message(), slave_message()]);
        let bond = bond_from(&Root::at("/nonexistent"), &raw, &raw[&7], false).expect("a bond");
        assert_eq!(
            bond,
            Bond {
                name: "bond0".into(),
                mode: "802.3ad".into(),
                xmit_hash_policy: Some("layer3+4".into()),
                slaves: vec![Slave {
                    name: "eth0".into(),
                    line_up: Some(true),
                    active: Some(true),
                    aggregator: Some(3),
                    queue_id: Some(1),
                    link_failures: Some(9),
                    permanent_mac: Some([2, 0, 0, 0, 0, 5]),
                    churn: None,
                }],
                slaves_in_order: false,
                active_slave: Some("eth0".into()),
                active_aggregator: Some(3),
                aggregator_ports: Some(2),
                lacp_rate: Some("fast".into()),
                partner_mac: Some([0, 0x1b, 0x21, 0xaa, 0xbb, 0xcc]),
                tlb_dynamic: Some(true),
            }
        );
        assert_eq!(bond.usable().count(), 1);
        let link = &raw[&2].link;
        assert_eq!((link.mtu, link.carrier, link.mac), (9000, Some(true), Some([2, 0, 0, 0, 0, 1])));
    }

    #[test]
    fn sysfs_gives_the_order_of_slaves_only_if_they_are_the_same() {
        let second =
            link_message(0, 3, &[attribute(IFNAME, b"eth1\0"), attribute(MASTER, &7_u32.to_ne_bytes())]);
        let raw = raw(&[bond_message(), slave_message(), second]);
        let tree = tempfile::tempdir().expect("a directory");
        let at = tree.path().join("sys/class/net/bond0/bonding");
        std::fs::create_dir_all(&at).expect("a directory");
        std::fs::write(at.join("mode"), "802.3ad 4\n").expect("a file");
        for (slaves, order, in_order) in [
            ("eth1 eth0\n", ["eth1", "eth0"], true),
            ("eth0 eth1\n", ["eth0", "eth1"], true),
            ("eth1\n", ["eth0", "eth1"], false),
            ("eth1 eth2\n", ["eth0", "eth1"], false),
        ] {
            std::fs::write(at.join("slaves"), slaves).expect("a file");
            let bond = bond_from(&Root::at(tree.path()), &raw, &raw[&7], true).expect("a bond");
            let names: Vec<&str> = bond.slaves.iter().map(|slave| slave.name.as_str()).collect();
            assert_eq!((names.as_slice(), bond.slaves_in_order), (&order[..], in_order), "{slaves}");
        }
    }

    #[test]
    fn what_is_not_understood_costs_itself_alone() {
        // A MTU of three bytes, an attribute of a later kernel, a last one cut off.
        let mut message = link_message(
            0,
            4,
            &[
                attribute(MTU, &[1, 2, 3]),
                attribute(999, &[1]),
                attribute(IFNAME, b"eth4\0"),
                attribute(LINKINFO, &[attribute(1, b"vlan\0")].concat()),
                attribute(LINK, &2_u32.to_ne_bytes()),
            ],
        );
        message.extend_from_slice(&[200, 0, 4, 0, 1]);
        let link = parse_link(&message).expect("a link");
        assert_eq!((link.link.name.as_str(), link.link.mtu, link.parent), ("eth4", 0, Some(2)));
        // The parent is in another namespace, where 2 is another device.
        let there = link_message(
            0,
            4,
            &[
                attribute(IFNAME, b"eth4\0"),
                attribute(LINKINFO, &[attribute(1, b"vlan\0")].concat()),
                attribute(LINK, &2_u32.to_ne_bytes()),
                attribute(LINK_NETNSID, &0_u32.to_ne_bytes()),
            ],
        );
        assert_eq!(parse_link(&there).expect("a link").parent, None);
        let bridge = u8::try_from(libc::AF_BRIDGE).expect("a byte");
        assert!(parse_link(&link_message(bridge, 4, &[attribute(IFNAME, b"eth4\0")])).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_panic_or_an_endless_loop(
            which in 0..3_usize,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
            noise in prop::collection::vec(any::<u8>(), 0..200),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = vec![bond_message(), slave_message(), noise].swap_remove(which);
            for (place, byte) in changes {
                if !bytes.is_empty() {
                    let place = place.index(bytes.len());
                    bytes[place] = byte;
                }
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            let _ = parse_link(&bytes);
            let _ = parse_address(&bytes);
            prop_assert!(messages(&bytes).count() <= bytes.len() / 16);
            let _ = error_of(&bytes);
        }
    }
}
