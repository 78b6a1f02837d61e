//! `JSON_OBJECT`, `JSON_ARRAY`, `JSON` and `JSON_STRING`.
//!
//! Place in the flow: rows of the function table. A call of `JSON_OBJECT` or `JSON_ARRAY` carries two literals before its
//! values: what becomes of NULL, and one character per value that says whether it is JSON already. Invariant: documents
//! written here have ascending keys and can be read again.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef};

use super::{character, literal, word};
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::Call;
use crate::sql::eval::json::{Duplicates, encode, parse};
use crate::sql::expr::{Expr, ExprKind};
use crate::sql::functions::rules::count;
use crate::sql::functions::{Function, Resolve, any_nullable, call, mismatch};
use crate::types::TypeKind;

/// Clause: members and elements that are NULL become `null`.
pub(crate) const NULL_ON_NULL: &str = "NULL ON NULL";

/// Clause: members and elements that are NULL are left out.
pub(crate) const ABSENT_ON_NULL: &str = "ABSENT ON NULL";

/// Name of `JSON(...)` where it is a value of `JSON_OBJECT` or `JSON_ARRAY`; the dialect writes it.
pub(crate) const JSON_VALUE_OF_CONSTRUCTOR: &str = "JSON DOCUMENT";

/// Mark of a value that is JSON already.
const RAW: char = 'J';

/// Mark of any other value.
const PLAIN: char = 'V';

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("JSON_OBJECT", Resolve::Custom(object_type), object).failing(),
        Function::new("JSON_ARRAY", Resolve::Custom(array_type), array),
        Function::new("JSON_STRING", Resolve::Custom(string_type), string),
        Function::new("JSON", Resolve::Custom(misplaced), document).failing(),
        Function::new(
            JSON_VALUE_OF_CONSTRUCTOR,
            Resolve::Custom(document_type),
            document,
        )
        .failing(),
    ]
}

/// `JSON(x)` outside of a constructor.
fn misplaced(_: &'static str, _: Vec<Expr>, _: Span) -> Result<Expr> {
    Err(Error::validation(
        "JSON() is allowed only as a value of JSON_OBJECT() or JSON_ARRAY()",
    ))
}

/// `JSON(x)` in a constructor.
fn document_type(_: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count("JSON", &args, 1..=1)?;
    let args: Vec<Expr> = args
        .into_iter()
        .map(|arg| character("JSON", arg))
        .collect::<Result<_>>()?;
    let ty = TypeKind::string().nullable();
    Ok(call(JSON_VALUE_OF_CONSTRUCTOR, args, ty, span))
}

/// Whether a value is JSON already: another constructor or `JSON(...)`.
fn is_raw(value: &Expr) -> bool {
    match &value.kind {
        ExprKind::Call { function, .. } => matches!(
            function.as_str(),
            "JSON_OBJECT" | "JSON_ARRAY" | JSON_VALUE_OF_CONSTRUCTOR
        ),
        _ => false,
    }
}

/// The clause and marks before the arguments of a constructor.
fn with_marks(on_null: Expr, rest: Vec<Expr>, values: &[usize]) -> Result<Vec<Expr>> {
    let mut marks = String::new();
    for value in values.iter().filter_map(|i| rest.get(*i)) {
        encode::check_type(&value.ty).map_err(|error| error.with_span(value.span))?;
        marks.push(if is_raw(value) { RAW } else { PLAIN });
    }
    Ok([on_null, literal(&marks)].into_iter().chain(rest).collect())
}

/// Splits the clause off the arguments that the dialect writes.
fn split_clause(name: &str, args: Vec<Expr>) -> Result<(Expr, Vec<Expr>)> {
    let mut args = args.into_iter();
    match args.next() {
        Some(clause) if matches!(word(&clause), Some(NULL_ON_NULL | ABSENT_ON_NULL)) => {
            Ok((clause, args.collect()))
        }
        _ => Err(Error::syntax(format!(
            "{name} is written without back-ticks"
        ))),
    }
}

/// `JSON_OBJECT(KEY k VALUE v, ...)`.
fn object_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    let (on_null, mut rest) = split_clause(name, args)?;
    for i in (0..rest.len()).step_by(2) {
        let key = std::mem::replace(&mut rest[i], literal(""));
        if !key.ty.kind.is_character() {
            return Err(mismatch(name, &[key], "character strings as keys"));
        }
        rest[i] = key;
    }
    let values: Vec<usize> = (1..rest.len()).step_by(2).collect();
    let args = with_marks(on_null, rest, &values)?;
    Ok(call(name, args, TypeKind::string().not_null(), span))
}

/// `JSON_ARRAY(v, ...)`.
fn array_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    let (on_null, rest) = split_clause(name, args)?;
    let values: Vec<usize> = (0..rest.len()).collect();
    let args = with_marks(on_null, rest, &values)?;
    Ok(call(name, args, TypeKind::string().not_null(), span))
}

