//! How a denial is read: strict about what every denial has, lenient about the rest.

use std::num::NonZeroU64;
use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::Denial;

/// Whether a response looks like a denial: its status is an error, and its media type is
/// `application/problem+json` (RFC 9457 section 6.1).
///
/// The status alone does not tell. An API may answer with 403 whatever the reason is, and the
/// application itself and proxies in front of it send 403 and 429 too, with other bodies.
///
/// Nothing is read here, so it is cheap: it tells whether the body is worth reading.
/// [`Denial::parse`] looks into it, and tells a denial from a problem of another kind.
///
/// ```
/// use http::{HeaderMap, StatusCode};
///
/// assert!(!tollgate_client::is_denial(StatusCode::FORBIDDEN, &HeaderMap::new()));
/// ```
pub fn is_denial(status: StatusCode, headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|text| text.split(';').next()).unwrap_or_default();
    status.as_u16() >= 400 && media_type.trim().eq_ignore_ascii_case("application/problem+json")
}

impl Denial {
    /// Reads the denial from a response, or gives `None` where there is none: the response is a
    /// success, another kind of error, or has no body (the answer to `HEAD` has the headers only).
    ///
    /// 1. It must look like a denial: see [`is_denial`].
    /// 2. The body must be a JSON object with the members that every denial has, with the right
    ///    types: `type`, `title`, `status`, `code`, `category`, `remedy`, `action`, `actor`,
    ///    `retryable`, `instance`.
    /// 3. Any other member that is not of its type is no reason to lose the denial: its field is
    ///    empty, and [`member`](Self::member) gives what came.
    /// 4. Where the body has no `retry_after`, that of the header counts, if it is in seconds.
    ///
    /// It is boxed since it is large, and is mostly handed on in a `Result`.
    #[must_use]
    pub fn parse(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Box<Self>> {
        if !is_denial(status, headers) {
            return None;
        }
        let mut denial: Box<Self> = serde_json::from_slice(body).ok()?;
        if denial.retry_after.is_none()
            && let Some(wait) = wait_of(headers)
        {
            denial.retry_after = Some(wait);
            denial.other.remove("retry_after");
        }
        Some(denial)
    }
}

/// As lenient as [`Denial::parse`] about members that not every denial has.
impl<'de> Deserialize<'de> for Denial {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut members = Members(Map::deserialize(deserializer)?);
        Ok(Self {
            type_uri: members.need("type")?,
            title: members.need("title")?,
            status: members.need("status")?,
            code: members.need("code")?,
            category: members.need("category")?,
            detail: members.take("detail"),
            remedy: members.need("remedy")?,
            action: members.need("action")?,
            actor: members.need("actor")?,
            help: members.take("help"),
            support: members.take("support"),
            retryable: members.need("retryable")?,
            retry_after: members.take::<Option<NonZeroU64>>("retry_after").map(whole),
            instance: members.need("instance")?,
            rule: members.take("rule"),
            accepted_credentials: members.take("accepted_credentials"),
            presented: members.take("presented"),
            failed_check: members.take("failed_check"),
            expected_prefix: members.take("expected_prefix"),
            expected_length: members.take("expected_length"),
            key_id: members.take("key_id"),
            expired_at: members.take("expired_at"),
            valid_from: members.take("valid_from"),
            server_time: members.take("server_time"),
            max_bytes: members.take("max_bytes"),
            accepted_issuers: members.take("accepted_issuers"),
            accepted_algorithms: members.take("accepted_algorithms"),
            expected_audience: members.take("expected_audience"),
            expected_type: members.take("expected_type"),
            claim: members.take("claim"),
            mismatch: members.take("mismatch"),
            looks_like: members.take("looks_like"),
            required_scopes: members.take("required_scopes"),
            missing_scopes: members.take("missing_scopes"),
            any_scopes: members.take("any_scopes"),
            granted_scopes: members.take("granted_scopes"),
            required_roles: members.take("required_roles"),
            address: members.take("address"),
            allowed_addresses: members.take("allowed_addresses"),
            allowed_methods: members.take("allowed_methods"),
            last_failure: members.take("last_failure"),
            cost: members.take("cost"),
            limits: members.take("limits"),
            other: members.0,
        })
    }
}

/// The members that are not read yet.
struct Members(Map<String, Value>);

impl Members {
    /// A member that every denial has.
    fn need<T: DeserializeOwned, E: Error>(&mut self, name: &'static str) -> Result<T, E> {
        let value = self.0.remove(name).ok_or_else(|| E::missing_field(name))?;
        serde_json::from_value(value).map_err(|error| E::custom(format_args!("`{name}`: {error}")))
    }

    /// A member that may be absent. It stays where it is if it has another type.
    fn take<T: DeserializeOwned + Default>(&mut self, name: &str) -> T {
        match self.0.get(name).map(T::deserialize) {
            Some(Ok(read)) => {
                self.0.remove(name);
                read
            }
            Some(Err(_)) | None => T::default(),
        }
    }
}

/// `Retry-After`, where it is in seconds; as a date it is not used.
fn wait_of(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(whole)
}

