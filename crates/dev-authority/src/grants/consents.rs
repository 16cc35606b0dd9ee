//! Who allowed which client what.

use std::collections::HashMap;

use keyward_oauth::scope::Scopes;

use crate::locked::Locked;
use crate::tenant::{Grant, Tenant};

/// Consents given so far. They last as long as the authority.
#[derive(Default)]
pub(crate) struct Consents(Locked<HashMap<(Tenant, String, String), Scopes>>);

impl Consents {
    /// Whether every scope was consented to.
    pub(crate) fn cover(&self, grant: &Grant) -> bool {
        self.0.with(|given| {
            given
                .get(&key(grant))
                .is_some_and(|given| given.cover(&grant.scopes))
        })
    }

    /// Adds the scopes to what was consented to.
    pub(crate) fn give(&self, grant: &Grant) {
        self.0.with(|given| {
            let scopes = given.entry(key(grant)).or_default();
            *scopes = scopes.union(&grant.scopes);
        });
    }

    /// Takes every consent back.
    pub(crate) fn clear(&self) {
        self.0.with(HashMap::clear);
    }
}

fn key(grant: &Grant) -> (Tenant, String, String) {
    (
        grant.tenant,
        grant.user_name.clone(),
        grant.client_id.to_ascii_lowercase(),
    )
}
