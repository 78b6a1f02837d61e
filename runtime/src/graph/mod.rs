//! The job graph: which subtasks a plan becomes and how rows travel between them.
//!
//! Enters: a [`crate::plan::StreamPlan`]. Leaves: a [`JobGraph`] that `task` deploys into slots, and the
//! [`weir_model::workload::Graph`] that the estimator sizes. The graph has the same shape at every parallelism.

pub mod key_group;
mod workload;

pub use workload::workload;

use crate::error::{Error, Result};
use crate::plan::{Exchange, Node, StreamPlan};

/// Operators and their edges, inputs first.
#[derive(Debug, Clone)]
pub struct JobGraph {
    /// Vertices in the order of the plan's nodes.
    pub vertices: Vec<Vertex>,
}

/// One operator of the job.
#[derive(Debug, Clone)]
pub struct Vertex {
    /// The plan's node.
    pub node: Node,
    /// Vertices it reads from, one per input.
    pub inputs: Vec<usize>,
    /// Where its rows go.
    pub outputs: Vec<Edge>,
}

/// An edge to a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The consumer.
    pub to: usize,
    /// Which of the consumer's inputs.
    pub input: usize,
    /// How rows find the receiving subtask.
    pub exchange: Exchange,
}

impl JobGraph {
    /// Connects the nodes of a plan.
    ///
    /// # Errors
    /// `Internal` when an input does not stand before its consumer, which the binder guarantees.
    pub fn from_plan(plan: &StreamPlan) -> Result<Self> {
        let mut vertices: Vec<Vertex> = Vec::with_capacity(plan.nodes.len());
        for (index, node) in plan.nodes.iter().enumerate() {
            let mut inputs = Vec::with_capacity(node.inputs.len());
            for (input, edge) in node.inputs.iter().enumerate() {
                let from = vertices
                    .iter()
                    .position(|vertex| vertex.node.id == edge.node)
                    .ok_or_else(|| {
                        Error::internal(format!("node {:?} reads a later node", node.id))
                    })?;
                vertices[from].outputs.push(Edge {
                    to: index,
                    input,
                    exchange: edge.exchange.clone(),
                });
                inputs.push(from);
            }
            vertices.push(Vertex {
                node: node.clone(),
                inputs,
                outputs: Vec::new(),
            });
        }
        Ok(Self { vertices })
    }
}
