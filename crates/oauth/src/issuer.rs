//! Issuers: the names of authorities, compared byte for byte (OpenID Connect Core §2, RFC 8414
//! §3.3), or as Entra's template with the tenant left open.

use std::fmt;

use url::Url;
use uuid::Uuid;

use crate::transport::is_secure;

/// Where Entra's metadata for `common` and `organizations` leaves the tenant open
/// (`device-binding.md` 4.1).
const TENANT: &str = "{tenantid}";

/// The longest issuer read, in bytes.
const LONGEST: usize = 2048;

/// An issuer identifier, in exactly the text it was received in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Issuer(String);

impl Issuer {
    /// Reads an issuer: an `https` URL without query and fragment (OpenID Connect Core §2), or
    /// `http` on a loopback address.
    ///
    /// # Errors
    ///
    /// When it is not one.
    pub fn parse(text: &str) -> Result<Self, InvalidIssuer> {
        let url = Url::parse(text).map_err(|_| InvalidIssuer)?;
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if text.len() > LONGEST || !plain || !is_secure(&url) {
            return Err(InvalidIssuer);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text as received.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the tenant is left open, as in `https://login.microsoftonline.com/{tenantid}/v2.0`.
    pub fn is_template(&self) -> bool {
        self.0.contains(TENANT)
    }

    /// Whether `iss` is this issuer. A template matches with the token's own `tid`, which must be
    /// a GUID, in the template's place.
    pub fn matches(&self, iss: &str, tid: Option<&str>) -> bool {
        if !self.is_template() {
            return self.0 == iss;
        }
        tid.is_some_and(|tid| Uuid::try_parse(tid).is_ok() && self.0.replace(TENANT, tid) == iss)
    }

    /// Whether `iss` of an authorization response (RFC 9207) is this issuer; there is no `tid`
    /// beside it, so a template matches with any GUID.
    pub fn matches_any_tenant(&self, iss: &str) -> bool {
        match self.0.split_once(TENANT) {
            None => self.0 == iss,
            Some((before, after)) => iss
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after))
                .is_some_and(|tid| Uuid::try_parse(tid).is_ok()),
        }
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that is no issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the issuer is not an https URL without query and fragment")]
pub struct InvalidIssuer;

/// What the issuer of a metadata document must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerRule {
    /// This one, byte for byte (RFC 8414 §3.3).
    Exact(Issuer),
    /// Entra: `ORIGIN/TENANT/v2.0`, where names of a tenant become its GUID or `{tenantid}`.
    Entra {
        /// The origins that speak for this authority (`https://login.microsoftonline.com`).
        origins: Vec<String>,
        /// The tenant asked for: a GUID, a domain, `common`, `organizations` or `consumers`.
        tenant: String,
    },
}

impl IssuerRule {
    /// Whether a metadata document with this issuer is the one asked for.
    pub fn allows(&self, issuer: &Issuer) -> bool {
        match self {
            Self::Exact(expected) => expected == issuer,
            Self::Entra { origins, tenant } => origins
                .iter()
                .filter_map(|origin| issuer.as_str().strip_prefix(origin.as_str()))
                .filter_map(|path| path.strip_prefix('/')?.strip_suffix("/v2.0"))
                .any(|found| tenant_fits(tenant, found)),
        }
    }
}

/// Whether the tenant in an Entra issuer may answer for the tenant asked for.
fn tenant_fits(asked: &str, found: &str) -> bool {
    if Uuid::try_parse(asked).is_ok() {
        return asked.eq_ignore_ascii_case(found);
    }
    match asked.to_ascii_lowercase().as_str() {
        "common" | "organizations" => found == TENANT,
        // A domain, or `consumers`: its GUID is what we want to learn.
        _ => Uuid::try_parse(found).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TID: &str = "11111111-2222-3333-4444-555555555555";

    fn issuer(text: &str) -> Issuer {
        Issuer::parse(text).unwrap()
    }

    #[test]
    fn an_issuer_is_compared_byte_for_byte() {
        let op = issuer("https://op.example/a");
        assert!(op.matches("https://op.example/a", None));
        for other in [
            "https://op.example/a/",
            "https://op.example/A",
            "https://OP.example/a",
            "",
        ] {
            assert!(!op.matches(other, Some(TID)), "{other}");
        }
    }

    #[test]
    fn a_template_takes_the_tenant_of_the_token_and_nothing_else() {
        let entra = issuer("https://login.example/{tenantid}/v2.0");
        let iss = format!("https://login.example/{TID}/v2.0");
        assert!(entra.matches(&iss, Some(TID)));
        assert!(!entra.matches(&iss, None));
        assert!(!entra.matches(&iss, Some("11111111-2222-3333-4444-000000000000")));
        assert!(!entra.matches("https://login.example/x/v2.0", Some("x")));
        assert!(!entra.matches("https://login.example/{tenantid}/v2.0", Some("{tenantid}")));
        assert!(entra.matches_any_tenant(&iss));
        assert!(!entra.matches_any_tenant("https://login.example/a/b/v2.0"));
    }

    #[test]
    fn only_https_or_loopback_urls_are_issuers() {
        for good in [
            "https://op.example",
            "http://127.0.0.1:1/oidc",
            "http://localhost:1",
        ] {
            assert!(Issuer::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://op.example",
            "https://op.example?a=b",
            "https://op.example#f",
            "https://u@op.example",
            "op.example",
            "file:///etc",
            "",
        ] {
            assert_eq!(Issuer::parse(bad), Err(InvalidIssuer), "{bad}");
        }
    }

    #[test]
    fn entra_answers_for_the_tenant_asked_for() {
        let rule = |tenant: &str| IssuerRule::Entra {
            origins: vec!["https://login.example".to_owned()],
            tenant: tenant.to_owned(),
        };
        let template = issuer("https://login.example/{tenantid}/v2.0");
        let named = issuer(&format!("https://login.example/{TID}/v2.0"));
        assert!(rule("common").allows(&template) && rule("Organizations").allows(&template));
        assert!(rule(TID).allows(&named) && rule("dev.test").allows(&named));
        assert!(!rule(TID).allows(&template) && !rule("common").allows(&named));
        assert!(!rule("00000000-2222-3333-4444-555555555555").allows(&named));
        for other in [
            format!("https://evil.example/{TID}/v2.0"),
            format!("https://login.example.evil.example/{TID}/v2.0"),
            format!("https://login.example/{TID}"),
            format!("https://login.example/x/{TID}/v2.0"),
        ] {
            assert!(!rule(TID).allows(&issuer(&other)), "{other}");
        }
    }
}
