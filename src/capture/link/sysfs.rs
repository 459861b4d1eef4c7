//! Interfaces as `/sys/class/net` has them.
//!
//! Used alone for made trees and where netlink does not answer; beside netlink
//! for what only sysfs tells (the order of a bond's slaves) and as the older
//! way for the rest. A file that is missing, or whose reading fails (a down
//! interface answers EINVAL for `carrier` and `speed`), is a value that is not
//! known, never an error: interfaces go while they are read.
//!
//! Sources: Documentation/ABI/testing/sysfs-class-net, -net-statistics;
//! Documentation/networking/bonding.rst; drivers/net/bonding/bond_sysfs*.c.

use super::{Bond, Interfaces, Kind, Link, Root, Slave, churn, read_text};
use crate::capture::sys::ethtool::Line;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Device types whose lower device carries other packets than they do.
const TUNNELS: [&str; 4] = ["vxlan", "geneve", "gre", "macsec"];

/// All interfaces and bonds of the tree.
pub(super) fn read(root: &Root) -> io::Result<Interfaces> {
    let mut links = Vec::new();
    for entry in std::fs::read_dir(root.join("sys/class/net"))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // `bonding_masters` is a file among the directories.
        if let Some(link) = read_link(root, &name) {
            links.push(link);
        }
    }
    links.sort_by_key(|link| link.index);
    let mut bonds: Vec<Bond> = links.iter().filter_map(|link| read_bond(root, &link.name)).collect();
    bonds.iter_mut().for_each(|bond| churn::read(root, bond));
    for link in &mut links {
        link.bond = link.master.clone().filter(|master| bonds.iter().any(|bond| bond.name == *master));
    }
    Ok(Interfaces { links, bonds })
}

/// The directory of an interface.
pub(super) fn directory(root: &Root, name: &str) -> PathBuf {
    root.join("sys/class/net").join(name)
}

/// Whether this tree shows the very interface that netlink told of: the same
/// name, index and address. In another namespace's `/sys` it may be missing,
/// or be a namesake.
pub(super) fn shows(root: &Root, name: &str, index: u32, mac: Option<[u8; 6]>) -> bool {
    let at = directory(root, name);
    number::<u32>(&at, "ifindex") == Some(index) && read_mac(&at.join("address")) == mac
}

fn read_link(root: &Root, name: &str) -> Option<Link> {
    let at = directory(root, name);
    let index = number(&at, "ifindex")?;
    let flags = text(&at, "flags")
        .and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok())
        .unwrap_or(0);
    let up = flags & libc::IFF_UP.cast_unsigned() != 0;
    let loopback = flags & libc::IFF_LOOPBACK.cast_unsigned() != 0;
    let device = text(&at, "uevent")
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("DEVTYPE=").map(str::to_string)));
    let line = read_line(root, name);
    Some(Link {
        name: name.to_string(),
        alternative_names: Vec::new(),
        index,
        mac: read_mac(&at.join("address")),
        kind: Kind::from_hardware(number(&at, "type").unwrap_or(u16::MAX), loopback),
        speed_bits_per_second: line.speed,
        full_duplex: line.full_duplex,
        physical: has_device(root, name),
        up,
        carrier: number::<u8>(&at, "carrier").filter(|_| up).map(|carrier| carrier != 0),
        bond: None,
        master: read_master(&at),
        lower: read_lower(&at, device.as_deref()),
        mtu: number(&at, "mtu").unwrap_or(0),
        addresses: Vec::new(),
        device,
    })
}

/// Speed and duplex of the driver's telling; sysfs has Mbit/s and a word.
pub(super) fn read_line(root: &Root, name: &str) -> Line {
    let at = directory(root, name);
    let megabits = number(&at, "speed").and_then(|megabits: i64| u64::try_from(megabits).ok());
    // Old drivers have -1 as an unsigned 32-bit word.
    let known = megabits.filter(|megabits| (1..u64::from(u32::MAX)).contains(megabits));
    let full_duplex = match text(&at, "duplex").as_deref() {
        Some("full") => Some(true),
        Some("half") => Some(false),
        _ => None,
    };
    Line { speed: known.map(|megabits| megabits * 1_000_000), full_duplex }
}

/// Whether a device (PCI, USB, virtio) stands behind the interface.
pub(super) fn has_device(root: &Root, name: &str) -> bool {
    directory(root, name).join("device").symlink_metadata().is_ok()
}

fn read_master(at: &Path) -> Option<String> {
    let target = std::fs::read_link(at.join("master")).ok()?;
    Some(target.file_name()?.to_str()?.to_string())
}

