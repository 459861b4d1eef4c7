//! Capture files: pcap and pcapng, plain or compressed, from a path or from
//! standard input, as frames.
//!
//! Owns which format a file has, its interfaces, and what ends it. Does not
//! know what is in a frame (beyond a cooked header's packet type), nor what
//! becomes of it. Invariants: a record that is not whole is never delivered;
//! everything before a fault is; after the end or a fault there is nothing
//! more. Nothing is allocated per frame.
//!
//! Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, libpcap's
//! sf-pcap.c and sf-pcapng.c (what tcpdump accepts is accepted), and the
//! registry of link types at tcpdump.org.

mod classic;
mod compressed;
mod error;
mod foreign;
mod pcapng;
mod stream;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use super::{Direction, Frame, LINKS_MAX, LinkId, LinkType};
use classic::{Classic, Header};
pub use compressed::Compression;
pub use error::{Defect, FileError, Place};
use pcapng::Pcapng;
use stream::{Filled, Stream};

/// Bytes that tell every format and every compression apart.
const MAGIC: usize = 4;

/// An interface that a file has frames of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInterface {
    /// The name that the file gives it, or the file's own name.
    pub name: String,
    /// How its frames begin.
    pub link_type: LinkType,
    /// Most bytes that were captured of a frame; 0 is no limit.
    pub snaplen: u32,
    /// Bits per second, where the file tells (pcapng's `if_speed`).
    pub speed: Option<u64>,
}

/// A capture file that is being read.
pub struct FileSource {
    stream: Stream,
    format: Format,
    /// Frames returned.
    packets: u64,
    /// As the user named the file.
    name: String,
    compression: Option<Compression>,
    interfaces: Interfaces,
}

enum Format {
    Classic(Classic),
    Pcapng(Pcapng),
    /// The end, or a fault, has been reported.
    Ended,
}

/// The interfaces of a file, and their names and numbers.
struct Interfaces {
    list: Vec<FileInterface>,
    /// The file's name without its directory, for interfaces that have none.
    file: String,
    first_link: LinkId,
    /// The first interface bears the file's name, and no frame of it has been
    /// returned: it can still be given a number.
    first_unnamed: bool,
}

impl Interfaces {
    /// Takes an interface in and gives it the next link; `None` if there is none left.
    fn add(&mut self, name: Option<String>, make: impl FnOnce(String) -> FileInterface) -> Option<LinkId> {
        let index = self.list.len();
        let link = usize::from(self.first_link).checked_add(index).filter(|link| *link < LINKS_MAX)?;
        let link = LinkId::try_from(link).ok()?;
        if self.first_unnamed
            && let Some(first) = self.list.first_mut()
        {
            first.name.push_str("#0");
            self.first_unnamed = false;
        }
        self.first_unnamed = index == 0 && name.is_none();
        let name = name.unwrap_or_else(|| match index {
            0 => self.file.clone(),
            _ => format!("{}#{index}", self.file),
        });
        self.list.push(make(name));
        Some(link)
    }
}

/// A whole record in the unread bytes: sizes and places, no reference, so
/// that the stream can go on while it is held.
#[derive(Clone, Copy, Debug)]
struct Record {
    /// Length of the record or block.
    total: usize,
    /// Bytes before the frame in it.
    skip: usize,
    /// Bytes of the frame in it.
    captured: usize,
    time_ns: u64,
    len: u32,
    link: LinkId,
    link_type: LinkType,
    direction: Option<Direction>,
}

/// A frame that has not been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peeked {
    /// Nanoseconds since the epoch.
    pub time_ns: u64,
    /// Its interface.
    pub link: LinkId,
    /// Whether its record tells its direction.
    pub directed: bool,
}

/// What the unread bytes begin with.
enum Step {
    /// A whole frame.
    Frame(Record),
    /// A record of which at least so many bytes have to be there.
    Need(usize),
    /// A block of so many bytes that is no frame.
    Skip(usize),
    /// Nothing that could go on.
    Fault(Defect),
    /// A section of a version that is not known.
    Version(u16, u16),
    /// A frame of an interface that has no number.
    NoLink,
}

