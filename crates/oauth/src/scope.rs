//! Scopes as sets (RFC 6749 §3.3).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The OpenID Connect scopes, which ask for identity and not for a resource.
const OIDC: [&str; 4] = ["openid", "profile", "email", "offline_access"];

/// A set of scope tokens. Keeps the spelling and order it was given, compares without regard to
/// either (Entra treats scopes as case-insensitive, `linux-broker-dbus.md` 4).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Scopes(Vec<String>);

impl Scopes {
    /// The empty set.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Splits a space-separated list; duplicates are dropped.
    pub fn parse(text: &str) -> Self {
        text.split_ascii_whitespace().collect()
    }

    /// Whether no scope is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether the set holds this scope.
    pub fn contains(&self, scope: &str) -> bool {
        self.0.iter().any(|s| s.eq_ignore_ascii_case(scope))
    }

    /// Whether every scope of `wanted` is in this set.
    pub fn cover(&self, wanted: &Self) -> bool {
        wanted.iter().all(|scope| self.contains(scope))
    }

    /// This set and `other` together, without duplicates.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).collect()
    }

    /// Only the scopes that name a resource: without `openid`, `profile`, `email`,
    /// `offline_access`.
    #[must_use]
    pub fn without_oidc(&self) -> Self {
        self.of_resources().collect()
    }

    /// The scopes of [`without_oidc`](Self::without_oidc), one by one.
    pub fn of_resources(&self) -> impl Iterator<Item = &str> {
        let is_oidc = |scope: &str| OIDC.iter().any(|oidc| oidc.eq_ignore_ascii_case(scope));
        self.iter().filter(move |scope| !is_oidc(scope))
    }

    /// A spelling that equal sets share: lower case, sorted, joined by one space. For keys.
    pub fn canonical(&self) -> String {
        let mut scopes: Vec<String> = self.0.iter().map(|s| s.to_ascii_lowercase()).collect();
        scopes.sort_unstable();
        scopes.join(" ")
    }
}

impl<'a> FromIterator<&'a str> for Scopes {
    fn from_iter<I: IntoIterator<Item = &'a str>>(scopes: I) -> Self {
        let mut set = Self::none();
        for scope in scopes {
            if !scope.is_empty() && !set.contains(scope) {
                set.0.push(scope.to_owned());
            }
        }
        set
    }
}

/// Splits a space-separated list, as [`Scopes::parse`] does.
impl From<&str> for Scopes {
    fn from(scopes: &str) -> Self {
        Self::parse(scopes)
    }
}

impl<const N: usize> From<[&str; N]> for Scopes {
    fn from(scopes: [&str; N]) -> Self {
        scopes.into_iter().collect()
    }
}

impl From<&[&str]> for Scopes {
    fn from(scopes: &[&str]) -> Self {
        scopes.iter().copied().collect()
    }
}

impl From<Vec<String>> for Scopes {
    fn from(scopes: Vec<String>) -> Self {
        scopes.iter().map(String::as_str).collect()
    }
}

impl PartialEq for Scopes {
    fn eq(&self, other: &Self) -> bool {
        self.cover(other) && other.cover(self)
    }
}

impl Eq for Scopes {}

/// Space-separated, as on the wire.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            f.write_str(separator)?;
            f.write_str(scope)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_compare_as_sets_without_case() {
        assert_eq!(
            Scopes::parse("User.Read openid"),
            Scopes::parse("OPENID user.read user.READ")
        );
        assert_ne!(
            Scopes::parse("User.Read"),
            Scopes::parse("User.Read openid")
        );
    }

    #[test]
    fn oidc_scopes_are_not_resource_scopes() {
        let scopes = Scopes::parse("openid User.Read offline_access profile email");
        assert_eq!(scopes.without_oidc().to_string(), "User.Read");
    }

    #[test]
    fn a_set_is_made_of_whatever_an_application_has() {
        let expected = Scopes::parse("User.Read Mail.Read");
        let owned = vec!["User.Read".to_owned(), "Mail.Read".to_owned()];
        assert_eq!(Scopes::from("User.Read Mail.Read"), expected);
        assert_eq!(Scopes::from(["User.Read", "Mail.Read"]), expected);
        assert_eq!(Scopes::from(&["User.Read", "Mail.Read"][..]), expected);
        assert_eq!(Scopes::from(owned), expected);
    }

    #[test]
    fn equal_sets_have_one_canonical_spelling() {
        assert_eq!(
            Scopes::parse("B a").canonical(),
            Scopes::parse("A b").canonical()
        );
    }
}
