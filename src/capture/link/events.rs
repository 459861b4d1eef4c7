//! What happens to interfaces, as it happens.
//!
//! The kernel multicasts an interface's whole state whenever something about
//! it changes; an event is the difference from the state known before. If the
//! socket overflows (ENOBUFS), messages are lost: what is queued is older than
//! what was lost, so it is thrown away, all interfaces are read anew, and after
//! a [`LinkEvent::Resync`] come the differences. The end state is right either
//! way; what came and went in between is not told.
//!
//! What a bond or a slave tells of itself is compared as a whole: an event says
//! that it is another now, not what (read the bonds for that). Told by kernels
//! from 4.5 on; before, and for what the kernel keeps to itself, bonds have to
//! be read again now and then.
//!
//! Source: rtnetlink(7), netlink(7); net/core/rtnetlink.c.

use super::netlink::{
    RTM_DELADDR, RTM_DELLINK, RTM_NEWADDR, RTM_NEWLINK, RawLink, Route, dump, messages, parse_address,
    parse_link,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

/// Room for some hundred messages of about 1.5 KiB (the kernel's limit,
/// net.core.rmem_max, is often 208 KiB).
const BUFFER: usize = 1 << 20;
/// Largest datagram; a link message has a few KiB.
const DATAGRAM: usize = 64 << 10;
/// Datagrams taken by one call that finds no event in them.
const AT_ONCE: usize = 256;
/// Datagrams thrown away after an overflow before giving up until the next call.
const DISCARDED_AT_ONCE: usize = 1 << 16;

/// Something that happened to an interface. Names are those that it had then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// It was made, or came from another namespace. Up, Carrier and
    /// MasterChanged follow where they hold from the beginning.
    Appeared {
        /// Interface index.
        index: u32,
        /// Its name.
        name: String,
    },
    /// It was removed, or went to another namespace.
    Gone {
        /// Interface index.
        index: u32,
        /// Its last name.
        name: String,
    },
    /// It was set up.
    Up {
        /// Interface index.
        index: u32,
        /// Its name.
        name: String,
    },
    /// It was set down.
    Down {
        /// Interface index.
        index: u32,
        /// Its name.
        name: String,
    },
    /// Its line was connected or lost, while up.
    Carrier {
        /// Interface index.
        index: u32,
        /// Its name.
        name: String,
        /// Whether there is a carrier now.
        carrier: bool,
    },
    /// It has another name.
    Renamed {
        /// Interface index.
        index: u32,
        /// Its name before.
        from: String,
        /// Its name now.
        to: String,
    },
    /// It joined or left a bond, a bridge or another master.
    MasterChanged {
        /// Interface index.
        index: u32,
        /// Its name.
        name: String,
        /// Name of the master before.
        from: Option<String>,
        /// Name of the master now.
        to: Option<String>,
    },
    /// It has an IP address more or less.
    AddressChanged {
        /// Interface index.
        index: u32,
        /// Its name.
        name: String,
        /// The address.
        address: IpAddr,
        /// Its prefix length.
        prefix: u8,
        /// Added, or removed.
        added: bool,
    },
    /// Its MAC address changed.
    MacChanged {
        /// Interface index.
        index: u32,
        /// Its name.
        name: String,
        /// The address now.
        mac: Option<[u8; 6]>,
    },
    /// What a bond, or a slave as its bond sees it, tells of itself is another:
    /// mode, policy, active slave, aggregator, line state.
    BondChanged {
        /// Interface index.
        index: u32,
        /// Its name.
        name: String,
    },
    /// Messages were lost; the differences that they made follow.
    Resync,
}

/// Source of events for the network namespace in which it was opened. Its
/// descriptor becomes readable when there may be one.
pub struct EventSource {
    socket: Socket,
    known: BTreeMap<u32, RawLink>,
    pending: VecDeque<LinkEvent>,
    /// Messages were lost, and `known` has not been read anew since.
    stale: bool,
    buffer: Vec<u8>,
}

impl AsFd for EventSource {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl EventSource {
    /// Begins to listen: what changes from now on becomes an event.
    ///
    /// # Errors
    /// The kernel's, where netlink is not allowed.
    pub fn open() -> io::Result<EventSource> {
        EventSource::with_buffer(BUFFER)
    }

