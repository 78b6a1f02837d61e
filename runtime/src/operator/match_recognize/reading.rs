//! What DEFINE and MEASURES read of the rows of a match.
//!
//! Place in the flow: an expression of the plan is split into what it reads of the rows of its match, column by column, and an expression
//! over these columns. Invariant: the columns that are kept of each row are those that some expression reads of rows behind it.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, TimestampMillisecondArray};

use super::automaton::Run;
use super::rows::{Arena, NO_ROW, Place};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::operator::aggregate::Aggregates;
use crate::plan::{
    AggregateCall, MATCH_PROCTIME, MATCH_ROWTIME, PATTERN_AGGREGATE, PATTERN_COLUMN, PATTERN_FIRST,
    PATTERN_LAST, pattern_aggregate,
};
use crate::sql::eval::{EvalContext, Evaluator};
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::state::Values as _;
use crate::time::EpochMillis;
use crate::types::FlinkType;

/// The variable that stands for all of them.
const ANY_VARIABLE: &str = "*";

/// Columns of the input that are kept of rows.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// How they are computed.
    pub(super) exprs: Vec<Expr>,
}

impl Kept {
    /// The place of a column, which is added if it is new.
    fn place(&mut self, expr: &Expr) -> usize {
        let known = self.exprs.iter().position(|known| known == expr);
        known.unwrap_or_else(|| {
            self.exprs.push(expr.clone());
            self.exprs.len() - 1
        })
    }

    /// The types of the columns.
    pub(super) fn types(&self) -> Vec<FlinkType> {
        let types = self.exprs.iter().map(|expr| expr.ty.with_nullable(true));
        types.collect()
    }
}

/// The columns that are computed of each row of the input.
#[derive(Debug, Default)]
pub(super) struct RowColumns {
    /// What is kept, as rows behind are asked for it.
    pub(super) kept: Kept,
    /// What only the row itself is asked for.
    pub(super) current: Kept,
}

/// Whose rows are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Those of all variables.
    All,
    /// Those of one.
    Variable(usize),
}

/// What is read for one column.
#[derive(Debug, Clone, PartialEq)]
enum Reading {
    /// A column of the row that a condition is asked about.
    Current(usize),
    /// A kept column of the last row but some.
    Last(Scope, u64, usize),
    /// A kept column of the first row after some.
    First(Scope, u64, usize),
    /// The result of an aggregate, over kept columns.
    Aggregate(Scope, AggregateCall, Vec<usize>),
    /// The time of the match.
    MatchTime,
    /// The machine's clock.
    Clock,
}

/// An expression over the rows of a match.
#[derive(Debug)]
pub(super) struct Compiled {
    /// What is computed of the readings.
    evaluator: Evaluator,
    /// What is read.
    readings: Vec<(Reading, FlinkType)>,
    /// The variable that it is the condition of.
    defined: Option<usize>,
}

/// How an expression is split.
struct Compiler<'a> {
    /// Variables in the order of the pattern.
    variables: &'a [String],
    /// The variable whose condition it is.
    defined: Option<usize>,
    /// Columns that are computed of rows.
    columns: &'a mut RowColumns,
    /// What is read.
    readings: Vec<(Reading, FlinkType)>,
}

/// From which row columns are taken.
#[derive(Debug, Clone, Copy)]
enum Offset {
    /// The last but some.
    Last(u64),
    /// The first after some.
    First(u64),
}

impl Compiled {
    /// Splits the condition of a variable, or a measure without one.
    ///
    /// # Errors
    /// `Internal` for an expression that planning does not make.
    pub(super) fn new(
        expr: &Expr,
        defined: Option<usize>,
        (variables, time_zone): (&[String], &str),
        columns: &mut RowColumns,
    ) -> Result<Self> {
        let mut compiler = Compiler {
            variables,
            defined,
            columns,
            readings: Vec::new(),
        };
        let expr = compiler.split(expr, Offset::Last(0))?;
        Ok(Self {
            readings: compiler.readings,
            evaluator: Evaluator::compile(&expr, time_zone)?,
            defined,
        })
    }

