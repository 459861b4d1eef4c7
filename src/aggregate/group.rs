//! Rows for views: flows as they are, or summed by pair, host, destination, port.
//!
//! Only the groupings that a view asks for are kept. A group is within a scope:
//! all interfaces together, or one of them. Its number is bounded; what finds no
//! place is summed in one group of its own per scope, so the rows of a view
//! still add up.

use super::balance::Balancer;
use super::best::Best;
use super::classes::{Classes, NO_CLASS};
use super::destination::Servers;
use super::rows::{RowState, Rows, is_closed, silent};
use super::sight::RowSight;
use super::sliding::{INTERVALS, Sliding};
use super::snapshot::{InterfaceFigures, Row, RowName};
use super::view::{Grouping, Order, View};
use super::window::{Averages, Calendar, Histories, NO_HISTORY, Since};
use crate::capture::{Lane, LinkId};
use crate::flow::entry::Entry;
use crate::meter::totals::{Count, LaneTotals};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Groups of all views together.
pub const GROUPS_MAX: usize = 1 << 20;

type Scope = Option<LinkId>;

struct Group {
    scope: Scope,
    name: RowName,
    total: [Count; 2],
    base: [Count; 2],
    touched: u32,
    history: u32,
}

impl Group {
    fn new(scope: Scope, name: RowName) -> Group {
        let none = [Count::default(); 2];
        Group { scope, name, total: none, base: none, touched: 0, history: NO_HISTORY }
    }
}

/// What is kept: whether by interface, and which grouping.
type Kept = (bool, Grouping);

/// Groupings that are kept at once, at most.
const KEPT_MAX: usize = 12;

/// See the module's description.
pub struct Groups {
    kept: Vec<Kept>,
    /// Of each, since when it is.
    since: Vec<Since>,
    numbers: HashMap<(Scope, RowName), u32>,
    groups: Vec<Group>,
    touched: Vec<u32>,
    histories: Histories,
    /// Where rates are those of the last second.
    pub(super) sliding: Option<Sliding>,
    interval: u32,
    groups_max: usize,
    /// Where interfaces are compared.
    pub(super) balancer: Option<Balancer>,
    classes: Arc<Classes>,
    /// Destinations that have groups.
    allowed: Servers,
    free: Vec<u32>,
    /// Groups that made room, and the interval in which that was tried last.
    folded: u64,
    folded_in: u32,
    /// Raised when `kept` changes: numbers that rows remember are of another set then.
    generation: u32,
}

/// Numbers of the groups that a row's sides add to, by kept grouping: the two
/// groups of its first side, those of its second. None are known at first.
pub(super) type Known = [[u32; 2]; 2];
const UNKNOWN: Known = [[u32::MAX; 2]; 2];
/// In place of a group's number: adds to none.
const NOWHERE: u32 = u32::MAX - 1;

/// The numbers that rows remember, by slot: a known flow needs no hashing.
#[derive(Default)]
pub(super) struct GroupIds {
    known: Vec<Known>,
    generation: u32,
}

impl GroupIds {
    /// A row's numbers.
    #[inline]
    pub fn of(&mut self, slot: u32, groups: &Groups) -> &mut [Known] {
        let each = groups.kept.len();
        if self.generation != groups.generation {
            self.generation = groups.generation;
            self.known.clear();
        }
        let place = slot as usize * each;
        if self.known.len() < place + each {
            self.known.resize(place + each, UNKNOWN);
        }
        &mut self.known[place..place + each]
    }

    /// A row is another flow's, on other interfaces, or its client is another one.
    #[inline]
    pub fn forget(&mut self, slot: u32, groups: &Groups) {
        if groups.in_use() {
            self.of(slot, groups).fill(UNKNOWN);
        }
    }
}

impl Groups {
    /// Nothing is kept yet. `averages`: whether histories are.
    pub fn new(averages: bool) -> Groups {
        Groups {
            kept: Vec::new(),
            since: Vec::new(),
            numbers: HashMap::new(),
            groups: Vec::new(),
            touched: Vec::new(),
            histories: Histories::new(averages),
            sliding: None,
            interval: 0,
            groups_max: GROUPS_MAX,
            balancer: None,
            classes: Arc::default(),
            allowed: Servers::default(),
            free: Vec::new(),
            folded: 0,
            folded_in: 0,
            generation: 0,
        }
    }

