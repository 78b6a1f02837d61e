//! Functions over whole tables: `FROM_CHANGELOG` and `TO_CHANGELOG`.
//!
//! Place in the flow: table functions in FROM that make changes of rows and rows of changes. Invariant: the columns are those of
//! the input, with or without the one of the code of the change, and what Flink 2.3 does not take is refused.

use std::collections::BTreeMap;

use sqlparser::ast::{Expr as Ast, Value};

use super::call::{function_name, positional};
use super::expression::{ExprBinder, place};
use super::query::QueryBinder;
use super::relation::{Draft, Field, Relation, Using, forward};
use super::traits::Traits;
use super::window_tvf::{Arguments, Data, argument, descriptor, usage};
use crate::batch::RowKind;
use crate::error::{Error, Result, Span, unknown_name};
use crate::plan::{ChangelogMode, Column, NodeId, Operator, ProcessTableFunction, TimeDomain};
use crate::sql::expr::{ExprKind, Literal};
use crate::types::TypeKind;

/// The column of the code of the change, unless DESCRIPTOR names another.
///
/// # Source
/// Flink 2.3: `FROM_CHANGELOG` and `TO_CHANGELOG`.
const OP_COLUMN: &str = "op";

/// The column that `on_time` adds.
///
/// # Source
/// Flink: process table functions with `on_time`.
const TIME_COLUMN: &str = "rowtime";

/// Kinds of change by the names that mappings have for them.
///
/// # Source
/// Flink: `RowKind`.
const KINDS: [(&str, RowKind); 4] = [
    ("INSERT", RowKind::Insert),
    ("UPDATE_BEFORE", RowKind::UpdateBefore),
    ("UPDATE_AFTER", RowKind::UpdateAfter),
    ("DELETE", RowKind::Delete),
];

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
        if !partition.is_empty() {
            return Err(Error::validation(format!(
                "{name} takes no PARTITION BY: leave it out, the changes of a key stay in order without it"
            ))
            .with_span(place(input)));
        }
        relation.refuse_correlated(name)?;
        relation.fields.retain(|field| !field.hidden);
        check_uid(args)?;
        let time = self.on_time(name, args, &relation)?;
        let op = match given(args, "OP")? {
            Some(ast) => descriptor(ast)?.value.clone(),
            None => OP_COLUMN.to_owned(),
        };
        let node = self.builder.materialize(relation);
        let found = match name {
            "TO_CHANGELOG" => self.rows_of_changes(node, op, args),
            _ => self.changes_of_rows(node, &op, args),
        };
        let mut relation = found.map_err(|error| error.with_span(span))?;
        if let Some(time) = time {
            let mut field = relation.fields[time + 1].clone();
            TIME_COLUMN.clone_into(&mut field.name);
            relation.fields.push(Field {
                using: Using::No,
                ..field
            });
        }
        Ok(relation)
    }

    /// The column that `on_time` names.
    ///
    /// # Source
    /// Flink 2.3: it adds a column `rowtime` with the time of the row; functions that make or take changes refuse it.
    fn on_time(
        &self,
        name: &str,
        args: &Arguments<'_>,
        relation: &Relation,
    ) -> Result<Option<usize>> {
        let Some(ast) = given(args, "ON_TIME")? else {
            return Ok(None);
        };
        let refused = |why: String| Err(Error::validation(why).with_span(place(ast)));
        let column = &descriptor(ast)?.value;
        let fields = &relation.fields;
        let Some(at) = fields.iter().position(|field| field.name == *column) else {
            let names = fields.iter().map(|field| field.name.as_str());
            return Err(unknown_name("column", column, names).with_span(place(ast)));
        };
        let domain = self.builder.time_domain(relation, &fields[at].expr);
        if domain != Some(TimeDomain::Event) {
            return refused(format!(
                "column \"{column}\" is not a valid time attribute for on_time: use the column of the table's WATERMARK, unchanged"
            ));
        }
        let is_updating = self.builder.node(relation.base).changelog != ChangelogMode::Append;
        if name == "FROM_CHANGELOG" || is_updating {
            return refused(format!(
                "{name} takes on_time only where it neither takes nor makes updates: leave it out, time attributes stay what they are"
            ));
        }
        if fields.iter().any(|field| field.name == TIME_COLUMN) {
            return refused(format!(
                "on_time adds a column \"{TIME_COLUMN}\", and the input has one: rename it in a subquery"
            ));
        }
        Ok(Some(at))
    }

    /// Adds the node that makes rows of changes.
    fn rows_of_changes(
        &mut self,
        input: NodeId,
        op: String,
        args: &Arguments<'_>,
    ) -> Result<Relation> {
        check_full_deletes(args)?;
        let codes = match mapping(args)? {
            Some(mapping) => codes_of_kinds(&mapping)?,
            None => KINDS.map(|(name, kind)| (kind, name.to_owned())).to_vec(),
        };
        let below = self.builder.node(input);
        if below.schema.iter().any(|column| column.name == op) {
            return Err(Error::validation(format!(
                "column names are unique, and the input of TO_CHANGELOG has a column \"{op}\": name another one with op => DESCRIPTOR(name)"
            )));
        }
        let mut schema = vec![Column {
            name: op,
            ty: TypeKind::string().nullable(),
        }];
        schema.extend(below.schema.iter().cloned());
        let function = ProcessTableFunction::ToChangelog { codes };
        let changes = (function, ChangelogMode::Append);
        Ok(self.process_node(input, changes, (schema, &|column| vec![column + 1])))
    }

    /// Adds the node that makes changes of rows.
    fn changes_of_rows(
        &mut self,
        input: NodeId,
        op: &str,
        args: &Arguments<'_>,
    ) -> Result<Relation> {
        let below = self.builder.node(input);
        let Some(at) = below.schema.iter().position(|column| column.name == op) else {
            let names = below.schema.iter().map(|column| column.name.as_str());
            return Err(unknown_name("op column", op, names));
        };
        let ty = &below.schema[at].ty;
        if !ty.kind.is_character() {
            return Err(Error::type_mismatch(format!(
                "the op column \"{op}\" of FROM_CHANGELOG must be of STRING type, but it is {ty}: name another one with op => DESCRIPTOR(name), or cast it in a subquery"
            )));
        }
        if below.changelog != ChangelogMode::Append {
            return Err(Error::validation(
                "FROM_CHANGELOG takes a table that only inserts, and its input has updates: read a table with /*+ OPTIONS('changelog.mode' = 'append') */",
            ));
        }
        let codes = match mapping(args)? {
            Some(mapping) => kinds_of_codes(&mapping)?,
            None => KINDS.map(|(name, kind)| (name.to_owned(), kind)).to_vec(),
        };
        let mut schema = below.schema.clone();
        schema.remove(at);
        let place = |column: usize| match column.cmp(&at) {
            std::cmp::Ordering::Less => vec![column],
            std::cmp::Ordering::Equal => Vec::new(),
            std::cmp::Ordering::Greater => vec![column - 1],
        };
        let function = ProcessTableFunction::FromChangelog { op: at, codes };
        let changes = (function, ChangelogMode::Retract);
        Ok(self.process_node(input, changes, (schema, &place)))
    }

    /// Adds the node of a function; `place` tells where each column of the input goes.
    fn process_node(
        &mut self,
        input: NodeId,
        (function, changelog): (ProcessTableFunction, ChangelogMode),
        (schema, place): (Vec<Column>, &dyn Fn(usize) -> Vec<usize>),
    ) -> Relation {
        // Several changes of a key become rows of their own, and nothing is known of the keys of rows that become changes.
        let traits = Traits {
            keys: Vec::new(),
            window: None,
            ..self.builder.traits_of(input).mapped(place)
        };
        let node = self.builder.add(Draft {
            inputs: vec![forward(input)],
            operator: Operator::ProcessTableFunction(function),
            schema,
            changelog,
            traits,
        });
        self.builder.relation(node)
    }
}

