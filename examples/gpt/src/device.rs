use anyhow::{Context, Result, bail};
use burn::tensor::Device;

const VARIABLE: &str = "SHARPNESS_DEVICE";

/// Opens `flex` (pure Rust, on the CPU), or `tch`, `cuda` or `wgpu` with the cargo feature of this name.
pub fn open(name: &str) -> Result<Device> {
    #[allow(unreachable_patterns, reason = "a feature's name stands twice")]
    let device = match name {
        "flex" => Device::flex(),
        // Burn 0.22 deprecates this backend, and 0.23 drops it.
        #[cfg(feature = "tch")]
        #[allow(deprecated)]
        "tch" => Device::libtorch(),
        #[cfg(feature = "cuda")]
        "cuda" => Device::cuda(0),
        #[cfg(feature = "wgpu")]
        "wgpu" => Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
        "tch" | "cuda" | "wgpu" => bail!(
            "the device {name} is not built in: run again with `--features {name}` before the `--`"
        ),
        _ => bail!("there is no device named {name}: choose flex, tch, cuda or wgpu"),
    };
    Ok(device)
}

pub fn of_environment() -> Result<Device> {
    match std::env::var(VARIABLE) {
        Ok(name) if !name.is_empty() => open(&name).context(VARIABLE),
        _ => open("flex"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_device_is_refused_with_those_that_are() {
        let error = open("tpu").unwrap_err().to_string();
        assert!(error.contains("named tpu: choose flex, tch"), "{error}");
        assert!(open("flex").is_ok());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_that_is_not_built_in_says_which_feature_brings_it() {
        let error = open("cuda").unwrap_err().to_string();
        assert!(error.contains("--features cuda"), "{error}");
    }
}