fn whole(seconds: NonZeroU64) -> Duration {
    Duration::from_secs(seconds.get())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::super::{Category, Code};
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (name.parse().unwrap(), HeaderValue::from_static(value))
        };
        lines.iter().map(line).collect()
    }

    fn problem() -> HeaderMap {
        headers(&[("content-type", "application/problem+json")])
    }

    fn document() -> Value {
        json!({
            "type": "/errors/rate_limited", "title": "Rate limited", "status": 429,
            "code": "rate_limited", "category": "limit", "remedy": "Wait.", "retryable": true,
            "action": "wait", "actor": "client",
            "instance": "urn:uuid:00000000-0000-4000-8000-000000000000",
        })
    }

    /// What is read of the document with these members in place of its own.
    fn read_with(members: Value) -> Option<Box<Denial>> {
        let mut document = document();
        let own = document.as_object_mut().unwrap();
        own.extend(members.as_object().unwrap().clone());
        Denial::parse(StatusCode::FORBIDDEN, &problem(), document.to_string().as_bytes())
    }

    #[test]
    fn only_an_error_with_a_problem_document_is_read() {
        let body = document().to_string();
        for (status, content_type, is_read) in [
            (403, "application/problem+json", true),
            (503, "Application/Problem+JSON ; charset=utf-8", true),
            (200, "application/problem+json", false),
            (302, "application/problem+json", false),
            (403, "application/json", false),
            (403, "application/problem+json-seq", false),
            (403, "", false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let headers = headers(&[("content-type", content_type)]);
            let label = format!("{status} {content_type}");
            assert_eq!(is_denial(status, &headers), is_read, "{label}");
            assert_eq!(
                Denial::parse(status, &headers, body.as_bytes()).is_some(),
                is_read,
                "{label}"
            );
        }
    }

    #[test]
    fn a_body_of_another_kind_is_no_denial() {
        let deep = "[".repeat(100_000);
        let cut = document().to_string();
        for body in [
            &b""[..],
            b"<html>",
            b"null",
            b"[]",
            b"{}",
            b"\xff\xfe",
            br#"{"type":"about:blank","title":"Forbidden","status":403}"#,
            deep.as_bytes(),
            &cut.as_bytes()[..cut.len() - 1],
        ] {
            let text = String::from_utf8_lossy(&body[..body.len().min(40)]);
            assert_eq!(Denial::parse(StatusCode::FORBIDDEN, &problem(), body), None, "{text}");
        }
    }

    #[test]
    fn what_every_denial_has_must_be_there_and_of_its_type() {
        for name in document().as_object().unwrap().keys() {
            for wrong in [json!(null), json!({}), json!([])] {
                assert_eq!(read_with(json!({name.as_str(): wrong})), None, "{name}: {wrong}");
            }
        }
        assert!(read_with(json!({})).is_some());
    }

    #[test]
    fn another_member_of_a_wrong_type_is_put_aside() {
        let wrong = json!({
            "detail": 7, "retry_after": "soon", "cost": -1, "expired_at": {},
            "missing_scopes": "orders:write", "limits": [{"limit": "per-client"}],
        });
        let denial = read_with(wrong.clone()).unwrap();
        assert_eq!((denial.code.clone(), denial.retry_after), (Code::RateLimited, None));
        assert_eq!((denial.cost, denial.limits.len()), (None, 0));
        for (name, value) in wrong.as_object().unwrap() {
            assert_eq!(denial.member::<Value>(name).as_ref(), Some(value), "{name}");
        }
        assert_eq!(denial.other_members().count(), 6);
    }

    #[test]
    fn what_is_not_known_is_kept_and_written_again() {
        let document = json!({
            "code": "order_shipped", "category": "payment", "shipped_on": "2026-11-20",
            "crates": {"left": 3},
        });
        let denial = read_with(document.clone()).unwrap();
        assert!(matches!(denial.code, Code::Other(_)));
        assert!(matches!(denial.category, Category::Other(_)));
        assert_eq!(denial.member::<String>("shipped_on").as_deref(), Some("2026-11-20"));
        assert_eq!(denial.member::<u64>("shipped_on"), None);
        let title = denial.member::<String>("title");
        assert_eq!(
            title.as_ref(),
            Some(&denial.title),
            "members with fields too, whatever the release"
        );
        let written = serde_json::to_value(&denial).unwrap();
        for (name, value) in document.as_object().unwrap() {
            assert_eq!(&written[name], value, "{name}");
        }
    }

    #[test]
    fn the_wait_is_that_of_the_body_or_else_of_the_header() {
        for (body, header, seconds) in [
            (json!({"retry_after": 7}), "9", Some(7)),
            (json!({}), "9", Some(9)),
            (json!({"retry_after": "soon"}), "9", Some(9)),
            (json!({"retry_after": 0}), "9", Some(9)),
            (json!({}), "0", None),
            (json!({}), "-3", None),
            (json!({}), "1.5", None),
            (json!({}), "99999999999999999999999", None),
            (json!({}), "Wed, 25 Nov 2026 08:00:00 GMT", None),
        ] {
            let mut document = document();
            document.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
            let mut headers = problem();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(header));
            let text = document.to_string();
            let denial = Denial::parse(StatusCode::FORBIDDEN, &headers, text.as_bytes()).unwrap();
            assert_eq!(denial.retry_after, seconds.map(Duration::from_secs), "{body} {header}");
            let again: Denial =
                serde_json::from_str(&serde_json::to_string(&denial).unwrap()).unwrap();
            assert_eq!(again, *denial, "{body} {header}");
        }
    }

    #[test]
    fn it_is_an_error_that_says_what_to_do() {
        fn refused() -> Result<(), Box<dyn std::error::Error>> {
            Err(read_with(json!({})).unwrap())?
        }
        assert_eq!(refused().unwrap_err().to_string(), "Rate limited: Wait.");
    }
}
