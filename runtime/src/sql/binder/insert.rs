//! INSERT: a query's rows into a table, and a foreground query's into its results.
//!
//! Place in the flow: ends every plan with sinks. Invariant: the rows that a sink gets have its columns, its types and only
//! kinds of change it can write; what cannot be written exactly is refused.

use super::QueryInfo;
use super::literal;
use super::names;
use super::options::connector;
use super::over::exchange;
use super::query::QueryBinder;
use super::relation::{Draft, Field, PlanBuilder, Relation, Using};
use super::scan::changelog_mode;
use super::traits::Traits;
use crate::error::{Error, Result};
use crate::plan::{
    ChangelogMode, Column, ConflictStrategy, Exchange, Input, Node, NodeId, Operator, SinkSpec,
    SinkTarget, StreamPlan, UpsertMaterialize,
};
use crate::sql::ast::{Ident, Insert};
use crate::sql::catalog::{ColumnKind, TableColumn, TableDef};
use crate::sql::typing::implicit_cast;

/// Property with which a sink by another key than the query's needs ON CONFLICT.
///
/// # Source
/// Flink 2.3, where it is true unless set. Here it is not: in Confluent Cloud such statements run with a warning.
const REQUIRE_ON_CONFLICT: &str = "table.exec.sink.require-on-conflict";

/// Columns that a sink writes, in order.
fn persisted(table: &TableDef) -> Vec<&TableColumn> {
    let is_persisted = |column: &&TableColumn| match column.kind {
        ColumnKind::Physical => true,
        ColumnKind::Metadata { is_virtual, .. } => !is_virtual,
        ColumnKind::Computed(_) => false,
    };
    table.columns.iter().filter(is_persisted).collect()
}

