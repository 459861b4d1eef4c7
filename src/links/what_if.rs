//! What another hash policy would do with what a bond sends, and whether that
//! can be believed.
//!
//! Each flow that was sent is put where every policy would have put it, under
//! every kernel that there has been ([`policy::CHOICES`](super::policy::CHOICES)),
//! and the slave that it really took stands beside. Before anything else is
//! said the policy in force has to tell where the bytes went: which kernel's
//! age fits is learnt from that, and if none does, no alternative is shown and
//! the reason is.
//!
//! Pure sums. Knows no bond: who asks says how many usable slaves there are,
//! in which order, and begins anew ([`Model::new`]) when that changes. Frames
//! that a slave sends by itself (`Header::is_of_slave`) are not given in.
//!
//! Source: bonding.rst; drivers/net/bonding/bond_main.c (`bond_3ad_xor_xmit`,
//! `bond_update_slave_arr`).

use super::balance::Balance;
use super::policy::{CHOICE_COUNT, CHOICES, Choice, Hashes, Icmp, Kernel, Policy, Shift, slave};
use std::fmt;

/// The part of the bytes that a model has to put right, or it is not believed.
pub const ACCURACY_MIN: f64 = 0.95;
/// Flows that have to be seen before a policy is named by what fits: with fewer
/// a wrong one may fit by luck.
pub const FLOWS_MIN: u64 = 24;
/// Slaves whose order is found by what fits; more would take too long.
const ORDERED_MAX: usize = 10;

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Wire packets.
    pub packets: u64,
    /// Layer-2 bytes.
    pub bytes: u64,
    /// Flows; one that took two slaves is one on each.
    pub flows: u64,
}

impl Sent {
    fn add(&mut self, other: Sent) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.flows = self.flows.saturating_add(other.flows);
    }
}

/// Sums of what a bond sent, by what each choice would have done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    slaves: usize,
    /// By choice and place in the list of slaves.
    would: Vec<Sent>,
    /// By choice, place in the list, and slave that was taken.
    went: Vec<Sent>,
    took: Vec<Sent>,
    /// On a slave that the hash cannot choose (any more).
    elsewhere: Sent,
}

impl Model {
    /// Nothing yet, for so many usable slaves.
    pub fn new(slaves: usize) -> Model {
        Model {
            slaves,
            would: vec![Sent::default(); CHOICE_COUNT * slaves],
            went: vec![Sent::default(); CHOICE_COUNT * slaves * slaves],
            took: vec![Sent::default(); slaves],
            elsewhere: Sent::default(),
        }
    }

    /// Adds what a flow sent: its hashes, and for each slave that it took (its
    /// place among the usable ones; `None` for another) what it sent there.
    pub fn add(&mut self, hashes: &Hashes, taken: &[(Option<usize>, Sent)]) {
        let mut whole = Sent::default();
        for (place, sent) in taken {
            whole.add(*sent);
            match place.and_then(|place| self.took.get_mut(place)) {
                Some(took) => took.add(*sent),
                None => self.elsewhere.add(*sent),
            }
        }
        // However many slaves it took, a hash sends it to one.
        whole.flows = taken.iter().map(|(_, sent)| sent.flows).max().unwrap_or(0);
        for (choice, hash) in hashes.0.iter().enumerate() {
            let Some(place) = slave(*hash, self.slaves) else { return };
            let row = choice * self.slaves + place;
            if let Some(would) = self.would.get_mut(row) {
                would.add(whole);
            }
            for (taken, sent) in taken {
                let cell = taken.filter(|taken| *taken < self.slaves).map(|taken| row * self.slaves + taken);
                if let Some(went) = cell.and_then(|cell| self.went.get_mut(cell)) {
                    went.add(*sent);
                }
            }
        }
    }

    /// Adds the sums of another model of the same bond; one of another number of
    /// slaves is left alone, and the answer is false.
    pub fn merge(&mut self, other: &Model) -> bool {
        if self.slaves != other.slaves {
            return false;
        }
        let own = self.would.iter_mut().chain(&mut self.went).chain(&mut self.took);
        let others = other.would.iter().chain(&other.went).chain(&other.took);
        own.zip(others).for_each(|(own, other)| own.add(*other));
        self.elsewhere.add(other.elsewhere);
        true
    }

