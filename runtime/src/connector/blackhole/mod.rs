//! Drops every row and counts it.