/// An argument that is not NULL.
fn given<'a>(args: &Arguments<'a>, name: &str) -> Result<Option<&'a Ast>> {
    let Some(ast) = argument(args, name) else {
        return Ok(None);
    };
    let constant = match ast {
        Ast::Value(_) | Ast::Cast { .. } => ExprBinder::new(&[]).bind(ast)?,
        _ => return Ok(Some(ast)),
    };
    let is_null = match &constant.kind {
        ExprKind::Literal(literal) => *literal == Literal::Null,
        ExprKind::Cast { input, .. } => input.kind == ExprKind::Literal(Literal::Null),
        _ => false,
    };
    Ok((!is_null).then_some(ast))
}

/// Refuses a `uid` that Flink refuses; it names state, of which these functions have none.
fn check_uid(args: &Arguments<'_>) -> Result<()> {
    let Some(ast) = given(args, "UID")? else {
        return Ok(());
    };
    let is_name = |text: &str| {
        let mut letters = text.chars();
        letters
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter))
    };
    if string(ast).is_some_and(is_name) {
        return Ok(());
    }
    Err(Error::validation(
        "uid is a string literal of letters, digits, - and _ that begins with a letter or _",
    )
    .with_span(place(ast)))
}

/// Refuses deletes without the values of their rows.
///
/// # Source
/// Flink 2.3 takes the name of any argument and ignores those that it does not know, as this one, which Flink 2.4 knows: what 2.3 does is
/// what 2.4 does with TRUE.
fn check_full_deletes(args: &Arguments<'_>) -> Result<()> {
    let Some(ast) = given(args, "PRODUCES_FULL_DELETES")? else {
        return Ok(());
    };
    let bound = ExprBinder::new(&[]).bind(ast)?;
    if bound.is_true() {
        return Ok(());
    }
    Err(Error::validation(
        "produces_full_deletes of TO_CHANGELOG is TRUE: leave it out, and set columns to NULL where the op column says that a row was deleted",
    )
    .with_span(place(ast)))
}

