//! Argument and result-type rules that many functions share.
//!
//! Place in the flow: [`super::resolve`] applies a [`super::Resolve::Signature`] with [`by_signature`]. Invariant: after a
//! rule has accepted arguments, each has exactly the type its kernel reads.

use super::{any_nullable, mismatch};
use crate::error::{Error, Result};
use crate::sql::expr::Expr;
use crate::sql::typing::{convert, implicit_cast};
use crate::types::{FlinkType, TypeKind};

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Param {
    /// Character strings, as STRING.
    Text,
    /// TINYINT to INT, as INT.
    Int,
    /// Integers, as BIGINT.
    Long,
    /// Numbers, as DOUBLE.
    Double,
    /// Byte strings, as BYTES.
    Bytes,
    /// Any number of character strings from here on.
    Texts,
}

impl Param {
    /// The word for error messages.
    fn word(self) -> &'static str {
        match self {
            Self::Text => "STRING",
            Self::Int => "INT",
            Self::Long => "BIGINT",
            Self::Double => "DOUBLE",
            Self::Bytes => "BYTES",
            Self::Texts => "STRING...",
        }
    }

    /// The argument converted to the parameter's type, if it takes it.
    fn accept(self, arg: &Expr) -> Option<Expr> {
        let kind = &arg.ty.kind;
        let null = *kind == TypeKind::Null;
        let target = match self {
            Self::Text | Self::Texts if null || kind.is_character() => {
                // CHAR and VARCHAR have the storage of STRING.
                return Some(if null {
                    convert(arg.clone(), &TypeKind::string())
                } else {
                    arg.clone()
                });
            }
            Self::Bytes if kind.is_binary() => return Some(arg.clone()),
            Self::Bytes if null => TypeKind::bytes(),
            Self::Int => TypeKind::Int,
            Self::Long => TypeKind::BigInt,
            Self::Double => TypeKind::Double,
            Self::Text | Self::Texts | Self::Bytes => return None,
        };
        implicit_cast(arg.clone(), &target.nullable()).ok()
    }
}

/// The result type of a signature; unless it says otherwise it is nullable exactly when an argument is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Output {
    /// STRING.
    Text,
    /// STRING, NULL also for arguments that are not.
    MaybeText,
    /// INT.
    Int,
    /// BIGINT.
    Long,
    /// DOUBLE.
    Double,
    /// BOOLEAN.
    Boolean,
    /// DATE, NULL also for arguments that are not.
    MaybeDate,
    /// TIMESTAMP(3), NULL also for arguments that are not.
    MaybeTimestamp,
}

impl Output {
    /// The type for given arguments.
    fn ty(self, args: &[Expr]) -> FlinkType {
        let (kind, always_nullable) = match self {
            Self::Text => (TypeKind::string(), false),
            Self::MaybeText => (TypeKind::string(), true),
            Self::Int => (TypeKind::Int, false),
            Self::Long => (TypeKind::BigInt, false),
            Self::Double => (TypeKind::Double, false),
            Self::Boolean => (TypeKind::Boolean, false),
            Self::MaybeDate => (TypeKind::Date, true),
            Self::MaybeTimestamp => (TypeKind::Timestamp(3), true),
        };
        FlinkType {
            kind,
            nullable: always_nullable || any_nullable(args),
        }
    }
}

/// Finds the overload that takes the arguments; returns them converted, with the result type.
///
/// # Errors
/// `Invalid` naming every overload.
pub(crate) fn by_signature(
    name: &str,
    args: &[Expr],
    overloads: &[&[Param]],
    output: Output,
) -> Result<(Vec<Expr>, FlinkType)> {
    let accepted = overloads.iter().find_map(|params| accept_all(params, args));
    let Some(args) = accepted else {
        let listed: Vec<String> = overloads
            .iter()
            .map(|params| {
                let words: Vec<&str> = params.iter().map(|param| param.word()).collect();
                format!("({})", words.join(", "))
            })
            .collect();
        return Err(mismatch(name, args, &listed.join(" or ")));
    };
    let ty = output.ty(&args);
    Ok((args, ty))
}

/// The arguments converted to one overload's parameters, if it takes them.
fn accept_all(params: &[Param], args: &[Expr]) -> Option<Vec<Expr>> {
    let variadic = params.last() == Some(&Param::Texts);
    let fits = if variadic {
        args.len() >= params.len()
    } else {
        args.len() == params.len()
    };
    if !fits {
        return None;
    }
    args.iter()
        .enumerate()
        .map(|(i, arg)| {
            params
                .get(i)
                .or(params.last())
                .and_then(|param| param.accept(arg))
        })
        .collect()
}

/// Requires a number of arguments.
///
/// # Errors
/// `Invalid` when there is another number.
pub(crate) fn count(
    name: &str,
    args: &[Expr],
    allowed: std::ops::RangeInclusive<usize>,
) -> Result<()> {
    if allowed.contains(&args.len()) {
        return Ok(());
    }
    let expected = if allowed.start() == allowed.end() {
        allowed.start().to_string()
    } else if *allowed.end() == usize::MAX {
        format!("at least {}", allowed.start())
    } else {
        format!("{} to {}", allowed.start(), allowed.end())
    };
    Err(Error::type_mismatch(format!(
        "{name} takes {expected} arguments, not {}",
        args.len()
    )))
}
