//! From what was typed to what it means: defaults, ranges, contradictions.
//!
//! Pure: the same `Arguments` and the same answers of `file_exists` make the
//! same `Config`. Only what cannot be meant together is refused; an option
//! that merely has nothing to do (`--ring-mib` beside `-r`) is let be, so that
//! an alias with one's usual options serves for files too.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::{Arguments, Asked, UsageError, values, watch};
use crate::config::{
    Bars, Bursts, By, Config, DEFAULT_LINGER_NS, DEFAULT_MAX_FLOWS, DEFAULT_SNAPLEN, DEFAULT_TOP, Highlight,
    Input, OutputMode, Owner, Report, SECOND_NS, Socket, Sort, Unit,
};

/// What holds where nothing else is said.
struct Usual {
    interval_ns: u64,
    timeout_ns: u64,
    bursts: Bursts,
}

fn usual(asked: Asked) -> Usual {
    let bursts = Bursts::default();
    match asked {
        // A newcomer's first screen comes within a second, and what nobody answers is
        // to be seen to fail. A machine that has other things to do plays with pauses
        // and in heaps: neither makes a burst.
        Asked::Demo => Usual {
            interval_ns: SECOND_NS / 2,
            timeout_ns: SECOND_NS * 3 / 2,
            bursts: Bursts { least_ms: 5, gap_ms: 10, ..bursts },
        },
        Asked::Run | Asked::Why => Usual { interval_ns: SECOND_NS, timeout_ns: 60 * SECOND_NS, bursts },
    }
}

/// How long `why` looks at interfaces.
const WHY_NS: u64 = 30 * SECOND_NS;
/// Intervals a second with `--fast`.
const INTERVALS_FAST: u64 = 10;
/// Shortest time between two reports.
const MIN_INTERVAL_NS: u64 = SECOND_NS / 10;
/// Longest time that any option takes: a year of 366 days.
const MAX_TIME_NS: u64 = 366 * 86_400 * SECOND_NS;
/// More workers than any machine that this was thought for; a limit on threads.
const MAX_WORKERS: u64 = 256;
/// Smallest snapshot: Ethernet, IPv4 and TCP headers without options are 54 bytes.
const MIN_SNAPLEN: u64 = 64;
/// Largest snapshot, tcpdump's (MAXIMUM_SNAPLEN in its netdissect.h).
const MAX_SNAPLEN: u64 = 262_144;
/// A TiB, so that the figure in bytes cannot overflow anywhere.
const MAX_RING_MIB: u64 = 1 << 20;
/// Largest number of flows or rows: their indices are 32 bits wide.
const MAX_ENTRIES: u64 = u32::MAX as u64 - 1;

