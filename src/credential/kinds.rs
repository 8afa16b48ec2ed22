//! Which kinds of credentials are accepted.

use crate::principal::CredentialKind;

/// Which kinds of credentials are accepted.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) enum Kinds {
    /// API keys alone.
    ApiKey,
    /// Bearer tokens alone.
    Token,
    /// One of them: a key or a token.
    #[default]
    Either,
    /// A key and a token together.
    Both,
}

impl Kinds {
    pub(crate) const ALL: [Self; 4] = [Self::ApiKey, Self::Token, Self::Either, Self::Both];

    /// Whether keys are accepted, alone or beside a token.
    pub(crate) fn has_keys(self) -> bool {
        self != Self::Token
    }

    /// Whether tokens are accepted, alone or beside a key.
    pub(crate) fn has_tokens(self) -> bool {
        self != Self::ApiKey
    }

    /// Whether a credential of this kind is what is asked for.
    pub(crate) fn accepts(self, kind: CredentialKind) -> bool {
        match kind {
            CredentialKind::ApiKey => matches!(self, Self::ApiKey | Self::Either),
            CredentialKind::Token => matches!(self, Self::Token | Self::Either),
            CredentialKind::Both => self == Self::Both,
        }
    }

    /// Those of them that can be met where keys, and where tokens, can be proven at all.
    pub(crate) fn among(self, keys: bool, tokens: bool) -> Option<Self> {
        match (self, keys, tokens) {
            (Self::Both | Self::Either, true, true) => Some(self),
            (Self::ApiKey | Self::Either, true, _) => Some(Self::ApiKey),
            (Self::Token | Self::Either, _, true) => Some(Self::Token),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_proven_is_not_among_them() {
        let table = [
            (Kinds::Either, true, true, Some(Kinds::Either)),
            (Kinds::Either, true, false, Some(Kinds::ApiKey)),
            (Kinds::Either, false, true, Some(Kinds::Token)),
            (Kinds::Either, false, false, None),
            (Kinds::ApiKey, false, true, None),
            (Kinds::ApiKey, true, true, Some(Kinds::ApiKey)),
            (Kinds::Token, true, false, None),
            (Kinds::Token, true, true, Some(Kinds::Token)),
            (Kinds::Both, true, false, None),
            (Kinds::Both, false, true, None),
            (Kinds::Both, true, true, Some(Kinds::Both)),
        ];
        for (kinds, keys, tokens, expected) in table {
            assert_eq!(kinds.among(keys, tokens), expected, "{kinds:?} {keys} {tokens}");
        }
    }
}
