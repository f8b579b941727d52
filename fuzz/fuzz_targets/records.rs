//! libFuzzer's entry; what must hold is in `crates/fuzzing/src/records.rs`.
#![no_main]

tidegate_fuzz::entry!("records");
