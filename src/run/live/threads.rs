//! The threads of a live run, and which of them ended by a defect.
//!
//! A panic ends one thread, not the run's account: control is told and ends
//! the run, the others say what they have counted, and a sentence names the
//! thread.

use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};

/// Threads of one scope.
pub(super) struct Threads<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    named: Vec<(String, ScopedJoinHandle<'scope, ()>)>,
    defect: Arc<AtomicBool>,
}

/// Set when its thread panics, at once: nobody waits for the thread before the run ends.
struct Told(Arc<AtomicBool>);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

impl<'scope, 'env> Threads<'scope, 'env> {
    /// `defect` is set when one of them panics.
    pub fn new(scope: &'scope Scope<'scope, 'env>, defect: &Arc<AtomicBool>) -> Threads<'scope, 'env> {
        Threads { scope, named: Vec::new(), defect: defect.clone() }
    }

    /// Starts one. `top -H` and `perf` show it by its name.
    pub fn spawn(&mut self, name: String, act: impl FnOnce() + Send + 'scope) {
        let told = Told(self.defect.clone());
        let shown = CString::new(name.trim_start_matches("the ")).unwrap_or_default();
        let handle = self.scope.spawn(move || {
            let _told = told;
            // A thread without its name counts as well as one with it.
            let _ = rustix::thread::set_name(&shown);
            act();
        });
        self.named.push((name, handle));
    }

    /// What the scope's own thread does meanwhile: the others are waited for
    /// even if it panics, so control has to hear of it.
    pub fn meanwhile<R>(&self, act: impl FnOnce() -> R) -> R {
        let _told = Told(self.defect.clone());
        act()
    }

    /// Waits for all. A sentence for each that ended by a defect.
    pub fn join(self) -> Vec<String> {
        let ended = self.named.into_iter().map(|(name, handle)| (name, handle.join()));
        let broken = ended.filter(|(_, outcome)| outcome.is_err());
        broken
            .map(|(name, _)| {
                format!("{name} ended by a defect: please report this; what was counted until then is told")
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_at_once_and_by_name_and_is_nobody_else_s() {
        let defect = Arc::new(AtomicBool::new(false));
        let sentences = std::thread::scope(|scope| {
            let mut threads = Threads::new(scope, &defect);
            threads.spawn("worker 0".into(), || {
                // The other waits for it as control does.
                while !defect.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
            });
            threads.spawn("worker 1".into(), || panic!("a panic that this test makes"));
            threads.join()
        });
        assert_eq!(sentences.len(), 1);
        assert!(sentences[0].starts_with("worker 1 ended by a defect"), "{sentences:?}");
    }

    #[test]
    fn a_panic_of_the_scope_s_own_thread_is_told_too() {
        let defect = Arc::new(AtomicBool::new(false));
        let whole = std::panic::AssertUnwindSafe(|| {
            std::thread::scope(|scope| {
                let mut threads = Threads::new(scope, &defect);
                threads.spawn("worker 0".into(), || {
                    while !defect.load(Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                });
                threads.meanwhile(|| panic!("a panic that this test makes"))
            })
        });
        assert!(std::panic::catch_unwind(whole).is_err());
    }
}
