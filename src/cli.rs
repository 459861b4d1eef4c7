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

mod error;
mod habits;
mod later;
mod resolve;
mod values;
mod watch;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser};

use crate::config::{By, Config, OutputMode, Sort};
pub use error::UsageError;

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// To run.
    Run(Box<Config>),
    /// To print this text (help or version) on standard output and exit 0.
    Print(String),
}

/// Counts every byte of busy, bonded links, and proves that it did.
///
/// Live interfaces or capture files go in, a table or JSON lines come out. The
/// words at the end are a filter as tcpdump takes it and need no quotes.
#[derive(Clone, Debug, Parser)]
#[command(name = "fullcount", version, args_override_self = true, max_term_width = 100)]
#[command(override_usage = "fullcount [OPTIONS] [FILTER EXPRESSION…]")]
#[command(after_help = "\
Examples:
  fullcount                                  every physical interface that is up
  fullcount -i eth0,eth1 src or dst 192.0.2.9
  fullcount -r a.pcap+b.pcap --by pair --sort bytes
  fullcount -i bond0 -o json --connections --log-file /var/log/fullcount.json")]
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
    /// pcap or pcapng; - is standard input. A file whose very name has the +
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

    /// Local network, for direction, such as 10.0.0.0/8; repeatable (-G is the same)
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

    /// Form of the output [default: text]
    ///
    /// With --log-file the default is json, and the lines go to that file.
    #[arg(short, long, value_name = "MODE", help_heading = "Output")]
    output: Option<OutputMode>,

    /// The same as -o text
    #[arg(short = 't', help_heading = "Output")]
    text: bool,

    /// Time between two reports in seconds, from 0.1 [default: 1]
    #[arg(long, value_name = "SECS", help_heading = "Output")]
    interval: Option<String>,

    /// Stop after this many seconds [default: off]
    #[arg(long, value_name = "SECS", help_heading = "Output")]
    duration: Option<String>,

    /// Stop after this many packets [default: off]
    #[arg(long, value_name = "PACKETS", help_heading = "Output")]
    count: Option<String>,

    /// Rows that a table and a JSON "top" list carry [default: 20]
    #[arg(long, value_name = "N", help_heading = "Output")]
    top: Option<String>,

    /// What a row stands for [default: connection]
    #[arg(long, value_name = "WHAT", help_heading = "Output")]
    by: Option<By>,

    /// What rows are ordered by, largest first [default: rate]
    #[arg(long, value_name = "WHAT", help_heading = "Output")]
    sort: Option<Sort>,

    /// A line for each connection that ended
    #[arg(long, help_heading = "Output")]
    connections: bool,

    /// With --connections: a line for long ones too, every SECS [default: off]
    #[arg(long, value_name = "SECS", help_heading = "Output")]
    active_timeout: Option<String>,

    /// JSON lines to this file instead of standard output
    ///
    /// Reopened on SIGHUP. With -o text the table stays on standard output.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    log_file: Option<PathBuf>,

    /// No host names: addresses are always numbers, so this changes nothing
    #[arg(short = 'n', help_heading = "Output")]
    no_host_names: bool,

    /// No service names: ports are always numbers, so this changes nothing
    #[arg(short = 'N', help_heading = "Output")]
    no_service_names: bool,

    /// Ports shown: --by connection, the default, shows them
    #[arg(short = 'P', help_heading = "Output")]
    ports: bool,

    /// Bytes instead of bits in text
    #[arg(short = 'B', help_heading = "Output")]
    bytes: bool,

    /// Closed connections stay this many seconds [default: 2]
    #[arg(long, value_name = "SECS", help_heading = "Connections")]
    linger: Option<String>,

    /// Seconds after which a handshake has failed [default: 60]
    #[arg(long, value_name = "SECS", help_heading = "Connections")]
    timeout: Option<String>,

    /// What counts, as tcpdump says it: port 80 and not host 192.0.2.9
    ///
    /// After -- all words are filter.
    #[arg(value_name = "FILTER EXPRESSION", hide = true)]
    filter_words: Vec<String>,
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
    let args: Vec<OsString> = args.into_iter().collect();
    let mut command = Arguments::command();
    command.build();
    habits::check(&command, args.get(1..).unwrap_or(&[]), file_exists)?;
    let typed = command
        .try_get_matches_from_mut(&args)
        .and_then(|mut matches| Arguments::from_arg_matches_mut(&mut matches));
    match typed {
        Ok(arguments) => resolve::resolve(arguments, file_exists).map(|c| Request::Run(Box::new(c))),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Request::Print(error.render().to_string()))
        }
        Err(error) => Err(sentence(&error)),
    }
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
