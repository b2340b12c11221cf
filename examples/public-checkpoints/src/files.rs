use anyhow::{Context, Result, bail, ensure};
use gpt::text::stands_for_another;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Weights that this program cannot read.
const OTHER_WEIGHTS: &str = ".safetensors .bin .pt .pth .ckpt .h5 .msgpack .gguf .npz";
/// Prefixes of tensor names in wrapped models: the prefix, the wrapper, and the bare model in Python.
const WRAPPERS: [(&str, &str, &str); 2] = [
    ("_orig_mod.", "torch.compile", "model._orig_mod"),
    ("module.", "data parallel training", "model.module"),
];
const FLOATS: [&str; 4] = ["F64", "F32", "F16", "BF16"];
const LONGEST_HEADER: u64 = 100 << 20;
/// Saves a readable model in Python.
const SAVE: &str =
    "AutoModelForCausalLM.from_pretrained(FOLDER, torch_dtype=\"float32\").save_pretrained(OTHER)";

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    data_offsets: [u64; 2],
}

/// Refuses a pointer to another file, and a broken link.
pub fn check_is_itself(path: &Path) -> Result<()> {
    ensure!(
        path.exists() || !path.is_symlink(),
        "{} is a link that leads nowhere: fetch the file that it is to lead to",
        path.display()
    );
    let mut beginning = Vec::new();
    let file = File::open(path).and_then(|file| file.take(256).read_to_end(&mut beginning));
    file.with_context(|| format!("{} cannot be read", path.display()))?;
    match stands_for_another(&beginning) {
        Some(why) => bail!("{} cannot be read: {why}", path.display()),
        None => Ok(()),
    }
}

/// Checks that a file of weights is whole, and that the types and names of its tensors are known.
pub fn check_weights(path: &Path, is_buffer: impl Fn(&str) -> bool) -> Result<()> {
    check_is_itself(path)?;
    let shown = path.display();
    let (header, end, length) = header(path).with_context(|| {
        format!("{shown} cannot be read as safetensors: was it downloaded whole?")
    })?;
    for (name, tensor) in &header {
        let name_within = format!(".{name}");
        let mut wrappers = WRAPPERS.iter();
        let wrapper = wrappers.find(|(prefix, ..)| name_within.contains(&format!(".{prefix}")));
        if let Some((prefix, by, bare)) = wrapper {
            bail!(
                "the tensor {name} in {shown} belongs to a wrapped model: {by} puts `{prefix}` before the names, so save {bare} instead"
            );
        }
        ensure!(
            FLOATS.contains(&&*tensor.dtype) || is_buffer(name),
            "the tensor {name} in {shown} holds {}: expected 16-bit, 32-bit or 64-bit floats, as {SAVE} makes them in Python",
            tensor.dtype
        );
    }
    ensure!(
        end <= length,
        "{shown} has {length} bytes, but its header promises {end}: it was not downloaded whole, so fetch it again"
    );
    Ok(())
}

/// Returns the tensors, the end of their bytes, and the length of the file.
fn header(path: &Path) -> Result<(BTreeMap<String, Entry>, u64, u64)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut size = [0; 8];
    file.read_exact(&mut size)?;
    let size = u64::from_le_bytes(size);
    ensure!(size <= LONGEST_HEADER, "its header has {size} bytes");
    let mut json = Vec::new();
    file.take(size).read_to_end(&mut json)?;
    let mut tensors: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&json)?;
    tensors.remove("__metadata__");
    let tensors = tensors
        .into_iter()
        .map(|(name, tensor)| Ok((name, serde_json::from_value(tensor)?)));
    let tensors = tensors.collect::<Result<BTreeMap<String, Entry>>>()?;
    let ends = tensors.values().map(|tensor| tensor.data_offsets[1]);
    let end = ends.max().unwrap_or(0).saturating_add(8 + size);
    Ok((tensors, end, length))
}

/// Returns the end of a sentence about a folder with weights in another format.
pub fn other_weights(folder: &Path) -> Option<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names
        .filter(|name| {
            OTHER_WEIGHTS
                .split(' ')
                .any(|ending| name.ends_with(ending))
        })
        .collect();
    names.sort();
    let name = names.first()?;
    Some(format!(
        ", but it has {name}: save the model again, by {SAVE} in Python"
    ))
}
