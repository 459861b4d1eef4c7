//! One walk over the journal for many windows.
//!
//! The windows' beginnings and ends cut the time of each lane into *pieces*. A
//! note belongs to one piece, nearly always to that of the note before it, and is
//! added to its flow's *cell* of that piece. What a flow had in a window, and in
//! the second before it that hundreds of windows have in common, are sums over
//! its cells. So a note costs the same for one window and for hundreds.
//!
//! Sums of a walk are bounded: where its windows had too many flows or cells, it
//! is begun anew for half of them; of one alone flows beyond [`FLOWS_MAX`] are
//! unnamed.
//!
//! Knows slots and places of the journal; does not know who asked, nor why.

use super::{FLOWS_MAX, FlowShare, Seen, Window};
use crate::capture::Lane;
use crate::capture::sys::memory::LargeVec;
use crate::flow::key::FlowKey;
use crate::flow::table::FlowTable;
use crate::meter::bins::BIN_NS;
use crate::meter::journal::{Departed, FlowName, Journal, NO_SLOT, Note};
use crate::meter::totals::Count;
use std::collections::HashMap;
use std::ops::Range;

/// Cells of a walk, 56 bytes each. A single window needs two a flow.
const CELLS_MAX: usize = 1 << 20;
/// A flow's cells that a note looks at: two slaves, both directions.
const CELLS_LOOKED_AT: usize = 4;
/// Marks slots that changed hands, in `places`.
const DEPARTED: u32 = 1 << 31;
/// What naming a flow counts as, in notes.
const NAMING: usize = 4;

/// How far a walk has come.
pub(super) enum Step {
    /// More is to be done.
    Going,
    /// Nothing came of it: fewer windows at a time, please.
    TooMany,
    /// All is summed.
    Done,
}

/// A flow in sums: its slot, and how many had given the slot up before it.
type Whose = (u32, u32);

/// One flow.
struct Share {
    whose: Whose,
    /// Its latest cell.
    cell: u32,
}

/// What a flow had in one piece.
struct Cell {
    /// The flow's cell before it and one; 0 for none.
    earlier: u32,
    share: u32,
    piece: u32,
    /// Its first note: place behind the walk's begin, lower 32 bits of the millisecond.
    first_at: u32,
    first_ms: u32,
    sent: [Count; 2],
}

/// Milliseconds of a lane that are within the same windows, and before the same.
#[derive(Default)]
struct Piece {
    /// Windows that it is within: a part of `inside`.
    inside: Range<usize>,
    untracked: Count,
    unnamed: Count,
}

/// A lane's pieces.
struct LanePieces {
    /// Lower 32 bits of the first millisecond.
    base_ms: u32,
    /// Where pieces begin and the last one ends, from `base_ms` on.
    bounds: Vec<u32>,
    /// Number of the first one.
    first: usize,
    /// What the last note was in: these milliseconds, this piece if any.
    now: Range<u32>,
    piece: Option<u32>,
}

/// A window, by its pieces.
struct Asked {
    window: Window,
    before: u32,
    from: u32,
    until: u32,
    /// Where its first note may stand.
    begin: u64,
    seen: Seen,
}

/// See the module's description.
pub(super) struct Walk {
    asked: Vec<Asked>,
    /// By lane: place in `lanes` and one.
    lane_of: [u8; 256],
    lanes: Vec<LanePieces>,
    pieces: Vec<Piece>,
    inside: Vec<u32>,
    /// The next note, the first one, and one behind the last.
    place: u64,
    begin: u64,
    until: u64,
    shares: Vec<Share>,
    cells: Vec<Cell>,
    /// Slots that changed hands between the first note and the question.
    departed: HashMap<u32, Vec<Departed>>,
    /// Slots that did since, and the place up to which that is known.
    since: HashMap<u32, FlowName>,
    since_until: u64,
    /// Flows before this one have their names.
    named: usize,
    /// By name of a flow that gave up its slot: all that were called so. They are
    /// told together, at last.
    again: HashMap<FlowKey, Vec<usize>>,
    together: Vec<Vec<usize>>,
}

