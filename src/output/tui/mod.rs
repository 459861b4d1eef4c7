//! The screen: snapshots drawn on a terminal of any size.
//!
//! [`State`] is what keys have made of it: view, order, scroll, pause, filter.
//! [`State::press`] says what a key changes, [`State::wanted`] which rows have
//! to be asked for, [`draw`] paints a [`Moment`]. Pure: no terminal, no thread,
//! no clock, and nothing is counted here: a snapshot that was never drawn is
//! missing in no figure. What snapshots tell once (bursts, handshakes that
//! failed, notices) [`Memory`] keeps for the lists.
//!
//! Invariants: drawing fits any size; below 40x10 it says so and nothing else.
//! Everything from files or the network is [`plain`].

mod bursts;
mod connections;
mod destinations;
mod filter;
mod handshakes;
mod header;
mod help;
mod hosts;
pub mod keys;
mod links;
pub mod memory;
pub mod paint;

use super::columns::Sight;
use super::figures::interval_span;
use super::names::Names;
use super::units::{grouped, plain};
use super::{Context, Coverages, Style, grouping_of};
use crate::aggregate::snapshot::{Row, RowName, Snapshot};
use crate::aggregate::view::{Only, Order, View, Window};
use crate::config::{Bars, By, Sort, Unit};
use filter::Filter;
use keys::{Does, Key};
use memory::Memory;
use paint::{below, line, standing_out};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style as Look};
use std::collections::HashMap;
use std::sync::Arc;

/// Smallest screen that has room for figures: columns, lines.
pub const LEAST: (u16, u16) = (40, 10);
/// Rows that are asked for at most, however far one scrolls.
const ROWS_MAX: usize = 10_000;

/// A view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// tcptrack's list.
    Connections,
    /// iftop's pairs.
    Hosts,
    /// trtop's table.
    Destinations,
    /// tcpeek's summary.
    Handshakes,
    /// Links side by side.
    Links,
    /// Bursts.
    Bursts,
}

impl Kind {
    /// All of them, in the order of Tab and of the function keys.
    pub const ALL: [Kind; 6] =
        [Kind::Connections, Kind::Hosts, Kind::Destinations, Kind::Handshakes, Kind::Links, Kind::Bursts];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Connections => "Connections",
            Kind::Hosts => "Hosts",
            Kind::Destinations => "Destinations",
            Kind::Handshakes => "Handshakes",
            Kind::Links => "Links",
            Kind::Bursts => "Bursts",
        }
    }
}

/// What a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Can {
    /// Colours are wanted and there.
    pub colours: bool,
    /// More than ASCII.
    pub utf8: bool,
}

/// What is drawn: how things stood at one moment.
#[derive(Clone)]
pub struct Moment {
    /// The figures.
    pub snapshot: Arc<Snapshot>,
    /// What is known of completeness.
    pub coverage: Coverages,
    /// Names and facts.
    pub context: Context,
}

/// What stays the same while a screen is there.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Live, not a file.
    pub live: bool,
    /// The filter expression.
    pub filter: Option<String>,
    /// Which interfaces were taken and why, until there are figures.
    pub reason: String,
    /// Sessions are kept for the list of failures.
    pub sessions: bool,
}

/// Lines a pair in the view of hosts (iftop's `t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineMode {
    /// One for each way.
    Two,
    /// Both ways summed.
    One,
    /// `=>` only.
    Sent,
    /// `<=` only.
    Received,
}

/// What the caller has to do about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Nothing,
    /// Draw again.
    Draw,
    /// Draw again, and other rows are wanted.
    Ask,
    /// End the run.
    Quit,
}

