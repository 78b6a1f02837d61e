//! Random input: records against `serde_json`, the Avro library and a Protobuf library, and SQL text against the promise of no panic.
//!
//! Place in the flow: `cargo xtask test` runs it with the suite `fuzz`. Invariant: every input follows from a seed, which failures name;
//! `WEIR_TEST_FUZZ_INPUTS` says how many inputs each test makes, `WEIR_TEST_FUZZ_SEED` where they begin.

mod avro;
mod json;
mod proto;
mod random;
mod sql;

/// A number from the environment.
fn number_from(name: &str, default: u64) -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "how much is done is asked of a test from outside"
    )]
    let text = std::env::var(name);
    match text {
        Ok(text) => text.parse().expect("a whole number"),
        Err(_) => default,
    }
}

/// The seeds of a test that makes `default` groups of `size` inputs unless more are asked for.
fn seeds(default: u64, size: u64) -> std::ops::Range<u64> {
    let first = number_from("WEIR_TEST_FUZZ_SEED", 0);
    let inputs = number_from("WEIR_TEST_FUZZ_INPUTS", default * size);
    first..first + inputs.div_ceil(size)
}
