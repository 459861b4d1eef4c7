//! Whether LACP comes to rest on a bond's slaves, as `/proc/net/bonding` tells.
//!
//! IEEE 802.1AX has a machine watch each port: an end that has not agreed
//! within a minute *churns*, and traffic on such a slave is lost or not sent.
//! Sysfs does not say so, netlink only in the newest kernels; what has it is this
//! text, and only in 802.3ad. Like `/sys` it may be missing; unlike it, it is
//! always that of the network namespace that the reader is in.
//!
//! Sources: drivers/net/bonding/bond_procfs.c, bond_3ad.c;
//! Documentation/networking/bonding.rst.

use super::{Bond, Root, read_text};
use std::str::FromStr;

/// What the churn machines of a slave's two ends say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Churn {
    /// This end, in the driver's words: `none` (agreed), `monitoring` (not yet),
    /// `churned` (not within a minute), `unknown`.
    pub actor: String,
    /// The switch's end, likewise.
    pub partner: String,
    /// How often this end churned; `None`: not told.
    pub actor_count: Option<u32>,
    /// How often the switch's end did.
    pub partner_count: Option<u32>,
}

impl Churn {
    /// Whether either end has given up to agree.
    pub fn is_churned(&self) -> bool {
        self.actor == "churned" || self.partner == "churned"
    }
}

/// Adds to the slaves of `bond` what the kernel tells of their churn.
pub(super) fn read(root: &Root, bond: &mut Bond) {
    // A thread may be in another namespace than its process.
    let folder = if root.live { "proc/thread-self/net/bonding" } else { "proc/net/bonding" };
    let Some(text) = read_text(&root.join(folder).join(&bond.name)) else { return };
    for (name, churn) in parse(&text) {
        if let Some(slave) = bond.slaves.iter_mut().find(|slave| slave.name == name) {
            slave.churn = Some(churn);
        }
    }
}

/// Slaves that the text tells both states of, with them.
fn parse(text: &str) -> Vec<(&str, Churn)> {
    let mut sections: Vec<(&str, Churn)> = Vec::new();
    for line in text.lines() {
        let Some((what, value)) = line.split_once(": ") else { continue };
        if what == "Slave Interface" {
            sections.push((value, Churn::default()));
            continue;
        }
        // What stands before the first slave is the bond's.
        let Some((_, churn)) = sections.last_mut() else { continue };
        match what {
            "Actor Churn State" => churn.actor = value.to_string(),
            "Partner Churn State" => churn.partner = value.to_string(),
            "Actor Churned Count" => churn.actor_count = u32::from_str(value).ok(),
            "Partner Churned Count" => churn.partner_count = u32::from_str(value).ok(),
            _ => {}
        }
    }
    sections.retain(|(_, churn)| !churn.actor.is_empty() && !churn.partner.is_empty());
    sections
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As bond_procfs.c writes it for root: eth0 at rest, on eth1 no switch answers.
    pub(in crate::capture::link) const TEXT: &str = "\
Ethernet Channel Bonding Driver: v6.1.0

Bonding Mode: IEEE 802.3ad Dynamic link aggregation
Transmit Hash Policy: layer3+4 (1)
MII Status: up
MII Polling Interval (ms): 100

802.3ad info
LACP active: on
LACP rate: fast
Min links: 0
Aggregator selection policy (ad_select): stable
System priority: 65535
System MAC address: 02:00:00:00:00:0a
Active Aggregator Info:
\tAggregator ID: 1
\tNumber of ports: 1
\tPartner Mac Address: 00:1b:21:aa:bb:cc

Slave Interface: eth1
MII Status: up
Speed: 10000 Mbps
Duplex: full
Aggregator ID: 2
Actor Churn State: churned
Partner Churn State: monitoring
Actor Churned Count: 2
Partner Churned Count: 1
details actor lacp pdu:
    system priority: 65535
    port state: 69

Slave Interface: eth0
MII Status: up
Aggregator ID: 1
Actor Churn State: none
Partner Churn State: none
Actor Churned Count: 0
Partner Churned Count: 1

Slave Interface: eth2
MII Status: down
Aggregator ID: N/A
";

    #[test]
    fn each_slave_has_its_own_states() {
        let told = parse(TEXT);
        assert_eq!(told.len(), 2, "eth2 is in no aggregator: {told:?}");
        let (name, churn) = &told[0];
        assert_eq!((*name, churn.actor.as_str(), churn.partner.as_str()), ("eth1", "churned", "monitoring"));
        assert_eq!((churn.actor_count, churn.partner_count, churn.is_churned()), (Some(2), Some(1), true));
        assert_eq!((told[1].0, told[1].1.is_churned()), ("eth0", false));
    }

    #[test]
    fn a_text_that_is_cut_tells_what_is_whole() {
        assert!(parse("").is_empty());
        assert!(parse("Actor Churn State: none\nPartner Churn State: none\n").is_empty());
        assert!(parse("Slave Interface: eth0\nActor Churn State: none\n").is_empty());
        let odd = "Slave Interface: eth0\nActor Churn State: none\nPartner Churn State: none\nActor Churned Count: -1";
        assert_eq!(parse(odd)[0].1.actor_count, None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(Slave Interface|Actor Churn State|[a-z]|: |\n|\t){0,40}") {
            prop_assert!(parse(&text).len() <= text.matches("Slave Interface").count());
        }
    }
}
