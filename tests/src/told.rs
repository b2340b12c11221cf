use burn_sharpness::SharpnessProbe;

/// Whether the summary has a notice with these words. Panics if it has several.
#[track_caller]
pub fn says(probe: &SharpnessProbe, words: &str) -> bool {
    let summary = probe.summary();
    let notices = summary.notices.iter();
    let said = notices.filter(|notice| notice.contains(words)).count();
    assert!(said <= 1, "the summary repeats a notice: {summary}");
    said == 1 && summary.to_string().contains(words)
}

#[track_caller]
pub fn assert_says(text: &str, words: &str) {
    assert!(text.contains(words), "{words:?} is not in {text:?}");
}

#[track_caller]
pub fn assert_silent(probe: &SharpnessProbe) {
    let summary = probe.summary();
    assert!(summary.notices.is_empty(), "{summary}");
}
