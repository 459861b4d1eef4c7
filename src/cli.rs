//! The command line: what the user typed, and the way from there to a `Config`.
//!
//! `Arguments` is the one definition of every option: parser, help and error
//! sentences read it. An option stands here when it works, not before; habits
//! from other programs and options of later versions are answered in `habits`
//! before clap sees them. This room makes no system call (whether a file
//! exists is asked through a closure) and never ends the process: what is to
//! be printed and with which exit code is the caller's. Invariant: every
//! answer to wrong usage is one sentence.
//! Sources: tcpdump(1), iftop(8), tcptrack(1), tcpeek's README for the habits.

mod attach;
mod begins;
mod error;
mod habits;
mod help;
mod iftoprc;
mod later;
mod resolve;
mod settings;
mod stat;
mod values;
mod watch;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser};

use crate::config::{Attach, By, Config, OutputMode, Sort, Stat};
pub use error::UsageError;
pub use settings::Reader;
use settings::Setting;

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// To run.
    Run(Box<Config>),
    /// To ask another one that runs.
    Stat(Stat),
    /// To look on at another one's screen.
    Attach(Attach),
    /// To print this text (help or version) on standard output and exit 0.
    Print(String),
}

/// Counts every byte of busy, bonded links, and proves that it did.
///
/// Live interfaces or capture files go in, a table or JSON lines come out. The
/// words at the end are a filter as tcpdump takes it and need no quotes.
#[derive(Clone, Debug, Parser)]
#[command(name = "fullcount", version, args_override_self = true, max_term_width = 80)]
#[command(override_usage = "fullcount [OPTIONS] [FILTER EXPRESSION…]")]
#[command(after_help = "\
Commands:
  fullcount stat [OPTIONS]    asks one that runs with --socket
  fullcount why [OPTIONS]     one paragraph on what filled a link, after 30 s or of a file
  fullcount attach [OPTIONS]  the screen of one that runs with --socket
  fullcount demo [OPTIONS]    shows all of this on a pretended bond with traffic, no root needed
  Each has a help of its own: fullcount why --help

Examples:
  fullcount                                  every physical interface that is up
  fullcount -i eth0,eth1 src or dst 192.0.2.9
  fullcount -r a.pcap+b.pcap --by pair --sort bytes
  fullcount -i bond0 -o json --connections --log-file /var/log/fullcount.json

Signals: INT and TERM end a run with its summary, a second one half a second later at once;
USR1 prints one and goes on; HUP opens the log file again, or ends the run where there is none.")]
pub(crate) struct Arguments {
    /// Interface to watch; repeatable, comma list
    ///
    /// A bond stands for its slaves; eth0+eth1 makes one link group by hand.
    /// Default: every physical interface that is up (slaves of bonds
    /// included), else every one but lo.
    #[arg(short, long, value_name = "IF", value_delimiter = ',', help_heading = "Input")]
    interface: Vec<String>,

    /// Capture file to read instead; repeatable, FILE+FILE is one link group
    ///
    /// pcap or pcapng, plain, .gz, .zst or .xz; - is standard input. A file whose very name has the +
    /// comes first. Options for live capture do nothing here. (-T is the same.)
    #[arg(short, long, short_alias = 'T', value_name = "FILE", help_heading = "Input")]
    read: Vec<PathBuf>,

    /// Filter expression, the same as the words at the end
    ///
    /// Both together are one expression, joined by a space. Default: none,
    /// every frame counts.
    #[arg(short, long = "filter", value_name = "CODE", help_heading = "Input")]
    filter_code: Vec<String>,

    /// Leave interfaces out of promiscuous mode
    ///
    /// Default: promiscuous.
    #[arg(short = 'p', long, help_heading = "Input")]
    no_promisc: bool,

    /// Speed of an interface, such as eth0=2.5G; repeatable
    ///
    /// Bits per second, alone or with K, M, G or T (powers of 1000). Goes
    /// before what the kernel says. Default: the kernel's figure.
    #[arg(long, value_name = "IF=RATE", help_heading = "Input")]
    link_speed: Vec<String>,

    /// Local network, for direction, such as 10.0.0.0/8; repeatable
    ///
    /// IPv4 or IPv6, with a prefix length or a mask (10.0.0.0/255.0.0.0).
    #[arg(short = 'F', visible_short_alias = 'G', value_name = "NET/MASK", help_heading = "Input")]
    local_network: Vec<String>,

    /// Worker threads, 1 to 256
    ///
    /// Default: the number of cores less one, at most 4.
    #[arg(long, value_name = "N", help_heading = "Input")]
    workers: Option<String>,

    /// CPUs to pin workers to, such as 2,4-6
    ///
    /// Default: chosen from those the process may run on.
    #[arg(long, value_name = "LIST", help_heading = "Input")]
    cpus: Option<String>,

    /// Memory of all rings together, in MiB
    ///
    /// Default: a second at each link's speed, at most 1/16 of memory.
    #[arg(long, value_name = "N", help_heading = "Input")]
    ring_mib: Option<String>,

    /// Bytes kept of each live frame, 64 to 262144 [default: 160]
    ///
    /// Only the headers are looked at; every byte counts whatever is kept.
    #[arg(long, value_name = "N", help_heading = "Input")]
    snaplen: Option<String>,

    /// Flows kept at once, over all workers [default: 2000000]
    #[arg(long, value_name = "N", help_heading = "Input")]
    max_flows: Option<String>,