/// `JSON_STRING(v)`.
fn string_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    count(name, &args, 1..=1)?;
    encode::check_type(&args[0].ty)?;
    let nullable = any_nullable(&args);
    // What is JSON already stays as it is.
    let mark = literal(&String::from(if is_raw(&args[0]) { RAW } else { PLAIN }));
    let args = [mark].into_iter().chain(args).collect();
    let ty = TypeKind::string().nullable().with_nullable(nullable);
    Ok(call(name, args, ty, span))
}

/// The values of a constructor, read row by row.
struct Values<'c, 'a> {
    /// The call.
    call: &'c Call<'a>,
    /// One mark per value.
    marks: Vec<char>,
    /// Whether NULL becomes `null`.
    keeps_null: bool,
}

impl<'c, 'a> Values<'c, 'a> {
    /// Reads the literals of a constructor.
    fn new(call: &'c Call<'a>) -> Result<Self> {
        Ok(Self {
            call,
            marks: call.text(1)?.get(0).unwrap_or_default().chars().collect(),
            keeps_null: call.text(0)?.get(0) == Some(NULL_ON_NULL),
        })
    }

    /// The JSON of a value at an argument; absent when it is left out.
    fn get(&self, value: usize, arg: usize, row: usize) -> Result<Option<String>> {
        let entry = self.call.value(arg)?;
        let (array, at) = (entry.array(), if entry.is_scalar() { 0 } else { row });
        let ty = &self.call.types[arg];
        if ty.kind == TypeKind::Null || array.is_null(at) {
            return Ok(self.keeps_null.then(|| "null".to_owned()));
        }
        json_of(self.call, (self.marks.get(value), arg), row).map(Some)
    }
}

/// The JSON of an argument that is not NULL.
fn json_of(call: &Call<'_>, (mark, arg): (Option<&char>, usize), row: usize) -> Result<String> {
    if mark == Some(&RAW) {
        return Ok(call.text(arg)?.get(row).unwrap_or_default().to_owned());
    }
    let entry = call.value(arg)?;
    let at = if entry.is_scalar() { 0 } else { row };
    let mut out = String::new();
    encode::write(&mut out, entry.array(), at, &call.types[arg])?;
    Ok(out)
}

/// `JSON_OBJECT`: the last value of a key that occurs twice wins.
fn object(call: &Call<'_>) -> Result<ArrayRef> {
    let values = Values::new(call)?;
    let keys: Vec<_> = (2..call.args.len())
        .step_by(2)
        .map(|arg| call.text(arg))
        .collect::<Result<_>>()?;
    call.texts(|row| {
        let mut members: BTreeMap<Vec<u16>, (&str, String)> = BTreeMap::new();
        for (i, key) in keys.iter().enumerate() {
            let Some(key) = key.get(row) else {
                return Err(Error::arithmetic("a key of JSON_OBJECT is NULL"));
            };
            if let Some(value) = values.get(i, 2 * i + 3, row)? {
                // Java orders texts by UTF-16 units.
                members.insert(key.encode_utf16().collect(), (key, value));
            }
        }
        let mut out = String::from("{");
        for (i, (key, value)) in members.values().enumerate() {
            encode::write_key(&mut out, i, key);
            out.push_str(value);
        }
        out.push('}');
        Ok(Some(out))
    })
}

/// `JSON_ARRAY`.
fn array(call: &Call<'_>) -> Result<ArrayRef> {
    let values = Values::new(call)?;
    call.texts(|row| {
        let mut out = String::from("[");
        for arg in 2..call.args.len() {
            if let Some(value) = values.get(arg - 2, arg, row)? {
                if out.len() > 1 {
                    out.push(',');
                }
                out.push_str(&value);
            }
        }
        out.push(']');
        Ok(Some(out))
    })
}

/// `JSON_STRING`.
fn string(call: &Call<'_>) -> Result<ArrayRef> {
    let mark = call.text(0)?.get(0).and_then(|mark| mark.chars().next());
    let value = call.value(1)?;
    call.texts(|row| {
        let at = if value.is_scalar() { 0 } else { row };
        if call.types[1].kind == TypeKind::Null || value.array().is_null(at) {
            return Ok(None);
        }
        json_of(call, (mark.as_ref(), 1), row).map(Some)
    })
}

/// `JSON(x)`: the document with ascending keys and without blanks; NULL for a blank text.
fn document(call: &Call<'_>) -> Result<ArrayRef> {
    let s = call.text(0)?;
    call.texts(|row| {
        // Java's trim takes control characters for blanks.
        let trimmed = s.get(row).map(|s| s.trim_matches(|c: char| c <= ' '));
        let Some(text) = trimmed.filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        match parse(text, Duplicates::KeepLast) {
            Ok(value) => Ok(Some(value.to_json())),
            Err(fault) => Err(Error::arithmetic(format!(
                "JSON() of an invalid document: {fault}"
            ))),
        }
    })
}
