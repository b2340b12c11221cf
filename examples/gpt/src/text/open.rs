use anyhow::{Result, bail, ensure};
use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;

/// What a reader of UTF-16 puts in the place of what it cannot decode.
pub(super) const UNDECODABLE: char = '\u{fffd}';
/// How much of a file is looked at to tell what it is.
const HEAD: u64 = 4096;
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
const PARQUET: &[u8] = b"PAR1";

/// A file by what is in it, whatever its name says.
pub(super) enum Content {
    Text(TextReader),
    Parquet(File),
}

/// Bytes of a text in UTF-8, which may hold others.
pub(super) struct TextReader {
    inner: Box<dyn BufRead>,
    /// Whether the file is in another encoding, and has been decoded.
    pub(super) is_transcoded: bool,
}

impl Read for TextReader {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.inner.read(bytes)
    }
}

impl BufRead for TextReader {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.inner.consume(bytes);
    }
}

/// Opens a file: without its compression, and its text as UTF-8 without byte-order mark.
pub(super) fn open(path: &Path) -> Result<Content> {
    let (head, reader) = split_head(BufReader::new(File::open(path)?))?;
    if head.starts_with(PARQUET) {
        return Ok(Content::Parquet(File::open(path)?));
    }
    let reader: Box<dyn BufRead> = match Compression::of(&head) {
        None => return text(head, reader).map(Content::Text),
        Some(Compression::Gzip) => Box::new(BufReader::new(MultiGzDecoder::new(reader))),
        Some(Compression::Zstd) => Box::new(BufReader::new(zstd::Decoder::with_buffer(reader)?)),
        Some(Compression::Other(name)) => {
            bail!("it is compressed by {name}, which is not read here: unpack it first")
        }
    };
    let (head, reader) = split_head(reader)?;
    ensure!(
        !head.starts_with(PARQUET),
        "it is a parquet file in a compressed one: unpack it first"
    );
    text(head, reader).map(Content::Text)
}

enum Compression {
    Gzip,
    Zstd,
    Other(&'static str),
}

impl Compression {
    fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            // A frame of data, or one to pass over that parallel compressors begin with.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Other("xz")),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => Some(Self::Other("bzip2")),
            [b'P', b'K', 3, 4, ..] => Some(Self::Other("zip")),
            [0x04, 0x22, 0x4d, 0x18, ..] => Some(Self::Other("lz4")),
            _ => None,
        }
    }
}

/// The beginning of what a reader reads, and a reader of all of it.
fn split_head(mut reader: impl BufRead + 'static) -> Result<(Vec<u8>, Box<dyn BufRead>)> {
    let mut head = Vec::new();
    reader.by_ref().take(HEAD).read_to_end(&mut head)?;
    let whole = Cursor::new(head.clone()).chain(reader);
    Ok((head, Box::new(whole)))
}

fn text(head: Vec<u8>, reader: Box<dyn BufRead>) -> Result<TextReader> {
    ensure!(
        !head.starts_with(LFS_POINTER),
        "it is a pointer of Git LFS and not the data: fetch that by `git lfs pull`"
    );
    let is_transcoded = head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]);
    ensure!(
        is_transcoded || !head.contains(&0),
        "it holds NUL bytes: it is a binary file, or UTF-16 without a byte-order mark"
    );
    Ok(TextReader {
        is_transcoded,
        ..text_reader(reader)
    })
}

/// Reads UTF-8, or what a byte-order mark says.
pub(super) fn text_reader(reader: impl Read + 'static) -> TextReader {
    let decoder = DecodeReaderBytesBuilder::new()
        .bom_sniffing(true)
        .strip_bom(true)
        .utf8_passthru(true)
        .build(reader);
    TextReader {
        inner: Box::new(BufReader::with_capacity(1 << 16, decoder)),
        is_transcoded: false,
    }
}
