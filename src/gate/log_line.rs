//! The line in the log for each denial, under the same `instance`.
//!
//! It has the true code and every member of the denial, whatever the client is shown. Of what the
//! client sent, it has the method, the path where no rule covers it, and the request id, each bounded
//! and escaped; never a query, and never a credential.

use http::Method;
use tracing::field;
use tracing::level_filters::LevelFilter;

use crate::decision::Caller;
use crate::denial::{Category, Draft, Renderer};
use crate::policy::Mode;
use crate::principal::Principal;

/// A path or a request id is cut at this length.
const LONGEST: usize = 256;

/// What the log says of a request.
#[derive(Clone, Debug)]
pub(crate) struct Request<'r> {
    pub(crate) method: &'r Method,
    /// The raw path; it is written where no rule covers it.
    pub(crate) path: &'r str,
    pub(crate) id: Option<String>,
}

/// Whether anybody may read what is said of a request.
#[inline]
pub(super) fn is_heard() -> bool {
    LevelFilter::current() >= LevelFilter::ERROR
}

/// The line of a denial.
pub(super) fn log(
    renderer: &Renderer,
    draft: &Draft,
    caller: &Caller,
    request: &Request<'_>,
    mode: Mode,
) {
    let is_ours = renderer.shown(draft).category() == Category::Server;
    let is_wanted = match is_ours {
        true => tracing::enabled!(target: "tollgate", tracing::Level::ERROR),
        false => tracing::enabled!(target: "tollgate", tracing::Level::INFO),
    };
    if !is_wanted {
        return;
    }
    let evidence = renderer.evidence(draft);
    let rule = draft.rule.as_deref();
    let path = rule.map_or_else(|| bounded(request.path), |rule| rule.path.to_string());
    let principal = caller.principal.as_ref();
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    // One macro for each level and message: tracing wants both at compile time.
    macro_rules! line {
        ($level:ident, $message:literal) => {
            tracing::$level!(
                target: "tollgate",
                code = draft.code(),
                shown = renderer.shown(draft).code(),
                method = request.method.as_str(),
                path,
                rule = rule.map(|rule| &*rule.name),
                client = principal.map(Principal::client),
                key_id = principal.and_then(Principal::key_id),
                issuer = principal.and_then(Principal::issuer),
                address = caller.address.map(|address| field::display(address.counted())),
                detail = evidence.detail,
                members = some(&evidence.members).filter(|members| members != "{}"),
                cause = some(&evidence.cause),
                instance = %draft.instance.urn(),
                request_id = request.id,
                $message
            )
        };
    }
    match (mode, is_ours) {
        (Mode::Enforce, true) => line!(error, "denied"),
        (Mode::Enforce, false) => line!(info, "denied"),
        (Mode::Shadow, true) => line!(error, "would be denied, but the rule is in shadow mode"),
        (Mode::Shadow, false) => line!(info, "would be denied, but the rule is in shadow mode"),
    }
}

/// What a client sent, escaped and cut.
pub(super) fn bounded(text: &str) -> String {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let cut = if end < text.len() { "…" } else { "" };
    format!("{}{cut}", text[..end].escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sent_is_escaped_and_cut() {
        assert_eq!(bounded("/orders/1"), "/orders/1");
        assert_eq!(bounded("/a\n\u{1b}[31m\"b"), "/a\\n\\u{1b}[31m\\\"b");
        for (before, letters) in [("", LONGEST / 2), ("a", LONGEST / 2 - 1)] {
            let long = bounded(&(before.to_owned() + &"ä".repeat(300)));
            let expected = format!("{before}{}…", "ä".repeat(letters));
            assert_eq!(long, expected, "cut at a character");
        }
    }
}
