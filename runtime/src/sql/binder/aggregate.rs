//! GROUP BY and aggregates.
//!
//! Place in the flow: a SELECT with groups becomes a Calc that computes keys and arguments, the aggregation, and a relation
//! over its columns. Invariant: behind a GROUP BY only grouped expressions and aggregates are columns.
//!
//! While a clause is bound, the columns are the keys, then the aggregates in the order in which they are met; window properties and
//! the numbers of grouping sets are pending columns, which `Grouping::place` gives their places.

use sqlparser::ast::{Function, ObjectName};

use super::aggregate_call::{Called, bind_call, is_aggregate_name};
use super::call::{function_name, positional};
use super::expression::ExprBinder;
use super::group_window::GroupWindow;
use super::literal;
use super::relation::Relation;
use crate::error::{Error, Result, Span};
use crate::plan::{AggregateFunction, WindowProperty};
use crate::sql::expr::{Expr, Literal};
use crate::sql::functions::resolve;
use crate::sql::typing::case;
use crate::types::TypeKind;

/// The first number of columns that stand for window properties; no input has as many.
const PROPERTY_FIRST: usize = 1 << 28;

/// The first number of columns that stand for GROUPING; no input has as many.
const GROUPING_FIRST: usize = 1 << 29;

/// Most grouping sets of a GROUP BY.
///
/// # Source
/// A guess, unmeasured: every row is repeated as often; CUBE of eight columns has as many.
const SETS_MAX: usize = 256;

/// Whether a call is of an aggregate function, not over a window of rows.
pub(super) fn is_aggregate(function: &Function) -> bool {
    function.over.is_none() && names_aggregate(&function.name)
}

/// Whether a name is that of an aggregate function.
fn names_aggregate(name: &ObjectName) -> bool {
    function_name(name).is_ok_and(|name| is_aggregate_name(&name) || is_grouping(&name))
}

/// Whether a function tells grouping sets apart.
fn is_grouping(name: &str) -> bool {
    matches!(name, "GROUPING" | "GROUPING_ID" | "GROUP_ID")
}

/// What a GROUP BY makes of the columns: keys first, then aggregates in the order in which they are met.
#[derive(Debug)]
pub(super) struct Grouping {
    /// Keys over the base of the grouped relation, without places.
    pub(super) keys: Vec<Expr>,
    /// Aggregates.
    pub(super) aggregates: Vec<Called>,
    /// Whether there is a group without rows: no keys.
    pub(super) is_global: bool,
    /// The keys of each grouping set; absent without GROUPING SETS, CUBE and ROLLUP.
    pub(super) sets: Option<Vec<Vec<usize>>>,
    /// `TUMBLE(...)`, `HOP(...)` or `SESSION(...)` among the keys.
    pub(super) window: Option<GroupWindow>,
    /// The properties of the window that are asked for.
    pub(super) properties: Vec<WindowProperty>,
    /// The keys of each call of GROUPING.
    groupings: Vec<Vec<usize>>,
}

/// A relation that was aggregated.
#[derive(Debug)]
pub(super) struct Grouped {
    /// Its fields are the keys, the aggregates, the properties and the number of the grouping set.
    pub(super) relation: Relation,
    /// What was grouped by.
    pub(super) grouping: Grouping,
}

impl Grouping {
    /// Groups by keys.
    pub(super) fn new(keys: &[Expr]) -> Self {
        let mut grouping = Self {
            is_global: keys.is_empty(),
            keys: Vec::new(),
            aggregates: Vec::new(),
            sets: None,
            window: None,
            properties: Vec::new(),
            groupings: Vec::new(),
        };
        for key in keys {
            grouping.add_key(key);
        }
        grouping
    }

    /// Groups by a further key, and says which it is.
    pub(super) fn add_key(&mut self, key: &Expr) -> usize {
        let known = self.keys.iter().position(|other| other == key);
        known.unwrap_or_else(|| {
            self.keys.push(key.clone());
            self.keys.len() - 1
        })
    }

    /// Groups by sets of keys.
    pub(super) fn with_sets(mut self, sets: Vec<Vec<usize>>) -> Result<Self> {
        if sets.len() > SETS_MAX {
            return Err(Error::validation(format!(
                "more than {SETS_MAX} grouping sets"
            )));
        }
        self.is_global = false;
        self.sets = Some(sets);
        Ok(self)
    }

    /// Groups by a window as well.
    pub(super) fn with_window(mut self, window: GroupWindow) -> Self {
        self.is_global = false;
        self.window = Some(window);
        self
    }

    /// Whether a key is more than a column.
    pub(super) fn has_computed_keys(&self) -> bool {
        self.keys.iter().any(|key| key.as_column().is_none())
    }

    /// The grouped column that is this expression.
    pub(super) fn key(&self, bound: &Expr) -> Option<Expr> {
        let index = self.keys.iter().position(|key| key == bound)?;
        let ty = bound
            .ty
            .with_nullable(bound.ty.nullable || self.is_left_out(index));
        Some(Expr::column(index, ty))
    }

    /// Whether a key is NULL in some grouping set.
    pub(super) fn is_left_out(&self, key: usize) -> bool {
        let sets = self.sets.iter().flatten();
        sets.into_iter().any(|set| !set.contains(&key))
    }

