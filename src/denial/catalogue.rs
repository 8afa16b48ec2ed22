//! The catalogue: one row for each code, and in it all that is known about the code.
//!
//! The enum [`Code`], the schema, the pages, the clients and the tests are made from this table,
//! and from the prose in `pages/`. A code is a promise to clients: it is never renamed, reused or
//! removed.
//!
//! In `detail` and `remedy`, `{name}` stands for a member, and a part in square brackets is left
//! out when a member in it is absent.

use super::members::Presence;
use super::own::Shown;
use super::properties::{Action, Actor, Category, Challenge, Occurs};

/// A reason for a denial: a row of the catalogue, or a code of the application.
///
/// # A code of your own
///
/// Declare it once, register it with
/// [`TollgateBuilder::code`](crate::TollgateBuilder::code), and return it from handlers:
/// the client gets the same document as for every other denial.
///
/// ```
/// use tollgate::{Category, Denial, DenialCode};
///
/// static ORDER_LOCKED: DenialCode = DenialCode::new("order_locked", Category::Authorization)
///     .with_title("Order locked")
///     .with_detail("The order is locked by {locked_by}.")
///     .with_remedy("Ask {locked_by} to release the order, then repeat the request.");
///
/// async fn change_order() -> Result<(), Denial> {
///     Err(Denial::new(&ORDER_LOCKED).member("locked_by", "the warehouse"))
/// }
/// ```
///
/// Codes can also be declared in the policy, with `[[denial.code]]`; see
/// [`Denial::named`](crate::Denial::named).
#[derive(Clone, Debug)]
pub struct DenialCode {
    /// Which code of the catalogue it is; `None` for a code of the application.
    pub(crate) known: Option<Code>,
    pub(crate) code: &'static str,
    pub(crate) category: Category,
    pub(crate) standard_status: u16,
    pub(crate) challenge: Challenge,
    /// What is shown in its place at `disclosure = "minimal"`.
    pub(crate) group: Code,
    pub(crate) occurs: Occurs,
    pub(crate) action: Action,
    pub(crate) actor: Actor,
    /// Whether the credential proved nothing, so that the address it came from is charged.
    pub(crate) counts_as_failure: bool,
    pub(crate) retryable: bool,
    /// The members beside those that every denial has, in the order of the document.
    pub(crate) members: &'static [(&'static str, Presence)],
    pub(crate) title: &'static str,
    /// Template of `detail`; empty where there is none.
    pub(crate) detail: &'static str,
    /// Template of `remedy`.
    pub(crate) remedy: &'static str,
    /// What it means, at length: the text of its page.
    pub(crate) about: &'static str,
    /// What handlers add, for codes of the application.
    pub(crate) example: Shown,
}

macro_rules! denial_codes {
    ($(
        #[doc = $summary:literal]
        $name:ident => $code:literal, $category:ident, $status:literal, $challenge:expr,
            group: $group:ident, occurs: $occurs:ident, action: $action:ident, actor: $actor:ident,
            counts_as_failure: $counts:literal,
            retryable: $retryable:literal,
            members: [$(($member:literal, $presence:ident)),*],
            title: $title:literal,
            detail: $detail:literal,
            remedy: $remedy:literal;
    )+) => {
        /// A code of the catalogue.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub(crate) enum Code {
            $(#[doc = $summary] $name,)+
        }

        static ROWS: &[DenialCode] = &[$(DenialCode {
            known: Some(Code::$name),
            code: $code,
            category: Category::$category,
            standard_status: $status,
            challenge: $challenge,
            group: Code::$group,
            occurs: Occurs::$occurs,
            action: Action::$action,
            actor: Actor::$actor,
            counts_as_failure: $counts,
            retryable: $retryable,
            members: &[$(($member, Presence::$presence)),*],
            title: $title,
            detail: $detail,
            remedy: $remedy,
            about: include_str!(concat!("pages/", $code, ".md")),
            example: Shown::Nothing,
        },)+];

        /// Every code, in the order of the pages.
        pub(crate) static CATALOGUE: &[&DenialCode] = &[$(&ROWS[Code::$name as usize]),+];
    };
}

impl Code {
    /// How many there are.
    pub(crate) const COUNT: usize = ROWS.len();

    /// All that is known about it.
    pub(crate) fn row(self) -> &'static DenialCode {
        &ROWS[self as usize]
    }
}

