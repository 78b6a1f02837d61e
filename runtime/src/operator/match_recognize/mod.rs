//! `MATCH_RECOGNIZE`: patterns in rows that follow one another.
//!
//! Enters: rows that stay, by partition. Leaves: a row for each match, with the columns of PARTITION BY and the measures. The automaton
//! decides and evaluates nothing; the operator brings rows into order, asks which conditions hold for many partitions at once, and keeps
//! the state.

pub mod automaton;
mod call;
mod operator;
mod partitions;
mod program;
pub mod queue;
mod reading;
mod rows;
mod work;

pub use operator::MatchRecognize;