    /// What each slave really sent.
    pub fn took(&self) -> &[Sent] {
        &self.took
    }

    /// What went over a slave that the hash cannot choose.
    pub fn elsewhere(&self) -> Sent {
        self.elsewhere
    }

    /// What the choice of this number in [`CHOICES`] would have put at each place of the list.
    pub fn would(&self, choice: usize) -> &[Sent] {
        let from = choice.saturating_mul(self.slaves);
        self.would.get(from..from.saturating_add(self.slaves)).unwrap_or_default()
    }

    /// What a choice puts at a place and went over a slave.
    fn went(&self, choice: usize, place: usize, taken: usize) -> Sent {
        self.went.get((choice * self.slaves + place) * self.slaves + taken).copied().unwrap_or_default()
    }

    fn total(&self) -> Sent {
        let mut total = self.elsewhere;
        self.took.iter().for_each(|took| total.add(*took));
        total
    }

    /// The order of slaves that puts most bytes right: by sets of slaves that the
    /// first places may have, smallest first. ORDERED_MAX slaves at most.
    fn best_order(&self, choice: usize) -> Vec<usize> {
        let sets = 1_usize << self.slaves;
        // Most bytes right when the slaves of a set have the first places; who has the last of them.
        let mut best = vec![(0_u64, 0_usize); sets];
        for set in 1..sets {
            let place = set.count_ones() as usize - 1;
            let members = (0..self.slaves).filter(|slave| set >> slave & 1 == 1);
            let options = members.map(|slave| {
                let before = best.get(set ^ (1 << slave)).map_or(0, |(right, _)| *right);
                (before.saturating_add(self.went(choice, place, slave).bytes), slave)
            });
            // Of equals the last slave at the last place: the order stays where nothing speaks against it.
            let option = options.max_by_key(|(right, slave)| (*right, *slave));
            if let (Some(option), Some(entry)) = (option, best.get_mut(set)) {
                *entry = option;
            }
        }
        let (mut set, mut order) = (sets - 1, Vec::with_capacity(self.slaves));
        while let Some((_, slave)) = best.get(set).filter(|_| set != 0) {
            order.push(*slave);
            set ^= 1 << slave;
        }
        order.reverse();
        order
    }
}

/// How a bond chooses a slave, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement<'a> {
    /// By hash, with this policy in the driver's words.
    Policy(&'a str),
    /// Perhaps by hash: two interfaces of a file, a policy that nobody told.
    Unknown,
    /// Not by hash: the mode in the driver's words.
    Mode(&'a str),
}

/// What is known of a bond beside what it sent.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// How it chooses.
    pub placement: Placement<'a>,
    /// Whether the slaves stand in the driver's order; else it is found by what fits.
    pub in_order: bool,
    /// Version of the kernel that sent, where it is known: decides where what
    /// was sent does not.
    pub version: Option<(u32, u32)>,
}

