use crate::files::{check_is_itself, check_weights, other_weights};
use anyhow::{Context, Result, anyhow, bail, ensure};
use burn::module::Param;
use burn::nn::{Embedding, EmbeddingConfig, Linear};
use burn::tensor::{DType, Device, Tensor};
use burn_store::{ModuleStore, SafetensorsStore, bridge, burn_pack};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const WEIGHTS_FILE: &str = "model.safetensors";
/// Maps tensors to shards.
const INDEX_FILE: &str = "model.safetensors.index.json";

/// Masks and tables that older published files contain, and that the models here compute.
const BUFFERS: [&str; 3] = [".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq"];

/// The tensors that are still to be taken. Taking a tensor reads it from its file.
pub struct Weights {
    folder: PathBuf,
    tensors: BTreeMap<String, burn_pack::Tensor>,
    /// The prefix of names, which a file of the bare trunk omits.
    prefix: &'static str,
    device: Device,
}

#[derive(Deserialize)]
pub struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Index {
    fn shards(&self) -> BTreeSet<&str> {
        self.weight_map.values().map(String::as_str).collect()
    }
}

/// Returns no index if one file has all weights.
pub fn check_files(folder: &Path) -> Result<Option<Index>> {
    let is_there = |name: &str| folder.join(name).exists() || folder.join(name).is_symlink();
    if is_there(WEIGHTS_FILE) {
        check_weights(&folder.join(WEIGHTS_FILE), is_buffer)?;
        return Ok(None);
    }
    let path = folder.join(INDEX_FILE);
    if !is_there(INDEX_FILE) {
        bail!(
            "{} holds no weights that are read here: expected {WEIGHTS_FILE}, or {INDEX_FILE} and its shards{}",
            folder.display(),
            other_weights(folder).unwrap_or_default()
        );
    }
    check_is_itself(&path)?;
    let unreadable = || format!("the index {} cannot be read", path.display());
    let json = std::fs::read_to_string(&path).with_context(unreadable)?;
    let index: Index = serde_json::from_str(&json).with_context(unreadable)?;
    for shard in index.shards() {
        ensure!(
            is_there(shard),
            "the shard {shard} is missing from {}: {INDEX_FILE} names it",
            folder.display()
        );
        check_weights(&folder.join(shard), is_buffer)?;
    }
    Ok(Some(index))
}

fn is_buffer(name: &str) -> bool {
    BUFFERS.iter().any(|end| name.ends_with(end))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[inputs, outputs]`, as in GPT-2 and burn.
    InputsFirst,
    /// `[outputs, inputs]`, as in PyTorch.
    OutputsFirst,
}

impl Weights {
    pub fn open(folder: &Path, prefix: &'static str, device: &Device) -> Result<Self> {
        let mut weights = Self {
            folder: folder.to_path_buf(),
            tensors: BTreeMap::new(),
            prefix,
            device: device.clone(),
        };
        let Some(index) = check_files(folder)? else {
            weights.add_file(WEIGHTS_FILE)?;
            return Ok(weights);
        };
        for shard in index.shards() {
            weights.add_file(shard)?;
        }
        let mut expected = index.weight_map.iter();
        if let Some((name, shard)) = expected.find(|(name, _)| !weights.tensors.contains_key(*name))
        {
            bail!(
                "the tensor {name} is missing from {}: {INDEX_FILE} expects it in {shard}",
                folder.display()
            );
        }
        Ok(weights)
    }

    fn add_file(&mut self, name: &str) -> Result<()> {
        let path = self.folder.join(name);
        let mut store = SafetensorsStore::from_file(&path);
        let tensors = store.get_all_tensors().map_err(|error| {
            anyhow!(
                "{} cannot be read as safetensors ({error}): was it downloaded whole?",
                path.display()
            )
        })?;
        let tensors = tensors
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.clone()));
        self.tensors.extend(tensors);
        Ok(())
    }

    fn stored_name(&self, name: &str) -> String {
        let bare = name.strip_prefix(self.prefix).unwrap_or(name);
        let is_bare = !self.tensors.contains_key(name) && self.tensors.contains_key(bare);
        if is_bare { bare } else { name }.to_string()
    }

    /// Takes a tensor as 32-bit floats.
    pub fn take<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>> {
        let stored = self.stored_name(name);
        let folder = self.folder.display();
        let tensor = self.tensors.remove(&stored).with_context(|| {
            format!("the tensor {name} is missing from {folder}: expected the shape {shape:?}")
        })?;
        ensure!(
            tensor.shape[..] == shape,
            "the tensor {stored} in {folder} has the shape {:?}, but the configuration says {shape:?}",
            &tensor.shape[..]
        );
        let data = bridge::into_data(tensor)
            .map_err(|error| anyhow!("the tensor {stored} in {folder} cannot be read: {error}"))?;
        let data = data.convert_dtype(DType::F32);
        Ok(Tensor::from_data(data, &self.device))
    }

    pub fn param<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
    ) -> Result<Param<Tensor<D>>> {
        Ok(Param::from_tensor(self.take(name, shape)?))
    }

    pub fn embedding(&mut self, name: &str, count: usize, width: usize) -> Result<Embedding> {
        let mut embedding = EmbeddingConfig::new(count, width).init(&self.device);
        embedding.weight = self.param(&format!("{name}.weight"), [count, width])?;
        Ok(embedding)
    }

    pub fn linear(
        &mut self,
        name: &str,
        [inputs, outputs]: [usize; 2],
        bias: bool,
        layout: Layout,
    ) -> Result<Linear> {
        let weight = format!("{name}.weight");
        let weight = match layout {
            Layout::InputsFirst => self.take(&weight, [inputs, outputs])?,
            Layout::OutputsFirst => self.take(&weight, [outputs, inputs])?.transpose(),
        };
        let bias = bias.then(|| self.param(&format!("{name}.bias"), [outputs]));
        Ok(Linear {
            weight: Param::from_tensor(weight),
            bias: bias.transpose()?,
        })
    }

    /// A tied model's file may repeat the embedding as an output layer, which is skipped.
    pub fn head(&mut self, tied: bool, width: usize, vocab: usize) -> Result<Option<Linear>> {
        const NAME: &str = "lm_head";
        if tied {
            self.tensors.remove(&format!("{NAME}.weight"));
            return Ok(None);
        }
        let head = self.linear(NAME, [width, vocab], false, Layout::OutputsFirst)?;
        Ok(Some(head))
    }

    /// A leftover tensor belongs to another model.
    pub fn finish(self) -> Result<()> {
        match self.tensors.keys().find(|name| !is_buffer(name)) {
            None => Ok(()),
            Some(name) => bail!(
                "{} holds the tensor {name}, which a model of its configuration does not have",
                self.folder.display()
            ),
        }
    }
}
