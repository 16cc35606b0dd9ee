//! What authorities say about themselves, fetched once per issuer and kept for a day.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use url::Url;

use keyward_oauth::issuer::{Issuer, IssuerRule};
use keyward_oauth::jose::JwkSet;
use keyward_oauth::metadata::{self, Metadata};
use keyward_oauth::time::UnixTime;
use keyward_oauth::token_request::Dialect;

use crate::authority::{Authority, AuthorityKind};
use crate::error::{AcquireTokenError, ErrorKind};
use crate::ports::Ports;
use crate::single_flight::{Abandoned, SingleFlight};

/// How long metadata and keys are used before they are fetched again.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How often an unknown key may make us fetch the keys again.
const FLOOR: Duration = Duration::from_secs(60);
/// The most issuers remembered: an application may name any number of Entra's tenants.
const MOST: usize = 128;

/// The metadata and keys of one authority.
#[derive(Debug)]
pub struct Known {
    /// Its metadata; the issuer is the one asked for.
    pub metadata: Metadata,
    /// Its signing keys.
    pub keys: JwkSet,
    fetched_at: UnixTime,
    /// When an unknown key last made us fetch the keys.
    keys_renewed_at: Option<UnixTime>,
}

/// What authorities said, by issuer.
pub struct AuthorityMetadata {
    known: Arc<Mutex<HashMap<Arc<str>, Arc<Known>>>>,
    fetches: SingleFlight<Arc<str>, Result<Arc<Known>, AcquireTokenError>>,
}

impl Default for AuthorityMetadata {
    fn default() -> Self {
        Self {
            known: Arc::default(),
            fetches: SingleFlight::new(Abandoned::Finish),
        }
    }
}

impl AuthorityMetadata {
    /// The metadata and keys of an authority.
    ///
    /// # Errors
    ///
    /// When they are needed and cannot be had. If they were had before, those are used on: an
    /// outage of the metadata must not be one of the authority.
    pub async fn get(
        &self,
        ports: &Ports,
        authority: &Authority,
    ) -> Result<Arc<Known>, AcquireTokenError> {
        let now = ports.clock.now();
        let old = lock(&self.known).get(&authority.issuer).cloned();
        if let Some(known) = &old
            && now.since(known.fetched_at) < LIFETIME
            && known.fetched_at.since(now) < LIFETIME
        {
            return Ok(Arc::clone(known));
        }
        match (
            self.once(authority, fetch(ports.clone(), authority.clone()))
                .await,
            old,
        ) {
            (Err(error), Some(old)) => {
                tracing::warn!(%error, issuer = %authority.issuer, "using metadata of yesterday");
                Ok(old)
            }
            (result, _) => result,
        }
    }

    /// The keys again, because a token is signed by one that is not among `seen`. At most once in a
    /// while, so that nobody makes us ask for ever.
    ///
    /// # Errors
    ///
    /// When they cannot be fetched.
    pub async fn newer_keys(
        &self,
        ports: &Ports,
        authority: &Authority,
        seen: &Arc<Known>,
    ) -> Result<Arc<Known>, AcquireTokenError> {
        let now = ports.clock.now();
        let current = lock(&self.known).get(&authority.issuer).cloned();
        let current = current.unwrap_or_else(|| Arc::clone(seen));
        let too_early = current
            .keys_renewed_at
            .is_some_and(|at| now.since(at) < FLOOR);
        if !Arc::ptr_eq(&current, seen) || too_early {
            return Ok(current);
        }
        self.once(authority, renew_keys(ports.clone(), current))
            .await
    }

    /// One fetch per issuer at a time; whoever comes meanwhile gets the same answer.
    async fn once(
        &self,
        authority: &Authority,
        work: impl Future<Output = Result<Known, AcquireTokenError>> + Send + 'static,
    ) -> Result<Arc<Known>, AcquireTokenError> {
        let known = Arc::clone(&self.known);
        let issuer = Arc::clone(&authority.issuer);
        let fetched = self.fetches.join(Arc::clone(&issuer), || async move {
            let fresh = Arc::new(work.await?);
            remember(&mut lock(&known), issuer, &fresh);
            Ok(fresh)
        });
        let panicked =
            || AcquireTokenError::new(ErrorKind::Unexpected, "fetching the metadata panicked");
        fetched.await.unwrap_or_else(|| Err(panicked()))
    }
}

async fn fetch(ports: Ports, authority: Authority) -> Result<Known, AcquireTokenError> {
    let now = ports.clock.now();
    let url = Url::parse(&authority.issuer).map_err(|_| unusable(&authority))?;
    let answer = ports.http.send(metadata::request(&url)).await?;
    let metadata = Metadata::read(&answer, &expected(&authority)?)?;
    let answer = ports.http.send(metadata::jwks_request(&metadata)).await?;
    Ok(Known {
        keys: metadata::read_jwks(&answer)?,
        metadata,
        fetched_at: now,
        keys_renewed_at: None,
    })
}

async fn renew_keys(ports: Ports, old: Arc<Known>) -> Result<Known, AcquireTokenError> {
    let request = metadata::jwks_request(&old.metadata);
    let keys = metadata::read_jwks(&ports.http.send(request).await?)?;
    Ok(Known {
        metadata: old.metadata.clone(),
        keys,
        fetched_at: old.fetched_at,
        keys_renewed_at: Some(ports.clock.now()),
    })
}

/// What the document must call itself.
fn expected(authority: &Authority) -> Result<IssuerRule, AcquireTokenError> {
    Ok(match authority.kind {
        AuthorityKind::OpenId => {
            IssuerRule::Exact(Issuer::parse(&authority.issuer).map_err(|_| unusable(authority))?)
        }
        AuthorityKind::Entra => IssuerRule::Entra {
            origins: vec![authority.provider.to_string()],
            tenant: authority.tenant.to_string(),
        },
    })
}

fn unusable(authority: &Authority) -> AcquireTokenError {
    AcquireTokenError::new(
        ErrorKind::IncorrectConfiguration,
        format!(
            "the issuer {} is not an https URL without query",
            authority.issuer
        ),
    )
}

fn remember(known: &mut HashMap<Arc<str>, Arc<Known>>, issuer: Arc<str>, fresh: &Arc<Known>) {
    if known.len() >= MOST
        && !known.contains_key(&issuer)
        && let Some(oldest) = known.iter().min_by_key(|(_, known)| known.fetched_at)
    {
        let oldest = Arc::clone(oldest.0);
        known.remove(&oldest);
    }
    known.insert(issuer, Arc::clone(fresh));
}

/// How messages to this authority are written.
pub fn dialect(authority: &Authority) -> Dialect {
    match authority.kind {
        AuthorityKind::Entra => Dialect::Entra,
        AuthorityKind::OpenId => Dialect::OpenId,
    }
}

/// The map is consistent after every statement, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
