//! Operators that put rows in an order, or keep some rows of each key.
//!
//! Enters: rows of any changelog. Leaves: the first rows of each key, rows by time, the row that a sink holds for each primary key.
//! Rows that are equal in order stay in the order in which they came.

pub mod conflict;
pub mod deduplicate;
pub mod first_by_time;
pub mod grouped;
pub mod limit;
pub mod materialize;
pub mod numbers;
pub mod rank;
pub mod rows;
pub mod sort;
