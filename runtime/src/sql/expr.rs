//! Bound expressions.
//!
//! Place in the flow: made by the binder, stored in the plan, compiled by [`crate::sql::eval`] inside operators. Invariant:
//! an expression is serializable, names nothing but function names, and all its casts are explicit.

use serde::{Deserialize, Serialize};

use crate::error::Span;
use crate::types::FlinkType;

/// A bound expression.
///
/// Two are equal when they compute the same, wherever they stand.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Expr {
    /// What it computes.
    pub kind: ExprKind,
    /// The type of its values.
    pub ty: FlinkType,
    /// Where it stands in the SQL text.
    pub span: Span,
}

/// What an expression computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ExprKind {
    /// A column of an input row. `depth` is 0 for the operator's own input; larger in a correlated subquery.
    Column {
        /// Scopes to go outwards.
        depth: u32,
        /// Position in that scope's row.
        index: u32,
    },
    /// A constant.
    Literal(Literal),
    /// A function or operator by its name in the function table: `UPPER`, `+`, `=`, `AND`, `IS NULL`.
    Call {
        /// Name in the function table, upper case.
        function: String,
        /// Arguments, already cast to what the function takes.
        args: Vec<Expr>,
    },
    /// A conversion to the expression's type.
    Cast {
        /// What is converted.
        input: Box<Expr>,
        /// `TRY_CAST`: failures become NULL.
        lenient: bool,
    },
    /// `CASE WHEN c THEN v ... ELSE e END`; the branches have the expression's type.
    Case {
        /// Conditions and values, first match wins.
        branches: Vec<(Expr, Expr)>,
        /// The value when no condition holds; absent means NULL.
        otherwise: Option<Box<Expr>>,
    },
}

/// A constant; its exact type is that of the expression that holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Literal {
    /// SQL NULL of any type.
    Null,
    /// BOOLEAN.
    Boolean(bool),
    /// TINYINT to BIGINT.
    Integer(i64),
    /// FLOAT and DOUBLE.
    Double(f64),
    /// DECIMAL: the unscaled value; the scale is the type's. TIMESTAMP of a precision above 6: nanoseconds. Text, because JSON numbers do not hold 38 digits.
    Decimal(#[serde(with = "decimal_text")] i128),
    /// CHAR and VARCHAR.
    String(String),
    /// BINARY and VARBINARY.
    Bytes(Vec<u8>),
    /// DATE: days since the epoch.
    Date(i32),
    /// TIME: milliseconds of the day.
    Time(i32),
    /// TIMESTAMP and `TIMESTAMP_LTZ` of a precision up to 6: milliseconds when it is at most 3, else microseconds.
    Timestamp(i64),
    /// INTERVAL YEAR TO MONTH: months.
    Months(i32),
    /// INTERVAL DAY TO SECOND: milliseconds.
    Millis(i64),
}

/// A 128-bit integer as text.
mod decimal_text {
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the digits.
    pub(super) fn serialize<S: Serializer>(value: &i128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// Reads the digits.
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<i128, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.ty == other.ty
    }
}

impl Expr {
    /// A column of the operator's own input.
    pub fn column(index: usize, ty: FlinkType) -> Self {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        Self {
            kind: ExprKind::Column { depth: 0, index },
            ty,
            span: Span::default(),
        }
    }

    /// A constant.
    pub fn literal(value: Literal, ty: FlinkType) -> Self {
        Self {
            kind: ExprKind::Literal(value),
            ty,
            span: Span::default(),
        }
    }

    /// The index, when this is a plain column of the operator's own input.
    pub fn as_column(&self) -> Option<usize> {
        match self.kind {
            ExprKind::Column { depth: 0, index } => Some(index as usize),
            _ => None,
        }
    }

    /// Direct sub-expressions, left to right.
    pub fn children(&self) -> Vec<&Self> {
        match &self.kind {
            ExprKind::Column { .. } | ExprKind::Literal(_) => Vec::new(),
            ExprKind::Call { args, .. } => args.iter().collect(),
            ExprKind::Cast { input, .. } => vec![input],
            ExprKind::Case {
                branches,
                otherwise,
            } => branches
                .iter()
                .flat_map(|(when, then)| [when, then])
                .chain(otherwise.as_deref())
                .collect(),
        }
    }

    /// Whether it reads a column of an enclosing query.
    pub fn is_correlated(&self) -> bool {
        matches!(self.kind, ExprKind::Column { depth, .. } if depth > 0)
            || self.children().into_iter().any(Self::is_correlated)
    }

    /// Whether it is the constant TRUE.
    pub fn is_true(&self) -> bool {
        self.kind == ExprKind::Literal(Literal::Boolean(true))
    }

    /// The same expression with every column of enclosing queries replaced by what `replace` makes of it, of the scopes to go
    /// outwards and of its index.
    #[must_use]
    pub fn replace_outer(&self, replace: &dyn Fn(&Self, u32, usize) -> Self) -> Self {
        let mut replaced = self.clone();
        replaced.visit_columns(&|column, depth, index| {
            if depth > 0 {
                *column = replace(column, depth, index);
            }
        });
        replaced
    }

    /// Visits every column, of this query and of those around it. Long chains are deep trees, so that a level takes one frame.
    fn visit_columns(&mut self, visit: &dyn Fn(&mut Self, u32, usize)) {
        match &mut self.kind {
            ExprKind::Column { depth, index } => {
                let (depth, index) = (*depth, *index as usize);
                visit(self, depth, index);
            }
            ExprKind::Literal(_) => {}
            ExprKind::Call { args, .. } => {
                for arg in args {
                    arg.visit_columns(visit);
                }
            }
            ExprKind::Cast { input, .. } => input.visit_columns(visit),
            ExprKind::Case {
                branches,
                otherwise,
            } => {
                for (when, then) in branches {
                    when.visit_columns(visit);
                    then.visit_columns(visit);
                }
                if let Some(otherwise) = otherwise {
                    otherwise.visit_columns(visit);
                }
            }
        }
    }

    /// The columns of the operator's own input that the expression reads, ascending, each once.
    pub fn columns(&self) -> Vec<usize> {
        let mut found: Vec<usize> = self.as_column().into_iter().collect();
        found.extend(self.children().into_iter().flat_map(Self::columns));
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The same expression with every own column index replaced.
    ///
    /// # Panics
    /// Never on its own; `map` decides for unknown columns.
    #[must_use]
    pub fn map_columns(&self, map: &dyn Fn(usize) -> usize) -> Self {
        self.replace_columns(&|column, index| Self {
            span: column.span,
            ..Self::column(map(index), column.ty.clone())
        })
    }

    /// The same expression with every own column replaced by what `replace` makes of it and its index.
    #[must_use]
    pub fn replace_columns(&self, replace: &dyn Fn(&Self, usize) -> Self) -> Self {
        let mut replaced = self.clone();
        replaced.visit_columns(&|column, depth, index| {
            if depth == 0 {
                *column = replace(column, index);
            }
        });
        replaced
    }
}
