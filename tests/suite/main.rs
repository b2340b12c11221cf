//! The test suite of burn-sharpness: see the modules.

mod oracle;
