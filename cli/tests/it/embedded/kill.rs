//! The server killed again and again, with topics in its own log.
//!
//! Place in the flow: transactions of the embedded log. Invariant: as in `orders::fire`.

use anyhow::Result;

use crate::orders::{EmbeddedLog, Fire};

#[test]
fn a_killed_server_loses_and_doubles_nothing_with_one_slot() -> Result<()> {
    Fire {
        parallelism: 1,
        seed: 17,
    }
    .run(&EmbeddedLog)
}

#[test]
fn a_killed_server_loses_and_doubles_nothing_with_three_slots() -> Result<()> {
    Fire {
        parallelism: 3,
        seed: 19,
    }
    .run(&EmbeddedLog)
}
