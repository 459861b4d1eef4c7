//! Rows for views: flows as they are, or summed by pair, host, destination, port.
//!
//! Only the groupings that a view asks for are kept. A group is within a scope:
//! all interfaces together, or one of them. Its number is bounded; what finds no
//! place is summed in one group of its own per scope, so the rows of a view
//! still add up.

use super::rows::{LaneRows, RowState, Rows, find};
use super::snapshot::{InterfaceFigures, Row, RowName};
use super::view::{Grouping, Order, View};
use crate::capture::{Lane, LinkId};
use crate::flow::entry::{Entry, NO_LANE};
use crate::meter::totals::Count;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, Ipv4Addr};

/// Groups of all views together.
pub const GROUPS_MAX: usize = 1 << 20;

type Scope = Option<LinkId>;

struct Group {
    scope: Scope,
    name: RowName,
    total: [Count; 2],
    base: [Count; 2],
    touched: u32,
}

/// See the module's description.
pub struct Groups {
    /// Whether by interface, and what.
    kept: Vec<(bool, Grouping)>,
    numbers: HashMap<(Scope, RowName), u32>,
    groups: Vec<Group>,
    touched: Vec<u32>,
    interval: u32,
    /// Gains that were summed in a scope's group for the rest.
    pub overflows: u64,
}

impl Groups {
    /// Keeps what these views ask for: over all interfaces, and of each.
    pub fn new(all: Option<View>, each_link: Option<View>) -> Groups {
        let views = [all.map(|view| (false, view)), each_link.map(|view| (true, view))];
        let wanted = views.into_iter().flatten().filter(|(_, view)| {
            !matches!(view.grouping, Grouping::Connection | Grouping::Interface) && view.limit > 0
        });
        let kept = wanted.map(|(each, view)| (each, view.grouping)).collect();
        Groups {
            kept,
            numbers: HashMap::new(),
            groups: Vec::new(),
            touched: Vec::new(),
            interval: 0,
            overflows: 0,
        }
    }

    /// Whether any grouping is kept.
    pub fn in_use(&self) -> bool {
        !self.kept.is_empty()
    }

    /// A direction of a flow gained this much on a lane.
    pub(super) fn gain(&mut self, row: &RowState, side: usize, lane: Lane, gained: Count) {
        for number in 0..self.kept.len() {
            let (each_link, grouping) = self.kept[number];
            let scope = each_link.then(|| lane.link());
            let to_server = side == row.client_second as usize;
            let server = 1 - row.client_second as usize;
            let (key, direction) = (&row.key, !to_server as usize);
            match grouping {
                Grouping::Pair => {
                    let (a, b) = (key.ip(0), key.ip(1));
                    self.add(scope, RowName::Pair(a, b), side, gained);
                }
                Grouping::Host => {
                    self.add(scope, RowName::Host(key.ip(side)), 1, gained);
                    self.add(scope, RowName::Host(key.ip(1 - side)), 0, gained);
                }
                Grouping::Destination => {
                    self.add(scope, RowName::Destination(key.ip(server)), direction, gained);
                }
                Grouping::Port => {
                    let name = RowName::Port(key.protocol(), key.end(server).port);
                    self.add(scope, name, direction, gained);
                }
                Grouping::Connection | Grouping::Interface => {}
            }
        }
    }

    fn add(&mut self, scope: Scope, name: RowName, direction: usize, gained: Count) {
        let interval = self.interval + 1;
        let known = self.numbers.get(&(scope, name)).copied();
        let number = match known {
            Some(number) => number,
            None if self.groups.len() < GROUPS_MAX => self.open(scope, name),
            None => {
                self.overflows += 1;
                let rest = rest_of(name);
                match self.numbers.get(&(scope, rest)).copied() {
                    Some(number) => number,
                    None => self.open(scope, rest),
                }
            }
        };
        let group = &mut self.groups[number as usize];
        if group.touched != interval {
            group.touched = interval;
            group.base = group.total;
            self.touched.push(number);
        }
        group.total[direction].add(gained);
    }

    fn open(&mut self, scope: Scope, name: RowName) -> u32 {
        let number = self.groups.len() as u32;
        let none = [Count::default(); 2];
        self.groups.push(Group { scope, name, total: none, base: none, touched: 0 });
        self.numbers.insert((scope, name), number);
        number
    }

    /// The interval is over.
    pub fn next_interval(&mut self) {
        self.interval += 1;
        self.touched.clear();
    }
}

/// The group that stands for all that found no place: the unspecified address, or port 0.
fn rest_of(name: RowName) -> RowName {
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    match name {
        RowName::Pair(..) => RowName::Pair(nobody, nobody),
        RowName::Host(_) => RowName::Host(nobody),
        RowName::Destination(_) => RowName::Destination(nobody),
        RowName::Port(..) => RowName::Port(0, 0),
        RowName::Connection(_) | RowName::Interface(_) => name,
    }
}

