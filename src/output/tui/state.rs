//! What keys have made of the screen: view, order, cursor, pause, filter.
//!
//! [`State::press`] says what a key changes, [`State::wanted`] which rows have to
//! be asked for. Pure: no terminal, no clock; drawing notes here how many rows a
//! page has, how many there are to scroll through, and which one the cursor is on.
//!
//! Invariant: the cursor is on a row that is shown, if any is.

use super::capture::CaptureFilter;
use super::chart::Plot;
use super::details::Details;
use super::filter::{self, Filter};
use super::kept::Choice;
use super::keys::{self, Does, Key};
use super::lists::{Item, Opened};
use super::order::{Frozen, next_order};
use super::{Answer, Kind, LineMode, Moment, ROWS_MAX, Run};
use crate::aggregate::snapshot::RowName;
use crate::aggregate::view::{Grouping, Only, Order, View, Window};
use crate::config::{Bars, By, Sort, Unit};
use crate::flow::key::FlowKey;
use crate::flow::record::Account;
use crate::output::{Context, Style, grouping_of};
use ratatui::layout::{Position, Rect};
use std::sync::Arc;

/// What rows are chosen by: the filter, what they are within, a frozen order, the
/// view, and names.
type Chosen = (Option<String>, Option<RowName>, Option<usize>, usize, usize);

/// Whether a choice leaves nothing that the other left out: the same, and a filter
/// that narrows the other's.
fn narrows(choice: &Chosen, before: &Chosen) -> bool {
    let (Some(pattern), Some(wider)) = (&choice.0, &before.0) else { return false };
    let same = (choice.1, choice.2, choice.3, choice.4) == (before.1, before.2, before.3, before.4);
    same && filter::narrows(pattern, wider)
}

/// See the module's description.
pub struct State {
    pub(super) style: Style,
    /// What a row of the first view is.
    pub(super) by: By,
    pub(super) kind: Kind,
    pub(super) orders: [Order; 2],
    /// The run is live: rows of hosts have averages in place of a rate.
    pub(super) live: bool,
    /// The shortest average that rows had when they were drawn last.
    pub(super) shortest: Option<Window>,
    /// The first row that is shown, by view.
    pub(super) scroll: [usize; Kind::ALL.len()],
    /// The row in question, by view.
    pub(super) cursor: [usize; Kind::ALL.len()],
    /// What it is called, as it was drawn last.
    pub(super) under: Option<RowName>,
    /// Of the lists that show it in full: whether they do.
    pub(super) open: bool,
    /// The connection that is shown in full.
    pub(super) details: Option<Details>,
    /// Only connections of this.
    pub(super) within: Option<RowName>,
    /// What they show, once drawn.
    pub(super) opened: Option<Opened>,
    /// What the cursor was on when it was drawn last, and where that was.
    pub(super) item: Option<(Item, usize)>,
    pub(super) help: bool,
    pub(super) filter: Filter,
    pub(super) capture: CaptureFilter,
    pub(super) names: bool,
    pub(super) sums: bool,
    pub(super) bars: Bars,
    pub(super) log: bool,
    pub(super) line_mode: LineMode,
    /// Ports shown of the first and of the second side.
    pub(super) ports: [bool; 2],
    /// Which side is summed over: 0 clients, 1 servers.
    pub(super) merged: Option<usize>,
    /// Names of services in place of ports, among hosts.
    pub(super) services: bool,
    /// What a click orders by, and where.
    pub(super) headings: Vec<(Rect, Order)>,
    /// Where rows are drawn, and lines of each.
    pub(super) list: (Rect, u16),
    pub(super) paused: Option<Moment>,
    /// How its rows were chosen, where they were those that had been asked for.
    pub(super) kept_by: Option<Choice>,
    /// The moment that is looked back at, by its time; drawing finds one that was kept.
    pub(super) past: Option<u64>,
    /// The last second that was kept when it was drawn, ns since the epoch.
    pub(super) newest_ns: u64,
    /// It was reached by going on, not back.
    pub(super) ahead: bool,
    /// The chart of links.
    pub(super) plot: Plot,
    /// Rows by their places, where the order is frozen.
    pub(super) frozen: Option<Arc<Frozen>>,
    /// Lines that rows had when they were drawn last.
    pub(super) page: usize,
    /// Rows that there were to scroll through.
    pub(super) found: usize,
    /// Number of the request for rows that was made last.
    pub(super) asked: u64,
    /// As many rows as it was for.
    pub(super) limit: usize,
    /// Which rows are looked at, and what that was made of: the same one as long as
    /// nothing of it changes, so that the aggregator need not look at all rows again.
    chosen: Option<(Chosen, Option<Only>)>,
    /// Names that had come then.
    named: u64,
}

