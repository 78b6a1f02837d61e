//! The text of a path to its steps.
//!
//! Place in the flow: once per constant path, else once per row. Invariant: a path that Jayway's `JsonPath` refuses is refused,
//! with a reason for users.

use super::filter::{Filter, FilterParser};
use super::path::{Function, Path, Step};

/// Longest path, in characters, and most filters inside one another.
///
/// # Source
/// Guess, unmeasured: far above what people write.
const CHARACTERS_MAX: usize = 65_536;

/// Compiles a path such as `$.a[0]['b']`; without `$` it starts at the root all the same.
///
/// # Errors
/// What is wrong, for users.
pub(super) fn compile(text: &str) -> Result<Path, String> {
    let text = text.trim_matches(' ');
    if text.is_empty() {
        return Err("a path is not empty".to_owned());
    }
    let with_root = if text.starts_with(['$', '@']) {
        text.to_owned()
    } else {
        format!("$.{text}")
    };
    let chars: Vec<char> = with_root.chars().collect();
    if chars.len() > CHARACTERS_MAX {
        return Err(format!("a path has at most {CHARACTERS_MAX} characters"));
    }
    if chars.last() == Some(&'.') {
        return Err("a path does not end with \".\"".to_owned());
    }
    let mut reader = Reader {
        chars: &chars,
        at: 1,
    };
    let mut path = Path {
        steps: Vec::new(),
        function: None,
    };
    if !matches!(reader.peek(), None | Some('.' | '[')) {
        return reader.fail("\".\" or \"[\"");
    }
    while reader.peek().is_some() {
        if path.function.is_some() {
            return Err("a function ends a path".to_owned());
        }
        reader.step(&mut path)?;
    }
    Ok(path)
}

/// A position in a path.
#[derive(Debug)]
pub(super) struct Reader<'c> {
    /// The characters.
    pub(super) chars: &'c [char],
    /// The next one.
    pub(super) at: usize,
}

