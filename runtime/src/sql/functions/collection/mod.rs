//! ARRAY, MAP, ROW and BITMAP: constructors, access and the functions over them.
//!
//! Enters: calls of collection functions. Leaves: rows of the function table, one file for each group. Element access and the
//! functions that look for elements share [`lists`] and [`signatures`].

use super::Function;

mod access;
mod array;
mod bitmap;
mod construct;
mod lists;
mod map;
mod set;
mod signatures;
mod sort;
mod text;

#[cfg(test)]
mod tests;

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    [
        construct::functions(),
        access::functions(),
        array::functions(),
        set::functions(),
        sort::functions(),
        text::functions(),
        map::functions(),
        bitmap::functions(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
