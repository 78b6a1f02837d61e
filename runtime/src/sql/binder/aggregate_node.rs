//! The nodes that aggregations end in.
//!
//! Place in the flow: a relation and what it is grouped by become a Calc that computes keys and arguments, and the aggregation: for
//! ever, per window, or for each grouping set. Invariant: the fields of the result are the keys, the aggregates, the properties of a
//! window and the number of the grouping set.

use std::collections::BTreeSet;

use super::aggregate::{Grouped, Grouping};
use super::aggregate_call::Called;
use super::group_window::{GroupWindow, property_type};
use super::literal;
use super::over::exchange;
use super::relation::{
    Draft, PlanBuilder, Relation, WINDOW_COLUMNS, WINDOW_END, WINDOW_START, WINDOW_TIME, forward,
    window_types,
};
use super::traits::{Traits, WindowColumns};
use crate::error::{Error, Result};
use crate::plan::{
    AggregateCall, AttachedWindow, ChangelogMode, Column, Input, NodeId, Operator, TimeDomain,
    Window, WindowKind, WindowProperty,
};
use crate::sql::expr::{Expr, Literal};
use crate::types::{FlinkType, TypeKind};

/// Name of the column that numbers the grouping sets.
///
/// # Source
/// Flink: `Expand` in EXPLAIN.
const EXPAND_ID: &str = "$e";

/// Columns that a Calc computes for an aggregation, each expression once.
#[derive(Debug, Default)]
struct Arguments {
    /// The expressions.
    exprs: Vec<Expr>,
}

impl Arguments {
    /// The column of an expression.
    fn column(&mut self, expr: &Expr) -> usize {
        let known = self.exprs.iter().position(|other| other == expr);
        known.unwrap_or_else(|| {
            self.exprs.push(expr.clone());
            self.exprs.len() - 1
        })
    }

    /// The columns of the calls of a grouping.
    fn calls(&mut self, aggregates: &[Called]) -> Vec<AggregateCall> {
        let mut call = |called: &Called| {
            let args: Vec<usize> = called.args.iter().map(|expr| self.column(expr)).collect();
            AggregateCall {
                function: called.function,
                argument: args.first().copied(),
                further: args.into_iter().skip(1).collect(),
                filter: called.filter.as_ref().map(|expr| self.column(expr)),
                distinct: called.distinct,
                ty: called.ty.clone(),
            }
        };
        aggregates.iter().map(&mut call).collect()
    }
}

/// What an aggregation is made of, over the columns of its input.
#[derive(Debug)]
struct Aggregation {
    /// The input.
    input: Input,
    /// Key columns, without those of a window.
    keys: Vec<usize>,
    /// The aggregates.
    calls: Vec<AggregateCall>,
}

/// The window columns among the keys.
#[derive(Debug)]
struct WindowKeys {
    /// The window, over the base of the relation.
    window: Window,
    /// For each key, the property it is; absent for other keys.
    properties: Vec<Option<WindowProperty>>,
}

impl PlanBuilder {
    /// Adds the aggregation of a relation.
    ///
    /// # Errors
    /// `Invalid` for a group window over a column that is no time attribute.
    pub(super) fn aggregate(
        &mut self,
        mut relation: Relation,
        grouping: Grouping,
    ) -> Result<Grouped> {
        relation.refuse_correlated("GROUP BY")?;
        if grouping.sets.is_some() {
            return self.aggregate_sets(relation, grouping);
        }
        if let Some(window) = &grouping.window {
            let relation = self.group_window_aggregate(relation, &grouping, window)?;
            return Ok(Grouped { relation, grouping });
        }
        if relation.window.is_some() && !self.is_plain_window(&relation, &grouping) {
            self.apply_window(&mut relation);
        }
        let windowed = self.window_keys(&relation, &grouping.keys);
        if let Some(keys) = &windowed {
            check_aggregated(&keys.window.kind)?;
        }
        let ttls = self.state_ttls.of_inputs(&[&relation]);
        let mut arguments = Arguments::default();
        let properties = windowed.as_ref().map_or_else(
            || vec![None; grouping.keys.len()],
            |keys| keys.properties.clone(),
        );
        let plain = grouping.keys.iter().zip(&properties);
        let keys: Vec<usize> = plain
            .filter(|(_, property)| property.is_none())
            .map(|(key, _)| arguments.column(key))
            .collect();
        let calls = arguments.calls(&grouping.aggregates);
        let windowed = windowed.map(|mut keys| {
            let schema = &self.node(relation.base).schema;
            let mut place =
                |column: usize| arguments.column(&Expr::column(column, schema[column].ty.clone()));
            keys.window.time = place(keys.window.time);
            keys.window.partition = keys.window.partition.iter().map(|c| place(*c)).collect();
            keys.window.attached = keys.window.attached.map(|window| AttachedWindow {
                start: place(window.start),
                end: place(window.end),
            });
            keys
        });
        let node = self.arguments(relation, arguments.exprs);
        let input = Input {
            node,
            exchange: exchange(&keys),
        };
        let relation = if let Some(window_keys) = windowed {
            let aggregation = Aggregation { input, keys, calls };
            self.window_aggregate(window_keys, aggregation)
        } else {
            let grouped = self.group_aggregate(input, keys, calls);
            self.set_state_ttls(grouped.base, ttls);
            grouped
        };
        Ok(Grouped { relation, grouping })
    }

