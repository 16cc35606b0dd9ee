//! Sign-out: first everything here goes, then the authority is told, as far as it listens.

use std::sync::Arc;
use std::time::Duration;

use keyward_oauth::identifiers::ClientId;
use keyward_oauth::revocation;

use crate::authority::{Authority, AuthorityKind};
use crate::cache::Cache;
use crate::cache::entity::RefreshTokenEntity;
use crate::cache::key::AccountKey;
use crate::engine::Shared;
use crate::error::{AcquireTokenError, ErrorKind};
use crate::grant_proof::{Grant, send};
use crate::ports::SignOutRequest;
use crate::settle::OpenKey;
use crate::vault::Unwritten;

/// How long all revocations together may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A refresh token that is gone from the vault, and the key it was bound to.
struct Revocable {
    token: Arc<RefreshTokenEntity>,
    key: Option<OpenKey>,
}

impl Shared {
    pub(crate) async fn sign_out(
        self: &Arc<Self>,
        request: SignOutRequest,
    ) -> Result<(), AcquireTokenError> {
        self.vault.look_again().await;
        let accounts: Vec<AccountKey> = {
            let cache = self.vault.cache()?;
            let keys = cache.accounts().map(|account| &account.key);
            keys.filter(|key| key.home == request.account)
                .cloned()
                .collect()
        };
        self.removed(accounts).await?;
        if let Some(why) = self.vault.away() {
            return Err(AcquireTokenError::new(
                ErrorKind::KeyUnavailable,
                format!(
                    "not everything of this account may be gone: {why}; these records may be this \
                     account's: sign it out again when the device is back"
                ),
            ));
        }
        tracing::info!(
            correlation_id = %request.correlation_id,
            client_id = %request.client_id,
            "signed out"
        );
        Ok(())
    }

    /// Signs everybody out and removes every record, also those that cannot be read now.
    pub(crate) async fn forget(self: &Arc<Self>) -> Result<(), AcquireTokenError> {
        self.vault.look_again().await;
        let everybody = {
            let cache = self.vault.cache()?;
            cache
                .accounts()
                .map(|account| account.key.clone())
                .collect()
        };
        self.removed(everybody).await?;
        self.vault.remove_all().await?;
        // Everything is gone; a device that does not answer now keeps nobody from being told so.
        if let Err(error) = self.vault.end_epoch().await {
            tracing::warn!(%error, "a copy of the vault made before all was forgotten may pass");
        }
        tracing::info!("everybody was signed out");
        Ok(())
    }

    /// Removes accounts with everything kept for them.
    async fn removed(self: &Arc<Self>, accounts: Vec<AccountKey>) -> Result<(), AcquireTokenError> {
        for account in accounts {
            // Keys are destroyed with the account; a revocation may need its proof until then.
            let revocable = self.revocable(&account).await?;
            let gone = account.clone();
            self.vault
                .commit(Unwritten::Forget, move |cache: &Cache| {
                    Some(cache.signed_out(&gone))
                })
                .await?;
            if let Err(error) = self.vault.end_epoch().await {
                tracing::warn!(%error, "a copy of the vault made before this sign-out may pass");
            }
            self.throttle.release(|held| held.grant.account == account);
            self.revoke(&account, revocable).await;
        }
        Ok(())
    }

    /// What of an account can be revoked: OpenID providers' refresh tokens. Entra has no
    /// revocation endpoint (`device-binding.md` 4.7).
    async fn revocable(&self, account: &AccountKey) -> Result<Vec<Revocable>, AcquireTokenError> {
        let tokens: Vec<_> = {
            let cache = self.vault.cache()?;
            let openid = |account: &&Arc<_>| is_openid(account);
            let known = cache.account(account).filter(openid);
            let grants = known
                .into_iter()
                .flat_map(|account| cache.grants(&account.key));
            grants
                .flat_map(|(_, grant)| grant.refresh_tokens.clone())
                .collect()
        };
        let mut revocable = Vec::new();
        for token in tokens {
            let key = match &token.key {
                Some(key) => self.open_key(key).await.ok(),
                None => None,
            };
            revocable.push(Revocable { token, key });
        }
        Ok(revocable)
    }

    /// RFC 7009, in a task of its own: signing out succeeded already.
    async fn revoke(self: &Arc<Self>, account: &AccountKey, revocable: Vec<Revocable>) {
        let kind = AuthorityKind::OpenId;
        let Some(authority) = self
            .settings
            .authorities
            .of_provider(kind, &account.provider)
        else {
            return;
        };
        let shared = Arc::clone(self);
        let revocations = tokio::spawn(async move {
            for one in revocable {
                if let Err(error) = shared.revoke_one(&authority, &one).await {
                    tracing::info!(%error, "a refresh token could not be revoked; it is forgotten");
                    return;
                }
            }
        });
        let _ = tokio::time::timeout(PATIENCE, revocations).await;
    }

    async fn revoke_one(
        &self,
        authority: &Authority,
        revocable: &Revocable,
    ) -> Result<(), AcquireTokenError> {
        let known = self.metadata.get(&self.ports, authority).await?;
        let Some(endpoint) = &known.metadata.revocation_endpoint else {
            return Ok(());
        };
        let client_id: &ClientId = &revocable.token.grant.client;
        let grant = Grant::Revocation {
            endpoint,
            client_id,
            token: &revocable.token.secret,
        };
        let proof = self.proof(authority, revocable.key.as_ref());
        let response = send(&self.ports, &*proof, grant).await?;
        tracing::debug!(%client_id, revoked = revocation::succeeded(&response), "revocation");
        Ok(())
    }
}

fn is_openid(account: &crate::cache::entity::Account) -> bool {
    account.kind == AuthorityKind::OpenId
}

#[cfg(test)]
mod tests;
