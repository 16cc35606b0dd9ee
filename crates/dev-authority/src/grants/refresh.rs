//! Refresh tokens: families, binding, rotation and reuse (RFC 6749 §6, RFC 9449 §5, RFC 9700
//! §4.14.2).
//!
//! All refresh tokens that come of one sign-in are a *family*. In the OpenID tenant each use hands
//! out a successor, and:
//!
//! 1. **The key is checked first.** A bound token shown with another key, or with none, is
//!    refused and changes nothing: a thief of a token can neither use it nor get its family
//!    revoked.
//! 2. **Reuse revokes.** A token that was rotated away, shown with the right key, revokes its
//!    family: either the client or somebody who can use its key is out of step.
//! 3. **Except at once.** The token used last may be used again until a successor of it was used.
//!    Otherwise a client that dies, or a network that breaks, between rotation and storage would
//!    cost a sign-in. A successor handed out earlier for the same token is then no longer good.
//!
//! In the Entra-shaped tenant a use hands out another token, and the old ones stay good, as
//! Entra has it.

pub(crate) mod issued;
pub(crate) mod rules;

use std::collections::HashMap;
use std::time::Duration;

use keyward_jose::{Thumbprint, digest};
use keyward_oauth::time::UnixTime;

use crate::faults::Twist;
use crate::locked::Locked;
use crate::random;
use crate::tenant::{Grant, Tenant};
use issued::IssuedRefreshToken;
use rules::{Line, Verdict};

/// Which family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FamilyId(u64);

/// All refresh tokens ever issued. They are kept to the end: a test may ask for each.
#[derive(Default)]
pub(crate) struct RefreshTokens(Locked<Inner>);

#[derive(Default)]
struct Inner {
    families: Vec<Family>,
    /// By the token's digest, so that looking one up tells nothing about another.
    tokens: HashMap<[u8; 32], usize>,
    issued: Vec<Token>,
}

/// What all tokens of one sign-in share.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    pub(crate) grant: Grant,
    /// The key every use needs a proof of.
    pub(crate) jkt: Option<Thumbprint>,
    /// Whether any client of Microsoft's family may use the tokens (`foci`).
    pub(crate) foci: bool,
    revoked: Option<Revoked>,
    line: Line,
}

/// Why a family ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revoked {
    /// By the client (RFC 7009), or because a code or token was reused.
    ByProtocol,
    /// By an administrator, or a changed password.
    ByAdministrator,
}

struct Token {
    text: String,
    family: FamilyId,
    generation: u32,
    issued_at: UnixTime,
    expires: UnixTime,
    redeemed: u32,
}

/// What comes with a refresh token at the token endpoint.
pub(crate) struct Use<'a> {
    pub(crate) tenant: Tenant,
    pub(crate) refresh_token: &'a str,
    pub(crate) client_id: &'a str,
    /// Whether that client is one of Microsoft's family.
    pub(crate) is_family_client: bool,
    pub(crate) proof_key: Option<&'a Thumbprint>,
    pub(crate) lifetime: Duration,
    pub(crate) twist: Option<Twist>,
}

/// Why a refresh token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefreshError {
    Unknown,
    /// It was issued to another client.
    WrongClient,
    /// No proof, or one of another key. Nothing has changed.
    WrongKey,
    Expired,
    Revoked(Revoked),
    /// It was rotated away before; the family is revoked now.
    Reused,
}

impl FamilyId {
    /// A family by number, for tests.
    #[cfg(test)]
    pub(crate) const fn from_raw(number: u64) -> Self {
        Self(number)
    }
}

impl RefreshTokens {
    /// Issues the first token of a new family.
    pub(crate) fn issue(
        &self,
        now: UnixTime,
        lifetime: Duration,
        (grant, jkt, foci): (Grant, Option<Thumbprint>, bool),
    ) -> (String, FamilyId) {
        self.0.with(|inner| {
            let family = FamilyId(inner.families.len() as u64);
            inner.families.push(Family {
                grant,
                jkt,
                foci,
                revoked: None,
                line: Line::default(),
            });
            (inner.add(family, 1, now, lifetime), family)
        })
    }

