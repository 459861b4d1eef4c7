//! Bonds and speeds while a run goes on: which slaves a followed bond has now,
//! how it places what it sends, how fast each interface is.
//!
//! An event says that something may have changed; what did is found by reading
//! all anew and comparing, so that no order of events matters and what was lost
//! costs nothing. Read again every second too: no kernel tells all.
//! A reading that takes long (a thousand interfaces) is made less often.
//!
//! Knows no ring and no channel: it says what has to be done, control does it.

use super::control::State;
use crate::capture::link::{Bond, Interfaces, Link, LinkEvent, Selection};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How often bonds are read though nothing was told: that another aggregator is
/// in use no kernel tells.
const EVERY: Duration = Duration::from_secs(1);
/// Least time between two readings, however much happens.
const LEAST: Duration = Duration::from_millis(50);
/// A reading may take this part of the time, or is made less often.
const PART: u32 = 1000;

/// A bond that watched interfaces are slaves of.
#[derive(Debug)]
struct Followed {
    name: String,
    index: Option<u32>,
    /// Link group of its slaves, whichever those are; None where only some of
    /// them were asked for.
    group: Option<u8>,
    /// As it was read last; None while there is none.
    bond: Option<Bond>,
}

/// What has to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// The interface of this number is called otherwise.
    Rename { number: usize, name: String },
    /// It is no slave of its bond any more.
    Leave { number: usize, bond: String },
    /// A slave is to be watched, in this group.
    Join { link: Box<Link>, bond: String, group: u8 },
    /// Its speed is another one, or has become known or unknown.
    Speed { number: usize, link: Box<Link> },
    /// A bond is another than it was: a sentence without a full stop.
    Changed { bond: String, what: String },
}

/// See the module's description.
pub(super) struct Follower {
    bonds: Vec<Followed>,
    /// There are bonds, or physical interfaces, whose speed may change.
    in_use: bool,
    touched: bool,
    not_before: Instant,
    next: Instant,
    /// Slaves that could not be opened, by index: told once.
    refused: HashSet<u32>,
}

impl Follower {
    /// The bonds of what was selected, as they were read then. The first reading
    /// is due at once: what happened since is in it.
    pub fn new(selection: &Selection, known: &[Bond], now: Instant) -> Follower {
        let group = |name: &str| selection.bonds.iter().find(|(of, _)| of == name).map(|(_, group)| *group);
        let has_slave =
            |name: &str| selection.watched.iter().any(|watch| watch.link.bond.as_deref() == Some(name));
        let followed = known.iter().filter(|bond| has_slave(&bond.name)).map(|bond| Followed {
            name: bond.name.clone(),
            index: None,
            group: group(&bond.name),
            bond: Some(bond.clone()),
        });
        let bonds: Vec<Followed> = followed.collect();
        let in_use = !bonds.is_empty() || selection.watched.iter().any(|watch| watch.link.physical);
        Follower { bonds, in_use, touched: in_use, not_before: now, next: now, refused: HashSet::new() }
    }

    /// Something happened.
    pub fn hear(&mut self, event: &LinkEvent, states: &[State]) {
        let watched = |index: &u32| states.iter().any(|state| state.index == Some(*index));
        let followed = |name: &str| self.bonds.iter().any(|one| one.name == name);
        let of_bond = |index: &u32| self.bonds.iter().any(|one| one.index == Some(*index));
        self.touched |= match event {
            LinkEvent::Appeared { name, .. } => followed(name),
            LinkEvent::MasterChanged { index, from, to, .. } => {
                watched(index) || [from, to].into_iter().flatten().any(|name| followed(name))
            }
            LinkEvent::Gone { index, .. }
            | LinkEvent::Up { index, .. }
            | LinkEvent::Down { index, .. }
            | LinkEvent::Renamed { index, .. }
            | LinkEvent::Carrier { index, .. } => watched(index) || of_bond(index),
            LinkEvent::BondChanged { .. } | LinkEvent::Resync => true,
            LinkEvent::AddressChanged { .. } | LinkEvent::MacChanged { .. } => false,
        };
    }