/// See the module's description.
pub struct State {
    style: Style,
    /// What a row of the first view is.
    by: By,
    kind: Kind,
    orders: [Order; 2],
    scroll: [usize; Kind::ALL.len()],
    /// Of the lists that have one: the row in question.
    cursor: usize,
    open: bool,
    help: bool,
    filter: Filter,
    names: bool,
    sums: bool,
    bars: Bars,
    log: bool,
    line_mode: LineMode,
    /// Ports shown of the first and of the second side.
    ports: [bool; 2],
    paused: Option<Moment>,
    /// Rows by their places, where the order is frozen.
    frozen: Option<Arc<HashMap<RowName, usize>>>,
    /// Lines that rows had when they were drawn last.
    page: usize,
    /// Rows that there were to scroll through.
    found: usize,
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
            scroll: [0; Kind::ALL.len()],
            cursor: 0,
            open: false,
            help: false,
            filter: Filter::default(),
            names: true,
            sums: false,
            bars,
            log: false,
            line_mode: LineMode::Two,
            ports: [false; 2],
            paused: None,
            frozen: None,
            page: 20,
            found: 0,
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

    fn order(&self) -> Order {
        self.orders[usize::from(self.kind == Kind::Hosts)]
    }

    /// The same in words.
    fn order_told(&self) -> &'static str {
        if self.frozen.is_some() { "in frozen order" } else { order_words(self.order()) }
    }

    /// Keeps the order of the rows that are there, or lets it go.
    fn freeze(&mut self, now: Option<&Moment>) {
        self.frozen = match (&self.frozen, now) {
            (None, Some(now)) => {
                let names = now.snapshot.rows.iter().map(|row| row.name);
                Some(Arc::new(names.enumerate().map(|(place, name)| (name, place)).collect()))
            }
            _ => None,
        };
    }

    /// Rows in the order in which they are shown.
    fn ordered<'a>(&self, rows: &'a [Row]) -> Vec<&'a Row> {
        let mut rows: Vec<&Row> = rows.iter().collect();
        if let Some(frozen) = &self.frozen {
            rows.sort_by_key(|row| frozen.get(&row.name).copied().unwrap_or(usize::MAX));
        }
        rows
    }

    fn set_order(&mut self, order: Order) {
        self.frozen = None;
        self.orders[usize::from(self.kind == Kind::Hosts)] = order;
        self.scroll[self.kind as usize] = 0;
    }

    /// What a row of the view is.
    fn grouping(&self) -> By {
        match self.kind {
            Kind::Hosts if self.ports == [false; 2] => By::Pair,
            Kind::Hosts => By::Connection,
            _ => self.by,
        }
    }

    /// The rows that this state shows; None where its view has none. A page more
    /// than is seen, so that a step further on is there at once. `names` are
    /// those of outputs, `base` has what the command line leaves out.
    pub fn wanted(&self, base: &View, context: &Context) -> Option<View> {
        if !matches!(self.kind, Kind::Connections | Kind::Hosts) {
            return None;
        }
        let grouping = grouping_of(self.grouping());
        let limit = self.scroll[self.kind as usize] + 2 * self.page.max(20);
        let limit = self.frozen.as_ref().map_or(limit, |frozen| frozen.len());
        let only = self.filter.only(base.only.as_ref().filter(|_| self.kind == Kind::Connections), context);
        let only = match &self.frozen {
            None => only,
            Some(frozen) => {
                let frozen = frozen.clone();
                let fits = move |name: &RowName| {
                    frozen.contains_key(name) && only.as_ref().is_none_or(|only| only.fits(name))
                };
                Some(Only::new(fits))
            }
        };
        // A list of connections has those that are silent too.
        let order = if self.order() == Order::Rate { Order::Activity } else { self.order() };
        Some(View { grouping, order, offset: 0, limit: limit.min(ROWS_MAX), only })
    }

    /// What a key does. `now` is what is drawn: a pause keeps it.
    pub fn press(&mut self, key: Key, now: Option<&Moment>) -> Answer {
        if self.filter.is_typed() {
            return match key {
                Key::Ctrl('c') => Answer::Quit,
                key => self.filter.press(key),
            };
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
            Does::Leave if self.open => self.open = false,
            Does::Leave => return if self.filter.clear() { Answer::Ask } else { Answer::Draw },
            Does::Pause => {
                self.paused = match self.paused {
                    None => now.cloned(),
                    Some(_) => None,
                };
            }
            Does::Sort => self.set_order(next_order(self.order())),
            Does::SortBy(window) => {
                self.set_order(Order::Average([Window::Short, Window::Middle, Window::Long][window.min(2)]));
            }
            Does::ByName => self.set_order(Order::None),
            Does::Turn(by) => {
                let place = (self.kind as usize + by) % Kind::ALL.len();
                self.turn(Kind::ALL[place]);
            }
            Does::To(kind) => self.turn(kind),
            Does::Freeze => self.freeze(now),
            Does::Filter => self.filter.begin(),
            Does::Open => self.open = !self.open,
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
            Does::FirstPorts => (self.ports[0], self.frozen) = (!self.ports[0], None),
            Does::SecondPorts => (self.ports[1], self.frozen) = (!self.ports[1], None),
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

    fn turn(&mut self, kind: Kind) {
        self.kind = kind;
        self.open = false;
        self.frozen = None;
        // A pause keeps the rows of its view; another one has none of that moment.
        self.paused = None;
    }

    fn move_by(&mut self, does: Does) {
        let page = i64::try_from(self.page.max(1)).unwrap_or(1);
        let most = self.found.saturating_sub(1);
        let listed = self.kind == Kind::Bursts;
        let place = if listed { &mut self.cursor } else { &mut self.scroll[self.kind as usize] };
        let step = match does {
            Does::Lines(lines) => i64::from(lines),
            Does::Pages(pages) => i64::from(pages).saturating_mul(page),
            Does::Home => i64::MIN / 2,
            _ => i64::MAX / 2,
        };
        let at = i64::try_from(*place).unwrap_or(0).saturating_add(step).max(0);
        *place = usize::try_from(at).unwrap_or(0).min(most).min(ROWS_MAX);
    }
}

/// tcptrack's cycle, and what text can sort by besides.
fn next_order(order: Order) -> Order {
    match order {
        Order::Rate | Order::Activity => Order::Bytes,
        Order::Bytes => Order::Packets,
        Order::Packets => Order::None,
        Order::None | Order::Average(_) => Order::Rate,
    }
}

/// An order in words.
fn order_words(order: Order) -> &'static str {
    match order {
        Order::Rate | Order::Activity => "by rate",
        Order::Bytes => "by bytes",
        Order::Packets => "by packets",
        Order::None => "by name",
        Order::Average(Window::Short) => "by 2 s average",
        Order::Average(Window::Middle) => "by 10 s average",
        Order::Average(Window::Long) => "by 40 s average",
    }
}

