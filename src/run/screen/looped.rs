//! One screen: hears keys, asks for rows, draws. On the terminal, or for somebody who
//! looks on.

use super::hub::{Hub, Told};
use super::terminal::{self, Heard, WRITING};
use crate::aggregate::view::{View, Views};
use crate::aggregate::{Handle, ask};
use crate::flow::key::FlowKey;
use crate::flow::record::Account;
use crate::output::Context;
use crate::output::tui::keys::Key;
use crate::output::tui::{self, Answer, Can, Moment, State};
use crate::run::is_set;
use crate::run::live::filtering::Wish;
use arc_swap::ArcSwapOption;
use crossbeam_channel::{Receiver, Sender, bounded, never};
use ratatui::Terminal;
use ratatui::backend::Backend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

/// Accounts that may wait.
const ACCOUNTS: usize = 64;

/// When a screen is over.
#[derive(Default)]
pub(super) struct Ending {
    /// Somebody has left it: of a run's own screen that is the run's end.
    pub left: Arc<AtomicBool>,
    /// It is told to end.
    pub closing: AtomicBool,
}

/// Where a screen's rows come from.
pub(super) enum Rows {
    /// The snapshots: what it asks for is in all that follow.
    Own,
    /// Answers for it alone, asked for with every snapshot.
    Beside(Arc<ArcSwapOption<ask::Answer>>),
}

/// Numbers of requests of those who look on are above all others.
const BESIDE: u64 = 1 << 40;

/// Draws and hears.
pub(super) struct Loop<B: Backend> {
    terminal: Terminal<B>,
    state: State,
    can: Can,
    hub: Arc<Hub>,
    ending: Arc<Ending>,
    rows: Rows,
    heard: Receiver<Heard>,
    woken: Receiver<()>,
    /// Its other end, for answers.
    wake: Sender<()>,
    /// Rows that were asked for last.
    asked: usize,
    /// Number of that request.
    number: u64,
    /// Of those who look on: the snapshot whose rows were asked for, by its time.
    asked_of: u64,
    /// Accounts of the connection that is looked at.
    accounts: (Sender<Box<Account>>, Receiver<Box<Account>>),
    /// What was looked at last, and in which snapshot.
    looked: Option<(FlowKey, u64)>,
    began: Instant,
    /// There was no room for what was asked.
    refused: bool,
    /// Another capture filter; not for those who look on.
    wishes: Option<Sender<Wish>>,
    /// What became of them.
    filtered: (Sender<Filtered>, Receiver<Filtered>),
}

/// A filter, and what is wrong with it.
type Filtered = (String, Option<String>);

impl<B: Backend> Loop<B> {
    /// A screen on this terminal. `wakes`: of the hub.
    pub fn new(
        terminal: Terminal<B>,
        can: Can,
        hub: &Arc<Hub>,
        ending: &Arc<Ending>,
        rows: Rows,
        heard: Receiver<Heard>,
        (wake, woken): (Sender<()>, Receiver<()>),
    ) -> Loop<B> {
        let number = if matches!(rows, Rows::Own) { 0 } else { BESIDE };
        Loop {
            terminal,
            state: hub.state(),
            can,
            hub: hub.clone(),
            ending: ending.clone(),
            rows,
            heard,
            woken,
            wake,
            asked: 0,
            number,
            asked_of: 0,
            accounts: bounded(ACCOUNTS),
            looked: None,
            began: Instant::now(),
            // Which rows these want is asked for as soon as anybody answers.
            refused: !hub.begins.is_empty(),
            wishes: None,
            filtered: bounded(1),
        }
    }

    /// It may ask for other capture filters.
    pub fn wishing(self, wishes: Sender<Wish>) -> Loop<B> {
        Loop { wishes: Some(wishes), ..self }
    }

    /// These keys are pressed before anything is shown.
    pub fn beginning(mut self, keys: &[Key]) -> Loop<B> {
        let hub = self.hub.clone();
        let told = hub.told();
        for key in keys {
            self.state.press(*key, None, &told.run);
        }
        self.refused |= !keys.is_empty();
        self
    }

