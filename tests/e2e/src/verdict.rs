//! What the same-user thief's loot is worth: the authority knows which refresh tokens it issued, and
//! whoever runs the machine, what its policy allows.

use std::collections::BTreeSet;

use keyward_oauth::jose::{Algorithm, Jwk};
use keyward_testkit::Secrets;
use serde_json::{Value, json};

use crate::thief::{Attempt, CHALLENGE, Claim};

/// What one attempt got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loot {
    /// An access token of a client the policy lets every program of the user have.
    AllowedToken,
    /// An access token the policy asks the person about.
    AskedToken,
    /// An access token the policy denies.
    DeniedToken,
    /// Signatures by a key refresh tokens are bound to, made where the key is.
    UseOfKey,
    /// The key that opens the vault's records.
    VaultKey,
    /// A refresh token.
    RefreshToken,
    /// A private key refresh tokens are bound to.
    PrivateKey,
}

impl Loot {
    /// As the table has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllowedToken => "access token the policy allows",
            Self::AskedToken => "access token the policy asks about",
            Self::DeniedToken => "access token the policy denies",
            Self::UseOfKey => "use of a private key",
            Self::VaultKey => "vault key",
            Self::RefreshToken => "refresh token",
            Self::PrivateKey => "private key",
        }
    }

    /// Whether a program of the user may have it: because the policy says so, or because it lets
    /// the person decide, for whom what runs as the person can answer.
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::AllowedToken | Self::AskedToken)
    }
}

/// An attempt and what it got.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Which way in.
    pub way: &'static str,
    /// What was tried.
    pub tried: String,
    /// What it got.
    pub got: BTreeSet<Loot>,
    /// How it was stopped, or what came back.
    pub outcome: String,
}

/// What is known about the machine's secrets.
pub struct Judge {
    refresh_tokens: Secrets,
    issuer: String,
    allowed: String,
    asked: String,
}

impl Judge {
    /// Knows these refresh tokens, and the clients the policy of this issuer's machine allows and
    /// asks about. All others it denies.
    pub fn new(refresh_tokens: Vec<String>, issuer: String, allowed: &str, asked: &str) -> Self {
        Self {
            refresh_tokens: Secrets::new(refresh_tokens),
            issuer,
            allowed: allowed.to_owned(),
            asked: asked.to_owned(),
        }
    }

    /// Looks at everything an attempt brought.
    pub fn judge(&self, attempt: &Attempt) -> Judged {
        let mut got = BTreeSet::new();
        for loot in &attempt.loot {
            if !self.refresh_tokens.in_bytes(loot).is_empty() {
                got.insert(Loot::RefreshToken);
            }
            got.extend(self.access_tokens(loot));
        }
        got.extend(attempt.claims.iter().filter_map(proven));
        Judged {
            way: attempt.way,
            tried: attempt.tried.clone(),
            got,
            outcome: attempt.outcome.clone(),
        }
    }

    /// The access tokens of this machine's authority: JWTs that say which scopes they are for.
    fn access_tokens(&self, bytes: &[u8]) -> BTreeSet<Loot> {
        let of_a_jwt = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let runs = bytes.split(|byte| !of_a_jwt(byte));
        runs.filter_map(|run| self.access_token(std::str::from_utf8(run).ok()?))
            .collect()
    }

    fn access_token(&self, run: &str) -> Option<Loot> {
        let jwt = &run[run.find("eyJ")?..];
        let mut parts = jwt.split('.');
        let (_, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let decoded =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload);
        let payload: Value = serde_json::from_slice(&decoded.ok()?).ok()?;
        let is_access_token = payload["scope"].is_string() && !signature.is_empty();
        if !is_access_token || payload["iss"] != json!(self.issuer) {
            return None;
        }
        let client = payload["client_id"].as_str()?;
        Some(if client == self.allowed {
            Loot::AllowedToken
        } else if client == self.asked {
            Loot::AskedToken
        } else {
            Loot::DeniedToken
        })
    }
}

/// A claim that its evidence bears out.
fn proven(claim: &Claim) -> Option<Loot> {
    match claim {
        Claim::OpenedVault => Some(Loot::VaultKey),
        Claim::Signed {
            jwk,
            signature,
            taken,
        } => {
            let jwk = Jwk::parse(jwk.as_bytes()).ok()?;
            let signed = jwk.verifies(Algorithm::Es256, CHALLENGE, signature);
            signed.then_some(if *taken {
                Loot::PrivateKey
            } else {
                Loot::UseOfKey
            })
        }
    }
}
