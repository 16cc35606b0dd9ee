//! The PIN of the keys of this device: only the person knows it, so it is asked for where somebody
//! is there to be asked, and never by a silent request.

use std::sync::Arc;

use keyward_oauth::question::{Answer, PinQuestion, Question};
use keyward_oauth::transport::{UserAgent, UserAgentError};

use crate::engine::Shared;
use crate::error::{AcquireTokenError, ErrorKind};
use crate::interactive::{PromptGate, PromptKind};
use crate::ports::{PinRefused, PinWanted};

/// How often it is asked for in a row. The device counts wrong ones, and so do we.
const TRIES: usize = 3;

/// Whether somebody had to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// No key wants a PIN now.
    Nobody,
    /// The keys can be used for a while.
    ThePerson,
}

impl Shared {
    /// Asks for the PIN, if keys want one that is not known.
    ///
    /// # Errors
    ///
    /// When it is not given, or wrong again and again.
    pub(crate) async fn unlocked(
        self: &Arc<Self>,
        agent: &dyn UserAgent,
        gate: &dyn PromptGate,
    ) -> Result<Asked, AcquireTokenError> {
        if self.ports.keys.pin_wanted().await?.is_none() {
            return Ok(Asked::Nobody);
        }
        let place = self.screen.queue.place(PromptKind::Pin, None);
        let _attention = self.attention(place.at_once()).await?;
        // Whoever had the person's attention before may have been given it.
        let Some(wanted) = self.ports.keys.pin_wanted().await? else {
            return Ok(Asked::Nobody);
        };
        gate.admit()?;
        gate.shown();
        let mut refused = None;
        for _ in 0..TRIES {
            let question = question(&wanted, refused.as_ref());
            let answer = agent
                .ask(Question::Pin(question))
                .await
                .map_err(|error| not_given(&error))?;
            let Answer::Pin(pin) = answer else {
                return Err(not_given(&UserAgentError::Canceled));
            };
            match self.ports.keys.unlock(pin).await? {
                Ok(()) => return Ok(Asked::ThePerson),
                Err(why) => refused = Some(why),
            }
        }
        Err(AcquireTokenError::new(
            ErrorKind::UserCanceled,
            "the PIN was wrong again and again; after too many wrong ones the TPM locks itself",
        ))
    }
}

fn question(wanted: &PinWanted, refused: Option<&PinRefused>) -> PinQuestion {
    let purpose = if wanted.new {
        "choose the PIN of the keys on this device"
    } else {
        "use the keys on this device; the TPM counts wrong PINs, and locks itself after too many"
    };
    PinQuestion {
        purpose: purpose.to_owned(),
        device: wanted.device.clone(),
        new: wanted.new,
        wrong: refused.is_some(),
        attempts_left: refused.and_then(|refused| refused.attempts_left),
    }
}

fn not_given(error: &UserAgentError) -> AcquireTokenError {
    let kind = match error {
        UserAgentError::Canceled => ErrorKind::UserCanceled,
        _ => ErrorKind::InteractionRequired,
    };
    AcquireTokenError::new(
        kind,
        format!("the keys on this device want their PIN, which was not given ({error})"),
    )
}

#[cfg(test)]
mod tests;