impl QueryBinder<'_> {
    /// Binds one INSERT.
    ///
    /// # Errors
    /// `Invalid` when the query does not fit the table, `Unsupported` for changes that cannot be written exactly.
    pub(super) fn insert(&mut self, insert: &Insert) -> Result<()> {
        let table = names::table(&insert.table, self.catalog, self.session)?;
        let relation = self.bind(&insert.query)?;
        let on_conflict = insert.on_conflict.map(|(strategy, _)| strategy);
        self.insert_into(&table, (&insert.columns, on_conflict), relation)
            .map_err(|error| error.with_span(insert.table.span()))
    }

    /// Ends a relation in a table.
    pub(super) fn insert_into(
        &mut self,
        table: &TableDef,
        (columns, on_conflict): (&[Ident], Option<ConflictStrategy>),
        relation: Relation,
    ) -> Result<()> {
        if let source @ ("faker" | "datagen") = connector(&table.options) {
            return Err(Error::validation(format!(
                "table {} cannot be written: connector '{source}' is only a source",
                table.name
            )));
        }
        relation.refuse_correlated("INSERT")?;
        let relation = fit(table, columns, relation)?;
        let node = self.builder.materialize(relation);
        let node = self.snapshot(node);
        let persisted = persisted(table);
        let primary_key: Vec<usize> = table
            .primary_key
            .iter()
            .filter_map(|key| persisted.iter().position(|column| column.name == *key))
            .collect();
        let mode = match connector(&table.options) {
            "print" | "blackhole" => ChangelogMode::Retract,
            _ => changelog_mode(table)?,
        };
        let node = self.builder.with_upsert_key(node, &primary_key);
        let columns: Vec<Column> = persisted
            .iter()
            .map(|column| Column {
                name: column.name.clone(),
                ty: column.ty.clone(),
            })
            .collect();
        let node = self.constrained(node, &columns)?;
        self.builder
            .check_conflict(table, node, (mode, on_conflict))?;
        let is_required = self.session.get(REQUIRE_ON_CONFLICT);
        if on_conflict.is_none() && is_required.is_some_and(|set| set.eq_ignore_ascii_case("true"))
        {
            self.builder.check_own_key(table, node, &primary_key)?;
        }
        let (exchange, upsert_materialize) =
            self.builder
                .sink_exchange(table, node, (mode, &primary_key, on_conflict))?;
        let mut input = Input { node, exchange };
        if upsert_materialize {
            input = self
                .builder
                .upsert_materialize(input, &primary_key, on_conflict);
        }
        let spec = SinkSpec {
            target: SinkTarget::Table(table.clone()),
            columns,
            primary_key,
            changelog: mode,
            upsert_materialize,
            on_conflict,
        };
        self.builder.sink(input, spec);
        Ok(())
    }

    /// The rows of a node, without changes when the query is a snapshot.
    ///
    /// # Source
    /// Confluent: `sql.snapshot.mode = now` runs a query in batch mode.
    pub(super) fn snapshot(&mut self, node: NodeId) -> NodeId {
        let below = self.builder.node(node);
        if !self.is_snapshot() || below.changelog == ChangelogMode::Append {
            return node;
        }
        let partition = below.upsert_key.clone().unwrap_or_default();
        let draft = Draft {
            inputs: vec![Input {
                node,
                exchange: exchange(&partition),
            }],
            schema: below.schema.clone(),
            changelog: ChangelogMode::Append,
            traits: Traits {
                keys: self.builder.traits_of(node).keys.clone(),
                ..Traits::default()
            },
            operator: Operator::Snapshot { partition },
        };
        self.builder.add(draft)
    }

    /// Whether the session asks for a snapshot.
    pub(super) fn is_snapshot(&self) -> bool {
        let mode = self.session.get("sql.snapshot.mode");
        mode.is_some_and(|mode| mode.eq_ignore_ascii_case("now"))
    }

    /// Ends a foreground query.
    ///
    /// # Errors
    /// As [`PlanBuilder::finish`].
    pub(super) fn results(mut self, mut relation: Relation) -> Result<(StreamPlan, QueryInfo)> {
        relation.refuse_correlated("a query")?;
        relation.fields.retain(|field| !field.hidden);
        let columns: Vec<Column> = relation
            .fields
            .iter()
            .map(|field| Column {
                name: field.name.clone(),
                ty: field.expr.ty.clone(),
            })
            .collect();
        let node = self.builder.materialize(relation);
        let node = self.snapshot(node);
        let changelog = self.builder.node(node).changelog;
        let upsert_columns = self.builder.node(node).upsert_key.clone();
        let spec = SinkSpec {
            target: SinkTarget::Results,
            columns: columns.clone(),
            primary_key: Vec::new(),
            changelog: ChangelogMode::Retract,
            upsert_materialize: false,
            on_conflict: None,
        };
        self.builder.sink(super::relation::forward(node), spec);
        let plan = self.builder.finish(self.session.local_time_zone())?;
        let info = QueryInfo {
            sql_kind: "SELECT",
            columns,
            is_bounded: is_bounded(&plan),
            is_append_only: changelog == ChangelogMode::Append,
            upsert_columns,
        };
        Ok((plan, info))
    }

    /// Ends a statement that only writes tables.
    ///
    /// # Errors
    /// As [`PlanBuilder::finish`].
    pub(super) fn written(self, sql_kind: &'static str) -> Result<(StreamPlan, QueryInfo)> {
        let plan = self.builder.finish(self.session.local_time_zone())?;
        let is_sink = |node: &&Node| matches!(node.operator, Operator::Sink(_));
        let info = QueryInfo {
            sql_kind,
            columns: Vec::new(),
            is_bounded: is_bounded(&plan),
            is_append_only: plan
                .nodes
                .iter()
                .filter(is_sink)
                .all(|node| node.changelog == ChangelogMode::Append),
            upsert_columns: None,
        };
        Ok((plan, info))
    }
}

impl PlanBuilder {
    /// Adds a sink.
    fn sink(&mut self, input: Input, spec: SinkSpec) {
        let below = self.node(input.node);
        let draft = Draft {
            schema: spec.columns.clone(),
            changelog: below.changelog,
            traits: self.traits_of(input.node).clone(),
            operator: Operator::Sink(spec),
            inputs: vec![input],
        };
        self.add(draft);
    }

    /// Adds the node that makes one row of those that meet in a primary key.
    fn upsert_materialize(
        &mut self,
        input: Input,
        primary_key: &[usize],
        on_conflict: Option<ConflictStrategy>,
    ) -> Input {
        let below = self.node(input.node).clone();
        let traits = Traits {
            keys: Vec::new(),
            ..self.traits_of(input.node).clone()
        };
        let draft = Draft {
            operator: Operator::UpsertMaterialize(UpsertMaterialize {
                primary_key: primary_key.to_vec(),
                upsert_key: below.upsert_key,
                on_conflict: on_conflict.unwrap_or(ConflictStrategy::Deduplicate),
            }),
            inputs: vec![input],
            schema: below.schema,
            changelog: ChangelogMode::Upsert,
            traits: traits.with_key(primary_key.to_vec()),
        };
        super::relation::forward(self.add(draft))
    }