/// Names behind `lower_*` (every stacked device) and `slave_*` (bonds of
/// kernels before 3.9, which had no `lower_*`).
fn read_lower(at: &Path, device: Option<&str>) -> Vec<String> {
    if device.is_some_and(|device| TUNNELS.contains(&device)) {
        return Vec::new();
    }
    let Ok(entries) = std::fs::read_dir(at) else { return Vec::new() };
    let mut lower: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_prefix("lower_").or(name.strip_prefix("slave_")).map(str::to_string)
        })
        .collect();
    lower.sort();
    lower.dedup();
    lower
}

/// The bond of this name, if it is one.
pub(super) fn read_bond(root: &Root, name: &str) -> Option<Bond> {
    let at = directory(root, name).join("bonding");
    let mode = first_word(&at, "mode")?;
    let slaves = text(&at, "slaves").unwrap_or_default();
    Some(Bond {
        name: name.to_string(),
        xmit_hash_policy: first_word(&at, "xmit_hash_policy"),
        slaves: slaves.split_whitespace().map(|slave| read_slave(root, slave)).collect(),
        slaves_in_order: true,
        active_slave: first_word(&at, "active_slave"),
        // Modes other than 802.3ad have these files, empty.
        active_aggregator: number(&at, "ad_aggregator"),
        aggregator_ports: number(&at, "ad_num_ports"),
        lacp_rate: first_word(&at, "lacp_rate").filter(|_| mode == "802.3ad"),
        partner_mac: read_mac(&at.join("ad_partner_mac")),
        tlb_dynamic: number::<u8>(&at, "tlb_dynamic_lb").map(|dynamic| dynamic != 0),
        mode,
    })
}

fn read_slave(root: &Root, name: &str) -> Slave {
    let at = directory(root, name).join("bonding_slave");
    Slave {
        name: name.to_string(),
        line_up: first_word(&at, "mii_status").map(|status| status == "up"),
        active: first_word(&at, "state").map(|state| state == "active"),
        aggregator: number(&at, "ad_aggregator_id"),
        queue_id: number(&at, "queue_id"),
        link_failures: number(&at, "link_failure_count"),
        permanent_mac: read_mac(&at.join("perm_hwaddr")),
        churn: None,
    }
}

/// `aa:bb:cc:dd:ee:ff`; anything else (none, InfiniBand's twenty bytes) is `None`.
fn read_mac(path: &Path) -> Option<[u8; 6]> {
    let text = read_text(path)?;
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte =
            parts.next().filter(|part| part.len() == 2).and_then(|part| u8::from_str_radix(part, 16).ok())?;
    }
    parts.next().is_none().then_some(mac)
}

fn text(at: &Path, file: &str) -> Option<String> {
    read_text(&at.join(file))
}

fn number<T: FromStr>(at: &Path, file: &str) -> Option<T> {
    text(at, file)?.trim().parse().ok()
}

