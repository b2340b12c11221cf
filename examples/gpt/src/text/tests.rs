use super::*;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

mod odd;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn with(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
}

fn read(path: &Path) -> Text {
    Text::of_path(path, "text", 100_000).unwrap()
}

#[track_caller]
fn assert_first_note(text: &Text, part: &str) {
    assert!(text.notes[0].contains(part), "{:?}", text.notes);
}

#[track_caller]
fn assert_noted(text: &Text, part: &str) {
    let mut notes = text.notes.iter();
    assert!(notes.any(|note| note.contains(part)), "{:?}", text.notes);
}

#[track_caller]
fn assert_refused(path: &Path, part: &str) {
    let error = refused(path);
    assert!(error.contains(part), "{error}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn words(text: &Text) -> Vec<&str> {
    text.content.split_whitespace().collect()
}

fn refused(path: &Path) -> String {
    format!("{:#}", Text::of_path(path, "text", 1000).unwrap_err())
}

fn write_parquet(path: &Path, schema: &str, groups: &[&[Option<&[u8]>]]) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let is_required = !schema.get_fields()[0].is_optional();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let file = fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build())).unwrap();
    for rows in groups {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let values: Vec<ByteArray> = rows.iter().flatten().map(|v| v.to_vec().into()).collect();
        let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.is_some())).collect();
        let levels = (!is_required).then_some(levels.as_slice());
        let typed = column.typed::<ByteArrayType>();
        typed.write_batch(&values, levels, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
}

const BINARY: &str = "message schema { OPTIONAL BYTE_ARRAY text; }";

#[test]
fn a_bad_record_is_left_out_counted_and_named_once() {
    let folder = Folder::new();
    let bad: [&[u8]; 7] = [
        b"{\"text\":null}",
        b"{\"id\":3}",
        b"{\"text\":7}",
        b"{\"text\":\"lone \\ud800 surrogate\"}",
        b"{\"text\":\"caf\xe9\"}",
        b"[1,2]",
        b"{\"text\":\"cut sho",
    ];
    for (index, record) in bad.into_iter().enumerate() {
        let lines = [b"{\"text\":\"one\"}", record, b"{\"text\":\"two\"}"].join(&b'\n');
        let text = read(&folder.with(&format!("{index}.jsonl"), lines));
        assert_eq!(words(&text), ["one", "two"], "record {index}");
        assert_eq!(text.notes.len(), 1);
        assert_first_note(&text, "1 of 3 records left out");
        assert_first_note(&text, "jsonl, line 2: ");
    }
    let text = read(&folder.with("latin1.txt", b"one\ncaf\xe9\ntwo\n"));
    assert_eq!(text.content, "one\ntwo\n\n\n");
    assert_first_note(&text, "1 of 3 lines of plain text left out");
}

