//! `CREATE TABLE ... LIKE`: what a table takes over from another one.
//!
//! Place in the flow: CREATE TABLE begins with what comes out of here instead of with nothing. Invariant: the source's columns come first,
//! and nothing of it is taken twice unless a rule says which one counts.

use std::collections::BTreeMap;

use super::names;
use crate::error::{Error, Result, Span};
use crate::sql::ast::{ColumnDefKind, CreateTable, Like, LikeMode, LikePart};
use crate::sql::catalog::{Catalog, ColumnKind, TableColumn, TableDef, WatermarkDef};
use crate::sql::session::Session;

/// What is taken over.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    /// Columns of the source that are taken.
    pub(super) columns: Vec<TableColumn>,
    /// Names of the source's columns: own ones that overwrite theirs stand in their places.
    pub(super) order: Vec<String>,
    /// The watermark.
    pub(super) watermark: Option<WatermarkDef>,
    /// The primary key.
    pub(super) primary_key: Vec<String>,
    /// Columns of the buckets.
    pub(super) distributed_by: Vec<String>,
    /// Number of buckets.
    pub(super) buckets: Option<u32>,
    /// Options.
    pub(super) options: BTreeMap<String, String>,
}

impl Like {
    /// How a part is treated.
    ///
    /// # Source
    /// Flink: without a rule `INCLUDING ALL OVERWRITING OPTIONS`.
    fn mode(&self, part: LikePart) -> LikeMode {
        let of = |wanted| {
            let rule = self.rules.iter().find(|(_, found, _)| *found == wanted);
            rule.map(|(mode, _, _)| *mode)
        };
        of(part)
            .or_else(|| of(LikePart::All))
            .unwrap_or(match part {
                LikePart::Options => LikeMode::Overwriting,
                _ => LikeMode::Including,
            })
    }

    /// Refuses what both tables have, unless the own one counts.
    fn check(&self, part: LikePart, both: bool, what: &str, span: Span) -> Result<()> {
        if both && self.mode(part) == LikeMode::Including {
            return Err(Error::validation(format!(
                "{what} is in the table of LIKE too: exclude it there{}",
                if part.can_be_overwritten() {
                    " or write OVERWRITING"
                } else {
                    ""
                }
            ))
            .with_span(span));
        }
        Ok(())
    }
}

/// What a CREATE TABLE takes over; nothing without LIKE.
///
/// # Errors
/// `Invalid` when the source does not exist, or both tables have what only one may have.
pub(super) fn inherited(
    create: &CreateTable,
    catalog: &dyn Catalog,
    session: &Session,
) -> Result<Inherited> {
    let Some(like) = &create.like else {
        return Ok(Inherited::default());
    };
    let source = names::table(&like.source, catalog, session)?;
    let takes = |part| like.mode(part) != LikeMode::Excluding;
    let span = create.name.span();
    let has_key = !create.primary_key.is_empty();
    like.check(
        LikePart::Constraints,
        has_key && !source.primary_key.is_empty(),
        "a primary key",
        span,
    )?;
    let is_distributed = source.buckets.is_some() || !source.distributed_by.is_empty();
    like.check(
        LikePart::Distribution,
        create.distribution.is_some() && is_distributed,
        "a distribution",
        span,
    )?;
    like.check(
        LikePart::Watermarks,
        create.watermark.is_some() && source.watermark.is_some(),
        "a watermark",
        span,
    )?;
    let distributes = takes(LikePart::Distribution) && create.distribution.is_none();
    Ok(Inherited {
        columns: columns(create, like, &source)?,
        order: source
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect(),
        watermark: source
            .watermark
            .clone()
            .filter(|_| takes(LikePart::Watermarks) && create.watermark.is_none()),
        primary_key: if takes(LikePart::Constraints) && !has_key {
            source.primary_key.clone()
        } else {
            Vec::new()
        },
        distributed_by: if distributes {
            source.distributed_by.clone()
        } else {
            Vec::new()
        },
        buckets: source.buckets.filter(|_| distributes),
        options: options(create, like, &source)?,
    })
}

/// Columns of the source that are taken.
fn columns(create: &CreateTable, like: &Like, source: &TableDef) -> Result<Vec<TableColumn>> {
    let mut taken = Vec::new();
    for column in &source.columns {
        let own = create
            .columns
            .iter()
            .find(|own| own.name.value == column.name);
        let part = match &column.kind {
            // Physical columns are taken in any case; one that is declared again is refused with the others.
            ColumnKind::Physical => {
                taken.push(column.clone());
                continue;
            }
            ColumnKind::Computed(_) => LikePart::Generated,
            ColumnKind::Metadata { .. } => LikePart::Metadata,
        };
        if like.mode(part) == LikeMode::Excluding {
            continue;
        }
        match own {
            None => taken.push(column.clone()),
            Some(own) => {
                let of_kind = matches!(
                    (&own.kind, part),
                    (ColumnDefKind::Computed { .. }, LikePart::Generated)
                        | (ColumnDefKind::Metadata { .. }, LikePart::Metadata)
                );
                let what = format!("column `{}`", column.name);
                like.check(part, true, &what, own.name.span)?;
                if !of_kind {
                    return Err(Error::validation(format!(
                        "column `{}` is of another kind in the table of LIKE",
                        column.name
                    ))
                    .with_span(own.name.span));
                }
            }
        }
    }
    Ok(taken)
}

/// Options of the source that are taken.
fn options(
    create: &CreateTable,
    like: &Like,
    source: &TableDef,
) -> Result<BTreeMap<String, String>> {
    let mut taken = source.options.clone();
    if like.mode(LikePart::Options) == LikeMode::Excluding {
        taken.clear();
    }
    for option in &create.options {
        let both = taken.remove(&option.key.value).is_some();
        let what = format!("option '{}'", option.key.value);
        like.check(LikePart::Options, both, &what, option.key.span)?;
    }
    Ok(taken)
}
