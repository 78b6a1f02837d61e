//! `MATCH_RECOGNIZE`.
//!
//! Place in the flow: an item of FROM. Conditions and measures are bound over the columns of the input, each read through a pattern
//! variable. Invariant: the rows are in the order of a time attribute.
//!
//! # Source
//! Flink SQL: pattern recognition; ONE ROW PER MATCH only.

use sqlparser::ast::{
    AfterMatchSkip, Expr as Ast, FunctionArg, FunctionArgExpr, Measure, ObjectNamePart,
    RowsPerMatch, Spanned, SymbolDefinition, TableFactor, TableFunctionArgs,
};

use super::expression::{ExprBinder, place};
use super::over::{OrderKey, exchange};
use super::pattern;
use super::query::QueryBinder;
use super::relation::{Draft, Field, Relation, Using};
use super::traits::Traits;
use crate::error::{Error, Result, unknown_name};
use crate::plan::{
    AfterMatch, ChangelogMode, Column, Input, Match, Operator, SortField, TimeDomain,
};
use crate::sql::expr::{Expr, ExprKind, Literal};
use crate::sql::parser::tokens::span_of;
use crate::sql::parser::within::{PATTERN_INPUT, WITHIN};

/// Conditions of pattern variables.
type Defines = Vec<(String, Expr)>;

impl QueryBinder<'_> {
    /// Binds `MATCH_RECOGNIZE` over a table.
    pub(super) fn match_recognize(&mut self, factor: &TableFactor) -> Result<Relation> {
        let TableFactor::MatchRecognize {
            table,
            partition_by,
            order_by,
            measures,
            rows_per_match,
            after_match_skip,
            pattern,
            symbols,
            ..
        } = factor
        else {
            return Err(Error::internal("not a MATCH_RECOGNIZE"));
        };
        if matches!(rows_per_match, Some(RowsPerMatch::AllRows(_))) {
            return Err(Error::unsupported(
                "ALL ROWS PER MATCH, as in Flink: write ONE ROW PER MATCH, and MEASURES for what of its rows is wanted",
            ));
        }
        let pattern = pattern::variables(pattern)?;
        let variables: Vec<String> = pattern.iter().map(|one| one.name.clone()).collect();
        let input = self.pattern_input(table)?;
        input.refuse_correlated("MATCH_RECOGNIZE")?;
        if self.builder.changelog(&input) != ChangelogMode::Append {
            return Err(Error::validation(
                "match recognize doesn't support consuming update and delete changes",
            ));
        }
        let (keys, partition) = self.partition(partition_by, &input)?;
        check_names(&keys, measures)?;
        let order = ExprBinder::within(&input.fields, self).order_keys(order_by)?;
        self.check_order(&input, &order, factor)?;
        let domain = self.builder.time_domain(&input, &order[0].expr);
        let (defines, within_ms) = self.defines(symbols, &input, &variables)?;
        let mut columns = Vec::with_capacity(measures.len());
        for measure in measures {
            let bound = self.pattern_expr(&measure.expr, &input, (&variables, None))?;
            columns.push((measure.alias.value.clone(), bound));
        }
        let names = columns.iter().map(|(name, _)| name.clone());
        let names = keys.into_iter().chain(names).collect();
        let measures = columns.into_iter().map(|(_, bound)| bound).collect();
        let skip = after_match(after_match_skip.as_ref(), &variables)
            .map_err(|error| error.with_span(span_of(factor.span())))?;
        let Some(domain) = domain else {
            return Err(Error::internal("an order without a clock"));
        };
        let found = Match {
            partition: Vec::new(),
            order: Vec::new(),
            domain,
            measures,
            pattern,
            defines,
            skip,
            within_ms,
        };
        Ok(self.match_node(input, (partition, order), (found, names)))
    }

    /// Binds what is matched: a table, or a sub-query in the form that the parser gives it.
    fn pattern_input(&mut self, table: &TableFactor) -> Result<Relation> {
        if let TableFactor::Table {
            name,
            args: Some(TableFunctionArgs { args, .. }),
            ..
        } = table
            && let [ObjectNamePart::Identifier(name)] = name.0.as_slice()
            && name.value == PATTERN_INPUT
            && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(Ast::Subquery(query)))] =
                args.as_slice()
        {
            return self.subquery_relation(query);
        }
        self.factor(table)
    }

    /// Binds DEFINE; the interval of WITHIN is among the definitions. Those of variables that the pattern does not have count for nothing,
    /// as in Flink.
    fn defines(
        &mut self,
        symbols: &[SymbolDefinition],
        input: &Relation,
        variables: &[String],
    ) -> Result<(Defines, Option<i64>)> {
        let mut known = variables.to_vec();
        for symbol in symbols {
            let name = &symbol.symbol.value;
            if name != WITHIN && !known.contains(name) {
                known.push(name.clone());
            }
        }
        let mut defines: Defines = Vec::with_capacity(symbols.len());
        let mut within_ms = None;
        for symbol in symbols {
            let name = &symbol.symbol.value;
            if name == WITHIN {
                within_ms = Some(within(&symbol.definition)?);
                continue;
            }
            if defines.iter().any(|(defined, _)| defined == name) {
                return Err(Error::validation(format!(
                    "the pattern variable {name} is defined twice"
                ))
                .with_span(span_of(symbol.symbol.span)));
            }
            let bound = self.pattern_expr(&symbol.definition, input, (&known, Some(name)))?;
            defines.push((name.clone(), bound));
        }
        defines.retain(|(name, _)| variables.contains(name));
        Ok((defines, within_ms))
    }

    /// Binds PARTITION BY: columns, with their names.
    fn partition(&mut self, asts: &[Ast], input: &Relation) -> Result<(Vec<String>, Vec<Expr>)> {
        let (mut names, mut bound) = (Vec::new(), Vec::new());
        for ast in asts {
            let name = match ast {
                Ast::Identifier(name) => Some(name),
                Ast::CompoundIdentifier(parts) => parts.last(),
                _ => None,
            };
            let Some(name) = name else {
                return Err(Error::validation(
                    "PARTITION BY of MATCH_RECOGNIZE takes columns: compute the expression in a sub-query",
                )
                .with_span(place(ast)));
            };
            names.push(name.value.clone());
            bound.push(ExprBinder::within(&input.fields, self).bind(ast)?);
        }
        Ok((names, bound))
    }

    /// Refuses an order that does not begin with a time attribute.
    fn check_order(
        &self,
        input: &Relation,
        order: &[OrderKey],
        factor: &TableFactor,
    ) -> Result<()> {
        let span = span_of(factor.span());
        let Some(first) = order.first() else {
            return Err(
                Error::validation("MATCH_RECOGNIZE requires an ORDER BY a time attribute")
                    .with_span(span),
            );
        };
        if self.builder.time_domain(input, &first.expr).is_none() {
            return Err(Error::validation(
                "you must specify either rowtime or proctime for order by as the first one",
            )
            .with_span(first.expr.span));
        }
        if first.descending {
            return Err(Error::validation(
                "primary sort order of a streaming table must be ascending on time",
            )
            .with_span(first.expr.span));
        }
        Ok(())
    }

    /// Adds the node; its columns are those of PARTITION BY, then the measures.
    fn match_node(
        &mut self,
        input: Relation,
        (partition, order): (Vec<Expr>, Vec<OrderKey>),
        (mut found, names): (Match, Vec<String>),
    ) -> Relation {
        let mut exprs = partition.clone();
        exprs.extend(order.iter().map(|key| key.expr.clone()));
        let (input, places) = self.builder.extend(input, &exprs);
        found.partition = places[..partition.len()].to_vec();
        let ordered = places[partition.len()..].iter().zip(&order);
        found.order = ordered
            .map(|(column, key)| SortField {
                column: *column,
                descending: key.descending,
                nulls_last: key.nulls_last,
            })
            .collect();
        let types = partition
            .iter()
            .map(|expr| expr.ty.clone())
            .chain(found.measures.iter().map(|expr| expr.ty.clone()));
        let schema: Vec<Column> = names
            .into_iter()
            .zip(types)
            .map(|(name, ty)| Column { name, ty })
            .collect();
        let first = partition.len();
        let mut traits = Traits::default();
        for (index, measure) in found.measures.iter().enumerate() {
            match super::pattern_expr::time_of_match(measure) {
                Some(TimeDomain::Event) => {
                    traits.rowtimes.insert(first + index);
                }
                Some(TimeDomain::Processing) => {
                    traits.proctimes.insert(first + index);
                }
                None => {}
            }
        }
        let draft = Draft {
            inputs: vec![Input {
                node: input.base,
                exchange: exchange(&found.partition),
            }],
            schema,
            changelog: ChangelogMode::Append,
            traits,
            operator: Operator::Match(Box::new(found)),
        };
        let node = self.builder.add(draft);
        let mut relation = self.builder.relation(node);
        for field in &mut relation.fields {
            *field = Field {
                using: Using::No,
                ..field.clone()
            };
        }
        relation
    }
}

