//! `AcquireBearerTokenSilent`: the silent request applications make before each of their own
//! requests.
//!
//! It says what `AcquireTokenSilent` says, by the same names, but in one text of JSON: reading and
//! writing a dictionary of variants costs several times what answering from the cache does. What
//! this form has no name for goes by the dictionary. Tokens stand beside the JSON, so that none
//! passes through its reader and writer.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use zbus::Type;

use keyward_client::account::{AccountInfo, AccountSelector};
use keyward_client::binding::{Binding, KeyProtection};
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::oauth::identifiers::{ClientId, CorrelationId};
use keyward_client::oauth::scope::Scopes;
use keyward_client::oauth::secret::{AccessToken, IdTokenText};
use keyward_client::oauth::time::UnixTime;
use keyward_client::request::{
    AuthenticationScheme, CachePolicy, Demands, SilentRequest, TokenRequest,
};
use keyward_client::result::{AuthenticationResult, TokenType};

use crate::json::Object;
use crate::program::Encoded;
use crate::service::{Caller, Via};

use super::WireError;
use super::request::read_home_account_id;
use super::result::{read_source, source};

/// Bytes of the JSON in usual requests and answers.
const USUAL_LENGTH: usize = 768;

/// A request as it is read.
#[derive(Deserialize)]
pub(crate) struct Asked<'a> {
    #[serde(borrow)]
    client_id: Cow<'a, str>,
    #[serde(borrow)]
    authority: Cow<'a, str>,
    #[serde(borrow)]
    scopes: Cow<'a, str>,
    #[serde(borrow)]
    home_account_id: Cow<'a, str>,
    #[serde(borrow)]
    correlation_id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) request_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    on_behalf_of: Option<OnBehalfOf<'a>>,
}

/// Whose request a forwarding process passes on.
#[derive(Deserialize)]
struct OnBehalfOf<'a> {
    uid: u32,
    #[serde(default)]
    pid: Option<u32>,
    #[serde(borrow)]
    bus_name: Cow<'a, str>,
    #[serde(borrow, default)]
    program: Option<Cow<'a, str>>,
}

/// Writes a request in this form. `None`: it says more than this form can.
pub(crate) fn write(
    request: &SilentRequest,
    request_id: &str,
    on_behalf_of: Option<&Caller>,
) -> Option<String> {
    let SilentRequest {
        token,
        account: AccountSelector::Home(account),
        cache: CachePolicy::UseCache,
    } = request
    else {
        return None;
    };
    // A redirect URI says nothing to a silent request.
    let plain = token.scheme == AuthenticationScheme::Bearer
        && token.claims.is_none()
        && token.demands.is_empty()
        && token.extra_parameters.is_empty();
    if !plain {
        return None;
    }
    let mut object = Object::with_capacity(USUAL_LENGTH);
    object
        .text("client_id", token.client_id.as_str())
        .text("authority", &token.authority)
        .text("scopes", &token.scopes.to_string())
        .text("home_account_id", account.as_str())
        .text("correlation_id", &token.correlation_id.to_string())
        .text("request_id", request_id);
    if let Some(Caller {
        uid,
        pid,
        via: Via::Bus { unique_name },
        program,
        ..
    }) = on_behalf_of
    {
        let mut caller = Object::with_capacity(64 + program.encoded().len());
        caller
            .number("uid", u64::from(*uid))
            .maybe_number("pid", pid.map(u64::from))
            .text("bus_name", unique_name)
            .text("program", program.encoded());
        object.object("on_behalf_of", caller);
    }
    Some(object.finish())
}

impl<'a> Asked<'a> {
    /// Reads the text of a request.
    pub(crate) fn parse(text: &'a str) -> Result<Self, WireError> {
        serde_json::from_str(text).map_err(|error| not_understood("request", &error))
    }

    /// The request.
    pub(crate) fn request(&self) -> Result<SilentRequest, WireError> {
        Ok(SilentRequest {
            token: TokenRequest {
                client_id: ClientId::parse(&self.client_id)
                    .map_err(|invalid| WireError::value("client_id", invalid.why))?,
                authority: self.authority.as_ref().to_owned(),
                scopes: Scopes::parse(&self.scopes),
                scheme: AuthenticationScheme::Bearer,
                claims: None,
                redirect_uri: None,
                extra_parameters: std::collections::BTreeMap::new(),
                demands: Demands::default(),
                correlation_id: CorrelationId::parse(&self.correlation_id)
                    .ok_or_else(|| WireError::value("correlation_id", "is no GUID"))?,
            },
            account: AccountSelector::Home(read_home_account_id(&self.home_account_id)?),
            cache: CachePolicy::UseCache,
        })
    }

