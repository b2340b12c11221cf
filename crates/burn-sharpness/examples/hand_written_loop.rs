//! Measures critical sharpness in a hand-written training loop, on a toy problem.
//!
//! ```sh
//! cargo run --example hand_written_loop
//! ```

use burn::nn::loss::{MseLoss, Reduction};
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Distribution, Tensor};
use burn_sharpness::ConfigError;
// ANCHOR: readme
use burn_sharpness::{SharpnessConfig, SharpnessProbe};
// ANCHOR_END: readme

struct Batch {
    x: Tensor<2>,
    y: Tensor<2>,
}

fn loss(model: &Linear, batch: &Batch) -> Tensor<1> {
    MseLoss::new().forward(
        model.forward(batch.x.clone()),
        batch.y.clone(),
        Reduction::Mean,
    )
}

fn main() -> Result<(), ConfigError> {
    let device = Device::flex().autodiff();
    let normal = |shape| Tensor::<2>::random(shape, Distribution::Normal(0.0, 1.0), &device);
    let mut model = LinearConfig::new(16, 4).init(&device);
    let mut optim = AdamWConfig::new().init();
    let lr = 1e-2;
    let batches = (0..50).map(|_| Batch {
        x: normal([64, 16]),
        y: normal([64, 4]),
    });

    // ANCHOR: readme
    let probe = SharpnessProbe::new(SharpnessConfig::new().with_every(10))?;
    for batch in batches {
        let grads = GradientsParams::from_grads(loss(&model, &batch).backward(), &model);
        let measured = probe.measure(&model, &optim, lr, &grads, |model| loss(model, &batch));
        if let Some(sharpness) = measured.and_then(|measured| measured.critical_sharpness) {
            println!("critical sharpness {sharpness:.2}, edge at {:.2}", 2.0 / lr);
        }
        model = optim.step(lr, model, grads);
    }
    println!("{}", probe.summary());
    // ANCHOR_END: readme
    Ok(())
}
