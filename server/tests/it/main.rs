//! The server over real HTTP, with the real runtime, embedded log and database.
//!
//! Place in the flow: one binary, one module per subject. Invariant: only what a client sees is used; what is waited for is looked at
//! again and again within a bound.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod billing;
mod crash;
mod damage;
mod life;
mod recovery;
mod sql;
mod start;
mod statements;
mod support;
