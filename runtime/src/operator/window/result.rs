//! The rows that an aggregation in windows emits.
//!
//! Place in the flow: its operators make them of keys, aggregates and windows. Invariant: the columns are the keys, the aggregates,
//! then the properties of the window that are asked for.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, TimestampMillisecondArray};
use arrow::datatypes::Int64Type;

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::operator::OperatorContext;
use crate::operator::aggregate::Aggregates;
use crate::operator::window::zone::Zone;
use crate::plan::{AggregateCall, AggregateFunction, TimeDomain, WindowProperty};
use crate::state::{EncodedKeys, KeyCodec, MakeValues};
use crate::types::{FlinkType, TypeKind};

/// What is aggregated, and how it is emitted.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Key columns of the input.
    pub keys: Vec<usize>,
    /// Aggregates.
    pub calls: Vec<AggregateCall>,
    /// Window columns that follow the aggregates.
    pub properties: Vec<WindowProperty>,
    /// Column types of the input.
    pub input: Vec<FlinkType>,
    /// Whether rows are taken back.
    pub retracts: bool,
}

/// Makes rows.
#[derive(Debug)]
pub(super) struct Results {
    /// What is asked for. Over an input that takes rows back the last aggregate counts rows and is not emitted.
    spec: Spec,
    /// Encodes keys.
    codec: KeyCodec,
    /// The time zone of windows.
    zone: Zone,
    /// The clock of the windows.
    domain: TimeDomain,
}

/// The windows of rows to emit.
#[derive(Debug, Clone, Copy)]
pub(super) enum WindowsOf<'a> {
    /// One window: start and end.
    One(i64, i64),
    /// A window for each row.
    Each(&'a [(i64, i64)]),
}

impl Results {
    /// Rows of a specification.
    ///
    /// # Errors
    /// `Unsupported` for keys or arguments of types that cannot be one.
    pub(super) fn new(mut spec: Spec, zone: Zone, domain: TimeDomain) -> Result<Self> {
        let codec = KeyCodec::new(spec.keys.iter().map(|key| &spec.input[*key]))?;
        if spec.retracts {
            spec.calls.push(AggregateCall {
                function: AggregateFunction::Count,
                argument: None,
                further: Vec::new(),
                filter: None,
                distinct: false,
                ty: TypeKind::BigInt.not_null(),
            });
        }
        let results = Self {
            spec,
            codec,
            zone,
            domain,
        };
        results.aggregates()?;
        Ok(results)
    }

    /// Empty accumulators.
    pub(super) fn aggregates(&self) -> Result<Aggregates> {
        Aggregates::new(&self.spec.calls, &self.spec.input, self.spec.retracts)
    }

    /// What makes empty accumulators.
    pub(super) fn make_aggregates(&self) -> MakeValues<Aggregates> {
        let Spec {
            calls,
            input,
            retracts,
            ..
        } = self.spec.clone();
        Box::new(move || Aggregates::new(&calls, &input, retracts))
    }

    /// The keys of a batch.
    pub(super) fn keys(&self, batch: &Batch) -> Result<EncodedKeys> {
        let keys = self.spec.keys.iter();
        let columns: Vec<&ArrayRef> = keys.map(|key| &batch.columns[*key]).collect();
        self.codec.encode(&columns, batch.rows)
    }

    /// The rows of some groups of an aggregation.
    pub(super) fn rows<'a>(
        &self,
        keys: impl Iterator<Item = &'a [u8]> + Clone,
        (aggregates, ids): (&Aggregates, &[u32]),
        windows: WindowsOf<'_>,
        context: &OperatorContext<'_>,
    ) -> Result<Batch> {
        let mut columns = self.codec.decode(keys)?;
        let mut results = aggregates.evaluate(ids)?;
        let counts = if self.spec.retracts {
            results.pop()
        } else {
            None
        };
        columns.extend(results);
        for property in &self.spec.properties {
            let value = |(start_ms, end_ms): (i64, i64)| {
                self.property(*property, start_ms, end_ms, context)
            };
            columns.push(Arc::new(match windows {
                WindowsOf::One(start_ms, end_ms) => {
                    TimestampMillisecondArray::from_value(value((start_ms, end_ms)), ids.len())
                }
                WindowsOf::Each(each) => TimestampMillisecondArray::from_iter_values(
                    each.iter().map(|window| value(*window)),
                ),
            }));
        }
        let rows = Batch::inserts(columns, ids.len());
        let Some(counts) = counts else {
            return Ok(rows);
        };
        // Flink: a window whose rows were all taken back has no result.
        let counts = counts
            .as_primitive_opt::<Int64Type>()
            .ok_or_else(|| Error::internal("a count is no BIGINT"))?;
        rows.filter(
            &counts
                .values()
                .iter()
                .map(|count| Some(*count != 0))
                .collect::<BooleanArray>(),
        )
    }

    /// The value of a property of a window.
    fn property(
        &self,
        property: WindowProperty,
        start_ms: i64,
        end_ms: i64,
        context: &OperatorContext<'_>,
    ) -> i64 {
        match (property, self.domain) {
            (WindowProperty::Start, _) => start_ms,
            (WindowProperty::End, _) => end_ms,
            (WindowProperty::Time, TimeDomain::Event) => self.zone.closing_watermark(end_ms),
            (WindowProperty::Time, TimeDomain::Processing) | (WindowProperty::Proctime, _) => {
                context.clock.now_ms()
            }
        }
    }
}
