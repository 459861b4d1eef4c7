//! What is answered on the socket: requests to bytes, from snapshots alone.
//!
//! `GET` and `REFRESH` are tcpeek's, byte for byte as its listener writes them,
//! so its scripts go on working: sums of each watch since the start, and since
//! the last `REFRESH`. A reader that gives a name (`REFRESH NAME`) has a cursor
//! of its own. `JSON` is the latest interval as JSON lines.
//!
//! Knows no socket, no clock and no client: who asks, how long and where is
//! `run`'s. Invariants: an answer never waits; names are bounded and none makes
//! room for another, as its next difference would be told twice.
//! Source: tcpeek 3189698, listener.c (`tcpeek_listener_stat_json`).

use super::handshakes::{REJECTED, TIMED_OUT, UNREACHABLE};
use super::{Context, Coverages, json};
use crate::aggregate::Handle;
use crate::aggregate::snapshot::Snapshot;
use crate::aggregate::watch::Tally;
use crate::flow::record::Outcome;
use arc_swap::ArcSwapOption;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::{Arc, OnceLock};

/// Bytes of a request, its end of line included.
pub const REQUEST_MAX: usize = 4096;
/// Names that may have a cursor, besides the one without a name.
pub const NAMES_MAX: usize = 64;
/// Bytes of such a name.
pub const NAME_BYTES_MAX: usize = 64;

/// What the answers are made from; shared by who tells and who asks.
#[derive(Default)]
pub struct Latest {
    counters: OnceLock<Handle>,
    told: ArcSwapOption<Told>,
}

/// An interval as JSON lines need it.
struct Told {
    snapshot: Arc<Snapshot>,
    coverage: Coverages,
    context: Context,
    live: bool,
}

impl Latest {
    /// Where the newest sums stand, however far the other outputs have come.
    pub fn count_from(&self, handle: Handle) {
        let _ = self.counters.set(handle);
    }

    /// An interval has ended.
    pub fn tell(&self, snapshot: &Arc<Snapshot>, coverage: &Coverages, context: &Context, live: bool) {
        let context = Context { lines_lost: 0, ..context.clone() };
        let told = Told { snapshot: snapshot.clone(), coverage: coverage.clone(), context, live };
        self.told.store(Some(Arc::new(told)));
    }

    fn snapshot(&self) -> Option<Arc<Snapshot>> {
        let newest = self.counters.get().and_then(Handle::latest);
        newest.or_else(|| self.told.load().as_ref().map(|told| told.snapshot.clone()))
    }
}

/// tcpeek's figures of a watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    success: u64,
    dupsyn: u64,
    dupsynack: u64,
    timeout: u64,
    reject: u64,
    unreach: u64,
}

impl Sums {
    fn of(tally: &Tally) -> Sums {
        Sums {
            success: tally.of(&[Outcome::Success]),
            dupsyn: tally.sessions_with_syn_retransmitted,
            dupsynack: tally.sessions_with_synack_retransmitted,
            timeout: tally.of(TIMED_OUT),
            reject: tally.of(REJECTED),
            unreach: tally.of(UNREACHABLE),
        }
    }

    fn since(self, earlier: Sums) -> Sums {
        Sums {
            success: self.success.saturating_sub(earlier.success),
            dupsyn: self.dupsyn.saturating_sub(earlier.dupsyn),
            dupsynack: self.dupsynack.saturating_sub(earlier.dupsynack),
            timeout: self.timeout.saturating_sub(earlier.timeout),
            reject: self.reject.saturating_sub(earlier.reject),
            unreach: self.unreach.saturating_sub(earlier.unreach),
        }
    }

    fn failures(self) -> u64 {
        self.timeout.saturating_add(self.reject).saturating_add(self.unreach)
    }

