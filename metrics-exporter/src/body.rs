//! The body of a reply, compressed when the scraper asks for it.
//!
//! Place in the flow: the last step of a scrape. Invariant: the bytes and the `Content-Encoding` belong together.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::format::quality;

/// A body with its encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// What to send.
    pub bytes: Vec<u8>,
    /// Value of the `Content-Encoding` header, if one is due.
    pub content_encoding: Option<&'static str>,
}

/// Compresses a page with gzip if the `Accept-Encoding` header allows it.
pub fn encode_body(page: String, accept_encoding: Option<&str>) -> Body {
    if accept_encoding.is_some_and(accepts_gzip)
        && let Some(bytes) = gzip(page.as_bytes())
    {
        return Body {
            bytes,
            content_encoding: Some("gzip"),
        };
    }
    Body {
        bytes: page.into_bytes(),
        content_encoding: None,
    }
}

/// Whether the header allows gzip, by name or by `*`.
fn accepts_gzip(header: &str) -> bool {
    let mut by_name = None;
    let mut by_star = None;
    for element in header.split(',') {
        let (coding, parameter) = element.split_once(';').unwrap_or((element, "q=1"));
        let value = parameter.trim().trim_start_matches(['q', 'Q']).trim_start();
        let allowed = value
            .strip_prefix('=')
            .is_none_or(|value| quality(value.trim()) > 0);
        match coding.trim() {
            "*" => by_star = Some(allowed),
            name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
                by_name = Some(allowed);
            }
            _ => {}
        }
    }
    by_name.or(by_star).unwrap_or(false)
}

/// Compresses at the fastest level: pages are repetitive, and a scrape should cost little CPU.
fn gzip(page: &[u8]) -> Option<Vec<u8>> {
    // A tenth is what repetitive pages shrink to; the vector grows if that is too little.
    let mut encoder = GzEncoder::new(Vec::with_capacity(page.len() / 10), Compression::fast());
    encoder.write_all(page).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn gzip_only_if_asked() {
        for (header, expected) in [
            (Some("gzip"), true),
            (Some("deflate, gzip;q=0.5"), true),
            (Some("*"), true),
            (Some("*;q=0, gzip"), true),
            (Some("gzip;q=0, *"), false),
            (Some("gzip; q=0.0"), false),
            (Some("br, deflate"), false),
            (Some("identity"), false),
            (None, false),
        ] {
            let body = encode_body("weir 1\n".repeat(50), header);
            assert_eq!(body.content_encoding.is_some(), expected, "{header:?}");
        }
    }

    #[test]
    fn a_compressed_body_reads_back() {
        let page = "a_metric{label=\"value\"} 1\n".repeat(1000);
        let body = encode_body(page.clone(), Some("gzip"));
        assert!(body.bytes.len() < page.len() / 10);
        let mut back = String::new();
        GzDecoder::new(body.bytes.as_slice())
            .read_to_string(&mut back)
            .unwrap();
        assert_eq!(back, page);
        let plain = encode_body(page.clone(), None);
        assert_eq!(plain.bytes, page.into_bytes());
    }
}
