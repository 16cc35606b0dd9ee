//! The userinfo endpoint (OpenID Connect Core §5.3).

use axum::response::Response;
use http::StatusCode;
use keyward_oauth::scope::Scopes;
use serde_json::json;

use crate::api::protect::{self, Failure};
use crate::call::Call;
use crate::reply;
use crate::state::State;
use crate::tenant::Tenant;

/// Says who the access token is about.
pub(crate) fn userinfo(state: &State, call: &Call) -> Response {
    let presented = match protect::authenticate(state, call) {
        Ok(presented) => presented,
        Err(failure) => return protect::refuse(state, call, &failure),
    };
    let token = &presented.token;
    let scopes = Scopes::parse(&token.scope);
    let user = state
        .users
        .find(&token.user_name)
        .filter(|_| token.tenant == Tenant::Oidc);
    let Some(user) = user.filter(|_| scopes.contains("openid")) else {
        let scheme = presented.scheme;
        return protect::refuse(state, call, &Failure::insufficient_scope(scheme));
    };
    let mut claims = json!({"sub": token.subject});
    if scopes.contains("profile") {
        claims["preferred_username"] = json!(user.user_name);
        claims["name"] = json!(user.name());
        claims["given_name"] = json!(user.given_name);
        claims["family_name"] = json!(user.family_name);
    }
    if scopes.contains("email") {
        claims["email"] = json!(user.user_name);
        claims["email_verified"] = json!(true);
    }
    let response = reply::outcome(reply::json(StatusCode::OK, &claims), "ok");
    protect::with_nonce(state, call, presented.scheme, response)
}
