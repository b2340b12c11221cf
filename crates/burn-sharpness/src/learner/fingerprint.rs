use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor};
use xxhash_rust::xxh3::Xxh3Default;

/// How many leading elements of each parameter go into a fingerprint: every update changes them.
const FINGERPRINT_ELEMENTS: usize = 64;

/// Identifies the weights of a model, in whichever process they are: a hash of the first elements
/// of each parameter.
pub(super) fn fingerprint<M: Module>(model: &M) -> u64 {
    struct Fingerprint(Xxh3Default);

    impl ModuleVisitor for Fingerprint {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let values = param.base().inner();
            let kept = values.shape().num_elements().min(FINGERPRINT_ELEMENTS);
            // Packed weights are frozen, and an empty tensor says nothing.
            if kept == 0 || matches!(values.dtype(), DType::QFloat(_)) {
                return;
            }
            let values = values.flatten::<1>(0, D - 1);
            // Weights that cannot be read make a fingerprint that is found nowhere.
            if let Ok(data) = values.narrow(0, 0, kept).try_into_data() {
                self.0.update(data.as_bytes());
            }
        }
    }

    let mut fingerprint = Fingerprint(Xxh3Default::new());
    model.visit(&mut fingerprint);
    fingerprint.0.digest()
}
