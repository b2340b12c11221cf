use std::cell::Cell;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Marks a measurement under way on this thread: calls of a probed model during it must not count as training.
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

pub(crate) fn is_underway() -> bool {
    DEPTH.get() > 0
}