impl State {
    /// At the start, as the command line has it.
    pub fn new(style: Style, bars: Bars) -> State {
        let order = match style.sort {
            Sort::Rate => Order::Rate,
            Sort::Bytes => Order::Bytes,
            Sort::Packets => Order::Packets,
            Sort::None => Order::None,
        };
        State {
            style,
            by: style.by,
            kind: Kind::Connections,
            orders: [order; 2],
            live: false,
            shortest: None,
            scroll: [0; Kind::ALL.len()],
            cursor: [0; Kind::ALL.len()],
            under: None,
            open: false,
            details: None,
            within: None,
            opened: None,
            item: None,
            help: false,
            filter: Filter::default(),
            capture: CaptureFilter::default(),
            names: true,
            sums: false,
            bars,
            log: false,
            line_mode: LineMode::Two,
            ports: [false; 2],
            merged: None,
            services: true,
            headings: Vec::new(),
            list: (Rect::ZERO, 1),
            paused: None,
            kept_by: None,
            past: None,
            newest_ns: 0,
            ahead: false,
            plot: Plot::default(),
            frozen: None,
            page: 20,
            found: 0,
            asked: 0,
            limit: 0,
            chosen: None,
            named: 0,
        }
    }

    /// The view that is shown.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether rows stay as they are.
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Number of the rows that are waited for.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// So many rows were asked for, at most, under this number.
    pub fn note_asked(&mut self, number: u64, limit: usize) {
        (self.asked, self.limit) = (number, limit);
    }

    /// What a row of the view is.
    pub(super) fn grouping(&self) -> Grouping {
        match (self.kind, self.merged) {
            (Kind::Hosts, Some(0)) if self.within.is_none() => Grouping::Destination,
            (Kind::Hosts, Some(_)) if self.within.is_none() => Grouping::Source,
            _ => grouping_of(self.by()),
        }
    }

    /// The same as columns know it.
    pub(super) fn by(&self) -> By {
        match self.kind {
            _ if self.within.is_some() => By::Connection,
            Kind::Hosts if self.merged.is_some() => By::Host,
            Kind::Hosts if self.ports == [false; 2] => By::Pair,
            Kind::Hosts => By::Connection,
            _ => self.by,
        }
    }

    /// As the command line has it besides: ports shown, and by their services' names.
    pub fn with(mut self, ports: bool, services: bool) -> State {
        (self.ports, self.services) = ([ports; 2], services);
        self
    }

