//! Applications' requests made into the engine's: parsed once, here.

use std::time::Duration;

use keyward_client::account::{AccountInfo, AccountSelector};
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::oauth::identifiers::{ClientId, CorrelationId};
use keyward_client::request::{self as engine, CachePolicy, Demands, TokenRequest};
use url::Url;

use crate::configuration::AuthOptions;
use crate::resource::{pop_parameters, resource_request};
use crate::{AuthenticationScheme, InteractiveRequest, SilentFlowRequest};

/// The part of the configuration that goes into every request, checked.
#[derive(Clone, Debug)]
pub(crate) struct Application {
    pub(crate) client_id: ClientId,
    authority: String,
    demands: Demands,
}

impl Application {
    /// Checks what the application says about itself. No I/O.
    pub(crate) fn parse(auth: &AuthOptions) -> Result<Self, AcquireTokenError> {
        let client_id = ClientId::parse(&auth.client_id).map_err(|error| {
            configuration(format!(
                "{error}: set auth.client_id to the id the application is registered under"
            ))
        })?;
        let authority = authority(&auth.authority)
            .map_err(|why| configuration(format!("auth.authority {why}")))?;
        Ok(Self {
            client_id,
            authority,
            demands: Demands::default(),
        })
    }

    /// Demands this of every token.
    pub(crate) fn demanding(mut self, demands: Demands) -> Self {
        self.demands = demands;
        self
    }

    /// A silent request in the engine's terms.
    pub(crate) fn silent(
        &self,
        request: SilentFlowRequest,
    ) -> Result<engine::SilentRequest, AcquireTokenError> {
        let account = silent_account(request.account.as_ref(), request.login_hint.as_deref());
        let cache = if request.force_refresh {
            CachePolicy::ForceRefresh
        } else {
            CachePolicy::UseCache
        };
        Ok(engine::SilentRequest {
            token: self.token(Common {
                scheme: scheme(&Target::of_silent(&request))?,
                scopes: request.scopes,
                authority: request.authority,
                claims: request.claims,
                redirect_uri: request.redirect_uri,
                extra_parameters: request.extra_query_parameters,
                demands: Demands {
                    binding: request.require_binding,
                    key_protection: request.require_key_protection,
                },
                correlation_id: request.correlation_id,
            })?,
            account,
            cache,
        })
    }

    /// An interactive request in the engine's terms. `deadline`: the configuration's.
    pub(crate) fn interactive(
        &self,
        request: InteractiveRequest,
        deadline: Option<Duration>,
    ) -> Result<engine::InteractiveRequest, AcquireTokenError> {
        let scheme = scheme(&Target::of_interactive(&request))?;
        let window = request
            .window_handle
            .to_parent(|name| std::env::var(name).ok());
        Ok(engine::InteractiveRequest {
            token: self.token(Common {
                scheme,
                scopes: request.scopes,
                authority: request.authority,
                claims: request.claims,
                redirect_uri: request.redirect_uri,
                extra_parameters: request.extra_query_parameters,
                demands: Demands {
                    binding: request.require_binding,
                    key_protection: request.require_key_protection,
                },
                correlation_id: request.correlation_id,
            })?,
            account: request
                .account
                .map(|account| AccountSelector::Home(account.home_account_id)),
            login_hint: request.login_hint,
            prompt: request.prompt,
            window,
            deadline: request.deadline.or(deadline),
        })
    }

    fn token(&self, common: Common) -> Result<TokenRequest, AcquireTokenError> {
        let authority = match common.authority {
            None => self.authority.clone(),
            Some(text) => {
                authority(&text).map_err(|why| invalid(format!("the request's authority {why}")))?
            }
        };
        Ok(TokenRequest {
            client_id: self.client_id.clone(),
            authority,
            scopes: common.scopes,
            scheme: common.scheme,
            claims: common.claims,
            redirect_uri: common.redirect_uri,
            extra_parameters: common.extra_parameters,
            demands: common.demands.and(self.demands),
            correlation_id: common.correlation_id.unwrap_or_else(new_correlation_id),
        })
    }
}

