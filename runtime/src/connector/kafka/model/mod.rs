//! A Kafka cluster in memory, with everything that transactions depend on.
//!
//! Enters: calls of the real sink and committer, through [`super::cluster`]. Leaves: what a read-committed reader sees. `broker` is what
//! brokers keep, `client` what librdkafka does with it, `source` a reader of topics. Nothing happens by itself: a [`Conductor`] decides
//! which request arrives, which answer is lost and when time passes, so that a seed repeats a run.

mod broker;
mod client;
mod connection;
mod request;
mod source;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::time::Duration;

pub(crate) use broker::{Brokers, Stored};
pub(crate) use connection::{Connection, ModelCluster};
pub(crate) use source::ModelSource;

/// Who decides what happens, and when.
pub(crate) trait Conductor: Debug + Send + Sync {
    /// Lets others do something in the middle of a call.
    fn meanwhile(&self);

    /// Lets others do something until time has passed, at most as much as is said.
    fn wait(&self, time: Duration);

    /// What happens to the next request.
    fn fate(&self) -> Fate;

    /// A number below `end`, which is above 0.
    fn below(&self, end: u64) -> u64;
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is carried out and answered.
    Answered,
    /// It is carried out and its answer does not arrive.
    Unanswered,
    /// It does not arrive.
    Lost,
}
