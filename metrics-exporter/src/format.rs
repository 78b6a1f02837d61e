//! The exposition formats and the choice between them.
//!
//! Place in the flow: the server passes the `Accept` header of a scrape. Invariant: whoever asks for nothing we know gets text
//! 0.0.4, which every scraper reads.

/// A text format of Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextFormat {
    /// Prometheus text 0.0.4: timestamps in milliseconds.
    #[default]
    Text,
    /// `OpenMetrics` 1.0.0: units, timestamps in seconds, an end marker.
    OpenMetrics,
}

/// A media range of an `Accept` header.
struct MediaRange<'a> {
    /// Such as `text/plain` or `*/*`.
    media_type: &'a str,
    /// Parameter `version`.
    version: Option<&'a str>,
    /// Quality in thousandths.
    quality: u16,
}

impl TextFormat {
    /// The format that an `Accept` header prefers; at equal preference `OpenMetrics` if it was named.
    ///
    /// # Source
    /// RFC 9110 section 12.5.1. Prometheus 2.42 asks for `OpenMetrics` first, `VictoriaMetrics` for text 0.0.4 only.
    pub fn negotiate(accept: Option<&str>) -> Self {
        let mut best = (0, Self::Text);
        for range in accept.unwrap_or_default().split(',').map(MediaRange::parse) {
            let Some(format) = range.format() else {
                continue;
            };
            let is_better = range.quality > best.0
                || (range.quality == best.0 && range.quality > 0 && format == Self::OpenMetrics);
            if is_better {
                best = (range.quality, format);
            }
        }
        best.1
    }

    /// The `Content-Type` of a body in this format.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl<'a> MediaRange<'a> {
    /// Reads one element of the header; parameters it does not know are skipped.
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self {
            media_type: parts.next().unwrap_or_default(),
            version: None,
            quality: 1000,
        };
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("version") {
                range.version = Some(value);
            } else if name.trim().eq_ignore_ascii_case("q") {
                range.quality = quality(value);
            }
        }
        range
    }

    /// The format that this range accepts.
    fn format(&self) -> Option<TextFormat> {
        let is = |name: &str| self.media_type.eq_ignore_ascii_case(name);
        if is("application/openmetrics-text") {
            return matches!(self.version, None | Some("1.0.0")).then_some(TextFormat::OpenMetrics);
        }
        if is("text/plain") {
            return matches!(self.version, None | Some("0.0.4")).then_some(TextFormat::Text);
        }
        (is("*/*") || is("text/*")).then_some(TextFormat::Text)
    }
}

/// A quality value in thousandths; what is not a number between 0 and 1 counts as 0.
///
/// # Source
/// RFC 9110 section 12.4.2: at most three decimals.
pub(crate) fn quality(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut thousandths = 0u16;
    for place in 0..3 {
        let digit = match fraction.as_bytes().get(place) {
            None => 0,
            Some(byte) if byte.is_ascii_digit() => u16::from(byte - b'0'),
            Some(_) => return 0,
        };
        thousandths = thousandths * 10 + digit;
    }
    match whole {
        "0" | "" => thousandths,
        "1" => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrapers_get_what_they_ask_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let cases = [
            (Some(prometheus), TextFormat::OpenMetrics),
            (
                Some(
                    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;q=0.2",
                ),
                TextFormat::OpenMetrics,
            ),
            (Some("text/plain;version=0.0.4"), TextFormat::Text),
            (
                Some("text/plain;version=0.0.4;q=1,*/*;q=0.1"),
                TextFormat::Text,
            ),
            (
                Some("application/openmetrics-text; version=0.0.1,text/plain;q=0.3"),
                TextFormat::Text,
            ),
            (
                Some("text/plain;q=0.1, Application/OpenMetrics-Text; Version=\"1.0.0\""),
                TextFormat::OpenMetrics,
            ),
            (Some("application/openmetrics-text;q=0"), TextFormat::Text),
            (
                Some("text/plain, application/openmetrics-text"),
                TextFormat::OpenMetrics,
            ),
            (Some("application/json"), TextFormat::Text),
            (Some(";;q=,,"), TextFormat::Text),
            (Some(""), TextFormat::Text),
            (None, TextFormat::Text),
        ];
        for (accept, expected) in cases {
            assert_eq!(TextFormat::negotiate(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn qualities_are_thousandths() {
        for (text, expected) in [
            ("1", 1000),
            ("1.000", 1000),
            ("0.5", 500),
            ("0.125", 125),
            ("0", 0),
            ("2", 0),
            ("0.x", 0),
            ("high", 0),
        ] {
            assert_eq!(quality(text), expected, "{text}");
        }
    }
}
