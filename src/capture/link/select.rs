//! Which interfaces a run watches, and in which link groups.
//!
//! A pure function of what there is and what the user named. A bond stands for
//! its slaves, because frames are tapped there (received ones with the slave as
//! device, sent ones at the slave's transmit) and bond and slaves together
//! would count twice. Groups decide which interfaces share connections: the
//! slaves of one bond do, and those that `+` joins; whatever overlaps becomes
//! one group. Of two stacked devices the upper one's packets are second copies.
//!
//! Invariants: no interface is watched twice, numbers of groups are dense from
//! 0 in the order of first appearance, so below [`LINKS_MAX`].

use super::{Bond, LINKS_MAX, Link, LinkError, list};

/// Names of a longer list than this are not all in the sentence of reasons.
const NAMES_SHOWN: usize = 8;
/// Furthest that a mistyped name may be from an existing one to be meant.
const TYPING_ERRORS: usize = 2;

/// One watched interface; its place in [`Selection::watched`] is its `LinkId`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The interface as it was when it was chosen.
    pub link: Link,
    /// Link group, 0 to 127: interfaces of one group share connections.
    pub group: u8,
    /// Whether another watched interface below it has the same packets: it has
    /// totals, its packets make no connections.
    pub second_copy: bool,
    /// Speed that the user told, in bits a second.
    pub told_speed: Option<u64>,
    /// The bond that it is watched for, and only as long as it is its slave;
    /// `None`: it was named itself, or is no slave.
    pub of_bond: Option<String>,
}

impl Watch {
    /// Speed that utilisation is computed from, in bits a second: the user's
    /// word, else what a physical interface tells.
    pub fn line_speed(&self) -> Option<u64> {
        self.told_speed.or(self.link.line_speed())
    }
}

/// What a run watches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The interfaces, at most [`LINKS_MAX`].
    pub watched: Vec<Watch>,
    /// Which were taken and why, in one sentence without a full stop.
    pub reason: String,
    /// Bonds that stand for their slaves, whichever those are, and the slaves'
    /// link group: one that joins later is watched too.
    pub bonds: Vec<(String, u8)>,
    /// Pairs of watched interfaces (upper, lower) of which the upper sees the
    /// lower one's packets again.
    pub stacked: Vec<(String, String)>,
    /// What may surprise: interfaces that are down, stacked ones. Sentences.
    pub warnings: Vec<String>,
}

impl Selection {
    /// Takes a speed that the user told (`--link-speed`), in bits a second, for
    /// the watched interface `name`, or for each slave of the bond `name`.
    ///
    /// # Errors
    /// [`LinkError::Missing`] if no watched interface has the name.
    pub fn set_speed(&mut self, name: &str, bits_per_second: u64) -> Result<(), LinkError> {
        let mut found = false;
        for watch in &mut self.watched {
            if watch.link.answers_to(name) || watch.link.bond.as_deref() == Some(name) {
                watch.told_speed = Some(bits_per_second);
                found = true;
            }
        }
        if found { Ok(()) } else { Err(missing(name, self.watched.iter().map(|watch| &watch.link))) }
    }

    /// Whether this bond stands for its slaves.
    fn follows(&self, bond: &str) -> bool {
        self.bonds.iter().any(|(known, _)| known == bond)
    }
}

/// Chooses the interfaces to watch.
///
/// `named` are the arguments of `-i` as written: a name, `a,b`, or `a+b` for
/// one link group; a bond stands for its slaves; `any` for every interface that
/// is up, as with tcpdump. Without any: every physical interface that is up;
/// else every other that is up, but loopback; else every one but loopback.
///
/// # Errors
/// A name that does not exist, an empty one, a bond without slaves, more than
/// [`LINKS_MAX`] interfaces, or nothing but loopback to choose from.
pub fn select(links: &[Link], bonds: &[Bond], named: &[String]) -> Result<Selection, LinkError> {
    let mut choice = Choice { links, bonds, taken: Vec::new(), named: Vec::new(), followed: Vec::new() };
    let why = if named.is_empty() {
        choice.take_default()?
    } else {
        for argument in named {
            choice.take_argument(argument)?;
        }
        "as named with -i".to_string()
    };
    if choice.taken.len() > LINKS_MAX {
        return Err(LinkError::TooMany { count: choice.taken.len(), named: !named.is_empty() });
    }
    choice.join_slaves();
    let mut selection = choice.into_selection();
    selection.reason = format!("{}: {why}", describe(&selection.watched));
    find_stacked(links, &mut selection);
    warn(links, &mut selection);
    Ok(selection)
}

