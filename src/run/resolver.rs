//! Names of addresses, looked up in the background for the rows that are shown.
//!
//! ```text
//! outputs ──address──▶ queue ──▶ two threads: getnameinfo(3) ──▶ cache ──▶ outputs
//! ```
//!
//! Who asks never waits: what is not known yet is shown as an address, and by its
//! name as soon as one draws again. The system's own resolver is asked, so hosts,
//! nsswitch and resolv.conf hold as for every other program. Bounded on all
//! sides: the queue (who finds it full asks again with the next frame), the cache
//! (what is oldest goes), the threads. Names come from the network: they pass
//! `plain` before anybody has them.
//!
//! The threads end with the resolver, but for a look-up under way: nobody waits
//! for it. Knows no packets and no rows.

use crate::output::names::{LookUp, NAME_MAX};
use crate::output::units::plain;
use crossbeam_channel::{Receiver, Sender, bounded};
use dashmap::DashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Look-ups under way at once.
const THREADS: usize = 2;
/// Addresses that may wait: more than a screen has rows.
const QUEUE: usize = 512;
/// Addresses that are remembered.
const CACHE_MAX: usize = 16_384;
/// How long a name holds; DNS says how long its own do, and the system does not tell.
const NAME_HOLDS: Duration = Duration::from_secs(3600);
/// How long an address without one is left alone.
const NONE_HOLDS: Duration = Duration::from_secs(600);

/// What is known of an address.
enum Known {
    /// It is being asked for.
    Asked,
    /// The answer, and until when it holds.
    Answer(Option<Arc<str>>, Instant),
}

/// See the module's description.
pub(super) struct Resolver {
    known: Arc<DashMap<IpAddr, Known>>,
    queue: Sender<IpAddr>,
    /// Names that have come.
    named: Arc<AtomicU64>,
}

impl Resolver {
    /// Starts its threads. None where the system gives none: addresses do as well.
    pub fn start() -> Option<Resolver> {
        Resolver::asking(|address| dns_lookup::lookup_addr(&address).ok())
    }

    fn asking(ask: impl Fn(IpAddr) -> Option<String> + Clone + Send + 'static) -> Option<Resolver> {
        let (queue, wanted) = bounded(QUEUE);
        let known = Arc::new(DashMap::new());
        let named = Arc::new(AtomicU64::new(0));
        for _ in 0..THREADS {
            let (wanted, ask) = (wanted.clone(), ask.clone());
            let (known, named) = (Arc::clone(&known), Arc::clone(&named));
            let thread = std::thread::Builder::new().name("names".into());
            thread.spawn(move || answer(&wanted, &known, &named, ask)).ok()?;
        }
        Some(Resolver { known, queue, named })
    }

    /// Puts an address into the queue, where there is room.
    fn want(&self, address: IpAddr) {
        if self.known.len() >= CACHE_MAX {
            forget_some(&self.known);
        }
        if self.queue.try_send(address).is_ok() {
            // A thread may have answered already: its answer stays.
            self.known.entry(address).or_insert(Known::Asked);
        }
    }
}

impl LookUp for Resolver {
    fn name(&self, address: IpAddr, wanted: bool) -> Option<Arc<str>> {
        // A filter asks of every row there is.
        if !wanted && self.named() == 0 {
            return None;
        }
        let (name, is_old) = match self.known.get(&address).as_deref() {
            Some(Known::Asked) => (None, false),
            Some(Known::Answer(name, until)) => (name.clone(), wanted && *until < Instant::now()),
            None => (None, wanted),
        };
        if is_old {
            self.known.remove_if(&address, |_, known| matches!(known, Known::Answer(..)));
            self.want(address);
        }
        name
    }

    fn named(&self) -> u64 {
        self.named.load(Ordering::Relaxed)
    }
}

/// What a thread does until the resolver is gone.
fn answer(
    wanted: &Receiver<IpAddr>,
    known: &DashMap<IpAddr, Known>,
    named: &AtomicU64,
    ask: impl Fn(IpAddr) -> Option<String>,
) {
    while let Ok(address) = wanted.recv() {
        let is_name = |name: &String| name.chars().count() <= NAME_MAX && name.parse::<IpAddr>().is_err();
        let name = ask(address).filter(is_name).map(|name| Arc::from(&*plain(&name)));
        let holds = if name.is_some() { NAME_HOLDS } else { NONE_HOLDS };
        let came = u64::from(name.is_some());
        known.insert(address, Known::Answer(name, Instant::now() + holds));
        named.fetch_add(came, Ordering::Relaxed);
    }
}

/// Makes room: answers that are old, and if that is not enough a half of all.
fn forget_some(known: &DashMap<IpAddr, Known>) {
    let now = Instant::now();
    known.retain(|_, known| matches!(known, Known::Answer(_, until) if *until > now));
    if known.len() >= CACHE_MAX {
        let mut every_other = false;
        known.retain(|_, _| {
            every_other = !every_other;
            every_other
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn address(number: u32) -> IpAddr {
        IpAddr::from((0xc612_0000 + number).to_be_bytes())
    }

    /// Asks until it is answered, for ten seconds at most.
    fn until_known(resolver: &Resolver, address: IpAddr) -> Option<Arc<str>> {
        let limit = Instant::now() + Duration::from_secs(10);
        while Instant::now() < limit {
            let name = resolver.name(address, true);
            if matches!(resolver.known.get(&address).as_deref(), Some(Known::Answer(..))) {
                return name.or_else(|| resolver.name(address, false));
            }
            std::thread::yield_now();
        }
        panic!("{address} was never answered");
    }

    #[test]
    fn a_name_comes_in_the_background_and_is_asked_for_once() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let resolver = Resolver::asking(move |address| {
            counted.fetch_add(1, Ordering::Relaxed);
            (address == self::address(1)).then(|| "web1.example\x1b[2J".to_owned())
        })
        .expect("threads");
        assert_eq!(resolver.name(address(1), false), None, "nobody asked for it");
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        assert_eq!(until_known(&resolver, address(1)).as_deref(), Some("web1.example\u{fffd}[2J"));
        assert_eq!(until_known(&resolver, address(2)), None);
        for _ in 0..100 {
            resolver.name(address(1), true);
            resolver.name(address(2), true);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn nobody_waits_for_one_that_hangs_and_everything_is_bounded() {
        let (hold, held) = bounded::<()>(0);
        let resolver =
            Resolver::asking(move |_| held.recv().err().map(|_| "late".to_owned())).expect("threads");
        for number in 0..100_000 {
            assert_eq!(resolver.name(address(number), true), None);
        }
        assert!(resolver.known.len() <= QUEUE + THREADS, "{}", resolver.known.len());
        drop(hold);
        assert_eq!(until_known(&resolver, address(0)).as_deref(), Some("late"));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let resolver = Resolver::asking(|address| Some(format!("host-{address}"))).expect("threads");
        let many = u32::try_from(CACHE_MAX).unwrap() + 5000;
        for number in 0..many {
            until_known(&resolver, address(number));
        }
        assert!(resolver.known.len() <= CACHE_MAX, "{}", resolver.known.len());
        assert_eq!(until_known(&resolver, address(7)).as_deref(), Some("host-198.18.0.7"));
    }
}