/// Why no alternative is shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Withheld {
    /// The bond's mode does not hash.
    NotHashed {
        /// Its mode.
        mode: String,
    },
    /// A policy that this program does not know.
    UnknownPolicy {
        /// In the driver's words.
        name: String,
    },
    /// Fewer than two usable slaves.
    OneSlave,
    /// Too many slaves to find their order.
    NoOrder,
    /// Nothing was sent.
    NothingSent,
    /// The bond is another than it was; what is sent from now on will tell.
    Changed,
    /// Too few flows to name a policy by what fits.
    TooFewFlows {
        /// How many there were.
        flows: u64,
    },
    /// The policy in force does not explain where the bytes went.
    Inaccurate {
        /// The policy.
        policy: Policy,
        /// The part that it explains, 0 to 1.
        accuracy: f64,
    },
    /// No policy does.
    NothingFits {
        /// The one that comes nearest.
        policy: Policy,
        /// The part that it explains, 0 to 1.
        accuracy: f64,
    },
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |ratio: &f64| (ratio * 1000.0).floor() / 10.0;
        match self {
            Withheld::NotHashed { mode } => {
                write!(
                    f,
                    "mode {mode} does not choose slaves by hash, so no hash policy would change anything"
                )
            }
            Withheld::UnknownPolicy { name } => {
                write!(f, "the hash policy {name} is not known to this program")
            }
            Withheld::OneSlave => {
                write!(f, "fewer than two slaves can be used, so there is nothing to choose")
            }
            Withheld::NoOrder => {
                write!(f, "the order of the slaves is not known, and there are more than {ORDERED_MAX}")
            }
            Withheld::NothingSent => write!(f, "nothing was sent"),
            Withheld::Changed => {
                write!(f, "the bond has just changed, so what was sent tells nothing of now")
            }
            Withheld::TooFewFlows { flows } => {
                let sent = if *flows == 1 { "1 flow was" } else { &format!("{flows} flows were") };
                write!(f, "{sent} sent, and fewer than {FLOWS_MIN} do not tell one hash policy from another")
            }
            Withheld::Inaccurate { policy, accuracy } if policy.is_statistical() => write!(
                f,
                "{} explains {}% of the sent bytes: it hashes local connections by their sockets, which packets do not show",
                policy.name(),
                percent(accuracy)
            ),
            Withheld::Inaccurate { policy, accuracy } => write!(
                f,
                "{} explains only {}% of the sent bytes, so what another policy would do is not known either",
                policy.name(),
                percent(accuracy)
            ),
            Withheld::NothingFits { policy, accuracy } => write!(
                f,
                "no hash policy explains where the bytes went; {} comes nearest with {}%",
                policy.name(),
                percent(accuracy)
            ),
        }
    }
}

/// What another policy would have done.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    /// The policy, as this kernel would have it.
    pub choice: Choice,
    /// What each slave would have sent, in the caller's order.
    pub slaves: Vec<Sent>,
    /// It hashes what packets do not show: true on average, not flow by flow.
    pub statistical: bool,
}

impl Alternative {
    /// How even its bytes are; speeds as [`Balance::of`] has them.
    pub fn balance(&self, speeds: Option<&[u64]>) -> Option<Balance> {
        let bytes: Vec<u64> = self.slaves.iter().map(|sent| sent.bytes).collect();
        Balance::of(&bytes, speeds)
    }
}

/// What can be said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The policy in force, as the kernel that fits has it.
    pub in_force: Option<Choice>,
    /// It was named because it fits; nobody told it.
    pub named_by_fit: bool,
    /// Policies that fit as well as the one that was named.
    pub fit_as_well: Vec<Policy>,
    /// `model_accuracy_ratio`: the part of the sent bytes that the policy in
    /// force puts where they went, 0 to 1.
    pub accuracy: Option<f64>,
    /// What the others would do, simplest first. Empty: see `withheld`.
    pub alternatives: Vec<Alternative>,
    /// Why there is none.
    pub withheld: Option<Withheld>,
}

impl Verdict {
    /// Nothing can be said, for this reason.
    pub fn withheld(reason: Withheld) -> Verdict {
        Verdict { withheld: Some(reason), ..Verdict::default() }
    }

    /// The alternative that is most even, if it is more even than what was sent
    /// by at least a twentieth of the mean: less is not worth a change.
    pub fn better(&self, took: &[Sent], speeds: Option<&[u64]>) -> Option<&Alternative> {
        let bytes: Vec<u64> = took.iter().map(|sent| sent.bytes).collect();
        let now = Balance::of(&bytes, speeds)?.max_over_mean;
        let even =
            |one: &&Alternative| one.balance(speeds).map_or(f64::INFINITY, |balance| balance.max_over_mean);
        let best = self.alternatives.iter().min_by(|a, b| even(a).total_cmp(&even(b)))?;
        (even(&best) <= now - 0.05).then_some(best)
    }
}

