//! What an application's request means here: checked, its authority resolved.

use std::collections::BTreeMap;
use std::sync::Arc;

use keyward_oauth::claims;
use keyward_oauth::identifiers::{ClientId, CorrelationId};
use keyward_oauth::jose::Thumbprint;
use keyward_oauth::scope::Scopes;
use keyward_oauth::shr;
use keyward_oauth::token_request::{TokenBinding, TokenOptions};

use crate::authority::{Authority, AuthorityKind};
use crate::authority_metadata::dialect;
use crate::cache::entity::Environment;
use crate::cache::key::{GrantKey, Target, Wanted, slot};
use crate::demands::Demanded;
use crate::engine::Shared;
use crate::error::{AcquireTokenError, ErrorKind};
use crate::request::{AuthenticationScheme, TokenRequest};
use crate::result::TokenType;

/// The parameter by which claims are asked for (OpenID Connect Core §5.5).
pub(crate) const CLAIMS: &str = "claims";

/// Extra parameters that do not change what is issued, so that a token asked for with them answers
/// a request without them: telemetry, and hints for the person.
const HINTS: [&str; 6] = [
    "client-request-id",
    "domain_hint",
    "hsu",
    "instance_aware",
    "login_hint",
    "prompt",
];

/// A request that was admitted.
#[derive(Clone, Debug)]
pub(crate) struct Acquisition {
    pub(crate) authority: Authority,
    pub(crate) client: ClientId,
    /// As asked for.
    pub(crate) scopes: Scopes,
    pub(crate) scheme: AuthenticationScheme,
    /// The type of access token the scheme needs from this authority.
    pub(crate) token_type: TokenType,
    pub(crate) claims: Option<String>,
    pub(crate) redirect_uri: Option<String>,
    pub(crate) extra_parameters: BTreeMap<String, String>,
    /// Who demands what of binding and key.
    pub(crate) demanded: Demanded,
    pub(crate) correlation_id: CorrelationId,
}

/// What makes two silent requests the same to an authority. Small, whatever the request holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RequestIdentity {
    pub(crate) grant: GrantKey,
    /// The slot of what is asked for.
    pub(crate) target: String,
    /// The slot of the claims.
    pub(crate) claims: Option<String>,
    /// Whether nobody needs the answer yet (`refresh_in`).
    pub(crate) ahead_of_need: bool,
}

impl Shared {
    /// Admits a request: resolves its authority, checks what can be checked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AuthorityUntrusted`], [`ErrorKind::InvalidRequest`], and
    /// [`ErrorKind::NotSupported`] for a scheme the authority does not know.
    pub(crate) fn admit(&self, request: TokenRequest) -> Result<Acquisition, AcquireTokenError> {
        let authority = Authority::clone(&*self.authority(&request.authority)?);
        let mut extra_parameters = request.extra_parameters;
        // Microsoft's runtime lets applications pass claims this way, too.
        let more = extra_parameters.remove(CLAIMS);
        let claims = request
            .claims
            .or(more)
            .filter(|text| !text.trim().is_empty());
        if let Some(text) = &claims {
            claims::check(text).map_err(|error| {
                AcquireTokenError::new(ErrorKind::InvalidRequest, error.to_string())
            })?;
        }
        Ok(Acquisition {
            token_type: token_type(&authority, &request.scheme)?,
            authority,
            client: request.client_id,
            scopes: request.scopes,
            scheme: request.scheme,
            claims,
            redirect_uri: request.redirect_uri,
            extra_parameters,
            demanded: self.settings.demanded.and(request.demands),
            correlation_id: request.correlation_id,
        })
    }
}

impl Shared {
    /// The authority an application means by `name`.
    pub(crate) fn authority(&self, name: &str) -> Result<Arc<Authority>, AcquireTokenError> {
        let cache = self.vault.cache()?;
        self.names.resolve(name, cache.issuers(), || {
            let rules = &self.settings.authorities;
            rules.resolve(name, |guid| cache.issuer_of(guid))
        })
    }
}

