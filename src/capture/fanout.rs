//! One interface, several workers: opening the rings, the gate, joining them
//! into a fanout group, and pinning threads to cores.
//!
//! Member k of every interface's group belongs to worker k. Members see
//! everything from binding to joining, and join one at a time, so each stands
//! behind a filter that drops everything until all have joined (kernel: 300
//! frames sent during that time were counted 400 times without). The filters
//! are then set one after the other: under traffic the first moments of an
//! interface are incomplete, so whoever compares with the interface's own
//! counters takes their base after the gate was opened.
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
    /// What the kernel said to our own dealing, where it is `Dealing::Kernel`.
    pub refusal: Option<io::Error>,
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
/// gate: nothing comes in until [`set_filter`] opens it. Whoever watches several
/// interfaces opens their gates together, when the rings of all are there: a ring
/// takes tens of milliseconds, in which half of a connection would be missed.
///
/// # Errors
/// See [`CaptureError`].
pub fn open_gated(
    interface: &str,
    link: LinkId,
    workers: usize,
    config: &RingConfig,
    deal: &DealKey,
) -> Result<Opened, CaptureError> {
    let workers = workers.clamp(1, MEMBERS_MAX);
    let open_all =
        || (0..workers).map(|_| Ring::open_gated(interface, link, config)).collect::<Result<Vec<_>, _>>();
    let mut rings = open_all()?;
    let (mut dealing, mut refusal) = (Dealing::Alone, None);
    if workers > 1 {
        match join(&rings, Some(deal))? {
            Joined::Whole => dealing = Dealing::Ours,
            Joined::Refused(error) => {
                // A member leaves a group only by being closed.
                drop(rings);
                rings = open_all()?;
                if let Joined::Refused(error) = join(&rings, None)? {
                    return Err(not_joined(&rings, error));
                }
                (dealing, refusal) = (Dealing::Kernel, Some(error));
            }
        }
    }
    Ok(Opened { rings, dealing, refusal })
}

