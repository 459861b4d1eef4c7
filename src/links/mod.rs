//! How a bond spreads what it sends: hash policies, what another one would do,
//! how even a split is.
//!
//! Pure: headers and sums in, figures out. Knows no bond of this machine, no
//! packet path, no clock and no output; who uses it says which slaves there
//! are, in the driver's order, and what each flow sent on which of them.
//!
//! Invariant: nothing is advised that was not checked against what was seen
//! ([`what_if`]). Source: Documentation/networking/bonding.rst.

pub mod balance;
pub mod header;
pub mod policy;
pub mod what_if;