    /// The rows that this state shows; None where its view has none. A page more
    /// than is seen, so that a step further on is there at once. `names` are
    /// those of outputs, `base` has what the command line leaves out.
    pub fn wanted(&mut self, base: &View, context: &Context) -> Option<View> {
        if !matches!(self.kind, Kind::Connections | Kind::Hosts) {
            return None;
        }
        let grouping = self.grouping();
        let limit = self.scroll[self.kind as usize] + 2 * self.page.max(20);
        let limit = self.frozen.as_ref().map_or(limit, |frozen| frozen.places.len());
        let chosen = (
            self.filter.told().map(str::to_owned),
            self.within,
            self.frozen.as_ref().map(|frozen| Arc::as_ptr(frozen) as usize),
            self.kind as usize,
            Arc::as_ptr(&context.names) as usize,
        );
        if self.chosen.as_ref().is_none_or(|(of, _)| *of != chosen) {
            let named = context.names.named();
            let only = self.only(base.only.as_ref(), context).map(|only| match &self.chosen {
                // What was left out for its address may have a name since.
                Some((before, Some(wider))) if self.named == named && narrows(&chosen, before) => {
                    only.narrowing(wider)
                }
                _ => only,
            });
            self.named = named;
            self.chosen = Some((chosen, only));
        }
        let only = self.chosen.as_ref().and_then(|(_, only)| only.clone());
        // A list of connections has those that are silent too.
        let order = match self.order() {
            Order::Rate => Order::Activity,
            Order::None => Order::Name,
            other => other,
        };
        Some(View { grouping, order, offset: 0, limit: limit.min(ROWS_MAX), only })
    }

    /// Which rows are looked at.
    pub(super) fn only(&self, base: Option<&Only>, context: &Context) -> Option<Only> {
        let only = self.filter.only(base.filter(|_| self.kind == Kind::Connections), context);
        let only = match self.within {
            None => only,
            Some(within) => Some(Only::new(move |name: &RowName| {
                is_within(name, &within) && only.as_ref().is_none_or(|only| only.fits(name))
            })),
        };
        match &self.frozen {
            None => only,
            Some(frozen) => {
                let frozen = frozen.clone();
                // The others are counted: the title says how many there are.
                let only = only.unwrap_or_else(|| Only::new(|_| true));
                Some(only.among(move |name| frozen.places.contains_key(name)))
            }
        }
    }

    /// What a key does. `now` is what is drawn: a pause keeps it.
    pub fn press(&mut self, key: Key, now: Option<&Moment>, run: &Run) -> Answer {
        self.live = run.live;
        if self.capture.is_typed() {
            if key == Key::Ctrl('c') {
                return Answer::Quit;
            }
            self.capture.press(key);
            return Answer::CaptureFilter;
        }
        if self.filter.is_typed() {
            return match key {
                Key::Ctrl('c') => Answer::Quit,
                key => self.filter.press(key),
            };
        }
        match key {
            Key::Click(column, line) => return self.click(Position { x: column, y: line }, now),
            Key::Wheel(up) => {
                self.move_by(Does::Lines(if up { -3 } else { 3 }));
                return Answer::Ask;
            }
            _ => {}
        }
        let Some(does) = keys::find(key, self.kind) else {
            // Any other key leaves the help, as in tcptrack's kin.
            return if std::mem::take(&mut self.help) { Answer::Draw } else { Answer::Nothing };
        };
        let help = std::mem::take(&mut self.help);
        match does {
            Does::Quit => return Answer::Quit,
            Does::Help => self.help = !help,
            Does::Leave if help => {}
            Does::Leave if self.open => (self.open, self.opened) = (false, None),
            Does::Leave if self.details.is_some() => self.details = None,
            Does::Leave if self.within.is_some() => self.enter(None),
            Does::Leave if self.past.is_some() => self.past = None,
            Does::Leave => return if self.filter.clear() { Answer::Ask } else { Answer::Draw },
            Does::Pause => self.pause(now),
            Does::Past => self.look_back(key, now),
            Does::Zoom => self.plot.zoom(key == Key::Char('-')),
            Does::Sort => self.set_order(next_order(self.order())),
            Does::SortBy(window) => {
                self.set_order(Order::Average([Window::Short, Window::Middle, Window::Long][window.min(2)]));
            }
            Does::ByName => self.set_order(Order::None),
            Does::ByDestination => self.set_order(Order::Destination),
            Does::Turn(by) => {
                let place = (self.kind as usize + by) % Kind::ALL.len();
                self.turn(Kind::ALL[place]);
            }
            Does::To(kind) => self.turn(kind),
            Does::Freeze => self.freeze(now),
            Does::Filter => self.filter.begin(),
            Does::CaptureFilter if run.live => self.capture.begin(run.filter.as_deref()),
            Does::CaptureFilter => self.capture.refuse(
                "A file is read with the filter that it began with: quit, and type another one behind -r FILE.",
            ),
            Does::Open => self.open(),
            Does::Lines(_) | Does::Pages(_) | Does::Home | Does::End => self.move_by(does),
            other => self.show(other),
        }
        Answer::Ask
    }