/// Checks all options and fills in defaults.
pub(super) fn resolve(
    typed: Arguments,
    asked: Asked,
    file_exists: &dyn Fn(&Path) -> bool,
) -> Result<Config, UsageError> {
    contradictions(&typed, asked)?;
    let (usual, why) = (usual(asked), asked == Asked::Why);
    let seconds = |option, text: &Option<String>| {
        text.as_deref()
            .map(|text| time(option, text, 1, "seconds above 0 up to 31622400 (366 days), such as 60 or 0.5"))
            .transpose()
    };
    let workers = optional("--workers", &typed.workers, 1, MAX_WORKERS, "a number from 1 to 256")?;
    let snaplen = optional("--snaplen", &typed.snaplen, MIN_SNAPLEN, MAX_SNAPLEN, "bytes from 64 to 262144")?;
    let max_flows =
        optional("--max-flows", &typed.max_flows, 1, MAX_ENTRIES, "a number from 1 to 4294967294")?;
    let top = optional("--top", &typed.top, 0, MAX_ENTRIES, "a number from 0 to 4294967294")?;
    Ok(Config {
        filter: filter(&typed),
        promiscuous: !typed.no_promisc,
        link_speeds: link_speeds(&typed.link_speed)?,
        local_networks: local_networks(&typed.local_network)?,
        workers: workers.and_then(|n| usize::try_from(n).ok()),
        cpus: cpus(typed.cpus.as_deref())?,
        ring_mib: optional("--ring-mib", &typed.ring_mib, 1, MAX_RING_MIB, "MiB from 1 to 1048576")?,
        snaplen: snaplen.and_then(|n| u32::try_from(n).ok()).unwrap_or(DEFAULT_SNAPLEN),
        max_flows: max_flows.and_then(|n| usize::try_from(n).ok()).unwrap_or(DEFAULT_MAX_FLOWS),
        output: output(&typed, why),
        output_is_open: is_open(&typed, why),
        interval_ns: interval(&typed, usual.interval_ns)?,
        fast: typed.fast,
        replay_thousandths: typed.replay.as_deref().map(replay).transpose()?,
        duration_ns: seconds("--duration", &typed.duration)?
            .or((why && typed.read.is_empty()).then_some(WHY_NS)),
        count: optional("--count", &typed.count, 1, u64::MAX, "a number of packets from 1")?,
        top: top.and_then(|n| usize::try_from(n).ok()).unwrap_or(DEFAULT_TOP),
        by: typed.by.unwrap_or(By::Connection),
        allow: allowed(&typed.allow)?,
        sort: typed.sort.unwrap_or(Sort::Rate),
        connections: typed.connections,
        active_timeout_ns: seconds("--active-timeout", &typed.active_timeout)?,
        socket: socket(&typed)?,
        unit: if typed.bytes { Unit::Bytes } else { Unit::Bits },
        bars: bars(&typed)?,
        ports: typed.ports,
        services: !typed.no_service_names,
        linger_ns: linger(&typed)?,
        new_only: typed.new_only,
        handshake_timeout_ns: seconds("--timeout", &typed.timeout)?.unwrap_or(usual.timeout_ns),
        icmp: !typed.no_icmp,
        bursts: bursts(&typed, usual.bursts)?,
        sessions: typed.sessions && !typed.quiet,
        watches: watch::watches(typed.watch.iter().chain(words_of_watches(&typed)).map(String::as_str))?,
        input: input(typed.interface, &typed.read, file_exists)?,
        report: report(typed.report, typed.log_file.as_deref())?,
        log_file: typed.log_file,
        classes: typed.classes,
        why,
        host_names: !typed.no_host_names,
        demo: asked == Asked::Demo,
        begins: Vec::new(),
        keys: typed.keys.unwrap_or_default(),
        notes: Vec::new(),
        speeds_of_file: false,
        names: typed.names,
        highlights: highlights(&typed.highlight)?,
        no_color: typed.no_color,
    })
}

/// Time between two reports.
fn interval(typed: &Arguments, usual_ns: u64) -> Result<u64, UsageError> {
    const WANTS: &str = "seconds from 0.1 up to 31622400 (366 days), such as 1 or 0.5";
    if typed.fast {
        return Ok(SECOND_NS / INTERVALS_FAST);
    }
    typed.interval.as_deref().map_or(Ok(usual_ns), |text| time("--interval", text, MIN_INTERVAL_NS, WANTS))
}

/// How long closed connections stay on the screen.
fn linger(typed: &Arguments) -> Result<u64, UsageError> {
    const WANTS: &str = "seconds from 0 up to 31622400 (366 days), such as 2 or 0.5";
    let Some(text) = typed.linger.as_deref() else { return Ok(DEFAULT_LINGER_NS) };
    time("--linger", text, 0, WANTS)
}

/// Pace of a file, in thousandths of its own.
fn replay(text: &str) -> Result<u32, UsageError> {
    let speed = text.parse::<f64>().ok().filter(|speed| (0.01..=1000.0).contains(speed));
    // At most a million.
    speed.map(|speed| (speed * 1000.0).round() as u32).ok_or_else(|| UsageError::BadValue {
        option: "--replay".into(),
        value: text.into(),
        wants: "a speed from 0.01 up to 1000, such as 1 or 10".into(),
    })
}

/// Parts of the expression that are tcpeek's.
fn words_of_watches(typed: &Arguments) -> impl Iterator<Item = &String> {
    expression(typed).filter(|part| watch::is_watch(part))
}

/// The form that was asked for, else the one without a terminal.
fn output(typed: &Arguments, why: bool) -> OutputMode {
    match (typed.output, typed.text) {
        (Some(mode), _) => mode,
        (None, false) if typed.log_file.is_some() && !why => OutputMode::Json,
        (None, _) => OutputMode::Text,
    }
}

/// Whether a terminal may have the screen: interfaces or a file at its own pace,
/// and no form asked for.
fn is_open(typed: &Arguments, why: bool) -> bool {
    let asked = typed.output.is_some() || typed.text || typed.log_file.is_some() || why;
    !asked && (typed.read.is_empty() || typed.replay.is_some())
}

