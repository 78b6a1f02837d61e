//! What the demo's report is checked against: the topics themselves, read apart from the statement.
//!
//! Place in the flow: after the statement has completed. Invariant: nothing here uses a counter of the engine or its decoder; records are
//! read with `serde_json`.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use weir_runtime::connector::kafka::{KafkaOptions, KafkaSource};
use weir_runtime::connector::log::{LogSource, LogStore};
use weir_runtime::connector::options::{BoundedMode, ScanOptions, StartupMode};
use weir_runtime::connector::source::{Poll, ReaderContext, Source, SourceReader};
use weir_runtime::task::Waker;
use weir_runtime::time::SharedClock;

/// Records asked for in one poll.
const POLL_ROWS_MAX: usize = 10_000;

/// Where the demo's topics are.
#[derive(Debug, Clone)]
pub(super) enum Topics {
    /// In the embedded log.
    Log(Arc<LogStore>),
    /// In a Kafka cluster with these bootstrap servers.
    Kafka(String),
}

impl Topics {
    /// Calls `f` with the value of every record that a topic holds now. Waits, so it must not run on a thread that serves others.
    ///
    /// # Errors
    /// When the topic cannot be read.
    pub(super) fn scan(
        &self,
        topic: &str,
        clock: &SharedClock,
        mut f: impl FnMut(&[u8]),
    ) -> Result<()> {
        let scan = ScanOptions {
            startup: StartupMode::EarliestOffset,
            bounded: BoundedMode::LatestOffset,
        };
        let source: Box<dyn Source> = match self {
            Self::Log(log) => Box::new(LogSource::new(log, topic, &scan)?),
            Self::Kafka(bootstrap) => {
                Box::new(KafkaSource::new(KafkaOptions::new(bootstrap), topic, scan)?)
            }
        };
        let waker = Waker::default();
        let context = ReaderContext {
            subtask_index: 0,
            parallelism: 1,
            restored: None,
            waker: waker.clone(),
            clock: clock.clone(),
        };
        let mut reader: Box<dyn SourceReader> = source.reader(context)?;
        loop {
            match reader.poll(POLL_ROWS_MAX)? {
                Poll::Raw(batch) => (0..batch.rows())
                    .filter_map(|row| batch.value(row))
                    .for_each(&mut f),
                Poll::SplitFinished { .. } => {}
                Poll::Pending => waker.park(None),
                Poll::EndOfInput => return Ok(()),
                Poll::Rows { .. } | Poll::Later(_) => {
                    bail!("topic {topic} gave rows instead of records")
                }
            }
        }
    }
}

/// An order as the feeder means it; absent when the record is malformed. The amount is in cents.
pub(super) fn parse_order(value: &[u8]) -> Option<(i64, i64)> {
    let order: Value = serde_json::from_slice(value).ok()?;
    let id = order.get("order_id")?.as_i64()?;
    let amount = order.get("amount")?;
    if !amount.is_number() {
        return None;
    }
    let (whole, cents) = amount.to_string().split_once('.').map_or_else(
        || (amount.to_string(), "0".to_owned()),
        |(whole, cents)| (whole.to_owned(), format!("{cents:0<2}")),
    );
    Some((
        id,
        whole.parse::<i64>().ok()? * 100 + cents.parse::<i64>().ok()?,
    ))
}

/// A number in an encoded row.
///
/// # Errors
/// When the row is not JSON or lacks the number.
pub(super) fn number(value: &[u8], field: &str) -> Result<u64> {
    let row: Value = serde_json::from_slice(value).context("a result row is not JSON")?;
    row.get(field)
        .and_then(Value::as_u64)
        .with_context(|| format!("a result row lacks \"{field}\": {row}"))
}
