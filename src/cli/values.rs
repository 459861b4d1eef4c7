//! The syntax of single values: decimals, rates, networks, CPU lists, files.
//!
//! Each function takes what the user typed and returns `None` where it cannot
//! be read; who asked knows the option's name and makes the sentence. Decimals
//! are exact: no float is involved, so `2.5G` is 2,500,000,000 and not near it.

use crate::config::{BurstThreshold, Owner};
use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The largest CPU number taken, one below the kernel's largest NR_CPUS
/// (arch/x86/Kconfig, MAXSMP).
const MAX_CPU: usize = 8191;

/// A decimal such as `1`, `2.5` or `.5` times `unit`, where that is a whole
/// number that fits.
pub fn decimal(text: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = fraction.trim_end_matches('0');
    let part = if fraction.is_empty() {
        0
    } else {
        let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let scaled = fraction.parse::<u128>().ok()?.checked_mul(u128::from(unit))?;
        if scaled % scale != 0 {
            return None;
        }
        u64::try_from(scaled / scale).ok()?
    };
    whole.checked_mul(unit)?.checked_add(part)
}

/// A rate in bits per second: a decimal, alone or with K, M, G or T (powers of
/// 1000, as link speeds are sold). Zero is no rate.
pub fn rate(text: &str) -> Option<u64> {
    let (number, unit) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (&text[..at], 1_000),
        (at, 'm' | 'M') => (&text[..at], 1_000_000),
        (at, 'g' | 'G') => (&text[..at], 1_000_000_000),
        (at, 't' | 'T') => (&text[..at], 1_000_000_000_000),
        _ => (text, 1),
    };
    decimal(number, unit).filter(|rate| *rate > 0)
}

/// A bare number below this is taken for one whose sign or unit was forgotten: so few
/// bits a second fill no link.
const BARE_FROM: u64 = 1000;

/// The number of a text that is one with neither a percent sign nor a unit, and too
/// small to be a rate that anybody means.
pub fn lacks_its_unit(text: &str) -> Option<u64> {
    decimal(text, 1).filter(|number| (1..BARE_FROM).contains(number))
}

/// Permission bits, in octal digits as chmod(1) takes them.
pub fn mode(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let is_octal = (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    u32::from_str_radix(digits, 8).ok().filter(|mode| is_octal && *mode <= 0o777)
}

/// `USER`, `USER:GROUP` or `:GROUP`.
pub fn owner(text: &str) -> Option<Owner> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let is_name = |name: &str| {
        !name.is_empty() && !name.contains(|one: char| one == ':' || one.is_whitespace() || one.is_control())
    };
    let user = (!user.is_empty()).then_some(user);
    let named = user.is_some() || group.is_some();
    (named && user.into_iter().chain(group).all(is_name))
        .then(|| Owner { user: user.map(str::to_owned), group: group.map(str::to_owned) })
}

/// A share of a link's speed in percent, to a tenth, or a rate.
pub fn burst_threshold(text: &str) -> Option<BurstThreshold> {
    if lacks_its_unit(text).is_some() {
        return None;
    }
    match text.strip_suffix('%') {
        Some(percent) => {
            let thousandths = u32::try_from(decimal(percent, 10)?).ok()?;
            (1..=1000).contains(&thousandths).then_some(BurstThreshold::Thousandths(thousandths))
        }
        None => rate(text).map(BurstThreshold::Rate),
    }
}

/// `IF=RATE`. The last `=` parts them: a name may have one, a rate has none.
pub fn link_speed(text: &str) -> Option<(String, u64)> {
    let (name, speed) = text.rsplit_once('=')?;
    if name.is_empty() {
        return None;
    }
    Some((name.to_owned(), rate(speed)?))
}