    /// Form of the output, of its own accord tui on a terminal, else text
    ///
    /// Files are text of their own accord; -o tui shows how one ended. With
    /// --log-file it is json, and the lines go to that file. On the screen ? tells
    /// the keys.
    #[arg(short, long, value_name = "MODE", help_heading = "Output")]
    output: Option<OutputMode>,

    /// The same as -o text
    #[arg(short = 't', help_heading = "Output")]
    text: bool,

    /// Time between two reports in seconds, from 0.1 [default: 1]
    #[arg(long, value_name = "SECS", help_heading = "Output")]
    interval: Option<String>,

    /// A file at its own pace: 1 as fast as it was, 10 ten times that; as fast as it goes without it
    ///
    /// On a terminal it is shown on the screen, as it would have been live; SPEED is
    /// 0.01 to 1000. What was silent for longer than a minute is passed over.
    #[arg(long, value_name = "SPEED", help_heading = "Output")]
    replay: Option<String>,

    /// The screen ten times a second, with rates over the last second (live)
    ///
    /// Text and JSON have no such rates: --interval 0.1 gives ten reports a second.
    #[arg(long, help_heading = "Output")]
    fast: bool,

    /// Stop after this many seconds [default: off]
    #[arg(long, value_name = "SECS", help_heading = "Output")]
    duration: Option<String>,

    /// Stop after this many packets [default: off]
    ///
    /// Live up to a tenth of a second later, and what came until then counts too.
    #[arg(long, value_name = "PACKETS", help_heading = "Output")]
    count: Option<String>,

    /// Rows that a table and a JSON "top" list carry [default: 20]
    #[arg(long, value_name = "N", help_heading = "Output")]
    top: Option<String>,

    /// What a row stands for [default: connection]
    #[arg(long, value_name = "WHAT", help_heading = "Output")]
    by: Option<By>,

    /// Names for networks and ports, for --by class and in bursts
    ///
    /// One class a line: its name, then networks (192.0.2.0/24), ports of the server
    /// (:443, :6800-7300/tcp) or both (192.0.2.0/24:443, IPv6 in brackets), apart by
    /// blanks; # begins a comment. The first line that fits a connection has it.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    classes: Option<PathBuf>,

    /// With --by destination: no other servers are shown; repeatable
    ///
    /// An address, or address:port (IPv6 in brackets). Interfaces have their whole
    /// totals all the same.
    #[arg(long, value_name = "HOST[:PORT]", help_heading = "Output")]
    allow: Vec<String>,

    /// What rows are ordered by, largest first [default: rate]
    #[arg(long, value_name = "WHAT", help_heading = "Output")]
    sort: Option<Sort>,

    /// JSON: a line for each connection that ended
    #[arg(long, help_heading = "Output")]
    connections: bool,

    /// A line for each handshake that ended; beside text on standard error
    #[arg(long, help_heading = "Output")]
    sessions: bool,

    /// No lines for handshakes, --sessions or not
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,

    /// With --connections: a line for long ones too, every SECS [default: off]
    #[arg(long, value_name = "SECS", help_heading = "Output")]
    active_timeout: Option<String>,

    /// JSON lines to this file instead of standard output
    ///
    /// Reopened on SIGHUP. With -o text the table stays on standard output.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    log_file: Option<PathBuf>,

    /// The whole run into this file at its end: JSON lines for .json, else text
    ///
    /// Totals, handshakes and rows since the start, as --by and --top say, largest
    /// sums first. Written whole, also after Ctrl-C; beside any other output.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    report: Option<PathBuf>,

    /// Names for addresses from a file as /etc/hosts is one
    ///
    /// A line is an address, a name, other names; # begins a comment. They stand
    /// in text in place of addresses, in JSON beside them, and go before those that
    /// are looked up.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    names: Option<PathBuf>,

    /// Figures of a column that stand out from a value on; repeatable
    ///
    /// COLUMN is a name or heading of docs/COLUMNS.md, VALUE has its unit:
    /// connect=100ms, rate=100M, Line=80%. 'COLUMN<VALUE' is for what is bad when
    /// it is low: 'S/A<90%'. Marked by !, on a terminal by reverse video, in JSON
    /// named in "highlights".
    #[arg(long, value_name = "COLUMN=VALUE", help_heading = "Output")]
    highlight: Vec<String>,

    /// Plain text on a terminal too, as NO_COLOR
    #[arg(long, help_heading = "Output")]
    no_color: bool,

    /// No host names looked up
    ///
    /// Without it the screen and live text show the names that the system has for
    /// the addresses in sight, as soon as it has told them; JSON and files never
    /// do. Those of --names stay, as reading a file is no look-up.
    #[arg(short = 'n', help_heading = "Output")]
    no_host_names: bool,

    /// No names of services among hosts on the screen (its key N); text has none
    #[arg(short = 'N', help_heading = "Output")]
    no_service_names: bool,

    /// Ports shown among hosts on the screen too; connections, the default, have them
    #[arg(short = 'P', help_heading = "Output")]
    ports: bool,

    /// Bytes instead of bits in text and on the screen
    #[arg(short = 'B', help_heading = "Output")]
    bytes: bool,

    /// No bars on the screen (its key b)
    #[arg(short = 'b', help_heading = "Output")]
    no_bars: bool,

    /// Rate of a full bar on the screen, in bits per second, such as 100M
    ///
    /// Default: the largest rate that is shown.
    #[arg(short = 'm', value_name = "RATE", help_heading = "Output")]
    bar_scale: Option<String>,

