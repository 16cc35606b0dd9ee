//! The OpenID tenant: OpenID Connect Core, OAuth 2.0 and DPoP as certified providers have them.

pub(crate) mod authorize;
pub(crate) mod device;
pub(crate) mod error;
pub(crate) mod metadata;
pub(crate) mod redeem;
pub(crate) mod revocation;
pub(crate) mod token;
pub(crate) mod userinfo;