/// Bars on the screen.
fn bars(typed: &Arguments) -> Result<Bars, UsageError> {
    let full = typed.bar_scale.as_deref().map(|text| {
        values::rate(text).ok_or_else(|| UsageError::BadValue {
            option: "-m".into(),
            value: text.into(),
            wants: "bits per second above 0, such as 100M".into(),
        })
    });
    Ok(Bars { shown: !typed.no_bars, full: full.transpose()? })
}

/// Both ways to write a threshold that is a bare number.
fn unit_missing(number: u64) -> String {
    let percent = if number <= 100 { number } else { 80 };
    format!("a percent sign or a unit, as in {percent}% of the link's speed or {number}M bits per second")
}

/// What a burst is.
fn bursts(typed: &Arguments, default: Bursts) -> Result<Bursts, UsageError> {
    const MS: &str = "milliseconds from 1 to 60000";
    let threshold = match typed.burst_threshold.as_deref() {
        None => default.threshold,
        Some(text) => values::burst_threshold(text).ok_or_else(|| UsageError::BadValue {
            option: "--burst-threshold".into(),
            value: text.into(),
            wants: match values::lacks_its_unit(text) {
                Some(number) => unit_missing(number).into(),
                None => {
                    "a share of the link's speed above 0% up to 100%, or bits per second, such as 80% or 900M"
                        .into()
                }
            },
        })?,
    };
    Ok(Bursts {
        threshold,
        least_ms: optional("--burst-min", &typed.burst_min, 1, 60_000, MS)?.unwrap_or(default.least_ms),
        gap_ms: optional("--burst-gap", &typed.burst_gap, 1, 60_000, MS)?.unwrap_or(default.gap_ms),
    })
}

/// `why` prints nothing else.
fn only_a_paragraph(typed: &Arguments) -> Result<(), UsageError> {
    let other = match typed {
        Arguments { output: Some(OutputMode::Tui), .. } => "-o tui",
        Arguments { output: Some(OutputMode::Json), .. } => "-o json",
        Arguments { output: Some(OutputMode::Text), .. } => "-o text",
        Arguments { text: true, .. } => "-t",
        _ => return Ok(()),
    };
    Err(UsageError::Contradiction {
        first: "why".into(),
        second: other.into(),
        advice: "why prints a paragraph, so leave one out; --log-file FILE has JSON lines beside it",
    })
}

/// `demo` makes its own input.
fn no_input(typed: &Arguments) -> Result<(), UsageError> {
    let other = match typed {
        Arguments { interface, .. } if !interface.is_empty() => "--interface",
        Arguments { read, .. } if !read.is_empty() => "--read",
        _ => return Ok(()),
    };
    let advice = "demo makes interfaces and traffic of its own, so leave one out";
    Err(UsageError::Contradiction { first: "demo".into(), second: other.into(), advice })
}

/// Refuses options that cannot be meant together.
fn contradictions(typed: &Arguments, asked: Asked) -> Result<(), UsageError> {
    match asked {
        Asked::Run => {}
        Asked::Why => only_a_paragraph(typed)?,
        Asked::Demo => no_input(typed)?,
    }
    let refuse = |first: &'static str, second: &'static str, advice| {
        Err(UsageError::Contradiction { first: first.into(), second: second.into(), advice })
    };
    if typed.fast && typed.interval.is_some() {
        return refuse("--fast", "--interval", "the first has ten intervals a second, so leave one out");
    }
    if !typed.interface.is_empty() && !typed.read.is_empty() {
        return refuse(
            "--interface",
            "--read",
            "packets come from interfaces or from files, so leave one out",
        );
    }
    let other = match typed.output {
        Some(OutputMode::Json) => Some("-o json"),
        Some(OutputMode::Tui) => Some("-o tui"),
        Some(OutputMode::Text) | None => None,
    };
    if let (true, Some(other)) = (typed.text, other) {
        return refuse("-t", other, "-t is -o text, so leave one out");
    }
    let without_ports = match typed.by {
        Some(By::Pair) => Some("--by pair"),
        Some(By::Host) => Some("--by host"),
        Some(By::Destination) => Some("--by destination"),
        Some(By::Interface) => Some("--by interface"),
        Some(By::Class) => Some("--by class"),
        Some(By::Connection | By::Port) | None => None,
    };
    if let (true, Some(by)) = (typed.ports, without_ports) {
        return refuse("-P", by, "those rows have no ports, so take --by connection or leave -P out");
    }
    if typed.active_timeout.is_some() && !typed.connections {
        return Err(UsageError::Needs { option: "--active-timeout", needed: "--connections" });
    }
    if typed.replay.is_some() && typed.read.is_empty() {
        return Err(UsageError::Needs { option: "--replay", needed: "--read" });
    }
    if !typed.allow.is_empty() && typed.by != Some(By::Destination) {
        return Err(UsageError::Needs { option: "--allow", needed: "--by destination" });
    }
    for (option, value) in [("--socket-mode", &typed.socket_mode), ("--socket-owner", &typed.socket_owner)] {
        if value.is_some() && typed.socket.is_none() {
            return Err(UsageError::Needs { option, needed: "--socket PATH" });
        }
    }
    if typed.by == Some(By::Class) && typed.classes.is_none() {
        return Err(UsageError::Needs { option: "--by class", needed: "--classes FILE" });
    }
    Ok(())
}

