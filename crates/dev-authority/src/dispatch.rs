//! The way of every request: read it, find out whom it is about, let scripted faults have their
//! way, hand it to its endpoint, note what came of it.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::header::DATE;
use http::{HeaderValue, Method, Request};
use serde_json::json;
use tokio::sync::watch;

use crate::calendar::http_date;
use crate::call::Call;
use crate::clock::skewed;
use crate::ending::{self, Unanswered};
use crate::entra;
use crate::faults::{Ending, Plan, Subject};
use crate::oidc;
use crate::origin::Scheme;
use crate::pages;
use crate::reply::{self, Outcome};
use crate::request_log::LogEntry;
use crate::route::{EntraEndpoint, OidcEndpoint, Route};
use crate::signin::{answer, start};
use crate::state::State;
use crate::tenant::{EntraName, Tenant};
use crate::{admin, api, subject};

/// The error that asks for another request with a nonce (RFC 9449 §8, §9).
const USE_DPOP_NONCE: &str = "use_dpop_nonce";

/// Handles one request. `stop` ends waits that a script asked for.
pub(crate) async fn dispatch(
    state: &State,
    stop: watch::Receiver<bool>,
    (scheme, request): (Scheme, Request<Body>),
) -> Response {
    let mut call = match Call::read(scheme, request, state.clock.now()).await {
        Ok(call) => call,
        Err(refusal) => return refusal,
    };
    let Some(route) = Route::parse(&call.path, state.port) else {
        return finish(state, &call, &Subject::default(), reply::not_found());
    };
    let subject = subject::of(state, &call, &route);
    let plan = route
        .fault_endpoint()
        .map(|endpoint| state.faults.plan(endpoint, &subject))
        .unwrap_or_default();
    if !plan.delay.is_zero() && !waited(plan.delay, stop).await {
        return finish(state, &call, &subject, ending::unanswered("stopped"));
    }
    call.now = skewed(state.clock.now(), plan.skew);
    call.twist = plan.twist;
    let response = answer_with(state, &call, &route, &plan);
    if outcome_of(&response) == USE_DPOP_NONCE {
        state.faults.not_yet(&plan);
    }
    finish(state, &call, &subject, response)
}

/// Waits; false if the authority was stopped meanwhile.
async fn waited(delay: Duration, mut stop: watch::Receiver<bool>) -> bool {
    tokio::select! {
        () = tokio::time::sleep(delay) => true,
        _ = stop.wait_for(|stopped| *stopped) => false,
    }
}

fn answer_with(state: &State, call: &Call, route: &Route, plan: &Plan) -> Response {
    let endpoint = route.fault_endpoint();
    match (plan.ending, endpoint) {
        (Some(Ending::LoseAnswer), _) => {
            let _done = handle(state, call, route);
            ending::unanswered("fault:lose_answer")
        }
        (Some(other), Some(endpoint)) => ending::answer(call, other, (endpoint, route.tenant())),
        _ => handle(state, call, route),
    }
}

fn handle(state: &State, call: &Call, route: &Route) -> Response {
    let methods = route.methods();
    let reads = call.method == Method::HEAD && methods.contains(&Method::GET);
    if !reads && !methods.contains(&call.method) {
        return reply::method_not_allowed(methods);
    }
    match route {
        Route::Home => home(call),
        Route::SignIn => answer::answer(state, call),
        Route::DeviceLogin => start::begin_with_user_code(state, call),
        Route::InstanceDiscovery => entra::instance::discovery(call),
        Route::Entra {
            name,
            segment,
            endpoint,
        } => handle_entra(state, call, (name, segment), *endpoint),
        Route::Oidc(endpoint) => handle_oidc(state, call, *endpoint),
        Route::Api => api::me(state, call),
        Route::Admin(endpoint) => admin::admin(state, call, *endpoint),
    }
}

