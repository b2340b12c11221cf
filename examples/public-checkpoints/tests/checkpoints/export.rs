use burn::tensor::{Int, Tensor, TensorData};
use gpt::export::export;
use gpt::model::GptConfig;
use gpt::tokenizer::Tokenizer;
use public_checkpoints::checkpoint::Checkpoint;
use public_checkpoints::model::Transformer;

#[test]
fn an_exported_model_computes_the_same_logits() {
    for tied in [true, false] {
        let config = GptConfig::new(256, 16, 2, 2, 24).with_tied(tied);
        let device = gpt::device::of_environment().unwrap().autodiff();
        device.seed(1);
        let model = config.init(&device);
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("step-12");
        // A run may be exported again.
        export(&config.init(&device), &config, &Tokenizer::Bytes, &folder).unwrap();
        export(&model, &config, &Tokenizer::Bytes, &folder).unwrap();

        let checkpoint = Checkpoint::open_all(&[folder], &[], &[]).unwrap().remove(0);
        assert_eq!(checkpoint.step, 12);
        assert_eq!(checkpoint.config.vocab(), 256);
        let loaded = Transformer::open(&checkpoint.folder, &checkpoint.config, &device).unwrap();
        let tokens = (0..32).map(|token| token * 7 % 256).collect::<Vec<i64>>();
        let tokens: Tensor<2, Int> = Tensor::from_data(TensorData::new(tokens, [2, 16]), &device);
        let (ours, theirs) = (model.forward(tokens.clone()), loaded.forward(tokens));
        let difference = (ours - theirs).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-6, "tied {tied}: {difference}");
    }
}
