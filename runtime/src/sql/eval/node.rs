//! The compiled tree.
//!
//! Place in the flow: [`super::Evaluator`] owns the root. Invariant: an operand that can fail is computed only for the
//! rows that reach it: behind CASE, AND, OR and COALESCE.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, StringArray, UInt32Array,
    new_null_array,
};
use arrow::compute::{and, and_kleene, interleave, is_null, not, or_kleene};

use super::EvalContext;
use super::call::{Call, Memory, Value};
use super::cast::{Cast, can_fail, cast};
use super::datetime::{self, Moment};
use super::zone::Zone;
use crate::batch::Batch;
use crate::error::{Error, Result, Span};
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::sql::functions::{Function, Volatility, lookup};
use crate::types::{FlinkType, TypeKind};

/// What a tree is evaluated over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    /// Rows.
    pub(crate) batch: &'a Batch,
    /// Session time zone.
    pub(crate) zone: &'a Zone,
    /// Wall time and watermark.
    pub(crate) context: &'a EvalContext,
}

/// A compiled expression.
#[derive(Debug)]
pub(crate) enum Node {
    /// A column of the batch.
    Column(usize),
    /// A constant: an array of one row.
    Literal(ArrayRef),
    /// A function call.
    Call(CallNode),
    /// AND, OR or COALESCE over operands of which some can fail: later ones see only the rows that reach them.
    Guarded {
        /// Which.
        guard: Guard,
        /// Operands.
        args: Vec<Node>,
    },
    /// A conversion.
    Cast {
        /// What is converted.
        input: Box<Node>,
        /// Its type.
        from: FlinkType,
        /// The type wanted.
        to: FlinkType,
        /// `TRY_CAST`.
        lenient: bool,
        /// Place for errors.
        span: Span,
    },
    /// CASE.
    Case {
        /// Conditions and values.
        branches: Vec<(Node, Node)>,
        /// ELSE.
        otherwise: Box<Node>,
    },
}

/// A function call with what its kernel needs.
#[derive(Debug)]
pub(crate) struct CallNode {
    /// The row of the function table.
    function: &'static Function,
    /// Arguments.
    args: Vec<Node>,
    /// Their types.
    types: Vec<FlinkType>,
    /// Result type.
    ty: FlinkType,
    /// Place for errors.
    span: Span,
    /// What the call keeps between batches.
    memory: Memory,
}

/// What lets a row reach the next operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Not FALSE so far.
    And,
    /// Not TRUE so far.
    Or,
    /// NULL so far.
    Coalesce,
}

impl Node {
    /// Compiles an expression.
    ///
    /// # Errors
    /// `Internal` for an unknown function, `Unsupported` for a column of an outer query.
    pub(crate) fn compile(expr: &Expr) -> Result<Self> {
        Ok(match &expr.kind {
            ExprKind::Column { depth: 0, index } => Self::Column(*index as usize),
            ExprKind::Column { .. } => {
                return Err(Error::unsupported("a column of an outer query").with_span(expr.span));
            }
            ExprKind::Literal(value) => Self::Literal(constant(value, &expr.ty)?),
            ExprKind::Call { function, args } => Self::compile_call(function, args, expr)?,
            ExprKind::Cast { input, lenient } => Self::Cast {
                input: Box::new(Self::compile(input)?),
                from: input.ty.clone(),
                to: expr.ty.clone(),
                lenient: *lenient,
                span: expr.span,
            },
            ExprKind::Case {
                branches,
                otherwise,
            } => Self::Case {
                branches: branches
                    .iter()
                    .map(|(when, then)| Ok((Self::compile(when)?, Self::compile(then)?)))
                    .collect::<Result<_>>()?,
                otherwise: Box::new(match otherwise {
                    Some(value) => Self::compile(value)?,
                    None => Self::Literal(new_null_array(&expr.ty.to_arrow()?, 1)),
                }),
            },
        })
    }