/// Interfaces chosen so far: places in `links`, and the mark of their group.
struct Choice<'a> {
    links: &'a [Link],
    bonds: &'a [Bond],
    taken: Vec<(usize, usize)>,
    /// Places in `links` of those that were named themselves.
    named: Vec<usize>,
    /// Names of bonds that stand for their slaves.
    followed: Vec<String>,
}

impl Choice<'_> {
    fn find(&self, name: &str) -> Option<usize> {
        let exact = self.links.iter().position(|link| link.name == name);
        exact.or_else(|| self.links.iter().position(|link| link.answers_to(name)))
    }

    /// A name may itself hold `,` or `+`: whole it is tried first.
    fn take_argument(&mut self, argument: &str) -> Result<(), LinkError> {
        if self.find(argument).is_some() {
            return self.take_group(&[argument], argument);
        }
        for part in argument.split(',') {
            if self.find(part).is_some() {
                self.take_group(&[part], argument)?;
            } else if part == "any" {
                let up = self.places(|link| link.up);
                self.take_each(&up);
            } else {
                let names: Vec<&str> = part.split('+').collect();
                self.take_group(&names, argument)?;
            }
        }
        Ok(())
    }

    /// Takes interfaces, and slaves in place of bonds, as one group.
    fn take_group(&mut self, names: &[&str], argument: &str) -> Result<(), LinkError> {
        let mut places = Vec::new();
        for name in names {
            if name.is_empty() {
                return Err(LinkError::NoName { argument: argument.to_string() });
            }
            let place = self.find(name).ok_or_else(|| missing(name, self.links.iter()))?;
            let Some(bond) = self.bond_at(place) else {
                places.push(place);
                self.named.push(place);
                continue;
            };
            let slaves: Vec<usize> = bond.slaves.iter().filter_map(|slave| self.find(&slave.name)).collect();
            if slaves.is_empty() {
                return Err(LinkError::EmptyBond { bond: bond.name.clone() });
            }
            let name = bond.name.clone();
            self.followed.push(name);
            places.extend(slaves);
        }
        let marks: Vec<usize> = places.iter().map(|place| self.take(*place)).collect();
        if let Some((first, rest)) = marks.split_first() {
            rest.iter().for_each(|mark| self.join(*first, *mark));
        }
        Ok(())
    }

    /// Takes each place as its own group, but no bond whose slaves come too.
    fn take_each(&mut self, places: &[usize]) {
        let has_slave = |bond: &&Bond| {
            let places_of = bond.slaves.iter().filter_map(|slave| self.find(&slave.name));
            places_of.into_iter().any(|at| places.contains(&at))
        };
        let covered: Vec<String> =
            self.bonds.iter().filter(has_slave).map(|bond| bond.name.clone()).collect();
        for place in places {
            if !self.bond_at(*place).is_some_and(|bond| covered.contains(&bond.name)) {
                self.take(*place);
            }
        }
        self.followed.extend(covered);
    }

    fn take_default(&mut self) -> Result<String, LinkError> {
        let physical = self.places(|link| link.physical && link.up && !link.is_loopback());
        let up = self.places(|link| link.up && !link.is_loopback());
        let all = self.places(|link| !link.is_loopback());
        let (places, why) = if !physical.is_empty() {
            (physical, "every physical interface that is up")
        } else if !up.is_empty() {
            (up, "no physical interface is up, so every other one that is, without loopback")
        } else if !all.is_empty() {
            (all, "no interface is up, so every one without loopback")
        } else {
            let existing = self.links.iter().map(|link| link.name.clone()).collect();
            return Err(LinkError::NothingToWatch { existing });
        };
        self.take_each(&places);
        Ok(why.to_string())
    }

    fn places(&self, wanted: impl Fn(&Link) -> bool) -> Vec<usize> {
        self.links.iter().enumerate().filter(|(_, link)| wanted(link)).map(|(place, _)| place).collect()
    }

    fn bond_at(&self, place: usize) -> Option<&Bond> {
        let link = self.links.get(place)?;
        self.bonds.iter().find(|bond| bond.name == link.name)
    }

    /// Takes an interface, once, and gives its group's mark.
    fn take(&mut self, place: usize) -> usize {
        if let Some((_, mark)) = self.taken.iter().find(|(taken, _)| *taken == place) {
            return *mark;
        }
        // Its own place is a mark that nobody else began with.
        self.taken.push((place, place));
        place
    }

    fn join(&mut self, mark: usize, other: usize) {
        // `other` may have been joined to `mark` by an earlier step already.
        for (_, own) in &mut self.taken {
            if *own == other {
                *own = mark;
            }
        }
    }

    /// Slaves of one bond are one group, however they came to be watched.
    fn join_slaves(&mut self) {
        for bond in self.bonds {
            let marks: Vec<usize> = self
                .taken
                .iter()
                .filter(|(place, _)| {
                    self.links
                        .get(*place)
                        .is_some_and(|link| link.bond.as_deref() == Some(bond.name.as_str()))
                })
                .map(|(_, mark)| *mark)
                .collect();
            if let Some((first, rest)) = marks.split_first() {
                rest.iter().for_each(|mark| self.join(*first, *mark));
            }
        }
    }

    fn into_selection(self) -> Selection {
        let mut marks: Vec<usize> = Vec::new();
        let mut selection = Selection::default();
        for (place, mark) in &self.taken {
            let known = marks.iter().position(|known| known == mark);
            let group = known.unwrap_or(marks.len());
            if known.is_none() {
                marks.push(*mark);
            }
            if let (Some(link), Ok(group)) = (self.links.get(*place), u8::try_from(group)) {
                let followed = link.bond.as_ref().filter(|bond| self.followed.contains(bond)).cloned();
                if let Some(bond) = followed.as_ref().filter(|bond| !selection.follows(bond)) {
                    selection.bonds.push((bond.clone(), group));
                }
                selection.watched.push(Watch {
                    link: link.clone(),
                    group,
                    second_copy: false,
                    told_speed: None,
                    of_bond: followed.filter(|_| !self.named.contains(place)),
                });
            }
        }
        selection
    }
}

