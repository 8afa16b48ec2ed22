/**
 * Why a request was denied: the types of a denial, and what a client does with one. No dependency;
 * only erasable syntax, so Node, Deno and Bun run the file as it is.
 *
 * Written by `tollgate schema --format typescript`. Change it there.
 */

/** Every code that this module knows, in the order of the catalogue. */
export const DENIAL_CODES = [
  "credentials_missing",
  "credentials_multiple",
  "credentials_unsupported",
  "api_key_malformed",
  "api_key_unknown",
  "api_key_expired",
  "api_key_revoked",
  "api_key_not_yet_valid",
  "api_key_address_not_allowed",
  "token_malformed",
  "token_too_large",
  "token_algorithm_not_allowed",
  "token_issuer_unknown",
  "token_key_unknown",
  "token_signature_invalid",
  "token_expired",
  "token_not_yet_valid",
  "token_audience_mismatch",
  "token_type_mismatch",
  "token_proof_required",
  "token_claim_missing",
  "token_claim_invalid",
  "token_revoked",
  "insufficient_scope",
  "insufficient_role",
  "claim_mismatch",
  "address_not_allowed",
  "no_matching_rule",
  "method_not_allowed",
  "rate_limited",
  "too_many_failures",
  "key_source_unavailable",
  "limiter_unavailable",
  "decision_failed",
  "invalid_credentials",
  "access_denied",
  "limit_exceeded",
  "temporarily_unavailable",
] as const;

/** A code that this module knows. */
export type KnownDenialCode = (typeof DENIAL_CODES)[number];

/** What kind of reason it is: what to fall back on where `code` is unknown. */
export type DenialCategory = "credentials" | "token" | "authorization" | "limit" | "server";

/** A way to send a credential. */
export interface AcceptedCredential {
  /** Which credential: an API key or a bearer token. */
  readonly kind: "api_key" | "token" | (string & {});
  /** Where it is sent. */
  readonly in: "header" | (string & {});
  /** The name of the header. */
  readonly name: string;
  /**
   * The scheme before the credential, as in `Authorization: Bearer <token>`. Without one the
   * credential is the whole value.
   */
  readonly scheme?: "ApiKey" | "Bearer" | "Basic" | (string & {});
}

/** Where a credential was found. */
export interface PresentedCredential {
  /** Where it was sent. */
  readonly in: "header" | (string & {});
  /** The name of the header. */
  readonly name: string;
  /** The scheme before the credential, where it is one that is known. */
  readonly scheme?: "ApiKey" | "Bearer" | "Basic" | (string & {});
}

/** An issuer whose tokens are accepted. */
export interface AcceptedIssuer {
  /** What `iss` of the token is, byte by byte. */
  readonly iss: string;
  /** Where to get tokens. */
  readonly obtain?: string;
}

/** How a limit stands. */
export interface LimitState {
  /** The name of the limit. */
  readonly limit: string;
  /**
   * What the limit is counted for: `client`, `address`, `rule`, `global`, `claim:<name>`,
   * `header:<name>` or `path:<parameter>`, or several together.
   */
  readonly per: readonly string[];
  /** How fast it refills, such as `100/minute`. */
  readonly rate: string;
  /** What is counted. */
  readonly unit: "requests" | (string & {});
  /** How many tokens this request takes of this limit, where its limits have different costs. */
  readonly cost?: number;
  /** How much it holds when it is full: what can be spent at once. */
  readonly quota: number;
  /** How many seconds it takes to fill. */
  readonly window: number;
  /** How much is left now. */
  readonly remaining: number;
  /**
   * In how many seconds there is enough for this request; 0 when there is. Absent when there never
   * will be.
   */
  readonly reset?: number;
}

/** What a denial has whatever its code. */
export interface DenialBase {
  /** The address of the page about the code. It ends with the code. */
  readonly type: string;
  /** What happened, in a few words that are the same for every denial of this code. */
  readonly title: string;
  /**
   * The status of the response. Decide by `code` and `category`: many APIs answer every denial
   * with 403.
   */
  readonly status: number;
  /**
   * The stable name of the reason. New codes may be added: fall back on `category` for one that
   * you do not know.
   */
  readonly code: string;
  /** What kind of reason it is; the list is closed. */
  readonly category: DenialCategory;
  /**
   * What happened to this request, in a sentence for people. Every fact in it is also a member. It
   * is absent where the API tells as little as it can.
   */
  readonly detail?: string;
  /** What to do next, in sentences for the developer of the client. */
  readonly remedy: string;
  /**
   * What has to be done: `fix_request`, `renew` (get a new credential with the same rights),
   * `step_up` (get one with more scopes), `wait`, `ask` (somebody grants what is missing),
   * `report` (the fault is the server's) or `stop`. The list is open: take a word that you do not
   * know for `stop`.
   */
  readonly action: "fix_request" | "renew" | "step_up" | "wait" | "ask" | "report" | "stop" | (string & {});
  /**
   * Who does it: the `client` (a program), the `user` who signed in, the `owner` (who administers
   * the account) or the `provider` of the API. The list is open.
   */
  readonly actor: "client" | "user" | "owner" | "provider" | (string & {});
  /** What the rule that refused asks for: its entry in the handbook of the API. */
  readonly help?: string;
  /** Whom to ask. Quote `instance`. */
  readonly support?: string;
  /** Whether the same request may succeed later, unchanged. */
  readonly retryable: boolean;
  /**
   * How many seconds to wait before the same request may succeed; equal to the header
   * `Retry-After`.
   */
  readonly retry_after?: number;
  /** Names this one denial. The server's log knows it under the same name. */
  readonly instance: string;
  /**
   * The rule of the API's policy that decided. Only systems that show details, for tests, tell it.
   */
  readonly rule?: string;
}

