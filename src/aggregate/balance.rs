//! Interfaces side by side: how a load is spread over those that share it, how
//! evenly it could be, and what another hash policy would do.
//!
//! Summed from the records of flows as they are applied, so nothing is left
//! out. Shares and flows are of the interval and since the start; what
//! other policies would do is told since the start (or since the set changed),
//! as it needs many flows to be believed. Who would have to move is looked for among the largest flows
//! of the fullest link.
//!
//! Knows links by number and sets of them; what a set is called is its own.

use super::classes::{ClassId, ClassSums, Classes};
use super::rows::RowState;
use crate::capture::{Direction, LINKS_MAX, Lane, LinkId};
use crate::decode::pairs::{LinkPairs, UNKNOWN};
use crate::flow::key::FlowKey;
use crate::links::balance::{Balance, Possible, best_possible};
use crate::links::header::{Header, is_told_by_key};
use crate::links::policy::Hashes;
use crate::links::what_if::{Known, Model, Placement, Sent, Verdict, Withheld, judge};
use crate::meter::bins::Speeds;
use crate::meter::totals::{Count, LaneTotals};
use arc_swap::ArcSwap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Largest flows of each link that are looked at for who would have to move.
const LARGEST: usize = 64;

/// How a set's traffic is placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placing {
    /// A bond that hashes, by this policy in the driver's words.
    Policy(String),
    /// A bond that does not, by its mode.
    Mode(String),
    /// By something that nobody told: legs of a route, interfaces of a file.
    Unknown,
    /// Each by itself: interfaces that are only watched together.
    Apart,
}

/// Interfaces that share a load, or are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSet {
    /// The bond, or what the user called the set.
    pub name: Option<String>,
    /// All of them, of a bond in the driver's order.
    pub links: Vec<LinkId>,
    /// Those that a hash may choose now, in that order.
    pub usable: Vec<LinkId>,
    /// How it is decided which takes what.
    pub placing: Placing,
    /// `usable` is in the order of the driver.
    pub in_order: bool,
    /// Version of the kernel that sends, if it is this one.
    pub version: Option<(u32, u32)>,
    /// Links that have no packet are not told of (files).
    pub met_only: bool,
    /// It was seen to be so at this time (ns since the epoch), after something
    /// changed; 0: it has been so since the start.
    pub since_ns: u64,
}

/// Sets of a run; whoever knows links changes them.
pub type LinkSets = Arc<ArcSwap<Vec<LinkSet>>>;

/// One direction of a set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread {
    /// Packets and bytes of each link, in the set's order.
    pub counts: Vec<Count>,
    /// How even the bytes are; None where nothing passed.
    pub balance: Option<Balance>,
    /// Milliseconds in which a link was at 90 % or more and another below 50 %;
    /// None where the speeds are not known.
    pub asymmetry_ms: Option<u64>,
    /// By class where there are any, most bytes first.
    pub classes: Vec<ClassSpread>,
    /// Bytes of each link that no flow has, and so no class; with those of all
    /// classes they are all. Empty where there are no classes.
    pub untracked: Vec<u64>,
}

/// One class in one direction of a set.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassSpread {
    /// Which.
    pub class: ClassId,
    /// Bytes of each link, in the set's order.
    pub bytes: Vec<u64>,
    /// How even they are.
    pub balance: Option<Balance>,
}

/// What flows of one direction allow, in an interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flows {
    /// Of each link, in the set's order.
    pub counts: Vec<u64>,
    /// The best split that placing the largest first finds.
    pub possible: Option<Possible>,
    /// Flows of the fullest link that would have to go elsewhere, largest first.
    pub movers: Vec<Mover>,
}

/// A flow that would have to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mover {
    /// What it sent in the interval over the fullest link.
    pub bytes: u64,
    /// Which.
    pub key: FlowKey,
    /// The key's second end is the client.
    pub client_second: bool,
}

