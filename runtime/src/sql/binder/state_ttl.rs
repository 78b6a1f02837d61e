//! `STATE_TTL`: how long an operator keeps what came from one of its inputs.
//!
//! Place in the flow: SELECT takes the hint behind it; regular joins and group aggregates of the same block ask for the times of
//! their inputs. Invariant: a name that no input of FROM has is refused, and a hint never reaches into another query block.
//!
//! # Source
//! Flink SQL, State TTL hints: the name is the alias where there is one, else the table's; an input that is a join itself has no
//! name and keeps the statement's time.

use super::relation::{Field, Relation};
use crate::error::{Result, Span, unknown_name};
use crate::sql::ast::Hint;
use crate::sql::session::parse_duration;

/// Times to live of the inputs of one query block.
#[derive(Debug, Default)]
pub(super) struct StateTtls {
    /// Milliseconds by name; 0 is for ever.
    ttls: Vec<(String, u64)>,
    /// Where the hint stands.
    span: Span,
}

impl StateTtls {
    /// What a hint says; its values are durations.
    pub(super) fn of(hint: Option<Hint>) -> Self {
        let Some(hint) = hint else {
            return Self::default();
        };
        let millis = |text: &str| {
            let ttl = parse_duration(text).unwrap_or_default();
            u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
        };
        let ttls = hint.options.iter();
        Self {
            ttls: ttls
                .map(|(name, ttl)| (name.clone(), millis(ttl)))
                .collect(),
            span: hint.span,
        }
    }

    /// Refuses names that no input of FROM has.
    ///
    /// # Errors
    /// `Invalid` with the nearest name.
    pub(super) fn check(&self, scope: &[Field]) -> Result<()> {
        let mut names: Vec<&str> = scope.iter().filter_map(qualifier).collect();
        names.dedup();
        for (name, _) in &self.ttls {
            if !names.contains(&name.as_str()) {
                let mut error = unknown_name("table or alias", name, names.iter().copied());
                error.message = match names.join(", ") {
                    none if none.is_empty() => format!("{}: there is no FROM", error.message),
                    known => format!("{}; FROM has {known}", error.message),
                };
                return Err(error.context("hint STATE_TTL").with_span(self.span));
            }
        }
        Ok(())
    }

    /// The time of one input, when it is one table under one name.
    pub(super) fn of_input(&self, input: &Relation) -> Option<u64> {
        let name = input.fields.first().and_then(qualifier)?;
        let is_one = input
            .fields
            .iter()
            .all(|field| qualifier(field) == Some(name));
        let found = self.ttls.iter().find(|(known, _)| known == name);
        found.filter(|_| is_one).map(|(_, ttl)| *ttl)
    }

    /// The times of the inputs of one operator; empty when no hint is about any of them.
    pub(super) fn of_inputs(&self, inputs: &[&Relation]) -> Vec<Option<u64>> {
        let ttls: Vec<Option<u64>> = inputs.iter().map(|input| self.of_input(input)).collect();
        if ttls.iter().all(Option::is_none) {
            return Vec::new();
        }
        ttls
    }
}

/// The alias that a column is reached by.
fn qualifier(field: &Field) -> Option<&str> {
    field.qualifier.as_deref()
}
