//! Which page shows a step.

use axum::response::Response;

use crate::call::Call;
use crate::pages;
use crate::reply;
use crate::signin::finish;
use crate::signin::problem::Problem;
use crate::signin::sitting::{Matter, Sitting};
use crate::signin::start::next_step;
use crate::signin::steps::Step;
use crate::state::State;

/// Shows the page for what comes next, with what went wrong before; if nothing is left to ask,
/// finishes.
pub(crate) fn show(
    state: &State,
    call: &Call,
    sitting: Sitting,
    problem: Option<&Problem>,
) -> Response {
    let alert = problem.map(|problem| problem.alert(sitting.ask().map(|ask| ask.tenant)));
    let page = match &sitting.matter {
        Matter::EnterUserCode => pages::user_code(&sitting, typed_user_code(call), alert.as_ref()),
        Matter::SignIn(ask) => match next_step(state, call, &sitting, ask) {
            Step::CreateAccount => pages::create_account(&sitting, alert.as_ref()),
            Step::PickAccount(accounts) => pages::pick_account(&sitting, &accounts),
            Step::UserName => {
                let typed = call.form.get("loginfmt").or(ask.login_hint.as_deref());
                let typed = if sitting.progress.wants_other {
                    None
                } else {
                    typed
                };
                pages::user_name(&sitting, typed.unwrap_or_default(), alert.as_ref())
            }
            Step::Password { user_name } => pages::password(&sitting, &user_name, alert.as_ref()),
            Step::ChangePassword { user_name } => {
                pages::change_password(&sitting, &user_name, alert.as_ref())
            }
            Step::Consent { user_name } => pages::consent(&sitting, &user_name),
            Step::Done {
                user_name,
                auth_time,
            } => {
                return finish::allow(state, call, ask, (&user_name, auth_time));
            }
        },
    };
    state.sittings.put(call.now, sitting);
    match alert {
        Some(alert) => reply::outcome(page, alert.code),
        None => page,
    }
}

/// The name of the page that shows a step, as its form sends it back.
pub(crate) const fn page_of(step: &Step) -> &'static str {
    match step {
        Step::CreateAccount => "create-account",
        Step::PickAccount(_) => "account-picker",
        Step::UserName => "user-name",
        Step::Password { .. } => "password",
        Step::ChangePassword { .. } => "change-password",
        Step::Consent { .. } => "consent",
        Step::Done { .. } => "done",
    }
}

/// What the person typed, or what the link said (`verification_uri_complete`, RFC 8628 §3.3.1).
fn typed_user_code(call: &Call) -> &str {
    call.form
        .get("otc")
        .or_else(|| call.query.get("user_code"))
        .or_else(|| call.query.get("otc"))
        .unwrap_or_default()
}