    /// `apart`: with a figure of its own for what was unreachable, as GET has it
    /// (REFRESH adds it to `reject`). The blank is tcpeek's.
    fn write(self, name: &str, apart: bool, text: &mut String) {
        let Sums { success, dupsyn, dupsynack, timeout, reject, unreach } = self;
        let total = self.failures();
        let name = serde_json::Value::from(name);
        let rejected = if apart { reject } else { reject.saturating_add(unreach) };
        let _ = write!(
            text,
            "{{{name}:{{\"success\":{{\"total\":{success},\"dupsyn\":{dupsyn},\"dupsynack\":{dupsynack}}},\
             \"failure\":{{\"total\":{total},\"timeout\":{timeout},\"reject\":{rejected}"
        );
        if apart {
            let _ = write!(text, ", \"unreach\":{unreach}");
        }
        text.push_str("}}}");
    }
}

/// A request that is not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such request.
    Unknown {
        /// Its first word.
        word: String,
    },
    /// A request that is one word, and more behind it.
    TakesNothing {
        /// That word.
        word: &'static str,
    },
    /// More than [`REQUEST_MAX`] bytes without an end of line.
    TooLong,
    /// A name that cannot have a cursor.
    BadName,
    /// [`NAMES_MAX`] others have one.
    TooManyNames,
    /// No interval has ended yet.
    NothingYet,
    /// Lines could not be made.
    NoLines,
    /// So many look on already.
    TooManyViewers {
        /// How many may.
        most: usize,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unknown { word } => {
                write!(f, "there is no request {word:?}: ask GET, REFRESH, REFRESH NAME or JSON")
            }
            Refusal::TakesNothing { word } => {
                write!(f, "{word} takes nothing behind it: ask {word} alone")
            }
            Refusal::TooLong => {
                write!(f, "a request has {REQUEST_MAX} bytes at most: end it with a new line")
            }
            Refusal::BadName => write!(
                f,
                "REFRESH takes one name of 1 to {NAME_BYTES_MAX} bytes without blanks: type another one"
            ),
            Refusal::TooManyNames => write!(
                f,
                "{NAMES_MAX} names have been used with REFRESH already: take one of them, or REFRESH alone"
            ),
            Refusal::NothingYet => write!(f, "no interval has ended yet: ask again after the first one"),
            Refusal::NoLines => write!(f, "the lines could not be made: please report this"),
            Refusal::TooManyViewers { most } => {
                write!(f, "{most} screens look on already: try again when one of them has left")
            }
        }
    }
}

/// The answer's bytes, and what becomes of a cursor when nobody gets them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// To be written, then the connection is closed.
    pub bytes: Vec<u8>,
    taken: Option<Taken>,
}

/// A cursor that was moved.
#[derive(Debug, PartialEq, Eq)]
struct Taken {
    name: String,
    from: Vec<Sums>,
    to: Vec<Sums>,
}

/// See the module's description.
pub struct Answers {
    latest: Arc<Latest>,
    /// Names of the watches, in order: they are told before there is a snapshot.
    watches: Vec<String>,
    /// What each name was told last; the empty one is tcpeek's.
    cursors: BTreeMap<String, Vec<Sums>>,
}

impl Answers {
    /// Answers for watches of these names.
    pub fn new(latest: Arc<Latest>, watches: Vec<String>) -> Answers {
        Answers { latest, watches, cursors: BTreeMap::new() }
    }

    /// The answer to a request: its line, with or without the end of it.
    /// Whatever is refused is told in the answer, as `{"error":"…"}`.
    pub fn answer(&mut self, request: &[u8]) -> Answer {
        self.follow(request).unwrap_or_else(|refusal| refused(&refusal))
    }

    /// Nobody got this answer: its name will be told of it again.
    pub fn give_back(&mut self, answer: Answer) {
        let Some(taken) = answer.taken else { return };
        match self.cursors.get_mut(&taken.name) {
            // Otherwise another one with this name has had a later answer.
            Some(cursor) if *cursor == taken.to => *cursor = taken.from,
            _ => {}
        }
    }