    /// The caller on a bus behind `peer`, if the request names one.
    pub(crate) fn caller(
        &self,
        peer: &Caller,
        programs: &Encoded,
    ) -> Result<Option<Caller>, WireError> {
        let Some(of) = &self.on_behalf_of else {
            return Ok(None);
        };
        let program = programs.program(of.program.as_deref());
        super::caller::behind(peer, u64::from(of.uid), of.pid, &of.bus_name, program).map(Some)
    }
}

/// The answer: the access token, the ID token or an empty text, and [`About`] as JSON.
#[derive(Debug, Deserialize, Serialize, Type)]
pub(crate) struct Answer<'a>(&'a str, &'a str, #[serde(borrow)] Cow<'a, str>);

/// What is said about the tokens, as it is read.
#[derive(Deserialize)]
struct About<'a> {
    #[serde(borrow)]
    scopes: Cow<'a, str>,
    expires_on: u64,
    #[serde(default)]
    ext_expires_on: Option<u64>,
    #[serde(default)]
    refresh_on: Option<u64>,
    #[serde(borrow)]
    authority: Cow<'a, str>,
    #[serde(borrow)]
    token_source: Cow<'a, str>,
    #[serde(borrow)]
    binding: Cow<'a, str>,
    #[serde(borrow)]
    key_protection: Cow<'a, str>,
    #[serde(borrow)]
    home_account_id: Cow<'a, str>,
    #[serde(borrow)]
    environment: Cow<'a, str>,
    #[serde(borrow)]
    tenant_id: Cow<'a, str>,
    #[serde(borrow)]
    local_account_id: Cow<'a, str>,
    #[serde(borrow)]
    username: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    given_name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    family_name: Option<Cow<'a, str>>,
}

impl<'a> Answer<'a> {
    /// A result in this form.
    ///
    /// # Errors
    ///
    /// When it is no bearer token: whoever gets it would not know.
    pub(crate) fn write(result: &'a AuthenticationResult) -> Result<Self, AcquireTokenError> {
        if result.token_type != TokenType::Bearer {
            return Err(AcquireTokenError::new(
                ErrorKind::Unexpected,
                "the broker has a token of another kind than was asked for",
            ));
        }
        let id_token = result.id_token.as_ref().map(IdTokenText::expose_secret);
        Ok(Self(
            result.access_token.expose_secret(),
            id_token.unwrap_or_default(),
            Cow::Owned(about(result)),
        ))
    }

    /// The result that was written so, to the request with this correlation id. `last` is what was
    /// read from the same broker before.
    pub(crate) fn read(
        &self,
        correlation_id: CorrelationId,
        last: &LastAbout,
    ) -> Result<AuthenticationResult, WireError> {
        let Self(access_token, id_token, about) = self;
        Ok(AuthenticationResult {
            access_token: AccessToken::new((*access_token).to_owned()),
            id_token: (!id_token.is_empty()).then(|| IdTokenText::new((*id_token).to_owned())),
            correlation_id,
            ..last.read(about, correlation_id)?
        })
    }
}

/// What was said about the last tokens. Until they are renewed it is said with each answer, and
/// need not be read each time.
#[derive(Debug, Default)]
pub(crate) struct LastAbout(Mutex<Option<(String, AuthenticationResult)>>);

impl LastAbout {
    /// A result that lacks its tokens.
    fn read(
        &self,
        text: &str,
        correlation_id: CorrelationId,
    ) -> Result<AuthenticationResult, WireError> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, result)) = &*last
            && known == text
        {
            return Ok(result.clone());
        }
        let result = About::read(text, correlation_id)?;
        *last = Some((text.to_owned(), result.clone()));
        Ok(result)
    }
}

