//! Where the kernel lost packets besides the rings: its queue between driver and
//! stack (softnet), and the queueing disciplines on the way out (qdiscs).
//!
//! What the NIC lost is among an interface's [`super::Counters`]. Softnet is
//! counted by CPU, for the machine and all its namespaces together. A qdisc's
//! drops are in those of the qdisc that it stands in as well, so only the one
//! at the root counts for an interface. Both are 32-bit counters that wrap
//! round. Of a qdisc that is removed the kernel tells its last counters, so what
//! it dropped is known, and one made anew in its place is not taken for it.
//!
//! Never fails: what cannot be read is `None`. Not for the packet path: a
//! reading is some system calls. Sources: net/core/net-procfs.c
//! (`softnet_seq_show`), include/uapi/linux/{pkt_sched,gen_stats,rtnetlink}.h,
//! Documentation/admin-guide/sysctl/net.rst.

use super::netlink::{Route, messages};
use super::{Root, read_text, sysfs};
use crate::capture::sys::ethtool;
use netlink_packet_core::{NLM_F_DUMP, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcHeader, TcMessage, TcStats2};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::collections::BTreeMap;
use std::io;

/// `struct tcmsg`.
const MESSAGE_HEADER: usize = 20;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_STATS2: u16 = 7;
/// Set in an attribute's type where others are inside it.
const NESTED: u16 = 0x8000;

/// As for events of interfaces: longer than any datagram of the kernel's.
const DATAGRAM: usize = 64 << 10;
/// Datagrams taken at once; the rest waits for the next reading.
const AT_ONCE: usize = 1024;
/// A reading that qdiscs were removed under is made again this often.
const ATTEMPTS: usize = 5;

/// Parent of the qdisc that an interface's frames enter first.
pub const ROOT: u32 = 0xffff_ffff;
/// Parent of the one that received frames pass: only filters drop there.
pub const INGRESS: u32 = 0xffff_fff1;

/// One queueing discipline of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Qdisc {
    /// Where it stands: [`ROOT`], [`INGRESS`] or a class of another one.
    pub parent: u32,
    /// Its number, major in the upper half; 0 where the kernel made it by itself.
    pub handle: u32,
    /// As `tc` names it (`fq_codel`, `tbf`).
    pub kind: String,
    /// Longest queue of a fifo, packets (`bfifo`: bytes).
    pub limit: Option<u32>,
    /// Bytes that passed it: only grows while it is the same.
    pub bytes: u64,
    /// Packets dropped, those of qdiscs inside it too.
    pub drops: u32,
    /// Times that it had to wait or had no room.
    pub overlimits: u32,
    /// Packets that the driver would not take at once.
    pub requeues: u32,
    /// Packets that wait now.
    pub backlog_packets: u32,
    /// Bytes that wait now.
    pub backlog_bytes: u32,
}

/// What a qdisc did between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QdiscGrowth {
    /// Packets dropped.
    pub drops: u64,
    /// Times over its limit.
    pub overlimits: u64,
    /// Packets handed over again.
    pub requeues: u64,
}

impl Qdisc {
    /// Whether it stands in the same place under the same name.
    pub fn is(&self, other: &Qdisc) -> bool {
        (self.parent, self.handle, &self.kind) == (other.parent, other.handle, &other.kind)
    }

    /// What it did since `earlier`, a reading of all qdiscs of its interface. One that
    /// was not there, or was made anew, did all that it counted.
    pub fn since(&self, earlier: &[Qdisc]) -> QdiscGrowth {
        let same = earlier.iter().find(|one| one.is(self) && one.bytes <= self.bytes);
        let grown = |counter: fn(&Qdisc) -> u32| {
            let (now, then) = (counter(self), same.map_or(0, counter));
            let grown = now.wrapping_sub(then);
            // Half of all that it can count between two readings is no wrapping round.
            u64::from(if i32::try_from(grown).is_ok() { grown } else { now })
        };
        QdiscGrowth {
            drops: grown(|one| one.drops),
            overlimits: grown(|one| one.overlimits),
            requeues: grown(|one| one.requeues),
        }
    }

