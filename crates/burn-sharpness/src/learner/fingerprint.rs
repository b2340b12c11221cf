use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor};
use xxhash_rust::xxh3::Xxh3Default;

/// The number of leading elements of each parameter to hash: every update changes them.
const FINGERPRINT_ELEMENTS: usize = 64;

/// Identifies the weights of a model across processes.
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
            // Unreadable weights give a fingerprint that no checkpoint has.
            if let Ok(data) = values.narrow(0, 0, kept).try_into_data() {
                self.0.update(data.as_bytes());
            }
        }
    }

    let mut fingerprint = Fingerprint(Xxh3Default::new());
    model.visit(&mut fingerprint);
    fingerprint.0.digest()
}
