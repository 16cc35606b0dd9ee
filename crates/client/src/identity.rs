//! Who a verified ID token is about, in the numbering all faces share.

use keyward_oauth::client_info::ClientInfo;
use keyward_oauth::id_token::IdToken;
use keyward_oauth::identifiers::HomeAccountId;

use crate::authority::{Authority, AuthorityKind, Tenant, derived_tenant, derived_user};
use crate::cache::entity::Profile;
use crate::error::{AcquireTokenError, ErrorKind};

/// A person in one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account across tenants.
    pub home: HomeAccountId,
    /// As this tenant knows it.
    pub profile: Profile,
}

impl Identity {
    /// Reads a verified ID token; `client_info` comes beside it at Entra.
    ///
    /// # Errors
    ///
    /// When the answer does not say who, or is about another tenant than the one asked.
    pub fn read(
        authority: &Authority,
        id_token: &IdToken,
        client_info: Option<&ClientInfo>,
    ) -> Result<Self, AcquireTokenError> {
        match authority.kind {
            AuthorityKind::OpenId => Ok(Self::openid(authority, id_token)),
            AuthorityKind::Entra => Self::entra(authority, id_token, client_info),
        }
    }

    /// Issuer and subject name a person (OpenID Connect Core §2); clients of Microsoft's runtime
    /// want GUIDs for both (`linux-broker-dbus.md` 4).
    fn openid(authority: &Authority, id_token: &IdToken) -> Self {
        let tenant = derived_tenant(&authority.provider);
        let user = derived_user(tenant, id_token.subject()).to_string();
        let tenant = tenant.to_string();
        Self {
            home: HomeAccountId::new(&user, &tenant),
            profile: profile(id_token, tenant, user),
        }
    }

    /// `client_info` says who at home, `tid` and `oid` who in the tenant (`device-binding.md` 4.3).
    fn entra(
        authority: &Authority,
        id_token: &IdToken,
        client_info: Option<&ClientInfo>,
    ) -> Result<Self, AcquireTokenError> {
        let tenant = id_token
            .tenant_id()
            .ok_or_else(|| invalid("the ID token has no tid"))?;
        if let Tenant::Id(asked) = &authority.tenant
            && !asked.eq_ignore_ascii_case(tenant)
        {
            return Err(invalid(
                "the ID token is of another tenant than the one asked for",
            ));
        }
        let user = id_token.object_id().unwrap_or(id_token.subject());
        let home = match client_info {
            Some(info) => info.home_account_id().clone(),
            None => HomeAccountId::new(user, tenant),
        };
        if home.as_str().contains('@') || tenant.contains('@') {
            return Err(invalid("the account's numbers are no GUIDs"));
        }
        Ok(Self {
            home,
            profile: profile(id_token, tenant.to_ascii_lowercase(), user.to_owned()),
        })
    }
}

fn profile(id_token: &IdToken, tenant_id: String, local_account_id: String) -> Profile {
    let claim = |name| {
        let text = id_token.claims().string(name).ok().flatten();
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    Profile {
        tenant_id,
        local_account_id,
        // Clients of Microsoft's runtime drop accounts without a user name.
        username: id_token.username().unwrap_or(id_token.subject()).to_owned(),
        name: claim("name"),
        given_name: claim("given_name"),
        family_name: claim("family_name"),
        issuer: id_token.issuer().to_owned(),
    }
}

fn invalid(why: &str) -> AcquireTokenError {
    AcquireTokenError::new(ErrorKind::InvalidResponse, why)
}

#[cfg(test)]
mod tests;