impl About<'_> {
    /// A result that lacks its tokens.
    fn read(text: &str, correlation_id: CorrelationId) -> Result<AuthenticationResult, WireError> {
        let about: About<'_> =
            serde_json::from_str(text).map_err(|error| not_understood("about", &error))?;
        Ok(AuthenticationResult {
            access_token: AccessToken::new(String::new()),
            token_type: TokenType::Bearer,
            scopes: Scopes::parse(&about.scopes),
            expires_on: UnixTime::from_secs(about.expires_on),
            ext_expires_on: about.ext_expires_on.map(UnixTime::from_secs),
            refresh_on: about.refresh_on.map(UnixTime::from_secs),
            id_token: None,
            token_source: known("token_source", read_source(&about.token_source))?,
            binding: Some(known("binding", Binding::parse(&about.binding))?),
            key_protection: Some(known(
                "key_protection",
                KeyProtection::parse(&about.key_protection),
            )?),
            account: AccountInfo {
                home_account_id: read_home_account_id(&about.home_account_id)?,
                environment: about.environment.into_owned(),
                tenant_id: about.tenant_id.into_owned(),
                local_account_id: about.local_account_id.into_owned(),
                username: about.username.into_owned(),
                name: about.name.map(Cow::into_owned),
                given_name: about.given_name.map(Cow::into_owned),
                family_name: about.family_name.map(Cow::into_owned),
            },
            authority: about.authority.into_owned(),
            dpop_proof: None,
            correlation_id,
        })
    }
}

/// What is to be said about the tokens of a result.
fn about(result: &AuthenticationResult) -> String {
    let account = &result.account;
    let mut object = Object::with_capacity(USUAL_LENGTH);
    object
        .text("scopes", &result.scopes.to_string())
        .number("expires_on", result.expires_on.as_secs())
        .maybe_number(
            "ext_expires_on",
            result.ext_expires_on.map(UnixTime::as_secs),
        )
        .maybe_number("refresh_on", result.refresh_on.map(UnixTime::as_secs))
        .text("authority", &result.authority)
        .text("token_source", source(result.token_source))
        // Keyward's broker always says; whoever reads refuses what does not.
        .maybe_text("binding", result.binding.map(Binding::as_str))
        .maybe_text(
            "key_protection",
            result.key_protection.map(KeyProtection::as_str),
        )
        .text("home_account_id", account.home_account_id.as_str())
        .text("environment", &account.environment)
        .text("tenant_id", &account.tenant_id)
        .text("local_account_id", &account.local_account_id)
        .text("username", &account.username)
        .maybe_text("name", account.name.as_deref())
        .maybe_text("given_name", account.given_name.as_deref())
        .maybe_text("family_name", account.family_name.as_deref());
    object.finish()
}

fn known<T>(field: &'static str, value: Option<T>) -> Result<T, WireError> {
    value.ok_or_else(|| WireError::value(field, "has a value this version does not know"))
}

/// The parser's own text may quote what it read; where it stopped may not.
fn not_understood(what: &'static str, error: &serde_json::Error) -> WireError {
    let why = match error.classify() {
        serde_json::error::Category::Data => "lacks a member, or one has another type",
        _ => "is not JSON",
    };
    WireError::value(what, &format!("{why} (column {})", error.column()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORRELATION_ID: [u8; 16] = [3; 16];

    fn about(username: &str) -> String {
        let mut object = Object::with_capacity(0);
        object
            .text("scopes", "a b")
            .number("expires_on", 7)
            .text("home_account_id", "u.t")
            .text("username", username);
        for name in ["authority", "environment", "tenant_id", "local_account_id"] {
            object.text(name, name);
        }
        object
            .text("token_source", "cache")
            .text("binding", Binding::Dpop.as_str())
            .text("key_protection", KeyProtection::Software.as_str());
        object.finish()
    }

    #[test]
    fn each_answer_has_its_own_tokens_and_account_whatever_was_said_before() {
        let last = LastAbout::default();
        for (token, username) in [("1", "alice"), ("2", "alice"), ("3", "bob"), ("4", "alice")] {
            let id_token = if token == "2" { "" } else { "i" };
            let answer = Answer(token, id_token, about(username).into());
            let id = CorrelationId::from_random(CORRELATION_ID);
            let result = answer.read(id, &last).unwrap();
            assert_eq!(result.access_token.expose_secret(), token);
            assert_eq!(result.id_token.is_some(), token != "2");
            assert_eq!(result.account.username, username);
            assert_eq!(result.correlation_id, id);
        }
    }

    #[test]
    fn what_cannot_be_understood_stays_so() {
        let last = LastAbout::default();
        let id = CorrelationId::from_random(CORRELATION_ID);
        for _ in 0..2 {
            for text in ["", "{}", &about("x").replace("cache", "elsewhere")] {
                assert!(
                    Answer("t", "", text.into()).read(id, &last).is_err(),
                    "{text}"
                );
            }
            assert!(Answer("t", "", about("x").into()).read(id, &last).is_ok());
        }
    }
}
