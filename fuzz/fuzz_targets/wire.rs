//! libFuzzer's entry; what must hold is in `crates/fuzzing/src/wire.rs`.
#![no_main]

tidegate_fuzz::entry!("wire");