impl Walk {
    /// A walk for these windows, all of one era.
    pub(super) fn new(
        windows: Vec<Window>,
        journal: &Journal,
        reach_ms: u64,
        end: u64,
        places: &mut LargeVec<[u32; 1]>,
    ) -> Walk {
        let era = windows.first().map_or(0, |window| window.era);
        let of_era = journal.places(era);
        let asked = windows.into_iter().map(|window| {
            let whole = journal.since(window.from_ms.saturating_sub(reach_ms), era);
            let before = journal.since(window.before_ms.saturating_sub(reach_ms), era);
            let seen = Seen { whole: whole.is_some(), before_whole: before.is_some(), ..Seen::default() };
            let begin = before.or(whole).unwrap_or(journal.begin()).max(of_era.start);
            Asked { window, before: 0, from: 0, until: 0, begin, seen }
        });
        let asked: Vec<Asked> = asked.collect();
        let begin = asked.iter().map(|asked| asked.begin).min().unwrap_or(end);
        let mut walk = Walk {
            asked,
            lane_of: [0; 256],
            lanes: Vec::new(),
            pieces: Vec::new(),
            inside: Vec::new(),
            place: begin,
            begin,
            until: end.min(of_era.end),
            shares: Vec::new(),
            cells: Vec::new(),
            departed: HashMap::new(),
            since: HashMap::new(),
            since_until: end,
            named: 0,
            again: HashMap::new(),
            together: Vec::new(),
        };
        walk.cut_into_pieces();
        for departed in journal.departed(begin).filter(|departed| departed.until <= end) {
            walk.departed.entry(departed.slot).or_default().push(*departed);
            walk.again.entry(departed.name.key).or_default();
            if let Some(place) = places.get_mut(departed.slot as usize) {
                place[0] |= DEPARTED;
            }
        }
        walk
    }

    /// How many windows it is for.
    pub(super) fn windows(&self) -> usize {
        self.asked.len()
    }

    fn cut_into_pieces(&mut self) {
        let mut lanes: Vec<Lane> = self.asked.iter().map(|asked| asked.window.lane).collect();
        lanes.sort_unstable_by_key(|lane| lane.index());
        lanes.dedup();
        for lane in lanes {
            let mut of_lane: Vec<_> =
                self.asked.iter_mut().filter(|asked| asked.window.lane == lane).collect();
            let edges = |asked: &&mut Asked| {
                let Window { before_ms, from_ms, until_ms, .. } = asked.window;
                // One that is upside down has nothing in it.
                let before_ms = before_ms.min(from_ms);
                [before_ms, from_ms, until_ms.max(from_ms)]
            };
            let base_ms = of_lane.iter().map(|asked| edges(asked)[0]).min().unwrap_or(0);
            let behind = |ms: u64| u32::try_from(ms - base_ms).unwrap_or(u32::MAX);
            let mut bounds: Vec<u32> = of_lane.iter().flat_map(edges).map(behind).collect();
            bounds.sort_unstable();
            bounds.dedup();
            let first = self.pieces.len();
            for asked in &mut of_lane {
                let piece = |ms| (first + bounds.partition_point(|&bound| bound < behind(ms))) as u32;
                [asked.before, asked.from, asked.until] = edges(asked).map(piece);
            }
            self.pieces.extend(bounds.iter().skip(1).map(|_| Piece::default()));
            let pieces = LanePieces { base_ms: base_ms as u32, bounds, first, now: 0..0, piece: None };
            self.lanes.push(pieces);
            self.lane_of[lane.index()] = self.lanes.len() as u8;
        }
        let each = (0u32..).zip(&self.asked);
        let within =
            each.flat_map(|(number, asked)| (asked.from..asked.until).map(move |piece| (piece, number)));
        let mut within: Vec<(u32, u32)> = within.collect();
        within.sort_unstable();
        let mut at = 0;
        for (number, piece) in (0u32..).zip(&mut self.pieces) {
            let begin = at;
            while within.get(at).is_some_and(|(of, _)| *of == number) {
                at += 1;
            }
            piece.inside = begin..at;
        }
        self.inside = within.into_iter().map(|(_, number)| number).collect();
    }

    /// Goes over at most `left` notes, and counts those from it.
    pub(super) fn go_on(
        &mut self,
        table: &FlowTable,
        places: &mut LargeVec<[u32; 1]>,
        left: &mut usize,
    ) -> Step {
        let journal = table.journal();
        if self.place < journal.begin() && self.place < self.until {
            // What was overwritten before its turn can be summed no more.
            for asked in self.asked.iter_mut().filter(|asked| asked.begin < journal.begin()) {
                (asked.seen.whole, asked.seen.before_whole) = (false, false);
            }
            self.place = journal.begin();
        }
        let most = (*left).min(self.until.saturating_sub(self.place) as usize);
        for (at, note) in journal.notes(self.place, most) {
            if !self.sum(at, &note, places) {
                self.leave_nothing_in(places);
                return Step::TooMany;
            }
        }
        *left -= most;
        self.place += most as u64;
        if self.place < self.until || !self.name_some(table, left) {
            return Step::Going;
        }
        self.leave_nothing_in(places);
        Step::Done
    }

