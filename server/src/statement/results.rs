//! Rows as clients get them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use weir_runtime::Batch;
use weir_runtime::connector::source::SplitPosition;
use weir_runtime::sql::text::to_result_json;

use super::record::{Rows, Traits};
use crate::error::Result;

/// A page of results.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResultPage {
    /// Rows as `{"op", "row"}`; `op` only where rows may be taken back.
    pub data: Vec<Value>,
    /// The position to ask for next; absent at the end.
    pub next: Option<u64>,
}

/// Rows of batches as JSON.
///
/// # Errors
/// `Internal` when a column is not of its type.
pub(super) fn rows_of_batches(
    batches: &[Batch],
    traits: &Traits,
    time_zone: &str,
) -> Result<Vec<Value>> {
    let columns = traits.columns.as_deref().unwrap_or_default();
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.rows {
            let values = columns
                .iter()
                .zip(&batch.columns)
                .map(|(column, array)| to_result_json(array, row, &column.ty, time_zone))
                .collect::<weir_runtime::Result<Vec<Value>>>()?;
            rows.push(if traits.is_append_only {
                json!({ "row": values })
            } else {
                json!({ "op": batch.kind(row) as u8, "row": values })
            });
        }
    }
    Ok(rows)
}

/// Rows of text as JSON.
pub(super) fn rows_of_text(rows: &Rows) -> Vec<Value> {
    rows.0.iter().map(|row| json!({ "row": row })).collect()
}

/// Positions in Confluent's form: by topic, `partition:0,offset:12;partition:1,offset:7`.
pub(super) fn offsets_by_topic(positions: &[SplitPosition]) -> BTreeMap<String, String> {
    let mut sorted: Vec<&SplitPosition> = positions.iter().collect();
    sorted.sort_by_key(|position| (&position.topic, position.partition));
    let mut topics: BTreeMap<String, String> = BTreeMap::new();
    for position in sorted {
        let text = topics.entry(position.topic.clone()).or_default();
        let separator = if text.is_empty() { "" } else { ";" };
        write!(
            text,
            "{separator}partition:{},offset:{}",
            position.partition, position.offset
        )
        .expect("writing to a string cannot fail");
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_ordered_by_topic_and_partition() {
        let position = |topic: &str, partition, offset| SplitPosition {
            topic: topic.into(),
            partition,
            offset,
        };
        let offsets = offsets_by_topic(&[
            position("b", 0, 5),
            position("a", 1, 7),
            position("a", 0, 12),
        ]);
        assert_eq!(offsets["a"], "partition:0,offset:12;partition:1,offset:7");
        assert_eq!(offsets["b"], "partition:0,offset:5");
    }

    #[test]
    fn text_rows_keep_null_apart_from_the_empty_string() {
        let rows = Rows(vec![vec![Some(String::new()), None]]);
        assert_eq!(rows_of_text(&rows), vec![json!({ "row": ["", null] })]);
    }
}
