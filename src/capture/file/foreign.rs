//! What a file is that is no capture, for the sentence that says so.
//!
//! Knows first bytes, nothing more. A guess that is wrong does no harm: the
//! file is refused either way.

/// Bytes that are looked at to tell text from data.
const LOOKED_AT: usize = 512;

/// First bytes, and what a file that begins with them is.
const KNOWN: &[(&[u8], &str)] = &[
    (b"\x7fELF", "a program (ELF)"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "data compressed by gzip"),
    (b"\x28\xb5\x2f\xfd", "data compressed by zstd"),
    (b"\xfd7zXZ", "data compressed by xz"),
    (b"BZh", "data compressed by bzip2 (unpack it first: bzip2 -dc FILE, standard input is -)"),
    (b"\x04\x22\x4d\x18", "data compressed by lz4 (unpack it first: lz4 -dc FILE, standard input is -)"),
    (b"\x1f\x9d", "data compressed by compress (unpack it first: gzip -dc FILE, standard input is -)"),
    (b"LZIP", "data compressed by lzip (unpack it first: lzip -dc FILE, standard input is -)"),
    (b"SQLite format 3", "an SQLite database"),
    (b"snoop\0\0\0", "a capture of Solaris snoop (convert it: editcap FILE NEW.pcap)"),
    (b"XCP\0", "a capture of NetXRay (convert it: editcap FILE NEW.pcap)"),
    (b"TRSNIFF data", "a capture of the Sniffer (convert it: editcap FILE NEW.pcap)"),
    (b"GMBU", "a capture of Network Monitor (convert it: editcap FILE NEW.pcap)"),
    (b"RTSS", "a capture of Network Monitor (convert it: editcap FILE NEW.pcap)"),
    (b"iptrace ", "a capture of AIX iptrace (convert it: editcap FILE NEW.pcap)"),
];

/// What a file with these first bytes seems to be, with its article.
pub(super) fn describe(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return String::from("an empty file");
    }
    if let Some((_, what)) = KNOWN.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return String::from(*what);
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return String::from("a tar archive (take the captures out of it: tar -xf FILE)");
    }
    let head = bytes.get(..LOOKED_AT).unwrap_or(bytes);
    if head.iter().all(|byte| *byte == 0) {
        return String::from("zeros");
    }
    if is_text(head) {
        let json = head.iter().find(|byte| !byte.is_ascii_whitespace());
        return String::from(match json {
            Some(b'{' | b'[') => "JSON",
            _ => "text",
        });
    }
    let mut found = String::from("data that begin with the bytes");
    for byte in head.iter().take(8) {
        found.push_str(&format!(" {byte:02x}"));
    }
    found
}

/// Printable, in UTF-8; a character may be cut at the end.
fn is_text(bytes: &[u8]) -> bool {
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            let whole = bytes.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(whole).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !valid.is_empty()
        && valid
            .chars()
            .all(|char| !char.is_control() || matches!(char, '\n' | '\r' | '\t' | '\x0c' | '\x1b'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_files_are() {
        let mut tar = vec![b'a'; 257];
        tar.extend_from_slice(b"ustar\0");
        for (bytes, what) in [
            (b"".as_slice(), "an empty file"),
            (b"\x7fELF\x02", "a program (ELF)"),
            (b"  {\"type\":1}", "JSON"),
            (b"a,b\n", "text"),
            ("Gr\u{fc}\u{df}e".as_bytes(), "text"),
            (&"Gr\u{fc}".as_bytes()[..3], "text"),
            (&[0; 600], "zeros"),
            (&tar, "a tar archive (take the captures out of it: tar -xf FILE)"),
            (&[0x80, 1, 2], "data that begin with the bytes 80 01 02"),
        ] {
            assert_eq!(describe(bytes), what);
        }
    }
}
