//! What a person is asked to allow: an authorize request that was found valid, or a device's.

use std::time::Duration;

use keyward_jose::Thumbprint;
use keyward_oauth::scope::Scopes;
use keyward_oauth::time::UnixTime;

use crate::faults::Twist;
use crate::signin::prompt::{Prompt, PromptValue};
use crate::signin::redirect::RedirectTarget;
use crate::tenant::{Grant, Tenant};

/// What a person is asked to allow, by whom, and what happens then.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) tenant: Tenant,
    pub(crate) client_id: String,
    pub(crate) scopes: Scopes,
    pub(crate) prompt: Prompt,
    pub(crate) login_hint: Option<String>,
    /// How long ago the password may have been shown (OpenID Connect Core §3.1.2.1).
    pub(crate) max_age: Option<Duration>,
    pub(crate) purpose: Purpose,
}

/// What happens when the person has allowed it.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    /// The browser is sent back with a code.
    Code(Box<CodeRequest>),
    /// The device that showed this user code is let in.
    Device { user_code: String },
}

/// What the code will be bound to.
#[derive(Clone, Debug)]
pub(crate) struct CodeRequest {
    pub(crate) target: RedirectTarget,
    /// PKCE, method S256.
    pub(crate) challenge: String,
    pub(crate) nonce: Option<String>,
    pub(crate) dpop_jkt: Option<Thumbprint>,
    pub(crate) claims: Option<String>,
    /// Whether the answer is to carry `client_info` (Entra).
    pub(crate) client_info: bool,
    /// What a script wants wrong about the answer.
    pub(crate) twist: Option<Twist>,
}

impl Ask {
    /// What the person would allow.
    pub(crate) fn grant(&self, user_name: &str, auth_time: UnixTime) -> Grant {
        Grant {
            tenant: self.tenant,
            user_name: user_name.to_owned(),
            client_id: self.client_id.clone(),
            scopes: self.scopes.clone(),
            auth_time,
        }
    }

    /// Whether the consent page is shown even if consent was given. A device always gets one: it
    /// is where the person sees which device asks (RFC 8628 §5.4).
    pub(crate) fn insists_on_consent(&self) -> bool {
        self.prompt.has(PromptValue::Consent) || matches!(self.purpose, Purpose::Device { .. })
    }
}
