//! Dead letters: records that failed to decode, and what is done with them.
//!
//! Enters: failures of a decoder. Leaves: rows of the error table, or a failed statement, per the table's
//! `error-handling.mode`. The raw key and value are always kept.
