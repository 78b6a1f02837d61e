//! `JSON_EXISTS`, `JSON_VALUE` and `JSON_QUERY`.
//!
//! Place in the flow: rows of the function table. Clauses arrive as literal arguments; the binder's arguments and the kernel's
//! differ only in that RETURNING has become the type of the call. Invariant: a document or path that is NULL gives NULL,
//! whatever the clauses say.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field};

use super::returning;
use super::{character, word};
use crate::error::{Error, Result, Span};
use crate::sql::eval::call::{Arg, Call};
use crate::sql::eval::json::{Duplicates, Json, Mode, PathSpec, parse};
use crate::sql::expr::Expr;
use crate::sql::functions::{Function, Resolve, call};
use crate::sql::typing::explicit_cast;
use crate::types::{FlinkType, TypeKind};

/// Most paths of one batch that are kept compiled.
///
/// # Source
/// Guess, unmeasured: a path is a constant nearly always.
const PATHS_MAX: usize = 64;

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("JSON_EXISTS", Resolve::Custom(exists_type), exists).failing(),
        Function::new("JSON_VALUE", Resolve::Custom(value_type), value).failing(),
        Function::new("JSON_QUERY", Resolve::Custom(query_type), query).failing(),
    ]
}

/// The error for a call that the dialect has not parsed.
fn malformed(name: &str) -> Error {
    Error::syntax(format!(
        "{name} is written {name}(document, path ...), without back-ticks"
    ))
}

/// The type in a literal of RETURNING; STRING when it is empty.
fn returning_type(name: &str, clause: &Expr) -> Result<FlinkType> {
    match word(clause) {
        Some("") => Ok(TypeKind::string().nullable()),
        Some(json) => serde_json::from_str(json).map_err(|_| malformed(name)),
        None => Err(malformed(name)),
    }
}

/// `JSON_EXISTS(document, path, on error)`.
fn exists_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    let Ok([document, path, on_error]) = <[Expr; 3]>::try_from(args) else {
        return Err(malformed(name));
    };
    word(&on_error).ok_or_else(|| malformed(name))?;
    let args = vec![character(name, document)?, character(name, path)?, on_error];
    Ok(call(name, args, TypeKind::Boolean.nullable(), span))
}

/// `JSON_VALUE(document, path, type, on empty, default, on error, default)`.
fn value_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    let Ok([document, path, ty, on_empty, if_empty, on_error, if_error]) =
        <[Expr; 7]>::try_from(args)
    else {
        return Err(malformed(name));
    };
    let ty = returning_type(name, &ty)?.with_nullable(true);
    returning::check(name, &ty.kind)?;
    word(&on_empty)
        .zip(word(&on_error))
        .ok_or_else(|| malformed(name))?;
    let default = |value: Expr| {
        let place = value.span;
        explicit_cast(value, ty.clone(), false, place)
    };
    let args = vec![
        character(name, document)?,
        character(name, path)?,
        on_empty,
        default(if_empty)?,
        on_error,
        default(if_error)?,
    ];
    Ok(call(name, args, ty, span))
}

/// `JSON_QUERY(document, path, type, wrapper, on empty, on error)`.
fn query_type(name: &'static str, args: Vec<Expr>, span: Span) -> Result<Expr> {
    let Ok([document, path, ty, wrapper, on_empty, on_error]) = <[Expr; 6]>::try_from(args) else {
        return Err(malformed(name));
    };
    let ty = returning_type(name, &ty)?.with_nullable(true);
    match &ty.kind {
        TypeKind::VarChar(_) => {}
        TypeKind::Array(element) if matches!(element.kind, TypeKind::VarChar(_)) => {
            for (clause, when) in [(&on_error, "error"), (&on_empty, "empty")] {
                if word(clause) == Some(EMPTY_OBJECT) {
                    return Err(Error::validation(format!(
                        "JSON_QUERY that returns {ty} has no EMPTY OBJECT on {when}"
                    )));
                }
            }
        }
        other => {
            return Err(Error::type_mismatch(format!(
                "JSON_QUERY returns STRING or ARRAY<STRING>, not {other}"
            )));
        }
    }
    let clauses = [&wrapper, &on_empty, &on_error];
    if clauses.into_iter().any(|clause| word(clause).is_none()) {
        return Err(malformed(name));
    }
    let args = vec![
        character(name, document)?,
        character(name, path)?,
        wrapper,
        on_empty,
        on_error,
    ];
    Ok(call(name, args, ty, span))
}

