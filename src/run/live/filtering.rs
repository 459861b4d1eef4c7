//! Another capture filter while the run goes on.
//!
//! It is compiled for every interface that is watched before any ring has it, so
//! a broken one changes nothing. Then each worker swaps it on its rings, between
//! two batches, by SO_ATTACH_FILTER: the kernel takes a frame by the old or by
//! the new one, never by none or both. Frames that were in a ring by then were
//! taken by the old one and count. Rings are not changed at one moment: the
//! notice says when the last one had it.

use super::control::{Controller, State};
use crate::capture::LinkId;
use crate::capture::sys::SockFilter;
use crate::output::FILTER_CHANGED;
use crate::run::RunError;
use crate::worker::clock::now_ns;
use crate::worker::live::{Control, Told};
use crossbeam_channel::Sender;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long all workers together may take.
const SWAP: Duration = Duration::from_secs(3);

/// Somebody wants another filter.
pub(in crate::run) struct Wish {
    /// The expression; empty for none.
    pub expression: String,
    /// What becomes of it: what is wrong, if anything.
    pub reply: Sender<(String, Option<String>)>,
}

/// Programs by link.
type Programs = Arc<[(LinkId, Vec<SockFilter>)]>;

impl Controller<'_> {
    /// Puts it in force, or says why not.
    pub(super) fn change_filter(&self, states: &[State], wish: Wish) {
        let expression = Some(wish.expression.trim().to_owned()).filter(|one| !one.is_empty());
        let before = self.opener.filter();
        let changed =
            if expression == before { Ok(()) } else { self.put_in_force(states, expression.as_deref()) };
        let wrong = changed.err();
        if wrong.is_none() && expression != before {
            let words = |one: &Option<String>| one.as_ref().map_or("none".into(), |one| format!("'{one}'"));
            let message = format!(
                "filter changed from {} to {}: frames that were in the rings by now were taken by the old one",
                words(&before),
                words(&expression)
            );
            self.tell(FILTER_CHANGED, None, None, message);
        }
        let _ = wish.reply.try_send((wish.expression, wrong));
    }

    fn put_in_force(&self, states: &[State], expression: Option<&str>) -> Result<(), String> {
        let new = self.programs(states, expression)?;
        let before = self.opener.filter();
        let old = self.programs(states, before.as_deref());
        // Coverage compares with counters that know no filter.
        super::lock(&self.meter).filter(now_ns());
        let swapped = self.swap(states, &new);
        let in_force = match &swapped {
            Ok(()) => {
                self.opener.set_filter(expression);
                expression
            }
            // Which ring has which is not known before all have the old one again.
            Err(_) => match old.and_then(|old| self.swap(states, &old)) {
                Ok(()) => before.as_deref(),
                Err(_) => return swapped,
            },
        };
        if in_force.is_none() {
            super::lock(&self.meter).unfilter(now_ns());
        }
        swapped
    }

    fn programs(&self, states: &[State], expression: Option<&str>) -> Result<Programs, String> {
        let watched = (0u8..).zip(states).filter(|(_, state)| state.index.is_some());
        let programs = watched.map(|(link, state)| {
            let program = self.opener.program(&state.watch.link.name, expression);
            program.map(|program| (link, program)).map_err(|error| match error {
                RunError::Usage(sentence) => sentence,
                RunError::Failed(sentences) => sentences.join("; "),
                RunError::ClosedPipe => String::from("interrupted"),
            })
        });
        programs.collect::<Result<Vec<_>, _>>().map(Into::into)
    }

    /// Every worker has it on its rings, or one says that the kernel refuses it.
    fn swap(&self, states: &[State], programs: &Programs) -> Result<(), String> {
        let at_ns = now_ns();
        self.each(|| Control::Filter(programs.clone(), at_ns));
        let until = Instant::now() + SWAP;
        let mut left = self.lines.len();
        let mut refused = None;
        while left > 0 {
            match self.told.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Told::Filtered { at_ns: of, refused: why, .. }) if of == at_ns => {
                    left -= 1;
                    refused = refused.or(why);
                }
                Ok(Told::Filtered { .. }) => {}
                Ok(told) => self.hear(states, told, true),
                Err(_) => return Err(String::from("the workers are too busy to change it: try again")),
            }
        }
        refused.map_or(Ok(()), Err)
    }
}
