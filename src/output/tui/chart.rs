//! The history of links as a chart: a strip for each link and direction, one under
//! the other on the same time axis, so that the eye compares slaves.
//!
//! A column is a kept second, or several of them (`-`); its height is the mean rate
//! on the line, as part of the link's speed. `▔` is the fullest millisecond in it
//! where that stands above the mean, `!` a burst, `·` a time of which nothing is
//! known; `x` on the axis a time in which something was lost. Signs say all that
//! colours say. Knows kept seconds and cells; keeps nothing but where its columns are.

use super::filled::Filled;
use super::past::Past;
use super::{Scene, paint};
use crate::capture::LinkId;
use crate::output::units::{clock, duration, human, plain, rate_in};
use paint::{below, fit, line, wide, width_of};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};

/// Kept seconds that a column may have.
pub(super) const ZOOMS: [u64; 6] = [1, 2, 5, 10, 30, 60];
/// Columns left of a cursor that would be out of sight.
const MARGIN: usize = 10;
/// Widest name of a link.
const NAME_WIDTH: usize = 12;

const SECOND_NS: u64 = 1_000_000_000;

/// A link in one direction: 0 received, 1 sent.
pub(super) type Strand = (LinkId, usize);

/// Where columns were drawn, and how long each is.
#[derive(Default)]
pub(super) struct Plot {
    /// The columns, on the screen.
    pub area: Rect,
    /// By column: the second that a click goes to, 0 where none was kept.
    pub times: Vec<u64>,
    /// Length of a column, ns.
    pub column_ns: u64,
    /// Place in [`ZOOMS`].
    pub zoom: usize,
}

impl Plot {
    /// The second that a place on the screen stands for.
    pub fn time_at(&self, at: Position) -> Option<u64> {
        let column = usize::from(at.x.checked_sub(self.area.x)?);
        self.times.get(column).copied().filter(|&time_ns| time_ns > 0 && self.area.contains(at))
    }

    /// Longer columns, or shorter ones.
    pub fn zoom(&mut self, longer: bool) {
        let step = if longer { self.zoom.saturating_add(1) } else { self.zoom.saturating_sub(1) };
        self.zoom = step.min(ZOOMS.len() - 1);
    }
}

/// What is to be seen.
#[derive(Clone, Copy)]
pub(super) struct Span {
    /// The newest second, ns since the epoch.
    pub newest_ns: u64,
    /// The second under the cursor.
    pub cursor_ns: Option<u64>,
    /// Length of a column, ns.
    pub column_ns: u64,
    /// Columns.
    pub width: usize,
}

/// A strand in a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cell {
    line_bytes: u64,
    span_ns: u64,
    peak: u64,
    burst: bool,
}

impl Cell {
    fn add(&mut self, second: &Filled, (link, way): Strand) {
        let Some(strip) = second.strips.get(usize::from(link)) else { return };
        self.line_bytes = self.line_bytes.saturating_add(strip.line_bytes[way & 1]);
        self.span_ns = self.span_ns.saturating_add(second.span_ns);
        self.peak = self.peak.max(strip.peak[way & 1]);
        self.burst |= strip.burst[way & 1];
    }

    /// Mean rate on the line, bits per second.
    fn rate(&self) -> f64 {
        if self.span_ns == 0 {
            return 0.0;
        }
        self.line_bytes as f64 * 8.0 * SECOND_NS as f64 / self.span_ns as f64
    }
}

/// What all strands have in common in a column.
#[derive(Clone, Copy, Debug, Default)]
struct Column {
    /// Of its seconds the one with a burst, or else the fullest millisecond; 0 of none.
    time_ns: u64,
    fullest: (bool, u64),
    lossy: bool,
}

/// Kept seconds in columns.
pub(super) struct Chart {
    columns: Vec<Column>,
    /// By strand, then by column.
    cells: Vec<Cell>,
    cursor: Option<usize>,
    until_ns: u64,
    column_ns: u64,
}

