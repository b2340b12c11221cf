mod agree;
mod brackets;
mod identity;
mod loops;
mod variations;

use sharpness_tests::prelude::*;
use std::process::Command;

const CASE: &str = "SHARPNESS_TESTS_CASE";

pub(crate) fn in_a_process_of_its_own(test: &str, case: impl FnOnce()) {
    let (_, test) = test.split_once("::").unwrap();
    if std::env::var(CASE).is_ok_and(|name| name == test) {
        return case();
    }
    let mut process = Command::new(std::env::current_exe().unwrap());
    let output = process
        .args([test, "--exact", "--nocapture"])
        .env(CASE, test)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success() && out.contains("1 passed"),
        "{test}:\n{out}\n{err}"
    );
}

fn next_draws() -> Vec<u8> {
    let draws = Tensor::<1>::random([8], Distribution::Default, &device::plain());
    draws.into_data().as_bytes().to_vec()
}

macro_rules! alone {
    ($($name:ident => $case:expr;)*) => {
        $(
            #[test]
            fn $name() {
                $crate::hard::in_a_process_of_its_own(concat!(module_path!(), "::", stringify!($name)), || $case);
            }
        )*
    };
}
pub(crate) use alone;
