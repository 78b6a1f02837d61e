//! Relations under construction and the plan they end in.
//!
//! Place in the flow: every clause of a query takes a [`Relation`] and gives one; a node is made only when a clause needs
//! one. Invariant: the expressions of a relation are over the columns of its base node, followed by the three window columns
//! when a window function is pending, so that nested projections melt into one Calc.

use crate::error::Span;
use crate::plan::{
    ChangelogMode, Column, Exchange, Input, Node, NodeId, Operator, PLAN_VERSION, StreamPlan,
    Window,
};
use crate::sql::catalog::TableDef;
use crate::sql::expr::{Expr, ExprKind};
use crate::sql::functions::{Volatility, volatility};
use crate::types::{FlinkType, TypeKind};

/// Position of `window_start` behind the columns of the base.
pub(super) const WINDOW_START: usize = 0;

/// Position of `window_end` behind the columns of the base.
pub(super) const WINDOW_END: usize = 1;

/// Position of `window_time` behind the columns of the base.
pub(super) const WINDOW_TIME: usize = 2;

/// Names of the columns a window function appends.
///
/// # Source
/// Flink SQL: windowing table-valued functions.
pub(super) const WINDOW_COLUMNS: [&str; 3] = ["window_start", "window_end", "window_time"];

/// An output column of a relation.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// Its name.
    pub(super) name: String,
    /// The alias of the table it came from.
    pub(super) qualifier: Option<String>,
    /// Its value over the base.
    pub(super) expr: Expr,
    /// Whether `*` leaves it out: system columns.
    pub(super) hidden: bool,
    /// What JOIN ... USING made of it.
    pub(super) using: Using,
}

/// What JOIN ... USING makes of a column.
///
/// # Source
/// Calcite: `*` begins with the columns of USING, each once; by its table's name each side's column stays reachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Using {
    /// Nothing.
    No,
    /// The left side's column, which stands for both.
    Shown,
    /// The right side's column, which only its table's name reaches.
    Repeated,
}

/// A query under construction.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    /// The node that rows come from.
    pub(super) base: NodeId,
    /// A window function that is applied to the base's rows.
    pub(super) window: Option<Window>,
    /// Rows for which it is not TRUE are dropped.
    pub(super) condition: Option<Expr>,
    /// Output columns.
    pub(super) fields: Vec<Field>,
}

/// The nodes of a plan under construction.
#[derive(Debug, Default)]
pub(super) struct PlanBuilder {
    /// Nodes in topological order; the id of a node is its position plus one.
    pub(super) nodes: Vec<Node>,
    /// Scans that later queries of the same statement share.
    pub(super) scans: Vec<(TableDef, Relation)>,
}

/// What a new node is, besides its identity.
#[derive(Debug)]
pub(super) struct Draft {
    /// What it does.
    pub(super) operator: Operator,
    /// Where its rows come from.
    pub(super) inputs: Vec<Input>,
    /// Columns it emits.
    pub(super) schema: Vec<Column>,
    /// Kinds of change it emits.
    pub(super) changelog: ChangelogMode,
    /// Columns that identify a row.
    pub(super) upsert_key: Option<Vec<usize>>,
    /// The event-time attribute.
    pub(super) rowtime: Option<usize>,
}

/// A forward edge.
pub(super) fn forward(node: NodeId) -> Input {
    Input {
        node,
        exchange: Exchange::Forward,
    }
}

impl PlanBuilder {
    /// Adds a node.
    pub(super) fn add(&mut self, draft: Draft) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len() + 1).unwrap_or(u32::MAX));
        self.nodes.push(Node {
            id,
            operator: draft.operator,
            inputs: draft.inputs,
            schema: draft.schema,
            changelog: draft.changelog,
            upsert_key: draft.upsert_key,
            rowtime: draft.rowtime,
        });
        id
    }

    /// The node of an id that this builder gave out.
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize - 1]
    }

    /// Number of columns of the base of a relation.
    pub(super) fn width(&self, relation: &Relation) -> usize {
        self.node(relation.base).schema.len()
    }

    /// The base column that is the event-time attribute.
    fn base_rowtime(&self, relation: &Relation) -> Option<usize> {
        let base = self.node(relation.base);
        match relation.window {
            Some(_) => Some(base.schema.len() + WINDOW_TIME),
            None => base.rowtime,
        }
    }

    /// The output column that is the event-time attribute.
    pub(super) fn rowtime(&self, relation: &Relation) -> Option<usize> {
        let time = self.base_rowtime(relation)?;
        relation
            .fields
            .iter()
            .position(|field| field.expr.as_column() == Some(time))
    }

    /// Kinds of change of a relation.
    pub(super) fn changelog(&self, relation: &Relation) -> ChangelogMode {
        self.node(relation.base).changelog
    }

    /// A relation that is a node's columns as they are.
    pub(super) fn relation(&self, base: NodeId) -> Relation {
        let schema = &self.node(base).schema;
        let field = |(index, column): (usize, &Column)| Field {
            name: column.name.clone(),
            qualifier: None,
            expr: Expr::column(index, column.ty.clone()),
            hidden: false,
            using: Using::No,
        };
        Relation {
            base,
            window: None,
            condition: None,
            fields: schema.iter().enumerate().map(field).collect(),
        }
    }

    /// Applies the pending window function, so that its columns are the base's.
    pub(super) fn apply_window(&mut self, relation: &mut Relation) {
        let Some(window) = relation.window.take() else {
            return;
        };
        let base = self.node(relation.base);
        let rowtime = base.schema.len() + WINDOW_TIME;
        let time = base.schema[window.time].ty.clone();
        let mut schema = base.schema.clone();
        for (name, ty) in WINDOW_COLUMNS.iter().zip(window_types(&time)) {
            schema.push(Column {
                name: (*name).to_owned(),
                ty,
            });
        }
        relation.base = self.add(Draft {
            inputs: vec![forward(relation.base)],
            operator: Operator::WindowTableFunction(window),
            schema,
            changelog: base_changelog(self, relation.base),
            upsert_key: None,
            rowtime: Some(rowtime),
        });
    }

    /// Makes the node that emits a relation's columns.
    pub(super) fn materialize(&mut self, mut relation: Relation) -> NodeId {
        self.apply_window(&mut relation);
        let projections: Vec<Expr> = relation
            .fields
            .iter()
            .map(|field| field.expr.clone())
            .collect();
        if relation.condition.is_none() && is_identity(&projections, self.width(&relation)) {
            return relation.base;
        }
        let schema = relation
            .fields
            .iter()
            .map(|field| Column {
                name: field.name.clone(),
                ty: field.expr.ty.clone(),
            })
            .collect();
        self.calc(relation.base, relation.condition, projections, schema)
    }

    /// Adds a Calc.
    pub(super) fn calc(
        &mut self,
        input: NodeId,
        condition: Option<Expr>,
        projections: Vec<Expr>,
        schema: Vec<Column>,
    ) -> NodeId {
        let base = self.node(input);
        let find = |column: usize| {
            projections
                .iter()
                .position(|expr| expr.as_column() == Some(column))
        };
        let find_key = |column: usize| {
            let keeps = |expr: &Expr| distinct_column(expr) == Some(column);
            find(column).or_else(|| projections.iter().position(keeps))
        };
        let upsert_key = base
            .upsert_key
            .as_ref()
            .and_then(|key| key.iter().map(|column| find_key(*column)).collect());
        let draft = Draft {
            inputs: vec![forward(input)],
            changelog: base.changelog,
            rowtime: base.rowtime.and_then(find),
            upsert_key,
            operator: Operator::Calc {
                condition,
                projections,
            },
            schema,
        };
        self.add(draft)
    }

    /// The finished plan.
    pub(super) fn finish(self, time_zone: &str) -> StreamPlan {
        StreamPlan {
            version: PLAN_VERSION,
            nodes: super::prune::prune(self.nodes),
            time_zone: time_zone.to_owned(),
        }
    }
}

