//! The token endpoint (`device-binding.md` 4.3).

use std::time::Duration;

use axum::response::Response;
use http::StatusCode;
use keyward_oauth::scope::Scopes;
use serde_json::{Value, json};

use crate::call::Call;
use crate::entra::aadsts::{Aadsts, with_ids};
use crate::entra::redeem::{self, Redeemed};
use crate::entra::{pop, resource};
use crate::reply;
use crate::signin::finish::client_info;
use crate::signin::request::check_claims;
use crate::state::State;
use crate::tenant::EntraName;
use crate::tokens::access::{self, AccessTokenRequest, Confirmation};
use crate::tokens::id::{self, IdTokenRequest};

/// How long an access token lives whose client understands claims challenges (`CP1`).
const LONG_LIVED: Duration = Duration::from_secs(28_790);

/// Handles a token request.
pub(crate) fn token(state: &State, call: &Call, name: &EntraName, segment: &str) -> Response {
    match answer(state, call, name, segment) {
        Ok(tokens) => with_ids(
            reply::outcome(reply::json(StatusCode::OK, &tokens), "ok"),
            call,
        ),
        Err(error) => error.response(call),
    }
}

/// A token request of a client that may make it.
pub(super) struct TokenRequest<'a> {
    pub(super) client_id: &'a str,
    /// The scopes asked for, if any were named.
    pub(super) scopes: Option<Scopes>,
}

fn answer(state: &State, call: &Call, name: &EntraName, segment: &str) -> Result<Value, Aadsts> {
    if *name == EntraName::Unknown {
        return Err(Aadsts::unknown_tenant(segment));
    }
    check_form(call)?;
    let client_id = client(state, call)?;
    let scopes = scopes(state, call, client_id)?;
    let confirmation = pop::confirmation(call)?;
    let redeemed = redeem::redeem(state, call, &TokenRequest { client_id, scopes })?;
    tokens(state, call, &redeemed, &confirmation)
}

fn check_form(call: &Call) -> Result<(), Aadsts> {
    if call.form.is_empty() && !call.body.is_empty() {
        return Err(Aadsts::malformed("the body is no form"));
    }
    if let Some(name) = call.form.repeated() {
        return Err(Aadsts::malformed(&format!("'{name}' is duplicated")));
    }
    check_claims(&call.form)
        .map_err(|name| Aadsts::malformed(&format!("'{name}' is no JSON object")))
}

/// The public client that asks.
pub(super) fn client<'a>(state: &State, call: &'a Call) -> Result<&'a str, Aadsts> {
    let client_id = call
        .form
        .get("client_id")
        .ok_or_else(|| Aadsts::missing("client_id"))?;
    if state.clients.find(client_id).is_none() {
        return Err(Aadsts::unknown_client(client_id));
    }
    let authenticates = ["client_secret", "client_assertion"];
    if authenticates
        .iter()
        .any(|name| call.form.get(name).is_some())
    {
        return Err(Aadsts::client_is_public());
    }
    Ok(client_id)
}

/// The scopes a client asks for, if it names any and may have them.
pub(super) fn scopes(
    state: &State,
    call: &Call,
    client_id: &str,
) -> Result<Option<Scopes>, Aadsts> {
    let Some(scopes) = call.form.get("scope").map(Scopes::parse) else {
        return Ok(None);
    };
    let client = state.clients.find(client_id);
    match client.and_then(|client| client.refused_scope(&scopes).map(str::to_owned)) {
        Some(_) => Err(Aadsts::not_consented(client_id)),
        None => Ok(Some(scopes)),
    }
}

fn tokens(
    state: &State,
    call: &Call,
    redeemed: &Redeemed,
    confirmation: &Confirmation,
) -> Result<Value, Aadsts> {
    let capabilities = redeemed
        .claims
        .as_deref()
        .map(capabilities)
        .unwrap_or_default();
    let understands_challenges = capabilities.iter().any(|capability| capability == "CP1");
    let mut lifetime = state.settings().access_token_lifetime;
    if understands_challenges {
        lifetime = lifetime.max(LONG_LIVED);
    }
    let access_token = AccessTokenRequest {
        grant: &redeemed.grant,
        user: &redeemed.user,
        scopes: &redeemed.scopes,
        audience: resource::audience(&redeemed.scopes),
        confirmation,
        lifetime,
        capabilities,
    };
    let access_token =
        access::mint(state, call, &access_token).map_err(|_| Aadsts::server_error())?;
    let mut answer = json!({
        "token_type": if *confirmation == Confirmation::Bearer { "Bearer" } else { "pop" },
        "scope": resource::granted(&redeemed.scopes),
        "expires_in": lifetime.as_secs(),
        "ext_expires_in": lifetime.as_secs(),
        "refresh_in": lifetime.as_secs() / 2,
        "access_token": access_token,
    });
    if let Some(refresh_token) = &redeemed.refresh_token {
        answer["refresh_token"] = json!(refresh_token);
        if redeemed.foci {
            answer["foci"] = json!("1");
        }
    }
    if redeemed.scopes.contains("openid") || redeemed.grant.scopes.contains("openid") {
        answer["id_token"] = json!(id_token(state, call, redeemed)?);
    }
    if call.form.get("client_info") == Some("1") {
        answer["client_info"] = json!(client_info(&redeemed.user));
    }
    Ok(answer)
}

fn id_token(state: &State, call: &Call, redeemed: &Redeemed) -> Result<String, Aadsts> {
    let request = IdTokenRequest {
        grant: &redeemed.grant,
        user: &redeemed.user,
        scopes: &redeemed.grant.scopes,
        nonce: redeemed.nonce.as_deref(),
        twist: redeemed.twist.or(call.twist),
    };
    id::mint(state, call, &request).map_err(|_| Aadsts::server_error())
}

/// The client's capabilities, `{"access_token":{"xms_cc":{"values":["CP1"]}}}`. Everything else in
/// `claims` is for policies this authority does not have.
fn capabilities(claims: &str) -> Vec<String> {
    let claims: Value = serde_json::from_str(claims).unwrap_or_default();
    let values = claims
        .pointer("/access_token/xms_cc/values")
        .and_then(Value::as_array);
    let values = values.map(Vec::as_slice).unwrap_or_default();
    values
        .iter()
        .filter_map(Value::as_str)
        .take(16)
        .map(str::to_owned)
        .collect()
}
