//! Where a sitting begins.

use axum::response::Response;
use http::header::SET_COOKIE;

use crate::call::Call;
use crate::reply;
use crate::signin::ask::Ask;
use crate::signin::browsers::{BrowserId, set_cookie};
use crate::signin::finish;
use crate::signin::problem::Refusal;
use crate::signin::prompt::PromptValue;
use crate::signin::show;
use crate::signin::sitting::{Matter, Sitting};
use crate::signin::steps::{self, Step};
use crate::state::State;

/// Begins with what a client asks for. If nothing is left to ask the person, the answer goes
/// straight back.
pub(crate) fn begin(state: &State, call: &Call, ask: &Ask) -> Response {
    let (browser, cookie) = browser(state, call);
    let sitting = Sitting::new(browser, Matter::SignIn(ask.clone()));
    let response = if ask.prompt.has(PromptValue::None) {
        silently(state, call, &sitting, ask)
    } else {
        show::show(state, call, sitting, None)
    };
    with_cookie(state, response, cookie.as_deref())
}

/// Begins with the page for a device's code (RFC 8628 §3.3).
pub(crate) fn begin_with_user_code(state: &State, call: &Call) -> Response {
    let (browser, cookie) = browser(state, call);
    let sitting = Sitting::new(browser, Matter::EnterUserCode);
    let response = show::show(state, call, sitting, None);
    with_cookie(state, response, cookie.as_deref())
}

/// Adds the cookie, if there is a new one.
pub(crate) fn with_cookie(state: &State, response: Response, cookie: Option<&str>) -> Response {
    match cookie {
        Some(cookie) => reply::with_header(response, SET_COOKIE, &set_cookie(state.port, cookie)),
        None => response,
    }
}

/// `prompt=none`: the answer, or the reason why a page would be needed.
fn silently(state: &State, call: &Call, sitting: &Sitting, ask: &Ask) -> Response {
    let refusal = match next_step(state, call, sitting, ask) {
        Step::Done {
            user_name,
            auth_time,
        } => {
            return finish::allow(state, call, ask, (&user_name, auth_time));
        }
        Step::PickAccount(_) => Refusal::SeveralAccounts,
        Step::Consent { .. } => Refusal::ConsentRequired,
        _ => Refusal::LoginRequired,
    };
    finish::refuse(state, call, ask, refusal)
}

/// What comes next, given what is known of the browser and of consents.
pub(crate) fn next_step(state: &State, call: &Call, sitting: &Sitting, ask: &Ask) -> Step {
    let signed_in = state
        .browsers
        .signed_in(call.now, &sitting.browser, ask.tenant);
    let consented = |user_name: &str| state.consents.cover(&ask.grant(user_name, call.now));
    steps::next(ask, &sitting.progress, &signed_in, consented, call.now)
}

fn browser(state: &State, call: &Call) -> (BrowserId, Option<String>) {
    if let Some(browser) = state.browsers.identify(call, state.port) {
        return (browser, None);
    }
    let (browser, cookie) = state.browsers.open(call.now);
    (browser, Some(cookie))
}
