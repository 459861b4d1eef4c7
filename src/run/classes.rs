//! `--classes FILE`: networks and ports with names.
//!
//! One class a line, its name and then its terms, apart by blanks; `#` begins a
//! comment. A term is a network (either end is in it), `:PORT` or `:FROM-TO`
//! (the server's), or both (`192.0.2.0/24:6800-7300`, IPv6 in brackets); behind
//! ports `/tcp`, `/udp` or `/sctp` may stand. The first line that fits a flow
//! has it; a name may stand in several lines.

use super::RunError;
use crate::aggregate::classes::{ClassId, Classes, Term};
use crate::aggregate::watch::Network;
use crate::decode::protocol;
use std::net::IpAddr;
use std::path::Path;

/// Most classes of a file.
const CLASSES_MAX: usize = 1000;
/// The name of what is in no class.
pub(super) const OTHER: &str = "other";

/// The classes of a file, and their names by number, [`OTHER`] first.
///
/// # Errors
/// A sentence with the file, the line and what is wrong there.
pub(super) fn read(path: &Path) -> Result<(Classes, Vec<String>), RunError> {
    let shown = path.display();
    let bytes = std::fs::read(path)
        .map_err(|error| RunError::Usage(format!("--classes: cannot read {shown}: {error}")))?;
    let text = String::from_utf8_lossy(&bytes);
    parse(&text).map_err(|(line, why)| RunError::Usage(format!("--classes: {shown}, line {line}: {why}")))
}

fn parse(text: &str) -> Result<(Classes, Vec<String>), (usize, String)> {
    // Some editors begin a file with a mark of its byte order: no part of the first name.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut names = vec![OTHER.to_owned()];
    let mut terms = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or("");
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        if name.contains([':', '/', '*']) || name.parse::<IpAddr>().is_ok() {
            return Err((number, format!("{name} is no name; a line is a name and then networks and ports")));
        }
        let class = match names.iter().position(|known| known == name) {
            Some(0) => return Err((number, format!("{OTHER} is what no line fits; take another name"))),
            Some(known) => known,
            None if names.len() > CLASSES_MAX => {
                return Err((number, format!("there may be {CLASSES_MAX} classes at most")));
            }
            None => {
                names.push(name.to_owned());
                names.len() - 1
            }
        };
        let before = terms.len();
        for word in words.flat_map(|word| word.split(',')).filter(|word| !word.is_empty()) {
            let term = term(word).ok_or_else(|| {
                let forms = "192.0.2.0/24, :443, :6800-7300/tcp, 192.0.2.0/24:443, [2001:db8::/32]:443";
                (number, format!("{word} is no network and no port; write it like one of {forms}"))
            })?;
            terms.push((class as ClassId, term));
        }
        if terms.len() == before {
            return Err((number, format!("{name} has no networks or ports behind it")));
        }
    }
    if terms.is_empty() {
        return Err((1, "there is no class in it; a line is a name and then networks and ports".into()));
    }
    Ok((Classes::new(terms), names))
}

/// `NET`, `:PORTS`, `NET:PORTS`, `[NET]:PORTS`, each with ports also `/PROTOCOL`.
fn term(word: &str) -> Option<Term> {
    if let Some(network) = network(word) {
        return Some(Term { network: Some(network), ports: None, protocol: None });
    }
    let (place, ports) = word.rsplit_once(':')?;
    let place = place.strip_prefix('[').map_or(Some(place), |place| place.strip_suffix(']'))?;
    let (ports, protocol) = match ports.split_once('/') {
        Some((ports, "tcp")) => (ports, Some(protocol::TCP)),
        Some((ports, "udp")) => (ports, Some(protocol::UDP)),
        Some((ports, "sctp")) => (ports, Some(protocol::SCTP)),
        Some(_) => return None,
        None => (ports, None),
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
    let network = match place {
        "" => None,
        place => Some(network(place)?),
    };
    (first <= last).then_some(Term { network, ports: Some(first..=last), protocol })
}

/// An address, or one with a prefix length.
fn network(text: &str) -> Option<Network> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.unwrap_or(whole);
    (prefix <= whole).then(|| Network::new(address, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::key::{End, FlowKey};

    #[test]
    fn lines_name_networks_and_ports() {
        let text = "# storage\nceph 192.0.2.0/24:6800-7300/tcp, [2001:db8::/32]:6789\n\nvm\t198.51.100.0/24 # all\nlogs :514 :5044/tcp\nceph 192.0.2.9\n";
        let (classes, names) = parse(text).expect("good");
        assert_eq!(names, [OTHER, "ceph", "vm", "logs"]);
        let class = |client: u32, server: (u32, u16), protocol| {
            let (key, second) =
                FlowKey::new(End::v4(client, 40_000), End::v4(server.0, server.1), protocol, false, 0, 0);
            names[usize::from(classes.of(&key, second))].as_str()
        };
        assert_eq!(class(1, (0xc000_0201, 6801), 6), "ceph");
        assert_eq!(class(1, (0xc000_0201, 6801), 17), OTHER);
        assert_eq!(class(0xc633_6401, (1, 5), 17), "vm");
        assert_eq!(class(1, (2, 514), 17), "logs");
        assert_eq!(class(0xc000_0209, (2, 80), 6), "ceph");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_name() {
        let (_, names) = parse("\u{feff}web :80\nweb :81\n").expect("good");
        assert_eq!(names, [OTHER, "web"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, words) in [
            ("a 192.0.2.0/33", 1, "192.0.2.0/33 is no network"),
            ("\n\nb :70000", 3, ":70000 is no network and no port"),
            ("c :5-4", 1, "is no network and no port"),
            ("d :5/icmp", 1, "is no network and no port"),
            ("e # none", 1, "e has no networks"),
            ("192.0.2.1 :5", 1, "is no name"),
            ("other :5", 1, "take another name"),
            ("# nothing", 1, "there is no class"),
        ] {
            let (at, why) = parse(text).err().unwrap_or_default();
            assert!(at == line && why.contains(words), "{text:?}: {at} {why}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "([a-z]{1,4} )?([0-9.:\\[\\]/*,a-z -]{0,30}\n?){0,4}") {
            let _ = parse(&text);
        }
    }
}