/// Refuses output columns of the same name.
fn check_names(keys: &[String], measures: &[Measure]) -> Result<()> {
    if measures.is_empty() {
        return Err(Error::validation(
            "MATCH_RECOGNIZE without MEASURES, which say what of a match is wanted",
        ));
    }
    let mut names: Vec<&str> = keys.iter().map(String::as_str).collect();
    for measure in measures {
        let name = measure.alias.value.as_str();
        if names.contains(&name) {
            return Err(Error::validation(format!(
                "MATCH_RECOGNIZE has two columns of the name {name}: those of PARTITION BY come first, then MEASURES"
            ))
            .with_span(span_of(measure.alias.span)));
        }
        names.push(name);
    }
    Ok(())
}

/// The interval of WITHIN, milliseconds.
fn within(ast: &Ast) -> Result<i64> {
    let bound = ExprBinder::new(&[]).bind(ast)?;
    match bound.kind {
        ExprKind::Literal(Literal::Millis(millis)) if millis >= 0 => Ok(millis),
        _ => Err(Error::type_mismatch(
            "WITHIN takes an interval of days to seconds that is written out and not negative",
        )
        .with_span(place(ast))),
    }
}

/// Where the next match begins: with the next row unless it is said, as in Flink, whose parser is Calcite's.
fn after_match(skip: Option<&AfterMatchSkip>, variables: &[String]) -> Result<AfterMatch> {
    let known = |name: &sqlparser::ast::Ident| {
        if variables.contains(&name.value) {
            return Ok(name.value.clone());
        }
        let names = variables.iter().map(String::as_str);
        Err(unknown_name("pattern variable", &name.value, names).with_span(span_of(name.span)))
    };
    Ok(match skip {
        Some(AfterMatchSkip::PastLastRow) => AfterMatch::PastLastRow,
        None | Some(AfterMatchSkip::ToNextRow) => AfterMatch::ToNextRow,
        Some(AfterMatchSkip::ToFirst(name)) => AfterMatch::ToFirst(known(name)?),
        Some(AfterMatchSkip::ToLast(name)) => AfterMatch::ToLast(known(name)?),
    })
}
