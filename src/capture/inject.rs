//! Frames put on an interface, for a pretended network.

use super::sys::{SockFilter, Socket};
use std::io;

/// A socket on one interface of the namespace in which it was opened; it sends and
/// hears nothing.
pub struct Injector(Socket);

impl Injector {
    /// On the interface `name`.
    ///
    /// # Errors
    /// The kernel's: no right, no such interface.
    pub fn open(name: &str) -> io::Result<Injector> {
        let mut socket = Socket::open()?;
        socket.attach_filter(&[SockFilter::ret(0)])?;
        socket.bind(name)?;
        Ok(Injector(socket))
    }

    /// Sends one frame, from its Ethernet header on.
    ///
    /// # Errors
    /// The kernel's: longer than the interface takes, no room, the interface is down.
    pub fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.0.send(frame)
    }
}