    fn follow(&mut self, request: &[u8]) -> Result<Answer, Refusal> {
        let text = String::from_utf8_lossy(request);
        let mut words = text.split_whitespace();
        let answer = match (words.next().unwrap_or(""), words.next(), words.next()) {
            // tcpeek takes whatever is not REFRESH for GET; an empty line is the only such habit worth having.
            ("GET" | "", None, _) => Answer { bytes: self.sums().into_bytes(), taken: None },
            ("REFRESH", name, None) => self.differences(name)?,
            ("JSON", None, _) => Answer { bytes: self.lines()?, taken: None },
            ("REFRESH", ..) => return Err(Refusal::BadName),
            ("GET", ..) => return Err(Refusal::TakesNothing { word: "GET" }),
            ("JSON", ..) => return Err(Refusal::TakesNothing { word: "JSON" }),
            (word, ..) => return Err(Refusal::Unknown { word: word.chars().take(32).collect() }),
        };
        Ok(answer)
    }

    /// Name and sums of each watch.
    fn now(&self) -> (Vec<Sums>, Option<Arc<Snapshot>>) {
        let snapshot = self.latest.snapshot();
        let figures = snapshot.as_ref().map_or(&[][..], |snapshot| &snapshot.handshakes.watches);
        let mut sums: Vec<Sums> = figures.iter().map(|watch| Sums::of(&watch.total)).collect();
        sums.resize(self.watches.len(), Sums::default());
        (sums, snapshot)
    }

    fn list(&self, sums: &[Sums], apart: bool) -> String {
        let mut text = String::from("[");
        for (name, sums) in self.watches.iter().zip(sums) {
            if text.len() > 1 {
                text.push(',');
            }
            sums.write(name, apart, &mut text);
        }
        text
    }

    fn sums(&self) -> String {
        let (sums, snapshot) = self.now();
        let mut text = self.list(&sums, true);
        let interfaces = snapshot.as_ref().map_or(&[][..], |snapshot| &snapshot.interfaces);
        let drops = interfaces.iter().map(|one| one.capture.kernel_drops).fold(0, u64::saturating_add);
        let frames = interfaces.iter().map(|one| one.capture.frames).fold(0, u64::saturating_add);
        // Linux's libpcap counts what was dropped as received too. What the device itself dropped
        // is not known here; pcap_stats(3PCAP) has 0 for that.
        let received = frames.saturating_add(drops);
        let comma = if text.len() > 1 { "," } else { "" };
        let _ = write!(
            text,
            "{comma}{{\"pcap\":{{\"stats\":{{\"recv\":{received},\"drop\":{drops},\"ifdrop\":0}}}}}}]"
        );
        text
    }

    fn differences(&mut self, name: Option<&str>) -> Result<Answer, Refusal> {
        let name = name.unwrap_or("");
        if name.len() > NAME_BYTES_MAX {
            return Err(Refusal::BadName);
        }
        let named = self.cursors.keys().filter(|name| !name.is_empty()).count();
        if !name.is_empty() && named >= NAMES_MAX && !self.cursors.contains_key(name) {
            return Err(Refusal::TooManyNames);
        }
        let (now, _) = self.now();
        let nothing = || vec![Sums::default(); now.len()];
        let cursor = self.cursors.entry(name.to_owned()).or_insert_with(nothing);
        let from = std::mem::replace(cursor, now.clone());
        let since: Vec<Sums> = now.iter().zip(&from).map(|(now, from)| now.since(*from)).collect();
        let mut text = self.list(&since, false);
        text.push(']');
        let taken = Taken { name: name.to_owned(), from, to: now };
        Ok(Answer { bytes: text.into_bytes(), taken: Some(taken) })
    }

    fn lines(&self) -> Result<Vec<u8>, Refusal> {
        let told = self.latest.told.load_full().ok_or(Refusal::NothingYet)?;
        json::standing(&told.snapshot, &told.coverage, &told.context, told.live).map_err(|_| Refusal::NoLines)
    }
}

/// What is answered to a request that is not followed.
pub fn refused(refusal: &Refusal) -> Answer {
    let sentence = serde_json::Value::from(refusal.to_string());
    Answer { bytes: format!("{{\"error\":{sentence}}}\n").into_bytes(), taken: None }
}
