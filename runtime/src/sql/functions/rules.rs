//! Argument and result-type rules that many functions share.
//!
//! Place in the flow: [`super::resolve`] applies a [`super::Resolve::Signature`] with [`by_signature`]. Invariant: after a
//! rule has accepted arguments, each has exactly the type its kernel reads.

use super::{any_nullable, mismatch};
use crate::error::{Error, Result};
use crate::sql::expr::Expr;
use crate::sql::typing::{convert, implicit_cast, length_of};
use crate::types::{FlinkType, MAX_LENGTH, TypeKind};

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
    /// The character type of the first argument.
    SameText,
    /// VARCHAR of the length of the argument at a position.
    Varying(usize),
    /// The same, NULL also for arguments that are not.
    MaybeVarying(usize),
    /// VARCHAR of the length of the last argument.
    VaryingLast,
    /// VARCHAR of the lengths of the first two arguments together.
    VaryingSum,
    /// The same, CHAR when both are CHAR.
    Sum,
    /// CHAR of a length.
    Char(u32),
    /// VARCHAR of a length.
    VarChar(u32),
    /// STRING, NULL exactly when the first argument is.
    TextOfFirst,
    /// BYTES.
    Bytes,
    /// BYTES, NULL also for arguments that are not.
    MaybeBytes,
    /// ARRAY of STRING, NULL also for arguments that are not.
    MaybeTexts,
    /// INT.
    Int,
    /// INT, NULL also for arguments that are not.
    MaybeInt,
    /// BIGINT.
    Long,
    /// BIGINT, NULL also for arguments that are not.
    MaybeLong,
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
        let strict = any_nullable(args);
        let varying = |i: usize| {
            let kind = args.get(i).map(|arg| &arg.ty.kind);
            TypeKind::VarChar(kind.map_or(MAX_LENGTH, length_of))
        };
        let (kind, nullable) = match self {
            Self::Text => (TypeKind::string(), strict),
            Self::MaybeText => (TypeKind::string(), true),
            Self::SameText => {
                let kind = args.first().map(|arg| arg.ty.kind.clone());
                (kind.unwrap_or_else(TypeKind::string), strict)
            }
            Self::Varying(i) => (varying(i), strict),
            Self::MaybeVarying(i) => (varying(i), true),
            Self::VaryingLast => (varying(args.len().saturating_sub(1)), strict),
            Self::VaryingSum => (TypeKind::VarChar(sum_of_lengths(args)), strict),
            Self::Sum => {
                let fixed = args
                    .iter()
                    .all(|arg| matches!(arg.ty.kind, TypeKind::Char(_)));
                let length = sum_of_lengths(args);
                let kind = if fixed {
                    TypeKind::Char(length)
                } else {
                    TypeKind::VarChar(length)
                };
                (kind, strict)
            }
            Self::Char(n) => (TypeKind::Char(n), strict),
            Self::VarChar(n) => (TypeKind::VarChar(n), strict),
            Self::TextOfFirst => (
                TypeKind::string(),
                any_nullable(args.get(..1).unwrap_or(args)),
            ),
            Self::Bytes => (TypeKind::bytes(), strict),
            Self::MaybeBytes => (TypeKind::bytes(), true),
            Self::MaybeTexts => {
                let element = TypeKind::string().nullable();
                (TypeKind::Array(Box::new(element)), true)
            }
            Self::Int => (TypeKind::Int, strict),
            Self::MaybeInt => (TypeKind::Int, true),
            Self::Long => (TypeKind::BigInt, strict),
            Self::MaybeLong => (TypeKind::BigInt, true),
            Self::Double => (TypeKind::Double, strict),
            Self::Boolean => (TypeKind::Boolean, strict),
            Self::MaybeDate => (TypeKind::Date, true),
            Self::MaybeTimestamp => (TypeKind::Timestamp(3), true),
        };
        FlinkType { kind, nullable }
    }
}

/// The lengths of the first two arguments together, as Calcite types `||`.
fn sum_of_lengths(args: &[Expr]) -> u32 {
    let lengths = args.iter().take(2).map(|arg| length_of(&arg.ty.kind));
    lengths.fold(0, u32::saturating_add).min(MAX_LENGTH)
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