    /// Whether `inner` is a qdisc inside this one.
    pub fn holds(&self, inner: &Qdisc) -> bool {
        self.number().is_some() && self.number() == inner.around()
    }

    /// By which others stand in it: the upper half of its handle; `None` where none can.
    pub fn number(&self) -> Option<u32> {
        // What the kernel made by itself all has the number 0; of it only the root holds others.
        (self.handle != 0 || self.parent == ROOT).then_some(self.handle >> 16)
    }

    /// The number of the one that it stands in.
    pub fn around(&self) -> Option<u32> {
        (self.parent != ROOT && self.parent != INGRESS).then_some(self.parent >> 16)
    }
}

/// Softnet's counters of one CPU; each wraps round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoftnetCpu {
    /// Its number; kernels before 5.10 do not tell it.
    pub number: Option<u32>,
    /// Packets for which the CPU's queue had no room.
    pub dropped: u32,
    /// Times that there was more to do than the budget allowed.
    pub time_squeeze: u32,
    /// Packets dropped as their flow had most of the queue (kernels since 3.11).
    pub flow_limit: Option<u32>,
}

/// What softnet did between two readings, all CPUs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoftnetGrowth {
    /// Packets dropped, those of `flow_limit` too.
    pub dropped: u64,
    /// Times that the budget was used up.
    pub time_squeeze: u64,
    /// Packets dropped by flow limit; `None` where the kernel does not tell.
    pub flow_limit: Option<u64>,
}

impl SoftnetGrowth {
    /// From one reading to the next. A CPU that was not there has no begin to count
    /// from; `None` where nobody knows which line is which CPU.
    pub fn between(earlier: &[SoftnetCpu], now: &[SoftnetCpu]) -> Option<SoftnetGrowth> {
        let numbered = |cpus: &[SoftnetCpu]| cpus.iter().all(|cpu| cpu.number.is_some());
        let pairs: Vec<(&SoftnetCpu, &SoftnetCpu)> = if numbered(earlier) && numbered(now) {
            let before: BTreeMap<Option<u32>, &SoftnetCpu> =
                earlier.iter().map(|cpu| (cpu.number, cpu)).collect();
            now.iter().filter_map(|cpu| Some((*before.get(&cpu.number)?, cpu))).collect()
        } else if earlier.len() == now.len() {
            earlier.iter().zip(now).collect()
        } else {
            return None;
        };
        let sum = |counter: fn(&SoftnetCpu) -> u32| {
            let grown = pairs.iter().map(|(then, now)| counter(now).wrapping_sub(counter(then)));
            grown.map(u64::from).sum()
        };
        let tells = now.iter().all(|cpu| cpu.flow_limit.is_some());
        Some(SoftnetGrowth {
            dropped: sum(|cpu| cpu.dropped),
            time_squeeze: sum(|cpu| cpu.time_squeeze),
            flow_limit: tells.then(|| sum(|cpu| cpu.flow_limit.unwrap_or(0))),
        })
    }
}

/// `/proc/net/softnet_stat`: a line a CPU, in hexadecimal; 9 columns, 10 since
/// 2.6.35, 11 since 3.11 (flow limit), 13 since 5.10 (queue length, CPU), later
/// 15. `None`: that is something else.
fn parse_softnet(text: &str) -> Option<Vec<SoftnetCpu>> {
    let cpus = text.lines().map(|line| {
        let columns = line.split_ascii_whitespace().map(|word| u32::from_str_radix(word, 16).ok());
        let columns: Vec<u32> = columns.collect::<Option<_>>()?;
        Some(SoftnetCpu {
            number: columns.get(12).copied(),
            dropped: *columns.get(1)?,
            time_squeeze: *columns.get(2)?,
            flow_limit: columns.get(10).copied(),
        })
    });
    let cpus: Vec<SoftnetCpu> = cpus.collect::<Option<_>>()?;
    (!cpus.is_empty()).then_some(cpus)
}

