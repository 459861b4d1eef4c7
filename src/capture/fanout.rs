//! One interface, several workers: opening the rings, the gate, joining them
//! into a fanout group, and pinning threads to cores.
//!
//! Member k of every interface's group belongs to worker k. Members see
//! everything from binding to joining, and join one at a time, so each stands
//! behind a filter that drops everything until all have joined (kernel: 300
//! frames sent during that time were counted 400 times without). The filters
//! are then set one after the other: under traffic the first moments of an
//! interface are incomplete, so whoever compares with the interface's own
//! counters takes their base after [`open_interface`] has returned.
//!
//! Closing a member moves flows of the others: a worker that fails keeps its
//! rings open until the end. PACKET_FANOUT_FLAG_DEFRAG is never used: it
//! changes bytes and times.
//!
//! Sources: packet(7), net/packet/af_packet.c (fanout_add, fanout_demux_bpf).

use super::LinkId;
use super::deal::DealKey;
use super::ring::{CaptureError, Ring, RingConfig};
use super::sys::SockFilter;
use std::io;

/// Most members that a fanout group can have (PACKET_FANOUT_MAX before 5.10).
pub const MEMBERS_MAX: usize = 256;

/// By which rule frames are dealt to the members of an interface's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dealing {
    /// One ring, no group: everything is its own.
    Alone,
    /// By our own hash: [`DealKey::owner`] tells whose a flow is.
    Ours,
    /// By the kernel's (before 4.3, or where it refuses our program): both
    /// directions of a flow meet on most kernels, but whose a flow is cannot be
    /// known beforehand.
    Kernel,
}

/// An interface opened for all workers.
pub struct Opened {
    /// The ring of worker k at place k.
    pub rings: Vec<Ring>,
    /// How frames are dealt to them.
    pub dealing: Dealing,
}

impl Opened {
    /// Bytes by which the rings together are smaller than asked for, because
    /// memory was short.
    pub fn shortfall_bytes(&self, asked: &RingConfig) -> usize {
        let missing = |ring: &Ring| {
            asked.bytes.saturating_sub(ring.config().bytes.next_multiple_of(asked.block_bytes.max(1)))
        };
        self.rings.iter().map(missing).sum()
    }
}

/// Opens `interface` for `workers` workers (1 to [`MEMBERS_MAX`]), behind one
/// gate that opens with `filter` (empty: everything, up to the snaplen) once
/// all have joined.
pub fn open_interface(
    interface: &str,
    link: LinkId,
    workers: usize,
    config: &RingConfig,
    deal: &DealKey,
    filter: &[SockFilter],
) -> Result<Opened, CaptureError> {
    let workers = workers.clamp(1, MEMBERS_MAX);
    let open_all =
        || (0..workers).map(|_| Ring::open_gated(interface, link, config)).collect::<Result<Vec<_>, _>>();
    let mut rings = open_all()?;
    let mut dealing = if workers == 1 { Dealing::Alone } else { join(&rings, Some(deal))? };
    if dealing == Dealing::Kernel {
        // A member cannot leave a group of the wrong kind but by being closed.
        drop(rings);
        rings = open_all()?;
        dealing = join(&rings, None)?;
    }
    set_filter(&rings, filter)?;
    Ok(Opened { rings, dealing })
}

/// Changes the filter of running rings, one after the other; nothing is lost or
/// doubled, but between the first and the last two filters are in force.
pub fn set_filter<'a>(
    rings: impl IntoIterator<Item = &'a Ring>,
    filter: &[SockFilter],
) -> Result<(), CaptureError> {
    rings.into_iter().try_for_each(|ring| ring.set_filter(filter))
}

/// Numbers of the cores that this process may run on, in their order.
pub fn usable_cpus() -> Vec<usize> {
    let mut cpus: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
    cpus.sort_unstable();
    cpus
}

/// Pins the calling thread to a core; false if the kernel does not let it.
pub fn pin(cpu: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: cpu })
}

/// Makes one group of `rings`, all of one interface, in their order. Answers
/// with `Dealing::Kernel`, the group half made, where our program is refused.
fn join(rings: &[Ring], deal: Option<&DealKey>) -> Result<Dealing, CaptureError> {
    let Some((first, others)) = rings.split_first() else { return Ok(Dealing::Alone) };
    let kind = if deal.is_some() { libc::PACKET_FANOUT_CBPF } else { libc::PACKET_FANOUT_HASH };
    let refused = |error: io::Error| refusal(first, error);
    let found = found_group(first, kind);
    let group = match (found, deal) {
        (Ok(group), _) => group,
        (Err(error), Some(_)) if error.raw_os_error() == Some(libc::EINVAL) && first.bound_up() => {
            return Ok(Dealing::Kernel);
        }
        (Err(error), _) => return Err(refused(error)),
    };
    if let Some(deal) = deal {
        let program = deal.program(first.link_type());
        if first.socket().set_fanout_program(&program).is_err() {
            return Ok(Dealing::Kernel);
        }
    }
    for ring in others {
        ring.socket().set(libc::PACKET_FANOUT, &argument(group, kind)).map_err(refused)?;
    }
    Ok(if deal.is_some() { Dealing::Ours } else { Dealing::Kernel })
}

/// Founds a group with a number that no other has; answers with the number.
fn found_group(ring: &Ring, kind: libc::c_uint) -> io::Result<u16> {
    let unique = argument(0, kind | libc::PACKET_FANOUT_FLAG_UNIQUEID);
    match ring.socket().set(libc::PACKET_FANOUT, &unique) {
        // The low half of the answer; 0 is a number like any other.
        Ok(()) => Ok((ring.socket().get(libc::PACKET_FANOUT)? & 0xffff) as u16),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            // Before 4.11 numbers are the caller's affair. Ours keep runs and
            // interfaces apart; where one is taken, the kernel refuses (another
            // interface or kind), so no frame goes astray.
            let group = (std::process::id() as u16).rotate_left(7) ^ u16::from(ring.link());
            ring.socket().set(libc::PACKET_FANOUT, &argument(group, kind))?;
            Ok(group)
        }
        Err(error) => Err(error),
    }
}

/// The value of PACKET_FANOUT: number, kind and flags.
fn argument(group: u16, kind_and_flags: libc::c_uint) -> libc::c_int {
    (u32::from(group) | kind_and_flags << 16).cast_signed()
}

fn refusal(ring: &Ring, error: io::Error) -> CaptureError {
    // Before 6.14 a group takes only sockets that run, with EINVAL for others.
    if error.raw_os_error() == Some(libc::EINVAL) && !ring.bound_up() {
        return CaptureError::InterfaceDown { interface: ring.interface().to_owned() };
    }
    CaptureError::new(ring.interface(), "joining the fanout group", error)
}
