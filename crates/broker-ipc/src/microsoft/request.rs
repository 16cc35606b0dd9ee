//! Requests, read tolerantly: both shapes of every field that changed between versions, missing
//! fields, numbers as texts (`linux-broker-dbus.md` 3).

use std::collections::BTreeMap;

use serde::Deserialize;
use url::Url;

use keyward_client::account::AccountSelector;
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::oauth::identifiers::{ClientId, CorrelationId};
use keyward_client::oauth::scope::Scopes;
use keyward_client::oauth::secret::AccessToken;
use keyward_client::ports::SignOutRequest;
use keyward_client::request::{
    AuthenticationScheme, CachePolicy, Demands, InteractiveRequest, ParentWindow, PopParameters,
    Prompt, SilentRequest, TokenRequest,
};

use super::account::Account;
use super::lenient::{Given, JsonText, Number, Object, Text, Texts, Words};

/// What a request without an authority means.
const DEFAULT_AUTHORITY: &str = "https://login.microsoftonline.com/common";

/// Parameters of the flow itself, which an application may not set beside it.
const OF_THE_FLOW: [&str; 21] = [
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "dpop_jkt",
    "grant_type",
    "msalruntime_password",
    "msalruntime_username",
    "nonce",
    "redirect_uri",
    "refresh_token",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// `acquireTokenSilently` and `acquireTokenInteractively`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Root<'a> {
    #[serde(borrow)]
    auth_parameters: Object<Parameters<'a>>,
    #[serde(borrow)]
    account: Given<Account<'a>>,
    parent_window_handle: Number,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Parameters<'a> {
    #[serde(borrow)]
    access_token_to_renew: Text<'a>,
    #[serde(borrow)]
    account: Given<Account<'a>>,
    additional_query_parameters_for_authorization: Texts,
    #[serde(borrow)]
    authority: Text<'a>,
    #[serde(borrow)]
    client_id: Text<'a>,
    decoded_claims: JsonText,
    #[serde(borrow)]
    parent_window: Object<Window<'a>>,
    #[serde(borrow)]
    password: Text<'a>,
    #[serde(borrow)]
    pop_params: Given<Pop<'a>>,
    #[serde(borrow)]
    prompt: Text<'a>,
    #[serde(borrow)]
    redirect_uri: Text<'a>,
    requested_scopes: Words,
    #[serde(borrow)]
    username: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Window<'a> {
    handle: Number,
    #[serde(borrow)]
    exported_handle: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Pop<'a> {
    #[serde(borrow)]
    client_claims: Text<'a>,
    #[serde(borrow)]
    http_method: Text<'a>,
    #[serde(borrow)]
    nonce: Text<'a>,
    #[serde(borrow)]
    uri_host: Text<'a>,
    #[serde(borrow)]
    uri_path: Text<'a>,
}

/// `acquireTokenSilently`.
pub(super) fn silent(
    json: &str,
    correlation_id: CorrelationId,
) -> Result<SilentRequest, AcquireTokenError> {
    let request = Request::read(json)?;
    let parameters = &request.parameters;
    let mut extra = parameters.extra_parameters();
    let hint = parameters.hint(&mut extra);
    let account = match request.account()? {
        Some(account) => account,
        None => match hint {
            Some(hint) => AccountSelector::Username(hint),
            // The client has no account to name: whichever there is, if there is one.
            None => AccountSelector::Only,
        },
    };
    let cache = match parameters.access_token_to_renew.owned() {
        Some(token) => CachePolicy::Renew(AccessToken::new(token)),
        None => CachePolicy::UseCache,
    };
    Ok(SilentRequest {
        token: parameters.token(extra, correlation_id)?,
        account,
        cache,
    })
}