/// How a set stands.
#[derive(Clone, Debug)]
pub struct SetFigures {
    /// Which.
    pub set: LinkSet,
    /// Of the interval: received, sent.
    pub interval: [Spread; 2],
    /// Since the start: received, sent.
    pub total: [Spread; 2],
    /// Of the interval: received, sent.
    pub flows: [Flows; 2],
    /// What other policies would do with what was sent since the start, or since
    /// the set changed last; None for links that are each by themselves.
    pub verdict: Option<Verdict>,
    /// What is sent from this packet time on is in the verdict; 0: all.
    pub verdict_since_ns: u64,
    /// The policy that would be more even.
    pub better: Option<String>,
    /// Part of the sent bytes that could be given to policies at all: those of
    /// flows whose key tells what is hashed.
    pub judged: Option<f64>,
}

/// Sums of one set.
struct Sums {
    set: LinkSet,
    model: Option<Model>,
    /// Bytes that no policy could be asked for.
    unjudged: u64,
    sent: u64,
    /// The end of the interval before the first one that is in the model; 0: the start.
    since_ns: u64,
    directions: [DirectionSums; 2],
}

#[derive(Default)]
struct DirectionSums {
    flows: Vec<u64>,
    bytes: Vec<u64>,
    largest: Vec<BinaryHeap<Reverse<Mover>>>,
    asymmetry_ms: [u64; 2],
}

impl DirectionSums {
    fn new(links: usize) -> DirectionSums {
        DirectionSums {
            flows: vec![0; links],
            largest: (0..links).map(|_| BinaryHeap::new()).collect(),
            ..DirectionSums::default()
        }
    }

    fn clear(&mut self) {
        self.flows.fill(0);
        self.bytes.clear();
        self.largest.iter_mut().for_each(BinaryHeap::clear);
        self.asymmetry_ms[0] = 0;
    }
}

/// See the module's description.
pub struct Balancer {
    sets: LinkSets,
    pairs: LinkPairs,
    speeds: Arc<Speeds>,
    sums: Vec<Sums>,
    classes: ClassSums,
    /// By link: its set and place there, as of the last look.
    place: Vec<Option<(u8, u8)>>,
    /// Link-layer addresses by number, as far as they are known here.
    known: Vec<Option<crate::links::header::LinkPair>>,
    /// Most movers that are told.
    most: usize,
}

impl Balancer {
    /// Sets may change while the run goes on.
    pub fn new(
        sets: LinkSets,
        pairs: LinkPairs,
        speeds: Arc<Speeds>,
        classes: Arc<Classes>,
        most: usize,
    ) -> Balancer {
        let mut balancer = Balancer {
            sets,
            pairs,
            speeds,
            sums: Vec::new(),
            classes: ClassSums::new(classes),
            place: vec![None; LINKS_MAX],
            known: Vec::new(),
            most,
        };
        balancer.look(u64::MAX);
        balancer
    }

    /// Sets as they are now: sums of those that changed begin anew, at the first
    /// boundary behind the change, so that nothing from before it is in them.
    fn look(&mut self, end_ns: u64) {
        let sets = self.sets.load_full();
        let settled = sets.iter().all(|set| set.since_ns <= end_ns);
        if !settled || self.is_latest() {
            return;
        }
        let mut old = std::mem::take(&mut self.sums);
        self.place.fill(None);
        for (number, set) in (0u8..).zip(sets.iter()) {
            let same = old.iter().position(|sums| sums.set == *set);
            self.sums.push(match same {
                Some(same) => old.swap_remove(same),
                None => Sums {
                    model: (set.placing != Placing::Apart).then(|| Model::new(set.usable.len())),
                    unjudged: 0,
                    sent: 0,
                    since_ns: if set.since_ns > 0 { end_ns } else { 0 },
                    directions: [0, 1].map(|_| DirectionSums::new(set.links.len())),
                    set: set.clone(),
                },
            });
            for (at, &link) in (0u8..).zip(&set.links) {
                if let Some(place) = self.place.get_mut(usize::from(link)) {
                    *place = Some((number, at));
                }
            }
        }
    }

    /// Whether the sets are those that are summed.
    fn is_latest(&self) -> bool {
        self.sums.iter().map(|sums| &sums.set).eq(self.sets.load().iter())
    }

