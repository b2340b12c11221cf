use super::file::Format;
use sharpness_record::shown::one_line;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Training,
    Validation,
    Testing,
}

impl Part {
    fn named(word: &str) -> Option<Self> {
        // As in train2017.
        match word.trim_end_matches(|letter: char| letter.is_ascii_digit()) {
            "train" | "training" => Some(Self::Training),
            "validation" | "valid" | "val" | "dev" => Some(Self::Validation),
            "test" | "testing" | "eval" | "evaluation" => Some(Self::Testing),
            _ => None,
        }
    }
}

pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) format: Format,
}

struct Place {
    part: Part,
    /// The path before the word for the part, without digits. All parts of a data set share it.
    before: String,
}

impl Place {
    /// The outermost folder counts first; a name with two parts in it does not count.
    fn of(path: &str) -> Option<Self> {
        let path = path.to_lowercase();
        let mut before = String::new();
        for name in path.split_inclusive('/') {
            let mut end = 0;
            let is_between = |letter: char| !letter.is_alphanumeric();
            let mut parts = name.split_inclusive(is_between).filter_map(|word| {
                let start = end;
                end += word.len();
                Some((Part::named(word.trim_end_matches(is_between))?, start))
            });
            if let Some((part, start)) = parts.next()
                && parts.all(|(other, _)| other == part)
            {
                before.push_str(&name[..start]);
                before.retain(|letter| !letter.is_ascii_digit());
                return Some(Self { part, before });
            }
            before.push_str(name);
        }
        None
    }

    fn folder(&self) -> &str {
        let end = self.before.rfind('/').map_or(0, |end| end + 1);
        &self.before[..end]
    }
}

/// Returns the files to train on, in their order, and notes on the skipped files.
///
/// If files for training stand beside files for validation or testing, and their paths agree before these words, it
/// takes only the files for training from the data set's folder. It also skips the README of a folder of records.
pub(super) fn to_train_on(folder: &Path, files: Vec<Found>) -> (Vec<Found>, Vec<String>) {
    let names = files.iter().map(|file| {
        let below = file.path.strip_prefix(folder).unwrap_or(&file.path);
        let names = below.iter().map(|name| name.to_string_lossy());
        names.collect::<Vec<_>>().join("/")
    });
    let names: Vec<String> = names.collect();
    let places: Vec<Option<Place>> = names.iter().map(|name| Place::of(name)).collect();
    let beginnings = |is_training: bool| -> HashSet<&str> {
        let places = places.iter().flatten();
        let places = places.filter(|place| (place.part == Part::Training) == is_training);
        places.map(|place| place.before.as_str()).collect()
    };
    let (training, others) = (beginnings(true), beginnings(false));
    let in_parts: Vec<&Place> = places
        .iter()
        .flatten()
        .filter(|place| training.contains(&*place.before) && others.contains(&*place.before))
        .collect();
    let folders: HashSet<&str> = in_parts.iter().map(|place| place.folder()).collect();
    let in_parts: HashSet<&str> = in_parts.iter().map(|place| place.before.as_str()).collect();
    let has_records = files.iter().any(|file| file.format != Format::Plain);

    let (mut read, mut notes) = (Vec::new(), Vec::new());
    let [mut validation, mut testing, mut others] = [0; 3];
    let mut cards = Vec::new();
    let count = files.len();
    for ((file, place), name) in files.into_iter().zip(&places).zip(&names) {
        let lower = name.to_lowercase();
        let stem = file.path.file_stem().unwrap_or_default();
        let is_card =
            has_records && file.format == Format::Plain && stem.eq_ignore_ascii_case("readme");
        let is_beside = || folders.iter().any(|folder| lower.starts_with(folder));
        match place {
            _ if is_card => cards.push(one_line(name).into_owned()),
            Some(place) if in_parts.contains(&*place.before) => match place.part {
                Part::Training => read.push(file),
                Part::Validation => validation += 1,
                Part::Testing => testing += 1,
            },
            None if is_beside() => others += 1,
            _ => read.push(file),
        }
    }
    let kinds = [
        (validation, "for validation"),
        (testing, "for testing"),
        (others, "beside them that say neither"),
    ];
    let kinds = kinds.into_iter().filter(|(count, _)| *count > 0);
    let kinds = kinds.map(|(count, kind)| format!("{count} {kind}"));
    let kinds: Vec<String> = kinds.collect();
    if !kinds.is_empty() {
        notes.push(format!(
            "files of text for training: {} of {count}; passed over: {}",
            read.len(),
            kinds.join(", ")
        ));
    }
    if let Some(first) = cards.first() {
        notes.push(match cards.len() {
            1 => format!("{first} is passed over: it tells of the records"),
            n => format!("{n} files such as {first} are passed over: they tell of the records"),
        });
    }
    (read, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts the chosen files in brackets.
    fn chosen(names: &str) -> (String, String) {
        let files = names.split(' ').map(|name| Found {
            path: Path::new("d").join(name),
            format: super::super::file::format_of(Path::new(name)).unwrap(),
        });
        let (files, notes) = to_train_on(Path::new("d"), files.collect());
        let names = names.split(' ').map(|name| {
            let path = Path::new("d").join(name);
            match files.iter().any(|file| file.path == path) {
                true => format!("[{name}]"),
                false => name.to_string(),
            }
        });
        (names.collect::<Vec<_>>().join(" "), notes.join("; "))
    }

    #[test]
    fn of_a_data_set_in_parts_that_for_training_is_chosen() {
        for names in [
            "README.md data/test-0.jsonl [data/train-0-of-2.jsonl] data/validation-0.jsonl",
            "ptb.test.txt [ptb.train.txt] ptb.valid.txt",
            "[en/c4-train.00.json.gz] en/c4-validation.00.json.gz",
            "test/a.parquet [train/b.parquet] [train/test-of-time.txt]",
            "[TRAIN.JSONL] dev-v1.jsonl",
            "[train2017/a.txt] val2017/a.txt",
            "[01-train.txt] 02-test.txt all.txt",
            // A data set in parts beside another data set.
            "[books/all.txt] wiki/test.txt [wiki/train.txt]",
        ] {
            assert_eq!(chosen(&names.replace(['[', ']'], "")).0, names);
        }
        let (_, note) = chosen("a.txt test.txt train-0.txt train-1.txt val.txt");
        assert_eq!(
            note,
            "files of text for training: 2 of 5; passed over: 1 for validation, 1 for testing, 1 beside them that say neither"
        );
    }

    #[test]
    fn without_parts_all_is_chosen_but_the_card_of_records() {
        for (names, said) in [
            ("[a.txt] [b.md] [readme.md]", ""),
            // Nothing is for training, or nothing is for anything else.
            ("[test.jsonl] [validation.jsonl]", ""),
            ("[more.txt] [train.txt]", ""),
            ("[contest.txt] [trains.txt] [devices.txt]", ""),
            ("[train-test-split.md] [test.md]", ""),
            ("[en/train.txt] [de/test.txt]", ""),
            (
                "README.md [a.jsonl]",
                "README.md is passed over: it tells of the records",
            ),
        ] {
            let (read, note) = chosen(&names.replace(['[', ']'], ""));
            assert_eq!((&*read, &*note), (names, said));
        }
    }
}
