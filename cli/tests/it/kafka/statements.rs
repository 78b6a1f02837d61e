//! CTAS with topics in a Kafka cluster.
//!
//! Place in the flow: as in `embedded`. Invariant: as there.

use anyhow::Result;

use crate::harness::{KafkaTools, Weir};
use crate::orders::{Kafka, Place};
use crate::statements::tables_are_created_and_filled;

#[test]
fn tables_are_created_by_the_statement_that_fills_them() -> Result<()> {
    let Some(kafka) = KafkaTools::find()? else {
        return Ok(());
    };
    let place = Kafka::new(kafka, "ctas");
    let folder = tempfile::tempdir()?;
    let weir = Weir::up(folder.path(), &place.options())?;
    tables_are_created_and_filled(&weir, &format!("{}_", KafkaTools::topic("ctas")))
}
