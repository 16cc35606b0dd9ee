//! Tenants, and the GUIDs that stand for plain OpenID issuers and subjects.

use std::fmt;

use uuid::Uuid;

/// The tenant of personal Microsoft accounts (`device-binding.md` 4.1).
pub const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// A tenant, as an authority's URL names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tenant {
    /// A GUID, in lower case.
    Id(String),
    /// A verified domain, in lower case; the metadata tells its GUID.
    Domain(String),
    /// Work, school and personal accounts.
    Common,
    /// Work and school accounts.
    Organizations,
    /// Personal accounts.
    Consumers,
}

impl Tenant {
    /// Reads a path segment. `None`: it is none of these.
    pub fn parse(segment: &str) -> Option<Self> {
        let segment = segment.to_ascii_lowercase();
        Some(match segment.as_str() {
            "common" => Self::Common,
            "organizations" => Self::Organizations,
            "consumers" => Self::Consumers,
            _ if Uuid::try_parse(&segment).is_ok() => Self::Id(segment),
            _ if is_domain(&segment) => Self::Domain(segment),
            _ => return None,
        })
    }

    /// Whether a path segment is what Microsoft's libraries put there.
    pub(super) fn looks_like_one(segment: &str) -> bool {
        !matches!(Self::parse(segment), None | Some(Self::Domain(_)))
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Id(text) | Self::Domain(text) => text,
            Self::Common => "common",
            Self::Organizations => "organizations",
            Self::Consumers => "consumers",
        })
    }
}

fn is_domain(segment: &str) -> bool {
    segment.len() <= 253
        && segment.contains('.')
        && segment.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

/// The GUID that stands for a plain OpenID issuer: clients of Microsoft's runtime accept no other
/// names for tenants. UUIDv5 of the issuer, in the URL name space (RFC 9562 §5.5).
pub fn derived_tenant(issuer: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, issuer.as_bytes())
}

/// The GUID that stands for a subject: UUIDv5 of `sub`, in the name space of its issuer's GUID.
pub fn derived_user(tenant: Uuid, subject: &str) -> Uuid {
    Uuid::new_v5(&tenant, subject.as_bytes())
}
