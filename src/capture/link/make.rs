//! Interfaces made for a pretended network, by rtnetlink.
//!
//! Meant for a namespace of the process's own: nothing here is removed again, as
//! interfaces go with their namespace.
//! Sources: rtnetlink(7), drivers/net/{veth.c,bonding/bond_netlink.c}.

use super::netlink::Route;
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    BondMode, BondXmitHashPolicy, InfoBond, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};
use rustix::net::{AddressFamily, SocketType};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// An interface that is to be.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// At most 15 bytes.
    pub name: &'a str,
    /// Its own link-layer address.
    pub mac: [u8; 6],
    /// Bytes of its largest packet.
    pub mtu: u32,
    /// Whether it is to be up at once.
    pub up: bool,
}

impl New<'_> {
    fn message(&self) -> LinkMessage {
        let mut message = LinkMessage::default();
        if self.up {
            (message.header.flags, message.header.change_mask) = (LinkFlags::Up, LinkFlags::Up);
        }
        message.attributes = vec![
            LinkAttribute::IfName(self.name.to_owned()),
            LinkAttribute::Address(self.mac.to_vec()),
            LinkAttribute::Mtu(self.mtu),
        ];
        message
    }

    fn make(&self, kind: InfoKind, data: InfoData) -> io::Result<()> {
        let mut message = self.message();
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(data)]));
        let flags = NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK;
        Route::open()?.ask(RouteNetlinkMessage::NewLink(message), flags, |_, _| {})
    }

    /// A pair: this one here, `peer` in the namespace `there`, where it has to be put up
    /// later ([`put_up`]): the driver ties the two after it has made the peer.
    ///
    /// # Errors
    /// The kernel's: EPERM, EOPNOTSUPP where it has no such driver, EEXIST.
    pub fn veth(&self, peer: &New<'_>, there: BorrowedFd<'_>) -> io::Result<()> {
        let mut far = peer.message();
        far.attributes.push(LinkAttribute::NetNsFd(there.as_raw_fd()));
        self.make(InfoKind::Veth, InfoData::Veth(InfoVeth::Peer(far)))
    }

    /// A bond of mode balance-xor with the hash policy layer2.
    ///
    /// # Errors
    /// As [`New::veth`].
    pub fn bond(&self) -> io::Result<()> {
        let infos =
            vec![InfoBond::Mode(BondMode::BalanceXor), InfoBond::XmitHashPolicy(BondXmitHashPolicy::Layer2)];
        self.make(InfoKind::Bond, InfoData::Bond(infos))
    }
}

/// Puts an interface up.
///
/// # Errors
/// The kernel's.
pub fn put_up(name: &str) -> io::Result<()> {
    let mut message = LinkMessage::default();
    (message.header.flags, message.header.change_mask) = (LinkFlags::Up, LinkFlags::Up);
    message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    Route::open()?.ask(RouteNetlinkMessage::SetLink(message), NLM_F_ACK, |_, _| {})
}

/// Makes the interface `slave`, which is down, one of the bond `bond`.
///
/// # Errors
/// The kernel's.
pub fn enslave(slave: &str, bond: &str) -> io::Result<()> {
    let asks = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let index = rustix::net::netdevice::name_to_index(&asks, bond)?;
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::IfName(slave.to_owned()), LinkAttribute::Controller(index)];
    Route::open()?.ask(RouteNetlinkMessage::SetLink(message), NLM_F_ACK, |_, _| {})
}

/// Keeps the kernel's own IPv6 off interfaces that are made from now on in the
/// calling thread's namespace: nothing but what is meant is sent there. Where the
/// kernel has no IPv6 there is nothing to keep off.
pub fn without_ipv6() {
    for which in ["all", "default"] {
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1");
    }
}