/// `acquireTokenInteractively`.
pub(super) fn interactive(
    json: &str,
    correlation_id: CorrelationId,
) -> Result<InteractiveRequest, AcquireTokenError> {
    let request = Request::read(json)?;
    let parameters = &request.parameters;
    let mut extra = parameters.extra_parameters();
    let hint = parameters.hint(&mut extra);
    let prompt = extra.remove("prompt");
    let prompt = parameters.prompt.get().or(prompt.as_deref());
    Ok(InteractiveRequest {
        account: request.account()?,
        login_hint: hint,
        prompt: prompt.and_then(Prompt::parse),
        window: request.window(),
        deadline: None,
        token: parameters.token(extra, correlation_id)?,
    })
}

/// The client id of `getAccounts`.
pub(super) fn client_id(json: &str) -> Result<ClientId, AcquireTokenError> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct GetAccounts<'a> {
        #[serde(borrow)]
        client_id: Text<'a>,
    }
    let request: GetAccounts<'_> = parse(json)?;
    read_client_id(&request.client_id)
}

/// `removeAccount` and `signOutSilently`, whose requests nobody has seen yet: the account and the
/// client id are taken from wherever they are.
pub(super) fn sign_out(
    json: &str,
    correlation_id: CorrelationId,
) -> Result<SignOutRequest, AcquireTokenError> {
    let request = Request::read(json)?;
    let parameters = &request.parameters;
    let Some(AccountSelector::Home(account)) = request.account()? else {
        return Err(invalid("account is missing, or has no homeAccountId"));
    };
    let client_id = match parameters.client_id.get() {
        Some(_) => read_client_id(&parameters.client_id)?,
        None => client_id(json)?,
    };
    Ok(SignOutRequest {
        client_id,
        account,
        correlation_id,
    })
}

/// A request, wherever its parameters were.
struct Request<'a> {
    parameters: Parameters<'a>,
    account: Given<Account<'a>>,
    parent_window_handle: Number,
}

impl<'a> Request<'a> {
    fn read(json: &'a str) -> Result<Self, AcquireTokenError> {
        let root: Root<'_> = parse(json)?;
        let parameters = match root.auth_parameters.0 {
            Some(parameters) => parameters,
            // Some senders write the parameters without an object around them.
            None => parse(json)?,
        };
        Ok(Self {
            parameters,
            account: root.account,
            parent_window_handle: root.parent_window_handle,
        })
    }

    /// The account that is named, by identifier or by user name. One that is named in a way that
    /// cannot be read is nobody's, and not "whichever there is".
    fn account(&self) -> Result<Option<AccountSelector>, AcquireTokenError> {
        let given = self.parameters.account.0.as_ref();
        let Some(account) = given.or(self.account.0.as_ref()) else {
            return Ok(None);
        };
        if account.is_misnamed() {
            return Err(invalid("account.homeAccountId is not USER.TENANT"));
        }
        if let Some(id) = account.home_account_id() {
            return Ok(Some(AccountSelector::Home(id)));
        }
        if let Some(username) = account.username.owned() {
            return Ok(Some(AccountSelector::Username(username)));
        }
        if account.names_somebody() {
            return Err(invalid(
                "account has neither homeAccountId, clientInfo nor username",
            ));
        }
        Ok(None)
    }

    fn window(&self) -> ParentWindow {
        let window = self.parameters.parent_window.0.as_ref();
        if let Some(handle) = window.and_then(|window| window.exported_handle.get()) {
            return ParentWindow::Portal(match handle.split_once(':') {
                Some(("wayland" | "x11", _)) => handle.to_owned(),
                _ => format!("wayland:{handle}"),
            });
        }
        let handle = window
            .and_then(|window| window.handle.0)
            .or(self.parent_window_handle.0);
        // 0 and 1 are what console programs send (3.3).
        match handle.and_then(|handle| u64::try_from(handle).ok()) {
            Some(handle) if handle > 1 => ParentWindow::Handle(handle),
            _ => ParentWindow::None,
        }
    }
}

