//! Community ID, so that lines join with those of Zeek, Suricata, Arkime.
//!
//! Version 1 with seed 0: the base64 of a SHA-1 over seed, addresses, protocol, a zero
//! byte and ports, all in network byte order, the smaller end first. Our keys
//! have their ends in just that order. Source: github.com/corelight/community-id-spec.

use crate::decode::protocol::{ICMP, ICMP6, SCTP, TCP, UDP};
use crate::flow::key::FlowKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1_smol::Sha1;
use std::net::IpAddr;

/// A flow's Community ID. None for ICMP: the specification takes its types
/// for ports, and a key does not have them.
pub fn community_id(key: &FlowKey) -> Option<String> {
    let number = key.protocol();
    if matches!(number, ICMP | ICMP6) {
        return None;
    }
    let mut digest = Sha1::from([0u8; 2]);
    for side in 0..2 {
        match key.ip(side) {
            IpAddr::V4(ip) => digest.update(&ip.octets()),
            IpAddr::V6(ip) => digest.update(&ip.octets()),
        }
    }
    digest.update(&[number, 0]);
    if matches!(number, TCP | UDP | SCTP) {
        for side in 0..2 {
            digest.update(&key.end(side).port.to_be_bytes());
        }
    }
    Some(format!("1:{}", STANDARD.encode(digest.digest().bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::key::End;

    /// A flow of the specification's own baseline, either way round.
    #[test]
    fn agrees_with_the_specification() {
        let ends = [End::v4(0x80e8_6e78, 34855), End::v4(0x4223_facc, 80)];
        for [source, destination] in [ends, [ends[1], ends[0]]] {
            let (key, _) = FlowKey::new(source, destination, TCP, false, 3, 7);
            assert_eq!(community_id(&key).as_deref(), Some("1:LQU9qZlK+B5F3KDmev6m5PMibrg="));
        }
        let (ping, _) = FlowKey::new(End::v4(1, 0), End::v4(2, 0), ICMP, false, 0, 0);
        assert_eq!(community_id(&ping), None);
    }
}
