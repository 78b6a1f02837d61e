//! Plain data that every crate of Weir shares: CFU arithmetic, statement and pool types, the meter's snapshot, the
//! workload graph and the metric catalogue.
//!
//! Invariant: no I/O, no async, no clock. A type enters when two crates need it.

pub mod cfu;
pub mod meter;
pub mod metrics;
pub mod statement;
pub mod workload;
