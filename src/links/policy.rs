//! The bonding driver's transmit hash policies, as kernels of several ages
//! compute them.
//!
//! A hash says where a bond sends a packet: `hash % count` is the place in the
//! list of its usable slaves. Three things changed in time (and are carried to
//! older kernels by stable trees and distributions, so no version number tells
//! which hold): [`Ethertype`], [`Icmp`], [`Shift`]. [`CHOICES`] has every
//! policy under every kernel that can make a difference to it.
//!
//! Knows no frames (`header`), no bond and no slaves. Words are the packet's
//! bytes as this host reads memory, which is the host that sends.
//!
//! Sources: Documentation/networking/bonding.rst (`xmit_hash_policy`);
//! drivers/net/bonding/bond_main.c (`bond_xmit_hash`, `bond_ip_hash`; commits
//! b5f862180d70 of 4.15, 58deb77cc52d of 5.5, a25f82228542 of 5.12, a815bde56b15
//! of 5.15, 49aefd131739 of 5.16).

use super::header::{Header, Inside, Quoted, Word};
use std::net::IpAddr;

/// A transmit hash policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Policy {
    /// MAC addresses and ethertype.
    Layer2,
    /// These and IP addresses.
    Layer23,
    /// IP addresses and ports.
    Layer34,
    /// As `Layer23`, of what is inside a tunnel.
    Encap23,
    /// As `Layer34`, of what is inside a tunnel.
    Encap34,
    /// Outermost VLAN tag and source MAC address (5.12 and later).
    VlanSrcmac,
}

/// How many policies there are.
pub const POLICIES: usize = 6;

impl Policy {
    /// All of them, in the driver's order but for the encap ones, which come
    /// last: they need more of a packet, and are the same where nothing is in a tunnel.
    pub const ALL: [Policy; POLICIES] = [
        Policy::Layer2,
        Policy::Layer23,
        Policy::Layer34,
        Policy::VlanSrcmac,
        Policy::Encap23,
        Policy::Encap34,
    ];

    /// Its name in the driver's words.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Layer2 => "layer2",
            Policy::Layer23 => "layer2+3",
            Policy::Layer34 => "layer3+4",
            Policy::Encap23 => "encap2+3",
            Policy::Encap34 => "encap3+4",
            Policy::VlanSrcmac => "vlan+srcmac",
        }
    }

    /// From the driver's words; `None` for a policy of a later kernel.
    pub fn from_name(name: &str) -> Option<Policy> {
        Policy::ALL.into_iter().find(|policy| policy.name() == name)
    }

    /// Whether it looks at ports.
    pub fn has_ports(self) -> bool {
        matches!(self, Policy::Layer34 | Policy::Encap34)
    }

    /// Whether it looks into tunnels.
    pub fn has_tunnels(self) -> bool {
        matches!(self, Policy::Encap23 | Policy::Encap34)
    }

    /// Whether packets do not tell all that it hashes: `encap3+4` takes the
    /// hash of the local socket where there is one, which is a random number.
    pub fn is_statistical(self) -> bool {
        self == Policy::Encap34
    }
}

/// How the ethertype goes into the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ethertype {
    /// As a number: 5.15 and later.
    Number,
    /// As it stands in memory: before.
    Raw,
}

/// What the kernel makes of ICMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Icmp {
    /// The id of an echo counts as a number, an error goes where what it quotes goes: 5.12 and later.
    Id,
    /// The same with the id as it stands in memory: 5.5 to 5.11.
    RawId,
    /// A protocol like any other without ports: before 5.5.
    Unknown,
}

/// Whether the lowest bit is thrown away in the end (clients take even ports).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shift {
    /// By the policies that look at ports: 5.16 and later.
    Ports,
    /// By all that look at IP addresses: 4.15 to 5.15.
    Always,
    /// By none: before 4.15.
    Never,
}

/// What a kernel of some age does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// See the type.
    pub ethertype: Ethertype,
    /// See the type.
    pub icmp: Icmp,
    /// See the type.
    pub shift: Shift,
}

impl Kernel {
    /// Kernels of today, since 5.16.
    pub const NEW: Kernel = Kernel { ethertype: Ethertype::Number, icmp: Icmp::Id, shift: Shift::Ports };

