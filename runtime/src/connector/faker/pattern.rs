//! Text that matches a regular expression, for `regexify`.
//!
//! Place in the flow: parsed once with its directive, generated from for every row. Invariant: a pattern has a longest text, which
//! is bounded; what has none (`*`, `+`, `{2,}`) is refused.
//!
//! # Source
//! Java's regular expressions: literals, `[a-z]`, `[^a]`, `.`, `\d \w \s`, groups, `|`, `?`, `{n}`, `{m,n}`.

use super::random::RowRandom;
use crate::error::{Error, Result};

/// Longest text of a pattern, characters: a bound against typing errors (guess, unmeasured).
const CHARS_MAX: u64 = 64 * 1024;

/// Groups inside one another: a bound of the recursion (guess, unmeasured).
const DEPTH_MAX: usize = 32;

/// Characters of a class: ranges past it are typing errors (guess, unmeasured).
const CLASS_MAX: usize = 4096;

/// Printable ASCII, of which `.` and negated classes choose.
const PRINTABLE: std::ops::RangeInclusive<char> = ' '..='~';

/// A parsed regular expression.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// The whole.
    root: Node,
}

/// A part of a pattern.
#[derive(Debug, Clone)]
enum Node {
    /// One of some characters.
    Class(Vec<char>),
    /// One after another.
    Sequence(Vec<Node>),
    /// One of some.
    Alternatives(Vec<Node>),
    /// Again and again.
    Repeat {
        /// What.
        node: Box<Node>,
        /// Least number.
        min: u32,
        /// Largest number.
        max: u32,
    },
}

impl Node {
    /// Characters of the longest text.
    fn chars_max(&self) -> u64 {
        match self {
            Self::Class(_) => 1,
            Self::Sequence(nodes) => nodes
                .iter()
                .fold(0, |sum: u64, node| sum.saturating_add(node.chars_max())),
            Self::Alternatives(nodes) => nodes.iter().map(Self::chars_max).max().unwrap_or(0),
            Self::Repeat { node, max, .. } => node.chars_max().saturating_mul(u64::from(*max)),
        }
    }

    /// Appends a text.
    fn generate(&self, random: &mut RowRandom, out: &mut String) {
        match self {
            Self::Class(chars) => out.push(*random.pick(chars)),
            Self::Sequence(nodes) => nodes.iter().for_each(|node| node.generate(random, out)),
            Self::Alternatives(nodes) => random.pick(nodes).generate(random, out),
            Self::Repeat { node, min, max } => {
                for _ in 0..random.between(i64::from(*min), i64::from(*max)) {
                    node.generate(random, out);
                }
            }
        }
    }
}

impl Pattern {
    /// Parses a regular expression.
    ///
    /// # Errors
    /// `Invalid` where it is not one, has no longest text or is too long.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let inside = text.strip_prefix('^').unwrap_or(text);
        let inside = match inside.strip_suffix('$') {
            Some(inside) if !inside.ends_with('\\') => inside,
            _ => inside,
        };
        let mut parser = Parser {
            pattern: text,
            rest: inside.chars().peekable(),
            depth: 0,
        };
        let root = parser.alternatives()?;
        if parser.rest.peek().is_some() {
            return Err(parser.error("a closing parenthesis without an opening one"));
        }
        if root.chars_max() > CHARS_MAX {
            return Err(parser.error(&format!("texts of more than {CHARS_MAX} characters")));
        }
        Ok(Self { root })
    }

    /// Appends a text that matches.
    pub(super) fn generate(&self, random: &mut RowRandom, out: &mut String) {
        self.root.generate(random, out);
    }
}

/// Reads a pattern from the left.
#[derive(Debug)]
struct Parser<'a> {
    /// The whole, for errors.
    pattern: &'a str,
    /// What is left.
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    /// Groups that are open.
    depth: usize,
}

