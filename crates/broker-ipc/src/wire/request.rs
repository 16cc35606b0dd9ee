//! Requests. Keys are MSAL's names in snake case.

use std::time::Duration;

use uuid::Uuid;

use keyward_client::account::AccountSelector;
use keyward_client::binding::{KeyProtection, RequiredBinding};
use keyward_client::oauth::identifiers::{ClientId, CorrelationId, HomeAccountId};
use keyward_client::oauth::scope::Scopes;
use keyward_client::oauth::secret::AccessToken;
use keyward_client::ports::SignOutRequest;
use keyward_client::request::{
    AuthenticationScheme, CachePolicy, Demands, DpopProofRequest, InteractiveRequest, ParentWindow,
    PopParameters, Prompt, ResourceRequest, SilentRequest, TokenRequest,
};
use keyward_client::result::TokenType;

use super::WireError;
use super::dict::{Dict, Entries};

pub(crate) fn write_silent(request: &SilentRequest) -> Entries<'_> {
    let mut entries = write_token(&request.token);
    write_account(&request.account, &mut entries);
    match &request.cache {
        CachePolicy::UseCache => {}
        CachePolicy::ForceRefresh => {
            entries.flag("force_refresh", true);
        }
        CachePolicy::Renew(token) => {
            entries.text("access_token_to_renew", token.expose_secret());
        }
    }
    entries
}

pub(crate) fn read_silent(dict: &Dict<'_>) -> Result<SilentRequest, WireError> {
    let cache = match dict.text("access_token_to_renew")? {
        Some(token) => CachePolicy::Renew(AccessToken::new(token.to_owned())),
        None if dict.flag("force_refresh")? => CachePolicy::ForceRefresh,
        None => CachePolicy::UseCache,
    };
    Ok(SilentRequest {
        token: read_token(dict)?,
        account: read_account(dict)?.unwrap_or(AccountSelector::Only),
        cache,
    })
}

pub(crate) fn write_interactive(request: &InteractiveRequest) -> Entries<'_> {
    let mut entries = write_token(&request.token);
    if let Some(account) = &request.account {
        write_account(account, &mut entries);
    }
    entries
        .maybe_text("login_hint", request.login_hint.as_deref())
        .maybe_text("prompt", request.prompt.map(Prompt::as_str))
        .maybe_number("deadline_ms", request.deadline.map(milliseconds));
    match &request.window {
        ParentWindow::None => {}
        ParentWindow::Handle(handle) => {
            entries.number("window_handle", *handle);
        }
        ParentWindow::Portal(window) => {
            entries.text("parent_window", window);
        }
    }
    entries
}

pub(crate) fn read_interactive(dict: &Dict<'_>) -> Result<InteractiveRequest, WireError> {
    let prompt = match dict.text("prompt")? {
        None => None,
        Some(text) => Some(Prompt::parse(text).ok_or_else(|| {
            WireError::value(
                "prompt",
                "is none of login, select_account, consent, create, none",
            )
        })?),
    };
    let window = match (dict.text("parent_window")?, dict.number("window_handle")?) {
        (Some(window), _) => ParentWindow::Portal(window.to_owned()),
        (None, Some(handle)) => ParentWindow::Handle(handle),
        (None, None) => ParentWindow::None,
    };
    Ok(InteractiveRequest {
        token: read_token(dict)?,
        account: read_account(dict)?,
        login_hint: dict.owned_text("login_hint")?,
        prompt,
        window,
        deadline: dict.number("deadline_ms")?.map(Duration::from_millis),
    })
}

pub(crate) fn write_sign_out(request: &SignOutRequest) -> Entries<'_> {
    let mut entries = Entries::new();
    entries
        .text("client_id", request.client_id.as_str())
        .text("home_account_id", request.account.as_str())
        .owned_text("correlation_id", request.correlation_id.to_string());
    entries
}

pub(crate) fn read_sign_out(dict: &Dict<'_>) -> Result<SignOutRequest, WireError> {
    Ok(SignOutRequest {
        client_id: read_client_id(dict)?,
        account: read_home_account_id(dict.require_text("home_account_id")?)?,
        correlation_id: read_correlation_id(dict)?,
    })
}