/// All interfaces or all files, none of them twice.
fn input(
    interfaces: Vec<String>,
    files: &[PathBuf],
    file_exists: &dyn Fn(&Path) -> bool,
) -> Result<Input, UsageError> {
    if files.is_empty() {
        return Ok(Input::Live { interfaces: link_groups(interfaces)? });
    }
    let bad = |name: &Path, wants| UsageError::BadValue {
        option: "--read".into(),
        value: name.to_string_lossy().into_owned(),
        wants,
    };
    let mut groups = Vec::with_capacity(files.len());
    for name in files {
        if name.as_os_str().is_empty() {
            return Err(bad(name, "the name of a file, or - for standard input".into()));
        }
        groups.push(values::file_group(name, file_exists));
    }
    if groups.iter().flatten().filter(|file| file.as_os_str() == "-").count() > 1 {
        return Err(bad(Path::new("-"), "standard input once only, so leave the second - out".into()));
    }
    Ok(Input::Files { groups })
}

/// Interfaces in the order given. A group typed again is the same group; an
/// interface in two different groups would be counted twice.
fn link_groups(typed: Vec<String>) -> Result<Vec<String>, UsageError> {
    let bad = |value: &str, wants: &'static str| UsageError::BadValue {
        option: "--interface".into(),
        value: value.to_owned(),
        wants: wants.into(),
    };
    let mut seen = HashSet::new();
    let mut groups: Vec<String> = Vec::with_capacity(typed.len());
    for group in typed {
        if groups.contains(&group) {
            continue;
        }
        for name in group.split('+') {
            if name.is_empty() {
                return Err(bad(&group, "names such as eth0, eth0,eth1 or eth0+eth1"));
            }
            if !seen.insert(name.to_owned()) {
                return Err(bad(&group, "each interface once, so leave out the one that is named again"));
            }
        }
        groups.push(group);
    }
    Ok(groups)
}

/// `-f` and the words at the end, as they were typed.
fn expression(typed: &Arguments) -> impl Iterator<Item = &String> {
    typed.filter_code.iter().chain(&typed.filter_words)
}

/// One expression of all words but tcpeek's; blank is none.
fn filter(typed: &Arguments) -> Option<String> {
    let parts: Vec<&str> =
        expression(typed).filter(|part| !watch::is_watch(part)).map(|part| part.trim()).collect();
    let expression = parts.join(" ");
    let expression = expression.trim();
    if expression.is_empty() { None } else { Some(expression.to_owned()) }
}

fn link_speeds(typed: &[String]) -> Result<Vec<(String, u64)>, UsageError> {
    let speed = |text: &String| {
        values::link_speed(text).ok_or_else(|| UsageError::BadValue {
            option: "--link-speed".into(),
            value: text.clone(),
            wants: "IF=RATE in bits per second, such as eth0=2.5G, eth0=100M or eth0=1000000000".into(),
        })
    };
    typed.iter().map(speed).collect()
}

fn local_networks(typed: &[String]) -> Result<Vec<(std::net::IpAddr, u8)>, UsageError> {
    let network = |text: &String| {
        values::network(text).ok_or_else(|| UsageError::BadValue {
            option: "-F".into(),
            value: text.clone(),
            wants: "a network such as 10.0.0.0/8, 10.0.0.0/255.0.0.0 or 2001:db8::/32".into(),
        })
    };
    typed.iter().map(network).collect()
}

fn allowed(typed: &[String]) -> Result<Vec<(std::net::IpAddr, Option<u16>)>, UsageError> {
    let server = |text: &String| {
        values::server(text).ok_or_else(|| UsageError::BadValue {
            option: "--allow".into(),
            value: text.clone(),
            wants: "an address, or one and a port, such as 192.0.2.1, 192.0.2.1:443 or [2001:db8::1]:443"
                .into(),
        })
    };
    typed.iter().map(server).collect()
}

