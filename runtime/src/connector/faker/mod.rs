//! Rows from expressions, as Confluent's `faker` tables make them.