/// Clause: nothing is an empty object.
const EMPTY_OBJECT: &str = "EMPTY OBJECT";

/// What a path finds in the document of a row.
pub(super) enum Found<'r, 'a> {
    /// The document or the path is NULL.
    Null,
    /// Nothing.
    Empty,
    /// An error.
    Fault(String),
    /// A part, and the mode it was found in.
    Part(Mode, Cow<'r, Json<'a>>),
}

/// The documents and paths of a call.
pub(super) struct Documents<'a> {
    /// Documents.
    texts: Arg<'a, StringArray>,
    /// Paths.
    paths: Arg<'a, StringArray>,
    /// Paths by their text.
    compiled: HashMap<&'a str, PathSpec>,
}

impl<'a> Documents<'a> {
    /// The first two arguments of a call.
    ///
    /// # Errors
    /// `Internal` when they are no character strings.
    pub(super) fn new(call: &Call<'a>) -> Result<Self> {
        Ok(Self {
            texts: call.text(0)?,
            paths: call.text(1)?,
            compiled: HashMap::new(),
        })
    }

    /// Hands what is found in a row to `read`.
    pub(super) fn find<T>(&mut self, row: usize, read: impl FnOnce(Found<'_, '_>) -> T) -> T {
        let (Some(text), Some(path)) = (self.texts.get(row), self.paths.get(row)) else {
            return read(Found::Null);
        };
        if self.compiled.len() >= PATHS_MAX && !self.compiled.contains_key(path) {
            self.compiled.clear();
        }
        let spec = self
            .compiled
            .entry(path)
            .or_insert_with(|| PathSpec::parse(path));
        match parse(text, Duplicates::KeepLast) {
            Err(_) if spec.mode == Mode::Lax => read(Found::Empty),
            Err(fault) => read(Found::Fault(fault)),
            Ok(document) => read(match spec.select(&document) {
                Ok(Some(part)) => Found::Part(spec.mode, part),
                Ok(None) => Found::Empty,
                Err(fault) => Found::Fault(fault),
            }),
        }
    }
}

/// The error of `ERROR ON ERROR`.
pub(super) fn failed(name: &str, fault: &str) -> Error {
    Error::arithmetic(format!("{name}: {fault}"))
}

/// The error of `ERROR ON EMPTY`.
pub(super) fn empty(name: &str) -> Error {
    Error::arithmetic(format!("{name}: the path finds nothing"))
}

/// A clause of a call.
pub(super) fn clause<'a>(call: &Call<'a>, arg: usize) -> Result<&'a str> {
    let text = call.text(arg)?.get(0);
    text.ok_or_else(|| Error::internal("a clause of a JSON function is NULL"))
}

/// `JSON_EXISTS`.
fn exists(call: &Call<'_>) -> Result<ArrayRef> {
    let mut documents = Documents::new(call)?;
    let on_error = clause(call, 2)?;
    call.booleans(|row| {
        documents.find(row, |found| match found {
            Found::Null => Ok(None),
            Found::Empty => Ok(Some(false)),
            Found::Part(..) => Ok(Some(true)),
            Found::Fault(fault) => match on_error {
                "TRUE" => Ok(Some(true)),
                "FALSE" => Ok(Some(false)),
                "UNKNOWN" => Ok(None),
                _ => Err(failed("JSON_EXISTS", &fault)),
            },
        })
    })
}

/// `JSON_VALUE`.
fn value(call: &Call<'_>) -> Result<ArrayRef> {
    returning::value(call)
}