    /// What a kernel of this version does, if nobody carried a change to it that
    /// is younger: what it is taken for until something is seen.
    pub fn of_version(major: u32, minor: u32) -> Kernel {
        let since = |a, b| (major, minor) >= (a, b);
        let ethertype = if since(5, 15) { Ethertype::Number } else { Ethertype::Raw };
        let icmp = match (since(5, 12), since(5, 5)) {
            (true, _) => Icmp::Id,
            (false, true) => Icmp::RawId,
            (false, false) => Icmp::Unknown,
        };
        let shift = match (since(5, 16), since(4, 15)) {
            (true, _) => Shift::Ports,
            (false, true) => Shift::Always,
            (false, false) => Shift::Never,
        };
        Kernel { ethertype, icmp, shift }
    }

    /// All, those of today first: what comes first is believed where several fit.
    pub fn all() -> impl Iterator<Item = Kernel> {
        [Ethertype::Number, Ethertype::Raw].into_iter().flat_map(|ethertype| {
            [Icmp::Id, Icmp::RawId, Icmp::Unknown].into_iter().flat_map(move |icmp| {
                let shifts = [Shift::Ports, Shift::Always, Shift::Never].into_iter();
                shifts.map(move |shift| Kernel { ethertype, icmp, shift })
            })
        })
    }
}

/// A policy as a kernel of some age has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Choice {
    /// The policy.
    pub policy: Policy,
    /// The age.
    pub kernel: Kernel,
}

impl Choice {
    /// The policy of a kernel of today.
    pub const fn new(policy: Policy) -> Choice {
        Choice { policy, kernel: Kernel::NEW }
    }

    const fn of(policy: Policy, ethertype: Ethertype, icmp: Icmp, shift: Shift) -> Choice {
        Choice { policy, kernel: Kernel { ethertype, icmp, shift } }
    }

    /// The one that stands for all choices with the same hashes: where a trait
    /// makes no difference to a policy it is that of today. Where frames are
    /// not IP a policy is layer2, so the ethertype makes one to all but one.
    pub fn canonical(self) -> Choice {
        let Choice { policy, mut kernel } = self;
        if policy == Policy::VlanSrcmac {
            return Choice::new(policy);
        }
        if policy == Policy::Layer2 {
            (kernel.icmp, kernel.shift) = (Icmp::Id, Shift::Ports);
        }
        match (policy, kernel.icmp) {
            // Only the addresses of errors.
            (Policy::Layer23, Icmp::RawId) => kernel.icmp = Icmp::Id,
            (Policy::Encap23, _) => kernel.icmp = Icmp::Id,
            _ => {}
        }
        match kernel.shift {
            Shift::Always if policy.has_ports() => kernel.shift = Shift::Ports,
            Shift::Never if !policy.has_ports() => kernel.shift = Shift::Ports,
            _ => {}
        }
        Choice { policy, kernel }
    }

    /// The hash of a packet.
    pub fn hash(self, header: &Header) -> u32 {
        let Choice { policy, kernel } = self;
        let seen = match policy {
            Policy::Layer2 => None,
            Policy::VlanSrcmac => return vlan_srcmac(header),
            _ if policy.has_tunnels() => seen_inside(header),
            _ => seen_outside(header, kernel.icmp),
        };
        let ethernet = ethernet(header, kernel.ethertype);
        let Some((addresses, word)) = seen else { return ethernet };
        let start = if policy.has_ports() { word_of(word, kernel.icmp) } else { ethernet };
        let mut hash = start ^ addresses;
        hash ^= hash >> 16;
        hash ^= hash >> 8;
        match kernel.shift {
            Shift::Never => hash,
            Shift::Ports if !policy.has_ports() => hash,
            Shift::Ports | Shift::Always => hash >> 1,
        }
    }
}

/// How many [`CHOICES`] there are.
pub const CHOICE_COUNT: usize = 23;