    /// False where there are more flows or cells than a walk may have.
    #[inline]
    fn sum(&mut self, at: u64, note: &Note, places: &mut LargeVec<[u32; 1]>) -> bool {
        let Some(piece) = self.piece_of(note) else { return true };
        let count = Count { packets: u64::from(note.packets), bytes: u64::from(note.bytes) };
        if note.slot == NO_SLOT {
            self.pieces[piece as usize].untracked.add(count);
            return true;
        }
        let alone = self.asked.len() == 1;
        match self.cell_of(at, note, piece, places) {
            Some(cell) => cell.sent[usize::from(note.reversed)].add(count),
            None if !alone => return false,
            None => self.pieces[piece as usize].unnamed.add(count),
        }
        true
    }

    /// The piece that a note is in, if it is asked for.
    #[inline]
    fn piece_of(&mut self, note: &Note) -> Option<u32> {
        let lane = usize::from(self.lane_of[note.lane.index()]).checked_sub(1)?;
        let lane = self.lanes.get_mut(lane)?;
        // Wrapping: the journal is far shorter than what 32 bits of milliseconds hold.
        let ms = note.ms.wrapping_sub(lane.base_ms);
        if !lane.now.contains(&ms) {
            lane.turn_to(ms);
        }
        lane.piece
    }

    /// The sums of a note's flow in its piece.
    #[inline]
    fn cell_of(
        &mut self,
        at: u64,
        note: &Note,
        piece: u32,
        places: &mut LargeVec<[u32; 1]>,
    ) -> Option<&mut Cell> {
        let latest = places.get_mut(note.slot as usize)?;
        let marked = latest[0] & DEPARTED;
        let mut earlier = 0;
        let mut before = latest[0] & !DEPARTED;
        if marked != 0 {
            // How many had given up the slot by then; they are in order.
            let given_up = |all: &Vec<Departed>| all.partition_point(|departed| departed.until <= at);
            earlier = self.departed.get(&note.slot).map_or(0, given_up) as u32;
            // A slot's flows follow each other, as notes do: another than the latest is a new one.
            let share = (before as usize).checked_sub(1).and_then(|cell| self.cells.get(cell));
            let share = share.and_then(|cell| self.shares.get(cell.share as usize));
            if share.is_some_and(|share| share.whose != (note.slot, earlier)) {
                before = 0;
            }
        }
        let mut next = before;
        for _ in 0..CELLS_LOOKED_AT {
            let Some(place) = (next as usize).checked_sub(1) else { break };
            if self.cells.get(place)?.piece == piece {
                return self.cells.get_mut(place);
            }
            next = self.cells[place].earlier;
        }
        let cell = self.add_cell(at, note, piece, before, (note.slot, earlier))?;
        latest[0] = marked | cell;
        self.cells.last_mut()
    }

    /// The number of a new cell of a flow, behind its latest one if it has any (0: none).
    #[inline(never)]
    fn add_cell(&mut self, at: u64, note: &Note, piece: u32, before: u32, whose: Whose) -> Option<u32> {
        let known = (before as usize).checked_sub(1).and_then(|cell| self.cells.get(cell));
        let share = known.map_or(self.shares.len() as u32, |cell| cell.share);
        if self.cells.len() >= CELLS_MAX || known.is_none() && self.shares.len() >= FLOWS_MAX {
            return None;
        }
        let first_at = u32::try_from(at - self.begin).unwrap_or(u32::MAX);
        let sent = [Count::default(); 2];
        self.cells.push(Cell { earlier: before, share, piece, first_at, first_ms: note.ms, sent });
        let cell = self.cells.len() as u32;
        match self.shares.get_mut(share as usize) {
            Some(share) => share.cell = cell,
            None => self.shares.push(Share { whose, cell }),
        }
        Some(cell)
    }

    fn leave_nothing_in(&self, places: &mut LargeVec<[u32; 1]>) {
        for slot in self.shares.iter().map(|share| share.whose.0).chain(self.departed.keys().copied()) {
            if let Some(place) = places.get_mut(slot as usize) {
                place[0] = 0;
            }
        }
    }

    /// Gives flows their names and windows their flows; true when all have them.
    fn name_some(&mut self, table: &FlowTable, left: &mut usize) -> bool {
        // Of those that gave their slots up at the same place there may be more by now.
        for departed in table.journal().departed(self.since_until.saturating_sub(1)) {
            // The first that gave the slot up had it when the question came.
            self.since.entry(departed.slot).or_insert(departed.name);
        }
        self.since_until = table.journal().end();
        while let Some(share) = self.shares.get(self.named) {
            if *left == 0 {
                return false;
            }
            let name = self.name(share.whose, table);
            let again = name.and_then(|name| self.again.get_mut(&name.key));
            match again {
                Some(all) => all.push(self.named),
                None => self.tell(&[(self.named, name)], table, left),
            }
            *left = left.saturating_sub(NAMING);
            self.named += 1;
        }
        self.together.extend(self.again.drain().map(|(_, all)| all).filter(|all| !all.is_empty()));
        while *left > 0 {
            let Some(all) = self.together.pop() else { return true };
            let all: Vec<_> = all.iter().map(|&at| (at, self.name(self.shares[at].whose, table))).collect();
            self.tell(&all, table, left);
            *left = left.saturating_sub(NAMING);
        }
        self.together.is_empty()
    }