    /// The condition for every row, when it is about the row alone; `columns` are the current ones.
    ///
    /// # Errors
    /// `Data` when it fails for a row, be it one that nobody asks about.
    pub(super) fn of_rows(
        &self,
        columns: &[ArrayRef],
        rows: usize,
        context: &EvalContext,
    ) -> Result<Option<BooleanArray>> {
        let mut read = Vec::with_capacity(self.readings.len());
        for (reading, _) in &self.readings {
            let Reading::Current(column) = reading else {
                return Ok(None);
            };
            read.push(Arc::clone(&columns[*column]));
        }
        let batch = Batch::inserts(read, rows);
        self.evaluator.eval_condition(&batch, context).map(Some)
    }

    /// Values of the expression for what was gathered.
    ///
    /// # Errors
    /// `Data` when it fails.
    pub(super) fn eval(
        &self,
        gathered: &Gathered,
        arena: &Arena,
        current: &[ArrayRef],
        context: &EvalContext,
    ) -> Result<ArrayRef> {
        let mut columns = Vec::with_capacity(self.readings.len());
        for ((reading, ty), places) in self.readings.iter().zip(&gathered.places) {
            columns.push(match reading {
                Reading::Current(column) => Arena::gather_current(&current[*column], &places.rows)?,
                Reading::Last(_, _, column) | Reading::First(_, _, column) => {
                    arena.gather(*column, &places.rows)?
                }
                Reading::Aggregate(_, call, columns) => {
                    aggregate(call, columns, places, (arena, gathered.rows))?
                }
                Reading::MatchTime => times(gathered.times_ms.iter().copied(), ty)?,
                Reading::Clock => times(vec![context.now_ms; gathered.rows].into_iter(), ty)?,
            });
        }
        let batch = Batch::inserts(columns, gathered.rows);
        self.evaluator.eval(&batch, context)
    }

    /// What is gathered for it: nothing yet.
    pub(super) fn gathered(&self) -> Gathered {
        let places = self.readings.iter().map(|_| Places::default());
        Gathered {
            places: places.collect(),
            ..Gathered::default()
        }
    }
}

/// A match, seen by an expression.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// Its rows.
    pub(super) run: &'a Run,
    /// The row that its condition is asked about; for a measure the one behind the last.
    pub(super) row: u64,
    /// The time of the match.
    pub(super) time_ms: EpochMillis,
}

/// The rows that expressions read, one after the other.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// For each reading.
    places: Vec<Places>,
    /// Times of matches.
    times_ms: Vec<EpochMillis>,
    /// How many expressions.
    rows: usize,
}

/// The rows of one reading.
#[derive(Debug, Default)]
struct Places {
    /// Rows.
    rows: Vec<Place>,
    /// Of an aggregate, the number of the expression that each row is for.
    groups: Vec<u32>,
}

impl Gathered {
    /// About how many values are read.
    pub(super) fn size(&self) -> usize {
        let most = self.places.iter().map(|places| places.rows.len()).max();
        most.unwrap_or(self.rows)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        for places in &mut self.places {
            places.rows.clear();
            places.groups.clear();
        }
        self.times_ms.clear();
        self.rows = 0;
    }

    /// Adds what an expression reads of a match; `place` finds rows by number.
    pub(super) fn add(
        &mut self,
        compiled: &Compiled,
        view: View<'_>,
        mut place: impl FnMut(u64) -> Place,
    ) {
        let group = u32::try_from(self.rows).unwrap_or(u32::MAX);
        for ((reading, _), places) in compiled.readings.iter().zip(&mut self.places) {
            let range = |scope: Scope| rows_of(scope, view, compiled.defined);
            match reading {
                Reading::Current(_) => places.rows.push(place(view.row)),
                Reading::Last(scope, offset, _) => {
                    let rows = range(*scope);
                    let number = rows.end.checked_sub(offset.saturating_add(1));
                    let number = number.filter(|number| rows.contains(number));
                    places.rows.push(number.map_or(NO_ROW, &mut place));
                }
                Reading::First(scope, offset, _) => {
                    let rows = range(*scope);
                    let number = rows.start.saturating_add(*offset);
                    let is_there = rows.contains(&number);
                    places
                        .rows
                        .push(if is_there { place(number) } else { NO_ROW });
                }
                Reading::Aggregate(scope, _, _) => {
                    for number in range(*scope) {
                        places.rows.push(place(number));
                        places.groups.push(group);
                    }
                }
                Reading::MatchTime | Reading::Clock => {}
            }
        }
        self.times_ms.push(view.time_ms);
        self.rows += 1;
    }
}

