use anyhow::{Result, bail};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The guarded calls in progress. Meanwhile no panic prints a backtrace, on any thread.
static GUARDED: AtomicUsize = AtomicUsize::new(0);

pub fn without_panic<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let hook = take_hook();
        set_hook(Box::new(move |panic| {
            if GUARDED.load(Ordering::Relaxed) == 0 {
                hook(panic);
            }
        }));
    });
    GUARDED.fetch_add(1, Ordering::Relaxed);
    let result = catch_unwind(AssertUnwindSafe(read));
    GUARDED.fetch_sub(1, Ordering::Relaxed);
    match result {
        Ok(result) => result,
        Err(_) => bail!("it is damaged: its reader broke down"),
    }
}