/// A network as `NET/PREFIX`, `NET/MASK` (iftop's form) or one address. Bits
/// behind the prefix are cleared, as iftop does.
pub fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, mask) = match text.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (text, None),
    };
    match address.parse().ok()? {
        IpAddr::V4(address) => {
            let prefix = mask.map_or(Some(32), |mask| {
                prefix_length(mask, 32, |mask| mask.parse::<Ipv4Addr>().ok().map(|m| u128::from(m.to_bits())))
            })?;
            let kept = u32::MAX.checked_shl(32_u32.checked_sub(u32::from(prefix))?).unwrap_or(0);
            Some((IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & kept)), prefix))
        }
        IpAddr::V6(address) => {
            let prefix = mask.map_or(Some(128), |mask| {
                prefix_length(mask, 128, |mask| mask.parse::<Ipv6Addr>().ok().map(|m| m.to_bits()))
            })?;
            let kept = u128::MAX.checked_shl(128_u32.checked_sub(u32::from(prefix))?).unwrap_or(0);
            Some((IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & kept)), prefix))
        }
    }
}

/// What follows the slash, a length or a mask without holes, as a length.
fn prefix_length(text: &str, width: u8, mask: impl Fn(&str) -> Option<u128>) -> Option<u8> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|length| *length <= width);
    }
    // Moved to the top of 128 bits, a mask without holes is ones, then zeros.
    let high = mask(text)?.checked_shl(128_u32.checked_sub(u32::from(width))?)?;
    let ones = high.leading_ones();
    if ones.checked_add(high.trailing_zeros())? < 128 { None } else { u8::try_from(ones).ok() }
}

/// CPUs as `2,4-6`: ascending, each once.
pub fn cpus(text: &str) -> Option<Vec<usize>> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse::<usize>().ok().filter(|cpu| *cpu <= MAX_CPU) } else { None }
    };
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Some(cpus)
}

/// The files of one `--read`: `a+b` is two, unless a file `a+b` exists. Where
/// parts have a `+` in their own names, the longest one that exists is taken.
pub fn file_group(name: &Path, file_exists: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let bytes = name.as_os_str().as_bytes();
    let pieces: Vec<&[u8]> = bytes.split(|byte| *byte == b'+').collect();
    if pieces.len() < 2 || file_exists(name) {
        return vec![name.to_path_buf()];
    }
    let path = |pieces: &[&[u8]]| PathBuf::from(OsStr::from_bytes(&pieces.join(&b'+')));
    let mut rest = pieces.as_slice();
    let mut group = Vec::new();
    while !rest.is_empty() {
        let longest = (2..=rest.len())
            .rev()
            .find(|&end| rest.get(..end).is_some_and(|pieces| file_exists(&path(pieces))));
        let (taken, left) = rest.split_at(longest.unwrap_or(1));
        group.push(path(taken));
        rest = left;
    }
    // An empty name is no file: what was typed is wrong as a whole, and is told whole.
    if group.iter().any(|file| file.as_os_str().is_empty()) {
        return vec![name.to_path_buf()];
    }
    group
}

