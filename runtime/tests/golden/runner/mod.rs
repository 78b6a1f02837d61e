//! Runs golden cases.
//!
//! Enters: the folders of `runtime/tests/golden/`. Leaves: a line per case, and for a failed one the rows that differ. [`harness`] is the
//! command line, [`case`] reads a folder, [`script`] binds its SQL, [`world`] holds topics and jobs, [`ways`] feeds and disturbs
//! them, [`output`] reads what they wrote, [`compare`] judges it.

mod case;
mod compare;
mod harness;
mod input;
mod output;
mod script;
mod ways;
mod world;

pub(crate) use harness::main;

/// What goes wrong in the runner itself, or how a case failed, as text for whoever reads the test's output.
type Result<T, E = String> = std::result::Result<T, E>;
