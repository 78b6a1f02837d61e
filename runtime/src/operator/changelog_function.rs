//! `TO_CHANGELOG` and `FROM_CHANGELOG`: changes as rows, and rows as changes.
//!
//! Place in the flow: between any two operators, without an exchange. Invariant: rows keep their order, so that the changes of a row
//! do, and no row becomes a change that its code does not name.
//!
//! # Source
//! Flink 2.3: built-in process table functions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray, UInt32Array};

use crate::batch::{Batch, RowKind};
use crate::error::{Error, Result};
use crate::operator::{Collector, Operator, OperatorContext};

/// Kinds of change; their numbers are below it.
const KINDS: usize = 4;

/// Makes a row of each change.
#[derive(Debug)]
pub struct ToChangelog {
    /// The code of each kind of change by its number, NULL for those that are dropped.
    codes: StringArray,
}

impl ToChangelog {
    /// With the code of each kind of change; others are dropped.
    pub fn new(codes: &[(RowKind, String)]) -> Self {
        let mut by_number: [Option<&str>; KINDS] = [None; KINDS];
        for (kind, code) in codes {
            by_number[*kind as usize] = Some(code);
        }
        Self {
            codes: by_number.into_iter().collect(),
        }
    }

    /// Whether every change has a code.
    fn is_complete(&self) -> bool {
        self.codes.null_count() == 0
    }
}

impl Operator for ToChangelog {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        _context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        let has_code = |row: usize| self.codes.is_valid(batch.kind(row) as usize);
        let kept = if self.is_complete() {
            batch.clone()
        } else {
            let mask: BooleanArray = (0..batch.rows).map(|row| Some(has_code(row))).collect();
            batch.filter(&mask)?
        };
        let kinds: UInt32Array = (0..kept.rows).map(|row| kept.kind(row) as u32).collect();
        let mut columns: Vec<ArrayRef> = vec![arrow::compute::take(&self.codes, &kinds, None)?];
        columns.extend(kept.columns);
        out.emit(Batch::inserts(columns, kept.rows));
        Ok(())
    }
}

/// Makes a change of each row.
#[derive(Debug)]
pub struct FromChangelog {
    /// The column of the code.
    op: usize,
    /// Its name.
    name: String,
    /// The kind of change of each code, in the order of the codes.
    kinds: Vec<(String, RowKind)>,
}

impl FromChangelog {
    /// With the column of the code, its name, and the kind of change of each code.
    pub fn new((op, name): (usize, &str), codes: &[(String, RowKind)]) -> Self {
        let mut kinds = codes.to_vec();
        kinds.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        Self {
            op,
            name: name.to_owned(),
            kinds,
        }
    }

    /// The kind of change of a code.
    fn kind(&self, code: &str) -> Result<RowKind> {
        let found = self
            .kinds
            .binary_search_by(|(known, _)| known.as_str().cmp(code));
        found.map(|at| self.kinds[at].1).map_err(|_| {
            let known: Vec<&str> = self.kinds.iter().map(|(code, _)| code.as_str()).collect();
            Error::deserialization(format!(
                "FROM_CHANGELOG received the invalid op code '{code}' in column \"{}\", defined are: {}; map it with op_mapping, or filter such rows out in a subquery",
                self.name,
                known.join(", ")
            ))
        })
    }
}