denial_codes! {
    /// The request carries no credential, and the path is open only to known callers.
    CredentialsMissing => "credentials_missing", Credentials, 401, Challenge::Accepted,
        group: CredentialsMissing, occurs: NoneLeftOut, action: FixRequest, actor: Client, counts_as_failure: false,
        retryable: false,
        members: [("accepted_credentials", Always)],
        title: "Credentials missing",
        detail: "The request carries no credential.",
        remedy: "Send exactly one credential[: {accepted_credentials}].";

    /// The request carries two credentials, or one of them twice.
    CredentialsMultiple => "credentials_multiple", Credentials, 400, Challenge::Bearer("invalid_request"),
        group: InvalidCredentials, occurs: Guarded, action: FixRequest, actor: Client, counts_as_failure: false,
        retryable: false,
        members: [("accepted_credentials", Always), ("presented", Always)],
        title: "More than one credential",
        detail: "The request carries more than one credential: {presented}.",
        remedy: "Send exactly one credential, once[: {accepted_credentials}]. Check whether a proxy or a library adds another.";

    /// A credential was sent in a form that is not accepted here.
    CredentialsUnsupported => "credentials_unsupported", Credentials, 401, Challenge::Accepted,
        group: InvalidCredentials, occurs: Guarded, action: FixRequest, actor: Client, counts_as_failure: false,
        retryable: false,
        members: [("accepted_credentials", Always)],
        title: "Credential not accepted here",
        detail: "The credential is of a kind, or in a form, that is not accepted here.",
        remedy: "Send what is accepted[: {accepted_credentials}].";

    /// The text that was sent cannot be an API key.
    ApiKeyMalformed => "api_key_malformed", Credentials, 401, Challenge::ApiKey,
        group: InvalidCredentials, occurs: Keys, action: FixRequest, actor: Client, counts_as_failure: true,
        retryable: false,
        members: [("accepted_credentials", Always), ("failed_check", Always),
            ("expected_prefix", Sometimes), ("expected_length", Sometimes)],
        title: "API key malformed",
        detail: "The API key does not have the form of a key.",
        remedy: "Copy the whole key again[: it begins with {expected_prefix}_ and has {expected_length} characters]. Check that it belongs to this environment, and that the variable that holds it is set, without quotes and blanks.";

    /// The key has the right form, and nobody here knows it.
    ApiKeyUnknown => "api_key_unknown", Credentials, 401, Challenge::ApiKey,
        group: InvalidCredentials, occurs: Keys, action: Ask, actor: Owner, counts_as_failure: true,
        retryable: false,
        members: [("expected_prefix", Sometimes)],
        title: "API key unknown",
        detail: "The API key is not known here[; its prefix {expected_prefix} and its check digits are right].",
        remedy: "It was probably deleted or replaced: look it up where you manage your keys, and ask its owner for a new one[, or {support}]. If it is listed there, it is of another deployment, or this server has not loaded it yet.";

    /// The key is genuine, and its last day has passed.
    ApiKeyExpired => "api_key_expired", Credentials, 401, Challenge::ApiKey,
        group: InvalidCredentials, occurs: Keys, action: Ask, actor: Owner, counts_as_failure: false,
        retryable: false,
        members: [("key_id", Always), ("expired_at", Always), ("server_time", Always)],
        title: "API key expired",
        detail: "The API key {key_id} expired at {expired_at}; the server's time is {server_time}.",
        remedy: "Ask its owner for a new key[, or {support}], and replace it. Make the next one before the old one expires.";

    /// The key is genuine, and was taken out of service by its owner or by the provider.
    ApiKeyRevoked => "api_key_revoked", Credentials, 401, Challenge::ApiKey,
        group: InvalidCredentials, occurs: Keys, action: Ask, actor: Owner, counts_as_failure: false,
        retryable: false,
        members: [("key_id", Always)],
        title: "API key revoked",
        detail: "The API key {key_id} was revoked.",
        remedy: "Stop using it, and ask its owner for a new key[, or {support}].";

    /// The key is genuine, and its first day has not come.
    ApiKeyNotYetValid => "api_key_not_yet_valid", Credentials, 401, Challenge::ApiKey,
        group: InvalidCredentials, occurs: Keys, action: Wait, actor: Client, counts_as_failure: false,
        retryable: true,
        members: [("retry_after", Always), ("key_id", Always), ("valid_from", Always),
            ("server_time", Always)],
        title: "API key not yet valid",
        detail: "The API key {key_id} is valid from {valid_from}; the server's time is {server_time}.",
        remedy: "Wait {retry_after} s, then repeat the request, or use a key that is valid now.";

    /// The key is genuine, and may not be used from this address.
    ApiKeyAddressNotAllowed => "api_key_address_not_allowed", Authorization, 403, Challenge::None,
        group: AccessDenied, occurs: Keys, action: Ask, actor: Owner, counts_as_failure: false,
        retryable: false,
        members: [("key_id", Always), ("address", Sometimes), ("allowed_addresses", Detailed)],
        title: "Address not allowed for this API key",
        detail: "The API key {key_id} may not be used from this address[: {address}].",
        remedy: "Call from an address that the key allows, or have yours added to it[: ask at {support}]. Behind a proxy or NAT, the outer address counts.";

    /// The text that was sent as a bearer token is no signed JWT in compact form.
    TokenMalformed => "token_malformed", Token, 401, Challenge::Bearer("invalid_token"),
        group: InvalidCredentials, occurs: Tokens, action: FixRequest, actor: Client, counts_as_failure: true,
        retryable: false,
        members: [("accepted_credentials", Always)],
        title: "Token malformed",
        detail: "The bearer token is not a signed JWT.",
        remedy: "Send the access token as it was issued: a signed JWT, three parts with dots between. If yours is opaque or encrypted, name this API when you ask for it, or ask the provider[ at {support}].";

    /// The bearer token is larger than any token needs to be.
    TokenTooLarge => "token_too_large", Token, 431, Challenge::Bearer("invalid_token"),
        group: InvalidCredentials, occurs: Tokens, action: FixRequest, actor: Client, counts_as_failure: true,
        retryable: false,
        members: [("max_bytes", Always)],
        title: "Token too large",
        detail: "The bearer token is larger than {max_bytes} bytes.",
        remedy: "Get a token of at most {max_bytes} bytes: ask for fewer scopes, or for this API alone. If yours cannot be smaller, ask the provider[ at {support}] to accept larger ones.";

    /// The token's `alg` is not accepted for its issuer, or does not fit the key it names.
    TokenAlgorithmNotAllowed => "token_algorithm_not_allowed", Token, 401, Challenge::Bearer("invalid_token"),
        group: InvalidCredentials, occurs: Tokens, action: Ask, actor: Provider, counts_as_failure: true,
        retryable: false,
        members: [("accepted_algorithms", Always)],
        title: "Token algorithm not allowed",
        detail: "The token names an algorithm that is not accepted for its issuer and key.",
        remedy: "If you sign the token yourself, use one of {accepted_algorithms}, with the key that is made for it. Otherwise ask the provider[ at {support}]: the issuer chooses the algorithm, and signs a new token alike.";

    /// The token's `iss` is missing, or names nobody whose tokens are accepted here.
    TokenIssuerUnknown => "token_issuer_unknown", Token, 401, Challenge::Bearer("invalid_token"),
        group: InvalidCredentials, occurs: Tokens, action: Ask, actor: Provider, counts_as_failure: true,
        retryable: false,
        members: [("accepted_issuers", Sometimes)],
        title: "Token issuer unknown",
        detail: "The token names no issuer whose tokens are accepted here.",
        remedy: "Get a token from an accepted issuer[: {accepted_issuers}]; `iss` is compared byte by byte. If yours is from there, and its `iss` is merely written in another way, ask the provider[ at {support}], quoting `instance`.";

    /// No key of the issuer fits the token's `kid` or, without one, its algorithm.
    TokenKeyUnknown => "token_key_unknown", Token, 401, Challenge::Bearer("invalid_token"),
        group: InvalidCredentials, occurs: Tokens, action: Renew, actor: Client, counts_as_failure: true,
        retryable: false,
        members: [("accepted_issuers", Sometimes)],
        title: "Token key unknown",
        detail: "No key of the token's issuer fits the token.",
        remedy: "The issuer may have changed its keys, or the token may be of another environment: get a new token[ from {accepted_issuers}]. If new tokens are refused too, report it to the provider[ at {support}], quoting `instance`.";

    /// The signature does not fit the token.
    TokenSignatureInvalid => "token_signature_invalid", Token, 401, Challenge::Bearer("invalid_token"),
        group: InvalidCredentials, occurs: Tokens, action: Renew, actor: Client, counts_as_failure: true,
        retryable: false,
        members: [("accepted_issuers", Sometimes)],
        title: "Token signature invalid",
        detail: "The signature of the token is not valid.",
        remedy: "Send the token exactly as it was issued, or get a new one[ from {accepted_issuers}]. If new tokens are refused too, report it to the provider[ at {support}], quoting `instance`.";

    /// The token is genuine, and its `exp` lies in the past.
    TokenExpired => "token_expired", Token, 401, Challenge::Bearer("invalid_token"),
        group: InvalidCredentials, occurs: Tokens, action: Renew, actor: Client, counts_as_failure: false,
        retryable: false,
        members: [("expired_at", Always), ("server_time", Always)],
        title: "Token expired",
        detail: "The token expired at {expired_at}; the server's time is {server_time}.",
        remedy: "Get a new token, then repeat the request with it. If that time lies ahead by your clock, set your clock.";

    /// The token is genuine, and its `nbf` or `iat` lies in the future.
    TokenNotYetValid => "token_not_yet_valid", Token, 401, Challenge::Bearer("invalid_token"),
        group: InvalidCredentials, occurs: Tokens, action: Wait, actor: Client, counts_as_failure: false,
        retryable: true,
        members: [("retry_after", Always), ("valid_from", Always), ("server_time", Always)],
        title: "Token not yet valid",
        detail: "The token is valid from {valid_from}; the server's time is {server_time}.",
        remedy: "Wait {retry_after} s, which allows for clocks that differ a little, then repeat the request. If that is more than a few seconds, a clock is wrong, the issuer's or the server's: report it to the provider[ at {support}], quoting `instance`.";

    /// The token is genuine, and was issued for another API: `aud` does not name this one.
    TokenAudienceMismatch => "token_audience_mismatch", Token, 401, Challenge::Bearer("invalid_token"),
        group: InvalidCredentials, occurs: Tokens, action: Ask, actor: Provider, counts_as_failure: false,
        retryable: false,
        members: [("expected_audience", Always), ("claim", Always), ("looks_like", Sometimes)],
        title: "Token for another audience",
        detail: "The token was not issued for this API[, and looks like an {looks_like}].",
        remedy: "Ask the issuer for an access token for {expected_audience}: its `{claim}` must name one of these. If you cannot choose that, ask the provider[ at {support}].[ An {looks_like} is for the app that signed its user in: send the access token instead.]";

    /// The token is genuine, and is of another type: its `typ` is not accepted.
    TokenTypeMismatch => "token_type_mismatch", Token, 401, Challenge::Bearer("invalid_token"),
        group: InvalidCredentials, occurs: Tokens, action: Ask, actor: Provider, counts_as_failure: false,
        retryable: false,
        members: [("expected_type", Always), ("looks_like", Sometimes)],
        title: "Token of another type",
        detail: "The token's `typ` is not accepted here[, and it looks like an {looks_like}].",
        remedy: "Send the access token of the issuer's reply. If it is that one, ask the provider[ at {support}]: the issuer chooses the `typ` in its header, and here it has to be one of {expected_type}.[ An {looks_like} is for the app that signed its user in.]";

    /// The token is genuine and bound to a key of its client, and was sent without proof of that key.
    TokenProofRequired => "token_proof_required", Token, 401, Challenge::Bearer("invalid_token"),
        group: InvalidCredentials, occurs: Tokens, action: Ask, actor: Provider, counts_as_failure: false,
        retryable: false,
        members: [],
        title: "Token bound to a key",
        detail: "The token has a claim `cnf`: it is bound to a key of its client, and proofs of such keys are not checked here.",
        remedy: "Get a token that is not bound to a key: ask for it without DPoP, and without a client certificate. If the issuer binds every token, ask the provider[ at {support}].";

    /// The token is genuine, and lacks a claim that is needed.
    TokenClaimMissing => "token_claim_missing", Token, 401, Challenge::Bearer("invalid_token"),
        group: InvalidCredentials, occurs: Tokens, action: Ask, actor: Provider, counts_as_failure: false,
        retryable: false,
        members: [("claim", Always), ("looks_like", Sometimes)],
        title: "Token claim missing",
        detail: "The token has no claim {claim}[, and looks like an {looks_like}].",
        remedy: "Ask for the token as the provider describes, with all scopes that it names. If {claim} is still absent, ask the provider[ at {support}]: the issuer, or this API, has to be set up otherwise.[ An {looks_like} is for the app that signed its user in: send the access token instead.]";

    /// The token is genuine, and a claim is of the wrong type or out of range.
    TokenClaimInvalid => "token_claim_invalid", Token, 401, Challenge::Bearer("invalid_token"),
        group: InvalidCredentials, occurs: Tokens, action: Ask, actor: Provider, counts_as_failure: false,
        retryable: false,
        members: [("claim", Always)],
        title: "Token claim invalid",
        detail: "The claim {claim} of the token is of the wrong type or out of range.",
        remedy: "Ask the provider[ at {support}], quoting `instance`: the issuer writes {claim} in a way that is not accepted here, and writes a new token alike.";

    /// The token is genuine, and was revoked before its end.
    TokenRevoked => "token_revoked", Token, 401, Challenge::Bearer("invalid_token"),
        group: InvalidCredentials, occurs: Tokens, action: Renew, actor: Client, counts_as_failure: false,
        retryable: false,
        members: [],
        title: "Token revoked",
        detail: "The token was revoked.",
        remedy: "Get a new token: sign in again.";

    /// The caller is known, and its credential lacks a scope that is needed here.
    InsufficientScope => "insufficient_scope", Authorization, 403, Challenge::Scope,
        group: AccessDenied, occurs: Scopes, action: StepUp, actor: User, counts_as_failure: false,
        retryable: false,
        members: [("key_id", Sometimes), ("required_scopes", Sometimes), ("missing_scopes", Sometimes),
            ("any_scopes", Sometimes), ("granted_scopes", Detailed)],
        title: "Insufficient scope",
        detail: "The credential lacks scopes that are needed here.",
        remedy: "Get a credential with the scopes that are missing, then repeat the request with it.[ All of these are needed: {required_scopes}.][ One of these is needed: {any_scopes}.]";

    /// The caller is known, and has none of the roles that are needed here.
    InsufficientRole => "insufficient_role", Authorization, 403, Challenge::None,
        group: AccessDenied, occurs: Roles, action: Ask, actor: Owner, counts_as_failure: false,
        retryable: false,
        members: [("required_roles", Always)],
        title: "Insufficient role",
        detail: "The caller has none of the roles of which one is needed here.",
        remedy: "Have one of these roles given to the caller: {required_roles}. Then get a new token, or use the key again.";

    /// The caller is known, and a claim of its token does not have the value needed here.
    ClaimMismatch => "claim_mismatch", Authorization, 403, Challenge::None,
        group: AccessDenied, occurs: Claims, action: Ask, actor: Owner, counts_as_failure: false,
        retryable: false,
        members: [("claim", Always), ("mismatch", Always)],
        title: "Claim does not match",
        detail: "The claim {claim} is absent, or does not have the value that is needed here.",
        remedy: "Use an account whose tokens carry the claim {claim} with the value that is needed here, and send a token, not an API key. Ask the provider for the value[ at {support}].";

    /// Requests from this address are not allowed here.
    AddressNotAllowed => "address_not_allowed", Authorization, 403, Challenge::None,
        group: AccessDenied, occurs: Addresses, action: Ask, actor: Owner, counts_as_failure: false,
        retryable: false,
        members: [("address", Sometimes), ("allowed_addresses", Detailed)],
        title: "Address not allowed",
        detail: "Requests from this address are not allowed here[: {address}].",
        remedy: "Call from an allowed network, or have your address allowed[: ask at {support}]. Behind a proxy or NAT, the outer address counts.";

    /// No rule covers the path: it is mistyped, or open to nobody yet.
    NoMatchingRule => "no_matching_rule", Authorization, 403, Challenge::None,
        group: AccessDenied, occurs: Parameters, action: FixRequest, actor: Client, counts_as_failure: false,
        retryable: false,
        members: [],
        title: "No rule covers this path",
        detail: "No rule covers this path.",
        remedy: "Check the path for typing errors, for its letter case, and for a slash at its end that is missing or too many. If it is right, it is open to nobody yet: ask the provider[ at {support}].";

    /// Rules cover the path, and none of them this method.
    MethodNotAllowed => "method_not_allowed", Authorization, 405, Challenge::None,
        group: AccessDenied, occurs: Unruled, action: FixRequest, actor: Client, counts_as_failure: false,
        retryable: false,
        members: [("allowed_methods", Always)],
        title: "Method not allowed",
        detail: "The path is right, and it is not open for this method.",
        remedy: "Use one of the methods {allowed_methods}.";

    /// A limit does not have the tokens that this request takes.
    RateLimited => "rate_limited", Limit, 429, Challenge::None,
        group: LimitExceeded, occurs: Limits, action: Wait, actor: Client, counts_as_failure: false,
        retryable: true,
        members: [("retry_after", Sometimes), ("address", Sometimes), ("cost", Sometimes),
            ("limits", Sometimes)],
        title: "Rate limited",
        detail: "The request takes more than a limit has left[: {limits}].",
        remedy: "[Wait {retry_after} s, then repeat the request. ]Spread calls over time.";

    /// Too many requests from this address failed to prove a credential.
    TooManyFailures => "too_many_failures", Limit, 429, Challenge::None,
        group: InvalidCredentials, occurs: Failures, action: Wait, actor: Client, counts_as_failure: false,
        retryable: true,
        members: [("retry_after", Always), ("last_failure", Sometimes)],
        title: "Too many failed attempts",
        detail: "This attempt failed too, and too many from this address did, those of others behind it included. A good credential is let in at once.",
        remedy: "[Correct the credential: the page of {last_failure} says how. ]The address may fail again in {retry_after} s.";

    /// What verifies this credential cannot be reached at the moment.
    KeySourceUnavailable => "key_source_unavailable", Server, 503, Challenge::None,
        group: TemporarilyUnavailable, occurs: RemoteKeys, action: Wait, actor: Client, counts_as_failure: false,
        retryable: true,
        members: [("retry_after", Always)],
        title: "Key source unavailable",
        detail: "What verifies this credential cannot be reached at the moment.",
        remedy: "The fault is the server's. Repeat the request in {retry_after} s, then ever more slowly.";

    /// The limits of this request cannot be counted at the moment.
    LimiterUnavailable => "limiter_unavailable", Server, 503, Challenge::None,
        group: TemporarilyUnavailable, occurs: ClosedLimits, action: Wait, actor: Client, counts_as_failure: false,
        retryable: true,
        members: [("retry_after", Always)],
        title: "Limiter unavailable",
        detail: "The limits of this request cannot be counted at the moment.",
        remedy: "The fault is the server's. Repeat the request in {retry_after} s, then ever more slowly.";

    /// The server could not decide about the request, by a fault of its own.
    DecisionFailed => "decision_failed", Server, 503, Challenge::None,
        group: TemporarilyUnavailable, occurs: Anywhere, action: Report, actor: Provider, counts_as_failure: false,
        retryable: false,
        members: [],
        title: "Decision failed",
        detail: "The server could not decide about this request.",
        remedy: "The fault is the server's, and repeating does not help. Report it[ at {support}], quoting `instance`.";

    /// The credential is no good. What is wrong with it is not told here.
    InvalidCredentials => "invalid_credentials", Credentials, 401, Challenge::Accepted,
        group: InvalidCredentials, occurs: Groups, action: Renew, actor: Client, counts_as_failure: false,
        retryable: false,
        members: [],
        title: "Invalid credentials",
        detail: "",
        remedy: "Send exactly one credential, complete and unchanged, of this environment, neither expired nor revoked; otherwise get a new one. After several failures, wait some minutes.";

    /// The request is not allowed. Which rule it fails is not told here.
    AccessDenied => "access_denied", Authorization, 403, Challenge::None,
        group: AccessDenied, occurs: Groups, action: Ask, actor: Owner, counts_as_failure: false,
        retryable: false,
        members: [],
        title: "Access denied",
        detail: "",
        remedy: "Check path, method and network, and whether the credential is meant for this; otherwise ask the provider for access.";

    /// A limit is exceeded. Which one is not told here.
    LimitExceeded => "limit_exceeded", Limit, 429, Challenge::None,
        group: LimitExceeded, occurs: Groups, action: Wait, actor: Client, counts_as_failure: false,
        retryable: true,
        members: [("retry_after", Sometimes)],
        title: "Limit exceeded",
        detail: "",
        remedy: "Wait for the seconds in `retry_after`, then repeat the request, and spread calls over time.";

    /// The server cannot answer at the moment, by a fault of its own.
    TemporarilyUnavailable => "temporarily_unavailable", Server, 503, Challenge::None,
        group: TemporarilyUnavailable, occurs: Groups, action: Wait, actor: Client, counts_as_failure: false,
        retryable: true,
        members: [("retry_after", Sometimes)],
        title: "Temporarily unavailable",
        detail: "",
        remedy: "The fault is the server's. Repeat the request later, then ever more slowly.";
}

/// The code with this name.
pub(crate) fn find(code: &str) -> Option<&'static DenialCode> {
    CATALOGUE.iter().copied().find(|row| row.code == code)
}

#[cfg(test)]
mod tests;
