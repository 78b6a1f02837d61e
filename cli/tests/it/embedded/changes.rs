//! Tables of changes: written by updating queries and read back as what they changed to.
//!
//! Place in the flow: orders are summed into tables that carry changes in every way there is; another statement reads these and sums them
//! again. Invariant: whatever the partitions, the parallelism and the encoding, what is read back is the table that was written.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::harness::Weir;
use crate::orders::{EmbeddedLog, text, whole};

/// Records: several batches, so that sums change often.
const RECORDS: u64 = 30_000;

/// How long the statements may take; seconds on an idle machine.
const RUN_SECONDS_MAX: u64 = 120;

/// Customers: records of one are in every partition.
const CUSTOMERS: u64 = 7;

/// Tables that carry changes, by what they are declared with.
const CARRIERS: [(&str, &str, &str); 5] = [
    (
        "by_value",
        "",
        "'changelog.mode' = 'retract', 'value.format' = 'json'",
    ),
    (
        "by_key",
        ", PRIMARY KEY (customer) NOT ENFORCED",
        "'changelog.mode' = 'retract', 'value.format' = 'json-registry'",
    ),
    (
        "by_upsert",
        ", PRIMARY KEY (customer) NOT ENFORCED",
        "'value.format' = 'avro-registry'",
    ),
    ("envelopes", "", "'value.format' = 'debezium-json'"),
    (
        "registered",
        ", PRIMARY KEY (customer) NOT ENFORCED",
        "'value.format' = 'avro-debezium-registry', 'value.fields-include' = 'all'",
    ),
];

/// The amount of an order.
fn amount(id: u64) -> u64 {
    id * 37 % 1000
}

/// What each customer has spent.
fn expected() -> BTreeMap<String, u64> {
    let mut spent = BTreeMap::new();
    for id in 0..RECORDS {
        *spent.entry(format!("c{}", id % CUSTOMERS)).or_insert(0) += amount(id);
    }
    spent
}

/// The last row of each customer.
fn last_rows(rows: &[Value]) -> Result<BTreeMap<String, (u64, u64)>> {
    let rows = rows.iter().map(|row| {
        let customer = row["customer"].as_str().context("no customer")?;
        Ok((
            customer.to_owned(),
            (whole(row, "n")?, whole(row, "spent")?),
        ))
    });
    rows.collect()
}

#[test]
fn what_an_updating_query_writes_is_read_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut weir = Weir::up(folder.path(), &[])?;
    let bounded = "'scan.bounded.mode' = 'latest-offset'";
    weir.sql(&format!(
        "CREATE TABLE sales (id BIGINT, customer STRING, amount BIGINT) \
         DISTRIBUTED INTO 4 BUCKETS WITH ('value.format' = 'json', {bounded});"
    ))?;
    let sale = |id: u64| json!({"id": id, "customer": format!("c{}", id % CUSTOMERS), "amount": amount(id)});
    let sales = (0..RECORDS).map(|id| text(&sale(id).to_string()));
    EmbeddedLog::append(&weir, "sales", sales)?;
    for (name, key, options) in CARRIERS {
        let not_null = if key.is_empty() { "" } else { " NOT NULL" };
        weir.sql(&format!(
            "CREATE TABLE {name} (customer STRING{not_null}, spent BIGINT{key}) WITH ({options}, {bounded}); \
             CREATE TABLE {name}_sums (customer STRING, n BIGINT, spent BIGINT, PRIMARY KEY (customer) NOT ENFORCED) \
             WITH ('value.format' = 'json'); \
             SET 'parallelism.default' = '2'; \
             INSERT INTO {name} SELECT customer, SUM(amount) FROM sales GROUP BY customer;"
        ))?;
        weir.wait_completed(RUN_SECONDS_MAX)?;
    }
    for (name, _, _) in CARRIERS {
        weir.sql(&format!(
            "SET 'parallelism.default' = '3'; \
             INSERT INTO {name}_sums SELECT customer, COUNT(*), SUM(spent) FROM {name} GROUP BY customer;"
        ))?;
        weir.wait_completed(RUN_SECONDS_MAX)?;
        let written = EmbeddedLog::select(&weir, "customer, spent", name)?;
        ensure!(
            written.len() as u64 > 2 * CUSTOMERS,
            "{name} has no updates: {} records",
            written.len()
        );
        let sums = EmbeddedLog::select(&weir, "customer, n, spent", &format!("{name}_sums"))?;
        let wanted: BTreeMap<String, (u64, u64)> = expected()
            .into_iter()
            .map(|(customer, spent)| (customer, (1, spent)))
            .collect();
        let found = last_rows(&sums)?;
        ensure!(found == wanted, "{name}: {found:?}, not {wanted:?}");
    }
    Ok(())
}

#[test]
fn headers_are_written_and_read() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let weir = Weir::up(folder.path(), &[])?;
    weir.sql(
        "CREATE TABLE tagged (id INT, tags MAP<STRING, BYTES> METADATA FROM 'headers') WITH ('value.format' = 'json'); \
         INSERT INTO tagged VALUES \
           (1, MAP['source', CAST('shop' AS BYTES), 'trace', CAST('17' AS BYTES)]), \
           (2, MAP['source', CAST('store' AS BYTES)]);",
    )?;
    let rows = crate::harness::wait_for("rows", RUN_SECONDS_MAX, || {
        let columns =
            "id, CAST(tags['source'] AS STRING) AS source, CAST(tags['trace'] AS STRING) AS trace";
        let mut rows = EmbeddedLog::select(&weir, columns, "tagged")?;
        rows.sort_by_key(|row| row["id"].to_string());
        Ok((rows.len() == 2).then_some(rows))
    })?;
    let expected = [
        json!({"id": "1", "source": "shop", "trace": "17"}),
        json!({"id": "2", "source": "store", "trace": null}),
    ];
    ensure!(rows == expected, "{rows:?}");
    Ok(())
}
