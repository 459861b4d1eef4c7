//! `fullcount demo`: a namespace with a pretended bond, and traffic on it.
//!
//! No other process, no file: the namespaces are this process's, the traffic is a
//! thread of it, so that nothing is left however the process ends. The run itself is
//! any other one on `eth0` and `eth1`.
//!
//! ```text
//! here:  (bond0) ─ eth0, eth1      captured on
//!                  │     │
//! there:           far0  far1      what the others send is put on these
//! ```

use super::RunError;
use crate::capture::inject::Injector;
use crate::capture::link::make::{New, enslave, put_up, without_ipv6};
use crate::capture::sys::namespace::{enter_network, leave_network, network};
use crate::config::{Config, Input};
use crate::demo::scene::Scene;
use crate::demo::{HERE, HERE_MAC, HERE_V6, LINKS, MTU, SPEED, Way};
use crossbeam_channel::{Sender, bounded};
use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Ends of the pairs that are not captured on.
const FAR: [&str; 2] = ["far0", "far1"];
const BOND: &str = "bond0";
/// What of the play is played at once.
const STEP: Duration = Duration::from_millis(1);
/// The same in a burst, so that its frames do not come in heaps.
const CLOSELY: Duration = Duration::from_micros(200);
/// What is made up for.
const LATE: Duration = Duration::from_millis(2);
/// Bytes a second of all that are a burst.
const MANY: f64 = 120e6;
/// Memory of all rings, unless asked otherwise: that of a second at full speed takes
/// longer to get than the first screen should take.
const RING_MIB: u64 = 16;

/// Traffic that goes on until this is dropped.
pub(super) struct Demo {
    /// Begins it.
    go: Option<Sender<()>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.go = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Demo {
    /// Moves the process, which has one thread so far, into a namespace of its own with
    /// all that is to be played on. The configuration is that of a run there.
    ///
    /// # Errors
    /// Sentences: what is not allowed here, and by whom it could be.
    pub fn prepare(config: &Config) -> Result<(Demo, Config), RunError> {
        let far = leave_network().and_then(|()| network()).map_err(|error| refused(&error))?;
        without_ipv6();
        leave_network().map_err(|error| refused(&error))?;
        without_ipv6();
        let bonded = bond(&far);
        if !bonded {
            let pairs = LINKS.iter().zip(FAR).try_for_each(|(near, peer)| pair(near, peer, &far));
            pairs.map_err(|error| match error.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => refused(&error),
                _ => failed("cannot make a pair of interfaces (veth)", &error),
            })?;
        }
        // Nor does it go on when nobody looks any more.
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
        let demo = Demo::start(far, bonded).map_err(|error| failed("cannot prepare the traffic", &error))?;
        Ok((demo, configured(config, bonded)))
    }

    /// The rings are open.
    pub fn begin(&self) {
        let _ = self.go.as_ref().map(|go| go.send(()));
    }

    fn start(far: OwnedFd, bonded: bool) -> io::Result<Demo> {
        // A bond takes what is sent and chooses the slave.
        let [first, second] = LINKS.map(|name| Injector::open(if bonded { BOND } else { name }));
        let mut near = [first?, second?];
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        let (ready_out, ready) = bounded(1);
        let (go, gone) = bounded(1);
        let thread = std::thread::Builder::new().name("traffic".into()).spawn(move || {
            let there = enter_network(&far).and_then(|()| {
                let [first, second] = FAR.map(|name| put_up(name).and_then(|()| Injector::open(name)));
                Ok([first?, second?])
            });
            match there {
                Ok(mut there) => {
                    let _ = ready_out.send(Ok(()));
                    if gone.recv().is_ok() {
                        play(&mut near, &mut there, &stopped);
                    }
                }
                Err(error) => {
                    let _ = ready_out.send(Err(error));
                }
            }
        })?;
        let demo = Demo { go: Some(go), stop, thread: Some(thread) };
        ready.recv().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))?;
        Ok(demo)
    }
}

/// Real interfaces, with what nobody could know of them.
fn configured(config: &Config, bonded: bool) -> Config {
    let mut config = config.clone();
    let name = if bonded { BOND.to_owned() } else { LINKS.join("+") };
    config.input = Input::Live { interfaces: vec![name] };
    // The user's own word, where there is one, comes later and goes before this.
    let told = std::mem::take(&mut config.link_speeds);
    config.link_speeds = LINKS.iter().map(|name| ((*name).to_owned(), SPEED)).chain(told).collect();
    config.local_networks.extend([(HERE, 32), (HERE_V6, 128)]);
    config.ring_mib = config.ring_mib.or(Some(RING_MIB));
    config
}

