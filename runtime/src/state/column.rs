//! Columns of values by id, which give back what they do not need.
//!
//! Place in the flow: accumulators keep their values in them. Invariant: a column that was made shorter holds no memory for what is
//! gone.

/// Makes a column as long as there are ids; new ones are `empty`.
pub fn resize<T: Clone>(column: &mut Vec<T>, len: usize, empty: T) {
    let is_shorter = len < column.len();
    column.resize(len, empty);
    if is_shorter {
        column.shrink_to_fit();
    }
}

/// As [`resize`], for values that are made one by one.
pub fn resize_with<T>(column: &mut Vec<T>, len: usize, empty: fn() -> T) {
    let is_shorter = len < column.len();
    column.resize_with(len, empty);
    if is_shorter {
        column.shrink_to_fit();
    }
}