/**
 * `credentials_missing`: Credentials missing.
 *
 * The request carries no credential, and this path is open only to known callers. An
 * `Authorization` header without a value counts as none; cookies and query parameters are not
 * read.
 *
 * What to do: Send exactly one credential: `accepted_credentials`.
 */
export interface CredentialsMissingDenial extends DenialBase {
  readonly code: "credentials_missing";
  readonly category: "credentials";
  /** The credentials that are accepted here, and where each is sent. */
  readonly accepted_credentials?: readonly AcceptedCredential[];
}

/**
 * `credentials_multiple`: More than one credential.
 *
 * The request carries two credentials, or one of them twice, and exactly one is accepted. Which of
 * them should count is not guessed, even if they are equal: a proxy in front may have looked at
 * the other one.
 *
 * What to do: Send exactly one credential, once: `accepted_credentials`. Check whether a proxy or
 * a library adds another.
 */
export interface CredentialsMultipleDenial extends DenialBase {
  readonly code: "credentials_multiple";
  readonly category: "credentials";
  readonly detail: string;
  /** The credentials that are accepted here, and where each is sent. */
  readonly accepted_credentials: readonly AcceptedCredential[];
  /** Where credentials were found in the request, one entry for each; never their values. */
  readonly presented: readonly PresentedCredential[];
}

/**
 * `credentials_unsupported`: Credential not accepted here.
 *
 * A credential was sent, but its kind or its form is not accepted here. It may well be a good one
 * in another form or place; `detail` says what is wrong with it.
 *
 * What to do: Send what is accepted: `accepted_credentials`.
 */
export interface CredentialsUnsupportedDenial extends DenialBase {
  readonly code: "credentials_unsupported";
  readonly category: "credentials";
  readonly detail: string;
  /** The credentials that are accepted here, and where each is sent. */
  readonly accepted_credentials: readonly AcceptedCredential[];
}

/**
 * `api_key_malformed`: API key malformed.
 *
 * The text that was sent cannot be an API key. Keys carry a prefix and check digits, so a damaged
 * one is told from one that is merely unknown. `failed_check` names the first check that failed.
 *
 * What to do: Copy the whole key again: it begins with `expected_prefix`_ and has
 * `expected_length` characters. Check that it belongs to this environment, and that the variable
 * that holds it is set, without quotes and blanks.
 */
export interface ApiKeyMalformedDenial extends DenialBase {
  readonly code: "api_key_malformed";
  readonly category: "credentials";
  readonly detail: string;
  /** The credentials that are accepted here, and where each is sent. */
  readonly accepted_credentials: readonly AcceptedCredential[];
  /**
   * The first check of the key's form that failed: `prefix` speaks for another environment,
   * `length` for a key that was cut off, `check_digits` for a typing error.
   */
  readonly failed_check: "empty" | "prefix" | "length" | "characters" | "check_digits" | (string & {});
  /** What keys of this environment begin with, before the `_`; a key that is unknown has it. */
  readonly expected_prefix?: string;
  /** How many characters a key has. */
  readonly expected_length?: number;
}

/**
 * `api_key_unknown`: API key unknown.
 *
 * The API key has the right form, and nobody here knows it. Expired and revoked keys have codes of
 * their own.
 *
 * What to do: It was probably deleted or replaced: look it up where you manage your keys, and ask
 * its owner for a new one, or `support`. If it is listed there, it is of another deployment, or
 * this server has not loaded it yet.
 */
export interface ApiKeyUnknownDenial extends DenialBase {
  readonly code: "api_key_unknown";
  readonly category: "credentials";
  readonly detail: string;
  /** What keys of this environment begin with, before the `_`; a key that is unknown has it. */
  readonly expected_prefix?: string;
}

/**
 * `api_key_expired`: API key expired.
 *
 * The API key is genuine, and it has expired. Keys end at the exact second of `expired_at`, by the
 * server's clock.
 *
 * What to do: Ask its owner for a new key, or `support`, and replace it. Make the next one before
 * the old one expires.
 */
export interface ApiKeyExpiredDenial extends DenialBase {
  readonly code: "api_key_expired";
  readonly category: "credentials";
  readonly detail: string;
  /** The public name of the API key, which was proven. It is not a secret. */
  readonly key_id: string;
  /** When the credential expired. */
  readonly expired_at: string;
  /** What the server's clock said, to compare your own with. */
  readonly server_time: string;
}

/**
 * `api_key_revoked`: API key revoked.
 *
 * The API key is genuine, and was taken out of service by its owner or by the provider. It will
 * not come back by waiting; `key_id` says which key it is.
 *
 * What to do: Stop using it, and ask its owner for a new key, or `support`.
 */
export interface ApiKeyRevokedDenial extends DenialBase {
  readonly code: "api_key_revoked";
  readonly category: "credentials";
  readonly detail: string;
  /** The public name of the API key, which was proven. It is not a secret. */
  readonly key_id: string;
}

/**
 * `api_key_not_yet_valid`: API key not yet valid.
 *
 * The API key is genuine, and its first moment has not come. It is good from `valid_from` on, by
 * the server's clock.
 *
 * What to do: Wait `retry_after` s, then repeat the request, or use a key that is valid now.
 */
