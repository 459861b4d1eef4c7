//! Attempts that came to nothing, by server: a table of the summary.

use super::handshakes::aligned;
use super::units::grouped;
use crate::aggregate::flood::{Incomplete, REST, Server};
use std::net::SocketAddr;

/// A column behind the server.
pub struct Column {
    /// Its heading.
    pub heading: &'static str,
    /// Where JSON lines have the figure, within each of `stop.incomplete_handshakes`.
    pub json: &'static str,
    /// What it means.
    pub meaning: &'static str,
    figure: fn(&Incomplete) -> u64,
}

/// Heading of the servers.
pub const SERVER_HEADING: &str = "Came to nothing";

/// Columns, in their order.
pub static COLUMNS: [Column; 5] = [
    Column {
        heading: "Attempts",
        json: "`attempts`",
        meaning: "Attempts to connect that were neither finished nor answered by a refusal: the sum of the others.",
        figure: Incomplete::attempts,
    },
    Column {
        heading: "No S/A",
        json: "`timeout.no_synack`",
        meaning: "Timed out: nobody answered the SYN.",
        figure: |sum| sum.no_synack,
    },
    Column {
        heading: "No ACK",
        json: "`timeout.no_ack`",
        meaning: "Timed out: nobody answered the SYN/ACK, as where sources are pretended.",
        figure: |sum| sum.no_ack,
    },
    Column {
        heading: "Evicted",
        json: "`evicted`",
        meaning: "Pushed out of the full flow table, of which half-open ones have a quarter (`--max-flows`).",
        figure: |sum| sum.evicted,
    },
    Column {
        heading: "Indeterminate",
        json: "`indeterminate`",
        meaning: "Not finished in time, but the capture lost something meanwhile.",
        figure: |sum| sum.indeterminate,
    },
];

/// Its line for each server, behind an empty line; nothing where there is none.
pub fn table(servers: &[(Server, Incomplete)]) -> String {
    if servers.is_empty() {
        return String::new();
    }
    let headings = COLUMNS.iter().map(|column| column.heading.to_owned()).collect();
    let mut lines = vec![(SERVER_HEADING.to_owned(), headings)];
    lines.extend(servers.iter().map(|(server, sum)| {
        let name = if *server == REST { "others".to_owned() } else { SocketAddr::from(*server).to_string() };
        (name, COLUMNS.iter().map(|column| grouped((column.figure)(sum))).collect())
    }));
    format!("\n{}", aligned(&lines))
}
