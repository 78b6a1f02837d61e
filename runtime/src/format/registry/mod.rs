//! Schema Registry client and framing.
/// STUB.
pub trait SchemaRegistry: Send + Sync + std::fmt::Debug {}
