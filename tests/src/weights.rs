use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Bool, Int, Tensor, TensorData};

pub type Weights = Vec<(String, Vec<u8>)>;

/// Of 32-bit tensors.
pub fn values<M: Module>(model: &M) -> Vec<f32> {
    let bytes = bits(model);
    let values = bytes.as_chunks().0.iter();
    values.map(|value| f32::from_ne_bytes(*value)).collect()
}

pub fn weights<M: Module>(model: &M) -> Weights {
    #[derive(Default)]
    struct Collector(Vec<String>, Weights);

    impl Collector {
        fn push(&mut self, data: TensorData) {
            let bytes = data.as_bytes().to_vec();
            self.1.push((self.0.join("."), bytes));
        }
    }

    impl ModuleVisitor for Collector {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.0.push(name.to_string());
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.0.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.push(param.val().into_data());
        }

        fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
            self.push(param.val().into_data());
        }

        fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
            self.push(param.val().into_data());
        }
    }

    let mut collector = Collector::default();
    model.visit(&mut collector);
    collector.1
}

pub fn bits<M: Module>(model: &M) -> Vec<u8> {
    let weights = weights(model).into_iter();
    weights.flat_map(|(_, bytes)| bytes).collect()
}
