//! A stream of orders, statements over it, and what they must give.
//!
//! Enters: where topics are, Kafka or the embedded log. Leaves: runs of the same statements, undisturbed or under fire, whose committed
//! rows are compared one by one. Invariant: what is expected is computed from the generated numbers, so that nothing of the program
//! checks itself.

mod fire;
mod generator;
mod place;
mod results;
mod run;
mod statements;

pub(crate) use fire::Fire;
pub(crate) use generator::Orders;
pub(crate) use place::{EmbeddedLog, Kafka, Place, binary, text};
pub(crate) use results::{Expected, whole};
pub(crate) use run::{Run, number_from};
pub(crate) use statements::{INSERTS, SOURCES, TOPICS, tables};