    /// Whether interfaces have to be read now.
    pub fn is_due(&self, now: Instant) -> bool {
        (self.touched || self.in_use && now >= self.next) && now >= self.not_before
    }

    /// They were read, from `began` to `now`.
    pub fn was_read(&mut self, began: Instant, now: Instant) {
        let pause = now.saturating_duration_since(began).saturating_mul(PART);
        self.touched = false;
        self.next = now + EVERY.max(pause);
        // What is told is looked at soon, however many interfaces there are.
        self.not_before = now + LEAST.max(pause / 50);
    }

    /// A slave that could not be watched: whether that has not been told yet.
    pub fn refuse(&mut self, index: u32) -> bool {
        self.refused.insert(index)
    }

    /// What is to be done, by what was read.
    pub fn compare(&mut self, read: &Interfaces, states: &[State]) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut gone: Vec<u32> = Vec::new();
        let link_at = |index: Option<u32>| read.links.iter().find(|link| Some(link.index) == index);
        for (number, state) in states.iter().enumerate() {
            let Some(link) = link_at(state.index) else { continue };
            if link.name != state.watch.link.name {
                steps.push(Step::Rename { number, name: link.name.clone() });
            }
            let in_group = |one: &Followed| one.group == Some(state.watch.group) && one.has(link, read);
            let of_bond = state.watch.of_bond.as_ref();
            if let Some(bond) = of_bond.filter(|_| !self.bonds.iter().any(in_group)) {
                gone.push(link.index);
                steps.push(Step::Leave { number, bond: bond.clone() });
                continue;
            }
            // While it is not connected, and for a moment after, no driver knows one: the last holds.
            let told = link.line_speed().filter(|_| link.carrier != Some(false));
            if told.is_some() && told != state.watch.link.line_speed() {
                steps.push(Step::Speed { number, link: Box::new(link.clone()) });
            }
        }
        for followed in &mut self.bonds {
            followed.find(read);
            let watched = |link: &Link| {
                states.iter().any(|state| state.index == Some(link.index)) && !gone.contains(&link.index)
            };
            let new = read.links.iter().filter(|link| link.bond.as_deref() == Some(&*followed.name));
            // The driver sets a slave up; one that is down was left out at the start.
            for link in new.filter(|link| link.up && !watched(link)) {
                let (Some(group), bond) = (followed.group, followed.name.clone()) else { continue };
                steps.push(Step::Join { link: Box::new(link.clone()), bond, group });
            }
            let now = read.bonds.iter().find(|bond| bond.name == followed.name).cloned();
            let what = changes(followed.bond.as_ref(), now.as_ref());
            if !what.is_empty() {
                steps.push(Step::Changed { bond: followed.name.clone(), what: what.join("; ") });
            }
            followed.bond = now;
        }
        self.refused.retain(|index| {
            let still = |link: &Link| self.bonds.iter().any(|one| link.bond.as_deref() == Some(&one.name));
            link_at(Some(*index)).is_some_and(still)
        });
        steps
    }
}

impl Followed {
    /// Whether an interface is its slave.
    fn has(&self, link: &Link, read: &Interfaces) -> bool {
        let of_index = read.links.iter().find(|one| Some(one.index) == self.index);
        let name = of_index.map_or(&self.name, |one| &one.name);
        link.bond.as_ref() == Some(name)
    }

    /// It may be called otherwise, or be another one of the same name.
    fn find(&mut self, read: &Interfaces) {
        if let Some(link) = read.links.iter().find(|link| Some(link.index) == self.index) {
            self.name.clone_from(&link.name);
        } else {
            let named = read.links.iter().find(|link| link.name == self.name);
            self.index = named.map(|link| link.index);
        }
    }
}

