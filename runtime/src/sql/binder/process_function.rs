//! Functions over whole tables: `FROM_CHANGELOG` and `TO_CHANGELOG`.
//!
//! Place in the flow: table functions in FROM that make changes of rows and rows of changes. Invariant: the columns are those of
//! the input, keys first, with or without the one of the kind of change.

use super::expression::ExprBinder;
use super::over::exchange;
use super::query::QueryBinder;
use super::relation::{Draft, Relation};
use super::traits::Traits;
use super::window_tvf::{Arguments, Data, argument, descriptor, usage};
use crate::error::{Error, Result, Span, unknown_name};
use crate::plan::{ChangelogMode, Column, Exchange, Input, Operator};
use crate::sql::expr::Expr;
use crate::types::TypeKind;

/// The column of the kind of change, unless DESCRIPTOR names another.
///
/// # Source
/// Flink 2.3: `FROM_CHANGELOG` and `TO_CHANGELOG`.
const OP_COLUMN: &str = "op";

/// A call of a function over a whole table.
struct ProcessCall<'a> {
    /// Upper-case name.
    name: &'a str,
    /// The column of the kind of change.
    op: String,
    /// The other arguments.
    args: Vec<(String, Expr)>,
    /// `PARTITION BY`, as positions of the fields of the input.
    partition: Vec<usize>,
}

impl QueryBinder<'_> {
    /// Binds a call of a function over a whole table.
    pub(super) fn process_function(
        &mut self,
        name: &str,
        args: &Arguments<'_>,
        span: Span,
    ) -> Result<Relation> {
        let Some(input) = argument(args, "INPUT") else {
            return Err(Error::type_mismatch(usage(name)).with_span(span));
        };
        let Data {
            mut relation,
            partition,
        } = self.table_argument(input)?;
        relation.refuse_correlated(name)?;
        relation.fields.retain(|field| !field.hidden);
        let op = match argument(args, "OP") {
            Some(ast) => descriptor(ast)?.value.clone(),
            None => OP_COLUMN.to_owned(),
        };
        let mut constants = vec![("OP".to_owned(), super::literal::word(&op))];
        for (key, ast) in args {
            if !matches!(*key, "INPUT" | "OP") {
                constants.push(((*key).to_owned(), ExprBinder::new(&[]).bind(ast)?));
            }
        }
        let call = ProcessCall {
            name,
            op,
            args: constants,
            partition,
        };
        self.process_node(relation, call)
            .map_err(|error| error.with_span(span))
    }

    /// Adds the node of a function over a whole table.
    fn process_node(&mut self, relation: Relation, call: ProcessCall<'_>) -> Result<Relation> {
        let ProcessCall {
            name,
            op,
            args,
            partition,
        } = call;
        let node = self.builder.materialize(relation);
        let below = self.builder.node(node).clone();
        let op_column = Column {
            name: op.clone(),
            ty: TypeKind::string().not_null(),
        };
        let is_key = |index: &usize| partition.contains(index);
        // The columns of the input in the order of the result; the kind of change stands behind the keys.
        let mut order: Vec<usize> = partition.clone();
        let is_producing = name == "TO_CHANGELOG";
        let changelog = if is_producing {
            order.extend((0..below.schema.len()).filter(|index| !is_key(index)));
            ChangelogMode::Append
        } else {
            let at = below.schema.iter().position(|column| column.name == op);
            let Some(at) = at.filter(|at| below.schema[*at].ty.kind.is_character()) else {
                let names = below.schema.iter().map(|column| column.name.as_str());
                return Err(unknown_name("op column", &op, names));
            };
            if below.changelog != ChangelogMode::Append {
                return Err(Error::validation(
                    "FROM_CHANGELOG takes a table that only inserts",
                ));
            }
            order.extend((0..below.schema.len()).filter(|index| !is_key(index) && *index != at));
            ChangelogMode::Retract
        };
        let keys = partition.len();
        let mut schema: Vec<Column> = order.iter().map(|i| below.schema[*i].clone()).collect();
        if is_producing {
            schema.insert(keys, op_column);
        }
        let place = |column: usize| -> Vec<usize> {
            let found = order.iter().position(|known| *known == column);
            let moved = found.map(|at| at + usize::from(is_producing && at >= keys));
            moved.into_iter().collect()
        };
        let traits = Traits {
            keys: Vec::new(),
            window: None,
            ..self.builder.traits_of(node).mapped(&place)
        };
        let draft = Draft {
            inputs: vec![Input {
                node,
                exchange: if partition.is_empty() {
                    Exchange::Forward
                } else {
                    exchange(&partition)
                },
            }],
            operator: Operator::ProcessTableFunction {
                function: name.to_owned(),
                args,
                partition,
            },
            schema,
            changelog,
            traits,
        };
        let node = self.builder.add(draft);
        Ok(self.builder.relation(node))
    }
}
