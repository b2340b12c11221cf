use anyhow::{Context, Result, bail, ensure};
use std::path::Path;

/// The clearest first.
const WORDS: [&[&str]; 2] = [&["step"], &["checkpoint", "ckpt", "iteration", "iter"]];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub step: u64,
    /// The path without the step and the number of tokens. Checkpoints of one training share it.
    pub series: String,
}

/// Reads the step after `step` (`stage1-step1000-tokens5B`), after `checkpoint` and the like (`checkpoint-500`), or at
/// the beginning of the name. `20k`, `2.5M`, `1,000` and `1e4` are numbers, too.
pub fn read(folder: &Path) -> Result<Named> {
    let path = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_lowercase();
    let mut found = WORDS.iter().map(|words| after(&name, words));
    let mut found = found.find(|found| !found.is_empty()).unwrap_or_default();
    if found.is_empty() && name.starts_with(|letter: char| letter.is_ascii_digit()) {
        found.push(Said::at(&name, 0));
    }
    let (folder, ask) = (folder.display(), "give --step, one for each folder");
    let Some(said) = found.first() else {
        bail!("the name of {folder} tells no step: name it like step-1000, or {ask}");
    };
    let step = |said: &Said| {
        let number = number(said.text).filter(|_| !said.may_go_on);
        number.with_context(|| {
            format!("the name of {folder} tells the step as {:?}, which is no whole number for certain: {ask}", said.text)
        })
    };
    let steps = found.iter().map(step).collect::<Result<Vec<u64>>>()?;
    ensure!(
        steps.iter().all(|step| *step == steps[0]),
        "the name of {folder} tells the steps {} and {}: {ask}",
        steps[0],
        steps[steps.len() - 1]
    );
    let mut series = name.clone();
    series.replace_range(said.start..said.start + said.text.len(), "*");
    if let Some(tokens) = after(&series, &["token"]).first() {
        let range = tokens.start..tokens.start + tokens.text.len();
        series.replace_range(range, "*");
    }
    let parent = path.parent().unwrap_or(Path::new(""));
    Ok(Named {
        step: steps[0],
        series: parent.join(series).to_string_lossy().into_owned(),
    })
}

#[derive(Clone, Debug)]
struct Said<'a> {
    /// The place of the first byte in the name.
    start: usize,
    /// Digits, letters, points and commas.
    text: &'a str,
    /// Whether three digits follow that may continue the number: `1_000`.
    may_go_on: bool,
}

impl<'a> Said<'a> {
    fn at(name: &'a str, start: usize) -> Self {
        let rest = &name[start..];
        let is_part = |letter: char| letter.is_alphanumeric() || ".,+".contains(letter);
        let end = rest.find(|letter| !is_part(letter));
        let (text, rest) = rest.split_at(end.unwrap_or(rest.len()));
        let digits = rest.trim_start_matches(['_', ' ', '\'']);
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        Self {
            start,
            text,
            may_go_on: digits.len() < rest.len() && count == 3,
        }
    }
}

fn after<'a>(name: &'a str, words: &[&str]) -> Vec<Said<'a>> {
    let mut places: Vec<usize> = Vec::new();
    for word in words {
        let found = name.match_indices(word);
        let ends = found.map(|(start, _)| start + word.len());
        let starts = ends.filter_map(|end| {
            let rest = &name[end..];
            let plural = rest.strip_prefix('s').unwrap_or(rest);
            let number = plural.trim_start_matches(['-', '_', '=', ' ']);
            let is_number = number.starts_with(|letter: char| letter.is_ascii_digit());
            is_number.then(|| name.len() - number.len())
        });
        places.extend(starts);
    }
    places.sort_unstable();
    places.dedup();
    let places = places.into_iter();
    places.map(|place| Said::at(name, place)).collect()
}

pub fn parse(text: &str) -> Result<u64> {
    number(&text.to_lowercase()).context("expected a whole number, such as 20000, 20k, 2.5M or 1e4")
}

fn number(text: &str) -> Option<u64> {
    let (text, thousands) = match text.strip_suffix('k') {
        Some(text) => (text, 3),
        None => text.strip_suffix('m').map_or((text, 0), |text| (text, 6)),
    };
    let (text, exponent) = match text.split_once('e') {
        Some((text, exponent)) if thousands == 0 => (text, exponent.parse().ok()?),
        Some(_) => return None,
        None => (text, thousands),
    };
    let (whole, decimals) = match text.split_once('.') {
        // A point alone may separate thousands, or belong to a version.
        Some((whole, decimals)) if exponent > 0 => (whole.to_string(), decimals),
        Some(_) => return None,
        None => (without_commas(text)?, ""),
    };
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !are_digits(&whole) || !are_digits(decimals) {
        return None;
    }
    let decimals = decimals.trim_end_matches('0');
    let zeros = u32::try_from(decimals.len()).ok();
    let zeros = zeros.and_then(|count| u32::checked_sub(exponent, count))?;
    let digits: u64 = format!("{whole}{decimals}").parse().ok()?;
    digits.checked_mul(10_u64.checked_pow(zeros)?)
}

fn without_commas(text: &str) -> Option<String> {
    let mut groups = text.split(',');
    let first = groups.next()?;
    let are_thousands = groups.clone().all(|group| group.len() == 3) && first.len() <= 3;
    (are_thousands || groups.clone().count() == 0).then(|| text.replace(',', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_steps() {
        for (name, step) in [
            ("stage1-step1000-tokens5B", 1000),
            ("runs/step-200", 200),
            ("Step_0", 0),
            ("footsteps-step30", 30),
            ("steps=7", 7),
            ("global_step143000", 143_000),
            ("checkpoint-500/", 500),
            ("checkpoint-3-step40", 40),
            ("iter_0010000", 10_000),
            ("0042", 42),
            ("step-20k", 20_000),
            ("step2.5M", 2_500_000),
            ("step2.50M-hf", 2_500_000),
            ("step1,000", 1000),
            ("checkpoint-1,234,567", 1_234_567),
            ("step_1e4", 10_000),
            ("step1.5e+4", 15_000),
            ("20K", 20_000),
            ("step9-of-step9", 9),
        ] {
            assert_eq!(read(Path::new(name)).unwrap().step, step, "{name}");
        }
    }

    #[test]
    fn what_may_be_another_step_is_asked_for() {
        let names = "gpt2 OLMo-2-1B step latest 7b-instruct step1.000 step2,5M step10,00 step1234,567 step_1_000 \
            step1000x step20kb step5b step1.2345k step1e-4 step1e3k step1e99 step99999999999999999999 step1. \
            step10-from-step5";
        for name in names.split(' ').chain(["step 1 000"]) {
            let error = read(Path::new(name)).unwrap_err().to_string();
            assert!(error.contains("--step"), "{name}: {error}");
        }
    }

    #[test]
    fn a_series_is_what_is_counted_from_one_beginning() {
        let series = |name: &str| read(Path::new(name)).unwrap().series;
        let first = series("ck/stage1-step1000-tokens5B");
        assert_eq!(first, series("ck/stage1-step20k-tokens4001B"));
        assert_ne!(first, series("ck/stage2-step1000-tokens5B"));
        assert_ne!(first, series("other/stage1-step1000-tokens5B"));
        assert_eq!(series("7"), series("20k"));
    }
}