/// Its file is this user's alone where nothing else is said.
fn socket(typed: &Arguments) -> Result<Option<Socket>, UsageError> {
    let Some(path) = typed.socket.clone() else { return Ok(None) };
    let bad = |option: &'static str, value: &str, wants: &'static str| UsageError::BadValue {
        option: option.into(),
        value: value.to_owned(),
        wants: wants.into(),
    };
    let mode = typed.socket_mode.as_deref().map_or(Ok(0o600), |text| {
        let wants = "permissions as octal digits up to 0777, such as 0660";
        values::mode(text).ok_or_else(|| bad("--socket-mode", text, wants))
    })?;
    let owner = typed.socket_owner.as_deref().map_or(Ok(Owner::default()), |text| {
        let wants = "a user, a group or both, by name or number, such as root:adm, root or :adm";
        values::owner(text).ok_or_else(|| bad("--socket-owner", text, wants))
    })?;
    Ok(Some(Socket { path, mode, owner }))
}

/// JSON lines for a name that ends so, else text.
fn report(typed: Option<PathBuf>, log_file: Option<&Path>) -> Result<Option<Report>, UsageError> {
    let Some(path) = typed else { return Ok(None) };
    if path.file_name().is_none() || path.as_os_str() == "-" {
        return Err(UsageError::BadValue {
            option: "--report".into(),
            value: path.to_string_lossy().into_owned(),
            wants: "the name of a file: report.json for JSON lines, any other for text".into(),
        });
    }
    if log_file == Some(path.as_path()) {
        let advice = "one would replace the other, so name two files";
        let (first, second) = ("--report".into(), "--log-file".into());
        return Err(UsageError::Contradiction { first, second, advice });
    }
    let end = path.extension().map(|end| end.to_ascii_lowercase());
    let is_json = end.is_some_and(|end| end == "json" || end == "jsonl");
    let mode = if is_json { OutputMode::Json } else { OutputMode::Text };
    Ok(Some(Report { path, mode }))
}

fn highlights(typed: &[String]) -> Result<Vec<Highlight>, UsageError> {
    let highlight = |text: &String| {
        let (column, behind) = text.split_at(text.find(['=', '<'])?);
        let value = behind.get(1..).unwrap_or_default().trim();
        let below = behind.starts_with('<');
        let parts = !column.trim().is_empty() && !value.is_empty();
        parts.then(|| Highlight { column: column.trim().to_owned(), below, value: value.to_owned() })
    };
    let checked = |text: &String| {
        highlight(text).ok_or_else(|| UsageError::BadValue {
            option: "--highlight".into(),
            value: text.clone(),
            wants: "COLUMN=VALUE, such as connect=100ms, or 'COLUMN<VALUE', such as 'answered<90%'".into(),
        })
    };
    typed.iter().map(checked).collect()
}

fn cpus(typed: Option<&str>) -> Result<Vec<usize>, UsageError> {
    let Some(text) = typed else { return Ok(Vec::new()) };
    values::cpus(text).ok_or_else(|| UsageError::BadValue {
        option: "--cpus".into(),
        value: text.to_owned(),
        wants: "CPU numbers and ranges up to 8191, such as 2,4-6".into(),
    })
}

/// A whole number in a range, where the option was given.
fn optional(
    option: &'static str,
    typed: &Option<String>,
    least: u64,
    most: u64,
    wants: &'static str,
) -> Result<Option<u64>, UsageError> {
    let Some(text) = typed else { return Ok(None) };
    let number = if text.contains('.') { None } else { values::decimal(text, 1) };
    number.filter(|number| (least..=most).contains(number)).map(Some).ok_or_else(|| UsageError::BadValue {
        option: option.into(),
        value: text.clone(),
        wants: wants.into(),
    })
}

/// Seconds as nanoseconds, at least `least_ns` and at most [`MAX_TIME_NS`], as `wants` says.
fn time(option: &'static str, text: &str, least_ns: u64, wants: &'static str) -> Result<u64, UsageError> {
    values::decimal(text, SECOND_NS).filter(|ns| (least_ns..=MAX_TIME_NS).contains(ns)).ok_or_else(|| {
        UsageError::BadValue { option: option.into(), value: text.to_owned(), wants: wants.into() }
    })
}
