//! Relations under construction and the plan they end in.
//!
//! Place in the flow: every clause of a query takes a [`Relation`] and gives one; a node is made only when a clause needs
//! one. Invariant: the expressions of a relation are over the columns of its base node, followed by the three window columns
//! when a window function is pending, so that nested projections melt into one Calc.

use super::over::exchange;
use super::state_ttl::StateTtls;
use super::traits::Traits;
use crate::error::{Error, Result};
use crate::plan::{
    ChangelogMode, Column, Exchange, Input, LateRows, Node, NodeId, Operator, PLAN_VERSION,
    StreamPlan, TimeDomain, Window, WindowKind, drop_update_before,
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
    /// Conditions that also read columns of enclosing queries: the join with those applies them.
    pub(super) correlated: Vec<Expr>,
    /// Columns of the base that are 0, not NULL, in a sub-query without rows: counts.
    pub(super) zeros: Vec<usize>,
    /// Output columns.
    pub(super) fields: Vec<Field>,
}

impl Relation {
    /// Refuses a relation whose rows depend on an enclosing query.
    ///
    /// # Errors
    /// `Unsupported`, naming what cannot be done with such rows.
    pub(super) fn refuse_correlated(&self, what: &str) -> Result<()> {
        let is_outer = |field: &Field| field.expr.is_correlated();
        if self.correlated.is_empty() && !self.fields.iter().any(is_outer) {
            return Ok(());
        }
        Err(Error::unsupported(format!(
            "{what} in a sub-query that depends on the query around it"
        )))
    }
}

