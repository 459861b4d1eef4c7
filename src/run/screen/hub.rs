//! How things stand, for every screen that shows it: the one on the terminal, and
//! those that look on through the socket.
//!
//! Who delivers puts the newest moment in place of the last one, wakes the screens
//! and goes on. A screen that is slow or stuck loses frames; nobody waits for it.

use crate::aggregate::Handle;
use crate::aggregate::ask::Answer;
use crate::aggregate::snapshot::Snapshot;
use crate::aggregate::view::{Grouping, Order, View, Views};
use crate::config::{Bars, Begin, Config, Input, OutputMode};
use crate::output::lost::Losses;
use crate::output::tui::memory::Memory;
use crate::output::tui::past::{LISTS, Past, ROWS};
use crate::output::tui::recent::Recent;
use crate::output::tui::{Moment, Run, State};
use crate::output::{Context, Coverages, Notice, Style};
use arc_swap::ArcSwapOption;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// What drawing needs, put in place by who delivers.
#[derive(Default)]
pub(super) struct Told {
    pub moment: Option<Moment>,
    pub memory: Memory,
    pub run: Run,
    /// Where rates are those of the last second.
    pub recent: Option<Recent>,
}

/// See the module's description.
pub(in crate::run) struct Hub {
    told: Mutex<Told>,
    handle: OnceLock<Handle>,
    /// Rows that the others want, whatever a screen shows.
    pub(super) base: Views,
    wakes: Mutex<Vec<Sender<()>>>,
    /// The first rows of each second, for looking back.
    kept: [Arc<ArcSwapOption<Answer>>; LISTS.len()],
    style: Style,
    bars: Bars,
    ports: bool,
    services: bool,
    /// How screens begin beside that.
    pub(super) begins: Vec<Begin>,
}

impl Hub {
    /// Where the run has a screen, or may be looked on at.
    pub fn new(config: &Config, style: Style, base: Views) -> Option<Arc<Hub>> {
        let is_wanted = config.output == OutputMode::Tui || config.socket.is_some();
        let run = Run {
            live: matches!(config.input, Input::Live { .. }),
            filter: config.filter.clone(),
            sessions: crate::run::keeps_sessions(config),
            ..Run::default()
        };
        let Config { bars, ports, services, .. } = *config;
        // Who looks on has rows of all interfaces, whatever the outputs have.
        let base = Views { rows: Some(base.rows.unwrap_or_else(|| crate::run::view(config))), ..base };
        is_wanted.then(|| {
            let begins = config.begins.clone();
            let hub = Hub { begins, ..Hub::of(run, base, (style, bars, ports, services)) };
            hub.told().recent = config.fast.then(Recent::default);
            Arc::new(hub)
        })
    }

    pub(super) fn of(run: Run, base: Views, begins: (Style, Bars, bool, bool)) -> Hub {
        let (style, bars, ports, services) = begins;
        let told = Mutex::new(Told { run, ..Told::default() });
        let (handle, wakes, kept) = (OnceLock::new(), Mutex::default(), Default::default());
        Hub { told, handle, base, wakes, kept, style, bars, ports, services, begins: Vec::new() }
    }

    /// A screen as it is at first.
    pub(super) fn state(&self) -> State {
        State::new(self.style, self.bars).with(self.ports, self.services).beginning(&self.begins)
    }

    pub(super) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn handle(&self) -> Option<&Handle> {
        self.handle.get()
    }

    /// Both ends of what wakes a screen, from now on until its receiver is gone.
    pub(super) fn wakes(&self) -> (Sender<()>, Receiver<()>) {
        let (wake, woken) = bounded(1);
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner).push(wake.clone());
        (wake, woken)
    }

    /// Nobody is woken by this any more.
    pub(super) fn forget(&self, wake: &Sender<()>) {
        let mut wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        wakes.retain(|one| !one.same_channel(wake));
    }

    /// There is more to draw.
    pub fn wake(&self) {
        let wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        wakes.iter().for_each(|wake| {
            let _ = wake.try_send(());
        });
    }

    /// Which interfaces were taken and why.
    pub fn begin(&self, reason: &str) {
        reason.clone_into(&mut self.told().run.reason);
    }

    /// From now on other rows can be asked for.
    pub fn ask_from(&self, handle: Handle) {
        let _ = self.handle.set(handle);
    }

    /// How things stand.
    pub fn tell(&self, snapshot: &Arc<Snapshot>, coverage: &Coverages, context: &Context) {
        let recent = self.told().recent.as_mut().map(|recent| recent.of(snapshot));
        let moment = Moment {
            snapshot: recent.unwrap_or_else(|| snapshot.clone()),
            answer: None,
            coverage: coverage.clone(),
            context: context.clone(),
        };
        let mut told = self.told();
        told.memory.take(snapshot);
        // Of a file whose end is shown seconds come by themselves.
        if !self.style.whole {
            self.keep(&mut told.memory.past, &moment, snapshot);
        }
        let earlier = told.moment.replace(moment);
        drop(told);
        // Not under the lock: a large snapshot takes its time to go.
        drop(earlier);
        self.wake();
    }

    /// What was: the rows of the second before are there by now, those of this one
    /// are asked for.
    fn keep(&self, past: &mut Past, moment: &Moment, interval: &Snapshot) {
        for (list, kept) in self.kept.iter().enumerate() {
            if let Some(answer) = kept.load_full() {
                past.take_rows(list, &answer);
            }
        }
        past.take(&moment.snapshot, interval, &moment.coverage, &moment.context.losses);
        let Some(handle) = self.handle.get() else { return };
        // Nobody is woken: it is for later.
        let (nobody, _) = bounded(1);
        for (grouping, kept) in LISTS.into_iter().zip(&self.kept) {
            let Some(view) = self.view_of(grouping) else { return };
            // One that finds no room is a second without rows.
            handle.ask_beside(view, 1, kept, &nobody);
        }
    }

    /// The rows of a list that are kept of each second.
    pub fn view_of(&self, grouping: Grouping) -> Option<View> {
        let base = self.base.rows.as_ref()?;
        let only = base.only.clone().filter(|_| grouping == Grouping::Connection);
        Some(View { grouping, order: Order::Rate, offset: 0, limit: ROWS, only })
    }

    /// A second of a file whose end is shown; nobody is woken.
    pub fn remember(&self, snapshot: &Snapshot, lists: [Option<Answer>; LISTS.len()]) {
        let mut told = self.told();
        let coverage = vec![Default::default(); snapshot.interfaces.len()];
        let past = &mut told.memory.past;
        past.take(snapshot, snapshot, &coverage, &Losses::default());
        for (list, answer) in lists.iter().enumerate() {
            answer.iter().for_each(|answer| past.take_rows(list, answer));
        }
    }

    /// Something happened.
    pub fn note(&self, notice: &Notice) {
        self.told().memory.note(notice);
        self.wake();
    }
}
