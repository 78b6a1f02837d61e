//! The text of a document to a [`Json`].
//!
//! Place in the flow: every JSON function reads its input here. Invariant: what Jackson takes is taken and what it refuses
//! is refused; so what follows a complete document is not looked at, as in Flink.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::number::Number;
use super::value::Json;

/// How deeply arrays and objects may nest.
///
/// # Source
/// Jackson: `StreamReadConstraints.DEFAULT_MAX_DEPTH`.
const DEPTH_MAX: usize = 1000;

/// Longest number, in bytes.
///
/// # Source
/// Jackson: `StreamReadConstraints.DEFAULT_MAX_NUM_LEN`.
const NUMBER_BYTES_MAX: usize = 1000;

/// Members up to which an object is searched for repeated keys pair by pair.
///
/// # Source
/// Guess, unmeasured: below this a table of the keys costs more than it saves.
const FEW_MEMBERS: usize = 8;

/// What a key that occurs twice in an object means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duplicates {
    /// The last value counts.
    KeepLast,
    /// The document is refused.
    Refuse,
}

/// Reads the document at the beginning of a text.
///
/// # Errors
/// What is wrong and where, for users.
pub(crate) fn parse(text: &str, duplicates: Duplicates) -> Result<Json<'_>, String> {
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
        duplicates,
    };
    parser.document().map_err(|fault| {
        let before = text.get(..parser.at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        format!("{fault} at line {line}, column {column}")
    })
}

/// A position in a text.
struct Parser<'a> {
    /// The text.
    text: &'a str,
    /// The next byte.
    at: usize,
    /// Arrays and objects around it.
    depth: usize,
    /// What a repeated key means.
    duplicates: Duplicates,
}

/// What is wrong.
type Fault = String;

impl<'a> Parser<'a> {
    /// The next byte.
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes blanks; the byte behind them.
    fn skip_blanks(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    /// The error for the next character.
    fn unexpected<T>(&self, expected: &str) -> Result<T, Fault> {
        match self
            .text
            .get(self.at..)
            .and_then(|rest| rest.chars().next())
        {
            None => Err(format!("the text ends, expected {expected}")),
            Some(c) => Err(format!("unexpected character {c:?}, expected {expected}")),
        }
    }

    /// Reads the document.
    fn document(&mut self) -> Result<Json<'a>, Fault> {
        let value = self.value()?;
        let separated = matches!(self.peek(), None | Some(b' ' | b'\t' | b'\n' | b'\r'));
        if matches!(value, Json::Number(_)) && !separated {
            return self.unexpected("a blank behind a number");
        }
        Ok(value)
    }