/// Each policy under each kernel that there has been and that differs; within a
/// policy the newest first.
///
/// Of [`Kernel::all`] those are left out that nobody had: without a shift
/// everything else is old too, and who reads the ethertype as a number has
/// known ICMP ids as numbers for long.
pub const CHOICES: [Choice; CHOICE_COUNT] = {
    use Ethertype::{Number, Raw};
    use Icmp::{Id, RawId, Unknown};
    use Policy::{Encap23, Encap34, Layer2, Layer23, Layer34, VlanSrcmac};
    use Shift::{Always, Never, Ports};
    [
        Choice::of(Layer2, Number, Id, Ports),
        Choice::of(Layer2, Raw, Id, Ports),
        Choice::of(Layer23, Number, Id, Ports),
        Choice::of(Layer23, Number, Id, Always),
        Choice::of(Layer23, Raw, Id, Ports),
        Choice::of(Layer23, Raw, Id, Always),
        Choice::of(Layer23, Raw, Unknown, Ports),
        Choice::of(Layer23, Raw, Unknown, Always),
        Choice::of(Layer34, Number, Id, Ports),
        Choice::of(Layer34, Raw, Id, Ports),
        Choice::of(Layer34, Raw, RawId, Ports),
        Choice::of(Layer34, Raw, Unknown, Ports),
        Choice::of(Layer34, Raw, Unknown, Never),
        Choice::of(VlanSrcmac, Number, Id, Ports),
        Choice::of(Encap23, Number, Id, Ports),
        Choice::of(Encap23, Number, Id, Always),
        Choice::of(Encap23, Raw, Id, Ports),
        Choice::of(Encap23, Raw, Id, Always),
        Choice::of(Encap34, Number, Id, Ports),
        Choice::of(Encap34, Raw, Id, Ports),
        Choice::of(Encap34, Raw, RawId, Ports),
        Choice::of(Encap34, Raw, Unknown, Ports),
        Choice::of(Encap34, Raw, Unknown, Never),
    ]
};

/// A packet's hashes, in the order of [`CHOICES`]. They are its flow's, as long
/// as what they are made of stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashes(pub [u32; CHOICE_COUNT]);

impl Hashes {
    /// Those of a packet.
    pub fn of(header: &Header) -> Hashes {
        Hashes(CHOICES.map(|choice| choice.hash(header)))
    }
}

/// The place of the slave that a hash chooses among `count` usable ones, in the
/// driver's order; `None` where there is none.
pub fn slave(hash: u32, count: usize) -> Option<usize> {
    let count = u32::try_from(count).ok()?;
    usize::try_from(hash.checked_rem(count)?).ok()
}

fn ethernet(header: &Header, order: Ethertype) -> u32 {
    let link = &header.link;
    let ethertype = match order {
        Ethertype::Number => link.ethertype,
        Ethertype::Raw => u16::from_ne_bytes(link.ethertype.to_be_bytes()),
    };
    u32::from(link.destination[5] ^ link.source[5]) ^ u32::from(ethertype)
}

fn vlan_srcmac(header: &Header) -> u32 {
    let [a, b, c, d, e, f] = header.link.source;
    let (vendor, device) = (u32::from_be_bytes([0, a, b, c]), u32::from_be_bytes([0, d, e, f]));
    u32::from(header.link.tci.unwrap_or(0)) ^ vendor ^ device
}

/// Addresses (folded) and word that the policies without tunnels look at.
fn seen_outside(header: &Header, icmp: Icmp) -> Option<(u32, Word)> {
    let ip = match (icmp, &header.quoted) {
        (Icmp::Unknown, _) | (_, Quoted::Nothing) => header.own.as_ref()?,
        (_, Quoted::Cut) => return None,
        (_, Quoted::Ip(quoted)) => quoted,
    };
    Some((folded(ip.source) ^ folded(ip.destination), ip.word))
}

/// The same of the encap policies.
fn seen_inside(header: &Header) -> Option<(u32, Word)> {
    match &header.inside {
        Inside::GivenUp => None,
        Inside::NoAddresses => Some((0, Word::None)),
        Inside::Ip(ip) => Some((folded(ip.source) ^ folded(ip.destination), ip.word)),
    }
}

