//! Instance discovery (`device-binding.md` 4.1): which hosts are one and the same authority.

use axum::response::Response;
use serde_json::json;
use url::Url;

use crate::call::Call;
use crate::entra::aadsts::Aadsts;
use crate::reply;

/// The public cloud's names.
const PUBLIC: [&str; 4] = [
    "login.microsoftonline.com",
    "login.windows.net",
    "login.microsoft.com",
    "sts.windows.net",
];

/// Answers for the authority whose authorize endpoint the request names.
pub(crate) fn discovery(call: &Call) -> Response {
    let Some(endpoint) = call.query.get("authorization_endpoint") else {
        return Aadsts::missing("authorization_endpoint").response(call);
    };
    let own = call.origin.authority();
    let Some(tenant) = tenant_of(endpoint, own) else {
        return Aadsts::unknown_instance().response(call);
    };
    let version = if call.query.get("api-version") == Some("1.0") {
        "1.0"
    } else {
        "1.1"
    };
    let mut body = json!({
        "tenant_discovery_endpoint":
            format!("{}/{tenant}/v2.0/.well-known/openid-configuration", call.origin),
        "api-version": version,
    });
    if version == "1.1" {
        body["metadata"] = json!([
            {"preferred_network": own, "preferred_cache": own, "aliases": [own]},
            {
                "preferred_network": "login.microsoftonline.com",
                "preferred_cache": "login.windows.net",
                "aliases": PUBLIC,
            },
        ]);
    }
    reply::outcome(reply::public_json(&body), "ok")
}

/// The tenant in an authorize endpoint on a host we know.
fn tenant_of(endpoint: &str, own: &str) -> Option<String> {
    let url = Url::parse(endpoint).ok()?;
    let host = url.host_str()?;
    let with_port = url
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let known = PUBLIC.contains(&host) || with_port == own;
    let tenant = url
        .path_segments()?
        .next()
        .filter(|tenant| !tenant.is_empty())?;
    known.then(|| tenant.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_hosts_have_tenants() {
        let tenant = |endpoint| tenant_of(endpoint, "localhost:8080");
        let common = Some("common".to_owned());
        assert_eq!(
            tenant("https://login.windows.net/common/oauth2/v2.0/authorize"),
            common
        );
        assert_eq!(tenant("http://localhost:8080/common/x"), common);
        for bad in [
            "https://evil.example/common/x",
            "http://localhost:1/common",
            "common",
            "https://login.windows.net/",
        ] {
            assert_eq!(tenant(bad), None, "{bad}");
        }
    }
}