/// What is another than it was, in words, but not who joined or left.
fn changes(old: Option<&Bond>, new: Option<&Bond>) -> Vec<String> {
    let (old, new) = match (old, new) {
        (None, None) => return Vec::new(),
        (Some(_), None) => return vec!["it is gone".into()],
        (None, Some(new)) => return vec![format!("it is there again, mode {}", new.mode)],
        (Some(old), Some(new)) => (old, new),
    };
    let mut what = Vec::new();
    let mut tell = |of: &str, old: Option<String>, new: Option<String>| {
        if old != new {
            let [old, new] = [old, new].map(|one| one.unwrap_or_else(|| "none".into()));
            what.push(format!("{of} {new} instead of {old}"));
        }
    };
    tell("name", Some(old.name.clone()), Some(new.name.clone()));
    tell("mode", Some(old.mode.clone()), Some(new.mode.clone()));
    tell("xmit_hash_policy", old.xmit_hash_policy.clone(), new.xmit_hash_policy.clone());
    let dynamic = |bond: &Bond| bond.tlb_dynamic.map(|dynamic| u8::from(dynamic).to_string());
    if new.mode == "balance-tlb" && old.mode == new.mode {
        tell("tlb_dynamic_lb", dynamic(old), dynamic(new));
    }
    tell("active slave", old.active_slave.clone(), new.active_slave.clone());
    let number = |number: Option<u16>| number.map(|number| number.to_string());
    tell("aggregator", number(old.active_aggregator), number(new.active_aggregator));
    let names = |bond: &Bond| -> Vec<String> { bond.slaves.iter().map(|slave| slave.name.clone()).collect() };
    let usable = |bond: &Bond| -> Vec<String> { bond.usable().map(|slave| slave.name.clone()).collect() };
    let (before, now) = (usable(old), usable(new));
    let both = names(new).into_iter().filter(|name| names(old).contains(name));
    let both: Vec<String> = both.collect();
    for name in &both {
        match (before.contains(name), now.contains(name)) {
            (false, true) => what.push(format!("{name} can be used")),
            (true, false) => what.push(format!("{name} cannot be used")),
            (true, true) | (false, false) => {}
        }
    }
    let in_old_order = names(old).into_iter().filter(|name| both.contains(name));
    if old.slaves_in_order && new.slaves_in_order && !in_old_order.eq(both.iter().cloned()) {
        what.push(format!("slaves in the order {}", names(new).join(", ")));
    }
    what
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::link::{Kind, Slave, select};

    fn link(index: u32, name: &str, bond: Option<&str>) -> Link {
        Link {
            name: name.into(),
            alternative_names: Vec::new(),
            index,
            mac: Some([2, 0, 0, 0, 0, 1]),
            kind: Kind::Ethernet,
            device: None,
            speed_bits_per_second: Some(1_000_000_000),
            full_duplex: Some(true),
            physical: !name.starts_with("bond"),
            up: true,
            carrier: Some(true),
            bond: bond.map(str::to_owned),
            master: bond.map(str::to_owned),
            lower: Vec::new(),
            mtu: 1500,
            addresses: Vec::new(),
        }
    }

    fn bond(name: &str, slaves: &[&str]) -> Bond {
        let slave = |name: &&str| Slave { name: (*name).into(), line_up: Some(true), ..Slave::default() };
        Bond {
            name: name.into(),
            mode: "balance-xor".into(),
            xmit_hash_policy: Some("layer2".into()),
            slaves: slaves.iter().map(slave).collect(),
            slaves_in_order: true,
            active_slave: None,
            active_aggregator: None,
            aggregator_ports: None,
            lacp_rate: None,
            partner_mac: None,
            tlb_dynamic: None,
        }
    }

    /// bond0 of eth0 and eth1, bond1 of eth2; eth3 by itself.
    fn machine() -> Interfaces {
        Interfaces {
            links: vec![
                link(2, "eth0", Some("bond0")),
                link(3, "eth1", Some("bond0")),
                link(4, "eth2", Some("bond1")),
                link(5, "eth3", None),
                link(7, "bond0", None),
                link(8, "bond1", None),
            ],
            bonds: vec![bond("bond0", &["eth0", "eth1"]), bond("bond1", &["eth2"])],
        }
    }

    /// What there is at the start, followed; the first reading finds nothing to do.
    fn begin(named: &[&str]) -> (Interfaces, Vec<State>, Follower) {
        let read = machine();
        let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
        let selection = select(&read.links, &read.bonds, &named).expect("a selection");
        let mut follower = Follower::new(&selection, &read.bonds, Instant::now());
        let state = |watch: &crate::capture::link::Watch| State {
            index: Some(watch.link.index),
            watch: watch.clone(),
        };
        let states: Vec<State> = selection.watched.iter().map(state).collect();
        assert_eq!(follower.compare(&read, &states), []);
        (read, states, follower)
    }

    fn take(read: &mut Interfaces, name: &str, into: Option<&str>) {
        let link = read.links.iter_mut().find(|link| link.name == name).expect("it is there");
        link.bond = into.map(str::to_owned);
        for bond in &mut read.bonds {
            bond.slaves.retain(|slave| slave.name != name);
            if Some(bond.name.as_str()) == into {
                bond.slaves.push(Slave { name: name.into(), line_up: Some(true), ..Slave::default() });
            }
        }
    }

    /// `leave 0 bond0`, `join eth3 bond0 0`: steps as words.
    fn words(steps: &[Step]) -> Vec<String> {
        let word = |step: &Step| match step {
            Step::Rename { number, name } => format!("rename {number} {name}"),
            Step::Leave { number, bond } => format!("leave {number} {bond}"),
            Step::Join { link, bond, group } => format!("join {} {bond} {group}", link.name),
            Step::Speed { number, link } => format!("speed {number} {:?}", link.line_speed()),
            Step::Changed { bond, what } => format!("{bond}: {what}"),
        };
        steps.iter().map(word).collect()
    }

    #[test]
    fn slaves_come_and_go() {
        let (mut read, mut states, mut follower) = begin(&["bond0"]);
        take(&mut read, "eth3", Some("bond0"));
        take(&mut read, "eth0", None);
        assert_eq!(words(&follower.compare(&read, &states)), ["leave 0 bond0", "join eth3 bond0 0"]);
        states[0].index = None;
        // Not watched yet, as opening it failed: it is tried again.
        assert_eq!(words(&follower.compare(&read, &states)), ["join eth3 bond0 0"]);
        read.links[3].up = false;
        assert_eq!(words(&follower.compare(&read, &states)), [""; 0]);
        // From one bond into another that nobody asked for.
        take(&mut read, "eth1", Some("bond1"));
        assert_eq!(words(&follower.compare(&read, &states)), ["leave 1 bond0"]);
    }

    #[test]
    fn from_one_followed_bond_to_another() {
        let (mut read, states, mut follower) = begin(&["bond0", "bond1"]);
        take(&mut read, "eth0", Some("bond1"));
        assert_eq!(words(&follower.compare(&read, &states)), ["leave 0 bond0", "join eth0 bond1 1"]);
        // As one group nothing is opened anew.
        let (_, states, mut follower) = begin(&["bond0+bond1"]);
        assert_eq!(words(&follower.compare(&read, &states)), [""; 0]);
    }

    #[test]
    fn one_that_was_named_itself_stays() {
        let (mut read, states, mut follower) = begin(&["eth0,eth1"]);
        take(&mut read, "eth0", None);
        take(&mut read, "eth3", Some("bond0"));
        read.bonds[0].xmit_hash_policy = Some("layer3+4".into());
        assert_eq!(
            words(&follower.compare(&read, &states)),
            ["bond0: xmit_hash_policy layer3+4 instead of layer2"]
        );
    }

    #[test]
    fn what_a_bond_does_is_told_once() {
        let (mut read, states, mut follower) = begin(&["bond0"]);
        let bond = &mut read.bonds[0];
        bond.mode = "802.3ad".into();
        bond.active_aggregator = Some(1);
        bond.slaves[1].line_up = Some(false);
        assert_eq!(
            words(&follower.compare(&read, &states)),
            ["bond0: mode 802.3ad instead of balance-xor; aggregator 1 instead of none; eth1 cannot be used"]
        );
        assert_eq!(follower.compare(&read, &states), []);
        let bond = &mut read.bonds[0];
        bond.slaves[1].line_up = Some(true);
        bond.slaves.swap(0, 1);
        assert_eq!(
            words(&follower.compare(&read, &states)),
            ["bond0: eth1 can be used; slaves in the order eth1, eth0"]
        );
        // What makes no difference to where packets go.
        read.bonds[0].slaves[0].link_failures = Some(7);
        read.bonds[0].partner_mac = Some([2; 6]);
        assert_eq!(follower.compare(&read, &states), []);
    }

    #[test]
    fn a_bond_that_is_called_otherwise_or_made_again_is_the_same() {
        let (mut read, mut states, mut follower) = begin(&["bond0"]);
        read.links[4].name = "uplink".into();
        read.bonds[0].name = "uplink".into();
        read.links.iter_mut().filter(|link| link.bond.as_deref() == Some("bond0")).for_each(|link| {
            link.bond = Some("uplink".into());
        });
        assert_eq!(words(&follower.compare(&read, &states)), ["uplink: name uplink instead of bond0"]);
        // Removed; its slaves are let go.
        let uplink = (read.links.remove(4), read.bonds.remove(0));
        read.links[0].bond = None;
        read.links[1].bond = None;
        let told = ["leave 0 bond0", "leave 1 bond0", "uplink: it is gone"];
        assert_eq!(words(&follower.compare(&read, &states)), told);
        states.iter_mut().for_each(|state| state.index = None);
        read.links.push(Link { index: 20, ..uplink.0 });
        read.bonds.push(uplink.1);
        read.links[0].bond = Some("uplink".into());
        let told = ["join eth0 uplink 0", "uplink: it is there again, mode balance-xor"];
        assert_eq!(words(&follower.compare(&read, &states)), told);
    }

    #[test]
    fn speeds_and_names_are_followed_of_any_interface() {
        let (mut read, mut states, mut follower) = begin(&["eth3"]);
        let link = &mut read.links[3];
        (link.speed_bits_per_second, link.carrier) = (None, Some(false));
        assert_eq!(follower.compare(&read, &states), [], "the last holds");
        let link = &mut read.links[3];
        (link.speed_bits_per_second, link.carrier) = (Some(10_000_000_000), Some(true));
        assert_eq!(words(&follower.compare(&read, &states)), ["speed 0 Some(10000000000)"]);
        states[0].watch.link.speed_bits_per_second = Some(10_000_000_000);
        read.links[3].name = "lan".into();
        assert_eq!(words(&follower.compare(&read, &states)), ["rename 0 lan"]);
    }

    #[test]
    fn reading_takes_no_more_than_its_part_of_the_time() {
        let (_, states, mut follower) = begin(&["bond0"]);
        let start = Instant::now();
        assert!(follower.is_due(start), "what happened since the interfaces were chosen");
        let second = Duration::from_secs(1);
        follower.was_read(start, start + Duration::from_millis(1));
        assert!(!follower.is_due(start + second / 2) && follower.is_due(start + 2 * second));
        let end = start + Duration::from_millis(100);
        follower.was_read(start, end);
        assert!(!follower.is_due(end + 99 * second) && follower.is_due(end + 101 * second));
        // What is told is not waited for so long.
        follower.hear(&LinkEvent::BondChanged { index: 7, name: "bond0".into() }, &states);
        assert!(!follower.is_due(end + second) && follower.is_due(end + 3 * second));
    }
}