    /// Compiles a function call.
    fn compile_call(name: &str, args: &[Expr], expr: &Expr) -> Result<Self> {
        let nodes: Vec<Self> = args.iter().map(Self::compile).collect::<Result<_>>()?;
        let guard = match name {
            "AND" => Some(Guard::And),
            "OR" => Some(Guard::Or),
            "COALESCE" => Some(Guard::Coalesce),
            _ => None,
        };
        if let Some(guard) = guard
            && (guard == Guard::Coalesce || nodes.iter().skip(1).any(Self::can_fail))
        {
            return Ok(Self::Guarded { guard, args: nodes });
        }
        Ok(Self::Call(CallNode {
            function: lookup(name)?,
            args: nodes,
            types: args.iter().map(|arg| arg.ty.clone()).collect(),
            ty: expr.ty.clone(),
            span: expr.span,
            memory: Memory::default(),
        }))
    }

    /// Whether evaluation may return a `Data` error.
    fn can_fail(&self) -> bool {
        match self {
            Self::Column(_) | Self::Literal(_) => false,
            Self::Call(call) => call.function.can_fail || call.args.iter().any(Self::can_fail),
            Self::Guarded { args, .. } => args.iter().any(Self::can_fail),
            Self::Cast {
                input,
                from,
                to,
                lenient,
                ..
            } => (!lenient && can_fail(&from.kind, &to.kind)) || input.can_fail(),
            Self::Case {
                branches,
                otherwise,
            } => {
                otherwise.can_fail()
                    || branches
                        .iter()
                        .any(|(when, then)| when.can_fail() || then.can_fail())
            }
        }
    }

    /// Computes the values.
    ///
    /// # Errors
    /// As [`super::Evaluator::eval`].
    pub(crate) fn eval(&self, input: &Input<'_>) -> Result<Value> {
        match self {
            Self::Column(index) => {
                let column = input.batch.columns.get(*index).ok_or_else(|| {
                    Error::internal(format!("column {index} is not in the batch"))
                })?;
                Ok(Value::Column(Arc::clone(column)))
            }
            Self::Literal(value) => Ok(Value::Scalar(Arc::clone(value))),
            Self::Call(call) => call.eval(input),
            Self::Guarded { guard, args } => guarded(*guard, args, input),
            Self::Cast {
                input: node,
                from,
                to,
                lenient,
                span,
            } => {
                let how = Cast {
                    from,
                    to,
                    lenient: *lenient,
                    zone: input.zone,
                };
                let value = node.eval(input)?;
                let array = cast(value.array(), &how).map_err(|error| error.with_span(*span))?;
                Ok(if value.is_scalar() {
                    Value::Scalar(array)
                } else {
                    Value::Column(array)
                })
            }
            Self::Case {
                branches,
                otherwise,
            } => case(branches, otherwise, input),
        }
    }
}

impl CallNode {
    /// Calls the kernel.
    fn eval(&self, input: &Input<'_>) -> Result<Value> {
        let args: Vec<Value> = self
            .args
            .iter()
            .map(|arg| arg.eval(input))
            .collect::<Result<_>>()?;
        let scalar =
            args.iter().all(Value::is_scalar) && self.function.volatility != Volatility::Row;
        // An empty batch still has scalars, which must not be divided and the like for nobody.
        if input.batch.rows == 0 {
            return Ok(Value::Column(new_null_array(&self.ty.to_arrow()?, 0)));
        }
        let call = Call {
            args: &args,
            types: &self.types,
            ty: &self.ty,
            rows: if scalar { 1 } else { input.batch.rows },
            zone: input.zone,
            context: input.context,
            memory: &self.memory,
        };
        let array = (self.function.kernel)(&call).map_err(|error| error.with_span(self.span))?;
        Ok(if scalar {
            Value::Scalar(array)
        } else {
            Value::Column(array)
        })
    }
}

/// The rows of a mask as indices.
fn selected(mask: &BooleanArray) -> UInt32Array {
    mask.iter()
        .enumerate()
        .filter(|(_, keep)| *keep == Some(true))
        .map(|(row, _)| u32::try_from(row).unwrap_or(u32::MAX))
        .collect::<Vec<u32>>()
        .into()
}

