//! The person's attention: one sign-in at a time has it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::gate::Queue;
use super::queue::SignIn;
use super::replacement::REGISTER;

/// Who has the attention, and what is shown.
#[derive(Default)]
pub(crate) struct Screen {
    /// Who waits for the attention, or has it.
    pub(crate) queue: Queue,
    shown: Mutex<Option<Shown>>,
}

struct Shown {
    sign_in: SignIn,
    /// The registered redirect URI that was replaced.
    replaced: Option<String>,
}

impl Screen {
    /// Takes note of what is shown, until the note is dropped. Only for who has the attention.
    pub(super) fn shows(&self, sign_in: SignIn, replaced: Option<&str>) -> Note<'_> {
        let replaced = replaced.map(str::to_owned);
        *self.lock() = Some(Shown { sign_in, replaced });
        Note(self)
    }

    /// Why this sign-in was not finished within `deadline`, as far as is known.
    pub(super) fn overdue(&self, sign_in: &SignIn, deadline: Duration) -> String {
        let seconds = deadline.as_secs();
        let shown = self.lock();
        let Some(shown) = shown.as_ref().filter(|shown| shown.sign_in == *sign_in) else {
            return format!(
                "the sign-in was not finished within {seconds} s: another one was being shown, or \
                 the authority did not answer"
            );
        };
        let nobody = format!("nobody finished the sign-in within {seconds} s");
        match &shown.replaced {
            None => nobody,
            Some(uri) => format!(
                "{nobody}; its redirect URI {uri} was replaced by http://localhost, because only a \
                 window could intercept it: if the page said AADSTS50011, or named the redirect \
                 URI, {REGISTER}"
            ),
        }
    }

    /// The note is whole after every statement, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Option<Shown>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is shown, while it is.
pub(super) struct Note<'a>(&'a Screen);

impl Drop for Note<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}