/// The rows that are looked at; a condition sees the row that it is asked about as one of its variable.
fn rows_of(scope: Scope, view: View<'_>, defined: Option<usize>) -> std::ops::Range<u64> {
    let rows = match scope {
        Scope::All => view.run.all_rows(),
        Scope::Variable(variable) => view.run.rows_of(variable),
    };
    let is_own = match (scope, defined) {
        (_, None) => false,
        (Scope::All, Some(_)) => true,
        (Scope::Variable(variable), Some(defined)) => variable == defined,
    };
    match (is_own, rows.is_empty()) {
        (false, _) => rows,
        (true, true) => view.row..view.row + 1,
        (true, false) => rows.start..view.row + 1,
    }
}

/// The results of an aggregate.
fn aggregate(
    call: &AggregateCall,
    columns: &[usize],
    places: &Places,
    (arena, groups): (&Arena, usize),
) -> Result<ArrayRef> {
    let arguments = columns
        .iter()
        .map(|column| arena.gather(*column, &places.rows))
        .collect::<Result<Vec<ArrayRef>>>()?;
    let types: Vec<FlinkType> = columns.iter().map(|column| arena.ty(*column)).collect();
    let mut aggregates = Aggregates::new(std::slice::from_ref(call), &types, false)?;
    aggregates.resize(groups);
    aggregates.update(
        &Batch::inserts(arguments, places.rows.len()),
        &places.groups,
    )?;
    let all: Vec<u32> = (0u32..).take(groups).collect();
    let mut results = aggregates.evaluate(&all)?;
    results
        .pop()
        .ok_or_else(|| Error::internal("an aggregate without a result"))
}

/// A column of times.
fn times(times_ms: impl Iterator<Item = EpochMillis>, ty: &FlinkType) -> Result<ArrayRef> {
    let column = TimestampMillisecondArray::from_iter_values(times_ms);
    let column: ArrayRef = Arc::new(column);
    Ok(arrow::compute::cast(&column, &ty.to_arrow()?)?)
}

