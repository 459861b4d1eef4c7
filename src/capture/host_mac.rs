//! Whose capture is this? The one MAC address that stands in nearly every
//! frame is that of the host where it was taken.
//!
//! Looks at the beginning of a regular file, before it is counted, so the
//! answer does not depend on how it is read. Two hosts on one wire both stand
//! in every frame: then nobody is "the host". Standard input and pipes are not
//! looked at, as they can be read once only.

use super::LinkType;
use super::file::FileSource;
use std::collections::HashMap;
use std::path::Path;

/// Frames that are looked at.
const FRAMES: u64 = 2000;
/// Of 100 frames this many have to have the address.
const NEARLY_ALL: u64 = 95;
/// Addresses that are kept count of.
const ADDRESSES: usize = 4096;

/// The host's MAC address, if the file's beginning tells.
pub fn of_file(path: &Path) -> Option<[u8; 6]> {
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    look(&mut FileSource::open(path, 0).ok()?)
}

fn look(source: &mut FileSource) -> Option<[u8; 6]> {
    let mut frames = 0;
    let mut seen: HashMap<[u8; 6], u64> = HashMap::new();
    // Frames of other kinds count as looked at: a file of nothing else is not read to its end.
    for _ in 0..FRAMES {
        let Ok(Some(frame)) = source.next_frame() else { break };
        let Some(head) = frame.data.first_chunk::<12>() else { continue };
        if frame.link_type != LinkType::Ethernet {
            continue;
        }
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *head;
        let (to, from) = ([a, b, c, d, e, f], [g, h, i, j, k, l]);
        frames += 1;
        for address in [to, from].into_iter().take(if to == from { 1 } else { 2 }) {
            // Group addresses name nobody; zeros are loopback's.
            let names_one = address[0] & 1 == 0 && address != [0; 6];
            if names_one && (seen.len() < ADDRESSES || seen.contains_key(&address)) {
                *seen.entry(address).or_default() += 1;
            }
        }
    }
    let mut in_nearly_all = seen.iter().filter(|&(_, &count)| count * 100 >= frames * NEARLY_ALL);
    match (in_nearly_all.next(), in_nearly_all.next()) {
        (Some((&address, _)), None) => Some(address),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pcap of this link type, every frame from the same address.
    fn file(directory: &Path, link_type: u32, frames: usize) -> std::path::PathBuf {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let mut bytes = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, link_type]);
        for number in 0..frames {
            bytes.extend(words(&[1000, 0, 14, 14]));
            bytes.extend([2, 0, 0, 0, (number >> 8) as u8, number as u8, 2, 0, 0, 0, 9, 9, 8, 0]);
        }
        let path = directory.join(format!("{link_type}.pcap"));
        std::fs::write(&path, bytes).expect("written");
        path
    }

    #[test]
    fn the_address_in_every_frame_is_the_host_s() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = file(directory.path(), 1, 3000);
        assert_eq!(of_file(&path), Some([2, 0, 0, 0, 9, 9]));
    }

    #[test]
    fn only_the_beginning_is_looked_at_whatever_the_frames_are() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = file(directory.path(), 101, 20_000);
        let mut source = FileSource::open(&path, 0).expect("a capture");
        assert_eq!(look(&mut source), None);
        let mut left = 0;
        while let Ok(Some(_)) = source.next_frame() {
            left += 1;
        }
        assert_eq!(left, 20_000 - FRAMES);
    }
}
