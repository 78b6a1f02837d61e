//! Filters of paths: `[?(@.price < 10 && @.title)]`.
//!
//! Place in the flow: part of a compiled path. Invariant: a comparison of values that do not compare is false, never an error.

use std::borrow::Cow;
use std::cmp::Ordering;

use regex::Regex;

use super::number::Number;
use super::parse::{Duplicates, parse};
use super::path::{Absent, Path, Scope};
use super::path_text::{Reader, compile};
use super::value::{Json, sort_keys};

/// How deeply parentheses and filters may nest.
///
/// # Source
/// Guess, unmeasured: far above what people write.
const DEPTH_MAX: usize = 50;

/// A condition on a part of a document.
#[derive(Debug, Clone)]
pub(crate) enum Filter {
    /// `a || b`.
    Any(Vec<Filter>),
    /// `a && b`.
    All(Vec<Filter>),
    /// `!a`.
    Not(Box<Filter>),
    /// `@.a`: the path selects something.
    Exists(Anchored),
    /// `a op b`.
    Compare(Operand, Operator, Operand),
}

/// A path from `@` or `$`.
#[derive(Debug, Clone)]
pub(crate) struct Anchored {
    /// The path.
    path: Path,
    /// Whether it starts at the root of the document.
    from_root: bool,
}

/// A side of a comparison.
#[derive(Debug, Clone)]
pub(crate) enum Operand {
    /// What a path selects.
    Path(Anchored),
    /// A constant.
    Literal(Json<'static>),
    /// `/pattern/i`.
    Pattern(Regex),
}

/// How two sides are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    /// `==`.
    Equal,
    /// `!=`.
    NotEqual,
    /// `===`.
    Same,
    /// `!==`.
    NotSame,
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
    /// `=~`.
    Matches,
    /// `in`.
    In,
    /// `nin`.
    NotIn,
    /// `subsetof`.
    SubsetOf,
    /// `anyof`.
    AnyOf,
    /// `noneof`.
    NoneOf,
    /// `all`.
    All,
    /// `contains`.
    Contains,
    /// `size`.
    Size,
    /// `empty`.
    Empty,
}

impl Anchored {
    /// What the path selects; absent when there is nothing.
    fn evaluate<'r, 'a>(
        &'r self,
        item: &'r Json<'a>,
        scope: Scope<'r, 'a, '_>,
        absent: Absent,
    ) -> Option<Cow<'r, Json<'a>>> {
        let start = if self.from_root { scope.root } else { item };
        self.path.evaluate(start, scope, absent).ok()
    }
}

impl Filter {
    /// Whether the condition holds for a part of a document.
    pub(super) fn accepts<'a>(&self, item: &Json<'a>, scope: Scope<'_, 'a, '_>) -> bool {
        match self {
            Self::Any(filters) => filters.iter().any(|filter| filter.accepts(item, scope)),
            Self::All(filters) => filters.iter().all(|filter| filter.accepts(item, scope)),
            Self::Not(filter) => !filter.accepts(item, scope),
            Self::Exists(path) => path.evaluate(item, scope, Absent::Require).is_some(),
            Self::Compare(left, operator, right) => {
                if let Operand::Pattern(pattern) = right {
                    let input = left.value(item, scope);
                    return *operator == Operator::Matches
                        && input.is_some_and(|input| matches(pattern, &input));
                }
                let (left, right) = (left.value(item, scope), right.value(item, scope));
                compare(left.as_deref(), *operator, right.as_deref())
            }
        }
    }
}

impl Operand {
    /// The value; absent for a path that selects nothing and for a pattern.
    fn value<'r, 'a>(
        &'r self,
        item: &'r Json<'a>,
        scope: Scope<'r, 'a, '_>,
    ) -> Option<Cow<'r, Json<'a>>> {
        match self {
            Self::Path(path) => path.evaluate(item, scope, Absent::Fail),
            Self::Literal(value) => Some(Cow::Borrowed(value)),
            Self::Pattern(_) => None,
        }
    }
}

/// Whether a pattern matches all of a scalar, or of any element of an array.
fn matches(pattern: &Regex, input: &Json<'_>) -> bool {
    match input {
        Json::Array(elements) => elements.iter().any(|element| matches(pattern, element)),
        Json::Object(_) | Json::Null => pattern.is_match(""),
        scalar => pattern.is_match(&scalar.to_text()),
    }
}

