//! What is demanded of bindings and keys: refused before any sign-in where it is known that it
//! cannot be met, and checked once more on what is handed out.

use crate::acquisition::Acquisition;
use crate::authority::{AuthorityKind, DpopPolicy};
use crate::binding::{Binding, KeyProtection, RequiredBinding};
use crate::error::{AcquireTokenError, ErrorKind};
use crate::result::{AuthenticationResult, TokenType};

/// What one request demands of the refresh token its answer rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// What has to tie it to this device. `None`: nothing.
    pub binding: Option<RequiredBinding>,
    /// Where its key has to live. `None`, and [`KeyProtection::Software`]: anywhere.
    pub key_protection: Option<KeyProtection>,
}

impl Demands {
    /// The stricter of both, in each respect.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let tpm = Some(KeyProtection::Tpm);
        Self {
            binding: self.binding.or(other.binding),
            key_protection: if other.key_protection == tpm {
                tpm
            } else {
                self.key_protection.or(other.key_protection)
            },
        }
    }

    /// Whether nothing is demanded.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Who demands what, for whoever reads a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demanded {
    /// Who demands a sender-constrained binding.
    pub binding: Option<String>,
    /// Who demands keys in a TPM.
    pub key_protection: Option<String>,
}

impl Demanded {
    /// The same, and what a request demands.
    #[must_use]
    pub fn and(&self, request: Demands) -> Self {
        let application = || Some("the application".to_owned());
        let tpm = request.key_protection == Some(KeyProtection::Tpm);
        Self {
            binding: self
                .binding
                .clone()
                .or_else(|| request.binding.and_then(|_| application())),
            key_protection: self
                .key_protection
                .clone()
                .or_else(|| tpm.then(application).flatten()),
        }
    }

    /// Refuses a result that is less than demanded.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::IncorrectConfiguration`], with the reason and what to do.
    pub fn check(&self, result: &AuthenticationResult) -> Result<(), AcquireTokenError> {
        if let Some(by) = &self.binding
            && !result.binding.is_some_and(Binding::is_sender_constrained)
        {
            let found = result
                .binding
                .map_or("this broker does not say", Binding::as_str);
            return Err(unmet(format!(
                "{by} demands refresh tokens that are bound to this device (require_binding), and \
                 that of {} at {} is not known to be ({found}): sign in at an authority with DPoP, \
                 or set verify_binding = true in its [[authority]] to have the binding proven, and \
                 sign in again",
                result.account.username, result.authority
            )));
        }
        if let Some(by) = &self.key_protection
            && result.key_protection != Some(KeyProtection::Tpm)
        {
            let found = result.key_protection;
            let found = found.map_or("this broker does not say", KeyProtection::as_str);
            return Err(unmet(format!(
                "{by} demands keys in a TPM (require_key_protection), and that of {} at {} is \
                 elsewhere ({found}): move it with `keyward device rebind --to tpm`",
                result.account.username, result.authority
            )));
        }
        Ok(())
    }
}

impl Acquisition {
    /// Refuses a sign-in that cannot bring what is demanded, before anybody sees it. `dpop`:
    /// whether the authority binds by DPoP.
    pub(crate) fn can_be_met(
        &self,
        dpop: bool,
        new_keys: KeyProtection,
    ) -> Result<(), AcquireTokenError> {
        if let Some(by) = &self.demanded.key_protection
            && new_keys != KeyProtection::Tpm
        {
            return Err(unmet(format!(
                "{by} demands keys in a TPM (require_key_protection), and new keys are made in \
                 {new_keys} here: `keyward device show` says why, and `keyward device rebind --to \
                 tpm` changes it where a TPM can be reached"
            )));
        }
        let Some(by) = &self.demanded.binding else {
            return Ok(());
        };
        let issuer = &self.authority.issuer;
        let why = if self.authority.kind == AuthorityKind::Entra {
            "it is Entra ID, which does not bind the refresh tokens of applications: use an \
             authority with DPoP"
        } else if self.authority.dpop == DpopPolicy::Off {
            "the configuration says dpop = \"off\" for it: remove that"
        } else if !dpop {
            "it does not announce DPoP with ES256: use an authority that does"
        } else if self.token_type == TokenType::Bearer && !self.authority.verify_binding {
            "whether it binds them cannot be seen from bearer tokens: set verify_binding = true in \
             its [[authority]] to have it proven, or ask for the DPoP scheme"
        } else {
            return Ok(());
        };
        Err(unmet(format!(
            "{by} demands refresh tokens that are bound to this device (require_binding), and \
             those of {issuer} are not known to be; {why}"
        )))
    }
}

fn unmet(message: String) -> AcquireTokenError {
    AcquireTokenError::new(ErrorKind::IncorrectConfiguration, message)
}

#[cfg(test)]
mod tests;
