//! Rings for an interface, as this run wants them.

use super::super::RunError;
use super::lock;
use crate::capture::deal::DealKey;
use crate::capture::fanout::{self, Dealing, Opened};
use crate::capture::filter::{self, Filter};
use crate::capture::link::{Root, Watch, memory_bytes, permission_message, ring_bytes};
use crate::capture::ring::{CaptureError, CaptureErrorKind, RingConfig};
use crate::capture::sys::SockFilter;
use crate::config::Config;
use crate::output::Notice;
use std::sync::Mutex;

/// Bytes of a block: many enough that a quiet link's blocks, handed over
/// nearly empty, still bridge a stall of seconds.
const BLOCK_BYTES: usize = 256 << 10;
/// Milliseconds after which a block is handed over; kernel 6.18 does it for
/// nothing measurable at 10.
const RETIRE_MS: u32 = 10;
/// Memory of a machine that does not tell.
const MEMORY_UNKNOWN: u64 = 1 << 30;

/// Opens interfaces: the same way at start and when one joins or comes back.
pub(super) struct Opener<'a> {
    config: &'a Config,
    workers: usize,
    links: usize,
    memory_bytes: u64,
    deal: DealKey,
    /// The filter in force.
    filter: Mutex<Option<String>>,
}

/// Rings of an interface into which nothing comes yet.
pub(super) struct Gated {
    opened: Opened,
    program: Vec<SockFilter>,
    interface: String,
}

impl Gated {
    /// From now on every frame that is selected comes in.
    pub fn open(self) -> Result<Opened, RunError> {
        fanout::set_filter(&self.opened.rings, &self.program)
            .map_err(|error| capture_error(&error, &self.interface))?;
        Ok(self.opened)
    }
}

impl<'a> Opener<'a> {
    pub fn new(
        config: &'a Config,
        root: &Root,
        workers: usize,
        links: usize,
        deal: DealKey,
    ) -> Result<Opener<'a>, RunError> {
        let memory_bytes = memory_bytes(root).unwrap_or(MEMORY_UNKNOWN);
        let filter = Mutex::new(config.filter.clone());
        Ok(Opener { config, workers, links, memory_bytes, deal, filter })
    }

    /// Whether the interface is put into promiscuous mode: loopback has no use for it.
    pub fn promiscuous(&self, watch: &Watch) -> bool {
        self.config.promiscuous && !watch.link.is_loopback()
    }

    fn ring_config(&self, watch: &Watch, link: u8) -> RingConfig {
        // One that joins later gets as much as if it had been there: not more than there is for all.
        let rings = self.workers * self.links.max(usize::from(link) + 1);
        let asked = self.config.ring_mib.map(|mib| (mib << 20) / rings as u64);
        let speed = watch.line_speed();
        let physical = watch.link.physical || watch.told_speed.is_some();
        let bytes = ring_bytes(speed, physical, rings, self.memory_bytes, asked);
        RingConfig {
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            block_bytes: BLOCK_BYTES,
            retire_ms: RETIRE_MS,
            snaplen: self.config.snaplen,
            vnet: true,
            promiscuous: self.promiscuous(watch),
        }
    }

    /// The filter in force.
    pub fn filter(&self) -> Option<String> {
        lock(&self.filter).clone()
    }

    /// From now on this one is.
    pub fn set_filter(&self, expression: Option<&str>) {
        *lock(&self.filter) = expression.map(str::to_owned);
    }

    /// The program of the rings' sockets: what is selected, and how much of it.
    pub fn program(&self, interface: &str, expression: Option<&str>) -> Result<Vec<SockFilter>, RunError> {
        let filter = match expression {
            None => None,
            Some(expression) => Some(Filter::for_ring(expression, interface)?),
        };
        let program = filter::compose(filter.as_ref(), self.config.snaplen);
        let instruction = |i: &filter::Instruction| SockFilter { code: i.code, jt: i.jt, jf: i.jf, k: i.k };
        Ok(program.instructions().iter().map(instruction).collect())
    }

    /// Opens all rings of an interface, and their gate.
    pub fn open(&self, watch: &Watch, link: u8) -> Result<Opened, RunError> {
        self.prepare(watch, link)?.open()
    }

    /// Opens all rings of an interface, behind one gate.
    pub fn prepare(&self, watch: &Watch, link: u8) -> Result<Gated, RunError> {
        let name = &watch.link.name;
        let ring = self.ring_config(watch, link);
        let program = match self.program(name, self.filter().as_deref()) {
            Err(RunError::Usage(sentence)) => return Err(RunError::Usage(sentence)),
            // Whether rings may be opened at all is told before what else is wrong with a filter.
            other => other,
        };
        let opened = fanout::open_gated(name, link, self.workers, &ring, &self.deal)
            .map_err(|error| capture_error(&error, name))?;
        Ok(Gated { opened, program: program?, interface: name.clone() })
    }

    /// What a reader has to know of how it went.
    pub fn notices(&self, watch: &Watch, link: u8, opened: &Opened) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut tell = |event, count, message| {
            let interface = Some(watch.link.name.clone());
            notices.push(Notice { time_ns: 0, event, interface, count, message });
        };
        let missing = opened.shortfall_bytes(&self.ring_config(watch, link)) as u64;
        if missing > 0 {
            let message =
                format!("the rings are {} MiB smaller than asked for: memory is short", missing >> 20);
            tell("ring_smaller", Some(missing), message);
        }
        if opened.dealing == Dealing::Kernel {
            let why = opened.refusal.as_ref().map_or(String::new(), |error| format!(" ({error})"));
            let message = format!(
                "the kernel refused our dealing program{why} and deals by its own hash: fragments and ICMP errors may be \
                 counted apart from their flows"
            );
            tell("dealing_by_kernel", None, message);
        }
        let without = opened.rings.iter().filter(|ring| !ring.config().vnet).count() as u64;
        if without > 0 {
            let message =
                "the kernel gives no segment sizes for its rings: super-frames count as one packet".into();
            tell("no_segment_sizes", Some(without), message);
        }
        notices
    }
}

fn capture_error(error: &CaptureError, name: &str) -> RunError {
    match error.kind() {
        CaptureErrorKind::NotPermitted => {
            let exe = std::env::current_exe().unwrap_or_else(|_| "fullcount".into());
            RunError::Failed(vec![permission_message(&exe, name)])
        }
        CaptureErrorKind::NoSuchInterface => RunError::Usage(error.to_string()),
        CaptureErrorKind::InterfaceDown
        | CaptureErrorKind::NoMemory
        | CaptureErrorKind::KernelTooOld
        | CaptureErrorKind::ProgramRefused
        | CaptureErrorKind::Refused => RunError::Failed(vec![error.to_string()]),
    }
}