    /// The column of a function that is about the groups: properties of windows, GROUPING.
    ///
    /// # Errors
    /// `Invalid` for arguments that are not those of the GROUP BY.
    pub(super) fn auxiliary(
        &mut self,
        call: &Function,
        binder: &mut ExprBinder<'_>,
        span: Span,
    ) -> Result<Option<Expr>> {
        let Ok(name) = function_name(&call.name) else {
            return Ok(None);
        };
        if is_grouping(&name) && call.over.is_none() {
            return self.grouping(call, &name, binder, span).map(Some);
        }
        let Some(window) = &self.window else {
            return Ok(None);
        };
        let Some((property, ty)) = window.property(&name, call)? else {
            return Ok(None);
        };
        let known = self.properties.iter().position(|other| *other == property);
        let index = known.unwrap_or_else(|| {
            self.properties.push(property);
            self.properties.len() - 1
        });
        Ok(Some(Expr {
            span,
            ..Expr::column(PROPERTY_FIRST + index, ty)
        }))
    }

    /// The column of GROUPING: one bit for each argument, 1 where it is left out.
    fn grouping(
        &mut self,
        call: &Function,
        name: &str,
        binder: &mut ExprBinder<'_>,
        span: Span,
    ) -> Result<Expr> {
        let mut keys = Vec::new();
        for ast in positional(call)? {
            let bound = binder.bind(ast)?;
            let key = self.key(&bound).and_then(|key| key.as_column());
            keys.push(key.ok_or_else(|| {
                Error::validation(format!("argument to {name} must be a grouped expression"))
                    .with_span(bound.span)
            })?);
        }
        if keys.is_empty() && name != "GROUP_ID" {
            return Err(Error::type_mismatch(format!(
                "{name} takes grouped expressions"
            )));
        }
        self.groupings.push(keys);
        let index = GROUPING_FIRST + self.groupings.len() - 1;
        Ok(Expr {
            span,
            ..Expr::column(index, TypeKind::BigInt.not_null())
        })
    }

    /// The column of an aggregate call.
    ///
    /// # Errors
    /// `Invalid` for arguments the aggregate does not take.
    pub(super) fn aggregate(
        &mut self,
        call: &Function,
        binder: ExprBinder<'_>,
        span: Span,
    ) -> Result<Expr> {
        let called = bind_call(call, binder, self.is_global, span)?;
        let ty = called.ty.clone();
        let known = self.aggregates.iter().position(|other| *other == called);
        let position = known.unwrap_or_else(|| {
            self.aggregates.push(called);
            self.aggregates.len() - 1
        });
        Ok(Expr {
            span,
            // Keys may be added later: those of conditions on queries around.
            ..Expr::column(AGGREGATE_FIRST + position, ty)
        })
    }

    /// What aggregates read.
    pub(super) fn aggregated(&self) -> impl Iterator<Item = &Expr> {
        let aggregates = self.aggregates.iter();
        aggregates.flat_map(|called| called.args.iter().chain(&called.filter))
    }
}

/// The first number of columns that stand for aggregates; no input has as many.
const AGGREGATE_FIRST: usize = 1 << 27;

impl Grouped {
    /// The value of an expression of the clause over the base of the aggregated relation.
    pub(super) fn place(&self, expr: &Expr) -> Result<Expr> {
        let keys = self.grouping.keys.len();
        let properties = keys + self.grouping.aggregates.len();
        let field = |index: usize| self.relation.fields.get(index).map(|f| f.expr.clone());
        let failed = std::cell::RefCell::new(None);
        let placed = expr.replace_columns(&|column, index| {
            let found = if index >= GROUPING_FIRST {
                let call = self.grouping.groupings.get(index - GROUPING_FIRST);
                match call.map(|keys| self.grouping_value(keys)) {
                    Some(Ok(value)) => Some(value),
                    Some(Err(error)) => {
                        failed.borrow_mut().get_or_insert(error);
                        None
                    }
                    None => None,
                }
            } else if index >= PROPERTY_FIRST {
                field(properties + index - PROPERTY_FIRST)
            } else if index >= AGGREGATE_FIRST {
                field(keys + index - AGGREGATE_FIRST)
            } else {
                field(index)
            };
            found.map_or_else(
                || column.clone(),
                |found| Expr {
                    span: column.span,
                    ty: column.ty.clone(),
                    ..found
                },
            )
        });
        failed.into_inner().map_or(Ok(placed), Err)
    }

    /// The value of a column of the relation that was grouped, when it is a key.
    pub(super) fn place_key(&self, expr: &Expr) -> Result<Expr> {
        let key = self.grouping.key(expr).ok_or_else(|| {
            Error::unsupported("a sub-query that reads a column which is not grouped")
        })?;
        self.place(&key)
    }

    /// The columns of counts, which are 0 without rows.
    pub(super) fn counts(&self) -> Vec<usize> {
        let keys = self.grouping.keys.len();
        let is_count = |called: &Called| {
            matches!(
                called.function,
                AggregateFunction::Count | AggregateFunction::Sum0
            )
        };
        let counts = self.grouping.aggregates.iter().enumerate();
        counts
            .filter(|(_, called)| is_count(called))
            .filter_map(|(index, _)| self.relation.fields[keys + index].expr.as_column())
            .collect()
    }

    /// The value of GROUPING of these keys by the number of the grouping set.
    fn grouping_value(&self, keys: &[usize]) -> Result<Expr> {
        let number = |value: usize| {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            literal::constant(Literal::Integer(value), TypeKind::BigInt)
        };
        let Some(sets) = &self.grouping.sets else {
            return Ok(number(0));
        };
        let id = self.relation.fields.last().map(|field| field.expr.clone());
        let id = id.ok_or_else(|| Error::internal("grouping sets without a number"))?;
        let mut branches = Vec::with_capacity(sets.len());
        for (index, set) in sets.iter().enumerate() {
            let is_set = resolve("=", vec![id.clone(), number(index)], Span::default())?;
            let bits = keys
                .iter()
                .fold(0, |bits, key| bits * 2 + usize::from(!set.contains(key)));
            branches.push((is_set, number(bits)));
        }
        case(branches, Some(number(0)), Span::default())
    }
}
