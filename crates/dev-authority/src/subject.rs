//! Whom a request is about, found before it is handled and without using anything up: faults are
//! aimed by it, and the log shows it. A guess by unverified words, never a decision.

use http::header::AUTHORIZATION;
use keyward_jose::jws::Unverified;
use keyward_jose::jwt::Claims;
use serde_json::Value;

use crate::call::Call;
use crate::faults::Subject;
use crate::route::Route;
use crate::state::State;

/// Whom a request is about.
pub(crate) fn of(state: &State, call: &Call, route: &Route) -> Subject {
    let mut subject = Subject {
        tenant: route.tenant(),
        ..Subject::default()
    };
    match route {
        Route::SignIn => by_sitting(state, call, &mut subject),
        _ if route.fault_endpoint() == Some(crate::faults::Endpoint::Api) => {
            by_access_token(call, &mut subject);
        }
        _ => by_parameters(state, call, &mut subject),
    }
    subject
}

fn by_parameters(state: &State, call: &Call, subject: &mut Subject) {
    let parameters = call.parameters();
    let text = |name| parameters.get(name).map(str::to_owned);
    subject.client_id = text("client_id");
    subject.grant_type = text("grant_type");
    let now = call.now;
    let family = |token| {
        state
            .refresh_tokens
            .family_of(token)
            .map(|(_, family)| family)
    };
    let by_refresh_token = |name| {
        parameters
            .get(name)
            .and_then(family)
            .map(|family| family.grant.user_name)
    };
    subject.user = by_refresh_token("refresh_token")
        .or_else(|| by_refresh_token("token"))
        .or_else(|| {
            parameters
                .get("code")
                .and_then(|code| state.codes.user_of(now, code))
        })
        .or_else(|| {
            parameters
                .get("device_code")
                .and_then(|code| state.devices.user_of(now, code))
        })
        .or_else(|| text("login_hint"));
}

fn by_sitting(state: &State, call: &Call, subject: &mut Subject) {
    let sitting = call
        .form
        .get("flow")
        .and_then(|flow| state.sittings.peek(call.now, flow));
    let (ask, chosen) = sitting.unwrap_or_default();
    subject.user = chosen
        .map(|chosen| chosen.user_name)
        .or_else(|| call.form.get("loginfmt").map(str::to_owned));
    if let Some(ask) = ask {
        subject.user = subject.user.take().or(ask.login_hint);
        subject.client_id = Some(ask.client_id);
        subject.tenant = Some(ask.tenant);
    }
}

/// The access token shown; a signed request has it inside.
fn by_access_token(call: &Call, subject: &mut Subject) {
    let header = call.header(AUTHORIZATION.as_str()).unwrap_or_default();
    let token = header.split_once(' ').map_or("", |(_, token)| token.trim());
    let Some(mut claims) = unverified_claims(token) else {
        return;
    };
    if let Some(inner) = claims
        .get("at")
        .and_then(Value::as_str)
        .and_then(unverified_claims)
    {
        claims = inner;
    }
    let text = |name| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    subject.user = text("preferred_username");
    subject.client_id = text("azp").or_else(|| text("client_id"));
}

fn unverified_claims(token: &str) -> Option<Claims> {
    let token = Unverified::parse(token).ok()?;
    Claims::parse(token.unverified_payload()).ok()
}
