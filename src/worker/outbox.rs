//! A worker's end of the channel to the aggregator.
//!
//! Owned buffers go down, the same buffers come back empty; both channels are
//! bounded by the number of buffers that there are, so records never wait in
//! the channel itself. With a file a worker waits for an empty buffer (nothing
//! may be lost); live it never does: without one, flows stay touched until the
//! next slice, and ended flows whose records find no room are counted as
//! `unreported` by the table.

use super::look::{Answer, Ask};
use crate::capture::LinkId;
use crate::flow::key::FlowKey;
use crate::flow::record::{Account, Buffer, Sink};
use crate::flow::table::TableStats;
use crate::meter::bins::LaneBins;
use crate::meter::totals::{Count, LaneTotals};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

/// Buffers of one worker on a file: enough to keep both threads busy.
pub const BUFFERS_FILE: usize = 4;
/// Buffers of one worker on rings: 262,144 records, some seconds of ended
/// flows while the aggregator does not run.
pub const BUFFERS_LIVE: usize = 128;
/// Cuts, bins and answers that may wait beside the buffers.
const CUTS_WAITING: usize = 16;
/// Questions that may wait for a worker.
const ASKS_WAITING: usize = 16;

/// What the kernel says of one ring, since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingFigures {
    /// The interface.
    pub link: LinkId,
    /// Frames taken out of the ring.
    pub frames: u64,
    /// Frames dropped because the ring was full (`tp_drops`).
    pub kernel_drops: u64,
    /// Times that the ring was found full (`tp_freeze_q_cnt`).
    pub freezes: u64,
    /// Frames and blocks that were left out as their description was wrong.
    pub corrupt: u64,
    /// Frames left out on a loopback interface, which shows each twice.
    pub second_sight: u64,
}

impl RingFigures {
    /// Adds another ring's figures of the same interface.
    pub fn add(&mut self, other: &RingFigures) {
        self.frames += other.frames;
        self.kernel_drops += other.kernel_drops;
        self.freezes += other.freezes;
        self.corrupt += other.corrupt;
        self.second_sight += other.second_sight;
    }
}

/// Where a worker's totals stood when packet time passed a moment.
#[derive(Clone, Debug, Default)]
pub struct LaneMark {
    /// The moment, ns since the epoch.
    pub at_ns: u64,
    /// Totals by lane, up to the last one used.
    pub lanes: Vec<LaneTotals>,
}

/// A worker's figures at a boundary of packet time, all since the start.
#[derive(Clone, Debug, Default)]
pub struct Cut {
    /// End of the interval, ns since the epoch.
    pub boundary_ns: u64,
    /// By how much the clock was set back since the start, ns.
    pub set_back_ns: u64,
    /// Empty intervals left out just after this one (time that jumps).
    pub skipped: u64,
    /// Totals by lane, up to the last one used.
    pub lanes: Vec<LaneTotals>,
    /// What is not IP, by ethertype.
    pub ethertypes: Vec<(u16, Count)>,
    /// Figures of the flow table.
    pub table: TableStats,
    /// Kernel figures of this worker's rings.
    pub rings: Vec<RingFigures>,
    /// Moments passed since the last cut.
    pub marks: Vec<LaneMark>,
    /// Packets whose stamp was before an interval that had ended.
    pub late_packets: u64,
    /// Earliest time of a packet.
    pub first_ns: Option<u64>,
    /// Latest time of a packet.
    pub last_ns: u64,
    /// Every record before this cut is as of its boundary.
    pub whole: bool,
    /// The worker has stopped; nothing follows.
    pub last: bool,
}

impl Cut {
    /// The boundary on a clock that was never set back: later cuts have a later one.
    pub fn run_ns(&self) -> u64 {
        self.boundary_ns.saturating_add(self.set_back_ns)
    }
}

/// Milliseconds that have ended, of all lanes of a worker.
#[derive(Clone, Debug, Default)]
pub struct BinCut {
    /// Nothing that begins before this millisecond follows.
    pub until_ms: u64,
    /// A lane may stand here more than once.
    pub lanes: Vec<LaneBins>,
    /// The clock was set back: milliseconds begin anew at `until_ms`.
    pub set_back: bool,
    /// The worker has stopped; it waits until it is told to go on.
    pub last: bool,
}

/// Somebody inquiries at a flow.
pub struct Inquiry {
    /// Which.
    pub key: FlowKey,
    /// Where its account goes, if there is room; nothing from those who do not have it.
    pub reply: Sender<Box<Account>>,
}

/// What travels to the aggregator.
pub enum Message {
    /// Records of touched flows.
    Records(Box<Buffer>),
    /// All records up to this boundary have been sent.
    Cut(Box<Cut>),
    /// Milliseconds that have ended; before the cut that ends there.
    Bins(Box<BinCut>),
    /// Who filled some of them.
    Answer(Box<Answer>),
}

/// The aggregator's end.
pub struct Inbox {
    /// Records and cuts, in order.
    pub messages: Receiver<Message>,
    /// Buffers on their way back.
    pub empties: Sender<Box<Buffer>>,
    /// Questions.
    pub asks: Sender<Ask>,
    /// Flows that somebody inquiries at.
    pub inquiries: Sender<Inquiry>,
}

