//! Windows over event time and processing time.
//!
//! Enters: rows with a time attribute, or with the windows that they are in. Leaves: the rows with their windows, or what was made of the
//! rows of each window once the watermark or the clock has passed its end. Windows are slices: a table per end, dropped whole.

pub mod aggregate;
pub mod assigner;
pub mod join;
mod progress;
pub mod result;
mod rows;
pub mod session_aggregate;
pub mod session_function;
mod sessions;
pub mod shape;
pub mod table_function;
pub mod top;
mod top_rows;
pub mod zone;