/// Whether a comparison holds.
fn compare(left: Option<&Json<'_>>, operator: Operator, right: Option<&Json<'_>>) -> bool {
    let ordered = |wanted: &[Ordering]| order(left, right).is_some_and(|o| wanted.contains(&o));
    match operator {
        Operator::Equal => present_and_equal(left, right),
        Operator::NotEqual => !present_and_equal(left, right),
        Operator::Same => same(left, right),
        Operator::NotSame => !same(left, right),
        Operator::Less => ordered(&[Ordering::Less]),
        Operator::LessOrEqual => ordered(&[Ordering::Less, Ordering::Equal]),
        Operator::Greater => ordered(&[Ordering::Greater]),
        Operator::GreaterOrEqual => ordered(&[Ordering::Greater, Ordering::Equal]),
        Operator::Matches => false,
        Operator::In => contains(right, left),
        Operator::NotIn => !contains(right, left),
        Operator::Contains => match (left, right) {
            (Some(Json::String(hay)), Some(Json::String(needle))) => hay.contains(needle.as_ref()),
            _ => contains(left, right),
        },
        Operator::SubsetOf => every(left, right),
        Operator::All => every(right, left),
        Operator::AnyOf => any_of(left, right),
        Operator::NoneOf => list(left).is_some() && list(right).is_some() && !any_of(left, right),
        Operator::Size => match (length(left), right) {
            (Some(length), Some(Json::Number(text))) => {
                Number::parse(text).and_then(|n| n.truncated()) == i128::try_from(length).ok()
            }
            _ => false,
        },
        Operator::Empty => match (length(left), right) {
            (Some(length), Some(Json::Boolean(wanted))) => (length == 0) == *wanted,
            _ => false,
        },
    }
}

/// The elements of an array.
fn list<'r, 'a>(value: Option<&'r Json<'a>>) -> Option<&'r [Json<'a>]> {
    match value {
        Some(Json::Array(elements)) => Some(elements),
        _ => None,
    }
}

/// Whether an array has a value among its elements.
fn contains(array: Option<&Json<'_>>, value: Option<&Json<'_>>) -> bool {
    let (Some(elements), Some(value)) = (list(array), value) else {
        return false;
    };
    elements.iter().any(|element| equal(element, value))
}

/// Whether an array has all elements of another.
fn every(part: Option<&Json<'_>>, whole: Option<&Json<'_>>) -> bool {
    let (Some(part), Some(_)) = (list(part), list(whole)) else {
        return false;
    };
    part.iter().all(|value| contains(whole, Some(value)))
}

/// Whether two arrays have an element in common.
fn any_of(left: Option<&Json<'_>>, right: Option<&Json<'_>>) -> bool {
    let elements = list(left).unwrap_or_default();
    elements.iter().any(|value| contains(right, Some(value)))
}

/// UTF-16 units of a string, elements or members.
fn length(value: Option<&Json<'_>>) -> Option<usize> {
    match value? {
        Json::String(text) => Some(text.encode_utf16().count()),
        Json::Array(elements) => Some(elements.len()),
        Json::Object(members) => Some(members.len()),
        _ => None,
    }
}

/// Equality of values that are there; what is not there equals nothing.
fn present_and_equal(left: Option<&Json<'_>>, right: Option<&Json<'_>>) -> bool {
    left.zip(right)
        .is_some_and(|(left, right)| equal(left, right))
}

/// Equality of values of the same kind only.
fn same(left: Option<&Json<'_>>, right: Option<&Json<'_>>) -> bool {
    let (Some(left), Some(right)) = (left, right) else {
        return false;
    };
    std::mem::discriminant(left) == std::mem::discriminant(right) && equal(left, right)
}

/// Equality: numbers by value, a number and a string by the number in the string.
fn equal(left: &Json<'_>, right: &Json<'_>) -> bool {
    match (left, right) {
        (Json::Null, Json::Null) => true,
        (Json::Boolean(a), Json::Boolean(b)) => a == b,
        (Json::String(a), Json::String(b)) => a == b,
        (Json::Number(a) | Json::String(a), Json::Number(b) | Json::String(b)) => {
            let (a, b) = (Number::parse(a), Number::parse(b));
            a.zip(b).is_some_and(|(a, b)| a.cmp(&b).is_eq())
        }
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Json::Object(a), Json::Object(_)) => {
            length(Some(left)) == length(Some(right))
                && a.iter()
                    .all(|(key, value)| right.get(key).is_some_and(|other| equal(value, other)))
        }
        _ => false,
    }
}

