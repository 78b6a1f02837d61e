//! Integration tests of the runtime against real components: one binary, one module per component.
//!
//! Place in the flow: `cargo xtask test` starts the components and names their addresses in the environment. Invariant: a test
//! whose component is not named says so and passes; one that is named and does not answer fails.

#![expect(
    clippy::unwrap_used,
    reason = "a failed helper fails the test, and clippy sees tests only in functions marked as such"
)]

/// That of the program, whose resident memory a test asserts.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod alignment;
mod formats;
mod job;
mod join;
mod kafka;
mod log_input;
mod memory;
mod s3;
mod savepoint;
mod unreliable;
