//! Taking in what a person sent from a page.

use axum::response::Response;

use crate::call::Call;
use crate::pages::{self, Alert};
use crate::reply;
use crate::secrecy;
use crate::signin::ask::{Ask, Purpose};
use crate::signin::browsers::SignedIn;
use crate::signin::finish;
use crate::signin::problem::{Problem, Refusal};
use crate::signin::prompt::{Prompt, PromptValue};
use crate::signin::show::{self, page_of};
use crate::signin::sitting::{Chosen, Matter, Sitting};
use crate::signin::start::{next_step, with_cookie};
use crate::signin::steps;
use crate::state::State;
use crate::users::{Refused, User};

/// What a form did.
enum Effect {
    /// Go on with whatever comes next.
    Continue,
    /// A person has shown a password: the browser gets a new cookie.
    SignedIn(User),
    Problem(Problem),
    Refuse(Refusal),
}

/// Handles a form of any page.
pub(crate) fn answer(state: &State, call: &Call) -> Response {
    let Some(mut sitting) = take_up(state, call) else {
        return no_longer_valid();
    };
    let effect = match current_page(state, call, &sitting) {
        page if call.form.get("page") == Some(page) => apply(state, call, &mut sitting, page),
        // An older page, sent again: the current one is shown.
        _ => Effect::Continue,
    };
    match effect {
        Effect::Continue => show::show(state, call, sitting, None),
        Effect::Problem(problem) => show::show(state, call, sitting, Some(&problem)),
        Effect::SignedIn(user) => {
            let cookie = sign_in(state, call, &mut sitting, &user);
            with_cookie(
                state,
                show::show(state, call, sitting, None),
                cookie.as_deref(),
            )
        }
        Effect::Refuse(refusal) => match sitting.ask() {
            Some(ask) => finish::refuse(state, call, ask, refusal),
            None => no_longer_valid(),
        },
    }
}

/// Takes up the sitting a form belongs to, if it comes from the browser that got the form and
/// from no other site's page.
fn take_up(state: &State, call: &Call) -> Option<Sitting> {
    let browser = state.browsers.identify(call, state.port)?;
    let sitting = state.sittings.take(call.now, call.form.get("flow")?)?;
    let canary = call.form.get("canary").unwrap_or_default();
    if sitting.browser == browser && secrecy::equal(&sitting.canary, canary) {
        return Some(sitting);
    }
    state.sittings.put(call.now, sitting);
    None
}

fn current_page(state: &State, call: &Call, sitting: &Sitting) -> &'static str {
    match &sitting.matter {
        Matter::EnterUserCode => "user-code",
        Matter::SignIn(ask) => page_of(&next_step(state, call, sitting, ask)),
    }
}

fn apply(state: &State, call: &Call, sitting: &mut Sitting, page: &str) -> Effect {
    let action = call.form.get("action");
    if action == Some("cancel") {
        return Effect::Refuse(Refusal::Canceled);
    }
    match page {
        "user-code" => user_code(state, call, sitting),
        "user-name" => user_name(state, call, sitting, action),
        "password" if action == Some("back") => {
            sitting.progress.chosen = None;
            sitting.progress.wants_other = true;
            Effect::Continue
        }
        "password" => password(state, call, sitting),
        "change-password" => change_password(state, call, sitting),
        "create-account" => create_account(state, call),
        "account-picker" => pick_account(state, call, sitting, action),
        "consent" => consent(sitting, action),
        _ => Effect::Continue,
    }
}

/// The person typed a device's code.
fn user_code(state: &State, call: &Call, sitting: &mut Sitting) -> Effect {
    let typed = call.form.get("otc").unwrap_or_default();
    let Some(request) = state.devices.find(call.now, typed) else {
        return Effect::Problem(Problem::UnknownUserCode);
    };
    sitting.turn_to(Ask {
        tenant: request.tenant,
        client_id: request.client_id,
        scopes: request.scopes,
        prompt: Prompt::default(),
        login_hint: None,
        max_age: None,
        purpose: Purpose::Device {
            user_code: typed.to_owned(),
        },
    });
    Effect::Continue
}

