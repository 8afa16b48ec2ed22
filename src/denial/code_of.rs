//! From the error of a stage to the code of its denial.

use super::catalogue::Code;
use crate::credential::CredentialError;
use crate::decision::Refused;
use crate::policy::{NoRule, Refusal};
use crate::verify::{KeyError, TokenError};

/// The code of a refusal.
pub(crate) fn code_of(refused: &Refused) -> Code {
    match refused {
        Refused::NoRule(NoRule::Path | NoRule::Ambiguous(_)) => Code::NoMatchingRule,
        Refused::NoRule(NoRule::Method(_)) => Code::MethodNotAllowed,
        Refused::AddressUnknown => Code::DecisionFailed,
        Refused::TooManyFailures(_) => Code::TooManyFailures,
        Refused::Credential(error) => match error {
            CredentialError::Missing | CredentialError::MissingPart(_) => Code::CredentialsMissing,
            CredentialError::Multiple(_) => Code::CredentialsMultiple,
            CredentialError::Unsupported(_) => Code::CredentialsUnsupported,
        },
        Refused::Key(error) => match error {
            KeyError::Malformed(_) => Code::ApiKeyMalformed,
            KeyError::Unknown => Code::ApiKeyUnknown,
            KeyError::Revoked(_) => Code::ApiKeyRevoked,
            KeyError::Expired(..) => Code::ApiKeyExpired,
            KeyError::NotYetValid(..) => Code::ApiKeyNotYetValid,
            KeyError::AddressNotAllowed(..) | KeyError::AddressUnread(_) => {
                Code::ApiKeyAddressNotAllowed
            }
            KeyError::AddressUnknown => Code::DecisionFailed,
            KeyError::SourceUnavailable(_) => Code::KeySourceUnavailable,
        },
        Refused::Token(error) => match error {
            TokenError::TooLarge => Code::TokenTooLarge,
            TokenError::Malformed(_) => Code::TokenMalformed,
            TokenError::IssuerUnknown => Code::TokenIssuerUnknown,
            TokenError::AlgorithmNotAllowed(_) => Code::TokenAlgorithmNotAllowed,
            TokenError::KeyUnknown(_) => Code::TokenKeyUnknown,
            TokenError::SignatureInvalid(..) => Code::TokenSignatureInvalid,
            TokenError::KeySourceUnavailable(_) => Code::KeySourceUnavailable,
            TokenError::Expired { .. } => Code::TokenExpired,
            TokenError::NotYetValid { .. } => Code::TokenNotYetValid,
            TokenError::AudienceMismatch { .. } => Code::TokenAudienceMismatch,
            TokenError::TypeMismatch { .. } => Code::TokenTypeMismatch,
            TokenError::ProofRequired(_) => Code::TokenProofRequired,
            TokenError::ClaimMissing { .. } => Code::TokenClaimMissing,
            TokenError::ClaimInvalid { .. } => Code::TokenClaimInvalid,
            TokenError::Revoked(_) => Code::TokenRevoked,
        },
        Refused::Permit(refusal) => of_refusal(refusal),
        Refused::Limits(_) => Code::RateLimited,
        Refused::Unavailable(_) => Code::LimiterUnavailable,
    }
}

fn of_refusal(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::Address(_) | Refusal::AddressUnread => Code::AddressNotAllowed,
        Refusal::AddressUnknown => Code::DecisionFailed,
        Refusal::Scope(_) => Code::InsufficientScope,
        Refusal::Role(_) => Code::InsufficientRole,
        Refusal::Claim { .. } => Code::ClaimMismatch,
        Refusal::Any(refusal) => of_refusal(refusal),
    }
}