/// What the drawing of a view needs.
struct Scene<'a> {
    moment: &'a Moment,
    sight: Sight<'a>,
    run: &'a Run,
    memory: &'a Memory,
}

impl Scene<'_> {
    fn snapshot(&self) -> &Snapshot {
        &self.moment.snapshot
    }
}

/// Draws everything. `now` is the newest moment, None before the first.
pub fn draw(
    state: &mut State,
    now: Option<&Moment>,
    run: &Run,
    memory: &Memory,
    can: Can,
    buffer: &mut Buffer,
) {
    let area = buffer.area;
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let (wide, high) = LEAST;
        let told = format!(
            "fullcount counts on; {}x{} is too small, {wide}x{high} will do",
            area.width, area.height
        );
        let rest = line(buffer, area, &told, Look::new());
        line(buffer, rest, "q quit", Look::new());
    } else {
        draw_all(state, now, run, memory, buffer);
    }
    if !can.utf8 {
        paint::to_ascii(buffer);
    }
    if !can.colours {
        paint::without_colours(buffer);
    }
}

fn draw_all(state: &mut State, now: Option<&Moment>, run: &Run, memory: &Memory, buffer: &mut Buffer) {
    let area = buffer.area;
    let footer = Rect { y: area.bottom() - 1, height: 1, ..area };
    let area = Rect { height: area.height - 1, ..area };
    if let Some(now) = now {
        let context = shown_context(state, &now.context);
        let rest = header::draw(state, &scene(now, &context, state, run, memory), buffer, area);
        let rows = state.paused.clone();
        let rows = rows.as_ref().unwrap_or(now);
        let of_rows = shown_context(state, &rows.context);
        let scene = scene(rows, &of_rows, state, run, memory);
        if state.help {
            help::draw(state.kind, buffer, rest);
        } else {
            draw_view(state, &scene, buffer, rest);
        }
    } else {
        let rest =
            line(buffer, area, "fullcount: first figures at the end of this interval", paint::heading());
        let rest = paint::lines(buffer, rest, &plain(&run.reason));
        if state.help {
            help::draw(state.kind, buffer, below(rest, 1));
        }
    }
    draw_footer(state, buffer, footer);
}