    /// Whether there is any set, or may have to be told of all since the start.
    #[inline]
    pub fn in_use(&self) -> bool {
        !self.sums.is_empty() || self.classes.in_use()
    }

    /// One side of a flow gained this much on a lane, on which it had `before`.
    pub(super) fn gain(&mut self, row: &RowState, side: usize, lane: Lane, before: Count, gained: Count) {
        if self.classes.in_use() {
            self.classes.add(&row.key, row.client_second, lane, gained.bytes);
        }
        let Some(&Some((set, at))) = self.place.get(usize::from(lane.link())) else { return };
        let Some(sums) = self.sums.get_mut(usize::from(set)) else { return };
        let direction = &mut sums.directions[lane.direction() as usize];
        let at = usize::from(at);
        direction.flows[at] += 1;
        direction.bytes.push(gained.bytes);
        let mover = Mover { bytes: gained.bytes, key: row.key, client_second: row.client_second };
        let largest = &mut direction.largest[at];
        if largest.len() < LARGEST {
            largest.push(Reverse(mover));
        } else if largest.peek().is_some_and(|least| least.0 < mover) {
            largest.pop();
            largest.push(Reverse(mover));
        }
        if lane.direction() == Direction::Rx {
            return;
        }
        let Some(model) = &mut sums.model else { return };
        sums.sent += gained.bytes;
        let number = usize::from(row.pairs[side & 1]);
        if number >= self.known.len() && number != usize::from(UNKNOWN) {
            self.known = self.pairs.all();
        }
        let pair = self.known.get(number).copied().flatten();
        match pair.filter(|_| is_told_by_key(row.key.protocol())) {
            Some(pair) => {
                let hashes = Hashes::of(&Header::of_flow(pair, &row.key, side == 1));
                let flows = u64::from(before.packets == 0);
                let sent = Sent { packets: gained.packets, bytes: gained.bytes, flows };
                let link = lane.link();
                let taken = sums.set.usable.iter().position(|&usable| usable == link);
                model.add(&hashes, &[(taken, sent)]);
            }
            None => sums.unjudged += gained.bytes,
        }
    }

    /// In so many milliseconds that have been looked at, one link of a set was
    /// full and another was not.
    pub(super) fn add_asymmetry(&mut self, asymmetries: &[(usize, usize, u64)]) {
        // While sets change, their numbers there may be others than here.
        if !self.is_latest() {
            return;
        }
        for &(set, direction, milliseconds) in asymmetries {
            if let Some(sums) = self.sums.get_mut(set) {
                let told = &mut sums.directions[direction & 1].asymmetry_ms;
                told.iter_mut().for_each(|sum| *sum += milliseconds);
            }
        }
    }

    /// How the sets stand; the interval is over, at `end_ns` of packet time.
    pub(super) fn tell(
        &mut self,
        totals: &[LaneTotals],
        earlier: &[LaneTotals],
        end_ns: u64,
    ) -> Vec<SetFigures> {
        let speeds = self.speeds.clone();
        let most = self.most;
        let now = self.sets.load_full();
        let classes = &self.classes;
        let told = self.sums.iter_mut().map(|sums| {
            let mut figures = sums.tell([totals, earlier], classes, &speeds, most);
            if figures.verdict.is_some() && !now.contains(&sums.set) {
                // In part by what was before, in part by what is now: nothing can be said of both.
                figures.verdict = Some(Verdict::withheld(Withheld::Changed));
                (figures.better, figures.judged) = (None, None);
            }
            figures
        });
        let told = told.filter(|figures| figures.set.links.len() > 1).collect();
        self.classes.begin_interval();
        self.look(end_ns);
        told
    }
}