export interface ApiKeyNotYetValidDenial extends DenialBase {
  readonly code: "api_key_not_yet_valid";
  readonly category: "credentials";
  readonly detail: string;
  /**
   * How many seconds to wait before the same request may succeed; equal to the header
   * `Retry-After`.
   */
  readonly retry_after: number;
  /** The public name of the API key, which was proven. It is not a secret. */
  readonly key_id: string;
  /** From when on the credential is good. */
  readonly valid_from: string;
  /** What the server's clock said, to compare your own with. */
  readonly server_time: string;
}

/**
 * `api_key_address_not_allowed`: Address not allowed for this API key.
 *
 * The API key is genuine, and may not be used from the address that the request came from. The key
 * is bound to certain networks, so that it is of no use to a thief.
 *
 * What to do: Call from an address that the key allows, or have yours added to it: ask at
 * `support`. Behind a proxy or NAT, the outer address counts.
 */
export interface ApiKeyAddressNotAllowedDenial extends DenialBase {
  readonly code: "api_key_address_not_allowed";
  readonly category: "authorization";
  readonly detail: string;
  /** The public name of the API key, which was proven. It is not a secret. */
  readonly key_id: string;
  /**
   * The address that the server saw the request come from. Behind a proxy or NAT it is the outer
   * one.
   */
  readonly address?: string;
  /**
   * The ranges of addresses that are allowed (CIDR). Only systems that show details, for tests,
   * tell it.
   */
  readonly allowed_addresses?: readonly string[];
}

/**
 * `token_malformed`: Token malformed.
 *
 * The text that was sent as a bearer token is not a signed JWT in compact form. That is three
 * parts of base64url with dots between; encrypted and opaque tokens are not understood.
 *
 * What to do: Send the access token as it was issued: a signed JWT, three parts with dots between.
 * If yours is opaque or encrypted, name this API when you ask for it, or ask the provider at
 * `support`.
 */
export interface TokenMalformedDenial extends DenialBase {
  readonly code: "token_malformed";
  readonly category: "token";
  readonly detail: string;
  /** The credentials that are accepted here, and where each is sent. */
  readonly accepted_credentials: readonly AcceptedCredential[];
}

/**
 * `token_too_large`: Token too large.
 *
 * The bearer token is larger than any token needs to be: it has more than `max_bytes` bytes. It
 * was refused before anything in it was read.
 *
 * What to do: Get a token of at most `max_bytes` bytes: ask for fewer scopes, or for this API
 * alone. If yours cannot be smaller, ask the provider at `support` to accept larger ones.
 */
export interface TokenTooLargeDenial extends DenialBase {
  readonly code: "token_too_large";
  readonly category: "token";
  readonly detail: string;
  /** How large a token may be, in bytes. */
  readonly max_bytes: number;
}

/**
 * `token_algorithm_not_allowed`: Token algorithm not allowed.
 *
 * The token names a signing algorithm that is not accepted for its issuer, or not for its key. The
 * signature was not looked at.
 *
 * What to do: If you sign the token yourself, use one of `accepted_algorithms`, with the key that
 * is made for it. Otherwise ask the provider at `support`: the issuer chooses the algorithm, and
 * signs a new token alike.
 */
export interface TokenAlgorithmNotAllowedDenial extends DenialBase {
  readonly code: "token_algorithm_not_allowed";
  readonly category: "token";
  readonly detail: string;
  /** What `alg` of a token may be, for its issuer. */
  readonly accepted_algorithms: readonly string[];
}

/**
 * `token_issuer_unknown`: Token issuer unknown.
 *
 * The token's `iss` is missing, or names nobody whose tokens are accepted here. It is looked at
 * first, before the signature.
 *
 * What to do: Get a token from an accepted issuer: `accepted_issuers`; `iss` is compared byte by
 * byte. If yours is from there, and its `iss` is merely written in another way, ask the provider
 * at `support`, quoting `instance`.
 */
export interface TokenIssuerUnknownDenial extends DenialBase {
  readonly code: "token_issuer_unknown";
  readonly category: "token";
  readonly detail: string;
  /** Whose tokens are accepted. */
  readonly accepted_issuers?: readonly AcceptedIssuer[];
}

/**
 * `token_key_unknown`: Token key unknown.
 *
 * No key of the token's issuer fits the token. The issuer is accepted; its keys were searched by
 * the token's `kid` or, without one, by its algorithm.
 *
 * What to do: The issuer may have changed its keys, or the token may be of another environment:
 * get a new token from `accepted_issuers`. If new tokens are refused too, report it to the
 * provider at `support`, quoting `instance`.
 */
export interface TokenKeyUnknownDenial extends DenialBase {
  readonly code: "token_key_unknown";
  readonly category: "token";
  readonly detail: string;
  /** Whose tokens are accepted. */
  readonly accepted_issuers?: readonly AcceptedIssuer[];
}

/**
 * `token_signature_invalid`: Token signature invalid.
 *
 * The signature does not fit the token. The token was changed on its way, cut off, or signed by
 * somebody else.
 *
 * What to do: Send the token exactly as it was issued, or get a new one from `accepted_issuers`.
 * If new tokens are refused too, report it to the provider at `support`, quoting `instance`.
 */
export interface TokenSignatureInvalidDenial extends DenialBase {
  readonly code: "token_signature_invalid";
  readonly category: "token";
  readonly detail: string;
  /** Whose tokens are accepted. */
  readonly accepted_issuers?: readonly AcceptedIssuer[];
}