/// Says what another policy would have done, or why that is not known.
pub fn judge(model: &Model, known: &Known<'_>) -> Verdict {
    let told = match known.placement {
        Placement::Mode(mode) => return Verdict::withheld(Withheld::NotHashed { mode: mode.into() }),
        Placement::Policy(name) => match Policy::from_name(name) {
            None => return Verdict::withheld(Withheld::UnknownPolicy { name: name.into() }),
            told => told,
        },
        Placement::Unknown => None,
    };
    let total = model.total();
    if let Some(reason) = too_little(model, known, total) {
        return Verdict::withheld(reason);
    }
    let prior = known.version.map_or(Kernel::NEW, |(major, minor)| Kernel::of_version(major, minor));
    let fits: Vec<Fit> =
        (0..CHOICE_COUNT).filter_map(|number| Fit::of(model, number, known.in_order)).collect();
    // Of those that fit equally well: the simplest policy, as this kernel should have it.
    let rank = |fit: &&Fit| {
        let place = Policy::ALL.iter().position(|policy| *policy == fit.choice.policy);
        let prior = Choice { kernel: prior, ..fit.choice };
        (fit.right.bytes, std::cmp::Reverse(place), likeness(fit.choice, prior))
    };
    // `max_by_key` takes the last of equals, and the newest stand first.
    let of_told = fits.iter().filter(|fit| told.is_none_or(|policy| fit.choice.policy == policy));
    let Some(best) = of_told.rev().max_by_key(rank) else { return Verdict::withheld(Withheld::NothingSent) };
    let accuracy = best.right.bytes as f64 / total.bytes as f64;
    let policy = best.choice.policy;
    // One large flow that went right by luck names nothing.
    let of_flows = best.right.flows as f64 / total.flows as f64;
    if told.is_none() && accuracy.min(of_flows) < ACCURACY_MIN {
        let withheld = Withheld::NothingFits { policy, accuracy };
        return Verdict { accuracy: Some(accuracy), ..Verdict::withheld(withheld) };
    }
    let mut verdict = Verdict {
        in_force: Some(best.choice),
        named_by_fit: told.is_none(),
        accuracy: Some(accuracy),
        ..Verdict::default()
    };
    if told.is_none() {
        let equals = fits.iter().filter(|fit| fit.right == best.right).map(|fit| fit.choice.policy);
        verdict.fit_as_well = equals.filter(|equal| *equal != policy).collect();
        verdict.fit_as_well.dedup();
    }
    if accuracy < ACCURACY_MIN {
        verdict.withheld = Some(Withheld::Inaccurate { policy, accuracy });
    } else {
        verdict.alternatives = alternatives(model, best, prior, known.version);
    }
    verdict
}

/// Why what was sent tells nothing.
fn too_little(model: &Model, known: &Known<'_>, total: Sent) -> Option<Withheld> {
    if model.slaves < 2 {
        Some(Withheld::OneSlave)
    } else if total.bytes == 0 {
        Some(Withheld::NothingSent)
    } else if known.placement == Placement::Unknown && total.flows < FLOWS_MIN {
        Some(Withheld::TooFewFlows { flows: total.flows })
    } else if !known.in_order && model.slaves > ORDERED_MAX {
        Some(Withheld::NoOrder)
    } else {
        None
    }
}

/// How well a choice says where packets went.
struct Fit {
    choice: Choice,
    /// What it puts where it went.
    right: Sent,
    /// The slave at each place of the list with which it does.
    order: Vec<usize>,
}

impl Fit {
    fn of(model: &Model, number: usize, in_order: bool) -> Option<Fit> {
        let choice = *CHOICES.get(number)?;
        let order = if in_order { (0..model.slaves).collect() } else { model.best_order(number) };
        let mut right = Sent::default();
        order.iter().enumerate().for_each(|(place, slave)| right.add(model.went(number, place, *slave)));
        Some(Fit { choice, right, order })
    }
}