impl Chart {
    /// Goes through the seconds that are in sight, once.
    pub fn of(past: &Past, strands: &[Strand], span: Span) -> Chart {
        let Span { newest_ns, cursor_ns, width, .. } = span;
        let column_ns = span.column_ns.max(1);
        let mut until_ns = newest_ns.div_ceil(column_ns).saturating_mul(column_ns);
        let behind = |until_ns: u64, time_ns: u64| {
            usize::try_from(until_ns.saturating_sub(time_ns) / column_ns).unwrap_or(usize::MAX)
        };
        // A cursor that would be out of sight stays at the left, and the chart moves.
        let least = width.saturating_sub(1 + MARGIN.min(width / 4));
        let shift = cursor_ns.map_or(0, |time_ns| behind(until_ns, time_ns).saturating_sub(least));
        until_ns = until_ns.saturating_sub(column_ns.saturating_mul(shift as u64));
        let place = |time_ns: u64| (width.checked_sub(1)?).checked_sub(behind(until_ns, time_ns));
        let mut chart = Chart {
            columns: vec![Column::default(); width],
            cells: vec![Cell::default(); width * strands.len()],
            cursor: cursor_ns.and_then(place),
            until_ns,
            column_ns,
        };
        for second in past.filled(until_ns.min(newest_ns)) {
            let Some(at) = place(second.until_ns) else { break };
            chart.add(at, second, strands);
        }
        chart
    }

    fn add(&mut self, at: usize, second: &Filled, strands: &[Strand]) {
        let width = self.columns.len();
        let column = &mut self.columns[at];
        column.lossy |= second.strips.iter().any(|strip| strip.is_lossy());
        let mut fullest = (false, 0);
        for (cells, &strand) in self.cells.chunks_mut(width.max(1)).zip(strands) {
            cells[at].add(second, strand);
            let strip = second.strips.get(usize::from(strand.0));
            let here =
                strip.map_or((false, 0), |strip| (strip.burst[strand.1 & 1], strip.peak[strand.1 & 1]));
            fullest = fullest.max(here);
        }
        if column.time_ns == 0 || fullest > column.fullest {
            (column.time_ns, column.fullest) = (second.until_ns, fullest);
        }
    }

    fn cells(&self, strand: usize) -> &[Cell] {
        let width = self.columns.len();
        self.cells.get(strand * width..(strand + 1) * width).unwrap_or_default()
    }

    /// The highest mean of these strands, where their speed says no more.
    fn highest(&self, strands: impl Iterator<Item = usize>) -> f64 {
        strands.flat_map(|strand| self.cells(strand)).map(Cell::rate).fold(0.0, f64::max)
    }

    /// Height of the rate that is a whole column, by strand, bits a second.
    fn scales(&self, strands: &[Strand], speed: impl Fn(LinkId) -> Option<u64>) -> Vec<f64> {
        let speeds: Vec<Option<u64>> =
            strands.iter().map(|&(link, _)| speed(link).filter(|&speed| speed > 0)).collect();
        let unknown = (0..strands.len()).filter(|&strand| speeds[strand].is_none());
        let highest = self.highest(unknown);
        speeds.iter().map(|speed| speed.map_or(highest, |speed| speed as f64)).collect()
    }
}

/// What a cell of the screen shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// So many eighths of it.
    Mean(usize),
    Peak,
    Burst,
    Unknown,
}

impl Mark {
    fn symbol(self) -> &'static str {
        const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
        match self {
            Mark::Mean(eighths) => EIGHTHS[eighths.min(8)],
            Mark::Peak => "▔",
            Mark::Burst => "!",
            Mark::Unknown => "·",
        }
    }

    fn look(self) -> Style {
        match self {
            Mark::Mean(_) => Style::new().fg(Color::Cyan),
            Mark::Peak => Style::new().fg(Color::Yellow),
            Mark::Burst => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
            Mark::Unknown => Style::new().add_modifier(Modifier::DIM),
        }
    }
}

/// A cell in so many lines, from the lowest one up.
fn marks(cell: &Cell, scale: f64, lines: usize) -> Vec<Mark> {
    let part = |rate: f64| if scale > 0.0 { (rate / scale).clamp(0.0, 1.0) } else { 0.0 };
    let most = lines * 8;
    let mean = (part(cell.rate()) * most as f64).round() as usize;
    // What is not nothing is seen.
    let mean = if cell.line_bytes > 0 { mean.max(1) } else { 0 };
    let mut marks: Vec<Mark> =
        (0..lines).map(|line| Mark::Mean(mean.saturating_sub(line * 8).min(8))).collect();
    let peak = (part(cell.peak as f64) * lines as f64).ceil() as usize;
    let top = peak.clamp(1, lines.max(1)) - 1;
    let free = mean.div_ceil(8);
    let Some(last) = lines.checked_sub(1) else { return marks };
    if cell.burst {
        marks[top.max(free).min(last)] = Mark::Burst;
    } else if peak > 0 && top >= free {
        marks[top] = Mark::Peak;
    }
    marks
}

/// A strand's name: link and direction.
pub(super) fn named((link, way): Strand, scene: &Scene) -> String {
    let context = scene.sight.context;
    let way = if context.link(link).direction_unknown { "all" } else { ["rx", "tx"][way & 1] };
    format!("{} {way}", fit(&plain(context.link_name(link)), NAME_WIDTH))
}