/// The column that an expression only widens: different values stay different, so that a key stays one.
///
/// # Source
/// Flink: `FlinkRelMdUniqueKeys` keeps unique keys under such casts.
fn distinct_column(expr: &Expr) -> Option<usize> {
    let ExprKind::Cast { input, .. } = &expr.kind else {
        return None;
    };
    let rank = |kind: &TypeKind| match kind {
        TypeKind::TinyInt => Some(0),
        TypeKind::SmallInt => Some(1),
        TypeKind::Int => Some(2),
        TypeKind::BigInt => Some(3),
        _ => None,
    };
    let widens = match (&input.ty.kind, &expr.ty.kind) {
        (TypeKind::Char(from) | TypeKind::VarChar(from), TypeKind::VarChar(to)) => from <= to,
        (from, to) => rank(from)
            .zip(rank(to))
            .is_some_and(|(from, to)| from <= to),
    };
    input.as_column().filter(|_| widens)
}

/// The changelog of a node.
fn base_changelog(builder: &PlanBuilder, id: NodeId) -> ChangelogMode {
    builder.node(id).changelog
}

/// Types of `window_start`, `window_end` and `window_time` for a rowtime.
///
/// # Source
/// Flink SQL: start and end are TIMESTAMP(3); the time attribute keeps the kind of the input's.
pub(super) fn window_types(time: &FlinkType) -> [FlinkType; 3] {
    let attribute = match time.kind {
        TypeKind::TimestampLtz(_) => TypeKind::TimestampLtz(3),
        _ => TypeKind::Timestamp(3),
    };
    [
        TypeKind::Timestamp(3).not_null(),
        TypeKind::Timestamp(3).not_null(),
        attribute.not_null(),
    ]
}

/// Whether projections are the columns of an input of this width as they are.
pub(super) fn is_identity(projections: &[Expr], width: usize) -> bool {
    projections.len() == width
        && projections
            .iter()
            .enumerate()
            .all(|(index, expr)| expr.as_column() == Some(index))
}

/// The same expression without places, for comparisons.
pub(super) fn without_spans(expr: &Expr) -> Expr {
    let strip = |expr: &Expr| without_spans(expr);
    let kind = match &expr.kind {
        ExprKind::Column { .. } | ExprKind::Literal(_) => expr.kind.clone(),
        ExprKind::Call { function, args } => ExprKind::Call {
            function: function.clone(),
            args: args.iter().map(strip).collect(),
        },
        ExprKind::Cast { input, lenient } => ExprKind::Cast {
            input: Box::new(strip(input)),
            lenient: *lenient,
        },
        ExprKind::Case {
            branches,
            otherwise,
        } => ExprKind::Case {
            branches: branches
                .iter()
                .map(|(when, then)| (strip(when), strip(then)))
                .collect(),
            otherwise: otherwise.as_deref().map(|expr| Box::new(strip(expr))),
        },
    };
    Expr {
        kind,
        ty: expr.ty.clone(),
        span: Span::default(),
    }
}

/// Whether an expression gives another value each time it is computed.
pub(super) fn is_volatile(expr: &Expr) -> bool {
    let own = matches!(&expr.kind, ExprKind::Call { function, .. } if volatility(function) != Volatility::Immutable);
    own || expr.children().into_iter().any(is_volatile)
}

/// Whether computing an expression twice costs nothing.
pub(super) fn is_trivial(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Column { .. } | ExprKind::Literal(_))
}