#[test]
fn an_array_and_records_of_several_lines_are_read_record_by_record() {
    let folder = Folder::new();
    let array = r#" [ {"text": "one ] \" [ {"} , "two",
        {"text": null}, 3, {"text":"lone \ud800"}, {"meta":[[{}]],"text":"three"} ]"#;
    let text = read(&folder.with("array.json", array));
    assert_eq!(words(&text), ["one", "]", "\"", "[", "{", "two", "three"]);
    assert_first_note(&text, "3 of 6 records left out");
    assert_first_note(&text, "record 3");
    let torn = read(&folder.with("torn.json", r#"[{"text":"one"},{"text":"tw"#));
    assert_eq!(words(&torn), ["one"]);
    assert_eq!(torn.notes.len(), 1);
    let pretty = "{\n  \"text\": \"one\"\n}\n{\n  \"text\": \"two\"\n}\n";
    let text = read(&folder.with("pretty.json", pretty));
    assert_eq!(words(&text), ["one", "two"]);
    let lines = "{\"text\":\"one\"}\n{\"text\":\"tw\n{\"text\":\"three\"}\n";
    let text = read(&folder.with("lines.json", lines));
    assert_eq!(words(&text), ["one", "three"]);
}

#[test]
fn endings_count_in_any_case_and_packed() {
    let folder = Folder::new();
    let record = b"{\"text\":\"kept\"}\n";
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    folder.with("a.JSONL", record);
    folder.with("b.NdJson", record);
    folder.with("c.Json", record);
    folder.with("d.TXT", "kept");
    folder.with("e.jsonl.gz", [gzip(record), gzip(record)].concat());
    folder.with("f.txt.ZST", zstd(b"kept"));
    folder.with("g.txt", gzip(b"kept"));
    let parquet = folder.path().join("h.PARQUET");
    write_parquet(&parquet, BINARY, &[&[Some(b"kept")]]);
    let text = read(folder.path());
    assert_eq!(words(&text), ["kept"; 9]);
    assert_eq!(text.notes, Vec::<String>::new());

    let mut torn = gzip("kept\n".repeat(5000).as_bytes());
    torn.truncate(torn.len() - 9);
    let text = read(&folder.with("torn.txt.gz", torn));
    assert!(words(&text).len() > 100);
    assert_first_note(&text, "1 of 1 files or their rests left out");
    let xz = folder.with("x.jsonl.xz", b"\xfd7zXZ\0...");
    assert_refused(&xz, "compressed by xz");
}

#[test]
fn encodings_are_told_by_their_marks_and_pointers_are_named() {
    let folder = Folder::new();
    let utf16 = |text: &str, units: fn(u16) -> [u8; 2]| -> Vec<u8> {
        text.encode_utf16().flat_map(units).collect()
    };
    let text = "\u{feff}{\"text\":\"größer\"}\n";
    let little = folder.with("a.jsonl", utf16(text, u16::to_le_bytes));
    let big = folder.with("b.jsonl", utf16(text, u16::to_be_bytes));
    let marked = folder.with("c.jsonl", text);
    for path in [&little, &big, &marked] {
        assert_eq!(read(path).content, "größer\n\n");
    }
    let odd = [
        utf16("\u{feff}one\n", u16::to_le_bytes),
        vec![0, 0xd8],
        utf16("\ntwo", u16::to_le_bytes),
    ];
    let text = read(&folder.with("odd.txt", odd.concat()));
    assert_eq!(text.content, "one\ntwo\n\n");
    assert_eq!(text.notes.len(), 1);

    let unmarked = folder.with("d.txt", utf16("text", u16::to_le_bytes));
    assert_refused(&unmarked, "UTF-16 without a byte-order mark");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    for name in ["e.parquet", "f.jsonl"] {
        assert_refused(&folder.with(name, pointer), "git lfs pull");
    }
}

#[test]
fn the_field_may_be_nested_and_a_wrong_one_names_those_there_are() {
    let folder = Folder::new();
    let record = "{\"id\":1,\"meta\":{\"lang\":\"en\",\"body\":\"inner\"},\"a.b\":\"dotted\"}\n";
    let path = folder.with("a.jsonl", record);
    let of = |field: &str| Text::of_path(&path, field, 1000).map(|text| text.content);
    assert_eq!(of("meta.body").unwrap(), "inner\n\n");
    assert_eq!(of("a.b").unwrap(), "dotted\n\n");
    for (field, said) in [
        ("text", "meta.body"),
        ("text", "--text-field"),
        ("meta", "a record itself"),
    ] {
        let error = of(field).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let parquet = folder.path().join("b.parquet");
    let schema = "message schema { REQUIRED BYTE_ARRAY content; }";
    write_parquet(&parquet, schema, &[&[Some(b"column")]]);
    assert_refused(&parquet, "but content: choose one with --text-field");
    let text = Text::of_path(&parquet, "content", 1000).unwrap();
    assert_eq!(text.content, "column\n\n");
}

#[test]
fn parquet_is_read_group_by_group_up_to_the_limit() {
    let folder = Folder::new();
    let path = folder.path().join("a.parquet");
    let rows: [&[Option<&[u8]>]; 2] = [
        &[Some(b"one"), None, Some(b"tw\xff"), Some(b"three")],
        &[Some(b"four")],
    ];
    write_parquet(&path, BINARY, &rows);
    let text = read(&path);
    assert_eq!(words(&text), ["one", "three", "four"]);
    assert_first_note(&text, "2 of 5 records left out");
    assert_first_note(&text, "row 2: its text is null");
    let text = Text::of_path(&path, "text", 8).unwrap();
    assert_eq!(text.content, "one\n\nthr");
    assert_noted(&text, "limit of 0.0 MB was reached");

    let mut bytes = fs::read(&path).unwrap();
    bytes[4..12].fill(0xff);
    let text = read(&folder.with("damaged.parquet", bytes));
    assert_eq!(words(&text), ["four"]);
    assert_first_note(&text, "rows 1 to 4 are damaged");
}

#[test]
fn a_folder_is_read_in_order_and_what_is_not_read_is_said() {
    let folder = Folder::new();
    folder.with("a/x.md", "first");
    folder.with("b.txt", "second");
    folder.with("c.jsonl", "{\"text\":\"third\"}\n\n{\"text\":\"fourth\"}\n");
    folder.with("._c.jsonl", [0, 5, 22, 7]);
    folder.with(".cache/y.txt", "hidden");
    folder.with("table.csv", "a,b");
    folder.with("empty.txt", "");
    folder.with("torn.parquet", "PAR1 and no more");
    let text = read(folder.path());
    assert_eq!(words(&text), ["first", "second", "third", "fourth"]);
    for note in ["1 of 5 files", "torn.parquet: ", "1 .csv, 2 hidden"] {
        assert_noted(&text, note);
    }

    let text = Text::of_path(folder.path(), "text", 9).unwrap();
    assert_eq!(text.content, "first\n\nse");
    assert_noted(&text, "b.txt (0.0 MB): the rest of it is not read");
    assert_noted(&text, "3 more files of text are not read");
}

#[cfg(unix)]
#[test]
fn links_are_followed_but_not_in_circles_and_broken_ones_end_nothing() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    let elsewhere = Folder::new();
    folder.with("a/x.txt", "first");
    elsewhere.with("y.txt", "second");
    let third = elsewhere.with("third", "third");
    for (target, link) in [
        (folder.path(), "a/up"),
        (&folder.path().join("a"), "b"),
        (&folder.path().join("missing"), "broken.txt"),
        (elsewhere.path(), "c"),
        (Path::new("a/x.txt"), "a-latest.txt"),
        (&third, "d.txt"),
        (&third, "e.txt"),
    ] {
        symlink(target, folder.path().join(link)).unwrap();
    }
    let text = read(folder.path());
    assert_eq!(words(&text), ["first", "second", "third"]);
    assert_noted(&text, "2 links to files that are read already");
    assert_noted(&text, "broken.txt");
    assert_noted(&text, "2 links to folders that are read already");
}

#[test]
fn no_more_is_read_than_the_limit_asks_for() {
    struct Endless(Arc<AtomicUsize>);
    impl std::io::Read for Endless {
        fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
            bytes.fill(b'x');
            self.0.fetch_add(bytes.len(), Relaxed);
            Ok(bytes.len())
        }
    }
    let read = Arc::new(AtomicUsize::new(0));
    let mut reader = open::text_reader(Endless(read.clone()));
    let mut out = Collector::new("text", 50_000);
    plain::read(&mut reader, &mut out).unwrap();
    assert_eq!(out.content.len(), 50_000);
    assert!(read.load(Relaxed) < 300_000);
}

#[test]
fn bad_data_is_named() {
    let folder = Folder::new();
    assert_refused(&folder.path().join("missing"), "missing cannot be read");
    assert_refused(folder.path(), "holds no text: no .txt");
    assert_refused(&folder.with("empty.txt", " \n"), "holds no text");
    let all_bad = folder.with("bad.jsonl", "{\"text\":1}\n{}\n");
    assert_refused(&all_bad, "2 of 2 records could not be used");
    assert_refused(&all_bad, "line 1: its field \"text\" is a number");
    let parquet = folder.with("bad.parquet", "not parquet");
    assert_refused(&parquet, "not a parquet file");
}
