//! Stub.
use super::Node;
/// Name.
pub fn node_name(node: &Node) -> String {
    format!("Stream [{}]", node.id.0)
}