    /// Computes what an aggregation reads; a batch has at least one column.
    fn arguments(&mut self, relation: Relation, mut exprs: Vec<Expr>) -> NodeId {
        if exprs.is_empty() {
            let one = Literal::Boolean(true);
            exprs.push(Expr::literal(one, TypeKind::Boolean.not_null()));
        }
        let mut schema = columns("f", exprs.iter().map(|expr| &expr.ty));
        let base = &self.node(relation.base).schema;
        for (column, expr) in schema.iter_mut().zip(&exprs) {
            if let Some(own) = expr.as_column().and_then(|index| base.get(index)) {
                column.name.clone_from(&own.name);
            }
        }
        self.calc(relation.base, relation.condition, exprs, schema)
    }

    /// Whether nothing but keys reads the columns of a pending window, so that rows need not be repeated for it.
    fn is_plain_window(&self, relation: &Relation, grouping: &Grouping) -> bool {
        let width = self.width(relation);
        let Some(keys) = self.window_keys(relation, &grouping.keys) else {
            return false;
        };
        if let Some(window) = &relation.window
            && matches!(window.kind, WindowKind::Session { .. })
            && !is_partition(&window.partition, &grouping.keys, &keys.properties)
        {
            return false;
        }
        let reads_window = |expr: &Expr| expr.columns().iter().any(|index| *index >= width);
        let plain_keys = grouping.keys.iter().zip(&keys.properties);
        let plain_keys = plain_keys.filter(|(_, property)| property.is_none());
        let mut read = plain_keys
            .map(|(key, _)| key)
            .chain(grouping.aggregated())
            .chain(&relation.condition);
        !read.any(reads_window)
    }

    /// The window columns among keys, when both start and end are grouped.
    fn window_keys(&self, relation: &Relation, keys: &[Expr]) -> Option<WindowKeys> {
        let traits = self.traits(relation);
        let columns = traits.window?;
        // Flink: sessions that were assigned before, and windows in processing time, are groups like any other.
        let is_session = matches!(columns.kind, WindowKind::Session { .. });
        if relation.window.is_none() && (is_session || columns.domain == TimeDomain::Processing) {
            return None;
        }
        let property = |key: &Expr| {
            let column = key.as_column()?;
            if columns.starts.contains(&column) {
                Some(WindowProperty::Start)
            } else if columns.ends.contains(&column) {
                Some(WindowProperty::End)
            } else if columns.times.contains(&column) {
                Some(WindowProperty::Time)
            } else {
                None
            }
        };
        let properties: Vec<Option<WindowProperty>> = keys.iter().map(property).collect();
        let find = |wanted: WindowProperty| {
            let index = properties.iter().position(|p| *p == Some(wanted))?;
            keys[index].as_column()
        };
        let attached = AttachedWindow {
            start: find(WindowProperty::Start)?,
            end: find(WindowProperty::End)?,
        };
        let window = relation.window.clone().unwrap_or_else(|| Window {
            time: attached.end,
            kind: columns.kind.clone(),
            time_zone: columns.time_zone.clone(),
            partition: Vec::new(),
            domain: columns.domain,
            attached: Some(attached),
        });
        Some(WindowKeys { window, properties })
    }

