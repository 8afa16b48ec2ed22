//! What may be wrong with a key or a value, whatever the table.

use super::problem::problems;
use super::suggest::{list, suggest};

problems! {
    /// What may be wrong with a key or a value of any table.
    pub(super) enum ValueFault: Fault {
        /// A key that the table does not have.
        UnknownKey { key: String, table: &'static str, meant: Option<String>, known: Vec<&'static str> } => {
            message: ("unknown key `{}` in {table}", key.escape_debug()),
            label: "is not known here",
            help: { match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if known.is_empty() => "there are none yet".into(),
                None => format!("the keys are {}", list(known)),
            } },
        }
        /// A key that is required.
        MissingKey { key: &'static str, table: &'static str, help: String } => {
            message: "{table} needs `{key}`",
            label: "is missing a key",
            help: "{help}",
        }
        /// A value of another type of TOML.
        WrongType { key: String, expected: String, found: &'static str, help: String } => {
            message: ("`{key}` is {expected}, not {}", with_article(found)),
            label: "is not {expected}",
            help: "{help}",
        }
        /// A time that is a bare number.
        DurationWithoutUnit { key: &'static str, number: String } => {
            message: "`{key}` is a duration with a unit, not an integer",
            label: "has no unit",
            help: "for seconds write `{key} = \"{number}s\"`",
        }
        /// A text that is empty.
        Empty { what: String, help: String } => {
            message: ("{} cannot be empty", with_article(what)),
            label: "is empty",
            help: "{help}",
        }
        /// A text that cannot be read as what it should be.
        Invalid { shown: String, what: String, help: String } => {
            message: "`{shown}` is not a valid {what}",
            label: "is not a valid {what}",
            help: "{help}",
        }
        /// A word that is none of those that are understood.
        NotOneOf { key: &'static str, found: String, words: Vec<String> } => {
            message: ("`{key}` cannot be `{}`", found.escape_debug()),
            label: "is not one of its values",
            help: { suggest(found, "it is one of", words.iter().map(String::as_str)) },
        }
        /// A number that is too small or too large.
        OutOfRange { key: &'static str, least: u64, most: u64 } => {
            message: "`{key}` is out of range",
            label: "is out of range",
            help: "it is from {least} to {most}",
        }
        /// A date without a time or an offset, or before 1970.
        NotAMoment { key: &'static str } => {
            message: "`{key}` is not a valid moment since 1970",
            label: "is not a date, a time and an offset, since 1970",
            help: "write all three, without quotes: `{key} = 2027-01-01T00:00:00Z`",
        }
    }
}

problems! {
    /// What may be wrong with a file of TOML.
    pub(super) enum SyntaxFault: Fault {
        /// A line that cannot be read.
        NotToml { error: String } => {
            message: "not TOML: {error}",
            label: "cannot be read",
            help: "correct the syntax of TOML: strings are in quotes, and each pair is on a line of its own",
        }
    }
}

fn with_article(word: &str) -> String {
    // By its sound: `a unit`.
    let vowel = word.starts_with(['a', 'e', 'i', 'o', 'u']) && !word.starts_with("uni");
    format!("{} {word}", if vowel { "an" } else { "a" })
}
