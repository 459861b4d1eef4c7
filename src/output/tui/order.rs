//! In which order rows stand, and that they keep it where that is wanted.
//!
//! An order is of a view: that of hosts has averages where others have a rate, so by
//! rate is by the first of them there. Knows what is asked of the aggregator and how it
//! is called, not how rows are found.
//! Invariant: what a title calls an order, the rows below it are in.

use super::{Kind, Moment, State};
use crate::aggregate::snapshot::{Row, RowName};
use crate::aggregate::view::{Order, Window};
use crate::output::units::{clock, grouped};
use std::collections::HashMap;
use std::sync::Arc;

/// Rows that keep their places, while others are only counted.
pub(super) struct Frozen {
    pub places: HashMap<RowName, usize>,
    /// When that began, ns since the epoch.
    since_ns: u64,
}

impl State {
    /// Where averages stand in place of a rate, what is called the rate is the first of them.
    pub(super) fn order(&self) -> Order {
        match self.orders[usize::from(self.kind == Kind::Hosts)] {
            Order::Rate if self.shows_averages() => Order::Recent,
            order => order,
        }
    }

    fn shows_averages(&self) -> bool {
        self.live && self.kind == Kind::Hosts && self.within.is_none()
    }

    /// An order in words.
    pub(super) fn words_of(&self, order: Order) -> &'static str {
        match (order, self.shortest) {
            (Order::Recent, Some(window)) => order_words(Order::Average(window)),
            _ => order_words(order),
        }
    }

    /// Which average rows are ordered by that are drawn now, where it is the shortest one.
    pub(super) fn note_averages(&mut self, rows: &[Row]) {
        let windows = [Window::Short, Window::Middle, Window::Long];
        let of_row =
            |row: &Row| row.averages.and_then(|known| known.windows.iter().position(Option::is_some));
        if !rows.is_empty() {
            self.shortest = rows.iter().filter_map(of_row).min().map(|place| windows[place.min(2)]);
        }
    }

    /// The same in words.
    pub(super) fn order_told(&self) -> &'static str {
        if self.frozen.is_some() { "in frozen order" } else { self.words_of(self.order()) }
    }

    /// Keeps the order of the rows that are there, or lets it go.
    pub(super) fn freeze(&mut self, now: Option<&Moment>) {
        let seen = self.paused.as_ref().or(now);
        // What was stands still as it is.
        let seen = seen.filter(|_| self.frozen.is_none() && self.past.is_none());
        self.frozen = seen.map(|seen| {
            let chosen = self.kept(seen).map(|(chosen, _)| chosen);
            let names = chosen.as_ref().unwrap_or(seen).rows().iter().map(|row| row.name);
            let places = names.enumerate().map(|(place, name)| (name, place)).collect();
            Arc::new(Frozen { places, since_ns: seen.snapshot.time_ns })
        });
    }

    /// What a frozen order leaves out and since when, for a title: the order, and what
    /// stands behind the rows that are `shown` of those that there are.
    pub(super) fn frozen_told(&self, shown: usize, found: u64) -> Option<[String; 2]> {
        let frozen = self.frozen.as_ref()?;
        let since = if self.live { format!(" {}", clock(frozen.since_ns)) } else { String::new() };
        let others = found.saturating_sub(shown as u64);
        let others =
            if others == 0 { String::new() } else { format!(", {} others not shown", grouped(others)) };
        Some([format!("order frozen{since}"), others])
    }

    /// Rows in the order in which they are shown.
    pub(super) fn ordered<'a>(&self, rows: &'a [Row]) -> Vec<&'a Row> {
        let mut rows: Vec<&Row> = rows.iter().collect();
        if let Some(frozen) = &self.frozen {
            rows.sort_by_key(|row| frozen.places.get(&row.name).copied().unwrap_or(usize::MAX));
        }
        rows
    }

    pub(super) fn set_order(&mut self, order: Order) {
        self.frozen = None;
        self.item = None;
        // The same order, and none of those is left out of which no average is kept.
        let is_first = order == Order::Average(Window::Short) && self.shows_averages();
        self.orders[usize::from(self.kind == Kind::Hosts)] = if is_first { Order::Rate } else { order };
        (self.scroll[self.kind as usize], self.cursor[self.kind as usize]) = (0, 0);
    }
}

/// tcptrack's cycle, and what text can sort by besides.
pub(super) fn next_order(order: Order) -> Order {
    match order {
        Order::Rate | Order::Activity | Order::Recent => Order::Bytes,
        Order::Bytes => Order::Packets,
        Order::Packets => Order::None,
        Order::None | Order::Name | Order::Destination | Order::Average(_) => Order::Rate,
    }
}

/// An order in words.
fn order_words(order: Order) -> &'static str {
    match order {
        Order::Rate | Order::Activity | Order::Recent => "by rate",
        Order::Bytes => "by bytes",
        Order::Packets => "by packets",
        Order::None => "by name",
        Order::Name => "by source",
        Order::Destination => "by destination",
        Order::Average(Window::Short) => "by 2 s average",
        Order::Average(Window::Middle) => "by 10 s average",
        Order::Average(Window::Long) => "by 40 s average",
    }
}