/**
 * `token_expired`: Token expired.
 *
 * The token is genuine, and its `exp` lies in the past. A little, 30 seconds unless the provider
 * chose otherwise, was already allowed for clocks that differ.
 *
 * What to do: Get a new token, then repeat the request with it. If that time lies ahead by your
 * clock, set your clock.
 */
export interface TokenExpiredDenial extends DenialBase {
  readonly code: "token_expired";
  readonly category: "token";
  readonly detail: string;
  /** When the credential expired. */
  readonly expired_at: string;
  /** What the server's clock said, to compare your own with. */
  readonly server_time: string;
}

/**
 * `token_not_yet_valid`: Token not yet valid.
 *
 * The token is genuine, and its `nbf` or `iat` lies in the future. A little, 30 seconds unless the
 * provider chose otherwise, was already allowed for clocks that differ.
 *
 * What to do: Wait `retry_after` s, which allows for clocks that differ a little, then repeat the
 * request. If that is more than a few seconds, a clock is wrong, the issuer's or the server's:
 * report it to the provider at `support`, quoting `instance`.
 */
export interface TokenNotYetValidDenial extends DenialBase {
  readonly code: "token_not_yet_valid";
  readonly category: "token";
  readonly detail: string;
  /**
   * How many seconds to wait before the same request may succeed; equal to the header
   * `Retry-After`.
   */
  readonly retry_after: number;
  /** From when on the credential is good. */
  readonly valid_from: string;
  /** What the server's clock said, to compare your own with. */
  readonly server_time: string;
}

/**
 * `token_audience_mismatch`: Token for another audience.
 *
 * The token is genuine, and was issued for another API: its `aud` does not name this one. This
 * keeps an API from using its callers' tokens at another.
 *
 * What to do: Ask the issuer for an access token for `expected_audience`: its ``claim`` must name
 * one of these. If you cannot choose that, ask the provider at `support`. An `looks_like` is for
 * the app that signed its user in: send the access token instead.
 */
export interface TokenAudienceMismatchDenial extends DenialBase {
  readonly code: "token_audience_mismatch";
  readonly category: "token";
  readonly detail: string;
  /** What `aud` of a token may be: one of these is enough. */
  readonly expected_audience: readonly string[];
  /** The claim of the token that is at fault, or that is needed. */
  readonly claim: string;
  /** What the token seems to be instead: it has claims that only ID tokens have. */
  readonly looks_like?: "id_token" | (string & {});
}

/**
 * `token_type_mismatch`: Token of another type.
 *
 * The token is genuine, and is of another type: the `typ` in its header is not accepted. A token
 * made for one purpose must not serve for another.
 *
 * What to do: Send the access token of the issuer's reply. If it is that one, ask the provider at
 * `support`: the issuer chooses the `typ` in its header, and here it has to be one of
 * `expected_type`. An `looks_like` is for the app that signed its user in.
 */
export interface TokenTypeMismatchDenial extends DenialBase {
  readonly code: "token_type_mismatch";
  readonly category: "token";
  readonly detail: string;
  /** What `typ` in the header of a token may be. */
  readonly expected_type: readonly string[];
  /** What the token seems to be instead: it has claims that only ID tokens have. */
  readonly looks_like?: "id_token" | (string & {});
}

/**
 * `token_proof_required`: Token bound to a key.
 *
 * The token is genuine, and is bound to a key that its client holds: it has the claim `cnf` (RFC
 * 7800). Whoever sends such a token must prove the key with each request, and this API does not
 * check such proofs. Taken without proof, a stolen token would serve like any other.
 *
 * What to do: Get a token that is not bound to a key: ask for it without DPoP, and without a
 * client certificate. If the issuer binds every token, ask the provider at `support`.
 */
export interface TokenProofRequiredDenial extends DenialBase {
  readonly code: "token_proof_required";
  readonly category: "token";
  readonly detail: string;
}

/**
 * `token_claim_missing`: Token claim missing.
 *
 * The token is genuine, and lacks a claim that is needed; `claim` names it. Others may be missing
 * too.
 *
 * What to do: Ask for the token as the provider describes, with all scopes that it names. If
 * `claim` is still absent, ask the provider at `support`: the issuer, or this API, has to be set
 * up otherwise. An `looks_like` is for the app that signed its user in: send the access token
 * instead.
 */
export interface TokenClaimMissingDenial extends DenialBase {
  readonly code: "token_claim_missing";
  readonly category: "token";
  readonly detail: string;
  /** The claim of the token that is at fault, or that is needed. */
  readonly claim: string;
  /** What the token seems to be instead: it has claims that only ID tokens have. */
  readonly looks_like?: "id_token" | (string & {});
}

/**
 * `token_claim_invalid`: Token claim invalid.
 *
 * The token is genuine, and a claim in it is of the wrong type or out of range. `claim` names it;
 * `payload` means the claims as a whole.
 *
 * What to do: Ask the provider at `support`, quoting `instance`: the issuer writes `claim` in a
 * way that is not accepted here, and writes a new token alike.
 */
export interface TokenClaimInvalidDenial extends DenialBase {
  readonly code: "token_claim_invalid";
  readonly category: "token";
  readonly detail: string;
  /** The claim of the token that is at fault, or that is needed. */
  readonly claim: string;
}