/// A result of `JSON_QUERY`.
enum Queried {
    /// Text, or the only text that an EMPTY clause gives.
    Text(String),
    /// Elements of an array.
    Elements(Vec<Option<String>>),
}

/// How `JSON_QUERY` works.
struct Query<'a> {
    /// `WITHOUT`, `CONDITIONAL` or `UNCONDITIONAL`.
    wrapper: &'a str,
    /// What nothing becomes.
    on_empty: &'a str,
    /// What an error becomes.
    on_error: &'a str,
    /// Whether an array is wanted.
    is_array: bool,
}

impl Query<'_> {
    /// The result for what was found.
    fn result(&self, found: Found<'_, '_>) -> Result<Option<Queried>> {
        match found {
            Found::Null => Ok(None),
            Found::Empty => self.empty(),
            Found::Fault(fault) => self.failed(&fault),
            Found::Part(mode, part) => {
                let is_array = matches!(*part, Json::Array(_));
                let wraps = match self.wrapper {
                    "UNCONDITIONAL" => true,
                    "CONDITIONAL" => !is_array,
                    _ => false,
                };
                if wraps {
                    let elements = std::slice::from_ref(&*part);
                    return Ok(Some(self.elements(elements)));
                }
                match &*part {
                    Json::Array(elements) => Ok(Some(self.elements(elements))),
                    Json::Object(_) if self.is_array => self.failed("an object is no array"),
                    Json::Object(_) => Ok(Some(Queried::Text(part.to_json()))),
                    _ if mode == Mode::Lax => self.empty(),
                    _ => self.failed("strict mode takes an array or object, not a scalar"),
                }
            }
        }
    }

    /// The result for an array.
    fn elements(&self, elements: &[Json<'_>]) -> Queried {
        if self.is_array {
            let texts = elements.iter().map(|element| match element {
                Json::Null => None,
                other => Some(other.to_text()),
            });
            return Queried::Elements(texts.collect());
        }
        let mut out = String::from("[");
        for (i, element) in elements.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            element.write(&mut out);
        }
        out.push(']');
        Queried::Text(out)
    }

    /// What a clause gives; absent for NULL.
    fn fallback(&self, clause: &str) -> Option<Queried> {
        match clause {
            "EMPTY ARRAY" if self.is_array => Some(Queried::Elements(Vec::new())),
            "EMPTY ARRAY" => Some(Queried::Text("[]".to_owned())),
            EMPTY_OBJECT => Some(Queried::Text("{}".to_owned())),
            _ => None,
        }
    }

    /// The result for nothing.
    fn empty(&self) -> Result<Option<Queried>> {
        match self.on_empty {
            "ERROR" => Err(empty("JSON_QUERY")),
            clause => Ok(self.fallback(clause)),
        }
    }

    /// The result for an error.
    fn failed(&self, fault: &str) -> Result<Option<Queried>> {
        match self.on_error {
            "ERROR" => Err(failed("JSON_QUERY", fault)),
            clause => Ok(self.fallback(clause)),
        }
    }
}

/// `JSON_QUERY`.
fn query(call: &Call<'_>) -> Result<ArrayRef> {
    let mut documents = Documents::new(call)?;
    let query = Query {
        wrapper: clause(call, 2)?,
        on_empty: clause(call, 3)?,
        on_error: clause(call, 4)?,
        is_array: matches!(call.ty.kind, TypeKind::Array(_)),
    };
    if !query.is_array {
        return call.texts(|row| {
            let result = documents.find(row, |found| query.result(found))?;
            Ok(result.and_then(|result| match result {
                Queried::Text(text) => Some(text),
                Queried::Elements(_) => None,
            }))
        });
    }
    let field = Arc::new(Field::new("element", DataType::Utf8, true));
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(field);
    for row in 0..call.rows {
        match documents.find(row, |found| query.result(found))? {
            Some(Queried::Elements(elements)) => {
                for element in elements {
                    lists.values().append_option(element);
                }
                lists.append(true);
            }
            Some(Queried::Text(_)) | None => lists.append(false),
        }
    }
    Ok(Arc::new(lists.finish()) as Arc<dyn Array>)
}
