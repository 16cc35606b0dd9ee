//! The queue of sign-ins: one at a time has the person's attention.

use std::collections::BTreeMap;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;

use futures_util::future;
use keyward_oauth::identifiers::ClientId;

use super::Interactive;
use super::gate::{Attention, Place, PromptKind};
use crate::account::AccountSelector;
use crate::acquisition::Acquisition;
use crate::authority::{AuthorityKind, Tenant};
use crate::engine::{Shared, panicked};
use crate::error::{AcquireTokenError, ErrorKind};
use crate::pin::Asked;
use crate::request::{AuthenticationScheme, CachePolicy, Prompt};
use crate::result::TokenType;
use crate::silent::Acquired;

/// Sign-ins with the same key are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SignIn {
    client: ClientId,
    provider: Arc<str>,
    tenant: Tenant,
    scopes: String,
    scheme: Discriminant<AuthenticationScheme>,
    claims: Option<String>,
    account: Option<AccountSelector>,
    login_hint: Option<String>,
    prompt: Option<Prompt>,
    redirect_uri: Option<String>,
    extra_parameters: BTreeMap<String, String>,
    /// Who shows it, by address: a sign-in ends with the process that shows it, which must not be
    /// another caller's.
    agent: usize,
}

impl Interactive {
    /// What makes two requests one sign-in.
    pub(super) fn key(&self) -> SignIn {
        let asked = &self.asked;
        SignIn {
            client: asked.client.clone(),
            provider: Arc::clone(&asked.authority.provider),
            tenant: asked.authority.tenant.clone(),
            scopes: asked.scopes.canonical(),
            scheme: discriminant(&asked.scheme),
            claims: asked.claims.clone(),
            account: self.account.clone(),
            login_hint: self.login_hint.clone(),
            prompt: self.prompt,
            redirect_uri: asked.redirect_uri.clone(),
            extra_parameters: asked.extra_parameters.clone(),
            agent: Arc::as_ptr(&self.agent).addr(),
        }
    }
}

impl Shared {
    /// Waits for the person's attention, then signs in.
    pub(super) async fn sign_in(
        self: Arc<Self>,
        interactive: Interactive,
    ) -> Result<Acquired, AcquireTokenError> {
        let unlocked = self.keys_unlocked(&interactive).await?;
        // While somebody else has the attention, there is time to look the authority up.
        let known = self.metadata.get(&self.ports, &interactive.asked.authority);
        let client = &interactive.asked.client;
        let place = self.screen.queue.place(PromptKind::SignIn, Some(client));
        let at_once = place.at_once();
        let queued = at_once.is_err();
        let (attention, known) = future::try_join(self.attention(at_once), known).await?;
        let waited = queued || unlocked == Asked::ThePerson;
        if waited && let Some(acquired) = self.silently_after_all(&interactive).await {
            return acquired;
        }
        let signed_in = self.shown(&interactive, known).await?;
        // The code is single use, and so may be the refresh token it brings: from here on nothing
        // is left half done, even if everybody who asked is gone.
        let settled = tokio::spawn(async move {
            let acquired = self.signed_in(&interactive, signed_in).await;
            log_outcome(&interactive.asked, &acquired);
            // Only now, so that the next in the queue finds what this sign-in brought.
            drop(attention);
            acquired
        });
        settled
            .await
            .unwrap_or_else(|_| Err(panicked("the sign-in")))
    }

    /// Asks for the PIN of the keys, where this sign-in needs one. Entra's refresh tokens are bound
    /// to none.
    async fn keys_unlocked(
        self: &Arc<Self>,
        interactive: &Interactive,
    ) -> Result<Asked, AcquireTokenError> {
        let asked = &interactive.asked;
        let unbound =
            asked.authority.kind == AuthorityKind::Entra && asked.token_type == TokenType::Bearer;
        if unbound {
            return Ok(Asked::Nobody);
        }
        let unlocked = self
            .unlocked(&*interactive.agent, &*interactive.gate)
            .await?;
        if unlocked == Asked::ThePerson {
            // What was held back for want of the PIN may go on.
            self.throttle.release(|_| true);
        }
        Ok(unlocked)
    }

    /// The person's attention, in the order it was asked for.
    pub(crate) async fn attention(
        &self,
        at_once: Result<Attention, Place>,
    ) -> Result<Attention, AcquireTokenError> {
        let place = match at_once {
            Ok(attention) => return Ok(attention),
            Err(place) => place,
        };
        tracing::info!("{} queued", place.kind());
        let attention = place.in_turn().await;
        attention.ok_or_else(|| panicked("the queue of sign-ins"))
    }

    /// Whoever waited may have what they want by now, through the sign-in they waited for.
    /// `None`: they need one of their own.
    async fn silently_after_all(
        self: &Arc<Self>,
        interactive: &Interactive,
    ) -> Option<Result<Acquired, AcquireTokenError>> {
        if interactive.prompt.is_some() || interactive.asked.claims.is_some() {
            return None;
        }
        let hinted = || {
            interactive
                .login_hint
                .clone()
                .map(AccountSelector::Username)
        };
        let selector = interactive.account.clone().or_else(hinted);
        let selector = selector.unwrap_or(AccountSelector::Only);
        let asked = interactive.asked.clone();
        let found = self.for_account(asked, &selector, CachePolicy::UseCache);
        let acquired = match found.await {
            Ok(silent) => self.acquire(&silent).await,
            // Somebody may be here whose key is away. Whoever signs in need not be that person.
            Err(error) if error.kind() == ErrorKind::KeyUnavailable => return None,
            Err(error) => Err(error),
        };
        match acquired {
            Err(error) if error.interaction_required() => None,
            result => Some(result),
        }
    }
}

/// One line per outcome; names and tokens stay out of it.
pub(crate) fn log_outcome(asked: &Acquisition, outcome: &Result<Acquired, AcquireTokenError>) {
    let (correlation_id, client_id) = (asked.correlation_id, &asked.client);
    match outcome {
        Ok(acquired) => {
            let binding = acquired.hit.token.binding;
            tracing::info!(%correlation_id, %client_id, %binding, "signed in");
        }
        Err(error) => {
            let kind = error.kind().row().name;
            tracing::info!(%correlation_id, %client_id, error = kind, "not signed in");
        }
    }
}
