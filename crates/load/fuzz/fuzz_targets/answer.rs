//! `cargo +nightly fuzz run answer` in `crates/load`. What must hold is said in `dyno_load::fuzzing`, which `cargo test`
//! runs too, over the corpus and over mutations of it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dyno_load::fuzzing::answer(bytes));