fn handle_entra(
    state: &State,
    call: &Call,
    (name, segment): (&EntraName, &str),
    endpoint: EntraEndpoint,
) -> Response {
    match endpoint {
        EntraEndpoint::Metadata => entra::metadata::metadata(call, name, segment),
        EntraEndpoint::Keys => keys(state, Tenant::Entra),
        EntraEndpoint::Authorize => entra::authorize::authorize(state, call, name, segment),
        EntraEndpoint::Token => entra::token::token(state, call, name, segment),
        EntraEndpoint::DeviceCode => entra::devicecode::devicecode(state, call, name, segment),
        EntraEndpoint::Logout => logout(state, call, Tenant::Entra),
    }
}

fn handle_oidc(state: &State, call: &Call, endpoint: OidcEndpoint) -> Response {
    match endpoint {
        OidcEndpoint::Metadata => reply::outcome(
            reply::public_json(&oidc::metadata::metadata(call, state.port)),
            "ok",
        ),
        OidcEndpoint::Keys => keys(state, Tenant::Oidc),
        OidcEndpoint::Authorize => oidc::authorize::authorize(state, call),
        OidcEndpoint::Token => oidc::token::token(state, call),
        OidcEndpoint::DeviceAuthorization => oidc::device::device_authorization(state, call),
        OidcEndpoint::Userinfo => oidc::userinfo::userinfo(state, call),
        OidcEndpoint::Revoke => oidc::revocation::revoke(state, call),
        OidcEndpoint::Logout => logout(state, call, Tenant::Oidc),
    }
}

/// The key set (RFC 7517 §5).
fn keys(state: &State, tenant: Tenant) -> Response {
    match state.keys.public(tenant) {
        Ok(keys) => reply::outcome(reply::public_json(&json!(keys)), "ok"),
        Err(_) => oidc::error::OAuthError::server_error().response(),
    }
}

/// Signs everybody out of a tenant in this browser, and goes nowhere (OpenID Connect
/// RP-Initiated Logout §2, without a redirect).
fn logout(state: &State, call: &Call, tenant: Tenant) -> Response {
    if let Some(browser) = state.browsers.identify(call, state.port) {
        state.browsers.sign_out(call.now, &browser, tenant);
    }
    reply::outcome(pages::signed_out(), "ok")
}

fn home(call: &Call) -> Response {
    let origin = &call.origin;
    let metadata = |issuer: String| format!("{issuer}/.well-known/openid-configuration");
    let links = [
        ("OpenID tenant", metadata(Tenant::Oidc.issuer(origin))),
        (
            "Entra-shaped tenant",
            metadata(Tenant::Entra.issuer(origin)),
        ),
        ("Sign in on another device", format!("{origin}/devicelogin")),
        ("Protected API", format!("{origin}/api/me")),
    ];
    reply::outcome(pages::home(&links), "ok")
}

/// What a request came to.
fn outcome_of(response: &Response) -> &str {
    let outcome = response.extensions().get::<Outcome>();
    outcome.map_or("ok", |Outcome(outcome)| outcome.as_ref())
}

/// Dates the answer by the clock the request was handled by, and notes what came of it.
fn finish(state: &State, call: &Call, subject: &Subject, mut response: Response) -> Response {
    if let Ok(date) = HeaderValue::from_str(&http_date(call.now)) {
        response.headers_mut().insert(DATE, date);
    }
    let outcome = outcome_of(&response);
    let answered = response.extensions().get::<Unanswered>().is_none();
    let entry = LogEntry {
        time: state.clock.now(),
        method: call.method.to_string(),
        path: call.path.clone(),
        tenant: subject.tenant,
        grant_type: subject.grant_type.clone(),
        client_id: subject.client_id.clone(),
        user: subject.user.clone(),
        correlation_id: call.correlation_id.to_string(),
        status: if answered {
            response.status().as_u16()
        } else {
            0
        },
        outcome: outcome.to_owned(),
    };
    tracing::debug!(
        correlation_id = entry.correlation_id,
        grant_type = entry.grant_type,
        client_id = entry.client_id,
        status = entry.status,
        outcome = entry.outcome,
        "answered"
    );
    state.log.add(entry);
    response
}