/// The order of two numbers or texts; a number and a text compare as texts.
fn order(left: Option<&Json<'_>>, right: Option<&Json<'_>>) -> Option<Ordering> {
    match (left?, right?) {
        (Json::Number(a), Json::Number(b)) => Some(Number::parse(a)?.cmp(&Number::parse(b)?)),
        (a @ (Json::Number(_) | Json::String(_)), b @ (Json::Number(_) | Json::String(_))) => {
            Some(sort_keys(&a.to_text(), &b.to_text()))
        }
        _ => None,
    }
}

/// Reads a filter.
pub(super) struct FilterParser<'p, 'c> {
    /// The path that the filter is part of.
    reader: &'p mut Reader<'c>,
    /// Open parentheses.
    depth: usize,
}

impl FilterParser<'_, '_> {
    /// Reads a condition up to the parenthesis that closes it.
    ///
    /// # Errors
    /// What is wrong, for users.
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Filter, String> {
        FilterParser { reader, depth: 0 }.any()
    }

    /// Reads `a || b`.
    fn any(&mut self) -> Result<Filter, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("a filter nests deeper than {DEPTH_MAX} levels"));
        }
        let mut filters = vec![self.all()?];
        while self.eat_twice('|') {
            filters.push(self.all()?);
        }
        self.depth -= 1;
        Ok(one_or(filters, Filter::Any))
    }

    /// Reads `a && b`.
    fn all(&mut self) -> Result<Filter, String> {
        let mut filters = vec![self.condition()?];
        while self.eat_twice('&') {
            filters.push(self.condition()?);
        }
        Ok(one_or(filters, Filter::All))
    }

    /// Takes `&&` or `||` behind blanks.
    fn eat_twice(&mut self, c: char) -> bool {
        self.reader.skip_blanks();
        let at = self.reader.at;
        let found = self.reader.chars.get(at..at + 2) == Some(&[c, c]);
        self.reader.at += if found { 2 } else { 0 };
        found
    }

    /// Reads a comparison, a path, or a condition in parentheses.
    fn condition(&mut self) -> Result<Filter, String> {
        self.reader.skip_blanks();
        if self.reader.eat('!') {
            self.reader.skip_blanks();
            if self.reader.peek() == Some('(') {
                return self.condition().map(|inner| Filter::Not(Box::new(inner)));
            }
            let path = self.path()?;
            return Ok(Filter::Not(Box::new(Filter::Exists(path))));
        }
        if self.reader.eat('(') {
            let inner = self.any()?;
            self.reader.expect(')')?;
            return Ok(inner);
        }
        let left = self.operand()?;
        self.reader.skip_blanks();
        if matches!(self.reader.peek(), None | Some(')' | '&' | '|')) {
            return match left {
                Operand::Path(path) => Ok(Filter::Exists(path)),
                _ => self.reader.fail("a comparison"),
            };
        }
        let operator = self.operator()?;
        self.reader.skip_blanks();
        Ok(Filter::Compare(left, operator, self.operand()?))
    }

    /// Reads an operator.
    fn operator(&mut self) -> Result<Operator, String> {
        let start = self.reader.at;
        let is_symbol = |c: Option<char>| matches!(c, Some('<' | '>' | '=' | '~' | '!'));
        if is_symbol(self.reader.peek()) {
            while is_symbol(self.reader.peek()) {
                self.reader.at += 1;
            }
        } else {
            while matches!(self.reader.peek(), Some(c) if c.is_alphabetic()) {
                self.reader.at += 1;
            }
        }
        let text = self.reader.since(start);
        Ok(match text.to_lowercase().as_str() {
            "==" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "===" => Operator::Same,
            "!==" => Operator::NotSame,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            "=~" => Operator::Matches,
            "in" => Operator::In,
            "nin" => Operator::NotIn,
            "subsetof" => Operator::SubsetOf,
            "anyof" => Operator::AnyOf,
            "noneof" => Operator::NoneOf,
            "all" => Operator::All,
            "contains" => Operator::Contains,
            "size" => Operator::Size,
            "empty" => Operator::Empty,
            _ => return Err(format!("filters have no operator \"{text}\"")),
        })
    }

    /// Reads a side of a comparison.
    fn operand(&mut self) -> Result<Operand, String> {
        match self.reader.peek() {
            Some('$' | '@') => Ok(Operand::Path(self.path()?)),
            Some('\'' | '"') => {
                let text = self.reader.quoted()?;
                Ok(Operand::Literal(Json::String(Cow::Owned(text))))
            }
            Some('/') => self.pattern(),
            Some('[' | '{') => {
                let start = self.reader.at;
                self.skip_brackets()?;
                let text = self.reader.since(start).replace('\'', "\"");
                let value = parse(&text, Duplicates::KeepLast)?;
                Ok(Operand::Literal(into_static(value)))
            }
            _ => {
                let start = self.reader.at;
                let is_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '+' | '.' | '_');
                while self.reader.peek().is_some_and(is_word) {
                    self.reader.at += 1;
                }
                let text = self.reader.since(start);
                let value = parse(&text, Duplicates::KeepLast)
                    .map_err(|_| format!("\"{text}\" is not a value of a filter"))?;
                Ok(Operand::Literal(into_static(value)))
            }
        }
    }

    /// Reads `/pattern/flags`.
    fn pattern(&mut self) -> Result<Operand, String> {
        self.reader.at += 1;
        let start = self.reader.at;
        while !matches!(self.reader.peek(), None | Some('/')) {
            let is_escape = self.reader.eat('\\');
            self.reader.at += usize::from(!is_escape || self.reader.peek().is_some());
        }
        let pattern = self.reader.since(start);
        self.reader.expect('/')?;
        let start = self.reader.at;
        while matches!(self.reader.peek(), Some(c) if c.is_alphabetic()) {
            self.reader.at += 1;
        }
        let flags = self.reader.since(start);
        let flags = if flags.is_empty() {
            String::new()
        } else {
            format!("(?{flags})")
        };
        let whole = format!("{flags}^(?:{})$", pattern.replace("\\/", "/"));
        let regex = Regex::new(&whole).map_err(|_| format!("/{pattern}/ is not a pattern"))?;
        Ok(Operand::Pattern(regex))
    }

    /// Reads a path from `$` or `@` on.
    fn path(&mut self) -> Result<Anchored, String> {
        let start = self.reader.at;
        let from_root = match self.reader.peek() {
            Some('$') => true,
            Some('@') => false,
            _ => return self.reader.fail("\"@\" or \"$\""),
        };
        self.reader.at += 1;
        while let Some(c) = self.reader.peek() {
            match c {
                '[' => self.skip_brackets()?,
                '(' => {
                    self.reader.at += 1;
                    self.reader.expect(')')?;
                }
                '<' | '>' | '=' | '~' | '!' | '&' | '|' | ' ' | ')' => break,
                _ => self.reader.at += 1,
            }
        }
        Ok(Anchored {
            path: compile(&self.reader.since(start))?,
            from_root,
        })
    }

    /// Passes brackets and what is between them, texts in quotes included.
    fn skip_brackets(&mut self) -> Result<(), String> {
        let mut open = 0_usize;
        while let Some(c) = self.reader.peek() {
            match c {
                '[' | '{' => open += 1,
                ']' | '}' => open = open.saturating_sub(1),
                '\'' | '"' => {
                    self.reader.quoted()?;
                    continue;
                }
                _ => {}
            }
            self.reader.at += 1;
            if open == 0 {
                return Ok(());
            }
        }
        self.reader.fail("a closing bracket")
    }
}

/// The only filter, or all of them in one.
fn one_or(mut filters: Vec<Filter>, all: fn(Vec<Filter>) -> Filter) -> Filter {
    match filters.pop() {
        Some(only) if filters.is_empty() => only,
        last => {
            filters.extend(last);
            all(filters)
        }
    }
}

/// A value that owns its texts.
fn into_static(value: Json<'_>) -> Json<'static> {
    let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    match value {
        Json::Null => Json::Null,
        Json::Boolean(value) => Json::Boolean(value),
        Json::Number(text) => Json::Number(own(text)),
        Json::String(text) => Json::String(own(text)),
        Json::Array(elements) => Json::Array(elements.into_iter().map(into_static).collect()),
        Json::Object(members) => Json::Object(
            members
                .into_iter()
                .map(|(key, value)| (own(key), into_static(value)))
                .collect(),
        ),
    }
}
