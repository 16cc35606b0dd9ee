//! Turning a grant into what tokens are minted from.

use keyward_oauth::scope::Scopes;

use crate::call::Call;
use crate::entra::aadsts::Aadsts;
use crate::entra::is_family_client;
use crate::entra::token::TokenRequest;
use crate::faults::Twist;
use crate::grants::codes::{CodeError, Redemption};
use crate::grants::devices::PollError;
use crate::grants::refresh::{RefreshError, Revoked, Use};
use crate::state::State;
use crate::tenant::{Grant, Tenant};
use crate::users::{Standing, User};

/// What tokens are minted from.
pub(super) struct Redeemed {
    /// The client is the one that asks, which for a family token may be another than it was
    /// issued to.
    pub(super) grant: Grant,
    pub(super) user: User,
    /// The scopes of the access token.
    pub(super) scopes: Scopes,
    pub(super) refresh_token: Option<String>,
    pub(super) foci: bool,
    pub(super) nonce: Option<String>,
    /// The `claims` parameter of this request, or of the one that led to the code.
    pub(super) claims: Option<String>,
    /// What a script wants wrong about the ID token.
    pub(super) twist: Option<Twist>,
}

/// Redeems whatever grant the request carries.
pub(super) fn redeem(
    state: &State,
    call: &Call,
    request: &TokenRequest<'_>,
) -> Result<Redeemed, Aadsts> {
    if call.is_twisted(Twist::InteractionRequired) {
        return Err(Aadsts::claims_challenge());
    }
    match required(call, "grant_type")? {
        "authorization_code" => code(state, call, request),
        "refresh_token" => refresh_token(state, call, request),
        "urn:ietf:params:oauth:grant-type:device_code" | "device_code" => {
            device_code(state, call, request)
        }
        _ => Err(Aadsts::unsupported_grant_type()),
    }
}

fn code(state: &State, call: &Call, request: &TokenRequest<'_>) -> Result<Redeemed, Aadsts> {
    let text = required(call, "code")?;
    let redemption = Redemption {
        tenant: Tenant::Entra,
        code: text,
        client_id: request.client_id,
        redirect_uri: required(call, "redirect_uri")?,
        verifier: required(call, "code_verifier")?,
        proof_key: None,
    };
    let code = state
        .codes
        .redeem(call.now, &redemption, call.twist)
        .map_err(code_error)?;
    let user = user(state, &code.grant)?;
    let claims = call.form.get("claims").map(str::to_owned).or(code.claims);
    let redeemed = first(state, call, request, (code.grant, user));
    Ok(Redeemed {
        nonce: code.nonce,
        twist: code.twist,
        claims,
        ..redeemed
    })
}

fn device_code(state: &State, call: &Call, request: &TokenRequest<'_>) -> Result<Redeemed, Aadsts> {
    // Older clients send it as `code` (`device-binding.md` 4.6).
    let device_code = match call.form.get("code") {
        Some(code) => code,
        None => required(call, "device_code")?,
    };
    let who = (device_code, Tenant::Entra, request.client_id);
    let (grant, device) = state
        .devices
        .poll(call.now, who, call.twist)
        .map_err(poll_error)?;
    let user = user(state, &grant)?;
    let claims = call.form.get("claims").map(str::to_owned).or(device.claims);
    Ok(Redeemed {
        claims,
        ..first(state, call, request, (grant, user))
    })
}

/// The first tokens of a sign-in. Entra takes the scopes of the token request, if it names any.
fn first(
    state: &State,
    call: &Call,
    request: &TokenRequest<'_>,
    (grant, user): (Grant, User),
) -> Redeemed {
    let scopes = request
        .scopes
        .clone()
        .unwrap_or_else(|| grant.scopes.clone());
    let offline = scopes.contains("offline_access") || grant.scopes.contains("offline_access");
    let foci = is_family_client(request.client_id, &grant.scopes);
    let refresh_token = offline.then(|| {
        let lifetime = state.settings().refresh_token_lifetime;
        state
            .refresh_tokens
            .issue(call.now, lifetime, (grant.clone(), None, foci))
            .0
    });
    let (nonce, claims, twist) = (None, None, None);
    Redeemed {
        grant,
        user,
        scopes,
        refresh_token,
        foci,
        nonce,
        claims,
        twist,
    }
}

/// A refresh token is good for any resource, however often (`device-binding.md` 4.3).
fn refresh_token(
    state: &State,
    call: &Call,
    request: &TokenRequest<'_>,
) -> Result<Redeemed, Aadsts> {
    let none = Scopes::none();
    let asked = request.scopes.as_ref().unwrap_or(&none);
    let presented = Use {
        tenant: Tenant::Entra,
        refresh_token: required(call, "refresh_token")?,
        client_id: request.client_id,
        is_family_client: is_family_client(request.client_id, asked),
        proof_key: None,
        lifetime: state.settings().refresh_token_lifetime,
        twist: call.twist,
    };
    let (family, next) = state
        .refresh_tokens
        .rotate(call.now, &presented)
        .map_err(refresh_error)?;
    let user = user(state, &family.grant)?;
    let scopes = request
        .scopes
        .clone()
        .unwrap_or_else(|| family.grant.scopes.clone());
    Ok(Redeemed {
        grant: Grant {
            client_id: request.client_id.to_owned(),
            ..family.grant
        },
        user,
        scopes,
        refresh_token: Some(next),
        foci: family.foci,
        nonce: None,
        claims: call.form.get("claims").map(str::to_owned),
        twist: None,
    })
}

/// Whose grant it is, if they may still use it.
fn user(state: &State, grant: &Grant) -> Result<User, Aadsts> {
    let user = state.users.find(&grant.user_name);
    let user = user.ok_or_else(|| Aadsts::unknown_user(&grant.user_name))?;
    if user.standing == Standing::Blocked {
        Err(Aadsts::blocked())
    } else {
        Ok(user)
    }
}

fn required<'a>(call: &'a Call, name: &'static str) -> Result<&'a str, Aadsts> {
    call.form.get(name).ok_or_else(|| Aadsts::missing(name))
}

fn code_error(error: CodeError) -> Aadsts {
    match error {
        CodeError::Unknown | CodeError::WrongKey => Aadsts::unknown_code(),
        CodeError::Expired => Aadsts::code_expired(),
        CodeError::Reused(_) => Aadsts::code_redeemed(),
        CodeError::WrongVerifier => Aadsts::wrong_verifier(),
    }
}

fn refresh_error(error: RefreshError) -> Aadsts {
    match error {
        RefreshError::Unknown | RefreshError::WrongKey | RefreshError::Reused => {
            Aadsts::unknown_refresh_token()
        }
        RefreshError::WrongClient => Aadsts::other_client(),
        RefreshError::Expired => Aadsts::refresh_token_expired(),
        RefreshError::Revoked(Revoked::ByAdministrator | Revoked::ByProtocol) => {
            Aadsts::grant_revoked()
        }
    }
}

fn poll_error(error: PollError) -> Aadsts {
    match error {
        // Entra does not say slow_down.
        PollError::Pending | PollError::SlowDown => Aadsts::authorization_pending(),
        PollError::Declined => Aadsts::device_declined(),
        PollError::Expired => Aadsts::device_code_expired(),
        PollError::Unknown => Aadsts::unknown_device_code(),
    }
}
