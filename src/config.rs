//! What a run has been told to do: plain, checked data.
//!
//! A `Config` comes out of `cli::parse` and every other room reads it; nobody
//! changes it afterwards. It knows nothing of the machine: whether an
//! interface exists, a filter compiles or a file can be opened is found out
//! where that is done. Invariants: times are nanoseconds and in the range their
//! field states, networks have no bit set behind their prefix, no interface
//! and no standard input is named twice.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

/// Snapshot length in bytes unless asked otherwise: Ethernet, two VLAN tags and
/// the longest IPv4 and TCP headers are 14 + 8 + 60 + 60 = 142.
pub const DEFAULT_SNAPLEN: u32 = 160;
/// Flows kept at once by all workers together, unless asked otherwise.
pub const DEFAULT_MAX_FLOWS: usize = 2_000_000;
/// Rows in a table unless asked otherwise.
pub const DEFAULT_TOP: usize = 20;
/// How long closed connections stay on the screen unless asked otherwise.
pub const DEFAULT_LINGER_NS: u64 = 2 * SECOND_NS;
/// Nanoseconds in a second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// Everything the user decided, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where frames come from.
    pub input: Input,
    /// tcpdump expression, not yet compiled; `None` counts everything.
    pub filter: Option<String>,
    /// Whether live interfaces are put into promiscuous mode.
    pub promiscuous: bool,
    /// Interface and its speed in bits per second, at least 1, where the
    /// user's word goes before the kernel's. The last entry of a name counts.
    pub link_speeds: Vec<(String, u64)>,
    /// Networks that are "here", as address and prefix length.
    pub local_networks: Vec<(IpAddr, u8)>,
    /// Worker threads, 1 to 256; `None` leaves it to the machine.
    pub workers: Option<usize>,
    /// CPUs that workers are pinned to, ascending; empty leaves it to the machine.
    pub cpus: Vec<usize>,
    /// Memory of all rings together in MiB, at least 1; `None` leaves it to the machine.
    pub ring_mib: Option<u64>,
    /// Bytes kept of each live frame, 64 to 262,144.
    pub snaplen: u32,
    /// Flows kept at once by all workers together, at least 1.
    pub max_flows: usize,
    /// What is printed on standard output. `Json` with a `log_file` prints
    /// nothing there: the lines go to the file.
    pub output: OutputMode,
    /// Nobody asked for a form: a terminal has the screen instead.
    pub output_is_open: bool,
    /// Time between two reports in nanoseconds, 0.1 s to a day.
    pub interval_ns: u64,
    /// Pace of a file in thousandths of its own, 10 to 1,000,000; None is as fast as it goes.
    pub replay_thousandths: Option<u32>,
    /// The screen's rates are those of the last second; the interval is a tenth of it.
    pub fast: bool,
    /// Time after which the run stops by itself, in nanoseconds, above 0.
    pub duration_ns: Option<u64>,
    /// Packets after which the run stops by itself, at least 1.
    pub count: Option<u64>,
    /// Rows that a table and a JSON `top` list carry; 0 is no rows.
    pub top: usize,
    /// What a row stands for.
    pub by: By,
    /// Servers that rows by destination are of, each at one port or at all; empty is every one.
    pub allow: Vec<(IpAddr, Option<u16>)>,
    /// What rows are ordered by, largest first.
    pub sort: Sort,
    /// Whether each connection that ended has a line of its own.
    pub connections: bool,
    /// With `connections`: long ones report this often, in nanoseconds, above 0.
    pub active_timeout_ns: Option<u64>,
    /// File for JSON lines, beside `OutputMode::Text` or in place of standard output.
    pub log_file: Option<PathBuf>,
    /// Names of addresses are looked up for the screen and for text, live (`-n`: they are not).
    pub host_names: bool,
    /// File of names for addresses, as hosts(5) has it.
    pub names: Option<PathBuf>,
    /// Figures that stand out.
    pub highlights: Vec<Highlight>,
    /// Nothing but plain text, on a terminal too.
    pub no_color: bool,
    /// Where the final report goes.
    pub report: Option<Report>,
    /// Unit of rates and sizes in text.
    pub unit: Unit,
    /// Bars on the screen.
    pub bars: Bars,
    /// Ports are shown among hosts on the screen, as it begins.
    pub ports: bool,
    /// They are shown as names of services.
    pub services: bool,
    /// Lists leave out connections whose start was not seen; totals have them.
    pub new_only: bool,
    /// How long closed connections stay on the screen of a live run, in nanoseconds.
    pub linger_ns: u64,
    /// How long a handshake may take before it has failed, in nanoseconds, above 0.
    pub handshake_timeout_ns: u64,
    /// ICMP errors end attempts to connect (`--no-icmp`: they do not).
    pub icmp: bool,
    /// Whether each handshake that ended has a line of its own.
    pub sessions: bool,
    /// What handshakes are counted by.
    pub watches: Watches,
    /// UNIX socket that queries are answered on.
    pub socket: Option<Socket>,
    /// What a burst is.
    pub bursts: Bursts,
    /// File that names networks and ports.
    pub classes: Option<PathBuf>,
    /// One paragraph at the end on what filled a link, in place of text.
    pub why: bool,
    /// Interfaces and traffic are made for the occasion; `input` says nothing.
    pub demo: bool,
    /// `link_speeds` are a configuration file's: of interfaces that need not be watched.
    pub speeds_of_file: bool,
    /// How a screen begins beside what the other fields say, which these go before; a
    /// later one goes before an earlier one of its kind.
    pub begins: Vec<Begin>,
    /// Keys that are pressed on it then, as typed.
    pub keys: String,
    /// What a reader is told before the first figure.
    pub notes: Vec<String>,
}

