//! Records that are there and cannot be read, because the device key that seals them is gone or
//! away: who asks for an account that is not found is told, and what may come back is looked for
//! again.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use keyward_oauth::time::UnixTime;

use super::{Contents, Unwritten, Vault};
use crate::binding::KeyProtection;
use crate::cache::{Cache, Edit};
use crate::error::{AcquireTokenError, ErrorKind};
use crate::ports::StoreError;

/// How often a device that is away is asked whether it is back.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What keeps records from being read.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    /// By keys that are gone for good.
    lost: Vec<StoreError>,
    /// By keys that cannot be used now.
    away: Vec<StoreError>,
    looked: Option<UnixTime>,
}

impl Sealed {
    /// Sorts out what is about device keys. The rest is given back.
    pub(super) fn among(problems: Vec<StoreError>) -> (Self, Vec<StoreError>) {
        let mut sealed = Self::default();
        let mut others = Vec::new();
        for problem in problems {
            match problem {
                StoreError::KeyLost { .. } => sealed.lost.push(problem),
                StoreError::KeyUnavailable { .. } => sealed.away.push(problem),
                other => others.push(other),
            }
        }
        (sealed, others)
    }

    /// In plain words.
    pub(super) fn problems(&self) -> Vec<String> {
        let all = self.lost.iter().chain(&self.away);
        all.map(ToString::to_string).collect()
    }
}

impl Vault {
    /// A device has lost a key. What it sealed is sealed anew, unless it can still open that: a
    /// sign-in must not be lost once more at the next start.
    pub(crate) async fn seal_anew(self: &Arc<Self>, protection: KeyProtection) {
        let sealed_anew = match self.ports.records.give_up_lost(protection).await {
            Ok(false) => return,
            Ok(true) => {
                let plan = move |cache: &Cache| {
                    let entities = cache.protected_by(protection);
                    Some(entities.into_iter().map(Edit::Put).collect())
                };
                self.commit(Unwritten::Forget, plan).await.map(drop)
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = sealed_anew {
            tracing::warn!(%error, "what a lost key sealed could not be sealed anew");
        }
    }

    /// Why somebody may not be found who is signed in. `None`: who is not found is not here.
    pub(crate) fn unfindable(&self) -> Option<AcquireTokenError> {
        let contents = self.contents.read().unwrap_or_else(PoisonError::into_inner);
        let Sealed { lost, away, .. } = &contents.sealed;
        let away = away.iter().map(|error| (ErrorKind::KeyUnavailable, error));
        let lost = lost
            .iter()
            .map(|error| (ErrorKind::InteractionRequired, error));
        // What may come back first: nobody is to sign in for want of patience.
        let (kind, why) = away.chain(lost).next()?;
        Some(AcquireTokenError::new(kind, why.to_string()))
    }

    /// What keeps records from being read that may be read later, if any are.
    pub(crate) fn away(&self) -> Option<StoreError> {
        let contents = self.contents.read().unwrap_or_else(PoisonError::into_inner);
        contents.sealed.away.first().cloned()
    }

    /// Reads what could not be read before, if a device was away and it was not asked just now.
    /// Whether anything came of it.
    pub(crate) async fn look_again(&self) -> bool {
        if !self.is_worth_looking() {
            return false;
        }
        let _writing = self.writing.lock().await;
        // Whoever had the lock before us may have looked.
        if !self.is_worth_looking() {
            return true;
        }
        let loaded = self.load().await;
        let mut contents = self
            .contents
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        contents.sealed.looked = Some(self.ports.clock.now());
        let Ok(loaded) = loaded else {
            return false;
        };
        let Contents { cache, .. } = &mut *contents;
        // What is there stays as it is: a renewal may be at work on it.
        let new: Vec<Edit> = loaded
            .entities
            .into_iter()
            .filter(|entity| !cache.holds(&entity.key()))
            .map(Edit::Put)
            .collect();
        let found = !new.is_empty();
        cache.absorb(new);
        contents.note(loaded.problems);
        contents.sealed.looked = Some(self.ports.clock.now());
        found
    }

    fn is_worth_looking(&self) -> bool {
        let contents = self.contents.read().unwrap_or_else(PoisonError::into_inner);
        let Sealed { away, looked, .. } = &contents.sealed;
        let now = self.ports.clock.now();
        let long_ago = |looked: &UnixTime| now < *looked || now >= looked.plus(LOOK_AGAIN);
        contents.state.is_ok() && !away.is_empty() && looked.as_ref().is_none_or(long_ago)
    }
}
