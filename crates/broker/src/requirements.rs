//! What the configuration demands of bindings and keys (`require_*`), checked before a sign-in as
//! far as that can be known, and once more on what came of it.

use keyward_client::Demanded;
use keyward_client::authority::{AuthorityKind, AuthorityRules, DpopPolicy};
use keyward_client::binding::{Binding, KeyProtection};
use keyward_client::error::{AcquireTokenError, ErrorKind};
use keyward_client::request::TokenRequest;
use keyward_client::result::AuthenticationResult;
use keyward_config::{Config, RequiredBinding, RequiredKeyProtection, Setting};

/// What the configuration demands.
pub(crate) struct Requirements {
    binding: Setting<RequiredBinding>,
    key_protection: Setting<RequiredKeyProtection>,
    authorities: AuthorityRules,
}

impl Requirements {
    pub(crate) fn new(config: &Config, authorities: AuthorityRules) -> Self {
        Self {
            binding: config.require_binding.clone(),
            key_protection: config.require_key_protection.clone(),
            authorities,
        }
    }

    /// Refuses what cannot meet the demands, before anybody signs in.
    pub(crate) fn admit(
        &self,
        request: &TokenRequest,
        keys: KeyProtection,
    ) -> Result<(), AcquireTokenError> {
        if self.key_protection.value == RequiredKeyProtection::Tpm && keys != KeyProtection::Tpm {
            return Err(unmet(format!(
                "{} demands keys in a TPM (require_key_protection), but new keys are made in {keys} \
                 here: `keyward device show` says why, and `keyward device rebind --to tpm` changes \
                 it where a TPM can be reached",
                self.key_protection.origin
            )));
        }
        if self.binding.value == RequiredBinding::Any {
            return Ok(());
        }
        // An authority that cannot be resolved is refused by the engine, in its own words.
        let Ok(authority) = self.authorities.resolve(&request.authority, |_| None) else {
            return Ok(());
        };
        if authority.kind == AuthorityKind::Entra || authority.dpop == DpopPolicy::Off {
            return Err(self.unbound(&authority.issuer));
        }
        Ok(())
    }

    /// Refuses a token whose refresh token turned out to be less bound than demanded.
    pub(crate) fn check(&self, result: &AuthenticationResult) -> Result<(), AcquireTokenError> {
        if self.binding.value == RequiredBinding::SenderConstrained
            && !result.binding.is_some_and(Binding::is_sender_constrained)
        {
            return Err(self.unbound(&result.authority));
        }
        Ok(())
    }

    fn unbound(&self, issuer: &str) -> AcquireTokenError {
        unmet(format!(
            "{} demands refresh tokens bound to this device (require_binding), and those of \
             {issuer} are not known to be: use an authority with DPoP, or set verify_binding = \
             true in its [[authority]] to have the binding proven",
            self.binding.origin
        ))
    }
}

/// What the engine is to demand of every request, and where that is said.
pub(crate) fn demanded(config: &Config) -> Demanded {
    let (binding, keys) = (&config.require_binding, &config.require_key_protection);
    Demanded {
        binding: (binding.value == RequiredBinding::SenderConstrained)
            .then(|| binding.origin.to_string()),
        key_protection: (keys.value == RequiredKeyProtection::Tpm).then(|| keys.origin.to_string()),
    }
}

fn unmet(message: String) -> AcquireTokenError {
    AcquireTokenError::new(ErrorKind::IncorrectConfiguration, message)
}
