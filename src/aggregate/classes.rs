//! Classes of traffic: what the user calls the networks and ports of a flow.
//!
//! A flow is in one class, the first whose term fits it, or in none (number 0),
//! so classes add up to everything. Knows keys and numbers of classes; their
//! names are the outputs'.

use super::watch::Network;
use crate::capture::Lane;
use crate::flow::key::FlowKey;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Number of a class; [`NO_CLASS`] is what no term fits.
pub type ClassId = u16;
/// What is in none.
pub const NO_CLASS: ClassId = 0;

/// Which flows.
#[derive(Clone, Debug)]
pub struct Term {
    /// Alone: either end is in it. With ports: the server is.
    pub network: Option<Network>,
    /// Ports of the server; None is any.
    pub ports: Option<RangeInclusive<u16>>,
    /// IP protocol; None is any.
    pub protocol: Option<u8>,
}

impl Term {
    fn fits(&self, key: &FlowKey, client_second: bool) -> bool {
        let server = usize::from(!client_second);
        if self.protocol.is_some_and(|protocol| protocol != key.protocol()) {
            return false;
        }
        match (&self.network, &self.ports) {
            (network, Some(ports)) => {
                ports.contains(&key.end(server).port)
                    && network.as_ref().is_none_or(|network| network.has(key, server))
            }
            (Some(network), None) => network.has(key, 0) || network.has(key, 1),
            (None, None) => true,
        }
    }
}

/// All classes of a run.
#[derive(Clone, Debug, Default)]
pub struct Classes {
    terms: Vec<(ClassId, Term)>,
}

impl Classes {
    /// Terms in the order in which they are tried, each with its class.
    pub fn new(terms: Vec<(ClassId, Term)>) -> Classes {
        Classes { terms }
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The class of a flow.
    pub fn of(&self, key: &FlowKey, client_second: bool) -> ClassId {
        let found = self.terms.iter().find(|(_, term)| term.fits(key, client_second));
        found.map_or(NO_CLASS, |&(class, _)| class)
    }
}

/// Bytes of flows by lane and class.
#[derive(Default)]
pub(super) struct ClassSums {
    classes: Arc<Classes>,
    /// By lane: by class, since the start and until the interval began.
    lanes: Vec<Vec<[u64; 2]>>,
}

impl ClassSums {
    /// Nothing yet; nothing ever where there are no classes.
    pub fn new(classes: Arc<Classes>) -> ClassSums {
        ClassSums { classes, lanes: Vec::new() }
    }

    /// Whether anything is summed.
    #[inline]
    pub fn in_use(&self) -> bool {
        !self.classes.is_empty()
    }

    /// A flow gained so many bytes on a lane.
    pub fn add(&mut self, key: &FlowKey, client_second: bool, lane: Lane, bytes: u64) {
        let class = usize::from(self.classes.of(key, client_second));
        if self.lanes.len() <= lane.index() {
            self.lanes.resize(lane.index() + 1, Vec::new());
        }
        let Some(sums) = self.lanes.get_mut(lane.index()) else { return };
        if sums.len() <= class {
            sums.resize(class + 1, [0; 2]);
        }
        sums.get_mut(class).into_iter().for_each(|sum| sum[0] += bytes);
    }

    /// Bytes of some lanes by class, most bytes first: since the start, or of the interval.
    pub fn told(&self, lanes: &[Lane], interval: bool) -> Vec<(ClassId, Vec<u64>)> {
        let of = |lane: &Lane| self.lanes.get(lane.index()).map_or(&[][..], |sums| sums);
        let bytes = |class: usize, lane: &Lane| {
            let [now, before] = of(lane).get(class).copied().unwrap_or_default();
            if interval { now - before } else { now }
        };
        let most = lanes.iter().map(|lane| of(lane).len()).max().unwrap_or(0);
        let each = (0..most).map(|class| {
            (class as ClassId, lanes.iter().map(|lane| bytes(class, lane)).collect::<Vec<u64>>())
        });
        let sum = |bytes: &[u64]| bytes.iter().sum::<u64>();
        let mut told: Vec<_> = each.filter(|(_, bytes)| sum(bytes) > 0).collect();
        told.sort_by_key(|(_, bytes)| std::cmp::Reverse(sum(bytes)));
        told
    }

    /// The interval is over.
    pub fn begin_interval(&mut self) {
        self.lanes.iter_mut().flatten().for_each(|sum| sum[1] = sum[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::key::End;
    use std::net::IpAddr;

    fn flow(client: (u32, u16), server: (u32, u16), protocol: u8) -> (FlowKey, bool) {
        FlowKey::new(End::v4(client.0, client.1), End::v4(server.0, server.1), protocol, false, 0, 0)
    }

    #[test]
    fn the_first_term_that_fits_decides() {
        let network = |text: &str, prefix| Network::new(text.parse::<IpAddr>().expect("an address"), prefix);
        let classes = Classes::new(vec![
            (
                1,
                Term { network: Some(network("192.0.2.0", 24)), ports: Some(6800..=7300), protocol: Some(6) },
            ),
            (2, Term { network: Some(network("192.0.2.0", 24)), ports: None, protocol: None }),
            (3, Term { network: None, ports: Some(514..=514), protocol: None }),
        ]);
        let (here, there, far) = (0xc000_0201, 0xc000_0202, 0xc633_6401);
        for (client, server, protocol, expected) in [
            ((far, 40_000), (here, 6800), 6, 1),
            ((far, 40_000), (here, 6800), 17, 2),
            ((here, 6800), (far, 443), 6, 2),
            ((here, 1), (there, 7300), 6, 1),
            ((far, 40_000), (far, 514), 17, 3),
            ((far, 514), (far, 40_000), 17, NO_CLASS),
        ] {
            let (key, second) = flow(client, server, protocol);
            assert_eq!(classes.of(&key, second), expected, "{client:?} {server:?} {protocol}");
        }
    }
}
