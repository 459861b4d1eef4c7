//! tcpeek's filters of handshakes: `[NAME]:DIR@ADDR:PORT[:PORT…][,ADDR:PORT…]`.
//!
//! The whole grammar of tcpeek, and IPv6 in brackets besides. ADDR is the far
//! end in both directions, PORT the server's. As there, `RX` and `TX` stand
//! first whatever was typed, and an empty name excludes, wherever it stands.
//! Words of one name are one watch; one that is called `RX` or `TX` takes the
//! place of that default, so that no name stands twice in an output.
//! Sources: tcpeek's README, section "expression"; filter.c and init.c of 3189698.

use std::ops::Range;

use super::{UsageError, values};
use crate::config::{WATCHES_MAX, Watch, WatchSide, WatchTerm, Watches};

/// Whether a word of the filter expression is meant as a watch: a name, a colon
/// and an @, which no filter expression of tcpdump's has. It may be a broken one.
pub(super) fn is_watch(word: &str) -> bool {
    let Some((before, behind)) = word.split_once('@') else { return false };
    let nameless = before.eq_ignore_ascii_case("RX") || before.eq_ignore_ascii_case("TX");
    !word.contains(char::is_whitespace) && (before.contains(':') || nameless && behind.contains(':'))
}

/// All watches of a command line, the defaults among them.
///
/// # Errors
/// The first word that is none, with the place where it breaks.
pub(super) fn watches<'a>(words: impl Iterator<Item = &'a str>) -> Result<Watches, UsageError> {
    let mut watches = Watches::default();
    let mut defaults_left: Vec<String> = watches.named.iter().map(|watch| watch.name.clone()).collect();
    for word in words {
        let (name, mut terms) = parse(word)?;
        if name.is_empty() {
            watches.excluded.append(&mut terms);
            continue;
        }
        let many = watches.named.len() >= WATCHES_MAX;
        match watches.named.iter_mut().find(|watch| watch.name == name) {
            Some(watch) => {
                if defaults_left.iter().any(|default| default == name) {
                    defaults_left.retain(|default| default != name);
                    watch.terms.clear();
                }
                watch.terms.append(&mut terms);
            }
            None if many => {
                return Err(broken(word, 0..name.len(), "one of the 64 names that a run can tell apart"));
            }
            None => watches.named.push(Watch { name: name.to_owned(), terms }),
        }
    }
    Ok(watches)
}

fn broken(word: &str, place: Range<usize>, wants: &'static str) -> UsageError {
    UsageError::BadWatch { word: word.to_owned(), place, wants }
}

/// Name and terms of one word.
fn parse(word: &str) -> Result<(&str, Vec<WatchTerm>), UsageError> {
    let fail = |place, wants| Err(broken(word, place, wants));
    const NAME: &str = "a name and a colon before RX@ or TX@, or a colon alone to exclude";
    let Some((name, rest)) = word.split_once(':') else { return fail(0..0, NAME) };
    if name.contains('@') {
        return fail(0..0, NAME);
    }
    if name.contains(char::is_control) {
        return fail(0..name.len(), "a name without control characters");
    }
    let at = name.len() + 1;
    let Some((direction, ends)) = rest.split_once('@') else {
        return fail(at..word.len(), "RX@ or TX@, then ADDR:PORT");
    };
    let side = match direction {
        _ if direction.eq_ignore_ascii_case("RX") => WatchSide::Rx,
        _ if direction.eq_ignore_ascii_case("TX") => WatchSide::Tx,
        _ => return fail(at..at + direction.len(), "RX (the server is here) or TX (the client is here)"),
    };
    let mut at = at + direction.len() + 1;
    let mut terms = Vec::new();
    for group in ends.split(',') {
        terms.push(term(word, at..at + group.len(), side)?);
        at += group.len() + 1;
    }
    Ok((name, terms))
}

