//! Statements and compute pools as their users see them.
//!
//! Place in the flow: the server stores and serves them, exporter and CLI print them. Invariant: names and values are those
//! of Confluent's `sql/v1` and `fcpm/v2`.

use serde::{Deserialize, Serialize};

/// Where a statement is in its life.
///
/// # Source
/// Confluent's `sql/v1` `OpenAPI`, `StatementStatus.phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Phase {
    /// Submitted, waiting for slots or being prepared.
    Pending,
    /// Running.
    Running,
    /// Running, but unhealthy.
    Degraded,
    /// All input was processed.
    Completed,
    /// Being stopped.
    Stopping,
    /// Stopped by its user; can be resumed.
    Stopped,
    /// About to fail.
    Failing,
    /// Failed.
    Failed,
    /// Being deleted.
    Deleting,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Running,
        Self::Degraded,
        Self::Completed,
        Self::Stopping,
        Self::Stopped,
        Self::Failing,
        Self::Failed,
        Self::Deleting,
    ];

    /// The name in APIs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Degraded => "DEGRADED",
            Self::Completed => "COMPLETED",
            Self::Stopping => "STOPPING",
            Self::Stopped => "STOPPED",
            Self::Failing => "FAILING",
            Self::Failed => "FAILED",
            Self::Deleting => "DELETING",
        }
    }

    /// The phase of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == name)
    }

    /// Whether minutes in this phase are billed.
    ///
    /// # Source
    /// Confluent: RUNNING and DEGRADED consume CFUs; FAILED, STOPPED and COMPLETED do not.
    pub fn is_billed(self) -> bool {
        matches!(self, Self::Running | Self::Degraded)
    }

    /// Whether nothing happens any more without a user.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Stopped | Self::Failed)
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