/// An address, or one and a port; IPv6 with a port in brackets.
pub(super) fn server(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = text.parse() {
        return Some((address, None));
    }
    let (host, port) = text.rsplit_once(':')?;
    let address = match host.strip_prefix('[') {
        Some(bracketed) => IpAddr::V6(bracketed.strip_suffix(']')?.parse().ok()?),
        None => IpAddr::V4(host.parse().ok()?),
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|&port| digits && port > 0)?;
    Some((address, Some(port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        let table: &[(&str, u64, Option<u64>)] = &[
            ("1", 1_000_000_000, Some(1_000_000_000)),
            ("0.1", 1_000_000_000, Some(100_000_000)),
            (".5", 10, Some(5)),
            ("5.", 10, Some(50)),
            ("0.000000001", 1_000_000_000, Some(1)),
            ("0.0000000001", 1_000_000_000, None),
            ("1.50", 2, Some(3)),
            ("18446744073709551615", 1, Some(u64::MAX)),
            ("18446744073709551616", 1, None),
            ("18446744074", 1_000_000_000, None),
            ("", 1, None),
            (".", 1, None),
            ("1.2.3", 1, None),
            ("-1", 1, None),
            ("+1", 1, None),
            ("1e3", 1, None),
            ("nan", 1, None),
            ("١", 1, None),
        ];
        for (text, unit, expected) in table {
            assert_eq!(decimal(text, *unit), *expected, "{text:?} times {unit}");
        }
    }

    #[test]
    fn rates() {
        let table: &[(&str, Option<u64>)] = &[
            ("1G", Some(1_000_000_000)),
            ("2.5G", Some(2_500_000_000)),
            ("100M", Some(100_000_000)),
            ("1000000000", Some(1_000_000_000)),
            ("10g", Some(10_000_000_000)),
            ("64k", Some(64_000)),
            ("0.4T", Some(400_000_000_000)),
            ("0", None),
            ("0G", None),
            ("G", None),
            ("", None),
            ("1GG", None),
            ("1é", None),
            ("99999999T", None),
        ];
        for (text, expected) in table {
            assert_eq!(rate(text), *expected, "{text:?}");
        }
    }

    #[test]
    fn modes_and_owners() {
        for (text, expected) in [
            ("0660", Some(0o660)),
            ("660", Some(0o660)),
            ("0o606", Some(0o606)),
            ("0", Some(0)),
            ("1777", None),
            ("00660", None),
            ("680", None),
            ("+66", None),
            ("u+rw", None),
            ("", None),
        ] {
            assert_eq!(mode(text), expected, "{text:?}");
        }
        let owned = |user: Option<&str>, group: Option<&str>| {
            Some(Owner { user: user.map(str::to_owned), group: group.map(str::to_owned) })
        };
        for (text, expected) in [
            ("bob", owned(Some("bob"), None)),
            ("bob:4", owned(Some("bob"), Some("4"))),
            (":adm", owned(None, Some("adm"))),
            ("", None),
            (":", None),
            ("bob:", None),
            ("a:b:c", None),
            ("a b", None),
        ] {
            assert_eq!(owner(text), expected, "{text:?}");
        }
    }

    #[test]
    fn networks() {
        let table: &[(&str, Option<(&str, u8)>)] = &[
            ("10.0.0.0/8", Some(("10.0.0.0", 8))),
            ("10.0.0.0/255.0.0.0", Some(("10.0.0.0", 8))),
            ("10.1.2.3/8", Some(("10.0.0.0", 8))),
            ("192.0.2.129/255.255.255.128", Some(("192.0.2.128", 25))),
            ("192.0.2.1/0", Some(("0.0.0.0", 0))),
            ("192.0.2.1/0.0.0.0", Some(("0.0.0.0", 0))),
            ("192.0.2.1/32", Some(("192.0.2.1", 32))),
            ("192.0.2.1", Some(("192.0.2.1", 32))),
            ("2001:db8::/32", Some(("2001:db8::", 32))),
            ("2001:db8:ffff::1/32", Some(("2001:db8::", 32))),
            ("2001:db8::/ffff:ffff::", Some(("2001:db8::", 32))),
            ("2001:db8::1/128", Some(("2001:db8::1", 128))),
            ("::/0", Some(("::", 0))),
            ("10.0.0.0/33", None),
            ("2001:db8::/129", None),
            ("10.0.0.0/255.0.255.0", None),
            ("10.0.0.0/0.0.0.255", None),
            ("10.0.0.0/", None),
            ("10.0.0.0/+8", None),
            ("10.0.0.0/999999999999", None),
            ("10.0.0/8", None),
            ("10.0.0.0/ffff::", None),
            ("/8", None),
        ];
        for (text, expected) in table {
            let expected = expected.map(|(net, prefix)| (net.parse().unwrap(), prefix));
            assert_eq!(network(text), expected, "{text:?}");
        }
    }

    #[test]
    fn thresholds_have_a_sign_or_a_unit() {
        use BurstThreshold::{Rate, Thousandths};
        for (text, expected) in [
            ("80%", Some(Thousandths(800))),
            ("92.5%", Some(Thousandths(925))),
            ("100.1%", None),
            ("0%", None),
            ("80M", Some(Rate(80_000_000))),
            ("0.5k", Some(Rate(500))),
            ("1000", Some(Rate(1000))),
            ("999", None),
            ("80", None),
            ("80.0", None),
            ("0.8", None),
            ("0", None),
        ] {
            assert_eq!(burst_threshold(text), expected, "{text}");
        }
    }

    proptest! {
        /// A length and its mask are the same network, whatever the address.
        #[test]
        fn mask_and_length_agree(address: u32, prefix in 0_u8..=32) {
            let mask = Ipv4Addr::from_bits((u64::from(u32::MAX) << (32 - prefix)) as u32);
            let address = Ipv4Addr::from_bits(address);
            prop_assert_eq!(network(&format!("{address}/{mask}")), network(&format!("{address}/{prefix}")));
        }

        #[test]
        fn no_value_panics(text in "\\PC{0,40}") {
            let _ = (rate(&text), link_speed(&text), network(&text), cpus(&text));
            let _ = file_group(Path::new(&text), &|_| false);
        }

        /// Digits, dots, slashes, signs: texts that get past the first check.
        #[test]
        fn no_likely_value_panics(text in "[0-9.:/,+=GMf-]{0,50}") {
            let _ = (rate(&text), link_speed(&text), network(&text), cpus(&text), decimal(&text, u64::MAX));
        }
    }

    #[test]
    fn cpu_lists() {
        assert_eq!(cpus("2,4-6"), Some(vec![2, 4, 5, 6]));
        assert_eq!(cpus("6,4-6,0"), Some(vec![0, 4, 5, 6]));
        assert_eq!(cpus("8191"), Some(vec![8191]));
        for wrong in ["", ",", "1,", "3-1", "1-", "-1", "1-2-3", "8192", "a", "+1", "0-99999999999"] {
            assert_eq!(cpus(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn link_speeds_part_at_the_last_equals_sign() {
        assert_eq!(link_speed("eth0=1G"), Some(("eth0".to_owned(), 1_000_000_000)));
        assert_eq!(link_speed("a=b=1G"), Some(("a=b".to_owned(), 1_000_000_000)));
        for wrong in ["eth0", "=1G", "eth0=", "eth0=fast"] {
            assert_eq!(link_speed(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn files_of_a_group() {
        let group = |name: &str, existing: &[&str]| {
            let files = file_group(Path::new(name), &|path| existing.iter().any(|e| Path::new(e) == path));
            files.into_iter().map(|path| path.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(group("a", &[]), ["a"]);
        assert_eq!(group("a+b", &["a", "b"]), ["a", "b"]);
        assert_eq!(group("a+b", &["a", "b", "a+b"]), ["a+b"], "a file of that very name comes first");
        assert_eq!(group("a+b+c", &["a+b"]), ["a+b", "c"]);
        assert_eq!(group("a+b+c", &["b+c", "a"]), ["a", "b+c"]);
        assert_eq!(group("c++.pcap+d", &["c++.pcap"]), ["c++.pcap", "d"]);
        assert_eq!(group("a+", &["a"]), ["a+"], "told whole, as it cannot be opened");
        assert_eq!(group("-+a", &[]), ["-", "a"]);
    }

    #[test]
    fn servers() {
        let taken = |text: &str| server(text).map(|(ip, port)| format!("{ip} {port:?}"));
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1 None"),
            ("192.0.2.1:443", "192.0.2.1 Some(443)"),
            ("2001:db8::1", "2001:db8::1 None"),
            ("[2001:db8::1]:443", "2001:db8::1 Some(443)"),
        ] {
            assert_eq!(taken(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "web",
            "192.0.2",
            "192.0.2.1:",
            "192.0.2.1:0",
            "192.0.2.1:+80",
            "192.0.2.1:65536",
            "[2001:db8::1]",
            "[192.0.2.1]:80",
            "2001:db8::1]:80",
            "192.0.2.1/24",
        ] {
            assert_eq!(taken(text), None, "{text}");
        }
    }
}