    /// Adds an aggregation per window.
    fn window_aggregate(&mut self, window_keys: WindowKeys, aggregation: Aggregation) -> Relation {
        let Aggregation { input, keys, calls } = aggregation;
        let window = window_keys.window;
        let schema = &self.node(input.node).schema;
        let window_types = match (window.domain, window.attached) {
            (TimeDomain::Processing, _) => window_types(&TypeKind::TimestampLtz(3).not_null()),
            (TimeDomain::Event, None) => window_types(&schema[window.time].ty),
            (TimeDomain::Event, Some(_)) => window_types(&TypeKind::Timestamp(3).not_null()),
        };
        let mut types: Vec<FlinkType> = keys.iter().map(|key| schema[*key].ty.clone()).collect();
        let mut properties = Vec::new();
        for property in [
            WindowProperty::Start,
            WindowProperty::End,
            WindowProperty::Time,
        ] {
            if window_keys.properties.contains(&Some(property)) {
                properties.push(property);
            }
        }
        types.extend(calls.iter().map(|call| call.ty.clone()));
        let first_property = types.len();
        types.extend(
            properties
                .iter()
                .map(|property| window_types[position(*property)].clone()),
        );
        let property_column =
            |property| first_property + properties.iter().position(|p| *p == property).unwrap_or(0);
        // The grouping's order is all keys, then aggregates; the node's is plain keys, aggregates, properties.
        let mut next = 0;
        let mut order: Vec<usize> = Vec::new();
        for property in &window_keys.properties {
            order.push(property.map_or(next, property_column));
            next += usize::from(property.is_none());
        }
        order.extend(keys.len()..keys.len() + calls.len());
        let has_time = properties.contains(&WindowProperty::Time);
        let time = has_time.then(|| property_column(WindowProperty::Time));
        let traits = window_traits(&window, (first_property, keys.len()), time);
        let schema = window_schema(&types, first_property, &properties);
        let node = self.add(Draft {
            operator: Operator::WindowAggregate {
                window,
                keys,
                aggregates: calls,
                properties,
            },
            inputs: vec![input],
            schema,
            changelog: ChangelogMode::Append,
            traits,
        });
        let all = self.relation(node);
        Relation {
            fields: order
                .into_iter()
                .map(|index| all.fields[index].clone())
                .collect(),
            ..all
        }
    }

    /// Adds an aggregation per group window.
    fn group_window_aggregate(
        &mut self,
        mut relation: Relation,
        grouping: &Grouping,
        window: &GroupWindow,
    ) -> Result<Relation> {
        self.apply_window(&mut relation);
        let mut window = window.over(self.time_domain(&relation, &window.time))?;
        let mut arguments = Arguments::default();
        let keys: Vec<usize> = grouping.keys.iter().map(|k| arguments.column(k)).collect();
        let calls = arguments.calls(&grouping.aggregates);
        let time = self.node(relation.base).schema[window.time].ty.clone();
        window.time = arguments.column(&Expr::column(window.time, time.clone()));
        let node = self.arguments(relation, arguments.exprs);
        let key_schema = &self.node(node).schema;
        let mut schema: Vec<Column> = keys.iter().map(|key| key_schema[*key].clone()).collect();
        schema.extend(columns("a", calls.iter().map(|call| &call.ty)));
        let types = window_types(&time);
        let first_property = schema.len();
        let mut traits = Traits::default();
        for property in &grouping.properties {
            let column = schema.len();
            match (property, window.domain) {
                (WindowProperty::Time, TimeDomain::Event) => {
                    traits.rowtimes.insert(column);
                }
                (WindowProperty::Time | WindowProperty::Proctime, _) => {
                    traits.proctimes.insert(column);
                }
                (WindowProperty::Start | WindowProperty::End, _) => {}
            }
            schema.push(Column {
                name: format!("w${}", column - first_property),
                ty: property_type(*property, &types),
            });
        }
        let draft = Draft {
            inputs: vec![Input {
                node,
                exchange: exchange(&keys),
            }],
            operator: Operator::GroupWindowAggregate {
                window,
                keys,
                aggregates: calls,
                properties: grouping.properties.clone(),
            },
            schema,
            changelog: ChangelogMode::Append,
            traits,
        };
        let node = self.add(draft);
        Ok(self.relation(node))
    }

