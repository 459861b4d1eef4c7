//! The first rows by a view's order, of any number that are offered.

use super::snapshot::{Row, RowName};
use super::view::{Order, View};
use super::window::Averages;
use crate::meter::totals::Count;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::net::IpAddr;

/// The best rows so far: a heap whose top is the worst of them.
pub(super) struct Best<'a> {
    pub view: &'a View,
    /// Rows offered.
    pub found: u64,
    /// How long the sums of rates were counted, ns; 0 where that is not known.
    pub span_ns: u64,
    heap: BinaryHeap<Ranked>,
}

struct Ranked {
    weight: u64,
    /// Where that goes before the name.
    end: Option<(IpAddr, u16)>,
    row: Row,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Ranked) -> Ordering {
        // The greatest is the worst: least weight, then last name; of flows that
        // had the same ports one after the other, the smaller.
        let had = |row: &Row| row.total.map(|total| (total.bytes, total.packets));
        let by_weight = other.weight.cmp(&self.weight).then_with(|| self.end.cmp(&other.end));
        let by_name = by_weight.then_with(|| self.row.name.cmp(&other.row.name));
        by_name.then_with(|| had(&other.row).cmp(&had(&self.row)))
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

impl Best<'_> {
    /// Rows that are there already, no more than the view shows, the best of so many.
    pub fn behind(view: &View, rows: Vec<Row>, found: u64) -> Best<'_> {
        let weight = |row: &Row| weight_of(&row.total, view.order).unwrap_or(0);
        let end = |row: &Row| end_of(&row.name, row.client_second, view.order);
        let heap = rows.into_iter().map(|row| Ranked { weight: weight(&row), end: end(&row), row }).collect();
        Best { view, found, span_ns: 0, heap }
    }

    /// A row that has `sums` in what the view shows of it: where it cannot be among
    /// the best it is counted and not made. `client_second` as in [`Row`];
    /// `known`: whether the view's filter shows it, where that was found out before;
    /// `averages`: those that are kept of it.
    #[inline]
    pub fn offer(
        &mut self,
        sums: &[Count; 2],
        name: RowName,
        client_second: bool,
        known: Option<bool>,
        averages: impl FnOnce() -> Option<Averages>,
        row: impl FnOnce() -> Row,
    ) {
        let fits = || self.view.only.as_ref().is_none_or(|only| only.fits(&name));
        if !known.unwrap_or_else(fits) {
            return;
        }
        self.found += 1;
        if self.view.only.as_ref().is_some_and(|only| !only.gives(&name)) {
            return;
        }
        let weight = match weight_of(sums, self.view.order) {
            Some(weight) => weight,
            None => self.average_of(averages(), sums),
        };
        let end = end_of(&name, client_second, self.view.order);
        let is_full = self.heap.len() >= self.view.offset.saturating_add(self.view.limit);
        if let (true, Some(worst)) = (is_full, self.heap.peek()) {
            // Most rows end here: nothing is made of them.
            let order = weight.cmp(&worst.weight).then_with(|| worst.end.cmp(&end));
            if order.then_with(|| worst.row.name.cmp(&name)).is_lt() {
                return;
            }
        }
        let ranked = Ranked { weight, end, row: row() };
        if !is_full {
            self.heap.push(ranked);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && ranked < *worst
        {
            *worst = ranked;
        }
    }

    /// What a row is ordered by, by an average, bits per second of both directions.
    fn average_of(&self, known: Option<Averages>, sums: &[Count; 2]) -> u64 {
        let rates = match self.view.order {
            Order::Average(window) => known.and_then(|known| known.windows[window as usize]),
            _ => known.and_then(|known| known.windows.into_iter().flatten().next()),
        };
        match (rates, self.view.order) {
            (Some([there, back]), _) => there.saturating_add(back),
            (None, Order::Average(_)) => 0,
            (None, _) => {
                let bits = u128::from(sums[0].bytes.saturating_add(sums[1].bytes)) * 8_000_000_000;
                u64::try_from(bits / u128::from(self.span_ns.max(1))).unwrap_or(u64::MAX)
            }
        }
    }

    pub fn finish(self) -> (Vec<Row>, u64) {
        let rows = self.heap.into_sorted_vec().into_iter().map(|ranked| ranked.row);
        (rows.skip(self.view.offset).collect(), self.found)
    }
}

impl View {
    /// Of rows that were made before those that this view shows, in its order, and how
    /// many those are: what it would show if there were no others. Rows without an
    /// average that it orders by come last. `span_ns`: how long their rates were counted.
    pub fn of_kept(&self, rows: &[Row], span_ns: u64) -> (Vec<Row>, u64) {
        let mut best = Best { span_ns, ..Best::behind(self, Vec::new(), 0) };
        for row in rows {
            let sums = if self.shows_rates() { &row.interval } else { &row.total };
            best.offer(sums, row.name, row.client_second, None, || row.averages, || row.clone());
        }
        best.finish()
    }
}

