//! An interface's own counters: the second witness of completeness.
//!
//! One RTM_GETSTATS answer is one snapshot of all of them; reading sysfs file
//! by file would let packets pass between two figures. Where netlink does not
//! answer (kernels before 4.7), the files are kept open and read one after the
//! other. What a counter includes is the driver's habit: bytes with or without
//! FCS, super-frames as one packet (veth) or as many (hardware).
//!
//! Not for the packet path: a reading is a system call or a score of them, and
//! may wait for the kernel's RTNL lock, which a driver can hold for seconds.
//! Source: `struct rtnl_link_stats64`, include/uapi/linux/if_link.h.

use super::netlink::Route;
use super::{Link, LinkError, Root, sysfs};
use netlink_packet_core::Parseable;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::Stats64;
use netlink_packet_route::stats::{StatsAttribute, StatsFilterMask, StatsMessage};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A counter's file holds at most 20 digits and a line end.
const FILE_BYTES: usize = 32;

/// The one list of counters: name (the kernel's, in both its interfaces) and meaning.
macro_rules! counters {
    ($($name:ident $meaning:literal,)*) => {
        /// Counters of one interface since it was made. Each only grows, until
        /// the driver is reset.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $(#[doc = $meaning] pub $name: u64,)*
        }

        const FILES: &[&str] = &[$(stringify!($name),)*];

        impl Counters {
            fn from_netlink(stats: &Stats64) -> Counters {
                Counters { $($name: stats.$name,)* }
            }
            /// From figures in the order of [`FILES`].
            fn from_files(mut figures: impl Iterator<Item = u64>) -> Counters {
                Counters { $($name: figures.next().unwrap_or(0),)* }
            }
            /// What was counted since `earlier`; `None` if a counter went
            /// backwards, as it does when a driver is reset.
            pub fn since(&self, earlier: &Counters) -> Option<Counters> {
                Some(Counters { $($name: self.$name.checked_sub(earlier.$name)?,)* })
            }
        }
    };
}

counters! {
    rx_packets "Good packets received.",
    tx_packets "Packets sent.",
    rx_bytes "Bytes of the packets received.",
    tx_bytes "Bytes of the packets sent.",
    rx_errors "Bad packets received.",
    tx_errors "Packets that could not be sent.",
    rx_dropped "Received, but dropped for want of buffers, or by software that had no use for them.",
    tx_dropped "Dropped on the way out.",
    multicast "Multicast packets received.",
    rx_length_errors "Received with an impossible length.",
    rx_over_errors "Ring buffer overflows in the device.",
    rx_crc_errors "Received with a wrong frame check sequence.",
    rx_frame_errors "Received with broken alignment.",
    rx_fifo_errors "Overruns of the device's FIFO.",
    rx_missed_errors "Packets that the device had no room for: lost before any capture.",
    tx_fifo_errors "Underruns of the device's FIFO.",
    tx_carrier_errors "Not sent as the carrier was lost.",
    rx_nohandler "Dropped as nothing upwards wanted them (inactive slaves).",
}

/// Reads one interface's counters again and again.
pub struct CounterReader {
    source: Source,
}

enum Source {
    Netlink { route: Route, index: u32 },
    Files(Vec<File>),
}

impl CounterReader {
    /// Opens the counters of `link`. They stay those of this very device, also
    /// when it is renamed; made anew under the same name it is another one.
    ///
    /// # Errors
    /// [`LinkError::Read`] if neither netlink nor sysfs has them.
    pub fn open(root: &Root, link: &Link) -> Result<CounterReader, LinkError> {
        let wrong = |source| LinkError::Read { what: format!("the counters of {}", link.name), source };
        if root.live {
            let mut route = Route::open().map_err(wrong)?;
            match read_netlink(&mut route, link.index) {
                Ok(_) => return Ok(CounterReader { source: Source::Netlink { route, index: link.index } }),
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Err(wrong(error)),
                // Another namespace's files would be worse than none.
                Err(error) if !sysfs::shows(root, &link.name, link.index, link.mac) => {
                    return Err(wrong(error));
                }
                Err(_) => {}
            }
        }
        let at = sysfs::directory(root, &link.name).join("statistics");
        let files = FILES.iter().map(|file| match File::open(at.join(file)) {
            // Kernels before 4.6 have no rx_nohandler.
            Err(error) if error.kind() == io::ErrorKind::NotFound && *file == "rx_nohandler" => {
                File::open("/dev/null")
            }
            opened => opened,
        });
        let files = files.collect::<io::Result<Vec<File>>>().map_err(wrong)?;
        Ok(CounterReader { source: Source::Files(files) })
    }