    /// Only connections whose start was seen, in rows and lines (as tcptrack's -d)
    ///
    /// TCP connections that were open before, or whose start was lost, are left out
    /// of rows and connection lines; totals have them, and the output says how many
    /// there were and what they had. Default: off.
    #[arg(short = 'd', long, help_heading = "Connections")]
    new_only: bool,

    /// Seconds that a closed connection stays on the screen [default: 2]
    ///
    /// From its last packet on, live; 0 is not at all. Text and JSON show a connection in
    /// the interval in which it closed, and --connections has a line for each.
    #[arg(long, value_name = "SECS", help_heading = "Connections")]
    linger: Option<String>,

    /// Seconds after which a handshake has failed [default: 60]
    #[arg(long, value_name = "SECS", help_heading = "Connections")]
    timeout: Option<String>,

    /// An ICMP error that quotes a SYN is no failed handshake
    #[arg(long, help_heading = "Connections")]
    no_icmp: bool,

    /// Handshakes to count by name, as tcpeek says it; repeatable
    ///
    /// [NAME]:DIR@ADDR:PORT[:PORT…][,ADDR:PORT…] where DIR is RX (the server is
    /// here) or TX (the client is here), ADDR the far end's address or network
    /// (IPv6 in brackets), PORT the server's; % or * is any. An empty name
    /// excludes, wherever it stands: :RX@*:22. A word of the filter expression
    /// that has this form is one too. RX:RX@*:* and TX:TX@*:* are always there.
    #[arg(long, value_name = "WATCH", help_heading = "Connections")]
    watch: Vec<String>,

    /// From what on a millisecond makes a burst, such as 80% or 900M [default: 80%]
    ///
    /// A share of the link's speed, or bits per second on the line (padding, FCS,
    /// preamble and gap count). Where a link's speed is not known (--link-speed
    /// says it) only a rate makes bursts.
    #[arg(long, value_name = "RATE|PERCENT", help_heading = "Links")]
    burst_threshold: Option<String>,

    /// Bursts shorter than this many milliseconds do not count [default: 1]
    #[arg(long, value_name = "MS", help_heading = "Links")]
    burst_min: Option<String>,

    /// Milliseconds below 7/8 of the threshold that end a burst [default: 3]
    #[arg(long, value_name = "MS", help_heading = "Links")]
    burst_gap: Option<String>,

    /// Answer queries on this UNIX socket
    ///
    /// GET and REFRESH as tcpeek answers them, REFRESH NAME with a memory of
    /// its own for each name, JSON for the latest interval as -o json has it.
    /// fullcount stat asks there. Only this user may, unless the next two
    /// say otherwise. Default: off.
    #[arg(short = 'U', long, value_name = "PATH", help_heading = "Service")]
    socket: Option<PathBuf>,

    /// Mode of the socket's file in octal digits, such as 0660
    ///
    /// Who may write may ask: 0660 is its owner and its group. Default: 0600.
    #[arg(long, value_name = "MODE", help_heading = "Service")]
    socket_mode: Option<String>,

    /// Whose the socket's file is, such as :adm or root:adm
    ///
    /// Names or numbers; nobody can connect before both are set. Default: whose the
    /// run is.
    #[arg(long, value_name = "[USER][:GROUP]", help_heading = "Service")]
    socket_owner: Option<String>,

    /// Options from this file, and from no other
    ///
    /// TOML: an option a line by its long name, as in interval = 0.5 or
    /// interface = ["eth0", "eth1"]; those without one are text, no-host-names,
    /// no-service-names, ports, bytes, no-bars, bar-scale, local-network. A table
    /// [screen] says how the screen begins. What is typed goes before it. Default:
    /// fullcount/config.toml in $XDG_CONFIG_HOME (~/.config), then in /etc.
    #[arg(short, long, value_name = "FILE", help_heading = "Service")]
    config: Option<PathBuf>,

    /// Settings of iftop, of which it is told what they are here
    ///
    /// Default: ~/.iftoprc where there is no configuration file.
    #[arg(long, value_name = "FILE", help_heading = "Service")]
    iftoprc: Option<PathBuf>,

    /// Keys that the screen begins with, such as F2TL
    ///
    /// F and a figure is a function key; a filter of rows is /PATTERN and the end of a line.
    /// They are pressed on the screen as a configuration file begins it.
    #[arg(long, value_name = "KEYS", help_heading = "Output")]
    keys: Option<String>,

    /// What counts, as tcpdump says it: port 80 and not host 192.0.2.9
    ///
    /// After -- all words are filter.
    #[arg(value_name = "FILTER EXPRESSION", hide = true)]
    filter_words: Vec<String>,
}

/// First words that ask for something else with the same options.
const WORDS: [(&str, Asked); 2] = [("why", Asked::Why), ("demo", Asked::Demo)];

/// What a command line with our options is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// To count.
    Run,
    /// A paragraph on what filled a link.
    Why,
    /// To count what is made up for the occasion.
    Demo,
}

/// Reads a whole command line, the program's name first as in `args_os`.
///
/// `file_exists` is asked about names of capture files only: where `5` is no
/// file, `-r 5` is tcptrack's linger; `a+b` is one file where there is one.
///
/// # Errors
/// One sentence, for standard error and exit code 2.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    file_exists: &dyn Fn(&Path) -> bool,
) -> Result<Request, UsageError> {
    parse_with(args, file_exists, &|_| Ok(None))
}