impl Compiler<'_> {
    /// The same expression over what it reads.
    fn split(&mut self, expr: &Expr, offset: Offset) -> Result<Expr> {
        let kind = match &expr.kind {
            ExprKind::Call { function, args } => match (function.as_str(), args.as_slice()) {
                (PATTERN_COLUMN, [variable, column]) => {
                    let scope = self.scope(variable)?;
                    return Ok(self.column(scope, column, offset, &expr.ty));
                }
                (PATTERN_LAST, [value, rows]) => {
                    return self.split(value, Offset::Last(count(rows)?));
                }
                (PATTERN_FIRST, [value, rows]) => {
                    return self.split(value, Offset::First(count(rows)?));
                }
                (PATTERN_AGGREGATE, [call, args @ ..]) => {
                    return self.aggregate(call, args, &expr.ty);
                }
                (MATCH_ROWTIME, _) => return Ok(self.read(Reading::MatchTime, &expr.ty)),
                (MATCH_PROCTIME, _) => return Ok(self.read(Reading::Clock, &expr.ty)),
                (_, args) => ExprKind::Call {
                    function: function.clone(),
                    args: args
                        .iter()
                        .map(|arg| self.split(arg, offset))
                        .collect::<Result<_>>()?,
                },
            },
            ExprKind::Cast { input, lenient } => ExprKind::Cast {
                input: Box::new(self.split(input, offset)?),
                lenient: *lenient,
            },
            ExprKind::Case {
                branches,
                otherwise,
            } => ExprKind::Case {
                branches: branches
                    .iter()
                    .map(|(when, then)| Ok((self.split(when, offset)?, self.split(then, offset)?)))
                    .collect::<Result<_>>()?,
                otherwise: match otherwise {
                    Some(otherwise) => Some(Box::new(self.split(otherwise, offset)?)),
                    None => None,
                },
            },
            ExprKind::Literal(_) => expr.kind.clone(),
            ExprKind::Column { .. } => {
                return Err(Error::internal("a pattern reads a column of no variable"));
            }
        };
        Ok(Expr {
            kind,
            ty: expr.ty.clone(),
            span: expr.span,
        })
    }

    /// The variables that a column is read through.
    fn scope(&self, variable: &Expr) -> Result<Scope> {
        let ExprKind::Literal(Literal::String(name)) = &variable.kind else {
            return Err(Error::internal("a pattern variable without a name"));
        };
        if name == ANY_VARIABLE {
            return Ok(Scope::All);
        }
        let place = self.variables.iter().position(|known| known == name);
        place
            .map(Scope::Variable)
            .ok_or_else(|| Error::internal(format!("the unknown pattern variable {name}")))
    }

    /// A column of a row.
    fn column(&mut self, scope: Scope, column: &Expr, offset: Offset, ty: &FlinkType) -> Expr {
        let is_own = match (scope, self.defined) {
            (_, None) => false,
            (Scope::All, Some(_)) => true,
            (Scope::Variable(variable), Some(defined)) => variable == defined,
        };
        let reading = match offset {
            Offset::Last(0) if is_own => Reading::Current(self.columns.current.place(column)),
            Offset::Last(rows) => Reading::Last(scope, rows, self.columns.kept.place(column)),
            Offset::First(rows) => Reading::First(scope, rows, self.columns.kept.place(column)),
        };
        self.read(reading, ty)
    }

    /// What is read, as a column.
    fn read(&mut self, reading: Reading, ty: &FlinkType) -> Expr {
        let known = self
            .readings
            .iter()
            .position(|(known, _)| *known == reading);
        let place = known.unwrap_or_else(|| {
            self.readings.push((reading, ty.clone()));
            self.readings.len() - 1
        });
        Expr::column(place, ty.clone())
    }

    /// An aggregate over the rows of a variable, or of all of them when its arguments name none.
    fn aggregate(&mut self, call: &Expr, args: &[Expr], ty: &FlinkType) -> Result<Expr> {
        let function = pattern_aggregate(call)?;
        let mut scope = None;
        let mut columns = Vec::with_capacity(args.len());
        for arg in args {
            let arg = self.of_row(arg, &mut scope)?;
            columns.push(self.columns.kept.place(&arg));
        }
        let call = AggregateCall {
            function,
            argument: (!columns.is_empty()).then_some(0),
            further: (1..columns.len()).collect(),
            filter: None,
            distinct: false,
            ty: ty.clone(),
        };
        let scope = scope.unwrap_or(Scope::All);
        Ok(self.read(Reading::Aggregate(scope, call, columns), ty))
    }

    /// An argument of an aggregate, as an expression over the columns of one row. FIRST and LAST in it mean that row too, as in Flink.
    fn of_row(&self, arg: &Expr, scope: &mut Option<Scope>) -> Result<Expr> {
        let mut arg = arg.clone();
        let mut open = vec![&mut arg];
        while let Some(expr) = open.pop() {
            while let ExprKind::Call { function, args } = &mut expr.kind
                && let [first, second] = args.as_mut_slice()
            {
                let inner = match function.as_str() {
                    PATTERN_COLUMN => {
                        let found = self.scope(first)?;
                        if scope.is_some_and(|scope| scope != found) {
                            return Err(Error::internal("an aggregate over rows of two variables"));
                        }
                        *scope = Some(found);
                        second.clone()
                    }
                    PATTERN_FIRST | PATTERN_LAST => first.clone(),
                    _ => break,
                };
                *expr = inner;
            }
            match &mut expr.kind {
                ExprKind::Call { args, .. } => open.extend(args),
                ExprKind::Cast { input, .. } => open.push(input),
                ExprKind::Case {
                    branches,
                    otherwise,
                } => {
                    for (when, then) in branches {
                        open.extend([when, then]);
                    }
                    open.extend(otherwise.as_deref_mut());
                }
                ExprKind::Column { .. } | ExprKind::Literal(_) => {}
            }
        }
        Ok(arg)
    }
}

/// The number of rows of FIRST and LAST.
fn count(rows: &Expr) -> Result<u64> {
    match rows.kind {
        ExprKind::Literal(Literal::Integer(rows)) => {
            u64::try_from(rows).map_err(|_| Error::internal("a negative offset in a pattern"))
        }
        _ => Err(Error::internal("an offset of a pattern that is no literal")),
    }
}
