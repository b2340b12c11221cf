use super::*;

#[test]
fn a_record_without_its_closing_bracket_takes_no_other_along() {
    let folder = Folder::new();
    let good = r#"{"text":"good","meta":{"of":[1,{}]}}"#;
    let open = r#"{"text":{"open""#;
    for [before, between, after] in [
        ["[", ",\n", "]"],
        ["[\n  ", ",\n  ", "\n]"],
        ["[ ", " ,\n", " ]"],
    ] {
        for damaged in [0, 3, 9] {
            let records = (0..10).map(|n| [good, open][usize::from(n == damaged)]);
            let records = records.collect::<Vec<_>>().join(between);
            let text = read(&folder.with("a.json", format!("{before}{records}{after}")));
            let case = format!("{before:?} {damaged} {:?}", text.notes);
            assert_eq!(words(&text), ["good"; 9], "{case}");
            assert!(text.notes[0].contains("1 of 10 records left out"), "{case}");
        }
        let records = [open, good, open, open, good].join(between);
        let text = read(&folder.with("b.json", format!("{before}{records}{after}")));
        assert_eq!(words(&text), ["good"; 2]);
        assert_first_note(&text, "3 of 5 records left out");
    }
    let pretty = "{\n  \"text\": \"one\",\n  \"meta\": [\n    {\n    }\n  ]\n}\n";
    let open = "{\n  \"text\": \"two\",\n  \"meta\": [\n    {\n  ]\n";
    let text = read(&folder.with("c.json", [pretty, open, pretty].concat()));
    assert_eq!(words(&text), ["one", "one"]);
    assert_first_note(&text, "1 of 3 records left out");
}

#[test]
fn a_file_without_text_does_not_hide_the_others() {
    let folder = Folder::new();
    folder.with("a.jsonl", "{\"id\":1}\n".repeat(100_001));
    folder.with("b.jsonl", "{\"text\":\"kept\"}\n");
    let text = read(folder.path());
    assert_eq!(words(&text), ["kept"]);
    assert_noted(&text, "100000 of 100001 records left out");
    assert_noted(&text, "none of its first 100000 records holds text");
    assert!(!text.notes.concat().contains("limit"), "{:?}", text.notes);
    let without = folder.path().join("a.jsonl");
    assert_refused(&without, "but id: choose one with --text-field");
}

#[test]
fn a_bad_byte_costs_a_piece_of_a_long_line() {
    let folder = Folder::new();
    let words = "wörter ".repeat(20_000);
    let line = [words.as_bytes(), b"\xff", words.as_bytes()].concat();
    let path = folder.with("a.txt", [&line[..], b"\nlast"].concat());
    let text = Text::of_path(&path, "text", 1 << 20).unwrap();
    assert!(text.content.len() > line.len() - (1 << 17));
    assert!(text.content.ends_with("last\n\n"));
    assert_eq!(text.notes.len(), 1);
    assert_first_note(&text, "1 of 6 lines of plain text, or pieces of long ones,");
    assert_first_note(&text, "a.txt, line 1: ");

    // Wherever the pieces are cut, sound text survives.
    let path = folder.with("b.txt", &words);
    for limit in [1, 2, 3, 9, 65_535, 65_536, 65_537, 131_073, usize::MAX] {
        let text = Text::of_path(&path, "text", limit).unwrap();
        let most = words.floor_char_boundary(limit);
        let content = text.content.trim_end_matches('\n');
        assert_eq!(content, &words[..most], "{limit}");
        assert_eq!(text.notes.len(), usize::from(most < words.len()), "{limit}");
    }
}

#[test]
fn of_a_torn_packed_file_what_can_be_unpacked_is_kept() {
    let folder = Folder::new();
    let packed = gzip(b"{\"text\":\"kept\"}\n");
    let text = read(&folder.with("a.jsonl.gz", [&packed[..], b"rubbish"].concat()));
    assert_eq!(words(&text), ["kept"]);
    assert_first_note(&text, "1 of 1 files or their rests left out");
    let zstd = zstd::encode_all(&b"kept\n".repeat(5_000)[..], 1).unwrap();
    let text = read(&folder.with("b.txt", [&zstd[..], &zstd[..9]].concat()));
    let found = (words(&text).len(), text.notes.len());
    assert_eq!(found, (5_000, 1), "{:?}", text.notes);
}

#[test]
fn what_is_not_the_data_itself_is_named() {
    let folder = Folder::new();
    let text = "{\"text\":\"wide\"}\n";
    let utf32 = text.chars().flat_map(|c| u32::from(c).to_le_bytes());
    let utf32: Vec<u8> = [0xff, 0xfe, 0, 0].into_iter().chain(utf32).collect();
    let big = folder.with("b.jsonl", [0, 0, 0xfe, 0xff, 0, 0, 0, b'x']);
    assert_refused(&folder.with("a.txt", utf32), "UTF-32");
    assert_refused(&big, "UTF-32");
    let annex = folder.with("c.jsonl", "/annex/objects/SHA256E-s123--4d7a.jsonl\n");
    assert_refused(&annex, "git annex get");
    let mut tar = vec![0; 1024];
    tar[..5].copy_from_slice(b"x.txt");
    tar[257..262].copy_from_slice(b"ustar");
    assert_refused(&folder.with("d.tar", &tar), "archive (tar)");
    assert_refused(&folder.with("e.tgz", gzip(&tar)), "archive (tar)");
    let twice = folder.with("f.txt.gz", gzip(&gzip(b"text")));
    assert_refused(&twice, "compressed twice");
}

