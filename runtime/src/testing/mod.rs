//! Suites that every implementation of a contract passes, with real components and with models of them.
//!
//! Enters: a harness that opens what is tested. Leaves: `Ok`, or an error that names the case and what was found. Invariant: nothing
//! outside tests uses this folder, and it panics nowhere, so that any test can run it.

mod clock;
pub mod committer;
mod run;

pub use clock::SimulatedClock;
pub use run::{Harness, Owner, Run, Seen};
