//! Group windows: `GROUP BY TUMBLE(time, size)`, `HOP` and `SESSION`, with `TUMBLE_START` and the like.
//!
//! Place in the flow: a key of GROUP BY that is such a call makes the aggregation one per window. Invariant: the functions of a window
//! have the arguments of the GROUP BY.

use sqlparser::ast::{Expr as Ast, Function};

use super::call::{function_name, positional};
use super::expression::{ExprBinder, place};
use super::relation::{Field, window_zone};
use super::window_tvf::interval_ms;
use crate::error::{Error, Result};
use crate::plan::{TimeDomain, Window, WindowKind, WindowProperty};
use crate::sql::expr::Expr;
use crate::types::{FlinkType, TypeKind};

/// A group window.
#[derive(Debug)]
pub(super) struct GroupWindow {
    /// Its function: `TUMBLE`, `HOP`, `SESSION`.
    name: String,
    /// Its arguments as they are written.
    args: String,
    /// The time attribute over the base of the relation.
    pub(super) time: Expr,
    /// The shape.
    kind: WindowKind,
    /// The time zone that windows are aligned to.
    time_zone: String,
}

impl GroupWindow {
    /// The group window that a key of GROUP BY is.
    ///
    /// # Errors
    /// `Invalid` for arguments that it does not take.
    pub(super) fn bind(ast: &Ast, fields: &[Field], time_zone: &str) -> Result<Option<Self>> {
        let Ast::Function(call) = ast else {
            return Ok(None);
        };
        let name = function_name(&call.name)?;
        if !matches!(name.as_str(), "TUMBLE" | "HOP" | "SESSION") {
            return Ok(None);
        }
        let args = positional(call)?;
        let intervals = args.iter().skip(1).map(|ast| interval_ms(ast));
        let lengths = intervals.collect::<Result<Vec<i64>>>()?;
        let kind = match (name.as_str(), lengths.as_slice()) {
            ("TUMBLE", [size_ms]) => WindowKind::Tumble {
                size_ms: *size_ms,
                offset_ms: 0,
            },
            ("HOP", [slide_ms, size_ms]) => WindowKind::Hop {
                size_ms: *size_ms,
                slide_ms: *slide_ms,
                offset_ms: 0,
            },
            ("SESSION", [gap_ms]) => WindowKind::Session { gap_ms: *gap_ms },
            _ => {
                return Err(Error::type_mismatch(format!(
                    "{name} in GROUP BY takes a time attribute and {}",
                    if name == "HOP" {
                        "two intervals"
                    } else {
                        "an interval"
                    }
                ))
                .with_span(place(ast)));
            }
        };
        if lengths.iter().any(|length| *length <= 0) {
            return Err(
                Error::validation("the size of a window is longer than 0").with_span(place(ast))
            );
        }
        Ok(Some(Self {
            time: ExprBinder::new(fields).bind(args[0])?,
            args: written(&args),
            name,
            kind,
            time_zone: time_zone.to_owned(),
        }))
    }

    /// The window over a time attribute of this clock.
    ///
    /// # Errors
    /// `Invalid` when it is not a time attribute.
    pub(super) fn over(&self, domain: Option<TimeDomain>) -> Result<Window> {
        let (Some(time), Some(domain)) = (self.time.as_column(), domain) else {
            return Err(Error::validation(format!(
                "window aggregate can only be defined over a time attribute column, but the first argument of {} is {}",
                self.name, self.time.ty
            ))
            .with_span(self.time.span));
        };
        Ok(Window {
            time,
            kind: self.kind.clone(),
            time_zone: window_zone(&self.time.ty, &self.time_zone),
            partition: Vec::new(),
            domain,
            attached: None,
        })
    }

    /// The property that a function asks for, and its type.
    ///
    /// # Errors
    /// `Invalid` when it is about another window.
    pub(super) fn property(
        &self,
        name: &str,
        call: &Function,
    ) -> Result<Option<(WindowProperty, FlinkType)>> {
        let Some((window, suffix)) = name.split_once('_') else {
            return Ok(None);
        };
        let property = match suffix {
            "START" => WindowProperty::Start,
            "END" => WindowProperty::End,
            "ROWTIME" => WindowProperty::Time,
            "PROCTIME" => WindowProperty::Proctime,
            _ => return Ok(None),
        };
        if !matches!(window, "TUMBLE" | "HOP" | "SESSION") {
            return Ok(None);
        }
        if window != self.name || written(&positional(call)?) != self.args {
            return Err(Error::validation(format!(
                "call to auxiliary group function '{name}' must have matching call to group function '{window}' in GROUP BY clause"
            )));
        }
        let types = super::relation::window_types(&self.time.ty);
        Ok(Some((property, property_type(property, &types))))
    }
}

/// The type of a property of a window whose start, end and time have these types.
pub(super) fn property_type(property: WindowProperty, types: &[FlinkType; 3]) -> FlinkType {
    match property {
        WindowProperty::Start => types[0].clone(),
        WindowProperty::End => types[1].clone(),
        WindowProperty::Time => types[2].clone(),
        WindowProperty::Proctime => TypeKind::TimestampLtz(3).not_null(),
    }
}

/// Arguments as they are written.
fn written(args: &[&Ast]) -> String {
    let texts: Vec<String> = args.iter().map(ToString::to_string).collect();
    texts.join(", ")
}