fn word_of(word: Word, icmp: Icmp) -> u32 {
    match word {
        Word::None => 0,
        Word::Ports(ports) => u32::from_ne_bytes(ports),
        Word::Icmp { kind, code, id } => {
            let id = match icmp {
                Icmp::Unknown => return 0,
                Icmp::Id => u16::from_be_bytes(id),
                Icmp::RawId => u16::from_ne_bytes(id),
            };
            // No id at all is told by a 0.
            let [low, high] = id.max(1).to_ne_bytes();
            u32::from_ne_bytes([kind, code, low, high])
        }
    }
}

fn folded(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => u32::from_ne_bytes(address.octets()),
        IpAddr::V6(address) => {
            address.octets().as_chunks::<4>().0.iter().fold(0, |sum, word| sum ^ u32::from_ne_bytes(*word))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::header::{Ip, LinkPair};
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn tcp(ports: [u8; 4]) -> Header {
        let link = LinkPair {
            destination: [2, 0, 0, 0, 0, 0x11],
            source: [0xaa, 0xbb, 0xcc, 1, 2, 0x22],
            ethertype: 0x0800,
            tci: None,
        };
        let ip = Ip {
            source: Ipv4Addr::new(192, 0, 2, 1).into(),
            destination: Ipv4Addr::new(198, 51, 100, 7).into(),
            word: Word::Ports(ports),
        };
        Header { link, own: Some(ip), quoted: Quoted::Nothing, inside: Inside::Ip(ip) }
    }

    /// By hand, after the formulas in bonding.rst, in this byte order.
    #[test]
    fn the_documented_formulas() {
        if cfg!(target_endian = "big") {
            return;
        }
        let header = tcp([0x9c, 0x40, 0x01, 0xbb]);
        let hash = |policy| Choice::new(policy).hash(&header);
        let layer2 = 0x11 ^ 0x22 ^ 0x0800;
        assert_eq!(hash(Policy::Layer2), layer2);
        let (source, destination) = (0x0102_00c0, 0x0764_33c6);
        let fold = |word: u32| {
            let half = word ^ (word >> 16);
            half ^ (half >> 8)
        };
        assert_eq!(hash(Policy::Layer23), fold(layer2 ^ source ^ destination));
        assert_eq!(hash(Policy::Layer34), fold(0xbb01_409c ^ source ^ destination) >> 1);
        assert_eq!(hash(Policy::Encap23), hash(Policy::Layer23));
        assert_eq!(hash(Policy::Encap34), hash(Policy::Layer34));
        assert_eq!(hash(Policy::VlanSrcmac), 0xaabbcc ^ 0x010222);
        let tagged = Header { link: LinkPair { tci: Some(0xe00a), ..header.link }, ..header };
        assert_eq!(Choice::new(Policy::VlanSrcmac).hash(&tagged), 0xaabbcc ^ 0x010222 ^ 0xe00a);
        assert_eq!(Choice::new(Policy::Layer34).hash(&tagged), hash(Policy::Layer34));
    }

    #[test]
    fn an_error_goes_where_what_it_quotes_goes() {
        let quoted = tcp([1, 2, 3, 4]);
        let mut error = tcp([0; 4]);
        error.own =
            error.own.map(|ip| Ip { source: Ipv4Addr::new(203, 0, 113, 9).into(), word: Word::None, ..ip });
        error.inside = error.own.map_or(Inside::GivenUp, Inside::Ip);
        let plain = error;
        error.quoted = quoted.own.map_or(Quoted::Cut, Quoted::Ip);
        let old = Kernel { ethertype: Ethertype::Raw, icmp: Icmp::Unknown, shift: Shift::Ports };
        for policy in [Policy::Layer23, Policy::Layer34] {
            assert_eq!(Choice::new(policy).hash(&error), Choice::new(policy).hash(&quoted));
            let old = Choice { policy, kernel: old };
            assert_eq!(old.hash(&error), old.hash(&plain));
            let cut = Header { quoted: Quoted::Cut, ..error };
            assert_eq!(Choice::new(policy).hash(&cut), Choice::new(Policy::Layer2).hash(&cut));
        }
        assert_eq!(Choice::new(Policy::Encap34).hash(&error), Choice::new(Policy::Encap34).hash(&plain));
    }

    #[test]
    fn an_echo_s_id_is_a_number_and_never_none() {
        let echo = |id| {
            let header = tcp([0; 4]);
            let ip = header.own.map(|ip| Ip { word: Word::Icmp { kind: 8, code: 0, id }, ..ip });
            Header { own: ip, ..header }
        };
        let hash = |icmp, id| {
            let kernel = Kernel { ethertype: Ethertype::Raw, icmp, shift: Shift::Never };
            Choice { policy: Policy::Layer34, kernel }.hash(&echo(id))
        };
        assert_eq!(hash(Icmp::Id, [0, 0]), hash(Icmp::Id, [0, 1]));
        assert_ne!(hash(Icmp::Id, [0, 0]), hash(Icmp::Unknown, [0, 0]));
        assert_eq!(hash(Icmp::Unknown, [0, 7]), hash(Icmp::Unknown, [0, 0]));
        if cfg!(target_endian = "little") {
            assert_eq!(hash(Icmp::Id, [1, 2]), hash(Icmp::RawId, [2, 1]));
        }
    }

    #[test]
    fn choices_are_all_kernels_that_were_each_once() {
        let was = |kernel: &Kernel| match (kernel.shift, kernel.ethertype) {
            (Shift::Never, _) => kernel.ethertype == Ethertype::Raw && kernel.icmp == Icmp::Unknown,
            (_, Ethertype::Number) => kernel.icmp == Icmp::Id,
            _ => true,
        };
        let mut expected: Vec<Choice> = Vec::new();
        for policy in Policy::ALL {
            for kernel in Kernel::all().filter(was) {
                let choice = Choice { policy, kernel }.canonical();
                if !expected.contains(&choice) {
                    expected.push(choice);
                }
            }
        }
        assert_eq!(expected, CHOICES);
        assert_eq!(Kernel::all().next(), Some(Kernel::NEW));
    }

    #[test]
    fn versions_and_what_changed_in_them() {
        let of = |major, minor| {
            let Kernel { ethertype, icmp, shift } = Kernel::of_version(major, minor);
            (ethertype, icmp, shift)
        };
        assert_eq!(of(4, 14), (Ethertype::Raw, Icmp::Unknown, Shift::Never));
        assert_eq!(of(5, 4), (Ethertype::Raw, Icmp::Unknown, Shift::Always));
        assert_eq!(of(5, 10), (Ethertype::Raw, Icmp::RawId, Shift::Always));
        assert_eq!(of(5, 14), (Ethertype::Raw, Icmp::Id, Shift::Always));
        assert_eq!(of(5, 15), (Ethertype::Number, Icmp::Id, Shift::Always));
        assert_eq!(of(6, 1), of(5, 16));
        assert_eq!(Kernel::of_version(6, 18), Kernel::NEW);
    }

    #[test]
    fn names_are_the_driver_s() {
        for policy in Policy::ALL {
            assert_eq!(Policy::from_name(policy.name()), Some(policy));
        }
        assert_eq!(Policy::from_name("srcmac"), None);
    }

    #[test]
    fn a_bond_without_usable_slaves_sends_nowhere() {
        assert_eq!((slave(7, 0), slave(7, 1), slave(7, 3)), (None, Some(0), Some(1)));
        assert_eq!(slave(u32::MAX, 2), Some(1));
    }

    proptest! {
        #[test]
        fn the_canonical_choice_has_the_same_hashes(bytes in prop::collection::vec(any::<u8>(), 14..120), kind in 0..6_usize) {
            let mut bytes = bytes;
            let ethertype = [0x0800_u16, 0x86dd, 0x8100, 0x8864, 0x0806, 0x88b5][kind];
            bytes[12..14].copy_from_slice(&ethertype.to_be_bytes());
            let header = Header::of_frame(&bytes, None).expect("a whole Ethernet header");
            for policy in Policy::ALL {
                for kernel in Kernel::all() {
                    let choice = Choice { policy, kernel };
                    prop_assert_eq!(choice.hash(&header), choice.canonical().hash(&header));
                    prop_assert_eq!(choice.canonical().canonical(), choice.canonical());
                }
            }
        }
    }
}
