//! Authorities: which issuer an application means by the URL it names.
//!
//! Applications name an authority by a URL of which Microsoft's runtime keeps only the host and
//! the first path segment (`linux-broker-dbus.md` 6). [`AuthorityRules::resolve`] turns that into
//! an [`Authority`] that is well known or configured, and refuses everything else: an application
//! cannot make the broker talk to a server of its choice.

use std::sync::Arc;

use url::Url;
use uuid::Uuid;

use keyward_oauth::identifiers::HomeAccountId;

use crate::error::{AcquireTokenError, ErrorKind};

mod name;
pub(crate) mod names;
pub mod tenant;
pub mod well_known;

use name::Name;
pub use tenant::{Tenant, derived_tenant, derived_user};

/// What an administrator says about one authority (`[[authority]]` in the configuration).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityRule {
    /// Names by which applications mean it: URLs of a host and at most one path segment count as
    /// Microsoft's runtime cuts them, others as a whole. Ports are ignored.
    pub matches: Vec<String>,
    /// The issuer, exactly as its metadata spells it.
    pub issuer: String,
    /// Which dialect it speaks.
    pub kind: AuthorityKind,
    /// Whether refresh tokens are bound by DPoP.
    pub dpop: DpopPolicy,
    /// Whether to try, right after a sign-in, if a refresh token behind a bearer access token is
    /// bound. Only for authorities that do not revoke a grant because a proof was wrong.
    pub verify_binding: bool,
}

/// Which dialect an authority speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthorityKind {
    /// Microsoft Entra ID: tenants, `client_info`, AADSTS errors. Its issuer is `BASE/TENANT/v2.0`.
    Entra,
    /// Any OpenID Connect provider.
    OpenId,
}

/// Whether refresh tokens are bound by DPoP (RFC 9449).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DpopPolicy {
    /// If the authority announces it with ES256.
    #[default]
    Auto,
    /// Always; an authority that does not announce it cannot be used.
    Required,
    /// Never.
    Off,
}

/// The authorities applications may name.
#[derive(Clone, Debug, Default)]
pub struct AuthorityRules {
    configured: Vec<Configured>,
    configured_only: bool,
}

#[derive(Clone, Debug)]
struct Configured {
    matches: Vec<Name>,
    issuer: Name,
    authority: Authority,
}

/// An authority that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Which dialect it speaks.
    pub kind: AuthorityKind,
    /// What accounts are filed under: the issuer, or for Entra the `BASE` all tenants share.
    pub provider: Arc<str>,
    /// The tenant asked for.
    pub tenant: Tenant,
    /// Where the metadata is and, for a provider of one issuer, what it must say.
    pub issuer: Arc<str>,
    /// Whether refresh tokens are bound by DPoP.
    pub dpop: DpopPolicy,
    /// See [`AuthorityRule::verify_binding`].
    pub verify_binding: bool,
    /// The host by which the application knows it (`environment` of its accounts).
    pub environment: Arc<str>,
}

impl AuthorityRules {
    /// Checks and prepares rules; the first that fits an application's authority counts.
    ///
    /// # Errors
    ///
    /// When an issuer or a match is no usable URL.
    pub fn new(rules: Vec<AuthorityRule>) -> Result<Self, InvalidAuthority> {
        let configured = rules.into_iter().map(Configured::new);
        Ok(Self {
            configured: configured.collect::<Result<_, _>>()?,
            configured_only: false,
        })
    }

    /// The same without Microsoft's clouds, for a broker that must not leave this machine: what is
    /// not configured is nobody.
    #[must_use]
    pub fn configured_only(mut self) -> Self {
        self.configured_only = true;
        self
    }

    /// The authority an application means by `text`. `used` gives the issuer that was used before
    /// and has this derived tenant GUID.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AuthorityUntrusted`] with how to allow it; [`ErrorKind::InvalidRequest`] when
    /// it is no URL.
    pub fn resolve(
        &self,
        text: &str,
        used: impl FnOnce(&str) -> Option<Arc<str>>,
    ) -> Result<Authority, AcquireTokenError> {
        let name = Name::parse(text).map_err(|error| {
            AcquireTokenError::new(ErrorKind::InvalidRequest, error.to_string())
        })?;
        let found = self
            .matched(&name)
            .or_else(|| self.configured_issuer(&name))
            .or_else(|| self.derived(&name, used))
            .or_else(|| self.well_known(&name))
            .ok_or_else(|| self.untrusted(&name))?;
        Ok(found.known_as(&name))
    }

    fn matched(&self, name: &Name) -> Option<Authority> {
        let rule = self
            .configured
            .iter()
            .find(|rule| rule.matches.iter().any(|m| m.means(name)))?;
        Some(rule.authority.clone())
    }

    fn configured_issuer(&self, name: &Name) -> Option<Authority> {
        let rule = self.configured.iter().find(|rule| rule.issuer == *name)?;
        Some(rule.authority.clone())
    }

    /// `https://ANYHOST/GUID`, where the GUID was derived from an issuer that is configured or was
    /// used before: that is what Microsoft's runtime makes of the accounts we report. The host may
    /// be a well-known one: an application that names `common` there and uses such an account says
    /// so. No tenant of Entra's has a GUID derived from a name.
    fn derived(
        &self,
        name: &Name,
        used: impl FnOnce(&str) -> Option<Arc<str>>,
    ) -> Option<Authority> {
        let guid = Uuid::try_parse(name.only_segment()?).ok()?.to_string();
        let tenant = Tenant::Id(guid.clone());
        let configured = self.configured.iter().map(|rule| &rule.authority);
        configured
            .filter(|authority| authority.kind == AuthorityKind::OpenId)
            .find(|authority| authority.tenant == tenant)
            .cloned()
            .or_else(|| used(&guid).map(Authority::openid))
    }

