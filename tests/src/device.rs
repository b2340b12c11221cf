//! The device of all tests, named by `SHARPNESS_DEVICE` (`flex`, `tch`, `wgpu` or `cuda`; `flex` if it is not
//! set), and how far its numbers may be from exact ones.

use burn::tensor::{Device, DeviceConfig, FloatDType};

/// The device, without gradients.
///
/// # Panics
///
/// If the variable names no device, or one that is not built in.
pub fn plain() -> Device {
    gpt::device::of_environment().unwrap_or_else(|error| panic!("{error:#}"))
}

/// The device, with gradients.
///
/// # Panics
///
/// As [`plain`].
pub fn autodiff() -> Device {
    plain().autodiff()
}

/// Two devices for one training. With `wgpu` they are told apart by burn, though both may be the same adapter; with
/// `tch` the second is `flex`. Where there is one device only, as with `flex`, it stands for both.
///
/// # Panics
///
/// As [`plain`].
pub fn two() -> [Device; 2] {
    let first = plain();
    [first.clone().autodiff(), second(&first).autodiff()]
}

/// The devices between which burn's own distributed training can reduce gradients: the GPUs of `cuda`.
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

/// Makes this the type of floats on the device. Says so and returns false where the device has no such type.
///
/// # Panics
///
/// As [`plain`], and where the device is in use already.
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

/// Whether a forward pass of a batch norm in 16 bits that is made once more leaves the same running statistics. With `tch` it
/// did not, so that what the probe has flushed stays flushed, and it says so.
///
/// # Panics
///
/// As [`plain`].
pub fn repeats_in_16_bits() -> bool {
    !is_tch(&plain())
}

/// Whether the device tries kernels out as it computes, as `wgpu` and `cuda` do: the first training of a process may then
/// differ in bits from all later ones.
///
/// # Panics
///
/// As [`plain`].
pub fn tries_kernels_out() -> bool {
    let device = plain();
    device != Device::flex() && !is_tch(&device)
}

fn is_tch(device: &Device) -> bool {
    gpt::device::open("tch").is_ok_and(|tch| *device == tch)
}

/// How far a backend's 32-bit numbers may be from exact ones, relative to them.
#[derive(Clone, Copy, Debug)]
pub struct Tolerances {
    /// η_c, the slope and the loss of weights that were trained on the device, against float64 oracles.
    pub oracle: f64,
    /// The part of it that the weights alone make after some hundred steps in 32 bits: η_c must be as close to the
    /// oracle as its stated error says, and this.
    pub drift: f64,
    /// Curvatures along a direction, and preconditioned ones, against float64 oracles.
    pub curvature: f64,
    /// A curvature of a quadratic, against its closed form.
    pub quadratic: f64,
    /// Weights that a virtual step predicts, against those of the real step, relative to the largest weight.
    pub step: f32,
}

/// The tolerances of the device. Sums are made in another order on each backend, which is rounding, and far below
/// most of these; only over hundreds of steps it adds up.
pub fn tolerances() -> Tolerances {
    let is_flex = plain() == Device::flex();
    Tolerances {
        oracle: 0.01,
        // 0.05% was seen on flex, 0.12% on tch, both after 400 steps.
        drift: if is_flex { 1e-3 } else { 3e-3 },
        curvature: 0.02,
        quadratic: 2e-3,
        step: 1e-6,
    }
}
