//! Lengths of character and byte strings.
//!
//! Place in the flow: a part of the checks of a sink. Invariant: characters are counted, not their bytes; a string that fits is not
//! touched, and NULL has no length.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, StringArray, StringBuilder,
};
use arrow::buffer::BooleanBuffer;

use crate::types::{MAX_LENGTH, TypeKind};

/// The length that values of a type have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Length {
    /// What is counted.
    unit: Unit,
    /// The longest; the only one of CHAR and BINARY.
    max: usize,
    /// Whether shorter ones are too short.
    fixed: bool,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Unicode code points.
    Characters,
    /// Bytes.
    Bytes,
}

impl Length {
    /// That of a type; absent when it has none.
    pub(super) fn of(kind: &TypeKind) -> Option<Self> {
        let (unit, max, fixed) = match kind {
            TypeKind::Char(max) => (Unit::Characters, *max, true),
            TypeKind::VarChar(max) => (Unit::Characters, *max, false),
            TypeKind::Binary(max) => (Unit::Bytes, *max, true),
            TypeKind::VarBinary(max) => (Unit::Bytes, *max, false),
            _ => return None,
        };
        (max < MAX_LENGTH).then_some(Self {
            unit,
            max: usize::try_from(max).unwrap_or(usize::MAX),
            fixed,
        })
    }

    /// Whether bytes are counted.
    pub(super) fn is_bytes(self) -> bool {
        self.unit == Unit::Bytes
    }

    /// Whether a length is right.
    fn takes(self, length: usize) -> bool {
        length == self.max || (length < self.max && !self.fixed)
    }

    /// The first live entry of another length, and its length.
    pub(super) fn violation(
        self,
        array: &ArrayRef,
        live: &BooleanBuffer,
    ) -> Option<(usize, usize)> {
        let mut present = live.set_indices().filter(|entry| array.is_valid(*entry));
        let wrong = |length: usize| (!self.takes(length)).then_some(length);
        match self.unit {
            Unit::Characters => {
                let texts = array.as_string::<i32>();
                present.find_map(|entry| Some((entry, wrong(texts.value(entry).chars().count())?)))
            }
            Unit::Bytes => {
                let values = array.as_binary::<i32>();
                present.find_map(|entry| Some((entry, wrong(values.value(entry).len())?)))
            }
        }
    }

    /// Cuts what is too long and fills up what is too short.
    pub(super) fn fit(self, array: &mut ArrayRef) {
        let live = BooleanBuffer::new_set(array.len());
        if self.violation(array, &live).is_none() {
            return;
        }
        *array = match self.unit {
            Unit::Characters => Arc::new(self.fit_texts(array.as_string::<i32>())),
            Unit::Bytes => Arc::new(self.fit_bytes(array.as_binary::<i32>())),
        };
    }

    /// Cuts, or fills up with spaces.
    fn fit_texts(self, texts: &StringArray) -> StringArray {
        let mut fitted = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
        let mut filled = String::new();
        for text in texts {
            let Some(text) = text else {
                fitted.append_null();
                continue;
            };
            let end = text.char_indices().nth(self.max);
            let cut = end.map_or(text, |(end, _)| &text[..end]);
            if !self.fixed {
                fitted.append_value(cut);
                continue;
            }
            filled.clear();
            filled.push_str(cut);
            let missing = self.max - cut.chars().count();
            filled.extend(std::iter::repeat_n(' ', missing));
            fitted.append_value(&filled);
        }
        fitted.finish()
    }

    /// Cuts, or fills up with zeros.
    fn fit_bytes(self, values: &BinaryArray) -> BinaryArray {
        let mut fitted = BinaryBuilder::with_capacity(values.len(), values.value_data().len());
        let mut filled = Vec::new();
        for value in values {
            let Some(value) = value else {
                fitted.append_null();
                continue;
            };
            let cut = &value[..value.len().min(self.max)];
            if !self.fixed {
                fitted.append_value(cut);
                continue;
            }
            filled.clear();
            filled.extend_from_slice(cut);
            filled.resize(self.max, 0);
            fitted.append_value(&filled);
        }
        fitted.finish()
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match (self.unit, self.fixed) {
            (Unit::Characters, true) => "CHAR",
            (Unit::Characters, false) => "VARCHAR",
            (Unit::Bytes, true) => "BINARY",
            (Unit::Bytes, false) => "VARBINARY",
        };
        write!(f, "{name}({})", self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of texts.
    fn fitted(kind: &TypeKind, texts: &[Option<&str>]) -> Vec<Option<String>> {
        let mut array: ArrayRef = Arc::new(texts.iter().copied().collect::<StringArray>());
        Length::of(kind).unwrap().fit(&mut array);
        let texts = array.as_string::<i32>().iter();
        texts.map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn characters_are_cut_and_filled_up() {
        let texts = [Some("äöü"), None, Some("ß"), Some(""), Some("ab")];
        let of = |texts: [&str; 4]| {
            let [a, b, c, d] = texts.map(|text| Some(text.to_owned()));
            [a, None, b, c, d]
        };
        assert_eq!(
            fitted(&TypeKind::Char(2), &texts),
            of(["äö", "ß ", "  ", "ab"])
        );
        assert_eq!(
            fitted(&TypeKind::VarChar(2), &texts),
            of(["äö", "ß", "", "ab"])
        );
        assert!(Length::of(&TypeKind::string()).is_none());
    }

    #[test]
    fn bytes_are_cut_and_filled_up() {
        let values: [Option<&[u8]>; 3] = [Some(&[1, 2, 3]), None, Some(&[9])];
        for (kind, expected) in [
            (
                TypeKind::Binary(2),
                [Some(&[1_u8, 2][..]), None, Some(&[9, 0])],
            ),
            (
                TypeKind::VarBinary(2),
                [Some(&[1, 2][..]), None, Some(&[9])],
            ),
        ] {
            let mut array: ArrayRef = Arc::new(values.into_iter().collect::<BinaryArray>());
            Length::of(&kind).unwrap().fit(&mut array);
            let found: Vec<Option<&[u8]>> = array.as_binary::<i32>().iter().collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn lengths_of_entries_that_do_not_live_are_not_looked_at() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("abc"), None, Some("a")]));
        let live = BooleanBuffer::from(vec![false, true, true]);
        let of = |kind: &TypeKind| Length::of(kind).unwrap();
        assert_eq!(
            of(&TypeKind::Char(2)).violation(&texts, &live),
            Some((2, 1))
        );
        assert_eq!(of(&TypeKind::VarChar(2)).violation(&texts, &live), None);
        let all = BooleanBuffer::new_set(3);
        assert_eq!(
            of(&TypeKind::VarChar(2)).violation(&texts, &all),
            Some((0, 3))
        );
        assert_eq!(of(&TypeKind::Char(2)).to_string(), "CHAR(2)");
    }
}
