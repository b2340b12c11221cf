use sharpness_tests::prelude::*;

const RATE: f64 = 0.1;

/// burn's optimizers update its first occurrence only.
#[derive(Module, Debug)]
struct HeldTwice {
    first: Linear,
    second: Linear,
}

fn matrix(rows: usize, columns: usize, device: &Device) -> Param<Tensor<2>> {
    let values = (0..rows * columns).map(|place| (place as f32 * 0.618).sin());
    let data = TensorData::new(values.collect::<Vec<_>>(), [rows, columns]);
    Param::from_tensor(Tensor::from_data(data, device))
}

fn layer(device: &Device) -> Linear {
    let mut layer = LinearConfig::new(6, 6).with_bias(false).init(device);
    layer.weight = matrix(6, 6, device);
    layer
}

fn assert_on_the_line<M: Module>(model: &M, loss: impl Fn(&M) -> Tensor<1>) {
    for mut optim in [sgd(), adam()] {
        let grads = GradientsParams::from_grads(loss(model).backward(), model);
        let valid = model.valid();
        let line = direction(&valid, &optim, RATE, &grads);
        let along = values(&line.apply(valid, RATE));
        let before = values(model);
        let real = values(&optim.step(RATE, model.clone(), grads));
        let largest = |a: &[f32], b: &[f32]| {
            let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs());
            apart.fold(0.0, f32::max)
        };
        let (apart, moved) = (largest(&along, &real), largest(&before, &real));
        assert!(apart < 1e-4 * moved, "{apart} of {moved}");
    }
}

#[test]
fn a_layer_that_is_held_twice_moves_as_it_does_in_the_step() {
    let device = device::autodiff();
    let first = layer(&device);
    let model = HeldTwice {
        second: first.clone(),
        first,
    };
    let x = matrix(5, 6, &device).val().detach();
    assert_on_the_line(&model, |model| {
        let hidden = model.first.forward(x.clone()).tanh();
        model.second.forward(hidden).square().mean()
    });
}