    fn name(&self, (slot, earlier): Whose, table: &FlowTable) -> Option<FlowName> {
        let known = self.departed.get(&slot).and_then(|all| all.get(earlier as usize));
        let known = known.map(|departed| departed.name);
        known.or_else(|| self.since.get(&slot).copied()).or_else(|| table.name(slot))
    }

    /// Tells windows of flows with the same name: in nearly all cases of one. Who
    /// was only there before a window is told of where more of it is to come.
    fn tell(&mut self, flows: &[(usize, Option<FlowName>)], table: &FlowTable, left: &mut usize) {
        let unnamed_until = table.journal().unnamed_until();
        let (shares, cells) = (&self.shares, &self.cells);
        let of_flow = |&(share, name): &(usize, _)| (cells_of(shares.get(share), cells), name);
        let flows: Vec<(Vec<&Cell>, Option<FlowName>)> = flows.iter().map(of_flow).collect();
        let all = || flows.iter().flat_map(|(cells, _)| cells);
        let inside = |cell: &&Cell| &self.inside[self.pieces[cell.piece as usize].inside.clone()];
        let mut windows: Vec<u32> = all().flat_map(inside).copied().collect();
        windows.extend((0u32..).zip(&self.asked).filter(|(_, asked)| asked.window.goes_on).map(|(at, _)| at));
        windows.sort_unstable();
        windows.dedup();
        *left = left.saturating_sub(all().count() + windows.len() * flows.len());
        for window in windows {
            let asked = &mut self.asked[window as usize];
            for (cells, name) in &flows {
                let within = cells_in(cells, asked.from..asked.until);
                let before = cells_in(cells, asked.before..asked.from);
                let Some(first) = before.iter().chain(within).min_by_key(|cell| cell.first_at) else {
                    continue;
                };
                // Where names were given up, only a flow that began before its first note
                // is surely the one: in the same millisecond there may have been two.
                let fits = |name: &FlowName| {
                    let began_ms = (name.start_ns / BIN_NS) as u32;
                    self.begin + u64::from(first.first_at) >= unnamed_until
                        || first.first_ms.wrapping_sub(began_ms) as i32 > 0
                };
                let mut sent = [Count::default(); 2];
                for cell in within {
                    sent.iter_mut().zip(cell.sent).for_each(|(sum, count)| sum.add(count));
                }
                match name.filter(fits) {
                    Some(flow) => {
                        let before = before.iter().flat_map(|cell| cell.sent).map(|count| count.bytes).sum();
                        asked.seen.flows.push(FlowShare { flow, sent, before });
                    }
                    None => sent.iter().for_each(|&count| asked.seen.unnamed.add(count)),
                }
            }
        }
    }

    /// What was seen, window by window.
    pub(super) fn seen(self) -> impl Iterator<Item = Seen> {
        let pieces = self.pieces;
        self.asked.into_iter().map(move |asked| {
            let mut seen = asked.seen;
            for piece in &pieces[asked.from as usize..asked.until as usize] {
                seen.untracked.add(piece.untracked);
                seen.unnamed.add(piece.unnamed);
            }
            seen
        })
    }
}

impl LanePieces {
    /// Milliseconds are another piece's, or no piece's.
    #[cold]
    fn turn_to(&mut self, ms: u32) {
        let behind = self.bounds.partition_point(|&bound| bound <= ms);
        let begin = behind.checked_sub(1).and_then(|at| self.bounds.get(at));
        let end = self.bounds.get(behind);
        self.now = begin.copied().unwrap_or(0)..end.copied().unwrap_or(u32::MAX);
        let is_one = begin.is_some() && end.is_some();
        self.piece = is_one.then(|| (self.first + behind - 1) as u32);
    }
}

/// A flow's cells in the order of pieces.
fn cells_of<'a>(share: Option<&Share>, all: &'a [Cell]) -> Vec<&'a Cell> {
    let mut cells = Vec::new();
    let mut next = share.map_or(0, |share| share.cell);
    while let Some(cell) = (next as usize).checked_sub(1).and_then(|at| all.get(at)) {
        cells.push(cell);
        next = cell.earlier;
    }
    cells.sort_by_key(|cell| cell.piece);
    cells
}

/// Those of some pieces.
fn cells_in<'a, 'b>(cells: &'a [&'b Cell], pieces: Range<u32>) -> &'a [&'b Cell] {
    let begin = cells.partition_point(|cell| cell.piece < pieces.start);
    let end = cells.partition_point(|cell| cell.piece < pieces.end);
    cells.get(begin..end.max(begin)).unwrap_or(&[])
}
