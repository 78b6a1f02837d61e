//! Paths into documents and what they select.
//!
//! Place in the flow: `path_text` compiles a text, the JSON functions call [`PathSpec::select`] per row. Invariant: a path does
//! a bounded amount of work on a document, whatever scans it nests.
//!
//! # Source
//! Flink evaluates paths with Jayway's `JsonPath`, in lax mode with its option `SUPPRESS_EXCEPTIONS`.

use std::borrow::Cow;

use super::budget::Budget;
use super::filter::Filter;
use super::path_text::compile;
use super::value::Json;

/// What a path does about parts that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They are empty.
    Lax,
    /// They are errors.
    Strict,
}

/// A path with its mode.
#[derive(Debug, Clone)]
pub(crate) struct PathSpec {
    /// What is written before the path; nothing means strict.
    pub(crate) mode: Mode,
    /// The path, or what is wrong with it.
    path: Result<Path, String>,
}

/// A compiled path.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    /// Steps from the root.
    pub(super) steps: Vec<Step>,
    /// A function of what the steps select.
    pub(super) function: Option<Function>,
}

/// A step of a path.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// `.name`, `['name']` and `['a', 'b']`.
    Property(Vec<String>),
    /// `[1]`, `[-1]` and `[0, 2]`.
    Index(Vec<i64>),
    /// `[from:to]`.
    Slice(Option<i64>, Option<i64>),
    /// `*`.
    Wildcard,
    /// `..`.
    Scan,
    /// `[?(...)]`.
    Filter(Box<Filter>),
}

/// A function at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    /// `length()` and `size()`.
    Length,
    /// `keys()`.
    Keys,
    /// `min()`.
    Min,
    /// `max()`.
    Max,
    /// `sum()`.
    Sum,
    /// `avg()`.
    Average,
    /// `first()`.
    First,
    /// `last()`.
    Last,
}

/// What happens when a property is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// Nothing is selected.
    Skip,
    /// An error, unless an earlier step selects any number of parts.
    Fail,
    /// An error in any case.
    Require,
}

/// Why nothing was selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// A part is not there.
    Missing(String),
    /// The path does not fit the document.
    Invalid(String),
}

impl Fault {
    /// The text for users.
    fn text(self) -> String {
        match self {
            Self::Missing(text) | Self::Invalid(text) => text,
        }
    }
}

/// The part that a path selects; absent when there is none, in lax mode.
pub(crate) type Selected<'r, 'a> = Result<Option<Cow<'r, Json<'a>>>, String>;

impl PathSpec {
    /// Reads `[lax|strict] path`.
    pub(crate) fn parse(text: &str) -> Self {
        let trimmed = text.trim_start();
        let (mode, path) = [("lax", Mode::Lax), ("strict", Mode::Strict)]
            .into_iter()
            .find_map(|(word, mode)| {
                let head = trimmed.get(..word.len())?;
                let rest = &trimmed[word.len()..];
                let is_mode = head.eq_ignore_ascii_case(word)
                    && rest.starts_with(char::is_whitespace)
                    && !rest.trim_start().is_empty();
                is_mode.then(|| (mode, rest.trim_start()))
            })
            .unwrap_or((Mode::Strict, text));
        Self {
            mode,
            path: compile(path),
        }
    }

    /// The selected part of a document, `null` apart: that is an error in strict mode and nothing in lax mode.
    ///
    /// # Errors
    /// What is wrong with the path, or in strict mode with the document.
    pub(crate) fn select<'r, 'a>(&'r self, root: &'r Json<'a>) -> Selected<'r, 'a> {
        let path = self.path.as_ref().map_err(Clone::clone)?;
        if matches!(root, Json::Null) {
            return Err("the document is null".to_owned());
        }
        let absent = match self.mode {
            Mode::Lax => Absent::Skip,
            Mode::Strict => Absent::Fail,
        };
        let budget = Budget::default();
        let scope = Scope {
            root,
            budget: &budget,
        };
        match path.evaluate(root, scope, absent) {
            Ok(value) if !matches!(*value, Json::Null) => Ok(Some(value)),
            Ok(_) | Err(Fault::Missing(_)) if self.mode == Mode::Lax => Ok(None),
            Ok(_) => Err("strict mode takes no null".to_owned()),
            Err(fault) => Err(fault.text()),
        }
    }
}

