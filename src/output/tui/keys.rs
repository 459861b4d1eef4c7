//! The keys of the screen: one table, from which `?` and the docs are made and
//! by which a key finds what it does. Only what works stands here.
//! Sources: tcptrack's manual and iftop's, where the two agree with a habit.

use super::Kind;
use std::fmt;
use std::str::FromStr;

/// A key, as terminals tell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Char(char),
    /// A character with Ctrl.
    Ctrl(char),
    /// An arrow.
    Up,
    /// An arrow.
    Down,
    /// An arrow.
    Left,
    /// An arrow.
    Right,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// The first row.
    Home,
    /// The last one.
    End,
    /// The next view.
    Tab,
    /// The one before.
    BackTab,
    /// Details.
    Enter,
    /// Away.
    Escape,
    /// Takes a character back.
    Backspace,
    /// A function key.
    F(u8),
    /// The mouse's wheel, up or down.
    Wheel(bool),
    /// A click on this column and line.
    Click(u16, u16),
}

/// Names of keys that are one word, as they travel.
const WORDS: [(&str, Key); 15] = [
    ("up", Key::Up),
    ("down", Key::Down),
    ("left", Key::Left),
    ("right", Key::Right),
    ("page-up", Key::PageUp),
    ("page-down", Key::PageDown),
    ("home", Key::Home),
    ("end", Key::End),
    ("tab", Key::Tab),
    ("back-tab", Key::BackTab),
    ("enter", Key::Enter),
    ("escape", Key::Escape),
    ("backspace", Key::Backspace),
    ("wheel-up", Key::Wheel(true)),
    ("wheel-down", Key::Wheel(false)),
];

impl fmt::Display for Key {
    /// As it travels from who looks on; [`Key::from_str`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Key::Char(one) => write!(f, "char {:x}", u32::from(one)),
            Key::Ctrl(one) => write!(f, "ctrl {:x}", u32::from(one)),
            Key::F(number) => write!(f, "f {number}"),
            Key::Click(column, line) => write!(f, "click {column} {line}"),
            key => f.write_str(WORDS.iter().find(|(_, one)| *one == key).map_or("", |(word, _)| word)),
        }
    }
}

impl FromStr for Key {
    type Err = ();

    fn from_str(text: &str) -> Result<Key, ()> {
        let words: Vec<&str> = text.split(' ').collect();
        let one = |code: &str| u32::from_str_radix(code, 16).ok().and_then(char::from_u32).ok_or(());
        match words[..] {
            ["char", code] => one(code).map(Key::Char),
            ["ctrl", code] => one(code).map(Key::Ctrl),
            ["f", number] => number.parse().map(Key::F).map_err(|_| ()),
            ["click", column, line] => match (column.parse(), line.parse()) {
                (Ok(column), Ok(line)) => Ok(Key::Click(column, line)),
                _ => Err(()),
            },
            [word] => WORDS.iter().find(|(name, _)| *name == word).map(|(_, key)| *key).ok_or(()),
            _ => Err(()),
        }
    }
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Ends the run.
    Quit,
    /// Rows stay as they are, or go on.
    Pause,
    /// The next order.
    Sort,
    /// Order by an average.
    SortBy(usize),
    /// Order by the client, of pairs by the first address.
    ByName,
    /// Order by the second end.
    ByDestination,
    /// Rows keep their order, and no other ones come in.
    Freeze,
    /// Scrolls by lines.
    Lines(i32),
    /// Three rows, as the wheel turns.
    Wheel,
    /// Scrolls by pages.
    Pages(i32),
    /// The row that is clicked, the order of a heading, the moment of a column.
    Click,
    /// The first row.
    Home,
    /// The last row asked for.
    End,
    /// The view so many further on.
    Turn(usize),
    /// That view.
    To(Kind),
    /// Another moment: back a second or a minute, or on.
    Past,
    /// Shorter or longer columns of the chart.
    Zoom,
    /// Help.
    Help,
    /// Takes a filter in.
    Filter,
    /// Takes a capture filter in.
    CaptureFilter,
    /// No filter, no details, no help.
    Leave,
    /// Details.
    Open,
    /// Names or addresses.
    Names,
    /// Names of services or ports.
    Services,
    /// Sums over the first side (0) or the second.
    Merge(usize),
    /// Bits or bytes.
    Unit,
    /// Ports of the first side.
    FirstPorts,
    /// Ports of the second side.
    SecondPorts,
    /// The column of sums.
    Sums,
    /// Two lines a pair, one, sent only, received only.
    LineMode,
    /// Bars.
    Bars,
    /// Bars by logarithm.
    Log,
}

