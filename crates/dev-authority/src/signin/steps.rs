//! What comes next in a sitting. Nothing else decides that.

use keyward_oauth::time::UnixTime;

use crate::signin::ask::Ask;
use crate::signin::browsers::SignedIn;
use crate::signin::prompt::PromptValue;
use crate::signin::sitting::{Chosen, Progress};

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    CreateAccount,
    PickAccount(Vec<SignedIn>),
    UserName,
    Password {
        user_name: String,
    },
    ChangePassword {
        user_name: String,
    },
    Consent {
        user_name: String,
    },
    /// The person has allowed it.
    Done {
        user_name: String,
        auth_time: UnixTime,
    },
}

/// Decides what comes next: first who it is, then the proof, then the permission.
///
/// `signed_in` are the accounts of this browser in this tenant; `consented` says whether somebody
/// has allowed this client these scopes before.
pub(crate) fn next(
    ask: &Ask,
    progress: &Progress,
    signed_in: &[SignedIn],
    consented: impl Fn(&str) -> bool,
    now: UnixTime,
) -> Step {
    let chosen = match &progress.chosen {
        Some(chosen) => chosen.clone(),
        None => match choose(ask, progress, signed_in, now) {
            Choice::Chosen(chosen) => chosen,
            Choice::Ask(step) => return step,
        },
    };
    let Chosen {
        user_name,
        auth_time,
    } = chosen;
    if progress.must_change_password {
        return Step::ChangePassword { user_name };
    }
    let Some(auth_time) = auth_time else {
        return Step::Password { user_name };
    };
    let allowed = progress.consented || (consented(&user_name) && !ask.insists_on_consent());
    if allowed {
        Step::Done {
            user_name,
            auth_time,
        }
    } else {
        Step::Consent { user_name }
    }
}

enum Choice {
    Chosen(Chosen),
    Ask(Step),
}

/// Finds the account to use without asking, or the page to ask with.
fn choose(ask: &Ask, progress: &Progress, signed_in: &[SignedIn], now: UnixTime) -> Choice {
    let prompt = &ask.prompt;
    if prompt.has(PromptValue::Create) {
        return Choice::Ask(Step::CreateAccount);
    }
    if progress.wants_other || prompt.has(PromptValue::Login) || signed_in.is_empty() {
        return Choice::Ask(Step::UserName);
    }
    if prompt.has(PromptValue::SelectAccount) {
        return Choice::Ask(Step::PickAccount(signed_in.to_vec()));
    }
    match (&ask.login_hint, signed_in) {
        (Some(hint), all) => match all.iter().find(|one| is_named(one, hint)) {
            Some(one) => Choice::Chosen(resume(ask, one, now)),
            None => Choice::Ask(Step::UserName),
        },
        (None, [one]) => Choice::Chosen(resume(ask, one, now)),
        (None, all) => Choice::Ask(Step::PickAccount(all.to_vec())),
    }
}

/// Uses an account that is signed in. The password is asked again if the client wants that, or if
/// it was shown too long ago.
pub(crate) fn resume(ask: &Ask, one: &SignedIn, now: UnixTime) -> Chosen {
    let recent = ask
        .max_age
        .is_none_or(|max_age| now.since(one.auth_time) <= max_age);
    let auth_time = (recent && !ask.prompt.has(PromptValue::Login)).then_some(one.auth_time);
    Chosen {
        user_name: one.user_name.clone(),
        auth_time,
    }
}

fn is_named(one: &SignedIn, hint: &str) -> bool {
    one.user_name.eq_ignore_ascii_case(hint)
}

#[cfg(test)]
mod tests;
