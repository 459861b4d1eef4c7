//! tcpeek's filters, `[NAME]:DIR@ADDR:PORT[:PORT…][,…]`, told as tcpdump's.
//!
//! Only to answer the habit: the words are recognised and the expression that
//! counts the same connections is made for the user to type. Which side
//! listens (RX, TX) is lost on the way: an expression knows no local side.
//! Source: tcpeek's README, section "expression".

use super::values;

/// Whether a word has the form: a name without blanks, then RX@ or TX@.
pub(super) fn is_watch(word: &str) -> bool {
    parts(word).is_some()
}

/// The name and what follows the @.
fn parts(word: &str) -> Option<(&str, &str)> {
    let (name, rest) = word.split_once(':')?;
    let (direction, ends) = rest.split_once('@')?;
    let known = direction.eq_ignore_ascii_case("RX") || direction.eq_ignore_ascii_case("TX");
    let plain = !word.contains(char::is_whitespace);
    if known && plain { Some((name, ends)) } else { None }
}

/// One expression for all the words; `None` where one cannot be read.
pub(super) fn as_expression(words: &[String]) -> Option<String> {
    let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
    for word in words {
        let (name, ends) = parts(word)?;
        let list = if name.is_empty() { &mut unwanted } else { &mut wanted };
        for end in ends.split(',') {
            let term = term(end)?;
            if !list.contains(&term) {
                list.push(term);
            }
        }
    }
    // In an expression `and` and `or` bind alike, from the left (pcap-filter(7)).
    let either = |terms: &[String]| match terms {
        [term] => term.clone(),
        terms => terms.iter().map(|term| format!("({term})")).collect::<Vec<_>>().join(" or "),
    };
    match (wanted.as_slice(), unwanted.as_slice()) {
        ([], []) => None,
        (wanted, []) => Some(either(wanted)),
        ([], unwanted) => Some(format!("tcp and not ({})", either(unwanted))),
        (wanted, unwanted) => Some(format!("({}) and not ({})", either(wanted), either(unwanted))),
    }
}

/// `ADDR:PORT[:PORT…]`; % and * stand for any.
fn term(end: &str) -> Option<String> {
    let any = |text: &str| text == "%" || text == "*";
    let mut fields = end.split(':');
    let address = fields.next()?;
    let mut ports = Vec::new();
    for port in fields {
        ports.push(if any(port) { None } else { Some(port.parse::<u16>().ok()?) });
    }
    // One wildcard among the ports makes the others idle.
    let ports: Vec<u16> = ports.into_iter().collect::<Option<_>>().unwrap_or_default();
    let port = match ports.as_slice() {
        [] => String::new(),
        [port] => format!(" port {port}"),
        many => {
            let each: Vec<String> = many.iter().map(|port| format!("port {port}")).collect();
            format!(" and ({})", each.join(" or "))
        }
    };
    let place = if any(address) {
        String::new()
    } else {
        let (net, prefix) = values::network(address)?;
        if address.contains('/') { format!(" and net {net}/{prefix}") } else { format!(" and host {net}") }
    };
    Some(format!("tcp{port}{place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What we tell people to type has to be what tcpdump takes.
    fn compiles(expression: &str) {
        match std::process::Command::new("tcpdump").args(["-y", "EN10MB", "-d", expression]).output() {
            Ok(told) => {
                let error = String::from_utf8_lossy(&told.stderr);
                assert!(!told.stdout.is_empty(), "{expression}: {error}");
            }
            Err(error) => eprintln!("SKIPPED: tcpdump did not judge {expression:?}: {error}"),
        }
    }

    #[test]
    fn words_become_expressions() {
        // The forms of tcpeek's README.
        let table: &[(&[&str], Option<&str>)] = &[
            (&["filter:RX@%:80:443"], Some("tcp and (port 80 or port 443)")),
            (&["filter:TX@192.168.0.0/24:%"], Some("tcp and net 192.168.0.0/24")),
            (&["filter:TX@192.168.0.7/24:%"], Some("tcp and net 192.168.0.0/24")),
            (&["filter:TX@%:%"], Some("tcp")),
            (&["RX:RX@*:*", "TX:TX@*:*"], Some("tcp")),
            (&[":RX@*:22", ":TX@*:22"], Some("tcp and not (tcp port 22)")),
            (&["a:rx@*:80", ":RX@192.0.2.9:*"], Some("(tcp port 80) and not (tcp and host 192.0.2.9)")),
            (
                &["f:RX@192.0.2.1:80:443:8080,192.0.2.2:80"],
                Some(
                    "(tcp and (port 80 or port 443 or port 8080) and host 192.0.2.1) or (tcp port 80 and host 192.0.2.2)",
                ),
            ),
            (&["f:RX@*:70000"], None),
            (&["f:RX@host:80"], None),
            (&["f:RX@"], None),
        ];
        for (words, expected) in table {
            assert!(words.iter().all(|word| is_watch(word)), "{words:?}");
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(as_expression(&words).as_deref(), *expected, "{words:?}");
            expected.inspect(|expression| compiles(expression));
        }
    }

    #[test]
    fn filter_words_are_no_watches() {
        for word in ["host", "2001:db8::1", "ether", "00:11:22:33:44:55", "a:UP@*:1", "tcp[2:2] = 80"] {
            assert!(!is_watch(word), "{word:?}");
        }
    }
}
