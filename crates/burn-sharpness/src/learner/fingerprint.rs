use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor};
use xxhash_rust::xxh3::Xxh3Default;

/// Every update changes the first elements of each parameter.
const FINGERPRINT_ELEMENTS: usize = 64;

pub(super) fn fingerprint<M: Module>(model: &M) -> u64 {
    struct Fingerprint(Xxh3Default);

    impl ModuleVisitor for Fingerprint {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let values = param.base().inner();
            let kept = values.shape().num_elements().min(FINGERPRINT_ELEMENTS);
            // Packed weights are frozen.
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
