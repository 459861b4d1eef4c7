//! Names for addresses: what outputs show in place of an address or beside it.
//!
//! Read from text in the form of hosts(5): an address, its name, other names
//! (which are read and not shown); `#` begins a comment. The first line of an
//! address counts, as it does for the system's own look-ups; the unspecified
//! address has none, as lists that block names put them there, and rows for the
//! rest bear it. Names are made fit for a terminal when they are read, so no
//! output has to think of it. Knows nothing of files: who has read one gives its
//! bytes and makes the sentence of [`BadLine`]. No address is looked up here: where
//! the run does that, [`LookUp`] has what is known by now, and never waits.
//! Source: hosts(5); RFC 4007 §11 for `%zone`.

use super::units::plain;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;

/// Longest name in characters, as DNS has it (RFC 1035 §2.3.4).
pub const NAME_MAX: usize = 253;

/// Names that are found out while the run goes on.
pub trait LookUp: Send + Sync {
    /// The name as it is known now, fit for a terminal; never waits. `wanted`: a
    /// row is shown, so it is worth to ask for it.
    fn name(&self, address: IpAddr, wanted: bool) -> Option<Arc<str>>;

    /// How many names have come so far: while it is the same, none is another one.
    fn named(&self) -> u64;
}

/// See the module's description.
#[derive(Clone, Default)]
pub struct Names {
    by_address: Arc<HashMap<IpAddr, Box<str>>>,
    look_up: Option<Arc<dyn LookUp>>,
    /// Nothing is asked for: what is known is shown.
    known_only: bool,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let looks_up = self.look_up.is_some();
        f.debug_struct("Names").field("by_address", &self.by_address).field("looks_up", &looks_up).finish()
    }
}

/// A line that is no line of hosts(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, from 1 on.
    pub number: usize,
    /// What is wrong with it, and what it takes; fit for a terminal.
    pub wrong: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.number, self.wrong)
    }
}

impl Names {
    /// Names of a text; bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// All lines that cannot be read, in their order.
    pub fn read(text: &[u8]) -> Result<Names, Vec<BadLine>> {
        let text = String::from_utf8_lossy(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
        let mut by_address = HashMap::new();
        let mut wrong = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            match read_line(line) {
                Ok(Some((address, name))) if !address.is_unspecified() => {
                    by_address.entry(address).or_insert_with(|| plain(name).into());
                }
                Ok(_) => {}
                Err(what) => wrong.push(BadLine { number, wrong: what }),
            }
        }
        let names = Names { by_address: by_address.into(), ..Names::default() };
        if wrong.is_empty() { Ok(names) } else { Err(wrong) }
    }

    /// From now on names that the file does not have come from there.
    pub fn look_up(&mut self, look_up: Arc<dyn LookUp>) {
        self.look_up = Some(look_up);
    }

    /// How many names have come since the start.
    pub fn named(&self) -> u64 {
        self.look_up.as_ref().map_or(0, |look_up| look_up.named())
    }

    /// The same names, of which none is asked for any more: for what goes through
    /// more addresses than anybody sees.
    pub fn known_only(&self) -> Names {
        Names { known_only: true, ..self.clone() }
    }

    /// The name that the file has for an address.
    pub fn of(&self, address: IpAddr) -> Option<&str> {
        self.by_address.get(&address).map(|name| &**name)
    }

    /// The same, else the one that was looked up.
    fn any(&self, address: IpAddr) -> Option<Cow<'_, str>> {
        match (self.of(address), &self.look_up) {
            (Some(name), _) => Some(name.into()),
            (None, Some(look_up)) => {
                look_up.name(address, !self.known_only).map(|name| name.to_string().into())
            }
            (None, None) => None,
        }
    }

    /// The name, else the address.
    pub fn shown(&self, address: IpAddr) -> String {
        let mut text = String::new();
        self.write(&mut text, address);
        text
    }

    /// The name, else the address, as it stands before a colon and a port.
    pub fn before_port(&self, address: IpAddr) -> String {
        let mut text = String::new();
        self.write_before_port(&mut text, address);
        text
    }

    /// Appends what [`Names::shown`] gives.
    pub fn write(&self, text: &mut String, address: IpAddr) {
        match self.any(address) {
            Some(name) => text.push_str(&name),
            None => write_address(text, address),
        }
    }

    /// Appends what [`Names::before_port`] gives.
    pub fn write_before_port(&self, text: &mut String, address: IpAddr) {
        match self.any(address) {
            Some(name) => text.push_str(&name),
            None if address.is_ipv4() => write_address(text, address),
            None => {
                text.push('[');
                write_address(text, address);
                text.push(']');
            }
        }
    }
}

/// Appends an address: a filter does it for each row there is.
fn write_address(text: &mut String, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        // A String takes all that is written to it.
        let _ = write!(text, "{address}");
        return;
    };
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        text.push_str(itoa::Buffer::new().format(octet));
    }
}

