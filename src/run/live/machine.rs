//! What of this machine tells who is here and who serves: its addresses, of
//! whichever interface (a bond's stand at the bond, a bridge's at the bridge),
//! and its listening TCP sockets, of this network namespace.
//!
//! Control looks now and then and tells workers where something has changed, as
//! one object each keeps until the next; a connection that was open before is
//! told by it for as long as its server listens. Where the kernel does not tell,
//! the last answer holds, and with none roles are told by ports.

use crate::aggregate::watch::Here;
use crate::capture::link::{self, Root};
use crate::flow::listen::Listeners;
use crate::worker::live::Control;
use crossbeam_channel::Sender;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often sockets are asked for. A server that begins to listen meanwhile
/// has no connection yet that was not seen from its SYN on.
const EVERY: Duration = Duration::from_secs(2);

/// See the module's description.
pub(super) struct Machine {
    addresses: HashSet<IpAddr>,
    listeners: Arc<Listeners>,
    next: Instant,
}

impl Machine {
    /// As it is now; `lines`: to the workers, who are told before their rings come.
    pub fn begin(root: &Root, here: &Here, lines: &[Sender<Control>]) -> Machine {
        let mut machine =
            Machine { addresses: HashSet::new(), listeners: Arc::default(), next: Instant::now() };
        if let Some(listeners) = machine.look(root, here, true) {
            for line in lines {
                let _ = line.send(Control::Listeners(listeners.clone()));
            }
        }
        machine
    }

    /// Looks again where it is time or addresses `moved`; who listens, where
    /// that is not what it was.
    pub fn look(&mut self, root: &Root, here: &Here, moved: bool) -> Option<Arc<Listeners>> {
        if moved && let Ok(links) = link::read_links(root) {
            self.addresses = link::local_addresses(&links);
            here.set_addresses(self.addresses.clone());
        }
        let now = Instant::now();
        if !moved && now < self.next {
            return None;
        }
        self.next = now + EVERY;
        let sockets = link::listening_sockets().ok()?;
        let listeners = Listeners::new(sockets, self.addresses.iter().copied());
        if *self.listeners == listeners {
            return None;
        }
        self.listeners = Arc::new(listeners);
        Some(self.listeners.clone())
    }
}
