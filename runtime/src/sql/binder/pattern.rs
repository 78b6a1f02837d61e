//! The pattern of `MATCH_RECOGNIZE`.
//!
//! Place in the flow: the clause PATTERN becomes the variables of the plan. Invariant: what comes out is what Flink takes: variables that
//! follow one another, each once, of which one at least takes a row, and of which the last is not greedy.
//!
//! # Source
//! Flink 2.3: `PatternVisitor`, `StreamExecMatch`, and `Pattern` of its CEP library.

use sqlparser::ast::{MatchRecognizePattern, MatchRecognizeSymbol, RepetitionQuantifier};

use crate::error::{Error, Result};
use crate::plan::PatternVariable;

/// The variables of a pattern.
///
/// # Errors
/// `Unsupported` for what Flink does not take.
pub(super) fn variables(pattern: &MatchRecognizePattern) -> Result<Vec<PatternVariable>> {
    let mut found = Vec::new();
    collect(pattern, &mut found)?;
    for (place, variable) in found.iter().enumerate() {
        let name = &variable.name;
        if found[..place].iter().any(|other| other.name == *name) {
            return Err(Error::unsupported(format!(
                "the pattern variable {name} twice in one pattern, as in Flink: give each place a variable of its own, with the same condition"
            )));
        }
        let is_greedy = place > 0 && found[place - 1].greedy;
        if is_greedy && is_made_optional(variable) {
            let before = &found[place - 1].name;
            return Err(Error::unsupported(format!(
                "the optional variable {name} behind the greedy {before}, as in Flink: make {before} reluctant with ?, or write {name}{{0,n}}"
            )));
        }
    }
    if found.iter().all(|variable| variable.min == 0) {
        return Err(Error::unsupported(
            "a pattern that may match no row, as in Flink: at least one variable has to take one",
        ));
    }
    if let Some(last) = found.last().filter(|last| last.greedy) {
        return Err(Error::unsupported(format!(
            "the greedy variable {} at the end of a pattern, as in Flink: nothing says where it ends; make it reluctant with ?, or let a variable follow",
            last.name
        )));
    }
    Ok(found)
}

/// Whether a variable is `?` or `*`: Flink makes no difference between those and other optional ones elsewhere.
fn is_made_optional(variable: &PatternVariable) -> bool {
    variable.min == 0 && variable.max.is_none_or(|max| max == 1)
}

/// Collects the variables of a pattern.
fn collect(pattern: &MatchRecognizePattern, out: &mut Vec<PatternVariable>) -> Result<()> {
    match pattern {
        MatchRecognizePattern::Symbol(MatchRecognizeSymbol::Named(name)) => {
            out.push(PatternVariable {
                name: name.value.clone(),
                min: 1,
                max: Some(1),
                greedy: false,
            });
        }
        MatchRecognizePattern::Group(inner) => collect(inner, out)?,
        MatchRecognizePattern::Concat(parts) => {
            for part in parts {
                collect(part, out)?;
            }
        }
        MatchRecognizePattern::Repetition(inner, quantifier) => {
            out.push(repeated(inner, quantifier)?);
        }
        MatchRecognizePattern::Alternation(_) => {
            return Err(Error::unsupported(
                "alternatives (|) in a pattern, as in Flink: join them in one condition with OR, or write a query for each",
            ));
        }
        MatchRecognizePattern::Permute(_) => {
            return Err(Error::unsupported(
                "PERMUTE in a pattern, as in Flink: write a query for each order",
            ));
        }
        MatchRecognizePattern::Exclude(_) => {
            return Err(Error::unsupported(
                "{- -} in a pattern, as in Flink: ONE ROW PER MATCH has no rows to leave out",
            ));
        }
        MatchRecognizePattern::Symbol(_) => {
            return Err(Error::unsupported(
                "^ and $ in a pattern: a stream has no last row, and Flink ignores both; leave them out",
            ));
        }
    }
    Ok(())
}

/// A variable that is repeated; a second quantifier `?` makes the first reluctant.
fn repeated(
    inner: &MatchRecognizePattern,
    quantifier: &RepetitionQuantifier,
) -> Result<PatternVariable> {
    if *quantifier == RepetitionQuantifier::AtMostOne
        && let MatchRecognizePattern::Repetition(inner, quantifier) = inner
    {
        let variable = repeated(inner, quantifier)?;
        if variable.min == 0 && variable.max == Some(1) {
            return Err(Error::unsupported(format!(
                "the reluctant optional variable {}, as in Flink: write {0}{{0,2}}? or a pattern for each case",
                variable.name
            )));
        }
        return Ok(PatternVariable {
            greedy: false,
            ..variable
        });
    }
    let mut found = Vec::new();
    collect(inner, &mut found)?;
    let ([variable], false) = (
        found.as_slice(),
        matches!(ungrouped(inner), MatchRecognizePattern::Repetition(..)),
    ) else {
        return Err(Error::unsupported(
            "a group of a pattern that is repeated, as in Flink: repeat single variables",
        ));
    };
    let name = variable.name.clone();
    let (min, max) = match quantifier {
        RepetitionQuantifier::ZeroOrMore => (0, None),
        RepetitionQuantifier::OneOrMore => (1, None),
        RepetitionQuantifier::AtMostOne => (0, Some(1)),
        RepetitionQuantifier::Exactly(n) => (*n, Some(*n)),
        RepetitionQuantifier::AtLeast(n) => (*n, None),
        RepetitionQuantifier::AtMost(n) => {
            return Err(Error::unsupported(format!(
                "{{,{n}}} in a pattern, as in Flink: write {name}{{0,{n}}}"
            )));
        }
        RepetitionQuantifier::Range(n, m) => (*n, Some(*m)),
    };
    if max.is_some_and(|max| max < min.max(1)) {
        return Err(Error::validation(format!(
            "the repetition of {name} takes at most fewer rows than at least one and at least its first number"
        )));
    }
    Ok(PatternVariable {
        name,
        min,
        max,
        // Nothing can be left to the next variable of a fixed number, and `?` takes what it can in any case.
        greedy: max != Some(min) && (min, max) != (0, Some(1)),
    })
}

/// A pattern without its parentheses.
fn ungrouped(pattern: &MatchRecognizePattern) -> &MatchRecognizePattern {
    match pattern {
        MatchRecognizePattern::Group(inner) => ungrouped(inner),
        other => other,
    }
}