    /// Keys that change how rows look.
    fn show(&mut self, does: Does) {
        match does {
            Does::Names => self.names = !self.names,
            Does::Unit => {
                self.style.unit = match self.style.unit {
                    Unit::Bits => Unit::Bytes,
                    Unit::Bytes => Unit::Bits,
                };
            }
            // Rows are others then: no order of theirs is frozen.
            Does::FirstPorts => (self.ports[0], self.merged, self.frozen) = (!self.ports[0], None, None),
            Does::SecondPorts => (self.ports[1], self.merged, self.frozen) = (!self.ports[1], None, None),
            Does::Merge(side) => {
                self.merged = if self.merged == Some(side) { None } else { Some(side) };
                self.frozen = None;
            }
            Does::Services => self.services = !self.services,
            Does::Sums => self.sums = !self.sums,
            Does::Bars => self.bars.shown = !self.bars.shown,
            Does::Log => self.log = !self.log,
            Does::LineMode => {
                self.line_mode = match self.line_mode {
                    LineMode::Two => LineMode::One,
                    LineMode::One => LineMode::Sent,
                    LineMode::Sent => LineMode::Received,
                    LineMode::Received => LineMode::Two,
                };
            }
            _ => {}
        }
    }

    /// A click: on a heading the order by it, on a row the cursor there, on a chart
    /// the moment.
    fn click(&mut self, at: Position, now: Option<&Moment>) -> Answer {
        if self.kind == Kind::Links {
            return self.click_chart(at, now);
        }
        let order = self.headings.iter().find(|(area, _)| area.contains(at)).map(|(_, order)| *order);
        let (list, lines_each) = self.list;
        match order {
            _ if self.help || self.details.is_some() || self.open => return Answer::Nothing,
            Some(order) => self.set_order(order),
            None if list.contains(at) => {
                let line = usize::from((at.y - list.y) / lines_each.max(1));
                let place = self.scroll[self.kind as usize] + line;
                if place >= self.found {
                    return Answer::Nothing;
                }
                self.cursor[self.kind as usize] = place;
            }
            None => return Answer::Nothing,
        }
        Answer::Ask
    }

    /// What is under the cursor, in full.
    fn open(&mut self) {
        match (self.kind, self.under) {
            (Kind::Connections | Kind::Hosts, _) if self.details.is_some() => {}
            (Kind::Connections | Kind::Hosts, Some(RowName::Connection(key))) => {
                self.details = Some(Details::new(key));
            }
            (Kind::Connections | Kind::Hosts, Some(within)) if may_be_within(&within) => {
                self.enter(Some(within));
            }
            (Kind::Connections | Kind::Hosts | Kind::Links, _) => {}
            _ => (self.open, self.opened) = (!self.open, None),
        }
    }

    /// Lists the connections of something, or everything.
    fn enter(&mut self, within: Option<RowName>) {
        (self.within, self.frozen, self.under, self.item) = (within, None, None, None);
        (self.scroll[self.kind as usize], self.cursor[self.kind as usize]) = (0, 0);
    }

    /// The capture filter that is to be put in force, once.
    pub fn take_filter_wish(&mut self) -> Option<String> {
        self.capture.take_wish()
    }

    /// What became of it: what is wrong, if anything.
    pub fn filtered(&mut self, wrong: Option<&str>) {
        self.capture.answer(wrong);
    }

    /// The connection that is shown in full.
    pub fn looked_at(&self) -> Option<FlowKey> {
        self.details.as_ref().map(|details| details.key)
    }

    /// Its account is asked for.
    pub fn note_looked(&mut self) {
        if let Some(details) = &mut self.details {
            details.note_asked();
        }
    }