impl FileSource {
    /// Opens a capture file; `-` is standard input. `first_link` is the
    /// number of its first interface. Reads as far as it takes to know the
    /// format (a pipe may have to be waited for).
    ///
    /// # Errors
    /// Where it cannot be opened, is no capture, or ends within its header.
    pub fn open(path: &Path, first_link: LinkId) -> Result<FileSource, FileError> {
        if path == Path::new("-") {
            // Not through io::Stdin, which has a buffer and a lock of its own.
            let input = io::stdin().as_fd().try_clone_to_owned().map(File::from);
            let name = "standard input";
            let input = input.map_err(|source| FileError::Open { name: String::from(name), source })?;
            return FileSource::start(Box::new(input), name, "-", first_link);
        }
        let name = path.to_string_lossy();
        let opened = File::open(path).and_then(|file| match file.metadata()?.is_dir() {
            true => Err(io::ErrorKind::IsADirectory.into()),
            false => Ok(file),
        });
        let file = opened.map_err(|source| FileError::Open { name: name.clone().into_owned(), source })?;
        FileSource::start(Box::new(file), &name, base_name(&name), first_link)
    }

    /// The same for bytes from anywhere; `name` stands for the file's name.
    ///
    /// # Errors
    /// As [`FileSource::open`].
    pub fn from_reader(
        reader: Box<dyn Read + Send>,
        name: String,
        first_link: LinkId,
    ) -> Result<FileSource, FileError> {
        FileSource::start(reader, &name, base_name(&name), first_link)
    }

    /// The same, with a name for interfaces that have none in the file.
    ///
    /// # Errors
    /// As [`FileSource::open`].
    pub fn labelled(
        reader: Box<dyn Read + Send>,
        name: &str,
        label: &str,
        first_link: LinkId,
    ) -> Result<FileSource, FileError> {
        FileSource::start(reader, name, label, first_link)
    }

    /// The interfaces known so far; the link of the first is `first_link`,
    /// that of the next one more, and so on. Grows while a pcapng file is
    /// read; names stand when the first frame has been returned. Interfaces
    /// for which no link is left ([`LINKS_MAX`]) are not among them.
    pub fn interfaces(&self) -> &[FileInterface] {
        &self.interfaces.list
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// At the fault that ends the file; all frames before it have been
    /// returned. From then on, as after the end, there is `None` for ever.
    #[inline(always)]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FileError> {
        let whole = match &self.format {
            Format::Classic(classic) => match classic.step(self.stream.unread()) {
                Step::Frame(record) => Some(record),
                Step::Need(_) | Step::Skip(_) | Step::Fault(_) | Step::Version(..) | Step::NoLink => None,
            },
            Format::Pcapng(_) | Format::Ended => None,
        };
        let record = match whole {
            Some(record) => record,
            None => match self.next_record()? {
                Some(record) => record,
                None => return Ok(None),
            },
        };
        self.packets += 1;
        Ok(Some(Frame {
            data: self.stream.take(record.total, record.skip, record.captured),
            time_ns: record.time_ns,
            len: record.len,
            link: record.link,
            link_type: record.link_type,
            direction: record.direction,
            stripped_tag: None,
            gso_size: 0,
        }))
    }

    /// The frame that [`FileSource::next_frame`] would return, in short; it is
    /// not taken, so that several files can be merged by time.
    ///
    /// # Errors
    /// As [`FileSource::next_frame`], and in its place.
    pub fn peek(&mut self) -> Result<Option<Peeked>, FileError> {
        let peeked = |record: Record| Peeked {
            time_ns: record.time_ns,
            link: record.link,
            directed: record.direction.is_some(),
        };
        Ok(self.next_record()?.map(peeked))
    }

    /// Whether all frames are of the one interface that is known from the start.
    #[inline]
    pub fn has_one_interface(&self) -> bool {
        matches!(self.format, Format::Classic(_))
    }

    /// The next record by way of reading, of blocks that are no frames, and
    /// of faults.
    #[cold]
    #[inline(never)]
    fn next_record(&mut self) -> Result<Option<Record>, FileError> {
        let outcome = self.walk();
        if !matches!(outcome, Ok(Some(_))) {
            self.format = Format::Ended;
        }
        outcome
    }

