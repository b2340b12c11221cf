//! No damage to the files of a checkpoint causes a panic.
//!
//! The seed is fixed. `PROPTEST_CASES=20000 cargo test --test fuzz --test checkpoints fuzz` tries more cases, and
//! `PROPTEST_RNG_SEED` chooses another seed.

use crate::variant::{BOTH, ONE_FILE, fixture};
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::Module;
use burn::optim::OptimizerRecord;
use burn::tensor::{Int, Tensor};
use gpt::export::export;
use gpt::model::GptConfig;
use gpt::run::RunFolder;
use gpt::schedule::WarmupStableDecay;
use gpt::tokenizer::Tokenizer;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;
use public_checkpoints::checkpoint::Checkpoint;
use public_checkpoints::model::Transformer;
use public_checkpoints::text::Texts;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

fn config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if let RngSeed::Random = config.rng_seed {
        config.rng_seed = RngSeed::Fixed(26);
    }
    config
}

type Files = Vec<(String, Vec<u8>)>;

/// Two published models, each in one file and as a shard with its index.
static PUBLISHED: LazyLock<Vec<Files>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let device = gpt::device::of_environment().unwrap().autodiff();
    let config = GptConfig::new(256, 8, 1, 1, 8);
    let model = config.init(&device);
    export(&model, &config, &Tokenizer::Bytes, folder.path()).unwrap();
    let tokenizer = fs::read_to_string(folder.path().join("tokenizer.json")).unwrap();
    let mut tokenizer: Value = serde_json::from_str(&tokenizer).unwrap();
    // The published vocabularies have 96 tokens.
    let vocab = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    vocab.retain(|_, token| token.as_u64().unwrap() < 96);
    tokenizer["truncation"] =
        json!({"direction": "Right", "max_length": 16, "strategy": "LongestFirst", "stride": 0});
    let tokenizer = tokenizer.to_string().into_bytes();
    let checkpoints = BOTH.iter().map(|name| {
        let read = |file: &str| fs::read(fixture(name).join(file)).unwrap();
        vec![
            ("config.json".to_string(), read("config.json")),
            ("tokenizer.json".to_string(), tokenizer.clone()),
            (ONE_FILE.to_string(), read(ONE_FILE)),
        ]
    });
    let mut all: Vec<Files> = checkpoints.collect();
    for index in 0..2 {
        let mut files = all[index].clone();
        let header = header(&files[2].1);
        let names = header.as_object().unwrap().keys();
        let map: serde_json::Map<String, Value> = names
            .filter(|name| *name != "__metadata__")
            .map(|name| (name.clone(), json!("model-1.safetensors")))
            .collect();
        files[2].0 = "model-1.safetensors".to_string();
        let index = json!({"metadata": {}, "weight_map": map}).to_string();
        files.push((format!("{ONE_FILE}.index.json"), index.into_bytes()));
        all.push(files);
    }
    all
});

fn header(file: &[u8]) -> Value {
    let (length, rest) = file.split_first_chunk().unwrap();
    serde_json::from_slice(&rest[..u64::from_le_bytes(*length) as usize]).unwrap()
}

#[derive(Clone, Debug)]
enum Damage {
    /// Replaces a value of its JSON.
    Value(Index, Value),
    Byte(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    Gone,
}

fn damage() -> impl Strategy<Value = Damage> {
    let value = prop_oneof![
        4 => select(vec![0, 1, 2, 3, 5, 7, 8, 16, 64, 1 << 20, 1 << 31, 1 << 40, u64::MAX / 4, u64::MAX])
            .prop_map(Value::from),
        1 => any::<i32>().prop_map(Value::from),
        1 => select(vec![0.0, -1.0, 1e-300, 1e300, 0.5]).prop_map(|number| json!(number)),
        3 => select(vec![
            "", "F8_E4M3", "I64", "F16", "BF16", "F64", "BOOL", "../..", "gelu", "linear", "BPE", "Unigram", "model.safetensors",
            "ByteLevel", "Ġ", "LongestFirst",
        ])
        .prop_map(Value::from),
        1 => ".{0,8}".prop_map(Value::from),
        2 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(json!([])),
        1 => Just(json!({})),
        1 => Just(json!([0, 1])),
    ];
    prop_oneof![
        6 => (any::<Index>(), value).prop_map(|(place, value)| Damage::Value(place, value)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(place, byte)| Damage::Byte(place, byte)),
        1 => any::<Index>().prop_map(Damage::Cut),
        1 => (any::<Index>(), prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(place, bytes)| Damage::Insert(place, bytes)),
        1 => Just(Damage::Gone),
    ]
}

fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_string());
    let escape = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Array(parts) => {
            let parts = parts.iter().enumerate();
            parts.for_each(|(index, part)| places(part, &format!("{at}/{index}"), all));
        }
        Value::Object(parts) => {
            let parts = parts.iter();
            parts.for_each(|(name, part)| places(part, &format!("{at}/{}", escape(name)), all));
        }
        _ => {}
    }
}

