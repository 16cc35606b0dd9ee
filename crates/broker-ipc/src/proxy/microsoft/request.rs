//! Requests as Microsoft's runtime writes them (`linux-broker-dbus.md` 3).

use std::collections::BTreeMap;

use serde::Serialize;

use keyward_client::account::AccountInfo;
use keyward_client::oauth::identifiers::ClientId;
use keyward_client::request::{AuthenticationScheme, ParentWindow, PopParameters, TokenRequest};

use crate::microsoft::account::SentAccount;

/// The redirect URI Microsoft's native clients register.
const REDIRECT_URI: &str = "https://login.microsoftonline.com/common/oauth2/nativeclient";
const SILENT: u8 = 1;
const INTERACTIVE: u8 = 6;

/// Whom a request is for.
pub(super) enum Subject {
    /// This account.
    Account(AccountInfo),
    /// Whoever has this user name; empty: whoever.
    Hint(String),
}

/// What silent and interactive requests have in common.
pub(super) struct Token<'a> {
    pub(super) request: &'a TokenRequest,
    pub(super) subject: &'a Subject,
    /// The access token that must not be the answer.
    pub(super) renew: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Root<'a> {
    auth_parameters: Parameters<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_window_handle: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Parameters<'a> {
    access_token_to_renew: &'a str,
    account: Option<WholeAccount<'a>>,
    additional_query_parameters_for_authorization: &'a BTreeMap<String, String>,
    authority: &'a str,
    authorization_type: u8,
    client_id: &'a str,
    decoded_claims: &'a str,
    enrollment_id: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_sign_in: bool,
    is_test_mode: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_window: Option<Window<'a>>,
    password: &'a str,
    pop_params: Option<Pop<'a>>,
    redirect_uri: &'a str,
    requested_scopes: Vec<String>,
    username: &'a str,
    ux_context_handle: i8,
}

/// An account with every key Microsoft's runtime sends.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WholeAccount<'a> {
    alternative_account_id: &'a str,
    home_environment: &'a str,
    middle_name: &'a str,
    password_change_url: &'a str,
    #[serde(flatten)]
    account: SentAccount<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Window<'a> {
    handle: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exported_handle: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pop<'a> {
    client_claims: &'a str,
    home_account_id: &'a str,
    http_method: &'a str,
    nonce: &'a str,
    uri_host: &'a str,
    uri_path: &'a str,
}

/// `acquireTokenSilently`.
pub(super) fn silent(token: &Token<'_>) -> String {
    json(&Root {
        auth_parameters: token.parameters(SILENT),
        parent_window_handle: None,
    })
}

/// `acquireTokenInteractively`. Without a window the handle is 1, as console programs have it.
pub(super) fn interactive(token: &Token<'_>, window: &ParentWindow) -> String {
    let (handle, exported_handle) = match window {
        ParentWindow::None => (1, None),
        ParentWindow::Handle(handle) => (*handle, None),
        ParentWindow::Portal(window) => match window.split_once(':') {
            Some(("x11", id)) => (u64::from_str_radix(id, 16).unwrap_or(1), None),
            Some(("wayland", token)) => (1, Some(token)),
            _ => (1, None),
        },
    };
    let mut parameters = token.parameters(INTERACTIVE);
    parameters.parent_window = Some(Window {
        handle,
        exported_handle,
    });
    json(&Root {
        auth_parameters: parameters,
        parent_window_handle: Some(handle),
    })
}

/// `getAccounts`. The redirect URI repeats the client id.
pub(super) fn accounts(client_id: &ClientId) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Accounts<'a> {
        client_id: &'a str,
        redirect_uri: &'a str,
    }
    json(&Accounts {
        client_id: client_id.as_str(),
        redirect_uri: client_id.as_str(),
    })
}

impl Token<'_> {
    fn parameters(&self, authorization_type: u8) -> Parameters<'_> {
        let request = self.request;
        let (account, username) = match self.subject {
            Subject::Account(account) => (Some(account), account.username.as_str()),
            Subject::Hint(hint) => (None, hint.as_str()),
        };
        Parameters {
            access_token_to_renew: self.renew.unwrap_or_default(),
            is_sign_in: account.is_none(),
            account: account.map(|account| WholeAccount {
                alternative_account_id: "",
                home_environment: "",
                middle_name: "",
                password_change_url: "",
                account: SentAccount::of(account),
            }),
            additional_query_parameters_for_authorization: &request.extra_parameters,
            authority: &request.authority,
            authorization_type,
            client_id: request.client_id.as_str(),
            decoded_claims: request.claims.as_deref().unwrap_or_default(),
            enrollment_id: "",
            is_test_mode: false,
            parent_window: None,
            password: "",
            pop_params: match &request.scheme {
                AuthenticationScheme::Pop(pop) => Some(Pop::of(pop)),
                AuthenticationScheme::Bearer | AuthenticationScheme::Dpop(_) => None,
            },
            redirect_uri: request.redirect_uri.as_deref().unwrap_or(REDIRECT_URI),
            requested_scopes: request
                .scopes
                .without_oidc()
                .iter()
                .map(str::to_owned)
                .collect(),
            username,
            ux_context_handle: -1,
        }
    }
}

impl<'a> Pop<'a> {
    fn of(pop: &'a PopParameters) -> Self {
        Self {
            client_claims: pop.client_claims.as_deref().unwrap_or_default(),
            home_account_id: "",
            http_method: &pop.method,
            nonce: pop.nonce.as_deref().unwrap_or_default(),
            uri_host: &pop.host,
            uri_path: &pop.path,
        }
    }
}

fn json(value: &impl Serialize) -> String {
    // INVARIANT: texts, numbers and maps of texts always serialize.
    serde_json::to_string(value).unwrap_or_default()
}