    /// An account came, at a time (ns) of a clock that only goes on.
    pub fn take_account(&mut self, account: Box<Account>, now_ns: u64) {
        if let Some(details) = &mut self.details {
            details.take(account, now_ns);
        }
    }

    fn turn(&mut self, kind: Kind) {
        self.kind = kind;
        self.open = false;
        (self.details, self.within, self.opened, self.under, self.item) = (None, None, None, None, None);
        self.frozen = None;
        // A pause keeps the rows of its view; another one has none of that moment.
        self.paused = None;
    }

    fn move_by(&mut self, does: Does) {
        let kind = self.kind as usize;
        let page = i64::try_from(self.page.max(1)).unwrap_or(1);
        if let Some(details) = &mut self.details {
            let step = match does {
                Does::Lines(lines) => i64::from(lines),
                Does::Pages(pages) => i64::from(pages).saturating_mul(10),
                Does::Home => i64::MIN / 2,
                _ => 1000,
            };
            let at = i64::try_from(details.scroll).unwrap_or(0).saturating_add(step).max(0);
            details.scroll = usize::try_from(at).unwrap_or(0);
            return;
        }
        // What is shown in full is the next one then.
        self.opened = None;
        let most = self.found.saturating_sub(1).min(ROWS_MAX - 1);
        let moved = |from: usize, step: i64| {
            let at = i64::try_from(from).unwrap_or(0).saturating_add(step).max(0);
            usize::try_from(at).unwrap_or(0).min(most)
        };
        let step = match does {
            Does::Lines(lines) => i64::from(lines),
            Does::Pages(pages) => i64::from(pages).saturating_mul(page),
            Does::Home => i64::MIN / 2,
            _ => i64::MAX / 2,
        };
        self.cursor[kind] = moved(self.cursor[kind], step);
        if matches!(does, Does::Pages(_)) {
            self.scroll[kind] = moved(self.scroll[kind], step);
        }
        self.keep_in_sight();
    }

    /// Scrolls so far that the cursor's row is shown.
    fn keep_in_sight(&mut self) {
        let kind = self.kind as usize;
        let cursor = self.cursor[kind];
        let least = (cursor + 1).saturating_sub(self.page.max(1));
        self.scroll[kind] = self.scroll[kind].clamp(least, cursor);
    }

    /// Notes that so many rows are there, and room for so many; the first one shown.
    pub(super) fn settle(&mut self, page: usize, found: usize) -> usize {
        let kind = self.kind as usize;
        self.page = page.max(1);
        self.found = found;
        self.cursor[kind] = self.cursor[kind].min(found.saturating_sub(1));
        // A last page is full, where there are as many.
        self.scroll[kind] = self.scroll[kind].min(found.saturating_sub(self.page));
        self.keep_in_sight();
        self.scroll[kind]
    }

    /// The place of the cursor's row among those that are shown.
    pub(super) fn cursor_line(&self) -> usize {
        let kind = self.kind as usize;
        self.cursor[kind].saturating_sub(self.scroll[kind])
    }
}

/// Whether there are connections of it to be listed.
fn may_be_within(name: &RowName) -> bool {
    !matches!(name, RowName::Connection(_) | RowName::Class(_) | RowName::Interface(_))
}

/// Whether a connection has these ends (a server's address or port on either).
fn is_within(name: &RowName, within: &RowName) -> bool {
    let RowName::Connection(key) = name else { return false };
    let ips = [key.ip(0), key.ip(1)];
    match within {
        RowName::Pair(a, b) => ips == [*a, *b] || ips == [*b, *a],
        RowName::Host(ip) | RowName::Destination(ip) | RowName::Source(ip) => ips.contains(ip),
        RowName::Port(protocol, port) => {
            key.protocol() == *protocol && (0..2).any(|side| key.end(side).port == *port)
        }
        RowName::Connection(_) | RowName::Class(_) | RowName::Interface(_) => false,
    }
}