fn user_name(state: &State, call: &Call, sitting: &mut Sitting, action: Option<&str>) -> Effect {
    sitting.progress.wants_other = false;
    if action == Some("create") {
        if let Matter::SignIn(ask) = &mut sitting.matter {
            ask.prompt.add(PromptValue::Create);
        }
        return Effect::Continue;
    }
    let typed = call.form.get("loginfmt").unwrap_or_default().trim();
    match state.users.find(typed) {
        Some(user) => {
            sitting.progress.chosen = Some(Chosen {
                user_name: user.user_name,
                auth_time: None,
            });
            Effect::Continue
        }
        None => Effect::Problem(Problem::UnknownUser(typed.to_owned())),
    }
}

fn password(state: &State, call: &Call, sitting: &mut Sitting) -> Effect {
    let Some(chosen) = &sitting.progress.chosen else {
        return Effect::Continue;
    };
    let given = call.form.get("passwd").unwrap_or_default();
    match state.users.authenticate(&chosen.user_name, given) {
        Ok(user) => Effect::SignedIn(user),
        Err(Refused::MustChangePassword) => {
            sitting.progress.must_change_password = true;
            Effect::Problem(Problem::Refused(Refused::MustChangePassword))
        }
        Err(refused) => Effect::Problem(Problem::Refused(refused)),
    }
}

fn change_password(state: &State, call: &Call, sitting: &mut Sitting) -> Effect {
    let Some(chosen) = &sitting.progress.chosen else {
        return Effect::Continue;
    };
    let field = |name| call.form.get(name).unwrap_or_default();
    let (old, new) = (field("oldpasswd"), field("newpasswd"));
    if new.is_empty() || new == old || new != field("confirmnewpasswd") {
        return Effect::Problem(Problem::UnfitPassword);
    }
    match state.users.change_password(&chosen.user_name, old, new) {
        Ok(user) => {
            sitting.progress.must_change_password = false;
            // Whoever knew the old password loses what it was used for.
            state.refresh_tokens.revoke_user(&user.user_name);
            Effect::SignedIn(user)
        }
        Err(refused) => Effect::Problem(Problem::Refused(refused)),
    }
}

fn create_account(state: &State, call: &Call) -> Effect {
    let field = |name| call.form.get(name).unwrap_or_default();
    let (name, password) = (field("newname"), field("newpasswd"));
    match state.users.create(field("newloginfmt"), name, password) {
        Some(user) => Effect::SignedIn(user),
        None => Effect::Problem(Problem::UnfitUserName),
    }
}

fn pick_account(state: &State, call: &Call, sitting: &mut Sitting, action: Option<&str>) -> Effect {
    let Matter::SignIn(ask) = &sitting.matter else {
        return Effect::Continue;
    };
    if action == Some("other") {
        sitting.progress.wants_other = true;
        return Effect::Continue;
    }
    let offered = state
        .browsers
        .signed_in(call.now, &sitting.browser, ask.tenant);
    let picked = call.form.get("account").unwrap_or_default();
    if let Some(one) = offered.iter().find(|one| one.user_name == picked) {
        sitting.progress.chosen = Some(steps::resume(ask, one, call.now));
    }
    Effect::Continue
}

fn consent(sitting: &mut Sitting, action: Option<&str>) -> Effect {
    match action {
        Some("accept") => {
            sitting.progress.consented = true;
            Effect::Continue
        }
        Some("deny") => Effect::Refuse(Refusal::Declined),
        _ => Effect::Continue,
    }
}

/// Notes that a person has shown a password, in this browser and in this sitting.
fn sign_in(state: &State, call: &Call, sitting: &mut Sitting, user: &User) -> Option<String> {
    let tenant = sitting.ask()?.tenant;
    let (user_name, auth_time) = (user.user_name.clone(), call.now);
    sitting.progress.chosen = Some(Chosen {
        user_name: user_name.clone(),
        auth_time: Some(auth_time),
    });
    let who = SignedIn {
        tenant,
        user_name,
        auth_time,
    };
    Some(state.browsers.sign_in(call.now, &sitting.browser, who))
}

fn no_longer_valid() -> Response {
    let alert = Alert {
        code: "page_expired".to_owned(),
        text: "This page is no longer valid. Start again from the application.".to_owned(),
    };
    reply::outcome(pages::error(&alert, &[]), "page_expired")
}