    /// [`EventSource::open`] with a socket buffer of `bytes` (the kernel
    /// doubles it, and keeps it within its limits).
    ///
    /// # Errors
    /// As [`EventSource::open`].
    pub fn with_buffer(bytes: usize) -> io::Result<EventSource> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        socket.set_rx_buf_sz(libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX))?;
        let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
        socket.bind(&SocketAddr::new(0, groups.cast_unsigned()))?;
        // Read after listening began, so that nothing falls between.
        let known = dump(&mut Route::open()?)?;
        let buffer = Vec::with_capacity(DATAGRAM);
        Ok(EventSource { socket, known, pending: VecDeque::new(), stale: false, buffer })
    }

    /// The next event, if one is there; does not wait.
    ///
    /// # Errors
    /// The socket's, or those of reading anew after an overflow, which the next
    /// call tries again.
    pub fn next_event(&mut self) -> io::Result<Option<LinkEvent>> {
        for _ in 0..AT_ONCE {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            if self.stale {
                self.resync()?;
                continue;
            }
            match self.receive() {
                Ok(true) => self.take_datagram(),
                Ok(false) => return Ok(None),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    self.stale = true;
                    self.pending.push_back(LinkEvent::Resync);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.pending.pop_front())
    }

    /// Fills the buffer with a datagram of the kernel's; false if none is there.
    fn receive(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        self.buffer.reserve(DATAGRAM);
        match self.socket.recv_from(&mut self.buffer, 0) {
            Ok((_, sender)) => {
                // Port 0 is the kernel; a process may not be believed.
                if sender.port_number() != 0 {
                    self.buffer.clear();
                }
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.buffer.clear();
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    fn take_datagram(&mut self) {
        let datagram = std::mem::take(&mut self.buffer);
        for (header, payload) in messages(&datagram) {
            match header.message_type {
                RTM_NEWLINK => {
                    if let Some(link) = parse_link(payload) {
                        self.link_is(link);
                    }
                }
                RTM_DELLINK => {
                    if let Some(link) = parse_link(payload) {
                        self.link_gone(link.link.index);
                    }
                }
                RTM_NEWADDR | RTM_DELADDR => {
                    if let Some((index, address, prefix)) = parse_address(payload) {
                        self.address_is(index, (address, prefix), header.message_type == RTM_NEWADDR);
                    }
                }
                _ => {}
            }
        }
        self.buffer = datagram;
    }

    /// A link's state as a message has it (its addresses come by other ones).
    fn link_is(&mut self, mut new: RawLink) {
        let index = new.link.index;
        let name = new.link.name.clone();
        let old = self.known.remove(&index);
        let mut events = Vec::new();
        match &old {
            None => events.push(LinkEvent::Appeared { index, name: name.clone() }),
            Some(old) if old.link.name != name => {
                events.push(LinkEvent::Renamed { index, from: old.link.name.clone(), to: name.clone() });
            }
            Some(_) => {}
        }
        let (was_up, had_carrier, had_master) =
            old.as_ref().map_or((false, None, None), |old| (old.link.up, old.link.carrier, old.master));
        if new.master != had_master {
            let [from, to] = [had_master, new.master].map(|master| self.name_of(master));
            events.push(LinkEvent::MasterChanged { index, name: name.clone(), from, to });
        }
        if new.link.up != was_up {
            let name = name.clone();
            let event =
                if new.link.up { LinkEvent::Up { index, name } } else { LinkEvent::Down { index, name } };
            events.push(event);
        }
        if let Some(carrier) = new.link.carrier.filter(|_| new.link.carrier != had_carrier) {
            events.push(LinkEvent::Carrier { index, name: name.clone(), carrier });
        }
        if let Some(old) = old {
            // One that joins or leaves is told above.
            if old.bond != new.bond || old.slave != new.slave && had_master == new.master {
                events.push(LinkEvent::BondChanged { index, name: name.clone() });
            }
            if old.link.mac != new.link.mac {
                events.push(LinkEvent::MacChanged { index, name, mac: new.link.mac });
            }
            new.link.addresses = old.link.addresses;
        }
        self.known.insert(index, new);
        self.pending.extend(events);
    }

    fn link_gone(&mut self, index: u32) {
        if let Some(old) = self.known.remove(&index) {
            self.pending.push_back(LinkEvent::Gone { index, name: old.link.name });
        }
    }

    fn address_is(&mut self, index: u32, (address, prefix): (IpAddr, u8), added: bool) {
        // Addresses of a device that is gone went with it.
        let Some(known) = self.known.get_mut(&index) else { return };
        let place = known.link.addresses.iter().position(|own| *own == (address, prefix));
        match (place, added) {
            (None, true) => known.link.addresses.push((address, prefix)),
            (Some(place), false) => {
                known.link.addresses.swap_remove(place);
            }
            // Told again, with another lifetime or flag.
            (Some(_), true) | (None, false) => return,
        }
        let name = known.link.name.clone();
        self.pending.push_back(LinkEvent::AddressChanged { index, name, address, prefix, added });
    }

    /// After an overflow: all anew. The queue is emptied first; until it is, the
    /// kernel reports no second overflow (NETLINK_S_CONGESTED).
    fn resync(&mut self) -> io::Result<()> {
        for _ in 0..DISCARDED_AT_ONCE {
            match self.receive() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) => return Err(error),
            }
        }
        let now = dump(&mut Route::open()?)?;
        let gone: Vec<u32> = self.known.keys().filter(|index| !now.contains_key(index)).copied().collect();
        gone.into_iter().for_each(|index| self.link_gone(index));
        for (index, mut link) in now {
            let addresses = std::mem::take(&mut link.link.addresses);
            let old = self.known.get(&index).map(|old| old.link.addresses.clone()).unwrap_or_default();
            self.link_is(link);
            for address in old.iter().filter(|address| !addresses.contains(address)) {
                self.address_is(index, *address, false);
            }
            addresses.into_iter().for_each(|address| self.address_is(index, address, true));
        }
        self.stale = false;
        Ok(())
    }

    fn name_of(&self, index: Option<u32>) -> Option<String> {
        let index = index?;
        // A master may have gone, or come, by a message not yet seen.
        Some(self.known.get(&index).map_or_else(|| format!("#{index}"), |known| known.link.name.clone()))
    }
}