/// A view of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// tcptrack's list.
    Connections,
    /// iftop's pairs.
    Hosts,
    /// trtop's table.
    Destinations,
    /// tcpeek's summary.
    Handshakes,
    /// Links side by side.
    Links,
    /// Bursts.
    Bursts,
}

impl Kind {
    /// All of them, in the order of Tab and of the function keys.
    pub const ALL: [Kind; 6] =
        [Kind::Connections, Kind::Hosts, Kind::Destinations, Kind::Handshakes, Kind::Links, Kind::Bursts];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Connections => "Connections",
            Kind::Hosts => "Hosts",
            Kind::Destinations => "Destinations",
            Kind::Handshakes => "Handshakes",
            Kind::Links => "Links",
            Kind::Bursts => "Bursts",
        }
    }
}

/// Lines a pair in the view of hosts (iftop's `t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineMode {
    /// One for each way.
    Two,
    /// Both ways summed.
    One,
    /// `=>` only.
    Sent,
    /// `<=` only.
    Received,
}

/// What rows are ordered by among hosts on the screen, the largest first or by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOrder {
    /// Bits in the last interval.
    Rate,
    /// The average over 2 s.
    Average2s,
    /// The average over 10 s.
    Average10s,
    /// The average over 40 s.
    Average40s,
    /// The first end.
    Name,
    /// The second end.
    Destination,
}

/// A state of the screen as it begins. Said twice it is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// This view.
    View(Kind),
    /// Names in place of addresses.
    Names(bool),
    /// Sums since the start, among hosts.
    Sums(bool),
    /// Bars.
    Bars(bool),
    /// Bars by logarithm.
    LogScale(bool),
    /// Unit of rates and sizes.
    Unit(Unit),
    /// Ports of the first side, among hosts.
    FirstPorts(bool),
    /// Ports of the second side, among hosts.
    SecondPorts(bool),
    /// Lines a pair, among hosts.
    Lines(LineMode),
    /// The order among hosts.
    Order(RowOrder),
    /// One side is summed over, among hosts.
    Summed {
        /// The second one: destinations, not sources.
        second: bool,
    },
    /// A filter of rows, as it would be typed.
    Filter(String),
}

impl Config {
    /// The view that a screen begins with.
    pub fn first_view(&self) -> Kind {
        let mut last_first = self.begins.iter().rev().filter_map(|begin| match begin {
            Begin::View(kind) => Some(*kind),
            _ => None,
        });
        last_first.next().unwrap_or(Kind::Connections)
    }
}

/// A file of settings that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// The one of this name.
    Named(&'a Path),
    /// The user's, if there is one.
    Users,
    /// The system's, if there is one.
    Systems,
    /// iftop's, if there is one.
    Iftops,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Its name, for sentences.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
}

/// When a direction of a link is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bursts {
    /// What a millisecond has to have for a burst to begin.
    pub threshold: BurstThreshold,
    /// Shorter ones do not count, milliseconds, at least 1.
    pub least_ms: u64,
    /// Milliseconds in a row below 7/8 of the threshold that end one, at least 1.
    pub gap_ms: u64,
}

impl Bursts {
    /// A burst is a share of its link's speed: without one there is none.
    pub fn by_share(&self) -> bool {
        matches!(self.threshold, BurstThreshold::Thousandths(_))
    }
}

impl Default for Bursts {
    fn default() -> Bursts {
        Bursts { threshold: BurstThreshold::Thousandths(800), least_ms: 1, gap_ms: 3 }
    }
}