fn draw_view(state: &mut State, scene: &Scene, buffer: &mut Buffer, area: Rect) {
    let (title, area) = (area, below(area, 1));
    let told = match state.kind {
        Kind::Connections | Kind::Hosts if !has_its_rows(state, scene) => {
            line(buffer, area, "These rows come with the next interval.", Look::new());
            format!("{}, asked for", state.order_told())
        }
        Kind::Connections => connections::draw(state, scene, buffer, area),
        Kind::Hosts => hosts::draw(state, scene, buffer, area),
        Kind::Destinations => destinations::draw(state, scene, buffer, area),
        Kind::Handshakes => handshakes::draw(state, scene, buffer, area),
        Kind::Links => links::draw(scene, buffer, area),
        Kind::Bursts => bursts::draw(state, scene, buffer, area),
    };
    let mut words = format!(" {}", state.kind.name());
    if !told.is_empty() {
        words += &format!(" {told}");
    }
    let look = Look::new().add_modifier(Modifier::REVERSED);
    paint::shade(buffer, title, look);
    line(buffer, title, &words, look);
}

/// Names as the user wants them.
fn shown_context(state: &State, context: &Context) -> Context {
    let names = if state.names { context.names.clone() } else { Arc::<Names>::default() };
    Context { names, ..context.clone() }
}

fn scene<'a>(
    moment: &'a Moment,
    context: &'a Context,
    state: &State,
    run: &'a Run,
    memory: &'a Memory,
) -> Scene<'a> {
    let span_ns = interval_span(&moment.snapshot, run.live);
    let style = Style { by: state.grouping(), color: true, ..state.style };
    let sight = Sight { context, style, span_ns, going_on: run.live };
    Scene { moment, sight, run, memory }
}

/// Whether the rows that are there are those of this view: others were asked for
/// a moment ago, and come with the next interval.
fn has_its_rows(state: &State, scene: &Scene) -> bool {
    let Some(row) = scene.snapshot().rows.first() else { return true };
    let by = match row.name {
        RowName::Connection(_) => By::Connection,
        RowName::Pair(..) => By::Pair,
        RowName::Host(_) => By::Host,
        RowName::Destination(_) => By::Destination,
        RowName::Port(..) => By::Port,
        RowName::Class(_) => By::Class,
        RowName::Interface(_) => By::Interface,
    };
    by == state.grouping()
}

/// What the rows of a view are, in words behind its name.
fn rows_told(state: &State, scene: &Scene, first: usize, shown: usize) -> String {
    let found = scene.snapshot().rows_found;
    let mut told = state.order_told().to_owned();
    let last = first + shown;
    let range = if shown == 0 {
        "0".to_owned()
    } else {
        format!("{}-{}", grouped(first as u64 + 1), grouped(last as u64))
    };
    told += &format!(", {range} of {}", grouped(found));
    if let Some(filter) = state.filter.told() {
        told += &format!(" that match /{}/", plain(filter));
    }
    if state.is_paused() {
        told += ", as they were when paused";
    }
    told
}

fn draw_footer(state: &State, buffer: &mut Buffer, area: Rect) {
    if let Some(typed) = state.filter.prompt() {
        line(buffer, area, &typed, standing_out());
        return;
    }
    let order = state.order_told();
    let words = match state.kind {
        Kind::Connections | Kind::Hosts => {
            format!("q quit  ? help  Tab view  ↑↓ row  s sort: {order}  / filter  p pause")
        }
        Kind::Bursts => "q quit  ? help  Tab view  ↑↓ burst  Enter who  p pause".to_owned(),
        Kind::Destinations | Kind::Handshakes => "q quit  ? help  Tab view  ↑↓ row  p pause".to_owned(),
        Kind::Links => "q quit  ? help  Tab view  p pause".to_owned(),
    };
    line(buffer, area, &words, Look::new().add_modifier(Modifier::DIM));
}
