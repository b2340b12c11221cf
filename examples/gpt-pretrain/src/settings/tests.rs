use super::*;
use clap::{Command, FromArgMatches};

/// Each flag, a value that is not its default, and whether the learning-rate finder uses it.
const FLAGS: [(&str, &str, bool); 27] = [
    ("steps", "7", false),
    ("lr", "0.5", false),
    ("final_lr", "1e-9", false),
    ("warmup", "3", false),
    ("decay", "3", false),
    ("batch", "3", true),
    ("accumulate", "3", true),
    ("weight_decay", "0.5", true),
    ("epoch_steps", "3", false),
    ("seed", "3", true),
    ("device", "flex", true),
    ("every", "3", false),
    ("dense_every", "3", false),
    ("hessian_every", "3", false),
    ("max_time_share", "0.5", false),
    ("edge_cap", "0.5", false),
    ("tolerance", "0.5", true),
    ("context", "3", true),
    ("layers", "3", true),
    ("heads", "2", true),
    ("width", "4", true),
    ("dropout", "0.5", true),
    ("untied", "", true),
    ("data", ".", true),
    ("domain", "code", true),
    ("megabytes", "3", true),
    ("vocab", "300", true),
];
/// Flags that need another flag.
const BOUND: [(&str, &[&str]); 2] = [
    ("text_field", &["--text-field", "body", "--data", "."]),
    ("tokens", &["--tokens", "bytes"]),
];

fn command() -> Command {
    Settings::augment_args(Command::new("test"))
}

fn checked(words: &[&str], finds_lr: bool) -> Result<Settings> {
    let matches = command().try_get_matches_from([&["test"], words].concat())?;
    Settings::from_arg_matches(&matches)?.checked(&matches, finds_lr)
}

fn words<'a>(flag: &'a str, value: &'a str) -> Vec<&'a str> {
    let words = [flag, value].into_iter();
    words.filter(|word| !word.is_empty()).collect()
}

#[test]
fn each_flag_is_used_or_refused_in_each_mode() {
    let mut listed: Vec<&str> = FLAGS.iter().map(|(flag, ..)| *flag).collect();
    listed.extend(BOUND.iter().map(|(flag, _)| *flag));
    listed.sort_unstable();
    let all = command();
    let all = all.get_arguments().map(|flag| flag.get_id().as_str());
    let mut all: Vec<&str> = all.collect();
    all.sort_unstable();
    assert_eq!(listed, all, "a flag without an entry in the table");

    for (flag, value, by_finder) in FLAGS {
        let option = format!("--{}", flag.replace('_', "-"));
        let given = words(&option, value);
        checked(&given, false).unwrap();
        let by = checked(&given, true);
        assert_eq!(by.is_ok(), by_finder, "{option} with --find-lr");
        if let Err(error) = by {
            assert!(error.to_string().starts_with(&option), "{error}");
        }
    }
    for (_, given) in BOUND {
        checked(given, false).unwrap();
        checked(given, true).unwrap();
    }
    let refused = |words: &[&str]| checked(words, false).unwrap_err().to_string();
    assert!(refused(&["--data", ".", "--domain", "code"]).contains("with --data"));
    assert!(refused(&["--text-field", "body"]).contains("without --data"));
    assert!(refused(&["--tokens", "bytes", "--vocab", "300"]).contains("--vocab"));
    assert!(refused(&["--decay", "0", "--final-lr", "1e-5"]).contains("without a decay"));
}

#[test]
fn each_flag_of_a_run_that_resumes_is_used_or_refused() {
    let saved = checked(&[], false).unwrap();
    for (flag, value, _) in FLAGS {
        let option = format!("--{}", flag.replace('_', "-"));
        let given = [vec!["test"], words(&option, value)].concat();
        let matches = command().try_get_matches_from(given).unwrap();
        let now = Settings::from_arg_matches(&matches).unwrap();
        let resumed = now.resumed(&saved, &matches);
        if flag == "device" {
            continue; // There is one that is built in.
        }
        let is_changeable = CHANGEABLE.split(' ').any(|other| other == flag);
        assert_eq!(resumed.is_ok(), is_changeable, "{option}");
        if let Ok(resumed) = resumed {
            let field = |settings: &Settings| serde_json::to_value(settings).unwrap()[flag].clone();
            assert_eq!(field(&resumed), field(&now), "{option}");
            assert_ne!(field(&resumed), field(&saved), "{option}");
        }
    }
}

#[test]
fn sizes_without_sense_are_named() {
    let huge = "18446744073709551615";
    for (flag, value) in [
        ("steps", "0"),
        ("steps", huge),
        ("warmup", huge),
        ("decay", huge),
        ("batch", "0"),
        ("batch", huge),
        ("accumulate", "0"),
        ("accumulate", huge),
        ("epoch_steps", "0"),
        ("every", "0"),
        ("dense_every", huge),
        ("hessian_every", "0"),
        ("max_time_share", "-1"),
        ("edge_cap", "0"),
        ("edge_cap", "1.5"),
        ("tolerance", "0"),
        ("lr", "NaN"),
        ("lr", "-1"),
        ("final_lr", "inf"),
        ("weight_decay", "-1"),
        ("context", huge),
        ("layers", huge),
        ("heads", huge),
        ("width", huge),
        ("dropout", "1"),
        ("vocab", huge),
        ("megabytes", "0"),
        ("megabytes", "-1"),
        ("megabytes", "NaN"),
        ("megabytes", "0.0000001"),
    ] {
        let option = format!("--{}", flag.replace('_', "-"));
        let error = checked(&words(&option, value), false).unwrap().validate();
        let error = error.expect_err(&format!("{option} {value}")).to_string();
        assert!(!error.contains("panicked"), "{error}");
    }
    for option in ["--epoch-steps", "--every", "--seed", "--megabytes"] {
        checked(&[option, huge], false).unwrap().validate().unwrap();
    }
    let half = checked(&["--megabytes", "0.5"], false).unwrap();
    assert_eq!(limit(half.megabytes).unwrap(), 500_000);
}

#[cfg(unix)]
#[test]
fn a_path_that_the_configuration_cannot_hold_is_named() {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::OsStr::from_bytes(b"odd\xff");
    let words: [&std::ffi::OsStr; 3] = ["test".as_ref(), "--data".as_ref(), path];
    let matches = command().try_get_matches_from(words).unwrap();
    let settings = Settings::from_arg_matches(&matches).unwrap();
    let error = settings.checked(&matches, false).unwrap_err().to_string();
    assert!(error.contains("is not UTF-8"), "{error}");
}

#[test]
fn the_path_of_the_text_is_absolute() {
    let settings = checked(&["--data", "src"], false).unwrap();
    assert!(settings.data.unwrap().is_absolute());
}
