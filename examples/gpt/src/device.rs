//! The backends that an example can run on.

use anyhow::{Result, bail};
use burn::tensor::Device;

/// The device of this name: `flex` (pure Rust, on the CPU), `tch`, `cuda` or `wgpu`.
///
/// # Errors
///
/// The last three need a cargo feature of the same name; without it, the error says so.
pub fn open(name: &str) -> Result<Device> {
    match name {
        "flex" => Ok(Device::flex()),
        #[cfg(feature = "tch")]
        "tch" => Ok(Device::libtorch()),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(0)),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        "tch" | "cuda" | "wgpu" => bail!(
            "the device {name} is not built in: run again with `--features {name}` before the `--`"
        ),
        _ => bail!("there is no device named {name}: choose flex, tch, cuda or wgpu"),
    }
}