    /// What classes are.
    pub(super) fn classify(&mut self, classes: Arc<Classes>) {
        self.classes = classes;
    }

    /// No other destinations have groups.
    pub(super) fn allow(&mut self, allowed: Servers) {
        self.allowed = allowed;
    }

    /// Keeps what a view asks for, over all interfaces or of each; whether it is
    /// new, so that the flows that are open have to be summed once. `now`: what its
    /// groups had before is in no average.
    pub(super) fn keep(&mut self, each_link: bool, view: &View, now: Since) -> bool {
        let kept = (each_link, view.grouping);
        let of_rows = matches!(view.grouping, Grouping::Connection | Grouping::Interface);
        if of_rows || view.limit == 0 || self.kept.contains(&kept) || self.kept.len() >= KEPT_MAX {
            return false;
        }
        self.kept.push(kept);
        self.since.push(now);
        self.generation += 1;
        true
    }

    /// Whether any grouping is kept.
    #[inline]
    pub fn in_use(&self) -> bool {
        !self.kept.is_empty()
    }

    /// A direction of a flow gained this much on a lane.
    #[inline]
    pub(super) fn gain(
        &mut self,
        row: &RowState,
        side: usize,
        lane: Lane,
        gained: Count,
        known: &mut [Known],
    ) {
        for (kept, known) in known.iter_mut().enumerate() {
            let numbers = &mut known[side & 1];
            if numbers[0] == u32::MAX {
                *numbers = self.look_up(self.kept[kept], row, side, lane);
            }
            let directions = directions(self.kept[kept].1, row, side);
            for (&number, &direction) in numbers.iter().zip(directions) {
                self.add(number, direction, gained);
            }
        }
    }

    /// A direction of a flow that had `before` on a lane gained this much there:
    /// for interfaces side by side.
    #[inline]
    pub(super) fn compare(&mut self, row: &RowState, side: usize, lane: Lane, before: Count, gained: Count) {
        if let Some(balancer) = self.balancer.as_mut().filter(|balancer| balancer.in_use()) {
            balancer.gain(row, side, lane, before, gained);
        }
    }

    /// The same of a flow whose interfaces change: nothing is remembered.
    pub(super) fn gain_anew(&mut self, row: &RowState, side: usize, lane: Lane, gained: Count) {
        for kept in 0..self.kept.len() {
            self.gain_one(kept, row, side, lane, gained);
        }
    }

    /// The latest grouping takes in what an open flow had before the interval,
    /// and what it gained in it.
    pub(super) fn take_in(&mut self, row: &RowState, side: usize, lane: Lane, [before, gained]: [Count; 2]) {
        let Some(&latest) = self.kept.last() else { return };
        let numbers = self.look_up(latest, row, side, lane);
        for (&number, &direction) in numbers.iter().zip(directions(latest.1, row, side)) {
            self.add(number, direction, gained);
            let Some(group) = self.groups.get_mut(number as usize) else { continue };
            group.total[direction].add(before);
            group.base[direction].add(before);
        }
    }

    fn gain_one(&mut self, kept: usize, row: &RowState, side: usize, lane: Lane, gained: Count) {
        let numbers = self.look_up(self.kept[kept], row, side, lane);
        for (&number, &direction) in numbers.iter().zip(directions(self.kept[kept].1, row, side)) {
            self.add(number, direction, gained);
        }
    }

