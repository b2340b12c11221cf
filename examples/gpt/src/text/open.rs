use anyhow::{Result, bail, ensure};
use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;

/// Stands for undecodable bytes of UTF-16.
const UNDECODABLE: char = '\u{fffd}';
pub(super) const UNDECODED: &str = "it holds bytes that are not valid in its encoding";
const HEAD: u64 = 4096;
const PEEK: u64 = 1 << 16;
const GZIP: &str = "gzip";
const ZSTD: &str = "zstd";
const PARQUET: &[u8] = b"PAR1";
/// The place and the mark of a tape archive.
const TAR: (usize, &[u8]) = (257, b"ustar");
/// The exponent of the largest window, as in published archives.
const ZSTD_WINDOW: u32 = 31;
const UTF_32: &str = "it is UTF-32, which is not read here: convert it to UTF-8 first";
/// Beginnings of files that are not the data themselves, with advice.
const STANDS_FOR_OTHERS: [(&[u8], &str); 4] = [
    (
        b"version https://git-lfs.github.com/spec/",
        "it is a pointer of Git LFS and not the data: fetch that by `git lfs pull`",
    ),
    (
        b"/annex/objects/",
        "it is a pointer of git-annex and not the data: fetch that by `git annex get`",
    ),
    // Before UTF-16, whose mark is a prefix of this mark.
    (&[0xff, 0xfe, 0, 0], UTF_32),
    (&[0, 0, 0xfe, 0xff], UTF_32),
];

/// Returns advice if a file only stands for the data.
pub fn stands_for_another(beginning: &[u8]) -> Option<&'static str> {
    let mut others = STANDS_FOR_OTHERS.iter();
    let (_, why) = others.find(|(head, _)| beginning.starts_with(head))?;
    Some(why)
}

pub(super) enum Content {
    Text(TextReader),
    Parquet(File),
}

/// Reads a file, or its text in UTF-8, after a look at the first bytes.
pub(super) struct TextReader {
    unread: Cursor<Vec<u8>>,
    inner: Box<dyn BufRead>,
    is_transcoded: bool,
}

impl TextReader {
    fn new(inner: impl Read + 'static) -> Self {
        Self {
            unread: Cursor::default(),
            inner: Box::new(BufReader::with_capacity(PEEK as usize, inner)),
            is_transcoded: false,
        }
    }

    /// Returns the beginning of the rest: a few lines, or all.
    pub(super) fn peek(&mut self) -> &[u8] {
        self.peek_at(PEEK)
    }

    fn peek_at(&mut self, most: u64) -> &[u8] {
        if self.unread().is_empty() {
            let mut beginning = Vec::new();
            // Keep the text before an error.
            if let Err(error) = self.inner.by_ref().take(most).read_to_end(&mut beginning) {
                self.inner = Box::new(BufReader::new(Failing(Some(error))));
            }
            self.put_back(beginning);
        }
        self.unread()
    }

    pub(super) fn put_back(&mut self, mut bytes: Vec<u8>) {
        bytes.extend_from_slice(self.unread());
        self.unread = Cursor::new(bytes);
    }

    fn unread(&self) -> &[u8] {
        let place = self.unread.position() as usize;
        self.unread.get_ref().get(place..).unwrap_or_default()
    }

    fn rest(&mut self) -> &mut dyn BufRead {
        match self.unread().is_empty() {
            true => &mut self.inner,
            false => &mut self.unread,
        }
    }

    pub(super) fn has_undecodable(&self, text: &str) -> bool {
        self.is_transcoded && text.contains(UNDECODABLE)
    }
}

impl Read for TextReader {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.rest().read(bytes)
    }
}

impl BufRead for TextReader {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.rest().fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.rest().consume(bytes);
    }
}

/// Unpacks a file, and decodes its text to UTF-8 without byte-order mark.
pub(super) fn open(path: &Path) -> Result<Content> {
    let mut reader = TextReader::new(File::open(path)?);
    let head = reader.peek_at(HEAD);
    if head.starts_with(PARQUET) {
        return Ok(Content::Parquet(File::open(path)?));
    }
    let mut reader = match compression(head) {
        None => return text(reader).map(Content::Text),
        Some(GZIP) => TextReader::new(MultiGzDecoder::new(reader)),
        Some(ZSTD) => {
            let mut decoder = zstd::Decoder::with_buffer(reader)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            TextReader::new(decoder)
        }
        Some(other) => {
            bail!("it is compressed by {other}, which is not read here: unpack it first")
        }
    };
    let head = reader.peek_at(HEAD);
    ensure!(
        !head.starts_with(PARQUET),
        "it is a parquet file in a compressed one: unpack it first"
    );
    ensure!(
        compression(head).is_none(),
        "it is compressed twice: unpack it once first"
    );
    text(reader).map(Content::Text)
}

fn compression(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x1f, 0x8b, ..] => Some(GZIP),
        // A frame of data, or a skippable frame (parallel compressors begin with one).
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(ZSTD),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("xz"),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => Some("bzip2"),
        [b'P', b'K', 3, 4, ..] => Some("zip"),
        [0x04, 0x22, 0x4d, 0x18, ..] => Some("lz4"),
        _ => None,
    }
}

struct Failing(Option<std::io::Error>);

impl Read for Failing {
    fn read(&mut self, _bytes: &mut [u8]) -> std::io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

fn text(mut reader: TextReader) -> Result<TextReader> {
    let head = reader.peek_at(HEAD);
    if let Some(why) = stands_for_another(head) {
        bail!("{why}");
    }
    let (place, tar) = TAR;
    let is_tar = head.get(place..).is_some_and(|rest| rest.starts_with(tar));
    ensure!(
        !is_tar,
        "it is an archive (tar): unpack it first, and give the folder"
    );
    let is_transcoded = head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]);
    // A file whose last blocks were never written ends in zeros.
    let has_zeros = match head.iter().rposition(|byte| *byte != 0) {
        Some(end) => head[..end].contains(&0),
        None => !head.is_empty(),
    };
    ensure!(
        is_transcoded || !has_zeros,
        "it holds NUL bytes: it is a binary file, or UTF-16 without a byte-order mark"
    );
    Ok(TextReader {
        is_transcoded,
        ..text_reader(reader)
    })
}

pub(super) fn text_reader(reader: impl Read + 'static) -> TextReader {
    let decoder = DecodeReaderBytesBuilder::new()
        .bom_sniffing(true)
        .strip_bom(true)
        .utf8_passthru(true)
        .build(reader);
    TextReader::new(decoder)
}