/// What both requests hand on.
struct Common {
    scopes: keyward_client::oauth::scope::Scopes,
    authority: Option<String>,
    scheme: engine::AuthenticationScheme,
    claims: Option<String>,
    redirect_uri: Option<String>,
    extra_parameters: std::collections::BTreeMap<String, String>,
    demands: Demands,
    correlation_id: Option<CorrelationId>,
}

/// What a request says about the use of its token.
struct Target<'a> {
    scheme: AuthenticationScheme,
    method: Option<&'a str>,
    uri: Option<&'a str>,
    nonce: Option<&'a str>,
    claims: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn of_silent(request: &'a SilentFlowRequest) -> Self {
        Self {
            scheme: request.authentication_scheme,
            method: request.resource_request_method.as_deref(),
            uri: request.resource_request_uri.as_deref(),
            nonce: request.shr_nonce.as_deref(),
            claims: request.shr_claims.as_deref(),
        }
    }

    fn of_interactive(request: &'a InteractiveRequest) -> Self {
        Self {
            scheme: request.authentication_scheme,
            method: request.resource_request_method.as_deref(),
            uri: request.resource_request_uri.as_deref(),
            nonce: request.shr_nonce.as_deref(),
            claims: request.shr_claims.as_deref(),
        }
    }

    /// A field of the request that the scheme does not use, if one is set. Ignoring it would
    /// hand out a token of another kind than the caller thinks.
    fn unused(&self) -> Option<&'static str> {
        let bearer = self.scheme == AuthenticationScheme::Bearer;
        let fields = [
            (bearer && self.method.is_some(), "resource_request_method"),
            (bearer && self.uri.is_some(), "resource_request_uri"),
            (bearer && self.nonce.is_some(), "shr_nonce"),
            (
                self.scheme != AuthenticationScheme::Pop && self.claims.is_some(),
                "shr_claims",
            ),
        ];
        fields
            .into_iter()
            .find_map(|(unused, name)| unused.then_some(name))
    }
}

fn scheme(target: &Target<'_>) -> Result<engine::AuthenticationScheme, AcquireTokenError> {
    if let Some(field) = target.unused() {
        return Err(invalid(format!(
            "{field} is set, but authentication_scheme is {:?}, which does not use it",
            target.scheme
        )));
    }
    match (target.scheme, target.method, target.uri) {
        (AuthenticationScheme::Bearer, ..) => Ok(engine::AuthenticationScheme::Bearer),
        (AuthenticationScheme::Pop, Some(method), Some(uri)) => {
            pop_parameters(method, uri, target.nonce, target.claims)
                .map(engine::AuthenticationScheme::Pop)
        }
        (AuthenticationScheme::Dpop, Some(method), Some(uri)) => {
            resource_request(method, uri, target.nonce)
                .map(|resource| engine::AuthenticationScheme::Dpop(Some(resource)))
        }
        (AuthenticationScheme::Dpop, None, None) if target.nonce.is_none() => {
            Ok(engine::AuthenticationScheme::Dpop(None))
        }
        (scheme, ..) => Err(invalid(format!(
            "authentication_scheme {scheme:?} needs both resource_request_method and \
             resource_request_uri: a proof is made for one request"
        ))),
    }
}

fn silent_account(account: Option<&AccountInfo>, login_hint: Option<&str>) -> AccountSelector {
    match (account, login_hint) {
        (Some(account), _) => AccountSelector::Home(account.home_account_id.clone()),
        (None, Some(username)) => AccountSelector::Username(username.to_owned()),
        (None, None) => AccountSelector::Only,
    }
}

/// An authority is a URL. Whether it is one the device trusts is the broker's decision.
fn authority(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "https" | "http") || !url.has_host() {
        return Err("is not an https URL".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err("has a query, a fragment or a user name, which no authority has".to_owned());
    }
    Ok(text.to_owned())
}

/// A fresh version 4 GUID.
pub(crate) fn new_correlation_id() -> CorrelationId {
    CorrelationId::from_random(uuid::Uuid::new_v4().into_bytes())
}

fn configuration(message: String) -> AcquireTokenError {
    AcquireTokenError::new(ErrorKind::IncorrectConfiguration, message)
}

pub(crate) fn invalid(message: impl Into<String>) -> AcquireTokenError {
    AcquireTokenError::new(ErrorKind::InvalidRequest, message)
}

#[cfg(test)]
mod tests;
