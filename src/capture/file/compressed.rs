//! Compressed files: gzip, zstd and xz, told apart by their first bytes and
//! never by a name, unpacked as a stream.
//!
//! Knows nothing of captures. Several members, frames or streams behind each
//! other are one stream (`cat a.gz b.gz`, pzstd, rotated files joined), zstd's
//! skippable frames are skipped. Memory is bounded by [`ZSTD_WINDOW_MAX`] and
//! [`XZ_MEMORY_MAX`]. What a cut file still holds is given out before the
//! error. Where data are damaged, up to [`INPUT`] compressed bytes before the
//! place where the decompressor notices are not given out.
//!
//! Sources: RFC 1952 (gzip), RFC 8878 (zstd), the .xz file format 1.2.1.

use std::error::Error;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::stream::Source;

/// Compressed bytes that are read at once.
const INPUT: usize = 16 << 10;
/// Largest zstd window that is accepted: 2^27, as the zstd program does by
/// default (ZSTD_WINDOWLOG_LIMIT_DEFAULT).
const ZSTD_WINDOW_MAX: u64 = 128 << 20;
/// Most memory for xz: four times what its largest preset (-9) needs.
#[cfg(feature = "xz")]
const XZ_MEMORY_MAX: u64 = 256 << 20;

/// How a capture file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The .xz file format.
    Xz,
}

impl Compression {
    /// Its name, which is also that of its program.
    pub fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Xz => "xz",
        }
    }

    /// Which compression a file of these first four bytes has.
    pub(super) fn of(magic: [u8; 4]) -> Option<Compression> {
        match magic {
            [0x1f, 0x8b, _, _] => Some(Compression::Gzip),
            // A frame, or a skippable frame (pzstd begins with one).
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Some(Compression::Zstd),
            [0xfd, b'7', b'z', b'X'] => Some(Compression::Xz),
            _ => None,
        }
    }

    /// What `source` unpacks to. `None` if this program was built without the decompressor.
    pub(super) fn unpack(self, source: Source) -> Option<Source> {
        let input = BufReader::with_capacity(INPUT, Retry(source));
        match self {
            Compression::Gzip => Some(Box::new(flate2::bufread::MultiGzDecoder::new(input))),
            Compression::Zstd => Some(Box::new(Zstd::new(input))),
            Compression::Xz => xz(input),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(feature = "xz")]
fn xz(input: BufReader<Retry>) -> Option<Source> {
    // Several streams behind each other, zero padding between them: one stream.
    let stream =
        liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_MAX, liblzma::stream::CONCATENATED).ok()?;
    Some(Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream)))
}

#[cfg(not(feature = "xz"))]
fn xz(_: BufReader<Retry>) -> Option<Source> {
    None
}

/// Tries again after a signal: not every decompressor can be called again
/// after an interrupted read of its header.
struct Retry(Source);

impl Read for Retry {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

/// All frames of a zstd stream. ruzstd's own `StreamingDecoder` ends after
/// the first one.
struct Zstd<R> {
    input: R,
    decoder: FrameDecoder,
    state: ZstdState,
}

enum ZstdState {
    Between,
    InFrame,
    /// The frame ends here, and this is to be told when all has been given out.
    Failing(io::Error),
    Ended,
}

impl<R: BufRead> Zstd<R> {
    fn new(input: R) -> Zstd<R> {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW_MAX);
        Zstd { input, decoder, state: ZstdState::Between }
    }

    /// Reads the next frame's header, or skips a skippable frame.
    fn next_frame(&mut self) -> io::Result<ZstdState> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(ZstdState::Ended);
        }
        match self.decoder.reset(&mut self.input) {
            Ok(()) => Ok(ZstdState::InFrame),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => {
                let length = u64::from(length);
                let skipped = io::copy(&mut self.input.by_ref().take(length), &mut io::sink())?;
                if skipped < length {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "within a skippable frame"));
                }
                Ok(ZstdState::Between)
            }
            Err(error) => Err(as_io(error)),
        }
    }

    /// Decodes one block, or ends the frame.
    fn next_block(&mut self) -> ZstdState {
        if self.decoder.is_finished() {
            let (told, found) =
                (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum());
            return match told {
                Some(_) if told != found => {
                    ZstdState::Failing(io::Error::new(io::ErrorKind::InvalidData, "wrong checksum"))
                }
                _ => ZstdState::Between,
            };
        }
        match self.decoder.decode_blocks(&mut self.input, BlockDecodingStrategy::UptoBlocks(1)) {
            Ok(_) => ZstdState::InFrame,
            Err(error) => {
                // The decoder keeps a window's length back until the frame
                // ends. An empty last block (RFC 8878 3.1.1.2: last, raw, size
                // 0) and four bytes in place of a checksum end it, so that
                // what was decoded is not lost with the rest.
                let end: &[u8] = &[1, 0, 0, 0, 0, 0, 0];
                match self.decoder.decode_blocks(end, BlockDecodingStrategy::UptoBlocks(1)) {
                    Ok(_) | Err(_) => ZstdState::Failing(as_io(error)),
                }
            }
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match std::mem::replace(&mut self.state, ZstdState::Ended) {
                ZstdState::Ended => return Ok(0),
                ZstdState::Between => self.state = self.next_frame()?,
                ZstdState::InFrame if self.decoder.can_collect() > 0 => {
                    self.state = ZstdState::InFrame;
                    return self.decoder.read(buffer);
                }
                ZstdState::InFrame => self.state = self.next_block(),
                ZstdState::Failing(error) if self.decoder.can_collect() > 0 => {
                    self.state = ZstdState::Failing(error);
                    return self.decoder.read(buffer);
                }
                ZstdState::Failing(error) => return Err(error),
            }
        }
    }
}

