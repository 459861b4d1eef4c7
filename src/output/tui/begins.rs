//! How a screen begins where files say it: states that a key could have made too.
//!
//! A state is set, not toggled: said twice it is the same. Keys that the command line
//! types come after these, and toggle what they find.

use super::State;
use super::filter::Filter;
use super::keys::Key;
use crate::aggregate::view::{Order, Window};
use crate::config::{Begin, RowOrder};

impl State {
    /// The same with these states, a later one before an earlier one of its kind.
    pub fn beginning(mut self, begins: &[Begin]) -> State {
        for begin in begins {
            match begin {
                Begin::View(kind) => self.kind = *kind,
                Begin::Names(shown) => self.names = *shown,
                Begin::Sums(shown) => self.sums = *shown,
                Begin::Bars(shown) => self.bars.shown = *shown,
                Begin::LogScale(log) => self.log = *log,
                Begin::Unit(unit) => self.style.unit = *unit,
                Begin::FirstPorts(shown) => self.ports[0] = *shown,
                Begin::SecondPorts(shown) => self.ports[1] = *shown,
                Begin::Lines(mode) => self.line_mode = *mode,
                // The first one is of connections.
                Begin::Order(order) => self.orders[1] = order_of(*order),
                Begin::Summed { second } => self.merged = Some(usize::from(*second)),
                Begin::Filter(pattern) => {
                    self.filter = Filter::default();
                    self.filter.begin();
                    pattern.chars().map(Key::Char).chain([Key::Enter]).for_each(|key| {
                        self.filter.press(key);
                    });
                }
            }
        }
        self
    }
}

/// An order among hosts, as its key makes it.
fn order_of(order: RowOrder) -> Order {
    match order {
        RowOrder::Rate => Order::Rate,
        RowOrder::Average2s => Order::Average(Window::Short),
        RowOrder::Average10s => Order::Average(Window::Middle),
        RowOrder::Average40s => Order::Average(Window::Long),
        RowOrder::Name => Order::None,
        RowOrder::Destination => Order::Destination,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Bars, By, Kind, LineMode, Sort, Unit};
    use crate::output::Style;
    use crate::output::tui::Run;

    fn state() -> State {
        let unit = Unit::Bits;
        let style = Style { by: By::Connection, sort: Sort::Rate, top: 20, unit, whole: false, color: true };
        State::new(style, Bars::default())
    }

    /// All that a state and a key can both make of the screen.
    fn seen(state: &State) -> impl PartialEq + std::fmt::Debug + use<> {
        let switches = [state.names, state.sums, state.bars.shown, state.log, state.ports[0], state.ports[1]];
        let filter = state.filter.told().map(str::to_owned);
        (state.kind, switches, state.style.unit, state.line_mode, state.orders, (state.merged, filter))
    }

    #[test]
    fn a_state_is_what_its_key_makes_and_twice_the_same() {
        let typed = |keys: &str| {
            let mut state = state();
            state.press(Key::F(2), None, &Run::default());
            keys.chars().map(|one| if one == '\n' { Key::Enter } else { Key::Char(one) }).for_each(|key| {
                state.press(key, None, &Run::default());
            });
            state
        };
        for (begin, keys) in [
            (Begin::Names(false), "n"),
            (Begin::Sums(true), "T"),
            (Begin::Sums(false), ""),
            (Begin::Bars(false), "b"),
            (Begin::LogScale(true), "L"),
            (Begin::Unit(Unit::Bytes), "B"),
            (Begin::FirstPorts(true), "S"),
            (Begin::SecondPorts(true), "D"),
            (Begin::Lines(LineMode::One), "t"),
            (Begin::Lines(LineMode::Sent), "tt"),
            (Begin::Lines(LineMode::Received), "ttt"),
            (Begin::Order(RowOrder::Average2s), "1"),
            (Begin::Order(RowOrder::Average10s), "2"),
            (Begin::Order(RowOrder::Average40s), "3"),
            (Begin::Order(RowOrder::Name), "<"),
            (Begin::Order(RowOrder::Destination), ">"),
            (Begin::Summed { second: false }, "x"),
            (Begin::Summed { second: true }, "X"),
            (Begin::Filter("web".into()), "/web\n"),
        ] {
            let hosts = Begin::View(Kind::Hosts);
            let once = state().beginning(&[hosts.clone(), begin.clone()]);
            let twice = state().beginning(&[hosts, begin.clone(), begin.clone()]);
            assert_eq!(seen(&once), seen(&typed(keys)), "{begin:?}");
            assert_eq!(seen(&twice), seen(&once), "{begin:?}");
        }
    }
}