/// Every other policy, as the kernel that fits would have it.
fn alternatives(model: &Model, fit: &Fit, prior: Kernel, version: Option<(u32, u32)>) -> Vec<Alternative> {
    let new_enough = |policy: Policy| match (policy, version) {
        (Policy::VlanSrcmac, Some(version)) => version >= (5, 12),
        (Policy::VlanSrcmac, None) => fit.choice.kernel.ethertype == Kernel::NEW.ethertype,
        _ => true,
    };
    let others = Policy::ALL.into_iter().filter(|policy| *policy != fit.choice.policy && new_enough(*policy));
    let as_here = |policy: Policy| {
        let choices = CHOICES.iter().enumerate().filter(|(_, choice)| choice.policy == policy);
        let rank = |choice: &Choice| {
            (likeness(*choice, fit.choice), likeness(*choice, Choice { policy, kernel: prior }))
        };
        choices.rev().max_by_key(|(_, choice)| rank(choice))
    };
    let alternative = |(number, choice): (usize, &Choice)| {
        let mut slaves = vec![Sent::default(); model.slaves];
        for (place, sent) in fit.order.iter().zip(model.would(number)) {
            if let Some(slave) = slaves.get_mut(*place) {
                *slave = *sent;
            }
        }
        Alternative { choice: *choice, slaves, statistical: choice.policy.is_statistical() }
    };
    others.filter_map(as_here).map(alternative).collect()
}

/// In how many traits two choices agree, as far as `seen`'s policy shows them:
/// 0 to 3. A trait that makes no difference to it counts as agreed.
fn likeness(choice: Choice, seen: Choice) -> u8 {
    let (a, b) = (choice.kernel, seen.kernel);
    let ethertype = seen.policy == Policy::VlanSrcmac || a.ethertype == b.ethertype;
    let icmp = match (seen.policy, choice.policy) {
        (Policy::Layer34 | Policy::Encap34, Policy::Layer34 | Policy::Encap34) => a.icmp == b.icmp,
        // One of them shows only whether ICMP is known at all, if that.
        (
            Policy::Layer23 | Policy::Layer34 | Policy::Encap34,
            Policy::Layer23 | Policy::Layer34 | Policy::Encap34,
        ) => (a.icmp == Icmp::Unknown) == (b.icmp == Icmp::Unknown),
        _ => true,
    };
    let shift = match (seen.policy, b.shift, choice.policy.has_ports()) {
        (Policy::Layer2 | Policy::VlanSrcmac, ..) => true,
        // With ports it shows whether there is a shift at all, without whether for all.
        (Policy::Layer34 | Policy::Encap34, Shift::Never, true) => a.shift == Shift::Never,
        (Policy::Layer34 | Policy::Encap34, Shift::Never, false) => a.shift != Shift::Always,
        (Policy::Layer34 | Policy::Encap34, _, true) => a.shift != Shift::Never,
        (Policy::Layer34 | Policy::Encap34, _, false) => true,
        (_, Shift::Always, true) => a.shift != Shift::Never,
        (_, Shift::Always, false) => a.shift == Shift::Always,
        (_, _, true) => true,
        (_, _, false) => a.shift != Shift::Always,
    };
    u8::from(ethertype) + u8::from(icmp) + u8::from(shift)
}