/// What a path and the filters in it share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'r, 'a, 'f> {
    /// What `$` means in filters.
    pub(super) root: &'r Json<'a>,
    /// What the evaluation may still cost.
    pub(super) budget: &'f Budget,
}

/// An evaluation under way.
struct Run<'r, 'a, 'f> {
    /// What filters share with it.
    scope: Scope<'r, 'a, 'f>,
    /// What happens about absent properties.
    absent: Absent,
    /// Selected so far.
    out: Vec<Cow<'r, Json<'a>>>,
}

impl Path {
    /// Whether the path selects one part at most.
    fn is_definite(&self) -> bool {
        self.is_definite_before(self.steps.len())
    }

    /// Whether the steps before one select one part at most.
    fn is_definite_before(&self, at: usize) -> bool {
        let last = self.steps.len();
        self.steps
            .iter()
            .take(at)
            .enumerate()
            .all(|(i, step)| match step {
                // Several properties at the end are merged to one object.
                Step::Property(names) => names.len() == 1 || i + 1 == last,
                Step::Index(indices) => indices.len() == 1,
                Step::Slice(..) | Step::Wildcard | Step::Scan | Step::Filter(_) => false,
            })
    }

    /// The selected part of `item`; an array of all parts when there may be many.
    pub(super) fn evaluate<'r, 'a>(
        &'r self,
        item: &'r Json<'a>,
        scope: Scope<'r, 'a, '_>,
        absent: Absent,
    ) -> Result<Cow<'r, Json<'a>>, Fault> {
        let mut run = Run {
            scope,
            absent,
            out: Vec::new(),
        };
        self.step(0, item, &mut run)?;
        let all = |parts: Vec<Cow<'r, Json<'a>>>| {
            for part in &parts {
                scope.budget.copy(part)?;
            }
            let parts = parts.into_iter().map(Cow::into_owned);
            Ok(Json::Array(parts.collect()))
        };
        if let Some(function) = self.function {
            if matches!(self.steps.first(), Some(Step::Scan)) {
                return apply(function, &all(run.out)?).map(Cow::Owned);
            }
            let applied = run
                .out
                .iter()
                .map(|part| apply(function, part).map(Cow::Owned));
            run.out = applied.collect::<Result<_, _>>()?;
        }
        if !self.is_definite() {
            return all(run.out).map(Cow::Owned);
        }
        let missing = || Fault::Missing("the path selects nothing".to_owned());
        run.out.pop().ok_or_else(missing)
    }

    /// Evaluates the steps from one on.
    fn step<'r, 'a>(
        &'r self,
        at: usize,
        model: &'r Json<'a>,
        run: &mut Run<'r, 'a, '_>,
    ) -> Result<(), Fault> {
        run.scope.budget.step()?;
        match self.steps.get(at) {
            None => {
                run.out.push(Cow::Borrowed(model));
                Ok(())
            }
            Some(Step::Property(names)) => self.property(at, names, model, run),
            Some(Step::Index(indices)) => {
                let Some(elements) = self.elements(at, model, run.absent)? else {
                    return Ok(());
                };
                indices
                    .iter()
                    .try_for_each(|index| self.element(at, elements, *index, run))
            }
            Some(Step::Slice(from, to)) => {
                let Some(elements) = self.elements(at, model, run.absent)? else {
                    return Ok(());
                };
                slice(elements.len(), *from, *to)
                    .try_for_each(|index| self.element(at, elements, index, run))
            }
            Some(Step::Wildcard) => {
                for part in parts(model) {
                    match self.step(at + 1, part, run) {
                        Err(Fault::Missing(_)) if run.absent != Absent::Require => {}
                        other => other?,
                    }
                }
                Ok(())
            }
            Some(Step::Scan) => self.scan(at, model, run),
            Some(Step::Filter(filter)) => self.filter(at, filter, model, run),
        }
    }

