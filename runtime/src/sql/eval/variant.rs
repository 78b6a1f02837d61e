//! CAST of a VARIANT.
//!
//! Place in the flow: [`super::cast::cast`] comes here with the text of documents. Invariant: a document that is `null` becomes
//! NULL; any other changes its size but never its kind: a string is no number, a number no BOOLEAN.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};

use super::cast::{Cast, cast};
use super::json::number::Number;
use super::json::{Duplicates, Json, parse};
use crate::error::{Error, Result};
use crate::types::TypeKind;

/// Converts documents: scalars by the rules of texts, arrays and objects to their JSON.
///
/// # Errors
/// `Data` for a value of another kind or out of range, unless the cast is lenient.
pub(super) fn from_variant(documents: &StringArray, how: &Cast<'_>) -> Result<ArrayRef> {
    let mut texts: Vec<Option<String>> = Vec::with_capacity(documents.len());
    for document in documents {
        let Some(document) = document else {
            texts.push(None);
            continue;
        };
        let value = parse(document, Duplicates::KeepLast)
            .map_err(|fault| Error::internal(format!("a VARIANT is no document: {fault}")))?;
        texts.push(match (&value, text_of(&value, &how.to.kind)) {
            (Json::Null, _) => None,
            (_, Some(text)) => Some(text),
            (_, None) => how.failed(document)?,
        });
    }
    let texts: ArrayRef = Arc::new(StringArray::from(texts));
    let from = TypeKind::string().nullable();
    let step = Cast {
        from: &from,
        ..*how
    };
    cast(&texts, &step)
}

/// The text that casts to the type as the value does; absent when it has another kind or is out of range.
fn text_of(value: &Json<'_>, to: &TypeKind) -> Option<String> {
    match (value, to) {
        (Json::String(text), kind) if kind.is_character() => Some(text.clone().into_owned()),
        (_, kind) if kind.is_character() => Some(value.to_json_verbatim()),
        (Json::Boolean(value), TypeKind::Boolean) => Some(value.to_string()),
        (Json::Number(text), TypeKind::Float) => {
            let value: f32 = text.parse().ok()?;
            value.is_finite().then(|| text.to_string())
        }
        (Json::Number(text), kind) if kind.is_integer() => {
            Some(Number::parse(text)?.truncated()?.to_string())
        }
        (Json::Number(text), kind) if kind.is_numeric() => Some(text.to_string()),
        _ => None,
    }
}
