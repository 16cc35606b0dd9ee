//! A redirect URI that only a window could intercept is replaced by loopback. An authority that
//! refuses that says so on a page, and nobody would ever come back: so it is asked beforehand, in a
//! request nobody sees (`prompt=none`).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyward_oauth::authorization_code::AuthorizationRequest;
use keyward_oauth::authorization_code::rehearsal::{Verdict, rehearsal, verdict};
use keyward_oauth::identifiers::ClientId;

use crate::acquisition::Acquisition;
use crate::authority_metadata::Known;
use crate::engine::Shared;
use crate::error::{AcquireTokenError, ErrorKind};
use crate::failure::said;

/// What mends a refusal.
pub(super) const REGISTER: &str = "register http://localhost for the application, as a redirect \
                                   URI of mobile and desktop applications";
/// How long the person waits for the authority's word.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most clients and authorities remembered; beyond, all are asked again.
const MOST: usize = 1024;

/// Clients whose loopback redirect URI an authority answered at, with the authority's issuer.
#[derive(Default)]
pub(crate) struct Replacements(Mutex<HashSet<(ClientId, Arc<str>)>>);

impl Replacements {
    /// The set is consistent after every statement, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashSet<(ClientId, Arc<str>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Refuses a sign-in whose replaced redirect URI the authority refuses. Whatever it says beside
    /// that, and silence too, is for the person to see.
    pub(super) async fn replacement_allowed(
        &self,
        asked: &Acquisition,
        known: &Known,
        request: &AuthorizationRequest<'_>,
    ) -> Result<(), AcquireTokenError> {
        let Some(replaced) = request.redirect_uri.replaced() else {
            return Ok(());
        };
        let place = (asked.client.clone(), Arc::clone(&asked.authority.issuer));
        if self.replacements.lock().contains(&place) {
            return Ok(());
        }
        match self.rehearsed(known, request).await {
            Verdict::Unsaid => Ok(()),
            Verdict::Allowed => {
                let mut allowed = self.replacements.lock();
                if allowed.len() >= MOST {
                    allowed.clear();
                }
                allowed.insert(place);
                Ok(())
            }
            Verdict::Refused(refusal) => {
                let what = format!(
                    "the authority refuses http://localhost, which takes the place of the redirect \
                     URI {replaced} because only a window could intercept that; {REGISTER}"
                );
                let error = asked.error(ErrorKind::IncorrectConfiguration, &what);
                Err(error.with_authority(said(&refusal)))
            }
        }
    }

    async fn rehearsed(&self, known: &Known, request: &AuthorizationRequest<'_>) -> Verdict {
        let asked = rehearsal(&known.metadata, request, &mut |bytes| {
            self.ports.random.fill(bytes);
        });
        let answer = tokio::time::timeout(PATIENCE, self.ports.http.send(asked)).await;
        match answer {
            Ok(Ok(answer)) => {
                let endpoint = &known.metadata.authorization_endpoint;
                verdict(&answer, endpoint, request.redirect_uri.url())
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "the authority says nothing about the redirect URI");
                Verdict::Unsaid
            }
            Err(_) => Verdict::Unsaid,
        }
    }
}