/// An RTM_NEWQDISC message's payload: interface index and qdisc.
fn parse_qdisc(payload: &[u8]) -> Option<(u32, Qdisc)> {
    let header = TcHeader::parse(payload).ok()?;
    let index = u32::try_from(header.index).ok()?;
    let mut qdisc = Qdisc { parent: header.parent.into(), handle: header.handle.into(), ..Qdisc::default() };
    let mut options = None;
    let mut counted = false;
    for attribute in NlasIterator::new(payload.get(MESSAGE_HEADER..)?) {
        let Ok(attribute) = attribute else { break };
        match attribute.kind() & !NESTED {
            TCA_KIND => {
                let name = attribute.value().split(|byte| *byte == 0).next().unwrap_or_default();
                qdisc.kind = String::from_utf8_lossy(name).into_owned();
            }
            TCA_OPTIONS => options = attribute.value().first_chunk().map(|bytes| u32::from_ne_bytes(*bytes)),
            TCA_STATS2 => counted |= take_stats(&mut qdisc, attribute.value()),
            _ => {}
        }
    }
    // Of a fifo the limit is all there is (struct tc_fifo_qopt).
    let fifo = ["pfifo", "bfifo", "pfifo_head_drop"].contains(&qdisc.kind.as_str());
    qdisc.limit = options.filter(|_| fifo);
    (counted && !qdisc.kind.is_empty()).then_some((index, qdisc))
}

/// Whether its counters were among the statistics.
fn take_stats(qdisc: &mut Qdisc, value: &[u8]) -> bool {
    use netlink_packet_core::ParseableParametrized;
    let mut counted = false;
    for attribute in NlasIterator::new(value) {
        let Ok(attribute) = attribute else { break };
        match TcStats2::parse_with_param(&attribute, "") {
            Ok(TcStats2::Basic(basic)) => qdisc.bytes = basic.bytes,
            Ok(TcStats2::Queue(queue)) => {
                (qdisc.drops, qdisc.overlimits, qdisc.requeues) =
                    (queue.drops, queue.overlimits, queue.requeues);
                (qdisc.backlog_packets, qdisc.backlog_bytes) = (queue.qlen, queue.backlog);
                counted = true;
            }
            _ => {}
        }
    }
    counted
}

/// One reading.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    /// Qdiscs by interface index, of this network namespace.
    pub qdiscs: Option<BTreeMap<u32, Vec<Qdisc>>>,
    /// Those that were removed since the reading before, with their last counters and
    /// interface indices, in order. What stood inside them is not told.
    pub removed: Vec<(u32, Qdisc)>,
    /// Of the machine, a line a CPU.
    pub softnet: Option<Vec<SoftnetCpu>>,
}

/// What an interface's losses may be mended by, as it is set now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkSettings {
    /// Entries of the NIC's receive ring: now, and the most that its driver allows.
    pub rx_ring: Option<[u32; 2]>,
    /// The same for sending.
    pub tx_ring: Option<[u32; 2]>,
    /// `txqueuelen`, packets: what the kernel's own qdiscs hold.
    pub tx_queue: Option<u64>,
}

/// The same of the machine; the first network namespace alone shows all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineSettings {
    /// `net.core.netdev_max_backlog`, packets a CPU.
    pub max_backlog: Option<u64>,
    /// `net.core.netdev_budget`, packets a round.
    pub budget: Option<u64>,
    /// `net.core.netdev_budget_usecs`, µs a round (kernels since 4.12).
    pub budget_usecs: Option<u64>,
}

/// Reads them again and again.
pub struct LossReader {
    root: Root,
    route: Option<Route>,
    removals: Option<Removals>,
}

/// Where the kernel tells of qdiscs that are removed.
struct Removals {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Removals {
    fn open() -> io::Result<Removals> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        socket.bind(&SocketAddr::new(0, libc::RTMGRP_TC.cast_unsigned()))?;
        Ok(Removals { socket, buffer: Vec::with_capacity(DATAGRAM) })
    }