impl Operator for FromChangelog {
    fn on_batch(
        &mut self,
        _input: usize,
        batch: &Batch,
        _context: &OperatorContext<'_>,
        out: &mut Collector,
    ) -> Result<()> {
        let codes = batch.columns[self.op].as_string::<i32>();
        let kinds: Arc<[RowKind]> = codes
            .iter()
            .map(|code| match code {
                Some(code) => self.kind(code),
                None => Err(Error::deserialization(format!(
                    "FROM_CHANGELOG received a NULL op code in column \"{}\", and every row of a changelog must carry one; filter such rows out in a subquery",
                    self.name
                ))),
            })
            .collect::<Result<_>>()?;
        let mut columns = batch.columns.clone();
        columns.remove(self.op);
        out.emit(Batch {
            columns,
            rows: batch.rows,
            kinds: Some(kinds),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::metering::SubtaskMetrics;
    use crate::time::SystemClock;

    /// What an operator makes of a batch.
    fn run(operator: &mut dyn Operator, batch: &Batch) -> Result<Vec<Batch>> {
        let metrics = SubtaskMetrics::default();
        let context = OperatorContext {
            clock: &SystemClock,
            watermark_ms: None,
            metrics: &metrics,
        };
        let mut out = Collector::default();
        operator.on_batch(0, batch, &context, &mut out)?;
        Ok(out.drain().collect())
    }

    /// One change of each kind with its number.
    fn changes() -> Batch {
        let kinds = [
            RowKind::Insert,
            RowKind::UpdateBefore,
            RowKind::UpdateAfter,
            RowKind::Delete,
        ];
        Batch {
            kinds: Some(kinds.into()),
            ..Batch::inserts(vec![Arc::new(Int64Array::from(vec![0, 1, 2, 3]))], 4)
        }
    }

    /// Rows with a code each, and their numbers.
    fn rows(codes: &[Option<&str>]) -> Batch {
        let numbers = Int64Array::from_iter_values((0..).take(codes.len()));
        let texts: StringArray = codes.iter().copied().collect();
        Batch::inserts(vec![Arc::new(numbers), Arc::new(texts)], codes.len())
    }

    #[test]
    fn changes_without_a_code_are_dropped() {
        let codes = [
            (RowKind::Delete, "gone".to_owned()),
            (RowKind::Insert, "here".to_owned()),
        ];
        let found = run(&mut ToChangelog::new(&codes), &changes()).unwrap();
        assert_eq!(found.len(), 1);
        let codes: Vec<Option<&str>> = found[0].columns[0].as_string::<i32>().iter().collect();
        assert_eq!(codes, [Some("here"), Some("gone")]);
        let numbers = found[0].columns[1].as_primitive::<Int64Type>();
        assert_eq!(numbers.values(), &[0, 3]);
        assert!(found[0].kinds.is_none());
        let updates = [(RowKind::UpdateAfter, "u".to_owned())];
        let inserts = Batch::inserts(changes().columns, 4);
        assert!(
            run(&mut ToChangelog::new(&updates), &inserts)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn rows_become_the_changes_that_their_codes_name() {
        let codes = [
            ("r".to_owned(), RowKind::Insert),
            ("d".to_owned(), RowKind::Delete),
            ("c".to_owned(), RowKind::Insert),
        ];
        let mut operator = FromChangelog::new((1, "kind"), &codes);
        let found = run(&mut operator, &rows(&[Some("c"), Some("d"), Some("r")])).unwrap();
        assert_eq!(found[0].columns.len(), 1);
        assert_eq!(
            found[0].kinds.as_deref(),
            Some(&[RowKind::Insert, RowKind::Delete, RowKind::Insert][..])
        );
        for (wrong, said) in [
            (
                Some("D"),
                "invalid op code 'D' in column \"kind\", defined are: c, d, r;",
            ),
            (None, "NULL op code in column \"kind\""),
        ] {
            let error = run(&mut operator, &rows(&[Some("c"), wrong])).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn a_changelog_comes_back_as_it_was() {
        let codes = [
            (RowKind::Insert, "i".to_owned()),
            (RowKind::UpdateBefore, "ub".to_owned()),
            (RowKind::UpdateAfter, "ua".to_owned()),
            (RowKind::Delete, "d".to_owned()),
        ];
        let back = codes.clone().map(|(kind, code)| (code, kind));
        let rows = run(&mut ToChangelog::new(&codes), &changes()).unwrap();
        let found = run(&mut FromChangelog::new((0, "op"), &back), &rows[0]).unwrap();
        assert_eq!(found[0].kinds, changes().kinds);
        assert_eq!(found[0].columns[0].as_ref(), changes().columns[0].as_ref());
    }
}