impl Parser<'_> {
    /// An error that names the pattern.
    fn error(&self, what: &str) -> Error {
        Error::option(format!("regexify '{}': {what}", self.pattern))
    }

    /// Takes the next character if it is this one.
    fn take(&mut self, wanted: char) -> bool {
        self.rest.next_if_eq(&wanted).is_some()
    }

    /// Reads `a|b|c` up to a closing parenthesis or the end.
    fn alternatives(&mut self) -> Result<Node> {
        let mut branches = vec![self.sequence()?];
        while self.take('|') {
            branches.push(self.sequence()?);
        }
        Ok(Node::Alternatives(branches))
    }

    /// Reads what stands between bars.
    fn sequence(&mut self) -> Result<Node> {
        let mut nodes = Vec::new();
        while let Some(c) = self.rest.next_if(|c| !matches!(c, '|' | ')')) {
            let node = match c {
                '(' => self.group()?,
                '[' => self.class()?,
                '.' => Node::Class(PRINTABLE.collect()),
                '\\' => Node::Class(self.escape()?),
                '*' | '+' | '?' | '{' => return Err(self.error(&format!("'{c}' repeats nothing"))),
                '^' | '$' => {
                    return Err(
                        self.error(&format!("'{c}' inside a pattern; write \\{c} for itself"))
                    );
                }
                literal => Node::Class(vec![literal]),
            };
            nodes.push(self.repeated(node)?);
        }
        Ok(Node::Sequence(nodes))
    }

    /// Reads a group behind its parenthesis.
    fn group(&mut self) -> Result<Node> {
        if self.depth == DEPTH_MAX {
            return Err(self.error(&format!("more than {DEPTH_MAX} groups inside one another")));
        }
        if self.take('?') && !self.take(':') {
            return Err(self.error("groups are (...) or (?:...)"));
        }
        self.depth += 1;
        let node = self.alternatives()?;
        self.depth -= 1;
        if !self.take(')') {
            return Err(self.error("a group has no closing parenthesis"));
        }
        Ok(node)
    }

    /// Reads what follows a backslash.
    fn escape(&mut self) -> Result<Vec<char>> {
        match self.rest.next() {
            Some('d') => Ok(('0'..='9').collect()),
            Some('w') => Ok(word_chars()),
            Some('s') => Ok(vec![' ']),
            Some('t') => Ok(vec!['\t']),
            Some('n') => Ok(vec!['\n']),
            Some('r') => Ok(vec!['\r']),
            Some(c) if !c.is_alphanumeric() => Ok(vec![c]),
            Some(c) => Err(self.error(&format!("\\{c} is not one of \\d \\w \\s \\t \\n \\r"))),
            None => Err(self.error("a backslash at the end")),
        }
    }

    /// Reads a class behind its bracket.
    fn class(&mut self) -> Result<Node> {
        let is_negated = self.take('^');
        let mut chars = Vec::new();
        loop {
            let first = match self.rest.next() {
                None => return Err(self.error("a class has no closing bracket")),
                Some(']') => break,
                Some('[' | '&') => {
                    return Err(self.error("a class inside a class; write \\[ or \\& for itself"));
                }
                Some('\\') => self.escape()?,
                Some(c) => vec![c],
            };
            match *first.as_slice() {
                [low] if self.rest.peek() == Some(&'-') => self.range(low, &mut chars)?,
                _ => chars.extend(first),
            }
            if chars.len() > CLASS_MAX {
                return Err(self.error(&format!("a class of more than {CLASS_MAX} characters")));
            }
        }
        if is_negated {
            chars = PRINTABLE.filter(|c| !chars.contains(c)).collect();
        }
        chars.sort_unstable();
        chars.dedup();
        if chars.is_empty() {
            return Err(self.error("a class without characters"));
        }
        Ok(Node::Class(chars))
    }

    /// Reads `-z` behind the first character of a range; a hyphen before the bracket stands for itself.
    fn range(&mut self, low: char, chars: &mut Vec<char>) -> Result<()> {
        self.rest.next();
        let high = match self.rest.peek() {
            Some(']') => {
                chars.extend([low, '-']);
                return Ok(());
            }
            Some(_) => self.rest.next().unwrap_or(low),
            None => return Err(self.error("a class has no closing bracket")),
        };
        let high = match high {
            '\\' => match *self.escape()?.as_slice() {
                [high] => high,
                _ => return Err(self.error("a range that ends with a class")),
            },
            high => high,
        };
        if low > high {
            return Err(self.error(&format!("the range {low}-{high} is empty")));
        }
        chars.extend((low..=high).take(CLASS_MAX + 1));
        Ok(())
    }

    /// Reads how often a node comes.
    fn repeated(&mut self, node: Node) -> Result<Node> {
        let (min, max) = match self.rest.next_if(|c| matches!(c, '?' | '*' | '+' | '{')) {
            None => return Ok(node),
            Some('?') => (0, 1),
            Some('{') => self.counts()?,
            Some(c) => {
                return Err(self.error(&format!("'{c}' has no end; write {{0,10}} or the like")));
            }
        };
        let next = self.rest.peek().copied();
        if let Some(c) = next.filter(|c| matches!(c, '?' | '*' | '+' | '{')) {
            return Err(self.error(&format!("'{c}' behind a repetition")));
        }
        Ok(Node::Repeat {
            node: Box::new(node),
            min,
            max,
        })
    }

    /// Reads `n}` or `m,n}`.
    fn counts(&mut self) -> Result<(u32, u32)> {
        let mut text = String::new();
        while let Some(c) = self.rest.next_if(|c| *c != '}') {
            text.push(c);
        }
        let (min, max) = text.split_once(',').unwrap_or((&text, &text));
        let counts = min.trim().parse().ok().zip(max.trim().parse().ok());
        match counts {
            Some((min, max)) if min <= max && self.take('}') => Ok((min, max)),
            _ => Err(self.error(&format!("{{{text}}} is not like {{3}} or {{1,3}}"))),
        }
    }
}

/// What `\w` stands for.
fn word_chars() -> Vec<char> {
    let letters = ('a'..='z').chain('A'..='Z');
    letters.chain('0'..='9').chain(['_']).collect()
}
