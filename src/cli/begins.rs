//! How the screen begins: the table `[screen]` of a configuration file.
//!
//! What stands there are states, not keys: said twice, or by an option as well, they
//! are what they are. Each has a name of its own, as options have, by which what is
//! typed goes before it (`settings`).

use crate::config::{Begin, Kind, LineMode, RowOrder, Unit};
use toml::de::{DeTable, DeValue};

/// A state, and where its line begins in the file; of what is wrong the same.
type At<T> = (usize, T);

/// All states that a table says, in the order of its lines.
pub(super) fn of_table(table: &DeTable<'_>) -> Result<Vec<At<Begin>>, At<String>> {
    let mut all = Vec::new();
    for (key, value) in table.iter() {
        let (name, at) = (key.get_ref().as_ref(), key.span().start);
        let begin = state(name, value.get_ref()).map_err(|what| (at, what))?;
        all.push((at, begin));
    }
    all.sort_by_key(|(at, _)| *at);
    Ok(all)
}

/// One line of it.
fn state(name: &str, value: &DeValue<'_>) -> Result<Begin, String> {
    let switch = || match value {
        DeValue::Boolean(told) => Ok(*told),
        _ => Err(format!("{name} takes true or false")),
    };
    Ok(match name {
        "view" => Begin::View(one_of(name, value, &VIEWS)?),
        "names" => Begin::Names(switch()?),
        "sums" => Begin::Sums(switch()?),
        "bars" => Begin::Bars(switch()?),
        "log-scale" => Begin::LogScale(switch()?),
        "bytes" => Begin::Unit(if switch()? { Unit::Bytes } else { Unit::Bits }),
        "source-ports" => Begin::FirstPorts(switch()?),
        "destination-ports" => Begin::SecondPorts(switch()?),
        "lines" => Begin::Lines(one_of(name, value, &LINES)?),
        "order" => Begin::Order(one_of(name, value, &ORDERS)?),
        _ => {
            const NAMES: &str =
                "view, names, sums, bars, log-scale, bytes, source-ports, destination-ports, lines, order";
            return Err(format!("the screen has no {name}: it has {NAMES}"));
        }
    })
}

const VIEWS: [(&str, Kind); 6] = [
    ("connections", Kind::Connections),
    ("hosts", Kind::Hosts),
    ("destinations", Kind::Destinations),
    ("handshakes", Kind::Handshakes),
    ("links", Kind::Links),
    ("bursts", Kind::Bursts),
];

const LINES: [(&str, LineMode); 4] = [
    ("two", LineMode::Two),
    ("one", LineMode::One),
    ("sent", LineMode::Sent),
    ("received", LineMode::Received),
];

const ORDERS: [(&str, RowOrder); 6] = [
    ("rate", RowOrder::Rate),
    ("2s", RowOrder::Average2s),
    ("10s", RowOrder::Average10s),
    ("40s", RowOrder::Average40s),
    ("name", RowOrder::Name),
    ("destination", RowOrder::Destination),
];

fn one_of<T: Copy>(name: &str, value: &DeValue<'_>, choices: &[(&str, T)]) -> Result<T, String> {
    let told = value.as_str();
    let found = choices.iter().find(|(choice, _)| Some(*choice) == told);
    let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
    found.map(|(_, meant)| *meant).ok_or_else(|| format!("{name} is one of {}", names.join(", ")))
}

/// The name of a state among those of options.
pub(super) fn id(begin: &Begin) -> &'static str {
    match begin {
        Begin::View(_) => "screen.view",
        Begin::Names(_) => "screen.names",
        Begin::Sums(_) => "screen.sums",
        Begin::Bars(_) => "screen.bars",
        Begin::LogScale(_) => "screen.log-scale",
        Begin::Unit(_) => "screen.bytes",
        Begin::FirstPorts(_) => "screen.source-ports",
        Begin::SecondPorts(_) => "screen.destination-ports",
        Begin::Lines(_) => "screen.lines",
        Begin::Order(_) => "screen.order",
        Begin::Summed { .. } => "screen.summed",
        Begin::Filter(_) => "screen.filter",
    }
}