    /// Reads a value.
    fn value(&mut self) -> Result<Json<'a>, Fault> {
        match self.skip_blanks() {
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'[') => self.nested(Self::array),
            Some(b'{') => self.nested(Self::object),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Boolean(true)),
            Some(b'f') => self.word("false", Json::Boolean(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => self.unexpected("a value"),
        }
    }

    /// Reads an array or object one level deeper.
    fn nested(
        &mut self,
        read: fn(&mut Self) -> Result<Json<'a>, Fault>,
    ) -> Result<Json<'a>, Fault> {
        if self.depth == DEPTH_MAX {
            return Err(format!("the document nests deeper than {DEPTH_MAX} levels"));
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// Reads a word that no letter or digit follows.
    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, Fault> {
        let rest = self.text.get(self.at..).unwrap_or("");
        let Some(behind) = rest.strip_prefix(word) else {
            return self.unexpected(word);
        };
        self.at += word.len();
        let is_longer = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        if behind.starts_with(is_longer) {
            return self.unexpected(&format!("nothing behind {word}"));
        }
        Ok(value)
    }

    /// Reads behind `[`.
    fn array(&mut self) -> Result<Json<'a>, Fault> {
        let mut elements = Vec::new();
        if self.skip_blanks() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            match self.skip_blanks() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(elements));
                }
                _ => return self.unexpected("',' or ']'"),
            }
        }
    }

    /// Reads behind `{`.
    fn object(&mut self) -> Result<Json<'a>, Fault> {
        let mut members = Vec::new();
        if self.skip_blanks() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            if self.skip_blanks() != Some(b'"') {
                return self.unexpected("a key in double quotes");
            }
            let key = self.string()?;
            if self.skip_blanks() != Some(b':') {
                return self.unexpected("':'");
            }
            self.at += 1;
            members.push((key, self.value()?));
            match self.skip_blanks() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Json::Object(self.distinct(members)?));
                }
                _ => return self.unexpected("',' or '}'"),
            }
        }
    }

    /// Each key once, at its first place.
    fn distinct(
        &self,
        members: Vec<(Cow<'a, str>, Json<'a>)>,
    ) -> Result<Vec<(Cow<'a, str>, Json<'a>)>, Fault> {
        let repeated = if members.len() <= FEW_MEMBERS {
            let mut keys = members.iter().enumerate();
            keys.any(|(i, (key, _))| members[..i].iter().any(|(earlier, _)| earlier == key))
        } else {
            let keys: HashSet<&str> = members.iter().map(|(key, _)| key.as_ref()).collect();
            keys.len() < members.len()
        };
        if !repeated {
            return Ok(members);
        }
        if self.duplicates == Duplicates::Refuse {
            return Err("a key occurs twice in an object".to_owned());
        }
        let mut places: HashMap<Cow<'a, str>, usize> = HashMap::new();
        let mut kept: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
        for (key, value) in members {
            if let Some(place) = places.get(&key) {
                kept[*place].1 = value;
            } else {
                places.insert(key.clone(), kept.len());
                kept.push((key, value));
            }
        }
        Ok(kept)
    }

    /// Reads a number.
    fn number(&mut self) -> Result<Json<'a>, Fault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return self.unexpected("no digit behind a leading zero");
            }
        } else {
            self.digits()?;
        }
        let mut is_whole = true;
        if self.peek() == Some(b'.') {
            is_whole = false;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            is_whole = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = self.text.get(start..self.at).unwrap_or("");
        if text.len() > NUMBER_BYTES_MAX {
            return Err(format!("a number is longer than {NUMBER_BYTES_MAX} bytes"));
        }
        if !is_whole && Number::parse(text).is_none() {
            return Err("a number has too large an exponent".to_owned());
        }
        Ok(Json::Number(Cow::Borrowed(text)))
    }

    /// Passes one digit or more.
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            return self.unexpected("a digit");
        }
        Ok(())
    }

    /// Reads a string from its opening quote on.
    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.at += 1;
        let mut out: Option<String> = None;
        let mut start = self.at;
        loop {
            match self.peek() {
                None => return self.unexpected("the end of a string"),
                Some(b'"') => {
                    let rest = self.text.get(start..self.at).unwrap_or("");
                    self.at += 1;
                    return Ok(match out {
                        None => Cow::Borrowed(rest),
                        Some(out) => Cow::Owned(out + rest),
                    });
                }
                Some(b'\\') => {
                    let out = out.get_or_insert_default();
                    out.push_str(self.text.get(start..self.at).unwrap_or(""));
                    self.at += 1;
                    out.push(self.escape()?);
                    start = self.at;
                }
                Some(0..=0x1F) => return self.unexpected("no bare control character in a string"),
                Some(_) => self.at += 1,
            }
        }
    }

    /// Reads an escape behind its backslash.
    fn escape(&mut self) -> Result<char, Fault> {
        let c = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return self.unexpected("an escape"),
        };
        self.at += 1;
        Ok(c)
    }

    /// Reads behind `\u`; halves of a pair that stand alone become `?`, as when Java encodes them.
    fn unicode(&mut self) -> Result<char, Fault> {
        let first = self.hex()?;
        if let Some(c) = char::from_u32(first.into()) {
            return Ok(c);
        }
        let pair = self.text.get(self.at..).unwrap_or("");
        if (0xD800..0xDC00).contains(&first) && pair.starts_with("\\u") {
            let before = self.at;
            self.at += 2;
            let second = self.hex()?;
            if let Some(Ok(c)) = char::decode_utf16([first, second]).next() {
                return Ok(c);
            }
            self.at = before;
        }
        Ok('?')
    }

    /// Reads four hexadecimal digits.
    fn hex(&mut self) -> Result<u16, Fault> {
        let digits = self.text.get(self.at..self.at + 4);
        let is_hex = |text: &&str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let Some(Ok(unit)) = digits
            .filter(is_hex)
            .map(|text| u16::from_str_radix(text, 16))
        else {
            return self.unexpected("four hexadecimal digits");
        };
        self.at += 4;
        Ok(unit)
    }
}
