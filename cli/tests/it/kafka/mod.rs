//! The program with a real Apache Kafka.
//!
//! Place in the flow: needs the broker and Kafka's own tools. Invariant: records are produced and results read back by Kafka's tools,
//! and what is expected is computed here from the generated numbers, so that nothing of the program checks itself.

mod edges;
mod generator;
mod kill;
mod results;

use anyhow::Result;
use generator::Orders;

use crate::demo::run_demo;
use crate::harness::{KafkaTools, Weir};

/// Records of the main test.
///
/// # Source
/// The first release's acceptance: 1,000,000 records through real Kafka.
const RECORDS: u64 = 1_000_000;

/// Partitions of the source topic: more than one, so that watermarks are merged.
const PARTITIONS: u32 = 4;

/// How long all statements may take together.
///
/// # Source
/// A guess from a floor of 30,000 records per second and statement in an unoptimised build; the suite's budget is the real limit.
const RUN_SECONDS_MAX: u64 = 120;

/// Tables and statements; `$K` is the broker's address, `$P` what the topics of this run end in.
const STATEMENTS: &str = "
CREATE TABLE orders (
  id BIGINT, account STRING, device STRING, amount DECIMAL(10, 2), qty INT, ts TIMESTAMP(3), region STRING, url STRING, tag STRING,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
  'connector' = 'kafka', 'topic' = 'orders-$P', 'properties.bootstrap.servers' = '$K', 'format' = 'json',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset'
);
CREATE TABLE large_orders (id BIGINT, account STRING, region STRING, total DECIMAL(12, 2), ts TIMESTAMP(3)) WITH (
  'connector' = 'kafka', 'topic' = 'large-orders-$P', 'properties.bootstrap.servers' = '$K', 'format' = 'json'
);
CREATE TABLE device_windows (window_start TIMESTAMP(3), device STRING, n BIGINT, total DECIMAL(20, 2)) WITH (
  'connector' = 'kafka', 'topic' = 'device-windows-$P', 'properties.bootstrap.servers' = '$K', 'format' = 'json'
);
CREATE TABLE account_totals (region STRING, account STRING, n BIGINT, total DECIMAL(20, 2), PRIMARY KEY (region, account) NOT ENFORCED) WITH (
  'connector' = 'upsert-kafka', 'topic' = 'account-totals-$P', 'properties.bootstrap.servers' = '$K',
  'key.format' = 'json', 'value.format' = 'json'
);
INSERT INTO large_orders
  SELECT id, account, region, CAST(amount * qty AS DECIMAL(12, 2)), ts FROM orders WHERE amount > 500;
INSERT INTO device_windows
  SELECT window_start, device, COUNT(*), CAST(SUM(amount) AS DECIMAL(20, 2))
  FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECOND))
  GROUP BY window_start, window_end, device;
INSERT INTO account_totals
  SELECT region, account, COUNT(*), CAST(SUM(amount) AS DECIMAL(20, 2)) FROM orders GROUP BY region, account;
";

#[test]
fn a_million_orders_give_the_results_computed_beside_them() -> Result<()> {
    let Some(kafka) = KafkaTools::find()? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("orders.jsonl");
    Orders::new(RECORDS).write_to(&file)?;
    let orders = KafkaTools::topic("orders");
    kafka.create_topic(&orders, PARTITIONS, &[])?;
    for topic in ["large-orders", "device-windows", "account-totals"] {
        kafka.create_topic(&KafkaTools::topic(topic), 2, &[])?;
    }
    kafka.produce_lines(&orders, &file)?;
    assert_eq!(kafka.end_offsets(&orders)?, RECORDS);

    let mut weir = Weir::up(folder.path(), &["--kafka", &kafka.bootstrap])?;
    weir.sql(
        &STATEMENTS
            .replace("$K", &kafka.bootstrap)
            .replace("-$P", &KafkaTools::topic("")),
    )?;
    weir.wait_completed(RUN_SECONDS_MAX)?;

    results::check_large_orders(RECORDS, &kafka.consume(&KafkaTools::topic("large-orders"))?)?;
    results::check_device_windows(
        RECORDS,
        &kafka.consume(&KafkaTools::topic("device-windows"))?,
    )?;
    results::check_account_totals(
        RECORDS,
        &kafka.consume(&KafkaTools::topic("account-totals"))?,
    )
}

#[test]
fn the_demo_adds_up_on_kafka() -> Result<()> {
    let Some(kafka) = KafkaTools::find()? else {
        return Ok(());
    };
    run_demo(&["--kafka", &kafka.bootstrap])
}

#[test]
fn the_tools_write_and_read_what_was_generated() -> Result<()> {
    let Some(kafka) = KafkaTools::find()? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("orders.jsonl");
    Orders::new(1000).write_to(&file)?;
    let topic = KafkaTools::topic("tools");
    kafka.create_topic(&topic, 2, &[])?;
    kafka.produce_lines(&topic, &file)?;
    let mut read: Vec<String> = kafka
        .consume(&topic)?
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    let mut written: Vec<String> = Orders::new(1000).map(|order| order.json()).collect();
    read.sort();
    written.sort();
    assert_eq!(read, written);
    Ok(())
}
