//! A file's seconds, for looking back on its end state.
//!
//! What a screen shows of a file is all of it in one; what was in each second is
//! found out by reading the file once more while the screen is there already, into
//! tables of its own, which go when all has been read. Streams and pipes cannot be
//! read twice, and a replay keeps its seconds as they go by: neither comes here. A
//! file that cannot be read any more has told so before, or has grown or gone
//! since: then there are as many seconds as there are.

use super::files::{How, Reading};
use super::screen::hub::Hub;
use crate::capture::fileset::FileSet;
use crate::config::Config;
use crate::output::tui::past::LISTS;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often screens are told that there are more seconds.
const TELL: Duration = Duration::from_millis(100);

/// Reads the files in intervals, each with its first rows, until the end or `stop`,
/// which it sets where it ends by a defect.
pub(super) fn read(config: &Config, groups: &[Vec<PathBuf>], how: &How, hub: &Hub, stop: &Arc<AtomicBool>) {
    if !groups.iter().flatten().all(|path| path.is_file()) {
        return;
    }
    let _ends = Ends(stop);
    let mut set = FileSet::open(groups, config.filter.as_deref(), stop);
    if set.is_empty() || set.compile().is_err() {
        return;
    }
    // Whole seconds, and nothing but what is kept of them.
    let config = Config { fast: false, report: None, sessions: false, ..config.clone() };
    let (reading, mut aggregator) = Reading::new(&config, groups, set, how);
    std::thread::scope(|scope| {
        scope.spawn(move || reading.read(|_| (), stop));
        let mut told = Instant::now();
        while let Some(snapshot) = aggregator.next_snapshot() {
            if snapshot.interfaces.is_empty() {
                continue;
            }
            let lists = LISTS.map(|grouping| hub.view_of(grouping).map(|view| aggregator.rows_now(&view)));
            hub.remember(&snapshot, lists);
            if told.elapsed() >= TELL {
                told = Instant::now();
                hub.wake();
            }
        }
    });
    hub.wake();
}

/// A screen that a defect has closed leaves nobody who could end the run.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}