    /// Uses a token: checks it, and hands out its successor in the same step.
    pub(crate) fn rotate(
        &self,
        now: UnixTime,
        used: &Use<'_>,
    ) -> Result<(Family, String), RefreshError> {
        self.0.with(|inner| {
            let at = inner
                .find(used.refresh_token)
                .ok_or(RefreshError::Unknown)?;
            let token = &inner.issued[at];
            let (id, generation, expires) = (token.family, token.generation, token.expires);
            let family = inner.family_mut(id).ok_or(RefreshError::Unknown)?;
            family.check_bearer(used)?;
            family.check_life(now < expires, used.twist)?;
            let next = match used.tenant {
                Tenant::Entra => generation,
                Tenant::Oidc => match family.line.use_token(at, generation) {
                    Verdict::Rotate { next } => next,
                    Verdict::Reuse => {
                        family.revoked = Some(Revoked::ByProtocol);
                        return Err(RefreshError::Reused);
                    }
                },
            };
            let family = family.clone();
            inner.issued[at].redeemed += 1;
            Ok((family, inner.add(id, next, now, used.lifetime)))
        })
    }

    /// Whose token it is, without using it.
    pub(crate) fn family_of(&self, refresh_token: &str) -> Option<(FamilyId, Family)> {
        self.0.with(|inner| {
            let id = inner.issued[inner.find(refresh_token)?].family;
            inner.family_mut(id).map(|family| (id, family.clone()))
        })
    }

    /// Ends a family.
    pub(crate) fn revoke(&self, family: FamilyId, why: Revoked) {
        self.0.with(|inner| {
            if let Some(family) = inner.family_mut(family) {
                family.revoked.get_or_insert(why);
            }
        });
    }

    /// Ends every family of a user; says how many.
    pub(crate) fn revoke_user(&self, user_name: &str) -> usize {
        self.0.with(|inner| {
            let living = inner.families.iter_mut().filter(|family| {
                family.revoked.is_none() && family.grant.user_name.eq_ignore_ascii_case(user_name)
            });
            living
                .map(|family| family.revoked = Some(Revoked::ByAdministrator))
                .count()
        })
    }

    /// Every token issued, oldest first.
    pub(crate) fn issued(&self) -> Vec<IssuedRefreshToken> {
        self.0.with(|inner| {
            inner
                .issued
                .iter()
                .filter_map(|token| inner.describe(token))
                .collect()
        })
    }

    /// Forgets all tokens.
    pub(crate) fn clear(&self) {
        self.0.with(|inner| *inner = Inner::default());
    }
}

impl Inner {
    fn add(&mut self, id: FamilyId, generation: u32, now: UnixTime, lifetime: Duration) -> String {
        let text = match self.family_mut(id).map(|family| family.grant.tenant) {
            Some(Tenant::Entra) => format!("1.A{}", random::secret()),
            _ => random::secret(),
        };
        self.tokens
            .insert(digest::sha256(text.as_bytes()), self.issued.len());
        self.issued.push(Token {
            text: text.clone(),
            family: id,
            generation,
            issued_at: now,
            redeemed: 0,
            expires: now.plus(lifetime),
        });
        text
    }

    fn find(&self, refresh_token: &str) -> Option<usize> {
        self.tokens
            .get(&digest::sha256(refresh_token.as_bytes()))
            .copied()
    }

    fn family_mut(&mut self, id: FamilyId) -> Option<&mut Family> {
        self.families.get_mut(usize::try_from(id.0).ok()?)
    }

    fn describe(&self, token: &Token) -> Option<IssuedRefreshToken> {
        let family = self.families.get(usize::try_from(token.family.0).ok()?)?;
        Some(IssuedRefreshToken {
            refresh_token: token.text.clone(),
            tenant: family.grant.tenant,
            user: family.grant.user_name.clone(),
            client_id: family.grant.client_id.clone(),
            jkt: family.jkt.as_ref().map(Thumbprint::to_string),
            issued_at: token.issued_at,
            redeemed: token.redeemed,
            revoked: family.revoked.is_some(),
        })
    }
}

impl Family {
    /// Tenant, client and key: what a thief lacks. Checked before anything else, and without
    /// consequences.
    fn check_bearer(&self, used: &Use<'_>) -> Result<(), RefreshError> {
        if self.grant.tenant != used.tenant {
            return Err(RefreshError::Unknown);
        }
        let own_client = self.grant.client_id.eq_ignore_ascii_case(used.client_id);
        let may_use = own_client || (self.foci && used.is_family_client);
        if !may_use {
            return Err(RefreshError::WrongClient);
        }
        match &self.jkt {
            Some(jkt) if Some(jkt) != used.proof_key => Err(RefreshError::WrongKey),
            _ => Ok(()),
        }
    }

    fn check_life(&self, unexpired: bool, twist: Option<Twist>) -> Result<(), RefreshError> {
        match (twist, self.revoked) {
            (_, Some(why)) => Err(RefreshError::Revoked(why)),
            (Some(Twist::Revoked), None) => Err(RefreshError::Revoked(Revoked::ByAdministrator)),
            (Some(Twist::Expired), None) => Err(RefreshError::Expired),
            _ if !unexpired => Err(RefreshError::Expired),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
