//! Handshakes by the interface that their SYN passed: what a bond's slaves, or
//! two ways to the same servers, differ in.
//!
//! Bounded by the number of interfaces; memory is taken for those that see a
//! handshake. Sums do not depend on the order in which workers report. Knows
//! sessions and links by number.

use super::watch::{Latencies, Latency};
use crate::capture::{LINKS_MAX, Lane, LinkId};
use crate::flow::entry::NO_LANE;
use crate::flow::record::{Outcome, Session};

/// Handshakes whose SYN passed one interface, over one span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Openings {
    /// Decided, whatever came of them.
    pub attempts: u64,
    /// Of them, established.
    pub success: u64,
    /// First SYN to success; None where that is known of none, as below.
    pub connect: Option<Latency>,
    /// SYN to SYN/ACK, of those that succeeded.
    pub server_half: Option<Latency>,
    /// SYN/ACK to the client's ACK.
    pub client_half: Option<Latency>,
}

/// What grows.
struct Count {
    attempts: u64,
    success: u64,
    /// Connect, server half, client half.
    latencies: [Latencies; 3],
}

impl Count {
    fn new() -> Count {
        Count { attempts: 0, success: 0, latencies: [(); 3].map(|()| Latencies::new()) }
    }

    fn add(&mut self, session: &Session) {
        self.attempts += 1;
        if session.outcome != Outcome::Success {
            return;
        }
        self.success += 1;
        // With data in the last ACK the client may have waited for what to say.
        let waited = |us: Option<u32>| us.filter(|_| !session.ack_with_data);
        let values = [waited(session.connect_us), session.server_us, waited(session.client_us)];
        for (latencies, us) in self.latencies.iter_mut().zip(values) {
            us.into_iter().for_each(|us| latencies.add(us));
        }
    }

    fn told(&self) -> Openings {
        let [connect, server_half, client_half] = [0, 1, 2].map(|which| self.latencies[which].told());
        Openings { attempts: self.attempts, success: self.success, connect, server_half, client_half }
    }

    fn clear(&mut self) {
        (self.attempts, self.success) = (0, 0);
        self.latencies.iter_mut().for_each(Latencies::clear);
    }
}

/// One interface while the run goes on.
struct Sums {
    interval: Count,
    total: Count,
    /// The total as it was told last.
    told: Openings,
}

/// Sorts sessions by interface.
pub(super) struct Opener {
    /// By link; None until it sees a handshake.
    links: Vec<Option<Box<Sums>>>,
}

impl Default for Opener {
    fn default() -> Opener {
        Opener { links: (0..LINKS_MAX).map(|_| None).collect() }
    }
}

impl Opener {
    /// Sessions that a worker reports.
    pub fn take(&mut self, sessions: &[Session]) {
        for session in sessions.iter().filter(|session| !session.syn_unseen) {
            let lane = session.lanes[usize::from(session.client_second)];
            if lane == NO_LANE {
                continue;
            }
            let Some(link) = self.links.get_mut(usize::from(Lane(lane).link())) else { continue };
            let sums = link.get_or_insert_with(|| {
                Box::new(Sums { interval: Count::new(), total: Count::new(), told: Openings::default() })
            });
            sums.interval.add(session);
            sums.total.add(session);
        }
    }

    /// Of an interface: of the interval, which ends, and since the start.
    pub fn tell(&mut self, link: LinkId) -> [Openings; 2] {
        let Some(Some(sums)) = self.links.get_mut(usize::from(link)) else { return Default::default() };
        if sums.interval.attempts == 0 {
            return [Openings::default(), sums.told];
        }
        sums.told = sums.total.told();
        let interval = sums.interval.told();
        sums.interval.clear();
        [interval, sums.told]
    }
}