/**
 * `token_revoked`: Token revoked.
 *
 * The token is genuine, and was revoked before its end. Its `exp` may still lie ahead; it is
 * refused all the same.
 *
 * What to do: Get a new token: sign in again.
 */
export interface TokenRevokedDenial extends DenialBase {
  readonly code: "token_revoked";
  readonly category: "token";
  readonly detail: string;
}

/**
 * `insufficient_scope`: Insufficient scope.
 *
 * The caller is known, and its credential lacks a scope that is needed here. All of
 * `required_scopes` are needed, and at least one of `any_scopes`, where there are any.
 *
 * What to do: Get a credential with the scopes that are missing, then repeat the request with it.
 * All of these are needed: `required_scopes`. One of these is needed: `any_scopes`.
 */
export interface InsufficientScopeDenial extends DenialBase {
  readonly code: "insufficient_scope";
  readonly category: "authorization";
  readonly detail: string;
  /** The public name of the API key, which was proven. It is not a secret. */
  readonly key_id?: string;
  /** The scopes that are needed here, all of them. */
  readonly required_scopes?: readonly string[];
  /** Those of the required scopes that the credential does not hold. */
  readonly missing_scopes?: readonly string[];
  /** Scopes of which at least one is needed. */
  readonly any_scopes?: readonly string[];
  /** The scopes that the credential holds. Only systems that show details, for tests, tell it. */
  readonly granted_scopes?: readonly string[];
}

/**
 * `insufficient_role`: Insufficient role.
 *
 * The caller is known, and has none of the roles that are needed here. One of `required_roles` is
 * enough.
 *
 * What to do: Have one of these roles given to the caller: `required_roles`. Then get a new token,
 * or use the key again.
 */
export interface InsufficientRoleDenial extends DenialBase {
  readonly code: "insufficient_role";
  readonly category: "authorization";
  readonly detail: string;
  /** Roles of which the caller needs at least one. */
  readonly required_roles: readonly string[];
}

/**
 * `claim_mismatch`: Claim does not match.
 *
 * The caller is known, and a claim of its token does not have the value that is needed here.
 * `claim` names it, and `mismatch` says whether it is `absent` or `different`; the value is not
 * told. API keys have no claims, so they are always refused here: then `mismatch` is `api_key`.
 *
 * What to do: Use an account whose tokens carry the claim `claim` with the value that is needed
 * here, and send a token, not an API key. Ask the provider for the value at `support`.
 */
export interface ClaimMismatchDenial extends DenialBase {
  readonly code: "claim_mismatch";
  readonly category: "authorization";
  readonly detail: string;
  /** The claim of the token that is at fault, or that is needed. */
  readonly claim: string;
  /**
   * In which way the claim does not match: it is absent, it has another value, or the caller sent
   * an API key, which has no claims.
   */
  readonly mismatch: "absent" | "different" | "api_key" | (string & {});
}

/**
 * `address_not_allowed`: Address not allowed.
 *
 * Requests from this address are not allowed here, whatever credential they carry. The path is
 * open only to certain networks; `address` is the one the server saw.
 *
 * What to do: Call from an allowed network, or have your address allowed: ask at `support`. Behind
 * a proxy or NAT, the outer address counts.
 */
export interface AddressNotAllowedDenial extends DenialBase {
  readonly code: "address_not_allowed";
  readonly category: "authorization";
  readonly detail: string;
  /**
   * The address that the server saw the request come from. Behind a proxy or NAT it is the outer
   * one.
   */
  readonly address?: string;
  /**
   * The ranges of addresses that are allowed (CIDR). Only systems that show details, for tests,
   * tell it.
   */
  readonly allowed_addresses?: readonly string[];
}

/**
 * `no_matching_rule`: No rule covers this path.
 *
 * No rule covers the path: it is mistyped, or open to nobody yet. What no rule covers is denied,
 * so an unknown path gets this answer in place of a 404.
 *
 * What to do: Check the path for typing errors, for its letter case, and for a slash at its end
 * that is missing or too many. If it is right, it is open to nobody yet: ask the provider at
 * `support`.
 */
export interface NoMatchingRuleDenial extends DenialBase {
  readonly code: "no_matching_rule";
  readonly category: "authorization";
  readonly detail: string;
}

/**
 * `method_not_allowed`: Method not allowed.
 *
 * The path is open, but not for this method. `allowed_methods` lists the methods that are; the
 * `Allow` header says the same.
 *
 * What to do: Use one of the methods `allowed_methods`.
 */
export interface MethodNotAllowedDenial extends DenialBase {
  readonly code: "method_not_allowed";
  readonly category: "authorization";
  readonly detail: string;
  /** The methods that the path is open for; equal to the header `Allow`. */
  readonly allowed_methods: readonly string[];
}

/**
 * `rate_limited`: Rate limited.
 *
 * Too many requests came in too short a time: a limit has less left than this request takes. The
 * refused request itself cost nothing, in none of the limits.
 *
 * What to do: Wait `retry_after` s, then repeat the request. Spread calls over time.
 */
export interface RateLimitedDenial extends DenialBase {
  readonly code: "rate_limited";
  readonly category: "limit";
  readonly detail: string;
  /**
   * The address that the server saw the request come from. Behind a proxy or NAT it is the outer
   * one.
   */
  readonly address?: string;
  /**
   * How many tokens this request takes: of each limit, or, where their costs differ, of the limit
   * with the longest wait.
   */
  readonly cost?: number;
  /** Every limit of this request that clients are told of, longest wait first. */
  readonly limits?: readonly LimitState[];
}

