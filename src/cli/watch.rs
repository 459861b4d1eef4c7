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
    let either = |terms: &[String]| terms.join(" or ");
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
