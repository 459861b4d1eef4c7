//! What an output asks to see: which rows, of what, in which order, how many.

use super::snapshot::RowName;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicU64};

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grouping {
    /// A flow.
    Connection,
    /// Two addresses.
    Pair,
    /// One address, whichever end it is.
    Host,
    /// The server's address.
    Destination,
    /// The client's address.
    Source,
    /// Protocol and server's port.
    Port,
    /// A class of traffic, see [`super::classes`].
    Class,
    /// An interface.
    Interface,
}

impl RowName {
    /// Rows of what have such a name.
    pub fn grouping(&self) -> Grouping {
        match self {
            RowName::Connection(_) => Grouping::Connection,
            RowName::Pair(..) => Grouping::Pair,
            RowName::Host(_) => Grouping::Host,
            RowName::Destination(_) => Grouping::Destination,
            RowName::Source(_) => Grouping::Source,
            RowName::Port(..) => Grouping::Port,
            RowName::Class(_) => Grouping::Class,
            RowName::Interface(_) => Grouping::Interface,
        }
    }
}

/// Order of rows, largest first; equal ones by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Bytes of the interval; rows that had none are left out.
    Rate,
    /// The same, and behind them those that are silent: costs by the flows that are open.
    Activity,
    /// Bytes since the start.
    Bytes,
    /// Packets since the start.
    Packets,
    /// By name alone; rows that had nothing in the interval are left out.
    None,
    /// By the client's end, of others by name, and those that are silent too: costs as
    /// [`Order::Activity`].
    Name,
    /// By the server's end, of pairs by the second address; the same rows.
    Destination,
    /// The average that is shown first, the shortest of those that are known; what none
    /// is kept of stands by its rate in the interval, and what is silent behind all: the
    /// rows, and the costs, of [`Order::Activity`].
    Recent,
    /// Average over a window; rows of which none is kept are left out.
    Average(Window),
}

/// One of [`super::window::WINDOWS_S`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// 2 s.
    Short = 0,
    /// 10 s.
    Middle = 1,
    /// 40 s.
    Long = 2,
}

/// Which rows are shown at all; totals know nothing of it.
#[derive(Clone)]
pub struct Only {
    fits: Fits,
    number: u64,
    /// Numbers of those that show all that this one shows.
    wider: Arc<[u64]>,
    /// Of the rows that fit those that are given; the others are counted like them.
    among: Option<Fits>,
}

type Fits = Arc<dyn Fn(&RowName) -> bool + Send + Sync>;

/// Number of the next one.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Only {
    /// Rows whose name fits.
    pub fn new(fits: impl Fn(&RowName) -> bool + Send + Sync + 'static) -> Only {
        let number = NEXT.fetch_add(1, atomic::Ordering::Relaxed);
        Only { fits: Arc::new(fits), number, wider: Arc::default(), among: None }
    }

    /// The same, of which only these rows are given, though all that fit are counted.
    pub fn among(self, among: impl Fn(&RowName) -> bool + Send + Sync + 'static) -> Only {
        Only { among: Some(Arc::new(among)), ..self }
    }

    /// The same, of which is known that it shows no row that `wider` does not: what
    /// that one was found to hide need not be looked at again.
    pub fn narrowing(self, wider: &Only) -> Only {
        let all = wider.wider.iter().copied().chain([wider.number]).collect();
        Only { wider: all, ..self }
    }

    /// Whether it is this very one, not one that says the same.
    pub(super) fn is(&self, other: &Only) -> bool {
        self.number == other.number
    }

    /// Whether it is known to show no row that `other` does not.
    pub(super) fn narrows(&self, other: &Only) -> bool {
        self.wider.contains(&other.number)
    }

    /// Whether a row is shown.
    pub fn fits(&self, name: &RowName) -> bool {
        (self.fits)(name)
    }

    /// Whether a row that fits is given, not only counted.
    pub fn gives(&self, name: &RowName) -> bool {
        self.among.as_ref().is_none_or(|among| among(name))
    }
}

impl fmt::Debug for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Only(..)")
    }
}

/// Some rows, of what there is.
#[derive(Clone, Debug)]
pub struct View {
    /// What a row is.
    pub grouping: Grouping,
    /// Their order.
    pub order: Order,
    /// Rows left out before the first.
    pub offset: usize,
    /// Most rows.
    pub limit: usize,
    /// Which rows are looked at; None is all.
    pub only: Option<Only>,
}

impl View {
    /// Whether it is ordered by what happened in the interval, not by sums since the start.
    pub(super) fn shows_rates(&self) -> bool {
        use Order::{Activity, Destination, Name, None, Rate, Recent};
        matches!(self.order, Rate | Activity | Recent | None | Name | Destination)
    }

    /// Whether it has rows that had nothing in the interval.
    pub(super) fn shows_silent(&self) -> bool {
        use Order::{Activity, Bytes, Destination, Name, Packets, Recent};
        matches!(self.order, Bytes | Packets | Activity | Recent | Name | Destination)
    }
}

/// What outputs want in every snapshot from now on.
#[derive(Clone, Debug, Default)]
pub struct Views {
    /// Rows over all interfaces.
    pub rows: Option<View>,
    /// Rows of each interface, with its share of each.
    pub link_rows: Option<View>,
}

impl Views {
    /// As many rows as any of them may need.
    pub(super) fn rows_kept(&self) -> usize {
        let views = self.rows.iter().chain(&self.link_rows);
        views.map(|view| view.offset.saturating_add(view.limit)).max().unwrap_or(0)
    }
}