/// The worker's end.
pub struct Outbox {
    current: Option<Box<Buffer>>,
    messages: Sender<Message>,
    empties: Receiver<Box<Buffer>>,
    /// Buffers that may still be made.
    to_make: usize,
    /// There was none when one was wanted last.
    waits_for_room: bool,
    accounts: bool,
    waits: bool,
    asks: Receiver<Ask>,
    inquiries: Receiver<Inquiry>,
    /// Whether the aggregator has questions.
    answers: bool,
}

/// A pair of ends. `waits`: the worker waits where there is no room (files).
pub fn outbox(buffers: usize, accounts: bool, waits: bool) -> (Outbox, Inbox) {
    let (messages, inbox) = bounded(buffers + CUTS_WAITING);
    let (back, empties) = bounded(buffers);
    let (ask, asks) = bounded(ASKS_WAITING);
    let (inquiry, inquiries) = bounded(ASKS_WAITING);
    let to_make = buffers;
    let outbox = Outbox {
        current: None,
        messages,
        empties,
        to_make,
        waits_for_room: false,
        accounts,
        waits,
        asks,
        inquiries,
        answers: false,
    };
    (outbox, Inbox { messages: inbox, empties: back, asks: ask, inquiries: inquiry })
}

impl Outbox {
    fn empty_buffer(&mut self) -> Option<Box<Buffer>> {
        if let Ok(buffer) = self.empties.try_recv() {
            return Some(buffer);
        }
        if self.to_make > 0 {
            self.to_make -= 1;
            return Some(Box::new(Buffer::new(self.accounts)));
        }
        if self.waits { self.empties.recv().ok() } else { None }
    }

    /// Whether what is left to be told waits for the aggregator: all buffers are on
    /// their way, or the channel is full of cuts.
    pub fn waits_for_room(&self) -> bool {
        match &self.current {
            None => self.waits_for_room && self.empties.is_empty(),
            Some(buffer) => buffer.is_full() && self.messages.is_full(),
        }
    }

    /// Sends the buffer at hand, if there is anything in it.
    fn flush(&mut self) {
        let Some(buffer) = self.current.take() else { return };
        if buffer.is_empty() {
            self.current = Some(buffer);
            return;
        }
        // There are fewer buffers than places in the channel: only a cut too
        // many could fill it, and `cut` leaves their places free.
        match self.messages.try_send(Message::Records(buffer)) {
            Ok(()) => {}
            Err(TrySendError::Full(Message::Records(buffer))) => {
                if self.waits {
                    let _ = self.messages.send(Message::Records(buffer));
                } else {
                    self.current = Some(buffer);
                }
            }
            Err(_) => {}
        }
    }

    /// Sends a cut behind all records. Hands it back where there is no room
    /// (live, the aggregator is far behind): the next one says it all, but for
    /// the moments that this one has noted.
    pub fn cut(&mut self, cut: Box<Cut>) -> Option<Box<Cut>> {
        self.flush();
        if self.waits {
            // Without an aggregator there is nobody to be told.
            let _ = self.messages.send(Message::Cut(cut));
            return None;
        }
        if self.current.as_ref().is_some_and(|buffer| !buffer.is_empty()) {
            return Some(cut);
        }
        match self.messages.try_send(Message::Cut(cut)) {
            Err(TrySendError::Full(Message::Cut(cut))) => Some(cut),
            _ => None,
        }
    }

    /// The aggregator will ask who filled milliseconds: a worker on files waits
    /// for its questions at each hand-over, so that the answer is the same however
    /// fast it is.
    pub fn answers(mut self, answers: bool) -> Outbox {
        self.answers = answers;
        self
    }

    /// Whether milliseconds are wanted at all.
    pub fn is_asked(&self) -> bool {
        self.answers
    }

    /// Sends bins or an answer. Hands it back where there is no room, live.
    pub fn tell(&mut self, message: Message) -> Option<Message> {
        if self.waits {
            let _ = self.messages.send(message);
            return None;
        }
        match self.messages.try_send(message) {
            Err(TrySendError::Full(message)) => Some(message),
            _ => None,
        }
    }

    /// A question, if there is one; where the worker waits, when there is one.
    /// None also where nobody asks any more.
    pub fn asked(&mut self) -> Option<Ask> {
        if self.waits { self.asks.recv().ok() } else { self.asks.try_recv().ok() }
    }

    /// A flow that somebody inquiries at, if there is one; never waits.
    #[inline]
    pub fn inquiry(&mut self) -> Option<Inquiry> {
        self.inquiries.try_recv().ok()
    }

    /// Whether it waits for room, and for questions.
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// The worker has nothing else to do any more: nothing is left out now.
    pub fn wait_from_now_on(&mut self) {
        self.waits = true;
    }
}

impl Sink for Outbox {
    #[inline]
    fn buffer(&mut self) -> Option<&mut Buffer> {
        if self.current.as_ref().is_none_or(|buffer| buffer.is_full()) {
            self.flush();
            if self.current.is_none() {
                self.current = self.empty_buffer();
                self.waits_for_room = self.current.is_none();
            }
        }
        self.current.as_deref_mut().filter(|buffer| !buffer.is_full())
    }
}