impl Sums {
    fn tell(
        &mut self,
        [totals, earlier]: [&[LaneTotals]; 2],
        classes: &ClassSums,
        speeds: &Speeds,
        most: usize,
    ) -> SetFigures {
        let met = |&(_, &link): &(usize, &LinkId)| {
            let place = 2 * usize::from(link);
            totals.get(place..place + 2).is_some_and(|lanes| lanes.iter().any(|lane| lane.frames > 0))
        };
        let numbered = self.set.links.iter().enumerate();
        let shown: Vec<(usize, LinkId)> =
            numbered.filter(|one| !self.set.met_only || met(one)).map(|(at, &link)| (at, link)).collect();
        let set = LinkSet { links: shown.iter().map(|&(_, link)| link).collect(), ..self.set.clone() };
        let known: Option<Vec<u64>> = set.links.iter().map(|&link| speeds.of(link)).collect();
        let known = known.as_deref();
        let lane = |all: &[LaneTotals], link: LinkId, direction: usize| {
            all.get(2 * usize::from(link) + direction).copied().unwrap_or_default()
        };
        let spread = |since: Option<&[LaneTotals]>, direction: usize, asymmetry_ms: u64| {
            let gained = |of: fn(&LaneTotals) -> Count| {
                let count = move |&link: &LinkId| {
                    let now = of(&lane(totals, link, direction));
                    since.map_or(now, |earlier| now.since(&of(&lane(earlier, link, direction))))
                };
                set.links.iter().map(count).collect::<Vec<Count>>()
            };
            let counts = gained(|lane| lane.count);
            let bytes: Vec<u64> = counts.iter().map(|count| count.bytes).collect();
            let mut spread = Spread { balance: Balance::of(&bytes, known), counts, ..Spread::default() };
            spread.asymmetry_ms = known.map(|_| asymmetry_ms);
            if classes.in_use() {
                let untracked = gained(LaneTotals::untracked_sum);
                spread.untracked = untracked.iter().map(|count| count.bytes).collect();
                spread.classes = by_class(classes, &set, direction, since.is_some(), known);
            }
            spread
        };
        let asymmetry = |direction: usize, which: usize| self.directions[direction].asymmetry_ms[which];
        let interval = [0, 1].map(|direction| spread(Some(earlier), direction, asymmetry(direction, 0)));
        let total = [0, 1].map(|direction| spread(None, direction, asymmetry(direction, 1)));
        let flows = [0, 1].map(|direction| {
            let spread = &interval[direction];
            self.directions[direction].tell(&shown, spread, known, most)
        });
        let (verdict, better) = self.judge(speeds);
        let judged = (self.sent > 0).then(|| 1.0 - self.unjudged as f64 / self.sent as f64);
        self.directions.iter_mut().for_each(DirectionSums::clear);
        let judged = judged.filter(|_| verdict.is_some());
        let verdict_since_ns = self.since_ns;
        SetFigures { set, interval, total, flows, verdict, verdict_since_ns, better, judged }
    }

    /// What other policies would do, and which of them would be more even.
    fn judge(&self, speeds: &Speeds) -> (Option<Verdict>, Option<String>) {
        let Some(model) = &self.model else { return (None, None) };
        let placement = match &self.set.placing {
            Placing::Policy(name) => Placement::Policy(name),
            Placing::Mode(mode) => Placement::Mode(mode),
            Placing::Unknown => Placement::Unknown,
            Placing::Apart => return (None, None),
        };
        let known = Known { placement, in_order: self.set.in_order, version: self.set.version };
        let verdict = judge(model, &known);
        let of_usable: Option<Vec<u64>> = self.set.usable.iter().map(|&link| speeds.of(link)).collect();
        let better = verdict.better(model.took(), of_usable.as_deref());
        let better = better.map(|one| one.choice.policy.name().to_owned());
        (Some(verdict), better)
    }
}

fn by_class(
    classes: &ClassSums,
    set: &LinkSet,
    direction: usize,
    interval: bool,
    speeds: Option<&[u64]>,
) -> Vec<ClassSpread> {
    let direction = if direction == 0 { Direction::Rx } else { Direction::Tx };
    let lanes: Vec<Lane> = set.links.iter().map(|&link| Lane::new(link, direction)).collect();
    let told = classes.told(&lanes, interval).into_iter();
    told.map(|(class, bytes)| ClassSpread { class, balance: Balance::of(&bytes, speeds), bytes }).collect()
}