/// What a row is ordered by, from the sums that a view shows of it; None where it is an
/// average.
fn weight_of(sums: &[Count; 2], order: Order) -> Option<u64> {
    match order {
        Order::Rate | Order::Activity | Order::Bytes => Some(sums[0].bytes + sums[1].bytes),
        Order::Packets => Some(sums[0].packets + sums[1].packets),
        Order::None | Order::Name | Order::Destination => Some(0),
        Order::Recent | Order::Average(_) => None,
    }
}

/// The end that rows are ordered by, where they are: the client or the server of a
/// connection, the second of two addresses (by the first their names are in order).
#[inline]
fn end_of(name: &RowName, client_second: bool, order: Order) -> Option<(IpAddr, u16)> {
    match (order, name) {
        (Order::Name | Order::Destination, RowName::Connection(key)) => {
            let end = usize::from(client_second != (order == Order::Destination));
            Some((key.ip(end), key.end(end).port))
        }
        (Order::Destination, RowName::Pair(_, second)) => Some((*second, 0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::{Grouping, Only, Window};
    use super::*;
    use crate::flow::key::{End, FlowKey};

    /// Every order of rows that were made before, and a filter, which the number is of.
    #[test]
    fn rows_that_were_kept_come_in_the_orders_of_a_view() {
        let ip = |last: u8| IpAddr::from([192, 0, 2, last]);
        let row = |pair: [u8; 2], interval: u64, bytes: u64, packets: u64, middle: Option<u64>| Row {
            name: RowName::Pair(ip(pair[0]), ip(pair[1])),
            client_second: false,
            interval: [Count { packets: 1, bytes: interval }, Count::default()],
            total: [Count::default(), Count { packets, bytes }],
            state: None,
            marks: 0,
            lanes: [None, None],
            idle_ns: None,
            averages: middle
                .map(|rate| Averages { windows: [None, Some([rate, 0]), None], ..Averages::default() }),
        };
        let rows = [
            row([1, 9], 10, 400, 7, None),
            row([2, 8], 30, 300, 9, Some(5)),
            row([3, 7], 20, 500, 8, Some(6)),
        ];
        let first = |row: &Row| match row.name {
            RowName::Pair(IpAddr::V4(first), _) => first.octets()[3],
            _ => 0,
        };
        let firsts = |order, limit, only: Option<Only>| {
            let (rows, found) = View { grouping: Grouping::Pair, order, offset: 0, limit, only }
                .of_kept(&rows, 1_000_000_000);
            (rows.iter().map(first).collect::<Vec<_>>(), found)
        };
        let all = [
            (Order::Rate, [2, 3, 1]),
            (Order::Activity, [2, 3, 1]),
            (Order::Bytes, [3, 1, 2]),
            (Order::Packets, [2, 3, 1]),
            (Order::None, [1, 2, 3]),
            (Order::Destination, [3, 2, 1]),
            (Order::Average(Window::Middle), [3, 2, 1]),
        ];
        for (order, wanted) in all {
            assert_eq!(firsts(order, 3, None), (wanted.to_vec(), 3), "{order:?}");
        }
        // 10 bytes in a second are above 6 bit/s: none is kept of that row.
        assert_eq!(firsts(Order::Recent, 3, None), (vec![1, 3, 2], 3));
        let only = Only::new(move |name| *name != RowName::Pair(ip(2), ip(8)));
        assert_eq!(firsts(Order::Rate, 1, Some(only.clone())), (vec![3], 2));
        // Of those that fit one is given, and all are counted.
        let one = only.among(move |name| *name != RowName::Pair(ip(3), ip(7)));
        assert_eq!(firsts(Order::Rate, 3, Some(one)), (vec![1], 2));
    }

    /// Whichever end of the key is which.
    #[test]
    fn connections_are_ordered_by_client_or_server() {
        let ends = [[9, 1], [2, 8], [5, 3]];
        let named = ends.map(|[client, server]| {
            let end = |last: u32, port| End::v4(0xc000_0200 | last, port);
            let (key, reversed) = FlowKey::new(end(client, 40_000), end(server, 80), 6, false, 0, 0);
            (RowName::Connection(key), reversed)
        });
        let by = |order| {
            let mut rows = named.map(|(name, second)| (end_of(&name, second, order).map(|(ip, _)| ip), name));
            rows.sort();
            rows.map(|(end, _)| end.map(|ip| ip.to_string().replace("192.0.2.", "")).unwrap_or_default())
        };
        assert_eq!(by(Order::Name), ["2", "5", "9"]);
        assert_eq!(by(Order::Destination), ["1", "3", "8"]);
    }
}
