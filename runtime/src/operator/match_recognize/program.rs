//! A `MATCH_RECOGNIZE` that can be run: its automaton, conditions and measures.
//!
//! Place in the flow: made from the plan once per subtask. Invariant: nothing here changes while rows are processed.

use arrow::array::{ArrayRef, BooleanArray};

use super::automaton::Automaton;
use super::reading::{Compiled, RowColumns};
use crate::batch::Batch;
use crate::error::Result;
use crate::plan::Match;
use crate::sql::eval::{EvalContext, Evaluator};
use crate::sql::expr::Expr;
use crate::types::FlinkType;

/// A `MATCH_RECOGNIZE` that can be run.
#[derive(Debug)]
pub(super) struct Program {
    /// The automaton of the pattern.
    pub(super) automaton: Automaton,
    /// The condition of each variable.
    pub(super) defines: Vec<Option<Compiled>>,
    /// The measures.
    pub(super) measures: Vec<Compiled>,
    /// Types of the columns that are kept of rows.
    pub(super) kept_types: Vec<FlinkType>,
    /// How the columns that are kept are computed.
    kept: Vec<Evaluator>,
    /// How the columns are computed that only the row itself is asked for.
    current: Vec<Evaluator>,
}

/// What was computed of the rows of an input.
#[derive(Debug, Default)]
pub(super) struct RowValues {
    /// The columns that are kept.
    pub(super) kept: Vec<ArrayRef>,
    /// The columns that only the row itself is asked for.
    pub(super) current: Vec<ArrayRef>,
    /// For each variable whose condition is about the row alone, where it holds.
    pub(super) holds: Vec<Option<BooleanArray>>,
}

impl Program {
    /// Compiles the specification of the plan.
    ///
    /// # Errors
    /// `Unsupported` for a pattern that is too large; `Internal` for what planning does not make.
    pub(super) fn new(spec: &Match, time_zone: &str) -> Result<Self> {
        let define = |name: &str| spec.defines.iter().find(|(defined, _)| defined == name);
        let is_defined = |name: &str| define(name).is_some();
        let automaton = Automaton::new(&spec.pattern, is_defined, &spec.skip, spec.within_ms)?;
        let mut columns = RowColumns::default();
        let names = (automaton.variables(), time_zone);
        let mut defines = Vec::with_capacity(automaton.variables().len());
        for (variable, name) in automaton.variables().iter().enumerate() {
            let compiled = define(name)
                .map(|(_, expr)| Compiled::new(expr, Some(variable), names, &mut columns));
            defines.push(compiled.transpose()?);
        }
        let mut measures = Vec::with_capacity(spec.measures.len());
        for measure in &spec.measures {
            measures.push(Compiled::new(measure, None, names, &mut columns)?);
        }
        let evaluators = |exprs: &[Expr]| {
            let compiled = exprs.iter().map(|expr| Evaluator::compile(expr, time_zone));
            compiled.collect::<Result<Vec<Evaluator>>>()
        };
        Ok(Self {
            kept: evaluators(&columns.kept.exprs)?,
            current: evaluators(&columns.current.exprs)?,
            kept_types: columns.kept.types(),
            automaton,
            defines,
            measures,
        })
    }

    /// Computes what is asked of rows.
    ///
    /// # Errors
    /// `Data` for a row for which the argument of an aggregate cannot be computed.
    pub(super) fn values(&self, batch: &Batch, context: &EvalContext) -> Result<RowValues> {
        let columns = |evaluators: &[Evaluator]| {
            let columns = evaluators.iter().map(|eval| eval.eval(batch, context));
            columns.collect::<Result<Vec<ArrayRef>>>()
        };
        let current = columns(&self.current)?;
        let holds = self.defines.iter().map(|define| {
            let define = define.as_ref()?;
            // Of a condition that fails for some row each row is asked when its turn comes, if it does.
            let holds = define.of_rows(&current, batch.rows, context);
            holds.ok().flatten()
        });
        Ok(RowValues {
            kept: columns(&self.kept)?,
            holds: holds.collect(),
            current,
        })
    }
}