/// `eth0 and eth1 (slaves of bond0), eth2`.
fn describe(watched: &[Watch]) -> String {
    let mut bonds: Vec<Option<&str>> = Vec::new();
    for watch in watched {
        let bond = watch.link.bond.as_deref();
        if !bonds.contains(&bond) {
            bonds.push(bond);
        }
    }
    let parts: Vec<String> = bonds
        .iter()
        .map(|bond| {
            let of_bond = watched.iter().filter(|watch| watch.link.bond.as_deref() == *bond);
            let names: Vec<String> = of_bond.map(|watch| watch.link.name.clone()).collect();
            let shown = list(&names, NAMES_SHOWN);
            match bond {
                Some(bond) if names.len() == 1 => format!("{shown} (slave of {bond})"),
                Some(bond) => format!("{shown} (slaves of {bond})"),
                None => shown,
            }
        })
        .collect();
    parts.join(", ")
}

/// Watched devices below each watched device, directly or through others.
fn find_stacked(links: &[Link], selection: &mut Selection) {
    for upper in &selection.watched {
        let mut below: Vec<&str> = Vec::new();
        let mut open = vec![upper.link.name.as_str()];
        while let Some(name) = open.pop() {
            let own = links.iter().filter(|link| link.name == name).flat_map(|link| link.lower.iter());
            let members =
                links.iter().filter(|link| link.master.as_deref() == Some(name)).map(|link| &link.name);
            for lower in own.chain(members) {
                if lower != &upper.link.name && !below.contains(&lower.as_str()) {
                    below.push(lower);
                    open.push(lower);
                }
            }
        }
        let watched = selection.watched.iter().filter(|watch| below.contains(&watch.link.name.as_str()));
        let pairs = watched.map(|watch| (upper.link.name.clone(), watch.link.name.clone()));
        selection.stacked.extend(pairs);
    }
    for watch in &mut selection.watched {
        watch.second_copy = selection.stacked.iter().any(|(upper, _)| *upper == watch.link.name);
    }
}

