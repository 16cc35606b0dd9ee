//! Turning a grant into what tokens are minted from (RFC 6749 §4.1.3, §6; RFC 8628 §3.4).

use keyward_oauth::scope::Scopes;

use crate::call::Call;
use crate::faults::Twist;
use crate::grants::codes::{CodeError, Redemption};
use crate::grants::devices::PollError;
use crate::grants::refresh::{FamilyId, Revoked, Use};
use crate::oidc::error::OAuthError;
use crate::oidc::token::TokenRequest;
use crate::state::State;
use crate::tenant::{Grant, Tenant};
use crate::users::{Standing, User};

/// What tokens are minted from.
pub(super) struct Redeemed {
    pub(super) grant: Grant,
    pub(super) user: User,
    /// The scopes of the tokens: those asked for now, or else those of the grant.
    pub(super) scopes: Scopes,
    pub(super) refresh_token: Option<String>,
    pub(super) nonce: Option<String>,
    /// What a script wants wrong about the ID token.
    pub(super) twist: Option<Twist>,
}

/// Redeems whatever grant the request carries.
pub(super) fn redeem(
    state: &State,
    call: &Call,
    request: &TokenRequest<'_>,
) -> Result<Redeemed, OAuthError> {
    if call.is_twisted(Twist::InteractionRequired) {
        return Err(OAuthError::new(
            "interaction_required",
            "the user must sign in again",
        ));
    }
    match call.form.get("grant_type") {
        None => Err(OAuthError::invalid_request("grant_type is missing")),
        Some("authorization_code") => code(state, call, request),
        Some("refresh_token") => refresh_token(state, call, request),
        Some("urn:ietf:params:oauth:grant-type:device_code") => device_code(state, call, request),
        Some(_) => Err(OAuthError::new(
            "unsupported_grant_type",
            "this grant_type is not supported",
        )),
    }
}

fn code(state: &State, call: &Call, request: &TokenRequest<'_>) -> Result<Redeemed, OAuthError> {
    let text = required(call, "code")?;
    let redemption = Redemption {
        tenant: Tenant::Oidc,
        code: text,
        client_id: request.client_id,
        redirect_uri: required(call, "redirect_uri")?,
        verifier: required(call, "code_verifier")?,
        proof_key: request.proof.as_ref().map(|proof| &proof.thumbprint),
    };
    let code = state
        .codes
        .redeem(call.now, &redemption, call.twist)
        .map_err(|error| {
            if let CodeError::Reused(Some(family)) = error {
                state.refresh_tokens.revoke(family, Revoked::ByProtocol);
            }
            OAuthError::invalid_grant()
        })?;
    let user = user(state, &code.grant)?;
    let first = first_refresh_token(state, call, request, &code.grant);
    if let Some((_, family)) = &first {
        state.codes.remember_family(call.now, text, *family);
    }
    Ok(Redeemed {
        // A code is for what was consented to, whatever the token request says.
        scopes: code.grant.scopes.clone(),
        refresh_token: first.map(|(token, _)| token),
        grant: code.grant,
        user,
        nonce: code.nonce,
        twist: code.twist,
    })
}

fn refresh_token(
    state: &State,
    call: &Call,
    request: &TokenRequest<'_>,
) -> Result<Redeemed, OAuthError> {
    let used = Use {
        tenant: Tenant::Oidc,
        refresh_token: required(call, "refresh_token")?,
        client_id: request.client_id,
        is_family_client: false,
        proof_key: request.proof.as_ref().map(|proof| &proof.thumbprint),
        lifetime: state.settings().refresh_token_lifetime,
        twist: call.twist,
    };
    let (family, next) = state
        .refresh_tokens
        .rotate(call.now, &used)
        .map_err(|_| OAuthError::invalid_grant())?;
    Ok(Redeemed {
        scopes: request
            .scopes
            .clone()
            .unwrap_or_else(|| family.grant.scopes.clone()),
        user: user(state, &family.grant)?,
        grant: family.grant,
        refresh_token: Some(next),
        nonce: None,
        twist: None,
    })
}

fn device_code(
    state: &State,
    call: &Call,
    request: &TokenRequest<'_>,
) -> Result<Redeemed, OAuthError> {
    let device_code = required(call, "device_code")?;
    let who = (device_code, Tenant::Oidc, request.client_id);
    let (grant, _) = state
        .devices
        .poll(call.now, who, call.twist)
        .map_err(poll_error)?;
    let user = user(state, &grant)?;
    let first = first_refresh_token(state, call, request, &grant);
    Ok(Redeemed {
        scopes: grant.scopes.clone(),
        refresh_token: first.map(|(token, _)| token),
        grant,
        user,
        nonce: None,
        twist: None,
    })
}

/// The first refresh token of a sign-in, if one was asked for (OpenID Connect Core §11), bound to
/// the key of the proof (RFC 9449 §5).
fn first_refresh_token(
    state: &State,
    call: &Call,
    request: &TokenRequest<'_>,
    grant: &Grant,
) -> Option<(String, FamilyId)> {
    grant.scopes.contains("offline_access").then(|| {
        let jkt = request.proof.as_ref().map(|proof| proof.thumbprint.clone());
        let lifetime = state.settings().refresh_token_lifetime;
        state
            .refresh_tokens
            .issue(call.now, lifetime, (grant.clone(), jkt, false))
    })
}

/// Whose grant it is, if they may still use it.
fn user(state: &State, grant: &Grant) -> Result<User, OAuthError> {
    let user = state.users.find(&grant.user_name);
    user.filter(|user| user.standing != Standing::Blocked)
        .ok_or_else(OAuthError::invalid_grant)
}

fn required<'a>(call: &'a Call, name: &'static str) -> Result<&'a str, OAuthError> {
    call.form
        .get(name)
        .ok_or_else(|| OAuthError::invalid_request(format!("{name} is missing")))
}

/// RFC 8628 §3.5.
fn poll_error(error: PollError) -> OAuthError {
    match error {
        PollError::Pending => OAuthError::new("authorization_pending", "nobody has decided yet"),
        PollError::SlowDown => OAuthError::new("slow_down", "ask five seconds less often"),
        PollError::Declined => OAuthError::new("access_denied", "the user declined"),
        PollError::Expired => OAuthError::new("expired_token", "the device code has expired"),
        PollError::Unknown => OAuthError::invalid_grant(),
    }
}