/**
 * `too_many_failures`: Too many failed attempts.
 *
 * The attempt failed, and so did too many others from this address before it. A good credential is
 * let in at once.
 *
 * What to do: Correct the credential: the page of `last_failure` says how. The address may fail
 * again in `retry_after` s.
 */
export interface TooManyFailuresDenial extends DenialBase {
  readonly code: "too_many_failures";
  readonly category: "limit";
  readonly detail: string;
  /**
   * How many seconds to wait before the same request may succeed; equal to the header
   * `Retry-After`.
   */
  readonly retry_after: number;
  /**
   * The code of what failed now. Absent where the address waits and the credential was not looked
   * at.
   */
  readonly last_failure?: string;
}

/**
 * `key_source_unavailable`: Key source unavailable.
 *
 * What verifies this credential cannot be reached at the moment. The credential was not judged,
 * good or bad: the fault is the server's.
 *
 * What to do: The fault is the server's. Repeat the request in `retry_after` s, then ever more
 * slowly.
 */
export interface KeySourceUnavailableDenial extends DenialBase {
  readonly code: "key_source_unavailable";
  readonly category: "server";
  readonly detail: string;
  /**
   * How many seconds to wait before the same request may succeed; equal to the header
   * `Retry-After`.
   */
  readonly retry_after: number;
}

/**
 * `limiter_unavailable`: Limiter unavailable.
 *
 * The limits of this request cannot be counted at the moment. You did nothing wrong, and you are
 * not over a limit as far as anybody knows: the fault is the server's.
 *
 * What to do: The fault is the server's. Repeat the request in `retry_after` s, then ever more
 * slowly.
 */
export interface LimiterUnavailableDenial extends DenialBase {
  readonly code: "limiter_unavailable";
  readonly category: "server";
  readonly detail: string;
  /**
   * How many seconds to wait before the same request may succeed; equal to the header
   * `Retry-After`.
   */
  readonly retry_after: number;
}

/**
 * `decision_failed`: Decision failed.
 *
 * The server could not decide about the request, by a fault of its own. Nothing in the request can
 * mend it; it was denied to be on the safe side.
 *
 * What to do: The fault is the server's, and repeating does not help. Report it at `support`,
 * quoting `instance`.
 */
export interface DecisionFailedDenial extends DenialBase {
  readonly code: "decision_failed";
  readonly category: "server";
  readonly detail: string;
}

/**
 * `invalid_credentials`: Invalid credentials.
 *
 * The credential is not valid, and this API does not tell what is wrong with it. This code stands
 * for `credentials_multiple`, `credentials_unsupported`, `too_many_failures`, all that begin with
 * `token_`, and those that begin with `api_key_` except `api_key_address_not_allowed`.
 *
 * What to do: Send exactly one credential, complete and unchanged, of this environment, neither
 * expired nor revoked; otherwise get a new one. After several failures, wait some minutes.
 */
export interface InvalidCredentialsDenial extends DenialBase {
  readonly code: "invalid_credentials";
  readonly category: "credentials";
}

/**
 * `access_denied`: Access denied.
 *
 * The request is not allowed, and this API does not tell which rule it fails. This code stands for
 * `insufficient_scope`, `insufficient_role`, `claim_mismatch`, `address_not_allowed`,
 * `api_key_address_not_allowed`, `no_matching_rule` and `method_not_allowed`, or for a refusal of
 * the application itself.
 *
 * What to do: Check path, method and network, and whether the credential is meant for this;
 * otherwise ask the provider for access.
 */
export interface AccessDeniedDenial extends DenialBase {
  readonly code: "access_denied";
  readonly category: "authorization";
}

/**
 * `limit_exceeded`: Limit exceeded.
 *
 * A limit is exceeded, and this API does not tell which one. This code stands for `rate_limited`,
 * or for a limit of the application itself.
 *
 * What to do: Wait for the seconds in `retry_after`, then repeat the request, and spread calls
 * over time.
 */
export interface LimitExceededDenial extends DenialBase {
  readonly code: "limit_exceeded";
  readonly category: "limit";
}

/**
 * `temporarily_unavailable`: Temporarily unavailable.
 *
 * The server cannot answer at the moment, by a fault of its own. This API does not tell more; the
 * code stands for `key_source_unavailable`, `limiter_unavailable` and `decision_failed`.
 *
 * What to do: The fault is the server's. Repeat the request later, then ever more slowly.
 */
export interface TemporarilyUnavailableDenial extends DenialBase {
  readonly code: "temporarily_unavailable";
  readonly category: "server";
}

/** A denial with a code that this module knows. */
export type KnownDenial =
  | CredentialsMissingDenial
  | CredentialsMultipleDenial
  | CredentialsUnsupportedDenial
  | ApiKeyMalformedDenial
  | ApiKeyUnknownDenial
  | ApiKeyExpiredDenial
  | ApiKeyRevokedDenial
  | ApiKeyNotYetValidDenial
  | ApiKeyAddressNotAllowedDenial
  | TokenMalformedDenial
  | TokenTooLargeDenial
  | TokenAlgorithmNotAllowedDenial
  | TokenIssuerUnknownDenial
  | TokenKeyUnknownDenial
  | TokenSignatureInvalidDenial
  | TokenExpiredDenial
  | TokenNotYetValidDenial
  | TokenAudienceMismatchDenial
  | TokenTypeMismatchDenial
  | TokenProofRequiredDenial
  | TokenClaimMissingDenial
  | TokenClaimInvalidDenial
  | TokenRevokedDenial
  | InsufficientScopeDenial
  | InsufficientRoleDenial
  | ClaimMismatchDenial
  | AddressNotAllowedDenial
  | NoMatchingRuleDenial
  | MethodNotAllowedDenial
  | RateLimitedDenial
  | TooManyFailuresDenial
  | KeySourceUnavailableDenial
  | LimiterUnavailableDenial
  | DecisionFailedDenial
  | InvalidCredentialsDenial
  | AccessDeniedDenial
  | LimitExceededDenial
  | TemporarilyUnavailableDenial;

