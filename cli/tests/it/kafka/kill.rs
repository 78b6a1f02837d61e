//! The server killed again and again, with a real Kafka.
//!
//! Place in the flow: exactly-once output of decision 0005. Invariant: as in `orders::fire`.

use anyhow::Result;

use crate::harness::KafkaTools;
use crate::orders::{Fire, Kafka};

/// Kills the server over and over.
fn killed(parallelism: u32, seed: u64) -> Result<()> {
    let Some(tools) = KafkaTools::find()? else {
        return Ok(());
    };
    let place = Kafka::new(tools, &format!("kill-{parallelism}"));
    Fire { parallelism, seed }.run(&place)
}

#[test]
fn a_killed_server_loses_and_doubles_nothing_with_one_slot() -> Result<()> {
    killed(1, 11)
}

#[test]
fn a_killed_server_loses_and_doubles_nothing_with_three_slots() -> Result<()> {
    killed(3, 13)
}