    /// Adds what has been told since; whether there was any.
    fn take(&mut self, removed: &mut Vec<(u32, Qdisc)>) -> bool {
        let before = removed.len();
        for _ in 0..AT_ONCE {
            self.buffer.clear();
            self.buffer.reserve(DATAGRAM);
            match self.socket.recv_from(&mut self.buffer, 0) {
                // Port 0 is the kernel; a process may not be believed.
                Ok((_, sender)) if sender.port_number() == 0 => {}
                Ok(_) => continue,
                // After an overflow too many were lost to be told; what is left is as good as ever.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => continue,
                Err(_) => break,
            }
            let told = messages(&self.buffer).filter(|(header, _)| header.message_type == libc::RTM_DELQDISC);
            removed.extend(told.filter_map(|(_, payload)| parse_qdisc(payload)));
        }
        removed.len() > before
    }
}

impl LossReader {
    /// Of this system, or of a made tree, which has no qdiscs.
    pub fn open(root: &Root) -> LossReader {
        let removals = root.live.then(Removals::open).and_then(Result::ok);
        LossReader { root: root.clone(), route: root.live.then(Route::open).and_then(Result::ok), removals }
    }

    /// Both, now.
    pub fn read(&mut self) -> Losses {
        let softnet = read_text(&self.root.join("proc/net/softnet_stat"));
        let mut removed = Vec::new();
        let mut take = || self.removals.as_mut().is_some_and(|removals| removals.take(&mut removed));
        let mut qdiscs = None;
        for _ in 0..ATTEMPTS {
            // What was removed before a reading is told before it.
            take();
            qdiscs = self.route.as_mut().and_then(read_qdiscs);
            if !take() {
                break;
            }
        }
        Losses { qdiscs, removed, softnet: softnet.as_deref().and_then(parse_softnet) }
    }

    /// Settings of the interface `name`, if that is still the one with this `index`.
    pub fn link_settings(&self, name: &str, index: u32) -> LinkSettings {
        let rings = self.root.live.then(|| ethtool::rings(name).ok()).flatten();
        let queue = sysfs::directory(&self.root, name);
        let own = read_text(&queue.join("ifindex")).and_then(|text| text.parse().ok()) == Some(index);
        let queue = own.then(|| read_text(&queue.join("tx_queue_len"))).flatten();
        LinkSettings {
            rx_ring: rings.map(|rings| rings.rx),
            tx_ring: rings.map(|rings| rings.tx),
            tx_queue: queue.and_then(|text| text.parse().ok()),
        }
    }

    /// Settings of the machine.
    pub fn machine_settings(&self) -> MachineSettings {
        let read = |name: &str| {
            read_text(&self.root.join("proc/sys/net/core").join(name)).and_then(|text| text.parse().ok())
        };
        MachineSettings {
            max_backlog: read("netdev_max_backlog"),
            budget: read("netdev_budget"),
            budget_usecs: read("netdev_budget_usecs"),
        }
    }
}