/** Exists for the compiler alone. See {@link UnknownDenialCode}. */
declare enum UnlistedCode {
  mark = "",
}

/**
 * A code that this module does not know: of the application itself, or of a newer server.
 *
 * It is any string. To the compiler it is a type of its own, so that comparing `code` with a
 * known code leaves the denial of that code and no other. Tell the compiler of codes of your own
 * with the parameter of {@link Denial}, or compare them as strings.
 */
export type UnknownDenialCode = UnlistedCode;

/**
 * A denial with a code that this module does not know.
 *
 * Its `category` says what kind of reason it is, and all else that every denial has is there
 * too. Members of its own are `unknown`: look before you use them.
 */
export interface UnknownDenial extends DenialBase {
  readonly code: UnknownDenialCode;
  readonly [member: string]: unknown;
}

/**
 * Why a request was refused: the body of the response.
 *
 * Codes are added in time, so the union is open. Compare `code` to get at the members of one
 * code, and treat the others alike, or by `category`:
 *
 * ```ts
 * switch (denial.code) {
 *   case "token_expired":
 *     return signInAgain(denial.expired_at);
 *   case "insufficient_scope":
 *     return askFor(denial.missing_scopes ?? []);
 *   default:
 *     return show(denial.title, denial.remedy);
 * }
 * ```
 *
 * @typeParam Own - Denials with codes of the application itself that are not listed here:
 *
 * ```ts
 * interface OrderShippedDenial extends DenialBase {
 *   readonly code: "order_shipped";
 *   readonly shipped_on: string;
 * }
 * const denial = await parseDenial<OrderShippedDenial>(response);
 * if (denial?.code === "order_shipped") show(denial.shipped_on);
 * ```
 */
export type Denial<Own extends DenialBase = never> = KnownDenial | Own | UnknownDenial;

/**
 * Whether a response looks like a denial: its status is an error, and its media type is
 * `application/problem+json` (RFC 9457).
 *
 * The status alone does not tell. An API may answer with 403 whatever the reason is, and the
 * application itself and proxies in front of it send 403 and 429 too, with other bodies.
 *
 * Nothing is read here, so it is cheap. {@link parseDenial} looks into the body, and tells a
 * denial from a problem of another kind.
 */
export function isDenial(response: Response): boolean {
  const [mediaType] = (response.headers.get("content-type") ?? "").split(";", 1);
  return response.status >= 400 && mediaType?.trim().toLowerCase() === "application/problem+json";
}

/**
 * Reads the denial from a response, or gives `undefined` where there is none: the response is a
 * success, another kind of error, or has no body (the answer to `HEAD` has the headers only).
 *
 * A copy of the response is read, so that its own body can still be read afterwards. A body is
 * taken for a denial if it has the members that every denial has, with the right types; that a
 * known code has its own members is the server's promise. Members that this module does not know
 * are kept.
 *
 * ```ts
 * const response = await fetch(url);
 * const denial = await parseDenial(response);
 * if (denial) console.error(`${denial.title}. ${denial.remedy}`);
 * ```
 *
 * @throws TypeError if the body was read before; and what `fetch` throws if the connection
 * breaks, or the request is aborted, while the body comes in. No body makes it throw.
 */
export async function parseDenial<Own extends DenialBase = never>(
  response: Response,
): Promise<Denial<Own> | undefined> {
  if (!isDenial(response)) return undefined;
  const body = parseJson(await response.clone().text());
  return hasMembersOfDenial(body) ? (body as Denial<Own>) : undefined;
}

/**
 * How long to wait before the same request is sent again, in milliseconds; `undefined` if it
 * should not be: something has to change first, and the denial's `remedy` says what.
 *
 * 1. It is not `retryable`: `undefined`.
 * 2. It names a time, and the fault is not the server's: exactly `retry_after`. A request that
 *    is sent sooner is refused again.
 * 3. Otherwise: `retry_after`, or a second, at first; then twice as long with each attempt, up to
 *    a minute, but never less than `retry_after`.
 *
 * Count from the moment the response came. The time may be days, for a key that is valid from
 * next week, so decide how long you are willing to wait. (`setTimeout` takes 24 days at most,
 * and fires at once when it is given more.)
 *
 * ```ts
 * const delay = retryDelay(denial);
 * if (delay !== undefined && delay <= 60_000) {
 *   await new Promise((resolve) => setTimeout(resolve, delay));
 *   response = await fetch(request);
 * }
 * ```
 *
 * @param attempt - How many times in a row the request was refused, this time included.
 */
export function retryDelay(denial: DenialBase, attempt = 1): number | undefined {
  if (!denial.retryable) return undefined;
  // A time that is no whole number of seconds from 1 on is none: it would make a hot loop.
  const told = denial.retry_after ?? 0;
  const isTold = Number.isSafeInteger(told) && told >= 1;
  const first = (isTold ? told : 1) * 1000;
  if (isTold && denial.category !== "server") return first;
  const doubled = first * 2 ** (attempt > 1 ? attempt - 1 : 0);
  return Math.max(first, Math.min(doubled, 60_000));
}

