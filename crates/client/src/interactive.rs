//! `acquire_token_interactive` (`layout.md` 8): one sign-in at a time has the person's attention.
//!
//! Requests for the same join one sign-in, which ends when the last of them is gone. Others wait
//! for their turn, and then try silently first, if they may be answered that way.

use std::sync::Arc;

use url::Url;

use keyward_oauth::authorization_code::{self, AuthorizationRequest, Exchange, RedirectUri};
use keyward_oauth::jose::Thumbprint;
use keyward_oauth::scope::Scopes;
use keyward_oauth::token_request::with_identity;
use keyward_oauth::transport::{ShowOptions, Sitting, UserAgent};

use crate::account::AccountSelector;
use crate::acquisition::Acquisition;
use crate::authority::AuthorityKind;
use crate::authority_metadata::{Known, dialect};
use crate::cache::key::AccountKey;
use crate::engine::{Shared, panicked};
use crate::error::{AcquireTokenError, ErrorKind};
use crate::request::{CachePolicy, InteractiveRequest, ParentWindow, Prompt, SilentRequest};
use crate::result::{AuthenticationResult, TokenType};
use crate::settle::{FreshKey, OpenKey, binds_by_dpop};

pub(crate) mod gate;
mod queue;
mod redeemed;
mod replacement;
mod screen;

pub(crate) use gate::Open as OpenGate;
pub use gate::{Attention, PromptGate, PromptKind, PromptStatus};
pub(crate) use queue::SignIn;
pub(crate) use replacement::Replacements;
pub(crate) use screen::Screen;

/// An interactive request that was admitted.
#[derive(Clone)]
pub(crate) struct Interactive {
    pub(crate) asked: Acquisition,
    /// The account the answer must be for.
    pub(crate) account: Option<AccountSelector>,
    login_hint: Option<String>,
    prompt: Option<Prompt>,
    window: ParentWindow,
    agent: Arc<dyn UserAgent>,
    gate: Arc<dyn PromptGate>,
}

/// A sign-in the person has finished: what is left needs nobody's attention.
pub(crate) struct SignedIn {
    pub(crate) exchange: Exchange,
    pub(crate) key: Option<OpenKey>,
    pub(crate) fresh_key: Option<FreshKey>,
    /// The scopes sent.
    pub(crate) sent: Scopes,
    pub(crate) known: Arc<Known>,
}

impl Shared {
    pub(crate) async fn interactive(
        self: &Arc<Self>,
        request: InteractiveRequest,
        agent: Arc<dyn UserAgent>,
        gate: Arc<dyn PromptGate>,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        if request.prompt == Some(Prompt::None) {
            return self.without_showing(request).await;
        }
        let deadline = request
            .deadline
            .unwrap_or(self.settings.interactive_deadline);
        let interactive = Interactive {
            asked: self.admit(request.token)?,
            account: request
                .account
                .filter(|account| *account != AccountSelector::Only),
            login_hint: request.login_hint.filter(|hint| !hint.is_empty()),
            prompt: request.prompt,
            window: request.window,
            agent,
            gate,
        };
        let (asked, key) = (interactive.asked.clone(), interactive.key());
        let sign_in = self.sign_ins.join(key.clone(), || {
            let shared = Arc::clone(self);
            async move { shared.sign_in(interactive).await }
        });
        // Until this ends nobody cancels the sign-in, so that it can be said how far it came.
        let mut sign_in = std::pin::pin!(sign_in);
        let acquired = tokio::time::timeout(deadline, &mut sign_in).await;
        let acquired = acquired.map_err(|_| {
            let what = self.screen.overdue(&key, deadline);
            asked.error(ErrorKind::DeadlineExceeded, &what)
        })?;
        let acquired = acquired.unwrap_or_else(|| Err(panicked("the sign-in")))?;
        let result = self.present(&asked, acquired).await?;
        asked.demanded.check(&result)?;
        Ok(result)
    }

    /// `prompt=none`: show nothing, fail instead (OpenID Connect Core §3.1.2.1).
    async fn without_showing(
        self: &Arc<Self>,
        request: InteractiveRequest,
    ) -> Result<AuthenticationResult, AcquireTokenError> {
        let hinted = request.login_hint.map(AccountSelector::Username);
        self.silent(SilentRequest {
            token: request.token,
            account: request.account.or(hinted).unwrap_or(AccountSelector::Only),
            cache: CachePolicy::UseCache,
        })
        .await
    }