/// Address and name of a line; nothing of a blank one.
fn read_line(line: &str) -> Result<Option<(IpAddr, &str)>, String> {
    let content = line.split('#').next().unwrap_or_default();
    let mut words = content.split_whitespace();
    let Some(first) = words.next() else { return Ok(None) };
    let shown = |word: &str| plain(&word.chars().take(60).collect::<String>()).into_owned();
    let unscoped = match first.split_once('%') {
        // A link-local address with its interface: packets do not tell of it.
        Some((address, zone)) if address.contains(':') && !zone.is_empty() => address,
        _ => first,
    };
    let address: IpAddr = unscoped.parse().map_err(|_| {
        format!("{} is no address: a line takes an address and a name, as in 192.0.2.1 web1", shown(first))
    })?;
    let name = words.next().ok_or_else(|| {
        format!("{} has no name behind it: a line takes an address and a name", shown(first))
    })?;
    let length = name.chars().count();
    if length > NAME_MAX {
        return Err(format!("the name of {address} has {length} characters, {NAME_MAX} are the most"));
    }
    Ok(Some((address, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Names {
        Names::read(text.as_bytes()).expect("lines of hosts(5)")
    }

    fn of<'a>(names: &'a Names, address: &str) -> Option<&'a str> {
        names.of(address.parse().expect("an address"))
    }

    #[test]
    fn lines_are_those_of_hosts() {
        let names = names(
            "\u{feff}# ours\n\n192.0.2.1\tweb1 web1.example.org\r\n  192.0.2.2 db#1\n192.0.2.1 late\n\
             2001:db8:0::0:1 six # comment\nfe80::1%eth0 router\n::ffff:192.0.2.9 mapped",
        );
        assert_eq!(of(&names, "192.0.2.1"), Some("web1"), "the first line of an address");
        assert_eq!(of(&names, "192.0.2.2"), Some("db"));
        assert_eq!(of(&names, "2001:db8::1"), Some("six"));
        assert_eq!(of(&names, "fe80::1"), Some("router"));
        assert_eq!(of(&names, "192.0.2.9"), None, "packets of IPv4 are not those of IPv6");
        assert_eq!(of(&names, "192.0.2.3"), None);
        assert_eq!(of(&self::names("0.0.0.0 a\n:: b"), "0.0.0.0"), None, "many names are blocked so");
        assert_eq!(names.shown("2001:db8::2".parse().unwrap()), "2001:db8::2");
        assert_eq!(names.before_port("2001:db8::2".parse().unwrap()), "[2001:db8::2]");
        assert_eq!(names.before_port("2001:db8::1".parse().unwrap()), "six");
    }

    #[test]
    fn a_wrong_line_is_told_with_its_number() {
        let long = "x".repeat(254);
        let text =
            format!("192.0.2.1 a\nweb1 192.0.2.1\n\n192.0.2.2 # none\n192.0.2.3 {long}\n1.2.3 b\nx%y z");
        let told: Vec<String> =
            Names::read(text.as_bytes()).unwrap_err().iter().map(BadLine::to_string).collect();
        assert_eq!(
            told,
            [
                "line 2: web1 is no address: a line takes an address and a name, as in 192.0.2.1 web1",
                "line 4: 192.0.2.2 has no name behind it: a line takes an address and a name",
                "line 5: the name of 192.0.2.3 has 254 characters, 253 are the most",
                "line 6: 1.2.3 is no address: a line takes an address and a name, as in 192.0.2.1 web1",
                "line 7: x%y is no address: a line takes an address and a name, as in 192.0.2.1 web1",
            ]
        );
    }

    #[test]
    fn nothing_of_a_file_acts_on_a_terminal() {
        let names = Names::read(b"192.0.2.1 a\x1b[2J\xff\xc2\x9b1m\xe2\x80\xaeb").unwrap();
        assert_eq!(of(&names, "192.0.2.1"), Some("a\u{fffd}[2J\u{fffd}\u{fffd}1m\u{fffd}b"));
        let wrong = Names::read(b"\x1b]0;x\x07 a").unwrap_err();
        assert!(!wrong[0].to_string().contains(char::is_control), "{wrong:?}");
    }

    struct One;

    impl LookUp for One {
        fn name(&self, address: IpAddr, wanted: bool) -> Option<Arc<str>> {
            (address.to_string() == "192.0.2.7").then(|| if wanted { "asked" } else { "known" }.into())
        }

        fn named(&self) -> u64 {
            1
        }
    }

    #[test]
    fn what_is_looked_up_stands_behind_the_file_and_never_in_json() {
        let mut names = names("192.0.2.1 web1");
        names.look_up(Arc::new(One));
        let shown = |names: &Names, address: &str| names.shown(address.parse().unwrap());
        assert_eq!(shown(&names, "192.0.2.1"), "web1");
        assert_eq!(shown(&names, "192.0.2.7"), "asked");
        assert_eq!(shown(&names.known_only(), "192.0.2.7"), "known");
        assert_eq!(shown(&names, "192.0.2.8"), "192.0.2.8");
        assert_eq!(of(&names, "192.0.2.7"), None, "JSON has what the file says alone");
    }

    proptest::proptest! {
        /// Whatever stands in a file: no panic, and nothing that acts on a terminal.
        #[test]
        fn any_text_is_read_or_refused(text in "([0-9a-f.:%# \t\n\r]|\\PC|[\u{80}-\u{9f}]){0,80}") {
            match Names::read(text.as_bytes()) {
                Ok(names) => {
                    let mut all = names.by_address.values();
                    proptest::prop_assert!(all.all(|name| !name.contains(|c: char| c.is_control())));
                }
                Err(wrong) => {
                    proptest::prop_assert!(wrong.iter().all(|line| !line.to_string().contains(char::is_control)));
                }
            }
        }
    }
}
