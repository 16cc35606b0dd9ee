//! Which refresh token is bound to which key.

use std::sync::Arc;

use crate::authority::AuthorityKind;
use crate::cache::Cache;
use crate::cache::entity::{Account, RefreshTokenEntity};
use crate::engine::Shared;
use crate::manage::BoundAccount;

impl Shared {
    /// Every refresh token there is and its key, without the token. Nothing while the vault is not
    /// open: what is wrong is among the problems.
    pub(crate) fn bound_accounts(&self) -> Vec<BoundAccount> {
        let Ok(cache) = self.vault.cache() else {
            return Vec::new();
        };
        let tokens = cache.accounts().flat_map(|account| of(&cache, account));
        let mut bound: Vec<_> = tokens
            .filter_map(|(account, token)| bound(account, token))
            .collect();
        let place = |one: &BoundAccount| {
            let BoundAccount {
                username,
                authority,
                client_id,
                ..
            } = one;
            (
                username.clone(),
                authority.clone(),
                client_id.clone(),
                one.key.clone(),
            )
        };
        bound.sort_by_key(place);
        bound
    }
}

fn of<'a>(
    cache: &'a Cache,
    account: &'a Arc<Account>,
) -> impl Iterator<Item = (&'a Account, &'a RefreshTokenEntity)> {
    let grants = cache.grants(&account.key);
    let tokens = grants.flat_map(|(_, grant)| &grant.refresh_tokens);
    tokens.map(move |token| (&**account, &**token))
}

/// A refresh token as it is listed.
pub(crate) fn bound(account: &Account, token: &RefreshTokenEntity) -> Option<BoundAccount> {
    let profile = account.home_profile()?;
    Some(BoundAccount {
        username: profile.username.clone(),
        home_account_id: account.key.home.as_str().to_owned(),
        authority: match account.kind {
            AuthorityKind::OpenId => account.key.provider.to_string(),
            AuthorityKind::Entra => profile.issuer.clone(),
        },
        client_id: token.grant.client.as_str().to_owned(),
        binding: token.binding,
        key_protection: token.key_protection,
        key: token.key.as_ref().map(|key| key.as_str().to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use crate::binding::{Binding, KeyProtection};
    use crate::testing::{Binds, World};

    #[tokio::test]
    async fn every_refresh_token_is_listed_with_its_key_and_without_itself() {
        let world = World::openid(Binds::RefreshTokens).await.signed_in().await;
        let bob = world.sign_in("bob").await.unwrap().account;
        let bound = world.engine.bound_accounts();
        let names: Vec<_> = bound.iter().map(|one| one.username.as_str()).collect();
        assert_eq!(names, ["alice@dev.test", "bob@dev.test"]);
        let alice = &bound[0];
        assert_eq!(bound[1].home_account_id, bob.home_account_id.as_str());
        assert_eq!(alice.client_id, "app");
        assert_eq!(alice.binding, Binding::SealedAtRest);
        assert_eq!(alice.key_protection, KeyProtection::Software);
        assert_ne!(alice.key, bound[1].key);
        let held = world.keys.held.lock().unwrap();
        let of_alice = alice.key.as_deref();
        assert!(held.keys().any(|key| Some(key.as_str()) == of_alice));
    }
}
