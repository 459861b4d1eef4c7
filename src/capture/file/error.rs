//! What can be wrong with a capture file, and the sentences that say so.
//!
//! Owns the facts (which file, which byte, what was expected) and their
//! wording; does not know how they were found. Every sentence says what is
//! wrong, where, and what can be done.

use std::error::Error;
use std::fmt;
use std::io;

use super::compressed::Compression;

/// The formats that can be read, for sentences.
const UNDERSTOOD: &str = "pcap and pcapng are read, plain or compressed by gzip, zstd or xz";

/// Where in which file a fault lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as the user named it.
    pub name: String,
    /// Byte offset of the record, block or header; in the uncompressed data if `compression` is set.
    pub offset: u64,
    /// Packets that were read before the fault.
    pub packets: u64,
    /// How the file is compressed.
    pub compression: Option<Compression>,
}

/// Why a capture file could not be read, or not to its end.
#[derive(Debug)]
pub enum FileError {
    /// The file cannot be opened.
    Open {
        /// The file as the user named it.
        name: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A `read()` failed.
    Read {
        /// First byte that could not be read.
        place: Place,
        /// The system's answer.
        source: io::Error,
    },
    /// It is something else.
    NotCapture {
        /// The file as the user named it.
        name: String,
        /// What it seems to be, with its article ("a PNG image").
        found: String,
        /// Set where `found` is what lies inside a compressed file.
        compression: Option<Compression>,
    },
    /// A capture of a version that nobody has told us how to read.
    Version {
        /// The header in question.
        place: Place,
        /// "pcap" or "pcapng".
        format: &'static str,
        /// Major version number.
        major: u16,
        /// Minor version number.
        minor: u16,
    },
    /// Compressed by xz, and this program was built without xz.
    NoXz {
        /// The file as the user named it.
        name: String,
    },
    /// The file ends within a record, block or header.
    Cut {
        /// Where that record begins.
        place: Place,
        /// Bytes that it should have (of its header, if that is not whole).
        expected: u64,
        /// Bytes that are there.
        present: u64,
    },
    /// A record, block or header cannot be as it stands.
    Corrupt {
        /// Where that record begins.
        place: Place,
        /// What is impossible about it.
        defect: Defect,
    },
    /// The compressed data are damaged or cut.
    Decompress {
        /// End of what could be decompressed.
        place: Place,
        /// The decompressor's answer.
        source: io::Error,
    },
    /// A packet of an interface for which no number is left.
    TooManyInterfaces {
        /// The packet's record, or the start of the file.
        place: Place,
        /// Most interfaces that one run can have.
        limit: usize,
    },
}

/// What is impossible about a record or block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// A record claims to hold more bytes than any writer captures.
    CapturedLength {
        /// Bytes, as the record says.
        captured: u32,
        /// Most bytes a record can hold.
        limit: u32,
    },
    /// A block's length is below 12, no multiple of 4, or too short for its type.
    BlockLength {
        /// Bytes, as the block says.
        length: u32,
    },
    /// A block is larger than any reader takes.
    BlockTooLarge {
        /// Bytes, as the block says.
        length: u32,
        /// Most bytes of a block that is read.
        limit: u32,
    },
    /// The lengths at a block's two ends differ.
    BlockEnds {
        /// Bytes, as its first length says.
        first: u32,
        /// Bytes, as its last length says.
        last: u32,
    },
    /// A section header's byte-order magic is none.
    ByteOrder {
        /// The four bytes.
        magic: [u8; 4],
    },
    /// A packet on an interface that its section does not describe.
    UnknownInterface {
        /// Number of the interface in its section.
        interface: u32,
        /// How many the section has described.
        described: usize,
    },
    /// A packet is said to be longer than the block around it.
    PacketLength {
        /// Bytes, as the packet says.
        captured: u32,
        /// Bytes that the block has room for.
        room: usize,
    },
    /// A time stamp resolution finer than 64 bits can hold.
    TimeResolution {
        /// The option `if_tsresol`.
        value: u8,
    },
    /// A block that the parser refuses for another reason.
    Block {
        /// Which kind of block.
        kind: &'static str,
    },
    /// A section that describes more interfaces than can be remembered.
    InterfaceDescriptions {
        /// Most that are remembered.
        limit: usize,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte offset {}", self.offset)?;
        if self.compression.is_some() {
            f.write_str(" of the uncompressed data")?;
        }
        Ok(())
    }
}

/// "no packet was", "1 packet was", "2 packets were".
struct Packets(u64);