    /// Evaluates a step to one property or several.
    fn property<'r, 'a>(
        &'r self,
        at: usize,
        names: &'r [String],
        model: &'r Json<'a>,
        run: &mut Run<'r, 'a, '_>,
    ) -> Result<(), Fault> {
        let upstream_definite = self.is_definite_before(at);
        let Json::Object(members) = model else {
            if !upstream_definite || run.absent == Absent::Skip {
                return Ok(());
            }
            return Err(Fault::Missing(format!(
                "{} is not in an object",
                names.join(", ")
            )));
        };
        let is_last = at + 1 == self.steps.len();
        if let ([_, _, ..], true) = (names, is_last) {
            let wanted = names.iter().filter_map(|name| {
                let found = members.iter().find(|(key, _)| key == name);
                found.map(|(key, value)| (key.clone(), value.clone()))
            });
            let merged: Vec<_> = wanted.collect();
            run.scope.budget.copy(model)?;
            if merged.len() < names.len() && run.absent == Absent::Require {
                return Err(Fault::Missing("a property is not there".to_owned()));
            }
            run.out.push(Cow::Owned(Json::Object(merged)));
            return Ok(());
        }
        for name in names {
            if let Some(value) = model.get(name) {
                self.step(at + 1, value, run)?;
                continue;
            }
            let is_error = match run.absent {
                Absent::Skip => false,
                Absent::Fail => !is_last && upstream_definite && names.len() == 1,
                Absent::Require => true,
            };
            if is_error {
                return Err(Fault::Missing(format!("there is no property {name}")));
            }
        }
        Ok(())
    }

