//! What an output asks to see: which rows, of what, in which order, how many.

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grouping {
    /// A flow.
    Connection,
    /// Two addresses.
    Pair,
    /// One address, whichever end it is.
    Host,
    /// The server's address.
    Destination,
    /// Protocol and server's port.
    Port,
    /// An interface.
    Interface,
}

/// Order of rows, largest first; equal ones by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Bytes of the interval.
    Rate,
    /// Bytes since the start.
    Bytes,
    /// Packets since the start.
    Packets,
    /// By name alone.
    None,
}

/// A request for rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// What a row is.
    pub grouping: Grouping,
    /// Their order.
    pub order: Order,
    /// Most rows.
    pub limit: usize,
}
