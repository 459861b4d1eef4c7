//! Names of services by port: the few that are met everywhere.
//!
//! Built in, so that a name is the same on every machine and nothing is read or
//! looked up. A port says what it is registered for, not what runs there.
//! Source: IANA, Service Name and Transport Protocol Port Number Registry (RFC 6335).

use crate::decode::protocol::{TCP, UDP};

/// Port, TCP, UDP, name; ascending.
const SERVICES: &[(u16, bool, bool, &str)] = &[
    (20, true, false, "ftp-data"),
    (21, true, false, "ftp"),
    (22, true, false, "ssh"),
    (23, true, false, "telnet"),
    (25, true, false, "smtp"),
    (49, true, true, "tacacs"),
    (53, true, true, "domain"),
    (67, false, true, "bootps"),
    (68, false, true, "bootpc"),
    (69, false, true, "tftp"),
    (80, true, true, "http"),
    (88, true, true, "kerberos"),
    (110, true, false, "pop3"),
    (111, true, true, "sunrpc"),
    (119, true, false, "nntp"),
    (123, false, true, "ntp"),
    (137, false, true, "netbios-ns"),
    (138, false, true, "netbios-dgm"),
    (139, true, false, "netbios-ssn"),
    (143, true, false, "imap"),
    (161, true, true, "snmp"),
    (162, true, true, "snmptrap"),
    (179, true, false, "bgp"),
    (389, true, true, "ldap"),
    (443, true, true, "https"),
    (445, true, false, "microsoft-ds"),
    (465, true, false, "submissions"),
    (500, false, true, "isakmp"),
    (514, false, true, "syslog"),
    (546, false, true, "dhcpv6-client"),
    (547, false, true, "dhcpv6-server"),
    (554, true, true, "rtsp"),
    (587, true, false, "submission"),
    (631, true, true, "ipp"),
    (636, true, true, "ldaps"),
    (646, true, true, "ldp"),
    (853, true, true, "domain-s"),
    (860, true, false, "iscsi"),
    (873, true, false, "rsync"),
    (989, true, false, "ftps-data"),
    (990, true, false, "ftps"),
    (993, true, false, "imaps"),
    (995, true, false, "pop3s"),
    (1194, true, true, "openvpn"),
    (1433, true, true, "ms-sql-s"),
    (1521, true, false, "ncube-lm"),
    (1701, false, true, "l2tp"),
    (1812, false, true, "radius"),
    (1813, false, true, "radius-acct"),
    (1883, true, false, "mqtt"),
    (2049, true, true, "nfs"),
    (3260, true, false, "iscsi-target"),
    (3306, true, false, "mysql"),
    (3389, true, true, "ms-wbt-server"),
    (3478, true, true, "stun"),
    (4500, false, true, "ipsec-nat-t"),
    (4789, false, true, "vxlan"),
    (5060, true, true, "sip"),
    (5061, true, true, "sips"),
    (5353, false, true, "mdns"),
    (5355, true, true, "llmnr"),
    (5432, true, false, "postgresql"),
    (5671, true, false, "amqps"),
    (5672, true, true, "amqp"),
    (6081, false, true, "geneve"),
    (6379, true, false, "redis"),
    (6514, true, true, "syslog-tls"),
    (8080, true, true, "http-alt"),
    (8883, true, false, "secure-mqtt"),
    (9100, true, false, "pdl-datastream"),
    (11211, true, true, "memcache"),
];

/// What a port is registered for, where that is one of the few.
pub fn service(protocol: u8, port: u16) -> Option<&'static str> {
    let at = SERVICES.binary_search_by_key(&port, |&(port, ..)| port).ok()?;
    let &(_, tcp, udp, name) = SERVICES.get(at)?;
    (tcp && protocol == TCP || udp && protocol == UDP).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_by_protocol() {
        assert!(SERVICES.is_sorted_by(|a, b| a.0 < b.0), "each port once, ascending");
        assert_eq!((service(TCP, 443), service(UDP, 53)), (Some("https"), Some("domain")));
        assert_eq!((service(UDP, 22), service(TCP, 40_000), service(1, 53)), (None, None, None));
    }
}