pub(crate) fn write_dpop_proof(request: &DpopProofRequest) -> Entries<'_> {
    let mut entries = Entries::new();
    entries
        .text("client_id", request.client_id.as_str())
        .text("access_token", request.access_token.expose_secret());
    write_resource(&request.resource, &mut entries);
    entries
}

pub(crate) fn read_dpop_proof(dict: &Dict<'_>) -> Result<DpopProofRequest, WireError> {
    Ok(DpopProofRequest {
        client_id: read_client_id(dict)?,
        access_token: AccessToken::new(dict.require_text("access_token")?.to_owned()),
        resource: read_resource(dict)?.ok_or(WireError::Missing("resource_request_uri"))?,
    })
}

pub(crate) fn write_accounts(client_id: &ClientId) -> Entries<'_> {
    let mut entries = Entries::new();
    entries.text("client_id", client_id.as_str());
    entries
}

pub(crate) fn read_client_id(dict: &Dict<'_>) -> Result<ClientId, WireError> {
    ClientId::parse(dict.require_text("client_id")?)
        .map_err(|invalid| WireError::value("client_id", invalid.why))
}

fn write_token(token: &TokenRequest) -> Entries<'_> {
    let mut entries = Entries::new();
    entries
        .text("client_id", token.client_id.as_str())
        .text("authority", &token.authority)
        .owned_text("scopes", token.scopes.to_string())
        .owned_text("correlation_id", token.correlation_id.to_string())
        .maybe_text("claims", token.claims.as_deref())
        .maybe_text("redirect_uri", token.redirect_uri.as_deref())
        .text_map("extra_parameters", &token.extra_parameters)
        .maybe_text(
            "require_binding",
            token.demands.binding.map(RequiredBinding::as_str),
        )
        .maybe_text(
            "require_key_protection",
            token.demands.key_protection.map(KeyProtection::as_str),
        );
    write_scheme(&token.scheme, &mut entries);
    entries
}

fn read_token(dict: &Dict<'_>) -> Result<TokenRequest, WireError> {
    Ok(TokenRequest {
        client_id: read_client_id(dict)?,
        authority: dict.require_text("authority")?.to_owned(),
        scopes: Scopes::parse(dict.require_text("scopes")?),
        scheme: read_scheme(dict)?,
        claims: dict.owned_text("claims")?,
        redirect_uri: dict.owned_text("redirect_uri")?,
        extra_parameters: dict.text_map("extra_parameters")?,
        demands: read_demands(dict)?,
        correlation_id: read_correlation_id(dict)?,
    })
}

/// A demand that is not understood is refused: passing over it would be a promise broken.
fn read_demands(dict: &Dict<'_>) -> Result<Demands, WireError> {
    let unknown = |name| WireError::value(name, "demands what this version does not know");
    let binding = dict
        .text("require_binding")?
        .map(|text| RequiredBinding::parse(text).ok_or_else(|| unknown("require_binding")));
    let key_protection = dict
        .text("require_key_protection")?
        .map(|text| KeyProtection::parse(text).ok_or_else(|| unknown("require_key_protection")));
    Ok(Demands {
        binding: binding.transpose()?,
        key_protection: key_protection.transpose()?,
    })
}

fn write_scheme<'a>(scheme: &'a AuthenticationScheme, entries: &mut Entries<'a>) {
    match scheme {
        AuthenticationScheme::Bearer => {}
        AuthenticationScheme::Pop(pop) => {
            entries
                .text("authentication_scheme", TokenType::Pop.as_str())
                .text("resource_request_method", &pop.method)
                .text("resource_request_host", &pop.host)
                .text("resource_request_path", &pop.path)
                .maybe_text("shr_nonce", pop.nonce.as_deref())
                .maybe_text("shr_claims", pop.client_claims.as_deref());
        }
        AuthenticationScheme::Dpop(resource) => {
            entries.text("authentication_scheme", TokenType::Dpop.as_str());
            if let Some(resource) = resource {
                write_resource(resource, entries);
            }
        }
    }
}

