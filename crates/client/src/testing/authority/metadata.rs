//! What the authority says about itself.

use serde_json::{Value, json};
use url::Url;

use super::{Authority, Binds, ENTRA, TENANT};
use crate::authority::AuthorityKind;

impl Authority {
    pub(super) fn metadata(&self, issuer: &str) -> Value {
        let state = self.state();
        let mut metadata = match state.kind {
            AuthorityKind::OpenId => json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/authorize"),
                "token_endpoint": format!("{issuer}/token"),
                "jwks_uri": format!("{issuer}/jwks"),
                "revocation_endpoint": format!("{issuer}/revoke"),
                "authorization_response_iss_parameter_supported": true,
            }),
            AuthorityKind::Entra => {
                let tenant = tenant_of(&Url::parse(issuer).unwrap()).to_owned();
                let base = issuer.trim_end_matches("/v2.0");
                json!({
                    "issuer": format!("{ENTRA}/{}/v2.0", named(&tenant)),
                    "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
                    "token_endpoint": format!("{base}/oauth2/v2.0/token"),
                    "jwks_uri": format!("{base}/jwks"),
                })
            }
        };
        if state.binds != Binds::Nothing {
            metadata["dpop_signing_alg_values_supported"] = json!(["ES256"]);
        }
        metadata
    }

    pub(super) fn jwks(&self) -> Value {
        let state = self.state();
        let keys = state.signing_keys.iter().enumerate().take(state.published);
        let keys = keys.map(|(n, key)| key.public().bare().with_kid(format!("kid-{n}")));
        json!({ "keys": keys.collect::<Vec<_>>() })
    }
}

/// The tenant in the path of an Entra URL.
pub(super) fn tenant_of(url: &Url) -> &str {
    url.path_segments()
        .and_then(|mut segments| segments.next())
        .unwrap_or_default()
}

/// How the issuer spells a tenant.
fn named(tenant: &str) -> &str {
    match tenant {
        "common" | "organizations" => "{tenantid}",
        "dev.test" => TENANT,
        tenant => tenant,
    }
}
