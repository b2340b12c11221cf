use std::cell::Cell;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// A measurement is under way on this thread, as long as this lives.
///
/// The model of one probe may have another one inside, which learns of the training by what is asked of
/// the model: of items by training steps, of epochs by copies for validation. What a measurement asks is none of
/// these.
pub(crate) struct Underway(());

impl Underway {
    pub(crate) fn begin() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self(())
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get().saturating_sub(1));
    }
}

/// Whether a measurement is under way on this thread.
pub(crate) fn is_underway() -> bool {
    DEPTH.get() > 0
}