    /// The counters now.
    ///
    /// # Errors
    /// ENODEV once the interface is gone; else what the kernel says.
    pub fn read(&mut self) -> io::Result<Counters> {
        match &mut self.source {
            Source::Netlink { route, index } => read_netlink(route, *index),
            Source::Files(files) => {
                let figures: io::Result<Vec<u64>> = files.iter().map(read_figure).collect();
                Ok(Counters::from_files(figures?.into_iter()))
            }
        }
    }

    /// Whether all counters of a reading are of one moment.
    pub fn is_snapshot(&self) -> bool {
        matches!(self.source, Source::Netlink { .. })
    }
}

fn read_netlink(route: &mut Route, index: u32) -> io::Result<Counters> {
    let mut question = StatsMessage::default();
    question.header.ifindex = index;
    question.header.filter_mask = StatsFilterMask::Link64;
    let mut counters = None;
    route.ask(RouteNetlinkMessage::GetStats(question), 0, |_, payload| {
        let Ok(message) = <StatsMessage as Parseable<[u8]>>::parse(payload) else { return };
        for attribute in &message.attributes {
            if let StatsAttribute::Link64(stats) = attribute
                && message.header.ifindex == index
            {
                counters = Some(Counters::from_netlink(stats));
            }
        }
    })?;
    counters.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an answer without counters"))
}

/// The figure in a file; an empty file is 0.
fn read_figure(file: &File) -> io::Result<u64> {
    let mut bytes = [0; FILE_BYTES];
    let length = file.read_at(&mut bytes, 0)?;
    let text = bytes.get(..length).unwrap_or_default().trim_ascii();
    let text = str::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData)?;
    if text.is_empty() { Ok(0) } else { text.parse().map_err(|_| io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use super::super::read_links;
    use super::*;
    use std::fs;

    #[test]
    fn files_are_read_again_through_the_same_handles() {
        let tree = tempfile::tempdir().expect("a directory");
        let at = tree.path().join("sys/class/net/eth0");
        fs::create_dir_all(at.join("statistics")).expect("a directory");
        fs::write(at.join("ifindex"), "2\n").expect("a file");
        for (place, file) in FILES.iter().enumerate().filter(|(_, file)| **file != "rx_nohandler") {
            fs::write(at.join("statistics").join(file), format!("{}\n", 100 + place)).expect("a file");
        }
        let root = Root::at(tree.path());
        let links = read_links(&root).expect("a tree");
        let mut reader = CounterReader::open(&root, &links[0]).expect("counters");
        assert!(!reader.is_snapshot());
        let first = reader.read().expect("counters");
        assert_eq!(
            (first.rx_packets, first.tx_packets, first.rx_bytes, first.tx_bytes),
            (100, 101, 102, 103)
        );
        assert_eq!((first.rx_missed_errors, first.rx_nohandler), (114, 0));
        fs::write(at.join("statistics/rx_packets"), "18446744073709551615\n").expect("a file");
        let second = reader.read().expect("counters");
        assert_eq!(second.since(&first).expect("it grew").rx_packets, u64::MAX - 100);
        assert_eq!(second.since(&first).expect("it grew").tx_bytes, 0);
        assert_eq!(first.since(&second), None);
        fs::write(at.join("statistics/rx_packets"), "many\n").expect("a file");
        assert_eq!(reader.read().map_err(|error| error.kind()), Err(io::ErrorKind::InvalidData));
    }

    #[test]
    fn counters_that_are_not_there_are_a_sentence() {
        let tree = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(tree.path().join("sys/class/net/eth0")).expect("a directory");
        fs::write(tree.path().join("sys/class/net/eth0/ifindex"), "2\n").expect("a file");
        let root = Root::at(tree.path());
        let links = read_links(&root).expect("a tree");
        let error = CounterReader::open(&root, &links[0]).map(|_| ()).expect_err("no files").to_string();
        assert!(error.starts_with("the counters of eth0 could not be read (No such file"), "{error}");
    }
}
