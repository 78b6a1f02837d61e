//! The workload graph: what a statement does, without how.
//!
//! Place in the flow: `runtime` turns a plan into it, `estimator` sizes it. Invariant: no SQL, no Arrow.

use serde::{Deserialize, Serialize};

/// The kind of statement that five numbers describe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatementClass {
    /// Filter, projection, routing.
    Stateless,
    /// Aggregation in windows.
    WindowAggregate,
    /// Updating aggregation.
    GroupAggregate,
    /// Deduplication and Top-N.
    Rank,
    /// Joins.
    Join,
}

impl StatementClass {
    /// Every class, cheapest first.
    pub const ALL: [Self; 5] = [
        Self::Stateless,
        Self::WindowAggregate,
        Self::GroupAggregate,
        Self::Rank,
        Self::Join,
    ];

    /// The name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stateless => "stateless",
            Self::WindowAggregate => "window-aggregate",
            Self::GroupAggregate => "group-aggregate",
            Self::Rank => "rank",
            Self::Join => "join",
        }
    }

    /// The class of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }
}

/// The operators of a statement, inputs first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Graph {
    /// Vertices in topological order.
    pub vertices: Vec<Vertex>,
}

/// One operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vertex {
    /// Node id in the plan.
    pub id: u32,
    /// Name as EXPLAIN prints it.
    pub name: String,
    /// What it does.
    pub class: OperatorClass,
    /// Indices of the vertices it reads from.
    pub inputs: Vec<usize>,
    /// Whether its input is exchanged by key.
    pub keyed: bool,
}

/// What an operator does, as far as its cost goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperatorClass {
    /// Reads and decodes.
    Source,
    /// Filters and projects.
    Calc,
    /// Aggregates in windows.
    WindowAggregate,
    /// Aggregates for ever.
    GroupAggregate,
    /// Deduplicates or ranks.
    Rank,
    /// Joins.
    Join,
    /// Encodes and writes.
    Sink,
}

impl Graph {
    /// The class of statement that the costliest operator makes it.
    pub fn class(&self) -> StatementClass {
        let class_of = |vertex: &Vertex| match vertex.class {
            OperatorClass::Source | OperatorClass::Calc | OperatorClass::Sink => {
                StatementClass::Stateless
            }
            OperatorClass::WindowAggregate => StatementClass::WindowAggregate,
            OperatorClass::GroupAggregate => StatementClass::GroupAggregate,
            OperatorClass::Rank => StatementClass::Rank,
            OperatorClass::Join => StatementClass::Join,
        };
        let rank =
            |class: &StatementClass| StatementClass::ALL.iter().position(|known| known == class);
        self.vertices
            .iter()
            .map(class_of)
            .max_by_key(rank)
            .unwrap_or(StatementClass::Stateless)
    }
}