    /// The node, or one like it, with the key that is wanted as its first, when it has that key.
    fn with_upsert_key(&mut self, node: NodeId, wanted: &[usize]) -> NodeId {
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        let index = node.0 as usize - 1;
        let keys = &mut self.traits[index].keys;
        if let Some(at) = keys.iter().position(|key| *key == wanted)
            && at > 0
        {
            let key = keys.remove(at);
            keys.insert(0, key.clone());
            self.nodes[index].upsert_key = Some(key);
        }
        node
    }

    /// How rows reach a sink, when it can take their changes, and whether it must keep what it has written.
    ///
    /// # Source
    /// Flink: a sink by a primary key that is not the query's upsert key materializes, so that changes of several rows of one
    /// primary key that arrive in another order end in the last row.
    fn sink_exchange(
        &self,
        table: &TableDef,
        input: NodeId,
        (mode, key, on_conflict): (ChangelogMode, &[usize], Option<ConflictStrategy>),
    ) -> Result<(Exchange, bool)> {
        let node = self.node(input);
        let mut wanted = key.to_vec();
        wanted.sort_unstable();
        let is_own_key = self.traits_of(input).keys.contains(&wanted);
        match (node.changelog, mode) {
            // Rows of one key must stay in order; the last one wins unless something else is asked for.
            (ChangelogMode::Append, ChangelogMode::Upsert) => {
                let may_meet = match on_conflict {
                    None | Some(ConflictStrategy::Deduplicate) => false,
                    Some(ConflictStrategy::Error | ConflictStrategy::Nothing) => !is_own_key,
                };
                Ok((Exchange::Hash(key.to_vec()), may_meet))
            }
            (ChangelogMode::Append, ChangelogMode::Append | ChangelogMode::Retract)
            | (ChangelogMode::Retract, ChangelogMode::Retract) => Ok((Exchange::Forward, false)),
            (ChangelogMode::Upsert | ChangelogMode::Retract, ChangelogMode::Append) => {
                Err(Error::validation(format!(
                    "table sink {} doesn't support consuming update and delete changes which is produced by node {}: give the table a PRIMARY KEY or 'changelog.mode' = 'retract'",
                    table.name,
                    self.updating_node(input)
                )))
            }
            (ChangelogMode::Upsert, ChangelogMode::Retract) => Err(Error::unsupported(format!(
                "an upsert query into the retract table {}",
                table.name
            ))),
            (ChangelogMode::Upsert | ChangelogMode::Retract, ChangelogMode::Upsert) => {
                if is_own_key {
                    return Ok((Exchange::Forward, false));
                }
                Ok((Exchange::Hash(key.to_vec()), true))
            }
        }
    }

    /// Refuses a table by a primary key that is not the query's upsert key.
    fn check_own_key(&self, table: &TableDef, input: NodeId, key: &[usize]) -> Result<()> {
        let mut wanted = key.to_vec();
        wanted.sort_unstable();
        if changelog_mode(table)? != ChangelogMode::Upsert
            || self.traits_of(input).keys.contains(&wanted)
        {
            return Ok(());
        }
        Err(Error::validation(format!(
            "the query's upsert key is not the primary key ({}) of {}, so rows may meet in it: say what happens then with ON CONFLICT DO DEDUPLICATE (the last wins, and all are kept as state), DO ERROR or DO NOTHING (the first stays), or set '{REQUIRE_ON_CONFLICT}' = 'false'",
            table.primary_key.join(", "),
            table.name
        )))
    }

    /// Refuses ON CONFLICT where Flink does.
    ///
    /// # Source
    /// Flink 2.3: only upsert sinks take it; all strategies but DEDUPLICATE need watermarks, since rows wait for them.
    fn check_conflict(
        &self,
        table: &TableDef,
        input: NodeId,
        (mode, on_conflict): (ChangelogMode, Option<ConflictStrategy>),
    ) -> Result<()> {
        let Some(strategy) = on_conflict else {
            return Ok(());
        };
        if mode == ChangelogMode::Append || table.primary_key.is_empty() {
            return Err(Error::validation(format!(
                "ON CONFLICT clause is only allowed for upsert sinks, and {} is not one",
                table.name
            )));
        }
        if strategy == ConflictStrategy::Deduplicate {
            return Ok(());
        }
        let mut open = vec![input];
        while let Some(id) = open.pop() {
            let node = self.node(id);
            if let Operator::TableSourceScan(scan) = &node.operator
                && scan.watermark.is_none()
            {
                return Err(Error::validation(format!(
                    "ON CONFLICT requires all source tables to define watermarks, and {} has none",
                    scan.table.name
                )));
            }
            open.extend(node.inputs.iter().map(|input| input.node));
        }
        Ok(())
    }