/// The same, and opens the gate with `filter` (empty: everything, up to the
/// snaplen) once all have joined.
///
/// # Errors
/// See [`CaptureError`].
pub fn open_interface(
    interface: &str,
    link: LinkId,
    workers: usize,
    config: &RingConfig,
    deal: &DealKey,
    filter: &[SockFilter],
) -> Result<Opened, CaptureError> {
    let opened = open_gated(interface, link, workers, config, deal)?;
    set_filter(&opened.rings, filter)?;
    Ok(opened)
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

/// What came of making a group.
enum Joined {
    Whole,
    /// The kernel does not know this kind of group, or refuses our program.
    Refused(io::Error),
}

/// Makes one group of `rings`, all of one interface, in their order: dealt by
/// our program, or by the kernel's hash where there is no key.
fn join(rings: &[Ring], deal: Option<&DealKey>) -> Result<Joined, CaptureError> {
    let Some((first, others)) = rings.split_first() else { return Ok(Joined::Whole) };
    let kind = if deal.is_some() { libc::PACKET_FANOUT_CBPF } else { libc::PACKET_FANOUT_HASH };
    let group = match found_group(first, kind) {
        Ok(group) => group,
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && first.bound_up() => {
            return Ok(Joined::Refused(error));
        }
        Err(error) => return Err(not_joined(rings, error)),
    };
    if let Some(deal) = deal
        && let Err(error) = first.socket().set_fanout_program(&deal.program(first.link_type()))
    {
        return Ok(Joined::Refused(error));
    }
    for ring in others {
        let joined = ring.socket().set(libc::PACKET_FANOUT, &argument(group, kind));
        joined.map_err(|error| not_joined(rings, error))?;
    }
    Ok(Joined::Whole)
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

fn not_joined(rings: &[Ring], error: io::Error) -> CaptureError {
    let interface = rings.first().map_or("", Ring::interface);
    // Older kernels take only sockets that run into a group: EINVAL for others.
    if error.raw_os_error() == Some(libc::EINVAL) && rings.iter().any(|ring| !ring.bound_up()) {
        return CaptureError::InterfaceDown { interface: interface.to_owned() };
    }
    CaptureError::new(interface, "joining the fanout group", error)
}

// Namespaces for tests, shared with those of other rooms.
#[cfg(test)]
#[path = "../../tests/common/netns.rs"]
mod netns;

#[cfg(test)]
mod tests {
    use super::super::merge::Source;
    use super::*;

    use super::netns::{Netns, wait};

    const CONFIG: RingConfig = RingConfig {
        bytes: 1 << 20,
        block_bytes: 1 << 16,
        retire_ms: 4,
        snaplen: 128,
        vnet: false,
        promiscuous: false,
    };

    fn open_gated(workers: usize) -> Vec<Ring> {
        (0..workers).map(|_| Ring::open_gated("v1", 0, &CONFIG).expect("opens")).collect()
    }

    #[test]
    fn the_kernels_own_hash_brings_both_directions_together() {
        let (Some(near), Some(far)) = (Netns::new("fanout"), Netns::new("fanout")) else { return };
        near.veth("v0", &far, "v1");
        far.enter();
        let mut rings = open_gated(3);
        assert!(matches!(join(&rings, None), Ok(Joined::Whole)));
        set_filter(&rings, &[]).expect("the gate opens");
        let mut injector = near.injector("v0");
        for n in 0..100u8 {
            for back in [false, true] {
                let mut frame = [0u8; 60];
                frame[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 46, 0, 1, 0x40, 0, 64, 17]);
                frame[26..38].copy_from_slice(&[198, 18, 0, n, 198, 19, 0, n, 16, n, 32, n]);
                if back {
                    frame[26..38].copy_from_slice(&[198, 19, 0, n, 198, 18, 0, n, 32, n, 16, n]);
                }
                injector.send(&frame);
            }
        }
        let mut members = [None; 100];
        let mut count = 0;
        wait("200 frames", || {
            for (index, ring) in rings.iter_mut().enumerate() {
                while let Some(frame) = ring.next_frame() {
                    count += 1;
                    let member = &mut members[usize::from(frame.data[29])];
                    assert_eq!(*member.get_or_insert(index), index);
                }
            }
            count == 200
        });
        assert!((0..3).all(|index| members.contains(&Some(index))));
    }

    #[test]
    fn an_interface_that_is_down_is_opened_or_named() {
        let (Some(near), Some(far)) = (Netns::new("fanout"), Netns::new("fanout")) else { return };
        near.veth("v0", &far, "v1");
        far.shell("ip link set v1 down");
        far.enter();
        let key = DealKey::from_seed(1);
        let alone = open_interface("v1", 0, 1, &CONFIG, &key, &[]).expect("one ring needs no group");
        assert!(!alone.rings[0].bound_up());
        match open_interface("v1", 0, 2, &CONFIG, &key, &[]) {
            Ok(opened) => {
                println!("this kernel groups rings of an interface that is down");
                assert_eq!(opened.dealing, Dealing::Ours);
            }
            Err(error) => {
                let sentence = "v1: the interface is down; set it up or use one worker";
                assert_eq!(error.to_string(), sentence);
            }
        }
    }

    #[test]
    fn a_ring_that_memory_cannot_hold_is_smaller_and_says_by_how_much() {
        let (Some(near), Some(far)) = (Netns::new("fanout"), Netns::new("fanout")) else { return };
        near.veth("v0", &far, "v1");
        far.enter();
        let asked = RingConfig { bytes: 3 * CONFIG.block_bytes, ..CONFIG };
        let opened = open_interface("v1", 0, 2, &asked, &DealKey::from_seed(1), &[]).expect("opens");
        assert_eq!(opened.shortfall_bytes(&asked), 0);
        let twice = RingConfig { bytes: 6 * CONFIG.block_bytes, ..CONFIG };
        assert_eq!(opened.shortfall_bytes(&twice), 6 * CONFIG.block_bytes);
    }

    #[test]
    fn a_thread_can_be_pinned_to_every_usable_core() {
        let cpus = usable_cpus();
        assert!(!cpus.is_empty() && cpus.is_sorted());
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(cpus.iter().all(|&cpu| pin(cpu))));
        });
    }
}