impl Parameters<'_> {
    /// What the application adds to the authorize request, without what is the flow's own.
    fn extra_parameters(&self) -> BTreeMap<String, String> {
        let mut extra = self.additional_query_parameters_for_authorization.0.clone();
        extra.retain(|name, _| {
            let name = name.to_ascii_lowercase();
            let own = OF_THE_FLOW.contains(&name.as_str());
            if own {
                tracing::debug!(parameter = name, "left out a parameter of the flow itself");
            }
            !own
        });
        extra
    }

    /// Who is likely to sign in.
    fn hint(&self, extra: &mut BTreeMap<String, String>) -> Option<String> {
        let beside = extra.remove("login_hint");
        self.username.owned().or(beside)
    }

    fn token(
        &self,
        mut extra_parameters: BTreeMap<String, String>,
        correlation_id: CorrelationId,
    ) -> Result<TokenRequest, AcquireTokenError> {
        if self.password.get().is_some() {
            return Err(AcquireTokenError::new(
                ErrorKind::NotSupported,
                "signing in with a user name and a password in the request is not supported: \
                 use an interactive request",
            ));
        }
        let beside = extra_parameters.remove("claims");
        Ok(TokenRequest {
            client_id: read_client_id(&self.client_id)?,
            authority: self.authority.get().unwrap_or(DEFAULT_AUTHORITY).to_owned(),
            scopes: Scopes::parse(&self.requested_scopes.0),
            scheme: self.scheme()?,
            claims: self.decoded_claims.0.clone().or(beside),
            redirect_uri: self.redirect_uri.owned(),
            extra_parameters,
            demands: Demands::default(),
            correlation_id,
        })
    }

    fn scheme(&self) -> Result<AuthenticationScheme, AcquireTokenError> {
        let Some(pop) = &self.pop_params.0 else {
            return Ok(AuthenticationScheme::Bearer);
        };
        let required = |text: &Text<'_>, name| {
            text.owned()
                .ok_or_else(|| invalid(&format!("popParams.{name} is missing")))
        };
        let path = pop.uri_path.get().unwrap_or("/");
        if !path.starts_with('/') {
            return Err(invalid("popParams.uriPath does not begin with a slash"));
        }
        let host = required(&pop.uri_host, "uriHost")?;
        if !is_host(&host) {
            return Err(invalid(
                "popParams.uriHost is not a host with or without port",
            ));
        }
        Ok(AuthenticationScheme::Pop(PopParameters {
            method: required(&pop.http_method, "httpMethod")?.to_ascii_uppercase(),
            host,
            path: path.split('?').next().unwrap_or(path).to_owned(),
            nonce: pop.nonce.owned(),
            client_claims: pop.client_claims.owned(),
        }))
    }
}

/// A host, with or without port, and nothing else that a URL could hold.
fn is_host(text: &str) -> bool {
    let separator = |c: char| c.is_whitespace() || c.is_control() || "/\\?#@".contains(c);
    !text.contains(separator) && Url::parse(&format!("https://{text}/")).is_ok()
}

fn read_client_id(text: &Text<'_>) -> Result<ClientId, AcquireTokenError> {
    let text = text.get().ok_or_else(|| invalid("clientId is missing"))?;
    ClientId::parse(text).map_err(|error| invalid(&format!("clientId {}", error.why)))
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, AcquireTokenError> {
    serde_json::from_str(json).map_err(|error| {
        // The parser's own text may quote what it read; where it stopped may not.
        let (line, column) = (error.line(), error.column());
        invalid(&match error.classify() {
            serde_json::error::Category::Data => {
                format!("a member at line {line}, column {column} has an unexpected type")
            }
            _ => format!("it is not JSON at line {line}, column {column}"),
        })
    })
}

fn invalid(why: &str) -> AcquireTokenError {
    AcquireTokenError::new(
        ErrorKind::InvalidRequest,
        format!("the request cannot be understood: {why}"),
    )
}

#[cfg(test)]
mod tests;