    /// Adds an aggregation for each grouping set.
    ///
    /// # Source
    /// Flink: `Expand` repeats every row with NULL for the keys that a set leaves out and a number for the set.
    fn aggregate_sets(&mut self, mut relation: Relation, grouping: Grouping) -> Result<Grouped> {
        if grouping.window.is_some() {
            return Err(Error::unsupported("GROUPING SETS with a group window"));
        }
        self.apply_window(&mut relation);
        let width = self.width(&relation);
        let (relation, key_columns) = self.extend(relation, &grouping.keys);
        // A window is one of the result only where every set is grouped by it.
        let windowed = self.window_keys(&relation, &grouping.keys);
        let is_window = |index: usize| {
            let property = windowed.as_ref().and_then(|keys| keys.properties[index]);
            property.is_some() && !grouping.is_left_out(index)
        };
        let first = key_columns.len();
        let expanded = self.expand(relation.base, &grouping, (&key_columns, width, &is_window));
        let schema = &self.node(expanded).schema;
        let key_exprs: Vec<Expr> = (0..first)
            .chain([schema.len() - 1])
            .map(|index| Expr::column(index, schema[index].ty.clone()))
            .collect();
        let shift = |expr: &Expr| expr.map_columns(&|column| first + column);
        let mut inner = Grouping::new(&key_exprs);
        inner.aggregates = grouping
            .aggregates
            .iter()
            .map(|called| Called {
                args: called.args.iter().map(shift).collect(),
                filter: called.filter.as_ref().map(shift),
                ..called.clone()
            })
            .collect();
        let rows = self.relation(expanded);
        let mut grouped = self.aggregate(rows, inner)?.relation;
        // The number of the set is the last key; it goes behind the aggregates.
        let id = grouped.fields.remove(first);
        grouped.fields.push(id);
        Ok(Grouped {
            relation: grouped,
            grouping,
        })
    }

    /// Repeats every row for each grouping set: keys first, NULL when the set leaves them out, then the first `width` columns of the
    /// input, then the number of the set.
    fn expand(
        &mut self,
        from: NodeId,
        grouping: &Grouping,
        (key_columns, width, is_window): (&[usize], usize, &dyn Fn(usize) -> bool),
    ) -> NodeId {
        let sets = grouping.sets.clone().unwrap_or_default();
        let base = self.node(from).clone();
        // Keys first, then the columns of the base as they are, then the number.
        let mut projections = Vec::with_capacity(sets.len());
        for (number, set) in sets.iter().enumerate() {
            let keys = key_columns.iter().enumerate().map(|(index, column)| {
                let value = Expr::column(*column, base.schema[*column].ty.clone());
                if set.contains(&index) {
                    value
                } else {
                    literal::null(&value.ty)
                }
            });
            let others = (0..width).map(|c| Expr::column(c, base.schema[c].ty.clone()));
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            let id = literal::constant(Literal::Integer(number), TypeKind::BigInt);
            projections.push(keys.chain(others).chain([id]).collect::<Vec<Expr>>());
        }
        let first = key_columns.len();
        let mut schema: Vec<Column> = (0..first)
            .map(|index| {
                let own = &base.schema[key_columns[index]];
                let is_null = grouping.is_left_out(index);
                Column {
                    name: own.name.clone(),
                    ty: own.ty.with_nullable(own.ty.nullable || is_null),
                }
            })
            .collect();
        schema.extend(base.schema[..width].iter().cloned());
        schema.push(Column {
            name: EXPAND_ID.to_owned(),
            ty: TypeKind::BigInt.not_null(),
        });
        let mut traits = self.traits_of(from).mapped(&|column| {
            let keys =
                (0..first).filter(|index| key_columns[*index] == column && is_window(*index));
            let own = (column < width).then_some(first + column);
            keys.chain(own).collect()
        });
        traits.keys.clear();
        self.add(Draft {
            operator: Operator::Expand { projections },
            inputs: vec![forward(from)],
            schema,
            changelog: base.changelog,
            traits,
        })
    }

    /// Adds an aggregation that never ends.
    pub(super) fn group_aggregate(
        &mut self,
        input: Input,
        keys: Vec<usize>,
        aggregates: Vec<AggregateCall>,
    ) -> Relation {
        let schema = &self.node(input.node).schema;
        let key_columns = keys.iter().map(|key| schema[*key].clone());
        let results = columns("a", aggregates.iter().map(|call| &call.ty));
        let below = self.exchanged_traits(input.node, &keys);
        let places = |column: usize| -> Vec<usize> {
            let found = keys.iter().position(|key| *key == column);
            found.into_iter().collect()
        };
        let below = below.mapped(&places);
        let mut traits = Traits {
            window: below.window,
            ..Traits::default()
        }
        .with_key((0..keys.len()).collect());
        // A key of the input among the group keys identifies the groups as well.
        for key in below.keys {
            traits.add_key(key);
        }
        let draft = Draft {
            schema: key_columns.chain(results).collect(),
            inputs: vec![input],
            changelog: ChangelogMode::Retract,
            traits,
            operator: Operator::GroupAggregate { keys, aggregates },
        };
        let node = self.add(draft);
        self.relation(node)
    }