/// Evaluates an operand for some rows only; `None` when there are none.
fn eval_some(node: &Node, rows: &UInt32Array, input: &Input<'_>) -> Result<Option<ArrayRef>> {
    if rows.is_empty() {
        return Ok(None);
    }
    if rows.len() == input.batch.rows {
        return node.eval(input)?.expand(rows.len()).map(Some);
    }
    let part = input.batch.take(rows)?;
    let input = Input {
        batch: &part,
        ..*input
    };
    node.eval(&input)?.expand(rows.len()).map(Some)
}

/// Which array and row each result row comes from.
struct Scatter {
    /// The arrays.
    arrays: Vec<ArrayRef>,
    /// Array and row.
    sources: Vec<(usize, usize)>,
}

impl Scatter {
    /// Starts with every row from one array.
    fn new(first: ArrayRef, rows: usize) -> Self {
        Self {
            arrays: vec![first],
            sources: (0..rows).map(|row| (0, row)).collect(),
        }
    }

    /// Takes the given rows from another array that holds just them.
    fn put(&mut self, rows: &UInt32Array, array: ArrayRef) {
        let index = self.arrays.len();
        for (i, row) in rows.values().iter().enumerate() {
            self.sources[*row as usize] = (index, i);
        }
        self.arrays.push(array);
    }

    /// The result.
    fn finish(self) -> Result<ArrayRef> {
        let arrays: Vec<&dyn Array> = self.arrays.iter().map(AsRef::as_ref).collect();
        Ok(interleave(&arrays, &self.sources)?)
    }
}

/// A column as BOOLEAN.
fn booleans(array: &ArrayRef) -> Result<BooleanArray> {
    let values = array.as_any().downcast_ref::<BooleanArray>();
    values
        .cloned()
        .ok_or_else(|| Error::internal("a condition is not BOOLEAN"))
}

/// AND, OR and COALESCE operand by operand.
fn guarded(guard: Guard, args: &[Node], input: &Input<'_>) -> Result<Value> {
    let rows = input.batch.rows;
    let Some((first, rest)) = args.split_first() else {
        return Err(Error::internal("a call without arguments"));
    };
    let mut result = first.eval(input)?.expand(rows)?;
    for node in rest {
        let open = match guard {
            Guard::And => or_kleene(&booleans(&result)?, &is_null(result.as_ref())?)?,
            Guard::Or => or_kleene(&not(&booleans(&result)?)?, &is_null(result.as_ref())?)?,
            Guard::Coalesce => is_null(result.as_ref())?,
        };
        let reached = selected(&open);
        let Some(part) = eval_some(node, &reached, input)? else {
            break;
        };
        let combined = match guard {
            Guard::Coalesce => part,
            Guard::And | Guard::Or => {
                let before = booleans(&arrow::compute::take(&result, &reached, None)?)?;
                let part = booleans(&part)?;
                Arc::new(if guard == Guard::And {
                    and_kleene(&before, &part)?
                } else {
                    or_kleene(&before, &part)?
                })
            }
        };
        let mut scatter = Scatter::new(result, rows);
        scatter.put(&reached, combined);
        result = scatter.finish()?;
    }
    Ok(Value::Column(result))
}

