//! Why no rule covers a request.

use std::fmt;
use std::sync::Arc;

use http::Method;

use super::reading::Oddity;

/// Why no rule covers a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum NoRule {
    Path,
    /// Rules cover the path for these methods.
    Method(Vec<Method>),
    /// Software behind the gate may read the path in another way than its rule does.
    Ambiguous(Ambiguity),
}

/// In which way a path is ambiguous. It is shown as a cause, for the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Ambiguity {
    /// Such paths never pass.
    Odd(Oddity),
    /// The rule says `encoded_slashes = false`.
    EncodedSlash { rule: Arc<str> },
    /// Read once more, the path falls to another rule.
    OtherRule { raw: Arc<str>, read: Arc<str> },
    /// No rule covers it as it was sent; this one does, once the path is decoded.
    OnlyRead { read: Arc<str> },
    /// Read once more, a parameter that decides has another value.
    OtherValue { rule: Arc<str>, parameter: Box<str> },
}

impl fmt::Display for Ambiguity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Odd(oddity) => f.write_str(match oddity {
                Oddity::EmptySegment => "the path has an empty segment",
                Oddity::Backslash => "the path has a backslash",
                Oddity::DotSegment => "the path has a dot segment, encoded or not",
                Oddity::NotUtf8 => "the path, percent-decoded, is not UTF-8",
                Oddity::ControlCharacter => "the path has an encoded control character",
            }),
            Self::EncodedSlash { rule } => {
                write!(
                    f,
                    "the path has an encoded slash, and rule {rule} says encoded_slashes = false"
                )
            }
            Self::OtherRule { raw, read } => {
                write!(f, "the path falls to rule {raw}, and to rule {read} once it is decoded")
            }
            Self::OnlyRead { read } => {
                write!(f, "the path falls to no rule, and to rule {read} once it is decoded")
            }
            Self::OtherValue { rule, parameter } => write!(
                f,
                "rule {rule} depends on the path parameter {parameter}, which has another value once the path is decoded"
            ),
        }
    }
}
