//! libFuzzer's entry; what must hold is in `crates/fuzzing/src/documents.rs`.
#![no_main]

tidegate_fuzz::entry!("documents");
