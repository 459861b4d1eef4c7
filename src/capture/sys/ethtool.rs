//! The ethtool ioctl, as far as this program asks it: speed and duplex of a link,
//! and how long its rings are.
//!
//! Unlike sysfs it answers for the network namespace that the caller is in.
//! Needs no privilege (`dev_ethtool` lets anyone ask for these).
//! Sources: include/uapi/linux/ethtool.h, net/ethtool/ioctl.c.

use rustix::net::{AddressFamily, SocketType};
use std::io;
use std::os::fd::AsRawFd;

/// ETHTOOL_GLINKSETTINGS, kernel 4.6 and later.
const GLINKSETTINGS: u32 = 0x4c;
/// Three bit masks, each of as many words as an `i8` can say.
const MASK_WORDS: usize = 3 * 127;

/// `struct ethtool_link_settings` and the room behind it for its masks.
#[repr(C)]
struct LinkSettings {
    cmd: u32,
    /// Mbit/s; 0 or SPEED_UNKNOWN (all ones) where it is not known.
    speed: u32,
    duplex: u8,
    port: u8,
    phy_address: u8,
    autoneg: u8,
    mdio_support: u8,
    eth_tp_mdix: u8,
    eth_tp_mdix_ctrl: u8,
    /// Asked with 0, the kernel answers with minus the number it has.
    mask_words: i8,
    transceiver: u8,
    master_slave_cfg: u8,
    master_slave_state: u8,
    rate_matching: u8,
    reserved: [u32; 7],
    masks: [u32; MASK_WORDS],
}

const _: () = assert!(std::mem::offset_of!(LinkSettings, masks) == 48);

/// DUPLEX_HALF and DUPLEX_FULL; anything else is not known.
const DUPLEX_HALF: u8 = 0;
const DUPLEX_FULL: u8 = 1;

/// What a driver tells of its line; `None` where it does not know (a virtual
/// link, no carrier).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Bits a second.
    pub speed: Option<u64>,
    /// Whether both ways are used at once.
    pub full_duplex: Option<bool>,
}

/// ETHTOOL_GRINGPARAM.
const GRINGPARAM: u32 = 0x10;

/// `struct ethtool_ringparam`.
#[repr(C)]
#[derive(Default)]
struct RingParameters {
    cmd: u32,
    rx_max_pending: u32,
    rx_mini_max_pending: u32,
    rx_jumbo_max_pending: u32,
    tx_max_pending: u32,
    rx_pending: u32,
    rx_mini_pending: u32,
    rx_jumbo_pending: u32,
    tx_pending: u32,
}

const _: () = assert!(size_of::<RingParameters>() == 36);

/// Entries of a NIC's rings (of each queue): now, and the most that the driver allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rings {
    /// For receiving.
    pub rx: [u32; 2],
    /// For sending.
    pub tx: [u32; 2],
}

/// Length of the rings of the interface `name`.
///
/// # Errors
/// As [`line`].
pub fn rings(name: &str) -> io::Result<Rings> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let mut asked = RingParameters { cmd: GRINGPARAM, ..RingParameters::default() };
    let mut request = request(name)?;
    request.ifr_ifru = libc::__c_anonymous_ifr_ifru { ifru_data: std::ptr::from_mut(&mut asked).cast() };
    // SAFETY: `request` is a whole `ifreq`, and its data points at `asked`, alive and
    // used by nobody else during the call, kept by nobody after it. For this command
    // the kernel writes one `struct ethtool_ringparam`, 36 bytes as asserted above.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Rings { rx: [asked.rx_pending, asked.rx_max_pending], tx: [asked.tx_pending, asked.tx_max_pending] })
}

/// Speed and duplex of the interface `name`, as its driver tells them.
///
/// # Errors
/// The ioctl's: ENODEV for no such interface, EOPNOTSUPP for a driver or a
/// kernel that has no such question; EINVAL for a name that is too long.
pub fn line(name: &str) -> io::Result<Line> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let mut settings = LinkSettings {
        cmd: GLINKSETTINGS,
        speed: 0,
        duplex: u8::MAX,
        port: 0,
        phy_address: 0,
        autoneg: 0,
        mdio_support: 0,
        eth_tp_mdix: 0,
        eth_tp_mdix_ctrl: 0,
        mask_words: 0,
        transceiver: 0,
        master_slave_cfg: 0,
        master_slave_state: 0,
        rate_matching: 0,
        reserved: [0; 7],
        masks: [0; MASK_WORDS],
    };
    ask(socket.as_raw_fd(), name, &mut settings)?;
    if settings.mask_words < 0 {
        let words = settings.mask_words.checked_neg().ok_or(io::ErrorKind::InvalidData)?;
        settings.cmd = GLINKSETTINGS;
        settings.mask_words = words;
        ask(socket.as_raw_fd(), name, &mut settings)?;
    }
    let known = settings.speed != 0 && i32::try_from(settings.speed).is_ok();
    let full_duplex = match settings.duplex {
        DUPLEX_HALF => Some(false),
        DUPLEX_FULL => Some(true),
        _ => None,
    };
    Ok(Line { speed: known.then(|| u64::from(settings.speed) * 1_000_000), full_duplex })
}

/// A question about `name`, whose data is still to be set.
fn request(name: &str) -> io::Result<libc::ifreq> {
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: std::ptr::null_mut() },
    };
    // One place stays 0: the kernel wants the name ended.
    if name.len() >= libc::IFNAMSIZ {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Ok(request)
}

fn ask(socket: i32, name: &str, settings: &mut LinkSettings) -> io::Result<()> {
    let mut request = request(name)?;
    request.ifr_ifru = libc::__c_anonymous_ifr_ifru { ifru_data: std::ptr::from_mut(settings).cast() };
    // SAFETY: `request` is a whole `ifreq`, and its data points at `settings`,
    // borrowed mutably for the call and kept by nobody after it. The kernel
    // writes the 48-byte struct and then three masks of `mask_words` words; it
    // does so only if `mask_words` is its own number, an i8, and `MASK_WORDS`
    // has room for the largest.
    let result = unsafe { libc::ioctl(socket, libc::SIOCETHTOOL as _, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_is_an_error_and_a_long_name_is_one_too() {
        assert_eq!(line("nosuchif0").map_err(|error| error.raw_os_error()), Err(Some(libc::ENODEV)));
        assert_eq!(line("a-name-of-17-byte").map_err(|error| error.kind()), Err(io::ErrorKind::InvalidInput));
        assert_eq!(rings("nosuchif0").map_err(|error| error.raw_os_error()), Err(Some(libc::ENODEV)));
        // The loopback interface has none.
        assert_eq!(rings("lo").map_err(|error| error.raw_os_error()), Err(Some(libc::EOPNOTSUPP)));
    }
}