    fn well_known(&self, name: &Name) -> Option<Authority> {
        (!self.configured_only)
            .then(|| well_known::authority(name))
            .flatten()
    }

    fn untrusted(&self, name: &Name) -> AcquireTokenError {
        let message = if self.configured_only {
            format!(
                "the authority {name} is none of those this broker was started for, and it asks \
                 no others; an account of an earlier session has to sign in again"
            )
        } else {
            format!(
                "the authority {name} is neither well known nor configured; \
                 to allow it, add this to config.toml:\n{}",
                section(name)
            )
        };
        AcquireTokenError::new(ErrorKind::AuthorityUntrusted, message)
    }

    /// The rule-given or default handling of an issuer that is already in the vault.
    pub(crate) fn of_provider(&self, kind: AuthorityKind, provider: &str) -> Option<Authority> {
        let configured = self.configured.iter().map(|rule| &rule.authority);
        configured
            .filter(|authority| authority.kind == kind)
            .find(|authority| &*authority.provider == provider)
            .cloned()
            .or_else(|| match kind {
                AuthorityKind::OpenId => Some(Authority::openid(Arc::from(provider))),
                AuthorityKind::Entra => None,
            })
    }
}

impl Configured {
    fn new(rule: AuthorityRule) -> Result<Self, InvalidAuthority> {
        let issuer = Name::parse(&rule.issuer)?;
        let matches = rule.matches.iter().map(|text| Name::parse(text));
        let matches = matches.collect::<Result<_, _>>()?;
        let authority = match rule.kind {
            AuthorityKind::OpenId => Authority::openid(Arc::from(rule.issuer)),
            AuthorityKind::Entra => {
                Authority::entra(&issuer).ok_or(InvalidAuthority::NotEntra(rule.issuer))?
            }
        };
        Ok(Self {
            matches,
            issuer,
            authority: Authority {
                dpop: rule.dpop,
                verify_binding: rule.verify_binding,
                ..authority
            },
        })
    }
}

impl Authority {
    fn openid(issuer: Arc<str>) -> Self {
        Self {
            kind: AuthorityKind::OpenId,
            tenant: Tenant::Id(derived_tenant(&issuer).to_string()),
            environment: host_of(&issuer),
            provider: Arc::clone(&issuer),
            issuer,
            dpop: DpopPolicy::Auto,
            verify_binding: false,
        }
    }

    /// Reads `BASE/TENANT` (`/v2.0` is cut off already).
    fn entra(issuer: &Name) -> Option<Self> {
        let (base, tenant) = issuer.split_last_segment()?;
        let tenant = Tenant::parse(tenant)?;
        Some(Self {
            kind: AuthorityKind::Entra,
            issuer: entra_issuer(&base, &tenant),
            tenant,
            environment: Arc::from(issuer.host()),
            provider: Arc::from(base),
            dpop: DpopPolicy::Auto,
            verify_binding: false,
        })
    }

    fn known_as(mut self, name: &Name) -> Self {
        self.environment = Arc::from(well_known::environment(name.host()));
        self
    }

    /// The tenant a silent request for `account` is about: the one the authority names, or the
    /// account's home for `common` and `organizations`, so that a guest tenant never gets a token
    /// of the home tenant. `None`: only the metadata of a domain name tells.
    pub fn realm(&self, account: &HomeAccountId) -> Option<String> {
        match &self.tenant {
            Tenant::Id(id) => Some(id.clone()),
            Tenant::Consumers => Some(tenant::CONSUMERS.to_owned()),
            Tenant::Common | Tenant::Organizations => Some(account.utid().to_ascii_lowercase()),
            Tenant::Domain(_) => None,
        }
    }

    /// This authority for exactly one tenant.
    #[must_use]
    pub fn in_realm(&self, realm: &str) -> Self {
        let mut authority = self.clone();
        if self.kind == AuthorityKind::Entra {
            authority.tenant = Tenant::Id(realm.to_owned());
            authority.issuer = entra_issuer(&self.provider, &authority.tenant);
        }
        authority
    }
}

fn entra_issuer(base: &str, tenant: &Tenant) -> Arc<str> {
    Arc::from(format!("{base}/{tenant}/v2.0"))
}

/// The host of an issuer, without port.
fn host_of(issuer: &str) -> Arc<str> {
    let url = Url::parse(issuer).ok();
    Arc::from(url.as_ref().and_then(Url::host_str).unwrap_or_default())
}

/// The section of `config.toml` that would allow an authority of this name.
fn section(name: &Name) -> String {
    match name.only_segment() {
        Some(segment) if Tenant::looks_like_one(segment) => {
            format!(
                "[[authority]]\nmatch = [\"{name}\"]\nissuer = \"https://THE-ISSUER\"\nkind = \"oidc\""
            )
        }
        _ => format!("[[authority]]\nissuer = \"{name}\"\nkind = \"oidc\""),
    }
}

/// A rule or a request names an authority in a way that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuthority {
    /// Not an absolute URL with a host.
    #[error("the authority {0:?} is not an https URL of a host and a path")]
    NotAUrl(String),
    /// Plain http to something that is not this machine.
    #[error("the authority on {0} is named with plain http, which is for loopback only; use https")]
    Insecure(String),
    /// An Entra issuer without tenant.
    #[error("the issuer {0} of an Entra authority is not BASE/TENANT/v2.0")]
    NotEntra(String),
}

#[cfg(test)]
mod tests;