    fn walk(&mut self) -> Result<Option<Record>, FileError> {
        loop {
            let step = match &mut self.format {
                Format::Classic(classic) => classic.step(self.stream.unread()),
                Format::Pcapng(pcapng) => pcapng.step(self.stream.unread(), &mut self.interfaces),
                Format::Ended => return Ok(None),
            };
            match step {
                Step::Frame(record) => {
                    self.interfaces.first_unnamed = false;
                    return Ok(Some(record));
                }
                Step::Skip(total) => {
                    self.stream.take(total, 0, 0);
                }
                Step::Fault(defect) => return Err(FileError::Corrupt { place: self.place(), defect }),
                Step::Version(major, minor) => {
                    return Err(FileError::Version { place: self.place(), format: "pcapng", major, minor });
                }
                Step::NoLink => {
                    return Err(FileError::TooManyInterfaces { place: self.place(), limit: LINKS_MAX });
                }
                Step::Need(wanted) => match self.stream.fill(wanted) {
                    Ok(Filled::More) => {}
                    Ok(Filled::End) if self.stream.unread().is_empty() => return Ok(None),
                    Ok(Filled::End) => return Err(self.cut(wanted)),
                    Err(source) => return Err(self.unreadable(source)),
                },
            }
        }
    }

    /// Finds out the format and reads the header.
    fn start(
        source: Box<dyn Read + Send>,
        name: &str,
        interface: &str,
        link: LinkId,
    ) -> Result<FileSource, FileError> {
        let interfaces = Interfaces {
            list: Vec::new(),
            file: interface.to_owned(),
            first_link: link,
            first_unnamed: false,
        };
        let mut file = FileSource {
            stream: Stream::new(source),
            format: Format::Ended,
            packets: 0,
            name: name.to_owned(),
            compression: None,
            interfaces,
        };
        if usize::from(link) >= LINKS_MAX {
            return Err(FileError::TooManyInterfaces { place: file.place(), limit: LINKS_MAX });
        }
        let mut magic = file.magic()?;
        if let Some(compression) = magic.and_then(Compression::of) {
            file.compression = Some(compression);
            let Some(unpacked) = compression.unpack(file.stream.into_source()) else {
                return Err(FileError::NoXz { name: file.name });
            };
            file.stream = Stream::new(unpacked);
            magic = file.magic()?;
        }
        match magic {
            Some(magic) if classic::is_magic(magic) => file.start_classic(link)?,
            Some(magic) if pcapng::is_magic(magic) => file.format = Format::Pcapng(Pcapng::new()),
            _ => return Err(file.not_capture()),
        }
        Ok(file)
    }

    /// The first bytes, if there are so many.
    fn magic(&mut self) -> Result<Option<[u8; MAGIC]>, FileError> {
        self.read_to(MAGIC)?;
        Ok(self.stream.unread().first_chunk().copied())
    }

    fn start_classic(&mut self, link: LinkId) -> Result<(), FileError> {
        self.read_to(classic::HEADER)?;
        let Some(header) = self.stream.unread().first_chunk() else { return Err(self.cut(classic::HEADER)) };
        let classic = match Classic::from_header(header, link) {
            Header::Known(classic) => classic,
            Header::Version(major, minor) => {
                return Err(FileError::Version { place: self.place(), format: "pcap", major, minor });
            }
            Header::Foreign => return Err(self.not_capture()),
        };
        self.stream.take(classic::HEADER, 0, 0);
        self.interfaces.add(None, |name| FileInterface {
            name,
            link_type: classic.link_type,
            snaplen: classic.snaplen,
            speed: None,
        });
        self.format = Format::Classic(classic);
        Ok(())
    }

    fn read_to(&mut self, wanted: usize) -> Result<(), FileError> {
        self.stream.fill_to(wanted).map_err(|source| self.unreadable(source))
    }

    fn place(&self) -> Place {
        Place {
            name: self.name.clone(),
            offset: self.stream.offset(),
            packets: self.packets,
            compression: self.compression,
        }
    }

    fn cut(&self, expected: usize) -> FileError {
        let present = self.stream.unread().len() as u64;
        FileError::Cut { place: self.place(), expected: expected as u64, present }
    }

    fn unreadable(&self, source: io::Error) -> FileError {
        let mut place = self.place();
        place.offset = place.offset.saturating_add(self.stream.unread().len() as u64);
        match self.compression {
            Some(_) => FileError::Decompress { place, source },
            None => FileError::Read { place, source },
        }
    }

