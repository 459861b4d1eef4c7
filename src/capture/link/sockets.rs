//! TCP sockets of this network namespace that listen, as the kernel tells
//! whoever asks: no privilege is needed.
//!
//! A socket on `::` listens for IPv4 too unless it was told not to, and one on
//! an IPv4 address mapped into IPv6 listens on that one. Sources: sock_diag(7),
//! include/uapi/linux/{inet_diag,sock_diag}.h, ipv6(7) on IPV6_V6ONLY.

use super::netlink::Route;
use netlink_packet_core::{NLM_F_DUMP, NlasIterator, Parseable};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{
    AF_INET, AF_INET6, INET_DIAG_SKV6ONLY, IPPROTO_TCP, SOCK_DIAG_BY_FAMILY,
};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

/// `struct inet_diag_msg`.
const SOCKET_HEADER: usize = 72;

/// Address and port of each listening TCP socket of this network namespace; the
/// unspecified address is every one of its family. One socket on both families
/// is two here.
///
/// # Errors
/// Of netlink, as where the kernel was built without sock_diag.
pub fn listening_sockets() -> io::Result<Vec<(IpAddr, u16)>> {
    let mut route = Route::open_of(NETLINK_SOCK_DIAG)?;
    let mut sockets = Vec::new();
    for (family, socket_id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        let question = SockDiagMessage::InetRequest(InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states: StateFlags::LISTEN,
            socket_id,
        });
        let asked = route.ask(question, NLM_F_DUMP, |header, payload| {
            if header.message_type == SOCK_DIAG_BY_FAMILY {
                sockets.extend(parse_socket(payload).into_iter().flatten().flatten());
            }
        });
        match asked {
            // A kernel without IPv6 has no such sockets.
            Err(error) if family == AF_INET6 && error.raw_os_error() == Some(libc::ENOENT) => {}
            asked => asked?,
        }
    }
    Ok(sockets)
}

/// What a socket listens on; None where the message is cut off.
fn parse_socket(payload: &[u8]) -> Option<[Option<(IpAddr, u16)>; 2]> {
    let header = InetResponseHeader::parse(payload).ok()?;
    let port = header.socket_id.source_port;
    let address = match header.socket_id.source_address {
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4),
        IpAddr::V4(ip) => IpAddr::V4(ip),
    };
    let mut ipv6_only = false;
    for attribute in NlasIterator::new(payload.get(SOCKET_HEADER..)?) {
        let Ok(attribute) = attribute else { break };
        if attribute.kind() == INET_DIAG_SKV6ONLY {
            ipv6_only = attribute.value().first().is_some_and(|&byte| byte != 0);
        }
    }
    let both = address.is_ipv6() && address.is_unspecified() && !ipv6_only;
    Some([Some((address, port)), both.then_some((Ipv4Addr::UNSPECIFIED.into(), port))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv6Addr, TcpListener};

    /// An answer as the kernel makes it.
    fn answer(family: u8, address: [u8; 16], port: u16, only: Option<u8>) -> Vec<u8> {
        let mut bytes = vec![family, 10, 0, 0];
        bytes.extend(port.to_be_bytes());
        bytes.extend([0; 2]);
        bytes.extend(address);
        bytes.resize(SOCKET_HEADER, 0);
        // INET_DIAG_SHUTDOWN stands before it.
        bytes.extend([5, 0, 8, 0, 0, 0, 0, 0]);
        bytes.extend(only.into_iter().flat_map(|only| [5, 0, 11, 0, only, 0, 0, 0]));
        bytes
    }

    #[test]
    fn a_wildcard_of_ipv6_is_one_of_ipv4_too_unless_told_otherwise() {
        let told = |family, address, only| {
            parse_socket(&answer(family, address, 47_000, only))
                .expect("whole")
                .map(|end| end.map(|end| end.0))
        };
        let any = [0; 16];
        let (v4, v6) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        assert_eq!(told(AF_INET, any, None), [Some(v4), None]);
        assert_eq!(told(AF_INET6, any, Some(0)), [Some(v6), Some(v4)]);
        assert_eq!(told(AF_INET6, any, Some(1)), [Some(v6), None]);
        let mut mapped = any;
        mapped[10..].copy_from_slice(&[255, 255, 198, 18, 0, 1]);
        assert_eq!(told(AF_INET6, mapped, Some(0)), [Some("198.18.0.1".parse().expect("one")), None]);
        assert_eq!(parse_socket(&answer(AF_INET, any, 1, None)[..SOCKET_HEADER - 1]), None);
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
            let _ = parse_socket(&bytes);
        }
    }

    /// The kernel's own answer, of this test's own sockets.
    #[test]
    fn sockets_that_listen_are_found_and_no_others() {
        let open = ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"];
        let open: Vec<TcpListener> = open.iter().filter_map(|at| TcpListener::bind(at).ok()).collect();
        let found = match listening_sockets() {
            Ok(found) => found,
            Err(error) => {
                eprintln!("SKIPPED: sockets_that_listen_are_found_and_no_others: {error}");
                return;
            }
        };
        let ends = |sockets: &[TcpListener]| -> Vec<(IpAddr, u16)> {
            let ends = sockets.iter().map(|socket| socket.local_addr().expect("bound"));
            ends.map(|end| (end.ip(), end.port())).collect()
        };
        let ends = ends(&open);
        assert!(ends.iter().all(|end| found.contains(end)), "{ends:?} in {found:?}");
        if let Some((_, port)) = ends.iter().find(|(address, _)| *address == Ipv6Addr::UNSPECIFIED) {
            assert!(found.contains(&(Ipv4Addr::UNSPECIFIED.into(), *port)), "{port} in {found:?}");
        }
        let connected = std::net::TcpStream::connect(ends[0]).expect("it listens");
        let own = connected.local_addr().expect("bound");
        drop(open);
        let found = listening_sockets().expect("as before");
        assert!(!found.contains(&(own.ip(), own.port())) && !found.contains(&ends[0]), "{found:?}");
    }
}
