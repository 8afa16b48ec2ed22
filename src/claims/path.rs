//! Where a claim is: a member of the payload, or a place within one (JSON Pointer, RFC 6901).

use std::sync::Arc;

use super::Claims;
use super::strict::step_into;

/// A claim's place, as the policy writes it.
///
/// Without a `/` in front it is the name of a member, whatever characters are in it; with one it
/// is a JSON Pointer, such as `/realm_access/roles`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ClaimPath {
    written: Arc<str>,
    /// The steps of a pointer, unescaped; empty for a name.
    steps: Box<[Box<str>]>,
}

impl ClaimPath {
    /// Reads a name or a pointer.
    ///
    /// # Errors
    ///
    /// What to write instead, where a pointer has a `~` that is not `~0` or `~1`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let steps = match text.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(unescape).collect::<Option<_>>(),
            None => Some(Box::default()),
        };
        let steps =
            steps.ok_or("in a JSON Pointer `~` is written `~0`, and `/` within a name `~1`")?;
        Ok(Self { written: text.into(), steps })
    }

    /// The member of this name.
    pub(crate) fn named(name: &str) -> Self {
        Self { written: name.into(), steps: Box::default() }
    }

    /// As the policy writes it.
    pub(crate) fn as_str(&self) -> &str {
        &self.written
    }

    /// The same, to keep.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.written
    }

    /// The claim as JSON text; `None` where it is absent or `null`.
    pub(crate) fn find<'c>(&self, claims: &'c impl Claims) -> Option<&'c str> {
        let value = match &*self.steps {
            [] => claims.claim(&self.written)?,
            [first, rest @ ..] => {
                let value = claims.claim(first)?;
                rest.iter().try_fold(value, |value, step| step_into(value, step))?
            }
        };
        (value != "null").then_some(value)
    }

    /// The same as a JSON Pointer.
    pub(crate) fn pointer(&self) -> String {
        self.steps()
            .map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1")))
            .collect()
    }

    /// The steps from the payload to the claim.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &str> {
        let name = self.steps.is_empty().then_some(&*self.written);
        name.into_iter().chain(self.steps.iter().map(|step| &**step))
    }
}

/// RFC 6901 section 4.
fn unescape(step: &str) -> Option<Box<str>> {
    let is_sound = step.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    is_sound.then(|| step.replace("~1", "/").replace("~0", "~").into())
}

#[cfg(test)]
mod tests {
    use super::super::StrictObject;
    use super::*;

    #[test]
    fn names_and_pointers_find_their_claims() {
        let payload = br#"{"a.b":1,"a/b":2,"/c":3,"m~n":4,"o":{"roles":["x","y"],"":{"z":5}},
            "n":null,"p":{"q":null,"a/b":6},"https://x/y":7,"00":[[8]]}"#;
        let claims = StrictObject::parse(payload).unwrap();
        for (path, expected) in [
            ("a.b", Some("1")),
            ("a/b", Some("2")),
            ("https://x/y", Some("7")),
            ("/a~1b", Some("2")),
            ("/~1c", Some("3")),
            ("/m~0n", Some("4")),
            ("m~n", Some("4")),
            ("/o/roles", Some(r#"["x","y"]"#)),
            ("/o/roles/1", Some(r#""y""#)),
            ("/o/roles/01", None),
            ("/o/roles/2", None),
            ("/o/roles/-", None),
            ("/o//z", Some("5")),
            ("/00/0/0", Some("8")),
            ("/p/a~1b", Some("6")),
            ("/p/q", None),
            ("/a.b/c", None),
            ("n", None),
            ("/n", None),
            ("/n/x", None),
            ("/o/absent", None),
            ("o.roles", None),
            ("/", None),
        ] {
            assert_eq!(ClaimPath::parse(path).unwrap().find(&claims), expected, "{path}");
        }
        for bad in ["/a~", "/~2", "/a/~b"] {
            assert!(ClaimPath::parse(bad).is_err(), "{bad}");
        }
        assert!(ClaimPath::parse("a~").is_ok(), "a name has no escapes");
    }
}
