//! Gives later fragments the ports of their datagram's first.
//!
//! A table of fixed size, one place for each hash: a newer datagram takes the
//! place of an older one, whose later fragments then count as
//! `fragment_without_first`. Entries are good for 30 s of packet time, Linux's
//! own limit for reassembly (net/ipv4/ip_fragment.c, IP_FRAG_TIME).

use crate::flow::key::{End, FlowKey};

const PLACES: usize = 4096;
const LIFE_NS: u64 = 30_000_000_000;

/// What names a datagram (RFC 791 §3.2, RFC 8200 §4.5).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Id {
    pub source: [u64; 2],
    pub destination: [u64; 2],
    pub identification: u32,
    pub protocol: u8,
    pub group: u8,
    pub vlan: u16,
}

impl Id {
    fn place(&self) -> usize {
        let end = |address, port| End { address, port };
        let low = self.identification as u16;
        let (key, _) = FlowKey::new(
            end(self.source, low),
            end(self.destination, (self.identification >> 16) as u16),
            self.protocol,
            false,
            self.group,
            self.vlan,
        );
        key.hash([0x5851_f42d_4c95_7f2d, 0x1405_7b7e_f767_814f]) as usize % PLACES
    }
}

/// Ports of the datagrams whose first fragment came by.
pub struct FragmentTable {
    /// Made at the first fragment: most links never see one.
    places: Vec<(Id, (u16, u16), u64)>,
}

impl FragmentTable {
    pub(super) fn new() -> FragmentTable {
        FragmentTable { places: Vec::new() }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn remember(&mut self, id: &Id, ports: (u16, u16), time_ns: u64) {
        if self.places.is_empty() {
            self.places = vec![(Id::default(), (0, 0), 0); PLACES];
        }
        self.places[id.place()] = (*id, ports, time_ns);
    }

    pub(super) fn ports(&self, id: &Id, time_ns: u64) -> Option<(u16, u16)> {
        let (known, ports, since) = self.places.get(id.place())?;
        (known == id && time_ns.saturating_sub(*since) < LIFE_NS).then_some(*ports)
    }
}
