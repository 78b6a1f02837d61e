//! MD5 and the SHA family.
//!
//! Place in the flow: called by the rows of the function table in [`super`]. Invariant: a text is hashed as its UTF-8.

use std::fmt::Write;

use arrow::array::{ArrayRef, BinaryArray};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::error::{Error, Result};
use crate::sql::eval::call::Call;

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// 128 bits.
    Md5,
    /// 160 bits.
    Sha1,
    /// SHA-2 of 224 bits.
    Sha224,
    /// SHA-2 of 256 bits.
    Sha256,
    /// SHA-2 of 384 bits.
    Sha384,
    /// SHA-2 of 512 bits.
    Sha512,
}

impl Algorithm {
    /// The digest in hexadecimal digits.
    fn hex(self, bytes: &[u8]) -> String {
        match self {
            Self::Md5 => digits(&Md5::digest(bytes)),
            Self::Sha1 => digits(&Sha1::digest(bytes)),
            Self::Sha224 => digits(&Sha224::digest(bytes)),
            Self::Sha256 => digits(&Sha256::digest(bytes)),
            Self::Sha384 => digits(&Sha384::digest(bytes)),
            Self::Sha512 => digits(&Sha512::digest(bytes)),
        }
    }

    /// The function of SHA-2 with a number of bits.
    fn sha2(bits: i32) -> Result<Self> {
        Ok(match bits {
            224 => Self::Sha224,
            256 => Self::Sha256,
            384 => Self::Sha384,
            512 => Self::Sha512,
            _ => {
                return Err(Error::arithmetic(format!(
                    "SHA2 has 224, 256, 384 or 512 bits, not {bits}"
                )));
            }
        })
    }
}

/// Small hexadecimal digits.
fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(
        String::with_capacity(bytes.len() * 2),
        |mut digits, byte| {
            if write!(digits, "{byte:02x}").is_err() {
                unreachable!("writing to a String does not fail");
            }
            digits
        },
    )
}

/// The bytes of a row.
pub(super) type Data<'a> = Box<dyn Fn(usize) -> Option<&'a [u8]> + 'a>;

/// The bytes of a character or byte argument, row by row.
pub(super) fn data<'a>(call: &Call<'a>) -> Result<Data<'a>> {
    if call.types[0].kind.is_binary() {
        let bytes = call.arg::<BinaryArray>(0)?;
        return Ok(Box::new(move |i| bytes.get(i)));
    }
    let s = call.text(0)?;
    Ok(Box::new(move |i| s.get(i).map(str::as_bytes)))
}

/// A hash of one algorithm.
pub(super) fn digest(call: &Call<'_>, algorithm: Algorithm) -> Result<ArrayRef> {
    let data = data(call)?;
    call.texts(|i| Ok(data(i).map(|bytes| algorithm.hex(bytes))))
}

/// `SHA2(data, bits)`.
pub(super) fn sha2(call: &Call<'_>) -> Result<ArrayRef> {
    let data = data(call)?;
    let bits = call.int(1)?;
    call.texts(|i| {
        let Some((bytes, bits)) = data(i).zip(bits.get(i)) else {
            return Ok(None);
        };
        Ok(Some(Algorithm::sha2(bits)?.hex(bytes)))
    })
}
