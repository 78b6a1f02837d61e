//! The metric catalogue.
