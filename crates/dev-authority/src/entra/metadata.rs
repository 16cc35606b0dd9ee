//! The tenant's OpenID Connect metadata (`device-binding.md` 4.1).

use axum::response::Response;
use serde_json::json;

use crate::call::Call;
use crate::entra::aadsts::Aadsts;
use crate::faults::Twist;
use crate::reply;
use crate::tenant::{EntraName, Tenant};

/// The metadata document under one of the tenant's names, every URL on the request's own origin.
pub(crate) fn metadata(call: &Call, name: &EntraName, segment: &str) -> Response {
    let origin = &call.origin;
    let mut issuer = match name {
        EntraName::Tenant => Tenant::Entra.issuer(origin),
        // Whoever validates puts the token's `tid` in.
        EntraName::Any => format!("{origin}/{{tenantid}}/v2.0"),
        EntraName::Unknown => return Aadsts::unknown_tenant(segment).response(call),
    };
    if call.is_twisted(Twist::WrongIssuer) {
        issuer = format!("{origin}/another/v2.0");
    }
    let at = |endpoint: &str| format!("{origin}/{segment}/{endpoint}");
    reply::outcome(
        reply::public_json(&json!({
            "issuer": issuer,
            "authorization_endpoint": at("oauth2/v2.0/authorize"),
            "token_endpoint": at("oauth2/v2.0/token"),
            "device_authorization_endpoint": at("oauth2/v2.0/devicecode"),
            "end_session_endpoint": at("oauth2/v2.0/logout"),
            "jwks_uri": at("discovery/v2.0/keys"),
            "token_endpoint_auth_methods_supported": ["none"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "response_types_supported": ["code"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "claims_supported": [
                "sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "preferred_username",
                "name", "tid", "ver", "email",
            ],
            "request_uri_parameter_supported": false,
            "http_logout_supported": false,
            "frontchannel_logout_supported": false,
            "tenant_region_scope": if *name == EntraName::Tenant { json!("DEV") } else { json!(null) },
            "cloud_instance_name": origin.authority(),
            "cloud_graph_host_name": "graph.windows.net",
            "msgraph_host": "graph.microsoft.com",
        })),
        "ok",
    )
}