/**
 * What a program can do about a denial by itself.
 *
 * - `wait`: send the same request after `delay` milliseconds.
 * - `renew`: get a new token with the same rights, then send the request with it, once. Where the
 *   request carried an API key, it means `stop`.
 * - `step_up`: get a token that has `scopes` beside those that the old one had. They are the least
 *   that is enough here: all that are required, and the first of those of which one is.
 * - `stop`: something has to change first, and the denial's `remedy` says what.
 */
export type Advice =
  | { readonly do: "wait"; readonly delay: number }
  | { readonly do: "renew" }
  | { readonly do: "step_up"; readonly scopes: readonly string[] }
  | { readonly do: "stop" };

/**
 * What a program can do about a denial by itself: to wait where {@link retryDelay} gives a time, else
 * what `action` says. An action that this module does not know means `stop`.
 *
 * @param attempt - How many times in a row the request was refused, this time included.
 */
export function advice(denial: DenialBase, attempt = 1): Advice {
  const delay = retryDelay(denial, attempt);
  if (delay !== undefined) return { do: "wait", delay };
  if (denial.action === "renew") return { do: "renew" };
  if (denial.action !== "step_up") return { do: "stop" };
  const members = denial as DenialBase & { readonly [member: string]: unknown };
  const needed = [...texts(members["required_scopes"]), ...texts(members["any_scopes"]).slice(0, 1)];
  const scopes = [...new Set(needed)];
  return scopes.length === 0 ? { do: "stop" } : { do: "step_up", scopes };
}

/** What {@link recover} works with. */
export interface RecoverOptions {
  /**
   * Gets a new token with these scopes; `undefined` where there is none. No scopes mean
   * those of the old token.
   */
  readonly obtain: (scopes: readonly string[]) => Promise<string | undefined>;
  /** The token to begin with; without one, `obtain` is asked first. */
  readonly token?: string | undefined;
  /** The scopes that it has, so that none of them is lost where more are needed. */
  readonly scopes?: readonly string[];
  /** The longest that the request waits at a time, in milliseconds; a minute if nothing is said. */
  readonly patience?: number;
  /** How often the request is sent at most; four times if nothing is said. */
  readonly attempts?: number;
  /** Waits so many milliseconds; with `setTimeout` if nothing is said. */
  readonly sleep?: (delay: number) => Promise<unknown>;
}

/**
 * The one loop around a request: it follows the {@link advice} of each denial, renews the token once,
 * steps up with all scopes that were ever needed, waits, and stops. A scope that was asked for once
 * and is missing all the same is not asked for again.
 *
 * The last response is returned: the answer, or the refusal that nothing helps against, for
 * {@link parseDenial}.
 *
 * ```ts
 * const response = await recover(
 *   (token) => fetch(url, { headers: { authorization: `Bearer ${token}` } }),
 *   { obtain: (scopes) => askIssuer(scopes) },
 * );
 * ```
 *
 * @throws What `send`, `obtain` and `sleep` throw; and an error if there is no token to begin with.
 */
export async function recover(
  send: (token: string) => Promise<Response>,
  options: RecoverOptions,
): Promise<Response> {
  const { obtain, patience = 60_000, attempts = 4 } = options;
  const sleep = options.sleep ?? ((delay) => new Promise((done) => setTimeout(done, delay)));
  const scopes = new Set(options.scopes);
  let token = options.token ?? (await obtain([...scopes]));
  if (token === undefined) throw new Error("there is no token to begin with");
  let hasRenewed = false;
  let last: string | undefined;
  let inARow = 0;
  for (let sent = 1; ; sent += 1) {
    const response = await send(token);
    const denial = sent < attempts ? await parseDenial(response) : undefined;
    if (!denial) return response;
    inARow = denial.code === last ? inARow + 1 : 1;
    last = denial.code;
    const next = advice(denial, inARow);
    if (next.do === "wait" && next.delay <= patience) {
      await sleep(next.delay);
      continue;
    }
    const known = scopes.size;
    if (next.do === "step_up") next.scopes.forEach((scope) => scopes.add(scope));
    const helps = next.do === "renew" ? !hasRenewed : scopes.size > known;
    if (!helps) return response;
    if (next.do === "renew") hasRenewed = true;
    const renewed = await obtain([...scopes]);
    if (renewed === undefined) return response;
    token = renewed;
  }
}

function texts(list: unknown): readonly string[] {
  return Array.isArray(list) ? list.filter((item) => typeof item === "string") : [];
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function hasMembersOfDenial(body: unknown): body is DenialBase {
  if (typeof body !== "object" || body === null) return false;
  const members = body as Readonly<Record<string, unknown>>;
  const has = (type: "string" | "number" | "boolean", names: readonly string[]) =>
    names.every((name) => typeof members[name] === type);
  const mayHave = (type: "string" | "number", names: readonly string[]) =>
    names.every((name) => members[name] === undefined || typeof members[name] === type);
  return (
    has("string", ["type", "title", "code", "category", "remedy", "action", "actor", "instance"]) &&
    has("number", ["status"]) &&
    has("boolean", ["retryable"]) &&
    mayHave("string", ["detail", "help", "support"]) &&
    mayHave("number", ["retry_after"])
  );
}
