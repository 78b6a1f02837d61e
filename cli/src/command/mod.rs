//! One file per command.
//!
//! Place in the flow: `main` parses and dispatches here. Invariant: a command asks, decides what to print and prints through `output`.

pub(crate) mod calibrate;
pub(crate) mod demo;
pub(crate) mod estimate;
pub(crate) mod pool;
pub(crate) mod sql;
pub(crate) mod statement;
pub(crate) mod up;
pub(crate) mod usage;
