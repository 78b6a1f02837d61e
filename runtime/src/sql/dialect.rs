//! The Flink dialect of sqlparser.
