//! How large a ring may be, and what to say when capturing is not permitted.
//! Pure arithmetic and words; reads one file.

use super::{Root, read_text};
use std::path::Path;

const MIB: u64 = 1 << 20;
/// Below this a burst of a few milliseconds overflows a ring (32 blocks of 64 KiB).
const RING_LEAST: u64 = 2 * MIB;
/// What an interface is taken for whose speed is not known, in bits a second.
const SPEED_UNKNOWN: u64 = 1_000_000_000;
/// All rings together take at most this part of memory by themselves…
const MEMORY_PART: u64 = 16;
/// … and this part where the user asks for it: rings cannot be swapped out.
const MEMORY_PART_ASKED: u64 = 2;

/// Bytes for one ring, a whole number of MiB: one second of the link at full
/// speed, so that a worker's stall of a second loses nothing.
///
/// `speed` in bits a second; not known, or a virtual link's: as 1 Gbit/s.
/// All `rings_total` rings together keep to 1/16 of `memory_bytes` (half of it,
/// if `asked` says how much one ring should have), but a ring has at least
/// 2 MiB.
pub fn ring_bytes(
    speed: Option<u64>,
    physical: bool,
    rings_total: usize,
    memory_bytes: u64,
    asked: Option<u64>,
) -> u64 {
    let speed = speed.filter(|speed| physical && *speed > 0).unwrap_or(SPEED_UNKNOWN);
    let (wanted, part) = match asked {
        Some(asked) => (asked, MEMORY_PART_ASKED),
        None => (speed / 8, MEMORY_PART),
    };
    let rings = u64::try_from(rings_total).unwrap_or(u64::MAX).max(1);
    let most = memory_bytes / part / rings / MIB * MIB;
    wanted.div_ceil(MIB).saturating_mul(MIB).min(most).max(RING_LEAST)
}

/// Memory of this machine in bytes (`MemTotal`).
pub fn memory_bytes(root: &Root) -> Option<u64> {
    let text = read_text(&root.join("proc/meminfo"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What to tell a user who may not capture on `what` (`eth0`): the capability
/// that is missing, the line that gives it to the program at `exe`, and what
/// works without.
///
/// CAP_NET_RAW is all: the kernel asks for it when a packet socket is made, and
/// for nothing more with rings, fanout, classic filters or promiscuous mode
/// (packet_create and packet_setsockopt in net/packet/af_packet.c).
pub fn permission_message(exe: &Path, what: &str) -> String {
    format!(
        "capturing on {what} needs the capability CAP_NET_RAW (nothing more, promiscuous mode included), which this process does not have: run `sudo setcap cap_net_raw=eip {}` once, or start it with sudo; reading files with -r needs none",
        quoted(&exe.to_string_lossy())
    )
}

/// `text` as a shell takes it for one word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_string()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_ring_holds_a_second_within_its_part_of_memory() {
        for (speed, physical, rings, memory, asked, mib) in [
            (Some(1_000_000_000), true, 1, 64 * GIB, None, 120), // 119.2 MiB, rounded up
            (Some(10_000_000_000), true, 1, 64 * GIB, None, 1193),
            (Some(10_000_000_000), true, 4, 64 * GIB, None, 1024), // 4 GiB / 4
            (Some(10_000_000_000), true, 3, 8 * GIB, None, 170),   // 170.67 rounded down
            (None, true, 1, 64 * GIB, None, 120),
            (Some(0), true, 1, 64 * GIB, None, 120),
            (Some(100_000_000_000), false, 1, 64 * GIB, None, 120), // veth pretends
            (Some(10_000_000), true, 1, 64 * GIB, None, 2),
            (Some(1_000_000_000), true, 512, GIB, None, 2), // less than the least would fit
            (Some(1_000_000_000), true, 0, 64 * GIB, None, 120),
            (None, false, 2, 4 * GIB, Some(256 * MIB), 256),
            (None, false, 2, 4 * GIB, Some(5 * GIB), 1024),
            (None, false, 2, 4 * GIB, Some(MIB / 2), 2),
            (Some(u64::MAX), true, usize::MAX, u64::MAX, Some(u64::MAX), 2),
        ] {
            assert_eq!(
                ring_bytes(speed, physical, rings, memory, asked),
                mib * MIB,
                "{speed:?} {physical} {rings} {memory} {asked:?}"
            );
        }
    }

    #[test]
    fn memory_is_read_from_meminfo() {
        let tree = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(tree.path().join("proc")).expect("a directory");
        std::fs::write(tree.path().join("proc/meminfo"), "MemTotal:        8023812 kB\nMemFree: 1 kB\n")
            .expect("a file");
        assert_eq!(memory_bytes(&Root::at(tree.path())), Some(8_023_812 * 1024));
        assert_eq!(memory_bytes(&Root::at("/nonexistent")), None);
    }

    #[test]
    fn the_line_that_mends_permission_can_be_pasted() {
        let text = permission_message(Path::new("/usr/local/bin/fullcount"), "eth0");
        assert!(text.contains("`sudo setcap cap_net_raw=eip /usr/local/bin/fullcount`"), "{text}");
        assert!(text.ends_with("reading files with -r needs none"), "{text}");
        let text = permission_message(Path::new("/home/a b/it's/fullcount"), "eth0");
        assert!(text.contains(r"cap_net_raw=eip '/home/a b/it'\''s/fullcount'`"), "{text}");
    }
}