fn read_scheme(dict: &Dict<'_>) -> Result<AuthenticationScheme, WireError> {
    let Some(text) = dict.text("authentication_scheme")? else {
        return Ok(AuthenticationScheme::Bearer);
    };
    match TokenType::parse(text) {
        Some(TokenType::Bearer) => Ok(AuthenticationScheme::Bearer),
        Some(TokenType::Pop) => Ok(AuthenticationScheme::Pop(PopParameters {
            method: dict.require_text("resource_request_method")?.to_owned(),
            host: dict.require_text("resource_request_host")?.to_owned(),
            path: dict.require_text("resource_request_path")?.to_owned(),
            nonce: dict.owned_text("shr_nonce")?,
            client_claims: dict.owned_text("shr_claims")?,
        })),
        Some(TokenType::Dpop) => Ok(AuthenticationScheme::Dpop(read_resource(dict)?)),
        None => Err(WireError::value(
            "authentication_scheme",
            "is none of Bearer, PoP, DPoP",
        )),
    }
}

fn write_resource<'a>(resource: &'a ResourceRequest, entries: &mut Entries<'a>) {
    entries
        .text("resource_request_method", &resource.method)
        .text("resource_request_uri", &resource.uri)
        .maybe_text("resource_request_nonce", resource.nonce.as_deref());
}

fn read_resource(dict: &Dict<'_>) -> Result<Option<ResourceRequest>, WireError> {
    let Some(uri) = dict.text("resource_request_uri")? else {
        return Ok(None);
    };
    Ok(Some(ResourceRequest {
        method: dict.require_text("resource_request_method")?.to_owned(),
        uri: uri.to_owned(),
        nonce: dict.owned_text("resource_request_nonce")?,
    }))
}

fn write_account<'a>(account: &'a AccountSelector, entries: &mut Entries<'a>) {
    match account {
        AccountSelector::Home(id) => entries.text("home_account_id", id.as_str()),
        AccountSelector::Username(name) => entries.text("username", name),
        AccountSelector::Only => entries.flag("only_account", true),
    };
}

fn read_account(dict: &Dict<'_>) -> Result<Option<AccountSelector>, WireError> {
    if let Some(id) = dict.text("home_account_id")? {
        return read_home_account_id(id)
            .map(AccountSelector::Home)
            .map(Some);
    }
    if let Some(name) = dict.owned_text("username")? {
        return Ok(Some(AccountSelector::Username(name)));
    }
    Ok(dict.flag("only_account")?.then_some(AccountSelector::Only))
}

pub(crate) fn read_home_account_id(text: &str) -> Result<HomeAccountId, WireError> {
    HomeAccountId::parse(text).map_err(|invalid| WireError::value("home_account_id", invalid.why))
}

/// A request without a correlation id gets a new one.
fn read_correlation_id(dict: &Dict<'_>) -> Result<CorrelationId, WireError> {
    match dict.text("correlation_id")? {
        None => Ok(new_correlation_id()),
        Some(text) => CorrelationId::parse(text)
            .ok_or_else(|| WireError::value("correlation_id", "is no GUID")),
    }
}

/// A random correlation id.
pub(crate) fn new_correlation_id() -> CorrelationId {
    CorrelationId::from_random(Uuid::new_v4().into_bytes())
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A request with every field set, for tests.
#[cfg(test)]
pub(crate) fn sample() -> SilentRequest {
    SilentRequest {
        token: TokenRequest {
            client_id: ClientId::parse("c").unwrap(),
            authority: "https://idp.example/tenant".to_owned(),
            scopes: Scopes::parse("a b"),
            scheme: AuthenticationScheme::Bearer,
            claims: Some("{}".to_owned()),
            redirect_uri: Some("http://localhost".to_owned()),
            extra_parameters: [("x".to_owned(), "1".to_owned())].into(),
            demands: Demands {
                binding: Some(RequiredBinding::SenderConstrained),
                key_protection: Some(KeyProtection::Tpm),
            },
            correlation_id: CorrelationId::from_random([3; 16]),
        },
        account: AccountSelector::Username("alice".to_owned()),
        cache: CachePolicy::Renew(AccessToken::new("old".to_owned())),
    }
}
