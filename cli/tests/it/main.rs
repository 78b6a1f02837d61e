//! The program against the real world: Apache Kafka, Prometheus, and itself from the outside.
//!
//! Place in the flow: `cargo xtask test` starts the components and names them in the environment. Invariant: a test that lacks its
//! component fails there and is left out, with a line that says so, under a plain `cargo test`.

mod clients;
mod demo;
mod embedded;
mod harness;
mod kafka;
mod orders;
mod prometheus;
mod statements;