    fn not_capture(&self) -> FileError {
        FileError::NotCapture {
            name: self.name.clone(),
            found: foreign::describe(self.stream.unread()),
            compression: self.compression,
        }
    }
}

/// A path's last part.
fn base_name(name: &str) -> &str {
    Path::new(name).file_name().and_then(|last| last.to_str()).unwrap_or(name)
}

/// The registry's number (pcap's and pcapng's) as a link type.
fn link_type(number: u16) -> LinkType {
    match number {
        0 => LinkType::Null,
        1 => LinkType::Ethernet,
        12 | 14 | 101 | 228 | 229 => LinkType::RawIp,
        108 => LinkType::Loop,
        113 => LinkType::LinuxSll,
        276 => LinkType::LinuxSll2,
        other => LinkType::Other(other),
    }
}

/// The direction that a cooked header tells by its packet type: 4 is
/// PACKET_OUTGOING of linux/if_packet.h, all others came in. `None` where the
/// header does not reach so far, or the link type has none.
fn cooked_direction(link_type: LinkType, data: &[u8]) -> Option<Direction> {
    let packet_type = match link_type {
        LinkType::LinuxSll => u16::from_be_bytes(*data.first_chunk()?),
        LinkType::LinuxSll2 => u16::from(*data.get(10)?),
        LinkType::Ethernet | LinkType::RawIp | LinkType::Null | LinkType::Loop | LinkType::Other(_) => {
            return None;
        }
    };
    Some(if packet_type == 4 { Direction::Tx } else { Direction::Rx })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: Vec<u8>) -> Result<FileSource, FileError> {
        FileSource::from_reader(Box::new(io::Cursor::new(bytes)), String::from("dir/a.pcap"), 5)
    }

    /// A little-endian file header of a link type, and one record of 16 bytes cut to `data`.
    fn one_record(link_type: u8, data: &[u8]) -> Vec<u8> {
        let mut bytes =
            vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, link_type, 0, 0, 0];
        bytes.extend_from_slice(&[7, 0, 0, 0, 9, 0, 0, 0, data.len() as u8, 0, 0, 0, 16, 0, 0, 0]);
        bytes.extend_from_slice(data);
        bytes
    }

    #[test]
    fn a_record_becomes_a_frame() {
        let mut file = read(one_record(1, b"abc")).expect("a capture");
        let interface = file.interfaces().first().expect("an interface").clone();
        assert_eq!((interface.name.as_str(), interface.link_type), ("a.pcap", LinkType::Ethernet));
        let frame = file.next_frame().expect("no fault").expect("a frame");
        assert_eq!((frame.data, frame.len, frame.time_ns), (b"abc".as_slice(), 16, 7_000_009_000));
        assert_eq!((frame.link, frame.link_type, frame.direction), (5, LinkType::Ethernet, None));
        assert!(file.next_frame().expect("no fault").is_none());
        assert!(file.next_frame().expect("no fault").is_none());
    }

    #[test]
    fn a_cooked_header_tells_the_direction() {
        for (packet_type, direction) in [(0, Direction::Rx), (3, Direction::Rx), (4, Direction::Tx)] {
            let mut file = read(one_record(113, &[0, packet_type, 0, 1])).expect("a capture");
            let frame = file.next_frame().expect("no fault").expect("a frame");
            assert_eq!(frame.direction, Some(direction));
        }
        let mut file = read(one_record(113, &[0])).expect("a capture");
        assert_eq!(file.next_frame().expect("no fault").expect("a frame").direction, None);
        assert_eq!(
            cooked_direction(LinkType::LinuxSll2, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4]),
            Some(Direction::Tx)
        );
    }

    #[test]
    fn a_cut_record_is_told_and_not_delivered() {
        let mut bytes = one_record(1, b"abc");
        bytes.extend_from_slice(&one_record(1, b"abcd")[24..43]);
        let mut file = read(bytes).expect("a capture");
        assert!(file.next_frame().expect("no fault").is_some());
        let sentence = file.next_frame().expect_err("cut").to_string();
        assert_eq!(
            sentence,
            "dir/a.pcap: cut short in the record at byte offset 43, which has 19 of at least 20 bytes, \
             1 packet was read before; copy or capture it again if you need the rest"
        );
        assert!(file.next_frame().expect("ended").is_none());
    }
}