    /// Until the screen is closed.
    pub fn run(mut self) -> io::Result<()> {
        let mut heard = self.heard.clone();
        self.draw()?;
        while !is_set(&self.ending.closing) {
            crossbeam_channel::select! {
                recv(heard) -> one => match one {
                    Ok(one) => self.hear(one)?,
                    // The input is gone: a channel without senders is always ready.
                    Err(_) => heard = never(),
                },
                recv(self.woken) -> _ => {}
                recv(self.filtered.1) -> told => told.into_iter().for_each(|told| self.hear_of_filter(told)),
                recv(self.accounts.1) -> account => {
                    let now_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                    account.into_iter().for_each(|account| self.state.take_account(account, now_ns));
                }
            }
            // All that waits is one frame.
            while let Ok(one) = self.heard.try_recv() {
                self.hear(one)?;
            }
            self.keep_up();
            self.draw()?;
            self.look();
            if self.refused {
                self.ask();
            }
        }
        Ok(())
    }

    fn hear(&mut self, heard: Heard) -> io::Result<()> {
        let key = match heard {
            Heard::Key(key) => key,
            Heard::Resized => return Ok(()),
            Heard::Resumed => {
                if matches!(self.rows, Rows::Own) {
                    terminal::reopen()?;
                }
                // Both buffers are blank then, as the terminal is, which is not asked
                // where its cursor stands (as `clear` would).
                self.terminal.swap_buffers();
                return Ok(());
            }
        };
        let answer = {
            let told = self.hub.told();
            // Its own rows: another screen may have drawn since.
            let now = told.moment.as_ref().map(|now| Moment { answer: self.answer(), ..now.clone() });
            self.state.press(key, now.as_ref(), &told.run)
        };
        match answer {
            Answer::Nothing | Answer::Draw => {}
            Answer::Ask => self.ask(),
            Answer::CaptureFilter => self.wish(),
            Answer::Quit => {
                self.ending.left.store(true, Ordering::Relaxed);
                // Who looks on ends nothing but that.
                if matches!(self.rows, Rows::Beside(_)) {
                    self.ending.closing.store(true, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    /// Rows that were asked for between two snapshots.
    fn answer(&self) -> Option<Arc<ask::Answer>> {
        match &self.rows {
            Rows::Own => self.hub.handle().and_then(Handle::answer),
            Rows::Beside(reply) => reply.load_full(),
        }
    }

    /// Asks for another capture filter.
    fn wish(&mut self) {
        let Some(expression) = self.state.take_filter_wish() else { return };
        let live = self.hub.told().run.live;
        let wish = Wish { expression, reply: self.filtered.0.clone() };
        if let Some(wrong) = send(self.wishes.as_ref(), live, wish) {
            self.state.filtered(Some(&wrong));
        }
    }

    /// What became of it.
    fn hear_of_filter(&mut self, (expression, wrong): Filtered) {
        self.state.filtered(wrong.as_deref());
        if wrong.is_none() {
            let expression = expression.trim();
            self.hub.told().run.filter = (!expression.is_empty()).then(|| expression.to_owned());
        }
    }

    /// Asks for the rows that the view shows.
    fn ask(&mut self) {
        let Some(handle) = self.hub.handle() else {
            self.refused = true;
            return;
        };
        let (rows, time_ns) = {
            let told = self.hub.told();
            let none = Context::default();
            let context = told.moment.as_ref().map_or(&none, |moment| &moment.context);
            let base = self.hub.base.rows.as_ref();
            (base.and_then(|base| self.state.wanted(base, context)), time_of(&told))
        };
        let limit = rows.as_ref().map_or(usize::MAX, |view| view.limit);
        let number = self.number + 1;
        self.refused = !match &self.rows {
            Rows::Own => {
                let views = Views { rows, link_rows: self.hub.base.link_rows.clone() };
                handle.ask_now(views, number, &self.wake)
            }
            Rows::Beside(reply) => {
                self.asked_of = time_ns;
                rows.is_none_or(|view| handle.ask_beside(view, number, reply, &self.wake))
            }
        };
        self.asked = limit;
        if !self.refused {
            self.number = number;
            self.state.note_asked(number, limit);
        }
    }

    /// Who looks on has the rows of a new snapshot by asking for them: the ones
    /// before are shown until they are there.
    fn keep_up(&mut self) {
        if matches!(self.rows, Rows::Beside(_)) && time_of(&self.hub.told()) != self.asked_of {
            let (number, limit) = (self.state.asked(), self.asked);
            self.ask();
            self.state.note_asked(number, limit);
        }
    }

    /// Asks anew for the account of the connection that is looked at, once a snapshot.
    fn look(&mut self) {
        let time_ns = time_of(&self.hub.told());
        let wanted = self.state.looked_at().map(|key| (key, time_ns));
        if self.looked != wanted
            && let (Some((key, _)), Some(handle)) = (wanted, self.hub.handle())
        {
            handle.look(key, &self.accounts.0);
            self.state.note_looked();
        }
        self.looked = wanted;
    }

    pub(super) fn draw(&mut self) -> io::Result<()> {
        // A size of nothing is no terminal's.
        self.terminal.autoresize().map_err(of_terminal)?;
        let size = self.terminal.size().map_err(of_terminal)?;
        let mut buffer = Buffer::empty(Rect::new(0, 0, size.width, size.height));
        let answer = self.answer();
        let wanted = {
            let mut told = self.hub.told();
            // Each screen has rows of its own for the same moment.
            if let Some(moment) = &mut told.moment {
                moment.answer = answer;
            }
            let Told { moment, memory, run, .. } = &*told;
            tui::draw(&mut self.state, moment.as_ref(), run, memory, self.can, &mut buffer);
            let base = self.hub.base.rows.as_ref();
            base.zip(moment.as_ref()).and_then(|(base, now)| self.state.wanted(base, &now.context))
        };
        // A larger screen has room for more rows than were asked for.
        if wanted.is_some_and(|view: View| view.limit > self.asked) {
            self.ask();
        }
        let own = matches!(self.rows, Rows::Own);
        let _writing = own.then(|| WRITING.lock().unwrap_or_else(PoisonError::into_inner));
        if is_set(&self.ending.closing) {
            return Ok(());
        }
        self.terminal
            .draw(|frame| {
                let area = frame.area().intersection(buffer.area);
                let mut shown = Buffer::empty(frame.area());
                for y in area.top()..area.bottom() {
                    for x in area.left()..area.right() {
                        shown[(x, y)] = buffer[(x, y)].clone();
                    }
                }
                *frame.buffer_mut() = shown;
            })
            .map_err(of_terminal)?;
        Ok(())
    }
}

/// Hands a wish over to who puts it in force; why nobody does, where that is so.
fn send(wishes: Option<&Sender<Wish>>, live: bool, wish: Wish) -> Option<String> {
    match wishes {
        // Nobody would ever answer.
        _ if !live => Some(format!(
            "A file is read with the filter that it began with: q, then fullcount -r FILE {}",
            wish.expression.trim()
        )),
        None => Some("Who looks on changes nothing: only the run's own screen sets another one.".into()),
        Some(wishes) => {
            let sent = wishes.try_send(wish);
            sent.is_err().then(|| "The last one is not in force yet: try again.".into())
        }
    }
}

/// The moment that is shown, by its time; 0 before the first.
fn time_of(told: &Told) -> u64 {
    told.moment.as_ref().map_or(0, |moment| moment.snapshot.time_ns)
}

fn of_terminal(error: impl std::error::Error) -> io::Error {
    io::Error::other(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever types one hears of it: nothing is waited for that nobody answers.
    #[test]
    fn a_wish_that_nobody_takes_is_refused_at_once() {
        let (out, taken) = bounded(1);
        let (reply, _answers) = bounded(1);
        let wish = || Wish { expression: " tcp port 443".into(), reply: reply.clone() };
        let of_file = send(Some(&out), false, wish()).expect("a file has been read");
        assert!(of_file.ends_with("fullcount -r FILE tcp port 443"), "{of_file}");
        assert!(taken.is_empty());
        assert!(send(None, true, wish()).is_some_and(|why| why.contains("Who looks on")));
        assert_eq!(send(Some(&out), true, wish()), None);
        assert_eq!(taken.len(), 1);
        assert!(send(Some(&out), true, wish()).is_some_and(|why| why.contains("not in force yet")));
    }
}
