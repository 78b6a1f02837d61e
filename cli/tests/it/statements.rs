//! Statements that create something, with topics anywhere.
//!
//! Place in the flow: `embedded` and `kafka` run this against their topics. Invariant: what a statement has created is there once it runs
//! and is complete, and nothing is there of one that was refused.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::harness::{Weir, wait_for};

/// How long a statement may take to write what it reads: a second or two.
const WRITE_SECONDS_MAX: u64 = 60;

/// Creates tables whose names begin with `prefix` and fills one of them by the statement that creates it.
///
/// # Errors
/// When something is not as it should be.
pub(crate) fn tables_are_created_and_filled(weir: &Weir, prefix: &str) -> Result<()> {
    let source = format!("{prefix}source");
    let copy = format!("{prefix}copy");
    weir.sql(&format!(
        "CREATE TABLE `{source}` (id INT, name STRING) WITH ('value.format' = 'json');
         INSERT INTO `{source}` VALUES (1, 'a'), (2, 'b'), (3, 'c');"
    ))?;
    weir.sql(&format!(
        "SET 'execution.checkpointing.interval' = '200 ms';
         CREATE TABLE `{copy}` (PRIMARY KEY (name) NOT ENFORCED)
         WITH ('changelog.mode' = 'append', 'value.format' = 'json')
         AS SELECT CAST(COALESCE(name, '-') AS STRING) AS name, id * 10 AS tens FROM `{source}`;"
    ))?;
    let read = format!(
        "SELECT name, tens FROM `{copy}` /*+ OPTIONS('scan.bounded.mode' = 'latest-offset') */"
    );
    wait_for("the rows of CTAS", WRITE_SECONDS_MAX, || {
        let mut rows = weir.query(&read)?;
        rows.sort_by_key(|row| row["name"].to_string());
        let expected = [("a", "10"), ("b", "20"), ("c", "30")]
            .map(|(name, tens)| json!({ "name": name, "tens": tens }));
        ensure!(rows.len() <= expected.len(), "too many rows: {rows:?}");
        Ok((rows == expected).then_some(()))
    })?;
    let again = weir.sql(&format!(
        "CREATE TABLE `{copy}` AS SELECT id FROM `{source}`"
    ));
    ensure!(
        again.is_err_and(|error| error.to_string().contains("exists already")),
        "a table is created twice"
    );
    let none = format!("{prefix}none");
    let wrong = weir.sql(&format!(
        "CREATE TABLE `{none}` AS SELECT nothing FROM `{source}`"
    ));
    ensure!(wrong.is_err(), "a query without meaning fills a table");
    let tables = weir.query(&format!("SHOW TABLES LIKE '{prefix}%'"))?;
    ensure!(tables.len() == 2, "{tables:?}");
    Ok(())
}