/// One pair, up, its far end in the other namespace.
fn pair(near: &str, peer: &str, far: &OwnedFd) -> io::Result<()> {
    let near = New { name: near, mac: HERE_MAC, mtu: MTU, up: true };
    near.veth(&New { name: peer, mac: [2, 0, 0, 0, 9, 9], mtu: MTU, up: false }, far.as_fd())
}

/// A real bond, where the kernel has them. Whatever of it is made stands in nobody's way.
fn bond(far: &OwnedFd) -> bool {
    let bond = New { name: BOND, mac: HERE_MAC, mtu: MTU, up: true };
    if bond.bond().is_err() {
        return false;
    }
    let slave = |(near, peer): (&&str, &str)| {
        let down = New { name: near, mac: HERE_MAC, mtu: MTU, up: false };
        let peer = New { name: peer, mac: [2, 0, 0, 0, 9, 9], mtu: MTU, up: false };
        down.veth(&peer, far.as_fd()).and_then(|()| enslave(near, BOND))
    };
    LINKS.iter().zip(FAR).try_for_each(slave).is_ok()
}

/// Plays, a step at a time, until it is stopped. Steps that come late on a busy machine
/// are made up for at once, as a NIC's frames come in heaps then; where they are later
/// than [`LATE`], everything is later.
fn play(near: &mut [Injector; 2], far: &mut [Injector; 2], stop: &AtomicBool) {
    let mut scene = Scene::new();
    let mut until = Duration::ZERO;
    // Steps of a millisecond are not to be 50 µs late by default.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let mut due = Instant::now();
    let mut closely_until = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let step = if until < closely_until { CLOSELY } else { STEP };
        until += step;
        let until_us = u64::try_from(until.as_micros()).unwrap_or(u64::MAX);
        let mut sent = 0;
        scene.play(until_us, &mut |way, frame| {
            sent += frame.len();
            let on = match way {
                Way::Sent(link) => near.get_mut(link),
                Way::Received(link) => far.get_mut(link),
            };
            // A frame that finds no room is lost, as on any line.
            let _ = on.map(|on| on.send(frame));
        });
        if sent as f64 > MANY * step.as_secs_f64() {
            closely_until = until + 100 * CLOSELY;
        }
        let now = Instant::now();
        due = (due + step).max(now.checked_sub(LATE).unwrap_or(now));
        std::thread::sleep(due.saturating_duration_since(now));
    }
}

fn failed(what: &str, error: &io::Error) -> RunError {
    RunError::Failed(vec![format!("{what} for the demo: {error}")])
}

/// What is in the way, and the line that takes it away.
fn refused(error: &io::Error) -> RunError {
    let set = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?;
        text.trim().parse::<u64>().ok()
    };
    RunError::Failed(vec![sentence(error, &set)])
}

/// `set`: a kernel setting's value, where the kernel has it.
fn sentence(error: &io::Error, set: &dyn Fn(&str) -> Option<u64>) -> String {
    let lines = [
        ("kernel.unprivileged_userns_clone", 0, "1"),
        ("kernel.apparmor_restrict_unprivileged_userns", 1, "0"),
        ("user.max_user_namespaces", 0, "1000"),
        ("user.max_net_namespaces", 0, "1000"),
    ];
    let closed = lines.iter().find(|(name, closed, _)| set(name) == Some(*closed));
    let way = match closed {
        Some((name, value, open)) => format!(
            "{name} is {value}: start it with sudo, or allow every user such namespaces with `sudo sysctl {name}={open}`"
        ),
        None => "a container's or a security module's rules may forbid it: start it with sudo, or outside of the container"
            .to_owned(),
    };
    format!(
        "fullcount demo needs a network namespace of its own, and gets none here ({error}); {way}; reading files with -r needs none"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_named_with_the_line_that_mends_it() {
        let error = io::Error::from_raw_os_error(libc::EPERM);
        let at = |name: &'static str, value| sentence(&error, &move |asked| (asked == name).then_some(value));
        let text = at("kernel.unprivileged_userns_clone", 0);
        assert!(text.contains("`sudo sysctl kernel.unprivileged_userns_clone=1`"), "{text}");
        let text = at("kernel.apparmor_restrict_unprivileged_userns", 1);
        assert!(text.contains("`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`"), "{text}");
        let text = at("user.max_user_namespaces", 0);
        assert!(text.contains("user.max_user_namespaces is 0"), "{text}");
        let text = at("kernel.unprivileged_userns_clone", 1);
        assert!(text.contains("Operation not permitted") && text.contains("start it with sudo"), "{text}");
    }
}
