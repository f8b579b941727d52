//! libFuzzer's entry; what must hold is in `crates/fuzzing/src/secrets.rs`.
#![no_main]

tidegate_fuzz::entry!("secrets");