    /// Numbers of the groups that a side adds to; the second one only where there are two.
    fn look_up(&mut self, (each_link, grouping): Kept, row: &RowState, side: usize, lane: Lane) -> [u32; 2] {
        let scope = each_link.then(|| lane.link());
        let key = &row.key;
        let server = 1 - row.client_second as usize;
        let name = match grouping {
            Grouping::Pair => RowName::Pair(key.ip(0), key.ip(1)),
            Grouping::Host => {
                let from = self.number(scope, RowName::Host(key.ip(side)));
                let generation = self.generation;
                let to = self.number(scope, RowName::Host(key.ip(1 - side)));
                // The second may have made room of the first; that is done once an interval.
                let stays = self.generation == generation;
                return [if stays { from } else { self.number(scope, RowName::Host(key.ip(side))) }, to];
            }
            Grouping::Destination if !self.allowed.have(key, server) => return [NOWHERE; 2],
            Grouping::Destination => RowName::Destination(key.ip(server)),
            Grouping::Source => RowName::Source(key.ip(1 - server)),
            Grouping::Port => RowName::Port(key.protocol(), key.end(server).port),
            Grouping::Class => RowName::Class(self.classes.of(key, row.client_second)),
            Grouping::Connection => RowName::Connection(*key),
            Grouping::Interface => RowName::Interface(lane.link()),
        };
        [self.number(scope, name), u32::MAX]
    }

    fn number(&mut self, scope: Scope, name: RowName) -> u32 {
        match self.numbers.get(&(scope, name)) {
            Some(&number) => number,
            None if self.groups.len() < self.groups_max => self.open(scope, name),
            None => {
                if self.free.is_empty() && self.folded_in != self.interval + 1 {
                    self.make_room();
                }
                match self.free.pop() {
                    Some(number) => self.open_at(number, scope, name),
                    None => self.rest(scope, name),
                }
            }
        }
    }

    /// The group for what finds no place of its own.
    fn rest(&mut self, scope: Scope, name: RowName) -> u32 {
        let rest = rest_of(name);
        let known = self.numbers.get(&(scope, rest)).copied();
        known.unwrap_or_else(|| self.open(scope, rest))
    }

    /// A quarter of the groups, those that have been silent for longest, is
    /// summed in the group for the rest; not what had packets in this interval.
    #[cold]
    fn make_room(&mut self) {
        let interval = self.interval + 1;
        self.folded_in = interval;
        let is_rest = |group: &Group| rest_of(group.name) == group.name;
        let silent = (0u32..).zip(&self.groups);
        let silent = silent.filter(|(_, group)| group.touched != interval && !is_rest(group));
        let mut silent: Vec<(u32, u32)> = silent.map(|(number, group)| (group.touched, number)).collect();
        let most = silent.len().min(self.groups_max / 4);
        if most == 0 {
            return;
        }
        silent.select_nth_unstable(most - 1);
        for &(_, number) in &silent[..most] {
            let group = &self.groups[number as usize];
            let (scope, name, total, history) = (group.scope, group.name, group.total, group.history);
            let rest = self.rest(scope, name);
            let rest = &mut self.groups[rest as usize];
            for (direction, had) in total.into_iter().enumerate() {
                rest.total[direction].add(had);
                rest.base[direction].add(had);
            }
            self.histories.release(history, number);
            self.numbers.remove(&(scope, name));
            if let Some(sliding) = &mut self.sliding {
                sliding.forget(number);
            }
            self.groups[number as usize].total = [Count::default(); 2];
            self.free.push(number);
        }
        self.folded += most as u64;
        // Rows remember numbers that are others' now.
        self.generation += 1;
    }

    /// How many groups had to make room since this was asked last.
    pub(super) fn take_folded(&mut self) -> u64 {
        std::mem::take(&mut self.folded)
    }

    #[inline]
    fn add(&mut self, number: u32, direction: usize, gained: Count) {
        let interval = self.interval + 1;
        let Some(group) = self.groups.get_mut(number as usize) else { return };
        if group.touched != interval {
            group.touched = interval;
            group.base = group.total;
            self.touched.push(number);
        }
        group.total[direction & 1].add(gained);
    }

    fn open(&mut self, scope: Scope, name: RowName) -> u32 {
        let number = self.groups.len() as u32;
        self.groups.push(Group::new(scope, name));
        self.numbers.insert((scope, name), number);
        number
    }

    fn open_at(&mut self, number: u32, scope: Scope, name: RowName) -> u32 {
        self.groups[number as usize] = Group::new(scope, name);
        self.numbers.insert((scope, name), number);
        number
    }

    fn gained(&self, group: &Group) -> [Count; 2] {
        match group.touched == self.interval + 1 {
            true => [0, 1].map(|direction| group.total[direction].since(&group.base[direction])),
            false => [Count::default(); 2],
        }
    }

