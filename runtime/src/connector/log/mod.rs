//! The embedded durable topic log.