#[cfg(test)]
mod tests {
    use super::super::header::{Header, Inside, Ip, LinkPair, Quoted, Word};
    use super::super::policy::Ethertype;
    use super::*;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    /// A flow, from numbers that anybody chose: a third of them IPv6, some echoes,
    /// some errors, some in tunnels, a few not IP.
    fn header(seed: u64) -> Header {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        let v6 = next() % 3 == 0;
        let address = |last: u32| -> IpAddr {
            if v6 {
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, (last >> 16) as u16, last as u16).into()
            } else {
                Ipv4Addr::from(0xc612_0000 | last & 0xffff).into()
            }
        };
        let (source, destination) = (address(next()), address(next()));
        let word = match next() % 8 {
            0 => Word::Icmp { kind: 8, code: 0, id: next().to_be_bytes()[..2].try_into().expect("two") },
            1 => Word::None,
            _ => Word::Ports(next().to_be_bytes()),
        };
        let ip = Ip { source, destination, word };
        let link = LinkPair {
            destination: [2, 0, 0, 0, 0, next() as u8],
            source: [2, 0, 0, 0, 0, next() as u8 % 4],
            ethertype: if v6 { 0x86dd } else { 0x0800 },
            tci: (next() % 4 == 0).then(|| next() as u16 & 0x0fff),
        };
        let own = Header { link, own: Some(ip), quoted: Quoted::Nothing, inside: Inside::Ip(ip) };
        let other = Ip {
            source: address(next()),
            destination: address(next()),
            word: Word::Ports([1, 2, 3, next() as u8]),
        };
        match next() % 10 {
            0 => Header { quoted: Quoted::Ip(other), own: Some(Ip { word: Word::None, ..ip }), ..own },
            1 => Header { inside: Inside::Ip(other), ..own },
            2 => Header {
                own: None,
                inside: Inside::GivenUp,
                link: LinkPair { ethertype: 0x88b5, ..link },
                ..own
            },
            _ => own,
        }
    }

    fn sent(bytes: u64) -> Sent {
        Sent { packets: bytes / 100 + 1, bytes, flows: 1 }
    }

    /// A bond of so many slaves that sends by a choice; `order` is where the
    /// slave at each place of the driver's list stands in ours.
    fn bond(choice: Choice, order: &[usize], flows: &[(u64, u64)]) -> Model {
        let mut model = Model::new(order.len());
        for (seed, bytes) in flows {
            let header = header(*seed);
            let place = slave(choice.hash(&header), order.len()).expect("a slave");
            model.add(&Hashes::of(&header), &[(Some(order[place]), sent(*bytes))]);
        }
        model
    }

    fn flows(count: u64) -> Vec<(u64, u64)> {
        (0..count).map(|number| (number * 7919 + 1, 1000 + number % 50)).collect()
    }

    fn told(policy: Policy) -> Known<'static> {
        Known { placement: Placement::Policy(policy.name()), in_order: true, version: None }
    }

    const UNKNOWN: Known<'static> = Known { placement: Placement::Unknown, in_order: true, version: None };

    #[test]
    fn every_choice_is_found_again_told_or_not() {
        for (number, choice) in CHOICES.into_iter().enumerate() {
            let model = bond(choice, &[0, 1, 2], &flows(3000));
            let verdict = judge(&model, &told(choice.policy));
            assert_eq!((verdict.in_force, verdict.accuracy), (Some(choice), Some(1.0)));
            assert!(!verdict.named_by_fit && verdict.withheld.is_none());
            assert_eq!(model.would(number), model.took());
            let verdict = judge(&model, &UNKNOWN);
            assert_eq!((verdict.in_force, verdict.named_by_fit), (Some(choice), true));
            assert_eq!(verdict.fit_as_well, []);
            assert!(verdict.alternatives.iter().all(|one| one.choice.policy != choice.policy));
        }
    }

    #[test]
    fn an_alternative_is_what_it_would_have_been() {
        for choice in CHOICES {
            let flows = flows(2000);
            let model = bond(choice, &[0, 1, 2], &flows);
            for one in judge(&model, &told(choice.policy)).alternatives {
                assert_eq!(one.slaves, bond(one.choice, &[0, 1, 2], &flows).took());
                assert_eq!(one.statistical, one.choice.policy == Policy::Encap34);
            }
        }
    }

    /// What was seen of the kernel goes before its version, and that before today's.
    #[test]
    fn alternatives_are_those_of_the_same_kernel() {
        let kernel = |verdict: &Verdict, policy| {
            verdict.alternatives.iter().find(|one| one.choice.policy == policy).map(|one| one.choice.kernel)
        };
        let raw = Kernel { ethertype: Ethertype::Raw, icmp: Icmp::RawId, shift: Shift::Ports };
        let model = bond(Choice { policy: Policy::Layer34, kernel: raw }, &[0, 1, 2], &flows(3000));
        let old = judge(&model, &Known { version: Some((5, 10)), ..told(Policy::Layer34) });
        let expected = Kernel { ethertype: Ethertype::Raw, icmp: Icmp::Id, shift: Shift::Always };
        assert_eq!(kernel(&old, Policy::Layer23), Some(expected));
        assert_eq!(kernel(&old, Policy::VlanSrcmac), None, "5.10 does not have it");
        let carried = judge(&model, &Known { version: Some((6, 1)), ..told(Policy::Layer34) });
        assert_eq!(kernel(&carried, Policy::Layer23), Some(Kernel { shift: Shift::Ports, ..expected }));
        // Never shifted: nor does any other policy.
        let ancient = Kernel { ethertype: Ethertype::Raw, icmp: Icmp::Unknown, shift: Shift::Never };
        let model = bond(Choice { policy: Policy::Layer34, kernel: ancient }, &[0, 1, 2], &flows(3000));
        let verdict = judge(&model, &Known { version: Some((4, 18)), ..told(Policy::Layer34) });
        assert_eq!(kernel(&verdict, Policy::Encap34), Some(ancient));
        assert_eq!(kernel(&verdict, Policy::Layer23), Some(Kernel { shift: Shift::Ports, ..ancient }));
        let new = bond(Choice::new(Policy::Layer2), &[0, 1, 2], &flows(3000));
        let verdict = judge(&new, &told(Policy::Layer2));
        assert_eq!(verdict.alternatives.len(), 5);
        assert!(verdict.alternatives.iter().all(|one| one.choice.kernel == Kernel::NEW));
    }

    #[test]
    fn an_order_that_nobody_told_is_found() {
        for order in [[0, 1, 2], [2, 0, 1], [1, 0, 2], [2, 1, 0]] {
            let model = bond(Choice::new(Policy::Layer34), &order, &flows(2000));
            let verdict = judge(&model, &Known { in_order: false, ..UNKNOWN });
            assert_eq!((verdict.in_force, verdict.accuracy), (Some(Choice::new(Policy::Layer34)), Some(1.0)));
            let layer2 = bond(Choice::new(Policy::Layer2), &order, &flows(2000));
            assert_eq!(verdict.alternatives[0].slaves, layer2.took());
            let in_order = judge(&model, &UNKNOWN).withheld.is_none();
            assert_eq!(in_order, order == [0, 1, 2]);
        }
    }

    #[test]
    fn nothing_is_said_that_is_not_known() {
        let why = |model: &Model, known: Known<'_>| {
            let verdict = judge(model, &known);
            assert!(verdict.alternatives.is_empty());
            verdict.withheld.map(|why| why.to_string()).unwrap_or_default()
        };
        let model = bond(Choice::new(Policy::Layer34), &[0, 1], &flows(500));
        let mode = Known { placement: Placement::Mode("active-backup"), ..UNKNOWN };
        assert!(why(&model, mode).starts_with("mode active-backup does not choose slaves by hash"));
        let later = Known { placement: Placement::Policy("layer5"), ..UNKNOWN };
        assert_eq!(why(&model, later), "the hash policy layer5 is not known to this program");
        assert!(why(&model, told(Policy::Layer2)).starts_with("layer2 explains only "));
        assert!(why(&model, told(Policy::Encap34)).contains("by their sockets"));
        assert!(
            why(&bond(Choice::new(Policy::Layer2), &[0], &flows(99)), UNKNOWN)
                .starts_with("fewer than two slaves")
        );
        assert_eq!(why(&Model::new(2), UNKNOWN), "nothing was sent");
        let few = bond(Choice::new(Policy::Layer34), &[0, 1], &flows(FLOWS_MIN - 1));
        assert!(why(&few, UNKNOWN).starts_with("23 flows were sent"));
        assert!(judge(&few, &told(Policy::Layer34)).withheld.is_none());
        let many = bond(Choice::new(Policy::Layer34), &(0..11).collect::<Vec<_>>(), &flows(500));
        assert!(why(&many, Known { in_order: false, ..UNKNOWN }).contains("more than 10"));
        // In turn, as round-robin does.
        let mut turns = Model::new(2);
        for (number, (seed, bytes)) in flows(500).into_iter().enumerate() {
            turns.add(&Hashes::of(&header(seed)), &[(Some(number % 2), sent(bytes))]);
        }
        assert!(why(&turns, UNKNOWN).starts_with("no hash policy explains where the bytes went; "));
        // Nor where one flow that went right by luck has nearly all bytes.
        turns.add(
            &Hashes::of(&header(1)),
            &[(slave(Choice::new(Policy::Layer2).hash(&header(1)), 2), sent(1 << 40))],
        );
        assert!(why(&turns, UNKNOWN).starts_with("no hash policy explains"));
    }

    #[test]
    fn what_goes_elsewhere_counts_against_the_model() {
        let mut model = bond(Choice::new(Policy::Layer34), &[0, 1], &[(1, 800)]);
        model.add(&Hashes::of(&header(2)), &[(None, sent(150)), (Some(7), sent(50))]);
        assert_eq!(model.elsewhere(), Sent { packets: 3, bytes: 200, flows: 2 });
        let verdict = judge(&model, &told(Policy::Layer34));
        assert_eq!(verdict.accuracy, Some(0.8));
        assert_eq!(verdict.withheld, Some(Withheld::Inaccurate { policy: Policy::Layer34, accuracy: 0.8 }));
        assert!(model.would(0).iter().map(|sent| sent.bytes).sum::<u64>() == 1000);
    }

    #[test]
    fn a_better_policy_is_one_that_is_worth_it() {
        // One neighbour: layer2 sends all of it over one slave.
        let mut model = Model::new(2);
        for number in 0..200_u32 {
            let link = LinkPair { destination: [2; 6], source: [4; 6], ethertype: 0x0800, tci: None };
            let ip = Ip {
                source: Ipv4Addr::new(198, 18, 0, 1).into(),
                destination: Ipv4Addr::from(0xc613_0000 + number).into(),
                word: Word::Ports((number * 65_537 + 80).to_be_bytes()),
            };
            let header = Header { link, own: Some(ip), quoted: Quoted::Nothing, inside: Inside::Ip(ip) };
            let place = slave(Choice::new(Policy::Layer2).hash(&header), 2);
            model.add(&Hashes::of(&header), &[(place, sent(100))]);
        }
        let verdict = judge(&model, &told(Policy::Layer2));
        let better = verdict.better(model.took(), None).expect("one that is better");
        assert!(better.choice.policy != Policy::VlanSrcmac);
        assert!(better.balance(None).is_some_and(|balance| balance.max_over_mean < 1.3));
        // What is even already is left alone.
        assert_eq!(verdict.better(&better.slaves, None), None);
        assert_eq!(verdict.better(&[Sent::default(); 2], None), None);
    }

    proptest! {
        #[test]
        fn sums_are_the_same_however_they_are_taken(
            flows in prop::collection::vec((any::<u64>(), 0..10_000_u64), 0..60),
            slaves in 1..6_usize, cut in any::<prop::sample::Index>(), number in 0..CHOICE_COUNT,
        ) {
            let order: Vec<usize> = (0..slaves).collect();
            let whole = bond(CHOICES[number], &order, &flows);
            let (first, second) = flows.split_at(cut.index(flows.len() + 1));
            let mut merged = bond(CHOICES[number], &order, first);
            prop_assert!(merged.merge(&bond(CHOICES[number], &order, second)));
            prop_assert_eq!(&merged, &whole);
            prop_assert!(!merged.merge(&Model::new(slaves + 1)));
            let total = whole.total();
            for choice in 0..CHOICE_COUNT {
                let mut sum = Sent::default();
                whole.would(choice).iter().for_each(|sent| sum.add(*sent));
                prop_assert_eq!(sum, total);
            }
            let verdict = judge(&whole, &told(CHOICES[number].policy));
            if let Some(accuracy) = verdict.accuracy {
                prop_assert_eq!(accuracy, 1.0);
            }
        }

        /// Trying all orders finds none that puts more right.
        #[test]
        fn no_order_is_better(taken in prop::collection::vec((any::<u64>(), 0..4_usize, 1..1000_u64), 1..40)) {
            let mut model = Model::new(4);
            for (seed, place, bytes) in &taken {
                model.add(&Hashes::of(&header(*seed)), &[(Some(*place), sent(*bytes))]);
            }
            let right = |order: &[usize]| -> u64 {
                order.iter().enumerate().map(|(place, slave)| model.went(9, place, *slave).bytes).sum()
            };
            let found = model.best_order(9);
            let mut sorted = found.clone();
            sorted.sort_unstable();
            prop_assert_eq!(&sorted, &[0, 1, 2, 3]);
            for number in 0..256_usize {
                let order = [number & 3, number >> 2 & 3, number >> 4 & 3, number >> 6];
                let mut sorted = order;
                sorted.sort_unstable();
                if sorted == [0, 1, 2, 3] {
                    prop_assert!(right(&order) <= right(&found));
                }
            }
        }
    }
}
