//! Messages as types: each kind of fault and of warning is one row of a table.
//!
//! A row is a variant of an enum. Its fields are the evidence; message, label and help are
//! computed from them; its name is the variant's, in small letters with hyphens
//! (`UnusedLimit`: `unused-limit`). To add a message, add a row.
//!
//! A text of a row is a string literal, in which fields are written `{field}`, or the arguments of
//! `format!` in parentheses, or a block that gives a text.

/// Whether the policy is refused for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Severity {
    /// The policy cannot be used.
    Fault,
    /// The policy can be used, and probably does not do what was meant. `allow` at the top of a
    /// policy silences a warning by its [name](super::Fault::name).
    Warning,
}

/// What may be wrong with a policy, with the evidence.
pub(crate) trait Problem {
    const SEVERITY: Severity;

    /// The kind of the problem, such as `unused-limit`.
    fn name(&self) -> String;

    /// What is wrong, in one line.
    fn message(&self) -> String;

    /// What is wrong with the marked part of the line.
    fn label(&self) -> String;

    /// What to do about it, in one sentence.
    fn help(&self) -> String;
}

/// Declares an enum of problems; see the module docs.
macro_rules! problems {
    (
        $(#[$meta:meta])*
        $vis:vis enum $Name:ident: $Severity:ident {$(
            $(#[$row:meta])*
            $Kind:ident $({ $($field:ident: $Type:ty),+ $(,)? })? => {
                message: $message:tt,
                label: $label:tt,
                help: $help:tt $(,)?
            }
        )+}
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        $vis enum $Name {$(
            $(#[$row])*
            $Kind $({ $($field: $Type),+ })?,
        )+}

        #[allow(unused_variables)] // A row may not need all of its evidence in each text.
        impl $crate::policy::problem::Problem for $Name {
            const SEVERITY: $crate::policy::problem::Severity =
                $crate::policy::problem::Severity::$Severity;

            fn name(&self) -> String {
                $crate::policy::problem::kebab(match self {
                    $(Self::$Kind { .. } => stringify!($Kind),)+
                })
            }

            fn message(&self) -> String {
                match self {
                    $(Self::$Kind $({ $($field),+ })? => problems!(@text $message),)+
                }
            }

            fn label(&self) -> String {
                match self {
                    $(Self::$Kind $({ $($field),+ })? => problems!(@text $label),)+
                }
            }

            fn help(&self) -> String {
                match self {
                    $(Self::$Kind $({ $($field),+ })? => problems!(@text $help),)+
                }
            }
        }

        #[allow(dead_code)] // Faults cannot be silenced, so nobody asks for all of their names.
        impl $Name {
            /// The names of all kinds.
            $vis fn names() -> Vec<String> {
                [$(stringify!($Kind)),+].into_iter().map($crate::policy::problem::kebab).collect()
            }
        }
    };
    (@text $text:literal) => { format!($text) };
    (@text ($($arguments:tt)+)) => { format!($($arguments)+) };
    (@text { $($body:tt)+ }) => { String::from({ $($body)+ }) };
}

pub(crate) use problems;

/// `UnusedLimit` as `unused-limit`.
pub(crate) fn kebab(variant: &str) -> String {
    let mut name = String::with_capacity(variant.len() + 4);
    for letter in variant.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    problems! {
        /// Two rows.
        enum Sample: Warning {
            /// With evidence.
            UnusedLimit { limit: &'static str, count: usize } => {
                message: "no rule uses `{limit}`",
                label: ("counts {}", if *count == 0 { "nothing" } else { "little" }),
                help: { limit.to_uppercase() },
            }
            /// Without.
            NoRules => { message: "no rules", label: "denies all", help: "add one" }
        }
    }

    #[test]
    fn texts_and_names_are_computed_from_the_row() {
        let unused = Sample::UnusedLimit { limit: "a", count: 0 };
        assert_eq!(unused.name(), "unused-limit");
        assert_eq!(
            [unused.message(), unused.label(), unused.help()],
            ["no rule uses `a`", "counts nothing", "A"]
        );
        assert_eq!(Sample::NoRules.message(), "no rules");
        assert_eq!(Sample::names(), ["unused-limit", "no-rules"]);
        assert_eq!(Sample::SEVERITY, Severity::Warning);
    }
}
