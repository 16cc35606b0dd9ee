//! Which endpoint a path names. Paths are compared without regard to case, as Entra does.

use http::Method;

use crate::faults::Endpoint;
use crate::tenant::{EntraName, OIDC_PATH, Tenant, is_derived_oidc_guid};

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Home,
    /// Forms of the sign-in pages.
    SignIn,
    DeviceLogin,
    InstanceDiscovery,
    /// An endpoint of the Entra-shaped tenant under some name, as it was written.
    Entra {
        name: EntraName,
        segment: String,
        endpoint: EntraEndpoint,
    },
    Oidc(OidcEndpoint),
    Api,
    Admin(AdminEndpoint),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntraEndpoint {
    Metadata,
    Keys,
    Authorize,
    Token,
    DeviceCode,
    Logout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OidcEndpoint {
    Metadata,
    Keys,
    Authorize,
    Token,
    DeviceAuthorization,
    Userinfo,
    Revoke,
    Logout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdminEndpoint {
    Faults,
    Issued,
    Log,
    Revoke,
    Reset,
}

impl Route {
    /// Reads a path; `None` if nothing is there.
    pub(crate) fn parse(path: &str, port: u16) -> Option<Self> {
        let path = path.to_ascii_lowercase();
        let path = path.strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        match path {
            "" => return Some(Self::Home),
            "signin" => return Some(Self::SignIn),
            "devicelogin" | "common/oauth2/deviceauth" => return Some(Self::DeviceLogin),
            "common/discovery/instance" => return Some(Self::InstanceDiscovery),
            "api/me" => return Some(Self::Api),
            // RFC 8414 §3.1: the issuer's path follows.
            "oidc/.well-known/openid-configuration"
            | ".well-known/openid-configuration/oidc"
            | ".well-known/oauth-authorization-server/oidc" => {
                return Some(Self::Oidc(OidcEndpoint::Metadata));
            }
            _ => {}
        }
        let (first, rest) = path.split_once('/')?;
        match first {
            "admin" => admin(rest).map(Self::Admin),
            _ if format!("/{first}") == OIDC_PATH => oidc(rest).map(Self::Oidc),
            _ if is_derived_oidc_guid(first, port) => {
                let metadata = is_metadata(rest).then_some(OidcEndpoint::Metadata);
                metadata.or_else(|| oidc(rest)).map(Self::Oidc)
            }
            _ => entra(rest).map(|endpoint| Self::Entra {
                name: EntraName::parse(first),
                segment: first.to_owned(),
                endpoint,
            }),
        }
    }

    /// The methods an endpoint answers.
    pub(crate) fn methods(&self) -> &'static [Method] {
        const GET: &[Method] = &[Method::GET];
        const POST: &[Method] = &[Method::POST];
        const BOTH: &[Method] = &[Method::GET, Method::POST];
        const API: &[Method] = &[Method::GET, Method::POST, Method::PUT, Method::DELETE];
        match self {
            Self::Home | Self::InstanceDiscovery | Self::DeviceLogin => GET,
            Self::SignIn => POST,
            Self::Api => API,
            Self::Entra { endpoint, .. } => match endpoint {
                EntraEndpoint::Metadata | EntraEndpoint::Keys => GET,
                EntraEndpoint::Authorize | EntraEndpoint::Logout => BOTH,
                EntraEndpoint::Token | EntraEndpoint::DeviceCode => POST,
            },
            Self::Oidc(endpoint) => match endpoint {
                OidcEndpoint::Metadata | OidcEndpoint::Keys => GET,
                OidcEndpoint::Authorize | OidcEndpoint::Logout | OidcEndpoint::Userinfo => BOTH,
                OidcEndpoint::Token | OidcEndpoint::DeviceAuthorization | OidcEndpoint::Revoke => {
                    POST
                }
            },
            Self::Admin(endpoint) => match endpoint {
                AdminEndpoint::Faults => BOTH,
                AdminEndpoint::Issued | AdminEndpoint::Log => GET,
                AdminEndpoint::Revoke | AdminEndpoint::Reset => POST,
            },
        }
    }

    /// What faults call this endpoint; `None` if none can strike it.
    pub(crate) fn fault_endpoint(&self) -> Option<Endpoint> {
        match self {
            Self::Home | Self::Admin(_) => None,
            Self::SignIn | Self::DeviceLogin => Some(Endpoint::Authorize),
            Self::InstanceDiscovery => Some(Endpoint::Discovery),
            Self::Api => Some(Endpoint::Api),
            Self::Entra { endpoint, .. } => Some(match endpoint {
                EntraEndpoint::Metadata => Endpoint::Discovery,
                EntraEndpoint::Keys => Endpoint::Jwks,
                EntraEndpoint::Authorize | EntraEndpoint::Logout => Endpoint::Authorize,
                EntraEndpoint::Token => Endpoint::Token,
                EntraEndpoint::DeviceCode => Endpoint::Device,
            }),
            Self::Oidc(endpoint) => Some(match endpoint {
                OidcEndpoint::Metadata => Endpoint::Discovery,
                OidcEndpoint::Keys => Endpoint::Jwks,
                OidcEndpoint::Authorize | OidcEndpoint::Logout => Endpoint::Authorize,
                OidcEndpoint::Token | OidcEndpoint::Revoke => Endpoint::Token,
                OidcEndpoint::DeviceAuthorization => Endpoint::Device,
                OidcEndpoint::Userinfo => Endpoint::Api,
            }),
        }
    }

    /// The tenant an endpoint belongs to.
    pub(crate) fn tenant(&self) -> Option<Tenant> {
        match self {
            Self::Entra { .. } | Self::InstanceDiscovery => Some(Tenant::Entra),
            Self::Oidc(_) => Some(Tenant::Oidc),
            _ => None,
        }
    }
}

fn is_metadata(rest: &str) -> bool {
    matches!(
        rest,
        ".well-known/openid-configuration" | "v2.0/.well-known/openid-configuration"
    )
}

fn entra(rest: &str) -> Option<EntraEndpoint> {
    match rest {
        "v2.0/.well-known/openid-configuration" => Some(EntraEndpoint::Metadata),
        "discovery/v2.0/keys" | "discovery/keys" => Some(EntraEndpoint::Keys),
        "oauth2/v2.0/authorize" => Some(EntraEndpoint::Authorize),
        "oauth2/v2.0/token" => Some(EntraEndpoint::Token),
        "oauth2/v2.0/devicecode" => Some(EntraEndpoint::DeviceCode),
        "oauth2/v2.0/logout" => Some(EntraEndpoint::Logout),
        _ => None,
    }
}

fn oidc(rest: &str) -> Option<OidcEndpoint> {
    match rest {
        ".well-known/oauth-authorization-server" => Some(OidcEndpoint::Metadata),
        "jwks" => Some(OidcEndpoint::Keys),
        "authorize" => Some(OidcEndpoint::Authorize),
        "token" => Some(OidcEndpoint::Token),
        "device_authorization" => Some(OidcEndpoint::DeviceAuthorization),
        "userinfo" => Some(OidcEndpoint::Userinfo),
        "revoke" => Some(OidcEndpoint::Revoke),
        "logout" => Some(OidcEndpoint::Logout),
        _ => None,
    }
}

fn admin(rest: &str) -> Option<AdminEndpoint> {
    match rest {
        "faults" => Some(AdminEndpoint::Faults),
        "issued" => Some(AdminEndpoint::Issued),
        "log" => Some(AdminEndpoint::Log),
        "revoke" => Some(AdminEndpoint::Revoke),
        "reset" => Some(AdminEndpoint::Reset),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn entra_paths_are_read_in_any_case_and_under_every_name() {
        for (path, name) in [
            ("/Common/OAuth2/v2.0/Token", EntraName::Any),
            ("/organizations/oauth2/v2.0/token", EntraName::Any),
            ("/DEV.test/oauth2/v2.0/token", EntraName::Tenant),
            (
                "/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token/",
                EntraName::Tenant,
            ),
            ("/nobody.example/oauth2/v2.0/token", EntraName::Unknown),
        ] {
            let Some(Route::Entra {
                name: read,
                endpoint,
                ..
            }) = Route::parse(path, 1)
            else {
                panic!("{path}");
            };
            assert_eq!((read, endpoint), (name, EntraEndpoint::Token), "{path}");
        }
    }

    #[test]
    fn the_derived_guid_is_another_name_of_the_openid_tenant_and_all_its_endpoints() {
        for issuer in ["http://127.0.0.1:77/oidc", "http://localhost:77/oidc"] {
            let guid = Uuid::new_v5(&Uuid::NAMESPACE_URL, issuer.as_bytes());
            for rest in [
                ".well-known/openid-configuration",
                "v2.0/.well-known/openid-configuration",
            ] {
                let route = Route::parse(&format!("/{guid}/{rest}"), 77);
                assert_eq!(route, Some(Route::Oidc(OidcEndpoint::Metadata)));
                let route = Route::parse(&format!("/{guid}/{rest}"), 78);
                assert_ne!(route, Some(Route::Oidc(OidcEndpoint::Metadata)));
            }
            let route = Route::parse(&format!("/{guid}/token"), 77);
            assert_eq!(route, Some(Route::Oidc(OidcEndpoint::Token)));
            assert_eq!(Route::parse(&format!("/{guid}/token"), 78), None);
        }
    }

    #[test]
    fn nothing_is_at_other_paths() {
        for path in [
            "/x",
            "/oidc",
            "/oidc/x",
            "/admin",
            "/admin/x",
            "*",
            "/api/me/x",
            "/.well-known/x",
        ] {
            assert_eq!(Route::parse(path, 1), None, "{path}");
        }
    }
}
