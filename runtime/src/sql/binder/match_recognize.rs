//! `MATCH_RECOGNIZE`.
//!
//! Place in the flow: an item of FROM. Conditions and measures are bound over the columns of the input, each read through a pattern
//! variable. Invariant: the rows are in the order of a time attribute.
//!
//! # Source
//! Flink SQL: pattern recognition; ONE ROW PER MATCH only.

use sqlparser::ast::{
    AfterMatchSkip, Expr as Ast, MatchRecognizePattern, MatchRecognizeSymbol, RepetitionQuantifier,
    RowsPerMatch, Spanned, SymbolDefinition, TableFactor,
};

use super::expression::ExprBinder;
use super::over::{OrderKey, exchange};
use super::query::QueryBinder;
use super::relation::{Draft, Field, Relation, Using};
use super::traits::Traits;
use super::window_tvf::interval_ms;
use crate::error::{Error, Result, unknown_name};
use crate::plan::{AfterMatch, ChangelogMode, Column, Input, Match, Operator, Pattern, SortField};
use crate::sql::expr::Expr;
use crate::sql::parser::tokens::span_of;
use crate::sql::parser::within::WITHIN;

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
            return Err(Error::unsupported("ALL ROWS PER MATCH"));
        }
        let pattern = pattern_of(pattern)?;
        let variables = variables(&pattern);
        let input = self.factor(table)?;
        input.refuse_correlated("MATCH_RECOGNIZE")?;
        if self.builder.changelog(&input) != ChangelogMode::Append {
            return Err(Error::validation(
                "match recognize doesn't support consuming update and delete changes",
            ));
        }
        let partition = self.bind_all(partition_by, &input)?;
        let order = ExprBinder::within(&input.fields, self).order_keys(order_by)?;
        self.check_order(&input, &order, factor)?;
        let domain = self.builder.time_domain(&input, &order[0].expr);
        let (defines, within_ms) = self.defines(symbols, &input, &variables)?;
        let mut columns = Vec::with_capacity(measures.len());
        for measure in measures {
            let bound = self.pattern_expr(&measure.expr, &input, (&variables, None))?;
            columns.push((measure.alias.value.clone(), bound));
        }
        let skip = after_match(after_match_skip.as_ref(), &variables)
            .map_err(|error| error.with_span(span_of(factor.span())))?;
        let Some(domain) = domain else {
            return Err(Error::internal("an order without a clock"));
        };
        let (names, measures) = columns.into_iter().unzip();
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

    /// Binds DEFINE; the interval of WITHIN is among the definitions.
    fn defines(
        &mut self,
        symbols: &[SymbolDefinition],
        input: &Relation,
        variables: &[String],
    ) -> Result<(Defines, Option<i64>)> {
        let mut defines = Vec::with_capacity(symbols.len());
        let mut within_ms = None;
        for symbol in symbols {
            let name = &symbol.symbol.value;
            if name == WITHIN {
                within_ms = Some(interval_ms(&symbol.definition)?);
                continue;
            }
            if !variables.contains(name) {
                let names = variables.iter().map(String::as_str);
                return Err(unknown_name("pattern variable", name, names)
                    .with_span(span_of(symbol.symbol.span)));
            }
            let bound = self.pattern_expr(&symbol.definition, input, (variables, Some(name)))?;
            defines.push((name.clone(), bound));
        }
        Ok((defines, within_ms))
    }

    /// Binds expressions over an input.
    fn bind_all(&mut self, asts: &[Ast], input: &Relation) -> Result<Vec<Expr>> {
        let mut bound = Vec::with_capacity(asts.len());
        for ast in asts {
            bound.push(ExprBinder::within(&input.fields, self).bind(ast)?);
        }
        Ok(bound)
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
        let key_names: Vec<String> = partition
            .iter()
            .map(|expr| {
                let field = input.fields.iter().find(|f| f.expr.kind == expr.kind);
                field.map_or_else(|| "EXPR$0".to_owned(), |field| field.name.clone())
            })
            .collect();
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
        let schema: Vec<Column> = key_names
            .into_iter()
            .chain(names)
            .zip(types)
            .map(|(name, ty)| Column { name, ty })
            .collect();
        let first = partition.len();
        let mut traits = Traits::default();
        for (index, measure) in found.measures.iter().enumerate() {
            match super::pattern_expr::time_of_match(measure) {
                Some(crate::plan::TimeDomain::Event) => {
                    traits.rowtimes.insert(first + index);
                }
                Some(crate::plan::TimeDomain::Processing) => {
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

/// The variables of a pattern.
fn variables(pattern: &Pattern) -> Vec<String> {
    match pattern {
        Pattern::Variable(name) => vec![name.clone()],
        Pattern::Sequence(parts) | Pattern::Alternation(parts) => {
            let mut all = Vec::new();
            for name in parts.iter().flat_map(variables) {
                if !all.contains(&name) {
                    all.push(name);
                }
            }
            all
        }
        Pattern::Repeat { pattern, .. } => variables(pattern),
    }
}

/// A pattern of the text.
fn pattern_of(pattern: &MatchRecognizePattern) -> Result<Pattern> {
    Ok(match pattern {
        MatchRecognizePattern::Symbol(MatchRecognizeSymbol::Named(name)) => {
            Pattern::Variable(name.value.clone())
        }
        MatchRecognizePattern::Group(inner) => pattern_of(inner)?,
        MatchRecognizePattern::Concat(parts) => {
            Pattern::Sequence(parts.iter().map(pattern_of).collect::<Result<_>>()?)
        }
        MatchRecognizePattern::Alternation(parts) => {
            Pattern::Alternation(parts.iter().map(pattern_of).collect::<Result<_>>()?)
        }
        MatchRecognizePattern::Repetition(inner, quantifier) => repeated(inner, quantifier)?,
        MatchRecognizePattern::Symbol(_)
        | MatchRecognizePattern::Exclude(_)
        | MatchRecognizePattern::Permute(_) => {
            return Err(Error::unsupported(format!("the pattern {pattern}")));
        }
    })
}

/// A pattern several times; a second quantifier `?` makes the first reluctant.
fn repeated(inner: &MatchRecognizePattern, quantifier: &RepetitionQuantifier) -> Result<Pattern> {
    let (min, max) = match quantifier {
        RepetitionQuantifier::ZeroOrMore => (0, None),
        RepetitionQuantifier::OneOrMore => (1, None),
        RepetitionQuantifier::AtMostOne => (0, Some(1)),
        RepetitionQuantifier::Exactly(n) => (*n, Some(*n)),
        RepetitionQuantifier::AtLeast(n) => (*n, None),
        RepetitionQuantifier::AtMost(n) => (0, Some(*n)),
        RepetitionQuantifier::Range(n, m) => (*n, Some(*m)),
    };
    let pattern = pattern_of(inner)?;
    if *quantifier == RepetitionQuantifier::AtMostOne
        && matches!(inner, MatchRecognizePattern::Repetition(..))
        && let Pattern::Repeat {
            pattern, min, max, ..
        } = pattern
    {
        return Ok(Pattern::Repeat {
            pattern,
            min,
            max,
            greedy: false,
        });
    }
    Ok(Pattern::Repeat {
        pattern: Box::new(pattern),
        min,
        max,
        greedy: true,
    })
}

/// Where the next match begins.
fn after_match(skip: Option<&AfterMatchSkip>, variables: &[String]) -> Result<AfterMatch> {
    let known = |name: &sqlparser::ast::Ident| {
        if variables.contains(&name.value) {
            return Ok(name.value.clone());
        }
        let names = variables.iter().map(String::as_str);
        Err(unknown_name("pattern variable", &name.value, names).with_span(span_of(name.span)))
    };
    Ok(match skip {
        None | Some(AfterMatchSkip::PastLastRow) => AfterMatch::PastLastRow,
        Some(AfterMatchSkip::ToNextRow) => AfterMatch::ToNextRow,
        Some(AfterMatchSkip::ToFirst(name)) => AfterMatch::ToFirst(known(name)?),
        Some(AfterMatchSkip::ToLast(name)) => AfterMatch::ToLast(known(name)?),
    })
}
