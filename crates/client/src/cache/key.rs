//! What things in the cache are filed under.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use keyward_oauth::identifiers::{ClientId, HomeAccountId};
use keyward_oauth::scope::Scopes;

use crate::ports::{RecordKey, RecordKind};
use crate::result::TokenType;

/// One account at one provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountKey {
    /// The issuer, or the base URL all tenants of an Entra cloud share.
    pub provider: Arc<str>,
    /// The account there.
    pub home: HomeAccountId,
}

impl AccountKey {
    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (home, provider) = text.split_once('@')?;
        Some(Self {
            provider: Arc::from(provider),
            home: HomeAccountId::parse(home).ok()?,
        })
    }

    /// The key of the account's own record.
    pub fn record(&self) -> RecordKey {
        RecordKey {
            kind: RecordKind::Account,
            account: self.to_string(),
            client: String::new(),
            detail: String::new(),
        }
    }
}

/// `HOME_ACCOUNT_ID@PROVIDER`. Neither part of a home account id holds an `@`: both are GUIDs.
impl fmt::Display for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.home, self.provider)
    }
}

/// What one client holds of one account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrantKey {
    /// The account.
    pub account: AccountKey,
    /// The client.
    pub client: ClientId,
}

impl GrantKey {
    /// The key of one of the grant's records.
    pub fn record(&self, kind: RecordKind, detail: &str) -> RecordKey {
        RecordKey {
            kind,
            account: self.account.to_string(),
            client: self.client.as_str().to_owned(),
            detail: detail.to_owned(),
        }
    }
}

/// What kind of access token is wanted, and where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The tenant.
    pub realm: String,
    /// How the authority issues it.
    pub token_type: TokenType,
    /// Extra parameters that change what is issued, in one spelling.
    pub extension: String,
    /// The scopes.
    pub scopes: Wanted,
}

impl Target {
    /// Tells the access tokens of a grant apart, in a spelling of fixed length.
    pub fn slot(&self) -> String {
        let Self {
            realm,
            token_type,
            extension,
            scopes,
        } = self;
        slot(&[realm, token_type.as_str(), extension, scopes.canonical()])
    }
}

/// The scopes a caller wants, ready to compare. The OpenID scopes ask for identity and not for a
/// resource, so they do not count (`msal-parity.md` 4.1, step 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    resource: Scopes,
    canonical: String,
}

impl Wanted {
    /// What of `asked` names a resource.
    pub fn new(asked: &Scopes) -> Self {
        let resource = asked.without_oidc();
        let canonical = resource.canonical();
        Self {
            resource,
            canonical,
        }
    }

    /// One spelling for equal sets.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Whether all of it is in `granted`.
    pub fn within(&self, granted: &Scopes) -> bool {
        granted.cover(&self.resource)
    }

    /// Whether a token answers this that was asked for with `requested` and granted `granted`.
    ///
    /// Authorities spell scopes in their own way (`…/.default` becomes a list), so what was asked
    /// for in the same words counts as well as what was granted.
    pub fn answered_by(&self, requested: &Self, granted: &Scopes) -> bool {
        self.canonical == requested.canonical || (!self.resource.is_empty() && self.within(granted))
    }
}

impl std::hash::Hash for Wanted {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.canonical.hash(state);
    }
}

/// A short name for a list of parts: distinct lists have distinct names (UUIDv5).
pub fn slot(parts: &[&str]) -> String {
    let mut spelled = String::new();
    for part in parts {
        spelled.push_str(&part.len().to_string());
        spelled.push(':');
        spelled.push_str(part);
    }
    Uuid::new_v5(&Uuid::NAMESPACE_OID, spelled.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(text: &str) -> Wanted {
        Wanted::new(&Scopes::parse(text))
    }

    #[test]
    fn an_account_key_reads_its_own_spelling() {
        let key = AccountKey {
            provider: Arc::from("https://idp.example/realms/a@b"),
            home: HomeAccountId::new("u", "t"),
        };
        assert_eq!(AccountKey::parse(&key.to_string()), Some(key));
        for bad in ["", "u.t", "u@p", "@p"] {
            assert_eq!(AccountKey::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn more_than_wanted_answers_and_less_does_not() {
        let granted = Scopes::parse("openid A b profile");
        let requested = wanted("c");
        assert!(wanted("a openid").answered_by(&requested, &granted));
        assert!(wanted("B A").answered_by(&requested, &granted));
        assert!(!wanted("a d").answered_by(&requested, &granted));
    }

    #[test]
    fn the_same_words_answer_whatever_the_authority_made_of_them() {
        let granted = Scopes::parse("https://graph.example/User.Read");
        let asked = wanted("https://graph.example/.default");
        assert!(asked.answered_by(&wanted("HTTPS://graph.example/.default openid"), &granted));
        assert!(!asked.answered_by(&wanted("User.Read"), &granted));
    }

    #[test]
    fn identity_alone_is_answered_only_by_a_token_asked_for_identity_alone() {
        let identity = wanted("openid profile");
        assert!(identity.answered_by(&wanted(""), &Scopes::none()));
        assert!(!identity.answered_by(&wanted("a"), &Scopes::parse("openid profile a")));
    }

    #[test]
    fn slots_of_different_parts_differ() {
        assert_eq!(slot(&["a", "b"]), slot(&["a", "b"]));
        assert_ne!(slot(&["ab", ""]), slot(&["a", "b"]));
        assert_ne!(slot(&["a", "1:b"]), slot(&["a", "", "b"]));
    }
}