impl Reader<'_> {
    /// The next character.
    pub(super) fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    /// Takes a character if it is next.
    pub(super) fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    /// Passes blanks.
    pub(super) fn skip_blanks(&mut self) {
        while self.eat(' ') {}
    }

    /// Takes a character that must come next, behind blanks.
    pub(super) fn expect(&mut self, c: char) -> Result<(), String> {
        self.skip_blanks();
        if self.eat(c) {
            return Ok(());
        }
        self.fail(&format!("\"{c}\""))
    }

    /// The error for the next character.
    pub(super) fn fail<T>(&self, expected: &str) -> Result<T, String> {
        let found = self
            .peek()
            .map_or_else(|| "the end".to_owned(), |c| format!("\"{c}\""));
        let place = self.at + 1;
        Err(format!(
            "expected {expected} at position {place} of the path, found {found}"
        ))
    }

    /// The characters from a position to the present one.
    pub(super) fn since(&self, start: usize) -> String {
        self.chars
            .get(start..self.at)
            .unwrap_or_default()
            .iter()
            .collect()
    }

    /// Reads a step.
    fn step(&mut self, path: &mut Path) -> Result<(), String> {
        if self.eat('.') {
            if self.eat('.') {
                path.steps.push(Step::Scan);
            }
            if matches!(self.peek(), None | Some('.')) {
                return self.fail("a property");
            }
        }
        match self.peek() {
            Some('[') => {
                self.at += 1;
                let step = self.bracket()?;
                self.expect(']')?;
                path.steps.push(step);
            }
            Some('*') => {
                self.at += 1;
                path.steps.push(Step::Wildcard);
            }
            _ => self.name(path)?,
        }
        Ok(())
    }

    /// Reads a property or function without quotes.
    fn name(&mut self, path: &mut Path) -> Result<(), String> {
        let start = self.at;
        while let Some(c) = self.peek() {
            match c {
                ' ' => return self.fail("no blank: a property with one is written ['my prop']"),
                '.' | '[' => break,
                '(' => {
                    let name = self.since(start);
                    self.at += 1;
                    if !self.eat(')') {
                        return self.fail("\")\"");
                    }
                    path.function = Some(function(&name)?);
                    return Ok(());
                }
                _ => self.at += 1,
            }
        }
        if start == self.at {
            return self.fail("a property");
        }
        path.steps.push(Step::Property(vec![self.since(start)]));
        Ok(())
    }

    /// Reads behind `[`.
    fn bracket(&mut self) -> Result<Step, String> {
        self.skip_blanks();
        match self.peek() {
            Some('\'' | '"') => self.properties(),
            Some('0'..='9' | '-' | ':') => self.indices(),
            Some('*') => {
                self.at += 1;
                Ok(Step::Wildcard)
            }
            Some('?') => {
                self.at += 1;
                self.expect('(')?;
                let filter = FilterParser::parse(self)?;
                self.expect(')')?;
                Ok(Step::Filter(Box::<Filter>::new(filter)))
            }
            _ => self.fail("a property in quotes, an index, \"*\" or \"?\""),
        }
    }

    /// Reads `'a', 'b'`.
    fn properties(&mut self) -> Result<Step, String> {
        let mut names = Vec::new();
        loop {
            self.skip_blanks();
            names.push(self.quoted()?);
            self.skip_blanks();
            if !self.eat(',') {
                return Ok(Step::Property(names));
            }
        }
    }

    /// Reads a text in quotes of either kind.
    pub(super) fn quoted(&mut self) -> Result<String, String> {
        let Some(quote @ ('\'' | '"')) = self.peek() else {
            return self.fail("a text in quotes");
        };
        self.at += 1;
        let mut out = String::new();
        while let Some(c) = self.peek() {
            self.at += 1;
            if c == quote {
                return Ok(out);
            }
            if c != '\\' {
                out.push(c);
                continue;
            }
            let Some(escaped) = self.peek() else {
                break;
            };
            self.at += 1;
            out.push(match escaped {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => self.unicode()?,
                other => other,
            });
        }
        self.fail("a closing quote")
    }

    /// Reads four hexadecimal digits behind `\u`.
    fn unicode(&mut self) -> Result<char, String> {
        let start = self.at;
        self.at = (start + 4).min(self.chars.len());
        let code = u32::from_str_radix(&self.since(start), 16);
        let c = code.ok().map(|code| char::from_u32(code).unwrap_or('?'));
        match c {
            Some(c) if self.at == start + 4 => Ok(c),
            _ => self.fail("four hexadecimal digits"),
        }
    }

    /// Reads `1`, `1, 2` and `1:2`.
    fn indices(&mut self) -> Result<Step, String> {
        let start = self.at;
        while matches!(self.peek(), Some('0'..='9' | '-' | ':' | ',' | ' ')) {
            self.at += 1;
        }
        let text = self.since(start);
        let number = |text: &str| text.trim().parse::<i32>().map(i64::from);
        let bad = |_| format!("\"{text}\" is neither an index nor a slice");
        if let Some((from, to)) = text.split_once(':') {
            let optional = |text: &str| {
                let is_empty = text.trim().is_empty();
                (!is_empty).then(|| number(text)).transpose().map_err(bad)
            };
            let (from, to) = (optional(from)?, optional(to)?);
            if from.is_none() && to.is_none() {
                return Err("a slice has a start or an end".to_owned());
            }
            return Ok(Step::Slice(from, to));
        }
        let indices = text.split(',').map(|index| number(index).map_err(bad));
        Ok(Step::Index(indices.collect::<Result<_, _>>()?))
    }
}

/// The function of a name.
fn function(name: &str) -> Result<Function, String> {
    Ok(match name {
        "length" | "size" => Function::Length,
        "keys" => Function::Keys,
        "min" => Function::Min,
        "max" => Function::Max,
        "sum" => Function::Sum,
        "avg" => Function::Average,
        "first" => Function::First,
        "last" => Function::Last,
        _ => return Err(format!("paths have no function {name}()")),
    })
}
