//! The two tenants, and the names each answers to.

use keyward_oauth::scope::Scopes;
use serde::{Deserialize, Serialize};
use uuid::{Uuid, uuid};

use crate::origin::{LOOPBACK, Origin};

/// The GUID of the Entra-shaped tenant.
pub const ENTRA_TENANT: &str = "11111111-2222-3333-4444-555555555555";
/// The verified domain of the Entra-shaped tenant.
pub const ENTRA_DOMAIN: &str = "dev.test";

pub(crate) const ENTRA_TENANT_ID: Uuid = uuid!("11111111-2222-3333-4444-555555555555");
/// Where the OpenID tenant's endpoints are; its issuer is the origin and this.
pub(crate) const OIDC_PATH: &str = "/oidc";

/// Which of the two tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tenant {
    /// Shaped like Entra ID.
    Entra,
    /// A standards-based OpenID provider with DPoP.
    Oidc,
}

impl Tenant {
    /// The issuer of tokens minted for a request to `origin`.
    pub(crate) fn issuer(self, origin: &Origin) -> String {
        format!("{origin}{}", self.issuer_path())
    }

    /// The issuer without its origin.
    pub(crate) fn issuer_path(self) -> String {
        match self {
            Self::Entra => format!("/{ENTRA_TENANT}/v2.0"),
            Self::Oidc => OIDC_PATH.to_owned(),
        }
    }
}

/// What the first segment of an Entra path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EntraName {
    /// `common` or `organizations`: whichever tenant the user is in.
    Any,
    /// The tenant's GUID or domain.
    Tenant,
    Unknown,
}

impl EntraName {
    /// Reads a segment in lower case.
    pub(crate) fn parse(segment: &str) -> Self {
        match segment {
            "common" | "organizations" => Self::Any,
            ENTRA_TENANT | ENTRA_DOMAIN => Self::Tenant,
            _ => Self::Unknown,
        }
    }
}

/// Whether a path segment is the GUID derived from the OpenID tenant's issuer (UUID version 5 in
/// the URL namespace), under any spelling of loopback. Clients that want tenants to be GUIDs use
/// it.
pub(crate) fn is_derived_oidc_guid(segment: &str, port: u16) -> bool {
    Uuid::parse_str(segment).is_ok_and(|guid| {
        LOOPBACK.iter().any(|host| {
            let issuer = Tenant::Oidc.issuer(&Origin::loopback(host, port));
            guid == Uuid::new_v5(&Uuid::NAMESPACE_URL, issuer.as_bytes())
        })
    })
}

/// What a person allowed a client to do.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) tenant: Tenant,
    /// `preferred_username`, in lower case.
    pub(crate) user_name: String,
    pub(crate) client_id: String,
    pub(crate) scopes: Scopes,
    /// When the person showed a password.
    pub(crate) auth_time: keyward_oauth::time::UnixTime,
}