/// Bonding's files have a word and its number: `802.3ad 4`.
fn first_word(at: &Path, file: &str) -> Option<String> {
    text(at, file)?.split_whitespace().next().map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::super::churn::{Churn, tests::TEXT as CHURN};
    use super::*;
    use std::fs;

    /// Writes files (`path`, content; a content of `-> target` makes a link).
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let tree = tempfile::tempdir().expect("a directory");
        for (path, content) in files {
            let path = tree.path().join("sys/class/net").join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            match content.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, path).expect("a link"),
                None => fs::write(path, content).expect("a file"),
            }
        }
        tree
    }

    /// As bonding.rst and sysfs-class-net have it: two 10G slaves, 802.3ad,
    /// eth1 enslaved first; eth1's line is down; a VLAN on the bond; a veth
    /// that pretends a speed; a tun; a VXLAN on eth0.
    fn bonded() -> tempfile::TempDir {
        tree(&[
            ("bonding_masters", "bond0\n"),
            ("lo/ifindex", "1\n"),
            ("lo/flags", "0x9\n"),
            ("lo/type", "772\n"),
            ("lo/mtu", "65536\n"),
            ("lo/address", "00:00:00:00:00:00\n"),
            ("eth0/ifindex", "2\n"),
            ("eth0/flags", "0x1903\n"),
            ("eth0/type", "1\n"),
            ("eth0/mtu", "9000\n"),
            ("eth0/address", "02:00:00:00:00:0a\n"),
            ("eth0/speed", "10000\n"),
            ("eth0/duplex", "full\n"),
            ("eth0/carrier", "1\n"),
            ("eth0/device", "-> ../../../0000:3b:00.0"),
            ("eth0/master", "-> ../../virtual/net/bond0"),
            ("eth0/bonding_slave/state", "active\n"),
            ("eth0/bonding_slave/mii_status", "up\n"),
            ("eth0/bonding_slave/ad_aggregator_id", "1\n"),
            ("eth0/bonding_slave/queue_id", "0\n"),
            ("eth0/bonding_slave/link_failure_count", "3\n"),
            ("eth0/bonding_slave/perm_hwaddr", "02:00:00:00:00:0a\n"),
            ("eth1/ifindex", "3\n"),
            ("eth1/flags", "0x1803\n"),
            ("eth1/type", "1\n"),
            ("eth1/mtu", "9000\n"),
            ("eth1/address", "02:00:00:00:00:0a\n"),
            ("eth1/speed", "-1\n"),
            ("eth1/duplex", "unknown\n"),
            ("eth1/carrier", "0\n"),
            ("eth1/device", "-> ../../../0000:3b:00.1"),
            ("eth1/master", "-> ../../virtual/net/bond0"),
            ("eth1/bonding_slave/state", "backup\n"),
            ("eth1/bonding_slave/mii_status", "down\n"),
            ("eth1/bonding_slave/ad_aggregator_id", "2\n"),
            ("bond0/ifindex", "7\n"),
            ("bond0/flags", "0x1403\n"),
            ("bond0/type", "1\n"),
            ("bond0/mtu", "9000\n"),
            ("bond0/address", "02:00:00:00:00:0a\n"),
            ("bond0/uevent", "DEVTYPE=bond\nINTERFACE=bond0\nIFINDEX=7\n"),
            ("bond0/lower_eth0", "-> ../eth0"),
            ("bond0/lower_eth1", "-> ../eth1"),
            ("bond0/slave_eth1", "-> ../eth1"),
            ("bond0/bonding/mode", "802.3ad 4\n"),
            ("bond0/bonding/xmit_hash_policy", "layer3+4 1\n"),
            ("bond0/bonding/slaves", "eth1 eth0\n"),
            ("bond0/bonding/active_slave", "\n"),
            ("bond0/bonding/ad_aggregator", "1\n"),
            ("bond0/bonding/ad_num_ports", "1\n"),
            ("bond0/bonding/lacp_rate", "fast 1\n"),
            ("bond0/bonding/ad_partner_mac", "00:1b:21:aa:bb:cc\n"),
            ("bond0.10/ifindex", "8\n"),
            ("bond0.10/flags", "0x1002\n"),
            ("bond0.10/type", "1\n"),
            ("bond0.10/uevent", "DEVTYPE=vlan\n"),
            ("bond0.10/lower_bond0", "-> ../bond0"),
            ("veth0/ifindex", "9\n"),
            ("veth0/flags", "0x1003\n"),
            ("veth0/type", "1\n"),
            ("veth0/speed", "10000\n"),
            ("tun0/ifindex", "10\n"),
            ("tun0/type", "65534\n"),
            ("tun0/address", "\n"),
            ("vxlan0/ifindex", "11\n"),
            ("vxlan0/type", "1\n"),
            ("vxlan0/uevent", "DEVTYPE=vxlan\n"),
            ("vxlan0/lower_eth0", "-> ../eth0"),
            ("ib0/ifindex", "12\n"),
            ("ib0/type", "32\n"),
            ("ib0/address", "80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:0a:0b:0c\n"),
        ])
    }

    fn named<'a>(read: &'a Interfaces, name: &str) -> &'a Link {
        read.links.iter().find(|link| link.name == name).expect("the interface")
    }

    #[test]
    fn a_bond_of_two_slaves() {
        let tree = bonded();
        let told = tree.path().join("proc/net/bonding");
        fs::create_dir_all(&told).expect("a directory");
        fs::write(told.join("bond0"), CHURN).expect("a file");
        let read = read(&Root::at(tree.path())).expect("a tree");
        assert_eq!(read.bonds.len(), 1);
        let bond = &read.bonds[0];
        assert_eq!(
            (bond.name.as_str(), bond.mode.as_str(), bond.xmit_hash_policy.as_deref(), bond.hashes()),
            ("bond0", "802.3ad", Some("layer3+4"), true)
        );
        assert_eq!(bond.active_slave, None);
        assert_eq!((bond.active_aggregator, bond.aggregator_ports), (Some(1), Some(1)));
        assert_eq!(bond.lacp_rate.as_deref(), Some("fast"));
        assert_eq!(bond.partner_mac, Some([0, 0x1b, 0x21, 0xaa, 0xbb, 0xcc]));
        let slaves: Vec<&str> = bond.slaves.iter().map(|slave| slave.name.as_str()).collect();
        assert_eq!((slaves, bond.slaves_in_order), (vec!["eth1", "eth0"], true));
        assert_eq!(bond.usable().map(|slave| slave.name.as_str()).collect::<Vec<_>>(), ["eth0"]);
        assert_eq!(
            bond.slaves[1],
            Slave {
                name: "eth0".into(),
                line_up: Some(true),
                active: Some(true),
                aggregator: Some(1),
                queue_id: Some(0),
                link_failures: Some(3),
                permanent_mac: Some([2, 0, 0, 0, 0, 10]),
                churn: Some(Churn {
                    actor: "none".into(),
                    partner: "none".into(),
                    actor_count: Some(0),
                    partner_count: Some(1),
                }),
            }
        );
        assert!(bond.slaves[0].churn.as_ref().is_some_and(Churn::is_churned));
    }

    #[test]
    fn the_interfaces_of_the_tree() {
        let tree = bonded();
        let read = read(&Root::at(tree.path())).expect("a tree");
        let names: Vec<&str> = read.links.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["lo", "eth0", "eth1", "bond0", "bond0.10", "veth0", "tun0", "vxlan0", "ib0"]);
        let eth0 = named(&read, "eth0");
        assert_eq!((eth0.index, eth0.mtu, eth0.mac), (2, 9000, Some([2, 0, 0, 0, 0, 10])));
        assert_eq!((eth0.up, eth0.carrier, eth0.physical), (true, Some(true), true));
        assert_eq!((eth0.bond.as_deref(), eth0.master.as_deref()), (Some("bond0"), Some("bond0")));
        assert_eq!((eth0.line_speed(), eth0.full_duplex), (Some(10_000_000_000), Some(true)));
        let eth1 = named(&read, "eth1");
        assert_eq!((eth1.speed_bits_per_second, eth1.full_duplex, eth1.carrier), (None, None, Some(false)));
        assert_eq!(named(&read, "bond0").lower, ["eth0", "eth1"]);
        let vlan = named(&read, "bond0.10");
        assert_eq!((vlan.lower.clone(), vlan.up, vlan.carrier), (vec!["bond0".to_string()], false, None));
        assert_eq!(vlan.device.as_deref(), Some("vlan"));
        let veth = named(&read, "veth0");
        assert_eq!((veth.speed_bits_per_second, veth.line_speed()), (Some(10_000_000_000), None));
        assert_eq!(named(&read, "lo").kind, Kind::Loopback);
        assert_eq!((named(&read, "tun0").kind, named(&read, "tun0").mac), (Kind::RawIp, None));
        assert_eq!(named(&read, "vxlan0").lower, Vec::<String>::new());
        assert_eq!((named(&read, "ib0").kind, named(&read, "ib0").mac), (Kind::Other(32), None));
    }

    #[test]
    fn other_modes_leave_the_files_of_802_3ad_empty() {
        let tree = tree(&[
            ("bond0/ifindex", "4\n"),
            ("bond0/bonding/mode", "active-backup 1\n"),
            ("bond0/bonding/slaves", "eth0 eth1\n"),
            ("bond0/bonding/active_slave", "eth1\n"),
            ("bond0/bonding/ad_aggregator", ""),
            ("bond0/bonding/ad_partner_mac", ""),
            ("bond0/bonding/lacp_rate", "slow 0\n"),
        ]);
        let read = read(&Root::at(tree.path())).expect("a tree");
        let bond = &read.bonds[0];
        assert_eq!((bond.active_slave.as_deref(), bond.hashes()), (Some("eth1"), false));
        assert_eq!((bond.active_aggregator, bond.partner_mac, &bond.lacp_rate), (None, None, &None));
    }

    #[test]
    fn a_namesake_is_not_the_interface_and_no_tree_is_an_error() {
        let tree = bonded();
        let root = Root::at(tree.path());
        assert!(shows(&root, "eth0", 2, Some([2, 0, 0, 0, 0, 10])));
        assert!(!shows(&root, "eth0", 5, Some([2, 0, 0, 0, 0, 10])));
        assert!(!shows(&root, "eth0", 2, Some([2, 0, 0, 0, 0, 11])));
        assert!(!shows(&root, "eth7", 2, None));
        let error = super::super::read_links(&Root::at("/nonexistent")).expect_err("no tree").to_string();
        assert!(error.starts_with("the list of interfaces could not be read (No such file"), "{error}");
    }
}