    /// The node where updates come from, as Flink prints it.
    fn updating_node(&self, from: NodeId) -> String {
        let mut node = self.node(from);
        while let Some(input) = node
            .inputs
            .iter()
            .find(|input| self.node(input.node).changelog != ChangelogMode::Append)
        {
            node = self.node(input.node);
        }
        match &node.operator {
            Operator::GroupAggregate { keys, .. } => {
                let names: Vec<&str> = node.schema[..keys.len()]
                    .iter()
                    .map(|column| column.name.as_str())
                    .collect();
                format!("GroupAggregate(groupBy=[{}])", names.join(", "))
            }
            _ => crate::plan::explain::node_name(node),
        }
    }
}

/// The relation with exactly the persisted columns of a table.
fn fit(table: &TableDef, columns: &[Ident], mut relation: Relation) -> Result<Relation> {
    relation.fields.retain(|field| !field.hidden);
    let all = persisted(table);
    let mut targets: Vec<&TableColumn> = Vec::new();
    for ident in columns {
        let names = all.iter().map(|column| column.name.as_str());
        let target = all
            .iter()
            .find(|column| column.name == ident.value)
            .ok_or_else(|| {
                crate::error::unknown_name("column", &ident.value, names).with_span(ident.span)
            })?;
        if targets.contains(target) {
            return Err(Error::validation(format!(
                "target column '{}' is assigned more than once",
                ident.value
            ))
            .with_span(ident.span));
        }
        targets.push(target);
    }
    if columns.is_empty() {
        targets.clone_from(&all);
    }
    if targets.len() != relation.fields.len() {
        let query = relation
            .fields
            .iter()
            .map(|field| format!("{}: {}", field.name, field.expr.ty));
        let sink = targets
            .iter()
            .map(|column| format!("{}: {}", column.name, column.ty));
        return Err(Error::validation(format!(
            "column types of query result and sink for {} do not match: different number of columns; query schema: [{}]; sink schema: [{}]",
            table.name,
            query.collect::<Vec<_>>().join(", "),
            sink.collect::<Vec<_>>().join(", ")
        )));
    }
    let mut fields = Vec::with_capacity(all.len());
    for column in all {
        let position = targets.iter().position(|target| target.name == column.name);
        let expr = match position {
            Some(index) => {
                let expr = relation.fields[index].expr.clone();
                let (ty, span) = (expr.ty.clone(), expr.span);
                implicit_cast(expr, &column.ty.with_nullable(ty.nullable)).map_err(|_| {
                    Error::type_mismatch(format!(
                        "column types of query result and sink for {} do not match: incompatible types for sink column '{}' at position {index}: the query has {ty}, the sink {}; add a CAST",
                        table.name, column.name, column.ty
                    ))
                    .with_span(span)
                })?
            }
            None if column.ty.nullable => literal::null(&column.ty),
            None => {
                return Err(Error::validation(format!(
                    "column '{}' has no default value and does not allow NULLs",
                    column.name
                )));
            }
        };
        fields.push(Field {
            name: column.name.clone(),
            qualifier: None,
            expr,
            hidden: false,
            using: Using::No,
        });
    }
    Ok(Relation { fields, ..relation })
}

/// Whether every source of a plan ends by itself.
fn is_bounded(plan: &StreamPlan) -> bool {
    plan.nodes.iter().all(|node| match &node.operator {
        Operator::TableSourceScan(scan) => table_is_bounded(&scan.table),
        _ => true,
    })
}

/// Whether a table ends by itself.
pub(super) fn table_is_bounded(table: &TableDef) -> bool {
    match connector(&table.options) {
        "filesystem" => true,
        "faker" => table.option("number-of-rows").is_some(),
        "datagen" => {
            table.option("number-of-rows").is_some()
                || table.options.iter().any(|(key, value)| {
                    value == "sequence" && key.rsplit('.').next() == Some("kind")
                })
        }
        _ => table
            .option("scan.bounded.mode")
            .is_some_and(|mode| !mode.eq_ignore_ascii_case("unbounded")),
    }
}
