//! The device of all tests, named by `SHARPNESS_DEVICE` (`flex` by default, `tch`, `wgpu` or `cuda`), and its
//! tolerances.

use burn::tensor::{Device, DeviceConfig, FloatDType};

/// Without autodiff. Panics if the variable names an unknown device, or a backend that is not built in.
pub fn plain() -> Device {
    gpt::device::of_environment().unwrap_or_else(|error| panic!("{error:#}"))
}

pub fn autodiff() -> Device {
    plain().autodiff()
}

/// For `wgpu`, both may be the same adapter, but burn tells them apart. For `tch`, the second is `flex`. `flex` has a
/// single device, which stands for both.
pub fn two() -> [Device; 2] {
    let first = plain();
    [first.clone().autodiff(), second(&first).autodiff()]
}

/// The GPUs of `cuda`, between which burn's own distributed training can reduce gradients.
pub fn with_collectives() -> Vec<Device> {
    #[cfg(feature = "cuda")]
    let devices = Device::enumerate(burn::tensor::DeviceType::Cuda)
        .autodiff()
        .into_vec();
    #[cfg(not(feature = "cuda"))]
    let devices = Vec::new();
    devices
}

fn second(first: &Device) -> Device {
    #[cfg(feature = "wgpu")]
    if *first == Device::wgpu(burn::tensor::DeviceKind::DefaultDevice) {
        return Device::wgpu(burn::tensor::DeviceKind::Cpu);
    }
    #[cfg(feature = "tch")]
    if is_tch(first) {
        return Device::flex();
    }
    first.clone()
}

/// Returns false, with a message, if the device lacks the type. Panics if the device is already in use.
#[must_use]
pub fn use_floats(dtype: FloatDType) -> bool {
    let mut device = plain();
    if !device.supports_dtype(dtype) {
        println!("left out: this device has no {dtype:?}");
        return false;
    }
    let config = DeviceConfig::default().float_dtype(dtype);
    device.configure(config).unwrap();
    true
}

/// With `tch`, repeating a 16-bit forward pass of batch norm gave other running statistics, so that the probe cannot
/// make flushed statistics pending again.
pub fn repeats_in_16_bits() -> bool {
    !is_tch(&plain())
}

/// Whether the first training of a process may differ in bits from later trainings, as with `wgpu` and `cuda`.
pub fn tries_kernels_out() -> bool {
    let device = plain();
    device != Device::flex() && !is_tch(&device)
}

fn is_tch(device: &Device) -> bool {
    gpt::device::open("tch").is_ok_and(|tch| *device == tch)
}

/// For η_c, slope and loss of weights trained on the device, against float64 oracles.
pub const ORACLE: f64 = 0.01;
/// For directional and preconditioned curvatures, against float64 oracles.
pub const CURVATURE: f64 = 0.02;
/// For a curvature of a quadratic, against its closed form.
pub const QUADRATIC: f64 = 2e-3;
/// For the weights after a virtual step, against the real step, relative to the largest weight.
pub const STEP: f32 = 1e-6;

/// The part of [`ORACLE`] due to the weights alone. η_c must agree to its stated error plus this.
pub fn drift() -> f64 {
    // Observed after 400 steps: 0.05% on flex, 0.12% on tch.
    if plain() == Device::flex() {
        1e-3
    } else {
        3e-3
    }
}

/// The share of values of batch sharpness that rounding must not hide.
pub fn resolved() -> f64 {
    // 48 of 56 on tch.
    if plain() == Device::flex() { 0.9 } else { 0.8 }
}