/// See [`Bursts::threshold`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BurstThreshold {
    /// Of the link's speed, 1 to 1000.
    Thousandths(u32),
    /// Bits per second on the line, at least 1.
    Rate(u64),
}

/// Bars on the screen, as they are at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bars {
    /// There are any.
    pub shown: bool,
    /// Rate of a full one, bits per second, at least 1; `None` is the largest shown.
    pub full: Option<u64>,
}

impl Default for Bars {
    fn default() -> Bars {
        Bars { shown: true, full: None }
    }
}

/// The final report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its file.
    pub path: PathBuf,
    /// Its form, by the file's name.
    pub mode: OutputMode,
}

/// From which value on a column's figures stand out; which columns there are and
/// which values they have is the outputs' to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Highlight {
    /// Name or heading of the column, as typed.
    pub column: String,
    /// Below the value, not from it on.
    pub below: bool,
    /// The value, as typed.
    pub value: String,
}

/// Whose screen `fullcount attach` shows, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attach {
    /// Where it answers; None is the default place.
    pub socket: Option<PathBuf>,
    /// No colours.
    pub no_color: bool,
}

/// A UNIX socket that is answered on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Where.
    pub path: PathBuf,
    /// Permission bits of its file.
    pub mode: u32,
    /// Whose its file is.
    pub owner: Owner,
}

/// Whose a file is: names or numbers; None is whose the run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: Option<String>,
    /// The group.
    pub group: Option<String>,
}

/// `fullcount stat`: what to ask a running fullcount, and how to show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Where it is asked; `None` where it is by default.
    pub socket: Option<PathBuf>,
    /// What happened since the reader of this name (empty: none) asked last;
    /// `None` since the start.
    pub refresh: Option<String>,
    /// How the answer is shown.
    pub show: StatShow,
}

/// How `fullcount stat` shows an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatShow {
    /// tcpeekstat's table.
    #[default]
    Text,
    /// As it was answered.
    Json,
    /// Told to Ganglia by the program gmetric.
    Gmetric,
}

/// Most watches of a run: a session says in a word of as many bits which it belongs to.
pub const WATCHES_MAX: usize = 64;

/// tcpeek's filters of handshakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watches {
    /// At most [`WATCHES_MAX`], no name twice, in the order of outputs.
    pub named: Vec<Watch>,
    /// What belongs to one of these belongs to no watch.
    pub excluded: Vec<WatchTerm>,
}

impl Default for Watches {
    /// tcpeek's own two: all that is answered here, all that is asked from here.
    fn default() -> Watches {
        let watch = |name: &str, side| Watch {
            name: name.to_owned(),
            terms: vec![WatchTerm { side, network: None, ports: Vec::new() }],
        };
        Watches { named: vec![watch("RX", WatchSide::Rx), watch("TX", WatchSide::Tx)], excluded: Vec::new() }
    }
}

/// A name for some handshakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Its name, not empty.
    pub name: String,
    /// It has what fits one of them.
    pub terms: Vec<WatchTerm>,
}

/// Which handshakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchTerm {
    /// Which end is here.
    pub side: WatchSide,
    /// Where the other end is; `None` is anywhere.
    pub network: Option<(IpAddr, u8)>,
    /// The server's ports, ascending; none are all.
    pub ports: Vec<u16>,
}

/// Which end of a handshake is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchSide {
    /// The server.
    Rx,
    /// The client.
    Tx,
}

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Interfaces of this machine.
    Live {
        /// Names in the order given; `eth0+eth1` is one link group; empty is the default set.
        interfaces: Vec<String>,
    },
    /// Capture files.
    Files {
        /// Files in the order given, those of one link group together; `-` is standard input.
        groups: Vec<Vec<PathBuf>>,
    },
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputMode {
    /// A screen on the terminal, with keys.
    Tui,
    /// A table at every interval.
    Text,
    /// One JSON object a line.
    Json,
}

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Protocol, two addresses and two ports.
    Connection,
    /// Two addresses.
    Pair,
    /// One address, whichever end it is.
    Host,
    /// The address of the server.
    Destination,
    /// Protocol and server port.
    Port,
    /// A class that `--classes` names.
    Class,
    /// A network interface.
    Interface,
}

/// What rows are ordered by, largest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Bits in the last interval.
    Rate,
    /// Bytes since the start.
    Bytes,
    /// Packets since the start.
    Packets,
    /// No order asked for.
    None,
}

/// Unit of rates and sizes in text; JSON names its units in the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bits and bits per second.
    Bits,
    /// Bytes and bytes per second.
    Bytes,
}
