//! libFuzzer's entry; what must hold is in `crates/fuzzing/src/statements.rs`.
#![no_main]

tidegate_fuzz::entry!("statements");