/// Cells left of the columns: names, the rate of a whole column, and the axis.
pub(super) fn label_width(strands: &[Strand], scene: &Scene) -> usize {
    let names = strands.iter().map(|&strand| width_of(&named(strand, scene)));
    names.max().unwrap_or(0) + 1 + crate::output::units::HUMAN_WIDTH + 1
}

impl Chart {
    /// Strips of so many lines each, and the axis. Returns what is below.
    pub fn draw(
        &self,
        strands: &[Strand],
        scene: &Scene,
        buffer: &mut Buffer,
        area: Rect,
        lines: u16,
    ) -> Rect {
        let left = wide(label_width(strands, scene)).min(area.width);
        let context = scene.sight.context;
        let scales = self.scales(strands, |link| context.link(link).speed_bits_per_second);
        let mut rest = area;
        for (number, (&strand, scale)) in strands.iter().zip(scales).enumerate() {
            let full = human(rate_in(scale.round() as u64, scene.sight.style.unit));
            let name = named(strand, scene);
            let gap = usize::from(left).saturating_sub(width_of(&name) + full.len() + 1);
            let label = format!("{name}{}{full}", " ".repeat(gap));
            let strip = Rect { height: lines.min(rest.height), ..rest };
            for y in strip.top()..strip.bottom() {
                let at = Rect { y, height: 1, width: left.saturating_sub(1), ..strip };
                line(buffer, at, if y == strip.top() { &label } else { "" }, Style::new());
                put(buffer, (at.right(), y), "│", Style::new());
            }
            self.draw_strip(self.cells(number), scale, buffer, Rect { x: area.x + left, ..strip });
            rest = below(rest, lines);
        }
        self.draw_axis(buffer, rest, left);
        below(rest, 1)
    }

    fn draw_strip(&self, cells: &[Cell], scale: f64, buffer: &mut Buffer, area: Rect) {
        let first = self.columns.iter().position(|column| column.time_ns > 0);
        for (at, cell) in cells.iter().enumerate() {
            let mut marks = marks(cell, scale, usize::from(area.height));
            if cell.span_ns == 0 && first.is_some_and(|first| first < at) {
                marks.iter_mut().take(1).for_each(|mark| *mark = Mark::Unknown);
            }
            for (up, mark) in marks.into_iter().enumerate() {
                let look = mark.look().add_modifier(self.cursor_look(at));
                let y = area.bottom().saturating_sub(wide(up + 1));
                put(buffer, (area.x.saturating_add(wide(at)), y), mark.symbol(), look);
            }
        }
    }

    fn cursor_look(&self, at: usize) -> Modifier {
        if self.cursor == Some(at) { Modifier::REVERSED } else { Modifier::empty() }
    }

    /// How long it is, when it begins and ends, where something was lost, the cursor.
    fn draw_axis(&self, buffer: &mut Buffer, area: Rect, left: u16) {
        if area.height == 0 {
            return;
        }
        let width = self.columns.len();
        let long = duration(self.column_ns.saturating_mul(width as u64));
        let label = Rect { width: left.saturating_sub(1), height: 1, ..area };
        let gap = usize::from(label.width).saturating_sub(width_of(&long));
        line(buffer, label, &format!("{}{long}", " ".repeat(gap)), Style::new());
        put(buffer, (label.right(), area.y), "└", Style::new());
        let sign = |at: usize| match (self.columns[at].lossy, self.cursor == Some(at)) {
            (true, _) => Some(("x", Style::new().fg(Color::Red).add_modifier(Modifier::BOLD))),
            (_, true) => Some(("▲", Style::new().add_modifier(Modifier::BOLD))),
            _ => None,
        };
        let x = |at: usize| area.x.saturating_add(left).saturating_add(wide(at));
        for at in 0..width {
            let (symbol, look) = sign(at).unwrap_or(("─", Style::new()));
            put(buffer, (x(at), area.y), symbol, look.add_modifier(self.cursor_look(at)));
        }
        // A column's time is its end, as it is everywhere.
        let time = |at: usize| {
            clock(self.until_ns.saturating_sub(self.column_ns.saturating_mul((width - 1 - at) as u64)))
        };
        let mut tell = |at: usize, text: String, begin: usize| {
            let cells = begin..begin + text.len();
            if at < width && cells.end <= width && cells.clone().all(|at| sign(at).is_none()) {
                buffer.set_stringn(x(begin), area.y, &text, text.len(), Style::new());
            }
        };
        if width > 0 {
            tell(0, time(0), 0);
            let last = time(width - 1);
            let begin = width.saturating_sub(last.len());
            if begin > last.len() + 1 {
                tell(width - 1, last, begin);
            }
        }
    }