    /// What a group gained in the interval, or in the last second.
    fn recent(&self, number: u32) -> [Count; 2] {
        match &self.sliding {
            Some(sliding) if self.groups[number as usize].scope.is_none() => sliding.of(number),
            _ => self.gained(&self.groups[number as usize]),
        }
    }

    /// Since when groups of its kind are kept.
    fn since(&self, group: &Group) -> Since {
        let is = |kept: &Kept| *kept == (group.scope.is_some(), group.name.grouping());
        let since = self.kept.iter().zip(&self.since).find(|(kept, _)| is(kept));
        since.map_or_else(Since::default, |(_, since)| *since)
    }

    fn row(&self, number: u32, calendar: &Calendar) -> Row {
        let group = &self.groups[number as usize];
        let averages = self.averages(number, calendar);
        Row { averages, ..plain(group.name, self.recent(number), group.total) }
    }

    fn averages(&self, number: u32, calendar: &Calendar) -> Option<Averages> {
        let group = &self.groups[number as usize];
        let history = self.histories.get(group.history, number);
        history.map(|history| history.averages_since(calendar, self.since(group)))
    }

    /// What groups gained in the interval goes into their histories.
    pub(super) fn keep_averages(&mut self, calendar: &Calendar) {
        if let Some(mut sliding) = self.sliding.take() {
            sliding.advance();
            for &number in &self.touched {
                sliding.add(number, self.gained(&self.groups[number as usize]));
            }
            self.sliding = Some(sliding);
        }
        if !self.histories.wanted() {
            return;
        }
        for at in 0..self.touched.len() {
            let number = self.touched[at];
            let group = &self.groups[number as usize];
            let (gained, mut history) = (self.gained(group), group.history);
            self.histories.add(&mut history, number, calendar, gained);
            self.groups[number as usize].history = history;
        }
        self.histories.sweep(calendar);
    }

    /// The interval is over.
    pub(super) fn next_interval(&mut self) {
        self.interval += 1;
        self.touched.clear();
    }
}

/// Where a side's gain goes in each of its groups: `to` or `from` the thing named.
fn directions(grouping: Grouping, row: &RowState, side: usize) -> &'static [usize] {
    match grouping {
        Grouping::Host => &[1, 0],
        Grouping::Pair | Grouping::Connection | Grouping::Interface if side == 0 => &[0],
        Grouping::Pair | Grouping::Connection | Grouping::Interface => &[1],
        Grouping::Destination | Grouping::Source | Grouping::Port | Grouping::Class
            if side == row.client_second as usize =>
        {
            &[0]
        }
        Grouping::Destination | Grouping::Source | Grouping::Port | Grouping::Class => &[1],
    }
}

/// The group that stands for all that found no place: the unspecified address, or port 0.
fn rest_of(name: RowName) -> RowName {
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    match name {
        RowName::Pair(..) => RowName::Pair(nobody, nobody),
        RowName::Host(_) => RowName::Host(nobody),
        RowName::Destination(_) => RowName::Destination(nobody),
        RowName::Source(_) => RowName::Source(nobody),
        RowName::Port(..) => RowName::Port(0, 0),
        RowName::Class(_) => RowName::Class(NO_CLASS),
        RowName::Connection(_) | RowName::Interface(_) => name,
    }
}

/// What a view's rows are chosen from.
pub(super) struct Stock<'a> {
    pub rows: Vec<&'a Rows>,
    pub groups: &'a Groups,
    pub interfaces: &'a [InterfaceFigures],
    pub calendar: &'a Calendar,
    /// The boundary, [`tenths`].
    pub now: u32,
    /// Closed connections are left out when they have been silent for longer, tenths of a second.
    pub linger: Option<u32>,
}

impl Stock<'_> {
    /// Whether a row has been closed for longer than it is shown.
    fn has_gone(&self, row: &RowState) -> bool {
        self.linger.is_some_and(|linger| is_closed(row.state) && silent(self.now, row.last) > linger)
    }
}

