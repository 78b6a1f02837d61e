//! Windows over event time.
//!
//! Enters: rows with a rowtime column. Leaves: the rows with their windows, or one row per window and key once the watermark has
//! passed the window's end. Windows are slices: a table per window end, dropped whole.

pub mod aggregate;
pub mod assigner;
pub mod table_function;
