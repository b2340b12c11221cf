use sharpness_tests::prelude::*;

fn first_weights(model: &Zoo) -> Vec<f64> {
    model.first.weight.val().into_data().iter().collect()
}

#[test]
fn the_weights_along_the_direction_are_those_of_the_optimizers_step() {
    let device = Device::flex().autodiff();
    let sample = Sample::of(&Data::new(1, 16, &device).batch(0));
    let adam: ModuleOptimizer = AdamConfig::new().with_epsilon(1e-4).init();
    for dtype in [FloatDType::F16, FloatDType::BF16] {
        for (optim, rate) in [(&sgd(), 0.05), (&adam, 1e-3)] {
            let model = Network::Half(dtype).kind().init(3, &device);
            let grads = GradientsParams::from_grads(model.loss(&sample).backward(), &model);
            let valid = model.valid();
            let line = direction(&valid, optim, rate, &grads);
            assert!(line.is_linear(), "{dtype:?}");
            let before = first_weights(&valid);
            let moved = first_weights(&line.apply(valid, rate));
            let stepped = first_weights(&optim.clone().step(rate, model, grads));
            let same = moved.iter().zip(&stepped).filter(|(a, b)| a == b).count();
            println!("{dtype:?}: {same} of {} the same", moved.len());
            assert!(same * 10 >= moved.len() * 8);
            for ((moved, stepped), before) in moved.iter().zip(&stepped).zip(&before) {
                // The optimizer rounds both the weight and the step.
                let taken = (stepped - before).abs();
                let largest = before.abs().max(stepped.abs()).max(taken);
                let place = dtype.finfo().epsilon * largest;
                assert!(
                    (moved - stepped).abs() <= place,
                    "{moved}, {stepped}, from {before}, rate {rate}, {dtype:?}"
                );
            }
        }
    }
}

#[test]
fn a_capped_rate_is_seen_though_a_small_step_has_no_digits() {
    let device = Device::flex().autodiff();
    let sample = Sample::of(&Data::new(1, 16, &device).batch(0));
    for dtype in [FloatDType::F16, FloatDType::BF16] {
        let mut optim: ModuleOptimizer = AdafactorConfig::new().init();
        let mut model = Network::Half(dtype).kind().init(3, &device);
        for step in 0..12 {
            let grads = GradientsParams::from_grads(model.loss(&sample).backward(), &model);
            let valid = model.valid();
            let curve = direction(&valid, &optim, 5e-3, &grads);
            assert!(!curve.is_linear(), "{dtype:?}, step {step}");
            for rate in [5e-3, 0.2, 50.0] {
                let moved = first_weights(&curve.apply(valid.clone(), rate));
                let grads = copied_gradients(&model, &grads);
                let stepped = optim.clone().step(rate, model.clone(), grads);
                assert_eq!(moved, first_weights(&stepped), "{dtype:?} at {rate}");
            }
            model = optim.step(5e-3, model, grads);
        }
    }
}
