//! The bytes of one file, of standard input, or of what a decompressor gives:
//! a buffer that is filled by plain `read()` calls and walked by a format.
//!
//! Owns the buffer and the offset; knows no format. Invariant:
//! `start <= end <= buffer.len() <= BUFFER_MAX`; `base + start` is the offset
//! of the first unread byte in the (uncompressed) stream.
//!
//! `read()` and not `mmap`: as fast here, one way for files, pipes and
//! decompressors, and no SIGBUS when somebody shortens the file meanwhile.

use std::io::{self, Read};

/// Where bytes come from.
pub(super) type Source = Box<dyn Read + Send>;

/// First size of the buffer: some 2,000 packets a system call, and it stays in
/// the L2 cache beside the flows.
pub(super) const BUFFER_START: usize = 1 << 18;
/// Most that a record or a block may make of the buffer (libpcap's bound for
/// a block of pcapng, `INITIAL_MAX_BLOCKSIZE` in sf-pcapng.c).
pub(super) const BUFFER_MAX: usize = 16 << 20;

const _: () = assert!(BUFFER_START <= BUFFER_MAX);

/// What a call of [`Stream::fill`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// At least one more byte is there.
    More,
    /// The stream has ended.
    End,
}

pub(super) struct Stream {
    source: Source,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    base: u64,
}

impl Stream {
    pub(super) fn new(source: Source) -> Stream {
        Stream { source, buffer: vec![0; BUFFER_START], start: 0, end: 0, base: 0 }
    }

    /// What has been read and not yet been taken.
    #[inline]
    pub(super) fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Offset of the first unread byte.
    pub(super) fn offset(&self) -> u64 {
        self.base.saturating_add(self.start as u64)
    }

    /// Goes on by `total` bytes, of which those from `skip` on, `length` of
    /// them, are returned. The caller has seen in [`Stream::unread`] that they
    /// are there.
    #[inline]
    pub(super) fn take(&mut self, total: usize, skip: usize, length: usize) -> &[u8] {
        debug_assert!(skip + length <= total && total <= self.end - self.start);
        let record = self.start;
        self.start = self.end.min(record.saturating_add(total));
        let data = record.saturating_add(skip);
        self.buffer.get(data..data.saturating_add(length)).unwrap_or_default()
    }

    /// One successful `read()`, so that what came through a pipe is seen at
    /// once. Makes room for `wanted` unread bytes in all, but for no more than
    /// [`BUFFER_MAX`]; no room left counts as an invalid input.
    #[cold]
    #[inline(never)]
    pub(super) fn fill(&mut self, wanted: usize) -> io::Result<Filled> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.base = self.base.saturating_add(self.start as u64);
        self.end = self.end.saturating_sub(self.start);
        self.start = 0;
        if wanted > self.buffer.len() {
            // Doubling, so that a file of ever larger blocks is not copied for each of them.
            let size = wanted.checked_next_power_of_two().unwrap_or(BUFFER_MAX).min(BUFFER_MAX);
            self.buffer.resize(size.max(self.buffer.len()), 0);
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        if room.is_empty() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        loop {
            match self.source.read(room) {
                Ok(0) => return Ok(Filled::End),
                // A reader that claims more than it was offered must not move us past the buffer.
                Ok(count) => {
                    self.end = self.end.saturating_add(count).min(self.buffer.len());
                    return Ok(Filled::More);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads until `wanted` bytes are unread or the stream ends.
    pub(super) fn fill_to(&mut self, wanted: usize) -> io::Result<()> {
        while self.unread().len() < wanted {
            if self.fill(wanted)? == Filled::End {
                break;
            }
        }
        Ok(())
    }

    /// The stream from its first unread byte on, for a decompressor to take.
    pub(super) fn into_source(self) -> Source {
        let head = self.unread().to_vec();
        Box::new(io::Cursor::new(head).chain(self.source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes one at a time, with an interruption before each.
    struct Dribble {
        bytes: Vec<u8>,
        next: usize,
        interrupted: bool,
    }

    impl Read for Dribble {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.interrupted = !self.interrupted;
            if self.interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let Some(byte) = self.bytes.get(self.next) else { return Ok(0) };
            buffer[0] = *byte;
            self.next += 1;
            Ok(1)
        }
    }

    #[test]
    fn interruptions_are_retried_and_offsets_kept() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut stream = Stream::new(Box::new(Dribble { bytes: bytes.clone(), next: 0, interrupted: false }));
        let mut seen = Vec::new();
        while stream.fill(1).expect("no error") == Filled::More {
            assert_eq!(stream.offset(), seen.len() as u64);
            seen.extend_from_slice(stream.take(1, 0, 1));
        }
        assert_eq!(seen, bytes);
    }

    #[test]
    fn the_buffer_grows_to_its_bound_and_no_further() {
        let mut stream = Stream::new(Box::new(io::repeat(7)));
        stream.fill_to(BUFFER_MAX).expect("16 MiB are allowed");
        assert_eq!(stream.unread().len(), BUFFER_MAX);
        assert_eq!(stream.fill(BUFFER_MAX + 1).expect_err("no room").kind(), io::ErrorKind::InvalidInput);
        assert_eq!(stream.buffer.len(), BUFFER_MAX);
    }
}