    /// Notes where its columns are: `area` is that of the strips and the axis on the screen.
    pub fn note(&self, plot: &mut Plot, area: Rect) {
        plot.area = area;
        plot.times.clear();
        plot.times.extend(self.columns.iter().map(|column| column.time_ns));
    }
}

/// A sign in a cell that is there.
fn put(buffer: &mut Buffer, at: (u16, u16), symbol: &str, look: Style) {
    if let Some(cell) = buffer.cell_mut(at) {
        cell.set_symbol(symbol).set_style(look);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::snapshot::{InterfaceFigures, Snapshot};
    use crate::aggregate::spread::SpreadFigures;
    use crate::meter::totals::LaneTotals;
    use crate::output::lost::Losses;

    const S: u64 = SECOND_NS;
    /// A link of 8 Mbit/s: a megabyte a second.
    const SPEED: u64 = 8_000_000;

    /// A second of one link: bytes on the line received and sent, fullest millisecond.
    fn second(time_ns: u64, bytes: [u64; 2], peak: u64, drops: u64) -> Snapshot {
        let mut one = InterfaceFigures {
            link: 0,
            interval: bytes.map(|line_bytes| LaneTotals { line_bytes, ..LaneTotals::default() }),
            total: Default::default(),
            missing_bytes: [0; 2],
            handshakes: Default::default(),
            averages: Default::default(),
            capture_interval: Default::default(),
            capture: Default::default(),
        };
        one.capture_interval.kernel_drops = drops;
        let peaks = [SpreadFigures { peak, ..SpreadFigures::default() }, SpreadFigures::default()];
        Snapshot {
            time_ns,
            interval_ns: S,
            interfaces: vec![one],
            spreads: vec![[peaks; 2]],
            ..Snapshot::default()
        }
    }

    fn kept(seconds: impl IntoIterator<Item = Snapshot>) -> Past {
        let mut past = Past::default();
        for second in seconds {
            past.take(&second, &second, &Vec::new(), &Losses::default());
        }
        past
    }

    fn chart(past: &Past, cursor_ns: Option<u64>, column_ns: u64, width: usize) -> Chart {
        let newest_ns = past.near(u64::MAX).expect("a second");
        Chart::of(past, &[(0, 0), (0, 1)], Span { newest_ns, cursor_ns, column_ns, width })
    }

    fn told(chart: &Chart, strand: usize, lines: usize) -> Vec<String> {
        let columns = chart.cells(strand).iter().map(|cell| marks(cell, SPEED as f64, lines));
        let columns: Vec<Vec<Mark>> = columns.collect();
        let line = |up: usize| columns.iter().map(|column| column[up].symbol()).collect();
        (0..lines).rev().map(line).collect()
    }

    #[test]
    fn a_cell_has_its_mean_and_its_fullest_millisecond() {
        let cell = |line_bytes, peak, burst| Cell { line_bytes, span_ns: S, peak, burst };
        let told = |cell: Cell, lines| -> String {
            marks(&cell, SPEED as f64, lines).into_iter().map(Mark::symbol).collect()
        };
        assert_eq!(told(cell(0, 0, false), 2), "  ");
        assert_eq!(told(cell(1, 0, false), 2), "▁ ", "what is not nothing is seen");
        assert_eq!(told(cell(500_000, 0, false), 2), "█ ", "half of the line");
        assert_eq!(told(cell(750_000, 0, false), 2), "█▄");
        assert_eq!(told(cell(2_000_000, 0, false), 2), "██", "bunched frames, more than all");
        // 20 ms of a full line in a second: 2 % of it.
        assert_eq!(told(cell(20_000, SPEED, false), 2), "▁▔");
        assert_eq!(told(cell(20_000, SPEED, true), 2), "▁!");
        assert_eq!(told(cell(20_000, SPEED / 2, false), 2), "▁ ", "no line above the mean's");
        assert_eq!(told(cell(20_000, 3 * SPEED, false), 3), "▁ ▔");
        assert_eq!(told(cell(900_000, SPEED, true), 2), "█!", "a burst is seen in a full line too");
        assert_eq!(told(cell(20_000, SPEED, true), 1), "!");
        assert_eq!(told(cell(20_000, SPEED, false), 1), "▁");
        assert_eq!(marks(&cell(1, 1, true), 0.0, 1), [Mark::Burst], "no scale");
        assert_eq!(marks(&cell(1, 1, true), 1.0, 0), []);
    }

    #[test]
    fn columns_are_seconds_the_newest_at_the_right_and_what_is_missing_a_gap() {
        let bytes = |at: u64| [125_000 * at, 1_000_000 / at];
        let past = kept((1..=8).filter(|at| ![4, 5].contains(at)).map(|at| second(at * S, bytes(at), 0, 0)));
        let all = chart(&past, None, S, 10);
        assert_eq!(told(&all, 0, 1), ["  ▁▂▃  ▆▇█"]);
        assert_eq!(told(&all, 1, 1), ["  █▄▃  ▁▁▁"]);
        let unknown: Vec<bool> = all.cells(0).iter().map(|cell| cell.span_ns == 0).collect();
        assert_eq!(unknown, [true, true, false, false, false, true, true, false, false, false]);
        assert_eq!(
            all.columns.iter().map(|one| one.time_ns / S).collect::<Vec<_>>(),
            [0, 0, 1, 2, 3, 0, 0, 6, 7, 8]
        );
        // More seconds than columns: the newest.
        assert_eq!(told(&chart(&past, None, S, 3), 0, 1), ["▆▇█"]);
        assert_eq!(told(&chart(&past, None, S, 0), 0, 1), [""]);
    }

    #[test]
    fn a_cursor_out_of_sight_moves_the_chart() {
        let past = kept((1..=100).map(|at| second(at * S, [10_000 * at, 0], 0, 0)));
        let at = |cursor: u64| {
            let chart = chart(&past, Some(cursor * S), S, 20);
            (chart.columns[0].time_ns / S, chart.columns[19].time_ns / S, chart.cursor)
        };
        assert_eq!(at(99), (81, 100, Some(18)));
        assert_eq!(at(86), (81, 100, Some(5)), "a quarter is kept left of it");
        assert_eq!(at(85), (80, 99, Some(5)));
        assert_eq!(at(1), (0, 15, Some(5)), "the oldest: nothing is left of it");
    }

    #[test]
    fn long_columns_have_the_mean_and_the_fullest_of_their_seconds() {
        let bursts_at = |at: u64| if at == 13 { SPEED } else { at };
        let past =
            kept((1..=30).map(|at| {
                second(at * S, [100_000 + 800_000 * (at / 21), 0], bursts_at(at), (at == 7).into())
            }));
        let chart = chart(&past, None, 10 * S, 4);
        assert_eq!(told(&chart, 0, 2), ["  ▔▆", " ▂▂█"]);
        let times: Vec<u64> = chart.columns.iter().map(|one| one.time_ns / S).collect();
        assert_eq!(times, [0, 10, 13, 30], "a click goes to the second with the fullest millisecond");
        assert_eq!(
            chart.columns.iter().map(|one| one.lossy).collect::<Vec<_>>(),
            [false, true, false, false]
        );
        // Columns stay what they are as seconds come.
        let next =
            kept((1..=31).map(|at| second(at * S, [100_000 + 800_000 * (at / 21), 0], bursts_at(at), 0)));
        let next = super::Chart::of(
            &next,
            &[(0, 0)],
            Span { newest_ns: 31 * S, cursor_ns: None, column_ns: 10 * S, width: 4 },
        );
        assert_eq!(next.cells(0)[..3], chart.cells(0)[1..]);
    }

    #[test]
    fn a_full_column_is_the_speed_or_the_highest_mean() {
        let past = kept((1..=3).map(|at| second(at * S, [1000 * at, 500], 0, 0)));
        let (chart, strands) = (chart(&past, None, S, 5), [(0, 0), (0, 1)]);
        assert_eq!(chart.scales(&strands, |_| Some(SPEED)), [SPEED as f64; 2]);
        assert_eq!(chart.scales(&strands, |_| None), [24_000.0; 2], "the same for both");
        assert_eq!(chart.scales(&strands, |_| Some(0)), [24_000.0; 2]);
    }

    #[test]
    fn a_place_on_the_screen_is_a_second() {
        let past = kept((1..=3).map(|at| second(at * S, [1, 1], 0, 0)));
        let mut plot = Plot::default();
        chart(&past, None, S, 5).note(&mut plot, Rect::new(10, 4, 5, 3));
        let at = |x, y| plot.time_at(Position { x, y });
        assert_eq!((at(14, 4), at(12, 6), at(11, 5)), (Some(3 * S), Some(S), None));
        assert_eq!((at(9, 4), at(15, 4), at(14, 7), at(14, 3)), (None, None, None, None));
    }
}
