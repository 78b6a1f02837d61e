//! Schema Registry client and framing.
