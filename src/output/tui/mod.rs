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

mod begins;
mod bursts;
mod capture;
mod chart;
mod connections;
mod destinations;
mod details;
mod filled;
mod filter;
mod handshakes;
mod header;
mod help;
mod hosts;
mod kept;
pub mod keys;
mod links;
mod lists;
mod lookback;
pub mod memory;
mod order;
pub mod paint;
pub mod past;
pub mod recent;
mod state;
mod who;

use super::columns::{Sight, name_of};
use super::figures::{hidden_told, interval_span};
use super::names::Names;
use super::units::{duration, grouped, plain};
use super::{Context, Coverages, Style};
use crate::aggregate::ask;
use crate::aggregate::snapshot::{Row, Snapshot};
pub use crate::config::{Kind, LineMode};
use memory::Memory;
use paint::{below, line, standing_out};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style as Look};
pub use state::State;
use std::sync::Arc;

/// Smallest screen that has room for figures: columns, lines.
pub const LEAST: (u16, u16) = (40, 10);
/// Rows that are asked for at most, however far one scrolls.
const ROWS_MAX: usize = 10_000;

const SECOND_NS: u64 = 1_000_000_000;

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
    /// Rows of the same moment that were asked for after that.
    pub answer: Option<Arc<ask::Answer>>,
    /// What is known of completeness.
    pub coverage: Coverages,
    /// Names and facts.
    pub context: Context,
}

impl Moment {
    /// The answer, where it is newer than the snapshot's own rows.
    fn newer(&self) -> Option<&ask::Answer> {
        let snapshot = &self.snapshot;
        self.answer.as_deref().filter(|answer| {
            // One of the same number and moment is what was still to be looked at then.
            answer.number > snapshot.rows_number
                || answer.number == snapshot.rows_number && answer.time_ns == snapshot.time_ns
        })
    }

    /// The rows that were asked for last, of those that are there.
    pub fn rows(&self) -> &[Row] {
        self.newer().map_or(&self.snapshot.rows, |answer| &answer.rows)
    }

    /// How many there were to choose them from.
    pub fn found(&self) -> u64 {
        self.newer().map_or(self.snapshot.rows_found, |answer| answer.found)
    }

    /// Whether every flow has been looked at for them.
    fn whole(&self) -> bool {
        self.newer().map_or(self.snapshot.rows_whole, |answer| answer.whole)
    }

    /// Number of the request that they are of.
    pub fn number(&self) -> u64 {
        self.newer().map_or(self.snapshot.rows_number, |answer| answer.number)
    }
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

/// What the caller has to do about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Nothing,
    /// Draw again.
    Draw,
    /// Draw again, and other rows are wanted.
    Ask,
    /// Another capture filter is wanted ([`State::take_filter_wish`]).
    CaptureFilter,
    /// End the run.
    Quit,
}

/// What the drawing of a view needs.
struct Scene<'a> {
    moment: &'a Moment,
    sight: Sight<'a>,
    run: &'a Run,
    memory: &'a Memory,
    /// What its rows are, where they stand still.
    kept: Option<kept::Kept>,
}