/// The rows that a view asks for, in its order, and how many there were to choose from.
pub(super) fn select(view: &View, scope: Scope, stock: &Stock) -> (Vec<Row>, u64) {
    select_behind(view, scope, stock, Vec::new(), 0)
}

/// The same, and rows from elsewhere, the best of so many.
pub(super) fn select_behind(
    view: &View,
    scope: Scope,
    stock: &Stock,
    others: Vec<Row>,
    found: u64,
) -> (Vec<Row>, u64) {
    let mut best = Best::behind(view, others, found);
    let intervals = if stock.groups.sliding.is_some() { INTERVALS as u64 } else { 1 };
    best.span_ns = stock.calendar.interval_ns().saturating_mul(intervals);
    if view.limit == 0 {
        return (Vec::new(), 0);
    }
    let all = view.shows_silent();
    match view.grouping {
        Grouping::Connection => {
            for rows in &stock.rows {
                best.found +=
                    if scope.is_none() { rows.pruned[usize::from(view.shows_rates() && !all)] } else { 0 };
                let judged = scope.is_none() && rows.judges(view.only.as_ref());
                let take = |sight: RowSight| {
                    if scope.is_some() || !stock.has_gone(sight.row) {
                        offer_flow(&mut best, scope, &sight, stock.calendar, stock.now);
                    }
                };
                match view.order {
                    _ if all => rows.each(judged, take),
                    // Not only who had something in this tenth of the second.
                    Order::Average(_) => rows.each_with_averages(judged, take),
                    _ if stock.groups.sliding.is_some() => rows.each(judged, take),
                    _ => rows.each_touched(judged, take),
                }
            }
        }
        Grouping::Interface => {
            for figures in stock.interfaces.iter().filter(|one| scope.is_none_or(|link| link == one.link)) {
                let (now, total) = (figures.interval, figures.total);
                let counts = |lanes: [LaneTotals; 2]| lanes.map(|lane| lane.count);
                let row = plain(RowName::Interface(figures.link), counts(now), counts(total));
                let shown = if view.shows_rates() { row.interval } else { row.total };
                let known = Some(figures.averages);
                best.offer(&shown, row.name, false, None, || known, || Row { averages: known, ..row });
            }
        }
        _ => {
            let groups = stock.groups;
            let mut take = |number: u32| {
                let group = &groups.groups[number as usize];
                if group.name.grouping() != view.grouping || group.scope != scope {
                    return;
                }
                // A grouping that is new has what was there before.
                let shown = if view.shows_rates() { groups.recent(number) } else { group.total };
                let had = if all { group.total } else { shown };
                if had[0].packets + had[1].packets > 0 {
                    let averages = || groups.averages(number, stock.calendar);
                    best.offer(&shown, group.name, false, None, averages, || {
                        groups.row(number, stock.calendar)
                    });
                }
            };
            match view.order {
                Order::Average(_) => groups.histories.owners().for_each(|(_, number)| take(number)),
                _ if all || groups.sliding.is_some() => (0..groups.groups.len() as u32).for_each(take),
                _ => groups.touched.iter().copied().for_each(take),
            }
        }
    }
    best.finish()
}

fn plain(name: RowName, interval: [Count; 2], total: [Count; 2]) -> Row {
    Row {
        name,
        client_second: false,
        interval,
        total,
        state: None,
        marks: 0,
        lanes: [None; 2],
        idle_ns: None,
        averages: None,
    }
}

pub(super) fn offer_flow(best: &mut Best, scope: Scope, sight: &RowSight, calendar: &Calendar, moment: u32) {
    let row = sight.row;
    let (now, total) = sight.within(scope);
    let now = if scope.is_none() { sight.recent } else { now };
    // A flow that has ended or was handed over again without a packet.
    let shown = if best.view.shows_rates() { &now } else { &total };
    let had = if best.view.shows_silent() { &total } else { shown };
    if had[0].packets + had[1].packets == 0 {
        return;
    }
    let order = [row.client_second as usize, 1 - row.client_second as usize];
    let averages = || sight.averages(calendar);
    best.offer(shown, RowName::Connection(row.key), row.client_second, sight.shown, averages, || Row {
        name: RowName::Connection(row.key),
        client_second: row.client_second,
        interval: order.map(|side| now[side]),
        total: order.map(|side| total[side]),
        state: row.state,
        marks: row.marks,
        lanes: order.map(|side| sight.lanes(scope)[side]),
        idle_ns: Some(u64::from(silent(moment, row.last)) * 100_000_000),
        averages: averages().map(|known| Averages {
            windows: known.windows.map(|rates| rates.map(|rates| order.map(|side| rates[side]))),
            peak: known.peak.map(|rates| order.map(|side| rates[side])),
            ..known
        }),
    });
}

