//! Joins: rows of two inputs that belong together.
//!
//! Enters: batches of a left and a right input, exchanged by the join keys. Leaves: left columns followed by right columns, or the left
//! ones alone.

mod changes;
mod chunks;
pub mod interval;
mod meeting;
mod page;
pub mod regular;
mod side;
mod small_bytes;
pub mod temporal;
mod time_order;
mod timers;