    /// Adds what DISTINCT means: a group for each row.
    pub(super) fn distinct(&mut self, relation: Relation) -> Relation {
        let old = relation.fields.clone();
        let (relation, keys) = if relation.correlated.is_empty() {
            let input = self.materialize(relation);
            (self.relation(input), (0..old.len()).collect())
        } else {
            let exprs: Vec<Expr> = old.iter().map(|field| field.expr.clone()).collect();
            self.extend(relation, &exprs)
        };
        let mut keys: Vec<usize> = keys;
        let shown = keys.len();
        let inner = relation.correlated.iter().flat_map(Expr::columns);
        for column in inner {
            if !keys.contains(&column) {
                keys.push(column);
            }
        }
        let places = keys.clone();
        let edge = Input {
            exchange: exchange(&keys),
            ..forward(relation.base)
        };
        let mut grouped = self.group_aggregate(edge, keys, Vec::new());
        let place = |column: usize| places.iter().position(|c| *c == column).unwrap_or(column);
        grouped.correlated = relation
            .correlated
            .iter()
            .map(|condition| condition.map_columns(&place))
            .collect();
        grouped.fields.truncate(shown);
        for (field, old) in grouped.fields.iter_mut().zip(old) {
            field.name = old.name;
            field.hidden = old.hidden;
        }
        grouped
    }
}

/// Refuses windows that rows can be assigned to and that cannot be aggregated.
///
/// # Source
/// Flink 2.3: `HOP table function based aggregate requires ...`.
fn check_aggregated(kind: &WindowKind) -> Result<()> {
    match kind {
        WindowKind::Hop {
            size_ms, slide_ms, ..
        } if size_ms % slide_ms != 0 => Err(Error::validation(format!(
            "HOP table function based aggregate requires size must be an integral multiple of slide, but got size {size_ms} ms and slide {slide_ms} ms"
        ))),
        WindowKind::Tumble { .. }
        | WindowKind::Hop { .. }
        | WindowKind::Cumulate { .. }
        | WindowKind::Session { .. } => Ok(()),
    }
}

/// Whether the keys that are no window columns are what sessions are partitioned by.
///
/// # Source
/// Flink: only then the sessions are those of the aggregation; else rows get their windows before.
fn is_partition(partition: &[usize], keys: &[Expr], properties: &[Option<WindowProperty>]) -> bool {
    let plain = keys.iter().zip(properties);
    let plain = plain.filter(|(_, property)| property.is_none());
    let columns: Option<BTreeSet<usize>> = plain.map(|(key, _)| key.as_column()).collect();
    columns.is_some_and(|columns| columns == partition.iter().copied().collect())
}

/// What is known of the columns of an aggregation per window, whose first property is at `first`.
fn window_traits(window: &Window, (first, keys): (usize, usize), time: Option<usize>) -> Traits {
    let times: BTreeSet<usize> = time.into_iter().collect();
    let (rowtimes, proctimes) = match window.domain {
        TimeDomain::Event => (times.clone(), BTreeSet::new()),
        TimeDomain::Processing => (BTreeSet::new(), times.clone()),
    };
    let traits = Traits {
        rowtimes,
        proctimes,
        window: Some(WindowColumns {
            starts: [first + WINDOW_START].into(),
            ends: [first + WINDOW_END].into(),
            times,
            kind: window.kind.clone(),
            time_zone: window.time_zone.clone(),
            domain: window.domain,
        }),
        keys: Vec::new(),
    };
    traits.with_key((0..keys).chain([first, first + 1]).collect())
}

/// Position of a window property among the window columns.
fn position(property: WindowProperty) -> usize {
    match property {
        WindowProperty::Start => WINDOW_START,
        WindowProperty::End => WINDOW_END,
        WindowProperty::Time | WindowProperty::Proctime => WINDOW_TIME,
    }
}

/// Columns of a window aggregation: keys and results are numbered, properties have their names.
fn window_schema(
    types: &[FlinkType],
    first_property: usize,
    properties: &[WindowProperty],
) -> Vec<Column> {
    let mut schema = columns("f", types);
    for (column, property) in schema[first_property..].iter_mut().zip(properties) {
        WINDOW_COLUMNS[position(*property)].clone_into(&mut column.name);
    }
    schema
}

/// Columns with numbered names.
fn columns<'a>(prefix: &str, types: impl IntoIterator<Item = &'a FlinkType>) -> Vec<Column> {
    types
        .into_iter()
        .enumerate()
        .map(|(index, ty)| Column {
            name: format!("{prefix}{index}"),
            ty: ty.clone(),
        })
        .collect()
}