/// The marks of an entry tell the source of its roles.
pub fn role_source(marks: u16) -> &'static str {
    use crate::flow::entry::mark;
    if marks & mark::ROLE_SYN != 0 {
        "syn"
    } else if marks & mark::ROLE_SYNACK != 0 {
        "synack"
    } else if marks & mark::ROLE_LISTEN != 0 {
        "listen"
    } else {
        "port"
    }
}

/// Whether an entry was picked up after its start.
pub fn is_midstream(entry: &Entry) -> bool {
    entry.marks & crate::flow::entry::mark::MIDSTREAM != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::key::{End, FlowKey};

    fn view(grouping: Grouping) -> View {
        View { grouping, order: Order::Bytes, offset: 0, limit: 10, only: None }
    }

    /// Flow number `slot`: hosts meet again in others.
    fn row(slot: u32) -> RowState {
        let end = |n: u32, port| End::v4(0xc612_0000 + n, port);
        let (key, _) = FlowKey::new(end(slot % 13, 40_000), end(20 + slot % 7, 443), 6, false, 0, 0);
        let mut row = RowState::default();
        (row.key, row.lanes) = (key, [0, 1]);
        row
    }

    /// However often room is made, a group has only what is its own, and none is lost.
    #[test]
    fn room_is_made_without_mixing_groups() {
        let groupings = [Grouping::Port, Grouping::Host, Grouping::Pair];
        let mut groups = Groups { groups_max: 24, ..Groups::new(false) };
        groupings.iter().for_each(|&grouping| assert!(groups.keep(false, &view(grouping), Since::default())));
        let mut ids = GroupIds::default();
        let mut truth: HashMap<RowName, u64> = HashMap::new();
        let (mut random, mut packets) = (1u64, 0);
        for interval in 0..2000 {
            let mut now: HashMap<RowName, u64> = HashMap::new();
            for _ in 0..interval % 9 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let slot = (random >> 33) as u32 % 91;
                let (row, side) = (row(slot), (random >> 60) as usize & 1);
                let known = ids.of(slot, &groups);
                groups.gain(&row, side, Lane(side as u8), Count { packets: 1, bytes: 60 }, known);
                let ips = [row.key.ip(0), row.key.ip(1)];
                let names = [RowName::Host(ips[0]), RowName::Host(ips[1]), RowName::Pair(ips[0], ips[1])];
                names.into_iter().for_each(|name| *now.entry(name).or_default() += 1);
                packets += 1;
            }
            now.iter().for_each(|(name, more)| *truth.entry(*name).or_default() += more);
            let sum = |counts: [Count; 2]| counts[0].packets + counts[1].packets;
            for group in groups.groups.iter().filter(|group| sum(group.total) > 0) {
                if rest_of(group.name) != group.name && group.name.grouping() != Grouping::Port {
                    assert!(sum(group.total) <= truth[&group.name], "{:?}", group.name);
                    let gained = now.get(&group.name).copied().unwrap_or(0);
                    assert!(sum(groups.gained(group)) <= gained, "{:?} in interval {interval}", group.name);
                }
            }
            for (grouping, times) in [(Grouping::Port, 1), (Grouping::Host, 2), (Grouping::Pair, 1)] {
                let of_kind = groups.groups.iter().filter(|group| group.name.grouping() == grouping);
                assert_eq!(
                    of_kind.map(|group| sum(group.total)).sum::<u64>(),
                    times * packets,
                    "{grouping:?}"
                );
            }
            groups.next_interval();
        }
        assert!(groups.take_folded() > 100 && groups.groups.len() <= 24 + 3);
    }
}
