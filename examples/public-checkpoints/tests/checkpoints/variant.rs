use burn::tensor::{DType, TensorData};
use public_checkpoints::config::ModelConfig;
use public_checkpoints::model::Transformer;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub const BOTH: [&str; 2] = ["gpt2-tiny-0", "olmo2-tiny-0"];
pub const ONE_FILE: &str = "model.safetensors";

pub fn fixture(name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fixtures.join(name)
}

#[derive(Clone)]
pub struct Stored {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// A fixture to modify and write to a folder of its own.
pub struct Variant {
    pub config: Value,
    pub tensors: Vec<Stored>,
}

impl Variant {
    pub fn of(name: &str) -> Self {
        let folder = fixture(name);
        let config = fs::read_to_string(folder.join("config.json")).unwrap();
        let bytes = fs::read(folder.join(ONE_FILE)).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = tensors.iter().map(|(name, tensor)| Stored {
            name: name.to_string(),
            dtype: tensor.dtype(),
            shape: tensor.shape().to_vec(),
            bytes: tensor.data().to_vec(),
        });
        Self {
            config: serde_json::from_str(&config).unwrap(),
            tensors: tensors.collect(),
        }
    }

    pub fn tensor(&mut self, name: &str) -> &mut Stored {
        let mut tensors = self.tensors.iter_mut();
        tensors.find(|tensor| tensor.name == name).unwrap()
    }

    pub fn add(&mut self, name: &str, shape: &[usize]) {
        self.tensors.push(Stored {
            name: name.to_string(),
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            bytes: vec![0; 4 * shape.iter().product::<usize>()],
        });
    }

    pub fn cast(&mut self, to: DType) {
        for tensor in &mut self.tensors {
            let data =
                TensorData::from_bytes_vec(tensor.bytes.clone(), tensor.shape.clone(), DType::F32);
            let data = data.convert_dtype(to);
            tensor.bytes = data.as_bytes().to_vec();
            tensor.dtype = match to {
                DType::F16 => Dtype::F16,
                DType::BF16 => Dtype::BF16,
                DType::F64 => Dtype::F64,
                other => panic!("{other:?}"),
            };
        }
    }

    pub fn save(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let config = self.config.to_string();
        fs::write(folder.path().join("config.json"), config).unwrap();
        write(&folder.path().join(ONE_FILE), &self.tensors);
        folder
    }

    pub fn save_shards(&self, count: usize) -> TempDir {
        let folder = self.save();
        fs::remove_file(folder.path().join(ONE_FILE)).unwrap();
        let mut map = serde_json::Map::new();
        let shards = self.tensors.chunks(self.tensors.len().div_ceil(count));
        for (index, tensors) in shards.enumerate() {
            let name = format!("model-{:05}-of-{count:05}.safetensors", index + 1);
            write(&folder.path().join(&name), tensors);
            map.extend(tensors.iter().map(|t| (t.name.clone(), json!(name))));
        }
        let index = json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string();
        fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
        folder
    }
}

fn write(path: &Path, tensors: &[Stored]) {
    let views = tensors.iter().map(|tensor| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
        (tensor.name.clone(), view.unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

pub fn load(folder: &Path) -> anyhow::Result<Transformer> {
    let device = gpt::device::of_environment().unwrap();
    Transformer::open(folder, &ModelConfig::open(folder)?, &device)
}

#[track_caller]
pub fn assert_refused(folder: &Path, parts: &[&str]) {
    assert_told(&load(folder).err().unwrap(), parts);
}

/// Whether an error on one line has these parts.
#[track_caller]
pub fn assert_told(error: &anyhow::Error, parts: &[&str]) {
    let error = format!("{error:#}");
    assert!(!error.contains('\n'), "one line: {error}");
    for part in parts {
        assert!(error.contains(part), "{part}: {error}");
    }
}