#[test]
fn how_a_file_of_another_name_is_read_is_said() {
    let folder = Folder::new();
    let records = "{\"text\":\"kept\"}\n\u{feff}{\"text\":\"joined\"}\n";
    let text = read(&folder.with("a.data", records));
    assert_eq!(words(&text), ["kept", "joined"]);
    assert_first_note(&text, "a.data holds records");
    let text = read(&folder.with("b.csv", "id,text\n1,kept\n"));
    assert_first_note(&text, "b.csv has no ending of text");
    let text = read(&folder.with("c.txt", records));
    assert!(text.content.contains("\"text\""));
    assert_first_note(&text, "c.txt looks like JSON");
}

#[test]
fn names_in_messages_are_on_one_line() {
    let folder = Folder::new();
    let records = "{\"text\":\"kept\"}\n{\"a\\u001bb\":1}\n";
    let text = read(&folder.with("a\n\u{1b}[31m.jsonl", records));
    let shown = text.to_string();
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(shown.contains("a\\n\\u001b[31m.jsonl, line 2"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown}");
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_waited_for() {
    let folder = Folder::new();
    folder.with("a.txt", "kept");
    let socket = folder.path().join("b.txt");
    let _listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    let text = read(folder.path());
    assert_eq!(words(&text), ["kept"]);
    assert_first_note(&text, "1 pipes, sockets or devices");
}

#[test]
fn a_parquet_file_with_any_byte_damaged_ends_nothing() {
    let folder = Folder::new();
    let path = folder.path().join("a.parquet");
    write_parquet(&path, BINARY, &[&[Some(b"one"), None], &[Some(b"two")]]);
    let whole = fs::read(&path).unwrap();
    for place in 0..whole.len() {
        for byte in [0xff, whole[place] ^ 1] {
            let mut damaged = whole.clone();
            damaged[place] = byte;
            // Damage in the text itself is invisible.
            fs::write(&path, damaged).unwrap();
            let _ = Text::of_path(&path, "text", 1000);
        }
        fs::write(&path, &whole[..place]).unwrap();
        refused(&path);
    }
}

#[test]
fn a_tail_of_zeros_costs_the_record_that_it_tore() {
    let folder = Folder::new();
    let zeros = [0; 300_000];
    let text = |name: &str, sound: &[u8]| {
        let path = folder.with(name, [sound, &zeros].concat());
        Text::of_path(&path, "text", 1 << 20).unwrap()
    };
    let record = |word: &str| format!("{{\"text\":\"{word}\"}}");
    let (one, two) = (record("one"), record("two"));
    let torn = "{\"text\":\"tor";
    for (name, sound) in [
        ("a.txt", "one\ntwo"),
        ("b.txt", "one\ntwo\n"),
        ("c.jsonl", &format!("{one}\n{two}\n")),
        ("d.jsonl", &format!("{one}\n{two}\n{torn}")),
        ("e.json", &format!("[{one},\n{two},\n{torn}")),
        ("f.json", &format!("[{one},{two}]")),
    ] {
        let text = text(name, sound.as_bytes());
        assert_eq!(words(&text), ["one", "two"], "{name} {:?}", text.notes);
        assert_eq!(text.notes.len(), 1, "{name} {:?}", text.notes);
    }
    let lines = b"word\n".repeat(50_000);
    let text = text("long.txt", &lines);
    assert_eq!(words(&text).len(), 50_000);
    let holes = [&b"w\n".repeat(4000)[..], b"a\nb\0\0\nc\0d\ne\n"].concat();
    let text = read(&folder.with("hole.txt", holes));
    assert!(text.content.ends_with("w\na\nb\nc\ne\n\n\n"));
    assert_first_note(&text, "2 of 4006 lines of plain text left out");
    let utf16: Vec<u8> = "one".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_refused(&folder.with("utf16.txt", utf16), "NUL bytes");
    assert_refused(&folder.with("zeros.txt", [0; 5000]), "NUL bytes");
}

#[test]
fn a_word_that_is_no_json_beside_the_text_costs_nothing() {
    let folder = Folder::new();
    let record =
        r#"{"a": NaN, "b": [-Infinity, 1e999, None], "text": "kept: NaN,\"x", "c": Infinity}"#;
    let lines = format!("{record}\n").repeat(3);
    let array = format!("[{record},\n{record},\n{record}]");
    let pretty = record.replace(", ", ",\n  ").replace("{", "{\n  ") + "\n";
    for (name, content) in [
        ("a.jsonl", &lines),
        ("b.data", &lines),
        ("c.json", &array),
        ("d.json", &pretty.repeat(3)),
    ] {
        let text = read(&folder.with(name, content));
        let kept = ["kept:", "NaN,\"x"].repeat(3);
        assert_eq!(words(&text), kept, "{name} {:?}", text.notes);
    }
    let text = read(&folder.with("e.jsonl", "{\"text\":NaN}\n{\"text\":\"kept\"}\n{oops}\n"));
    assert_eq!(words(&text), ["kept"]);
    assert_first_note(&text, "2 of 3 records left out");
}

#[test]
fn of_a_folder_in_parts_that_for_training_is_read() {
    let folder = Folder::new();
    let record = |word: &str| format!("{{\"text\":\"{word}\"}}\n");
    for part in ["test", "train", "validation"] {
        folder.with(&format!("data/{part}-00000-of-00001.jsonl"), record(part));
    }
    folder.with("README.md", "---\nlicense: cc\n---\nA card.");
    let text = read(folder.path());
    assert_eq!(words(&text), ["train"]);
    let note = "training: 1 of 4; passed over: 1 for validation, 1 for testing";
    assert_noted(&text, note);
    assert_noted(&text, "README.md is passed over");
    // A part named by the user is always read.
    let text = read(&folder.path().join("data/test-00000-of-00001.jsonl"));
    assert_eq!(words(&text), ["test"]);
}