impl Scene<'_> {
    fn snapshot(&self) -> &Snapshot {
        &self.moment.snapshot
    }

    fn rows(&self) -> &[Row] {
        self.moment.rows()
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
    state.live = run.live;
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
    let then = now.and_then(|now| state.looked_back(now, memory));
    if let Some(now) = then.as_ref().or(now) {
        let context = shown_context(state, &now.context);
        let rest = header::draw(state, &scene(now, &context, state, run, memory), buffer, area);
        let rows = state.paused.clone();
        let rows = rows.as_ref().unwrap_or(now);
        let of_rows = shown_context(state, &rows.context);
        let has_rows = matches!(state.kind, Kind::Connections | Kind::Hosts);
        // Of a list that was not kept at all nothing can be chosen.
        let has_rows = has_rows && (state.past.is_none() || rows.answer.is_some());
        let (chosen, kept) = state.kept(rows).filter(|_| has_rows).unzip();
        let scene = Scene { kept, ..scene(chosen.as_ref().unwrap_or(rows), &of_rows, state, run, memory) };
        if state.help {
            // On a small screen it needs the header's room too.
            let room = if help::fits(rest) { rest } else { paint::clear(buffer, area) };
            help::draw(state.kind, buffer, room);
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
    let (title, area) = (area, above_hidden(state, scene, buffer, below(area, 1)));
    state.note_averages(scene.rows());
    let told = match state.kind {
        Kind::Connections | Kind::Hosts if state.details.is_some() => {
            details::draw(state, scene, buffer, area)
        }
        Kind::Connections | Kind::Hosts if state.past.is_some() && scene.moment.answer.is_none() => {
            not_kept(buffer, area)
        }
        Kind::Connections | Kind::Hosts
            if let Some(told) = scene.kept.as_ref().and_then(|kept| kept.refusal(state, buffer, area)) =>
        {
            told
        }
        Kind::Connections | Kind::Hosts if !has_its_rows(state, scene) => {
            line(buffer, area, "These rows come with the next interval at the latest.", Look::new());
            format!("{}, asked for", state.order_told())
        }
        Kind::Connections => connections::draw(state, scene, buffer, area),
        Kind::Hosts if state.within.is_some() => connections::draw(state, scene, buffer, area),
        Kind::Hosts => hosts::draw(state, scene, buffer, area),
        Kind::Destinations if state.past.is_some() => not_kept(buffer, area),
        Kind::Destinations => destinations::draw(state, scene, buffer, area),
        Kind::Handshakes => handshakes::draw(state, scene, buffer, area),
        Kind::Links => links::draw(state, scene, buffer, area),
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

/// What rows leave out (`--new-only`), below them; the area above that.
fn above_hidden(state: &State, scene: &Scene, buffer: &mut Buffer, area: Rect) -> Rect {
    let lists_rows = matches!(state.kind, Kind::Connections | Kind::Hosts) && state.details.is_none();
    let hidden = scene.snapshot().hidden.as_ref().filter(|_| lists_rows && area.height > 2);
    let Some(hidden) = hidden.filter(|hidden| hidden.flows[1] > 0) else { return area };
    let rest = Rect { height: area.height - 1, ..area };
    line(buffer, Rect { y: rest.bottom(), height: 1, ..area }, &hidden_told(hidden), Look::new());
    rest
}

/// Of what was, some lists are kept, and their first rows.
fn not_kept(buffer: &mut Buffer, area: Rect) -> String {
    let told = "Of what was, connections and pairs are kept, the first rows of each (Esc: now).";
    line(buffer, area, told, Look::new());
    String::from("of that moment are not kept")
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
    let style = Style { by: state.by(), color: true, ..state.style };
    let sight = Sight { context, style, span_ns, going_on: run.live };
    Scene { moment, sight, run, memory, kept: None }
}

/// Whether the rows that are there are those of this view: others were asked for
/// a moment ago.
fn has_its_rows(state: &State, scene: &Scene) -> bool {
    if scene.kept.is_some() || scene.moment.number() >= state.asked {
        return true;
    }
    let shows_some = scene.rows().len() > state.scroll[state.kind as usize];
    let Some(row) = scene.rows().first().filter(|_| shows_some) else { return false };
    row.name.grouping() == state.grouping()
}

/// What the rows of a view are, in words behind its name.
fn rows_told(state: &State, scene: &Scene, first: usize, shown: usize) -> String {
    let (mut found, mut told) = (scene.moment.found(), state.order_told().to_owned());
    let frozen = state.frozen_told(scene.rows().len(), found);
    if let Some([order, _]) = &frozen {
        (found, told) = (scene.rows().len() as u64, order.clone());
    }
    let last = first + shown;
    let range = if shown == 0 {
        "0".to_owned()
    } else {
        format!("{}-{}", grouped(first as u64 + 1), grouped(last as u64))
    };
    told += &format!(", {range} of {}", grouped(found));
    told += frozen.as_ref().map_or("", |[_, others]| others);
    told += &since_told(state, scene);
    if let Some(within) = &state.within {
        told += &format!(" of {}", plain(&name_of(within, scene.sight.context)));
    }
    if let Some(filter) = state.filter.told() {
        told += &format!(" that match /{}/", plain(filter));
    }
    if let Some(kept) = &scene.kept {
        told += &kept.told(state);
        if !scene.moment.whole() {
            told += ", not all of them";
        }
    } else if scene.moment.number() < state.asked {
        told += ", asked for";
    } else if !scene.moment.whole() {
        told += " so far";
    }
    told
}

/// That averages are over less than their headings say, as rows of this kind are kept only
/// since somebody asked for them. (A run that is young itself says so on top.)
fn since_told(state: &State, scene: &Scene) -> String {
    let shown = scene.run.live && state.kind == Kind::Hosts && state.within.is_none();
    let young = scene.rows().iter().find_map(|row| row.averages?.young_ns).filter(|_| shown);
    match young.map(|ns| ns / SECOND_NS * SECOND_NS) {
        None => String::new(),
        Some(0) => ", averages from now on".to_owned(),
        Some(ns) => format!(", averages begun {} ago", duration(ns)),
    }
}

fn draw_footer(state: &State, buffer: &mut Buffer, area: Rect) {
    if let Some(told) = state.capture.prompt() {
        // It needs more than a line where something is wrong: from below upwards.
        let (height, last) = (paint::wide(told.len()), told.len().saturating_sub(1));
        let y = area.y.saturating_sub(height.saturating_sub(1));
        let mut rest = paint::clear(buffer, Rect { y, height: area.bottom() - y, ..area });
        for (place, one) in told.iter().enumerate() {
            rest = line(buffer, rest, one, if place == last { standing_out() } else { Look::new() });
        }
        return;
    }
    if let Some(typed) = state.filter.prompt() {
        line(buffer, area, &typed, standing_out());
        return;
    }
    let order = match state.frozen {
        Some(_) => "o unfreeze".to_owned(),
        None => format!("s sort: {}", state.order_told().trim_start_matches("by ")),
    };
    let words = match state.kind {
        Kind::Connections | Kind::Hosts if state.details.is_some() => {
            "q quit  ? help  Esc the list  ↑↓ line  B unit".to_owned()
        }
        Kind::Connections | Kind::Hosts => {
            format!("q quit  ? help  Tab view  ↑↓ row  Enter details  {order}  / filter")
        }
        Kind::Bursts => "q quit  ? help  Tab view  ↑↓ burst  Enter who  p pause".to_owned(),
        Kind::Destinations | Kind::Handshakes => {
            "q quit  ? help  Tab view  ↑↓ row  Enter details  p pause".to_owned()
        }
        Kind::Links => {
            "q quit  ? help  Tab view  ↓ line  ← moment before  - longer columns  p pause".to_owned()
        }
    };
    line(buffer, area, &words, Look::new().add_modifier(Modifier::DIM));
}
