//! What of a run is wanted besides totals and rows; told before it begins.

use super::Aggregator;
use super::balance::{Balancer, SetFigures};
use super::classes::Classes;
use super::culprit::Burst;
use super::destination::{Collector, Wanted};
use super::hidden::HiddenSums;
use super::millis::{self, LinkSpreads, Millis};
use super::run_rows::Keeper;
use super::view::View;
use super::watch::{Here, Watcher, Watches};
use crate::meter::bins::BIN_NS;
use crate::meter::totals::LaneTotals;
use std::sync::Arc;

impl Aggregator {
    /// The run began at this moment: the first interval is the shorter for it.
    pub fn begin_at(&mut self, start_ns: u64) {
        self.start_ns = Some(start_ns);
        self.boundary_ns = start_ns;
        if let Some(millis) = &mut self.millis {
            millis.begin_at(start_ns / BIN_NS);
        }
    }

    /// Milliseconds are looked at, and workers asked who filled them: their
    /// outboxes must [answer](crate::worker::outbox::Outbox::answers). Before
    /// [`Aggregator::begin_at`].
    pub fn look_at_milliseconds(&mut self, wanted: millis::Wanted) {
        let asks = self.sources.iter().map(|source| source.inbox.asks.clone()).collect();
        self.millis = Some(Millis::new(wanted, asks));
    }

    /// Handshakes are counted by these watches.
    pub fn watch(&mut self, watches: Watches, here: Arc<Here>) {
        self.watcher = Watcher::new(watches, here);
    }

    /// Interfaces that share a load are compared.
    pub fn put_side_by_side(&mut self, balancer: Balancer) {
        self.groups.balancer = Some(balancer);
    }

    /// What rows by class are.
    pub fn classify(&mut self, classes: Arc<Classes>) {
        self.groups.classify(classes);
    }

    /// Connections are counted by destination.
    pub fn collect_destinations(&mut self, wanted: Wanted, here: Arc<Here>) {
        self.groups.allow(wanted.allowed.clone());
        self.destinations = Collector::new(wanted, here);
    }

    /// The last snapshot has rows of the whole run, by sums: of all interfaces, or of each.
    pub fn keep_run_rows(&mut self, view: View, each_link: bool) {
        let keeper = Keeper::new(view, each_link);
        let (each_link, view) = keeper.kept();
        self.groups.keep(each_link, view, self.calendar.now());
        self.run_rows = Some(keeper);
    }

    /// Servers at which attempts came to nothing are told, so many at most.
    pub fn show_incomplete(&mut self, most: usize) {
        self.flood.show(most);
    }

    /// Rows and accounts leave out connections whose start was not seen.
    pub fn hide_midstream(&mut self) {
        self.hidden = HiddenSums::wanted();
        self.sources.iter_mut().for_each(|source| source.rows.hidden = HiddenSums::wanted());
    }

    /// Links by the millisecond and side by side. `end_ms`: end of a live run, once
    /// it is known; `left_out_ms`: empty intervals that follow and are left out.
    pub(super) fn side_by_side(
        &mut self,
        totals: &[LaneTotals],
        links: usize,
        end_ms: Option<u64>,
        left_out_ms: u64,
    ) -> LinkFigures {
        let mut figures = LinkFigures::default();
        let mut asymmetries = Vec::new();
        if let Some(millis) = &mut self.millis {
            figures.spreads = millis.spreads(links, end_ms);
            millis.skip(left_out_ms);
            figures.bursts = millis.take_bursts();
            figures.bursts_lost = millis.bursts_lost();
            asymmetries = millis.take_asymmetries();
        }
        if let Some(balancer) = &mut self.groups.balancer {
            balancer.add_asymmetry(&asymmetries);
            figures.balances =
                balancer.tell(totals, &self.earlier, self.boundary_ns.saturating_sub(self.set_back_ns));
        }
        figures
    }
}

/// What a snapshot tells of links besides their totals.
#[derive(Default)]
pub(super) struct LinkFigures {
    pub spreads: Vec<LinkSpreads>,
    pub bursts: Vec<Burst>,
    pub bursts_lost: u64,
    pub balances: Vec<SetFigures>,
}