    /// The elements of what a step takes for an array; absent when it selects nothing.
    fn elements<'r, 'a>(
        &self,
        at: usize,
        model: &'r Json<'a>,
        absent: Absent,
    ) -> Result<Option<&'r [Json<'a>]>, Fault> {
        match model {
            Json::Array(elements) => Ok(Some(elements)),
            _ if !self.is_definite_before(at) || absent == Absent::Skip => Ok(None),
            _ => Err(Fault::Missing("an index applies to arrays only".to_owned())),
        }
    }

    /// Goes on from an element; indices below zero count from the end, those outside select nothing.
    fn element<'r, 'a>(
        &'r self,
        at: usize,
        elements: &'r [Json<'a>],
        index: i64,
        run: &mut Run<'r, 'a, '_>,
    ) -> Result<(), Fault> {
        let length = i64::try_from(elements.len()).unwrap_or(i64::MAX);
        let index = if index < 0 {
            length.saturating_add(index)
        } else {
            index
        };
        match usize::try_from(index)
            .ok()
            .and_then(|index| elements.get(index))
        {
            Some(element) => self.step(at + 1, element, run),
            None => Ok(()),
        }
    }

    /// Evaluates `..`: the next step on this part and all parts below it that it fits.
    fn scan<'r, 'a>(
        &'r self,
        at: usize,
        model: &'r Json<'a>,
        run: &mut Run<'r, 'a, '_>,
    ) -> Result<(), Fault> {
        if model.is_scalar() {
            return Ok(());
        }
        let fits = match self.steps.get(at + 1) {
            Some(Step::Property(names)) => {
                let is_one = names.len() == 1 || at + 2 == self.steps.len();
                let has_all = || names.iter().all(|name| model.get(name).is_some());
                matches!(model, Json::Object(_)) && (!is_one || has_all())
            }
            Some(Step::Index(_) | Step::Slice(..)) => matches!(model, Json::Array(_)),
            Some(Step::Wildcard) => true,
            Some(Step::Filter(filter)) => filter.accepts(model, run.scope),
            Some(Step::Scan) | None => false,
        };
        if fits {
            self.step(at + 1, model, run)?;
        }
        for part in parts(model) {
            run.scope.budget.step()?;
            self.scan(at, part, run)?;
        }
        Ok(())
    }

    /// Evaluates `[?(...)]`: on an array its elements, else the part itself.
    fn filter<'r, 'a>(
        &'r self,
        at: usize,
        filter: &'r Filter,
        model: &'r Json<'a>,
        run: &mut Run<'r, 'a, '_>,
    ) -> Result<(), Fault> {
        match model {
            Json::Object(_) if filter.accepts(model, run.scope) => self.step(at + 1, model, run),
            Json::Object(_) => Ok(()),
            Json::Array(elements) => {
                for element in elements {
                    if filter.accepts(element, run.scope) {
                        self.step(at + 1, element, run)?;
                    }
                }
                Ok(())
            }
            _ if self.is_definite_before(at) => Err(Fault::Invalid(
                "a filter does not apply to a scalar".to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

/// The direct parts of an array or object.
fn parts<'r, 'a>(model: &'r Json<'a>) -> Box<dyn Iterator<Item = &'r Json<'a>> + 'r> {
    match model {
        Json::Array(elements) => Box::new(elements.iter()),
        Json::Object(members) => Box::new(members.iter().map(|(_, value)| value)),
        _ => Box::new(std::iter::empty()),
    }
}

/// The indices of a slice.
fn slice(length: usize, from: Option<i64>, to: Option<i64>) -> std::ops::Range<i64> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    match (from, to) {
        (Some(from), None) if from < 0 => length.saturating_add(from).max(0)..length,
        (Some(from), None) => from..length,
        // A negative start stays as it is: each index of the slice counts from the end on its own.
        (Some(from), Some(to)) => from.max(-length)..to.min(length),
        (None, Some(to)) if to < 0 => 0..length.saturating_add(to),
        (None, Some(to)) => 0..to.min(length),
        (None, None) => 0..0,
    }
}

/// The function of a part.
fn apply<'a>(function: Function, model: &Json<'a>) -> Result<Json<'a>, Fault> {
    let number = |text: String| Json::Number(Cow::Owned(text));
    Ok(match (function, model) {
        (Function::Length, Json::Array(elements)) => number(elements.len().to_string()),
        (Function::Length, Json::Object(members)) => number(members.len().to_string()),
        (Function::Keys, Json::Object(members)) => Json::Array(
            members
                .iter()
                .map(|(key, _)| Json::String(key.clone()))
                .collect(),
        ),
        (Function::First, Json::Array(elements)) => elements.first().cloned().unwrap_or(Json::Null),
        (Function::Last, Json::Array(elements)) => elements.last().cloned().unwrap_or(Json::Null),
        (Function::Length | Function::Keys | Function::First | Function::Last, _) => Json::Null,
        (Function::Min | Function::Max | Function::Sum | Function::Average, _) => {
            let values: Vec<f64> = parts(model)
                .filter_map(|part| match part {
                    Json::Number(text) => text.parse().ok(),
                    _ => None,
                })
                .collect();
            let value = aggregate(function, &values);
            let value = value.filter(|_| matches!(model, Json::Array(_)));
            let value =
                value.ok_or_else(|| Fault::Invalid("no numbers to aggregate".to_owned()))?;
            number(crate::sql::text::double_text(value))
        }
    })
}

/// The aggregate of numbers; absent without any.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn aggregate(function: Function, values: &[f64]) -> Option<f64> {
    let sum = || values.iter().sum::<f64>();
    let first = values.first()?;
    Some(match function {
        Function::Min => values.iter().copied().fold(*first, f64::min),
        Function::Max => values.iter().copied().fold(*first, f64::max),
        Function::Average => sum() / values.len() as f64,
        _ => sum(),
    })
}