/// What an authority must issue for a scheme. OpenID providers bind access tokens by DPoP, also
/// those that are wrapped into signed HTTP requests; Entra binds them by `req_cnf`.
fn token_type(
    authority: &Authority,
    scheme: &AuthenticationScheme,
) -> Result<TokenType, AcquireTokenError> {
    match (authority.kind, scheme) {
        (_, AuthenticationScheme::Bearer) => Ok(TokenType::Bearer),
        (AuthorityKind::Entra, AuthenticationScheme::Pop(_)) => Ok(TokenType::Pop),
        (AuthorityKind::OpenId, _) => Ok(TokenType::Dpop),
        (AuthorityKind::Entra, AuthenticationScheme::Dpop(_)) => Err(AcquireTokenError::new(
            ErrorKind::NotSupported,
            format!(
                "{} is Entra ID, which does not issue DPoP tokens; ask for the PoP scheme",
                authority.provider
            ),
        )),
    }
}

impl Acquisition {
    /// What is looked for in the cache.
    pub(crate) fn target(&self, realm: &str) -> Target {
        Target {
            realm: realm.to_owned(),
            token_type: self.token_type,
            extension: extension(&self.extra_parameters),
            scopes: Wanted::new(&self.scopes),
        }
    }

    /// What a token request says beside its grant. `key` is the key of the grant.
    pub(crate) fn options(&self, key: Option<&Thumbprint>) -> TokenOptions<'_> {
        TokenOptions {
            dialect: dialect(&self.authority),
            claims: self.claims.as_deref(),
            binding: match (self.token_type, key) {
                (TokenType::Dpop, _) => TokenBinding::Dpop,
                (TokenType::Pop, Some(key)) => TokenBinding::Pop {
                    req_cnf: shr::req_cnf(key),
                },
                _ => TokenBinding::AsIssued,
            },
            correlation_id: self.correlation_id,
            extra_parameters: &self.extra_parameters,
        }
    }

    /// How this client names the provider.
    pub(crate) fn environment(&self) -> Environment {
        Environment {
            client: self.client.clone(),
            provider: self.authority.provider.clone(),
            host: self.authority.environment.clone(),
        }
    }

    /// The authority cannot give what the scheme needs.
    pub(crate) fn cannot_bind(&self) -> AcquireTokenError {
        self.error(
            ErrorKind::NotSupported,
            "the authority does not bind tokens to keys by DPoP with ES256, or the configuration \
             says dpop = \"off\"; ask for the Bearer scheme",
        )
    }

    /// An error that names the authority.
    pub(crate) fn error(&self, kind: ErrorKind, what: &str) -> AcquireTokenError {
        AcquireTokenError::new(kind, format!("{}: {what}", self.authority.provider))
    }
}

/// Extra parameters that may change what is issued, in one short spelling; empty for none.
pub(crate) fn extension(parameters: &BTreeMap<String, String>) -> String {
    let telling = parameters.iter().filter(|(name, _)| {
        !HINTS.contains(&name.as_str())
            && !name.starts_with("x-client-")
            && !name.starts_with("msal_")
    });
    let parts: Vec<&str> = telling
        .flat_map(|(name, value)| [name.as_str(), value])
        .collect();
    if parts.is_empty() {
        String::new()
    } else {
        slot(&parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(parameters: &[(&str, &str)]) -> String {
        let owned = parameters
            .iter()
            .map(|&(n, v)| (n.to_owned(), v.to_owned()));
        extension(&owned.collect())
    }

    #[test]
    fn parameters_that_change_what_is_issued_are_told_apart() {
        assert_eq!(spelled(&[]), "");
        assert_ne!(spelled(&[("resource", "a")]), spelled(&[("resource", "b")]));
        assert_ne!(spelled(&[("a", "b1:c")]), spelled(&[("a", "b"), ("c", "")]));
        assert!(spelled(&[("a", &"b".repeat(100_000))]).len() < 100);
    }

    #[test]
    fn telemetry_and_hints_change_nothing() {
        assert_eq!(
            spelled(&[
                ("x-client-xtra-sku", "|,|"),
                ("hsu", "1"),
                ("login_hint", "a")
            ]),
            ""
        );
    }
}