fn read_qdiscs(route: &mut Route) -> Option<BTreeMap<u32, Vec<Qdisc>>> {
    let mut qdiscs: BTreeMap<u32, Vec<Qdisc>> = BTreeMap::new();
    let question = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
    let answered = route.ask(question, NLM_F_DUMP, |_, payload| {
        if let Some((index, qdisc)) = parse_qdisc(payload) {
            qdiscs.entry(index).or_default().push(qdisc);
        }
    });
    answered.is_ok().then_some(qdiscs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn cpu(number: Option<u32>, dropped: u32, time_squeeze: u32, flow_limit: Option<u32>) -> SoftnetCpu {
        SoftnetCpu { number, dropped, time_squeeze, flow_limit }
    }

    /// What a kernel of that age prints: so many columns.
    fn line(columns: usize, cpu: u32) -> String {
        let all = [0x1b2, 0x11 + cpu, 0x21, 0, 0, 0, 0, 0, 0, 0x31, 0x41 + cpu, 7, cpu, 3, 4];
        let words: Vec<String> = all[..columns].iter().map(|figure| format!("{figure:08x}")).collect();
        words.join(" ") + "\n"
    }

    #[test]
    fn softnet_of_kernels_of_all_ages() {
        for (columns, number, limited) in [
            (9, None, None),
            (10, None, None),
            (11, None, Some(0x42)),
            (13, Some(1), Some(0x42)),
            (15, Some(1), Some(0x42)),
        ] {
            let text = line(columns, 0) + &line(columns, 1);
            let cpus = parse_softnet(&text).expect("lines");
            assert_eq!((cpus.len(), cpus[1]), (2, cpu(number, 0x12, 0x21, limited)), "{columns} columns");
        }
        for wrong in [
            "",
            "\n",
            "00000001 00000002\n",
            "00000001 0000000g 00000003\n",
            "cpu 1 2 3\n",
            "1 2 123456789\n",
        ] {
            assert_eq!(parse_softnet(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn softnet_counters_wrap_round_and_cpus_come_and_go() {
        let then = [cpu(Some(0), u32::MAX - 1, 5, Some(1)), cpu(Some(2), 100, 0, Some(0))];
        // CPU 2 is gone, 1 has come.
        let now = [cpu(Some(0), 8, 6, Some(3)), cpu(Some(1), 7000, 9, Some(9))];
        let grown = SoftnetGrowth::between(&then, &now).expect("they are numbered");
        assert_eq!(grown, SoftnetGrowth { dropped: 10, time_squeeze: 1, flow_limit: Some(2) });
        let old = |dropped| cpu(None, dropped, 0, None);
        assert_eq!(
            SoftnetGrowth::between(&[old(1), old(2)], &[old(4), old(2)]),
            Some(SoftnetGrowth { dropped: 3, time_squeeze: 0, flow_limit: None })
        );
        assert_eq!(SoftnetGrowth::between(&[old(1)], &[old(4), old(2)]), None, "which is which?");
    }

    #[test]
    fn a_made_tree_is_read_and_what_is_not_there_is_none() {
        let tree = tempfile::tempdir().expect("a directory");
        let root = Root::at(tree.path());
        let mut reader = LossReader::open(&root);
        let nothing = reader.read();
        assert!(nothing.qdiscs.is_none() && nothing.softnet.is_none());
        assert_eq!(reader.machine_settings(), MachineSettings::default());
        let core = tree.path().join("proc/sys/net/core");
        fs::create_dir_all(&core).expect("a directory");
        fs::create_dir_all(tree.path().join("proc/net")).expect("a directory");
        fs::create_dir_all(tree.path().join("sys/class/net/eth0")).expect("a directory");
        fs::write(tree.path().join("proc/net/softnet_stat"), line(13, 0)).expect("a file");
        fs::write(core.join("netdev_max_backlog"), "1000\n").expect("a file");
        fs::write(core.join("netdev_budget"), "many\n").expect("a file");
        fs::write(tree.path().join("sys/class/net/eth0/ifindex"), "2\n").expect("a file");
        fs::write(tree.path().join("sys/class/net/eth0/tx_queue_len"), "1000\n").expect("a file");
        assert_eq!(reader.read().softnet, Some(vec![cpu(Some(0), 0x11, 0x21, Some(0x41))]));
        let machine = MachineSettings { max_backlog: Some(1000), ..MachineSettings::default() };
        assert_eq!(reader.machine_settings(), machine);
        assert_eq!(reader.link_settings("eth0", 2).tx_queue, Some(1000));
        assert_eq!(reader.link_settings("eth0", 3).tx_queue, None, "another device of that name");
    }

    fn qdisc(parent: u32, handle: u32, bytes: u64, drops: u32) -> Qdisc {
        Qdisc { parent, handle, kind: "pfifo".into(), bytes, drops, ..Qdisc::default() }
    }

    #[test]
    fn a_qdisc_that_was_made_anew_begins_with_nothing() {
        let drops = |now: &Qdisc, then: &[Qdisc]| now.since(then).drops;
        assert_eq!(drops(&qdisc(ROOT, 1, 900, 70), &[qdisc(ROOT, 1, 800, 50)]), 20);
        assert_eq!(drops(&qdisc(ROOT, 1, 900, 4), &[qdisc(ROOT, 1, 800, u32::MAX)]), 5, "it wraps round");
        assert_eq!(
            drops(&qdisc(ROOT, 1, 700, 70), &[qdisc(ROOT, 1, 800, 50)]),
            70,
            "fewer bytes: another one"
        );
        assert_eq!(drops(&qdisc(ROOT, 1, 900, 3), &[qdisc(ROOT, 1, 800, 50)]), 3, "fewer drops too");
        assert_eq!(drops(&qdisc(ROOT, 2, 900, 70), &[qdisc(ROOT, 1, 800, 50)]), 70, "another number");
        assert_eq!(drops(&qdisc(ROOT, 1, 900, 70), &[]), 70);
    }

    #[test]
    fn which_qdisc_stands_in_which() {
        let [root, inner, ingress] =
            [qdisc(ROOT, 0x1_0000, 0, 0), qdisc(0x1_0002, 0x8_0000, 0, 0), qdisc(INGRESS, 0xffff_0000, 0, 0)];
        assert!(root.holds(&inner) && !inner.holds(&root) && !root.holds(&root) && !root.holds(&ingress));
        // The kernel's own: mq and a queue's, all numbered 0.
        let [root, one, other] = [qdisc(ROOT, 0, 0, 0), qdisc(1, 0, 0, 0), qdisc(2, 0, 0, 0)];
        assert!(root.holds(&one) && root.holds(&other) && !one.holds(&other) && !one.holds(&one));
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len() + 4).expect("a short value");
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// RTM_NEWQDISC of `tc qdisc add dev IF root handle 1: pfifo limit 10`.
    fn message() -> Vec<u8> {
        let mut bytes = vec![0; 4];
        for word in [7, 0x1_0000, ROOT, 2] {
            bytes.extend_from_slice(&u32::to_ne_bytes(word));
        }
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        let basic = [u64::to_ne_bytes(5000).to_vec(), words(&[50, 0])].concat();
        let stats =
            [attribute(1, &basic), attribute(99, &[1]), attribute(3, &words(&[3, 4000, 20, 2, 22]))].concat();
        bytes.extend(attribute(TCA_KIND, b"pfifo\0"));
        bytes.extend(attribute(TCA_OPTIONS, &words(&[10])));
        bytes.extend(attribute(TCA_STATS2 | NESTED, &stats));
        bytes
    }

    #[test]
    fn a_qdisc_by_its_attributes() {
        let expected = Qdisc {
            parent: ROOT,
            handle: 0x1_0000,
            kind: "pfifo".into(),
            limit: Some(10),
            bytes: 5000,
            drops: 20,
            overlimits: 22,
            requeues: 2,
            backlog_packets: 3,
            backlog_bytes: 4000,
        };
        assert_eq!(parse_qdisc(&message()), Some((7, expected)));
        assert_eq!(parse_qdisc(&message()[..19]), None);
        assert_eq!(parse_qdisc(&message()[..40]), None, "without counters");
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
            cut in any::<prop::sample::Index>(),
            text in "[0-9a-fx \\n]{0,200}",
        ) {
            let mut bytes = message();
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            let _ = parse_qdisc(&bytes);
            if let Some(cpus) = parse_softnet(&text) {
                prop_assert_eq!(cpus.len(), text.lines().count());
            }
        }

        /// However often the counters wrapped round, and whatever they began with.
        #[test]
        fn growth_is_what_came(begin in any::<u32>(), steps in prop::collection::vec(0..1_u32 << 30, 1..20)) {
            let mut dropped = begin;
            let mut sum = 0;
            for &step in &steps {
                let [then, now] = [dropped, dropped.wrapping_add(step)];
                let [old, new] = [then, now].map(|dropped| [cpu(Some(0), dropped, dropped, None)]);
                let grown = SoftnetGrowth::between(&old, &new).expect("numbered");
                prop_assert_eq!(grown.time_squeeze, grown.dropped);
                let [old, new] = [then, now].map(|drops| qdisc(ROOT, 1, 0, drops));
                prop_assert_eq!(new.since(&[old]).drops, u64::from(step));
                sum += grown.dropped;
                dropped = now;
            }
            prop_assert_eq!(sum, steps.iter().map(|&step| u64::from(step)).sum::<u64>());
        }
    }
}
