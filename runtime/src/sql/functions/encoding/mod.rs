//! Hashes, charsets, base64, hexadecimal digits, URLs and IP addresses.
//!
//! Place in the flow: rows of the function table; the kernels are in the modules beside this one. Invariant: texts are encoded
//! as UTF-8 unless a charset is named, and bytes that are no text become U+FFFD.

use super::{Function, Output, Param, Resolve};

mod address;
mod charset;
mod digits;
mod hash;
mod url;
mod url_parts;

/// One character string.
const TEXT: &[&[Param]] = &[&[Param::Text]];
/// A character or byte string.
const TEXT_OR_BYTES: &[&[Param]] = &[&[Param::Bytes], &[Param::Text]];
/// A character or byte string and a number.
const DATA_AND_LENGTH: &[&[Param]] = &[&[Param::Bytes, Param::Int], &[Param::Text, Param::Int]];

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    let mut all = hashes();
    all.extend(encodings());
    all.extend(urls());
    all
}

/// Functions that hash; the digest is written in small hexadecimal digits.
fn hashes() -> Vec<Function> {
    let hash = |name, length, kernel| {
        Function::new(
            name,
            Resolve::Signature(TEXT_OR_BYTES, Output::Char(length)),
            kernel,
        )
    };
    vec![
        hash("MD5", 32, |call| hash::digest(call, hash::Algorithm::Md5)),
        hash("SHA1", 40, |call| hash::digest(call, hash::Algorithm::Sha1)),
        hash("SHA224", 56, |call| {
            hash::digest(call, hash::Algorithm::Sha224)
        }),
        hash("SHA256", 64, |call| {
            hash::digest(call, hash::Algorithm::Sha256)
        }),
        hash("SHA384", 96, |call| {
            hash::digest(call, hash::Algorithm::Sha384)
        }),
        hash("SHA512", 128, |call| {
            hash::digest(call, hash::Algorithm::Sha512)
        }),
        Function::new(
            "SHA2",
            Resolve::Signature(DATA_AND_LENGTH, Output::VarChar(128)),
            hash::sha2,
        )
        .failing(),
    ]
}

/// Functions between texts, bytes and digits.
fn encodings() -> Vec<Function> {
    let signature = |signature, output| Resolve::Signature(signature, output);
    vec![
        Function::new(
            "ENCODE",
            signature(&[&[Param::Text, Param::Text]], Output::Bytes),
            charset::encode,
        )
        .failing(),
        Function::new(
            "DECODE",
            signature(&[&[Param::Bytes, Param::Text]], Output::Text),
            charset::decode,
        )
        .failing(),
        Function::new(
            "TO_BASE64",
            signature(TEXT_OR_BYTES, Output::Text),
            digits::to_base64,
        ),
        Function::new(
            "FROM_BASE64",
            signature(TEXT_OR_BYTES, Output::Text),
            digits::from_base64,
        )
        .failing(),
        Function::new(
            "HEX",
            signature(&[&[Param::Long], &[Param::Text]], Output::Text),
            digits::hex,
        ),
        Function::new("UNHEX", signature(TEXT, Output::MaybeBytes), digits::unhex),
        Function::new(
            "BIN",
            signature(&[&[Param::Long]], Output::Text),
            digits::binary,
        ),
        Function::new(
            "INET_ATON",
            signature(TEXT, Output::MaybeLong),
            address::to_number,
        ),
        Function::new(
            "INET_NTOA",
            signature(&[&[Param::Long]], Output::MaybeText),
            address::to_text,
        ),
    ]
}

/// Functions on URLs.
fn urls() -> Vec<Function> {
    vec![
        Function::new(
            "URL_ENCODE",
            Resolve::Signature(TEXT, Output::MaybeText),
            url::encode,
        ),
        Function::new(
            "URL_DECODE",
            Resolve::Signature(TEXT, Output::MaybeText),
            url::decode,
        ),
        Function::new(
            "URL_DECODE_RECURSIVE",
            Resolve::Custom(url::recursive_call),
            url::decode_recursive,
        ),
        Function::new(
            "PARSE_URL",
            Resolve::Signature(
                &[
                    &[Param::Text, Param::Text],
                    &[Param::Text, Param::Text, Param::Text],
                ],
                Output::MaybeText,
            ),
            url::parse,
        ),
    ]
}

#[cfg(test)]
mod tests;