    /// RFC 6749 §4.1.1 and §4.1.2: shows the authorize URL and reads the redirect.
    async fn shown(
        self: &Arc<Self>,
        interactive: &Interactive,
        known: Arc<Known>,
    ) -> Result<SignedIn, AcquireTokenError> {
        let asked = &interactive.asked;
        interactive.gate.admit()?;
        let (key, fresh_key) = self.sign_in_key(asked, &known).await?.unzip();
        let login_hint = self.login_hint(interactive)?;
        let sitting = interactive
            .agent
            .prepare(interactive.show_options(login_hint.as_deref())?)
            .await?;
        let redirect_uri = interactive.redirect_uri(&*sitting)?;
        let sent = with_identity(&asked.scopes);
        let thumbprint = key.as_ref().map(OpenKey::thumbprint);
        let request = AuthorizationRequest {
            client_id: &asked.client,
            redirect_uri: &redirect_uri,
            scopes: &sent,
            prompt: interactive.prompt.map(Prompt::as_str),
            login_hint: login_hint.as_deref(),
            claims: asked.claims.as_deref(),
            dpop_jkt: dpop_jkt(asked, thumbprint.as_ref()),
            dialect: dialect(&asked.authority),
            extra_parameters: &asked.extra_parameters,
        };
        self.replacement_allowed(asked, &known, &request).await?;
        let (url, pending) = authorization_code::start(&known.metadata, &request, &mut |bytes| {
            self.ports.random.fill(bytes);
        });
        let redirect = {
            let _note = self
                .screen
                .shows(interactive.key(), redirect_uri.replaced());
            interactive.gate.shown();
            sitting.show(url).await?
        };
        Ok(SignedIn {
            exchange: pending.finish(&redirect)?, // checks `state`, `iss` (RFC 9207) and `error`
            key,
            fresh_key,
            sent,
            known,
        })
    }

    /// The key the tokens of a sign-in will be bound to, if they will be. It is made before the
    /// person is asked, because the authorization code is bound to it already (RFC 9449 §10).
    async fn sign_in_key(
        self: &Arc<Self>,
        asked: &Acquisition,
        known: &Known,
    ) -> Result<Option<(OpenKey, FreshKey)>, AcquireTokenError> {
        let dpop = binds_by_dpop(&asked.authority, known)?;
        asked.can_be_met(dpop, self.ports.keys.protection())?;
        match asked.token_type {
            TokenType::Dpop if !dpop => Err(asked.cannot_bind()),
            TokenType::Bearer if !dpop => Ok(None),
            _ => Ok(Some(self.fresh_key().await?)),
        }
    }

    /// The user name to sign in with: the hint given, or that of the account.
    fn login_hint(&self, interactive: &Interactive) -> Result<Option<String>, AcquireTokenError> {
        let hint = interactive.login_hint.clone();
        Ok(hint.or(match &interactive.account {
            Some(AccountSelector::Username(name)) => Some(name.clone()),
            Some(AccountSelector::Home(home)) => {
                let key = AccountKey {
                    provider: Arc::clone(&interactive.asked.authority.provider),
                    home: home.clone(),
                };
                let cache = self.vault.cache()?;
                let account = cache.account(&key);
                let profile = account.and_then(|account| account.home_profile());
                profile.map(|profile| profile.username.clone())
            }
            Some(AccountSelector::Only) | None => None,
        }))
    }
}

/// Only OpenID providers bind codes to keys; Entra would not know the parameter.
fn dpop_jkt<'a>(asked: &Acquisition, key: Option<&'a Thumbprint>) -> Option<&'a Thumbprint> {
    key.filter(|_| asked.authority.kind == AuthorityKind::OpenId)
}

impl Interactive {
    /// The redirect URI the application registered, if it says so.
    fn registered(&self) -> Result<Option<Url>, AcquireTokenError> {
        let text = self.asked.redirect_uri.as_deref();
        let parsed = text.filter(|uri| !uri.is_empty()).map(Url::parse);
        parsed.transpose().map_err(|_| {
            AcquireTokenError::new(
                ErrorKind::InvalidRequest,
                "redirect_uri is not an absolute URL",
            )
        })
    }

    /// The redirect URI the user agent will see.
    fn redirect_uri(&self, sitting: &dyn Sitting) -> Result<RedirectUri, AcquireTokenError> {
        let registered = self.registered()?;
        let seen = sitting.redirect_uri().clone();
        Ok(RedirectUri::new(seen, registered.as_ref()))
    }

    fn show_options(&self, login_hint: Option<&str>) -> Result<ShowOptions, AcquireTokenError> {
        Ok(ShowOptions {
            redirect_uri: self.registered()?,
            caller: Some(self.asked.client.to_string()),
            parent: match &self.window {
                ParentWindow::Portal(window) => Some(window.clone()),
                ParentWindow::Handle(0 | 1) | ParentWindow::None => None,
                ParentWindow::Handle(handle) => Some(format!("x11:{handle:x}")),
            },
            login_hint: login_hint.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests;