/// Help and version are printed, all else is wrong usage.
fn printed(error: &clap::Error) -> Result<Request, UsageError> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(Request::Print(error.render().to_string())),
        _ => Err(sentence(error)),
    }
}

/// What stands behind a first word that has options of its own, and what it asks for.
fn parse_own<T: CommandFactory + FromArgMatches>(
    args: &[OsString],
    asked: impl FnOnce(T) -> Result<Request, UsageError>,
) -> Result<Request, UsageError> {
    let typed = T::command()
        .try_get_matches_from_mut(args)
        .and_then(|mut matches| T::from_arg_matches_mut(&mut matches));
    typed.map_or_else(|error| printed(&error), asked)
}

/// The same where there are configuration files.
///
/// # Errors
/// As [`parse`]; of what a file says with its name and line.
pub fn parse_with(
    args: impl IntoIterator<Item = OsString>,
    file_exists: &dyn Fn(&Path) -> bool,
    settings: &Reader<'_>,
) -> Result<Request, UsageError> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    if args.get(1).is_some_and(|word| word == stat::WORD) {
        return stat::parse(args.get(1..).unwrap_or(&[]));
    }
    if args.get(1).is_some_and(|word| word == attach::WORD) {
        return attach::parse(args.get(1..).unwrap_or(&[]));
    }
    let first = WORDS.iter().find(|(word, _)| args.get(1).is_some_and(|first| first == word));
    let asked = first.map_or(Asked::Run, |(_, asked)| *asked);
    if asked != Asked::Run {
        args.remove(1);
    }
    let mut command = help::of(Arguments::command(), asked);
    command.build();
    habits::check(&command, args.get(1..).unwrap_or(&[]), file_exists)?;
    let matches = match command.try_get_matches_from_mut(&args) {
        Ok(matches) => matches,
        Err(error) => return printed(&error),
    };
    let (settings, notes) = settings::words(&command, &matches, asked, settings)?;
    let alone = |mut matches| {
        let arguments = Arguments::from_arg_matches_mut(&mut matches).map_err(|error| sentence(&error))?;
        resolve::resolve(arguments, asked, file_exists)
    };
    let (first, rest) = args.split_at(args.len().min(1));
    let together = |settings: &[&Setting]| {
        let from_files = settings.iter().flat_map(|setting| &setting.words);
        let all: Vec<OsString> = first.iter().chain(from_files).chain(rest).cloned().collect();
        command.clone().try_get_matches_from(all).map_err(|error| sentence(&error)).and_then(&alone)
    };
    let mut config = match together(&settings.iter().collect::<Vec<_>>()) {
        Ok(config) => config,
        Err(error) => {
            // What is wrong by itself is told without a word of files.
            alone(matches)?;
            let place =
                format!("together with {}", settings::culprits(&settings, &error, &together).join("; "));
            return Err(UsageError::InFile { place, what: error.to_string() });
        }
    };
    config.notes = notes;
    config.begins = settings.iter().filter_map(|setting| setting.begins.clone()).collect();
    config.speeds_of_file = settings.iter().any(|setting| setting.id == "link_speed");
    Ok(Request::Run(Box::new(config)))
}