impl DirectionSums {
    /// `shown`: places of the links that are told of.
    fn tell(
        &mut self,
        shown: &[(usize, LinkId)],
        spread: &Spread,
        speeds: Option<&[u64]>,
        most: usize,
    ) -> Flows {
        Flows {
            counts: shown.iter().map(|&(at, _)| self.flows[at]).collect(),
            possible: best_possible(&mut self.bytes, shown.len(), speeds),
            movers: self.movers(shown, spread, speeds, most),
        }
    }

    /// Of the fullest link's largest flows those that fit into what it has too
    /// much, largest first.
    fn movers(
        &self,
        shown: &[(usize, LinkId)],
        spread: &Spread,
        speeds: Option<&[u64]>,
        most: usize,
    ) -> Vec<Mover> {
        let speed = |at: usize| speeds.and_then(|speeds| speeds.get(at)).map_or(1.0, |&speed| speed as f64);
        let loads: Vec<f64> =
            spread.counts.iter().enumerate().map(|(at, count)| count.bytes as f64 / speed(at)).collect();
        let Some(fullest) = (0..loads.len()).max_by(|&a, &b| loads[a].total_cmp(&loads[b])) else {
            return Vec::new();
        };
        let all: f64 = spread.counts.iter().map(|count| count.bytes as f64).sum();
        let capacity: f64 = (0..loads.len()).map(speed).sum();
        // What it would have if all were equally full.
        let mut too_much = spread.counts[fullest].bytes as f64 - all * speed(fullest) / capacity;
        let mut largest: Vec<Mover> = self.largest[shown[fullest].0].iter().map(|mover| mover.0).collect();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        let mut movers = Vec::new();
        for mover in largest {
            if mover.bytes as f64 <= too_much && movers.len() < most && mover.bytes > 0 {
                too_much -= mover.bytes as f64;
                movers.push(mover);
            }
        }
        movers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(policy: &str, since_ns: u64) -> LinkSet {
        LinkSet {
            name: Some("bond0".into()),
            links: vec![0, 1],
            usable: vec![0, 1],
            placing: Placing::Policy(policy.into()),
            in_order: true,
            version: None,
            met_only: false,
            since_ns,
        }
    }

    /// Placing, the time from which it is judged, and why nothing is said.
    fn tell(balancer: &mut Balancer, end_ns: u64) -> (Placing, u64, Option<Withheld>) {
        let mut told = balancer.tell(&[], &[], end_ns);
        assert_eq!(told.len(), 1);
        let one = told.remove(0);
        (one.set.placing, one.verdict_since_ns, one.verdict.and_then(|verdict| verdict.withheld))
    }

    #[test]
    fn what_changed_is_judged_from_the_first_boundary_behind_the_change() {
        let sets: LinkSets = Arc::new(ArcSwap::from_pointee(vec![set("layer2", 0)]));
        let mut balancer =
            Balancer::new(sets.clone(), LinkPairs::default(), Arc::default(), Arc::default(), 10);
        let [old, new] = ["layer2", "layer3+4"].map(|name| Placing::Policy(name.into()));
        assert_eq!(tell(&mut balancer, 1000), (old.clone(), 0, Some(Withheld::NothingSent)));
        sets.store(Arc::new(vec![set("layer3+4", 2500)]));
        // An interval that ended before the change, told after it; then the one in which it was.
        assert_eq!(tell(&mut balancer, 2000), (old.clone(), 0, Some(Withheld::Changed)));
        balancer.add_asymmetry(&[(0, 1, 7)]);
        assert_eq!(tell(&mut balancer, 3000), (old, 0, Some(Withheld::Changed)));
        assert_eq!(tell(&mut balancer, 4000), (new.clone(), 3000, Some(Withheld::NothingSent)));
        // What is as it was is not begun anew.
        sets.store(Arc::new(vec![set("layer3+4", 2500)]));
        assert_eq!(tell(&mut balancer, 5000), (new.clone(), 3000, Some(Withheld::NothingSent)));
        // There and back again is a change too: something else was in between.
        sets.store(Arc::new(vec![set("layer3+4", 5500)]));
        tell(&mut balancer, 6000);
        assert_eq!(tell(&mut balancer, 7000), (new, 6000, Some(Withheld::NothingSent)));
    }
}