/// A line of the table.
pub struct Binding {
    /// Keys that do the same.
    pub keys: &'static [Key],
    /// Their names.
    pub shown: &'static str,
    /// Views that it is for; none are all.
    pub views: &'static [Kind],
    /// What it does.
    pub does: Does,
    /// The same in words.
    pub meaning: &'static str,
}

const fn bind(keys: &'static [Key], shown: &'static str, does: Does, meaning: &'static str) -> Binding {
    Binding { keys, shown, views: &[], does, meaning }
}

const fn of(
    views: &'static [Kind],
    keys: &'static [Key],
    shown: &'static str,
    does: Does,
    meaning: &'static str,
) -> Binding {
    Binding { keys, shown, views, does, meaning }
}

const ROWS: &[Kind] = &[Kind::Connections, Kind::Hosts];
const HOSTS: &[Kind] = &[Kind::Hosts];
const LINKS: &[Kind] = &[Kind::Links];
const CLICKED: &[Kind] = &[Kind::Connections, Kind::Hosts, Kind::Links];

/// See the module's description.
pub static KEYS: &[Binding] = &[
    bind(&[Key::Char('q'), Key::Ctrl('c')], "q Ctrl-C", Does::Quit, "quit; totals are printed"),
    bind(
        &[Key::Char('p'), Key::Char('P'), Key::Char(' ')],
        "p P space",
        Does::Pause,
        "pause; counting goes on",
    ),
    bind(&[Key::Char('?')], "?", Does::Help, "this help"),
    bind(&[Key::Tab], "Tab", Does::Turn(1), "next view"),
    bind(&[Key::BackTab], "Shift-Tab", Does::Turn(Kind::ALL.len() - 1), "view before"),
    bind(&[Key::F(1)], "F1", Does::To(Kind::Connections), "connections"),
    bind(&[Key::F(2)], "F2", Does::To(Kind::Hosts), "pairs of hosts"),
    bind(&[Key::F(3)], "F3", Does::To(Kind::Destinations), "destinations"),
    bind(&[Key::F(4)], "F4", Does::To(Kind::Handshakes), "handshakes and failures"),
    bind(&[Key::F(5)], "F5", Does::To(Kind::Links), "links side by side"),
    bind(&[Key::F(6)], "F6", Does::To(Kind::Bursts), "bursts"),
    bind(&[Key::Up, Key::Char('k')], "↑ k", Does::Lines(-1), "up a row"),
    bind(&[Key::Down, Key::Char('j')], "↓ j", Does::Lines(1), "down a row"),
    bind(&[Key::Wheel(true), Key::Wheel(false)], "wheel", Does::Wheel, "three rows up or down"),
    bind(&[Key::PageUp], "PgUp", Does::Pages(-1), "up a page"),
    bind(&[Key::PageDown], "PgDn", Does::Pages(1), "down a page"),
    bind(&[Key::Home], "Home", Does::Home, "first row"),
    bind(&[Key::End], "End", Does::End, "last row, 10,000 at most"),
    bind(&[Key::Left, Key::Right], "← →", Does::Past, "back a second, or on"),
    bind(&[Key::Char('['), Key::Char(']')], "[ ]", Does::Past, "back a minute, or on"),
    bind(&[Key::Enter], "Enter", Does::Open, "all about the row"),
    bind(&[Key::Escape], "Esc", Does::Leave, "no details, past, filter"),
    bind(&[Key::Char('f')], "f", Does::CaptureFilter, "capture filter, as tcpdump's"),
    bind(&[Key::Char('B')], "B", Does::Unit, "bytes or bits"),
    bind(&[Key::Char('n')], "n", Does::Names, "names or addresses"),
    of(ROWS, &[Key::Char('s')], "s", Does::Sort, "order: rate or sums"),
    of(ROWS, &[Key::Char('1')], "1", Does::SortBy(0), "order by 2 s average"),
    of(ROWS, &[Key::Char('2')], "2", Does::SortBy(1), "order by 10 s average"),
    of(ROWS, &[Key::Char('3')], "3", Does::SortBy(2), "order by 40 s average"),
    of(ROWS, &[Key::Char('<')], "<", Does::ByName, "order by source"),
    of(ROWS, &[Key::Char('>')], ">", Does::ByDestination, "order by destination"),
    of(CLICKED, &[Key::Click(0, 0)], "click", Does::Click, "order, or moment"),
    of(LINKS, &[Key::Char('+'), Key::Char('-')], "+ -", Does::Zoom, "shorter columns, longer"),
    of(ROWS, &[Key::Char('o')], "o", Does::Freeze, "freeze the order"),
    of(ROWS, &[Key::Char('/'), Key::Char('l')], "/ l", Does::Filter, "filter by a pattern"),
    of(ROWS, &[Key::Char('b')], "b", Does::Bars, "bars or none"),
    of(ROWS, &[Key::Char('L')], "L", Does::Log, "bars by logarithm"),
    of(HOSTS, &[Key::Char('S')], "S", Does::FirstPorts, "ports of the first side"),
    of(HOSTS, &[Key::Char('D')], "D", Does::SecondPorts, "ports of the second side"),
    of(HOSTS, &[Key::Char('N')], "N", Does::Services, "services or ports"),
    of(HOSTS, &[Key::Char('x')], "x", Does::Merge(0), "sum over sources"),
    of(HOSTS, &[Key::Char('X')], "X", Does::Merge(1), "sum over destinations"),
    of(HOSTS, &[Key::Char('T')], "T", Does::Sums, "sums since the start"),
    of(HOSTS, &[Key::Char('t')], "t", Does::LineMode, "two lines, one, =>, <="),
];