/// `ADDR:PORT[:PORT…]` at a place within a word.
fn term(word: &str, place: Range<usize>, side: WatchSide) -> Result<WatchTerm, UsageError> {
    let group = word.get(place.clone()).unwrap_or_default();
    // The address of IPv6 has colons, so it stands in brackets; a prefix length in or behind them.
    let address_len = match group.find(']').filter(|_| group.starts_with('[')) {
        Some(bracket) => group.get(bracket..).and_then(|rest| rest.find(':')).map(|colon| bracket + colon),
        None => group.find(':'),
    };
    let (address, ports) = group.split_at(address_len.unwrap_or(group.len()));
    let network = match address {
        "%" | "*" => None,
        _ => match network(address) {
            Some(network) => Some(network),
            None => {
                let wants = "an IPv4 address or network, IPv6 in brackets, or % or * for any";
                return Err(broken(word, place.start..place.start + address.len(), wants));
            }
        },
    };
    let Some(list) = ports.strip_prefix(':') else {
        return Err(broken(word, place.end..place.end, "a colon and a port here, or :% for any"));
    };
    let mut at = place.start + address.len() + 1;
    let mut any = false;
    let mut numbers = Vec::new();
    for port in list.split(':') {
        match port.parse::<u16>().ok().filter(|&number| number > 0 && !port.starts_with('+')) {
            Some(number) => numbers.push(number),
            None if port == "%" || port == "*" => any = true,
            None => {
                let wants = "a port from 1 to 65535, or % or * for any";
                return Err(broken(word, at..at + port.len(), wants));
            }
        }
        at += port.len() + 1;
    }
    // One wildcard among the ports makes the others idle.
    if any {
        numbers.clear();
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(WatchTerm { side, network, ports: numbers })
}

/// An address or network; IPv6 with its brackets.
fn network(text: &str) -> Option<(std::net::IpAddr, u8)> {
    let Some(inside) = text.strip_prefix('[') else {
        return values::network(text).filter(|(address, _)| address.is_ipv4());
    };
    let (inside, behind) = inside.split_once(']')?;
    values::network(&format!("{inside}{behind}")).filter(|(address, _)| address.is_ipv6())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A term as text, so that tables can be read.
    fn told(term: &WatchTerm) -> String {
        let side = match term.side {
            WatchSide::Rx => "rx",
            WatchSide::Tx => "tx",
        };
        let place = term.network.map_or("any".to_owned(), |(net, prefix)| format!("{net}/{prefix}"));
        let ports: Vec<String> = term.ports.iter().map(u16::to_string).collect();
        format!("{side} {place} {}", if ports.is_empty() { "any".to_owned() } else { ports.join(" ") })
    }

    fn all(words: &[&str]) -> Result<String, String> {
        let watches = watches(words.iter().copied()).map_err(|error| error.to_string())?;
        let list = |terms: &[WatchTerm]| terms.iter().map(told).collect::<Vec<_>>().join(", ");
        let named = watches.named.iter().map(|watch| format!("{}: {}", watch.name, list(&watch.terms)));
        let mut told: Vec<String> = named.collect();
        if !watches.excluded.is_empty() {
            told.push(format!("not: {}", list(&watches.excluded)));
        }
        Ok(told.join("; "))
    }

    #[test]
    fn the_forms_of_tcpeeks_readme() {
        const DEFAULT: &str = "RX: rx any any; TX: tx any any";
        let table: &[(&[&str], &str)] = &[
            (&[], ""),
            (&["filter:RX@%:80:443"], "filter: rx any 80 443"),
            (&["filter:TX@192.168.0.0/24:%"], "filter: tx 192.168.0.0/24 any"),
            (&["filter:TX@192.168.0.7/24:*"], "filter: tx 192.168.0.0/24 any"),
            (&["filter:TX@%:%"], "filter: tx any any"),
            (&["filter:rx@*:443:80:80"], "filter: rx any 80 443"),
            (&["filter:RX@*:80:%"], "filter: rx any any"),
            (
                &["filter1:RX@192.0.2.1:80", "filter2:TX@192.0.2.1:80"],
                "filter1: rx 192.0.2.1/32 80; filter2: tx 192.0.2.1/32 80",
            ),
            (
                &["f:RX@192.168.0.100:80:443:8080,192.168.0.2:80,192.168.0.3:80:8080"],
                "f: rx 192.168.0.100/32 80 443 8080, rx 192.168.0.2/32 80, rx 192.168.0.3/32 80 8080",
            ),
            (&[":RX@*:22", ":TX@*:22"], "not: rx any 22, tx any 22"),
            (&[":RX@*:22", "a:TX@*:80", ":TX@%:22"], "a: tx any 80; not: rx any 22, tx any 22"),
            (&["six:RX@[2001:db8::1]:80"], "six: rx 2001:db8::1/128 80"),
            (
                &["six:TX@[2001:db8::]/32:80,[2001:db9::1/32]:%"],
                "six: tx 2001:db8::/32 80, tx 2001:db9::/32 any",
            ),
            (&["web:RX@*:80", "web:TX@*:443"], "web: rx any 80, tx any 443"),
            (&["a b:RX@*:1"], "a b: rx any 1"),
        ];
        for (words, expected) in table {
            let expected = match *expected {
                "" => DEFAULT.to_owned(),
                more => format!("{DEFAULT}; {more}"),
            };
            assert_eq!(all(words), Ok(expected), "{words:?}");
        }
    }

    #[test]
    fn a_default_can_be_said_otherwise() {
        let expected = "RX: rx any 80, tx any 80; TX: tx any any".to_owned();
        assert_eq!(all(&["RX:RX@*:80", "RX:TX@*:80"]), Ok(expected));
    }

    #[test]
    fn a_broken_one_says_where() {
        const ADDRESS: &str = "an IPv4 address or network, IPv6 in brackets, or % or * for any";
        const PORT: &str = "a port from 1 to 65535, or % or * for any";
        const NAME: &str = "a name and a colon before RX@ or TX@, or a colon alone to exclude";
        const HERE: &str = "a colon and a port here, or :% for any";
        let table = [
            ("web", ">><<web", NAME),
            ("RX@*:80", ">><<RX@*:80", NAME),
            ("web:80", "web:>>80<<", "RX@ or TX@, then ADDR:PORT"),
            ("a:UP@*:1", "a:>>UP<<@*:1", "RX (the server is here) or TX (the client is here)"),
            ("a:@*:1", "a:>><<@*:1", "RX (the server is here) or TX (the client is here)"),
            ("f:RX@", "f:RX@>><<", ADDRESS),
            ("f:RX@host:80", "f:RX@>>host<<:80", ADDRESS),
            ("f:RX@*:80,,*:81", "f:RX@*:80,>><<,*:81", ADDRESS),
            ("f:RX@2001:db8::1:80", "f:RX@>>2001<<:db8::1:80", ADDRESS),
            ("f:RX@[2001:db8::1:80", "f:RX@>>[2001<<:db8::1:80", ADDRESS),
            ("f:RX@[192.0.2.1]:80", "f:RX@>>[192.0.2.1]<<:80", ADDRESS),
            ("f:RX@[2001:db8::1]", "f:RX@[2001:db8::1]>><<", HERE),
            ("f:RX@192.0.2.1/33:80", "f:RX@>>192.0.2.1/33<<:80", ADDRESS),
            ("f:RX@*", "f:RX@*>><<", HERE),
            ("f:RX@*:70000", "f:RX@*:>>70000<<", PORT),
            ("f:RX@*:80:", "f:RX@*:80:>><<", PORT),
            ("f:RX@*:+80", "f:RX@*:>>+80<<", PORT),
            ("f:RX@*:0", "f:RX@*:>>0<<", PORT),
            ("f:RX@*:80,192.0.2.1:é", "f:RX@*:80,192.0.2.1:>>é<<", PORT),
        ];
        for (word, marked, wants) in table {
            let expected = format!("{marked} is no watch: between >> and << it takes {wants}");
            assert_eq!(all(&[word]), Err(expected), "{word}");
        }
        let many: Vec<String> = (0..63).map(|number| format!("w{number}:RX@*:80")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(all(&many[..62]).is_ok());
        assert!(all(&many).unwrap_err().starts_with(">>w62<<:RX@*:80 is no watch"));
    }

    #[test]
    fn words_of_filters_are_no_watches() {
        for word in
            ["host", "2001:db8::1", "ether", "00:11:22:33:44:55", "tcp[2:2] = 80", "a@b", "tcp x:RX@*:1"]
        {
            assert!(!is_watch(word), "{word:?}");
        }
        for word in ["f:RX@*:80", ":TX@*:22", "f:up@*:80", "f:RX@", "RX@*:80"] {
            assert!(is_watch(word), "{word:?}");
        }
    }

    proptest::proptest! {
        /// Whatever is typed: an answer, and marks that stand within the word.
        #[test]
        fn nothing_panics(word in "[a-z]{0,3}:?(RX|TX|x)?@?[0-9.*%\\[\\]:/,é-]{0,24}") {
            if let Err(sentence) = all(&[&word]) {
                let marked = sentence.split(" is no watch").next().unwrap_or_default();
                proptest::prop_assert_eq!(marked.replace(">>", "").replace("<<", ""), word);
            }
        }
    }
}
