//! Aggregates over the rows around each row.
//!
//! Enters: rows of a partition. Leaves: each of them with the aggregates of its frame. Event time takes rows in the order of time once the
//! watermark has passed them, processing time takes them as they come, and an order by another column computes anew what a row changes.

mod cells;
mod frames;
mod lag;
pub mod ordered_by_time;
pub mod ordered_by_value;
mod steps;

pub use cells::is_position;