/// ruzstd's error as one that tells a cut file from a damaged one: the kind
/// of the input's error, if that is what lies behind it.
fn as_io(error: FrameDecoderError) -> io::Error {
    let mut kind = io::ErrorKind::InvalidData;
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(input) = error.downcast_ref::<io::Error>() {
            kind = input.kind();
        }
        cause = error.source();
    }
    match kind {
        io::ErrorKind::UnexpectedEof => io::Error::new(kind, "unexpected end of file"),
        _ => io::Error::new(kind, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(bytes: &[u8]) -> (Vec<u8>, io::Result<()>) {
        let magic = *bytes.first_chunk().expect("four bytes");
        let source: Source = Box::new(io::Cursor::new(bytes.to_vec()));
        let mut unpacked =
            Compression::of(magic).expect("compressed").unpack(source).expect("built with all of them");
        let mut all = Vec::new();
        let result = unpacked.read_to_end(&mut all).map(|_| ());
        (all, result)
    }

    /// A zstd frame of raw blocks, by hand: RFC 8878 3.1.1. Window of 2^(10 + `exponent`) bytes.
    fn zstd_frame(exponent: u8, blocks: &[&[u8]], last: bool) -> Vec<u8> {
        let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3];
        for (index, block) in blocks.iter().enumerate() {
            let is_last = u32::from(last && index + 1 == blocks.len());
            let header = is_last | (block.len() as u32) << 3;
            bytes.extend_from_slice(&header.to_le_bytes()[..3]);
            bytes.extend_from_slice(block);
        }
        bytes
    }

    const SKIPPABLE: [u8; 11] = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];

    #[test]
    fn every_zstd_frame_is_read_and_skippable_ones_are_skipped() {
        let mut bytes = SKIPPABLE.to_vec();
        bytes.extend(zstd_frame(10, &[b"one ", b"two "], true));
        bytes.extend_from_slice(&SKIPPABLE);
        bytes.extend(zstd_frame(0, &[b"three"], true));
        bytes.extend_from_slice(&SKIPPABLE);
        let (all, result) = unpack(&bytes);
        assert_eq!(all, b"one two three");
        assert!(result.is_ok());
    }

    #[test]
    fn what_a_cut_zstd_frame_holds_is_given_out() {
        let mut bytes = zstd_frame(10, &[b"one ", b"two "], false);
        bytes.extend_from_slice(&[0, 0]);
        let (all, result) = unpack(&bytes);
        assert_eq!(all, b"one two ");
        assert_eq!(result.expect_err("cut").kind(), io::ErrorKind::UnexpectedEof);
        let (_, result) = unpack(&SKIPPABLE[..9]);
        assert_eq!(result.expect_err("cut").kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_zstd_window_of_128_mib_is_read_and_a_larger_one_refused() {
        let (all, result) = unpack(&zstd_frame(17, &[b"long"], true));
        assert_eq!((all.as_slice(), result.is_ok()), (b"long".as_slice(), true));
        let (_, result) = unpack(&zstd_frame(18, &[b"long"], true));
        assert_eq!(result.expect_err("too large").kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_wrong_zstd_checksum_is_told() {
        let data = b"some text that is not very long".repeat(9);
        let mut bytes =
            ruzstd::encoding::compress_to_vec(data.as_slice(), ruzstd::encoding::CompressionLevel::Fastest);
        assert_eq!(unpack(&bytes).0, data);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let (all, result) = unpack(&bytes);
        assert_eq!(all, data);
        assert_eq!(result.expect_err("checksum").to_string(), "wrong checksum");
    }
}