/// The text of a string literal.
fn string(ast: &Ast) -> Option<&str> {
    match ast {
        Ast::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// `op_mapping`: keys and values in order; of equal keys the last counts, as in a map.
fn mapping(args: &Arguments<'_>) -> Result<Option<Vec<(String, String)>>> {
    let Some(ast) = given(args, "OP_MAPPING")? else {
        return Ok(None);
    };
    let refused = || {
        Error::type_mismatch(
            "op_mapping is a constant MAP of string literals, such as MAP['INSERT', 'c', 'DELETE', 'd']",
        )
        .with_span(place(ast))
    };
    let Ast::Function(function) = ast else {
        return Err(refused());
    };
    if function_name(&function.name)? != "MAP" {
        return Err(refused());
    }
    let items = positional(function)?;
    let texts: Option<Vec<&str>> = items.into_iter().map(string).collect();
    let texts = texts.ok_or_else(refused)?;
    let mut entries: Vec<(String, String)> = Vec::new();
    for pair in texts.chunks_exact(2) {
        entries.retain(|(key, _)| key != pair[0]);
        entries.push((pair[0].to_owned(), pair[1].to_owned()));
    }
    if entries.is_empty() || texts.len() % 2 != 0 {
        return Err(refused());
    }
    Ok(Some(entries))
}

/// The parts of a list with commas, without those that are empty at its end.
///
/// # Source
/// Java: `String.split`, which drops them.
fn parts(list: &str) -> impl Iterator<Item = &str> {
    let whole = list.trim_end_matches(',');
    // A list of nothing but commas has no parts; an empty one has one that is empty.
    let parts = (!whole.is_empty() || list.is_empty()).then(|| whole.split(','));
    parts.into_iter().flatten().map(str::trim)
}

/// The kind of change of a name.
fn kind(name: &str) -> Result<RowKind> {
    let found = KINDS.iter().find(|(known, _)| *known == name);
    found.map(|(_, kind)| *kind).ok_or_else(|| {
        unknown_name(
            "change operation of op_mapping",
            name,
            KINDS.iter().map(|(name, _)| *name),
        )
    })
}

/// What happens when a kind of change is mapped twice.
fn twice(name: &str) -> Error {
    Error::validation(format!(
        "op_mapping has the change operation {name} twice: write several on one side with commas, such as 'c, r'"
    ))
}

/// The codes of `TO_CHANGELOG`, whose mapping has kinds of change on its left side.
fn codes_of_kinds(mapping: &[(String, String)]) -> Result<Vec<(RowKind, String)>> {
    let mut codes: Vec<(RowKind, String)> = Vec::new();
    for (names, code) in mapping {
        for name in parts(names) {
            let kind = kind(name)?;
            if codes.iter().any(|(known, _)| *known == kind) {
                return Err(twice(name));
            }
            codes.push((kind, code.clone()));
        }
    }
    Ok(codes)
}

/// The codes of `FROM_CHANGELOG`, whose mapping has them on its left side.
fn kinds_of_codes(mapping: &[(String, String)]) -> Result<Vec<(String, RowKind)>> {
    let mut kinds = Vec::new();
    let mut codes: BTreeMap<String, RowKind> = BTreeMap::new();
    for (list, name) in mapping {
        let kind = kind(name.trim())?;
        if kinds.contains(&kind) {
            return Err(twice(name.trim()));
        }
        kinds.push(kind);
        for code in parts(list) {
            if codes.insert(code.to_owned(), kind).is_some() {
                return Err(Error::validation(format!(
                    "op_mapping has the code '{code}' twice: a code stands for one change operation"
                )));
            }
        }
    }
    if kinds.contains(&RowKind::UpdateAfter) && !kinds.contains(&RowKind::UpdateBefore) {
        return Err(Error::validation(
            "op_mapping of FROM_CHANGELOG has UPDATE_AFTER and not UPDATE_BEFORE, and upserts cannot be made: map a code to UPDATE_BEFORE, or declare a table with 'changelog.mode' = 'upsert' over the topic",
        ));
    }
    Ok(codes.into_iter().collect())
}
