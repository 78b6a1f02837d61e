//! Rows on standard output.