/// What a key does in a view.
pub fn find(key: Key, view: Kind) -> Option<Does> {
    let fits = |binding: &&Binding| {
        binding.keys.contains(&key) && (binding.views.is_empty() || binding.views.contains(&view))
    };
    KEYS.iter().find(fits).map(|binding| binding.does)
}

/// The table for `docs/KEYS.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Keys of the screen\n\nMade from the table in src/output/tui/keys.rs, as the screen's own help (`?`) is.\n\n\
         | key | views | does |\n|---|---|---|\n",
    );
    for binding in KEYS {
        let views: Vec<&str> = binding.views.iter().map(|view| view.name()).collect();
        let views = if views.is_empty() { "all".to_owned() } else { views.join(", ") };
        text += &format!("| `{}` | {views} | {} |\n", binding.shown, binding.meaning.replace('|', "\\|"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_travels() {
        let others = [Key::Char('ß'), Key::Char(' '), Key::Ctrl('c'), Key::F(12), Key::Click(7, 65535)];
        for key in WORDS.iter().map(|(_, key)| *key).chain(others) {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
    }

    #[test]
    fn no_key_means_two_things_in_a_view() {
        for view in Kind::ALL {
            let here = KEYS.iter().filter(|one| one.views.is_empty() || one.views.contains(&view));
            let mut seen: Vec<Key> = Vec::new();
            for key in here.flat_map(|one| one.keys) {
                assert!(!seen.contains(key), "{key:?} in {}", view.name());
                seen.push(*key);
            }
        }
    }
}
