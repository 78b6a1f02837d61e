//! Joins: rows of two inputs that belong together.
//!
//! Enters: batches of a left and a right input, exchanged by the join keys. Leaves: left columns followed by right columns.

pub mod interval;
pub mod regular;
mod side;
pub mod temporal;
mod time_order;
mod timers;
