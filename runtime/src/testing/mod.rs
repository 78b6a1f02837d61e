//! What tests need beside what they test: suites that every implementation of a contract passes, a clock and jobs that go on only when a
//! test says so, and a stage in the place of the outside world.
//!
//! Enters: a harness that opens what is tested. Leaves: `Ok`, or an error that names the case and what was found. Invariant: nothing
//! outside tests makes anything of this folder, and it panics nowhere, so that any test can run it.

mod clock;
pub mod committer;
mod run;
mod stage;

pub use clock::SimulatedClock;
pub use run::{Harness, Owner, Run, Seen};
pub use stage::Stage;

pub use crate::task::SteppedJob;
