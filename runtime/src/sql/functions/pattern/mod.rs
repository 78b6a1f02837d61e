//! LIKE, SIMILAR TO and regular expressions.
//!
//! Place in the flow: rows of the function table; the kernels are in the modules beside this one. Invariant: a regular
//! expression that does not compile gives NULL (FALSE for REGEXP), a bad pattern of LIKE or SIMILAR TO is an error.

use super::{Function, Output, Param, Resolve};

mod java;
mod like;
mod regexp;

pub(crate) use java::JavaRegex;

/// Two character strings.
const TEXT_2: &[&[Param]] = &[&[Param::Text, Param::Text]];

/// Rows of the function table.
pub(super) fn functions() -> Vec<Function> {
    let rewritten = super::comparison::rewritten;
    let like = |name, kernel| Function::new(name, Resolve::Custom(like::like_call), kernel);
    let signature = |signature, output| Resolve::Signature(signature, output);
    vec![
        like("LIKE", like::like).failing(),
        like("NOT LIKE", rewritten),
        like("SIMILAR TO", like::similar).failing(),
        like("NOT SIMILAR TO", rewritten),
        Function::new("REGEXP", signature(TEXT_2, Output::Boolean), regexp::regexp).failing(),
        Function::new(
            "REGEXP_REPLACE",
            signature(
                &[&[Param::Text, Param::Text, Param::Text]],
                Output::MaybeText,
            ),
            regexp::replace,
        )
        .failing(),
        Function::new(
            "REGEXP_EXTRACT",
            signature(
                &[
                    &[Param::Text, Param::Text],
                    &[Param::Text, Param::Text, Param::Long],
                ],
                Output::MaybeText,
            ),
            regexp::extract,
        )
        .failing(),
        Function::new(
            "REGEXP_EXTRACT_ALL",
            signature(
                &[
                    &[Param::Text, Param::Text],
                    &[Param::Text, Param::Text, Param::Long],
                ],
                Output::MaybeTexts,
            ),
            regexp::extract_all,
        )
        .failing(),
        Function::new(
            "REGEXP_COUNT",
            signature(TEXT_2, Output::MaybeInt),
            regexp::count,
        )
        .failing(),
        Function::new(
            "REGEXP_INSTR",
            signature(TEXT_2, Output::MaybeInt),
            regexp::instr,
        )
        .failing(),
        Function::new(
            "REGEXP_SUBSTR",
            signature(TEXT_2, Output::MaybeText),
            regexp::substr,
        )
        .failing(),
    ]
}

#[cfg(test)]
mod tests;