/// clap's several lines as our one sentence, from the facts it gathered.
fn sentence(error: &clap::Error) -> UsageError {
    let fact = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    };
    // clap names an option with what it takes: "--interface <IF>".
    let named = fact(ContextKind::InvalidArg).unwrap_or_default();
    let (option, wants) = named.split_once(' ').unwrap_or((&named, ""));
    let option = option.to_owned();
    let value = fact(ContextKind::InvalidValue).unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => {
            UsageError::UnknownOption { option, nearest: fact(ContextKind::SuggestedArg) }
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            let wants = wants.trim_end_matches('…').trim_end_matches("...");
            UsageError::MissingValue { option, wants: wants.replace(['<', '>'], "") }
        }
        ErrorKind::InvalidValue => {
            let values = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(values)) => values.join(", "),
                _ => String::new(),
            };
            UsageError::BadValue { option: option.into(), value, wants: format!("one of {values}").into() }
        }
        ErrorKind::TooManyValues => UsageError::UnwantedValue { option, value },
        ErrorKind::InvalidUtf8 => UsageError::NotUnicode,
        _ => {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or("the command line cannot be read");
            UsageError::Other { message: first.trim_start_matches("error: ").to_owned() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BurstThreshold, Bursts};
    use crate::config::{Input, Owner, Socket, Unit};
    use std::os::unix::ffi::OsStringExt;

    fn ask(line: &str) -> Result<Request, UsageError> {
        let words = std::iter::once("fullcount").chain(line.split_whitespace()).map(OsString::from);
        parse(words, &|path| path == Path::new("x+y"))
    }

    fn config(line: &str) -> Config {
        match ask(line) {
            Ok(Request::Run(config)) => *config,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn refused(line: &str) -> String {
        ask(line).map(|request| format!("{line}: {request:?}")).unwrap_err().to_string()
    }

    fn text(line: &str) -> String {
        match ask(line) {
            Ok(Request::Print(text)) => text,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn defaults() -> Config {
        Config {
            input: Input::Live { interfaces: vec![] },
            filter: None,
            promiscuous: true,
            link_speeds: vec![],
            bursts: crate::config::Bursts::default(),
            classes: None,
            why: false,
            demo: false,
            begins: vec![],
            keys: String::new(),
            notes: vec![],
            speeds_of_file: false,
            local_networks: vec![],
            workers: None,
            cpus: vec![],
            ring_mib: None,
            snaplen: 160,
            max_flows: 2_000_000,
            output: OutputMode::Text,
            output_is_open: true,
            interval_ns: 1_000_000_000,
            replay_thousandths: None,
            fast: false,
            duration_ns: None,
            count: None,
            top: 20,
            by: By::Connection,
            allow: Vec::new(),
            sort: Sort::Rate,
            connections: false,
            active_timeout_ns: None,
            log_file: None,
            host_names: true,
            names: None,
            report: None,
            highlights: vec![],
            no_color: false,
            unit: Unit::Bits,
            bars: Default::default(),
            ports: false,
            services: true,
            new_only: false,
            linger_ns: 2_000_000_000,
            handshake_timeout_ns: 60_000_000_000,
            icmp: true,
            sessions: false,
            watches: Default::default(),
            socket: None,
        }
    }

    fn socket(path: &str, mode: u32, group: &str) -> Option<Socket> {
        let group = Some(group.to_owned()).filter(|group| !group.is_empty());
        Some(Socket { path: path.into(), mode, owner: Owner { user: None, group } })
    }

    /// Whole configurations, so that an option that touches another's field fails.
    #[test]
    fn each_option_changes_its_field_and_no_other() {
        type Change = fn(&mut Config);
        let table: &[(&str, Change)] = &[
            ("", |_| ()),
            ("-n -nn --by connection", |c| c.host_names = false),
            ("-N -P --by connection", |c| (c.ports, c.services) = (true, false)),
            ("-p", |c| c.promiscuous = false),
            ("--no-promisc", |c| c.promiscuous = false),
            ("-f port -f 80 or icmp", |c| c.filter = Some("port 80 or icmp".into())),
            ("tcp --filter=not and host 192.0.2.1", |c| c.filter = Some("not tcp and host 192.0.2.1".into())),
            ("--", |_| ()),
            ("--link-speed eth0=1G --link-speed eth1=2.5G", |c| {
                c.link_speeds = vec![("eth0".into(), 1_000_000_000), ("eth1".into(), 2_500_000_000)];
            }),
            ("-F 10.0.0.0/255.0.0.0 -G 2001:db8::/32 -F 192.0.2.0/24", |c| {
                let net = |text: &str, prefix| (text.parse().unwrap(), prefix);
                c.local_networks = vec![net("10.0.0.0", 8), net("192.0.2.0", 24), net("2001:db8::", 32)];
                c.local_networks.swap(1, 2);
            }),
            ("--workers 3", |c| c.workers = Some(3)),
            ("--cpus 2,4-6", |c| c.cpus = vec![2, 4, 5, 6]),
            ("--ring-mib 64", |c| c.ring_mib = Some(64)),
            ("--snaplen 262144", |c| c.snaplen = 262_144),
            ("--max-flows 1000", |c| c.max_flows = 1000),
            ("-o json", |c| (c.output, c.output_is_open) = (OutputMode::Json, false)),
            ("-o tui", |c| (c.output, c.output_is_open) = (OutputMode::Tui, false)),
            ("-t", |c| c.output_is_open = false),
            ("-t -o text", |c| c.output_is_open = false),
            ("--interval 0.1", |c| c.interval_ns = 100_000_000),
            ("-r x --replay 2.5", |c| {
                c.input = Input::Files { groups: vec![vec!["x".into()]] };
                c.replay_thousandths = Some(2500);
            }),
            ("--duration 0.5", |c| c.duration_ns = Some(500_000_000)),
            ("--count 1", |c| c.count = Some(1)),
            ("--top 0", |c| c.top = 0),
            ("-U /run/x --socket-mode 0660", |c| c.socket = socket("/run/x", 0o660, "")),
            ("-U /run/x --socket-owner :adm", |c| {
                c.socket = socket("/run/x", 0o600, "adm");
            }),
            ("--top 5 --top 7", |c| c.top = 7),
            ("--by pair", |c| c.by = By::Pair),
            ("--by host", |c| c.by = By::Host),
            ("--by destination", |c| c.by = By::Destination),
            ("--by destination --allow 192.0.2.1 --allow [2001:db8::1]:443", |c| {
                c.by = By::Destination;
                c.allow =
                    vec![("192.0.2.1".parse().unwrap(), None), ("2001:db8::1".parse().unwrap(), Some(443))];
            }),
            ("--by port -P", |c| (c.by, c.ports) = (By::Port, true)),
            ("--fast", |c| (c.fast, c.interval_ns) = (true, 100_000_000)),
            ("--linger 0.5", |c| c.linger_ns = 500_000_000),
            ("--classes names --by class", |c| {
                c.by = By::Class;
                c.classes = Some("names".into());
            }),
            ("--burst-threshold 92.5% --burst-min 2 --burst-gap 10", |c| {
                c.bursts = Bursts { threshold: BurstThreshold::Thousandths(925), least_ms: 2, gap_ms: 10 };
            }),
            ("--burst-threshold 900M", |c| c.bursts.threshold = BurstThreshold::Rate(900_000_000)),
            ("--by interface", |c| c.by = By::Interface),
            ("--sort bytes", |c| c.sort = Sort::Bytes),
            ("--sort packets", |c| c.sort = Sort::Packets),
            ("--sort none", |c| c.sort = Sort::None),
            ("--connections --active-timeout 60", |c| {
                c.connections = true;
                c.active_timeout_ns = Some(60_000_000_000);
            }),
            ("--log-file x.json", |c| {
                c.log_file = Some("x.json".into());
                (c.output, c.output_is_open) = (OutputMode::Json, false);
            }),
            ("--log-file x.json -t", |c| (c.log_file, c.output_is_open) = (Some("x.json".into()), false)),
            ("-B", |c| c.unit = Unit::Bytes),
            ("-b", |c| c.bars.shown = false),
            ("-m 100M", |c| c.bars.full = Some(100_000_000)),
            ("--report x.JSON", |c| {
                c.report = Some(crate::config::Report { path: "x.JSON".into(), mode: OutputMode::Json });
            }),
            ("--report json", |c| {
                c.report = Some(crate::config::Report { path: "json".into(), mode: OutputMode::Text });
            }),
            ("--no-color", |c| c.no_color = true),
            ("--highlight connect=100ms --highlight S/A<90%", |c| {
                let highlight = |column: &str, below, value: &str| crate::config::Highlight {
                    column: column.into(),
                    below,
                    value: value.into(),
                };
                c.highlights = vec![highlight("connect", false, "100ms"), highlight("S/A", true, "90%")];
            }),
            ("-n --names hosts", |c| (c.host_names, c.names) = (false, Some("hosts".into()))),
            ("--sessions", |c| c.sessions = true),
            ("--sessions -q", |_| ()),
            ("--quiet", |_| ()),
            ("--watch web:RX@*:80 tcp :TX@*:22 and port 80", |c| {
                let term = |side, port| crate::config::WatchTerm { side, network: None, ports: vec![port] };
                c.filter = Some("tcp and port 80".into());
                c.watches.named.push(crate::config::Watch {
                    name: "web".into(),
                    terms: vec![term(crate::config::WatchSide::Rx, 80)],
                });
                c.watches.excluded = vec![term(crate::config::WatchSide::Tx, 22)];
            }),
            ("--timeout 1.5", |c| c.handshake_timeout_ns = 1_500_000_000),
            ("-d", |c| c.new_only = true),
            ("--new-only", |c| c.new_only = true),
            ("--no-icmp", |c| c.icmp = false),
            ("--socket /run/x.sock", |c| c.socket = socket("/run/x.sock", 0o600, "")),
            ("-U x", |c| c.socket = socket("x", 0o600, "")),
            ("--keys F2TL", |c| c.keys = "F2TL".into()),
        ];
        for (line, change) in table {
            let mut expected = defaults();
            change(&mut expected);
            assert_eq!(config(line), expected, "{line}");
        }
    }

    #[test]
    fn inputs() {
        let live = |names: &[&str]| Input::Live { interfaces: names.iter().map(|n| (*n).into()).collect() };
        assert_eq!(config("-i eth0,eth1 --interface bond0").input, live(&["eth0", "eth1", "bond0"]));
        assert_eq!(config("-i eth1 -i eth0+eth2").input, live(&["eth1", "eth0+eth2"]));
        assert_eq!(config("-i eth0 -i eth0").input, live(&["eth0"]), "the same word twice is the same thing");
        let files = |groups: &[&[&str]]| Input::Files {
            groups: groups.iter().map(|g| g.iter().map(PathBuf::from).collect()).collect(),
        };
        assert_eq!(config("-r a+b --read c -T d").input, files(&[&["a", "b"], &["c"], &["d"]]));
        assert_eq!(config("-r x+y").input, files(&[&["x+y"]]), "a file of that very name comes first");
        assert_eq!(config("-r -").input, files(&[&["-"]]));
        assert_eq!(config("-r - tcp -p --ring-mib 4").filter.as_deref(), Some("tcp"));
    }

    #[test]
    fn wrong_usage_is_one_sentence() {
        let unknown = "--help lists them all, and filter words that start with - go after --";
        let table = [
            ("--intervall 1", "there is no option --intervall: did you mean --interval?".to_owned()),
            ("--zzz", format!("there is no option --zzz: {unknown}")),
            ("-x", format!("there is no option -x: {unknown}")),
            ("-i", "--interface stands without a value: type --interface IF".to_owned()),
            ("-i -p", "--interface stands without a value: type --interface IF".to_owned()),
            ("--top", "--top stands without a value: type --top N".to_owned()),
            ("--connections=5", "--connections takes no value, but \"5\" was given: type --connections alone".to_owned()),
            ("-o xml", "--output cannot be \"xml\": it takes one of tui, text, json".to_owned()),
            ("--by flow", "--by cannot be \"flow\": it takes one of connection, pair, host, destination, port, class, interface".to_owned()),
            ("--sort size", "--sort cannot be \"size\": it takes one of rate, bytes, packets, none".to_owned()),
            ("--interval 0.01", "--interval cannot be \"0.01\": it takes seconds from 0.1 up to 31622400 (366 days), such as 1 or 0.5".to_owned()),
            ("-r x --replay 0", "--replay cannot be \"0\": it takes a speed from 0.01 up to 1000, such as 1 or 10".to_owned()),
            ("--replay 1", "--replay does nothing without --read: add --read or leave --replay out".to_owned()),
            ("--interval 1s", "--interval cannot be \"1s\": it takes seconds from 0.1 up to 31622400 (366 days), such as 1 or 0.5".to_owned()),
            ("--interval=", "--interval cannot be \"\": it takes seconds from 0.1 up to 31622400 (366 days), such as 1 or 0.5".to_owned()),
            ("--duration 0", "--duration cannot be \"0\": it takes seconds above 0 up to 31622400 (366 days), such as 60 or 0.5".to_owned()),
            ("--duration 99999999999", "--duration cannot be \"99999999999\": it takes seconds above 0 up to 31622400 (366 days), such as 60 or 0.5".to_owned()),
            ("--timeout 100000000", "--timeout cannot be \"100000000\": it takes seconds above 0 up to 31622400 (366 days), such as 60 or 0.5".to_owned()),
            ("--timeout 0", "--timeout cannot be \"0\": it takes seconds above 0 up to 31622400 (366 days), such as 60 or 0.5".to_owned()),
            ("--count 0", "--count cannot be \"0\": it takes a number of packets from 1".to_owned()),
            ("--count 1.0", "--count cannot be \"1.0\": it takes a number of packets from 1".to_owned()),
            ("--top many", "--top cannot be \"many\": it takes a number from 0 to 4294967294".to_owned()),
            ("--workers 0", "--workers cannot be \"0\": it takes a number from 1 to 256".to_owned()),
            ("--workers 257", "--workers cannot be \"257\": it takes a number from 1 to 256".to_owned()),
            ("--cpus 6-4", "--cpus cannot be \"6-4\": it takes CPU numbers and ranges up to 8191, such as 2,4-6".to_owned()),
            ("--ring-mib 0", "--ring-mib cannot be \"0\": it takes MiB from 1 to 1048576".to_owned()),
            ("--snaplen 63", "--snaplen cannot be \"63\": it takes bytes from 64 to 262144".to_owned()),
            ("--max-flows 0", "--max-flows cannot be \"0\": it takes a number from 1 to 4294967294".to_owned()),
            ("--link-speed 1G", "--link-speed cannot be \"1G\": it takes IF=RATE in bits per second, such as eth0=2.5G, eth0=100M or eth0=1000000000".to_owned()),
            ("--burst-threshold 80", "--burst-threshold cannot be \"80\": it takes a percent sign or a unit, as in 80% of the link's speed or 80M bits per second".to_owned()),
            ("--burst-threshold 900", "--burst-threshold cannot be \"900\": it takes a percent sign or a unit, as in 80% of the link's speed or 900M bits per second".to_owned()),
            ("--burst-threshold 0.8", "--burst-threshold cannot be \"0.8\": it takes a share of the link's speed above 0% up to 100%, or bits per second, such as 80% or 900M".to_owned()),
            ("-G 10.0.0.0/40", "-F cannot be \"10.0.0.0/40\": it takes a network such as 10.0.0.0/8, 10.0.0.0/255.0.0.0 or 2001:db8::/32".to_owned()),
            ("-i eth0 f:RX@*:70000", "f:RX@*:>>70000<< is no watch: between >> and << it takes a port from 1 to 65535, or % or * for any".to_owned()),
            ("--watch web", ">><<web is no watch: between >> and << it takes a name and a colon before RX@ or TX@, or a colon alone to exclude".to_owned()),
            ("-i eth0,,eth1", "--interface cannot be \"\": it takes names such as eth0, eth0,eth1 or eth0+eth1".to_owned()),
            ("-i eth0+", "--interface cannot be \"eth0+\": it takes names such as eth0, eth0,eth1 or eth0+eth1".to_owned()),
            ("-i eth0 -i eth0+eth1", "--interface cannot be \"eth0+eth1\": it takes each interface once, so leave out the one that is named again".to_owned()),
            ("-r - -r a+-", "--read cannot be \"-\": it takes standard input once only, so leave the second - out".to_owned()),
            ("-i eth0 -r x", "--interface and --read cannot go together: packets come from interfaces or from files, so leave one out".to_owned()),
            ("-t -o tui", "-t and -o tui cannot go together: -t is -o text, so leave one out".to_owned()),
            ("-t -o json", "-t and -o json cannot go together: -t is -o text, so leave one out".to_owned()),
            ("-P --by host", "-P and --by host cannot go together: those rows have no ports, so take --by connection or leave -P out".to_owned()),
            ("--allow 192.0.2.1", "--allow does nothing without --by destination: add --by destination or leave --allow out".to_owned()),
            ("--by destination --allow web1", "--allow cannot be \"web1\": it takes an address, or one and a port, such as 192.0.2.1, 192.0.2.1:443 or [2001:db8::1]:443".to_owned()),
            ("--socket-mode 0660", "--socket-mode does nothing without --socket PATH: add --socket PATH or leave --socket-mode out".to_owned()),
            ("-U x --socket-mode 1777", "--socket-mode cannot be \"1777\": it takes permissions as octal digits up to 0777, such as 0660".to_owned()),
            ("-U x --socket-owner :", "--socket-owner cannot be \":\": it takes a user, a group or both, by name or number, such as root:adm, root or :adm".to_owned()),
            ("--report -", "--report cannot be \"-\": it takes the name of a file: report.json for JSON lines, any other for text".to_owned()),
            ("--report a/..", "--report cannot be \"a/..\": it takes the name of a file: report.json for JSON lines, any other for text".to_owned()),
            ("--report x.json --log-file x.json", "--report and --log-file cannot go together: one would replace the other, so name two files".to_owned()),
            ("--highlight connect", "--highlight cannot be \"connect\": it takes COLUMN=VALUE, such as connect=100ms, or 'COLUMN<VALUE', such as 'answered<90%'".to_owned()),
            ("--active-timeout 60", "--active-timeout does nothing without --connections: add --connections or leave --active-timeout out".to_owned()),
        ];
        for (line, sentence) in table {
            assert_eq!(refused(line), sentence, "{line}");
        }
    }

    #[test]
    fn a_demo_is_a_run_with_its_own_input_and_pace() {
        let mut expected = defaults();
        expected.demo = true;
        expected.interval_ns = 500_000_000;
        expected.handshake_timeout_ns = 1_500_000_000;
        (expected.bursts.least_ms, expected.bursts.gap_ms) = (5, 10);
        assert_eq!(config("demo"), expected);
        expected.interval_ns = 2_000_000_000;
        expected.handshake_timeout_ns = 60_000_000_000;
        expected.bursts = Bursts::default();
        expected.filter = Some("tcp".into());
        assert_eq!(config("demo --interval 2 --timeout 60 --burst-min 1 --burst-gap 3 tcp"), expected);
        for (line, other) in [("demo -i eth0", "--interface"), ("demo -r x", "--read")] {
            let advice = "demo makes interfaces and traffic of its own, so leave one out";
            assert_eq!(refused(line), format!("demo and {other} cannot go together: {advice}"));
        }
        assert!(refused("-i eth0 demo").starts_with("demo stands behind options: type fullcount demo first"));
        assert!(refused("-i eth0 why").starts_with("why stands behind options: type fullcount why first"));
        assert_eq!(config("-i eth0 host demo").filter.as_deref(), Some("host demo"));
    }

    #[test]
    fn bytes_that_are_no_text_are_file_names_or_refused() {
        let odd = || OsString::from_vec(vec![b'a', 0xff]);
        let read = parse(["fullcount".into(), "-r".into(), odd()], &|_| false);
        let Ok(Request::Run(config)) = read else { panic!("{read:?}") };
        assert_eq!(config.input, Input::Files { groups: vec![vec![odd().into()]] });
        let words = parse(["fullcount".into(), odd()], &|_| false);
        assert_eq!(words, Err(UsageError::NotUnicode));
        let option = parse(["fullcount".into(), "--top".into(), odd()], &|_| false);
        assert_eq!(option, Err(UsageError::NotUnicode));
    }

    #[test]
    fn no_answer_acts_on_the_terminal_or_breaks_its_line() {
        for word in
            ["--a\x1b[2J\nb", "-\x1b", "-i\n/x", "-rx\x1b+", "--top=\x1b[1m\n", "f:RX@\x1b:1", "-U\x07"]
        {
            if let Err(error) = parse(["fullcount".into(), word.into()], &|_| false) {
                assert!(!error.to_string().contains(char::is_control), "{word:?}: {error}");
            }
        }
    }

    #[test]
    fn help_and_version_are_printed_not_refused() {
        assert_eq!(text("-V"), format!("fullcount {}\n", env!("CARGO_PKG_VERSION")));
        assert_eq!(text("--version"), text("-V"));
        let (short, long) = (text("-h"), text("--help"));
        for heading in ["Input:", "Output:", "Connections:", "Links:", "Service:", "Commands:", "Examples:"] {
            assert!(short.contains(heading) && long.contains(heading), "{heading}\n{short}");
        }
        assert!(!long.contains('\x1b'), "help goes into pipes");
        assert!(long.contains("[default: 2000000]") && long.contains("a second at each link's speed"));
    }

    /// The defaults that the help names are those that hold.
    #[test]
    fn help_tells_the_true_defaults() {
        let command = Arguments::command();
        let told: Vec<(&str, String)> = command
            .get_arguments()
            .filter_map(|option| {
                let help = option.get_help()?.to_string();
                let (_, value) = help.split_once("[default: ")?;
                Some((option.get_long()?, value.split(']').next()?.to_owned()))
            })
            .filter(|(_, value)| value != "off")
            .collect();
        assert_eq!(told.len(), 11, "{told:?}");
        for (option, value) in told {
            assert_eq!(config(&format!("--{option} {value}")), defaults(), "--{option} {value}");
        }
    }

    proptest::proptest! {
        /// Words made of what options are made of: no panic, one line.
        #[test]
        fn no_command_line_panics(
            words in proptest::collection::vec("(-{0,2}[a-zA-Z]{0,3}=?[0-9./,+@:%-]{0,6})|--(top|cpus|link-speed|read|by)|\\PC{0,8}", 0..6)
        ) {
            if let Err(error) = parse(words.into_iter().map(OsString::from), &|_| false) {
                let sentence = error.to_string();
                proptest::prop_assert!(!sentence.contains(char::is_control) && sentence.len() > 10, "{}", sentence);
            }
        }
    }

    #[test]
    fn definitions_are_sound() {
        Arguments::command().debug_assert();
    }

    /// The help's own examples work.
    #[test]
    fn examples_of_the_help_are_taken() {
        let help = text("-h");
        let (_, examples) = help.split_once("Examples:").unwrap();
        let lines: Vec<&str> = examples.lines().filter(|line| line.contains("fullcount")).collect();
        assert_eq!(lines.len(), 4);
        for line in lines {
            let line = line.split("     ").next().unwrap().trim();
            config(line.trim_start_matches("fullcount"));
        }
    }
}