/// Chooses places near the top more often.
fn with_value(json: &[u8], place: &Index, new: &Value) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(json).ok()?;
    let mut all = Vec::new();
    places(&value, "", &mut all);
    let mut top = all.clone();
    top.retain(|place| place.matches('/').count() < 3);
    let chosen = if place.index(2) == 0 { &top } else { &all };
    *value.pointer_mut(&chosen[place.index(chosen.len())])? = new.clone();
    Some(value.to_string().into_bytes())
}

impl Damage {
    fn apply(&self, name: &str, content: &mut Vec<u8>) {
        match self {
            Self::Value(place, new) if name.ends_with(".json") => {
                if let Some(changed) = with_value(content, place, new) {
                    *content = changed;
                }
            }
            Self::Value(place, new) if content.len() > 8 => {
                let (length, rest) = content.split_first_chunk().unwrap();
                let length = u64::from_le_bytes(*length) as usize;
                if let Some(json) = rest.get(..length)
                    && let Some(changed) = with_value(json, place, new)
                {
                    let size = (changed.len() as u64).to_le_bytes();
                    *content = [&size, &changed[..], &rest[length..]].concat();
                }
            }
            Self::Byte(place, byte) if !content.is_empty() => {
                // Half of the bytes are among the first 64: lengths and names.
                let most = match byte % 2 {
                    0 => content.len(),
                    _ => content.len().min(64),
                };
                content[place.index(most)] = *byte;
            }
            Self::Cut(place) => content.truncate(place.index(content.len() + 1)),
            Self::Insert(place, bytes) => {
                let place = place.index(content.len() + 1);
                content.splice(place..place, bytes.iter().copied());
            }
            _ => {}
        }
    }
}

fn write(folder: &Path, files: &Files, damages: &[(Index, Damage)]) -> PathBuf {
    let mut files = files.clone();
    let mut gone = Vec::new();
    for (which, damage) in damages {
        let which = which.index(files.len());
        match damage {
            Damage::Gone => gone.push(which),
            damage => {
                let (name, content) = &mut files[which];
                damage.apply(name, content);
            }
        }
    }
    for (index, (name, content)) in files.iter().enumerate() {
        if !gone.contains(&index) {
            fs::write(folder.join(name), content).unwrap();
        }
    }
    folder.to_path_buf()
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn fuzz_published_checkpoints(
        which in 0..4_usize,
        damages in prop::collection::vec((any::<Index>(), damage()), 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text.txt");
        fs::write(&text, "the loss falls, and then it rises again. ".repeat(40)).unwrap();
        let texts = Texts::read(Some(&text), &[], "text", 10_000).unwrap();
        let folder = write(folder.path(), &PUBLISHED[which], &damages);
        let device = gpt::device::of_environment().unwrap();
        let mut refused = Vec::new();
        match Checkpoint::open_all(std::slice::from_ref(&folder), &[7], &[]) {
            Err(error) => refused.push(error),
            Ok(opened) => {
                let config = &opened[0].config;
                refused.extend(texts.windows(&folder, config.vocab(), 8).err());
                match Transformer::open(&folder, config, &device) {
                    Err(error) => refused.push(error),
                    Ok(model) => {
                        let time = config.positions().min(8);
                        model.forward(Tensor::<2, Int>::zeros([1, time], &device));
                    }
                }
            }
        }
        for error in refused {
            let error = format!("{error:#}");
            prop_assert!(!error.is_empty() && error.len() < 2000, "{}", error);
        }
    }

    #[test]
    fn fuzz_checkpoints_of_a_run(
        damages in prop::collection::vec((any::<Index>(), damage()), 1..3),
    ) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), "{}").unwrap();
        let checkpoints = folder.path().join("checkpoint");
        fs::create_dir(&checkpoints).unwrap();
        write(&checkpoints, &OF_A_RUN, &damages);
        let run = RunFolder::of_run(folder.path()).unwrap();
        for checkpoint in run.checkpoints() {
            prop_assert!(run.load_weights(checkpoint).is_ok());
        }
    }
}

static OF_A_RUN: LazyLock<Files> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let device = gpt::device::of_environment().unwrap();
    let part = |name: &str| folder.path().join(name);
    let model = GptConfig::new(16, 8, 1, 1, 8).init(&device);
    let names = ["model-1.bpk", "optim-1.bpk", "scheduler-1.bpk"];
    let [weights, optim, scheduler] = names.map(part);
    model.into_record().save(weights).unwrap();
    OptimizerRecord::default().save(optim).unwrap();
    let schedule = WarmupStableDecay::usual(1.0, 9).scheduler();
    let record = ModuleLrScheduler::new(schedule).to_record();
    record.save(scheduler).unwrap();
    let files = names.map(|name| (name.to_string(), fs::read(part(name)).unwrap()));
    files.into()
});
