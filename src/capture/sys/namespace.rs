//! Namespaces of the process's own: a network that nobody else sees.
//!
//! Nothing of them is a file: they are gone with the last thread and the last
//! descriptor that is in them, however the process ends.
//! Sources: unshare(2), user_namespaces(7), network_namespaces(7).

use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Moves the calling thread, and threads that it starts from now on, into a network
/// namespace of its own: by right where there is one, else in a user namespace of its
/// own, where the user stays who they are and everybody may do anything to what is
/// in there.
///
/// # Errors
/// The kernel's: no right (EPERM, EACCES), no more of them (ENOSPC), none at all in this kernel
/// (EINVAL, which a process of several threads gets too).
pub fn leave_network() -> io::Result<()> {
    if unshare(UnshareFlags::NEWNET).is_ok() {
        return Ok(());
    }
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)?;
    // Files of /proc are root's where the program has capabilities by its file.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable);
    // Without it no group may be named (since 3.19).
    let _ = fs::write("/proc/self/setgroups", "deny");
    let (user, group) = (user.as_raw(), group.as_raw());
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}

/// The network namespace that the calling thread is in.
///
/// # Errors
/// Where /proc is not there.
pub fn network() -> io::Result<OwnedFd> {
    Ok(fs::File::open("/proc/thread-self/ns/net")?.into())
}

/// Moves the calling thread into a network namespace.
///
/// # Errors
/// Where that may not be.
pub fn enter_network(namespace: &impl AsFd) -> io::Result<()> {
    let network = Some(LinkNameSpaceType::Network);
    Ok(rustix::thread::move_into_link_name_space(namespace.as_fd(), network)?)
}

fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: the call is unsafe for CLONE_FILES alone, after which threads do not know
    // each other's descriptors; nobody here asks for that (the two callers' flags are
    // above).
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}
