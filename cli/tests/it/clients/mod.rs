//! Clients of others against the program.
//!
//! Place in the flow: needs Kafka and Confluent's Python client. Invariant: rows come from these clients and are read by them, so that
//! no code of ours stands on both sides of a comparison.

mod registry;