/// The rows that a view asks for, in its order, and how many there were to choose from.
pub(super) fn select(
    view: &View,
    scope: Scope,
    rows: &mut [&mut Rows],
    groups: &mut Groups,
    interfaces: &[InterfaceFigures],
) -> (Vec<Row>, u64) {
    let mut best = Best::new(view);
    if view.limit == 0 {
        return (Vec::new(), 0);
    }
    match view.grouping {
        Grouping::Connection => {
            for rows in rows.iter_mut() {
                let interval = rows.interval();
                best.found += rows.pruned;
                let take = |row: &RowState, lanes: Option<&LaneRows>| {
                    offer_flow(&mut best, scope, row, lanes, interval);
                };
                if view.order == Order::Bytes || view.order == Order::Packets {
                    rows.each(take);
                } else {
                    rows.each_touched(take);
                }
            }
        }
        Grouping::Interface => {
            for figures in interfaces.iter().filter(|one| scope.is_none_or(|link| link == one.link)) {
                best.offer(|| {
                    plain(
                        RowName::Interface(figures.link),
                        figures.interval.map(|lane| lane.count),
                        figures.total.map(|lane| lane.count),
                    )
                });
            }
        }
        _ => {
            let interval = groups.interval + 1;
            let all = view.order == Order::Bytes || view.order == Order::Packets;
            let numbers: Box<dyn Iterator<Item = u32>> = if all {
                Box::new(0..groups.groups.len() as u32)
            } else {
                Box::new(groups.touched.iter().copied())
            };
            for group in numbers.map(|number| &groups.groups[number as usize]) {
                let fits = kind_of(group.name) == Some(view.grouping) && group.scope == scope;
                if fits {
                    let gained = gained(&group.total, &group.base, group.touched == interval);
                    best.offer(|| plain(group.name, gained, group.total));
                }
            }
        }
    }
    best.finish()
}

fn kind_of(name: RowName) -> Option<Grouping> {
    match name {
        RowName::Pair(..) => Some(Grouping::Pair),
        RowName::Host(_) => Some(Grouping::Host),
        RowName::Destination(_) => Some(Grouping::Destination),
        RowName::Port(..) => Some(Grouping::Port),
        RowName::Connection(_) | RowName::Interface(_) => None,
    }
}

fn gained(total: &[Count; 2], base: &[Count; 2], touched: bool) -> [Count; 2] {
    if touched { [total[0].since(&base[0]), total[1].since(&base[1])] } else { [Count::default(); 2] }
}

fn plain(name: RowName, interval: [Count; 2], total: [Count; 2]) -> Row {
    Row { name, client_second: false, interval, total, state: None, marks: 0, lanes: [None; 2] }
}

fn offer_flow(best: &mut Best, scope: Scope, row: &RowState, lanes: Option<&LaneRows>, interval: u32) {
    let touched = row.touched == interval;
    let (mut now, mut total) = (gained(&row.total, &row.base, touched), row.total);
    if let Some(link) = scope {
        match lanes {
            Some(lanes) => (now, total) = on_link(lanes, link, touched),
            None => {
                for side in 0..2 {
                    if row.lanes[side] == NO_LANE || Lane(row.lanes[side]).link() != link {
                        (now[side], total[side]) = (Count::default(), Count::default());
                    }
                }
            }
        }
    }
    // A flow that has ended or was handed over again without a packet.
    let all = best.order == Order::Bytes || best.order == Order::Packets;
    let shown = if all { &total } else { &now };
    if shown[0].packets + shown[1].packets == 0 {
        return;
    }
    let order = [row.client_second as usize, 1 - row.client_second as usize];
    best.offer(|| Row {
        name: RowName::Connection(row.key),
        client_second: row.client_second,
        interval: order.map(|side| now[side]),
        total: order.map(|side| total[side]),
        state: row.state,
        marks: row.marks,
        lanes: order.map(|side| (row.lanes[side] != NO_LANE).then_some(Lane(row.lanes[side]))),
    });
}

/// A flow's counts on one interface, by side: of the interval and since its start.
fn on_link(lanes: &LaneRows, link: LinkId, touched: bool) -> ([Count; 2], [Count; 2]) {
    let (mut now, mut total) = ([Count::default(); 2], [Count::default(); 2]);
    for count in lanes.now.iter().filter(|count| count.lane.link() == link) {
        let side = count.side as usize & 1;
        let sum = Count { packets: count.packets, bytes: count.bytes };
        total[side].add(sum);
        if touched {
            now[side].add(sum.since(&find(&lanes.base, count.side, count.lane)));
        }
    }
    (now, total)
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

/// The best rows so far: a heap whose top is the worst of them.
struct Best {
    order: Order,
    limit: usize,
    /// Rows offered.
    found: u64,
    heap: BinaryHeap<Ranked>,
}

struct Ranked {
    weight: u64,
    row: Row,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Ranked) -> Ordering {
        // The greatest is the worst: least weight, then last name.
        other.weight.cmp(&self.weight).then_with(|| self.row.name.cmp(&other.row.name))
    }
}
impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Ranked) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Ranked {
    fn eq(&self, other: &Ranked) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Ranked {}

impl Best {
    fn new(view: &View) -> Best {
        Best { order: view.order, limit: view.limit, found: 0, heap: BinaryHeap::new() }
    }

    #[inline]
    fn offer(&mut self, row: impl FnOnce() -> Row) {
        self.found += 1;
        let row = row();
        let weight = match self.order {
            Order::Rate => row.interval[0].bytes + row.interval[1].bytes,
            Order::Bytes => row.total[0].bytes + row.total[1].bytes,
            Order::Packets => row.total[0].packets + row.total[1].packets,
            Order::None => 0,
        };
        if self.heap.len() < self.limit {
            self.heap.push(Ranked { weight, row });
        } else if let Some(mut worst) = self.heap.peek_mut()
            && (weight > worst.weight || weight == worst.weight && row.name < worst.row.name)
        {
            *worst = Ranked { weight, row };
        }
    }

    fn finish(self) -> (Vec<Row>, u64) {
        let rows = self.heap.into_sorted_vec().into_iter().map(|ranked| ranked.row).collect();
        (rows, self.found)
    }
}