/// The nodes of a plan under construction.
#[derive(Debug, Default)]
pub(super) struct PlanBuilder {
    /// What is known of the columns of each node.
    pub(super) traits: Vec<Traits>,
    /// Nodes in topological order; the id of a node is its position plus one.
    pub(super) nodes: Vec<Node>,
    /// Scans that later queries of the same statement share.
    pub(super) scans: Vec<(TableDef, LateRows, Relation)>,
    /// `STATE_TTL` of the present query block.
    pub(super) state_ttls: StateTtls,
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
    /// What is known of the columns.
    pub(super) traits: Traits,
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
            upsert_key: draft.traits.keys.first().cloned(),
            rowtime: draft.traits.rowtimes.first().copied(),
            state_ttls_ms: Vec::new(),
        });
        self.traits.push(draft.traits);
        id
    }

    /// Sets how long a node keeps the state of each of its inputs, when a hint says so.
    pub(super) fn set_state_ttls(&mut self, node: NodeId, ttls_ms: Vec<Option<u64>>) {
        self.nodes[node.0 as usize - 1].state_ttls_ms = ttls_ms;
    }

    /// The node of an id that this builder gave out.
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize - 1]
    }

    /// Number of columns of the base of a relation.
    pub(super) fn width(&self, relation: &Relation) -> usize {
        self.node(relation.base).schema.len()
    }

    /// What is known of the columns of a relation's base and of those of its pending window.
    pub(super) fn traits(&self, relation: &Relation) -> Traits {
        let base = &self.traits[relation.base.0 as usize - 1];
        match &relation.window {
            None => base.clone(),
            Some(window) => base.windowed(window, self.width(relation)),
        }
    }

    /// The clock that an expression over the base of a relation follows, when it is a time attribute.
    pub(super) fn time_domain(&self, relation: &Relation, expr: &Expr) -> Option<TimeDomain> {
        self.traits(relation).domain_of(expr)
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
            correlated: Vec::new(),
            zeros: Vec::new(),
            fields: schema.iter().enumerate().map(field).collect(),
        }
    }

    /// Applies the pending window function, so that its columns are the base's.
    pub(super) fn apply_window(&mut self, relation: &mut Relation) {
        let Some(window) = relation.window.take() else {
            return;
        };
        let base = self.node(relation.base);
        let traits = self.traits[relation.base.0 as usize - 1].windowed(&window, base.schema.len());
        let time = base.schema[window.time].ty.clone();
        let mut schema = base.schema.clone();
        for (name, ty) in WINDOW_COLUMNS.iter().zip(window_types(&time)) {
            schema.push(Column {
                name: (*name).to_owned(),
                ty,
            });
        }
        // A session is made of all rows of its key, wherever they come from.
        let exchange = match window.kind {
            WindowKind::Session { .. } => exchange(&window.partition),
            WindowKind::Tumble { .. } | WindowKind::Hop { .. } | WindowKind::Cumulate { .. } => {
                Exchange::Forward
            }
        };
        let draft = Draft {
            inputs: vec![Input {
                node: relation.base,
                exchange,
            }],
            operator: Operator::WindowTableFunction(window),
            schema,
            changelog: base.changelog,
            traits,
        };
        relation.base = self.add(draft);
    }

    /// What is known of the columns of a node.
    pub(super) fn traits_of(&self, node: NodeId) -> &Traits {
        &self.traits[node.0 as usize - 1]
    }

    /// Applies what is pending and computes expressions as further columns of the base; says which columns they are.
    ///
    /// The columns that the base had keep their places. There is a Calc even when nothing is computed, so that pruning can leave
    /// what reads it the columns it needs and no more.
    pub(super) fn extend(
        &mut self,
        mut relation: Relation,
        exprs: &[Expr],
    ) -> (Relation, Vec<usize>) {
        self.apply_window(&mut relation);
        let mut schema = self.node(relation.base).schema.clone();
        let mut projections: Vec<Expr> = schema
            .iter()
            .enumerate()
            .map(|(index, column)| Expr::column(index, column.ty.clone()))
            .collect();
        let width = projections.len();
        let mut places = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let known = expr.as_column().or_else(|| {
                let mut added = projections[width..].iter();
                let same = added.position(|known| known == expr);
                same.filter(|_| !is_volatile(expr))
                    .map(|index| width + index)
            });
            places.push(known.unwrap_or(projections.len()));
            if known.is_none() {
                schema.push(Column {
                    name: format!("$k{}", places.len() - 1),
                    ty: expr.ty.clone(),
                });
                projections.push(expr.clone());
            }
        }
        relation.base = self.calc(
            relation.base,
            relation.condition.take(),
            projections,
            schema,
        );
        (relation, places)
    }

    /// Makes a node of a relation whose columns must not be computed more than once.
    pub(super) fn settle(&mut self, relation: Relation) -> Relation {
        let keep = relation.fields.iter().all(|field| {
            is_trivial(&field.expr) || (relation.window.is_some() && !is_volatile(&field.expr))
        });
        let is_volatile_condition = relation.condition.as_ref().is_some_and(is_volatile);
        if keep && !is_volatile_condition {
            return relation;
        }
        self.settle_where(relation, |expr| !is_trivial(expr))
    }

    /// Makes columns of all fields of a relation, so that they can be NULL where there is no row.
    pub(super) fn settle_all(&mut self, relation: Relation) -> Relation {
        self.settle_where(relation, |expr| expr.as_column().is_none())
    }

    /// Makes columns of all fields of a relation when two are the same, so that one can be NULL without the other.
    pub(super) fn tell_apart(&mut self, relation: Relation) -> Relation {
        let fields = relation.fields.iter().enumerate();
        let has_twins = fields.clone().any(|(index, field)| {
            let mut before = fields.clone().take(index);
            before.any(|(_, other)| other.expr == field.expr)
        });
        if relation.correlated.is_empty() && has_twins {
            return self.settle_plain(relation);
        }
        relation
    }

    /// Makes columns of those fields of a relation.
    fn settle_where(&mut self, relation: Relation, which: fn(&Expr) -> bool) -> Relation {
        let is_computed = |field: &Field| which(&field.expr) && !field.expr.is_correlated();
        let computed: Vec<Expr> = relation
            .fields
            .iter()
            .filter(|field| is_computed(field))
            .map(|field| field.expr.clone())
            .collect();
        let has_condition = relation.condition.as_ref().is_some_and(is_volatile);
        if computed.is_empty() && !has_condition {
            return relation;
        }
        if relation.correlated.is_empty() && !relation.fields.iter().any(|f| f.expr.is_correlated())
        {
            return self.settle_plain(relation);
        }
        let (mut relation, places) = self.extend(relation, &computed);
        let mut places = places.into_iter();
        for field in &mut relation.fields {
            if is_computed(field)
                && let Some(place) = places.next()
            {
                field.expr = Expr::column(place, field.expr.ty.clone());
            }
        }
        relation
    }

    /// Makes a node of exactly the fields of a relation.
    fn settle_plain(&mut self, relation: Relation) -> Relation {
        let old = relation.fields.clone();
        let node = self.materialize(relation);
        let mut settled = self.relation(node);
        for (field, old) in settled.fields.iter_mut().zip(old) {
            *field = Field {
                expr: field.expr.clone(),
                ..old
            };
        }
        settled
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
        let traits = self.traits[input.0 as usize - 1].projected(&projections);
        let draft = Draft {
            inputs: vec![forward(input)],
            changelog: self.node(input).changelog,
            traits,
            operator: Operator::Calc {
                condition,
                projections,
            },
            schema,
        };
        self.add(draft)
    }

    /// The finished plan.
    ///
    /// # Errors
    /// `Unsupported` when a sub-query depends on the query around it in a way that no join stands for; `Internal` when columns got
    /// mixed up.
    pub(super) fn finish(self, time_zone: &str) -> Result<StreamPlan> {
        let mut nodes = self.nodes;
        super::reuse::reuse(&mut nodes);
        let mut nodes = super::prune::prune(nodes);
        if super::normalize_filter::push(&mut nodes) {
            nodes = super::prune::prune(nodes);
        }
        if nodes.iter().any(is_correlated) {
            return Err(Error::unsupported(
                "a sub-query that depends on the query around it in this way",
            ));
        }
        super::over::check(&nodes)?;
        drop_update_before(&mut nodes);
        let plan = StreamPlan {
            version: PLAN_VERSION,
            nodes,
            time_zone: time_zone.to_owned(),
        };
        plan.check()?;
        Ok(plan)
    }
}

/// Whether a node reads a column of an enclosing query.
fn is_correlated(node: &Node) -> bool {
    let mut found = false;
    node.operator
        .visit_exprs(&mut |expr| found |= expr.is_correlated());
    found
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

/// The time zone of windows over a time attribute of this type, in a session of this zone: one without a zone is local already.
pub(super) fn window_zone(time: &FlinkType, session: &str) -> String {
    match time.kind {
        TypeKind::TimestampLtz(_) => session.to_owned(),
        _ => "UTC".to_owned(),
    }
}

/// Whether projections are the columns of an input of this width as they are.
pub(super) fn is_identity(projections: &[Expr], width: usize) -> bool {
    projections.len() == width
        && projections
            .iter()
            .enumerate()
            .all(|(index, expr)| expr.as_column() == Some(index))
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
