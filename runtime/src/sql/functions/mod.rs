//! The function table: name, signature, result type, nullability, volatility and kernel.
//!
//! Enters: a function or operator name with bound arguments. Leaves: a typed call whose arguments are cast to what the
//! kernel takes. [`resolve`] is used by the binder, `lookup` by the evaluator; both read the same table, so a name that
//! binds can be evaluated.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use arrow::array::ArrayRef;

use crate::error::{Error, Result, Span, unknown_name};
use crate::sql::eval::call::Call;
use crate::sql::expr::Expr;
use crate::types::FlinkType;

mod arithmetic;
mod collection;
mod comparison;
mod conditional;
mod encoding;
pub(crate) mod json;
mod logic;
mod math;
pub(crate) mod pattern;
mod printf;
mod random;
mod rules;
mod string;
#[cfg(test)]
mod testing;
mod time;
mod type_of;

pub(crate) use comparison::is_ordered;
pub(crate) use rules::{Output, Param};

/// When a function may give another result for the same arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volatility {
    /// Never.
    Immutable,
    /// With every batch: time and watermark.
    Batch,
    /// With every row: UUID.
    Row,
}

/// Checks arguments, casts them and builds the call.
pub(crate) type Custom = fn(&'static str, Vec<Expr>, Span) -> Result<Expr>;

/// How the arguments are checked and what the call becomes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Resolve {
    /// Overloads of fixed parameter types, the first that fits wins.
    Signature(&'static [&'static [Param]], Output),
    /// Anything else.
    Custom(Custom),
}

/// Computes one value per row.
pub(crate) type Kernel = fn(&Call<'_>) -> Result<ArrayRef>;

/// A row of the function table.
#[derive(Debug)]
pub(crate) struct Function {
    /// Upper case; operators by their symbol.
    pub(crate) name: &'static str,
    /// Argument, result-type and nullability rule.
    pub(crate) resolve: Resolve,
    /// When results change.
    pub(crate) volatility: Volatility,
    /// Whether the kernel may return a `Data` error for some arguments.
    pub(crate) can_fail: bool,
    /// The computation.
    pub(crate) kernel: Kernel,
}

impl Function {
    /// An immutable function that never fails.
    const fn new(name: &'static str, resolve: Resolve, kernel: Kernel) -> Self {
        Self {
            name,
            resolve,
            volatility: Volatility::Immutable,
            can_fail: false,
            kernel,
        }
    }

    /// The same function, which may fail on data.
    const fn failing(mut self) -> Self {
        self.can_fail = true;
        self
    }

    /// The same function with another volatility.
    const fn volatile(mut self, volatility: Volatility) -> Self {
        self.volatility = volatility;
        self
    }
}

/// Every function by name.
static TABLE: LazyLock<BTreeMap<&'static str, Function>> = LazyLock::new(|| {
    let families = [
        comparison::functions(),
        logic::functions(),
        arithmetic::functions(),
        conditional::functions(),
        string::functions(),
        pattern::functions(),
        encoding::functions(),
        printf::functions(),
        random::functions(),
        math::functions(),
        collection::functions(),
        json::functions(),
        time::functions(),
        type_of::functions(),
    ];
    families
        .into_iter()
        .flatten()
        .map(|function| (function.name, function))
        .collect()
});

/// Names that only the binder writes.
const INTERNAL: [&str; 2] = ["FIELD", json::JSON_VALUE_OF_CONSTRUCTOR];

/// Checks the arguments of a call, casts them and types the result.
///
/// # Errors
/// `Invalid` for an unknown name or arguments that the function does not take.
pub fn resolve(name: &str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    let Some(function) = TABLE.get(name) else {
        return Err(unknown_name("function", name, TABLE.keys().copied()).with_span(span));
    };
    match function.resolve {
        Resolve::Signature(overloads, output) => {
            rules::by_signature(function.name, &args, overloads, output)
                .map(|(args, ty)| call(function.name, args, ty, span))
        }
        Resolve::Custom(custom) => custom(function.name, args, span),
    }
    .map_err(|error| error.with_span(span))
}

/// Whether a function of that name exists.
pub fn is_function(name: &str) -> bool {
    TABLE.contains_key(name)
}

/// Names of all functions and operators, sorted.
pub fn names() -> Vec<&'static str> {
    TABLE
        .keys()
        .copied()
        .filter(|name| !INTERNAL.contains(name))
        .collect()
}

/// When the results of a function change; unknown names are immutable.
pub fn volatility(name: &str) -> Volatility {
    TABLE
        .get(name)
        .map_or(Volatility::Immutable, |function| function.volatility)
}

/// The table's row for a name.
///
/// # Errors
/// `Internal`: the binder lets only known names through.
pub(crate) fn lookup(name: &str) -> Result<&'static Function> {
    TABLE
        .get(name)
        .ok_or_else(|| Error::internal(format!("a plan calls the unknown function {name}")))
}

/// The error for arguments that a function does not take.
pub(crate) fn mismatch(name: &str, args: &[Expr], expected: &str) -> Error {
    let types: Vec<String> = args.iter().map(|arg| arg.ty.to_string()).collect();
    Error::type_mismatch(format!(
        "{name} does not take ({}), it takes {expected}",
        types.join(", ")
    ))
}

/// Whether any argument may be NULL, which makes a strict function's result nullable.
pub(crate) fn any_nullable(args: &[Expr]) -> bool {
    args.iter()
        .any(|arg| arg.ty.nullable || arg.ty.kind == crate::types::TypeKind::Null)
}

/// A typed call.
pub(crate) fn call(name: &str, args: Vec<Expr>, ty: FlinkType, span: Span) -> Expr {
    Expr {
        kind: crate::sql::expr::ExprKind::Call {
            function: name.to_owned(),
            args,
        },
        ty,
        span,
    }
}