/// CASE: each condition and value for the rows that reach it.
fn case(branches: &[(Node, Node)], otherwise: &Node, input: &Input<'_>) -> Result<Value> {
    let rows = input.batch.rows;
    let mut open = BooleanArray::from(vec![true; rows]);
    let mut parts: Vec<(UInt32Array, ArrayRef)> = Vec::new();
    for (when, then) in branches {
        let hit = if when.can_fail() {
            let reached = selected(&open);
            let Some(part) = eval_some(when, &reached, input)? else {
                break;
            };
            let mut scatter = Scatter::new(Arc::new(BooleanArray::from(vec![false; rows])), rows);
            scatter.put(&reached, part);
            booleans(&scatter.finish()?)?
        } else {
            booleans(&when.eval(input)?.expand(rows)?)?
        };
        let hit = and(&open, &is_true(&hit))?;
        open = and(&open, &not(&hit)?)?;
        let reached = selected(&hit);
        if let Some(part) = eval_some(then, &reached, input)? {
            parts.push((reached, part));
        }
    }
    let reached = selected(&open);
    if let Some(part) = eval_some(otherwise, &reached, input)? {
        parts.push((reached, part));
    }
    if let [(reached, part)] = parts.as_slice()
        && reached.len() == rows
    {
        return Ok(Value::Column(Arc::clone(part)));
    }
    let mut sources = vec![(0, 0); rows];
    for (index, (reached, _)) in parts.iter().enumerate() {
        for (i, row) in reached.values().iter().enumerate() {
            sources[*row as usize] = (index, i);
        }
    }
    if parts.is_empty() {
        return otherwise.eval(input);
    }
    let arrays: Vec<&dyn Array> = parts.iter().map(|(_, part)| part.as_ref()).collect();
    Ok(Value::Column(interleave(&arrays, &sources)?))
}

/// The mask with NULL as FALSE.
fn is_true(mask: &BooleanArray) -> BooleanArray {
    match mask.nulls() {
        None => mask.clone(),
        Some(nulls) => BooleanArray::new(mask.values() & nulls.inner(), None),
    }
}

/// A constant as an array of one row.
fn constant(value: &Literal, ty: &FlinkType) -> Result<ArrayRef> {
    let wrong = || Error::internal(format!("the constant {value:?} is not {ty}"));
    let array: ArrayRef = match (value, &ty.kind) {
        (Literal::Null, _) => new_null_array(&ty.to_arrow()?, 1),
        (Literal::Boolean(v), _) => Arc::new(BooleanArray::from(vec![*v])),
        (Literal::Integer(v), TypeKind::TinyInt) => Arc::new(Int8Array::from(vec![
            i8::try_from(*v).map_err(|_| wrong())?,
        ])),
        (Literal::Integer(v), TypeKind::SmallInt) => Arc::new(Int16Array::from(vec![
            i16::try_from(*v).map_err(|_| wrong())?,
        ])),
        (Literal::Integer(v), TypeKind::Int) => Arc::new(Int32Array::from(vec![
            i32::try_from(*v).map_err(|_| wrong())?,
        ])),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a FLOAT literal is its nearest value"
        )]
        (Literal::Double(v), TypeKind::Float) => Arc::new(Float32Array::from(vec![*v as f32])),
        (Literal::Double(v), _) => Arc::new(Float64Array::from(vec![*v])),
        (Literal::Decimal(v), TypeKind::Decimal { precision, scale }) => Arc::new(
            Decimal128Array::from(vec![*v])
                .with_precision_and_scale(*precision, scale.cast_signed())?,
        ),
        (Literal::String(v), _) => Arc::new(StringArray::from(vec![v.as_str()])),
        (Literal::Bytes(v), _) => Arc::new(BinaryArray::from(vec![v.as_slice()])),
        (Literal::Date(v), _) => Arc::new(Date32Array::from(vec![*v])),
        (Literal::Time(v), _) => datetime::times(std::iter::once(Some(*v))),
        (Literal::Timestamp(v), TypeKind::Timestamp(p) | TypeKind::TimestampLtz(p)) => {
            let micros = if *p <= 3 {
                v.saturating_mul(datetime::MICROS)
            } else {
                *v
            };
            datetime::timestamps(std::iter::once(Some(micros)), *p)
        }
        (Literal::Decimal(nanos), TypeKind::Timestamp(p) | TypeKind::TimestampLtz(p)) => {
            datetime::timestamps(std::iter::once(Some(Moment::of_nanos(*nanos))), *p)
        }
        (Literal::Months(v), _) => Arc::new(Int32Array::from(vec![*v])),
        (Literal::Integer(v), TypeKind::BigInt) | (Literal::Millis(v), _) => {
            Arc::new(Int64Array::from(vec![*v]))
        }
        (Literal::Integer(_) | Literal::Decimal(_) | Literal::Timestamp(_), _) => {
            return Err(wrong());
        }
    };
    Ok(array)
}