impl fmt::Display for Packets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("no packet was"),
            1 => f.write_str("1 packet was"),
            count => write!(f, "{count} packets were"),
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Defect::CapturedLength { captured, limit } => {
                write!(
                    f,
                    "corrupt record header, which claims {captured} captured bytes where {limit} are the most"
                )
            }
            Defect::BlockLength { length } => {
                write!(f, "corrupt block, whose length of {length} bytes is impossible")
            }
            Defect::BlockTooLarge { length, limit } => {
                write!(f, "corrupt block, which claims {length} bytes where {limit} are the most")
            }
            Defect::BlockEnds { first, last } => {
                write!(f, "corrupt block, whose length is {first} bytes at its start and {last} at its end")
            }
            Defect::ByteOrder { magic: [a, b, c, d] } => {
                write!(f, "corrupt section header, whose byte-order magic is {a:02x} {b:02x} {c:02x} {d:02x}")
            }
            Defect::UnknownInterface { interface, described } => {
                write!(
                    f,
                    "corrupt packet block, which names interface {interface} where {described} are described"
                )
            }
            Defect::PacketLength { captured, room } => {
                write!(
                    f,
                    "corrupt packet block, which claims {captured} captured bytes and has room for {room}"
                )
            }
            Defect::TimeResolution { value } => {
                write!(
                    f,
                    "interface description whose time stamp resolution (if_tsresol {value}) is impossible"
                )
            }
            Defect::Block { kind } => write!(f, "corrupt {kind} block"),
            Defect::InterfaceDescriptions { limit } => {
                write!(f, "section of more than {limit} interface descriptions")
            }
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::Open { name, source } => {
                let advice = match source.kind() {
                    io::ErrorKind::NotFound => "check its name",
                    io::ErrorKind::PermissionDenied => "check its owner and mode",
                    io::ErrorKind::IsADirectory => "name a file in it",
                    _ => "check the file and the disk it lies on",
                };
                write!(f, "{name}: cannot be opened ({source}); {advice}")
            }
            FileError::Read { place, source } => write!(
                f,
                "{}: reading failed at {place} ({source}), {} read before; check the disk or the program that writes",
                place.name,
                Packets(place.packets)
            ),
            FileError::NotCapture { name, found, compression: None } => {
                write!(f, "{name}: not a capture file but {found}; {UNDERSTOOD}")
            }
            FileError::NotCapture { name, found, compression: Some(compression) } => {
                write!(f, "{name}: {compression} of no capture file but of {found}; {UNDERSTOOD}")
            }
            FileError::Version { place, format, major, minor } => write!(
                f,
                "{}: the header at {place} says {format} {major}.{minor}, a version that is not known, {} read before; \
                 convert the file with editcap",
                place.name,
                Packets(place.packets)
            ),
            FileError::NoXz { name } => write!(
                f,
                "{name}: compressed by xz, which this program was built without; unpack it first \
                 (xz -dc FILE, standard input is -)"
            ),
            FileError::Cut { place, expected, present } => write!(
                f,
                "{}: cut short in the record at {place}, which has {present} of at least {expected} bytes, \
                 {} read before; copy or capture it again if you need the rest",
                place.name,
                Packets(place.packets)
            ),
            FileError::Corrupt { place, defect } => write!(
                f,
                "{}: {defect} at {place}, {} read before; copy or capture it again if you need the rest",
                place.name,
                Packets(place.packets)
            ),
            FileError::Decompress { place, source } => {
                let fault = match source.kind() {
                    io::ErrorKind::UnexpectedEof => "cut short",
                    io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
                        "damaged"
                    }
                    _ => "unreadable",
                };
                let compression = place.compression.map_or("compressed", Compression::name);
                write!(
                    f,
                    "{}: the {compression} data are {fault} after {} uncompressed bytes ({source}), {} read before; \
                     copy or capture it again if you need the rest",
                    place.name,
                    place.offset,
                    Packets(place.packets)
                )
            }
            FileError::TooManyInterfaces { place, limit } => write!(
                f,
                "{}: the packet at {place} is of an interface beyond the {limit} that one run can have, \
                 {} read before; split the capture",
                place.name,
                Packets(place.packets)
            ),
        }
    }
}

impl Error for FileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            FileError::Open { source, .. }
            | FileError::Read { source, .. }
            | FileError::Decompress { source, .. } => Some(source),
            FileError::NotCapture { .. }
            | FileError::Version { .. }
            | FileError::NoXz { .. }
            | FileError::Cut { .. }
            | FileError::Corrupt { .. }
            | FileError::TooManyInterfaces { .. } => None,
        }
    }
}