fn warn(links: &[Link], selection: &mut Selection) {
    for Watch { link, .. } in &selection.watched {
        let name = &link.name;
        if !link.up {
            selection.warnings.push(format!("{name} is down: it counts nothing until it comes up"));
        } else if link.carrier == Some(false) {
            selection.warnings.push(format!("{name} has no carrier: is its cable in, its peer up?"));
        }
    }
    let is_watched = |name: &str| selection.watched.iter().any(|watch| watch.link.name == name);
    let sibling = |bond: &str| selection.watched.iter().any(|watch| watch.link.bond.as_deref() == Some(bond));
    for link in links.iter().filter(|link| !is_watched(&link.name)) {
        if let Some(bond) = link.bond.as_deref().filter(|bond| sibling(bond)) {
            let down = if link.up { "" } else { ", which is down" };
            selection.warnings.push(format!(
                "{}, a slave of {bond} too{down}, is not watched: -i {bond} watches all of them",
                link.name
            ));
        }
    }
    for (upper, lower) in &selection.stacked {
        selection.warnings.push(format!(
            "{upper} stands on {lower}: connections are counted on {lower}, {upper} has totals alone"
        ));
    }
}

/// The error for a name that does not exist, with the nearest that does.
fn missing<'a>(name: &str, links: impl Iterator<Item = &'a Link>) -> LinkError {
    let mut existing = Vec::new();
    let mut nearest: Option<(usize, String)> = None;
    for link in links {
        existing.push(link.name.clone());
        for candidate in std::iter::once(&link.name).chain(&link.alternative_names) {
            let distance = strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase());
            // As many errors as it has letters would be another name.
            let near =
                distance <= TYPING_ERRORS && distance < candidate.chars().count().min(name.chars().count());
            if near && nearest.as_ref().is_none_or(|(best, _)| distance < *best) {
                nearest = Some((distance, candidate.clone()));
            }
        }
    }
    LinkError::Missing { name: name.to_string(), existing, nearest: nearest.map(|(_, name)| name) }
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Slave};
    use super::*;

    fn link(index: u32, name: &str) -> Link {
        Link {
            name: name.into(),
            alternative_names: Vec::new(),
            index,
            mac: Some([2, 0, 0, 0, 0, 1]),
            kind: if name == "lo" { Kind::Loopback } else { Kind::Ethernet },
            device: None,
            speed_bits_per_second: None,
            full_duplex: None,
            physical: name.starts_with("eth"),
            up: true,
            carrier: Some(true),
            bond: None,
            master: None,
            lower: Vec::new(),
            mtu: 1500,
            addresses: Vec::new(),
        }
    }

    /// lo, eth0 to eth3, a bond of eth1 and eth0 (in this order), a VLAN on the
    /// bond, a bond without slaves.
    fn machine() -> (Vec<Link>, Vec<Bond>) {
        let names = ["lo", "eth0", "eth1", "eth2", "eth3", "bond0", "bond0.10", "bond1"];
        let mut links: Vec<Link> = (1..).zip(names).map(|(index, name)| link(index, name)).collect();
        for slave in &mut links[1..3] {
            slave.bond = Some("bond0".into());
            slave.master = Some("bond0".into());
        }
        links[1].alternative_names.push("enp3s0".into());
        links[5].lower = vec!["eth0".into(), "eth1".into()];
        links[6].lower = vec!["bond0".into()];
        let bond = |name: &str, slaves: &[&str]| Bond {
            name: name.into(),
            mode: "802.3ad".into(),
            xmit_hash_policy: Some("layer3+4".into()),
            slaves: slaves.iter().map(|name| Slave { name: (*name).into(), ..Slave::default() }).collect(),
            slaves_in_order: true,
            active_slave: None,
            active_aggregator: None,
            aggregator_ports: None,
            lacp_rate: None,
            partner_mac: None,
            tlb_dynamic: None,
        };
        (links, vec![bond("bond0", &["eth1", "eth0"]), bond("bond1", &[])])
    }

    fn choose(named: &[&str]) -> Result<Selection, LinkError> {
        let (links, bonds) = machine();
        select(&links, &bonds, &named.iter().map(|name| name.to_string()).collect::<Vec<_>>())
    }

    fn sentence(named: &[&str]) -> String {
        choose(named).expect_err("no error").to_string()
    }

    /// `eth0=0 eth1=0`: names and groups.
    fn groups(selection: &Selection) -> String {
        let parts: Vec<String> =
            selection.watched.iter().map(|watch| format!("{}={}", watch.link.name, watch.group)).collect();
        parts.join(" ")
    }

    #[test]
    fn names_become_interfaces_and_groups() {
        for (named, wanted) in [
            (&["eth2"][..], "eth2=0"),
            (&["bond0"], "eth1=0 eth0=0"),
            (&["eth0,eth1"], "eth0=0 eth1=0"),
            (&["eth2,eth3"], "eth2=0 eth3=1"),
            (&["eth2", "eth3"], "eth2=0 eth3=1"),
            (&["eth2+eth3"], "eth2=0 eth3=0"),
            (&["eth2+bond0"], "eth2=0 eth1=0 eth0=0"),
            (&["eth3,bond0,eth2"], "eth3=0 eth1=1 eth0=1 eth2=2"),
            (&["bond0", "eth0"], "eth1=0 eth0=0"),
            (&["eth0", "bond0", "eth0,eth1"], "eth0=0 eth1=0"),
            (&["eth2", "eth2"], "eth2=0"),
            (&["eth2+eth2"], "eth2=0"),
            (&["eth1", "eth2+eth0"], "eth1=0 eth2=0 eth0=0"),
            (&["eth2+eth3", "eth3+eth0"], "eth2=0 eth3=0 eth0=0"),
            (&["enp3s0"], "eth0=0"),
            (&["any"], "lo=0 eth0=1 eth1=1 eth2=2 eth3=3 bond0.10=4 bond1=5"),
        ] {
            assert_eq!(groups(&choose(named).expect("a selection")), wanted, "{named:?}");
        }
    }

    #[test]
    fn without_a_name_every_physical_interface_that_is_up() {
        let selection = choose(&[]).expect("a selection");
        assert_eq!(groups(&selection), "eth0=0 eth1=0 eth2=1 eth3=2");
        assert_eq!(
            selection.reason,
            "eth0 and eth1 (slaves of bond0), eth2 and eth3: every physical interface that is up"
        );
        assert_eq!(selection.warnings, Vec::<String>::new());
    }

    #[test]
    fn a_bond_is_followed_where_it_stands_for_its_slaves() {
        let followed = |named: &[&str]| {
            let selection = choose(named).expect("a selection");
            let slaves = selection.watched.iter().filter(|watch| watch.of_bond.is_some());
            let slaves: Vec<&str> = slaves.map(|watch| watch.link.name.as_str()).collect();
            let bonds: Vec<String> =
                selection.bonds.iter().map(|(name, group)| format!("{name}={group}")).collect();
            format!("{}: {}", bonds.join(" "), slaves.join(" "))
        };
        for (named, wanted) in [
            (&[][..], "bond0=0: eth0 eth1"),
            (&["any"], "bond0=1: eth0 eth1"),
            (&["bond0"], "bond0=0: eth1 eth0"),
            (&["eth2,bond0"], "bond0=1: eth1 eth0"),
            (&["eth0", "bond0"], "bond0=0: eth1"),
            (&["bond0", "eth0"], "bond0=0: eth1"),
            (&["eth0,eth1"], ": "),
            (&["bond0.10"], ": "),
        ] {
            assert_eq!(followed(named), wanted, "{named:?}");
        }
    }

    #[test]
    fn without_a_physical_interface_every_other_that_is_up_and_else_every_one() {
        let mut links = vec![link(1, "lo"), link(2, "veth0"), link(3, "veth1")];
        links[2].up = false;
        let selection = select(&links, &[], &[]).expect("a selection");
        assert_eq!(groups(&selection), "veth0=0");
        links[1].up = false;
        let selection = select(&links, &[], &[]).expect("a selection");
        assert_eq!(groups(&selection), "veth0=0 veth1=1");
        assert_eq!(selection.warnings.len(), 2);
        links.truncate(1);
        assert_eq!(
            select(&links, &[], &[]).expect_err("no error").to_string(),
            "there is no interface but lo here: name it with -i to watch it"
        );
        let named = select(&links, &[], &["lo".to_string()]).expect("a selection");
        assert_eq!((groups(&named).as_str(), named.reason.as_str()), ("lo=0", "lo: as named with -i"));
    }

    #[test]
    fn a_slave_left_out_and_an_interface_that_is_down_are_told() {
        let (mut links, bonds) = machine();
        links[2].up = false;
        let selection = select(&links, &bonds, &[]).expect("a selection");
        assert_eq!(groups(&selection), "eth0=0 eth2=1 eth3=2");
        assert_eq!(
            selection.warnings,
            ["eth1, a slave of bond0 too, which is down, is not watched: -i bond0 watches all of them"]
        );
        let selection = select(&links, &bonds, &["bond0".to_string()]).expect("a selection");
        assert_eq!(selection.warnings, ["eth1 is down: it counts nothing until it comes up"]);
        assert_eq!(selection.reason, "eth1 and eth0 (slaves of bond0): as named with -i");
    }

    #[test]
    fn the_upper_of_two_stacked_devices_has_second_copies_even_through_a_third() {
        let selection = choose(&["eth0,bond0.10,eth2"]).expect("a selection");
        assert_eq!(selection.stacked, [("bond0.10".to_string(), "eth0".to_string())]);
        let second: Vec<bool> = selection.watched.iter().map(|watch| watch.second_copy).collect();
        assert_eq!(second, [false, true, false]);
        assert!(
            selection.warnings.contains(
                &"bond0.10 stands on eth0: connections are counted on eth0, bond0.10 has totals alone"
                    .to_string()
            )
        );
    }

    #[test]
    fn a_circle_of_masters_ends() {
        let mut links = vec![link(1, "eth0"), link(2, "eth1")];
        links[0].lower.push("eth1".into());
        links[1].lower.push("eth0".into());
        let selection = select(&links, &[], &["eth0,eth1".to_string()]).expect("a selection");
        assert_eq!(selection.stacked.len(), 2);
    }

    #[test]
    fn an_interface_whose_name_holds_a_plus_or_a_comma_comes_first() {
        let links = vec![link(1, "a"), link(2, "b"), link(3, "a+b"), link(4, "a,b")];
        for (name, wanted) in [("a+b", "a+b=0"), ("a,b", "a,b=0"), ("b,a+b", "b=0 a+b=1")] {
            assert_eq!(groups(&select(&links, &[], &[name.to_string()]).expect("a selection")), wanted);
        }
    }

    #[test]
    fn sentences_of_errors() {
        assert_eq!(
            sentence(&["eht0"]),
            "there is no interface \"eht0\" here; did you mean eth0? (existing: lo, eth0, eth1, eth2, eth3, bond0, bond0.10 and bond1)"
        );
        assert!(sentence(&["eth2+bnd0"]).contains("\"bnd0\" here; did you mean bond0?"));
        assert!(sentence(&["ENP3S0x"]).contains("did you mean enp3s0?"));
        assert!(!sentence(&["wlan7"]).contains("did you mean"));
        assert_eq!(
            sentence(&["eth0", "bond1"]),
            "bond bond1 has no slaves, so there is nothing to watch: add one (ip link set IF master bond1) or name another interface"
        );
        for argument in ["", "eth0,,eth1", "eth0+", ","] {
            assert!(sentence(&[argument]).contains("has an empty name in it"), "{argument:?}");
        }
        let links: Vec<Link> = (1..=200).map(|index| link(index, &format!("eth{index}"))).collect();
        let text = select(&links, &[], &[]).expect_err("no error").to_string();
        assert!(
            text.starts_with("200 interfaces would be watched, but one run watches at most 127"),
            "{text}"
        );
        let text = select(&links, &[], &["xyzzy".into()]).expect_err("no error").to_string();
        assert!(text.ends_with("eth20 and 180 more)"), "{text}");
    }

    #[test]
    fn as_many_interfaces_as_there_may_be_have_as_many_groups() {
        let links: Vec<Link> =
            (0..LINKS_MAX as u32).map(|index| link(index, &format!("eth{index}"))).collect();
        let selection = select(&links, &[], &[]).expect("a selection");
        assert_eq!(selection.watched.last().map(|watch| watch.group), Some(LINKS_MAX as u8 - 1));
    }

    #[test]
    fn a_speed_that_the_user_tells_counts_for_virtual_links_and_for_slaves() {
        let mut selection = choose(&["bond0", "bond0.10"]).expect("a selection");
        selection.set_speed("bond0", 10_000_000_000).expect("slaves are watched");
        selection.set_speed("bond0.10", 5).expect("it is watched");
        let speeds: Vec<Option<u64>> = selection.watched.iter().map(|watch| watch.line_speed()).collect();
        assert_eq!(speeds, [Some(10_000_000_000), Some(10_000_000_000), Some(5)]);
        assert!(selection.set_speed("eth9", 1).is_err());
    }
}
